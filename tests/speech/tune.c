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
#include "support/failing_allocator.h"

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

static int n_in_file(const char *words) {
    char text[8192];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = '\0';
    int n = 0;
    for (const char *at = text; (at = strstr(at, words)) != NULL; at++) {
        n++;
    }
    return n;
}

/* Layers of one voice beside those that are there; from every format. */
static void layers_of_a_voice(void **state) {
    static const struct {
        const char *model, *layer; /* one that it has */
    } cases[] = {
        {"piper/tiny.onnx", "\"in\": 24, \"out\": 32, \"taps\": 7"},
        {"house/tiny", "\"in\": 48, \"out\": 64, \"taps\": 7"},
        {"kokoro", "\"in\": 32, \"out\": 32, \"taps\": 5"},
    };
    utter_engine *engine = engine_with(NULL);
    utter_error err;
    char other[200];
    snprintf(
        other, sizeof other,
        "{\"version\": 1, \"cpu\": \"%s\", \"layers\": [{\"in\": 999, \"out\": 7, \"taps\": 3, "
        "\"scheme\": \"F(4,3)\"}]}",
        utter_engine_cpu(engine));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int n = 0;
        write_text(other);
        if (utter_tune_voice(engine, data_path(cases[i].model), path, count_layer, &n, &err)) {
            fail_msg("%s: %s", cases[i].model, err.message);
        }
        assert_true(n > 0);
        assert_int_equal(n_in_file("\"taps\""), n + 1);
        assert_int_equal(n_in_file("\"in\": 999, \"out\": 7, \"taps\": 3, \"scheme\": \"F(4,3)\""),
                         1);
        assert_true(n_in_file(cases[i].layer) > 0);
    }
    write_text("{");
    said[0] = '\0';
    assert_int_equal(utter_tune_voice(engine, data_path("house/tiny"), path, NULL, NULL, &err),
                     UTTER_OK);
    assert_non_null(strstr(said, "is not kept"));
    assert_int_equal(n_in_file("999"), 0);
    unlink(path);
    assert_int_equal(utter_tune_voice(engine, data_path("house/tiny"), path, NULL, NULL, &err),
                     UTTER_OK);
    assert_true(n_in_file("\"taps\"") > 0);
    utter_engine_destroy(engine);
}

/* While the model is read and the first layer measured; then an old file stays as it was. */
static void no_memory(void **state) {
    struct failing_allocator memory;
    utter_allocator allocator = failing_allocator_start(&memory);
    utter_engine *engine = open_engine(1, &allocator);
    size_t n_before = memory.n_blocks;
    write_text("old");
    for (size_t at = 1; at <= 12; at++) {
        utter_error err;
        failing_allocator_reset(&memory, at, true);
        assert_int_equal(
            utter_tune_voice(engine, data_path("piper/tiny.onnx"), path, NULL, NULL, &err),
            UTTER_ERROR_MEMORY);
        assert_true(memory.n_failed > 0);
        failing_allocator_reset(&memory, 0, false);
        assert_int_equal(memory.n_blocks, n_before);
        assert_int_equal(n_in_file("old"), 1);
    }
    utter_engine_destroy(engine);
    assert_true(memory.n_blocks == 0 && !memory.wrong_size);
}

static void wrong_calls(void **state) {
    utter_engine *engine = engine_with(NULL);
    utter_error err;
    assert_int_equal(utter_tune(NULL, path, NULL, NULL, &err), UTTER_ERROR_ARGUMENT);
    assert_int_equal(utter_tune(engine, NULL, NULL, NULL, &err), UTTER_ERROR_ARGUMENT);
    assert_int_equal(utter_tune(engine, "/nowhere/at/all", NULL, NULL, &err), UTTER_ERROR_IO);
    assert_int_equal(utter_tune_voice(engine, NULL, path, NULL, NULL, &err), UTTER_ERROR_ARGUMENT);
    assert_int_equal(utter_tune_voice(engine, "no.onnx", path, NULL, NULL, &err),
                     UTTER_ERROR_NOT_FOUND);
    assert_non_null(strstr(err.message, "no.onnx"));
    assert_int_equal(utter_tune_voice(engine, data_path("piper/golden_tiny.safetensors"), path,
                                      NULL, NULL, &err),
                     UTTER_ERROR_UNSUPPORTED);
    assert_int_equal(utter_tune_voice(engine, data_path("house/tiny"), folder, NULL, NULL, &err),
                     UTTER_ERROR_IO);
    utter_engine_destroy(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_taken),
        cmocka_unit_test(damaged_foreign_and_missing_files),
        cmocka_unit_test(layers_of_a_voice),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(wrong_calls),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
