/* The report is JSON with the fields that programs read, and its figures are the engine's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "backend/chain.h"
#include "base/json.h"
#include "support/speak.h"

static void report(void **state) {
    static const char *const fields[] = {
        "type",   "device",       "loaded",  "supports_batching", "supports_streaming",
        "memory", "context_size", "threads", "quantization",      "available"};
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
        assert_int_equal(ut_backend_report(&context, loaded ? voice : NULL, &text, &err), UTTER_OK);
        assert_int_equal(ut_json_parse(&mem, text, strlen(text), &doc, &err), UTTER_OK);
        assert_int_equal(ut_json_count(doc, 0), 2);
        ut_json_ref native = ut_json_first(doc, 0), espeak = ut_json_next(doc, native);
        for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
            assert_int_not_equal(ut_json_member(doc, native, fields[i]), -1);
            assert_int_not_equal(ut_json_member(doc, espeak, fields[i]), -1);
        }
        bool is_loaded = true, available = false;
        int64_t threads = 0, peak = -1;
        assert_string_equal(ut_json_string(doc, ut_json_member(doc, native, "type"), NULL),
                            "native");
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

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(report)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
