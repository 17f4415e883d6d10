/* See clause_reader.h. Checked with espeak-ng 1.51 and 1.52, whose espeak_TextToPhonemes gives the
 * phonemes of one clause a call but not what ended it. A window slides over the text: what
 * espeak-ng has not read yet moves to its front and is filled up from behind. */
#include "text/clause_reader.h"

#include "base/checked.h"
#include "text/espeak_lib.h"
#include "text/utf8_walk.h"
#include "ut_config.h"

/* A flag is what stands between two parentheses; IPA itself has none. An unclosed one and "()"
 * stay. */
void ut_clause_remove_flags(struct ut_text_buffer *text, size_t from) {
    size_t n = from;
    for (size_t i = from; i < text->n; i++) {
        const char *close = text->data[i] == '(' ? memchr(text->data + i, ')', text->n - i) : NULL;
        if (close && close > text->data + i + 1) {
            i = (size_t)(close - text->data);
        } else {
            text->data[n++] = text->data[i];
        }
    }
    text->n = n;
}

void ut_clause_start(struct ut_clause_reader *reader, const char *text, size_t n) {
    reader->text = text;
    reader->n = n;
    reader->n_shown = reader->begin = 0;
    reader->at = NULL;
}

bool ut_clause_has_more(const struct ut_clause_reader *reader) {
    return reader->at || reader->n_shown < reader->n;
}

#if UT_HAVE_ESPEAK

#include <errno.h>
#include <espeak-ng/speak_lib.h>

/* More than five clauses of the longest kind: the window is filled up before espeak-ng can reach
 * its end and take that for the end of the text. */
enum { WINDOW_SLACK = 4096 };

/* Never ends the window inside a character. What it shows for the first time is blanked there
 * (ut_espeak_blank), so that the caller's text stays as it is. */
static void fill_window(struct ut_clause_reader *reader) {
    size_t n_left = reader->at ? (size_t)(reader->window + reader->n_window - reader->at) : 0;
    if (reader->at && (n_left >= WINDOW_SLACK || reader->n_shown == reader->n)) {
        return;
    }
    if (n_left > 0) {
        memmove(reader->window, reader->at, n_left);
    }
    size_t n_new = UT_MIN(UT_CLAUSE_WINDOW_BYTES - n_left, reader->n - reader->n_shown);
    while (reader->n_shown + n_new < reader->n && n_new > 0 &&
           ut_utf8_is_tail(reader->text[reader->n_shown + n_new])) {
        n_new--;
    }
    memcpy(reader->window + n_left, reader->text + reader->n_shown, n_new);
    reader->n_unread += ut_espeak_blank(reader->window + n_left, n_new);
    reader->n_shown += n_new;
    reader->n_window = n_left + n_new;
    reader->window[reader->n_window] = '\0';
    reader->at = reader->window;
}

utter_status ut_clause_read(struct ut_clause_reader *reader, int phoneme_mode,
                            struct ut_clause *out, utter_error *err) {
    fill_window(reader);
    const void *next = reader->at;
    errno = 0; /* words of another language have a dictionary of their own, read now */
    out->phonemes = espeak_TextToPhonemes(&next, espeakCHARS_UTF8, phoneme_mode);
    utter_status status = ut_espeak_check_files(err);
    if (status != UTTER_OK) {
        return status;
    }
    if (!out->phonemes || next == reader->at) {
        return ut_fail(err, UTTER_ERROR_INTERNAL, "espeak-ng stops at byte %zu of the text",
                       reader->begin);
    }
    reader->at = next;
    out->begin = reader->begin;
    out->end = reader->n_shown;
    out->stop = reader->n_shown == reader->n ? UT_CLAUSE_END_OF_TEXT : UT_CLAUSE_CUT;
    if (reader->at) {
        /* It has read one character of the next clause and keeps it for the next call. */
        size_t n_read = reader->n_shown - (size_t)(reader->window + reader->n_window - reader->at);
        out->end = n_read > out->begin ? ut_utf8_before(reader->text, n_read) : n_read;
        out->stop = UT_CLAUSE_MORE_TEXT;
    }
    reader->begin = out->end;
    return UTTER_OK;
}

/* Whoever used espeak-ng last may have left in the middle of a text: the character that it keeps
 * would come out in front of ours. */
void ut_clause_reset(void) {
    for (const void *nothing = ""; nothing;) {
        if (!espeak_TextToPhonemes(&nothing, espeakCHARS_UTF8, espeakPHONEMES_IPA)) {
            return;
        }
    }
}

#else

void ut_clause_reset(void) {
}

/* Without espeak-ng in the build. */
utter_status ut_clause_read(struct ut_clause_reader *reader, int phoneme_mode,
                            struct ut_clause *out, utter_error *err) {
    return ut_espeak_lock(err); /* says what is missing */
}

#endif
