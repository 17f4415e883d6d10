/* Text to units through the native backend's Piper voices: ids against the recorded ones, long
 * sentences cut without loss, voices trained on text, pauses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/native.h"
#include "models/piper/piper.h"
#include "support/speak.h"
#include "support/voice_builder.h"

static struct ut_mem mem;
static struct ut_backend_context context;
static struct ut_backend_voice *voice;
static struct ut_backend_session *session;
static struct ut_units units;
static const struct ut_backend *const backend = &ut_native_piper;

static int setup(void **state) {
    ut_mem_init(&mem, NULL);
    context.mem = &mem;
    return speak_compute_open(&mem, ut_cpu_level_best(), 1, &context.compute, NULL);
}

static int teardown(void **state) {
    speak_compute_close(&context.compute);
    for (int i = 0; i < UT_MEM_N_OWNERS; i++) {
        if (mem.bytes[i] != 0) {
            return -1;
        }
    }
    return 0;
}

static void open_path(const char *path) {
    utter_error err;
    if (backend->open(&context, path, &voice, &err) != UTTER_OK) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(backend->session_create(voice, &session, &err), UTTER_OK);
    ut_units_init(&units, &mem);
}

static void open_fixture(const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", getenv("UT_TEST_DATA"), name);
    open_path(path);
}

static void close_all(void) {
    ut_units_free(&units);
    backend->session_destroy(session);
    backend->close(voice);
}

static void make_units(const char *text, const char *language) {
    struct ut_speak_params params = {.language = language};
    utter_error err;
    if (backend->units(session, text, strlen(text), &params, &units, &err) != UTTER_OK) {
        fail_msg("%s", err.message);
    }
}

static void begin_and_end_of_ids(const struct ut_unit *unit) {
    assert_true(unit->n_ids >= 5 && unit->n_ids <= UT_PIPER_MAX_IDS);
    assert_true(unit->ids[0] == 1 && unit->ids[1] == 0 && unit->ids[unit->n_ids - 1] == 2);
    for (size_t i = 1; i < unit->n_ids; i += 2) {
        assert_int_equal(unit->ids[i], 0);
    }
}

static void sentences_become_units(void **state) {
    static const char text[] = "Hello there. How are you?\n\nFine!";
    open_fixture("piper/tiny.onnx");
    for (int round = 0; round < 2; round++) {
        make_units(text, NULL);
        assert_int_equal(units.n, 3);
        for (size_t i = 0; i < 3; i++) {
            begin_and_end_of_ids(&units.items[i]);
            assert_true(units.items[i].text_begin < units.items[i].text_end);
            assert_true(i == 0 || units.items[i].text_begin >= units.items[i - 1].text_end);
        }
        assert_int_equal(units.items[0].end, UT_UNIT_SENTENCE);
        assert_int_equal(units.items[1].end, UT_UNIT_PARAGRAPH);
        assert_int_equal(units.n_skipped_symbols, 0);
    }
    make_units(" ... ", NULL);
    assert_int_equal(units.n, 0);
    struct ut_speak_params params = {.language = "xx-no-such"};
    utter_error err;
    assert_int_equal(backend->units(session, "Hi.", 3, &params, &units, &err),
                     UTTER_ERROR_NOT_FOUND);
    assert_int_equal(units.n, 0);
    close_all();
}

/* [[...]] reaches the voice's map without espeak-ng. */
static void raw_phonemes(void **state) {
    open_fixture("piper/tiny.onnx");
    make_units("[[a]]", NULL);
    assert_int_equal(units.n, 1);
    assert_int_equal(units.items[0].n_ids, 5);
    int32_t a = units.items[0].ids[2];
    make_units("[[ba]]", NULL);
    assert_int_equal(units.items[0].n_ids, 7);
    assert_int_not_equal(units.items[0].ids[2], a);
    assert_int_equal(units.items[0].ids[4], a);
    begin_and_end_of_ids(&units.items[0]);
    close_all();
}

/* One sentence without an end: several units whose ids, less the ends, are those of the whole. */
static void long_sentences_are_cut_without_loss(void **state) {
    enum { N_WORDS = 500 };
    static char text[N_WORDS * 6 + 8];
    size_t n = 0;
    n += (size_t)sprintf(text + n, "[[");
    for (int i = 0; i < N_WORDS; i++) {
        n += (size_t)sprintf(text + n, "%s%s", i ? (i % 9 ? " " : ", ") : "", i % 2 ? "hi" : "dob");
    }
    sprintf(text + n, "]]");
    open_fixture("piper/tiny.onnx");
    make_units(text, NULL);
    assert_true(units.n >= 3);
    size_t n_inner = 0, at = 0;
    for (size_t i = 0; i < units.n; i++) {
        const struct ut_unit *unit = &units.items[i];
        begin_and_end_of_ids(unit);
        assert_true(unit->n_ids <= 1500);
        assert_int_equal(unit->end, i + 1 < units.n ? UT_UNIT_CUT : UT_UNIT_SENTENCE);
        assert_true(unit->text_begin >= at && unit->text_end >= unit->text_begin);
        assert_true(i == 0 || unit->text_begin == at);
        at = unit->text_end;
        n_inner += (unit->n_ids - 3) / 2;
    }
    assert_int_equal(at, strlen(text));
    assert_int_equal(n_inner,
                     strlen(text) - 4); /* every character between the brackets has one id */
    close_all();
}

/* Writes the tiny voice to folder/v.onnx with another phoneme type. */
static void write_spelling_voice(const char *folder, char model_path[64], char json_path[64]) {
    struct voice_spec spec = voice_spec_tiny();
    struct voice built;
    struct byte_buffer model = {0}, json = {0};
    voice_build(&built, &spec, 1);
    voice_write_onnx(&built, NULL, &model);
    voice_write_json(&built, &json);
    voice_replace_text(&json, "\"phoneme_type\": \"espeak\"", "\"phoneme_type\": \"text\"");
    snprintf(model_path, 64, "%s/v.onnx", folder);
    snprintf(json_path, 64, "%s/v.onnx.json", folder);
    byte_buffer_write_file(&model, model_path);
    byte_buffer_write_file(&json, json_path);
    voice_free(&built);
    byte_buffer_free(&model);
    byte_buffer_free(&json);
}

static void voices_trained_on_text_are_spelled(void **state) {
    char folder[] = "/tmp/utter-test-XXXXXX", model_path[64], json_path[64];
    assert_non_null(mkdtemp(folder));
    write_spelling_voice(folder, model_path, json_path);
    open_path(model_path);
    make_units("abc", NULL);
    assert_int_equal(units.n, 1);
    assert_int_equal(units.items[0].n_ids, 9);
    make_units("a\n\nb!", NULL);
    size_t n_ids = 0;
    for (size_t i = 0; i < units.n; i++) {
        n_ids += units.items[i].n_ids;
    }
    assert_true(units.n >= 1 && n_ids >= 9);
    char words[3001];
    for (size_t i = 0; i < 3000; i++) {
        words[i] = "ab. "[i % 4];
    }
    words[3000] = '\0';
    make_units(words, NULL);
    assert_true(units.n >= 5);
    size_t at = 0;
    for (size_t i = 0; i < units.n; i++) {
        assert_true(units.items[i].text_begin >= at && units.items[i].n_ids <= 1500);
        at = units.items[i].text_end;
    }
    assert_true(at <= 3000 && at > 2990);
    close_all();
    remove(model_path);
    remove(json_path);
    assert_int_equal(remove(folder), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sentences_become_units),
        cmocka_unit_test(raw_phonemes),
        cmocka_unit_test(long_sentences_are_cut_without_loss),
        cmocka_unit_test(voices_trained_on_text_are_spelled),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
