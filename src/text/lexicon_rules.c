/* The phonemizer data of TTS.cpp's "no_espeak" files: a dictionary of exceptions, grapheme groups
 * and rules made from espeak-ng's American English. Facts from TTS.cpp's loader
 * (src/models/kokoro/phonemizer.cpp, commit 724d97f); docs/lexicon.md says where utter reads them
 * differently.
 *
 * Dictionary: words -> alternatives. Rules: a word is cut greedily into grapheme groups and each
 * group has a path current.before.after.word, looked up as deep as it matches; a component *x
 * matches any ending with x, x* any beginning. All tables are sorted arrays, so that no choice of
 * keys makes them slow: look-ups cost O(log n), and those with patterns a bounded number of them.
 */
#include "base/checked.h"
#include "base/sort.h"
#include "text/lexicon_parts.h"

enum {
    MAX_GRAPHEME_BYTES = 32, /* longer groups and patterns are never matched */
    MAX_PATTERN_BYTES = 31,  /* one bit each in a node's masks */
    MAX_ALTERNATIVES = 256,
    MAX_PATH_BYTES = 3 * MAX_GRAPHEME_BYTES + UT_LEXICON_MAX_WORD_BYTES + 8,
    N_COMPONENTS = 4 /* current, before, after, word */
};

#define NO_VALUE UINT32_MAX

/* A key is a slice of the blob: the first part of a rule's key is a node's. */
struct item {
    uint32_t key, n_key; /* bytes in the blob */
    uint32_t value;      /* dictionary, rules: offset of a NUL-terminated string, or NO_VALUE */
    uint32_t marks;      /* dictionary: MARK_ */
    uint32_t endings, beginnings; /* rules: lengths of the patterns *x and x* one level deeper */
};

/* A dictionary key may begin with $ (only behind a number) or # (not first in its sentence) and end
 * with # (not last). */
enum { MARK_AFTER_NUMBER = 1, MARK_NOT_FIRST = 2, MARK_NOT_LAST = 4 };

/* `items` keep the file's order, `sorted` is the way to find them. */
struct table {
    struct item *items;
    size_t n;
    uint32_t *sorted; /* by key, each once */
    size_t n_sorted;
};

/* All strings lie in one block; items are offsets in it, half the size of pointers. */
struct ut_lexicon_rule_set {
    char *blob;
    size_t n_blob;
    struct table graphemes, nodes, dictionary;
};

/* ---- Sorted tables --------------------------------------------------------------------------- */

struct sort_context {
    const char *blob;
    const struct item *items;
};

/* Byte by byte; a shorter one comes before those that begin with it. */
static int compare_slices(const char *a, size_t n_a, const char *b, size_t n_b) {
    int order = memcmp(a, b, UT_MIN(n_a, n_b));
    return order != 0 ? order : (n_a > n_b) - (n_a < n_b);
}

static int compare_items(uint32_t a, uint32_t b, const void *context) {
    const struct sort_context *c = context;
    const struct item *x = &c->items[a], *y = &c->items[b];
    int order = compare_slices(c->blob + x->key, x->n_key, c->blob + y->key, y->n_key);
    return order != 0 ? order : (a > b) - (a < b);
}

/* Sorts, and of equal keys keeps the last one that has a value. */
static utter_status sort_table(struct ut_mem *mem, const char *blob, struct table *table,
                               utter_error *err) {
    struct item *items = table->items;
    table->sorted = ut_mem_alloc(mem, UT_MEM_OTHER, table->n * sizeof *table->sorted);
    if (!table->sorted) {
        return ut_fail_memory(err, table->n * sizeof *table->sorted);
    }
    for (size_t i = 0; i < table->n; i++) {
        table->sorted[i] = (uint32_t)i;
    }
    ut_sort_u32(table->sorted, table->n, compare_items, &(struct sort_context){blob, items});
    for (size_t i = 0; i < table->n; i++) {
        const struct item *item = &items[table->sorted[i]];
        const struct item *kept =
            table->n_sorted > 0 ? &items[table->sorted[table->n_sorted - 1]] : NULL;
        bool is_equal = kept && compare_slices(blob + kept->key, kept->n_key, blob + item->key,
                                               item->n_key) == 0;
        if (!is_equal) {
            table->sorted[table->n_sorted++] = table->sorted[i];
        } else if (item->value != NO_VALUE) {
            table->sorted[table->n_sorted - 1] = table->sorted[i];
        }
    }
    return UTTER_OK;
}

static struct item *find(const struct ut_lexicon_rule_set *rules, const struct table *table,
                         const char *key, size_t n) {
    size_t low = 0, high = table->n_sorted;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        struct item *item = &table->items[table->sorted[middle]];
        int order = compare_slices(key, n, rules->blob + item->key, item->n_key);
        if (order == 0) {
            return item;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

/* ---- Loading --------------------------------------------------------------------------------- */

static bool add_lengths(const char *const *strings, size_t n, size_t *total) {
    for (size_t i = 0; i < n; i++) {
        if (!ut_add_size(*total, strlen(strings[i]) + 1, total)) {
            return false;
        }
    }
    return true;
}

/* All sizes are known from the source: one pass to add them up, one to copy. */
static utter_status alloc_tables(struct ut_mem *mem, const struct ut_lexicon_rules *source,
                                 struct ut_lexicon_rule_set *rules, utter_error *err) {
    size_t n_bytes = 0, n_nodes;
    bool fits = add_lengths(source->graphemes, source->n_graphemes, &n_bytes) &&
                add_lengths(source->rule_keys, source->n_rules, &n_bytes) &&
                add_lengths(source->rule_phonemes, source->n_rules, &n_bytes) &&
                add_lengths(source->dictionary_keys, source->n_dictionary, &n_bytes) &&
                add_lengths(source->dictionary_values, source->n_dictionary, &n_bytes) &&
                ut_mul_size(source->n_rules, N_COMPONENTS, &n_nodes);
    if (!fits || n_bytes >= NO_VALUE) {
        return ut_fail(err, UTTER_ERROR_FORMAT,
                       "phonemizer data: its strings have more than 4 GB in all");
    }
    rules->blob = ut_mem_alloc(mem, UT_MEM_OTHER, n_bytes);
    struct table *tables[] = {&rules->graphemes, &rules->nodes, &rules->dictionary};
    size_t sizes[] = {source->n_graphemes, n_nodes, source->n_dictionary};
    for (size_t i = 0; i < UT_COUNT(tables); i++) {
        tables[i]->items = ut_mem_calloc(mem, UT_MEM_OTHER, sizes[i] + 1, sizeof(struct item));
        if (!rules->blob || !tables[i]->items) {
            return ut_fail_memory(err, n_bytes + sizes[i] * sizeof(struct item));
        }
    }
    return UTTER_OK;
}

/* There is room: alloc_tables added up the same strings. */
static uint32_t add_string(struct ut_lexicon_rule_set *rules, const char *text) {
    size_t n = strlen(text) + 1, at = rules->n_blob;
    memcpy(rules->blob + at, text, n);
    rules->n_blob += n;
    return (uint32_t)at;
}

static void add_graphemes(struct ut_lexicon_rule_set *rules,
                          const struct ut_lexicon_rules *source) {
    for (size_t i = 0; i < source->n_graphemes; i++) {
        uint32_t key = add_string(rules, source->graphemes[i]);
        rules->graphemes.items[rules->graphemes.n++] =
            (struct item){.key = key, .n_key = (uint32_t)strlen(source->graphemes[i])};
    }
}

/* Every level of the key becomes a node; only the deepest has the value. What is behind the third
 * dot is the word, dots and all. */
static utter_status add_rule(struct ut_lexicon_rule_set *rules, const char *key,
                             const char *phonemes, utter_error *err) {
    if (strlen(phonemes) > UT_LEXICON_MAX_VALUE_BYTES) {
        return ut_fail(err, UTTER_ERROR_FORMAT,
                       "phonemizer.rules: the phonemes of '%.40s' have %zu bytes: %d is the most",
                       key, strlen(phonemes), UT_LEXICON_MAX_VALUE_BYTES);
    }
    uint32_t at = add_string(rules, key), value = add_string(rules, phonemes);
    size_t n = strlen(key), end = 0;
    for (int level = 1; end < n || level == 1; level++, end++) {
        const char *dot = level < N_COMPONENTS ? memchr(key + end, '.', n - end) : NULL;
        end = dot ? (size_t)(dot - key) : n;
        rules->nodes.items[rules->nodes.n++] =
            (struct item){.key = at, .n_key = (uint32_t)end, .value = end == n ? value : NO_VALUE};
        if (end == n) {
            break;
        }
    }
    return UTTER_OK;
}

/* Tells each node which lengths of patterns are below it. */
static void note_patterns(struct ut_lexicon_rule_set *rules) {
    for (size_t i = 0; i < rules->nodes.n_sorted; i++) {
        const struct item *node = &rules->nodes.items[rules->nodes.sorted[i]];
        const char *key = rules->blob + node->key;
        size_t component = 0;
        int n_dots = 0;
        for (size_t at = 0; at < node->n_key && n_dots < N_COMPONENTS - 1; at++) {
            if (key[at] == '.') {
                component = at + 1;
                n_dots++;
            }
        }
        size_t n = node->n_key - component;
        if (n_dots == 0 || n == 0 || n - 1 > MAX_PATTERN_BYTES) {
            continue;
        }
        struct item *parent = find(rules, &rules->nodes, key, component - 1);
        if (key[component] == '*') {
            parent->endings |= 1u << (n - 1);
        } else if (key[node->n_key - 1] == '*') {
            parent->beginnings |= 1u << (n - 1);
        }
    }
}

/* Both limits bound what one word of a text can cost and become. */
static utter_status check_alternatives(const char *key, const char *values, utter_error *err) {
    size_t n_alternatives = 0, longest = 0;
    for (const char *at = values;; at++) {
        size_t n = strcspn(at, ",");
        longest = UT_MAX(longest, n);
        n_alternatives++;
        at += n;
        if (*at == '\0') {
            break;
        }
    }
    if (n_alternatives > MAX_ALTERNATIVES || longest > UT_LEXICON_MAX_VALUE_BYTES) {
        return ut_fail(
            err, UTTER_ERROR_FORMAT,
            "phonemizer.dictionary: '%.40s' has %zu alternatives, the longest of %zu bytes: "
            "at most %d of %d bytes are read",
            key, n_alternatives, longest, MAX_ALTERNATIVES, UT_LEXICON_MAX_VALUE_BYTES);
    }
    return UTTER_OK;
}

/* The marks are taken off the key here, so that a look-up needs the bare word. */
static utter_status add_word(struct ut_lexicon_rule_set *rules, const char *key, const char *values,
                             utter_error *err) {
    utter_status status = check_alternatives(key, values, err);
    if (status != UTTER_OK) {
        return status;
    }
    size_t n = strlen(key);
    uint32_t at = add_string(rules, key), marks = 0;
    if (n > 0 && (key[0] == '$' || key[0] == '#')) {
        marks |= key[0] == '$' ? MARK_AFTER_NUMBER : MARK_NOT_FIRST;
        at++;
        n--;
    }
    if (n > 0 && rules->blob[at + n - 1] == '#') {
        marks |= MARK_NOT_LAST;
        n--;
    }
    rules->dictionary.items[rules->dictionary.n++] = (struct item){
        .key = at, .n_key = (uint32_t)n, .value = add_string(rules, values), .marks = marks};
    return UTTER_OK;
}

static utter_status fill_tables(struct ut_mem *mem, const struct ut_lexicon_rules *source,
                                struct ut_lexicon_rule_set *rules, utter_error *err) {
    utter_status status = UTTER_OK;
    add_graphemes(rules, source);
    for (size_t i = 0; i < source->n_rules && status == UTTER_OK; i++) {
        status = add_rule(rules, source->rule_keys[i], source->rule_phonemes[i], err);
    }
    for (size_t i = 0; i < source->n_dictionary && status == UTTER_OK; i++) {
        status = add_word(rules, source->dictionary_keys[i], source->dictionary_values[i], err);
    }
    struct table *tables[] = {&rules->graphemes, &rules->nodes, &rules->dictionary};
    for (size_t i = 0; i < UT_COUNT(tables) && status == UTTER_OK; i++) {
        status = sort_table(mem, rules->blob, tables[i], err);
    }
    if (status == UTTER_OK) {
        note_patterns(rules);
    }
    return status;
}

utter_status ut_lexicon_from_rules(struct ut_mem *mem, const struct ut_lexicon_rules *source,
                                   struct ut_lexicon **out, utter_error *err) {
    *out = NULL;
    struct ut_lexicon *lexicon = ut_mem_calloc(mem, UT_MEM_OTHER, 1, sizeof *lexicon);
    struct ut_lexicon_rule_set *rules = ut_mem_calloc(mem, UT_MEM_OTHER, 1, sizeof *rules);
    if (!lexicon || !rules) {
        ut_mem_free(mem, lexicon);
        ut_mem_free(mem, rules);
        return ut_fail_memory(err, sizeof *lexicon + sizeof *rules);
    }
    *lexicon = (struct ut_lexicon){.mem = mem, .rules = rules};
    utter_status status = alloc_tables(mem, source, rules, err);
    if (status == UTTER_OK) {
        status = fill_tables(mem, source, rules, err);
    }
    if (status != UTTER_OK) {
        ut_lexicon_destroy(lexicon);
        return status;
    }
    *out = lexicon;
    return UTTER_OK;
}

void ut_rule_set_destroy(struct ut_mem *mem, struct ut_lexicon_rule_set *rules) {
    if (rules) {
        struct table *tables[] = {&rules->graphemes, &rules->nodes, &rules->dictionary};
        for (size_t i = 0; i < UT_COUNT(tables); i++) {
            ut_mem_free(mem, tables[i]->items);
            ut_mem_free(mem, tables[i]->sorted);
        }
        ut_mem_free(mem, rules->blob);
        ut_mem_free(mem, rules);
    }
}

/* As written, else in lower case. */
bool ut_rule_set_has(const struct ut_lexicon_rule_set *rules, const char *word, size_t n) {
    char lower[UT_LEXICON_MAX_WORD_BYTES];
    if (n > sizeof lower) {
        return false;
    }
    memcpy(lower, word, n);
    ut_lexicon_lower(lower, n);
    return find(rules, &rules->dictionary, word, n) || find(rules, &rules->dictionary, lower, n);
}

/* ---- Rules ----------------------------------------------------------------------------------- */

/* Bytes of the grapheme that text[0, n) begins with: grown byte by byte as long as every longer
 * piece is in the list. */
static size_t grapheme_length(const struct ut_lexicon_rule_set *rules, const char *text, size_t n) {
    size_t length = 1;
    while (length < UT_MIN(n, MAX_GRAPHEME_BYTES) &&
           find(rules, &rules->graphemes, text, length + 1)) {
        length++;
    }
    return length;
}

/* A node's path, to which components are added. */
struct path {
    char text[MAX_PATH_BYTES];
    size_t n;
};

/* Extends the path by ".component" if there is such a node, and leaves it as it was if not. The
 * buffer has room for three levels of graphemes and a whole word. */
static const struct item *find_child(const struct ut_lexicon_rule_set *rules, struct path *path,
                                     const char *before, const char *component, size_t n,
                                     const char *after) {
    size_t n_before = path->n;
    char *at = path->text + path->n;
    *at++ = '.';
    at = memcpy(at, before, strlen(before));
    at += strlen(before);
    memcpy(at, component, n);
    at += n;
    memcpy(at, after, strlen(after));
    at += strlen(after);
    path->n = (size_t)(at - path->text);
    const struct item *child = find(rules, &rules->nodes, path->text, path->n);
    if (!child) {
        path->n = n_before;
    }
    return child;
}

/* The node below `node` that matches, which becomes the path's: the component itself, else the
 * longest pattern *x, else the longest x*. */
static const struct item *match_child(const struct ut_lexicon_rule_set *rules,
                                      const struct item *node, struct path *path,
                                      const char *component, size_t n) {
    const struct item *child = find_child(rules, path, "", component, n, "");
    for (size_t length = UT_MIN(n, MAX_PATTERN_BYTES) + 1; length-- > 0 && !child;) {
        if (node->endings >> length & 1) {
            child = find_child(rules, path, "*", component + n - length, length, "");
        }
    }
    for (size_t length = UT_MIN(n, MAX_PATTERN_BYTES) + 1; length-- > 0 && !child;) {
        if (node->beginnings >> length & 1) {
            child = find_child(rules, path, "", component, length, "*");
        }
    }
    return child;
}

/* The value of the deepest node that matches current, before, after, word; NULL if it has none. */
static const char *look_up_rule(const struct ut_lexicon_rule_set *rules,
                                const struct ut_slice components[N_COMPONENTS]) {
    struct path path = {.n = components[0].n};
    memcpy(path.text, components[0].text, components[0].n);
    const struct item *node = find(rules, &rules->nodes, path.text, path.n), *deeper = node;
    for (int level = 1; level < N_COMPONENTS && deeper; level++) {
        if (components[level].n > UT_LEXICON_MAX_WORD_BYTES) {
            break;
        }
        deeper = match_child(rules, node, &path, components[level].text, components[level].n);
        node = deeper ? deeper : node;
    }
    return node && node->value != NO_VALUE ? rules->blob + node->value : NULL;
}

/* ^ and $ stand for the word's beginning and end, as in the file's keys. A group without a rule is
 * silent. */
utter_status ut_rule_set_apply(const struct ut_lexicon_rule_set *rules, const char *word, size_t n,
                               struct ut_text_buffer *out, utter_error *err) {
    struct ut_slice before = {"^", 1};
    size_t length = n > 0 ? grapheme_length(rules, word, n) : 0;
    utter_status status = UTTER_OK;
    for (size_t at = 0; at < n && status == UTTER_OK;) {
        size_t next = at + length;
        size_t n_next = next < n ? grapheme_length(rules, word + next, n - next) : 0;
        struct ut_slice current = {word + at, length};
        struct ut_slice after =
            next < n ? (struct ut_slice){word + next, n_next} : (struct ut_slice){"$", 1};
        const char *phonemes =
            look_up_rule(rules, (struct ut_slice[N_COMPONENTS]){current, before, after, {word, n}});
        if (phonemes) {
            status = ut_text_buffer_append(out, phonemes, strlen(phonemes), err);
        }
        before = current;
        at = next;
        length = n_next;
    }
    return status;
}

/* ---- Dictionary ------------------------------------------------------------------------------ */

/* The first token behind the byte `end`. */
static size_t token_behind(const struct ut_reading *reading, size_t index, size_t end) {
    while (index < reading->n_tokens && reading->tokens[index].begin < end) {
        index++;
    }
    return index;
}

/* Does the text go on with `rest`, whatever its case, up to the end of a token? */
static bool goes_on_with(const struct ut_reading *reading, size_t index, const char *rest,
                         size_t n) {
    size_t end = reading->tokens[index].end;
    if (n > reading->n_bytes - end) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (ut_ascii_lower(reading->text[end + i]) != ut_ascii_lower(rest[i])) {
            return false;
        }
    }
    size_t behind = token_behind(reading, index + 1, end + n);
    return n == 0 || reading->tokens[behind - 1].end == end + n;
}

static bool marks_allow(const struct ut_reading *reading, size_t index, uint32_t marks,
                        size_t end) {
    const struct ut_token *before = index > 0 ? &reading->tokens[index - 1] : NULL;
    size_t behind = token_behind(reading, index + 1, end);
    bool is_first = !before || ut_is_clause_end(before);
    bool is_last = behind == reading->n_tokens || ut_is_clause_end(&reading->tokens[behind]);
    bool after_number = before && before->kind == UT_TOKEN_NUMBER;
    return !((marks & MARK_AFTER_NUMBER) && !after_number) &&
           !((marks & MARK_NOT_FIRST) && is_first) && !((marks & MARK_NOT_LAST) && is_last);
}

/* The first alternative that fits here; *end is where the text that it stands for ends. */
static bool choose_alternative(const struct ut_reading *reading, size_t index,
                               const struct item *item, struct ut_slice *phonemes, size_t *end) {
    const char *at = reading->lexicon->rules->blob + item->value;
    for (;; at++) {
        size_t n = strcspn(at, ",");
        const char *colon = memchr(at, ':', n);
        *phonemes = (struct ut_slice){at, colon ? (size_t)(colon - at) : n};
        size_t n_rest = colon ? n - phonemes->n - 1 : 0;
        *end = reading->tokens[index].end + n_rest;
        if ((!colon || goes_on_with(reading, index, colon + 1, n_rest)) &&
            marks_allow(reading, index, item->marks, *end)) {
            return true;
        }
        at += n;
        if (*at == '\0') {
            return false;
        }
    }
}

bool ut_rule_set_find(const struct ut_reading *reading, size_t index, struct ut_slice key,
                      struct ut_slice *phonemes, size_t *end) {
    const struct ut_lexicon_rule_set *rules = reading->lexicon->rules;
    const struct item *item = key.n <= UT_LEXICON_MAX_WORD_BYTES
                                  ? find(rules, &rules->dictionary, key.text, key.n)
                                  : NULL;
    return item && choose_alternative(reading, index, item, phonemes, end) && phonemes->n > 0;
}
