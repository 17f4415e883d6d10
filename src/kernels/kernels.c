/* Fills the tables of kernels.h: scalar first, then each level over the one below, so that an entry
 * a level lacks is the next lower one's. */
#include "kernels/kernels.h"

#include <pthread.h>

#include "kernels/levels.h"
#include "ut_config.h"

/* Written once, under the guard; every reader comes through it. */
static struct ut_kernels tables[UT_CPU_N_LEVELS];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static int narrow_i8(enum ut_cpu_level level, const struct ut_narrow **kinds) {
    int n = 0;
#if UT_HAVE_X86
    if (level == UT_CPU_AVX512) {
        if (ut_cpu_features()->avx512_vnni) {
            kinds[n++] = &ut_kernels_i8_avx512_vnni;
        }
        kinds[n++] = &ut_kernels_i8_avx512;
    } else if (level == UT_CPU_AVX2) {
        if (ut_cpu_features()->avx_vnni) {
            kinds[n++] = &ut_kernels_i8_avx2_vnni;
        }
        kinds[n++] = &ut_kernels_i8_avx2;
    }
#elif UT_HAVE_NEON
    if (level == UT_CPU_NEON) {
        if (ut_cpu_features()->dot_product) {
            kinds[n++] = &ut_kernels_i8_neon_dot;
        }
        kinds[n++] = &ut_kernels_i8_neon;
    }
#endif
    if (level == UT_CPU_SCALAR) {
        kinds[n++] = &ut_kernels_i8_scalar;
    }
    return n;
}

static int narrow_b16(enum ut_cpu_level level, const struct ut_narrow **kinds) {
    int n = 0;
#if UT_HAVE_X86
    if (level == UT_CPU_AVX512) {
        if (ut_cpu_features()->avx512_bf16) {
            kinds[n++] = &ut_kernels_b16_avx512_dot;
        }
        kinds[n++] = &ut_kernels_b16_avx512;
    } else if (level == UT_CPU_AVX2) {
        kinds[n++] = &ut_kernels_b16_avx2;
    }
#elif UT_HAVE_NEON
    if (level == UT_CPU_NEON) {
        kinds[n++] = &ut_kernels_b16_neon;
    }
#endif
    if (level == UT_CPU_SCALAR) {
        kinds[n++] = &ut_kernels_b16_scalar;
    }
    return n;
}

int ut_kernels_narrow_kinds(enum ut_cpu_level level, bool is_float,
                            const struct ut_narrow **kinds) {
    return is_float ? narrow_b16(level, kinds) : narrow_i8(level, kinds);
}

static void fill_narrow(enum ut_cpu_level level) {
    const struct ut_narrow *kinds[UT_KERNELS_MAX_NARROW];
    if (ut_kernels_narrow_kinds(level, false, kinds) > 0) {
        tables[level].i8 = kinds[0];
    }
    if (ut_kernels_narrow_kinds(level, true, kinds) > 0) {
        tables[level].b16 = kinds[0];
    }
}

#if UT_HAVE_X86 || UT_HAVE_NEON
static void fill_level(enum ut_cpu_level level, enum ut_cpu_level below,
                       void (*fill_conv)(struct ut_kernels *table),
                       void (*fill_elementwise)(struct ut_kernels *table)) {
    if (ut_cpu_level_supported(level)) {
        tables[level] = tables[below];
        tables[level].level = level;
        fill_conv(&tables[level]);
        fill_elementwise(&tables[level]);
        fill_narrow(level);
    }
}
#endif

static void fill_tables(void) {
    tables[UT_CPU_SCALAR].level = UT_CPU_SCALAR;
    ut_kernels_fill_scalar(&tables[UT_CPU_SCALAR]);
    fill_narrow(UT_CPU_SCALAR);
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
