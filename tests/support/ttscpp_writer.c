/* See ttscpp_writer.h. */
#include "support/ttscpp_writer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/utf8.h"
#include "quant/quantize.h"
#include "support/voice_builder.h"
#include "weights/gguf.h"

static void require(bool ok, const char *what) {
    if (!ok) {
        fprintf(stderr, "ttscpp_writer: %s\n", what);
        exit(1);
    }
}

/* ---- Names -------------------------------------------------------------------------------------
 */

/* What the beginning of a canonical name becomes; the first that fits. */
static const struct {
    const char *from, *to;
} beginnings[] = {
    {"bert.embeddings.word_embeddings.weight", "albert.token_embd"},
    {"bert.embeddings.position_embeddings.weight", "albert.position_embd"},
    {"bert.embeddings.token_type_embeddings.weight", "albert.token_type_embd"},
    {"bert.embeddings.LayerNorm", "albert.norm"},
    {"bert.encoder.embedding_hidden_mapping_in", "albert.embd"},
    {"bert.layer.full_layer_layer_norm", "albert.layer.0.attn_norm"},
    {"bert.layer.attention.LayerNorm", "albert.layer.0.ffn_norm"},
    {"bert.layer.attention.query", "albert.layer.0.q"},
    {"bert.layer.attention.key", "albert.layer.0.k"},
    {"bert.layer.attention.value", "albert.layer.0.v"},
    {"bert.layer.attention.dense", "albert.layer.0.o"},
    {"bert.layer.ffn_output", "albert.layer.0.ffn_out"},
    {"bert.layer.ffn", "albert.layer.0.ffn"},
    {"bert_encoder", "duration_predictor.encode"},
    {"predictor.duration_proj.linear_layer", "duration_predictor.duration_proj"},
    {"predictor.F0_proj.weight", "duration_predictor.f0_proj_kernel"},
    {"predictor.N_proj.weight", "duration_predictor.n_proj_kernel"},
    {"predictor.F0_proj", "duration_predictor.f0_proj"},
    {"predictor.N_proj", "duration_predictor.n_proj"},
    {"predictor.text_encoder.lstms", "duration_predictor.layers"},
    {"predictor.lstm", "duration_predictor.duration_lstm"},
    {"predictor.shared", "duration_predictor.shared_lstm"},
    {"predictor.F0", "duration_predictor.f0_blocks"},
    {"predictor.N", "duration_predictor.n_blocks"},
    {"text_encoder.embedding", "text_encoder.embedding"},
    {"text_encoder.cnn", "text_encoder.layers"},
    {"text_encoder.lstm", "text_encoder.lstm"},
    {"decoder.encode", "decoder.encoder_block"},
    {"decoder.decode", "decoder.decoder_blocks"},
    {"decoder.F0_conv", "decoder.f0_conv"},
    {"decoder.N_conv", "decoder.n_conv"},
    {"decoder.asr_res.0", "decoder.asr_conv"},
    {"decoder.generator.m_source.l_linear", "decoder.generator.m_source"},
    {"decoder.generator.noise_res", "decoder.generator.noise_blocks"},
    {"decoder.generator.noise_convs", "decoder.generator.noise_blocks"},
    {"decoder.generator.ups", "decoder.generator.ups"},
    {"decoder.generator.resblocks", "decoder.generator.resblocks"},
    {"decoder.generator.conv_post", "decoder.generator.conv_post"},
};

static bool begins_with(const char *text, const char *start) {
    return strncmp(text, start, strlen(start)) == 0;
}

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* The rest of a canonical name behind its beginning, with '%s' where a style layer says which half.
 * alpha, adain and convs are those of the generator's resblocks. */
static void write_rest(const char *canonical, const char *rest, char out[64]) {
    bool is_noise = begins_with(canonical, "decoder.generator.noise_res");
    const char *block = is_noise ? ".resblock" : "";
    char number[2], kind[16];
    int a, b;
    if (sscanf(rest, ".%d.convs%1[12].%d.%15s", &a, number, &b, kind) == 4) {
        snprintf(out, 64, ".%d%s.%d.convs%s_%s", a, block, b, number, kind);
    } else if (sscanf(rest, ".%d.adain%1[12].%d.fc.%15s", &a, number, &b, kind) == 4) {
        snprintf(out, 64, ".%d%s.%d.%%s%s_%s", a, block, b, number, kind);
    } else if (sscanf(rest, ".%d.alpha%1[12].%d", &a, number, &b) == 3) {
        snprintf(out, 64, ".%d%s.%d.alpha%s", a, block, b, number);
    } else if (sscanf(rest, ".%d.%d.%15s", &a, &b, kind) == 3) { /* of the text encoder */
        snprintf(out, 64, ".%d.%s", a, kind);
    } else if (sscanf(rest, ".%d.fc.%15s", &a, kind) == 2) { /* of the duration encoder */
        snprintf(out, 64, ".%d.%%s_%s", a, kind);
    } else {
        bool is_noise_conv = begins_with(canonical, "decoder.generator.noise_convs");
        require(sscanf(rest, ".%d.%15s", &a, kind) == 2, canonical);
        snprintf(out, 64, ".%d.%s%s", a, is_noise_conv ? "conv_" : "", kind);
    }
}

/* AdainResBlk1d: [.A].conv1.weight and the like. */
static void write_resblk(const char *rest, char out[64]) {
    char block[8] = "", layer[16], kind[16];
    int a;
    if (sscanf(rest, ".%d", &a) == 1) {
        snprintf(block, sizeof block, ".%d", a);
        rest += strlen(block);
    }
    if (sscanf(rest, ".norm%1[12].fc.%15s", layer, kind) == 2) {
        snprintf(out, 64, "%s.norm%s_%%s_%s", block, layer, kind);
    } else {
        require(sscanf(rest, ".%15[a-z0-9].%15s", layer, kind) == 2, rest);
        snprintf(out, 64, "%s.%s_%s", block, layer, kind);
    }
}

static int write_gates(const char *begin, const char *rest, struct ttscpp_part parts[4]) {
    int layer, is_state = strstr(rest, "_hh_") != NULL;
    const char *reverse = ends_with(rest, "_reverse") ? "reverse_" : "";
    const char *kind = strstr(rest, ".weight") ? "weights" : "biases";
    char block[16] = "";
    if (sscanf(rest, ".%d", &layer) == 1) {
        snprintf(block, sizeof block, ".%d.lstm", layer);
    }
    for (int gate = 0; gate < 4; gate++) {
        snprintf(parts[gate].name, sizeof parts[gate].name, "kokoro.%s%s.0.%s%s.%d", begin, block,
                 reverse, kind, 2 * gate + is_state);
    }
    return 4;
}

/* Fills the names and returns their number. */
static int name_parts(const char *canonical, struct ttscpp_part parts[4]) {
    size_t i = 0;
    while (i < UT_COUNT(beginnings) && !begins_with(canonical, beginnings[i].from)) {
        i++;
    }
    require(i < UT_COUNT(beginnings), canonical);
    const char *begin = beginnings[i].to, *rest = canonical + strlen(beginnings[i].from);
    char end[64] = "";
    if (strstr(rest, "weight_ih") || strstr(rest, "weight_hh") || strstr(rest, "bias_ih") ||
        strstr(rest, "bias_hh")) {
        return write_gates(begin, rest, parts);
    }
    bool is_resblk =
        begins_with(canonical, "predictor.F0.") || begins_with(canonical, "predictor.N.") ||
        begins_with(canonical, "decoder.encode") || begins_with(canonical, "decoder.decode");
    if (strcmp(rest, ".weight") == 0 || strcmp(rest, ".bias") == 0) {
        bool is_bare = begins_with(begin, "albert") || ends_with(begin, "encode") ||
                       ends_with(begin, "duration_proj");
        snprintf(end, sizeof end, "%s", rest[1] == 'b' ? "_bias" : is_bare ? "" : "_weight");
    } else if (is_resblk) {
        write_resblk(rest, end);
    } else if (rest[0]) {
        write_rest(canonical, rest, end);
    }
    const char *half = strstr(end, "%s");
    for (int part = 0; part < (half ? 2 : 1); part++) {
        snprintf(parts[part].name, sizeof parts[part].name, "kokoro.%s%.*s%s%s", begin,
                 half ? (int)(half - end) : (int)strlen(end), end,
                 half ? (part ? "beta" : "gamma") : "", half ? half + 2 : "");
    }
    return half ? 2 : 1;
}

int ttscpp_parts(const char *canonical, const struct ut_tensor *shape,
                 struct ttscpp_part parts[4]) {
    int n = name_parts(canonical, parts);
    for (int i = 0; i < n; i++) {
        parts[i].n_dims = shape->n_dims;
        memcpy(parts[i].dims, shape->dims, sizeof parts[i].dims);
        parts[i].dims[0] /= (uint64_t)n;
        parts[i].first_row = (uint64_t)i * parts[i].dims[0];
    }
    if (ends_with(canonical, "token_type_embeddings.weight")) { /* row 0 */
        parts[0].n_dims = 1;
        parts[0].dims[0] = shape->dims[1];
        parts[0].dims[1] = 1;
    }
    return n;
}

/* ---- Types -------------------------------------------------------------------------------------
 */

enum ut_dtype ttscpp_type(const char *name, enum ttscpp_kind kind, enum ut_dtype type) {
    static const char *const left_alone[] = {"bias", "gamma", "beta", "alpha", "voice_tensors"};
    for (size_t i = 0; i < UT_COUNT(left_alone); i++) {
        if (strstr(name, left_alone[i])) {
            return UT_F32;
        }
    }
    if (kind == TTSCPP_F32 || ends_with(name, "norm") || ends_with(name, "embd")) {
        return UT_F32;
    }
    bool is_matrix = strstr(name, ".albert.layer.") || strstr(name, "lstm.") ||
                     ends_with(name, "duration_proj") || ends_with(name, ".encode");
    return is_matrix ? type : kind == TTSCPP_NQF ? UT_F16 : UT_F32;
}

static void convert(const float *values, size_t n, enum ut_dtype type, struct ut_tensor *tensor) {
    uint8_t *data = test_alloc(n * sizeof(float) + 1);
    size_t at = 0;
    if (type == UT_F32) {
        memcpy(data, values, n * sizeof *values);
        at = n * sizeof *values;
    } else if (type == UT_F16) {
        for (size_t i = 0; i < n; i++, at += 2) {
            uint16_t half = voice_to_half(values[i]);
            memcpy(data + at, &half, 2);
        }
    } else {
        bool (*quantize)(const float *, size_t, void *) = type == UT_Q8_0   ? ut_quantize_q8_0
                                                          : type == UT_Q5_0 ? ut_quantize_q5_0
                                                                            : ut_quantize_q4_0;
        require(quantize(values, n / 32, data), "a tensor cannot be quantized");
        at = n / 32 * ut_dtype_size(type);
    }
    tensor->type = type;
    tensor->data = data;
    tensor->n_bytes = at;
}

static void add_part(const struct ut_tensor *from, const struct ttscpp_part *part,
                     enum ttscpp_kind kind, enum ut_dtype type, struct tensor_file *out) {
    struct ut_tensor tensor = {.n_dims = part->n_dims};
    size_t n = 1, row = 1;
    memcpy(tensor.dims, part->dims, sizeof tensor.dims);
    for (int i = 0; i < part->n_dims; i++) {
        n *= (size_t)part->dims[i];
        row *= i ? (size_t)part->dims[i] : 1;
    }
    size_t last = (size_t)part->dims[part->n_dims - 1];
    enum ut_dtype stored = ttscpp_type(part->name, kind, type);
    if (stored != UT_F16 && last % 32) {
        stored = UT_F32;
    }
    while (kind != TTSCPP_F32 && tensor.n_dims > 1 && tensor.dims[0] == 1) {
        memmove(tensor.dims, tensor.dims + 1, sizeof *tensor.dims * (UT_MAX_DIMS - 1));
        tensor.dims[UT_MAX_DIMS - 1] = 1;
        tensor.n_dims--;
    }
    convert((const float *)from->data + part->first_row * row, n, stored, &tensor);
    tensor_file_copy(out, part->name, &tensor);
    free((void *)(uintptr_t)tensor.data);
}

void ttscpp_build(struct ut_kokoro_tensors *tensors, const struct ut_tensor *voices,
                  size_t n_voices, enum ttscpp_kind kind, enum ut_dtype type,
                  struct tensor_file *out) {
    for (size_t i = 0; i < ut_kokoro_tensors_count(tensors); i++) {
        const struct ut_tensor *tensor;
        struct ttscpp_part parts[4];
        require(ut_kokoro_tensor_get(tensors, ut_kokoro_tensors_name(tensors, i), &tensor, NULL) ==
                    UTTER_OK,
                "a tensor could not be read");
        int n = ttscpp_parts(tensor->name, tensor, parts);
        for (int p = 0; p < n; p++) {
            add_part(tensor, &parts[p], kind, type, out);
        }
        ut_kokoro_tensor_drop(tensors, tensor);
    }
    for (size_t i = 0; i < n_voices; i++) {
        char name[128];
        snprintf(name, sizeof name, "kokoro.voice_tensors.%s", voices[i].name);
        tensor_file_copy(out, name, &voices[i]);
    }
}

/* ---- Metadata ----------------------------------------------------------------------------------
 */

__attribute__((format(printf, 3, 4))) static void put(struct ttscpp_metadata *metadata,
                                                      int64_t value, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(metadata->numbers[metadata->n_numbers].key, sizeof metadata->numbers[0].key, format,
              args);
    va_end(args);
    metadata->numbers[metadata->n_numbers++].value = (uint32_t)value;
}

static struct ut_tensor shape_of(struct ut_kokoro_tensors *tensors, const char *name) {
    const struct ut_tensor *tensor;
    require(ut_kokoro_tensor_get(tensors, name, &tensor, NULL) == UTTER_OK, name);
    struct ut_tensor shape = *tensor;
    ut_kokoro_tensor_drop(tensors, tensor);
    return shape;
}

#define GENERATOR "kokoro.decoder.generator."

static void put_generator(const struct ut_kokoro_config *c, struct ttscpp_metadata *out) {
    static const int noise_kernels[] = {7, 11};
    int factor = 2 * c->hop, stride = 1;
    for (int i = c->n_upsamples - 1; i >= 0; i--) {
        int rate = c->upsample_rates[i];
        factor *= rate;
        put(out, rate, GENERATOR "up_convs.%d.stride", i);
        put(out, rate / 2, GENERATOR "up_convs.%d.padding", i); /* kernels are twice the rates */
        put(out, stride, GENERATOR "noise_blocks.%d.stride", i);
        put(out, stride > 1 ? (stride + 1) / 2 : 0, GENERATOR "noise_blocks.%d.padding", i);
        for (int k = 0; k < 3; k++) {
            int dilation = 2 * k + 1, taps = noise_kernels[i];
            put(out, dilation, GENERATOR "noise_blocks.%d.res_block.%d.dilation", i, k);
            put(out, (taps - 1) * dilation / 2, GENERATOR "noise_blocks.%d.res_block.%d.padding", i,
                k);
        }
        stride *= rate;
    }
    for (int b = 0; b < c->n_upsamples * c->n_kernels; b++) {
        for (int k = 0; k < c->n_dilations; k++) {
            int dilation = c->dilations[b % c->n_kernels][k],
                taps = c->kernel_sizes[b % c->n_kernels];
            put(out, dilation, GENERATOR "res_blocks.%d.%d.dilation", b, k);
            put(out, (taps - 1) * dilation / 2, GENERATOR "res_blocks.%d.%d.padding", b, k);
        }
    }
    put(out, factor, GENERATOR "up_sampling_factor");
    put(out, c->n_kernels, GENERATOR "kernels");
    put(out, c->n_upsamples, GENERATOR "upsamples");
    put(out, 4, GENERATOR "layers");
    put(out, 3, GENERATOR "padding");
    put(out, c->n_fft, GENERATOR "n_fft");
    put(out, c->hop, GENERATOR "hop");
}

void ttscpp_build_metadata(const struct ut_kokoro_config *config, struct ut_kokoro_tensors *tensors,
                           struct ttscpp_metadata *out) {
    static const char *const fixed[] = {"tokenizer.ggml.padding_token_id",
                                        "kokoro.decoder_start_token_id",
                                        "tokenizer.ggml.eos_token_id", "general.file_type"};
    *out = (struct ttscpp_metadata){0};
    for (size_t i = 0; i < UT_COUNT(fixed); i++) {
        put(out, 0, "%s", fixed[i]);
    }
    put(out, 2, "general.quantization_version");
    put(out, 1, "phonemizer.type");
    put(out, 1, "phonemizer.phoneme_type");
    struct ut_tensor positions = shape_of(tensors, "bert.embeddings.position_embeddings.weight"),
                     encode = shape_of(tensors, "bert_encoder.weight");
    put(out, (int64_t)positions.dims[0], "kokoro.duration_predictor.albert.context_length");
    put(out, 1, "kokoro.duration_predictor.albert.layers");
    put(out, config->n_heads, "kokoro.duration_predictor.albert.attn_heads");
    put(out, (int64_t)encode.dims[1], "kokoro.duration_predictor.albert.hidden_size");
    put(out, config->n_repeats, "kokoro.duration_predictor.albert.recurrence");
    put(out, (int64_t)encode.dims[0], "kokoro.duration_predictor.hidden_size");
    put(out, config->n_layer, "kokoro.duration_predictor.layers");
    put(out, 3, "kokoro.duration_predictor.f0_n_blocks");
    put(out, config->n_layer, "kokoro.text_encoder.layers");
    put_generator(config, out);
    out->n_tokens = (size_t)config->n_token;
    for (size_t i = 0; i < out->n_tokens; i++) {
        out->tokens[i] = out->token_text[i];
    }
    for (size_t i = 0; i < config->n_symbols; i++) {
        const struct ut_kokoro_symbol *symbol = &config->symbols[i];
        ut_utf8_encode((int32_t)symbol->code_point, out->token_text[symbol->id]);
    }
}

uint32_t *ttscpp_number(struct ttscpp_metadata *metadata, const char *key) {
    for (size_t i = 0; i < metadata->n_numbers; i++) {
        if (strcmp(metadata->numbers[i].key, key) == 0) {
            return &metadata->numbers[i].value;
        }
    }
    require(false, key);
    return NULL;
}

static utter_status write_metadata(struct ut_gguf_writer *writer,
                                   const struct ttscpp_metadata *metadata, utter_error *err) {
    static const char *const strings[][2] = {{"general.architecture", "kokoro"},
                                             {"general.type", "model"},
                                             {"general.name", "kokoro"},
                                             {"general.size_label", "81M"}};
    utter_status status = UTTER_OK;
    for (size_t i = 0; i < UT_COUNT(strings) && status == UTTER_OK; i++) {
        status = ut_gguf_put_string(writer, strings[i][0], strings[i][1], err);
    }
    for (size_t i = 0; i < metadata->n_numbers && status == UTTER_OK; i++) {
        status = metadata->numbers[i].key[0] ? ut_gguf_put_uint32(writer, metadata->numbers[i].key,
                                                                  metadata->numbers[i].value, err)
                                             : UTTER_OK;
    }
    status = status ? status
                    : ut_gguf_put_strings(writer, "kokoro.voices", metadata->voices,
                                          metadata->n_voices, err);
    return status ? status
                  : ut_gguf_put_strings(writer, "tokenizer.ggml.tokens", metadata->tokens,
                                        metadata->n_tokens, err);
}

void ttscpp_write(const char *path, const struct ttscpp_metadata *metadata,
                  const struct tensor_file *tensors) {
    struct ut_mem mem;
    struct ut_gguf_writer *writer;
    utter_error err;
    ut_mem_init(&mem, NULL);
    require(ut_gguf_writer_create(&mem, path, &writer, &err) == UTTER_OK, path);
    require(write_metadata(writer, metadata, &err) == UTTER_OK, "the metadata");
    for (size_t i = 0; i < tensors->n; i++) {
        require(ut_gguf_put_tensor(writer, &tensors->tensors[i], &err) == UTTER_OK, err.message);
    }
    for (size_t i = 0; i < tensors->n; i++) {
        const struct ut_tensor *t = &tensors->tensors[i];
        require(ut_gguf_put_data(writer, t->data, t->n_bytes, &err) == UTTER_OK, err.message);
    }
    require(ut_gguf_writer_finish(writer, &err) == UTTER_OK, err.message);
    ut_gguf_writer_destroy(writer);
}
