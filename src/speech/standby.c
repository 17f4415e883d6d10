/* The rest of the fallback chain: when a model fails on a unit, espeak-ng speaks that unit's text
 * in the same language at the voice's sample rate. */
#include <stdio.h>
#include <string.h>

#include "audio/resample.h"
#include "speech/speech.h"

void ut_standby_free(struct ut_standby *standby) {
    if (standby->session) {
        ut_backend_espeak.session_destroy(standby->session);
    }
    ut_backend_espeak.close(standby->voice);
    *standby = (struct ut_standby){.voice = NULL};
}

static utter_status open_standby(struct ut_standby *standby, const utter_voice *voice,
                                 const struct ut_speak_params *params, utter_error *err) {
    const struct ut_backend_context *context = &voice->engine->context;
    char language[sizeof standby->language], path[80];
    snprintf(language, sizeof language, "%s",
             voice->voice->backend->espeak_voice(voice->voice, params));
    snprintf(path, sizeof path, "espeak:%s", language);
    utter_status status = UTTER_OK;
    if (strcmp(language, standby->language) != 0) {
        ut_standby_free(standby);
    }
    if (!standby->voice) {
        memcpy(standby->language, language, sizeof language);
        status = ut_backend_espeak.open(context, path, &standby->voice, err);
    }
    if (status == UTTER_ERROR_NOT_FOUND) {
        status = ut_backend_espeak.open(context, "espeak", &standby->voice, err);
    }
    if (status == UTTER_OK && !standby->session) {
        status = ut_backend_espeak.session_create(standby->voice, &standby->session, err);
    }
    return status;
}

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

static bool feed(void *user, const float *samples, size_t n) {
    struct resampled_sink *sink = user;
    sink->status =
        ut_resampler_feed(&sink->resampler, samples, n, pass_on, (void *)sink->params, sink->err);
    return sink->status == UTTER_OK;
}

utter_status ut_standby_speak(struct ut_standby *standby, const utter_voice *voice,
                              int32_t sample_rate_hz, const struct ut_unit *unit,
                              const struct ut_speak_params *params, utter_error *err) {
    struct resampled_sink sink = {.params = params, .err = err};
    struct ut_speak_params inner = *params;
    struct ut_speak_stats stats = {0};
    utter_voice_info info = {0};
    utter_status status = open_standby(standby, voice, params, err);
    if (status != UTTER_OK) {
        return status;
    }
    ut_backend_espeak.info(standby->voice, &info);
    status = ut_resampler_open(&sink.resampler, info.sample_rate_hz, sample_rate_hz, err);
    if (status != UTTER_OK) {
        return status;
    }
    inner.sink = feed;
    inner.user = &sink;
    inner.language = NULL; /* it chose the standby's voice */
    status = ut_backend_espeak.speak(standby->session, unit, &inner, &stats, sink.err);
    if (sink.status != UTTER_OK) {
        status = sink.status;
    } else if (status == UTTER_OK) {
        status = ut_resampler_flush(&sink.resampler, pass_on, (void *)params, err);
    }
    ut_resampler_close(&sink.resampler);
    return status;
}
