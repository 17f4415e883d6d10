/* See tracer.h. A recording, or golden file, holds tensors CASE.STAGE, the inputs of the cases
 * among them. */
#include "models/tracer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

/* Room for a whole suite; the table of stages is allocated at once, so that pointers into it
 * stay. */
enum { MAX_CASES = 256, MAX_STAGES = 4096, MAX_CASE_NAME = 64 };

/* All stages of all cases stay in the arena until the file is written. */
struct ut_tracer {
    const struct ut_tracer_family *family;
    struct ut_weights *golden;
    struct ut_arena arena;
    const char *case_name;
    struct ut_tensor *stages; /* [MAX_STAGES], of all cases */
    size_t n_stages;
    utter_trace_fn report;
    void *user;
};

const char *ut_tracer_case(const struct ut_tracer *tracer) {
    return tracer->case_name;
}

/* For what a case needs besides; lives until the last case is done. */
struct ut_arena *ut_tracer_arena(struct ut_tracer *tracer) {
    return &tracer->arena;
}

/* The recording's tensor CASE.STAGE; NULL when it has none. */
static const struct ut_tensor *input(const struct ut_tracer *t, const char *stage) {
    char name[MAX_CASE_NAME + 32];
    snprintf(name, sizeof name, "%s.%s", t->case_name, stage);
    return ut_weights_find(t->golden, name);
}

/* From the end: a stage that comes in several calls was put last. */
static struct ut_tensor *find_stage(struct ut_tracer *t, const char *name) {
    for (size_t i = t->n_stages; i-- > 0;) {
        if (strcmp(t->stages[i].name, name) == 0) {
            return &t->stages[i];
        }
    }
    return NULL;
}

/* Filled with zeros, so that rows nobody puts are defined. */
static struct ut_tensor *new_stage(struct ut_tracer *t, const char *name, enum ut_trace_order order,
                                   int n_ch, int total) {
    size_t n = (size_t)n_ch * (size_t)total;
    float *data = t->n_stages < MAX_STAGES ? ut_arena_alloc(&t->arena, n, sizeof *data) : NULL;
    char *copy = data ? ut_arena_alloc(&t->arena, strlen(name) + 1, 1) : NULL;
    if (!copy) {
        t->arena.failed = true;
        return NULL;
    }
    strcpy(copy, name);
    memset(data, 0, n * sizeof *data);
    uint64_t rows = (uint64_t)total, columns = (uint64_t)n_ch;
    struct ut_tensor tensor = {.name = copy,
                               .type = UT_F32,
                               .n_dims = order == UT_TRACE_VECTOR ? 1 : 2,
                               .dims = {columns, rows, 1, 1},
                               .data = data,
                               .n_bytes = n * sizeof *data};
    if (order == UT_TRACE_TIME_FIRST || order == UT_TRACE_VECTOR) {
        tensor.dims[0] = rows;
        tensor.dims[1] = columns;
    }
    t->stages[t->n_stages] = tensor;
    return &t->stages[t->n_stages++];
}

/* Models compute with channels last; golden files of some stages have time last, hence the two
 * steps. Nothing is returned: a stage that found no memory marks the arena as failed, and run_cases
 * looks at that when the case is done. */
void ut_tracer_put(struct ut_tracer *tracer, const char *stage, enum ut_trace_order order,
                   const float *data, ptrdiff_t row, int first, int n_rows, int total, int n_ch) {
    char name[MAX_CASE_NAME + 32];
    snprintf(name, sizeof name, "%s.%s", tracer->case_name, stage);
    struct ut_tensor *tensor = find_stage(tracer, name);
    tensor = tensor ? tensor : new_stage(tracer, name, order, n_ch, total);
    if (!tensor) {
        return;
    }
    float *dst = (float *)(uintptr_t)tensor->data;
    size_t by_row = order == UT_TRACE_CHANNELS_FIRST ? 1 : (size_t)n_ch;
    size_t by_channel = order == UT_TRACE_CHANNELS_FIRST ? (size_t)total : 1;
    for (int c = 0; c < n_ch; c++) {
        for (int i = 0; i < n_rows; i++) {
            dst[(size_t)(first + i) * by_row + (size_t)c * by_channel] = data[i * row + c];
        }
    }
}

/* An input that the recording does not have is NULL with n = 0, and no error: the family says what
 * it cannot do without. After an error in *status nothing more is read, so that callers ask for all
 * and check once. */
float *ut_tracer_floats(struct ut_tracer *tracer, const char *input_name, size_t *n,
                        utter_status *status, utter_error *err) {
    const struct ut_tensor *tensor = *status ? NULL : input(tracer, input_name);
    *n = 0;
    if (!tensor) {
        return NULL;
    }
    float *values = NULL;
    *status = ut_tensor_load(&tracer->arena, tensor, &values, err);
    *n = *status ? 0 : (size_t)ut_tensor_n_elements(tensor);
    return values;
}

/* Values beyond 32 bits become -1, which no model takes for an id. */
int32_t *ut_tracer_ints(struct ut_tracer *tracer, const char *input_name, size_t *n,
                        utter_status *status, utter_error *err) {
    const struct ut_tensor *tensor = *status ? NULL : input(tracer, input_name);
    *n = tensor ? (size_t)ut_tensor_n_elements(tensor) : 0;
    if (!tensor) {
        return NULL;
    }
    if (tensor->type != UT_I32 && tensor->type != UT_I64) {
        *status = ut_fail(err, UTTER_ERROR_FORMAT, "tensor %s is %s, expected i32 or i64",
                          tensor->name, ut_dtype_name(tensor->type));
        return NULL;
    }
    int32_t *values = ut_arena_alloc(&tracer->arena, *n, sizeof *values);
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

/* Element i of an i32 tensor, which may lie at any address. */
static int32_t integer_at(const struct ut_tensor *tensor, uint64_t i) {
    int32_t value;
    memcpy(&value, (const char *)tensor->data + i * sizeof value, sizeof value);
    return value;
}

/* Error and signal-to-noise ratio against the golden tensor of the same name and size. 200 dB
 * stands for equal; a silent reference counts as 1e-30. */
static void compare(const struct ut_tensor *golden, const struct ut_tensor *out, float *scratch,
                    utter_trace_stage *stage) {
    uint64_t n = ut_tensor_n_elements(out);
    const float *values = out->data;
    double signal = 0, noise = 0;
    for (uint64_t i = 0; i < n; i++) {
        double reference = golden->type == UT_I32 ? integer_at(golden, i) : (double)scratch[i],
               error = (double)values[i] - reference;
        stage->max_abs_error = fmax(stage->max_abs_error, fabs(error));
        signal += reference * reference;
        noise += error * error;
    }
    stage->compared = true;
    stage->snr_db = noise == 0 ? 200 : 10 * log10(fmax(signal, 1e-30) / noise);
}

/* Stages from `first` on, which are those of one case. */
static utter_status report(struct ut_tracer *t, size_t first, utter_error *err) {
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

/* Names of the cases, sorted. */
static size_t list_cases(const struct ut_tracer *t, char cases[MAX_CASES][MAX_CASE_NAME]) {
    size_t n = 0;
    for (size_t i = 0; i < ut_weights_count(t->golden) && n < MAX_CASES; i++) {
        const char *name = ut_weights_at(t->golden, i)->name, *dot = strrchr(name, '.');
        if (dot && strcmp(dot + 1, t->family->case_input) == 0 && dot - name < MAX_CASE_NAME) {
            memcpy(cases[n], name, (size_t)(dot - name));
            cases[n++][dot - name] = '\0';
        }
    }
    qsort(cases, n, MAX_CASE_NAME, compare_names);
    return n;
}

/* In the order of their names, so that a run's output does not depend on the file's order. */
static utter_status run_cases(struct ut_tracer *t, const char *golden, const char *only,
                              utter_error *err) {
    char cases[MAX_CASES][MAX_CASE_NAME];
    size_t n_cases = list_cases(t, cases), n_run = 0;
    for (size_t i = 0; i < n_cases; i++) {
        if (only && strcmp(only, cases[i]) != 0) {
            continue;
        }
        size_t first = t->n_stages;
        t->case_name = cases[i];
        utter_status status = t->family->run_case(t, t->family->family, err);
        if (status == UTTER_OK && t->arena.failed) {
            status = ut_fail_memory(err, 0);
        }
        status = status ? ut_fail_context(err, status, "case %s", cases[i]) : report(t, first, err);
        if (status) {
            return status;
        }
        n_run++;
    }
    return n_run ? UTTER_OK
           : only
               ? ut_fail(err, UTTER_ERROR_NOT_FOUND, "%s: no case %s (a case has a tensor CASE.%s)",
                         golden, only, t->family->case_input)
               : ut_fail(err, UTTER_ERROR_FORMAT,
                         "%s: no case found (a case has a tensor CASE.%s): is it a golden "
                         "file of this model's family?",
                         golden, t->family->case_input);
}

/* The output is written only when every case went well. */
utter_status ut_tracer_run(struct ut_mem *mem, const struct ut_tracer_family *family,
                           const char *golden, const char *case_name, const char *out_path,
                           utter_trace_fn stage, void *user, utter_error *err) {
    struct ut_tracer t = {.family = family, .report = stage, .user = user};
    ut_arena_init(&t.arena, mem, UT_MEM_OTHER);
    t.stages = ut_arena_alloc(&t.arena, MAX_STAGES, sizeof *t.stages);
    utter_status status = t.stages ? UTTER_OK : ut_fail_memory(err, MAX_STAGES * sizeof *t.stages);
    status = status ? status : ut_weights_open(mem, golden, &t.golden, err);
    status = status ? status : run_cases(&t, golden, case_name, err);
    if (status == UTTER_OK && out_path) {
        status = ut_safetensors_write(out_path, t.stages, t.n_stages, err);
    }
    ut_weights_close(t.golden);
    ut_arena_free(&t.arena);
    return status;
}
