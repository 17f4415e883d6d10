/* Where a line of phonemes is cut, and the text of each chunk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"
#include "support/byte_buffer.h"
#include "text/misaki.h"
#include "text/misaki_chunk.h"
#include "text/utf8_walk.h"

static struct ut_mem mem;

/* A line whose phonemes are its text. */
static struct ut_misaki_line line_of(const char *text) {
    size_t n = strlen(text);
    return (struct ut_misaki_line){
        .text = text, .text_end = n, .phonemes = {.mem = &mem, .data = (char *)text, .n = n}};
}

static void chunk(const struct ut_misaki_line *line, bool packs, struct ut_sentences *out) {
    *out = (struct ut_sentences){.mem = &mem};
    assert_int_equal(ut_misaki_chunk(line, packs, out, NULL), UTTER_OK);
    ut_sentences_cover(out, line->text_end);
    for (size_t i = 0; i < out->n; i++) {
        size_t n = 0;
        for (const char *s = out->items[i].phonemes; *s; s++) {
            n += !ut_utf8_is_tail(*s);
        }
        assert_in_range(n, 1, UT_MISAKI_MAX_SYMBOLS);
    }
}

/* `n` symbols: words of nine letters, then `end`. */
static void append_words(struct byte_buffer *text, size_t n, const char *end) {
    for (size_t i = 1; i <= n - 1; i++) {
        byte_buffer_append_u8(text, i % 10 || i == n - 1 ? 'x' : ' ');
    }
    byte_buffer_append(text, end, strlen(end));
}

/* Two parts that fit together with what follows only if cut behind `mark`: the first chunk ends
 * there. */
static void best_pause(void **state) {
    static const struct {
        const char *first, *second, *third; /* marks */
        int n_expected;                     /* of the parts that the first chunk holds */
    } cases[] = {
        {". ", ", ", " ", 1},      {"! ", "; ", " ", 1},       {"? ", ", ", " ", 1},
        {"\u2026 ", ", ", " ", 1}, {": ", ", ", " ", 1},       {"; ", "\u2014", " ", 1},
        {", ", " ", " ", 1},       {"\u2014", " ", " ", 1},    {", ", ". ", " ", 2},
        {", ", ", ", " ", 2},      {". ", ". ", ", ", 2},      {".\" ", ", ", " ", 1},
        {".) ", ", ", " ", 1},     {".\u201D ", ", ", " ", 1}, {"... ", ", ", " ", 1},
        {"?! ", ", ", " ", 1},     {".x", ", ", " ", 2},       {"\u2026x", " ", " ", 1},
        {". (", ", ", " ", 1},
    };
    for (size_t i = 0; i < UT_COUNT(cases); i++) {
        struct byte_buffer text = {0};
        size_t ends[3];
        append_words(&text, 200, cases[i].first);
        ends[0] = text.n;
        append_words(&text, 200, cases[i].second);
        ends[1] = text.n;
        append_words(&text, 90, cases[i].third);
        append_words(&text, 300, ".");
        byte_buffer_append_u8(&text, 0);
        struct ut_misaki_line line = line_of((char *)text.data);
        struct ut_sentences out;
        chunk(&line, false, &out);
        size_t end = ends[cases[i].n_expected - 1];
        const char *next = cases[i].n_expected == 1 ? cases[i].first : cases[i].second;
        if (strchr(next, 'x') || strchr(next, '(')) {
            end--; /* belongs to the next chunk */
        }
        if (out.n < 2 || out.items[0].text_end != end) {
            fail_msg("case %zu: ends at %zu, not %zu", i, out.items[0].text_end, end);
        }
        ut_sentences_free(&out);
        byte_buffer_free(&text);
    }
}

/* A pause that leaves too much for the next chunk does not count, nor is a word of any length lost.
 */
static void long_words(void **state) {
    static char text[40000];
    size_t n = (size_t)sprintf(text, "A. ");
    memset(text + n, 'x', 30000);
    strcpy(text + n + 30000, " b.");
    struct ut_misaki_line line = line_of(text);
    struct ut_sentences out;
    chunk(&line, false, &out);
    assert_int_equal(out.n, 1 + 30000 / 510 + 1);
    assert_string_equal(out.items[0].phonemes, "A.");
    assert_int_equal(out.items[1].n_bytes, 510);
    size_t n_x = 0;
    for (size_t i = 1; i < out.n; i++) {
        n_x += strspn(out.items[i].phonemes, "x");
    }
    assert_int_equal(n_x, 30000);
    assert_non_null(strstr(out.items[out.n - 1].phonemes, " b."));
    ut_sentences_free(&out);
}

/* A combining mark is not cut off its letter, unless there is nothing but marks. */
static void combining_marks(void **state) {
    struct byte_buffer text = {0};
    byte_buffer_append(&text, "x", 1);
    for (int i = 0; i < 600; i++) {
        byte_buffer_append(&text, "e\u0303", 3);
    }
    byte_buffer_append_u8(&text, 0);
    struct ut_misaki_line line = line_of((char *)text.data);
    struct ut_sentences out;
    chunk(&line, false, &out);
    assert_int_equal(out.n, 3);
    for (size_t i = 1; i < out.n; i++) {
        assert_int_equal(out.items[i].phonemes[0], 'e');
    }
    ut_sentences_free(&out);
    text.n = 0;
    for (int i = 0; i < 10000; i++) {
        byte_buffer_append(&text, "\u0303", 2);
    }
    byte_buffer_append_u8(&text, 0);
    line = line_of((char *)text.data);
    chunk(&line, false, &out);
    assert_int_equal(out.n, 20);
    ut_sentences_free(&out);
    byte_buffer_free(&text);
}

/* Sentences of `n_bytes` bytes each, whose phonemes are twice as long. */
static void pack(size_t n_sentences, size_t n_bytes, size_t n_expected, size_t first_end) {
    struct byte_buffer text = {0}, phonemes = {0};
    struct ut_misaki_anchor *anchors = calloc(n_sentences, sizeof *anchors);
    for (size_t i = 0; i < n_sentences; i++) {
        append_words(&text, n_bytes - 1, ". ");
        append_words(&phonemes, n_bytes, ". ");
        anchors[i] = (struct ut_misaki_anchor){phonemes.n, text.n, true};
    }
    struct ut_misaki_line line = {.text = (char *)text.data,
                                  .text_end = text.n,
                                  .phonemes = {.data = (char *)phonemes.data, .n = phonemes.n},
                                  .anchors = anchors,
                                  .n_anchors = n_sentences};
    struct ut_sentences out;
    chunk(&line, true, &out);
    assert_int_equal(out.n, n_expected);
    assert_int_equal(out.items[0].text_end, first_end);
    ut_sentences_free(&out);
    free(anchors);
    byte_buffer_free(&text);
    byte_buffer_free(&phonemes);
}

static void packed_sentences(void **state) {
    pack(1, 50, 1, 50);
    pack(8, 50, 1, 400); /* exactly 400 characters */
    pack(9, 50, 2, 400);
    pack(20, 100, 5, 400);
    pack(3, 399, 3, 399);
    pack(2, 450, 2, 450); /* longer sentences stay whole while they fit */
}

/* A sentence too long for a chunk is cut, not shortened. */
static void long_sentences(void **state) {
    struct byte_buffer text = {0};
    append_words(&text, 300, ", ");
    append_words(&text, 300, ", ");
    append_words(&text, 300, ". ");
    byte_buffer_append_u8(&text, 0);
    struct ut_misaki_line line = line_of((char *)text.data);
    struct ut_sentences out;
    chunk(&line, true, &out);
    assert_int_equal(out.n, 3);
    assert_int_equal(out.items[0].text_end, 301);
    ut_sentences_free(&out);
    byte_buffer_free(&text);
}

static void nothing(void **state) {
    static const char *const texts[] = {"", " ", "    "};
    for (size_t i = 0; i < 2 * UT_COUNT(texts); i++) {
        struct ut_misaki_line line = line_of(texts[i / 2]);
        struct ut_sentences out;
        chunk(&line, i % 2, &out);
        assert_int_equal(out.n, 0);
        ut_sentences_free(&out);
    }
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
        cmocka_unit_test(best_pause),      cmocka_unit_test(long_words),
        cmocka_unit_test(combining_marks), cmocka_unit_test(packed_sentences),
        cmocka_unit_test(long_sentences),  cmocka_unit_test(nothing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
