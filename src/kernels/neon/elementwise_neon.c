/* Elementwise functions and operations on rows at level neon. */
#include "kernels/neon/vec_neon.h"

#include "kernels/elementwise_template.h"

void ut_kernels_fill_elementwise_neon(struct ut_kernels *table) {
    fill_elementwise(table);
}
