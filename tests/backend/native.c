/* The native backend's front door: the family that a file belongs to, and what voices are called.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "backend/native.h"

static void names(void **state) {
    static const struct {
        const char *path, *name;
    } cases[] = {
        {"voices/en_US-amy-medium.onnx", "en_US-amy-medium"},
        {"amy.onnx", "amy"},
        {"voices/house/voice.safetensors", "house"},
        {"voice.safetensors", "voice"},
        {"kokoro/model.safetensors", "kokoro"},
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
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
