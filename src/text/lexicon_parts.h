/* What the two lexicons (lexicon_rules.c, lexicon_misaki.c) share: tokens of the text, a reading in
 * progress, utter's own words. */
#ifndef UT_TEXT_LEXICON_PARTS_H
#define UT_TEXT_LEXICON_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#include "text/lexicon.h"

enum {
    /* Longer dictionary values are refused: they bound what a text can become. */
    UT_LEXICON_MAX_VALUE_BYTES = 256,
    /* Longer words are in no lexicon and are not looked up whole. */
    UT_LEXICON_MAX_WORD_BYTES = 100
};

enum ut_token_kind {
    UT_TOKEN_WORD,   /* letters, inner apostrophes, dots of U.S. and Dr. */
    UT_TOKEN_NUMBER, /* what ut_number_scan finds */
    UT_TOKEN_SYMBOL, /* says ut_symbol_words(what) */
    UT_TOKEN_OTHER,  /* a run of symbols without a name here */
    UT_TOKEN_JOIN,   /* hyphen between two words; silent */
    UT_TOKEN_MARK    /* what: index for ut_mark_text */
};

struct ut_token {
    uint32_t begin, end;           /* bytes of the text */
    uint32_t phonemes, n_phonemes; /* bytes of ut_reading.phonemes; none: silent */
    uint8_t kind, what;
    bool glued;  /* no white space before it */
    bool joined; /* set by the lexicon: spoken without a space before it */
};

/* One call of ut_lexicon_phonemize. */
struct ut_reading {
    const struct ut_lexicon *lexicon;
    struct ut_mem *mem;
    const char *text;
    size_t n_bytes;
    struct ut_token *tokens;
    size_t n_tokens, capacity;
    struct ut_text_buffer phonemes; /* of all tokens, in the order they were said */
    struct ut_text_buffer word;     /* scratch: the word in hand, ' for ’ */
    struct ut_text_buffer words;    /* scratch: the words of a number */
    ut_lexicon_fallback fallback;
    void *user;
    size_t n_unknown;
};

struct ut_slice {
    const char *text;
    size_t n;
};

struct ut_lexicon { /* one of the two */
    struct ut_mem *mem;
    struct ut_lexicon_rule_set *rules;
    struct ut_lexicon_entries *entries;
};

/* ---- lexicon_tokens.c ---- */
UTTER_CHECKED utter_status ut_lexicon_scan(struct ut_reading *reading, utter_error *err);
const char *ut_mark_text(uint8_t mark);
bool ut_mark_opens(uint8_t mark); /* “ (: belongs to what follows */
bool ut_mark_is_dash(uint8_t mark);
bool ut_mark_ends_sentence(uint8_t mark); /* . ! ? … */
const char *ut_symbol_words(uint8_t symbol);

/* ---- lexicon_words.c: words that no lexicon file needs to hold, General American ---- */

/* Appends the phonemes of a number word (also third, nineties), letter, symbol's word or title;
 * *found. */
UTTER_CHECKED utter_status ut_lexicon_own_word(const char *word, size_t n,
                                               struct ut_text_buffer *out, bool *found,
                                               utter_error *err);
/* Appends the names of the ASCII letters in the word ("U.S." yu Es), all but the last with
 * secondary stress; *found is whether there were any. */
UTTER_CHECKED utter_status ut_lexicon_spell(const char *word, size_t n, struct ut_text_buffer *out,
                                            bool *found, utter_error *err);
bool ut_lexicon_is_title(const char *word, size_t n);      /* Mr, Dr ...: a dot belongs to it */
bool ut_lexicon_is_short_word(const char *word, size_t n); /* of at most 3 letters, any case */
void ut_lexicon_lower(char *word, size_t n);               /* ASCII and Latin-1, in place */
/* Without the marks of Latin letters (é e, ø o); others are copied. */
UTTER_CHECKED utter_status ut_lexicon_unaccent(const char *word, size_t n,
                                               struct ut_text_buffer *out, utter_error *err);

/* ---- lexicon.c ---- */
bool ut_lexicon_has(const struct ut_lexicon *lexicon, const char *word, size_t n);
/* The fallback, else spelled, else counted as unknown. */
UTTER_CHECKED utter_status ut_reading_say_unknown(struct ut_reading *reading, const char *word,
                                                  size_t n, utter_error *err);
/* Copies text[begin, end) to reading->word with ' for ’ and ‘. */
UTTER_CHECKED utter_status ut_reading_take_word(struct ut_reading *reading, size_t begin,
                                                size_t end, utter_error *err);

/* Is the number a part of a name (A320, 555-1234) and not of a range (1914-1918)? */
bool ut_reading_number_in_name(const struct ut_reading *reading, size_t index);
/* Are the words around token `index` all capitals? */
bool ut_reading_is_shouting(const struct ut_reading *reading, size_t index);

/* ---- lexicon_entries.c, lexicon_misaki.c ---- */
/* The lists as text; `silver` may be NULL. */
UTTER_CHECKED utter_status ut_lexicon_from_misaki(struct ut_mem *mem, const struct ut_slice *gold,
                                                  const struct ut_slice *silver, bool american,
                                                  struct ut_lexicon **out, utter_error *err);
void ut_entries_destroy(struct ut_mem *mem, struct ut_lexicon_entries *entries);
bool ut_entries_has(const struct ut_lexicon_entries *entries, const char *word, size_t n);
UTTER_CHECKED utter_status ut_entries_read(struct ut_reading *reading, utter_error *err);

/* ---- lexicon_rules.c ---- */
void ut_rule_set_destroy(struct ut_mem *mem, struct ut_lexicon_rule_set *rules);
bool ut_rule_set_has(const struct ut_lexicon_rule_set *rules, const char *word, size_t n);
/* The phonemes, in plain IPA, of the dictionary's first alternative for `key` that fits token
 * `index` in its place; *end is where the text ends that they say. */
bool ut_rule_set_find(const struct ut_reading *reading, size_t index, struct ut_slice key,
                      struct ut_slice *phonemes, size_t *end);
/* Appends the plain IPA of a lower-case word by the rules; nothing if they know none of it. */
UTTER_CHECKED utter_status ut_rule_set_apply(const struct ut_lexicon_rule_set *rules,
                                             const char *word, size_t n, struct ut_text_buffer *out,
                                             utter_error *err);
/* ---- lexicon_rules_words.c ---- */
UTTER_CHECKED utter_status ut_rule_set_read(struct ut_reading *reading, utter_error *err);

static inline bool ut_is_clause_end(const struct ut_token *token) {
    return token->kind == UT_TOKEN_MARK && ut_mark_ends_sentence(token->what);
}

static inline char ut_ascii_lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static inline bool ut_ascii_is_upper(char c) {
    return c >= 'A' && c <= 'Z';
}

static inline bool ut_ascii_is_letter(char c) {
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

#endif
