/* The tables row by row, and stress. What they do together is checked by the recordings of
 * misaki.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"
#include "support/sweep.h"
#include "text/misaki_map.h"

static struct ut_mem mem;

static void start(struct ut_misaki_symbols *symbols, const char *text) {
    *symbols = (struct ut_misaki_symbols){{.mem = &mem}, {.mem = &mem}};
    assert_int_equal(ut_text_buffer_append(&symbols->now, text, strlen(text), NULL), UTTER_OK);
}

/* Compares and frees. */
static void finish(struct ut_misaki_symbols *symbols, const char *text, const char *expected) {
    if (symbols->now.n != strlen(expected) ||
        memcmp(symbols->now.data ? symbols->now.data : "", expected, symbols->now.n) != 0) {
        fail_msg("%s: '%.*s', not '%s'", text, (int)symbols->now.n, symbols->now.data, expected);
    }
    ut_text_buffer_free(&symbols->now);
    ut_text_buffer_free(&symbols->spare);
}

static void assert_map(char language, const char *text, const char *expected) {
    struct ut_misaki_symbols symbols;
    start(&symbols, text);
    assert_int_equal(ut_misaki_map(language, &symbols, NULL), UTTER_OK);
    finish(&symbols, text, expected);
}

static void english(void **state) {
    assert_map('a', "", "");
    assert_map('a', "həlˈo\u0361ʊ", "həlˈO");
    assert_map('b', "həlˈə\u0361ʊ", "həlˈQ");
    assert_map('a', "a\u0361ɪ a\u0361ʊ d\u0361ʒ e\u0361ɪ t\u0361ʃ ɔ\u0361ɪ", "I W ʤ A ʧ Y");
    assert_map('a', "lˈɪɾə\u0361l", "lˈɪTᵊl");
    assert_map('a', "ʔˌn\u0329 ʔn\u0329 bn\u0329 \u0329", "tn tn bᵊn ");
    assert_map('a', "ɚ r x ç ɐ ɬ ɑ\u0303 e ɾ ʔ o", "əɹ ɹ k k ə l ɑ A T t ɔ");
    assert_map('a', "ɜːɹ ɜː ɪə iː", "ɜɹ ɜɹ iə i");
    assert_map('b', "ɜːɹ ɜː iə iː e\u0361ə", "ɜːɹ ɜː ɪə iː Aə");
    assert_map('a', "ʲo ʲə ʲa", "jɔ jə a");
}

static void others(void **state) {
    assert_map('i', "pˈit\u0361sːa d\u0361z o\u0361ʊ s\u0361s a-b", "pˈiʦːa ʣ O S ab");
    assert_map('p', "nˈɐ\u0303\u0361ʊ\u0303", "nˈɐ\u0303ʊ\u0303");
    assert_map('f', "r e x ɐ", "r e x ɐ");
    assert_map('j', "t\u0361ɕˈi\u00E4se\u031E d\u0361ʑ t\u0361sɯ\u0361ᵝ u\u0308 \u0169",
               "ʨˈiase ʥ ʦɯ u u\u0303");
    assert_map('z', "ni˧˩˧ xɑʊ˧˥ ma˥˩ pa˥ ʂɻ\u0329 sɹ\u0329 a\u032F", "ni↓ xɑʊ↗ ma↘ pa→ ʂɨ sɨ a");
}

static void written(void **state) {
    static const char text[] = "\u00F5 \u1EBD c\u0327 \u00E7 g";
    struct ut_misaki_symbols symbols;
    start(&symbols, text);
    assert_int_equal(ut_misaki_map_written(&symbols, NULL), UTTER_OK);
    finish(&symbols, text, "o\u0303 e\u0303 \u00E7 \u00E7 \u0261");
}

static void stress(void **state) {
    static const struct {
        double level;
        const char *word, *expected;
    } cases[] = {
        {-2, "kˈæɹɪktˌɜɹ", "kæɹɪktɜɹ"},
        {-1, "kˈæɹɪktˌɜɹ", "kˌæɹɪktɜɹ"},
        {0, "kˈæɹɪktˌɜɹ", "kˌæɹɪktɜɹ"},
        {-0.5, "kˈæt", "kˌæt"},
        {-0.5, "kˌæt", "kˌæt"},
        {-0.5, "kæt", "kæt"},
        {0, "kæt", "kˌæt"},
        {0.5, "kæt", "kˌæt"},
        {1, "kæt", "kˌæt"},
        {1, "kˌæt", "kˈæt"},
        {1, "kˈæt", "kˈæt"},
        {0.5, "kˌæt", "kˌæt"},
        {2, "kæt", "kˈæt"},
        {2, "kˌæt", "kˈæt"},
        {2, "stɹˈɛŋθ", "stɹˈɛŋθ"},
        {2, "st", "st"},
        {0, "st", "st"},
        {2, "ðə kæt ", "ðˈə kˈæt "},
        {2, "", ""},
    };
    for (size_t i = 0; i < UT_COUNT(cases); i++) {
        struct ut_misaki_symbols symbols;
        start(&symbols, cases[i].word);
        assert_int_equal(ut_misaki_map_stress(cases[i].level, &symbols, NULL), UTTER_OK);
        finish(&symbols, cases[i].word, cases[i].expected);
    }
}

/* Long texts grow the buffers: every allocation fails in turn. */
static void failed_allocations(void **state) {
    struct ut_mem failing_mem;
    struct sweep sweep;
    char text[2000];
    memset(text, 'r', sizeof text);
    for (sweep_start(&sweep, &failing_mem, false); sweep_next(&sweep);) {
        struct ut_misaki_symbols symbols = {{.mem = &failing_mem}, {.mem = &failing_mem}};
        utter_status status = ut_text_buffer_append(&symbols.now, text, sizeof text, NULL);
        status = status ? status : ut_misaki_map('b', &symbols, NULL);
        status = status ? status : ut_misaki_map_stress(2, &symbols, NULL);
        ut_text_buffer_free(&symbols.now);
        ut_text_buffer_free(&symbols.spare);
        sweep_check(&sweep, status);
    }
    assert_true(sweep.n_injected >= 3);
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
        cmocka_unit_test(english),
        cmocka_unit_test(others),
        cmocka_unit_test(written),
        cmocka_unit_test(stress),
        cmocka_unit_test(failed_allocations),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
