/* GGUF metadata: every type through every getter, and hostile files with the whole ones that they were
 * made of. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gguf_cases.h"
#include "weights/gguf.h"

static struct ut_mem mem;

static int setup(void **state) {
    ut_mem_init(&mem, NULL);
    return 0;
}

static int teardown(void **state) {
    return atomic_load(&mem.bytes[UT_MEM_WEIGHTS]) + atomic_load(&mem.bytes[UT_MEM_OTHER]) != 0;
}

static void check_text(const struct ut_weights *weights, const char *key, const char *text) {
    for (size_t i = 0; i < ut_weights_n_metadata(weights); i++) {
        const char *found_key, *found;
        ut_weights_metadata(weights, i, &found_key, &found);
        if (strcmp(found_key, key) == 0) {
            assert_string_equal(found, text);
            return;
        }
    }
    fail_msg("no key %s", key);
}

static void test_integers(void **state) {
    static const struct {
        const char *key, *text;
        int64_t value;
    } cases[] = {
        {"u8", "255", 255},
        {"i8", "-128", -128},
        {"u16", "65535", 65535},
        {"i16", "-2", -2},
        {"u32", "4294967295", UINT32_MAX},
        {"i32", "-2147483648", INT32_MIN},
        {"u64", "9223372036854775807", INT64_MAX},
        {"i64", "-9223372036854775808", INT64_MIN},
        {"i32+", "2147483647", INT32_MAX},
        {"zero", "0", 0},
    };
    struct parsed p = parse_gguf(&mem, GGUF_HEAD("0", "11")
                                 "s:u8 4:0 1:255 s:i8 4:1 1:-128 s:u16 4:2 2:65535 s:i16 4:3 2:-2 s:u32 4:4 4:-1 "
                                 "s:i32 4:5 4:0x80000000 s:u64 4:10 8:0x7fffffffffffffff s:i64 4:11 "
                                 "8:0x8000000000000000 s:i32+ 4:5 4:0x7fffffff s:zero 4:11 8:0 s:large 4:10 8:-1");
    int64_t value = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(ut_gguf_get_int(p.weights, cases[i].key, &value, NULL), UTTER_OK);
        assert_true(value == cases[i].value);
        check_text(p.weights, cases[i].key, cases[i].text);
    }
    value = 5;
    assert_int_equal(ut_gguf_get_int(p.weights, "large", &value, &p.err), UTTER_ERROR_FORMAT);
    assert_string_equal(p.err.message, "key \"large\" is 18446744073709551615, too large");
    assert_int_equal(value, 5);
    check_text(p.weights, "large", "18446744073709551615");
    drop_parsed(&p);
}

static void test_others(void **state) {
    struct parsed p = parse_gguf(&mem, GGUF_HEAD("0", "14")
                                 "s:f32 4:6 f:0.1 s:f64 4:12 d:0.1 s:inf 4:6 f:inf s:nan 4:12 d:nan s:yes 4:7 1:1 "
                                 "s:no 4:7 1:0 s:text 4:8 s:caf\xC3\xA9 s:empty 4:8 s: "
                                 "s:strings 4:9 4:8 8:3 s:a s: s:c s:none 4:9 4:8 8:0 s:bools 4:9 4:7 8:2 1:1 1:0 "
                                 "s:bytes 4:9 4:0 8:3 data:3 s:doubles 4:9 4:12 8:1 d:1 s:nothing 4:9 4:5 8:0");
    double real = 0;
    assert_int_equal(ut_gguf_get_float(p.weights, "f32", &real, NULL), UTTER_OK);
    assert_true(real == (double)0.1f);
    assert_int_equal(ut_gguf_get_float(p.weights, "f64", &real, NULL), UTTER_OK);
    assert_true(real == 0.1);
    assert_int_equal(ut_gguf_get_float(p.weights, "inf", &real, NULL), UTTER_OK);
    assert_true(real == INFINITY);
    assert_int_equal(ut_gguf_get_float(p.weights, "nan", &real, NULL), UTTER_OK);
    assert_true(isnan(real));
    bool flag = false;
    assert_int_equal(ut_gguf_get_bool(p.weights, "yes", &flag, NULL), UTTER_OK);
    assert_true(flag);
    assert_int_equal(ut_gguf_get_bool(p.weights, "no", &flag, NULL), UTTER_OK);
    assert_false(flag);
    const char *text = NULL;
    assert_int_equal(ut_gguf_get_string(p.weights, "text", &text, NULL), UTTER_OK);
    assert_string_equal(text, "caf\xC3\xA9");
    assert_int_equal(ut_gguf_get_string(p.weights, "empty", &text, NULL), UTTER_OK);
    assert_string_equal(text, "");
    const char *const *strings = NULL;
    size_t n = 0;
    assert_int_equal(ut_gguf_get_strings(p.weights, "strings", &strings, &n, NULL), UTTER_OK);
    assert_int_equal(n, 3);
    assert_string_equal(strings[0], "a");
    assert_string_equal(strings[1], "");
    assert_string_equal(strings[2], "c");
    assert_int_equal(ut_gguf_get_strings(p.weights, "none", &strings, &n, NULL), UTTER_OK);
    assert_true(n == 0 && strings == NULL);
    static const char *const texts[][2] = {
        {"f32", "0.100000001"}, {"f64", "0.10000000000000001"}, {"yes", "true"}, {"no", "false"}, {"empty", ""},
        {"strings", "[3 strings]"}, {"none", "[0 strings]"}, {"bools", "[2 bools]"}, {"bytes", "[3 uint8]"},
        {"doubles", "[1 float64]"}, {"nothing", "[0 int32]"}, {"inf", "inf"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        check_text(p.weights, texts[i][0], texts[i][1]);
    }
    drop_parsed(&p);
}

/* Which of the five getters takes a value; the others leave their result alone and say what is there. */
static void check_getters(const struct ut_weights *weights, const char *key, int wanted, const char *is) {
    static const char *const expected[] = {"a string", "an integer", "a float", "a bool", "an array of strings"};
    for (int getter = 0; getter < 5; getter++) {
        const char *text = "default";
        int64_t integer = 7;
        double real = 7;
        bool flag = true;
        const char *const *strings = &text;
        size_t n = 7;
        utter_error err = {0};
        utter_status status = getter == 0   ? ut_gguf_get_string(weights, key, &text, &err)
                              : getter == 1 ? ut_gguf_get_int(weights, key, &integer, &err)
                              : getter == 2 ? ut_gguf_get_float(weights, key, &real, &err)
                              : getter == 3 ? ut_gguf_get_bool(weights, key, &flag, &err)
                                            : ut_gguf_get_strings(weights, key, &strings, &n, &err);
        if (getter == wanted) {
            assert_int_equal(status, UTTER_OK);
            continue;
        }
        assert_int_equal(status, UTTER_ERROR_FORMAT);
        assert_non_null(strstr(err.message, key));
        assert_non_null(strstr(err.message, is));
        assert_non_null(strstr(err.message, expected[getter]));
        assert_true(integer == 7 && real == 7 && flag && n == 7 && strings == &text);
        assert_string_equal(text, "default");
    }
}

static void test_wrong_types(void **state) {
    struct parsed p = parse_gguf(&mem, GGUF_HEAD("0", "7")
                                 "s:string 4:8 s:5 s:int 4:4 4:0 s:float 4:6 f:0 s:bool 4:7 1:0 "
                                 "s:strings 4:9 4:8 8:1 s:a s:ints 4:9 4:5 8:1 4:5 s:double 4:12 d:5");
    check_getters(p.weights, "string", 0, "is string, expected");
    check_getters(p.weights, "int", 1, "is uint32, expected");
    check_getters(p.weights, "float", 2, "is float32, expected");
    check_getters(p.weights, "double", 2, "is float64, expected");
    check_getters(p.weights, "bool", 3, "is bool, expected");
    check_getters(p.weights, "strings", 4, "is an array of strings, expected");
    check_getters(p.weights, "ints", -1, "is an array of int32, expected");
    assert_true(ut_gguf_has(p.weights, "int"));
    assert_false(ut_gguf_has(p.weights, "in"));
    assert_false(ut_gguf_has(p.weights, ""));
    int64_t value = 7;
    assert_int_equal(ut_gguf_get_int(p.weights, "inu", &value, &p.err), UTTER_ERROR_NOT_FOUND);
    assert_string_equal(p.err.message, "the file has no key \"inu\"");
    assert_int_equal(value, 7);
    drop_parsed(&p);

    p = parse_copy(&mem, "\x24\0\0\0\0\0\0\0{\"__metadata__\":{\"int\":\"5\"}}        ", 44);
    assert_int_equal(p.status, UTTER_OK); /* another format has metadata, but no types */
    const char *text;
    const char *const *strings;
    size_t n;
    bool flag;
    double real;
    assert_false(ut_gguf_has(p.weights, "int"));
    assert_int_equal(ut_gguf_get_int(p.weights, "int", &value, NULL), UTTER_ERROR_NOT_FOUND);
    assert_int_equal(ut_gguf_get_string(p.weights, "int", &text, NULL), UTTER_ERROR_NOT_FOUND);
    assert_int_equal(ut_gguf_get_strings(p.weights, "int", &strings, &n, NULL), UTTER_ERROR_NOT_FOUND);
    assert_int_equal(ut_gguf_get_float(p.weights, "int", &real, NULL), UTTER_ERROR_NOT_FOUND);
    assert_int_equal(ut_gguf_get_bool(p.weights, "int", &flag, NULL), UTTER_ERROR_NOT_FOUND);
    drop_parsed(&p);
}

/* A file by the Python package gguf. */
static void test_package(void **state) {
    static const struct {
        const char *name, *text, *array;
        int64_t integer;
        double real;
    } cases[] = {
        {"uint8", "200", "[3 uint8]", 200, 0},
        {"int8", "-100", "[3 int8]", -100, 0},
        {"uint16", "60000", "[3 uint16]", 60000, 0},
        {"int16", "-30000", "[3 int16]", -30000, 0},
        {"uint32", "4000000000", "[3 uint32]", 4000000000, 0},
        {"int32", "-2000000000", "[3 int32]", -2000000000, 0},
        {"uint64", "4611686018427387904", "[3 uint64]", (int64_t)1 << 62, 0},
        {"int64", "-4611686018427387904", "[3 int64]", -((int64_t)1 << 62), 0},
        {"float32", "0.100000001", "[3 float32]", 0, (double)0.1f},
        {"float64", "0.10000000000000001", "[3 float64]", 0, 0.1},
        {"bool", "true", "[3 bools]", 0, 0},
        {"string", "na\xC3\xAFve \xE2\x9C\x93", "[3 strings]", 0, 0},
    };
    char path[4096], key[64];
    struct ut_weights *weights;
    utter_error err;
    snprintf(path, sizeof path, "%s/gguf/metadata.gguf", getenv("UT_TEST_DATA"));
    if (ut_weights_open(&mem, path, &weights, &err)) {
        fail_msg("%s", err.message);
    }
    use_weights(weights);
    assert_int_equal(ut_weights_count(weights), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t integer = 0;
        double real = 0;
        snprintf(key, sizeof key, "scalar.%s", cases[i].name);
        check_text(weights, key, cases[i].text);
        if (cases[i].integer != 0) {
            assert_int_equal(ut_gguf_get_int(weights, key, &integer, NULL), UTTER_OK);
            assert_true(integer == cases[i].integer);
        }
        if (cases[i].real != 0) {
            assert_int_equal(ut_gguf_get_float(weights, key, &real, NULL), UTTER_OK);
            assert_true(real == cases[i].real);
        }
        snprintf(key, sizeof key, "array.%s", cases[i].name);
        check_text(weights, key, cases[i].array);
    }
    const char *const *words;
    size_t n;
    assert_int_equal(ut_gguf_get_strings(weights, "array.words", &words, &n, NULL), UTTER_OK);
    assert_int_equal(n, 3);
    assert_string_equal(words[0], "");
    assert_string_equal(words[1], "two words");
    assert_string_equal(words[2], "\xC3\xA9");
    check_text(weights, "general.architecture", "utter-test");
    ut_weights_close(weights);
}

#define ONE GGUF_HEAD("0", "1")
#define TWO GGUF_HEAD("0", "2")

static const struct gguf_case cases[] = {
    {ONE "s:k 4:4 4:5", NULL, false},
    {GGUF_HEAD("0", "0"), NULL, false},
    /* The number of keys. */
    {GGUF_HEAD("0", "2") "s:k 4:4 4:5", "2 metadata keys at byte 16, 17 bytes cannot hold them", false},
    {GGUF_HEAD("0", "1"), "1 metadata keys at byte 16, 0 bytes", false},
    {GGUF_HEAD("0", "-1") "s:k 4:4 4:5", "18446744073709551615 metadata keys", false},
    {GGUF_HEAD("0", "0x7fffffffffffffff") "s:k 4:4 4:5", "metadata keys at byte 16", false},
    {GGUF_HEAD("0", "0x8000000000000000") "s:k 4:4 4:5", "metadata keys at byte 16", false},
    {GGUF_HEAD("0", "0x1000000000000001") "s:k 4:4 4:5", "metadata keys at byte 16", false}, /* * 16 wraps */
    {GGUF_HEAD("0", "2") "s:k 4:4 4:5 data:11", "metadata entry 1: a key of ", false},
    {GGUF_HEAD("0", "2") "s:k 4:4 4:5 s:l 4:4 4:5", NULL, false},
    {GGUF_HEAD("0", "0") "s:k 4:4 4:5", "9 bytes behind the last tensor, at byte 32", false},
    {GGUF_HEAD("0", "0") "s:k 4:4 4:5 pad:32 data:32", "64 bytes behind the last tensor", false},
    /* Keys. */
    {ONE "8:1 x:6b 4:4 4:5", NULL, false},
    {ONE "8:0 4:4 4:5 4:0", "a key of 0 bytes at byte 24, 1 to 65535 may be", false},
    {ONE "8:2 x:6b00 4:4 4:5", "a key at byte 24 holds NUL or is not UTF-8", false},
    {ONE "8:2 x:006b 4:4 4:5", "holds NUL or is not UTF-8", false},
    {ONE "8:1 x:00 4:4 4:5", "holds NUL or is not UTF-8", false},
    {ONE "8:1 x:ff 4:4 4:5", "holds NUL or is not UTF-8", false},
    {ONE "8:2 x:c080 4:4 4:5", "holds NUL or is not UTF-8", false}, /* an overlong NUL */
    {ONE "8:3 x:eda080 4:4 4:5", "holds NUL or is not UTF-8", false},
    {ONE "s:kkkkkk 2:4", "ends within the type of a value that begins at byte 38", false},
    {ONE "8:10 x:6b 4:4 4:5", "a key of 10 bytes at byte 24, 9 are left", false},
    {ONE "8:9 x:6b 4:4 4:5", "holds NUL", false},
    {ONE "8:-1 x:6b 4:4 4:5", "a key of 18446744073709551615 bytes at byte 24, 9 are left", false},
    {ONE "8:-8 x:6b 4:4 4:5", "a key of 18446744073709551608 bytes", false}, /* + 8 wraps to 0 */
    {ONE "8:0x7fffffffffffffff x:6b 4:4 4:5", "a key of 9223372036854775807 bytes", false},
    {ONE "8:0x8000000000000000 x:6b 4:4 4:5", "a key of 9223372036854775808 bytes", false},
    {ONE "8:0x100000001 x:6b 4:4 4:5", "a key of 4294967297 bytes", false}, /* 1 in 32 bits */
    {ONE "S:65535 4:4 4:5", NULL, false},
    {ONE "S:65536 4:4 4:5", "a key of 65536 bytes at byte 24, 1 to 65535 may be", false},
    {TWO "s:a 4:4 4:5 s:b 4:4 4:5", NULL, false},
    {TWO "s:a 4:4 4:5 s:a 4:4 4:5", "key \"a\" stands twice in the file", false},
    {TWO "s:a 4:4 4:5 s:a 4:8 s:x", "key \"a\" stands twice in the file", false},
    {TWO "s:a 4:4 4:5 s:A 4:4 4:5", NULL, false},
    {TWO "s:a 4:4 4:5 s:aa 4:4 4:5", NULL, false},
    {GGUF_HEAD("0", "3") "s:a 4:4 4:5 s:b 4:4 4:5 s:a 4:4 4:6", "stands twice", false},
    {TWO "S:200 4:4 4:5 S:200 4:4 4:5", "stands twice", false},
    {TWO "S:63 4:4 4:5 S:64 4:4 4:5", NULL, false},
    /* Types of values. */
    {ONE "s:k 4:13 4:5", "key \"k\": value type 13 at byte 33 does not exist", false},
    {ONE "s:k 4:14 4:5", "value type 14 ", false},
    {ONE "s:k 4:255 4:5", "value type 255 ", false},
    {ONE "s:k 4:256 4:5", "value type 256 ", false}, /* 0 in 8 bits */
    {ONE "s:k 4:-1 4:5", "value type 4294967295 ", false},
    {ONE "s:k 4:0x7fffffff 4:5", "value type 2147483647 ", false},
    {ONE "s:k 4:0x80000000 4:5", "value type 2147483648 ", false},
    /* Numbers that are cut off. */
    {ONE "s:kkk 4:4 2:5", "ends within a value that begins at byte 39", false},
    {ONE "s:kkkkkk 4:10 4:5", "key \"kkkkkk\": the file ends within a value", false},
    {ONE "s:kkkkkk 4:12 4:5", "the file ends within a value", false},
    {ONE "s:kkk 4:6 1:5", "metadata entry 0: key \"kkk\": the file ends within a value", false},
    {ONE "s:kk 4:0", "ends within a value", false},
    {ONE "s:kk 4:0 1:0", NULL, false},
    /* Booleans. */
    {ONE "s:k 4:7 1:1", NULL, false},
    {ONE "s:k 4:7 1:2", "a boolean of 2 at byte 37, neither 0 nor 1", false},
    {ONE "s:k 4:7 1:255", "a boolean of 255 at byte 37", false},
    {ONE "s:k 4:9 4:7 8:3 1:1 1:0 1:128", "a boolean of 128 at byte 51", false},
    {ONE "s:k 4:9 4:7 8:3 1:1 1:0 1:1", NULL, false},
    /* Strings. */
    {ONE "s:k 4:8 s:abc", NULL, false},
    {ONE "s:k 4:8 8:4 x:616263", "a string of 4 bytes at byte 37, 3 are left", false},
    {ONE "s:k 4:8 8:-1 x:616263", "a string of 18446744073709551615 bytes", false},
    {ONE "s:k 4:8 8:-45 x:616263", "a string of 18446744073709551571 bytes", false}, /* to the file's first byte */
    {ONE "s:k 4:8 8:0x7fffffffffffffff x:616263", "a string of 9223372036854775807 bytes", false},
    {ONE "s:k 4:8 8:0x8000000000000000 x:616263", "a string of 9223372036854775808 bytes", false},
    {ONE "s:k 4:8 8:0xffffffff x:616263", "a string of 4294967295 bytes", false},
    {ONE "s:k 4:8 4:3 x:616263", "ends within a string that begins at byte 37", false},
    {ONE "s:k 4:8 8:3 x:610063", "a string at byte 37 holds NUL", false},
    {ONE "s:k 4:8 8:3 x:616200", "holds NUL", false},
    {ONE "s:k 4:8 8:2 x:c3a9", NULL, false},
    {ONE "s:k 4:8 8:1 x:c3", "is not UTF-8", false},
    {ONE "s:k 4:8 8:4 x:f4908080", "is not UTF-8", false},
    /* Arrays. */
    {ONE "s:k 4:9 4:5 8:2 4:1 4:2", NULL, false},
    {ONE "s:k 4:9 4:5 8:3 4:1 4:2", "key \"k\": the file ends within an array that begins at byte 49", false},
    {ONE "s:k 4:9 4:5 8:-1 4:1 4:2", "ends within an array", false},
    {ONE "s:k 4:9 4:5 8:0x8000000000000000", "ends within an array", false}, /* 2^63 elements */
    {ONE "s:k 4:9 4:5 8:0x7fffffffffffffff", "ends within an array", false},
    {ONE "s:k 4:9 4:5 8:0x4000000000000001 4:1", "ends within an array", false}, /* * 4 wraps to 4 */
    {ONE "s:k 4:9 4:10 8:0x2000000000000000", "ends within an array", false},    /* * 8 wraps to 0 */
    {ONE "s:k 4:9 4:0 8:-1", "ends within an array", false},
    {ONE "s:k 4:9 4:0 8:0x7fffffffffffffff", "ends within an array", false},
    {ONE "s:k 4:9 4:7 8:0x8000000000000000", "ends within an array", false},
    {ONE "s:k 4:9 4:12 8:0x2000000000000001 8:0", "ends within an array", false},
    {ONE "s:k 4:9 4:13 8:2 4:1 4:2", "value type 13 at byte 37 does not exist", false},
    {ONE "s:k 4:9 4:-1 8:0x8000000000000000", "value type 4294967295 ", false}, /* elements that consume nothing */
    {ONE "s:k 4:9 4:0x80000000 8:1", "value type 2147483648 ", false},
    {ONE "s:k 4:9 4:256 8:1 1:1", "value type 256 ", false},
    {ONE "s:k 4:9 2:5", "ends within the type of a value", false},
    {ONE "s:k 4:9 4:5 4:2", "ends within the length of an array", false},
    {ONE "s:k 4:9 4:5", "ends within the length of an array", false},
    {ONE "s:k 4:9 4:5 8:0", NULL, false},
    {ONE "s:k 4:9 4:8 8:2 s:a s:b", NULL, false},
    {ONE "s:k 4:9 4:8 8:3 s:a s:b", "ends within an array of strings", false},
    {ONE "s:k 4:9 4:8 8:2 s:a", "ends within an array of strings", false},
    {ONE "s:k 4:9 4:8 8:2 8:11 x:61 s:b", "a string in an array of 11 bytes at byte 49, 10 are left", false},
    {ONE "s:k 4:9 4:8 8:-1 s:a s:b", "ends within an array of strings", false},
    {ONE "s:k 4:9 4:8 8:0x7fffffffffffffff s:a s:b", "ends within an array of strings", false},
    {ONE "s:k 4:9 4:8 8:0x8000000000000000 s:a s:b", "ends within an array of strings", false},
    {ONE "s:k 4:9 4:8 8:0x2000000000000000 s:a s:b", "ends within an array of strings", false}, /* * 8 wraps */
    {ONE "s:k 4:9 4:8 8:2 s:a 8:-1 x:61", "a string in an array of 18446744073709551615 bytes", false},
    {ONE "s:k 4:9 4:8 8:2 s:a 8:0x8000000000000000", "a string in an array of 9223372036854775808 bytes", false},
    {ONE "s:k 4:9 4:8 8:2 s:a 8:1 x:00", "a string in an array at byte 58 holds NUL", false},
    {ONE "s:k 4:9 4:8 8:2 s:a 8:1 x:80", "is not UTF-8", false},
    /* Arrays of arrays, deep ones too. */
    {ONE "s:k 4:9 4:9 8:1 4:5 8:1 4:1", "key \"k\": an array of arrays at byte 37, which is not read", true},
    {ONE "s:k 4:9 4:9 8:0", "an array of arrays", true},
    {ONE "s:k 4:9 4:9 8:-1", "an array of arrays", true},
    {ONE "s:k 4:9 4:9 8:1 4:9 8:1 4:9 8:1 4:9 8:1 4:9 8:1 4:9 8:1 4:9 8:1 4:9 8:1 4:9 8:1 4:9", "of arrays", true},
};

static void test_hostile(void **state) {
    assert_in_range(check_gguf_cases(&mem, cases, sizeof cases / sizeof *cases), 75, 1000);
}

/* A hundred thousand keys, in no order and with a long common beginning, that a quadratic search for
 * duplicates would not finish; then the last is one that was there. */
static void test_many_keys(void **state) {
    enum { N = 100000 };
    for (int duplicate = 0; duplicate < 2; duplicate++) {
        struct gguf_text text = {0};
        gguf_text_append(&text, GGUF_HEAD("0", "100000"));
        for (uint32_t i = 0; i < N; i++) {
            char words[80];
            uint32_t k = duplicate && i == N - 1 ? 0 : i * 7919u % N;
            snprintf(words, sizeof words, "s:a.long.common.beginning.%u 4:4 4:%u", (unsigned)k, (unsigned)k);
            gguf_text_append(&text, words);
        }
        struct parsed p = parse_copy(&mem, text.file.data, text.file.n);
        if (duplicate) {
            assert_int_equal(p.status, UTTER_ERROR_FORMAT);
            assert_non_null(strstr(p.err.message, "key \"a.long.common.beginning.0\" stands twice"));
        } else {
            assert_int_equal(p.status, UTTER_OK);
            int64_t value = 0;
            assert_int_equal(ut_gguf_get_int(p.weights, "a.long.common.beginning.77777", &value, NULL), UTTER_OK);
            assert_int_equal(value, 77777);
            assert_true(atomic_load(&mem.peak_bytes) <= 4 * text.file.n + (16 << 20));
        }
        drop_parsed(&p);
        gguf_text_free(&text);
    }
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_integers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_types, setup, teardown),
        cmocka_unit_test_setup_teardown(test_package, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hostile, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_keys, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
