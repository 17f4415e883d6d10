/* Elementwise functions and operations on rows of kernels.h, on the vector primitives of one level
 * (its vec_*.h is included before). The elements behind the last whole vector go through the same
 * code in a padded one, so a value does not depend on where in a vector it falls. */
#ifndef UT_KERNELS_ELEMENTWISE_TEMPLATE_H
#define UT_KERNELS_ELEMENTWISE_TEMPLATE_H

#include <math.h>
#include <stdbool.h>

#include "kernels/levels.h"
#include "kernels/modulate_template.h"
#include "kernels/vec_math.h"

/* Vectors of channels whose moments are summed at a time: hides the latency of an addition. */
enum { MOMENTS_VECTORS = 4 };

ALWAYS_INLINE void map(float *y, const float *x, size_t n, v_float (*function)(v_float x)) {
    size_t i = 0;
    for (; i + V_WIDTH <= n; i += V_WIDTH) {
        v_store(y + i, function(v_load(x + i)));
    }
    if (i < n) {
        v_store_n(y + i, function(v_load_n(x + i, (int)(n - i), 0)), (int)(n - i));
    }
}

ALWAYS_INLINE void map_pair(float *y, const float *a, const float *b, size_t n,
                            v_float (*function)(v_float a, v_float b)) {
    size_t i = 0;
    for (; i + V_WIDTH <= n; i += V_WIDTH) {
        v_store(y + i, function(v_load(a + i), v_load(b + i)));
    }
    if (i < n) {
        int rest = (int)(n - i);
        v_store_n(y + i, function(v_load_n(a + i, rest, 0), v_load_n(b + i, rest, 0)), rest);
    }
}

static void exp_f32(float *y, const float *x, size_t n) {
    map(y, x, n, v_exp);
}

static void tanh_f32(float *y, const float *x, size_t n) {
    map(y, x, n, v_tanh);
}

static void sigmoid_f32(float *y, const float *x, size_t n) {
    map(y, x, n, v_sigmoid);
}

ALWAYS_INLINE v_float v_gelu(v_float x) {
    v_float erf = v_erf(v_mul(x, v_set((float)M_SQRT1_2)));
    return v_mul(v_mul(v_set(0.5f), x), v_add(v_set(1), erf));
}

static void gelu_f32(float *y, const float *x, size_t n) {
    map(y, x, n, v_gelu);
}

/* The tanh form as x * sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3): 1 + tanh would cancel. */
ALWAYS_INLINE v_float v_gelu_tanh(v_float x) {
    v_float cube = v_mul(v_mul(x, x), v_mul(x, v_set(0.044715f)));
    return v_mul(x, v_sigmoid(v_mul(v_set(1.59576912f), v_add(x, cube))));
}

static void gelu_tanh_f32(float *y, const float *x, size_t n) {
    map(y, x, n, v_gelu_tanh);
}

static void sin_f32(float *y, const float *x, size_t n) {
    map(y, x, n, v_sin);
}

static void cos_f32(float *y, const float *x, size_t n) {
    map(y, x, n, v_cos);
}

static void add_f32(float *y, const float *a, const float *b, size_t n) {
    map_pair(y, a, b, n, v_add);
}

static void sub_f32(float *y, const float *a, const float *b, size_t n) {
    map_pair(y, a, b, n, v_sub);
}

static void leaky_relu_f32(float *y, const float *x, float slope, size_t n) {
    for (size_t i = 0; i < n; i += V_WIDTH) {
        v_float v = load_up_to(x + i, (ptrdiff_t)(n - i), 0);
        store_up_to(y + i, v_leaky_relu(v, slope), (ptrdiff_t)(n - i));
    }
}

static void mul_add_f32(float *y, const float *a, float b, const float *c, size_t n) {
    for (size_t i = 0; i < n; i += V_WIDTH) {
        ptrdiff_t rest = (ptrdiff_t)(n - i);
        v_float v = v_fma(load_up_to(a + i, rest, 0), v_set(b), load_up_to(c + i, rest, 0));
        store_up_to(y + i, v, rest);
    }
}

static void f16_to_f32(float *y, const uint16_t *x, size_t n) {
    size_t i = 0;
    for (; i + V_WIDTH <= n; i += V_WIDTH) {
        v_store(y + i, v_load_f16(x + i));
    }
    if (i < n) {
        v_store_n(y + i, v_load_f16_n(x + i, (int)(n - i)), (int)(n - i));
    }
}

static void bf16_to_f32(float *y, const uint16_t *x, size_t n) {
    size_t i = 0;
    for (; i + V_WIDTH <= n; i += V_WIDTH) {
        v_store(y + i, v_load_bf16(x + i));
    }
    if (i < n) {
        v_store_n(y + i, v_load_bf16_n(x + i, (int)(n - i)), (int)(n - i));
    }
}

/* Every NaN becomes the usual one: rounding the bits of some would carry into their sign. */
ALWAYS_INLINE v_int round_to_bf16(v_float x) {
    return v_bf16_bits(v_select(v_equal(x, x), x, v_set(NAN)));
}

static void f32_to_bf16(uint16_t *y, const float *x, size_t n) {
    size_t i = 0;
    for (; i + V_WIDTH <= n; i += V_WIDTH) {
        v_store_halves(y + i, round_to_bf16(v_load(x + i)), V_WIDTH);
    }
    if (i < n) {
        v_store_halves(y + i, round_to_bf16(v_load_n(x + i, (int)(n - i), 0)), (int)(n - i));
    }
}

/* tanh(a) * sigmoid(b) as one quotient: a division costs as much as a polynomial. */
ALWAYS_INLINE v_float v_gate(v_float a, v_float b) {
    v_float q = expm1_twice(a), e = v_exp(v_sub(v_set(0), v_abs(b)));
    v_float top = v_mul(q, v_select(v_greater(v_set(0), b), e, v_set(1)));
    v_float bottom = v_mul(v_add(q, v_set(2)), v_add(v_set(1), e));
    return v_with_sign(v_div(top, bottom), a);
}

static void gate_f32(float *y, ptrdiff_t y_row, const float *a, ptrdiff_t a_row, const float *b,
                     ptrdiff_t b_row, int n_rows, int n_ch) {
    for (int t = 0; t < n_rows; t++) {
        map_pair(y + t * y_row, a + t * a_row, b + t * b_row, (size_t)n_ch, v_gate);
    }
}

ALWAYS_INLINE void modulate_vector(const struct ut_modulate *op, float *y, const float *x, int c,
                                   int n, const bool is_snake) {
    store_up_to(y + c, v_modulate(op, load_up_to(x + c, n, 0), c, n, is_snake), n);
}

ALWAYS_INLINE void modulate(const struct ut_modulate *op, const bool is_snake) {
    for (int t = 0; t < op->n_rows; t++) {
        const float *x = op->x + t * op->x_row;
        float *y = op->y + t * op->y_row;
        int c = 0;
        for (; c + V_WIDTH <= op->n_ch; c += V_WIDTH) {
            modulate_vector(op, y, x, c, V_WIDTH, is_snake);
        }
        if (c < op->n_ch) {
            modulate_vector(op, y, x, c, op->n_ch - c, is_snake);
        }
    }
}

static void modulate_f32(const struct ut_modulate *op) {
    if (op->alpha) {
        modulate(op, true);
    } else {
        modulate(op, false);
    }
}

/* n channels (at most n_vectors whole vectors) over all rows, their sums in registers. */
ALWAYS_INLINE void moments_block(float *mean, float *m2, const float *x, ptrdiff_t x_row,
                                 int n_rows, int n, const int n_vectors) {
    v_float sum[MOMENTS_VECTORS], squares[MOMENTS_VECTORS];
    UNROLL_ALL
    for (int j = 0; j < n_vectors; j++) {
        sum[j] = squares[j] = v_set(0);
    }
    for (int t = 0; t < n_rows; t++) {
        UNROLL_ALL
        for (int j = 0; j < n_vectors; j++) {
            sum[j] = v_add(sum[j], load_up_to(x + t * x_row + j * V_WIDTH, n, 0));
        }
    }
    UNROLL_ALL
    for (int j = 0; j < n_vectors; j++) {
        sum[j] = v_div(sum[j], v_set((float)n_rows));
        store_up_to(mean + j * V_WIDTH, sum[j], n);
    }
    for (int t = 0; t < n_rows; t++) {
        UNROLL_ALL
        for (int j = 0; j < n_vectors; j++) {
            v_float d = v_sub(load_up_to(x + t * x_row + j * V_WIDTH, n, 0), sum[j]);
            squares[j] = v_fma(d, d, squares[j]);
        }
    }
    UNROLL_ALL
    for (int j = 0; j < n_vectors; j++) {
        store_up_to(m2 + j * V_WIDTH, squares[j], n);
    }
}

static void moments_f32(float *mean, float *m2, const float *x, ptrdiff_t x_row, int n_rows,
                        int n_ch) {
    int c = 0;
    for (; c + MOMENTS_VECTORS * V_WIDTH <= n_ch; c += MOMENTS_VECTORS * V_WIDTH) {
        moments_block(mean + c, m2 + c, x + c, x_row, n_rows, V_WIDTH, MOMENTS_VECTORS);
    }
    for (; c < n_ch; c += V_WIDTH) {
        moments_block(mean + c, m2 + c, x + c, x_row, n_rows, n_ch - c, 1);
    }
}

static void lstm_cell_f32(float *h, float *c, const float *gates, int n) {
    for (int j = 0; j < n; j += V_WIDTH) {
        int rest = n - j;
        v_float i = load_up_to(gates + j, rest, 0);
        v_float f = load_up_to(gates + n + j, rest, 0);
        v_float g = load_up_to(gates + 2 * n + j, rest, 0);
        v_float o = load_up_to(gates + 3 * n + j, rest, 0);
        v_float cell = v_fma(v_sigmoid(f), load_up_to(c + j, rest, 0), v_gate(g, i));
        store_up_to(c + j, cell, rest);
        store_up_to(h + j, v_gate(cell, o), rest);
    }
}

static void depthwise_f32(const struct ut_depthwise *op) {
    for (int t = 0; t < op->n_rows; t++) {
        const float *x = op->x + t * op->x_row;
        float *y = op->y + t * op->y_row;
        for (int c = 0; c < op->n_ch; c += V_WIDTH) {
            int rest = op->n_ch - c;
            v_float acc = load_up_to(op->bias + c, rest, 0);
            for (int k = 0; k < op->n_taps; k++) {
                v_float w = load_up_to(op->w + (size_t)k * op->n_ch + c, rest, 0);
                acc = v_fma(load_up_to(x + k * op->x_tap + c, rest, 0), w, acc);
            }
            store_up_to(y + c, acc, rest);
        }
    }
}

/* Four vectors of partial sums hide the latency of the multiply-add. */
static float dot(const float *x, const float *w, int n) {
    v_float acc[4] = {v_set(0), v_set(0), v_set(0), v_set(0)};
    int i = 0;
    for (; i + 4 * V_WIDTH <= n; i += 4 * V_WIDTH) {
        UNROLL_4
        for (int j = 0; j < 4; j++) {
            acc[j] = v_fma(v_load(x + i + j * V_WIDTH), v_load(w + i + j * V_WIDTH), acc[j]);
        }
    }
    for (; i < n; i += V_WIDTH) {
        acc[0] = v_fma(load_up_to(x + i, n - i, 0), load_up_to(w + i, n - i, 0), acc[0]);
    }
    return v_sum(v_add(v_add(acc[0], acc[1]), v_add(acc[2], acc[3])));
}

static void dot_rows_f32(float *y, const float *x, ptrdiff_t x_row, const float *w, float bias,
                         int n, int n_rows) {
    for (int t = 0; t < n_rows; t++) {
        y[t] = bias + dot(x + t * x_row, w, n);
    }
}

/* x[c] + add[c] for up to a vector of channels; `fill` behind the last one. */
ALWAYS_INLINE v_float load_sum(const float *x, const float *add, int c, int n_ch, float fill) {
    v_float v = load_up_to(x + c, n_ch - c, fill);
    return add ? v_add(v, load_up_to(add + c, n_ch - c, 0)) : v;
}

static void layernorm_row(float *y, const float *x, const float *add, const float *gamma,
                          const float *beta, float eps, int n_ch) {
    v_float sum = v_set(0), squares = v_set(0);
    for (int c = 0; c < n_ch; c += V_WIDTH) {
        sum = v_add(sum, load_sum(x, add, c, n_ch, 0));
    }
    float mean = v_sum(sum) / (float)n_ch;
    for (int c = 0; c < n_ch; c += V_WIDTH) { /* filled with the mean, the padding adds nothing */
        v_float d = v_sub(load_sum(x, add, c, n_ch, mean), v_set(mean));
        squares = v_fma(d, d, squares);
    }
    v_float inverse = v_set(1 / sqrtf(v_sum(squares) / (float)n_ch + eps));
    for (int c = 0; c < n_ch; c += V_WIDTH) {
        v_float scaled = v_mul(v_sub(load_sum(x, add, c, n_ch, 0), v_set(mean)), inverse);
        v_float g = load_up_to(gamma + c, n_ch - c, 0), b = load_up_to(beta + c, n_ch - c, 0);
        store_up_to(y + c, v_fma(scaled, g, b), n_ch - c);
    }
}

static void layernorm_f32(float *y, ptrdiff_t y_row, const float *x, ptrdiff_t x_row,
                          const float *add, ptrdiff_t add_row, const float *gamma,
                          const float *beta, float eps, int n_rows, int n_ch) {
    for (int t = 0; t < n_rows; t++) {
        layernorm_row(y + t * y_row, x + t * x_row, add ? add + t * add_row : NULL, gamma, beta,
                      eps, n_ch);
    }
}

static void softmax_f32(float *x, ptrdiff_t row, int n_rows, int n) {
    for (int t = 0; t < n_rows; t++, x += row) {
        v_float max = v_set(-INFINITY), sum = v_set(0);
        for (int i = 0; i < n; i += V_WIDTH) {
            max = v_max(max, load_up_to(x + i, n - i, -INFINITY));
        }
        max = v_set(v_largest(max));
        for (int i = 0; i < n; i += V_WIDTH) { /* the padding becomes exp(-inf) = 0 */
            v_float e = v_exp(v_sub(load_up_to(x + i, n - i, -INFINITY), max));
            sum = v_add(sum, e);
            store_up_to(x + i, e, n - i);
        }
        v_float inverse = v_set(1 / v_sum(sum));
        for (int i = 0; i < n; i += V_WIDTH) {
            store_up_to(x + i, v_mul(load_up_to(x + i, n - i, 0), inverse), n - i);
        }
    }
}

static void fill_elementwise(struct ut_kernels *table) {
    table->depthwise_f32 = depthwise_f32;
    table->dot_rows_f32 = dot_rows_f32;
    table->layernorm_f32 = layernorm_f32;
    table->softmax_f32 = softmax_f32;
    table->gate_f32 = gate_f32;
    table->modulate_f32 = modulate_f32;
    table->moments_f32 = moments_f32;
    table->lstm_cell_f32 = lstm_cell_f32;
    table->leaky_relu_f32 = leaky_relu_f32;
    table->gelu_f32 = gelu_f32;
    table->gelu_tanh_f32 = gelu_tanh_f32;
    table->sin_f32 = sin_f32;
    table->cos_f32 = cos_f32;
    table->tanh_f32 = tanh_f32;
    table->sigmoid_f32 = sigmoid_f32;
    table->exp_f32 = exp_f32;
    table->add_f32 = add_f32;
    table->sub_f32 = sub_f32;
    table->mul_add_f32 = mul_add_f32;
    table->f16_to_f32 = f16_to_f32;
    table->bf16_to_f32 = bf16_to_f32;
    table->f32_to_bf16 = f32_to_bf16;
}

#endif
