/* Elementwise functions and operations on rows at level avx512. */
#include "kernels/x86/vec_avx512.h"

#include "kernels/elementwise_template.h"

void ut_kernels_fill_elementwise_avx512(struct ut_kernels *table) {
    fill_elementwise(table);
}
