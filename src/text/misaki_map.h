/* What espeak-ng writes, in Kokoro's alphabet: the replacement tables of docs/models/kokoro.md. */
#ifndef UT_TEXT_MISAKI_MAP_H
#define UT_TEXT_MISAKI_MAP_H

#include "text/text_buffer.h"

/* Two buffers that take turns: the result of every call is in `now`. */
struct ut_misaki_symbols {
    struct ut_text_buffer now, spare;
};

/* IPA of espeak-ng (ties as U+0361) or, for z, IPA of pinyin, to Kokoro's symbols of that language. */
UTTER_CHECKED utter_status ut_misaki_map(char language, struct ut_misaki_symbols *symbols,
                                         utter_error *err);

/* Phonemes that the user wrote: composed vowels with a tilde are taken apart, c with a cedilla is put
 * together, g becomes the one of IPA. */
UTTER_CHECKED utter_status ut_misaki_map_written(struct ut_misaki_symbols *symbols, utter_error *err);

/* Raises or lowers the stress of every word; level in -1e9..1e9, whole or +-0.5. */
UTTER_CHECKED utter_status ut_misaki_map_stress(double level, struct ut_misaki_symbols *symbols,
                                                utter_error *err);

#endif
