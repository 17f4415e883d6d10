/* `utter trace` for Piper voices: runs the recorded inputs of each case of a golden file and keeps
 * every stage, channels first and in f32 as the golden files hold them. Nothing but the inputs of a
 * case is read for the run, so a file without the outputs gives the same bytes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "models/piper/piper_model.h"

enum { MAX_CASES = 256, MAX_STAGES = 4096, MAX_CASE_NAME = 64 };

struct tracer {
    struct ut_piper *model;
    struct ut_piper_session *session;
    struct ut_weights *golden;
    struct ut_arena arena;
    const char *case_name;
    struct ut_tensor *stages; /* [MAX_STAGES], of all cases */
    size_t n_stages;
    utter_trace_fn report;
    void *user;
};

static const struct ut_tensor *input(const struct tracer *t, const char *stage) {
    char name[MAX_CASE_NAME + 32];
    snprintf(name, sizeof name, "%s.%s", t->case_name, stage);
    return ut_weights_find(t->golden, name);
}

static struct ut_tensor *find_stage(struct tracer *t, const char *name) {
    for (size_t i = t->n_stages; i-- > 0;) {
        if (strcmp(t->stages[i].name, name) == 0) {
            return &t->stages[i];
        }
    }
    return NULL;
}

static bool is_vector(const struct tracer *t, const char *stage) {
    bool audio = strcmp(stage, "audio") == 0 && t->model->info.stochastic_durations;
    return audio || strcmp(stage, "durations") == 0;
}

/* Golden files of the house voice hold enc_x row by row in time under the shape [C, I]. */
static bool is_recorded_by_time(const struct tracer *t, const char *stage) {
    return !t->model->info.stochastic_durations && strcmp(stage, "enc_x") == 0;
}

static struct ut_tensor *new_stage(struct tracer *t, const char *stage, const char *name, int n_ch,
                                   int total) {
    size_t n = (size_t)n_ch * (size_t)total;
    float *data = t->n_stages < MAX_STAGES ? ut_arena_alloc(&t->arena, n, sizeof *data) : NULL;
    char *copy = data ? ut_arena_alloc(&t->arena, strlen(name) + 1, 1) : NULL;
    if (!copy) {
        t->arena.failed = true;
        return NULL;
    }
    strcpy(copy, name);
    memset(data, 0, n * sizeof *data);
    struct ut_tensor tensor = {.name = copy,
                               .type = UT_F32,
                               .n_dims = 2,
                               .dims = {(uint64_t)n_ch, (uint64_t)total, 1, 1},
                               .data = data,
                               .n_bytes = n * sizeof *data};
    if (is_vector(t, stage)) {
        tensor.n_dims = 1;
        tensor.dims[0] = (uint64_t)total;
        tensor.dims[1] = 1;
    }
    t->stages[t->n_stages] = tensor;
    return &t->stages[t->n_stages++];
}

static void collect(void *user, const char *stage, const struct ut_piper_view *view) {
    struct tracer *t = user;
    char name[MAX_CASE_NAME + 32];
    snprintf(name, sizeof name, "%s.%s", t->case_name, stage);
    struct ut_tensor *tensor = find_stage(t, name);
    tensor = tensor ? tensor : new_stage(t, stage, name, view->n_ch, view->total);
    if (!tensor) {
        return;
    }
    float *dst = (float *)(uintptr_t)tensor->data;
    bool by_time = is_recorded_by_time(t, stage);
    for (int c = 0; c < view->n_ch; c++) {
        for (int i = 0; i < view->n_rows; i++) {
            size_t row = (size_t)(view->first + i), n_ch = (size_t)view->n_ch,
                   total = (size_t)view->total;
            dst[by_time ? row * n_ch + (size_t)c : (size_t)c * total + row] =
                view->data[i * view->row + c];
        }
    }
}

/* An input tensor as f32 (integers too); NULL when absent or after an error. */
static float *read_floats(struct tracer *t, const char *stage, size_t *n, utter_status *status,
                          utter_error *err) {
    const struct ut_tensor *tensor = *status ? NULL : input(t, stage);
    *n = 0;
    if (!tensor) {
        return NULL;
    }
    float *values = NULL;
    *status = ut_tensor_load(&t->arena, tensor, &values, err);
    *n = *status ? 0 : (size_t)ut_tensor_n_elements(tensor);
    return values;
}

static int32_t *read_ints(struct tracer *t, const char *stage, size_t *n, utter_status *status,
                          utter_error *err) {
    const struct ut_tensor *tensor = *status ? NULL : input(t, stage);
    *n = tensor ? (size_t)ut_tensor_n_elements(tensor) : 0;
    if (!tensor) {
        return NULL;
    }
    if (tensor->type != UT_I32 && tensor->type != UT_I64) {
        *status = ut_fail(err, UTTER_ERROR_FORMAT, "tensor %s is %s, expected i32 or i64",
                          tensor->name, ut_dtype_name(tensor->type));
        return NULL;
    }
    int32_t *values = ut_arena_alloc(&t->arena, *n, sizeof *values);
    if (!values) {
        *status = ut_fail_memory(err, *n * sizeof *values);
        return NULL;
    }
    for (size_t i = 0; i < *n; i++) {
        int64_t wide = 0;
        int32_t narrow = 0;
        memcpy(tensor->type == UT_I64 ? (void *)&wide : (void *)&narrow,
               (const char *)tensor->data + i * ut_dtype_size(tensor->type),
               ut_dtype_size(tensor->type));
        values[i] = tensor->type == UT_I32                 ? narrow
                    : wide < INT32_MIN || wide > INT32_MAX ? -1
                                                           : (int32_t)wide;
    }
    return values;
}

static utter_status run_case(struct tracer *t, utter_error *err) {
    utter_status status = UTTER_OK;
    size_t n_ids, n_scales, n_sid, n_dp, n_prior;
    const int32_t *ids = read_ints(t, "ids", &n_ids, &status, err);
    const float *scales = read_floats(t, "scales", &n_scales, &status, err);
    const int32_t *sid = read_ints(t, "sid", &n_sid, &status, err);
    const float *noise_dp = read_floats(t, "noise_dp", &n_dp, &status, err);
    const float *noise_prior = read_floats(t, "noise_prior", &n_prior, &status, err);
    if (status) {
        return status;
    }
    if (!ids || n_scales < 2 || n_scales > 3 || (sid && n_sid != 1) ||
        (noise_dp && n_dp != 2 * n_ids)) {
        return ut_fail(err, UTTER_ERROR_FORMAT,
                       "case %s: needs ids, scales of 2 or 3 values, at most one sid and "
                       "2 noise_dp values for each id",
                       t->case_name);
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
                                       .observer_user = t};
    if (!noise_prior) {
        request.noise_scale = 0; /* absent noise is zero */
    }
    status = ut_piper_run(t->session, &request, NULL, err);
    if (status == UTTER_OK && t->arena.failed) {
        status = ut_fail_memory(err, 0);
    }
    return status;
}

/* Error and signal-to-noise ratio against the golden tensor of the same name and size. */
static void compare(const struct ut_tensor *golden, const struct ut_tensor *out, float *scratch,
                    utter_trace_stage *stage) {
    uint64_t n = ut_tensor_n_elements(out);
    const float *values = out->data;
    double signal = 0, noise = 0;
    for (uint64_t i = 0; i < n; i++) {
        int32_t integer;
        memcpy(&integer, (const char *)golden->data + i * 4, 4);
        double reference = golden->type == UT_I32 ? integer : (double)scratch[i],
               error = (double)values[i] - reference;
        stage->max_abs_error = fmax(stage->max_abs_error, fabs(error));
        signal += reference * reference;
        noise += error * error;
    }
    stage->compared = true;
    stage->snr_db = noise == 0 ? 200 : 10 * log10(fmax(signal, 1e-30) / noise);
}

static utter_status report(struct tracer *t, size_t first, utter_error *err) {
    for (size_t i = first; t->report && i < t->n_stages; i++) {
        const struct ut_tensor *out = &t->stages[i],
                               *golden = ut_weights_find(t->golden, out->name);
        utter_trace_stage stage = {.size = sizeof stage, .name = out->name, .n_dims = out->n_dims};
        memcpy(stage.dims, out->dims, sizeof stage.dims);
        if (golden && ut_tensor_n_elements(golden) == ut_tensor_n_elements(out)) {
            float *scratch =
                ut_arena_alloc(&t->arena, (size_t)ut_tensor_n_elements(out), sizeof *scratch);
            if (!scratch) {
                return ut_fail_memory(err, out->n_bytes);
            }
            if (golden->type == UT_I32 || ut_tensor_to_f32(golden, scratch)) {
                compare(golden, out, scratch, &stage);
            }
        }
        t->report(t->user, &stage);
    }
    return UTTER_OK;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(a, b);
}

/* Names of the cases, those of "CASE.ids", sorted. */
static size_t list_cases(const struct tracer *t, char cases[MAX_CASES][MAX_CASE_NAME]) {
    size_t n = 0;
    for (size_t i = 0; i < ut_weights_count(t->golden) && n < MAX_CASES; i++) {
        const char *name = ut_weights_at(t->golden, i)->name, *dot = strrchr(name, '.');
        if (dot && strcmp(dot, ".ids") == 0 && dot - name < MAX_CASE_NAME) {
            memcpy(cases[n], name, (size_t)(dot - name));
            cases[n++][dot - name] = '\0';
        }
    }
    qsort(cases, n, MAX_CASE_NAME, compare_names);
    return n;
}

static utter_status run_cases(struct tracer *t, const char *golden, const char *only,
                              utter_error *err) {
    char cases[MAX_CASES][MAX_CASE_NAME];
    size_t n_cases = list_cases(t, cases), n_run = 0;
    for (size_t i = 0; i < n_cases; i++) {
        if (only && strcmp(only, cases[i]) != 0) {
            continue;
        }
        size_t first = t->n_stages;
        t->case_name = cases[i];
        utter_status status = run_case(t, err);
        status = status ? ut_fail_context(err, status, "case %s", cases[i]) : report(t, first, err);
        if (status) {
            return status;
        }
        n_run++;
    }
    return n_run  ? UTTER_OK
           : only ? ut_fail(err, UTTER_ERROR_NOT_FOUND,
                            "%s: no case %s (a case has a tensor CASE.ids)", golden, only)
                  : ut_fail(err, UTTER_ERROR_FORMAT,
                            "%s: no case found (a case has a tensor CASE.ids)", golden);
}

utter_status ut_piper_trace(struct ut_piper *model, const char *golden, const char *case_name,
                            const char *out_path, utter_trace_fn stage, void *user,
                            utter_error *err) {
    struct tracer t = {.model = model, .report = stage, .user = user};
    ut_arena_init(&t.arena, model->mem, UT_MEM_OTHER);
    t.stages = ut_arena_alloc(&t.arena, MAX_STAGES, sizeof *t.stages);
    utter_status status = t.stages ? UTTER_OK : ut_fail_memory(err, MAX_STAGES * sizeof *t.stages);
    status = status ? status : ut_weights_open(model->mem, golden, &t.golden, err);
    status = status ? status : ut_piper_session_create(model, &t.session, err);
    status = status ? status : run_cases(&t, golden, case_name, err);
    if (status == UTTER_OK && out_path) {
        status = ut_safetensors_write(out_path, t.stages, t.n_stages, err);
    }
    ut_piper_session_destroy(t.session);
    ut_weights_close(t.golden);
    ut_arena_free(&t.arena);
    return status;
}
