/* Kokoro through the public interface: information, voices and mixtures, languages, ids, and
 * espeak-ng where the model or a voice fails. The fixture's weights are random. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "speech/talk.h"

enum { RATE_HZ = 24000, N_STYLE = 64, N_ROWS = 510 };

static const char text[] = "Four cars are parked there.";
static utter_engine *engine;
static utter_voice *voice;
static utter_stream *stream;

static int setup(void **state) {
    engine = open_engine(1, NULL);
    voice = open_voice(engine, data_path("kokoro"));
    stream = open_stream(voice);
    return 0;
}

static int teardown(void **state) {
    utter_stream_destroy(stream);
    utter_voice_close(voice);
    utter_engine_destroy(engine);
    return 0;
}

static utter_status say(const utter_speak_options *options, struct heard *heard, utter_error *err) {
    heard_init(heard, false);
    return utter_stream_speak(stream, text, strlen(text), options, hear, heard, NULL, err);
}

static struct heard said(const char *name, const char *language, float speed) {
    utter_speak_options options;
    struct heard heard;
    utter_error err;
    utter_speak_options_init(&options);
    options.voice = name;
    options.language = language;
    options.speed = speed;
    if (say(&options, &heard, &err) != UTTER_OK) {
        fail_msg("%s", err.message);
    }
    assert_true(heard.n > 1000 && heard.sound);
    return heard;
}

static void information(void **state) {
    utter_voice_info info = {.size = sizeof info};
    utter_error err;
    char *json;
    int32_t index;
    utter_voice_get_info(voice, &info);
    assert_string_equal(info.family, "kokoro");
    assert_string_equal(info.format, "torch");
    assert_string_equal(info.backend, "native");
    assert_string_equal(info.language, "en-us");
    assert_int_equal(info.sample_rate_hz, RATE_HZ);
    assert_int_equal(info.n_speakers, 2);
    assert_string_equal(utter_voice_speaker(voice, 1), "bm_synth");
    assert_null(utter_voice_speaker(voice, 2));
    assert_int_equal(utter_voice_find_speaker(voice, "bm_synth", &index, &err), UTTER_OK);
    assert_int_equal(index, 1);
    assert_int_equal(utter_voice_describe(voice, true, &json, &err), UTTER_OK);
    assert_non_null(strstr(json, "\"speakers\": [\"af_synth\", \"bm_synth\"]"));
    assert_non_null(strstr(json, "\"max_ids\": "));
    assert_non_null(strstr(json, "\"type\": \"f32\", \"shape\": ["));
    utter_free(json);
}

static void who_speaks(void **state) {
    utter_speak_options options;
    utter_error err;
    struct heard by_index, first = said(NULL, NULL, 1), af = said("af_synth", NULL, 1);
    struct heard bm = said("bm_synth", NULL, 1),
                 mixed = said("af_synth(0.7)+bm_synth(0.3)", NULL, 1);
    assert_true(heard_same(&first, &af));
    assert_false(heard_same(&af, &bm) || heard_same(&af, &mixed));
    utter_speak_options_init(&options);
    options.speaker = 1;
    assert_int_equal(say(&options, &by_index, &err), UTTER_OK);
    assert_true(heard_same(&bm, &by_index));
    options.speaker = 2;
    assert_int_equal(say(&options, &by_index, &err), UTTER_ERROR_ARGUMENT);
    options.speaker = 77; /* not looked at beside a name */
    options.voice = "bm_synth";
    assert_int_equal(say(&options, &by_index, &err), UTTER_OK);
    assert_true(heard_same(&bm, &by_index));
}

static void language_follows_the_voice(void **state) {
    struct heard af = said("af_synth", NULL, 1), american = said("af_synth", "a", 1);
    struct heard british = said("af_synth", "b", 1), named = said("af_synth", "en-gb", 1);
    struct heard bm = said("bm_synth", NULL, 1), bm_british = said("bm_synth", "b", 1);
    assert_true(heard_same(&af, &american) && heard_same(&british, &named));
    assert_true(heard_same(&bm, &bm_british));
    assert_false(heard_same(&af, &british));
}

static void speed(void **state) {
    struct heard slow = said(NULL, NULL, 0.5f), fast = said(NULL, NULL, 2);
    assert_true(slow.n > 2 * fast.n);
}

static void wrong_voices_make_no_sound(void **state) {
    static const struct {
        const char *voice, *language;
        utter_status status;
        const char *words;
    } cases[] = {
        {"af_sinth", NULL, UTTER_ERROR_NOT_FOUND, "did you mean"},
        {"af_synth(0.7", NULL, UTTER_ERROR_ARGUMENT, "byte"},
        {"../af_synth", NULL, UTTER_ERROR_NOT_FOUND, "no voice \"..\""},
        {"", NULL, UTTER_ERROR_ARGUMENT, "voice"},
        {"af_synth", "klingon", UTTER_ERROR_NOT_FOUND, "no language 'klingon'"},
        {"af_synth", "", UTTER_ERROR_NOT_FOUND, "no language ''"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        utter_speak_options options;
        utter_error err = {UTTER_OK, ""};
        struct heard heard;
        utter_speak_options_init(&options);
        options.voice = cases[i].voice;
        options.language = cases[i].language;
        utter_status status = say(&options, &heard, &err);
        if (status != cases[i].status || !strstr(err.message, cases[i].words)) {
            fail_msg("'%s': %d: %s", cases[i].voice, status, err.message);
        }
        assert_int_equal(heard.n, 0);
        if (!cases[i].language) {
            assert_int_equal(utter_voice_check(voice, cases[i].voice, NULL), cases[i].status);
        }
    }
    utter_error err;
    assert_int_equal(utter_voice_check(voice, NULL, &err), UTTER_ERROR_ARGUMENT);
    assert_int_equal(utter_voice_check(voice, "af_synth+bm_synth", &err), UTTER_OK);
}

/* Ids are taken as they are: whole frames of 25 ms, nothing cut, no ramps. */
static void ids_are_spoken_whole(void **state) {
    static const int32_t ids[] = {0, 50, 157, 43, 135, 4, 0};
    struct heard heard;
    utter_error err;
    heard_init(&heard, false);
    assert_int_equal(utter_stream_speak_ids(stream, ids, 7, NULL, hear, &heard, NULL, &err),
                     UTTER_OK);
    assert_true(heard.n > 0 && heard.n % 600 == 0);
    static const int32_t many[513];
    assert_int_equal(utter_stream_speak_ids(stream, many, 513, NULL, hear, &heard, NULL, &err),
                     UTTER_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "n_ids is 513: it must be 1 to "));
}

/* ---- A folder of our own: links to the fixture, and a voice whose values are absurd ------------
 */

static char folder[64];

static void link_fixture(const char *name) {
    char from[4096], to[128];
    snprintf(from, sizeof from, "%s", data_path(name));
    snprintf(to, sizeof to, "%s%s", folder, strchr(name, '/'));
    char *target = realpath(from, NULL);
    assert_non_null(target);
    assert_int_equal(symlink(target, to), 0);
    free(target);
}

static void make_folder(void) {
    char path[128];
    strcpy(folder, "/tmp/utter-test-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/voices", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    link_fixture("kokoro/config.json");
    link_fixture("kokoro/kokoro-v1_0.pth");
    link_fixture("kokoro/voices/af_synth.pt");
    float *table = malloc(N_ROWS * N_STYLE * sizeof *table);
    assert_non_null(table);
    for (size_t i = 0; i < N_ROWS * N_STYLE; i++) {
        table[i] = i % 2 ? 3e38f : -3e38f;
    }
    write_file(path, "bm_loud.bin", table, N_ROWS * N_STYLE * sizeof *table);
    free(table);
}

static void drop_folder(void) {
    static const char *const names[] = {"/config.json", "/kokoro-v1_0.pth", "/voices/af_synth.pt",
                                        "/voices/bm_loud.bin"};
    char path[128];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s%s", folder, names[i]);
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/voices", folder);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void espeak_speaks_what_the_model_cannot(void **state) {
    utter_voice *weak;
    utter_error err;
    utter_speak_options options;
    utter_result result = {.size = sizeof result};
    struct heard heard, british, american;
    make_folder();
    assert_int_equal(utter_voice_open(engine, folder, NULL, &weak, &err), UTTER_OK);
    utter_stream *tried = open_stream(weak);
    utter_speak_options_init(&options);
    options.voice = "bm_loud";
    for (int i = 0; i < 2; i++) {
        options.language = i ? "a" : NULL;
        heard_init(&heard, false);
        assert_int_equal(
            utter_stream_speak(tried, text, strlen(text), &options, hear, &heard, &result, &err),
            UTTER_OK);
        assert_int_equal(result.n_fallbacks, 1);
        assert_string_equal(result.backend, "espeak");
        assert_true(heard.sound && heard.largest > 0.05f);
        *(i ? &american : &british) = heard;
    }
    assert_false(heard_same(&american, &british)); /* the standby changes its language too */
    options.voice = "af_synth";
    heard_init(&heard, false);
    assert_int_equal(
        utter_stream_speak(tried, text, strlen(text), &options, hear, &heard, &result, &err),
        UTTER_OK);
    assert_string_equal(result.backend, "native");
    utter_stream_destroy(tried);
    utter_voice_close(weak);
    drop_folder();
}

/* No model at all: what its languages and voices are called is understood all the same. (Which
 * language is heard, tests/cli/kokoro.py tells: espeak-ng keeps a state of its own between texts.)
 */
static void a_stand_in_takes_kokoros_names(void **state) {
    static const char *const asked[][2] = {{"bf_emma", NULL},
                                           {NULL, "b"},
                                           {"af_heart(0.5)+af_sky", "f"},
                                           {"whoever", NULL},
                                           {"", NULL}};
    utter_voice *broken;
    utter_error err;
    char path[128];
    make_folder();
    write_file(folder, "broken.pth", "PK\3\4 and no more", 15);
    snprintf(path, sizeof path, "%s/broken.pth", folder);
    assert_int_equal(utter_voice_open(engine, path, NULL, &broken, &err), UTTER_OK);
    utter_stream *tried = open_stream(broken);
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        utter_speak_options options;
        struct heard heard;
        utter_speak_options_init(&options);
        options.voice = asked[i][0];
        options.language = asked[i][1];
        heard_init(&heard, false);
        if (utter_stream_speak(tried, text, strlen(text), &options, hear, &heard, NULL, &err)) {
            fail_msg("case %zu: %s", i, err.message);
        }
        assert_true(heard.n > 1000);
    }
    utter_stream_destroy(tried);
    utter_voice_close(broken);
    unlink(path);
    drop_folder();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(information),
        cmocka_unit_test(who_speaks),
        cmocka_unit_test(language_follows_the_voice),
        cmocka_unit_test(speed),
        cmocka_unit_test(wrong_voices_make_no_sound),
        cmocka_unit_test(ids_are_spoken_whole),
        cmocka_unit_test(espeak_speaks_what_the_model_cannot),
        cmocka_unit_test(a_stand_in_takes_kokoros_names),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
