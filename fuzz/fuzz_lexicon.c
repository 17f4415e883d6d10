/* Lexicons: the first byte chooses the format, the rest is parts that 0xFF separates: the text,
 * then gold and silver word lists, or lines of graphemes, of rules and of words, each line
 * "key=value". What loads is asked for the text's phonemes, with and without a fallback. */
#include <string.h>

#include "base/utf8.h"
#include "fuzz.h"
#include "text/lexicon_parts.h"

enum { MAX_LINES = 4096 };

/* The part at *at as a NUL-terminated copy, exactly sized; NULs in it become spaces. */
static char *take_part(const uint8_t *data, size_t n, size_t *at, size_t *n_part) {
    const uint8_t *begin = data + *at, *end = *at < n ? memchr(begin, 0xFF, n - *at) : NULL;
    *n_part = end ? (size_t)(end - begin) : n - *at;
    char *part = malloc(*n_part + 1);
    REQUIRE(part);
    memcpy(part, begin, *n_part);
    part[*n_part] = '\0';
    for (size_t i = 0; i < *n_part; i++) {
        part[i] = part[i] ? part[i] : ' ';
    }
    *at += *n_part + (end ? 1 : 0);
    return part;
}

struct columns {
    const char *keys[MAX_LINES], *values[MAX_LINES];
    size_t n;
};

/* Cuts `lines` in place. */
static void take_columns(char *lines, struct columns *columns) {
    columns->n = 0;
    for (char *line = lines; line && columns->n < MAX_LINES;) {
        char *next = strchr(line, '\n');
        if (next) {
            *next++ = '\0';
        }
        char *value = strchr(line, '=');
        if (value) {
            *value++ = '\0';
        }
        columns->keys[columns->n] = line;
        columns->values[columns->n++] = value ? value : "";
        line = next;
    }
}

static utter_status echo(void *user, const char *word, size_t n, struct ut_text_buffer *out,
                         utter_error *err) {
    REQUIRE(ut_utf8_valid(word, n));
    ++*(size_t *)user;
    return ut_text_buffer_append(out, word, n, err);
}

/* Single spaces, none at the ends, as long as the data puts none into its phonemes. */
static void check_spacing(const struct ut_text_buffer *out, bool data_has_spaces) {
    if (out->n > 0 && !data_has_spaces) {
        REQUIRE(out->data[0] != ' ' && out->data[out->n - 1] != ' ');
        REQUIRE(memmem(out->data, out->n, "  ", 2) == NULL);
    }
}

static void use_lexicon(struct ut_mem *mem, const struct ut_lexicon *lexicon, const char *text,
                        size_t n, bool data_has_spaces) {
    struct ut_text_buffer out = {.mem = mem};
    size_t n_unknown = 0, n_told = 0;
    REQUIRE(ut_lexicon_phonemize(lexicon, text, n, NULL, NULL, &out, &n_unknown, NULL) == UTTER_OK);
    REQUIRE(n_unknown <= n);
    check_spacing(&out, data_has_spaces);
    out.n = 0;
    REQUIRE(ut_lexicon_phonemize(lexicon, text, n, echo, &n_told, &out, &n_unknown, NULL) ==
            UTTER_OK);
    REQUIRE(n_told <= n);
    ut_text_buffer_free(&out);
}

static utter_status load(struct ut_mem *mem, int format, const uint8_t *data, size_t n, size_t at,
                         struct ut_lexicon **out) {
    static struct columns graphemes, rules, words;
    size_t sizes[3];
    char *parts[3];
    for (int i = 0; i < 3; i++) {
        parts[i] = take_part(data, n, &at, &sizes[i]);
    }
    utter_status status;
    if (format & 1) {
        struct ut_slice gold = {parts[0], sizes[0]}, silver = {parts[1], sizes[1]};
        status =
            ut_lexicon_from_misaki(mem, &gold, format & 2 ? &silver : NULL, format & 4, out, NULL);
    } else {
        take_columns(parts[0], &graphemes);
        take_columns(parts[1], &rules);
        take_columns(parts[2], &words);
        struct ut_lexicon_rules source = {.graphemes = graphemes.keys,
                                          .n_graphemes = graphemes.n,
                                          .rule_keys = rules.keys,
                                          .rule_phonemes = rules.values,
                                          .n_rules = rules.n,
                                          .dictionary_keys = words.keys,
                                          .dictionary_values = words.values,
                                          .n_dictionary = words.n};
        status = ut_lexicon_from_rules(mem, &source, out, NULL);
    }
    for (int i = 0; i < 3; i++) {
        free(parts[i]);
    }
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    if (n == 0) {
        return 0;
    }
    struct ut_mem mem;
    struct ut_lexicon *lexicon;
    size_t at = 1, n_text;
    ut_mem_init(&mem, NULL);
    char *text = take_part(data, n, &at, &n_text);
    char *exact = malloc(n_text + (n_text == 0));
    REQUIRE(exact);
    memcpy(exact, text, n_text);
    utter_status status = load(&mem, data[0], data, n, at, &lexicon);
    REQUIRE(status == UTTER_OK || (status == UTTER_ERROR_FORMAT && !lexicon));
    if (status == UTTER_OK && ut_utf8_valid(exact, n_text)) {
        bool data_has_spaces = memchr(data + at, ' ', n - at) || memchr(data + at, '\0', n - at) ||
                               memchr(data + at, '\\', n - at);
        use_lexicon(&mem, lexicon, exact, n_text, data_has_spaces);
    }
    ut_lexicon_destroy(lexicon);
    REQUIRE(atomic_load(&mem.bytes[UT_MEM_OTHER]) == 0);
    REQUIRE(atomic_load(&mem.bytes[UT_MEM_SESSION]) == 0);
    free(text);
    free(exact);
    return 0;
}
