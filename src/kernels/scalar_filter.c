/* The transforms of minimal filtering in plain C: the specification of filter_tiles.h. */
#include "kernels/levels.h"

static int first_row(const struct ut_filter_tiles *tiles, int i) {
    return i / tiles->dilation * tiles->n_outputs * tiles->dilation + i % tiles->dilation;
}

/* sum of w[e] * x[e * step]. */
static float weighted(const float *w, const float *x, ptrdiff_t step, int n) {
    float sum = 0;
    for (int e = 0; e < n; e++) {
        sum += w[e] * x[e * step];
    }
    return sum;
}

static void filter_in_f32(const struct ut_filter_in *op) {
    const struct ut_filter_points *p = op->tiles.points;
    ptrdiff_t step = op->tiles.dilation * op->x_row;
    int n_pairs = p->n_pairs;
    for (int i = 0; i < op->tiles.n_tiles; i++) {
        const float *d = op->x + first_row(&op->tiles, i) * op->x_row;
        float *v = op->v + i * op->v_row;
        for (int c = 0; c < op->n_ch; c++, d++, v++) {
            v[0] = weighted(p->zero, d, 2 * step, n_pairs + 1);
            for (int pair = 0; pair < n_pairs; pair++) {
                float even = weighted(p->even[pair], d + 2 * step, 2 * step, n_pairs);
                float odd = weighted(p->odd[pair], d + step, 2 * step, n_pairs);
                v[(1 + 2 * pair) * op->v_point] = even + odd;
                v[(2 + 2 * pair) * op->v_point] = even - odd;
            }
            v[(2 * n_pairs + 1) * op->v_point] =
                weighted(p->infinity, d + step, 2 * step, n_pairs + 1);
        }
    }
}

/* Output j of a tile from its products m, `point` apart. */
static float output(const struct ut_filter_tiles *tiles, const float *m, ptrdiff_t point, int j,
                    float bias) {
    const struct ut_filter_points *p = tiles->points;
    float sum = bias + (j == 0 ? m[0] : 0);
    for (int pair = 0; pair < p->n_pairs; pair++) {
        float a = m[(1 + 2 * pair) * point], b = m[(2 + 2 * pair) * point];
        sum += p->power[j][pair] * (j % 2 ? a - b : a + b);
    }
    return sum + (j == tiles->n_outputs - 1 ? m[(2 * p->n_pairs + 1) * point] : 0);
}

static void filter_out_f32(const struct ut_filter_out *op) {
    const struct ut_conv *store = op->store;
    for (int i = 0; i < op->tiles.n_tiles; i++) {
        int t = first_row(&op->tiles, i);
        for (int j = 0; j < op->tiles.n_outputs && t < store->n_rows; j++) {
            for (int o = 0; o < store->n_out; o++) {
                ut_kernels_store_scalar(store,
                                        output(&op->tiles, op->m + i * op->m_row + o, op->m_point,
                                               j, store->bias ? store->bias[o] : 0),
                                        t, o);
            }
            t += op->tiles.dilation;
        }
    }
}

void ut_kernels_fill_filter_scalar(struct ut_kernels *table) {
    table->filter_in_f32 = filter_in_f32;
    table->filter_out_f32 = filter_out_f32;
}
