/* Names and extensions of the output formats. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "audio/format.h"

static void every_name_parses_to_its_format(void **state) {
    for (int i = UTTER_FORMAT_WAV; i <= UTTER_FORMAT_MP3; i++) {
        const char *name = utter_format_name((utter_format)i);
        utter_format format;
        assert_non_null(name);
        assert_int_equal(utter_format_parse(name, &format, NULL), UTTER_OK);
        assert_int_equal(format, i);
    }
    assert_null(utter_format_name(UTTER_FORMAT_AUTO));
    assert_null(utter_format_name((utter_format)99));
}

static void names_are_told_apart_from_nonsense(void **state) {
    static const char *const bad[] = {"", "wave", "wav ", "aac", "wav-f", "mp", "mp33", "auto"};
    utter_format format;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        utter_error err = {0};
        assert_int_equal(utter_format_parse(bad[i], &format, &err), UTTER_ERROR_NOT_FOUND);
        assert_non_null(strstr(err.message, "opus"));
    }
    assert_int_equal(utter_format_parse("FLAC", &format, NULL), UTTER_OK);
    assert_int_equal(format, UTTER_FORMAT_FLAC);
    assert_int_equal(utter_format_parse(NULL, &format, NULL), UTTER_ERROR_ARGUMENT);
}

static void extensions_choose_the_format(void **state) {
    static const struct {
        const char *path;
        utter_format format;
    } cases[] = {
        {"a.wav", UTTER_FORMAT_WAV},     {"a.flac", UTTER_FORMAT_FLAC},
        {"x/y.OPUS", UTTER_FORMAT_OPUS}, {"a.b.ogg", UTTER_FORMAT_VORBIS},
        {"a.mp3", UTTER_FORMAT_MP3},     {"a.raw", UTTER_FORMAT_PCM_S16},
        {"a.f32", UTTER_FORMAT_PCM_F32}, {"a", UTTER_FORMAT_WAV},
        {"", UTTER_FORMAT_WAV},          {"dir.mp3/a", UTTER_FORMAT_WAV},
        {"-", UTTER_FORMAT_WAV},         {".mp3", UTTER_FORMAT_MP3},
        {"a.txt", UTTER_FORMAT_WAV},     {"a.", UTTER_FORMAT_WAV},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(ut_format_of_path(cases[i].path), cases[i].format);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_parses_to_its_format),
        cmocka_unit_test(names_are_told_apart_from_nonsense),
        cmocka_unit_test(extensions_choose_the_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
