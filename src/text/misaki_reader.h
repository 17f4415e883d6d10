/* One line of text to phonemes: marks and markup are found, what stands between goes to espeak-ng or to a
 * lexicon. A reader belongs to one call of ut_phonemize_misaki. */
#ifndef UT_TEXT_MISAKI_READER_H
#define UT_TEXT_MISAKI_READER_H

#include "text/clause_reader.h"
#include "text/long_words.h"
#include "text/misaki.h"
#include "text/misaki_chunk.h"
#include "text/misaki_map.h"
#include "text/misaki_markup.h"

/* Whether the last mark may have ended a sentence. A full-width one needs no space behind it. */
enum ut_misaki_sentence { UT_MISAKI_INSIDE, UT_MISAKI_AFTER_MARK, UT_MISAKI_AFTER_WIDE_MARK };

struct ut_misaki_reader { /* starts as {.mem, .misaki, .log, .line = {.text}} and the buffers' .mem */
    struct ut_mem *mem;
    const struct ut_misaki *misaki;
    const struct ut_log *log;
    struct ut_misaki_line line;
    struct ut_clause_reader *clauses; /* not NULL: espeak-ng is locked and has the voice */
    bool lacks_espeak;                /* tried in vain */
    size_t n_unknown;                 /* words that nobody could say */

    struct ut_text_buffer piece; /* text that is collected; starts with no white space */
    size_t n_piece;              /* its bytes without white space at the end */
    size_t piece_begin, piece_end;
    bool clause_ends;   /* a lexicon's piece may end at the next white space */
    bool has_combining; /* it must be composed */
    struct ut_text_buffer composed;

    struct ut_long_words words; /* of the piece */

    struct ut_misaki_symbols symbols, word;
    bool space;      /* one is due before whatever comes next */
    bool wide_space; /* because of a full-width mark */
    bool in_marks; /* the last thing was a mark */
    enum ut_misaki_sentence sentence;

    struct ut_misaki_link link;
    bool in_link;
    size_t link_phonemes; /* where those of the link's word begin */
};

/* Fills reader->line from text[begin, end), valid UTF-8 without NUL bytes. */
UTTER_CHECKED utter_status ut_misaki_read_line(struct ut_misaki_reader *reader, size_t begin,
                                               size_t end, utter_error *err);
void ut_misaki_reader_free(struct ut_misaki_reader *reader); /* gives espeak-ng back */

#endif
