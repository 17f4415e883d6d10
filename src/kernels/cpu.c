/* Which processor levels this machine has: CPUID for the instructions, XGETBV for the registers the
 * operating system saves (Intel SDM volume 1, chapters 13.3, 14.3 and 15.2); AArch64 always has
 * NEON. Levels that this build does not contain count as absent. */
#include "kernels/cpu.h"

#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include "ut_config.h"

#if UT_HAVE_X86
#include <cpuid.h>
#elif UT_HAVE_NEON
#include <sys/auxv.h>
#endif

static const char *const level_names[UT_CPU_N_LEVELS] = {
    [UT_CPU_SCALAR] = "scalar",
    [UT_CPU_AVX2] = "avx2",
    [UT_CPU_AVX512] = "avx512",
    [UT_CPU_NEON] = "neon",
};

/* The processor does not change: written once, under the guard. */
static bool supported[UT_CPU_N_LEVELS];
static struct ut_cpu_features features;
static pthread_once_t supported_once = PTHREAD_ONCE_INIT;

#if UT_HAVE_X86
/* The register sets that the operating system keeps for each thread; needs OSXSAVE. */
static uint64_t read_xcr0(void) {
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static void detect_x86(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) {
        return;
    }
    bool has_avx = c & bit_AVX, has_fma = c & bit_FMA, has_f16c = c & bit_F16C;
    uint64_t saved = read_xcr0();
    bool saves_ymm = (saved & 0x06) == 0x06, saves_zmm = (saved & 0xe6) == 0xe6;
    if (!has_avx || !has_fma || !has_f16c || !saves_ymm ||
        !__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        return;
    }
    unsigned avx512 = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    supported[UT_CPU_AVX2] = b & bit_AVX2;
    supported[UT_CPU_AVX512] = supported[UT_CPU_AVX2] && saves_zmm && (b & avx512) == avx512;
    features.avx512_vnni = supported[UT_CPU_AVX512] && c & bit_AVX512VNNI;
    if (a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) {
        features.avx_vnni = supported[UT_CPU_AVX2] && a & bit_AVXVNNI;
        features.avx512_bf16 = supported[UT_CPU_AVX512] && a & bit_AVX512BF16;
    }
}
#endif

static void detect(void) {
    supported[UT_CPU_SCALAR] = true;
#if UT_HAVE_X86
    detect_x86();
#endif
#if UT_HAVE_NEON
    features.dot_product = getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
#endif
    supported[UT_CPU_NEON] = UT_HAVE_NEON; /* part of AArch64, as Linux defines it */
}

const struct ut_cpu_features *ut_cpu_features(void) {
    pthread_once(&supported_once, detect);
    return &features;
}

const char *ut_cpu_level_name(enum ut_cpu_level level) {
    return level_names[level];
}

bool ut_cpu_level_parse(const char *name, enum ut_cpu_level *out) {
    for (int level = 0; level < UT_CPU_N_LEVELS; level++) {
        if (strcmp(name, level_names[level]) == 0) {
            *out = (enum ut_cpu_level)level;
            return true;
        }
    }
    return false;
}

bool ut_cpu_level_supported(enum ut_cpu_level level) {
    pthread_once(&supported_once, detect);
    return level < UT_CPU_N_LEVELS && supported[level];
}

enum ut_cpu_level ut_cpu_level_best(void) {
    enum ut_cpu_level best = UT_CPU_SCALAR;
    for (int level = 0; level < UT_CPU_N_LEVELS; level++) {
        if (ut_cpu_level_supported((enum ut_cpu_level)level)) {
            best = (enum ut_cpu_level)level;
        }
    }
    return best;
}
