/* Phonemes to ids: framing, clusters, symbols that the voice does not have. The recorded cases are
 * in front_end.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"
#include "models/piper/voice_config.h"
#include "support/failing_allocator.h"

#define HEAD "{\"audio\": {\"sample_rate\": 22050}, \"espeak\": {\"voice\": \"en-us\"}"
static const char json[] = HEAD
    ", \"phoneme_id_map\": {\"_\": [0], \"^\": [1], \"$\": [2], \"a\": [4], \"b\": [5, 6], \"i\": [7],"
    " \"\\u0259\": [8], \"ai\": [9], \"ai\\u0259\": [10], \" \": [3], \"n\": []},"
    " \"vowel_clusters\": [\"ai\", \"ai\\u0259\", \"a\\u0259\"]}";
static const char json_plain[] =
    HEAD ", \"phoneme_id_map\": {\"_\": [0, 11], \"^\": [1, 12], \"$\": [2, 13],"
         " \"a\": [4], \"i\": [7], \"ai\": [9]}}";

static struct ut_mem mem;
static int n_logged;
static char last_log[512];

static void count_logs(void *user, utter_log_level level, const char *message) {
    n_logged++;
    snprintf(last_log, sizeof last_log, "%s", message);
}

static void assert_ids(const char *config_json, const char *phonemes, const char *expected,
                       uint32_t n_skipped) {
    struct ut_piper_config config;
    struct ut_piper_ids ids = {0};
    struct ut_log log = {.fn = count_logs};
    char got[1000] = "";
    n_logged = 0;
    assert_int_equal(ut_piper_config_parse(&mem, config_json, strlen(config_json), &config, NULL),
                     UTTER_OK);
    /* In a block of exactly that size: phonemes need no NUL. */
    size_t n = strlen(phonemes);
    char *exact = malloc(n ? n : 1);
    memcpy(exact, phonemes, n);
    assert_int_equal(ut_piper_ids_append(&config, exact, n, &ids, &log, NULL), UTTER_OK);
    free(exact);
    for (size_t i = 0, used = 0; i < ids.n; i++) {
        used += (size_t)snprintf(got + used, sizeof got - used, "%s%d", i ? " " : "", ids.ids[i]);
    }
    assert_string_equal(got, expected);
    assert_int_equal(ids.n_skipped, n_skipped);
    ut_mem_free(&mem, ids.ids);
    ut_piper_config_free(&config);
}

static void framing(void **state) {
    assert_ids(json, "", "1 0 2", 0);
    assert_ids(json, "b a", "1 0 5 6 0 3 0 4 0 2", 0);
    assert_ids(json, "n", "1 0 0 2", 0); /* a symbol with no ids is padded all the same */
    assert_ids(json_plain, "a", "1 12 0 11 4 0 11 2 13", 0);
    assert_ids(json_plain, "ai", "1 12 0 11 4 0 11 7 0 11 2 13",
               0); /* without clusters: two symbols */
}

static void longest_cluster_first(void **state) {
    assert_ids(json, "ai", "1 0 9 0 2", 0);
    assert_ids(json, "aiə", "1 0 10 0 2", 0);
    assert_ids(json, "aia", "1 0 9 0 4 0 2", 0);
    assert_ids(json, "aiaiə", "1 0 9 0 10 0 2", 0);
    assert_ids(json, "aə", "1 0 2", 1); /* merged, but the voice has no id for it */
    assert_ids(json, "a i", "1 0 4 0 3 0 7 0 2", 0);
}

static void unknown_symbols(void **state) {
    assert_ids(json, "aéxé世x😀", "1 0 4 0 2", 6);
    assert_int_equal(n_logged, 4);
    assert_non_null(strstr(last_log, "'😀'"));
    assert_ids(json, "\x01", "1 0 2", 1);
    char many[200] = "";
    for (int i = 0; i < 60; i++) {
        char symbol[] = {(char)0xC4, (char)(0x80 + i), '\0'};
        strcat(many, symbol);
    }
    assert_ids(json, many, "1 0 2", 60);
    assert_int_equal(n_logged, 16);
}

static void appends(void **state) {
    struct ut_piper_config config;
    struct ut_piper_ids ids = {0};
    assert_int_equal(ut_piper_config_parse(&mem, json, strlen(json), &config, NULL), UTTER_OK);
    for (size_t i = 1; i <= 100; i++) {
        assert_int_equal(ut_piper_ids_append(&config, "ax", 2, &ids, NULL, NULL), UTTER_OK);
        assert_int_equal(ids.n, 5 * i);
        assert_int_equal(ids.n_skipped, i);
    }
    ut_mem_free(&mem, ids.ids);
    ut_piper_config_free(&config);
}

static void failed_allocations(void **state) {
    struct failing_allocator failing;
    utter_allocator allocator = failing_allocator_start(&failing);
    struct ut_mem failing_mem;
    struct ut_piper_config config;
    struct ut_piper_ids ids = {0};
    char phonemes[500];
    memset(phonemes, 'a', sizeof phonemes);
    ut_mem_init(&failing_mem, &allocator);
    failing_allocator_reset(&failing, 0, false);
    assert_int_equal(ut_piper_config_parse(&failing_mem, json, strlen(json), &config, NULL),
                     UTTER_OK);
    assert_int_equal(ut_piper_ids_append(&config, "ax", 2, &ids, NULL, NULL), UTTER_OK);
    utter_status status = UTTER_ERROR_MEMORY;
    for (size_t n = 1; status != UTTER_OK; n++) {
        utter_error err;
        failing_allocator_reset(&failing, n, false);
        status = ut_piper_ids_append(&config, phonemes, sizeof phonemes, &ids, NULL, &err);
        assert_true(status == (failing.n_failed ? UTTER_ERROR_MEMORY : UTTER_OK));
        assert_int_equal(ids.n, failing.n_failed ? 5 : 5 + 3 + 2 * sizeof phonemes);
        assert_int_equal(ids.n_skipped, 1);
    }
    ut_mem_free(&failing_mem, ids.ids);
    ut_piper_config_free(&config);
    assert_int_equal(failing.n_blocks, 0);
    assert_false(failing.wrong_size);
}

static int set_up(void **state) {
    ut_mem_init(&mem, NULL);
    return 0;
}

static int tear_down(void **state) {
    return mem.bytes[UT_MEM_OTHER] + mem.bytes[UT_MEM_SESSION] != 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(framing),
        cmocka_unit_test(longest_cluster_first),
        cmocka_unit_test(unknown_symbols),
        cmocka_unit_test(appends),
        cmocka_unit_test(failed_allocations),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
