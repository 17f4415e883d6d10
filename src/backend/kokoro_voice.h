/* What a Kokoro voice is, whatever runs its network: speakers and mixtures of them, languages, lexicons, and
 * how a text becomes ids. The table of functions of a backend takes these as they are; its own voice and
 * session begin with the structs below. */
#ifndef UT_BACKEND_KOKORO_VOICE_H
#define UT_BACKEND_KOKORO_VOICE_H

#include "backend/kokoro_lexicon.h"
#include "backend/native.h"
#include "models/kokoro/config.h"
#include "models/kokoro/voices.h"

/* The beginning of a backend's own voice: a pointer to `base` is a pointer to all of it. */
struct ut_kokoro_voice {
    struct ut_backend_voice base;
    struct ut_backend_context context;
    struct ut_native_names names;
    const struct ut_kokoro_config *config;
    const struct ut_kokoro_voices *voices;
    struct ut_kokoro_lexicons *lexicons;
    utter_voice_info info; /* size and fallback_reason unused */
    int32_t default_speaker;
    int32_t n_token, hidden_dim, style_dim, max_ids; /* for descriptions and units; 0: not known */
};

/* For a voice whose base, context, names, config, voices and max_ids are set: opens the lexicons (`gguf`: the
 * open model file, NULL for other formats) and fills default_speaker and info; format, quantization and
 * counts are the backend's. */
UTTER_CHECKED utter_status ut_kokoro_voice_init(struct ut_kokoro_voice *voice,
                                                const struct ut_weights *gguf, utter_error *err);
void ut_kokoro_voice_free(struct ut_kokoro_voice *voice); /* what init took, and the names */

/* The espeak voice for the language of the speaker that the model has when nobody chooses one; "": none. */
const char *ut_kokoro_voices_espeak(const struct ut_kokoro_voices *voices);

size_t ut_kokoro_voice_max_ids(const struct ut_backend_voice *base);
void ut_kokoro_voice_info(const struct ut_backend_voice *base, utter_voice_info *out);
const char *ut_kokoro_voice_speaker_name(const struct ut_backend_voice *base, int32_t index);
int32_t ut_kokoro_voice_default_speaker(const struct ut_backend_voice *base);
UTTER_CHECKED utter_status ut_kokoro_voice_check(const struct ut_backend_voice *base,
                                                 const char *expression, utter_error *err);
const char *ut_kokoro_voice_language(const struct ut_backend_voice *base,
                                     const struct ut_speak_params *params);
const char *ut_kokoro_voice_espeak(const struct ut_backend_voice *base,
                                   const struct ut_speak_params *params);
/* The members of a description. */
void ut_kokoro_voice_describe(struct ut_json_writer *json, const struct ut_backend_voice *base);

enum { UT_KOKORO_MAX_LOGGED = 8 };

struct ut_kokoro_text { /* the beginning of a session */
    const struct ut_kokoro_voice *voice;
    float *style; /* [2 * style_dim] */
    int32_t *ids; /* of all units of the last piece */
    size_t n_ids, ids_capacity;
    uint32_t n_skipped;
    uint32_t logged[UT_KOKORO_MAX_LOGGED]; /* symbols without an id that were told of */
    size_t n_logged;
};

UTTER_CHECKED utter_status ut_kokoro_text_init(struct ut_kokoro_text *text,
                                               const struct ut_kokoro_voice *voice,
                                               utter_error *err);
void ut_kokoro_text_free(struct ut_kokoro_text *text);

/* struct ut_backend's `units`. */
UTTER_CHECKED utter_status ut_kokoro_text_units(struct ut_backend_session *base, const char *text,
                                                size_t n_bytes,
                                                const struct ut_speak_params *params,
                                                struct ut_units *out, utter_error *err);
/* text->style for a unit and whoever is to speak it. */
UTTER_CHECKED utter_status ut_kokoro_text_style(struct ut_kokoro_text *text,
                                                const struct ut_unit *unit,
                                                const struct ut_speak_params *params,
                                                utter_error *err);

#endif
