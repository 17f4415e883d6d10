/* safetensors files: every rule of the format with a file that breaks it and one that does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/sweep.h"
#include "weights_check.h"

static struct ut_mem mem;

static int setup(void **state) {
    ut_mem_init(&mem, NULL);
    return 0;
}

static int teardown(void **state) {
    return atomic_load(&mem.bytes[UT_MEM_WEIGHTS]) + atomic_load(&mem.bytes[UT_MEM_OTHER]) != 0;
}

/* Length, header, then n_data bytes 1, 2, 3, ... */
static struct byte_buffer build_n(const char *header, size_t n_header, size_t n_data) {
    struct byte_buffer file = {0};
    uint64_t length = n_header;
    byte_buffer_append(&file, &length, sizeof length);
    byte_buffer_append(&file, header, n_header);
    for (size_t i = 1; i <= n_data; i++) {
        byte_buffer_append_u8(&file, (uint8_t)i);
    }
    return file;
}

static struct byte_buffer build(const char *header, size_t n_data) {
    return build_n(header, strlen(header), n_data);
}

static const char whole_header[] =
    "{\"__metadata__\":{\"format\":\"pt\",\"note\":\"\"},"
    "\"b.weight\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[4,12]},"
    "\"a\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,4]},"
    "\"scalar\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[12,20]},"
    "\"none\":{\"dtype\":\"U8\",\"shape\":[3,0],\"data_offsets\":[12,12]}}  ";
enum { WHOLE_DATA = 20 };

static void test_whole_file(void **state) {
    struct byte_buffer file = build(whole_header, WHOLE_DATA);
    struct parsed p = parse_copy(&mem, file.data, file.n);
    if (p.status) {
        fail_msg("%s", p.err.message);
    }
    assert_int_equal(ut_weights_format(p.weights), UT_FORMAT_SAFETENSORS);
    assert_null(ut_weights_onnx(p.weights));
    assert_int_equal(ut_weights_count(p.weights), 4);
    static const char *const names[] = {"b.weight", "a", "scalar", "none"}; /* in the order of the header */
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(ut_weights_at(p.weights, i)->name, names[i]);
    }
    const struct ut_tensor *b = ut_weights_find(p.weights, "b.weight");
    assert_true(b->type == UT_F32 && b->n_dims == 2 && b->dims[0] == 1 && b->dims[1] == 2 && b->dims[2] == 1);
    assert_memory_equal(b->data, "\x05\x06\x07\x08\x09\x0A\x0B\x0C", 8);
    const struct ut_tensor *scalar = ut_weights_find(p.weights, "scalar");
    assert_true(scalar->type == UT_I64 && scalar->n_dims == 0 && ut_tensor_n_elements(scalar) == 1);
    const struct ut_tensor *none = ut_weights_find(p.weights, "none");
    assert_true(none->n_dims == 2 && none->dims[0] == 3 && none->dims[1] == 0 && none->n_bytes == 0);
    assert_null(ut_weights_find(p.weights, "__metadata__"));

    const char *key, *value;
    assert_int_equal(ut_weights_n_metadata(p.weights), 2);
    ut_weights_metadata(p.weights, 0, &key, &value);
    assert_string_equal(key, "format");
    assert_string_equal(value, "pt");
    use_weights(p.weights);
    drop_parsed(&p);
    byte_buffer_free(&file);
}

static void test_dtypes(void **state) {
    static const struct {
        const char *name;
        int type;
        size_t size;
        utter_status status;
    } cases[] = {
        {"F32", UT_F32, 4, 0}, {"F16", UT_F16, 2, 0}, {"BF16", UT_BF16, 2, 0}, {"F64", UT_F64, 8, 0},
        {"I8", UT_I8, 1, 0}, {"U8", UT_U8, 1, 0}, {"I16", UT_I16, 2, 0}, {"U16", UT_U16, 2, 0},
        {"I32", UT_I32, 4, 0}, {"U32", UT_U32, 4, 0}, {"I64", UT_I64, 8, 0}, {"U64", UT_U64, 8, 0},
        {"BOOL", UT_BOOL, 1, 0},
        {"F8_E4M3", -1, 1, UTTER_ERROR_UNSUPPORTED}, {"F8_E5M2", -1, 1, UTTER_ERROR_UNSUPPORTED},
        {"F8_E8M0", -1, 1, UTTER_ERROR_UNSUPPORTED}, {"C64", -1, 8, UTTER_ERROR_UNSUPPORTED},
        {"F4", -1, 1, UTTER_ERROR_UNSUPPORTED}, {"F6_E2M3", -1, 1, UTTER_ERROR_UNSUPPORTED},
        {"F33", -1, 4, UTTER_ERROR_FORMAT}, {"f32", -1, 4, UTTER_ERROR_FORMAT}, {"", -1, 4, UTTER_ERROR_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char header[200];
        snprintf(header, sizeof header, "{\"t\":{\"dtype\":\"%s\",\"shape\":[3],\"data_offsets\":[0,%zu]}}",
                 cases[i].name, 3 * cases[i].size);
        struct byte_buffer file = build(header, 3 * cases[i].size);
        struct parsed p = parse_copy(&mem, file.data, file.n);
        assert_int_equal(p.status, cases[i].status);
        if (p.weights) {
            assert_int_equal(ut_weights_at(p.weights, 0)->type, cases[i].type);
        } else {
            assert_non_null(strstr(p.err.message, "tensor \"t\": dtype"));
        }
        drop_parsed(&p);
        byte_buffer_free(&file);
    }
}

#define T(shape, offsets) "{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

/* Behind each group of broken headers the whole one that it was made of. */
static void test_headers(void **state) {
    static const struct {
        const char *header;
        size_t n_data;
        const char *message; /* NULL: whole */
    } cases[] = {
        {"{}", 0, NULL},
        {"{}", 1, "1 bytes behind the last tensor, at byte 10"},
        {"{\"__metadata__\":{}}", 0, NULL},
        {"{\"__metadata__\":[]}", 0, "no object"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "__metadata__: \"a\" is no plain string at byte 29"},
        {"{\"__metadata__\":{\"a\":null}}", 0, "is no plain string"},
        {"{\"__metadata__\":{\"a\":{}}}", 0, "is no plain string"},
        {"{\"__metadata__\":{\"a\":\"x\\u0000y\"}}", 0, "is no plain string"},
        {"{\"__metadata__\":{\"a\":\"x\",\"\\u0061\":\"y\"}}", 0, "key \"a\" stands twice"},
        /* Names. */
        {"{\"t\":" T("[1]", "[0,4]") "}", 4, NULL},
        {"{\"a\\u002eb\":" T("[1]", "[0,4]") "}", 4, NULL},
        {"{\"t\":" T("[1]", "[0,4]") ",\"t\":" T("[1]", "[4,8]") "}", 8, "key \"t\" stands twice"},
        {"{\"a.b\":" T("[1]", "[0,4]") ",\"a\\u002eb\":" T("[1]", "[4,8]") "}", 8, "key \"a.b\" stands twice"},
        {"{\"t\\u0000\":" T("[1]", "[0,4]") "}", 4, "NUL"},
        {"{\"t\":{\"dtype\":\"F32\",\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "stands twice"},
        /* The header as JSON. */
        {"{\"t\":" T("[1]", "[0,4]") "}   \n", 4, NULL},
        {"{\"t\":" T("[1]", "[0,4]") "} x", 4, "unexpected bytes behind the value"},
        {"{\"t\":" T("[1]", "[0,4]"), 4, "header from byte 8: JSON: expected ',' or '}'"},
        {"{\"t\xFF\":" T("[1]", "[0,4]") "}", 4, "invalid UTF-8"},
        {"{ \"t\":5}", 0, "its description is no object at byte 14"},
        {"{\"t\":{}}", 0, "no dtype"},
        {"{\"t\":{\"dtype\":5,\"shape\":[],\"data_offsets\":[0,4]}}", 4, "no dtype"},
        {"{\"t\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "no shape"},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "data_offsets are not"},
        /* Shapes. */
        {"{\"t\":" T("5", "[0,4]") "}", 4, "no shape"},
        {"{\"t\":" T("{}", "[0,4]") "}", 4, "no shape"},
        {"{\"t\":" T("[-1]", "[0,4]") "}", 4, "a dimension that is no size"},
        {"{\"t\":" T("[1.0]", "[0,4]") "}", 4, "a dimension that is no size"},
        {"{\"t\":" T("[1e0]", "[0,4]") "}", 4, "a dimension that is no size"},
        {"{\"t\":" T("[\"1\"]", "[0,4]") "}", 4, "a dimension that is no size"},
        {"{\"t\":" T("[[1]]", "[0,4]") "}", 4, "a dimension that is no size"},
        {"{\"t\":" T("[9223372036854775808]", "[0,4]") "}", 4, "a dimension that is no size"},
        {"{\"t\":" T("[9223372036854775807]", "[0,4]") "}", 4, "no memory could hold"},
        {"{\"t\":" T("[4611686018427387904]", "[0,0]") "}", 0, "no memory could hold"}, /* * 4 wraps to 0 */
        {"{\"t\":" T("[4294967296,4294967296]", "[0,0]") "}", 0, "no memory could hold"},
        {"{\"t\":" T("[0,4294967296,4294967296]", "[0,0]") "}", 0, "no memory could hold"},
        {"{\"t\":" T("[0,4294967296]", "[0,0]") "}", 0, NULL},
        {"{\"t\":" T("[1,1,1,1,1]", "[0,4]") "}", 4, "more than 4 dimensions"},
        {"{\"t\":" T("[1,1,1,1]", "[0,4]") "}", 4, NULL},
        /* Offsets. */
        {"{\"t\":" T("[1]", "[4,0]") "}", 4, "not two ordered sizes"},
        {"{\"t\":" T("[1]", "[0]") "}", 4, "not two ordered sizes"},
        {"{\"t\":" T("[1]", "[0,4,8]") "}", 4, "not two ordered sizes"},
        {"{\"t\":" T("[1]", "[]") "}", 4, "not two ordered sizes"},
        {"{\"t\":" T("[1]", "4") "}", 4, "not two ordered sizes"},
        {"{\"t\":" T("[1]", "{\"a\":0,\"b\":4}") "}", 4, "not two ordered sizes"},
        {"{\"t\":" T("[1]", "[-4,0]") "}", 4, "not two ordered sizes"},
        {"{\"t\":" T("[1]", "[0,4.0]") "}", 4, "not two ordered sizes"},
        {"{\"t\":" T("[1]", "[0,18446744073709551620]") "}", 4, "not two ordered sizes"},
        {"{\"t\":" T("[1]", "[9223372036854775803,9223372036854775807]") "}", 4, "data beyond the end"},
        {"{\"t\":" T("[2]", "[0,8]") "}", 4, "data beyond the end of the file at byte 13"},
        {"{\"t\":" T("[1]", "[0,3]") "}", 3, "3 bytes of data at byte 13, the shape has 4"},
        {"{\"t\":" T("[2]", "[0,4]") "}", 4, "the shape has 8"},
        {"{\"t\":" T("[1]", "[0,4]") "}", 5, "1 bytes behind the last tensor"},
        {"{\"t\":" T("[1]", "[1,5]") "}", 5, "its data begins at 1, the one before ends at 0"},
        {"{\"a\":" T("[1]", "[0,4]") ",\"b\":" T("[1]", "[4,8]") "}", 8, NULL},
        {"{\"a\":" T("[1]", "[0,4]") ",\"b\":" T("[1]", "[0,4]") "}", 4, "begins at 0, the one before ends at 4"},
        {"{\"a\":" T("[1]", "[0,4]") ",\"b\":" T("[1]", "[3,7]") "}", 7, "begins at 3, the one before ends at 4"},
        {"{\"a\":" T("[1]", "[0,4]") ",\"b\":" T("[1]", "[5,9]") "}", 9, "begins at 5, the one before ends at 4"},
        {"{\"a\":" T("[2]", "[0,8]") ",\"b\":" T("[1]", "[4,8]") "}", 8, "begins at 4, the one before ends at 8"},
        {"{\"a\":" T("[2]", "[0,8]") ",\"b\":" T("[0]", "[4,4]") "}", 8, "begins at 4, the one before ends at 8"},
        {"{\"a\":" T("[2]", "[0,8]") ",\"b\":" T("[0]", "[8,8]") "}", 8, NULL},
        {"{\"a\":" T("[2]", "[0,8]") ",\"b\":" T("[0]", "[0,0]") "}", 8, NULL},
        /* What other writers add is not judged. */
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"extra\":[{}]}}", 4, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct byte_buffer file = build(cases[i].header, cases[i].n_data);
        utter_status status = try_parse(&mem, &file, cases[i].message);
        bool unsupported = cases[i].message && strstr(cases[i].message, "dimensions");
        if (status != (!cases[i].message ? UTTER_OK : unsupported ? UTTER_ERROR_UNSUPPORTED : UTTER_ERROR_FORMAT)) {
            fail_msg("case %zu: %s: %s", i, cases[i].header, utter_status_name(status));
        }
        byte_buffer_free(&file);
    }
}

/* The eight bytes in front of the header. */
static void test_header_length(void **state) {
    static const struct {
        uint64_t length;
        const char *message;
    } cases[] = {
        {0, "expected a value"}, {1, "expected a key"}, {100000001, "100000001 bytes at byte 0"},
        {UINT64_MAX, "18446744073709551615 bytes at byte 0"}, {INT64_MAX, "at byte 0"},
        {(uint64_t)INT64_MAX + 1, "at byte 0"}, {UINT64_MAX - 7, "at byte 0"}, {100000000, "at byte 0"},
    };
    struct byte_buffer file = build(whole_header, WHOLE_DATA);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memcpy(file.data, &cases[i].length, 8);
        assert_int_equal(try_parse(&mem, &file, cases[i].message), UTTER_ERROR_FORMAT);
    }
    for (int change = -1; change <= 1; change += 2) { /* the last byte of the header, the first of the data */
        uint64_t length = sizeof whole_header - 1 + (uint64_t)(int64_t)change;
        memcpy(file.data, &length, 8);
        assert_int_equal(try_parse(&mem, &file, NULL), UTTER_ERROR_FORMAT);
    }
    byte_buffer_free(&file);

    /* A header that is as long as it says, but longer than what is read. */
    size_t n = 100000001;
    char *header = test_alloc(n);
    memset(header, ' ', n);
    memcpy(header, "{}", 2);
    file = build_n(header, n, 0);
    assert_int_equal(try_parse(&mem, &file, "100000000 is the most"), UTTER_ERROR_FORMAT);
    byte_buffer_free(&file);
    file = build_n(header, n - 1, 0);
    assert_int_equal(try_parse(&mem, &file, NULL), UTTER_OK);
    byte_buffer_free(&file);
    free(header);
}

static void test_nesting(void **state) {
    enum { DEPTH = 10000 };
    struct byte_buffer header = {0};
    byte_buffer_printf(&header, "{\"t\":");
    for (int i = 0; i < DEPTH; i++) {
        byte_buffer_printf(&header, "{\"a\":");
    }
    struct byte_buffer file = build_n((char *)header.data, header.n, 0);
    assert_int_equal(try_parse(&mem, &file, "more than 64 levels"), UTTER_ERROR_FORMAT);
    byte_buffer_free(&file);
    byte_buffer_free(&header);
}

static void test_truncation(void **state) {
    struct byte_buffer file = build(whole_header, WHOLE_DATA);
    for (size_t n = 0; n < file.n; n++) {
        struct byte_buffer cut = {.data = file.data, .n = n};
        if (try_parse(&mem, &cut, NULL) == UTTER_OK) {
            fail_msg("%zu of %zu bytes were accepted", n, file.n);
        }
    }
    assert_int_equal(try_parse(&mem, &file, NULL), UTTER_OK);
    byte_buffer_free(&file);
}

/* Each number in the header replaced by the values that break size computations. */
static void test_replaced_integers(void **state) {
    static const char *const values[] = {"0", "1", "-1", "9223372036854775807", "4611686018427387904",
                                         "18446744073709551615", "9223372036854775808", "2147483648"};
    size_t n_header = strlen(whole_header), n_rejected = 0, n_tried = 0;
    for (size_t at = 0; at < n_header; at++) {
        size_t n_digits = strspn(whole_header + at, "0123456789");
        bool is_number = n_digits > 0 && strchr("[,", whole_header[at - 1]);
        for (size_t v = 0; is_number && v < sizeof values / sizeof *values; v++) {
            char header[sizeof whole_header + 32];
            snprintf(header, sizeof header, "%.*s%s%s", (int)at, whole_header, values[v],
                     whole_header + at + n_digits);
            struct byte_buffer file = build(header, WHOLE_DATA);
            n_rejected += try_parse(&mem, &file, NULL) != UTTER_OK;
            n_tried++;
            byte_buffer_free(&file);
        }
    }
    assert_int_equal(n_tried, 13 * 8);
    assert_in_range(n_rejected, n_tried - 20, n_tried - 1); /* a few are what stood there before */
}

static void test_many_tensors(void **state) {
    enum { N = 100000 };
    struct byte_buffer header = {0};
    for (uint32_t i = 0; i < N; i++) {
        uint32_t k = (i * 7919u) % N;
        byte_buffer_printf(&header, "%c\"t%u\":" "{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%u,%u]}",
                           i ? ',' : '{', k, k, k + 1);
    }
    byte_buffer_printf(&header, "}");
    struct byte_buffer file = build_n((char *)header.data, header.n, N);
    atomic_store(&mem.peak_bytes, 0);
    struct parsed p = parse_copy(&mem, file.data, file.n);
    assert_int_equal(p.status, UTTER_OK);
    assert_int_equal(ut_weights_count(p.weights), N);
    assert_int_equal(*(const uint8_t *)ut_weights_find(p.weights, "t300")->data, 301 % 256);
    assert_true(atomic_load(&mem.peak_bytes) <= 4 * file.n + (16 << 20));
    drop_parsed(&p);
    byte_buffer_free(&file);
    byte_buffer_free(&header);
}

/* Metadata costs most per byte of file. */
static void test_memory_limit(void **state) {
    struct byte_buffer header = {0};
    for (uint32_t i = 0; i < 1500000; i++) {
        byte_buffer_printf(&header, "%s\"%u\":\"\"", i ? "," : "{\"__metadata__\":{", i);
    }
    byte_buffer_printf(&header, "}}");
    struct byte_buffer file = build_n((char *)header.data, header.n, 0);
    atomic_store(&mem.peak_bytes, 0);
    assert_int_equal(try_parse(&mem, &file, "describes more than its size allows"), UTTER_ERROR_FORMAT);
    assert_true(atomic_load(&mem.peak_bytes) <= 4 * file.n + (16 << 20) + 65536);
    byte_buffer_free(&file);
    byte_buffer_free(&header);
}

static void test_failing_allocations(void **state) {
    struct byte_buffer file = build(whole_header, WHOLE_DATA);
    struct sweep sweep;
    for (int persistent = 0; persistent < 2; persistent++) {
        for (sweep_start(&sweep, &mem, persistent); sweep_next(&sweep);) {
            struct parsed p = parse_copy(&mem, file.data, file.n);
            utter_status status = p.status;
            drop_parsed(&p);
            sweep_check(&sweep, status);
        }
        assert_in_range(sweep.n_injected, 2, 100);
    }
    byte_buffer_free(&file);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_whole_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dtypes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_headers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_header_length, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nesting, setup, teardown),
        cmocka_unit_test_setup_teardown(test_truncation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_replaced_integers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_tensors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_memory_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failing_allocations, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
