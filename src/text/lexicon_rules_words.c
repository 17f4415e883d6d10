/* Says words with the data of lexicon_rules.c: what comes from the dictionary, what from the rules,
 * and what the files leave to the program: letters, numbers, titles, contractions.
 *
 * The phonemes are plain IPA with stress as espeak-ng writes it ("aɪ", "tʃ", "ɚ"); Kokoro was
 * trained on misaki's alphabet, so each word is mapped by the table that misaki uses for espeak-ng.
 */
#include "base/checked.h"
#include "text/lexicon_parts.h"
#include "text/number_words.h"
#include "text/utf8_walk.h"

/* ---- From espeak-ng's IPA to Kokoro's alphabet ----------------------------------------------- */

/* misaki's replacements for American English (EspeakFallback) without the ties that it asks
 * espeak-ng for; the longest match counts. "əl" is a syllabic l only where no vowel or stress
 * follows: hello is həlˈO, little lˈɪTᵊl. */
static const char *const mapping[][2] = {
    {"ʔˌn\u0329", "tn"}, {"ʔn\u0329", "tn"}, {"ɜːɹ", "ɜɹ"},  {"aɪ", "I"},    {"aʊ", "W"},
    {"dʒ", "ʤ"},         {"eɪ", "A"},        {"tʃ", "ʧ"},    {"ɔɪ", "Y"},    {"oʊ", "O"},
    {"ɜː", "ɜɹ"},        {"ɪə", "iə"},       {"ʲo", "jɔ"},   {"ʲə", "jə"},   {"e", "A"},
    {"ʲ", ""},           {"ɚ", "əɹ"},        {"r", "ɹ"},     {"x", "k"},     {"ç", "k"},
    {"ɐ", "ə"},          {"ɬ", "l"},         {"\u0303", ""}, {"ː", ""},      {"o", "ɔ"},
    {"ɾ", "T"},          {"ʔ", "t"},         {"g", "ɡ"},     {"\u0361", ""}, {"^", ""},
    {"\u200D", ""},
};

static bool starts_with(const char *text, size_t n, const char *prefix) {
    size_t n_prefix = strlen(prefix);
    return n_prefix <= n && memcmp(text, prefix, n_prefix) == 0;
}

/* At the end of a word too: no follower means yes. */
static bool is_syllabic_l(const char *ipa, size_t n) {
    static const char *const followers[] = {"ˈ", "ˌ", "a", "e", "i", "o", "u", "æ", "ɐ", "ɑ", "ɒ",
                                            "ɔ", "ə", "ɚ", "ɛ", "ɜ", "ɪ", "ʊ", "ʌ", "ᵻ", "j"};
    if (!starts_with(ipa, n, "əl")) {
        return false;
    }
    for (size_t i = 0; i < UT_COUNT(followers); i++) {
        if (starts_with(ipa + strlen("əl"), n - strlen("əl"), followers[i])) {
            return false;
        }
    }
    return true;
}

/* U+0329 makes the consonant before it, already in `out`, syllabic: ᵊ goes in front of it. */
static utter_status make_syllabic(struct ut_text_buffer *out, size_t begin, utter_error *err) {
    if (out->n == begin) {
        return UTTER_OK;
    }
    size_t last = ut_utf8_before(out->data, out->n), n = out->n - last;
    char consonant[8];
    if (n > sizeof consonant || out->data[last] == ' ') {
        return UTTER_OK;
    }
    memcpy(consonant, out->data + last, n);
    out->n = last;
    utter_status status = ut_text_buffer_append(out, "ᵊ", strlen("ᵊ"), err);
    return status == UTTER_OK ? ut_text_buffer_append(out, consonant, n, err) : status;
}

/* One left-to-right pass, so what one row writes is never read by another: misaki's own order of
 * replacements does not matter here. */
static utter_status append_mapped(struct ut_text_buffer *out, const char *ipa, size_t n,
                                  utter_error *err) {
    utter_status status = UTTER_OK;
    size_t begin = out->n;
    for (size_t at = 0; at < n && status == UTTER_OK;) {
        const char *to = NULL;
        size_t n_from = 0;
        for (size_t i = 0; i < UT_COUNT(mapping) && !to; i++) {
            if (starts_with(ipa + at, n - at, mapping[i][0])) {
                n_from = strlen(mapping[i][0]);
                to = mapping[i][1];
            }
        }
        if (starts_with(ipa + at, n - at, "\u0329")) {
            status = make_syllabic(out, begin, err);
            at += strlen("\u0329");
        } else if (is_syllabic_l(ipa + at, n - at)) {
            status = ut_text_buffer_append(out, "ᵊl", strlen("ᵊl"), err);
            at += strlen("əl");
        } else if (to) {
            status = ut_text_buffer_append(out, to, strlen(to), err);
            at += n_from;
        } else {
            status = ut_text_buffer_append(out, ipa + at, 1, err);
            at++;
        }
    }
    return status;
}

/* ---- Words ----------------------------------------------------------------------------------- */

/* What a word is made of, and where in the text it is. */
struct word {
    struct ut_reading *reading;
    size_t index;          /* token */
    size_t end;            /* out: bytes of the text that were said */
    struct ut_slice whole; /* as written, ' for ’ */
    struct ut_slice lower;
};

/* Two letters at least: "A" and "I" are words. */
static bool is_all_capitals(const char *word, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (!ut_ascii_is_upper(word[i])) {
            return false;
        }
    }
    return n >= 2;
}

static bool has_vowel(const char *word, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (word[i] == '\0' || !ut_ascii_is_letter(word[i]) ||
            strchr("aeiouy", ut_ascii_lower(word[i]))) {
            return true; /* letters beyond ASCII too */
        }
    }
    return false;
}

/* Capitals that are letters: no vowel in them, or three at most that are no common word, unless the
 * text around is all capitals. */
static bool is_acronym(const struct ut_reading *reading, size_t index, const char *word, size_t n) {
    if (!is_all_capitals(word, n)) {
        return false;
    }
    bool is_shouting = ut_reading_is_shouting(reading, index);
    return !has_vowel(word, n) || (n <= 3 && !is_shouting && !ut_lexicon_is_short_word(word, n));
}

/* II to XXXIX, written properly; 0 for anything else. Larger ones look like words and acronyms. */
static int roman_value(const char *word, size_t n) {
    static const char *const units[] = {"", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX"};
    size_t tens = 0;
    while (tens < n && tens < 3 && word[tens] == 'X') {
        tens++;
    }
    for (int unit = 0; unit < 10 && n >= 2; unit++) {
        if (n - tens == strlen(units[unit]) && memcmp(word + tens, units[unit], n - tens) == 0) {
            return 10 * (int)tens + unit;
        }
    }
    return 0;
}

static utter_status append_space(struct ut_text_buffer *out, utter_error *err) {
    return out->n > 0 ? ut_text_buffer_append(out, " ", 1, err) : UTTER_OK;
}

/* Says words that come from utter itself, each from its own table, else from the dictionary and the
 * rules. */
static utter_status say_plain_words(struct ut_reading *reading, const char *words, size_t n,
                                    utter_error *err) {
    const struct ut_lexicon_rule_set *rules = reading->lexicon->rules;
    utter_status status = UTTER_OK;
    size_t begin = reading->phonemes.n;
    for (size_t at = 0, length; at < n && status == UTTER_OK; at += length + 1) {
        const char *space = memchr(words + at, ' ', n - at);
        length = space ? (size_t)(space - words) - at : n - at;
        bool found = true;
        if (reading->phonemes.n > begin) {
            status = append_space(&reading->phonemes, err);
        }
        if (status == UTTER_OK) {
            status = ut_lexicon_own_word(words + at, length, &reading->phonemes, &found, err);
        }
        struct ut_text_buffer ipa = {.mem = reading->mem};
        if (status == UTTER_OK && !found) {
            status = ut_rule_set_apply(rules, words + at, length, &ipa, err);
        }
        if (status == UTTER_OK && !found) {
            status = append_mapped(&reading->phonemes, ipa.data, ipa.n, err);
        }
        ut_text_buffer_free(&ipa);
    }
    return status;
}

/* The entry may say more than the token ("New York"): w->end moves behind what it says. */
static utter_status try_dictionary(struct word *w, struct ut_slice key, bool *said,
                                   utter_error *err) {
    struct ut_reading *reading = w->reading;
    struct ut_slice phonemes;
    size_t end;
    *said = ut_rule_set_find(reading, w->index, key, &phonemes, &end);
    if (!*said) {
        return UTTER_OK;
    }
    w->end = UT_MAX(w->end, end);
    return append_mapped(&reading->phonemes, phonemes.text, phonemes.n, err);
}

/* Letter names, roman numerals, titles: what the rules would make a mess of. */
static utter_status try_letters(struct word *w, struct ut_slice whole, bool *said,
                                utter_error *err) {
    struct ut_reading *reading = w->reading;
    struct ut_slice lower = {w->lower.text + (whole.text - w->whole.text), whole.n};
    bool is_dotted = memchr(whole.text, '.', whole.n) != NULL;
    char digits[4];
    *said = true;
    if (is_dotted && ut_lexicon_is_title(whole.text, whole.n - 1)) {
        return say_plain_words(reading, lower.text, lower.n - 1, err);
    }
    int roman = roman_value(whole.text, whole.n);
    if (roman > 0) {
        digits[0] = (char)('0' + roman / 10);
        digits[1] = (char)('0' + roman % 10);
        reading->words.n = 0;
        utter_status status = ut_number_words(digits + (roman < 10), roman < 10 ? 1 : 2,
                                              UT_NUMBER_CARDINAL, &reading->words, err);
        return status == UTTER_OK
                   ? say_plain_words(reading, reading->words.data, reading->words.n, err)
                   : status;
    }
    if (!is_dotted && ut_lexicon_is_title(whole.text, whole.n) && !has_vowel(whole.text, whole.n)) {
        return say_plain_words(reading, lower.text, lower.n, err);
    }
    /* PCs, TVs: the capitals, then z. */
    if (whole.n >= 3 && whole.text[whole.n - 1] == 's' &&
        is_all_capitals(whole.text, whole.n - 1)) {
        utter_status status =
            ut_lexicon_spell(whole.text, whole.n - 1, &reading->phonemes, said, err);
        return status == UTTER_OK ? ut_text_buffer_append(&reading->phonemes, "z", 1, err) : status;
    }
    if (is_dotted || is_acronym(reading, w->index, whole.text, whole.n) ||
        (!has_vowel(whole.text, whole.n) && whole.n <= 4)) {
        return ut_lexicon_spell(whole.text, whole.n, &reading->phonemes, said, err);
    }
    *said = false;
    return UTTER_OK;
}

/* The rules know ASCII only, and so does most of the dictionary: accents go first. */
static utter_status try_rules(struct word *w, struct ut_slice lower, bool *said, utter_error *err) {
    struct ut_reading *reading = w->reading;
    struct ut_text_buffer plain = {.mem = reading->mem}, ipa = {.mem = reading->mem};
    *said = false;
    utter_status status = ut_lexicon_unaccent(lower.text, lower.n, &plain, err);
    if (status == UTTER_OK && plain.n > 0) {
        status = try_dictionary(w, (struct ut_slice){plain.data, plain.n}, said, err);
    }
    if (status == UTTER_OK && !*said) {
        status = ut_rule_set_apply(reading->lexicon->rules, plain.data, plain.n, &ipa, err);
    }
    if (status == UTTER_OK && ipa.n > 0) {
        *said = true;
        status = append_mapped(&reading->phonemes, ipa.data, ipa.n, err);
    }
    ut_text_buffer_free(&plain);
    ut_text_buffer_free(&ipa);
    return status;
}

/* A word without apostrophes, w->whole or its beginning. */
static utter_status say_stem(struct word *w, size_t n, utter_error *err) {
    struct ut_slice whole = {w->whole.text, n}, lower = {w->lower.text, n};
    bool said;
    utter_status status = try_dictionary(w, whole, &said, err);
    if (status == UTTER_OK && !said) {
        status = try_dictionary(w, lower, &said, err);
    }
    if (status == UTTER_OK && !said && n == 1 && ut_ascii_is_letter(lower.text[0])) {
        said = true;
        status = whole.text[0] == 'a' ? ut_text_buffer_append(&w->reading->phonemes, "ə", 2, err)
                                      : say_plain_words(w->reading, lower.text, 1, err);
    }
    if (status == UTTER_OK && !said) {
        status = try_letters(w, whole, &said, err);
    }
    if (status == UTTER_OK && !said) {
        status = try_rules(w, lower, &said, err);
    }
    return status == UTTER_OK && !said
               ? ut_reading_say_unknown(w->reading, whole.text, whole.n, err)
               : status;
}

/* ---- Contractions ---------------------------------------------------------------------------- */

static bool ends_with_any(const struct ut_text_buffer *out, const char *const *endings, size_t n) {
    for (size_t i = 0; i < n; i++) {
        size_t length = strlen(endings[i]);
        if (length <= out->n && memcmp(out->data + out->n - length, endings[i], length) == 0) {
            return true;
        }
    }
    return false;
}

/* 's after what was said: hissing sounds take ᵻz, voiceless ones s, others z. */
static const char *possessive(const struct ut_text_buffer *out) {
    static const char *const hissing[] = {"s", "z", "ʃ", "ʒ", "ʧ", "ʤ"};
    static const char *const voiceless[] = {"p", "t", "k", "f", "θ"};
    return ends_with_any(out, hissing, UT_COUNT(hissing))       ? "ᵻz"
           : ends_with_any(out, voiceless, UT_COUNT(voiceless)) ? "s"
                                                                : "z";
}

static bool slice_is(struct ut_slice slice, const char *text) {
    return slice.n == strlen(text) && memcmp(slice.text, text, slice.n) == 0;
}

/* The stem's bytes of a word with n't, and the whole word's phonemes where the stem changes. */
static const char *irregular_negative(struct ut_slice lower) {
    static const char *const words[][2] = {{"can't", "kˈænt"},
                                           {"won't", "wˈOnt"},
                                           {"don't", "dˈOnt"},
                                           {"shan't", "ʃˈænt"},
                                           {"ain't", "ˈAnt"}};
    for (size_t i = 0; i < UT_COUNT(words); i++) {
        if (slice_is(lower, words[i][0])) {
            return words[i][1];
        }
    }
    return NULL;
}

static const char *contraction(struct ut_slice ending, const struct ut_text_buffer *stem) {
    static const char *const vowels[] = {"A", "I", "O", "W", "Y", "i", "u", "ə", "ɹ", "ɔ", "ɑ"};
    static const char *const dentals[] = {"t", "d"};
    bool after_vowel = ends_with_any(stem, vowels, UT_COUNT(vowels));
    if (slice_is(ending, "s")) {
        return possessive(stem);
    }
    if (slice_is(ending, "d")) {
        return ends_with_any(stem, dentals, UT_COUNT(dentals)) ? "ᵻd" : "d";
    }
    if (slice_is(ending, "nt")) {
        return after_vowel ? "nt" : "ᵊnt";
    }
    return slice_is(ending, "ll")   ? (after_vowel ? "l" : "ᵊl")
           : slice_is(ending, "re") ? (after_vowel ? "ɹ" : "əɹ")
           : slice_is(ending, "ve") ? (after_vowel ? "v" : "əv")
           : slice_is(ending, "m")  ? "m"
           : slice_is(ending, "t")  ? "t"
                                    : NULL;
}

/* A word with apostrophes that is not in the dictionary: a stem and what was contracted, else its
 * parts one behind the other. */
static utter_status say_contraction(struct word *w, utter_error *err) {
    struct ut_text_buffer *out = &w->reading->phonemes;
    const char *whole = irregular_negative(w->lower);
    if (whole) {
        return ut_text_buffer_append(out, whole, strlen(whole), err);
    }
    const char *apostrophe = memrchr(w->lower.text, '\'', w->lower.n);
    size_t stem = (size_t)(apostrophe - w->lower.text);
    struct ut_slice ending = {apostrophe + 1, w->lower.n - stem - 1};
    bool is_negative = slice_is(ending, "t") && stem > 1 && apostrophe[-1] == 'n';
    if (is_negative) {
        stem--;
        ending = (struct ut_slice){"nt", 2};
    }
    size_t n_said = 0;
    utter_status status = UTTER_OK;
    struct word part = *w;
    while (n_said < stem && status == UTTER_OK) {
        const char *next = memchr(w->lower.text + n_said, '\'', stem - n_said);
        size_t end = next ? (size_t)(next - w->lower.text) : stem;
        part.whole.text = w->whole.text + n_said;
        part.lower.text = w->lower.text + n_said;
        part.whole.n = part.lower.n = end - n_said;
        status = end > n_said ? say_stem(&part, end - n_said, err) : UTTER_OK;
        n_said = end + 1;
    }
    const char *phonemes = contraction(ending, out);
    if (status != UTTER_OK || ending.n == 0) {
        return status;
    }
    if (phonemes) {
        return ut_text_buffer_append(out, phonemes, strlen(phonemes), err);
    }
    part.whole = (struct ut_slice){w->whole.text + stem + 1, ending.n};
    part.lower = (struct ut_slice){w->lower.text + stem + 1, ending.n};
    return say_stem(&part, ending.n, err);
}

/* A word with an apostrophe is looked up whole before it is taken apart. */
static utter_status say_word(struct ut_reading *reading, size_t index, size_t *end,
                             utter_error *err) {
    const struct ut_token *token = &reading->tokens[index];
    utter_status status = ut_reading_take_word(reading, token->begin, token->end, err);
    struct ut_text_buffer lower = {.mem = reading->mem};
    if (status == UTTER_OK) {
        status = ut_text_buffer_append(&lower, reading->word.data, reading->word.n, err);
    }
    if (status == UTTER_OK) {
        ut_lexicon_lower(lower.data, lower.n);
        struct word w = {.reading = reading,
                         .index = index,
                         .end = token->end,
                         .whole = {reading->word.data, reading->word.n},
                         .lower = {lower.data, lower.n}};
        bool said = false;
        bool has_apostrophe = memchr(lower.data, '\'', lower.n) != NULL;
        if (has_apostrophe) {
            status = try_dictionary(&w, w.lower, &said, err);
        }
        if (status == UTTER_OK && !said) {
            status = has_apostrophe ? say_contraction(&w, err) : say_stem(&w, lower.n, err);
        }
        *end = w.end;
    }
    ut_text_buffer_free(&lower);
    return status;
}

/* ---- The text -------------------------------------------------------------------------------- */

static utter_status say_number(struct ut_reading *reading, size_t index, utter_error *err) {
    const struct ut_token *token = &reading->tokens[index];
    bool in_name = ut_reading_number_in_name(reading, index);
    reading->words.n = 0;
    utter_status status = ut_number_read(reading->text + token->begin, token->end - token->begin,
                                         in_name, &reading->words, err);
    return status == UTTER_OK ? say_plain_words(reading, reading->words.data, reading->words.n, err)
                              : status;
}

static utter_status say_token(struct ut_reading *reading, size_t index, size_t *end,
                              utter_error *err) {
    const struct ut_token *token = &reading->tokens[index];
    const char *words;
    switch (token->kind) {
    case UT_TOKEN_WORD:
        return say_word(reading, index, end, err);
    case UT_TOKEN_NUMBER:
        return say_number(reading, index, err);
    case UT_TOKEN_SYMBOL:
        words = ut_symbol_words(token->what);
        return say_plain_words(reading, words, strlen(words), err);
    case UT_TOKEN_OTHER:
        return ut_reading_say_unknown(reading, reading->text + token->begin,
                                      token->end - token->begin, err);
    default:
        return UTTER_OK;
    }
}

/* Forwards, token by token; an entry that says several tokens makes the others silent. */
utter_status ut_rule_set_read(struct ut_reading *reading, utter_error *err) {
    utter_status status = UTTER_OK;
    for (size_t i = 0; i < reading->n_tokens && status == UTTER_OK;) {
        struct ut_token *token = &reading->tokens[i];
        size_t begin = reading->phonemes.n, end = token->end;
        status = say_token(reading, i, &end, err);
        token->phonemes = (uint32_t)begin;
        token->n_phonemes = (uint32_t)(reading->phonemes.n - begin);
        /* Hyphenated words are one: "twenty-one" twˈɛntiwˈʌn. */
        token->joined =
            token->kind == UT_TOKEN_WORD && i > 0 && reading->tokens[i - 1].kind == UT_TOKEN_JOIN;
        for (i++; i < reading->n_tokens && reading->tokens[i].begin < end; i++) {
            reading->tokens[i].kind = UT_TOKEN_JOIN; /* said with the word before */
        }
    }
    return status;
}
