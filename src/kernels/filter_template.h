/* The transforms of filter_tiles.h on the vector primitives of one level; included behind
 * conv_template.h, whose epilogue it shares. */
#ifndef UT_KERNELS_FILTER_TEMPLATE_H
#define UT_KERNELS_FILTER_TEMPLATE_H

#include "kernels/conv_template.h"

ALWAYS_INLINE v_float filter_load(const float *p, int n) {
    return n >= V_WIDTH ? v_load(p) : v_load_n(p, n, 0);
}

ALWAYS_INLINE void filter_store(float *p, v_float v, int n) {
    if (n >= V_WIDTH) {
        v_store(p, v);
    } else {
        v_store_n(p, v, n);
    }
}

/* n channels (all of a vector when n >= V_WIDTH) of one tile; the tile's inputs are `step` apart. */
ALWAYS_INLINE void filter_in_vector(const struct ut_filter_points *p, const int n_pairs,
                                    const float *x, ptrdiff_t step, float *v, ptrdiff_t point,
                                    int n) {
    v_float d[UT_FILTER_MAX_POINTS];
    UNROLL_ALL
    for (int k = 0; k < 2 * n_pairs + 2; k++) {
        d[k] = filter_load(x + k * step, n);
    }
    v_float zero = v_mul(d[0], v_set(p->zero[0])), last = v_mul(d[1], v_set(p->infinity[0]));
    UNROLL_ALL
    for (int e = 1; e <= n_pairs; e++) {
        zero = v_fma(d[2 * e], v_set(p->zero[e]), zero);
        last = v_fma(d[2 * e + 1], v_set(p->infinity[e]), last);
    }
    filter_store(v, zero, n);
    filter_store(v + (2 * n_pairs + 1) * point, last, n);
    UNROLL_ALL
    for (int i = 0; i < n_pairs; i++) {
        v_float even = v_mul(d[2], v_set(p->even[i][0])), odd = v_mul(d[1], v_set(p->odd[i][0]));
        UNROLL_ALL
        for (int e = 1; e < n_pairs; e++) {
            even = v_fma(d[2 + 2 * e], v_set(p->even[i][e]), even);
            odd = v_fma(d[1 + 2 * e], v_set(p->odd[i][e]), odd);
        }
        filter_store(v + (1 + 2 * i) * point, v_add(even, odd), n);
        filter_store(v + (2 + 2 * i) * point, v_sub(even, odd), n);
    }
}

/* A tile of which some rows do not exist. */
ALWAYS_INLINE void filter_in_end(const struct ut_filter_in *op, const int n_pairs, int row,
                                 float *v) {
    float x[UT_FILTER_MAX_POINTS * V_WIDTH];
    for (int c = 0; c < op->n_ch; c += V_WIDTH) {
        int n = op->n_ch - c;
        for (int k = 0; k < 2 * n_pairs + 2; k++) {
            int r = row + k * op->tiles.dilation;
            v_store(x + k * V_WIDTH,
                    r < op->n_rows ? filter_load(op->x + r * op->x_row + c, n) : v_set(0));
        }
        filter_in_vector(op->tiles.points, n_pairs, x, V_WIDTH, v + c, op->v_point, n);
    }
}

ALWAYS_INLINE void filter_in(const struct ut_filter_in *op, const int n_pairs) {
    ptrdiff_t step = op->tiles.dilation * op->x_row;
    for (int i = 0; i < op->tiles.n_tiles; i++) {
        int row = ut_filter_row(&op->tiles, op->tiles.first + i), c = 0;
        const float *x = op->x + row * op->x_row;
        float *v = op->v + i * op->v_row;
        if (row + (2 * n_pairs + 1) * op->tiles.dilation >= op->n_rows) {
            filter_in_end(op, n_pairs, row, v);
            continue;
        }
        for (; c + V_WIDTH <= op->n_ch; c += V_WIDTH) {
            filter_in_vector(op->tiles.points, n_pairs, x + c, step, v + c, op->v_point, V_WIDTH);
        }
        if (c < op->n_ch) {
            filter_in_vector(op->tiles.points, n_pairs, x + c, step, v + c, op->v_point,
                             op->n_ch - c);
        }
    }
}

static void filter_in_f32(const struct ut_filter_in *op) {
    switch (op->tiles.points->n_pairs) {
    case 2:
        filter_in(op, 2);
        break;
    case 3:
        filter_in(op, 3);
        break;
    default:
        filter_in(op, 4);
    }
}

/* One output of a tile: the sum over the pairs behind `start`. */
ALWAYS_INLINE v_float filter_output(const v_float *parts, const float *power, const int n_pairs,
                                    v_float start) {
    UNROLL_ALL
    for (int i = 0; i < n_pairs; i++) {
        start = v_fma(parts[i], v_set(power[i]), start);
    }
    return start;
}

/* n channels from o on of the tile whose first output is row t. */
ALWAYS_INLINE void filter_out_vector(const struct ut_filter_out *op, const struct ut_conv *store,
                                     const int n_pairs, const float *m, int t, int o, int n) {
    const struct ut_filter_points *p = op->tiles.points;
    v_float sum[UT_FILTER_MAX_PAIRS], difference[UT_FILTER_MAX_PAIRS];
    UNROLL_ALL
    for (int i = 0; i < n_pairs; i++) {
        v_float a = filter_load(m + (1 + 2 * i) * op->m_point, n);
        v_float b = filter_load(m + (2 + 2 * i) * op->m_point, n);
        sum[i] = v_add(a, b);
        difference[i] = v_sub(a, b);
    }
    v_float bias = store->bias ? v_load(store->bias + o) : v_set(0);
    v_float start = v_add(bias, filter_load(m, n));
    v_float last = filter_load(m + (2 * n_pairs + 1) * op->m_point, n);
    int n_outputs = op->tiles.n_outputs, step = op->tiles.dilation;
    for (int j = 0; j < n_outputs && t < store->n_rows; j++, t += step) {
        v_float v = j % 2 == 0 ? filter_output(sum, p->power[j], n_pairs, start)
                               : filter_output(difference, p->power[j], n_pairs, start);
        store_vector(store, j == n_outputs - 1 ? v_add(v, last) : v, t, o, n);
        start = bias;
    }
}

ALWAYS_INLINE void filter_out(const struct ut_filter_out *op, const int n_pairs) {
    struct ut_conv store = *op->store; /* a copy, which no store to y can change */
    int n_out = store.n_out;
    for (int i = 0; i < op->tiles.n_tiles; i++) {
        const float *m = op->m + i * op->m_row;
        int t = ut_filter_row(&op->tiles, op->tiles.first + i), o = 0;
        for (; o + V_WIDTH <= n_out; o += V_WIDTH) {
            filter_out_vector(op, &store, n_pairs, m + o, t, o, V_WIDTH);
        }
        if (o < n_out) {
            filter_out_vector(op, &store, n_pairs, m + o, t, o, n_out - o);
        }
    }
}

static void filter_out_f32(const struct ut_filter_out *op) {
    switch (op->tiles.points->n_pairs) {
    case 2:
        filter_out(op, 2);
        break;
    case 3:
        filter_out(op, 3);
        break;
    default:
        filter_out(op, 4);
    }
}

static void fill_filter(struct ut_kernels *table) {
    table->filter_in_f32 = filter_in_f32;
    table->filter_out_f32 = filter_out_f32;
}

#endif
