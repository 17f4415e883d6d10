/* See long_words.h. The limits were found by giving espeak-ng 1.51 ever longer words: what it keeps
 * is 66 kana, 39 letters that are spelled, 80 digits. */
#include "text/long_words.h"

#include "text/marks.h"
#include "text/utf8_walk.h"

enum {
    MAX_RUN = 60,  /* no true word is so long */
    RUN_PART = 38, /* so many digits are still read one by one */
    MAX_KANA_RUN = 40,
    KANA_RUN_PART = 20,
    SYMBOL_RUN_PART = 4,
    MAX_WEIGHT = 700, /* so many phonemes are expected at most when a clause ends behind a word */
    PLAIN_OVERWEIGHT = 200 /* a clause of letters has a few digits and signs */
};

bool ut_is_kana(uint32_t c) {
    return (c >= 0x3041 && c <= 0x309C) || (c >= 0x30A1 && c <= 0x30FC && c != 0x30FB) ||
           (c >= 0xFF66 && c <= 0xFF9F);
}

/* Each of them is a word to espeak-ng, so that a run of them has no length. */
static bool is_ideograph(uint32_t c) {
    return (c >= 0x3400 && c <= 0x9FFF) || (c >= 0xF900 && c <= 0xFAFF) ||
           (c >= 0x20000 && c <= 0x3FFFF);
}

/* How many phonemes a character may give: digits, symbols and letters by themselves have names. */
static size_t find_weight(uint32_t c, bool is_spelled) {
    if (c >= '0' && c <= '9') {
        return 8;
    }
    if (c == ' ' || ut_is_alphanumeric(c)) {
        return c >= 0x2E80 && !ut_is_kana(c) ? 16 : is_spelled || (c >= 'A' && c <= 'Z') ? 5 : 1;
    }
    return c < 0x80 ? 8 : 24; /* "grinning face with smiling eyes" */
}

/* The letters that a part of the run of letters at `at` may have; 0 where it need not be parted.
 * Looks ahead by no more characters than the longest run that may stay whole. */
static size_t find_run_part(const char *text, size_t at, size_t end) {
    size_t next = at;
    uint32_t first = ut_utf8_next(text, end, &next);
    bool kana = ut_is_kana(first);
    size_t max = kana ? MAX_KANA_RUN : MAX_RUN;
    for (size_t n = 0; n <= max; n++) {
        if (at == end || !ut_is_alphanumeric(ut_utf8_next(text, end, &at))) {
            return 0;
        }
    }
    return kana ? KANA_RUN_PART : RUN_PART;
}

/* Emoji and other symbols with long names; what modifies or joins them is none. */
static bool is_symbol(uint32_t c, bool blank) {
    return c >= 0x2190 && !ut_is_alphanumeric(c) && !blank && (c & ~0xFU) != 0xFE00 &&
           (c < 0x1F3FB || c > 0x1F3FF);
}

/* A clause is full when its phonemes may be too many, and not only because it is long. */
static bool is_full(const struct ut_long_words *words) {
    return words->weight > MAX_WEIGHT &&
           (!words->patient || words->weight > words->n_bytes + PLAIN_OVERWEIGHT);
}

/* Counts first, then decides: the character that makes a part too long is the first of the next
 * one. */
enum ut_parting ut_long_words_next(struct ut_long_words *words, const char *text, size_t at,
                                   size_t end, bool blank) {
    size_t next = at;
    uint32_t c = ut_utf8_next(text, end, &next);
    bool ideograph = words->patient && is_ideograph(c), is_word_end = blank || ideograph;
    bool in_run = ut_is_alphanumeric(c) && !ideograph;
    if (in_run && words->n_run == 0) {
        words->run_part = find_run_part(text, at, end);
    }
    words->n_run = in_run ? words->n_run + 1 : 0;
    if (words->run_part > 0 && words->n_run > words->run_part) {
        words->n_run = 1;
        is_word_end = true;
    }
    words->n_symbols = in_run || is_word_end ? 0 : words->n_symbols + is_symbol(c, blank);
    if (words->n_symbols > SYMBOL_RUN_PART) {
        words->n_symbols = 1;
        is_word_end = true;
    }
    words->weight += find_weight(c, in_run && words->run_part > 0);
    words->n_bytes += next - at;
    if (is_word_end && is_full(words)) {
        words->weight = words->n_bytes = 0;
        return UT_PART_CLAUSE;
    }
    return is_word_end && !blank && !ideograph ? UT_PART_WORD : UT_PART_NOWHERE;
}
