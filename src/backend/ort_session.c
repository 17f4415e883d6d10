/* A model in ONNX Runtime: opened with the settings that suit speech (few threads that sleep when
 * they have nothing to do, no memory plans for shapes that never come again), described, run and
 * stopped. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "backend/ort_internal.h"
#include "base/checked.h"
#include "base/thread.h"

enum { WATCH_MS = 10 /* between two looks at a cancel flag */ };

/* Immutable once it is open; ONNX Runtime's own run is re-entrant. */
struct ut_ort_session {
    struct ut_ort_library *library;
    const struct ort_entries *ort;
    struct ort_env *env;
    struct ort_session *session;
    struct ort_memory_info *memory;
    struct ut_ort_port *inputs, *outputs;
    size_t n_inputs, n_outputs;
};

/* ---- Types ---------------------------------------------------------------------------------- */

static const struct {
    int element;
    enum ut_dtype type;
} types[] = {
    {ORT_FLOAT, UT_F32}, {ORT_FLOAT16, UT_F16}, {ORT_DOUBLE, UT_F64}, {ORT_BFLOAT16, UT_BF16},
    {ORT_INT8, UT_I8},   {ORT_UINT8, UT_U8},    {ORT_INT16, UT_I16},  {ORT_UINT16, UT_U16},
    {ORT_INT32, UT_I32}, {ORT_UINT32, UT_U32},  {ORT_INT64, UT_I64},  {ORT_UINT64, UT_U64},
    {ORT_BOOL, UT_BOOL},
};

/* UT_N_DTYPES for strings, complex numbers and what later versions add. */
static enum ut_dtype type_of(int element) {
    for (size_t i = 0; i < UT_COUNT(types); i++) {
        if (types[i].element == element) {
            return types[i].type;
        }
    }
    return UT_N_DTYPES;
}

/* 0 is what ONNX Runtime calls undefined. */
static int element_of(enum ut_dtype type) {
    for (size_t i = 0; i < UT_COUNT(types); i++) {
        if (types[i].type == type) {
            return types[i].element;
        }
    }
    return 0;
}

/* ---- Providers ------------------------------------------------------------------------------ */

/* The argument's own name from the table, which lives for ever; NULL as an argument means cpu. */
const char *ut_ort_provider_find(const char *name) {
    static const char *const names[] = {"cpu", "cuda", "coreml"};
    for (size_t i = 0; i < UT_COUNT(names); i++) {
        if (strcmp(name ? name : "cpu", names[i]) == 0) {
            return names[i];
        }
    }
    return NULL;
}

static const char coreml_name[] = "CoreMLExecutionProvider";

const char *ut_ort_accelerated(bool apple, const char *const *offered, size_t n) {
    for (size_t i = 0; apple && i < n; i++) {
        if (strcmp(offered[i], coreml_name) == 0) {
            return "coreml";
        }
    }
    return NULL;
}

/* Asked before the provider is appended, so that the message can say what the library has. */
static utter_status check_offered(const struct ut_ort_library *library, const char *name,
                                  const char *full_name, utter_error *err) {
    char list[256] = "";
    for (size_t i = 0; i < ut_ort_provider_count(library); i++) {
        const char *offered = ut_ort_provider_name(library, i);
        if (strcmp(offered, full_name) == 0) {
            return UTTER_OK;
        }
        size_t n = strlen(list);
        snprintf(list + n, sizeof list - n, "%s%s", i ? ", " : "", offered);
    }
    return ut_fail(err, UTTER_ERROR_UNSUPPORTED,
                   "provider '%s': the ONNX Runtime at %s does not have %s (it has %s); "
                   "onnxruntime-gpu is the package with CUDA",
                   name, library->path, full_name, list);
}

/* The options are an object of the library, which copies what it needs of them. */
static utter_status append_cuda(const struct ort_entries *ort, struct ort_session_options *options,
                                utter_error *err) {
    struct ort_cuda_options *cuda = NULL;
    utter_status status = ut_ort_check(ort, ort->create_cuda_options(&cuda),
                                       UTTER_ERROR_UNSUPPORTED, "provider 'cuda'", err);
    if (status == UTTER_OK) {
        status = ut_ort_check(ort, ort->append_cuda(options, cuda), UTTER_ERROR_UNSUPPORTED,
                              "provider 'cuda'", err);
        ort->release_cuda_options(cuda);
    }
    return status;
}

/* Under the name that the library's function takes, not that of its list of providers. */
static utter_status append_coreml(const struct ort_entries *ort,
                                  struct ort_session_options *options, utter_error *err) {
    return ut_ort_check(ort, ort->append_provider(options, "CoreML", NULL, NULL, 0),
                        UTTER_ERROR_UNSUPPORTED, "provider 'coreml'", err);
}

static utter_status choose_provider(const struct ut_ort_library *library, const char *name,
                                    struct ort_session_options *options, utter_error *err) {
    const char *known = ut_ort_provider_find(name);
    if (!known) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT,
                       "provider is '%.40s': it must be cpu, cuda or coreml", name);
    }
    if (strcmp(known, "cpu") == 0) {
        return UTTER_OK; /* what is left when nothing else was chosen */
    }
    bool cuda = strcmp(known, "cuda") == 0;
    utter_status status =
        check_offered(library, name, cuda ? "CUDAExecutionProvider" : coreml_name, err);
    if (status != UTTER_OK) {
        return status;
    }
    return cuda ? append_cuda(&library->entries, options, err)
                : append_coreml(&library->entries, options, err);
}

/* ---- Opening -------------------------------------------------------------------------------- */

/* ONNX Runtime would write to the standard error output. What matters comes back as a status too.
 */
static void discard_log(void *user, int severity, const char *category, const char *id,
                        const char *location, const char *message) {
}

/* The graphs are chains, so that operators beside each other gain nothing. Plans of memory are kept
 * for each length of input, and no two sentences have the same. Threads that spin between sentences
 * would take the processor from whoever works meanwhile. */
static struct ort_status *configure(const struct ort_entries *ort,
                                    struct ort_session_options *options, int n_threads) {
    struct ort_status *status = ort->set_execution_mode(options, ORT_SEQUENTIAL);
    status = status ? status : ort->set_intra_op_threads(options, n_threads);
    status = status ? status : ort->set_inter_op_threads(options, 1);
    status = status ? status : ort->set_optimization(options, ORT_OPTIMIZE_ALL);
    status = status ? status : ort->set_log_severity(options, ORT_LOG_FATAL);
    status = status ? status : ort->disable_memory_pattern(options);
    return status ? status
                  : ort->add_session_config(options, "session.intra_op.allow_spinning", "0");
}

/* What was created before a failure is released by ut_ort_session_destroy; only the settings are
 * not needed any longer. */
static utter_status open_model(struct ut_ort_session *s,
                               const struct ut_ort_session_options *options, utter_error *err) {
    const struct ort_entries *ort = s->ort;
    struct ort_session_options *settings = NULL;
    utter_status status = ut_ort_check(
        ort, ort->create_env_with_logger(discard_log, NULL, ORT_LOG_FATAL, "utter", &s->env),
        UTTER_ERROR_INTERNAL, "its environment", err);
    if (status == UTTER_OK) {
        status = ut_ort_check(ort, ort->create_session_options(&settings), UTTER_ERROR_INTERNAL,
                              "its settings", err);
    }
    if (status == UTTER_OK) {
        status = ut_ort_check(ort, configure(ort, settings, options->n_threads),
                              UTTER_ERROR_INTERNAL, "its settings", err);
    }
    status = status ? status : choose_provider(s->library, options->provider, settings, err);
    if (status == UTTER_OK) {
        status =
            ut_ort_check(ort, ort->create_session(s->env, options->path, settings, &s->session),
                         UTTER_ERROR_FORMAT, options->path, err);
    }
    if (status == UTTER_OK) {
        status = ut_ort_check(
            ort, ort->create_cpu_memory_info(ORT_ARENA_ALLOCATOR, ORT_MEMORY_DEFAULT, &s->memory),
            UTTER_ERROR_INTERNAL, "its memory", err);
    }
    if (settings) {
        ort->release_session_options(settings);
    }
    return status;
}

/* Type and shape; a sequence or a map is of none that utter knows. */
static struct ort_status *read_type(const struct ort_entries *ort, const struct ort_type_info *info,
                                    struct ut_ort_port *port) {
    const struct ort_shape_info *shape = NULL;
    int element = 0;
    port->type = UT_N_DTYPES;
    struct ort_status *status = ort->type_as_tensor(info, &shape);
    if (status || !shape) {
        return status;
    }
    status = ort->element_type(shape, &element);
    status = status ? status : ort->dim_count(shape, &port->n_dims);
    if (status == NULL && port->n_dims <= UT_MAX_DIMS) {
        status = ort->dims(shape, port->dims, port->n_dims);
    }
    port->type = type_of(element);
    return status;
}

/* A name is of the library's allocator and goes back to it whatever else fails, hence one way out.
 */
static utter_status read_port(struct ut_ort_session *s, bool input, size_t index,
                              struct ut_ort_port *port, utter_error *err) {
    const struct ort_entries *ort = s->ort;
    struct ort_allocator *allocator = NULL;
    struct ort_type_info *info = NULL;
    char *name = NULL;
    struct ort_status *problem = ort->default_allocator(&allocator);
    if (!problem) {
        problem = (input ? ort->input_name : ort->output_name)(s->session, index, allocator, &name);
    }
    if (!problem) {
        problem = (input ? ort->input_type : ort->output_type)(s->session, index, &info);
    }
    problem = problem ? problem : read_type(ort, info, port);
    utter_status status =
        ut_ort_check(ort, problem, UTTER_ERROR_FORMAT,
                     input ? "an input of the model" : "an output of the model", err);
    if (status == UTTER_OK) {
        port->name = ut_mem_strndup(s->library->mem, UT_MEM_OTHER, name, strlen(name));
        status = port->name ? UTTER_OK : ut_fail_memory(err, strlen(name) + 1);
    }
    if (info) {
        ort->release_type_info(info);
    }
    if (name) {
        utter_status freed = ut_ort_check(ort, ort->allocator_free(allocator, name),
                                          UTTER_ERROR_INTERNAL, "a name", status ? NULL : err);
        status = status ? status : freed;
    }
    return status;
}

/* *n_ports is set before the names are read, so that those that were are freed after a failure. */
static utter_status read_ports(struct ut_ort_session *s, bool input, struct ut_ort_port **ports,
                               size_t *n_ports, utter_error *err) {
    const struct ort_entries *ort = s->ort;
    size_t n = 0;
    utter_status status =
        ut_ort_check(ort, (input ? ort->input_count : ort->output_count)(s->session, &n),
                     UTTER_ERROR_FORMAT, "the model", err);
    if (status != UTTER_OK) {
        return status;
    }
    *ports = ut_mem_calloc(s->library->mem, UT_MEM_OTHER, n, sizeof **ports);
    if (!*ports) {
        return ut_fail_memory(err, n * sizeof **ports);
    }
    *n_ports = n;
    for (size_t i = 0; i < n && status == UTTER_OK; i++) {
        status = read_port(s, input, i, &(*ports)[i], err);
    }
    return status;
}

utter_status ut_ort_session_create(struct ut_ort_library *library,
                                   const struct ut_ort_session_options *options,
                                   struct ut_ort_session **out, utter_error *err) {
    *out = NULL;
    struct ut_ort_session *s = ut_mem_calloc(library->mem, UT_MEM_OTHER, 1, sizeof *s);
    if (!s) {
        return ut_fail_memory(err, sizeof *s);
    }
    s->library = library;
    s->ort = &library->entries;
    utter_status status = open_model(s, options, err);
    status = status ? status : read_ports(s, true, &s->inputs, &s->n_inputs, err);
    status = status ? status : read_ports(s, false, &s->outputs, &s->n_outputs, err);
    if (status != UTTER_OK) {
        ut_ort_session_destroy(s);
        return status;
    }
    *out = s;
    return UTTER_OK;
}

/* Names of ports that were not read are NULL. */
static void free_ports(struct ut_mem *mem, struct ut_ort_port *ports, size_t n) {
    for (size_t i = 0; i < n; i++) {
        ut_mem_free(mem, ports[i].name);
    }
    ut_mem_free(mem, ports);
}

void ut_ort_session_destroy(struct ut_ort_session *session) {
    if (!session) {
        return;
    }
    const struct ort_entries *ort = session->ort;
    struct ut_mem *mem = session->library->mem;
    free_ports(mem, session->inputs, session->n_inputs);
    free_ports(mem, session->outputs, session->n_outputs);
    if (session->memory) {
        ort->release_memory_info(session->memory);
    }
    if (session->session) {
        ort->release_session(session->session);
    }
    if (session->env) {
        ort->release_env(session->env);
    }
    ut_mem_free(mem, session);
}

size_t ut_ort_input_count(const struct ut_ort_session *session) {
    return session->n_inputs;
}

size_t ut_ort_output_count(const struct ut_ort_session *session) {
    return session->n_outputs;
}

const struct ut_ort_port *ut_ort_input(const struct ut_ort_session *session, size_t index) {
    return &session->inputs[index];
}

const struct ut_ort_port *ut_ort_output(const struct ut_ort_session *session, size_t index) {
    return &session->outputs[index];
}

/* ---- Stopping a run ------------------------------------------------------------------------- */

/* A run blocks its thread, and utter's cancel flag is only a flag: another thread looks at it and
 * passes it on. One is started for each run; that takes 0.05 ms of the tens that the shortest
 * sentence takes. */
struct watch {
    const struct ort_entries *ort;
    struct ort_run_options *options;
    const _Atomic bool *cancel;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool is_over, has_ended; /* has_ended: passed on */
    pthread_t thread;
};

/* Called with the lock held, once. */
static void pass_on_cancel(struct watch *watch) {
    struct ort_status *problem = watch->ort->set_terminate(watch->options);
    if (problem) { /* then the run goes on to its end */
        watch->ort->release_status(problem);
    }
    watch->has_ended = true;
}

static void *watch_cancel(void *user) {
    struct watch *watch = user;
    pthread_mutex_lock(&watch->lock);
    while (!watch->is_over && !watch->has_ended) {
        if (atomic_load(watch->cancel)) {
            pass_on_cancel(watch);
            break;
        }
        ut_cond_wait_for(&watch->ended, &watch->lock, WATCH_MS);
    }
    pthread_mutex_unlock(&watch->lock);
    return NULL;
}

/* The lock orders is_over and has_ended between both threads; *cancel is atomic and needs none. */
static utter_status watch_start(struct watch *watch, utter_error *err) {
    pthread_mutex_init(&watch->lock, NULL);
    ut_cond_init(&watch->ended);
    if (!ut_thread_start(&watch->thread, watch_cancel, watch)) {
        pthread_cond_destroy(&watch->ended);
        pthread_mutex_destroy(&watch->lock);
        return ut_fail(err, UTTER_ERROR_MEMORY, "a thread could not be started");
    }
    return UTTER_OK;
}

/* Signals, so that the end of a run does not wait for the next look. */
static void watch_stop(struct watch *watch) {
    pthread_mutex_lock(&watch->lock);
    watch->is_over = true;
    pthread_cond_signal(&watch->ended);
    pthread_mutex_unlock(&watch->lock);
    pthread_join(watch->thread, NULL);
    pthread_cond_destroy(&watch->ended);
    pthread_mutex_destroy(&watch->lock);
}

/* ---- Reading outputs ------------------------------------------------------------------------ */

/* Numbers of any type that an export may give; durations are integers in some. */
static bool to_f32(float *out, enum ut_dtype type, const void *data, size_t n) {
    const struct ut_tensor tensor = {.type = type,
                                     .n_dims = 1,
                                     .dims = {n, 1, 1, 1},
                                     .data = data,
                                     .n_bytes = n * ut_dtype_size(type)};
    if (type != UT_I32 && type != UT_I64) {
        return ut_tensor_to_f32(&tensor, out);
    }
    for (size_t i = 0; i < n; i++) {
        out[i] =
            type == UT_I32 ? (float)((const int32_t *)data)[i] : (float)((const int64_t *)data)[i];
    }
    return true;
}

/* Grows by half: the longest sentence so far tells how long others may be. */
static utter_status reserve(struct ut_mem *mem, struct ut_ort_numbers *out, size_t n,
                            utter_error *err) {
    if (n <= out->capacity) {
        return UTTER_OK;
    }
    size_t capacity = UT_MAX(n, out->capacity + out->capacity / 2);
    float *grown = ut_mem_realloc(mem, UT_MEM_SESSION, out->values, capacity * sizeof *grown);
    if (!grown) {
        return ut_fail_memory(err, capacity * sizeof *grown);
    }
    out->values = grown;
    out->capacity = capacity;
    return UTTER_OK;
}

/* *type stays UT_N_DTYPES for what is no tensor. *data belongs to `value`. */
static struct ort_status *read_tensor(const struct ort_entries *ort, struct ort_value *value,
                                      enum ut_dtype *type, size_t *n, void **data) {
    struct ort_shape_info *shape = NULL;
    int is_tensor = 0, element = 0;
    *type = UT_N_DTYPES;
    struct ort_status *status = ort->is_tensor(value, &is_tensor);
    if (status || !is_tensor) {
        return status;
    }
    status = ort->tensor_shape(value, &shape);
    status = status ? status : ort->element_type(shape, &element);
    status = status ? status : ort->element_count(shape, n);
    status = status ? status : ort->tensor_data(value, data);
    *type = type_of(element);
    if (shape) {
        ort->release_shape_info(shape);
    }
    return status;
}

/* `most` is judged before anything is allocated: the number is the model's. */
static utter_status take_output(const struct ut_ort_session *s, struct ort_value *value,
                                struct ut_ort_numbers *out, utter_error *err) {
    const char *name = s->outputs[out->index].name;
    enum ut_dtype type = UT_N_DTYPES;
    void *data = NULL;
    size_t n = 0;
    out->n = 0;
    if (!value) {
        return ut_fail(err, UTTER_ERROR_MODEL, "the model gave no output '%s'", name);
    }
    utter_status status = ut_ort_check(s->ort, read_tensor(s->ort, value, &type, &n, &data),
                                       UTTER_ERROR_MODEL, name, err);
    if (status == UTTER_OK && n > out->most) {
        return ut_fail(err, UTTER_ERROR_MODEL,
                       "the model's output '%s' has %zu values, at most %zu "
                       "make sense",
                       name, n, out->most);
    }
    status = status ? status : reserve(s->library->mem, out, n, err);
    if (status == UTTER_OK && (type == UT_N_DTYPES || !to_f32(out->values, type, data, n))) {
        status = ut_fail(err, UTTER_ERROR_MODEL,
                         "the model's output '%s' is of the type %s, not a tensor of samples", name,
                         type == UT_N_DTYPES ? "unknown" : ut_dtype_name(type));
    }
    out->n = status ? 0 : n;
    return status;
}

/* ---- A run ---------------------------------------------------------------------------------- */

/* The tensor is a view of the caller's buffer, which ONNX Runtime only reads. */
static utter_status wrap_input(const struct ut_ort_session *s, const struct ut_ort_value *input,
                               struct ort_value **out, utter_error *err) {
    size_t n_bytes = ut_dtype_size(input->type);
    for (size_t i = 0; i < input->n_dims; i++) {
        n_bytes *= (size_t)input->dims[i];
    }
    return ut_ort_check(s->ort,
                        s->ort->create_tensor(s->memory, (void *)input->data, n_bytes, input->dims,
                                              input->n_dims, element_of(input->type), out),
                        UTTER_ERROR_INTERNAL, input->name, err);
}

/* One run's arrays, on the stack: a session may be running several. */
struct call {
    const char *input_names[UT_ORT_MAX_INPUTS], *output_names[UT_ORT_MAX_OUTPUTS];
    struct ort_value *inputs[UT_ORT_MAX_INPUTS], *outputs[UT_ORT_MAX_OUTPUTS];
    size_t n_inputs, n_outputs;
};

/* A run that was cancelled may end well or with an error of its own: the flag decides. */
static utter_status run(const struct ut_ort_session *s, struct call *call,
                        const _Atomic bool *cancel, utter_error *err) {
    const struct ort_entries *ort = s->ort;
    struct watch watch = {.ort = ort, .cancel = cancel};
    utter_status status = ut_ort_check(ort, ort->create_run_options(&watch.options),
                                       UTTER_ERROR_INTERNAL, "a run", err);
    if (status != UTTER_OK) {
        return status;
    }
    status = cancel ? watch_start(&watch, err) : UTTER_OK;
    if (status == UTTER_OK) {
        struct ort_status *problem =
            ort->run(s->session, watch.options, call->input_names,
                     (const struct ort_value *const *)call->inputs, call->n_inputs,
                     call->output_names, call->n_outputs, call->outputs);
        if (cancel) {
            watch_stop(&watch);
        }
        status = ut_ort_check(ort, problem, UTTER_ERROR_MODEL, "the model", err);
        if (cancel && atomic_load(cancel)) {
            status = ut_fail(err, UTTER_ERROR_CANCELLED, "cancelled");
        }
    }
    ort->release_run_options(watch.options);
    return status;
}

/* Everything created is released on one way out, in whatever state the run ended. */
utter_status ut_ort_run(struct ut_ort_session *session, const struct ut_ort_value *inputs,
                        size_t n_inputs, struct ut_ort_numbers *outputs, size_t n_outputs,
                        const _Atomic bool *cancel, utter_error *err) {
    struct call call = {.n_outputs = n_outputs};
    utter_status status = UTTER_OK;
    for (; call.n_inputs < n_inputs && status == UTTER_OK; call.n_inputs++) {
        call.input_names[call.n_inputs] = inputs[call.n_inputs].name;
        status = wrap_input(session, &inputs[call.n_inputs], &call.inputs[call.n_inputs], err);
    }
    for (size_t i = 0; i < n_outputs; i++) {
        call.output_names[i] = session->outputs[outputs[i].index].name;
    }
    status = status ? status : run(session, &call, cancel, err);
    for (size_t i = 0; i < n_outputs && status == UTTER_OK; i++) {
        status = take_output(session, call.outputs[i], &outputs[i], err);
    }
    for (size_t i = 0; i < call.n_inputs; i++) {
        if (call.inputs[i]) {
            session->ort->release_value(call.inputs[i]);
        }
    }
    for (size_t i = 0; i < n_outputs; i++) {
        if (call.outputs[i]) {
            session->ort->release_value(call.outputs[i]);
        }
    }
    return status;
}
