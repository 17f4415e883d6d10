/* misaki's lexicon files {us,gb}_{gold,silver}.json: word -> phonemes or -> {tag: phonemes}. Facts
 * from misaki/en.py (0.9.4). There is no part-of-speech tagger here: an entry with tags gives
 * DEFAULT, or "None" in front of a pause; words whose sound depends on the tag take the commonest
 * one (docs/lexicon.md).
 *
 * The JSON documents are kept as they are: their sorted keys are the look-up table. A key's
 * capitalised or lower-case twin is looked up instead of stored. */
#include "text/lexicon_entries.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/checked.h"
#include "base/json.h"
#include "text/utf8_walk.h"

#define PRIMARY "ˈ"
#define SECONDARY "ˌ"

/* NO_STRESS_CHANGE is outside of the doubled levels, -4 to 4. */
enum {
    MAX_FILE_BYTES = 64 << 20, /* the largest published one has 3.7 MB */
    NO_STRESS_CHANGE = 99
};

/* The document looks into `text`, which must live as long. */
struct word_list {
    char *text;
    struct ut_json *json;
};

struct ut_lexicon_entries {
    bool american;
    struct word_list gold, silver;
};

/* ---- Loading --------------------------------------------------------------------------------- */

/* Checked once at loading, so that look-ups need no error of their own. null is possible for a tag:
 * the word is then spelled. */
static utter_status check_phonemes(const struct ut_json *json, ut_json_ref value, const char *key,
                                   bool may_be_null, utter_error *err) {
    size_t n = 0;
    const char *phonemes = ut_json_string(json, value, &n);
    bool is_null = value >= 0 && ut_json_type(json, value) == UT_JSON_NULL;
    if (!(phonemes || (is_null && may_be_null))) {
        return ut_fail(err, UTTER_ERROR_FORMAT,
                       "the entry '%.40s' has no phonemes: a string or an object with DEFAULT is "
                       "expected",
                       key);
    }
    if (n > UT_LEXICON_MAX_VALUE_BYTES) {
        return ut_fail(err, UTTER_ERROR_FORMAT,
                       "the phonemes of the entry '%.40s' have %zu bytes: %d is the most", key, n,
                       UT_LEXICON_MAX_VALUE_BYTES);
    }
    return UTTER_OK;
}

/* A string, or an object of tags with DEFAULT among them. */
static utter_status check_entry(const struct ut_json *json, ut_json_ref entry, utter_error *err) {
    const char *key = ut_json_key(json, entry);
    if (ut_json_type(json, entry) != UT_JSON_OBJECT) {
        return check_phonemes(json, entry, key, false, err);
    }
    utter_status status =
        check_phonemes(json, ut_json_member(json, entry, "DEFAULT"), key, false, err);
    for (ut_json_ref tag = ut_json_first(json, entry); tag >= 0 && status == UTTER_OK;
         tag = ut_json_next(json, tag)) {
        status = check_phonemes(json, tag, key, true, err);
    }
    return status;
}

/* Copies the text: the document looks into it. */
static utter_status parse_list(struct ut_mem *mem, const char *text, size_t n,
                               struct word_list *list, utter_error *err) {
    list->text = ut_mem_strndup(mem, UT_MEM_OTHER, text, n);
    if (!list->text) {
        return ut_fail_memory(err, n);
    }
    utter_status status = ut_json_parse(mem, list->text, n, &list->json, err);
    if (status == UTTER_OK && ut_json_type(list->json, 0) != UT_JSON_OBJECT) {
        status = ut_fail(err, UTTER_ERROR_FORMAT, "not a JSON object of words");
    }
    if (status == UTTER_OK) {
        for (ut_json_ref entry = ut_json_first(list->json, 0); entry >= 0 && status == UTTER_OK;
             entry = ut_json_next(list->json, entry)) {
            status = check_entry(list->json, entry, err);
        }
    }
    return status;
}

static void free_list(struct ut_mem *mem, struct word_list *list) {
    if (list->json) {
        ut_json_free(list->json);
    }
    ut_mem_free(mem, list->text);
}

void ut_entries_destroy(struct ut_mem *mem, struct ut_lexicon_entries *entries) {
    if (entries) {
        free_list(mem, &entries->gold);
        free_list(mem, &entries->silver);
        ut_mem_free(mem, entries);
    }
}

utter_status ut_lexicon_from_misaki(struct ut_mem *mem, const struct ut_slice *gold,
                                    const struct ut_slice *silver, bool american,
                                    struct ut_lexicon **out, utter_error *err) {
    *out = NULL;
    struct ut_lexicon *lexicon = ut_mem_calloc(mem, UT_MEM_OTHER, 1, sizeof *lexicon);
    struct ut_lexicon_entries *entries = ut_mem_calloc(mem, UT_MEM_OTHER, 1, sizeof *entries);
    if (!lexicon || !entries) {
        ut_mem_free(mem, lexicon);
        ut_mem_free(mem, entries);
        return ut_fail_memory(err, sizeof *lexicon + sizeof *entries);
    }
    *lexicon = (struct ut_lexicon){.mem = mem, .entries = entries};
    entries->american = american;
    const char *region = american ? "us" : "gb";
    utter_status status = parse_list(mem, gold->text, gold->n, &entries->gold, err);
    if (status != UTTER_OK) {
        status = ut_fail_context(err, status, "%s_gold.json", region);
    } else if (silver) {
        status = parse_list(mem, silver->text, silver->n, &entries->silver, err);
        if (status != UTTER_OK) {
            status = ut_fail_context(err, status, "%s_silver.json", region);
        }
    }
    if (status != UTTER_OK) {
        ut_lexicon_destroy(lexicon);
        return status;
    }
    *out = lexicon;
    return UTTER_OK;
}

/* The size is the file's at opening; one that shrinks while it is read is an error, one that grows
 * is read to that size. */
static utter_status read_open_file(struct ut_mem *mem, FILE *file, const char *path,
                                   struct ut_text_buffer *out, utter_error *err) {
    struct stat info;
    if (fstat(fileno(file), &info) != 0 || !S_ISREG(info.st_mode)) {
        return ut_fail(err, UTTER_ERROR_IO, "%s: not a regular file", path);
    }
    if (info.st_size > MAX_FILE_BYTES) {
        return ut_fail(err, UTTER_ERROR_FORMAT, "%s: %lld bytes: %d is the most for a word list",
                       path, (long long)info.st_size, MAX_FILE_BYTES);
    }
    size_t n = (size_t)info.st_size;
    out->data = ut_mem_alloc(mem, UT_MEM_OTHER, n);
    if (!out->data) {
        return ut_fail_memory(err, n);
    }
    out->n = out->capacity = n;
    if (fread(out->data, 1, n, file) != n) {
        return ut_fail(err, UTTER_ERROR_IO, "%s: cannot be read (%s)", path,
                       ferror(file) ? strerror(errno) : "it became shorter");
    }
    return UTTER_OK;
}

static utter_status read_file(struct ut_mem *mem, const char *path, struct ut_text_buffer *out,
                              utter_error *err) {
    FILE *file = fopen(path, "rbe");
    if (!file) {
        utter_status status =
            errno == ENOENT || errno == ENOTDIR ? UTTER_ERROR_NOT_FOUND : UTTER_ERROR_IO;
        return ut_fail(err, status, "%s: %s; misaki's lexicon folder is expected", path,
                       strerror(errno));
    }
    utter_status status = read_open_file(mem, file, path, out, err);
    fclose(file);
    return status;
}

utter_status ut_lexicon_open_misaki(struct ut_mem *mem, const char *folder, bool american,
                                    struct ut_lexicon **out, utter_error *err) {
    static const char *const lists[] = {"gold", "silver"};
    struct ut_text_buffer texts[2] = {{.mem = mem}, {.mem = mem}};
    utter_status status = UTTER_OK;
    *out = NULL;
    for (size_t i = 0; i < UT_COUNT(lists) && status == UTTER_OK; i++) {
        char path[4096];
        int n =
            snprintf(path, sizeof path, "%s/%s_%s.json", folder, american ? "us" : "gb", lists[i]);
        if (n < 0 || (size_t)n >= sizeof path) {
            status = ut_fail(err, UTTER_ERROR_ARGUMENT, "lexicon folder: a path of %zu bytes",
                             strlen(folder));
        } else {
            status = read_file(mem, path, &texts[i], err);
        }
    }
    if (status == UTTER_ERROR_NOT_FOUND && texts[0].data) {
        status = UTTER_OK; /* there is no silver list */
    }
    if (status == UTTER_OK) {
        struct ut_slice gold = {texts[0].data, texts[0].n}, silver = {texts[1].data, texts[1].n};
        status =
            ut_lexicon_from_misaki(mem, &gold, texts[1].data ? &silver : NULL, american, out, err);
        if (status != UTTER_OK && status != UTTER_ERROR_MEMORY) {
            status = ut_fail_context(err, status, "%s", folder);
        }
    }
    ut_text_buffer_free(&texts[0]);
    ut_text_buffer_free(&texts[1]);
    return status;
}

/* ---- Phonemes and stress --------------------------------------------------------------------- */

/* Whether the symbol, one character of UTF-8, is among those of the list. */
static bool is_one_of(const char *list, const char *symbol, size_t n) {
    size_t n_list = strlen(list);
    for (size_t at = 0, next; at < n_list; at = next) {
        next = ut_utf8_after(list, n_list, at);
        if (next - at == n && memcmp(list + at, symbol, n) == 0) {
            return true;
        }
    }
    return false;
}

static const char vowels[] = "AIOQWYaiuæɑɒɔəɛɜɪʊʌᵻ";
static const char consonants[] = "bdfhjklmnpstvwzðŋɡɹɾʃʒʤʧθ";

enum ut_next_sound ut_first_sound(const char *phonemes, size_t n, enum ut_next_sound otherwise) {
    for (size_t at = 0, next; at < n; at = next) {
        next = ut_utf8_after(phonemes, n, at);
        if (is_one_of(vowels, phonemes + at, next - at)) {
            return UT_NEXT_VOWEL;
        }
        if (is_one_of(consonants, phonemes + at, next - at)) {
            return UT_NEXT_CONSONANT;
        }
    }
    return otherwise;
}

bool ut_phones_append(struct ut_phones *phones, const char *text, size_t n) {
    if (n > sizeof phones->text - phones->n) {
        return false;
    }
    memcpy(phones->text + phones->n, text, n);
    phones->n += n;
    return true;
}

static bool add(struct ut_phones *phones, const char *text) {
    return ut_phones_append(phones, text, strlen(text));
}

bool ut_phones_has(const struct ut_phones *phones, const char *symbol) {
    return memmem(phones->text, phones->n, symbol, strlen(symbol)) != NULL;
}

/* Every `from` (two bytes, as all stress marks) becomes `to`, which is as long or empty. Works in
 * place, because nothing grows. */
static void replace_mark(struct ut_phones *phones, const char *from, const char *to) {
    size_t n = 0, n_to = strlen(to);
    for (size_t at = 0; at < phones->n;) {
        bool is_mark = phones->n - at >= 2 && memcmp(phones->text + at, from, 2) == 0;
        if (is_mark) {
            memcpy(phones->text + n, to, n_to);
            n += n_to;
            at += 2;
        } else {
            phones->text[n++] = phones->text[at++];
        }
    }
    phones->n = n;
}

/* Puts a mark in front of the first vowel, if there is one and room. */
static void insert_mark(struct ut_phones *phones, const char *mark) {
    for (size_t at = 0, next; at < phones->n && sizeof phones->text - phones->n >= 2; at = next) {
        next = ut_utf8_after(phones->text, phones->n, at);
        if (is_one_of(vowels, phones->text + at, next - at)) {
            memmove(phones->text + at + 2, phones->text + at, phones->n - at);
            memcpy(phones->text + at, mark, 2);
            phones->n += 2;
            return;
        }
    }
}

/* misaki's apply_stress, its conditions in its order: below -1 all marks go; -1 lowers; 0 and -1/2
 * lower only what has a primary stress; 0 to 1 give an unmarked word a secondary one; from 1 a
 * secondary becomes primary; above 1 an unmarked word gets a primary one. */
void ut_phones_stress(struct ut_phones *phones, int level) {
    bool primary = ut_phones_has(phones, PRIMARY), secondary = ut_phones_has(phones, SECONDARY);
    if (level == NO_STRESS_CHANGE) {
        return;
    }
    if (level < -2) {
        replace_mark(phones, PRIMARY, "");
        replace_mark(phones, SECONDARY, "");
    } else if (level == -2 || ((level == 0 || level == -1) && primary)) {
        replace_mark(phones, SECONDARY, "");
        replace_mark(phones, PRIMARY, SECONDARY);
    } else if (level >= 0 && level <= 2 && !primary && !secondary) {
        insert_mark(phones, SECONDARY);
    } else if (level >= 2 && !primary && secondary) {
        replace_mark(phones, SECONDARY, PRIMARY);
    } else if (level > 2 && !primary && !secondary) {
        insert_mark(phones, PRIMARY);
    }
}

/* ---- Look-ups -------------------------------------------------------------------------------- */

/* A word that may be changed, with a NUL behind. */
struct key {
    char text[UT_LEXICON_MAX_WORD_BYTES + 8];
    size_t n;
};

static struct key make_key(const char *text, size_t n) {
    struct key key = {.n = n};
    memcpy(key.text, text, n);
    return key;
}

/* The key without its last `n` letters, and `ending` in their place. The key has room for eight
 * bytes more than a word may have. */
static struct key cut_key(const struct key *key, size_t n, const char *ending) {
    struct key cut = make_key(key->text, key->n - n);
    memcpy(cut.text + cut.n, ending, strlen(ending));
    cut.n += strlen(ending);
    return cut;
}

static struct key lower_key(const struct key *key) {
    struct key lower = *key;
    for (size_t i = 0; i < lower.n; i++) {
        lower.text[i] = ut_ascii_lower(lower.text[i]);
    }
    return lower;
}

static bool has_capital(const struct key *key, size_t from) {
    for (size_t i = from; i < key->n; i++) {
        if (ut_ascii_is_upper(key->text[i])) {
            return true;
        }
    }
    return false;
}

static bool has_small(const struct key *key, size_t from) {
    for (size_t i = from; i < key->n; i++) {
        if (ut_ascii_is_letter(key->text[i]) && !ut_ascii_is_upper(key->text[i])) {
            return true;
        }
    }
    return false;
}

static bool is_letters(const struct key *key) {
    for (size_t i = 0; i < key->n; i++) {
        if (!ut_ascii_is_letter(key->text[i])) {
            return false;
        }
    }
    return key->n > 0;
}

static bool ends_with(const struct key *key, const char *ending) {
    size_t n = strlen(ending);
    return key->n >= n && memcmp(key->text + key->n - n, ending, n) == 0;
}

static bool is_word(const struct key *key, const char *word) {
    return key->n == strlen(word) && memcmp(key->text, word, key->n) == 0;
}

/* -1 when the list lacks it. The twin is tried only for words of which at most the first letter is
 * a capital: "us" must not find "US". */
static ut_json_ref find(const struct word_list *list, const struct key *key) {
    if (!list->json || memchr(key->text, '\0', key->n)) {
        return -1;
    }
    ut_json_ref entry = ut_json_member(list->json, 0, key->text);
    if (entry >= 0 || key->n < 2 || has_capital(key, 1)) {
        return entry;
    }
    struct key twin = *key; /* Word for word, word for Word */
    if (!ut_ascii_is_letter(twin.text[0])) {
        return -1;
    }
    twin.text[0] ^= 0x20;
    return ut_json_member(list->json, 0, twin.text);
}

bool ut_entries_has(const struct ut_lexicon_entries *entries, const char *word, size_t n) {
    if (n > UT_LEXICON_MAX_WORD_BYTES) {
        return false;
    }
    struct key key = make_key(word, n);
    return find(&entries->gold, &key) >= 0 || find(&entries->silver, &key) >= 0;
}

/* One pronunciation in the making. */
struct search {
    const struct ut_lexicon_entries *entries;
    const struct ut_word_place *place;
    int stress;
    struct ut_phones *out;
};

/* Names of the letters, the last with primary stress, the others with secondary. */
static bool spell(const struct search *s, const struct key *key) {
    s->out->n = 0;
    for (size_t i = 0; i < key->n; i++) {
        struct key letter = {.text = {(char)(key->text[i] & ~0x20)}, .n = 1};
        size_t n;
        if (!ut_ascii_is_letter(key->text[i])) {
            continue;
        }
        ut_json_ref entry = find(&s->entries->gold, &letter);
        const char *name = ut_json_string(s->entries->gold.json, entry, &n);
        if (!name || !ut_phones_append(s->out, name, n)) {
            return false;
        }
    }
    ut_phones_stress(s->out, 0);
    char *last = NULL;
    for (size_t at = 0; at + 1 < s->out->n; at++) {
        last = memcmp(s->out->text + at, SECONDARY, 2) == 0 ? s->out->text + at : last;
    }
    if (last) {
        memcpy(last, PRIMARY, 2);
    }
    return s->out->n > 0;
}

/* The phonemes that an entry has for the place; NULL if it says that the letters are spelled. */
static const char *entry_phonemes(const struct search *s, const struct ut_json *json,
                                  ut_json_ref entry, size_t *n) {
    ut_json_ref none = ut_json_member(json, entry, "None");
    ut_json_ref noun = ut_json_member(json, entry, "NOUN");
    if (ut_json_type(json, entry) != UT_JSON_OBJECT) {
        return ut_json_string(json, entry, n);
    }
    /* US, IT: a pronoun when all is capitals, else letters. */
    if (noun >= 0 && ut_json_type(json, noun) == UT_JSON_NULL && !s->place->shouting) {
        return NULL;
    }
    bool is_last = s->place->next == UT_NEXT_NONE && ut_json_string(json, none, NULL);
    return ut_json_string(json, is_last ? none : ut_json_member(json, entry, "DEFAULT"), n);
}

/* Gold before silver, and a word of capitals also in small letters; such a word is taken for a
 * name, which the silver list would not know, unless everything around is in capitals. */
static bool look_up(const struct search *s, const struct key *word) {
    const struct word_list *list = &s->entries->gold;
    struct key key = *word;
    ut_json_ref entry = find(list, &key);
    bool is_name = false;
    if (entry < 0 && !has_small(&key, 0)) {
        key = lower_key(word);
        entry = find(list, &key);
        is_name = key.n > 1 && !s->place->shouting;
    }
    if (entry < 0 && !is_name) {
        list = &s->entries->silver;
        entry = find(list, &key);
    }
    size_t n = 0;
    const char *phonemes = entry >= 0 ? entry_phonemes(s, list->json, entry, &n) : NULL;
    if (!phonemes) {
        return is_letters(word) && spell(s, word);
    }
    s->out->n = 0;
    (void)ut_phones_append(s->out, phonemes, n); /* at most UT_LEXICON_MAX_VALUE_BYTES */
    ut_phones_stress(s->out, s->stress);
    return true;
}

/* Letters alone count as known when they can be spelled: a single one, or capitals. */
static bool is_known(const struct search *s, const struct key *key) {
    if (key->n == 0) {
        return false;
    }
    if (ut_entries_has(s->entries, key->text, key->n)) {
        return true;
    }
    return is_letters(key) && (key->n == 1 || !has_small(key, 1));
}

/* ---- Endings --------------------------------------------------------------------------------- */

/* Whether the last symbol in front of byte `end` is in the list. */
static bool last_is(const struct ut_phones *phones, size_t end, const char *list) {
    size_t at = end > 0 ? ut_utf8_before(phones->text, end) : 0;
    return end > 0 && is_one_of(list, phones->text + at, end - at);
}

/* American t between vowel and ending becomes a flap. Says if it did. */
static bool flap(const struct search *s) {
    struct ut_phones *out = s->out;
    static const char before_flap[] = "AIOWYiuæɑəɛɪɹʊʌ";
    if (!s->entries->american || !last_is(out, out->n, "t") ||
        !last_is(out, out->n - 1, before_flap)) {
        return false;
    }
    out->n--;
    return add(out, "ɾ");
}

/* The plural and the third person: s after voiceless sounds, ᵻz after hissing ones, else z. */
static bool add_s(const struct search *s) {
    struct ut_phones *out = s->out;
    if (last_is(out, out->n, "ptkfθ")) {
        return add(out, "s");
    }
    bool is_hiss = last_is(out, out->n, "szʃʒʧʤ");
    return add(out, !is_hiss ? "z" : s->entries->american ? "ᵻz" : "ɪz");
}

/* The past: t after voiceless sounds, ᵻd after t and d (with the flap), else d. */
static bool add_ed(const struct search *s) {
    struct ut_phones *out = s->out;
    if (last_is(out, out->n, "pkfθʃsʧ")) {
        return add(out, "t");
    }
    if (last_is(out, out->n, "d") || last_is(out, out->n, "t")) {
        (void)flap(s);
        return add(out, s->entries->american ? "ᵻd" : "ɪd");
    }
    return add(out, "d");
}

/* False where the ending would bring back a sound that the entry lacks; the word is then
 * unknown. */
static bool add_ing(const struct search *s) {
    if (!s->entries->american && last_is(s->out, s->out->n, "əː")) {
        return false; /* an r comes back that the entry does not have */
    }
    (void)flap(s);
    return add(s->out, "ɪŋ");
}

/* Tries the stem that is left when n letters are replaced by `ending`. */
static bool try_stem(const struct search *s, const struct key *key, size_t n, const char *ending) {
    if (n >= key->n) {
        return false;
    }
    struct key stem = cut_key(key, n, ending);
    return is_known(s, &stem) && look_up(s, &stem) && s->out->n > 0;
}

/* Words -> word, boxes -> box, word's -> word, cities -> city. */
static bool stem_s(const struct search *s, const struct key *key) {
    if (key->n < 3 || !ends_with(key, "s")) {
        return false;
    }
    bool is_es = key->n > 4 && ends_with(key, "es") && !ends_with(key, "ies");
    return ((!ends_with(key, "ss") && try_stem(s, key, 1, "")) ||
            ((is_es || ends_with(key, "'s")) && try_stem(s, key, 2, "")) ||
            (key->n > 4 && ends_with(key, "ies") && try_stem(s, key, 3, "y"))) &&
           add_s(s);
}

/* Loved -> love, walked -> walk. */
static bool stem_ed(const struct search *s, const struct key *key) {
    if (key->n < 4 || !ends_with(key, "d")) {
        return false;
    }
    bool is_ed = key->n > 4 && ends_with(key, "ed") && !ends_with(key, "eed");
    return ((!ends_with(key, "dd") && try_stem(s, key, 1, "")) ||
            (is_ed && try_stem(s, key, 2, ""))) &&
           add_ed(s);
}

/* Walking -> walk, loving -> love, running -> run, panicking -> panic. */
static bool stem_ing(const struct search *s, const struct key *key) {
    if (key->n < 5 || !ends_with(key, "ing")) {
        return false;
    }
    char last = key->text[key->n - 4], before = key->n > 5 ? key->text[key->n - 5] : '\0';
    bool is_double = (last == before && last != '\0' && strchr("bcdgklmnprstvxz", last)) ||
                     (before == 'c' && last == 'k');
    return ((key->n > 5 && try_stem(s, key, 3, "")) || try_stem(s, key, 3, "e") ||
            (key->n > 5 && is_double && try_stem(s, key, 4, ""))) &&
           add_ing(s);
}

/* Without capitals the stem of an -ing form is said at level 1/2, as in misaki. */
static bool try_endings(const struct search *s, const struct key *key) {
    struct search ing = *s;
    ing.stress = s->stress == NO_STRESS_CHANGE ? 1 : s->stress;
    return stem_s(s, key) || stem_ed(s, key) || stem_ing(&ing, key);
}

/* ---- Words ----------------------------------------------------------------------------------- */

/* U.S. p.m.: parts of fewer than three letters between dots. */
static bool is_dotted(const struct key *key) {
    size_t longest = 0, part = 0, n_dots = 0, last_dot = 0;
    for (size_t i = 0; i < key->n; i++) {
        if (key->text[i] != '.' && !ut_ascii_is_letter(key->text[i])) {
            return false;
        }
        n_dots += key->text[i] == '.';
        last_dot = key->text[i] == '.' ? i : last_dot;
        part = key->text[i] == '.' ? 0 : part + 1;
        longest = UT_MAX(longest, part);
    }
    return n_dots > 0 && longest < 3 && (n_dots > 1 || last_dot + 1 < key->n);
}

/* Words that their neighbours change. `lower` is the word in small letters. */
static bool special_case(const struct search *s, const struct key *key, const struct key *lower) {
    const struct ut_word_place *place = s->place;
    bool at_end = place->next == UT_NEXT_NONE, vowel = place->next == UT_NEXT_VOWEL;
    bool is_capital = key->n == 1 && ut_ascii_is_upper(key->text[0]);
    const char *said = NULL;
    if (is_dotted(key)) {
        return spell(s, key);
    }
    if (is_word(lower, "a")) {
        said = at_end || (is_capital && (place->in_group || !place->first)) ? "ˈA" : "ɐ";
    } else if (is_word(lower, "am") && place->after_number) {
        return spell(s, key);
    } else if (is_word(lower, "am")) {
        said = at_end || key->text[0] == 'A' ? NULL : "ɐm";
    } else if (is_word(lower, "an")) {
        said = "ɐn";
    } else if (is_word(key, "I")) {
        said = "ˌI";
    } else if (is_word(lower, "to")) {
        said = at_end ? NULL : vowel ? "tʊ" : "tə";
    } else if (is_word(lower, "in")) {
        said = at_end ? "ˈɪn" : "ɪn";
    } else if (is_word(lower, "the")) {
        said = vowel ? "ði" : "ðə";
    }
    s->out->n = 0;
    return said && add(s->out, said);
}

/* "used to": the past of a habit, where misaki asks the tagger. */
static bool say_used(const struct search *s, const struct key *lower) {
    const struct ut_json *json = s->entries->gold.json;
    size_t n;
    if (!is_word(lower, "used") || !s->place->next_is_to) {
        return false;
    }
    const char *past =
        ut_json_string(json, ut_json_member(json, find(&s->entries->gold, lower), "VBD"), &n);
    s->out->n = 0;
    return past && ut_phones_append(s->out, past, n);
}

/* Short words of capitals in running text are names or letters, unless the gold list has the word.
 */
static bool may_be_lowered(const struct search *s, const struct key *key, const struct key *lower) {
    bool is_word_form = has_capital(key, 0) && (!has_small(key, 0) || !has_capital(key, 1));
    bool is_name = !has_small(key, 0) && key->n <= 7 && !s->place->shouting;
    if (key->n < 2 || !is_word_form || ut_entries_has(s->entries, key->text, key->n)) {
        return false;
    }
    return find(&s->entries->gold, lower) >= 0 ||
           (!is_name && (find(&s->entries->silver, lower) >= 0 || try_endings(s, lower)));
}

/* The stress follows the capitals: none change nothing, a first one asks for a secondary stress
 * (level 1/2), a word of capitals for a primary one (level 2). */
bool ut_entries_say(const struct ut_lexicon_entries *entries, const char *word, size_t n,
                    const struct ut_word_place *place, struct ut_phones *out) {
    if (n == 0 || n > UT_LEXICON_MAX_WORD_BYTES) {
        return false;
    }
    struct key key = make_key(word, n), lower = lower_key(&key);
    struct search s = {.entries = entries, .place = place, .out = out};
    s.stress = !has_capital(&key, 0) ? NO_STRESS_CHANGE : has_small(&key, 0) ? 1 : 4;
    if (special_case(&s, &key, &lower) || say_used(&s, &lower)) {
        return true;
    }
    if (is_word(&lower, "vs") || is_word(&lower, "vs.")) {
        key = make_key("versus", strlen("versus"));
    } else if (may_be_lowered(&s, &key, &lower)) {
        key = lower; /* Word, WORD: as the small one, with its capitals' stress */
    }
    if (is_known(&s, &key)) {
        return look_up(&s, &key);
    }
    return try_endings(&s, &key);
}
