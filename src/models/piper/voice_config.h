/* The JSON beside a Piper voice (VOICE.onnx.json) or the house voice (voice.json): read, range-checked
 * and turned into plain tables. Unknown keys are ignored; a key of the wrong type is an error. */
#ifndef UT_PIPER_VOICE_CONFIG_H
#define UT_PIPER_VOICE_CONFIG_H

#include "base/error.h"
#include "base/mem.h"

enum ut_piper_phoneme_type { UT_PIPER_ESPEAK, UT_PIPER_TEXT, UT_PIPER_PHONEME_TYPE_OTHER };

struct ut_piper_symbol {
    const char *symbol; /* UTF-8 as in phoneme_id_map */
    const int32_t *ids;
    uint32_t n_ids;
};

struct ut_piper_config {
    struct ut_mem *mem;
    char *strings;            /* what the strings below point into */
    int32_t *ids;             /* and the ids of the symbols */
    int32_t sample_rate_hz;   /* 8000..48000 */
    int32_t n_speakers;       /* 1..100000; 1 when absent */
    int32_t n_symbols;        /* num_symbols, 1..65536; 256 when absent */
    int32_t default_speaker;  /* default_speaker_id, else 0 */
    int32_t hop_length;       /* 0: not stated */
    float noise_scale, noise_w; /* 0..10; 0.667 and 0.8 when absent */
    float length_scale;         /* 0.05..20; 1 when absent */
    enum ut_piper_phoneme_type phoneme_type;
    const char *phoneme_type_name;
    const char *espeak_voice; /* "" when absent */
    const char *language;     /* language.code, else the espeak voice */
    const char *quality, *dataset;
    struct ut_piper_symbol *symbols; /* sorted by symbol (strcmp) */
    size_t n_map;
    const char **vowel_clusters; /* longest first; NULL: none */
    size_t n_vowel_clusters;
    const char **speaker_names;  /* [n_speakers]; NULL where speaker_id_map names none */
};

/* Parses n bytes of JSON. ERROR_FORMAT names the key, or the offset where it is no JSON. On failure
 * nothing needs to be freed. The map must have "^", "_" and "$"; ids at or above n_symbols are kept
 * here and left out by the model. phoneme_map, which only the first C++ program read, must be an object
 * and is ignored. */
UTTER_CHECKED utter_status ut_piper_config_parse(struct ut_mem *mem, const char *text, size_t n,
                                                 struct ut_piper_config *out, utter_error *err);
void ut_piper_config_free(struct ut_piper_config *config);

struct ut_piper_ids { /* starts as {0}; free ids with ut_mem_free of the configuration's mem */
    int32_t *ids;
    size_t n, capacity;
    uint32_t n_skipped;
};

/* Phonemes to ids: BOS PAD, then each symbol's ids with PAD behind, then EOS; vowel clusters merged
 * first (also in [[raw phonemes]], where Piper leaves them apart). Appends to `out`, which on failure
 * holds what it held before. Symbols without an id are counted in n_skipped and, each distinct one once
 * a call, logged. Source: docs/models/piper.md, front end. */
UTTER_CHECKED utter_status ut_piper_ids_append(const struct ut_piper_config *config,
                                               const char *phonemes, size_t n_bytes,
                                               struct ut_piper_ids *out, const struct ut_log *log,
                                               utter_error *err);

#endif
