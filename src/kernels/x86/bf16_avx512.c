/* bfloat16 on AVX-512 without its instruction: widened to floats and multiplied as such, so only
 * the memory is halved. Tiles of 6 rows x 32 channels use 24 + 6 of the 32 registers. */
#include "kernels/x86/vec_avx512.h"

#define TILE_ROWS 6
#define PANEL_VECTORS 2
#define STORED STORED_BF16
#define ADD_PRODUCTS v_add_bf16_products
#include "kernels/narrow_template.h"

const struct ut_narrow ut_kernels_b16_avx512 = NARROW_TABLE("bfloat16 as floats, AVX-512");
