/* The report is JSON with the fields that programs read, and its figures are the engine's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/chain.h"
#include "backend/ort_backend.h"
#include "base/json.h"
#include "support/speak.h"

static void report(void **state) {
    static const char *const fields[] = {
        "type",     "device",       "loaded",  "supports_batching", "supports_streaming",
        "memory",   "context_size", "threads", "quantization",      "available",
        "precision"};
    struct ut_mem mem;
    struct ut_backend_context context = {.mem = &mem};
    struct ut_backend_voice *voice;
    struct ut_json *doc;
    utter_error err;
    char *text;
    ut_mem_init(&mem, NULL);
    assert_int_equal(speak_compute_open(&mem, ut_cpu_level_best(), 3, &context.compute, &err),
                     UTTER_OK);
    assert_int_equal(ut_backend_espeak.open(&context, "espeak", &voice, &err), UTTER_OK);
    for (int loaded = 0; loaded < 2; loaded++) {
        context.compute.precision = loaded ? UT_PRECISION_INT8 : UT_PRECISION_AUTO;
        assert_int_equal(ut_backend_report(&context, loaded ? voice : NULL, &text, &err), UTTER_OK);
        assert_int_equal(ut_json_parse(&mem, text, strlen(text), &doc, &err), UTTER_OK);
        assert_int_equal(ut_json_count(doc, 0), 3);
        ut_json_ref native = ut_json_first(doc, 0), onnx = ut_json_next(doc, native);
        ut_json_ref espeak = ut_json_next(doc, onnx);
        for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
            assert_int_not_equal(ut_json_member(doc, native, fields[i]), -1);
            assert_int_not_equal(ut_json_member(doc, onnx, fields[i]), -1);
            assert_int_not_equal(ut_json_member(doc, espeak, fields[i]), -1);
        }
        bool is_loaded = true, available = false;
        int64_t threads = 0, peak = -1;
        assert_string_equal(ut_json_string(doc, ut_json_member(doc, native, "type"), NULL),
                            "native");
        assert_string_equal(ut_json_string(doc, ut_json_member(doc, native, "precision"), NULL),
                            loaded ? "int8" : "f32");
        assert_true(ut_json_bool(doc, ut_json_member(doc, native, "loaded"), &is_loaded) &&
                    !is_loaded);
        assert_true(ut_json_bool(doc, ut_json_member(doc, espeak, "loaded"), &is_loaded) &&
                    is_loaded == loaded);
        assert_true(ut_json_bool(doc, ut_json_member(doc, espeak, "available"), &available) &&
                    available);
        assert_true(ut_json_int64(doc, ut_json_member(doc, native, "threads"), &threads) &&
                    threads == 3);
        ut_json_ref memory = ut_json_member(doc, espeak, "memory");
        assert_true(ut_json_int64(doc, ut_json_member(doc, memory, "peak"), &peak) &&
                    (peak > 0) == loaded);
        ut_json_free(doc);
        ut_mem_free(&mem, text);
    }
    voice->backend->close(voice);
    speak_compute_close(&context.compute);
    assert_int_equal(mem.bytes[UT_MEM_OTHER], 0);
}

static const char *text_of(const struct ut_json *doc, ut_json_ref object, const char *key) {
    const char *text = ut_json_string(doc, ut_json_member(doc, object, key), NULL);
    return text ? text : "";
}

/* The library that is there, with a voice in it, and one that is not. */
static void onnx_runtime(void **state) {
    struct ut_mem mem;
    struct ut_backend_context context = {.mem = &mem, .provider = "cuda"};
    struct ut_backend_voice *voice = NULL;
    utter_error err;
    char path[4096], *text;
    snprintf(path, sizeof path, "%s/piper/tiny.onnx", getenv("UT_TEST_DATA"));
    ut_mem_init(&mem, NULL);
    assert_int_equal(speak_compute_open(&mem, ut_cpu_level_best(), 1, &context.compute, &err),
                     UTTER_OK);
    for (int there = 0; there < 2; there++) {
        struct ut_json *doc;
        context.onnxruntime_path = there ? getenv("UT_FAKE_ORT") : "/nonexistent/lib.so";
        if (there) {
            assert_int_equal(ut_ort_open(&context, path, &voice, &err), UTTER_OK);
        }
        assert_int_equal(ut_backend_report(&context, voice, &text, &err), UTTER_OK);
        assert_int_equal(ut_json_parse(&mem, text, strlen(text), &doc, &err), UTTER_OK);
        ut_json_ref onnx = ut_json_next(doc, ut_json_first(doc, 0));
        assert_string_equal(text_of(doc, onnx, "type"), "onnx");
        assert_string_equal(text_of(doc, onnx, "version"), there ? "1.31.1" : "");
        assert_string_equal(text_of(doc, onnx, "device"), there ? "cuda" : "cpu");
        assert_string_equal(text_of(doc, onnx, "library"), there ? getenv("UT_FAKE_ORT") : "");
        assert_int_equal(ut_json_count(doc, ut_json_member(doc, onnx, "providers")), there ? 2 : 0);
        assert_int_equal(strstr(text_of(doc, onnx, "unavailable_reason"), "/nonexistent/") != NULL,
                         !there);
        ut_json_free(doc);
        ut_mem_free(&mem, text);
    }
    voice->backend->close(voice);
    speak_compute_close(&context.compute);
    assert_int_equal(mem.bytes[UT_MEM_OTHER], 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(report), cmocka_unit_test(onnx_runtime)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
