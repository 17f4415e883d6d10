/* The machine's rate of fused multiply-adds at one level: chains in registers, no memory. The
 * including file has included its vec_*.h and defined PEAK_LOOP, the function's name. */
#include "checkkernels.h"

double PEAK_LOOP(long n) {
    enum { N_CHAINS = 12 }; /* more than latency (4) x units (2) */
    v_float chain[N_CHAINS], factor = v_set(0.999f), term = v_set(0.1f);
#pragma GCC unroll 16
    for (int i = 0; i < N_CHAINS; i++) {
        chain[i] = v_set((float)i);
    }
    for (long round = 0; round < n; round++) {
#pragma GCC unroll 16
        for (int i = 0; i < N_CHAINS; i++) {
            chain[i] = v_fma(chain[i], factor, term);
        }
    }
    v_float sum = chain[0];
    for (int i = 1; i < N_CHAINS; i++) {
        sum = v_add(sum, chain[i]);
    }
    volatile float used = v_sum(sum); /* so that the loop is not optimised away */
    (void)used;
    return (double)n * N_CHAINS * V_WIDTH;
}
