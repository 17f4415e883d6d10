/* Memory limits, locked weights, and the memory report against what the system says of the process.
 */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "speech/talk.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PAGES_ARE_OURS false /* shadow memory counts too */
#else
#define PAGES_ARE_OURS true
#endif

static char last_log[600];

static void keep_log(void *user, utter_log_level level, const char *message) {
    snprintf(last_log, sizeof last_log, "%s", message);
}

static utter_engine *engine_with(uint64_t limit_bytes, bool lock) {
    utter_engine_options options;
    utter_engine *engine;
    utter_engine_options_init(&options);
    options.n_threads = 1;
    options.memory_limit_bytes = limit_bytes;
    options.lock_memory = lock;
    options.log = keep_log;
    assert_int_equal(utter_engine_create(&options, &engine, NULL), UTTER_OK);
    return engine;
}

static utter_memory memory_of(const utter_engine *engine) {
    utter_memory memory = {.size = sizeof memory};
    utter_engine_memory(engine, &memory);
    return memory;
}

static utter_status open_with(utter_engine *engine, bool no_fallback, utter_voice **voice,
                              utter_error *err) {
    utter_voice_options options;
    utter_voice_options_init(&options);
    options.no_fallback = no_fallback;
    return utter_voice_open(engine, data_path("kokoro/kokoro-v1_0.pth"), &options, voice, err);
}

static void a_model_beyond_the_limit_is_refused(void **state) {
    utter_engine *engine = engine_with(1000000, false);
    utter_voice *voice;
    utter_error err;
    utter_voice_info info = {.size = sizeof info};
    assert_int_equal(open_with(engine, true, &voice, &err), UTTER_ERROR_MEMORY);
    assert_non_null(strstr(err.message, "the memory limit of 1.0 MB does not suffice"));
    assert_int_equal(open_with(engine, false, &voice, &err), UTTER_OK);
    utter_voice_get_info(voice, &info);
    assert_string_equal(info.backend, "espeak");
    assert_non_null(strstr(info.fallback_reason, "the memory limit of 1.0 MB"));
    utter_voice_close(voice);
    utter_memory memory = memory_of(engine);
    assert_int_equal(memory.limit_bytes, 1000000);
    assert_true(memory.peak_bytes <= 1000000);
    utter_engine_destroy(engine);
}

/* Enough for the model, too little for a long sentence: espeak speaks that and the short one is the
 * model's. */
static void a_sentence_beyond_the_limit_falls_back(void **state) {
    static const char long_text[] =
        "This is a sentence of quite a few words, so that it takes a while";
    utter_engine *roomy = engine_with(0, false);
    utter_voice *voice;
    utter_result result = {.size = sizeof result};
    utter_error err;
    struct heard heard;
    assert_int_equal(open_with(roomy, true, &voice, &err), UTTER_OK);
    uint64_t loaded = memory_of(roomy).weights_bytes + memory_of(roomy).other_bytes;
    utter_voice_close(voice);
    utter_engine_destroy(roomy);
    utter_engine *engine = engine_with(loaded + 1500000, false);
    assert_int_equal(open_with(engine, true, &voice, &err), UTTER_OK);
    utter_voice_close(voice);
    assert_int_equal(open_with(engine, false, &voice, &err), UTTER_OK);
    utter_stream *stream = open_stream(voice);
    heard_init(&heard, false);
    assert_int_equal(
        utter_stream_speak(stream, long_text, strlen(long_text), NULL, hear, &heard, &result, &err),
        UTTER_OK);
    assert_string_equal(result.backend, "espeak");
    assert_int_equal(result.n_fallbacks, 1);
    assert_non_null(strstr(result.fallback_reason, "the memory limit of"));
    assert_true(heard.n > 0 && heard.sound);
    assert_true(memory_of(engine).peak_bytes <= loaded + 1500000);
    heard_free(&heard);
    utter_stream_destroy(stream);
    utter_voice_close(voice);
    utter_engine_destroy(engine);
}

static void weights_are_locked_where_permitted(void **state) {
    utter_engine *engine = engine_with(0, true);
    utter_voice *voice;
    utter_error err;
    struct rlimit limit;
    last_log[0] = '\0';
    assert_int_equal(open_with(engine, true, &voice, &err), UTTER_OK);
    utter_memory memory = memory_of(engine);
    assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
    if (limit.rlim_cur > memory.weights_bytes) {
        assert_true(memory.locked_bytes > memory.weights_bytes / 2);
    } else if (geteuid() != 0) {
        assert_non_null(strstr(last_log, "could be locked"));
    }
    utter_voice_close(voice);
    assert_int_equal(memory_of(engine).locked_bytes, 0);
    utter_engine_destroy(engine);
}

/* Resident bytes of the process that no file stands behind. */
static uint64_t resident_bytes(void) {
    FILE *file = fopen("/proc/self/status", "re");
    unsigned long long kilobytes = 0;
    char line[256];
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        sscanf(line, "RssAnon: %llu kB", &kilobytes);
    }
    fclose(file);
    return kilobytes * 1024;
}

/* A voice of the medium size: what the report says is what the process has become larger by. */
static void the_report_is_true(void **state) {
    struct voice made;
    struct voice_spec spec = voice_spec_quality("medium");
    voice_build(&made, &spec, 1);
    char folder[256];
    snprintf(folder, sizeof folder, "%s", write_voice(&made, NULL, NULL));
    voice_free(&made);
    char path[300];
    snprintf(path, sizeof path, "%s/voice.onnx", folder);
    utter_engine *engine = engine_with(0, false);
    malloc_trim(0); /* what the test used and freed would be used again */
    uint64_t before = resident_bytes();
    utter_voice *voice = open_voice(engine, path);
    utter_memory memory = memory_of(engine);
    double grown = (double)(resident_bytes() - before);
    double reported = (double)(memory.weights_bytes + memory.session_bytes + memory.other_bytes);
    assert_true(reported > 60e6);
    if (PAGES_ARE_OURS && (grown < 0.95 * reported || grown > 1.05 * reported)) {
        fail_msg("reported %.1f MB, grown by %.1f MB", reported / 1e6, grown / 1e6);
    }
    assert_int_equal(memory.mapped_bytes, 0); /* everything is packed */
    utter_voice_close(voice);
    utter_engine_destroy(engine);
    remove_folder(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_beyond_the_limit_is_refused),
        cmocka_unit_test(a_sentence_beyond_the_limit_falls_back),
        cmocka_unit_test(weights_are_locked_where_permitted),
        cmocka_unit_test(the_report_is_true),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
