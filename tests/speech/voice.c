/* Voices through the public interface: what can be opened, what cannot, falling back at load,
 * information, speakers, descriptions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "speech/talk.h"

static utter_engine *engine;
static char last_warning[1024];

static void remember_warning(void *user, utter_log_level level, const char *message) {
    if (level == UTTER_LOG_WARNING) {
        snprintf(last_warning, sizeof last_warning, "%s", message);
    }
}

static int setup(void **state) {
    utter_engine_options options;
    utter_engine_options_init(&options);
    options.n_threads = 1;
    options.log = remember_warning;
    return utter_engine_create(&options, &engine, NULL);
}

static int teardown(void **state) {
    utter_engine_destroy(engine);
    return 0;
}

static utter_voice_info info_of(const utter_voice *voice) {
    utter_voice_info info = {.size = sizeof info};
    utter_voice_get_info(voice, &info);
    return info;
}

static void information(void **state) {
    utter_voice *voice = open_voice(engine, data_path("piper/tiny.onnx"));
    utter_voice_info info = info_of(voice);
    assert_string_equal(info.name, "tiny");
    assert_non_null(strstr(info.path, "piper/tiny.onnx"));
    assert_string_equal(info.family, "piper");
    assert_string_equal(info.format, "onnx");
    assert_string_equal(info.backend, "native");
    assert_string_equal(info.language, "en_US");
    assert_string_equal(info.quantization, "f32");
    assert_null(info.fallback_reason);
    assert_int_equal(info.sample_rate_hz, 22050);
    assert_int_equal(info.n_speakers, 1);
    assert_true(info.n_parameters > 10000 && info.file_bytes > info.n_parameters);
    assert_true(info.noise_scale == 0.667f && info.length_scale == 1 && info.noise_w == 0.8f);
    utter_voice_info old = {.size = offsetof(utter_voice_info, path), .path = "untouched"};
    utter_voice_get_info(voice, &old);
    assert_string_equal(old.name, "tiny");
    assert_string_equal(old.path, "untouched");
    utter_voice_close(voice);

    voice = open_voice(engine, data_path("house/tiny"));
    info = info_of(voice);
    assert_string_equal(info.name, "tiny");
    assert_string_equal(info.format, "safetensors");
    assert_string_equal(info.quantization, "f16");
    utter_voice_close(voice);
    voice = open_voice(engine, data_path("house/tiny/voice.safetensors"));
    assert_string_equal(info_of(voice).name, "tiny");
    utter_voice_close(voice);
    utter_voice_close(NULL);
}

static void speakers(void **state) {
    utter_voice *voice = open_voice(engine, data_path("piper/tiny_multi.onnx"));
    utter_error err;
    int32_t speaker = -5;
    int32_t n = info_of(voice).n_speakers;
    assert_int_equal(n, 3);
    assert_null(utter_voice_speaker(voice, -1));
    assert_null(utter_voice_speaker(voice, n));
    for (int32_t i = 0; i < n; i++) {
        const char *name = utter_voice_speaker(voice, i);
        char digit[2] = {(char)('0' + i), '\0'};
        assert_non_null(name);
        assert_int_equal(utter_voice_find_speaker(voice, name, &speaker, &err), UTTER_OK);
        assert_int_equal(speaker, i);
        assert_int_equal(utter_voice_find_speaker(voice, digit, &speaker, &err), UTTER_OK);
        assert_int_equal(speaker, i);
    }
    static const char *const unknown[] = {
        "3", "-1", "+1", " 1", "1 ", "", "0x1", "99999999999999999999", "nobody"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        assert_int_equal(utter_voice_find_speaker(voice, unknown[i], &speaker, &err),
                         UTTER_ERROR_NOT_FOUND);
        assert_non_null(strstr(err.message, "it has 3"));
    }
    char near[64];
    snprintf(near, sizeof near, "%sx", utter_voice_speaker(voice, 1));
    assert_int_equal(utter_voice_find_speaker(voice, near, &speaker, &err), UTTER_ERROR_NOT_FOUND);
    assert_non_null(strstr(err.message, "did you mean"));
    assert_int_equal(utter_voice_find_speaker(voice, NULL, &speaker, &err), UTTER_ERROR_ARGUMENT);
    utter_voice_close(voice);
}

static void paths_that_are_no_voice(void **state) {
    static const struct {
        const char *path;
        utter_backend backend;
        utter_status status;
    } cases[] = {
        {"/nonexistent/voice.onnx", UTTER_BACKEND_AUTO, UTTER_ERROR_NOT_FOUND},
        {"/nonexistent/voice.onnx", UTTER_BACKEND_ESPEAK, UTTER_ERROR_NOT_FOUND},
        {"/dev/null/x", UTTER_BACKEND_AUTO, UTTER_ERROR_NOT_FOUND},
        {"", UTTER_BACKEND_AUTO, UTTER_ERROR_ARGUMENT},
        {"espeak", UTTER_BACKEND_NATIVE, UTTER_ERROR_ARGUMENT},
        {"espeak:xx-no-such", UTTER_BACKEND_AUTO, UTTER_ERROR_NOT_FOUND},
        {"espeak", (utter_backend)7, UTTER_ERROR_ARGUMENT},
        {"espeak", (utter_backend)-1, UTTER_ERROR_ARGUMENT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        utter_voice_options options;
        utter_voice *voice = (utter_voice *)1;
        utter_error err;
        utter_voice_options_init(&options);
        options.backend = cases[i].backend;
        assert_int_equal(utter_voice_open(engine, cases[i].path, &options, &voice, &err),
                         cases[i].status);
        assert_null(voice);
        assert_true(strlen(err.message) > 5);
    }
    utter_voice *voice;
    utter_error err;
    utter_voice_options zeroed = {0};
    assert_int_equal(utter_voice_open(engine, "espeak", &zeroed, &voice, &err),
                     UTTER_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "utter_voice_options"));
    assert_int_equal(utter_voice_open(NULL, "espeak", NULL, &voice, &err), UTTER_ERROR_ARGUMENT);
    assert_int_equal(utter_voice_open(engine, "espeak", NULL, NULL, &err), UTTER_ERROR_ARGUMENT);
    char long_path[6000];
    memset(long_path, 'a', sizeof long_path - 1);
    long_path[sizeof long_path - 1] = '\0';
    assert_int_equal(utter_voice_open(engine, long_path, NULL, &voice, &err),
                     UTTER_ERROR_NOT_FOUND);
    /* A folder that holds no voice. */
    assert_int_equal(utter_voice_open(engine, data_path("house"), NULL, &voice, &err),
                     UTTER_ERROR_NOT_FOUND);
}

/* The model is cut short: the voice speaks through espeak in the language of its configuration. */
static void damaged_model_falls_back(void **state) {
    struct voice_spec spec = voice_spec_tiny();
    struct voice built;
    utter_voice_options options;
    utter_voice *voice;
    utter_error err;
    char path[4096];
    int32_t speaker = -5;
    voice_build(&built, &spec, 1);
    const char *folder = write_voice(&built, "\"voice\": \"en-us\"", "\"voice\": \"de\"");
    voice_free(&built);
    write_file(folder, "voice.onnx", "\x08\x07\x3a\xff\xff\xff\x0f", 7);
    snprintf(path, sizeof path, "%s/voice.onnx", folder);

    assert_int_equal(utter_voice_open(engine, path, NULL, &voice, &err), UTTER_OK);
    utter_voice_info info = info_of(voice);
    assert_string_equal(info.backend, "espeak");
    assert_string_equal(info.language, "de");
    assert_non_null(info.fallback_reason);
    assert_non_null(strstr(info.fallback_reason, "voice.onnx"));
    assert_non_null(strstr(last_warning, "espeak"));
    assert_int_equal(utter_voice_find_speaker(voice, "anybody", &speaker, &err), UTTER_OK);
    assert_int_equal(speaker, 0);
    utter_voice_close(voice);

    utter_voice_options_init(&options);
    options.no_fallback = true;
    assert_int_equal(utter_voice_open(engine, path, &options, &voice, &err), UTTER_ERROR_FORMAT);
    assert_null(voice);

    /* Without a configuration that can be read: English. */
    write_file(folder, "voice.onnx.json", "{\"espeak\": ", 11);
    assert_int_equal(utter_voice_open(engine, path, NULL, &voice, &err), UTTER_OK);
    assert_string_equal(info_of(voice).language, "en-us");
    utter_voice_close(voice);
    remove_folder(folder);
}

static void espeak_for_a_model(void **state) {
    utter_voice_options options;
    utter_voice *voice;
    utter_error err;
    utter_voice_options_init(&options);
    options.backend = UTTER_BACKEND_ESPEAK;
    assert_int_equal(utter_voice_open(engine, data_path("house/tiny"), &options, &voice, &err),
                     UTTER_OK);
    assert_string_equal(info_of(voice).backend, "espeak");
    assert_string_equal(info_of(voice).language, "en-us");
    assert_null(info_of(voice).fallback_reason); /* it was asked for */
    utter_voice_close(voice);
}

static void unsupported_phonemes_fall_back(void **state) {
    struct voice_spec spec = voice_spec_tiny();
    struct voice built;
    utter_voice *voice;
    utter_error err;
    voice_build(&built, &spec, 1);
    const char *folder =
        write_voice(&built, "\"phoneme_type\": \"espeak\"", "\"phoneme_type\": \"pinyin\"");
    voice_free(&built);
    assert_int_equal(utter_voice_open(engine, folder, NULL, &voice, &err), UTTER_OK);
    assert_non_null(strstr(info_of(voice).fallback_reason, "pinyin"));
    utter_voice_close(voice);
    remove_folder(folder);
}

static void default_voice(void **state) {
    utter_voice *voice;
    utter_error err;
    assert_int_equal(utter_voice_open(engine, NULL, NULL, &voice, &err), UTTER_OK);
    utter_voice_info info = info_of(voice);
    assert_true(strcmp(info.name, "house") == 0 || strcmp(info.backend, "espeak") == 0);
    assert_null(info.fallback_reason);
    utter_voice_close(voice);
}

static void descriptions(void **state) {
    utter_voice *voice = open_voice(engine, data_path("piper/tiny_multi.onnx"));
    utter_error err;
    char *json;
    assert_int_equal(utter_voice_describe(voice, false, &json, &err), UTTER_OK);
    assert_non_null(strstr(json, "\"family\": \"piper\""));
    assert_non_null(strstr(json, "\"n_hidden\": 16"));
    assert_non_null(strstr(json, "\"metadata\": {"));
    assert_null(strstr(json, "\"tensors\""));
    utter_free(json);
    assert_int_equal(utter_voice_describe(voice, true, &json, &err), UTTER_OK);
    assert_non_null(
        strstr(json, "\"name\": \"dec.conv_post.weight\", \"type\": \"f32\", \"shape\": ["));
    utter_free(json);
    assert_int_equal(utter_voice_describe(NULL, true, &json, &err), UTTER_ERROR_ARGUMENT);
    assert_int_equal(utter_voice_describe(voice, true, NULL, &err), UTTER_ERROR_ARGUMENT);

    assert_int_equal(utter_backends(engine, voice, &json, &err), UTTER_OK);
    const char *native = strstr(json, "\"type\": \"native\""),
               *espeak = strstr(json, "\"type\": \"espeak\"");
    assert_true(native && espeak && native < espeak);
    assert_true(strstr(native, "\"loaded\": true") < espeak);
    assert_non_null(strstr(espeak, "\"loaded\": false"));
    utter_voice_close(voice);
    utter_free(json);
    assert_int_equal(utter_backends(engine, NULL, &json, &err), UTTER_OK);
    assert_null(strstr(json, "\"loaded\": true"));
    utter_free(json);
    assert_int_equal(utter_backends(NULL, NULL, &json, &err), UTTER_ERROR_ARGUMENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(information),
        cmocka_unit_test(speakers),
        cmocka_unit_test(paths_that_are_no_voice),
        cmocka_unit_test(damaged_model_falls_back),
        cmocka_unit_test(espeak_for_a_model),
        cmocka_unit_test(unsupported_phonemes_fall_back),
        cmocka_unit_test(default_voice),
        cmocka_unit_test(descriptions),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
