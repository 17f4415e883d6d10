/* What a level can do at most, without a model: fused multiply-adds of independent chains in
 * registers, and reading memory. Loops to time, in the tables beside the entries that they are the
 * bounds of. The including file has included its vec_*.h. */
#ifndef UT_KERNELS_PEAK_TEMPLATE_H
#define UT_KERNELS_PEAK_TEMPLATE_H

#include <stddef.h>

#include "kernels/unroll.h"

static double peak_f32(long n) {
    enum { N_CHAINS = 12 }; /* more than latency (4) x units (2) */
    v_float chain[N_CHAINS], factor = v_set(0.999f), term = v_set(0.1f);
    UNROLL_ALL
    for (int i = 0; i < N_CHAINS; i++) {
        chain[i] = v_set((float)i);
    }
    for (long round = 0; round < n; round++) {
        UNROLL_ALL
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

static float read_f32(const float *x, size_t n) {
    enum { N_CHAINS = 8 };
    v_float sums[N_CHAINS];
    UNROLL_ALL
    for (int i = 0; i < N_CHAINS; i++) {
        sums[i] = v_set(0);
    }
    size_t done = 0;
    for (; done + N_CHAINS * V_WIDTH <= n; done += N_CHAINS * V_WIDTH) {
        UNROLL_ALL
        for (int i = 0; i < N_CHAINS; i++) {
            sums[i] = v_add(sums[i], v_load(x + done + (size_t)i * V_WIDTH));
        }
    }
    v_float sum = sums[0];
    for (int i = 1; i < N_CHAINS; i++) {
        sum = v_add(sum, sums[i]);
    }
    float rest = v_sum(sum);
    for (; done < n; done++) {
        rest += x[done];
    }
    return rest;
}

#endif
