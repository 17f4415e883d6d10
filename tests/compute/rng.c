/* The generator: known answers of Philox, moments of the normal values, independence of the order.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compute/rng.h"

/* Known-answer vectors published with the Random123 library (philox 4x32, 10 rounds). */
static void matches_known_answers(void **state) {
    uint32_t out[4];
    ut_rng_block(0, 0, 0, out);
    assert_int_equal(out[0], 0x6627e8d5u);
    assert_int_equal(out[1], 0xe169c58du);
    assert_int_equal(out[2], 0xbc57ac4cu);
    assert_int_equal(out[3], 0x9b00dbd8u);
}

static void normal_has_its_moments(void **state) {
    enum { N = 200000 };
    static float x[N];
    double sum = 0, squares = 0, cubes = 0, fourth = 0;
    ut_rng_normal(42, 7, 0, x, N);
    for (int i = 0; i < N; i++) {
        double v = (double)x[i];
        assert_true(fabs(v) < 6.8);
        sum += v;
        squares += v * v;
        cubes += v * v * v;
        fourth += v * v * v * v;
    }
    assert_true(fabs(sum / N) < 0.01);
    assert_true(fabs(squares / N - 1) < 0.02);
    assert_true(fabs(cubes / N) < 0.05);
    assert_true(fabs(fourth / N - 3) < 0.15);
}

static void any_order_gives_the_same(void **state) {
    float all[101], part[101];
    ut_rng_normal(1, 2, 1000, all, 101);
    for (size_t at = 0; at < 101; at += 7) {
        size_t n = at + 7 < 101 ? 7 : 101 - at;
        ut_rng_normal(1, 2, 1000 + at, part + at, n);
    }
    assert_memory_equal(all, part, sizeof all);
}

static void seeds_and_streams_differ(void **state) {
    float a[4], b[4], c[4];
    ut_rng_normal(1, 1, 0, a, 4);
    ut_rng_normal(2, 1, 0, b, 4);
    ut_rng_normal(1, 2, 0, c, 4);
    assert_memory_not_equal(a, b, sizeof a);
    assert_memory_not_equal(a, c, sizeof a);
    assert_true(ut_rng_derive(5, 0) != ut_rng_derive(5, 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_known_answers),
        cmocka_unit_test(normal_has_its_moments),
        cmocka_unit_test(any_order_gives_the_same),
        cmocka_unit_test(seeds_and_streams_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
