/* The convolution of kernels.h on the vector primitives of one level. The including file has
 * included its vec_*.h and defined CONV_ROWS, the rows of the largest tile, and PANEL_VECTORS, the
 * vectors of a panel: CONV_ROWS x PANEL_VECTORS accumulators, PANEL_VECTORS weight vectors and one
 * broadcast activation must fit the level's registers.
 *
 * A tile (rows x one panel) stays in registers over all taps and input channels. The weights of a
 * panel are streamed once for each tile, from the L1 or L2 cache; activations are broadcast from
 * memory. Each element is one chain of fused multiply-adds that starts at its bias, in the order of
 * (tap, channel), whatever the tile. */
#ifndef UT_KERNELS_CONV_TEMPLATE_H
#define UT_KERNELS_CONV_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/levels.h"
#include "kernels/peak_template.h"
#include "kernels/unroll.h"

enum weight_type { WEIGHT_F32, WEIGHT_F16, WEIGHT_BF16 };

enum {
    PANEL = PANEL_VECTORS * V_WIDTH,
    /* Rows that go through all panels before the next ones: their inputs, 16 kB to 1 MB in the
     * models at hand, then come from the L2 cache for every panel but the first. Fewer rows stream
     * weights that only the L3 cache holds more often (120: 5 % of 1024 -> 1024 channels on AVX2).
     */
    BLOCK_ROWS = 240,              /* a multiple of CONV_ROWS */
    ROW_PANELS = 8 / PANEL_VECTORS /* panels that a single row goes through at a time */
};

/* V_WIDTH weights from element i on. */
ALWAYS_INLINE v_float load_weight(const void *w, size_t i, enum weight_type type) {
    switch (type) {
    case WEIGHT_F16:
        return v_load_f16((const uint16_t *)w + i);
    case WEIGHT_BF16:
        return v_load_bf16((const uint16_t *)w + i);
    default:
        return v_load((const float *)w + i);
    }
}

/* One tap: acc[r] += x[r * row + c] * w[c] for c in 0..n_in - 1, where w starts at element i. */
ALWAYS_INLINE void add_tap(v_float acc[CONV_ROWS][PANEL_VECTORS], const float *x, ptrdiff_t row,
                           const void *w, size_t i, int n_in, const int n_rows,
                           const enum weight_type type) {
    /* A pointer for every third row, hidden from the optimizer, which would keep one for each row
     * in memory (2 % on AVX-512). */
    const float *base[(CONV_ROWS + 2) / 3];
    UNROLL_ALL
    for (int b = 0; b * 3 < n_rows; b++) {
        base[b] = x + b * 3 * row;
        __asm__("" : "+r"(base[b]));
    }
    UNROLL_4
    for (int c = 0; c < n_in; c++, i += PANEL) {
        v_float weights[PANEL_VECTORS];
        UNROLL_ALL
        for (int v = 0; v < PANEL_VECTORS; v++) {
            weights[v] = load_weight(w, i + v * V_WIDTH, type);
        }
        UNROLL_ALL
        for (int r = 0; r < n_rows; r++) {
            v_float value = v_set(base[r / 3][r % 3 * row + c]);
            UNROLL_ALL
            for (int v = 0; v < PANEL_VECTORS; v++) {
                acc[r][v] = v_fma(value, weights[v], acc[r][v]);
            }
        }
    }
}

/* What follows the sums: n channels (all of the vector when n >= V_WIDTH) from o on of row t. */
ALWAYS_INLINE void store_vector(const struct ut_conv *op, v_float v, int t, int o, int n) {
    bool whole = n >= V_WIDTH;
    if (op->add) {
        const float *add = op->add + t * op->add_row + o;
        v = v_add(v, whole ? v_load(add) : v_load_n(add, n, 0));
    }
    if (op->add2) {
        const float *add2 = op->add2 + t * op->add2_row + o;
        v = v_add(v, whole ? v_load(add2) : v_load_n(add2, n, 0));
    }
    v = v_mul(v, v_set(op->scale));
    v_float act = v_select(v_greater(v, v_set(0)), v, v_mul(v, v_set(op->slope)));
    if (whole) {
        if (op->y) {
            v_store(op->y + t * op->y_row + o, v);
        }
        if (op->y_act) {
            v_store(op->y_act + t * op->y_act_row + o, act);
        }
        return;
    }
    if (op->y) {
        v_store_n(op->y + t * op->y_row + o, v, n);
    }
    if (op->y_act) {
        v_store_n(op->y_act + t * op->y_act_row + o, act, n);
    }
}

/* Not inlined: one copy serves all tiles and weight types, and its branches cost 1 to 3 % of the
 * smallest convolution (32 channels, 3 taps). */
static __attribute__((noinline)) void store_tile(const struct ut_conv *op, const float *tile,
                                                 int t0, int o, int n_rows) {
    for (int r = 0; r < n_rows; r++, tile += PANEL) {
        for (int v = 0; v < PANEL && o + v < op->n_out; v += V_WIDTH) {
            store_vector(op, v_load(tile + v), t0 + r, o + v, op->n_out - o - v);
        }
    }
}

/* Rows t0..t0 + n_rows of the panel that starts at channel o. */
ALWAYS_INLINE void conv_tile(const struct ut_conv *op, int t0, int o, const int n_rows,
                             const enum weight_type type) {
    v_float acc[CONV_ROWS][PANEL_VECTORS];
    UNROLL_ALL
    for (int v = 0; v < PANEL_VECTORS; v++) {
        v_float bias = op->bias ? v_load(op->bias + o + v * V_WIDTH) : v_set(0);
        UNROLL_ALL
        for (int r = 0; r < n_rows; r++) {
            acc[r][v] = bias;
        }
    }
    size_t tap = (size_t)op->n_in * PANEL, first = (size_t)(o / PANEL) * op->n_taps * tap;
    for (int k = 0; k < op->n_taps; k++) {
        add_tap(acc, op->x + t0 * op->x_row + k * op->x_tap, op->x_row, op->w, first + k * tap,
                op->n_in, n_rows, type);
    }
    float tile[CONV_ROWS * PANEL] __attribute__((aligned(64)));
    /* Sums that are stored as they are, those of minimal filtering: 5 to 10 % of its time. */
    bool straight = op->y && !op->y_act && !op->add && !op->add2 && op->scale == 1 &&
                    o + PANEL <= op->n_out;
    float *y = straight ? op->y + t0 * op->y_row + o : tile;
    ptrdiff_t row = straight ? op->y_row : PANEL;
    UNROLL_ALL
    for (int r = 0; r < n_rows; r++) {
        UNROLL_ALL
        for (int v = 0; v < PANEL_VECTORS; v++) {
            v_store(y + r * row + v * V_WIDTH, acc[r][v]);
        }
    }
    if (!straight) {
        store_tile(op, tile, t0, o, n_rows);
    }
}

/* One panel of rows t..end: whole tiles, then halving ones. */
ALWAYS_INLINE void conv_panel(const struct ut_conv *op, int t, int end, int o,
                              const enum weight_type type) {
    for (; t + CONV_ROWS <= end; t += CONV_ROWS) {
        conv_tile(op, t, o, CONV_ROWS, type);
    }
    if (CONV_ROWS > 8 && t + 8 <= end) {
        conv_tile(op, t, o, CONV_ROWS > 8 ? 8 : 1, type);
        t += 8;
    }
    if (t + 4 <= end) {
        conv_tile(op, t, o, 4, type);
        t += 4;
    }
    if (t + 2 <= end) {
        conv_tile(op, t, o, 2, type);
        t += 2;
    }
    if (t < end) {
        conv_tile(op, t, o, 1, type);
    }
}

/* One row of n_panels panels from channel o on, their chains side by side: a single row is a
 * product of matrix and vector, and one panel's chains would wait for the latency of their own
 * multiply-adds. */
ALWAYS_INLINE void conv_single_row(const struct ut_conv *op, int o, const int n_panels,
                                   const enum weight_type type) {
    const int n_vectors = n_panels * PANEL_VECTORS;
    v_float acc[ROW_PANELS * PANEL_VECTORS];
    size_t tap = (size_t)op->n_in * PANEL, panel = op->n_taps * tap;
    size_t i = (size_t)(o / PANEL) * panel;
    UNROLL_ALL
    for (int v = 0; v < n_vectors; v++) {
        acc[v] = op->bias ? v_load(op->bias + o + v * V_WIDTH) : v_set(0);
    }
    for (int k = 0; k < op->n_taps; k++) {
        const float *x = op->x + k * op->x_tap;
        for (int c = 0; c < op->n_in; c++, i += PANEL) {
            v_float value = v_set(x[c]);
            UNROLL_ALL
            for (int v = 0; v < n_vectors; v++) {
                size_t at = i + v / PANEL_VECTORS * panel + v % PANEL_VECTORS * V_WIDTH;
                acc[v] = v_fma(value, load_weight(op->w, at, type), acc[v]);
            }
        }
    }
    float tile[ROW_PANELS * PANEL] __attribute__((aligned(64)));
    UNROLL_ALL
    for (int v = 0; v < n_vectors; v++) {
        v_store(tile + v * V_WIDTH, acc[v]);
    }
    for (int p = 0; p < n_panels; p++) {
        store_tile(op, tile + p * PANEL, 0, o + p * PANEL, 1);
    }
}

ALWAYS_INLINE void conv(const struct ut_conv *op, const enum weight_type type) {
    if (op->n_rows == 1) {
        int o = 0;
        for (; o + (ROW_PANELS - 1) * PANEL < op->n_out; o += ROW_PANELS * PANEL) {
            conv_single_row(op, o, ROW_PANELS, type);
        }
        for (; o < op->n_out; o += PANEL) {
            conv_single_row(op, o, 1, type);
        }
        return;
    }
    for (int t = 0; t < op->n_rows; t += BLOCK_ROWS) {
        int end = op->n_rows - t < BLOCK_ROWS ? op->n_rows : t + BLOCK_ROWS;
        for (int o = 0; o < op->n_out; o += PANEL) {
            conv_panel(op, t, end, o, type);
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

static void fill_conv(struct ut_kernels *table) {
    table->panel = PANEL;
    table->conv_f32 = conv_f32;
    table->conv_f16 = conv_f16;
    table->conv_bf16 = conv_bf16;
    table->peak_f32 = peak_f32;
    table->read_f32 = read_f32;
}

#endif
