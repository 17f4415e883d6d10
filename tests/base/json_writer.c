/* What is written is read back by the project's own reader and compared; strings are made valid; a
 * failed allocation at any step is told at the end and nothing leaks. */
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/json_writer.h"
#include "support/sweep.h"

static void write_sample(struct ut_json_writer *json) {
    ut_json_put_object(json, NULL);
    ut_json_put_string(json, "plain", "text");
    ut_json_put_string(json, "quote\"key", "a\"b\\c\n\t\x01\x7f");
    ut_json_put_string(json, "utf8", "h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
    ut_json_put_string(json, "none", NULL);
    ut_json_put_uint(json, "large", UINT64_MAX);
    ut_json_put_double(json, "third", 1.0 / 3);
    ut_json_put_double(json, "nan", NAN);
    ut_json_put_bool(json, "yes", true);
    ut_json_put_array(json, "list");
    ut_json_put_uint(json, NULL, 1);
    ut_json_put_object(json, NULL);
    ut_json_put_end_object(json);
    ut_json_put_bool(json, NULL, false);
    ut_json_put_end_array(json);
    ut_json_put_array(json, "empty");
    ut_json_put_end_array(json);
    ut_json_put_end_object(json);
}

static void reads_back(void **state) {
    struct ut_mem mem;
    struct ut_json_writer json;
    struct ut_json *doc;
    char *text;
    size_t n;
    double third;
    bool yes = false;
    ut_mem_init(&mem, NULL);
    ut_json_put_init(&json, &mem);
    write_sample(&json);
    assert_int_equal(ut_json_put_finish(&json, &text, NULL), UTTER_OK);
    assert_int_equal(ut_json_parse(&mem, text, strlen(text), &doc, NULL), UTTER_OK);
    assert_int_equal(ut_json_count(doc, 0), 10);
    assert_string_equal(ut_json_string(doc, ut_json_member(doc, 0, "plain"), NULL), "text");
    assert_string_equal(ut_json_string(doc, ut_json_member(doc, 0, "quote\"key"), NULL),
                        "a\"b\\c\n\t\x01\x7f");
    assert_string_equal(ut_json_string(doc, ut_json_member(doc, 0, "utf8"), NULL),
                        "h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
    assert_int_equal(ut_json_type(doc, ut_json_member(doc, 0, "none")), UT_JSON_NULL);
    assert_int_equal(ut_json_type(doc, ut_json_member(doc, 0, "nan")), UT_JSON_NULL);
    assert_memory_equal(ut_json_raw(doc, ut_json_member(doc, 0, "large"), &n),
                        "18446744073709551615", 20);
    assert_true(ut_json_double(doc, ut_json_member(doc, 0, "third"), &third));
    assert_true((float)third == (float)(1.0 / 3));
    assert_true(ut_json_bool(doc, ut_json_member(doc, 0, "yes"), &yes) && yes);
    assert_int_equal(ut_json_count(doc, ut_json_member(doc, 0, "list")), 3);
    assert_int_equal(ut_json_count(doc, ut_json_member(doc, 0, "empty")), 0);
    ut_json_free(doc);
    ut_mem_free(&mem, text);
    assert_int_equal(mem.bytes[UT_MEM_OTHER], 0);
}

/* Each bad byte becomes one U+FFFD, whatever stands around it. */
static void invalid_utf8_is_replaced(void **state) {
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"a\x80z", "\"a\\ufffdz\""},
        {"\xc0\xaf", "\"\\ufffd\\ufffd\""},
        {"\xe0\x80\x80", "\"\\ufffd\\ufffd\\ufffd\""},
        {"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""},
        {"\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""},
        {"\xf0\x80\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""},
        {"\xff", "\"\\ufffd\""},
        {"cut\xe2\x82", "\"cut\\ufffd\\ufffd\""},
        {"\xef\xbf\xbf", "\"\xef\xbf\xbf\""},
    };
    struct ut_mem mem;
    ut_mem_init(&mem, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ut_json_writer json;
        char *text;
        ut_json_put_init(&json, &mem);
        ut_json_put_string(&json, NULL, cases[i].in);
        assert_int_equal(ut_json_put_finish(&json, &text, NULL), UTTER_OK);
        assert_string_equal(text, cases[i].out);
        ut_mem_free(&mem, text);
    }
}

static void failed_allocations_are_told(void **state) {
    struct ut_mem mem;
    struct sweep sweep;
    for (sweep_start(&sweep, &mem, false); sweep_next(&sweep);) {
        struct ut_json_writer json;
        utter_error err;
        char *text;
        ut_json_put_init(&json, &mem);
        for (int i = 0; i < 20; i++) {
            write_sample(&json);
        }
        utter_status status = ut_json_put_finish(&json, &text, &err);
        assert_true((text != NULL) == (status == UTTER_OK));
        ut_mem_free(&mem, text);
        sweep_check(&sweep, status);
    }
    assert_in_range(sweep.n_injected, 2, 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_back),
        cmocka_unit_test(invalid_utf8_is_replaced),
        cmocka_unit_test(failed_allocations_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
