/* Convolutions over time for networks that normalise over the whole utterance (AdaIN): the input is
 * normalised and activated block by block on its way into the convolution, and the statistics that the next
 * layer needs are taken from each block of the output while it is in the cache.
 *
 * Blocks depend on shapes only and their statistics are combined in order, so results are the same for any
 * number of threads. */
#ifndef UT_COMPUTE_TIME_CONV_H
#define UT_COMPUTE_TIME_CONV_H

#include "compute/compute.h"

/* Statistics of n_rows time steps, in blocks; combined by ut_adain_fold. */
struct ut_moments {
    int n_ch, n_rows, n_blocks, block_rows;
    float *mean, *m2; /* [n_blocks, n_ch]: mean, and sum of squared deviations from it */
};

/* v = x * scale + shift, then the snake of alpha or the leaky ReLU of slope; kernels.h. */
struct ut_modulation {
    const float *scale, *shift; /* [n_in]; NULL: v = x */
    const float *alpha, *inv_alpha;
    float slope;
};

/* y[t] = (conv(modulated x)[t] + add[t] + add2[t]) * out_scale. Output row t, tap k reads the modulated input
 * row t * stride + k * dilation - pad; rows outside 0..n_in_rows - 1 are zeros.
 *
 * x, and y with the addends, are floats or bfloat16 (uint16_t, half the memory and its traffic); pitches count
 * elements. What is in between is float in any case, and the statistics are of y before it is rounded. Addends in
 * bfloat16 are added to each other first; add2 comes with add then. */
struct ut_time_conv {
    const void *x;
    bool x_half;
    ptrdiff_t x_row;
    int n_in_rows;
    const struct ut_modulation *modulation; /* NULL: x as it is */
    int stride, dilation, pad;
    const void *add, *add2; /* NULL: none; may be y */
    ptrdiff_t add_row, add2_row;
    float out_scale;
    void *y;     /* not x */
    bool y_half; /* y, add and add2 are in bfloat16 */
    ptrdiff_t y_row;
    int n_rows;
    struct ut_moments *moments; /* of y; NULL: not wanted. Set up by this call */
};

/* A layer for ut_time_conv_run in the arithmetic that compute->precision asks for; `zero` is that of narrow
 * input rows (kernels/narrow.h). Float where there is no such arithmetic, or none for so many channels.
 * Errors as ut_layer_pack. */
UTTER_CHECKED utter_status ut_time_conv_pack(const struct ut_compute *compute, struct ut_arena *arena,
                                             const struct ut_layer_source *source, int zero,
                                             struct ut_layer *out, utter_error *err);

/* Takes scratch, and the memory of op->moments, from `arena`; false when there is none. */
bool ut_time_conv_run(const struct ut_compute *compute, struct ut_arena *arena,
                      const struct ut_layer *layer, const struct ut_time_conv *op);

/* Statistics of rows that exist already; `half`: in bfloat16. */
bool ut_moments_take(const struct ut_compute *compute, struct ut_arena *arena, const void *x, bool half,
                     ptrdiff_t x_row, int n_rows, int n_ch, struct ut_moments *out);

/* Adaptive instance normalisation (arXiv:1703.06868) as scale and shift, each [n_ch]: with the biased
 * variance, (x - mean) / sqrt(var + eps) * (1 + gamma) + beta = x * scale + shift. style: [2 * n_ch], gamma
 * then beta. */
void ut_adain_fold(const struct ut_moments *moments, const float *style, float eps, float *scale,
                   float *shift);

#endif
