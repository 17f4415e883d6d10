/* The names of Kokoro's tensors: those of the checkpoint (PyPI package kokoro 0.9.4) and those of
 * TTS.cpp's GGUF encoder, side by side. What the tables do not list - ALBERT's pooler, position
 * ids, buffers - is not part of the model.
 *
 * Patterns: '#' stands for an index (0..999) and means the same in both names, in this order; '%'
 * for "gamma" or "beta", the halves of a style layer; '@' for 0 2 4 6 and '&' for 1 3 5 7, by which
 * TTS.cpp tells an LSTM's gates i f g o on the input from those on the state. */
#include "models/kokoro/layout_names.h"

#include <stdio.h>
#include <string.h>

#include "base/checked.h"

enum { MAX_CAPTURES = 3 };

struct entry {
    const char *name, *ttscpp;
    int n_dims;
};

struct group {
    const char *name, *ttscpp; /* what every name of the group begins with */
    const struct entry *entries;
    size_t n_entries;
};

static const struct entry albert_entries[] = {
    {"embeddings.word_embeddings.weight", "token_embd", 2},
    {"embeddings.position_embeddings.weight", "position_embd", 2},
    {"embeddings.token_type_embeddings.weight", "token_type_embd", 2}, /* there row 0 alone */
    {"embeddings.LayerNorm.weight", "norm", 1},
    {"embeddings.LayerNorm.bias", "norm_bias", 1},
    {"encoder.embedding_hidden_mapping_in.weight", "embd", 2},
    {"encoder.embedding_hidden_mapping_in.bias", "embd_bias", 1},
    {"layer.attention.query.weight", "layer.0.q", 2},
    {"layer.attention.query.bias", "layer.0.q_bias", 1},
    {"layer.attention.key.weight", "layer.0.k", 2},
    {"layer.attention.key.bias", "layer.0.k_bias", 1},
    {"layer.attention.value.weight", "layer.0.v", 2},
    {"layer.attention.value.bias", "layer.0.v_bias", 1},
    {"layer.attention.dense.weight", "layer.0.o", 2},
    {"layer.attention.dense.bias", "layer.0.o_bias", 1},
    /* Swapped in TTS.cpp: its attn_norm is the norm behind the feed-forward. */
    {"layer.attention.LayerNorm.weight", "layer.0.ffn_norm", 1},
    {"layer.attention.LayerNorm.bias", "layer.0.ffn_norm_bias", 1},
    {"layer.full_layer_layer_norm.weight", "layer.0.attn_norm", 1},
    {"layer.full_layer_layer_norm.bias", "layer.0.attn_norm_bias", 1},
    {"layer.ffn.weight", "layer.0.ffn", 2},
    {"layer.ffn.bias", "layer.0.ffn_bias", 1},
    {"layer.ffn_output.weight", "layer.0.ffn_out", 2},
    {"layer.ffn_output.bias", "layer.0.ffn_out_bias", 1},
};

static const struct entry lstm_entries[] = {
    {".weight_ih_l0", ".0.weights.@", 2},
    {".weight_hh_l0", ".0.weights.&", 2},
    {".bias_ih_l0", ".0.biases.@", 1},
    {".bias_hh_l0", ".0.biases.&", 1},
    {".weight_ih_l0_reverse", ".0.reverse_weights.@", 2},
    {".weight_hh_l0_reverse", ".0.reverse_weights.&", 2},
    {".bias_ih_l0_reverse", ".0.reverse_biases.@", 1},
    {".bias_hh_l0_reverse", ".0.reverse_biases.&", 1},
};

/* AdainResBlk1d, of the predictor and the decoder. */
static const struct entry resblk_entries[] = {
    {".conv1.weight", ".conv1_weight", 3},     {".conv1.bias", ".conv1_bias", 1},
    {".conv2.weight", ".conv2_weight", 3},     {".conv2.bias", ".conv2_bias", 1},
    {".conv1x1.weight", ".conv1x1_weight", 3}, {".norm1.fc.weight", ".norm1_%_weight", 2},
    {".norm1.fc.bias", ".norm1_%_bias", 1},    {".norm2.fc.weight", ".norm2_%_weight", 2},
    {".norm2.fc.bias", ".norm2_%_bias", 1},    {".pool.weight", ".pool_weight", 3},
    {".pool.bias", ".pool_bias", 1},
};

/* AdaINResBlock1, of the generator. */
static const struct entry resblock_entries[] = {
    {".convs1.#.weight", ".#.convs1_weight", 3},
    {".convs1.#.bias", ".#.convs1_bias", 1},
    {".convs2.#.weight", ".#.convs2_weight", 3},
    {".convs2.#.bias", ".#.convs2_bias", 1},
    {".adain1.#.fc.weight", ".#.%1_weight", 2},
    {".adain1.#.fc.bias", ".#.%1_bias", 1},
    {".adain2.#.fc.weight", ".#.%2_weight", 2},
    {".adain2.#.fc.bias", ".#.%2_bias", 1},
    {".alpha1.#", ".#.alpha1", 3},
    {".alpha2.#", ".#.alpha2", 3},
};

static const struct entry other_entries[] = {
    {"bert_encoder.weight", "duration_predictor.encode", 2},
    {"bert_encoder.bias", "duration_predictor.encode_bias", 1},
    {"predictor.text_encoder.lstms.#.fc.weight", "duration_predictor.layers.#.%_weight", 2},
    {"predictor.text_encoder.lstms.#.fc.bias", "duration_predictor.layers.#.%_bias", 1},
    {"predictor.duration_proj.linear_layer.weight", "duration_predictor.duration_proj", 2},
    {"predictor.duration_proj.linear_layer.bias", "duration_predictor.duration_proj_bias", 1},
    {"predictor.F0_proj.weight", "duration_predictor.f0_proj_kernel", 3},
    {"predictor.F0_proj.bias", "duration_predictor.f0_proj_bias", 1},
    {"predictor.N_proj.weight", "duration_predictor.n_proj_kernel", 3},
    {"predictor.N_proj.bias", "duration_predictor.n_proj_bias", 1},
    {"text_encoder.embedding.weight", "text_encoder.embedding_weight", 2},
    {"text_encoder.cnn.#.0.weight", "text_encoder.layers.#.weight", 3},
    {"text_encoder.cnn.#.0.bias", "text_encoder.layers.#.bias", 1},
    {"text_encoder.cnn.#.1.gamma", "text_encoder.layers.#.gamma", 1},
    {"text_encoder.cnn.#.1.beta", "text_encoder.layers.#.beta", 1},
    {"decoder.F0_conv.weight", "decoder.f0_conv_weight", 3},
    {"decoder.F0_conv.bias", "decoder.f0_conv_bias", 1},
    {"decoder.N_conv.weight", "decoder.n_conv_weight", 3},
    {"decoder.N_conv.bias", "decoder.n_conv_bias", 1},
    {"decoder.asr_res.0.weight", "decoder.asr_conv_weight", 3},
    {"decoder.asr_res.0.bias", "decoder.asr_conv_bias", 1},
    {"decoder.generator.m_source.l_linear.weight", "decoder.generator.m_source_weight", 2},
    {"decoder.generator.m_source.l_linear.bias", "decoder.generator.m_source_bias", 1},
    {"decoder.generator.noise_convs.#.weight", "decoder.generator.noise_blocks.#.conv_weight", 3},
    {"decoder.generator.noise_convs.#.bias", "decoder.generator.noise_blocks.#.conv_bias", 1},
    {"decoder.generator.ups.#.weight", "decoder.generator.ups.#.weight", 3},
    {"decoder.generator.ups.#.bias", "decoder.generator.ups.#.bias", 1},
    {"decoder.generator.conv_post.weight", "decoder.generator.conv_post_weight", 3},
    {"decoder.generator.conv_post.bias", "decoder.generator.conv_post_bias", 1},
};

#define ENTRIES(list) list, UT_COUNT(list)

static const struct group groups[] = {
    {"bert.", "albert.", ENTRIES(albert_entries)},
    {"predictor.text_encoder.lstms.#", "duration_predictor.layers.#.lstm", ENTRIES(lstm_entries)},
    {"predictor.lstm", "duration_predictor.duration_lstm", ENTRIES(lstm_entries)},
    {"predictor.shared", "duration_predictor.shared_lstm", ENTRIES(lstm_entries)},
    {"text_encoder.lstm", "text_encoder.lstm", ENTRIES(lstm_entries)},
    {"predictor.F0.#", "duration_predictor.f0_blocks.#", ENTRIES(resblk_entries)},
    {"predictor.N.#", "duration_predictor.n_blocks.#", ENTRIES(resblk_entries)},
    {"decoder.encode", "decoder.encoder_block", ENTRIES(resblk_entries)},
    {"decoder.decode.#", "decoder.decoder_blocks.#", ENTRIES(resblk_entries)},
    {"decoder.generator.noise_res.#", "decoder.generator.noise_blocks.#.resblock",
     ENTRIES(resblock_entries)},
    {"decoder.generator.resblocks.#", "decoder.generator.resblocks.#", ENTRIES(resblock_entries)},
    {"", "", ENTRIES(other_entries)},
};

/* ---- Patterns ------------------------------------------------------------------------------- */

struct captures {
    int index[MAX_CAPTURES], n;
    int part, n_parts;
};

/* The rest of the text behind the token that begins it, NULL when it does not. */
static const char *skip(const char *text, const char *token) {
    size_t n = strlen(token);
    return strncmp(text, token, n) == 0 ? text + n : NULL;
}

/* An index without a leading zero, so that one tensor has one name. */
static const char *match_index(const char *text, struct captures *captures) {
    int value = 0, n = 0;
    while (n < 3 && text[n] >= '0' && text[n] <= '9' && !(n > 0 && text[0] == '0')) {
        value = 10 * value + (text[n++] - '0');
    }
    if (n == 0 || captures->n == MAX_CAPTURES) {
        return NULL;
    }
    captures->index[captures->n++] = value;
    return text + n;
}

static const char *match_half(const char *text, struct captures *captures) {
    const char *rest = skip(text, "gamma");
    captures->n_parts = 2;
    captures->part = rest ? 0 : 1;
    return rest ? rest : skip(text, "beta");
}

static const char *match_gate(const char *text, int first, struct captures *captures) {
    int digit = text[0] - '0' - first;
    captures->n_parts = 4;
    captures->part = digit / 2;
    return digit >= 0 && digit <= 6 && digit % 2 == 0 ? text + 1 : NULL;
}

/* The rest of the text behind what the pattern covers, NULL when it does not fit. */
static const char *match(const char *pattern, const char *text, struct captures *captures) {
    for (; *pattern && text; pattern++) {
        switch (*pattern) {
        case '#':
            text = match_index(text, captures);
            break;
        case '%':
            text = match_half(text, captures);
            break;
        case '@':
        case '&':
            text = match_gate(text, *pattern == '&', captures);
            break;
        default:
            text = *text == *pattern ? text + 1 : NULL;
        }
    }
    return text;
}

static const struct entry *find_entry(const char *name, bool ttscpp, const struct group **group,
                                      struct captures *out) {
    for (size_t g = 0; g < UT_COUNT(groups); g++) {
        *group = &groups[g];
        struct captures in_prefix = {.n_parts = 1};
        const char *rest = match(ttscpp ? groups[g].ttscpp : groups[g].name, name, &in_prefix);
        for (size_t i = 0; rest && i < groups[g].n_entries; i++) {
            const struct entry *entry = &groups[g].entries[i];
            *out = in_prefix;
            const char *end = match(ttscpp ? entry->ttscpp : entry->name, rest, out);
            if (end && *end == '\0') {
                return entry;
            }
        }
    }
    return NULL;
}

/* Appends the pattern with the captured indexes in place; false when it does not fit. */
static bool expand(char *out, size_t *n, const char *pattern, const struct captures *captures,
                   int *next) {
    for (; *pattern; pattern++) {
        int room = KOKORO_NAME_SIZE - (int)*n, wrote;
        wrote = *pattern == '#' ? snprintf(out + *n, (size_t)room, "%d", captures->index[(*next)++])
                                : snprintf(out + *n, (size_t)room, "%c", *pattern);
        if (wrote >= room) {
            return false;
        }
        *n += (size_t)wrote;
    }
    return true;
}

/* ---- The two families of names -------------------------------------------------------------- */

static bool read_ttscpp(const char *raw, struct kokoro_name *out) {
    const char *name = skip(raw, "kokoro.");
    const struct group *group;
    struct captures captures;
    const struct entry *entry = name ? find_entry(name, true, &group, &captures) : NULL;
    size_t n = 0;
    int next = 0;
    if (!entry || !expand(out->name, &n, group->name, &captures, &next) ||
        !expand(out->name, &n, entry->name, &captures, &next)) {
        return false;
    }
    out->n_dims = entry->n_dims;
    out->part = captures.part;
    out->n_parts = captures.n_parts;
    out->join = captures.n_parts > 1 ? KOKORO_ROWS : KOKORO_WHOLE;
    return true;
}

/* Turns "PART/module.KEY" or "PART.KEY" into PART.KEY with the short name of ALBERT's layer. */
static bool shorten(const char *raw, char out[KOKORO_NAME_SIZE]) {
    size_t n_part = strcspn(raw, "./");
    if (raw[n_part] == '\0') {
        return false;
    }
    const char *key = raw + n_part + 1, *rest = skip(key, "module.");
    key = rest ? rest : key;
    rest = skip(key, "encoder.albert_layer_groups.0.albert_layers.0.");
    const char *layer = rest ? "layer." : "";
    key = rest ? rest : key;
    int n = snprintf(out, KOKORO_NAME_SIZE, "%.*s.%s%s", (int)UT_MIN(n_part, KOKORO_NAME_SIZE), raw,
                     layer, key);
    return n < KOKORO_NAME_SIZE;
}

/* Both ways in which torch stores weight norm become NAME.weight. */
static void strip_norm(struct kokoro_name *out) {
    static const char *const endings[] = {".weight_g", ".weight_v",
                                          ".parametrizations.weight.original0",
                                          ".parametrizations.weight.original1"};
    size_t n = strlen(out->name);
    for (size_t i = 0; i < UT_COUNT(endings); i++) {
        size_t m = strlen(endings[i]);
        if (n > m && strcmp(out->name + n - m, endings[i]) == 0) {
            strcpy(out->name + n - m, ".weight");
            out->join = KOKORO_NORM;
            out->part = i % 2;
            out->n_parts = 2;
            return;
        }
    }
}

static bool read_torch(const char *raw, struct kokoro_name *out) {
    *out = (struct kokoro_name){.n_parts = 1};
    if (!shorten(raw, out->name)) {
        return false;
    }
    strip_norm(out);
    const struct group *group;
    struct captures captures;
    const struct entry *entry = find_entry(out->name, false, &group, &captures);
    out->n_dims = entry ? entry->n_dims : 0;
    return entry != NULL;
}

bool ut_kokoro_name_read(enum ut_kokoro_layout layout, const char *raw, struct kokoro_name *out) {
    return layout == UT_KOKORO_TTSCPP ? read_ttscpp(raw, out) : read_torch(raw, out);
}
