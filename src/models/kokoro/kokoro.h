/* Kokoro-82M (StyleTTS 2, arXiv:2306.07691, with an iSTFTNet decoder, arXiv:2203.02395): phoneme ids and a
 * style row to samples. The reference is the PyPI package kokoro 0.9.4; docs/models/kokoro.md is enough to
 * write it again. A model is immutable after load and may be shared; a session belongs to one thread. */
#ifndef UT_KOKORO_KOKORO_H
#define UT_KOKORO_KOKORO_H

#include "compute/compute.h"
#include "models/kokoro/config.h"
#include "models/kokoro/voices.h"
#include "weights/weights.h"

enum {
    UT_KOKORO_MAX_IDS = 512, /* two zeros and 510 phonemes */
    UT_KOKORO_MAX_FRAMES = 8192, /* 205 s; 1.3 GB of activations in the full model */
    UT_KOKORO_RATE_HZ = 24000,
    UT_KOKORO_SAMPLES_PER_FRAME = 600, /* durations are in frames */
};

struct ut_kokoro;
struct ut_kokoro_session;

/* Opens kokoro-v1_0.pth or a safetensors file of the same tensors (config.json and voices/ beside it), a GGUF
 * file (ours or TTS.cpp's), or a folder that holds exactly one of these. Weights are packed for `compute`'s
 * level; of the model file only what voices need stays mapped. */
UTTER_CHECKED utter_status ut_kokoro_open(struct ut_mem *mem, const struct ut_compute *compute,
                                          const char *path, const struct ut_log *log,
                                          struct ut_kokoro **out, utter_error *err);
/* The same for a model file whose table is open already and was detected to be Kokoro's. *weights becomes NULL
 * where the model keeps the table. */
UTTER_CHECKED utter_status ut_kokoro_open_weights(struct ut_mem *mem, const struct ut_compute *compute,
                                                  struct ut_weights **weights, const char *model_path,
                                                  const struct ut_log *log, struct ut_kokoro **out,
                                                  utter_error *err);
/* The model without voices from bytes already parsed (tests, fuzzing); borrows both for the call. */
UTTER_CHECKED utter_status ut_kokoro_load(struct ut_mem *mem, const struct ut_compute *compute,
                                          const struct ut_weights *weights,
                                          const struct ut_kokoro_config *config,
                                          const struct ut_log *log, struct ut_kokoro **out,
                                          utter_error *err);
/* config.json beside a model that is no GGUF file, as n bytes of unchecked text. Free *text with ut_mem_free,
 * also after an error. */
UTTER_CHECKED utter_status ut_kokoro_read_config(struct ut_mem *mem, const char *model_path, char **text,
                                                 size_t *n, utter_error *err);
void ut_kokoro_close(struct ut_kokoro *model); /* NULL is fine */

struct ut_kokoro_info {
    int32_t n_token, hidden_dim, style_dim, max_ids; /* max_ids: of one run, <= UT_KOKORO_MAX_IDS */
    uint64_t n_parameters, file_bytes;
    enum ut_format format;
    enum ut_dtype weight_type; /* of most weights, as stored in the file; UT_I8 where any layer is */
};
void ut_kokoro_get_info(const struct ut_kokoro *model, struct ut_kokoro_info *out);
const struct ut_kokoro_config *ut_kokoro_get_config(const struct ut_kokoro *model);
const struct ut_kokoro_voices *ut_kokoro_get_voices(const struct ut_kokoro *model);
/* The model file that was opened, in a folder or not; weights of a GGUF file (for its phonemizer data), NULL
 * for other formats. Both live as long as the model. */
const char *ut_kokoro_model_path(const struct ut_kokoro *model);
const struct ut_weights *ut_kokoro_gguf(const struct ut_kokoro *model);

UTTER_CHECKED utter_status ut_kokoro_session_create(const struct ut_kokoro *model,
                                                    struct ut_kokoro_session **out, utter_error *err);
void ut_kokoro_session_destroy(struct ut_kokoro_session *session); /* NULL is fine */

/* Sees every named stage of a run: n_rows time steps of n_ch channels, `row` floats apart. */
struct ut_kokoro_view {
    const float *data;
    ptrdiff_t row;
    int n_rows, n_ch;
};
typedef void (*ut_kokoro_observer)(void *user, const char *stage, const struct ut_kokoro_view *view);

struct ut_kokoro_request {
    const int32_t *ids; /* 0, phonemes, 0; ids outside the vocabulary are skipped with a warning */
    size_t n_ids;       /* 1..max_ids */
    const float *style; /* [2 * style_dim]: decoder, predictor */
    float speed;        /* 0.1..10 */
    uint64_t seed;      /* of the harmonic source's noise */
    bool trim;          /* cut the silence that the first and the last id stand for, down to a short edge */
    /* Recorded values instead of computed ones, for traces; NULL: none. noise [T][9], of unit variance;
     * zero_noise: none at all. har [n_fft + 2][120 * frames + 1]: the generator is run on these. */
    const float *noise, *har;
    size_t n_noise, n_har;
    bool zero_noise;
    /* Called in order with finished samples in -1..1; false stops the run. */
    bool (*sink)(void *user, const float *samples, size_t n);
    void *user;
    const _Atomic bool *cancel; /* NULL: never; looked at between layers */
    ut_kokoro_observer observer; /* NULL: none */
    void *observer_user;
    struct ut_tally *tally; /* NULL: none */
};

struct ut_kokoro_result {
    uint64_t n_samples;
    uint32_t n_frames; /* of 25 ms */
    uint32_t n_skipped_ids;
    double encode_s, flow_s, decode_s; /* text side; prosody; decoder and generator */
};

UTTER_CHECKED utter_status ut_kokoro_run(struct ut_kokoro_session *session,
                                         const struct ut_kokoro_request *request,
                                         struct ut_kokoro_result *result, utter_error *err);

/* Samples to cut off the beginning and the end of a run whose first and last id, the zeros around the
 * phonemes, take so many frames. */
void ut_kokoro_edges(int first_duration, int last_duration, int64_t *begin, int64_t *end);

/* `utter trace` for this family. */
UTTER_CHECKED utter_status ut_kokoro_trace(struct ut_kokoro *model, const char *golden,
                                           const char *case_name, const char *out_path,
                                           utter_trace_fn stage, void *user, utter_error *err);

#endif
