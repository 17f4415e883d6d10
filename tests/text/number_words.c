/* Numbers of English text as words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"
#include "text/number_words.h"

static struct ut_mem mem;

static void assert_buffer(struct ut_text_buffer *out, const char *text, const char *expected) {
    if (out->n != strlen(expected) || (out->n > 0 && memcmp(out->data, expected, out->n) != 0)) {
        fail_msg("%s: %.*s, not %s", text, (int)out->n, out->data, expected);
    }
    ut_text_buffer_free(out);
}

static void assert_words(const char *digits, enum ut_number_style style, const char *expected) {
    struct ut_text_buffer out = {.mem = &mem};
    assert_int_equal(ut_number_words(digits, strlen(digits), style, &out, NULL), UTTER_OK);
    assert_buffer(&out, digits, expected);
}

static void cardinals(void **state) {
    assert_words("0", UT_NUMBER_CARDINAL, "zero");
    assert_words("7", UT_NUMBER_CARDINAL, "seven");
    assert_words("19", UT_NUMBER_CARDINAL, "nineteen");
    assert_words("20", UT_NUMBER_CARDINAL, "twenty");
    assert_words("42", UT_NUMBER_CARDINAL, "forty two");
    assert_words("100", UT_NUMBER_CARDINAL, "one hundred");
    assert_words("105", UT_NUMBER_CARDINAL, "one hundred five");
    assert_words("1000", UT_NUMBER_CARDINAL, "one thousand");
    assert_words("1001000", UT_NUMBER_CARDINAL, "one million one thousand");
    assert_words("1000000000000000", UT_NUMBER_CARDINAL, "one quadrillion");
    assert_words("999999999999999", UT_NUMBER_CARDINAL,
                 "nine hundred ninety nine trillion nine hundred ninety nine billion nine hundred "
                 "ninety nine million nine hundred ninety nine thousand nine hundred ninety nine");
    assert_words(
        "777777777777777777", UT_NUMBER_CARDINAL,
        "seven hundred seventy seven quadrillion seven hundred seventy seven trillion seven "
        "hundred seventy seven billion seven hundred seventy seven million seven hundred "
        "seventy seven thousand seven hundred seventy seven");
    assert_words(
        "1000000000000000000", UT_NUMBER_CARDINAL,
        "one zero zero zero zero zero zero zero zero zero zero zero zero zero zero zero zero "
        "zero zero");
    assert_words("007", UT_NUMBER_CARDINAL, "zero zero seven");
}

static void ordinals(void **state) {
    assert_words("1", UT_NUMBER_ORDINAL, "first");
    assert_words("2", UT_NUMBER_ORDINAL, "second");
    assert_words("3", UT_NUMBER_ORDINAL, "third");
    assert_words("4", UT_NUMBER_ORDINAL, "fourth");
    assert_words("5", UT_NUMBER_ORDINAL, "fifth");
    assert_words("8", UT_NUMBER_ORDINAL, "eighth");
    assert_words("9", UT_NUMBER_ORDINAL, "ninth");
    assert_words("12", UT_NUMBER_ORDINAL, "twelfth");
    assert_words("20", UT_NUMBER_ORDINAL, "twentieth");
    assert_words("121", UT_NUMBER_ORDINAL, "one hundred twenty first");
    assert_words("1000", UT_NUMBER_ORDINAL, "one thousandth");
}

static void years(void **state) {
    assert_words("1999", UT_NUMBER_YEAR, "nineteen ninety nine");
    assert_words("1905", UT_NUMBER_YEAR, "nineteen oh five");
    assert_words("1900", UT_NUMBER_YEAR, "nineteen hundred");
    assert_words("2000", UT_NUMBER_YEAR, "two thousand");
    assert_words("2005", UT_NUMBER_YEAR, "two thousand five");
    assert_words("2024", UT_NUMBER_YEAR, "twenty twenty four");
    assert_words("1066", UT_NUMBER_YEAR, "ten sixty six");
    assert_words("1000", UT_NUMBER_YEAR, "one thousand");
    assert_words("0800", UT_NUMBER_YEAR, "zero eight zero zero");
}

static void names(void **state) {
    assert_words("7", UT_NUMBER_CODE, "seven");
    assert_words("12", UT_NUMBER_CODE, "twelve");
    assert_words("320", UT_NUMBER_CODE, "three twenty");
    assert_words("707", UT_NUMBER_CODE, "seven oh seven");
    assert_words("500", UT_NUMBER_CODE, "five hundred");
    assert_words("1234", UT_NUMBER_CODE, "one two three four");
    assert_words("007", UT_NUMBER_CODE, "zero zero seven");
    assert_words("105", UT_NUMBER_DIGITS, "one zero five");
}

/* The number is the first `n` bytes of the text. */
static void assert_read(const char *text, size_t n, bool in_name, const char *expected) {
    char *copy = malloc(strlen(text) + 1); /* of its own, so that a sanitizer sees its end */
    memcpy(copy, text, strlen(text) + 1);
    copy = realloc(copy, strlen(text) + (*text == '\0'));
    if (ut_number_scan(copy, strlen(text)) != n) {
        fail_msg("%s: %zu bytes, not %zu", text, ut_number_scan(copy, strlen(text)), n);
    }
    struct ut_text_buffer out = {.mem = &mem};
    assert_int_equal(ut_number_read(copy, n, in_name, &out, NULL), UTTER_OK);
    assert_buffer(&out, text, expected);
    free(copy);
}

static void in_text(void **state) {
    assert_read("3", 1, false, "three");
    assert_read("3.", 1, false, "three");
    assert_read("3.14", 4, false, "three point one four");
    assert_read("10.50.", 5, false, "ten point five zero");
    assert_read(".5", 2, false, "point five");
    assert_read("1.2.3", 5, false, "one point two point three");
    assert_read("1,234,567.5 m", 11, false,
                "one million two hundred thirty four thousand five hundred sixty seven point five");
    assert_read("1,23", 1, false, "one");
    assert_read("1,2345", 1, false, "one");
    assert_read("1234,567", 4, false, "twelve thirty four");
    assert_read("1st", 3, false, "first");
    assert_read("22nd of", 4, false, "twenty second");
    assert_read("1,000th", 7, false, "one thousandth");
    assert_read("3rds", 1, false, "three");
    assert_read("1990s", 5, false, "nineteen nineties");
    assert_read("90's", 4, false, "nineties");
    assert_read("80’s", 6, false, "eighties");
    assert_read("06s", 3, false, "sixes");
    assert_read("100s", 4, false, "one hundreds");
    assert_read("2024", 4, false, "twenty twenty four");
    assert_read("320", 3, true, "three twenty");
    assert_read("5th", 3, true, "fifth");
    assert_read("x", 0, false, "");
    assert_read("", 0, false, "");
    assert_read(".", 0, false, "");
    assert_read("$", 0, false, "");
}

static void times(void **state) {
    assert_read("10:30", 5, false, "ten thirty");
    assert_read("9:05 am", 4, false, "nine oh five");
    assert_read("12:00", 5, false, "twelve o'clock");
    assert_read("1:2", 1, false, "one");
    assert_read("1:02:03", 1, false, "one");
    assert_read("123:45", 3, false, "one hundred twenty three");
}

static void money(void **state) {
    assert_read("$5", 2, false, "five dollars");
    assert_read("$1", 2, false, "one dollar");
    assert_read("$0", 2, false, "zero dollars");
    assert_read("$5.50", 5, false, "five dollars and fifty cents");
    assert_read("$1.01", 5, false, "one dollar and one cent");
    assert_read("$5.00", 5, false, "five dollars");
    assert_read("$0.99", 5, false, "ninety nine cents");
    assert_read("$.99", 4, false, "ninety nine cents");
    assert_read("$1,000", 6, false, "one thousand dollars");
    assert_read("$1999", 5, false, "one thousand nine hundred ninety nine dollars");
    assert_read("$2.5 million.", 12, false, "two point five million dollars");
    assert_read("$2.5 millions", 4, false, "two point five dollars");
    assert_read("£3.20", 6, false, "three pounds and twenty pence");
    assert_read("€1", 4, false, "one euro");
    assert_read("¥100.25", 8, false, "one hundred point two five yen");
    assert_read("$1.234", 6, false, "one point two three four dollars");
}

/* 100,000 digits are read one by one, in linear time. */
static void long_numbers(void **state) {
    enum { N_DIGITS = 100000 };
    char *digits = malloc(N_DIGITS);
    memset(digits, '7', N_DIGITS);
    struct ut_text_buffer out = {.mem = &mem};
    assert_int_equal(ut_number_scan(digits, N_DIGITS), N_DIGITS);
    assert_int_equal(ut_number_read(digits, N_DIGITS, false, &out, NULL), UTTER_OK);
    assert_int_equal(out.n, N_DIGITS * strlen("seven ") - 1);
    ut_text_buffer_free(&out);
    free(digits);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(cardinals), cmocka_unit_test(ordinals),
                                       cmocka_unit_test(years),     cmocka_unit_test(names),
                                       cmocka_unit_test(in_text),   cmocka_unit_test(times),
                                       cmocka_unit_test(money),     cmocka_unit_test(long_numbers)};
    ut_mem_init(&mem, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
