/* The arithmetic: one table of function pointers per processor level. `scalar` is the readable
 * specification, every other level must agree with it within the bound that tests/checkkernels
 * states beside each entry.
 *
 * Conventions: activations are channels-last, row = one time step, `*_row` strides are in floats.
 * Counts are >= 0 and may be odd. Outputs are written only inside n_rows x n_out. Inputs and
 * outputs may be at any 4-byte alignment unless said otherwise. Outputs may alias inputs only where
 * said. The value of an output element depends on its own row's inputs alone, never on how many
 * rows one call handles or where in a vector the element falls: so work may be split over threads
 * at any row or element and the bits stay the same.
 */
#ifndef UT_KERNELS_KERNELS_H
#define UT_KERNELS_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/cpu.h"
#include "kernels/filter_tiles.h"
#include "kernels/narrow.h"

enum { UT_MAX_PANEL = 64 }; /* largest ut_kernels.panel of any level */

/* A 1-D convolution over a block of output rows, computed as n_taps accumulated matrix products on
 * shifted rows (no im2col). n_taps == 1 is a plain matrix product. For output row t, channel o:
 *
 *   acc  = bias[o] + sum_k sum_c x[t * x_row + k * x_tap + c] * w[o][k][c]
 *   v    = ((acc + add[t * add_row + o]) + add2[t * add2_row + o]) * scale
 *   y[t * y_row + o]         = v
 *   y_act[t * y_act_row + o] = v > 0 ? v : v * slope
 *
 * The caller provides the zero rows of the padding. Weights are packed in panels of `panel` output
 * channels: w[ceil(n_out / panel)][n_taps][n_in][panel], the last panel filled with zeros, aligned
 * to 64 bytes; bias is padded with zeros to a multiple of `panel`. Sums run over (k, c) in order
 * with one accumulator for an element (fused multiply-add where the level has it). */
struct ut_conv {
    const float *x;
    /* stride * row pitch. Where the pitch is a multiple of 4 kB the rows of a tile share one set of
     * the L1 cache: 16 floats more made 1024 channels a tenth faster on AVX-512. */
    ptrdiff_t x_row;
    ptrdiff_t x_tap; /* dilation * row pitch */
    int n_taps, n_in;
    const void *w;     /* float, or uint16_t holding f16 or bf16, by entry */
    const float *bias; /* NULL: zeros */
    const float *add;  /* NULL: none. May be y (same stride): then y is updated in place */
    ptrdiff_t add_row;
    const float *add2; /* NULL: none. May be y too; a residual and a running sum in one store */
    ptrdiff_t add2_row;
    float scale;
    float *y; /* NULL: not stored */
    ptrdiff_t y_row;
    float *y_act; /* NULL: not stored */
    ptrdiff_t y_act_row;
    float slope; /* 0: ReLU */
    int n_rows, n_out;
};

/* Depthwise: y[t][c] = bias[c] + sum_k x[t * x_row + k * x_tap + c] * w[k * n_ch + c]. */
struct ut_depthwise {
    const float *x;
    ptrdiff_t x_row, x_tap;
    const float *w, *bias;
    float *y;
    ptrdiff_t y_row;
    int n_taps, n_rows, n_ch;
};

/* Inverse rational-quadratic spline (neural spline flows, arXiv:1906.04032; unconstrained form with
 * linear tails), one scalar per row. params row: n_bins widths, n_bins heights, n_bins - 1
 * derivatives, all before softmax and softplus. Computed in double. */
struct ut_spline {
    const float *x; /* element t at x[t * x_step] */
    ptrdiff_t x_step;
    const float *params; /* [n_rows][params_row], 3 * n_bins - 1 used */
    ptrdiff_t params_row;
    float *y; /* may be x */
    ptrdiff_t y_step;
    int n_rows, n_bins; /* n_bins <= 16 */
    float tail;         /* outside -tail..tail the identity */
    float size_scale;   /* widths and heights are multiplied by this before the softmax */
};

/* y[t][c] = f(x[t][c] * scale[c] + shift[c]): an adaptive instance normalisation (its statistics
 * and style folded into scale and shift) and the activation behind it. f is the snake v +
 * sin(alpha[c] * v)^2 * inv_alpha[c] (arXiv:2006.08195) where alpha is not NULL, else the leaky
 * ReLU with `slope` (1: the identity). */
struct ut_modulate {
    const float *x;
    ptrdiff_t x_row;
    float *y; /* may be x with the same pitch */
    ptrdiff_t y_row;
    const float *scale, *shift; /* [n_ch]; both NULL: v = x */
    const float *alpha, *inv_alpha;
    float slope;
    int n_rows, n_ch;
};

struct ut_kernels {
    enum ut_cpu_level level;
    int panel; /* output channels in one weight panel; the same for every conv entry */

    void (*conv_f32)(const struct ut_conv *op);
    void (*conv_f16)(const struct ut_conv *op);  /* weights IEEE half, arithmetic f32 */
    void (*conv_bf16)(const struct ut_conv *op); /* weights bfloat16, arithmetic f32 */
    void (*depthwise_f32)(const struct ut_depthwise *op);

    /* Around the products of minimal filtering. */
    void (*filter_in_f32)(const struct ut_filter_in *op);
    void (*filter_out_f32)(const struct ut_filter_out *op);

    /* y[t] = bias + sum_i x[t * x_row + i] * w[i]: a convolution to one channel whose taps lie next
     * to each other in memory. Interleaved partial sums are allowed; per row the order is fixed. */
    void (*dot_rows_f32)(float *y, const float *x, ptrdiff_t x_row, const float *w, float bias,
                         int n, int n_rows);

    /* y[t][c] = (v - mean) / sqrt(var + eps) * gamma[c] + beta[c], v = x + add (add may be NULL),
     * statistics over the n_ch channels of the row in f32 with the mean taken first. y may be x or
     * add. */
    void (*layernorm_f32)(float *y, ptrdiff_t y_row, const float *x, ptrdiff_t x_row,
                          const float *add, ptrdiff_t add_row, const float *gamma,
                          const float *beta, float eps, int n_rows, int n_ch);

    /* In place, each row its own softmax over n >= 1 values; finite inputs. */
    void (*softmax_f32)(float *x, ptrdiff_t row, int n_rows, int n);

    /* y = tanh(a) * sigmoid(b), rows of n_ch; y may be a or b. */
    void (*gate_f32)(float *y, ptrdiff_t y_row, const float *a, ptrdiff_t a_row, const float *b,
                     ptrdiff_t b_row, int n_rows, int n_ch);

    void (*spline_inverse_f32)(const struct ut_spline *op);

    void (*modulate_f32)(const struct ut_modulate *op);

    /* Per channel over n_rows >= 1 rows: mean[c], and m2[c], the sum of squared deviations from
     * that mean, taken in a second pass. Rows are added in order, one accumulator for a channel. */
    void (*moments_f32)(float *mean, float *m2, const float *x, ptrdiff_t x_row, int n_rows,
                        int n_ch);

    /* One LSTM step behind its matrix products: gates [4 * n] in the order i, f, g, o, before their
     * sigmoids and tanh. c = sigmoid(f) * c + sigmoid(i) * tanh(g); h = sigmoid(o) * tanh(c). */
    void (*lstm_cell_f32)(float *h, float *c, const float *gates, int n);

    /* Elementwise; y may be x (and a, b or c). NaN gives NaN; gelu(-infinity) is NaN too, by its
     * formula. */
    void (*leaky_relu_f32)(float *y, const float *x, float slope, size_t n);
    void (*gelu_f32)(float *y, const float *x, size_t n);      /* exact form, with erf */
    void (*gelu_tanh_f32)(float *y, const float *x, size_t n); /* "gelu_new": the tanh form */
    /* For |x| <= 1e5; larger finite x give some value in -1..1, infinities NaN. */
    void (*sin_f32)(float *y, const float *x, size_t n);
    void (*cos_f32)(float *y, const float *x, size_t n);
    void (*tanh_f32)(float *y, const float *x, size_t n);
    void (*sigmoid_f32)(float *y, const float *x, size_t n);
    void (*exp_f32)(float *y, const float *x, size_t n);
    void (*add_f32)(float *y, const float *a, const float *b, size_t n);
    void (*sub_f32)(float *y, const float *a, const float *b, size_t n);
    void (*mul_add_f32)(float *y, const float *a, float b, const float *c,
                        size_t n); /* a * b + c */

    /* Half-precision storage to f32, exact. */
    void (*f16_to_f32)(float *y, const uint16_t *x, size_t n);
    void (*bf16_to_f32)(float *y, const uint16_t *x, size_t n);
    void (*f32_to_bf16)(uint16_t *y, const float *x, size_t n); /* to nearest, ties to even */

    const struct ut_narrow *i8;  /* int8 x int8 with sums in int32 */
    const struct ut_narrow *b16; /* bfloat16 x bfloat16; NULL: the level has none */

    /* Loops to time, for what the level can do at most; NULL at the scalar level. n rounds of multiply-adds
     * in registers, whose number is returned; the sum of n floats, in any order. */
    double (*peak_f32)(long n);
    float (*read_f32)(const float *x, size_t n);
};

/* The table of a level; NULL when this processor or build lacks it. Tables are constant after the
 * first call, which fills them; safe from any thread. */
const struct ut_kernels *ut_kernels_get(enum ut_cpu_level level);

#endif
