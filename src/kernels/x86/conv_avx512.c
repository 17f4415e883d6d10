/* Convolutions on AVX-512: tiles of 12 rows x 32 channels use 24 + 3 of the 32 registers. */
#include "kernels/x86/vec_avx512.h"

#define CONV_ROWS 12
#define PANEL_VECTORS 2
#include "kernels/conv_template.h"
#include "kernels/filter_template.h"

void ut_kernels_fill_conv_avx512(struct ut_kernels *table) {
    fill_conv(table);
    fill_filter(table);
}
