/* Kokoro's settings: the first line is a mixture of voices, the rest config.json. What is accepted
 * keeps the ranges that the headers promise, and a mixture that is accepted gives a style. */
#include <math.h>
#include <string.h>

#include "fuzz.h"
#include "models/kokoro/config.h"
#include "models/kokoro/voices.h"
#include "support/gguf_text.h"

/* A GGUF file with three voices of [510, 1]; a '-' in the name of one. */
static const char voices_file[] = "GGUF 4:3 8:3 8:0 "
                                  "s:voices.af_bella 4:2 8:1 8:510 4:0 8:0 "
                                  "s:voices.af_sky 4:2 8:1 8:510 4:0 8:2048 "
                                  "s:voices.b-c 4:2 8:1 8:510 4:0 8:4096 "
                                  "pad:32 data:2040 pad:32 data:2040 pad:32 data:2040 pad:32";

static void check_list(const int *values, int n, int capacity) {
    REQUIRE(n >= 1 && n <= capacity);
    for (int i = 0; i < n; i++) {
        REQUIRE(values[i] >= 1 && values[i] <= 64);
    }
}

static void check_config(const struct ut_kokoro_config *c) {
    REQUIRE(c->n_heads >= 1 && c->n_repeats >= 1 && c->n_repeats <= 64);
    REQUIRE(c->n_fft >= 2 && c->n_fft <= 1024 && c->n_fft % 2 == 0);
    REQUIRE(c->hop >= 1 && c->hop <= c->n_fft);
    check_list(c->upsample_rates, c->n_upsamples, KOKORO_MAX_UPSAMPLES);
    check_list(c->kernel_sizes, c->n_kernels, KOKORO_MAX_KERNELS);
    for (int i = 0; i < c->n_kernels; i++) {
        check_list(c->dilations[i], c->n_dilations, KOKORO_MAX_DILATIONS);
    }
    REQUIRE(c->n_token >= 0 && c->n_token <= KOKORO_MAX_TOKENS && c->style_dim >= 0);
    REQUIRE(c->n_symbols >= 1 && c->n_symbols <= KOKORO_MAX_TOKENS);
    for (size_t i = 0; i < c->n_symbols; i++) {
        const struct ut_kokoro_symbol *symbol = &c->symbols[i];
        REQUIRE(i == 0 || symbol[-1].code_point < symbol->code_point);
        REQUIRE(symbol->id >= 0 && symbol->id < (c->n_token ? c->n_token : KOKORO_MAX_TOKENS));
        REQUIRE(ut_kokoro_symbol_id(c, symbol->code_point) == symbol->id);
    }
}

static void try_config(const char *json, size_t n) {
    struct ut_mem mem;
    struct ut_kokoro_config config;
    utter_error err = {0};
    ut_mem_init(&mem, NULL);
    utter_status status = ut_kokoro_config_parse(&mem, json, n, &config, &err);
    REQUIRE(atomic_load(&mem.peak_bytes) <= 16 * n + (1 << 20));
    if (status == UTTER_OK) {
        check_config(&config);
    } else {
        REQUIRE(status == UTTER_ERROR_FORMAT && err.message[0]);
    }
    ut_kokoro_config_free(&config);
    REQUIRE(atomic_load(&mem.bytes[UT_MEM_OTHER]) == 0);
}

static void check_blend(const struct ut_kokoro_voices *voices,
                        const struct ut_kokoro_blend *blend) {
    double sum = 0, size = 0;
    float style;
    REQUIRE(blend->n >= 1 && blend->n <= UT_KOKORO_MAX_BLEND);
    for (int i = 0; i < blend->n; i++) {
        REQUIRE(blend->parts[i].voice < ut_kokoro_voices_count(voices));
        sum += (double)blend->parts[i].weight;
        size += fabs((double)blend->parts[i].weight);
    }
    REQUIRE(fabs(sum - 1) <= 1e-6 * size);
    REQUIRE(ut_kokoro_style(voices, blend, 7, &style, NULL) == UTTER_OK && isfinite(style));
}

static void try_blend(const char *expression) {
    struct ut_mem mem;
    struct gguf_text file = {0};
    struct ut_weights *weights;
    struct ut_kokoro_voices *voices;
    struct ut_kokoro_blend blend;
    utter_error err = {0};
    ut_mem_init(&mem, NULL);
    gguf_text_append(&file, voices_file);
    REQUIRE(ut_weights_parse(&mem, file.file.data, file.file.n, &weights, &err) == UTTER_OK);
    REQUIRE(ut_kokoro_voices_open(&mem, "", weights, 1, NULL, &voices, &err) == UTTER_OK);
    utter_status status = ut_kokoro_blend_parse(voices, expression, &blend, &err);
    if (status == UTTER_OK) {
        check_blend(voices, &blend);
    } else {
        REQUIRE((status == UTTER_ERROR_ARGUMENT || status == UTTER_ERROR_NOT_FOUND) &&
                err.message[0]);
    }
    ut_kokoro_voices_close(voices);
    ut_weights_close(weights);
    gguf_text_free(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    const uint8_t *newline = n ? memchr(data, '\n', n) : NULL;
    size_t n_line = newline ? (size_t)(newline - data) : n, n_json = newline ? n - n_line - 1 : 0;
    char *line = malloc(n_line + 1), *json = malloc(n_json ? n_json : 1);
    REQUIRE(line && json);
    if (n_line > 0) {
        memcpy(line, data, n_line);
    }
    line[n_line] = '\0';
    if (n_json > 0) {
        memcpy(json, newline + 1, n_json);
    }
    try_blend(line);
    try_config(json, n_json);
    free(line);
    free(json);
    return 0;
}
