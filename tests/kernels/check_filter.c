/* Checks of the transforms of minimal filtering, with matrices of any numbers: their formulas in
 * double, odd sizes, gaps, every epilogue, and the same bits for a part of the tiles. That matrices
 * of the right numbers make a convolution is checked in tests/compute/minimal.c. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "checkkernels.h"

struct filter_case {
    struct ut_filter_points points;
    struct ut_filter_tiles tiles;
    int n_points, n_ch, gap;
};

static void make_case(struct check *c, struct filter_case *f) {
    struct ut_filter_points *p = &f->points;
    p->n_pairs = random_int(c, UT_FILTER_MIN_PAIRS, UT_FILTER_MAX_PAIRS);
    fill_random(c, p->zero, COUNT(p->zero));
    fill_random(c, p->infinity, COUNT(p->infinity));
    for (int i = 0; i < UT_FILTER_MAX_PAIRS; i++) {
        fill_random(c, p->even[i], COUNT(p->even[i]));
        fill_random(c, p->odd[i], COUNT(p->odd[i]));
    }
    for (int j = 0; j < UT_FILTER_MAX_OUTPUTS; j++) {
        fill_random(c, p->power[j], COUNT(p->power[j]));
    }
    int dilation = random_int(c, 1, 12);
    f->tiles = (struct ut_filter_tiles){.points = p,
                                        .n_outputs = random_int(c, 2, UT_FILTER_MAX_OUTPUTS),
                                        .dilation = dilation,
                                        .first = random_int(c, 0, 2 * dilation),
                                        .n_tiles = random_int(c, 0, 4 * dilation)};
    f->n_points = 2 * p->n_pairs + 2;
    f->n_ch = random_int(c, 0, 70);
    f->gap = random_int(c, 0, 1) * random_int(c, 1, 9);
    check_case(c, "%d pairs, %d outputs every %d, %d tiles from %d on, %d channels, gap %d",
               p->n_pairs, f->tiles.n_outputs, dilation, f->tiles.n_tiles, f->tiles.first, f->n_ch,
               f->gap);
}

/* Row of input or output k of tile first + i. */
static int row_of(const struct ut_filter_tiles *tiles, int i, int k) {
    int d = tiles->dilation;
    i += tiles->first;
    return (i / d * tiles->n_outputs + k) * d + i % d;
}

/* ---- Inputs -------------------------------------------------------------------------------- */

/* sum of w[e] * d[2 e]. */
static double weighted(const float *w, const double *d, int n, double *size) {
    double sum = 0;
    for (int e = 0; e < n; e++) {
        sum += w[e] * d[2 * e];
        *size += fabs(w[e] * d[2 * e]);
    }
    return sum;
}

static double expected_in(const struct ut_filter_points *p, const double *d, int point,
                          double *size) {
    int n = p->n_pairs, pair = (point - 1) / 2;
    *size = 0;
    if (point == 0) {
        return weighted(p->zero, d, n + 1, size);
    }
    if (point == 2 * n + 1) {
        return weighted(p->infinity, d + 1, n + 1, size);
    }
    double even = weighted(p->even[pair], d + 2, n, size);
    double odd = weighted(p->odd[pair], d + 1, n, size);
    return point % 2 ? even + odd : even - odd;
}

static void check_in_values(struct check *c, const struct filter_case *f,
                            const struct ut_filter_in *op) {
    for (int i = 0; i < op->tiles.n_tiles; i++) {
        for (int ch = 0; ch < f->n_ch; ch++) {
            double d[UT_FILTER_MAX_POINTS];
            for (int k = 0; k < f->n_points; k++) {
                int r = row_of(&op->tiles, i, k);
                d[k] = r < op->n_rows ? op->x[r * op->x_row + ch] : 0;
            }
            for (int point = 0; point < f->n_points; point++) {
                double size, want = expected_in(&f->points, d, point, &size);
                check_close(c, op->v[point * op->v_point + i * op->v_row + ch], want,
                            (2 * f->points.n_pairs + 2) * (UNIT * size + SMALLEST),
                            point * 1000 + i, ch);
            }
        }
    }
}

/* The last tiles by themselves. */
static void check_in_part(struct check *c, const struct ut_filter_in *op, int n_points) {
    struct ut_filter_in part = *op;
    int first = op->tiles.n_tiles / 2, n = op->tiles.n_tiles - first;
    struct block v = block_floats((size_t)(n_points * n) * (size_t)op->v_row);
    part.tiles.first += first;
    part.tiles.n_tiles = n;
    part.v = v.data;
    part.v_point = n * op->v_row;
    c->table->filter_in_f32(&part);
    for (int r = 0; r < n_points * n; r++) {
        const float *whole = op->v + r / n * op->v_point + (first + r % n) * op->v_row;
        for (int ch = 0; ch < op->n_ch; ch++) {
            check_same(c, part.v[r * part.v_row + ch], whole[ch], r, ch, "a part of the tiles");
        }
    }
    block_free(&v);
}

void check_filter_in(struct check *c) {
    for (int round = 0; round < 150; round++) {
        struct filter_case f;
        make_case(c, &f);
        int last = f.tiles.n_tiles - 1, d = f.tiles.dilation;
        int n_rows = last < 0 ? 0 : row_of(&f.tiles, last, f.n_points - 1) + 1;
        n_rows -= random_int(c, 0, 1) * random_int(c, 0, 8 * d);
        n_rows = n_rows > 0 ? n_rows : 0;
        ptrdiff_t x_row = f.n_ch + f.gap, v_row = f.n_ch + f.gap;
        int n_v = f.n_points * f.tiles.n_tiles;
        struct block x = block_floats(span(n_rows, x_row, f.n_ch));
        struct block v = block_floats(span(n_v, v_row, f.n_ch));
        fill_random(c, x.data, x.n_bytes / sizeof(float));
        struct ut_filter_in op = {.tiles = f.tiles,
                                  .x = x.data,
                                  .x_row = x_row,
                                  .n_rows = n_rows,
                                  .v = v.data,
                                  .v_point = f.tiles.n_tiles * v_row,
                                  .v_row = v_row,
                                  .n_ch = f.n_ch};
        c->table->filter_in_f32(&op);
        check_in_values(c, &f, &op);
        check_outside(c, &v, v_row, n_v, f.n_ch);
        check_in_part(c, &op, f.n_points);
        block_free(&x);
        block_free(&v);
    }
}

/* ---- Outputs ------------------------------------------------------------------------------- */

enum { ADD = 1, ADD2 = 2, IN_PLACE = 4, ACT = 8, NO_Y = 16, BIAS = 32 };

struct out_test {
    struct filter_case f;
    struct ut_conv store;
    struct ut_filter_out op;
    struct block m, bias, add, add2, y, act;
    float *before;
};

static void make_out(struct check *c, struct out_test *t, int flags) {
    struct filter_case *f = &t->f;
    int n_padded = (f->n_ch + c->table->panel - 1) / c->table->panel * c->table->panel;
    int n_all =
        f->tiles.n_tiles ? row_of(&f->tiles, f->tiles.n_tiles - 1, f->tiles.n_outputs - 1) + 1 : 0;
    int n_rows = n_all - random_int(c, 0, f->tiles.n_outputs * f->tiles.dilation);
    ptrdiff_t row = f->n_ch + f->gap, m_row = f->n_ch + random_int(c, 0, 3);
    n_rows = n_rows > 0 ? n_rows : 0;
    size_t n = span(n_rows, row, f->n_ch);
    t->m = block_floats(span(f->n_points * f->tiles.n_tiles, m_row, f->n_ch));
    t->bias = block_floats((size_t)n_padded);
    t->add = block_floats(n);
    t->add2 = block_floats(n);
    t->y = block_floats(n);
    t->act = block_floats(n);
    struct block *filled[] = {&t->m, &t->bias, &t->add, &t->add2};
    for (int i = 0; i < COUNT(filled); i++) {
        fill_random(c, filled[i]->data, filled[i]->n_bytes / sizeof(float));
    }
    if (flags & IN_PLACE) {
        for (int r = 0; r < n_rows; r++) {
            fill_random(c, (float *)t->y.data + r * row, (size_t)f->n_ch);
        }
    }
    t->before = malloc(t->y.n_bytes + 1);
    memcpy(t->before, t->y.data, t->y.n_bytes);
    float *y = flags & NO_Y ? NULL : t->y.data;
    t->store = (struct ut_conv){.bias = flags & BIAS ? t->bias.data : NULL,
                                .add = flags & ADD ? flags & IN_PLACE && y ? y : t->add.data : NULL,
                                .add_row = row,
                                .add2 = flags & ADD2 ? t->add2.data : NULL,
                                .add2_row = row,
                                .scale = 0.75f,
                                .y = y,
                                .y_row = row,
                                .y_act = flags & ACT ? t->act.data : NULL,
                                .y_act_row = row,
                                .slope = 0.1f,
                                .n_rows = n_rows,
                                .n_out = f->n_ch};
    t->op = (struct ut_filter_out){.tiles = f->tiles,
                                   .m = t->m.data,
                                   .m_point = f->tiles.n_tiles * m_row,
                                   .m_row = m_row,
                                   .store = &t->store};
}

/* Output j of tile i before scale, and the sum of magnitudes. */
static double expected_out(const struct out_test *t, int i, int j, int o, double *size) {
    const struct ut_filter_points *p = &t->f.points;
    const float *m = t->op.m + i * t->op.m_row + o;
    double sum = t->store.bias ? t->store.bias[o] : 0;
    *size = fabs(sum);
    for (int point = 0; point < t->f.n_points; point++) {
        int pair = (point - 1) / 2;
        double w = point == 0                   ? j == 0
                   : point == t->f.n_points - 1 ? j == t->f.tiles.n_outputs - 1
                   : point % 2 == 0 && j % 2    ? -p->power[j][pair]
                                                : p->power[j][pair];
        sum += w * m[point * t->op.m_point];
        *size += fabs(w * m[point * t->op.m_point]);
    }
    return sum;
}

static void check_out_element(struct check *c, const struct out_test *t, int i, int j, int o) {
    const struct ut_conv *s = &t->store;
    int r = row_of(&t->f.tiles, i, j);
    if (r >= s->n_rows) {
        return;
    }
    double size, want = expected_out(t, i, j, o, &size);
    double a = !s->add          ? 0
               : s->add == s->y ? t->before[r * s->y_row + o]
                                : s->add[r * s->add_row + o];
    double b = s->add2 ? s->add2[r * s->add2_row + o] : 0;
    want = (want + a + b) * s->scale;
    double bound = (2 * t->f.n_points + 5) * (UNIT * (size + fabs(a) + fabs(b)) + SMALLEST);
    if (s->y) {
        check_close(c, s->y[r * s->y_row + o], want, bound, r, o);
    }
    if (s->y_act) {
        check_close(c, s->y_act[r * s->y_act_row + o], want > 0 ? want : want * s->slope, bound, r,
                    o);
    }
}

void check_filter_out(struct check *c) {
    for (int round = 0; round < 150; round++) {
        struct out_test t = {.op = {.m_row = 0}};
        int flags = random_int(c, 0, 63);
        make_case(c, &t.f);
        make_out(c, &t, flags);
        c->table->filter_out_f32(&t.op);
        for (int i = 0; i < t.f.tiles.n_tiles; i++) {
            for (int j = 0; j < t.f.tiles.n_outputs; j++) {
                for (int o = 0; o < t.f.n_ch; o++) {
                    check_out_element(c, &t, i, j, o);
                }
            }
        }
        check_outside(c, &t.y, t.store.y_row, t.store.y || flags & IN_PLACE ? t.store.n_rows : 0,
                      t.f.n_ch);
        check_outside(c, &t.act, t.store.y_act_row, t.store.y_act ? t.store.n_rows : 0, t.f.n_ch);
        struct block *blocks[] = {&t.m, &t.bias, &t.add, &t.add2, &t.y, &t.act};
        for (int i = 0; i < COUNT(blocks); i++) {
            block_free(blocks[i]);
        }
        free(t.before);
    }
}
