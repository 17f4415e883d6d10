/* misaki's dictionary and the pronunciation of single words from it; see lexicon_entries.c. */
#ifndef UT_TEXT_LEXICON_ENTRIES_H
#define UT_TEXT_LEXICON_ENTRIES_H

#include "text/lexicon_parts.h"

enum { UT_PHONES_BYTES = 2048 };

/* Phonemes of one word. */
struct ut_phones {
    size_t n;
    char text[UT_PHONES_BYTES];
};

enum ut_next_sound { UT_NEXT_NONE, UT_NEXT_CONSONANT, UT_NEXT_VOWEL }; /* NONE: a mark or the end */

/* Where a word stands. */
struct ut_word_place {
    enum ut_next_sound next;
    bool next_is_to; /* the next word is "to" */
    bool first;      /* in its sentence */
    bool after_number;
    bool in_group; /* others are glued to it: A320 */
    bool shouting; /* words around are all capitals */
};

/* False if neither the lists nor the stems have the word. ' for ’; at most
 * UT_LEXICON_MAX_WORD_BYTES. */
bool ut_entries_say(const struct ut_lexicon_entries *entries, const char *word, size_t n,
                    const struct ut_word_place *place, struct ut_phones *out);
/* Changes the stress as misaki does; `level` is twice its number (-4: none, -1, 0, 1, 4: primary).
 * Doubled, because misaki's levels have halves. */
void ut_phones_stress(struct ut_phones *phones, int level);
bool ut_phones_append(struct ut_phones *phones, const char *text, size_t n); /* false: no room */
bool ut_phones_has(const struct ut_phones *phones, const char *symbol);
/* What the first sound is; `otherwise` if the phonemes tell nothing. */
enum ut_next_sound ut_first_sound(const char *phonemes, size_t n, enum ut_next_sound otherwise);

#endif
