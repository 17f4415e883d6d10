/* int8 on AVX-512 VNNI: unsigned bytes of a row by signed bytes of weights, four products at a time
 * added to 32 bits without saturation. Tiles of 12 rows x 32 channels use 24 + 3 of the 32
 * registers. */
#include "kernels/x86/vec_avx512.h"

#define TILE_ROWS 12
#define PANEL_VECTORS 2
#define STORED STORED_BYTE_U

static inline v_int v_add_products(v_int sums, const char *word, v_int weights) {
    return _mm512_dpbusd_epi32(sums, v_set_word(word), weights);
}

#include "kernels/narrow_template.h"

const struct ut_narrow ut_kernels_i8_avx512_vnni = NARROW_TABLE("int8 VNNI");
