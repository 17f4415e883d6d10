/* bfloat16 on NEON: widened to floats and multiplied as such, so only the memory is halved. */
#include "kernels/neon/vec_neon.h"

#define TILE_ROWS 2
#define PANEL_VECTORS 4
#define STORED STORED_BF16
#define ADD_PRODUCTS v_add_bf16_products
#include "kernels/narrow_template.h"

const struct ut_narrow ut_kernels_b16_neon = NARROW_TABLE("bfloat16 as floats, NEON");
