/* Phonemes to phoneme ids. Source: docs/models/piper.md, front end, and the voice file's own
 * tables. */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "models/piper/voice_config.h"

/* Distinct unknown symbols that one call logs: a text in a foreign script would else flood the
 * log. */
enum { MAX_LOGGED = 16 };

/* A symbol of the text, not NUL-terminated: it points into the phonemes. */
struct key {
    const char *text;
    size_t n;
};

/* For bsearch over symbols sorted by strcmp: a key that is a proper prefix of the name sorts before
 * it. */
static int compare_key(const void *key, const void *symbol) {
    const struct key *k = key;
    const char *name = ((const struct ut_piper_symbol *)symbol)->symbol;
    int order = strncmp(k->text, name, k->n);
    return order != 0 ? order : -(name[k->n] != '\0');
}

static const struct ut_piper_symbol *find_symbol(const struct ut_piper_config *config,
                                                 struct key key) {
    return bsearch(&key, config->symbols, config->n_map, sizeof *config->symbols, compare_key);
}

/* The next symbol of text[0, n): the longest cluster there, else one code point. Clusters are
 * sorted longest first, so the first that fits is the longest. */
static struct key next_symbol(const struct ut_piper_config *config, const char *text, size_t n) {
    for (size_t i = 0; i < config->n_vowel_clusters; i++) {
        size_t n_cluster = strlen(config->vowel_clusters[i]);
        if (n_cluster <= n && memcmp(text, config->vowel_clusters[i], n_cluster) == 0) {
            return (struct key){text, n_cluster};
        }
    }
    size_t length = 1;
    while (length < n && ((unsigned char)text[length] & 0xC0) == 0x80) {
        length++;
    }
    return (struct key){text, length};
}

/* Room at least doubles each time, so that n ids cost O(n) copies. */
static utter_status append(const struct ut_piper_config *config,
                           const struct ut_piper_symbol *symbol, struct ut_piper_ids *out,
                           utter_error *err) {
    if (symbol->n_ids > out->capacity - out->n) {
        size_t capacity = 2 * out->capacity + symbol->n_ids + 64, n_bytes;
        int32_t *grown = ut_mul_size(capacity, sizeof *grown, &n_bytes)
                             ? ut_mem_realloc(config->mem, UT_MEM_SESSION, out->ids, n_bytes)
                             : NULL;
        if (!grown) {
            return ut_fail_memory(err, capacity * sizeof *grown);
        }
        out->ids = grown;
        out->capacity = capacity;
    }
    if (symbol->n_ids > 0) {
        memcpy(out->ids + out->n, symbol->ids, symbol->n_ids * sizeof *out->ids);
        out->n += symbol->n_ids;
    }
    return UTTER_OK;
}

/* `logged` holds the symbols of this call that were logged; behind MAX_LOGGED no more are. */
static void skip_symbol(struct key key, struct key *logged, size_t *n_logged,
                        const struct ut_log *log) {
    for (size_t i = 0; i < *n_logged; i++) {
        if (logged[i].n == key.n && memcmp(logged[i].text, key.text, key.n) == 0) {
            return;
        }
    }
    if (*n_logged < MAX_LOGGED) {
        logged[(*n_logged)++] = key;
        ut_log(log, UTTER_LOG_WARNING, "the voice has no id for the phoneme '%.*s': it is left out",
               (int)UT_MIN(key.n, 64), key.text);
    }
}

/* ^ _ (symbol _)* $: the padding behind every symbol is what the voices were trained with. The
 * three exist: the parser of the configuration checked that (voice_config.c), so none of the
 * searches for them is NULL. */
static utter_status append_symbols(const struct ut_piper_config *config, const char *phonemes,
                                   size_t n, struct ut_piper_ids *out, const struct ut_log *log,
                                   utter_error *err) {
    const struct ut_piper_symbol *pad = find_symbol(config, (struct key){"_", 1});
    struct key logged[MAX_LOGGED];
    size_t n_logged = 0;
    utter_status status = append(config, find_symbol(config, (struct key){"^", 1}), out, err);
    if (status == UTTER_OK) {
        status = append(config, pad, out, err);
    }
    for (size_t at = 0; at < n && status == UTTER_OK;) {
        struct key key = next_symbol(config, phonemes + at, n - at);
        const struct ut_piper_symbol *symbol = find_symbol(config, key);
        at += key.n;
        if (!symbol) {
            out->n_skipped++;
            skip_symbol(key, logged, &n_logged, log);
            continue;
        }
        status = append(config, symbol, out, err);
        if (status == UTTER_OK) {
            status = append(config, pad, out, err);
        }
    }
    return status == UTTER_OK ? append(config, find_symbol(config, (struct key){"$", 1}), out, err)
                              : status;
}

/* On failure the memory that was added stays with `out`, only its contents go back. */
utter_status ut_piper_ids_append(const struct ut_piper_config *config, const char *phonemes,
                                 size_t n_bytes, struct ut_piper_ids *out, const struct ut_log *log,
                                 utter_error *err) {
    size_t n_before = out->n;
    uint32_t n_skipped_before = out->n_skipped;
    utter_status status = append_symbols(config, phonemes, n_bytes, out, log, err);
    if (status != UTTER_OK) {
        out->n = n_before;
        out->n_skipped = n_skipped_before;
    }
    return status;
}
