/* Kokoro through the native backend: languages from voices, text to ids between zeros, what the
 * vocabulary lacks, long text in parts, pauses, style rows. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/native.h"
#include "models/kokoro/kokoro.h"
#include "support/speak.h"

static struct ut_mem mem;
static struct ut_backend_context context;
static struct ut_backend_voice *voice;
static struct ut_backend_session *session;
static struct ut_units units;
static const struct ut_backend *const backend = &ut_native_kokoro;
static char last_warning[512];

static void remember(void *user, utter_log_level level, const char *message) {
    if (level == UTTER_LOG_WARNING) {
        snprintf(last_warning, sizeof last_warning, "%s", message);
    }
}

static int setup(void **state) {
    char path[4096];
    utter_error err;
    ut_mem_init(&mem, NULL);
    context.mem = &mem;
    context.log.fn = remember;
    snprintf(path, sizeof path, "%s/kokoro", getenv("UT_TEST_DATA"));
    if (speak_compute_open(&mem, ut_cpu_level_best(), 1, &context.compute, NULL) != UTTER_OK ||
        backend->open(&context, path, &voice, &err) != UTTER_OK ||
        backend->session_create(voice, &session, &err) != UTTER_OK) {
        return -1;
    }
    ut_units_init(&units, &mem);
    return 0;
}

static int teardown(void **state) {
    ut_units_free(&units);
    backend->session_destroy(session);
    backend->close(voice);
    speak_compute_close(&context.compute);
    for (int i = 0; i < UT_MEM_N_OWNERS; i++) {
        if (mem.bytes[i] != 0) {
            return -1;
        }
    }
    return 0;
}

static void make_units(const char *text, const struct ut_speak_params *params) {
    static const struct ut_speak_params defaults;
    utter_error err;
    if (backend->units(session, text, strlen(text), params ? params : &defaults, &units, &err)) {
        fail_msg("%s", err.message);
    }
}

static void languages(void **state) {
    static const struct {
        struct ut_speak_params params;
        const char *tag, *espeak_voice;
    } cases[] = {
        {{.speaker = 0}, "en-us", "en-us"},  /* af_synth */
        {{.speaker = 1}, "en-gb", "gmw/en"}, /* bm_synth */
        {{.voice = "bm_synth(0.2)+af_synth"}, "en-gb", "gmw/en"},
        {{.voice = "af_synth+bm_synth(5)"}, "en-us", "en-us"},
        {{.speaker = 1, .language = "a"}, "en-us", "en-us"},
        {{.language = "fr-fr"}, "fr-fr", "roa/fr"},
        {{.language = "e"}, "es", "es"},
        {{.language = "pt_BR"}, "pt-br", "pt-br"},
        {{.language = "xx"}, "", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_string_equal(backend->language(voice, &cases[i].params), cases[i].tag);
        assert_string_equal(backend->espeak_voice(voice, &cases[i].params), cases[i].espeak_voice);
    }
    struct ut_speak_params params = {.language = "xx"};
    utter_error err;
    assert_int_equal(backend->units(session, "Hi.", 3, &params, &units, &err),
                     UTTER_ERROR_NOT_FOUND);
    assert_non_null(strstr(err.message, "no language 'xx'; it has a en-us, b en-gb"));
    assert_int_equal(units.n, 0);
}

static void check_ids(const struct ut_unit *unit) {
    assert_true(unit->n_ids >= 3 && unit->n_ids <= backend->max_ids(voice));
    assert_true(unit->ids[0] == 0 && unit->ids[unit->n_ids - 1] == 0);
    for (size_t i = 1; i + 1 < unit->n_ids; i++) {
        assert_true(unit->ids[i] > 0);
    }
}

static void text_becomes_ids(void **state) {
    make_units("Hello there. How are you?\n\nFine!", NULL);
    assert_int_equal(units.n, 2); /* paragraphs: sentences are packed */
    for (size_t i = 0; i < units.n; i++) {
        check_ids(&units.items[i]);
        assert_int_equal(units.items[i].n_symbols, units.items[i].n_ids - 2);
    }
    assert_int_equal(units.items[0].end, UT_UNIT_PARAGRAPH);
    assert_int_equal(units.n_skipped_symbols, 0);
    make_units(" \n ", NULL);
    assert_int_equal(units.n, 0);
    make_units("Four", &(struct ut_speak_params){.language = "a"});
    int32_t american = units.items[0].ids[units.items[0].n_ids - 2];
    make_units("Four", &(struct ut_speak_params){.language = "b"});
    /* The r at its end is spoken, or it is a long vowel. */
    assert_int_not_equal(units.items[0].ids[units.items[0].n_ids - 2], american);
}

/* The row of the style table goes by the phoneme string, the ids by the vocabulary. */
static void symbols_that_the_vocabulary_lacks(void **state) {
    last_warning[0] = '\0';
    make_units("[x](/h%a%%/)", NULL);
    assert_int_equal(units.n, 1);
    assert_int_equal(units.items[0].n_ids, 4);
    assert_int_equal(units.items[0].n_symbols, 5);
    assert_int_equal(units.n_skipped_symbols, 3);
    assert_non_null(strstr(last_warning, "'%' (U+0025): it is left out"));
    make_units("[x](/%%/)", NULL);
    assert_int_equal(units.n, 0);
    assert_int_equal(units.n_skipped_symbols, 2);
}

static void long_text_is_cut(void **state) {
    static char text[9000];
    for (size_t i = 0; i + 8 < sizeof text; i += 8) {
        memcpy(text + i, i % 320 == 312 ? "pepper. " : "peppers ", 8);
    }
    make_units(text, NULL);
    size_t at = 0, n_sentences = 0;
    assert_true(units.n > 28); /* this model's runs are shorter than a sentence */
    for (size_t i = 0; i < units.n; i++) {
        check_ids(&units.items[i]);
        assert_int_equal(units.items[i].text_begin, at);
        at = units.items[i].text_end;
        n_sentences += units.items[i].end == UT_UNIT_SENTENCE;
    }
    assert_int_equal(at, strlen(text));
    assert_int_equal(n_sentences, 27); /* the last is packed with the unfinished one behind it */
}

static void clauses_are_cut_without_a_pause(void **state) {
    static char text[2000];
    for (size_t i = 0; i + 8 < sizeof text; i += 8) {
        memcpy(text + i, i % 80 == 72 ? "pepper, " : "peppers ", 8);
    }
    make_units(text, NULL);
    assert_true(units.n > 2);
    for (size_t i = 0; i + 1 < units.n; i++) {
        assert_int_equal(units.items[i].end, UT_UNIT_CUT);
    }
}

static void voices_are_checked(void **state) {
    static const struct {
        const char *voice;
        utter_status status;
        const char *words;
    } cases[] = {
        {"af_synth", UTTER_OK, ""},
        {"af_synth(0.7)+bm_synth(0.3)", UTTER_OK, ""},
        {"af_sinth", UTTER_ERROR_NOT_FOUND, "did you mean \"af_synth\""},
        {"af_synth+zzz", UTTER_ERROR_NOT_FOUND, "\"zzz\""},
        {"", UTTER_ERROR_ARGUMENT, "voice"},
        {"af_synth(", UTTER_ERROR_ARGUMENT, "byte 9"},
        {"af_synth-af_synth", UTTER_ERROR_ARGUMENT, "add up"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        utter_error err = {UTTER_OK, ""};
        if (backend->check_voice(voice, cases[i].voice, &err) != cases[i].status ||
            !strstr(err.message, cases[i].words)) {
            fail_msg("'%s': %s", cases[i].voice, err.message);
        }
    }
}

static bool sum_up(void *user, const float *samples, size_t n) {
    double *sum = user;
    for (size_t i = 0; i < n; i++) {
        sum[0] += fabs((double)samples[i]);
        sum[1] += 1;
    }
    return true;
}

static void speak_unit(const struct ut_unit *unit, struct ut_speak_params params, double sum[2]) {
    static const _Atomic bool never;
    struct ut_speak_stats stats = {0};
    utter_error err;
    sum[0] = sum[1] = 0;
    params.speed = 0.25f; /* long enough to be trimmed */
    params.sink = sum_up;
    params.user = sum;
    params.cancel = &never;
    if (backend->speak(session, unit, &params, &stats, &err) != UTTER_OK) {
        fail_msg("%s", err.message);
    }
    assert_true(sum[1] > 0 && stats.decode_s > 0);
}

static void speakers_mixtures_and_rows(void **state) {
    static const int32_t ids[] = {0, 50, 157, 43, 135, 4, 0};
    struct ut_unit unit = {.ids = ids, .n_ids = sizeof ids / sizeof *ids};
    double first[2], other[2];
    speak_unit(&unit, (struct ut_speak_params){.speaker = 0}, first);
    speak_unit(&unit, (struct ut_speak_params){.voice = "af_synth"}, other);
    assert_true(first[0] == other[0] && first[1] == other[1]);
    speak_unit(&unit, (struct ut_speak_params){.voice = "af_synth(0.5)+bm_synth(0.5)"}, other);
    assert_true(first[0] != other[0]);
    speak_unit(&unit, (struct ut_speak_params){.text = ""}, other); /* trimmed */
    assert_true(other[1] < first[1]);
    unit.n_symbols = 5;
    speak_unit(&unit, (struct ut_speak_params){.speaker = 0}, other);
    assert_true(first[0] == other[0]);
    unit.n_symbols = 90000; /* the last row */
    speak_unit(&unit, (struct ut_speak_params){.speaker = 0}, other);
    assert_true(first[0] != other[0]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(languages),
        cmocka_unit_test(text_becomes_ids),
        cmocka_unit_test(symbols_that_the_vocabulary_lacks),
        cmocka_unit_test(long_text_is_cut),
        cmocka_unit_test(clauses_are_cut_without_a_pause),
        cmocka_unit_test(voices_are_checked),
        cmocka_unit_test(speakers_mixtures_and_rows),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
