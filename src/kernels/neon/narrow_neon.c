/* int8 on NEON without dot products: bytes by bytes into 16 bits, two at a time, then pairwise into
 * 32. Tiles of 3 rows x 16 channels use 24 + 4 + 3 of the 32 registers. */
#include "kernels/neon/vec_neon.h"

#define TILE_ROWS 3
#define PANEL_VECTORS 4
#define STORED STORED_BYTE_S
#define ADD_PRODUCTS v_add_byte_pair_products
#define PLACE_OF_WEIGHT(o, c) ((c) / 2 * 8 + (o)*2 + (c) % 2)
#include "kernels/narrow_template.h"

const struct ut_narrow ut_kernels_i8_neon = NARROW_TABLE("int8 NEON");
