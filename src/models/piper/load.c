/* Binding a voice's tensors to the model: every shape is checked against the sizes that the first
 * tensors fix, then weights are packed for the processor level. Reads like the checkpoint. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "models/piper/piper_model.h"
#include "models/piper/tensor_map.h"

/* Limits against files that ask for absurd amounts of memory, far above any voice. The longest name
 * is "flow.flows.N.enc.res_skip_layers.N" and a leaf. */
enum {
    MAX_CHANNELS = 8192,
    MAX_TAPS = 64,
    MAX_VOCAB = 65536,
    NAME_SIZE = 96,
    LEAF_SIZE = NAME_SIZE + 16
};

/* Errors stick: after the first every bind does nothing, so that the binding code needs no checks.
 */
struct loader {
    struct ut_piper *model;
    const struct ut_weights *weights;
    struct ut_piper_map map;
    utter_error *err;
    utter_status status;
};

__attribute__((format(printf, 2, 3))) static void fail(struct loader *l, const char *format, ...) {
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (l->status == UTTER_OK) {
        l->status = ut_fail(l->err, UTTER_ERROR_FORMAT, "%s", text);
    }
}

/* Either of its tensors tells of a module, so that binding names the other when it is missing. */
static bool has(const struct loader *l, const char *module) {
    char weight[LEAF_SIZE], bias[LEAF_SIZE];
    snprintf(weight, sizeof weight, "%s.weight", module);
    snprintf(bias, sizeof bias, "%s.bias", module);
    return ut_piper_map_find(&l->map, weight) || ut_piper_map_find(&l->map, bias);
}

/* The tensor `name` with n_dims dimensions; a wanted size of 0 allows 1 to MAX_VOCAB. NULL after an
 * error. The tensor counts as used from here on, also when its shape is wrong: that is an error of
 * its own. */
static const struct ut_tensor *bind(struct loader *l, const char *name, int n_dims,
                                    const uint64_t *want) {
    if (l->status) {
        return NULL;
    }
    const struct ut_tensor *tensor = ut_piper_map_use(&l->map, name);
    if (!tensor) {
        fail(l, "the voice has no tensor %s: it is not a Piper voice, or damaged", name);
        return NULL;
    }
    bool match = tensor->n_dims == n_dims;
    for (int i = 0; match && i < n_dims; i++) {
        match = want[i] ? tensor->dims[i] == want[i]
                        : tensor->dims[i] >= 1 && tensor->dims[i] <= MAX_VOCAB;
    }
    if (!match) {
        char expected[64] = "", found[96] = "";
        for (int i = 0; i < n_dims; i++) {
            snprintf(expected + strlen(expected), sizeof expected - strlen(expected), " %.0f",
                     (double)want[i]);
        }
        for (int i = 0; i < tensor->n_dims; i++) {
            snprintf(found + strlen(found), sizeof found - strlen(found), " %.0f",
                     (double)tensor->dims[i]);
        }
        fail(l, "tensor %s has shape [%s ], expected [%s ] (0: any)", name, found, expected);
        return NULL;
    }
    return tensor;
}

/* [n], the bias of a module or what `leaf` names; n 0: any length. */
static const struct ut_tensor *bind_vector(struct loader *l, const char *module, const char *leaf,
                                           int n) {
    char name[LEAF_SIZE];
    snprintf(name, sizeof name, "%s.%s", module, leaf);
    return bind(l, name, 1, (uint64_t[]){(uint64_t)n});
}

/* The weight of a convolution, [n_out, n_in, n_taps], 0: any. */
static const struct ut_tensor *bind_weight(struct loader *l, const char *module, int n_out,
                                           int n_in, int n_taps) {
    char name[LEAF_SIZE];
    snprintf(name, sizeof name, "%s.weight", module);
    const struct ut_tensor *weight =
        bind(l, name, 3, (uint64_t[]){(uint64_t)n_out, (uint64_t)n_in, (uint64_t)n_taps});
    if (weight && (weight->dims[0] > MAX_CHANNELS || weight->dims[1] > MAX_CHANNELS ||
                   weight->dims[2] > MAX_TAPS)) {
        fail(l, "tensor %s is too large for a Piper voice", name);
        return NULL;
    }
    return weight;
}

/* With the scales of a tensor stored in 8 bits. A file that utter imported has them as NAME.scale;
 * where they are missing the packer says so. */
static struct ut_layer_source scaled(struct loader *l, const struct ut_layer_source *source) {
    struct ut_layer_source with = *source;
    char name[LEAF_SIZE];
    if (with.weight->type == UT_I8) {
        snprintf(name, sizeof name, "%s.scale", with.weight->name);
        with.scale = ut_piper_map_use(&l->map, name);
    }
    return with;
}

/* In the type that the tensor has, computed in float. */
static void pack(struct loader *l, const struct ut_layer_source *source, struct ut_layer *out) {
    if (l->status == UTTER_OK) {
        struct ut_layer_source with = scaled(l, source);
        l->status = ut_layer_pack(&l->model->compute, &l->model->weights, &with, out, l->err);
    }
}

/* In the arithmetic that the engine asks for, unless `zero` is 0. What decides lengths is in float
 * always, so that every arithmetic gives the same. */
static void pack_conv(struct loader *l, const struct ut_layer_source *source, int zero,
                      struct piper_conv *out) {
    *out = (struct piper_conv){.dilation = 1};
    if (!zero) {
        pack(l, source, &out->layer);
    } else if (l->status == UTTER_OK) {
        struct ut_layer_source with = scaled(l, source);
        l->status = ut_narrow_pack_layer(&l->model->compute, &l->model->weights, &with, zero,
                                         &out->layer, l->err);
    }
}

/* Tells the system that a packed tensor's pages of the file are not needed any more; without it the
 * voice would be in memory twice while it is loaded. */
static void release(struct loader *l, const struct ut_tensor *tensor) {
    if (tensor) {
        ut_weights_release(l->weights, tensor);
    }
}

/* What the file says of a convolution that keeps the length, held against its place in the model:
 * odd kernel as in the weight, stride 1, "same" padding (`pad_node`: or a Pad node in front that
 * does it), `group` groups. NULL after an error. */
static const struct ut_piper_geometry *bind_geometry(struct loader *l, const char *module, int taps,
                                                     int group, bool pad_node) {
    const struct ut_piper_geometry *g = ut_piper_map_geometry(&l->map, module);
    bool must_be_stated = l->model->info.format == UT_FORMAT_ONNX ||
                          strncmp(module, "dec.resblocks.", strlen("dec.resblocks.")) == 0;
    int same = g->dilation * (taps - 1) / 2;
    bool pads = g->pad < 0 || g->pad == same || (pad_node && g->pad == 0 && g->dilation == 1);
    if (must_be_stated && !g->module[0]) {
        fail(l, "convolution %s: its node, or its entry in model.res_dil, is missing", module);
    } else if (taps % 2 == 0 || same > 1024 || g->stride != 1 || !pads ||
               (g->kernel >= 0 && g->kernel != taps) || (g->group >= 0 && g->group != group)) {
        fail(l,
             "convolution %s (%d taps; kernel %d, dilation %d, stride %d, pad %d, %d groups) does "
             "not fit its place in a Piper voice",
             module, taps, g->kernel, g->dilation, g->stride, g->pad, g->group);
    }
    return l->status ? NULL : g;
}

/* A 1x1 convolution. */
static void load_linear(struct loader *l, struct ut_layer *out, int n_out, int n_in,
                        const char *module) {
    const struct ut_tensor *weight = bind_weight(l, module, n_out, n_in, 1);
    const struct ut_tensor *bias = bind_vector(l, module, "bias", n_out);
    if (bias && bind_geometry(l, module, 1, 1, false)) {
        struct ut_layer_source source = ut_layer_source_conv(weight, bias);
        pack(l, &source, out);
        release(l, weight);
    }
}

/* What a convolution has to be, by its place. */
struct wanted {
    int n_out, n_in;
    int n_taps;    /* 0: any odd number */
    int zero;      /* of its input rows in narrow arithmetic; 0: the layer stays in float */
    bool minimal;  /* may compute by minimal filtering */
    bool pad_node; /* a Pad node may stand in front */
};

/* A 1x1 convolution whose outputs are two things of n_out channels each. */
static void load_linear_split(struct loader *l, struct piper_conv *first, struct piper_conv *second,
                              const struct wanted *want, const char *module) {
    const struct ut_tensor *weight = bind_weight(l, module, 2 * want->n_out, want->n_in, 1);
    const struct ut_tensor *bias = bind_vector(l, module, "bias", 2 * want->n_out);
    if (bias && bind_geometry(l, module, 1, 1, false)) {
        struct ut_layer_source source = ut_layer_source_conv(weight, bias);
        source.n_out = want->n_out;
        pack_conv(l, &source, want->zero, first);
        source.offset = (ptrdiff_t)want->n_out * source.out_step;
        source.bias_offset = (size_t)want->n_out;
        pack_conv(l, &source, want->zero, second);
        release(l, weight);
    }
}

/* A convolution with "same" padding; odd kernels only, as everywhere in Piper. */
static void load_conv(struct loader *l, struct piper_conv *out, const struct wanted *want,
                      const char *module) {
    const struct ut_tensor *weight = bind_weight(l, module, want->n_out, want->n_in, want->n_taps);
    const struct ut_tensor *bias = bind_vector(l, module, "bias", want->n_out);
    int taps = bias ? (int)weight->dims[2] : 0;
    const struct ut_piper_geometry *geometry =
        bias ? bind_geometry(l, module, taps, 1, want->pad_node) : NULL;
    if (geometry) {
        struct ut_layer_source source = ut_layer_source_conv(weight, bias);
        source.minimal = want->minimal;
        pack_conv(l, &source, want->zero, out);
        out->dilation = geometry->dilation;
        out->pad = geometry->dilation * (taps - 1) / 2;
        release(l, weight);
    }
}

/* `count` zeroed items in the model's arena of weights, which frees them with the model. NULL after
 * an error. */
static void *new_part(struct loader *l, size_t count, size_t size) {
    if (l->status) {
        return NULL;
    }
    void *part = ut_arena_alloc(&l->model->weights, count, size);
    if (part) {
        memset(part, 0, count * size);
    } else {
        l->status = ut_fail_memory(l->err, count * size);
    }
    return part;
}

/* A small tensor as floats, in the arena of weights; NULL after an error, also an earlier one: then
 * `tensor` is NULL. */
static float *load_values(struct loader *l, const struct ut_tensor *tensor) {
    float *values = NULL;
    if (tensor && l->status == UTTER_OK) {
        l->status = ut_tensor_load(&l->model->weights, tensor, &values, l->err);
    }
    return values;
}

/* eps is that of every LayerNorm of the reference. */
static void load_norm(struct loader *l, struct ut_norm *out, int n, const char *module) {
    *out = (struct ut_norm){load_values(l, bind_vector(l, module, "gamma", n)),
                            load_values(l, bind_vector(l, module, "beta", n)), 1e-5f};
}

/* Formats a module name; the buffer must be used before the next call with it. */
__attribute__((format(printf, 2, 3))) static const char *name_of(char buffer[NAME_SIZE],
                                                                 const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(buffer, NAME_SIZE, format, args);
    va_end(args);
    return buffer;
}

/* rel_k maps d -> 2w+1, rel_v maps 2w+1 -> d; both come from a table [1, 2w+1, d]. */
static void load_relative(struct loader *l, struct piper_encoder_layer *layer, int index) {
    char name[NAME_SIZE];
    uint64_t d = (uint64_t)(l->model->info.n_hidden / l->model->info.n_heads);
    uint64_t n = 2 * (uint64_t)l->model->window + 1;
    const char *format = "enc_p.encoder.attn_layers.%d.emb_rel_%c";
    const struct ut_tensor *k =
        bind(l, name_of(name, format, index, 'k'), 3, (uint64_t[]){1, n, d});
    const struct ut_tensor *v =
        bind(l, name_of(name, format, index, 'v'), 3, (uint64_t[]){1, n, d});
    if (v) {
        struct ut_layer_source key = {.weight = k,
                                      .out_step = (ptrdiff_t)d,
                                      .in_step = 1,
                                      .n_out = (int)n,
                                      .n_taps = 1,
                                      .n_in = (int)d};
        struct ut_layer_source value = {.weight = v,
                                        .out_step = 1,
                                        .in_step = (ptrdiff_t)d,
                                        .n_out = (int)d,
                                        .n_taps = 1,
                                        .n_in = (int)n};
        pack(l, &key, &layer->rel_k);
        pack(l, &value, &layer->rel_v);
    }
}

/* The feed-forward's width is only in its first convolution, [filter, hidden, taps]. */
static void load_encoder_layer(struct loader *l, int i) {
    struct piper_encoder_layer *layer = &l->model->layers[i];
    int hidden = l->model->info.n_hidden;
    char name[NAME_SIZE];
    struct ut_layer *attention[] = {&layer->conv_q, &layer->conv_k, &layer->conv_v, &layer->conv_o};
    for (int j = 0; j < 4; j++) {
        load_linear(l, attention[j], hidden, hidden,
                    name_of(name, "enc_p.encoder.attn_layers.%d.conv_%c", i, "qkvo"[j]));
    }
    load_relative(l, layer, i);
    load_norm(l, &layer->norm_1, hidden, name_of(name, "enc_p.encoder.norm_layers_1.%d", i));
    name_of(name, "enc_p.encoder.ffn_layers.%d.conv_1", i);
    const struct ut_tensor *ffn = bind_weight(l, name, 0, hidden, 0);
    int filter = ffn ? (int)ffn->dims[0] : 0;
    load_conv(l, &layer->ffn_1, &(struct wanted){.n_out = filter, .n_in = hidden, .pad_node = true},
              name);
    name_of(name, "enc_p.encoder.ffn_layers.%d.conv_2", i);
    load_conv(l, &layer->ffn_2, &(struct wanted){.n_out = hidden, .n_in = filter, .pad_node = true},
              name);
    load_norm(l, &layer->norm_2, hidden, name_of(name, "enc_p.encoder.norm_layers_2.%d", i));
}

/* Three tensors fix the sizes: the embedding [n_vocab, hidden], a table of relative positions [1,
 * window + 1 + window, hidden / heads] and the projection [2 * inter, hidden, 1]. inter must be
 * even, for the couplings halve it. */
static void load_encoder(struct loader *l) {
    struct ut_piper *model = l->model;
    const struct ut_tensor *emb = bind(l, "enc_p.emb.weight", 2, (uint64_t[]){0, 0});
    const struct ut_tensor *rel =
        bind(l, "enc_p.encoder.attn_layers.0.emb_rel_k", 3, (uint64_t[]){1, 0, 0});
    const struct ut_tensor *proj = bind_weight(l, "enc_p.proj", 0, 0, 1);
    if (!proj) {
        return;
    }
    model->info.n_vocab = (int32_t)emb->dims[0];
    model->info.n_hidden = (int32_t)emb->dims[1];
    model->info.weight_type = proj->type;
    model->info.n_inter = (int32_t)(proj->dims[0] / 2);
    model->window = (int)(rel->dims[1] / 2);
    int d = (int)rel->dims[2], hidden = model->info.n_hidden, inter = model->info.n_inter;
    if (hidden > MAX_CHANNELS || hidden % d || proj->dims[0] % 4 || rel->dims[1] % 2 == 0 ||
        model->window > 64) {
        fail(l, "sizes do not fit: hidden %d, head width %d, %d prior channels, window %d", hidden,
             d, inter, model->window);
        return;
    }
    model->info.n_heads = hidden / d;
    model->emb = load_values(l, emb);
    for (size_t i = 0; model->emb && i < (size_t)model->info.n_vocab * (size_t)hidden; i++) {
        model->emb[i] *= sqrtf((float)hidden);
    }
    char name[NAME_SIZE];
    while (has(l, name_of(name, "enc_p.encoder.attn_layers.%d.conv_q", model->info.n_layers))) {
        if (model->info.n_layers == PIPER_MAX_LAYERS) {
            fail(l, "the text encoder has more than %d layers", PIPER_MAX_LAYERS);
            return;
        }
        load_encoder_layer(l, model->info.n_layers++);
    }
    load_linear_split(l, &model->proj_m, &model->proj_logs,
                      &(struct wanted){.n_out = inter, .n_in = hidden}, "enc_p.proj");
}

/* "emb_g.weight" [n_speakers, gin]; the count must be what the configuration says, because speakers
 * are asked for by its numbers. */
static void load_speakers(struct loader *l) {
    struct ut_piper *model = l->model;
    int n = model->config.n_speakers;
    if (l->map.multi_speaker != (n > 1)) {
        fail(
            l,
            "the configuration says %d speakers, the model has %s: the .json belongs to another voice",
            n, l->map.multi_speaker ? "several" : "one");
        return;
    }
    model->info.n_speakers = n;
    if (n == 1) {
        return;
    }
    const struct ut_tensor *emb_g = bind(l, "emb_g.weight", 2, (uint64_t[]){(uint64_t)n, 0});
    if (emb_g && emb_g->dims[1] > MAX_CHANNELS) {
        fail(l, "tensor emb_g.weight is too large for a Piper voice");
    }
    model->emb_g = load_values(l, emb_g);
    model->n_speaker_channels = emb_g ? (int)emb_g->dims[1] : 0;
}

/* The speaker's projection of a module; a voice with one speaker has none. */
static void load_cond(struct loader *l, struct ut_layer *out, int n_out, const char *module) {
    if (l->model->n_speaker_channels) {
        load_linear(l, out, n_out, l->model->n_speaker_channels, module);
    }
}

/* The depthwise weight [C, 1, taps] is turned into [taps, C], which the kernel reads by rows. All
 * layers of a stack must have as many taps as the first: n_taps is 0, any, for that one alone. */
static void load_dds_layer(struct loader *l, struct piper_dds *out, int i, int n_ch,
                           const char *prefix) {
    char name[NAME_SIZE];
    name_of(name, "%s.convs_sep.%d", prefix, i);
    const struct ut_tensor *sep = bind_weight(l, name, n_ch, 1, out->n_taps);
    float *w = load_values(l, sep), *b = load_values(l, bind_vector(l, name, "bias", n_ch));
    if (!b) {
        return;
    }
    out->n_taps = (int)sep->dims[2];
    const struct ut_piper_geometry *geometry = bind_geometry(l, name, out->n_taps, n_ch, false);
    out->layers[i].sep_b = b;
    out->layers[i].sep_w = new_part(l, (size_t)(out->n_taps * n_ch), sizeof(float));
    if (!out->layers[i].sep_w) {
        return;
    }
    out->layers[i].dilation = geometry->dilation;
    for (int c = 0; c < n_ch; c++) {
        for (int k = 0; k < out->n_taps; k++) {
            out->layers[i].sep_w[k * n_ch + c] = w[c * out->n_taps + k];
        }
    }
    load_linear(l, &out->layers[i].conv_1x1, n_ch, n_ch,
                name_of(name, "%s.convs_1x1.%d", prefix, i));
    load_norm(l, &out->layers[i].norm_1, n_ch, name_of(name, "%s.norms_1.%d", prefix, i));
    load_norm(l, &out->layers[i].norm_2, n_ch, name_of(name, "%s.norms_2.%d", prefix, i));
}

/* As many layers as there are, at most what the struct holds; more are left over and found by
 * check_all_used. */
static void load_dds(struct loader *l, struct piper_dds *out, int n_ch, const char *prefix) {
    char name[NAME_SIZE];
    while (out->n_layers < (int)UT_COUNT(out->layers) &&
           has(l, name_of(name, "%s.convs_sep.%d", prefix, out->n_layers))) {
        load_dds_layer(l, out, out->n_layers, n_ch, prefix);
        out->n_layers++;
    }
    if (out->n_layers == 0) {
        fail(l, "the voice has no tensor %s.convs_sep.0.weight", prefix);
    }
}

/* Exporters store the scale exp(-logs) in three forms: enum ut_piper_affine. */
static void load_affine(struct loader *l, struct piper_sdp *sdp) {
    float *m = load_values(l, bind(l, "dp.flows.0.m", 2, (uint64_t[]){2, 1}));
    float *logs = load_values(l, bind(l, "dp.flows.0.logs", 2, (uint64_t[]){2, 1}));
    for (int i = 0; logs && m && i < 2; i++) {
        sdp->affine_m[i] = m[i];
        sdp->affine_scale[i] = l->map.affine == UT_PIPER_AFFINE_SCALE          ? logs[i]
                               : l->map.affine == UT_PIPER_AFFINE_NEGATED_LOGS ? expf(logs[i])
                                                                               : expf(-logs[i]);
    }
}

/* Flows 3, 5, 7, ... (flow 1 is never run in the inverse direction, even ones are flips). */
static void load_sdp(struct loader *l, struct piper_sdp *sdp) {
    int hidden = l->model->info.n_hidden;
    char name[NAME_SIZE], prefix[NAME_SIZE];
    load_linear(l, &sdp->pre, hidden, hidden, "dp.pre");
    load_linear(l, &sdp->proj, hidden, hidden, "dp.proj");
    load_cond(l, &sdp->cond, hidden, "dp.cond");
    load_dds(l, &sdp->convs, hidden, "dp.convs");
    load_affine(l, sdp);
    while (sdp->n_flows < PIPER_MAX_FLOWS &&
           has(l, name_of(name, "dp.flows.%d.pre", 3 + 2 * sdp->n_flows))) {
        int index = 3 + 2 * sdp->n_flows;
        struct piper_spline_flow *flow = &sdp->flows[sdp->n_flows++];
        load_linear(l, &flow->pre, hidden, 1, name);
        name_of(prefix, "dp.flows.%d.convs", index);
        load_dds(l, &flow->convs, hidden, prefix);
        load_linear(l, &flow->proj, 3 * PIPER_SPLINE_BINS - 1, hidden,
                    name_of(name, "dp.flows.%d.proj", index));
    }
    if (sdp->n_flows == 0) {
        fail(l, "the voice has no tensor dp.flows.3.pre.weight");
    }
}

/* Every size but the hidden one follows from conv_1's bias. */
static void load_ddp(struct loader *l, struct piper_ddp *ddp) {
    int hidden = l->model->info.n_hidden;
    const struct ut_tensor *bias = bind(l, "dp.conv_1.bias", 1, (uint64_t[]){0});
    int filter = bias ? (int)bias->dims[0] : 0;
    load_cond(l, &ddp->cond, hidden, "dp.cond");
    load_conv(l, &ddp->conv_1, &(struct wanted){.n_out = filter, .n_in = hidden}, "dp.conv_1");
    load_norm(l, &ddp->norm_1, filter, "dp.norm_1");
    load_conv(l, &ddp->conv_2, &(struct wanted){.n_out = filter, .n_in = filter}, "dp.conv_2");
    load_norm(l, &ddp->norm_2, filter, "dp.norm_2");
    load_linear(l, &ddp->proj, 1, filter, "dp.proj");
}

/* Only the stochastic predictor has a module dp.pre. */
static void load_durations(struct loader *l) {
    l->model->info.stochastic_durations = has(l, "dp.pre");
    if (l->model->info.stochastic_durations) {
        l->model->sdp = new_part(l, 1, sizeof *l->model->sdp);
        if (l->model->sdp) {
            load_sdp(l, l->model->sdp);
        }
    } else {
        l->model->ddp = new_part(l, 1, sizeof *l->model->ddp);
        if (l->model->ddp) {
            load_ddp(l, l->model->ddp);
        }
    }
}

/* Of the rows that layers between the durations and the first upsampling meet. In voices with
 * ResBlock1, "high", these layers are 2 % of the arithmetic and stay in float: chains of six
 * convolutions leave the audio less room for what they would add to its error (log-spectral
 * distance 1.1 dB, without them 0.9). */
static int zero_of_frames(const struct loader *l) {
    return l->model->info.resblock1 ? 0 : UT_NARROW_ZERO_EVEN;
}

/* Negated, so that the coupling's x1 - m is the addition that a convolution's epilogue has. */
static void load_post(struct loader *l, struct piper_conv *out, int half, int hidden,
                      const char *module) {
    const struct ut_tensor *weight = bind_weight(l, module, half, hidden, 1);
    const struct ut_tensor *bias = bind_vector(l, module, "bias", half);
    if (bias && bind_geometry(l, module, 1, 1, false)) {
        struct ut_layer_source source = ut_layer_source_conv(weight, bias);
        source.negate = true;
        pack_conv(l, &source, zero_of_frames(l), out);
        release(l, weight);
    }
}

/* The WN of one coupling: a layer's res_skip convolution makes the next layer's addend and the skip
 * output, and the last layer's the skip output alone. Both halves are packed apart, as different
 * buffers take them. */
static void load_coupling(struct loader *l, struct piper_coupling *out, int index) {
    int hidden = l->model->info.n_hidden, half = l->model->info.n_inter / 2;
    int zero = zero_of_frames(l);
    struct wanted pre = {.n_out = hidden, .n_in = half, .n_taps = 1, .zero = zero};
    struct wanted in = {.n_out = 2 * hidden, .n_in = hidden, .zero = zero, .minimal = true};
    struct wanted res_skip = {.n_out = hidden, .n_in = hidden, .n_taps = 1, .zero = zero};
    char name[NAME_SIZE];
    load_conv(l, &out->pre, &pre, name_of(name, "flow.flows.%d.pre", index));
    load_post(l, &out->post, half, hidden, name_of(name, "flow.flows.%d.post", index));
    while (has(l, name_of(name, "flow.flows.%d.enc.in_layers.%d", index, out->n_layers))) {
        if (out->n_layers == PIPER_MAX_WN) {
            fail(l, "flow.flows.%d has more than %d layers", index, PIPER_MAX_WN);
            return;
        }
        load_conv(l, &out->layers[out->n_layers++].in, &in, name);
    }
    for (int i = 0; i < out->n_layers; i++) {
        name_of(name, "flow.flows.%d.enc.res_skip_layers.%d", index, i);
        if (i == out->n_layers - 1) {
            load_conv(l, &out->layers[i].skip, &res_skip, name);
        } else {
            load_linear_split(l, &out->layers[i].res, &out->layers[i].skip, &res_skip, name);
        }
    }
    if (out->n_layers == 0) {
        fail(l, "the voice has no tensor flow.flows.%d.enc.in_layers.0.weight", index);
    }
    load_cond(l, &out->cond, 2 * hidden * out->n_layers,
              name_of(name, "flow.flows.%d.enc.cond_layer", index));
}

/* Couplings are the even modules; the odd ones are flips, which have no weights. */
static void load_flow(struct loader *l) {
    struct ut_piper *model = l->model;
    char name[NAME_SIZE];
    model->couplings = new_part(l, PIPER_MAX_FLOWS, sizeof *model->couplings);
    while (model->couplings && has(l, name_of(name, "flow.flows.%d.pre", 2 * model->n_couplings))) {
        if (model->n_couplings == PIPER_MAX_FLOWS) {
            fail(l, "the flow has more than %d steps", PIPER_MAX_FLOWS);
            return;
        }
        load_coupling(l, &model->couplings[model->n_couplings], 2 * model->n_couplings);
        model->n_couplings++;
    }
    if (model->n_couplings == 0) {
        fail(l, "the voice has no tensor flow.flows.0.pre.weight");
    }
}

/* A transposed convolution [n_in, n_out, kernel] with stride `rate` as `rate` phases. Output row
 * m * rate + r takes tap k0 + j * rate (j = 0, 1, ...) from input row m + base - j, where
 * r + pad = base * rate + k0; the phase's taps run over ascending rows, that is descending j. */
static void load_phases(struct loader *l, struct piper_upsample *up, const struct ut_tensor *weight,
                        const struct ut_tensor *bias, int pad) {
    int n_in = (int)weight->dims[0], kernel = (int)weight->dims[2];
    struct ut_layer_source whole = {.weight = weight, .bias = bias};
    struct ut_tensor steps;
    if (l->status == UTTER_OK) {
        l->status = ut_narrow_share_steps(&l->model->compute, &l->model->weights, true, &whole,
                                          &steps, l->err);
    }
    up->n_out = (int)weight->dims[1];
    for (int r = 0; r < up->rate; r++) {
        int k0 = (r + pad) % up->rate, base = (r + pad) / up->rate;
        int n_taps = (kernel - k0 + up->rate - 1) / up->rate;
        struct ut_layer_source source = whole;
        source.offset = k0 + (ptrdiff_t)(n_taps - 1) * up->rate;
        source.out_step = kernel;
        source.tap_step = -up->rate;
        source.in_step = (ptrdiff_t)up->n_out * kernel;
        source.n_out = up->n_out;
        source.n_taps = n_taps;
        source.n_in = n_in;
        pack_conv(l, &source, UT_NARROW_ZERO_LEAKY, &up->phase[r]);
        up->phase[r].pad = n_taps - 1 - base;
        up->left = UT_MAX(up->left, up->phase[r].pad);
        up->right = UT_MAX(up->right, base);
    }
}

/* The reference's padding is (kernel - rate) / 2 on both sides: the output is then exactly rate
 * times as long as the input, which is all that the decoder can do. */
static void load_upsample(struct loader *l, struct piper_upsample *up, int n_in, int n_out,
                          int index) {
    char name[NAME_SIZE];
    name_of(name, "dec.ups.%d", index);
    const struct ut_tensor *weight = bind_weight(l, name, n_in, n_out, 0);
    const struct ut_tensor *bias = bind_vector(l, name, "bias", n_out);
    if (!bias) {
        return;
    }
    const struct ut_piper_geometry *geometry = ut_piper_map_geometry(&l->map, name);
    int kernel = (int)weight->dims[2], excess = kernel - geometry->stride, pad = excess / 2;
    up->rate = geometry->stride;
    bool stated = geometry->module[0] && (geometry->pad < 0 || geometry->pad == pad) &&
                  (geometry->kernel < 0 || geometry->kernel == kernel) &&
                  (geometry->group < 0 || geometry->group == 1) && geometry->dilation == 1;
    if (!stated || up->rate > PIPER_MAX_RATE || excess < 0 || excess % 2) {
        fail(l,
             "transposed convolution %s (%d taps; kernel %d, stride %d, pad %d, dilation %d, %d "
             "groups) does not multiply the length",
             name, kernel, geometry->kernel, geometry->stride, geometry->pad, geometry->dilation,
             geometry->group);
        return;
    }
    load_phases(l, up, weight, bias, pad);
    release(l, weight);
}

/* ResBlock1: pairs of a dilated (convs1) and a plain convolution (convs2), whose sum with the
 * running value is the next one. ResBlock2: every convolution does that. */
static void load_resblock(struct loader *l, struct piper_resblock *block, int n_ch, int index) {
    bool pairs = l->model->info.resblock1;
    struct wanted want = {
        .n_out = n_ch, .n_in = n_ch, .zero = UT_NARROW_ZERO_LEAKY, .minimal = true};
    char name[NAME_SIZE];
    for (int i = 0;
         has(l, name_of(name, "dec.resblocks.%d.convs%s.%d", index, pairs ? "1" : "", i)); i++) {
        if (block->n_convs + 2 > PIPER_MAX_CHAIN) {
            fail(l, "dec.resblocks.%d has too many convolutions", index);
            return;
        }
        load_conv(l, &block->convs[block->n_convs], &want, name);
        block->residual[block->n_convs++] = !pairs;
        if (pairs) {
            load_conv(l, &block->convs[block->n_convs], &want,
                      name_of(name, "dec.resblocks.%d.convs2.%d", index, i));
            block->residual[block->n_convs++] = true;
        }
    }
    for (int i = 0; i < block->n_convs; i++) {
        block->halo += block->convs[i].pad;
    }
    if (block->n_convs == 0) {
        fail(l, "the voice has no tensor dec.resblocks.%d.convs.0.weight", index);
    }
}

/* The first N for which neither module exists. The limit only ends the loop: the callers' are
 * lower. */
static int count(const struct loader *l, const char *format_a, const char *format_b) {
    char a[NAME_SIZE], b[NAME_SIZE];
    for (int n = 0; n < 1024; n++) {
        snprintf(a, sizeof a, format_a, n);
        snprintf(b, sizeof b, format_b, n);
        if (!has(l, a) && !has(l, b)) {
            return n;
        }
    }
    return 1024;
}

/* Channels halve with every stage. Blocks are numbered through over all stages. */
static void load_stages(struct loader *l, struct piper_decoder *decoder, int n_ch) {
    int n_stages = count(l, "dec.ups.%d", "dec.ups.%d");
    int n_blocks = count(l, "dec.resblocks.%d.convs.0", "dec.resblocks.%d.convs1.0");
    if (n_stages < 1 || n_stages > PIPER_MAX_STAGES || n_blocks < n_stages || n_blocks % n_stages ||
        n_blocks / n_stages > PIPER_MAX_RESBLOCKS) {
        fail(l, "the decoder has %d stages and %d residual blocks: not a Piper voice", n_stages,
             n_blocks);
        return;
    }
    l->model->info.n_stages = decoder->n_stages = n_stages;
    l->model->info.n_resblocks = n_blocks / n_stages;
    l->model->info.hop_length = 1;
    for (int i = 0; i < n_stages && l->status == UTTER_OK; i++, n_ch /= 2) {
        struct piper_stage *stage = &decoder->stages[i];
        load_upsample(l, &stage->up, n_ch, n_ch / 2, i);
        l->model->info.hop_length *= stage->up.rate;
        stage->n_resblocks = n_blocks / n_stages;
        for (int j = 0; j < stage->n_resblocks; j++) {
            load_resblock(l, &stage->resblocks[j], n_ch / 2, i * stage->n_resblocks + j);
            stage->halo = UT_MAX(stage->halo, stage->resblocks[j].halo);
        }
    }
    decoder->post_channels = n_ch;
}

/* The only convolution without bias, turned from [1, C, taps] into [taps, C]: with one output
 * channel it is a scalar product over neighbouring rows, not a matrix product. */
static void load_conv_post(struct loader *l, struct piper_decoder *decoder) {
    int n_ch = decoder->post_channels;
    const struct ut_tensor *weight = bind_weight(l, "dec.conv_post", 1, n_ch, 0);
    float *w = load_values(l, weight);
    if (!w) {
        return;
    }
    decoder->post_taps = (int)weight->dims[2];
    decoder->conv_post = new_part(l, (size_t)(decoder->post_taps * n_ch), sizeof(float));
    bind_geometry(l, "dec.conv_post", decoder->post_taps, 1, false);
    for (int c = 0; l->status == UTTER_OK && c < n_ch; c++) {
        for (int k = 0; k < decoder->post_taps; k++) {
            decoder->conv_post[k * n_ch + c] = w[c * decoder->post_taps + k];
        }
    }
}

/* The width before the first stage is only in conv_pre. */
static void load_decoder(struct loader *l) {
    struct piper_decoder *decoder = l->model->decoder = new_part(l, 1, sizeof *decoder);
    const struct ut_tensor *bias = bind(l, "dec.conv_pre.bias", 1, (uint64_t[]){0});
    if (!bias) {
        return;
    }
    int n_ch = (int)bias->dims[0];
    struct wanted pre = {.n_out = n_ch, .n_in = l->model->info.n_inter, .zero = zero_of_frames(l)};
    load_conv(l, &decoder->conv_pre, &pre, "dec.conv_pre");
    load_cond(l, &decoder->cond, n_ch, "dec.cond");
    load_stages(l, decoder, n_ch);
    if (l->status == UTTER_OK) {
        load_conv_post(l, decoder);
    }
}

static void check_against_config(struct loader *l) {
    struct ut_piper *model = l->model;
    model->info.sample_rate_hz = model->config.sample_rate_hz;
    if (l->status == UTTER_OK && model->config.hop_length &&
        model->config.hop_length != model->info.hop_length) {
        fail(l, "the configuration says %d samples a frame, the decoder makes %d",
             model->config.hop_length, model->info.hop_length);
    }
    if (l->status == UTTER_OK && model->info.hop_length > 65536) {
        fail(l, "the decoder makes %d samples a frame: not a Piper voice", model->info.hop_length);
    }
}

/* Layers are counted by their names, so that a missing one would end the count early: what is left
 * over tells. */
static void check_all_used(struct loader *l) {
    const char *name = l->status ? NULL : ut_piper_map_unused(&l->map);
    const char *suffix = name ? strrchr(name, '.') : NULL;
    if (suffix && strcmp(suffix, ".scale") == 0) {
        fail(l, "tensor %s belongs to weights in 8 bits: the voice has none that it could scale",
             name);
    } else if (name) {
        fail(l, "tensor %s has no place among the layers that were found: one before it is missing",
             name);
    }
}

/* A file made for it, whose layers AUTO runs in 8 bits. */
static bool stores_int8(const struct loader *l) {
    for (size_t i = 0; l->model->info.format == UT_FORMAT_GGUF && i < l->map.n_named; i++) {
        if (l->map.named[i].tensor->type == UT_I8) {
            return true;
        }
    }
    return false;
}

/* The order is that of dependence: the encoder fixes the sizes that all else is held against, and
 * whether the blocks are pairs decides the arithmetic of the flow (zero_of_frames). The last check
 * tells of a file that was cut short while it was read: its pages read as zeros. */
static utter_status load_tensors(struct loader *l, const char *json, size_t n_json) {
    struct ut_piper *model = l->model;
    struct ut_arena names;
    struct ut_json *doc = NULL;
    ut_arena_init(&names, model->mem, UT_MEM_OTHER);
    l->status = ut_piper_config_parse(model->mem, json, n_json, &model->config, l->err);
    if (l->status == UTTER_OK) {
        l->status = ut_json_parse(model->mem, json, n_json, &doc, l->err);
    }
    if (l->status == UTTER_OK) {
        l->status = ut_piper_map_build(&names, l->weights, doc, &l->map, l->err);
    }
    if (l->status == UTTER_OK) {
        bool is_int8 = stores_int8(l);
        if (model->compute.precision == UT_PRECISION_AUTO) {
            model->compute.precision = is_int8 ? UT_PRECISION_INT8 : UT_PRECISION_F32;
        }
        load_encoder(l);
        model->info.weight_type = is_int8 ? UT_I8 : model->info.weight_type;
        load_speakers(l);
        load_durations(l);
        model->info.resblock1 = has(l, "dec.resblocks.0.convs1.0");
        load_flow(l);
        load_decoder(l);
        check_against_config(l);
        check_all_used(l);
        model->info.n_parameters = ut_piper_map_n_used(&l->map);
    }
    if (l->status == UTTER_OK) {
        l->status = ut_weights_check(l->weights, l->err);
    }
    ut_json_free(doc);
    ut_arena_free(&names);
    return l->status;
}

utter_status ut_piper_load(struct ut_mem *mem, const struct ut_compute *compute,
                           const struct ut_weights *weights, const char *json, size_t n_json,
                           const struct ut_log *log, struct ut_piper **out, utter_error *err) {
    *out = NULL;
    struct ut_piper *model = ut_mem_calloc(mem, UT_MEM_WEIGHTS, 1, sizeof *model);
    if (!model) {
        return ut_fail_memory(err, sizeof *model);
    }
    model->mem = mem;
    model->compute = *compute;
    model->log = log ? *log : (struct ut_log){NULL, NULL};
    model->config.mem = mem;
    ut_arena_init(&model->weights, mem, UT_MEM_WEIGHTS);
    model->info.format = ut_weights_format(weights);
    model->info.file_bytes = ut_weights_file_bytes(weights);
    struct loader loader = {.model = model, .weights = weights, .err = err};
    utter_status status = load_tensors(&loader, json, n_json);
    if (status) {
        ut_piper_close(model);
        return status;
    }
    *out = model;
    return UTTER_OK;
}

void ut_piper_close(struct ut_piper *model) {
    if (model) {
        ut_piper_config_free(&model->config);
        ut_arena_free(&model->weights);
        ut_mem_free(model->mem, model);
    }
}

void ut_piper_get_info(const struct ut_piper *model, struct ut_piper_info *out) {
    *out = model->info;
}

const struct ut_piper_config *ut_piper_get_config(const struct ut_piper *model) {
    return &model->config;
}
