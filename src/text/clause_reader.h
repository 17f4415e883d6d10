/* Text through espeak-ng one clause at a time, for whoever turns text into phonemes. espeak-ng's position in
 * a text is global: everything here goes between ut_espeak_lock and ut_espeak_unlock, with a voice set. */
#ifndef UT_TEXT_CLAUSE_READER_H
#define UT_TEXT_CLAUSE_READER_H

#include "base/error.h"
#include "text/marks.h"
#include "text/text_buffer.h"

/* espeak-ng measures the rest of the text at every call: it is shown a window, or long texts would
 * take quadratic time. A clause takes at most 800 bytes, not counting skipped white space. */
enum { UT_CLAUSE_WINDOW_BYTES = 8192 };

struct ut_clause_reader { /* large: not for the stack */
    const char *text;     /* all of it */
    size_t n;
    size_t n_shown; /* bytes of text that were in the window so far */
    size_t begin;   /* of the next clause in text */
    const char *at; /* where espeak-ng goes on in the window; NULL: it has read all of it */
    size_t n_unread; /* characters of foreign scripts since its owner set it to 0 */
    size_t n_window;
    char window[UT_CLAUSE_WINDOW_BYTES + 1];
};

/* One clause as espeak-ng cuts text. The ranges of successive clauses leave no gaps. */
struct ut_clause {
    const char *phonemes; /* espeak-ng's, until the next call */
    size_t begin, end;    /* bytes of the text */
    enum ut_clause_stop stop;
};

/* Forgets what the last user of espeak-ng left unread: call it once after ut_espeak_set_voice. */
void ut_clause_reset(void);

/* Valid UTF-8 without NUL bytes, which must outlive the reader. What espeak-ng must not see is read
 * as spaces (ut_espeak_blank); n_unread counts the characters of foreign scripts among it. The
 * reader copies nothing: it may be started again with another text at any time. */
void ut_clause_start(struct ut_clause_reader *reader, const char *text, size_t n);
/* False when espeak-ng has read all of the text; also for an empty text, which ut_clause_read may
 * still be asked for once. */
bool ut_clause_has_more(const struct ut_clause_reader *reader);

/* Translates the next clause; also of an empty text. `phoneme_mode` is that of espeak_TextToPhonemes. */
UTTER_CHECKED utter_status ut_clause_read(struct ut_clause_reader *reader, int phoneme_mode,
                                          struct ut_clause *out, utter_error *err);

/* Takes the language flags out of text behind its byte `from`: "(en)" where a word of another language
 * begins or ends. */
void ut_clause_remove_flags(struct ut_text_buffer *text, size_t from);

#endif
