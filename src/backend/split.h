/* Cuts a sentence that is too long for one run of a model. Works on UTF-8 phonemes or text. */
#ifndef UT_BACKEND_SPLIT_H
#define UT_BACKEND_SPLIT_H

#include <stddef.h>

/* End of the part that begins at `begin`: at most max_symbols (>= 1) code points long, cut behind
 * the last clause mark of its second half, else behind the last space there, else anywhere but
 * before a combining or length mark. Always larger than `begin`, n_bytes when the rest fits. */
size_t ut_split_phonemes(const char *phonemes, size_t begin, size_t n_bytes, size_t max_symbols);

/* The byte of text[begin..end) that corresponds to `part` of `whole`: the same share of the text,
 * moved on to the next word. Rises with `part`, from begin for 0 to end for `whole`. */
size_t ut_split_text(const char *text, size_t begin, size_t end, size_t part, size_t whole);

#endif
