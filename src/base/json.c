/* JSON reader (RFC 8259) for untrusted text. The scanner runs twice over the text: first to check
 * it and to count, then to fill arrays of exactly that size, so nothing is ever grown or copied.
 *
 * A document is a tape of 8-byte tokens in the order of the text. A member is two tokens, key and
 * value; a container is followed by its children and links to the token behind them. An object of
 * BIG_OBJECT members or more ends with one more token that says where its sorted keys lie, which
 * makes look-ups and the search for duplicate keys O(log n) each. Strings are unescaped into a
 * pool, each behind its length. The dearest text per byte, "1,1,1", costs 8 bytes for 2.
 *
 * The text may be a mapped file that changes under us: getters and the second scan trust only the
 * tape, never that the text still says what it said before. */
#include "base/json.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/sort.h"
#include "base/utf8.h"

enum {
    START_BITS = 27,
    MAX_TEXT_BYTES = (1 << START_BITS) - 1,
    MAX_NUMBER_BYTES = 400, /* a double needs 25; more is refused so that conversions are bounded */
    BIG_OBJECT = 16
};

/* The type of an object whose last token leads to its sorted keys. */
#define TYPE_BIG_OBJECT (UT_JSON_OBJECT + 1)

struct token {
    uint32_t start : START_BITS; /* offset of the value's first byte in the text */
    uint32_t type : 3;
    uint32_t is_member : 1;
    uint32_t is_last : 1; /* among its siblings */
    uint32_t link;        /* container: the token behind it; string and key: offset in the pool */
};

struct ut_json {
    struct ut_mem *mem;
    size_t n_bytes; /* of the document */
    const char *text;
    size_t n;
    struct token *tokens;
    uint32_t *sorted; /* key tokens of the big objects, by name */
    char *pool;
};

/* What the first scan counts and the second must not exceed. Both scans count in the same order by
 * the same code: equal unless the text changed. */
struct usage {
    size_t n_tokens, n_sorted, n_pool;
};

/* An open container: the stack in place of a recursion. */
struct frame {
    uint32_t token; /* the container's */
    uint32_t last;  /* its latest child value */
    uint32_t n_children;
    bool is_object;
};

/* Both scans run the same functions; those that store do so only when there is a document. */
struct scanner {
    const char *text;
    size_t n, pos;
    struct ut_json *doc; /* NULL in the first scan */
    struct usage used, limit;
    struct frame stack[UT_JSON_MAX_DEPTH];
    int depth;
    utter_error *err;
};

static utter_status fail_at(const struct scanner *s, size_t pos, const char *what) {
    return ut_fail(s->err, UTTER_ERROR_FORMAT, "JSON: %s at byte %zu", what, pos);
}

/* ---- Characters, strings and numbers ------------------------------------------------------ */

/* Four hexadecimal digits at s, or -1. */
static int32_t hex4(const char *s, size_t n) {
    int32_t value = 0;
    for (size_t i = 0; i < 4; i++) {
        int c = i < n ? s[i] : 0, lower = c | 32;
        int digit = c >= '0' && c <= '9'           ? c - '0'
                    : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10
                                                   : -1;
        if (digit < 0) {
            return -1;
        }
        value = value << 4 | digit;
    }
    return value;
}

/* What stands behind a backslash at s; *length is what it takes. -1: no such escape. */
static int32_t decode_escape(const char *s, size_t n, size_t *length) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *known = n > 0 && s[0] ? strchr(from, s[0]) : NULL;
    if (known) {
        *length = 1;
        return to[known - from];
    }
    int32_t c = n > 0 && s[0] == 'u' ? hex4(s + 1, n - 1) : -1;
    *length = 5;
    if (c < 0xD800 || c >= 0xE000) {
        return c;
    }
    int32_t low = n >= 7 && s[5] == '\\' && s[6] == 'u' ? hex4(s + 7, n - 7) : -1;
    *length = 11;
    bool is_pair = c < 0xDC00 && low >= 0xDC00 && low < 0xE000;
    return is_pair ? 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00) : -1;
}

struct string {
    size_t length; /* unescaped */
    bool has_nul;
};

/* Reads the string whose opening quote is at s->pos and writes at most `capacity` unescaped bytes
 * to dst; counts those beyond. */
static utter_status scan_string(struct scanner *s, char *dst, size_t capacity, struct string *out) {
    *out = (struct string){0};
    for (s->pos++; s->pos < s->n && s->text[s->pos] != '"';) {
        const char *at = s->text + s->pos;
        bool escaped = *at == '\\';
        size_t length = 0;
        int32_t c = escaped ? decode_escape(at + 1, s->n - s->pos - 1, &length)
                            : ut_utf8_decode(at, s->n - s->pos, &length);
        if (c < 0) {
            return fail_at(s, s->pos, escaped ? "invalid escape" : "invalid UTF-8");
        }
        if (c < 0x20 && !escaped) {
            return fail_at(s, s->pos, "control character in a string");
        }
        char utf8[4];
        size_t n_bytes = ut_utf8_encode(c, utf8);
        for (size_t i = 0; i < n_bytes; i++, out->length++) {
            if (out->length < capacity) {
                dst[out->length] = utf8[i];
            }
        }
        out->has_nul |= c == 0;
        s->pos += length + escaped;
    }
    if (s->pos >= s->n) {
        return fail_at(s, s->pos, "string without an end");
    }
    s->pos++;
    return UTTER_OK;
}

static size_t skip_digits(struct scanner *s) {
    size_t from = s->pos;
    while (s->pos < s->n && s->text[s->pos] >= '0' && s->text[s->pos] <= '9') {
        s->pos++;
    }
    return s->pos - from;
}

/* Moves over one of the characters in `set`. */
static bool accept(struct scanner *s, const char *set) {
    bool found = s->pos < s->n && s->text[s->pos] && strchr(set, s->text[s->pos]);
    s->pos += found;
    return found;
}

/* RFC 8259's grammar, which is stricter than strtod: no leading zero, no "1.", no hexadecimal. */
static utter_status scan_number(struct scanner *s) {
    size_t from = s->pos;
    accept(s, "-");
    bool ok = accept(s, "0") || skip_digits(s) > 0;
    if (ok && accept(s, ".")) {
        ok = skip_digits(s) > 0;
    }
    if (ok && accept(s, "eE")) {
        accept(s, "+-");
        ok = skip_digits(s) > 0;
    }
    if (!ok) {
        return fail_at(s, s->pos, "expected a digit");
    }
    if (s->pos - from > MAX_NUMBER_BYTES) {
        return fail_at(s, from, "number of more than 400 characters");
    }
    return UTTER_OK;
}

static void skip_blanks(struct scanner *s) {
    while (accept(s, " \t\n\r")) {
    }
}

/* ---- Building the tape -------------------------------------------------------------------- */

static utter_status fail_changed(const struct scanner *s) {
    return ut_fail(s->err, UTTER_ERROR_IO,
                   "JSON: the text changed while it was read, near byte %zu", s->pos);
}

/* Tokens are counted in both scans and stored in the second. */
static utter_status add_token(struct scanner *s, struct token token) {
    size_t i = s->used.n_tokens++;
    if (s->doc) {
        if (i >= s->limit.n_tokens) {
            return fail_changed(s);
        }
        s->doc->tokens[i] = token;
    }
    return UTTER_OK;
}

static size_t varint_bytes(size_t value) {
    size_t n = 1;
    while (value >>= 7) {
        n++;
    }
    return n;
}

/* A string or key: into the pool as its length (7 bits per byte, low first), bytes and a NUL. */
static utter_status add_string(struct scanner *s, bool is_key, bool is_member) {
    struct token token = {.start = s->pos,
                          .type = UT_JSON_STRING,
                          .is_member = is_member,
                          .link = (uint32_t)s->used.n_pool};
    struct string string;
    utter_status status = scan_string(s, NULL, 0, &string);
    if (status) {
        return status;
    }
    if (is_key && string.has_nul) {
        return fail_at(s, token.start, "key with a NUL character");
    }
    size_t n_bytes = varint_bytes(string.length) + string.length + 1;
    if (s->doc) {
        if (n_bytes > s->limit.n_pool - s->used.n_pool) {
            return fail_changed(s);
        }
        char *dst = s->doc->pool + s->used.n_pool;
        size_t rest = string.length, expected = string.length;
        for (; rest >= 0x80; rest >>= 7) {
            *dst++ = (char)(rest | 0x80);
        }
        *dst++ = (char)rest;
        s->pos = token.start;
        status = scan_string(s, dst, expected, &string);
        if (status || string.length != expected) {
            return fail_changed(s);
        }
        dst[expected] = '\0';
    }
    s->used.n_pool += n_bytes;
    return add_token(s, token);
}

static utter_status add_literal(struct scanner *s, bool is_member) {
    static const struct {
        const char *text;
        enum ut_json_type type;
    } literals[] = {{"null", UT_JSON_NULL}, {"true", UT_JSON_BOOL}, {"false", UT_JSON_BOOL}};
    for (size_t i = 0; i < UT_COUNT(literals); i++) {
        size_t n = strlen(literals[i].text);
        if (n <= s->n - s->pos && memcmp(s->text + s->pos, literals[i].text, n) == 0) {
            struct token token = {
                .start = s->pos, .type = literals[i].type, .is_member = is_member};
            s->pos += n;
            return add_token(s, token);
        }
    }
    return fail_at(s, s->pos, "expected a value");
}

/* The token's link is filled in by close_container, when the token behind the container is
 * known. */
static utter_status open_container(struct scanner *s, bool is_object, bool is_member) {
    if (s->depth == UT_JSON_MAX_DEPTH) {
        return fail_at(s, s->pos, "more than 64 levels");
    }
    s->stack[s->depth++] =
        (struct frame){.token = (uint32_t)s->used.n_tokens, .is_object = is_object};
    struct token token = {.start = s->pos++,
                          .type = is_object ? UT_JSON_OBJECT : UT_JSON_ARRAY,
                          .is_member = is_member};
    return add_token(s, token);
}

/* Notes the value in the container it stands in; a member's value is the token behind its key. */
static utter_status scan_value(struct scanner *s) {
    struct frame *parent = s->depth > 0 ? &s->stack[s->depth - 1] : NULL;
    bool is_member = parent && parent->is_object;
    if (parent) {
        parent->last = (uint32_t)s->used.n_tokens;
        parent->n_children++;
    }
    size_t start = s->pos;
    char c = s->pos < s->n ? s->text[s->pos] : '\0';
    if (c == '{' || c == '[') {
        return open_container(s, c == '{', is_member);
    }
    if (c == '"') {
        return add_string(s, false, is_member);
    }
    if (c == '-' || (c >= '0' && c <= '9')) {
        utter_status status = scan_number(s);
        struct token token = {.start = start, .type = UT_JSON_NUMBER, .is_member = is_member};
        return status ? status : add_token(s, token);
    }
    return add_literal(s, is_member);
}

/* ---- Keys: sorted in big objects, compared pairwise in small ones -------------------------- */

/* The reverse of add_string: a length of 7 bits a byte, then the bytes. */
static const char *pool_string(const struct ut_json *doc, uint32_t offset, size_t *n) {
    const unsigned char *at = (const unsigned char *)doc->pool + offset;
    *n = *at & 0x7F;
    for (int shift = 7; *at++ & 0x80; shift += 7) {
        *n |= (size_t)(*at & 0x7F) << shift;
    }
    return (const char *)at;
}

static const char *key_of(const struct ut_json *doc, uint32_t key_token) {
    size_t n;
    return pool_string(doc, doc->tokens[key_token].link, &n);
}

static int compare_keys(uint32_t a, uint32_t b, const void *context) {
    const struct ut_json *doc = context;
    return strcmp(key_of(doc, a), key_of(doc, b));
}

static utter_status fail_duplicate(const struct scanner *s, uint32_t key_token) {
    return ut_fail(s->err, UTTER_ERROR_FORMAT,
                   "JSON: key \"%.100s\" stands twice in one object, at byte %zu",
                   key_of(s->doc, key_token), (size_t)s->doc->tokens[key_token].start);
}

/* The token behind a value, whatever it holds. */
static uint32_t after(const struct ut_json *doc, uint32_t value) {
    uint32_t type = doc->tokens[value].type;
    return type == UT_JSON_ARRAY || type >= UT_JSON_OBJECT ? doc->tokens[value].link : value + 1;
}

/* At most 15 keys: 105 comparisons, and no memory. */
static utter_status check_small_object(const struct scanner *s, const struct frame *frame) {
    uint32_t keys[BIG_OBJECT], key = frame->token + 1;
    for (uint32_t i = 0; i < frame->n_children; i++, key = after(s->doc, key + 1)) {
        keys[i] = key;
        for (uint32_t j = 0; j < i; j++) {
            if (compare_keys(key, keys[j], s->doc) == 0) {
                return fail_duplicate(s, key);
            }
        }
    }
    return UTTER_OK;
}

/* The extra token has the number of members in `start` and the place of the sorted keys in
 * `link`. */
static utter_status index_big_object(struct scanner *s, const struct frame *frame) {
    size_t first = s->used.n_sorted, n = frame->n_children;
    s->used.n_sorted += n;
    if (s->doc) {
        if (n > s->limit.n_sorted - first) {
            return fail_changed(s);
        }
        uint32_t *keys = s->doc->sorted + first, key = frame->token + 1;
        for (size_t i = 0; i < n; i++, key = after(s->doc, key + 1)) {
            keys[i] = key;
        }
        ut_sort_u32(keys, n, compare_keys, s->doc);
        for (size_t i = 1; i < n; i++) {
            if (compare_keys(keys[i - 1], keys[i], s->doc) == 0) {
                return fail_duplicate(s, UT_MAX(keys[i - 1], keys[i]));
            }
        }
        s->doc->tokens[frame->token].type = TYPE_BIG_OBJECT;
    }
    return add_token(s, (struct token){.start = n, .link = (uint32_t)first});
}

/* Keys are compared in the second scan only, where their texts are in the pool. */
static utter_status close_container(struct scanner *s) {
    const struct frame *frame = &s->stack[--s->depth];
    utter_status status = UTTER_OK;
    s->pos++;
    if (s->doc && frame->n_children > 0) {
        s->doc->tokens[frame->last].is_last = 1;
    }
    if (frame->is_object && frame->n_children >= BIG_OBJECT) {
        status = index_big_object(s, frame);
    } else if (frame->is_object && s->doc) {
        status = check_small_object(s, frame);
    }
    if (s->doc) {
        s->doc->tokens[frame->token].link = (uint32_t)s->used.n_tokens;
    }
    return status;
}

/* ---- The document ------------------------------------------------------------------------- */

/* The next child of the innermost open container, or its end. */
static utter_status scan_child(struct scanner *s) {
    const struct frame *frame = &s->stack[s->depth - 1];
    skip_blanks(s);
    if (s->pos < s->n && s->text[s->pos] == (frame->is_object ? '}' : ']')) {
        return close_container(s);
    }
    if (frame->n_children > 0 && !accept(s, ",")) {
        return fail_at(s, s->pos, frame->is_object ? "expected ',' or '}'" : "expected ',' or ']'");
    }
    skip_blanks(s);
    if (frame->is_object) {
        if (s->pos >= s->n || s->text[s->pos] != '"') {
            return fail_at(s, s->pos, "expected a key");
        }
        utter_status status = add_string(s, true, false);
        if (status) {
            return status;
        }
        skip_blanks(s);
        if (!accept(s, ":")) {
            return fail_at(s, s->pos, "expected ':'");
        }
        skip_blanks(s);
    }
    return scan_value(s);
}

static utter_status scan_document(struct scanner *s) {
    skip_blanks(s);
    utter_status status = scan_value(s);
    while (!status && s->depth > 0) {
        status = scan_child(s);
    }
    if (status) {
        return status;
    }
    skip_blanks(s);
    return s->pos < s->n ? fail_at(s, s->pos, "unexpected bytes behind the value") : UTTER_OK;
}

/* One block: the document, its tokens, sorted keys and strings. */
static struct ut_json *create_document(struct ut_mem *mem, const char *text, size_t n,
                                       const struct usage *usage, size_t *n_bytes) {
    size_t tokens = sizeof(struct ut_json);
    size_t sorted = tokens + usage->n_tokens * sizeof(struct token);
    size_t pool = sorted + usage->n_sorted * sizeof(uint32_t);
    *n_bytes = pool + usage->n_pool;
    char *block = ut_mem_alloc(mem, UT_MEM_OTHER, *n_bytes);
    if (!block) {
        return NULL;
    }
    struct ut_json *doc = (struct ut_json *)block;
    *doc = (struct ut_json){.mem = mem,
                            .n_bytes = *n_bytes,
                            .text = text,
                            .n = n,
                            .tokens = (struct token *)(block + tokens),
                            .sorted = (uint32_t *)(block + sorted),
                            .pool = block + pool};
    return doc;
}

/* Nothing is allocated before the whole text was found to be valid. */
utter_status ut_json_parse(struct ut_mem *mem, const char *text, size_t n, struct ut_json **out,
                           utter_error *err) {
    *out = NULL;
    if (n > MAX_TEXT_BYTES) {
        return ut_fail(err, UTTER_ERROR_FORMAT, "JSON: %zu bytes, more than the %d that are read",
                       n, MAX_TEXT_BYTES);
    }
    struct scanner counting = {.text = text, .n = n, .err = err};
    utter_status status = scan_document(&counting);
    if (status) {
        return status;
    }
    size_t n_bytes;
    struct ut_json *doc = create_document(mem, text, n, &counting.used, &n_bytes);
    if (!doc) {
        return ut_fail_memory(err, n_bytes);
    }
    struct scanner filling = {.text = text, .n = n, .doc = doc, .limit = counting.used, .err = err};
    status = scan_document(&filling);
    if (status) {
        ut_json_free(doc);
        return status;
    }
    *out = doc;
    return UTTER_OK;
}

void ut_json_free(struct ut_json *doc) {
    if (doc) {
        ut_mem_free(doc->mem, doc);
    }
}

size_t ut_json_memory(const struct ut_json *doc) {
    return doc->n_bytes;
}

/* ---- Getters ------------------------------------------------------------------------------ */

enum ut_json_type ut_json_type(const struct ut_json *doc, ut_json_ref value) {
    if (value < 0) {
        return UT_JSON_NULL;
    }
    uint32_t type = doc->tokens[value].type;
    return type == TYPE_BIG_OBJECT ? UT_JSON_OBJECT : (enum ut_json_type)type;
}

size_t ut_json_count(const struct ut_json *doc, ut_json_ref value) {
    if (value >= 0 && doc->tokens[value].type == TYPE_BIG_OBJECT) {
        return doc->tokens[doc->tokens[value].link - 1].start;
    }
    size_t n = 0;
    for (ut_json_ref c = ut_json_first(doc, value); c >= 0; c = ut_json_next(doc, c)) {
        n++;
    }
    return n;
}

static ut_json_ref find_in_big_object(const struct ut_json *doc, ut_json_ref object,
                                      const char *key) {
    struct token index = doc->tokens[doc->tokens[object].link - 1];
    const uint32_t *keys = doc->sorted + index.link;
    size_t low = 0, high = index.start;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(key, key_of(doc, keys[middle]));
        if (order == 0) {
            return (ut_json_ref)keys[middle] + 1;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return -1;
}

ut_json_ref ut_json_member(const struct ut_json *doc, ut_json_ref object, const char *key) {
    if (ut_json_type(doc, object) != UT_JSON_OBJECT) {
        return -1;
    }
    if (doc->tokens[object].type == TYPE_BIG_OBJECT) {
        return find_in_big_object(doc, object, key);
    }
    for (ut_json_ref m = ut_json_first(doc, object); m >= 0; m = ut_json_next(doc, m)) {
        if (strcmp(key_of(doc, (uint32_t)m - 1), key) == 0) {
            return m;
        }
    }
    return -1;
}

ut_json_ref ut_json_first(const struct ut_json *doc, ut_json_ref container) {
    enum ut_json_type type = ut_json_type(doc, container);
    bool is_object = type == UT_JSON_OBJECT;
    bool is_container = is_object || type == UT_JSON_ARRAY;
    if (!is_container || doc->tokens[container].link == (uint32_t)container + 1) {
        return -1;
    }
    return container + (is_object ? 2 : 1);
}

ut_json_ref ut_json_next(const struct ut_json *doc, ut_json_ref value) {
    if (value <= 0 || doc->tokens[value].is_last) {
        return -1;
    }
    return (ut_json_ref)(after(doc, (uint32_t)value) + doc->tokens[value].is_member);
}

const char *ut_json_key(const struct ut_json *doc, ut_json_ref value) {
    return value > 0 && doc->tokens[value].is_member ? key_of(doc, (uint32_t)value - 1) : NULL;
}

const char *ut_json_string(const struct ut_json *doc, ut_json_ref value, size_t *n) {
    if (ut_json_type(doc, value) != UT_JSON_STRING) {
        return NULL;
    }
    size_t length;
    const char *string = pool_string(doc, doc->tokens[value].link, &length);
    if (n) {
        *n = length;
    }
    return string;
}

/* The end of the container that starts at s->pos. Only brackets and strings matter; it stops at the
 * end of a text that has changed. */
static void skip_container(struct scanner *s) {
    size_t depth = 0;
    while (s->pos < s->n) {
        char c = s->text[s->pos];
        struct string ignored;
        if (c == '"' && scan_string(s, NULL, 0, &ignored)) {
            return;
        }
        s->pos += c != '"';
        depth += c == '{' || c == '[';
        depth -= c == '}' || c == ']';
        if (depth == 0) {
            return;
        }
    }
}

/* The length is found by scanning again: it is asked for rarely, and would cost 4 bytes a token. */
const char *ut_json_raw(const struct ut_json *doc, ut_json_ref value, size_t *n) {
    if (value < 0) {
        *n = 0;
        return NULL;
    }
    struct scanner s = {.text = doc->text, .n = doc->n, .pos = doc->tokens[value].start};
    struct string ignored;
    utter_status status = UTTER_OK;
    switch (ut_json_type(doc, value)) {
    case UT_JSON_ARRAY:
    case UT_JSON_OBJECT:
        skip_container(&s);
        break;
    case UT_JSON_STRING:
        status = scan_string(&s, NULL, 0, &ignored);
        break;
    case UT_JSON_NUMBER:
        status = scan_number(&s);
        break;
    case UT_JSON_NULL:
    case UT_JSON_BOOL:
        s.pos += s.text[s.pos] == 'f' ? 5 : 4;
        break;
    }
    *n = status ? 0 : UT_MIN(s.pos, doc->n) - doc->tokens[value].start;
    return doc->text + doc->tokens[value].start;
}

bool ut_json_double(const struct ut_json *doc, ut_json_ref value, double *out) {
    char digits[MAX_NUMBER_BYTES + 1], *end;
    size_t n;
    const char *raw = ut_json_raw(doc, value, &n);
    if (ut_json_type(doc, value) != UT_JSON_NUMBER || n == 0 || n > MAX_NUMBER_BYTES) {
        return false;
    }
    memcpy(digits, raw, n);
    digits[n] = '\0';
    /* The program's own locale may have a decimal comma. */
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!c_locale) {
        return false;
    }
    double number = strtod_l(digits, &end, c_locale);
    freelocale(c_locale);
    if (*end != '\0' || !isfinite(number)) {
        return false;
    }
    *out = number;
    return true;
}

/* Digits only, as in "12": "12.0" and "1e3" are numbers, but no integers here. */
bool ut_json_int64(const struct ut_json *doc, ut_json_ref value, int64_t *out) {
    size_t n;
    const char *raw = ut_json_raw(doc, value, &n);
    if (ut_json_type(doc, value) != UT_JSON_NUMBER) {
        return false;
    }
    bool negative = n > 0 && raw[0] == '-';
    int64_t number = 0;
    for (size_t i = negative; i < n; i++) {
        int digit = raw[i] - '0';
        if (digit < 0 || digit > 9 || __builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, negative ? -digit : digit, &number)) {
            return false;
        }
    }
    *out = number;
    return n > (size_t)negative;
}

bool ut_json_bool(const struct ut_json *doc, ut_json_ref value, bool *out) {
    if (ut_json_type(doc, value) != UT_JSON_BOOL) {
        return false;
    }
    *out = doc->text[doc->tokens[value].start] == 't';
    return true;
}
