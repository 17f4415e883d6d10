/* See segment.h. Sentence boundaries are ICU's (UAX #29 with the language's abbreviations); without
 * ICU a sentence ends at a mark of marks.c with white space behind it. */
#include "text/segment.h"

#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/utf8.h"
#include "text/marks.h"
#include "text/utf8_walk.h"
#include "ut_config.h"

#if UT_HAVE_ICU
#include <unicode/ubrk.h>
#include <unicode/uloc.h>
#include <unicode/utext.h>
#endif

/* Also how far behind the limit a blank line is looked for. */
enum { MIN_PIECE_BYTES = 64 };

/* `at` is where the next piece begins; pieces are found one at a time and nothing is remembered of
 * those before. */
struct ut_segmenter {
    struct ut_mem *mem;
    const char *text;
    size_t n, at, max_bytes;
#if UT_HAVE_ICU
    UBreakIterator *sentences;
    UText *window; /* what `sentences` looks at */
#endif
};

/* ---- Sentence boundaries ------------------------------------------------------------------- */

#if UT_HAVE_ICU

/* "en-us" -> "en_US@ss=standard": no sentence ends behind the language's abbreviations. */
static void make_locale(const char *language, char *locale, size_t capacity) {
    UErrorCode code = U_ZERO_ERROR;
    uloc_forLanguageTag(language ? language : "", locale, (int32_t)capacity, NULL, &code);
    if (U_FAILURE(code) || code == U_STRING_NOT_TERMINATED_WARNING) {
        locale[0] = '\0';
    }
    code = U_ZERO_ERROR;
    uloc_setKeywordValue("ss", "standard", locale, (int32_t)capacity, &code);
    if (U_FAILURE(code)) {
        locale[0] = '\0';
    }
}

/* The window is opened empty and moved over the text later. */
static utter_status open_sentences(struct ut_segmenter *segmenter, const char *language,
                                   utter_error *err) {
    char locale[ULOC_FULLNAME_CAPACITY];
    make_locale(language, locale, sizeof locale);
    UErrorCode code = U_ZERO_ERROR;
    segmenter->window = utext_openUTF8(NULL, "", 0, &code);
    segmenter->sentences = ubrk_open(UBRK_SENTENCE, locale, NULL, 0, &code);
    if (code == U_MEMORY_ALLOCATION_ERROR) {
        return ut_fail(err, UTTER_ERROR_MEMORY,
                       "out of memory: ICU's sentence rules could not be loaded");
    }
    return U_SUCCESS(code)
               ? UTTER_OK
               : ut_fail(err, UTTER_ERROR_UNSUPPORTED,
                         "ICU has no sentence rules (%s): install its data", u_errorName(code));
}

static void close_sentences(struct ut_segmenter *segmenter) {
    if (segmenter->sentences) {
        ubrk_close(segmenter->sentences);
    }
    if (segmenter->window) {
        utext_close(segmenter->window);
    }
}

/* The last sentence boundary inside text[0, n), 0 if there is none. ICU ends a sentence at every
 * newline; where text is wrapped that means nothing. */
static size_t last_sentence(struct ut_segmenter *segmenter, const char *text, size_t n) {
    UErrorCode code = U_ZERO_ERROR;
    utext_openUTF8(segmenter->window, text, (int64_t)n, &code);
    ubrk_setUText(segmenter->sentences, segmenter->window, &code);
    for (size_t at = n; at > 0 && U_SUCCESS(code);) {
        int32_t boundary = ubrk_preceding(segmenter->sentences, (int32_t)at);
        if (boundary <= 0) {
            return 0;
        }
        bool has_newline = false;
        for (at = (size_t)boundary; at > 0 && ut_is_space((unsigned char)text[at - 1]); at--) {
            has_newline = has_newline || text[at - 1] == '\n';
        }
        if (!has_newline || ut_ends_sentence(text, at)) {
            return (size_t)boundary;
        }
    }
    return 0;
}

#else

static utter_status open_sentences(struct ut_segmenter *segmenter, const char *language,
                                   utter_error *err) {
    return UTTER_OK;
}

static void close_sentences(struct ut_segmenter *segmenter) {
}

static size_t last_sentence(struct ut_segmenter *segmenter, const char *text, size_t n) {
    for (size_t end = n, at = n; at > 0; end = at) {
        bool is_space = ut_is_space(ut_utf8_previous(text, &at));
        if (is_space && at > 0 && !ut_is_space((unsigned char)text[at - 1]) &&
            ut_ends_sentence(text, at)) {
            return end;
        }
    }
    return 0;
}

#endif

/* ---- Pieces -------------------------------------------------------------------------------- */

utter_status ut_segmenter_create(struct ut_mem *mem, const char *text, size_t n_bytes,
                                 const char *language, size_t max_bytes, struct ut_segmenter **out,
                                 utter_error *err) {
    *out = NULL;
    if (max_bytes < MIN_PIECE_BYTES || max_bytes > INT32_MAX) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "pieces of %zu bytes: %d is the least", max_bytes,
                       MIN_PIECE_BYTES);
    }
    struct ut_segmenter *segmenter = ut_mem_calloc(mem, UT_MEM_SESSION, 1, sizeof *segmenter);
    if (!segmenter) {
        return ut_fail_memory(err, sizeof *segmenter);
    }
    *segmenter =
        (struct ut_segmenter){.mem = mem, .text = text, .n = n_bytes, .max_bytes = max_bytes};
    utter_status status = open_sentences(segmenter, language, err);
    if (status != UTTER_OK) {
        ut_segmenter_destroy(segmenter);
        return status;
    }
    *out = segmenter;
    return UTTER_OK;
}

void ut_segmenter_destroy(struct ut_segmenter *segmenter) {
    if (segmenter) {
        close_sentences(segmenter);
        ut_mem_free(segmenter->mem, segmenter);
    }
}

/* The first byte in text[at, end) that begins no white space, else `end`. */
static size_t skip_space(const char *text, size_t at, size_t end) {
    for (size_t next = at; at < end && ut_is_space(ut_utf8_next(text, end, &next)); at = next) {
    }
    return at;
}

/* The end of the first line or paragraph that ends in text[begin, limit), or 0. White space behind
 * it up to the last newline belongs to it. A newline inside a paragraph ends a line only behind a
 * sentence's mark; else the text is taken to be wrapped and the newline is a space. */
static size_t find_line_end(const char *text, size_t begin, size_t limit, size_t n,
                            enum ut_break *after) {
    for (size_t at = skip_space(text, begin, limit); at < limit; at++) {
        const char *newline = memchr(text + at, '\n', limit - at);
        if (!newline) {
            return 0;
        }
        at = (size_t)(newline - text);
        /* Whether a blank line follows may show behind the limit. */
        size_t space_end = skip_space(text, at, UT_MIN(n, limit + MIN_PIECE_BYTES)), last = at;
        for (size_t i = at + 1; i < space_end; i++) {
            last = text[i] == '\n' ? i : last;
        }
        if (last > at || ut_ends_sentence(text + begin, at - begin)) {
            *after = last > at ? UT_BREAK_PARAGRAPH : UT_BREAK_LINE;
            return UT_MIN(last + 1, limit);
        }
        at = UT_MAX(at, UT_MIN(space_end, limit) - 1);
    }
    return 0;
}

/* The end of the last clause in text[0, n), or 0: behind a mark and the white space that follows
 * it, or behind a full-width mark. */
static size_t last_clause(const char *text, size_t n) {
    struct ut_mark mark;
    bool space_follows = false;
    size_t end = n;
    for (size_t at = n; at > 0;) {
        size_t here = at;
        uint32_t c = ut_utf8_previous(text, &at);
        if (ut_mark_find(c, &mark) && here < n && (space_follows || c >= 0x3000)) {
            return end;
        }
        space_follows = ut_is_space(c);
        end = space_follows ? end : at;
    }
    return 0;
}

/* Behind the last white space in text[0, n), 0 if there is none. */
static size_t last_space(const char *text, size_t n) {
    for (size_t end = n, at = n; at > 0; end = at) {
        if (ut_is_space(ut_utf8_previous(text, &at))) {
            return end;
        }
    }
    return 0;
}

/* Moves a cut out of [[raw phonemes]]: their start if `cut` lies inside, else `cut`. */
static size_t leave_raw(const char *text, size_t n, size_t cut) {
    const char *open = NULL, *from = text;
    for (const char *next; (next = memmem(from, cut - (size_t)(from - text), "[[", 2)) != NULL;) {
        open = next;
        from = next + 2;
    }
    const char *close = open ? memmem(open + 2, n - (size_t)(open + 2 - text), "]]", 2) : NULL;
    return close && close + 2 > text + cut ? (size_t)(open - text) : cut;
}

/* Where to cut a paragraph of n_left bytes, of which text[0, n) fits. */
static size_t choose_cut(struct ut_segmenter *segmenter, const char *text, size_t n, size_t n_left,
                         enum ut_break *after) {
    size_t cut = last_sentence(segmenter, text, n);
    *after = cut > 0 ? UT_BREAK_SENTENCE : UT_BREAK_CUT;
    cut = cut > 0 ? cut : last_clause(text, n);
    cut = cut > 0 ? cut : last_space(text, n);
    cut = cut > 0 ? cut : n;
    size_t outside = leave_raw(text, UT_MIN(n_left, 2 * n), cut);
    if (outside > 0 && outside < cut) {
        *after = UT_BREAK_CUT;
        return outside;
    }
    return cut;
}

/* The limit never lies inside a character; `end` is behind `begin` in every case, so the walk
 * ends. */
bool ut_segmenter_next(struct ut_segmenter *segmenter, struct ut_piece *piece) {
    const char *text = segmenter->text;
    size_t begin = segmenter->at, n = segmenter->n;
    if (begin == n) {
        return false;
    }
    size_t limit = n - begin > segmenter->max_bytes ? begin + segmenter->max_bytes : n;
    while (limit < n && ut_utf8_is_tail(text[limit])) {
        limit--;
    }
    enum ut_break after = UT_BREAK_END;
    size_t end = find_line_end(text, begin, limit, n, &after);
    if (end == 0) {
        end = limit == n
                  ? n
                  : begin + choose_cut(segmenter, text + begin, limit - begin, n - begin, &after);
    }
    *piece =
        (struct ut_piece){.begin = begin, .end = end, .after = end == n ? UT_BREAK_END : after};
    segmenter->at = end;
    return true;
}

/* ---- Checks -------------------------------------------------------------------------------- */

utter_status ut_utf8_check(const char *text, size_t n_bytes, utter_error *err) {
    for (size_t at = 0; at < n_bytes;) {
        size_t length;
        if (ut_utf8_decode(text + at, n_bytes - at, &length) < 0) {
            return ut_fail(err, UTTER_ERROR_ARGUMENT,
                           "the text is not UTF-8: byte 0x%02x at offset %zu; convert it first",
                           (unsigned char)text[at], at);
        }
        if (text[at] == '\0') {
            return ut_fail(err, UTTER_ERROR_ARGUMENT,
                           "the text has a NUL byte at offset %zu: remove it", at);
        }
        at += length;
    }
    return UTTER_OK;
}

/* Letters, digits and symbols that are read by name: those of ASCII in the list, beyond it every
 * currency, mathematical and other symbol. */
static bool is_spoken(uint32_t c) {
    if (c < 0x80) {
        return ut_is_alphanumeric(c) || (c > ' ' && strchr("#$%&*+/=@\\~", (int)c));
    }
#if UT_HAVE_ICU
    if (U_MASK(u_charType((UChar32)c)) & (U_GC_SC_MASK | U_GC_SM_MASK | U_GC_SO_MASK)) {
        return true;
    }
#endif
    return ut_is_alphanumeric(c);
}

/* One character that is spoken is enough; a piece of marks alone would make a network speak
 * noise. */
bool ut_text_is_speakable(const char *text, size_t n_bytes) {
    for (size_t at = 0; at < n_bytes;) {
        if (is_spoken(ut_utf8_next(text, n_bytes, &at))) {
            return true;
        }
    }
    return false;
}

utter_status ut_normalize(struct ut_mem *mem, const char *language, const char *text,
                          size_t n_bytes, char **out, size_t *n_out, utter_error *err) {
    *out = ut_mem_strndup(mem, UT_MEM_SESSION, text ? text : "", n_bytes);
    *n_out = *out ? n_bytes : 0;
    return *out ? UTTER_OK : ut_fail_memory(err, n_bytes + 1);
}
