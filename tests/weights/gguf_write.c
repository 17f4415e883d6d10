/* Writing GGUF: what is written is read back; wrong calls are refused and change nothing; nothing is
 * left behind when writing fails. */
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "quant/half.h"
#include "quant/quantize.h"
#include "support/sweep.h"
#include "temp_folder.h"
#include "weights/gguf.h"
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

static void require_ok(utter_status status, const utter_error *err) {
    if (status) {
        fail_msg("%s", err->message);
    }
}

static const enum ut_dtype written_types[] = {UT_F32, UT_F16, UT_BF16, UT_F64, UT_I8, UT_I16, UT_I32, UT_I64,
                                              UT_Q4_0, UT_Q4_1, UT_Q5_0, UT_Q5_1, UT_Q8_0, UT_Q2_K, UT_Q3_K,
                                              UT_Q4_K, UT_Q5_K, UT_Q6_K, UT_TQ1_0, UT_TQ2_0};
enum { N_TYPES = sizeof written_types / sizeof *written_types, MAX_DATA = 3 * 2 * 256 };

/* [3, 2 blocks] of each type, named as the type. */
static struct ut_tensor tensor_of_type(enum ut_dtype type) {
    static const char zeros[MAX_DATA];
    uint64_t n_blocks = 2;
    return (struct ut_tensor){.name = ut_dtype_name(type), .type = type, .n_dims = 2,
                              .dims = {3, n_blocks * ut_dtype_block(type), 1, 1}, .data = zeros,
                              .n_bytes = 3 * n_blocks * ut_dtype_size(type)};
}

static void check_same(const struct ut_tensor *found, const struct ut_tensor *expected) {
    assert_string_equal(found->name, expected->name);
    assert_int_equal(found->type, expected->type);
    assert_memory_equal(found->dims, expected->dims, sizeof found->dims);
    assert_int_equal(found->n_bytes, expected->n_bytes);
    assert_memory_equal(found->data, expected->data, found->n_bytes);
}

static void put_metadata(struct ut_gguf_writer *writer) {
    static const char *const strings[] = {"", "one", "\xC3\xA9"};
    utter_error err;
    require_ok(ut_gguf_put_string(writer, "general.name", "a \"name\"\n", &err), &err);
    require_ok(ut_gguf_put_string(writer, "empty", "", &err), &err);
    require_ok(ut_gguf_put_uint32(writer, "largest", UINT32_MAX, &err), &err);
    require_ok(ut_gguf_put_float(writer, "tenth", 0.1f, &err), &err);
    require_ok(ut_gguf_put_bool(writer, "yes", true, &err), &err);
    require_ok(ut_gguf_put_bool(writer, "no", false, &err), &err);
    require_ok(ut_gguf_put_strings(writer, "strings", strings, 3, &err), &err);
    require_ok(ut_gguf_put_strings(writer, "none", NULL, 0, &err), &err);
}

static void check_metadata(const struct ut_weights *weights) {
    static const char *const expected[][2] = {
        {"general.name", "a \"name\"\n"}, {"empty", ""},   {"largest", "4294967295"},   {"tenth", "0.100000001"},
        {"yes", "true"},                  {"no", "false"}, {"strings", "[3 strings]"}, {"none", "[0 strings]"},
    };
    assert_int_equal(ut_weights_n_metadata(weights), 8);
    for (size_t i = 0; i < 8; i++) {
        const char *key, *value;
        ut_weights_metadata(weights, i, &key, &value);
        assert_string_equal(key, expected[i][0]);
        assert_string_equal(value, expected[i][1]);
    }
    const char *const *strings;
    size_t n;
    double tenth;
    assert_int_equal(ut_gguf_get_strings(weights, "strings", &strings, &n, NULL), UTTER_OK);
    assert_int_equal(n, 3);
    assert_string_equal(strings[2], "\xC3\xA9");
    assert_int_equal(ut_gguf_get_strings(weights, "none", &strings, &n, NULL), UTTER_OK);
    assert_true(n == 0 && strings == NULL);
    assert_int_equal(ut_gguf_get_float(weights, "tenth", &tenth, NULL), UTTER_OK);
    assert_true(tenth == (double)0.1f);
}

static void test_round_trip(void **state) {
    static char large[100000]; /* more than the writer's buffer */
    memset(large, 'L', sizeof large);
    struct ut_tensor tensors[N_TYPES + 3] = {
        {.name = "scalar", .type = UT_F32, .n_dims = 0, .dims = {1, 1, 1, 1}, .data = "1234", .n_bytes = 4},
        {.name = "large", .type = UT_F32, .n_dims = 3, .dims = {5, 1000, 5, 1}, .data = large, .n_bytes = sizeof large},
        {.name = "four", .type = UT_I8, .n_dims = 4, .dims = {2, 1, 1, 3}, .data = "abcdef", .n_bytes = 6},
    };
    enum { N = N_TYPES + 3 };
    for (size_t i = 0; i < N_TYPES; i++) {
        tensors[3 + i] = tensor_of_type(written_types[i]);
    }
    struct ut_gguf_writer *writer;
    struct ut_weights *weights;
    utter_error err;
    require_ok(ut_gguf_writer_create(&mem, temp_path("out"), &writer, &err), &err);
    put_metadata(writer);
    for (size_t i = 0; i < N; i++) {
        require_ok(ut_gguf_put_tensor(writer, &tensors[i], &err), &err);
    }
    for (size_t i = 0; i < N; i++) {
        require_ok(ut_gguf_put_data(writer, tensors[i].data, tensors[i].n_bytes, &err), &err);
    }
    require_ok(ut_gguf_writer_finish(writer, &err), &err);
    ut_gguf_writer_destroy(writer);
    assert_int_equal(count_files(), 1);

    require_ok(ut_weights_open(&mem, temp_path("out"), &weights, &err), &err);
    assert_int_equal(ut_weights_count(weights), N);
    assert_int_equal(ut_weights_file_bytes(weights) % 32, 0);
    for (size_t i = 0; i < N; i++) {
        const struct ut_tensor *t = ut_weights_at(weights, i);
        check_same(t, &tensors[i]);
        assert_int_equal(t->n_dims, i == 0 ? 1 : tensors[i].n_dims);
        assert_int_equal((uintptr_t)t->data % 32, 0);
    }
    check_metadata(weights);
    use_weights(weights);
    ut_weights_close(weights);
}

/* The types that Kokoro is published in, made here: what is read decodes to what was encoded. */
static void test_quantized(void **state) {
    enum { N = 4 * 64 };
    static const struct {
        enum ut_dtype type;
        bool (*quantize)(const float *src, size_t n_blocks, void *dst);
        double error; /* half a step, or a whole one where one end has a level less, of a range of 2 */
    } types[] = {{UT_Q4_0, ut_quantize_q4_0, 0.13}, {UT_Q4_1, ut_quantize_q4_1, 0.07},
                 {UT_Q5_0, ut_quantize_q5_0, 0.07}, {UT_Q5_1, ut_quantize_q5_1, 0.04},
                 {UT_Q8_0, ut_quantize_q8_0, 0.005}, {UT_F16, NULL, 0.0003}};
    float values[N], found[N];
    for (int i = 0; i < N; i++) {
        values[i] = (float)(i * 37 % 101) / 50 - 1;
    }
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        uint16_t data[N]; /* of f16, larger than any of the others */
        for (int i = 0; i < N; i++) {
            data[i] = ut_f16_from_f32(values[i]);
        }
        assert_true(!types[t].quantize || types[t].quantize(values, N / ut_dtype_block(types[t].type), data));
        struct ut_tensor tensor = {.name = "t", .type = types[t].type, .n_dims = 2, .dims = {4, 64, 1, 1},
                                   .n_bytes = N / ut_dtype_block(types[t].type) * ut_dtype_size(types[t].type)};
        struct ut_gguf_writer *writer;
        struct ut_weights *weights;
        utter_error err;
        require_ok(ut_gguf_writer_create(&mem, temp_path("out"), &writer, &err), &err);
        require_ok(ut_gguf_put_tensor(writer, &tensor, &err), &err);
        require_ok(ut_gguf_put_data(writer, data, tensor.n_bytes, &err), &err);
        require_ok(ut_gguf_writer_finish(writer, &err), &err);
        ut_gguf_writer_destroy(writer);
        require_ok(ut_weights_open(&mem, temp_path("out"), &weights, &err), &err);
        assert_int_equal(ut_tensor_n_elements(ut_weights_at(weights, 0)), N);
        assert_true(ut_tensor_to_f32(ut_weights_at(weights, 0), found));
        for (int i = 0; i < N; i++) {
            if (!(fabs((double)found[i] - (double)values[i]) <= types[t].error)) {
                fail_msg("%s: %g became %g", ut_dtype_name(types[t].type), (double)values[i], (double)found[i]);
            }
        }
        ut_weights_close(weights);
    }
}

/* ggml's own tools cut names at 63 bytes; two that differ only behind that are two. */
static void test_long_names(void **state) {
    static const size_t lengths[] = {1, 63, 64, 65, 200, 5000};
    struct ut_gguf_writer *writer;
    struct ut_weights *weights;
    utter_error err;
    char name[5001];
    require_ok(ut_gguf_writer_create(&mem, temp_path("out"), &writer, &err), &err);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        memset(name, 'n', lengths[i]);
        name[lengths[i]] = '\0';
        struct ut_tensor tensor = {.name = name, .type = UT_I8, .n_dims = 1, .dims = {1, 1, 1, 1}, .n_bytes = 1};
        require_ok(ut_gguf_put_tensor(writer, &tensor, &err), &err);
        require_ok(ut_gguf_put_uint32(writer, name, (uint32_t)lengths[i], &err), &err);
    }
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        require_ok(ut_gguf_put_data(writer, "x", 1, &err), &err);
    }
    require_ok(ut_gguf_writer_finish(writer, &err), &err);
    ut_gguf_writer_destroy(writer);
    require_ok(ut_weights_open(&mem, temp_path("out"), &weights, &err), &err);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        int64_t value = 0;
        memset(name, 'n', lengths[i]);
        name[lengths[i]] = '\0';
        assert_ptr_equal(ut_weights_find(weights, name), ut_weights_at(weights, i));
        assert_int_equal(ut_gguf_get_int(weights, name, &value, NULL), UTTER_OK);
        assert_int_equal(value, lengths[i]);
    }
    ut_weights_close(weights);
}

/* Enough names for the set of those seen to grow many times. */
static void test_many_names(void **state) {
    enum { N = 20000 };
    struct ut_gguf_writer *writer;
    struct ut_weights *weights;
    utter_error err;
    char name[16];
    require_ok(ut_gguf_writer_create(&mem, temp_path("out"), &writer, &err), &err);
    for (uint32_t i = 0; i < N; i++) {
        snprintf(name, sizeof name, "k%u", (unsigned)i);
        require_ok(ut_gguf_put_uint32(writer, name, i, &err), &err);
    }
    for (uint32_t i = 0; i < N; i += 777) {
        snprintf(name, sizeof name, "k%u", (unsigned)i);
        assert_int_equal(ut_gguf_put_bool(writer, name, true, &err), UTTER_ERROR_ARGUMENT);
    }
    require_ok(ut_gguf_writer_finish(writer, &err), &err);
    ut_gguf_writer_destroy(writer);
    require_ok(ut_weights_open(&mem, temp_path("out"), &weights, &err), &err);
    assert_int_equal(ut_weights_n_metadata(weights), N);
    assert_int_equal(ut_weights_count(weights), 0);
    ut_weights_close(weights);
}

static void expect(utter_status status, utter_status expected, const utter_error *err, const char *message) {
    if (status != expected || !strstr(err->message, message)) {
        fail_msg("%s: \"%s\" without \"%s\"", utter_status_name(status), err->message, message);
    }
}

static void test_refused_tensors(void **state) {
    static const struct ut_tensor whole = {.name = "t", .type = UT_F32, .n_dims = 1, .dims = {2, 1, 1, 1},
                                           .n_bytes = 8};
    struct ut_tensor broken[9];
    for (size_t i = 0; i < 9; i++) {
        broken[i] = whole;
    }
    broken[0].n_bytes = 4;
    broken[1].n_dims = 5;
    broken[2].n_dims = -1;
    broken[3].dims[0] = 0;
    broken[3].n_bytes = 0;
    broken[4].dims[0] = (uint64_t)1 << 62;
    broken[4].n_bytes = 0;
    broken[5].type = UT_Q8_0;
    broken[6].type = UT_U8;
    broken[7].name = "";
    broken[8].name = "\xFF";
    struct ut_gguf_writer *writer;
    utter_error err;
    require_ok(ut_gguf_writer_create(&mem, temp_path("out"), &writer, &err), &err);
    for (size_t i = 0; i < 6; i++) {
        expect(ut_gguf_put_tensor(writer, &broken[i], &err), UTTER_ERROR_ARGUMENT, &err,
               "tensor \"t\": its shape or size cannot be written");
    }
    expect(ut_gguf_put_tensor(writer, &broken[6], &err), UTTER_ERROR_UNSUPPORTED, &err,
           "tensor \"t\": GGUF has no type u8");
    expect(ut_gguf_put_tensor(writer, &broken[7], &err), UTTER_ERROR_ARGUMENT, &err, "is empty or not UTF-8");
    expect(ut_gguf_put_tensor(writer, &broken[8], &err), UTTER_ERROR_ARGUMENT, &err, "is empty or not UTF-8");
    require_ok(ut_gguf_put_tensor(writer, &whole, &err), &err);
    expect(ut_gguf_put_tensor(writer, &whole, &err), UTTER_ERROR_ARGUMENT, &err, "tensor \"t\" is there already");
    struct ut_tensor huge = {.name = "h", .type = UT_I8, .n_dims = 1, .dims = {INT64_MAX, 1, 1, 1},
                             .n_bytes = INT64_MAX};
    require_ok(ut_gguf_put_tensor(writer, &huge, &err), &err); /* 2^63 bytes with its padding */
    huge.name = "i";
    expect(ut_gguf_put_tensor(writer, &huge, &err), UTTER_ERROR_ARGUMENT, &err, "makes the file too large");
    ut_gguf_writer_destroy(writer); /* unfinished */
    assert_int_equal(count_files(), 0);
}

static void test_refused_calls(void **state) {
    static const struct ut_tensor tensor = {.name = "t", .type = UT_F32, .n_dims = 1, .dims = {2, 1, 1, 1},
                                            .n_bytes = 8};
    static const char *const not_utf8[] = {"fine", "\xC3"};
    static char long_key[65537];
    struct ut_gguf_writer *writer;
    utter_error err;
    expect(ut_gguf_writer_create(&mem, temp_path("missing/out"), &writer, &err), UTTER_ERROR_IO, &err,
           "missing/out: cannot be written: No such file");
    assert_null(writer);
    require_ok(ut_gguf_writer_create(&mem, temp_path("out"), &writer, &err), &err);
    memset(long_key, 'k', 65536);
    expect(ut_gguf_put_bool(writer, long_key, true, &err), UTTER_ERROR_ARGUMENT, &err, "longer than 65535 bytes");
    long_key[65535] = '\0';
    require_ok(ut_gguf_put_bool(writer, long_key, true, &err), &err);
    expect(ut_gguf_put_bool(writer, "", true, &err), UTTER_ERROR_ARGUMENT, &err, "key \"\" is empty");
    expect(ut_gguf_put_float(writer, "\xFF", 1, &err), UTTER_ERROR_ARGUMENT, &err, "not UTF-8");
    expect(ut_gguf_put_string(writer, "s", "\xFF", &err), UTTER_ERROR_ARGUMENT, &err, "key \"s\": a string that is");
    expect(ut_gguf_put_strings(writer, "s", not_utf8, 2, &err), UTTER_ERROR_ARGUMENT, &err, "not UTF-8");
    expect(ut_gguf_put_uint32(writer, "general.alignment", 64, &err), UTTER_ERROR_ARGUMENT, &err, "aligned to 32");
    require_ok(ut_gguf_put_string(writer, "s", "", &err), &err);
    expect(ut_gguf_put_uint32(writer, "s", 5, &err), UTTER_ERROR_ARGUMENT, &err, "key \"s\" is there already");
    require_ok(ut_gguf_put_tensor(writer, &tensor, &err), &err);
    expect(ut_gguf_writer_finish(writer, &err), UTTER_ERROR_ARGUMENT, &err, "before all tensors have their data");
    expect(ut_gguf_put_data(writer, "1234567", 7, &err), UTTER_ERROR_ARGUMENT, &err, "has 8 bytes of data, not 7");
    require_ok(ut_gguf_put_data(writer, "12345678", 8, &err), &err);
    expect(ut_gguf_put_data(writer, "12345678", 8, &err), UTTER_ERROR_ARGUMENT, &err, "data of no tensor");
    expect(ut_gguf_put_bool(writer, "late", true, &err), UTTER_ERROR_ARGUMENT, &err, "after the first data");
    expect(ut_gguf_put_tensor(writer, &tensor, &err), UTTER_ERROR_ARGUMENT, &err, "after the first data");
    require_ok(ut_gguf_writer_finish(writer, &err), &err);
    expect(ut_gguf_writer_finish(writer, &err), UTTER_ERROR_ARGUMENT, &err, "finished already");
    ut_gguf_writer_destroy(writer);
    ut_gguf_writer_destroy(NULL);

    struct ut_weights *weights; /* none of the refused calls left a trace */
    require_ok(ut_weights_open(&mem, temp_path("out"), &weights, &err), &err);
    assert_int_equal(ut_weights_n_metadata(weights), 2);
    assert_int_equal(ut_weights_count(weights), 1);
    use_weights(weights);
    ut_weights_close(weights);
}

/* Writes one tensor of n_bytes, stopping at the first failure. */
static utter_status write_one(struct ut_mem *from, const char *path, const char *data, size_t n_bytes,
                              utter_error *err) {
    struct ut_tensor tensor = {.name = "t", .type = UT_I8, .n_dims = 1, .dims = {n_bytes, 1, 1, 1},
                               .n_bytes = n_bytes};
    static const char *const strings[] = {"a", "b"};
    struct ut_gguf_writer *writer;
    utter_status status = ut_gguf_writer_create(from, path, &writer, err);
    if (!status) {
        status = ut_gguf_put_string(writer, "key", "value", err);
    }
    if (!status) {
        status = ut_gguf_put_strings(writer, "strings", strings, 2, err);
    }
    if (!status) {
        status = ut_gguf_put_tensor(writer, &tensor, err);
    }
    if (!status) {
        status = ut_gguf_put_data(writer, data, n_bytes, err);
    }
    if (!status) {
        status = ut_gguf_writer_finish(writer, err);
    }
    ut_gguf_writer_destroy(writer);
    return status;
}

/* A file that may not grow stands for a full disk: the old file stays, the new one leaves no trace. */
static void test_full_disk(void **state) {
    static char large[100000];
    utter_error err;
    temp_write("out", "old", 3);
    struct rlimit before, limited;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_IGN);
    for (rlim_t limit = 0; limit < sizeof large; limit += 30000) {
        limited = (struct rlimit){limit, before.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limited), 0);
        utter_status status = write_one(&mem, temp_path("out"), large, sizeof large, &err);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        expect(status, UTTER_ERROR_IO, &err, "File too large");
        assert_int_equal(count_files(), 1);
    }
    struct stat info;
    assert_int_equal(stat(temp_path("out"), &info), 0);
    assert_int_equal(info.st_size, 3);
    require_ok(write_one(&mem, temp_path("out"), large, sizeof large, &err), &err);
    assert_int_equal(mkdir(temp_path("folder"), 0700), 0);
    expect(write_one(&mem, temp_path("folder"), large, 1, &err), UTTER_ERROR_IO, &err, "folder: cannot be written");
    assert_int_equal(count_files(), 2);
}

static void test_failing_allocations(void **state) {
    struct sweep sweep;
    for (int persistent = 0; persistent < 2; persistent++) {
        for (sweep_start(&sweep, &mem, persistent); sweep_next(&sweep);) {
            utter_status status = write_one(&mem, temp_path("out"), "x", 1, NULL);
            sweep_check(&sweep, status);
            assert_int_equal(count_files(), status == UTTER_OK);
        }
        assert_in_range(sweep.n_injected, 6, 100);
        assert_int_equal(remove(temp_path("out")), 0);
    }
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_quantized, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_tensors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_calls, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failing_allocations, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
