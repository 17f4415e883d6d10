/* The language of models that are not open, of every kind of file: what espeak-ng speaks in their
 * place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/chain.h"
#include "backend/import.h"
#include "backend/model_language.h"
#include "support/sweep.h"
#include "support/speak.h"
#include "text/misaki.h"

static struct ut_mem mem;
static struct ut_backend_context context;
static char folder[64];

static int setup(void **state) {
    ut_mem_init(&mem, NULL);
    context.mem = &mem;
    strcpy(folder, "/tmp/utter-test-XXXXXX");
    return mkdtemp(folder)
               ? speak_compute_open(&mem, ut_cpu_level_best(), 1, &context.compute, NULL)
               : -1;
}

static int teardown(void **state) {
    char command[128];
    speak_compute_close(&context.compute);
    for (int i = 0; i < UT_MEM_N_OWNERS; i++) {
        if (mem.bytes[i] != 0) {
            return -1;
        }
    }
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static const char *data_path(const char *name) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", getenv("UT_TEST_DATA"), name);
    return path;
}

static const char *path_of(const char *name) {
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static const char *language_of(const char *path) {
    static char name[UT_LANGUAGE_SIZE];
    ut_model_language(&mem, path, name);
    return name;
}

static void import_as(const char *name, const char *from, const char *voices) {
    const utter_import_options options = {.size = sizeof options, .voices = voices};
    utter_import_result result = {.size = sizeof result};
    utter_error err;
    if (ut_backend_import(&context, data_path(from), path_of(name), &options, &result, &err) !=
        UTTER_OK) {
        fail_msg("%s", err.message);
    }
}

static void beside_the_model(void **state) {
    assert_string_equal(language_of(data_path("piper/tiny.onnx")), "en-us");
    assert_string_equal(language_of(data_path("kokoro")), "en-us");
    assert_string_equal(language_of("/nonexistent"), "en-us");
}

/* A copy of the Piper voice whose configuration says German. */
static void write_german(void) {
    char command[9000];
    snprintf(
        command, sizeof command,
        "cp %s/piper/tiny.onnx %s/de.onnx && "
        "sed 's/\"voice\": *\"en-us\"/\"voice\": \"de\"/' %s/piper/tiny.onnx.json > %s/de.onnx.json",
        getenv("UT_TEST_DATA"), folder, getenv("UT_TEST_DATA"), folder);
    assert_int_equal(system(command), 0);
}

static void inside_a_gguf_file(void **state) {
    char german[128];
    write_german();
    snprintf(german, sizeof german, "%s", path_of("de.onnx"));
    assert_string_equal(language_of(german), "de");
    const utter_import_options options = {.size = sizeof options};
    utter_import_result result = {.size = sizeof result};
    assert_int_equal(
        ut_backend_import(&context, german, path_of("alone.gguf"), &options, &result, NULL),
        UTTER_OK);
    assert_string_equal(language_of(path_of("alone.gguf")), "de");
    import_as("british.gguf", "kokoro/kokoro-v1_0.pth", "bm_*");
    assert_string_equal(language_of(path_of("british.gguf")), ut_misaki_espeak_voice('b'));
    import_as("all.gguf", "kokoro/kokoro-v1_0.pth", NULL);
    assert_string_equal(language_of(path_of("all.gguf")), ut_misaki_espeak_voice('a'));
    assert_int_equal(truncate(path_of("all.gguf"), 1000), 0);
    assert_string_equal(language_of(path_of("all.gguf")), "en-us");
}

/* --backend espeak with a model that says what it speaks. */
static void the_formant_voice_speaks_it(void **state) {
    struct ut_backend_voice *voice;
    char reason[UT_REASON_SIZE];
    utter_voice_info info = {0};
    assert_int_equal(ut_backend_open(&context, path_of("alone.gguf"), UTTER_BACKEND_ESPEAK, &voice,
                                     reason, NULL),
                     UTTER_OK);
    voice->backend->info(voice, &info);
    assert_string_equal(info.language, "de");
    voice->backend->close(voice);
}

/* Without memory it is the language that is left; nothing stays behind. */
static void no_memory(void **state) {
    static const char *const names[] = {"alone.gguf", "british.gguf", "de.onnx"};
    for (size_t i = 0; i < 3; i++) {
        struct ut_mem scarce;
        struct sweep sweep;
        char name[UT_LANGUAGE_SIZE];
        for (sweep_start(&sweep, &scarce, true); sweep_next(&sweep);) {
            ut_model_language(&scarce, path_of(names[i]), name);
            assert_true(*name);
        }
        assert_string_not_equal(name, "en-us");
        assert_true(sweep.n_injected > 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(beside_the_model),
        cmocka_unit_test(inside_a_gguf_file),
        cmocka_unit_test(the_formant_voice_speaks_it),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
