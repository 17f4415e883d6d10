/* Builds complete Kokoro models in memory with seeded random weights: tensors under the names of
 * models/kokoro/layout.h (the plain layout) and the config.json that belongs to them. Between
 * building and writing, a test changes what it likes.
 *
 *     struct tensor_file model = {0};
 *     struct byte_buffer file = {0}, config = {0};
 *     struct kokoro_spec spec = kokoro_spec_minimal();
 *     kokoro_build(&spec, 1, &model);
 *     tensor_file_write_safetensors(&model, &file);
 *     kokoro_write_config(&spec, &config);
 *
 * Weights are scaled so that every layer keeps the size of its input: durations of 1 to a few
 * frames, a voiced pitch, samples well within -1..1. */
#ifndef UT_TESTS_KOKORO_BUILDER_H
#define UT_TESTS_KOKORO_BUILDER_H

#include "support/tensor_file.h"

enum { KOKORO_SPEC_MAX = 4 }; /* stages, kernels, dilations */

struct kokoro_spec {
    int n_token, n_embed, n_albert, n_heads, n_ffn, n_repeats, n_positions;
    int n_hidden, n_style, max_dur, n_duration_layers, n_cnn, cnn_kernel;
    int n_curve; /* width of the last two blocks of each prosody curve */
    int n_decoder, n_asr_res;
    int n_initial; /* behind the decoder; halved by every stage */
    int n_harmonics;
    int n_stages, rates[KOKORO_SPEC_MAX], up_kernels[KOKORO_SPEC_MAX];
    int n_kernels, kernels[KOKORO_SPEC_MAX];
    int n_dilations, dilations[KOKORO_SPEC_MAX]; /* of every kernel */
    int noise_kernel, post_kernel;
    int n_fft, hop;
    float frames_per_id; /* mean duration at speed 1; below max_dur */
};

/* The smallest model with every kind of layer: a handful of channels, one residual block a stage.
 */
struct kokoro_spec kokoro_spec_minimal(void);
/* The same with the published numbers of layers, stages, kernels and dilations. */
struct kokoro_spec kokoro_spec_small(void);

/* The same seed gives the same values for a tensor of the same name and shape in every model. */
void kokoro_build(const struct kokoro_spec *spec, uint64_t seed, struct tensor_file *out);
void kokoro_write_config(const struct kokoro_spec *spec, struct byte_buffer *out);

#endif
