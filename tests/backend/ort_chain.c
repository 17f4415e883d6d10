/* When the fallback chain comes to ONNX Runtime, and when it does not: by what native says of the
 * file, by what the caller asked for, with the library there and without it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/chain.h"
#include "backend/ort_rig.h"

static char reason[UT_REASON_SIZE];

/* The backend that speaks `name`, "" if none does. */
static const char *backend_of(const char *name, utter_backend wanted, bool no_fallback) {
    rig.context.no_fallback = no_fallback;
    utter_status status =
        ut_backend_open(&rig.context, rig_data(name), wanted, &rig.voice, reason, &rig.err);
    const char *backend = status ? "" : rig.voice->backend->name;
    rig_close();
    return backend;
}

static int fresh_kokoro(void **state) {
    rig_fresh(state);
    fake_ort_kokoro(rig.fake);
    return 0;
}

static void what_native_cannot(void **state) {
    assert_string_equal(backend_of("kokoro/onnx", UTTER_BACKEND_AUTO, false), "onnx");
    assert_string_equal(reason, ""); /* it is what AUTO asks for */
    assert_string_equal(backend_of("piper/tiny.onnx", UTTER_BACKEND_AUTO, false), "native");
    assert_string_equal(backend_of("kokoro/onnx", UTTER_BACKEND_NATIVE, false), "onnx");
    assert_non_null(
        strstr(reason, "is an ONNX export of Kokoro")); /* it is not what was asked for */
    assert_string_equal(backend_of("kokoro/onnx", UTTER_BACKEND_NATIVE, true), "");
    rig_assert_message("the onnx backend takes it");
    assert_string_equal(backend_of("kokoro/onnx", UTTER_BACKEND_AUTO, true), "onnx");
    assert_string_equal(backend_of("kokoro/onnx", UTTER_BACKEND_ONNX, true), "onnx");
}

static void without_the_library(void **state) {
    rig.context.onnxruntime_path = "/nonexistent/lib.so";
    assert_string_equal(backend_of("kokoro/onnx", UTTER_BACKEND_AUTO, false), "espeak");
    assert_non_null(strstr(reason, "is an ONNX export of Kokoro"));
    assert_non_null(strstr(reason, "nor does the onnx backend: ONNX Runtime cannot be loaded"));
    assert_string_equal(backend_of("kokoro/onnx", UTTER_BACKEND_ONNX, false), "espeak");
    assert_non_null(strstr(reason, "ONNX Runtime cannot be loaded"));
    assert_string_equal(backend_of("kokoro/onnx", UTTER_BACKEND_ONNX, true), "");
    assert_int_equal(rig.err.code, UTTER_ERROR_NOT_FOUND);
}

/* Its own reader is stricter than ONNX Runtime's, and files that it finds damaged stay with it. */
static void damaged_files(void **state) {
    char path[] = "/tmp/utter-test-XXXXXX.onnx";
    int fd = mkstemps(path, 5);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "wb");
    assert_non_null(file);
    fwrite("\x08\x08\x12\x04test\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 1, 16, file);
    fclose(file);
    rig.fake->n_calls = 0;
    assert_int_equal(
        ut_backend_open(&rig.context, path, UTTER_BACKEND_AUTO, &rig.voice, reason, &rig.err),
        UTTER_OK);
    assert_string_equal(rig.voice->backend->name, "espeak");
    assert_int_equal(rig.fake->n_calls, 0);
    remove(path);
}

static void a_provider_chooses_the_backend(void **state) {
    fake_ort_piper(rig.fake, false);
    rig.context.provider = "cpu";
    assert_string_equal(backend_of("piper/tiny.onnx", UTTER_BACKEND_AUTO, false), "native");
    rig.context.provider = "cuda";
    assert_string_equal(backend_of("piper/tiny.onnx", UTTER_BACKEND_AUTO, false), "onnx");
    assert_true(rig.fake->cuda);
    assert_string_equal(backend_of("piper/tiny.onnx", UTTER_BACKEND_NATIVE, false), "");
    rig_assert_message("provider 'cuda' belongs to the onnx backend");
    rig.context.provider = "coreml"; /* which the stand-in lacks */
    assert_string_equal(backend_of("piper/tiny.onnx", UTTER_BACKEND_AUTO, false), "native");
    assert_non_null(strstr(reason, "does not have CoreMLExecutionProvider"));
    assert_non_null(strstr(rig.warning, "speaking with native (tiny) instead"));
    assert_string_equal(backend_of("piper/tiny.onnx", UTTER_BACKEND_AUTO, true), "");
    rig.context.provider = "npu";
    assert_string_equal(backend_of("piper/tiny.onnx", UTTER_BACKEND_ONNX, false), "");
    rig_assert_message("it must be cpu, cuda or coreml");
}

/* What was preferred goes first; what it cannot do is another's turn, unless nothing may step in.
 */
static void what_is_preferred(void **state) {
    fake_ort_piper(rig.fake, false);
    rig.context.preferred = UTTER_BACKEND_ONNX;
    assert_string_equal(backend_of("piper/tiny.onnx", UTTER_BACKEND_AUTO, false), "onnx");
    assert_string_equal(reason, "");
    assert_string_equal(backend_of("piper/tiny.onnx", UTTER_BACKEND_NATIVE, false), "native");
    assert_string_equal(backend_of("kokoro/kokoro-v1_0.pth", UTTER_BACKEND_AUTO, true), "native");
    assert_string_equal(reason, ""); /* the file decides first */
    rig.context.onnxruntime_path = "/nonexistent/lib.so";
    assert_string_equal(backend_of("piper/tiny.onnx", UTTER_BACKEND_AUTO, false), "native");
    assert_non_null(strstr(reason, "ONNX Runtime cannot be loaded"));
    assert_non_null(strstr(rig.warning, "speaking with native (tiny) instead"));
    assert_string_equal(backend_of("piper/tiny.onnx", UTTER_BACKEND_AUTO, true), "");
    rig_assert_message("ONNX Runtime cannot be loaded");
    rig.context.preferred = UTTER_BACKEND_NATIVE;
    assert_string_equal(backend_of("piper/tiny.onnx", UTTER_BACKEND_AUTO, true), "native");
}

/* What was asked for by name, when it fails: the same file by the other backend comes before the
 * formant voice. */
static void the_other_backend_steps_in(void **state) {
    fake_ort_piper(rig.fake, false);
    rig.context.onnxruntime_path = "/nonexistent/lib.so";
    assert_string_equal(backend_of("piper/tiny.onnx", UTTER_BACKEND_ONNX, false), "native");
    assert_non_null(strstr(reason, "ONNX Runtime cannot be loaded"));
    assert_string_equal(backend_of("piper/tiny.onnx", UTTER_BACKEND_ONNX, true), "");
    assert_string_equal(backend_of("kokoro/kokoro-v1_0.pth", UTTER_BACKEND_ONNX, false), "espeak");
    assert_non_null(strstr(reason, "is not an ONNX file"));
}

/* ONNX Runtime keeps no limit of memory: it must not be the way round one. */
static void a_limit_holds_for_whoever_steps_in(void **state) {
    fake_ort_piper(rig.fake, false);
    rig.mem.limit_bytes = 100000;
    assert_string_equal(backend_of("piper/tiny.onnx", UTTER_BACKEND_NATIVE, false), "espeak");
    assert_non_null(strstr(reason, "the memory limit of"));
}

/* A Mac, as far as a stand-in can be one. */
static void be_a_mac(void) {
    fake_ort_piper(rig.fake, false);
    rig.context.platform = UT_PLATFORM_APPLE;
    rig.fake->providers[0] = "CoreMLExecutionProvider";
}

static void a_mac_takes_coreml_first(void **state) {
    fake_ort_piper(rig.fake, false);
    rig.context.platform = UT_PLATFORM_APPLE;
    assert_string_equal(backend_of("piper/tiny.onnx", UTTER_BACKEND_AUTO, false), "native");
    be_a_mac();
    assert_string_equal(backend_of("piper/tiny.onnx", UTTER_BACKEND_AUTO, false), "onnx");
    assert_true(rig.fake->coreml);
    assert_string_equal(reason, "");
    assert_string_equal(backend_of("piper/tiny.onnx", UTTER_BACKEND_NATIVE, false), "native");
    rig.context.provider = "cpu";
    assert_string_equal(backend_of("piper/tiny.onnx", UTTER_BACKEND_AUTO, false), "native");
    rig.context.provider = NULL;
    rig.context.preferred = UTTER_BACKEND_NATIVE;
    assert_string_equal(backend_of("piper/tiny.onnx", UTTER_BACKEND_AUTO, false), "native");
    rig.context.preferred = UTTER_BACKEND_AUTO;
    rig.context.platform = UT_PLATFORM_OTHER;
    assert_string_equal(backend_of("piper/tiny.onnx", UTTER_BACKEND_AUTO, false), "native");
}

/* Nobody asked for CoreML, so that native speaks also where nothing may step in. */
static void coreml_may_fail(void **state) {
    be_a_mac();
    rig.fake->n_inputs = 1; /* the model that it sees is no voice */
    for (int strict = 0; strict < 2; strict++) {
        assert_string_equal(backend_of("piper/tiny.onnx", UTTER_BACKEND_AUTO, strict), "native");
        assert_non_null(strstr(reason, "neither Piper"));
        assert_non_null(strstr(rig.warning, "speaking with native (tiny) instead"));
    }
}

static void coreml_has_a_file_of_its_own(void **state) {
    static char own[4096];
    be_a_mac();
    snprintf(own, sizeof own, "%s", rig_data("piper/tiny_multi.onnx"));
    rig.context.coreml_path = own;
    assert_string_equal(backend_of("piper/tiny.onnx", UTTER_BACKEND_AUTO, false), "onnx");
    assert_string_equal(rig.fake->path, own);
    assert_string_equal(rig.warning, "");
    rig.context.provider = "cuda"; /* it is CoreML's alone */
    rig.fake->providers[1] = "CUDAExecutionProvider";
    assert_string_equal(backend_of("piper/tiny.onnx", UTTER_BACKEND_ONNX, false), "onnx");
    assert_non_null(strstr(rig.fake->path, "tiny.onnx"));
    rig.context.provider = "coreml";
    for (int i = 0; i < 2; i++) {
        rig.context.coreml_path = i ? "/nonexistent.onnx" : getenv("UT_TEST_DATA");
        assert_string_equal(backend_of("piper/tiny.onnx", UTTER_BACKEND_AUTO, true), "onnx");
        assert_non_null(strstr(rig.fake->path, "piper/tiny.onnx"));
        assert_non_null(strstr(rig.warning, "is not there, or no file"));
    }
}

static void which_provider_is_worth_trying(void **state) {
    static const char *const mac[] = {"CoreMLExecutionProvider", "CPUExecutionProvider"};
    static const char *const linux_gpu[] = {"CUDAExecutionProvider", "CPUExecutionProvider"};
    assert_string_equal(ut_ort_accelerated(true, mac, 2), "coreml");
    assert_null(ut_ort_accelerated(true, mac + 1, 1));
    assert_null(ut_ort_accelerated(true, linux_gpu, 2));
    assert_null(ut_ort_accelerated(true, NULL, 0));
    assert_null(ut_ort_accelerated(false, mac, 2));
    assert_null(ut_ort_accelerated(false, linux_gpu, 2));
}

static void the_formant_voice_is_none_of_it(void **state) {
    assert_int_equal(ut_backend_open(&rig.context, "espeak:de", UTTER_BACKEND_ONNX, &rig.voice,
                                     reason, &rig.err),
                     UTTER_ERROR_ARGUMENT);
    rig_assert_message("cannot be spoken by the onnx backend");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh_kokoro, rig_nothing_left)
    const struct CMUnitTest tests[] = {
        TEST(what_native_cannot),
        TEST(without_the_library),
        TEST(damaged_files),
        TEST(a_provider_chooses_the_backend),
        TEST(what_is_preferred),
        TEST(the_other_backend_steps_in),
        TEST(a_limit_holds_for_whoever_steps_in),
        TEST(a_mac_takes_coreml_first),
        TEST(coreml_may_fail),
        TEST(coreml_has_a_file_of_its_own),
        TEST(which_provider_is_worth_trying),
        TEST(the_formant_voice_is_none_of_it),
    };
    return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
