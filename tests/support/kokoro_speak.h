/* From the bytes of a Kokoro model to samples in one call, for tests and fuzzing: read the
 * configuration, parse, load, open a session, run, free everything. */
#ifndef UT_TESTS_KOKORO_SPEAK_H
#define UT_TESTS_KOKORO_SPEAK_H

#include "models/kokoro/kokoro.h"
#include "support/byte_buffer.h"

enum kokoro_step { KOKORO_CONFIG, KOKORO_PARSE, KOKORO_LOAD, KOKORO_RUN, KOKORO_DONE };

struct kokoro_speech {     /* starts as {0} */
    enum kokoro_step step; /* how far it came */
    utter_status status;   /* of the step that failed, else UTTER_OK */
    utter_error err;
    struct ut_kokoro_info info; /* from KOKORO_RUN on */
    struct ut_kokoro_result result;
    float *samples;
    size_t n_samples, capacity;
    int most_frames; /* set by the caller: the run is watched and stopped beyond it; 0: neither */
    int32_t durations[UT_KOKORO_MAX_IDS]; /* of a run that was watched */
    int n_durations;
    _Atomic bool stop;
};

/* A few ids of any vocabulary of at least 12; `style` has room for the largest in a test. */
struct ut_kokoro_request kokoro_request(void);

/* `request`'s sink, cancel and observer are replaced; its style must suit the model: only the first
 * 2 * style_dim of n_style values are used, and a model that wants more is not run (status
 * UTTER_OK, step KOKORO_RUN). The model's bytes are copied to a block of exactly their size first,
 * so that a sanitizer sees a read beyond them. */
void kokoro_speak(struct ut_mem *mem, const struct ut_compute *compute,
                  const struct byte_buffer *model, const struct byte_buffer *config,
                  const struct ut_kokoro_request *request, size_t n_style,
                  struct kokoro_speech *speech);
/* One run of a model that is loaded; appends to speech->samples. */
void kokoro_speak_model(const struct ut_kokoro *model, const struct ut_kokoro_request *request,
                        struct kokoro_speech *speech);
void kokoro_speech_free(struct kokoro_speech *speech);

/* Everything the engine promises of samples: finite and within -1..1. */
bool kokoro_speech_is_sound(const struct kokoro_speech *speech);
/* Both done, with the same samples bit for bit. */
bool kokoro_speech_equal(const struct kokoro_speech *a, const struct kokoro_speech *b);

#endif
