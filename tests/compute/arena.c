/* The arena: alignment, stable blocks, marks, no allocation after warm-up, weights counted by use.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "compute/arena.h"
#include "support/failing_allocator.h"

static void blocks_are_aligned_and_apart(void **state) {
    struct ut_mem mem;
    struct ut_arena arena;
    unsigned char *blocks[300];
    ut_mem_init(&mem, NULL);
    ut_arena_init(&arena, &mem, UT_MEM_SESSION);
    for (size_t i = 0; i < 300; i++) {
        blocks[i] = ut_arena_alloc(&arena, i * 13, 7);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % 64, 0);
        memset(blocks[i], (int)i, i * 13 * 7);
    }
    for (size_t i = 0; i < 300; i++) {
        for (size_t k = 0; k < i * 13 * 7; k++) {
            assert_int_equal(blocks[i][k], (unsigned char)i);
        }
    }
    ut_arena_free(&arena);
    assert_int_equal(mem.bytes[UT_MEM_SESSION], 0);
}

static void use(struct ut_arena *arena) {
    for (size_t i = 1; i < 40; i++) {
        struct ut_arena_mark mark = ut_arena_mark(arena);
        assert_non_null(ut_arena_alloc(arena, i, 50000));
        if (i % 3 == 0) {
            ut_arena_rewind(arena, mark);
        }
    }
}

static void warm_arena_allocates_nothing(void **state) {
    struct ut_mem mem;
    struct ut_arena arena;
    ut_mem_init(&mem, NULL);
    ut_arena_init(&arena, &mem, UT_MEM_SESSION);
    use(&arena);
    ut_arena_reset(&arena);
    uint64_t before = mem.n_allocations;
    for (int round = 0; round < 3; round++) {
        use(&arena);
        ut_arena_reset(&arena);
    }
    assert_int_equal(mem.n_allocations, before);
    ut_arena_free(&arena);
}

/* Of a model's size, by the C library and by an allocator of the caller's: next to nothing is
 * counted without being used. */
static void weights_take_what_they_use(void **state) {
    static const size_t sizes[] = {12 << 20, 4096, 3 << 20, 100, 700 << 10, 400 << 10, 5 << 20};
    struct failing_allocator counting;
    utter_allocator allocator = failing_allocator_start(&counting);
    for (int own = 0; own < 2; own++) {
        struct ut_mem mem;
        struct ut_arena arena;
        size_t used = 0;
        ut_mem_init(&mem, own ? &allocator : NULL);
        ut_arena_init(&arena, &mem, UT_MEM_WEIGHTS);
        for (size_t i = 0; i < 4 * sizeof sizes / sizeof *sizes; i++) {
            size_t n = sizes[i % (sizeof sizes / sizeof *sizes)];
            memset(ut_arena_alloc(&arena, 1, n), 1, n);
            memset(ut_arena_alloc(&arena, 1, 1000), 2, 1000);
            used += n + 1000;
        }
        assert_true(mem.bytes[UT_MEM_WEIGHTS] >= used);
        assert_true(mem.bytes[UT_MEM_WEIGHTS] < used + used / 20);
        ut_arena_reset(&arena);
        assert_int_equal(mem.bytes[UT_MEM_WEIGHTS], 0);
        assert_non_null(ut_arena_alloc(&arena, 1, 100));
        ut_arena_free(&arena);
        assert_int_equal(mem.bytes[UT_MEM_WEIGHTS], 0);
    }
    assert_int_equal(counting.n_blocks, 0);
}

/* Scratch of a layer that is packed: gone with the mark, and its room is used again. */
static void rewound_weights_are_used_again(void **state) {
    struct ut_mem mem;
    struct ut_arena arena;
    ut_mem_init(&mem, NULL);
    ut_arena_init(&arena, &mem, UT_MEM_WEIGHTS);
    memset(ut_arena_alloc(&arena, 5, 1 << 20), 1, 5 << 20);
    struct ut_arena_mark mark = ut_arena_mark(&arena);
    char *scratch = ut_arena_alloc(&arena, 2, 1 << 20);
    uint64_t before = mem.bytes[UT_MEM_WEIGHTS];
    ut_arena_rewind(&arena, mark);
    assert_ptr_equal(ut_arena_alloc(&arena, 1, 1 << 20), scratch);
    assert_int_equal(mem.bytes[UT_MEM_WEIGHTS], before);
    ut_arena_free(&arena);
}

static void rewound_large_blocks_are_given_back(void **state) {
    struct failing_allocator counting;
    utter_allocator allocator = failing_allocator_start(&counting);
    struct ut_mem mem;
    struct ut_arena arena;
    ut_mem_init(&mem, &allocator);
    ut_arena_init(&arena, &mem, UT_MEM_WEIGHTS);
    char *kept = ut_arena_alloc(&arena, 3, 1 << 20);
    struct ut_arena_mark mark = ut_arena_mark(&arena);
    uint64_t before = mem.bytes[UT_MEM_WEIGHTS];
    assert_non_null(ut_arena_alloc(&arena, 2, 1 << 20));
    assert_non_null(ut_arena_alloc(&arena, 4, 1 << 20));
    ut_arena_rewind(&arena, mark);
    assert_int_equal(mem.bytes[UT_MEM_WEIGHTS], before);
    memset(kept, 1, 3 << 20);
    ut_arena_free(&arena);
    assert_int_equal(counting.n_blocks, 0);
    assert_false(counting.wrong_size);
}

/* The limit is met by what is used, not by what is reserved; what was there stays whole. */
static void weights_meet_the_limit(void **state) {
    struct ut_mem mem;
    struct ut_arena arena;
    ut_mem_init(&mem, NULL);
    mem.limit_bytes = 8 << 20;
    ut_arena_init(&arena, &mem, UT_MEM_WEIGHTS);
    char *kept = ut_arena_alloc(&arena, 6, 1 << 20);
    assert_non_null(kept);
    memset(kept, 1, 6 << 20);
    assert_null(ut_arena_alloc(&arena, 3, 1 << 20));
    assert_true(arena.failed);
    assert_non_null(ut_arena_alloc(&arena, 1, 1 << 20));
    assert_int_equal(kept[(6 << 20) - 1], 1);
    ut_arena_free(&arena);
    assert_int_equal(mem.bytes[UT_MEM_WEIGHTS], 0);
}

/* Only what lies behind the last block in use goes, and what is allocated stays as it is. */
static void trimmed_blocks_are_given_back(void **state) {
    struct failing_allocator counting;
    utter_allocator allocator = failing_allocator_start(&counting);
    struct ut_mem mem;
    struct ut_arena arena;
    ut_mem_init(&mem, &allocator);
    ut_arena_init(&arena, &mem, UT_MEM_SESSION);
    ut_arena_trim(&arena);
    unsigned char *kept = ut_arena_alloc(&arena, 1, 1000);
    memset(kept, 7, 1000);
    uint64_t before = mem.bytes[UT_MEM_SESSION];
    struct ut_arena_mark mark = ut_arena_mark(&arena);
    for (int i = 0; i < 5; i++) {
        assert_non_null(ut_arena_alloc(&arena, 1, 1 << 20));
    }
    uint64_t largest = mem.bytes[UT_MEM_SESSION];
    ut_arena_trim(&arena);
    assert_int_equal(mem.bytes[UT_MEM_SESSION], largest);
    ut_arena_rewind(&arena, mark);
    ut_arena_trim(&arena);
    assert_int_equal(mem.bytes[UT_MEM_SESSION], before);
    assert_int_equal(kept[0] + kept[999], 14);
    memset(ut_arena_alloc(&arena, 3, 1 << 20), 1, 3 << 20);
    ut_arena_free(&arena);
    assert_int_equal(counting.n_blocks, 0);
}

static void overflow_fails(void **state) {
    struct ut_mem mem;
    struct ut_arena arena;
    ut_mem_init(&mem, NULL);
    ut_arena_init(&arena, &mem, UT_MEM_SESSION);
    assert_null(ut_arena_alloc(&arena, SIZE_MAX / 2, 3));
    assert_true(arena.failed);
    assert_null(ut_arena_alloc(&arena, SIZE_MAX, 1));
    ut_arena_reset(&arena);
    assert_false(arena.failed);
    assert_non_null(ut_arena_alloc(&arena, 1, 1));
    ut_arena_free(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_aligned_and_apart),
        cmocka_unit_test(warm_arena_allocates_nothing),
        cmocka_unit_test(weights_take_what_they_use),
        cmocka_unit_test(rewound_weights_are_used_again),
        cmocka_unit_test(rewound_large_blocks_are_given_back),
        cmocka_unit_test(weights_meet_the_limit),
        cmocka_unit_test(trimmed_blocks_are_given_back),
        cmocka_unit_test(overflow_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
