/* See marks.h. The table was found by giving espeak-ng every punctuation character of the basic
 * plane; 1.51 and 1.52 agree. Without ICU every character beyond ASCII that is no mark counts as a
 * letter. */
#include "text/marks.h"

#include "base/checked.h"
#include "text/utf8_walk.h"
#include "ut_config.h"

#if UT_HAVE_ICU
#include <unicode/uchar.h>
#endif

/* One row for each effect; code points in ascending order, ended by 0. */
static const struct row {
    struct ut_mark mark;
    uint16_t chars[20];
} rows[] = {
    {{'.', true},
     {'.', 0x6D4, 0x701, 0x702, 0x1362, 0x166E, 0x1803, 0x1809, 0x2E3C, 0xFE12, 0xFE52, 0xFF61}},
    {{'?', true}, {'?', 0x37E, 0x61F, 0x1367, 0x2047, 0x2753, 0x2754, 0xFE16, 0xFE56}},
    {{'!', true}, {'!', 0x7F9, 0x203C, 0x2755, 0x2757, 0x2762, 0x2763, 0xFE15, 0xFE57}},
    {{',', false},
     {',', 0x55D, 0x60C, 0x1363, 0x1802, 0x2E32, 0x2E34, 0xFE10, 0xFE11, 0xFE50, 0xFE51, 0xFF64}},
    {{':', false}, {':', 0x1365, 0x1366, 0xFE13, 0xFE55}},
    {{';', false},
     {';', 0x387, 0x61B, 0x1364, 0x2013, 0x2014, 0x2E3A, 0x2E3B, 0xFE14, 0xFE31, 0xFE32, 0xFE54}},
    {{0, false}, {0xA1, 0xBF, 0x2026, 0x22EE, 0x22EF, 0x3001, 0xFF0C, 0xFF1A, 0xFF1B}},
    {{0, true}, {0x589, 0x964, 0x965, 0x2029, 0x3002, 0xFF01, 0xFF0E, 0xFF1F}},
};

enum { ELLIPSIS = 0x2026 };

/* At most eight rows of ascending characters: a look-up ends at the first that is larger. */
bool ut_mark_find(uint32_t c, struct ut_mark *out) {
    for (size_t r = 0; r < UT_COUNT(rows); r++) {
        for (const uint16_t *mark = rows[r].chars; *mark && *mark <= c; mark++) {
            if (*mark == c) {
                *out = rows[r].mark;
                return true;
            }
        }
    }
    return false;
}

bool ut_is_space(uint32_t c) {
    /* Not the no-break spaces, and not U+2029, which is a mark. */
    return (c >= '\t' && c <= '\r') || c == ' ' || c == 0x85 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A && c != 0x2007) || c == 0x2028 || c == 0x205F || c == 0x3000;
}

/* With ICU by the properties of the character, without it by exclusion. */
bool ut_is_alphanumeric(uint32_t c) {
    if (c < 0x80) {
        return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
    }
#if UT_HAVE_ICU
    return u_isUAlphabetic((UChar32)c) || (U_MASK(u_charType((UChar32)c)) & U_GC_N_MASK);
#else
    struct ut_mark mark;
    bool is_punctuation = (c >= 0x200B && c <= 0x206F) || (c >= 0x3001 && c <= 0x301F);
    return c > 0xA0 && c != 0xAD && !is_punctuation && !ut_is_space(c) && !ut_mark_find(c, &mark);
#endif
}

static bool has_alphanumeric(const char *s, size_t n) {
    for (size_t at = 0; at < n;) {
        if (ut_is_alphanumeric(ut_utf8_next(s, n, &at))) {
            return true;
        }
    }
    return false;
}

/* Moves *n in front of trailing white space; returns the newlines in it. */
static int strip_space(const char *s, size_t *n) {
    int n_newlines = 0;
    for (size_t at = *n; at > 0; *n = at) {
        uint32_t c = ut_utf8_previous(s, &at);
        if (!ut_is_space(c)) {
            break;
        }
        n_newlines += c == '\n';
    }
    return n_newlines;
}

/* The mark that counts of the run of marks that ends s[0, n): three or more dots are an ellipsis,
 * else it is the first, because espeak-ng skips those behind it. */
static bool find_last_mark(const char *s, size_t n, struct ut_mark *out) {
    size_t begin = n;
    struct ut_mark mark;
    for (size_t at = n; at > 0; begin = at) {
        if (!ut_mark_find(ut_utf8_previous(s, &at), &mark)) {
            break;
        }
    }
    if (begin == n) {
        return false;
    }
    bool is_ellipsis =
        n - begin >= 3 && s[begin] == '.' && s[begin + 1] == '.' && s[begin + 2] == '.';
    size_t at = begin;
    return ut_mark_find(is_ellipsis ? ELLIPSIS : ut_utf8_next(s, n, &at), out);
}

/* Two newlines count whatever mark stands before them. At the end of the text a mark without a word
 * in front of it adds nothing. */
struct ut_clause_end ut_clause_end(const char *s, size_t n, enum ut_clause_stop stop) {
    bool is_last = stop == UT_CLAUSE_END_OF_TEXT;
    int n_newlines = strip_space(s, &n);
    if (n_newlines >= 2) {
        return (struct ut_clause_end){.sentence = true, .paragraph = true};
    }
    struct ut_mark mark;
    if (!find_last_mark(s, n, &mark) || (is_last && !has_alphanumeric(s, n))) {
        return (struct ut_clause_end){.sentence = is_last};
    }
    return (struct ut_clause_end){.adds = mark.adds, .sentence = mark.sentence};
}

static bool is_closing(uint32_t c) {
    return c == '"' || c == '\'' || c == ')' || c == ']' || c == '}' || c == 0xBB || c == 0x203A ||
           (c >= 0x2018 && c <= 0x201F) || (c >= 0x3009 && c <= 0x3011) || c == 0xFF09;
}

bool ut_ends_sentence(const char *text, size_t n) {
    /* Bounded, because it is asked for every line. */
    for (int n_tries = 0; n > 0 && n_tries < 64; n_tries++) {
        uint32_t c = ut_utf8_previous(text, &n);
        struct ut_mark mark;
        if (!ut_is_space(c) && !is_closing(c)) {
            return c == ELLIPSIS || (ut_mark_find(c, &mark) && mark.sentence);
        }
    }
    return false;
}
