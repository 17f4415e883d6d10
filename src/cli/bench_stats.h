/* What is made of repeated measurements. */
#ifndef UT_CLI_BENCH_STATS_H
#define UT_CLI_BENCH_STATS_H

#include <stddef.h>

/* All of n >= 1 finite values. */
double stats_mean(const double *x, size_t n);
/* The sample's standard deviation, with n - 1; 0 for one value. */
double stats_std(const double *x, size_t n);
/* The value that the share q (0..1) of the sample lies below, between two order statistics on the straight
 * line (type 7 of Hyndman and Fan 1996). Sorts x. */
double stats_quantile(double *x, size_t n, double q);
/* stats_quantile for a half. Sorts x. */
double stats_median(double *x, size_t n);

#endif
