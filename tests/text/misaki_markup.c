/* What is a link and what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"
#include "text/misaki_markup.h"

/* The links of a text, one after the other: "P word|target;", "S word|level;", "I word;". */
static void print_links(const char *text, char *out, size_t capacity) {
    struct ut_misaki_links links = {.text = text, .n = strlen(text)};
    struct ut_misaki_link link;
    size_t used = 0;
    out[0] = '\0';
    for (size_t at = 0; at < links.n; at++) {
        if (text[at] != '[' || !ut_misaki_link_at(&links, at, &link)) {
            continue;
        }
        assert_int_equal(link.begin, at);
        assert_true(link.word_end > link.word_begin && link.end <= links.n);
        int n_word = (int)(link.word_end - link.word_begin);
        const char *word = text + link.word_begin;
        if (link.kind == UT_MISAKI_LINK_PHONEMES) {
            used += (size_t)snprintf(out + used, capacity - used, "P %.*s|%.*s;", n_word, word,
                                     (int)(link.target_end - link.target_begin),
                                     text + link.target_begin);
        } else if (link.kind == UT_MISAKI_LINK_STRESS) {
            used += (size_t)snprintf(out + used, capacity - used, "S %.*s|%g;", n_word, word,
                                     link.level);
        } else {
            used += (size_t)snprintf(out + used, capacity - used, "I %.*s;", n_word, word);
        }
        at = link.end - 1;
    }
}

static void links(void **state) {
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"[Kokoro](/kˈOkəɹO/) and [a](//)", "P Kokoro|kˈOkəɹO;P a|;"},
        {"[a](2)[b](-1) [c](+0.5) [d](-0.5) [e](0)", "S a|2;S b|-1;S c|0.5;S d|-0.5;S e|0;"},
        {"[a](99999999999999999999) [a](-99999999999999999999)", "S a|1000;S a|-1000;"},
        {"[12](#n#) [site](http://a/b) [a]() [a](/) [a](1.5) [a](-) [a](/x) [a](.5)",
         "I 12;I site;I a;I a;I a;I a;I a;I a;"},
        {"[a [b](/x/)", "P a [b|x;"},
        {"[] [](/x/) [a] (/x/) [a](/x/ [b", ""},
        {"[a](/(/)", "P a|(;"},
        {"[a](", ""},
        {"[a]", ""},
        {"[", ""},
        {"[a](x", ""},
    };
    for (size_t i = 0; i < UT_COUNT(cases); i++) {
        char got[512];
        print_links(cases[i].text, got, sizeof got);
        assert_string_equal(got, cases[i].expected);
    }
}

/* Many beginnings without an end must not each search the whole text: this would take hours. */
static void unclosed(void **state) {
    enum { N = 1000000 };
    static const char *const units[] = {"[", "[a](", "[a]"};
    for (size_t u = 0; u < UT_COUNT(units); u++) {
        size_t n_unit = strlen(units[u]), n_found = 0;
        char *text = malloc(N);
        for (size_t i = 0; i < N; i++) {
            text[i] = units[u][i % n_unit];
        }
        struct ut_misaki_links links = {.text = text, .n = N};
        struct ut_misaki_link link;
        for (size_t at = 0; at < N; at++) {
            n_found += text[at] == '[' && ut_misaki_link_at(&links, at, &link);
        }
        assert_int_equal(n_found, 0);
        free(text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(links),
        cmocka_unit_test(unclosed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
