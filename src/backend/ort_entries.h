/* ONNX Runtime's C interface, as much of it as utter calls. The library hands out one table of function
 * pointers that only ever grows at its end; an entry is known by its place in it. Facts from the
 * documentation of onnxruntime_c_api.h; ORT_API_OLDEST is the version that appended the last entry used.
 *
 * Only ort_library.c, ort_session.c and the stand-in library of the tests include this. */
#ifndef UT_BACKEND_ORT_ENTRIES_H
#define UT_BACKEND_ORT_ENTRIES_H

#include <stddef.h>
#include <stdint.h>

enum { ORT_API_OLDEST = 12, ORT_API_NEWEST = 29 /* checked; a newer library offers the older tables too */ };

/* The one symbol looked up: `const struct ort_api_base *OrtGetApiBase(void)`. */
struct ort_api_base {
    const void *(*get_api)(uint32_t version); /* NULL when it is newer than the library */
    const char *(*get_version)(void);         /* "1.31.1" */
};

struct ort_status; /* NULL: success; else to be released */
struct ort_env;    /* one per process, counted by the library */
struct ort_session_options;
struct ort_session;
struct ort_run_options;
struct ort_memory_info;
struct ort_allocator;
struct ort_value;
struct ort_type_info;
struct ort_shape_info;
struct ort_cuda_options;

typedef void (*ort_log_fn)(void *user, int severity, const char *category, const char *id,
                           const char *location, const char *message);

enum ort_error_code { ORT_NO_SUCH_FILE = 3, ORT_NOT_IMPLEMENTED = 9 };
enum { ORT_LOG_FATAL = 4, ORT_SEQUENTIAL = 0, ORT_OPTIMIZE_ALL = 99 };
enum { ORT_ARENA_ALLOCATOR = 1, ORT_MEMORY_DEFAULT = 0 };

/* Element types, as in the ONNX format. */
enum ort_element {
    ORT_FLOAT = 1, ORT_UINT8, ORT_INT8, ORT_UINT16, ORT_INT16, ORT_INT32, ORT_INT64, ORT_STRING,
    ORT_BOOL, ORT_FLOAT16, ORT_DOUBLE, ORT_UINT32, ORT_UINT64, ORT_BFLOAT16 = 16
};

/* ENTRY(place, result, name, arguments). */
#define ORT_ENTRIES(ENTRY)                                                                         \
    ENTRY(1, int, get_error_code, (const struct ort_status *status))                               \
    ENTRY(2, const char *, get_error_message, (const struct ort_status *status))                   \
    ENTRY(4, struct ort_status *, create_env_with_logger,                                          \
          (ort_log_fn log, void *user, int severity, const char *id, struct ort_env **out))        \
    ENTRY(7, struct ort_status *, create_session,                                                  \
          (struct ort_env * env, const char *path, const struct ort_session_options *options,      \
           struct ort_session **out))                                                              \
    ENTRY(9, struct ort_status *, run,                                                             \
          (struct ort_session * session, const struct ort_run_options *options,                    \
           const char *const *input_names, const struct ort_value *const *inputs, size_t n_inputs, \
           const char *const *output_names, size_t n_outputs, struct ort_value **outputs))         \
    ENTRY(10, struct ort_status *, create_session_options, (struct ort_session_options * *out))    \
    ENTRY(13, struct ort_status *, set_execution_mode,                                             \
          (struct ort_session_options * options, int mode))                                        \
    ENTRY(17, struct ort_status *, disable_memory_pattern, (struct ort_session_options * options)) \
    ENTRY(22, struct ort_status *, set_log_severity,                                               \
          (struct ort_session_options * options, int severity))                                    \
    ENTRY(23, struct ort_status *, set_optimization,                                               \
          (struct ort_session_options * options, int level))                                       \
    ENTRY(24, struct ort_status *, set_intra_op_threads,                                           \
          (struct ort_session_options * options, int n))                                           \
    ENTRY(25, struct ort_status *, set_inter_op_threads,                                           \
          (struct ort_session_options * options, int n))                                           \
    ENTRY(30, struct ort_status *, input_count, (const struct ort_session *session, size_t *out))  \
    ENTRY(31, struct ort_status *, output_count, (const struct ort_session *session, size_t *out)) \
    ENTRY(33, struct ort_status *, input_type,                                                     \
          (const struct ort_session *session, size_t index, struct ort_type_info **out))           \
    ENTRY(34, struct ort_status *, output_type,                                                    \
          (const struct ort_session *session, size_t index, struct ort_type_info **out))           \
    ENTRY(36, struct ort_status *, input_name,                                                     \
          (const struct ort_session *session, size_t index, struct ort_allocator *allocator,       \
           char **out))                                                                            \
    ENTRY(37, struct ort_status *, output_name,                                                    \
          (const struct ort_session *session, size_t index, struct ort_allocator *allocator,       \
           char **out))                                                                            \
    ENTRY(39, struct ort_status *, create_run_options, (struct ort_run_options * *out))            \
    ENTRY(46, struct ort_status *, set_terminate, (struct ort_run_options * options))              \
    ENTRY(49, struct ort_status *, create_tensor,                                                  \
          (const struct ort_memory_info *info, void *data, size_t n_bytes, const int64_t *dims,    \
           size_t n_dims, int element, struct ort_value **out))                                    \
    ENTRY(50, struct ort_status *, is_tensor, (const struct ort_value *value, int *out))           \
    ENTRY(51, struct ort_status *, tensor_data, (struct ort_value * value, void **out))            \
    ENTRY(55, struct ort_status *, type_as_tensor,                                                 \
          (const struct ort_type_info *type, const struct ort_shape_info **out))                   \
    ENTRY(60, struct ort_status *, element_type, (const struct ort_shape_info *info, int *out))    \
    ENTRY(61, struct ort_status *, dim_count, (const struct ort_shape_info *info, size_t *out))    \
    ENTRY(62, struct ort_status *, dims,                                                           \
          (const struct ort_shape_info *info, int64_t *dims, size_t n))                            \
    ENTRY(64, struct ort_status *, element_count, (const struct ort_shape_info *info, size_t *out)) \
    ENTRY(65, struct ort_status *, tensor_shape,                                                   \
          (const struct ort_value *value, struct ort_shape_info **out))                            \
    ENTRY(69, struct ort_status *, create_cpu_memory_info,                                         \
          (int allocator_type, int memory_type, struct ort_memory_info **out))                     \
    ENTRY(76, struct ort_status *, allocator_free, (struct ort_allocator * allocator, void *block)) \
    ENTRY(78, struct ort_status *, default_allocator, (struct ort_allocator * *out))               \
    ENTRY(92, void, release_env, (struct ort_env * env))                                           \
    ENTRY(93, void, release_status, (struct ort_status * status))                                  \
    ENTRY(94, void, release_memory_info, (struct ort_memory_info * info))                          \
    ENTRY(95, void, release_session, (struct ort_session * session))                               \
    ENTRY(96, void, release_value, (struct ort_value * value))                                     \
    ENTRY(97, void, release_run_options, (struct ort_run_options * options))                       \
    ENTRY(98, void, release_type_info, (struct ort_type_info * type))                              \
    ENTRY(99, void, release_shape_info, (struct ort_shape_info * info))                            \
    ENTRY(100, void, release_session_options, (struct ort_session_options * options))              \
    ENTRY(125, struct ort_status *, available_providers, (char ***out, int *n))                    \
    ENTRY(126, struct ort_status *, release_providers, (char **names, int n))                      \
    ENTRY(130, struct ort_status *, add_session_config,                                            \
          (struct ort_session_options * options, const char *key, const char *value))              \
    ENTRY(204, struct ort_status *, append_cuda,                                                   \
          (struct ort_session_options * options, const struct ort_cuda_options *cuda))             \
    ENTRY(205, struct ort_status *, create_cuda_options, (struct ort_cuda_options * *out))         \
    ENTRY(208, void, release_cuda_options, (struct ort_cuda_options * cuda))                       \
    ENTRY(216, struct ort_status *, append_provider,                                               \
          (struct ort_session_options * options, const char *name, const char *const *keys,        \
           const char *const *values, size_t n))

enum { ORT_TABLE_SIZE = 217 };

#define ORT_MEMBER(place, result, name, arguments) result(*name) arguments;
struct ort_entries {
    ORT_ENTRIES(ORT_MEMBER)
};
#undef ORT_MEMBER

#endif
