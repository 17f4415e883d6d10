/* Kokoro's configuration from a GGUF file's metadata: our own files carry config.json as it is,
 * those of TTS.cpp (its Kokoro encoder of August 2025) numbers under keys of their own. What
 * TTS.cpp states twice, or states and this program takes for granted, must agree. */
#include "models/kokoro/config_check.h"

#include <stdio.h>
#include <string.h>

#include "models/kokoro/layout.h"
#include "weights/gguf.h"

#define PREDICTOR "kokoro.duration_predictor."
#define GENERATOR "kokoro.decoder.generator."

enum { KEY_SIZE = 128, N_PROSODY_BLOCKS = 3 };

/* ---- Values --------------------------------------------------------------------------------- */

struct integer {
    const char *key;
    int low, high;
    int *out;
};

static utter_status read_int(const struct ut_weights *weights, const struct integer *want,
                             utter_error *err) {
    int64_t value = 0;
    if (!ut_gguf_has(weights, want->key)) {
        return ut_fail(err, UTTER_ERROR_FORMAT, "the key \"%s\" is missing", want->key);
    }
    utter_status status = ut_gguf_get_int(weights, want->key, &value, err);
    if (status == UTTER_OK && (value < want->low || value > want->high)) {
        status = ut_fail(err, UTTER_ERROR_FORMAT, "\"%s\" is %lld, expected %d..%d", want->key,
                         (long long)value, want->low, want->high);
    }
    *want->out = (int)value;
    return status;
}

static utter_status read_ints(const struct ut_weights *weights, const struct integer *want,
                              size_t n, utter_error *err) {
    utter_status status = UTTER_OK;
    for (size_t i = 0; i < n && status == UTTER_OK; i++) {
        status = read_int(weights, &want[i], err);
    }
    return status;
}

/* A number that follows from others: if the file states it, it must be this. */
static utter_status expect_int(const struct ut_weights *weights, const char *key, int64_t wanted,
                               utter_error *err) {
    int64_t value = wanted;
    utter_status status =
        ut_gguf_has(weights, key) ? ut_gguf_get_int(weights, key, &value, err) : UTTER_OK;
    if (status == UTTER_OK && value != wanted) {
        status = ut_fail(err, UTTER_ERROR_FORMAT,
                         "\"%s\" is %lld, but the rest of the file makes it %lld", key,
                         (long long)value, (long long)wanted);
    }
    return status;
}

/* The last dimension of a convolution's weight: its number of taps. */
static utter_status read_kernel_size(const struct ut_weights *weights, const char *name, int *out,
                                     utter_error *err) {
    const struct ut_tensor *tensor = ut_weights_find(weights, name);
    if (!tensor || tensor->n_dims < 1) {
        return ut_fail(err, UTTER_ERROR_FORMAT, "tensor %s is missing", name);
    }
    uint64_t size = tensor->dims[tensor->n_dims - 1];
    if (size < 1 || size > KOKORO_MAX_KERNEL_SIZE) {
        return ut_fail(err, UTTER_ERROR_FORMAT, "tensor %s has a kernel of %llu, expected 1..%d",
                       name, (unsigned long long)size, KOKORO_MAX_KERNEL_SIZE);
    }
    *out = (int)size;
    return UTTER_OK;
}

/* ---- The parts of TTS.cpp's metadata ----------------------------------------------------------
 */

static utter_status read_text_side(const struct ut_weights *weights,
                                   struct ut_kokoro_config *config, utter_error *err) {
    const struct integer sizes[] = {
        {PREDICTOR "albert.attn_heads", 1, KOKORO_MAX_HEADS, &config->n_heads},
        {PREDICTOR "albert.recurrence", 1, KOKORO_MAX_REPEATS, &config->n_repeats},
        {PREDICTOR "albert.context_length", 1, KOKORO_MAX_SIZE, &config->max_positions},
        {PREDICTOR "hidden_size", 1, KOKORO_MAX_SIZE, &config->hidden_dim},
        {PREDICTOR "layers", 1, KOKORO_MAX_REPEATS, &config->n_layer},
    };
    utter_status status = read_ints(weights, sizes, sizeof sizes / sizeof *sizes, err);
    status = status ? status : expect_int(weights, PREDICTOR "albert.layers", 1, err);
    status = status ? status : expect_int(weights, PREDICTOR "f0_n_blocks", N_PROSODY_BLOCKS, err);
    return status ? status
                  : expect_int(weights, "kokoro.text_encoder.layers", config->n_layer, err);
}

/* The resblocks of the noise branch have fixed dilations in the reference. */
static utter_status check_noise_block(const struct ut_weights *weights, int stage,
                                      utter_error *err) {
    static const int dilations[] = {1, 3, 5};
    utter_status status = UTTER_OK;
    for (int i = 0; i < 3 && status == UTTER_OK; i++) {
        char key[KEY_SIZE];
        snprintf(key, sizeof key, GENERATOR "noise_blocks.%d.res_block.%d.dilation", stage, i);
        status = expect_int(weights, key, dilations[i], err);
    }
    return status;
}

/* Strides and paddings follow from the rates and the kernels. */
static utter_status check_stage(const struct ut_weights *weights,
                                const struct ut_kokoro_config *config, int stage,
                                utter_error *err) {
    char key[KEY_SIZE];
    int up_kernel, stride = 1;
    for (int i = stage + 1; i < config->n_upsamples; i++) {
        stride *= config->upsample_rates[i];
    }
    snprintf(key, sizeof key, GENERATOR "ups.%d.weight", stage);
    utter_status status = read_kernel_size(weights, key, &up_kernel, err);
    if (status) {
        return status;
    }
    const struct {
        const char *format;
        int wanted;
    } keys[] = {
        {GENERATOR "up_convs.%d.padding", (up_kernel - config->upsample_rates[stage]) / 2},
        {GENERATOR "noise_blocks.%d.stride", stride},
        {GENERATOR "noise_blocks.%d.padding", stride > 1 ? (stride + 1) / 2 : 0},
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys && status == UTTER_OK; i++) {
        snprintf(key, sizeof key, keys[i].format, stage);
        status = expect_int(weights, key, keys[i].wanted, err);
    }
    return status ? status : check_noise_block(weights, stage, err);
}

static utter_status read_upsamples(const struct ut_weights *weights,
                                   struct ut_kokoro_config *config, utter_error *err) {
    int64_t factor = 2 * config->hop; /* F0 has two values a frame; at most 2^35 */
    utter_status status = UTTER_OK;
    for (int i = 0; i < config->n_upsamples && status == UTTER_OK; i++) {
        char key[KEY_SIZE];
        snprintf(key, sizeof key, GENERATOR "up_convs.%d.stride", i);
        const struct integer rate = {key, 1, KOKORO_MAX_RATE, &config->upsample_rates[i]};
        status = read_int(weights, &rate, err);
    }
    for (int i = 0; i < config->n_upsamples && status == UTTER_OK; i++) {
        factor *= config->upsample_rates[i];
        status = check_stage(weights, config, i, err);
    }
    return status ? status : expect_int(weights, GENERATOR "up_sampling_factor", factor, err);
}

static utter_status read_dilations(const struct ut_weights *weights,
                                   struct ut_kokoro_config *config, int block, utter_error *err) {
    char key[KEY_SIZE];
    int kernel = block % config->n_kernels, stage = block / config->n_kernels, kernel_size;
    snprintf(key, sizeof key, GENERATOR "resblocks.%d.0.convs1_weight", block);
    utter_status status = read_kernel_size(weights, key, &kernel_size, err);
    if (status == UTTER_OK && stage > 0 && kernel_size != config->kernel_sizes[kernel]) {
        return ut_fail(err, UTTER_ERROR_FORMAT,
                       "tensor %s has a kernel of %d, in the first stage it has %d", key,
                       kernel_size, config->kernel_sizes[kernel]);
    }
    config->kernel_sizes[kernel] = kernel_size;
    for (int i = 0; i < config->n_dilations && status == UTTER_OK; i++) {
        int *dilation = &config->dilations[kernel][i];
        snprintf(key, sizeof key, GENERATOR "res_blocks.%d.%d.dilation", block, i);
        const struct integer want = {key, 1, KOKORO_MAX_DILATION, dilation};
        status =
            stage == 0 ? read_int(weights, &want, err) : expect_int(weights, key, *dilation, err);
        snprintf(key, sizeof key, GENERATOR "res_blocks.%d.%d.padding", block, i);
        status = status ? status : expect_int(weights, key, (kernel_size - 1) * *dilation / 2, err);
    }
    return status;
}

static utter_status read_generator(const struct ut_weights *weights,
                                   struct ut_kokoro_config *config, utter_error *err) {
    const struct integer sizes[] = {
        {GENERATOR "n_fft", 2, KOKORO_MAX_FFT, &config->n_fft},
        {GENERATOR "hop", 1, KOKORO_MAX_FFT, &config->hop},
        {GENERATOR "upsamples", 1, KOKORO_MAX_UPSAMPLES, &config->n_upsamples},
        {GENERATOR "kernels", 1, KOKORO_MAX_KERNELS, &config->n_kernels},
    };
    utter_status status = read_ints(weights, sizes, sizeof sizes / sizeof *sizes, err);
    status = status ? status : read_upsamples(weights, config, err);
    char key[KEY_SIZE];
    do { /* at least one, so that a file without any is told what it lacks */
        config->n_dilations++;
        snprintf(key, sizeof key, GENERATOR "res_blocks.0.%d.dilation", config->n_dilations);
    } while (config->n_dilations < KOKORO_MAX_DILATIONS && ut_gguf_has(weights, key));
    int n_blocks = config->n_upsamples * config->n_kernels;
    for (int block = 0; block < n_blocks && status == UTTER_OK; block++) {
        status = read_dilations(weights, config, block, err);
    }
    return status ? status : ut_kokoro_config_check(config, err);
}

static utter_status read_tokens(const struct ut_weights *weights, struct ut_kokoro_config *config,
                                utter_error *err) {
    static const char key[] = "tokenizer.ggml.tokens";
    const char *const *tokens = NULL;
    size_t n = 0;
    if (!ut_gguf_has(weights, key)) {
        return ut_fail(err, UTTER_ERROR_FORMAT, "the key \"%s\" is missing", key);
    }
    utter_status status = ut_gguf_get_strings(weights, key, &tokens, &n, err);
    if (status) {
        return status;
    }
    if (n < 1 || n > KOKORO_MAX_TOKENS) {
        return ut_fail(err, UTTER_ERROR_FORMAT, "\"%s\" has %zu entries, expected 1 to %d", key, n,
                       KOKORO_MAX_TOKENS);
    }
    config->n_token = (int)n;
    config->symbols = ut_mem_calloc(config->mem, UT_MEM_OTHER, n, sizeof *config->symbols);
    if (!config->symbols) {
        return ut_fail_memory(err, n * sizeof *config->symbols);
    }
    for (size_t id = 0; id < n; id++) {
        int32_t code_point = ut_kokoro_single_code_point(tokens[id]);
        if (tokens[id][0] == '\0') { /* an id that stands for nothing */
            continue;
        }
        if (code_point < 0) {
            return ut_fail(err, UTTER_ERROR_FORMAT,
                           "\"%s\": number %zu is \"%s\", expected a single character or nothing",
                           key, id, tokens[id]);
        }
        config->symbols[config->n_symbols++] =
            (struct ut_kokoro_symbol){(uint32_t)code_point, (int32_t)id};
    }
    return ut_kokoro_config_sort(config, err);
}

static utter_status read_ttscpp(const struct ut_weights *weights, struct ut_kokoro_config *config,
                                utter_error *err) {
    utter_status status = read_text_side(weights, config, err);
    status = status ? status : read_generator(weights, config, err);
    return status ? status : read_tokens(weights, config, err);
}

utter_status ut_kokoro_config_from_gguf(struct ut_mem *mem, const struct ut_weights *weights,
                                        struct ut_kokoro_config *out, utter_error *err) {
    *out = (struct ut_kokoro_config){.mem = mem};
    if (ut_gguf_has(weights, UT_KOKORO_GGUF_CONFIG)) {
        const char *json = NULL;
        utter_status status = ut_gguf_get_string(weights, UT_KOKORO_GGUF_CONFIG, &json, err);
        status = status ? status : ut_kokoro_config_parse(mem, json, strlen(json), out, err);
        return status ? ut_fail_context(err, status, "the key \"%s\"", UT_KOKORO_GGUF_CONFIG)
                      : UTTER_OK;
    }
    utter_status status = read_ttscpp(weights, out, err);
    if (status) {
        ut_kokoro_config_free(out);
    }
    return status;
}
