/* The handles of the public interface, and what its functions share. */
#ifndef UT_SPEECH_SPEECH_H
#define UT_SPEECH_SPEECH_H

#include "backend/chain.h"
#include "speech/join.h"

struct utter_engine {
    struct ut_mem mem;
    struct ut_backend_context context;
};

struct utter_voice {
    utter_engine *engine;
    struct ut_backend_voice *voice;
    bool no_fallback;
    char fallback_reason[UT_REASON_SIZE]; /* "": none */
};

/* Speaks single units of a voice through espeak-ng; opened when first needed, and again for another
 * language. */
struct ut_standby {
    struct ut_backend_voice *voice;
    struct ut_backend_session *session;
    char language[64]; /* the espeak voice that was wanted */
};

struct utter_stream {
    utter_voice *voice;
    struct ut_backend_session *session;
    struct ut_units units;
    struct ut_join join;
    struct ut_standby standby;
    _Atomic bool cancel, busy;
};

/* ---- options.c ---- */

/* Copies a settings struct of any version over `out`, which holds the defaults: of a smaller
 * (older) one what there is, of a larger one what is known. ERROR_ARGUMENT when its size makes no
 * sense. */
UTTER_CHECKED utter_status ut_options_read(void *out, size_t out_size, const void *options,
                                           const char *type, utter_error *err);
/* Copies a result struct to a caller's of any version, leaving its size alone. */
void ut_options_write(void *out, const void *result, size_t result_size);

/* Ranges, and defaults of the voice for NAN and -1. `seed` and the sink are left to the caller. */
UTTER_CHECKED utter_status ut_options_resolve(const utter_voice *voice,
                                              const utter_speak_options *options,
                                              struct ut_speak_params *out, utter_error *err);

/* ---- standby.c ---- */

void ut_standby_free(struct ut_standby *standby);
/* Speaks a unit of `voice` into params->sink at sample_rate_hz. */
UTTER_CHECKED utter_status ut_standby_speak(struct ut_standby *standby, const utter_voice *voice,
                                            int32_t sample_rate_hz, const struct ut_unit *unit,
                                            const struct ut_speak_params *params, utter_error *err);

#endif
