/* Builds complete voices in memory with seeded random weights: Piper exports (ONNX bytes + JSON) in
 * every published quality and in each way that exporters write them, and house voices (safetensors +
 * JSON). Between building and writing, a test changes what it likes: tensors, geometry, attributes.
 *
 *     struct voice voice;
 *     struct byte_buffer model = {0}, json = {0};
 *     struct voice_spec spec = voice_spec_quality("medium");
 *     voice_build(&voice, &spec, 1);
 *     voice_write_onnx(&voice, NULL, &model);
 *     voice_write_json(&voice, &json);
 *     voice_free(&voice);
 *
 * The graph holds only the nodes that say which weight belongs where, with the names, attributes and
 * weight inputs that PyTorch's tracing exporter gives them; it cannot be run. Layers are named as in
 * the training code of OHF-Voice/piper1-gpl. */
#ifndef UT_TESTS_VOICE_BUILDER_H
#define UT_TESTS_VOICE_BUILDER_H

#include <stdbool.h>

#include "support/byte_buffer.h"

enum { VOICE_MAX_STAGES = 4, VOICE_MAX_KERNELS = 3, VOICE_MAX_DILATIONS = 3 };

struct voice_spec {
    const char *quality; /* a label in the JSON */
    bool house;          /* deterministic duration predictor; written as safetensors */
    int sample_rate_hz;
    int n_vocab, n_hidden, n_inter, n_filter, n_heads, n_layers;
    int n_speakers, n_gin;           /* n_gin 0: no speaker conditioning */
    int n_decoder;                   /* channels behind conv_pre; halved by every stage */
    int n_stages, rates[VOICE_MAX_STAGES], up_kernels[VOICE_MAX_STAGES];
    bool resblock1;
    int n_kernels, kernels[VOICE_MAX_KERNELS];
    int n_dilations, dilations[VOICE_MAX_KERNELS][VOICE_MAX_DILATIONS];
    int ffn_kernel, window;
    int n_couplings, n_wn_layers, wn_kernel;
    int n_dp_convs, dp_kernel, n_bins; /* stochastic durations */
    int n_dp_filter;                   /* house durations */
    float frames_per_id; /* about the mean duration at length scale 1 */
    float level;         /* factor of conv_post: about 0.1 gives speech level with random weights */
};

/* "x_low", "low", "medium", "medium_multi", "high": the sizes of the published voices. Any other name
 * ends the program. */
struct voice_spec voice_spec_quality(const char *quality);
/* The smallest voices with every kind of layer, a few tens of kilobytes: single-speaker ResBlock2. */
struct voice_spec voice_spec_tiny(void);
/* The same with 3 speakers and ResBlock1. */
struct voice_spec voice_spec_tiny_multi(void);
/* A house voice; tiny, or of the size of the shipped one. */
struct voice_spec voice_spec_house(bool tiny);

int voice_spec_hop(const struct voice_spec *spec); /* samples per frame */

struct voice_tensor {
    char name[80]; /* module name: "flow.flows.6.enc.in_layers.0.weight" */
    int n_dims;
    int64_t dims[4];
    size_t n;      /* elements behind data; the product of dims unless a test changed one */
    float *data;
    bool dropped;           /* not written */
    const char *written_as; /* NULL: as the exporter would name it */
};

struct voice {
    struct voice_spec spec; /* writing reads attributes and JSON from here: change it to contradict */
    struct voice_tensor *tensors;
    size_t n_tensors, capacity;
};

/* The same seed gives the same value for a tensor of the same name and shape in every voice. */
void voice_build(struct voice *voice, const struct voice_spec *spec, uint64_t seed);
void voice_free(struct voice *voice);
uint64_t voice_n_parameters(const struct voice *voice);

/* Ends the program when there is no such tensor. */
struct voice_tensor *voice_find(struct voice *voice, const char *name);
/* A new shape, with the data cut or continued by zeros. n_dims 1..4. */
void voice_reshape(struct voice_tensor *tensor, int n_dims, const int64_t *dims);

enum voice_logs { /* how an exporter wrote dp.flows.0.logs */
    VOICE_LOGS_NEGATED,  /* -logs, an initializer that feeds Exp */
    VOICE_LOGS_FACTOR,   /* exp(-logs), an initializer that feeds Mul */
    VOICE_LOGS_CONSTANT  /* exp(-logs), a Constant node that feeds Mul */
};

struct voice_export { /* zeroed: as PyTorch 1.13 writes */
    enum voice_logs logs;
    bool no_node_names;   /* older exporters: nodes without names, values with numbers for names */
    bool plain_embedding; /* enc_p.emb.weight also in a single-speaker voice */
    bool float_data;      /* elements in float_data instead of raw_data */
    bool half;            /* elements as f16 */
    int first_number;     /* of anonymous initializers; 0: 8159 */
    /* One attribute of one convolution written wrong: every value of it becomes `value`, or it is
     * left out. */
    const char *wrong_module, *wrong_attribute; /* "dec.ups.0", "strides" */
    int64_t wrong_value;
    bool attribute_missing;
};

void voice_write_onnx(const struct voice *voice, const struct voice_export *options,
                      struct byte_buffer *out);
/* f16 when `half`, else f32; tensors sorted by name. */
void voice_write_safetensors(const struct voice *voice, bool half, struct byte_buffer *out);
/* The JSON beside the model, with a map of n_vocab symbols at most 60. */
void voice_write_json(const struct voice *voice, struct byte_buffer *out);

/* Replaces the first occurrence of `from`; ends the program when there is none. */
void voice_replace_text(struct byte_buffer *buffer, const char *from, const char *to);

uint16_t voice_to_half(float value); /* round to nearest even */

#endif
