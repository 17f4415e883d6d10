/* The text encoder (TextEncoder of StyleTTS 2): embeddings, convolutions with a layer norm over
 * channels and a leaky ReLU each, and a bidirectional LSTM. Its output says what is spoken; how is
 * the style's part. */
#include <stdio.h>
#include <string.h>

#include "models/kokoro/kokoro_model.h"

#define LEAKY_SLOPE 0.2f

static void run_cnn(const struct ut_kokoro_session *s, int index, float *x, float *y) {
    const struct ut_layer *conv = &s->model->text_encoder.cnn[index].conv;
    int n = s->n_ids, hidden = s->model->info.hidden_dim;
    struct ut_conv op = {.x = x - (ptrdiff_t)(conv->n_taps / 2) * hidden,
                         .x_row = hidden,
                         .x_tap = hidden,
                         .scale = 1,
                         .y = y,
                         .y_row = hidden,
                         .n_rows = n};
    ut_conv(&s->compute, conv, &op);
    ut_layernorm(&s->compute, &s->model->text_encoder.cnn[index].norm, x, y, NULL, n, hidden);
    s->compute.kernels->leaky_relu_f32(x, x, LEAKY_SLOPE, (size_t)n * (size_t)hidden);
    char stage[32];
    snprintf(stage, sizeof stage, "text_enc_cnn_%d", index);
    ut_kokoro_observe(s, stage, x, hidden, n, hidden);
}

/* Row 0 of [n_ids, hidden] with zero rows around it for the widest convolution; NULL: no memory. */
static float *padded_rows(struct ut_kokoro_session *s) {
    size_t pad = 0, row = (size_t)s->model->info.hidden_dim;
    for (int i = 0; i < s->model->text_encoder.n_cnn; i++) {
        size_t half = (size_t)s->model->text_encoder.cnn[i].conv.n_taps / 2;
        pad = half > pad ? half : pad;
    }
    size_t n = (size_t)s->n_ids;
    float *data = ut_arena_alloc(&s->arena, n + 2 * pad, row * sizeof *data);
    if (!data) {
        return NULL;
    }
    memset(data, 0, pad * row * sizeof *data);
    memset(data + (pad + n) * row, 0, pad * row * sizeof *data);
    return data + pad * row;
}

utter_status ut_kokoro_encode_text(struct ut_kokoro_session *s, utter_error *err) {
    const struct kokoro_text_encoder *encoder = &s->model->text_encoder;
    int n = s->n_ids, hidden = s->model->info.hidden_dim;
    size_t row = (size_t)hidden * sizeof(float);
    struct ut_arena_mark mark = ut_arena_mark(&s->arena);
    float *x = padded_rows(s), *y = ut_arena_alloc(&s->arena, (size_t)n, row);
    bool ok = x && y;
    for (int t = 0; ok && t < n; t++) {
        memcpy(x + (ptrdiff_t)t * hidden, encoder->embedding + (ptrdiff_t)s->ids[t] * hidden, row);
    }
    for (int i = 0; ok && i < encoder->n_cnn; i++) {
        run_cnn(s, i, x, y);
    }
    ok = ok && ut_lstm_run(&s->compute, &s->arena, &encoder->lstm, x, hidden, s->text, hidden, n);
    ut_arena_rewind(&s->arena, mark);
    if (!ok) {
        return ut_fail_memory(err, (size_t)n * row);
    }
    ut_kokoro_observe(s, "text_enc_out", s->text, hidden, n, hidden);
    return ut_kokoro_check_cancel(s, err);
}
