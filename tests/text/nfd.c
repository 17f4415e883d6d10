/* Decomposition, and that its cost stays linear. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"
#include "text/nfd.h"
#include "ut_config.h"

static struct ut_mem mem;

static void assert_nfd(const char *text, const char *expected) {
    struct ut_text_buffer out = {.mem = &mem};
    utter_error err;
    if (ut_nfd_append(&out, text, strlen(text), &err) != UTTER_OK) {
        fail_msg("%s: %s", text, err.message);
    }
    assert_int_equal(out.n, strlen(expected));
    assert_memory_equal(out.n ? out.data : "", expected, out.n);
    ut_text_buffer_free(&out);
}

static void unchanged(void **state) {
    assert_nfd("", "");
    assert_nfd("Hello, world.", "Hello, world.");
    assert_nfd("həlˈoʊ wˈɜːld θɹˈiːʲ", "həlˈoʊ wˈɜːld θɹˈiːʲ");
    assert_nfd("ɑ\u0303", "ɑ\u0303");
}

static void decomposed(void **state) {
    assert_nfd("ç", "c\u0327");
#if UT_HAVE_ICU
    assert_nfd("é", "e\u0301");
    assert_nfd("\uAC01", "\u1100\u1161\u11A8");
    assert_nfd("\u1F82", "\u03B1\u0313\u0300\u0345"); /* the longest there is */
    assert_nfd("e\u0301\u0323", "e\u0323\u0301");     /* marks change places */
    assert_nfd("😀é", "😀e\u0301");
#else
    struct ut_text_buffer out = {.mem = &mem};
    utter_error err;
    assert_int_equal(ut_nfd_append(&out, "é", 2, &err), UTTER_ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "libicu-dev"));
    ut_text_buffer_free(&out);
#endif
}

#if UT_HAVE_ICU
/* Chunks end inside and between characters of every length without a trace. */
static void any_length(void **state) {
    static const char *const units[][2] = {
        {"é", "e\u0301"}, {"a", "a"}, {"ə", "ə"}, {"\u1E69", "s\u0323\u0307"}, {"😀", "😀"}};
    for (size_t u = 0; u < UT_COUNT(units); u++) {
        for (size_t n = 500; n < 520; n++) {
            char *text = calloc(n + 1, 8), *expected = calloc(n + 1, 8);
            for (size_t i = 0; i < n; i++) {
                strcpy(text + i * strlen(units[u][0]), units[u][0]);
                strcpy(expected + i * strlen(units[u][1]), units[u][1]);
            }
            assert_nfd(text, expected);
            free(text);
            free(expected);
        }
    }
}

/* A run of marks whose canonical order is the reverse: ordering them all would take hours. */
static void endless_marks(void **state) {
    enum { N = 500000 };
    char *text = malloc(2 * N);
    for (size_t i = 0; i < N; i++) {
        memcpy(text + 2 * i, i < N / 2 ? "\u0301" : "\u0323", 2);
    }
    struct ut_text_buffer out = {.mem = &mem};
    assert_int_equal(ut_nfd_append(&out, text, 2 * N, NULL), UTTER_OK);
    assert_int_equal(out.n, 2 * N);
    ut_text_buffer_free(&out);
    free(text);
}
#endif

static void assert_nfc(const char *text, const char *expected) {
    struct ut_text_buffer out = {.mem = &mem};
    assert_int_equal(ut_nfc_append(&out, text, strlen(text), NULL), UTTER_OK);
    assert_int_equal(out.n, strlen(expected));
    assert_memory_equal(out.n ? out.data : "", expected, out.n);
    ut_text_buffer_free(&out);
}

static void composed(void **state) {
    assert_nfc("", "");
    assert_nfc("ɑ\u0303 \u00E9", "ɑ\u0303 \u00E9");
#if UT_HAVE_ICU
    assert_nfc("e\u0301", "\u00E9");
    assert_nfc("e\u0323\u0301", "\u1EB9\u0301");
    assert_nfc("\u304B\u3099", "\u304C");
#else
    assert_nfc("e\u0301", "e\u0301");
#endif
}

static int set_up(void **state) {
    ut_mem_init(&mem, NULL);
    return 0;
}

static int tear_down(void **state) {
    return mem.bytes[UT_MEM_SESSION] != 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unchanged),
        cmocka_unit_test(decomposed),
        cmocka_unit_test(composed),
#if UT_HAVE_ICU
        cmocka_unit_test(any_length),
        cmocka_unit_test(endless_marks),
#endif
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
