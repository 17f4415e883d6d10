/* The lexicons' common part: tokens, marks, spacing, own words. The rules say "a" as ɑ, "b" b and
 * so on, so that what is said can be read in the expectations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"
#include "support/sweep.h"
#include "text/lexicon.h"

static struct ut_mem mem;
static struct ut_lexicon *lexicon;

static int open_lexicon(void **state) {
    static char letters[52][2];
    static const char *keys[52], *phonemes[52];
    for (int i = 0; i < 26; i++) {
        letters[i][0] = (char)('a' + i);
        keys[i] = phonemes[i] = letters[i];
    }
    phonemes[0] = "ɑ";
    static const char *const words[] = {"'em", "goin'", "etc."};
    static const char *const values[] = {"əm", "ɡˈoʊɪn", "ɛtsˈɛt"};
    struct ut_lexicon_rules rules = {.rule_keys = keys,
                                     .rule_phonemes = phonemes,
                                     .n_rules = 26,
                                     .dictionary_keys = words,
                                     .dictionary_values = values,
                                     .n_dictionary = 3};
    ut_mem_init(&mem, NULL);
    return ut_lexicon_from_rules(&mem, &rules, &lexicon, NULL) == UTTER_OK ? 0 : -1;
}

static int close_lexicon(void **state) {
    ut_lexicon_destroy(lexicon);
    ut_lexicon_destroy(NULL);
    return atomic_load(&mem.bytes[UT_MEM_OTHER]) == 0 &&
                   atomic_load(&mem.bytes[UT_MEM_SESSION]) == 0
               ? 0
               : -1;
}

static size_t say_n(const char *text, size_t n, ut_lexicon_fallback fallback,
                    struct ut_text_buffer *out) {
    size_t n_unknown = 99;
    char *copy = malloc(n + 1);
    memcpy(copy, text, n);
    copy = realloc(copy, n > 0 ? n : 1); /* exactly sized, so that a sanitizer sees its end */
    utter_error err;
    if (ut_lexicon_phonemize(lexicon, copy, n, fallback, (void *)"told", out, &n_unknown, &err) !=
        UTTER_OK) {
        fail_msg("%s: %s", text, err.message);
    }
    free(copy);
    return n_unknown;
}

static void assert_said(const char *text, const char *expected) {
    struct ut_text_buffer out = {.mem = &mem};
    assert_int_equal(say_n(text, strlen(text), NULL, &out), 0);
    if (out.n != strlen(expected) || (out.n > 0 && memcmp(out.data, expected, out.n) != 0)) {
        fail_msg("%s: [%.*s], not [%s]", text, (int)out.n, out.data, expected);
    }
    ut_text_buffer_free(&out);
}

static void marks(void **state) {
    assert_said("", "");
    assert_said("  \t\n ", "");
    assert_said("bad", "bɑd");
    assert_said("  bad \n cab ", "bɑd cɑb");
    assert_said("bad, cab; bad: cab. bad! cab? bad… cab", "bɑd, cɑb; bɑd: cɑb. bɑd! cɑb? bɑd… cɑb");
    assert_said("bad , cab .", "bɑd, cɑb.");
    assert_said("bad,cab.Bad", "bɑd, cɑb. bɑd");
    assert_said("bad... cab?!", "bɑd... cɑb?!");
    assert_said("bad (cab) bad", "bɑd (cɑb) bɑd");
    assert_said("( bad )", "(bɑd)");
    assert_said("[bad] {cab}", "(bɑd) (cɑb)");
    assert_said("\"bad,\" cab \"bad\"", "“bɑd,” cɑb “bɑd”");
    assert_said("(\"bad\")", "(“bɑd”)");
    assert_said("“bad” «cab» „bad“", "“bɑd” “cɑb” “bɑd“");
    assert_said("bad—cab — bad", "bɑd—cɑb — bɑd");
    assert_said("bad -- cab - bad – cab", "bɑd — cɑb — bɑd — cɑb");
    assert_said("bad。cab，bad！", "bɑd. cɑb, bɑd!");
    assert_said("...", "...");
    assert_said("'bad' ‘cab’", "bɑd cɑb");
    assert_said("bad/cab_bad|cab", "bɑd cɑb bɑd cɑb");
    assert_said("¿bad? ¡cab!", "bɑd? cɑb!");
}

static void words(void **state) {
    assert_said("bad-cab", "bɑdcɑb");
    assert_said("ba\u00ADd cab\u200B", "bɑd cɑb");
    assert_said("bàd cåb", "bɑd cɑb");
    assert_said("ba\u0300d", "bɑd");
    assert_said("goin' 'em 'bad", "ɡˈOɪn əm bɑd");
    assert_said("etc. bad etc.", "ɛtsˈɛt bɑd Atc.");
    assert_said("cab.bad", "cɑb dˈɑt bɑd");
    assert_said("bad\u00A0cab", "bɑd cɑb");
}

static void symbols(void **state) {
    assert_said("5% & 6", "fˈIv pəɹsˈɛnt ænd sˈɪks");
    assert_said("-5 −5 +5", "mˈInəs fˈIv mˈInəs fˈIv plˈʌs fˈIv");
    assert_said("*bad* cab * 2", "bɑd cɑb ˈæstəɹˌɪsk tˈu");
    assert_said("~bad^ \\cab", "bɑd cɑb");
    assert_said("½ #1", "wˈʌn hˈæf nˈʌmbəɹ wˈʌn");
    assert_said("$ 5 ÷ 2", "dˈɑləɹ fˈIv dəvˈIdᵻd bˈI tˈu");
}

static void numbers(void **state) {
    assert_said("2024.", "twˈɛnti twˈɛnti fˈɔɹ.");
    assert_said("1990s", "nˌIntˈin nˈIntiz");
    assert_said("4th 60th 6s", "fˈɔɹθ sˈɪkstiəθ sˈɪksᵻz");
    assert_said("$5.50, please", "fˈIv dˈɑləɹz ænd fˈɪfti sˈɛnts, plAɑsA");
    assert_said("3-4", "θɹˈi fˈɔɹ");
    assert_said("A320", "ˈA θɹˈi twˈɛnti");
    assert_said("5kg", "fˈIv kˌAʤˈi");
    assert_said("at .5", "ɑt pˈYnt fˈIv");
    assert_said("wait...5", "wɑit... fˈIv");
    assert_said("10:30", "tˈɛn θˈɜɹTi");
}

static utter_status tell(void *user, const char *word, size_t n, struct ut_text_buffer *out,
                         utter_error *err) {
    assert_string_equal(user, "told");
    utter_status status = ut_text_buffer_append(out, "<", 1, err);
    if (status == UTTER_OK) {
        status = ut_text_buffer_append(out, word, n, err);
    }
    return status == UTTER_OK ? ut_text_buffer_append(out, ">", 1, err) : status;
}

static utter_status refuse(void *user, const char *word, size_t n, struct ut_text_buffer *out,
                           utter_error *err) {
    return ut_fail(err, UTTER_ERROR_UNSUPPORTED, "cannot say %.*s", (int)n, word);
}

/* What no rule knows goes to the fallback; without one it is counted. */
static void unknown(void **state) {
    struct ut_text_buffer out = {.mem = &mem};
    assert_int_equal(say_n("bad Привет 😀😀 cab", strlen("bad Привет 😀😀 cab"), NULL, &out), 2);
    assert_int_equal(out.n, strlen("bɑd cɑb"));
    assert_memory_equal(out.data, "bɑd cɑb", out.n);
    out.n = 0;
    assert_int_equal(say_n("bad Привет 😀😀, cab", strlen("bad Привет 😀😀, cab"), tell, &out), 0);
    assert_int_equal(out.n, strlen("bɑd <Привет> <😀😀>, cɑb"));
    assert_memory_equal(out.data, "bɑd <Привет> <😀😀>, cɑb", out.n);
    utter_error err;
    size_t n_unknown;
    assert_int_equal(ut_lexicon_phonemize(lexicon, "日本", 6, refuse, NULL, &out, &n_unknown, &err),
                     UTTER_ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "cannot say 日本"));
    ut_text_buffer_free(&out);
}

static void nul_bytes_are_blanks(void **state) {
    struct ut_text_buffer out = {.mem = &mem};
    assert_int_equal(say_n("bad\0cab", 7, NULL, &out), 0);
    assert_int_equal(out.n, strlen("bɑd cɑb"));
    ut_text_buffer_free(&out);
}

/* Each takes far below a second even under a sanitizer; quadratic work would not end. */
static void long_texts(void **state) {
    enum { N = 200000 };
    static const char *const units[] = {"a", "b'", "a-",     "7", "a.", ".",  "- ",   "\"",
                                        "'", "A",  "\u0301", "😀", "$",  "1,", "a b.", "7:"};
    for (size_t i = 0; i < UT_COUNT(units); i++) {
        size_t n_unit = strlen(units[i]), n = N / n_unit * n_unit;
        char *text = malloc(N);
        for (size_t at = 0; at < n; at += n_unit) {
            memcpy(text + at, units[i], n_unit);
        }
        struct ut_text_buffer out = {.mem = &mem};
        say_n(text, n, NULL, &out);
        ut_text_buffer_free(&out);
        free(text);
    }
}

static void too_long(void **state) {
    size_t n = (8 << 20) + 1, n_unknown;
    char *text = calloc(n, 1);
    struct ut_text_buffer out = {.mem = &mem};
    utter_error err;
    assert_int_equal(ut_lexicon_phonemize(lexicon, text, n, NULL, NULL, &out, &n_unknown, &err),
                     UTTER_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "8388609 bytes in one paragraph: 8388608 is the most"));
    free(text);
}

static void failing_allocations(void **state) {
    static const char text[] =
        "Bad cab's 'em \"goin'\" 1990s, $5.50 — XII USA Mr. Bàd-cab don't 😀.";
    struct ut_mem failing_mem;
    struct sweep sweep;
    for (int later = 0; later < 2; later++) {
        for (sweep_start(&sweep, &failing_mem, later); sweep_next(&sweep);) {
            struct ut_text_buffer out = {.mem = &failing_mem};
            utter_error err;
            size_t n_unknown;
            utter_status status = ut_lexicon_phonemize(lexicon, text, strlen(text), NULL, NULL,
                                                       &out, &n_unknown, &err);
            ut_text_buffer_free(&out);
            sweep_check(&sweep, status);
        }
        assert_true(sweep.n_injected > 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(marks),
                                       cmocka_unit_test(words),
                                       cmocka_unit_test(symbols),
                                       cmocka_unit_test(numbers),
                                       cmocka_unit_test(unknown),
                                       cmocka_unit_test(nul_bytes_are_blanks),
                                       cmocka_unit_test(long_texts),
                                       cmocka_unit_test(too_long),
                                       cmocka_unit_test(failing_allocations)};
    return cmocka_run_group_tests(tests, open_lexicon, close_lexicon);
}
