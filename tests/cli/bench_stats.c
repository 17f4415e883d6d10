/* Means, deviations and quantiles against values worked out by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/bench_stats.h"

static void test_mean_and_deviation(void **state) {
    static const double x[] = {2, 4, 4, 4, 5, 5, 7, 9};
    assert_float_equal(stats_mean(x, 8), 5, 1e-12);
    assert_float_equal(stats_std(x, 8), 2.1380899353, 1e-9); /* sqrt(32 / 7) */
    assert_float_equal(stats_mean(x, 1), 2, 1e-12);
    assert_float_equal(stats_std(x, 1), 0, 1e-12);
}

static void test_median(void **state) {
    double odd[] = {9, 1, 5}, even[] = {4, 1, 3, 2}, one[] = {7};
    assert_float_equal(stats_median(odd, 3), 5, 1e-12);
    assert_float_equal(stats_median(even, 4), 2.5, 1e-12);
    assert_float_equal(stats_median(one, 1), 7, 1e-12);
}

static void test_quantiles(void **state) {
    double x[] = {50, 10, 40, 20, 30};
    assert_float_equal(stats_quantile(x, 5, 0), 10, 1e-12);
    assert_float_equal(stats_quantile(x, 5, 1), 50, 1e-12);
    assert_float_equal(stats_quantile(x, 5, 0.25), 20, 1e-12);
    assert_float_equal(stats_quantile(x, 5, 0.95), 48, 1e-12); /* 40 + 0.8 * 10 */
    assert_float_equal(x[0], 10, 1e-12);
    assert_float_equal(x[4], 50, 1e-12);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mean_and_deviation),
        cmocka_unit_test(test_median),
        cmocka_unit_test(test_quantiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
