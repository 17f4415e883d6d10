/* Geometry, tensors and random weights of voices; see voice_builder.h. Sizes of the published
 * qualities are those of tests/data/piper/shapes_by_quality.json, which the tests hold against
 * this. */
#include "support/voice_builder.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/random_values.h"

/* ---- Specifications ----------------------------------------------------------------------- */

static void set_low_decoder(struct voice_spec *spec) {
    static const int rates[] = {8, 8, 4}, up_kernels[] = {16, 16, 8}, kernels[] = {3, 5, 7};
    static const int dilations[3][3] = {{1, 2}, {2, 6}, {3, 12}};
    spec->n_decoder = 256;
    spec->n_stages = spec->n_kernels = 3;
    spec->n_dilations = 2;
    memcpy(spec->rates, rates, sizeof rates);
    memcpy(spec->up_kernels, up_kernels, sizeof up_kernels);
    memcpy(spec->kernels, kernels, sizeof kernels);
    memcpy(spec->dilations, dilations, sizeof dilations);
}

static void set_high_decoder(struct voice_spec *spec) {
    static const int rates[] = {8, 8, 2, 2}, up_kernels[] = {16, 16, 4, 4}, kernels[] = {3, 7, 11};
    static const int dilations[3][3] = {{1, 3, 5}, {1, 3, 5}, {1, 3, 5}};
    spec->n_decoder = 512;
    spec->resblock1 = true;
    spec->n_stages = 4;
    spec->n_kernels = spec->n_dilations = 3;
    memcpy(spec->rates, rates, sizeof rates);
    memcpy(spec->up_kernels, up_kernels, sizeof up_kernels);
    memcpy(spec->kernels, kernels, sizeof kernels);
    memcpy(spec->dilations, dilations, sizeof dilations);
}

static struct voice_spec medium_spec(void) {
    struct voice_spec spec = {
        .quality = "medium",
        .sample_rate_hz = 22050,
        .n_vocab = 256,
        .n_hidden = 192,
        .n_inter = 192,
        .n_filter = 768,
        .n_heads = 2,
        .n_layers = 6,
        .n_speakers = 1,
        .ffn_kernel = 3,
        .window = 4,
        .n_couplings = 4,
        .n_wn_layers = 4,
        .wn_kernel = 5,
        .n_dp_convs = 3,
        .dp_kernel = 3,
        .n_bins = 10,
        .n_dp_filter = 256,
        .frames_per_id = 2.9f,
        .level = 0.1f,
    };
    set_low_decoder(&spec);
    return spec;
}

struct voice_spec voice_spec_quality(const char *quality) {
    struct voice_spec spec = medium_spec();
    spec.quality = quality;
    if (strcmp(quality, "x_low") == 0) {
        spec.n_hidden = spec.n_inter = 96;
        spec.n_filter = 384;
        spec.sample_rate_hz = 16000;
    } else if (strcmp(quality, "low") == 0) {
        spec.sample_rate_hz = 16000;
    } else if (strcmp(quality, "medium_multi") == 0) {
        spec.n_speakers = 4;
        spec.n_gin = 512;
    } else if (strcmp(quality, "high") == 0) {
        set_high_decoder(&spec);
    } else if (strcmp(quality, "medium") != 0) {
        fprintf(stderr, "test support: no quality %s\n", quality);
        exit(99);
    }
    return spec;
}

struct voice_spec voice_spec_tiny(void) {
    struct voice_spec spec = medium_spec();
    spec.quality = "tiny";
    spec.n_vocab = 12;
    spec.n_hidden = spec.n_inter = spec.n_filter = 4;
    spec.n_layers = 1;
    spec.n_wn_layers = 2;
    spec.n_decoder = 4;
    spec.n_stages = spec.n_kernels = spec.n_dilations = 1;
    spec.rates[0] = 4;
    spec.up_kernels[0] = 8;
    return spec;
}

struct voice_spec voice_spec_tiny_multi(void) {
    struct voice_spec spec = voice_spec_tiny();
    spec.n_speakers = 3;
    spec.n_gin = 4;
    spec.resblock1 = true;
    return spec;
}

struct voice_spec voice_spec_house(bool tiny) {
    struct voice_spec spec = tiny ? voice_spec_tiny() : medium_spec();
    spec.house = true;
    if (tiny) {
        spec.n_dp_filter = 4;
    } else {
        spec.n_hidden = spec.n_inter = 128;
        spec.n_filter = 512;
    }
    return spec;
}

int voice_spec_hop(const struct voice_spec *spec) {
    int hop = 1;
    for (int i = 0; i < spec->n_stages; i++) {
        hop *= spec->rates[i];
    }
    return hop;
}

/* ---- The table of tensors ----------------------------------------------------------------- */

#define DIMS(...)                                                                                  \
    ((const int64_t[4]){__VA_ARGS__}), sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)

__attribute__((format(printf, 4, 5))) static void add(struct voice *voice, const int64_t dims[4],
                                                      size_t n_dims, const char *format, ...) {
    if (voice->n_tensors == voice->capacity) {
        struct voice_tensor *old = voice->tensors;
        voice->capacity = 2 * voice->capacity + 64;
        voice->tensors = test_alloc(voice->capacity * sizeof *old);
        if (old) {
            memcpy(voice->tensors, old, voice->n_tensors * sizeof *old);
        }
        free(old);
    }
    struct voice_tensor *tensor = &voice->tensors[voice->n_tensors++];
    *tensor = (struct voice_tensor){.n_dims = (int)n_dims, .n = 1};
    va_list args;
    va_start(args, format);
    vsnprintf(tensor->name, sizeof tensor->name, format, args);
    va_end(args);
    for (size_t i = 0; i < n_dims; i++) {
        tensor->dims[i] = dims[i];
        tensor->n *= (size_t)dims[i];
    }
}

static void add_conv(struct voice *voice, const char *module, int n_out, int n_in, int kernel) {
    add(voice, DIMS(n_out, n_in, kernel), "%s.weight", module);
    add(voice, DIMS(n_out), "%s.bias", module);
}

static void add_norm(struct voice *voice, const char *list, int i, int n) {
    add(voice, DIMS(n), "%s.%d.gamma", list, i);
    add(voice, DIMS(n), "%s.%d.beta", list, i);
}

__attribute__((format(printf, 3, 4))) static const char *name_of(char *buffer, size_t n,
                                                                 const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(buffer, n, format, args);
    va_end(args);
    return buffer;
}

#define NAME(...) name_of((char[80]){0}, 80, __VA_ARGS__)

static void add_encoder(struct voice *voice) {
    const struct voice_spec *s = &voice->spec;
    int n = s->n_hidden;
    add(voice, DIMS(s->n_vocab, n), "enc_p.emb.weight");
    for (int i = 0; i < s->n_layers; i++) {
        const char *layer = NAME("enc_p.encoder.attn_layers.%d", i);
        add(voice, DIMS(1, 2 * s->window + 1, n / s->n_heads), "%s.emb_rel_k", layer);
        add(voice, DIMS(1, 2 * s->window + 1, n / s->n_heads), "%s.emb_rel_v", layer);
        for (const char *which = "qkvo"; *which; which++) {
            add_conv(voice, NAME("%s.conv_%c", layer, *which), n, n, 1);
        }
    }
    for (int i = 0; i < s->n_layers; i++) {
        add_norm(voice, "enc_p.encoder.norm_layers_1", i, n);
    }
    for (int i = 0; i < s->n_layers; i++) {
        add_conv(voice, NAME("enc_p.encoder.ffn_layers.%d.conv_1", i), s->n_filter, n,
                 s->ffn_kernel);
        add_conv(voice, NAME("enc_p.encoder.ffn_layers.%d.conv_2", i), n, s->n_filter,
                 s->ffn_kernel);
    }
    for (int i = 0; i < s->n_layers; i++) {
        add_norm(voice, "enc_p.encoder.norm_layers_2", i, n);
    }
    add_conv(voice, "enc_p.proj", 2 * s->n_inter, n, 1);
}

/* Weight norm leaves the bias first in the decoder. */
static void add_decoder_conv(struct voice *voice, const char *module, int n, int kernel) {
    add(voice, DIMS(n), "%s.bias", module);
    add(voice, DIMS(n, n, kernel), "%s.weight", module);
}

static void add_resblock(struct voice *voice, int index, int n, int kernel) {
    const struct voice_spec *s = &voice->spec;
    for (int list = 0; list < (s->resblock1 ? 2 : 1); list++) {
        const char *name = s->resblock1 ? list == 0 ? "convs1" : "convs2" : "convs";
        for (int d = 0; d < s->n_dilations; d++) {
            add_decoder_conv(voice, NAME("dec.resblocks.%d.%s.%d", index, name, d), n, kernel);
        }
    }
}

static void add_decoder(struct voice *voice) {
    const struct voice_spec *s = &voice->spec;
    add_conv(voice, "dec.conv_pre", s->n_decoder, s->n_inter, 7);
    for (int i = 0; i < s->n_stages; i++) {
        int n = s->n_decoder >> (i + 1);
        add(voice, DIMS(n), "dec.ups.%d.bias", i);
        add(voice, DIMS(2 * n, n, s->up_kernels[i]), "dec.ups.%d.weight", i);
    }
    for (int i = 0; i < s->n_stages * s->n_kernels; i++) {
        add_resblock(voice, i, s->n_decoder >> (i / s->n_kernels + 1),
                     s->kernels[i % s->n_kernels]);
    }
    add(voice, DIMS(1, s->n_decoder >> s->n_stages, 7), "dec.conv_post.weight");
    if (s->n_gin > 0) {
        add_conv(voice, "dec.cond", s->n_decoder, s->n_gin, 1);
    }
}

static int res_skip_rows(const struct voice_spec *s, int layer) {
    return layer + 1 < s->n_wn_layers ? 2 * s->n_hidden : s->n_hidden;
}

static void add_coupling(struct voice *voice, int index) {
    const struct voice_spec *s = &voice->spec;
    const char *flow = NAME("flow.flows.%d", index);
    add_conv(voice, NAME("%s.pre", flow), s->n_hidden, s->n_inter / 2, 1);
    for (int i = 0; i < s->n_wn_layers; i++) {
        add(voice, DIMS(2 * s->n_hidden), "%s.enc.in_layers.%d.bias", flow, i);
    }
    for (int i = 0; i < s->n_wn_layers; i++) {
        add(voice, DIMS(res_skip_rows(s, i)), "%s.enc.res_skip_layers.%d.bias", flow, i);
    }
    if (s->n_gin > 0) {
        add(voice, DIMS(2 * s->n_hidden * s->n_wn_layers), "%s.enc.cond_layer.bias", flow);
    }
    add_conv(voice, NAME("%s.post", flow), s->n_inter / 2, s->n_hidden, 1);
}

/* The weights whose norm the exporter folded: they come behind all others, last flow first. */
static void add_folded_weights(struct voice *voice, int index) {
    const struct voice_spec *s = &voice->spec;
    const char *enc = NAME("flow.flows.%d.enc", index);
    if (s->n_gin > 0) {
        add(voice, DIMS(2 * s->n_hidden * s->n_wn_layers, s->n_gin, 1), "%s.cond_layer.weight",
            enc);
    }
    for (int i = 0; i < s->n_wn_layers; i++) {
        add(voice, DIMS(2 * s->n_hidden, s->n_hidden, s->wn_kernel), "%s.in_layers.%d.weight", enc,
            i);
        add(voice, DIMS(res_skip_rows(s, i), s->n_hidden, 1), "%s.res_skip_layers.%d.weight", enc,
            i);
    }
}

/* Depthwise-separable stack of the stochastic duration predictor. */
static void add_dds(struct voice *voice, const char *module) {
    const struct voice_spec *s = &voice->spec;
    for (int i = 0; i < s->n_dp_convs; i++) {
        add_conv(voice, NAME("%s.convs_sep.%d", module, i), s->n_hidden, 1, s->dp_kernel);
    }
    for (int i = 0; i < s->n_dp_convs; i++) {
        add_conv(voice, NAME("%s.convs_1x1.%d", module, i), s->n_hidden, s->n_hidden, 1);
    }
    for (int i = 0; i < s->n_dp_convs; i++) {
        add_norm(voice, NAME("%s.norms_1", module), i, s->n_hidden);
    }
    for (int i = 0; i < s->n_dp_convs; i++) {
        add_norm(voice, NAME("%s.norms_2", module), i, s->n_hidden);
    }
}

static void add_stochastic_durations(struct voice *voice) {
    const struct voice_spec *s = &voice->spec;
    add(voice, DIMS(2, 1), "dp.flows.0.m");
    for (int i = 3; i <= 7; i += 2) {
        add_conv(voice, NAME("dp.flows.%d.pre", i), s->n_hidden, 1, 1);
        add_dds(voice, NAME("dp.flows.%d.convs", i));
        add_conv(voice, NAME("dp.flows.%d.proj", i), 3 * s->n_bins - 1, s->n_hidden, 1);
    }
    add_conv(voice, "dp.pre", s->n_hidden, s->n_hidden, 1);
    add_conv(voice, "dp.proj", s->n_hidden, s->n_hidden, 1);
    add_dds(voice, "dp.convs");
}

static void add_plain_durations(struct voice *voice) {
    const struct voice_spec *s = &voice->spec;
    for (int i = 1; i <= 2; i++) {
        add_conv(voice, NAME("dp.conv_%d", i), s->n_dp_filter,
                 i == 1 ? s->n_hidden : s->n_dp_filter, s->dp_kernel);
        add(voice, DIMS(s->n_dp_filter), "dp.norm_%d.gamma", i);
        add(voice, DIMS(s->n_dp_filter), "dp.norm_%d.beta", i);
    }
    add_conv(voice, "dp.proj", 1, s->n_dp_filter, 1);
}

static void add_all(struct voice *voice) {
    const struct voice_spec *s = &voice->spec;
    add_encoder(voice);
    add_decoder(voice);
    for (int i = 0; i < s->n_couplings; i++) {
        add_coupling(voice, 2 * i);
    }
    if (s->house) {
        add_plain_durations(voice);
    } else {
        add_stochastic_durations(voice);
    }
    if (s->n_gin > 0) {
        add_conv(voice, "dp.cond", s->n_hidden, s->n_gin, 1);
        add(voice, DIMS(s->n_speakers, s->n_gin), "emb_g.weight");
    }
    if (!s->house) {
        add(voice, DIMS(2, 1), "dp.flows.0.logs");
    }
    for (int i = s->n_couplings - 1; i >= 0; i--) {
        add_folded_weights(voice, 2 * i);
    }
}

/* ---- Random weights ----------------------------------------------------------------------- */

static bool starts_with(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool ends_with(const char *text, const char *suffix) {
    size_t n = strlen(text), m = strlen(suffix);
    return n >= m && strcmp(text + n - m, suffix) == 0;
}

/* Keeps activations of every layer near their size at the input. */
static float weight_scale(const struct voice_spec *spec, const struct voice_tensor *tensor) {
    const char *name = tensor->name;
    double fan_in = (double)(tensor->n / (size_t)tensor->dims[0]);
    if (starts_with(name,
                    "dec.ups")) { /* [in, out, kernel], stride kernel / 2: two taps a sample */
        fan_in = 2.0 * (double)tensor->dims[0];
    }
    float scale = (float)(1.0 / sqrt(fan_in));
    if (strcmp(name, "emb_g.weight") == 0) {
        return 1.0f;
    }
    if (strcmp(name, "dec.conv_post.weight") == 0) {
        return 1.2f * scale * spec->level;
    }
    if (starts_with(name, "dec.")) {
        return 1.2f * scale;
    }
    if (starts_with(name, "dp.flows") && ends_with(name, ".proj.weight")) {
        return 2.5f * scale; /* knots of the spline well apart */
    }
    if (strcmp(name, "enc_p.proj.weight") == 0 || strcmp(name, "dp.proj.weight") == 0) {
        return 0.5f * scale;
    }
    return scale;
}

static void fill(const struct voice_spec *spec, struct voice_tensor *tensor, uint64_t seed) {
    float mean = 0.0f, scale = 0.1f;
    if (ends_with(tensor->name, ".gamma")) {
        mean = 1.0f;
        scale = 0.15f;
    } else if (ends_with(tensor->name, ".bias")) {
        scale = 0.05f;
    } else if (strstr(tensor->name, ".emb_rel_")) {
        scale = 1.0f / sqrtf((float)tensor->dims[2]);
    } else if (ends_with(tensor->name, ".weight")) {
        scale = weight_scale(spec, tensor);
    }
    random_normal(tensor->name, seed, mean, scale, tensor->data, tensor->n);
}

/* logw = (x - m) * exp(-logs): a spread that leaves most durations within a factor of two, and the
 * mean that was asked for. */
static void set_durations(struct voice *voice) {
    float log_frames = logf(voice->spec.frames_per_id);
    if (voice->spec.house) {
        voice_find(voice, "dp.proj.bias")->data[0] = log_frames;
        return;
    }
    struct voice_tensor *m = voice_find(voice, "dp.flows.0.m");
    struct voice_tensor *logs = voice_find(voice, "dp.flows.0.logs");
    logs->data[0] = 1.2f;
    m->data[0] = -log_frames * expf(logs->data[0]);
}

void voice_build(struct voice *voice, const struct voice_spec *spec, uint64_t seed) {
    *voice = (struct voice){.spec = *spec};
    add_all(voice);
    for (size_t i = 0; i < voice->n_tensors; i++) {
        struct voice_tensor *tensor = &voice->tensors[i];
        tensor->data = test_alloc(tensor->n * sizeof(float));
        fill(spec, tensor, seed);
    }
    set_durations(voice);
}

void voice_free(struct voice *voice) {
    for (size_t i = 0; i < voice->n_tensors; i++) {
        free(voice->tensors[i].data);
    }
    free(voice->tensors);
    *voice = (struct voice){0};
}

uint64_t voice_n_parameters(const struct voice *voice) {
    uint64_t n = 0;
    for (size_t i = 0; i < voice->n_tensors; i++) {
        n += voice->tensors[i].n;
    }
    return n;
}

struct voice_tensor *voice_find(struct voice *voice, const char *name) {
    for (size_t i = 0; i < voice->n_tensors; i++) {
        if (strcmp(voice->tensors[i].name, name) == 0) {
            return &voice->tensors[i];
        }
    }
    fprintf(stderr, "test support: this voice has no tensor %s\n", name);
    exit(99);
}

void voice_reshape(struct voice_tensor *tensor, int n_dims, const int64_t *dims) {
    size_t n = 1;
    for (int i = 0; i < n_dims; i++) {
        n *= (size_t)dims[i];
    }
    float *data = test_alloc(n * sizeof *data);
    size_t n_kept = n < tensor->n ? n : tensor->n;
    memcpy(data, tensor->data, n_kept * sizeof *data);
    memset(data + n_kept, 0, (n - n_kept) * sizeof *data);
    free(tensor->data);
    tensor->data = data;
    tensor->n = n;
    tensor->n_dims = n_dims;
    for (int i = 0; i < 4; i++) {
        tensor->dims[i] = i < n_dims ? dims[i] : 0;
    }
}
