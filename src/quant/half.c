/* Narrowing to 16-bit floats. */
#include "quant/half.h"

#include <string.h>

/* bits / 2^shift to the nearest, ties to even; shift is 1 to 31. */
static uint32_t round_shift(uint32_t bits, unsigned shift) {
    uint32_t below_half = (1u << (shift - 1)) - 1, is_odd = bits >> shift & 1;
    return (bits + below_half + is_odd) >> shift;
}

/* By the magnitude's bits, which order floats like the numbers they are. In a normal half the
 * exponent's bias falls from 127 to 15 (less 112); a subnormal one is shifted by as much as its
 * exponent lacks. */
uint16_t ut_f16_from_f32(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7FFFFFFF, half;
    if (magnitude > 0x7F800000) {
        half = 0x7E00 | (magnitude >> 13 & 0x3FF);
    } else if (magnitude >=
               0x477FF000) { /* 65520: halfway from the largest half to what would follow */
        half = 0x7C00;
    } else if (magnitude >= 0x38800000) { /* 2^-14, the smallest normal half */
        half = round_shift(magnitude - (112u << 23),
                           13);           /* a carry ends in the exponent, as it should */
    } else if (magnitude >= 0x33000000) { /* 2^-25, half of the smallest subnormal half */
        half = round_shift((magnitude & 0x7FFFFF) | 0x800000, 126 - (magnitude >> 23));
    } else {
        half = 0;
    }
    return (uint16_t)(sign | half);
}

/* The upper 16 bits, rounded. A NaN is cut instead: rounding could carry it over to infinity or
 * -0. */
uint16_t ut_bf16_from_f32(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7FFFFFFF) > 0x7F800000) {
        return (uint16_t)(bits >> 16 | 0x40);
    }
    return (uint16_t)round_shift(bits, 16);
}
