/* Checks of the inverse spline: its result, put through the forward transform in double, must give
 * the argument back. The forward formula is another one than the inverse's root of a quadratic. */
#include <math.h>
#include <string.h>

#include "checkkernels.h"

enum { MAX_BINS = 16 };

static void exact_knots(double *knots, const float *u, double size_scale, double tail, int n) {
    double sum = 0, cumulative = 0;
    for (int i = 0; i < n; i++) {
        sum += exp(u[i] * size_scale);
    }
    for (int i = 0; i < n; i++) {
        knots[i] = 2 * tail * cumulative - tail;
        cumulative += 1e-3 + (1 - 1e-3 * n) * exp(u[i] * size_scale) / sum;
    }
    knots[n] = tail;
}

static double exact_derivative(const float *u, int knot, int n) {
    return knot == 0 || knot == n ? 1 : 1e-3 + log1p(exp(u[knot - 1]));
}

/* Equation 4 of arXiv:1906.04032. */
static double forward(double x, const float *params, const struct ut_spline *op) {
    int n = op->n_bins, bin = 0;
    double x_knots[MAX_BINS + 1], y_knots[MAX_BINS + 1];
    if (fabs(x) > op->tail) {
        return x;
    }
    exact_knots(x_knots, params, op->size_scale, op->tail, n);
    exact_knots(y_knots, params + n, op->size_scale, op->tail, n);
    while (bin + 1 < n && x >= x_knots[bin + 1]) {
        bin++;
    }
    double width = x_knots[bin + 1] - x_knots[bin], height = y_knots[bin + 1] - y_knots[bin];
    double s = height / width, p = (x - x_knots[bin]) / width, q = p * (1 - p);
    double d0 = exact_derivative(params + 2 * n, bin, n),
           d1 = exact_derivative(params + 2 * n, bin + 1, n);
    return y_knots[bin] + height * (s * p * p + d0 * q) / (s + (d0 + d1 - 2 * s) * q);
}

/* x, the argument, must lie between what the forward transform, which rises, makes of the result
 * less and more a rounding of the result (numbers up to tail; twice that for what double leaves).
 */
static void check_row(struct check *c, const struct ut_spline *op, const float *params, float x,
                      float y, int t) {
    if (!(fabsf(x) <= op->tail)) {
        check_same(c, y, x, t, 0, "outside the tails");
        return;
    }
    double slack = 2 * UNIT * op->tail;
    double low = forward(y - slack, params, op) - slack,
           high = forward(y + slack, params, op) + slack;
    check_close(c, x, (low + high) / 2, (high - low) / 2, t, 0);
}

static float test_argument(struct check *c, float tail) {
    static const float shares[] = {0,          1, -1,       1.0000002f, -1.0000002f,
                                   0.9999999f, 3, INFINITY, -INFINITY,  NAN};
    return random_int(c, 0, 3) == 0 ? tail * shares[random_int(c, 0, COUNT(shares) - 1)]
                                    : tail * 1.2f * random_value(c);
}

static void check_spline_one(struct check *c, int n_rows, int n_bins, float spread) {
    struct ut_spline op = {.x_step = random_int(c, 1, 4),
                           .y_step = random_int(c, 1, 3),
                           .n_rows = n_rows,
                           .n_bins = n_bins,
                           .tail = 5,
                           .size_scale = 0.0721688f};
    op.params_row = 3 * n_bins - 1 + random_int(c, 0, 4);
    check_case(c, "%d rows, %d bins, parameters up to %g", n_rows, n_bins, spread);
    size_t n_x = span(n_rows, op.x_step, 1), n_params = span(n_rows, op.params_row, 3 * n_bins - 1);
    struct block x = block_floats(n_x), y = block_floats(span(n_rows, op.y_step, 1));
    struct block params = block_floats(n_params);
    float *in = x.data, *p = params.data, *out = y.data;
    for (size_t i = 0; i < n_params; i++) {
        p[i] = spread * random_value(c);
    }
    for (int t = 0; t < n_rows; t++) {
        in[t * op.x_step] = test_argument(c, op.tail);
    }
    op.x = in;
    op.y = out;
    op.params = p;
    c->table->spline_inverse_f32(&op);
    check_outside(c, &y, op.y_step, n_rows, 1);
    for (int t = 0; t < n_rows; t++) {
        check_row(c, &op, p + t * op.params_row, in[t * op.x_step], out[t * op.y_step], t);
    }
    for (int t = 0, end; t < n_rows; t = end) {
        end = next_split(c, t, n_rows);
        struct ut_spline part = op;
        part.x = part.y = in + t * op.x_step;
        part.params = p + t * op.params_row;
        part.y_step = op.x_step;
        part.n_rows = end - t;
        c->table->spline_inverse_f32(&part);
    }
    for (int t = 0; t < n_rows; t++) {
        check_same(c, in[t * op.x_step], out[t * op.y_step], t, 0, "in place and in pieces");
    }
    block_free(&x);
    block_free(&y);
    block_free(&params);
}

void check_spline(struct check *c) {
    for (int n_rows = 0; n_rows <= 67; n_rows++) {
        check_spline_one(c, n_rows, 10, (float)random_int(c, 0, 20));
        check_spline_one(c, random_int(c, 1, 30), random_int(c, 1, MAX_BINS),
                         (float)random_int(c, 0, 60));
    }
}
