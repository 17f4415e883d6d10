/* Writing safetensors: what is written is read back; nothing is left behind when writing fails. */
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

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
    return atomic_load(&mem.bytes[UT_MEM_WEIGHTS]) + atomic_load(&mem.mapped_bytes) != 0;
}

static int count_files(void) {
    DIR *folder = opendir(temp_path("."));
    int n = 0;
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));) {
        n += entry->d_name[0] != '.';
    }
    closedir(folder);
    return n;
}

static void test_round_trip(void **state) {
    enum { N = 2 + UT_BOOL + 1 };
    static char large[100000]; /* more than the writer's buffer */
    memset(large, 'L', sizeof large);
    struct ut_tensor tensors[N] = {
        {.name = "quote\" back\\ line\n \xC3\xA9", .type = UT_F32, .n_dims = 2, .dims = {1, 25000, 1, 1},
         .data = large, .n_bytes = sizeof large},
        {.name = "empty", .type = UT_F16, .n_dims = 3, .dims = {1, 0, 7, 1}, .data = NULL, .n_bytes = 0},
    };
    for (int type = 0; type <= UT_BOOL; type++) {
        tensors[2 + type] = (struct ut_tensor){.name = ut_dtype_name(type), .type = type, .dims = {1, 1, 1, 1},
                                               .data = "12345678", .n_bytes = ut_dtype_size(type)};
    }
    utter_error err;
    struct ut_weights *weights;
    assert_int_equal(ut_safetensors_write(temp_path("out"), tensors, N, &err), UTTER_OK);
    assert_int_equal(count_files(), 1);
    assert_int_equal(ut_weights_open(&mem, temp_path("out"), &weights, &err), UTTER_OK);
    assert_int_equal(ut_weights_count(weights), N);
    for (size_t i = 0; i < N; i++) {
        const struct ut_tensor *t = ut_weights_at(weights, i);
        assert_string_equal(t->name, tensors[i].name);
        assert_int_equal(t->type, tensors[i].type);
        assert_int_equal(t->n_dims, tensors[i].n_dims);
        assert_memory_equal(t->dims, tensors[i].dims, sizeof t->dims);
        assert_int_equal(t->n_bytes, tensors[i].n_bytes);
        assert_true(t->n_bytes == 0 || memcmp(t->data, tensors[i].data, t->n_bytes) == 0);
    }
    assert_int_equal((uintptr_t)ut_weights_at(weights, 0)->data % 8, 0);
    use_weights(weights);
    ut_weights_close(weights);

    /* A second file takes the place of the first, under the same permissions as any new file. */
    assert_int_equal(ut_safetensors_write(temp_path("out"), tensors, 0, &err), UTTER_OK);
    assert_int_equal(ut_weights_open(&mem, temp_path("out"), &weights, &err), UTTER_OK);
    assert_int_equal(ut_weights_count(weights), 0);
    ut_weights_close(weights);
    struct stat info;
    mode_t mask = umask(0);
    umask(mask);
    assert_int_equal(stat(temp_path("out"), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0666 & ~mask);
}

static void test_refusals(void **state) {
    static const struct ut_tensor whole = {.name = "t", .type = UT_F32, .n_dims = 1, .dims = {2, 1, 1, 1},
                                           .data = "12345678", .n_bytes = 8};
    struct ut_tensor broken[6];
    for (size_t i = 0; i < 6; i++) {
        broken[i] = whole;
    }
    broken[0].n_bytes = 4;
    broken[1].n_dims = 5;
    broken[2].n_dims = -1;
    broken[3].name = "\xFF";
    broken[4].dims[0] = (uint64_t)1 << 62;
    broken[4].n_bytes = 0;
    broken[5].name = "__metadata__";
    utter_error err;
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(ut_safetensors_write(temp_path("out"), &broken[i], 1, &err), UTTER_ERROR_ARGUMENT);
    }
    struct ut_tensor blocks = {.name = "b", .type = UT_Q8_0, .n_dims = 1, .dims = {32, 1, 1, 1},
                               .data = "0123456789abcdef0123456789abcdef01", .n_bytes = 34};
    assert_int_equal(ut_safetensors_write(temp_path("out"), &blocks, 1, &err), UTTER_ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "tensor \"b\": safetensors has no type q8_0, write it as GGUF"));
    assert_int_equal(ut_safetensors_write(temp_path("missing/out"), &whole, 1, &err), UTTER_ERROR_IO);
    assert_non_null(strstr(err.message, "missing/out: cannot be written: No such file"));
    assert_int_equal(mkdir(temp_path("folder"), 0700), 0);
    assert_int_equal(ut_safetensors_write(temp_path("folder"), &whole, 1, &err), UTTER_ERROR_IO);
    assert_int_equal(count_files(), 1); /* the folder, and no temporary */
    assert_int_equal(ut_safetensors_write(temp_path("out"), &whole, 1, &err), UTTER_OK);
}

/* A file that may not grow stands for a full disk: the old file stays, the new one leaves no trace. */
static void test_full_disk(void **state) {
    static char large[100000];
    struct ut_tensor tensor = {.name = "t", .type = UT_U8, .n_dims = 1, .dims = {sizeof large, 1, 1, 1},
                               .data = large, .n_bytes = sizeof large};
    utter_error err;
    temp_write("out", "old", 3);
    struct rlimit before, limited;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_IGN);
    for (rlim_t limit = 0; limit < sizeof large; limit += 30000) {
        limited = (struct rlimit){limit, before.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limited), 0);
        utter_status status = ut_safetensors_write(temp_path("out"), &tensor, 1, &err);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        assert_int_equal(status, UTTER_ERROR_IO);
        assert_non_null(strstr(err.message, "File too large"));
        assert_int_equal(count_files(), 1);
    }
    struct stat info;
    assert_int_equal(stat(temp_path("out"), &info), 0);
    assert_int_equal(info.st_size, 3);
    assert_int_equal(ut_safetensors_write(temp_path("out"), &tensor, 1, &err), UTTER_OK);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_disk, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
