/* UTF-8 decoding and encoding, one code point at a time. */
#include "base/utf8.h"

/* Bytes that follow the lead byte, or -1 if no character begins with it. */
static int n_following(unsigned char lead) {
    return lead < 0x80                   ? 0
           : lead >= 0xC2 && lead < 0xE0 ? 1
           : lead >= 0xE0 && lead < 0xF0 ? 2
           : lead >= 0xF0 && lead < 0xF5 ? 3
                                         : -1;
}

/* 0xC0, 0xC1 and 0xF5 to 0xFF begin nothing: two-byte forms of ASCII are refused by the lead byte,
 * the longer ones by their value. */
int32_t ut_utf8_decode(const char *text, size_t n, size_t *n_bytes) {
    const unsigned char *s = (const unsigned char *)text;
    int more = n_following(s[0]);
    *n_bytes = 1;
    if (more < 0 || (size_t)more >= n) {
        return -1;
    }
    int32_t c = more == 0 ? s[0] : s[0] & (0x3F >> more);
    for (int i = 1; i <= more; i++) {
        if ((s[i] & 0xC0) != 0x80) {
            return -1;
        }
        c = c << 6 | (s[i] & 0x3F);
    }
    bool overlong = (more == 2 && c < 0x800) || (more == 3 && c < 0x10000);
    if (overlong || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) {
        return -1;
    }
    *n_bytes = (size_t)more + 1;
    return c;
}

size_t ut_utf8_encode(int32_t code_point, char out[4]) {
    if (code_point < 0x80) {
        out[0] = (char)code_point;
        return 1;
    }
    size_t n = code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (code_point & 0x3F));
        code_point >>= 6;
    }
    out[0] = (char)((0xF00 >> n & 0xFF) | code_point); /* n ones, then a zero */
    return n;
}

bool ut_utf8_valid(const char *text, size_t n) {
    for (size_t at = 0, length; at < n; at += length) {
        length = 1; /* ASCII, as nearly all names are, needs no call */
        if ((signed char)text[at] < 0 && ut_utf8_decode(text + at, n - at, &length) < 0) {
            return false;
        }
    }
    return true;
}
