/* Blocks of quantized values as GGUF files hold them (ggml's block_q4_0 and so on). Only bytes, so
 * that a block may lie anywhere. `d` and `dmin` are IEEE halves; q stands for an element's stored
 * integer. Elements that share a byte lie half a block, 32 or more apart, never side by side. */
#ifndef UT_QUANT_BLOCK_H
#define UT_QUANT_BLOCK_H

#include <stdint.h>

enum { UT_QK = 32, UT_QK_K = 256 }; /* elements of the small blocks and of all others */

/* Small blocks: element i < 16 is the low nibble of qs[i], element 16 + i the high one. */
struct ut_block_q4_0 { /* d * (q - 8) */
    uint8_t d[2], qs[16];
};

struct ut_block_q4_1 { /* d * q + m */
    uint8_t d[2], m[2], qs[16];
};

struct ut_block_q5_0 { /* d * (q - 16); bit i of qh is bit 4 of element i */
    uint8_t d[2], qh[4], qs[16];
};

struct ut_block_q5_1 { /* d * q + m */
    uint8_t d[2], m[2], qh[4], qs[16];
};

struct ut_block_q8_0 { /* d * q */
    uint8_t d[2];
    int8_t qs[32];
};

struct ut_block_q2_k { /* d * scale * q - dmin * min; 16 elements share low (scale) and high nibble
                          (min) */
    uint8_t scales[16], qs[64], d[2], dmin[2];
};

struct ut_block_q3_k { /* d * (scale - 32) * (q - 4); scales of 6 bits for 16 elements, bit 2 of q
                          in hmask */
    uint8_t hmask[32], qs[64], scales[12], d[2];
};

struct ut_block_q4_k { /* d * scale * q - dmin * min; both of 6 bits, for 32 elements */
    uint8_t d[2], dmin[2], scales[12], qs[128];
};

struct ut_block_q5_k { /* the same with bit 4 of q in qh */
    uint8_t d[2], dmin[2], scales[12], qh[32], qs[128];
};

struct ut_block_q6_k { /* d * scale * (q - 32); low nibbles in ql, upper two bits in qh */
    uint8_t ql[128], qh[64];
    int8_t scales[16];
    uint8_t d[2];
};

struct ut_block_tq1_0 { /* d * (-1, 0 or 1): five (qs) or four (qh) base-3 digits to a byte */
    uint8_t qs[48], qh[4], d[2];
};

struct ut_block_tq2_0 { /* d * (-1, 0 or 1), two bits each */
    uint8_t qs[64], d[2];
};

#endif
