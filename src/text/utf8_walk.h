/* Walking over UTF-8 that has been checked (ut_utf8_check). On anything else the code points are
 * meaningless, but no function reads outside the n bytes and all of them move on. */
#ifndef UT_TEXT_UTF8_WALK_H
#define UT_TEXT_UTF8_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool ut_utf8_is_tail(char byte) {
    return ((unsigned char)byte & 0xC0) == 0x80;
}

/* Start of the character that ends before `at` (1..n). */
static inline size_t ut_utf8_before(const char *text, size_t at) {
    do {
        at--;
    } while (at > 0 && ut_utf8_is_tail(text[at]));
    return at;
}

/* End of the character that starts at `at` (0..n-1). */
static inline size_t ut_utf8_after(const char *text, size_t n, size_t at) {
    do {
        at++;
    } while (at < n && ut_utf8_is_tail(text[at]));
    return at;
}

/* The code point in text[begin, end), one character long. */
static inline uint32_t ut_utf8_code_point(const char *text, size_t begin, size_t end) {
    static const unsigned char lead_bits[] = {0x7F, 0x7F, 0x1F, 0x0F, 0x07};
    size_t n = end - begin;
    uint32_t c = (unsigned char)text[begin] & lead_bits[n < 5 ? n : 4];
    for (size_t i = begin + 1; i < end; i++) {
        c = c << 6 | ((unsigned char)text[i] & 0x3F);
    }
    return c;
}

/* The code point at *at, which moves behind it. */
static inline uint32_t ut_utf8_next(const char *text, size_t n, size_t *at) {
    size_t begin = *at;
    *at = ut_utf8_after(text, n, begin);
    return ut_utf8_code_point(text, begin, *at);
}

/* The code point before *at, which moves in front of it. */
static inline uint32_t ut_utf8_previous(const char *text, size_t *at) {
    size_t end = *at;
    *at = ut_utf8_before(text, end);
    return ut_utf8_code_point(text, *at, end);
}

#endif
