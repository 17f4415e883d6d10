/* Blocks of quantized values (quant/block.h) as f32: n_blocks blocks at any address. The results
 * are those of the reference implementation in the Python package gguf, bit for bit. */
#ifndef UT_QUANT_DEQUANTIZE_H
#define UT_QUANT_DEQUANTIZE_H

#include <stddef.h>

/* dst holds n_blocks * UT_QK floats. */
void ut_dequantize_q4_0(const void *src, size_t n_blocks, float *dst);
void ut_dequantize_q4_1(const void *src, size_t n_blocks, float *dst);
void ut_dequantize_q5_0(const void *src, size_t n_blocks, float *dst);
void ut_dequantize_q5_1(const void *src, size_t n_blocks, float *dst);
void ut_dequantize_q8_0(const void *src, size_t n_blocks, float *dst);

/* dst holds n_blocks * UT_QK_K floats. */
void ut_dequantize_q2_k(const void *src, size_t n_blocks, float *dst);
void ut_dequantize_q3_k(const void *src, size_t n_blocks, float *dst);
void ut_dequantize_q4_k(const void *src, size_t n_blocks, float *dst);
void ut_dequantize_q5_k(const void *src, size_t n_blocks, float *dst);
void ut_dequantize_q6_k(const void *src, size_t n_blocks, float *dst);
void ut_dequantize_tq1_0(const void *src, size_t n_blocks, float *dst);
void ut_dequantize_tq2_0(const void *src, size_t n_blocks, float *dst);

#endif
