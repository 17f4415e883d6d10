/* See lexicon.h. A call cuts the text into tokens (lexicon_tokens.c), lets one of the two lexicons
 * say them in whatever order it needs, and joins what they said. */
#include "text/lexicon.h"

#include "base/checked.h"
#include "text/lexicon_parts.h"

void ut_lexicon_destroy(struct ut_lexicon *lexicon) {
    if (lexicon) {
        ut_rule_set_destroy(lexicon->mem, lexicon->rules);
        ut_entries_destroy(lexicon->mem, lexicon->entries);
        ut_mem_free(lexicon->mem, lexicon);
    }
}

bool ut_lexicon_has(const struct ut_lexicon *lexicon, const char *word, size_t n) {
    return lexicon->rules ? ut_rule_set_has(lexicon->rules, word, n)
                          : ut_entries_has(lexicon->entries, word, n);
}

/* Lexicons spell with the ASCII apostrophe; texts have the typographic ones. */
utter_status ut_reading_take_word(struct ut_reading *reading, size_t begin, size_t end,
                                  utter_error *err) {
    const char *text = reading->text;
    reading->word.n = 0;
    utter_status status = UTTER_OK;
    for (size_t at = begin; at < end && status == UTTER_OK;) {
        /* U+2018 and U+2019 are E2 80 98 and 99, U+02BC is CA BC. */
        bool is_quote = end - at >= 3 && memcmp(text + at, "\xE2\x80", 2) == 0 &&
                        (text[at + 2] == '\x98' || text[at + 2] == '\x99');
        bool is_modifier = end - at >= 2 && memcmp(text + at, "\xCA\xBC", 2) == 0;
        status = ut_text_buffer_append(&reading->word, is_quote || is_modifier ? "'" : text + at, 1,
                                       err);
        at += is_quote ? 3 : is_modifier ? 2 : 1;
    }
    return status;
}

/* Spelled by the names of the letters in the word without its accents; a word without any letter of
 * ASCII is silent and counted. */
utter_status ut_reading_say_unknown(struct ut_reading *reading, const char *word, size_t n,
                                    utter_error *err) {
    if (reading->fallback) {
        return reading->fallback(reading->user, word, n, &reading->phonemes, err);
    }
    struct ut_text_buffer plain = {.mem = reading->mem};
    bool found = false;
    utter_status status = ut_lexicon_unaccent(word, n, &plain, err);
    if (status == UTTER_OK) {
        status = ut_lexicon_spell(plain.data, plain.n, &reading->phonemes, &found, err);
    }
    reading->n_unknown += !found;
    ut_text_buffer_free(&plain);
    return status;
}

/* A hyphen between two numbers of up to four digits and of the same length is a range, whose
 * numbers are read as numbers. */
bool ut_reading_number_in_name(const struct ut_reading *reading, size_t index) {
    const struct ut_token *token = &reading->tokens[index];
    if (!token->glued || index == 0) {
        return false;
    }
    const struct ut_token *before = token - 1;
    uint32_t n = token->end - token->begin;
    bool is_range = before->kind == UT_TOKEN_JOIN && index >= 2 && n <= 4 &&
                    before[-1].kind == UT_TOKEN_NUMBER && before[-1].end - before[-1].begin == n;
    return (before->kind == UT_TOKEN_WORD || before->kind == UT_TOKEN_JOIN) && !is_range;
}

/* Words longer than any lexicon's are not searched to their end, so that a text of one word stays
 * cheap. */
static bool is_capital_word(const struct ut_reading *reading, size_t index) {
    if (index >= reading->n_tokens || reading->tokens[index].kind != UT_TOKEN_WORD) {
        return false;
    }
    const struct ut_token *token = &reading->tokens[index];
    for (size_t at = token->begin; at < token->end; at++) {
        if (!ut_ascii_is_upper(reading->text[at]) ||
            at - token->begin > UT_LEXICON_MAX_WORD_BYTES) {
            return false;
        }
    }
    size_t n = token->end - token->begin;
    /* USA FBI: letters, not emphasis. */
    return n > 3 || (n > 1 && ut_lexicon_is_short_word(reading->text + token->begin, n));
}

bool ut_reading_is_shouting(const struct ut_reading *reading, size_t index) {
    return is_capital_word(reading, index + 1) ||
           (index > 0 && is_capital_word(reading, index - 1));
}

/* ---- Joining --------------------------------------------------------------------------------- */

/* Marks stand where the text has them: closing ones at the word before, opening ones at the word
 * behind, dashes with the spaces of the text. */
static bool needs_space(const struct ut_token *before, const struct ut_token *token) {
    bool mark_before = before->kind == UT_TOKEN_MARK, is_mark = token->kind == UT_TOKEN_MARK;
    bool space = !token->glued;
    if (mark_before && ut_mark_opens(before->what)) {
        return false;
    }
    if (is_mark) {
        return space && (ut_mark_opens(token->what) || ut_mark_is_dash(token->what));
    }
    if (mark_before) {
        return space || !ut_mark_is_dash(before->what);
    }
    return !token->joined;
}

/* Tokens that say nothing (joins, dropped words) leave no space either. */
static utter_status join(const struct ut_reading *reading, struct ut_text_buffer *out,
                         utter_error *err) {
    const struct ut_token *before = NULL;
    utter_status status = UTTER_OK;
    for (size_t i = 0; i < reading->n_tokens && status == UTTER_OK; i++) {
        const struct ut_token *token = &reading->tokens[i];
        bool is_mark = token->kind == UT_TOKEN_MARK;
        if (!is_mark && token->n_phonemes == 0) {
            continue;
        }
        if (before && needs_space(before, token)) {
            status = ut_text_buffer_append(out, " ", 1, err);
        }
        if (status == UTTER_OK) {
            const char *mark = is_mark ? ut_mark_text(token->what) : NULL;
            status = is_mark ? ut_text_buffer_append(out, mark, strlen(mark), err)
                             : ut_text_buffer_append(out, reading->phonemes.data + token->phonemes,
                                                     token->n_phonemes, err);
        }
        before = token;
    }
    return status;
}

/* `phonemes` is filled in the order in which the lexicon says the tokens, which for misaki is from
 * the end; each token remembers its slice, and `join` brings them into the text's order. */
utter_status ut_lexicon_phonemize(const struct ut_lexicon *lexicon, const char *text,
                                  size_t n_bytes, ut_lexicon_fallback fallback, void *user,
                                  struct ut_text_buffer *out, size_t *n_unknown, utter_error *err) {
    struct ut_mem *mem = out->mem;
    struct ut_reading reading = {.lexicon = lexicon,
                                 .mem = mem,
                                 .text = text,
                                 .n_bytes = n_bytes,
                                 .phonemes = {.mem = mem},
                                 .word = {.mem = mem},
                                 .words = {.mem = mem},
                                 .fallback = fallback,
                                 .user = user};
    utter_status status = ut_lexicon_scan(&reading, err);
    if (status == UTTER_OK) {
        status = lexicon->rules ? ut_rule_set_read(&reading, err) : ut_entries_read(&reading, err);
    }
    if (status == UTTER_OK) {
        status = join(&reading, out, err);
    }
    *n_unknown = reading.n_unknown;
    ut_mem_free(mem, reading.tokens);
    ut_text_buffer_free(&reading.phonemes);
    ut_text_buffer_free(&reading.word);
    ut_text_buffer_free(&reading.words);
    return status;
}
