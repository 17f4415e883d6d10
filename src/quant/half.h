/* IEEE halves and bfloat16, by their bits: the same whatever the thread's rounding mode and also
 * where it flushes subnormal numbers to zero. */
#ifndef UT_QUANT_HALF_H
#define UT_QUANT_HALF_H

#include <stdint.h>
#include <string.h>

/* To the nearest, ties to even. What is too large becomes infinite, from 65520 on for f16; a NaN
 * stays one, quiet, with the upper bits of its payload. */
uint16_t ut_f16_from_f32(float value);
uint16_t ut_bf16_from_f32(float value);

static inline float ut_f32_from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline float ut_f32_from_bf16(uint16_t half) {
    return ut_f32_from_bits((uint32_t)half << 16);
}

/* Exact. A subnormal half is the mantissa of a number between 2^-14 and 2^-13 whose leading one is
 * taken off again: so no subnormal float comes into it. Infinities and NaN stay what they are. */
static inline float ut_f32_from_f16(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, magnitude = (uint32_t)(half & 0x7FFF) << 13;
    uint32_t exponent = half & 0x7C00;
    if (exponent == 0) {
        const uint32_t two_to_minus_14 = 113u << 23;
        float value =
            ut_f32_from_bits(two_to_minus_14 | magnitude) - ut_f32_from_bits(two_to_minus_14);
        return sign ? -value : value;
    }
    uint32_t rebias = exponent == 0x7C00 ? 224u << 23 : 112u << 23;
    return ut_f32_from_bits(sign | (magnitude + rebias));
}

#endif
