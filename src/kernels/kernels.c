/* Fills the tables of kernels.h: scalar first, then each level over the one below, so that an entry
 * a level lacks is the next lower one's. */
#include "kernels/kernels.h"

#include <pthread.h>

#include "kernels/levels.h"
#include "ut_config.h"

/* Written once, under the guard; every reader comes through it. */
static struct ut_kernels tables[UT_CPU_N_LEVELS];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

#if UT_HAVE_X86 || UT_HAVE_NEON
static void fill_level(enum ut_cpu_level level, enum ut_cpu_level below,
                       void (*fill_conv)(struct ut_kernels *table),
                       void (*fill_elementwise)(struct ut_kernels *table)) {
    if (ut_cpu_level_supported(level)) {
        tables[level] = tables[below];
        tables[level].level = level;
        fill_conv(&tables[level]);
        fill_elementwise(&tables[level]);
    }
}
#endif

static void fill_tables(void) {
    tables[UT_CPU_SCALAR].level = UT_CPU_SCALAR;
    ut_kernels_fill_scalar(&tables[UT_CPU_SCALAR]);
#if UT_HAVE_X86
    fill_level(UT_CPU_AVX2, UT_CPU_SCALAR, ut_kernels_fill_conv_avx2,
               ut_kernels_fill_elementwise_avx2);
    fill_level(UT_CPU_AVX512, UT_CPU_AVX2, ut_kernels_fill_conv_avx512,
               ut_kernels_fill_elementwise_avx512);
#endif
#if UT_HAVE_NEON
    fill_level(UT_CPU_NEON, UT_CPU_SCALAR, ut_kernels_fill_conv_neon,
               ut_kernels_fill_elementwise_neon);
#endif
}

const struct ut_kernels *ut_kernels_get(enum ut_cpu_level level) {
    if (!ut_cpu_level_supported(level)) {
        return NULL;
    }
    pthread_once(&tables_once, fill_tables);
    return &tables[level];
}
