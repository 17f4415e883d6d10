/* TensorProto: every place and form in which exporters put data, and every lie about it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/onnx_writer.h"
#include "weights/onnx.h"
#include "weights_check.h"

static struct ut_mem mem;

static int setup(void **state) {
    ut_mem_init(&mem, NULL);
    return 0;
}

static int teardown(void **state) {
    return atomic_load(&mem.bytes[UT_MEM_WEIGHTS]) != 0;
}

/* A model with the tensor as its only initializer, or as the value of a Constant. */
static struct byte_buffer model_with(const struct onnx_tensor_spec *tensor, bool as_constant) {
    struct byte_buffer out = {0};
    onnx_write_model_header(&out, 8, NULL, NULL);
    size_t graph = pb_begin(&out, ONNX_MODEL_GRAPH);
    if (as_constant) {
        onnx_write_constant(&out, "/Constant", "c", tensor);
    } else {
        onnx_write_tensor(&out, ONNX_GRAPH_INITIALIZER, tensor);
    }
    pb_end(&out, graph);
    onnx_write_opset(&out, NULL, 15);
    return out;
}

#define DIMS(...) .dims = (const int64_t[]){__VA_ARGS__}, .n_dims = sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)
#define RAW(bytes) .raw = bytes, .n_raw = sizeof bytes - 1
#define EXTRA(bytes) .extra = {bytes, sizeof bytes - 1}
#define INT32S(...) .int32_data = (const int32_t[]){__VA_ARGS__}, \
    .n_int32_data = sizeof((int32_t[]){__VA_ARGS__}) / sizeof(int32_t)
#define INT64S(...) .int64_data = (const int64_t[]){__VA_ARGS__}, \
    .n_int64_data = sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)
#define FLOATS(...) .float_data = (const float[]){__VA_ARGS__}, \
    .n_float_data = sizeof((float[]){__VA_ARGS__}) / sizeof(float)

static void test_whole_tensors(void **state) {
    const struct {
        struct onnx_tensor_spec spec;
        enum ut_dtype type;
        int n_dims;
        uint64_t dims[4];
        const void *data;
        size_t n_bytes;
    } cases[] = {
        {{.data_type = ONNX_FLOAT, DIMS(1, 2), RAW("abcdefgh")}, UT_F32, 2, {1, 2, 1, 1}, "abcdefgh", 8},
        {{.data_type = ONNX_FLOAT, DIMS(2, 1, 1, 1), .packed_dims = true, RAW("abcdefgh")}, UT_F32, 4,
         {2, 1, 1, 1}, "abcdefgh", 8},
        {{.data_type = ONNX_FLOAT, RAW("abcd")}, UT_F32, 0, {1, 1, 1, 1}, "abcd", 4}, /* a scalar */
        {{.data_type = ONNX_FLOAT, DIMS(2), FLOATS(1.5f, -2)}, UT_F32, 1, {2, 1, 1, 1},
         (const float[]){1.5f, -2}, 8},
        /* float_data one by one, and in two packed runs */
        {{.data_type = ONNX_FLOAT, DIMS(2), EXTRA("\x25" "abcd\x25" "efgh")}, UT_F32, 1, {2, 1, 1, 1}, "abcdefgh", 8},
        {{.data_type = ONNX_FLOAT, DIMS(2), EXTRA("\x22\x04" "abcd\x22\x04" "efgh")}, UT_F32, 1, {2, 1, 1, 1},
         "abcdefgh", 8},
        {{.data_type = ONNX_DOUBLE, DIMS(1), EXTRA("\x52\x08" "abcdefgh")}, UT_F64, 1, {1, 1, 1, 1}, "abcdefgh", 8},
        {{.data_type = ONNX_DOUBLE, DIMS(1), EXTRA("\x51" "abcdefgh")}, UT_F64, 1, {1, 1, 1, 1}, "abcdefgh", 8},
        {{.data_type = ONNX_INT64, DIMS(3), INT64S(0, -1, INT64_MIN)}, UT_I64, 1, {3, 1, 1, 1},
         (const int64_t[]){0, -1, INT64_MIN}, 24},
        {{.data_type = ONNX_INT64, DIMS(2), EXTRA("\x38\x07\x38\x08")}, UT_I64, 1, {2, 1, 1, 1},
         (const int64_t[]){7, 8}, 16},
        {{.data_type = ONNX_INT32, DIMS(2), INT32S(-5, INT32_MAX)}, UT_I32, 1, {2, 1, 1, 1},
         (const int32_t[]){-5, INT32_MAX}, 8},
        {{.data_type = ONNX_INT8, DIMS(2), INT32S(-128, 127)}, UT_I8, 1, {2, 1, 1, 1}, "\x80\x7F", 2},
        {{.data_type = ONNX_UINT8, DIMS(2), INT32S(0, 255)}, UT_U8, 1, {2, 1, 1, 1}, "\x00\xFF", 2},
        {{.data_type = ONNX_INT16, DIMS(1), INT32S(-2)}, UT_I16, 1, {1, 1, 1, 1}, "\xFE\xFF", 2},
        {{.data_type = ONNX_UINT16, DIMS(1), INT32S(65534)}, UT_U16, 1, {1, 1, 1, 1}, "\xFE\xFF", 2},
        {{.data_type = ONNX_BOOL, DIMS(2), INT32S(0, 1)}, UT_BOOL, 1, {2, 1, 1, 1}, "\x00\x01", 2},
        {{.data_type = ONNX_FLOAT16, DIMS(1), INT32S(0xC000)}, UT_F16, 1, {1, 1, 1, 1}, "\x00\xC0", 2},
        {{.data_type = ONNX_BFLOAT16, DIMS(1), INT32S(0xBF80)}, UT_BF16, 1, {1, 1, 1, 1}, "\x80\xBF", 2},
        {{.data_type = ONNX_UINT32, DIMS(1), EXTRA("\x5A\x05\xFF\xFF\xFF\xFF\x0F")}, UT_U32, 1, {1, 1, 1, 1},
         "\xFF\xFF\xFF\xFF", 4},
        {{.data_type = ONNX_UINT64, DIMS(1), EXTRA("\x58\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01")}, UT_U64, 1,
         {1, 1, 1, 1}, "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 8},
        {{.data_type = ONNX_FLOAT16, DIMS(2), RAW("abcd")}, UT_F16, 1, {2, 1, 1, 1}, "abcd", 4},
    };
    for (size_t i = 0; i < 2 * (sizeof cases / sizeof *cases); i++) {
        struct onnx_tensor_spec spec = cases[i / 2].spec;
        spec.name = "w";
        struct byte_buffer file = model_with(&spec, i % 2);
        struct parsed p = parse_copy(&mem, file.data, file.n);
        if (p.status) {
            fail_msg("case %zu: %s", i / 2, p.err.message);
        }
        const struct ut_tensor *t = i % 2 ? ut_weights_onnx(p.weights)->nodes[0].attributes[0].tensor
                                          : ut_weights_find(p.weights, "w");
        assert_int_equal(t->type, cases[i / 2].type);
        assert_int_equal(t->n_dims, cases[i / 2].n_dims);
        assert_memory_equal(t->dims, cases[i / 2].dims, sizeof t->dims);
        assert_int_equal(t->n_bytes, cases[i / 2].n_bytes);
        assert_memory_equal(t->data, cases[i / 2].data, t->n_bytes);
        use_weights(p.weights);
        drop_parsed(&p);
        byte_buffer_free(&file);
    }
}

enum { BROKEN = UTTER_ERROR_FORMAT, UNREADABLE = UTTER_ERROR_UNSUPPORTED };

#define HUGE 0x4000000000000000 /* 2^62 */

static void test_broken_tensors(void **state) {
    const struct {
        struct onnx_tensor_spec spec;
        utter_status status;
        const char *message;
    } cases[] = {
        /* Sizes that do not agree. */
        {{.data_type = ONNX_FLOAT, DIMS(2), RAW("abcdefg")}, BROKEN, "7 bytes of data at byte"},
        {{.data_type = ONNX_FLOAT, DIMS(2), RAW("abcdefghi")}, BROKEN, "9 bytes of data at byte"},
        {{.data_type = ONNX_FLOAT, DIMS(2, 2), RAW("abcdefgh")}, BROKEN, "the shape has 16"},
        {{.data_type = ONNX_FLOAT16, DIMS(2), RAW("abcdefgh")}, BROKEN, "the shape has 4"},
        {{.data_type = ONNX_FLOAT, DIMS(2), FLOATS(1)}, BROKEN, "1 elements of data"},
        {{.data_type = ONNX_FLOAT, DIMS(2), FLOATS(1, 2, 3)}, BROKEN, "3 elements of data"},
        {{.data_type = ONNX_INT64, DIMS(2), INT64S(1)}, BROKEN, "1 elements of data"},
        {{.data_type = ONNX_INT64, DIMS(2), INT64S(1, 2, 3)}, BROKEN, "3 elements of data"},
        {{.data_type = ONNX_INT64, DIMS(1), EXTRA("\x3A\x02\x01\x80")}, BROKEN, "invalid number in the data"},
        {{.data_type = ONNX_FLOAT, RAW("")}, BROKEN, "0 bytes of data"},
        /* Shapes. */
        {{.data_type = ONNX_FLOAT, DIMS(-1), RAW("abcd")}, BROKEN, "negative dimension"},
        {{.data_type = ONNX_FLOAT, DIMS(INT64_MIN), RAW("abcd")}, BROKEN, "negative dimension"},
        {{.data_type = ONNX_FLOAT, DIMS(0), EXTRA("\x4A\x00")}, BROKEN, "a dimension of 0"},
        {{.data_type = ONNX_FLOAT, DIMS(1, 0, 1), EXTRA("\x4A\x00")}, BROKEN, "a dimension of 0"},
        {{.data_type = ONNX_FLOAT, DIMS(INT64_MAX), RAW("abcd")}, BROKEN, "no memory could hold"},
        {{.data_type = ONNX_FLOAT, DIMS(HUGE), RAW("abcd")}, BROKEN, "no memory could hold"},
        {{.data_type = ONNX_FLOAT, DIMS(32, (int64_t)1 << 59), RAW("abcd")}, BROKEN, "no memory could hold"},
        {{.data_type = ONNX_INT8, DIMS(HUGE, 4), RAW("")}, BROKEN, "no memory could hold"}, /* wraps to 0 */
        {{.data_type = ONNX_INT8, DIMS(1 << 16, 1 << 16, 1 << 16, 1 << 16), RAW("a")}, BROKEN,
         "no memory could hold"},
        {{.data_type = ONNX_INT8, DIMS(INT64_MAX, 2), RAW("a")}, BROKEN, "no memory could hold"},
        {{.data_type = ONNX_FLOAT, DIMS(INT32_MAX), RAW("abcd")}, BROKEN, "the shape has 8589934588"},
        {{.data_type = ONNX_FLOAT, DIMS(1, 1, 1, 1, 1), RAW("abcd")}, UNREADABLE, "5 dimensions"},
        {{.data_type = ONNX_FLOAT, RAW("abcd"), EXTRA("\x0A\x01\x80")}, BROKEN,
         "invalid number in the shape"},
        /* Types. */
        {{.data_type = 0, DIMS(1), RAW("abcd")}, UNREADABLE, "UNDEFINED data"},
        {{.data_type = ONNX_STRING, DIMS(1), RAW("abcd")}, UNREADABLE, "STRING data"},
        {{.data_type = 14, DIMS(1), RAW("abcdefgh")}, UNREADABLE, "COMPLEX64 data"},
        {{.data_type = 17, DIMS(1), RAW("a")}, UNREADABLE, "data type 17"},
        {{.data_type = -1, DIMS(1), RAW("a")}, UNREADABLE, "data type 18446744073709551615"},
        {{.data_type = INT64_MAX, DIMS(1), RAW("a")}, UNREADABLE, "data type 9223372036854775807"},
        {{.data_type = HUGE, DIMS(1), RAW("a")}, UNREADABLE, "data type 4611686018427387904"},
        {{.data_type = ONNX_FLOAT, DIMS(1), INT32S(1)}, BROKEN, "data of type FLOAT in field 5"},
        {{.data_type = ONNX_INT64, DIMS(1), INT32S(1)}, BROKEN, "data of type INT64 in field 5"},
        {{.data_type = ONNX_INT32, DIMS(1), INT64S(1)}, BROKEN, "data of type INT32 in field 7"},
        {{.data_type = ONNX_FLOAT16, DIMS(1), FLOATS(1)}, BROKEN, "data of type FLOAT16 in field 4"},
        /* Values beyond their type. */
        {{.data_type = ONNX_INT8, DIMS(1), INT32S(128)}, BROKEN, "outside the range of its type"},
        {{.data_type = ONNX_INT8, DIMS(1), INT32S(-129)}, BROKEN, "outside the range of its type"},
        {{.data_type = ONNX_UINT8, DIMS(1), INT32S(-1)}, BROKEN, "outside the range of its type"},
        {{.data_type = ONNX_BOOL, DIMS(1), INT32S(2)}, BROKEN, "outside the range of its type"},
        {{.data_type = ONNX_FLOAT16, DIMS(1), INT32S(65536)}, BROKEN, "outside the range of its type"},
        {{.data_type = ONNX_FLOAT16, DIMS(1), INT32S(-1)}, BROKEN, "outside the range of its type"},
        {{.data_type = ONNX_INT32, DIMS(1), EXTRA("\x2A\x05\x80\x80\x80\x80\x08")}, BROKEN,
         "outside the range of its type"}, /* 2^31 */
        {{.data_type = ONNX_UINT32, DIMS(1), EXTRA("\x58\x80\x80\x80\x80\x10")}, BROKEN,
         "outside the range of its type"}, /* 2^32 */
        /* Places. */
        {{.data_type = ONNX_FLOAT, DIMS(1), RAW("abcd"), FLOATS(1)}, BROKEN, "data in 2 places"},
        {{.data_type = ONNX_FLOAT, DIMS(1), RAW("abcd"), EXTRA("\x4A\x04" "abcd")}, BROKEN, "data in 2 places"},
        {{.data_type = ONNX_INT32, DIMS(1), INT32S(1), INT64S(1)}, BROKEN, "data in two fields"},
        {{.data_type = ONNX_FLOAT, DIMS(1)}, BROKEN, "data in 0 places"},
        {{.data_type = ONNX_FLOAT, DIMS(1), RAW("abcd"), EXTRA("\x70\x01")}, BROKEN, "contradictory location"},
        {{.data_type = ONNX_FLOAT, DIMS(1), RAW("abcd"), EXTRA("\x70\x02")}, BROKEN, "contradictory location"},
        {{.data_type = ONNX_FLOAT, DIMS(1), RAW("abcd"),
          EXTRA("\x70\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01")}, BROKEN, "contradictory location"},
        {{.data_type = ONNX_FLOAT, DIMS(1), RAW("abcd"), EXTRA("\x6A\x00")}, BROKEN, "contradictory location"},
        {{.data_type = ONNX_FLOAT, DIMS(1), RAW("abcd"), EXTRA("\x1A\x00")}, UNREADABLE, "segmented data"},
        {{.data_type = ONNX_FLOAT, DIMS(1),
          .external = (const struct onnx_external_entry[]){{"location", "x"}}, .n_external = 1},
         BROKEN, "not a file in a folder"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct onnx_tensor_spec spec = cases[i].spec;
        spec.name = "w";
        struct byte_buffer file = model_with(&spec, false);
        if (try_parse(&mem, &file, cases[i].message) != cases[i].status) {
            fail_msg("case %zu (%s)", i, cases[i].message);
        }
        byte_buffer_free(&file);
    }
}

/* Constants carry things that are no weights: they come without a tensor, but damage is damage. */
static void test_constants(void **state) {
    const struct {
        struct onnx_tensor_spec spec;
        utter_status status;
        bool has_tensor;
    } cases[] = {
        {{.data_type = ONNX_INT64, DIMS(1), INT64S(5)}, UTTER_OK, true},
        {{.data_type = ONNX_INT64, DIMS(0), EXTRA("\x4A\x00")}, UTTER_OK, false},
        {{.data_type = ONNX_STRING, DIMS(1), EXTRA("\x32\x01s")}, UTTER_OK, false},
        {{.data_type = ONNX_FLOAT, DIMS(1, 1, 1, 1, 1), RAW("abcd")}, UTTER_OK, false},
        {{.data_type = ONNX_FLOAT, DIMS(2), RAW("abcd")}, UTTER_ERROR_FORMAT, false},
        {{.data_type = ONNX_FLOAT, DIMS(-1), RAW("abcd")}, UTTER_ERROR_FORMAT, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct byte_buffer file = model_with(&cases[i].spec, true);
        struct parsed p = parse_copy(&mem, file.data, file.n);
        assert_int_equal(p.status, cases[i].status);
        if (p.weights) {
            const struct ut_onnx_node *node = &ut_weights_onnx(p.weights)->nodes[0];
            assert_int_equal(ut_onnx_attribute(node, "value")->tensor != NULL, cases[i].has_tensor);
        }
        drop_parsed(&p);
        byte_buffer_free(&file);
    }
}

/* int64_data turns one byte into eight: a file of ones must not cost eight times its size. */
static void test_expansion_limit(void **state) {
    enum { N = 8 << 20 };
    int64_t *ones = test_alloc(N * sizeof *ones);
    for (size_t i = 0; i < N; i++) {
        ones[i] = 1;
    }
    struct onnx_tensor_spec spec = {.name = "w", .data_type = ONNX_INT64, DIMS(N),
                                    .int64_data = ones, .n_int64_data = N};
    struct byte_buffer file = model_with(&spec, false);
    atomic_store(&mem.peak_bytes, 0);
    assert_int_equal(try_parse(&mem, &file, "describes more than its size allows"), UTTER_ERROR_FORMAT);
    assert_true(atomic_load(&mem.peak_bytes) <= 4 * file.n + (16 << 20));
    byte_buffer_free(&file);
    spec.dims = (const int64_t[]){N / 8};
    spec.n_int64_data = N / 8;
    file = model_with(&spec, false);
    assert_int_equal(try_parse(&mem, &file, NULL), UTTER_OK);
    byte_buffer_free(&file);
    free(ones);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_whole_tensors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_broken_tensors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_constants, setup, teardown),
        cmocka_unit_test_setup_teardown(test_expansion_limit, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
