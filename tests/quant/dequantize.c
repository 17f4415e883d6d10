/* Blocks as f32, bit for bit what the Python package gguf made of them (tests/data/gguf/types.gguf). */
#include "quant/dequantize.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "quant/block.h"
#include "support/byte_buffer.h"
#include "weights/weights.h"

static const struct {
    const char *name;
    size_t n_bytes, n_elements;
    void (*dequantize)(const void *src, size_t n_blocks, float *dst);
} types[] = {
    {"q4_0", 18, UT_QK, ut_dequantize_q4_0},      {"q4_1", 20, UT_QK, ut_dequantize_q4_1},
    {"q5_0", 22, UT_QK, ut_dequantize_q5_0},      {"q5_1", 24, UT_QK, ut_dequantize_q5_1},
    {"q8_0", 34, UT_QK, ut_dequantize_q8_0},      {"q2_k", 84, UT_QK_K, ut_dequantize_q2_k},
    {"q3_k", 110, UT_QK_K, ut_dequantize_q3_k},   {"q4_k", 144, UT_QK_K, ut_dequantize_q4_k},
    {"q5_k", 176, UT_QK_K, ut_dequantize_q5_k},   {"q6_k", 210, UT_QK_K, ut_dequantize_q6_k},
    {"tq1_0", 54, UT_QK_K, ut_dequantize_tq1_0},  {"tq2_0", 66, UT_QK_K, ut_dequantize_tq2_0},
};
enum { N_TYPES = sizeof types / sizeof *types };

static struct ut_mem mem;
static struct ut_weights *weights;

static int setup(void **state) {
    char path[4096];
    utter_error err;
    ut_mem_init(&mem, NULL);
    snprintf(path, sizeof path, "%s/gguf/types.gguf", getenv("UT_TEST_DATA"));
    if (ut_weights_open(&mem, path, &weights, &err)) {
        print_error("%s\n", err.message);
        return -1;
    }
    return 0;
}

static int teardown(void **state) {
    ut_weights_close(weights);
    return 0;
}

static const struct ut_tensor *find(const char *name, const char *suffix) {
    char full[32];
    snprintf(full, sizeof full, "%s%s", name, suffix);
    const struct ut_tensor *tensor = ut_weights_find(weights, full);
    assert_non_null(tensor);
    return tensor;
}

/* One block at a time, and all at once through the table of types. */
static void test_golden(void **state) {
    for (size_t t = 0; t < N_TYPES; t++) {
        const struct ut_tensor *tensor = find(types[t].name, ""), *golden = find(types[t].name, ".f32");
        size_t n = (size_t)ut_tensor_n_elements(golden), n_blocks = n / types[t].n_elements;
        assert_true(n_blocks >= 2 && tensor->n_bytes == n_blocks * types[t].n_bytes);
        float *values = test_alloc(golden->n_bytes);
        for (size_t b = n_blocks; b-- > 0;) {
            types[t].dequantize((const char *)tensor->data + b * types[t].n_bytes, 1, values + b * types[t].n_elements);
        }
        assert_memory_equal(values, golden->data, golden->n_bytes);
        memset(values, 0, golden->n_bytes);
        assert_int_equal(ut_tensor_n_elements(tensor), n);
        assert_true(ut_tensor_to_f32(tensor, values));
        assert_memory_equal(values, golden->data, golden->n_bytes);
        free(values);
    }
}

/* Blocks at an odd address, exactly as many bytes as they have. */
static void test_unaligned(void **state) {
    for (size_t t = 0; t < N_TYPES; t++) {
        const struct ut_tensor *tensor = find(types[t].name, ""), *golden = find(types[t].name, ".f32");
        char *copy = test_alloc(tensor->n_bytes + 1);
        float *values = test_alloc(golden->n_bytes);
        memcpy(copy + 1, tensor->data, tensor->n_bytes);
        types[t].dequantize(copy + 1, tensor->n_bytes / types[t].n_bytes, values);
        assert_memory_equal(values, golden->data, golden->n_bytes);
        types[t].dequantize(copy + 1 + tensor->n_bytes, 0, NULL);
        free(values);
        free(copy);
    }
}

int main(void) {
    static const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden), cmocka_unit_test(test_unaligned)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
