/* A voice whose weights are damaged after they were made: loading cannot see it, speaking does. The
 * sentence is spoken by espeak-ng at the voice's rate, or is an error where that is not wanted. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "speech/talk.h"
#include "support/failing_allocator.h"

static const char text[] = "One two three. Four five six.";

/* Finite weights whose products are not: the sum of the last convolution overflows. */
static const char *write_exploding_voice(int sample_rate_hz) {
    struct voice_spec spec = voice_spec_tiny();
    struct voice built;
    spec.sample_rate_hz = sample_rate_hz;
    voice_build(&built, &spec, 1);
    struct voice_tensor *tensor = voice_find(&built, "dec.conv_pre.weight");
    for (size_t i = 0; i < tensor->n; i++) {
        tensor->data[i] = i % 2 ? 3e38f : -3e38f;
    }
    const char *folder = write_voice(&built, NULL, NULL);
    voice_free(&built);
    return folder;
}

static void log_into(void *user, utter_log_level level, const char *message) {
    if (level == UTTER_LOG_WARNING) {
        snprintf(user, 1024, "%s", message);
    }
}

static void espeak_takes_over(void **state) {
    static const int rates[] = {22050, 16000, 48000};
    struct heard espeak;
    char warning[1024] = "";
    utter_engine_options engine_options;
    utter_engine *engine;
    utter_engine_options_init(&engine_options);
    engine_options.n_threads = 1;
    engine_options.log = log_into;
    engine_options.log_user = warning;
    assert_int_equal(utter_engine_create(&engine_options, &engine, NULL), UTTER_OK);
    for (size_t i = 0; i < 3; i++) {
        const char *folder = write_exploding_voice(rates[i]);
        utter_voice *voice = open_voice(engine, folder);
        utter_voice_close(voice);
        utter_error err = {UTTER_OK, ""};
        assert_int_equal(utter_voice_open(engine, folder, NULL, &voice, &err), UTTER_OK);
        remove_folder(folder);
        utter_stream *stream = open_stream(voice);
        utter_result result = {.size = sizeof result};
        struct heard heard;
        heard_init(&heard, false);
        assert_int_equal(
            utter_stream_speak(stream, text, strlen(text), NULL, hear, &heard, &result, &err),
            UTTER_OK);
        assert_int_equal(result.n_fallbacks, 2);
        assert_string_equal(result.backend, "espeak");
        assert_true(strlen(result.fallback_reason) > 10);
        assert_non_null(strstr(warning, "espeak"));
        assert_int_equal(result.sample_rate_hz, rates[i]);
        assert_true(heard.sound && heard.largest > 0.05f);
        espeak = i == 0 ? heard : espeak;
        /* As long in seconds as at espeak's own rate. */
        assert_true(fabs((double)heard.n / rates[i] - (double)espeak.n / 22050) < 0.05);
        utter_stream_destroy(stream);
        utter_voice_close(voice);
    }
    utter_engine_destroy(engine);
}

static void no_fallback_is_an_error(void **state) {
    const char *folder = write_exploding_voice(22050);
    utter_engine *engine = open_engine(1, NULL);
    utter_voice *voice = open_voice(engine, folder);
    remove_folder(folder);
    utter_stream *stream = open_stream(voice);
    utter_error err;
    struct heard heard;
    heard_init(&heard, false);
    assert_int_equal(utter_stream_speak(stream, text, strlen(text), NULL, hear, &heard, NULL, &err),
                     UTTER_ERROR_MODEL);
    assert_true(heard.n == 0 && strlen(err.message) > 10);
    utter_stream_destroy(stream);
    utter_voice_close(voice);
    utter_engine_destroy(engine);
}

/* Ids have no text that another backend could speak. */
static void ids_cannot_fall_back(void **state) {
    static const int32_t ids[] = {1, 0, 8, 0, 9, 0, 2};
    const char *folder = write_exploding_voice(22050);
    utter_engine *engine = open_engine(1, NULL);
    utter_voice *voice;
    utter_error err;
    struct heard heard;
    heard_init(&heard, false);
    assert_int_equal(utter_voice_open(engine, folder, NULL, &voice, &err), UTTER_OK);
    remove_folder(folder);
    utter_stream *stream = open_stream(voice);
    assert_int_equal(utter_stream_speak_ids(stream, ids, 7, NULL, hear, &heard, NULL, &err),
                     UTTER_ERROR_MODEL);
    assert_int_equal(heard.n, 0);
    utter_stream_destroy(stream);
    utter_voice_close(voice);
    utter_engine_destroy(engine);
}

static void a_sink_stops_the_standby(void **state) {
    const char *folder = write_exploding_voice(16000);
    utter_engine *engine = open_engine(1, NULL);
    utter_voice *voice;
    utter_error err;
    struct heard heard;
    heard_init(&heard, false);
    heard.stop_after = 2000;
    assert_int_equal(utter_voice_open(engine, folder, NULL, &voice, &err), UTTER_OK);
    remove_folder(folder);
    utter_stream *stream = open_stream(voice);
    assert_int_equal(utter_stream_speak(stream, text, strlen(text), NULL, hear, &heard, NULL, &err),
                     UTTER_ERROR_CANCELLED);
    assert_in_range(heard.n, 2000, 2000 + 4096);
    utter_stream_destroy(stream);
    utter_voice_close(voice);
    utter_engine_destroy(engine);
}

/* No memory for the model's buffers, and enough afterwards: the sentence is spoken all the same. */
static void out_of_memory_falls_back(void **state) {
    struct failing_allocator memory;
    utter_allocator allocator = failing_allocator_start(&memory);
    utter_engine *engine = open_engine(1, &allocator);
    utter_voice *voice;
    utter_error err;
    int n_spoken_by_espeak = 0;
    assert_int_equal(utter_voice_open(engine, data_path("piper/tiny.onnx"), NULL, &voice, &err),
                     UTTER_OK);
    for (size_t fail_at = 1;; fail_at++) {
        utter_stream *stream = open_stream(voice);
        utter_result result = {.size = sizeof result};
        struct heard heard;
        heard_init(&heard, false);
        failing_allocator_reset(&memory, fail_at, false);
        utter_status status =
            utter_stream_speak(stream, text, strlen(text), NULL, hear, &heard, &result, &err);
        size_t n_failed = memory.n_failed;
        failing_allocator_reset(&memory, 0, false);
        assert_true(status == UTTER_OK || status == UTTER_ERROR_MEMORY);
        assert_true(status == UTTER_OK || n_failed > 0);
        if (status == UTTER_OK && result.n_fallbacks > 0) {
            n_spoken_by_espeak++;
            assert_non_null(strstr(result.fallback_reason, "memory"));
            assert_true(heard.sound && heard.largest > 0.05f);
        }
        utter_stream_destroy(stream);
        if (n_failed == 0) {
            break;
        }
    }
    assert_true(n_spoken_by_espeak > 0);
    utter_voice_close(voice);
    utter_engine_destroy(engine);
    assert_int_equal(memory.n_blocks, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(espeak_takes_over),        cmocka_unit_test(no_fallback_is_an_error),
        cmocka_unit_test(ids_cannot_fall_back),     cmocka_unit_test(a_sink_stops_the_standby),
        cmocka_unit_test(out_of_memory_falls_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
