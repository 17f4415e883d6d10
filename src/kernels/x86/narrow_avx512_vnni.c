/* int8 on AVX-512 VNNI: unsigned bytes of a row by signed bytes of weights, four products at a time
 * added to 32 bits without saturation. Tiles of 7 rows x 32 channels use 28 + 3 of the 32
 * registers. */
#include "kernels/x86/vec_avx512.h"

#define TILE_ROWS 7
#define PANEL_VECTORS 2
#define STORED STORED_BYTE_U
#define ADD_PRODUCTS v_add_byte_products
#include "kernels/narrow_template.h"

const struct ut_narrow ut_kernels_i8_avx512_vnni = NARROW_TABLE("int8 VNNI");
