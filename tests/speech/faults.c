/* Every allocation fails in turn, once and from there on, from creating an engine to the last
 * sentence: an error or sound speech, no leak, and the next call works. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "speech/talk.h"
#include "support/failing_allocator.h"
#include "support/sweep.h"

static const char text[] = "One two. Three four.";

static utter_status speak_with(utter_voice *voice, utter_error *err) {
    utter_stream *stream;
    struct heard heard;
    char *json;
    heard_init(&heard, false);
    utter_status status = utter_stream_create(voice, &stream, err);
    if (status != UTTER_OK) {
        assert_null(stream);
        return status;
    }
    utter_speak_options options;
    utter_speak_options_init(&options);
    options.normalize = true; /* one more buffer */
    status = utter_stream_speak(stream, text, strlen(text), &options, hear, &heard, NULL, err);
    assert_true(heard.sound);
    assert_true(status != UTTER_OK || heard.n > 0);
    utter_stream_destroy(stream);
    if (status == UTTER_OK) {
        status = utter_voice_describe(voice, true, &json, err);
        utter_free(json);
    }
    return status;
}

static utter_status whole_life(const utter_allocator *allocator, const char *path,
                               const char *precision, bool no_fallback, utter_error *err) {
    utter_engine_options options;
    utter_voice_options voice_options;
    utter_engine *engine;
    utter_voice *voice;
    utter_engine_options_init(&options);
    options.n_threads = 1;
    options.allocator = allocator;
    options.precision = precision;
    utter_status status = utter_engine_create(&options, &engine, err);
    if (status != UTTER_OK) {
        assert_null(engine);
        return status;
    }
    utter_voice_options_init(&voice_options);
    voice_options.no_fallback = no_fallback;
    status = utter_voice_open(engine, path, &voice_options, &voice, err);
    if (status == UTTER_OK) {
        status = speak_with(voice, err);
    }
    utter_voice_close(voice);
    utter_engine_destroy(engine);
    return status;
}

static void fail_each_of(const char *path, const char *precision, bool no_fallback,
                         bool and_later) {
    struct sweep sweep;
    size_t n_errors = 0;
    for (sweep_start(&sweep, NULL, and_later); sweep_next(&sweep);) {
        utter_error err = {UTTER_OK, ""};
        utter_status status = whole_life(&sweep.allocator, path, precision, no_fallback, &err);
        /* OK when another voice has stepped in, or a session's blocks did not become one. */
        if (status != UTTER_OK && status != UTTER_ERROR_MEMORY) {
            fail_msg("%s: allocation %zu: status %d: %s", path, sweep.fail_at, status, err.message);
        }
        assert_true(status == UTTER_OK || sweep.memory.n_failed > 0);
        n_errors += status != UTTER_OK;
    }
    assert_true(n_errors > 3 && sweep.n_injected > 9);
}

static void fail_each(const char *path, bool no_fallback, bool and_later) {
    fail_each_of(path, NULL, no_fallback, and_later);
}

static void formant_voice(void **state) {
    fail_each("espeak", true, false);
    fail_each("espeak", true, true);
}

static void native_voice(void **state) {
    fail_each(data_path("piper/tiny_multi.onnx"), true, false);
    fail_each(data_path("piper/tiny_multi.onnx"), true, true);
    fail_each(data_path("house/tiny"), true, false);
    fail_each(data_path("house/tiny"), true, true);
}

static void kokoro(void **state) {
    fail_each(data_path("kokoro"), true, false);
    fail_each(data_path("kokoro"), true, true);
    fail_each(data_path("kokoro"), false, false);
}

static void narrow_arithmetic(void **state) {
    static const char *const paths[] = {"piper/tiny.onnx", "kokoro"};
    for (size_t i = 0; i < 2; i++) {
        fail_each_of(data_path(paths[i]), "int8", true, false);
        fail_each_of(data_path(paths[i]), "bf16", true, true);
    }
}

/* Weights that the file holds in 8 bits, with NAME.scale, in the arithmetic made for them and
 * expanded to floats. */
static void stored_in_8_bits(void **state) {
    static const char *const models[] = {"piper/tiny_multi.onnx", "kokoro"};
    char folder[] = "/tmp/utter-test-XXXXXX", path[64];
    utter_import_options options;
    utter_engine *engine = open_engine(1, NULL);
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/int8.gguf", folder);
    utter_import_options_init(&options);
    options.type = "int8";
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(utter_import(engine, data_path(models[i]), path, &options, NULL, NULL),
                         UTTER_OK);
        fail_each_of(path, NULL, true, false);
        fail_each_of(path, NULL, true, true);
        fail_each_of(path, "f32", true, false);
        unlink(path);
    }
    utter_engine_destroy(engine);
    rmdir(folder);
}

static void native_voice_that_may_fall_back(void **state) {
    fail_each(data_path("piper/tiny.onnx"), false, false);
    fail_each(data_path("piper/tiny.onnx"), false, true);
}

/* The same stream, again and again, after each failure. */
static void a_stream_survives(void **state) {
    struct failing_allocator memory;
    utter_allocator allocator = failing_allocator_start(&memory);
    utter_engine *engine = open_engine(2, &allocator);
    utter_voice *voice = open_voice(engine, data_path("piper/tiny.onnx"));
    utter_stream *stream = open_stream(voice);
    struct heard first, heard;
    utter_error err;
    heard_init(&first, false);
    for (size_t fail_at = 1;; fail_at++) {
        heard_init(&heard, false);
        failing_allocator_reset(&memory, fail_at, false);
        utter_status status =
            utter_stream_speak(stream, text, strlen(text), NULL, hear, &heard, NULL, &err);
        size_t n_failed = memory.n_failed;
        failing_allocator_reset(&memory, 0, false);
        assert_true(n_failed == 0 ? status == UTTER_OK : status == UTTER_ERROR_MEMORY);
        heard_init(&heard, false);
        assert_int_equal(
            utter_stream_speak(stream, text, strlen(text), NULL, hear, &heard, NULL, &err),
            UTTER_OK);
        first = fail_at == 1 ? heard : first;
        assert_true(heard_same(&first, &heard));
        if (n_failed == 0) {
            break;
        }
    }
    utter_stream_destroy(stream);
    utter_voice_close(voice);
    utter_engine_destroy(engine);
    assert_int_equal(memory.n_blocks, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formant_voice),
        cmocka_unit_test(native_voice),
        cmocka_unit_test(kokoro),
        cmocka_unit_test(narrow_arithmetic),
        cmocka_unit_test(stored_in_8_bits),
        cmocka_unit_test(native_voice_that_may_fall_back),
        cmocka_unit_test(a_stream_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
