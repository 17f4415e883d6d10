/* Kokoro's front end as a whole: the recordings of frontend_golden.tsv (its head tells the
 * columns), odd texts, languages, failing allocations, threads. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"
#include "base/json.h"
#include "support/byte_buffer.h"
#include "support/failing_allocator.h"
#include "text/espeak_lib.h"
#include "text/misaki.h"
#include "text/utf8_walk.h"
#include "ut_config.h"

static struct ut_mem mem;

/* ---- Languages ------------------------------------------------------------------------------ */

static void language_names(void **state) {
    static const struct {
        const char *name;
        char code;
    } cases[] = {
        {"a", 'a'},     {"A", 'a'},     {"en-us", 'a'}, {"en_US", 'a'}, {"EN", 'a'}, {"b", 'b'},
        {"en-GB", 'b'}, {"en_gb", 'b'}, {"e", 'e'},     {"es", 'e'},    {"f", 'f'},  {"fr-FR", 'f'},
        {"fr", 'f'},    {"h", 'h'},     {"hi", 'h'},    {"i", 'i'},     {"it", 'i'}, {"j", 'j'},
        {"ja", 'j'},    {"p", 'p'},     {"pt_BR", 'p'}, {"z", 'z'},     {"zh", 'z'}, {"cmn", 'z'},
        {"", 0},        {"xx", 0},      {"en-", 0},     {"en-usa", 0},  {"-", 0},    {"c", 0},
    };
    for (size_t i = 0; i < UT_COUNT(cases); i++) {
        if (ut_misaki_language(cases[i].name) != cases[i].code) {
            fail_msg("'%s' is not '%c'", cases[i].name, cases[i].code);
        }
    }
    assert_string_equal(ut_misaki_espeak_voice('a'), "en-us");
    assert_string_equal(ut_misaki_espeak_voice('b'), "gmw/en");
    assert_string_equal(ut_misaki_espeak_voice('f'), "roa/fr");
    assert_string_equal(ut_misaki_espeak_voice('z'), "");
    assert_string_equal(ut_misaki_espeak_voice('?'), "");
}

static size_t count_symbols(const char *s) {
    size_t n = 0;
    for (; *s; s++) {
        n += !ut_utf8_is_tail(*s);
    }
    return n;
}

/* Checks what holds for every list: the ranges cover the text in order, between characters, and the
 * chunks are what a voice can speak. */
static void check_list(const struct ut_sentences *list, const char *text, size_t n_text) {
    for (size_t i = 0; i < list->n; i++) {
        const struct ut_sentence *s = &list->items[i];
        assert_int_equal(s->n_bytes, strlen(s->phonemes));
        assert_int_equal(s->text_begin, i > 0 ? list->items[i - 1].text_end : 0);
        assert_true(s->text_end >= s->text_begin && s->text_end <= n_text);
        assert_true(s->text_end == n_text || !ut_utf8_is_tail(text[s->text_end]));
        assert_in_range(count_symbols(s->phonemes), 1, UT_MISAKI_MAX_SYMBOLS);
        assert_true(s->phonemes[0] != ' ' && s->phonemes[s->n_bytes - 1] != ' ');
    }
    assert_true(list->n == 0 || list->items[list->n - 1].text_end == n_text);
}

static void phonemize(char language, const char *text, struct ut_sentences *out) {
    struct ut_misaki misaki = {.language = language};
    utter_error err;
    if (ut_phonemize_misaki(&mem, &misaki, text, strlen(text), out, NULL, &err) != UTTER_OK) {
        fail_msg("%c: %s: %s", language, text, err.message);
    }
    check_list(out, text, strlen(text));
}

/* The chunks, joined by '|'; free it. */
static char *phonemes_of(char language, const char *text) {
    struct ut_sentences out;
    struct byte_buffer all = {0};
    phonemize(language, text, &out);
    for (size_t i = 0; i < out.n; i++) {
        byte_buffer_append(&all, "|", i > 0);
        byte_buffer_append(&all, out.items[i].phonemes, out.items[i].n_bytes);
    }
    byte_buffer_append_u8(&all, 0);
    ut_sentences_free(&out);
    return (char *)all.data;
}

static void assert_phonemes(char language, const char *text, const char *expected) {
    char *got = phonemes_of(language, text);
    if (strcmp(got, expected) != 0) {
        fail_msg("%c: %s: '%s', not '%s'", language, text, got, expected);
    }
    free(got);
}

static void assert_refused(char language, const char *text, size_t n, utter_status status,
                           const char *message) {
    struct ut_misaki misaki = {.language = language};
    struct ut_sentences out;
    utter_error err;
    assert_int_equal(ut_phonemize_misaki(&mem, &misaki, text, n, &out, NULL, &err), status);
    if (!strstr(err.message, message)) {
        fail_msg("'%s' is not in '%s'", message, err.message);
    }
    assert_int_equal(out.n, 0);
}

static void refused_texts(void **state) {
    assert_refused('a', "a\0b", 3, UTTER_ERROR_ARGUMENT, "NUL byte at offset 1");
    assert_refused('a', "abc\xFF", 4, UTTER_ERROR_ARGUMENT, "offset 3");
    assert_refused('a', "\xED\xA0\x80", 3, UTTER_ERROR_ARGUMENT, "offset 0");
    static const char *const kanji = "[a](/a/) 日本、", *const hanzi = "你好。";
    assert_refused('j', kanji, strlen(kanji), UTTER_ERROR_UNSUPPORTED, "'日本' at byte 9");
    assert_refused('j', kanji, strlen(kanji), UTTER_ERROR_UNSUPPORTED, "in kana");
    assert_refused('z', hanzi, strlen(hanzi), UTTER_ERROR_UNSUPPORTED, "'你好' at byte 0");
    assert_refused('z', hanzi, strlen(hanzi), UTTER_ERROR_UNSUPPORTED, "[你好](/.../)");
}

/* ---- Without espeak-ng ------------------------------------------------------------------------
 */

static void written_phonemes(void **state) {
    assert_phonemes('a', "[Kokoro](/kˈOkəɹO/)", "kˈOkəɹO");
    assert_phonemes('a', "([a b](/ˈA/), [c](/bˈi/)!", "(ˈA, bˈi!");
    assert_phonemes('f', "[x](/b\u0254\u0303/) « [y](/\u00F5 \u00E7 c\u0327 g/) »",
                    "b\u0254\u0303 “ o\u0303 \u00E7 \u00E7 \u0261 ”");
    assert_phonemes('j', "[日本](/ɲihˈoɴ/)。[x](/a/)", "ɲihˈoɴ. a");
    assert_phonemes('a', "[x](//)", "");
    assert_phonemes('z', "ni˧˩˧xɑʊ˧˩˧，ma˥ ma˧˥ ʂɻ\u0329˥˩！", "ni↓xɑʊ↓, ma→ ma↗ ʂɨ↘!");
    assert_phonemes('z', "《[你](/ni↓/)》（a\u032F）", "“ni↓” (a)");
}

#if !UT_HAVE_ESPEAK

static void says_what_is_missing(void **state) {
    assert_refused('a', "word", 4, UTTER_ERROR_UNSUPPORTED, "libespeak-ng-dev");
}

#else

/* ---- Recordings --------------------------------------------------------------------------------
 */

/* A file of the test data as a NUL-terminated string. */
static char *read_data(const char *name) {
    struct byte_buffer file = {0};
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", getenv("UT_TEST_DATA"), name);
    byte_buffer_read_file(&file, path);
    byte_buffer_append_u8(&file, 0);
    return (char *)file.data;
}

/* Cuts the text at *rest at the first `separator`; NULL at the end. */
static char *next_field(char **rest, char separator) {
    char *field = *rest, *end = field ? strchr(field, separator) : NULL;
    *rest = end ? end + 1 : NULL;
    if (end) {
        *end = '\0';
    }
    return field;
}

/* Ids of the symbols in the vocabulary, a space between them. */
static void print_ids(const struct ut_json *config, const char *phonemes, char *out,
                      size_t capacity) {
    ut_json_ref vocab = ut_json_member(config, 0, "vocab");
    size_t n = strlen(phonemes), used = 0;
    out[0] = '\0';
    for (size_t at = 0; at < n;) {
        char symbol[5] = "";
        size_t begin = at;
        ut_utf8_next(phonemes, n, &at);
        memcpy(symbol, phonemes + begin, at - begin);
        int64_t id;
        if (ut_json_int64(config, ut_json_member(config, vocab, symbol), &id)) {
            used += (size_t)snprintf(out + used, capacity - used, "%s%d", used ? " " : "", (int)id);
            assert_true(used < capacity);
        }
    }
}

/* True if the row was recorded with an espeak-ng like the one at hand. */
static bool is_for_this_version(const char *espeak) {
    if (strcmp(espeak, "both") == 0) {
        return true;
    }
    return strncmp(espeak, ut_espeak_version(), strlen("1.5x")) == 0;
}

static void recorded_texts(void **state) {
    char *file = read_data("kokoro/frontend_golden.tsv"), *rest = file;
    char *config_text = read_data("kokoro/config.json");
    struct ut_json *config;
    assert_int_equal(ut_json_parse(&mem, config_text, strlen(config_text), &config, NULL),
                     UTTER_OK);
    int n_rows = 0, n_equal = 0;
    for (char *row; (row = next_field(&rest, '\n')) != NULL && *row;) {
        if (*row == '#') {
            continue;
        }
        char language = *next_field(&row, '\t'), *text = next_field(&row, '\t');
        const char *espeak = next_field(&row, '\t'), *expected = next_field(&row, '\t');
        if (!is_for_this_version(espeak)) {
            continue;
        }
        char *newline = strstr(text, "\\n"), ids[4096];
        if (newline) {
            memcpy(newline, " \n", 2);
        }
        char *got = phonemes_of(language, text);
        print_ids(config, got, ids, sizeof ids);
        bool equal = strcmp(got, expected) == 0 && strcmp(ids, row) == 0;
        if (!equal) {
            print_message("%c: %s: '%s' (%s), not '%s' (%s)\n", language, text, got, ids, expected,
                          row);
        }
        n_rows++;
        n_equal += equal;
        free(got);
    }
    print_message("%d of %d rows have the recorded phonemes and ids\n", n_equal, n_rows);
    assert_int_equal(n_rows, 202);
    assert_int_equal(n_equal, n_rows);
    ut_json_free(config);
    free(config_text);
    free(file);
}

#endif

static int set_up(void **state) {
    ut_mem_init(&mem, NULL);
    return 0;
}

static int tear_down(void **state) {
    return mem.bytes[UT_MEM_SESSION] != 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(language_names),
        cmocka_unit_test(refused_texts),
        cmocka_unit_test(written_phonemes),
#if UT_HAVE_ESPEAK
        cmocka_unit_test(recorded_texts),
#else
        cmocka_unit_test(says_what_is_missing),
#endif
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
