/* What each level's files offer to kernels.c: a function that puts its entries over those of the
 * level below. Not for callers of kernels.h. */
#ifndef UT_KERNELS_LEVELS_H
#define UT_KERNELS_LEVELS_H

#include "kernels/kernels.h"

/* Fills every entry. */
void ut_kernels_fill_scalar(struct ut_kernels *table);

/* Replace what the level has; the rest stays the level below. The conv entries share `panel`, so a
 * level replaces all three or none. Call only where ut_cpu_level_supported. */
void ut_kernels_fill_avx2(struct ut_kernels *table);
void ut_kernels_fill_avx512(struct ut_kernels *table);

/* The scalar inverse spline (spline.c). */
void ut_kernels_spline_inverse(const struct ut_spline *op);

#endif
