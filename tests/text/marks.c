/* Clause ends found again from the bytes that espeak-ng consumed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"
#include "text/marks.h"
#include "text/utf8_walk.h"

static void every_mark(void **state) {
    static const struct {
        const char *chars;
        char adds;
        bool sentence;
    } rows[] = {
        {".۔܁܂።᙮᠃᠉⸼︒﹒｡", '.', true},
        {"?\u037E؟፧⁇❓❔︖﹖", '?', true},
        {"!߹‼❕❗❢❣︕﹗", '!', true},
        {",՝،፣᠂⸲⸴︐︑﹐﹑､", ',', false},
        {":፥፦︓﹕", ':', false},
        {";\u0387؛፤–—⸺⸻︔︱︲﹔", ';', false},
        {"…⋮⋯、，：；¿¡", 0, false},
        {"。．！？।॥։\u2029", 0, true},
    };
    int n = 0;
    for (size_t r = 0; r < UT_COUNT(rows); r++) {
        for (size_t at = 0, length = strlen(rows[r].chars); at < length; n++) {
            struct ut_mark mark;
            size_t begin = at;
            uint32_t c = ut_utf8_next(rows[r].chars, length, &at);
            if (!ut_mark_find(c, &mark) || mark.adds != rows[r].adds ||
                mark.sentence != rows[r].sentence) {
                fail_msg("row %zu, '%.*s' (U+%04X)", r, (int)(at - begin), rows[r].chars + begin,
                         c);
            }
        }
    }
    assert_int_equal(n, 12 + 9 + 9 + 12 + 5 + 12 + 9 + 8);
    static const uint32_t others[] = {0, ' ', 'a', '-', '"', '(', 0xB7, 0x2015, 0xFF0D, 0x10FFFF};
    for (size_t i = 0; i < UT_COUNT(others); i++) {
        struct ut_mark mark;
        assert_false(ut_mark_find(others[i], &mark));
    }
}

static void clause_ends(void **state) {
    static const struct {
        const char *text;
        enum ut_clause_stop stop;
        char adds;
        bool sentence, paragraph;
    } cases[] = {
        {"Hello, ", UT_CLAUSE_MORE_TEXT, ',', false, false},
        {"Hello. ", UT_CLAUSE_MORE_TEXT, '.', true, false},
        {"Hello.\n", UT_CLAUSE_MORE_TEXT, '.', true, false},
        {"What?! ", UT_CLAUSE_MORE_TEXT, '?', true, false},
        {"What!?", UT_CLAUSE_END_OF_TEXT, '!', true, false},
        {"Wait... ", UT_CLAUSE_MORE_TEXT, 0, false, false},
        {"Wait..... ", UT_CLAUSE_MORE_TEXT, 0, false, false},
        {"Wait.. ", UT_CLAUSE_MORE_TEXT, '.', true, false},
        {"Wait…", UT_CLAUSE_END_OF_TEXT, 0, false, false},
        {"Wait,...", UT_CLAUSE_END_OF_TEXT, ',', false, false},
        {"世界。", UT_CLAUSE_MORE_TEXT, 0, true, false},
        {"no mark", UT_CLAUSE_END_OF_TEXT, 0, true, false},
        {"too long ", UT_CLAUSE_MORE_TEXT, 0, false, false},
        {"window ", UT_CLAUSE_CUT, 0, false, false},
        {"window.  ", UT_CLAUSE_CUT, '.', true, false},
        {"", UT_CLAUSE_END_OF_TEXT, 0, true, false},
        {"?!", UT_CLAUSE_END_OF_TEXT, 0, true, false},
        {"title\n\n", UT_CLAUSE_MORE_TEXT, 0, true, true},
        {"Stop! \n \n", UT_CLAUSE_MORE_TEXT, 0, true, true},
    };
    for (size_t i = 0; i < UT_COUNT(cases); i++) {
        struct ut_clause_end end =
            ut_clause_end(cases[i].text, strlen(cases[i].text), cases[i].stop);
        if (end.adds != cases[i].adds || end.sentence != cases[i].sentence ||
            end.paragraph != cases[i].paragraph) {
            fail_msg("case %zu: '%s'", i, cases[i].text);
        }
    }
}

static void sentence_ends(void **state) {
    static const char *const yes[] = {"a.", "a?  ", "a!\"", "(a.)", "a.” ", "a…", "a...", "。」"};
    static const char *const no[] = {"", "a", "a,", "a:", "\"", "...and", "a. b"};
    for (size_t i = 0; i < UT_COUNT(yes); i++) {
        assert_true(ut_ends_sentence(yes[i], strlen(yes[i])));
    }
    for (size_t i = 0; i < UT_COUNT(no); i++) {
        assert_false(ut_ends_sentence(no[i], strlen(no[i])));
    }
}

static void classes(void **state) {
    assert_true(ut_is_alphanumeric('a') && ut_is_alphanumeric('Z') && ut_is_alphanumeric('7'));
    assert_true(ut_is_alphanumeric(0xE9) && ut_is_alphanumeric(0x4E16) &&
                ut_is_alphanumeric(0x663));
    assert_false(ut_is_alphanumeric('@') || ut_is_alphanumeric('[') || ut_is_alphanumeric(0x2026));
    assert_true(ut_is_space(' ') && ut_is_space('\n') && ut_is_space(0x3000));
    assert_false(ut_is_space('a') || ut_is_space(0xA0) || ut_is_space(0x2029));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_mark),
        cmocka_unit_test(clause_ends),
        cmocka_unit_test(sentence_ends),
        cmocka_unit_test(classes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
