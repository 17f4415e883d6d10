/* See misaki_reader.h. The rules for espeak-ng are those of phonemizer 3.4 as misaki calls it: the
 * text is cut at its marks, each piece is translated alone, the marks come back as they were. White
 * space becomes single spaces. Japanese is read from kana only and Mandarin from phonemes only,
 * because espeak-ng would spell their characters in English. */
#include "text/misaki_reader.h"

#include "base/checked.h"
#include "base/utf8.h"
#include "text/espeak_lib.h"
#include "text/nfd.h"
#include "text/utf8_walk.h"

enum {
    /* espeak-ng's IPA (2) with a tie (0x80) inside phonemes of several letters. */
    PHONEME_MODE = 2 | 0x80 | 0x361 << 8,
    /* A word of more bytes counts as several when phonemes are traced back to their text. */
    LONG_WORD_BYTES = 48,
    SHOWN_CHARACTERS = 12 /* of a word in a message */
};

static bool is_english(const struct ut_misaki_reader *reader) {
    return reader->misaki->language == 'a' || reader->misaki->language == 'b';
}

static bool is_east_asian(const struct ut_misaki_reader *reader) {
    return reader->misaki->language == 'j' || reader->misaki->language == 'z';
}

/* ---- Characters ---------------------------------------------------------------------------- */

/* White space, also the no-break kinds, and control characters, as in lexicon_tokens.c. */
static bool is_blank(uint32_t c) {
    return ut_is_space(c) || c <= ' ' || c == 0x7F || c == 0xA0 || c == 0x2007 || c == 0x202F ||
           c == 0x2029;
}

/* phonemizer's punctuation marks, which are cut out before espeak-ng sees the text. */
static bool is_mark(uint32_t c) {
    static const uint16_t marks[] = {';',  ':',  ',',  '.',    '!',    '?',    '"',
                                     '(',  ')',  '{',  '}',    '[',    ']',    0xA1,
                                     0xBF, 0xAB, 0xBB, 0x2014, 0x2026, 0x201C, 0x201D};
    for (size_t i = 0; i < UT_COUNT(marks); i++) {
        if (marks[i] == c) {
            return true;
        }
    }
    return false;
}

static bool is_sentence_mark(uint32_t c) {
    return c == '.' || c == '!' || c == '?' || c == 0x2026;
}

static bool is_clause_mark(uint32_t c) {
    return is_sentence_mark(c) || c == ',' || c == ';' || c == ':' || c == 0x2014;
}

static bool is_closing_mark(uint32_t c) {
    return c == ')' || c == ']' || c == '}' || c == '"' || c == 0xBB || c == 0x201D;
}

/* Hindi's full stops: espeak-ng reads them itself, and a sentence ends behind them. */
static bool is_danda(uint32_t c) {
    return c == 0x964 || c == 0x965;
}

static bool is_digit(uint32_t c) {
    return (c >= '0' && c <= '9') || (c >= 0x966 && c <= 0x96F) || (c >= 0xFF10 && c <= 0xFF19);
}

/* The full-width marks of Japanese and Chinese, in Kokoro's alphabet; 0 for anything else. */
static uint32_t narrow_mark(uint32_t c) {
    static const struct {
        uint16_t wide, narrow;
    } table[] = {
        {0x3001, ','},    {0x3002, '.'},    {0x300A, 0x201C}, {0x300B, 0x201D}, {0x300C, 0x201C},
        {0x300D, 0x201D}, {0x300E, 0x201C}, {0x300F, 0x201D}, {0x3010, 0x201C}, {0x3011, 0x201D},
        {0xFF01, '!'},    {0xFF08, '('},    {0xFF09, ')'},    {0xFF0C, ','},    {0xFF0E, '.'},
        {0xFF1A, ':'},    {0xFF1B, ';'},    {0xFF1F, '?'},    {0xFF61, '.'},    {0xFF62, 0x201C},
        {0xFF63, 0x201D}, {0xFF64, ','},
    };
    for (size_t i = 0; i < UT_COUNT(table); i++) {
        if (table[i].wide == c) {
            return table[i].narrow;
        }
    }
    return 0;
}

/* Han characters, and the marks that repeat or shorten them or kana. */
static bool is_han(uint32_t c) {
    return (c >= 0x3400 && c <= 0x9FFF) || (c >= 0xF900 && c <= 0xFAFF) ||
           (c >= 0x20000 && c <= 0x3FFFF) || (c >= 0x3005 && c <= 0x3007) ||
           (c >= 0x303B && c <= 0x303C) || c == 0x309D || c == 0x309E || c == 0x30FD ||
           c == 0x30FE || c == 0x30F5 || c == 0x30F6;
}

/* A mark that espeak-ng knows only as part of a composed letter. */
static bool is_combining(uint32_t c) {
    return (c >= 0x300 && c <= 0x36F) || c == 0x3099 || c == 0x309A;
}

/* Shows the run of characters that cannot be read, at most SHOWN_CHARACTERS of it. */
static utter_status fail_han(const struct ut_misaki_reader *reader, size_t at, size_t end,
                             utter_error *err) {
    const char *text = reader->line.text;
    size_t word_end = at;
    for (size_t i = 0; i < SHOWN_CHARACTERS && word_end < end; i++) {
        size_t next = word_end;
        if (!is_han(ut_utf8_next(text, end, &next))) {
            break;
        }
        word_end = next;
    }
    int n = (int)(word_end - at);
    const char *word = text + at;
    if (reader->misaki->language == 'j') {
        return ut_fail(err, UTTER_ERROR_UNSUPPORTED,
                       "'%.*s' at byte %zu of the text: Japanese is read from kana only; write the "
                       "word in kana, or with its phonemes as [%.*s](/.../)",
                       n, word, at, n, word);
    }
    return ut_fail(err, UTTER_ERROR_UNSUPPORTED,
                   "'%.*s' at byte %zu of the text: Chinese characters cannot be read; write the "
                   "phonemes of the word, as in [%.*s](/.../)",
                   n, word, at, n, word);
}

/* ---- Phonemes and where they come from ------------------------------------------------------ */

/* Here phonemes and text meet: everything appended from now on comes from byte `text` on. */
static utter_status add_anchor(struct ut_misaki_line *line, size_t text, bool sentence,
                               utter_error *err) {
    struct ut_mem *mem = line->phonemes.mem;
    if (line->n_anchors == line->capacity) {
        size_t capacity = 2 * line->capacity + 64, n_bytes = capacity * sizeof *line->anchors;
        struct ut_misaki_anchor *grown =
            ut_mem_realloc(mem, UT_MEM_SESSION, line->anchors, n_bytes);
        if (!grown) {
            return ut_fail_memory(err, n_bytes);
        }
        line->anchors = grown;
        line->capacity = capacity;
    }
    line->anchors[line->n_anchors++] =
        (struct ut_misaki_anchor){.phoneme = line->phonemes.n, .text = text, .sentence = sentence};
    return UTTER_OK;
}

/* None at the beginning of a line. */
static utter_status append_due_space(struct ut_misaki_reader *reader, utter_error *err) {
    bool is_due = reader->space && reader->line.phonemes.n > 0;
    reader->space = reader->wide_space = false;
    return is_due ? ut_text_buffer_append(&reader->line.phonemes, " ", 1, err) : UTTER_OK;
}

/* Where the next word of text[at, end) begins; a long one counts as several. */
static size_t next_word(const char *text, size_t at, size_t end) {
    size_t begin = at;
    while (at < end && !is_blank((unsigned char)text[at]) && at - begin < LONG_WORD_BYTES) {
        at = ut_utf8_after(text, end, at);
    }
    while (at < end && is_blank((unsigned char)text[at])) {
        at++;
    }
    return at;
}

/* By next_word, so that a long word counts as often here as where phonemes are traced back. */
static size_t count_words(const char *text, size_t at, size_t end) {
    size_t n = 0;
    for (; at < end; at = next_word(text, at, end)) {
        n++;
    }
    return n;
}

/* Appends the phonemes of text[begin, end). Their words are traced back to the words of the text in
 * proportion, which is exact where each word gives one. */
static utter_status append_spoken(struct ut_misaki_reader *reader,
                                  const struct ut_text_buffer *phonemes, size_t begin, size_t end,
                                  utter_error *err) {
    const char *text = reader->line.text;
    if (phonemes->n == 0) {
        return UTTER_OK;
    }
    utter_status status = append_due_space(reader, err);
    size_t n_spoken = count_words(phonemes->data, 0, phonemes->n),
           n_words = count_words(text, begin, end);
    size_t at = begin, word = 0, i = 0;
    for (size_t from = 0, next; from < phonemes->n && status == UTTER_OK; from = next, i++) {
        for (; word < i * n_words / n_spoken; word++) {
            at = next_word(text, at, end);
        }
        next = next_word(phonemes->data, from, phonemes->n);
        status = add_anchor(&reader->line, at, false, err);
        if (status == UTTER_OK) {
            status = ut_text_buffer_append(&reader->line.phonemes, phonemes->data + from,
                                           next - from, err);
        }
    }
    reader->in_marks = false;
    return status;
}

/* A run of marks has one anchor, at its first. */
static utter_status append_mark(struct ut_misaki_reader *reader, uint32_t c, size_t at,
                                utter_error *err) {
    char bytes[4];
    size_t n = ut_utf8_encode((int32_t)c, bytes);
    utter_status status = append_due_space(reader, err);
    if (status == UTTER_OK && !reader->in_marks) {
        status = add_anchor(&reader->line, at, false, err);
    }
    reader->in_marks = true;
    return status == UTTER_OK ? ut_text_buffer_append(&reader->line.phonemes, bytes, n, err)
                              : status;
}

/* ---- A piece to phonemes -------------------------------------------------------------------- */

/* The lock is kept until the reader is freed: nobody else's text or voice comes between the
 * pieces. */
static utter_status take_espeak(struct ut_misaki_reader *reader, utter_error *err) {
    if (reader->clauses) {
        return UTTER_OK;
    }
    struct ut_clause_reader *clauses =
        ut_mem_alloc(reader->mem, UT_MEM_SESSION, sizeof *reader->clauses);
    if (!clauses) {
        return ut_fail_memory(err, sizeof *clauses);
    }
    utter_status status = ut_espeak_lock(err);
    if (status == UTTER_OK) {
        status =
            ut_espeak_set_voice(ut_misaki_espeak_voice(reader->misaki->language), reader->log, err);
        if (status == UTTER_OK) {
            ut_clause_reset();
            clauses->n_unread = 0;
            reader->clauses = clauses;
            return UTTER_OK;
        }
        ut_espeak_unlock();
    }
    ut_mem_free(reader->mem, clauses);
    return status;
}

/* White space as phonemizer leaves it: trimmed, and one pass of two spaces to one. */
static void tidy(struct ut_text_buffer *text) {
    size_t begin = 0, end = text->n, n = 0;
    while (begin < end && is_blank((unsigned char)text->data[begin])) {
        begin++;
    }
    while (end > begin && is_blank((unsigned char)text->data[end - 1])) {
        end--;
    }
    for (size_t i = begin; i < end; i++) {
        char c = text->data[i] == '\n' ? ' ' : text->data[i];
        i += c == ' ' && i + 1 < end && (text->data[i + 1] == ' ' || text->data[i + 1] == '\n');
        text->data[n++] = c;
    }
    text->n = n;
}

/* Phonemes of s[0, n) into symbols->now, espeak-ng being ours. */
static utter_status speak_espeak(struct ut_misaki_reader *reader, const char *s, size_t n,
                                 struct ut_misaki_symbols *symbols, utter_error *err) {
    struct ut_text_buffer *out = &symbols->now;
    utter_status status = UTTER_OK;
    out->n = 0;
    ut_clause_start(reader->clauses, s, n);
    while (ut_clause_has_more(reader->clauses) && status == UTTER_OK) {
        struct ut_clause clause;
        status = ut_clause_read(reader->clauses, PHONEME_MODE, &clause, err);
        if (status == UTTER_OK && clause.begin > 0) {
            status = ut_text_buffer_append(out, " ", 1, err);
        }
        if (status == UTTER_OK) {
            status = ut_text_buffer_append(out, clause.phonemes, strlen(clause.phonemes), err);
        }
    }
    if (status != UTTER_OK) {
        return status;
    }
    tidy(out);
    ut_clause_remove_flags(out, 0);
    return ut_misaki_map(reader->misaki->language, symbols, err);
}

/* A word that the lexicon does not have. */
static utter_status speak_word(void *user, const char *word, size_t n, struct ut_text_buffer *out,
                               utter_error *err) {
    struct ut_misaki_reader *reader = user;
    utter_status status = speak_espeak(reader, word, n, &reader->word, err);
    return status == UTTER_OK
               ? ut_text_buffer_append(out, reader->word.now.data, reader->word.now.n, err)
               : status;
}

/* Without espeak-ng a lexicon still reads what it has; that is tried once and logged once. */
static utter_status speak_lexicon(struct ut_misaki_reader *reader, const char *s, size_t n,
                                  utter_error *err) {
    if (!reader->clauses && !reader->lacks_espeak) {
        utter_error reason;
        utter_status status = take_espeak(reader, &reason);
        if (status == UTTER_ERROR_MEMORY || status == UTTER_ERROR_IO) {
            return ut_fail(err, status, "%s", reason.message); /* it may work next time */
        }
        reader->lacks_espeak = status != UTTER_OK;
        if (reader->lacks_espeak) {
            ut_log(reader->log, UTTER_LOG_INFO, "words that the lexicon lacks are spelled: %s",
                   reason.message);
        }
    }
    size_t n_unknown = 0;
    reader->symbols.now.n = 0;
    utter_status status =
        ut_lexicon_phonemize(reader->misaki->lexicon, s, n, reader->clauses ? speak_word : NULL,
                             reader, &reader->symbols.now, &n_unknown, err);
    reader->n_unknown += n_unknown;
    if (status == UTTER_OK) {
        tidy(&reader->symbols.now);
    }
    return status;
}

/* Mandarin's text is IPA. */
static utter_status speak_ipa(struct ut_misaki_reader *reader, const char *s, size_t n,
                              utter_error *err) {
    reader->symbols.now.n = 0;
    utter_status status = ut_text_buffer_append(&reader->symbols.now, s, n, err);
    if (status == UTTER_OK) {
        status = ut_misaki_map('z', &reader->symbols, err);
    }
    return status == UTTER_OK ? ut_misaki_map_written(&reader->symbols, err) : status;
}

/* Phonemes of the piece into symbols.now. */
static utter_status speak_piece(struct ut_misaki_reader *reader, utter_error *err) {
    const struct ut_text_buffer *text = &reader->piece;
    size_t n = reader->n_piece;
    utter_status status = UTTER_OK;
    if (reader->misaki->language == 'z' && !reader->misaki->lexicon) {
        return speak_ipa(reader, text->data, n, err);
    }
    if (reader->has_combining) {
        reader->composed.n = 0;
        status = ut_nfc_append(&reader->composed, text->data, n, err);
        text = &reader->composed;
        n = text->n;
    }
    if (status == UTTER_OK && reader->misaki->lexicon) {
        return speak_lexicon(reader, text->data, n, err);
    }
    if (status == UTTER_OK) {
        status = take_espeak(reader, err);
    }
    return status == UTTER_OK ? speak_espeak(reader, text->data, n, &reader->symbols, err) : status;
}

/* Ends the piece that is being collected, if there is one. */
static utter_status flush_piece(struct ut_misaki_reader *reader, utter_error *err) {
    bool space_behind = reader->piece.n > reader->n_piece;
    if (reader->n_piece == 0) {
        return UTTER_OK;
    }
    utter_status status = speak_piece(reader, err);
    if (status == UTTER_OK) {
        status = append_spoken(reader, &reader->symbols.now, reader->piece_begin, reader->piece_end,
                               err);
    }
    reader->piece.n = reader->n_piece = reader->words.weight = 0;
    reader->space = reader->space || space_behind;
    reader->clause_ends = reader->has_combining = false;
    return status;
}

/* ---- Markup --------------------------------------------------------------------------------- */

/* Phonemes that the user wrote in place of text[link.begin, link.end). */
static utter_status append_written(struct ut_misaki_reader *reader,
                                   const struct ut_misaki_link *link, utter_error *err) {
    struct ut_text_buffer *out = &reader->symbols.now;
    out->n = 0;
    utter_status status = ut_text_buffer_append(out, reader->line.text + link->target_begin,
                                                link->target_end - link->target_begin, err);
    if (status != UTTER_OK) {
        return status;
    }
    tidy(out);
    status = ut_misaki_map_written(&reader->symbols, err);
    return status == UTTER_OK ? append_spoken(reader, out, link->begin, link->end, err) : status;
}

/* The link is read through when its word is to be read; *at moves behind the bracket or the link.
 */
static utter_status begin_link(struct ut_misaki_reader *reader, const struct ut_misaki_link *link,
                               size_t *at, utter_error *err) {
    bool is_stress = link->kind == UT_MISAKI_LINK_STRESS && is_english(reader);
    utter_status status = UTTER_OK;
    *at = link->word_begin;
    if (is_stress || link->kind == UT_MISAKI_LINK_PHONEMES) {
        status = flush_piece(reader, err);
    }
    if (link->kind == UT_MISAKI_LINK_PHONEMES) {
        *at = link->end;
        reader->sentence = UT_MISAKI_INSIDE;
        return status == UTTER_OK ? append_written(reader, link, err) : status;
    }
    reader->in_link = true;
    reader->link = *link;
    reader->link.kind = is_stress ? UT_MISAKI_LINK_STRESS : UT_MISAKI_LINK_IGNORED;
    reader->link_phonemes = reader->line.phonemes.n;
    return status;
}

/* Takes the phonemes of the link's word back and appends them with another stress. */
static utter_status restress(struct ut_misaki_reader *reader, utter_error *err) {
    struct ut_misaki_line *line = &reader->line;
    const struct ut_misaki_link *link = &reader->link;
    size_t begin = reader->link_phonemes;
    if (begin < line->phonemes.n && line->phonemes.data[begin] == ' ') {
        begin++;
    }
    struct ut_text_buffer *out = &reader->symbols.now;
    out->n = 0;
    utter_status status =
        ut_text_buffer_append(out, line->phonemes.data + begin, line->phonemes.n - begin, err);
    if (status == UTTER_OK) {
        status = ut_misaki_map_stress(link->level, &reader->symbols, err);
    }
    if (status != UTTER_OK) {
        return status;
    }
    while (line->n_anchors > 0 && line->anchors[line->n_anchors - 1].phoneme >= begin) {
        line->n_anchors--;
    }
    line->phonemes.n = begin;
    bool space_behind = reader->space;
    reader->space = false;
    status = append_spoken(reader, out, link->begin, link->end, err);
    reader->space = space_behind;
    return status;
}

/* Levels are for English only; begin_link has made the others IGNORED. */
static utter_status end_link(struct ut_misaki_reader *reader, utter_error *err) {
    reader->in_link = false;
    if (reader->link.kind != UT_MISAKI_LINK_STRESS) {
        return UTTER_OK;
    }
    utter_status status = flush_piece(reader, err);
    return status == UTTER_OK && reader->line.phonemes.n > reader->link_phonemes
               ? restress(reader, err)
               : status;
}

/* ---- A line ---------------------------------------------------------------------------------- */

/* Keeps words and pieces, of which the character at `at` is the next, within what espeak-ng can
 * hold. */
static utter_status part_piece(struct ut_misaki_reader *reader, size_t at, size_t end,
                               utter_error *err) {
    const char *text = reader->line.text;
    size_t next = at;
    bool blank = is_blank(ut_utf8_next(text, end, &next));
    enum ut_parting parting = ut_long_words_next(&reader->words, text, at, end, blank);
    if (parting == UT_PART_CLAUSE) {
        utter_status status = flush_piece(reader, err);
        reader->space = true;
        return status;
    }
    return parting == UT_PART_WORD ? ut_text_buffer_append(&reader->piece, " ", 1, err) : UTTER_OK;
}

/* Adds the bytes of text[at, next) to the piece. */
static utter_status collect(struct ut_misaki_reader *reader, size_t at, size_t next, bool blank,
                            utter_error *err) {
    if (reader->n_piece == 0) {
        if (blank) {
            reader->space = true;
            return UTTER_OK;
        }
        reader->piece_begin = at;
    }
    /* White space of one byte may be a control character or a newline. */
    const char *bytes = blank && next - at == 1 ? " " : reader->line.text + at;
    utter_status status = ut_text_buffer_append(&reader->piece, bytes, next - at, err);
    if (status == UTTER_OK && !blank) {
        reader->n_piece = reader->piece.n;
        reader->piece_end = next;
    }
    return status;
}

/* Notes the end of a sentence when `c`, at byte `at`, shows that the mark before was one. */
static utter_status end_sentence(struct ut_misaki_reader *reader, uint32_t c, size_t at,
                                 utter_error *err) {
    if (reader->sentence == UT_MISAKI_INSIDE || is_sentence_mark(c) || is_closing_mark(c)) {
        return UTTER_OK;
    }
    bool ends = is_blank(c) || reader->sentence == UT_MISAKI_AFTER_WIDE_MARK;
    reader->sentence = UT_MISAKI_INSIDE;
    if (!ends) {
        return UTTER_OK;
    }
    utter_status status = flush_piece(reader, err);
    return status == UTTER_OK ? add_anchor(&reader->line, at, true, err) : status;
}

/* True if the comma or point at `at` belongs to a number. */
static bool is_in_number(const struct ut_misaki_reader *reader, size_t at, size_t next,
                         size_t begin, size_t end) {
    const char *text = reader->line.text;
    return at > begin && next < end && is_digit(ut_utf8_previous(text, &at)) &&
           is_digit(ut_utf8_next(text, end, &next));
}

/* With a lexicon marks stay in the piece, since the lexicon reads them; else each ends the piece
 * and goes to the phonemes as it is. Other languages' guillemets become quotes. */
static utter_status read_mark(struct ut_misaki_reader *reader, uint32_t c, bool is_wide, size_t at,
                              size_t next, utter_error *err) {
    if (is_sentence_mark(c)) {
        reader->sentence = is_wide ? UT_MISAKI_AFTER_WIDE_MARK : UT_MISAKI_AFTER_MARK;
    }
    if (reader->misaki->lexicon && !is_wide) {
        reader->clause_ends = reader->clause_ends || is_clause_mark(c);
        return collect(reader, at, next, false, err);
    }
    if (!is_english(reader)) {
        c = c == 0xAB ? 0x201C : c == 0xBB ? 0x201D : c;
    }
    utter_status status = flush_piece(reader, err);
    /* Full-width marks bring their space with them: behind what closes, before what opens. */
    bool closes = is_closing_mark(c) || is_clause_mark(c);
    if (reader->wide_space || is_wide) {
        reader->space = !closes;
    }
    if (status == UTTER_OK) {
        status = append_mark(reader, c, at, err);
    }
    reader->space = reader->wide_space = is_wide && closes;
    return status;
}

/* Text that only Japanese or Mandarin has. *c changes to what is to be read. */
static utter_status check_east_asian(const struct ut_misaki_reader *reader, uint32_t *c, size_t at,
                                     size_t begin, size_t end, utter_error *err) {
    if (is_han(*c)) {
        return fail_han(reader, at, end, err);
    }
    bool is_dot = *c == 0x30FB || *c == 0xFF65, is_long = *c == 0x30FC || *c == 0xFF70;
    if (is_dot ||
        (is_long && (at == begin || !ut_is_kana(ut_utf8_previous(reader->line.text, &at))))) {
        *c = ' '; /* espeak-ng would spell it */
    }
    return UTTER_OK;
}

/* One character: a mark, or a part of a piece. *at moves behind it. */
static utter_status read_character(struct ut_misaki_reader *reader, size_t *at, size_t begin,
                                   size_t end, utter_error *err) {
    size_t here = *at;
    uint32_t c = ut_utf8_next(reader->line.text, end, at), narrow = 0;
    utter_status status = UTTER_OK;
    if (is_east_asian(reader)) {
        narrow = narrow_mark(c);
        status = check_east_asian(reader, &c, here, begin, end, err);
    }
    if (status == UTTER_OK) {
        status = end_sentence(reader, narrow ? narrow : c, here, err);
    }
    if (status != UTTER_OK) {
        return status;
    }
    bool is_number = (c == ',' || c == '.') && is_in_number(reader, here, *at, begin, end);
    if (narrow || (is_mark(c) && !is_number)) {
        return read_mark(reader, narrow ? narrow : c, narrow != 0, here, *at, err);
    }
    bool blank = is_blank(c);
    reader->has_combining = reader->has_combining || is_combining(c);
    if (!reader->misaki->lexicon && reader->misaki->language != 'z') {
        status = part_piece(reader, here, end, err);
    }
    if (status == UTTER_OK) {
        status = collect(reader, here, *at, blank, err);
    }
    bool is_end = is_danda(c) || (blank && reader->clause_ends);
    if (status == UTTER_OK && is_end) {
        status = flush_piece(reader, err);
        reader->space = true;
        reader->sentence = is_danda(c) ? UT_MISAKI_AFTER_WIDE_MARK : reader->sentence;
    }
    return status;
}

/* Links are looked for only outside of links: markup does not nest. */
utter_status ut_misaki_read_line(struct ut_misaki_reader *reader, size_t begin, size_t end,
                                 utter_error *err) {
    struct ut_misaki_line *line = &reader->line;
    struct ut_misaki_links links = {.text = line->text, .n = end};
    line->text_begin = begin;
    line->text_end = end;
    line->phonemes.n = line->n_anchors = 0;
    reader->words = (struct ut_long_words){.weight = 0};
    reader->space = reader->wide_space = reader->in_marks = reader->in_link = false;
    reader->sentence = UT_MISAKI_INSIDE;
    utter_status status = UTTER_OK;
    for (size_t at = begin; at < end && status == UTTER_OK;) {
        struct ut_misaki_link link;
        if (reader->in_link && at == reader->link.word_end) {
            status = end_link(reader, err);
            at = reader->link.end;
        } else if (!reader->in_link && line->text[at] == '[' &&
                   ut_misaki_link_at(&links, at, &link)) {
            status = begin_link(reader, &link, &at, err);
        } else {
            status = read_character(reader, &at, begin, end, err);
        }
    }
    return status == UTTER_OK ? flush_piece(reader, err) : status;
}

/* espeak-ng is locked from the first clause to here. */
void ut_misaki_reader_free(struct ut_misaki_reader *reader) {
    if (reader->clauses) {
        ut_espeak_unlock();
        ut_mem_free(reader->mem, reader->clauses);
        reader->clauses = NULL;
    }
    ut_mem_free(reader->mem, reader->line.anchors);
    ut_text_buffer_free(&reader->line.phonemes);
    ut_text_buffer_free(&reader->piece);
    ut_text_buffer_free(&reader->composed);
    ut_text_buffer_free(&reader->symbols.now);
    ut_text_buffer_free(&reader->symbols.spare);
    ut_text_buffer_free(&reader->word.now);
    ut_text_buffer_free(&reader->word.spare);
}
