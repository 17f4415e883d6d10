/* Pieces, the UTF-8 check, what can be spoken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"
#include "support/failing_allocator.h"
#include "text/segment.h"
#include "text/utf8_walk.h"
#include "ut_config.h"

static struct ut_mem mem;

/* The pieces of the text, joined by '|', each behind what ends it: C S L P E. */
static char *pieces(const char *text, const char *language, size_t max_bytes) {
    size_t n = strlen(text), at = 0, used = 0;
    char *out = calloc(3 * n + 8, 1);
    struct ut_segmenter *segmenter;
    struct ut_piece piece;
    utter_error err;
    if (ut_segmenter_create(&mem, text, n, language, max_bytes, &segmenter, &err) != UTTER_OK) {
        fail_msg("%s", err.message);
    }
    while (ut_segmenter_next(segmenter, &piece)) {
        assert_int_equal(piece.begin, at);
        assert_true(piece.end > piece.begin && piece.end <= n &&
                    piece.end - piece.begin <= max_bytes);
        assert_true(piece.end == n || !ut_utf8_is_tail(text[piece.end]));
        assert_true((piece.after == UT_BREAK_END) == (piece.end == n));
        used += (size_t)sprintf(out + used, "%s%c%.*s", at > 0 ? "|" : "", "CSLPE"[piece.after],
                                (int)(piece.end - piece.begin), text + piece.begin);
        at = piece.end;
    }
    assert_int_equal(at, n);
    ut_segmenter_destroy(segmenter);
    return out;
}

static void assert_pieces(const char *text, size_t max_bytes, const char *expected) {
    char *got = pieces(text, "en-us", max_bytes);
    assert_string_equal(got, expected);
    free(got);
}

static void lines_and_paragraphs(void **state) {
    assert_pieces("", 64, "");
    assert_pieces("Hello.", 64, "EHello.");
    assert_pieces("Hello.\n", 64, "EHello.\n");
    assert_pieces("One. Two.", 64, "EOne. Two.");
    assert_pieces("One.\nTwo.", 64, "LOne.\n|ETwo.");
    assert_pieces("He said \"one.\" \nTwo.", 64, "LHe said \"one.\" \n|ETwo.");
    assert_pieces("Wrapped\ntext goes\non.\nNext", 64, "LWrapped\ntext goes\non.\n|ENext");
    assert_pieces("One,\ntwo", 64, "EOne,\ntwo");
    assert_pieces("Title\n\nText", 64, "PTitle\n\n|EText");
    assert_pieces("Title\r\n\r\nText.\r\nMore", 64, "PTitle\r\n\r\n|LText.\r\n|EMore");
    assert_pieces("Title\n \t\n  Text", 64, "PTitle\n \t\n|E  Text");
    assert_pieces("\n\n Text", 64, "E\n\n Text");
    assert_pieces("  \n ", 64, "E  \n ");
    assert_pieces("一。\n二", 64, "L一。\n|E二");
}

/* Paragraphs longer than a piece; 64 bytes is the least. */
static void long_paragraphs(void **state) {
    assert_pieces("This is the first sentence. This is the second one. And the third is here.", 64,
                  "SThis is the first sentence. This is the second one. |EAnd the third is here.");
    assert_pieces(
        "This one sentence has a clause in it, but no end that would fit into a piece.", 64,
        "CThis one sentence has a clause in it, |Ebut no end that would fit into a piece.");
    assert_pieces(
        "words words words words words words words words words words words words words", 64,
        "Cwords words words words words words words words words words |Ewords words words");
    assert_pieces("0123456789012345678901234567890123456789012345678901234567890123456789", 64,
                  "C0123456789012345678901234567890123456789012345678901234567890123|E456789");
    /* 22 * 3 = 66 bytes: not inside a character. */
    assert_pieces("世世世世世世世世世世世世世世世世世世世世世世", 64,
                  "C世世世世世世世世世世世世世世世世世世世世世|E世");
    assert_pieces("A wrapped\nsentence. Then there is one more sentence which\nis so long", 64,
                  "SA wrapped\nsentence. |EThen there is one more sentence which\nis so long");
    assert_pieces("世世世世世世世世世世，世世世世世世世世世世世世世世世", 64,
                  "C世世世世世世世世世世，|E世世世世世世世世世世世世世世世");
}

#if UT_HAVE_ICU
static void sentences_by_icu(void **state) {
    assert_pieces(
        "We had bought 3.14 pounds at the market today. It was for Mr. Smith and his dog.", 64,
        "SWe had bought 3.14 pounds at the market today. |EIt was for Mr. Smith and his dog.");
    assert_pieces("世世世世世世世。世世世世世世世世，世世世世世世世世世世", 64,
                  "S世世世世世世世。|E世世世世世世世世，世世世世世世世世世世");
}
#endif

static void raw_phonemes_stay_whole(void **state) {
    assert_pieces(
        "We say that word as [[ a b c. d e f g. h i j k l m n o p q r s t u v w ]] here.", 64,
        "CWe say that word as |E[[ a b c. d e f g. h i j k l m n o p q r s t u v w ]] here.");
    assert_pieces("We say that [[word as a b c d e f g h i j k l m n o p q r s t u v w here.", 64,
                  "CWe say that [[word as a b c d e f g h i j k l m n o p q r s t u |Ev w here.");
}

/* Whatever the text, pieces cover it and are not too long (see pieces()). */
static void odd_texts(void **state) {
    static const char *const units[] = {" ",       "\n",     ".",  ". ",      "\"\n", "x",
                                        "e\u0301", "😀",      "[[", "[[a]]",   "]]",   "a.\n",
                                        "a\n\n",   "\u2029", "。", "\u202Ex", "1"};
    static const char *const languages[] = {NULL, "en", "en-us", "roa/fr", "not a language",
                                            "",   "ja"};
    for (size_t u = 0; u < UT_COUNT(units); u++) {
        char text[3001] = "";
        for (size_t n = strlen(units[u]), used = 0; used + n < sizeof text; used += n) {
            memcpy(text + used, units[u], n + 1);
        }
        for (size_t l = 0; l < UT_COUNT(languages); l++) {
            free(pieces(text, languages[l], 64 + u));
        }
    }
}

static void one_megabyte(void **state) {
    static const char *const units[] = {
        "One sentence of it. ", "wrapped\n", "\n", "\"\n", "[", "x"};
    enum { N = 1000000 };
    char *text = malloc(N + 1);
    for (size_t u = 0; u < UT_COUNT(units); u++) {
        for (size_t i = 0, n = strlen(units[u]); i < N; i++) {
            text[i] = units[u][i % n];
        }
        text[N] = '\0';
        uint64_t before = mem.bytes[UT_MEM_SESSION];
        struct ut_segmenter *segmenter;
        struct ut_piece piece;
        size_t n_pieces = 0;
        assert_int_equal(ut_segmenter_create(&mem, text, N, NULL, 4096, &segmenter, NULL),
                         UTTER_OK);
        while (ut_segmenter_next(segmenter, &piece)) {
            n_pieces++;
        }
        assert_in_range(n_pieces, N / 4096, 2 * N / 4096);
        assert_true(mem.bytes[UT_MEM_SESSION] - before < 4096);
        ut_segmenter_destroy(segmenter);
    }
    free(text);
}

static void bad_arguments(void **state) {
    struct ut_segmenter *segmenter = (void *)1;
    utter_error err;
    assert_int_equal(ut_segmenter_create(&mem, "a", 1, NULL, 63, &segmenter, &err),
                     UTTER_ERROR_ARGUMENT);
    assert_null(segmenter);
    assert_non_null(strstr(err.message, "63"));
    ut_segmenter_destroy(NULL);
}

static void utf8_check(void **state) {
    static const struct {
        const char *text;
        size_t n;
        int offset; /* -1: fine */
    } cases[] = {
        {"", 0, -1},
        {"a\u00E9\u20AC\U0001F600", 10, -1},
        {"\xF4\x8F\xBF\xBF", 4, -1},
        {"\xEE\x80\x80", 3, -1},
        {"\x7F\x01", 2, -1},
        {"ab\0c", 4, 2},
        {"\x80", 1, 0},
        {"a\xFF", 2, 1},
        {"\xC0\x80", 2, 0},
        {"\xC1\xBF", 2, 0},
        {"\xC3", 1, 0},
        {"\xC3x", 2, 0},
        {"\xE0\x9F\xBF", 3, 0},
        {"\xE2\x82", 2, 0},
        {"\xED\xA0\x80", 3, 0},
        {"\xF0\x8F\xBF\xBF", 4, 0},
        {"\xF0\x9F\x98", 3, 0},
        {"\xF4\x90\x80\x80", 4, 0},
        {"\xF5\x80\x80\x80", 4, 0},
        {"abc\xE2\x82zz", 7, 3},
        {"\xF0\x9F\x98\xFF", 4, 0},
    };
    for (size_t i = 0; i < UT_COUNT(cases); i++) {
        /* In a block of exactly that size, so that a sanitizer sees a read behind it. */
        char *text = malloc(cases[i].n ? cases[i].n : 1), offset[32];
        memcpy(text, cases[i].text, cases[i].n);
        utter_error err = {0};
        utter_status status = ut_utf8_check(text, cases[i].n, &err);
        snprintf(offset, sizeof offset, "offset %d", cases[i].offset);
        if (status != (cases[i].offset < 0 ? UTTER_OK : UTTER_ERROR_ARGUMENT) ||
            (cases[i].offset >= 0 && !strstr(err.message, offset))) {
            fail_msg("case %zu: %d %s", i, status, err.message);
        }
        free(text);
    }
}

static void speakable(void **state) {
    static const char *const yes[] = {"a", "7", "...a", "é", "世", "$", "100%", "@", "#", "[[ˈa]]"};
    static const char *const no[] = {"",       "   \n", "...", "?!",   "---",    "\"\"",
                                     "()[]{}", "…",     "—",   "「」", "\u202E", "\u200B"};
    for (size_t i = 0; i < UT_COUNT(yes); i++) {
        assert_true(ut_text_is_speakable(yes[i], strlen(yes[i])));
    }
    for (size_t i = 0; i < UT_COUNT(no); i++) {
        assert_false(ut_text_is_speakable(no[i], strlen(no[i])));
    }
#if UT_HAVE_ICU
    assert_true(ut_text_is_speakable("😀", 4));
    assert_true(ut_text_is_speakable("€", 3));
#endif
}

static void normalize_copies(void **state) {
    char *out;
    size_t n;
    assert_int_equal(ut_normalize(&mem, "en", "3.14 \n", 6, &out, &n, NULL), UTTER_OK);
    assert_int_equal(n, 6);
    assert_string_equal(out, "3.14 \n");
    ut_mem_free(&mem, out);
    assert_int_equal(ut_normalize(&mem, NULL, NULL, 0, &out, &n, NULL), UTTER_OK);
    assert_string_equal(out, "");
    ut_mem_free(&mem, out);
}

static void failed_allocations(void **state) {
    struct failing_allocator failing;
    utter_allocator allocator = failing_allocator_start(&failing);
    struct ut_mem failing_mem;
    ut_mem_init(&failing_mem, &allocator);
    failing_allocator_reset(&failing, 1, true);
    struct ut_segmenter *segmenter = (void *)1;
    char *copy = (void *)1;
    size_t n;
    utter_error err;
    assert_int_equal(ut_segmenter_create(&failing_mem, "a", 1, NULL, 64, &segmenter, &err),
                     UTTER_ERROR_MEMORY);
    assert_null(segmenter);
    assert_int_equal(ut_normalize(&failing_mem, NULL, "a", 1, &copy, &n, &err), UTTER_ERROR_MEMORY);
    assert_null(copy);
    assert_int_equal(failing.n_blocks, 0);
}

static int set_up(void **state) {
    ut_mem_init(&mem, NULL);
    return 0;
}

static int tear_down(void **state) {
    return mem.bytes[UT_MEM_SESSION] != 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_and_paragraphs),
        cmocka_unit_test(long_paragraphs),
#if UT_HAVE_ICU
        cmocka_unit_test(sentences_by_icu),
#endif
        cmocka_unit_test(raw_phonemes_stay_whole),
        cmocka_unit_test(odd_texts),
        cmocka_unit_test(one_megabyte),
        cmocka_unit_test(bad_arguments),
        cmocka_unit_test(utf8_check),
        cmocka_unit_test(speakable),
        cmocka_unit_test(normalize_copies),
        cmocka_unit_test(failed_allocations),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
