/* Piper (VITS, arXiv:2106.06103): phoneme ids to samples. The reference is the training code of
 * OHF-Voice/piper1-gpl; docs/models/piper.md is enough to write it again. A model is immutable after
 * load and may be shared; a session belongs to one thread at a time. */
#ifndef UT_PIPER_PIPER_H
#define UT_PIPER_PIPER_H

#include "compute/compute.h"
#include "models/piper/voice_config.h"
#include "weights/weights.h"

struct ut_piper;
struct ut_piper_session;

/* Does this table hold a Piper voice? Cheap; true for every ONNX file, whose names tell nothing. */
bool ut_piper_detect(const struct ut_weights *weights);

/* Opens VOICE.onnx (with VOICE.onnx.json), voice.safetensors (with voice.json), a GGUF file that utter wrote,
 * or a folder that holds exactly one model (model_file.h). Everything is packed for `compute`'s level; no file
 * stays mapped. */
UTTER_CHECKED utter_status ut_piper_open(struct ut_mem *mem, const struct ut_compute *compute,
                                         const char *path, const struct ut_log *log,
                                         struct ut_piper **out, utter_error *err);
/* The same for a model file whose table is open already, which is borrowed. */
UTTER_CHECKED utter_status ut_piper_open_weights(struct ut_mem *mem, const struct ut_compute *compute,
                                                 const struct ut_weights *weights,
                                                 const char *model_path, const struct ut_log *log,
                                                 struct ut_piper **out, utter_error *err);
/* The configuration beside a model file, VOICE.onnx.json or voice.json, as n bytes of unchecked text.
 * Free *text with ut_mem_free, also after an error. */
UTTER_CHECKED utter_status ut_piper_read_config(struct ut_mem *mem, const char *model_path,
                                                char **text, size_t *n, utter_error *err);
/* ut_piper_open from bytes already parsed (tests, fuzzing). Takes neither. */
UTTER_CHECKED utter_status ut_piper_load(struct ut_mem *mem, const struct ut_compute *compute,
                                         const struct ut_weights *weights, const char *json,
                                         size_t n_json, const struct ut_log *log,
                                         struct ut_piper **out, utter_error *err);
void ut_piper_close(struct ut_piper *model);

struct ut_piper_info {
    int32_t sample_rate_hz, hop_length, n_speakers, n_vocab;
    int32_t n_hidden, n_inter, n_layers, n_heads, n_stages, n_resblocks;
    bool resblock1;      /* ResBlock1 (pairs of convolutions), else ResBlock2 */
    bool stochastic_durations;
    uint64_t n_parameters, file_bytes;
    enum ut_format format;
    enum ut_dtype weight_type;
};
void ut_piper_get_info(const struct ut_piper *model, struct ut_piper_info *out);
const struct ut_piper_config *ut_piper_get_config(const struct ut_piper *model);

UTTER_CHECKED utter_status ut_piper_session_create(const struct ut_piper *model,
                                                   struct ut_piper_session **out, utter_error *err);
void ut_piper_session_destroy(struct ut_piper_session *session);

/* Sees every named stage of a run, in one call or tile by tile: rows first .. first + n_rows - 1 of
 * `total` time steps, n_ch channels each, `row` floats apart. A golden file holds the transpose. */
struct ut_piper_view {
    const float *data;
    ptrdiff_t row;
    int first, n_rows, total, n_ch;
};
typedef void (*ut_piper_observer)(void *user, const char *stage, const struct ut_piper_view *view);

struct ut_piper_request {
    const int32_t *ids;  /* ids outside the vocabulary are skipped with a warning */
    size_t n_ids;        /* 1..UT_PIPER_MAX_IDS */
    int32_t speaker;     /* 0..n_speakers-1 */
    float noise_scale, length_scale, noise_w;
    uint64_t seed;       /* of this sentence */
    /* Recorded noise instead of the generator's, channels first as in the golden files; NULL: none.
     * noise_dp [2][n_ids], noise_prior [n_inter][frames]: its frame count must match. */
    const float *noise_dp, *noise_prior;
    size_t n_noise_prior; /* values in noise_prior */
    /* Called in order with finished samples in -1..1, tile by tile; false stops the run. */
    bool (*sink)(void *user, const float *samples, size_t n);
    void *user;
    const _Atomic bool *cancel;   /* NULL: never; looked at once a tile */
    ut_piper_observer observer;   /* NULL: none */
    void *observer_user;
    struct ut_tally *tally; /* NULL: none */
};

enum { UT_PIPER_MAX_IDS = 8192, UT_PIPER_MAX_FRAMES = 200000 };

struct ut_piper_result {
    uint64_t n_samples;
    uint32_t n_frames;
    uint32_t n_skipped_ids;
    double encode_s, flow_s, decode_s;
};

UTTER_CHECKED utter_status ut_piper_run(struct ut_piper_session *session,
                                        const struct ut_piper_request *request,
                                        struct ut_piper_result *result, utter_error *err);

/* `utter trace` for this family. */
UTTER_CHECKED utter_status ut_piper_trace(struct ut_piper *model, const char *golden,
                                          const char *case_name, const char *out_path,
                                          utter_trace_fn stage, void *user, utter_error *err);

#endif
