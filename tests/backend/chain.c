/* Which backend is chosen, in which language a voice that does not load is spoken, and what is an
 * error. The public tests (speech/voice.c) cover the same through utter.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "backend/chain.h"
#include "support/speak.h"

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
    speak_compute_close(&context.compute);
    for (int i = 0; i < UT_MEM_N_OWNERS; i++) {
        if (mem.bytes[i] != 0) {
            return -1;
        }
    }
    return remove(folder);
}

static void write_text(const char *name, const char *text) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void remove_file(const char *name) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    remove(path);
}

/* The language that espeak speaks for folder/name; the reason must be given. */
static const char *language_of(const char *name) {
    static char language[64];
    struct ut_backend_voice *voice;
    char path[128], reason[UT_REASON_SIZE];
    utter_error err;
    utter_voice_info info = {0};
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (ut_backend_open(&context, path, UTTER_BACKEND_AUTO, &voice, reason, &err) != UTTER_OK) {
        fail_msg("%s", err.message);
    }
    assert_ptr_equal(voice->backend, &ut_backend_espeak);
    assert_true(strlen(reason) > 10);
    voice->backend->info(voice, &info);
    snprintf(language, sizeof language, "%s", info.language);
    voice->backend->close(voice);
    return language;
}

static void language_of_a_broken_voice(void **state) {
    static const struct {
        const char *model, *config, *text, *language;
    } cases[] = {
        {"a.onnx", "a.onnx.json", "{\"espeak\": {\"voice\": \"fr\"}}", "fr"},
        {"a.onnx", "a.onnx.json", "{\"espeak\": {\"voice\": \"xx-no-such\"}}", "en-us"},
        {"a.onnx", "a.onnx.json", "{\"espeak\": {\"voice\": 7}}", "en-us"},
        {"a.onnx", "a.onnx.json", "{\"espeak\": \"de\"}", "en-us"},
        {"a.onnx", "a.onnx.json", "{}", "en-us"},
        {"a.onnx", "a.onnx.json", "", "en-us"},
        {"a.onnx", "a.onnx.json", "{\"espeak\": {\"voice\": \"de\\u0000\"}}", "en-us"},
        {"a.onnx", "b.json", "{\"espeak\": {\"voice\": \"de\"}}", "en-us"},
        {"voice.safetensors", "voice.json", "{\"espeak\": {\"voice\": \"de\"}}", "de"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_text(cases[i].model, "not a model, whatever it is called");
        write_text(cases[i].config, cases[i].text);
        assert_string_equal(language_of(cases[i].model), cases[i].language);
        assert_string_equal(language_of(""), cases[i].language); /* by its folder */
        remove_file(cases[i].model);
        remove_file(cases[i].config);
    }
}

static void what_is_an_error(void **state) {
    struct ut_backend_voice *voice;
    char path[128], reason[UT_REASON_SIZE];
    utter_error err;
    assert_int_equal(ut_backend_open(&context, folder, UTTER_BACKEND_AUTO, &voice, reason, &err),
                     UTTER_ERROR_NOT_FOUND); /* an empty folder */
    assert_null(voice);
    write_text("a.onnx", "x");
    write_text("b.onnx", "x");
    assert_int_equal(ut_backend_open(&context, folder, UTTER_BACKEND_AUTO, &voice, reason, &err),
                     UTTER_ERROR_ARGUMENT); /* which of the two? */
    snprintf(path, sizeof path, "%s/a.onnx", folder);
    context.no_fallback = true;
    assert_int_equal(ut_backend_open(&context, path, UTTER_BACKEND_AUTO, &voice, reason, &err),
                     UTTER_ERROR_FORMAT);
    context.no_fallback = false;
    snprintf(path, sizeof path, "%s/a.onnx/b", folder);
    assert_int_equal(ut_backend_open(&context, path, UTTER_BACKEND_AUTO, &voice, reason, &err),
                     UTTER_ERROR_NOT_FOUND);
    assert_string_equal(reason, "");
    remove_file("a.onnx");
    remove_file("b.onnx");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(language_of_a_broken_voice),
        cmocka_unit_test(what_is_an_error),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
