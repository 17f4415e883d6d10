/* utter_import for callers of any version. */
#include "backend/import.h"
#include "speech/speech.h"

void utter_import_options_init(utter_import_options *options) {
    *options = (utter_import_options){.size = sizeof *options};
}

/* A result is optional; its size is checked before the work is done. */
utter_status utter_import(utter_engine *engine, const char *path, const char *out_path,
                          const utter_import_options *options, utter_import_result *result,
                          utter_error *err) {
    utter_import_options known;
    utter_import_result own = {.size = sizeof own, .family = "", .type = ""};
    size_t size = sizeof size;
    if (!engine || !path || !out_path) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "engine, path and out_path must not be NULL");
    }
    utter_import_options_init(&known);
    utter_status status =
        ut_options_read(&known, sizeof known, options, "utter_import_options", err);
    if (status == UTTER_OK && result) {
        status = ut_options_read(&size, sizeof size, result, "utter_import_result", err);
    }
    if (status != UTTER_OK) {
        return status;
    }
    status = ut_backend_import(&engine->context, path, out_path, &known, &own, err);
    if (status == UTTER_OK && result) {
        ut_options_write(result, &own, sizeof own);
    }
    return status;
}
