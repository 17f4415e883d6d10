/* AdaIN and the residual block AdainResBlk1d of prosody predictor and decoder (istftnet.py of the
 * reference):
 *
 *   residual: AdaIN, leaky ReLU, [pool: depthwise transposed conv x2], conv1, AdaIN, leaky ReLU,
 * conv2 shortcut: [nearest x2], [conv1x1] y = (residual + shortcut) / sqrt(2)
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "models/kokoro/adain.h"

/* ZERO: of narrow rows behind a leaky ReLU of slope 0.2. */
enum { NAME_SIZE = 128, POOL_TAPS = 3, ZERO = 43 };

#define ADAIN_EPS 1e-5f
#define SLOPE 0.2f

bool ut_kokoro_adain(struct ut_kokoro_session *s, const struct ut_layer *fc, const float *style,
                     const struct ut_moments *moments, struct ut_modulation *out) {
    size_t n_ch = (size_t)moments->n_ch;
    float *gamma_beta = ut_arena_alloc(&s->arena, 4 * n_ch, sizeof *gamma_beta);
    if (!gamma_beta) {
        return false;
    }
    float *scale = gamma_beta + 2 * n_ch, *shift = scale + n_ch;
    ut_kokoro_linear(s, fc, style, gamma_beta, 1);
    ut_adain_fold(moments, gamma_beta, ADAIN_EPS, scale, shift);
    *out = (struct ut_modulation){.scale = scale, .shift = shift, .slope = 1};
    return true;
}

/* ---- Loading ------------------------------------------------------------------------------------
 */

/* pool.weight [n_in, 1, 3] to taps first, as the depthwise kernel wants it. */
static utter_status load_pool(struct kokoro_loader *loader, const char *name,
                              struct kokoro_resblk *block, utter_error *err) {
    char full[NAME_SIZE];
    float *by_channel;
    size_t n_ch = (size_t)block->n_in;
    snprintf(full, sizeof full, "%s.pool.weight", name);
    utter_status status = ut_kokoro_load_values(loader, full, n_ch * POOL_TAPS, &by_channel, err);
    block->pool_w = ut_arena_alloc(&loader->model->weights, n_ch * POOL_TAPS, sizeof(float));
    if (status == UTTER_OK && !block->pool_w) {
        status = ut_fail_memory(err, n_ch * POOL_TAPS * sizeof(float));
    }
    for (size_t i = 0; status == UTTER_OK && i < n_ch * POOL_TAPS; i++) {
        block->pool_w[i] = by_channel[i % n_ch * POOL_TAPS + i / n_ch];
    }
    snprintf(full, sizeof full, "%s.pool.bias", name);
    return status ? status : ut_kokoro_load_values(loader, full, n_ch, &block->pool_b, err);
}

utter_status ut_kokoro_load_resblk(struct kokoro_loader *loader, const char *name, int n_in,
                                   int n_out, bool may_narrow, struct kokoro_resblk *out,
                                   utter_error *err) {
    char full[NAME_SIZE];
    int style_dim = loader->model->info.style_dim, zero = may_narrow ? ZERO : KOKORO_FLOAT;
    int kept = may_narrow ? KOKORO_HALF : KOKORO_FLOAT; /* of what is float in any case */
    snprintf(full, sizeof full, "%s.pool.weight", name);
    out->upsample = ut_kokoro_tensor_exists(loader->tensors, full);
    snprintf(full, sizeof full, "%s.norm1.fc", name);
    utter_status status =
        ut_kokoro_load_conv(loader, full, 2 * n_in, style_dim, 1, true, kept, &out->norm1, err);
    /* The pool's weights have both signs: behind it values do, too. */
    int zero1 = may_narrow && out->upsample ? UT_NARROW_ZERO_EVEN : zero;
    snprintf(full, sizeof full, "%s.conv1", name);
    status = status
                 ? status
                 : ut_kokoro_load_conv(loader, full, n_out, n_in, 3, true, zero1, &out->conv1, err);
    int n_mid = out->conv1.n_out;
    snprintf(full, sizeof full, "%s.norm2.fc", name);
    status = status ? status
                    : ut_kokoro_load_conv(loader, full, 2 * n_mid, style_dim, 1, true, kept,
                                          &out->norm2, err);
    snprintf(full, sizeof full, "%s.conv2", name);
    status = status
                 ? status
                 : ut_kokoro_load_conv(loader, full, n_mid, n_mid, 3, true, zero, &out->conv2, err);
    out->n_in = n_in;
    out->n_out = out->conv2.n_out;
    if (status == UTTER_OK && out->n_in != out->n_out) {
        /* Always float: beside features of size 1 it sees a pitch of hundreds of Hz, next to which
         * the scale of a narrow row leaves nothing of them. */
        snprintf(full, sizeof full, "%s.conv1x1", name);
        status =
            ut_kokoro_load_conv(loader, full, out->n_out, n_in, 1, false, kept, &out->conv1x1, err);
    }
    return status == UTTER_OK && out->upsample ? load_pool(loader, name, out, err) : status;
}

/* ---- Forward ------------------------------------------------------------------------------------
 */

/* The transposed convolution of 3 taps, stride 2, padding 1 and output padding 1 as two depthwise
 * ones: even rows are w[1] x[t], odd rows w[2] x[t] + w[0] x[t + 1]. x has a zero row behind its
 * n_rows. */
static void pool(const struct ut_kokoro_session *s, const struct kokoro_resblk *block,
                 const float *x, const float *odd_w, float *y, int n_rows) {
    struct ut_depthwise op = {.x = x,
                              .x_row = block->n_in,
                              .x_tap = block->n_in,
                              .w = block->pool_w + block->n_in,
                              .bias = block->pool_b,
                              .y = y,
                              .y_row = 2 * (ptrdiff_t)block->n_in,
                              .n_taps = 1,
                              .n_rows = n_rows,
                              .n_ch = block->n_in};
    ut_depthwise(&s->compute, &op);
    op.w = odd_w;
    op.n_taps = 2;
    op.y = y + block->n_in;
    ut_depthwise(&s->compute, &op);
}

/* AdaIN, leaky ReLU and pool as a buffer [2 * n_rows, n_in]. */
static float *modulate_and_pool(struct ut_kokoro_session *s, const struct kokoro_resblk *block,
                                const struct ut_modulation *m, const float *x, ptrdiff_t x_row,
                                int n_rows) {
    size_t n_ch = (size_t)block->n_in;
    float *modulated = ut_arena_alloc(&s->arena, (size_t)(n_rows + 1) * n_ch, sizeof(float));
    float *pooled = ut_arena_alloc(&s->arena, 2 * (size_t)n_rows * n_ch, sizeof(float));
    float *odd_w = ut_arena_alloc(&s->arena, 2 * n_ch, sizeof(float)); /* w[2], w[0] */
    if (!modulated || !pooled || !odd_w) {
        return NULL;
    }
    struct ut_modulate op = {.x = x,
                             .x_row = x_row,
                             .y = modulated,
                             .y_row = block->n_in,
                             .scale = m->scale,
                             .shift = m->shift,
                             .slope = m->slope,
                             .n_rows = n_rows,
                             .n_ch = block->n_in};
    s->compute.kernels->modulate_f32(&op);
    memset(modulated + (size_t)n_rows * n_ch, 0, n_ch * sizeof(float));
    memcpy(odd_w, block->pool_w + 2 * n_ch, n_ch * sizeof(float));
    memcpy(odd_w + n_ch, block->pool_w, n_ch * sizeof(float));
    pool(s, block, modulated, odd_w, pooled, n_rows);
    return pooled;
}

/* The shortcut into y, for conv2 to be added to; the identity needs no copy and is not handled
 * here. */
static bool shortcut(struct ut_kokoro_session *s, const struct kokoro_resblk *block, const float *x,
                     ptrdiff_t x_row, int n_rows, float *y, ptrdiff_t y_row) {
    ptrdiff_t step = block->upsample ? 2 * y_row : y_row;
    size_t row_bytes = (size_t)block->n_out * sizeof(float);
    if (block->conv1x1.n_out) {
        struct ut_time_conv op = {.x = x,
                                  .x_row = x_row,
                                  .n_in_rows = n_rows,
                                  .stride = 1,
                                  .dilation = 1,
                                  .out_scale = 1,
                                  .y = y,
                                  .y_row = step,
                                  .n_rows = n_rows};
        if (!ut_time_conv_run(&s->compute, &s->arena, &block->conv1x1, &op)) {
            return false;
        }
    } else {
        for (int t = 0; t < n_rows; t++) {
            memcpy(y + t * step, x + t * x_row, row_bytes);
        }
    }
    for (int t = 0; block->upsample && t < n_rows; t++) {
        memcpy(y + t * step + y_row, y + t * step, row_bytes);
    }
    return true;
}

static bool run_resblk(struct ut_kokoro_session *s, const struct kokoro_resblk *block,
                       const float *style, const float *x, ptrdiff_t x_row, int n_rows, float *y,
                       ptrdiff_t y_row) {
    const struct ut_compute *compute = &s->compute;
    int n_out_rows = block->upsample ? 2 * n_rows : n_rows, n_mid = block->conv1.n_out;
    bool identity = !block->upsample && !block->conv1x1.n_out;
    struct ut_moments moments;
    struct ut_modulation first, second;
    float *mid = ut_arena_alloc(&s->arena, (size_t)n_out_rows * (size_t)n_mid, sizeof *mid);
    if (!mid || !ut_moments_take(compute, &s->arena, x, false, x_row, n_rows, block->n_in, &moments) ||
        !ut_kokoro_adain(s, &block->norm1, style, &moments, &first)) {
        return false;
    }
    first.slope = SLOPE;
    struct ut_time_conv conv1 = {.x = x,
                                 .x_row = x_row,
                                 .n_in_rows = n_out_rows,
                                 .modulation = &first,
                                 .stride = 1,
                                 .dilation = 1,
                                 .pad = 1,
                                 .out_scale = 1,
                                 .y = mid,
                                 .y_row = n_mid,
                                 .n_rows = n_out_rows,
                                 .moments = &moments};
    if (block->upsample) {
        conv1.x = modulate_and_pool(s, block, &first, x, x_row, n_rows);
        conv1.x_row = block->n_in;
        conv1.modulation = NULL;
    }
    if (!conv1.x || !ut_time_conv_run(compute, &s->arena, &block->conv1, &conv1) ||
        !ut_kokoro_adain(s, &block->norm2, style, &moments, &second) ||
        (!identity && !shortcut(s, block, x, x_row, n_rows, y, y_row))) {
        return false;
    }
    second.slope = SLOPE;
    struct ut_time_conv conv2 = {.x = mid,
                                 .x_row = n_mid,
                                 .n_in_rows = n_out_rows,
                                 .modulation = &second,
                                 .stride = 1,
                                 .dilation = 1,
                                 .pad = 1,
                                 .add = identity ? x : y,
                                 .add_row = identity ? x_row : y_row,
                                 .out_scale = (float)M_SQRT1_2,
                                 .y = y,
                                 .y_row = y_row,
                                 .n_rows = n_out_rows};
    return ut_time_conv_run(compute, &s->arena, &block->conv2, &conv2);
}

utter_status ut_kokoro_resblk(struct ut_kokoro_session *s, const struct kokoro_resblk *block,
                              const float *style, const float *x, ptrdiff_t x_row, int n_rows,
                              float *y, ptrdiff_t y_row, utter_error *err) {
    struct ut_arena_mark mark = ut_arena_mark(&s->arena);
    if (!run_resblk(s, block, style, x, x_row, n_rows, y, y_row)) {
        return ut_fail_memory(err, 0);
    }
    ut_arena_rewind(&s->arena, mark);
    return ut_kokoro_check_cancel(s, err);
}
