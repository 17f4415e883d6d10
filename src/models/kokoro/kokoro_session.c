/* One synthesis: ids and a style row to samples, and what the forward files share. */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "models/kokoro/kokoro_model.h"

enum {
    /* The first and the last id stand for silence of the recording's edges. Speech may begin a
     * little before the frame that the predicted durations say, and its decay goes on behind;
     * measured against it, peers that cut by energy or not at all leave 0.3 to 0.7 s of hiss. */
    KEEP_FRAMES_BEFORE = 2,
    KEEP_FRAMES_BEHIND = 4,
    SAMPLES_PER_CALL = 4096
};

/* ---- Shared -------------------------------------------------------------------------------------
 */

void ut_kokoro_observe(const struct ut_kokoro_session *s, const char *stage, const float *data,
                       ptrdiff_t row, int n_rows, int n_ch) {
    if (s->request->observer) {
        struct ut_kokoro_view view = {data, row, n_rows, n_ch};
        s->request->observer(s->request->observer_user, stage, &view);
    }
}

utter_status ut_kokoro_check_cancel(const struct ut_kokoro_session *s, utter_error *err) {
    return s->request->cancel && atomic_load(s->request->cancel)
               ? ut_fail(err, UTTER_ERROR_CANCELLED, "cancelled")
               : UTTER_OK;
}

utter_status ut_kokoro_check_finite(const float *x, size_t n, const char *what, utter_error *err) {
    for (size_t i = 0; i < n; i++) {
        if (!(x[i] - x[i] == 0)) {
            return ut_fail(err, UTTER_ERROR_MODEL,
                           "the %s hold a value that is not finite: the weights or the voice are "
                           "damaged",
                           what);
        }
    }
    return UTTER_OK;
}

void ut_kokoro_linear(const struct ut_kokoro_session *s, const struct ut_layer *layer,
                      const float *x, float *y, int n_rows) {
    struct ut_conv op = {
        .x = x, .x_row = layer->n_in, .scale = 1, .y = y, .y_row = layer->n_out, .n_rows = n_rows};
    ut_conv(&s->compute, layer, &op);
}

/* ---- Sessions -----------------------------------------------------------------------------------
 */

utter_status ut_kokoro_session_create(const struct ut_kokoro *model, struct ut_kokoro_session **out,
                                      utter_error *err) {
    *out = ut_mem_calloc(model->mem, UT_MEM_SESSION, 1, sizeof **out);
    if (!*out) {
        return ut_fail_memory(err, sizeof **out);
    }
    (*out)->model = model;
    (*out)->compute = model->compute;
    ut_arena_init(&(*out)->arena, model->mem, UT_MEM_SESSION);
    return UTTER_OK;
}

void ut_kokoro_session_destroy(struct ut_kokoro_session *session) {
    if (session) {
        ut_arena_free(&session->arena);
        ut_mem_free(session->model->mem, session);
    }
}

/* ---- A run --------------------------------------------------------------------------------------
 */

static utter_status check(const struct ut_kokoro *model, const struct ut_kokoro_request *request,
                          utter_error *err) {
    if (request->n_ids < 1 || request->n_ids > (size_t)model->info.max_ids) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "%zu phoneme ids: a sentence has 1 to %d",
                       request->n_ids, model->info.max_ids);
    }
    if (!(request->speed >= 0.1f && request->speed <= 10)) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "speed is %g: it must be 0.1 to 10",
                       (double)request->speed);
    }
    return UTTER_OK;
}

/* The ids that the vocabulary has. */
static utter_status take_ids(struct ut_kokoro_session *s, uint32_t *n_skipped, utter_error *err) {
    const struct ut_kokoro_request *request = s->request;
    s->ids = ut_arena_alloc(&s->arena, request->n_ids, sizeof *s->ids);
    if (!s->ids) {
        return ut_fail_memory(err, request->n_ids * sizeof *s->ids);
    }
    for (size_t i = 0; i < request->n_ids; i++) {
        if (request->ids[i] >= 0 && request->ids[i] < s->model->info.n_token) {
            s->ids[s->n_ids++] = request->ids[i];
        } else {
            ++*n_skipped;
        }
    }
    if (*n_skipped) {
        ut_log(&s->model->log, UTTER_LOG_WARNING,
               "%u phoneme ids are outside the model's %d and were skipped", *n_skipped,
               s->model->info.n_token);
    }
    return s->n_ids ? UTTER_OK
                    : ut_fail(err, UTTER_ERROR_ARGUMENT,
                              "no phoneme id is inside the model's vocabulary of %d",
                              s->model->info.n_token);
}

void ut_kokoro_edges(int first_duration, int last_duration, int64_t *begin, int64_t *end) {
    *begin = (int64_t)UT_MAX(first_duration - KEEP_FRAMES_BEFORE, 0) * UT_KOKORO_SAMPLES_PER_FRAME;
    *end = (int64_t)UT_MAX(last_duration - KEEP_FRAMES_BEHIND, 0) * UT_KOKORO_SAMPLES_PER_FRAME;
}

/* Samples begin..end - 1, cut at the edges where asked for. */
static void find_edges(const struct ut_kokoro_session *s, int64_t *begin, int64_t *end) {
    int64_t cut = 0;
    *begin = 0;
    if (s->request->trim && s->n_ids > 2) {
        ut_kokoro_edges(s->durations[0], s->durations[s->n_ids - 1], begin, &cut);
    }
    *end = (int64_t)s->n_frames * UT_KOKORO_SAMPLES_PER_FRAME - cut;
}

static utter_status deliver(const struct ut_kokoro_session *s, float *audio, uint64_t *n_samples,
                            utter_error *err) {
    int64_t begin, end;
    find_edges(s, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        if (!isfinite(audio[i])) {
            return ut_fail(
                err, UTTER_ERROR_MODEL,
                "sample %lld is not a number: the model's weights or the voice are damaged",
                (long long)i);
        }
        audio[i] = UT_MIN(UT_MAX(audio[i], -1.0f), 1.0f);
    }
    for (int64_t i = begin; i < end && s->request->sink; i += SAMPLES_PER_CALL) {
        utter_status status = ut_kokoro_check_cancel(s, err);
        if (status) {
            return status;
        }
        if (!s->request->sink(s->request->user, audio + i,
                              (size_t)UT_MIN(end - i, SAMPLES_PER_CALL))) {
            return ut_fail(err, UTTER_ERROR_CANCELLED, "stopped by the receiver of the samples");
        }
    }
    *n_samples = (uint64_t)(end - begin);
    return UTTER_OK;
}

/* The recorded spectrum, channels first, as the generator reads it. */
static utter_status replace_har(struct ut_kokoro_session *s, float *har, utter_error *err) {
    int n_ch = s->model->config.n_fft + 2;
    int n_rows = UT_KOKORO_SAMPLES_PER_FRAME * s->n_frames / s->model->config.hop + 1;
    if (!s->request->har) {
        return UTTER_OK;
    }
    if (s->request->n_har != (size_t)n_rows * (size_t)n_ch) {
        return ut_fail(err, UTTER_ERROR_MODEL,
                       "the recorded spectrum has %zu values, the durations need %zu (%d frames)",
                       s->request->n_har, (size_t)n_rows * (size_t)n_ch, s->n_frames);
    }
    for (int t = 0; t < n_rows; t++) {
        for (int c = 0; c < n_ch; c++) {
            har[(ptrdiff_t)t * n_ch + c] = s->request->har[(ptrdiff_t)c * n_rows + t];
        }
    }
    return UTTER_OK;
}

static utter_status run(struct ut_kokoro_session *s, struct ut_kokoro_result *result,
                        utter_error *err) {
    struct kokoro_room room;
    float *audio;
    double start = ut_clock_s();
    struct ut_tally *tally = s->compute.tally;
    utter_status status = take_ids(s, &result->n_skipped_ids, err);
    status = status ? status : ut_kokoro_encode(s, err);
    double encoded = ut_clock_s();
    ut_tally_begin(tally, "prosody");
    status = status ? status : ut_kokoro_predict_prosody(s, err);
    double predicted = ut_clock_s();
    ut_tally_begin(tally, "decoder");
    status = status ? status : ut_kokoro_make_room(s, &room, err);
    status = status ? status : ut_kokoro_decode(s, room.x, err);
    ut_tally_begin(tally, "source");
    status = status ? status : ut_kokoro_source(s, room.har, err);
    status = status ? status : replace_har(s, room.har, err);
    status = status ? status : ut_kokoro_generate(s, &room, &audio, err);
    status = status ? status : deliver(s, audio, &result->n_samples, err);
    result->n_frames = (uint32_t)s->n_frames;
    result->encode_s = encoded - start;
    result->flow_s = predicted - encoded;
    result->decode_s = ut_clock_s() - predicted;
    return status;
}

utter_status ut_kokoro_run(struct ut_kokoro_session *session,
                           const struct ut_kokoro_request *request, struct ut_kokoro_result *result,
                           utter_error *err) {
    struct ut_kokoro_result unused;
    result = result ? result : &unused;
    *result = (struct ut_kokoro_result){0};
    const struct ut_kokoro *model = session->model;
    utter_status status = check(model, request, err);
    if (status) {
        return status;
    }
    session->request = request;
    session->n_ids = session->n_frames = 0;
    session->style_decoder = request->style;
    session->style_predictor = request->style + model->info.style_dim;
    session->compute.tally = request->tally;
    ut_tally_begin_unit(request->tally);
    status = run(session, result, err);
    ut_tally_begin(request->tally, NULL);
    ut_arena_reset(&session->arena);
    return status;
}
