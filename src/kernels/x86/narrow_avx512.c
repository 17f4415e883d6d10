/* int8 on AVX-512 without VNNI: values of 8 bits kept in 16, for the products of unsigned by signed
 * bytes of this level saturate (2 * 255 * 127). Tiles of 6 rows x 32 channels use 24 + 4 of the 32
 * registers. */
#include "kernels/x86/vec_avx512.h"

#define TILE_ROWS 6
#define PANEL_VECTORS 2
#define STORED STORED_HALF
#define ADD_PRODUCTS v_add_half_products
#include "kernels/narrow_template.h"

const struct ut_narrow ut_kernels_i8_avx512 = NARROW_TABLE("int8 in 16 bits, AVX-512");
