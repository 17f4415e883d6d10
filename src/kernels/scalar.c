/* The specification: every entry of kernels.h in plain C, products and sums rounded separately
 * (but in modulate, whose bits narrow.h promises), functions from libm. No speed here; the other
 * levels are checked against this one. */
#include <math.h>

#include "base/half_float.h"
#include "kernels/levels.h"

enum { PANEL = 8 };
enum weight_type { WEIGHT_F32, WEIGHT_F16, WEIGHT_BF16 };

static inline float weight_at(const void *w, size_t i, enum weight_type type) {
    switch (type) {
    case WEIGHT_F16:
        return ut_float_from_f16(((const uint16_t *)w)[i]);
    case WEIGHT_BF16:
        return ut_float_from_bf16(((const uint16_t *)w)[i]);
    default:
        return ((const float *)w)[i];
    }
}

/* acc[0..PANEL) of row t for the channels from o on. */
static inline void conv_sum(float *acc, const struct ut_conv *op, int t, int o,
                            enum weight_type type) {
    for (int j = 0; j < PANEL; j++) {
        acc[j] = op->bias ? op->bias[o + j] : 0;
    }
    size_t i = (size_t)o * op->n_taps * op->n_in; /* panels before this one: o / PANEL */
    for (int k = 0; k < op->n_taps; k++) {
        const float *x = op->x + t * op->x_row + k * op->x_tap;
        for (int c = 0; c < op->n_in; c++, i += PANEL) {
            for (int j = 0; j < PANEL; j++) {
                acc[j] += x[c] * weight_at(op->w, i + j, type);
            }
        }
    }
}

void ut_kernels_store_scalar(const struct ut_conv *op, float acc, int t, int o) {
    float v = acc;
    if (op->add) {
        v += op->add[t * op->add_row + o];
    }
    if (op->add2) {
        v += op->add2[t * op->add2_row + o];
    }
    v *= op->scale;
    if (op->y) {
        op->y[t * op->y_row + o] = v;
    }
    if (op->y_act) {
        op->y_act[t * op->y_act_row + o] = v > 0 ? v : v * op->slope;
    }
}

static void conv_store(const struct ut_conv *op, const float *acc, int t, int o) {
    for (int j = 0; j < PANEL && o + j < op->n_out; j++) {
        ut_kernels_store_scalar(op, acc[j], t, o + j);
    }
}

static inline void conv(const struct ut_conv *op, enum weight_type type) {
    for (int t = 0; t < op->n_rows; t++) {
        for (int o = 0; o < op->n_out; o += PANEL) {
            float acc[PANEL];
            conv_sum(acc, op, t, o, type);
            conv_store(op, acc, t, o);
        }
    }
}

static void conv_f32(const struct ut_conv *op) {
    conv(op, WEIGHT_F32);
}

static void conv_f16(const struct ut_conv *op) {
    conv(op, WEIGHT_F16);
}

static void conv_bf16(const struct ut_conv *op) {
    conv(op, WEIGHT_BF16);
}

static void depthwise_f32(const struct ut_depthwise *op) {
    for (int t = 0; t < op->n_rows; t++) {
        for (int c = 0; c < op->n_ch; c++) {
            float acc = op->bias[c];
            for (int k = 0; k < op->n_taps; k++) {
                acc += op->x[t * op->x_row + k * op->x_tap + c] * op->w[(size_t)k * op->n_ch + c];
            }
            op->y[t * op->y_row + c] = acc;
        }
    }
}

static void dot_rows_f32(float *y, const float *x, ptrdiff_t x_row, const float *w, float bias,
                         int n, int n_rows) {
    for (int t = 0; t < n_rows; t++) {
        float acc = bias;
        for (int i = 0; i < n; i++) {
            acc += x[t * x_row + i] * w[i];
        }
        y[t] = acc;
    }
}

static void layernorm_f32(float *y, ptrdiff_t y_row, const float *x, ptrdiff_t x_row,
                          const float *add, ptrdiff_t add_row, const float *gamma,
                          const float *beta, float eps, int n_rows, int n_ch) {
    for (int t = 0; t < n_rows; t++, y += y_row, x += x_row, add = add ? add + add_row : NULL) {
        float sum = 0, sum_squares = 0;
        for (int c = 0; c < n_ch; c++) {
            sum += add ? x[c] + add[c] : x[c];
        }
        float mean = sum / (float)n_ch;
        for (int c = 0; c < n_ch; c++) {
            float d = (add ? x[c] + add[c] : x[c]) - mean;
            sum_squares += d * d;
        }
        float inverse = 1 / sqrtf(sum_squares / (float)n_ch + eps);
        for (int c = 0; c < n_ch; c++) {
            float v = add ? x[c] + add[c] : x[c];
            y[c] = (v - mean) * inverse * gamma[c] + beta[c];
        }
    }
}

static void softmax_f32(float *x, ptrdiff_t row, int n_rows, int n) {
    for (int t = 0; t < n_rows; t++, x += row) {
        float max = x[0], sum = 0;
        for (int i = 1; i < n; i++) {
            max = fmaxf(max, x[i]);
        }
        for (int i = 0; i < n; i++) {
            x[i] = expf(x[i] - max);
            sum += x[i];
        }
        float inverse = 1 / sum;
        for (int i = 0; i < n; i++) {
            x[i] *= inverse;
        }
    }
}

/* In the form that keeps small results exact: 1 / (1 + exp(-x)) overflows to 0 below -88. */
static float sigmoid(float x) {
    float e = expf(-fabsf(x));
    return (x < 0 ? e : 1) / (1 + e);
}

static void gate_f32(float *y, ptrdiff_t y_row, const float *a, ptrdiff_t a_row, const float *b,
                     ptrdiff_t b_row, int n_rows, int n_ch) {
    for (int t = 0; t < n_rows; t++) {
        for (int c = 0; c < n_ch; c++) {
            y[t * y_row + c] = tanhf(a[t * a_row + c]) * sigmoid(b[t * b_row + c]);
        }
    }
}

/* The sine in double: alpha * v may be large, and its square is divided by alpha afterwards. */
static float snake(float v, float alpha, float inv_alpha) {
    double s = sin((double)alpha * v);
    return v + (float)(s * s) * inv_alpha;
}

void ut_kernels_modulate_scalar(const struct ut_modulate *op) {
    for (int t = 0; t < op->n_rows; t++) {
        const float *x = op->x + t * op->x_row;
        float *y = op->y + t * op->y_row;
        for (int c = 0; c < op->n_ch; c++) {
            float v = op->scale ? fmaf(x[c], op->scale[c], op->shift[c]) : x[c];
            if (op->alpha) {
                y[c] = snake(v, op->alpha[c], op->inv_alpha[c]);
            } else {
                y[c] = v > 0 ? v : v * op->slope;
            }
        }
    }
}

static void moments_f32(float *mean, float *m2, const float *x, ptrdiff_t x_row, int n_rows,
                        int n_ch) {
    for (int c = 0; c < n_ch; c++) {
        float sum = 0, squares = 0;
        for (int t = 0; t < n_rows; t++) {
            sum += x[t * x_row + c];
        }
        mean[c] = sum / (float)n_rows;
        for (int t = 0; t < n_rows; t++) {
            float d = x[t * x_row + c] - mean[c];
            squares += d * d;
        }
        m2[c] = squares;
    }
}

static void lstm_cell_f32(float *h, float *c, const float *gates, int n) {
    const float *i = gates, *f = gates + n, *g = gates + 2 * n, *o = gates + 3 * n;
    for (int j = 0; j < n; j++) {
        c[j] = sigmoid(f[j]) * c[j] + sigmoid(i[j]) * tanhf(g[j]);
        h[j] = sigmoid(o[j]) * tanhf(c[j]);
    }
}

static void leaky_relu_f32(float *y, const float *x, float slope, size_t n) {
    for (size_t i = 0; i < n; i++) {
        y[i] = x[i] > 0 ? x[i] : x[i] * slope;
    }
}

static void gelu_f32(float *y, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        y[i] = 0.5f * x[i] * (1 + erff(x[i] * (float)M_SQRT1_2));
    }
}

/* 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), arXiv:1606.08415. */
static void gelu_tanh_f32(float *y, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        float u = 0.797884561f * (x[i] + 0.044715f * (x[i] * x[i] * x[i]));
        y[i] = 0.5f * x[i] * (1 + tanhf(u));
    }
}

static void sin_f32(float *y, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        y[i] = (float)sin(x[i]);
    }
}

static void cos_f32(float *y, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        y[i] = (float)cos(x[i]);
    }
}

static void tanh_f32(float *y, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        y[i] = tanhf(x[i]);
    }
}

static void sigmoid_f32(float *y, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        y[i] = sigmoid(x[i]);
    }
}

static void exp_f32(float *y, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        y[i] = expf(x[i]);
    }
}

static void add_f32(float *y, const float *a, const float *b, size_t n) {
    for (size_t i = 0; i < n; i++) {
        y[i] = a[i] + b[i];
    }
}

static void sub_f32(float *y, const float *a, const float *b, size_t n) {
    for (size_t i = 0; i < n; i++) {
        y[i] = a[i] - b[i];
    }
}

static void mul_add_f32(float *y, const float *a, float b, const float *c, size_t n) {
    for (size_t i = 0; i < n; i++) {
        y[i] = a[i] * b + c[i];
    }
}

static void f16_to_f32(float *y, const uint16_t *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        y[i] = ut_float_from_f16(x[i]);
    }
}

static void bf16_to_f32(float *y, const uint16_t *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        y[i] = ut_float_from_bf16(x[i]);
    }
}

static void f32_to_bf16(uint16_t *y, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        y[i] = isnan(x[i]) ? 0x7fc0
                           : ut_narrow_bf16(x[i]); /* rounding would carry into a NaN's sign */
    }
}

void ut_kernels_fill_scalar(struct ut_kernels *table) {
    table->panel = PANEL;
    table->conv_f32 = conv_f32;
    table->conv_f16 = conv_f16;
    table->conv_bf16 = conv_bf16;
    ut_kernels_fill_filter_scalar(table);
    table->depthwise_f32 = depthwise_f32;
    table->dot_rows_f32 = dot_rows_f32;
    table->layernorm_f32 = layernorm_f32;
    table->softmax_f32 = softmax_f32;
    table->gate_f32 = gate_f32;
    table->spline_inverse_f32 = ut_kernels_spline_inverse;
    table->modulate_f32 = ut_kernels_modulate_scalar;
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
