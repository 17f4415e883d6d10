/* The espeak backend: espeak-ng's formant voice. It sounds like a machine, needs no model and
 * speaks more than 100 languages, which makes it the last link of the fallback chain. speed scales
 * 175 words a minute and is held within the 80..450 that espeak can do; noise and seed mean nothing
 * here. */
#include <math.h>
#include <string.h>

#include "backend/backend.h"
#include "base/checked.h"
#include "base/json_writer.h"
#include "text/espeak_lib.h"
#include "text/segment.h"

/* A unit is spoken into memory before the sink sees it, because the library is locked meanwhile and
 * a sink may take its time; so units are short. */
enum { UNIT_BYTES = 400, DEFAULT_WPM = 175, MIN_WPM = 80, MAX_WPM = 450, BLOCK = 1024 };

static const char prefix[] = "espeak:";
static const char default_name[] = "en-us";

/* espeak-ng has one voice for all: what is kept here is only its name. */
struct espeak_voice {
    struct ut_backend_voice base;
    struct ut_backend_context context;
    int32_t sample_rate_hz;
    char name[64];
};

/* Buffers grow with the longest unit and are kept. */
struct espeak_session {
    const struct espeak_voice *voice;
    char *text; /* of the unit, NUL-terminated */
    size_t text_capacity;
    int16_t *samples;
    size_t n_samples, samples_capacity;
};

static const struct espeak_voice *voice_of(const struct ut_backend_voice *voice) {
    return (const struct espeak_voice *)voice;
}

static struct espeak_session *session_of(struct ut_backend_session *session) {
    return (struct espeak_session *)session;
}

/* ---- Voice -------------------------------------------------------------------------------- */

static void espeak_close(struct ut_backend_voice *base) {
    if (base) {
        ut_mem_free(voice_of(base)->context.mem, base);
    }
}

/* The voice is set once to learn whether it exists and at which rate it speaks; each unit sets it
 * again. */
static utter_status espeak_open(const struct ut_backend_context *context, const char *path,
                                struct ut_backend_voice **out, utter_error *err) {
    *out = NULL;
    const char *name =
        strncmp(path, prefix, sizeof prefix - 1) == 0 ? path + sizeof prefix - 1 : default_name;
    struct espeak_voice *voice = ut_mem_calloc(context->mem, UT_MEM_OTHER, 1, sizeof *voice);
    if (!voice) {
        return ut_fail_memory(err, sizeof *voice);
    }
    voice->base.backend = &ut_backend_espeak;
    voice->context = *context;
    utter_status status;
    if (strlen(name) >= sizeof voice->name || !*name) {
        status = ut_fail(err, UTTER_ERROR_NOT_FOUND, "espeak-ng has no voice '%.80s'", name);
    } else {
        memcpy(voice->name, name, strlen(name) + 1);
        status = ut_espeak_lock(err);
    }
    if (status == UTTER_OK) {
        status = ut_espeak_set_voice(voice->name, &voice->context.log, err);
        voice->sample_rate_hz = ut_espeak_sample_rate();
        ut_espeak_unlock();
    }
    if (status != UTTER_OK) {
        ut_mem_free(context->mem, voice);
        return status;
    }
    *out = &voice->base;
    return UTTER_OK;
}

/* Strings are the voice's own or constants; there is no file to speak of. */
static void espeak_info(const struct ut_backend_voice *base, utter_voice_info *out) {
    const struct espeak_voice *voice = voice_of(base);
    out->name = out->language = voice->name;
    out->path = out->format = out->quantization = "";
    out->family = out->backend = base->backend->name;
    out->sample_rate_hz = voice->sample_rate_hz;
    out->n_speakers = 1;
    out->n_parameters = out->file_bytes = 0;
    out->noise_scale = out->noise_w = 0;
    out->length_scale = 1;
}

static const char *espeak_speaker_name(const struct ut_backend_voice *base, int32_t index) {
    return index == 0 ? voice_of(base)->name : NULL;
}

static int32_t espeak_default_speaker(const struct ut_backend_voice *base) {
    return 0;
}

/* The request's language, if it names one, is the voice of that unit alone. */
static const char *espeak_language(const struct ut_backend_voice *base,
                                   const struct ut_speak_params *params) {
    return params->language ? params->language : voice_of(base)->name;
}

static utter_status espeak_describe(const struct ut_backend_voice *base, bool tensors, char **out,
                                    utter_error *err) {
    const struct espeak_voice *voice = voice_of(base);
    struct ut_json_writer json;
    ut_json_put_init(&json, voice->context.mem);
    ut_json_put_object(&json, NULL);
    ut_json_put_string(&json, "name", voice->name);
    ut_json_put_string(&json, "family", base->backend->name);
    ut_json_put_string(&json, "backend", base->backend->name);
    ut_json_put_string(&json, "language", voice->name);
    ut_json_put_string(&json, "espeak_version", ut_espeak_version());
    ut_json_put_uint(&json, "sample_rate_hz", (uint64_t)voice->sample_rate_hz);
    if (tensors) {
        ut_json_put_array(&json, "tensors");
        ut_json_put_end_array(&json);
    }
    ut_json_put_end_object(&json);
    return ut_json_put_finish(&json, out, err);
}

/* ---- Speaking ----------------------------------------------------------------------------- */

static utter_status espeak_session_create(const struct ut_backend_voice *base,
                                          struct ut_backend_session **out, utter_error *err) {
    const struct espeak_voice *voice = voice_of(base);
    struct espeak_session *session =
        ut_mem_calloc(voice->context.mem, UT_MEM_SESSION, 1, sizeof *session);
    *out = (struct ut_backend_session *)session;
    if (!session) {
        return ut_fail_memory(err, sizeof *session);
    }
    session->voice = voice;
    return UTTER_OK;
}

static void espeak_session_destroy(struct ut_backend_session *base) {
    struct espeak_session *session = session_of(base);
    if (session) {
        struct ut_mem *mem = session->voice->context.mem;
        ut_mem_free(mem, session->text);
        ut_mem_free(mem, session->samples);
        ut_mem_free(mem, session);
    }
}

/* A unit is a piece of text: espeak-ng makes its own phonemes when it speaks. */
static utter_status espeak_units(struct ut_backend_session *base, const char *text, size_t n_bytes,
                                 const struct ut_speak_params *params, struct ut_units *out,
                                 utter_error *err) {
    struct ut_mem *mem = session_of(base)->voice->context.mem;
    struct ut_segmenter *segmenter;
    ut_units_clear(out);
    utter_status status =
        ut_segmenter_create(mem, text, n_bytes, NULL, UNIT_BYTES, &segmenter, err);
    if (status != UTTER_OK) {
        return status;
    }
    struct ut_piece piece;
    while (status == UTTER_OK && ut_segmenter_next(segmenter, &piece)) {
        if (ut_text_is_speakable(text + piece.begin, piece.end - piece.begin)) {
            struct ut_unit unit = {
                .text_begin = piece.begin,
                .text_end = piece.end,
                .end = piece.after == UT_BREAK_CUT         ? UT_UNIT_CUT
                       : piece.after == UT_BREAK_PARAGRAPH ? UT_UNIT_PARAGRAPH
                                                           : UT_UNIT_SENTENCE,
            };
            status = ut_units_append(out, unit, err);
        }
    }
    ut_segmenter_destroy(segmenter);
    return status;
}

/* Makes *block hold n_bytes, keeping what is in it. */
static bool reserve(struct ut_mem *mem, void **block, size_t *capacity_bytes, size_t n_bytes) {
    if (n_bytes <= *capacity_bytes) {
        return true;
    }
    size_t capacity = UT_MAX(n_bytes, *capacity_bytes * 2);
    void *grown = ut_mem_realloc(mem, UT_MEM_SESSION, *block, capacity);
    if (!grown) {
        return false;
    }
    *block = grown;
    *capacity_bytes = capacity;
    return true;
}

/* Why the collecting stopped, if it did: the callback can only say that. */
struct collector {
    struct espeak_session *session;
    const _Atomic bool *cancel;
    bool cancelled, out_of_memory;
};

/* Called with espeak-ng locked. */
static bool collect(void *user, const int16_t *samples, size_t n) {
    struct collector *collector = user;
    struct espeak_session *session = collector->session;
    size_t n_bytes = (session->n_samples + n) * sizeof *samples;
    if (*collector->cancel) {
        collector->cancelled = true;
        return false;
    }
    void *block = session->samples;
    collector->out_of_memory =
        !reserve(session->voice->context.mem, &block, &session->samples_capacity, n_bytes);
    session->samples = block;
    if (collector->out_of_memory) {
        return false;
    }
    memcpy(session->samples + session->n_samples, samples, n * sizeof *samples);
    session->n_samples += n;
    return true;
}

/* The unit's text with a NUL behind it. Control characters, which espeak-ng may take for commands
 * (and U+0000 for the end), become spaces. */
static utter_status copy_text(struct espeak_session *session, const char *text, size_t n,
                              utter_error *err) {
    void *block = session->text;
    bool done = reserve(session->voice->context.mem, &block, &session->text_capacity, n + 1);
    session->text = block;
    if (!done) {
        return ut_fail_memory(err, n + 1);
    }
    for (size_t i = 0; i < n; i++) {
        session->text[i] = (unsigned char)text[i] < ' ' && text[i] != '\n' ? ' ' : text[i];
    }
    session->text[n] = '\0';
    return UTTER_OK;
}

/* Everything of espeak-ng happens under its lock; the sink is called after it, by deliver. */
static utter_status synthesize(struct espeak_session *session, const struct ut_speak_params *params,
                               utter_error *err) {
    const struct espeak_voice *voice = session->voice;
    struct collector collector = {.session = session, .cancel = params->cancel};
    float wpm = fminf(fmaxf(DEFAULT_WPM * params->speed, MIN_WPM), MAX_WPM);
    session->n_samples = 0;
    utter_status status = ut_espeak_lock(err);
    if (status != UTTER_OK) {
        return status;
    }
    status = ut_espeak_set_voice(espeak_language(&voice->base, params), &voice->context.log, err);
    if (status == UTTER_OK) {
        ut_espeak_warn_blanked(ut_espeak_blank(session->text, strlen(session->text)),
                               &voice->context.log);
        status = ut_espeak_synth(session->text, (int)lrintf(wpm), collect, &collector, err);
    }
    ut_espeak_unlock();
    if (collector.cancelled) {
        return ut_fail(err, UTTER_ERROR_CANCELLED, "cancelled");
    }
    return collector.out_of_memory ? ut_fail_memory(err, session->samples_capacity * 2) : status;
}

/* 16-bit samples over 32,768, so that the range is -1 to just below 1. */
static utter_status deliver(const struct espeak_session *session,
                            const struct ut_speak_params *params, utter_error *err) {
    float block[BLOCK];
    for (size_t at = 0; at < session->n_samples; at += BLOCK) {
        size_t n = UT_MIN(session->n_samples - at, (size_t)BLOCK);
        for (size_t i = 0; i < n; i++) {
            block[i] = (float)session->samples[at + i] / 32768.0f;
        }
        if (*params->cancel || !params->sink(params->user, block, n)) {
            return ut_fail(err, UTTER_ERROR_CANCELLED, "cancelled");
        }
    }
    return UTTER_OK;
}

/* Copy, synthesize under the lock, deliver without it. */
static utter_status espeak_speak(struct ut_backend_session *base, const struct ut_unit *unit,
                                 const struct ut_speak_params *params, struct ut_speak_stats *stats,
                                 utter_error *err) {
    struct espeak_session *session = session_of(base);
    utter_status status =
        copy_text(session, params->text + unit->text_begin, unit->text_end - unit->text_begin, err);
    if (status == UTTER_OK) {
        status = synthesize(session, params, err);
    }
    return status == UTTER_OK ? deliver(session, params, err) : status;
}

const struct ut_backend ut_backend_espeak = {
    .name = "espeak",
    .open = espeak_open,
    .close = espeak_close,
    .info = espeak_info,
    .speaker_name = espeak_speaker_name,
    .default_speaker = espeak_default_speaker,
    .language = espeak_language,
    .espeak_voice = espeak_language,
    .describe = espeak_describe,
    .session_create = espeak_session_create,
    .session_destroy = espeak_session_destroy,
    .units = espeak_units,
    .speak = espeak_speak,
};
