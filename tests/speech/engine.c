/* Engines: options of any version, limits, processor levels, the memory report, traces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "speech/talk.h"

static void version_and_statuses(void **state) {
    assert_string_equal(utter_version(), "0.1.0");
    for (int i = 0; i >= UTTER_ERROR_INTERNAL; i--) {
        const char *name = utter_status_name((utter_status)i);
        assert_true(strlen(name) > 1 && strcmp(name, "unknown status") != 0);
    }
    assert_string_equal(utter_status_name((utter_status)-11), "unknown status");
}

static utter_status create(const utter_engine_options *options, utter_error *err) {
    utter_engine *engine = (utter_engine *)1;
    utter_status status = utter_engine_create(options, &engine, err);
    assert_true((status == UTTER_OK) == (engine != NULL));
    utter_engine_destroy(engine);
    return status;
}

static void option_ranges(void **state) {
    static const struct {
        int32_t n_threads;
        const char *cpu;
        utter_status status;
        const char *says;
    } cases[] = {
        {0, NULL, UTTER_OK, NULL},
        {1, "auto", UTTER_OK, NULL},
        {4, "scalar", UTTER_OK, NULL},
        {256, NULL, UTTER_OK, NULL},
        {257, NULL, UTTER_ERROR_ARGUMENT, "n_threads"},
        {-1, NULL, UTTER_ERROR_ARGUMENT, "n_threads"},
        {INT32_MIN, NULL, UTTER_ERROR_ARGUMENT, "n_threads"},
        {INT32_MAX, NULL, UTTER_ERROR_ARGUMENT, "n_threads"},
        {1, "", UTTER_ERROR_ARGUMENT, "cpu"},
        {1, "sse9", UTTER_ERROR_ARGUMENT, "sse9"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        utter_engine_options options;
        utter_error err = {UTTER_OK, ""};
        utter_engine_options_init(&options);
        options.n_threads = cases[i].n_threads;
        options.cpu = cases[i].cpu;
        assert_int_equal(create(&options, &err), cases[i].status);
        if (cases[i].says) {
            assert_int_equal(err.code, cases[i].status);
            assert_non_null(strstr(err.message, cases[i].says));
        }
    }
}

/* At least one level is not there on any machine: AVX on ARM, NEON elsewhere. */
static void missing_levels_are_unsupported(void **state) {
    static const char *const levels[] = {"scalar", "avx2", "avx512", "neon"};
    int n_unsupported = 0;
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        utter_engine_options options;
        utter_engine *engine;
        utter_error err;
        utter_engine_options_init(&options);
        options.cpu = levels[i];
        options.n_threads = 1;
        utter_status status = utter_engine_create(&options, &engine, &err);
        if (status == UTTER_OK) {
            assert_string_equal(utter_engine_cpu(engine), levels[i]);
            utter_engine_destroy(engine);
        } else {
            assert_int_equal(status, UTTER_ERROR_UNSUPPORTED);
            assert_non_null(strstr(err.message, levels[i]));
            n_unsupported++;
        }
    }
    assert_in_range(n_unsupported, 1, 3);
}

static void sizes_of_options(void **state) {
    static const struct {
        size_t size;
        utter_status status;
    } cases[] = {
        {0, UTTER_ERROR_ARGUMENT},
        {1, UTTER_ERROR_ARGUMENT},
        {sizeof(size_t) - 1, UTTER_ERROR_ARGUMENT},
        {sizeof(size_t), UTTER_OK},
        {offsetof(utter_engine_options, cpu), UTTER_OK},
        {sizeof(utter_engine_options), UTTER_OK},
        {sizeof(utter_engine_options) + 64, UTTER_OK},
        {SIZE_MAX, UTTER_ERROR_ARGUMENT},
        {5000, UTTER_ERROR_ARGUMENT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct {
            utter_engine_options known;
            char later[64];
        } options;
        utter_error err;
        memset(&options, 0xFF, sizeof options);
        utter_engine_options_init(&options.known);
        options.known.size = cases[i].size;
        if (cases[i].size < sizeof options.known) {
            options.known.cpu = (const char *)1; /* beyond the end of an older struct */
        }
        assert_int_equal(create(&options.known, &err), cases[i].status);
    }
    assert_int_equal(create(NULL, NULL), UTTER_OK);
}

static void null_arguments(void **state) {
    utter_error err;
    utter_engine_options options;
    utter_allocator half = {NULL, NULL, NULL};
    assert_int_equal(utter_engine_create(NULL, NULL, &err), UTTER_ERROR_ARGUMENT);
    utter_engine_options_init(&options);
    options.allocator = &half;
    assert_int_equal(create(&options, &err), UTTER_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "allocator"));
    utter_engine_destroy(NULL);
    utter_free(NULL);
}

static _Atomic long n_live_bytes;

static void *count_alloc(void *user, size_t n_bytes) {
    n_live_bytes += (long)n_bytes;
    return aligned_alloc(64, (n_bytes + 63) & ~(size_t)63);
}

static void count_free(void *user, void *block, size_t n_bytes) {
    n_live_bytes -= (long)n_bytes;
    free(block);
}

static void memory_report(void **state) {
    static const utter_allocator allocator = {count_alloc, count_free, NULL};
    utter_engine *engine = open_engine(2, &allocator);
    utter_memory empty = {.size = sizeof empty}, loaded = {.size = sizeof loaded};
    assert_int_equal(utter_engine_threads(engine), 2);
    utter_engine_memory(engine, &empty);
    utter_voice *voice = open_voice(engine, data_path("piper/tiny.onnx"));
    utter_stream *stream = open_stream(voice);
    utter_engine_memory(engine, &loaded);
    assert_true(loaded.weights_bytes > empty.weights_bytes);
    assert_true(loaded.session_bytes > 0);
    assert_int_equal(loaded.mapped_bytes, 0);
    uint64_t sum = loaded.weights_bytes + loaded.session_bytes + loaded.other_bytes;
    assert_true(loaded.peak_bytes >= sum);
    /* All but the engine's own struct is in the report. */
    assert_true((uint64_t)n_live_bytes >= sum);
    assert_true((uint64_t)n_live_bytes - sum < 4096);
    utter_memory old = {.size = offsetof(utter_memory, mapped_bytes), .mapped_bytes = 123};
    utter_engine_memory(engine, &old);
    assert_int_equal(old.weights_bytes, loaded.weights_bytes);
    assert_int_equal(old.mapped_bytes, 123);
    utter_stream_destroy(stream);
    utter_voice_close(voice);
    utter_engine_destroy(engine);
    assert_int_equal(n_live_bytes, 0);
}

static void count_stage(void *user, const utter_trace_stage *stage) {
    *(int *)user += 1;
    assert_true(stage->size == sizeof *stage && stage->n_dims >= 1);
}

static void traces(void **state) {
    utter_engine *engine = open_engine(2, NULL);
    utter_error err;
    int n_stages = 0;
    assert_int_equal(utter_trace(engine, data_path("piper/tiny.onnx"),
                                 data_path("piper/golden_tiny.safetensors"), "full0", NULL,
                                 count_stage, &n_stages, &err),
                     UTTER_OK);
    assert_true(n_stages > 20);
    assert_int_equal(utter_trace(engine, data_path("piper/none.onnx"),
                                 data_path("piper/golden_tiny.safetensors"), NULL, NULL, NULL, NULL,
                                 &err),
                     UTTER_ERROR_NOT_FOUND);
    assert_int_equal(utter_trace(engine, NULL, "x", NULL, NULL, NULL, NULL, &err),
                     UTTER_ERROR_ARGUMENT);
    utter_engine_destroy(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_and_statuses),
        cmocka_unit_test(option_ranges),
        cmocka_unit_test(missing_levels_are_unsupported),
        cmocka_unit_test(sizes_of_options),
        cmocka_unit_test(null_arguments),
        cmocka_unit_test(memory_report),
        cmocka_unit_test(traces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
