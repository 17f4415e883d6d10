/* Opening files: real voices, what is no model, files that change while they are used. */
#include "weights/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/sweep.h"
#include "temp_folder.h"
#include "weights_check.h"

static struct ut_mem mem;

static int setup(void **state) {
    ut_mem_init(&mem, NULL);
    temp_folder_create();
    return 0;
}

static int teardown(void **state) {
    temp_folder_remove();
    return atomic_load(&mem.bytes[UT_MEM_WEIGHTS]) + atomic_load(&mem.bytes[UT_MEM_OTHER]) +
           atomic_load(&mem.mapped_bytes) != 0;
}

static const char *data_path(const char *name) {
    static char path[4096];
    const char *folder = getenv("UT_TEST_DATA");
    assert_non_null(folder);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void test_real_files(void **state) {
    static const struct {
        const char *name, *tensor;
        enum ut_format format;
        uint64_t dims[4];
        enum ut_dtype type;
    } cases[] = {
        {"piper/tiny.onnx", "enc_p.encoder.attn_layers.0.emb_rel_k", UT_FORMAT_ONNX, {1, 9, 12, 1}, UT_F32},
        {"house/tiny/voice.safetensors", "dec.conv_pre.weight", UT_FORMAT_SAFETENSORS, {64, 48, 7, 1}, UT_F16},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ut_weights *weights;
        utter_error err;
        if (ut_weights_open(&mem, data_path(cases[i].name), &weights, &err)) {
            fail_msg("%s", err.message);
        }
        assert_int_equal(ut_weights_format(weights), cases[i].format);
        const struct ut_tensor *tensor = ut_weights_find(weights, cases[i].tensor);
        assert_non_null(tensor);
        assert_int_equal(tensor->type, cases[i].type);
        assert_memory_equal(tensor->dims, cases[i].dims, sizeof tensor->dims);
        assert_null(ut_weights_find(weights, "no.such.tensor"));
        assert_null(ut_weights_at(weights, ut_weights_count(weights)));
        uint64_t sum = use_weights(weights); /* releases every page */
        assert_true(use_weights(weights) == sum);
        assert_int_equal(atomic_load(&mem.mapped_bytes), ut_weights_file_bytes(weights));
        ut_weights_close(weights);
    }
}

static void test_no_model(void **state) {
    static const struct {
        const char *bytes;
        size_t n;
        utter_status status;
        const char *message;
    } cases[] = {
        {"GGUF\3\0\0\0\0\0\0\0\0\0\0\0", 16, UTTER_ERROR_FORMAT, "gguf: the file ends within the number of keys"},
        {"PK\3\4............", 16, UTTER_ERROR_FORMAT, "torch: zip: no end record"},
        {"{\"audio\": {}}", 13, UTTER_ERROR_FORMAT, "not a model file"},
        {"\x08\x08", 2, UTTER_ERROR_FORMAT, "onnx: 0 graphs instead of one"},
        {"", 0, UTTER_ERROR_FORMAT, "is empty"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ut_weights *weights;
        utter_error err;
        temp_write("model", cases[i].bytes, cases[i].n);
        assert_int_equal(ut_weights_open(&mem, temp_path("model"), &weights, &err), cases[i].status);
        assert_non_null(strstr(err.message, cases[i].message));
        assert_non_null(strstr(err.message, "/model: "));
        assert_null(weights);
    }
    struct ut_weights *weights;
    assert_int_equal(ut_weights_open(&mem, temp_path("missing"), &weights, NULL), UTTER_ERROR_NOT_FOUND);
    assert_int_equal(ut_weights_parse(&mem, "", 0, &weights, NULL), UTTER_ERROR_FORMAT);
    ut_weights_close(NULL);
}

static void test_metadata_range(void **state) {
    static const char file[] = "\x02\0\0\0\0\0\0\0{}";
    struct ut_weights *weights;
    const char *key = "", *value = "";
    assert_int_equal(ut_weights_parse(&mem, file, 10, &weights, NULL), UTTER_OK);
    ut_weights_metadata(weights, 0, &key, &value);
    assert_true(key == NULL && value == NULL);
    assert_int_equal(ut_weights_check(weights, NULL), UTTER_OK);
    ut_weights_close(weights);
}

/* The largest tensor of a copy of the house voice is read after the file lost its second half. */
static void test_truncated_in_use(void **state) {
    struct byte_buffer file = {0};
    byte_buffer_read_file(&file, data_path("house/tiny/voice.safetensors"));
    struct ut_weights *weights;
    utter_error err;
    for (size_t cut = 0; cut < file.n; cut += file.n / 3) {
        restore_sigbus_handler();
        byte_buffer_write_file(&file, temp_path("voice"));
        assert_int_equal(ut_weights_open(&mem, temp_path("voice"), &weights, &err), UTTER_OK);
        assert_int_equal(ut_weights_check(weights, &err), UTTER_OK);
        assert_int_equal(truncate(temp_path("voice"), (off_t)cut), 0);
        float *values = test_alloc(file.n);
        for (size_t i = 0; i < ut_weights_count(weights); i++) {
            assert_true(ut_weights_at(weights, i)->type != UT_F16 ||
                        ut_tensor_to_f32(ut_weights_at(weights, i), values));
        }
        free(values);
        assert_int_equal(ut_weights_check(weights, &err), UTTER_ERROR_IO);
        assert_non_null(strstr(err.message, "voice: the file was truncated or changed"));
        ut_weights_close(weights);
    }
    byte_buffer_free(&file);
}

/* A model that is replaced by renaming is another file: the mapped one stays whole. */
static void test_replaced_in_use(void **state) {
    struct ut_weights *weights;
    utter_error err;
    temp_write("voice", "\x02\0\0\0\0\0\0\0{}", 10);
    temp_write("new", "x", 1);
    assert_int_equal(ut_weights_open(&mem, temp_path("voice"), &weights, &err), UTTER_OK);
    assert_int_equal(rename(temp_path("new"), temp_path("voice")), 0);
    assert_int_equal(ut_weights_check(weights, &err), UTTER_OK);
    ut_weights_close(weights);
}

static void test_failing_allocations(void **state) {
    struct sweep sweep;
    for (sweep_start(&sweep, &mem, false); sweep_next(&sweep);) {
        struct ut_weights *weights;
        utter_status status = ut_weights_open(&mem, data_path("piper/tiny.onnx"), &weights, NULL);
        ut_weights_close(weights);
        sweep_check(&sweep, status);
        assert_int_equal(atomic_load(&mem.mapped_bytes), 0);
    }
    assert_in_range(sweep.n_injected, 4, 100);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_real_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_model, setup, teardown),
        cmocka_unit_test_setup_teardown(test_metadata_range, setup, teardown),
        cmocka_unit_test_setup_teardown(test_truncated_in_use, setup, teardown),
        cmocka_unit_test_setup_teardown(test_replaced_in_use, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failing_allocations, setup, teardown),
    };
    remember_sigbus_handler();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
