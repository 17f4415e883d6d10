/* A voice's configuration: what is accepted keeps the ranges that its header promises, and turns
 * phonemes, its own symbols among them, into ids. */
#include <string.h>

#include "fuzz.h"
#include "models/piper/voice_config.h"

static void check_ranges(const struct ut_piper_config *c) {
    REQUIRE(c->sample_rate_hz >= 8000 && c->sample_rate_hz <= 48000);
    REQUIRE(c->n_speakers >= 1 && c->n_speakers <= 100000);
    REQUIRE(c->n_symbols >= 1 && c->n_symbols <= 65536);
    REQUIRE(c->default_speaker >= 0 && c->default_speaker < c->n_speakers);
    REQUIRE(c->noise_scale >= 0 && c->noise_scale <= 10 && c->noise_w >= 0 && c->noise_w <= 10);
    REQUIRE(c->length_scale >= 0.05f && c->length_scale <= 20);
    REQUIRE(c->phoneme_type != UT_PIPER_ESPEAK || c->espeak_voice[0]);
    REQUIRE(strlen(c->language) + strlen(c->quality) + strlen(c->dataset) < SIZE_MAX);
    for (size_t i = 0; i < c->n_map; i++) {
        REQUIRE(i == 0 || strcmp(c->symbols[i - 1].symbol, c->symbols[i].symbol) < 0);
        for (uint32_t k = 0; k < c->symbols[i].n_ids; k++) {
            REQUIRE(c->symbols[i].ids[k] >= 0 && c->symbols[i].ids[k] < 65536);
        }
    }
    for (int i = 0; i < c->n_speakers; i++) {
        REQUIRE(!c->speaker_names[i] || strlen(c->speaker_names[i]) < SIZE_MAX);
    }
}

static void append(const struct ut_piper_config *config, const char *phonemes,
                   struct ut_piper_ids *ids) {
    size_t before = ids->n;
    REQUIRE(ut_piper_ids_append(config, phonemes, strlen(phonemes), ids, NULL, NULL) == UTTER_OK);
    REQUIRE(ids->n >= before && ids->n <= ids->capacity);
}

static void use_config(const struct ut_piper_config *config) {
    struct ut_piper_ids ids = {0};
    append(config, "h\xC9\x99l\xCB\x88o\xCA\x8A, w\xCB\x88\xC9\x9C\xCB\x90ld.", &ids);
    for (size_t i = 0; i < config->n_map && i < 64; i++) {
        append(config, config->symbols[i].symbol, &ids);
    }
    for (size_t i = 0; i < config->n_vowel_clusters && i < 64; i++) {
        append(config, config->vowel_clusters[i], &ids);
    }
    ut_mem_free(config->mem, ids.ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct ut_mem mem;
    struct ut_piper_config config;
    utter_error err = {0};
    char *text = malloc(n ? n : 1);
    REQUIRE(text);
    if (n > 0) {
        memcpy(text, data, n);
    }
    ut_mem_init(&mem, NULL);
    utter_status status = ut_piper_config_parse(&mem, text, n, &config, &err);
    REQUIRE(atomic_load(&mem.peak_bytes) <= 16 * n + (1 << 20));
    if (status == UTTER_OK) {
        check_ranges(&config);
        use_config(&config);
    } else {
        REQUIRE(status == UTTER_ERROR_FORMAT && err.message[0]);
    }
    ut_piper_config_free(&config);
    free(text);
    REQUIRE(atomic_load(&mem.bytes[UT_MEM_OTHER]) == 0);
    REQUIRE(atomic_load(&mem.bytes[UT_MEM_SESSION]) == 0);
    return 0;
}
