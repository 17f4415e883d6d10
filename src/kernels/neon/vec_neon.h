/* Vectors of 4 floats on Advanced SIMD, which every AArch64 processor has: the primitives that the
 * templates are written on, with the names of x86/vec_avx2.h. Nothing beyond ARMv8.0 is used: f16
 * is widened (FCVTL), never calculated with. Partial loads and stores touch the first n elements
 * only (n in 1..V_WIDTH - 1). */
#ifndef UT_KERNELS_VEC_NEON_H
#define UT_KERNELS_VEC_NEON_H

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#define V_REGISTER "w" /* of an inline assembly */
enum { V_WIDTH = 4 };
typedef float32x4_t v_float;
typedef uint32x4_t v_mask; /* all bits of an element, or none */
typedef int32x4_t v_int;   /* 4 words of 32 bits */

static inline v_float v_set(float x) {
    return vdupq_n_f32(x);
}

static inline v_float v_load(const float *p) {
    return vld1q_f32(p);
}

/* The elements behind the first n are `fill`. */
static inline v_float v_load_n(const float *p, int n, float fill) {
    v_float v = vld1q_lane_f32(p, v_set(fill), 0);
    v = n > 1 ? vld1q_lane_f32(p + 1, v, 1) : v;
    return n > 2 ? vld1q_lane_f32(p + 2, v, 2) : v;
}

static inline void v_store(float *p, v_float x) {
    vst1q_f32(p, x);
}

static inline void v_store_n(float *p, v_float x, int n) {
    vst1q_lane_f32(p, x, 0);
    if (n > 1) {
        vst1q_lane_f32(p + 1, x, 1);
    }
    if (n > 2) {
        vst1q_lane_f32(p + 2, x, 2);
    }
}

static inline uint16x4_t v_load_u16_n(const uint16_t *p, int n) {
    uint16x4_t v = vld1_lane_u16(p, vdup_n_u16(0), 0);
    v = n > 1 ? vld1_lane_u16(p + 1, v, 1) : v;
    return n > 2 ? vld1_lane_u16(p + 2, v, 2) : v;
}

static inline v_float v_from_f16(uint16x4_t h) {
    return vcvt_f32_f16(vreinterpret_f16_u16(h));
}

static inline v_float v_from_bf16(uint16x4_t h) {
    return vreinterpretq_f32_u32(vshll_n_u16(h, 16));
}

static inline v_float v_load_f16(const uint16_t *p) {
    return v_from_f16(vld1_u16(p));
}

static inline v_float v_load_f16_n(const uint16_t *p, int n) {
    return v_from_f16(v_load_u16_n(p, n));
}

static inline v_float v_load_bf16(const uint16_t *p) {
    return v_from_bf16(vld1_u16(p));
}

static inline v_float v_load_bf16_n(const uint16_t *p, int n) {
    return v_from_bf16(v_load_u16_n(p, n));
}

static inline v_float v_add(v_float a, v_float b) {
    return vaddq_f32(a, b);
}

static inline v_float v_sub(v_float a, v_float b) {
    return vsubq_f32(a, b);
}

static inline v_float v_mul(v_float a, v_float b) {
    return vmulq_f32(a, b);
}

static inline v_float v_div(v_float a, v_float b) {
    return vdivq_f32(a, b);
}

/* a * b + c, rounded once. */
static inline v_float v_fma(v_float a, v_float b, v_float c) {
    return vfmaq_f32(c, a, b);
}

/* c - a * b, rounded once. */
static inline v_float v_fnma(v_float a, v_float b, v_float c) {
    return vfmsq_f32(c, a, b);
}

/* NaN where one is, so a NaN comes through in either place. */
static inline v_float v_min(v_float a, v_float b) {
    return vminq_f32(a, b);
}

static inline v_float v_max(v_float a, v_float b) {
    return vmaxq_f32(a, b);
}

static inline v_float v_abs(v_float a) {
    return vabsq_f32(a);
}

/* `size` (not negative) with the sign of `sign`. */
static inline v_float v_with_sign(v_float size, v_float sign) {
    return vbslq_f32(vdupq_n_u32(0x80000000), sign, size);
}

/* To the nearest integer, ties to even. */
static inline v_float v_round(v_float a) {
    return vrndnq_f32(a);
}

static inline v_float v_power(int32x4_t n) {
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23));
}

/* x * 2^n for integers n in -160..160, rounded once also where the result is subnormal: each half
 * of n is within a float's exponents, and with x near 1 the first product is exact. */
static inline v_float v_scale_by_power(v_float x, v_float n) {
    int32x4_t whole = vcvtnq_s32_f32(n), half = vshrq_n_s32(whole, 1);
    return vmulq_f32(vmulq_f32(x, v_power(half)), v_power(vsubq_s32(whole, half)));
}

/* x * (-1)^n for integers n; NaN stays. */
static inline v_float v_negate_odd(v_float x, v_float n) {
    uint32x4_t odd = vshlq_n_u32(vreinterpretq_u32_s32(vcvtnq_s32_f32(n)), 31);
    return vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(x), odd));
}

/* False where one is NaN. */
static inline v_mask v_greater(v_float a, v_float b) {
    return vcgtq_f32(a, b);
}

static inline v_mask v_equal(v_float a, v_float b) {
    return vceqq_f32(a, b);
}

static inline v_float v_select(v_mask condition, v_float yes, v_float no) {
    return vbslq_f32(condition, yes, no);
}

static inline float v_sum(v_float a) {
    return vaddvq_f32(a);
}

static inline float v_largest(v_float a) {
    return vmaxvq_f32(a);
}

/* ---- Words of 32 bits, for narrow arithmetic ---- */

static inline v_int v_load_words(const void *p) {
    return vreinterpretq_s32_u8(vld1q_u8(p));
}

/* The 4 bytes at p, at any alignment, in every element. */
static inline v_int v_set_word(const void *p) {
    int32_t word;
    memcpy(&word, p, sizeof word);
    return vdupq_n_s32(word);
}

static inline v_int v_set_int(int32_t x) {
    return vdupq_n_s32(x);
}

static inline v_int v_add_int(v_int a, v_int b) {
    return vaddq_s32(a, b);
}

/* The steps of narrow sums: each element adds the products of the channels in one word of a row by
 * those in one word of weights. Four signed bytes each, the weights of the first two channels of all
 * elements before those of the other two: a pair of products is at most 2 * 128 * 127 in size, and
 * two of them, 32512 each way at most in 16 bits, do not overflow. */
static inline v_int v_add_byte_pair_products(v_int sums, v_int row, v_int weights) {
    int16x8_t pairs = vreinterpretq_s16_s32(row);
    int8x16_t w = vreinterpretq_s8_s32(weights);
    int8x8_t first = vreinterpret_s8_s16(vdup_laneq_s16(pairs, 0));
    int8x8_t second = vreinterpret_s8_s16(vdup_laneq_s16(pairs, 1));
    int16x8_t products = vmull_s8(vget_low_s8(w), first);
    return vpadalq_s16(sums, vmlal_s8(products, vget_high_s8(w), second));
}

#ifdef __ARM_FEATURE_DOTPROD
/* Four signed bytes each. */
static inline v_int v_add_byte_products(v_int sums, v_int row, v_int weights) {
    return vdotq_s32(sums, vreinterpretq_s8_s32(row), vreinterpretq_s8_s32(weights));
}
#endif

/* Two bfloat16 each, in order. */
static inline v_float v_add_bf16_products(v_float sums, v_int row, v_int weights) {
    const int32x4_t upper = vdupq_n_s32(-0x10000);
    sums = vfmaq_f32(sums, vreinterpretq_f32_s32(vshlq_n_s32(row, 16)),
                     vreinterpretq_f32_s32(vshlq_n_s32(weights, 16)));
    return vfmaq_f32(sums, vreinterpretq_f32_s32(vandq_s32(row, upper)),
                     vreinterpretq_f32_s32(vandq_s32(weights, upper)));
}

/* The bits of a float and of its opposite: in their order as integers, non-negative floats come in
 * their own order, then infinity, then NaN; what has a sign is below zero. */
static inline v_int v_bits(v_float a) {
    return vreinterpretq_s32_f32(a);
}

static inline v_int v_opposite_bits(v_float a) {
    return vreinterpretq_s32_f32(vnegq_f32(a));
}

static inline v_int v_max_int(v_int a, v_int b) {
    return vmaxq_s32(a, b);
}

/* The largest element of each of four vectors, their bits as four floats. */
static inline void v_store_largest(float *p, const v_int x[4]) {
    int32x4_t largest = vpmaxq_s32(vpmaxq_s32(x[0], x[1]), vpmaxq_s32(x[2], x[3]));
    vst1q_f32(p, vreinterpretq_f32_s32(largest));
}

static inline v_float v_from_int(v_int a) {
    return vcvtq_f32_s32(a);
}

/* To the nearest integer, ties to even; of NaN, 0. */
static inline v_int v_round_int(v_float a) {
    return vcvtnq_s32_f32(a);
}

/* bfloat16 to nearest even, in the lower half of each element; of NaN, anything. */
static inline v_int v_bf16_bits(v_float a) {
    uint32x4_t bits = vreinterpretq_u32_f32(a);
    uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    bits = vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7fff)), odd);
    return vreinterpretq_s32_u32(vshrq_n_u32(bits, 16));
}

/* The lowest byte of the first n elements. */
static inline void v_store_bytes(void *p, v_int x, int n) {
    int16x4_t halves = vmovn_s32(x);
    int8x8_t bytes = vmovn_s16(vcombine_s16(halves, halves));
    memcpy(p, &bytes, (size_t)(n < V_WIDTH ? n : V_WIDTH));
}

/* The lower half of the first n elements. */
static inline void v_store_halves(void *p, v_int x, int n) {
    int16x4_t halves = vmovn_s32(x);
    memcpy(p, &halves, (size_t)(n < V_WIDTH ? n : V_WIDTH) * 2);
}

#endif
