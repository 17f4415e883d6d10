/* Transforms of 1-D minimal filtering (Winograd 1980; for networks Lavin and Gray, arXiv:1509.09308), the
 * steps around the matrix products. A tile is n_outputs outputs of a filter of some taps, dilated; it reads
 * n_points = n_outputs + taps - 1 inputs, and costs n_points products for each channel pair where the plain sum
 * costs n_outputs * taps.
 *
 * Both tile and filter are taken as polynomials, evaluated at the points 0, p, -p for each of n_pairs values p, and
 * infinity (the highest coefficient), multiplied point by point, and interpolated (Toom-Cook, transposed). Pairs
 * of opposite points share their even and odd parts, which halves the work. The matrices that belong
 * to a set of points are made in compute/minimal.c. */
#ifndef UT_KERNELS_FILTER_TILES_H
#define UT_KERNELS_FILTER_TILES_H

#include <stddef.h>

enum {
    UT_FILTER_MIN_PAIRS = 2,
    UT_FILTER_MAX_PAIRS = 4,
    UT_FILTER_MAX_POINTS = 2 * UT_FILTER_MAX_PAIRS + 2,
    UT_FILTER_MAX_OUTPUTS = 8
};

/* For the inputs d[0 .. n_points - 1] of a tile, P = n_pairs:
 *
 *   V[0]            = sum over e of zero[e] * d[2 e], e = 0 .. P
 *   V[1 + 2 i], V[2 + 2 i] = even_i + odd_i, even_i - odd_i
 *       with even_i = sum of even[i][e] * d[2 + 2 e], odd_i = sum of odd[i][e] * d[1 + 2 e], e = 0 .. P - 1
 *   V[2 P + 1]      = sum of infinity[e] * d[1 + 2 e], e = 0 .. P
 *
 * and for the products M of one output channel, j = 0 .. n_outputs - 1:
 *
 *   y[j] = sum over i of power[j][i] * (M[1 + 2 i] + or, for odd j, - M[2 + 2 i]), and M[0] for the first
 *          output, M[2 P + 1] for the last. */
struct ut_filter_points {
    int n_pairs;
    float zero[UT_FILTER_MAX_PAIRS + 1], infinity[UT_FILTER_MAX_PAIRS + 1];
    float even[UT_FILTER_MAX_PAIRS][UT_FILTER_MAX_PAIRS], odd[UT_FILTER_MAX_PAIRS][UT_FILTER_MAX_PAIRS];
    float power[UT_FILTER_MAX_OUTPUTS][UT_FILTER_MAX_PAIRS];
};

/* Output j of tile i is row (i / dilation * n_outputs + j) * dilation + i % dilation: `dilation` tiles lie
 * interleaved. Input k of tile i lies k * dilation rows behind its output 0. */
struct ut_filter_tiles {
    const struct ut_filter_points *points;
    int n_outputs, dilation;
    int first, n_tiles; /* tiles first .. first + n_tiles - 1 */
};

static inline int ut_filter_row(const struct ut_filter_tiles *tiles, int i) {
    return i / tiles->dilation * tiles->n_outputs * tiles->dilation + i % tiles->dilation;
}

/* v[point * v_point + (i - first) * v_row + c] from x[row * x_row + c]; rows from n_rows on do not exist and
 * count as zeros. */
struct ut_filter_in {
    struct ut_filter_tiles tiles;
    const float *x;
    ptrdiff_t x_row;
    int n_rows;
    float *v;
    ptrdiff_t v_point, v_row;
    int n_ch;
};

/* From m[point * m_point + (i - first) * m_row + o] to what `store` names, as the end of a convolution: bias, addends,
 * scale, y and y_act, for its n_out channels and the first n_rows rows; its input is not used. */
struct ut_conv;
struct ut_filter_out {
    struct ut_filter_tiles tiles;
    const float *m;
    ptrdiff_t m_point, m_row;
    const struct ut_conv *store;
};

#endif
