/* See misaki_markup.h. As misaki finds it, by \[([^\]]+)\]\(([^\)]*)\), the leftmost first. A
 * target may not hold a parenthesis, and nothing can be escaped. */
#include "text/misaki_markup.h"

#include <string.h>

#include "base/checked.h"

/* The first `c` at or behind `from`, n if there is none; *found is what the last call gave. */
static size_t find_close(const struct ut_misaki_links *links, char c, size_t from, size_t *found) {
    if (*found < from) {
        const char *close = from < links->n ? memchr(links->text + from, c, links->n - from) : NULL;
        *found = close ? (size_t)(close - links->text) : links->n;
    }
    return *found;
}

/* "2", "-1", "+0.5": what misaki takes for a level. */
static bool read_level(const char *s, size_t n, double *out) {
    double sign = n > 0 && s[0] == '-' ? -1 : 1;
    if (n > 0 && (s[0] == '-' || s[0] == '+')) {
        s++;
        n--;
    }
    if (n == 3 && memcmp(s, "0.5", 3) == 0) {
        *out = sign * 0.5;
        return true;
    }
    int level = 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9') {
            return false;
        }
        level = UT_MIN(10 * level + (s[i] - '0'), 1000);
    }
    *out = sign * level;
    return n > 0;
}

/* The regular expression's [^\]]+ takes the first ] behind the bracket, whatever lies between, also
 * another [. Offsets of what was found are kept, so nothing is searched twice. */
bool ut_misaki_link_at(struct ut_misaki_links *links, size_t at, struct ut_misaki_link *out) {
    const char *text = links->text;
    size_t word_end = find_close(links, ']', at + 1, &links->bracket);
    if (word_end == at + 1 || word_end + 2 >= links->n || text[word_end + 1] != '(') {
        return false;
    }
    size_t begin = word_end + 2, end = find_close(links, ')', begin, &links->paren);
    if (end == links->n) {
        return false;
    }
    *out = (struct ut_misaki_link){
        .begin = at, .end = end + 1, .word_begin = at + 1, .word_end = word_end};
    if (end - begin >= 2 && text[begin] == '/' && text[end - 1] == '/') {
        out->kind = UT_MISAKI_LINK_PHONEMES;
        out->target_begin = begin + 1;
        out->target_end = end - 1;
    } else if (read_level(text + begin, end - begin, &out->level)) {
        out->kind = UT_MISAKI_LINK_STRESS;
    }
    return true;
}
