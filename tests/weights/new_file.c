/* Files that appear when they are complete. That an old file survives a full disk is tested with what
 * is written in tests/weights/safetensors_write.c and gguf_write.c. */
#include "weights/new_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/byte_buffer.h"
#include "temp_folder.h"

static int setup(void **state) {
    temp_folder_create();
    return 0;
}

static int teardown(void **state) {
    temp_folder_remove();
    return 0;
}

/* Runs around the buffer: smaller, exactly as large, larger, nothing. */
static void test_content(void **state) {
    static const size_t sizes[] = {1,    0, UT_NEW_FILE_BUFFER_BYTES - 1, 1, UT_NEW_FILE_BUFFER_BYTES,
                                   5000, UT_NEW_FILE_BUFFER_BYTES + 1, 3};
    struct byte_buffer expected = {0}, found = {0};
    static struct ut_new_file file, measured;
    utter_error err;
    assert_int_equal(ut_new_file_create(&file, temp_path("out"), &err), UTTER_OK);
    ut_new_file_measure(&measured);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *run = test_alloc(sizes[i]);
        memset(run, (int)('a' + i), sizes[i]);
        ut_new_file_put(&file, run, sizes[i]);
        ut_new_file_put(&measured, run, sizes[i]);
        byte_buffer_append(&expected, run, sizes[i]);
        free(run);
    }
    assert_int_equal(access(temp_path("out"), F_OK), -1);
    assert_int_equal(ut_new_file_check(&file, &err), UTTER_OK);
    assert_int_equal(file.n_bytes, expected.n);
    assert_int_equal(measured.n_bytes, expected.n);
    assert_int_equal(ut_new_file_finish(&file, &err), UTTER_OK);
    assert_int_equal(access(file.temporary, F_OK), -1);
    byte_buffer_read_file(&found, temp_path("out"));
    assert_int_equal(found.n, expected.n);
    assert_memory_equal(found.data, expected.data, found.n);
    byte_buffer_free(&found);
    byte_buffer_free(&expected);
}

/* A temporary file of that name, left by a crash, is not touched; a hundred of them are too many. */
static void test_temporary_names(void **state) {
    static struct ut_new_file file;
    utter_error err;
    for (int i = 0; i < 100; i++) {
        char name[64];
        snprintf(name, sizeof name, "out.%ld-%d.tmp", (long)getpid(), i);
        assert_int_equal(ut_new_file_create(&file, temp_path("out"), &err), UTTER_OK);
        assert_string_equal(file.temporary, temp_path(name));
        ut_new_file_abandon(&file);
        assert_int_equal(access(temp_path(name), F_OK), -1);
        temp_write(name, "old", 3);
    }
    assert_int_equal(ut_new_file_create(&file, temp_path("out"), &err), UTTER_ERROR_IO);
    assert_non_null(strstr(err.message, "/out: cannot be written: File exists"));
    char *path = test_alloc(2 * PATH_MAX);
    memset(path, 'p', 2 * PATH_MAX);
    path[2 * PATH_MAX - 1] = '\0';
    assert_int_equal(ut_new_file_create(&file, path, &err), UTTER_ERROR_IO);
    free(path);
}

/* /dev/full accepts no byte: the error comes with the first flush, and once more from finish. */
static void test_write_error(void **state) {
    static struct ut_new_file file;
    static const char large[UT_NEW_FILE_BUFFER_BYTES + 1];
    utter_error err;
    assert_int_equal(ut_new_file_create(&file, temp_path("out"), &err), UTTER_OK);
    FILE *full = fopen("/dev/full", "wb");
    assert_non_null(full);
    assert_true(dup2(fileno(full), file.fd) >= 0);
    fclose(full);
    ut_new_file_put(&file, large, sizeof large);
    assert_int_equal(ut_new_file_check(&file, &err), UTTER_ERROR_IO);
    assert_non_null(strstr(err.message, "/out: cannot be written: No space left on device"));
    ut_new_file_put(&file, "more", 4);
    assert_int_equal(ut_new_file_finish(&file, &err), UTTER_ERROR_IO);
    assert_non_null(strstr(err.message, "No space left on device"));
    assert_int_equal(access(file.temporary, F_OK), -1);
    assert_int_equal(access(temp_path("out"), F_OK), -1);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_content, setup, teardown),
        cmocka_unit_test_setup_teardown(test_temporary_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write_error, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
