/* Voices of the onnx backend through the public interface: chosen, described, spoken by several
 * threads at once and stopped, replaced by native when a run fails. ONNX Runtime is the stand-in of
 * backend/fake_ort.h. */
#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/fake_ort.h"
#include "speech/talk.h"

enum { N_SPEAKERS = 4, N_ROUNDS = 8 };

static struct fake_ort *fake;
static utter_engine *engine;
static utter_voice *voice;

static int setup(void **state) {
    void *handle = dlopen(getenv("UT_FAKE_ORT"), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    fake = handle ? dlsym(handle, "fake_ort") : NULL;
    return fake ? 0 : -1;
}

static int open_all(void **state) {
    utter_engine_options options;
    utter_voice_options voice_options;
    utter_error err;
    fake_ort_reset(fake);
    utter_engine_options_init(&options);
    utter_voice_options_init(&voice_options);
    options.n_threads = 2;
    options.onnxruntime = getenv("UT_FAKE_ORT");
    voice_options.provider = "cuda";
    if (utter_engine_create(&options, &engine, &err) != UTTER_OK ||
        utter_voice_open(engine, data_path("piper/tiny.onnx"), &voice_options, &voice, &err)) {
        print_error("%s\n", err.message);
        return -1;
    }
    return 0;
}

static int close_all(void **state) {
    utter_voice_close(voice);
    utter_engine_destroy(engine);
    return fake->n_alive == 0 ? 0 : -1;
}

static void information(void **state) {
    utter_voice_info info = {.size = sizeof info};
    char *json;
    utter_error err;
    utter_voice_get_info(voice, &info);
    assert_string_equal(info.backend, "onnx");
    assert_string_equal(info.family, "piper");
    assert_null(info.fallback_reason);
    assert_int_equal(fake->n_threads, 2);
    assert_int_equal(utter_backends(engine, voice, &json, &err), UTTER_OK);
    assert_non_null(strstr(json, "CUDAExecutionProvider"));
    utter_free(json);
    assert_int_equal(utter_voice_describe(voice, true, &json, &err), UTTER_OK);
    assert_non_null(strstr(json, "\"tensors\""));
    utter_free(json);
}

static utter_status say(utter_stream *stream, struct heard *heard, utter_result *result) {
    static const char text[] = "One sentence. Another one.";
    *result = (utter_result){.size = sizeof *result};
    heard_init(heard, false);
    return utter_stream_speak(stream, text, strlen(text), NULL, hear, heard, result, NULL);
}

static void speaking(void **state) {
    utter_stream *stream = open_stream(voice);
    struct heard heard;
    utter_result result;
    assert_int_equal(say(stream, &heard, &result), UTTER_OK);
    assert_true(heard.n >= 8000 && heard.largest == 0.25f);
    assert_true(result.n_sentences == 2 && result.n_fallbacks == 0);
    assert_string_equal(result.backend, "onnx");
    fake->level = NAN;
    assert_int_equal(say(stream, &heard, &result), UTTER_OK);
    assert_true(result.n_fallbacks == 2 && heard.n > 8000 && heard.sound);
    assert_string_equal(result.backend, "native"); /* the same file, by utter's kernels */
    assert_non_null(strstr(result.fallback_reason, "is not a number"));
    utter_stream_destroy(stream);
}

static _Atomic int n_wrong;

static void *speak_rounds(void *user) {
    utter_stream *stream = open_stream(voice);
    for (int i = 0; i < N_ROUNDS; i++) {
        struct heard heard;
        utter_result result;
        bool good = say(stream, &heard, &result) == UTTER_OK && heard.largest == 0.25f;
        n_wrong += !good || result.n_fallbacks != 0;
    }
    utter_stream_destroy(stream);
    return NULL;
}

static void several_at_once(void **state) {
    pthread_t threads[N_SPEAKERS];
    n_wrong = 0;
    for (int i = 0; i < N_SPEAKERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, speak_rounds, NULL), 0);
    }
    for (int i = 0; i < N_SPEAKERS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(n_wrong, 0);
}

static void *cancel_when_it_runs(void *stream) {
    const struct timespec pause = {0, 1000000};
    while (!fake->running) {
        nanosleep(&pause, NULL);
    }
    utter_stream_cancel(stream);
    return NULL;
}

static void a_run_is_stopped(void **state) {
    utter_stream *stream = open_stream(voice);
    struct heard heard;
    utter_result result;
    pthread_t thread;
    fake->wait = true;
    assert_int_equal(pthread_create(&thread, NULL, cancel_when_it_runs, stream), 0);
    assert_int_equal(say(stream, &heard, &result), UTTER_ERROR_CANCELLED);
    pthread_join(thread, NULL);
    assert_int_equal(heard.n, 0);
    fake->wait = false;
    assert_int_equal(say(stream, &heard, &result), UTTER_OK);
    utter_stream_destroy(stream);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_all, close_all)
    const struct CMUnitTest tests[] = {
        TEST(information),
        TEST(speaking),
        TEST(several_at_once),
        TEST(a_run_is_stopped),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
