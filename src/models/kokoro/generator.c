/* The iSTFTNet generator: two upsampling stages, each with the noise branch of the harmonic source
 * added and the mean of residual blocks behind it, then magnitudes and phases, then the inverse
 * STFT. Generator, AdaINResBlock1 and TorchSTFT.inverse of istftnet.py in the reference.
 *
 * Each residual convolution normalises over the whole utterance, so activations exist for a whole
 * unit; at the last stage there are four buffers of 120 * n_frames + 1 rows, in bfloat16 where the
 * convolutions are in narrow arithmetic: with a precision of 8 bits they add nothing to speak of to
 * the error of rounding rows to int8, and half the memory passes through the caches. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "compute/narrow.h"
#include "models/kokoro/adain.h"

enum {
    SPECTRUM_BLOCK_ROWS = 256,
    SCRATCH_BYTES = 8 << 20 /* statistics, and the threads' copies of input rows */
};

#define SLOPE 0.1f
#define SLOPE_LAST 0.01f

struct stage_buffers { /* [n_rows, n_ch] each, floats or bfloat16 */
    void *in;          /* noise branch, then the stage's input */
    void *mid, *residual, *sum;
    int n_rows, n_ch;
    bool half;
};

/* What the stages' buffers hold. */
static bool is_half(const struct ut_kokoro_session *s) {
    return ut_narrow_kind(&s->compute) != NULL;
}

static size_t value_bytes(const struct ut_kokoro_session *s) {
    return is_half(s) ? sizeof(uint16_t) : sizeof(float);
}

/* Of the source's spectrum and of the last stage. */
static int n_spectrum_rows(const struct ut_kokoro_session *s) {
    return UT_KOKORO_SAMPLES_PER_FRAME / s->model->config.hop * s->n_frames + 1;
}

/* Rows of a stage's buffer as floats, for observers: themselves, or a copy in the arena; NULL: no
 * memory. */
static const float *as_floats(struct ut_kokoro_session *s, const void *data, int n_rows, int n_ch) {
    size_t n = (size_t)n_rows * (size_t)n_ch;
    float *floats = is_half(s) ? ut_arena_alloc(&s->arena, n, sizeof *floats) : NULL;
    if (floats) {
        s->compute.kernels->bf16_to_f32(floats, data, n);
    }
    return is_half(s) ? floats : data;
}

/* Shows a stage's buffer. Without memory for a copy of it the arena has failed, which the run's end
 * reports. */
static void observe_indexed(struct ut_kokoro_session *s, const char *format, int i, int j,
                            const void *data, int n_rows, int n_ch) {
    char stage[40];
    if (s->request->observer) {
        struct ut_arena_mark mark = ut_arena_mark(&s->arena);
        const float *floats = as_floats(s, data, n_rows, n_ch);
        snprintf(stage, sizeof stage, format, i, j);
        if (floats) {
            ut_kokoro_observe(s, stage, floats, n_ch, n_rows, n_ch);
        }
        ut_arena_rewind(&s->arena, mark);
    }
}

/* One convolution of a residual block on AdaIN and snake of x. */
static bool run_step(struct ut_kokoro_session *s, const struct kokoro_resblock *block, int step,
                     const void *x, struct ut_moments *moments, int n_rows,
                     struct ut_time_conv op) {
    const struct ut_layer *conv = &block->steps[step].conv;
    struct ut_modulation modulation;
    if (!ut_kokoro_adain(s, &block->steps[step].adain, s->style_decoder, moments, &modulation)) {
        return false;
    }
    modulation.alpha = block->steps[step].alpha;
    modulation.inv_alpha = block->steps[step].inv_alpha;
    op.x = x;
    op.x_half = op.y_half = is_half(s);
    op.modulation = &modulation;
    op.stride = 1;
    op.dilation = step % 2 == 0 ? block->dilations[step / 2] : 1;
    op.pad = op.dilation * (conv->n_taps - 1) / 2;
    op.x_row = op.y_row = op.add_row = op.add2_row = block->n_ch;
    op.n_in_rows = op.n_rows = n_rows;
    op.moments = moments;
    return ut_time_conv_run(&s->compute, &s->arena, conv, &op);
}

/* out = (block(in) + sum) * scale; moments: of `in`, from before. `in` may be out. */
static utter_status run_resblock(struct ut_kokoro_session *s, const struct kokoro_resblock *block,
                                 const struct stage_buffers *b, struct ut_moments moments,
                                 const void *sum, float scale, void *out, utter_error *err) {
    struct ut_arena_mark mark = ut_arena_mark(&s->arena);
    const void *x = b->in;
    for (int pair = 0; pair < block->n_pairs; pair++) {
        bool last = pair == block->n_pairs - 1;
        struct ut_time_conv first = {.out_scale = 1, .y = b->mid};
        struct ut_time_conv second = {.out_scale = last ? scale : 1,
                                      .add = x,
                                      .add2 = last ? sum : NULL,
                                      .y = last ? out : b->residual};
        if (!run_step(s, block, 2 * pair, x, &moments, b->n_rows, first) ||
            !run_step(s, block, 2 * pair + 1, b->mid, &moments, b->n_rows, second)) {
            return ut_fail_memory(err, (size_t)b->n_ch * sizeof(float));
        }
        x = b->residual;
        utter_status status = ut_kokoro_check_cancel(s, err);
        if (status) {
            return status;
        }
    }
    ut_arena_rewind(&s->arena, mark);
    return UTTER_OK;
}

/* ---- Stages -------------------------------------------------------------------------------------
 */

static utter_status run_noise(struct ut_kokoro_session *s, int index, const float *har,
                              int n_har_rows, const struct stage_buffers *b, utter_error *err) {
    const struct kokoro_stage *stage = &s->model->generator.stages[index];
    struct ut_moments moments;
    struct ut_time_conv op = {.x = har,
                              .x_row = stage->noise_conv.n_in,
                              .n_in_rows = n_har_rows,
                              .stride = stage->noise_stride,
                              .dilation = 1,
                              .pad = stage->noise_pad,
                              .out_scale = 1,
                              .y = b->in,
                              .y_half = b->half,
                              .y_row = b->n_ch,
                              .n_rows = b->n_rows,
                              .moments = &moments};
    if (!ut_time_conv_run(&s->compute, &s->arena, &stage->noise_conv, &op)) {
        return ut_fail_memory(err, (size_t)b->n_ch * sizeof(float));
    }
    observe_indexed(s, "gen_noise_conv_%d", index, 0, b->in, b->n_rows, b->n_ch);
    utter_status status = run_resblock(s, &stage->noise_res, b, moments, NULL, 1, b->in, err);
    if (status == UTTER_OK) {
        observe_indexed(s, "gen_noise_res_%d", index, 0, b->in, b->n_rows, b->n_ch);
    }
    return status;
}

/* Input rows of a stage: the decoder's floats or the stage before. */
struct stage_input {
    const void *x;
    bool half;
    int n_rows;
};

/* Rows m.. of y with pitch y_row, n_rows of them = phase r of the transposed convolution of leaky
 * ReLU of the input, output rows m * rate + r and so on; `add`: to what y holds. */
static bool upsample_phase(struct ut_kokoro_session *s, const struct kokoro_upsample *up,
                           const struct stage_input *in, int r, int m, int n_rows, void *y,
                           ptrdiff_t y_row, bool add) {
    static const struct ut_modulation leaky = {.slope = SLOPE};
    struct ut_time_conv op = {.x = in->x,
                              .x_half = in->half,
                              .x_row = up->phases[r].n_in,
                              .n_in_rows = in->n_rows,
                              .modulation = &leaky,
                              .stride = 1,
                              .dilation = 1,
                              .pad = -up->shift[r] - m,
                              .out_scale = 1,
                              .add = add ? y : NULL,
                              .add_row = y_row,
                              .y = y,
                              .y_half = is_half(s),
                              .y_row = y_row,
                              .n_rows = n_rows};
    return ut_time_conv_run(&s->compute, &s->arena, &up->phases[r], &op);
}

/* y [n_rows * rate, n_out] = transposed convolution of leaky ReLU of the input, or y + that. */
static bool upsample(struct ut_kokoro_session *s, const struct kokoro_upsample *up,
                     const struct stage_input *in, void *y, bool add) {
    bool ok = true;
    for (int r = 0; r < up->rate && ok; r++) {
        char *first = (char *)y + (size_t)r * (size_t)up->n_out * value_bytes(s);
        ok = upsample_phase(s, up, in, r, 0, in->n_rows, first, (ptrdiff_t)up->rate * up->n_out,
                            add);
    }
    return ok;
}

/* The stage's input: upsampled x added to the noise branch. The last stage has one row more than
 * upsampling makes: at the front its row 1, a reflection. */
static utter_status begin_stage(struct ut_kokoro_session *s, int index,
                                const struct stage_input *in, const struct stage_buffers *b,
                                struct ut_moments *moments, utter_error *err) {
    const struct kokoro_upsample *up = &s->model->generator.stages[index].up;
    int n_up = in->n_rows * up->rate, n_front = b->n_rows - n_up;
    if (s->request->observer) {
        if (!upsample(s, up, in, b->mid, false)) {
            return ut_fail_memory(err, (size_t)b->n_ch * sizeof(float));
        }
        observe_indexed(s, "gen_ups_%d", index, 0, b->mid, n_up, b->n_ch);
    }
    char *first = (char *)b->in + (size_t)n_front * (size_t)b->n_ch * value_bytes(s);
    bool ok = upsample(s, up, in, first, true);
    ok = ok && (n_front == 0 ||
                upsample_phase(s, up, in, 1 % up->rate, 1 / up->rate, 1, b->in, b->n_ch, true));
    observe_indexed(s, "gen_stage_%d_in", index, 0, b->in, b->n_rows, b->n_ch);
    if (!ok || !ut_moments_take(&s->compute, &s->arena, b->in, b->half, b->n_ch, b->n_rows, b->n_ch,
                                moments)) {
        return ut_fail_memory(err, (size_t)b->n_ch * sizeof(float));
    }
    return ut_kokoro_check_cancel(s, err);
}

/* A block by itself, for observers: in a run its output exists only in the sum. */
static utter_status show_resblock(struct ut_kokoro_session *s, int index, int j,
                                  const struct stage_buffers *b, struct ut_moments moments,
                                  utter_error *err) {
    size_t n = (size_t)b->n_rows * (size_t)b->n_ch;
    void *out = ut_arena_alloc(&s->arena, n, value_bytes(s));
    if (!out) {
        return ut_fail_memory(err, n * value_bytes(s));
    }
    utter_status status = run_resblock(s, &s->model->generator.stages[index].resblocks[j], b,
                                       moments, NULL, 1, out, err);
    if (status == UTTER_OK) {
        observe_indexed(s, "gen_resblock_%d_%d", index, j, out, b->n_rows, b->n_ch);
    }
    return status;
}

/* b->sum = mean of the residual blocks of b->in. */
static utter_status run_resblocks(struct ut_kokoro_session *s, int index,
                                  const struct stage_buffers *b, struct ut_moments moments,
                                  utter_error *err) {
    const struct kokoro_stage *stage = &s->model->generator.stages[index];
    int n = s->model->config.n_kernels;
    utter_status status = UTTER_OK;
    for (int j = 0; j < n && status == UTTER_OK; j++) {
        if (s->request->observer) {
            struct ut_arena_mark mark = ut_arena_mark(&s->arena);
            status = show_resblock(s, index, j, b, moments, err);
            ut_arena_rewind(&s->arena, mark);
        }
        status = status ? status
                        : run_resblock(s, &stage->resblocks[j], b, moments, j ? b->sum : NULL,
                                       j == n - 1 ? 1 / (float)n : 1, b->sum, err);
    }
    return status;
}

/* Rows that a stage makes of n_rows. */
static int n_stage_rows(const struct ut_kokoro *model, int index, int n_rows) {
    bool last = index == model->config.n_upsamples - 1;
    return n_rows * model->generator.stages[index].up.rate + (last ? 1 : 0);
}

/* One stage, into room->out[index]. */
static utter_status run_stage(struct ut_kokoro_session *s, int index, const struct stage_input *in,
                              const struct kokoro_room *room, utter_error *err) {
    const struct ut_kokoro *model = s->model;
    int n_har_rows = n_spectrum_rows(s);
    struct stage_buffers b = {.sum = room->out[index],
                              .n_rows = n_stage_rows(model, index, in->n_rows),
                              .n_ch = model->generator.stages[index].up.n_out,
                              .half = is_half(s)};
    size_t n = (size_t)b.n_rows * (size_t)b.n_ch;
    struct ut_arena_mark mark = ut_arena_mark(&s->arena);
    b.in = ut_arena_alloc(&s->arena, n, value_bytes(s));
    b.mid = ut_arena_alloc(&s->arena, n, value_bytes(s));
    b.residual = ut_arena_alloc(&s->arena, n, value_bytes(s));
    if (!b.in || !b.mid || !b.residual) {
        return ut_fail_memory(err, n * value_bytes(s));
    }
    struct ut_moments moments;
    utter_status status = run_noise(s, index, room->har, n_har_rows, &b, err);
    status = status ? status : begin_stage(s, index, in, &b, &moments, err);
    status = status ? status : run_resblocks(s, index, &b, moments, err);
    ut_arena_rewind(&s->arena, mark);
    return status;
}

/* ---- Spectrum to samples ------------------------------------------------------------------------
 */

struct spectrum {
    const struct ut_kokoro_session *s;
    float *x; /* [n_rows, 2 * n_bins]: log magnitudes and phases, then real and imaginary parts */
    int n_bins;
};

static void to_cartesian(void *user, int begin, int end) {
    const struct spectrum *spectrum = user;
    const struct ut_kernels *kernels = spectrum->s->compute.kernels;
    int n_bins = spectrum->n_bins;
    float sine[256];
    for (int t = begin; t < end; t++) {
        float *magnitude = spectrum->x + (ptrdiff_t)t * 2 * n_bins, *phase = magnitude + n_bins;
        kernels->exp_f32(magnitude, magnitude, (size_t)n_bins);
        kernels->sin_f32(phase, phase, (size_t)n_bins);
        kernels->sin_f32(sine, phase, (size_t)n_bins);
        kernels->cos_f32(phase, phase, (size_t)n_bins);
        for (int k = 0; k < n_bins; k++) {
            float m = magnitude[k];
            magnitude[k] = m * phase[k];
            phase[k] = m * sine[k];
        }
    }
}

/* gen_spec and gen_phase, which a run does not keep. */
static utter_status show_spectrum(struct ut_kokoro_session *s, const float *x, int n_rows,
                                  int n_bins, utter_error *err) {
    const struct ut_kernels *kernels = s->compute.kernels;
    size_t n = (size_t)n_rows * 2 * (size_t)n_bins;
    float *shown = ut_arena_alloc(&s->arena, n, sizeof *shown);
    if (!shown) {
        return ut_fail_memory(err, n * sizeof *shown);
    }
    kernels->exp_f32(shown, x, n);
    ut_kokoro_observe(s, "gen_spec", shown, 2 * n_bins, n_rows, n_bins);
    kernels->sin_f32(shown, x, n);
    ut_kokoro_observe(s, "gen_phase", shown + n_bins, 2 * n_bins, n_rows, n_bins);
    return UTTER_OK;
}

struct overlap {
    const float *frames; /* [n_frames, n_fft], windowed */
    const float *window;
    float *audio;
    int n_frames, n_fft, hop;
};

/* Overlap-add of blocks of `hop` samples, divided by the sum of the squared windows that reached
 * each. */
static void overlap_add(void *user, int begin, int end) {
    const struct overlap *o = user;
    for (int block = begin; block < end; block++) {
        for (int i = 0; i < o->hop; i++) {
            int at = block * o->hop + i + o->n_fft / 2; /* the signal is centred on its frames */
            int first = at < o->n_fft ? 0 : (at - o->n_fft) / o->hop + 1;
            int last = UT_MIN(at / o->hop, o->n_frames - 1);
            float sum = 0, weight = 0;
            for (int t = first; t <= last; t++) {
                float w = o->window[at - t * o->hop];
                sum += o->frames[(ptrdiff_t)t * o->n_fft + at - t * o->hop];
                weight += w * w;
            }
            o->audio[block * o->hop + i] = sum / weight;
        }
    }
}

static utter_status synthesize(struct ut_kokoro_session *s, float *x, int n_rows, float **audio,
                               utter_error *err) {
    const struct ut_kokoro *model = s->model;
    int n_fft = model->config.n_fft, n_bins = n_fft / 2 + 1;
    size_t n_samples = (size_t)(n_rows - 1) * (size_t)model->config.hop;
    float *frames = ut_arena_alloc(&s->arena, (size_t)n_rows * (size_t)n_fft, sizeof *frames);
    *audio = ut_arena_alloc(&s->arena, n_samples, sizeof **audio);
    if (!frames || !*audio) {
        return ut_fail_memory(err, (size_t)n_rows * (size_t)n_fft * sizeof *frames);
    }
    utter_status status =
        s->request->observer ? show_spectrum(s, x, n_rows, n_bins, err) : UTTER_OK;
    struct spectrum spectrum = {s, x, n_bins};
    ut_pool_run(s->compute.pool, n_rows, SPECTRUM_BLOCK_ROWS, to_cartesian, &spectrum);
    ut_kokoro_linear(s, &model->generator.istft, x, frames, n_rows);
    struct overlap overlap = {frames, model->generator.window, *audio, n_rows,
                              n_fft,  model->config.hop};
    ut_pool_run(s->compute.pool, n_rows - 1, SPECTRUM_BLOCK_ROWS, overlap_add, &overlap);
    ut_kokoro_observe(s, "audio", *audio, 1, (int)n_samples, 1);
    return status;
}

static utter_status post(struct ut_kokoro_session *s, const void *x, int n_rows, float **audio,
                         utter_error *err) {
    static const struct ut_modulation leaky = {.slope = SLOPE_LAST};
    const struct ut_kokoro *model = s->model;
    const struct ut_layer *layer = &model->generator.conv_post;
    float *y = ut_arena_alloc(&s->arena, (size_t)n_rows * (size_t)layer->n_out, sizeof *y);
    struct ut_time_conv op = {.x = x,
                              .x_half = is_half(s),
                              .x_row = layer->n_in,
                              .n_in_rows = n_rows,
                              .modulation = &leaky,
                              .stride = 1,
                              .dilation = 1,
                              .pad = layer->n_taps / 2,
                              .out_scale = 1,
                              .y = y,
                              .y_row = layer->n_out,
                              .n_rows = n_rows};
    if (!y || !ut_time_conv_run(&s->compute, &s->arena, layer, &op)) {
        return ut_fail_memory(err, (size_t)n_rows * (size_t)layer->n_out * sizeof *y);
    }
    ut_kokoro_observe(s, "gen_conv_post", y, layer->n_out, n_rows, layer->n_out);
    return synthesize(s, y, n_rows, audio, err);
}

/* The input of conv_post as the reference has it, behind its leaky ReLU. */
static utter_status show_post_in(struct ut_kokoro_session *s, const void *x, int n_rows, int n_ch,
                                 utter_error *err) {
    size_t n = (size_t)n_rows * (size_t)n_ch;
    const float *floats = as_floats(s, x, n_rows, n_ch);
    float *shown = ut_arena_alloc(&s->arena, n, sizeof *shown);
    if (!floats || !shown) {
        return ut_fail_memory(err, n * sizeof *shown);
    }
    s->compute.kernels->leaky_relu_f32(shown, floats, SLOPE_LAST, n);
    ut_kokoro_observe(s, "gen_post_in", shown, n_ch, n_rows, n_ch);
    return UTTER_OK;
}

/* n bytes behind `*at`, which they move on. */
static size_t next_place(size_t *at, size_t n) {
    size_t place = *at;
    *at += (n + 63) / 64 * 64;
    return place;
}

utter_status ut_kokoro_make_room(struct ut_kokoro_session *s, struct kokoro_room *out,
                                 utter_error *err) {
    const struct ut_kokoro *model = s->model;
    int n_rows = 2 * s->n_frames, last = model->config.n_upsamples - 1;
    size_t n_x = (size_t)model->generator.stages[0].up.phases[0].n_in, n_kept = 0, n_stage = 0;
    size_t n_har = (size_t)n_spectrum_rows(s) * (size_t)(model->config.n_fft + 2);
    size_t x = next_place(&n_kept, (size_t)n_rows * n_x * sizeof(float));
    size_t har = next_place(&n_kept, n_har * sizeof(float)), stages[KOKORO_MAX_UPSAMPLES] = {0};
    for (int i = 0; i <= last; i++) {
        n_rows = n_stage_rows(model, i, n_rows);
        size_t n = (size_t)n_rows * (size_t)model->generator.stages[i].up.n_out * value_bytes(s);
        stages[i] = i < last ? next_place(&n_kept, n) : 0;
        n_kept = UT_MAX(n_kept, i < last ? 0 : n);
        n_stage = UT_MAX(n_stage, n);
    }
    /* One block for this and for the largest stage's other three buffers, where stage after stage
     * would leave the smaller ones of the one before behind. */
    size_t n_bytes = n_kept + 3 * n_stage + SCRATCH_BYTES;
    ut_arena_trim(&s->arena);
    struct ut_arena_mark mark = ut_arena_mark(&s->arena);
    char *kept = ut_arena_alloc(&s->arena, n_bytes, 1);
    if (!kept) {
        return ut_fail_memory(err, n_bytes);
    }
    ut_arena_rewind(&s->arena, mark);
    kept = ut_arena_alloc(&s->arena, n_kept, 1);
    *out = (struct kokoro_room){.x = (float *)(kept + x), .har = (float *)(kept + har)};
    for (int i = 0; i <= last; i++) {
        out->out[i] = kept + stages[i];
    }
    return UTTER_OK;
}

utter_status ut_kokoro_generate(struct ut_kokoro_session *s, const struct kokoro_room *room,
                                float **audio, utter_error *err) {
    static const char *const names[KOKORO_MAX_UPSAMPLES] = {"generator 1", "generator 2",
                                                            "generator 3", "generator 4"};
    const struct ut_kokoro *model = s->model;
    struct stage_input in = {.x = room->x, .n_rows = 2 * s->n_frames};
    utter_status status = UTTER_OK;
    for (int i = 0; i < model->config.n_upsamples && status == UTTER_OK; i++) {
        ut_tally_begin(s->compute.tally, names[i]);
        status = run_stage(s, i, &in, room, err);
        in.n_rows = n_stage_rows(model, i, in.n_rows);
        in.x = room->out[i];
        in.half = is_half(s);
    }
    if (status == UTTER_OK && s->arena.failed) {
        status = ut_fail_memory(err, (size_t)in.n_rows * sizeof(float)); /* in observe_indexed */
    }
    if (status == UTTER_OK && s->request->observer) {
        status = show_post_in(s, in.x, in.n_rows, model->generator.conv_post.n_in, err);
    }
    ut_tally_begin(s->compute.tally, "samples");
    return status ? status : post(s, in.x, in.n_rows, audio, err);
}
