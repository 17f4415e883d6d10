/* f32 into blocks, bit for bit what the Python package gguf makes of the same values
 * (tests/data/gguf/quantized.gguf), and what cannot be stored. */
#include "quant/quantize.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "quant/block.h"
#include "quant/dequantize.h"
#include "quant/half.h"
#include "support/byte_buffer.h"
#include "weights/weights.h"

static const struct {
    const char *name;
    size_t n_bytes;
    bool (*quantize)(const float *src, size_t n_blocks, void *dst);
    void (*dequantize)(const void *src, size_t n_blocks, float *dst);
} types[] = {
    {"q4_0", 18, ut_quantize_q4_0, ut_dequantize_q4_0}, {"q4_1", 20, ut_quantize_q4_1, ut_dequantize_q4_1},
    {"q5_0", 22, ut_quantize_q5_0, ut_dequantize_q5_0}, {"q5_1", 24, ut_quantize_q5_1, ut_dequantize_q5_1},
    {"q8_0", 34, ut_quantize_q8_0, ut_dequantize_q8_0},
};
enum { N_TYPES = sizeof types / sizeof *types };

static void test_golden(void **state) {
    struct ut_mem mem;
    struct ut_weights *weights;
    char path[4096];
    utter_error err;
    ut_mem_init(&mem, NULL);
    snprintf(path, sizeof path, "%s/gguf/quantized.gguf", getenv("UT_TEST_DATA"));
    if (ut_weights_open(&mem, path, &weights, &err)) {
        fail_msg("%s", err.message);
    }
    const struct ut_tensor *x = ut_weights_find(weights, "x");
    assert_non_null(x);
    const float *values = x->data;
    size_t n = (size_t)ut_tensor_n_elements(x);
    for (size_t t = 0; t < N_TYPES; t++) {
        const struct ut_tensor *golden = ut_weights_find(weights, types[t].name);
        assert_non_null(golden);
        uint8_t *blocks = test_alloc(golden->n_bytes);
        assert_true(types[t].quantize(values, n / UT_QK, blocks));
        for (size_t i = 0; i < golden->n_bytes; i++) {
            if (blocks[i] != ((const uint8_t *)golden->data)[i]) {
                fail_msg("%s: byte %zu of block %zu", types[t].name, i % types[t].n_bytes, i / types[t].n_bytes);
            }
        }
        free(blocks);
    }
    const struct ut_tensor *f16 = ut_weights_find(weights, "f16"), *bf16 = ut_weights_find(weights, "bf16");
    assert_true(f16 && bf16);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(ut_f16_from_f32(values[i]), ((const uint16_t *)f16->data)[i]);
        assert_int_equal(ut_bf16_from_f32(values[i]), ((const uint16_t *)bf16->data)[i]);
    }
    ut_weights_close(weights);
}

/* What is stored lies within half a step of what it was made of, a whole one at the end that has one
 * level less in the types around zero; the rounding of the scale to a half comes on top. */
static void test_error(void **state) {
    float src[4 * UT_QK], out[4 * UT_QK];
    uint8_t blocks[4 * 34];
    static const double steps[N_TYPES] = {2.0 / 16, 2.0 / 15 / 2, 2.0 / 32, 2.0 / 31 / 2, 2.0 / 254 / 2};
    uint32_t random = 1;
    for (int i = 0; i < 4 * UT_QK; i++) {
        random = random * 1664525 + 1013904223;
        src[i] = (float)(random >> 8) / (1 << 23) - 1;
    }
    for (size_t t = 0; t < N_TYPES; t++) {
        assert_true(types[t].quantize(src, 4, blocks));
        types[t].dequantize(blocks, 4, out);
        for (int i = 0; i < 4 * UT_QK; i++) {
            assert_true(fabs((double)out[i] - (double)src[i]) <= steps[t] * 1.2);
        }
    }
}

/* Values that no block can hold are told; the blocks around them are as they should be. */
static void test_refused(void **state) {
    static const float bad[] = {NAN, INFINITY, -INFINITY, 3e38f, -3e38f};
    for (size_t t = 0; t < N_TYPES; t++) {
        for (size_t v = 0; v < sizeof bad / sizeof *bad; v++) {
            float src[3 * UT_QK], out[UT_QK];
            uint8_t blocks[3 * 34];
            for (int i = 0; i < 3 * UT_QK; i++) {
                src[i] = (float)(i % UT_QK) * 0.25f;
            }
            src[UT_QK + 7] = bad[v];
            assert_false(types[t].quantize(src, 3, blocks));
            types[t].dequantize(blocks + 2 * types[t].n_bytes, 1, out);
            assert_true(fabs((double)out[31] - 7.75) < 0.6);
        }
        float fits[UT_QK] = {60000, -60000}, out[UT_QK];
        uint8_t block[34];
        assert_true(types[t].quantize(fits, 1, block));
        types[t].dequantize(block, 1, out);
        assert_true(fabs((double)out[0] - 60000) < 8000 && fabs((double)out[1] + 60000) < 8000);
    }
}

/* A block of subnormal values would divide by a scale whose inverse is infinite. */
static void test_tiny(void **state) {
    for (size_t t = 0; t < N_TYPES; t++) {
        float src[UT_QK], out[UT_QK];
        uint8_t block[34];
        for (int i = 0; i < UT_QK; i++) {
            src[i] = (float)(i - 16) * 1e-44f;
        }
        assert_true(types[t].quantize(src, 1, block));
        types[t].dequantize(block, 1, out);
        for (int i = 0; i < UT_QK; i++) {
            assert_true(out[i] == 0);
        }
    }
}

int main(void) {
    static const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden), cmocka_unit_test(test_error),
                                              cmocka_unit_test(test_refused), cmocka_unit_test(test_tiny)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
