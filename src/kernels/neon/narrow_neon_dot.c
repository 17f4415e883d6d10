/* int8 on NEON with dot products (SDOT, from ARMv8.2 on): tiles of 3 rows x 16 channels use 24 + 4
 * + 1 of the 32 registers. */
#include "kernels/neon/vec_neon.h"

#define TILE_ROWS 3
#define PANEL_VECTORS 4
#define STORED STORED_BYTE_S
#define ADD_PRODUCTS v_add_byte_products
#include "kernels/narrow_template.h"

const struct ut_narrow ut_kernels_i8_neon_dot = NARROW_TABLE("int8 SDOT");
