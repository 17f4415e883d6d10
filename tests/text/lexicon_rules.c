/* TTS.cpp's phonemizer data: rules with their levels and patterns, the dictionary's marks and
 * alternatives, letters and contractions, hostile data. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"
#include "support/sweep.h"
#include "text/lexicon.h"

static struct ut_mem mem;

/* Tables of {key, value}; graphemes as values of their own. */
#define MAX_ROWS 32
struct data {
    const char *graphemes[MAX_ROWS];
    const char *rules[MAX_ROWS][2];
    const char *words[MAX_ROWS][2];
};

static utter_status open_data(struct ut_mem *where, const struct data *data,
                              struct ut_lexicon **out, utter_error *err) {
    const char *columns[4][MAX_ROWS];
    struct ut_lexicon_rules rules = {.graphemes = data->graphemes,
                                     .rule_keys = columns[0],
                                     .rule_phonemes = columns[1],
                                     .dictionary_keys = columns[2],
                                     .dictionary_values = columns[3]};
    while (data->graphemes[rules.n_graphemes]) {
        rules.n_graphemes++;
    }
    for (; data->rules[rules.n_rules][0]; rules.n_rules++) {
        columns[0][rules.n_rules] = data->rules[rules.n_rules][0];
        columns[1][rules.n_rules] = data->rules[rules.n_rules][1];
    }
    for (; data->words[rules.n_dictionary][0]; rules.n_dictionary++) {
        columns[2][rules.n_dictionary] = data->words[rules.n_dictionary][0];
        columns[3][rules.n_dictionary] = data->words[rules.n_dictionary][1];
    }
    return ut_lexicon_from_rules(where, &rules, out, err);
}

static void assert_said(const struct data *data, const char *const (*cases)[2], size_t n) {
    struct ut_lexicon *lexicon;
    utter_error err;
    if (open_data(&mem, data, &lexicon, &err) != UTTER_OK) {
        fail_msg("%s", err.message);
    }
    for (size_t i = 0; i < n; i++) {
        struct ut_text_buffer out = {.mem = &mem};
        size_t n_unknown;
        assert_int_equal(ut_lexicon_phonemize(lexicon, cases[i][0], strlen(cases[i][0]), NULL, NULL,
                                              &out, &n_unknown, NULL),
                         UTTER_OK);
        if (out.n != strlen(cases[i][1]) ||
            (out.n > 0 && memcmp(out.data, cases[i][1], out.n) != 0)) {
            fail_msg("%s: [%.*s], not [%s]", cases[i][0], (int)out.n, out.data, cases[i][1]);
        }
        ut_text_buffer_free(&out);
    }
    ut_lexicon_destroy(lexicon);
    assert_int_equal(atomic_load(&mem.bytes[UT_MEM_OTHER]), 0);
}

static void levels(void **state) {
    static const struct data data = {.rules = {{"b", "b"},
                                               {"c.x", "never"}, /* c and d.a are only on the way */
                                               {"a", "1"},
                                               {"a.b", "2"},
                                               {"a.b.b", "3"},
                                               {"a.b.b.bab", "4"},
                                               {"a.^", "5"},
                                               {"a.b.$", "6"},
                                               {"d.a.b", "7"},
                                               {"f.o.f", "8"},
                                               {"f.o.f", "9"}, /* the later one counts */
                                               {"o", "o"}}};
    static const char *const cases[][2] = {
        {"bab", "b4b"},  {"babb", "b3bb"}, {"ba", "b6"},    {"baa", "b21"}, {"ab", "5b"},
        {"caab", "11b"}, {"badb", "b27b"}, {"bada", "b21"}, {"Bab", "b4b"}, {"off", "ɔ9"}};
    assert_said(&data, cases, UT_COUNT(cases));
}

static void patterns(void **state) {
    static const struct data data = {.graphemes = {"sh", "th"},
                                     .rules = {{"a", "1"},
                                               {"a.*h", "2"}, /* behind sh and th */
                                               {"a.th", "3"}, /* an exact match comes first */
                                               {"a.s*", "4"}, /* s and sh, but *h comes before */
                                               {"a.b.*", "5"},
                                               {"a.b.c.*ck", "6"},
                                               {"a.b.c.*ack", "7"},
                                               {"a.b.c.ba*", "8"},
                                               {"a.k.***", "9"}, /* a.k is only on the way to it */
                                               {"s", "s"},
                                               {"b", "b"},
                                               {"c", "c"},
                                               {"k", "k"},
                                               {"t", "t"},
                                               {"sh", "S"},
                                               {"th", "T"}}};
    static const char *const cases[][2] = {{"sha", "S2"},    {"tha", "T3"},      {"sa", "s4"},
                                           {"ca", "c1"},     {"bat", "b5t"},     {"bacs", "b8cs"},
                                           {"back", "b7ck"}, {"bacck", "b6cck"}, {"ka", "k"}};
    assert_said(&data, cases, UT_COUNT(cases));
}

/* "tch" is reached only because "tc" is in the list; "igh" is not. */
static void graphemes(void **state) {
    static const struct data data = {.graphemes = {"tc", "tch", "igh", "", "sh"},
                                     .rules = {{"tch", "C"},
                                               {"igh", "never"},
                                               {"i", "1"},
                                               {"g", "2"},
                                               {"h", "3"},
                                               {"tc", "4"},
                                               {"sh", "S"}}};
    static const char *const cases[][2] = {
        {"itch", "1C"}, {"igh", "123"}, {"tcih", "413"}, {"ish", "1S"}};
    assert_said(&data, cases, UT_COUNT(cases));
}

static void dictionary(void **state) {
    static const struct data data = {.rules = {{"i", "1"}, {"n", "2"}, {"o", "3"}, {"e", "4"}},
                                     .words = {{"no", "nˈO"},
                                               {"New", "njˈu jˈɔɹk: York,nˈu"},
                                               {"$in", "ˈɪntʃɪz"},
                                               {"#on", "ɔn"},
                                               {"one#", "wˌʌn"},
                                               {"#noon#", "nˈuːn"},
                                               {"neon", "first"},
                                               {"#neon", "second"},
                                               {"ion", "with:"},
                                               {"", "empty"},
                                               {"#", "mark"},
                                               {"café", "kæfˈeɪ"},
                                               {"niño", ""},
                                               {"resume", "ɹɪzˈuːm"},
                                               {"US", "jˌuːˈɛs"},
                                               {"nine", "nnnn"}}};
    static const char *const cases[][2] = {{"no No NO", "nˈO nˈO nˈO"},
                                           {"New York", "njˈu jˈɔɹk"},
                                           {"New york, New YORK!", "njˈu jˈɔɹk, njˈu jˈɔɹk!"},
                                           {"New Yorkone", "nˈu 3324"},
                                           {"in 5 in", "12 fˈIv ˈɪnʧɪz"},
                                           {"on no on. on", "32 nˈO ɔn. 32"},
                                           {"one no one. one, no", "wˌʌn nˈO 324. wˌʌn, nˈO"},
                                           {"noon no noon no noon", "2332 nˈO nˈun nˈO 2332"},
                                           {"no neon", "nˈO sAcɔnd"},
                                           {"neon", "2432"},
                                           {"ion", "with"},
                                           {"café CAFÉ résumé", "kæfˈA kæfˈA ɹɪzˈum"},
                                           {"niño", "2123"},
                                           {"US 9", "jˌuˈɛs nˈIn"}};
    assert_said(&data, cases, UT_COUNT(cases));
}

/* Plain espeak-ng IPA becomes Kokoro's alphabet. */
static void alphabet(void **state) {
    static const struct data data = {.words = {{"a", "tʃˈaɪ dʒˈɔɪ oʊ aʊ eɪ"},
                                               {"b", "lˈɪɾəl həlˈoʊ fˈæməli"},
                                               {"c", "bˈʌʔn̩ ˈn̩ n̩"},
                                               {"d", "nˈɜːs bˈɜːd lˈɛɾɚ fˈɜːɹi"},
                                               {"e", "oːɹ ɐ ɬ x ç r g ʔ ʲə ɑ̃ t͡ʃ"},
                                               {"f", "A I O W Y ᵻ ˌ"}}};
    static const char *const cases[][2] = {{"a", "ʧˈI ʤˈY O W A"},
                                           {"b", "lˈɪTᵊl həlˈO fˈæməli"},
                                           {"c", "bˈʌtn ˈᵊn ᵊn"},
                                           {"d", "nˈɜɹs bˈɜɹd lˈɛTəɹ fˈɜɹi"},
                                           {"e", "ɔɹ ə l k k ɹ ɡ t jə ɑ tʃ"},
                                           {"f", "A I O W Y ᵻ ˌ"}};
    assert_said(&data, cases, UT_COUNT(cases));
}

static const struct data english = {.graphemes = {"sh"},
                                    .rules = {{"a", "æ"},
                                              {"b", "b"},
                                              {"c", "k"},
                                              {"d", "d"},
                                              {"e", "ɛ"},
                                              {"h", "h"},
                                              {"i", "ɪ"},
                                              {"j", "j"},
                                              {"n", "n"},
                                              {"o", "ɑ"},
                                              {"r", "r"},
                                              {"s", "s"},
                                              {"sh", "ʃ"},
                                              {"t", "t"},
                                              {"u", "ʌ"},
                                              {"v", "v"},
                                              {"m", "m"},
                                              {"p", "p"},
                                              {"x", "z"}},
                                    .words = {{"can't", "kˈæːnt"}, {"do", "dˈuː"}}};

static void letters(void **state) {
    static const char *const cases[][2] = {
        {"USA", "jˌuˌɛsˈA"},
        {"a HTML", "ə ˌAʧtˌiˌɛmˈɛl"},
        {"NATO", "nætɑ"},
        {"U.S. Dr. Mr. e.g. 7 a.m.", "jˌuˈɛs dˈɑktəɹ mˈɪstəɹ ˌiʤˈi sˈɛvən ˌAˈɛm."},
        {"Dr Mrs", "dˈɑktəɹ mˈɪsəz"},
        {"PCs", "pˌisˈiz"},
        {"th", "tˌiˈAʧ"},
        {"X x", "ˈɛks ˈɛks"},
        {"II XIV XXXIX VIIII", "tˈu fˌɔɹtˈin θˈɜɹTi nˈIn vɪɪɪɪ"},
        {"SAD CIA", "sæd kɪæ"},
        {"sad CIA. TED", "sæd sˌiˌIˈA. tˌiˌidˈi"}};
    assert_said(&english, cases, UT_COUNT(cases));
}

static void contractions(void **state) {
    static const char *const cases[][2] = {
        {"can't", "kˈænt"},     {"CAN’T", "kˈænt"}, {"don't", "dˈOnt"},  {"didn't", "dɪdᵊnt"},
        {"doesn't", "dɑɛsᵊnt"}, {"do's", "dˈuz"},   {"cat's", "kæts"},   {"bush's", "bʌʃᵻz"},
        {"bad'd", "bædᵻd"},     {"he'd", "hɛd"},    {"ted'll", "tɛdᵊl"}, {"cats'", "kæts"}};
    assert_said(&english, cases, UT_COUNT(cases));
}

/* Data that is refused, and that which is odd but harmless. */
static void hostile(void **state) {
    char many[600], value[UT_COUNT(many)];
    memset(many, ',', sizeof many);
    memset(value, 'a', sizeof value);
    many[256] = value[257] = '\0';
    struct ut_lexicon *lexicon;
    utter_error err;
    assert_int_equal(open_data(&mem, &(struct data){.words = {{"a", many}}}, &lexicon, &err),
                     UTTER_ERROR_FORMAT);
    assert_string_equal(
        err.message, "phonemizer.dictionary: 'a' has 257 alternatives, the longest of 0 bytes: at "
                     "most 256 of 256 bytes are read");
    assert_null(lexicon);
    assert_int_equal(open_data(&mem, &(struct data){.words = {{"a", value}}}, &lexicon, &err),
                     UTTER_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "1 alternatives, the longest of 257 bytes"));
    assert_int_equal(open_data(&mem, &(struct data){.rules = {{"a", value}}}, &lexicon, &err),
                     UTTER_ERROR_FORMAT);
    assert_string_equal(err.message,
                        "phonemizer.rules: the phonemes of 'a' have 257 bytes: 256 is the most");
    assert_int_equal(atomic_load(&mem.bytes[UT_MEM_OTHER]), 0);

    static const struct data odd = {.graphemes = {"", "\xC3", "aa", "."},
                                    .rules = {{"", "1"},
                                              {".", "2"},
                                              {"...", "3"},
                                              {"a..", "4"},
                                              {"*", "5"},
                                              {"a.*", "6"},
                                              {"....", "7"},
                                              {"b", "b"}},
                                    .words = {{"$", "x"}, {"$#", "y"}, {"##", "z"}, {"bb", ",:,"}}};
    static const char *const cases[][2] = {{"ab", "6b"}, {"bb", "bˌibˈi"}, {"", ""}, {".", "."}};
    assert_said(&odd, cases, UT_COUNT(cases));
    assert_said(&(struct data){.rules = {{NULL}}}, (const char *const[][2]){{"cat", "sˌiˌAtˈi"}},
                1);
}

/* Long keys, patterns at every length under one node, a long word: below a second even with a
 * sanitizer. */
static void worst_patterns(void **state) {
    enum { N_RULES = 62, N_WORD = 50000 };
    char keys[N_RULES][128];
    const char *rule_keys[N_RULES + 1], *phonemes[N_RULES + 1], *pieces[40];
    char grapheme[40][64];
    for (int i = 0; i < N_RULES; i++) {
        int length = i / 2 + 1;
        snprintf(keys[i], sizeof keys[i], "a.a.a.%s%.*s%s", i % 2 ? "*" : "", length,
                 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", i % 2 ? "" : "*");
        rule_keys[i] = keys[i];
        phonemes[i] = "x";
    }
    rule_keys[N_RULES] = phonemes[N_RULES] = "a";
    for (int i = 0; i < 40; i++) {
        snprintf(grapheme[i], sizeof grapheme[i], "%.*s", i + 2,
                 "cccccccccccccccccccccccccccccccccccccccccccccccccc");
        pieces[i] = grapheme[i];
    }
    struct ut_lexicon_rules rules = {.graphemes = pieces,
                                     .n_graphemes = 40,
                                     .rule_keys = rule_keys,
                                     .rule_phonemes = phonemes,
                                     .n_rules = N_RULES + 1};
    struct ut_lexicon *lexicon;
    assert_int_equal(ut_lexicon_from_rules(&mem, &rules, &lexicon, NULL), UTTER_OK);
    char *text = malloc(N_WORD);
    for (int letter = 'a'; letter <= 'c'; letter += 2) {
        memset(text, letter, N_WORD);
        struct ut_text_buffer out = {.mem = &mem};
        size_t n_unknown;
        assert_int_equal(
            ut_lexicon_phonemize(lexicon, text, N_WORD, NULL, NULL, &out, &n_unknown, NULL),
            UTTER_OK);
        assert_int_equal(out.n > 0, 1);
        ut_text_buffer_free(&out);
    }
    free(text);
    ut_lexicon_destroy(lexicon);
}

static void failing_allocations(void **state) {
    struct ut_mem failing_mem;
    struct sweep sweep;
    for (sweep_start(&sweep, &failing_mem, false); sweep_next(&sweep);) {
        struct ut_lexicon *lexicon;
        utter_error err;
        utter_status status = open_data(&failing_mem, &english, &lexicon, &err);
        ut_lexicon_destroy(lexicon);
        sweep_check(&sweep, status);
    }
    assert_true(sweep.n_injected > 3);
}

static int start(void **state) {
    ut_mem_init(&mem, NULL);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels),         cmocka_unit_test(patterns),
        cmocka_unit_test(graphemes),      cmocka_unit_test(dictionary),
        cmocka_unit_test(alphabet),       cmocka_unit_test(letters),
        cmocka_unit_test(contractions),   cmocka_unit_test(hostile),
        cmocka_unit_test(worst_patterns), cmocka_unit_test(failing_allocations)};
    return cmocka_run_group_tests(tests, start, NULL);
}
