/* Tensors and random weights of Kokoro models; see kokoro_builder.h. Names and shapes are those
 * that models/kokoro/layout.h describes; docs/models/kokoro.md says what each is for. */
#include "support/kokoro_builder.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/random_values.h"

struct kokoro_spec kokoro_spec_minimal(void) {
    return (struct kokoro_spec){.n_token = 16,
                                .n_embed = 4,
                                .n_albert = 8,
                                .n_heads = 2,
                                .n_ffn = 8,
                                .n_repeats = 2,
                                .n_positions = 24,
                                .n_hidden = 8,
                                .n_style = 4,
                                .max_dur = 6,
                                .n_duration_layers = 1,
                                .n_cnn = 1,
                                .cnn_kernel = 5,
                                .n_curve = 4,
                                .n_decoder = 6,
                                .n_asr_res = 2,
                                .n_initial = 8,
                                .n_harmonics = 2,
                                .n_stages = 2,
                                .rates = {10, 6},
                                .up_kernels = {20, 12},
                                .n_kernels = 1,
                                .kernels = {3},
                                .n_dilations = 1,
                                .dilations = {1},
                                .noise_kernel = 3,
                                .post_kernel = 7,
                                .n_fft = 20,
                                .hop = 5,
                                .frames_per_id = 2};
}

struct kokoro_spec kokoro_spec_small(void) {
    static const int kernels[] = {3, 7, 11}, dilations[] = {1, 3, 5};
    struct kokoro_spec spec = kokoro_spec_minimal();
    spec.n_duration_layers = spec.n_cnn = spec.n_kernels = spec.n_dilations = 3;
    spec.n_harmonics = 9;
    memcpy(spec.kernels, kernels, sizeof kernels);
    memcpy(spec.dilations, dilations, sizeof dilations);
    return spec;
}

/* ---- Values ---------------------------------------------------------------------------------- */

struct builder {
    const struct kokoro_spec *spec;
    uint64_t seed;
    struct tensor_file *out;
};

struct shape {
    uint64_t dims[UT_MAX_DIMS]; /* 0 behind the last */
};

static struct shape shape_of(int a, int b, int c) {
    return (struct shape){{(uint64_t)a, (uint64_t)b, (uint64_t)c}};
}

/* The name is printf's. */
__attribute__((format(printf, 5, 6))) static void add(const struct builder *b, struct shape shape,
                                                      float mean, float deviation,
                                                      const char *format, ...) {
    char name[96];
    size_t n = 1;
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    for (int i = 0; i < UT_MAX_DIMS && shape.dims[i]; i++) {
        n *= (size_t)shape.dims[i];
    }
    float *values = test_alloc(n * sizeof *values);
    random_normal(name, b->seed, mean, deviation, values, n);
    tensor_file_add(b->out, name, shape.dims, values);
    free(values);
}

/* NAME.weight [n_out, n_in] or, with taps, [n_out, n_in, n_taps]; NAME.bias. `gain` 1 keeps the
 * size of the input. */
static void add_weight(const struct builder *b, const char *name, int n_out, int n_in, int n_taps,
                       float gain) {
    float fan_in = (float)(n_in * (n_taps ? n_taps : 1));
    add(b, shape_of(n_out, n_in, n_taps), 0, gain / sqrtf(fan_in), "%s.weight", name);
}

static void add_layer(const struct builder *b, const char *name, int n_out, int n_in, int n_taps,
                      float gain, float bias) {
    add_weight(b, name, n_out, n_in, n_taps, gain);
    add(b, shape_of(n_out, 0, 0), bias, 0.05f, "%s.bias", name);
}

static void add_norm(const struct builder *b, const char *module, const char *gamma,
                     const char *beta, int n) {
    add(b, shape_of(n, 0, 0), 1, 0.15f, "%s.%s", module, gamma);
    add(b, shape_of(n, 0, 0), 0, 0.1f, "%s.%s", module, beta);
}

static void add_lstm(const struct builder *b, const char *name, int n_in, int n_out) {
    int n = n_out / 2;
    float deviation = 1 / sqrtf((float)n_in), recurrent = 1 / sqrtf((float)n_out);
    for (int d = 0; d < 2; d++) {
        const char *suffix = d ? "_reverse" : "";
        add(b, shape_of(4 * n, n_in, 0), 0, deviation, "%s.weight_ih_l0%s", name, suffix);
        add(b, shape_of(4 * n, n, 0), 0, recurrent, "%s.weight_hh_l0%s", name, suffix);
        add(b, shape_of(4 * n, 0, 0), 0, 0.1f, "%s.bias_ih_l0%s", name, suffix);
        add(b, shape_of(4 * n, 0, 0), 0, 0.1f, "%s.bias_hh_l0%s", name, suffix);
    }
}

/* ---- Text side ------------------------------------------------------------------------------- */

static void add_albert(const struct builder *b) {
    static const char *const square[] = {"query", "key", "value", "dense"};
    const struct kokoro_spec *s = b->spec;
    add(b, shape_of(s->n_token, s->n_embed, 0), 0, 1, "bert.embeddings.word_embeddings.weight");
    add(b, shape_of(s->n_positions, s->n_embed, 0), 0, 0.3f,
        "bert.embeddings.position_embeddings.weight");
    add(b, shape_of(2, s->n_embed, 0), 0, 0.3f, "bert.embeddings.token_type_embeddings.weight");
    add_norm(b, "bert.embeddings.LayerNorm", "weight", "bias", s->n_embed);
    add_layer(b, "bert.encoder.embedding_hidden_mapping_in", s->n_albert, s->n_embed, 0, 1, 0);
    for (int i = 0; i < 4; i++) {
        char name[64];
        snprintf(name, sizeof name, "bert.layer.attention.%s", square[i]);
        add_layer(b, name, s->n_albert, s->n_albert, 0, 1, 0);
    }
    add_norm(b, "bert.layer.attention.LayerNorm", "weight", "bias", s->n_albert);
    add_layer(b, "bert.layer.ffn", s->n_ffn, s->n_albert, 0, 1, 0);
    add_layer(b, "bert.layer.ffn_output", s->n_albert, s->n_ffn, 0, 1, 0);
    add_norm(b, "bert.layer.full_layer_layer_norm", "weight", "bias", s->n_albert);
    add_layer(b, "bert_encoder", s->n_hidden, s->n_albert, 0, 1, 0);
}

static void add_predictor(const struct builder *b) {
    const struct kokoro_spec *s = b->spec;
    char name[64];
    int n_in = s->n_hidden + s->n_style;
    /* max_dur sigmoids of about the same logit make up a duration. */
    float share = s->frames_per_id / (float)s->max_dur;
    for (int i = 0; i < s->n_duration_layers; i++) {
        snprintf(name, sizeof name, "predictor.text_encoder.lstms.%d", 2 * i);
        add_lstm(b, name, n_in, s->n_hidden);
        snprintf(name, sizeof name, "predictor.text_encoder.lstms.%d.fc", 2 * i + 1);
        add_layer(b, name, 2 * s->n_hidden, s->n_style, 0, 0.3f, 0);
    }
    add_lstm(b, "predictor.lstm", n_in, s->n_hidden);
    add_layer(b, "predictor.duration_proj.linear_layer", s->max_dur, s->n_hidden, 0, 1,
              logf(share / (1 - share)));
}

static void add_text_encoder(const struct builder *b) {
    const struct kokoro_spec *s = b->spec;
    char name[64];
    add(b, shape_of(s->n_token, s->n_hidden, 0), 0, 1, "text_encoder.embedding.weight");
    for (int i = 0; i < s->n_cnn; i++) {
        snprintf(name, sizeof name, "text_encoder.cnn.%d.0", i);
        add_layer(b, name, s->n_hidden, s->n_hidden, s->cnn_kernel, 1, 0);
        snprintf(name, sizeof name, "text_encoder.cnn.%d.1", i);
        add_norm(b, name, "gamma", "beta", s->n_hidden);
    }
    add_lstm(b, "text_encoder.lstm", s->n_hidden, s->n_hidden);
}

/* ---- Prosody, decoder ------------------------------------------------------------------------ */

static void add_resblk(const struct builder *b, const char *name, int n_in, int n_out,
                       bool upsample) {
    char part[96];
    for (int i = 1; i <= 2; i++) {
        int n = i == 1 ? n_in : n_out;
        snprintf(part, sizeof part, "%s.norm%d.fc", name, i);
        add_layer(b, part, 2 * n, b->spec->n_style, 0, 0.3f, 0);
        snprintf(part, sizeof part, "%s.conv%d", name, i);
        add_layer(b, part, n_out, n, 3, 1, 0);
    }
    if (n_in != n_out) {
        snprintf(part, sizeof part, "%s.conv1x1", name);
        add_weight(b, part, n_out, n_in, 1, 1);
    }
    if (upsample) {
        snprintf(part, sizeof part, "%s.pool", name);
        add_layer(b, part, n_in, 1, 3, 1, 0);
    }
}

/* A pitch of about 150 Hz, so that the source is voiced. */
static void add_prosody(const struct builder *b) {
    static const char *const curves[] = {"F0", "N"};
    const struct kokoro_spec *s = b->spec;
    char name[64];
    add_lstm(b, "predictor.shared", s->n_hidden + s->n_style, s->n_hidden);
    for (int c = 0; c < 2; c++) {
        for (int i = 0; i < 3; i++) {
            snprintf(name, sizeof name, "predictor.%s.%d", curves[c], i);
            add_resblk(b, name, i < 2 ? s->n_hidden : s->n_curve, i ? s->n_curve : s->n_hidden,
                       i == 1);
        }
        snprintf(name, sizeof name, "predictor.%s_proj", curves[c]);
        add_layer(b, name, 1, s->n_curve, 1, c == 0 ? 2 : 1, c == 0 ? 150 : 0);
    }
}

static void add_decoder(const struct builder *b) {
    const struct kokoro_spec *s = b->spec;
    char name[64];
    add_layer(b, "decoder.F0_conv", 1, 1, 3, 0.01f, 0);
    add_layer(b, "decoder.N_conv", 1, 1, 3, 1, 0);
    add_layer(b, "decoder.asr_res.0", s->n_asr_res, s->n_hidden, 1, 1, 0);
    add_resblk(b, "decoder.encode", s->n_hidden + 2, s->n_decoder, false);
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "decoder.decode.%d", i);
        add_resblk(b, name, s->n_decoder + s->n_asr_res + 2, i == 3 ? s->n_initial : s->n_decoder,
                   i == 3);
    }
}

/* ---- Generator ------------------------------------------------------------------------------- */

static void add_resblock(const struct builder *b, const char *name, int n_ch, int kernel) {
    char part[96];
    for (int half = 1; half <= 2; half++) {
        for (int i = 0; i < b->spec->n_dilations; i++) {
            snprintf(part, sizeof part, "%s.convs%d.%d", name, half, i);
            add_layer(b, part, n_ch, n_ch, kernel, 0.5f, 0);
            snprintf(part, sizeof part, "%s.adain%d.%d.fc", name, half, i);
            add_layer(b, part, 2 * n_ch, b->spec->n_style, 0, 0.3f, 0);
            add(b, shape_of(1, n_ch, 1), 1, 0.1f, "%s.alpha%d.%d", name, half, i);
        }
    }
}

static void add_stage(const struct builder *b, int index) {
    const struct kokoro_spec *s = b->spec;
    char name[64];
    int n = s->n_initial >> (index + 1), stride = 1;
    for (int i = index + 1; i < s->n_stages; i++) {
        stride *= s->rates[i];
    }
    /* [n_in, n_out, taps], of which taps / rate reach a row. */
    float reached = (float)(2 * n) * (float)s->up_kernels[index] / (float)s->rates[index];
    add(b, shape_of(s->n_initial >> index, n, s->up_kernels[index]), 0, 1 / sqrtf(reached),
        "decoder.generator.ups.%d.weight", index);
    add(b, shape_of(n, 0, 0), 0, 0.05f, "decoder.generator.ups.%d.bias", index);
    snprintf(name, sizeof name, "decoder.generator.noise_convs.%d", index);
    add_layer(b, name, n, s->n_fft + 2, index == s->n_stages - 1 ? 1 : 2 * stride, 1, 0);
    snprintf(name, sizeof name, "decoder.generator.noise_res.%d", index);
    add_resblock(b, name, n, s->noise_kernel);
    for (int j = 0; j < s->n_kernels; j++) {
        snprintf(name, sizeof name, "decoder.generator.resblocks.%d", index * s->n_kernels + j);
        add_resblock(b, name, n, s->kernels[j]);
    }
}

static void add_generator(const struct builder *b) {
    const struct kokoro_spec *s = b->spec;
    add_layer(b, "decoder.generator.m_source.l_linear", 1, s->n_harmonics, 0, 1, 0);
    for (int i = 0; i < s->n_stages; i++) {
        add_stage(b, i);
    }
    /* Logarithms of magnitudes, and phases: a small mean keeps samples away from full scale. */
    add_layer(b, "decoder.generator.conv_post", s->n_fft + 2, s->n_initial >> s->n_stages,
              s->post_kernel, 0.3f, -1);
}

void kokoro_build(const struct kokoro_spec *spec, uint64_t seed, struct tensor_file *out) {
    const struct builder b = {spec, seed, out};
    add_albert(&b);
    add_predictor(&b);
    add_text_encoder(&b);
    add_prosody(&b);
    add_decoder(&b);
    add_generator(&b);
}

/* ---- Configuration --------------------------------------------------------------------------- */

static void write_list(struct byte_buffer *out, const char *key, const int *values, int n) {
    byte_buffer_printf(out, "%s[", key);
    for (int i = 0; i < n; i++) {
        byte_buffer_printf(out, "%s%d", i ? "," : "", values[i]);
    }
    byte_buffer_printf(out, "]");
}

static void write_generator(const struct kokoro_spec *s, struct byte_buffer *out) {
    byte_buffer_printf(out, "\"istftnet\":{\"gen_istft_n_fft\":%d,\"gen_istft_hop_size\":%d",
                       s->n_fft, s->hop);
    write_list(out, ",\"upsample_rates\":", s->rates, s->n_stages);
    write_list(out, ",\"upsample_kernel_sizes\":", s->up_kernels, s->n_stages);
    write_list(out, ",\"resblock_kernel_sizes\":", s->kernels, s->n_kernels);
    byte_buffer_printf(out, ",\"resblock_dilation_sizes\":[");
    for (int i = 0; i < s->n_kernels; i++) {
        write_list(out, i ? "," : "", s->dilations, s->n_dilations);
    }
    byte_buffer_printf(out, "]}");
}

void kokoro_write_config(const struct kokoro_spec *s, struct byte_buffer *out) {
    byte_buffer_printf(out,
                       "{\"n_token\":%d,\"hidden_dim\":%d,\"style_dim\":%d,\"n_layer\":%d,"
                       "\"max_dur\":%d,",
                       s->n_token, s->n_hidden, s->n_style, s->n_cnn, s->max_dur);
    byte_buffer_printf(out,
                       "\"plbert\":{\"num_attention_heads\":%d,\"num_hidden_layers\":%d,"
                       "\"max_position_embeddings\":%d},",
                       s->n_heads, s->n_repeats, s->n_positions);
    write_generator(s, out);
    byte_buffer_printf(out, ",\"vocab\":{\"a\":0}}");
}
