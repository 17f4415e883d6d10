/* What the files of each level offer to kernels.c: functions that put their entries over those of
 * the level below. Call them only where ut_cpu_level_supported. Not for callers of kernels.h. */
#ifndef UT_KERNELS_LEVELS_H
#define UT_KERNELS_LEVELS_H

#include "kernels/kernels.h"

/* Fills every entry. */
void ut_kernels_fill_scalar(struct ut_kernels *table);

/* The convolutions share `panel`, so a level replaces all three or none. */
void ut_kernels_fill_conv_avx2(struct ut_kernels *table);
void ut_kernels_fill_conv_avx512(struct ut_kernels *table);
void ut_kernels_fill_conv_neon(struct ut_kernels *table);

/* Elementwise functions and operations on rows; the spline stays the scalar one. */
void ut_kernels_fill_elementwise_avx2(struct ut_kernels *table);
void ut_kernels_fill_elementwise_avx512(struct ut_kernels *table);
void ut_kernels_fill_elementwise_neon(struct ut_kernels *table);

/* Narrow arithmetic, each with the instructions of its name over those of its level. */
extern const struct ut_narrow ut_kernels_i8_scalar;
extern const struct ut_narrow ut_kernels_i8_avx2, ut_kernels_i8_avx2_vnni;
extern const struct ut_narrow ut_kernels_i8_avx512, ut_kernels_i8_avx512_vnni;
extern const struct ut_narrow ut_kernels_i8_neon, ut_kernels_i8_neon_dot;
extern const struct ut_narrow ut_kernels_b16_scalar, ut_kernels_b16_avx2, ut_kernels_b16_avx512;
extern const struct ut_narrow ut_kernels_b16_avx512_dot, ut_kernels_b16_neon;

/* The tables of narrow arithmetic that this processor can run at a level, the one in use first; bfloat16
 * where is_float, else int8. Returns how many, at most UT_KERNELS_MAX_NARROW. */
enum { UT_KERNELS_MAX_NARROW = 4 };
int ut_kernels_narrow_kinds(enum ut_cpu_level level, bool is_float, const struct ut_narrow **kinds);

void ut_kernels_fill_filter_scalar(struct ut_kernels *table);

/* What levels share with the scalar one. */
/* The end of a convolution: addends, scale and stores of element (t, o) whose sum is `acc`. */
void ut_kernels_store_scalar(const struct ut_conv *op, float acc, int t, int o);
void ut_kernels_modulate_scalar(const struct ut_modulate *op);
uint16_t ut_narrow_bf16(float x); /* to nearest even; of NaN, anything */

/* The scalar inverse spline (spline.c). */
void ut_kernels_spline_inverse(const struct ut_spline *op);

#endif
