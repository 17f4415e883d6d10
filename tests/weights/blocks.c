/* Blocks: contents, limit, failing allocations. */
#include "weights/blocks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/failing_allocator.h"
#include "weights_check.h"

static void test_contents(void **state) {
    struct ut_mem mem;
    struct ut_blocks blocks;
    ut_mem_init(&mem, NULL);
    ut_blocks_init(&blocks, &mem, 1 << 20, 0);
    enum { N = 3000 };
    uint8_t **pieces = test_alloc(N * sizeof *pieces);
    for (size_t i = 0; i < N; i++) {
        size_t n = i * 37 % 1500;
        pieces[i] = ut_blocks_alloc(&blocks, n, 1, NULL);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % 8, 0);
        for (size_t k = 0; k < n; k++) {
            assert_int_equal(pieces[i][k], 0);
        }
        memset(pieces[i], (int)i | 1, n);
    }
    for (size_t i = 0; i < N; i++) {
        for (size_t k = 0; k < i * 37 % 1500; k++) {
            assert_int_equal(pieces[i][k], (uint8_t)(i | 1));
        }
    }
    assert_true(atomic_load(&mem.n_allocations) < 20);
    const char *copy = ut_blocks_strndup(&blocks, "text and more", 4, NULL);
    assert_string_equal(copy, "text");
    ut_blocks_free(&blocks);
    assert_int_equal(atomic_load(&mem.bytes[UT_MEM_WEIGHTS]), 0);
    ut_blocks_free(&blocks);
    free(pieces);
}

static void test_limit(void **state) {
    struct ut_mem mem;
    struct ut_blocks blocks;
    utter_error err;
    size_t limit = 4 * 1000 + (16 << 20) - 5000;
    ut_mem_init(&mem, NULL);
    ut_blocks_init(&blocks, &mem, 1000, 5000);
    assert_null(ut_blocks_alloc(&blocks, limit + 1, 1, &err));
    assert_int_equal(blocks.status, UTTER_ERROR_FORMAT);
    assert_non_null(ut_blocks_alloc(&blocks, limit / 8, 8, &err));
    assert_null(ut_blocks_alloc(&blocks, 16, 1, &err));
    assert_int_equal(err.code, UTTER_ERROR_FORMAT);
    ut_blocks_free(&blocks);
    ut_blocks_init(&blocks, &mem, 0, 0);
    size_t n = 0;
    while (ut_blocks_alloc(&blocks, 1, 1000, &err)) {
        n += 1000;
    }
    assert_in_range(n, 14 << 20, 16 << 20); /* little is lost at the ends of blocks */
    assert_true(atomic_load(&mem.peak_bytes) <= (17 << 20) + 65536);
    ut_blocks_free(&blocks);
    /* Nothing wraps. */
    ut_blocks_init(&blocks, &mem, UINT64_MAX, 0);
    assert_null(ut_blocks_alloc(&blocks, SIZE_MAX, 2, &err));
    assert_int_equal(blocks.status, UTTER_ERROR_MEMORY);
    assert_null(ut_blocks_alloc(&blocks, SIZE_MAX, 1, &err));
    assert_null(ut_blocks_alloc(&blocks, SIZE_MAX - 40, 1, &err));
    assert_null(ut_blocks_strndup(&blocks, "", SIZE_MAX, &err));
    assert_non_null(ut_blocks_alloc(&blocks, 0, 8, &err));
    ut_blocks_free(&blocks);
    ut_blocks_init(&blocks, &mem, 0, UINT64_MAX);
    assert_null(ut_blocks_alloc(&blocks, 1, 1, &err));
    ut_blocks_free(&blocks);
}

static void test_failing_allocation(void **state) {
    struct failing_allocator failing;
    utter_allocator allocator = failing_allocator_start(&failing);
    failing_allocator_reset(&failing, 2, false);
    struct ut_mem mem;
    struct ut_blocks blocks;
    ut_mem_init(&mem, &allocator);
    ut_blocks_init(&blocks, &mem, 0, 0);
    assert_non_null(ut_blocks_alloc(&blocks, 10, 1, NULL));
    assert_null(ut_blocks_alloc(&blocks, 100000, 1, NULL));
    assert_int_equal(blocks.status, UTTER_ERROR_MEMORY);
    assert_non_null(ut_blocks_alloc(&blocks, 100000, 1, NULL));
    ut_blocks_free(&blocks);
    assert_true(failing.n_blocks == 0 && !failing.wrong_size);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contents),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_failing_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
