/* JSON reader: what RFC 8259 allows and forbids, look-ups, limits, memory. Every text is given to the
 * reader as an exactly sized heap copy, so that a sanitizer sees the first byte read beyond it. */
#include "base/json.h"

#include <limits.h>
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct ut_mem mem;

static int setup(void **state) {
    ut_mem_init(&mem, NULL);
    return 0;
}

/* Leaks show as bytes that are still counted. */
static int teardown(void **state) {
    return atomic_load(&mem.bytes[UT_MEM_OTHER]) != 0;
}

/* Documents are views into their text: both are freed together. */
struct parsed {
    struct ut_json *doc;
    char *text;
    utter_status status;
    utter_error err;
};

static struct parsed parse_n(const char *text, size_t n) {
    struct parsed p = {.text = malloc(n ? n : 1)};
    assert_non_null(p.text);
    memcpy(p.text, text, n);
    p.status = ut_json_parse(&mem, p.text, n, &p.doc, &p.err);
    assert_int_equal(p.doc == NULL, p.status != UTTER_OK);
    return p;
}

static struct parsed parse(const char *text) {
    return parse_n(text, strlen(text));
}

static void drop(struct parsed *p) {
    ut_json_free(p->doc);
    free(p->text);
}

static void test_accepts(void **state) {
    static const char *const texts[] = {
        "null", " true ", "\tfalse\r\n", "0", "-0", "-1.5e+3", "1E-2", "\"\"", "[]", "{}", "[ ]", "{ }",
        "[1,2,3]", "{\"a\":{\"a\":{\"a\":[]}}}", "[[],[[]],{}]", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "\"\\ud83d\\ude00\"", "\"\xF0\x9F\x98\x80\"", "\"\xC2\x80\xE0\xA0\x80\xF4\x8F\xBF\xBF\"", "\"\x7F\"",
        "{\"a\":1,\"b\":1}", "\"\\u0000\"", "123456789012345678901234567890", "1e999",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct parsed p = parse(texts[i]);
        if (p.status) {
            fail_msg("%s: %s", texts[i], p.err.message);
        }
        drop(&p);
    }
}

static void test_rejects(void **state) {
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "expected a value at byte 0"},
        {"  ", "expected a value at byte 2"},
        {"nul", "expected a value at byte 0"},
        {"True", "expected a value at byte 0"},
        {"NaN", "expected a value at byte 0"},
        {"+1", "expected a value at byte 0"},
        {".5", "expected a value at byte 0"},
        {"'a'", "expected a value at byte 0"},
        {"\xEF\xBB\xBF{}", "expected a value at byte 0"},
        {"01", "unexpected bytes behind the value at byte 1"},
        {"{} {}", "unexpected bytes behind the value at byte 3"},
        {"1.", "expected a digit at byte 2"},
        {"1.e1", "expected a digit at byte 2"},
        {"-", "expected a digit at byte 1"},
        {"-a", "expected a digit at byte 1"},
        {"1e", "expected a digit at byte 2"},
        {"1e+", "expected a digit at byte 3"},
        {"[1,]", "expected a value at byte 3"},
        {"[,1]", "expected a value at byte 1"},
        {"[1 2]", "expected ',' or ']' at byte 3"},
        {"[1}", "expected ',' or ']' at byte 2"},
        {"[1", "expected ',' or ']' at byte 2"},
        {"{\"a\":1]", "expected ',' or '}' at byte 6"},
        {"{\"a\":1,}", "expected a key at byte 7"},
        {"{a:1}", "expected a key at byte 1"},
        {"{\"a\" 1}", "expected ':' at byte 5"},
        {"{\"a\":}", "expected a value at byte 5"},
        {"{1:1}", "expected a key at byte 1"},
        {"[/**/]", "expected a value at byte 1"},
        {"\"abc", "string without an end at byte 4"},
        {"\"a\nb\"", "control character in a string at byte 2"},
        {"\"\\x\"", "invalid escape at byte 1"},
        {"\"\\u12g4\"", "invalid escape at byte 1"},
        {"\"\\u123", "invalid escape at byte 1"},
        {"\"\\", "invalid escape at byte 1"},
        {"\"\\ud83d\"", "invalid escape at byte 1"},
        {"\"\\ude00\"", "invalid escape at byte 1"},
        {"\"\\ud83dx\"", "invalid escape at byte 1"},
        {"\"\\ud83d\\n\"", "invalid escape at byte 1"},
        {"\"\\ud83d\\ud83d\"", "invalid escape at byte 1"},
        {"\"\xC0\x80\"", "invalid UTF-8 at byte 1"},
        {"\"\xE0\x80\x80\"", "invalid UTF-8 at byte 1"},
        {"\"\xED\xA0\x80\"", "invalid UTF-8 at byte 1"},
        {"\"\xF4\x90\x80\x80\"", "invalid UTF-8 at byte 1"},
        {"\"\xF0\x80\x80\x80\"", "invalid UTF-8 at byte 1"},
        {"\"a\xFF\"", "invalid UTF-8 at byte 2"},
        {"\"a\xE2\x82", "invalid UTF-8 at byte 2"},
        {"{\"a\":1,\"a\":2}", "key \"a\" stands twice in one object, at byte 7"},
        {"{\"a\":1,\"b\":3,\"\\u0061\":2}", "key \"a\" stands twice in one object, at byte 13"},
        {"[{\"\":1,\"\":2}]", "key \"\" stands twice in one object, at byte 7"},
        {"{\"a\\u0000\":1}", "key with a NUL character at byte 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct parsed p = parse(cases[i].text);
        assert_int_equal(p.status, UTTER_ERROR_FORMAT);
        if (!strstr(p.err.message, cases[i].message)) {
            fail_msg("%s: \"%s\" instead of \"%s\"", cases[i].text, p.err.message, cases[i].message);
        }
        drop(&p);
    }
    struct parsed p = parse_n("[1]\0", 4);
    assert_int_equal(p.status, UTTER_ERROR_FORMAT);
    drop(&p);
}

static void test_depth(void **state) {
    char text[2 * (UT_JSON_MAX_DEPTH + 1)];
    for (int depth = UT_JSON_MAX_DEPTH; depth <= UT_JSON_MAX_DEPTH + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        struct parsed p = parse_n(text, 2 * depth);
        assert_int_equal(p.status, depth > UT_JSON_MAX_DEPTH ? UTTER_ERROR_FORMAT : UTTER_OK);
        drop(&p);
    }
    char *deep = malloc(1 << 20);
    assert_non_null(deep);
    memset(deep, '[', 1 << 20);
    struct parsed p = parse_n(deep, 1 << 20);
    assert_non_null(strstr(p.err.message, "more than 64 levels at byte 64"));
    drop(&p);
    free(deep);
}

static void test_truncation(void **state) {
    const char text[] = "{\"a\\n\":[1,-2.5e1,null,true,false,{\"\xC3\xA9\":\"\\ud83d\\ude00\"}],\"b\":{},\"c\":[]}";
    for (size_t n = 0; n < sizeof text - 1; n++) {
        struct parsed p = parse_n(text, n);
        assert_int_equal(p.status, UTTER_ERROR_FORMAT);
        drop(&p);
    }
    struct parsed p = parse(text);
    assert_int_equal(p.status, UTTER_OK);
    drop(&p);
}

static void test_navigation(void **state) {
    struct parsed p = parse("{\"x\":[10,[20],{\"k\":\"v\"},\"s\"],\"y\":{},\"z\":true}");
    struct ut_json *doc = p.doc;
    assert_int_equal(ut_json_type(doc, 0), UT_JSON_OBJECT);
    assert_int_equal(ut_json_count(doc, 0), 3);
    ut_json_ref x = ut_json_member(doc, 0, "x");
    assert_int_equal(ut_json_type(doc, x), UT_JSON_ARRAY);
    assert_int_equal(ut_json_count(doc, x), 4);
    assert_string_equal(ut_json_key(doc, x), "x");
    ut_json_ref child = ut_json_first(doc, x);
    int64_t number;
    assert_true(ut_json_int64(doc, child, &number) && number == 10);
    assert_null(ut_json_key(doc, child));
    child = ut_json_next(doc, child);
    assert_true(ut_json_int64(doc, ut_json_first(doc, child), &number) && number == 20);
    child = ut_json_next(doc, child);
    assert_string_equal(ut_json_string(doc, ut_json_member(doc, child, "k"), NULL), "v");
    child = ut_json_next(doc, child);
    assert_string_equal(ut_json_string(doc, child, NULL), "s");
    assert_int_equal(ut_json_next(doc, child), -1);

    ut_json_ref y = ut_json_next(doc, x), z = ut_json_next(doc, y);
    assert_string_equal(ut_json_key(doc, y), "y");
    assert_int_equal(ut_json_count(doc, y), 0);
    assert_int_equal(ut_json_first(doc, y), -1);
    bool truth = false;
    assert_true(ut_json_bool(doc, z, &truth) && truth);
    assert_int_equal(ut_json_next(doc, z), -1);
    assert_int_equal(ut_json_member(doc, 0, "w"), -1);

    size_t n;
    const char *raw = ut_json_raw(doc, x, &n);
    assert_int_equal(n, strlen("[10,[20],{\"k\":\"v\"},\"s\"]"));
    assert_memory_equal(raw, "[10,[20],{\"k\":\"v\"},\"s\"]", n);
    raw = ut_json_raw(doc, z, &n);
    assert_int_equal(n, 4);
    assert_memory_equal(raw, "true", n);
    drop(&p);
}

/* "Absent" goes through every getter, and so does a value of another type. */
static void test_absent(void **state) {
    struct parsed p = parse("{\"a\":\"1\"}");
    for (int i = 0; i < 2; i++) {
        ut_json_ref absent = ut_json_member(p.doc, ut_json_member(p.doc, 0, "no"), "no");
        ut_json_ref value = i ? ut_json_member(p.doc, 0, "a") : absent;
        int64_t integer;
        double number;
        bool truth;
        assert_false(ut_json_int64(p.doc, value, &integer));
        assert_false(ut_json_double(p.doc, value, &number));
        assert_false(ut_json_bool(p.doc, value, &truth));
        assert_int_equal(ut_json_first(p.doc, value), -1);
        assert_int_equal(ut_json_next(p.doc, value), -1);
        assert_int_equal(ut_json_count(p.doc, value), 0);
        assert_int_equal(ut_json_member(p.doc, value, "a"), -1);
    }
    size_t n = 1;
    assert_null(ut_json_string(p.doc, -1, &n));
    assert_null(ut_json_string(p.doc, 0, &n));
    assert_null(ut_json_key(p.doc, -1));
    assert_null(ut_json_key(p.doc, 0));
    assert_null(ut_json_raw(p.doc, -1, &n));
    assert_int_equal(n, 0);
    assert_int_equal(ut_json_type(p.doc, -1), UT_JSON_NULL);
    drop(&p);
}

static void test_strings(void **state) {
    char text[1000] = "[\"a\\u0000b\",\"\\u00e9\\u20AC\\ud83d\\ude00\",\"\\/\\\"\",\"";
    size_t used = strlen(text);
    memset(text + used, 'x', 300); /* a length that needs two bytes in the pool */
    strcpy(text + used + 300, "\"]");
    struct parsed p = parse(text);
    ut_json_ref s = ut_json_first(p.doc, 0);
    size_t n;
    assert_memory_equal(ut_json_string(p.doc, s, &n), "a\0b", 4);
    assert_int_equal(n, 3);
    s = ut_json_next(p.doc, s);
    assert_string_equal(ut_json_string(p.doc, s, &n), "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80");
    assert_int_equal(n, 9);
    s = ut_json_next(p.doc, s);
    assert_string_equal(ut_json_string(p.doc, s, NULL), "/\"");
    s = ut_json_next(p.doc, s);
    assert_int_equal(strlen(ut_json_string(p.doc, s, &n)), 300);
    assert_int_equal(n, 300);
    drop(&p);
}

static void test_integers(void **state) {
    static const struct {
        const char *text;
        bool ok;
        int64_t value;
    } cases[] = {
        {"0", true, 0}, {"-0", true, 0}, {"-1", true, -1}, {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN}, {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0}, {"99999999999999999999", false, 0}, {"1.0", false, 0},
        {"1e2", false, 0}, {"1E2", false, 0}, {"true", false, 0}, {"\"1\"", false, 0}, {"[1]", false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct parsed p = parse(cases[i].text);
        int64_t value = 0;
        assert_int_equal(ut_json_int64(p.doc, 0, &value), cases[i].ok);
        assert_true(value == cases[i].value || !cases[i].ok);
        drop(&p);
    }
}

static void test_doubles(void **state) {
    static const struct {
        const char *text;
        bool ok;
        double value;
    } cases[] = {
        {"0.667", true, 0.667}, {"-1.5e3", true, -1500}, {"1E-2", true, 0.01}, {"3", true, 3},
        {"1e-400", true, 0}, {"1e400", false, 0}, {"-1e400", false, 0}, {"null", false, 0},
        {"0.1000000000000000055511151231257827021181583404541015625", true, 0.1},
    };
    /* A locale with a decimal comma must make no difference; without one installed this is plain C. */
    setlocale(LC_NUMERIC, "de_DE.UTF-8");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct parsed p = parse(cases[i].text);
        double value = 0;
        assert_int_equal(ut_json_double(p.doc, 0, &value), cases[i].ok);
        assert_true(value == cases[i].value || !cases[i].ok);
        drop(&p);
    }
    setlocale(LC_NUMERIC, "C");
    char digits[402];
    memset(digits, '1', sizeof digits);
    for (size_t n = 400; n <= 401; n++) {
        struct parsed p = parse_n(digits, n);
        double value;
        assert_int_equal(p.status, n > 400 ? UTTER_ERROR_FORMAT : UTTER_OK);
        assert_false(n <= 400 && ut_json_double(p.doc, 0, &value)); /* 1.1e399 is no double */
        drop(&p);
    }
}

/* {"k0":0,"k1":1,...} in a scrambled order, with one more key at the end if `extra` is not NULL. */
static char *big_object(uint32_t n, const char *extra, size_t *n_bytes) {
    char *text = malloc((size_t)n * 24 + 64);
    assert_non_null(text);
    size_t used = sprintf(text, "{");
    for (uint32_t i = 0; i < n; i++) {
        uint32_t k = (uint32_t)((i * 7919ull) % n); /* 7919 is prime and divides no n in use */
        used += sprintf(text + used, "%s\"k%u\":%u", i ? "," : "", k, k);
    }
    *n_bytes = used + sprintf(text + used, extra ? ",\"%s\":1}" : "}", extra);
    return text;
}

static void test_big_objects(void **state) {
    static const uint32_t sizes[] = {1, 14, 15, 16, 17, 100, 1000, 100000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t n_bytes;
        char *text = big_object(sizes[i], NULL, &n_bytes), key[32];
        struct parsed p = parse_n(text, n_bytes);
        assert_int_equal(p.status, UTTER_OK);
        assert_int_equal(ut_json_count(p.doc, 0), sizes[i]);
        for (uint32_t k = 0; k < sizes[i]; k++) { /* would be 10^10 comparisons if look-ups were linear */
            int64_t value = -1;
            snprintf(key, sizeof key, "k%u", k);
            assert_true(ut_json_int64(p.doc, ut_json_member(p.doc, 0, key), &value) && value == k);
        }
        assert_int_equal(ut_json_member(p.doc, 0, "k"), -1);
        assert_int_equal(ut_json_member(p.doc, 0, ""), -1);
        assert_int_equal(ut_json_member(p.doc, 0, "zzz"), -1);
        size_t n_seen = 0;
        for (ut_json_ref m = ut_json_first(p.doc, 0); m >= 0; m = ut_json_next(p.doc, m)) {
            n_seen++;
        }
        assert_int_equal(n_seen, sizes[i]);
        drop(&p);
        free(text);
        text = big_object(sizes[i], "\\u006b0", &n_bytes);
        p = parse_n(text, n_bytes);
        assert_non_null(strstr(p.err.message, "key \"k0\" stands twice"));
        drop(&p);
        free(text);
    }
}

/* The limit in the header, on the texts that make the most values out of the fewest bytes. */
static void test_memory_bound(void **state) {
    static const char *const units[] = {"1,", "[],", "{},", "\"\",", "{\"\":1},", "[[[1,1]]],",
                                        "{\"a\":\"\",\"b\":{}},"};
    enum { N_BYTES = 1 << 20 };
    char *text = malloc(N_BYTES + 2);
    assert_non_null(text);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t used = 1, unit = strlen(units[i]);
        text[0] = '[';
        while (used + unit <= N_BYTES) {
            memcpy(text + used, units[i], unit);
            used += unit;
        }
        text[used - 1] = ']';
        atomic_store(&mem.peak_bytes, 0);
        struct parsed p = parse_n(text, used);
        assert_int_equal(p.status, UTTER_OK);
        assert_true(atomic_load(&mem.peak_bytes) <= 4 * used + 65536);
        drop(&p);
    }
    free(text);
    size_t n_bytes;
    text = big_object(10000, NULL, &n_bytes);
    atomic_store(&mem.peak_bytes, 0);
    struct parsed p = parse_n(text, n_bytes);
    assert_true(atomic_load(&mem.peak_bytes) <= 4 * n_bytes + 65536);
    drop(&p);
    free(text);
}

static void *no_memory(void *user, size_t n_bytes) {
    return NULL;
}

static void nothing_to_free(void *user, void *block, size_t n_bytes) {
}

static void test_allocation_failure(void **state) {
    utter_allocator failing = {no_memory, nothing_to_free, NULL};
    ut_mem_init(&mem, &failing);
    struct parsed p = parse("[1]");
    assert_int_equal(p.status, UTTER_ERROR_MEMORY);
    drop(&p);
}

static void test_too_large(void **state) {
    struct ut_json *doc;
    utter_error err;
    assert_int_equal(ut_json_parse(&mem, "1", (size_t)1 << 27, &doc, &err), UTTER_ERROR_FORMAT);
    assert_int_equal(ut_json_parse(&mem, "1", SIZE_MAX, &doc, &err), UTTER_ERROR_FORMAT);
    assert_null(doc);
}

/* A mapped file may change: getters must stay inside text and document whatever the text says now. */
static void test_changed_text(void **state) {
    const char *const text = "{\"a\":[1,2.5,{\"b\":\"string\"}],\"c\":true,\"d\":null}";
    for (int fill = 0; fill < 256; fill++) {
        struct parsed p = parse(text);
        memset(p.text, fill, strlen(text));
        for (ut_json_ref m = ut_json_first(p.doc, 0); m >= 0; m = ut_json_next(p.doc, m)) {
            ut_json_ref values[] = {m, ut_json_first(p.doc, m), ut_json_next(p.doc, ut_json_first(p.doc, m))};
            for (int i = 0; i < 3; i++) {
                size_t n = 0;
                int64_t integer;
                double number;
                bool truth;
                const char *raw = ut_json_raw(p.doc, values[i], &n);
                assert_true(!raw || (size_t)(raw - p.text) + n <= strlen(text));
                ut_json_int64(p.doc, values[i], &integer);
                ut_json_double(p.doc, values[i], &number);
                ut_json_bool(p.doc, values[i], &truth);
                ut_json_string(p.doc, values[i], &n);
            }
        }
        assert_string_equal(ut_json_key(p.doc, ut_json_member(p.doc, 0, "c")), "c");
        drop(&p);
    }
}

/* ---- A text that changes between the two scans: the one allocation lies between them ---------- */

struct change {
    char *text;
    size_t at;
    char to;
};

static void *changing_alloc(void *user, size_t n_bytes) {
    struct change *change = user;
    change->text[change->at] = change->to;
    return aligned_alloc(64, (n_bytes + 63) & ~(size_t)63);
}

static void changing_free(void *user, void *block, size_t n_bytes) {
    free(block);
}

/* Whatever byte becomes whatever else: the document is the same or there is an error. */
static void test_changing_text(void **state) {
    const char whole[] = "{\"a\\n\":[1,-2.5e1,null,true],\"b\":{\"k\":\"v\"},\"c\":[],\"d\":0,\"e\":0,\"f\":0,"
                         "\"g\":0,\"h\":0,\"i\":0,\"j\":0,\"k\":0,\"l\":0,\"m\":0,\"n\":0,\"o\":0,\"p\":0}";
    static const char replacements[] = "\"[]{},:0-e\\x \x80";
    char *text = malloc(sizeof whole - 1);
    assert_non_null(text);
    size_t n_refused = 0;
    for (size_t at = 0; at < sizeof whole - 1; at++) {
        for (size_t i = 0; i < sizeof replacements; i++) { /* the NUL, too */
            struct change change = {text, at, replacements[i]};
            utter_allocator allocator = {changing_alloc, changing_free, &change};
            struct ut_json *doc;
            memcpy(text, whole, sizeof whole - 1);
            ut_mem_init(&mem, &allocator);
            n_refused += ut_json_parse(&mem, text, sizeof whole - 1, &doc, NULL) != UTTER_OK;
            ut_json_free(doc);
            assert_int_equal(atomic_load(&mem.bytes[UT_MEM_OTHER]), 0);
        }
    }
    assert_true(n_refused > 1000);
    free(text);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_accepts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rejects, setup, teardown),
        cmocka_unit_test_setup_teardown(test_depth, setup, teardown),
        cmocka_unit_test_setup_teardown(test_truncation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_navigation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_absent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_strings, setup, teardown),
        cmocka_unit_test_setup_teardown(test_integers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_doubles, setup, teardown),
        cmocka_unit_test_setup_teardown(test_big_objects, setup, teardown),
        cmocka_unit_test_setup_teardown(test_memory_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(test_allocation_failure, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_large, setup, teardown),
        cmocka_unit_test_setup_teardown(test_changed_text, setup, teardown),
        cmocka_unit_test_setup_teardown(test_changing_text, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
