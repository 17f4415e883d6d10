/* Rounding, clipping and the check for numbers that are none. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "audio/convert.h"

static void rounds_to_nearest_and_clips(void **state) {
    const float half = 0.5f / 32767.0f;
    static const int16_t expected[] = {0,      32767, -32767, 32767, -32767, 32767,
                                       -32767, 16384, -16384, 0,     1,      -1};
    const float samples[] = {0,      1,    -1,    1.5f,         -1.5f,        1e30f,
                             -1e30f, 0.5f, -0.5f, 0.99f * half, 1.01f * half, -1.01f * half};
    int16_t out[sizeof samples / sizeof *samples];
    ut_convert_to_s16(out, samples, sizeof samples / sizeof *samples);
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        assert_int_equal(out[i], expected[i]);
    }
}

static void every_16_bit_value_survives(void **state) {
    for (int value = -32767; value <= 32767; value++) {
        float sample = (float)value / 32767.0f;
        int16_t out;
        ut_convert_to_s16(&out, &sample, 1);
        assert_int_equal(out, value);
    }
}

static void finds_the_first_impossible_number(void **state) {
    float samples[] = {0, -0.0f, 1e38f, -1, 1e-42f, 3};
    assert_int_equal(ut_convert_find_not_finite(samples, 6), 6);
    samples[4] = INFINITY;
    assert_int_equal(ut_convert_find_not_finite(samples, 6), 4);
    samples[2] = NAN;
    assert_int_equal(ut_convert_find_not_finite(samples, 6), 2);
    assert_int_equal(ut_convert_find_not_finite(samples, 0), 0);
}

static void clips_in_place(void **state) {
    float samples[] = {0.25f, 2, -2, 1, -1};
    const float expected[] = {0.25f, 1, -1, 1, -1};
    ut_convert_clip(samples, samples, 5);
    assert_memory_equal(samples, expected, sizeof expected);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounds_to_nearest_and_clips),
        cmocka_unit_test(every_16_bit_value_survives),
        cmocka_unit_test(finds_the_first_impossible_number),
        cmocka_unit_test(clips_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
