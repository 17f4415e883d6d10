/* From the bytes of a Piper voice to samples in one call, for tests and fuzzing: parse, load, open a
 * session, run, free everything. */
#ifndef UT_TESTS_SPEAK_H
#define UT_TESTS_SPEAK_H

#include "models/piper/piper.h"
#include "support/byte_buffer.h"

/* A compute context of its own; `level` must be supported. Ends the program when it cannot be made,
 * unless err is given. */
utter_status speak_compute_open(struct ut_mem *mem, enum ut_cpu_level level, int n_threads,
                                struct ut_compute *out, utter_error *err);
void speak_compute_close(struct ut_compute *compute);

enum speak_step { SPEAK_PARSE, SPEAK_LOAD, SPEAK_SESSION, SPEAK_RUN, SPEAK_DONE };

struct speech {
    enum speak_step step;  /* how far it came */
    utter_status status;   /* of the step that failed, else UTTER_OK */
    utter_error err;       /* filled when status is no UTTER_OK */
    struct ut_piper_info info;     /* from SPEAK_SESSION on */
    struct ut_piper_result result; /* when all is done */
    float *samples;        /* what the sink received, also before a failure */
    size_t n_samples, capacity;
    size_t most_samples;   /* set by the caller: the sink stops the run beyond it; 0: no limit */
    bool hash_stages;      /* set by the caller: observe the run and fill stage_hash */
    uint64_t stage_hash;   /* of the names and bits of every stage */
};

/* A few ids of any vocabulary of at least 12, with the voice's usual noise. */
struct ut_piper_request speak_request(void);

/* `request`'s sink is replaced. The bytes are copied to blocks of exactly their size first, so that a
 * sanitizer sees a read beyond them. A model that calls itself safetensors or ONNX is told by content. */
void speak(struct ut_mem *mem, const struct ut_compute *compute, const struct byte_buffer *model,
           const struct byte_buffer *json, const struct ut_piper_request *request,
           struct speech *speech);
void speech_free(struct speech *speech);

/* Everything the engine promises of samples: finite and within -1..1. */
bool speech_is_sound(const struct speech *speech);
/* Both done, with the same samples bit for bit. */
bool speech_equal(const struct speech *a, const struct speech *b);
double speech_rms(const struct speech *speech);

#endif
