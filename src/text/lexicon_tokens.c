/* Cuts text into the tokens of lexicon_parts.h, in one pass. Words are runs of letters of any
 * script with inner apostrophes; hyphens, dots and quotes are told apart by their neighbours.
 * Brackets and full-width marks become those that Kokoro knows; a straight double quote opens or
 * closes by what stands before it. Characters without a sound or a name (zero-width ones, / _ | and
 * the like) are dropped. */
#include "base/checked.h"
#include "text/lexicon_parts.h"
#include "text/marks.h"
#include "text/number_words.h"
#include "text/utf8_walk.h"

enum { MAX_TEXT_BYTES = 1 << 23 }; /* times the longest value: below 4 GB of phonemes */

/* ---- Marks and symbols ----------------------------------------------------------------------- */

/* Indexes of mark_texts. */
enum {
    SEMICOLON,
    COLON,
    COMMA,
    PERIOD,
    EXCLAMATION,
    QUESTION,
    DASH,
    ELLIPSIS,
    OPEN_QUOTE,
    CLOSE_QUOTE,
    OPEN_BRACKET,
    CLOSE_BRACKET
};

static const char *const mark_texts[] = {";", ":", ",", ".", "!", "?",
                                         "—", "…", "“", "”", "(", ")"};

/* Marks as they are written anywhere, and which of the above each is read as. */
static const struct {
    uint32_t c;
    uint8_t mark;
} mark_chars[] = {
    {';', SEMICOLON},        {':', COLON},          {',', COMMA},          {'.', PERIOD},
    {'!', EXCLAMATION},      {'?', QUESTION},       {'(', OPEN_BRACKET},   {')', CLOSE_BRACKET},
    {'[', OPEN_BRACKET},     {']', CLOSE_BRACKET},  {'{', OPEN_BRACKET},   {'}', CLOSE_BRACKET},
    {0xAB, OPEN_QUOTE},      {0xBB, CLOSE_QUOTE},   {0x2014, DASH},        {0x2015, DASH},
    {0x201C, OPEN_QUOTE},    {0x201D, CLOSE_QUOTE}, {0x201E, OPEN_QUOTE},  {0x2026, ELLIPSIS},
    {0x3001, COMMA},         {0x3002, PERIOD},      {0xFF01, EXCLAMATION}, {0xFF08, OPEN_BRACKET},
    {0xFF09, CLOSE_BRACKET}, {0xFF0C, COMMA},       {0xFF1A, COLON},       {0xFF1B, SEMICOLON},
    {0xFF1F, QUESTION},
};

/* Symbols that are read by name; where `only_alone` is set, between blanks only. */
static const struct {
    uint32_t c;
    bool only_alone; /* elsewhere it is markup */
    const char *words;
} symbols[] = {
    {'%', false, "percent"},
    {'&', false, "and"},
    {'+', false, "plus"},
    {'@', false, "at"},
    {'=', false, "equals"},
    {'#', false, "number"},
    {'<', false, "less than"},
    {'>', false, "greater than"},
    {'$', false, "dollar"},
    {'*', true, "asterisk"},
    {'\\', true, "backslash"},
    {0xA2, false, "cents"},
    {0xA3, false, "pound"},
    {0xA5, false, "yen"},
    {0xA7, false, "section"},
    {0xA9, false, "copyright"},
    {0xAE, false, "registered"},
    {0xB0, false, "degrees"},
    {0xB1, false, "plus minus"},
    {0xB6, false, "paragraph"},
    {0xBC, false, "one quarter"},
    {0xBD, false, "one half"},
    {0xBE, false, "three quarters"},
    {0xD7, false, "times"},
    {0xF7, false, "divided by"},
    {0x20AC, false, "euro"},
    {0x2122, false, "trademark"},
    {0x2212, false, "minus"},
    {0x2248, false, "approximately"},
    {'-', false, "minus"},
    {'.', false, "dot"},
};

const char *ut_mark_text(uint8_t mark) {
    return mark_texts[mark];
}

bool ut_mark_opens(uint8_t mark) {
    return mark == OPEN_QUOTE || mark == OPEN_BRACKET;
}

bool ut_mark_is_dash(uint8_t mark) {
    return mark == DASH;
}

bool ut_mark_ends_sentence(uint8_t mark) {
    return mark == PERIOD || mark == EXCLAMATION || mark == QUESTION || mark == ELLIPSIS;
}

const char *ut_symbol_words(uint8_t symbol) {
    return symbols[symbol].words;
}

static int find_mark(uint32_t c) {
    for (size_t i = 0; i < UT_COUNT(mark_chars); i++) {
        if (mark_chars[i].c == c) {
            return mark_chars[i].mark;
        }
    }
    return -1;
}

/* Linear, as for marks: the tables fit into a few lines of cache. */
static int find_symbol(uint32_t c) {
    for (size_t i = 0; i < UT_COUNT(symbols); i++) {
        if (symbols[i].c == c) {
            return (int)i;
        }
    }
    return -1;
}

/* ---- Classes of characters ------------------------------------------------------------------- */

/* All white space, the no-break kinds and control characters. */
static bool is_blank(uint32_t c) {
    return c <= 0x20 || c == 0x7F || c == 0xA0 || c == 0x2007 || c == 0x202F || c == 0x2029 ||
           ut_is_space(c);
}

static bool has_no_width(uint32_t c) {
    return c == 0xAD || (c >= 0x200B && c <= 0x200F) || (c >= 0x202A && c <= 0x202E) ||
           (c >= 0x2060 && c <= 0x2069) || (c >= 0xFE00 && c <= 0xFE0F) || c == 0xFEFF;
}

/* Bullets, daggers, inverted marks: punctuation that nothing here gives a sound. */
static bool is_silent(uint32_t c) {
    return c < 0x80 || has_no_width(c) || c == 0xA1 || c == 0xB7 || c == 0xBF ||
           (c >= 0x2010 && c <= 0x205E);
}

static bool is_apostrophe(uint32_t c) {
    return c == '\'' || c == 0x2018 || c == 0x2019 || c == 0x2BC;
}

static bool is_dash(uint32_t c) {
    return c == '-' || (c >= 0x2010 && c <= 0x2015);
}

/* Goes on with a word without beginning one: a combining mark, a soft hyphen. */
static bool is_combining(uint32_t c) {
    return (c >= 0x300 && c <= 0x36F) || c == 0xAD;
}

/* Letters and digits of any script that are not taken for something else here. */
static bool is_letter(uint32_t c) {
    if (c < 0x80) {
        return ut_ascii_is_letter((char)c);
    }
    return !is_combining(c) && !has_no_width(c) && !is_apostrophe(c) && !is_dash(c) &&
           find_symbol(c) < 0 && find_mark(c) < 0 && ut_is_alphanumeric(c);
}

/* The code point at `at`, 0 behind the end. */
static uint32_t peek(const struct ut_reading *reading, size_t at, size_t *after) {
    *after = at;
    return at < reading->n_bytes ? ut_utf8_next(reading->text, reading->n_bytes, after) : 0;
}

static bool letter_at(const struct ut_reading *reading, size_t at) {
    size_t after;
    return is_letter(peek(reading, at, &after));
}

static bool digit_at(const struct ut_reading *reading, size_t at) {
    return at < reading->n_bytes && reading->text[at] >= '0' && reading->text[at] <= '9';
}

static bool blank_at(const struct ut_reading *reading, size_t at) {
    size_t after;
    return at >= reading->n_bytes || is_blank(peek(reading, at, &after));
}

/* ---- The scan -------------------------------------------------------------------------------- */

struct scanner {
    struct ut_reading *reading;
    size_t at;
    bool space;         /* white space, or the beginning, is before `at` */
    size_t last_spoken; /* behind the last letter or digit of the text */
};

/* A token from the scanner's place to `end`, which becomes the place; s->space tells whether it is
 * glued to the one before. */
static utter_status push(struct scanner *s, size_t end, enum ut_token_kind kind, int what,
                         utter_error *err) {
    struct ut_reading *reading = s->reading;
    if (reading->n_tokens == reading->capacity) {
        size_t capacity = 2 * reading->capacity + 32;
        struct ut_token *grown =
            ut_mem_realloc(reading->mem, UT_MEM_SESSION, reading->tokens, capacity * sizeof *grown);
        if (!grown) {
            return ut_fail_memory(err, capacity * sizeof *grown);
        }
        reading->tokens = grown;
        reading->capacity = capacity;
    }
    reading->tokens[reading->n_tokens++] = (struct ut_token){.begin = (uint32_t)s->at,
                                                             .end = (uint32_t)end,
                                                             .kind = (uint8_t)kind,
                                                             .what = (uint8_t)what,
                                                             .glued = !s->space};
    s->at = end;
    s->space = false;
    return UTTER_OK;
}

/* The end of the run of letters at `at`; combining marks go on with one. */
static size_t scan_letters(const struct ut_reading *reading, size_t at) {
    size_t end = at, after;
    for (uint32_t c = peek(reading, at, &after); is_letter(c) || (is_combining(c) && end > at);
         c = peek(reading, end, &after)) {
        end = after;
    }
    return end;
}

/* Letters and apostrophes between letters. */
static size_t scan_word(const struct ut_reading *reading, size_t at) {
    size_t end = scan_letters(reading, at), after;
    while (is_apostrophe(peek(reading, end, &after)) && letter_at(reading, after)) {
        end = scan_letters(reading, after);
    }
    return end;
}

/* Is text[begin, end), which may end with an apostrophe or dot, in the lexicon? */
static utter_status lexicon_has(struct scanner *s, size_t begin, size_t end, bool *has,
                                utter_error *err) {
    *has = false;
    if (end - begin > UT_LEXICON_MAX_WORD_BYTES) {
        return UTTER_OK;
    }
    struct ut_reading *reading = s->reading;
    utter_status status = ut_reading_take_word(reading, begin, end, err);
    *has =
        status == UTTER_OK && ut_lexicon_has(reading->lexicon, reading->word.data, reading->word.n);
    return status;
}

/* U.S. e.g. Ph.D: parts of one or two letters. Returns `end` if it is no such word. */
static size_t scan_dotted(const struct ut_reading *reading, size_t begin, size_t end) {
    size_t dotted = end;
    while (end - begin <= 2 && end < reading->n_bytes && reading->text[end] == '.' &&
           letter_at(reading, end + 1)) {
        begin = end + 1;
        end = scan_word(reading, begin);
        dotted = end - begin <= 2 ? end : dotted;
    }
    return dotted;
}

/* Moves *end over a dot or apostrophe that belongs to the word. The text's last dot stays a mark.
 */
static utter_status extend_word(struct scanner *s, size_t *end, utter_error *err) {
    const struct ut_reading *reading = s->reading;
    size_t after;
    uint32_t c = peek(reading, *end, &after);
    if (c == '.') {
        size_t dotted = scan_dotted(reading, s->at, *end);
        bool belongs = dotted > *end;
        *end = dotted;
        if (dotted >= s->last_spoken || dotted >= reading->n_bytes ||
            reading->text[dotted] != '.' || letter_at(reading, dotted + 1)) {
            return UTTER_OK;
        }
        belongs = belongs || ut_lexicon_is_title(reading->text + s->at, dotted - s->at);
        if (!belongs) {
            utter_status status = lexicon_has(s, s->at, dotted + 1, &belongs, err);
            if (status != UTTER_OK) {
                return status;
            }
        }
        *end += belongs;
    } else if (is_apostrophe(c)) {
        bool belongs;
        utter_status status = lexicon_has(s, s->at, after, &belongs, err);
        *end = belongs ? after : *end;
        return status;
    }
    return UTTER_OK;
}

static utter_status push_word(struct scanner *s, size_t letters_at, utter_error *err) {
    size_t end = scan_word(s->reading, letters_at);
    utter_status status = extend_word(s, &end, err);
    return status == UTTER_OK ? push(s, end, UT_TOKEN_WORD, 0, err) : status;
}

/* 'em and 'twas where the lexicon has them; else a quote, which is silent. */
static utter_status push_apostrophe(struct scanner *s, size_t after, utter_error *err) {
    bool has = false;
    if (letter_at(s->reading, after)) {
        utter_status status = lexicon_has(s, s->at, scan_word(s->reading, after), &has, err);
        if (status != UTTER_OK) {
            return status;
        }
    }
    if (has) {
        return push_word(s, after, err);
    }
    s->at = after;
    return UTTER_OK;
}

static bool follows_speech(const struct scanner *s) {
    const struct ut_reading *reading = s->reading;
    return !s->space && reading->n_tokens > 0 &&
           (reading->tokens[reading->n_tokens - 1].kind == UT_TOKEN_WORD ||
            reading->tokens[reading->n_tokens - 1].kind == UT_TOKEN_NUMBER);
}

/* - and its longer sisters: a join inside words, a minus before numbers, else a pause if it stands
 * alone or is long. */
static utter_status push_dash(struct scanner *s, uint32_t c, size_t after, utter_error *err) {
    const struct ut_reading *reading = s->reading;
    size_t end = after, next;
    while (is_dash(peek(reading, end, &next))) {
        end = next;
    }
    bool is_long = end > after || c >= 0x2014;
    if (!is_long && follows_speech(s) && (letter_at(reading, end) || digit_at(reading, end))) {
        return push(s, end, UT_TOKEN_JOIN, 0, err);
    }
    if (!is_long && s->space && ut_number_scan(reading->text + end, reading->n_bytes - end) > 0) {
        return push(s, end, UT_TOKEN_SYMBOL, find_symbol('-'), err);
    }
    if (is_long || (s->space && blank_at(reading, end))) {
        return push(s, end, UT_TOKEN_MARK, DASH, err);
    }
    s->at = end;
    return UTTER_OK;
}

/* * and \ inside a text are markup and dropped. */
static utter_status push_symbol(struct scanner *s, int symbol, size_t after, utter_error *err) {
    if (symbols[symbol].only_alone && !(s->space && blank_at(s->reading, after))) {
        s->at = after;
        return UTTER_OK;
    }
    return push(s, after, UT_TOKEN_SYMBOL, symbol, err);
}

/* Symbols that have no name here, as one token. */
static utter_status push_other(struct scanner *s, uint32_t c, size_t after, utter_error *err) {
    if (is_silent(c)) {
        s->at = after;
        return UTTER_OK;
    }
    size_t end = after, next;
    for (c = peek(s->reading, end, &next);
         !is_silent(c) && !is_letter(c) && !is_blank(c) && find_symbol(c) < 0 && find_mark(c) < 0;
         c = peek(s->reading, end, &next)) {
        end = next;
    }
    return push(s, end, UT_TOKEN_OTHER, 0, err);
}

/* One token or one character without a token. Numbers are tried first, because $ and . may begin
 * one; a dot between a word and a small letter is said ("dot com"). */
static utter_status scan_one(struct scanner *s, utter_error *err) {
    const struct ut_reading *reading = s->reading;
    size_t after;
    uint32_t c = peek(reading, s->at, &after);
    bool may_be_number = (c >= '0' && c <= '9') || c == '$' || c == 0xA3 || c == 0xA5 ||
                         c == 0x20AC || (c == '.' && s->space);
    size_t n_number =
        may_be_number ? ut_number_scan(reading->text + s->at, reading->n_bytes - s->at) : 0;
    int mark = find_mark(c), symbol = find_symbol(c);
    if (is_blank(c)) {
        s->space = true;
        s->at = after;
        return UTTER_OK;
    }
    if (n_number > 0) {
        return push(s, s->at + n_number, UT_TOKEN_NUMBER, 0, err);
    }
    if (is_letter(c)) {
        return push_word(s, s->at, err);
    }
    if (is_apostrophe(c)) {
        return push_apostrophe(s, after, err);
    }
    if (is_dash(c)) {
        return push_dash(s, c, after, err);
    }
    if (c == '"') {
        bool opens = s->space || (reading->n_tokens > 0 &&
                                  reading->tokens[reading->n_tokens - 1].kind == UT_TOKEN_MARK &&
                                  ut_mark_opens(reading->tokens[reading->n_tokens - 1].what));
        return push(s, after, UT_TOKEN_MARK, opens ? OPEN_QUOTE : CLOSE_QUOTE, err);
    }
    bool is_domain = c == '.' && follows_speech(s) && after < reading->n_bytes &&
                     reading->text[after] >= 'a' && reading->text[after] <= 'z';
    if (mark >= 0 && !is_domain) {
        return push(s, after, UT_TOKEN_MARK, mark, err);
    }
    return symbol >= 0 ? push_symbol(s, symbol, after, err) : push_other(s, c, after, err);
}

/* last_spoken is found from the end first: it decides whether the dot behind a word ends the
 * text. */
utter_status ut_lexicon_scan(struct ut_reading *reading, utter_error *err) {
    if (reading->n_bytes > MAX_TEXT_BYTES) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT,
                       "text of %zu bytes in one paragraph: %d is the most", reading->n_bytes,
                       MAX_TEXT_BYTES);
    }
    struct scanner s = {.reading = reading, .space = true, .last_spoken = reading->n_bytes};
    while (s.last_spoken > 0) {
        size_t at = ut_utf8_before(reading->text, s.last_spoken);
        if (letter_at(reading, at) || digit_at(reading, at)) {
            break;
        }
        s.last_spoken = at;
    }
    utter_status status = UTTER_OK;
    while (status == UTTER_OK && s.at < reading->n_bytes) {
        status = scan_one(&s, err);
    }
    return status;
}
