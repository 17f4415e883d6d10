/* The option parser of the program: forms of options, strict numbers, suggestions. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/args.h"

enum { SPEED = 1, OUTPUT, QUIET, VERBOSE, SEED };

static const struct arg_option options[] = {
    {SPEED, 0, "speed", "X", "pace"},        {OUTPUT, 'o', "output", "FILE", "where"},
    {QUIET, 'q', "quiet", NULL, "silence"},  {VERBOSE, 'v', "verbose", NULL, "noise"},
    {SEED, 0, "seed", "1,2,...", "numbers"},
};

static struct args parser(char **argv) {
    int argc = 0;
    while (argv[argc]) {
        argc++;
    }
    return (struct args){.options = options, .n_options = 5, .argc = argc, .argv = argv};
}

#define ARGV(...) ((char *[]){__VA_ARGS__, NULL})

static void expect(struct args *args, int id, const char *value) {
    const char *found;
    assert_int_equal(args_next(args, &found), id);
    if (value) {
        assert_string_equal(found, value);
    } else {
        assert_null(found);
    }
}

static void expect_error(char **argv, const char *words) {
    struct args args = parser(argv);
    const char *value;
    int id;
    while ((id = args_next(&args, &value)) > 0) {
    }
    assert_int_equal(id, ARG_ERROR);
    if (!strstr(args.message, words)) {
        fail_msg("\"%s\" lacks \"%s\"", args.message, words);
    }
}

static void every_form_of_an_option(void **state) {
    struct args args = parser(ARGV("--speed", "2", "--speed=3", "--output=", "-o", "a", "-ob",
                                   "-qv", "-qo", "c", "-qod", "--quiet"));
    expect(&args, SPEED, "2");
    expect(&args, SPEED, "3");
    expect(&args, OUTPUT, "");
    expect(&args, OUTPUT, "a");
    expect(&args, OUTPUT, "b");
    expect(&args, QUIET, NULL);
    expect(&args, VERBOSE, NULL);
    expect(&args, QUIET, NULL);
    expect(&args, OUTPUT, "c");
    expect(&args, QUIET, NULL);
    expect(&args, OUTPUT, "d");
    expect(&args, QUIET, NULL);
    expect(&args, ARG_END, NULL);
    expect(&args, ARG_END, NULL);
}

static void names_cut_short(void **state) {
    struct args args = parser(ARGV("--spee", "1", "--o=a", "--qui", "--ver", "--seed", "1"));
    expect(&args, SPEED, "1");
    expect(&args, OUTPUT, "a");
    expect(&args, QUIET, NULL);
    expect(&args, VERBOSE, NULL);
    expect(&args, SEED, "1");
    expect(&args, ARG_END, NULL);
    expect_error(ARGV("--s", "1"), "--s may be --speed, --seed");
    expect_error(ARGV("--s=1"), "--s may be --speed, --seed");
    expect_error(ARGV("--qu=1"), "--quiet takes no value");
    expect_error(ARGV("--sp"), "--speed needs a value");
}

static void operands_mix_and_dashes_end_options(void **state) {
    struct args args =
        parser(ARGV("one", "-q", "-", "", "--speed", "-1", "--", "-q", "--", "--speed"));
    expect(&args, ARG_OPERAND, "one");
    expect(&args, QUIET, NULL);
    expect(&args, ARG_OPERAND, "-");
    expect(&args, ARG_OPERAND, "");
    expect(&args, SPEED, "-1"); /* a value may begin with a dash */
    expect(&args, ARG_OPERAND, "-q");
    expect(&args, ARG_OPERAND, "--");
    expect(&args, ARG_OPERAND, "--speed");
    expect(&args, ARG_END, NULL);
    struct args none = parser((char *[]){NULL});
    expect(&none, ARG_END, NULL);
}

static void wrong_options_are_named(void **state) {
    expect_error(ARGV("--sped", "1"), "no option --sped; did you mean --speed?");
    expect_error(ARGV("--outptu", "a"), "did you mean --output?");
    expect_error(ARGV("--speed-of-light"), "no option --speed-of-light");
    expect_error(ARGV("--zzzzzz=1"), "no option --zzzzzz");
    expect_error(ARGV("--="), "no option --");
    expect_error(ARGV("-x"), "no option -x");
    expect_error(ARGV("-qx"), "no option -x");
    expect_error(ARGV("-5 degrees"), "after --");
    expect_error(ARGV("--speed"), "--speed needs a value: --speed X");
    expect_error(ARGV("-o"), "--output needs a value");
    expect_error(ARGV("--quiet=1"), "--quiet takes no value");
    char longest[600];
    memset(longest, 'a', sizeof longest - 1);
    longest[0] = longest[1] = '-';
    longest[sizeof longest - 1] = '\0';
    expect_error(ARGV(longest), "no option --aaa");
}

static void whole_numbers_are_strict(void **state) {
    struct args args = parser(ARGV("x"));
    int64_t out;
    assert_true(args_int(&args, SPEED, "0", 0, 10, &out) && out == 0);
    assert_true(args_int(&args, SPEED, "-5", -5, 10, &out) && out == -5);
    assert_true(args_int(&args, SPEED, "010", -5, 10, &out) && out == 10);
    static const char *const bad[] = {"",
                                      "11",
                                      "-1",
                                      " 1",
                                      "1 ",
                                      "+1",
                                      "1.0",
                                      "0x1",
                                      "1e1",
                                      "one",
                                      "--1",
                                      "-",
                                      "1-",
                                      "99999999999999999999",
                                      "00000000000000000000000000000001"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(args_int(&args, SPEED, bad[i], 0, 10, &out));
        assert_non_null(strstr(args.message, "--speed: \""));
        assert_non_null(strstr(args.message, "from 0 to 10"));
    }
}

static void seeds_take_64_bits(void **state) {
    struct args args = parser(ARGV("x"));
    uint64_t out;
    assert_true(args_uint64(&args, SEED, "18446744073709551615", &out) && out == UINT64_MAX);
    assert_true(args_uint64(&args, SEED, "0", &out) && out == 0);
    static const char *const bad[] = {"",   "-1", "+1", " 1", "1 ", "0x1", "18446744073709551616",
                                      "1.5"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(args_uint64(&args, SEED, bad[i], &out));
        assert_non_null(strstr(args.message, "--seed"));
    }
}

static void sizes_have_units(void **state) {
    static const char *const bad[] = {
        "", "0", "-1", "1.5G", "G", "5T", "5MB", "5 M", "5m", "99999999999999999", "9999999999G"};
    struct args args = parser(ARGV("x"));
    uint64_t out;
    assert_true(args_size(&args, SEED, "1", &out) && out == 1);
    assert_true(args_size(&args, SEED, "2K", &out) && out == 2000);
    assert_true(args_size(&args, SEED, "500M", &out) && out == 500000000);
    assert_true(args_size(&args, SEED, "3G", &out) && out == 3000000000);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(args_size(&args, SEED, bad[i], &out));
        assert_non_null(strstr(args.message, "is no size"));
    }
}

static void decimal_numbers_are_strict(void **state) {
    struct args args = parser(ARGV("x"));
    float out;
    assert_true(args_float(&args, SPEED, "1.5", 0, 10, &out) && out == 1.5f);
    assert_true(args_float(&args, SPEED, ".5", 0, 10, &out) && out == 0.5f);
    assert_true(args_float(&args, SPEED, "1e1", 0, 10, &out) && out == 10);
    assert_true(args_float(&args, SPEED, "0", 0, 10, &out) && out == 0);
    static const char *const bad[] = {"",     "nan", "inf", "-inf",  "1e999", "0x1p3",
                                      " 1",   "1 ",  "1,5", "10.01", "-0.1",  "fast",
                                      "1..2", "e",   ".",   "-",     "1e",    "1.5x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(args_float(&args, SPEED, bad[i], 0, 10, &out));
        assert_non_null(strstr(args.message, "--speed: \""));
    }
}

static void lists_of_numbers(void **state) {
    struct args args = parser(ARGV("x"));
    float three[3];
    int32_t *ids;
    size_t n;
    assert_true(args_float_list(&args, SPEED, "0.667,1,0.8", three, 3));
    assert_true(three[0] == 0.667f && three[1] == 1 && three[2] == 0.8f);
    static const char *const bad_three[] = {"",     "1,2",   "1,2,3,4", "1,2,",  ",1,2",
                                            "1,,2", "1,2,x", "1 2 3",   "1,2,3,"};
    for (size_t i = 0; i < sizeof bad_three / sizeof *bad_three; i++) {
        assert_false(args_float_list(&args, SPEED, bad_three[i], three, 3));
        assert_non_null(strstr(args.message, "--speed needs 3 numbers"));
    }
    assert_true(args_int_list(&args, SEED, "1,0,-20,2147483647", &ids, &n));
    assert_int_equal(n, 4);
    const int32_t expected[] = {1, 0, -20, 2147483647};
    assert_memory_equal(ids, expected, sizeof expected);
    free(ids);
    assert_true(args_int_list(&args, SEED, "7", &ids, &n) && n == 1 && ids[0] == 7);
    free(ids);
    static const char *const bad[] = {"",     ",",   "1,",         ",1", "1,,2",
                                      "1, 2", "1;2", "2147483648", "1,a"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(args_int_list(&args, SEED, bad[i], &ids, &n));
        assert_null(ids);
        assert_non_null(strstr(args.message, "--seed: number"));
    }
}

static void choices_are_listed(void **state) {
    static const char *const names[] = {"auto", "native", "espeak", NULL};
    struct args args = parser(ARGV("x"));
    assert_int_equal(args_choice(&args, SPEED, "espeak", names), 2);
    assert_int_equal(args_choice(&args, SPEED, "Native", names), -1);
    assert_string_equal(args.message,
                        "--speed: there is no \"Native\"; choose from auto, native, espeak");
}

static void nearest_names(void **state) {
    static const char *const names[] = {"speak", "info",  "voices", "backends",
                                        "trace", "bench", "help"};
    static const struct {
        const char *word, *expected;
    } cases[] = {
        {"spaek", "speak"},      {"speek", "speak"}, {"voice", "voices"}, {"benhc", "bench"},
        {"backend", "backends"}, {"in", "info"},     {"inof", "info"},    {"tracce", "trace"},
        {"xyzzy", NULL},         {"", NULL},         {"q", NULL},         {"quantize", NULL},
        {"hlep", "help"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *found = args_nearest(cases[i].word, names, 7);
        if ((found == NULL) != (cases[i].expected == NULL) ||
            (found && strcmp(found, cases[i].expected) != 0)) {
            fail_msg("%s: %s", cases[i].word, found ? found : "nothing");
        }
    }
}

static void help_shows_every_option(void **state) {
    char text[2000] = "";
    FILE *to = fmemopen(text, sizeof text, "w");
    args_print_options(to, options, 5);
    fclose(to);
    assert_non_null(strstr(text, "  -o, --output FILE"));
    assert_non_null(strstr(text, "      --speed X"));
    assert_non_null(strstr(text, "  -q, --quiet"));
}

/* What is too long for its column goes on below, in that column. */
static void help_keeps_its_columns(void **state) {
    static const struct arg_option rows[] = {
        {1, 'a', "a", NULL, "short"},
        {2, 0, "eighteen-letters--", "N", "fits exactly"},
        {3, 0, "nineteen-letters---", "N", "is too long by one"},
        {4, 0, "nothing", NULL, ""},
        {5, 0, "wide", NULL, "123456789 123456789 123456789 123456789 123456789 1 and one more"},
        {6, 0, "word", NULL, "12345678901234567890123456789012345678901234567890123456789 word"},
    };
    char text[2000] = "";
    FILE *to = fmemopen(text, sizeof text, "w");
    args_print_options(to, rows, 6);
    fclose(to);
    assert_string_equal(
        text, "  -a, --a                    short\n"
              "      --eighteen-letters-- N fits exactly\n"
              "      --nineteen-letters--- N\n"
              "                             is too long by one\n"
              "      --nothing\n"
              "      --wide                 123456789 123456789 123456789 123456789 123456789 1\n"
              "                             and one more\n"
              "      --word                 "
              "12345678901234567890123456789012345678901234567890123456789\n"
              "                             word\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_of_an_option),
        cmocka_unit_test(names_cut_short),
        cmocka_unit_test(operands_mix_and_dashes_end_options),
        cmocka_unit_test(wrong_options_are_named),
        cmocka_unit_test(whole_numbers_are_strict),
        cmocka_unit_test(seeds_take_64_bits),
        cmocka_unit_test(sizes_have_units),
        cmocka_unit_test(decimal_numbers_are_strict),
        cmocka_unit_test(lists_of_numbers),
        cmocka_unit_test(choices_are_listed),
        cmocka_unit_test(nearest_names),
        cmocka_unit_test(help_shows_every_option),
        cmocka_unit_test(help_keeps_its_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
