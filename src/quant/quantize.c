/* Each block gets its scale from its extremes; the integers come from the f32 scale, not from the
 * half that is stored, as in the reference. */
#include "quant/quantize.h"

#include <math.h>
#include <string.h>

#include "quant/block.h"
#include "quant/half.h"

/* Stores a half; false when it is not finite. */
static bool put_half(float value, uint8_t *out) {
    uint16_t half = ut_f16_from_f32(value);
    memcpy(out, &half, sizeof half);
    return (half & 0x7C00) != 0x7C00;
}

/* 1 / d; 0 when d is so small that it would not be finite: such a d is stored as 0 anyway. */
static float inverse(float d) {
    float id = 1.0f / d;
    return isfinite(id) ? id : 0.0f;
}

static bool all_finite(const float *src) {
    bool finite = true;
    for (int i = 0; i < UT_QK; i++) {
        finite &= isfinite(src[i]) != 0;
    }
    return finite;
}

/* The first of the values farthest from 0. */
static float extreme(const float *src) {
    float found = src[0];
    for (int i = 1; i < UT_QK; i++) {
        found = fabsf(src[i]) > fabsf(found) ? src[i] : found;
    }
    return found;
}

static void range(const float *src, float *min, float *max) {
    *min = *max = src[0];
    for (int i = 1; i < UT_QK; i++) {
        *min = src[i] < *min ? src[i] : *min;
        *max = src[i] > *max ? src[i] : *max;
    }
}

/* value, rounded by the caller's 0.5, as an integer of 0 to largest. */
static uint8_t truncate_to(float value, int largest) {
    return value > (float)largest ? (uint8_t)largest : value > 0 ? (uint8_t)value : 0;
}

/* Nibbles of a block; bit 4 of each, if there is one, into qh. */
static void put_nibbles(const uint8_t *q, uint8_t *qs, uint8_t *qh) {
    for (int i = 0; i < UT_QK / 2; i++) {
        qs[i] = (uint8_t)((q[i] & 15) | (q[i + UT_QK / 2] & 15) << 4);
    }
    if (qh) {
        memset(qh, 0, UT_QK / 8);
        for (int i = 0; i < UT_QK; i++) {
            qh[i / 8] |= (uint8_t)((q[i] >> 4) << i % 8);
        }
    }
}

/* n_levels values around zero, of which the extreme takes the lowest. Returns the scale. */
static float quantize_symmetric(const float *src, int n_levels, uint8_t *q) {
    float middle = (float)(n_levels / 2), d = extreme(src) / -middle, id = inverse(d);
    for (int i = 0; i < UT_QK; i++) {
        q[i] = truncate_to(src[i] * id + (middle + 0.5f), n_levels - 1);
    }
    return d;
}

/* n_levels values from the smallest to the largest. Returns the scale. */
static float quantize_range(const float *src, int n_levels, uint8_t *q, float *min) {
    float max;
    range(src, min, &max);
    float d = (max - *min) / (float)(n_levels - 1), id = inverse(d);
    for (int i = 0; i < UT_QK; i++) {
        q[i] = truncate_to((src[i] - *min) * id + 0.5f, n_levels - 1);
    }
    return d;
}

bool ut_quantize_q4_0(const float *src, size_t n_blocks, void *dst) {
    struct ut_block_q4_0 *b = dst;
    bool fits = true;
    for (; n_blocks > 0; n_blocks--, b++, src += UT_QK) {
        uint8_t q[UT_QK];
        fits &= all_finite(src);
        fits &= put_half(quantize_symmetric(src, 16, q), b->d);
        put_nibbles(q, b->qs, NULL);
    }
    return fits;
}

bool ut_quantize_q4_1(const float *src, size_t n_blocks, void *dst) {
    struct ut_block_q4_1 *b = dst;
    bool fits = true;
    for (; n_blocks > 0; n_blocks--, b++, src += UT_QK) {
        uint8_t q[UT_QK];
        float min;
        fits &= all_finite(src);
        fits &= put_half(quantize_range(src, 16, q, &min), b->d);
        fits &= put_half(min, b->m);
        put_nibbles(q, b->qs, NULL);
    }
    return fits;
}

bool ut_quantize_q5_0(const float *src, size_t n_blocks, void *dst) {
    struct ut_block_q5_0 *b = dst;
    bool fits = true;
    for (; n_blocks > 0; n_blocks--, b++, src += UT_QK) {
        uint8_t q[UT_QK];
        fits &= all_finite(src);
        fits &= put_half(quantize_symmetric(src, 32, q), b->d);
        put_nibbles(q, b->qs, b->qh);
    }
    return fits;
}

bool ut_quantize_q5_1(const float *src, size_t n_blocks, void *dst) {
    struct ut_block_q5_1 *b = dst;
    bool fits = true;
    for (; n_blocks > 0; n_blocks--, b++, src += UT_QK) {
        uint8_t q[UT_QK];
        float min;
        fits &= all_finite(src);
        fits &= put_half(quantize_range(src, 32, q, &min), b->d);
        fits &= put_half(min, b->m);
        put_nibbles(q, b->qs, b->qh);
    }
    return fits;
}

/* The largest magnitude becomes 127 or -127; -128 is never used. */
bool ut_quantize_q8_0(const float *src, size_t n_blocks, void *dst) {
    struct ut_block_q8_0 *b = dst;
    bool fits = true;
    for (; n_blocks > 0; n_blocks--, b++, src += UT_QK) {
        float d = fabsf(extreme(src)) / 127.0f, id = inverse(d);
        fits &= all_finite(src);
        fits &= put_half(d, b->d);
        for (int i = 0; i < UT_QK; i++) {
            float q = roundf(src[i] * id);              /* ties away from zero */
            b->qs[i] = fabsf(q) <= 127 ? (int8_t)q : 0; /* no more, unless src is not finite */
        }
    }
    return fits;
}
