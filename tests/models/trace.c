/* Golden traces: every stage of the tiny voices against tensors recorded from the official
 * implementation, at every processor level that this machine has; then that threads and the
 * recorded outputs in the golden file change no bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/checked.h"
#include "compute/minimal.h"
#include "models/kokoro/kokoro.h"
#include "support/golden.h"
#include "support/speak.h"

struct fixture {
    utter_status (*trace)(const struct ut_compute *compute, const char *model, const char *golden,
                          const char *out, int *n_compared, utter_error *err);
    const char *model, *golden, *tolerances;
    const char
        *kept; /* an output that a run reads: the generator of Kokoro runs on recorded spectra */
};

static struct ut_mem mem;
static char folder[256];

static int setup(void **state) {
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/utter-trace-XXXXXX", base ? base : "/tmp");
    ut_mem_init(&mem, NULL);
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state) {
    return rmdir(folder);
}

struct path {
    char text[1024];
};

static struct path data_path(const char *name) {
    struct path path;
    snprintf(path.text, sizeof path.text, "%s/%s", getenv("UT_TEST_DATA"), name);
    return path;
}

static struct path out_path(const char *name) {
    struct path path;
    snprintf(path.text, sizeof path.text, "%s/%s", folder, name);
    return path;
}

static void count_stage(void *user, const utter_trace_stage *stage) {
    int *n = user;
    *n += stage->compared;
}

static utter_status trace_piper(const struct ut_compute *compute, const char *path,
                                const char *golden, const char *out, int *n_compared,
                                utter_error *err) {
    static const struct ut_log silent = {0};
    struct ut_piper *model;
    utter_status status = ut_piper_open(&mem, compute, path, &silent, &model, err);
    status =
        status ? status : ut_piper_trace(model, golden, NULL, out, count_stage, n_compared, err);
    ut_piper_close(model);
    return status;
}

static utter_status trace_kokoro(const struct ut_compute *compute, const char *path,
                                 const char *golden, const char *out, int *n_compared,
                                 utter_error *err) {
    static const struct ut_log silent = {0};
    struct ut_kokoro *model;
    utter_status status = ut_kokoro_open(&mem, compute, path, &silent, &model, err);
    status =
        status ? status : ut_kokoro_trace(model, golden, NULL, out, count_stage, n_compared, err);
    ut_kokoro_close(model);
    return status;
}

static const struct fixture fixtures[] = {
    {trace_piper, "piper/tiny.onnx", "piper/golden_tiny.safetensors", "piper/tolerances.json",
     NULL},
    {trace_piper, "piper/tiny_multi.onnx", "piper/golden_tiny_multi.safetensors",
     "piper/tolerances.json", NULL},
    {trace_piper, "house/tiny", "house/golden_tiny.safetensors", "house/tolerances.json", NULL},
    {trace_kokoro, "kokoro/kokoro-v1_0.pth", "kokoro/golden_tiny.safetensors",
     "kokoro/tolerances.json", "gen_har"},
};

/* NULL: as built in, which leaves layers as small as these alone. */
static const struct ut_minimal_table *filtering;

/* Runs all cases; returns how many stages the model compared with the golden file itself. */
static int trace(const struct fixture *fixture, const char *golden, enum ut_cpu_level level,
                 int n_threads, const char *out) {
    struct ut_compute compute;
    utter_error err = {0};
    int n_compared = 0;
    assert_int_equal(speak_compute_open(&mem, level, n_threads, &compute, &err), UTTER_OK);
    compute.minimal = filtering;
    if (fixture->trace(&compute, data_path(fixture->model).text, golden, out, &n_compared, &err) !=
        UTTER_OK) {
        fail_msg("%s, %s at %s: %s", fixture->model, golden, ut_cpu_level_name(level), err.message);
    }
    speak_compute_close(&compute);
    return n_compared;
}

static void golden_stages(void **state) {
    for (int level = 0; level < UT_CPU_N_LEVELS; level++) {
        for (size_t i = 0; ut_cpu_level_supported(level) && i < UT_COUNT(fixtures); i++) {
            const struct fixture *fixture = &fixtures[i];
            struct path golden = data_path(fixture->golden), out = out_path("trace");
            struct golden_report report;
            int n_compared = trace(fixture, golden.text, level, 1 + level % 2, out.text);
            if (!golden_compare(&mem, golden.text, out.text, data_path(fixture->tolerances).text,
                                &report)) {
                fail_msg("%s at %s: %d of %d stages failed:\n%s", fixture->golden,
                         ut_cpu_level_name(level), report.n_failed,
                         report.n_failed + report.n_passed, (char *)report.failures.data);
            }
            assert_true(n_compared >=
                        report.n_passed); /* the model compares what the rules skip too */
            byte_buffer_free(&report.failures);
            unlink(out.text);
        }
    }
}

static void assert_same_file(const char *a, const char *b) {
    struct byte_buffer x = {0}, y = {0};
    byte_buffer_read_file(&x, a);
    byte_buffer_read_file(&y, b);
    assert_int_equal(x.n, y.n);
    assert_memory_equal(x.data, y.data, x.n);
    byte_buffer_free(&x);
    byte_buffer_free(&y);
}

static void threads_change_no_bit(void **state) {
    for (int level = 0; level < UT_CPU_N_LEVELS; level++) {
        for (size_t i = 0; ut_cpu_level_supported(level) && i < UT_COUNT(fixtures); i++) {
            struct path golden = data_path(fixtures[i].golden), one = out_path("one"),
                        many = out_path("many");
            trace(&fixtures[i], golden.text, level, 1, one.text);
            trace(&fixtures[i], golden.text, level, 3, many.text);
            assert_same_file(one.text, many.text);
            unlink(one.text);
            unlink(many.text);
        }
    }
}

/* Every layer that can be, by the schemes of most points. */
static void golden_stages_by_minimal_filtering(void **state) {
    static const char *const names[] = {"F(8,3)", "F(6,5)", "F(4,7)", "F(5,6)x2"};
    static const int taps[] = {3, 5, 7, 11};
    struct ut_minimal_table all = {.n_rules = UT_COUNT(names)};
    for (size_t i = 0; i < UT_COUNT(names); i++) {
        all.rules[i] = (struct ut_minimal_rule){0, 0, taps[i], ut_minimal_find(taps[i], names[i])};
        assert_non_null(all.rules[i].scheme);
    }
    filtering = &all;
    golden_stages(state);
    threads_change_no_bit(state);
    filtering = NULL;
}

/* A trace computes its outputs: it does not copy them from the golden file. */
static void recorded_outputs_are_not_read(void **state) {
    for (size_t i = 0; i < UT_COUNT(fixtures); i++) {
        struct path golden = data_path(fixtures[i].golden), inputs = out_path("inputs");
        struct path with = out_path("with"), without = out_path("without");
        struct golden_report report;
        if (!golden_strip(&mem, golden.text, data_path(fixtures[i].tolerances).text,
                          fixtures[i].kept, inputs.text, &report)) {
            fail_msg("%s", (char *)report.failures.data);
        }
        byte_buffer_free(&report.failures);
        assert_true(trace(&fixtures[i], golden.text, ut_cpu_level_best(), 1, with.text) > 0);
        int n_left = trace(&fixtures[i], inputs.text, ut_cpu_level_best(), 1, without.text);
        assert_true(fixtures[i].kept ? n_left > 0 && n_left <= 4 : n_left == 0);
        assert_same_file(with.text, without.text);
        unlink(inputs.text);
        unlink(with.text);
        unlink(without.text);
    }
}

/* An argument chooses tests by name: "golden_*" is what an emulated processor has the time for. */
int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_stages),
        cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(golden_stages_by_minimal_filtering),
        cmocka_unit_test(recorded_outputs_are_not_read),
    };
    if (argc > 1) {
        cmocka_set_test_filter(argv[1]);
    }
    return cmocka_run_group_tests(tests, setup, teardown);
}
