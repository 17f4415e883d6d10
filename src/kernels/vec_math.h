/* Exponential, tanh, sigmoid, erf, sine and cosine on the vector primitives of one level (its
 * vec_*.h is included before). Polynomials: scripts/fit_polynomials.py. Found by checkkernels
 * against double, in ulp: exp 1, sigmoid 2, tanh 2.3, sine and cosine 2.3 up to 1e5; gelu, through
 * erf, 2e-7 of its argument. NaN comes through; results below the smallest normal float are rounded
 * once, not flushed. */
#ifndef UT_KERNELS_VEC_MATH_H
#define UT_KERNELS_VEC_MATH_H

#include "kernels/unroll.h"

/* x = n * ln 2 + r with |r| <= ln 2 / 2; returns exp(r) - 1 and stores n, an integer. The
 * polynomial is (exp(r) - 1 - r) / r^2, so that tiny r keep all their bits. */
ALWAYS_INLINE v_float expm1_reduced(v_float x, v_float *n) {
    *n = v_round(v_mul(x, v_set(1.44269504f)));
    v_float r = v_fnma(*n, v_set(0.693147182f), x);
    r = v_fnma(*n, v_set(-1.90465432e-9f), r); /* the rest of ln 2 */
    v_float p = v_set(0.00139261771f);
    p = v_fma(p, r, v_set(0.00836317427f));
    p = v_fma(p, r, v_set(0.0416665561f));
    p = v_fma(p, r, v_set(0.166665778f));
    p = v_fma(p, r, v_set(0.5f));
    return v_fma(v_mul(r, r), p, r);
}

ALWAYS_INLINE v_float v_exp(v_float x) {
    v_float n; /* the limits give 0 and infinity after rounding */
    x = v_min(v_set(89), v_max(v_set(-104), x));
    v_float p = expm1_reduced(x, &n);
    return v_scale_by_power(v_add(v_set(1), p), n);
}

/* tanh |x| = q / (q + 2), q = exp(2 |x|) - 1 with the relative accuracy of expm1. From |x| = 10 on,
 * 1 after rounding. */
ALWAYS_INLINE v_float expm1_twice(v_float x) {
    v_float n, p = expm1_reduced(v_min(v_set(20), v_mul(v_abs(x), v_set(2))), &n);
    v_float power = v_scale_by_power(v_set(1), n);
    return v_fma(power, p, v_sub(power, v_set(1)));
}

ALWAYS_INLINE v_float v_tanh(v_float x) {
    v_float q = expm1_twice(x);
    return v_with_sign(v_div(q, v_add(q, v_set(2))), x);
}

/* exp(-|x|) / (1 + exp(-|x|)) below zero, where 1 / (1 + exp(-x)) would overflow to 0. */
ALWAYS_INLINE v_float v_sigmoid(v_float x) {
    v_float e = v_exp(v_sub(v_set(0), v_abs(x)));
    v_float top = v_select(v_greater(v_set(0), x), e, v_set(1));
    return v_div(top, v_add(v_set(1), e));
}

/* Up to 1: x + x * P(x^2). Above: 1 - exp(Q(|x|)), Q = ln erfc; from 4 on that is 1 after rounding.
 */
ALWAYS_INLINE v_float v_erf(v_float x) {
    v_float size = v_abs(x), s = v_mul(x, x);
    v_float p = v_set(7.87587487e-05f);
    p = v_fma(p, s, v_set(-0.00080168643f));
    p = v_fma(p, s, v_set(0.00518908724f));
    p = v_fma(p, s, v_set(-0.0268542115f));
    p = v_fma(p, s, v_set(0.112835944f));
    p = v_fma(p, s, v_set(-0.37612626f));
    p = v_fma(p, s, v_set(0.128379166f));
    v_float small = v_fma(size, p, size);

    v_float t = v_min(v_set(4), size), q = v_set(1.6371514e-06f);
    q = v_fma(q, t, v_set(-4.60580413e-05f));
    q = v_fma(q, t, v_set(0.00059680565f));
    q = v_fma(q, t, v_set(-0.0047595962f));
    q = v_fma(q, t, v_set(0.0264211353f));
    q = v_fma(q, t, v_set(-0.110080086f));
    q = v_fma(q, t, v_set(-0.631826043f));
    q = v_fma(q, t, v_set(-1.13023341f));
    q = v_fma(q, t, v_set(0.00032013806f));
    v_float large = v_sub(v_set(1), v_exp(q));
    return v_with_sign(v_select(v_greater(size, v_set(1)), large, small), x);
}

/* sin(r) for |r| up to pi / 2: r + r^3 P(r^2), within -1..1 also where an angle was too large for
 * its reduction. */
ALWAYS_INLINE v_float sin_reduced(v_float r) {
    v_float s = v_mul(r, r), p = v_set(2.63475158e-06f);
    p = v_fma(p, s, v_set(-0.000198227382f));
    p = v_fma(p, s, v_set(0.0083332425f));
    p = v_fma(p, s, v_set(-0.166666657f));
    return v_min(v_set(1), v_max(v_set(-1), v_fma(v_mul(r, s), p, r)));
}

/* x - n * pi for multiples n of 1/2 next to x / pi, with pi in three parts (Cody and Waite, 1980).
 * The first step is exact where it cancels: both terms are multiples of 2^-23 below 2. */
ALWAYS_INLINE v_float minus_pi_times(v_float x, v_float n) {
    v_float r = v_fnma(n, v_set(3.14159274f), x);
    r = v_fnma(n, v_set(-8.74227766e-08f), r);
    return v_fnma(n, v_set(-3.43024902e-15f), r);
}

ALWAYS_INLINE v_float v_sin(v_float x) {
    v_float n = v_round(v_mul(x, v_set(0.318309886f)));
    return v_negate_odd(sin_reduced(minus_pi_times(x, n)), n);
}

/* With x = (n - 1/2) * pi + r, cos(x) = (-1)^n * sin(r). */
ALWAYS_INLINE v_float v_cos(v_float x) {
    v_float n = v_round(v_fma(x, v_set(0.318309886f), v_set(0.5f)));
    return v_negate_odd(sin_reduced(minus_pi_times(x, v_sub(n, v_set(0.5f)))), n);
}

/* sin(pi * x)^2, which has period 1: the reduction is exact and the sign does not matter. */
ALWAYS_INLINE v_float v_sin_pi_squared(v_float x) {
    v_float r = v_sub(x, v_round(x)), s = v_mul(r, r), p = v_set(0.0776559114f);
    p = v_fma(p, s, v_set(-0.598290384f));
    p = v_fma(p, s, v_set(2.55007744f));
    p = v_fma(p, s, v_set(-5.1677103f));
    p = v_fma(p, s, v_set(3.14159274f));
    v_float sine = v_mul(r, p);
    return v_mul(sine, sine);
}

#endif
