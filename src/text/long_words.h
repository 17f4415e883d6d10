/* What espeak-ng cannot hold: it keeps no more than 200 bytes of its own phonemes of one word and 1000
 * phonemes between two marks, and drops the rest without a sign. Text is looked at one character after the
 * other, and told where it must be parted. True words and clauses never are. */
#ifndef UT_TEXT_LONG_WORDS_H
#define UT_TEXT_LONG_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ut_long_words { /* start with zeros; whoever sees a mark sets weight and n_bytes to 0 */
    size_t weight;    /* phonemes that may have come since the last mark */
    size_t n_bytes;   /* of the text that gave them */
    size_t n_run;     /* letters since the last other character or the last parting */
    size_t run_part;  /* so many may stand together, 0: any number */
    size_t n_symbols; /* in a row */
    bool patient;     /* only what is heavier than plain letters fills a clause: espeak-ng itself ends one
                       * of 800 bytes */
};

enum ut_parting {
    UT_PART_NOWHERE,
    UT_PART_WORD,  /* a space belongs before the character */
    UT_PART_CLAUSE /* the clause must end before it; weight and n_bytes are 0 again */
};

/* The character at byte `at` of valid UTF-8, `blank` if it is white space to the caller. */
enum ut_parting ut_long_words_next(struct ut_long_words *words, const char *text, size_t at,
                                   size_t end, bool blank);

bool ut_is_kana(uint32_t c);

#endif
