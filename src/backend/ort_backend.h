/* The onnx backend: voices whose network ONNX Runtime runs, one table of functions for each family; and what
 * both tables share. Everything around the network is the native backend's (piper_voice.h, kokoro_voice.h).
 *
 * Noise comes from ONNX Runtime's generator: a seed does not repeat it. */
#ifndef UT_BACKEND_ORT_BACKEND_H
#define UT_BACKEND_ORT_BACKEND_H

#include "backend/backend.h"
#include "backend/native.h"
#include "backend/ort_api.h"

extern const struct ut_backend ut_ort_piper, ut_ort_kokoro;

/* Opens the ONNX file at `path` with the table of its family, told by the names of its inputs. Takes the
 * library and the provider from the context. ERROR_UNSUPPORTED for other files and models. */
UTTER_CHECKED utter_status ut_ort_open(const struct ut_backend_context *context, const char *path,
                                       struct ut_backend_voice **out, utter_error *err);

/* The provider to try before native on the context's platform: ut_ort_accelerated of its library; NULL when
 * there is none, or no library. */
const char *ut_ort_accelerated_here(const struct ut_backend_context *context);

/* What runs a voice's network. Closed in the reverse order by ut_ort_model_close, which takes {0},
 * too. */
struct ut_ort_model {
    struct ut_ort_library *library;
    struct ut_ort_session *session;
    const char *provider; /* ut_ort_provider_find's */
};

void ut_ort_model_close(struct ut_ort_model *model);

/* Takes the model, also when it fails. */
typedef utter_status (*ut_ort_family_open)(const struct ut_backend_context *context,
                                           const char *path, struct ut_ort_model model,
                                           struct ut_backend_voice **out, utter_error *err);
UTTER_CHECKED utter_status ut_ort_piper_open(const struct ut_backend_context *context,
                                             const char *path, struct ut_ort_model model,
                                             struct ut_backend_voice **out, utter_error *err);
UTTER_CHECKED utter_status ut_ort_kokoro_open(const struct ut_backend_context *context,
                                              const char *path, struct ut_ort_model model,
                                              struct ut_backend_voice **out, utter_error *err);

/* Format, size of the file and, where utter's own reader understands it, number and main type of the
 * weights. */
void ut_ort_describe_file(struct ut_mem *mem, const char *file, utter_voice_info *info);

/* ut_native_describe, also for files that utter's own reader does not understand: then without metadata. */
UTTER_CHECKED utter_status ut_ort_describe(struct ut_mem *mem, const struct ut_backend_voice *voice,
                                           const char *model_file, bool tensors,
                                           ut_native_describe_fn members, char **out,
                                           utter_error *err);

/* ---- Inputs by what they are for -------------------------------------------------------------- */

struct ut_ort_role {
    const char *names[2]; /* that exports give the input; the second may be NULL */
    size_t most;          /* values */
    bool is_optional;     /* such roles come last */
};

/* Finds the input of each role: ports[i] is NULL when an optional one is absent. ERROR_UNSUPPORTED for an
 * input of no role, a role without an input, or a type that is not f32, f64, i32 or i64. */
UTTER_CHECKED utter_status ut_ort_match(const struct ut_ort_session *session, const char *path,
                                        const struct ut_ort_role *roles, size_t n_roles,
                                        const struct ut_ort_port **ports, utter_error *err);

/* The buffers of one run at a time. */
struct ut_ort_call {
    struct ut_mem *mem;
    struct ut_ort_value inputs[UT_ORT_MAX_INPUTS]; /* by role */
    size_t n_inputs;
    struct ut_ort_numbers outputs[2];
    size_t n_outputs;
};

/* On failure what there is still has to be freed by ut_ort_call_free. */
UTTER_CHECKED utter_status ut_ort_call_init(struct ut_ort_call *call, struct ut_mem *mem,
                                            const struct ut_ort_role *roles, size_t n_roles,
                                            const struct ut_ort_port *const *ports,
                                            utter_error *err);
void ut_ort_call_free(struct ut_ort_call *call);
/* Value i of a role, in the type of its input; nothing when an optional one is absent. */
void ut_ort_call_set(struct ut_ort_call *call, size_t role, size_t i, double value);
/* How many values it has: its last dimension, behind ones. At least 1 before a run. */
void ut_ort_call_set_count(struct ut_ort_call *call, size_t role, size_t n);

/* Samples begin..end - 1 to the sink, kept within -1..1. ERROR_MODEL for one that is not finite or when there
 * is none, ERROR_CANCELLED when the sink or params->cancel says so. */
UTTER_CHECKED utter_status ut_ort_deliver(struct ut_ort_numbers *samples, size_t begin, size_t end,
                                          const struct ut_speak_params *params, utter_error *err);

#endif
