/* Where long sentences are cut: never in the middle of a character or before its marks, parts
 * together are the whole, and bounded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/split.h"

static void short_text_is_one_part(void **state) {
    assert_int_equal(ut_split_phonemes("abc", 0, 3, 3), 3);
    assert_int_equal(ut_split_phonemes("abc", 0, 3, 700), 3);
    assert_int_equal(ut_split_phonemes("\xc9\x99\xc9\x99", 0, 4, 2), 4);
}

static void prefers_clause_then_space_then_anywhere(void **state) {
    /*                            0123456789012 */
    assert_int_equal(ut_split_phonemes("abcd, ef ghij", 0, 13, 10), 6);
    assert_int_equal(ut_split_phonemes("abcd ef ghijk", 0, 13, 10), 8);
    assert_int_equal(ut_split_phonemes("abcdefghijklm", 0, 13, 10), 10);
    /* A clause mark in the first half would make the part too short. */
    assert_int_equal(ut_split_phonemes("a, cdefghijklm", 0, 14, 10), 10);
    /* Without the space behind it, a mark is part of a word. */
    assert_int_equal(ut_split_phonemes("abcdef,hi jklm", 0, 14, 12), 10);
}

static void marks_stay_with_their_letter(void **state) {
    /* "aaaaaaaa" "n" U+0303 at the limit, and a length mark. */
    assert_int_equal(ut_split_phonemes("aaaaaaaan\xcc\x83"
                                       "bcd",
                                       0, 14, 9),
                     8);
    assert_int_equal(ut_split_phonemes("aaaaaaaai\xcb\x90"
                                       "bcd",
                                       0, 14, 9),
                     8);
    /* Nothing but marks: cut all the same, or it would never end. */
    char marks[64];
    for (int i = 0; i < 64; i += 2) {
        memcpy(marks + i, "\xcc\x83", 2);
    }
    assert_int_equal(ut_split_phonemes(marks, 0, 64, 4), 8);
}

static size_t n_chars(const char *text, size_t begin, size_t end) {
    size_t n = 0;
    for (size_t i = begin; i < end; i++) {
        n += ((unsigned char)text[i] & 0xC0) != 0x80;
    }
    return n;
}

static void parts_cover_random_text(void **state) {
    static const char *const symbols[] = {"a",        " ",        ",",        ", ",
                                          "\xc9\x99", "\xcc\x83", "\xcb\x90", "\xf0\x9f\x98\x80"};
    uint32_t random = 1;
    for (int round = 0; round < 2000; round++) {
        char text[600] = "";
        size_t n = 0;
        int n_symbols = 1 + round % 120;
        for (int i = 0; i < n_symbols; i++) {
            random = random * 1664525 + 1013904223;
            const char *symbol = symbols[random >> 29];
            memcpy(text + n, symbol, strlen(symbol));
            n += strlen(symbol);
        }
        size_t limit = 1 + (size_t)round % 40, end;
        for (size_t begin = 0; begin < n; begin = end) {
            end = ut_split_phonemes(text, begin, n, limit);
            assert_true(end > begin && end <= n);
            assert_true(n_chars(text, begin, end) <= limit);
            assert_true(end == n || ((unsigned char)text[end] & 0xC0) != 0x80);
        }
    }
}

static void text_shares(void **state) {
    const char *text = "..one two three four..";
    size_t last = 2;
    assert_int_equal(ut_split_text(text, 2, 20, 0, 100), 2);
    assert_int_equal(ut_split_text(text, 2, 20, 100, 100), 20);
    for (size_t part = 0; part <= 100; part++) {
        size_t at = ut_split_text(text, 2, 20, part, 100);
        assert_true(at >= last && at <= 20);
        assert_true(at == 2 || at == 20 || text[at - 1] == ' ');
        last = at;
    }
    assert_int_equal(ut_split_text(text, 5, 5, 1, 2), 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_text_is_one_part),
        cmocka_unit_test(prefers_clause_then_space_then_anywhere),
        cmocka_unit_test(marks_stay_with_their_letter),
        cmocka_unit_test(parts_cover_random_text),
        cmocka_unit_test(text_shares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
