/* The door to espeak-ng: voice names, formant synthesis, the host's locale. */
#include <locale.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"
#include "text/espeak_lib.h"
#include "ut_config.h"

#if UT_HAVE_ESPEAK

static char last_log[512];

static void keep_log(void *user, utter_log_level level, const char *message) {
    snprintf(last_log, sizeof last_log, "%s", message);
}

static utter_status set_voice(const char *name, utter_error *err) {
    struct ut_log log = {.fn = keep_log};
    last_log[0] = '\0';
    assert_int_equal(ut_espeak_lock(err), UTTER_OK);
    utter_status status = ut_espeak_set_voice(name, &log, err);
    ut_espeak_unlock();
    return status;
}

/* In a thread of its own, before anything else used it: then all is as always. */
static void starts_early(void **state) {
    struct ut_espeak_early early;
    utter_error err;
    ut_espeak_begin_early(&early);
    assert_true(early.runs);
    assert_int_equal(set_voice("de", &err), UTTER_OK);
    ut_espeak_end_early(&early);
    assert_false(early.runs);
    ut_espeak_end_early(&early);
    assert_int_equal(set_voice("en-us", &err), UTTER_OK);
}

static void host_locale_stays(void **state) {
    utter_error err;
    assert_int_equal(set_voice("en-us", &err), UTTER_OK); /* the first use */
    assert_string_equal(setlocale(LC_CTYPE, NULL), "C");
}

/* espeak-ng leaks 1.3 kB with every voice that it loads; the one that is there is not loaded again.
 */
static void same_voice_is_free(void **state) {
    utter_error err;
    assert_int_equal(set_voice("en-gb", &err), UTTER_OK);
    size_t before = mallinfo2().uordblks;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(set_voice("en-gb", &err), UTTER_OK);
        assert_int_equal(set_voice("xx-bogus", &err), UTTER_ERROR_NOT_FOUND);
    }
    assert_true(mallinfo2().uordblks < before + 200000);
}

static void voice_names(void **state) {
    static const char *const names[] = {
        "en-us",  "EN-US", "en", "gmw/en",   "en-gb-x-rp",       "fr",
        "roa/fr", "de",    "ar", "en-us+f3", "English (America)"};
    for (size_t i = 0; i < UT_COUNT(names); i++) {
        utter_error err;
        if (set_voice(names[i], &err) != UTTER_OK) {
            fail_msg("%s: %s", names[i], err.message);
        }
        assert_string_equal(last_log, "");
    }
}

static void substitutes(void **state) {
    static const char *const cases[][2] = {{"en-gb", "'en-gb-x-rp'"}, {"en-GB", "'en-gb-x-rp'"},
                                           {"fr-fr", "'fr'"},         {"en_US", "'en-us'"},
                                           {"de-AT", "'de'"},         {"pl_PL", "'pl'"}};
    for (size_t i = 0; i < UT_COUNT(cases); i++) {
        utter_error err;
        assert_int_equal(set_voice(cases[i][0], &err), UTTER_OK);
        if (!strstr(last_log, cases[i][0]) || !strstr(last_log, cases[i][1])) {
            fail_msg("%s: '%s'", cases[i][0], last_log);
        }
    }
}

static bool count_samples(void *user, const int16_t *samples, size_t n) {
    *(size_t *)user += n;
    return true;
}

/* After a failure no voice is chosen, the one before least of all. */
static void unknown_names(void **state) {
    static const char *const names[] = {
        "xx-bogus",
        "",
        "/",
        "../../etc/passwd",
        "..",
        "/etc/passwd",
        "en\n",
        "en\x01V",
        "default",
        "a-name-that-is-much-longer-than-any-buffer-of-forty-bytes-could-hold-without-damage",
        "en-us+avariantthatistoolong",
        "en-us-with-a-long-name-and-a-+variant",
        "\xC3\xA9",
        "\xFF"};
    for (size_t i = 0; i < UT_COUNT(names); i++) {
        utter_error err;
        size_t n_samples = 0;
        assert_int_equal(set_voice("fr", &err), UTTER_OK);
        assert_int_equal(set_voice(names[i], &err), UTTER_ERROR_NOT_FOUND);
        assert_non_null(strstr(err.message, "nearest"));
        assert_int_equal(ut_espeak_lock(&err), UTTER_OK);
        assert_int_equal(ut_espeak_synth("Hello", 175, count_samples, &n_samples, &err),
                         UTTER_ERROR_ARGUMENT);
        ut_espeak_unlock();
        assert_int_equal(n_samples, 0);
    }
}

static void nearest_names(void **state) {
    static const char *const cases[][2] = {
        {"en-su", "en-us"}, {"fi-", "fi"}, {"xe-us", "en-us"}, {"pt-bx", "pt-br"}};
    for (size_t i = 0; i < UT_COUNT(cases); i++) {
        utter_error err;
        if (set_voice(cases[i][0], &err) == UTTER_OK) {
            assert_non_null(strstr(last_log, "used instead"));
        } else if (!strstr(err.message, cases[i][1])) {
            fail_msg("%s: %s", cases[i][0], err.message);
        }
    }
}

static void mbrola_is_refused(void **state) {
    static const char *const names[] = {"mb-en1", "mb/mb-en1", "english-mb-en1", "MB-DE1",
                                        "german-mbrola-1"};
    for (size_t i = 0; i < UT_COUNT(names); i++) {
        utter_error err;
        assert_int_equal(set_voice(names[i], &err), UTTER_ERROR_UNSUPPORTED);
        assert_non_null(strstr(err.message, "MBROLA"));
    }
}

static void version(void **state) {
    assert_in_range(ut_espeak_version()[0], '1', '9');
}

/* ---- Formant synthesis -------------------------------------------------------------------- */

/* How long a short text takes depends a little on what was spoken before: espeak-ng keeps state. */
static void assert_about_equal(size_t a, size_t b) {
    assert_in_range(a, b - b / 8, b + b / 8);
}

static size_t speak(const char *text, int rate_wpm) {
    utter_error err;
    size_t n_samples = 0;
    assert_int_equal(ut_espeak_lock(&err), UTTER_OK);
    assert_int_equal(ut_espeak_set_voice("en-us", NULL, &err), UTTER_OK);
    assert_int_equal(ut_espeak_sample_rate(), 22050);
    if (ut_espeak_synth(text, rate_wpm, count_samples, &n_samples, &err) != UTTER_OK) {
        fail_msg("%s", err.message);
    }
    ut_espeak_unlock();
    return n_samples;
}

static void speaks(void **state) {
    size_t n = speak("Hello, world. How are you?", 175);
    assert_in_range(n, 22050, 5 * 22050);
    assert_about_equal(speak("Hello, world. How are you?", 175), n);
    assert_true(speak("Hello, world. How are you?", 350) < n * 3 / 4);
    assert_true(speak("", 175) < 22050);
    assert_true(speak("Hello [[ unclosed", 175) > 5000);
}

static void bad_speech(void **state) {
    static const struct {
        const char *text;
        int rate_wpm;
        const char *message;
    } cases[] = {{"a", 79, "79"},
                 {"a", 451, "451"},
                 {"a", 0, "80"},
                 {"ab\x01V", 175, "byte 2"},
                 {"\x02", 175, "0x02"}};
    for (size_t i = 0; i < UT_COUNT(cases); i++) {
        utter_error err;
        size_t n = 0;
        assert_int_equal(ut_espeak_lock(&err), UTTER_OK);
        assert_int_equal(ut_espeak_set_voice("en-us", NULL, &err), UTTER_OK);
        utter_status status =
            ut_espeak_synth(cases[i].text, cases[i].rate_wpm, count_samples, &n, &err);
        ut_espeak_unlock();
        assert_int_equal(status, UTTER_ERROR_ARGUMENT);
        assert_non_null(strstr(err.message, cases[i].message));
        assert_int_equal(n, 0);
    }
}

static bool stop_at_once(void *user, const int16_t *samples, size_t n) {
    ++*(int *)user;
    return false;
}

static void sink_stops(void **state) {
    utter_error err;
    int n_calls = 0;
    size_t n_whole = speak("Again.", 175);
    assert_int_equal(ut_espeak_lock(&err), UTTER_OK);
    assert_int_equal(ut_espeak_set_voice("en-us", NULL, &err), UTTER_OK);
    assert_int_equal(ut_espeak_synth("A long text, in clauses. And another. And one more.", 175,
                                     stop_at_once, &n_calls, &err),
                     UTTER_ERROR_CANCELLED);
    ut_espeak_unlock();
    assert_int_equal(n_calls, 1);
    assert_about_equal(speak("Again.", 175), n_whole);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_early),
        cmocka_unit_test(host_locale_stays),
        cmocka_unit_test(same_voice_is_free),
        cmocka_unit_test(voice_names),
        cmocka_unit_test(substitutes),
        cmocka_unit_test(unknown_names),
        cmocka_unit_test(nearest_names),
        cmocka_unit_test(mbrola_is_refused),
        cmocka_unit_test(version),
        cmocka_unit_test(speaks),
        cmocka_unit_test(bad_speech),
        cmocka_unit_test(sink_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

static void says_what_is_missing(void **state) {
    utter_error err;
    assert_int_equal(ut_espeak_lock(&err), UTTER_ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "libespeak-ng-dev"));
    assert_int_equal(ut_espeak_set_voice("en", NULL, &err), UTTER_ERROR_UNSUPPORTED);
    assert_int_equal(ut_espeak_synth("a", 175, NULL, NULL, &err), UTTER_ERROR_UNSUPPORTED);
    assert_string_equal(ut_espeak_version(), "");
    assert_int_equal(ut_espeak_sample_rate(), 0);
    struct ut_espeak_early early;
    ut_espeak_begin_early(&early);
    assert_false(early.runs);
    ut_espeak_end_early(&early);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(says_what_is_missing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
