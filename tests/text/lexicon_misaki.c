/* misaki's lexicon: small word lists of our own in its format (tests/data/kokoro/lexicon). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"
#include "support/byte_buffer.h"
#include "support/sweep.h"
#include "text/lexicon_parts.h"

static struct ut_mem mem;
static struct ut_lexicon *american, *british;
static char folder[1024];

static int open_lexicons(void **state) {
    ut_mem_init(&mem, NULL);
    snprintf(folder, sizeof folder, "%s/kokoro/lexicon", getenv("UT_TEST_DATA"));
    utter_error err;
    if (ut_lexicon_open_misaki(&mem, folder, true, &american, &err) != UTTER_OK ||
        ut_lexicon_open_misaki(&mem, folder, false, &british, &err) != UTTER_OK) {
        fprintf(stderr, "%s\n", err.message);
        return -1;
    }
    return 0;
}

static int close_lexicons(void **state) {
    ut_lexicon_destroy(american);
    ut_lexicon_destroy(british);
    return atomic_load(&mem.bytes[UT_MEM_OTHER]) == 0 &&
                   atomic_load(&mem.bytes[UT_MEM_SESSION]) == 0
               ? 0
               : -1;
}

static void assert_said_by(const struct ut_lexicon *lexicon, const char *text, const char *expected,
                           size_t expected_unknown, ut_lexicon_fallback fallback) {
    struct ut_text_buffer out = {.mem = &mem};
    utter_error err;
    size_t n_unknown;
    if (ut_lexicon_phonemize(lexicon, text, strlen(text), fallback, NULL, &out, &n_unknown, &err) !=
        UTTER_OK) {
        fail_msg("%s: %s", text, err.message);
    }
    if (out.n != strlen(expected) || (out.n > 0 && memcmp(out.data, expected, out.n) != 0)) {
        fail_msg("%s: [%.*s], not [%s]", text, (int)out.n, out.data, expected);
    }
    assert_int_equal(n_unknown, expected_unknown);
    ut_text_buffer_free(&out);
}

static void assert_said(const char *text, const char *expected) {
    assert_said_by(american, text, expected, 0, NULL);
}

static void look_ups(void **state) {
    assert_said("", "");
    assert_said("cat zebra", "kˈæt zˈibɹə");
    assert_said("Cat, Zebra; paris Paris", "kˈæt, zˈibɹə; pˈæɹɪs pˈæɹɪs");
    assert_said("hum Hum", "hʌm hˌʌm");
    assert_said("HUM HUM", "hˈʌm hˈʌm");
    assert_said("read", "ɹˈid");
    assert_said("button", "bˈʌtn");
    assert_said("'em it's it’s Dr. cat", "əm ɪts ɪts dˈɑktəɹ kˈæt");
    assert_said("dogs' 'cat'", "dˈɔɡz kˈæt");
}

static void neighbours(void **state) {
    assert_said("the cat, the apple. the", "ðə kˈæt, ði ˈæpᵊl. ðə");
    assert_said("to cat to apple to", "tə kˈæt tʊ ˈæpᵊl tu");
    assert_said("in cat in.", "ɪn kˈæt ˈɪn.");
    assert_said("A cat. An apple, a", "ɐ kˈæt. ɐn ˈæpᵊl, ˈA");
    assert_said("cat A cat", "kˈæt ˈA kˈæt");
    assert_said("I am cat. I am!", "ˌI ɐm kˈæt. ˌI æm!");
    assert_said("by cat by", "bI kˈæt bˈI");
    assert_said("used to, used cat", "jˈust tu, jˈuzd kˈæt");
    assert_said("cat vs. apple", "kˈæt vˈɜɹsəs ˈæpᵊl");
    assert_said("the “apple” the (cat)", "ði “ˈæpᵊl” ðə (kˈæt)");
}

static void endings(void **state) {
    assert_said("cats apples churches cities cat's", "kˈæts ˈæpᵊlz ʧˈɜɹʧᵻz sˈɪTiz kˈæts");
    assert_said("walked baked waited needed seed", "wˈɔkt bˈAkt wˈATᵻd nˈidᵻd sid");
    assert_said("walking baking waiting running kicking", "wˈɔkɪŋ bˈAkɪŋ wˈATɪŋ ɹˈʌnɪŋ kˈɪkɪŋ");
    assert_said("Cats WALKED NOT", "kˈæts wˈɔkt nˈɑt");
    assert_said("humming", "hˌʌmɪŋ");
    assert_said_by(british, "waited needed churches waiting", "wˈAtɪd nˈiːdɪd ʧˈɜːʧɪz wˈAtɪŋ", 0,
                   NULL);
    assert_said_by(british, "Hair cat, letters", "hˈɛː kˈat, lˈɛtəz", 0, NULL);
}

static void letters(void **state) {
    assert_said("US USA U.S. IBM", "jˌuˈɛs jˌuˌɛsˈA jˌuˈɛs ˌIbˌiˈɛm");
    assert_said("US NOT", "ˈʌs nˈɑt");
    assert_said("5 AM", "fˈIv ˌAˈɛm");
    assert_said("UNI uni", "jˌuˌɛnˈI jˈuni");
}

static void groups(void **state) {
    assert_said("well-known", "wˌɛlnˈOn");
    assert_said("state-of-the-art", "stˈAtʌvðiˈɑɹt");
    assert_said("McDonald", "mˌəkdˈɑnᵊld");
    assert_said("A5 cat5", "ˈA fˈIv kˈæt fˈIv");
    assert_said("b-cat", "bˈikˌæt");
}

static void numbers(void **state) {
    assert_said("5 7.5 $5", "fˈIv sˈɛvən pYnt fˈIv fˈIv dˈɑləɹz");
    assert_said("20s 5:00", "twˈɛntiz fˈIv əklˈɑk");
    assert_said("9%", "nˈIn pəɹsˈɛnt"); /* not in the lists: utter's own */
}

static utter_status tell(void *user, const char *word, size_t n, struct ut_text_buffer *out,
                         utter_error *err) {
    utter_status status = ut_text_buffer_append(out, "<", 1, err);
    if (status == UTTER_OK) {
        status = ut_text_buffer_append(out, word, n, err);
    }
    return status == UTTER_OK ? ut_text_buffer_append(out, ">", 1, err) : status;
}

static void unknown(void **state) {
    assert_said_by(american, "Bam cat-bam Привет 😀 càt", "bˌiˌAˈɛm kˌætbˌiˌAˈɛm kˈæt", 2, NULL);
    assert_said_by(american, "bam cat-bam Привет 😀 càt, cat",
                   "<bam> <cat-bam> <Привет> <😀> <càt>, kˈæt", 0, tell);
}

static void refused(const char *gold, const char *silver, utter_status expected,
                    const char *message) {
    struct ut_slice texts[] = {{gold, strlen(gold)}, {silver, silver ? strlen(silver) : 0}};
    struct ut_lexicon *lexicon;
    utter_error err;
    assert_int_equal(
        ut_lexicon_from_misaki(&mem, &texts[0], silver ? &texts[1] : NULL, true, &lexicon, &err),
        expected);
    assert_null(lexicon);
    if (!strstr(err.message, message)) {
        fail_msg("%s, not %s", err.message, message);
    }
}

static void hostile(void **state) {
    char gold[600];
    refused("", NULL, UTTER_ERROR_FORMAT, "us_gold.json: ");
    refused("[]", NULL, UTTER_ERROR_FORMAT, "us_gold.json: not a JSON object of words");
    refused("{\"a\":1}", NULL, UTTER_ERROR_FORMAT, "the entry 'a' has no phonemes");
    refused("{\"a\":null}", NULL, UTTER_ERROR_FORMAT, "the entry 'a' has no phonemes");
    refused("{\"a\":{}}", NULL, UTTER_ERROR_FORMAT,
            "a string or an object with DEFAULT is expected");
    refused("{\"a\":{\"DEFAULT\":null}}", NULL, UTTER_ERROR_FORMAT, "'a' has no phonemes");
    refused("{\"a\":{\"DEFAULT\":\"b\",\"NOUN\":[]}}", NULL, UTTER_ERROR_FORMAT,
            "'a' has no phonemes");
    refused("{\"a\":\"b\",\"a\":\"c\"}", NULL, UTTER_ERROR_FORMAT, "us_gold.json: ");
    refused("{}", "{\"b\"}", UTTER_ERROR_FORMAT, "us_silver.json: ");
    snprintf(gold, sizeof gold, "{\"long\":\"%0257d\"}", 0);
    refused(gold, NULL, UTTER_ERROR_FORMAT,
            "the phonemes of the entry 'long' have 257 bytes: 256 is the most");

    struct ut_lexicon *lexicon;
    assert_int_equal(
        ut_lexicon_from_misaki(&mem, &(struct ut_slice){"{}", 2}, NULL, true, &lexicon, NULL),
        UTTER_OK);
    assert_said_by(lexicon, "cat 5 USA", "sˌiˌAtˈi fˈIv jˌuˌɛsˈA", 0, NULL);
    ut_lexicon_destroy(lexicon);
}

static void files(void **state) {
    struct ut_lexicon *lexicon;
    utter_error err;
    assert_int_equal(ut_lexicon_open_misaki(&mem, "no/such/folder", true, &lexicon, &err),
                     UTTER_ERROR_NOT_FOUND);
    assert_string_equal(err.message,
                        "no/such/folder/us_gold.json: No such file or directory; misaki's "
                        "lexicon folder is expected");
    assert_null(lexicon);
    char path[5000];
    memset(path, 'a', sizeof path);
    path[sizeof path - 1] = '\0';
    assert_int_equal(ut_lexicon_open_misaki(&mem, path, true, &lexicon, &err),
                     UTTER_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "a path of 4999 bytes"));
}

/* Linear time: each far below a second even under a sanitizer. */
static void long_texts(void **state) {
    enum { N = 100000 };
    static const char *const units[] = {"a", "a-", "aB",    "A", "cat-",
                                        "7", "I'", "cats ", "é", "US "};
    for (size_t i = 0; i < UT_COUNT(units); i++) {
        size_t n_unit = strlen(units[i]), n = N / n_unit * n_unit, n_unknown;
        char *text = malloc(N);
        for (size_t at = 0; at < n; at += n_unit) {
            memcpy(text + at, units[i], n_unit);
        }
        struct ut_text_buffer out = {.mem = &mem};
        assert_int_equal(
            ut_lexicon_phonemize(american, text, n, NULL, NULL, &out, &n_unknown, NULL), UTTER_OK);
        assert_true(out.n > 0 || n_unknown > 0);
        ut_text_buffer_free(&out);
        free(text);
    }
}

static void failing_allocations(void **state) {
    static const char text[] =
        "The well-known cats' (Привет) cost $5.50 — McDonald càt zorb-zorb-a-b.";
    struct ut_mem failing_mem;
    struct sweep sweep;
    for (int later = 0; later < 2; later++) {
        for (sweep_start(&sweep, &failing_mem, later); sweep_next(&sweep);) {
            struct ut_text_buffer out = {.mem = &failing_mem};
            struct ut_lexicon *lexicon;
            utter_error err;
            size_t n_unknown;
            utter_status status =
                ut_lexicon_open_misaki(&failing_mem, folder, true, &lexicon, &err);
            if (status == UTTER_OK) {
                status = ut_lexicon_phonemize(lexicon, text, strlen(text), NULL, NULL, &out,
                                              &n_unknown, &err);
            }
            ut_text_buffer_free(&out);
            ut_lexicon_destroy(lexicon);
            sweep_check(&sweep, status);
        }
        assert_true(sweep.n_injected > 3);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(look_ups),
                                       cmocka_unit_test(neighbours),
                                       cmocka_unit_test(endings),
                                       cmocka_unit_test(letters),
                                       cmocka_unit_test(groups),
                                       cmocka_unit_test(numbers),
                                       cmocka_unit_test(unknown),
                                       cmocka_unit_test(hostile),
                                       cmocka_unit_test(files),
                                       cmocka_unit_test(long_texts),
                                       cmocka_unit_test(failing_allocations)};
    return cmocka_run_group_tests(tests, open_lexicons, close_lexicons);
}
