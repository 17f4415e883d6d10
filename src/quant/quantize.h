/* f32 into blocks (quant/block.h), each value to the nearest that its block can hold: what the
 * Python package gguf computes, bit for bit. No search for a better scale. */
#ifndef UT_QUANT_QUANTIZE_H
#define UT_QUANT_QUANTIZE_H

#include <stdbool.h>
#include <stddef.h>

/* n_blocks * UT_QK values. False when some are not finite, or so large that a block's scale or
 * minimum does not fit in a half: dst is filled, but must not be used. */
bool ut_quantize_q4_0(const float *src, size_t n_blocks, void *dst);
bool ut_quantize_q4_1(const float *src, size_t n_blocks, void *dst);
bool ut_quantize_q5_0(const float *src, size_t n_blocks, void *dst);
bool ut_quantize_q5_1(const float *src, size_t n_blocks, void *dst);
bool ut_quantize_q8_0(const float *src, size_t n_blocks, void *dst);

#endif
