/* `utter trace` for Piper voices: the inputs of a case and the order of each stage in the golden
 * files. */
#include <string.h>

#include "models/piper/piper_model.h"
#include "models/tracer.h"

/* What the observer needs of a run: where values go, and the model that says how they lie. */
struct piper_trace {
    struct ut_tracer *tracer;
    struct ut_piper_session *session;
};

/* Golden files of the house voice hold enc_x row by row in time under the shape [C, I], and samples
 * as channels of one. */
static enum ut_trace_order order_of(const struct ut_piper *model, const char *stage) {
    bool stochastic = model->info.stochastic_durations;
    if (strcmp(stage, "durations") == 0 || (stochastic && strcmp(stage, "audio") == 0)) {
        return UT_TRACE_VECTOR;
    }
    return !stochastic && strcmp(stage, "enc_x") == 0 ? UT_TRACE_TIME_FIRST_MISLABELLED
                                                      : UT_TRACE_CHANNELS_FIRST;
}

/* The run's observer. Tiles of a stage come in the order of time. */
static void collect(void *user, const char *stage, const struct ut_piper_view *view) {
    struct piper_trace *trace = user;
    ut_tracer_put(trace->tracer, stage, order_of(trace->session->model, stage), view->data,
                  view->row, view->first, view->n_rows, view->total, view->n_ch);
}

/* A case of a golden file: "ids", "scales" (noise_scale, length_scale and, for stochastic
 * durations, noise_w, the order of the exported graph's input), and where they matter "sid",
 * "noise_dp", "noise_prior". A value without its recorded noise is made without noise: the
 * reference's generator cannot be repeated here. */
static utter_status run_case(struct ut_tracer *tracer, void *family, utter_error *err) {
    struct piper_trace trace = {tracer, family};
    utter_status status = UTTER_OK;
    size_t n_ids, n_scales, n_sid, n_dp, n_prior;
    const int32_t *ids = ut_tracer_ints(tracer, "ids", &n_ids, &status, err);
    const float *scales = ut_tracer_floats(tracer, "scales", &n_scales, &status, err);
    const int32_t *sid = ut_tracer_ints(tracer, "sid", &n_sid, &status, err);
    const float *noise_dp = ut_tracer_floats(tracer, "noise_dp", &n_dp, &status, err);
    const float *noise_prior = ut_tracer_floats(tracer, "noise_prior", &n_prior, &status, err);
    if (status) {
        return status;
    }
    if (!ids || n_scales < 2 || n_scales > 3 || (sid && n_sid != 1) ||
        (noise_dp && n_dp != 2 * n_ids)) {
        return ut_fail(err, UTTER_ERROR_FORMAT,
                       "case %s: needs ids, scales of 2 or 3 values, at most one sid and "
                       "2 noise_dp values for each id",
                       ut_tracer_case(tracer));
    }
    struct ut_piper_request request = {.ids = ids,
                                       .n_ids = n_ids,
                                       .speaker = sid ? sid[0] : 0,
                                       .noise_scale = scales[0],
                                       .length_scale = scales[1],
                                       .noise_w = n_scales == 3 && noise_dp ? scales[2] : 0,
                                       .noise_dp = noise_dp,
                                       .noise_prior = noise_prior,
                                       .n_noise_prior = n_prior,
                                       .observer = collect,
                                       .observer_user = &trace};
    if (!noise_prior) {
        request.noise_scale = 0; /* absent noise is zero */
    }
    return ut_piper_run(trace.session, &request, NULL, err);
}

utter_status ut_piper_trace(struct ut_piper *model, const char *golden, const char *case_name,
                            const char *out_path, utter_trace_fn stage, void *user,
                            utter_error *err) {
    struct ut_piper_session *session;
    utter_status status = ut_piper_session_create(model, &session, err);
    if (status == UTTER_OK) {
        struct ut_tracer_family family = {"ids", run_case, session};
        status = ut_tracer_run(model->mem, &family, golden, case_name, out_path, stage, user, err);
        ut_piper_session_destroy(session);
    }
    return status;
}
