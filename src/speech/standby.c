/* The rest of the fallback chain: when a model fails on a unit, another variant of the model speaks
 * the unit's ids, or else espeak-ng its text, in the same language at the voice's sample rate. */
#include <stdio.h>
#include <string.h>

#include "audio/resample.h"
#include "backend/ort_backend.h"
#include "models/model_file.h"
#include "speech/speech.h"

/* Sessions before voices, as everywhere. */
static void close_variant(struct ut_standby *standby) {
    if (standby->variant_session) {
        standby->variant->backend->session_destroy(standby->variant_session);
    }
    if (standby->variant) {
        standby->variant->backend->close(standby->variant);
    }
    standby->variant = NULL;
    standby->variant_session = NULL;
}

/* Also of one that was never opened. */
static void close_espeak(struct ut_standby *standby) {
    if (standby->espeak_session) {
        ut_backend_espeak.session_destroy(standby->espeak_session);
    }
    ut_backend_espeak.close(standby->espeak);
    standby->espeak = NULL;
    standby->espeak_session = NULL;
}

void ut_standby_free(struct ut_standby *standby) {
    close_variant(standby);
    close_espeak(standby);
    if (standby->listed) {
        ut_variants_free(&standby->variants);
    }
    *standby = (struct ut_standby){.espeak = NULL};
}

/* ---- Variants -----------------------------------------------------------------------------------
 */

static bool is_onnx(const struct ut_backend_voice *voice) {
    return strcmp(voice->backend->name, ut_ort_piper.name) == 0;
}

/* Where ONNX Runtime failed, utter's kernels get the same file first. */
static void list_variants(struct ut_standby *standby, const utter_voice *voice) {
    char file[PATH_MAX];
    utter_voice_info info = {0};
    voice->voice->backend->info(voice->voice, &info);
    standby->listed =
        ut_model_find(info.path, file, NULL) == UTTER_OK &&
        ut_variants_find(&voice->engine->mem, file, &standby->variants, NULL) == UTTER_OK;
    if (standby->listed && is_onnx(voice->voice) && standby->variants.n < UT_MAX_VARIANTS) {
        struct ut_variant *items = standby->variants.items;
        memmove(&items[1], &items[0], standby->variants.n++ * sizeof *items);
        items[0] = (struct ut_variant){.format = UT_VARIANT_OWN};
        memcpy(items[0].path, file, sizeof file);
    }
}

/* A variant speaks the same ids at the same rate, or it is none. */
static bool fits(const struct ut_backend_voice *variant, const utter_voice *voice) {
    utter_voice_info wanted = {0}, found = {0};
    voice->voice->backend->info(voice->voice, &wanted);
    variant->backend->info(variant, &found);
    return strcmp(wanted.family, found.family) == 0 &&
           wanted.sample_rate_hz == found.sample_rate_hz && wanted.n_speakers == found.n_speakers;
}

/* Through ONNX Runtime where the voice is, and on the same device; what utter alone reads by utter.
 */
static utter_status open_like(const utter_voice *voice, const struct ut_variant *variant,
                              struct ut_backend_voice **out, utter_error *err) {
    struct ut_backend_context context = voice->engine->context;
    char reason[UT_REASON_SIZE];
    bool onnx = is_onnx(voice->voice) && variant->format == UT_VARIANT_ONNX;
    context.provider = onnx ? voice->voice->device : "cpu";
    return ut_backend_open_file(&context, variant->path,
                                onnx ? UTTER_BACKEND_ONNX : UTTER_BACKEND_AUTO, out, reason, err);
}

/* The variant at n_tried, or the next that opens; false when none is left. */
static bool open_variant(struct ut_standby *standby, const utter_voice *voice) {
    const struct ut_backend_context *context = &voice->engine->context;
    for (; !standby->variant && standby->n_tried < standby->variants.n;) {
        utter_error error = {0};
        const struct ut_variant *variant = &standby->variants.items[standby->n_tried];
        utter_status status = open_like(voice, variant, &standby->variant, &error);
        if (status == UTTER_OK && fits(standby->variant, voice)) {
            status = standby->variant->backend->session_create(standby->variant,
                                                               &standby->variant_session, &error);
        } else if (status == UTTER_OK) {
            status = ut_fail(&error, UTTER_ERROR_FORMAT, "%s is another model than the voice",
                             variant->path);
        }
        if (status != UTTER_OK) {
            ut_log(&context->log, UTTER_LOG_WARNING, "%s", error.message);
            close_variant(standby);
            standby->n_tried++;
        }
    }
    return standby->variant != NULL;
}

/* Tells whether anything was heard: what was cannot be said again by another voice. */
struct counting_sink {
    const struct ut_speak_params *params;
    uint64_t n;
};

static bool count(void *user, const float *samples, size_t n) {
    struct counting_sink *sink = user;
    sink->n += n;
    return sink->params->sink(sink->params->user, samples, n);
}

/* ERROR_NOT_FOUND when no variant could speak and nothing was heard. */
static utter_status speak_by_variants(struct ut_standby *standby, const utter_voice *voice,
                                      const struct ut_unit *unit,
                                      const struct ut_speak_params *params, utter_error *err) {
    if (!standby->listed) {
        list_variants(standby, voice);
    }
    while (unit->ids && open_variant(standby, voice)) {
        struct counting_sink sink = {.params = params};
        struct ut_speak_params inner = *params;
        struct ut_speak_stats stats = {0};
        inner.sink = count;
        inner.user = &sink;
        const struct ut_backend *backend = standby->variant->backend;
        utter_status status = backend->speak(standby->variant_session, unit, &inner, &stats, err);
        /* Once something was heard the failure is passed on: another voice would begin the sentence
         * again. */
        if (status == UTTER_OK || status == UTTER_ERROR_CANCELLED || sink.n > 0) {
            return status;
        }
        ut_log(&voice->engine->context.log, UTTER_LOG_WARNING, "%s",
               err ? err->message : utter_status_name(status));
        close_variant(standby);
        standby->n_tried++;
    }
    return UTTER_ERROR_NOT_FOUND;
}

/* ---- espeak-ng ----------------------------------------------------------------------------------
 */

static utter_status open_espeak(struct ut_standby *standby, const utter_voice *voice,
                                const struct ut_speak_params *params, utter_error *err) {
    const struct ut_backend_context *context = &voice->engine->context;
    char language[sizeof standby->language], path[80];
    snprintf(language, sizeof language, "%s",
             voice->voice->backend->espeak_voice(voice->voice, params));
    snprintf(path, sizeof path, "espeak:%s", language);
    utter_status status = UTTER_OK;
    if (strcmp(language, standby->language) != 0) {
        close_espeak(standby);
    }
    /* The language that was wanted is kept, also where espeak-ng lacks it: it is not searched for
     * again with every sentence. */
    if (!standby->espeak) {
        memcpy(standby->language, language, sizeof language);
        status = ut_backend_espeak.open(context, path, &standby->espeak, err);
    }
    if (status == UTTER_ERROR_NOT_FOUND) {
        status = ut_backend_espeak.open(context, "espeak", &standby->espeak, err);
    }
    if (status == UTTER_OK && !standby->espeak_session) {
        status = ut_backend_espeak.session_create(standby->espeak, &standby->espeak_session, err);
    }
    return status;
}

/* A stream has one rate from its first sample to its last, whoever speaks: files have theirs in the
 * header. */
struct resampled_sink {
    struct ut_resampler resampler;
    const struct ut_speak_params *params;
    utter_status status;
    utter_error *err;
};

static utter_status pass_on(void *user, const float *samples, size_t n, utter_error *err) {
    const struct ut_speak_params *params = user;
    if (!params->sink(params->user, samples, n)) {
        return ut_fail(err, UTTER_ERROR_CANCELLED, "cancelled");
    }
    return UTTER_OK;
}

/* A backend's sink in front of the resampler; what went wrong stays in `status`. */
static bool feed(void *user, const float *samples, size_t n) {
    struct resampled_sink *sink = user;
    sink->status =
        ut_resampler_feed(&sink->resampler, samples, n, pass_on, (void *)sink->params, sink->err);
    return sink->status == UTTER_OK;
}

static utter_status speak_by_espeak(struct ut_standby *standby, const utter_voice *voice,
                                    int32_t sample_rate_hz, const struct ut_unit *unit,
                                    const struct ut_speak_params *params, utter_error *err) {
    struct resampled_sink sink = {.params = params, .err = err};
    struct ut_speak_params inner = *params;
    struct ut_speak_stats stats = {0};
    utter_voice_info info = {0};
    utter_status status = open_espeak(standby, voice, params, err);
    if (status != UTTER_OK) {
        return status;
    }
    ut_backend_espeak.info(standby->espeak, &info);
    status = ut_resampler_open(&sink.resampler, info.sample_rate_hz, sample_rate_hz, err);
    if (status != UTTER_OK) {
        return status;
    }
    inner.sink = feed;
    inner.user = &sink;
    inner.language = NULL; /* it chose the standby's voice */
    status = ut_backend_espeak.speak(standby->espeak_session, unit, &inner, &stats, sink.err);
    if (sink.status != UTTER_OK) {
        status = sink.status;
    } else if (status == UTTER_OK) {
        status = ut_resampler_flush(&sink.resampler, pass_on, (void *)params, err);
    }
    ut_resampler_close(&sink.resampler);
    return status;
}

/* ERROR_NOT_FOUND of the variants means that none is left, and nothing was heard. */
utter_status ut_standby_speak(struct ut_standby *standby, const utter_voice *voice,
                              int32_t sample_rate_hz, const struct ut_unit *unit,
                              const struct ut_speak_params *params,
                              const struct ut_backend_voice **spoken_by, utter_error *err) {
    utter_status status = speak_by_variants(standby, voice, unit, params, err);
    *spoken_by = standby->variant;
    if (status == UTTER_ERROR_NOT_FOUND) {
        status = speak_by_espeak(standby, voice, sample_rate_hz, unit, params, err);
        *spoken_by = standby->espeak;
    }
    return status;
}
