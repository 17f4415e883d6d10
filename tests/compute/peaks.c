/* Peaks exist where the level has a loop for them, and need memory. How high they are is no
 * question for a test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compute/peaks.h"
#include "support/failing_allocator.h"

static void measure(enum ut_cpu_level level, int n_threads) {
    struct ut_mem mem;
    struct ut_compute compute = {.kernels = ut_kernels_get(level)};
    struct ut_peaks peaks;
    ut_mem_init(&mem, NULL);
    assert_int_equal(ut_pool_create(&mem, n_threads, &compute.pool, NULL), UTTER_OK);
    uint64_t before = mem.bytes[UT_MEM_OTHER];
    assert_true(ut_peaks_measure(&compute, &mem, &peaks));
    assert_int_equal(mem.bytes[UT_MEM_OTHER], before);
    const struct ut_narrow *narrow[] = {
        [UT_TALLY_BF16] = compute.kernels->b16, [UT_TALLY_INT8] = compute.kernels->i8};
    assert_true((peaks.macs_per_s[UT_TALLY_F32] > 0) == (level != UT_CPU_SCALAR));
    assert_true((peaks.read_bytes_per_s > 0) == (level != UT_CPU_SCALAR));
    for (int kind = UT_TALLY_BF16; kind <= UT_TALLY_INT8; kind++) {
        assert_true((peaks.macs_per_s[kind] > 0) == (narrow[kind] && narrow[kind]->peak));
    }
    ut_pool_destroy(compute.pool);
}

static void test_levels(void **state) {
    for (enum ut_cpu_level level = 0; level < UT_CPU_N_LEVELS; level++) {
        if (ut_cpu_level_supported(level)) {
            measure(level, 1 + (int)level % 2);
        }
    }
}

static void test_no_memory(void **state) {
    struct failing_allocator failing;
    utter_allocator allocator = failing_allocator_start(&failing);
    struct ut_mem mem;
    struct ut_compute compute = {.kernels = ut_kernels_get(ut_cpu_level_best())};
    struct ut_peaks peaks;
    ut_mem_init(&mem, &allocator);
    assert_int_equal(ut_pool_create(&mem, 1, &compute.pool, NULL), UTTER_OK);
    failing_allocator_reset(&failing, 1, false);
    assert_false(ut_peaks_measure(&compute, &mem, &peaks));
    if (compute.kernels->read_f32) {
        failing_allocator_reset(&failing, 2, false);
        assert_false(ut_peaks_measure(&compute, &mem, &peaks));
    }
    ut_pool_destroy(compute.pool);
    assert_int_equal(failing.n_blocks, 0);
    assert_false(failing.wrong_size);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
