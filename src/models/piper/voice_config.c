/* See voice_config.h. The format is what piper-tts 1.8.0 reads; the house voice's voice.json has
 * the same keys and more, which are read by the model. The order of the readers matters only where
 * one uses another's value: read_speakers needs num_speakers. Nothing is kept of the parsed
 * document: strings are copied, numbers converted. */
#include "models/piper/voice_config.h"

#include <float.h>
#include <string.h>

#include "base/checked.h"
#include "base/json.h"
#include "base/sort.h"

/* Limits against files that ask for absurd amounts of memory or time, far above any voice's: the
 * largest known here, libritts, has 904 speakers. A cluster is a few letters long. */
enum { MAX_SPEAKERS = 100000, MAX_SYMBOLS = 65536, MAX_CLUSTERS = 1024, MAX_CLUSTER_SYMBOLS = 16 };

/* State of one parse. A string of the document is copied at most once into `strings`, which has
 * room for all of them: each is shorter than its quoted form in the file. */
struct parser {
    struct ut_json *doc;
    struct ut_piper_config *config;
    size_t n_strings; /* bytes used of config->strings */
    utter_error *err;
};

static utter_status wrong_type(struct parser *p, const char *key, const char *wanted) {
    return ut_fail(p->err, UTTER_ERROR_FORMAT, "\"%s\" must be %s", key, wanted);
}

/* ---- Values ------------------------------------------------------------------------------- */

/* An absent or null value leaves *out alone; `object` -1 has no members. */
static bool is_absent(struct parser *p, ut_json_ref value) {
    return value < 0 || ut_json_type(p->doc, value) == UT_JSON_NULL;
}

/* *out is -1 for an absent object, whose members then are absent too: callers need not ask. */
static utter_status read_object(struct parser *p, ut_json_ref parent, const char *key,
                                ut_json_ref *out) {
    ut_json_ref value = ut_json_member(p->doc, parent, key);
    *out = -1;
    if (is_absent(p, value)) {
        return UTTER_OK;
    }
    if (ut_json_type(p->doc, value) != UT_JSON_OBJECT) {
        return wrong_type(p, key, "an object");
    }
    *out = value;
    return UTTER_OK;
}

/* A number outside low..high is an error and never clamped: the file is wrong, and who speaks with
 * it should know. */
static utter_status read_int(struct parser *p, ut_json_ref parent, const char *key, int32_t low,
                             int32_t high, int32_t *out) {
    ut_json_ref value = ut_json_member(p->doc, parent, key);
    int64_t number;
    if (is_absent(p, value)) {
        return UTTER_OK;
    }
    if (!ut_json_int64(p->doc, value, &number) || number < low || number > high) {
        return ut_fail(p->err, UTTER_ERROR_FORMAT, "\"%s\" must be an integer in %d..%d", key, low,
                       high);
    }
    *out = (int32_t)number;
    return UTTER_OK;
}

static utter_status read_float(struct parser *p, ut_json_ref parent, const char *key, double low,
                               double high, float *out) {
    ut_json_ref value = ut_json_member(p->doc, parent, key);
    double number;
    if (is_absent(p, value)) {
        return UTTER_OK;
    }
    if (!ut_json_double(p->doc, value, &number) || number < low || number > high) {
        return ut_fail(p->err, UTTER_ERROR_FORMAT, "\"%s\" must be a number in %g..%g", key, low,
                       high);
    }
    *out = (float)number;
    return UTTER_OK;
}

/* Appends n bytes and a NUL; see struct parser for why there is room. */
static const char *keep_string(struct parser *p, const char *text, size_t n) {
    char *copy = p->config->strings + p->n_strings;
    memcpy(copy, text, n);
    copy[n] = '\0';
    p->n_strings += n + 1;
    return copy;
}

/* NULL if the value is no string or holds U+0000. */
static const char *plain_string(struct parser *p, ut_json_ref value, size_t *n) {
    const char *text = ut_json_string(p->doc, value, n);
    return text && strlen(text) == *n ? text : NULL;
}

static utter_status read_string(struct parser *p, ut_json_ref parent, const char *key,
                                const char **out) {
    ut_json_ref value = ut_json_member(p->doc, parent, key);
    size_t n;
    if (is_absent(p, value)) {
        return UTTER_OK;
    }
    const char *text = plain_string(p, value, &n);
    if (!text) {
        return wrong_type(p, key, "a string");
    }
    *out = keep_string(p, text, n);
    return UTTER_OK;
}

/* A sorted copy of n items of `size` bytes, or NULL; takes `items` in either case. */
static void *sort_items(struct parser *p, void *items, size_t n, size_t size,
                        ut_compare_fn compare) {
    struct ut_mem *mem = p->config->mem;
    uint32_t *order = ut_mem_calloc(mem, UT_MEM_OTHER, n, sizeof *order);
    char *sorted = ut_mem_calloc(mem, UT_MEM_OTHER, n, size);
    if (order && sorted) {
        for (size_t i = 0; i < n; i++) {
            order[i] = (uint32_t)i;
        }
        ut_sort_u32(order, n, compare, items);
        for (size_t i = 0; i < n; i++) {
            memcpy(sorted + i * size, (const char *)items + order[i] * size, size);
        }
    } else {
        ut_mem_free(mem, sorted);
        sorted = NULL;
        (void)ut_fail_memory(p->err, n * size);
    }
    ut_mem_free(mem, order);
    ut_mem_free(mem, items);
    return sorted;
}

/* ---- Phoneme ids --------------------------------------------------------------------------- */

/* `ids` has room for all of the symbol's: read_phoneme_ids counted the entries of every value. A
 * symbol with an empty list is legal and adds nothing but the padding behind it. */
static utter_status read_symbol(struct parser *p, ut_json_ref value, struct ut_piper_symbol *out,
                                int32_t *ids) {
    const char *key = ut_json_key(p->doc, value);
    *out = (struct ut_piper_symbol){.symbol = keep_string(p, key, strlen(key)), .ids = ids};
    bool is_good = ut_json_type(p->doc, value) == UT_JSON_ARRAY;
    for (ut_json_ref id = is_good ? ut_json_first(p->doc, value) : -1; id >= 0;
         id = ut_json_next(p->doc, id)) {
        int64_t number;
        is_good =
            is_good && ut_json_int64(p->doc, id, &number) && number >= 0 && number < MAX_SYMBOLS;
        ids[out->n_ids++] = is_good ? (int32_t)number : 0;
    }
    return is_good ? UTTER_OK
                   : ut_fail(p->err, UTTER_ERROR_FORMAT,
                             "\"phoneme_id_map\": \"%s\" must be a list of integers in 0..%d", key,
                             MAX_SYMBOLS - 1);
}

static int compare_symbols(uint32_t a, uint32_t b, const void *context) {
    const struct ut_piper_symbol *symbols = context;
    return strcmp(symbols[a].symbol, symbols[b].symbol);
}

static utter_status read_phoneme_ids(struct parser *p, ut_json_ref root) {
    struct ut_piper_config *config = p->config;
    ut_json_ref map;
    utter_status status = read_object(p, root, "phoneme_id_map", &map);
    if (status != UTTER_OK) {
        return status;
    }
    static const char *const needed[] = {"^", "_", "$"};
    for (size_t i = 0; i < UT_COUNT(needed); i++) {
        if (ut_json_member(p->doc, map, needed[i]) < 0) {
            return ut_fail(p->err, UTTER_ERROR_FORMAT, "\"phoneme_id_map\" is missing \"%s\"",
                           needed[i]);
        }
    }
    size_t n_ids = 0, n_used = 0;
    for (ut_json_ref value = ut_json_first(p->doc, map); value >= 0;
         value = ut_json_next(p->doc, value)) {
        n_ids += ut_json_count(p->doc, value);
    }
    config->symbols = ut_mem_calloc(config->mem, UT_MEM_OTHER, ut_json_count(p->doc, map),
                                    sizeof *config->symbols);
    config->ids = ut_mem_calloc(config->mem, UT_MEM_OTHER, n_ids, sizeof *config->ids);
    if (!config->symbols || !config->ids) {
        return ut_fail_memory(p->err, n_ids * sizeof *config->ids);
    }
    for (ut_json_ref value = ut_json_first(p->doc, map); value >= 0 && status == UTTER_OK;
         value = ut_json_next(p->doc, value)) {
        struct ut_piper_symbol *symbol = &config->symbols[config->n_map++];
        status = read_symbol(p, value, symbol, config->ids + n_used);
        n_used += symbol->n_ids;
    }
    if (status == UTTER_OK) {
        config->symbols =
            sort_items(p, config->symbols, config->n_map, sizeof *config->symbols, compare_symbols);
        status = config->symbols ? UTTER_OK : UTTER_ERROR_MEMORY;
    }
    return status;
}

/* ---- Vowel clusters ------------------------------------------------------------------------ */

static size_t count_symbols(const char *text, size_t n) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        count += ((unsigned char)text[i] & 0xC0) != 0x80;
    }
    return count;
}

/* A cluster is a list of symbols of one code point each, or a string of them. Returns the joined
 * string, or NULL if it is neither. */
static const char *read_cluster(struct parser *p, ut_json_ref value) {
    size_t n_start = p->n_strings, n, n_symbols = 0;
    const char *text = plain_string(p, value, &n);
    if (text) {
        n_symbols = count_symbols(text, n);
        keep_string(p, text, n);
    } else {
        for (ut_json_ref s = ut_json_first(p->doc, value); s >= 0; s = ut_json_next(p->doc, s)) {
            text = ut_json_type(p->doc, value) == UT_JSON_ARRAY ? plain_string(p, s, &n) : NULL;
            if (!text || count_symbols(text, n) != 1) {
                return NULL;
            }
            p->n_strings -= n_symbols++ > 0; /* over the NUL of the one before */
            keep_string(p, text, n);
        }
    }
    return n_symbols >= 2 && n_symbols <= MAX_CLUSTER_SYMBOLS ? p->config->strings + n_start : NULL;
}

/* More code points first; equal lengths by strcmp, so that the order does not depend on the
 * file's. */
static int compare_clusters(uint32_t a, uint32_t b, const void *context) {
    const char *const *clusters = context;
    size_t n_a = count_symbols(clusters[a], strlen(clusters[a]));
    size_t n_b = count_symbols(clusters[b], strlen(clusters[b]));
    return n_a != n_b ? (n_a < n_b) - (n_a > n_b) : strcmp(clusters[a], clusters[b]);
}

/* Absent, null and empty, as a list or as an object, are the same: no clusters. */
static utter_status read_vowel_clusters(struct parser *p, ut_json_ref root) {
    struct ut_piper_config *config = p->config;
    ut_json_ref list = ut_json_member(p->doc, root, "vowel_clusters");
    bool is_container =
        ut_json_type(p->doc, list) == UT_JSON_ARRAY || ut_json_type(p->doc, list) == UT_JSON_OBJECT;
    if (is_absent(p, list) || (is_container && ut_json_count(p->doc, list) == 0)) {
        return UTTER_OK;
    }
    if (ut_json_type(p->doc, list) != UT_JSON_ARRAY) {
        return wrong_type(p, "vowel_clusters", "a list");
    }
    size_t n = ut_json_count(p->doc, list);
    if (n > MAX_CLUSTERS) {
        return ut_fail(p->err, UTTER_ERROR_FORMAT, "\"vowel_clusters\" has %zu entries, at most %d",
                       n, MAX_CLUSTERS);
    }
    config->vowel_clusters =
        ut_mem_calloc(config->mem, UT_MEM_OTHER, n, sizeof *config->vowel_clusters);
    if (!config->vowel_clusters) {
        return ut_fail_memory(p->err, n * sizeof *config->vowel_clusters);
    }
    for (ut_json_ref value = ut_json_first(p->doc, list); value >= 0;
         value = ut_json_next(p->doc, value)) {
        const char *cluster = read_cluster(p, value);
        if (!cluster) {
            return ut_fail(
                p->err, UTTER_ERROR_FORMAT,
                "\"vowel_clusters\": number %zu must be a list of 2..%d single characters",
                config->n_vowel_clusters + 1, MAX_CLUSTER_SYMBOLS);
        }
        config->vowel_clusters[config->n_vowel_clusters++] = cluster;
    }
    config->vowel_clusters =
        sort_items(p, config->vowel_clusters, n, sizeof *config->vowel_clusters, compare_clusters);
    return config->vowel_clusters ? UTTER_OK : UTTER_ERROR_MEMORY;
}

/* ---- Speakers ------------------------------------------------------------------------------ */

/* Turned round, from name -> id to id -> name. Ids without a name are legal. */
static utter_status read_speakers(struct parser *p, ut_json_ref root) {
    struct ut_piper_config *config = p->config;
    ut_json_ref map;
    utter_status status = read_object(p, root, "speaker_id_map", &map);
    if (status != UTTER_OK) {
        return status;
    }
    config->speaker_names = ut_mem_calloc(config->mem, UT_MEM_OTHER, (size_t)config->n_speakers,
                                          sizeof *config->speaker_names);
    if (!config->speaker_names) {
        return ut_fail_memory(p->err, (size_t)config->n_speakers * sizeof *config->speaker_names);
    }
    for (ut_json_ref value = ut_json_first(p->doc, map); value >= 0;
         value = ut_json_next(p->doc, value)) {
        const char *name = ut_json_key(p->doc, value);
        int64_t id;
        if (!ut_json_int64(p->doc, value, &id) || id < 0 || id >= config->n_speakers) {
            return ut_fail(p->err, UTTER_ERROR_FORMAT,
                           "\"speaker_id_map\": \"%s\" must be an integer in 0..%d", name,
                           config->n_speakers - 1);
        }
        if (!config->speaker_names[id]) { /* of two names for one speaker the first counts */
            config->speaker_names[id] = keep_string(p, name, strlen(name));
        }
    }
    return UTTER_OK;
}

/* ---- The file ------------------------------------------------------------------------------ */

static utter_status read_audio(struct parser *p, ut_json_ref root) {
    ut_json_ref audio;
    utter_status status = read_object(p, root, "audio", &audio);
    if (status == UTTER_OK) {
        status = read_int(p, audio, "sample_rate", 8000, 48000, &p->config->sample_rate_hz);
    }
    if (status == UTTER_OK && p->config->sample_rate_hz == 0) {
        return ut_fail(p->err, UTTER_ERROR_FORMAT, "\"audio\" is missing \"sample_rate\"");
    }
    return status == UTTER_OK ? read_string(p, audio, "quality", &p->config->quality) : status;
}

static utter_status read_inference(struct parser *p, ut_json_ref root) {
    ut_json_ref inference;
    utter_status status = read_object(p, root, "inference", &inference);
    if (status == UTTER_OK) {
        status = read_float(p, inference, "noise_scale", 0, 10, &p->config->noise_scale);
    }
    if (status == UTTER_OK) {
        status = read_float(p, inference, "length_scale", 0.05, 20, &p->config->length_scale);
    }
    return status == UTTER_OK ? read_float(p, inference, "noise_w", 0, 10, &p->config->noise_w)
                              : status;
}

/* "phoneme_type" says where phonemes come from: "espeak" by the voice's espeak-ng language, "text"
 * the characters themselves. With any other the voice can be loaded; the backend refuses it with
 * the name (backend/piper_voice.c). */
static utter_status read_language(struct parser *p, ut_json_ref root) {
    struct ut_piper_config *config = p->config;
    ut_json_ref espeak, language;
    utter_status status = read_object(p, root, "espeak", &espeak);
    if (status == UTTER_OK) {
        status = read_string(p, espeak, "voice", &config->espeak_voice);
    }
    if (status == UTTER_OK) {
        status = read_string(p, root, "phoneme_type", &config->phoneme_type_name);
    }
    if (status != UTTER_OK) {
        return status;
    }
    config->phoneme_type = strcmp(config->phoneme_type_name, "espeak") == 0 ? UT_PIPER_ESPEAK
                           : strcmp(config->phoneme_type_name, "text") == 0
                               ? UT_PIPER_TEXT
                               : UT_PIPER_PHONEME_TYPE_OTHER;
    if (config->phoneme_type == UT_PIPER_ESPEAK && config->espeak_voice[0] == '\0') {
        return ut_fail(p->err, UTTER_ERROR_FORMAT, "\"espeak\" is missing \"voice\"");
    }
    config->language = config->espeak_voice;
    status = read_object(p, root, "language", &language);
    return status == UTTER_OK ? read_string(p, language, "code", &config->language) : status;
}

static utter_status read_counts(struct parser *p, ut_json_ref root) {
    struct ut_piper_config *config = p->config;
    utter_status status = read_int(p, root, "num_speakers", 1, MAX_SPEAKERS, &config->n_speakers);
    if (status == UTTER_OK) {
        status = read_int(p, root, "num_symbols", 1, MAX_SYMBOLS, &config->n_symbols);
    }
    if (status == UTTER_OK) {
        status = read_int(p, root, "default_speaker_id", 0, config->n_speakers - 1,
                          &config->default_speaker);
    }
    return status == UTTER_OK ? read_int(p, root, "hop_length", 1, 4096, &config->hop_length)
                              : status;
}

/* Each reader leaves defaults alone where the file says nothing; the first error ends all. */
static utter_status read_all(struct parser *p) {
    const ut_json_ref root = 0;
    ut_json_ref ignored;
    if (ut_json_type(p->doc, root) != UT_JSON_OBJECT) {
        return ut_fail(p->err, UTTER_ERROR_FORMAT, "the configuration must be a JSON object");
    }
    utter_status (*const readers[])(struct parser *, ut_json_ref) = {
        read_audio,       read_counts,         read_inference, read_language,
        read_phoneme_ids, read_vowel_clusters, read_speakers,
    };
    utter_status status = read_string(p, root, "dataset", &p->config->dataset);
    for (size_t i = 0; i < UT_COUNT(readers) && status == UTTER_OK; i++) {
        status = readers[i](p, root);
    }
    return status == UTTER_OK ? read_object(p, root, "phoneme_map", &ignored) : status;
}

/* Defaults stand before any reader runs, and are those of piper-tts. */
utter_status ut_piper_config_parse(struct ut_mem *mem, const char *text, size_t n,
                                   struct ut_piper_config *out, utter_error *err) {
    *out = (struct ut_piper_config){
        .mem = mem,
        .n_speakers = 1,
        .n_symbols = 256,
        .noise_scale = 0.667f,
        .length_scale = 1.0f,
        .noise_w = 0.8f,
        .phoneme_type_name = "espeak",
        .espeak_voice = "",
        .language = "",
        .quality = "",
        .dataset = "",
    };
    struct parser p = {.config = out, .err = err};
    utter_status status = ut_json_parse(mem, text, n, &p.doc, err);
    if (status != UTTER_OK) {
        return status;
    }
    out->strings = ut_mem_alloc(mem, UT_MEM_OTHER, n);
    status = out->strings ? read_all(&p) : ut_fail_memory(err, n);
    ut_json_free(p.doc);
    if (status != UTTER_OK) {
        ut_piper_config_free(out);
    }
    return status;
}

void ut_piper_config_free(struct ut_piper_config *config) {
    if (config->mem) {
        ut_mem_free(config->mem, config->strings);
        ut_mem_free(config->mem, config->ids);
        ut_mem_free(config->mem, config->symbols);
        ut_mem_free(config->mem, config->vowel_clusters);
        ut_mem_free(config->mem, config->speaker_names);
    }
    *config = (struct ut_piper_config){.mem = NULL};
}
