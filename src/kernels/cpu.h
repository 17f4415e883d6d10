/* Processor levels and which of them this machine has. */
#ifndef UT_KERNELS_CPU_H
#define UT_KERNELS_CPU_H

#include <stdbool.h>

enum ut_cpu_level {
    UT_CPU_SCALAR,
    UT_CPU_AVX2,   /* AVX2, FMA, F16C */
    UT_CPU_AVX512, /* F, BW, DQ, VL (Skylake server and later, Zen 4) */
    UT_CPU_NEON,   /* AArch64 */
    UT_CPU_N_LEVELS
};

/* Instructions for narrow arithmetic that only some processors of a level have. */
struct ut_cpu_features {
    bool avx_vnni;    /* of level avx2 */
    bool avx512_vnni; /* of level avx512 */
    bool avx512_bf16;
    bool dot_product; /* SDOT, of level neon */
};

const struct ut_cpu_features *ut_cpu_features(void);

const char *ut_cpu_level_name(enum ut_cpu_level level); /* "avx2" */
/* False for an unknown name. */
bool ut_cpu_level_parse(const char *name, enum ut_cpu_level *out);
/* Processor and operating system both support it and this build contains it. */
bool ut_cpu_level_supported(enum ut_cpu_level level);
enum ut_cpu_level ut_cpu_level_best(void);

#endif
