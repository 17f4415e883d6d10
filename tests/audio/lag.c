/* Lags of noise, which correlates with itself at one place only. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "audio/lag.h"
#include "support/random_values.h"

enum { N = 9000, MARGIN = 3000 };

static struct ut_mem mem;
static float noise[N + 2 * MARGIN];

static int setup(void **state) {
    ut_mem_init(&mem, NULL);
    random_normal("noise", 3, 0, 0.1f, noise, N + 2 * MARGIN);
    return 0;
}

static ptrdiff_t find(const float *ref, const float *test, size_t n, size_t max_lag) {
    ptrdiff_t lag = 12345;
    assert_int_equal(ut_lag_find(&mem, ref, test, n, max_lag, &lag, NULL), UTTER_OK);
    return lag;
}

/* Blocks of 4,096 less both margins, one block, and transforms that grow with the margin. */
static void lags_are_found_to_the_sample(void **state) {
    static const ptrdiff_t lags[] = {0, 1, -1, 20, -147, 999, -1000, 1000};
    for (size_t i = 0; i < sizeof lags / sizeof *lags; i++) {
        const float *test = noise + MARGIN - lags[i];
        assert_int_equal(find(noise + MARGIN, test, N, 1000), lags[i]);
        assert_int_equal(find(noise + MARGIN, test, N, 2500), lags[i]);
    }
    assert_int_equal(find(noise + MARGIN, noise + MARGIN - 20, 1500, 100), 20);
}

static void lag_beyond_the_limit_is_not_found(void **state) {
    ptrdiff_t lag = find(noise + MARGIN, noise + MARGIN - 101, N, 100);
    assert_true(lag >= -100 && lag <= 100);
}

static void silence_has_no_lag(void **state) {
    static const float silence[N];
    assert_int_equal(find(silence, noise, N, 500), 0);
    assert_int_equal(find(noise, silence, N, 500), 0);
}

/* Its correlation with the original is lowest where it lies. */
static void inverted_signal_is_not_a_late_one(void **state) {
    float inverted[N];
    for (size_t i = 0; i < N; i++) {
        inverted[i] = -noise[MARGIN + i];
    }
    assert_int_not_equal(find(noise + MARGIN, inverted, N, 500), 0);
}

static void shortest_sounds_have_one(void **state) {
    static const float click[] = {0, 1, 0}, late[] = {0, 0, 1};
    assert_int_equal(find(click, late, 3, 2), 1);
    assert_int_equal(find(late, click, 3, 2), -1);
    assert_int_equal(find(click, click, 2, 1), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lags_are_found_to_the_sample),
        cmocka_unit_test(lag_beyond_the_limit_is_not_found),
        cmocka_unit_test(silence_has_no_lag),
        cmocka_unit_test(inverted_signal_is_not_a_late_one),
        cmocka_unit_test(shortest_sounds_have_one),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
