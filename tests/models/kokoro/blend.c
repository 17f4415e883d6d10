/* Mixtures of voices: what an expression means, and every way to get it wrong. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/checked.h"
#include "models/kokoro/voices.h"
#include "weights/temp_folder.h"

static struct ut_mem mem;
static struct ut_kokoro_voices *voices;

/* Sorted: the index of a voice is its place here. Files are not opened to read an expression. */
static const char *const names[] = {"A1.2_x",       "af_bella", "af_sky", "am_adam",
                                    "am_adam-deep", "b",        "zz-top"};

static int open_voices(void **state) {
    utter_error err;
    ut_mem_init(&mem, NULL);
    temp_folder_create();
    mkdir(temp_path("voices"), 0777);
    for (size_t i = 0; i < UT_COUNT(names); i++) {
        char file[128] = "voices/";
        strcat(strcat(file, names[i]), ".safetensors");
        temp_write(file, "", 0);
    }
    return ut_kokoro_voices_open(&mem, temp_path("model.pth"), NULL, 4, NULL, &voices, &err);
}

static int close_voices(void **state) {
    ut_kokoro_voices_close(voices);
    temp_folder_remove();
    return 0;
}

static void what_is_meant(void **state) {
    static const struct {
        const char *expression;
        int n;
        struct {
            uint32_t voice;
            float weight;
        } parts[3];
    } cases[] = {
        {"af_bella", 1, {{1, 1}}},
        {"  af_bella  ", 1, {{1, 1}}},
        {"A1.2_x", 1, {{0, 1}}},
        {"af_bella(0.7)+af_sky(0.3)", 2, {{1, 0.7f}, {2, 0.3f}}},
        {"af_bella(2)+af_sky(6)", 2, {{1, 0.25f}, {2, 0.75f}}},
        {"af_bella+am_adam(0.5)-af_sky(0.2)",
         3,
         {{1, 1 / 1.3f}, {3, 0.5f / 1.3f}, {2, -0.2f / 1.3f}}},
        {" af_bella ( .5 ) + af_sky ( 1. ) ", 2, {{1, 1 / 3.0f}, {2, 2 / 3.0f}}},
        {"af_bella+af_bella", 2, {{1, 0.5f}, {1, 0.5f}}},
        {"af_bella(0)+af_sky", 2, {{1, 0}, {2, 1}}},
        /* '-' in names: the longest one that exists. */
        {"zz-top", 1, {{6, 1}}},
        {"am_adam-deep", 1, {{4, 1}}},
        {"am_adam-deep-b(0.5)", 2, {{4, 2}, {5, -1}}},
        {"am_adam(3)-deep-b", 0, {{0, 0}}},
        {"am_adam-b(0.5)", 2, {{3, 2}, {5, -1}}},
        {"af_bella(3)-zz-top", 2, {{1, 1.5f}, {6, -0.5f}}},
        {"af_bella(123456789)", 1, {{1, 1}}},
    };
    for (size_t i = 0; i < UT_COUNT(cases); i++) {
        struct ut_kokoro_blend blend;
        utter_error err;
        utter_status status = ut_kokoro_blend_parse(voices, cases[i].expression, &blend, &err);
        if (cases[i].n == 0) {
            assert_int_equal(status, UTTER_ERROR_NOT_FOUND);
            continue;
        }
        if (status || blend.n != cases[i].n) {
            fail_msg("%s: %s", cases[i].expression, status ? err.message : "another count");
        }
        for (int k = 0; k < blend.n; k++) {
            assert_int_equal(blend.parts[k].voice, cases[i].parts[k].voice);
            assert_true(fabsf(blend.parts[k].weight - cases[i].parts[k].weight) < 1e-6f);
        }
    }
}

#define FIFTEEN "b+b+b+b+b+b+b+b+b+b+b+b+b+b+b"

static void what_is_refused(void **state) {
    static const struct {
        const char *expression;
        utter_status status;
        const char *message;
    } cases[] = {
        {"", UTTER_ERROR_ARGUMENT,
         "voice \"\": expected the name of a voice at byte 0, found the end"},
        {"+b", UTTER_ERROR_ARGUMENT,
         "voice \"+b\": expected the name of a voice at byte 0, found '+'"},
        {"(1)", UTTER_ERROR_ARGUMENT,
         "voice \"(1)\": expected the name of a voice at byte 0, found '('"},
        {"b+", UTTER_ERROR_ARGUMENT,
         "voice \"b+\": expected the name of a voice at byte 2, found the end"},
        {"b-", UTTER_ERROR_ARGUMENT,
         "voice \"b-\": expected the name of a voice at byte 2, found the end"},
        {"b++b", UTTER_ERROR_ARGUMENT,
         "voice \"b++b\": expected the name of a voice at byte 2, found '+'"},
        {"b b", UTTER_ERROR_ARGUMENT,
         "voice \"b b\": expected '+', '-', '(' or the end at byte 2, found 'b'"},
        {"b(1)b", UTTER_ERROR_ARGUMENT,
         "voice \"b(1)b\": expected '+', '-' or the end at byte 4, found 'b'"},
        {"b(1)(2)", UTTER_ERROR_ARGUMENT,
         "voice \"b(1)(2)\": expected '+', '-' or the end at byte 4, found '('"},
        {"b(", UTTER_ERROR_ARGUMENT, "voice \"b(\": expected a weight at byte 2, found the end"},
        {"b()", UTTER_ERROR_ARGUMENT, "voice \"b()\": expected a weight at byte 2, found ')'"},
        {"b(.)", UTTER_ERROR_ARGUMENT, "voice \"b(.)\": expected a weight at byte 3, found ')'"},
        {"b(-1)", UTTER_ERROR_ARGUMENT, "voice \"b(-1)\": expected a weight at byte 2, found '-'"},
        {"b(nan)", UTTER_ERROR_ARGUMENT,
         "voice \"b(nan)\": expected a weight at byte 2, found 'n'"},
        {"b(1e3)", UTTER_ERROR_ARGUMENT, "voice \"b(1e3)\": expected ')' at byte 3, found 'e'"},
        {"b(1.2.3)", UTTER_ERROR_ARGUMENT, "voice \"b(1.2.3)\": expected ')' at byte 5, found '.'"},
        {"b(0.5", UTTER_ERROR_ARGUMENT, "voice \"b(0.5\": expected ')' at byte 5, found the end"},
        {"b(1234567890)", UTTER_ERROR_ARGUMENT,
         "voice \"b(1234567890)\": expected a weight of at most 9 digits at byte 11, found '0'"},
        {"b\t+b", UTTER_ERROR_ARGUMENT,
         "expected '+', '-', '(' or the end at byte 1, found byte 0x09"},
        {"b/../b", UTTER_ERROR_ARGUMENT,
         "voice \"b/../b\": expected '+', '-', '(' or the end at byte 1, found '/'"},
        {"../b", UTTER_ERROR_NOT_FOUND, "there is no voice \"..\""},
        {"/etc/passwd", UTTER_ERROR_ARGUMENT, "expected the name of a voice at byte 0, found '/'"},
        {"b%2e", UTTER_ERROR_ARGUMENT, "found '%'"},
        {"b\\c", UTTER_ERROR_ARGUMENT, "found '\\'"},
        {"b(0)", UTTER_ERROR_ARGUMENT,
         "voice \"b(0)\": the weights add up to 0, expected at least 0.001"},
        {"b-b", UTTER_ERROR_ARGUMENT,
         "voice \"b-b\": the weights add up to 0, expected at least 0.001"},
        {"b(0.5)-af_sky", UTTER_ERROR_ARGUMENT,
         "voice \"b(0.5)-af_sky\": the weights add up to -0.5, expected at least 0.001"},
        {FIFTEEN "+b+b", UTTER_ERROR_ARGUMENT, "mixes more than 16 voices"},
        {"af_bela", UTTER_ERROR_NOT_FOUND,
         "there is no voice \"af_bela\": did you mean \"af_bella\"?"},
        {"AF_BELLA", UTTER_ERROR_NOT_FOUND,
         "there is no voice \"AF_BELLA\": did you mean \"af_bella\"?"},
        {"b+af_skyy(0.3)", UTTER_ERROR_NOT_FOUND,
         "there is no voice \"af_skyy\": did you mean \"af_sky\"?"},
        {"af_bela-somebody", UTTER_ERROR_NOT_FOUND,
         "there is no voice \"af_bela-somebody\": did you mean \"af_bella\"?"},
        {"-b", UTTER_ERROR_NOT_FOUND, "there is no voice \"-b\""},
        {"something_else", UTTER_ERROR_NOT_FOUND,
         "there is no voice \"something_else\" among the 7 of this model (\"A1.2_x\" is one)"},
        {"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
         UTTER_ERROR_NOT_FOUND, "there is no voice \"xxx"},
    };
    for (size_t i = 0; i < UT_COUNT(cases); i++) {
        struct ut_kokoro_blend blend;
        utter_error err;
        utter_status status = ut_kokoro_blend_parse(voices, cases[i].expression, &blend, &err);
        if (status != cases[i].status || !strstr(err.message, cases[i].message)) {
            fail_msg("%s: %d, \"%s\" does not say \"%s\"", cases[i].expression, (int)status,
                     err.message, cases[i].message);
        }
    }
}

/* Sixteen are allowed, a name as long as names get, too, and behind it something else. */
static void at_the_limits(void **state) {
    struct ut_kokoro_blend blend;
    utter_error err;
    assert_int_equal(ut_kokoro_blend_parse(voices, FIFTEEN "+b", &blend, &err), UTTER_OK);
    assert_int_equal(blend.n, UT_KOKORO_MAX_BLEND);
    char long_name[400] = "b-";
    memset(long_name + 2, 'x', 300);
    assert_int_equal(ut_kokoro_blend_parse(voices, long_name, &blend, &err), UTTER_ERROR_NOT_FOUND);
    long_name[2] = '\0';
    for (int i = 0; i < 15; i++) {
        strcat(long_name, "af_bella(0.01)-");
    }
    strcat(long_name, "b(0.1)");
    assert_int_equal(ut_kokoro_blend_parse(voices, long_name, &blend, &err), UTTER_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "mixes more than 16"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_meant),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(at_the_limits),
    };
    return cmocka_run_group_tests(tests, open_voices, close_voices);
}
