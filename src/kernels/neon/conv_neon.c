/* Convolutions on NEON: tiles of 5 rows x 16 channels use 20 + 4 + 5 of the 32 registers. With 6
 * rows gcc loads all six activations first and keeps accumulators in memory; panels of two vectors,
 * as on x86, would load one value for every two multiply-adds. */
#include "kernels/neon/vec_neon.h"

#define CONV_ROWS 5
#define PANEL_VECTORS 4
#include "kernels/conv_template.h"
#include "kernels/filter_template.h"

void ut_kernels_fill_conv_neon(struct ut_kernels *table) {
    fill_conv(table);
    fill_filter(table);
}
