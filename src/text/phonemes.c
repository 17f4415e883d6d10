/* See phonemes.h. Gives what piper-tts 1.8.0 gives with the espeak-ng 1.52 in it; tests hold it
 * against recorded output of that program.
 *
 * Text is cut at [[raw phonemes]]. The parts between go to espeak-ng, which translates one clause a
 * call but, before 1.52, does not say which mark ended it and prints some phonemes differently: the
 * mark is found again in the bytes it consumed, and two rules put the phonemes right. Unlike Piper,
 * text behind an unclosed [[ is read as text; there it reaches espeak-ng as its own phoneme
 * mnemonics. Arabic is not diacritised. */
#include "text/phonemes.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/checked.h"
#include "text/clause_reader.h"
#include "text/espeak_lib.h"
#include "text/long_words.h"
#include "text/marks.h"
#include "text/nfd.h"
#include "text/segment.h"
#include "text/text_buffer.h"
#include "text/utf8_walk.h"
#include "ut_config.h"

#if UT_HAVE_ESPEAK
#include <espeak-ng/speak_lib.h>
#endif

void ut_sentences_free(struct ut_sentences *sentences) {
    for (size_t i = 0; i < sentences->n; i++) {
        ut_mem_free(sentences->mem, sentences->items[i].phonemes);
    }
    if (sentences->mem) {
        ut_mem_free(sentences->mem, sentences->items);
    }
    *sentences = (struct ut_sentences){.mem = sentences->mem};
}

utter_status ut_sentences_push(struct ut_sentences *list, const char *phonemes, size_t n,
                               utter_error *err) {
    if (list->n == list->capacity) {
        size_t capacity = 2 * list->capacity + 8, n_bytes = capacity * sizeof *list->items;
        struct ut_sentence *grown = ut_mem_realloc(list->mem, UT_MEM_SESSION, list->items, n_bytes);
        if (!grown) {
            return ut_fail_memory(err, n_bytes);
        }
        list->items = grown;
        list->capacity = capacity;
    }
    char *copy = ut_mem_strndup(list->mem, UT_MEM_SESSION, phonemes, n);
    if (!copy) {
        return ut_fail_memory(err, n + 1);
    }
    list->items[list->n++] = (struct ut_sentence){.phonemes = copy, .n_bytes = n};
    return UTTER_OK;
}

/* What lies between two sentences (blanks, text that gave no phonemes) goes to the one behind it,
 * what is left at the end to the last. */
void ut_sentences_cover(struct ut_sentences *list, size_t n_text) {
    for (size_t i = 1; i < list->n; i++) {
        list->items[i].text_begin = list->items[i - 1].text_end;
    }
    if (list->n > 0) {
        list->items[list->n - 1].text_end = n_text;
    }
}

utter_status ut_phonemize_text(struct ut_mem *mem, const char *text, size_t n_bytes,
                               struct ut_sentences *out, utter_error *err) {
    *out = (struct ut_sentences){.mem = mem};
    struct ut_text_buffer phonemes = {.mem = mem};
    utter_status status = ut_utf8_check(text, n_bytes, err);
    if (status == UTTER_OK) {
        status = ut_nfd_append(&phonemes, text, n_bytes, err);
    }
    if (status == UTTER_OK) {
        status = ut_sentences_push(out, phonemes.data ? phonemes.data : "", phonemes.n, err);
    }
    if (status == UTTER_OK) {
        out->items[0].text_end = n_bytes;
    }
    ut_text_buffer_free(&phonemes);
    if (status != UTTER_OK) {
        ut_sentences_free(out);
    }
    return status;
}

#if UT_HAVE_ESPEAK

/* ---- Phonemes of one clause ---------------------------------------------------------------- */

/* How the library at hand differs from the one Piper's voices were made with. */
struct dialect {
    int phoneme_mode;
    bool links; /* phonemes come separated by '|' and links must be found */
    bool us_or; /* English of the United States: "or" is open */
};

/* Asked once per text, with the voice set: a 1.51 needs repairs that a 1.52 must not get. */
static struct dialect find_dialect(void) {
    int major = 0, minor = 0;
    bool is_old = sscanf(ut_espeak_version(), "%d.%d", &major, &minor) != 2 || major < 1 ||
                  (major == 1 && minor < 52);
    if (!is_old) {
        return (struct dialect){.phoneme_mode = espeakPHONEMES_IPA};
    }
    const espeak_VOICE *voice = espeak_GetCurrentVoice();
    const char *folder = strrchr(voice->identifier, '/');
    return (struct dialect){
        .phoneme_mode = espeakPHONEMES_IPA | '|' << 8,
        .links = true,
        .us_or = strcasecmp(folder ? folder + 1 : voice->identifier, "en-us") == 0,
    };
}

static bool starts_with(const char *s, const char *prefix) {
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

static bool ends_with(const struct ut_text_buffer *text, size_t n, const char *suffix) {
    size_t n_suffix = strlen(suffix);
    return n >= n_suffix && memcmp(text->data + n - n_suffix, suffix, n_suffix) == 0;
}

/* Behind stress marks. */
static bool starts_with_vowel(const char *s) {
    static const char *const vowels[] = {"a", "e", "i", "o", "u", "y", "æ", "ø", "œ", "ɐ", "ɑ",
                                         "ɒ", "ɔ", "ɘ", "ə", "ɚ", "ɛ", "ɜ", "ɝ", "ɞ", "ɤ", "ɨ",
                                         "ɪ", "ɯ", "ɵ", "ɶ", "ʉ", "ʊ", "ʌ", "ʏ", "ᵻ"};
    while (starts_with(s, "ˈ") || starts_with(s, "ˌ")) {
        s += strlen("ˈ");
    }
    for (size_t i = 0; i < UT_COUNT(vowels); i++) {
        if (starts_with(s, vowels[i])) {
            return true;
        }
    }
    return false;
}

/* True if `out` ends with a vowel of the kind that links to a following vowel. */
static bool ends_with_linking_vowel(const struct ut_text_buffer *out) {
    size_t n = ends_with(out, out->n, "ː") ? out->n - strlen("ː") : out->n;
    return ends_with(out, n, "i") || ends_with(out, n, "ɪ") || ends_with(out, n, "y") ||
           ends_with(out, n, "ɨ");
}

/* True if there is a link at s: an empty element, `||` or at the end of a word `| ` (but `|| ` is a
 * pause), between the vowels it links. */
static bool is_link(const char *phonemes, const char *s, const struct ut_text_buffer *out) {
    bool is_empty = s[0] == '|' && (s[1] == '|' || (s[1] == ' ' && s > phonemes && s[-1] != '|'));
    return is_empty && starts_with_vowel(s + 2) && ends_with_linking_vowel(out);
}

/* Copies a clause without its separators. espeak-ng before 1.52 has a nameless link phoneme that
 * the newer one prints as `ʲ`; it has oːɹ for ɔːɹ; and where it knows no IPA for a phoneme (German
 * "-burts-") it writes `??`, which a voice would take for a question. */
static utter_status append_separated(struct ut_text_buffer *out, const char *phonemes, bool us_or,
                                     utter_error *err) {
    utter_status status = UTTER_OK;
    for (const char *s = phonemes; *s && status == UTTER_OK;) {
        size_t n = 1;
        while (((unsigned char)s[n] & 0xC0) == 0x80) {
            n++;
        }
        if (is_link(phonemes, s, out)) {
            status = ut_text_buffer_append(out, "ʲ", strlen("ʲ"), err);
        } else if (us_or && starts_with(s, "ɹ") && ends_with(out, out->n, "oː")) {
            out->n -= strlen("oː");
            status = ut_text_buffer_append(out, "ɔːɹ", strlen("ɔːɹ"), err);
        } else if (*s == '?' && ends_with(out, out->n, "?")) {
            out->n--;
        } else if (*s != '|') {
            status = ut_text_buffer_append(out, s, n, err);
        }
        s += n;
    }
    return status;
}

/* ---- Sentences ----------------------------------------------------------------------------- */

/* The last sentence of the list waits in `last`, because a raw block may still extend it. */
struct phonemizer {
    const char *text;
    struct ut_sentences *out;
    struct dialect dialect;
    struct ut_clause_reader *reader;
    struct ut_text_buffer clause, sentence, last;
    size_t last_end; /* byte of the text where it ends */
    bool has_last, last_paragraph;
    bool after_raw; /* the next sentence continues the last one */
};

/* Appends the clause to the sentence: phonemes put right, flags out, the mark that ended it behind,
 * all in NFD. */
static utter_status append_clause(struct phonemizer *p, const struct ut_clause *clause,
                                  struct ut_clause_end end, utter_error *err) {
    p->clause.n = 0;
    utter_status status =
        p->dialect.links
            ? append_separated(&p->clause, clause->phonemes, p->dialect.us_or, err)
            : ut_text_buffer_append(&p->clause, clause->phonemes, strlen(clause->phonemes), err);
    if (status != UTTER_OK) {
        return status;
    }
    ut_clause_remove_flags(&p->clause, 0);
    if (end.adds) {
        const char mark[] = {end.adds, ' '};
        status = ut_text_buffer_append(&p->clause, mark, end.sentence ? 1 : 2, err);
    }
    return status == UTTER_OK ? ut_nfd_append(&p->sentence, p->clause.data, p->clause.n, err)
                              : status;
}

/* Nothing when no sentence is waiting. */
static utter_status push_last(struct phonemizer *p, utter_error *err) {
    if (!p->has_last) {
        return UTTER_OK;
    }
    utter_status status =
        ut_sentences_push(p->out, p->last.data ? p->last.data : "", p->last.n, err);
    if (status == UTTER_OK) {
        p->out->items[p->out->n - 1].text_end = p->last_end;
        p->out->items[p->out->n - 1].paragraph = p->last_paragraph;
        p->last.n = 0;
        p->has_last = false;
    }
    return status;
}

/* Ends the sentence that is being collected at byte `text_end`. */
static utter_status finish_sentence(struct phonemizer *p, size_t text_end, bool paragraph,
                                    utter_error *err) {
    utter_status status = p->after_raw ? UTTER_OK : push_last(p, err);
    if (status == UTTER_OK) {
        status = ut_text_buffer_append(&p->last, p->sentence.data, p->sentence.n, err);
    }
    p->last_end = text_end;
    p->last_paragraph = paragraph;
    p->has_last = true;
    p->after_raw = false;
    p->sentence.n = 0;
    return status;
}

/* text[begin, end) through espeak-ng; without any text it is one empty sentence, as it is to
 * espeak-ng. `cut`: the sentence goes on behind it. *is_open: the last clause did not end a
 * sentence. */
static utter_status add_clauses(struct phonemizer *p, size_t begin, size_t end, bool cut,
                                bool *is_open, utter_error *err) {
    ut_clause_start(p->reader, p->text + begin, end - begin);
    for (bool is_first = true; is_first || ut_clause_has_more(p->reader); is_first = false) {
        struct ut_clause clause;
        utter_status status = ut_clause_read(p->reader, p->dialect.phoneme_mode, &clause, err);
        if (status != UTTER_OK) {
            return status;
        }
        bool at_cut = cut && clause.stop == UT_CLAUSE_END_OF_TEXT;
        struct ut_clause_end clause_end =
            ut_clause_end(p->reader->text + clause.begin, clause.end - clause.begin,
                          at_cut ? UT_CLAUSE_CUT : clause.stop);
        status = append_clause(p, &clause, clause_end, err);
        if (status == UTTER_OK && clause_end.sentence) {
            status = finish_sentence(p, begin + clause.end, clause_end.paragraph, err);
        }
        if (status != UTTER_OK) {
            return status;
        }
        *is_open = !clause_end.sentence;
    }
    bool space = cut && p->sentence.n > 0 && p->sentence.data[p->sentence.n - 1] != ' ';
    return ut_text_buffer_append(&p->sentence, " ", space, err);
}

/* Plain text[begin, end), parted where words or clauses are longer than espeak-ng can hold. */
static utter_status add_plain(struct phonemizer *p, size_t begin, size_t end, utter_error *err) {
    struct ut_long_words words = {.patient = true};
    struct ut_mark mark;
    bool is_open = true, after_mark = false;
    utter_status status = UTTER_OK;
    size_t from = begin;
    for (size_t at = begin, here = at; at < end && status == UTTER_OK; here = at) {
        uint32_t c = ut_utf8_next(p->text, end, &at);
        bool blank = ut_is_space(c);
        if (after_mark && blank) { /* "7.7" is one clause, "7. 7" two */
            words.weight = words.n_bytes = 0;
        }
        after_mark = ut_mark_find(c, &mark);
        if (ut_long_words_next(&words, p->text, here, end, blank) != UT_PART_NOWHERE &&
            here > from) {
            status = add_clauses(p, from, here, true, &is_open, err);
            from = here;
        }
    }
    status = status ? status : add_clauses(p, from, end, false, &is_open, err);
    if (status == UTTER_OK && is_open && p->sentence.n > 0) {
        status = finish_sentence(p, end, false, err);
    }
    p->after_raw = false;
    return status;
}

/* The [[block]] at text[begin, end): its code points are phonemes; it joins the sentence before it.
 */
static utter_status add_raw(struct phonemizer *p, size_t n_text, size_t begin, size_t end,
                            utter_error *err) {
    const char *text = p->text;
    bool space_before = begin > 0 && text[begin - 1] == ' ',
         space_behind = end < n_text && text[end] == ' ';
    size_t inner = begin + 2, inner_end = end - 2;
    while (inner < inner_end && ut_is_space((unsigned char)text[inner])) {
        inner++;
    }
    while (inner_end > inner && ut_is_space((unsigned char)text[inner_end - 1])) {
        inner_end--;
    }
    utter_status status = ut_text_buffer_append(&p->last, " ", space_before, err);
    if (status == UTTER_OK) {
        status = ut_text_buffer_append(&p->last, text + inner, inner_end - inner, err);
    }
    if (status == UTTER_OK) {
        status = ut_text_buffer_append(&p->last, " ", space_behind, err);
    }
    p->last_end = end;
    p->last_paragraph = false;
    p->has_last = p->after_raw = true;
    return status;
}

/* Finds the first [[block]] on one line at or behind `from`. `close` is kept between calls: where
 * the last search for ]] ended, so that many unclosed [[ do not each search the whole text. */
static bool find_raw(const char *text, size_t n, size_t from, size_t *close, size_t *begin,
                     size_t *end) {
    for (size_t at = from; at + 4 <= n; at++) {
        const char *bracket = memchr(text + at, '[', n - at - 3);
        if (!bracket) {
            return false;
        }
        at = (size_t)(bracket - text);
        if (text[at + 1] != '[') {
            continue;
        }
        *close = UT_MAX(*close, at + 2);
        while (*close + 1 < n && text[*close] != '\n' &&
               !(text[*close] == ']' && text[*close + 1] == ']')) {
            ++*close;
        }
        if (*close + 1 >= n) {
            return false;
        }
        if (text[*close] == ']') {
            *begin = at;
            *end = *close + 2;
            return true;
        }
        at = *close; /* a newline: no block begins before it */
    }
    return false;
}

/* Plain text and [[blocks]] by turns; both ends are plain text, possibly empty. */
static utter_status add_parts(struct phonemizer *p, size_t n, utter_error *err) {
    size_t at = 0, close = 0, begin = 0, end = 0;
    while (find_raw(p->text, n, at, &close, &begin, &end)) {
        utter_status status = add_plain(p, at, begin, err);
        if (status == UTTER_OK) {
            status = add_raw(p, n, begin, end, err);
        }
        if (status != UTTER_OK) {
            return status;
        }
        at = end;
    }
    utter_status status = add_plain(p, at, n, err);
    if (status == UTTER_OK && p->last.n > 0) { /* an empty last sentence is dropped */
        status = push_last(p, err);
    }
    return status;
}

utter_status ut_phonemize_espeak(struct ut_mem *mem, const char *voice, const char *text,
                                 size_t n_bytes, struct ut_sentences *out, const struct ut_log *log,
                                 utter_error *err) {
    *out = (struct ut_sentences){.mem = mem};
    utter_status status = ut_utf8_check(text, n_bytes, err);
    if (status != UTTER_OK) {
        return status;
    }
    struct phonemizer p = {.text = text,
                           .out = out,
                           .clause = {.mem = mem},
                           .sentence = {.mem = mem},
                           .last = {.mem = mem}};
    p.reader = ut_mem_alloc(mem, UT_MEM_SESSION, sizeof *p.reader);
    if (!p.reader) {
        return ut_fail_memory(err, sizeof *p.reader);
    }
    status = ut_espeak_lock(err);
    if (status == UTTER_OK) {
        status = ut_espeak_set_voice(voice, log, err);
        if (status == UTTER_OK) {
            ut_clause_reset();
            p.dialect = find_dialect();
            p.reader->n_unread = 0;
            status = add_parts(&p, n_bytes, err);
            ut_espeak_warn_blanked(p.reader->n_unread, log);
        }
        ut_espeak_unlock();
    }
    ut_text_buffer_free(&p.clause);
    ut_text_buffer_free(&p.sentence);
    ut_text_buffer_free(&p.last);
    ut_mem_free(mem, p.reader);
    if (status == UTTER_OK) {
        ut_sentences_cover(out, n_bytes);
    } else {
        ut_sentences_free(out);
    }
    return status;
}

#else

utter_status ut_phonemize_espeak(struct ut_mem *mem, const char *voice, const char *text,
                                 size_t n_bytes, struct ut_sentences *out, const struct ut_log *log,
                                 utter_error *err) {
    *out = (struct ut_sentences){.mem = mem};
    return ut_espeak_lock(err); /* says what is missing */
}

#endif
