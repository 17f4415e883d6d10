/* The transform against the sum that defines it, backwards again, and two real signals in one. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "audio/fft.h"
#include "support/random_values.h"

enum { MOST = 64 };

static struct ut_mem mem;

static void fill(struct ut_complex *z, size_t n) {
    float values[2 * MOST];
    random_normal("z", n, 0, 1, values, 2 * n);
    for (size_t t = 0; t < n; t++) {
        z[t] = (struct ut_complex){(double)values[2 * t], (double)values[2 * t + 1]};
    }
}

static struct ut_complex sum_of(const struct ut_complex *z, size_t n, size_t k) {
    struct ut_complex sum = {0, 0};
    for (size_t t = 0; t < n; t++) {
        double angle = -2 * M_PI * (double)(k * t % n) / (double)n;
        sum.re += z[t].re * cos(angle) - z[t].im * sin(angle);
        sum.im += z[t].re * sin(angle) + z[t].im * cos(angle);
    }
    return sum;
}

static void transform_is_the_sum_that_defines_it(void **state) {
    for (size_t n = 2; n <= MOST; n *= 2) {
        struct ut_fft fft;
        struct ut_complex z[MOST], found[MOST];
        assert_int_equal(ut_fft_open(&fft, &mem, n, NULL), UTTER_OK);
        fill(z, n);
        fill(found, n);
        ut_fft_run(&fft, found);
        for (size_t k = 0; k < n; k++) {
            struct ut_complex wanted = sum_of(z, n, k);
            assert_true(fabs(found[k].re - wanted.re) < 1e-13 * (double)n);
            assert_true(fabs(found[k].im - wanted.im) < 1e-13 * (double)n);
        }
        ut_fft_run(&fft, found); /* and back, as the header says */
        for (size_t t = 0; t < n; t++) {
            assert_true(fabs(found[(n - t) % n].re / (double)n - z[t].re) < 1e-14 * (double)n);
            assert_true(fabs(found[(n - t) % n].im / (double)n - z[t].im) < 1e-14 * (double)n);
        }
        ut_fft_close(&fft);
    }
}

static void two_real_signals_are_taken_apart(void **state) {
    struct ut_fft fft;
    struct ut_complex z[MOST], a[MOST], b[MOST];
    double power_a[MOST / 2 + 1], power_b[MOST / 2 + 1];
    assert_int_equal(ut_fft_open(&fft, &mem, MOST, NULL), UTTER_OK);
    fill(z, MOST);
    for (size_t t = 0; t < MOST; t++) {
        a[t] = (struct ut_complex){z[t].re, 0};
        b[t] = (struct ut_complex){z[t].im, 0};
    }
    ut_fft_run(&fft, z);
    ut_fft_powers(&fft, z, power_a, power_b);
    for (size_t k = 0; k <= MOST / 2; k++) {
        struct ut_complex wanted_a = sum_of(a, MOST, k), wanted_b = sum_of(b, MOST, k);
        assert_true(fabs(power_a[k] - wanted_a.re * wanted_a.re - wanted_a.im * wanted_a.im) <
                    1e-9);
        assert_true(fabs(power_b[k] - wanted_b.re * wanted_b.re - wanted_b.im * wanted_b.im) <
                    1e-9);
    }
    ut_fft_close(&fft);
    ut_fft_close(&fft); /* twice is fine */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transform_is_the_sum_that_defines_it),
        cmocka_unit_test(two_real_signals_are_taken_apart),
    };
    ut_mem_init(&mem, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
