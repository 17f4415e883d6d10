/* One synthesis from ids to samples: encoder, durations, prior, flow, decoder. */
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "compute/rng.h"
#include "models/piper/piper_model.h"

utter_status ut_piper_session_create(const struct ut_piper *model, struct ut_piper_session **out,
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

void ut_piper_session_destroy(struct ut_piper_session *session) {
    if (session) {
        ut_arena_free(&session->arena);
        ut_mem_free(session->model->mem, session);
    }
}

/* What a request may hold. The limits of scales are far above useful ones. */
static utter_status check(const struct ut_piper *model, const struct ut_piper_request *request,
                          utter_error *err) {
    if (request->n_ids < 1 || request->n_ids > UT_PIPER_MAX_IDS) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "%zu phoneme ids: a sentence has 1 to %d",
                       request->n_ids, (int)UT_PIPER_MAX_IDS);
    }
    if (request->speaker < 0 || request->speaker >= model->info.n_speakers) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "speaker %d: the voice has speakers 0 to %d",
                       request->speaker, model->info.n_speakers - 1);
    }
    bool sane = request->noise_scale >= 0 && request->noise_scale <= 100 && request->noise_w >= 0 &&
                request->noise_w <= 100 && request->length_scale > 0 &&
                request->length_scale <= 1000;
    return sane ? UTTER_OK
                : ut_fail(err, UTTER_ERROR_ARGUMENT,
                          "noise_scale %g, length_scale %g or noise_w %g is out of range",
                          (double)request->noise_scale, (double)request->length_scale,
                          (double)request->noise_w);
}

/* The ids that the vocabulary has. The others are skipped: a text with one symbol that the voice
 * never learnt should still be spoken. */
static utter_status take_ids(struct ut_piper_session *s, uint32_t *n_skipped, utter_error *err) {
    const struct ut_piper_request *request = s->request;
    s->ids = ut_arena_alloc(&s->arena, request->n_ids, sizeof *s->ids);
    if (!s->ids) {
        return ut_fail_memory(err, request->n_ids * sizeof *s->ids);
    }
    for (size_t i = 0; i < request->n_ids; i++) {
        if (request->ids[i] >= 0 && request->ids[i] < s->model->info.n_vocab) {
            s->ids[s->n_ids++] = request->ids[i];
        } else {
            ++*n_skipped;
        }
    }
    if (*n_skipped) {
        ut_log(&s->model->log, UTTER_LOG_WARNING,
               "%u phoneme ids are outside the voice's %d and were skipped", *n_skipped,
               s->model->info.n_vocab);
    }
    return s->n_ids ? UTTER_OK
                    : ut_fail(err, UTTER_ERROR_ARGUMENT,
                              "no phoneme id is inside the voice's vocabulary of %d",
                              s->model->info.n_vocab);
}

/* Only now: the number of frames is not known before the durations are. */
static utter_status check_recorded_noise(const struct ut_piper_session *s, utter_error *err) {
    size_t need = (size_t)s->n_frames * (size_t)s->model->info.n_inter;
    if (s->request->noise_prior && s->request->n_noise_prior != need) {
        return ut_fail(err, UTTER_ERROR_MODEL,
                       "the recorded noise is for %zu values, the durations need %zu (%d frames)",
                       s->request->n_noise_prior, need, s->n_frames);
    }
    return UTTER_OK;
}

/* Noise of a frame into its row of z; recorded noise is channels first. */
static void draw_noise(const struct ut_piper_session *s, int t, float *row) {
    const struct ut_piper_request *request = s->request;
    int inter = s->model->info.n_inter;
    if (!request->noise_prior) {
        ut_rng_normal(request->seed, UT_PIPER_STREAM_PRIOR, (uint64_t)t * (uint64_t)inter, row,
                      (size_t)inter);
        return;
    }
    for (int c = 0; c < inter; c++) {
        row[c] = request->noise_prior[(ptrdiff_t)c * s->n_frames + t];
    }
}

struct prior_job {
    const struct ut_piper_session *s;
    const struct ut_piper_prior *prior;
    int first;
    float *z;
};

/* Rows begin..end - 1 of z, on one of the pool's threads: each row is written by one, and its noise
 * is numbered by the frame, so neither threads nor chunks change it. */
static void sample_frames(void *user, int begin, int end) {
    const struct prior_job *job = user;
    const struct ut_piper_prior *prior = job->prior;
    int inter = job->s->model->info.n_inter;
    float noise_scale = job->s->request->noise_scale;
    for (int i = begin; i < end; i++) {
        float *row = job->z + (ptrdiff_t)i * inter;
        int t = job->first + i;
        bool none = prior->frame_id[t] == job->s->n_ids;
        ptrdiff_t at = none ? 0 : (ptrdiff_t)prior->frame_id[t] * inter;
        draw_noise(job->s, t, row);
        for (int c = 0; c < inter; c++) {
            row[c] = none ? row[c] * noise_scale
                          : prior->m[at + c] + row[c] * prior->scale[at + c] * noise_scale;
        }
    }
}

void ut_piper_prior_rows(const struct ut_piper_session *s, const struct ut_piper_prior *prior,
                         int first, int n, float *z) {
    struct prior_job job = {s, prior, first, z};
    ut_pool_run(s->compute.pool, n, 8, sample_frames, &job);
}

/* z_p = m + noise * exp(logs) * noise_scale, each id repeated for its duration. The single frame of
 * an utterance whose durations are all 0 has m = logs = 0, as in the reference. `logs` is replaced
 * by exp(logs). */
static bool start_prior(struct ut_piper_session *s, const float *m, float *logs,
                        const int32_t *durations, struct ut_piper_prior *prior) {
    int t = 0;
    int32_t *frame_id = ut_arena_alloc(&s->arena, (size_t)s->n_frames, sizeof *frame_id);
    if (!frame_id) {
        return false;
    }
    for (int id = 0; id < s->n_ids; id++) {
        for (int i = 0; i < durations[id]; i++) {
            frame_id[t++] = id;
        }
    }
    if (t == 0) {
        frame_id[0] = s->n_ids;
    }
    s->compute.kernels->exp_f32(logs, logs, (size_t)s->n_ids * (size_t)s->model->info.n_inter);
    *prior = (struct ut_piper_prior){m, logs, frame_id};
    return true;
}

static void observe_durations(struct ut_piper_session *s, const int32_t *durations,
                              float *scratch) {
    for (int t = 0; t < s->n_ids; t++) {
        scratch[t] = (float)durations[t];
    }
    ut_piper_observe(s, "durations", scratch, 1, s->n_ids, 1);
}

/* Durations fix the number of frames; behind them all is pulled by the decoder, a few frames at a
 * time. */
static utter_status run(struct ut_piper_session *s, struct ut_piper_result *result,
                        utter_error *err) {
    float *x, *m, *logs;
    int32_t *durations;
    struct ut_piper_prior prior;
    double start = ut_clock_s();
    struct ut_tally *tally = s->compute.tally;
    ut_tally_begin(tally, "encoder");
    utter_status status = take_ids(s, &result->n_skipped_ids, err);
    status = status ? status : ut_piper_encode(s, &x, &m, &logs, err);
    ut_tally_begin(tally, "durations");
    status = status ? status : ut_piper_durations(s, x, &durations, err);
    status = status ? status : check_recorded_noise(s, err);
    if (status) {
        return status;
    }
    result->n_frames = (uint32_t)s->n_frames;
    if (s->request->observer) {
        observe_durations(s, durations, x);
    }
    ut_tally_begin(tally, "prior");
    if (!start_prior(s, m, logs, durations, &prior)) {
        return ut_fail_memory(err, (size_t)s->n_frames * sizeof *prior.frame_id);
    }
    result->encode_s = ut_clock_s() - start;
    return ut_piper_decode(s, &prior, result, err);
}

/* Everything that a run allocates is in the arena, which is reset whatever happened: a failed run
 * leaves a usable session. */
utter_status ut_piper_run(struct ut_piper_session *session, const struct ut_piper_request *request,
                          struct ut_piper_result *result, utter_error *err) {
    struct ut_piper_result unused;
    result = result ? result : &unused;
    *result = (struct ut_piper_result){0};
    utter_status status = check(session->model, request, err);
    if (status) {
        return status;
    }
    const struct ut_piper *model = session->model;
    session->request = request;
    session->n_ids = session->n_frames = 0;
    session->g = model->n_speaker_channels
                     ? model->emb_g + (ptrdiff_t)request->speaker * model->n_speaker_channels
                     : NULL;
    session->compute.tally = request->tally;
    ut_tally_begin_unit(request->tally);
    status = run(session, result, err);
    ut_tally_begin(request->tally, NULL);
    ut_arena_reset(&session->arena);
    return status;
}
