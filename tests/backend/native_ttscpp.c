/* TTS.cpp's Kokoro files through the native backend: the "no espeak" kind brings its own dictionary
 * and rules and needs no espeak-ng, in the build or beside it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/native.h"
#include "support/speak.h"
#include "support/ttscpp_writer.h"
#include "weights/gguf.h"

static struct ut_mem mem;
static struct ut_backend_context context;
static char path[64];

static const char *data_path(const char *name) {
    static char file[4096];
    snprintf(file, sizeof file, "%s/kokoro/%s", getenv("UT_TEST_DATA"), name);
    return file;
}

static int setup(void **state) {
    ut_mem_init(&mem, NULL);
    context.mem = &mem;
    strcpy(path, "/tmp/utter-test-XXXXXX");
    int fd = mkstemp(path);
    return fd >= 0 && close(fd) == 0
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
    return unlink(path);
}

/* ---- The file ------------------------------------------------------------------------------- */

static utter_status put_keys(struct ut_gguf_writer *writer, const struct ttscpp_metadata *metadata,
                             bool rules, utter_error *err) {
    static const struct {
        const char *key, *values[2];
    } arrays[] = {
        {"phonemizer.graphemes", {"l", "o"}},
        {"phonemizer.rules.keys", {"l", "o"}},
        {"phonemizer.rules.phonemes", {"l", "O"}},
        {"phonemizer.dictionary.keys", {"hello", "there"}},
        {"phonemizer.dictionary.values", {"h\u0259l\u02c8O", "\u00f0\u02c8\u025b\u0279"}},
    };
    utter_status status = ut_gguf_put_string(writer, "general.architecture", "kokoro", err);
    for (size_t i = 0; i < metadata->n_numbers && status == UTTER_OK; i++) {
        bool is_type = strcmp(metadata->numbers[i].key, "phonemizer.type") == 0;
        status = ut_gguf_put_uint32(writer, metadata->numbers[i].key,
                                    is_type ? 0 : metadata->numbers[i].value, err);
    }
    status = status ? status
                    : ut_gguf_put_strings(writer, "tokenizer.ggml.tokens", metadata->tokens,
                                          metadata->n_tokens, err);
    status = status ? status
                    : ut_gguf_put_strings(writer, "kokoro.voices", metadata->voices,
                                          metadata->n_voices, err);
    for (size_t i = 0; rules && i < sizeof arrays / sizeof *arrays && status == UTTER_OK; i++) {
        status = ut_gguf_put_strings(writer, arrays[i].key, arrays[i].values, 2, err);
    }
    return status;
}

static void write_file(const struct ttscpp_metadata *metadata, const struct tensor_file *file,
                       bool rules) {
    struct ut_gguf_writer *writer;
    utter_error err;
    assert_int_equal(ut_gguf_writer_create(&mem, path, &writer, &err), UTTER_OK);
    utter_status status = put_keys(writer, metadata, rules, &err);
    for (size_t i = 0; i < file->n && status == UTTER_OK; i++) {
        status = ut_gguf_put_tensor(writer, &file->tensors[i], &err);
    }
    for (size_t i = 0; i < file->n && status == UTTER_OK; i++) {
        status = ut_gguf_put_data(writer, file->tensors[i].data, file->tensors[i].n_bytes, &err);
    }
    status = status ? status : ut_gguf_writer_finish(writer, &err);
    ut_gguf_writer_destroy(writer);
    if (status != UTTER_OK) {
        fail_msg("%s", err.message);
    }
}

/* The fixture as TTS.cpp's tools would have written it in Q4_0. */
static void write_model(bool rules) {
    static struct ttscpp_metadata metadata;
    struct ut_kokoro_config config = {.mem = &mem};
    struct ut_weights *checkpoint = NULL, *voice = NULL;
    struct ut_kokoro_tensors *tensors = NULL;
    struct tensor_file file = {0};
    struct byte_buffer json = {0};
    utter_error err;
    metadata = (struct ttscpp_metadata){0};
    byte_buffer_read_file(&json, data_path("config.json"));
    if (ut_kokoro_config_parse(&mem, (const char *)json.data, json.n, &config, &err) ||
        ut_weights_open(&mem, data_path("kokoro-v1_0.pth"), &checkpoint, &err) ||
        ut_weights_open(&mem, data_path("voices/af_synth.pt"), &voice, &err) ||
        ut_kokoro_tensors_create(&mem, checkpoint, &tensors, &err)) {
        fail_msg("%s", err.message);
    }
    ttscpp_build_metadata(&config, tensors, &metadata);
    metadata.n_voices = 1;
    metadata.voices[0] = "af_synth";
    struct ut_tensor table = *ut_weights_at(voice, 0);
    table.name = "af_synth";
    table.n_dims = 2;
    table.dims[1] = table.dims[2];
    table.dims[2] = 1;
    ttscpp_build(tensors, &table, 1, TTSCPP_QUANTIZED, UT_Q4_0, &file);
    write_file(&metadata, &file, rules);
    tensor_file_free(&file);
    byte_buffer_free(&json);
    ut_kokoro_config_free(&config);
    ut_kokoro_tensors_destroy(tensors);
    ut_weights_close(voice);
    ut_weights_close(checkpoint);
}

/* ---- Speaking ------------------------------------------------------------------------------- */

static bool count(void *user, const float *samples, size_t n) {
    *(size_t *)user += n;
    return true;
}

static void dictionary_inside_the_file(void **state) {
    static const char text[] = "Hello there.";
    static const _Atomic bool never;
    struct ut_backend_voice *voice;
    struct ut_backend_session *session;
    struct ut_units units;
    struct ut_speak_stats stats = {0};
    utter_voice_info info = {0};
    utter_error err;
    size_t n_samples = 0;
    write_model(true);
    if (ut_native_open(&context, path, &voice, &err) != UTTER_OK) {
        fail_msg("%s", err.message);
    }
    voice->backend->info(voice, &info);
    assert_string_equal(info.family, "kokoro");
    assert_string_equal(info.format, "gguf");
    assert_int_equal(info.n_speakers, 1);
    assert_int_equal(voice->backend->session_create(voice, &session, &err), UTTER_OK);
    ut_units_init(&units, &mem);
    struct ut_speak_params params = {
        .speed = 1, .text = text, .sink = count, .user = &n_samples, .cancel = &never};
    if (voice->backend->units(session, text, strlen(text), &params, &units, &err) != UTTER_OK) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(units.n, 1);
    assert_int_equal(units.n_skipped_symbols, 0);
    assert_int_equal(units.items[0].n_symbols,
                     11); /* "h\u0259l\u02c8O \u00f0\u02c8\u025b\u0279." */
    assert_int_equal(voice->backend->speak(session, &units.items[0], &params, &stats, &err),
                     UTTER_OK);
    assert_true(n_samples > 1000);
    ut_units_free(&units);
    voice->backend->session_destroy(session);
    voice->backend->close(voice);
}

static void rules_that_are_missing(void **state) {
    struct ut_backend_voice *voice;
    utter_error err;
    write_model(false);
    assert_int_equal(ut_native_open(&context, path, &voice, &err), UTTER_ERROR_NOT_FOUND);
    assert_non_null(strstr(err.message, path));
    assert_non_null(strstr(err.message, "phonemizer.graphemes"));
    assert_null(voice);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dictionary_inside_the_file),
        cmocka_unit_test(rules_that_are_missing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
