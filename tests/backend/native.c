/* The native backend's front door: which file a path means, the family that a file belongs to, and
 * what voices are called. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/native.h"

static char folder[64];

static int setup(void **state) {
    strcpy(folder, "/tmp/utter-test-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state) {
    return rmdir(folder);
}

static const char *path_of(const char *name) {
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void touch(const char *name) {
    FILE *file = fopen(path_of(name), "wb");
    assert_non_null(file);
    fclose(file);
}

static void files_and_folders(void **state) {
    static const char *const models[] = {"a.onnx", "voice.safetensors"};
    char found[PATH_MAX];
    utter_error err;
    assert_int_equal(ut_native_find_model("there/or/not.onnx", found, &err), UTTER_OK);
    assert_string_equal(found, "there/or/not.onnx");
    touch("config.json");
    touch("golden.safetensors");
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        assert_int_equal(ut_native_find_model(folder, found, &err), UTTER_ERROR_NOT_FOUND);
        touch(models[i]);
        assert_int_equal(ut_native_find_model(folder, found, &err), UTTER_OK);
        assert_string_equal(found, path_of(models[i]));
        touch("b.onnx");
        assert_int_equal(ut_native_find_model(folder, found, &err), UTTER_ERROR_ARGUMENT);
        assert_non_null(strstr(err.message, "2 voices"));
        unlink(path_of("b.onnx"));
        unlink(path_of(models[i]));
    }
    unlink(path_of("config.json"));
    unlink(path_of("golden.safetensors"));
}

static void names(void **state) {
    static const struct {
        const char *path, *name;
    } cases[] = {
        {"voices/en_US-amy-medium.onnx", "en_US-amy-medium"},
        {"amy.onnx", "amy"},
        {"voices/house/voice.safetensors", "house"},
        {"voice.safetensors", "voice"},
        {"kokoro-v1_0.pth", "kokoro-v1_0"},
        {"./kokoro.q4.gguf", "kokoro.q4"},
        {"a/.onnx", ".onnx"},
    };
    struct ut_mem mem;
    ut_mem_init(&mem, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ut_native_names names;
        utter_error err;
        assert_int_equal(ut_native_names_init(&names, &mem, cases[i].path, &err), UTTER_OK);
        assert_string_equal(names.path, cases[i].path);
        assert_string_equal(names.file, cases[i].path);
        assert_string_equal(names.name, cases[i].name);
        ut_native_names_free(&names, &mem);
    }
    assert_int_equal(mem.bytes[UT_MEM_OTHER], 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_and_folders),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
