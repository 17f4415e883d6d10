/* Kokoro's style tables: files beside a model in every form, what is refused, threads. */
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/checked.h"
#include "models/kokoro/voices.h"
#include "support/failing_allocator.h"
#include "support/tensor_file.h"
#include "weights/temp_folder.h"
#include "weights/weights_check.h"

enum { ROWS = UT_KOKORO_VOICE_ROWS, STYLE = 300 /* more than is read at once */ };

static struct ut_mem mem;

static float value_at(int voice, size_t row, size_t i) {
    return (float)voice * 1000 + (float)row + (float)i / 1024;
}

static float *build_table(int voice, size_t n_style) {
    float *values = test_alloc(ROWS * n_style * sizeof *values);
    for (size_t i = 0; i < ROWS * n_style; i++) {
        values[i] = value_at(voice, i / n_style, i % n_style);
    }
    return values;
}

static void write_table(const char *path, const char *tensor, const uint64_t *dims,
                        const float *values) {
    struct tensor_file file = {0};
    struct byte_buffer bytes = {0};
    tensor_file_add(&file, tensor, dims, values);
    tensor_file_write_safetensors(&file, &bytes);
    temp_write(path, bytes.data, bytes.n);
    byte_buffer_free(&bytes);
    tensor_file_free(&file);
}

/* A folder with a safetensors file of three dimensions, one of two, and a raw one. */
static int build_folder(void **state) {
    temp_folder_create();
    mkdir(temp_path("voices"), 0777);
    float *values = build_table(1, STYLE);
    write_table("voices/one.safetensors", "voice", (uint64_t[]){ROWS, 1, STYLE, 0}, values);
    free(values);
    values = build_table(2, STYLE);
    write_table("voices/two.safetensors", "", (uint64_t[]){ROWS, STYLE, 0, 0}, values);
    free(values);
    values = build_table(3, STYLE);
    temp_write("voices/raw.bin", values, ROWS * STYLE * sizeof *values);
    free(values);
    return 0;
}

static int remove_folder(void **state) {
    temp_folder_remove();
    return 0;
}

static struct ut_kokoro_voices *open_voices(int n_style) {
    struct ut_kokoro_voices *voices;
    utter_error err;
    if (ut_kokoro_voices_open(&mem, temp_path("model.pth"), NULL, n_style, NULL, &voices, &err)) {
        fail_msg("%s", err.message);
    }
    return voices;
}

static utter_status read_style(const struct ut_kokoro_voices *voices, const char *expression,
                               size_t n_symbols, float *style, utter_error *err) {
    struct ut_kokoro_blend blend;
    utter_status status = ut_kokoro_blend_parse(voices, expression, &blend, err);
    return status ? status : ut_kokoro_style(voices, &blend, n_symbols, style, err);
}

static void rows(void **state) {
    static const struct {
        const char *name;
        int number;
    } files[] = {{"one", 1}, {"raw", 3}, {"two", 2}};
    static const struct {
        size_t n_symbols, row;
    } lengths[] = {{0, 0}, {1, 0}, {2, 1}, {509, 508}, {510, 509}, {511, 509}, {SIZE_MAX, 509}};
    struct ut_kokoro_voices *voices = open_voices(STYLE);
    utter_error err;
    assert_int_equal(ut_kokoro_voices_count(voices), 3);
    for (size_t f = 0; f < UT_COUNT(files); f++) {
        assert_string_equal(ut_kokoro_voices_name(voices, f), files[f].name);
        for (size_t l = 0; l < UT_COUNT(lengths); l++) {
            float style[STYLE];
            assert_int_equal(read_style(voices, files[f].name, lengths[l].n_symbols, style, &err),
                             UTTER_OK);
            for (size_t i = 0; i < STYLE; i++) {
                assert_true(style[i] == value_at(files[f].number, lengths[l].row, i));
            }
        }
    }
    ut_kokoro_voices_close(voices);
}

static void mixtures(void **state) {
    struct ut_kokoro_voices *voices = open_voices(STYLE);
    float style[STYLE];
    utter_error err;
    assert_int_equal(read_style(voices, "one(3)+raw(2)-two", 10, style, &err), UTTER_OK);
    for (size_t i = 0; i < STYLE; i++) {
        double wanted = 0.75 * (double)value_at(1, 9, i) + 0.5 * (double)value_at(3, 9, i) -
                        0.25 * (double)value_at(2, 9, i);
        assert_true(fabs(style[i] - wanted) <= 1e-7 * wanted);
    }
    ut_kokoro_voices_close(voices);
}

/* The rows that the reference took of the fixture's torch files. */
static void rows_of_the_reference(void **state) {
    static const struct {
        const char *name, *voice;
    } utterances[] = {{"u0", "af_synth"}, {"u1", "bm_synth"}, {"u2", "af_synth"}};
    char path[1024];
    struct ut_kokoro_voices *voices;
    struct ut_weights *golden;
    utter_error err;
    snprintf(path, sizeof path, "%s/kokoro/golden_tiny.safetensors", getenv("UT_TEST_DATA"));
    assert_int_equal(ut_weights_open(&mem, path, &golden, &err), UTTER_OK);
    assert_int_equal(ut_kokoro_voices_open(&mem, path, NULL, 64, NULL, &voices, &err), UTTER_OK);
    assert_int_equal(ut_kokoro_voices_count(voices), 2);
    for (size_t i = 0; i < UT_COUNT(utterances); i++) {
        char name[32];
        float style[64];
        snprintf(name, sizeof name, "%s.input_ids", utterances[i].name);
        size_t n_ids = (size_t)ut_weights_find(golden, name)->dims[0];
        assert_int_equal(read_style(voices, utterances[i].voice, n_ids - 2, style, &err), UTTER_OK);
        snprintf(name, sizeof name, "%s.ref_s", utterances[i].name);
        const struct ut_tensor *wanted = ut_weights_find(golden, name);
        assert_int_equal(wanted->n_bytes, sizeof style);
        assert_memory_equal(style, wanted->data, sizeof style);
    }
    ut_kokoro_voices_close(voices);
    ut_weights_close(golden);
}

struct warnings {
    int n;
    char last[500];
};

static void count_warning(void *user, utter_log_level level, const char *message) {
    struct warnings *warnings = user;
    warnings->n += level == UTTER_LOG_WARNING;
    snprintf(warnings->last, sizeof warnings->last, "%s", message);
}

static void names_of_files(void **state) {
    char too_long[128] = "voices/";
    memset(too_long + 7, 'x', 65);
    strcpy(too_long + 7 + 65, ".pt");
    const char *const odd[] = {"voices/a b.pt",    "voices/.pt", "voices/\xc3\xa4.pt", too_long,
                               "voices/notes.txt", "voices/pt",  "voices/z.PT"};
    struct warnings warnings = {0};
    struct ut_log log = {count_warning, &warnings};
    struct ut_kokoro_voices *voices;
    utter_error err;
    for (size_t i = 0; i < UT_COUNT(odd); i++) {
        temp_write(odd[i], "", 0);
    }
    /* Of files with one name the safetensors file is taken, though the others are broken. */
    temp_write("voices/one.pt", "x", 1);
    too_long[7 + 64] = '\0';
    strcat(too_long, ".pt"); /* 64 characters are not too many */
    temp_write(too_long, "x", 1);
    assert_int_equal(
        ut_kokoro_voices_open(&mem, temp_path("model.pth"), NULL, STYLE, &log, &voices, &err),
        UTTER_OK);
    assert_int_equal(ut_kokoro_voices_count(voices), 4);
    assert_string_equal(ut_kokoro_voices_name(voices, 3) + 63, "x");
    assert_int_equal(warnings.n, 3); /* ".pt" is an ending without a name and no voice */
    assert_non_null(strstr(warnings.last, "names of voices have 1 to 64 of the characters"));
    float style[STYLE];
    assert_int_equal(read_style(voices, "one", 1, style, &err), UTTER_OK);
    ut_kokoro_voices_close(voices);
    for (size_t i = 0; i < UT_COUNT(odd); i++) {
        unlink(temp_path(odd[i]));
    }
    memset(too_long + 7, 'x', 65);
    strcpy(too_long + 7 + 65, ".pt");
    unlink(temp_path(too_long));
    unlink(temp_path("voices/one.pt"));
}

/* ---- What is refused ---------------------------------------------------------------------------
 */

static void expect_open_fails(const char *model, int n_style, utter_status wanted,
                              const char *message) {
    struct ut_kokoro_voices *voices;
    utter_error err;
    assert_int_equal(
        ut_kokoro_voices_open(&mem, temp_path(model), NULL, n_style, NULL, &voices, &err), wanted);
    if (!strstr(err.message, message)) {
        fail_msg("\"%s\" does not say \"%s\"", err.message, message);
    }
    assert_null(voices);
}

static void no_voices(void **state) {
    mkdir(temp_path("empty"), 0777);
    expect_open_fails("empty/model.pth", STYLE, UTTER_ERROR_NOT_FOUND,
                      "there are no voices: none inside ");
    mkdir(temp_path("empty/voices"), 0777);
    expect_open_fails("empty/model.pth", STYLE, UTTER_ERROR_NOT_FOUND,
                      "and no NAME.pt, NAME.safetensors or NAME.bin in ");
    rmdir(temp_path("empty/voices"));
    temp_write("empty/voices", "", 0);
    expect_open_fails("empty/model.pth", STYLE, UTTER_ERROR_NOT_FOUND, "there are no voices");
}

static void too_many_voices(void **state) {
    mkdir(temp_path("many"), 0777);
    mkdir(temp_path("many/voices"), 0777);
    for (int i = 0; i <= UT_KOKORO_MAX_VOICES; i++) {
        char name[64];
        snprintf(name, sizeof name, "many/voices/v%d.pt", i);
        temp_write(name, "", 0);
    }
    expect_open_fails("many/model.pth", STYLE, UTTER_ERROR_FORMAT,
                      "there are more than 1024 voices");
}

static void wrong_tables(void **state) {
    static const struct {
        const char *name;
        uint64_t dims[UT_MAX_DIMS];
        const char *message;
    } shapes[] = {
        {"rows",
         {511, 1, 8},
         "voice rows has a table of [511, 1, 8], this model needs [510, 1, 8]"},
        {"columns", {510, 1, 9}, "voice columns has a table of [510, 1, 9]"},
        {"between", {510, 2, 4}, "voice between has a table of [510, 2, 4]"},
        {"vector", {4080}, "voice vector has a table of [4080]"},
        {"deep", {1, 510, 1, 8}, "voice deep has a table of [1, 510, 1, 8]"},
    };
    mkdir(temp_path("wrong"), 0777);
    mkdir(temp_path("wrong/voices"), 0777);
    for (size_t i = 0; i < UT_COUNT(shapes); i++) {
        char path[64];
        snprintf(path, sizeof path, "wrong/voices/%s.safetensors", shapes[i].name);
        write_table(path, "voice", shapes[i].dims, NULL);
    }
    struct tensor_file file = {0};
    struct byte_buffer bytes = {0};
    struct ut_tensor *integers = tensor_file_add(&file, "a", (uint64_t[]){510, 1, 16, 0}, NULL);
    integers->type = UT_I64;
    integers->dims[2] = 8;
    tensor_file_write_safetensors(&file, &bytes);
    temp_write("wrong/voices/integers.safetensors", bytes.data, bytes.n);
    tensor_file_add(&file, "b", (uint64_t[]){1, 0, 0, 0}, NULL);
    bytes.n = 0;
    tensor_file_write_safetensors(&file, &bytes);
    temp_write("wrong/voices/several.safetensors", bytes.data, bytes.n);
    temp_write("wrong/voices/damaged.safetensors", "x", 1);
    byte_buffer_free(&bytes);
    tensor_file_free(&file);

    struct ut_kokoro_voices *voices;
    utter_error err;
    float style[8];
    assert_int_equal(
        ut_kokoro_voices_open(&mem, temp_path("wrong/m.pth"), NULL, 8, NULL, &voices, &err),
        UTTER_OK);
    for (size_t i = 0; i < UT_COUNT(shapes); i++) {
        assert_int_equal(read_style(voices, shapes[i].name, 3, style, &err), UTTER_ERROR_FORMAT);
        assert_non_null(strstr(err.message, shapes[i].message));
    }
    assert_int_equal(read_style(voices, "integers", 3, style, &err), UTTER_ERROR_FORMAT);
    assert_string_equal(err.message, "voice integers is stored as i64, expected f32");
    assert_int_equal(read_style(voices, "several", 3, style, &err), UTTER_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "several.safetensors holds 2 tensors, a voice is one"));
    assert_int_equal(read_style(voices, "damaged", 3, style, &err), UTTER_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "damaged.safetensors"));
    ut_kokoro_voices_close(voices);

    float raw[7] = {0};
    temp_write("wrong/voices/short.bin", raw, sizeof raw);
    expect_open_fails("wrong/m.pth", 8, UTTER_ERROR_FORMAT,
                      "short.bin has 28 bytes, a voice of this model 16320: [510, 1, 8] f32");
}

static void values_that_are_no_numbers(void **state) {
    mkdir(temp_path("nan"), 0777);
    mkdir(temp_path("nan/voices"), 0777);
    float *values = build_table(1, STYLE);
    values[4 * STYLE + 299] = NAN;
    values[6 * STYLE] = -INFINITY;
    temp_write("nan/voices/v.bin", values, ROWS * STYLE * sizeof *values);
    free(values);
    struct ut_kokoro_voices *voices;
    utter_error err;
    float style[STYLE];
    assert_int_equal(
        ut_kokoro_voices_open(&mem, temp_path("nan/m.pth"), NULL, STYLE, NULL, &voices, &err),
        UTTER_OK);
    assert_int_equal(read_style(voices, "v", 4, style, &err), UTTER_OK);
    assert_int_equal(read_style(voices, "v", 5, style, &err), UTTER_ERROR_FORMAT);
    assert_string_equal(err.message,
                        "voice v: value 299 of row 4 is not finite: the file is damaged");
    assert_int_equal(read_style(voices, "v", 7, style, &err), UTTER_ERROR_FORMAT);
    assert_string_equal(err.message,
                        "voice v: value 0 of row 6 is not finite: the file is damaged");
    ut_kokoro_voices_close(voices);
}

/* Files that go, change or lose their end between the listing and the reading. */
static void files_that_change(void **state) {
    mkdir(temp_path("change"), 0777);
    mkdir(temp_path("change/voices"), 0777);
    float *values = build_table(1, STYLE), style[STYLE];
    temp_write("change/voices/gone.bin", values, ROWS * STYLE * sizeof *values);
    temp_write("change/voices/cut.bin", values, ROWS * STYLE * sizeof *values);
    temp_write("change/voices/grown.bin", values, ROWS * STYLE * sizeof *values);
    write_table("change/voices/table.safetensors", "voice", (uint64_t[]){ROWS, 1, STYLE, 0},
                values);
    struct ut_kokoro_voices *voices;
    utter_error err;
    assert_int_equal(
        ut_kokoro_voices_open(&mem, temp_path("change/m.pth"), NULL, STYLE, NULL, &voices, &err),
        UTTER_OK);
    unlink(temp_path("change/voices/gone.bin"));
    assert_int_equal(read_style(voices, "gone", 1, style, &err), UTTER_ERROR_NOT_FOUND);
    temp_write("change/voices/grown.bin", values, 100);
    assert_int_equal(read_style(voices, "grown", 1, style, &err), UTTER_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "grown.bin has 100 bytes"));
    free(values);

    restore_sigbus_handler();
    static const char *const cut[] = {"cut", "table"};
    for (size_t i = 0; i < UT_COUNT(cut); i++) {
        char path[64];
        snprintf(path, sizeof path, "change/voices/%s.%s", cut[i], i ? "safetensors" : "bin");
        assert_int_equal(read_style(voices, cut[i], 510, style, &err), UTTER_OK);
        assert_int_equal(truncate(temp_path(path), 4096), 0);
        assert_int_equal(read_style(voices, cut[i], 510, style, &err), UTTER_ERROR_IO);
        assert_non_null(strstr(err.message, path));
    }
    ut_kokoro_voices_close(voices);
}

static void out_of_memory(void **state) {
    struct failing_allocator failing;
    utter_allocator allocator = failing_allocator_start(&failing);
    struct ut_mem weak;
    ut_mem_init(&weak, &allocator);
    size_t n = 0;
    for (utter_status status = UTTER_ERROR_MEMORY; status != UTTER_OK;) {
        struct ut_kokoro_voices *voices;
        utter_error err;
        float style[STYLE];
        failing_allocator_reset(&failing, ++n, false);
        status =
            ut_kokoro_voices_open(&weak, temp_path("model.pth"), NULL, STYLE, NULL, &voices, &err);
        status = status ? status : read_style(voices, "one+raw+two", 7, style, &err);
        assert_true(status == UTTER_OK || status == UTTER_ERROR_MEMORY);
        ut_kokoro_voices_close(voices);
        assert_int_equal(failing.n_blocks, 0);
        assert_false(failing.wrong_size);
    }
    assert_true(n > 8);
}

/* ---- Threads -----------------------------------------------------------------------------------
 */

static void *read_often(void *user) {
    const struct ut_kokoro_voices *voices = user;
    intptr_t n_wrong = 0;
    for (size_t n = 1; n <= 200; n++) {
        float style[STYLE];
        utter_error err;
        n_wrong += read_style(voices, "raw(2)-one", n, style, &err) != UTTER_OK;
        n_wrong += style[5] != 2 * value_at(3, n - 1, 5) - value_at(1, n - 1, 5);
    }
    return (void *)n_wrong;
}

static void many_threads(void **state) {
    struct ut_kokoro_voices *voices = open_voices(STYLE);
    pthread_t threads[8];
    for (size_t i = 0; i < UT_COUNT(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, read_often, voices), 0);
    }
    for (size_t i = 0; i < UT_COUNT(threads); i++) {
        void *n_wrong;
        assert_int_equal(pthread_join(threads[i], &n_wrong), 0);
        assert_null(n_wrong);
    }
    ut_kokoro_voices_close(voices);
}

int main(void) {
    ut_mem_init(&mem, NULL);
    remember_sigbus_handler();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows),
        cmocka_unit_test(mixtures),
        cmocka_unit_test(rows_of_the_reference),
        cmocka_unit_test(names_of_files),
        cmocka_unit_test(no_voices),
        cmocka_unit_test(too_many_voices),
        cmocka_unit_test(wrong_tables),
        cmocka_unit_test(values_that_are_no_numbers),
        cmocka_unit_test(files_that_change),
        cmocka_unit_test(out_of_memory),
        cmocka_unit_test(many_threads),
    };
    return cmocka_run_group_tests(tests, build_folder, remove_folder);
}
