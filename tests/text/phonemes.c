/* Odd texts, voices, threads and failing allocations. That the phonemes are right is the matter of
 * tests/models/piper/front_end.c. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"
#include "support/sweep.h"
#include "text/espeak_lib.h"
#include "base/checked.h"
#include "text/phonemes.h"
#include "ut_config.h"

static struct ut_mem mem;

static void text_is_its_own_phonemes(void **state) {
    struct ut_sentences out;
    assert_int_equal(ut_phonemize_text(&mem, "One. Two?\n", 10, &out, NULL), UTTER_OK);
    assert_int_equal(out.n, 1);
    assert_string_equal(out.items[0].phonemes, "One. Two?\n");
    assert_int_equal(out.items[0].text_end, 10);
    ut_sentences_free(&out);
    assert_int_equal(ut_phonemize_text(&mem, "", 0, &out, NULL), UTTER_OK);
    assert_int_equal(out.n, 1);
    assert_string_equal(out.items[0].phonemes, "");
    ut_sentences_free(&out);
    utter_error err;
    assert_int_equal(ut_phonemize_text(&mem, "a\xFF", 2, &out, &err), UTTER_ERROR_ARGUMENT);
    assert_int_equal(out.n, 0);
}

#if UT_HAVE_ESPEAK

static char last_log[512];

static void keep_log(void *user, utter_log_level level, const char *message) {
    snprintf(last_log, sizeof last_log, "%s", message);
}

static const struct ut_log log_to_test = {.fn = keep_log};

/* Checks what holds for every list: the ranges cover the text in order. */
static void check_list(const struct ut_sentences *list, size_t n_text) {
    for (size_t i = 0; i < list->n; i++) {
        const struct ut_sentence *s = &list->items[i];
        assert_int_equal(s->n_bytes, strlen(s->phonemes));
        assert_int_equal(s->text_begin, i > 0 ? list->items[i - 1].text_end : 0);
        assert_true(s->text_end >= s->text_begin);
    }
    assert_true(list->n == 0 || list->items[list->n - 1].text_end == n_text);
}

static void phonemize_bytes(const char *voice, const char *text, size_t n,
                            struct ut_sentences *out) {
    utter_error err;
    last_log[0] = '\0';
    if (ut_phonemize_espeak(&mem, voice, text, n, out, &log_to_test, &err) != UTTER_OK) {
        fail_msg("%s", err.message);
    }
    check_list(out, n);
}

static void phonemize(const char *voice, const char *text, struct ut_sentences *out) {
    phonemize_bytes(voice, text, strlen(text), out);
}

/* The phonemes of all sentences, joined by '|'; free it. */
static char *phonemes_of(const char *voice, const char *text) {
    struct ut_sentences out;
    phonemize(voice, text, &out);
    size_t n = 1;
    for (size_t i = 0; i < out.n; i++) {
        n += out.items[i].n_bytes + 1;
    }
    char *all = calloc(n, 1);
    for (size_t i = 0; i < out.n; i++) {
        strcat(strcat(all, i > 0 ? "|" : ""), out.items[i].phonemes);
    }
    ut_sentences_free(&out);
    return all;
}

static void ranges_and_paragraphs(void **state) {
    struct ut_sentences out;
    phonemize("en-us", "One two. Three\n\nFour! [[ faɪv ]] six.", &out);
    assert_int_equal(out.n, 3);
    static const size_t ends[] = {9, 16, 38};
    for (size_t i = 0; i < out.n; i++) {
        assert_int_equal(out.items[i].text_end, ends[i]);
        assert_int_equal(out.items[i].paragraph, i == 1);
    }
    ut_sentences_free(&out);
}

static void raw_phonemes(void **state) {
    static const struct {
        const char *text, *expected;
        bool exact; /* else it only begins so */
    } cases[] = {
        {"[[həlˈoʊ]]", "həlˈoʊ", true},
        {"[[ \t həlˈoʊ. x ]]", "həlˈoʊ. x", true},
        {"[[a]] [[b]][[c]]", "a  bc", true},
        {"[[[a]]]", "[a", true},
        {"[[]]", "", true},
        {"[[ç]]", "ç", true}, /* not decomposed */
        {"[[a]] no", "a n", false},
        {"[[a\nb]]", "ɐ bˈiː", true}, /* not on one line: text */
    };
    for (size_t i = 0; i < UT_COUNT(cases); i++) {
        char *got = phonemes_of("en-us", cases[i].text);
        size_t n = cases[i].exact ? strlen(got) : strlen(cases[i].expected);
        if (strlen(cases[i].expected) != n || strncmp(got, cases[i].expected, n) != 0) {
            fail_msg("%s: '%s', not '%s'", cases[i].text, got, cases[i].expected);
        }
        free(got);
    }
}

/* An unclosed block is text, also for espeak-ng, which must not take it for phoneme mnemonics. */
static void unclosed_block(void **state) {
    char *plain = phonemes_of("en-us", "unclosed block"),
         *open = phonemes_of("en-us", "[[unclosed block");
    assert_string_equal(open, plain);
    assert_non_null(strstr(plain, "blˈɑːk"));
    free(plain);
    free(open);
}

/* ---- Odd texts ----------------------------------------------------------------------------- */

static void nothing_to_say(void **state) {
    static const char *const texts[] = {
        "",   " ",  "  \t ", "\n\n\n", ".",      "...",          "?!",     "---",
        "\"", "()", "[[ ]]", "…",      "\u200B", "\u202E\u202C", "\u00A0", "—"};
    for (size_t i = 0; i < UT_COUNT(texts); i++) {
        char *got = phonemes_of("en-us", texts[i]);
        if (strspn(got, " |") != strlen(got)) {
            fail_msg("case %zu: '%s'", i, got);
        }
        free(got);
    }
}

static void refused_texts(void **state) {
    static const struct {
        const char *text;
        size_t n;
        const char *message;
    } cases[] = {{"a\0b", 3, "offset 1"},
                 {"abc\xFF", 4, "offset 3"},
                 {"\xE2\x82", 2, "offset 0"},
                 {"\xED\xA0\x80", 3, "offset 0"}};
    for (size_t i = 0; i < UT_COUNT(cases); i++) {
        struct ut_sentences out;
        utter_error err;
        assert_int_equal(
            ut_phonemize_espeak(&mem, "en-us", cases[i].text, cases[i].n, &out, NULL, &err),
            UTTER_ERROR_ARGUMENT);
        assert_non_null(strstr(err.message, cases[i].message));
        assert_int_equal(out.n, 0);
    }
}

/* Commands that espeak-ng would obey: they may change neither these phonemes nor the next. */
static void control_characters(void **state) {
    char *plain = phonemes_of("en-us", "Hello world, again.");
    static const char *const texts[] = {"Hello \x01"
                                        "80S world, again.",
                                        "Hello \x01Vfr world, again.",
                                        "Hello \x01"
                                        "B1 world, again.",
                                        "Hello \x02h@l world, again."};
    for (size_t i = 0; i < UT_COUNT(texts); i++) {
        free(phonemes_of("en-us", texts[i]));
        char *after = phonemes_of("en-us", "Hello world, again.");
        assert_string_equal(after, plain);
        free(after);
    }
    char *spaced = phonemes_of("en-us", "Hello\x02\x01\x7F world, again.");
    assert_string_equal(spaced, plain);
    free(spaced);
    free(plain);
}

static char *repeat(const char *unit, size_t n_bytes) {
    size_t n = strlen(unit);
    char *text = malloc(n_bytes + 1);
    for (size_t i = 0; i < n_bytes; i++) {
        text[i] = unit[i % n];
    }
    text[n_bytes - n_bytes % n] = '\0';
    return text;
}

static void long_texts(void **state) {
    static const struct {
        const char *unit;
        size_t n_bytes, n_sentences_least, n_phonemes_least;
    } cases[] = {
        {"The quick brown fox jumps over the lazy dog. ", 1000000, 22222, 400000},
        {"x", 100000, 1, 25000}, /* one word */
        {"7", 10000, 1, 5000},
        {"e\u0301", 30000, 1, 1},
        {"\u0301", 20000, 0, 0}, /* 10,000 combining marks */
        {" ", 100000, 0, 0},
        {"\n", 100000, 0, 0},
        {"[", 100000, 0, 0},
        {"[[a]]", 100000, 1, 20000},
        {"(", 100000, 0, 0},
        {"wrapped\n", 100000, 1, 50000},
        {"\u200C", 30000, 0, 0},
        {"😀", 4000, 1, 1},
        {"\u202E\u2066a\u2069", 10000, 1, 1},
    };
    for (size_t i = 0; i < UT_COUNT(cases); i++) {
        char *text = repeat(cases[i].unit, cases[i].n_bytes);
        struct ut_sentences out;
        phonemize("en-us", text, &out);
        size_t n_phonemes = 0;
        for (size_t k = 0; k < out.n; k++) {
            n_phonemes += out.items[k].n_bytes;
        }
        if (out.n < cases[i].n_sentences_least || n_phonemes < cases[i].n_phonemes_least) {
            fail_msg("'%s' repeated: %zu sentences, %zu bytes", cases[i].unit, out.n, n_phonemes);
        }
        ut_sentences_free(&out);
        free(text);
    }
}

/* What espeak-ng would drop without a sign, because a word or a clause has too many phonemes. */
static void nothing_is_dropped(void **state) {
    static const struct {
        const char *voice, *unit;
        size_t n_units;
        const char *symbol; /* of the phonemes of each unit */
    } cases[] = {
        {"en-us", "x", 100000, "k"},     {"en-us", "7", 10000, "v"}, {"en-us", "7 ", 3000, "v"},
        {"en-us", "123456 ", 200, "z"},  {"en-us", "😀", 1000, "ɡɹ"}, {"en-us", "$ ", 500, "d"},
        {"en-us", "banana ", 3000, "b"}, {"en-us", "XK ", 500, "k"}, {"ja", "か", 1000, "k"},
        {"cmn", "你", 300, "n"},
    };
    for (size_t i = 0; i < UT_COUNT(cases); i++) {
        char *text = repeat(cases[i].unit, cases[i].n_units * strlen(cases[i].unit));
        char *got = phonemes_of(cases[i].voice, text);
        size_t n = 0;
        for (const char *s = got; (s = strstr(s, cases[i].symbol)) != NULL; s++) {
            n++;
        }
        if (n < cases[i].n_units) {
            fail_msg("%zu of %zu '%s' are left", n, cases[i].n_units, cases[i].unit);
        }
        free(got);
        free(text);
    }
}

/* Long and true: read as ever, in one piece. */
static void long_words_that_are_true(void **state) {
    static const char *const texts[] = {
        "pneumonoultramicroscopicsilicovolcanoconiosis",
        "Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch",
    };
    for (size_t i = 0; i < UT_COUNT(texts); i++) {
        char *got = phonemes_of("en-us", texts[i]);
        assert_null(strchr(got, ' '));
        free(got);
    }
}

/* A sentence that is parted stays one, and the next begins where it should. */
static void parts_of_a_sentence_stay_together(void **state) {
    char text[400] = "Call ", *at = text + 5;
    for (int i = 0; i < 120; i++) {
        *at++ = '7';
    }
    strcpy(at, " now. Thanks.");
    struct ut_sentences out;
    phonemize("en-us", text, &out);
    assert_int_equal(out.n, 2);
    assert_int_equal(out.items[1].text_begin, strlen("Call ") + 120 + strlen(" now. "));
    assert_non_null(strstr(out.items[0].phonemes, "nˈaʊ."));
    assert_null(strstr(out.items[0].phonemes, "  "));
    ut_sentences_free(&out);
}

/* The window that espeak-ng sees moves through a long text without a trace: every sentence is as it
 * is alone, wherever it falls. */
static void windows_leave_no_trace(void **state) {
    static const char unit[] = "The quick brown fox, jumping; over 3.14 lazy dogs... rests. ";
    char *alone = phonemes_of("en-us", unit);
    for (size_t shift = 0; shift < 5; shift++) {
        char *text = repeat(unit, 500 * strlen(unit)), shifted[40000];
        snprintf(shifted, sizeof shifted, "%s%s", &"So. So."[shift], text);
        struct ut_sentences out;
        phonemize("en-us", shifted, &out);
        assert_in_range(out.n, 500, 503);
        for (size_t i = 3; i < out.n; i++) {
            assert_string_equal(out.items[i].phonemes, alone);
        }
        ut_sentences_free(&out);
        free(text);
    }
    free(alone);
}

/* White space longer than the window cuts a clause; nothing is lost. */
/* Symbols whose names overrun a buffer of espeak-ng, or leave an accent to all that follows, and
 * letters that it spells as numbers. */
static void no_text_spoils_the_next(void **state) {
    static const char *const cases[][2] = {
        {"en-us", "h\uA942t \u13A0 \uD7B1"},
        {"fr", "but \u26BD \U0001F35B"},
        {"de", "\U0001F192"},
        {"pt", "\u00A9 \U0001F935"},
        {"hi", "\u2626"},
        {"ru", "\u270C"},
        {"fi", "\u28FF"},
        {"ar", "\u28DF \u3297"},
        {"te", "\u24DC"},
        {"ml", "\u23EF"},
    };
    static const char plain[] = "otto 21, no";
    for (size_t i = 0; i < UT_COUNT(cases); i++) {
        struct ut_sentences before, odd, after;
        phonemize(cases[i][0], plain, &before);
        phonemize(cases[i][0], cases[i][1], &odd);
        phonemize(cases[i][0], plain, &after);
        assert_int_equal(before.n, 1);
        assert_int_equal(after.n, 1);
        assert_string_equal(before.items[0].phonemes, after.items[0].phonemes);
        ut_sentences_free(&before);
        ut_sentences_free(&odd);
        ut_sentences_free(&after);
    }
}

static void huge_gap(void **state) {
    char *gap = repeat(" ", 20000), *text = malloc(20100);
    sprintf(text, "Hello.%sWorld", gap);
    char *got = phonemes_of("en-us", text), *expected = phonemes_of("en-us", "Hello. World");
    size_t n = strcspn(expected, "|");
    assert_memory_equal(got, expected, n);
    assert_int_equal(expected[n], '|');
    assert_non_null(strstr(got, expected + n + 1));
    free(got);
    free(expected);
    free(gap);
    free(text);
}

/* ---- Voices -------------------------------------------------------------------------------- */

static void unknown_voice_is_not_the_old_one(void **state) {
    static const char text[] = "Une autre voix.";
    char *french = phonemes_of("fr", text), *english = phonemes_of("en-us", text);
    assert_string_not_equal(french, english);
    free(phonemes_of("fr", text));
    static const char *const names[] = {"xx-bogus", "", "mb-fr1", "../fr"};
    for (size_t i = 0; i < UT_COUNT(names); i++) {
        struct ut_sentences out;
        utter_error err;
        assert_true(ut_phonemize_espeak(&mem, names[i], text, strlen(text), &out, NULL, &err) < 0);
        assert_int_equal(out.n, 0);
        assert_int_equal(ut_espeak_lock(&err), UTTER_OK);
        assert_int_equal(ut_espeak_synth("a", 175, NULL, NULL, &err), UTTER_ERROR_ARGUMENT);
        ut_espeak_unlock();
        char *again = phonemes_of("en-us", text);
        assert_string_equal(again, english);
        free(again);
    }
    free(french);
    free(english);
}

static void substitute_is_logged(void **state) {
    char *wanted = phonemes_of("en-gb-x-rp", "a bath");
    assert_string_equal(last_log, "");
    char *got = phonemes_of("en-gb", "a bath");
    assert_string_equal(got, wanted);
    assert_non_null(strstr(last_log, "en-gb-x-rp"));
    free(wanted);
    free(got);
}

static void language_flags_vanish(void **state) {
    char *got = phonemes_of("fr", "le week-end du computer software");
    assert_null(strchr(got, '('));
    assert_null(strstr(got, "en)"));
    free(got);
}

/* ---- State between calls ------------------------------------------------------------------- */

static bool stop(void *user, const int16_t *samples, size_t n) {
    return false;
}

/* Speech that is stopped in the middle leaves a character in espeak-ng. */
static void stopped_speech_leaves_nothing(void **state) {
    char *alone = phonemes_of("en-us", "abc");
    utter_error err;
    assert_int_equal(ut_espeak_lock(&err), UTTER_OK);
    assert_int_equal(ut_espeak_set_voice("en-us", NULL, &err), UTTER_OK);
    assert_int_equal(ut_espeak_synth("One, two, three. Four.", 175, stop, NULL, &err),
                     UTTER_ERROR_CANCELLED);
    ut_espeak_unlock();
    char *got = phonemes_of("en-us", "abc");
    assert_string_equal(got, alone);
    free(got);
    free(alone);
}

/* Every allocation fails in turn, alone and with all behind it; after each the next call is right.
 */
static void failed_allocations(void **state) {
    static const char text[] =
        "One, two [[ ˈa ]] three. Four [[b]] five! "
        "Six and seven. And eight. Nine. Ten. Eleven. Twelve. Thirteen. Fourteen.";
    struct ut_mem failing_mem;
    struct sweep sweep;
    char *expected = phonemes_of("en-us", text);
    for (int later = 0; later < 2; later++) {
        for (sweep_start(&sweep, &failing_mem, later); sweep_next(&sweep);) {
            struct ut_sentences out;
            utter_error err;
            utter_status status =
                ut_phonemize_espeak(&failing_mem, "en-us", text, strlen(text), &out, NULL, &err);
            ut_sentences_free(&out);
            sweep_check(&sweep, status);
            char *got = phonemes_of("en-us", text);
            assert_string_equal(got, expected);
            free(got);
        }
        assert_true(sweep.n_injected > 10);
    }
    free(expected);
}

struct thread_task {
    const char *voice, *text;
    char *expected;
    int n_wrong;
};

static void *phonemize_often(void *user) {
    struct thread_task *task = user;
    for (int i = 0; i < 20; i++) {
        struct ut_sentences out;
        if (ut_phonemize_espeak(&mem, task->voice, task->text, strlen(task->text), &out, NULL,
                                NULL) != UTTER_OK) {
            task->n_wrong++;
            continue;
        }
        task->n_wrong += out.n != 1 || strcmp(out.items[0].phonemes, task->expected) != 0;
        ut_sentences_free(&out);
    }
    return NULL;
}

static void threads_take_turns(void **state) {
    struct thread_task tasks[] = {{.voice = "en-us", .text = "The quick brown fox, jumping"},
                                  {.voice = "fr", .text = "Une autre voix, encore"},
                                  {.voice = "de", .text = "Ein kleines Haus, dort"},
                                  {.voice = "en-gb-x-rp", .text = "A warm bath, now"}};
    pthread_t threads[UT_COUNT(tasks)];
    for (size_t i = 0; i < UT_COUNT(tasks); i++) {
        tasks[i].expected = phonemes_of(tasks[i].voice, tasks[i].text);
    }
    for (size_t i = 0; i < UT_COUNT(tasks); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, phonemize_often, &tasks[i]), 0);
    }
    for (size_t i = 0; i < UT_COUNT(tasks); i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(tasks[i].n_wrong, 0);
        free(tasks[i].expected);
    }
}

#else

static void says_what_is_missing(void **state) {
    struct ut_sentences out;
    utter_error err;
    assert_int_equal(ut_phonemize_espeak(&mem, "en-us", "a", 1, &out, NULL, &err),
                     UTTER_ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "libespeak-ng-dev"));
    assert_int_equal(out.n, 0);
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
        cmocka_unit_test(text_is_its_own_phonemes),
#if UT_HAVE_ESPEAK
        cmocka_unit_test(ranges_and_paragraphs),
        cmocka_unit_test(raw_phonemes),
        cmocka_unit_test(unclosed_block),
        cmocka_unit_test(nothing_to_say),
        cmocka_unit_test(refused_texts),
        cmocka_unit_test(control_characters),
        cmocka_unit_test(long_texts),
        cmocka_unit_test(nothing_is_dropped),
        cmocka_unit_test(long_words_that_are_true),
        cmocka_unit_test(parts_of_a_sentence_stay_together),
        cmocka_unit_test(windows_leave_no_trace),
        cmocka_unit_test(no_text_spoils_the_next),
        cmocka_unit_test(huge_gap),
        cmocka_unit_test(unknown_voice_is_not_the_old_one),
        cmocka_unit_test(substitute_is_logged),
        cmocka_unit_test(language_flags_vanish),
        cmocka_unit_test(stopped_speech_leaves_nothing),
        cmocka_unit_test(failed_allocations),
        cmocka_unit_test(threads_take_turns),
#else
        cmocka_unit_test(says_what_is_missing),
#endif
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
