/* int8 on AVX2: values of 8 bits kept in 16, for the products of unsigned by signed bytes of this
 * level saturate (2 * 255 * 127). The sums of 6 rows x 16 channels fill the registers, their totals
 * lie in the L1 cache. */
#include "kernels/x86/vec_avx2.h"

#define TILE_ROWS 6
#define PANEL_VECTORS 2
#define STORED STORED_HALF
#define ADD_PRODUCTS v_add_half_products
#include "kernels/narrow_template.h"

const struct ut_narrow ut_kernels_i8_avx2 = NARROW_TABLE("int8 in 16 bits, AVX2");
