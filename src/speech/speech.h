/* The handles of the public interface, and what its functions share. */
#ifndef UT_SPEECH_SPEECH_H
#define UT_SPEECH_SPEECH_H

#include "backend/chain.h"
#include "compute/minimal.h"
#include "models/variants.h"
#include "speech/join.h"
#include "speech/lanes.h"

struct utter_engine {
    struct ut_mem mem;
    struct ut_backend_context context;
    _Atomic uint64_t n_voices, n_voice_fallbacks, n_units, n_unit_fallbacks, n_unit_failures;
    char *onnxruntime_path; /* NULL: the usual places */
    struct ut_minimal_table tuning; /* that context.compute uses where a file was given */
};

struct utter_voice {
    utter_engine *engine;
    struct ut_backend_voice *voice;
    bool no_fallback;
    char fallback_reason[UT_REASON_SIZE]; /* "": none */
};

/* espeak-ng stands in for a model that did not load: it has one speaker for all of the model's, and its language
 * is that of the model's voices. */
static inline bool ut_voice_is_stand_in(const utter_voice *voice) {
    return voice->fallback_reason[0] && voice->voice->backend == &ut_backend_espeak;
}

/* Who speaks a unit when the voice itself fails on it: the other variants of its model one after the other,
 * then espeak-ng, which is opened again for another language. Opened when first needed. */
struct ut_standby {
    struct ut_backend_voice *espeak;
    struct ut_backend_session *espeak_session;
    char language[64]; /* the espeak voice that was wanted */
    struct ut_variants variants;
    size_t n_tried; /* of them; the rest were not opened yet */
    bool listed;
    struct ut_backend_voice *variant; /* the one at n_tried, open; NULL: none */
    struct ut_backend_session *variant_session;
};

struct utter_stream {
    utter_voice *voice;
    struct ut_backend_session *session;
    struct ut_units units;
    struct ut_join join;
    struct ut_standby standby;
    struct ut_lanes *lanes; /* NULL: not needed yet */
    struct ut_tally tally; /* of the last call that asked for it */
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

/* ---- tune.c ---- */

/* Uses the table in a file of utter_tune; a warning when it is damaged, a note when it is of another level. */
void ut_tuning_load(utter_engine *engine, const char *path);

/* ---- standby.c ---- */

void ut_standby_free(struct ut_standby *standby);
/* Speaks a unit of `voice` into params->sink at sample_rate_hz; *spoken_by is the voice that did. */
UTTER_CHECKED utter_status ut_standby_speak(struct ut_standby *standby, const utter_voice *voice,
                                            int32_t sample_rate_hz, const struct ut_unit *unit,
                                            const struct ut_speak_params *params,
                                            const struct ut_backend_voice **spoken_by,
                                            utter_error *err);

#endif
