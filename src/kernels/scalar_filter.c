/* The transforms of minimal filtering in plain C: the specification of filter_tiles.h. */
#include "kernels/levels.h"

/* sum of w[e] * d[2 e]. */
static float weighted(const float *w, const float *d, int n) {
    float sum = 0;
    for (int e = 0; e < n; e++) {
        sum += w[e] * d[2 * e];
    }
    return sum;
}

/* The n_points values of one tile and channel, from its inputs. */
static void transform(const struct ut_filter_points *p, const float *d, float *v, ptrdiff_t point) {
    v[0] = weighted(p->zero, d, p->n_pairs + 1);
    for (int i = 0; i < p->n_pairs; i++) {
        float even = weighted(p->even[i], d + 2, p->n_pairs);
        float odd = weighted(p->odd[i], d + 1, p->n_pairs);
        v[(1 + 2 * i) * point] = even + odd;
        v[(2 + 2 * i) * point] = even - odd;
    }
    v[(2 * p->n_pairs + 1) * point] = weighted(p->infinity, d + 1, p->n_pairs + 1);
}

static void filter_in_f32(const struct ut_filter_in *op) {
    const struct ut_filter_tiles *tiles = &op->tiles;
    for (int i = 0; i < tiles->n_tiles; i++) {
        int row = ut_filter_row(tiles, tiles->first + i);
        for (int c = 0; c < op->n_ch; c++) {
            float d[UT_FILTER_MAX_POINTS];
            for (int k = 0; k < 2 * tiles->points->n_pairs + 2; k++) {
                int r = row + k * tiles->dilation;
                d[k] = r < op->n_rows ? op->x[r * op->x_row + c] : 0;
            }
            transform(tiles->points, d, op->v + i * op->v_row + c, op->v_point);
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
        int t = ut_filter_row(&op->tiles, op->tiles.first + i);
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
