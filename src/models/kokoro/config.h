/* What the shapes of Kokoro's tensors do not tell: config.json, or the metadata of a GGUF file. */
#ifndef UT_KOKORO_CONFIG_H
#define UT_KOKORO_CONFIG_H

#include "weights/weights.h"

enum {
    KOKORO_MAX_UPSAMPLES = 4,
    KOKORO_MAX_KERNELS = 4,   /* resblocks beside each other in a generator stage */
    KOKORO_MAX_DILATIONS = 4, /* convolution pairs in a resblock */
    KOKORO_MAX_TOKENS = 4096
};

struct ut_kokoro_symbol {
    uint32_t code_point;
    int32_t id;
};

struct ut_kokoro_config {
    struct ut_mem *mem;
    int n_heads;     /* of ALBERT */
    int n_repeats;   /* of ALBERT's one layer */
    int n_upsamples, upsample_rates[KOKORO_MAX_UPSAMPLES];
    int n_kernels, kernel_sizes[KOKORO_MAX_KERNELS];
    int n_dilations, dilations[KOKORO_MAX_KERNELS][KOKORO_MAX_DILATIONS];
    int n_fft, hop; /* of the inverse STFT */
    /* Sizes stated, 0 where they are not; the loader compares them with the tensors. */
    int n_token, hidden_dim, style_dim, n_layer, max_dur, max_positions;
    struct ut_kokoro_symbol *symbols; /* sorted by code point */
    size_t n_symbols;
};

/* From config.json's text. ERROR_FORMAT names the key that is missing or out of range. */
UTTER_CHECKED utter_status ut_kokoro_config_parse(struct ut_mem *mem, const char *json, size_t n,
                                                  struct ut_kokoro_config *out, utter_error *err);
/* The symbols alone, for whoever runs the network elsewhere: "vocab" of config.json, or "model.vocab" of the
 * tokenizer.json that is published beside ONNX exports. Everything else in `out` is 0. */
UTTER_CHECKED utter_status ut_kokoro_vocabulary_parse(struct ut_mem *mem, const char *json, size_t n,
                                                      struct ut_kokoro_config *out, utter_error *err);
/* From the metadata of a GGUF file: ours (which carries config.json) or TTS.cpp's. */
UTTER_CHECKED utter_status ut_kokoro_config_from_gguf(struct ut_mem *mem,
                                                      const struct ut_weights *weights,
                                                      struct ut_kokoro_config *out, utter_error *err);
void ut_kokoro_config_free(struct ut_kokoro_config *config);

/* The id of a phoneme; -1 for a symbol that the vocabulary lacks. */
int32_t ut_kokoro_symbol_id(const struct ut_kokoro_config *config, uint32_t code_point);

#endif
