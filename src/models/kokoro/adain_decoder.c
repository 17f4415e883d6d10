/* The decoder in front of the generator: aligned text features with pitch and energy through five
 * residual blocks, each of which sees the same conditioning again; the last one doubles the rate to
 * 80 rows a second. Decoder of istftnet.py in the reference. */
#include <stdio.h>
#include <string.h>

#include "compute/time_conv.h"
#include "models/kokoro/kokoro_model.h"

utter_status ut_kokoro_load_decoder(struct kokoro_loader *loader, utter_error *err) {
    struct kokoro_decoder *d = &loader->model->decoder;
    int hidden = loader->model->info.hidden_dim;
    utter_status status =
        ut_kokoro_load_layer(loader, "decoder.F0_conv", 1, 1, 3, true, &d->f0_conv, err);
    status = status
                 ? status
                 : ut_kokoro_load_layer(loader, "decoder.N_conv", 1, 1, 3, true, &d->n_conv, err);
    status = status ? status
                    : ut_kokoro_load_layer(loader, "decoder.asr_res.0", KOKORO_ANY, hidden, 1, true,
                                           &d->asr_res, err);
    status = status ? status
                    : ut_kokoro_load_resblk(loader, "decoder.encode", hidden + 2, KOKORO_ANY, true,
                                            &d->encode, err);
    if (status == UTTER_OK && d->encode.upsample) {
        status = ut_fail(err, UTTER_ERROR_FORMAT,
                         "tensor decoder.encode.pool.weight: the last block of the decoder doubles "
                         "the rate, no other does");
    }
    int n_conditions = d->asr_res.n_out + 2, n_ch = d->encode.n_out;
    for (int i = 0; i < KOKORO_DECODE_BLOCKS && status == UTTER_OK; i++) {
        char name[64];
        bool last = i == KOKORO_DECODE_BLOCKS - 1;
        snprintf(name, sizeof name, "decoder.decode.%d", i);
        status = ut_kokoro_load_resblk(loader, name, n_ch + n_conditions, last ? KOKORO_ANY : n_ch,
                                       true, &d->decode[i], err);
        if (status == UTTER_OK && d->decode[i].upsample != last) {
            status =
                ut_fail(err, UTTER_ERROR_FORMAT,
                        "tensor %s.pool.weight: the last block of the decoder doubles the rate, no "
                        "other does",
                        name);
        }
    }
    return status;
}

/* Convolution of a curve [2 * n_frames] to one value a frame. */
static bool halve(struct ut_kokoro_session *s, const struct ut_layer *layer, const float *curve,
                  float *y, const char *stage) {
    struct ut_time_conv op = {.x = curve,
                              .x_row = 1,
                              .n_in_rows = 2 * s->n_frames,
                              .stride = 2,
                              .dilation = 1,
                              .pad = 1,
                              .out_scale = 1,
                              .y = y,
                              .y_row = 1,
                              .n_rows = s->n_frames};
    bool ok = ut_time_conv_run(&s->compute, &s->arena, layer, &op);
    if (ok) {
        ut_kokoro_observe(s, stage, y, 1, s->n_frames, 1);
    }
    return ok;
}

/* What the blocks see beside their input. */
struct conditions {
    const float *asr, *asr_res, *f0, *n;
    int n_asr, n_res;
};

static utter_status prepare(struct ut_kokoro_session *s, struct conditions *c, utter_error *err) {
    const struct kokoro_decoder *d = &s->model->decoder;
    c->n_asr = s->model->info.hidden_dim;
    c->n_res = d->asr_res.n_out;
    size_t n_frames = (size_t)s->n_frames;
    float *f0 = ut_arena_alloc(&s->arena, n_frames, sizeof *f0);
    float *n = ut_arena_alloc(&s->arena, n_frames, sizeof *n);
    float *asr_res = ut_arena_alloc(&s->arena, n_frames * (size_t)c->n_res, sizeof *asr_res);
    c->asr = ut_kokoro_align(s, s->text, c->n_asr);
    if (!f0 || !n || !asr_res || !c->asr || !halve(s, &d->f0_conv, s->f0, f0, "dec_F0_conv") ||
        !halve(s, &d->n_conv, s->n, n, "dec_N_conv")) {
        return ut_fail_memory(err, n_frames * (size_t)(c->n_asr + c->n_res) * sizeof(float));
    }
    ut_kokoro_observe(s, "asr", c->asr, c->n_asr, s->n_frames, c->n_asr);
    ut_kokoro_linear(s, &d->asr_res, c->asr, asr_res, s->n_frames);
    ut_kokoro_observe(s, "dec_asr_res", asr_res, c->n_res, s->n_frames, c->n_res);
    c->asr_res = asr_res;
    c->f0 = f0;
    c->n = n;
    return UTTER_OK;
}

/* asr, F0 and N side by side: [n_frames, hidden + 2]. */
static float *first_input(struct ut_kokoro_session *s, const struct conditions *c) {
    ptrdiff_t pitch = c->n_asr + 2;
    float *x = ut_arena_alloc(&s->arena, (size_t)s->n_frames * (size_t)pitch, sizeof *x);
    for (int t = 0; x && t < s->n_frames; t++) {
        float *row = x + t * pitch;
        memcpy(row, c->asr + (ptrdiff_t)t * c->n_asr, (size_t)c->n_asr * sizeof *row);
        row[c->n_asr] = c->f0[t];
        row[c->n_asr + 1] = c->n[t];
    }
    return x;
}

/* [n_frames, n_ch + conditions] with the conditions filled in and room for a block's output before
 * them. */
static float *next_input(struct ut_kokoro_session *s, const struct conditions *c, int n_ch) {
    ptrdiff_t pitch = n_ch + c->n_res + 2;
    float *x = ut_arena_alloc(&s->arena, (size_t)s->n_frames * (size_t)pitch, sizeof *x);
    for (int t = 0; x && t < s->n_frames; t++) {
        float *row = x + t * pitch + n_ch;
        memcpy(row, c->asr_res + (ptrdiff_t)t * c->n_res, (size_t)c->n_res * sizeof *row);
        row[c->n_res] = c->f0[t];
        row[c->n_res + 1] = c->n[t];
    }
    return x;
}

static utter_status run_blocks(struct ut_kokoro_session *s, float *y, utter_error *err) {
    const struct kokoro_decoder *d = &s->model->decoder;
    struct conditions c;
    utter_status status = prepare(s, &c, err);
    if (status) {
        return status;
    }
    /* Two buffers take turns: a block reads one and writes into the free columns of the other. */
    int n_ch = d->encode.n_out, pitch = d->decode[0].n_in;
    float *first = first_input(s, &c);
    float *buffers[2] = {next_input(s, &c, n_ch), next_input(s, &c, n_ch)};
    if (!first || !buffers[0] || !buffers[1]) {
        return ut_fail_memory(err, (size_t)s->n_frames * (size_t)pitch * sizeof(float));
    }
    status = ut_kokoro_resblk(s, &d->encode, s->style_decoder, first, d->encode.n_in, s->n_frames,
                              buffers[0], pitch, err);
    ut_kokoro_observe(s, "dec_encode", buffers[0], pitch, s->n_frames, n_ch);
    for (int i = 0; i < KOKORO_DECODE_BLOCKS && status == UTTER_OK; i++) {
        const struct kokoro_resblk *block = &d->decode[i];
        bool last = i == KOKORO_DECODE_BLOCKS - 1;
        float *out = last ? y : buffers[(i + 1) % 2];
        int out_pitch = last ? block->n_out : pitch;
        status = ut_kokoro_resblk(s, block, s->style_decoder, buffers[i % 2], pitch, s->n_frames,
                                  out, out_pitch, err);
        char stage[32];
        snprintf(stage, sizeof stage, "dec_block_%d", i);
        ut_kokoro_observe(s, stage, out, out_pitch, last ? 2 * s->n_frames : s->n_frames,
                          block->n_out);
    }
    return status;
}

utter_status ut_kokoro_decode(struct ut_kokoro_session *s, float *x, utter_error *err) {
    struct ut_arena_mark mark = ut_arena_mark(&s->arena);
    utter_status status = run_blocks(s, x, err);
    ut_arena_rewind(&s->arena, mark);
    return status;
}
