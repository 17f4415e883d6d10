/* Kokoro through ONNX Runtime: the names and types of every publisher's exports, where vocabulary
 * and voices lie, edges cut by durations; and, where UTTER_ONNXRUNTIME names the library, the
 * length against utter's own kernels. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/kokoro_voice.h"
#include "backend/ort_entries.h"
#include "backend/ort_rig.h"

static const int32_t ids[] = {0, 50, 83, 54, 0};

static int fresh_kokoro(void **state) {
    rig_fresh(state);
    fake_ort_kokoro(rig.fake);
    return 0;
}

static void what_the_model_is_given(void **state) {
    struct ut_speak_params params = rig_params();
    float style[64];
    const struct ut_kokoro_blend blend = {.n = 1, .parts = {{1, 1}}};
    rig_open(rig_data("kokoro/onnx")); /* voices and config.json lie in the folder above */
    params.speaker = 1;
    params.speed = 1.5f;
    assert_int_equal(rig_speak(ids, 5, &params), UTTER_OK);
    assert_int_equal(rig.n_samples, 4000);
    assert_int_equal(rig.fake->n_given, 3);
    for (size_t i = 0; i < 5; i++) {
        assert_true(rig.fake->given[0].values[i] == ids[i]);
    }
    const struct ut_kokoro_voice *voice = (const struct ut_kokoro_voice *)rig.voice;
    assert_int_equal(ut_kokoro_style(voice->voices, &blend, 3, style, &rig.err), UTTER_OK);
    assert_int_equal(rig.fake->given[1].n, 64);
    for (size_t i = 0; i < 64; i++) {
        assert_true(rig.fake->given[1].values[i] == (double)style[i]);
    }
    assert_true(rig.fake->given[2].n == 1 && rig.fake->given[2].values[0] == 1.5);
    params.voice = "af_synth(0.5)+bm_synth(0.5)";
    assert_int_equal(rig_speak(ids, 5, &params), UTTER_OK);
    assert_true(rig.fake->given[1].values[0] != (double)style[0]);
    assert_int_equal(rig_speak(ids, 0, &params), UTTER_ERROR_ARGUMENT);
}

static void names_and_types(void **state) {
    static const struct {
        const char *ids, *samples, *durations;
        int ids_type, speed_type, samples_type, durations_type;
        size_t speed_dims;
    } exports[] = {
        {"tokens", "audio", "durations", ORT_INT64, ORT_FLOAT, ORT_FLOAT, ORT_INT32, 1},
        {"input_ids", "waveform", "pred_dur", ORT_INT64, ORT_DOUBLE, ORT_FLOAT16, ORT_FLOAT, 1},
        {"input_ids", "output", "other", ORT_INT32, ORT_FLOAT, ORT_FLOAT, ORT_INT64, 0},
        {"tokens", "x", "y", ORT_INT64, ORT_FLOAT, ORT_DOUBLE, ORT_STRING, 1},
    };
    for (size_t i = 0; i < sizeof exports / sizeof *exports; i++) {
        fake_ort_kokoro(rig.fake);
        rig.fake->inputs[0].name = exports[i].ids;
        rig.fake->inputs[0].element = exports[i].ids_type;
        rig.fake->inputs[2].element = exports[i].speed_type;
        rig.fake->inputs[2].n_dims = exports[i].speed_dims;
        rig.fake->outputs[0].name = exports[i].samples;
        rig.fake->outputs[0].element = exports[i].samples_type;
        rig.fake->outputs[1].name = exports[i].durations;
        rig.fake->outputs[1].element = exports[i].durations_type;
        rig_open(rig_data("kokoro/onnx"));
        assert_int_equal(rig_speak(ids, 5, NULL), UTTER_OK);
        assert_int_equal(rig.n_samples, 4000);
        assert_true(rig.samples[3999] == 0.25f);
        assert_true(rig.fake->given[2].values[0] == 1);
        assert_int_equal(rig.fake->given[2].n_dims, exports[i].speed_dims);
        rig_close();
    }
}

static void a_speed_of_whole_numbers(void **state) {
    static const struct {
        float speed;
        double given;
        bool warns;
    } cases[] = {{1, 1, false}, {2, 2, false}, {1.4f, 1, true}, {0.2f, 1, true}, {2.6f, 3, true}};
    rig.fake->inputs[2].element = ORT_INT32;
    rig_open(rig_data("kokoro/onnx"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ut_speak_params params = rig_params();
        params.speed = cases[i].speed;
        rig.warning[0] = '\0';
        assert_int_equal(rig_speak(ids, 5, &params), UTTER_OK);
        assert_true(rig.fake->given[2].values[0] == cases[i].given);
        assert_int_equal(strstr(rig.warning, "takes whole numbers as speed") != NULL,
                         cases[i].warns);
    }
}

/* The first and the last id stand for silence; 2 frames of 600 samples stay before, 4 behind. */
static void edges(void **state) {
    struct ut_speak_params params = rig_params();
    rig_open(rig_data("kokoro/onnx"));
    static const int64_t durations[] = {12, 3, 4, 5, 20};
    memcpy(rig.fake->durations, durations, sizeof durations);
    rig.fake->n_durations = 5;
    rig.fake->n_samples = 44 * 600;
    rig.fake->step = 1.0 / (1 << 20);
    params.text = "text";
    assert_int_equal(rig_speak(ids, 5, &params), UTTER_OK);
    assert_int_equal(rig.n_samples, (44 - 10 - 16) * 600);
    assert_true(rig.samples[0] == 0.25f + 6000.0f / (1 << 20));
    /* Ids from the caller are spoken whole. */
    assert_int_equal(rig_speak(ids, 5, NULL), UTTER_OK);
    assert_int_equal(rig.n_samples, 44 * 600);
    /* Durations that cannot be right are not used: of another number, another sum, negative. */
    rig.fake->n_durations = 4;
    assert_int_equal(rig_speak(ids, 5, &params), UTTER_OK);
    assert_int_equal(rig.n_samples, 44 * 600);
    rig.fake->n_durations = 5;
    rig.fake->n_samples = 44 * 600 + 1;
    assert_int_equal(rig_speak(ids, 5, &params), UTTER_OK);
    assert_int_equal(rig.n_samples, 44 * 600 + 1);
    rig.fake->n_samples = 44 * 600;
    rig.fake->durations[1] = -3;
    rig.fake->durations[2] = 10;
    assert_int_equal(rig_speak(ids, 5, &params), UTTER_OK);
    assert_int_equal(rig.n_samples, 44 * 600);
    rig.fake->n_durations = 64;
    rig.fake->n_samples = 1 << 23;
    assert_int_equal(rig_speak(ids, 5, &params), UTTER_ERROR_MODEL);
    rig_assert_message("'waveform' has 8388608 values");
}

static void models_that_do_not_fit(void **state) {
    rig.fake->inputs[1].dims[1] = 63;
    assert_int_equal(rig_try_open(rig_data("kokoro/onnx")), UTTER_ERROR_UNSUPPORTED);
    rig_assert_message("style has 63 values");
    rig.fake->inputs[1].dims[1] = 128; /* the voices have 64 */
    assert_int_equal(rig_try_open(rig_data("kokoro/onnx")), UTTER_OK);
    rig_close();
    rig.fake->n_outputs = 0;
    rig.fake->inputs[1].dims[1] = 64;
    assert_int_equal(rig_try_open(rig_data("kokoro/onnx")), UTTER_ERROR_UNSUPPORTED);
    rig_assert_message("the model has no output");
}

/* ---- Vocabulary and voices beside the model ------------------------------------------------- */

static char folder[64];

static void link_in(const char *fixture, const char *name) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(symlink(rig_data(fixture), path), 0);
}

static void write_in(const char *name, const char *text) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void remove_in(const char *name) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(remove(path), 0);
}

static void make_folder(void) {
    strcpy(folder, "/tmp/utter-test-XXXXXX");
    assert_non_null(mkdtemp(folder));
    link_in("kokoro/onnx/model.onnx", "model.onnx");
}

static void assert_refused(utter_status code, const char *words) {
    assert_int_equal(rig_try_open(folder), code);
    rig_assert_message(words);
}

static int32_t id_of_a(void) {
    rig_open(folder);
    const struct ut_kokoro_voice *voice = (const struct ut_kokoro_voice *)rig.voice;
    int32_t id = ut_kokoro_symbol_id(voice->config, 'a');
    rig_close();
    return id;
}

static void what_lies_beside(void **state) {
    make_folder();
    assert_refused(UTTER_ERROR_NOT_FOUND, "its vocabulary is missing: put the config.json");
    link_in("kokoro/config.json", "config.json");
    assert_refused(UTTER_ERROR_NOT_FOUND, "there are no voices");
    link_in("kokoro/voices", "voices");
    assert_int_equal(id_of_a(), 43);
    /* Hugging Face's exports: a config.json without a vocabulary, and a tokenizer.json. */
    remove_in("config.json");
    write_in("config.json", "{\"model_type\": \"style_text_to_speech_2\"}");
    assert_refused(UTTER_ERROR_FORMAT, "config.json: \"vocab\" is missing");
    write_in("tokenizer.json", "{\"model\": {\"vocab\": {\"$\": 0, \"a\": 7}}}");
    assert_int_equal(id_of_a(), 7);
    remove_in("config.json");
    assert_int_equal(id_of_a(), 7);
    write_in("tokenizer.json", "{\"model\": {\"vocab\": {\"$\": 0, \"ab\": 7}}}");
    assert_refused(UTTER_ERROR_FORMAT, "tokenizer.json: \"vocab\": \"ab\" must be a single");
    write_in("tokenizer.json", "[]");
    assert_refused(UTTER_ERROR_FORMAT, "must be a JSON object");
    remove_in("tokenizer.json");
    remove_in("voices");
    assert_int_equal(rig_try_open(rig_data("kokoro/onnx/../onnx/model.onnx")), UTTER_OK);
    rig_close();
    remove_in("model.onnx");
    rmdir(folder);
}

static void information(void **state) {
    utter_voice_info info = {0};
    rig_open(rig_data("kokoro/onnx/model.onnx"));
    rig.voice->backend->info(rig.voice, &info);
    assert_string_equal(info.family, "kokoro");
    assert_string_equal(info.backend, "onnx");
    assert_true(info.n_speakers == 2 && info.sample_rate_hz == 24000);
    assert_string_equal(info.language, "en-us");
    assert_int_equal(rig.voice->backend->max_ids(rig.voice), 512);
    assert_string_equal(rig.voice->backend->speaker_name(rig.voice, 1), "bm_synth");
    assert_int_equal(rig.voice->backend->check_voice(rig.voice, "bm_synt", &rig.err),
                     UTTER_ERROR_NOT_FOUND);
}

/* The export and the original have the same durations, so they speak equally long; the export
 * replaces the STFT, so samples differ. */
static void against_native(void **state) {
    struct ut_speak_params params = rig_params();
    rig_use_real();
    params.text = "text";
    for (int trimmed = 0; trimmed < 2; trimmed++) {
        const struct ut_speak_params *used = trimmed ? &params : NULL;
        double energy = 0;
        rig_open(rig_data("kokoro/onnx"));
        if (rig_speak(ids, 5, used) != UTTER_OK) {
            fail_msg("%s", rig.err.message);
        }
        size_t n = rig.n_samples;
        for (size_t i = 0; i < n; i++) {
            energy += (double)rig.samples[i] * (double)rig.samples[i];
        }
        assert_true(n > 600 && energy > 0);
        rig_close();
        assert_int_equal(
            ut_native_open(&rig.context, rig_data("kokoro/kokoro-v1_0.pth"), &rig.voice, &rig.err),
            UTTER_OK);
        assert_int_equal(rig.voice->backend->session_create(rig.voice, &rig.session, &rig.err),
                         UTTER_OK);
        assert_int_equal(rig_speak(ids, 5, used), UTTER_OK);
        assert_int_equal(rig.n_samples, n);
        rig_close();
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh_kokoro, rig_nothing_left)
    const struct CMUnitTest tests[] = {
        TEST(what_the_model_is_given),
        TEST(names_and_types),
        TEST(a_speed_of_whole_numbers),
        TEST(edges),
        TEST(models_that_do_not_fit),
        TEST(what_lies_beside),
        TEST(information),
        TEST(against_native),
    };
    return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
