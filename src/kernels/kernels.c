/* Fills the tables of kernels.h: scalar first, then each level over the one below, so that an entry a
 * level lacks is the next lower one's. */
#include "kernels/kernels.h"

#include <pthread.h>

#include "kernels/levels.h"

/* Written once, under the guard; every reader comes through it. */
static struct ut_kernels tables[UT_CPU_N_LEVELS];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void fill_tables(void) {
    tables[UT_CPU_SCALAR].level = UT_CPU_SCALAR;
    ut_kernels_fill_scalar(&tables[UT_CPU_SCALAR]);
}

const struct ut_kernels *ut_kernels_get(enum ut_cpu_level level) {
    if (!ut_cpu_level_supported(level)) {
        return NULL;
    }
    pthread_once(&tables_once, fill_tables);
    return &tables[level];
}
