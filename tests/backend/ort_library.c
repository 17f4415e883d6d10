/* Loading ONNX Runtime: what is no library, not ONNX Runtime, or too old; versions and providers.
 * The library itself is tested where UTTER_ONNXRUNTIME names it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dlfcn.h>

#include "backend/fake_ort.h"
#include "backend/ort_api.h"
#include "support/failing_allocator.h"

static struct ut_mem mem;
static struct fake_ort *fake;

static int setup(void **state) {
    void *handle = dlopen(getenv("UT_FAKE_ORT"), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    fake = handle ? dlsym(handle, "fake_ort") : NULL;
    ut_mem_init(&mem, NULL);
    return fake ? 0 : -1;
}

static int fresh(void **state) {
    fake_ort_reset(fake);
    return 0;
}

static int nothing_left(void **state) {
    return fake->n_alive == 0 && mem.bytes[UT_MEM_OTHER] == 0 ? 0 : -1;
}

static void assert_fails(const char *path, utter_status code, const char *words) {
    struct ut_ort_library *library;
    utter_error err;
    assert_int_equal(ut_ort_library_open(&mem, path, &library, &err), code);
    assert_null(library);
    if (!strstr(err.message, words)) {
        fail_msg("'%s' lacks '%s'", err.message, words);
    }
}

static void what_is_no_library(void **state) {
    char data[4096];
    snprintf(data, sizeof data, "%s/piper/tiny.onnx", getenv("UT_TEST_DATA"));
    assert_fails("/nonexistent/libonnxruntime.so", UTTER_ERROR_NOT_FOUND, "/nonexistent/");
    assert_fails(data, UTTER_ERROR_NOT_FOUND, "ONNX Runtime cannot be loaded");
    assert_fails("libonnxruntime.so", UTTER_ERROR_ARGUMENT, "must be a path, such as ./");
    assert_fails("", UTTER_ERROR_ARGUMENT, "must be a path");
    assert_fails(getenv("UT_FAKE_NO_ORT"), UTTER_ERROR_UNSUPPORTED, "no function OrtGetApiBase");
}

static void versions(void **state) {
    struct ut_ort_library *library;
    utter_error err;
    /* What a library says of itself is the newest table that it is asked for, up to the newest
     * known. */
    static const struct {
        const char *version;
        uint32_t newest, asked;
    } good[] = {{"1.31.1", 31, 29},
                {"1.17.0", 17, 17},
                {"1.12.0", 12, 12},
                {"rel-test", 15, 29},
                {"1.20.0", 14, 20}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        fake_ort_reset(fake);
        fake->version = good[i].version;
        fake->newest_table = good[i].newest;
        assert_int_equal(ut_ort_library_open(&mem, getenv("UT_FAKE_ORT"), &library, &err),
                         UTTER_OK);
        assert_int_equal(fake->asked_newest, good[i].asked);
        assert_string_equal(ut_ort_library_version(library), good[i].version);
        assert_string_equal(ut_ort_library_path(library), getenv("UT_FAKE_ORT"));
        ut_ort_library_close(library);
    }
    fake->version = "1.9.0";
    fake->newest_table = 9;
    assert_fails(getenv("UT_FAKE_ORT"), UTTER_ERROR_UNSUPPORTED,
                 "is ONNX Runtime 1.9.0: 1.12 or later is needed");
    fake->version = "2.0.0"; /* it may have dropped the old tables */
    fake->newest_table = 0;
    assert_fails(getenv("UT_FAKE_ORT"), UTTER_ERROR_UNSUPPORTED, "is ONNX Runtime 2.0.0");
}

static void providers(void **state) {
    struct ut_ort_library *library;
    utter_error err;
    assert_int_equal(ut_ort_library_open(&mem, getenv("UT_FAKE_ORT"), &library, &err), UTTER_OK);
    assert_int_equal(ut_ort_provider_count(library), 2);
    assert_string_equal(ut_ort_provider_name(library, 0), "CUDAExecutionProvider");
    assert_string_equal(ut_ort_provider_name(library, 1), "CPUExecutionProvider");
    ut_ort_library_close(library);
    ut_ort_library_close(NULL);
    fake->n_calls = 0;
    fake->fail_at = 1;
    assert_fails(getenv("UT_FAKE_ORT"), UTTER_ERROR_UNSUPPORTED,
                 "ONNX Runtime: this call was told to fail");
}

static void without_memory(void **state) {
    struct failing_allocator memory;
    struct ut_mem failing;
    struct ut_ort_library *library;
    utter_error err;
    utter_allocator allocator = failing_allocator_start(&memory);
    ut_mem_init(&failing, &allocator);
    failing_allocator_reset(&memory, 1, false);
    assert_int_equal(ut_ort_library_open(&failing, getenv("UT_FAKE_ORT"), &library, &err),
                     UTTER_ERROR_MEMORY);
    assert_int_equal(memory.n_blocks, 0);
}

/* Either it is where libraries are looked for, or the message says how to get it. */
static void without_a_path(void **state) {
    struct ut_ort_library *library;
    utter_error err;
    if (ut_ort_library_open(&mem, NULL, &library, &err) == UTTER_OK) {
        assert_non_null(strstr(ut_ort_library_path(library), "onnxruntime"));
        ut_ort_library_close(library);
        return;
    }
    assert_true(err.code == UTTER_ERROR_NOT_FOUND || err.code == UTTER_ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "pip install"));
}

static void the_real_one(void **state) {
    const char *path = getenv("UTTER_ONNXRUNTIME");
    struct ut_ort_library *library;
    utter_error err;
    bool has_cpu = false;
    if (!path || !*path) {
        print_message("UTTER_ONNXRUNTIME does not name a library: skipped\n");
        skip();
    }
    if (ut_ort_library_open(&mem, path, &library, &err) != UTTER_OK) {
        fail_msg("%s", err.message);
    }
    assert_memory_equal(ut_ort_library_version(library), "1.", 2);
    for (size_t i = 0; i < ut_ort_provider_count(library); i++) {
        has_cpu |= strcmp(ut_ort_provider_name(library, i), "CPUExecutionProvider") == 0;
    }
    assert_true(has_cpu);
    ut_ort_library_close(library);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_no_library, fresh, nothing_left),
        cmocka_unit_test_setup_teardown(versions, fresh, nothing_left),
        cmocka_unit_test_setup_teardown(providers, fresh, nothing_left),
        cmocka_unit_test_setup_teardown(without_memory, fresh, nothing_left),
        cmocka_unit_test_setup_teardown(without_a_path, fresh, nothing_left),
        cmocka_unit_test_setup_teardown(the_real_one, fresh, nothing_left),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
