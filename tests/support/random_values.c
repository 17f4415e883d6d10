/* See random_values.h. */
#include "support/random_values.h"

static uint64_t mix(uint64_t x) { /* splitmix64 */
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* The sum of four uniform numbers, scaled to mean 0 and variance 1. */
static float normal(uint64_t bits) {
    float sum = 0;
    for (int i = 0; i < 4; i++) {
        sum += (float)((bits >> (16 * i)) & 0xffff) / 65536.0f;
    }
    return (sum - 2.0f) * 1.7320508f;
}

void random_normal(const char *name, uint64_t seed, float mean, float deviation, float *out,
                   size_t n) {
    uint64_t stream = seed;
    for (const char *c = name; *c; c++) {
        stream = mix(stream ^ (uint64_t)(unsigned char)*c);
    }
    for (size_t i = 0; i < n; i++) {
        out[i] = mean + deviation * normal(mix(stream + i));
    }
}
