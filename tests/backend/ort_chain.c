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
    utter_status status = ut_backend_open(&rig.context, rig_data(name), wanted, no_fallback,
                                          &rig.voice, reason, &rig.err);
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
    assert_string_equal(backend_of("kokoro/onnx", UTTER_BACKEND_NATIVE, false), "espeak");
    assert_non_null(strstr(reason, "is an ONNX export of Kokoro"));
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
    assert_int_equal(ut_backend_open(&rig.context, path, UTTER_BACKEND_AUTO, false, &rig.voice,
                                     reason, &rig.err),
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
    assert_string_equal(backend_of("piper/tiny.onnx", UTTER_BACKEND_AUTO, false), "espeak");
    assert_non_null(strstr(reason, "does not have CoreMLExecutionProvider"));
    rig.context.provider = "npu";
    assert_string_equal(backend_of("piper/tiny.onnx", UTTER_BACKEND_ONNX, false), "");
    rig_assert_message("it must be cpu, cuda or coreml");
}

static void the_formant_voice_is_none_of_it(void **state) {
    assert_int_equal(ut_backend_open(&rig.context, "espeak:de", UTTER_BACKEND_ONNX, false,
                                     &rig.voice, reason, &rig.err),
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
        TEST(the_formant_voice_is_none_of_it),
    };
    return cmocka_run_group_tests(tests, rig_setup, rig_teardown);
}
