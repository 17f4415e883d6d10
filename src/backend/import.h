/* utter_import over the families. */
#ifndef UT_BACKEND_IMPORT_H
#define UT_BACKEND_IMPORT_H

#include "backend/backend.h"

/* As utter_import says. `options` and `result` must not be NULL; result->size is left alone. */
UTTER_CHECKED utter_status ut_backend_import(const struct ut_backend_context *context,
                                             const char *path, const char *out_path,
                                             const utter_import_options *options,
                                             utter_import_result *result, utter_error *err);

#endif
