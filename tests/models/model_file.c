/* Finding a model in a folder, and reading configurations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "models/model_file.h"

static char folder[64];

static int setup(void **state) {
    strcpy(folder, "/tmp/utter-model-file-XXXXXX");
    return !mkdtemp(folder);
}

static int teardown(void **state) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static const char *path_of(const char *name) {
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void put(const char *name, const char *text) {
    FILE *file = fopen(path_of(name), "wb");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void the_one_model_is_found(void **state) {
    static const char *const models[] = {"a.onnx",
                                         "kokoro-v1_0.pth",
                                         "k.gguf",
                                         "voice.safetensors",
                                         "model.safetensors",
                                         "kokoro-v1_0.safetensors"};
    char found[PATH_MAX];
    utter_error err;
    put("golden.safetensors", "");
    put("config.json", "");
    put(".gguf", ""); /* an extension without a name is none */
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        assert_int_equal(ut_model_find(folder, found, &err), UTTER_ERROR_NOT_FOUND);
        assert_non_null(strstr(err.message, "*.gguf"));
        put(models[i], "");
        assert_int_equal(ut_model_find(folder, found, &err), UTTER_OK);
        assert_string_equal(found, path_of(models[i]));
        put("other.gguf", "");
        assert_int_equal(ut_model_find(folder, found, &err), UTTER_ERROR_ARGUMENT);
        assert_non_null(strstr(err.message, "2 voices"));
        unlink(path_of("other.gguf"));
        unlink(path_of(models[i]));
    }
}

static void files_are_taken_as_they_are(void **state) {
    static char overlong[PATH_MAX + 10];
    char found[PATH_MAX];
    utter_error err;
    assert_int_equal(ut_model_find("not/there.onnx", found, &err), UTTER_OK);
    assert_string_equal(found, "not/there.onnx");
    memset(overlong, 'x', sizeof overlong - 1);
    assert_int_equal(ut_model_find(overlong, found, &err), UTTER_ERROR_ARGUMENT);
    if (geteuid() != 0) { /* root may read any folder */
        chmod(folder, 0);
        assert_int_equal(ut_model_find(folder, found, &err), UTTER_ERROR_IO);
        chmod(folder, 0700);
    }
}

static void expect_config(struct ut_mem *mem, const char *path, utter_status status,
                          const char *message) {
    char *text;
    size_t n = 0;
    utter_error err = {0};
    assert_int_equal(ut_config_read(mem, path, &text, &n, &err), status);
    assert_non_null(strstr(err.message, message));
    if (status == UTTER_OK) {
        assert_int_equal(n, 7);
        assert_memory_equal(text, "{\"a\":1}", n);
    }
    ut_mem_free(mem, text);
}

static void configurations_are_read_whole(void **state) {
    struct ut_mem mem;
    ut_mem_init(&mem, NULL);
    put("good.json", "{\"a\":1}");
    put("short.json", "{");
    expect_config(&mem, path_of("good.json"), UTTER_OK, "");
    expect_config(&mem, path_of("short.json"), UTTER_ERROR_FORMAT, "not a voice configuration");
    expect_config(&mem, path_of("missing.json"), UTTER_ERROR_IO, "missing.json");
    expect_config(&mem, folder, UTTER_ERROR_FORMAT, "not a voice configuration");
    put("huge.json", "{");
    assert_int_equal(truncate(path_of("huge.json"), UT_MAX_CONFIG_BYTES + 1), 0);
    expect_config(&mem, path_of("huge.json"), UTTER_ERROR_FORMAT, "not a voice configuration");
    assert_int_equal(mem.bytes[UT_MEM_OTHER], 0);
}

static void names_end(void **state) {
    assert_true(ut_path_ends_with("a.onnx", ".onnx"));
    assert_false(ut_path_ends_with(".onnx", ".onnx"));
    assert_false(ut_path_ends_with("onnx", ".onnx"));
    put("file", "");
    assert_true(ut_path_is_file(path_of("file")));
    assert_false(ut_path_is_file(folder));
    assert_false(ut_path_is_file("not/there"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_one_model_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(files_are_taken_as_they_are, setup, teardown),
        cmocka_unit_test_setup_teardown(configurations_are_read_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(names_end, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
