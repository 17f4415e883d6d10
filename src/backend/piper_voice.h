/* What a Piper or house voice is, whatever runs its network: what it is called, whom it speaks as, and how
 * a text becomes its ids. The table of functions of a backend takes these as they are; its own voice and
 * session begin with the structs below. */
#ifndef UT_BACKEND_PIPER_VOICE_H
#define UT_BACKEND_PIPER_VOICE_H

#include "backend/native.h"
#include "models/piper/piper.h"

/* The beginning of a backend's own voice: a pointer to `base` is a pointer to all of it. */
struct ut_piper_voice {
    struct ut_backend_voice base;
    struct ut_backend_context context;
    const struct ut_piper_config *config;
    struct ut_native_names names;
    utter_voice_info info; /* size and fallback_reason unused */
    size_t max_symbols;    /* of a unit */
};

/* For a voice whose base, context, names and config are set: fills what they tell of max_symbols and info;
 * format, quantization, counts and whether noise_w is used are the backend's. ERROR_UNSUPPORTED for a
 * phoneme type other than espeak and text. */
UTTER_CHECKED utter_status ut_piper_voice_init(struct ut_piper_voice *voice, utter_error *err);

size_t ut_piper_voice_max_ids(const struct ut_backend_voice *base);
void ut_piper_voice_info(const struct ut_backend_voice *base, utter_voice_info *out);
const char *ut_piper_voice_speaker_name(const struct ut_backend_voice *base, int32_t index);
int32_t ut_piper_voice_default_speaker(const struct ut_backend_voice *base);
const char *ut_piper_voice_language(const struct ut_backend_voice *base,
                                    const struct ut_speak_params *params);
const char *ut_piper_voice_espeak(const struct ut_backend_voice *base,
                                  const struct ut_speak_params *params);
/* The members of a description that every Piper voice has. */
void ut_piper_voice_describe(struct ut_json_writer *json, const struct ut_backend_voice *base);

struct ut_piper_text { /* the beginning of a session; zeroed but for the voice */
    const struct ut_piper_voice *voice;
    struct ut_piper_ids ids; /* of all units of the last piece */
};

/* struct ut_backend's `units`. */
UTTER_CHECKED utter_status ut_piper_text_units(struct ut_backend_session *base, const char *text,
                                               size_t n_bytes,
                                               const struct ut_speak_params *params,
                                               struct ut_units *out, utter_error *err);
void ut_piper_text_free(struct ut_piper_text *text);

#endif
