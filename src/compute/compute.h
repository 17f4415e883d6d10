/* Operations on whole activations: they split rows over the thread pool and call kernels. Results are
 * bit-identical for any number of threads. */
#ifndef UT_COMPUTE_COMPUTE_H
#define UT_COMPUTE_COMPUTE_H

#include "base/mem.h"
#include "compute/arena.h"
#include "compute/pool.h"
#include "kernels/kernels.h"
#include "weights/weights.h"

struct ut_compute {
    const struct ut_kernels *kernels;
    struct ut_pool *pool;
};

/* Weights of a convolution or linear layer in the panel order of one processor level. */
struct ut_layer {
    void *panels;  /* f32, f16 or bf16 by type */
    float *bias;   /* padded to a multiple of the panel; never NULL */
    enum ut_dtype type;
    int n_out, n_in, n_taps;
};

#endif
