/* Numbers in English text and the words that say them: cardinals below 10^18, ordinals, years,
 * decimals, times of day, sums of money; longer ones digit by digit. */
#ifndef UT_TEXT_NUMBER_WORDS_H
#define UT_TEXT_NUMBER_WORDS_H

#include <stdbool.h>

#include "text/text_buffer.h"

enum ut_number_style {
    UT_NUMBER_CARDINAL, /* "105": one hundred five (American style, without "and") */
    UT_NUMBER_ORDINAL,  /* one hundred fifth */
    UT_NUMBER_YEAR,     /* "1905": nineteen oh five */
    UT_NUMBER_DIGITS,   /* one zero five */
    UT_NUMBER_CODE      /* of a name such as A320: three twenty */
};

/* Appends the words, lower case with single spaces between, of n ASCII digits (n >= 1). */
UTTER_CHECKED utter_status ut_number_words(const char *digits, size_t n, enum ut_number_style style,
                                           struct ut_text_buffer *out, utter_error *err);

/* Bytes of the number that text[0, n) begins with, 0 if it begins with none: an optional currency
 * sign
 * ($ £ € ¥), digits with groups of three after commas and decimals, or H:MM; then st nd rd th s 's,
 * or after money thousand, million, billion, trillion. */
size_t ut_number_scan(const char *text, size_t n);

/* Appends the words of such a number, text[0, n) being exactly what ut_number_scan found. In_name:
 * it goes on from letters or a hyphen ("A320", "555-1234"). */
UTTER_CHECKED utter_status ut_number_read(const char *text, size_t n, bool in_name,
                                          struct ut_text_buffer *out, utter_error *err);

#endif
