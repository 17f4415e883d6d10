/* A loaded Piper model: its sizes and packed layers, named as in the checkpoint. Internal to
 * models/piper; filled by load.c, read by the forward files. */
#ifndef UT_PIPER_MODEL_H
#define UT_PIPER_MODEL_H

#include "models/piper/piper.h"
#include "models/piper/window.h"

enum {
    PIPER_MAX_LAYERS = 32,   /* of the text encoder */
    PIPER_MAX_FLOWS = 16,    /* coupling steps; spline flows */
    PIPER_MAX_WN = 16,       /* layers of one WN */
    PIPER_MAX_STAGES = 8,
    PIPER_MAX_RESBLOCKS = 8, /* of one stage */
    PIPER_MAX_CHAIN = 12,    /* convolutions in a row in one residual block */
    PIPER_MAX_RATE = 32,
    PIPER_SPLINE_BINS = 10,
};

struct piper_encoder_layer {
    struct ut_layer conv_q, conv_k, conv_v, conv_o, rel_k, rel_v;
    struct piper_conv ffn_1, ffn_2;
    struct ut_norm norm_1, norm_2;
};

/* Dilated and depth-separable convolution (DDSConv). */
struct piper_dds {
    int n_layers, n_taps;
    struct {
        float *sep_w, *sep_b; /* depthwise: [n_taps, C], [C] */
        int dilation;
        struct ut_layer conv_1x1;
        struct ut_norm norm_1, norm_2;
    } layers[4];
};

/* Stochastic duration predictor, inverse direction. */
struct piper_spline_flow {
    struct ut_layer pre, proj;
    struct piper_dds convs;
};

struct piper_sdp {
    struct ut_layer pre, proj, cond;
    struct piper_dds convs;
    struct piper_spline_flow flows[PIPER_MAX_FLOWS]; /* in the order of the checkpoint */
    int n_flows;
    float affine_m[2], affine_scale[2]; /* x = (x - m) * scale, scale = exp(-logs) */
};

/* Deterministic duration predictor of the house voice. */
struct piper_ddp {
    struct piper_conv conv_1, conv_2;
    struct ut_layer proj, cond;
    struct ut_norm norm_1, norm_2;
};

struct piper_coupling {
    struct piper_conv pre, post; /* post is negated: its output is subtracted */
    struct ut_layer cond;
    int n_layers;
    struct {
        struct piper_conv in, res, skip; /* res is absent in the last layer */
    } layers[PIPER_MAX_WN];
};

/* One transposed convolution as `rate` ordinary ones: output row m * rate + r is what phase r makes of input row m
 * and its neighbours. */
struct piper_upsample {
    int rate, n_out, left, right; /* rows of input needed before and behind row m */
    struct piper_conv phase[PIPER_MAX_RATE];
};

/* A residual block as a chain of convolutions on leaky ReLUs. `residual` convolutions add the block's
 * running value and replace it; the others (first of each pair in ResBlock1) only feed the next. */
struct piper_resblock {
    int n_convs;
    struct piper_conv convs[PIPER_MAX_CHAIN];
    bool residual[PIPER_MAX_CHAIN];
    int halo; /* sum of the pads */
};

struct piper_stage {
    struct piper_upsample up;
    struct piper_resblock resblocks[PIPER_MAX_RESBLOCKS];
    int n_resblocks, halo; /* the largest of the blocks */
};

struct piper_decoder {
    struct piper_conv conv_pre;
    struct ut_layer cond;
    struct piper_stage stages[PIPER_MAX_STAGES];
    int n_stages;
    float *conv_post; /* [taps, C] */
    int post_taps, post_channels;
};

struct ut_piper {
    struct ut_mem *mem;
    struct ut_compute compute;
    struct ut_log log;
    struct ut_arena weights;
    struct ut_piper_config config;
    struct ut_piper_info info;
    int n_speaker_channels; /* gin; 0: one speaker */
    int window;             /* of the relative attention */

    float *emb;   /* [n_vocab, hidden], times sqrt(hidden) */
    float *emb_g; /* [n_speakers, gin] */
    struct piper_encoder_layer layers[PIPER_MAX_LAYERS];
    struct piper_conv proj_m, proj_logs;
    struct piper_sdp *sdp; /* one of the two */
    struct piper_ddp *ddp;
    struct piper_coupling *couplings; /* [n_couplings], in the order of the checkpoint */
    int n_couplings;
    struct piper_decoder *decoder;
};

/* Streams of the random generator. */
enum { UT_PIPER_STREAM_DURATIONS = 1, UT_PIPER_STREAM_PRIOR = 2 };

/* One synthesis: what the forward files share. Buffers come from `arena` and live until the end. */
struct ut_piper_session {
    const struct ut_piper *model;
    struct ut_compute compute; /* the model's */
    struct ut_arena arena;
    const struct ut_piper_request *request;
    int n_ids, n_frames;
    int32_t *ids;
    const float *g; /* [gin] of the speaker, or NULL */
};

/* Reports a whole stage to the request's observer. */
void ut_piper_observe(const struct ut_piper_session *s, const char *stage, const float *data,
                      ptrdiff_t row, int n_rows, int n_ch);

/* Rows first .. first + n_rows - 1 of a stage of `total`. */
void ut_piper_observe_rows(const struct ut_piper_session *s, const char *stage, const float *data,
                           ptrdiff_t row, int first, int n_rows, int total, int n_ch);

/* n_rows of n_ch floats with zero rows before and behind; NULL without memory. Points at row 0. */
float *ut_piper_padded(struct ut_arena *arena, int n_rows, int n_ch, int before, int behind);

/* y = conv(x) with the kernel's epilogue fields of `op`; x and y [n_rows, C], x with pad zero rows. */
void ut_piper_conv(const struct ut_piper_session *s, const struct piper_conv *conv, const float *x,
                   struct ut_conv op);
/* y = W x + b of every row; row pitches are the layer's channel counts. */
void ut_piper_linear(const struct ut_piper_session *s, const struct ut_layer *layer, const float *x,
                     float *y, int n_rows);
/* layer's bias plus cond(g), padded; the layer's own bias when there is no speaker. NULL: no memory. */
const float *ut_piper_conditioned(struct ut_piper_session *s, const struct ut_layer *layer,
                                  const struct ut_layer *cond, int cond_offset);

/* Stages of a run. Each returns a status with the message in err. */
utter_status ut_piper_encode(struct ut_piper_session *s, float **x, float **m, float **logs,
                             utter_error *err); /* [n_ids, hidden], [n_ids, inter] twice */
utter_status ut_piper_durations(struct ut_piper_session *s, const float *x, int32_t **durations,
                                utter_error *err); /* [n_ids]; sets n_frames */

/* Where the flow begins: m + noise * scale * noise_scale of each frame's id; without one, m = 0 and scale = 1. */
struct ut_piper_prior {
    const float *m, *scale;  /* [n_ids, inter] */
    const int32_t *frame_id; /* [n_frames]; n_ids: no id */
};
/* n rows from frame `first` on into z [n, inter]. */
void ut_piper_prior_rows(const struct ut_piper_session *s, const struct ut_piper_prior *prior, int first, int n,
                         float *z);

/* Frames of the flow, made as they are asked for, n_chunk of the prior's at a time: the same for every n_chunk >= 1
 * and however they are asked for. Lives in the session's arena and refers to `prior`. */
struct ut_piper_flow;
/* n_pulled: the most by which `to` of one call of ut_piper_flow_frames lies beyond that of the one before, the
 * decoder's pad aside. */
utter_status ut_piper_flow_start(struct ut_piper_session *s, const struct ut_piper_prior *prior, int n_chunk,
                                 int n_pulled, struct ut_piper_flow **out, utter_error *err);
/* Makes frames until there are `to`, or all. *frames: as the input of the decoder's conv_pre, with zero rows around
 * the utterance; the caller drops what it has read. */
utter_status ut_piper_flow_frames(struct ut_piper_flow *flow, int64_t to, struct ut_piper_window **frames,
                                  utter_error *err);
double ut_piper_flow_wall_s(const struct ut_piper_flow *flow); /* spent in it */

/* Samples, with the flow's frames as it goes; n_samples, flow_s and decode_s of `result`. */
utter_status ut_piper_decode(struct ut_piper_session *s, const struct ut_piper_prior *prior,
                             struct ut_piper_result *result, utter_error *err);

#endif
