/* UTF-8 (RFC 3629): nothing overlong, no surrogates, nothing beyond U+10FFFF. */
#ifndef UT_BASE_UTF8_H
#define UT_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The code point at text[0..n), n >= 1, or -1 if it is invalid or cut off; *n_bytes (1..4) is what
 * it takes, 1 when it is invalid. */
int32_t ut_utf8_decode(const char *text, size_t n, size_t *n_bytes);

/* Writes a code point and returns its bytes. The caller sees to it that it is one: 0 to U+10FFFF,
 * no surrogate. */
size_t ut_utf8_encode(int32_t code_point, char out[4]);

/* Also true for n of 0; a NUL is a character like others. */
bool ut_utf8_valid(const char *text, size_t n);

#endif
