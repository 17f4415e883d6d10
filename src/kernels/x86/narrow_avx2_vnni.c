/* int8 on AVX-VNNI, which processors without AVX-512 have: as x86/narrow_avx512_vnni.c on 16
 * registers of half the width. */
#include "kernels/x86/vec_avx2.h"

#define TILE_ROWS 6
#define PANEL_VECTORS 2
#define STORED STORED_BYTE_U
#define ADD_PRODUCTS v_add_byte_products
#include "kernels/narrow_template.h"

const struct ut_narrow ut_kernels_i8_avx2_vnni = NARROW_TABLE("int8 AVX-VNNI");
