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

#include "backend/model_language.h"
#include "backend/native.h"
#include "backend/ort_backend.h"
#include "models/model_file.h"
#include "models/variants.h"
#include "ut_config.h"

/* "espeak" and "espeak:LANG" are no paths, even where a file of that name exists. */
static bool is_espeak_path(const char *path) {
    return strcmp(path, "espeak") == 0 || strncmp(path, "espeak:", 7) == 0;
}

/* ---- Opening ------------------------------------------------------------------------------ */

/* The name is an espeak voice, already short enough for the buffer or cut by it: then not found. */
static utter_status open_espeak(const struct ut_backend_context *context, const char *name,
                                struct ut_backend_voice **out, utter_error *err) {
    char path[UT_LANGUAGE_SIZE + 8];
    snprintf(path, sizeof path, "espeak:%s", name);
    return ut_backend_espeak.open(context, path, out, err);
}

/* The voice of the model's language, or English where espeak-ng does not have that. */
static utter_status open_espeak_for(const struct ut_backend_context *context,
                                    const char *model_path, struct ut_backend_voice **out,
                                    utter_error *err) {
    char name[UT_LANGUAGE_SIZE];
    ut_model_language(context->mem, model_path, name);
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

/* ERROR_NOT_FOUND for whatever a mistyped path gives; other failures (no permission) are
 * ERROR_IO. */
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

/* Which files of a folder count: what is wanted says it, else what is preferred. */
static enum ut_variant_format format_for(const struct ut_backend_context *context,
                                         utter_backend wanted) {
    utter_backend backend = wanted == UTTER_BACKEND_AUTO ? context->preferred : wanted;
    return backend == UTTER_BACKEND_ONNX     ? UT_VARIANT_ONNX
           : backend == UTTER_BACKEND_NATIVE ? UT_VARIANT_OWN
                                             : UT_VARIANT_ANY;
}

/* The model file of a path; what to open: the path, or the file where the path is a folder of
 * variants of one model, of which the most precise is taken. */
static utter_status find_file(const struct ut_backend_context *context, const char *path,
                              utter_backend wanted, bool folder, char file[PATH_MAX],
                              const char **to_open, utter_error *err) {
    utter_status status = ut_model_find(path, file, err);
    *to_open = path;
    if (status == UTTER_ERROR_ARGUMENT && folder &&
        ut_variants_best(context->mem, path, format_for(context, wanted), file, NULL) == UTTER_OK) {
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

/* What goes before native: the provider that the platform has for it, then ONNX Runtime where that
 * is preferred. False: native's turn; `problem` then says what failed, if anything did. A file that
 * utter's own reader finds damaged is not handed to them. */
static bool open_before_native(const struct ut_backend_context *context, const char *path,
                               struct ut_backend_voice **out, utter_error *problem) {
    struct ut_backend_context changed = *context;
    bool free_to_choose = !context->provider && context->preferred != UTTER_BACKEND_NATIVE;
    bool preferred = context->preferred == UTTER_BACKEND_ONNX;
    changed.provider = free_to_choose ? ut_ort_accelerated_here(context) : NULL;
    if ((!changed.provider && !preferred) || !may_be_for_onnx(context->mem, path)) {
        return false;
    }
    if (changed.provider && ut_ort_open(&changed, path, out, problem) == UTTER_OK) {
        return true;
    }
    return preferred && ut_ort_open(context, path, out, problem) == UTTER_OK;
}

/* AUTO: the first that takes the file. */
static utter_status open_by_first(const struct ut_backend_context *context, const char *path,
                                  struct ut_backend_voice **out, char reason[UT_REASON_SIZE],
                                  utter_error *err) {
    utter_error problem = {.message = ""};
    bool preferred = context->preferred == UTTER_BACKEND_ONNX;
    if (open_before_native(context, path, out, &problem)) {
        return UTTER_OK;
    }
    if (problem.code && preferred && context->no_fallback) {
        *err = problem;
        return problem.code;
    }
    utter_status status = ut_native_open(context, path, out, err);
    bool refused = status == UTTER_ERROR_FORMAT || status == UTTER_ERROR_UNSUPPORTED;
    if (refused && !(problem.code && preferred) && may_be_for_onnx(context->mem, path)) {
        status = try_onnx(context, path, status, out, err);
    }
    if (status == UTTER_OK && problem.code) {
        snprintf(reason, UT_REASON_SIZE, "%s", problem.message);
    } else if (problem.code) {
        ut_log(&context->log, UTTER_LOG_WARNING, "%s", problem.message);
    }
    return status;
}

/* Messages are copied at the end: openers may write to `err` before a later one succeeds. */
utter_status ut_backend_open_file(const struct ut_backend_context *context, const char *path,
                                  utter_backend wanted, struct ut_backend_voice **out,
                                  char reason[UT_REASON_SIZE], utter_error *err) {
    utter_error error = {.message = ""};
    utter_status status = wanted == UTTER_BACKEND_ONNX ? ut_ort_open(context, path, out, &error)
                          : wanted == UTTER_BACKEND_NATIVE
                              ? ut_native_open(context, path, out, &error)
                              : open_by_first(context, path, out, reason, &error);
    status = ut_mem_explain(context->mem, status, &error);
    return status ? ut_fail(err, status, "%s", error.message) : UTTER_OK;
}

/* ---- Falling back ------------------------------------------------------------------------- */

/* What stands in does so by itself: on the processor, whatever was preferred. */
static struct ut_backend_context plain(const struct ut_backend_context *context) {
    struct ut_backend_context changed = *context;
    changed.provider = "cpu";
    changed.preferred = UTTER_BACKEND_AUTO;
    return changed;
}

/* The same ONNX file by the backend that was not asked for. A limit of memory that native keeps is
 * not gone round by ONNX Runtime, which keeps none. */
static bool open_otherwise(const struct ut_backend_context *context, const char *file,
                           utter_backend wanted, utter_status failure,
                           struct ut_backend_voice **out) {
    char reason[UT_REASON_SIZE];
    struct ut_backend_context changed = plain(context);
    bool other = wanted != UTTER_BACKEND_AUTO && failure != UTTER_ERROR_MEMORY;
    return other && ut_native_format(file) == UT_FORMAT_ONNX &&
           ut_backend_open_file(&changed, file, UTTER_BACKEND_AUTO, out, reason, NULL) == UTTER_OK;
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
    struct ut_backend_context changed = plain(context);
    char reason[UT_REASON_SIZE];
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
        bool by_onnx = wanted == UTTER_BACKEND_ONNX && variant->format == UT_VARIANT_ONNX;
        opened = ut_backend_open_file(by_onnx ? context : &changed, variant->path,
                                      by_onnx ? UTTER_BACKEND_ONNX : UTTER_BACKEND_AUTO, out,
                                      reason, &error) == UTTER_OK;
        if (!opened) {
            ut_log(&context->log, UTTER_LOG_WARNING, "%s", error.message);
        }
    }
    ut_variants_free(&variants);
    return opened;
}

/* One warning whoever stands in: what failed, and what speaks instead. */
static void warn_of_stand_in(const struct ut_backend_context *context, const char *reason,
                             const struct ut_backend_voice *voice) {
    utter_voice_info info = {0};
    voice->backend->info(voice, &info);
    ut_log(&context->log, UTTER_LOG_WARNING, "%s; speaking with %s (%s) instead", reason,
           voice->backend->name, info.name);
}

/* The order of the fallbacks: another backend for the same file, another file of the same model,
 * espeak-ng. With no_fallback the first error is the answer. */
static utter_status open_model(const struct ut_backend_context *context, const char *path,
                               utter_backend wanted, struct ut_backend_voice **out,
                               char reason[UT_REASON_SIZE], utter_error *err) {
    struct stat info;
    char file[PATH_MAX];
    const char *to_open;
    utter_error load_error = {0}, espeak_error = {0};
    utter_status status = check_exists(path, &info, err);
    if (status != UTTER_OK) {
        return status;
    }
    status = find_file(context, path, wanted, S_ISDIR(info.st_mode), file, &to_open, &load_error);
    if (status != UTTER_OK) { /* a folder without a voice, or with several: none is broken */
        return ut_fail(err, status, "%s", load_error.message);
    }
    status = ut_backend_open_file(context, to_open, wanted, out, reason, &load_error);
    if (status == UTTER_OK && reason[0]) {
        warn_of_stand_in(context, reason, *out);
    }
    if (status == UTTER_OK || context->no_fallback) {
        return status == UTTER_OK ? status : ut_fail(err, status, "%s", load_error.message);
    }
    if (!open_otherwise(context, file, wanted, status, out) &&
        !open_variant(context, file, wanted, status, out) &&
        open_espeak_for(context, path, out, &espeak_error) != UTTER_OK) {
        return ut_fail(err, status, "%s; falling back to espeak failed too: %s", load_error.message,
                       espeak_error.message);
    }
    snprintf(reason, UT_REASON_SIZE, "%s", load_error.message);
    warn_of_stand_in(context, reason, *out);
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
                             utter_backend wanted, struct ut_backend_voice **out,
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
    return open_model(context, path, wanted, out, reason, err);
}
