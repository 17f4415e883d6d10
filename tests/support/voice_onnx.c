/* Writes a built voice as PyTorch's tracing exporter would (names, attributes, order of weights and
 * of the nodes that hold them); see voice_builder.h. Inputs that carry activations are chained from
 * node to node, so that the graph is sorted and every value has a producer. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/onnx_writer.h"
#include "support/voice_builder.h"

enum { NAME_SIZE = 160 };

struct exporter {
    const struct voice *voice;
    struct voice_export options;
    struct byte_buffer *out;
    char (*names)[NAME_SIZE]; /* of the initializer of each tensor */
    char last[NAME_SIZE];     /* the activation that the next node reads */
    int n_values;             /* names given to values where nodes have none */
};

/* ---- Names -------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static void print_name(char out[NAME_SIZE],
                                                             const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(out, NAME_SIZE, format, args);
    va_end(args);
    if (n < 0 || n >= NAME_SIZE) {
        fprintf(stderr, "test support: name too long: %s\n", out);
        exit(99);
    }
}

/* "dec.resblocks.0.convs.1" to "/dec/resblocks.0/convs.1": numbers stay with what they index. */
static void module_path(char out[NAME_SIZE], const char *module) {
    print_name(out, "/%s", module);
    for (char *c = out; *c; c++) {
        if (*c == '.' && !(c[1] >= '0' && c[1] <= '9')) {
            *c = '/';
        }
    }
}

static bool is_folded_weight(const char *name) {
    const char *leaf = strrchr(name, '.');
    return strncmp(name, "flow.", 5) == 0 && strstr(name, ".enc.") && strcmp(leaf, ".weight") == 0;
}

static void name_initializers(struct exporter *ex) {
    const struct voice *voice = ex->voice;
    int number = ex->options.first_number ? ex->options.first_number : 8159;
    bool is_single = voice->spec.n_gin == 0 && !ex->options.plain_embedding;
    for (size_t i = 0; i < voice->n_tensors; i++) {
        const char *name = voice->tensors[i].name;
        char *to = ex->names[i];
        if (strcmp(name, "dp.flows.0.logs") == 0) {
            bool is_factor = ex->options.logs != VOICE_LOGS_NEGATED;
            print_name(to, "onnx::%s_%d", is_factor ? "Mul" : "Exp", number);
            number += 9;
        } else if (is_folded_weight(name)) {
            print_name(to, "onnx::Conv_%d", number);
            number += 3;
        } else {
            print_name(to, "%s", is_single && strcmp(name, "enc_p.emb.weight") == 0 ? "sid" : name);
        }
    }
}

static const char *initializer_name(const struct exporter *ex, const char *tensor_name) {
    for (size_t i = 0; i < ex->voice->n_tensors; i++) {
        if (strcmp(ex->voice->tensors[i].name, tensor_name) == 0) {
            return ex->names[i];
        }
    }
    return tensor_name;
}

/* ---- Nodes -------------------------------------------------------------------------------- */

/* Writes node PATH of op_type; its output becomes the activation for the next one. */
static void put_node(struct exporter *ex, const char *path, const char *op_type,
                     const char *const *inputs, const struct onnx_attribute_spec *attributes,
                     size_t n_attributes) {
    char output[NAME_SIZE];
    if (ex->options.no_node_names) {
        print_name(output, "%d", 400 + ex->n_values++);
    } else {
        print_name(output, "%s_output_0", path);
    }
    struct onnx_node_spec node = {
        .name = ex->options.no_node_names ? NULL : path,
        .op_type = op_type,
        .inputs = inputs,
        .outputs = NAMES(output),
        .attributes = attributes,
        .n_attributes = n_attributes,
    };
    onnx_write_node(ex->out, &node);
    memcpy(ex->last, output, sizeof output);
}

/* A Constant whose value is output `name`, whatever the options say about names. */
static void put_constant(struct exporter *ex, const char *name, int64_t type, const int64_t *dims,
                         size_t n_dims, const void *data, size_t n_bytes) {
    char node_name[NAME_SIZE];
    print_name(node_name, "%s", name);
    char *suffix = strstr(node_name, "_output_0");
    if (suffix) {
        *suffix = '\0';
    }
    struct onnx_tensor_spec value = {
        .data_type = type, .dims = dims, .n_dims = n_dims, .raw = data, .n_raw = n_bytes};
    onnx_write_constant(ex->out, ex->options.no_node_names ? NULL : node_name, name, &value);
}

struct conv_shape {
    bool transpose;
    int kernel, stride, dilation, pad, group;
};

static struct conv_shape same_conv(int kernel, int dilation) {
    return (struct conv_shape){.kernel = kernel,
                               .stride = 1,
                               .dilation = dilation,
                               .group = 1,
                               .pad = (kernel - 1) * dilation / 2};
}

/* Applies the wrong attribute that the options ask for. */
static size_t spoil_attributes(const struct exporter *ex, const char *module, size_t n,
                               struct onnx_attribute_spec *attributes, int64_t wrong[2]) {
    const struct voice_export *o = &ex->options;
    if (!o->wrong_module || strcmp(o->wrong_module, module) != 0) {
        return n;
    }
    size_t at = 0;
    while (at < n && strcmp(attributes[at].name, o->wrong_attribute) != 0) {
        at++;
    }
    if (at == n) {
        fprintf(stderr, "test support: a convolution has no attribute %s\n", o->wrong_attribute);
        exit(99);
    }
    if (o->attribute_missing) {
        memmove(attributes + at, attributes + at + 1, (n - at - 1) * sizeof *attributes);
        return n - 1;
    }
    wrong[0] = wrong[1] = o->wrong_value;
    attributes[at].i = o->wrong_value;
    attributes[at].ints = wrong;
    return n;
}

static void put_conv_at(struct exporter *ex, const char *module, const char *input,
                        struct conv_shape shape) {
    char path[NAME_SIZE], weight[NAME_SIZE], bias[NAME_SIZE], node[NAME_SIZE];
    module_path(path, module);
    print_name(node, "%s/%s", path, shape.transpose ? "ConvTranspose" : "Conv");
    print_name(weight, "%s.weight", module);
    print_name(bias, "%s.bias", module);
    const char *op_type = shape.transpose ? "ConvTranspose" : "Conv";
    int64_t kernel = shape.kernel, stride = shape.stride, dilation = shape.dilation;
    int64_t pads[2] = {shape.pad, shape.pad}, wrong[2];
    struct onnx_attribute_spec attributes[] = {
        {.name = "dilations", .type = ONNX_ATTR_INTS, .ints = &dilation, .n_ints = 1},
        {.name = "group", .type = ONNX_ATTR_INT, .i = shape.group},
        {.name = "kernel_shape", .type = ONNX_ATTR_INTS, .ints = &kernel, .n_ints = 1},
        {.name = "pads", .type = ONNX_ATTR_INTS, .ints = pads, .n_ints = 2},
        {.name = "strides", .type = ONNX_ATTR_INTS, .ints = &stride, .n_ints = 1},
    };
    size_t n =
        spoil_attributes(ex, module, sizeof attributes / sizeof attributes[0], attributes, wrong);
    bool has_bias = strcmp(module, "dec.conv_post") != 0;
    put_node(ex, node, op_type, NAMES(input, initializer_name(ex, weight), has_bias ? bias : NULL),
             attributes, n);
}

static void put_conv(struct exporter *ex, const char *module, struct conv_shape shape) {
    char input[NAME_SIZE];
    memcpy(input, ex->last, sizeof input);
    put_conv_at(ex, module, input, shape);
}

static void put_binary(struct exporter *ex, const char *path, const char *op_type,
                       const char *second) {
    char first[NAME_SIZE];
    memcpy(first, ex->last, sizeof first);
    put_node(ex, path, op_type, NAMES(first, second), NULL, 0);
}

/* The two nodes of a LayerNorm that hold its weights. */
static void put_norm(struct exporter *ex, const char *module) {
    char path[NAME_SIZE], node[NAME_SIZE], weight[NAME_SIZE];
    module_path(path, module);
    print_name(node, "%s/Mul", path);
    print_name(weight, "%s.gamma", module);
    put_binary(ex, node, "Mul", weight);
    print_name(node, "%s/Add_1", path);
    print_name(weight, "%s.beta", module);
    put_binary(ex, node, "Add", weight);
}

static void put_relative(struct exporter *ex, const char *layer, const char *which,
                         const char *node) {
    static const int64_t n_pads = 6, pads[6] = {0};
    char path[NAME_SIZE], weight[NAME_SIZE], amount[NAME_SIZE], name[NAME_SIZE];
    module_path(path, layer);
    print_name(weight, "%s.emb_rel_%s", layer, which);
    print_name(amount, "%s/%s_amount_output_0", path, node);
    print_name(name, "%s/%s", path, node);
    put_constant(ex, amount, ONNX_INT64, &n_pads, 1, pads, sizeof pads);
    struct onnx_attribute_spec mode = {.name = "mode", .type = ONNX_ATTR_STRING, .s = "constant"};
    put_node(ex, name, "Pad", NAMES(weight, amount, ""), &mode, 1);
}

/* ---- Parts of the model ------------------------------------------------------------------- */

static void put_encoder(struct exporter *ex) {
    const struct voice_spec *s = &ex->voice->spec;
    put_node(ex, "/enc_p/emb/Gather", "Gather",
             NAMES(initializer_name(ex, "enc_p.emb.weight"), "input"), NULL, 0);
    float root = sqrtf((float)s->n_hidden); /* a float constant that is no weight */
    put_constant(ex, "/enc_p/Constant_output_0", ONNX_FLOAT, NULL, 0, &root, sizeof root);
    put_binary(ex, "/enc_p/Mul", "Mul", "/enc_p/Constant_output_0");
    for (int i = 0; i < s->n_layers; i++) {
        char layer[NAME_SIZE], module[NAME_SIZE], input[NAME_SIZE];
        memcpy(input, ex->last, sizeof input);
        print_name(layer, "enc_p.encoder.attn_layers.%d", i);
        for (const char *which = "qkv"; *which; which++) {
            print_name(module, "%s.conv_%c", layer, *which);
            put_conv_at(ex, module, input, same_conv(1, 1));
        }
        put_relative(ex, layer, "k", "Pad");
        put_relative(ex, layer, "v", "Pad_5");
        print_name(module, "%s.conv_o", layer);
        put_conv(ex, module, same_conv(1, 1));
        print_name(module, "enc_p.encoder.norm_layers_1.%d", i);
        put_norm(ex, module);
        for (int c = 1; c <= 2; c++) {
            struct conv_shape shape = same_conv(s->ffn_kernel, 1);
            shape.pad = 0; /* a Pad node in front does it */
            print_name(module, "enc_p.encoder.ffn_layers.%d.conv_%d", i, c);
            put_conv(ex, module, shape);
        }
        print_name(module, "enc_p.encoder.norm_layers_2.%d", i);
        put_norm(ex, module);
    }
    put_conv(ex, "enc_p.proj", same_conv(1, 1));
}

static void put_dds(struct exporter *ex, const char *module) {
    const struct voice_spec *s = &ex->voice->spec;
    int dilation = 1;
    for (int i = 0; i < s->n_dp_convs; i++, dilation *= s->dp_kernel) {
        char name[NAME_SIZE];
        struct conv_shape shape = same_conv(s->dp_kernel, dilation);
        shape.group = s->n_hidden;
        print_name(name, "%s.convs_sep.%d", module, i);
        put_conv(ex, name, shape);
        print_name(name, "%s.norms_1.%d", module, i);
        put_norm(ex, name);
        print_name(name, "%s.convs_1x1.%d", module, i);
        put_conv(ex, name, same_conv(1, 1));
        print_name(name, "%s.norms_2.%d", module, i);
        put_norm(ex, name);
    }
}

static const struct voice_tensor *find_logs(const struct exporter *ex) {
    const struct voice_tensor *tensor = ex->voice->tensors;
    while (strcmp(tensor->name, "dp.flows.0.logs") != 0) {
        tensor++; /* every voice with this predictor has it */
    }
    return tensor;
}

static void put_affine(struct exporter *ex) {
    char logs[NAME_SIZE], difference[NAME_SIZE];
    print_name(logs, "%s", initializer_name(ex, "dp.flows.0.logs"));
    put_binary(ex, "/dp/flows.0/Sub", "Sub", "dp.flows.0.m");
    memcpy(difference, ex->last, sizeof difference);
    if (ex->options.logs == VOICE_LOGS_NEGATED) {
        put_node(ex, "/dp/flows.0/Exp", "Exp", NAMES(logs), NULL, 0);
        memcpy(logs, ex->last, sizeof logs);
    } else if (ex->options.logs == VOICE_LOGS_CONSTANT) {
        const struct voice_tensor *tensor = find_logs(ex);
        float *factor = test_alloc(tensor->n * sizeof *factor);
        for (size_t i = 0; i < tensor->n; i++) {
            factor[i] = expf(-tensor->data[i]);
        }
        print_name(logs, "/dp/flows.0/Exp_output_0");
        put_constant(ex, logs, ONNX_FLOAT, tensor->dims, (size_t)tensor->n_dims, factor,
                     tensor->n * sizeof *factor);
        free(factor);
    }
    put_node(ex, "/dp/flows.0/Mul", "Mul", NAMES(difference, logs), NULL, 0);
}

static void put_durations(struct exporter *ex, const char *speaker) {
    put_conv(ex, "dp.pre", same_conv(1, 1));
    if (speaker) {
        put_conv_at(ex, "dp.cond", speaker, same_conv(1, 1));
    }
    put_dds(ex, "dp.convs");
    put_conv(ex, "dp.proj", same_conv(1, 1));
    for (int i = 7; i >= 3; i -= 2) {
        char module[NAME_SIZE];
        print_name(module, "dp.flows.%d.pre", i);
        put_conv(ex, module, same_conv(1, 1));
        print_name(module, "dp.flows.%d.convs", i);
        put_dds(ex, module);
        print_name(module, "dp.flows.%d.proj", i);
        put_conv(ex, module, same_conv(1, 1));
    }
    put_affine(ex);
}

static void put_flow(struct exporter *ex, const char *speaker) {
    const struct voice_spec *s = &ex->voice->spec;
    for (int c = s->n_couplings - 1; c >= 0; c--) {
        char module[NAME_SIZE];
        print_name(module, "flow.flows.%d.pre", 2 * c);
        put_conv(ex, module, same_conv(1, 1));
        print_name(module, "flow.flows.%d.enc.cond_layer", 2 * c);
        if (speaker) {
            put_conv_at(ex, module, speaker, same_conv(1, 1));
        }
        for (int i = 0; i < s->n_wn_layers; i++) {
            print_name(module, "flow.flows.%d.enc.in_layers.%d", 2 * c, i);
            put_conv(ex, module, same_conv(s->wn_kernel, 1));
            print_name(module, "flow.flows.%d.enc.res_skip_layers.%d", 2 * c, i);
            put_conv(ex, module, same_conv(1, 1));
        }
        print_name(module, "flow.flows.%d.post", 2 * c);
        put_conv(ex, module, same_conv(1, 1));
    }
}

static void put_resblock(struct exporter *ex, int stage, int kernel) {
    const struct voice_spec *s = &ex->voice->spec;
    char block[NAME_SIZE], module[NAME_SIZE];
    print_name(block, "dec.resblocks.%d", stage * s->n_kernels + kernel);
    for (int d = 0; d < s->n_dilations; d++) {
        print_name(module, "%s.%s.%d", block, s->resblock1 ? "convs1" : "convs", d);
        put_conv(ex, module, same_conv(s->kernels[kernel], s->dilations[kernel][d]));
        print_name(module, "%s.convs2.%d", block, d);
        if (s->resblock1) {
            put_conv(ex, module, same_conv(s->kernels[kernel], 1));
        }
    }
}

static void put_decoder(struct exporter *ex, const char *speaker) {
    const struct voice_spec *s = &ex->voice->spec;
    put_conv(ex, "dec.conv_pre", same_conv(7, 1));
    if (speaker) {
        put_conv_at(ex, "dec.cond", speaker, same_conv(1, 1));
    }
    for (int i = 0; i < s->n_stages; i++) {
        char module[NAME_SIZE];
        print_name(module, "dec.ups.%d", i);
        put_conv(ex, module,
                 (struct conv_shape){.transpose = true,
                                     .kernel = s->up_kernels[i],
                                     .stride = s->rates[i],
                                     .dilation = 1,
                                     .group = 1,
                                     .pad = (s->up_kernels[i] - s->rates[i]) / 2});
        for (int k = 0; k < s->n_kernels; k++) {
            put_resblock(ex, i, k);
        }
    }
    put_conv(ex, "dec.conv_post", same_conv(7, 1));
}

static void put_nodes(struct exporter *ex) {
    char speaker[NAME_SIZE], text[NAME_SIZE];
    put_encoder(ex);
    memcpy(text, ex->last, sizeof text);
    if (ex->voice->spec.n_gin > 0) {
        static const int64_t n_axes = 1, axis = -1;
        put_node(ex, "/emb_g/Gather", "Gather", NAMES("emb_g.weight", "sid"), NULL, 0);
        put_constant(ex, "/Constant_output_0", ONNX_INT64, &n_axes, 1, &axis, sizeof axis);
        put_binary(ex, "/Unsqueeze", "Unsqueeze", "/Constant_output_0");
        memcpy(speaker, ex->last, sizeof speaker);
        memcpy(ex->last, text, sizeof text);
    }
    const char *condition = ex->voice->spec.n_gin > 0 ? speaker : NULL;
    put_durations(ex, condition);
    put_flow(ex, condition);
    put_decoder(ex, condition);
}

/* ---- Weights and the file ----------------------------------------------------------------- */

uint16_t voice_to_half(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    if (magnitude >= 0x7f800000) { /* infinity, NaN */
        return (uint16_t)(sign | 0x7c00 | (magnitude > 0x7f800000 ? 0x200 : 0));
    }
    if (magnitude >= 0x47800000) {
        return (uint16_t)(sign | 0x7c00);
    }
    int shift = 13;
    uint32_t mantissa = magnitude - (112u << 23); /* the exponent's bias becomes 15 */
    if (magnitude < 0x38800000) {                 /* subnormal */
        shift = 126 - (int)(magnitude >> 23);
        if (shift > 24) {
            return (uint16_t)sign;
        }
        mantissa = (magnitude & 0x7fffff) | 0x800000;
    }
    uint32_t half = mantissa >> shift, rest = mantissa & ((1u << shift) - 1),
             tie = 1u << (shift - 1);
    half += rest > tie || (rest == tie && (half & 1));
    return (uint16_t)(sign | half);
}

static void put_data(const struct exporter *ex, struct onnx_tensor_spec *spec, const float *data,
                     size_t n, uint16_t *half) {
    if (ex->options.half) {
        for (size_t i = 0; i < n; i++) {
            half[i] = voice_to_half(data[i]);
        }
        spec->data_type = ONNX_FLOAT16;
        spec->raw = half;
        spec->n_raw = n * sizeof *half;
    } else if (ex->options.float_data) {
        spec->float_data = data;
        spec->n_float_data = n;
    } else {
        spec->raw = data;
        spec->n_raw = n * sizeof *data;
    }
}

static void put_initializer(const struct exporter *ex, const struct voice_tensor *tensor,
                            const char *name) {
    float *changed = NULL;
    uint16_t *half = test_alloc(tensor->n * sizeof *half);
    const float *data = tensor->data;
    if (strcmp(tensor->name, "dp.flows.0.logs") == 0) {
        data = changed = test_alloc(tensor->n * sizeof *changed);
        bool is_factor = ex->options.logs == VOICE_LOGS_FACTOR;
        for (size_t i = 0; i < tensor->n; i++) {
            changed[i] = is_factor ? expf(-tensor->data[i]) : -tensor->data[i];
        }
    }
    struct onnx_tensor_spec spec = {.name = tensor->written_as ? tensor->written_as : name,
                                    .data_type = ONNX_FLOAT,
                                    .dims = tensor->dims,
                                    .n_dims = (size_t)tensor->n_dims};
    put_data(ex, &spec, data, tensor->n, half);
    onnx_write_tensor(ex->out, ONNX_GRAPH_INITIALIZER, &spec);
    free(changed);
    free(half);
}

static void put_initializers(const struct exporter *ex) {
    for (size_t i = 0; i < ex->voice->n_tensors; i++) {
        const struct voice_tensor *tensor = &ex->voice->tensors[i];
        bool is_node =
            ex->options.logs == VOICE_LOGS_CONSTANT && strcmp(tensor->name, "dp.flows.0.logs") == 0;
        if (!tensor->dropped && !is_node) {
            put_initializer(ex, tensor, ex->names[i]);
        }
    }
}

static void put_inputs(const struct exporter *ex) {
    static const int64_t ids[] = {-1, -1}, lengths[] = {-1}, scales[] = {3},
                         audio[] = {-1, 1, 1, -1};
    onnx_write_value_info(ex->out, ONNX_GRAPH_INPUT, "input", ONNX_INT64, ids, 2);
    onnx_write_value_info(ex->out, ONNX_GRAPH_INPUT, "input_lengths", ONNX_INT64, lengths, 1);
    onnx_write_value_info(ex->out, ONNX_GRAPH_INPUT, "scales", ONNX_FLOAT, scales, 1);
    if (ex->voice->spec.n_gin > 0) {
        onnx_write_value_info(ex->out, ONNX_GRAPH_INPUT, "sid", ONNX_INT64, lengths, 1);
    }
    onnx_write_value_info(ex->out, ONNX_GRAPH_OUTPUT, "output", ONNX_FLOAT, audio, 4);
}

void voice_write_onnx(const struct voice *voice, const struct voice_export *options,
                      struct byte_buffer *out) {
    struct exporter ex = {.voice = voice, .out = out};
    if (options) {
        ex.options = *options;
    }
    ex.names = test_alloc(voice->n_tensors * sizeof *ex.names);
    name_initializers(&ex);
    onnx_write_model_header(out, 8, "pytorch", "1.13.1");
    size_t graph = pb_begin(out, ONNX_MODEL_GRAPH);
    put_nodes(&ex);
    char last[NAME_SIZE];
    memcpy(last, ex.last, sizeof last);
    onnx_write_node(out, &(struct onnx_node_spec){.name = "/Identity",
                                                  .op_type = "Identity",
                                                  .inputs = NAMES(last),
                                                  .outputs = NAMES("output")});
    pb_string(out, ONNX_GRAPH_NAME, "torch_jit");
    put_initializers(&ex);
    put_inputs(&ex);
    pb_end(out, graph);
    onnx_write_opset(out, "", 15);
    free(ex.names);
}
