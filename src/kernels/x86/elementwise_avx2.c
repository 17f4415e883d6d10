/* Elementwise functions and operations on rows at level avx2. */
#include "kernels/x86/vec_avx2.h"

#include "kernels/elementwise_template.h"

void ut_kernels_fill_elementwise_avx2(struct ut_kernels *table) {
    fill_elementwise(table);
}
