/* Cuts text into bounded pieces. A piece is a whole paragraph (a blank line ends it) or line where that
 * fits; else it is cut at the last sentence boundary (ICU), clause mark, space or character that fits,
 * never inside [[raw phonemes]] unless they are too long themselves. A newline inside a paragraph ends
 * a line only behind the mark of a sentence; elsewhere the text is taken to be wrapped and the newline
 * is a space. Pieces cover the text in order without gaps. */
#ifndef UT_TEXT_SEGMENT_H
#define UT_TEXT_SEGMENT_H

#include "base/error.h"
#include "base/mem.h"

enum ut_break { UT_BREAK_CUT, UT_BREAK_SENTENCE, UT_BREAK_LINE, UT_BREAK_PARAGRAPH, UT_BREAK_END };

struct ut_piece {
    size_t begin, end;   /* bytes, begin < end */
    enum ut_break after; /* what stands behind it */
};

/* One thread at a time. */
struct ut_segmenter;

/* `language` is a BCP 47 tag or NULL for the root rules. max_bytes >= 64. The text must be valid UTF-8
 * (see ut_utf8_check) and outlive the segmenter. Memory does not grow with n_bytes: ICU sees a
 * window at a time. */
UTTER_CHECKED utter_status ut_segmenter_create(struct ut_mem *mem, const char *text, size_t n_bytes,
                                               const char *language, size_t max_bytes,
                                               struct ut_segmenter **out, utter_error *err);
/* False at the end of the text. */
bool ut_segmenter_next(struct ut_segmenter *segmenter, struct ut_piece *piece);
void ut_segmenter_destroy(struct ut_segmenter *segmenter);

/* ERROR_ARGUMENT with the byte offset of the first fault. A NUL byte is one: espeak-ng would stop at
 * it and the rest be lost without a word. */
UTTER_CHECKED utter_status ut_utf8_check(const char *text, size_t n_bytes, utter_error *err);
/* True if there is a letter, a digit or a symbol that is spoken. */
bool ut_text_is_speakable(const char *text, size_t n_bytes);

/* The place of the normaliser (numbers, dates, ...): today a plain copy. Free with ut_mem_free. */
UTTER_CHECKED utter_status ut_normalize(struct ut_mem *mem, const char *language, const char *text,
                                        size_t n_bytes, char **out, size_t *n_out, utter_error *err);

#endif
