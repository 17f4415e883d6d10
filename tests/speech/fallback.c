/* Every step of the fallback chain, forced: a model that does not load or fails while it speaks is
 * replaced by its other variants, quantized ones first, then by espeak; each time with the reason
 * and in the counters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "speech/talk.h"
#include "support/byte_buffer.h"
#include "weights/weights.h"

static const char text[] = "Hello there.";
static char folder[64];
static char last_warning[600];
static utter_engine *engine;

static void keep_warning(void *user, utter_log_level level, const char *message) {
    if (level == UTTER_LOG_WARNING) {
        snprintf(last_warning, sizeof last_warning, "%s", message);
    }
}

static const char *path_of(const char *name) {
    static char paths[2][200];
    static int turn;
    snprintf(paths[turn ^= 1], sizeof paths[0], "%s/%s", folder, name);
    return paths[turn];
}

static void import_as(const char *name, const char *type) {
    utter_import_options options;
    utter_error err;
    utter_import_options_init(&options);
    options.type = type;
    if (utter_import(engine, data_path("kokoro/kokoro-v1_0.pth"), path_of(name), &options, NULL,
                     &err) != UTTER_OK) {
        fail_msg("%s", err.message);
    }
}

static void open_with_limit(uint64_t limit_bytes) {
    utter_engine_options options;
    utter_engine_options_init(&options);
    options.n_threads = 1;
    options.log = keep_warning;
    options.memory_limit_bytes = limit_bytes;
    assert_int_equal(utter_engine_create(&options, &engine, NULL), UTTER_OK);
}

/* kokoro.gguf and kokoro_f16.gguf, the same model. */
static int setup(void **state) {
    strcpy(folder, "/tmp/utter-fallback-XXXXXX");
    if (!mkdtemp(folder)) {
        return -1;
    }
    open_with_limit(0);
    import_as("kokoro.gguf", NULL);
    import_as("kokoro_f16.gguf", "f16");
    last_warning[0] = '\0';
    return 0;
}

static int teardown(void **state) {
    char command[128];
    utter_engine_destroy(engine);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static void damage(const char *name) {
    assert_int_equal(truncate(path_of(name), 1000), 0);
}

/* The last bias before the exponential: finite, but what it makes is not. */
static void poison(const char *name) {
    struct byte_buffer file = {0};
    struct ut_mem mem;
    struct ut_weights *weights;
    ut_mem_init(&mem, NULL);
    byte_buffer_read_file(&file, path_of(name));
    assert_int_equal(ut_weights_parse(&mem, file.data, file.n, &weights, NULL), UTTER_OK);
    const struct ut_tensor *bias = ut_weights_find(weights, "decoder.generator.conv_post.bias");
    assert_non_null(bias);
    assert_int_equal(bias->type, UT_F32);
    for (size_t i = 0; i < bias->n_bytes / sizeof(float); i++) {
        float huge = 1e30f;
        memcpy(file.data + ((const uint8_t *)bias->data - file.data) + i * sizeof huge, &huge,
               sizeof huge);
    }
    ut_weights_close(weights);
    byte_buffer_write_file(&file, path_of(name));
    byte_buffer_free(&file);
}

struct spoken {
    utter_voice_info info;
    char name[64], backend[16], reason[600];
    utter_result result;
    uint64_t n_samples;
};

static void speak_file(const char *name, struct spoken *out) {
    utter_voice *voice;
    utter_error err = {0};
    struct heard heard;
    *out =
        (struct spoken){.info = {.size = sizeof out->info}, .result = {.size = sizeof out->result}};
    if (utter_voice_open(engine, *name ? path_of(name) : folder, NULL, &voice, &err) != UTTER_OK) {
        fail_msg("%s", err.message);
    }
    utter_voice_get_info(voice, &out->info);
    snprintf(out->name, sizeof out->name, "%s", out->info.name);
    snprintf(out->backend, sizeof out->backend, "%s", out->info.backend);
    snprintf(out->reason, sizeof out->reason, "%s",
             out->info.fallback_reason ? out->info.fallback_reason : "");
    utter_stream *stream = open_stream(voice);
    heard_init(&heard, false);
    if (utter_stream_speak(stream, text, strlen(text), NULL, hear, &heard, &out->result, &err) !=
        UTTER_OK) {
        fail_msg("%s", err.message);
    }
    assert_true(heard.sound && heard.n > 1000);
    out->n_samples = heard.n;
    heard_free(&heard);
    utter_stream_destroy(stream);
    utter_voice_close(voice);
}

static utter_counters counters(void) {
    utter_counters counters = {.size = sizeof counters};
    utter_engine_counters(engine, &counters);
    return counters;
}

static void a_good_voice_needs_none(void **state) {
    struct spoken spoken;
    speak_file("kokoro.gguf", &spoken);
    assert_string_equal(spoken.backend, "native");
    assert_string_equal(spoken.reason, "");
    assert_int_equal(spoken.result.n_fallbacks, 0);
    assert_int_equal(counters().n_voices, 1);
    assert_int_equal(counters().n_units, 1);
    assert_int_equal(counters().n_voice_fallbacks + counters().n_unit_fallbacks, 0);
    assert_string_equal(last_warning, "");
}

static void a_folder_of_variants_is_a_voice(void **state) {
    struct spoken spoken;
    speak_file("", &spoken);
    assert_string_equal(spoken.name, "kokoro");
    assert_string_equal(spoken.reason, "");
}

static void a_damaged_file_is_replaced_by_its_variant(void **state) {
    struct spoken spoken;
    damage("kokoro.gguf");
    speak_file("kokoro.gguf", &spoken);
    assert_string_equal(spoken.backend, "native");
    assert_string_equal(spoken.name, "kokoro_f16");
    assert_int_equal(spoken.info.n_speakers, 2);
    assert_non_null(strstr(spoken.reason, "kokoro.gguf"));
    assert_non_null(strstr(last_warning, "speaking with native (kokoro_f16) instead"));
    assert_int_equal(counters().n_voice_fallbacks, 1);
    assert_int_equal(spoken.result.n_fallbacks, 0);
}

static void without_a_good_variant_espeak_speaks(void **state) {
    struct spoken spoken;
    damage("kokoro.gguf");
    damage("kokoro_f16.gguf");
    speak_file("kokoro_f16.gguf", &spoken);
    assert_string_equal(spoken.backend, "espeak");
    assert_non_null(strstr(spoken.reason, "kokoro_f16.gguf"));
    assert_int_equal(counters().n_voice_fallbacks, 1);
}

static void fallback_can_be_forbidden(void **state) {
    utter_voice_options options;
    utter_voice *voice;
    utter_error err;
    utter_voice_options_init(&options);
    options.no_fallback = true;
    damage("kokoro.gguf");
    assert_int_equal(utter_voice_open(engine, path_of("kokoro.gguf"), &options, &voice, &err),
                     UTTER_ERROR_FORMAT);
    assert_int_equal(counters().n_voices, 0);
}

static void a_failing_model_is_replaced_while_it_speaks(void **state) {
    struct spoken spoken;
    poison("kokoro.gguf");
    speak_file("kokoro.gguf", &spoken);
    assert_string_equal(spoken.reason, ""); /* it loads */
    assert_int_equal(spoken.result.n_fallbacks, 1);
    assert_string_equal(spoken.result.backend, "native");
    assert_non_null(strstr(spoken.result.fallback_reason, "not a number"));
    assert_non_null(strstr(last_warning, "native (kokoro_f16) spoke the sentence instead"));
    assert_int_equal(counters().n_unit_fallbacks, 1);
    assert_int_equal(counters().n_units, 1);
    assert_int_equal(counters().n_unit_failures, 0);
}

static void when_all_variants_fail_espeak_speaks(void **state) {
    struct spoken spoken;
    poison("kokoro.gguf");
    poison("kokoro_f16.gguf");
    speak_file("kokoro.gguf", &spoken);
    assert_int_equal(spoken.result.n_fallbacks, 1);
    assert_string_equal(spoken.result.backend, "espeak");
    assert_non_null(strstr(last_warning, "espeak (en-us) spoke the sentence instead"));
}

/* The f32 file takes twice what the other does: with a limit between, the smaller one is chosen and
 * named. */
static void a_limit_chooses_the_variant_that_fits(void **state) {
    struct spoken spoken;
    utter_memory memory = {.size = sizeof memory};
    utter_engine_destroy(engine); /* which has imported */
    open_with_limit(0);
    utter_voice *voice = open_voice(engine, path_of("kokoro_f16.gguf"));
    utter_engine_memory(engine, &memory);
    uint64_t small = memory.peak_bytes;
    utter_voice_close(voice);
    utter_engine_destroy(engine);
    open_with_limit(small + small / 3);
    speak_file("kokoro.gguf", &spoken);
    assert_string_equal(spoken.backend, "native");
    assert_string_equal(spoken.name, "kokoro_f16");
    assert_non_null(strstr(spoken.reason, "the memory limit of"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_good_voice_needs_none, setup, teardown),
        cmocka_unit_test_setup_teardown(a_folder_of_variants_is_a_voice, setup, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_file_is_replaced_by_its_variant, setup, teardown),
        cmocka_unit_test_setup_teardown(without_a_good_variant_espeak_speaks, setup, teardown),
        cmocka_unit_test_setup_teardown(fallback_can_be_forbidden, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failing_model_is_replaced_while_it_speaks, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(when_all_variants_fail_espeak_speaks, setup, teardown),
        cmocka_unit_test_setup_teardown(a_limit_chooses_the_variant_that_fits, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
