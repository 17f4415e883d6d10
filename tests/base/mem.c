/* The allocator: alignment, accounting by owner, and what happens when there is no memory. */
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "support/failing_allocator.h"

static utter_memory report_of(const struct ut_mem *mem) {
    utter_memory report = {.size = sizeof report};
    ut_mem_report(mem, &report);
    return report;
}

static uint64_t bytes_in_use(const struct ut_mem *mem) {
    utter_memory report = report_of(mem);
    return report.weights_bytes + report.session_bytes + report.other_bytes;
}

static void blocks_are_aligned_and_writable(void **state) {
    /* Around the size from which huge pages are asked for, too. */
    static const size_t sizes[] = {0, 1, 63, 64, 65, 4096, (4 << 20) - 64, 4 << 20, (4 << 20) + 1};
    struct ut_mem mem;
    ut_mem_init(&mem, NULL);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *block = ut_mem_alloc(&mem, UT_MEM_SESSION, sizes[i]);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % 64, 0);
        memset(block, 0x5A, sizes[i]);
        ut_mem_free(&mem, block);
    }
    assert_int_equal(bytes_in_use(&mem), 0);
}

/* A heap would keep it, and the process would stay as large as it was once. */
static void large_blocks_go_back_to_the_system(void **state) {
    struct ut_mem mem;
    unsigned char resident;
    ut_mem_init(&mem, NULL);
    for (int round = 0; round < 2; round++) {
        char *block = ut_mem_alloc(&mem, UT_MEM_OTHER, 10 << 20);
        memset(block, 1, 10 << 20);
        char *page = block + (1 << 20) - ((uintptr_t)block & 0xFFFF);
        assert_int_equal(mincore(page, 1, &resident), 0);
        ut_mem_free(&mem, block);
        assert_int_equal(mincore(page, 1, &resident), -1);
        assert_int_equal(errno, ENOMEM);
    }
}

static void bytes_are_counted_by_owner(void **state) {
    struct ut_mem mem;
    ut_mem_init(&mem, NULL);
    void *weights = ut_mem_alloc(&mem, UT_MEM_WEIGHTS, 1000);
    void *session = ut_mem_alloc(&mem, UT_MEM_SESSION, 500);
    utter_memory report = report_of(&mem);
    assert_in_range(report.weights_bytes, 1000, 1000 + 64);
    assert_in_range(report.session_bytes, 500, 500 + 64);
    assert_int_equal(report.other_bytes, 0);
    assert_int_equal(report.n_allocations, 2);
    uint64_t peak = report.peak_bytes;
    assert_int_equal(peak, report.weights_bytes + report.session_bytes);
    ut_mem_free(&mem, weights);
    ut_mem_free(&mem, session);
    ut_mem_free(&mem, NULL);
    assert_int_equal(bytes_in_use(&mem), 0);
    assert_int_equal(report_of(&mem).peak_bytes, peak);
}

/* A program built with an older header hands in a smaller struct. */
static void report_stays_within_the_callers_struct(void **state) {
    struct ut_mem mem;
    ut_mem_init(&mem, NULL);
    void *block = ut_mem_alloc(&mem, UT_MEM_OTHER, 10);
    utter_memory report;
    memset(&report, 0xEE, sizeof report);
    report.size = offsetof(utter_memory, other_bytes);
    ut_mem_report(&mem, &report);
    assert_int_equal(report.size, offsetof(utter_memory, other_bytes));
    assert_int_equal(report.weights_bytes, 0);
    assert_int_equal(report.other_bytes, 0xEEEEEEEEEEEEEEEEu);
    ut_mem_free(&mem, block);
}

static void impossible_sizes_are_refused(void **state) {
    struct ut_mem mem;
    ut_mem_init(&mem, NULL);
    assert_null(ut_mem_alloc(&mem, UT_MEM_OTHER, SIZE_MAX));
    assert_null(ut_mem_alloc(&mem, UT_MEM_OTHER, SIZE_MAX - 63));
    assert_null(ut_mem_alloc(&mem, UT_MEM_OTHER, (size_t)PTRDIFF_MAX));
    assert_null(ut_mem_calloc(&mem, UT_MEM_OTHER, SIZE_MAX / 2, 3));
    assert_null(ut_mem_strndup(&mem, UT_MEM_OTHER, "", SIZE_MAX));
    assert_int_equal(bytes_in_use(&mem), 0);
}

static void calloc_gives_zeros(void **state) {
    struct ut_mem mem;
    ut_mem_init(&mem, NULL);
    unsigned char *dirty = ut_mem_alloc(&mem, UT_MEM_OTHER, 3000);
    memset(dirty, 0xFF, 3000);
    ut_mem_free(&mem, dirty);
    unsigned char *block = ut_mem_calloc(&mem, UT_MEM_OTHER, 1000, 3);
    for (size_t i = 0; i < 3000; i++) {
        assert_int_equal(block[i], 0);
    }
    ut_mem_free(&mem, block);
}

static void realloc_keeps_contents_and_owner(void **state) {
    struct ut_mem mem;
    ut_mem_init(&mem, NULL);
    char *block = ut_mem_realloc(&mem, UT_MEM_WEIGHTS, NULL, 6);
    memcpy(block, "piper", 6);
    block = ut_mem_realloc(&mem, UT_MEM_OTHER, block, 100000);
    assert_string_equal(block, "piper");
    assert_true(report_of(&mem).weights_bytes >= 100000);
    assert_int_equal(report_of(&mem).other_bytes, 0);
    block = ut_mem_realloc(&mem, UT_MEM_OTHER, block, 3);
    assert_memory_equal(block, "pip", 3);
    ut_mem_free(&mem, block);
    assert_int_equal(bytes_in_use(&mem), 0);
}

static void strndup_ends_with_a_zero(void **state) {
    struct ut_mem mem;
    ut_mem_init(&mem, NULL);
    char *copy = ut_mem_strndup(&mem, UT_MEM_OTHER, "medium", 3);
    assert_string_equal(copy, "med");
    ut_mem_free(&mem, copy);
}

static void failure_leaves_everything_as_it_was(void **state) {
    struct failing_allocator failing;
    utter_allocator allocator = failing_allocator_start(&failing);
    struct ut_mem mem;
    ut_mem_init(&mem, &allocator);
    char *block = ut_mem_strndup(&mem, UT_MEM_SESSION, "kept", 4);
    uint64_t before = bytes_in_use(&mem);
    failing_allocator_reset(&failing, 1, true);
    assert_null(ut_mem_alloc(&mem, UT_MEM_OTHER, 10));
    assert_null(ut_mem_calloc(&mem, UT_MEM_OTHER, 10, 10));
    assert_null(ut_mem_realloc(&mem, UT_MEM_OTHER, block, 1000));
    assert_null(ut_mem_strndup(&mem, UT_MEM_OTHER, "lost", 4));
    assert_int_equal(failing.n_failed, 4);
    assert_int_equal(bytes_in_use(&mem), before);
    assert_string_equal(block, "kept");
    ut_mem_free(&mem, block);
    assert_int_equal(failing.n_blocks, 0);
    assert_false(failing.wrong_size);
}

/* A reserved block counts by use, up to the limit, and whole huge pages stand behind it. */
static void reserved_blocks_count_what_is_used(void **state) {
    struct ut_mem mem;
    ut_mem_init(&mem, NULL);
    mem.limit_bytes = 6 << 20;
    char *block = ut_mem_reserve(&mem, UT_MEM_WEIGHTS, 64 << 20);
    assert_non_null(block);
    assert_int_equal((uintptr_t)block % 64, 0);
    assert_true(bytes_in_use(&mem) <= 64);
    assert_true(ut_mem_use(&mem, block, 1000));
    assert_true(ut_mem_use(&mem, block, 5 << 20));
    memset(block, 0x5A, 5 << 20);
    assert_in_range(report_of(&mem).weights_bytes, 5 << 20, (5 << 20) + 64);
    assert_false(ut_mem_use(&mem, block, 6 << 20));
    assert_in_range(report_of(&mem).weights_bytes, 5 << 20, (5 << 20) + 64);
    utter_error err = {.code = UTTER_ERROR_MEMORY, .message = "x"};
    assert_int_equal(ut_mem_explain(&mem, UTTER_ERROR_MEMORY, &err), UTTER_ERROR_MEMORY);
    assert_non_null(strstr(err.message, "the memory limit of 6.3 MB does not suffice"));
    ut_mem_free(&mem, block);
    assert_int_equal(bytes_in_use(&mem), 0);
    mem.limit_bytes = 10;
    assert_null(ut_mem_reserve(&mem, UT_MEM_WEIGHTS, 1 << 20));
    assert_int_equal(bytes_in_use(&mem), 0);
}

/* Only where memory comes in pages of its own, unlocked and of a possible size. */
static void not_everything_can_be_reserved(void **state) {
    struct failing_allocator failing;
    utter_allocator allocator = failing_allocator_start(&failing);
    struct ut_mem mem;
    ut_mem_init(&mem, &allocator);
    assert_null(ut_mem_reserve(&mem, UT_MEM_WEIGHTS, 64 << 20));
    assert_int_equal(failing.n_blocks, 0);
    ut_mem_init(&mem, NULL);
    assert_null(ut_mem_reserve(&mem, UT_MEM_WEIGHTS, SIZE_MAX));
    assert_null(ut_mem_reserve(&mem, UT_MEM_WEIGHTS, (size_t)1 << 60));
    mem.lock_weights = true;
    assert_null(ut_mem_reserve(&mem, UT_MEM_WEIGHTS, 64 << 20));
    assert_int_equal(bytes_in_use(&mem), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_aligned_and_writable),
        cmocka_unit_test(large_blocks_go_back_to_the_system),
        cmocka_unit_test(bytes_are_counted_by_owner),
        cmocka_unit_test(report_stays_within_the_callers_struct),
        cmocka_unit_test(impossible_sizes_are_refused),
        cmocka_unit_test(calloc_gives_zeros),
        cmocka_unit_test(realloc_keeps_contents_and_owner),
        cmocka_unit_test(strndup_ends_with_a_zero),
        cmocka_unit_test(failure_leaves_everything_as_it_was),
        cmocka_unit_test(reserved_blocks_count_what_is_used),
        cmocka_unit_test(not_everything_can_be_reserved),
    };
    return cmocka_run_group_tests_name("base/mem", tests, NULL, NULL);
}
