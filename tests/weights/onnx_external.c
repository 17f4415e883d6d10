/* ONNX models with external data: which files they may name, and which parts of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/sweep.h"
#include "support/onnx_writer.h"
#include "temp_folder.h"
#include "weights_check.h"

static struct ut_mem mem;

static int setup(void **state) {
    ut_mem_init(&mem, NULL);
    temp_folder_create();
    temp_write("data.bin", "0123456789abcdef", 16);
    return 0;
}

static int teardown(void **state) {
    temp_folder_remove();
    return atomic_load(&mem.bytes[UT_MEM_WEIGHTS]) + atomic_load(&mem.mapped_bytes) != 0;
}

/* A tensor [2] of f32, 8 bytes, with these entries. */
static void write_tensor(struct byte_buffer *out, const char *name, const struct onnx_external_entry *entries,
                         size_t n_entries) {
    onnx_write_tensor(out, ONNX_GRAPH_INITIALIZER, &(struct onnx_tensor_spec){
        .name = name, .data_type = ONNX_FLOAT, .dims = (int64_t[]){2}, .n_dims = 1, .external = entries,
        .n_external = n_entries});
}

static void write_model(const struct onnx_external_entry *entries, size_t n_entries) {
    struct byte_buffer out = {0};
    onnx_write_model_header(&out, 8, NULL, NULL);
    size_t graph = pb_begin(&out, ONNX_MODEL_GRAPH);
    write_tensor(&out, "w", entries, n_entries);
    pb_end(&out, graph);
    onnx_write_opset(&out, NULL, 15);
    byte_buffer_write_file(&out, temp_path("model.onnx"));
    byte_buffer_free(&out);
}

static utter_status open_model(struct ut_weights **weights, utter_error *err) {
    return ut_weights_open(&mem, temp_path("model.onnx"), weights, err);
}

static void test_places(void **state) {
    static const struct {
        struct onnx_external_entry entries[4];
        size_t n;
        const char *data, *message; /* what is read, or the error */
    } cases[] = {
        {{{"location", "data.bin"}, {"offset", "0"}, {"length", "8"}}, 3, "01234567", NULL},
        {{{"location", "data.bin"}, {"offset", "8"}, {"length", "8"}}, 3, "89abcdef", NULL},
        {{{"location", "data.bin"}, {"offset", "8"}}, 2, "89abcdef", NULL},
        {{{"location", "data.bin"}, {"offset", "3"}, {"length", "8"}}, 3, "3456789a", NULL},
        {{{"length", "8"}, {"location", "data.bin"}}, 2, "01234567", NULL},
        {{{"location", "data.bin"}, {"length", "8"}, {"checksum", "da39"}}, 3, "01234567", NULL},
        {{{"location", "data.bin"}}, 1, NULL, "16 bytes at 0 do not fit"},
        {{{"location", "data.bin"}, {"offset", "9"}, {"length", "8"}}, 3, NULL, "8 bytes at 9 do not fit"},
        {{{"location", "data.bin"}, {"offset", "17"}}, 2, NULL, "do not fit"},
        {{{"location", "data.bin"}, {"offset", "9223372036854775807"}, {"length", "8"}}, 3, NULL, "do not fit"},
        {{{"location", "data.bin"}, {"offset", "4611686018427387904"}}, 2, NULL, "do not fit"},
        {{{"location", "data.bin"}, {"length", "9223372036854775807"}}, 2, NULL, "do not fit"},
        {{{"location", "data.bin"}, {"length", "7"}}, 2, NULL, "7 bytes at 0 do not fit"},
        {{{"location", "data.bin"}, {"length", "0"}}, 2, NULL, "0 bytes at 0 do not fit"},
        {{{"location", "data.bin"}, {"offset", "-1"}}, 2, NULL, "impossible or second offset, \"-1\""},
        {{{"location", "data.bin"}, {"length", "-8"}}, 2, NULL, "impossible or second length"},
        {{{"location", "data.bin"}, {"offset", "+8"}}, 2, NULL, "impossible or second offset"},
        {{{"location", "data.bin"}, {"offset", " 8"}}, 2, NULL, "impossible or second offset"},
        {{{"location", "data.bin"}, {"offset", "8 "}}, 2, NULL, "impossible or second offset"},
        {{{"location", "data.bin"}, {"offset", ""}}, 2, NULL, "impossible or second offset"},
        {{{"location", "data.bin"}, {"offset", "0x8"}}, 2, NULL, "impossible or second offset"},
        {{{"location", "data.bin"}, {"offset", "1e1"}}, 2, NULL, "impossible or second offset"},
        {{{"location", "data.bin"}, {"offset", "9223372036854775808"}}, 2, NULL, "impossible or second offset"},
        {{{"location", "data.bin"}, {"offset", "18446744073709551616"}}, 2, NULL, "impossible or second offset"},
        {{{"location", "data.bin"}, {"offset", "8"}, {"offset", "8"}}, 3, NULL, "impossible or second offset"},
        {{{"location", "data.bin"}, {"length", "8"}, {"length", "8"}}, 3, NULL, "impossible or second length"},
        {{{"location", "data.bin"}, {"location", "data.bin"}}, 2, NULL, "impossible or second location"},
        {{{"location", "data.bin"}, {"checksum", "a"}, {"checksum", "a"}}, 3, NULL, "impossible or second checksum"},
        {{{"location", "data.bin"}, {"basepath", "/etc"}}, 2, NULL, "unknown key \"basepath\""},
        {{{"location", "data.bin"}, {"__class__", "x"}}, 2, NULL, "unknown key \"__class__\""},
        {{{"location", "data.bin"}, {NULL, "x"}}, 2, NULL, "unknown key \"\""},
        {{{"offset", "0"}}, 1, NULL, "without a location"},
        {{{"location", ""}}, 1, NULL, "not a plain relative path"},
        {{{"location", "missing.bin"}}, 1, NULL, "\"missing.bin\": missing beside the model"},
        {{{"location", "../data.bin"}}, 1, NULL, "not a plain relative path"},
        {{{"location", "a/../data.bin"}}, 1, NULL, "not a plain relative path"},
        {{{"location", "/etc/passwd"}}, 1, NULL, "not a plain relative path"},
        {{{"location", "link.bin"}, {"length", "8"}}, 2, NULL, "symbolic links are not followed"},
        {{{"location", "linked/data.bin"}, {"length", "8"}}, 2, NULL, "symbolic links are not followed"},
        {{{"location", "hard.bin"}, {"length", "8"}}, 2, NULL, "more than one hard link"},
        {{{"location", "sub"}, {"length", "8"}}, 2, NULL, "no regular file"},
    };
    mkdir(temp_path("sub"), 0700);
    temp_write("sub/data.bin", "01234567", 8);
    temp_write("twice.bin", "01234567", 8);
    assert_int_equal(symlink("data.bin", temp_path("link.bin")), 0);
    assert_int_equal(symlink("sub", temp_path("linked")), 0);
    assert_int_equal(link(temp_path("twice.bin"), temp_path("hard.bin")), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ut_weights *weights;
        utter_error err = {0};
        write_model(cases[i].entries, cases[i].n);
        utter_status status = open_model(&weights, &err);
        if (cases[i].data) {
            assert_int_equal(status, UTTER_OK);
            assert_memory_equal(ut_weights_find(weights, "w")->data, cases[i].data, 8);
            assert_true(ut_weights_file_bytes(weights) > 16);
            use_weights(weights);
            ut_weights_close(weights);
        } else if (status == UTTER_OK || !strstr(err.message, cases[i].message)) {
            fail_msg("case %zu: \"%s\" instead of \"%s\"", i, err.message, cases[i].message);
        }
    }
}

/* The folder is the model's, whatever the current one is and however the model is named. */
static void test_model_paths(void **state) {
    static const struct onnx_external_entry entries[] = {{"location", "data.bin"}, {"length", "8"}};
    write_model(entries, 2);
    mkdir(temp_path("elsewhere"), 0700);
    assert_int_equal(symlink("../model.onnx", temp_path("elsewhere/model.onnx")), 0);
    struct ut_weights *weights;
    utter_error err;
    /* Data lies beside the name that was given, not beside what a link leads to. */
    assert_int_equal(ut_weights_open(&mem, temp_path("elsewhere/model.onnx"), &weights, &err), UTTER_ERROR_NOT_FOUND);
    temp_write("elsewhere/data.bin", "ABCDEFGH", 8);
    assert_int_equal(ut_weights_open(&mem, temp_path("elsewhere/model.onnx"), &weights, &err), UTTER_OK);
    assert_memory_equal(ut_weights_find(weights, "w")->data, "ABCDEFGH", 8);
    ut_weights_close(weights);
    char *before = getcwd(NULL, 0);
    assert_non_null(before);
    assert_int_equal(chdir(temp_path(".")), 0);
    assert_int_equal(ut_weights_open(&mem, "model.onnx", &weights, &err), UTTER_OK);
    assert_memory_equal(ut_weights_find(weights, "w")->data, "01234567", 8);
    ut_weights_close(weights);
    assert_int_equal(chdir(before), 0);
    free(before);
}

/* 200 tensors in n_files files. */
static void write_many(int n_files, size_t *n_bytes) {
    struct byte_buffer out = {0};
    onnx_write_model_header(&out, 8, NULL, NULL);
    size_t graph = pb_begin(&out, ONNX_MODEL_GRAPH);
    for (int i = 0; i < 200; i++) {
        char name[32], file[32];
        snprintf(name, sizeof name, "w%d", i);
        snprintf(file, sizeof file, "part%d.bin", i % n_files);
        temp_write(file, "01234567", 8);
        struct onnx_external_entry entries[] = {{"location", file}};
        write_tensor(&out, name, entries, 1);
    }
    pb_end(&out, graph);
    onnx_write_opset(&out, NULL, 15);
    byte_buffer_write_file(&out, temp_path("model.onnx"));
    *n_bytes = out.n;
    byte_buffer_free(&out);
}

/* One file for many tensors is mapped once; too many files are refused. */
static void test_many_files(void **state) {
    static const int counts[] = {1, 2, 64};
    struct ut_weights *weights;
    utter_error err;
    size_t n_bytes;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        write_many(counts[i], &n_bytes);
        assert_int_equal(open_model(&weights, &err), UTTER_OK);
        assert_int_equal(ut_weights_file_bytes(weights), n_bytes + 8 * (size_t)counts[i]);
        assert_int_equal(atomic_load(&mem.mapped_bytes), n_bytes + 8 * (size_t)counts[i]);
        use_weights(weights);
        ut_weights_close(weights);
    }
    write_many(65, &n_bytes);
    assert_int_equal(open_model(&weights, &err), UTTER_ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "more than 64 files of external data"));
}

static void test_truncated_external(void **state) {
    static const struct onnx_external_entry entries[] = {{"location", "data.bin"}, {"length", "8"}};
    write_model(entries, 2);
    struct ut_weights *weights;
    utter_error err;
    float values[2];
    restore_sigbus_handler();
    assert_int_equal(open_model(&weights, &err), UTTER_OK);
    assert_int_equal(truncate(temp_path("data.bin"), 0), 0);
    assert_true(ut_tensor_to_f32(ut_weights_find(weights, "w"), values));
    assert_true(values[0] == 0 && values[1] == 0);
    assert_int_equal(ut_weights_check(weights, &err), UTTER_ERROR_IO);
    assert_non_null(strstr(err.message, "data.bin: the file was truncated"));
    ut_weights_close(weights);
}

static void test_failing_allocations(void **state) {
    static const struct onnx_external_entry entries[] = {{"location", "data.bin"}, {"length", "8"}};
    struct sweep sweep;
    write_model(entries, 2);
    for (sweep_start(&sweep, &mem, false); sweep_next(&sweep);) {
        struct ut_weights *weights;
        utter_status status = open_model(&weights, NULL);
        ut_weights_close(weights);
        sweep_check(&sweep, status);
        assert_int_equal(atomic_load(&mem.mapped_bytes), 0);
    }
    assert_in_range(sweep.n_injected, 3, 100);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_places, setup, teardown),
        cmocka_unit_test_setup_teardown(test_model_paths, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_truncated_external, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failing_allocations, setup, teardown),
    };
    remember_sigbus_handler();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
