/* Durations (ProsodyPredictor and DurationEncoder of StyleTTS 2): ALBERT's output, narrowed, goes
 * through bidirectional LSTMs, each followed by a layer norm whose scale and shift come from the
 * style (AdaLayerNorm). One more LSTM and a projection give max_dur logits for each id; the sum of
 * their sigmoids is its length in frames. F0 and energy, which the same module of the reference
 * predicts, are in prosody.c. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "models/kokoro/kokoro_model.h"

#define NORM_EPS 1e-5f

static void observe_layer(const struct ut_kokoro_session *s, int index, const float *data,
                          ptrdiff_t row) {
    char stage[32];
    snprintf(stage, sizeof stage, "dur_enc_%d", index);
    ut_kokoro_observe(s, stage, data, row, s->n_ids, s->model->info.hidden_dim);
}

/* The first columns of d = LayerNorm(x) * (1 + gamma) + beta; `affine` holds both, [2 * hidden]. */
static void adaptive_norm(const struct ut_kokoro_session *s, const struct ut_layer *fc,
                          const float *x, float *affine) {
    int hidden = s->model->info.hidden_dim;
    ut_kokoro_linear(s, fc, s->style_predictor, affine, 1);
    for (int c = 0; c < hidden; c++) {
        affine[c] += 1;
    }
    s->compute.kernels->layernorm_f32(s->d, hidden + s->model->info.style_dim, x, hidden, NULL, 0,
                                      affine, affine + hidden, NORM_EPS, s->n_ids, hidden);
}

/* d = [narrowed ALBERT output, style]. The style's columns stay: every layer reads them again. */
static void start(const struct ut_kokoro_session *s, const float *bert) {
    const struct ut_layer *layer = &s->model->predictor.bert_encoder;
    int hidden = s->model->info.hidden_dim, n_style = s->model->info.style_dim;
    ptrdiff_t row = hidden + n_style;
    struct ut_conv op = {
        .x = bert, .x_row = layer->n_in, .scale = 1, .y = s->d, .y_row = row, .n_rows = s->n_ids};
    ut_conv(&s->compute, layer, &op);
    for (int t = 0; t < s->n_ids; t++) {
        memcpy(s->d + t * row + hidden, s->style_predictor, (size_t)n_style * sizeof(float));
    }
    ut_kokoro_observe(s, "d_en", s->d, row, s->n_ids, hidden);
}

/* d, in place; `h` [n_ids, hidden] and `affine` are scratch. */
static utter_status encode_durations(struct ut_kokoro_session *s, float *h, float *affine,
                                     utter_error *err) {
    const struct kokoro_duration_predictor *predictor = &s->model->predictor;
    int hidden = s->model->info.hidden_dim;
    ptrdiff_t row = hidden + s->model->info.style_dim;
    for (int i = 0; i < predictor->n_layers; i++) {
        if (!ut_lstm_run(&s->compute, &s->arena, &predictor->lstms[i], s->d, row, h, hidden,
                         s->n_ids)) {
            return ut_fail_memory(err, (size_t)s->n_ids * (size_t)hidden * sizeof *h);
        }
        observe_layer(s, 2 * i, h, hidden);
        adaptive_norm(s, &predictor->norms[i], h, affine);
        observe_layer(s, 2 * i + 1, s->d, row);
        utter_status status = ut_kokoro_check_cancel(s, err);
        if (status) {
            return status;
        }
    }
    ut_kokoro_observe(s, "dur_enc_out", s->d, row, s->n_ids, (int)row);
    return UTTER_OK;
}

/* frames[t] = sum of the sigmoids of a row / speed. The logits become their sigmoids. */
static void sum_sigmoids(const struct ut_kokoro_session *s, float *logits, float *frames) {
    int n_bins = s->model->predictor.duration_proj.n_out;
    s->compute.kernels->sigmoid_f32(logits, logits, (size_t)s->n_ids * (size_t)n_bins);
    for (int t = 0; t < s->n_ids; t++) {
        double sum = 0;
        for (int i = 0; i < n_bins; i++) {
            sum += (double)logits[(ptrdiff_t)t * n_bins + i];
        }
        frames[t] = (float)sum / s->request->speed;
    }
    ut_kokoro_observe(s, "dur_float", frames, 1, s->n_ids, 1);
}

/* Whole frames, a tie to the even number, at least 1 for every id. */
static utter_status round_frames(struct ut_kokoro_session *s, const float *frames,
                                 utter_error *err) {
    int64_t total = 0;
    for (int t = 0; t < s->n_ids; t++) {
        if (!(frames[t] <= UT_KOKORO_MAX_FRAMES)) { /* nor is a NaN */
            return ut_fail(err, UTTER_ERROR_MODEL,
                           "the duration of phoneme %d is %g frames: the weights or the voice are "
                           "damaged",
                           t, (double)frames[t]);
        }
        s->durations[t] = (int32_t)fmaxf(rintf(frames[t]), 1);
        total += s->durations[t];
    }
    if (total > UT_KOKORO_MAX_FRAMES) {
        return ut_fail(err, UTTER_ERROR_MODEL,
                       "the text would take %lld frames, more than %d: speak faster or in shorter "
                       "pieces",
                       (long long)total, (int)UT_KOKORO_MAX_FRAMES);
    }
    s->n_frames = (int)total;
    return UTTER_OK;
}

static utter_status predict(struct ut_kokoro_session *s, const float *bert, utter_error *err) {
    const struct kokoro_duration_predictor *predictor = &s->model->predictor;
    size_t n = (size_t)s->n_ids;
    int hidden = s->model->info.hidden_dim, n_bins = predictor->duration_proj.n_out;
    float *h = ut_arena_alloc(&s->arena, n, (size_t)hidden * sizeof *h);
    float *affine = ut_arena_alloc(&s->arena, 2 * (size_t)hidden, sizeof *affine);
    float *logits = ut_arena_alloc(&s->arena, n, (size_t)n_bins * sizeof *logits);
    float *frames = ut_arena_alloc(&s->arena, n, sizeof *frames);
    if (!h || !affine || !logits || !frames) {
        return ut_fail_memory(err, n * (size_t)hidden * sizeof *h);
    }
    start(s, bert);
    utter_status status = encode_durations(s, h, affine, err);
    if (status) {
        return status;
    }
    if (!ut_lstm_run(&s->compute, &s->arena, &predictor->lstm, s->d,
                     hidden + s->model->info.style_dim, h, hidden, s->n_ids)) {
        return ut_fail_memory(err, n * (size_t)hidden * sizeof *h);
    }
    ut_kokoro_observe(s, "dur_lstm_out", h, hidden, s->n_ids, hidden);
    ut_kokoro_linear(s, &predictor->duration_proj, h, logits, s->n_ids);
    ut_kokoro_observe(s, "dur_logits", logits, n_bins, s->n_ids, n_bins);
    sum_sigmoids(s, logits, frames);
    return round_frames(s, frames, err);
}

utter_status ut_kokoro_predict_durations(struct ut_kokoro_session *s, const float *bert,
                                         utter_error *err) {
    struct ut_arena_mark mark = ut_arena_mark(&s->arena);
    utter_status status = predict(s, bert, err);
    ut_arena_rewind(&s->arena, mark);
    return status;
}
