/* Vectors of 8 floats on AVX2, FMA and F16C: the primitives that the templates are written on.
 * vec_avx512.h has the same names. Partial loads and stores touch the first n elements only (n in
 * 1..V_WIDTH - 1) and never fault behind them. */
#ifndef UT_KERNELS_VEC_AVX2_H
#define UT_KERNELS_VEC_AVX2_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define V_REGISTER "x" /* of an inline assembly */
enum { V_WIDTH = 8 };
typedef __m256 v_float;
typedef __m256 v_mask; /* all bits of an element, or none */
typedef __m256i v_int; /* 8 words of 32 bits */

static inline __m256i v_first(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static inline v_float v_set(float x) {
    return _mm256_set1_ps(x);
}

static inline v_float v_load(const float *p) {
    return _mm256_loadu_ps(p);
}

/* The elements behind the first n are `fill`. */
static inline v_float v_load_n(const float *p, int n, float fill) {
    __m256i first = v_first(n);
    return _mm256_blendv_ps(_mm256_set1_ps(fill), _mm256_maskload_ps(p, first),
                            _mm256_castsi256_ps(first));
}

static inline void v_store(float *p, v_float x) {
    _mm256_storeu_ps(p, x);
}

static inline void v_store_n(float *p, v_float x, int n) {
    _mm256_maskstore_ps(p, v_first(n), x);
}

static inline v_float v_load_f16(const uint16_t *p) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

static inline v_float v_from_bf16(__m128i h) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

static inline v_float v_load_bf16(const uint16_t *p) {
    return v_from_bf16(_mm_loadu_si128((const __m128i *)p));
}

/* AVX2 has no partial load of 16-bit elements. */
static inline __m128i v_load_u16_n(const uint16_t *p, int n) {
    uint16_t padded[8] = {0};
    memcpy(padded, p, (size_t)n * sizeof *p);
    return _mm_loadu_si128((const __m128i *)padded);
}

static inline v_float v_load_f16_n(const uint16_t *p, int n) {
    return _mm256_cvtph_ps(v_load_u16_n(p, n));
}

static inline v_float v_load_bf16_n(const uint16_t *p, int n) {
    return v_from_bf16(v_load_u16_n(p, n));
}

static inline v_float v_add(v_float a, v_float b) {
    return _mm256_add_ps(a, b);
}

static inline v_float v_sub(v_float a, v_float b) {
    return _mm256_sub_ps(a, b);
}

static inline v_float v_mul(v_float a, v_float b) {
    return _mm256_mul_ps(a, b);
}

static inline v_float v_div(v_float a, v_float b) {
    return _mm256_div_ps(a, b);
}

static inline v_float v_sqrt(v_float a) {
    return _mm256_sqrt_ps(a);
}

/* a * b + c, rounded once. */
static inline v_float v_fma(v_float a, v_float b, v_float c) {
    return _mm256_fmadd_ps(a, b, c);
}

/* c - a * b, rounded once. */
static inline v_float v_fnma(v_float a, v_float b, v_float c) {
    return _mm256_fnmadd_ps(a, b, c);
}

/* Where one is NaN, b: so write v_min(limit, x) to let a NaN in x through. */
static inline v_float v_min(v_float a, v_float b) {
    return _mm256_min_ps(a, b);
}

static inline v_float v_max(v_float a, v_float b) {
    return _mm256_max_ps(a, b);
}

static inline v_float v_abs(v_float a) {
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}

/* `size` (not negative) with the sign of `sign`. */
static inline v_float v_with_sign(v_float size, v_float sign) {
    return _mm256_or_ps(size, _mm256_and_ps(sign, _mm256_set1_ps(-0.0f)));
}

/* To the nearest integer, ties to even. */
static inline v_float v_round(v_float a) {
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

static inline v_float v_power(__m256i n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}

/* x * 2^n for integers n in -160..160, rounded once also where the result is subnormal: each half
 * of n is within a float's exponents, and with x near 1 the first product is exact. */
static inline v_float v_scale_by_power(v_float x, v_float n) {
    __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1);
    return _mm256_mul_ps(_mm256_mul_ps(x, v_power(half)), v_power(_mm256_sub_epi32(whole, half)));
}

/* x * (-1)^n for integers n; NaN stays. */
static inline v_float v_negate_odd(v_float x, v_float n) {
    __m256i odd = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 31);
    return _mm256_xor_ps(x, _mm256_castsi256_ps(odd));
}

/* False where one is NaN. */
static inline v_mask v_greater(v_float a, v_float b) {
    return _mm256_cmp_ps(a, b, _CMP_GT_OQ);
}

static inline v_mask v_equal(v_float a, v_float b) {
    return _mm256_cmp_ps(a, b, _CMP_EQ_OQ);
}

static inline v_float v_select(v_mask condition, v_float yes, v_float no) {
    return _mm256_blendv_ps(no, yes, condition);
}

static inline float v_sum(v_float a) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

static inline float v_largest(v_float a) {
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

/* ---- Words of 32 bits, for narrow arithmetic ---- */

static inline v_int v_load_words(const void *p) {
    return _mm256_loadu_si256(p);
}

/* The 4 bytes at p, at any alignment, in every element. */
static inline v_int v_set_word(const void *p) {
    int32_t word;
    memcpy(&word, p, sizeof word);
    return _mm256_set1_epi32(word);
}

static inline v_int v_set_int(int32_t x) {
    return _mm256_set1_epi32(x);
}

static inline v_int v_add_int(v_int a, v_int b) {
    return _mm256_add_epi32(a, b);
}

/* The steps of narrow sums: each element adds the products of the channels in one word of a row by
 * those in one word of weights. Two 16-bit integers each: */
static inline v_int v_add_half_products(v_int sums, v_int row, v_int weights) {
    return _mm256_add_epi32(sums, _mm256_madd_epi16(row, weights));
}

#ifdef __AVXVNNI__
/* Four unsigned bytes by four signed ones. */
static inline v_int v_add_byte_products(v_int sums, v_int row, v_int weights) {
    return _mm256_dpbusd_avx_epi32(sums, row, weights);
}
#endif

/* Two bfloat16 each, in order. */
static inline v_float v_add_bf16_products(v_float sums, v_int row, v_int weights) {
    const __m256i upper = _mm256_set1_epi32(-0x10000);
    __m256 low = _mm256_castsi256_ps(_mm256_slli_epi32(row, 16));
    sums = _mm256_fmadd_ps(low, _mm256_castsi256_ps(_mm256_slli_epi32(weights, 16)), sums);
    __m256 high = _mm256_castsi256_ps(_mm256_and_si256(row, upper));
    return _mm256_fmadd_ps(high, _mm256_castsi256_ps(_mm256_and_si256(weights, upper)), sums);
}

/* The bits of a float and of its opposite: in their order as integers, non-negative floats come in
 * their own order, then infinity, then NaN; what has a sign is below zero. */
static inline v_int v_bits(v_float a) {
    return _mm256_castps_si256(a);
}

static inline v_int v_opposite_bits(v_float a) {
    return _mm256_xor_si256(_mm256_castps_si256(a), _mm256_set1_epi32(INT32_MIN));
}

static inline v_int v_max_int(v_int a, v_int b) {
    return _mm256_max_epi32(a, b);
}

/* The largest element of each of four vectors, their bits as four floats. */
static inline void v_store_largest(float *p, const v_int x[4]) {
    __m256i a = _mm256_max_epi32(_mm256_unpacklo_epi32(x[0], x[1]), _mm256_unpackhi_epi32(x[0], x[1]));
    __m256i b = _mm256_max_epi32(_mm256_unpacklo_epi32(x[2], x[3]), _mm256_unpackhi_epi32(x[2], x[3]));
    a = _mm256_max_epi32(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
    __m128i half = _mm_max_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    _mm_storeu_ps(p, _mm_castsi128_ps(half));
}

static inline v_float v_from_int(v_int a) {
    return _mm256_cvtepi32_ps(a);
}

/* To the nearest integer, ties to even; of NaN, a multiple of 2^16. */
static inline v_int v_round_int(v_float a) {
    return _mm256_cvtps_epi32(a);
}

/* bfloat16 to nearest even, in the lower half of each element; of NaN, anything. */
static inline v_int v_bf16_bits(v_float a) {
    __m256i bits = _mm256_castps_si256(a), upper = _mm256_srli_epi32(bits, 16);
    __m256i odd = _mm256_and_si256(upper, _mm256_set1_epi32(1));
    bits = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
    return _mm256_srli_epi32(bits, 16);
}

/* The lowest byte of the first n elements. */
static inline void v_store_bytes(void *p, v_int x, int n) {
    const __m256i lowest = _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
                                            -1, -1, -1, -1, 0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1);
    x = _mm256_shuffle_epi8(x, lowest);
    __m128i bytes = _mm_or_si128(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    if (n >= V_WIDTH) {
        _mm_storel_epi64(p, bytes);
    } else {
        memcpy(p, &bytes, (size_t)n);
    }
}

/* The lower half of the first n elements. */
static inline void v_store_halves(void *p, v_int x, int n) {
    const __m256i lower = _mm256_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, -1, -1, -1, -1, -1, -1, -1, -1,
                                           0, 1, 4, 5, 8, 9, 12, 13, -1, -1, -1, -1, -1, -1, -1, -1);
    x = _mm256_permute4x64_epi64(_mm256_shuffle_epi8(x, lower), 0x08);
    __m128i halves = _mm256_castsi256_si128(x);
    if (n >= V_WIDTH) {
        _mm_storeu_si128(p, halves);
    } else {
        memcpy(p, &halves, (size_t)n * 2);
    }
}

#endif
