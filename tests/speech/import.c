/* utter_import: what it writes sounds like what it read, its settings, what it refuses, and that a
 * failure leaves nothing behind. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "speech/talk.h"
#include "support/sweep.h"

static utter_engine *engine;
static char folder[64], out_path[128];

static int setup(void **state) {
    engine = open_engine(1, NULL);
    strcpy(folder, "/tmp/utter-test-XXXXXX");
    if (!mkdtemp(folder)) {
        return -1;
    }
    snprintf(out_path, sizeof out_path, "%s/new.gguf", folder);
    return 0;
}

static int teardown(void **state) {
    utter_engine_destroy(engine);
    unlink(out_path);
    return rmdir(folder);
}

static int n_files(void) {
    DIR *dir = opendir(folder);
    int n = 0;
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        n += entry->d_name[0] != '.' || strlen(entry->d_name) > 2;
    }
    closedir(dir);
    return n;
}

static struct heard say_in(utter_engine *in, const char *path) {
    static const char text[] = "Hello there.";
    utter_voice *voice = open_voice(in, path);
    utter_stream *stream = open_stream(voice);
    utter_error err;
    struct heard heard;
    heard_init(&heard, false);
    if (utter_stream_speak(stream, text, strlen(text), NULL, hear, &heard, NULL, &err)) {
        fail_msg("%s: %s", path, err.message);
    }
    assert_true(heard.n > 100 && heard.sound);
    utter_stream_destroy(stream);
    utter_voice_close(voice);
    return heard;
}

static struct heard say(const char *path) {
    return say_in(engine, path);
}

static utter_import_result import_as(const char *path, const char *type) {
    utter_import_options options;
    utter_import_result result = {.size = sizeof result};
    utter_error err;
    utter_import_options_init(&options);
    options.type = type;
    if (utter_import(engine, path, out_path, &options, &result, &err) != UTTER_OK) {
        fail_msg("%s as %s: %s", path, type, err.message);
    }
    return result;
}

static void sounds_the_same(void **state) {
    static const struct {
        const char *path, *family, *type;
        uint64_t n_voices;
    } cases[] = {
        {"piper/tiny.onnx", "piper", "f32", 1},
        {"piper/tiny_multi.onnx", "piper", "f32", 3},
        {"house/tiny", "piper", "f16", 1},
        {"kokoro", "kokoro", "f32", 2},
    };
    static const char *const types[] = {"f32", "f16", "bf16", "int8"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *path = data_path(cases[i].path);
        struct heard before = say(path);
        utter_import_result result = import_as(path, NULL);
        assert_string_equal(result.family, cases[i].family);
        assert_string_equal(result.type, cases[i].type);
        assert_int_equal(result.n_voices, cases[i].n_voices);
        assert_true(result.n_tensors > 10 && result.n_parameters > 1000);
        assert_true(result.bytes_in > 1000 && result.bytes_out > 1000);
        struct heard after = say(out_path);
        assert_true(heard_same(&before, &after));
        for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
            uint64_t bytes = result.bytes_out;
            assert_string_equal(import_as(path, types[t]).type, types[t]);
            after = say(out_path);
            assert_true(strcmp(types[t], cases[i].type) != 0 || heard_same(&before, &after));
            utter_voice *voice = open_voice(engine, out_path);
            utter_voice_info info = {.size = sizeof info};
            utter_voice_get_info(voice, &info);
            assert_string_equal(info.name, "new");
            assert_string_equal(info.format, "gguf");
            assert_string_equal(info.family, cases[i].family);
            assert_string_equal(info.quantization, types[t]);
            assert_true(info.file_bytes < 2 * bytes + 1000);
            utter_voice_close(voice);
        }
    }
    unlink(out_path);
}

/* A file in 8 bits speaks as the model does whose weights are rounded when it is loaded, and only
 * where nothing else is asked for. */
static void int8_is_rounding_ahead(void **state) {
    static const char *const paths[] = {"piper/tiny.onnx", "house/tiny", "kokoro"};
    utter_engine_options options;
    utter_engine *int8, *f32;
    utter_engine_options_init(&options);
    options.n_threads = 1;
    options.precision = "int8";
    assert_int_equal(utter_engine_create(&options, &int8, NULL), UTTER_OK);
    options.precision = "f32";
    assert_int_equal(utter_engine_create(&options, &f32, NULL), UTTER_OK);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct heard rounded = say_in(int8, data_path(paths[i]));
        import_as(data_path(paths[i]), "int8");
        struct heard stored = say(out_path), expanded = say_in(f32, out_path);
        assert_true(heard_same(&rounded, &stored));
        assert_int_equal(expanded.n, stored.n);
        assert_false(heard_same(&expanded, &stored));
    }
    utter_engine_destroy(int8);
    utter_engine_destroy(f32);
    unlink(out_path);
}

static void expect(const char *path, const char *out, const utter_import_options *options,
                   utter_status wanted, const char *words) {
    utter_error err = {UTTER_OK, ""};
    utter_status status = utter_import(engine, path, out, options, NULL, &err);
    if (status != wanted || !strstr(err.message, words)) {
        fail_msg("%s: status %d: %s", path, status, err.message);
    }
    assert_int_equal(n_files(), 0);
}

static void what_is_refused(void **state) {
    const char *piper = data_path("piper/tiny.onnx");
    utter_import_options options;
    utter_import_options_init(&options);
    expect("no_such.onnx", out_path, NULL, UTTER_ERROR_NOT_FOUND, "no_such.onnx");
    expect(data_path("house"), out_path, NULL, UTTER_ERROR_NOT_FOUND, "no voice in this folder");
    expect(data_path("piper/golden_tiny.safetensors"), out_path, NULL, UTTER_ERROR_UNSUPPORTED,
           "no model that utter knows");
    expect(data_path("piper/tiny.onnx.json"), out_path, NULL, UTTER_ERROR_FORMAT, "tiny.onnx.json");
    expect(piper, piper, NULL, UTTER_ERROR_ARGUMENT, "is the model itself");
    expect(piper, folder, NULL, UTTER_ERROR_ARGUMENT, "is no file");
    expect(piper, "", NULL, UTTER_ERROR_ARGUMENT, "empty");
    expect(piper, "/nonexistent/x.gguf", NULL, UTTER_ERROR_IO, "/nonexistent/x.gguf");
    options.type = "q4";
    expect(piper, out_path, &options, UTTER_ERROR_ARGUMENT, "type is 'q4'");
    options.type = NULL;
    options.voices = "a*";
    expect(piper, out_path, &options, UTTER_ERROR_ARGUMENT, "is a Piper voice");
    options.voices = NULL;
    options.size = 3;
    expect(piper, out_path, &options, UTTER_ERROR_ARGUMENT, "utter_import_options");
    expect(NULL, out_path, NULL, UTTER_ERROR_ARGUMENT, "path");
    expect(piper, NULL, NULL, UTTER_ERROR_ARGUMENT, "out_path");
    utter_import_result result = {.size = 2};
    utter_error err;
    assert_int_equal(utter_import(engine, piper, out_path, NULL, &result, &err),
                     UTTER_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "utter_import_result"));
}

static void import_voices(const char *patterns) {
    utter_import_options options;
    utter_error err;
    utter_import_options_init(&options);
    options.voices = patterns;
    if (utter_import(engine, data_path("kokoro"), out_path, &options, NULL, &err) != UTTER_OK) {
        fail_msg("%s: %s", patterns, err.message);
    }
}

static void voices_are_chosen(void **state) {
    static const struct {
        const char *patterns, *first;
        int32_t n;
    } cases[] = {
        {"af_*", "af_synth", 1}, {"bm_synth", "bm_synth", 1},   {"bm_*,af_synth", "af_synth", 2},
        {"*", "af_synth", 2},    {"?m_synt[h]", "bm_synth", 1}, {"af_*,af_synth", "af_synth", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        utter_voice_info info = {.size = sizeof info};
        import_voices(cases[i].patterns);
        utter_voice *voice = open_voice(engine, out_path);
        utter_voice_get_info(voice, &info);
        assert_int_equal(info.n_speakers, cases[i].n);
        assert_string_equal(utter_voice_speaker(voice, 0), cases[i].first);
        utter_voice_close(voice);
    }
    unlink(out_path);
}

static void patterns_without_a_voice(void **state) {
    static const struct {
        const char *patterns;
        utter_status status;
        const char *words;
    } cases[] = {
        {"bm_*,zz_*", UTTER_ERROR_NOT_FOUND, "no voice fits 'zz_*': the model has 2"},
        {"af_sint", UTTER_ERROR_NOT_FOUND, "did you mean 'af_synth'"},
        {"", UTTER_ERROR_ARGUMENT, "1 to 127"},
        {"af_*,", UTTER_ERROR_ARGUMENT, "has 0 characters"},
        {"[", UTTER_ERROR_NOT_FOUND, "'['"},
    };
    utter_import_options options;
    utter_import_options_init(&options);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        options.voices = cases[i].patterns;
        expect(data_path("kokoro"), out_path, &options, cases[i].status, cases[i].words);
    }
}

static void gguf_is_not_imported_again(void **state) {
    char other[128];
    utter_error err;
    import_as(data_path("piper/tiny.onnx"), NULL);
    snprintf(other, sizeof other, "%s/other.gguf", folder);
    assert_int_equal(utter_import(engine, out_path, other, NULL, NULL, &err), UTTER_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "GGUF file already"));
    assert_int_equal(n_files(), 1);
    unlink(out_path);
}

struct seen {
    uint64_t n_calls, stop_at, last_bytes;
    utter_import_progress last;
};

static bool watch(void *user, const utter_import_progress *progress) {
    struct seen *seen = user;
    assert_true(strlen(progress->tensor) > 3);
    assert_int_equal(progress->n_tensors_done, ++seen->n_calls);
    assert_true(progress->n_bytes_done > seen->last_bytes);
    seen->last_bytes = progress->n_bytes_done;
    seen->last = *progress;
    return seen->n_calls != seen->stop_at;
}

static void progress_and_stopping(void **state) {
    struct seen seen = {0};
    utter_import_options options;
    utter_import_options_init(&options);
    options.progress = watch;
    options.progress_user = &seen;
    assert_int_equal(utter_import(engine, data_path("house/tiny"), out_path, &options, NULL, NULL),
                     UTTER_OK);
    assert_int_equal(seen.last.n_tensors_done, seen.last.n_tensors_total);
    assert_int_equal(seen.last.n_bytes_done, seen.last.n_bytes_total);
    unlink(out_path);
    seen = (struct seen){.stop_at = 5};
    expect(data_path("house/tiny"), out_path, &options, UTTER_ERROR_CANCELLED, "cancelled");
    assert_int_equal(seen.n_calls, 5);
}

/* An existing file is untouched until its successor is complete. */
static void old_file_stays_after_a_failure(void **state) {
    struct seen seen = {.stop_at = 5};
    utter_import_options options;
    char content[8] = "";
    utter_import_options_init(&options);
    options.progress = watch;
    options.progress_user = &seen;
    write_file(folder, "new.gguf", "old", 3);
    assert_int_equal(utter_import(engine, data_path("house/tiny"), out_path, &options, NULL, NULL),
                     UTTER_ERROR_CANCELLED);
    assert_int_equal(n_files(), 1);
    FILE *file = fopen(out_path, "rb");
    assert_int_equal(fread(content, 1, sizeof content, file), 3);
    fclose(file);
    assert_string_equal(content, "old");
    unlink(out_path);
}

static void every_allocation_fails(void **state) {
    static const char *const paths[] = {"piper/tiny_multi.onnx", "house/tiny", "kokoro"};
    utter_import_options options;
    utter_import_options_init(&options);
    for (size_t i = 0; i < 2 * sizeof paths / sizeof *paths; i++) {
        struct sweep sweep;
        const char *path = data_path(paths[i / 2]);
        size_t n_errors = 0;
        options.type = i % 2 ? "int8" : NULL;
        sweep_start(&sweep, NULL, false);
        utter_engine *tried = open_engine(1, &sweep.allocator);
        while (sweep_next(&sweep)) {
            utter_error err = {UTTER_OK, ""};
            utter_status status = utter_import(tried, path, out_path, &options, NULL, &err);
            if (status != UTTER_OK && status != UTTER_ERROR_MEMORY) {
                fail_msg("%s: allocation %zu: %s", path, sweep.fail_at, err.message);
            }
            assert_int_equal(n_files(), status == UTTER_OK);
            unlink(out_path);
            n_errors += status != UTTER_OK;
        }
        assert_true(n_errors > 10);
        utter_engine_destroy(tried);
        assert_true(sweep.memory.n_blocks == 0 && !sweep.memory.wrong_size);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sounds_the_same),
        cmocka_unit_test(int8_is_rounding_ahead),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(voices_are_chosen),
        cmocka_unit_test(patterns_without_a_voice),
        cmocka_unit_test(gguf_is_not_imported_again),
        cmocka_unit_test(progress_and_stopping),
        cmocka_unit_test(old_file_stays_after_a_failure),
        cmocka_unit_test(every_allocation_fails),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
