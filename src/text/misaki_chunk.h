/* One line of phonemes, cut into chunks that a Kokoro voice can speak. */
#ifndef UT_TEXT_MISAKI_CHUNK_H
#define UT_TEXT_MISAKI_CHUNK_H

#include "text/phonemes.h"
#include "text/text_buffer.h"

/* A place that phonemes and text have in common. */
struct ut_misaki_anchor {
    size_t phoneme, text; /* bytes */
    bool sentence;        /* one ends here */
};

struct ut_misaki_line {
    const char *text;
    size_t text_begin, text_end; /* bytes of the text that the line came from */
    struct ut_text_buffer phonemes;
    struct ut_misaki_anchor *anchors; /* neither offset ever decreases */
    size_t n_anchors, capacity;
};

/* Appends the chunks of the line to `out`, without space at their ends. `packs`: as many sentences as 400
 * characters of text hold; else as many words as fit. No phoneme but white space is lost. */
UTTER_CHECKED utter_status ut_misaki_chunk(const struct ut_misaki_line *line, bool packs,
                                           struct ut_sentences *out, utter_error *err);

#endif
