/* Which backend speaks a voice: the chain native, onnx, another variant of the model, espeak; and what the
 * backends of this build are. */
#ifndef UT_BACKEND_CHAIN_H
#define UT_BACKEND_CHAIN_H

#include "backend/backend.h"

/* Room for the message of an utter_error. */
enum { UT_REASON_SIZE = 500 };

/* Opens `path` as utter_voice_open describes it (NULL, "espeak", "espeak:LANG", a file or a
 * folder), with the context's provider, coreml_path, preferred and no_fallback.
 * `reason` is "" or says why the voice speaks through a later backend than `wanted`. */
UTTER_CHECKED utter_status ut_backend_open(const struct ut_backend_context *context,
                                           const char *path, utter_backend wanted,
                                           struct ut_backend_voice **out,
                                           char reason[UT_REASON_SIZE], utter_error *err);

/* Opens one model file or folder by utter's kernels or ONNX Runtime: NATIVE, ONNX, or with AUTO the first that
 * takes it, where `reason` is set when one failed that was preferred, or accelerated. */
UTTER_CHECKED utter_status ut_backend_open_file(const struct ut_backend_context *context,
                                                const char *path, utter_backend wanted,
                                                struct ut_backend_voice **out,
                                                char reason[UT_REASON_SIZE], utter_error *err);

/* The backends as a JSON array; `voice` may be NULL. Free with ut_mem_free. */
UTTER_CHECKED utter_status ut_backend_report(const struct ut_backend_context *context,
                                             const struct ut_backend_voice *voice, char **json,
                                             utter_error *err);

#endif
