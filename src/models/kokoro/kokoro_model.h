/* A loaded Kokoro model: its sizes and packed layers, named as in the checkpoint. Internal to
 * models/kokoro; filled by the load functions, read by the forward files. */
#ifndef UT_KOKORO_MODEL_H
#define UT_KOKORO_MODEL_H

#include "models/kokoro/kokoro.h"
#include "models/kokoro/layout.h"

enum { KOKORO_MAX_LAYERS = 8, KOKORO_PROSODY_BLOCKS = 3, KOKORO_DECODE_BLOCKS = 4 };

/* ---- Text side: albert.c, predictor.c, text_encoder.c ------------------------------------------ */

struct kokoro_albert {
    int n_embed, n_hidden, n_positions;
    float *words, *positions; /* [n_token, n_embed] with the token type added, [n_positions, n_embed] */
    struct ut_norm embed_norm;
    struct ut_layer embed_map;
    /* The one layer, repeated: attention, norm, feed-forward, norm. */
    struct ut_layer query, key, value, dense, ffn, ffn_output;
    struct ut_norm attention_norm, full_norm;
};

struct kokoro_text_encoder {
    float *embedding; /* [n_token, hidden] */
    int n_cnn;
    struct {
        struct ut_layer conv;
        struct ut_norm norm;
    } cnn[KOKORO_MAX_LAYERS];
    struct ut_lstm lstm;
};

struct kokoro_duration_predictor {
    struct ut_layer bert_encoder;
    int n_layers;
    struct ut_lstm lstms[KOKORO_MAX_LAYERS];
    struct ut_layer norms[KOKORO_MAX_LAYERS]; /* AdaLayerNorm's fc: style -> gamma, beta */
    struct ut_lstm lstm;
    struct ut_layer duration_proj;
};

/* ---- Prosody, decoder, generator ---------------------------------------------------------------- */

/* AdainResBlk1d. */
struct kokoro_resblk {
    int n_in, n_out;
    bool upsample;
    struct ut_layer norm1, norm2; /* style -> gamma, beta */
    struct ut_layer conv1, conv2, conv1x1; /* conv1x1.n_out 0: the shortcut is the identity */
    float *pool_w, *pool_b; /* depthwise transposed convolution [3, n_in], where upsample */
};

struct kokoro_prosody {
    struct ut_lstm shared;
    struct kokoro_resblk blocks[2][KOKORO_PROSODY_BLOCKS]; /* F0, N */
    struct ut_layer proj[2];
};

struct kokoro_decoder {
    struct ut_layer f0_conv, n_conv, asr_res;
    struct kokoro_resblk encode, decode[KOKORO_DECODE_BLOCKS];
};

/* AdaINResBlock1: pairs of convolutions, each behind AdaIN and snake. */
struct kokoro_resblock {
    int n_ch, n_pairs, dilations[KOKORO_MAX_DILATIONS];
    struct {
        struct ut_layer adain, conv; /* style -> gamma, beta */
        float *alpha, *inv_alpha;
    } steps[2 * KOKORO_MAX_DILATIONS]; /* adain1, convs1, alpha1, adain2, convs2, alpha2, and so on */
};

/* A transposed convolution as `rate` ordinary ones: output row m * rate + r reads input rows m + shift[r]. */
struct kokoro_upsample {
    int rate, n_out;
    struct ut_layer phases[64];
    int shift[64];
};

struct kokoro_stage {
    struct kokoro_upsample up;
    struct ut_layer noise_conv;
    int noise_stride, noise_pad;
    struct kokoro_resblock noise_res, resblocks[KOKORO_MAX_KERNELS];
};

struct kokoro_generator {
    float source_w[16], source_b; /* m_source.l_linear over n_harmonics */
    int n_harmonics;
    struct kokoro_stage stages[KOKORO_MAX_UPSAMPLES];
    struct ut_layer conv_post;
    struct ut_layer stft, istft; /* the windowed transforms as matrix products */
    float *window;               /* [n_fft] */
};

struct ut_kokoro {
    struct ut_mem *mem;
    struct ut_compute compute;
    struct ut_log log;
    struct ut_arena weights;
    struct ut_kokoro_config config;
    struct ut_kokoro_info info;
    struct ut_kokoro_voices *voices;
    struct ut_weights *gguf; /* kept open for voices and phonemizer data; NULL for other formats */
    char *path;
    struct kokoro_albert albert;
    struct kokoro_duration_predictor predictor;
    struct kokoro_text_encoder text_encoder;
    struct kokoro_prosody prosody;
    struct kokoro_decoder decoder;
    struct kokoro_generator generator;
};

/* ---- Loading ------------------------------------------------------------------------------------ */

struct kokoro_loader {
    struct ut_kokoro *model;
    struct ut_kokoro_tensors *tensors;
};

/* Any dimension given as KOKORO_ANY is taken from the tensor (up to 65536 channels, 64 taps); the others must
 * match, or ERROR_FORMAT names tensor, found and expected shape. NAME.weight is [n_out, n_in] or
 * [n_out, n_in, n_taps], NAME.bias [n_out]. */
enum { KOKORO_ANY = -1 };
UTTER_CHECKED utter_status ut_kokoro_load_layer(struct kokoro_loader *loader, const char *name, int n_out,
                                                int n_in, int n_taps, bool bias,
                                                struct ut_layer *out, utter_error *err);
/* The same for ut_time_conv_run: in narrow arithmetic where the model computes in that, for input rows with
 * `zero` (kernels/narrow.h). KOKORO_FLOAT: never. KOKORO_HALF: never, but the weights are kept as f16 then: for
 * what decides neither durations nor pitch. */
enum { KOKORO_FLOAT = 0, KOKORO_HALF = -1 };
UTTER_CHECKED utter_status ut_kokoro_load_conv(struct kokoro_loader *loader, const char *name, int n_out,
                                               int n_in, int n_taps, bool bias, int zero,
                                               struct ut_layer *out, utter_error *err);
/* A tensor of n values of any shape as f32. */
UTTER_CHECKED utter_status ut_kokoro_load_values(struct kokoro_loader *loader, const char *name, size_t n,
                                                 float **out, utter_error *err);
/* NAME.weight_ih_l0, NAME.weight_hh_l0_reverse and so on; `half` as KOKORO_HALF. */
UTTER_CHECKED utter_status ut_kokoro_load_lstm(struct kokoro_loader *loader, const char *name, int n_in,
                                               int n_hidden, bool half, struct ut_lstm *out,
                                               utter_error *err);
/* Sizes of a tensor, for what is derived from it. */
UTTER_CHECKED utter_status ut_kokoro_load_shape(struct kokoro_loader *loader, const char *name, int n_dims,
                                                int dims[UT_MAX_DIMS], utter_error *err);

/* The parts; load_text is called first and sets info.n_token, hidden_dim, style_dim and max_ids. */
UTTER_CHECKED utter_status ut_kokoro_load_text(struct kokoro_loader *loader, utter_error *err);
UTTER_CHECKED utter_status ut_kokoro_load_prosody(struct kokoro_loader *loader, utter_error *err);
UTTER_CHECKED utter_status ut_kokoro_load_decoder(struct kokoro_loader *loader, utter_error *err);
UTTER_CHECKED utter_status ut_kokoro_load_generator(struct kokoro_loader *loader, utter_error *err);

/* ---- Forward ------------------------------------------------------------------------------------ */

/* One synthesis: what the forward files share. Buffers come from `arena` and live until the end of the run
 * or the rewind of whoever allocated them. */
struct ut_kokoro_session {
    const struct ut_kokoro *model;
    struct ut_compute compute; /* the model's */
    struct ut_arena arena;
    const struct ut_kokoro_request *request;
    int n_ids, n_frames;
    int32_t *ids;
    const float *style_decoder, *style_predictor; /* [style_dim] each */
    int32_t *durations;    /* [n_ids] frames */
    int32_t *frame_ids;    /* [n_frames]: index of the id that a frame belongs to */
    float *d;              /* [n_ids, hidden + style]: dur_enc_out */
    float *text;           /* [n_ids, hidden]: text_enc_out */
    float *f0, *n;         /* [2 * n_frames] */
};

/* Reports a whole stage to the request's observer. */
void ut_kokoro_observe(const struct ut_kokoro_session *s, const char *stage, const float *data,
                       ptrdiff_t row, int n_rows, int n_ch);
/* ERROR_CANCELLED when the request asks to stop. */
UTTER_CHECKED utter_status ut_kokoro_check_cancel(const struct ut_kokoro_session *s, utter_error *err);
/* ERROR_MODEL, naming `what` (in the plural), for a NaN or an infinity: weights are finite, but huge ones or a
 * huge style overflow on the way, and kernels may turn what is not finite into sound. */
UTTER_CHECKED utter_status ut_kokoro_check_finite(const float *x, size_t n, const char *what,
                                                  utter_error *err);
/* y = W x + b of every row; row pitches are the layer's channel counts. */
void ut_kokoro_linear(const struct ut_kokoro_session *s, const struct ut_layer *layer, const float *x,
                      float *y, int n_rows);

/* Rows of x [n_ids, n_ch] repeated for the duration of their id: [n_frames, n_ch] from the arena, or NULL. */
float *ut_kokoro_align(struct ut_kokoro_session *s, const float *x, int n_ch);

/* Stages of a run, in this order. */
/* ALBERT, duration predictor, text encoder: fills d, durations, frame_ids, n_frames, text. */
UTTER_CHECKED utter_status ut_kokoro_encode(struct ut_kokoro_session *s, utter_error *err);
/* Its parts: y [n_ids, albert.n_hidden]; d, durations and n_frames from that; text. The caller made room
 * for them; all scratch is given back. */
UTTER_CHECKED utter_status ut_kokoro_albert(struct ut_kokoro_session *s, float *y, utter_error *err);
UTTER_CHECKED utter_status ut_kokoro_predict_durations(struct ut_kokoro_session *s, const float *bert,
                                                       utter_error *err);
UTTER_CHECKED utter_status ut_kokoro_encode_text(struct ut_kokoro_session *s, utter_error *err);
/* Shared LSTM, F0 and N. */
UTTER_CHECKED utter_status ut_kokoro_predict_prosody(struct ut_kokoro_session *s, utter_error *err);
/* Where the stages that follow leave what later ones read. */
struct kokoro_room {
    float *x;   /* [2 * n_frames, channels of the decoder's last block] */
    float *har; /* [120 * n_frames + 1, n_fft + 2] */
    /* Of each stage of the generator, in bfloat16 where the model computes in narrow arithmetic. The last one lies
     * over all of the others: when it is first written, its stage's input has been made of them. */
    void *out[KOKORO_MAX_UPSAMPLES];
};
/* Makes room for all that follows, now that its length is known, in place of that for the text. */
UTTER_CHECKED utter_status ut_kokoro_make_room(struct ut_kokoro_session *s, struct kokoro_room *out,
                                               utter_error *err);
/* AdaIN decoder: x of the room. */
UTTER_CHECKED utter_status ut_kokoro_decode(struct ut_kokoro_session *s, float *x, utter_error *err);
/* Harmonic source and its STFT: har of the room. */
UTTER_CHECKED utter_status ut_kokoro_source(struct ut_kokoro_session *s, float *har, utter_error *err);
/* *audio [600 * n_frames] lives until the end of the run; of the room nothing is left. */
UTTER_CHECKED utter_status ut_kokoro_generate(struct ut_kokoro_session *s,
                                              const struct kokoro_room *room, float **audio,
                                              utter_error *err);

/* y = AdainResBlk1d(x): x [n_rows, n_in] with row pitch x_row; y [n_rows or twice as many, n_out] with row
 * pitch y_row. Takes scratch. */
UTTER_CHECKED utter_status ut_kokoro_resblk(struct ut_kokoro_session *s, const struct kokoro_resblk *block,
                                            const float *style, const float *x, ptrdiff_t x_row, int n_rows,
                                            float *y, ptrdiff_t y_row, utter_error *err);
/* may_narrow: the convolutions in narrow arithmetic where the model computes in that. */
UTTER_CHECKED utter_status ut_kokoro_load_resblk(struct kokoro_loader *loader, const char *name, int n_in,
                                                 int n_out, bool may_narrow, struct kokoro_resblk *out,
                                                 utter_error *err);

#endif
