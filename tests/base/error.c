/* Error messages: what a hostile name in them becomes, where they are cut, what a NULL error means. */
#include "base/error.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void every_status_has_a_name(void **state) {
    for (int i = 0; i <= -UTTER_ERROR_INTERNAL; i++) {
        for (int j = 0; j < i; j++) {
            assert_string_not_equal(utter_status_name((utter_status)-i), utter_status_name((utter_status)-j));
        }
        assert_string_not_equal(utter_status_name((utter_status)-i), "unknown status");
    }
    assert_string_equal(utter_status_name(UTTER_ERROR_NOT_FOUND), "not found");
    assert_string_equal(utter_status_name((utter_status)1), "unknown status");
    assert_string_equal(utter_status_name((utter_status)(UTTER_ERROR_INTERNAL - 1)), "unknown status");
    assert_string_equal(utter_status_name((utter_status)INT_MIN), "unknown status");
}

static void code_and_message_are_filled(void **state) {
    utter_error err;
    assert_int_equal(ut_fail(&err, UTTER_ERROR_FORMAT, "%s: offset %d", "x.onnx", 12), UTTER_ERROR_FORMAT);
    assert_int_equal(err.code, UTTER_ERROR_FORMAT);
    assert_string_equal(err.message, "x.onnx: offset 12");
    assert_int_equal(ut_fail_memory(&err, 4096), UTTER_ERROR_MEMORY);
    assert_non_null(strstr(err.message, "4096"));
}

static void null_error_keeps_the_code(void **state) {
    assert_int_equal(ut_fail(NULL, UTTER_ERROR_IO, "unseen"), UTTER_ERROR_IO);
    assert_int_equal(ut_fail_context(NULL, UTTER_ERROR_BUSY, "unseen"), UTTER_ERROR_BUSY);
    assert_int_equal(ut_fail_memory(NULL, 1), UTTER_ERROR_MEMORY);
}

static void context_goes_in_front(void **state) {
    utter_error err;
    (void)ut_fail(&err, UTTER_ERROR_FORMAT, "header of 9 bytes");
    assert_int_equal(ut_fail_context(&err, UTTER_ERROR_FORMAT, "voice %s", "amy"), UTTER_ERROR_FORMAT);
    assert_string_equal(err.message, "voice amy: header of 9 bytes");
}

/* A terminal or a log reader must see one harmless line. */
static void hostile_names_become_printable(void **state) {
    static const struct {
        const char *name, *shown;
    } cases[] = {
        {"caf\xC3\xA9 \xF0\x9F\x8E\xB5", "caf\xC3\xA9 \xF0\x9F\x8E\xB5"},
        {"a\nb\tc\x1B[31m\x7F", "a?b?c?[31m?"},
        {"\xC2\x9B" "2J", "?2J"},                       /* C1 control: an escape sequence in one character */
        {"x\xE2\x80\xAEy\xE2\x81\xA6z", "x?y?z"},       /* right-to-left override, isolate */
        {"\xC0\xAF", "??"},                             /* overlong slash */
        {"\xED\xA0\x80", "???"},                        /* surrogate */
        {"\xE2\x82", "??"},                             /* cut off */
        {"\xFF\x80", "??"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        utter_error err;
        (void)ut_fail(&err, UTTER_ERROR_FORMAT, "%s", cases[i].name);
        assert_string_equal(err.message, cases[i].shown);
    }
}

static void long_messages_are_cut_between_characters(void **state) {
    char name[3001];
    for (size_t i = 0; i < 3000; i += 3) {
        memcpy(name + i, "\xE2\x82\xAC", 3);
    }
    name[3000] = '\0';
    for (int shift = 0; shift < 3; shift++) {
        utter_error err;
        (void)ut_fail(&err, UTTER_ERROR_FORMAT, "%.*s%s", shift, "ab", name);
        size_t n = strlen(err.message);
        assert_true(n > sizeof err.message - 10 && n < sizeof err.message);
        assert_int_equal((n - (size_t)(shift < 2 ? shift : 2)) % 3, 0);
        assert_null(strchr(err.message, '?'));
        (void)ut_fail_context(&err, UTTER_ERROR_FORMAT, "%s", name);
        assert_true(strlen(err.message) < sizeof err.message);
    }
}

struct seen {
    int n;
    utter_log_level level;
    char message[200];
};

static void remember(void *user, utter_log_level level, const char *message) {
    struct seen *seen = user;
    seen->n++;
    seen->level = level;
    strncpy(seen->message, message, sizeof seen->message - 1);
}

static void log_is_formatted_and_optional(void **state) {
    struct seen seen = {0};
    struct ut_log log = {remember, &seen};
    ut_log(&log, UTTER_LOG_DEBUG, "%d symbols\n", 7);
    assert_int_equal(seen.n, 1);
    assert_int_equal(seen.level, UTTER_LOG_DEBUG);
    assert_string_equal(seen.message, "7 symbols?");
    ut_log(NULL, UTTER_LOG_WARNING, "unheard");
    ut_log(&(struct ut_log){NULL, NULL}, UTTER_LOG_WARNING, "unheard");
    assert_int_equal(seen.n, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_a_name),
        cmocka_unit_test(code_and_message_are_filled),
        cmocka_unit_test(null_error_keeps_the_code),
        cmocka_unit_test(context_goes_in_front),
        cmocka_unit_test(hostile_names_become_printable),
        cmocka_unit_test(long_messages_are_cut_between_characters),
        cmocka_unit_test(log_is_formatted_and_optional),
    };
    return cmocka_run_group_tests_name("base/error", tests, NULL, NULL);
}
