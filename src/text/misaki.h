/* Text to phonemes of Kokoro's alphabet as the misaki package makes them, with espeak-ng in place of
 * its part-of-speech tagger (docs/models/kokoro.md). Thread safe. */
#ifndef UT_TEXT_MISAKI_H
#define UT_TEXT_MISAKI_H

#include "text/lexicon.h"
#include "text/phonemes.h"

enum { UT_MISAKI_MAX_SYMBOLS = 510 }; /* code points of one chunk */

struct ut_misaki {
    char language;                   /* a b e f h i j p z */
    const struct ut_lexicon *lexicon; /* NULL: espeak-ng for every word */
};

/* The language code of "a", "en-us", "en_GB", "fr-fr", "ja", "cmn", ... ; 0 when there is none. */
char ut_misaki_language(const char *name);
/* The espeak voice that stands for it: "en-us", "gmw/en", ...; "" for z. */
const char *ut_misaki_espeak_voice(char language);

/* Chunks of at most UT_MISAKI_MAX_SYMBOLS code points, each a unit to be synthesised by itself, cut at
 * the best pause; nothing is dropped. `paragraph` is set on the last chunk of a paragraph. What `out` held
 * is overwritten, not freed; on failure it is empty. Text that the language's reader cannot say (kanji, hanzi)
 * is ERROR_UNSUPPORTED and says what to write instead. `[word](/phonemes/)` gives exactly these phonemes. */
UTTER_CHECKED utter_status ut_phonemize_misaki(struct ut_mem *mem, const struct ut_misaki *misaki,
                                               const char *text, size_t n_bytes,
                                               struct ut_sentences *out, const struct ut_log *log,
                                               utter_error *err);

#endif
