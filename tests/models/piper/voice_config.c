/* The configuration of a voice: what is read, and a table of what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"
#include "models/piper/voice_config.h"
#include "support/byte_buffer.h"
#include "support/failing_allocator.h"

static struct ut_mem mem;

#define MAP                                                                                        \
    "\"phoneme_id_map\": {\"_\": [0], \"^\": [1], \"$\": [2], \"b\": [5, 6], \"a\": [4], \"\\u0061i\": [7]}"
#define LEAST "\"audio\": {\"sample_rate\": 22050}, \"espeak\": {\"voice\": \"en-us\"}, " MAP

static void parse(const char *json, struct ut_piper_config *out) {
    utter_error err;
    if (ut_piper_config_parse(&mem, json, strlen(json), out, &err) != UTTER_OK) {
        fail_msg("%s: %s", json, err.message);
    }
}

static void read_data(const char *name, struct byte_buffer *out) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", getenv("UT_TEST_DATA"), name);
    byte_buffer_read_file(out, path);
}

static void defaults(void **state) {
    struct ut_piper_config c;
    parse("{" LEAST "}", &c);
    assert_int_equal(c.sample_rate_hz, 22050);
    assert_int_equal(c.n_speakers, 1);
    assert_int_equal(c.n_symbols, 256);
    assert_int_equal(c.default_speaker, 0);
    assert_int_equal(c.hop_length, 0);
    assert_true(c.noise_scale == 0.667f && c.length_scale == 1.0f && c.noise_w == 0.8f);
    assert_int_equal(c.phoneme_type, UT_PIPER_ESPEAK);
    assert_string_equal(c.espeak_voice, "en-us");
    assert_string_equal(c.language, "en-us");
    assert_string_equal(c.quality, "");
    assert_string_equal(c.dataset, "");
    assert_null(c.vowel_clusters);
    assert_null(c.speaker_names[0]);
    ut_piper_config_free(&c);
    assert_null(c.symbols);
    ut_piper_config_free(&c);
}

static void everything(void **state) {
    struct ut_piper_config c;
    parse(
        "{\"audio\": {\"sample_rate\": 16000, \"quality\": \"low\"}, \"espeak\": {\"voice\": \"de\"}, " MAP
        ", \"inference\": {\"noise_scale\": 0, \"length_scale\": 1.5, \"noise_w\": 10}, \"num_symbols\": 130,"
        "\"num_speakers\": 3, \"speaker_id_map\": {\"anna\": 2, \"b\\u00e9la\": 0, \"anne\": 2},"
        "\"default_speaker_id\": 2, \"hop_length\": 256, \"phoneme_type\": \"text\", \"dataset\": \"d\","
        "\"language\": {\"code\": \"de_DE\"}, \"phoneme_map\": {}, \"unknown\": [1],"
        "\"vowel_clusters\": [[\"a\", \"i\"], \"o\\u028a\", [\"a\", \"i\", \"\\u0259\"]]}",
        &c);
    assert_int_equal(c.sample_rate_hz, 16000);
    assert_string_equal(c.quality, "low");
    assert_string_equal(c.dataset, "d");
    assert_string_equal(c.language, "de_DE");
    assert_string_equal(c.espeak_voice, "de");
    assert_int_equal(c.phoneme_type, UT_PIPER_TEXT);
    assert_true(c.noise_scale == 0.0f && c.length_scale == 1.5f && c.noise_w == 10.0f);
    assert_int_equal(c.n_symbols, 130);
    assert_int_equal(c.n_speakers, 3);
    assert_int_equal(c.default_speaker, 2);
    assert_int_equal(c.hop_length, 256);
    assert_string_equal(c.speaker_names[0], "béla");
    assert_null(c.speaker_names[1]);
    assert_string_equal(c.speaker_names[2], "anna");
    static const char *const clusters[] = {"aiə", "ai", "oʊ"};
    assert_int_equal(c.n_vowel_clusters, UT_COUNT(clusters));
    for (size_t i = 0; i < UT_COUNT(clusters); i++) {
        assert_string_equal(c.vowel_clusters[i], clusters[i]);
    }
    static const char *const symbols[] = {"$", "^", "_", "a", "ai", "b"};
    assert_int_equal(c.n_map, UT_COUNT(symbols));
    for (size_t i = 0; i < UT_COUNT(symbols); i++) {
        assert_string_equal(c.symbols[i].symbol, symbols[i]);
    }
    assert_int_equal(c.symbols[5].n_ids, 2);
    assert_int_equal(c.symbols[5].ids[0], 5);
    assert_int_equal(c.symbols[5].ids[1], 6);
    ut_piper_config_free(&c);
}

static void phoneme_types(void **state) {
    struct ut_piper_config c;
    parse("{\"phoneme_type\": \"pinyin\", \"audio\": {\"sample_rate\": 22050}, " MAP "}", &c);
    assert_int_equal(c.phoneme_type, UT_PIPER_PHONEME_TYPE_OTHER);
    assert_string_equal(c.phoneme_type_name, "pinyin");
    assert_string_equal(c.espeak_voice, "");
    ut_piper_config_free(&c);
}

/* null is like absent; empty clusters are none. */
static void nulls(void **state) {
    static const char *const keys[] = {
        "\"inference\": null",      "\"inference\": {\"noise_scale\": null}",
        "\"num_speakers\": null",   "\"speaker_id_map\": null",
        "\"vowel_clusters\": null", "\"vowel_clusters\": []",
        "\"vowel_clusters\": {}",   "\"language\": null",
        "\"phoneme_map\": null",    "\"hop_length\": null"};
    for (size_t i = 0; i < UT_COUNT(keys); i++) {
        char json[1000];
        struct ut_piper_config c;
        snprintf(json, sizeof json, "{" LEAST ", %s}", keys[i]);
        parse(json, &c);
        assert_int_equal(c.n_vowel_clusters, 0);
        ut_piper_config_free(&c);
    }
}

static void shipped_files(void **state) {
    static const struct {
        const char *name;
        int sample_rate_hz, n_speakers, n_map;
        float noise_w;
    } files[] = {{"piper/tiny.onnx.json", 22050, 1, 0, 0.8f},
                 {"piper/tiny_multi.onnx.json", 16000, 3, 0, 0.8f},
                 {"house/tiny/voice.json", 22050, 1, 166, 0.0f}};
    for (size_t i = 0; i < UT_COUNT(files); i++) {
        struct byte_buffer file = {0};
        struct ut_piper_config c;
        utter_error err;
        read_data(files[i].name, &file);
        if (ut_piper_config_parse(&mem, (char *)file.data, file.n, &c, &err) != UTTER_OK) {
            fail_msg("%s: %s", files[i].name, err.message);
        }
        assert_int_equal(c.sample_rate_hz, files[i].sample_rate_hz);
        assert_int_equal(c.n_speakers, files[i].n_speakers);
        assert_true(c.noise_w == files[i].noise_w);
        assert_true(files[i].n_map == 0 || c.n_map == (size_t)files[i].n_map);
        assert_string_equal(c.espeak_voice, "en-us");
        ut_piper_config_free(&c);
        byte_buffer_free(&file);
    }
}

/* ---- What is refused ----------------------------------------------------------------------- */

static void assert_refused(const char *json, size_t n, const char *named) {
    struct ut_piper_config c;
    utter_error err = {0};
    utter_status status = ut_piper_config_parse(&mem, json, n, &c, &err);
    if (status != UTTER_ERROR_FORMAT || !strstr(err.message, named)) {
        fail_msg("%.*s: status %d, '%s' should name %s", (int)n, json, status, err.message, named);
    }
}

/* Each replaces or adds one key of a good file; the message must name the key. */
static void refused_values(void **state) {
    static const struct {
        const char *named;
        const char *values[16];
    } cases[] = {
        {"sample_rate",
         {"7999", "48001", "0", "-1", "22050.5", "\"22050\"", "[]", "{}", "true", "1e400", "2205e1",
          "4294967296", "18446744073709573666"}},
        {"quality", {"1", "[]", "{}", "true", "\"a\\u0000b\""}},
        {"voice", {"1", "[]", "{}", "false", "\"\"", "\"\\u0000\""}},
        {"noise_scale", {"-0.1", "10.1", "\"1\"", "[]", "{}", "true", "1e999", "-1e-3"}},
        {"length_scale", {"0", "0.04", "20.1", "-1", "\"1\"", "[]", "1e39"}},
        {"noise_w", {"-1", "11", "\"1\"", "{}"}},
        {"num_symbols", {"0", "65537", "-1", "1.5", "\"256\"", "[]"}},
        {"num_speakers", {"0", "100001", "-1", "1.5", "\"1\"", "[1]", "2147483648"}},
        {"default_speaker_id", {"-1", "1", "0.5", "\"0\"", "[]"}},
        {"hop_length", {"0", "4097", "-256", "256.5", "\"256\"", "{}"}},
        {"phoneme_type", {"1", "[]", "{}", "true"}},
        {"dataset", {"1", "[]", "{}"}},
        {"code", {"1", "[]", "true"}},
        {"audio", {"1", "[]", "\"x\"", "{}", "null"}},
        {"espeak", {"1", "[]", "\"x\"", "{}", "null"}},
        {"inference", {"1", "[]", "\"x\"", "true"}},
        {"language", {"1", "[]", "\"en\"", "true"}},
        {"phoneme_map", {"1", "[]", "\"x\""}},
        {"speaker_id_map",
         {"1", "[]", "\"x\"", "{\"a\": 1}", "{\"a\": -1}", "{\"a\": \"0\"}", "{\"a\": 0.5}",
          "{\"a\": [0]}", "{\"a\": null}"}},
        {"vowel_clusters",
         {"1", "\"ai\"", "true", "{\"a\": 1}", "[1]", "[[]]", "[[\"a\"]]", "[\"a\"]",
          "[[\"a\", 1]]", "[[\"a\", \"\"]]", "[[\"a\", \"bc\"]]", "[[\"a\", \"\\u0000\"]]",
          "[{\"a\": \"i\"}]", "[null]", "[\"abcdefghijklmnopq\"]"}},
        {"phoneme_id_map",
         {"1", "[]", "null", "{}", "{\"_\": [0], \"^\": [1]}", "{\"^\": [1], \"$\": [2]}",
          "{\"_\": [0], \"$\": [2]}", "{\"_\": 0, \"^\": [1], \"$\": [2]}",
          "{\"_\": [-1], \"^\": [1], \"$\": [2]}", "{\"_\": [65536], \"^\": [1], \"$\": [2]}",
          "{\"_\": [0.5], \"^\": [1], \"$\": [2]}", "{\"_\": [\"0\"], \"^\": [1], \"$\": [2]}",
          "{\"_\": [[0]], \"^\": [1], \"$\": [2]}", "{\"_\": {\"a\": 0}, \"^\": [1], \"$\": [2]}",
          "{\"_\": null, \"^\": [1], \"$\": [2]}"}},
    };
    /* Where each key stands; %s is its value. */
    static const struct {
        const char *key, *format;
    } places[] = {
        {"sample_rate",
         "{\"audio\": {\"sample_rate\": %s}, \"espeak\": {\"voice\": \"a\"}, " MAP "}"},
        {"quality",
         "{\"audio\": {\"sample_rate\": 8000, \"quality\": %s}, \"espeak\": {\"voice\": \"a\"}, " MAP
         "}"},
        {"voice", "{\"audio\": {\"sample_rate\": 48000}, \"espeak\": {\"voice\": %s}, " MAP "}"},
        {"noise_scale", "{" LEAST ", \"inference\": {\"noise_scale\": %s}}"},
        {"length_scale", "{" LEAST ", \"inference\": {\"length_scale\": %s}}"},
        {"noise_w", "{" LEAST ", \"inference\": {\"noise_w\": %s}}"},
        {"code", "{" LEAST ", \"language\": {\"code\": %s}}"},
        {"audio", "{\"audio\": %s, \"espeak\": {\"voice\": \"a\"}, " MAP "}"},
        {"espeak", "{\"audio\": {\"sample_rate\": 22050}, \"espeak\": %s, " MAP "}"},
        {"phoneme_id_map",
         "{\"audio\": {\"sample_rate\": 22050}, \"espeak\": {\"voice\": \"a\"}, \"phoneme_id_map\": %s}"},
    };
    for (size_t c = 0; c < UT_COUNT(cases); c++) {
        for (const char *const *value = cases[c].values; *value; value++) {
            char json[1000], format[200];
            snprintf(format, sizeof format, "{" LEAST ", \"%s\": %%s}", cases[c].named);
            for (size_t i = 0; i < UT_COUNT(places); i++) {
                if (strcmp(places[i].key, cases[c].named) == 0) {
                    snprintf(format, sizeof format, "%s", places[i].format);
                }
            }
            char *hole = strstr(format, "%s");
            snprintf(json, sizeof json, "%.*s%s%s", (int)(hole - format), format, *value, hole + 2);
            assert_refused(json, strlen(json), cases[c].named);
        }
    }
}

static void refused_files(void **state) {
    static const char *const files[][2] = {
        {"", "byte"},
        {"{", "byte"},
        {"[]", "object"},
        {"null", "object"},
        {"\"x\"", "object"},
        {"1", "object"},
        {"{}", "sample_rate"},
        {"{\"audio\": {\"sample_rate\": 22050}}", "voice"},
        {"{" LEAST "} x", "byte"},
        {"{" LEAST ", \"audio\": {}}", "byte"},
        {"\xEF\xBB\xBF{" LEAST "}", "byte"},
        {"{\"audio\": {\"sample_rate\": 22050}, \"espeak\": {\"voice\": \"a\"}}",
         "phoneme_id_map"}};
    for (size_t i = 0; i < UT_COUNT(files); i++) {
        assert_refused(files[i][0], strlen(files[i][0]), files[i][1]);
    }
}

/* A good file cut anywhere is refused, read from a block of exactly that size. */
static void truncated(void **state) {
    static const char json[] =
        "{" LEAST ", \"speaker_id_map\": {\"a\": 0}, \"vowel_clusters\": [\"ai\"]}";
    for (size_t n = 0; n < strlen(json); n++) {
        char *part = malloc(n ? n : 1);
        memcpy(part, json, n);
        assert_refused(part, n, "");
        free(part);
    }
}

static void too_many_clusters(void **state) {
    struct byte_buffer json = {0};
    byte_buffer_printf(&json, "{" LEAST ", \"vowel_clusters\": [\"ai\"");
    for (int i = 0; i < 1024; i++) {
        byte_buffer_printf(&json, ", \"ai\"");
    }
    byte_buffer_printf(&json, "]}");
    assert_refused((char *)json.data, json.n, "vowel_clusters");
    byte_buffer_free(&json);
}

static void failed_allocations(void **state) {
    static const char json[] =
        "{" LEAST ", \"speaker_id_map\": {\"a\": 0}, \"vowel_clusters\": [\"ai\", \"au\"]}";
    struct failing_allocator failing;
    utter_allocator allocator = failing_allocator_start(&failing);
    struct ut_mem failing_mem;
    ut_mem_init(&failing_mem, &allocator);
    size_t n_injected = 0;
    for (int later = 0; later < 2; later++) {
        utter_status status = UTTER_ERROR_MEMORY;
        for (size_t n = 1; status != UTTER_OK; n++) {
            struct ut_piper_config c;
            utter_error err;
            failing_allocator_reset(&failing, n, later);
            status = ut_piper_config_parse(&failing_mem, json, strlen(json), &c, &err);
            assert_true(status == (failing.n_failed ? UTTER_ERROR_MEMORY : UTTER_OK));
            n_injected += failing.n_failed;
            ut_piper_config_free(&c);
            assert_int_equal(failing.n_blocks, 0);
        }
    }
    assert_false(failing.wrong_size);
    assert_true(n_injected > 16);
}

static int set_up(void **state) {
    ut_mem_init(&mem, NULL);
    return 0;
}

static int tear_down(void **state) {
    return mem.bytes[UT_MEM_OTHER] != 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),          cmocka_unit_test(everything),
        cmocka_unit_test(phoneme_types),     cmocka_unit_test(nulls),
        cmocka_unit_test(shipped_files),     cmocka_unit_test(refused_values),
        cmocka_unit_test(refused_files),     cmocka_unit_test(truncated),
        cmocka_unit_test(too_many_clusters), cmocka_unit_test(failed_allocations),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
