/* GGUF files from a line of words, so that every field can be hostile and a table of cases shows each
 * file whole. Words are separated by spaces:
 *
 *     GGUF        these four bytes
 *     4:-1        an integer of 1, 2, 4 or 8 bytes, decimal or 0x...
 *     f:0.5 d:1   a float of 4 or 8 bytes
 *     s:abc s:    a string: its length in 8 bytes, then its bytes
 *     S:200       a string of 200 times 'n'
 *     x:00ff      bytes
 *     pad:32      zeros up to a multiple of 32
 *     data:16     the bytes 1, 2, 3 ...
 */
#ifndef UT_TESTS_GGUF_TEXT_H
#define UT_TESTS_GGUF_TEXT_H

#include "support/byte_buffer.h"

enum { GGUF_TEXT_MAX_INTEGERS = 512 };

struct gguf_text { /* starts as {0} */
    struct byte_buffer file;
    struct {
        size_t at;
        size_t n_bytes;
    } integers[GGUF_TEXT_MAX_INTEGERS]; /* also the lengths of strings; those beyond are not listed */
    size_t n_integers;
};

/* Appends. A word that is none of these ends the program. */
void gguf_text_append(struct gguf_text *out, const char *words);
void gguf_text_free(struct gguf_text *text);

#endif
