/* The readable arithmetic of narrow.h. int8: rows are bytes q + zero; a panel is the rounded
 * weights [n_taps][n_in][panel] as signed bytes, with the sums over n_in behind, [n_taps][panel],
 * that undo the `zero` of the rows. bfloat16: rows and panels hold its bits. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/half_float.h"
#include "kernels/levels.h"

enum { PANEL = 8 };

static size_t row_bytes(int n_ch) {
    return ((size_t)n_ch + 3) / 4 * 4;
}

static size_t weights_bytes(int n_taps, int n_in) {
    return ((size_t)n_taps * (size_t)n_in * PANEL + 63) / 64 * 64;
}

static size_t panel_bytes(int n_taps, int n_in) {
    return weights_bytes(n_taps, n_in) + ((size_t)n_taps * PANEL * sizeof(int32_t) + 63) / 64 * 64;
}

float ut_narrow_weight_scale(const float *w, size_t n) {
    float largest = 0;
    for (size_t i = 0; i < n; i++) {
        largest = fmaxf(largest, fabsf(w[i]));
    }
    return largest / 127;
}

int ut_narrow_weight(float w, float scale) {
    float q = scale > 0 ? rintf(w / scale) : 0;
    return (int)fminf(fmaxf(q, -127), 127);
}

uint16_t ut_narrow_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static void pack(void *panel, float *w_scale, const float *w, int n, int n_taps, int n_in,
                 int zero) {
    size_t n_channel = (size_t)n_taps * (size_t)n_in;
    int8_t *weights = panel;
    int32_t *sums = (int32_t *)((char *)panel + weights_bytes(n_taps, n_in));
    memset(panel, 0, panel_bytes(n_taps, n_in));
    for (int o = 0; o < PANEL; o++) {
        float own = o < n ? ut_narrow_weight_scale(w + (size_t)o * n_channel, n_channel) : 0;
        w_scale[o] = o < n && w_scale[o] > 0 ? w_scale[o] : own;
        for (int i = 0; o < n && i < n_taps * n_in; i++) {
            int q = ut_narrow_weight(w[(size_t)o * n_channel + (size_t)i], w_scale[o]);
            weights[i * PANEL + o] = (int8_t)q;
            sums[i / n_in * PANEL + o] += q * zero;
        }
    }
}

static size_t row_bytes_b16(int n_ch) {
    return ((size_t)n_ch + 1) / 2 * 4;
}

static size_t panel_bytes_b16(int n_taps, int n_in) {
    return ((size_t)n_taps * (size_t)n_in * PANEL * sizeof(uint16_t) + 63) / 64 * 64;
}

static void pack_b16(void *panel, float *w_scale, const float *w, int n, int n_taps, int n_in,
                     int zero) {
    uint16_t *weights = panel;
    memset(panel, 0, panel_bytes_b16(n_taps, n_in));
    for (int o = 0; o < PANEL; o++) {
        w_scale[o] = o < n ? 1 : 0;
        for (int i = 0; o < n && i < n_taps * n_in; i++) {
            weights[i * PANEL + o] = ut_narrow_bf16(*w++);
        }
    }
}

/* One row. The scale is NaN where a value is not finite: 0 * x is not 0 then. */
static void quantize_row(const float *x, int n_ch, const struct ut_narrow_rows *to, int t) {
    uint8_t *q = (uint8_t *)to->data + t * to->row;
    float highest = 0, lowest = 0, poison = 0;
    for (int c = 0; c < n_ch; c++) {
        highest = x[c] > highest ? x[c] : highest;
        lowest = x[c] < lowest ? x[c] : lowest;
        poison += 0 * x[c];
    }
    float zero = (float)to->zero;
    float scale = fmaxf(highest / (255 - zero), -lowest / zero) + poison;
    float inverse = scale > 0 ? 1 / scale : 0;
    /* The reciprocal of a subnormal scale would be infinite: such a row counts as zeros. */
    bool counts = !(scale < 1.2e-38f);
    to->scale[t * to->scale_row] = counts ? scale : 0;
    for (int c = 0; c < n_ch; c++) {
        float v = counts && scale > 0 ? rintf(x[c] * inverse) + zero : zero;
        q[c] = (uint8_t)(int)fminf(fmaxf(v, 0), 255);
    }
    memset(q + n_ch, to->zero, row_bytes(n_ch) - (size_t)n_ch);
}

/* One row in bfloat16, without values where its scale is 0 or NaN. */
static void round_row(const float *x, int n_ch, const struct ut_narrow_rows *to, int t) {
    uint16_t *q = (uint16_t *)((char *)to->data + t * to->row);
    float largest = 0, poison = 0;
    for (int c = 0; c < n_ch; c++) {
        largest = fmaxf(largest, fabsf(x[c]));
        poison += 0 * x[c];
    }
    to->scale[t * to->scale_row] = (largest > 0 ? 1 : 0) + poison;
    memset(q, 0, row_bytes_b16(n_ch));
    for (int c = 0; c < n_ch && poison == 0; c++) {
        q[c] = ut_narrow_bf16(x[c]);
    }
}

typedef void store_row(const float *x, int n_ch, const struct ut_narrow_rows *to, int t);
typedef float dot_of(const struct ut_narrow_conv *op, int t, int k, int o);

static void quantize_rows(const struct ut_modulate *from, const struct ut_narrow_rows *to,
                          store_row *store) {
    float row[UT_NARROW_MAX_CH];
    for (int t = 0; t < from->n_rows; t++) {
        struct ut_modulate one = *from;
        one.x += t * from->x_row;
        one.y = row;
        one.n_rows = 1;
        ut_kernels_modulate_scalar(&one);
        store(row, from->n_ch, to, t);
    }
}

static void quantize_i8(const struct ut_modulate *from, const struct ut_narrow_rows *to) {
    quantize_rows(from, to, quantize_row);
}

static void quantize_b16(const struct ut_modulate *from, const struct ut_narrow_rows *to) {
    quantize_rows(from, to, round_row);
}

static float dot_i8(const struct ut_narrow_conv *op, int t, int k, int o) {
    const char *panel =
        (const char *)op->w + (size_t)(o / PANEL) * panel_bytes(op->n_taps, op->n_in);
    const uint8_t *x = (const uint8_t *)op->x + t * op->x_row + k * op->x_tap;
    const int8_t *w = (const int8_t *)panel + (ptrdiff_t)k * op->n_in * PANEL + o % PANEL;
    const int32_t *sums = (const int32_t *)(panel + weights_bytes(op->n_taps, op->n_in));
    int32_t sum = -sums[k * PANEL + o % PANEL];
    for (int c = 0; c < op->n_in; c++) {
        sum += x[c] * w[(ptrdiff_t)c * PANEL];
    }
    return (float)sum;
}

static float dot_b16(const struct ut_narrow_conv *op, int t, int k, int o) {
    const char *panel =
        (const char *)op->w + (size_t)(o / PANEL) * panel_bytes_b16(op->n_taps, op->n_in);
    const uint16_t *x = (const uint16_t *)((const char *)op->x + t * op->x_row + k * op->x_tap);
    const uint16_t *w = (const uint16_t *)panel + (ptrdiff_t)k * op->n_in * PANEL + o % PANEL;
    float sum = 0;
    bool counts = op->x_scale[t * op->scale_row + k * op->scale_tap] != 0;
    for (int c = 0; c < op->n_in && counts; c++) {
        sum = fmaf(ut_float_from_bf16(x[c]), ut_float_from_bf16(w[(ptrdiff_t)c * PANEL]), sum);
    }
    return sum;
}

static void conv_row(const struct ut_narrow_conv *op, int t, float *activated, dot_of *dot) {
    for (int o = 0; o < op->n_out; o++) {
        float s = 0;
        for (int k = 0; k < op->n_taps; k++) {
            s = fmaf(op->x_scale[t * op->scale_row + k * op->scale_tap], dot(op, t, k, o), s);
        }
        float v = fmaf(s, op->w_scale[o], op->bias ? op->bias[o] : 0);
        if (op->add) {
            v += op->add[t * op->add_row + o];
        }
        if (op->add2) {
            v += op->add2[t * op->add2_row + o];
        }
        v *= op->scale;
        float a = v > 0 ? v : v * op->slope;
        if (op->y) {
            op->y[t * op->y_row + o] = v;
        }
        if (op->y_act) {
            op->y_act[t * op->y_act_row + o] = a;
        }
        if (op->q.data) {
            activated[o] = a;
        }
    }
}

static void conv(const struct ut_narrow_conv *op, dot_of *dot, store_row *store) {
    float activated[UT_NARROW_MAX_CH];
    for (int t = 0; t < op->n_rows; t++) {
        conv_row(op, t, activated, dot);
        if (op->q.data) {
            store(activated, op->n_out, &op->q, t);
        }
    }
}

static void conv_i8(const struct ut_narrow_conv *op) {
    conv(op, dot_i8, quantize_row);
}

static void conv_b16(const struct ut_narrow_conv *op) {
    conv(op, dot_b16, round_row);
}

const struct ut_narrow ut_kernels_i8_scalar = {
    .name = "int8",
    .panel = PANEL,
    .row_bytes = row_bytes,
    .panel_bytes = panel_bytes,
    .pack = pack,
    .quantize = quantize_i8,
    .conv = conv_i8,
};

const struct ut_narrow ut_kernels_b16_scalar = {
    .name = "bfloat16",
    .panel = PANEL,
    .row_bytes = row_bytes_b16,
    .panel_bytes = panel_bytes_b16,
    .pack = pack_b16,
    .quantize = quantize_b16,
    .conv = conv_b16,
};
