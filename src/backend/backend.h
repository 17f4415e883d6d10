/* What a backend is to the engine: it turns a piece of text into sentences ("units") and a unit
 * into samples. native (utter's own kernels) and onnx (ONNX Runtime), with one table of functions for each
 * model family, and espeak (formant voice). Voices may be shared by threads; a
 * session belongs to one thread. */
#ifndef UT_BACKEND_BACKEND_H
#define UT_BACKEND_BACKEND_H

#include "base/error.h"
#include "base/mem.h"
#include "compute/compute.h"

enum ut_platform { UT_PLATFORM_OTHER, UT_PLATFORM_APPLE };

struct ut_backend_context { /* borrowed from the engine; outlives everything opened with it */
    struct ut_mem *mem;
    struct ut_compute compute;
    struct ut_log log;
    const char *onnxruntime_path; /* of its library; NULL: the usual places */
    enum ut_platform platform;    /* that providers are chosen for */
    /* Of a voice that is being opened: */
    const char *provider;    /* ort_api.h; NULL: "cpu" */
    const char *coreml_path; /* the network for that provider, NULL: the voice's own */
    utter_backend preferred; /* NATIVE or ONNX goes first where both can; AUTO: as utter likes */
    bool no_fallback;        /* then what is preferred is what is wanted */
};

/* Whether several units of a text are spoken side by side, by as many sessions. */
enum ut_parallel {
    UT_PARALLEL_NEVER,    /* the library behind it has threads or a state of its own */
    UT_PARALLEL_ON_DEMAND, /* all threads on one unit are as fast (docs/performance.md) */
    UT_PARALLEL_ALWAYS
};

/* A loaded voice; immutable. */
struct ut_backend_voice {
    const struct ut_backend *backend;
    const char *device; /* what it computes on: "cuda"; NULL: the processor; static storage */
    /* The implementation's own fields follow. */
};

/* Scratch of one speaker at a time. Destroyed before its voice is closed. */
struct ut_backend_session;

/* What stands behind a unit: how long a pause belongs there. */
enum ut_unit_end {
    UT_UNIT_CUT, /* the sentence goes on: it was too long for one unit */
    UT_UNIT_SENTENCE,
    UT_UNIT_PARAGRAPH,
    UT_UNIT_N_ENDS
};

struct ut_unit {
    size_t text_begin, text_end; /* bytes of the piece; where a fallback takes over */
    const int32_t *ids; /* the session's, until its next `units`; NULL: the backend takes text */
    size_t n_ids;
    size_t n_symbols; /* phonemes before those without an id were left out; 0: those of the ids */
    enum ut_unit_end end;
};

/* A list that keeps its memory when it is cleared, so that it stops growing after a while. */
struct ut_units {
    struct ut_mem *mem;
    struct ut_unit *items;
    size_t n, capacity;
    uint32_t n_skipped_symbols; /* phonemes that the voice has no id for */
};

void ut_units_init(struct ut_units *units, struct ut_mem *mem);
void ut_units_clear(struct ut_units *units);
UTTER_CHECKED utter_status ut_units_append(struct ut_units *units, struct ut_unit unit,
                                           utter_error *err);
void ut_units_free(struct ut_units *units); /* leaves an empty list */

struct ut_speak_params { /* resolved: no NAN, no -1 */
    int32_t speaker;
    const char *voice;  /* a blend of speakers that was checked (check_voice); NULL: `speaker` */
    float length_scale; /* the voice's own, divided by speed */
    float noise_scale, noise_w;
    float speed;
    uint64_t seed;        /* of this unit */
    const char *language; /* NULL: the voice's own */
    const char *text;     /* the piece that the unit's range refers to; NULL if there is none */
    bool (*sink)(void *user, const float *samples, size_t n);
    void *user;
    const _Atomic bool *cancel;
    struct ut_tally *tally; /* of native voices; NULL: nothing is counted */
};

struct ut_speak_stats { /* `speak` adds to these, also when it fails */
    double encode_s, flow_s, decode_s;
    uint32_t n_skipped_symbols;
};

/* A table of functions, constant and shared. `open` gives a voice that `close` takes back; strings
 * that `info`, `speaker_name`, `language` and `espeak_voice` return live as long as the voice. */
struct ut_backend {
    const char *name;              /* "native" */
    bool supports_streaming;       /* samples arrive before the unit is finished */
    enum ut_parallel parallel;
    float pause_s[UT_UNIT_N_ENDS]; /* silence behind a unit unless the caller states another */

    utter_status (*open)(const struct ut_backend_context *context, const char *path,
                         struct ut_backend_voice **out, utter_error *err);
    void (*close)(struct ut_backend_voice *voice); /* NULL is fine */
    /* Most ids of a unit; NULL: it takes text. */
    size_t (*max_ids)(const struct ut_backend_voice *voice);
    /* Fills everything but size and fallback_reason. */
    void (*info)(const struct ut_backend_voice *voice, utter_voice_info *out);
    const char *(*speaker_name)(const struct ut_backend_voice *voice, int32_t index);
    int32_t (*default_speaker)(const struct ut_backend_voice *voice);
    /* Is this a speaker or a blend of them? ERROR_NOT_FOUND with the nearest name, ERROR_ARGUMENT for a
     * blend that is malformed. NULL: only names of single speakers are understood. */
    utter_status (*check_voice)(const struct ut_backend_voice *voice, const char *expression,
                                utter_error *err);
    /* The language that a text is in: "en_US", "en-us", "de"; "" if not known. */
    const char *(*language)(const struct ut_backend_voice *voice,
                            const struct ut_speak_params *params);
    /* The espeak voice for it, for a fallback; "" if not known. */
    const char *(*espeak_voice)(const struct ut_backend_voice *voice,
                                const struct ut_speak_params *params);
    /* Metadata as a JSON object; with tensors, a list of them. Free with ut_mem_free. */
    utter_status (*describe)(const struct ut_backend_voice *voice, bool tensors, char **json,
                             utter_error *err);
    utter_status (*session_create)(const struct ut_backend_voice *voice,
                                   struct ut_backend_session **out, utter_error *err);
    void (*session_destroy)(struct ut_backend_session *session);
    /* One piece of text (ut_segmenter) to sentences, in the language and for the voice of `params` (the
     * sink is not used); replaces what `out` held. */
    utter_status (*units)(struct ut_backend_session *session, const char *text, size_t n_bytes,
                          const struct ut_speak_params *params, struct ut_units *out,
                          utter_error *err);
    /* ERROR_CANCELLED when params->cancel was set or the sink returned false. */
    utter_status (*speak)(struct ut_backend_session *session, const struct ut_unit *unit,
                          const struct ut_speak_params *params, struct ut_speak_stats *stats,
                          utter_error *err);
    /* utter_trace for the voice at `path`; NULL where there are no stages. */
    utter_status (*trace)(const struct ut_backend_context *context, const char *path,
                          const char *golden, const char *case_name, const char *out_path,
                          utter_trace_fn stage, void *user, utter_error *err);
};

/* The one that needs no model; the others are in native.h and ort_backend.h. */
extern const struct ut_backend ut_backend_espeak;

#endif
