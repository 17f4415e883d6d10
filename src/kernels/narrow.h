/* Convolutions in narrow arithmetic: activations and weights in 8 bits with exact integer sums, or both in
 * bfloat16. A level has one table for each kind; how rows and weights lie in memory is the table's own
 * affair, what they mean is said here.
 *
 * int8. Value x of row t stands as q = round(x / scale[t]), ties to even, an integer in -zero .. 255 - zero
 * with scale[t] = max(max(x) / (255 - zero), max(-x) / zero) over the row's channels: `zero` 128 for values of
 * both signs alike, 25 behind a leaky ReLU of slope 0.1, whose negative side is a tenth of the positive one. A
 * row of zeros has scale 0. A weight of output channel o stands as round(w / w_scale[o]), -127 .. 127, with
 * w_scale[o] the largest |w| of the channel / 127. Scales belong to rows, never to blocks of rows, so a
 * stream gives the samples of the whole utterance.
 *
 * Every level gives the same bits (but for the sines of a modulation): integer sums are exact, and what
 * follows them is the same chain of single-precision operations, fused where it says fma.
 *
 * bfloat16: scales are 1 (NaN or 0 as below), values are rounded to nearest even, sums are in f32: each
 * product and sum is rounded at most once, in any order, and what is subnormal may count as zero. */
#ifndef UT_KERNELS_NARROW_H
#define UT_KERNELS_NARROW_H

#include <stddef.h>

enum {
    UT_NARROW_MAX_CH = 4096, /* channels of a row */
    UT_NARROW_ZERO_EVEN = 128,
    UT_NARROW_ZERO_LEAKY = 25
};

struct ut_modulate;

/* Rows in narrow form. A row whose scale is 0 counts as zeros whatever its bytes (they must be
 * initialised); a row that held a value that is not finite has the scale NaN. */
struct ut_narrow_rows {
    void *data;
    ptrdiff_t row;       /* bytes, a multiple of 4, >= row_bytes() */
    float *scale;
    ptrdiff_t scale_row; /* elements between the scales of two rows */
    int zero;
};

/* For output row t, channel o, with dot_k the exact sum over c of q[t, k][c] * w[o][k][c]:
 *
 *   s    = 0; for each k: s = fma(x_scale[t, k], (float)dot_k, s)
 *   v    = ((fma(s, w_scale[o], bias[o]) + add[t][o]) + add2[t][o]) * scale
 *   y    = v;  y_act = a = v > 0 ? v : v * slope;  q = a in narrow form
 *
 * where row (t, k) of the input lies at x + t * x_row + k * x_tap and its scale at
 * x_scale[t * scale_row + k * scale_tap]. */
struct ut_narrow_conv {
    const void *x;
    ptrdiff_t x_row, x_tap; /* bytes */
    const float *x_scale;
    ptrdiff_t scale_row, scale_tap; /* elements */
    int n_taps, n_in;
    const void *w; /* panels as packed */
    const float *w_scale, *bias; /* padded to a multiple of the panel; bias NULL: zeros */
    const float *add, *add2; /* NULL: none; may be y (same stride) */
    ptrdiff_t add_row, add2_row;
    float scale;
    float *y; /* NULL: not stored */
    ptrdiff_t y_row;
    float *y_act; /* NULL: not stored */
    ptrdiff_t y_act_row;
    float slope;
    struct ut_narrow_rows q; /* data NULL: not stored; n_out <= UT_NARROW_MAX_CH otherwise */
    int n_rows, n_out;
};

/* The scale of n weights of one output channel, and a weight rounded with it. */
float ut_narrow_weight_scale(const float *w, size_t n);
int ut_narrow_weight(float w, float scale);

struct ut_narrow {
    const char *name; /* "int8 VNNI": what the inner loop uses; static storage */
    int panel;        /* output channels of one panel, at most UT_MAX_PANEL */
    size_t (*row_bytes)(int n_ch); /* what a row needs, a multiple of 4 */
    size_t (*panel_bytes)(int n_taps, int n_in); /* a multiple of 64 */
    /* Rounds and packs n <= panel output channels, w [n][n_taps][n_in], finite; the panel's missing channels
     * are zeros. w_scale holds the scales to round with, 0 for those that the channels themselves ask for, and
     * gets what was used. `zero` is that of the rows it will meet. `panel` is aligned to 64 bytes. */
    void (*pack)(void *panel, float *w_scale, const float *w, int n, int n_taps, int n_in, int zero);
    /* f(x * scale + shift) of kernels.h in narrow form; from->y is not used. n_ch <= UT_NARROW_MAX_CH. */
    void (*quantize)(const struct ut_modulate *from, const struct ut_narrow_rows *to);
    void (*conv)(const struct ut_narrow_conv *op);
    double (*peak)(long n); /* as peak_f32 of kernels.h; NULL: none */
};

#endif
