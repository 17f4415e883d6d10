/* The native backend's front door: the family that a file belongs to, told without parsing it
 * twice, and what voices are called. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/import.h"
#include "backend/native.h"
#include "support/failing_allocator.h"
#include "support/speak.h"

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

static size_t n_allocations(struct failing_allocator *memory, const struct ut_backend *family,
                            const struct ut_backend_context *context, const char *path) {
    struct ut_backend_voice *voice;
    utter_error err;
    failing_allocator_reset(memory, 0, false);
    utter_status status = family ? family->open(context, path, &voice, &err)
                                 : ut_native_open(context, path, &voice, &err);
    if (status != UTTER_OK) {
        fail_msg("%s: %s", path, err.message);
    }
    size_t n = memory->n_calls;
    voice->backend->close(voice);
    return n;
}

/* Telling the family allocates nothing beside what opening takes: the file is parsed once. */
static void one_parse(void **state) {
    static const struct {
        const char *name;
        const struct ut_backend *family;
        bool is_import;
    } cases[] = {
        {"house/tiny", &ut_native_piper, false}, {"piper/tiny.onnx", &ut_native_piper, false},
        {"kokoro", &ut_native_kokoro, false},    {"piper/tiny.onnx", &ut_native_piper, true},
        {"kokoro", &ut_native_kokoro, true},
    };
    struct failing_allocator memory;
    utter_allocator allocator = failing_allocator_start(&memory);
    struct ut_mem mem;
    struct ut_backend_context context = {.mem = &mem};
    char path[1024], gguf[] = "/tmp/utter-test-XXXXXX.gguf";
    int fd = mkstemps(gguf, 5);
    assert_true(fd >= 0 && close(fd) == 0);
    ut_mem_init(&mem, &allocator);
    assert_int_equal(speak_compute_open(&mem, UT_CPU_SCALAR, 1, &context.compute, NULL), UTTER_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(path, sizeof path, "%s/%s", getenv("UT_TEST_DATA"), cases[i].name);
        if (cases[i].is_import) {
            utter_import_options options = {.size = sizeof options};
            utter_import_result result = {.size = sizeof result};
            assert_int_equal(ut_backend_import(&context, path, gguf, &options, &result, NULL),
                             UTTER_OK);
            strcpy(path, gguf);
        }
        size_t alone = n_allocations(&memory, cases[i].family, &context, path);
        assert_int_equal(n_allocations(&memory, NULL, &context, path), alone);
    }
    unlink(gguf);
    speak_compute_close(&context.compute);
    assert_int_equal(memory.n_blocks, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(one_parse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
