/* ONNX Runtime in utter's words. The shared library is loaded when a voice asks for it; nothing of
 * it is needed to build utter or to run anything else. It parses models by itself: what utter
 * promises of damaged files holds for ONNX Runtime's own parser only as far as that keeps it.
 *
 * A library and a session may be used from any number of threads at once; ut_ort_run is re-entrant.
 */
#ifndef UT_BACKEND_ORT_API_H
#define UT_BACKEND_ORT_API_H

#include <stdatomic.h>

#include "base/error.h"
#include "base/mem.h"
#include "weights/weights.h"

struct ut_ort_library;
struct ut_ort_session;

/* Loads the shared library at `path`, or, when that is NULL, libonnxruntime where the loader looks
 * and in the Python packages of /usr, /usr/local and ~/.local. It stays loaded until the process
 * ends. ERROR_NOT_FOUND says how to get it, ERROR_UNSUPPORTED what is wrong with the one that was
 * found. */
UTTER_CHECKED utter_status ut_ort_library_open(struct ut_mem *mem, const char *path,
                                               struct ut_ort_library **out, utter_error *err);
void ut_ort_library_close(struct ut_ort_library *library); /* NULL is fine; sessions first */

const char *ut_ort_library_version(const struct ut_ort_library *library); /* "1.31.1" */
const char *
ut_ort_library_path(const struct ut_ort_library *library); /* of the file that was loaded */

/* What it can compute on: "CPUExecutionProvider", ... */
size_t ut_ort_provider_count(const struct ut_ort_library *library);
const char *ut_ort_provider_name(const struct ut_ort_library *library, size_t index);

/* The name of a provider that can be asked for, "cpu", "cuda" or "coreml", in static storage; "cpu" for NULL,
 * NULL for any other name. */
const char *ut_ort_provider_find(const char *name);

/* Of n providers that a library offers, by ONNX Runtime's names, the one worth trying before utter's own
 * kernels: "coreml" on Apple's systems, which always have the device for it; NULL: none. A CUDA library says
 * nothing about a graphics card, so that one has to be asked for. */
const char *ut_ort_accelerated(bool apple, const char *const *offered, size_t n);

struct ut_ort_session_options {
    const char *path;     /* of the model file */
    int n_threads;        /* at least 1 */
    const char *provider; /* "cpu", "cuda", "coreml"; NULL: "cpu" */
};

/* ERROR_ARGUMENT for a provider of another name, ERROR_UNSUPPORTED for one that the library lacks,
 * ERROR_FORMAT with ONNX Runtime's own words for a model that it refuses. Borrows the library. */
UTTER_CHECKED utter_status ut_ort_session_create(struct ut_ort_library *library,
                                                 const struct ut_ort_session_options *options,
                                                 struct ut_ort_session **out, utter_error *err);
void ut_ort_session_destroy(struct ut_ort_session *session); /* NULL is fine */

/* An input or an output of the model. */
struct ut_ort_port {
    char *name;
    enum ut_dtype type;        /* UT_N_DTYPES: none that utter knows, or no tensor */
    size_t n_dims;             /* also when there are more than UT_MAX_DIMS */
    int64_t dims[UT_MAX_DIMS]; /* -1 where any number will do */
};

/* Ports are numbered as in the model's file; they live as long as the session. */
size_t ut_ort_input_count(const struct ut_ort_session *session);
size_t ut_ort_output_count(const struct ut_ort_session *session);
const struct ut_ort_port *ut_ort_input(const struct ut_ort_session *session, size_t index);
const struct ut_ort_port *ut_ort_output(const struct ut_ort_session *session, size_t index);

/* A value for an input; data lives until ut_ort_run returns and is only read. */
struct ut_ort_value {
    const char *name;
    enum ut_dtype type;
    size_t n_dims;
    int64_t dims[UT_MAX_DIMS];
    const void *data;
};

/* An output to fetch: its numbers, of whatever type, as f32. The buffer is kept from run to run;
 * start with zeros, free `values` with ut_mem_free. */
struct ut_ort_numbers {
    size_t index; /* of the output */
    size_t most;  /* more values than this are ERROR_MODEL */
    float *values;
    size_t n, capacity;
};

enum { UT_ORT_MAX_INPUTS = 8, UT_ORT_MAX_OUTPUTS = 4 };

/* Runs the model. ERROR_CANCELLED within a few tens of milliseconds and one operator after *cancel
 * (may be NULL) was set; ERROR_MODEL with ONNX Runtime's words when it fails or an output is no
 * tensor of numbers. Buffers are allocated from `mem`. */
UTTER_CHECKED utter_status ut_ort_run(struct ut_ort_session *session,
                                      const struct ut_ort_value *inputs, size_t n_inputs,
                                      struct ut_ort_numbers *outputs, size_t n_outputs,
                                      const _Atomic bool *cancel, utter_error *err);

#endif
