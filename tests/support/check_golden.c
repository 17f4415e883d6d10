/* The comparison of golden tensors: each rule just inside and just outside its bound, which pattern
 * decides, and that nothing passes unnoticed. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/golden.h"
#include "weights/weights.h"

enum { N = 4 };

static struct ut_mem mem;
static char folder[256], golden_path[300], out_path[300], rules_path[300];

static int setup(void **state) {
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/utter-golden-XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(folder)) {
        return -1;
    }
    snprintf(golden_path, sizeof golden_path, "%s/golden", folder);
    snprintf(out_path, sizeof out_path, "%s/out", folder);
    snprintf(rules_path, sizeof rules_path, "%s/rules", folder);
    ut_mem_init(&mem, NULL);
    return 0;
}

static int teardown(void **state) {
    unlink(golden_path);
    unlink(out_path);
    unlink(rules_path);
    return rmdir(folder);
}

static void write_rules(const char *json) {
    struct byte_buffer text = {0};
    byte_buffer_append(&text, json, strlen(json));
    byte_buffer_write_file(&text, rules_path);
    byte_buffer_free(&text);
}

static void write_tensor(const char *path, const char *name, enum ut_dtype type, const void *data,
                         size_t n) {
    utter_error err;
    struct ut_tensor tensor = {.name = name,
                               .type = type,
                               .n_dims = 2,
                               .dims = {1, n, 1, 1},
                               .data = data,
                               .n_bytes = n * 4};
    assert_int_equal(ut_safetensors_write(path, &tensor, 1, &err), UTTER_OK);
}

/* One tensor in each file, named c.STAGE. */
static bool passes(const char *stage, const float *ref, const float *out) {
    char name[64];
    struct golden_report report;
    snprintf(name, sizeof name, "c.%s", stage);
    write_tensor(golden_path, name, UT_F32, ref, N);
    write_tensor(out_path, name, UT_F32, out, N);
    bool passed = golden_compare(&mem, golden_path, out_path, rules_path, &report);
    assert_int_equal(report.n_passed + report.n_failed, 1);
    assert_int_equal(passed, report.n_passed == 1);
    assert_int_equal(report.failures.n == 0, passed);
    byte_buffer_free(&report.failures);
    return passed;
}

static void absolute_and_scaled(void **state) {
    static const float ref[N] = {0, 1, -100, 2};
    write_rules(
        "{\"rules\": [[\"plain\", {\"abs\": 0.5}], [\"*\", {\"abs\": 0.5, \"scaled\": true}]]}");
    assert_true(passes("plain", ref, (float[N]){0.5f, 1, -100, 2}));
    assert_false(passes("plain", ref, (float[N]){0.51f, 1, -100, 2}));
    assert_true(passes("other", ref, (float[N]){0, 51, -100, 2})); /* 0.5 * 100 */
    assert_false(passes("other", ref, (float[N]){0, 51.1f, -100, 2}));
}

static void small_values_do_not_tighten_the_scale(void **state) {
    static const float ref[N] = {0, 0.01f, 0, 0};
    write_rules("{\"rules\": [[\"*\", {\"abs\": 0.5, \"scaled\": true}]]}");
    assert_true(passes("x", ref, (float[N]){0.4f, 0.01f, 0, 0}));
}

static void signal_to_noise(void **state) {
    static const float ref[N] = {1, -1, 1, -1};
    write_rules("{\"rules\": [[\"s\", {\"snr\": 20}]]}");
    assert_true(passes("s", ref, (float[N]){1.19f, -1, 1, -1}));  /* 20.4 dB */
    assert_false(passes("s", ref, (float[N]){1.21f, -1, 1, -1})); /* 19.6 dB */
    assert_true(passes("s", ref, ref));
}

static void relative(void **state) {
    static const float ref[N] = {1000, 0.5f, 1, 1};
    write_rules("{\"rules\": [[\"r\", {\"rel\": 0.125}]]}");
    assert_true(passes("r", ref, (float[N]){1100, 0.5625f, 1, 1}));
    assert_false(passes("r", ref, (float[N]){1000, 0.6f, 1, 1}));
}

/* Two magnitudes, then their phases. */
static void magnitudes_and_phases(void **state) {
    static const float ref[N] = {1, 0.001f, 3.14f, 1}, near[N] = {1.015f, 0.001f, -3.14f, 2};
    write_rules(
        "{\"rules\": [[\"p\", {\"polar\": [0.02, 0.02, 0.01]}], [\"q\", {\"polar\": [1]}]]}");
    assert_true(passes("p", ref, near)); /* modulo 2 pi; a phase without magnitude does not count */
    assert_false(passes("p", ref, (float[N]){1.03f, 0.001f, 3.14f, 1}));
    assert_false(passes("p", ref, (float[N]){1, 0.001f, 3.1f, 1}));
    assert_false(passes("q", ref, (float[N]){1, 0.001f, 3.1f, 1}));
}

static void exact(void **state) {
    static const float ref[N] = {1, 2, 3, 4};
    write_rules("{\"rules\": [[\"*\", {\"exact\": true}]]}");
    assert_true(passes("e", ref, ref));
    assert_false(passes("e", ref, (float[N]){1, 2, 3, nextafterf(4, 5)}));
}

static void not_finite(void **state) {
    static const float ref[N] = {INFINITY, 1, 1, 1};
    write_rules("{\"rules\": [[\"*\", {\"abs\": 10}]]}");
    assert_true(passes("x", ref, ref));
    assert_false(passes("x", ref, (float[N]){-INFINITY, 1, 1, 1}));
    assert_false(passes("x", ref, (float[N]){INFINITY, NAN, 1, 1}));
    assert_false(passes("x", (float[N]){NAN, 1, 1, 1}, (float[N]){NAN, 1, 1, 1}));
}

static void rules_without_a_match(void **state) {
    static const float ref[N] = {1, 1, 1, 1}, near[N] = {1.0009f, 1, 1, 1},
                       far[N] = {1.0011f, 1, 1, 1};
    write_rules("{\"rules\": []}");
    assert_true(passes("stage", ref, near));
    assert_false(passes("stage", ref, far));
    assert_false(passes("my_audio", ref, (float[N]){1.01f, 1, 1, 1})); /* 46 dB */
    static const int32_t a[N] = {1, 2, 3, 4}, b[N] = {1, 2, 3, 5};
    struct golden_report report;
    write_tensor(golden_path, "c.durations", UT_I32, a, N);
    write_tensor(out_path, "c.durations", UT_I32, b, N);
    assert_false(golden_compare(&mem, golden_path, out_path, rules_path, &report));
    assert_string_equal((char *)report.failures.data, "c.durations: values differ (1)\n");
    byte_buffer_free(&report.failures);
}

static void the_first_pattern_decides(void **state) {
    static const float ref[N] = {1, 1, 1, 1}, off[N] = {1.5f, 1, 1, 1};
    write_rules("{\"rules\": [[\"flow[0-9]_out\", {\"abs\": 1}], [\"c.flow*\", {\"abs\": 0.1}]]}");
    assert_true(passes("flow3_out", ref, off));
    assert_false(passes("flow_z", ref, off));
}

static void nothing_passes_unnoticed(void **state) {
    static const float ref[N] = {1, 1, 1, 1};
    struct golden_report report;
    write_rules(
        "{\"inputs\": [\"ids\"], \"rules\": [[\"x\", {\"abz\": 1}], [\"s\", {\"skip\": \"why\"}]]}");
    assert_false(passes("x", ref, ref)); /* a rule that does not exist */
    static const char *const names[] = {"c.ids", "c.s"};
    for (int i = 0; i < 2; i++) { /* nothing left to compare */
        write_tensor(golden_path, names[i], UT_F32, ref, N);
        assert_false(golden_compare(&mem, golden_path, golden_path, rules_path, &report));
        assert_int_equal(report.n_passed + report.n_failed, 0);
        byte_buffer_free(&report.failures);
    }
    write_tensor(golden_path, "c.y", UT_F32, ref, N);
    write_tensor(out_path, "c.z", UT_F32, ref, N);
    assert_false(golden_compare(&mem, golden_path, out_path, rules_path, &report));
    assert_string_equal((char *)report.failures.data, "c.y: missing (0)\n");
    byte_buffer_free(&report.failures);
    write_tensor(out_path, "c.y", UT_F32, ref, N - 1);
    assert_false(golden_compare(&mem, golden_path, out_path, rules_path, &report));
    byte_buffer_free(&report.failures);
    assert_false(golden_compare(&mem, "/nonexistent", out_path, rules_path, &report));
    byte_buffer_free(&report.failures);
}

static void strip_keeps_the_inputs(void **state) {
    static const float values[N] = {1, 2, 3, 4};
    utter_error err;
    struct ut_tensor tensors[] = {
        {.name = "c.out",
         .type = UT_F32,
         .n_dims = 1,
         .dims = {N, 1, 1, 1},
         .data = values,
         .n_bytes = 16},
        {.name = "c.ids",
         .type = UT_F32,
         .n_dims = 1,
         .dims = {N, 1, 1, 1},
         .data = values,
         .n_bytes = 16},
    };
    assert_int_equal(ut_safetensors_write(golden_path, tensors, 2, &err), UTTER_OK);
    write_rules("{\"inputs\": [\"ids\"]}");
    struct golden_report report;
    struct ut_weights *stripped;
    static const char *const also[] = {NULL, "out"};
    for (size_t i = 0; i < 2; i++) {
        assert_true(golden_strip(&mem, golden_path, rules_path, also[i], out_path, &report));
        assert_int_equal(ut_weights_open(&mem, out_path, &stripped, &err), UTTER_OK);
        assert_int_equal(ut_weights_count(stripped), i + 1);
        assert_memory_equal(ut_weights_find(stripped, "c.ids")->data, values, sizeof values);
        ut_weights_close(stripped);
        byte_buffer_free(&report.failures);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absolute_and_scaled),
        cmocka_unit_test(small_values_do_not_tighten_the_scale),
        cmocka_unit_test(signal_to_noise),
        cmocka_unit_test(relative),
        cmocka_unit_test(magnitudes_and_phases),
        cmocka_unit_test(exact),
        cmocka_unit_test(not_finite),
        cmocka_unit_test(rules_without_a_match),
        cmocka_unit_test(the_first_pattern_decides),
        cmocka_unit_test(nothing_passes_unnoticed),
        cmocka_unit_test(strip_keeps_the_inputs),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
