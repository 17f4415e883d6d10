/* Punctuation as espeak-ng reads it: which marks end a clause or a sentence, and which of them a Piper
 * voice hears as a phoneme. */
#ifndef UT_TEXT_MARKS_H
#define UT_TEXT_MARKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ut_mark {
    char adds;     /* '.', '?', '!', ',', ':', ';', or 0: no phoneme */
    bool sentence; /* ends a sentence, not only a clause */
};

/* False if `c` is not a mark. */
bool ut_mark_find(uint32_t c, struct ut_mark *out);

bool ut_is_space(uint32_t c);        /* white space that espeak-ng skips */
bool ut_is_alphanumeric(uint32_t c); /* a letter or digit of any script */

/* Where a clause stops. */
enum ut_clause_stop {
    UT_CLAUSE_MORE_TEXT,  /* espeak-ng stopped by itself */
    UT_CLAUSE_CUT,        /* it was given no more, but there is more text */
    UT_CLAUSE_END_OF_TEXT
};

struct ut_clause_end {
    char adds;
    bool sentence, paragraph;
};

/* What ended the clause s[0, n): the terminator that espeak-ng before 1.52 does not report, from the
 * bytes it consumed. */
struct ut_clause_end ut_clause_end(const char *s, size_t n, enum ut_clause_stop stop);

/* True if text[0, n) ends with a sentence's mark or an ellipsis, then maybe closing quotes, brackets and
 * white space (fewer than 64 of them). */
bool ut_ends_sentence(const char *text, size_t n);

#endif
