/* Narrowing to IEEE halves and bfloat16, by their bits: the same whatever the thread's rounding mode.
 * Widening: base/half_float.h. */
#ifndef UT_QUANT_HALF_H
#define UT_QUANT_HALF_H

#include <stdint.h>

/* To the nearest, ties to even. What is too large becomes infinite, from 65520 on for f16; a NaN
 * stays one, quiet, with the upper bits of its payload. */
uint16_t ut_f16_from_f32(float value);
uint16_t ut_bf16_from_f32(float value);

#endif
