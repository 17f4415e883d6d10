/* See misaki_map.h. The tables are those of misaki 0.9.4 (EspeakFallback, EspeakG2P, ZHG2P); the
 * order of their rows matters. Plain replacements over the whole string, row by row: linear,
 * because there is a fixed number of rows. */
#include "text/misaki_map.h"

#include "base/checked.h"
#include "text/utf8_walk.h"

/* `to` may be longer or shorter than `from`: the result goes to the other buffer. */
struct row {
    const char *from, *to;
};

/* In these tables '^' is the tie that espeak-ng was told to put inside a phoneme of several
 * letters. */
static const struct row tie[] = {{"\u0361", "^"}};

static const struct row english[] = {
    {"ʔˌn\u0329", "ʔn"}, {"ʔn\u0329", "ʔn"}, {"a^ɪ", "I"}, {"a^ʊ", "W"},  {"d^ʒ", "ʤ"},
    {"e^ɪ", "A"},        {"t^ʃ", "ʧ"},       {"ɔ^ɪ", "Y"}, {"ə^l", "ᵊl"}, {"ʲo", "jo"},
    {"ʲə", "jə"},        {"e", "A"},         {"ʲ", ""},    {"ɚ", "əɹ"},   {"r", "ɹ"},
    {"x", "k"},          {"ç", "k"},         {"ɐ", "ə"},   {"ɬ", "l"},    {"\u0303", ""},
};
static const struct row american[] = {
    {"o^ʊ", "O"}, {"ɜːɹ", "ɜɹ"}, {"ɜː", "ɜɹ"}, {"ɪə", "iə"}, {"ː", ""},
};
/* `e^ə` has become `A^ə` by now and never matches: "hair" is hˈAə. misaki has it so. */
static const struct row british[] = {{"e^ə", "ɛː"}, {"iə", "ɪə"}, {"ə^ʊ", "Q"}};
static const struct row english_end[] = {{"o", "ɔ"}, {"ɾ", "T"}, {"ʔ", "t"}, {"^", ""}};

static const struct row others[] = {
    {"a^ɪ", "I"}, {"a^ʊ", "W"}, {"d^z", "ʣ"}, {"d^ʒ", "ʤ"}, {"e^ɪ", "A"},
    {"o^ʊ", "O"}, {"s^s", "S"}, {"t^s", "ʦ"}, {"t^ʃ", "ʧ"}, {"ɔ^ɪ", "Y"},
    {"ə^ʊ", "Q"}, {"^", ""},    {"-", ""},
};

/* espeak-ng's vowels of Japanese carry marks that the voices were not trained with. */
static const struct row japanese[] = {
    {"\u00E4", "a"}, {"\u031E", ""}, {"\u0308", ""}, {"ᵝ", ""},   {"t^ɕ", "ʨ"}, {"tɕ", "ʨ"},
    {"d^ʑ", "ʥ"},    {"dʑ", "ʥ"},    {"t^s", "ʦ"},   {"ts", "ʦ"}, {"^", ""},
};

/* Tones from the longest contour to the shortest; the syllabic consonants of "si" and "shi". */
static const struct row mandarin[] = {
    {"˧˩˧", "↓"},     {"˧˥", "↗"},      {"˥˩", "↘"},    {"˥", "→"},
    {"ɻ\u0329", "ɨ"}, {"ɹ\u0329", "ɨ"}, {"\u032F", ""}, {"^", ""},
};

/* Kokoro's vocabulary has the nasal vowels as two symbols, but ç as one. */
static const struct row written[] = {
    {"\u00E3", "a\u0303"},
    {"\u1EBD", "e\u0303"},
    {"\u0129", "i\u0303"},
    {"\u00F5", "o\u0303"},
    {"\u0169", "u\u0303"},
    {"c\u0327", "ç"},
    {"g", "ɡ"},
};

/* The finished buffer becomes `now`; the old one is kept for its memory. */
static void take_turns(struct ut_misaki_symbols *symbols) {
    struct ut_text_buffer done = symbols->spare;
    symbols->spare = symbols->now;
    symbols->now = done;
    symbols->spare.n = 0;
}

/* All occurrences, from left to right, without looking at what was put in. Nothing is copied when
 * there is none. */
static utter_status replace(struct ut_misaki_symbols *symbols, const struct row *row,
                            utter_error *err) {
    const struct ut_text_buffer *from = &symbols->now;
    size_t n_from = strlen(row->from), n_to = strlen(row->to), at = 0;
    const char *found = from->n ? memmem(from->data, from->n, row->from, n_from) : NULL;
    if (!found) {
        return UTTER_OK;
    }
    symbols->spare.n = 0;
    utter_status status = UTTER_OK;
    for (; found && status == UTTER_OK;
         found = memmem(from->data + at, from->n - at, row->from, n_from)) {
        size_t n_before = (size_t)(found - from->data) - at;
        status = ut_text_buffer_append(&symbols->spare, from->data + at, n_before, err);
        if (status == UTTER_OK) {
            status = ut_text_buffer_append(&symbols->spare, row->to, n_to, err);
        }
        at += n_before + n_from;
    }
    if (status == UTTER_OK) {
        status = ut_text_buffer_append(&symbols->spare, from->data + at, from->n - at, err);
    }
    if (status == UTTER_OK) {
        take_turns(symbols);
    }
    return status;
}

static utter_status replace_all(struct ut_misaki_symbols *symbols, const struct row *rows,
                                size_t n_rows, utter_error *err) {
    utter_status status = UTTER_OK;
    for (size_t i = 0; i < n_rows && status == UTTER_OK; i++) {
        status = replace(symbols, &rows[i], err);
    }
    return status;
}

#define REPLACE_ALL(symbols, rows, err) replace_all(symbols, rows, UT_COUNT(rows), err)

/* A syllabic consonant gets a schwa of its own in front: n\u0329 -> ᵊn. */
static utter_status open_syllables(struct ut_misaki_symbols *symbols, utter_error *err) {
    const struct ut_text_buffer *from = &symbols->now;
    symbols->spare.n = 0;
    utter_status status = UTTER_OK;
    for (size_t at = 0; at < from->n && status == UTTER_OK;) {
        size_t begin = at, next;
        uint32_t c = ut_utf8_next(from->data, from->n, &at);
        next = at;
        bool is_syllabic =
            at < from->n && ut_utf8_next(from->data, from->n, &next) == 0x329 && c != ' ';
        if (is_syllabic && c != 0x329) {
            status = ut_text_buffer_append(&symbols->spare, "ᵊ", strlen("ᵊ"), err);
        }
        if (status == UTTER_OK && c != 0x329) {
            status = ut_text_buffer_append(&symbols->spare, from->data + begin, at - begin, err);
        }
    }
    if (status == UTTER_OK) {
        take_turns(symbols);
    }
    return status;
}

/* In misaki's order: the region's rows stand between those that both share. */
static utter_status map_english(bool is_american, struct ut_misaki_symbols *symbols,
                                utter_error *err) {
    utter_status status = REPLACE_ALL(symbols, english, err);
    if (status == UTTER_OK) {
        status = open_syllables(symbols, err);
    }
    if (status == UTTER_OK) {
        status =
            is_american ? REPLACE_ALL(symbols, american, err) : REPLACE_ALL(symbols, british, err);
    }
    return status == UTTER_OK ? REPLACE_ALL(symbols, english_end, err) : status;
}

/* e, f, h, i and p share one table. */
utter_status ut_misaki_map(char language, struct ut_misaki_symbols *symbols, utter_error *err) {
    utter_status status = REPLACE_ALL(symbols, tie, err);
    if (status != UTTER_OK) {
        return status;
    }
    switch (language) {
    case 'a':
    case 'b':
        return map_english(language == 'a', symbols, err);
    case 'j':
        status = REPLACE_ALL(symbols, japanese, err);
        return status == UTTER_OK ? REPLACE_ALL(symbols, written, err) : status;
    case 'z':
        return REPLACE_ALL(symbols, mandarin, err);
    default:
        return REPLACE_ALL(symbols, others, err);
    }
}

utter_status ut_misaki_map_written(struct ut_misaki_symbols *symbols, utter_error *err) {
    return REPLACE_ALL(symbols, written, err);
}

/* ---- Stress -------------------------------------------------------------------------------- */

enum { PRIMARY = 0x2C8, SECONDARY = 0x2CC };

/* The vowels of English in Kokoro's alphabet. */
static bool is_vowel(uint32_t c) {
    static const uint16_t vowels[] = {'A',   'I',   'O',   'Q',   'W',   'Y',   'a',
                                      'i',   'u',   0xE6,  0x251, 0x252, 0x254, 0x259,
                                      0x25B, 0x25C, 0x26A, 0x28A, 0x28C, 0x1D7B};
    for (size_t i = 0; i < UT_COUNT(vowels); i++) {
        if (vowels[i] == c) {
            return true;
        }
    }
    return false;
}

/* What a level does to one word. */
struct change {
    const char *primary, *secondary; /* in place of the two marks */
    const char *added;               /* before the first vowel, "" for nothing */
};

/* The same rules as ut_phones_stress (lexicon_entries.c), in misaki's own levels. */
static struct change find_change(double level, bool has_primary, bool has_secondary) {
    struct change same = {"ˈ", "ˌ", ""};
    bool has_none = !has_primary && !has_secondary;
    if (level < -1) {
        return (struct change){"", "", ""};
    }
    if (level == -1 || ((level == 0 || level == -0.5) && has_primary)) {
        return (struct change){"ˌ", "", ""};
    }
    if (has_none && level >= 0) {
        same.added = level > 1 ? "ˈ" : "ˌ";
    } else if (level >= 1 && !has_primary) {
        same.secondary = "ˈ";
    }
    return same;
}

/* The added mark goes before the first vowel and is used up there; a word without a vowel stays. */
static utter_status append_word(struct ut_text_buffer *out, const char *word, size_t n,
                                double level, utter_error *err) {
    bool has_primary = memmem(word, n, "ˈ", strlen("ˈ")),
         has_secondary = memmem(word, n, "ˌ", strlen("ˌ"));
    struct change change = find_change(level, has_primary, has_secondary);
    utter_status status = UTTER_OK;
    for (size_t at = 0; at < n && status == UTTER_OK;) {
        size_t begin = at;
        uint32_t c = ut_utf8_next(word, n, &at);
        if (is_vowel(c)) {
            status = ut_text_buffer_append(out, change.added, strlen(change.added), err);
            change.added = "";
        }
        const char *symbol = c == PRIMARY     ? change.primary
                             : c == SECONDARY ? change.secondary
                                              : NULL;
        if (status == UTTER_OK) {
            status = symbol ? ut_text_buffer_append(out, symbol, strlen(symbol), err)
                            : ut_text_buffer_append(out, word + begin, at - begin, err);
        }
    }
    return status;
}

/* Words are parted by single spaces, which are kept. */
utter_status ut_misaki_map_stress(double level, struct ut_misaki_symbols *symbols,
                                  utter_error *err) {
    const struct ut_text_buffer *from = &symbols->now;
    symbols->spare.n = 0;
    utter_status status = UTTER_OK;
    for (size_t at = 0, end; at < from->n && status == UTTER_OK; at = end) {
        const char *space = memchr(from->data + at, ' ', from->n - at);
        end = space ? (size_t)(space - from->data) : from->n;
        status = append_word(&symbols->spare, from->data + at, end - at, level, err);
        if (status == UTTER_OK && space) {
            status = ut_text_buffer_append(&symbols->spare, " ", 1, err);
            end++;
        }
    }
    if (status == UTTER_OK) {
        take_turns(symbols);
    }
    return status;
}
