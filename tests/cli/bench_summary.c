/* Ratios of rounds, the base of a cell, and the verdict for every combination of speed and size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/bench.h"

/* A cell of two rounds of two runs, a second of sound each. */
static struct bench_cell cell_of(struct bench_run *runs, const double *cpu_s, double *loads_s) {
    for (int i = 0; i < 4; i++) {
        runs[i] = (struct bench_run){.wall_s = 2 * cpu_s[i],
                                     .cpu_s = cpu_s[i],
                                     .audio_s = 2,
                                     .latency_s = 2 * cpu_s[i],
                                     .first_audio_s = cpu_s[i] / 2,
                                     .peak_rss_mb = 100 + i};
    }
    return (struct bench_cell){.model = "voices/a.onnx",
                               .backend = "native",
                               .precision = "f32",
                               .n_threads = 1,
                               .n_streams = 1,
                               .runs = runs,
                               .loads_s = loads_s,
                               .n_rounds = 2,
                               .n_runs_round = 2};
}

static void test_ratios(void **state) {
    struct bench_run runs[4], base_runs[4];
    double loads_s[2] = {1, 3};
    /* Rounds of medians 2 and 4 beside 3 and 12: ratios 1.5 and 3. */
    struct bench_cell cell = cell_of(runs, (const double[]){1, 3, 4, 4}, loads_s);
    struct bench_cell base = cell_of(base_runs, (const double[]){2, 4, 14, 10}, loads_s);
    struct bench_summary s;
    assert_true(bench_summarize(&cell, &base, &s));
    assert_float_equal(s.cpu_ratio.low, 1.5, 1e-12);
    assert_float_equal(s.cpu_ratio.median, 2.25, 1e-12);
    assert_float_equal(s.cpu_ratio.high, 3, 1e-12);
    assert_float_equal(s.wall_ratio.median, 2.25, 1e-12);
    assert_float_equal(s.latency_mean_s, 6, 1e-12);
    assert_float_equal(s.rtf_mean, 3, 1e-12);
    assert_float_equal(s.cpu_rtf_mean, 1.5, 1e-12);
    assert_float_equal(s.cpu_share, 0.5, 1e-12);
    assert_float_equal(s.first_audio_s, 1.75, 1e-12);
    assert_float_equal(s.load_s, 2, 1e-12);
    assert_float_equal(s.audio_s, 2, 1e-12);
    assert_float_equal(s.throughput, 7.0 / 24, 1e-12); /* between 1 / 3 and 1 / 4 */
    assert_float_equal(s.peak_rss_mb, 102, 1e-12);
    /* A base that broke off after its first round is compared in that one alone. */
    base.n_rounds = 1;
    assert_true(bench_summarize(&cell, &base, &s));
    assert_float_equal(s.cpu_ratio.high, 1.5, 1e-12);
}

static struct bench_summary summary_of(double low, double median, double high, double peak_rss_mb) {
    struct bench_spread spread = {median, low, high};
    return (struct bench_summary){.cpu_ratio = spread, .peak_rss_mb = peak_rss_mb};
}

static void test_verdicts(void **state) {
    static const char *const words[3][3] = {{"slower, smaller", "slower", "slower, larger"},
                                            {"smaller", "the same", "larger"},
                                            {"faster, smaller", "faster", "faster, larger"}};
    static const double speeds[] = {0.5, 1.04, 2}, sizes[] = {50, 104, 200};
    struct bench_cell cell = {.n_streams = 1};
    struct bench_summary base = summary_of(1, 1, 1, 100);
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 3; k++) {
            struct bench_summary s = summary_of(speeds[i], speeds[i], speeds[i], sizes[k]);
            struct bench_verdict verdict = bench_judge(&cell, &s, &base);
            assert_string_equal(verdict.words, words[i][k]);
            assert_true(strlen(verdict.advice) > 10);
        }
    }
    struct bench_summary unsure = summary_of(0.9, 1.3, 1.6, 100);
    assert_string_equal(bench_judge(&cell, &unsure, &base).words, "the same");
    unsure = summary_of(0.6, 0.8, 1.01, 100);
    assert_string_equal(bench_judge(&cell, &unsure, &base).words, "the same");
}

/* With several streams or threads wall time decides. */
static void test_what_decides(void **state) {
    struct bench_summary s = {.cpu_ratio = {1, 1, 1}, .wall_ratio = {2, 2, 2}};
    struct bench_cell cell = {.n_streams = 1};
    assert_float_equal(bench_ratio(&cell, &s).median, 1, 1e-12);
    cell.n_streams = 2;
    assert_float_equal(bench_ratio(&cell, &s).median, 2, 1e-12);
    cell.n_streams = 1;
    json_t *facts = json_pack("{s:i}", "threads", 2);
    cell.facts = facts;
    assert_float_equal(bench_ratio(&cell, &s).median, 2, 1e-12);
    json_decref(facts);
}

static void test_base(void **state) {
    static const char *const models[] = {"x/a.onnx", "x/b.onnx"};
    struct bench_options options = {0};
    struct bench_cell cells[] = {
        {.model = models[0], .backend = "native", .precision = "auto"},
        {.model = models[0], .backend = "native", .precision = "f32"},
        {.model = models[1], .backend = "native", .precision = "int8"},
        {.model = models[1], .backend = "onnx", .precision = "stored"},
        {.model = models[1], .backend = "onnx", .precision = "stored", .length = 5},
    };
    struct bench_matrix matrix = {&options, cells, 5};
    assert_ptr_equal(bench_base_of(&matrix, &cells[0]), &cells[3]);
    assert_ptr_equal(bench_base_of(&matrix, &cells[4]), &cells[4]);
    strcpy(cells[3].reason, "does not run");
    assert_ptr_equal(bench_base_of(&matrix, &cells[0]), &cells[1]);
    strcpy(cells[1].reason, "does not run");
    assert_ptr_equal(bench_base_of(&matrix, &cells[2]), &cells[0]);
    strcpy(cells[0].reason, "does not run");
    assert_ptr_equal(bench_base_of(&matrix, &cells[2]), &cells[2]);
    options.base = "b.onnx,int8";
    assert_ptr_equal(bench_base_of(&matrix, &cells[0]), &cells[2]);
    options.base = "x/b.onnx,native,f32";
    assert_null(bench_base_of(&matrix, &cells[2]));
    options.base = "int";
    assert_null(bench_base_of(&matrix, &cells[2]));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ratios),
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_what_decides),
        cmocka_unit_test(test_base),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
