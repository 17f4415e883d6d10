/* Which processor levels this machine has. Levels that this build does not contain count as absent. */
#include "kernels/cpu.h"

#include <pthread.h>
#include <string.h>

static const char *const level_names[UT_CPU_N_LEVELS] = {
    [UT_CPU_SCALAR] = "scalar",
    [UT_CPU_AVX2] = "avx2",
    [UT_CPU_AVX512] = "avx512",
    [UT_CPU_NEON] = "neon",
};

/* The processor does not change: written once, under the guard. */
static bool supported[UT_CPU_N_LEVELS];
static pthread_once_t supported_once = PTHREAD_ONCE_INIT;

static void detect(void) {
    supported[UT_CPU_SCALAR] = true;
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
