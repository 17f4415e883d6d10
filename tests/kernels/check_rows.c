/* Checks of the entries that work on rows: depthwise convolution, dot products, layer norm,
 * softmax, gate, modulation, moments, LSTM cell. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "checkkernels.h"

/* Rows of random values with gaps of the pattern between them. */
struct rows {
    struct block block;
    float *p;
    ptrdiff_t row;
};

static struct rows make_rows(struct check *c, int n_rows, int width, bool specials) {
    struct rows m = {.row = width + random_int(c, 0, 5)};
    m.block = block_floats(span(n_rows, m.row, width));
    m.p = m.block.data;
    for (int t = 0; t < n_rows; t++) {
        for (int i = 0; i < width; i++) {
            m.p[t * m.row + i] = specials ? random_special(c) : random_value(c);
        }
    }
    return m;
}

static struct rows make_output(struct check *c, int n_rows, int width) {
    struct rows m = {.row = width + random_int(c, 0, 5)};
    m.block = block_floats(span(n_rows, m.row, width));
    m.p = m.block.data;
    return m;
}

/* Two results, each with its own row distance, must have equal bits. */
static void check_same_rows(struct check *c, const struct rows *got, const struct rows *want,
                            int n_rows, int width, const char *what) {
    for (int t = 0; t < n_rows; t++) {
        for (int i = 0; i < width; i++) {
            check_same(c, got->p[t * got->row + i], want->p[t * want->row + i], t, i, what);
        }
    }
}

static void check_depthwise_one(struct check *c, int n_rows, int n_ch, int n_taps, int dilation) {
    int n_in = n_rows > 0 && n_taps > 0 ? n_rows + (n_taps - 1) * dilation : 0;
    check_case(c, "%d rows, %d channels, %d taps every %d", n_rows, n_ch, n_taps, dilation);
    struct rows x = make_rows(c, n_in, n_ch, true), y = make_output(c, n_rows, n_ch);
    struct rows split = make_output(c, n_rows, n_ch);
    struct block w = block_floats((size_t)n_taps * n_ch), bias = block_floats((size_t)n_ch);
    const float *weights = w.data, *b = bias.data;
    fill_random(c, w.data, (size_t)n_taps * n_ch);
    fill_random(c, bias.data, (size_t)n_ch);
    struct ut_depthwise op = {.x = x.p,
                              .x_row = x.row,
                              .x_tap = dilation * x.row,
                              .w = weights,
                              .bias = b,
                              .y = y.p,
                              .y_row = y.row,
                              .n_taps = n_taps,
                              .n_rows = n_rows,
                              .n_ch = n_ch};
    c->table->depthwise_f32(&op);
    check_outside(c, &y.block, y.row, n_rows, n_ch);
    for (int t = 0; t < n_rows; t++) {
        for (int i = 0; i < n_ch; i++) {
            double want = b[i], size = fabs(want);
            for (int k = 0; k < n_taps; k++) {
                double product =
                    (double)x.p[(t + k * dilation) * x.row + i] * weights[k * n_ch + i];
                want += product;
                size += fabs(product);
            }
            /* two roundings for each tap */
            check_close(c, y.p[t * y.row + i], want, (n_taps + 2) * (UNIT * size + SMALLEST), t, i);
        }
    }
    for (int t = 0, end; t < n_rows; t = end) {
        end = next_split(c, t, n_rows);
        op.x = x.p + t * x.row;
        op.y = split.p + t * split.row;
        op.y_row = split.row;
        op.n_rows = end - t;
        c->table->depthwise_f32(&op);
    }
    check_same_rows(c, &split, &y, n_rows, n_ch, "split rows");
    block_free(&x.block);
    block_free(&y.block);
    block_free(&split.block);
    block_free(&w);
    block_free(&bias);
}

void check_depthwise(struct check *c) {
    for (int size = 0; size <= 67; size++) {
        check_depthwise_one(c, random_int(c, 1, 20), size, random_int(c, 1, 5),
                            random_int(c, 1, 9));
        check_depthwise_one(c, size, random_int(c, 1, 40), size % 6, random_int(c, 1, 9));
    }
    check_depthwise_one(c, 61, 192, 3, 9);
}

static void check_dot_rows_one(struct check *c, int n, int n_rows, ptrdiff_t row, bool specials) {
    check_case(c, "%d rows of %d every %td", n_rows, n, row);
    size_t n_x = span(n_rows, row, n);
    struct block x = block_floats(n_x), y = block_floats((size_t)n_rows),
                 w = block_floats((size_t)n);
    struct block split = block_floats((size_t)n_rows);
    float *in = x.data, *again = split.data, *weights = w.data, bias = random_value(c);
    const float *out = y.data;
    for (size_t i = 0; i < n_x; i++) { /* rows may overlap, as the taps of a convolution do */
        in[i] = specials ? random_special(c) : random_value(c);
    }
    fill_random(c, weights, (size_t)n);
    c->table->dot_rows_f32(y.data, in, row, weights, bias, n, n_rows);
    check_outside(c, &y, 0, 1, n_rows);
    for (int t = 0; t < n_rows; t++) {
        double want = bias, size = fabs(want);
        for (int i = 0; i < n; i++) {
            double product = (double)in[t * row + i] * weights[i];
            want += product;
            size += fabs(product);
        }
        /* a rounding for each product and sum */
        check_close(c, out[t], want, (n + 2) * (UNIT * size + SMALLEST), t, 0);
    }
    for (int t = 0, end; t < n_rows; t = end) {
        end = next_split(c, t, n_rows);
        c->table->dot_rows_f32(again + t, in + t * row, row, weights, bias, n, end - t);
    }
    for (int t = 0; t < n_rows; t++) {
        check_same(c, again[t], out[t], t, 0, "split rows");
    }
    block_free(&x);
    block_free(&y);
    block_free(&w);
    block_free(&split);
}

void check_dot_rows(struct check *c) {
    for (int size = 0; size <= 67; size++) {
        check_dot_rows_one(c, size, random_int(c, 1, 30), random_int(c, 0, 40), false);
        check_dot_rows_one(c, random_int(c, 1, 300), size, random_int(c, 1, 400), size % 2);
    }
    check_dot_rows_one(c, 7 * 32, 500, 32, false);
    check_dot_rows_one(c, 7 * 33, 50, 33, true);
}

/* One row against double. Every v carries a rounding of its own, the mean one for each of its n
 * sums and the variance the same again, relative to the largest |x| + |add| over the deviation. */
static void check_layernorm_row(struct check *c, const float *y, const float *x, const float *add,
                                const float *gamma, const float *beta, float eps, int n, int t) {
    double mean = 0, variance = 0, largest = 0;
    for (int i = 0; i < n; i++) {
        mean += (x[i] + (add ? (double)add[i] : 0)) / n;
        largest = fmax(largest, fabs(x[i]) + (add ? fabs(add[i]) : 0));
    }
    for (int i = 0; i < n; i++) {
        double d = x[i] + (add ? (double)add[i] : 0) - mean;
        variance += d * d / n;
    }
    double deviation = sqrt(variance + eps);
    for (int i = 0; i < n; i++) {
        double z = (x[i] + (add ? (double)add[i] : 0) - mean) / deviation;
        double want = z * gamma[i] + beta[i];
        double relative = (n + 6) * UNIT * (largest / deviation + 1);
        double bound = relative * (1 + fabs(z)) * fabs(gamma[i]) + UNIT * fabs(want);
        check_close(c, y[i], want, bound, t, i);
    }
}

static void check_layernorm_one(struct check *c, int n_rows, int n, bool has_add, int in_place,
                                bool specials) {
    const float eps = 1e-5f;
    check_case(c, "%d rows of %d, add %d, in place %d", n_rows, n, has_add, in_place);
    struct rows x = make_rows(c, n_rows, n, specials), add = make_rows(c, n_rows, n, false);
    struct rows y = make_output(c, n_rows, n), split = make_output(c, n_rows, n);
    struct block g = block_floats((size_t)n), b = block_floats((size_t)n);
    const float *addend = has_add ? add.p : NULL;
    fill_random(c, g.data, (size_t)n);
    fill_random(c, b.data, (size_t)n);
    const struct ut_kernels *k = c->table;
    k->layernorm_f32(y.p, y.row, x.p, x.row, addend, add.row, g.data, b.data, eps, n_rows, n);
    check_outside(c, &y.block, y.row, n_rows, n);
    for (int t = 0; t < n_rows; t++) {
        check_layernorm_row(c, y.p + t * y.row, x.p + t * x.row,
                            has_add ? add.p + t * add.row : NULL, g.data, b.data, eps, n, t);
    }
    for (int t = 0, end; t < n_rows; t = end) {
        end = next_split(c, t, n_rows);
        k->layernorm_f32(split.p + t * split.row, split.row, x.p + t * x.row, x.row,
                         has_add ? add.p + t * add.row : NULL, add.row, g.data, b.data, eps,
                         end - t, n);
    }
    check_same_rows(c, &split, &y, n_rows, n, "split rows");
    const struct rows *target = in_place && has_add ? &add : &x;
    k->layernorm_f32(target->p, target->row, x.p, x.row, addend, add.row, g.data, b.data, eps,
                     n_rows, n);
    check_same_rows(c, target, &y, n_rows, n, "in place");
    struct block *blocks[] = {&x.block, &add.block, &y.block, &split.block, &g, &b};
    for (int i = 0; i < COUNT(blocks); i++) {
        block_free(blocks[i]);
    }
}

void check_layernorm(struct check *c) {
    for (int size = 0; size <= 67; size++) {
        int other = random_int(c, 1, 20);
        check_layernorm_one(c, other, size, size % 2, size / 2 % 2, false);
        check_layernorm_one(c, size, random_int(c, 2, 70), size % 3 == 0, 1, size % 2);
    }
    check_layernorm_one(c, 40, 192, true, 0, false);
    check_layernorm_one(c, 40, 768, false, 0, true);
}

/* Relative error: n sums, a division, and for each exponential its own plus that of its argument.
 */
static void check_softmax_row(struct check *c, const float *y, const float *x, int n, int t) {
    double max = x[0], sum = 0, spread = 0;
    for (int i = 1; i < n; i++) {
        max = fmax(max, x[i]);
    }
    for (int i = 0; i < n; i++) {
        sum += exp(x[i] - max);
        spread += exp(x[i] - max) * fabs(x[i] - max);
    }
    for (int i = 0; i < n; i++) {
        double want = exp(x[i] - max) / sum;
        double relative = (n + 8 + fabs(x[i] - max) + spread / sum) * UNIT;
        check_close(c, y[i], want, relative * want + 4 * SMALLEST, t, i);
    }
}

static void check_softmax_one(struct check *c, int n_rows, int n, float size) {
    check_case(c, "%d rows of %d, up to %g", n_rows, n, size);
    struct rows x = make_output(c, n_rows, n);
    size_t n_bytes = x.block.n_bytes;
    for (int t = 0; t < n_rows; t++) {
        for (int i = 0; i < n; i++) {
            x.p[t * x.row + i] = size * random_value(c);
        }
    }
    float *in = malloc(n_bytes + 1), *whole = malloc(n_bytes + 1);
    memcpy(in, x.p, n_bytes);
    c->table->softmax_f32(x.p, x.row, n_rows, n);
    check_outside(c, &x.block, x.row, n_rows, n);
    memcpy(whole, x.p, n_bytes);
    for (int t = 0; t < n_rows; t++) {
        check_softmax_row(c, whole + t * x.row, in + t * x.row, n, t);
    }
    memcpy(x.p, in, n_bytes);
    for (int t = 0, end; t < n_rows; t = end) {
        end = next_split(c, t, n_rows);
        c->table->softmax_f32(x.p + t * x.row, x.row, end - t, n);
    }
    struct rows want = {.p = whole, .row = x.row};
    check_same_rows(c, &x, &want, n_rows, n, "split rows");
    free(in);
    free(whole);
    block_free(&x.block);
}

void check_softmax(struct check *c) {
    static const float sizes[] = {0, 1e-40f, 1, 10, 100, 1e30f};
    for (int size = 0; size <= 67; size++) {
        check_softmax_one(c, size, random_int(c, 1, 70), sizes[size % 6]);
        check_softmax_one(c, random_int(c, 1, 20), size ? size : 1, sizes[size / 2 % 6]);
    }
    check_softmax_one(c, 20, 510, 8);
}

static void check_gate_one(struct check *c, int n_rows, int n) {
    check_case(c, "%d rows of %d", n_rows, n);
    struct rows a = make_rows(c, n_rows, n, true), b = make_rows(c, n_rows, n, true);
    struct rows y = make_output(c, n_rows, n), split = make_output(c, n_rows, n);
    for (int t = 0; t < n_rows; t++) {
        for (int i = 0; i < n; i++) {
            a.p[t * a.row + i] *= random_int(c, 0, 1) ? 1 : 12;
            b.p[t * b.row + i] *= random_int(c, 0, 1) ? 1 : 110;
        }
    }
    c->table->gate_f32(y.p, y.row, a.p, a.row, b.p, b.row, n_rows, n);
    check_outside(c, &y.block, y.row, n_rows, n);
    for (int t = 0; t < n_rows; t++) {
        for (int i = 0; i < n; i++) {
            double want = tanh(a.p[t * a.row + i]) / (1 + exp(-(double)b.p[t * b.row + i]));
            /* tanh, sigmoid and their product */
            check_close(c, y.p[t * y.row + i], want, 7 * ulp_of(want), t, i);
        }
    }
    for (int t = 0, end; t < n_rows; t = end) {
        end = next_split(c, t, n_rows);
        c->table->gate_f32(split.p + t * split.row, split.row, a.p + t * a.row, a.row,
                           b.p + t * b.row, b.row, end - t, n);
    }
    check_same_rows(c, &split, &y, n_rows, n, "split rows");
    const struct rows *target = random_int(c, 0, 1) ? &a : &b;
    c->table->gate_f32(target->p, target->row, a.p, a.row, b.p, b.row, n_rows, n);
    check_same_rows(c, target, &y, n_rows, n, "in place");
    block_free(&a.block);
    block_free(&b.block);
    block_free(&y.block);
    block_free(&split.block);
}

void check_gate(struct check *c) {
    for (int size = 0; size <= 67; size++) {
        check_gate_one(c, size, random_int(c, 1, 70));
        check_gate_one(c, random_int(c, 1, 20), size);
    }
    check_gate_one(c, 50, 192);
}

/* One modulation; the parameters have n_ch values each. */
struct modulate_test {
    struct ut_modulate op;
    struct rows x, y, split;
    struct block scale, shift, alpha, inv_alpha;
};

static struct block random_block(struct check *c, int n, float size) {
    struct block b = block_floats((size_t)n);
    float *p = b.data;
    for (int i = 0; i < n; i++) {
        p[i] = size * random_value(c);
    }
    return b;
}

/* The derivative of v + sin(alpha v)^2 / alpha is at most 1 + |alpha * inv_alpha|. The angle
 * carries three roundings, which the square, never beyond 1, takes over; five more make the square.
 */
static double bound_snake(double v, double error, double alpha, double inv_alpha) {
    double square = pow(sin(alpha * v), 2);
    double angle = fmin(1, 3 * (UNIT * fabs(alpha * v) + SMALLEST));
    return error * (1 + fabs(alpha * inv_alpha)) +
           fabs(inv_alpha) * (angle + 6 * UNIT * square + SMALLEST) +
           UNIT * fabs(v + square * inv_alpha);
}

static void check_modulate_value(struct check *c, const struct ut_modulate *op, float got, int t,
                                 int i) {
    double x = op->x[t * op->x_row + i], v = x, error = 0;
    if (op->scale) {
        v = x * op->scale[i] + op->shift[i];
        error = UNIT * (fabs(x * op->scale[i]) + fabs(v)) + SMALLEST;
    }
    if (op->alpha) {
        double alpha = op->alpha[i], inv_alpha = op->inv_alpha[i];
        double want = v + pow(sin(alpha * v), 2) * inv_alpha;
        check_close(c, got, want, bound_snake(v, error, alpha, inv_alpha), t, i);
    } else {
        double want = v > 0 ? v : v * op->slope;
        check_close(c, got, want, error + UNIT * fabs(want) + SMALLEST, t, i);
    }
}

static struct modulate_test make_modulate(struct check *c, int n_rows, int n_ch, bool has_scale,
                                          bool is_snake) {
    struct modulate_test m = {.x = make_rows(c, n_rows, n_ch, true),
                              .y = make_output(c, n_rows, n_ch),
                              .split = make_output(c, n_rows, n_ch),
                              .scale = random_block(c, n_ch, 3),
                              .shift = random_block(c, n_ch, 2),
                              .alpha = random_block(c, n_ch, random_int(c, 0, 3) ? 4 : 1e5f),
                              .inv_alpha = block_floats((size_t)n_ch)};
    float *alpha = m.alpha.data, *inv_alpha = m.inv_alpha.data;
    for (int i = 0; i < n_ch; i++) {
        alpha[i] = random_int(c, 0, 20) ? alpha[i] : 0;
        inv_alpha[i] = 1 / (alpha[i] + 1e-9f);
    }
    m.op = (struct ut_modulate){.x = m.x.p,
                                .x_row = m.x.row,
                                .y = m.y.p,
                                .y_row = m.y.row,
                                .scale = has_scale ? m.scale.data : NULL,
                                .shift = has_scale ? m.shift.data : NULL,
                                .alpha = is_snake ? alpha : NULL,
                                .inv_alpha = is_snake ? inv_alpha : NULL,
                                .slope = random_int(c, 0, 2) * 0.5f,
                                .n_rows = n_rows,
                                .n_ch = n_ch};
    return m;
}

/* Rows t..end in pieces of channels. */
static void modulate_pieces(struct check *c, const struct modulate_test *m, int t, int end) {
    for (int i = 0, next; i < m->op.n_ch; i = next) {
        struct ut_modulate op = m->op;
        next = next_split(c, i, op.n_ch);
        op.x += t * op.x_row + i;
        op.y = m->split.p + t * m->split.row + i;
        op.y_row = m->split.row;
        op.scale = op.scale ? op.scale + i : NULL;
        op.shift = op.shift ? op.shift + i : NULL;
        op.alpha = op.alpha ? op.alpha + i : NULL;
        op.inv_alpha = op.inv_alpha ? op.inv_alpha + i : NULL;
        op.n_rows = end - t;
        op.n_ch = next - i;
        c->table->modulate_f32(&op);
    }
}

static void check_modulate_one(struct check *c, int n_rows, int n_ch) {
    bool has_scale = random_int(c, 0, 3), is_snake = random_int(c, 0, 2);
    check_case(c, "%d rows of %d, scale %d, snake %d", n_rows, n_ch, has_scale, is_snake);
    struct modulate_test m = make_modulate(c, n_rows, n_ch, has_scale, is_snake);
    c->table->modulate_f32(&m.op);
    check_outside(c, &m.y.block, m.y.row, n_rows, n_ch);
    for (int t = 0; t < n_rows; t++) {
        for (int i = 0; i < n_ch; i++) {
            check_modulate_value(c, &m.op, m.y.p[t * m.y.row + i], t, i);
        }
    }
    for (int t = 0, end; t < n_rows; t = end) {
        end = next_split(c, t, n_rows);
        modulate_pieces(c, &m, t, end);
    }
    check_same_rows(c, &m.split, &m.y, n_rows, n_ch, "in pieces");
    m.op.y = m.x.p;
    m.op.y_row = m.x.row;
    c->table->modulate_f32(&m.op);
    check_same_rows(c, &m.x, &m.y, n_rows, n_ch, "in place");
    struct block *blocks[] = {&m.x.block, &m.y.block, &m.split.block, &m.scale,
                              &m.shift,   &m.alpha,   &m.inv_alpha};
    for (int i = 0; i < COUNT(blocks); i++) {
        block_free(blocks[i]);
    }
}

void check_modulate(struct check *c) {
    for (int size = 0; size <= 67; size++) {
        check_modulate_one(c, random_int(c, 1, 20), size);
        check_modulate_one(c, size, random_int(c, 1, 70));
    }
    static const int widths[] = {128, 256, 512, 514, 1024, 1090};
    for (int i = 0; i < 4 * COUNT(widths); i++) {
        check_modulate_one(c, 25, widths[i % COUNT(widths)]);
    }
}

/* n_rows sums, each rounded; the squares are taken about the mean that came out. */
static void check_moments_channel(struct check *c, float mean, float m2, const struct rows *x,
                                  int n_rows, int i) {
    double sum = 0, size = 0, squares = 0;
    for (int t = 0; t < n_rows; t++) {
        double value = x->p[t * x->row + i], d = value - mean;
        sum += value;
        size += fabs(value);
        squares += d * d;
    }
    check_close(c, mean, sum / n_rows, (n_rows + 1) * UNIT * size / n_rows + SMALLEST, 0, i);
    check_close(c, m2, squares, (n_rows + 4) * (UNIT * squares + SMALLEST), 1, i);
}

static void check_moments_one(struct check *c, int n_rows, int n_ch, bool specials) {
    check_case(c, "%d rows of %d", n_rows, n_ch);
    struct rows x = make_rows(c, n_rows, n_ch, specials);
    struct block mean = block_floats((size_t)n_ch), m2 = block_floats((size_t)n_ch);
    struct block split = block_floats(2 * (size_t)n_ch);
    float *means = mean.data, *squares = m2.data, *again = split.data;
    c->table->moments_f32(means, squares, x.p, x.row, n_rows, n_ch);
    check_outside(c, &mean, 0, 1, n_ch);
    check_outside(c, &m2, 0, 1, n_ch);
    for (int i = 0, end; i < n_ch; i = end) {
        end = next_split(c, i, n_ch);
        c->table->moments_f32(again + i, again + n_ch + i, x.p + i, x.row, n_rows, end - i);
    }
    for (int i = 0; i < n_ch; i++) {
        check_moments_channel(c, means[i], squares[i], &x, n_rows, i);
        check_same(c, again[i], means[i], 0, i, "split channels");
        check_same(c, again[n_ch + i], squares[i], 1, i, "split channels");
    }
    block_free(&x.block);
    block_free(&mean);
    block_free(&m2);
    block_free(&split);
}

void check_moments(struct check *c) {
    for (int size = 0; size <= 67; size++) {
        check_moments_one(c, random_int(c, 1, 40), size, size % 2);
        check_moments_one(c, size ? size : 1, random_int(c, 1, 70), size % 3 == 0);
    }
    static const int widths[] = {128, 256, 512, 514, 1024, 1090};
    for (int i = 0; i < COUNT(widths); i++) {
        check_moments_one(c, 300, widths[i], false);
    }
}

/* sigmoid within 3 ulp and tanh * sigmoid within 7, as their own checks say; an ulp is at most two
 * units. h is measured from the c that came out. */
static void check_lstm_value(struct check *c, float h, float cell, float before, const float *gates,
                             int n, int j) {
    double i = gates[j], f = gates[n + j], g = gates[2 * n + j], o = gates[3 * n + j];
    double kept = before / (1 + exp(-f)), added = tanh(g) / (1 + exp(-i));
    double bound = UNIT * (7 * fabs(kept) + 15 * fabs(added) + fabs(kept + added)) + 8 * SMALLEST;
    check_close(c, cell, kept + added, bound, 0, j);
    double want = tanh(cell) / (1 + exp(-o));
    check_close(c, h, want, 7 * ulp_of(want), 1, j);
}

static void check_lstm_one(struct check *c, int n) {
    check_case(c, "%d cells", n);
    struct block gates = block_floats(4 * (size_t)n), h = block_floats((size_t)n);
    struct block cell = block_floats((size_t)n), before = random_block(c, n, 3);
    float *in = gates.data, *out = h.data, *state = cell.data;
    const float *first = before.data;
    for (int i = 0; i < 4 * n; i++) {
        in[i] = random_special(c) * (float)random_int(c, 1, 12);
    }
    memcpy(state, first, (size_t)n * sizeof *state);
    c->table->lstm_cell_f32(out, state, in, n);
    check_outside(c, &h, 0, 1, n);
    check_outside(c, &cell, 0, 1, n);
    for (int j = 0; j < n; j++) {
        check_lstm_value(c, out[j], state[j], first[j], in, n, j);
        float alone[4] = {in[j], in[n + j], in[2 * n + j], in[3 * n + j]}, h1, c1 = first[j];
        c->table->lstm_cell_f32(&h1, &c1, alone, 1);
        check_same(c, h1, out[j], 1, j, "alone");
        check_same(c, c1, state[j], 0, j, "alone");
    }
    block_free(&gates);
    block_free(&h);
    block_free(&cell);
    block_free(&before);
}

void check_lstm_cell(struct check *c) {
    for (int n = 0; n <= 67; n++) {
        check_lstm_one(c, n);
    }
    check_lstm_one(c, 256);
    check_lstm_one(c, 1090);
}
