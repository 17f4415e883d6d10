/* The whole front end, text to ids, against recordings of piper-tts 1.8.0: the training lines of
 * train_ids.tsv and the cases of frontend_golden.tsv (its format is told in its head). Sentences,
 * marks and ids must be right with every espeak-ng. Which phonemes it gives is its own affair: the
 * floors are those of 1.51 and are not checked with another version. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"
#include "models/piper/voice_config.h"
#include "support/byte_buffer.h"
#include "text/espeak_lib.h"
#include "text/phonemes.h"
#include "ut_config.h"

static struct ut_mem mem;
static struct ut_piper_config config; /* of the house voice: Piper's default map */

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
static char *next_field(char **rest, const char *separator) {
    char *field = *rest, *end = field ? strstr(field, separator) : NULL;
    *rest = end ? end + strlen(separator) : NULL;
    if (end) {
        *end = '\0';
    }
    return field;
}

/* Undoes \\ \n \t \uXXXX in place. */
static void unescape(char *text) {
    char *out = text;
    for (const char *s = text; *s; s++) {
        unsigned code;
        if (*s != '\\') {
            *out++ = *s;
        } else if (*++s == 'u') {
            assert_int_equal(sscanf(s + 1, "%4x", &code), 1);
            s += 4;
            if (code >= 0x800) {
                *out++ = (char)(0xE0 | code >> 12);
                *out++ = (char)(0x80 | (code >> 6 & 0x3F));
            } else {
                assert_true(code >= 0x80);
                *out++ = (char)(0xC0 | code >> 6);
            }
            *out++ = (char)(0x80 | (code & 0x3F));
        } else {
            *out++ = *s == 'n' ? '\n' : *s == 't' ? '\t' : *s;
        }
    }
    *out = '\0';
}

static bool ids_equal(const char *phonemes, size_t n, const char *expected) {
    struct ut_piper_ids ids = {0};
    assert_int_equal(ut_piper_ids_append(&config, phonemes, n, &ids, NULL, NULL), UTTER_OK);
    bool equal = true;
    char *end;
    for (size_t i = 0; i < ids.n; i++) {
        long id = strtol(expected, &end, 10);
        equal = equal && end != expected && id == ids.ids[i];
        expected = end;
    }
    ut_mem_free(&mem, ids.ids);
    return equal && *expected == '\0';
}

static bool is_1_51(void) {
    return strncmp(ut_espeak_version(), "1.51", 4) == 0;
}

static bool ends_with(const char *text, const char *suffix) {
    size_t n = strlen(text), n_suffix = strlen(suffix);
    return n >= n_suffix && strcmp(text + n - n_suffix, suffix) == 0;
}

/* ---- Training lines ------------------------------------------------------------------------ */

static void training_lines(void **state) {
    if (!is_1_51()) {
        print_message("espeak-ng is %s: the training lines are for 1.51\n", ut_espeak_version());
        skip();
    }
    char *file = read_data("piper/train_ids.tsv"), *rest = file;
    int n_lines = 0, n_equal = 0;
    next_field(&rest, "\n"); /* the head */
    for (char *line; (line = next_field(&rest, "\n")) != NULL && *line;) {
        const char *expected = next_field(&line, "\t");
        struct ut_sentences sentences;
        assert_int_equal(
            ut_phonemize_espeak(&mem, "en-us", line, strlen(line), &sentences, NULL, NULL),
            UTTER_OK);
        /* Training took a line as one sentence, a space between those in it. */
        struct byte_buffer phonemes = {0};
        for (size_t i = 0; i < sentences.n; i++) {
            byte_buffer_append(&phonemes, " ", i > 0);
            byte_buffer_append(&phonemes, sentences.items[i].phonemes, sentences.items[i].n_bytes);
        }
        /* It kept the empty sentence that a quote behind the last mark makes; here it is dropped.
         */
        byte_buffer_append(&phonemes, " ", ends_with(line, ".\""));
        n_lines++;
        n_equal += ids_equal((const char *)phonemes.data, phonemes.n, expected);
        byte_buffer_free(&phonemes);
        ut_sentences_free(&sentences);
    }
    print_message("training lines: %d of %d have the recorded ids\n", n_equal, n_lines);
    assert_int_equal(n_lines, 1885);
    assert_true(n_equal >= 1877);
    free(file);
}

/* ---- Recorded cases ------------------------------------------------------------------------ */

struct language {
    const char *voice;
    int n_floor, n_total; /* lines without [[ whose phonemes are right with 1.51, and all */
    int n_equal, n_lines;
};

/* 0 where no rule known makes 1.51 agree. */
static struct language languages[] = {
    {"en-us", 137, 146, 0, 0}, {"en-gb-x-rp", 5, 5, 0, 0}, {"fr", 6, 6, 0, 0}, {"es", 6, 6, 0, 0},
    {"nl", 4, 4, 0, 0},        {"pl", 4, 4, 0, 0},         {"tr", 4, 4, 0, 0}, {"ar", 3, 3, 0, 0},
    {"text", 4, 4, 0, 0},      {"cs", 1, 1, 0, 0},         {"fi", 1, 1, 0, 0}, {"da", 1, 1, 0, 0},
    {"hi", 1, 1, 0, 0},        {"el", 1, 1, 0, 0},         {"vi", 1, 1, 0, 0}, {"hu", 1, 1, 0, 0},
    {"ja", 1, 1, 0, 0},        {"de", 3, 8, 0, 0},         {"it", 2, 5, 0, 0}, {"ru", 1, 5, 0, 0},
    {"pt-br", 0, 3, 0, 0},     {"uk", 0, 1, 0, 0},         {"sv", 0, 1, 0, 0}, {"cmn", 0, 1, 0, 0},
};

static struct language *find_language(const char *voice) {
    for (size_t i = 0; i < UT_COUNT(languages); i++) {
        if (strcmp(languages[i].voice, voice) == 0) {
            return &languages[i];
        }
    }
    fail_msg("no entry for the voice %s", voice);
    return NULL;
}

static bool marks_equal(const char *a, const char *b) {
    for (;; a++, b++) {
        a += strcspn(a, ".?!,:;");
        b += strcspn(b, ".?!,:;");
        if (*a != *b || !*a) {
            return *a == *b;
        }
    }
}

static void phonemize(const char *voice, const char *text, struct ut_sentences *out) {
    utter_error err;
    utter_status status =
        strcmp(voice, "text") == 0
            ? ut_phonemize_text(&mem, text, strlen(text), out, &err)
            : ut_phonemize_espeak(&mem, voice, text, strlen(text), out, NULL, &err);
    if (status != UTTER_OK) {
        fail_msg("%s: %s: %s", voice, text, err.message);
    }
}

/* One line; true if every sentence has the recorded phonemes. */
static bool check_line(const char *voice, const char *text, char *phonemes, char *ids) {
    struct ut_sentences sentences;
    phonemize(voice, text, &sentences);
    bool equal = true, has_sentences = *ids != '\0';
    for (size_t i = 0; i < sentences.n; i++) {
        const char *expected = next_field(&phonemes, "⏎"), *expected_ids = next_field(&ids, " | ");
        if (!has_sentences || !expected || !expected_ids) {
            fail_msg("%s: %s: %zu sentences are too many", voice, text, sentences.n);
        }
        if (!marks_equal(sentences.items[i].phonemes, expected)) {
            fail_msg("%s: %s: marks of '%s', recorded '%s'", voice, text,
                     sentences.items[i].phonemes, expected);
        }
        if (!ids_equal(expected, strlen(expected), expected_ids)) {
            fail_msg("%s: %s: wrong ids for '%s'", voice, text, expected);
        }
        equal = equal && strcmp(sentences.items[i].phonemes, expected) == 0;
    }
    if (has_sentences && phonemes) {
        fail_msg("%s: %s: %zu sentences are too few", voice, text, sentences.n);
    }
    ut_sentences_free(&sentences);
    return equal;
}

static void recorded_cases(void **state) {
    char *file = read_data("piper/frontend_golden.tsv"), *rest = file;
    int n_lines = 0;
    for (char *line; (line = next_field(&rest, "\n")) != NULL && *line;) {
        if (line[0] == '#') {
            continue;
        }
        struct language *language = find_language(next_field(&line, "\t"));
        char *text = next_field(&line, "\t"), *phonemes = next_field(&line, "\t");
        unescape(text);
        unescape(phonemes);
        bool equal = check_line(language->voice, text, phonemes, line);
        n_lines++;
        if (!strstr(text, "[[")) {
            language->n_lines++;
            language->n_equal += equal;
            if (!equal && language->n_floor == language->n_total) {
                print_message("%s: %s\n", language->voice, text);
            }
        }
    }
    print_message("%d cases: sentences, marks and ids are right in all\n", n_lines);
    assert_int_equal(n_lines, 226);
    for (size_t i = 0; i < UT_COUNT(languages); i++) {
        const struct language *l = &languages[i];
        print_message("%s: %d of %d have the recorded phonemes\n", l->voice, l->n_equal,
                      l->n_lines);
        assert_int_equal(l->n_lines, l->n_total);
    }
    free(file);
}

static void recorded_phonemes(void **state) {
    if (!is_1_51()) {
        print_message("espeak-ng is %s: the floors are for 1.51\n", ut_espeak_version());
        skip();
    }
    for (size_t i = 0; i < UT_COUNT(languages); i++) {
        if (languages[i].n_equal < languages[i].n_floor) {
            fail_msg("%s: %d lines are right, at least %d should be", languages[i].voice,
                     languages[i].n_equal, languages[i].n_floor);
        }
    }
}

static int set_up(void **state) {
    ut_mem_init(&mem, NULL);
    char *json = read_data("house/tiny/voice.json");
    utter_error err;
    if (ut_piper_config_parse(&mem, json, strlen(json), &config, &err) != UTTER_OK) {
        print_error("%s\n", err.message);
        return 1;
    }
    free(json);
    return 0;
}

static int tear_down(void **state) {
    ut_piper_config_free(&config);
    return mem.bytes[UT_MEM_SESSION] + mem.bytes[UT_MEM_OTHER] != 0;
}

int main(void) {
    if (!UT_HAVE_ESPEAK) {
        puts("built without espeak-ng: skipped");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training_lines),
        cmocka_unit_test(recorded_cases),
        cmocka_unit_test(recorded_phonemes),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
