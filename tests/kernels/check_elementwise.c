/* Checks of the elementwise entries against double, with the error bound of each beside it. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "checkkernels.h"
#include "base/half_float.h"

/* Values at which functions change their ways: overflow and underflow of exp, ends of polynomials.
 */
static const float edges[] = {
    0,       -0.0f,    1,        -1,       0.5f,      0.92f,   -0.92f,   1.0001f,      -1.0001f,
    3.9f,    -3.9f,    4.1f,     5.65f,    -5.65f,    8.9f,    9.1f,     -9.1f,        10.1f,
    16.6f,   -16.7f,   20,       -20,      87.3f,     -87.4f,  88.72f,   88.73f,       -88.8f,
    89.1f,   -89.1f,   -103.27f, -103.9f,  -103.98f,  -104.1f, 1e4f,     -1e4f,        0.34657f,
    0.3466f, -0.3466f, 1e-4f,    -1e-8f,   1e-20f,    FLT_MIN, -FLT_MIN, FLT_TRUE_MIN, 1e-40f,
    -1e-40f, FLT_MAX,  -FLT_MAX, INFINITY, -INFINITY, NAN,
};

static float test_value(struct check *c) {
    switch (random_int(c, 0, 4)) {
    case 0:
        return edges[random_int(c, 0, COUNT(edges) - 1)];
    case 1:
        return random_any(c);
    case 2:
        return random_value(c);
    case 3:
        return random_value(c) * 10;
    default:
        return random_value(c) * 110;
    }
}

typedef void (*unary_fn)(const struct ut_kernels *k, float *y, const float *x, size_t n);

struct unary {
    unary_fn run;
    double (*exact)(double x);
    double (*bound)(double x, double want);
    float (*value)(struct check *c); /* of an input */
};

/* Whole, against the reference; in pieces and in place, the same bits. */
static void check_unary_n(struct check *c, const struct unary *u, size_t n) {
    struct block x = block_floats(n), y = block_floats(n), z = block_floats(n);
    float *in = x.data, *out = y.data, *again = z.data;
    check_case(c, "%zu values", n);
    for (size_t i = 0; i < n; i++) {
        in[i] = u->value(c);
    }
    u->run(c->table, out, in, n);
    check_outside(c, &y, 0, 1, (int)n);
    for (size_t i = 0; i < n; i++) {
        double want = u->exact(in[i]);
        check_case(c, "%zu values, x = %.9g", n, in[i]);
        check_close(c, out[i], want, u->bound(in[i], want), (long)i, 0);
    }
    for (int i = 0, end; i < (int)n; i = end) {
        end = next_split(c, i, (int)n);
        u->run(c->table, again + i, in + i, (size_t)(end - i));
    }
    check_outside(c, &z, 0, 1, (int)n);
    u->run(c->table, in, in, n);
    for (size_t i = 0; i < n; i++) {
        check_same(c, again[i], out[i], (long)i, 0, "in pieces");
        check_same(c, in[i], out[i], (long)i, 0, "in place");
    }
    block_free(&x);
    block_free(&y);
    block_free(&z);
}

static void check_unary(struct check *c, const struct unary *u) {
    for (size_t n = 0; n <= 67; n++) {
        check_unary_n(c, u, n);
    }
    check_unary_n(c, u, 60001);
}

static void run_exp(const struct ut_kernels *k, float *y, const float *x, size_t n) {
    k->exp_f32(y, x, n);
}

static double two_ulp(double x, double want) {
    return 2 * ulp_of(want);
}

void check_exp(struct check *c) {
    check_unary(c, &(struct unary){run_exp, exp, two_ulp, test_value});
}

static void run_tanh(const struct ut_kernels *k, float *y, const float *x, size_t n) {
    k->tanh_f32(y, x, n);
}

static double four_ulp(double x, double want) {
    return 4 * ulp_of(want);
}

void check_tanh(struct check *c) {
    check_unary(c, &(struct unary){run_tanh, tanh, four_ulp, test_value});
}

static void run_sigmoid(const struct ut_kernels *k, float *y, const float *x, size_t n) {
    k->sigmoid_f32(y, x, n);
}

static double exact_sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

static double three_ulp(double x, double want) {
    return 3 * ulp_of(want);
}

void check_sigmoid(struct check *c) {
    check_unary(c, &(struct unary){run_sigmoid, exact_sigmoid, three_ulp, test_value});
}

static void run_gelu(const struct ut_kernels *k, float *y, const float *x, size_t n) {
    k->gelu_f32(y, x, n);
}

static double exact_gelu(double x) {
    return 0.5 * x * (1 + erf(x * M_SQRT1_2));
}

/* 1 + erf cancels below zero, so the error is measured against x, not against the result. */
static double bound_gelu(double x, double want) {
    return 3 * UNIT * fabs(x) + SMALLEST;
}

void check_gelu(struct check *c) {
    check_unary(c, &(struct unary){run_gelu, exact_gelu, bound_gelu, test_value});
}

static void run_gelu_tanh(const struct ut_kernels *k, float *y, const float *x, size_t n) {
    k->gelu_tanh_f32(y, x, n);
}

static double exact_gelu_tanh(double x) {
    return 0.5 * x * (1 + tanh(sqrt(M_2_PI) * (x + 0.044715 * x * x * x)));
}

/* As for gelu; the argument of tanh carries four roundings. */
static double bound_gelu_tanh(double x, double want) {
    return 4 * UNIT * fabs(x) + SMALLEST;
}

void check_gelu_tanh(struct check *c) {
    check_unary(c, &(struct unary){run_gelu_tanh, exact_gelu_tanh, bound_gelu_tanh, test_value});
}

enum { MAX_ANGLE = 100000 };

/* Zeros and extremes of sine and cosine, to the nearest float, and everything between. */
static float test_angle(struct check *c) {
    switch (random_int(c, 0, 3)) {
    case 0:
        return test_value(c);
    case 1:
        return (float)(random_int(c, -63661, 63661) * M_PI_2);
    case 2:
        return random_value(c) * MAX_ANGLE;
    default:
        return random_value(c) * 7;
    }
}

static void run_sin(const struct ut_kernels *k, float *y, const float *x, size_t n) {
    k->sin_f32(y, x, n);
}

static void run_cos(const struct ut_kernels *k, float *y, const float *x, size_t n) {
    k->cos_f32(y, x, n);
}

/* Larger finite angles promise a value in -1..1 alone: 0 with a bound of 1. */
static double exact_sin(double x) {
    return isfinite(x) && fabs(x) > MAX_ANGLE ? 0 : sin(x);
}

static double exact_cos(double x) {
    return isfinite(x) && fabs(x) > MAX_ANGLE ? 0 : cos(x);
}

static double bound_angle(double x, double want) {
    return fabs(x) > MAX_ANGLE ? 1 : 3 * ulp_of(want);
}

void check_sin(struct check *c) {
    check_unary(c, &(struct unary){run_sin, exact_sin, bound_angle, test_angle});
}

void check_cos(struct check *c) {
    check_unary(c, &(struct unary){run_cos, exact_cos, bound_angle, test_angle});
}

static void run_leaky(const struct ut_kernels *k, float *y, const float *x, size_t n) {
    k->leaky_relu_f32(y, x, 0.1f, n);
}

static void run_relu(const struct ut_kernels *k, float *y, const float *x, size_t n) {
    k->leaky_relu_f32(y, x, 0, n);
}

static double exact_leaky(double x) {
    return x > 0 ? x : x * 0.1f;
}

static double exact_relu(double x) {
    return x > 0 ? x : x * 0;
}

static double half_ulp(double x, double want) {
    return 0.5 * ulp_of(want);
}

void check_leaky_relu(struct check *c) {
    check_unary(c, &(struct unary){run_leaky, exact_leaky, half_ulp, test_value});
    check_unary(c, &(struct unary){run_relu, exact_relu, half_ulp, test_value});
}

typedef void (*binary_fn)(const struct ut_kernels *k, float *y, const float *a, const float *b,
                          size_t n);

struct binary {
    binary_fn run;
    double (*exact)(double a, double b);
    double (*bound)(double a, double b, double want);
};

static void check_binary_n(struct check *c, const struct binary *f, size_t n) {
    struct block a = block_floats(n), b = block_floats(n), y = block_floats(n), z = block_floats(n);
    float *in_a = a.data, *in_b = b.data, *out = y.data, *again = z.data;
    check_case(c, "%zu values", n);
    for (size_t i = 0; i < n; i++) {
        in_a[i] = random_special(c) * (float)random_int(c, 1, 1000);
        in_b[i] = random_special(c);
    }
    f->run(c->table, out, in_a, in_b, n);
    check_outside(c, &y, 0, 1, (int)n);
    for (size_t i = 0; i < n; i++) {
        double want = f->exact(in_a[i], in_b[i]);
        check_close(c, out[i], want, f->bound(in_a[i], in_b[i], want), (long)i, 0);
    }
    for (int i = 0, end; i < (int)n; i = end) {
        end = next_split(c, i, (int)n);
        f->run(c->table, again + i, in_a + i, in_b + i, (size_t)(end - i));
    }
    check_outside(c, &z, 0, 1, (int)n);
    bool second = random_int(c, 0, 1);
    float *both = second ? in_b : in_a;
    f->run(c->table, both, in_a, in_b, n);
    for (size_t i = 0; i < n; i++) {
        check_same(c, again[i], out[i], (long)i, 0, "in pieces");
        check_same(c, both[i], out[i], (long)i, second, "in place");
    }
    block_free(&a);
    block_free(&b);
    block_free(&y);
    block_free(&z);
}

static void check_binary(struct check *c, const struct binary *f) {
    for (size_t n = 0; n <= 67; n++) {
        check_binary_n(c, f, n);
    }
    check_binary_n(c, f, 10007);
}

static void run_add(const struct ut_kernels *k, float *y, const float *a, const float *b,
                    size_t n) {
    k->add_f32(y, a, b, n);
}

static double exact_add(double a, double b) {
    return a + b;
}

/* One rounding of the exact result. */
static double bound_rounding(double a, double b, double want) {
    return 0.5 * ulp_of(want);
}

void check_add(struct check *c) {
    check_binary(c, &(struct binary){run_add, exact_add, bound_rounding});
}

static void run_sub(const struct ut_kernels *k, float *y, const float *a, const float *b,
                    size_t n) {
    k->sub_f32(y, a, b, n);
}

static double exact_sub(double a, double b) {
    return a - b;
}

void check_sub(struct check *c) {
    check_binary(c, &(struct binary){run_sub, exact_sub, bound_rounding});
}

static const float factor = -0.7f;

static void run_mul_add(const struct ut_kernels *k, float *y, const float *a, const float *b,
                        size_t n) {
    k->mul_add_f32(y, a, factor, b, n);
}

static double exact_mul_add(double a, double b) {
    return a * factor + b;
}

/* The product and the sum, each rounded or both at once. */
static double bound_mul_add(double a, double b, double want) {
    return UNIT * (fabs(a * factor) + fabs(want)) + SMALLEST;
}

void check_mul_add(struct check *c) {
    check_binary(c, &(struct binary){run_mul_add, exact_mul_add, bound_mul_add});
}

/* The value of IEEE binary16 by its definition. */
static double exact_f16(uint16_t h) {
    int exponent = h >> 10 & 31, fraction = h & 1023;
    double size = exponent == 0    ? ldexp(fraction, -24)
                  : exponent != 31 ? ldexp(1024 + fraction, exponent - 25)
                  : fraction       ? NAN
                                   : INFINITY;
    return h & 0x8000 ? -size : size;
}

static double exact_bf16(uint16_t h) {
    int exponent = h >> 7 & 255, fraction = h & 127;
    double size = exponent == 0     ? ldexp(fraction, -133)
                  : exponent != 255 ? ldexp(128 + fraction, exponent - 134)
                  : fraction        ? NAN
                                    : INFINITY;
    return h & 0x8000 ? -size : size;
}

/* All 65536 values exactly, and every size at an odd address. */
static void check_half(struct check *c, void (*run)(float *y, const uint16_t *x, size_t n),
                       double (*exact)(uint16_t h)) {
    for (int n = 0; n <= 65536; n = n < 67 ? n + 1 : n == 67 ? 65536 : n + 1) {
        struct block x = block_make((size_t)n * sizeof(uint16_t), sizeof(uint16_t));
        struct block y = block_floats((size_t)n);
        uint16_t *in = x.data;
        const float *out = y.data;
        check_case(c, "%d values", n);
        for (int i = 0; i < n; i++) {
            in[i] = (uint16_t)(n == 65536 ? (uint64_t)i : random_bits(c));
        }
        run(y.data, in, (size_t)n);
        check_outside(c, &y, 0, 1, n);
        for (int i = 0; i < n; i++) {
            double want = exact(in[i]);
            check_close(c, out[i], want, 0, i, in[i]);
            if (!isnan(want) && !signbit(out[i]) != !signbit(want)) {
                check_fail(c, "sign of %#x", in[i]);
            }
        }
        block_free(&x);
        block_free(&y);
    }
}

void check_f16_to_f32(struct check *c) {
    check_half(c, c->table->f16_to_f32, exact_f16);
}

void check_bf16_to_f32(struct check *c) {
    check_half(c, c->table->bf16_to_f32, exact_bf16);
}

/* Between two neighbours a float goes to the nearer one, from the middle to the even one. */
static uint16_t rounded_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint32_t upper = bits >> 16, lower = bits & 0xffff;
    bool up = lower > 0x8000 || (lower == 0x8000 && upper & 1);
    return (uint16_t)(isnan(x) ? 0x7fc0 : upper + up);
}

/* Every size at an odd address, bits of all kinds, ties among them. */
void check_f32_to_bf16(struct check *c) {
    for (int n = 0; n <= 4096; n = n < 67 ? n + 1 : n == 67 ? 4096 : n + 1) {
        struct block x = block_floats((size_t)n);
        struct block y = block_make((size_t)n * sizeof(uint16_t), sizeof(uint16_t));
        float *in = x.data;
        const uint16_t *out = y.data;
        check_case(c, "%d values", n);
        for (int i = 0; i < n; i++) {
            uint32_t bits = (uint32_t)random_bits(c);
            bits = i % 3 == 0 ? (bits & 0xffff0000) | 0x8000 : bits;
            memcpy(&in[i], &bits, sizeof bits);
        }
        static const uint32_t special[] = {0x7f800000, 0xff800000, 0x7fffffff, 0xffffffff,
                                           0x7f800001, 0x7f7fffff, 0x00000001, 0x80000000};
        memcpy(in, special, n < COUNT(special) ? (size_t)n * sizeof *in : sizeof special);
        c->table->f32_to_bf16(y.data, in, (size_t)n);
        for (int i = 0; i < n; i++) {
            c->n_compared++;
            if (out[i] != rounded_bf16(in[i])) {
                check_fail(c, "%a became %#x, not %#x", (double)in[i], out[i], rounded_bf16(in[i]));
            }
        }
        block_free(&x);
        block_free(&y);
    }
}
