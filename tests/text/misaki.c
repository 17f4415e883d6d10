/* Kokoro's front end as a whole: the recordings of frontend_golden.tsv (its head tells the
 * columns), odd texts, languages, failing allocations, threads. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"
#include "base/json.h"
#include "support/byte_buffer.h"
#include "support/sweep.h"
#include "text/espeak_lib.h"
#include "text/misaki.h"
#include "text/utf8_walk.h"
#include "ut_config.h"

static struct ut_mem mem;

/* ---- Languages ------------------------------------------------------------------------------ */

static void language_names(void **state) {
    static const struct {
        const char *name;
        char code;
    } cases[] = {
        {"a", 'a'},     {"A", 'a'},     {"en-us", 'a'}, {"en_US", 'a'}, {"EN", 'a'}, {"b", 'b'},
        {"en-GB", 'b'}, {"en_gb", 'b'}, {"e", 'e'},     {"es", 'e'},    {"f", 'f'},  {"fr-FR", 'f'},
        {"fr", 'f'},    {"h", 'h'},     {"hi", 'h'},    {"i", 'i'},     {"it", 'i'}, {"j", 'j'},
        {"ja", 'j'},    {"p", 'p'},     {"pt_BR", 'p'}, {"z", 'z'},     {"zh", 'z'}, {"cmn", 'z'},
        {"", 0},        {"xx", 0},      {"en-", 0},     {"en-usa", 0},  {"-", 0},    {"c", 0},
    };
    for (size_t i = 0; i < UT_COUNT(cases); i++) {
        if (ut_misaki_language(cases[i].name) != cases[i].code) {
            fail_msg("'%s' is not '%c'", cases[i].name, cases[i].code);
        }
    }
    assert_string_equal(ut_misaki_espeak_voice('a'), "en-us");
    assert_string_equal(ut_misaki_espeak_voice('b'), "gmw/en");
    assert_string_equal(ut_misaki_espeak_voice('f'), "roa/fr");
    assert_string_equal(ut_misaki_espeak_voice('z'), "");
    assert_string_equal(ut_misaki_espeak_voice('?'), "");
}

static size_t count_symbols(const char *s) {
    size_t n = 0;
    for (; *s; s++) {
        n += !ut_utf8_is_tail(*s);
    }
    return n;
}

/* Checks what holds for every list: the ranges cover the text in order, between characters, and the
 * chunks are what a voice can speak. */
static void check_list(const struct ut_sentences *list, const char *text, size_t n_text) {
    for (size_t i = 0; i < list->n; i++) {
        const struct ut_sentence *s = &list->items[i];
        assert_int_equal(s->n_bytes, strlen(s->phonemes));
        assert_int_equal(s->text_begin, i > 0 ? list->items[i - 1].text_end : 0);
        assert_true(s->text_end >= s->text_begin && s->text_end <= n_text);
        assert_true(s->text_end == n_text || !ut_utf8_is_tail(text[s->text_end]));
        assert_in_range(count_symbols(s->phonemes), 1, UT_MISAKI_MAX_SYMBOLS);
        assert_true(s->phonemes[0] != ' ' && s->phonemes[s->n_bytes - 1] != ' ');
    }
    assert_true(list->n == 0 || list->items[list->n - 1].text_end == n_text);
}

static void phonemize(char language, const char *text, struct ut_sentences *out) {
    struct ut_misaki misaki = {.language = language};
    utter_error err;
    if (ut_phonemize_misaki(&mem, &misaki, text, strlen(text), out, NULL, &err) != UTTER_OK) {
        fail_msg("%c: %s: %s", language, text, err.message);
    }
    check_list(out, text, strlen(text));
}

/* The chunks, joined by '|'; free it. */
static char *phonemes_of(char language, const char *text) {
    struct ut_sentences out;
    struct byte_buffer all = {0};
    phonemize(language, text, &out);
    for (size_t i = 0; i < out.n; i++) {
        byte_buffer_append(&all, "|", i > 0);
        byte_buffer_append(&all, out.items[i].phonemes, out.items[i].n_bytes);
    }
    byte_buffer_append_u8(&all, 0);
    ut_sentences_free(&out);
    return (char *)all.data;
}

static void assert_phonemes(char language, const char *text, const char *expected) {
    char *got = phonemes_of(language, text);
    if (strcmp(got, expected) != 0) {
        fail_msg("%c: %s: '%s', not '%s'", language, text, got, expected);
    }
    free(got);
}

static void assert_refused(char language, const char *text, size_t n, utter_status status,
                           const char *message) {
    struct ut_misaki misaki = {.language = language};
    struct ut_sentences out;
    utter_error err;
    assert_int_equal(ut_phonemize_misaki(&mem, &misaki, text, n, &out, NULL, &err), status);
    if (!strstr(err.message, message)) {
        fail_msg("'%s' is not in '%s'", message, err.message);
    }
    assert_int_equal(out.n, 0);
}

static void refused_texts(void **state) {
    assert_refused('a', "a\0b", 3, UTTER_ERROR_ARGUMENT, "NUL byte at offset 1");
    assert_refused('a', "abc\xFF", 4, UTTER_ERROR_ARGUMENT, "offset 3");
    assert_refused('a', "\xED\xA0\x80", 3, UTTER_ERROR_ARGUMENT, "offset 0");
    static const char *const kanji = "[a](/a/) 日本、", *const hanzi = "你好。";
    assert_refused('j', kanji, strlen(kanji), UTTER_ERROR_UNSUPPORTED, "'日本' at byte 9");
    assert_refused('j', kanji, strlen(kanji), UTTER_ERROR_UNSUPPORTED, "in kana");
    assert_refused('z', hanzi, strlen(hanzi), UTTER_ERROR_UNSUPPORTED, "'你好' at byte 0");
    assert_refused('z', hanzi, strlen(hanzi), UTTER_ERROR_UNSUPPORTED, "[你好](/.../)");
}

/* ---- Without espeak-ng ------------------------------------------------------------------------
 */

static void written_phonemes(void **state) {
    assert_phonemes('a', "[Kokoro](/kˈOkəɹO/)", "kˈOkəɹO");
    assert_phonemes('a', "([a b](/ˈA/), [c](/bˈi/)!", "(ˈA, bˈi!");
    assert_phonemes('f', "[x](/b\u0254\u0303/) « [y](/\u00F5 \u00E7 c\u0327 g/) »",
                    "b\u0254\u0303 “ o\u0303 \u00E7 \u00E7 \u0261 ”");
    assert_phonemes('j', "[日本](/ɲihˈoɴ/)。[x](/a/)", "ɲihˈoɴ. a");
    assert_phonemes('a', "[x](//)", "");
    assert_phonemes('z', "ni˧˩˧xɑʊ˧˩˧，ma˥ ma˧˥ ʂɻ\u0329˥˩！", "ni↓xɑʊ↓, ma→ ma↗ ʂɨ↘!");
    assert_phonemes('z', "《[你](/ni↓/)》（a\u032F）", "“ni↓” (a)");
}

#if !UT_HAVE_ESPEAK

static void says_what_is_missing(void **state) {
    assert_refused('a', "word", 4, UTTER_ERROR_UNSUPPORTED, "libespeak-ng-dev");
}

#else

/* ---- Recordings --------------------------------------------------------------------------------
 */

/* A file of the test data as a NUL-terminated string. */
static char *read_data(const char *name) {
    struct byte_buffer file = {0};
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", getenv("UT_TEST_DATA"), name);
    byte_buffer_read_file(&file, path);
    byte_buffer_append_u8(&file, 0);
    return (char *)file.data;
}

/* Cuts the text at *rest at the first `separator`; NULL at the end. */
static char *next_field(char **rest, char separator) {
    char *field = *rest, *end = field ? strchr(field, separator) : NULL;
    *rest = end ? end + 1 : NULL;
    if (end) {
        *end = '\0';
    }
    return field;
}

/* Ids of the symbols in the vocabulary, a space between them; returns their number. */
static size_t print_ids(const struct ut_json *config, const char *phonemes, char *out,
                        size_t capacity) {
    ut_json_ref vocab = ut_json_member(config, 0, "vocab");
    size_t n = strlen(phonemes), used = 0, n_ids = 0;
    out[0] = '\0';
    for (size_t at = 0; at < n;) {
        char symbol[5] = "";
        size_t begin = at;
        ut_utf8_next(phonemes, n, &at);
        memcpy(symbol, phonemes + begin, at - begin);
        int64_t id;
        if (ut_json_int64(config, ut_json_member(config, vocab, symbol), &id)) {
            used += (size_t)snprintf(out + used, capacity - used, "%s%d", used ? " " : "", (int)id);
            assert_true(used < capacity);
            n_ids++;
        }
    }
    return n_ids;
}

/* True if the row was recorded with an espeak-ng like the one at hand. */
static bool is_for_this_version(const char *espeak) {
    if (strcmp(espeak, "both") == 0) {
        return true;
    }
    return strncmp(espeak, ut_espeak_version(), strlen("1.5x")) == 0;
}

static void recorded_texts(void **state) {
    char *file = read_data("kokoro/frontend_golden.tsv"), *rest = file;
    char *config_text = read_data("kokoro/config.json");
    struct ut_json *config;
    assert_int_equal(ut_json_parse(&mem, config_text, strlen(config_text), &config, NULL),
                     UTTER_OK);
    int n_rows = 0, n_equal = 0;
    for (char *row; (row = next_field(&rest, '\n')) != NULL && *row;) {
        if (*row == '#') {
            continue;
        }
        char language = *next_field(&row, '\t'), *text = next_field(&row, '\t');
        const char *espeak = next_field(&row, '\t'), *expected = next_field(&row, '\t');
        if (!is_for_this_version(espeak)) {
            continue;
        }
        char *newline = strstr(text, "\\n"), ids[4096];
        if (newline) {
            memcpy(newline, " \n", 2);
        }
        char *got = phonemes_of(language, text);
        print_ids(config, got, ids, sizeof ids);
        bool equal = strcmp(got, expected) == 0 && strcmp(ids, row) == 0;
        if (!equal) {
            print_message("%c: %s: '%s' (%s), not '%s' (%s)\n", language, text, got, ids, expected,
                          row);
        }
        n_rows++;
        n_equal += equal;
        free(got);
    }
    print_message("%d of %d rows have the recorded phonemes and ids\n", n_equal, n_rows);
    assert_int_equal(n_rows, 202);
    assert_int_equal(n_equal, n_rows);
    ut_json_free(config);
    free(config_text);
    free(file);
}

/* No replacement is missing: the phonemes of ordinary text are all in the vocabulary. */
static void check_training_lines(char language) {
    char *file = read_data("piper/train_ids.tsv"), *rest = file;
    char *config_text = read_data("kokoro/config.json");
    struct ut_json *config;
    assert_int_equal(ut_json_parse(&mem, config_text, strlen(config_text), &config, NULL),
                     UTTER_OK);
    int n_lines = 0;
    next_field(&rest, '\n'); /* the head */
    for (char *line; (line = next_field(&rest, '\n')) != NULL && *line; n_lines++) {
        next_field(&line, '\t');
        char *got = phonemes_of(language, line), ids[8192];
        size_t n_outside = 0; /* brackets and what joins chunks */
        for (const char *s = got; (s = strpbrk(s, "|[]")) != NULL; s++) {
            n_outside++;
        }
        if (print_ids(config, got, ids, sizeof ids) + n_outside != count_symbols(got)) {
            fail_msg("%s: '%s' has symbols without id", line, got);
        }
        free(got);
    }
    assert_int_equal(n_lines, 1885);
    ut_json_free(config);
    free(config_text);
    free(file);
}

static void training_lines(void **state) {
    check_training_lines('a');
    check_training_lines('b');
}

/* ---- Text
 * ---------------------------------------------------------------------------------------- */

static void white_space(void **state) {
    assert_phonemes('a', "\n\n Hello,\u00A0\u202F  \tworld \u2029! \r\n", "həlˈO, wˈɜɹld !");
    assert_phonemes('a', "Hello\x02\x01\x7F world", "həlˈO wˈɜɹld");
    assert_phonemes('f', "beau\u00A0! «\u00A0oui\u00A0»", "bˈo ! “ wˈi ”");
}

/* espeak-ng knows composed letters only. */
static void decomposed_text(void **state) {
#if UT_HAVE_ICU
    assert_phonemes('a', "cafe\u0301, jalapen\u0303o", "kæfˈA, ʤˌæləpˈinjO");
    assert_phonemes('p', "Na\u0303o", "nˈɐ\u0303ʊ\u0303");
    assert_phonemes('f', "garc\u0327on e\u0301te\u0301", "ɡaʁsˈɔ\u0303 etˈe");
    assert_phonemes('j', "か\u3099っこう", "ɡakkˈoɯ");
#endif
}

static void kana(void **state) {
    assert_phonemes('j', "こんにちは、せかい。", "kˌonniʨˈiha, sekˈai.");
    assert_phonemes('j', "「コーヒー」（ラーメン）！ ツヅ", "“kˈooçiː” (ɽˈaameɴ)! ʦˈɯzɯ");
    assert_phonemes('j', "アー・ー、ーイ", "ˈaa, ˈi"); /* what espeak-ng would spell is a pause */
    assert_phonemes('j', "さんじゅう", "sˌau\u0303ʥˈɯɯ");
    static const char *const refused[] = {"々", "〆", "ゝ", "1ヶ", "ヵ", "\U00020000", "豈"};
    for (size_t i = 0; i < UT_COUNT(refused); i++) {
        assert_refused('j', refused[i], strlen(refused[i]), UTTER_ERROR_UNSUPPORTED, "in kana");
    }
}

static void markup(void **state) {
    assert_phonemes('a', "Say [Kokoro](/kˈOkəɹO/), now.", "sˈA kˈOkəɹO, nˈW.");
    assert_phonemes('a', "[the](2) [is](1) [hello, world](-2)!", "ðˈə ˌɪz həlO, wɜɹld!");
    assert_phonemes('a', "the [apple](http://x/) [12](#n#).", "ðɪ ˈæpᵊl twˈɛlv.");
    assert_phonemes('a', "[ (](2) [😀](-1)x", "( ɡɹˌɪnɪŋ fˌAsˈɛks");
    assert_phonemes('f', "[oui](-2) [x](/a/)", "wˈi a"); /* levels are for English */
    assert_phonemes('a', "[hello](2", "[həlˈO](tˈu");
}

/* espeak-ng would read and write freed memory, so these do not reach it unless the voice is theirs.
 */
static void foreign_scripts(void **state) {
    assert_phonemes('a', "one \u09EF\u09E4two, \u0BA1", "wˈʌn tˈu,");
    assert_phonemes('a', "\u0558\u10FB\u11FF\u0DDFx", "ˈɛks");
    assert_phonemes('j', "か γ \u0928", "kˈa");
    assert_phonemes('h', "\u0928\u0BA1", "nˈə");
    assert_phonemes('f', "\uAC00 \u3131 oui", "wˈi");
    assert_phonemes('a', "\uA942one \u13A0two", "wˈʌn tˈu");
}

/* Another call has used another voice: it must not be heard. */
static void voices_do_not_mix(void **state) {
    static const char languages[] = "abefhipj";
    char *alone[8];
    for (size_t i = 0; i < 8; i++) {
        alone[i] = phonemes_of(languages[i], "no mode");
    }
    for (size_t i = 0; i < 8; i++) {
        for (size_t k = 0; k < 8; k++) {
            free(phonemes_of(languages[k], "a"));
            assert_phonemes(languages[i], "no mode", alone[i]);
        }
    }
    assert_string_not_equal(alone[0], alone[1]);
    assert_string_not_equal(alone[2], alone[3]);
    for (size_t i = 0; i < 8; i++) {
        free(alone[i]);
    }
}

/* ---- Lines and chunks
 * ----------------------------------------------------------------------------- */

static void lines_and_paragraphs(void **state) {
    static const char text[] = "One\ntwo.\nThree\n\nFour\r\n \r\n\nfive";
    static const struct {
        const char *phonemes;
        size_t end;
        bool paragraph;
    } expected[] = {
        {"wˈʌn tˈu.", 9, false}, {"θɹˈi", 16, true}, {"fˈɔɹ", 26, true}, {"fˈIv", 30, false}};
    struct ut_sentences out;
    phonemize('a', text, &out);
    assert_int_equal(out.n, UT_COUNT(expected));
    for (size_t i = 0; i < out.n; i++) {
        assert_string_equal(out.items[i].phonemes, expected[i].phonemes);
        assert_int_equal(out.items[i].text_end, expected[i].end);
        assert_int_equal(out.items[i].paragraph, expected[i].paragraph);
    }
    ut_sentences_free(&out);
}

static char *repeat(const char *unit, size_t n_bytes) {
    size_t n = strlen(unit);
    char *text = malloc(n_bytes + 1);
    for (size_t i = 0; i < n_bytes; i++) {
        text[i] = unit[i % n];
    }
    text[n_bytes - n_bytes % n] = '\0';
    return text;
}

/* Nothing is lost or changed by cutting: the chunks joined are the sentence's phonemes repeated,
 * each is cut behind a sentence, and the text that it is said to come from gives it again. */
static void chunks_are_the_whole(void **state) {
    static const struct {
        char language;
        const char *unit;
    } cases[] = {
        {'a', "It costs $3.50 (in 2024), \"they\" said; the others left. "},
        {'b', "The smith — the one — asked: is it 3.14? "},
        {'e', "El software de Google, ¿cómo está? "},
        {'f', "Un bon vin blanc (sec), « oui »! "},
        {'h', "मैं ठीक हूँ। "},
        {'i', "La pizza e il ragazzo... "},
        {'j', "こんにちは、せかい。"},
        {'p', "O coração e a mãe; amanhã! "},
    };
    for (size_t i = 0; i < UT_COUNT(cases); i++) {
        char *alone = phonemes_of(cases[i].language, cases[i].unit);
        char *text = repeat(cases[i].unit, 100 * strlen(cases[i].unit));
        struct ut_sentences out;
        phonemize(cases[i].language, text, &out);
        assert_true(out.n > 2 && out.n < 100);
        size_t n_units = 0, n_alone = strlen(alone);
        for (size_t k = 0; k < out.n; k++) {
            const struct ut_sentence *chunk = &out.items[k];
            for (const char *s = chunk->phonemes; *s; s += *s == ' ', n_units++) {
                assert_memory_equal(s, alone, n_alone);
                s += n_alone;
            }
            char source[2048];
            snprintf(source, sizeof source, "%.*s", (int)(chunk->text_end - chunk->text_begin),
                     text + chunk->text_begin);
            assert_phonemes(cases[i].language, source, chunk->phonemes);
        }
        assert_int_equal(n_units, 100);
        ut_sentences_free(&out);
        free(text);
        free(alone);
    }
}

/* Without any pause a chunk ends behind a word, and its text is that word's. */
static void cut_between_words(void **state) {
    char *text = repeat("lazy brown foxes ", 17 * 100);
    struct ut_sentences out;
    phonemize('a', text, &out);
    assert_true(out.n > 2);
    for (size_t k = 0; k < out.n; k++) {
        size_t begin = out.items[k].text_begin, n_spaces = 0, n_text_spaces = 0;
        assert_true(begin == 0 || text[begin - 1] == ' ');
        for (const char *s = out.items[k].phonemes; *s; s++) {
            n_spaces += *s == ' ';
        }
        for (size_t i = begin; i < out.items[k].text_end; i++) {
            n_text_spaces += text[i] == ' ';
        }
        assert_int_equal(n_text_spaces, n_spaces + 1);
    }
    ut_sentences_free(&out);
    free(text);
}

/* ---- Odd texts
 * -------------------------------------------------------------------------------------- */

static void nothing_to_say(void **state) {
    static const char *const texts[] = {"",       " ", "  \t ", "\n\n\n", "\u200B", "\u202E\u202C",
                                        "\u00A0", "-"};
    for (size_t i = 0; i < UT_COUNT(texts); i++) {
        struct ut_sentences out;
        phonemize('a', texts[i], &out);
        if (out.n > 0) {
            fail_msg("case %zu: '%s'", i, out.items[0].phonemes);
        }
        ut_sentences_free(&out);
    }
    assert_phonemes('a', "?!", "?!");
    assert_phonemes('a', " \" ( ) ", "\" ( )");
}

/* What espeak-ng would drop without a sign, because a word or a clause has too many phonemes. */
static void nothing_is_dropped(void **state) {
    static const struct {
        char language;
        const char *unit;
        size_t n_units;
        const char *symbol; /* of the phonemes of each unit */
    } cases[] = {
        {'a', "x", 100000, "k"},     {'a', "7", 10000, "s"}, {'a', "7 ", 3000, "s"},
        {'a', "123456 ", 200, "z"},  {'a', "😀", 1000, "ɡɹ"}, {'a', "你", 300, "ʧ"},
        {'a', "$ ", 500, "d"},       {'j', "か", 1000, "k"}, {'j', "きょうは", 300, "kʲ"},
        {'a', "banana ", 3000, "b"}, {'a', "XK ", 500, "ɛ"},
    };
    for (size_t i = 0; i < UT_COUNT(cases); i++) {
        char *text = repeat(cases[i].unit, cases[i].n_units * strlen(cases[i].unit));
        char *got = phonemes_of(cases[i].language, text);
        size_t n = 0;
        for (const char *s = got; (s = strstr(s, cases[i].symbol)) != NULL; s++) {
            n++;
        }
        if (n != cases[i].n_units) {
            fail_msg("%zu of %zu '%s' are left", n, cases[i].n_units, cases[i].unit);
        }
        free(got);
        free(text);
    }
    assert_phonemes('a', "pneumonoultramicroscopicsilicovolcanoconiosis",
                    "nˌumənˌOltɹəmˌIkɹəskˌɑpɪksˌɪlɪkˌɑvəlkˌænəkˌOnɪˈOsɪs");
}

static void long_texts(void **state) {
    static const struct {
        const char *unit;
        size_t n_bytes, n_phonemes_least;
    } cases[] = {
        {"The quick brown fox jumps over the lazy dog. ", 1000000, 400000},
        {"x", 100000, 400000}, /* one word */
        {"7", 10000, 60000},
        {"7.", 10000, 2000},
        {"e\u0301", 30000, 1},
        {"\u0301", 20000, 0}, /* 10,000 combining marks */
        {" ", 100000, 0},
        {"\n", 100000, 0},
        {".", 100000, 100000},
        {". ", 100000, 90000},
        {"[", 100000, 100000},
        {"[a](/a/)", 80000, 10000},
        {"[a](2)", 60000, 10000},
        {"[a", 20000, 10000},
        {"\"a\" ", 40000, 10000},
        {"wrapped\n", 100000, 50000},
        {"\u200C", 30000, 0},
        {"😀", 4000, 1000},
        {"\u202E\u2066a\u2069", 10000, 1},
        {"مرحبا ", 11000, 1000},
    };
    for (size_t i = 0; i < UT_COUNT(cases); i++) {
        char *text = repeat(cases[i].unit, cases[i].n_bytes);
        struct ut_sentences out;
        phonemize('a', text, &out);
        size_t n_phonemes = 0;
        for (size_t k = 0; k < out.n; k++) {
            n_phonemes += out.items[k].n_bytes + 1;
        }
        if (n_phonemes < cases[i].n_phonemes_least) {
            fail_msg("'%s' repeated: %zu bytes", cases[i].unit, n_phonemes);
        }
        ut_sentences_free(&out);
        free(text);
    }
}

/* ---- Memory and threads
 * -------------------------------------------------------------------------------- */

/* Every allocation fails in turn, alone and with all behind it; after each the next call is right.
 */
static void failed_allocations(void **state) {
    static const char text[] =
        "One, [two](2) [x](/tu/) cafe\u0301 three. \"Four\"\n\nFive!\n\nSix.\n\nSeven.\n\n"
        "Eight.\n\nNine.\n\nTen.\n\nEleven.\n\nTwelve.\n\nThirteen.";
    struct ut_misaki misaki = {.language = 'a'};
    struct ut_mem failing_mem;
    struct sweep sweep;
    char *expected = phonemes_of('a', text);
    for (int later = 0; later < 2; later++) {
        for (sweep_start(&sweep, &failing_mem, later); sweep_next(&sweep);) {
            struct ut_sentences out;
            utter_error err;
            utter_status status =
                ut_phonemize_misaki(&failing_mem, &misaki, text, strlen(text), &out, NULL, &err);
            ut_sentences_free(&out);
            sweep_check(&sweep, status);
            assert_phonemes('a', text, expected);
        }
        assert_true(sweep.n_injected > 10);
    }
    free(expected);
}

struct thread_task {
    struct ut_misaki misaki;
    const char *text;
    char *expected;
    int n_wrong;
};

static void *phonemize_often(void *user) {
    struct thread_task *task = user;
    for (int i = 0; i < 20; i++) {
        struct ut_sentences out;
        if (ut_phonemize_misaki(&mem, &task->misaki, task->text, strlen(task->text), &out, NULL,
                                NULL) != UTTER_OK) {
            task->n_wrong++;
            continue;
        }
        task->n_wrong += out.n != 1 || strcmp(out.items[0].phonemes, task->expected) != 0;
        ut_sentences_free(&out);
    }
    return NULL;
}

static void threads_take_turns(void **state) {
    struct thread_task tasks[] = {
        {.misaki.language = 'a', .text = "The quick [brown](2) fox, jumping"},
        {.misaki.language = 'f', .text = "Une autre voix, encore"},
        {.misaki.language = 'j', .text = "こんにちは、せかい。"},
        {.misaki.language = 'z', .text = "ni˧˩˧ xɑʊ˧˩˧"},
        {.misaki.language = 'b', .text = "A warm bath, now"},
    };
    pthread_t threads[UT_COUNT(tasks)];
    for (size_t i = 0; i < UT_COUNT(tasks); i++) {
        tasks[i].expected = phonemes_of(tasks[i].misaki.language, tasks[i].text);
    }
    for (size_t i = 0; i < UT_COUNT(tasks); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, phonemize_often, &tasks[i]), 0);
    }
    for (size_t i = 0; i < UT_COUNT(tasks); i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(tasks[i].n_wrong, 0);
        free(tasks[i].expected);
    }
}

#endif

static int set_up(void **state) {
    ut_mem_init(&mem, NULL);
    return 0;
}

static int tear_down(void **state) {
    return mem.bytes[UT_MEM_SESSION] != 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(language_names),
        cmocka_unit_test(refused_texts),
        cmocka_unit_test(written_phonemes),
#if UT_HAVE_ESPEAK
        cmocka_unit_test(recorded_texts),
        cmocka_unit_test(training_lines),
        cmocka_unit_test(white_space),
        cmocka_unit_test(decomposed_text),
        cmocka_unit_test(kana),
        cmocka_unit_test(markup),
        cmocka_unit_test(foreign_scripts),
        cmocka_unit_test(voices_do_not_mix),
        cmocka_unit_test(lines_and_paragraphs),
        cmocka_unit_test(chunks_are_the_whole),
        cmocka_unit_test(cut_between_words),
        cmocka_unit_test(nothing_to_say),
        cmocka_unit_test(nothing_is_dropped),
        cmocka_unit_test(long_texts),
        cmocka_unit_test(failed_allocations),
        cmocka_unit_test(threads_take_turns),
#else
        cmocka_unit_test(says_what_is_missing),
#endif
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
