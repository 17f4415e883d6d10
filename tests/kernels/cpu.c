/* Processor levels: names, and what the tables promise about the ones this machine has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/kernels.h"

static void test_names_parse_back(void **state) {
    for (int level = 0; level < UT_CPU_N_LEVELS; level++) {
        enum ut_cpu_level parsed = UT_CPU_N_LEVELS;
        assert_true(ut_cpu_level_parse(ut_cpu_level_name((enum ut_cpu_level)level), &parsed));
        assert_int_equal(parsed, level);
    }
}

static void test_unknown_names(void **state) {
    static const char *const names[] = {"", "AVX2", "avx", "avx2 ", "sse"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        enum ut_cpu_level parsed = UT_CPU_N_LEVELS;
        assert_false(ut_cpu_level_parse(names[i], &parsed));
        assert_int_equal(parsed, UT_CPU_N_LEVELS);
    }
}

static void test_tables_follow_support(void **state) {
    assert_true(ut_cpu_level_supported(UT_CPU_SCALAR));
    assert_false(ut_cpu_level_supported(UT_CPU_N_LEVELS));
    for (int i = 0; i < UT_CPU_N_LEVELS; i++) {
        enum ut_cpu_level level = (enum ut_cpu_level)i;
        const struct ut_kernels *table = ut_kernels_get(level);
        assert_int_equal(table != NULL, ut_cpu_level_supported(level));
        assert_true(!table || table->level == level);
    }
    assert_non_null(ut_kernels_get(ut_cpu_level_best()));
}

/* A machine with the wider level has the narrower one. */
static void test_avx512_implies_avx2(void **state) {
    assert_true(!ut_cpu_level_supported(UT_CPU_AVX512) || ut_cpu_level_supported(UT_CPU_AVX2));
    assert_true(!ut_cpu_level_supported(UT_CPU_AVX512) || ut_cpu_level_best() == UT_CPU_AVX512);
}

static void test_aarch64_has_neon(void **state) {
#ifdef __aarch64__
    assert_int_equal(ut_cpu_level_best(), UT_CPU_NEON);
#else
    assert_false(ut_cpu_level_supported(UT_CPU_NEON));
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_parse_back),      cmocka_unit_test(test_unknown_names),
        cmocka_unit_test(test_tables_follow_support), cmocka_unit_test(test_avx512_implies_avx2),
        cmocka_unit_test(test_aarch64_has_neon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
