/* Philox 4x32-10 and Box-Muller; see rng.h. */
#include "compute/rng.h"

#include <math.h>

/* The counter is (block, stream), the key the seed; constants and rounds as published. */
void ut_rng_block(uint64_t seed, uint32_t stream, uint64_t block, uint32_t out[4]) {
    uint32_t c0 = (uint32_t)block, c1 = (uint32_t)(block >> 32), c2 = stream, c3 = 0;
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* Two normal values from two words. The first is mapped to (0, 1], so that the logarithm exists. */
static void box_muller(uint32_t a, uint32_t b, float out[2]) {
    double u = ((double)a + 1.0) * 0x1p-32, angle = (double)b * (0x1p-32 * 6.283185307179586);
    double radius = sqrt(-2.0 * log(u));
    out[0] = (float)(radius * cos(angle));
    out[1] = (float)(radius * sin(angle));
}

/* In double, rounded at the end. A block gives four values and is made once for those in a row. */
void ut_rng_normal(uint64_t seed, uint32_t stream, uint64_t first, float *dst, size_t n) {
    float values[4];
    uint64_t held = UINT64_MAX;
    for (size_t i = 0; i < n; i++) {
        uint64_t index = first + i;
        if (index / 4 != held) {
            uint32_t words[4];
            held = index / 4;
            ut_rng_block(seed, stream, held, words);
            box_muller(words[0], words[1], values);
            box_muller(words[2], words[3], values + 2);
        }
        dst[i] = values[index % 4];
    }
}

/* A stream of its own, so that seeds and noise never use the same words. */
uint64_t ut_rng_derive(uint64_t seed, uint64_t index) {
    uint32_t words[4];
    ut_rng_block(seed, 0x75747472u, index, words);
    return (uint64_t)words[0] << 32 | words[1];
}
