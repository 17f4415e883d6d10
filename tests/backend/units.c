/* The list of units keeps its memory and its order, and a failed growth leaves it usable. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "backend/backend.h"
#include "support/failing_allocator.h"

static void keeps_order_and_memory(void **state) {
    struct ut_mem mem;
    struct ut_units units;
    ut_mem_init(&mem, NULL);
    ut_units_init(&units, &mem);
    for (int round = 0; round < 3; round++) {
        uint64_t n_allocations = mem.n_allocations;
        ut_units_clear(&units);
        for (size_t i = 0; i < 1000; i++) {
            struct ut_unit unit = {.text_begin = i, .text_end = i + 1, .end = UT_UNIT_PARAGRAPH};
            assert_int_equal(ut_units_append(&units, unit, NULL), UTTER_OK);
        }
        assert_int_equal(units.n, 1000);
        assert_int_equal(units.items[999].text_begin, 999);
        assert_int_equal(units.items[0].end, UT_UNIT_PARAGRAPH);
        assert_true(round == 0 || mem.n_allocations == n_allocations);
    }
    ut_units_free(&units);
    assert_int_equal(units.n, 0);
    assert_null(units.items);
    assert_int_equal(mem.bytes[UT_MEM_SESSION], 0);
}

static void survives_a_failed_growth(void **state) {
    struct failing_allocator memory;
    utter_allocator allocator = failing_allocator_start(&memory);
    struct ut_mem mem;
    struct ut_units units;
    utter_error err;
    struct ut_unit unit = {.text_begin = 7};
    ut_mem_init(&mem, &allocator);
    ut_units_init(&units, &mem);
    failing_allocator_reset(&memory, 1, true);
    assert_int_equal(ut_units_append(&units, unit, &err), UTTER_ERROR_MEMORY);
    assert_int_equal(units.n, 0);
    failing_allocator_reset(&memory, 0, false);
    assert_int_equal(ut_units_append(&units, unit, &err), UTTER_OK);
    while (units.n < units.capacity) {
        assert_int_equal(ut_units_append(&units, unit, &err), UTTER_OK);
    }
    size_t n = units.n;
    failing_allocator_reset(&memory, 1, true);
    assert_int_equal(ut_units_append(&units, unit, &err), UTTER_ERROR_MEMORY);
    assert_int_equal(units.n, n);
    assert_int_equal(units.items[n - 1].text_begin, 7);
    ut_units_free(&units);
    assert_int_equal(memory.n_blocks, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_order_and_memory),
        cmocka_unit_test(survives_a_failed_growth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
