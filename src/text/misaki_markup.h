/* misaki's markup: [word](/phonemes/), [word](level), [word](anything else). */
#ifndef UT_TEXT_MISAKI_MARKUP_H
#define UT_TEXT_MISAKI_MARKUP_H

#include <stdbool.h>
#include <stddef.h>

enum ut_misaki_link_kind {
    UT_MISAKI_LINK_IGNORED, /* a URL, #flags#: only the word counts */
    UT_MISAKI_LINK_PHONEMES,
    UT_MISAKI_LINK_STRESS
};

struct ut_misaki_link {
    enum ut_misaki_link_kind kind;
    size_t begin, end;               /* bytes of the text, brackets included */
    size_t word_begin, word_end;     /* never empty */
    size_t target_begin, target_end; /* PHONEMES: without the slashes */
    double level;                    /* STRESS: -1000..1000, whole or +-0.5 */
};

/* Finds the links of one line; starts as {.text, .n}. */
struct ut_misaki_links {
    const char *text;
    size_t n;
    size_t bracket, paren; /* the next ones to close, as far as they have been looked for */
};

/* True if a link begins at the '[' at `at`, which must not be smaller than in the call before: all
 * calls together take linear time. */
bool ut_misaki_link_at(struct ut_misaki_links *links, size_t at, struct ut_misaki_link *out);

#endif
