/* Widening of the 16-bit storage types to float: exact, subnormals included. A NaN stays one with
 * its payload; the f16 one comes out quiet, as from the processors' own instruction. Also where the
 * thread flushes subnormal numbers to zero: none comes into it. Narrowing: quant/half.h. */
#ifndef UT_BASE_HALF_FLOAT_H
#define UT_BASE_HALF_FLOAT_H

#include <stdint.h>
#include <string.h>

static inline float ut_float_from_bits(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* The upper half of a float. */
static inline float ut_float_from_bf16(uint16_t h) {
    return ut_float_from_bits((uint32_t)h << 16);
}

/* IEEE 754 binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits. */
static inline float ut_float_from_f16(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & 1023;
    if (exponent == 0) { /* zero and subnormals: fraction * 2^-24, which float holds exactly */
        float f = (float)fraction * 0x1p-24f;
        return sign ? -f : f;
    }
    if (exponent == 31) {
        uint32_t quiet = fraction ? 0x400000 : 0;
        return ut_float_from_bits(sign | 0x7f800000 | quiet | fraction << 13);
    }
    return ut_float_from_bits(sign | (exponent + 127 - 15) << 23 | fraction << 13);
}

#endif
