/* utter_import: settings and paths are checked here, the rest is the family's. */
#include "backend/import.h"

#include <string.h>
#include <sys/stat.h>

#include "backend/native.h"
#include "models/kokoro/kokoro_import.h"
#include "models/piper/piper_import.h"

/* No name keeps the types that the file has. */
static utter_status read_type(const char *name, struct ut_import *out, utter_error *err) {
    static const enum ut_dtype types[] = {UT_F32, UT_F16, UT_BF16, UT_I8};
    out->keep_type = !name;
    if (!name) {
        return UTTER_OK;
    }
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(name, ut_dtype_label(types[i])) == 0) {
            out->type = types[i];
            return UTTER_OK;
        }
    }
    return ut_fail(err, UTTER_ERROR_ARGUMENT, "type is '%.40s': it must be f32, f16, bf16 or int8",
                   name);
}

/* The file is replaced when it is complete, so it may not be the one that is read, by whatever
 * name. */
static utter_status check_output(const char *file, const char *out_path, utter_error *err) {
    struct stat in, out;
    if (!*out_path) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "the path of the new file is empty");
    }
    if (stat(out_path, &out) != 0 || stat(file, &in) != 0) {
        return UTTER_OK;
    }
    if (in.st_dev == out.st_dev && in.st_ino == out.st_ino) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT,
                       "%s is the model itself: give the new file another name", out_path);
    }
    return S_ISREG(out.st_mode)
               ? UTTER_OK
               : ut_fail(err, UTTER_ERROR_ARGUMENT,
                         "%s is there and is no file: give the new file another name", out_path);
}

/* The context's log and memory go to the family's writer; the file is written under a temporary
 * name until it is complete (weights/new_file.h). */
utter_status ut_backend_import(const struct ut_backend_context *context, const char *path,
                               const char *out_path, const utter_import_options *options,
                               utter_import_result *result, utter_error *err) {
    const struct ut_backend *family = NULL;
    char file[PATH_MAX];
    struct ut_import import = {
        .mem = context->mem,
        .compute = &context->compute,
        .log = &context->log,
        .file = file,
        .out_path = out_path,
        .voices = options->voices,
        .progress = options->progress,
        .progress_user = options->progress_user,
    };
    utter_status status = read_type(options->type, &import, err);
    status = status ? status : ut_native_family(context->mem, path, file, &family, NULL, err);
    if (status == UTTER_OK && ut_native_format(file) == UT_FORMAT_GGUF) {
        status = ut_fail(err, UTTER_ERROR_ARGUMENT, "%s is a GGUF file already: nothing to import",
                         file);
    }
    status = status ? status : check_output(file, out_path, err);
    if (status != UTTER_OK) {
        return status;
    }
    return family == &ut_native_kokoro ? ut_kokoro_import(&import, result, err)
                                       : ut_piper_import(&import, result, err);
}
