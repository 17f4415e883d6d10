/* What an import does to tensors: which type each gets, rounding, values that cannot be written. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "models/model_writer.h"

static struct ut_mem mem;
static char path[64];

static int setup(void **state) {
    ut_mem_init(&mem, NULL);
    strcpy(path, "/tmp/utter-test-XXXXXX");
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state) {
    return unlink(path) != 0 || mem.bytes[UT_MEM_OTHER] != 0 ? -1 : 0;
}

static struct ut_tensor tensor_of(const char *name, enum ut_dtype type, uint64_t a, uint64_t b,
                                  const void *data) {
    return (struct ut_tensor){.name = name,
                              .type = type,
                              .n_dims = 2,
                              .dims = {a, b, 1, 1},
                              .data = data,
                              .n_bytes = (size_t)(a * b) * ut_dtype_size(type)};
}

/* Writes one tensor and hands out the file's. */
static utter_status write_one(const struct ut_import *import, const struct ut_tensor *tensor,
                              bool exact, struct ut_weights **out, utter_error *err) {
    struct ut_model_writer *writer;
    utter_import_result result = {.size = sizeof result};
    *out = NULL;
    assert_int_equal(ut_model_writer_create(import, "test", &writer, err), UTTER_OK);
    utter_status status = ut_model_writer_declare(writer, tensor, exact, err);
    status = status ? status : ut_model_writer_put(writer, tensor, err);
    status = status ? status : ut_model_writer_finish(writer, &result, err);
    ut_model_writer_destroy(writer);
    if (status == UTTER_OK) {
        assert_int_equal(result.n_tensors, 1);
        status = ut_weights_open(&mem, path, out, err);
        assert_true(status != UTTER_OK || result.bytes_out == ut_weights_file_bytes(*out));
    }
    return status;
}

static struct ut_import import_of(enum ut_dtype type, bool keep) {
    return (struct ut_import){
        .mem = &mem, .file = "model.onnx", .out_path = path, .type = type, .keep_type = keep};
}

static void types(void **state) {
    static const uint16_t zeros[8];
    static const float floats[4];
    static const struct {
        enum ut_dtype stored, wanted;
        bool keep, exact;
        uint64_t rows;
        enum ut_dtype written;
    } cases[] = {
        {UT_F32, UT_F32, false, false, 2, UT_F32},   {UT_F32, UT_F16, false, false, 2, UT_F16},
        {UT_F32, UT_BF16, false, false, 2, UT_BF16}, {UT_F32, UT_F16, false, true, 2, UT_F32},
        {UT_F32, UT_F16, false, false, 1, UT_F32},   {UT_F16, UT_F32, true, false, 2, UT_F16},
        {UT_F16, UT_F32, true, false, 1, UT_F32},    {UT_BF16, UT_F32, true, false, 2, UT_BF16},
        {UT_F32, UT_F16, true, false, 2, UT_F32},    {UT_F16, UT_F32, false, false, 2, UT_F32},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const void *data = cases[i].stored == UT_F32 ? (const void *)floats : zeros;
        struct ut_import import = import_of(cases[i].wanted, cases[i].keep);
        struct ut_tensor tensor = tensor_of("t", cases[i].stored, cases[i].rows, 2, data);
        struct ut_weights *weights;
        utter_error err;
        assert_int_equal(write_one(&import, &tensor, cases[i].exact, &weights, &err), UTTER_OK);
        const struct ut_tensor *written = ut_weights_find(weights, "t");
        assert_int_equal(written->type, cases[i].written);
        assert_int_equal(written->n_dims, 2);
        assert_int_equal(written->dims[0], cases[i].rows);
        ut_weights_close(weights);
    }
    static const int32_t integers[4];
    struct ut_import import = import_of(UT_F32, false);
    struct ut_tensor tensor = tensor_of("counts", UT_I32, 2, 2, integers);
    struct ut_weights *weights;
    utter_error err;
    assert_int_equal(write_one(&import, &tensor, false, &weights, &err), UTTER_ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "counts is i32"));
}

static void rounding(void **state) {
    static const struct {
        float value;
        uint16_t f16, bf16;
    } cases[] = {
        {0, 0, 0},
        {-0.0f, 0x8000, 0x8000},
        {1, 0x3c00, 0x3f80},
        {-2, 0xc000, 0xc000},
        {65504, 0x7bff, 0x4780},
        {65519, 0x7bff, 0x4780},
        {0x1p-14f, 0x0400, 0x3880},
        {0x1p-24f, 0x0001, 0x3380},
        {0x1p-25f, 0x0000, 0x3300},   /* a tie: to even */
        {0x1.8p-24f, 0x0002, 0x33c0}, /* a tie: to even */
        {0x1.ffcp-15f, 0x0400, 0x3880},
        {1 + 0x1p-11f, 0x3c00, 0x3f80},
        {1 + 0x1.8p-10f, 0x3c02, 0x3f80},
        {1 + 0x1p-8f, 0x3c04, 0x3f80},
        {1 + 0x1.8p-7f, 0x3c0c, 0x3f82},
        {-1e-30f, 0x8000, 0x8da2},
    };
    enum { N = sizeof cases / sizeof *cases };
    float values[2][N];
    for (size_t i = 0; i < N; i++) {
        values[0][i] = values[1][i] = cases[i].value;
    }
    for (int half = 0; half < 2; half++) {
        struct ut_import import = import_of(half ? UT_F16 : UT_BF16, false);
        struct ut_tensor tensor = tensor_of("t", UT_F32, 2, N, values);
        struct ut_weights *weights;
        utter_error err;
        assert_int_equal(write_one(&import, &tensor, false, &weights, &err), UTTER_OK);
        const uint8_t *data = ut_weights_find(weights, "t")->data;
        for (size_t i = 0; i < 2 * N; i++) {
            uint16_t found;
            memcpy(&found, data + 2 * i, 2);
            assert_int_equal(found, half ? cases[i % N].f16 : cases[i % N].bf16);
        }
        ut_weights_close(weights);
    }
}

static void values_that_cannot_be_written(void **state) {
    static const struct {
        float value;
        enum ut_dtype type;
        utter_status status;
        const char *words;
    } cases[] = {
        {NAN, UT_F32, UTTER_ERROR_FORMAT, "tensor t: value 3 is not finite"},
        {-INFINITY, UT_F16, UTTER_ERROR_FORMAT, "model.onnx"},
        {65520, UT_F16, UTTER_ERROR_ARGUMENT, "65520 does not fit in f16"},
        {-1e9f, UT_F16, UTTER_ERROR_ARGUMENT, "choose bf16 or f32"},
        {3.4e38f, UT_BF16, UTTER_ERROR_ARGUMENT, "does not fit in bf16"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float values[4] = {0, 0, 0, cases[i].value};
        struct ut_import import = import_of(cases[i].type, false);
        struct ut_tensor tensor = tensor_of("t", UT_F32, 2, 2, values);
        struct ut_weights *weights;
        utter_error err;
        assert_int_equal(write_one(&import, &tensor, false, &weights, &err), cases[i].status);
        assert_non_null(strstr(err.message, cases[i].words));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types),
        cmocka_unit_test(rounding),
        cmocka_unit_test(values_that_cannot_be_written),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
