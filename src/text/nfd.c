/* See nfd.h. By ICU, chunk by chunk in buffers on the stack. */
#include "text/nfd.h"

#include "base/checked.h"
#include "text/utf8_walk.h"
#include "ut_config.h"

#if UT_HAVE_ICU

#include <unicode/unorm2.h>
#include <unicode/ustring.h>

enum {
    CHUNK_UNITS = 512, /* UTF-16 */
    /* A code point becomes at most 4 units for each of its own, in either form. */
    NORMAL_UNITS = 4 * CHUNK_UNITS,
    NORMAL_BYTES = 3 * NORMAL_UNITS
};

/* Bytes of text[begin, n) for one chunk: up to CHUNK_UNITS - 1 units, ending where nothing is
 * reordered or composed across, if there is such a place. */
static size_t chunk_end(const UNormalizer2 *form, const char *text, size_t n, size_t begin) {
    size_t best = begin, at = begin;
    /* A code point of 4 bytes is 2 units; every other one is 1. */
    for (size_t units = 0; at < n && units < CHUNK_UNITS - 2;) {
        size_t here = at;
        uint32_t c = ut_utf8_next(text, n, &at);
        units += c > 0xFFFF ? 2 : 1;
        if (here > begin && unorm2_hasBoundaryBefore(form, (UChar32)c)) {
            best = here;
        }
    }
    return at == n || best == begin ? at : best;
}

/* Each chunk is normalised by itself, which gives the same as the whole where chunks end at
 * boundaries. */
static utter_status append_normal(const UNormalizer2 *form, UErrorCode code,
                                  struct ut_text_buffer *out, const char *text, size_t n,
                                  utter_error *err) {
    for (size_t begin = 0; begin < n && U_SUCCESS(code);) {
        UChar chunk[CHUNK_UNITS], normal[NORMAL_UNITS];
        char bytes[NORMAL_BYTES];
        int32_t n_chunk, n_normal, n_bytes;
        size_t end = chunk_end(form, text, n, begin);
        u_strFromUTF8(chunk, CHUNK_UNITS, &n_chunk, text + begin, (int32_t)(end - begin), &code);
        n_normal = unorm2_normalize(form, chunk, n_chunk, normal, NORMAL_UNITS, &code);
        u_strToUTF8(bytes, sizeof bytes, &n_bytes, normal, n_normal, &code);
        if (U_SUCCESS(code) &&
            ut_text_buffer_append(out, bytes, (size_t)n_bytes, err) != UTTER_OK) {
            return UTTER_ERROR_MEMORY;
        }
        begin = end;
    }
    return U_SUCCESS(code) ? UTTER_OK
                           : ut_fail(err, UTTER_ERROR_INTERNAL, "ICU could not normalise text: %s",
                                     u_errorName(code));
}

utter_status ut_nfd_append(struct ut_text_buffer *out, const char *text, size_t n,
                           utter_error *err) {
    UErrorCode code = U_ZERO_ERROR;
    const UNormalizer2 *form = unorm2_getNFDInstance(&code);
    return append_normal(form, code, out, text, n, err);
}

utter_status ut_nfc_append(struct ut_text_buffer *out, const char *text, size_t n,
                           utter_error *err) {
    UErrorCode code = U_ZERO_ERROR;
    const UNormalizer2 *form = unorm2_getNFCInstance(&code);
    return append_normal(form, code, out, text, n, err);
}

#else

/* Code points that NFD leaves alone, enough for the IPA of most languages. A combining mark is
 * listed apart: two in a row might have to change places. */
static bool is_decomposed(uint32_t c) {
    static const uint16_t ranges[][2] = {
        {0x00, 0xBF},     {0xC6, 0xC6},     {0xD0, 0xD0},     {0xD7, 0xD8},     {0xDE, 0xDF},
        {0xE6, 0xE6},     {0xF0, 0xF0},     {0xF7, 0xF8},     {0xFE, 0xFE},     {0x110, 0x111},
        {0x126, 0x127},   {0x131, 0x131},   {0x14A, 0x14B},   {0x152, 0x153},   {0x180, 0x19F},
        {0x1B2, 0x1C3},   {0x250, 0x2FF},   {0x3B1, 0x3C9},   {0x430, 0x438},   {0x43A, 0x44F},
        {0x1D00, 0x1DBF}, {0x2010, 0x2027}, {0x2190, 0x2199}, {0x2C60, 0x2C7F},
    };
    for (size_t i = 0; i < UT_COUNT(ranges); i++) {
        if (c >= ranges[i][0] && c <= ranges[i][1]) {
            return true;
        }
    }
    return false;
}

/* Marks that decompose (U+0340 and up) and those behind another mark are left to ICU. */
static bool is_lone_mark(uint32_t c, uint32_t previous) {
    bool is_mark = c >= 0x300 && c <= 0x33F, after_mark = previous >= 0x300 && previous <= 0x36F;
    return is_mark && !after_mark;
}

utter_status ut_nfd_append(struct ut_text_buffer *out, const char *text, size_t n,
                           utter_error *err) {
    static const char c_cedilla[] = "c\xCC\xA7"; /* the one IPA letter that decomposes */
    uint32_t previous = 0;
    for (size_t at = 0; at < n;) {
        size_t begin = at;
        uint32_t c = ut_utf8_next(text, n, &at);
        bool is_cedilla = c == 0xE7;
        if (!is_cedilla && !is_decomposed(c) && !is_lone_mark(c, previous)) {
            return ut_fail(
                err, UTTER_ERROR_UNSUPPORTED,
                "U+%04X needs Unicode normalization and utter was built without ICU: install "
                "libicu-dev, then configure with -Dicu=enabled and build again",
                c);
        }
        utter_status status = is_cedilla
                                  ? ut_text_buffer_append(out, c_cedilla, 3, err)
                                  : ut_text_buffer_append(out, text + begin, at - begin, err);
        if (status != UTTER_OK) {
            return status;
        }
        previous = is_cedilla ? 0x327 : c;
    }
    return UTTER_OK;
}

utter_status ut_nfc_append(struct ut_text_buffer *out, const char *text, size_t n,
                           utter_error *err) {
    return ut_text_buffer_append(out, text, n, err);
}

#endif
