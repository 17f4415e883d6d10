/* Duration predictors: frames for each phoneme id. Stochastic (StochasticDurationPredictor of VITS,
 * inverse direction): noise goes through a normalising flow of rational-quadratic splines
 * conditioned on the text. Deterministic (house voice): two convolutions, ReLU and layer norm each,
 * and a projection to log frames. What flows is [n_ids, 2]; behind the last flow channel 0 is log
 * frames, and channel 1 is not used. All of it is in float in every precision, so that the length
 * of the speech does not depend on the arithmetic. Reference: models.py and modules.py (DDSConv,
 * ConvFlow, ElementwiseAffine), transforms.py. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "compute/rng.h"
#include "models/piper/piper_model.h"

/* A spline of K bins over -tail..tail: K widths, K heights and the K - 1 slopes at the inner knots;
 * the outer two slopes are 1, where the spline meets the identity. Both numbers are the reference's
 * (num_bins and tail_bound of ConvFlow) and not in the file. */
enum { SPLINE_PARAMS = 3 * PIPER_SPLINE_BINS - 1 };

#define SPLINE_TAIL 5.0f

/* Scratch of the convolution stacks, [n_ids, hidden] each; `h` with zero rows around it. */
struct buffers {
    float *h, *y, *params;
};

/* Zero rows that the widest depthwise convolution of the stack reads before row 0 and behind the
 * last. */
static int dds_pad(const struct piper_dds *dds) {
    int pad = 0;
    for (int i = 0; i < dds->n_layers; i++) {
        int need = dds->layers[i].dilation * (dds->n_taps - 1) / 2;
        pad = need > pad ? need : pad;
    }
    return pad;
}

/* x = x + gelu(norm(1x1(gelu(norm(depthwise(x)))))) for every layer; x has zero rows around. `y` is
 * scratch, `z` another. */
static void dds(const struct ut_piper_session *s, const struct piper_dds *dds, float *x, float *y,
                float *z) {
    const struct ut_compute *compute = &s->compute;
    int n = s->n_ids, n_ch = s->model->info.n_hidden;
    for (int i = 0; i < dds->n_layers; i++) {
        int dilation = dds->layers[i].dilation, pad = dilation * (dds->n_taps - 1) / 2;
        struct ut_depthwise depthwise = {.x = x - (ptrdiff_t)pad * n_ch,
                                         .x_row = n_ch,
                                         .x_tap = (ptrdiff_t)dilation * n_ch,
                                         .w = dds->layers[i].sep_w,
                                         .bias = dds->layers[i].sep_b,
                                         .y = y,
                                         .y_row = n_ch,
                                         .n_taps = dds->n_taps,
                                         .n_rows = n,
                                         .n_ch = n_ch};
        ut_depthwise(compute, &depthwise);
        ut_layernorm(compute, &dds->layers[i].norm_1, y, y, NULL, n, n_ch);
        ut_gelu(compute, y, n, n_ch);
        ut_piper_linear(s, &dds->layers[i].conv_1x1, y, z, n);
        ut_layernorm(compute, &dds->layers[i].norm_2, z, z, NULL, n, n_ch);
        ut_gelu(compute, z, n, n_ch);
        compute->kernels->add_f32(x, x, z, (size_t)n * (size_t)n_ch);
    }
}

/* One spline flow: channel 1 of z [n_ids, 2] goes through a spline whose knots come from channel 0
 * and the conditioning g [n_ids, hidden]. Inverse direction: the knots are those of the training's
 * forward pass, so channel 0, which no spline flow changes, must be what it was there; the flips of
 * invert_flows see to that. Widths and heights come out of `proj` scaled by sqrt(hidden), which
 * size_scale takes back as the reference does; slopes do not. */
static void spline_flow(const struct ut_piper_session *s, const struct piper_spline_flow *flow,
                        const float *g, const struct buffers *b, float *z_scratch, float *z) {
    int n = s->n_ids, n_ch = s->model->info.n_hidden;
    struct ut_conv pre = {.x = z,
                          .x_row = 2,
                          .add = g,
                          .add_row = n_ch,
                          .scale = 1,
                          .y = b->h,
                          .y_row = n_ch,
                          .n_rows = n};
    ut_conv(&s->compute, &flow->pre, &pre);
    dds(s, &flow->convs, b->h, b->y, z_scratch);
    ut_piper_linear(s, &flow->proj, b->h, b->params, n);
    struct ut_spline spline = {.x = z + 1,
                               .x_step = 2,
                               .params = b->params,
                               .params_row = SPLINE_PARAMS,
                               .y = z + 1,
                               .y_step = 2,
                               .n_rows = n,
                               .n_bins = PIPER_SPLINE_BINS,
                               .tail = SPLINE_TAIL,
                               .size_scale = 1.0f / sqrtf((float)n_ch)};
    s->compute.kernels->spline_inverse_f32(&spline);
}

/* Flip of the reference: with two channels a swap of each row's values. */
static void flip(float *z, int n) {
    for (int t = 0; t < n; t++) {
        float first = z[2 * t];
        z[2 * t] = z[2 * t + 1];
        z[2 * t + 1] = first;
    }
}

/* `index` counts the checkpoint's modules dp.flows.N: 0 the affine, odd ones splines, even ones
 * flips. */
static void observe_flow(const struct ut_piper_session *s, int index, const float *z) {
    char stage[32];
    snprintf(stage, sizeof stage, "dp_flow%d_out", index);
    ut_piper_observe(s, stage, z, 2, s->n_ids, 2);
}

/* Standard normal noise times noise_w, [n_ids, 2]; recorded noise is channels first. The
 * generator's values are numbered by row and channel, so the noise of an id does not depend on how
 * many ids follow. */
static void draw_noise(const struct ut_piper_session *s, float *z) {
    const struct ut_piper_request *request = s->request;
    int n = s->n_ids;
    if (request->noise_dp) {
        for (int t = 0; t < n; t++) {
            z[2 * t] = request->noise_dp[t];
            z[2 * t + 1] = request->noise_dp[n + t];
        }
    } else {
        ut_rng_normal(request->seed, UT_PIPER_STREAM_DURATIONS, 0, z, 2 * (size_t)n);
    }
    for (int i = 0; i < 2 * n; i++) {
        z[i] *= request->noise_w;
    }
}

/* The flows in inverse order: flip, spline, flip, spline, ..., flip, affine. The first spline flow,
 * dp.flows.1, is left out as in the reference ("remove a useless vflow"). */
static void invert_flows(const struct ut_piper_session *s, const float *g, const struct buffers *b,
                         float *scratch, float *z) {
    const struct piper_sdp *sdp = s->model->sdp;
    for (int i = sdp->n_flows - 1; i >= 0; i--) {
        flip(z, s->n_ids);
        observe_flow(s, 4 + 2 * i, z);
        spline_flow(s, &sdp->flows[i], g, b, scratch, z);
        observe_flow(s, 3 + 2 * i, z);
    }
    flip(z, s->n_ids);
    observe_flow(s, 2, z);
    for (int t = 0; t < s->n_ids; t++) {
        for (int c = 0; c < 2; c++) {
            z[2 * t + c] = (z[2 * t + c] - sdp->affine_m[c]) * sdp->affine_scale[c];
        }
    }
    observe_flow(s, 0, z);
}

/* log frames of each id, at logw[t * *step]. NULL without memory. `h` is the only buffer that
 * convolutions over time read, and so the only one with zero rows around; layers write its n_ids
 * rows alone, which leaves those zeros in place. */
static float *stochastic(struct ut_piper_session *s, const float *x, int *step) {
    const struct piper_sdp *sdp = s->model->sdp;
    int n = s->n_ids, n_ch = s->model->info.n_hidden, pad = dds_pad(&sdp->convs);
    for (int i = 0; i < sdp->n_flows; i++) {
        int need = dds_pad(&sdp->flows[i].convs);
        pad = need > pad ? need : pad;
    }
    struct buffers b = {ut_piper_padded(&s->arena, n, n_ch, pad, pad),
                        ut_piper_padded(&s->arena, n, n_ch, 0, 0),
                        ut_piper_padded(&s->arena, n, SPLINE_PARAMS, 0, 0)};
    float *scratch = ut_piper_padded(&s->arena, n, n_ch, 0, 0);
    float *g = ut_piper_padded(&s->arena, n, n_ch, 0, 0),
          *z = ut_piper_padded(&s->arena, n, 2, 0, 0);
    const float *bias = ut_piper_conditioned(s, &sdp->pre, &sdp->cond, 0);
    if (s->arena.failed || !bias) {
        return NULL;
    }
    if (s->request->observer) {
        ut_piper_linear(s, &sdp->pre, x, b.h, n); /* the stage's recorded value lacks the speaker */
        ut_piper_observe(s, "dp_pre", b.h, n_ch, n, n_ch);
    }
    struct ut_conv pre = {
        .x = x, .x_row = n_ch, .bias = bias, .scale = 1, .y = b.h, .y_row = n_ch, .n_rows = n};
    ut_conv(&s->compute, &sdp->pre, &pre);
    dds(s, &sdp->convs, b.h, b.y, scratch);
    ut_piper_observe(s, "dp_convs", b.h, n_ch, n, n_ch);
    ut_piper_linear(s, &sdp->proj, b.h, g, n);
    ut_piper_observe(s, "dp_proj", g, n_ch, n, n_ch);
    draw_noise(s, z);
    invert_flows(s, g, &b, scratch, z);
    *step = 2;
    return z;
}

/* The same for the house voice. x itself has other zero rows around it than conv_1 may need, and
 * the speaker's term is added to the text's rows but not to the padding: hence a copy. */
static float *deterministic(struct ut_piper_session *s, const float *x, int *step) {
    const struct piper_ddp *ddp = s->model->ddp;
    const struct ut_compute *compute = &s->compute;
    int n = s->n_ids, n_in = ddp->conv_1.layer.n_in, n_ch = ddp->conv_1.layer.n_out;
    float *input = ut_piper_padded(&s->arena, n, n_in, ddp->conv_1.pad, ddp->conv_1.pad);
    float *h = ut_piper_padded(&s->arena, n, n_ch, ddp->conv_2.pad, ddp->conv_2.pad);
    float *y = ut_piper_padded(&s->arena, n, n_ch, 0, 0),
          *logw = ut_piper_padded(&s->arena, n, 1, 0, 0);
    float *speaker = s->g ? ut_arena_alloc(&s->arena, (size_t)n_in, sizeof *speaker) : NULL;
    if (s->arena.failed) {
        return NULL;
    }
    if (speaker) {
        ut_piper_linear(s, &ddp->cond, s->g, speaker, 1);
    }
    for (int t = 0; t < n; t++) {
        for (int c = 0; c < n_in; c++) {
            input[t * n_in + c] = x[t * n_in + c] + (speaker ? speaker[c] : 0);
        }
    }
    ut_piper_conv(s, &ddp->conv_1, input, (struct ut_conv){.y_act = h, .slope = 0, .n_rows = n});
    ut_layernorm(compute, &ddp->norm_1, h, h, NULL, n, n_ch);
    ut_piper_conv(s, &ddp->conv_2, h, (struct ut_conv){.y_act = y, .slope = 0, .n_rows = n});
    ut_layernorm(compute, &ddp->norm_2, y, y, NULL, n, n_ch);
    ut_piper_linear(s, &ddp->proj, y, logw, n);
    *step = 1;
    return logw;
}

/* Frames of each id: ceil(exp(logw) * length_scale), at least 1 in the deterministic predictor,
 * whose training counted every phoneme. The whole has at least one frame. They are summed in
 * double, exactly. The test of the range is written so that what is not a number fails it. */
static utter_status count_frames(struct ut_piper_session *s, const float *logw, int step,
                                 int32_t *durations, utter_error *err) {
    double total = 0;
    for (int t = 0; t < s->n_ids; t++) {
        float frames = ceilf(expf(logw[t * step]) * s->request->length_scale);
        if (!s->model->info.stochastic_durations) {
            frames = frames < 1 ? 1 : frames; /* not fmaxf, by which NaN would be 1 */
        }
        if (!(frames >= 0 && frames <= UT_PIPER_MAX_FRAMES)) {
            return ut_fail(err, UTTER_ERROR_MODEL,
                           "the duration of phoneme %d is %g frames: the voice is damaged, or "
                           "speed and noise_w are out of its range",
                           t, (double)frames);
        }
        durations[t] = (int32_t)frames;
        total += frames;
    }
    if (total > UT_PIPER_MAX_FRAMES) {
        return ut_fail(err, UTTER_ERROR_MODEL,
                       "the sentence would take %.0f frames, more than %d: speak faster or in "
                       "shorter sentences",
                       total, (int)UT_PIPER_MAX_FRAMES);
    }
    s->n_frames = total < 1 ? 1 : (int)total;
    return UTTER_OK;
}

utter_status ut_piper_durations(struct ut_piper_session *s, const float *x, int32_t **durations,
                                utter_error *err) {
    int step = 1;
    *durations = ut_arena_alloc(&s->arena, (size_t)s->n_ids, sizeof **durations);
    const float *logw = s->model->sdp ? stochastic(s, x, &step) : deterministic(s, x, &step);
    if (!logw || !*durations) {
        return ut_fail_memory(err, (size_t)s->n_ids * sizeof **durations);
    }
    ut_piper_observe(s, "dp_logw", logw, step, s->n_ids, 1);
    return count_frames(s, logw, step, *durations, err);
}
