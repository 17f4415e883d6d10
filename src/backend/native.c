/* The native backend's front door: finds the model file that a path means and hands over to the
 * family that the file belongs to. */
#include "backend/native.h"

#include "models/model_file.h"

utter_status ut_native_find_model(const char *path, char model_path[PATH_MAX], utter_error *err) {
    return ut_model_find(path, model_path, err);
}

utter_status ut_native_open(const struct ut_backend_context *context, const char *path,
                            struct ut_backend_voice **out, utter_error *err) {
    return ut_native_piper.open(context, path, out, err);
}

utter_status ut_native_trace(const struct ut_backend_context *context, const char *path,
                             const char *golden, const char *case_name, const char *out_path,
                             utter_trace_fn stage, void *user, utter_error *err) {
    return ut_native_piper.trace(context, path, golden, case_name, out_path, stage, user, err);
}
