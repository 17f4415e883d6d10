/* GGUF files: header, tensors and where their data lies. Hostile ones with the whole ones that they were
 * made of, every truncation, every integer replaced. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gguf_cases.h"
#include "support/sweep.h"
#include "weights/gguf.h"

static struct ut_mem mem;

static int setup(void **state) {
    ut_mem_init(&mem, NULL);
    return 0;
}

static int teardown(void **state) {
    return atomic_load(&mem.bytes[UT_MEM_WEIGHTS]) + atomic_load(&mem.bytes[UT_MEM_OTHER]) != 0;
}

/* Each tensor is so large that one with a smaller size would leave more than padding behind it. */
#define WHOLE                                                                                                          \
    GGUF_HEAD("3", "5")                                                                                                \
    "s:general.alignment 4:4 4:32 s:name 4:8 s:tiny s:ids 4:9 4:5 8:2 4:1 4:2 s:words 4:9 4:8 8:2 s:one s:two "       \
    "s:scale 4:6 f:0.5 " GGUF_TENSOR("b.weight", "4:2 8:32 8:2", "0", "128")                                          \
        GGUF_TENSOR("a", "4:1 8:64", "1", "0") GGUF_TENSOR("q", "4:3 8:32 8:2 8:2", "8", "384") "pad:32 data:520"

static void test_whole_file(void **state) {
    struct parsed p = parse_gguf(&mem, WHOLE);
    assert_int_equal(ut_weights_format(p.weights), UT_FORMAT_GGUF);
    assert_null(ut_weights_onnx(p.weights));
    assert_int_equal(ut_weights_count(p.weights), 3);
    static const char *const names[] = {"b.weight", "a", "q"}; /* in the order of the descriptions */
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(ut_weights_at(p.weights, i)->name, names[i]);
    }
    const struct ut_tensor *b = ut_weights_find(p.weights, "b.weight"), *a = ut_weights_find(p.weights, "a");
    const struct ut_tensor *q = ut_weights_find(p.weights, "q");
    assert_true(b->type == UT_F32 && b->n_dims == 2 && b->dims[0] == 2 && b->dims[1] == 32 && b->dims[2] == 1);
    assert_true(a->type == UT_F16 && a->n_dims == 1 && a->dims[0] == 64 && a->n_bytes == 128);
    assert_true(q->type == UT_Q8_0 && q->n_dims == 3 && q->dims[2] == 32 && q->n_bytes == 4 * 34);
    assert_memory_equal(a->data, "\1\2\3", 3);
    assert_memory_equal(b->data, "\x81\x82\x83", 3);
    assert_int_equal((const char *)q->data - (const char *)a->data, 384);
    assert_null(ut_weights_find(p.weights, "name"));
    drop_parsed(&p);
}

/* A file by the Python package gguf. The values of its blocks: tests/quant/dequantize.c. */
static void test_package(void **state) {
    static const struct {
        const char *name;
        enum ut_dtype type;
        int n_dims;
        uint64_t dims[4];
    } expected[] = {
        {"float32", UT_F32, 2, {2, 3, 1, 1}},    {"float16", UT_F16, 2, {2, 3, 1, 1}},
        {"float64", UT_F64, 2, {2, 3, 1, 1}},    {"int8", UT_I8, 3, {1, 2, 3, 1}},
        {"int16", UT_I16, 3, {1, 2, 3, 1}},      {"int32", UT_I32, 3, {1, 2, 3, 1}},
        {"int64", UT_I64, 3, {1, 2, 3, 1}},      {"bfloat16", UT_BF16, 2, {2, 3, 1, 1}},
        {"q4_0", UT_Q4_0, 2, {2, 64, 1, 1}},     {"q4_1", UT_Q4_1, 2, {2, 64, 1, 1}},
        {"q5_0", UT_Q5_0, 2, {2, 64, 1, 1}},     {"q5_1", UT_Q5_1, 2, {2, 64, 1, 1}},
        {"q8_0", UT_Q8_0, 2, {2, 64, 1, 1}},     {"q2_k", UT_Q2_K, 2, {2, 256, 1, 1}},
        {"q3_k", UT_Q3_K, 2, {2, 256, 1, 1}},    {"q4_k", UT_Q4_K, 2, {2, 256, 1, 1}},
        {"q5_k", UT_Q5_K, 2, {2, 256, 1, 1}},    {"q6_k", UT_Q6_K, 2, {2, 256, 1, 1}},
        {"tq1_0", UT_TQ1_0, 2, {2, 256, 1, 1}},  {"tq2_0", UT_TQ2_0, 2, {2, 256, 1, 1}},
    };
    char path[4096];
    struct ut_weights *weights;
    utter_error err;
    snprintf(path, sizeof path, "%s/gguf/types.gguf", getenv("UT_TEST_DATA"));
    if (ut_weights_open(&mem, path, &weights, &err)) {
        fail_msg("%s", err.message);
    }
    use_weights(weights);
    assert_int_equal(ut_weights_count(weights), 8 + 2 * 12);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        const struct ut_tensor *t = ut_weights_find(weights, expected[i].name);
        assert_non_null(t);
        assert_int_equal(t->type, expected[i].type);
        assert_int_equal(t->n_dims, expected[i].n_dims);
        assert_memory_equal(t->dims, expected[i].dims, sizeof t->dims);
    }
    static const float quarters[] = {-1, -0.75f, -0.5f, -0.25f, 0, 0.25f};
    static const char *const floats[] = {"float32", "float16", "float64", "bfloat16"};
    for (size_t i = 0; i < 4; i++) {
        float values[6];
        assert_true(ut_tensor_to_f32(ut_weights_find(weights, floats[i]), values));
        assert_memory_equal(values, quarters, sizeof quarters);
    }
    assert_memory_equal(ut_weights_find(weights, "int8")->data, "\xFD\xFE\xFF\0\1\2", 6);
    ut_weights_close(weights);
}

static void test_tensor_types(void **state) {
    static const struct {
        const char *name;
        int type;
        size_t block, size;
    } types[] = {
        [0] = {"F32", UT_F32, 1, 4},          [1] = {"F16", UT_F16, 1, 2},       [2] = {"Q4_0", UT_Q4_0, 32, 18},
        [3] = {"Q4_1", UT_Q4_1, 32, 20},      [4] = {"Q4_2", -1, 32, 18},        [5] = {"Q4_3", -1, 32, 20},
        [6] = {"Q5_0", UT_Q5_0, 32, 22},      [7] = {"Q5_1", UT_Q5_1, 32, 24},   [8] = {"Q8_0", UT_Q8_0, 32, 34},
        [9] = {"Q8_1", -1, 32, 40},           [10] = {"Q2_K", UT_Q2_K, 256, 84}, [11] = {"Q3_K", UT_Q3_K, 256, 110},
        [12] = {"Q4_K", UT_Q4_K, 256, 144},   [13] = {"Q5_K", UT_Q5_K, 256, 176},
        [14] = {"Q6_K", UT_Q6_K, 256, 210},   [15] = {"Q8_K", -1, 256, 292},     [16] = {"IQ2_XXS", -1, 256, 66},
        [17] = {"IQ2_XS", -1, 256, 74},       [18] = {"IQ3_XXS", -1, 256, 98},   [19] = {"IQ1_S", -1, 256, 50},
        [20] = {"IQ4_NL", -1, 32, 18},        [21] = {"IQ3_S", -1, 256, 110},    [22] = {"IQ2_S", -1, 256, 82},
        [23] = {"IQ4_XS", -1, 256, 136},      [24] = {"I8", UT_I8, 1, 1},        [25] = {"I16", UT_I16, 1, 2},
        [26] = {"I32", UT_I32, 1, 4},         [27] = {"I64", UT_I64, 1, 8},      [28] = {"F64", UT_F64, 1, 8},
        [29] = {"IQ1_M", -1, 256, 56},        [30] = {"BF16", UT_BF16, 1, 2},    [31] = {"Q4_0_4_4", -1, 32, 18},
        [32] = {"Q4_0_4_8", -1, 32, 18},      [33] = {"Q4_0_8_8", -1, 32, 18},   [34] = {"TQ1_0", UT_TQ1_0, 256, 54},
        [35] = {"TQ2_0", UT_TQ2_0, 256, 66},  [36] = {"IQ4_NL_4_4", -1, 32, 18}, [37] = {"IQ4_NL_4_8", -1, 32, 18},
        [38] = {"IQ4_NL_8_8", -1, 32, 18},    [39] = {"MXFP4", -1, 32, 17},      [40] = {"NVFP4", -1, 64, 36},
        [41] = {"Q1_0", -1, 128, 18},
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        char words[200], message[80];
        struct gguf_text text = {0};
        snprintf(words, sizeof words, GGUF_HEAD("1", "0") "s:t 4:2 8:%zu 8:3 4:%zu 8:0 pad:32 data:%zu pad:32",
                 2 * types[i].block, i, 6 * types[i].size);
        gguf_text_append(&text, words);
        struct parsed p = parse_copy(&mem, text.file.data, text.file.n);
        if (types[i].type >= 0) {
            assert_int_equal(p.status, UTTER_OK);
            const struct ut_tensor *t = ut_weights_at(p.weights, 0);
            assert_int_equal(t->type, types[i].type);
            assert_int_equal(t->n_bytes, 6 * types[i].size);
            use_weights(p.weights);
        } else {
            snprintf(message, sizeof message, "gguf: tensor \"t\": type %s at byte 53 cannot be read", types[i].name);
            assert_int_equal(p.status, UTTER_ERROR_UNSUPPORTED);
            assert_non_null(strstr(p.err.message, message));
        }
        drop_parsed(&p);
        gguf_text_free(&text);
    }
}

#define ONE GGUF_HEAD("1", "0")
#define TWO GGUF_HEAD("2", "0")
#define T(dims, type, offset) ONE GGUF_TENSOR("t", dims, type, offset) "pad:32 "
#define ALIGNED(type, value) GGUF_HEAD("1", "1") "s:general.alignment 4:" type " " value " s:t 4:1 8:16 4:0 8:0 "

static const struct gguf_case cases[] = {
    {T("4:1 8:16", "0", "0") "data:64", NULL, false},
    /* The header. */
    {"GGUF", "the file ends within the version", false},
    {"GGUF 2:3", "ends within the version that begins at byte 4", false},
    {"GGUF 4:3", "ends within the number of tensors", false},
    {"GGUF 4:3 8:0", "ends within the number of keys that begins at byte 16", false},
    {"GGUF 4:3 8:0 8:0", NULL, false},
    {"GGUF 4:2 8:0 8:0", NULL, false},
    {"GGUF 4:0 8:0 8:0", "version 0, only versions 2 and 3 are read", true},
    {"GGUF 4:1 4:0 4:0", "version 1, only versions 2 and 3 are read; convert the model again", true},
    {"GGUF 4:4 8:0 8:0", "version 4, only", true},
    {"GGUF 4:-1 8:0 8:0", "version 4294967295", true},
    {"GGUF 4:0x7fffffff 8:0 8:0", "version 2147483647", true},
    {"GGUF 4:0x03000000 8:0 8:0", "a big-endian file, only little-endian ones are read", true},
    {"GGUF 4:0x02000000 8:0 8:0", "a big-endian file", true},
    {"GGUF 4:0x80000000 8:0 8:0", "a big-endian file", true},
    /* The number of tensors. */
    {GGUF_HEAD("0", "0") "4:0", NULL, false}, /* padding */
    {GGUF_HEAD("1", "0"), "1 tensors at byte 8, 0 bytes cannot describe them", false},
    {GGUF_HEAD("2", "0") "s:t 4:1 8:16 4:0 8:0", "2 tensors at byte 8, 33 bytes cannot describe them", false},
    {GGUF_HEAD("-1", "0") "s:t 4:1 8:16 4:0 8:0 pad:32 data:64", "18446744073709551615 tensors", false},
    {GGUF_HEAD("0x7fffffffffffffff", "0") "s:t 4:1 8:16 4:0 8:0 pad:32 data:64", "tensors at byte 8", false},
    {GGUF_HEAD("0x8000000000000000", "0") "s:t 4:1 8:16 4:0 8:0 pad:32 data:64", "tensors at byte 8", false},
    {GGUF_HEAD("0x0400000000000001", "0") "s:t 4:1 8:16 4:0 8:0 pad:32 data:64", "tensors at byte 8", false},
    {GGUF_HEAD("2", "0") "s:t 4:1 8:16 4:0 8:0 pad:32 data:64", "tensor", false},
    {GGUF_HEAD("0", "0") "s:t 4:1 8:16 4:0 8:0 pad:32 data:64", "bytes behind the last tensor, at byte 32", false},
    /* Names. */
    {ONE GGUF_TENSOR("t.weight", "4:1 8:16", "0", "0") "pad:32 data:64", NULL, false},
    {ONE "s: 4:1 8:16 4:0 8:0 pad:32 data:64", "a tensor without a name at byte 24", false},
    {ONE "8:2 x:7400 4:1 8:16 4:0 8:0 pad:32 data:64", "the name of a tensor at byte 24 holds NUL", false},
    {ONE "8:2 x:0074 4:1 8:16 4:0 8:0 pad:32 data:64", "holds NUL or is not UTF-8", false},
    {ONE "8:1 x:ff 4:1 8:16 4:0 8:0 pad:32 data:64", "holds NUL or is not UTF-8", false},
    {ONE "8:-1 x:74 4:1 8:16 4:0 8:0 pad:32 data:64", "the name of a tensor of 18446744073709551615 bytes", false},
    {ONE "8:-8 x:74 4:1 8:16 4:0 8:0 pad:32 data:64", "the name of a tensor of 18446744073709551608 bytes", false},
    {ONE "8:0x7fffffffffffffff x:74 4:1 8:16 4:0 8:0 pad:32 data:64", "of 9223372036854775807 bytes at byte 24", false},
    {ONE "8:0x8000000000000000 x:74 4:1 8:16 4:0 8:0 pad:32 data:64", "of 9223372036854775808 bytes", false},
    {ONE "8:0x100000001 x:74 4:1 8:16 4:0 8:0 pad:32 data:64", "of 4294967297 bytes", false},
    {ONE "8:500 x:74 4:1 8:16 4:0 8:0 pad:32 data:64", "of 500 bytes at byte 24, ", false},
    {ONE "S:63 4:1 8:16 4:0 8:0 pad:32 data:64", NULL, false},
    {ONE "S:64 4:1 8:16 4:0 8:0 pad:32 data:64", NULL, false},
    {ONE "S:200 4:1 8:16 4:0 8:0 pad:32 data:64", NULL, false},
    {ONE "S:100000 4:1 8:16 4:0 8:0 pad:32 data:64", NULL, false},
    {TWO GGUF_TENSOR("a", "4:1 8:8", "0", "0") GGUF_TENSOR("b", "4:1 8:8", "0", "32") "pad:32 data:64", NULL, false},
    {TWO GGUF_TENSOR("a", "4:1 8:8", "0", "0") GGUF_TENSOR("a", "4:1 8:8", "0", "32") "pad:32 data:64",
     "tensor \"a\" stands twice in the file", false},
    {TWO "S:64 4:1 8:8 4:0 8:0 S:64 4:1 8:8 4:0 8:32 pad:32 data:64", "stands twice in the file", false},
    {TWO "S:63 4:1 8:8 4:0 8:0 S:64 4:1 8:8 4:0 8:32 pad:32 data:64", NULL, false},
    /* Dimensions. */
    {T("4:4 8:2 8:2 8:2 8:2", "0", "0") "data:64", NULL, false},
    {T("4:0", "0", "0") "data:64", "tensor \"t\": 0 dimensions at byte 33, 1 to 4 may be", false},
    {T("4:5 8:2 8:2 8:2 8:2 8:1", "0", "0") "data:64", "5 dimensions at byte 33, 1 to 4 may be", false},
    {T("4:-1 8:16", "0", "0") "data:64", "4294967295 dimensions", false},
    {T("4:0x7fffffff 8:16", "0", "0") "data:64", "2147483647 dimensions", false},
    {T("4:0x80000000 8:16", "0", "0") "data:64", "2147483648 dimensions", false},
    {T("4:0x40000001 8:16", "0", "0") "data:64", "1073741825 dimensions", false}, /* * 4 wraps to 4 */
    {T("4:1 8:0", "0", "0") "data:64", "tensor \"t\": a dimension of 0 at byte 37", false},
    {T("4:2 8:16 8:0", "0", "0") "data:64", "a dimension of 0 at byte 45", false},
    {T("4:2 8:0 8:0x4000000000000000", "0", "0") "data:64", "a dimension of 0 at byte 37", false},
    {T("4:1 8:-1", "0", "0") "data:64", "tensor \"t\": a shape that no memory could hold", false},
    {T("4:1 8:0x7fffffffffffffff", "0", "0") "data:64", "no memory could hold", false},
    {T("4:1 8:0x8000000000000000", "0", "0") "data:64", "no memory could hold", false},
    {T("4:1 8:0x4000000000000000", "0", "0") "data:64", "no memory could hold", false},      /* * 4 wraps to 0 */
    {T("4:1 8:0x4000000000000010", "0", "0") "data:64", "no memory could hold", false},      /* * 4 wraps to 64 */
    {T("4:2 8:32 8:0x800000000000000", "0", "0") "data:64", "no memory could hold", false},  /* loads as 0 elsewhere */
    {T("4:2 8:0x100000000 8:0x100000000", "0", "0") "data:64", "no memory could hold", false},
    {T("4:2 8:0x100000000 8:0x100000010", "24", "0") "data:64", "no memory could hold", false},
    {T("4:4 8:65536 8:65536 8:65536 8:65536", "24", "0") "data:64", "no memory could hold", false},
    {T("4:3 8:3 8:0x5555555555555556 8:8", "24", "0") "data:64", "no memory could hold", false}, /* 3 * it wraps to 2 */
    {T("4:1 8:0x2000000000000000", "28", "0") "data:64", "no memory could hold", false},
    {T("4:1 8:0x7fffffffffffffff", "24", "0") "data:64", "9223372036854775807 bytes at 0 behind byte 64 reach", false},
    {T("4:1 8:64", "24", "0") "data:64", NULL, false},
    {T("4:2 8:-1 8:-1", "24", "0") "data:64", "no memory could hold", false}, /* (-1) * (-1) */
    {ONE "S:13 4:2 8:16", "ends within a dimension that begins at byte 57", false},
    {ONE "S:8 4:1 8:16 4:0 4:0 x:00", "ends within the offset of a tensor", false},
    {GGUF_HEAD("1", "0") "s:tttttttttttt 4:1 8:16 2:0", "ends within the type of a tensor", false},
    /* Types. */
    {T("4:1 8:32", "1", "0") "data:64", NULL, false},
    {T("4:1 8:32", "42", "0") "data:64", "tensor \"t\": tensor type 42 at byte 45 does not exist", false},
    {T("4:1 8:32", "256", "0") "data:64", "tensor type 256 ", false},
    {T("4:1 8:32", "-1", "0") "data:64", "tensor type 4294967295 ", false},
    {T("4:1 8:32", "0x7fffffff", "0") "data:64", "tensor type 2147483647 ", false},
    {T("4:1 8:32", "0x80000000", "0") "data:64", "tensor type 2147483648 ", false},
    {T("4:1 8:32", "0x40000001", "0") "data:64", "tensor type 1073741825 ", false},
    {T("4:1 8:32", "16", "0") "data:64", "type IQ2_XXS at byte 45 cannot be read; take the file in another", true},
    {T("4:1 8:32", "4", "0") "data:64", "type Q4_2 at byte 45 cannot be read", true},
    /* Blocks. */
    {T("4:1 8:64", "2", "0") "data:36", NULL, false},
    {T("4:1 8:63", "2", "0") "data:36",
     "tensor \"t\": rows of 63 elements, of type q4_0 they come in blocks of 32", false},
    {T("4:2 8:16 8:4", "2", "0") "data:36", "rows of 16 elements, of type q4_0", false},
    {T("4:2 8:2 8:32", "8", "0") "data:68", "rows of 2 elements, of type q8_0 they come in blocks of 32", false},
    {T("4:2 8:32 8:2", "8", "0") "data:68", NULL, false},
    {T("4:1 8:128", "12", "0") "data:144", "rows of 128 elements, of type q4_k they come in blocks of 256", false},
    {T("4:1 8:256", "12", "0") "data:144", NULL, false},
    {T("4:1 8:0x8000000000000000", "2", "0") "data:36", "no memory could hold", false},
    {T("4:1 8:0x8000000000000000", "35", "0") "data:66", "no memory could hold", false},
    {T("4:2 8:0x4000000000000000 8:4", "2", "0") "data:36", "no memory could hold", false},
    {T("4:1 8:0x1c71c71c71c71c80", "2", "0") "data:36", "reach beyond the end", false},
    {T("4:1 8:64", "2", "0") "data:35", "36 bytes at 0 behind byte 64 reach beyond the end of the file", false},
    /* Offsets. */
    {T("4:1 8:16", "0", "0") "data:63", "64 bytes at 0 behind byte 64 reach beyond the end of the file", false},
    {T("4:1 8:16", "0", "0"), "reach beyond the end", false},
    {ONE "s:t 4:1 8:16 4:0 8:0", "reach beyond the end", false},
    {T("4:1 8:16", "0", "32") "data:64", "64 bytes at 32 behind byte 64 reach beyond the end", false},
    {T("4:1 8:16", "0", "64") "data:64", "64 bytes at 64 behind", false},
    {T("4:1 8:16", "0", "96") "data:64", "64 bytes at 96 behind", false},
    {T("4:1 8:16", "0", "1") "data:96", "tensor \"t\": its offset 1 is no multiple of the alignment 32", false},
    {T("4:1 8:16", "0", "4") "data:96", "its offset 4 is no multiple", false},
    {T("4:1 8:16", "0", "-1") "data:64", "its offset 18446744073709551615 is no multiple", false},
    {T("4:1 8:16", "0", "-32") "data:64", "64 bytes at 18446744073709551584 behind byte 64 reach", false},
    {T("4:1 8:16", "0", "-64") "data:64", "reach beyond the end", false}, /* + 64 wraps to 0 */
    {T("4:1 8:16", "0", "0x7fffffffffffffff") "data:64", "is no multiple", false},
    {T("4:1 8:16", "0", "0x7fffffffffffffe0") "data:64", "reach beyond the end", false},
    {T("4:1 8:16", "0", "0x8000000000000000") "data:64", "reach beyond the end", false},
    {T("4:1 8:16", "0", "0x100000000") "data:64", "reach beyond the end", false},
    {T("4:1 8:16", "0", "32") "data:96",
     "tensor \"t\": its data begins at 32, the one before ends with its padding at 0", false},
    {T("4:1 8:16", "0", "0") "data:96", "32 bytes behind the last tensor, at byte 128", false},
    {T("4:1 8:16", "0", "0") "data:65", "1 bytes behind the last tensor", false},
    {T("4:1 8:15", "0", "0") "data:60", NULL, false},
    {T("4:1 8:15", "0", "0") "data:62", NULL, false}, /* some of the padding */
    {T("4:1 8:15", "0", "0") "data:64", NULL, false},
    {T("4:1 8:15", "0", "0") "data:65", "1 bytes behind the last tensor, at byte 128", false},
    /* Where two tensors lie. */
    {TWO GGUF_TENSOR("a", "4:1 8:9", "0", "0") GGUF_TENSOR("b", "4:1 8:8", "0", "64") "pad:32 data:96", NULL, false},
    {TWO GGUF_TENSOR("a", "4:1 8:8", "0", "64") GGUF_TENSOR("b", "4:1 8:9", "0", "0") "pad:32 data:96", NULL, false},
    {TWO GGUF_TENSOR("a", "4:1 8:9", "0", "0") GGUF_TENSOR("b", "4:1 8:8", "0", "0") "pad:32 data:96",
     "its data begins at 0, the one before ends", false},
    {TWO GGUF_TENSOR("a", "4:1 8:9", "0", "0") GGUF_TENSOR("b", "4:1 8:8", "0", "32") "pad:32 data:96",
     "tensor \"b\": its data begins at 32, the one before ends with its padding at 64", false},
    {TWO GGUF_TENSOR("a", "4:1 8:9", "0", "0") GGUF_TENSOR("b", "4:1 8:8", "0", "96") "pad:32 data:128",
     "tensor \"b\": its data begins at 96, the one before ends with its padding at 64", false},
    {TWO GGUF_TENSOR("a", "4:1 8:24", "0", "0") GGUF_TENSOR("b", "4:1 8:8", "0", "32") "pad:32 data:96",
     "its data begins at 32", false}, /* b within a */
    {TWO GGUF_TENSOR("a", "4:1 8:8", "0", "32") GGUF_TENSOR("b", "4:1 8:8", "0", "32") "pad:32 data:64",
     "its data begins at 32, the one before ends with its padding at 0", false},
    /* The alignment. */
    {ALIGNED("4", "4:32") "pad:32 data:64", NULL, false},
    {ALIGNED("4", "4:64") "pad:64 data:64", NULL, false},
    {ALIGNED("4", "4:8") "pad:8 data:64", NULL, false},
    {ALIGNED("4", "4:1") "data:64", NULL, false},
    {ALIGNED("4", "4:0") "pad:32 data:64", "key \"general.alignment\" is 0, no power of two of type uint32", false},
    {ALIGNED("4", "4:3") "pad:32 data:64", "key \"general.alignment\" is 3", false},
    {ALIGNED("4", "4:33") "pad:32 data:64", "is 33", false},
    {ALIGNED("4", "4:-1") "pad:32 data:64", "is 4294967295", false}, /* + padding wraps */
    {ALIGNED("4", "4:0xfffffffe") "pad:32 data:64", "is 4294967294", false},
    {ALIGNED("4", "4:0x7fffffff") "pad:32 data:64", "is 2147483647", false},
    {ALIGNED("4", "4:0x80000000") "pad:32 data:64", "64 bytes at 0 behind byte 160 reach beyond the end", false},
    {ALIGNED("10", "8:32") "pad:32 data:64", "is 32, no power of two of type uint32", false},
    {ALIGNED("10", "8:0x8000000000000000") "pad:32 data:64", "is 9223372036854775808", false},
    {ALIGNED("5", "4:32") "pad:32 data:64", "is 32, no power of two of type uint32", false},
    {ALIGNED("5", "4:-32") "pad:32 data:64", "is -32", false},
    {ALIGNED("2", "2:32") "pad:32 data:64", "of type uint32", false},
    {ALIGNED("6", "f:32") "pad:32 data:64", "is 32, no power of two of type uint32", false},
    {ALIGNED("7", "1:1") "pad:32 data:64", "is true, no power of two", false},
    {ALIGNED("8", "s:32") "pad:32 data:64", "is 32, no power of two of type uint32", false},
    {ALIGNED("9", "4:4 8:1 4:32") "pad:32 data:64", "is [1 uint32], no power of two", false},
    {GGUF_HEAD("0", "1") "s:general.alignment 4:4 4:0x80000000", NULL, false}, /* no tensors, no data */
};

static void test_hostile(void **state) {
    assert_in_range(check_gguf_cases(&mem, cases, sizeof cases / sizeof *cases), 100, 1000);
}

static void test_truncation(void **state) {
    struct gguf_text text = {0};
    gguf_text_append(&text, WHOLE);
    for (size_t n = 0; n < text.file.n; n++) {
        struct byte_buffer cut = {.data = text.file.data, .n = n};
        if (try_parse(&mem, &cut, NULL) == UTTER_OK) {
            fail_msg("%zu of %zu bytes were accepted", n, text.file.n);
        }
    }
    assert_int_equal(try_parse(&mem, &text.file, NULL), UTTER_OK);
    gguf_text_free(&text);
}

static bool same_tensors(const struct ut_weights *a, const struct ut_weights *b, const uint8_t *a_file,
                         const uint8_t *b_file) {
    bool same = ut_weights_count(a) == ut_weights_count(b);
    for (size_t i = 0; same && i < ut_weights_count(a); i++) {
        const struct ut_tensor *x = ut_weights_at(a, i), *y = ut_weights_at(b, i);
        same = strcmp(x->name, y->name) == 0 && x->type == y->type && memcmp(x->dims, y->dims, sizeof x->dims) == 0 &&
               (const uint8_t *)x->data - a_file == (const uint8_t *)y->data - b_file;
    }
    return same;
}

/* Each integer, the lengths of strings too, replaced by the values that break size computations: the
 * file is refused, or its tensors are what they were. */
static void test_replaced_integers(void **state) {
    struct gguf_text text = {0};
    gguf_text_append(&text, WHOLE);
    struct parsed whole = parse_copy(&mem, text.file.data, text.file.n);
    size_t n_tried = 0, n_refused = 0;
    for (size_t i = 0; i < text.n_integers; i++) {
        size_t at = text.integers[i].at, n_bytes = text.integers[i].n_bytes;
        uint64_t sign = (uint64_t)1 << (8 * n_bytes - 1), before;
        const uint64_t values[] = {0, 1, UINT64_MAX, sign - 1, sign, sign >> 1, sign | 1};
        memcpy(&before, text.file.data + at, n_bytes);
        for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
            memcpy(text.file.data + at, &values[v], n_bytes);
            struct parsed p = parse_copy(&mem, text.file.data, text.file.n);
            if (p.weights) {
                use_weights(p.weights);
                if (!same_tensors(whole.weights, p.weights, whole.copy, p.copy)) {
                    fail_msg("the integer at byte %zu became %llu unnoticed", at, (unsigned long long)values[v]);
                }
            }
            n_tried++;
            n_refused += p.status != UTTER_OK;
            drop_parsed(&p);
        }
        memcpy(text.file.data + at, &before, n_bytes);
    }
    assert_int_equal(n_tried, 41 * 7);
    assert_in_range(n_refused, n_tried - 30, n_tried - 1); /* a few are what stood there, some are values */
    drop_parsed(&whole);
    gguf_text_free(&text);
}

static void test_many_tensors(void **state) {
    enum { N = 100000 };
    struct gguf_text text = {0};
    gguf_text_append(&text, GGUF_HEAD("100000", "0"));
    for (uint32_t i = 0; i < N; i++) {
        char words[80];
        uint32_t k = i * 7919u % N;
        snprintf(words, sizeof words, "s:t%u 4:1 8:4 4:24 8:%u", (unsigned)k, (unsigned)k * 32);
        gguf_text_append(&text, words);
    }
    gguf_text_append(&text, "pad:32");
    memset(byte_buffer_insert(&text.file, text.file.n, 32 * N), 7, 32 * N);
    struct parsed p = parse_copy(&mem, text.file.data, text.file.n);
    assert_int_equal(p.status, UTTER_OK);
    assert_int_equal(ut_weights_count(p.weights), N);
    assert_non_null(ut_weights_find(p.weights, "t99999"));
    assert_true(atomic_load(&mem.peak_bytes) <= 4 * text.file.n + (16 << 20));
    drop_parsed(&p);
    gguf_text_free(&text);
}

/* Six million keys of one byte each in 84 MB would need more than 4 bytes for each byte of file. */
static void test_memory_limit(void **state) {
    enum { N = 6000000 };
    static const uint8_t entry[] = {1, 0, 0, 0, 0, 0, 0, 0, 'k', 0, 0, 0, 0, 5}; /* all the same: judged later */
    struct gguf_text text = {0};
    gguf_text_append(&text, GGUF_HEAD("0", "6000000"));
    uint8_t *to = byte_buffer_insert(&text.file, text.file.n, N * sizeof entry);
    for (size_t i = 0; i < N; i++) {
        memcpy(to + i * sizeof entry, entry, sizeof entry);
    }
    assert_int_equal(try_parse(&mem, &text.file, "describes more than its size allows"), UTTER_ERROR_FORMAT);
    assert_true(atomic_load(&mem.peak_bytes) <= 4 * text.file.n + (16 << 20) + 65536);
    gguf_text_free(&text);
}

static void test_failing_allocations(void **state) {
    struct gguf_text text = {0};
    gguf_text_append(&text, WHOLE);
    struct sweep sweep;
    for (int persistent = 0; persistent < 2; persistent++) {
        for (sweep_start(&sweep, &mem, persistent); sweep_next(&sweep);) {
            struct parsed p = parse_copy(&mem, text.file.data, text.file.n);
            utter_status status = p.status;
            drop_parsed(&p);
            sweep_check(&sweep, status);
        }
        assert_in_range(sweep.n_injected, 2, 100);
    }
    gguf_text_free(&text);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_whole_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_package, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tensor_types, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hostile, setup, teardown),
        cmocka_unit_test_setup_teardown(test_truncation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_replaced_integers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_tensors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_memory_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failing_allocations, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
