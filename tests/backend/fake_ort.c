/* See fake_ort.h. With -DFAKE_NO_SYMBOL it is a library of something else. */
#include "backend/fake_ort.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend/ort_entries.h"

#define EXPORTED __attribute__((visibility("default")))

#ifdef FAKE_NO_SYMBOL
EXPORTED int fake_something_else(void);
int fake_something_else(void) {
    return 1;
}
#else

EXPORTED extern struct fake_ort fake_ort;
struct fake_ort fake_ort;

/* Runs may come from several threads. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- Objects -------------------------------------------------------------------------------- */

struct ort_status {
    int code;
    char message[80];
};

struct ort_type_info {
    const struct fake_port *port;
};

struct ort_shape_info {
    int element;
    size_t n_dims;
    int64_t dims[8];
};

struct ort_value {
    struct ort_shape_info shape;
    void *data;
    bool is_own;
};

struct ort_env {
    int unused;
};
struct ort_session {
    int unused;
};
struct ort_session_options {
    int unused;
};
struct ort_run_options {
    int unused;
};
struct ort_memory_info {
    int unused;
};
struct ort_cuda_options {
    int unused;
};
struct ort_allocator {
    int unused;
};

static void *make(size_t n_bytes) {
    void *object = calloc(1, n_bytes);
    if (!object) {
        abort();
    }
    fake_ort.n_alive++;
    return object;
}

static void drop(void *object) {
    if (object) {
        fake_ort.n_alive--;
        free(object);
    }
}

static struct ort_status *problem(int code, const char *message) {
    struct ort_status *status = make(sizeof *status);
    status->code = code;
    snprintf(status->message, sizeof status->message, "%s", message);
    return status;
}

/* Every call that can fail begins with this one. */
static struct ort_status *call(void) {
    pthread_mutex_lock(&lock);
    bool fails = ++fake_ort.n_calls == fake_ort.fail_at;
    pthread_mutex_unlock(&lock);
    return fails ? problem(fake_ort.fail_code, "this call was told to fail") : NULL;
}

#define MAKE(out)                                                                                  \
    do {                                                                                           \
        struct ort_status *failed = call();                                                        \
        *(out) = failed ? NULL : make(sizeof **(out));                                             \
        return failed;                                                                             \
    } while (0)

static int fake_get_error_code(const struct ort_status *status) {
    return status->code;
}
static const char *fake_get_error_message(const struct ort_status *status) {
    return status->message;
}

/* ---- Settings ------------------------------------------------------------------------------- */

static struct ort_status *fake_create_env_with_logger(ort_log_fn log, void *user, int severity,
                                                      const char *id, struct ort_env **out) {
    log(user, severity, "test", id, "here", "nobody shall see this");
    MAKE(out);
}
static struct ort_status *fake_create_session_options(struct ort_session_options **out) {
    MAKE(out);
}
static struct ort_status *fake_set_execution_mode(struct ort_session_options *options, int mode) {
    return mode == ORT_SEQUENTIAL ? call() : problem(2, "execution mode");
}
static struct ort_status *fake_disable_memory_pattern(struct ort_session_options *options) {
    return call();
}
static struct ort_status *fake_set_log_severity(struct ort_session_options *options, int severity) {
    fake_ort.log_severity = severity;
    return call();
}
static struct ort_status *fake_set_optimization(struct ort_session_options *options, int level) {
    return level == ORT_OPTIMIZE_ALL ? call() : problem(2, "level");
}
static struct ort_status *fake_set_intra_op_threads(struct ort_session_options *options, int n) {
    fake_ort.n_threads = n;
    return call();
}
static struct ort_status *fake_set_inter_op_threads(struct ort_session_options *options, int n) {
    return n == 1 ? call() : problem(2, "threads");
}
static struct ort_status *fake_add_session_config(struct ort_session_options *options,
                                                  const char *key, const char *value) {
    fake_ort.spinning_off |=
        strcmp(key, "session.intra_op.allow_spinning") == 0 && strcmp(value, "0") == 0;
    return call();
}
static struct ort_status *fake_create_cuda_options(struct ort_cuda_options **out) {
    MAKE(out);
}
static struct ort_status *fake_append_cuda(struct ort_session_options *options,
                                           const struct ort_cuda_options *cuda) {
    fake_ort.cuda = true;
    return call();
}
static struct ort_status *fake_append_provider(struct ort_session_options *options,
                                               const char *name, const char *const *keys,
                                               const char *const *values, size_t n) {
    fake_ort.coreml = strcmp(name, "CoreML") == 0;
    return call();
}
static struct ort_status *fake_available_providers(char ***out, int *n) {
    struct ort_status *failed = call();
    if (!failed) {
        *out = make(sizeof fake_ort.providers);
        memcpy(*out, fake_ort.providers, sizeof fake_ort.providers);
        *n = fake_ort.n_providers;
    }
    return failed;
}
static struct ort_status *fake_release_providers(char **names, int n) {
    drop(names);
    return NULL;
}

/* ---- The model ------------------------------------------------------------------------------ */

static struct ort_status *fake_create_session(struct ort_env *env, const char *path,
                                              const struct ort_session_options *options,
                                              struct ort_session **out) {
    snprintf(fake_ort.path, sizeof fake_ort.path, "%s", path);
    MAKE(out);
}
static struct ort_status *fake_input_count(const struct ort_session *session, size_t *out) {
    *out = fake_ort.n_inputs;
    return call();
}
static struct ort_status *fake_output_count(const struct ort_session *session, size_t *out) {
    *out = fake_ort.n_outputs;
    return call();
}
static struct ort_status *copy_name(const char *name, char **out) {
    struct ort_status *failed = call();
    if (!failed) {
        *out = make(strlen(name) + 1);
        strcpy(*out, name);
    }
    return failed;
}
static struct ort_status *fake_input_name(const struct ort_session *session, size_t index,
                                          struct ort_allocator *allocator, char **out) {
    return copy_name(fake_ort.inputs[index].name, out);
}
static struct ort_status *fake_output_name(const struct ort_session *session, size_t index,
                                           struct ort_allocator *allocator, char **out) {
    return copy_name(fake_ort.outputs[index].name, out);
}
static struct ort_status *make_type(const struct fake_port *port, struct ort_type_info **out) {
    struct ort_status *failed = call();
    if (!failed) {
        *out = make(sizeof **out);
        (*out)->port = port;
    }
    return failed;
}
static struct ort_status *fake_input_type(const struct ort_session *session, size_t index,
                                          struct ort_type_info **out) {
    return make_type(&fake_ort.inputs[index], out);
}
static struct ort_status *fake_output_type(const struct ort_session *session, size_t index,
                                           struct ort_type_info **out) {
    return make_type(&fake_ort.outputs[index], out);
}
/* A port begins as a shape does not; the library's view of a type belongs to the type, so one place
 * per thread of the tests is enough. */
static struct ort_status *fake_type_as_tensor(const struct ort_type_info *type,
                                              const struct ort_shape_info **out) {
    static struct ort_shape_info shape;
    shape.element = type->port->element;
    shape.n_dims = type->port->n_dims;
    memcpy(shape.dims, type->port->dims, sizeof shape.dims);
    *out = type->port->element ? &shape : NULL;
    return call();
}
static struct ort_status *fake_element_type(const struct ort_shape_info *info, int *out) {
    *out = info->element;
    return call();
}
static struct ort_status *fake_dim_count(const struct ort_shape_info *info, size_t *out) {
    *out = info->n_dims;
    return call();
}
static struct ort_status *fake_dims(const struct ort_shape_info *info, int64_t *dims, size_t n) {
    memcpy(dims, info->dims, n * sizeof *dims);
    return call();
}
static struct ort_status *fake_default_allocator(struct ort_allocator **out) {
    static struct ort_allocator allocator;
    *out = &allocator;
    return call();
}
static struct ort_status *fake_allocator_free(struct ort_allocator *allocator, void *block) {
    drop(block); /* also when it says that it failed: the test counts what is left */
    return call();
}

/* ---- Values --------------------------------------------------------------------------------- */

static struct ort_status *fake_create_cpu_memory_info(int allocator_type, int memory_type,
                                                      struct ort_memory_info **out) {
    MAKE(out);
}
static size_t count(const struct ort_shape_info *shape) {
    size_t n = 1;
    for (size_t i = 0; i < shape->n_dims; i++) {
        n *= (size_t)shape->dims[i];
    }
    return n;
}
static struct ort_status *fake_create_tensor(const struct ort_memory_info *info, void *data,
                                             size_t n_bytes, const int64_t *dims, size_t n_dims,
                                             int element, struct ort_value **out) {
    struct ort_status *failed = call();
    if (!failed) {
        *out = make(sizeof **out);
        **out = (struct ort_value){.shape = {.element = element, .n_dims = n_dims}, .data = data};
        memcpy((*out)->shape.dims, dims, n_dims * sizeof *dims);
    }
    return failed;
}
static struct ort_status *fake_is_tensor(const struct ort_value *value, int *out) {
    *out = !fake_ort.output_no_tensor;
    return call();
}
static struct ort_status *fake_tensor_data(struct ort_value *value, void **out) {
    *out = value->data;
    return call();
}
static struct ort_status *fake_tensor_shape(const struct ort_value *value,
                                            struct ort_shape_info **out) {
    struct ort_status *failed = call();
    if (!failed) {
        *out = make(sizeof **out);
        **out = value->shape;
    }
    return failed;
}
static struct ort_status *fake_element_count(const struct ort_shape_info *info, size_t *out) {
    *out = count(info);
    return call();
}

/* A half of a small positive number, exact for the few that the tests use. */
static uint16_t to_half(double value) {
    int exponent = 15;
    if (value == 0) {
        return 0;
    }
    for (; value < 1; value *= 2) {
        exponent--;
    }
    return (uint16_t)(exponent << 10 | (int)((value - 1) * 1024));
}

static void put(void *data, int element, size_t i, double value) {
    switch (element) {
    case ORT_FLOAT:
        ((float *)data)[i] = (float)value;
        break;
    case ORT_FLOAT16:
    case ORT_BFLOAT16:
        ((uint16_t *)data)[i] = element == ORT_FLOAT16 ? to_half(value) : 0x3F80 /* 1 */;
        break;
    case ORT_DOUBLE:
        ((double *)data)[i] = value;
        break;
    case ORT_INT32:
        ((int32_t *)data)[i] = (int32_t)value;
        break;
    case ORT_INT64:
        ((int64_t *)data)[i] = (int64_t)value;
        break;
    }
}

static double get(const void *data, int element, size_t i) {
    switch (element) {
    case ORT_FLOAT:
        return (double)((const float *)data)[i];
    case ORT_DOUBLE:
        return ((const double *)data)[i];
    case ORT_INT32:
        return ((const int32_t *)data)[i];
    case ORT_INT64:
        return (double)((const int64_t *)data)[i];
    default:
        return -1;
    }
}

static struct ort_value *make_output(size_t index) {
    size_t n = index ? fake_ort.n_durations : fake_ort.n_samples;
    int element = fake_ort.outputs[index].element;
    struct ort_value *value = make(sizeof *value);
    value->shape =
        (struct ort_shape_info){.element = element, .n_dims = 2, .dims = {1, (int64_t)n}};
    value->is_own = true;
    value->data = calloc(n + 1, sizeof(double));
    if (!value->data) {
        abort();
    }
    for (size_t i = 0; i < n; i++) {
        put(value->data, element, i,
            index ? (double)fake_ort.durations[i] : fake_ort.level + (double)i * fake_ort.step);
    }
    return value;
}

/* Checks an input as the library would, and keeps it for the test. */
static struct ort_status *take_input(size_t i, const char *name, const struct ort_value *value) {
    const struct fake_port *port = NULL;
    for (size_t k = 0; k < fake_ort.n_inputs; k++) {
        port = strcmp(fake_ort.inputs[k].name, name) == 0 ? &fake_ort.inputs[k] : port;
    }
    if (!port || port->element != value->shape.element || port->n_dims != value->shape.n_dims) {
        return problem(2, "unexpected input");
    }
    size_t n = count(&value->shape);
    fake_ort.given[i].name = port->name;
    fake_ort.given[i].element = value->shape.element;
    fake_ort.given[i].n_dims = value->shape.n_dims;
    fake_ort.given[i].n = n;
    for (size_t k = 0; k < port->n_dims; k++) {
        fake_ort.given[i].dims[k] = value->shape.dims[k];
        if (port->dims[k] >= 0 && port->dims[k] != value->shape.dims[k]) {
            return problem(2, "unexpected dimensions");
        }
    }
    for (size_t k = 0; k < n && k < FAKE_MAX_VALUES; k++) {
        fake_ort.given[i].values[k] = get(value->data, value->shape.element, k);
    }
    return NULL;
}

static void wait_for_end(void) {
    const struct timespec pause = {0, 1000000};
    fake_ort.running = true;
    while (!fake_ort.terminated) {
        nanosleep(&pause, NULL);
    }
}

static struct ort_status *
fake_run(struct ort_session *session, const struct ort_run_options *options,
         const char *const *input_names, const struct ort_value *const *inputs, size_t n_inputs,
         const char *const *output_names, size_t n_outputs, struct ort_value **outputs) {
    struct ort_status *failed = call();
    if (!failed && n_inputs != fake_ort.n_inputs) {
        failed = problem(2, "an input is missing");
    }
    pthread_mutex_lock(&lock);
    fake_ort.n_given = n_inputs;
    for (size_t i = 0; i < n_inputs && !failed; i++) {
        failed = take_input(i, input_names[i], inputs[i]);
    }
    pthread_mutex_unlock(&lock);
    if (!failed && fake_ort.wait) {
        wait_for_end();
        failed = problem(1, "told to terminate");
    }
    for (size_t i = 0; i < n_outputs && !failed && !fake_ort.no_output; i++) {
        size_t index = strcmp(output_names[i], fake_ort.outputs[0].name) == 0 ? 0 : 1;
        outputs[i] = make_output(index);
    }
    return failed;
}
static struct ort_status *fake_create_run_options(struct ort_run_options **out) {
    MAKE(out);
}
static struct ort_status *fake_set_terminate(struct ort_run_options *options) {
    fake_ort.terminated = true;
    return NULL;
}

/* ---- Releasing ------------------------------------------------------------------------------ */

static void fake_release_env(struct ort_env *env) {
    drop(env);
}
static void fake_release_status(struct ort_status *status) {
    drop(status);
}
static void fake_release_memory_info(struct ort_memory_info *info) {
    drop(info);
}
static void fake_release_session(struct ort_session *session) {
    drop(session);
}
static void fake_release_value(struct ort_value *value) {
    if (value->is_own) {
        free(value->data);
    }
    drop(value);
}
static void fake_release_run_options(struct ort_run_options *options) {
    drop(options);
}
static void fake_release_type_info(struct ort_type_info *type) {
    drop(type);
}
static void fake_release_shape_info(struct ort_shape_info *info) {
    drop(info);
}
static void fake_release_session_options(struct ort_session_options *options) {
    drop(options);
}
static void fake_release_cuda_options(struct ort_cuda_options *cuda) {
    drop(cuda);
}

/* ---- The door ------------------------------------------------------------------------------- */

static void *table[ORT_TABLE_SIZE];

static const void *get_api(uint32_t version) {
#define FILL(place, result, name, arguments) table[place] = (void *)fake_##name;
    ORT_ENTRIES(FILL)
    fake_ort.asked_newest = version > fake_ort.asked_newest ? version : fake_ort.asked_newest;
    return version <= fake_ort.newest_table ? table : NULL;
}

static const char *get_version(void) {
    return fake_ort.version;
}

EXPORTED const struct ort_api_base *OrtGetApiBase(void);
const struct ort_api_base *OrtGetApiBase(void) {
    static const struct ort_api_base base = {get_api, get_version};
    if (!fake_ort.version) { /* a program that sets nothing up */
        fake_ort_reset(&fake_ort);
    }
    return &base;
}
#endif
