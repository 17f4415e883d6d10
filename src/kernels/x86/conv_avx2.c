/* Convolutions on AVX2: tiles of 6 rows x 16 channels use 12 + 3 of the 16 registers. */
#include "kernels/x86/vec_avx2.h"

#define CONV_ROWS 6
#define PANEL_VECTORS 2
#include "kernels/conv_template.h"
#include "kernels/filter_template.h"

void ut_kernels_fill_conv_avx2(struct ut_kernels *table) {
    fill_conv(table);
    fill_filter(table);
}
