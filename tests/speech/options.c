/* Every setting of a speak call x odd values, structs of every size, and that a refused call leaves
 * the stream ready. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "speech/talk.h"

static utter_engine *engine;
static utter_voice *voice; /* three speakers */
static utter_stream *stream;

static int setup(void **state) {
    engine = open_engine(1, NULL);
    voice = open_voice(engine, data_path("piper/tiny_multi.onnx"));
    stream = open_stream(voice);
    return 0;
}

static int teardown(void **state) {
    utter_stream_destroy(stream);
    utter_voice_close(voice);
    utter_engine_destroy(engine);
    return 0;
}

static utter_status say(const utter_speak_options *options, struct heard *heard, utter_error *err) {
    heard_init(heard, false);
    *err = (utter_error){UTTER_OK, ""};
    return utter_stream_speak(stream, "Go.", 3, options, hear, heard, NULL, err);
}

/* Values outside the range are refused by name before a sound is made; the rest is spoken soundly.
 */
static void check(const utter_speak_options *options, bool good, const char *field, double value) {
    struct heard heard;
    utter_error err;
    utter_status status = say(options, &heard, &err);
    if (status != (good ? UTTER_OK : UTTER_ERROR_ARGUMENT)) {
        fail_msg("%s = %g: status %d: %s", field, value, status, err.message);
    }
    assert_true(good ? heard.n > 0 && heard.sound : heard.n == 0);
    assert_true(good || strstr(err.message, field));
}

static void ranges(void **state) {
    static const struct {
        const char *field;
        size_t offset;
        float low, high;
        bool nan_means_default;
    } fields[] = {
        {"speed", offsetof(utter_speak_options, speed), 0.1f, 10, false},
        {"noise_scale", offsetof(utter_speak_options, noise_scale), 0, 10, true},
        {"noise_w", offsetof(utter_speak_options, noise_w), 0, 10, true},
        {"volume", offsetof(utter_speak_options, volume), 0, 10, false},
        {"sentence_silence_s", offsetof(utter_speak_options, sentence_silence_s), 0, 10, true},
    };
    static const float values[] = {0,         -0.0f,   0.1f,     1,      10,  10.0001f,
                                   -1,        -1e-6f,  1e9f,     1e-9f,  NAN, INFINITY,
                                   -INFINITY, 3.4e38f, -3.4e38f, 0.099f, 2};
    for (size_t f = 0; f < sizeof fields / sizeof *fields; f++) {
        for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
            utter_speak_options options;
            utter_speak_options_init(&options);
            memcpy((char *)&options + fields[f].offset, &values[v], sizeof(float));
            bool good = isnan(values[v])
                            ? fields[f].nan_means_default
                            : values[v] >= fields[f].low && values[v] <= fields[f].high;
            check(&options, good, fields[f].field, values[v]);
        }
    }
}

static void speaker_range(void **state) {
    static const int32_t values[] = {-1, 0, 1, 2, 3, -2, INT32_MAX, INT32_MIN};
    struct heard heard[3];
    for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
        utter_speak_options options;
        utter_error err;
        utter_speak_options_init(&options);
        options.speaker = values[v];
        check(&options, values[v] >= -1 && values[v] <= 2, "speaker", values[v]);
        if (values[v] >= 0 && values[v] <= 2) {
            assert_int_equal(say(&options, &heard[values[v]], &err), UTTER_OK);
        }
    }
    assert_true(heard[0].hash != heard[1].hash && heard[1].hash != heard[2].hash);
}

static void languages(void **state) {
    static const char *const unknown[] = {"", "xx-no-such", "../../../etc/passwd", "en-us\n",
                                          "mb-en1"};
    struct heard heard;
    utter_error err;
    utter_speak_options options;
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        utter_speak_options_init(&options);
        options.language = unknown[i];
        utter_status status = say(&options, &heard, &err);
        assert_true(status == UTTER_ERROR_NOT_FOUND || status == UTTER_ERROR_UNSUPPORTED);
        assert_int_equal(heard.n, 0);
        assert_true(strlen(err.message) > 10);
    }
    options.language = "de";
    assert_int_equal(say(&options, &heard, &err), UTTER_OK);
    assert_true(heard.n > 0);
}

static void speed_changes_the_length(void **state) {
    struct heard slow, normal, fast;
    utter_speak_options options;
    utter_error err;
    utter_speak_options_init(&options);
    assert_int_equal(say(&options, &normal, &err), UTTER_OK);
    options.speed = 0.5f;
    assert_int_equal(say(&options, &slow, &err), UTTER_OK);
    options.speed = 2;
    assert_int_equal(say(&options, &fast, &err), UTTER_OK);
    assert_true(slow.n > normal.n && normal.n > fast.n);
}

static void struct_sizes(void **state) {
    static const struct {
        size_t size;
        bool good;
    } cases[] = {
        {0, false},
        {7, false},
        {sizeof(size_t), true},
        {offsetof(utter_speak_options, volume), true},
        {sizeof(utter_speak_options), true},
        {sizeof(utter_speak_options) + 64, true},
        {4097, false},
        {SIZE_MAX, false},
    };
    struct heard reference, heard;
    utter_error err;
    assert_int_equal(say(NULL, &reference, &err), UTTER_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct {
            utter_speak_options known;
            char later[64];
        } options;
        memset(&options, 0xAA, sizeof options);
        utter_speak_options_init(&options.known);
        if (cases[i].size < sizeof options.known) {
            options.known.volume = -5; /* beyond the end of an older struct: not looked at */
        }
        options.known.size = cases[i].size;
        assert_int_equal(say(&options.known, &heard, &err),
                         cases[i].good ? UTTER_OK : UTTER_ERROR_ARGUMENT);
        assert_true(cases[i].good ? heard_same(&heard, &reference)
                                  : strstr(err.message, "size") != NULL);
    }
}

static void result_sizes(void **state) {
    utter_result result;
    struct heard heard;
    utter_error err;
    heard_init(&heard, false);
    memset(&result, 0x55, sizeof result);
    result.size = offsetof(utter_result, n_sentences);
    assert_int_equal(utter_stream_speak(stream, "Good day.", 9, NULL, hear, &heard, &result, &err),
                     UTTER_OK);
    assert_int_equal(result.size, offsetof(utter_result, n_sentences));
    assert_int_equal(result.n_samples, heard.n);
    assert_int_equal(result.sample_rate_hz, 16000);
    assert_int_equal(result.n_sentences, 0x55555555);
    result.size = 0;
    assert_int_equal(utter_stream_speak(stream, "Good day.", 9, NULL, hear, &heard, &result, &err),
                     UTTER_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "utter_result"));
}

static void null_arguments(void **state) {
    struct heard heard;
    utter_error err;
    heard_init(&heard, false);
    assert_int_equal(utter_stream_speak(NULL, "a", 1, NULL, hear, &heard, NULL, &err),
                     UTTER_ERROR_ARGUMENT);
    assert_int_equal(utter_stream_speak(stream, "a", 1, NULL, NULL, NULL, NULL, &err),
                     UTTER_ERROR_ARGUMENT);
    assert_int_equal(utter_stream_speak(stream, NULL, 1, NULL, hear, &heard, NULL, &err),
                     UTTER_ERROR_ARGUMENT);
    assert_int_equal(utter_stream_speak(stream, NULL, 0, NULL, hear, &heard, NULL, &err), UTTER_OK);
    assert_int_equal(utter_stream_speak(stream, "a\xff", 2, NULL, hear, &heard, NULL, NULL),
                     UTTER_ERROR_ARGUMENT);
    assert_int_equal(utter_stream_speak_ids(stream, NULL, 1, NULL, hear, &heard, NULL, &err),
                     UTTER_ERROR_ARGUMENT);
    utter_stream *none = stream;
    assert_int_equal(utter_stream_create(NULL, &none, &err), UTTER_ERROR_ARGUMENT);
    assert_null(none);
    assert_int_equal(utter_stream_create(voice, NULL, &err), UTTER_ERROR_ARGUMENT);
    utter_stream_destroy(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges),         cmocka_unit_test(speaker_range),
        cmocka_unit_test(languages),      cmocka_unit_test(speed_changes_the_length),
        cmocka_unit_test(struct_sizes),   cmocka_unit_test(result_sizes),
        cmocka_unit_test(null_arguments),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
