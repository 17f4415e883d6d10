/* Vectors of 16 floats on AVX-512 F, BW, DQ, VL: the primitives that the templates are written on.
 * vec_avx2.h has the same names. Partial loads and stores touch the first n elements only (n in
 * 1..V_WIDTH - 1) and never fault behind them. */
#ifndef UT_KERNELS_VEC_AVX512_H
#define UT_KERNELS_VEC_AVX512_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define V_REGISTER "v" /* of an inline assembly */
enum { V_WIDTH = 16 };
typedef __m512 v_float;
typedef __mmask16 v_mask;
typedef __m512i v_int; /* 16 words of 32 bits */

static inline v_mask v_first(int n) {
    return (v_mask)((1u << n) - 1);
}

static inline v_float v_set(float x) {
    return _mm512_set1_ps(x);
}

static inline v_float v_load(const float *p) {
    return _mm512_loadu_ps(p);
}

/* The elements behind the first n are `fill`. */
static inline v_float v_load_n(const float *p, int n, float fill) {
    return _mm512_mask_loadu_ps(_mm512_set1_ps(fill), v_first(n), p);
}

static inline void v_store(float *p, v_float x) {
    _mm512_storeu_ps(p, x);
}

static inline void v_store_n(float *p, v_float x, int n) {
    _mm512_mask_storeu_ps(p, v_first(n), x);
}

static inline v_float v_load_f16(const uint16_t *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

static inline v_float v_load_f16_n(const uint16_t *p, int n) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(v_first(n), p));
}

static inline v_float v_from_bf16(__m256i h) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

static inline v_float v_load_bf16(const uint16_t *p) {
    return v_from_bf16(_mm256_loadu_si256((const __m256i *)p));
}

static inline v_float v_load_bf16_n(const uint16_t *p, int n) {
    return v_from_bf16(_mm256_maskz_loadu_epi16(v_first(n), p));
}

static inline v_float v_add(v_float a, v_float b) {
    return _mm512_add_ps(a, b);
}

static inline v_float v_sub(v_float a, v_float b) {
    return _mm512_sub_ps(a, b);
}

static inline v_float v_mul(v_float a, v_float b) {
    return _mm512_mul_ps(a, b);
}

static inline v_float v_div(v_float a, v_float b) {
    return _mm512_div_ps(a, b);
}

static inline v_float v_sqrt(v_float a) {
    return _mm512_sqrt_ps(a);
}

/* a * b + c, rounded once. */
static inline v_float v_fma(v_float a, v_float b, v_float c) {
    return _mm512_fmadd_ps(a, b, c);
}

/* c - a * b, rounded once. */
static inline v_float v_fnma(v_float a, v_float b, v_float c) {
    return _mm512_fnmadd_ps(a, b, c);
}

/* Where one is NaN, b: so write v_min(limit, x) to let a NaN in x through. */
static inline v_float v_min(v_float a, v_float b) {
    return _mm512_min_ps(a, b);
}

static inline v_float v_max(v_float a, v_float b) {
    return _mm512_max_ps(a, b);
}

static inline v_float v_abs(v_float a) {
    return _mm512_abs_ps(a);
}

/* `size` (not negative) with the sign of `sign`. */
static inline v_float v_with_sign(v_float size, v_float sign) {
    return _mm512_or_ps(size, _mm512_and_ps(sign, _mm512_set1_ps(-0.0f)));
}

/* To the nearest integer, ties to even. */
static inline v_float v_round(v_float a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* x * 2^n for integers n in -160..160, rounded once also where the result is subnormal. */
static inline v_float v_scale_by_power(v_float x, v_float n) {
    return _mm512_scalef_ps(x, n);
}

/* x * (-1)^n for integers n; NaN stays. */
static inline v_float v_negate_odd(v_float x, v_float n) {
    __m512i odd = _mm512_slli_epi32(_mm512_cvtps_epi32(n), 31);
    return _mm512_xor_ps(x, _mm512_castsi512_ps(odd));
}

/* False where one is NaN. */
static inline v_mask v_greater(v_float a, v_float b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ);
}

static inline v_mask v_equal(v_float a, v_float b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ);
}

static inline v_float v_select(v_mask condition, v_float yes, v_float no) {
    return _mm512_mask_blend_ps(condition, no, yes);
}

static inline float v_sum(v_float a) {
    return _mm512_reduce_add_ps(a);
}

static inline float v_largest(v_float a) {
    return _mm512_reduce_max_ps(a);
}

/* ---- Words of 32 bits, for narrow arithmetic ---- */

static inline v_int v_load_words(const void *p) {
    return _mm512_loadu_si512(p);
}

/* The 4 bytes at p, at any alignment, in every element. */
static inline v_int v_set_word(const void *p) {
    int32_t word;
    memcpy(&word, p, sizeof word);
    return _mm512_set1_epi32(word);
}

static inline v_int v_set_int(int32_t x) {
    return _mm512_set1_epi32(x);
}

static inline v_int v_add_int(v_int a, v_int b) {
    return _mm512_add_epi32(a, b);
}

/* The steps of narrow sums: each element adds the products of the channels in one word of a row by
 * those in one word of weights. Two 16-bit integers each: */
static inline v_int v_add_half_products(v_int sums, v_int row, v_int weights) {
    return _mm512_add_epi32(sums, _mm512_madd_epi16(row, weights));
}

#ifdef __AVX512VNNI__
/* Four unsigned bytes by four signed ones. */
static inline v_int v_add_byte_products(v_int sums, v_int row, v_int weights) {
    return _mm512_dpbusd_epi32(sums, row, weights);
}
#endif

/* Two bfloat16 each, in order. */
static inline v_float v_add_bf16_products(v_float sums, v_int row, v_int weights) {
    const __m512i upper = _mm512_set1_epi32(-0x10000);
    __m512 low = _mm512_castsi512_ps(_mm512_slli_epi32(row, 16));
    sums = _mm512_fmadd_ps(low, _mm512_castsi512_ps(_mm512_slli_epi32(weights, 16)), sums);
    __m512 high = _mm512_castsi512_ps(_mm512_and_si512(row, upper));
    return _mm512_fmadd_ps(high, _mm512_castsi512_ps(_mm512_and_si512(weights, upper)), sums);
}

#ifdef __AVX512BF16__
/* The same by the processor's own instruction, which takes subnormal products for zeros. */
static inline v_float v_dot_bf16_products(v_float sums, v_int row, v_int weights) {
    return _mm512_dpbf16_ps(sums, (__m512bh)row, (__m512bh)weights);
}
#endif

/* The bits of a float and of its opposite: in their order as integers, non-negative floats come in
 * their own order, then infinity, then NaN; what has a sign is below zero. */
static inline v_int v_bits(v_float a) {
    return _mm512_castps_si512(a);
}

static inline v_int v_opposite_bits(v_float a) {
    return _mm512_xor_si512(_mm512_castps_si512(a), _mm512_set1_epi32(INT32_MIN));
}

static inline v_int v_max_int(v_int a, v_int b) {
    return _mm512_max_epi32(a, b);
}

/* The largest element of each of four vectors, their bits as four floats. */
static inline void v_store_largest(float *p, const v_int x[4]) {
    __m512i a = _mm512_max_epi32(_mm512_unpacklo_epi32(x[0], x[1]), _mm512_unpackhi_epi32(x[0], x[1]));
    __m512i b = _mm512_max_epi32(_mm512_unpacklo_epi32(x[2], x[3]), _mm512_unpackhi_epi32(x[2], x[3]));
    a = _mm512_max_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    __m256i half = _mm256_max_epi32(_mm512_castsi512_si256(a), _mm512_extracti64x4_epi64(a, 1));
    __m128i quarter = _mm_max_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
    _mm_storeu_ps(p, _mm_castsi128_ps(quarter));
}

static inline v_float v_from_int(v_int a) {
    return _mm512_cvtepi32_ps(a);
}

/* To the nearest integer, ties to even; of NaN, a multiple of 2^16. */
static inline v_int v_round_int(v_float a) {
    return _mm512_cvtps_epi32(a);
}

/* bfloat16 to nearest even, in the lower half of each element; of NaN, anything. */
static inline v_int v_bf16_bits(v_float a) {
    __m512i bits = _mm512_castps_si512(a), upper = _mm512_srli_epi32(bits, 16);
    __m512i odd = _mm512_and_si512(upper, _mm512_set1_epi32(1));
    bits = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    return _mm512_srli_epi32(bits, 16);
}

/* The lowest byte of the first n elements. */
static inline void v_store_bytes(void *p, v_int x, int n) {
    __m128i bytes = _mm512_cvtepi32_epi8(x);
    if (n >= V_WIDTH) {
        _mm_storeu_si128(p, bytes);
    } else {
        _mm_mask_storeu_epi8(p, v_first(n), bytes);
    }
}

/* The lower half of the first n elements. */
static inline void v_store_halves(void *p, v_int x, int n) {
    __m256i halves = _mm512_cvtepi32_epi16(x);
    if (n >= V_WIDTH) {
        _mm256_storeu_si256(p, halves);
    } else {
        _mm256_mask_storeu_epi16(p, v_first(n), halves);
    }
}

#endif
