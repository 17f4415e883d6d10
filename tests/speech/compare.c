/* utter_compare through the public header: structs of other versions, what is refused, and that no
 * memory is kept. The figures themselves are tested in tests/audio. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "support/failing_allocator.h"
#include "support/random_values.h"
#include "utter.h"

enum { N = 4000 };

static float noise[N], louder[N];
static const utter_sound reference = {noise, N, 16000}, test = {louder, N, 16000};

static int setup(void **state) {
    random_normal("noise", 1, 0, 0.1f, noise, N);
    for (size_t i = 0; i < N; i++) {
        louder[i] = 2 * noise[i];
    }
    return 0;
}

static void defaults_will_do(void **state) {
    utter_quality with = {.size = sizeof with}, without = {.size = sizeof without};
    utter_compare_options options;
    utter_compare_options_init(&options);
    assert_int_equal(options.size, sizeof options);
    assert_int_equal(utter_compare(&reference, &test, &options, &with, NULL), UTTER_OK);
    assert_int_equal(utter_compare(&reference, &test, NULL, &without, NULL), UTTER_OK);
    assert_true(fabs(with.snr_db) < 1e-6 && fabs(with.lsd_db - 6.0206) < 0.001);
    assert_true(with.lsd_db == without.lsd_db && with.size == sizeof with);
}

/* An older program's struct ends before the levels: nothing is written behind it. */
static void shorter_struct_gets_what_fits(void **state) {
    utter_quality q;
    memset(&q, 0x55, sizeof q);
    q.size = offsetof(utter_quality, mcd_db);
    assert_int_equal(utter_compare(&reference, &test, NULL, &q, NULL), UTTER_OK);
    assert_true(fabs(q.lsd_db - 6.0206) < 0.001);
    for (size_t i = q.size; i < sizeof q; i++) {
        assert_int_equal(((unsigned char *)&q)[i], 0x55);
    }
}

static void what_is_missing_is_named(void **state) {
    utter_quality q = {.size = sizeof q};
    utter_compare_options options = {0};
    utter_error err;
    assert_int_equal(utter_compare(NULL, &test, NULL, &q, &err), UTTER_ERROR_ARGUMENT);
    assert_string_equal(err.message, "reference, test and out must not be NULL");
    assert_int_equal(utter_compare(&reference, NULL, NULL, &q, &err), UTTER_ERROR_ARGUMENT);
    assert_int_equal(utter_compare(&reference, &test, NULL, NULL, &err), UTTER_ERROR_ARGUMENT);
    assert_int_equal(utter_compare(&reference, &test, &options, &q, &err), UTTER_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "utter_compare_options.size is 0"));
    q.size = 0;
    assert_int_equal(utter_compare(&reference, &test, NULL, &q, &err), UTTER_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "utter_quality.size is 0"));
}

static void failure_leaves_the_answer_alone(void **state) {
    utter_sound empty = {noise, 0, 16000};
    utter_quality q = {.size = sizeof q, .lsd_db = 7};
    utter_error err;
    assert_int_equal(utter_compare(&reference, &empty, NULL, &q, &err), UTTER_ERROR_ARGUMENT);
    assert_string_equal(err.message, "the test has no samples");
    assert_true(q.lsd_db == 7);
}

static void allocator_of_the_caller_is_used(void **state) {
    struct failing_allocator counting = {0};
    utter_allocator allocator = failing_allocator_start(&counting);
    utter_quality q = {.size = sizeof q};
    utter_compare_options options;
    utter_compare_options_init(&options);
    options.allocator = &allocator;
    assert_int_equal(utter_compare(&reference, &test, &options, &q, NULL), UTTER_OK);
    assert_true(counting.n_calls > 0 && counting.n_blocks == 0);
    failing_allocator_reset(&counting, 1, true);
    assert_int_equal(utter_compare(&reference, &test, &options, &q, NULL), UTTER_ERROR_MEMORY);
    assert_true(counting.n_failed > 0 && counting.n_blocks == 0 && !counting.wrong_size);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_will_do),
        cmocka_unit_test(shorter_struct_gets_what_fits),
        cmocka_unit_test(what_is_missing_is_named),
        cmocka_unit_test(failure_leaves_the_answer_alone),
        cmocka_unit_test(allocator_of_the_caller_is_used),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
