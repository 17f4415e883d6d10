/* What both tables of the onnx backend share, through the stand-in: which files and models it
 * takes, inputs that it does not know, samples that are none, stopping, every call and every
 * allocation failing. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/ort_entries.h"
#include "backend/ort_rig.h"
#include "base/json.h"

static const int32_t ids[] = {1, 0, 20, 0, 2};

static void assert_refused(const char *name, utter_status code, const char *words) {
    assert_int_equal(rig_try_open(rig_data(name)), code);
    assert_null(rig.voice);
    rig_assert_message(words);
}

static void which_files(void **state) {
    assert_refused("house/tiny", UTTER_ERROR_UNSUPPORTED, "is not an ONNX file");
    assert_refused("piper/no-such.onnx", UTTER_ERROR_UNSUPPORTED, "is not an ONNX file");
    assert_refused("piper", UTTER_ERROR_ARGUMENT, "voices in this folder");
    rig.context.onnxruntime_path = "/nonexistent/lib.so";
    assert_refused("piper/tiny.onnx", UTTER_ERROR_NOT_FOUND, "ONNX Runtime cannot be loaded");
}

static void which_models(void **state) {
    fake_ort_piper(rig.fake, false);
    rig.fake->inputs[1].name = "lengths";
    assert_refused("piper/tiny.onnx", UTTER_ERROR_UNSUPPORTED,
                   "a model with the inputs input, lengths, scales is neither Piper");
    fake_ort_piper(rig.fake, false);
    rig.fake->inputs[0].name = "x";
    assert_refused("piper/tiny.onnx", UTTER_ERROR_UNSUPPORTED,
                   "has no input 'input', only x, input_lengths, scales");
    fake_ort_piper(rig.fake, true);
    rig.fake->inputs[3].name = "lid";
    assert_refused("piper/tiny.onnx", UTTER_ERROR_UNSUPPORTED,
                   "(input, input_lengths, scales, lid) is one that utter does not know");
    fake_ort_piper(rig.fake, false);
    rig.fake->inputs[2].element = ORT_FLOAT16;
    assert_refused("piper/tiny.onnx", UTTER_ERROR_UNSUPPORTED, "'scales' is of the type f16");
    rig.fake->inputs[2].element = ORT_STRING;
    assert_refused("piper/tiny.onnx", UTTER_ERROR_UNSUPPORTED, "'scales' is of the type unknown");
    rig.fake->inputs[2].element = ORT_FLOAT;
    rig.fake->inputs[2].n_dims = 6;
    assert_refused("piper/tiny.onnx", UTTER_ERROR_UNSUPPORTED, "with 6 dimensions");
}

static void providers(void **state) {
    rig.context.provider = "cuda";
    rig_open(rig_data("piper/tiny.onnx"));
    assert_true(rig.fake->cuda);
    assert_string_equal(rig.voice->device, "cuda");
    rig_close();
    rig.context.provider = "coreml";
    assert_refused("piper/tiny.onnx", UTTER_ERROR_UNSUPPORTED, "CoreMLExecutionProvider");
}

static void assert_speak_fails(utter_status code, const char *words) {
    assert_int_equal(rig_speak(ids, 5, NULL), code);
    assert_int_equal(rig.n_samples, 0);
    rig_assert_message(words);
}

static void samples_that_are_none(void **state) {
    rig_open(rig_data("piper/tiny.onnx"));
    rig.fake->level = NAN;
    assert_speak_fails(UTTER_ERROR_MODEL, "sample 0 is not a number");
    rig.fake->level = INFINITY;
    assert_speak_fails(UTTER_ERROR_MODEL, "sample 0 is not a number");
    rig.fake->level = 0.5;
    rig.fake->n_samples = 0;
    assert_speak_fails(UTTER_ERROR_MODEL, "the model gave no samples");
    rig.fake->n_samples = 4000;
    rig.fake->no_output = true;
    assert_speak_fails(UTTER_ERROR_MODEL, "gave no output 'output'");
    rig.fake->no_output = false;
    rig.fake->outputs[0].element = ORT_STRING;
    assert_speak_fails(UTTER_ERROR_MODEL, "'output' is of the type unknown");
    rig.fake->outputs[0].element = ORT_FLOAT;
    rig.fake->n_calls = 0;
    rig.fake->fail_at = 5; /* three inputs, the options, the run */
    assert_speak_fails(UTTER_ERROR_MODEL, "the model: ONNX Runtime: this call was told to fail");
    rig.fake->fail_at = 0;
    assert_int_equal(rig_speak(ids, 5, NULL), UTTER_OK);
    assert_int_equal(rig.n_samples, 4000);
    assert_int_equal(rig_speak(ids, 0, NULL), UTTER_ERROR_ARGUMENT);
    rig_assert_message("0 phoneme ids");
}

static void samples_stay_in_range(void **state) {
    rig_open(rig_data("piper/tiny.onnx"));
    rig.fake->n_samples = 5000;
    rig.fake->level = -2.5;
    rig.fake->step = 0.001;
    assert_int_equal(rig_speak(ids, 5, NULL), UTTER_OK);
    assert_int_equal(rig.n_samples, 5000);
    assert_true(rig.samples[0] == -1 && rig.samples[2500] == 0 && rig.samples[4999] == 1);
}

static void stopping(void **state) {
    _Atomic bool cancel = true;
    struct ut_speak_params params = rig_params();
    rig_open(rig_data("piper/tiny.onnx"));
    params.cancel = &cancel;
    assert_int_equal(rig_speak(ids, 5, &params), UTTER_ERROR_CANCELLED);
    assert_int_equal(rig.n_samples, 0);
    rig.fake->n_samples = 50000;
    rig.stop_at = 1;
    assert_int_equal(rig_speak(ids, 5, NULL), UTTER_ERROR_CANCELLED);
    assert_true(rig.n_samples > 0 && rig.n_samples < 50000);
}

/* Once through everything: open, describe, session, speak. */
static utter_status whole(const char *path) {
    char *json = NULL;
    utter_status status = rig_try_open(path);
    status = status ? status : rig.voice->backend->describe(rig.voice, false, &json, &rig.err);
    status =
        status ? status : rig.voice->backend->session_create(rig.voice, &rig.session, &rig.err);
    status = status ? status : rig_speak(ids, 5, NULL);
    ut_mem_free(&rig.mem, json);
    rig_close();
    return status;
}

static void every_call_fails(void **state) {
    const char *const paths[] = {"piper/tiny.onnx", "kokoro/onnx"};
    for (size_t family = 0; family < 2; family++) {
        fake_ort_reset(rig.fake);
        if (family == 1) {
            fake_ort_kokoro(rig.fake);
        }
        for (size_t at = 1;; at++) {
            rig.fake->n_calls = 0;
            rig.fake->fail_at = at;
            utter_status status = whole(rig_data(paths[family]));
            assert_int_equal(rig.fake->n_alive, 0);
            assert_int_equal(rig.memory.n_blocks, 0);
            if (rig.fake->n_calls < at) {
                assert_int_equal(status, UTTER_OK);
                assert_true(at > 40);
                break;
            }
            assert_true(status < 0);
            rig_assert_message("this call was told to fail");
        }
    }
}

static void every_allocation_fails(void **state) {
    const char *const paths[] = {"piper/tiny.onnx", "kokoro/onnx"};
    for (size_t family = 0; family < 2; family++) {
        size_t n_failed = 0;
        if (family == 1) {
            fake_ort_kokoro(rig.fake);
        }
        for (size_t at = 1;; at++) {
            failing_allocator_reset(&rig.memory, at, at % 2);
            utter_status status = whole(rig_data(paths[family]));
            assert_int_equal(rig.fake->n_alive, 0);
            assert_int_equal(rig.memory.n_blocks, 0);
            if (rig.memory.n_failed == 0) {
                assert_int_equal(status, UTTER_OK);
                break;
            }
            n_failed++;
            /* What is only told about the file is left out when there is no memory for reading it.
             */
            assert_true(status == UTTER_ERROR_MEMORY || status == UTTER_OK);
        }
        assert_true(n_failed > 20);
    }
}

/* A file that utter's own reader does not take: the voice speaks, and is described without
 * metadata. */
static void files_that_only_onnx_runtime_reads(void **state) {
    char folder[] = "/tmp/utter-test-XXXXXX", path[64], config[80], command[512], *json;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/v.onnx", folder);
    snprintf(config, sizeof config, "%s/v.onnx.json", folder);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fwrite("\x08\x08\x12\x04test\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 1, 16, file);
    fclose(file);
    snprintf(command, sizeof command, "%s", rig_data("piper/tiny.onnx.json"));
    assert_int_equal(symlink(command, config), 0);
    rig_open(path);
    utter_voice_info info = {0};
    rig.voice->backend->info(rig.voice, &info);
    assert_string_equal(info.format, "onnx");
    assert_string_equal(info.quantization, "");
    assert_int_equal(info.file_bytes, 16);
    assert_int_equal(rig.voice->backend->describe(rig.voice, false, &json, &rig.err), UTTER_OK);
    assert_non_null(strstr(json, "\"onnx\""));
    assert_null(strstr(json, "metadata"));
    ut_mem_free(&rig.mem, json);
    assert_true(rig.voice->backend->describe(rig.voice, true, &json, &rig.err) < 0);
    unlink(path);
    unlink(config);
    rmdir(folder);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_fresh, rig_nothing_left)
    const struct CMUnitTest tests[] = {
        TEST(which_files),
        TEST(which_models),
        TEST(providers),
        TEST(samples_that_are_none),
        TEST(samples_stay_in_range),
        TEST(stopping),
        TEST(every_call_fails),
        TEST(every_allocation_fails),
        TEST(files_that_only_onnx_runtime_reads),
    };
    return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
