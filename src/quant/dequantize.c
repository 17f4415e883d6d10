/* Plain loops over the layouts of quant/block.h, which say what is computed; products and sums are
 * rounded in the order of the reference. */
#include "quant/dequantize.h"

#include <string.h>

#include "base/half_float.h"
#include "quant/block.h"

static float half_at(const uint8_t *bytes) {
    uint16_t half;
    memcpy(&half, bytes, sizeof half);
    return ut_float_from_f16(half);
}

/* ---- Small blocks --------------------------------------------------------------------------- */

static int nibble(const uint8_t *qs, int i) {
    return i < UT_QK / 2 ? qs[i] & 15 : qs[i - UT_QK / 2] >> 4;
}

/* Bit i of four bytes, as bit 4. */
static int fifth_bit(const uint8_t *qh, int i) {
    return (qh[i / 8] >> i % 8 & 1) << 4;
}

void ut_dequantize_q4_0(const void *src, size_t n_blocks, float *dst) {
    const struct ut_block_q4_0 *b = src;
    for (; n_blocks > 0; n_blocks--, b++, dst += UT_QK) {
        float d = half_at(b->d);
        for (int i = 0; i < UT_QK; i++) {
            dst[i] = d * (float)(nibble(b->qs, i) - 8);
        }
    }
}

void ut_dequantize_q4_1(const void *src, size_t n_blocks, float *dst) {
    const struct ut_block_q4_1 *b = src;
    for (; n_blocks > 0; n_blocks--, b++, dst += UT_QK) {
        float d = half_at(b->d), m = half_at(b->m);
        for (int i = 0; i < UT_QK; i++) {
            dst[i] = d * (float)nibble(b->qs, i) + m;
        }
    }
}

void ut_dequantize_q5_0(const void *src, size_t n_blocks, float *dst) {
    const struct ut_block_q5_0 *b = src;
    for (; n_blocks > 0; n_blocks--, b++, dst += UT_QK) {
        float d = half_at(b->d);
        for (int i = 0; i < UT_QK; i++) {
            dst[i] = d * (float)((nibble(b->qs, i) | fifth_bit(b->qh, i)) - 16);
        }
    }
}

void ut_dequantize_q5_1(const void *src, size_t n_blocks, float *dst) {
    const struct ut_block_q5_1 *b = src;
    for (; n_blocks > 0; n_blocks--, b++, dst += UT_QK) {
        float d = half_at(b->d), m = half_at(b->m);
        for (int i = 0; i < UT_QK; i++) {
            dst[i] = d * (float)(nibble(b->qs, i) | fifth_bit(b->qh, i)) + m;
        }
    }
}

void ut_dequantize_q8_0(const void *src, size_t n_blocks, float *dst) {
    const struct ut_block_q8_0 *b = src;
    for (; n_blocks > 0; n_blocks--, b++, dst += UT_QK) {
        float d = half_at(b->d);
        for (int i = 0; i < UT_QK; i++) {
            dst[i] = d * (float)b->qs[i];
        }
    }
}

/* ---- Blocks of 256 -------------------------------------------------------------------------- */

/* Two bits: 32 bytes hold 128 elements, those 32 apart in one byte. */
static int two_bits(const uint8_t *qs, int i) {
    return qs[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
}

/* Four bits: `run` bytes hold 2 * run elements, those `run` apart in one byte. */
static int four_bits(const uint8_t *qs, int i, int run) {
    return qs[i / (2 * run) * run + i % run] >> (i / run % 2 * 4) & 15;
}

void ut_dequantize_q2_k(const void *src, size_t n_blocks, float *dst) {
    const struct ut_block_q2_k *b = src;
    for (; n_blocks > 0; n_blocks--, b++, dst += UT_QK_K) {
        float d = half_at(b->d), dmin = half_at(b->dmin);
        for (int i = 0; i < UT_QK_K; i++) {
            float scale = d * (float)(b->scales[i / 16] & 15);
            float min = dmin * (float)(b->scales[i / 16] >> 4);
            dst[i] = scale * (float)two_bits(b->qs, i) - min;
        }
    }
}

/* Scale k of 16: its low nibble in the first eight bytes, its upper two bits in the last four. */
static int q3_scale(const uint8_t *scales, int k) {
    int low = scales[k % 8] >> (k / 8 * 4) & 15, high = scales[8 + k % 4] >> (k / 4 * 2) & 3;
    return (low | high << 4) - 32;
}

void ut_dequantize_q3_k(const void *src, size_t n_blocks, float *dst) {
    const struct ut_block_q3_k *b = src;
    for (; n_blocks > 0; n_blocks--, b++, dst += UT_QK_K) {
        float d = half_at(b->d);
        for (int i = 0; i < UT_QK_K; i++) {
            float scale = d * (float)q3_scale(b->scales, i / 16);
            int high = b->hmask[i % 32] >> i / 32 & 1;
            dst[i] = scale * (float)((two_bits(b->qs, i) | high << 2) - 4);
        }
    }
}

/* Scale and minimum k of 8, of six bits each: the first four in the lower bits of bytes 0 to 3 and
 * 4 to 7, the others with their nibbles in bytes 8 to 11 and what is above in the bits that were
 * left. */
static void q4_scale(const uint8_t *scales, int k, int *scale, int *min) {
    if (k < 4) {
        *scale = scales[k] & 63;
        *min = scales[k + 4] & 63;
    } else {
        *scale = (scales[k + 4] & 15) | (scales[k - 4] >> 6) << 4;
        *min = scales[k + 4] >> 4 | (scales[k] >> 6) << 4;
    }
}

void ut_dequantize_q4_k(const void *src, size_t n_blocks, float *dst) {
    const struct ut_block_q4_k *b = src;
    for (; n_blocks > 0; n_blocks--, b++, dst += UT_QK_K) {
        float d = half_at(b->d), dmin = half_at(b->dmin);
        for (int i = 0; i < UT_QK_K; i++) {
            int scale, min;
            q4_scale(b->scales, i / 32, &scale, &min);
            dst[i] = d * (float)scale * (float)four_bits(b->qs, i, 32) - dmin * (float)min;
        }
    }
}

void ut_dequantize_q5_k(const void *src, size_t n_blocks, float *dst) {
    const struct ut_block_q5_k *b = src;
    for (; n_blocks > 0; n_blocks--, b++, dst += UT_QK_K) {
        float d = half_at(b->d), dmin = half_at(b->dmin);
        for (int i = 0; i < UT_QK_K; i++) {
            int scale, min, high = b->qh[i % 32] >> i / 32 & 1;
            q4_scale(b->scales, i / 32, &scale, &min);
            dst[i] =
                d * (float)scale * (float)(four_bits(b->qs, i, 32) | high << 4) - dmin * (float)min;
        }
    }
}

void ut_dequantize_q6_k(const void *src, size_t n_blocks, float *dst) {
    const struct ut_block_q6_k *b = src;
    for (; n_blocks > 0; n_blocks--, b++, dst += UT_QK_K) {
        float d = half_at(b->d);
        for (int i = 0; i < UT_QK_K; i++) {
            int q = (four_bits(b->ql, i, 64) | two_bits(b->qh, i) << 4) - 32;
            dst[i] = d * (float)b->scales[i / 16] * (float)q;
        }
    }
}

/* ---- Three values --------------------------------------------------------------------------- */

/* Digit k, from the first, of a byte that holds a fraction in base 3, rounded up to 1/256: it is
 * shifted to the front, wrapping, and is what a multiplication by 3 carries. */
static int digit(uint8_t byte, int k) {
    static const uint8_t powers[] = {1, 3, 9, 27, 81};
    return (uint8_t)(byte * powers[k]) * 3 >> 8;
}

void ut_dequantize_tq1_0(const void *src, size_t n_blocks, float *dst) {
    const struct ut_block_tq1_0 *b = src;
    for (; n_blocks > 0; n_blocks--, b++, dst += UT_QK_K) {
        float d = half_at(b->d);
        for (int i = 0; i < UT_QK_K; i++) {
            int q = i < 160   ? digit(b->qs[i % 32], i / 32)
                    : i < 240 ? digit(b->qs[32 + i % 16], (i - 160) / 16)
                              : digit(b->qh[i % 4], (i - 240) / 4);
            dst[i] = d * (float)(q - 1);
        }
    }
}

void ut_dequantize_tq2_0(const void *src, size_t n_blocks, float *dst) {
    const struct ut_block_tq2_0 *b = src;
    for (; n_blocks > 0; n_blocks--, b++, dst += UT_QK_K) {
        float d = half_at(b->d);
        for (int i = 0; i < UT_QK_K; i++) {
            dst[i] = d * (float)(two_bits(b->qs, i) - 1);
        }
    }
}
