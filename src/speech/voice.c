/* Voices: opening through the fallback chain, what they are, their speakers. */
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "speech/speech.h"
#include "text/espeak_lib.h"

/* With more than one thread espeak-ng starts beside the loading of the model
 * (text/espeak_lib.h). */
utter_status utter_voice_open(utter_engine *engine, const char *path,
                              const utter_voice_options *options, utter_voice **out,
                              utter_error *err) {
    utter_voice_options known;
    if (!out) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "out is NULL");
    }
    *out = NULL;
    if (!engine) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "engine is NULL");
    }
    utter_voice_options_init(&known);
    utter_status status =
        ut_options_read(&known, sizeof known, options, "utter_voice_options", err);
    if (status != UTTER_OK) {
        return status;
    }
    if (known.backend < UTTER_BACKEND_AUTO || known.backend > UTTER_BACKEND_ONNX) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "backend is %d: it must be 0 to %d",
                       (int)known.backend, (int)UTTER_BACKEND_ONNX);
    }
    if (known.preferred != UTTER_BACKEND_AUTO && known.preferred != UTTER_BACKEND_NATIVE &&
        known.preferred != UTTER_BACKEND_ONNX) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "preferred is %d: it must be %d, %d or %d",
                       (int)known.preferred, (int)UTTER_BACKEND_AUTO, (int)UTTER_BACKEND_NATIVE,
                       (int)UTTER_BACKEND_ONNX);
    }
    utter_voice *voice = ut_mem_calloc(&engine->mem, UT_MEM_OTHER, 1, sizeof *voice);
    if (!voice) {
        return ut_fail_memory(err, sizeof *voice);
    }
    voice->engine = engine;
    voice->no_fallback = known.no_fallback;
    struct ut_backend_context context = engine->context;
    context.provider = known.provider;
    context.coreml_path = known.coreml_path;
    context.preferred = known.preferred;
    context.no_fallback = known.no_fallback;
    struct ut_espeak_early early = {.runs = false};
    if (ut_pool_threads(context.compute.pool) > 1) {
        ut_espeak_begin_early(&early);
    }
    status =
        ut_backend_open(&context, path, known.backend, &voice->voice, voice->fallback_reason, err);
    ut_espeak_end_early(&early);
    /* Told once for each voice and not for each block: a limit that is too low is so for all. */
    if (atomic_exchange(&engine->mem.lock_failed, false)) {
        ut_log(&engine->context.log, UTTER_LOG_WARNING,
               "not all weights could be locked in memory: the limit is too low (ulimit -l)");
    }
    if (status != UTTER_OK) {
        ut_mem_free(&engine->mem, voice);
        return ut_mem_explain(&engine->mem, status, err);
    }
    atomic_fetch_add(&engine->n_voices, 1);
    atomic_fetch_add(&engine->n_voice_fallbacks, voice->fallback_reason[0] != 0);
    *out = voice;
    return UTTER_OK;
}

/* Streams of the voice are destroyed before it; the engine after it. */
void utter_voice_close(utter_voice *voice) {
    if (voice) {
        voice->voice->backend->close(voice->voice);
        ut_mem_free(&voice->engine->mem, voice);
    }
}

/* `out` may be of an older program's size: as much is written as it has room for. Strings live as
 * long as the voice. */
void utter_voice_get_info(const utter_voice *voice, utter_voice_info *out) {
    utter_voice_info info = {.size = sizeof info};
    voice->voice->backend->info(voice->voice, &info);
    info.fallback_reason = voice->fallback_reason[0] ? voice->fallback_reason : NULL;
    ut_options_write(out, &info, sizeof info);
}

const char *utter_voice_speaker(const utter_voice *voice, int32_t index) {
    return voice->voice->backend->speaker_name(voice->voice, index);
}

/* ---- Finding a speaker -------------------------------------------------------------------- */

/* Digits only, no sign, no spaces, fits. */
static bool parse_number(const char *text, int32_t *out) {
    int64_t value = 0;
    size_t n = strlen(text);
    if (n == 0 || n > 9) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        value = value * 10 + (text[i] - '0');
    }
    *out = (int32_t)value;
    return true;
}

/* For ut_nearest; NULL for speakers without a name. */
static const char *name_at(const void *user, int32_t index) {
    return utter_voice_speaker(user, index);
}

/* Linear: the largest voice known has 904 names. */
utter_status utter_voice_find_speaker(const utter_voice *voice, const char *name, int32_t *out,
                                      utter_error *err) {
    utter_voice_info info = {.size = sizeof info};
    int32_t number;
    if (!voice || !name || !out) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "voice, name and out must not be NULL");
    }
    utter_voice_get_info(voice, &info);
    /* Names before numbers: a speaker may be called "3". */
    for (int32_t i = 0; i < info.n_speakers; i++) {
        const char *other = utter_voice_speaker(voice, i);
        if (other && strcmp(other, name) == 0) {
            *out = i;
            return UTTER_OK;
        }
    }
    if (parse_number(name, &number) && number < info.n_speakers) {
        *out = number;
        return UTTER_OK;
    }
    if (ut_voice_is_stand_in(voice)) {
        /* The voice that was asked for may well have it; the one that stands in has one speaker. */
        *out = 0;
        return UTTER_OK;
    }
    int32_t nearest = ut_nearest(name, name_at, voice, info.n_speakers);
    return ut_fail(err, UTTER_ERROR_NOT_FOUND,
                   "the voice %s has no speaker '%.80s'%s%.80s%s: it has %d "
                   "(0 to %d)",
                   info.name, name, nearest >= 0 ? "; did you mean '" : "",
                   nearest >= 0 ? utter_voice_speaker(voice, nearest) : "", nearest >= 0 ? "'" : "",
                   info.n_speakers, info.n_speakers - 1);
}

/* A mixture of voices ("af_heart+am_adam") is no speaker; families that have them check by
 * themselves. */
utter_status utter_voice_check(const utter_voice *voice, const char *name, utter_error *err) {
    int32_t speaker;
    if (!voice || !name) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "voice and name must not be NULL");
    }
    const struct ut_backend *backend = voice->voice->backend;
    return backend->check_voice ? backend->check_voice(voice->voice, name, err)
                                : utter_voice_find_speaker(voice, name, &speaker, err);
}

/* ---- Descriptions ------------------------------------------------------------------------- */

/* The caller frees a string without saying which engine it came from, perhaps after the engine is
 * gone: it gets a copy from the C library. */
static utter_status hand_out(struct ut_mem *mem, utter_status status, char *text, char **out,
                             utter_error *err) {
    if (status != UTTER_OK) {
        return status;
    }
    *out = strdup(text);
    size_t n = strlen(text) + 1;
    ut_mem_free(mem, text);
    return *out ? UTTER_OK : ut_fail_memory(err, n);
}

utter_status utter_voice_describe(const utter_voice *voice, bool tensors, char **json,
                                  utter_error *err) {
    if (!json) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "json is NULL");
    }
    *json = NULL;
    if (!voice) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "voice is NULL");
    }
    char *text = NULL;
    utter_status status = voice->voice->backend->describe(voice->voice, tensors, &text, err);
    return hand_out(&voice->engine->mem, status, text, json, err);
}

/* Independent of what is loaded; with a voice its memory is shown where it is loaded. */
utter_status utter_backends(utter_engine *engine, const utter_voice *voice, char **json,
                            utter_error *err) {
    if (!json) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "json is NULL");
    }
    *json = NULL;
    if (!engine) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "engine is NULL");
    }
    char *text = NULL;
    utter_status status =
        ut_backend_report(&engine->context, voice ? voice->voice : NULL, &text, err);
    return hand_out(&engine->mem, status, text, json, err);
}
