/* 16-bit floats against their definition in double: every half, every boundary between two of them. */
#include "quant/half.h"
#include "base/half_float.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include <cmocka.h>

static double half_value(uint16_t half) {
    int exponent = half >> 10 & 31, mantissa = half & 1023;
    double magnitude = exponent == 31 ? (mantissa ? (double)NAN : (double)INFINITY)
                       : exponent == 0 ? ldexp(mantissa, -24) : ldexp(1024 + mantissa, exponent - 25);
    return half & 0x8000 ? -magnitude : magnitude;
}

static bool same(double a, double b) {
    return isnan(a) ? isnan(b) : a == b && !signbit(a) == !signbit(b);
}

static void check_narrow(float value, uint16_t expected) {
    uint16_t found = ut_f16_from_f32(value);
    if (found != expected) {
        fail_msg("%.9g (%a): half 0x%04X instead of 0x%04X", (double)value, (double)value, found, expected);
    }
    found = ut_f16_from_f32(-value);
    assert_int_equal(found, expected | 0x8000);
}

static void test_f16(void **state) {
    for (uint32_t h = 0; h < 65536; h++) {
        float value = ut_float_from_f16((uint16_t)h);
        assert_true(same((double)value, half_value((uint16_t)h)));
        if (!isnan(value)) {
            assert_int_equal(ut_f16_from_f32(value), h);
        }
    }
    /* What lies halfway goes to the even one; a float to either side of it, to that side. 65520 lies
     * halfway from the largest half to what would come after it, and is infinite. */
    for (uint32_t h = 0; h < 0x7C00; h++) {
        double above = h == 0x7BFF ? 65536 : half_value((uint16_t)(h + 1));
        float middle = (float)((half_value((uint16_t)h) + above) / 2);
        check_narrow(middle, (uint16_t)(h + (h & 1)));
        check_narrow(nextafterf(middle, 0), (uint16_t)h);
        check_narrow(nextafterf(middle, INFINITY), (uint16_t)(h + 1));
    }
    check_narrow(INFINITY, 0x7C00);
    check_narrow(3e38f, 0x7C00);
    check_narrow(1e-45f, 0);
    check_narrow(0, 0);
    check_narrow(ut_float_from_bits(0x7FC00000), 0x7E00);
    check_narrow(ut_float_from_bits(0x7F802000), 0x7E01); /* signalling, with a payload */
    check_narrow(ut_float_from_bits(0x7F800001), 0x7E00);
}

static void test_bf16(void **state) {
    static const struct {
        uint32_t bits;
        uint16_t expected;
    } cases[] = {
        {0x00000000, 0x0000}, {0x80000000, 0x8000}, {0x3F800000, 0x3F80}, {0x3F808000, 0x3F80}, {0x3F808001, 0x3F81},
        {0x3F818000, 0x3F82}, {0x3F817FFF, 0x3F81}, {0x00008000, 0x0000}, {0x00018000, 0x0002}, {0x3FFFFFFF, 0x4000},
        {0x7F7F7FFF, 0x7F7F}, {0x7F7F8000, 0x7F80}, {0x7F7FFFFF, 0x7F80}, {0x7F800000, 0x7F80}, {0xFF800000, 0xFF80},
        {0x7FC00000, 0x7FC0}, {0x7F800001, 0x7FC0}, {0xFFC12345, 0xFFC1}, {0x7FFFFFFF, 0x7FFF},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(ut_bf16_from_f32(ut_float_from_bits(cases[i].bits)), cases[i].expected);
    }
    for (uint32_t h = 0; h < 65536; h++) {
        float value = ut_float_from_bf16((uint16_t)h);
        assert_true(isnan(value) || ut_bf16_from_f32(value) == h);
    }
}

int main(void) {
    static const struct CMUnitTest tests[] = {cmocka_unit_test(test_f16), cmocka_unit_test(test_bf16)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
