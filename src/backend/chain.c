/* The fallback chain: what utter's own kernels cannot run may still be run by ONNX Runtime, and a
 * voice that cannot be loaded at all still speaks, by another variant of its model or else through
 * espeak-ng, in the language that its configuration names. What is not there at all
 * is an error: a mistyped path must not be answered by another voice. */
#include "backend/chain.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "backend/native.h"
#include "backend/ort_backend.h"
#include "base/json.h"
#include "models/model_file.h"
#include "models/piper/piper.h"
#include "models/variants.h"
#include "ut_config.h"

enum { NAME_SIZE = 64 };

static bool is_espeak_path(const char *path) {
    return strcmp(path, "espeak") == 0 || strncmp(path, "espeak:", 7) == 0;
}

/* ---- The language of a voice that does not load -------------------------------------------- */

/* espeak.voice of the configuration beside the model; English where it does not tell. */
static void guess_language(struct ut_mem *mem, const char *path, char name[NAME_SIZE]) {
    char model[PATH_MAX], *text = NULL;
    struct ut_json *json = NULL;
    size_t n;
    snprintf(name, NAME_SIZE, "en-us");
    if (ut_model_find(path, model, NULL) == UTTER_OK &&
        ut_piper_read_config(mem, model, &text, &n, NULL) == UTTER_OK &&
        ut_json_parse(mem, text, n, &json, NULL) == UTTER_OK) {
        ut_json_ref espeak = ut_json_member(json, 0, "espeak");
        const char *voice = ut_json_string(json, ut_json_member(json, espeak, "voice"), &n);
        if (voice && *voice && strlen(voice) == n && n < NAME_SIZE) {
            memcpy(name, voice, n + 1);
        }
        ut_json_free(json);
    }
    ut_mem_free(mem, text);
}

/* ---- Opening ------------------------------------------------------------------------------ */

static utter_status open_espeak(const struct ut_backend_context *context, const char *name,
                                struct ut_backend_voice **out, utter_error *err) {
    char path[NAME_SIZE + 8];
    snprintf(path, sizeof path, "espeak:%s", name);
    return ut_backend_espeak.open(context, path, out, err);
}

/* The voice of the model's language, or English where espeak-ng does not have that. */
static utter_status open_espeak_for(const struct ut_backend_context *context,
                                    const char *model_path, struct ut_backend_voice **out,
                                    utter_error *err) {
    char name[NAME_SIZE];
    guess_language(context->mem, model_path, name);
    utter_status status = open_espeak(context, name, out, err);
    return status == UTTER_ERROR_NOT_FOUND ? open_espeak(context, "en-us", out, err) : status;
}

/* Puts the house voice's folder in `path`; false when it is not installed. */
static bool find_house_voice(char path[PATH_MAX]) {
    static const char *const places[] = {UT_DATA_DIR "/voices/house", UT_SOURCE_VOICES "/house"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        struct stat info;
        if (stat(places[i], &info) == 0 && S_ISDIR(info.st_mode)) {
            snprintf(path, PATH_MAX, "%s", places[i]);
            return true;
        }
    }
    return false;
}

static utter_status check_exists(const char *path, struct stat *info, utter_error *err) {
    if (!*path) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "the path of the voice is empty");
    }
    if (stat(path, info) == 0) {
        return UTTER_OK;
    }
    bool missing = errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG;
    return ut_fail(err, missing ? UTTER_ERROR_NOT_FOUND : UTTER_ERROR_IO, "voice '%s': %s", path,
                   strerror(errno));
}

/* The model file of a path; what to open: the path, or the file where the path is a folder of
 * variants of one model, of which the most precise is taken. */
static utter_status find_file(const struct ut_backend_context *context, const char *path,
                              bool folder, char file[PATH_MAX], const char **to_open,
                              utter_error *err) {
    utter_status status = ut_model_find(path, file, err);
    *to_open = path;
    if (status == UTTER_ERROR_ARGUMENT && folder &&
        ut_variants_best(context->mem, path, file, NULL) == UTTER_OK) {
        ut_log(&context->log, UTTER_LOG_INFO, "%s: of the variants in the folder, %s is taken",
               path, file);
        *to_open = file;
        return UTTER_OK;
    }
    return status;
}

/* A file that utter's own reader finds damaged is not handed to a reader that is less strict; one
 * that is merely of another family, precision or opset is. */
static bool may_be_for_onnx(struct ut_mem *mem, const char *path) {
    char file[PATH_MAX];
    struct ut_weights *weights;
    if (ut_model_find(path, file, NULL) != UTTER_OK || ut_native_format(file) != UT_FORMAT_ONNX) {
        return false;
    }
    utter_status status = ut_weights_open(mem, file, &weights, NULL);
    ut_weights_close(weights);
    return status == UTTER_OK || status == UTTER_ERROR_UNSUPPORTED;
}

/* What native refused, through ONNX Runtime; `err` holds native's words. */
static utter_status try_onnx(const struct ut_backend_context *context, const char *path,
                             utter_status status, struct ut_backend_voice **out, utter_error *err) {
    utter_error native_error = *err, onnx_error;
    if (ut_ort_open(context, path, out, &onnx_error) != UTTER_OK) {
        return ut_fail(err, status, "%.230s; nor does the onnx backend: %s", native_error.message,
                       onnx_error.message);
    }
    ut_log(&context->log, UTTER_LOG_INFO, "%s; ONNX Runtime speaks it", native_error.message);
    return UTTER_OK;
}

utter_status ut_backend_open_file(const struct ut_backend_context *context, const char *path,
                                  utter_backend wanted, struct ut_backend_voice **out,
                                  utter_error *err) {
    utter_error error = {.message = ""};
    utter_status status = wanted == UTTER_BACKEND_ONNX ? ut_ort_open(context, path, out, &error)
                                                       : ut_native_open(context, path, out, &error);
    bool refused = status == UTTER_ERROR_FORMAT || status == UTTER_ERROR_UNSUPPORTED;
    if (refused && wanted == UTTER_BACKEND_AUTO && may_be_for_onnx(context->mem, path)) {
        status = try_onnx(context, path, status, out, &error);
    }
    status = ut_mem_explain(context->mem, status, &error);
    return status ? ut_fail(err, status, "%s", error.message) : UTTER_OK;
}

static uint64_t bytes_of(const char *file) {
    struct stat info;
    return stat(file, &info) == 0 ? (uint64_t)info.st_size : 0;
}

/* The other variants of a file that failed; for lack of memory only smaller ones. False when none
 * opens. */
static bool open_variant(const struct ut_backend_context *context, const char *file,
                         utter_backend wanted, utter_status failure,
                         struct ut_backend_voice **out) {
    struct ut_variants variants;
    bool opened = false;
    if (ut_variants_find(context->mem, file, &variants, NULL) != UTTER_OK) {
        return false;
    }
    for (size_t i = 0; i < variants.n && !opened; i++) {
        utter_error error = {0};
        const struct ut_variant *variant = &variants.items[i];
        if (failure == UTTER_ERROR_MEMORY && variant->n_bytes >= bytes_of(file)) {
            continue;
        }
        opened = ut_backend_open_file(context, variant->path, wanted, out, &error) == UTTER_OK;
        if (!opened) {
            ut_log(&context->log, UTTER_LOG_WARNING, "%s", error.message);
        }
    }
    ut_variants_free(&variants);
    return opened;
}

static utter_status open_model(const struct ut_backend_context *context, const char *path,
                               utter_backend wanted, bool no_fallback,
                               struct ut_backend_voice **out, char reason[UT_REASON_SIZE],
                               utter_error *err) {
    struct stat info;
    char file[PATH_MAX];
    const char *to_open;
    utter_error load_error = {0}, espeak_error = {0};
    utter_status status = check_exists(path, &info, err);
    if (status != UTTER_OK) {
        return status;
    }
    status = find_file(context, path, S_ISDIR(info.st_mode), file, &to_open, &load_error);
    if (status != UTTER_OK) { /* a folder without a voice, or with several: none is broken */
        return ut_fail(err, status, "%s", load_error.message);
    }
    status = ut_backend_open_file(context, to_open, wanted, out, &load_error);
    if (status == UTTER_OK || no_fallback) {
        return status == UTTER_OK ? status : ut_fail(err, status, "%s", load_error.message);
    }
    utter_voice_info voice_info = {0};
    if (!open_variant(context, file, wanted, status, out) &&
        open_espeak_for(context, path, out, &espeak_error) != UTTER_OK) {
        return ut_fail(err, status, "%s; falling back to espeak failed too: %s", load_error.message,
                       espeak_error.message);
    }
    snprintf(reason, UT_REASON_SIZE, "%s", load_error.message);
    (*out)->backend->info(*out, &voice_info);
    ut_log(&context->log, UTTER_LOG_WARNING, "%s; speaking with %s (%s) instead",
           load_error.message, (*out)->backend->name, voice_info.name);
    return UTTER_OK;
}

/* Who computes, and on what: a provider other than the processor means ONNX Runtime. */
static utter_status check_provider(const char *provider, utter_backend *wanted, utter_error *err) {
    const char *known = ut_ort_provider_find(provider);
    if (!known) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT,
                       "provider is '%.40s': it must be cpu, cuda or coreml", provider);
    }
    if (strcmp(known, "cpu") == 0 || *wanted == UTTER_BACKEND_ONNX) {
        return UTTER_OK;
    }
    if (*wanted != UTTER_BACKEND_AUTO) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT,
                       "provider '%s' belongs to the onnx backend, and another was asked for",
                       known);
    }
    *wanted = UTTER_BACKEND_ONNX;
    return UTTER_OK;
}

utter_status ut_backend_open(const struct ut_backend_context *context, const char *path,
                             utter_backend wanted, bool no_fallback, struct ut_backend_voice **out,
                             char reason[UT_REASON_SIZE], utter_error *err) {
    char house[PATH_MAX];
    struct stat info;
    *out = NULL;
    reason[0] = '\0';
    utter_status status = check_provider(context->provider, &wanted, err);
    if (status != UTTER_OK) {
        return status;
    }
    if (!path) {
        path = wanted != UTTER_BACKEND_ESPEAK && find_house_voice(house) ? house : "espeak";
    }
    if (is_espeak_path(path)) {
        if (wanted == UTTER_BACKEND_NATIVE || wanted == UTTER_BACKEND_ONNX) {
            return ut_fail(err, UTTER_ERROR_ARGUMENT,
                           "'%s' cannot be spoken by the %s backend: "
                           "name a model, or leave the backend to auto",
                           path, wanted == UTTER_BACKEND_ONNX ? "onnx" : "native");
        }
        return ut_backend_espeak.open(context, path, out, err);
    }
    if (wanted == UTTER_BACKEND_ESPEAK) {
        status = check_exists(path, &info, err);
        return status == UTTER_OK ? open_espeak_for(context, path, out, err) : status;
    }
    return open_model(context, path, wanted, no_fallback, out, reason, err);
}
