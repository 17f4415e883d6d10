/* See bench_stats.h. */
#include "bench_stats.h"

#include <math.h>
#include <stdlib.h>

double stats_mean(const double *x, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += x[i];
    }
    return sum / (double)n;
}

/* Of a sample (n - 1). In two passes: the difference of two large sums would lose the digits that
 * matter. */
double stats_std(const double *x, size_t n) {
    double mean = stats_mean(x, n), sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (x[i] - mean) * (x[i] - mean);
    }
    return n > 1 ? sqrt(sum / (double)(n - 1)) : 0;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Linear between neighbours, as numpy's default. */
double stats_quantile(double *x, size_t n, double q) {
    qsort(x, n, sizeof *x, compare);
    double at = q * (double)(n - 1);
    size_t below = (size_t)at;
    size_t above = below + 1 < n ? below + 1 : below;
    return x[below] + (at - (double)below) * (x[above] - x[below]);
}

double stats_median(double *x, size_t n) {
    return stats_quantile(x, n, 0.5);
}
