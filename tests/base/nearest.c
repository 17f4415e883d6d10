/* Edit distances against values worked out by hand, and when a suggestion is made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/nearest.h"

static void distances(void **state) {
    static const struct {
        const char *a, *b;
        int distance;
    } cases[] = {
        {"", "", 0},         {"", "abc", 3},      {"abc", "", 3},   {"kitten", "sitting", 3},
        {"abcd", "acbd", 1}, {"AMY", "amy", 0},   {"ca", "abc", 3}, {"flaw", "lawn", 2},
        {"p225", "p226", 1}, {"same", "same", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(ut_edit_distance(cases[i].a, cases[i].b), cases[i].distance);
        assert_int_equal(ut_edit_distance(cases[i].b, cases[i].a), cases[i].distance);
    }
}

static void long_names_count_to_their_limit(void **state) {
    char a[4096], b[4096];
    memset(a, 'a', sizeof a);
    memset(b, 'b', sizeof b);
    a[sizeof a - 1] = b[sizeof b - 1] = '\0';
    assert_int_equal(ut_edit_distance(a, b), 63);
    assert_int_equal(ut_edit_distance(a, ""), 63);
}

static const char *const names[] = {"alice", "bob", NULL, "charlotte", "p225"};

static const char *at(const void *user, int32_t i) {
    return names[i];
}

static void nearest_name(void **state) {
    assert_int_equal(ut_nearest("alcie", at, NULL, 5), 0);
    assert_int_equal(ut_nearest("charlote", at, NULL, 5), 3);
    assert_int_equal(ut_nearest("p226", at, NULL, 5), 4);
    assert_int_equal(ut_nearest("BOB", at, NULL, 5), 1);
    assert_int_equal(ut_nearest("zzzzzz", at, NULL, 5), -1);
    assert_int_equal(ut_nearest("x", at, NULL, 5), -1);
    assert_int_equal(ut_nearest("", at, NULL, 5), -1);
    assert_int_equal(ut_nearest("alice", at, NULL, 0), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distances),
        cmocka_unit_test(long_names_count_to_their_limit),
        cmocka_unit_test(nearest_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
