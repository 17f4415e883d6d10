/* `utter trace` for Kokoro: the inputs of a case and the order of each stage in the golden files.
 * Noise is the recorded one, else that of the golden files' generator from `noise_state`, else
 * none. Where a case has `gen_har`, the generator runs on it, for its phases are too sensitive to
 * compare what follows. */
#include <fnmatch.h>
#include <string.h>

#include "base/checked.h"
#include "models/kokoro/kokoro_model.h"
#include "models/tracer.h"

enum { N_HARMONICS = 9, SAMPLES_PER_FRAME = 600 };

struct kokoro_trace {
    struct ut_tracer *tracer;
    struct ut_kokoro_session *session;
};

static enum ut_trace_order order_of(const char *stage) {
    static const char *const vectors[] = {"dur_float", "durations", "align_index",   "F0",
                                          "N",         "audio",     "gen_har_source"};
    static const char *const by_time[] = {"bert_out",     "d_en",       "dur_enc_*",
                                          "dur_lstm_out", "dur_logits", "shared_lstm_out",
                                          "text_enc_out"};
    for (size_t i = 0; i < UT_COUNT(vectors); i++) {
        if (strcmp(stage, vectors[i]) == 0) {
            return UT_TRACE_VECTOR;
        }
    }
    for (size_t i = 0; i < UT_COUNT(by_time); i++) {
        if (fnmatch(by_time[i], stage, 0) == 0) {
            return UT_TRACE_TIME_FIRST;
        }
    }
    return UT_TRACE_CHANNELS_FIRST;
}

static void collect(void *user, const char *stage, const struct ut_kokoro_view *view) {
    struct kokoro_trace *trace = user;
    ut_tracer_put(trace->tracer, stage, order_of(stage), view->data, view->row, 0, view->n_rows,
                  view->n_rows, view->n_ch);
}

/* The golden files' noise: uniform, of unit variance, from a linear congruential generator. */
static void draw_noise(uint32_t state, float *noise, size_t n) {
    for (size_t i = 0; i < n; i++) {
        state = 1664525 * state + 1013904223;
        noise[i] = (float)((double)(state >> 8) / 16777216 * 2 - 1) * 1.7320508f;
    }
}

/* How long a run will be is known behind the durations only: enough noise for the longest. */
static utter_status make_noise(struct ut_tracer *tracer, uint32_t state, size_t n_frames,
                               struct ut_kokoro_request *request, utter_error *err) {
    size_t n = n_frames * SAMPLES_PER_FRAME * N_HARMONICS;
    float *noise = ut_arena_alloc(ut_tracer_arena(tracer), n, sizeof *noise);
    if (!noise) {
        return ut_fail_memory(err, n * sizeof *noise);
    }
    draw_noise(state, noise, n);
    request->noise = noise;
    request->n_noise = n;
    return UTTER_OK;
}

/* Frames that the case's inputs lead to. */
static utter_status count_frames(struct ut_kokoro_session *session,
                                 const struct ut_kokoro_request *request, size_t *n_frames,
                                 utter_error *err) {
    struct ut_kokoro_request silent = *request;
    struct ut_kokoro_result result;
    silent.zero_noise = true;
    silent.observer = NULL;
    silent.har = NULL;
    utter_status status = ut_kokoro_run(session, &silent, &result, err);
    *n_frames = result.n_frames;
    return status;
}

static utter_status run_case(struct ut_tracer *tracer, void *family, utter_error *err) {
    struct kokoro_trace trace = {tracer, family};
    utter_status status = UTTER_OK;
    size_t n_ids, n_style, n_speed, n_state, n_noise, n_har, n_frames;
    const int32_t *ids = ut_tracer_ints(tracer, "input_ids", &n_ids, &status, err);
    const float *style = ut_tracer_floats(tracer, "ref_s", &n_style, &status, err);
    const float *speed = ut_tracer_floats(tracer, "speed", &n_speed, &status, err);
    const int32_t *state = ut_tracer_ints(tracer, "noise_state", &n_state, &status, err);
    const float *noise = ut_tracer_floats(tracer, "noise", &n_noise, &status, err);
    const float *har = ut_tracer_floats(tracer, "gen_har", &n_har, &status, err);
    if (status) {
        return status;
    }
    size_t style_dim = (size_t)trace.session->model->info.style_dim;
    if (!ids || n_style != 2 * style_dim || n_speed != 1 || (state && n_state != 1)) {
        return ut_fail(err, UTTER_ERROR_FORMAT,
                       "case %s: needs input_ids, ref_s of %zu values, one speed and at most one "
                       "noise_state",
                       ut_tracer_case(tracer), 2 * style_dim);
    }
    struct ut_kokoro_request request = {.ids = ids,
                                        .n_ids = n_ids,
                                        .style = style,
                                        .speed = speed[0],
                                        .noise = noise,
                                        .n_noise = n_noise,
                                        .har = har,
                                        .n_har = n_har,
                                        .zero_noise = !noise && !state,
                                        .observer = collect,
                                        .observer_user = &trace};
    if (!noise && state) {
        status = count_frames(trace.session, &request, &n_frames, err);
        status = status ? status : make_noise(tracer, (uint32_t)state[0], n_frames, &request, err);
    }
    return status ? status : ut_kokoro_run(trace.session, &request, NULL, err);
}

utter_status ut_kokoro_trace(struct ut_kokoro *model, const char *golden, const char *case_name,
                             const char *out_path, utter_trace_fn stage, void *user,
                             utter_error *err) {
    struct ut_kokoro_session *session;
    utter_status status = ut_kokoro_session_create(model, &session, err);
    if (status == UTTER_OK) {
        struct ut_tracer_family family = {"input_ids", run_case, session};
        status = ut_tracer_run(model->mem, &family, golden, case_name, out_path, stage, user, err);
        ut_kokoro_session_destroy(session);
    }
    return status;
}
