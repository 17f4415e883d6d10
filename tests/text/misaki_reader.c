/* Text through a lexicon: which text it is asked for, what fills its gaps, what comes of errors. A
 * lexicon of three words, told in this file, stands in for the real ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"
#include "support/sweep.h"
#include "text/misaki.h"
#include "ut_config.h"

static struct ut_mem mem;

struct ut_lexicon {
    char asked[2048]; /* the texts, each in <> */
};

static const char *find_word(const char *word, size_t n) {
    static const char *const words[][2] = {{"hello", "həlˈO"}, {"the", "ðə"}, {"3.14", "pˈI"}};
    for (size_t i = 0; i < UT_COUNT(words); i++) {
        if (strlen(words[i][0]) == n && memcmp(words[i][0], word, n) == 0) {
            return words[i][1];
        }
    }
    return NULL;
}

static utter_status say_word(const char *word, size_t n, ut_lexicon_fallback fallback, void *user,
                             struct ut_text_buffer *out, size_t *n_unknown, utter_error *err) {
    const char *phonemes = find_word(word, n);
    if (n == 6 && memcmp(word, "broken", 6) == 0) {
        return ut_fail(err, UTTER_ERROR_FORMAT, "a broken word");
    }
    if (phonemes) {
        return ut_text_buffer_append(out, phonemes, strlen(phonemes), err);
    }
    *n_unknown += !fallback;
    return fallback ? fallback(user, word, n, out, err) : UTTER_OK;
}

/* Words are parted by spaces and may end with one mark. */
utter_status ut_lexicon_phonemize(const struct ut_lexicon *lexicon, const char *text,
                                  size_t n_bytes, ut_lexicon_fallback fallback, void *user,
                                  struct ut_text_buffer *out, size_t *n_unknown, utter_error *err) {
    char *asked = ((struct ut_lexicon *)lexicon)->asked;
    size_t used = strlen(asked);
    snprintf(asked + used, sizeof lexicon->asked - used, "<%.*s>", (int)n_bytes, text);
    *n_unknown = 0;
    utter_status status = UTTER_OK;
    for (size_t at = 0, end; at < n_bytes && status == UTTER_OK; at = end + (end < n_bytes)) {
        const char *space = memchr(text + at, ' ', n_bytes - at);
        end = space ? (size_t)(space - text) : n_bytes;
        bool has_mark = end > at && strchr(",.!?", text[end - 1]);
        status = say_word(text + at, end - at - has_mark, fallback, user, out, n_unknown, err);
        if (status == UTTER_OK && has_mark) {
            status = ut_text_buffer_append(out, text + end - 1, 1, err);
        }
        if (status == UTTER_OK && space) {
            status = ut_text_buffer_append(out, " ", 1, err);
        }
    }
    return status;
}

static char last_warning[512];

static void keep_log(void *user, utter_log_level level, const char *message) {
    if (level == UTTER_LOG_WARNING) {
        snprintf(last_warning, sizeof last_warning, "%s", message);
    }
}

static void assert_spoken(char language, const char *text, const char *expected,
                          const char *asked) {
    struct ut_lexicon lexicon = {""};
    struct ut_misaki misaki = {.language = language, .lexicon = &lexicon};
    const struct ut_log log = {.fn = keep_log};
    struct ut_sentences out;
    utter_error err;
    last_warning[0] = '\0';
    if (ut_phonemize_misaki(&mem, &misaki, text, strlen(text), &out, &log, &err) != UTTER_OK) {
        fail_msg("%s: %s", text, err.message);
    }
    assert_int_equal(out.n, 1);
    assert_string_equal(out.items[0].phonemes, expected);
    assert_string_equal(lexicon.asked, asked);
    assert_int_equal(out.items[0].text_begin, 0);
    assert_int_equal(out.items[0].text_end, strlen(text));
    ut_sentences_free(&out);
}

static void clauses(void **state) {
    assert_spoken('a', " hello, the  hello! 3.14 the hello", "həlˈO, ðə həlˈO! pˈI ðə həlˈO",
                  "<hello,><the  hello!><3.14 the hello>");
    assert_spoken('a', "hello [x](/ˈA/) the. [the](2) hello", "həlˈO ˈA ðə. ðˈə həlˈO",
                  "<hello><the.><the><hello>");
    assert_string_equal(last_warning, "");
}

/* espeak-ng has no voice for z: what the lexicon lacks is counted. */
static void unknown_words(void **state) {
    assert_spoken('z', "hello xyz, the zyx abc", "həlˈO , ðə", "<hello xyz,><the zyx abc>");
    assert_non_null(strstr(last_warning, "3 words"));
}

static void errors_pass(void **state) {
    struct ut_lexicon lexicon = {""};
    struct ut_misaki misaki = {.language = 'a', .lexicon = &lexicon};
    struct ut_sentences out;
    utter_error err;
    static const char text[] = "hello. the broken hello";
    assert_int_equal(ut_phonemize_misaki(&mem, &misaki, text, strlen(text), &out, NULL, &err),
                     UTTER_ERROR_FORMAT);
    assert_string_equal(err.message, "a broken word");
    assert_int_equal(out.n, 0);
}

#if UT_HAVE_ESPEAK
static void espeak_fills_gaps(void **state) {
    assert_spoken('a', "hello world, the quickly.", "həlˈO wˈɜɹld, ðə kwˈɪkli.",
                  "<hello world,><the quickly.>");
    assert_spoken('b', "hello world", "həlˈO wˈɜːld", "<hello world>");
    assert_string_equal(last_warning, "");
}
#endif

/* The text of a chunk is that of its words; all end at a comma. */
static void ranges(void **state) {
    struct ut_lexicon lexicon = {""};
    struct ut_misaki misaki = {.language = 'a', .lexicon = &lexicon};
    struct ut_sentences out;
    char text[1301] = "";
    for (int i = 0; i < 100; i++) {
        strcpy(text + 13 * i, "hello hello, ");
    }
    assert_int_equal(ut_phonemize_misaki(&mem, &misaki, text, strlen(text), &out, NULL, NULL),
                     UTTER_OK);
    assert_true(out.n > 2);
    for (size_t i = 0; i < out.n; i++) {
        size_t n_words = 1, begin = out.items[i].text_begin, end = out.items[i].text_end;
        for (const char *s = out.items[i].phonemes; *s; s++) {
            n_words += *s == ' ';
        }
        assert_int_equal(end - begin, n_words / 2 * 13);
    }
    ut_sentences_free(&out);
}

static void failed_allocations(void **state) {
    static const char text[] = "hello, the hello. [the](2) xyz hello!\n\nthe hello.\n\nhello";
    struct ut_lexicon lexicon = {""};
    struct ut_misaki misaki = {.language = 'a', .lexicon = &lexicon};
    struct ut_mem failing_mem;
    struct sweep sweep;
    for (sweep_start(&sweep, &failing_mem, false); sweep_next(&sweep);) {
        struct ut_sentences out;
        lexicon.asked[0] = '\0';
        utter_status status =
            ut_phonemize_misaki(&failing_mem, &misaki, text, strlen(text), &out, NULL, NULL);
        ut_sentences_free(&out);
        sweep_check(&sweep, status);
    }
    assert_true(sweep.n_injected > 5);
}

static int set_up(void **state) {
    ut_mem_init(&mem, NULL);
    return 0;
}

static int tear_down(void **state) {
    return mem.bytes[UT_MEM_SESSION] != 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clauses),
        cmocka_unit_test(unknown_words),
        cmocka_unit_test(errors_pass),
#if UT_HAVE_ESPEAK
        cmocka_unit_test(espeak_fills_gaps),
#endif
        cmocka_unit_test(ranges),
        cmocka_unit_test(failed_allocations),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
