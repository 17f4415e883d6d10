/* See misaki_chunk.h and the section on chunks in docs/models/kokoro.md. A chunk is cut as misaki's
 * English pipeline does: at the last end of a sentence, else of a clause, else at the last comma,
 * else behind the last word that fits. Where misaki would drop what is too long, it is cut. */
#include "text/misaki_chunk.h"

#include "base/checked.h"
#include "text/misaki.h"
#include "text/utf8_walk.h"

/* misaki's own limit for the languages that espeak-ng reads. */
enum { PACKED_CHARACTERS = 400 };

/* Marks in the order in which a cut behind them is preferred. */
enum rank { RANK_SENTENCE, RANK_CLAUSE, RANK_COMMA, N_RANKS, RANK_CLOSING = N_RANKS, RANK_OTHER };

/* The phonemes' marks are those of Kokoro's alphabet: no full-width ones. */
static enum rank find_rank(uint32_t c) {
    switch (c) {
    case '!':
    case '?':
    case '.':
    case 0x2026:
        return RANK_SENTENCE;
    case ':':
    case ';':
        return RANK_CLAUSE;
    case ',':
    case 0x2014:
        return RANK_COMMA;
    case ')':
    case '"':
    case 0x201D:
        return RANK_CLOSING;
    default:
        return RANK_OTHER;
    }
}

/* The spaces at `begin` and the word or run of equal-ranked marks behind them. */
struct token {
    size_t end;
    size_t n_spaces, n_symbols; /* code points, the spaces not counted twice */
    enum rank rank;
};

/* Does not look further than what two chunks can hold. */
static struct token next_token(const char *s, size_t begin, size_t n) {
    struct token token = {.end = begin, .rank = RANK_OTHER};
    for (; token.end < n && s[token.end] == ' '; token.end++) {
        token.n_spaces++;
    }
    for (size_t at = token.end; at < n && token.n_symbols <= 2 * UT_MISAKI_MAX_SYMBOLS;
         token.end = at) {
        enum rank rank = find_rank(ut_utf8_next(s, n, &at));
        if (token.n_symbols > 0 && (rank != token.rank || s[token.end] == ' ')) {
            break;
        }
        token.rank = rank;
        token.n_symbols++;
    }
    return token;
}

/* A dash or an ellipsis parts words also without a space behind it; "a.b" is one word. */
static bool may_cut(const char *s, size_t at, size_t n) {
    size_t before = at, behind = at;
    uint32_t mark = ut_utf8_previous(s, &before);
    return mark > 0x7F || at == n || s[at] == ' ' ||
           find_rank(ut_utf8_next(s, n, &behind)) == RANK_CLOSING;
}

/* Behind as many code points as a chunk may have; a combining mark stays with its letter. */
static size_t cut_word(const char *s, size_t begin, size_t n) {
    size_t at = begin, cut = begin;
    for (size_t i = 0; i < UT_MISAKI_MAX_SYMBOLS && at < n; i++) {
        size_t here = at;
        uint32_t c = ut_utf8_next(s, n, &at);
        cut = c < 0x300 || c > 0x36F ? here : cut;
    }
    size_t next = at;
    uint32_t behind = at < n ? ut_utf8_next(s, n, &next) : 0;
    return behind >= 0x300 && behind <= 0x36F && cut > begin ? cut : at;
}

/* Where the chunk that begins at `begin`, no space, ends. `cuts` holds the last place of each rank;
 * one is used if what lies behind it, up to the token that no longer fits, fits into a chunk
 * itself. */
static size_t find_cut(const char *s, size_t begin, size_t n) {
    size_t at = begin, n_symbols = 0;
    size_t cuts[N_RANKS] = {0}, n_before[N_RANKS] = {0}; /* a cut and the symbols in front of it */
    enum rank last = RANK_OTHER;
    while (at < n) {
        struct token token = next_token(s, at, n);
        size_t n_with = n_symbols + token.n_spaces + token.n_symbols;
        if (token.n_symbols > 0 && n_with > UT_MISAKI_MAX_SYMBOLS) {
            for (enum rank rank = 0; rank < N_RANKS; rank++) {
                if (cuts[rank] > 0 && n_with - n_before[rank] <= UT_MISAKI_MAX_SYMBOLS) {
                    return cuts[rank];
                }
            }
            return at > begin ? at : cut_word(s, begin, n);
        }
        bool closes = token.rank == RANK_CLOSING && token.n_spaces == 0 && last < N_RANKS;
        last = closes ? last : token.rank;
        at = token.end;
        n_symbols = n_with;
        if (last < N_RANKS && may_cut(s, at, n)) {
            cuts[last] = at;
            n_before[last] = n_symbols;
        }
    }
    return n;
}

/* ---- Places in the text --------------------------------------------------------------------- */

struct cutter {
    const struct ut_misaki_line *line;
    struct ut_sentences *out;
    size_t anchor; /* the last one that is not behind the place asked for last */
};

/* The byte of the text where the phoneme at `phoneme` comes from; places are asked for in order.
 * Between two anchors in proportion, moved back to the beginning of a character. */
static size_t text_at(struct cutter *cutter, size_t phoneme) {
    const struct ut_misaki_line *line = cutter->line;
    struct ut_misaki_anchor before = {0, line->text_begin, false},
                            behind = {line->phonemes.n, line->text_end, false};
    while (cutter->anchor < line->n_anchors && line->anchors[cutter->anchor].phoneme <= phoneme) {
        cutter->anchor++;
    }
    if (cutter->anchor > 0) {
        before = line->anchors[cutter->anchor - 1];
    }
    if (cutter->anchor < line->n_anchors) {
        behind = line->anchors[cutter->anchor];
    }
    if (behind.phoneme <= before.phoneme) {
        return before.text;
    }
    size_t at = before.text + (phoneme - before.phoneme) * (behind.text - before.text) /
                                  (behind.phoneme - before.phoneme);
    while (at > before.text && at < line->text_end && ut_utf8_is_tail(line->text[at])) {
        at--;
    }
    return at;
}

/* Spaces around a cut belong to neither chunk, but their text does: text_end lies behind them. */
static utter_status push_chunk(struct cutter *cutter, size_t begin, size_t end, utter_error *err) {
    const struct ut_text_buffer *phonemes = &cutter->line->phonemes;
    size_t next = end;
    while (end > begin && phonemes->data[end - 1] == ' ') {
        end--;
    }
    while (next < phonemes->n && phonemes->data[next] == ' ') {
        next++;
    }
    utter_status status = ut_sentences_push(cutter->out, phonemes->data + begin, end - begin, err);
    if (status == UTTER_OK) {
        cutter->out->items[cutter->out->n - 1].text_end =
            next == phonemes->n ? cutter->line->text_end : text_at(cutter, next);
    }
    return status;
}

/* Every cut is behind its begin, so the loop ends. */
static utter_status cut_range(struct cutter *cutter, size_t begin, size_t end, utter_error *err) {
    const char *s = cutter->line->phonemes.data;
    utter_status status = UTTER_OK;
    while (status == UTTER_OK) {
        while (begin < end && s[begin] == ' ') {
            begin++;
        }
        if (begin == end) {
            break;
        }
        size_t cut = find_cut(s, begin, end);
        status = push_chunk(cutter, begin, cut, err);
        begin = cut;
    }
    return status;
}

/* ---- Sentences ----------------------------------------------------------------------------- */

static size_t count_characters(const char *s, size_t begin, size_t end) {
    size_t n = 0;
    for (size_t i = begin; i < end; i++) {
        n += !ut_utf8_is_tail(s[i]);
    }
    return n;
}

/* A sentence that fits no pack is cut by cut_range like a line of English. */
static utter_status pack_sentences(struct cutter *cutter, utter_error *err) {
    const struct ut_misaki_line *line = cutter->line;
    size_t begin = 0, end = 0, text_end = line->text_begin;
    size_t n_characters = 0, n_symbols = 0; /* of the pack [begin, end) */
    utter_status status = UTTER_OK;
    for (size_t i = 0; i <= line->n_anchors && status == UTTER_OK; i++) {
        struct ut_misaki_anchor next = {line->phonemes.n, line->text_end, true};
        next = i < line->n_anchors ? line->anchors[i] : next;
        if (!next.sentence) {
            continue;
        }
        size_t n_more = count_characters(line->text, text_end, next.text),
               n_more_symbols = count_characters(line->phonemes.data, end, next.phoneme);
        if (n_characters + n_more > PACKED_CHARACTERS ||
            n_symbols + n_more_symbols > UT_MISAKI_MAX_SYMBOLS) {
            status = cut_range(cutter, begin, end, err);
            begin = end;
            n_characters = n_symbols = 0;
        }
        n_characters += n_more;
        n_symbols += n_more_symbols;
        end = next.phoneme;
        text_end = next.text;
    }
    return status == UTTER_OK ? cut_range(cutter, begin, end, err) : status;
}

utter_status ut_misaki_chunk(const struct ut_misaki_line *line, bool packs,
                             struct ut_sentences *out, utter_error *err) {
    struct cutter cutter = {.line = line, .out = out};
    return packs ? pack_sentences(&cutter, err) : cut_range(&cutter, 0, line->phonemes.n, err);
}
