/* UTF-8: every code point there and back, and every kind of invalid sequence. */
#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_round_trip(void **state) {
    for (int32_t c = 0; c <= 0x10FFFF; c++) {
        char bytes[4];
        size_t n = ut_utf8_encode(c, bytes), n_read;
        assert_int_equal(n, c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4);
        bool surrogate = c >= 0xD800 && c < 0xE000;
        assert_int_equal(ut_utf8_decode(bytes, n, &n_read), surrogate ? -1 : c);
        assert_int_equal(n_read, surrogate ? 1 : n);
        assert_int_equal(ut_utf8_valid(bytes, n), !surrogate);
    }
}

/* No other sequence of up to three bytes is valid: as many as there are code points below 0x10000. */
static void test_all_short_sequences(void **state) {
    size_t n_valid[4] = {0};
    for (uint32_t i = 0; i < 1 << 24; i++) {
        char bytes[3] = {(char)i, (char)(i >> 8), (char)(i >> 16)};
        size_t n_read;
        if (ut_utf8_decode(bytes, 3, &n_read) >= 0) {
            n_valid[n_read]++;
        }
    }
    assert_int_equal(n_valid[1], 0x80u << 16);
    assert_int_equal(n_valid[2], (0x800u - 0x80) << 8);
    assert_int_equal(n_valid[3], 0x10000 - 0x800 - 0x800);
}

static void test_invalid(void **state) {
    static const char *const texts[] = {
        "\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xC2", "\xC2\x41", "\xE0\x9F\xBF", "\xE2\x82", "\xED\xA0\x80",
        "\xF0\x8F\xBF\xBF", "\xF0\x9F\x98", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFE", "\xFF",
        "good\xFFgood", "good\xE2\x82",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        size_t n = strlen(texts[i]);
        char *copy = malloc(n); /* exactly sized, for the sanitizer */
        assert_non_null(copy);
        memcpy(copy, texts[i], n);
        assert_false(ut_utf8_valid(copy, n));
        free(copy);
    }
    assert_true(ut_utf8_valid("", 0));
    assert_true(ut_utf8_valid("a\0b", 3));
    assert_true(ut_utf8_valid("gr\xC3\xBC\xC3\x9F \xF0\x9F\x98\x80", 11));
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_all_short_sequences),
        cmocka_unit_test(test_invalid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
