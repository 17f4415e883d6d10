/* bfloat16 on AVX2: widened to floats and multiplied as such, so only the memory is halved. */
#include "kernels/x86/vec_avx2.h"

#define TILE_ROWS 4
#define PANEL_VECTORS 2
#define STORED STORED_BF16
#define ADD_PRODUCTS v_add_bf16_products
#include "kernels/narrow_template.h"

const struct ut_narrow ut_kernels_b16_avx2 = NARROW_TABLE("bfloat16 as floats, AVX2");
