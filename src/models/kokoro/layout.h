/* Kokoro's tensors under one set of names and shapes, whatever file they come from: the .pth, a safetensors
 * file or GGUF of the same tensors, or a GGUF file of TTS.cpp.
 *
 * Names are PART.KEY of the .pth without "module.", weight norm folded into NAME.weight, and
 * "encoder.albert_layer_groups.0.albert_layers.0." written "layer.", for example
 *   bert.embeddings.word_embeddings.weight        bert.layer.attention.query.weight
 *   predictor.text_encoder.lstms.1.fc.weight      predictor.lstm.weight_ih_l0_reverse
 *   predictor.F0.0.norm1.fc.weight                decoder.generator.resblocks.0.convs1.0.weight
 *   decoder.generator.resblocks.0.alpha1.0        text_encoder.cnn.0.1.gamma
 * Shapes are those of the .pth after folding, but for bert.embeddings.token_type_embeddings.weight: [2, n],
 * or its row 0 alone, [1, n], from TTS.cpp (only row 0 is used). ALBERT's pooler and position_ids, which
 * synthesis does not use, are left out. Values are f32 where they had to be computed (folded,
 * assembled from split gates, dequantized), else as in the file (f32, f16, bf16; i8, with its scales in the
 * tensor NAME.scale beside it). */
#ifndef UT_KOKORO_LAYOUT_H
#define UT_KOKORO_LAYOUT_H

#include "weights/weights.h"

enum ut_kokoro_layout {
    UT_KOKORO_TORCH,  /* .pth or safetensors with its names: weight_g, weight_v, "module." */
    UT_KOKORO_PLAIN,  /* the names above: a GGUF or safetensors file that utter wrote */
    UT_KOKORO_TTSCPP
};

/* Keys and names of a GGUF file that utter writes: general.architecture, the text of config.json word
 * for word, the names of the voices, each a tensor "voices.NAME" [510, 2 * style_dim]. */
#define UT_KOKORO_GGUF_ARCHITECTURE "kokoro"
#define UT_KOKORO_GGUF_CONFIG "kokoro.config"
#define UT_KOKORO_GGUF_VOICES "kokoro.voices"
#define UT_KOKORO_GGUF_VOICE_PREFIX "voices."

struct ut_kokoro_tensors;

/* Does this table hold Kokoro? Cheap; false for every other family. */
bool ut_kokoro_detect(const struct ut_weights *weights);

/* Borrows the table. ERROR_FORMAT when tensors of the family are missing or stand twice. */
UTTER_CHECKED utter_status ut_kokoro_tensors_create(struct ut_mem *mem, const struct ut_weights *weights,
                                                    struct ut_kokoro_tensors **out, utter_error *err);
void ut_kokoro_tensors_destroy(struct ut_kokoro_tensors *tensors); /* NULL is fine */
enum ut_kokoro_layout ut_kokoro_tensors_layout(const struct ut_kokoro_tensors *tensors);

/* The tensor of a name, made when asked for; it stays until it is dropped. ERROR_FORMAT names the
 * tensor that is missing or whose parts do not fit each other. Not thread safe. */
UTTER_CHECKED utter_status ut_kokoro_tensor_get(struct ut_kokoro_tensors *tensors, const char *name,
                                                const struct ut_tensor **out, utter_error *err);
bool ut_kokoro_tensor_exists(const struct ut_kokoro_tensors *tensors, const char *name);
/* The scales of a tensor in 8 bits that `get` gave out; NULL: the file has none, or it is of another type.
 * Shape and values are unchecked. */
const struct ut_tensor *ut_kokoro_tensor_scale(const struct ut_kokoro_tensors *tensors,
                                               const struct ut_tensor *tensor);
/* Frees what `get` computed and gives the file's pages back. The pointer is dead then. */
void ut_kokoro_tensor_drop(struct ut_kokoro_tensors *tensors, const struct ut_tensor *tensor);

/* All names in a fixed order, for writing a file. */
size_t ut_kokoro_tensors_count(const struct ut_kokoro_tensors *tensors);
const char *ut_kokoro_tensors_name(const struct ut_kokoro_tensors *tensors, size_t index);

#endif
