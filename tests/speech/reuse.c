/* One engine for all attempts: an allocation fails while a voice is opened and speaks, once or from
 * there on; what follows is an error or the samples of a run without faults, nothing is left
 * behind, and then the same engine opens and speaks as if nothing had happened. Every allocation
 * with UT_TEST_FULL=1, else a sample that leaves none of the stages out. Row F4 of the reliability
 * rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "speech/talk.h"
#include "support/failing_allocator.h"

enum { N_SAMPLE = 12 }; /* faults of each sweep in the suite */

static const char text[] = "One two. Three.";

static utter_status speak_with(utter_voice *voice, struct heard *heard, utter_error *err) {
    utter_stream *stream;
    utter_status status = utter_stream_create(voice, &stream, err);
    if (status == UTTER_OK) {
        status = utter_stream_speak(stream, text, strlen(text), NULL, hear, heard, NULL, err);
    }
    utter_stream_destroy(stream);
    return status;
}

static utter_status open_and_speak(utter_engine *engine, const char *path, bool no_fallback,
                                   struct heard *heard, utter_error *err) {
    utter_voice_options options;
    utter_voice *voice;
    heard_init(heard, false);
    utter_voice_options_init(&options);
    options.no_fallback = no_fallback;
    utter_status status = utter_voice_open(engine, path, &options, &voice, err);
    if (status == UTTER_OK) {
        status = speak_with(voice, heard, err);
    }
    utter_voice_close(voice);
    return status;
}

struct sweep {
    struct failing_allocator memory;
    utter_engine *engine;
    const char *path;
    bool no_fallback, exact; /* exact: espeak-ng's own voice has no part in it */
    size_t n_idle;           /* blocks of the engine alone */
    struct heard reference;
};

/* One fault, and the engine after it. */
static utter_status attempt(struct sweep *sweep, size_t fail_at, bool and_later) {
    struct heard heard;
    utter_error err = {UTTER_OK, ""};
    failing_allocator_reset(&sweep->memory, fail_at, and_later);
    utter_status status =
        open_and_speak(sweep->engine, sweep->path, sweep->no_fallback, &heard, &err);
    size_t n_failed = sweep->memory.n_failed, n_blocks = sweep->memory.n_blocks;
    failing_allocator_reset(&sweep->memory, 0, false);
    if (n_failed == 0 || (status != UTTER_OK && status != UTTER_ERROR_MEMORY)) {
        fail_msg("%s: allocation %zu: status %d: %s", sweep->path, fail_at, status, err.message);
    }
    if (n_blocks != sweep->n_idle || sweep->memory.wrong_size) {
        fail_msg("%s: allocation %zu: %zu blocks left", sweep->path, fail_at, n_blocks);
    }
    assert_true(heard.sound);
    assert_true(status != UTTER_OK || !sweep->exact || heard_same(&heard, &sweep->reference));
    assert_int_equal(open_and_speak(sweep->engine, sweep->path, sweep->no_fallback, &heard, &err),
                     UTTER_OK);
    assert_true(sweep->exact ? heard_same(&heard, &sweep->reference) : heard.n > 0 && heard.sound);
    return status;
}

static void sweep_threads(const char *path, bool no_fallback, int32_t n_threads) {
    struct sweep sweep = {.path = path, .no_fallback = no_fallback};
    utter_allocator allocator = failing_allocator_start(&sweep.memory);
    utter_error err;
    size_t n_errors = 0;
    sweep.exact = no_fallback && strcmp(path, "espeak") != 0;
    sweep.engine = open_engine(n_threads, &allocator);
    sweep.n_idle = sweep.memory.n_blocks;
    /* The second time counts: the first also fills what lives as long as the process. */
    for (int i = 0; i < 2; i++) {
        failing_allocator_reset(&sweep.memory, 0, false);
        assert_int_equal(open_and_speak(sweep.engine, path, no_fallback, &sweep.reference, &err),
                         UTTER_OK);
    }
    size_t n_calls = sweep.memory.n_calls;
    size_t step = full_run() || n_calls <= N_SAMPLE ? 1 : n_calls / N_SAMPLE;
    for (size_t fail_at = 1; fail_at <= n_calls; fail_at += step) {
        for (int and_later = 0; and_later < 2; and_later++) {
            n_errors += attempt(&sweep, fail_at, and_later) != UTTER_OK;
        }
    }
    utter_engine_destroy(sweep.engine);
    assert_int_equal(sweep.memory.n_blocks, 0);
    assert_true(n_errors > 0);
}

static void sweep_path(const char *path, bool no_fallback) {
    sweep_threads(path, no_fallback, 1);
    if (full_run()) {
        sweep_threads(path, no_fallback, 3);
    }
}

static void piper(void **state) {
    sweep_path(data_path("piper/tiny.onnx"), true);
    sweep_path(data_path("piper/tiny_multi.onnx"), true);
}

static void house(void **state) {
    sweep_path(data_path("house/tiny"), true);
}

static void kokoro(void **state) {
    sweep_path(data_path("kokoro"), true);
}

/* One file that holds the voices too. */
static void kokoro_gguf(void **state) {
    char path[] = "/tmp/utter-test-XXXXXX.gguf";
    int fd = mkstemps(path, 5);
    utter_engine *engine = open_engine(1, NULL);
    utter_error err;
    assert_true(fd >= 0 && close(fd) == 0);
    assert_int_equal(utter_import(engine, data_path("kokoro"), path, NULL, NULL, &err), UTTER_OK);
    utter_engine_destroy(engine);
    sweep_path(path, true);
    assert_int_equal(unlink(path), 0);
}

static void formant_voice(void **state) {
    sweep_path("espeak", true);
}

static void voices_that_may_fall_back(void **state) {
    sweep_path(data_path("piper/tiny.onnx"), false);
    sweep_path(data_path("house/tiny"), false);
    sweep_path(data_path("kokoro"), false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(piper),         cmocka_unit_test(house),
        cmocka_unit_test(kokoro),        cmocka_unit_test(kokoro_gguf),
        cmocka_unit_test(formant_voice), cmocka_unit_test(voices_that_may_fall_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
