/* Piper voices through ONNX Runtime: what the stand-in is given, in the types that it asks for,
 * and, where UTTER_ONNXRUNTIME names the library, the samples against utter's own kernels. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/ort_entries.h"
#include "backend/ort_rig.h"

static const int32_t ids[] = {1, 0, 20, 0, 2};

static void what_the_model_is_given(void **state) {
    static const int integers[] = {ORT_INT64, ORT_INT32}, floats[] = {ORT_FLOAT, ORT_DOUBLE};
    for (int i = 0; i < 2; i++) {
        struct ut_speak_params params = rig_params();
        fake_ort_piper(rig.fake, true);
        for (size_t k = 0; k < 4; k++) {
            rig.fake->inputs[k].element = k == 2 ? floats[i] : integers[i];
        }
        rig_open(rig_data("piper/tiny_multi.onnx"));
        params.speaker = 2;
        params.noise_scale = 0.5f;
        params.length_scale = 1.25f;
        params.noise_w = 0.75f;
        assert_int_equal(rig_speak(ids, 5, &params), UTTER_OK);
        assert_int_equal(rig.n_samples, 4000);
        assert_true(rig.samples[17] == 0.25f);
        assert_int_equal(rig.fake->n_given, 4);
        assert_int_equal(rig.fake->given[0].n, 5);
        assert_int_equal(rig.fake->given[0].dims[0], 1);
        for (size_t k = 0; k < 5; k++) {
            assert_true(rig.fake->given[0].values[k] == ids[k]);
        }
        assert_true(rig.fake->given[1].n == 1 && rig.fake->given[1].values[0] == 5);
        assert_true(rig.fake->given[2].values[0] == 0.5 && rig.fake->given[2].values[1] == 1.25 &&
                    rig.fake->given[2].values[2] == 0.75);
        assert_true(rig.fake->given[3].n == 1 && rig.fake->given[3].values[0] == 2);
        rig_close();
    }
}

static void information(void **state) {
    utter_voice_info info = {0};
    fake_ort_piper(rig.fake, true);
    rig_open(rig_data("piper/tiny_multi.onnx"));
    rig.voice->backend->info(rig.voice, &info);
    assert_string_equal(info.name, "tiny_multi");
    assert_string_equal(info.family, "piper");
    assert_string_equal(info.backend, "onnx");
    assert_string_equal(info.format, "onnx");
    assert_string_equal(info.quantization, "f32");
    assert_true(info.n_speakers == 3 && info.sample_rate_hz == 16000 && info.n_parameters > 100000);
    rig_close();
    /* Without an input for speakers there is one. */
    fake_ort_piper(rig.fake, false);
    rig_open(rig_data("piper/tiny_multi.onnx"));
    rig.voice->backend->info(rig.voice, &info);
    assert_int_equal(info.n_speakers, 1);
    rig_close();
    /* The configuration has to be there. */
    assert_int_equal(rig_try_open(rig_data("kokoro/onnx")), UTTER_ERROR_NOT_FOUND);
    rig_assert_message("model.onnx.json");
}

static void text_becomes_units(void **state) {
    const struct ut_speak_params params = {.speed = 1};
    struct ut_units units;
    rig_open(rig_data("piper/tiny.onnx"));
    ut_units_init(&units, &rig.mem);
    assert_int_equal(
        rig.voice->backend->units(rig.session, "[[a]] [[b]]", 11, &params, &units, &rig.err),
        UTTER_OK);
    assert_true(units.n >= 1 && units.items[0].ids[0] == 1);
    ut_units_free(&units);
}

/* dB of the native samples over the difference. */
static double snr_db(const float *native, const float *onnx, size_t n) {
    double signal = 0, noise = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)native[i] - (double)onnx[i];
        signal += (double)native[i] * (double)native[i];
        noise += d * d;
    }
    return 10 * log10(signal / (noise + 1e-30));
}

/* Without noise both are the same function. */
static void against_native(void **state) {
    static const char *const voices[] = {"piper/tiny.onnx", "piper/tiny_multi.onnx"};
    static float onnx_samples[RIG_MAX_SAMPLES];
    int32_t many[41] = {1};
    rig_use_real();
    for (int i = 1; i < 41; i++) {
        many[i] = i % 2 ? 0 : 10 + (i * 7) % 25;
    }
    many[40] = 2;
    for (size_t v = 0; v < 2; v++) {
        struct ut_speak_params params = rig_params();
        params.speaker = (int32_t)v;
        rig_open(rig_data(voices[v]));
        if (rig_speak(many, 41, &params) != UTTER_OK) {
            fail_msg("%s", rig.err.message);
        }
        size_t n = rig.n_samples;
        memcpy(onnx_samples, rig.samples, n * sizeof(float));
        rig_close();
        assert_int_equal(ut_native_open(&rig.context, rig_data(voices[v]), &rig.voice, &rig.err),
                         UTTER_OK);
        assert_int_equal(rig.voice->backend->session_create(rig.voice, &rig.session, &rig.err),
                         UTTER_OK);
        assert_int_equal(rig_speak(many, 41, &params), UTTER_OK);
        assert_int_equal(rig.n_samples, n);
        double db = snr_db(rig.samples, onnx_samples, n);
        print_message("%s: %zu samples, %.1f dB\n", voices[v], n, db);
        assert_true(db >= 80);
        rig_close();
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_fresh, rig_nothing_left)
    const struct CMUnitTest tests[] = {
        TEST(what_the_model_is_given),
        TEST(information),
        TEST(text_becomes_units),
        TEST(against_native),
    };
    return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
