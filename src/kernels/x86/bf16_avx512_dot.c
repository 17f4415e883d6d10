/* bfloat16 on AVX512_BF16: two products at a time added to a float. Tiles of 7 rows x 32 channels
 * use 28 + 3 of the 32 registers. */
#include "kernels/x86/vec_avx512.h"

#define TILE_ROWS 7
#define PANEL_VECTORS 2
#define STORED STORED_BF16
#define ADD_PRODUCTS v_dot_bf16_products
#include "kernels/narrow_template.h"

const struct ut_narrow ut_kernels_b16_avx512_dot = NARROW_TABLE("bfloat16 AVX512_BF16");
