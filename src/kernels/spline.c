/* Inverse rational-quadratic spline with linear tails: neural spline flows (Durkan et al., 2019,
 * arXiv:1906.04032, section 3.1 and appendix A.1) with the limits that VITS trains with. In double,
 * because steep bins lose half of a float's digits in the root, and because it costs nothing: it
 * runs for one value per phoneme. For the same reason it is scalar at every level. */
#include <math.h>

#include "kernels/levels.h"

enum { MAX_BINS = 16 };

static const double min_bin_size = 1e-3; /* share of the width or height that every bin gets */
static const double min_derivative = 1e-3;

/* softmax of n sizes, each raised to the minimum, summed to knots from -tail to tail (n + 1). */
static void make_knots(double *knots, const float *u, double size_scale, double tail, int n) {
    double e[MAX_BINS], max = u[0] * size_scale, sum = 0;
    for (int i = 1; i < n; i++) {
        max = fmax(max, u[i] * size_scale);
    }
    for (int i = 0; i < n; i++) {
        e[i] = exp(u[i] * size_scale - max);
        sum += e[i];
    }
    double cumulative = 0;
    for (int i = 0; i < n; i++) {
        knots[i] = 2 * tail * cumulative - tail;
        cumulative += min_bin_size + (1 - min_bin_size * n) * (e[i] / sum);
    }
    knots[n] = tail; /* exact: the sum may miss 1 by a rounding */
}

static double softplus(double x) {
    return fmax(x, 0) + log1p(exp(-fabs(x)));
}

/* The bin whose heights hold y; NaN knots give bin 0. */
static int find_bin(const double *heights, double y, int n_bins) {
    int bin = 0;
    while (bin + 1 < n_bins && y >= heights[bin + 1]) {
        bin++;
    }
    return bin;
}

/* Equations 6 to 8 of the paper. d0 and d1 are the derivatives at the two knots of the bin. */
static double invert_bin(double y, double x0, double x1, double y0, double y1, double d0,
                         double d1) {
    double width = x1 - x0, height = y1 - y0, slope = height / width;
    double curve = (y - y0) * (d0 + d1 - 2 * slope);
    double a = curve + height * (slope - d0);
    double b = height * d0 - curve;
    double c = -slope * (y - y0);
    double discriminant = b * b - 4 * a * c;
    if (discriminant < 0) { /* by rounding only */
        discriminant = 0;
    }
    double root = 2 * c / (-b - sqrt(discriminant));
    return root * width + x0;
}

static float invert(float y, const float *params, const struct ut_spline *op) {
    int n = op->n_bins;
    if (!(y >= -op->tail && y <= op->tail)) { /* NaN too */
        return y;
    }
    double x_knots[MAX_BINS + 1], y_knots[MAX_BINS + 1];
    make_knots(x_knots, params, op->size_scale, op->tail, n);
    make_knots(y_knots, params + n, op->size_scale, op->tail, n);
    int bin = find_bin(y_knots, y, n);
    /* The outer derivatives are 1, so that the spline joins the identity. */
    const float *u = params + 2 * n;
    double d0 = bin == 0 ? 1 : min_derivative + softplus(u[bin - 1]);
    double d1 = bin == n - 1 ? 1 : min_derivative + softplus(u[bin]);
    return (float)invert_bin(y, x_knots[bin], x_knots[bin + 1], y_knots[bin], y_knots[bin + 1], d0,
                             d1);
}

void ut_kernels_spline_inverse(const struct ut_spline *op) {
    for (int t = 0; t < op->n_rows; t++) {
        op->y[t * op->y_step] = invert(op->x[t * op->x_step], op->params + t * op->params_row, op);
    }
}
