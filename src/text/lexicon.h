/* Phonemes from word lists instead of espeak-ng: the dictionary and rules inside a "no_espeak" GGUF file of
 * TTS.cpp, or misaki's lexicon files. Both give Kokoro's alphabet. A lexicon is immutable and may be shared
 * by threads. */
#ifndef UT_TEXT_LEXICON_H
#define UT_TEXT_LEXICON_H

#include "base/error.h"
#include "base/mem.h"
#include "text/text_buffer.h"

/* Holds copies of all it needs: files and arrays may go once it is open. */
struct ut_lexicon;

/* The string arrays of a TTS.cpp file (kokoro.md says how they are read); copied. */
struct ut_lexicon_rules {
    const char *const *graphemes;
    size_t n_graphemes;
    const char *const *rule_keys, *const *rule_phonemes;
    size_t n_rules;
    const char *const *dictionary_keys, *const *dictionary_values;
    size_t n_dictionary;
};
UTTER_CHECKED utter_status ut_lexicon_from_rules(struct ut_mem *mem, const struct ut_lexicon_rules *rules,
                                                 struct ut_lexicon **out, utter_error *err);

/* misaki's {us,gb}_{gold,silver}.json in `folder`: american is us, else gb. Gold must be there, silver may
 * be. ERROR_NOT_FOUND when there is no gold file. */
UTTER_CHECKED utter_status ut_lexicon_open_misaki(struct ut_mem *mem, const char *folder, bool american,
                                                  struct ut_lexicon **out, utter_error *err);
void ut_lexicon_destroy(struct ut_lexicon *lexicon); /* NULL is fine */

/* Appends the phonemes of a word that the lexicon does not have. */
typedef utter_status (*ut_lexicon_fallback)(void *user, const char *word, size_t n_bytes,
                                            struct ut_text_buffer *out, utter_error *err);

/* Appends the phonemes of `text` (valid UTF-8, one paragraph) to `out`: words, single spaces and the marks
 * ; : , . ! ? ... in Kokoro's alphabet. `fallback` NULL: words that the lexicon lacks are spelled where the
 * lexicon can, and counted in *n_unknown where it cannot. */
UTTER_CHECKED utter_status ut_lexicon_phonemize(const struct ut_lexicon *lexicon, const char *text,
                                                size_t n_bytes, ut_lexicon_fallback fallback, void *user,
                                                struct ut_text_buffer *out, size_t *n_unknown,
                                                utter_error *err);

#endif
