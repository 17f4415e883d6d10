/* Element types and the conversion to f32: every half, bit patterns of the others, any alignment. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/byte_buffer.h"
#include "weights/table.h"

/* The definition of a half, in double. */
static double half_value(uint16_t half) {
    int exponent = half >> 10 & 31, mantissa = half & 1023;
    double magnitude = exponent == 31 ? (mantissa ? NAN : INFINITY)
                       : exponent == 0 ? ldexp(mantissa, -24) : ldexp(1024 + mantissa, exponent - 25);
    return half & 0x8000 ? -magnitude : magnitude;
}

static void test_f16(void **state) {
    enum { N = 65536 };
    uint8_t *bytes = test_alloc(2 * N + 1); /* at an odd address */
    float *values = test_alloc(N * sizeof *values);
    for (uint32_t i = 0; i < N; i++) {
        bytes[2 * i + 1] = (uint8_t)i;
        bytes[2 * i + 2] = (uint8_t)(i >> 8);
    }
    struct ut_tensor tensor = {.type = UT_F16, .data = bytes + 1, .n_bytes = 2 * N};
    assert_int_equal(ut_tensor_n_elements(&tensor), N);
    assert_true(ut_tensor_to_f32(&tensor, values));
    for (uint32_t i = 0; i < N; i++) {
        double expected = half_value((uint16_t)i);
        bool same = values[i] == expected && !signbit(values[i]) == !signbit(expected);
        if (isnan(expected) ? !isnan(values[i]) : !same) {
            fail_msg("half 0x%04X: %g instead of %g", i, values[i], expected);
        }
    }
    free(values);
    free(bytes);
}

static void test_others(void **state) {
    static const float f32[] = {0.1f, -0.0f, 1e-45f, INFINITY};
    uint8_t bytes[64];
    float values[4];
    struct ut_tensor tensor = {.type = UT_F32, .data = bytes + 1, .n_bytes = sizeof f32};
    memcpy(bytes + 1, f32, sizeof f32);
    assert_true(ut_tensor_to_f32(&tensor, values));
    assert_memory_equal(values, f32, sizeof f32);

    for (int i = 0; i < 4; i++) { /* bf16 is the upper half of f32 */
        memcpy(bytes + 1 + 2 * i, (const char *)&f32[i] + 2, 2);
    }
    tensor = (struct ut_tensor){.type = UT_BF16, .data = bytes + 1, .n_bytes = 8};
    assert_true(ut_tensor_to_f32(&tensor, values));
    assert_true(values[0] == 0.099609375f && signbit(values[1]) && values[2] == 0 && values[3] == INFINITY);

    static const double f64[] = {0.1, 1e300, -1e-300};
    memcpy(bytes + 1, f64, sizeof f64);
    tensor = (struct ut_tensor){.type = UT_F64, .data = bytes + 1, .n_bytes = sizeof f64};
    assert_true(ut_tensor_to_f32(&tensor, values));
    assert_true(values[0] == 0.1f && values[1] == INFINITY && values[2] == 0);

    for (int type = UT_I8; type <= UT_BOOL; type++) {
        tensor = (struct ut_tensor){.type = type, .data = bytes, .n_bytes = 8};
        values[0] = 7;
        assert_false(ut_tensor_to_f32(&tensor, values));
        assert_true(values[0] == 7);
    }
    tensor = (struct ut_tensor){.type = UT_F32, .data = NULL, .n_bytes = 0};
    assert_true(ut_tensor_to_f32(&tensor, values));
}

static void test_names_and_sizes(void **state) {
    static const struct {
        const char *name;
        size_t size, block;
    } types[] = {{"f32", 4, 1}, {"f16", 2, 1}, {"bf16", 2, 1}, {"f64", 8, 1}, {"i8", 1, 1}, {"u8", 1, 1},
                 {"i16", 2, 1}, {"u16", 2, 1}, {"i32", 4, 1}, {"u32", 4, 1}, {"i64", 8, 1}, {"u64", 8, 1},
                 {"bool", 1, 1}, {"q4_0", 18, 32}, {"q4_1", 20, 32}, {"q5_0", 22, 32}, {"q5_1", 24, 32},
                 {"q8_0", 34, 32}, {"q2_k", 84, 256}, {"q3_k", 110, 256}, {"q4_k", 144, 256}, {"q5_k", 176, 256},
                 {"q6_k", 210, 256}, {"tq1_0", 54, 256}, {"tq2_0", 66, 256}};
    assert_int_equal(sizeof types / sizeof *types, UT_N_DTYPES);
    for (int type = 0; type < UT_N_DTYPES; type++) {
        assert_string_equal(ut_dtype_name(type), types[type].name);
        assert_int_equal(ut_dtype_size(type), types[type].size);
        assert_int_equal(ut_dtype_block(type), types[type].block);
    }
}

static void test_shapes(void **state) {
    static const struct {
        enum ut_dtype type;
        uint64_t dims[4];
        int n_dims;
        bool ok;
        uint64_t n_bytes;
    } cases[] = {
        {UT_F32, {0}, 0, true, 4},
        {UT_F32, {2, 3}, 2, true, 24},
        {UT_F32, {2, 0, 3}, 3, true, 0},
        {UT_U8, {INT64_MAX}, 1, true, INT64_MAX},
        {UT_U8, {(uint64_t)INT64_MAX + 1}, 1, false, 0},
        {UT_F32, {(uint64_t)1 << 62}, 1, false, 0},
        {UT_F32, {32, (uint64_t)1 << 59}, 2, false, 0},
        {UT_F32, {0, (uint64_t)1 << 62}, 2, false, 0}, /* 0 bytes, but whoever multiplies the rest wraps */
        {UT_U8, {65536, 65536, 65536, 65536}, 4, false, 0},
        /* Blocks lie along the last dimension only. */
        {UT_Q4_0, {32}, 1, true, 18},
        {UT_Q4_0, {3, 64}, 2, true, 3 * 2 * 18},
        {UT_Q4_0, {64, 3}, 2, false, 0},
        {UT_Q4_0, {32, 1}, 2, false, 0},
        {UT_Q4_0, {0}, 0, false, 0},
        {UT_Q4_0, {31}, 1, false, 0},
        {UT_Q4_0, {3, 0}, 2, true, 0},
        {UT_Q6_K, {2, 2, 256}, 3, true, 4 * 210},
        {UT_Q6_K, {8, 32}, 2, false, 0},
        {UT_Q8_0, {(uint64_t)1 << 62}, 1, true, ((uint64_t)1 << 57) * 34},
        {UT_Q8_0, {(uint64_t)1 << 63}, 1, false, 0},
        {UT_TQ1_0, {(uint64_t)1 << 63}, 1, false, 0}, /* bytes that fit, elements that do not */
        {UT_TQ1_0, {(uint64_t)1 << 33, (uint64_t)1 << 31}, 2, false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ut_tensor tensor = {0};
        assert_int_equal(ut_tensor_set_shape(&tensor, cases[i].type, cases[i].dims, cases[i].n_dims), cases[i].ok);
        if (cases[i].ok) {
            assert_true(tensor.n_bytes == cases[i].n_bytes && tensor.n_dims == cases[i].n_dims);
            uint64_t n_elements = 1;
            for (int d = 0; d < 4; d++) {
                n_elements *= tensor.dims[d];
            }
            assert_true(ut_tensor_n_elements(&tensor) == n_elements);
            assert_true(tensor.dims[3] == (cases[i].n_dims == 4 ? cases[i].dims[3] : 1));
        }
    }
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f16),
        cmocka_unit_test(test_others),
        cmocka_unit_test(test_names_and_sizes),
        cmocka_unit_test(test_shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
