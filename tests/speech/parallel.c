/* Sentences spoken side by side sound as those spoken one after the other, whatever the voice, the
 * number of lanes and threads, and who stops when; too little memory makes them take turns. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "speech/talk.h"

static const char text[] =
    "One. Two words. Three words here. A sentence of five words. Six! Seven? "
    "Eight, nine and ten.\n\nThe second paragraph. It has two, no, three "
    "sentences. Here is the last one of them all.";

static utter_status say(utter_stream *stream, int32_t n_parallel, bool normalize,
                        struct heard *heard, utter_result *result) {
    utter_speak_options options;
    utter_speak_options_init(&options);
    options.n_parallel = n_parallel;
    options.normalize = normalize;
    options.seed = 3;
    options.speed = 5;
    return utter_stream_speak(stream, text, strlen(text), &options, hear, heard, result, NULL);
}

static void check_same(utter_voice *voice, bool normalize) {
    struct heard alone, beside;
    utter_result result = {.size = sizeof result};
    utter_stream *stream = open_stream(voice);
    heard_init(&alone, false);
    assert_int_equal(say(stream, 1, normalize, &alone, &result), UTTER_OK);
    uint32_t n_sentences = result.n_sentences;
    assert_true(alone.sound && n_sentences > 1);
    for (int32_t n = 0; n <= 8; n += 4) {
        heard_init(&beside, false);
        assert_int_equal(say(stream, n, normalize, &beside, &result), UTTER_OK);
        assert_true(heard_same(&beside, &alone));
        assert_int_equal(result.n_sentences, n_sentences);
        assert_true(result.decode_s > 0);
    }
    utter_stream_destroy(stream);
}

static void the_samples_are_those_of_one_after_the_other(void **state) {
    static const char *const voices[] = {"piper/tiny.onnx", "house/tiny", "kokoro"};
    static const int32_t threads[] = {1, 2, 5};
    for (size_t t = 0; t < 3; t++) {
        utter_engine *engine = open_engine(threads[t], NULL);
        for (size_t i = 0; i < 3; i++) {
            utter_voice *voice = open_voice(engine, data_path(voices[i]));
            check_same(voice, i == 1);
            utter_voice_close(voice);
        }
        utter_engine_destroy(engine);
    }
}

static void the_number_is_checked(void **state) {
    utter_engine *engine = open_engine(2, NULL);
    utter_voice *voice = open_voice(engine, data_path("piper/tiny.onnx"));
    utter_stream *stream = open_stream(voice);
    utter_speak_options options;
    struct heard heard = {0};
    utter_error err;
    utter_speak_options_init(&options);
    for (options.n_parallel = -1; options.n_parallel <= 9; options.n_parallel += 10) {
        assert_int_equal(utter_stream_speak(stream, text, 4, &options, hear, &heard, NULL, &err),
                         UTTER_ERROR_ARGUMENT);
        assert_non_null(strstr(err.message, "n_parallel is "));
        assert_non_null(strstr(err.message, "0 to 8"));
    }
    utter_stream_destroy(stream);
    utter_voice_close(voice);
    utter_engine_destroy(engine);
}

/* The listener stops anywhere: what was heard is the beginning, and the next text is whole. */
static void stopping_anywhere(void **state) {
    utter_engine *engine = open_engine(3, NULL);
    utter_voice *voice = open_voice(engine, data_path("piper/tiny.onnx"));
    utter_stream *stream = open_stream(voice);
    struct heard whole, part;
    heard_init(&whole, true);
    assert_int_equal(say(stream, 1, false, &whole, NULL), UTTER_OK);
    for (uint64_t at = 1; at < whole.n; at += whole.n / 7) {
        heard_init(&part, true);
        part.stop_after = at;
        assert_int_equal(say(stream, 3, false, &part, NULL), UTTER_ERROR_CANCELLED);
        assert_true(part.n >= at && part.n <= whole.n);
        assert_memory_equal(part.samples, whole.samples, (size_t)at * sizeof(float));
        heard_free(&part);
    }
    heard_init(&part, false);
    assert_int_equal(say(stream, 3, false, &part, NULL), UTTER_OK);
    assert_true(heard_same(&part, &whole));
    heard_free(&whole);
    utter_stream_destroy(stream);
    utter_voice_close(voice);
    utter_engine_destroy(engine);
}

struct canceller {
    utter_stream *stream;
    _Atomic bool finished;
};

static void *cancel_often(void *user) {
    struct canceller *canceller = user;
    unsigned random = 7;
    while (!canceller->finished) {
        struct timespec pause = {0, 200000 + rand_r(&random) % 5000000};
        nanosleep(&pause, NULL);
        utter_stream_cancel(canceller->stream);
    }
    return NULL;
}

static void cancelling_at_any_time(void **state) {
    utter_engine *engine = open_engine(3, NULL);
    utter_voice *voice = open_voice(engine, data_path("piper/tiny.onnx"));
    struct canceller canceller = {open_stream(voice), false};
    struct heard whole, part;
    pthread_t thread;
    heard_init(&whole, false);
    assert_int_equal(say(canceller.stream, 1, false, &whole, NULL), UTTER_OK);
    assert_int_equal(pthread_create(&thread, NULL, cancel_often, &canceller), 0);
    for (int i = 0; i < 20; i++) {
        heard_init(&part, false);
        utter_status status = say(canceller.stream, 3, false, &part, NULL);
        assert_true(status == UTTER_OK ? heard_same(&part, &whole)
                                       : status == UTTER_ERROR_CANCELLED && part.n <= whole.n);
    }
    canceller.finished = true;
    pthread_join(thread, NULL);
    utter_stream_destroy(canceller.stream);
    utter_voice_close(voice);
    utter_engine_destroy(engine);
}

/* The peak of speaking alone, and a little: lanes find no memory there. */
static void without_memory_one_after_the_other(void **state) {
    utter_engine_options options;
    utter_memory memory = {.size = sizeof memory};
    struct heard alone, beside;
    utter_error err;
    utter_engine_options_init(&options);
    options.n_threads = 4;
    for (int round = 0; round < 2; round++) {
        utter_engine *engine;
        assert_int_equal(utter_engine_create(&options, &engine, &err), UTTER_OK);
        utter_voice *voice = open_voice(engine, data_path("piper/tiny.onnx"));
        utter_stream *stream = open_stream(voice);
        struct heard *heard = round ? &beside : &alone;
        heard_init(heard, false);
        assert_int_equal(say(stream, round ? 8 : 1, false, heard, NULL), UTTER_OK);
        utter_engine_memory(engine, &memory);
        assert_true(round == 0 || memory.peak_bytes <= options.memory_limit_bytes);
        options.memory_limit_bytes = memory.peak_bytes + 50000;
        utter_stream_destroy(stream);
        utter_voice_close(voice);
        utter_engine_destroy(engine);
    }
    assert_true(heard_same(&beside, &alone));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_samples_are_those_of_one_after_the_other),
        cmocka_unit_test(the_number_is_checked),
        cmocka_unit_test(stopping_anywhere),
        cmocka_unit_test(cancelling_at_any_time),
        cmocka_unit_test(without_memory_one_after_the_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
