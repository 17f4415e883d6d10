/* Random numbers by counter: the value at an index depends on (seed, stream, index) alone, so noise is
 * the same whatever order, tile or thread asks for it. Philox 4x32-10 (Salmon et al., "Parallel random
 * numbers: as easy as 1, 2, 3", 2011) with the Box-Muller transform. */
#ifndef UT_COMPUTE_RNG_H
#define UT_COMPUTE_RNG_H

#include <stddef.h>
#include <stdint.h>

/* Standard normal values number first .. first + n - 1 of a stream; |value| < 6.7. */
void ut_rng_normal(uint64_t seed, uint32_t stream, uint64_t first, float *dst, size_t n);

/* Four words of the generator. */
void ut_rng_block(uint64_t seed, uint32_t stream, uint64_t block, uint32_t out[4]);

/* A seed for part `index` of something seeded with `seed`. */
uint64_t ut_rng_derive(uint64_t seed, uint64_t index);

#endif
