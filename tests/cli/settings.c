/* Settings: every order of the places they come from, what each takes, what gives way, and the
 * messages for what is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/settings.h"

static struct settings settings;
static char warnings[2000];
static int n_warnings;

static void keep_warning(const char *format, ...) {
    size_t n = strlen(warnings);
    va_list list;
    va_start(list, format);
    vsnprintf(warnings + n, sizeof warnings - n, format, list);
    va_end(list);
    n_warnings++;
}

static int setup(void **state) {
    settings_init(&settings, keep_warning);
    warnings[0] = '\0';
    n_warnings = 0;
    return 0;
}

static int teardown(void **state) {
    settings_free(&settings);
    return 0;
}

static bool read_json(const char *text) {
    return settings_read_json(&settings, "/etc/utter/config.json", text, strlen(text));
}

/* What the environment of a test is: "NAME=VALUE" up to NULL. */
static const char *const *environment;

static char *get(const char *name) {
    size_t n = strlen(name);
    for (const char *const *entry = environment; *entry; entry++) {
        if (strncmp(*entry, name, n) == 0 && (*entry)[n] == '=') {
            return (char *)*entry + n + 1;
        }
    }
    return NULL;
}

static bool read_environment(const char *a, const char *b) {
    const char *const entries[] = {a, b, NULL};
    environment = entries;
    return settings_read_environment(&settings, get);
}

static const struct arg_option rows[] = {
    {1, 'm', "model", "PATH", ""},      {2, 'v', "voice", "NAME", ""},
    {3, 0, "speaker", "NAME", ""},      {4, 0, "speed", "X", ""},
    {5, 0, "backend", "NAME", ""},      {6, 0, "provider", "NAME", ""},
    {7, 0, "threads", "N", ""},         {8, 0, "memory-limit", "SIZE", ""},
    {9, 0, "mlock", NULL, ""},          {10, 0, "no-fallback", NULL, ""},
    {11, 0, "config", "FILE", ""},      {12, 0, "set", "NAME=VALUE", ""},
    {13, 'o', "output", "FILE", ""},    {14, 0, "format", "NAME", ""},
    {15, 0, "help", NULL, ""},          {16, 0, "language", "NAME", ""},
    {17, 0, "coreml-path", "FILE", ""},
};

static struct args line_of(char **words) {
    int n = 0;
    while (words[n]) {
        n++;
    }
    return (struct args){
        .options = rows, .n_options = sizeof rows / sizeof *rows, .argc = n, .argv = words};
}

static bool read_line(const char *a, const char *b, const char *c) {
    char *words[] = {(char *)a, (char *)b, (char *)c, NULL};
    const char *config;
    return settings_read_line(&settings, line_of(words), false, &config);
}

static void is(enum setting_id id, const char *text, enum setting_origin origin,
               const char *where) {
    const struct setting_value *value = &settings.values[id];
    assert_string_equal(setting_text(&settings, id), text);
    assert_int_equal(value->origin, origin);
    assert_string_equal(value->where ? value->where : "", where);
}

/* The value that a command is given for an option; "" for a flag, NULL when it is given none. */
static const char *preset(const char *option) {
    static struct arg_preset presets[N_SETTINGS];
    const struct args args = {.options = rows, .n_options = sizeof rows / sizeof *rows};
    size_t n = settings_presets(&settings, &args, presets);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(args_option(&args, presets[i].id)->name, option) == 0) {
            return presets[i].value ? presets[i].value : "";
        }
    }
    return NULL;
}

static void fails_with(bool done, const char *words) {
    if (done || !strstr(settings.message, words)) {
        fail_msg("'%s' lacks '%s'", settings.message, words);
    }
    settings_free(&settings);
    settings_init(&settings, keep_warning);
}

/* Every subset of the three places, read in every order: the strongest that has it counts. */
static void flag_before_environment_before_file(void **state) {
    static const char *const texts[] = {"0", "1", "2", "3"};
    for (int order = 0; order < 6; order++) {
        for (int places = 0; places < 8; places++) {
            int strongest = 0;
            setup(NULL);
            for (int i = 0; i < 3; i++) {
                static const int orders[6][3] = {{1, 2, 3}, {1, 3, 2}, {2, 1, 3},
                                                 {2, 3, 1}, {3, 1, 2}, {3, 2, 1}};
                int place = orders[order][i];
                if (!(places & 1 << (place - 1))) {
                    continue;
                }
                strongest = place > strongest ? place : strongest;
                assert_true(place == SETTING_FILE ? read_json("{\"threads\": 1}")
                            : place == SETTING_ENVIRONMENT
                                ? read_environment("UTTER_THREADS=2", NULL)
                                : read_line("--threads", "3", NULL));
            }
            assert_true(settings_reconcile(&settings));
            assert_string_equal(setting_text(&settings, SETTING_THREADS), texts[strongest]);
            assert_int_equal(settings.values[SETTING_THREADS].origin, strongest);
            bool given = strongest == SETTING_FILE || strongest == SETTING_ENVIRONMENT;
            assert_true((preset("threads") != NULL) == given); /* a flag is the line's own */
            teardown(NULL);
        }
    }
}

static void names_of_other_programs(void **state) {
    assert_true(read_json(
        "{\"model\": {\"inference_backend\": \"gguf\", \"preferred_backend\": \"onnx\","
        " \"enable_backend_fallback\": false,"
        " \"gguf_config\": {\"n_threads\": null, \"use_mlock\": true}},"
        " \"tts\": {\"default_voice\": \"af_heart\"}, \"audio\": {\"default_speed\": 1},"
        " \"models\": {\"tts\": {\"piper\": {\"voice_path\": \"a.onnx\","
        " \"coreml_path\": \"/b.onnx\"}}}, \"performance\": {\"memory_limit_mb\": 4096}}"));
    is(SETTING_BACKEND, "native", SETTING_FILE, "model.inference_backend");
    is(SETTING_PREFERRED_BACKEND, "onnx", SETTING_FILE, "model.preferred_backend");
    is(SETTING_FALLBACK, "false", SETTING_FILE, "model.enable_backend_fallback");
    is(SETTING_THREADS, "0", SETTING_DEFAULT, "");
    is(SETTING_MLOCK, "true", SETTING_FILE, "model.gguf_config.use_mlock");
    is(SETTING_VOICE, "af_heart", SETTING_FILE, "tts.default_voice");
    is(SETTING_SPEED, "1", SETTING_FILE, "audio.default_speed");
    is(SETTING_MODEL, "/etc/utter/a.onnx", SETTING_FILE, "models.tts.piper.voice_path");
    is(SETTING_COREML_PATH, "/b.onnx", SETTING_FILE, "models.tts.piper.coreml_path");
    is(SETTING_MEMORY_LIMIT, "4096M", SETTING_FILE, "performance.memory_limit_mb");
    assert_string_equal(preset("no-fallback"), "");
    assert_string_equal(preset("mlock"), "");
    assert_int_equal(n_warnings, 0);
    teardown(NULL);
    setup(NULL);
    assert_true(read_environment("GGUF_THREADS=auto", "GGUF_MEMORY_LIMIT=800"));
    is(SETTING_THREADS, "0", SETTING_ENVIRONMENT, "GGUF_THREADS");
    is(SETTING_MEMORY_LIMIT, "800M", SETTING_ENVIRONMENT, "GGUF_MEMORY_LIMIT");
    assert_true(read_environment("GGUF_MODEL_PATH=m.gguf", "UTTER_NO=1"));
    is(SETTING_MODEL, "m.gguf", SETTING_ENVIRONMENT, "GGUF_MODEL_PATH");
    teardown(NULL);
    setup(NULL); /* utter's own name comes before another's */
    assert_true(read_environment("GGUF_THREADS=7", "UTTER_THREADS=4"));
    is(SETTING_THREADS, "4", SETTING_ENVIRONMENT, "UTTER_THREADS");
}

static void paths_start_at_the_file(void **state) {
    setenv("HOME", "/home/anna", 1);
    assert_true(read_json("{\"model\": \"~/voices/a.onnx\", \"onnxruntime\": \"lib/ort.so\"}"));
    is(SETTING_MODEL, "/home/anna/voices/a.onnx", SETTING_FILE, "model");
    is(SETTING_ONNXRUNTIME, "/etc/utter/lib/ort.so", SETTING_FILE, "onnxruntime");
    static const char *const voices[] = {"espeak", "espeak:de", "/a.onnx", ""};
    for (size_t i = 0; i < 4; i++) {
        char text[64];
        teardown(NULL);
        setup(NULL);
        snprintf(text, sizeof text, "{\"model\": \"%s\"}", voices[i]);
        assert_true(read_json(text));
        is(SETTING_MODEL, voices[i], SETTING_FILE, "model");
    }
}

static void switches(void **state) {
    static const char *const yes[] = {"true", "yes", "on", "1"}, *const no[] = {"false", "no",
                                                                                "off", "0"};
    for (size_t i = 0; i < 8; i++) {
        char entry[32];
        setup(NULL);
        snprintf(entry, sizeof entry, "UTTER_MLOCK=%s", i < 4 ? yes[i] : no[i - 4]);
        assert_true(read_json("{\"mlock\": true}") && read_environment(entry, NULL));
        assert_true((preset("mlock") != NULL) == (i < 4));
        teardown(NULL);
    }
    setup(NULL);
    assert_true(read_json("{\"no_fallback\": true}"));
    assert_string_equal(preset("no-fallback"), "");
    assert_true(read_line("--set", "enable_backend_fallback=true", NULL));
    is(SETTING_FALLBACK, "true", SETTING_FLAG, "set");
    assert_null(preset("no-fallback"));
    assert_true(read_line("--no-fallback", NULL, NULL));
    is(SETTING_FALLBACK, "false", SETTING_FLAG, "no-fallback");
}

static void a_stronger_place_contradicts(void **state) {
    assert_true(
        read_json(
            "{\"model\": \"/k.pth\", \"voice\": \"af_sky\", \"language\": \"b\", \"speed\": 2,"
            " \"provider\": \"cuda\", \"format\": \"mp3\"}") &&
        read_environment("UTTER_MODEL=/p.onnx", NULL) &&
        read_line("-oa.wav", "--backend=native", NULL) && settings_reconcile(&settings));
    is(SETTING_MODEL, "/p.onnx", SETTING_ENVIRONMENT, "UTTER_MODEL");
    assert_null(preset("voice")); /* they are of /k.pth */
    assert_null(preset("language"));
    assert_string_equal(settings.values[SETTING_VOICE].dropped, "it belongs to another model");
    assert_string_equal(preset("speed"), "2");
    assert_null(preset("provider"));
    assert_null(preset("format")); /* a.wav is WAV */
    teardown(NULL);
    setup(NULL); /* no model is named beside this voice: it is of any */
    assert_true(read_json("{\"voice\": \"af_sky\", \"format\": \"mp3\"}") &&
                read_environment("UTTER_MODEL=/k.pth", NULL) && read_line("-o-", NULL, NULL) &&
                settings_reconcile(&settings));
    assert_string_equal(preset("voice"), "af_sky");
    assert_string_equal(preset("format"), "mp3");
    assert_true(read_line("--speaker", "1", NULL) && settings_reconcile(&settings));
    assert_null(preset("voice"));
}

static void the_formant_voice_contradicts(void **state) {
    assert_true(read_json("{\"backend\": \"native\"}") && read_line("-m", "espeak:de", NULL) &&
                settings_reconcile(&settings));
    assert_null(preset("backend"));
    teardown(NULL);
    setup(NULL);
    assert_true(read_json("{\"model\": \"espeak\"}") && read_line("--provider", "cuda", NULL) &&
                settings_reconcile(&settings));
    assert_null(preset("model"));
    teardown(NULL);
    setup(NULL); /* equals: the library says what is wrong */
    assert_true(read_json("{\"model\": \"espeak\", \"backend\": \"native\"}") &&
                settings_reconcile(&settings));
    assert_string_equal(preset("model"), "espeak");
    assert_string_equal(preset("backend"), "native");
}

static void unknown_names_are_warned_of(void **state) {
    assert_true(
        read_json("{\"treads\": 1, \"server\": {\"port\": 1}, \"_note\": 1, \"$schema\": \"x\","
                  " \"model\": {\"nothing\": {}}, \"speed\": 1.5}"));
    assert_int_equal(n_warnings, 3);
    assert_non_null(
        strstr(warnings, "config.json: there is no setting \"treads\"; did you mean \"threads\"?"));
    assert_non_null(strstr(warnings, "there is no setting \"server\""));
    assert_non_null(strstr(warnings, "\"model.nothing\""));
    is(SETTING_SPEED, "1.5", SETTING_FILE, "speed");
    teardown(NULL);
    setup(NULL);
    char text[4000] = "{", *at = text + 1;
    for (int i = 0; i < 40; i++) {
        at += sprintf(at, "%s\"unheard_of_%d\": []", i ? "," : "", i);
    }
    strcpy(at, "}");
    assert_true(read_json(text));
    assert_int_equal(n_warnings, 9); /* and one that there are more */
    assert_non_null(strstr(warnings, "further settings"));
}

static void the_same_twice(void **state) {
    assert_true(read_json("{\"n_threads\": 3, \"threads\": 2}"));
    is(SETTING_THREADS, "3", SETTING_FILE, "n_threads");
    assert_non_null(strstr(warnings, "n_threads and threads are the same setting"));
    assert_true(read_line("--set", "threads=4", NULL) && read_line("--set", "threads=5", NULL));
    is(SETTING_THREADS, "5", SETTING_FLAG, "set");
    assert_string_equal(preset("threads"), "5");
}

static void what_is_wrong_in_a_file(void **state) {
    static const char *const cases[][2] = {
        {"{\"threads\": 257}",
         "/etc/utter/config.json: threads: \"257\" is not a whole number from 0 to 256"},
        {"{\"threads\": 1.5}", "threads must be a whole number or \"auto\""},
        {"{\"threads\": \"many\"}", "threads: \"many\" is not a whole number"},
        {"{\"threads\": [1]}", "threads must be"},
        {"{\"gguf_config\": {\"n_threads\": -1}}", "gguf_config.n_threads: \"-1\""},
        {"{\"speed\": \"fast\"}", "speed must be a number"},
        {"{\"speed\": 11}", "speed: \"11\" is not a number from 0.1 to 10"},
        {"{\"speed\": 1e999}", "config.json, line 1"},
        {"{\"mlock\": 1}", "mlock must be true or false"},
        {"{\"memory_limit\": 2.5}", "memory_limit must be a number of bytes or a size like \"2G\""},
        {"{\"memory_limit\": \"2T\"}", "memory_limit: \"2T\" is no size"},
        {"{\"memory_limit_mb\": 0}", "memory_limit_mb: \"0M\" is no size"},
        {"{\"memory_limit_mb\": \"2G\"}", "memory_limit_mb: \"2G?\" is no size"},
        {"{\"memory_limit_mb\": true}", "memory_limit_mb must be a number of megabytes"},
        {"{\"seed\": -1}", "seed: \"-1\" is not a whole number from 0"},
        {"{\"seed\": \"1\"}", "seed must be a whole number"},
        {"{\"inference_backend\": \"ort\"}",
         "there is no \"ort\"; choose from auto, native, gguf, onnx, espeak"},
        {"{\"preferred_backend\": \"espeak\"}", "choose from auto, native, gguf, onnx"},
        {"{\"provider\": \"tpu\"}", "choose from cpu, cuda, coreml"},
        {"{\"format\": \"aac\"}", "choose from wav, wav-f32"},
        {"{\"voice\": 5}", "voice must be a text in quotes"},
        {"{\"model\": false}", "model must be a path in quotes"},
        {"{\"cpu\": null, \"cpu\": \"avx2\"}", "line 1, column"},
        {"{\n\"speed\": 1,\n}", "config.json, line 3"},
        {"[1]", "settings are a JSON object"},
        {"", "config.json, line 1"},
        {"{\"voice\": \"a\\u0000b\"}", "line 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fails_with(read_json(cases[i][0]), cases[i][1]);
    }
    fails_with(read_json("{\"voice\": \"a\", \"speaker\": 1}") && settings_reconcile(&settings),
               "voice and speaker both say who speaks");
    /* Also where a stronger place has another. */
    fails_with(read_line("--threads", "2", NULL) && read_json("{\"threads\": 257}"), "\"257\"");
}

static void what_is_wrong_elsewhere(void **state) {
    fails_with(read_environment("UTTER_THREADS=x", NULL),
               "UTTER_THREADS: \"x\" is not a whole number");
    fails_with(read_environment("UTTER_MLOCK=maybe", NULL),
               "UTTER_MLOCK: \"maybe\" is neither true nor false");
    fails_with(read_environment("GGUF_MEMORY_LIMIT=2G", NULL), "GGUF_MEMORY_LIMIT");
    fails_with(read_line("--set", "treads=1", NULL), "did you mean \"threads\"?");
    fails_with(read_line("--set", "threads", NULL), "must be NAME=VALUE");
    fails_with(read_line("--set", "threads=x", NULL), "--set: \"x\" is not a whole number");
    fails_with(read_line("--threads", "x", NULL) && settings_check_line(&settings),
               "--threads: \"x\"");
}

/* Nesting is jansson's to limit, and what is in no section is not entered. */
static void deep_files(void **state) {
    enum { DEPTH = 100000 };
    char *text = malloc(2 * DEPTH * 6);
    assert_non_null(text);
    char *at = text;
    for (int i = 0; i < DEPTH; i++) {
        at = stpcpy(at, "{\"a\":");
    }
    *at++ = '1';
    memset(at, '}', DEPTH);
    at[DEPTH] = '\0';
    bool done = read_json(text);
    free(text);
    fails_with(done, "config.json, line 1");
    char name[1000];
    memset(name, 'n', sizeof name);
    memcpy(name, "{\"", 2);
    memcpy(name + 900, "\": {\"model\": 1}}", 17);
    assert_true(read_json(name));
    assert_int_equal(n_warnings, 1);
}

static void the_line_is_looked_at_first(void **state) {
    char *words[] = {(char *)"a.onnx", (char *)"--config", (char *)"c.json",
                     (char *)"--",     (char *)"--help",   NULL};
    const char *config;
    assert_true(settings_read_line(&settings, line_of(words), true, &config));
    assert_string_equal(config, "c.json");
    assert_false(settings.help);
    is(SETTING_MODEL, "--help", SETTING_FLAG, "model");  /* what stands behind -- is an operand */
    assert_true(read_line("--help", "--bananas", NULL)); /* which is the command's to say */
    assert_true(settings.help);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(flag_before_environment_before_file),
        TEST(names_of_other_programs),
        TEST(paths_start_at_the_file),
        TEST(switches),
        TEST(a_stronger_place_contradicts),
        TEST(the_formant_voice_contradicts),
        TEST(unknown_names_are_warned_of),
        TEST(the_same_twice),
        TEST(what_is_wrong_in_a_file),
        TEST(what_is_wrong_elsewhere),
        TEST(deep_files),
        TEST(the_line_is_looked_at_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
