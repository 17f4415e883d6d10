/* See misaki.h. Languages and lines; misaki_reader.c gives the phonemes of a line, misaki_chunk.c
 * cuts them. A newline ends a line behind the mark of a sentence, a blank line ends a paragraph,
 * elsewhere the text is taken to be wrapped (as in segment.h; misaki's pipeline ends a line at
 * every newline). */
#include "text/misaki.h"

#include <ctype.h>
#include <strings.h>

#include "base/checked.h"
#include "text/espeak_lib.h"
#include "text/misaki_reader.h"
#include "text/segment.h"

/* Kokoro's language codes are the first letters of its voices' names ("af_heart": American). */
static const struct {
    char code;
    const char
        *espeak_voice; /* names that espeak-ng 1.51 knows; it has no "en-gb" and no "fr-fr" */
    const char *names[6];
} languages[] = {
    {'a', "en-us", {"en-us", "en", "eng", "american"}},
    {'b', "gmw/en", {"en-gb", "en-uk", "en-gb-x-rp", "gmw/en", "british"}},
    {'e', "es", {"es", "es-es", "es-419", "spa", "spanish"}},
    {'f', "roa/fr", {"fr-fr", "fr", "fra", "roa/fr", "french"}},
    {'h', "hi", {"hi", "hi-in", "hin", "hindi"}},
    {'i', "it", {"it", "it-it", "ita", "italian"}},
    {'j', "ja", {"ja", "ja-jp", "jp", "jpn", "japanese"}},
    {'p', "pt-br", {"pt-br", "pt", "por", "portuguese"}},
    {'z', "", {"zh", "zh-cn", "cmn", "zho", "mandarin", "chinese"}},
};

/* Upper and lower case are one, and so are '_' and '-'. */
static bool is_name(const char *name, const char *of) {
    for (; *name && *of; name++, of++) {
        char c = *name == '_' ? '-' : (char)tolower((unsigned char)*name);
        if (c != *of) {
            return false;
        }
    }
    return *name == *of;
}

char ut_misaki_language(const char *name) {
    for (size_t i = 0; i < UT_COUNT(languages); i++) {
        const char code[] = {languages[i].code, '\0'};
        if (is_name(name, code)) {
            return languages[i].code;
        }
        for (size_t k = 0; k < UT_COUNT(languages[i].names) && languages[i].names[k]; k++) {
            if (is_name(name, languages[i].names[k])) {
                return languages[i].code;
            }
        }
    }
    return 0;
}

const char *ut_misaki_espeak_voice(char language) {
    for (size_t i = 0; i < UT_COUNT(languages); i++) {
        if (languages[i].code == language) {
            return languages[i].espeak_voice;
        }
    }
    return "";
}

/* The byte behind the line that begins at `begin`, with the newlines that end it. */
static size_t find_line_end(const char *text, size_t begin, size_t n, bool *paragraph) {
    *paragraph = false;
    for (size_t at = begin; at < n;) {
        const char *newline = memchr(text + at, '\n', n - at);
        if (!newline) {
            break;
        }
        size_t line_end = (size_t)(newline - text), n_newlines = 0;
        for (at = line_end; at < n && ut_is_space((unsigned char)text[at]); at++) {
            n_newlines += text[at] == '\n';
        }
        *paragraph = n_newlines >= 2;
        if (*paragraph || ut_ends_sentence(text + begin, line_end - begin)) {
            return at;
        }
    }
    return n;
}

/* misaki packs sentences in all languages but English, where it cuts by words. */
static utter_status read_lines(struct ut_misaki_reader *reader, size_t n, struct ut_sentences *out,
                               utter_error *err) {
    char language = reader->misaki->language;
    bool packs = language != 'a' && language != 'b';
    utter_status status = UTTER_OK;
    for (size_t at = 0, end; at < n && status == UTTER_OK; at = end) {
        bool paragraph;
        end = find_line_end(reader->line.text, at, n, &paragraph);
        status = ut_misaki_read_line(reader, at, end, err);
        if (status == UTTER_OK) {
            status = ut_misaki_chunk(&reader->line, packs, out, err);
        }
        if (paragraph && out->n > 0) {
            out->items[out->n - 1].paragraph = true;
        }
    }
    return status;
}

utter_status ut_phonemize_misaki(struct ut_mem *mem, const struct ut_misaki *misaki,
                                 const char *text, size_t n_bytes, struct ut_sentences *out,
                                 const struct ut_log *log, utter_error *err) {
    *out = (struct ut_sentences){.mem = mem};
    utter_status status = ut_utf8_check(text, n_bytes, err);
    if (status != UTTER_OK) {
        return status;
    }
    struct ut_misaki_reader reader = {
        .mem = mem,
        .misaki = misaki,
        .log = log,
        .line = {.text = text, .phonemes = {.mem = mem}},
        .piece = {.mem = mem},
        .composed = {.mem = mem},
        .symbols = {{.mem = mem}, {.mem = mem}},
        .word = {{.mem = mem}, {.mem = mem}},
    };
    status = read_lines(&reader, n_bytes, out, err);
    if (status == UTTER_OK && reader.clauses) {
        ut_espeak_warn_blanked(reader.clauses->n_unread, log);
    }
    if (status == UTTER_OK && reader.n_unknown > 0) {
        ut_log(log, UTTER_LOG_WARNING,
               "%zu words have no phonemes in the lexicon and are not spoken", reader.n_unknown);
    }
    ut_misaki_reader_free(&reader);
    if (status == UTTER_OK) {
        ut_sentences_cover(out, n_bytes);
    } else {
        ut_sentences_free(out);
    }
    return status;
}
