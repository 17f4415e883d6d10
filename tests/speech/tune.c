/* utter_tune writes a file that an engine takes; a damaged one is a warning and changes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "speech/talk.h"

static char folder[64], path[128];
static char said[600];
static utter_log_level level;

static int setup(void **state) {
    strcpy(folder, "/tmp/utter-test-XXXXXX");
    if (!mkdtemp(folder)) {
        return -1;
    }
    snprintf(path, sizeof path, "%s/tuning.json", folder);
    return 0;
}

static int teardown(void **state) {
    unlink(path);
    return rmdir(folder);
}

static void keep_message(void *user, utter_log_level at, const char *message) {
    level = at;
    snprintf(said, sizeof said, "%s", message);
}

static utter_engine *engine_with(const char *tuning) {
    utter_engine_options options;
    utter_engine *engine;
    utter_error err;
    utter_engine_options_init(&options);
    options.n_threads = 1;
    options.log = keep_message;
    options.tuning = tuning;
    said[0] = '\0';
    if (utter_engine_create(&options, &engine, &err) != UTTER_OK) {
        fail_msg("%s", err.message);
    }
    return engine;
}

static void write_text(const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0 && fclose(file) == 0);
}

static void count_layer(void *user, const utter_tuned *layer) {
    int *n = user;
    assert_true(layer->n_in > 0 && layer->n_out > 0 && layer->n_taps > 1 && layer->scheme[0]);
    assert_true(layer->speedup > 0);
    ++*n;
}

static void what_is_written_is_taken(void **state) {
    utter_engine *engine = engine_with(NULL);
    utter_error err;
    int n = 0;
    assert_int_equal(utter_tune(engine, path, count_layer, &n, &err), UTTER_OK);
    assert_true(n > 10);
    utter_engine_destroy(engine);
    engine = engine_with(path);
    assert_string_equal(said, "");
    utter_engine_destroy(engine);
}

static void damaged_foreign_and_missing_files(void **state) {
    static const struct {
        const char *text, *message;
        utter_log_level level;
    } cases[] = {
        {"{", "is not used, what is built in is: ", UTTER_LOG_WARNING},
        {"{\"version\": 1, \"cpu\": \"other\", \"layers\": []}", "run utter tune again",
         UTTER_LOG_INFO},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_text(cases[i].text);
        utter_engine *engine = engine_with(path);
        assert_non_null(strstr(said, cases[i].message));
        assert_int_equal(level, cases[i].level);
        utter_engine_destroy(engine);
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (int i = 0; i < 70000; i++) {
        fputc(' ', file);
    }
    assert_int_equal(fclose(file), 0);
    utter_engine_destroy(engine_with(path));
    assert_non_null(strstr(said, "70000 bytes are more than a tuning file has"));
    unlink(path);
    utter_engine_destroy(engine_with(path));
    assert_int_equal(level, UTTER_LOG_WARNING);
}

static void wrong_calls(void **state) {
    utter_engine *engine = engine_with(NULL);
    utter_error err;
    assert_int_equal(utter_tune(NULL, path, NULL, NULL, &err), UTTER_ERROR_ARGUMENT);
    assert_int_equal(utter_tune(engine, NULL, NULL, NULL, &err), UTTER_ERROR_ARGUMENT);
    assert_int_equal(utter_tune(engine, "/nowhere/at/all", NULL, NULL, &err), UTTER_ERROR_IO);
    utter_engine_destroy(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_taken),
        cmocka_unit_test(damaged_foreign_and_missing_files),
        cmocka_unit_test(wrong_calls),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
