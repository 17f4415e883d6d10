/* Reads text with misaki's dictionary (lexicon_entries.c) as misaki's G2P does: from the end to the
 * beginning, because a word's sound may depend on the next one's. Tokens without white space
 * between them are a group: the longest pieces of it that the dictionary has are said, else the
 * whole goes to the fallback; in a hyphenated or CamelCase word the lighter half loses its stress.
 *
 * misaki gets its tokens from spaCy; here they are those of lexicon_tokens.c. */
#include "base/checked.h"
#include "base/sort.h"
#include "text/lexicon_entries.h"
#include "text/number_words.h"
#include "text/utf8_walk.h"

/* A piece of a group is looked up with up to this many parts, so that a group of thousands takes
 * linear time. No entry has more. */
enum { MAX_PARTS_IN_PIECE = 8 };

/* A token, or a piece of a CamelCase word. After the saying the first part of a piece has all of
 * its phonemes, the others none. */
struct part {
    uint32_t begin, end; /* bytes of the text */
    uint32_t token;
    uint32_t phonemes, n_phonemes; /* bytes of ut_reading.phonemes */
};

/* The walk from the end. `next` and `next_is_to` say what stands behind the place where the walk
 * is. */
struct walk {
    struct ut_reading *reading;
    enum ut_next_sound next;
    bool next_is_to;
    struct part *parts; /* of the group in hand */
    uint32_t *order;    /* as many */
    size_t n_parts, capacity;
    struct ut_phones phones;
};

/* ---- Parts ----------------------------------------------------------------------------------- */

/* Both arrays grow together: `order` has room for every part. */
static utter_status add_part(struct walk *w, size_t begin, size_t end, size_t token,
                             utter_error *err) {
    if (w->n_parts == w->capacity) {
        size_t capacity = 2 * w->capacity + 16;
        struct part *parts =
            ut_mem_realloc(w->reading->mem, UT_MEM_SESSION, w->parts, capacity * sizeof *parts);
        w->parts = parts ? parts : w->parts;
        uint32_t *order = parts ? ut_mem_realloc(w->reading->mem, UT_MEM_SESSION, w->order,
                                                 capacity * sizeof *order)
                                : NULL;
        if (!order) {
            return ut_fail_memory(err, capacity * (sizeof *parts + sizeof *order));
        }
        w->order = order;
        w->capacity = capacity;
    }
    w->parts[w->n_parts++] =
        (struct part){.begin = (uint32_t)begin, .end = (uint32_t)end, .token = (uint32_t)token};
    return UTTER_OK;
}

/* A word is cut where a capital follows a small letter: McDonald, iPhone. */
static utter_status add_parts(struct walk *w, size_t token, utter_error *err) {
    const struct ut_token *t = &w->reading->tokens[token];
    const char *text = w->reading->text;
    size_t begin = t->begin;
    utter_status status = UTTER_OK;
    for (size_t at = t->begin + 1; at < t->end && status == UTTER_OK && t->kind == UT_TOKEN_WORD;
         at++) {
        bool after_small = text[at - 1] >= 'a' && text[at - 1] <= 'z';
        if (after_small && ut_ascii_is_upper(text[at])) {
            status = add_part(w, begin, at, token, err);
            begin = at;
        }
    }
    return status == UTTER_OK ? add_part(w, begin, t->end, token, err) : status;
}

static uint8_t part_kind(const struct walk *w, size_t part) {
    return w->reading->tokens[w->parts[part].token].kind;
}

/* ---- Saying ---------------------------------------------------------------------------------- */

static bool starts_sentence(const struct ut_reading *reading, size_t token) {
    return token == 0 || reading->tokens[token - 1].kind == UT_TOKEN_MARK;
}

/* What misaki's TokenContext and the token's own features tell it. */
static struct ut_word_place place_of(const struct walk *w, size_t token) {
    const struct ut_reading *reading = w->reading;
    return (struct ut_word_place){.next = w->next,
                                  .next_is_to = w->next_is_to,
                                  .in_group = w->n_parts > 1,
                                  .first = starts_sentence(reading, token),
                                  .after_number = token > 0 && reading->tokens[token - 1].kind ==
                                                                   UT_TOKEN_NUMBER,
                                  .shouting = ut_reading_is_shouting(reading, token)};
}

/* Kokoro's voices were trained with T for the flap and without the glottal stop. */
static utter_status append_phones(struct ut_reading *reading, const struct ut_phones *phones,
                                  utter_error *err) {
    utter_status status = UTTER_OK;
    for (size_t at = 0, next; at < phones->n && status == UTTER_OK; at = next) {
        next = ut_utf8_after(phones->text, phones->n, at);
        const char *from = phones->text + at;
        bool is_flap = next - at == 2 && memcmp(from, "ɾ", 2) == 0;
        bool is_stop = next - at == 2 && memcmp(from, "ʔ", 2) == 0;
        status = ut_text_buffer_append(&reading->phonemes,
                                       is_flap   ? "T"
                                       : is_stop ? "t"
                                                 : from,
                                       is_flap || is_stop ? 1 : next - at, err);
    }
    return status;
}

/* Words of utter's own making (numbers, symbols), each from the dictionary, else from utter's
 * table. */
static utter_status say_plain_words(struct walk *w, const char *words, size_t n, utter_error *err) {
    static const struct ut_word_place nowhere = {.next = UT_NEXT_CONSONANT};
    struct ut_reading *reading = w->reading;
    utter_status status = UTTER_OK;
    for (size_t at = 0, length; at < n && status == UTTER_OK; at += length + 1) {
        const char *space = memchr(words + at, ' ', n - at);
        length = space ? (size_t)(space - words) - at : n - at;
        bool found =
            ut_entries_say(reading->lexicon->entries, words + at, length, &nowhere, &w->phones);
        if (at > 0) {
            status = ut_text_buffer_append(&reading->phonemes, " ", 1, err);
        }
        if (status == UTTER_OK && found) {
            if (length == 5 && memcmp(words + at, "point", 5) == 0) {
                ut_phones_stress(&w->phones, -4);
            }
            status = append_phones(reading, &w->phones, err);
        } else if (status == UTTER_OK) {
            status = ut_lexicon_own_word(words + at, length, &reading->phonemes, &found, err);
        }
        reading->n_unknown += status == UTTER_OK && !found;
    }
    return status;
}

/* Inside a name (A320) the digits are read as those of a code. */
static utter_status say_number(struct walk *w, size_t token, utter_error *err) {
    struct ut_reading *reading = w->reading;
    const struct ut_token *t = &reading->tokens[token];
    reading->words.n = 0;
    utter_status status =
        ut_number_read(reading->text + t->begin, t->end - t->begin,
                       ut_reading_number_in_name(reading, token), &reading->words, err);
    return status == UTTER_OK ? say_plain_words(w, reading->words.data, reading->words.n, err)
                              : status;
}

/* Without a fallback: the word without its accents, else its letters. */
static utter_status say_unknown_part(struct walk *w, const struct part *part, utter_error *err) {
    struct ut_reading *reading = w->reading;
    struct ut_text_buffer plain = {.mem = reading->mem};
    struct ut_word_place place = place_of(w, part->token);
    utter_status status =
        ut_lexicon_unaccent(reading->text + part->begin, part->end - part->begin, &plain, err);
    if (status == UTTER_OK &&
        ut_entries_say(reading->lexicon->entries, plain.data, plain.n, &place, &w->phones)) {
        status = append_phones(reading, &w->phones, err);
    } else if (status == UTTER_OK) {
        status = ut_reading_say_unknown(reading, reading->text + part->begin,
                                        part->end - part->begin, err);
    }
    ut_text_buffer_free(&plain);
    return status;
}

/* Sets what the parts from `first` to the one in front of `end` say: everything since `begin`. */
static void set_phonemes(struct walk *w, size_t first, size_t end, size_t begin) {
    struct ut_text_buffer *phonemes = &w->reading->phonemes;
    for (size_t i = first; i < end; i++) {
        w->parts[i].phonemes = (uint32_t)begin;
        w->parts[i].n_phonemes = i == first ? (uint32_t)(phonemes->n - begin) : 0;
    }
    if (phonemes->n > begin) {
        w->next = ut_first_sound(phonemes->data + begin, phonemes->n - begin, w->next);
    }
    const struct part *part = &w->parts[first];
    size_t n = w->parts[end - 1].end - part->begin;
    const char *text = w->reading->text + part->begin;
    w->next_is_to = n == 2 && (memcmp(text, "to", 2) == 0 || memcmp(text, "To", 2) == 0 ||
                               memcmp(text, "TO", 2) == 0);
}

/* The dictionary's word for the parts first to end - 1, or their number. */
static utter_status try_piece(struct walk *w, size_t first, size_t end, bool *said,
                              utter_error *err) {
    struct ut_reading *reading = w->reading;
    size_t begin = reading->phonemes.n;
    const struct part *part = &w->parts[first];
    utter_status status = UTTER_OK;
    *said = false;
    if (end - first == 1 && part_kind(w, first) == UT_TOKEN_NUMBER) {
        *said = true;
        status = say_number(w, part->token, err);
    } else if (w->parts[end - 1].end - part->begin <= 2 * UT_LEXICON_MAX_WORD_BYTES) {
        struct ut_word_place place = place_of(w, part->token);
        status = ut_reading_take_word(reading, part->begin, w->parts[end - 1].end, err);
        *said = status == UTTER_OK && ut_entries_say(reading->lexicon->entries, reading->word.data,
                                                     reading->word.n, &place, &w->phones);
        if (*said) {
            status = append_phones(reading, &w->phones, err);
        }
    }
    if (status == UTTER_OK && *said) {
        set_phonemes(w, first, end, begin);
    }
    return status;
}

/* The longest piece that ends at part `end` and is known; *first is where it begins. */
static utter_status say_piece(struct walk *w, size_t end, size_t *first, bool *said,
                              utter_error *err) {
    utter_status status = UTTER_OK;
    *said = false;
    *first = end > MAX_PARTS_IN_PIECE ? end - MAX_PARTS_IN_PIECE : 0;
    for (; *first < end && status == UTTER_OK; ++*first) {
        status = try_piece(w, *first, end, said, err);
        if (*said) {
            return status;
        }
    }
    *first = end - 1;
    return status;
}

/* The whole group to the fallback, whatever was said of it. */
static utter_status say_group_unknown(struct walk *w, utter_error *err) {
    struct ut_reading *reading = w->reading;
    size_t begin = reading->phonemes.n;
    uint32_t from = w->parts[0].begin, to = w->parts[w->n_parts - 1].end;
    utter_status status = ut_reading_say_unknown(reading, reading->text + from, to - from, err);
    set_phonemes(w, 0, w->n_parts, begin);
    return status;
}

/* From the last part to the first. Without a fallback each unknown part is said for itself; with
 * one the whole group goes to it, so that espeak-ng sees the word as it was written. */
static utter_status say_parts(struct walk *w, utter_error *err) {
    struct ut_reading *reading = w->reading;
    utter_status status = UTTER_OK;
    for (size_t end = w->n_parts, first; end > 0 && status == UTTER_OK; end = first) {
        bool said;
        status = say_piece(w, end, &first, &said, err);
        if (status != UTTER_OK || said || part_kind(w, first) == UT_TOKEN_JOIN) {
            continue;
        }
        if (reading->fallback) {
            return say_group_unknown(w, err);
        }
        size_t begin = reading->phonemes.n;
        status = say_unknown_part(w, &w->parts[first], err);
        set_phonemes(w, first, end, begin);
    }
    return status;
}

/* ---- Stress of groups ------------------------------------------------------------------------ */

struct weight_context {
    const struct walk *walk;
};

static bool has_primary(const struct walk *w, const struct part *part) {
    return part->n_phonemes > 0 &&
           memmem(w->reading->phonemes.data + part->phonemes, part->n_phonemes, "ˈ", 2);
}

/* misaki's weight: symbols, diphthongs and affricates twice. */
static size_t weight(const struct walk *w, const struct part *part) {
    const char *text = w->reading->phonemes.data + part->phonemes;
    size_t sum = 0;
    for (size_t at = 0, next; at < part->n_phonemes; at = next) {
        next = ut_utf8_after(text, part->n_phonemes, at);
        bool is_heavy =
            (next - at == 1 && strchr("AIOQWY", text[at])) ||
            (next - at == 2 && (memcmp(text + at, "ʤ", 2) == 0 || memcmp(text + at, "ʧ", 2) == 0));
        sum += is_heavy ? 2 : 1;
    }
    return sum;
}

/* No primary stress first, then the lighter, then the earlier: a total order, so the sort's result
 * does not depend on its method. */
static int compare_parts(uint32_t a, uint32_t b, const void *context) {
    const struct walk *w = ((const struct weight_context *)context)->walk;
    bool primary_a = has_primary(w, &w->parts[a]), primary_b = has_primary(w, &w->parts[b]);
    if (primary_a != primary_b) {
        return primary_a - primary_b;
    }
    size_t weight_a = weight(w, &w->parts[a]), weight_b = weight(w, &w->parts[b]);
    return weight_a != weight_b ? (weight_a > weight_b) - (weight_a < weight_b) : (a > b) - (a < b);
}

/* Rewrites a part with its primary stress lowered. */
static utter_status lower_stress(struct walk *w, struct part *part, utter_error *err) {
    struct ut_text_buffer *phonemes = &w->reading->phonemes;
    w->phones.n = 0;
    if (!ut_phones_append(&w->phones, phonemes->data + part->phonemes, part->n_phonemes)) {
        return UTTER_OK; /* longer than any word */
    }
    ut_phones_stress(&w->phones, -1);
    part->phonemes = (uint32_t)phonemes->n;
    part->n_phonemes = (uint32_t)w->phones.n;
    return ut_text_buffer_append(phonemes, w->phones.text, w->phones.n, err);
}

/* Of a compound the half that weighs least loses its primary stress: well-known wˌɛlnˈOn. */
static utter_status balance_stress(struct walk *w, utter_error *err) {
    size_t n = 0, n_primary = 0;
    for (size_t i = 0; i < w->n_parts; i++) {
        if (w->parts[i].n_phonemes > 0) {
            w->order[n++] = (uint32_t)i;
            n_primary += has_primary(w, &w->parts[i]);
        }
    }
    if (n == 2 && w->parts[w->order[0]].end - w->parts[w->order[0]].begin == 1) {
        return lower_stress(w, &w->parts[w->order[1]], err);
    }
    if (n < 2 || n_primary <= (n + 1) / 2) {
        return UTTER_OK;
    }
    ut_sort_u32(w->order, n, compare_parts, &(struct weight_context){w});
    utter_status status = UTTER_OK;
    for (size_t i = 0; i < n / 2 && status == UTTER_OK; i++) {
        status = lower_stress(w, &w->parts[w->order[i]], err);
    }
    return status;
}

/* The group's first token says all of it; words joined, but not numbers. */
static utter_status join_parts(struct walk *w, size_t first_token, bool has_number,
                               utter_error *err) {
    struct ut_text_buffer *phonemes = &w->reading->phonemes;
    struct ut_text_buffer joined = {.mem = phonemes->mem};
    utter_status status = UTTER_OK;
    for (size_t i = 0; i < w->n_parts && status == UTTER_OK; i++) {
        const struct part *part = &w->parts[i];
        if (has_number && joined.n > 0 && part->n_phonemes > 0) {
            status = ut_text_buffer_append(&joined, " ", 1, err);
        }
        if (status == UTTER_OK && part->n_phonemes > 0) {
            status = ut_text_buffer_append(&joined, phonemes->data + part->phonemes,
                                           part->n_phonemes, err);
        }
    }
    struct ut_token *token = &w->reading->tokens[first_token];
    token->phonemes = (uint32_t)phonemes->n;
    token->n_phonemes = (uint32_t)joined.n;
    if (status == UTTER_OK && joined.n > 0) {
        status = ut_text_buffer_append(phonemes, joined.data, joined.n, err);
    }
    ut_text_buffer_free(&joined);
    return status;
}

/* ---- The text -------------------------------------------------------------------------------- */

/* What may stand together without a space and still be one word to the ear. */
static bool is_group_kind(uint8_t kind) {
    return kind == UT_TOKEN_WORD || kind == UT_TOKEN_NUMBER || kind == UT_TOKEN_JOIN;
}

/* The group of tokens first to end - 1. */
static utter_status say_group(struct walk *w, size_t first, size_t end, utter_error *err) {
    utter_status status = UTTER_OK;
    bool has_number = false;
    w->n_parts = 0;
    for (size_t i = first; i < end && status == UTTER_OK; i++) {
        has_number = has_number || w->reading->tokens[i].kind == UT_TOKEN_NUMBER;
        status = add_parts(w, i, err);
    }
    if (status == UTTER_OK) {
        status = say_parts(w, err);
    }
    if (status == UTTER_OK && !has_number && w->n_parts > 1) {
        status = balance_stress(w, err);
    }
    return status == UTTER_OK ? join_parts(w, first, has_number, err) : status;
}

/* A pause hides what follows from the word before it; a quote or bracket does not. */
static void pass_mark(struct walk *w, uint8_t mark) {
    static const char pauses[] = ";:,.!?—…";
    if (strstr(pauses, ut_mark_text(mark))) {
        w->next = UT_NEXT_NONE;
    }
    w->next_is_to = false;
}

/* A symbol by its words, a run of others by the fallback. */
static utter_status say_single(struct walk *w, size_t index, utter_error *err) {
    struct ut_reading *reading = w->reading;
    struct ut_token *token = &reading->tokens[index];
    size_t begin = reading->phonemes.n;
    const char *words = token->kind == UT_TOKEN_SYMBOL ? ut_symbol_words(token->what) : NULL;
    utter_status status = words ? say_plain_words(w, words, strlen(words), err)
                                : ut_reading_say_unknown(reading, reading->text + token->begin,
                                                         token->end - token->begin, err);
    token->phonemes = (uint32_t)begin;
    token->n_phonemes = (uint32_t)(reading->phonemes.n - begin);
    if (token->n_phonemes > 0) {
        w->next = ut_first_sound(reading->phonemes.data + begin, token->n_phonemes, w->next);
    }
    w->next_is_to = false;
    return status;
}

/* A group begins at the first token that is glued to the one behind it. */
utter_status ut_entries_read(struct ut_reading *reading, utter_error *err) {
    struct walk w = {.reading = reading, .next = UT_NEXT_NONE};
    utter_status status = UTTER_OK;
    for (size_t end = reading->n_tokens, first; end > 0 && status == UTTER_OK; end = first) {
        const struct ut_token *tokens = reading->tokens;
        first = end - 1;
        if (tokens[first].kind == UT_TOKEN_MARK) {
            pass_mark(&w, tokens[first].what);
        } else if (!is_group_kind(tokens[first].kind)) {
            status = say_single(&w, first, err);
        } else {
            while (first > 0 && tokens[first].glued && is_group_kind(tokens[first - 1].kind)) {
                first--;
            }
            status = say_group(&w, first, end, err);
        }
    }
    ut_mem_free(reading->mem, w.parts);
    ut_mem_free(reading->mem, w.order);
    return status;
}
