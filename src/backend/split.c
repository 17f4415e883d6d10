/* Where to cut a long sentence. Text without a single full stop is legal input (a table, a poem, an
 * attack); a model's memory and time to first sound grow with the unit, so units are bounded and
 * nothing is dropped. */
#include "backend/split.h"

#include <stdbool.h>
#include <string.h>

static size_t next_char(const char *text, size_t at, size_t end) {
    at++;
    while (at < end && ((unsigned char)text[at] & 0xC0) == 0x80) {
        at++;
    }
    return at;
}

/* U+0300..U+036F, and the length marks U+02D0, U+02D1: they belong to what stands before them. */
static bool joins_previous(const char *s, size_t n) {
    unsigned char a = (unsigned char)s[0], b = n > 1 ? (unsigned char)s[1] : 0;
    return a == 0xCC || (a == 0xCD && b < 0xB0) || (a == 0xCB && (b == 0x90 || b == 0x91));
}

/* The marks that phonemes have; strchr would find the NUL, too. */
static bool is_clause_mark(char c) {
    return c != '\0' && strchr(",;:.?!", c) != NULL;
}

/* `n` counts the character at `at`. Cuts in the first half are not kept: they would leave many
 * short parts. */
size_t ut_split_phonemes(const char *phonemes, size_t begin, size_t n_bytes, size_t max_symbols) {
    size_t at = begin, clause = 0, space = 0, anywhere = 0;
    for (size_t n = 1; at < n_bytes; n++) {
        if (n > max_symbols) {
            return clause ? clause : space ? space : anywhere ? anywhere : at;
        }
        size_t next = next_char(phonemes, at, n_bytes);
        bool late = n > max_symbols / 2;
        if (late && phonemes[at] == ' ') {
            space = next;
            clause = at > begin && is_clause_mark(phonemes[at - 1]) ? next : clause;
        }
        if (next < n_bytes && !joins_previous(phonemes + next, n_bytes - next)) {
            anywhere = next;
        }
        at = next;
    }
    return n_bytes;
}

/* In double: the product of two sizes could wrap. */
size_t ut_split_text(const char *text, size_t begin, size_t end, size_t part, size_t whole) {
    if (part >= whole) {
        return end;
    }
    size_t at = begin + (size_t)((double)(end - begin) * ((double)part / (double)whole));
    while (part > 0 && at < end && at > begin && text[at - 1] != ' ') {
        at = next_char(text, at, end);
    }
    return at;
}
