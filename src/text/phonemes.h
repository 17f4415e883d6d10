/* Text to sentences of phonemes as Piper's front end makes them: espeak-ng IPA clause by clause,
 * [[raw phonemes]], marks restored, NFD. espeak-ng keeps global state: calls from several threads
 * take turns. */
#ifndef UT_TEXT_PHONEMES_H
#define UT_TEXT_PHONEMES_H

#include "base/error.h"
#include "base/mem.h"

struct ut_sentence {
    char *phonemes;    /* UTF-8, NFD, NUL-terminated; "" for an empty sentence */
    size_t n_bytes;
    size_t text_begin, text_end; /* bytes of the input that it came from; the ranges leave no gaps */
    bool paragraph;    /* a paragraph ends behind it */
};

/* Grows by ut_sentences_push; starts as {.mem = mem} and is freed by ut_sentences_free. */
struct ut_sentences {
    struct ut_mem *mem;
    struct ut_sentence *items;
    size_t n, capacity;
};

void ut_sentences_free(struct ut_sentences *sentences); /* leaves an empty list */

/* Appends a copy of the phonemes; the rest of the new last item is zero and the caller's to fill. */
UTTER_CHECKED utter_status ut_sentences_push(struct ut_sentences *sentences, const char *phonemes,
                                             size_t n_bytes, utter_error *err);
/* Lets the ranges cover the text without gaps: each begins where the one before it ends. */
void ut_sentences_cover(struct ut_sentences *sentences, size_t n_text);

/* Phonemizes one piece of text in linear time. What `out` held is overwritten, not freed; on failure it
 * is empty. Text that is not UTF-8 or has a NUL byte is ERROR_ARGUMENT; other control characters are
 * spaces; text without anything to say gives no sentence. `voice` is an espeak voice name ("en-us"); one
 * that espeak does not have is ERROR_NOT_FOUND with the nearest names, or a stated substitute (logged),
 * never the voice of an earlier call. */
UTTER_CHECKED utter_status ut_phonemize_espeak(struct ut_mem *mem, const char *voice,
                                               const char *text, size_t n_bytes,
                                               struct ut_sentences *out, const struct ut_log *log,
                                               utter_error *err);

/* phoneme_type "text": the NFD code points are the phonemes, one sentence. */
UTTER_CHECKED utter_status ut_phonemize_text(struct ut_mem *mem, const char *text, size_t n_bytes,
                                             struct ut_sentences *out, utter_error *err);

#endif
