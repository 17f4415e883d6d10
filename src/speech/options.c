/* Settings from callers: structs of any version, every field range-checked, messages that name the
 * field. */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "speech/speech.h"
#include "text/misaki.h"

/* No settings struct will ever be larger: a size above it is an uninitialised field. */
enum { MAX_STRUCT_BYTES = 4096 };

utter_status ut_options_read(void *out, size_t out_size, const void *options, const char *type,
                             utter_error *err) {
    size_t size;
    if (!options) {
        return UTTER_OK;
    }
    memcpy(&size, options, sizeof size);
    if (size < sizeof size || size > MAX_STRUCT_BYTES) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT,
                       "%s.size is %zu: call %s_init, or set it to sizeof(%s)", type, size, type,
                       type);
    }
    memcpy(out, options, UT_MIN(size, out_size));
    memcpy(out, &out_size, sizeof out_size);
    return UTTER_OK;
}

void ut_options_write(void *out, const void *result, size_t result_size) {
    size_t size;
    memcpy(&size, out, sizeof size);
    if (size > sizeof size && size <= MAX_STRUCT_BYTES) {
        size_t n = UT_MIN(size, result_size) - sizeof size;
        memcpy((char *)out + sizeof size, (const char *)result + sizeof size, n);
    }
}

void utter_engine_options_init(utter_engine_options *options) {
    *options = (utter_engine_options){.size = sizeof *options};
}

void utter_voice_options_init(utter_voice_options *options) {
    *options = (utter_voice_options){.size = sizeof *options};
}

/* NaN, -1 and NULL leave a choice to the voice. */
void utter_speak_options_init(utter_speak_options *options) {
    *options = (utter_speak_options){
        .size = sizeof *options,
        .speaker = -1,
        .speed = 1,
        .noise_scale = NAN,
        .noise_w = NAN,
        .volume = 1,
        .sentence_silence_s = NAN,
    };
}

/* NaN fails the comparison, so it is out of range. */
static utter_status check_range(const char *name, float value, float low, float high,
                                utter_error *err) {
    if (value >= low && value <= high) {
        return UTTER_OK;
    }
    return ut_fail(err, UTTER_ERROR_ARGUMENT, "%s is %g: it must be %g to %g", name, (double)value,
                   (double)low, (double)high);
}

/* NaN stands for the voice's own value. */
static utter_status check_or_nan(const char *name, float value, float low, float high,
                                 utter_error *err) {
    return isnan(value) ? UTTER_OK : check_range(name, value, low, high, err);
}

/* The ranges of utter.h; limits in the words of the messages. */
static utter_status check_ranges(const utter_speak_options *o, utter_error *err) {
    if (o->n_parallel < 0 || o->n_parallel > UT_LANES_MAX) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "n_parallel is %d: it must be 0 to %d",
                       (int)o->n_parallel, (int)UT_LANES_MAX);
    }
    utter_status status = check_range("speed", o->speed, 0.1f, 10, err);
    status = status ? status : check_or_nan("noise_scale", o->noise_scale, 0, 10, err);
    status = status ? status : check_or_nan("noise_w", o->noise_w, 0, 10, err);
    status = status ? status : check_range("volume", o->volume, 0, 10, err);
    return status ? status : check_or_nan("sentence_silence_s", o->sentence_silence_s, 0, 10, err);
}

/* -1 is the voice's default. */
static utter_status resolve_speaker(const utter_voice *voice, int32_t wanted, int32_t *out,
                                    utter_error *err) {
    const struct ut_backend *backend = voice->voice->backend;
    utter_voice_info info = {0};
    backend->info(voice->voice, &info);
    *out = wanted == -1 ? backend->default_speaker(voice->voice) : wanted;
    if (ut_voice_is_stand_in(voice) && wanted >= -1) {
        *out = 0; /* the standby's one speaker stands for all of the voice that was asked for */
    }
    if (*out < 0 || *out >= info.n_speakers) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT,
                       "speaker is %d: the voice %s has %d (0 to %d, -1 for its "
                       "default)",
                       wanted, info.name, info.n_speakers, info.n_speakers - 1);
    }
    return UTTER_OK;
}

/* A voice by its name takes the place of the speaker's number. */
static utter_status resolve_voice(const utter_voice *voice, const utter_speak_options *options,
                                  struct ut_speak_params *out, utter_error *err) {
    out->voice = NULL;
    out->speaker = 0;
    if (!options->voice) {
        return resolve_speaker(voice, options->speaker, &out->speaker, err);
    }
    if (!voice->voice->backend->check_voice) {
        return utter_voice_find_speaker(voice, options->voice, &out->speaker, err);
    }
    out->voice = options->voice;
    return utter_voice_check(voice, options->voice, err);
}

/* A stand-in does not know what Kokoro's languages and voices are called ("b", "bf_emma"): the
 * espeak voice for them, else the language as it was given. */
static const char *stand_in_language(const utter_speak_options *options) {
    const char *voice = options->voice ? options->voice : "";
    bool telling = voice[0] && (voice[1] == 'f' || voice[1] == 'm') && voice[2] == '_';
    char code = options->language ? ut_misaki_language(options->language)
                : telling         ? ut_misaki_language((char[]){voice[0], '\0'})
                                  : 0;
    const char *espeak_voice = code ? ut_misaki_espeak_voice(code) : "";
    return *espeak_voice ? espeak_voice : options->language;
}

/* Speed divides the length scale, so that 2 is twice as fast for every voice. */
utter_status ut_options_resolve(const utter_voice *voice, const utter_speak_options *options,
                                struct ut_speak_params *out, utter_error *err) {
    utter_voice_info info = {0};
    voice->voice->backend->info(voice->voice, &info);
    utter_status status = check_ranges(options, err);
    status = status ? status : resolve_voice(voice, options, out, err);
    out->speed = options->speed;
    out->length_scale = info.length_scale / options->speed;
    out->noise_scale = isnan(options->noise_scale) ? info.noise_scale : options->noise_scale;
    out->noise_w = isnan(options->noise_w) ? info.noise_w : options->noise_w;
    out->language = ut_voice_is_stand_in(voice) ? stand_in_language(options) : options->language;
    return status;
}
