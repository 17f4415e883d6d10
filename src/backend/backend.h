/* What a backend is to the engine: it turns a piece of text into sentences ("units") and a unit into
 * samples. native (utter's own kernels) and espeak (formant voice) are here; onnxruntime comes later
 * behind the same functions. */
#ifndef UT_BACKEND_BACKEND_H
#define UT_BACKEND_BACKEND_H

#include "base/error.h"
#include "base/mem.h"
#include "compute/compute.h"

struct ut_backend_context { /* borrowed from the engine; outlives everything opened with it */
    struct ut_mem *mem;
    struct ut_compute compute;
    struct ut_log log;
};

/* A loaded voice; immutable. */
struct ut_backend_voice {
    const struct ut_backend *backend;
    /* The implementation's own fields follow. */
};

/* Scratch of one speaker at a time. */
struct ut_backend_session;

struct ut_unit {
    size_t text_begin, text_end; /* bytes of the piece; where a fallback takes over */
    int32_t *ids;                /* native: phoneme ids; NULL for backends that take text */
    size_t n_ids;
    float pause_s;               /* silence that belongs behind it */
};

struct ut_units {
    struct ut_mem *mem;
    struct ut_unit *items;
    size_t n, capacity;
    uint32_t n_skipped_symbols;
};

void ut_units_free(struct ut_units *units); /* leaves an empty list */

struct ut_speak_params { /* resolved: no NAN, no -1 */
    int32_t speaker;
    float length_scale, noise_scale, noise_w;
    float speed;
    uint64_t seed; /* of this unit */
    const char *language;
    const char *text; /* the piece, for backends that take text */
    bool (*sink)(void *user, const float *samples, size_t n);
    void *user;
    const _Atomic bool *cancel;
};

struct ut_stage_times {
    double encode_s, flow_s, decode_s;
};

struct ut_backend {
    const char *name; /* "native" */
    utter_status (*open)(const struct ut_backend_context *context, const char *path,
                         struct ut_backend_voice **out, utter_error *err);
    void (*close)(struct ut_backend_voice *voice);
    void (*info)(const struct ut_backend_voice *voice, utter_voice_info *out);
    const char *(*speaker_name)(const struct ut_backend_voice *voice, int32_t index);
    int32_t (*default_speaker)(const struct ut_backend_voice *voice);
    /* Metadata of the voice as a JSON object; with tensors, a list of them. Free with ut_mem_free. */
    utter_status (*describe)(const struct ut_backend_voice *voice, bool tensors, char **json,
                             utter_error *err);
    utter_status (*session_create)(const struct ut_backend_voice *voice,
                                   struct ut_backend_session **out, utter_error *err);
    void (*session_destroy)(struct ut_backend_session *session);
    /* One piece of text (ut_segmenter) to sentences. language NULL: the voice's own. */
    utter_status (*units)(struct ut_backend_session *session, const char *text, size_t n_bytes,
                          const char *language, struct ut_units *out, utter_error *err);
    utter_status (*speak)(struct ut_backend_session *session, const struct ut_unit *unit,
                          const struct ut_speak_params *params, struct ut_stage_times *times,
                          utter_error *err);
};

extern const struct ut_backend ut_backend_native;
extern const struct ut_backend ut_backend_espeak;

#endif
