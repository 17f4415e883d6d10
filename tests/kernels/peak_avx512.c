/* Peak of level avx512, for checkkernels --bench. */
#include "kernels/x86/vec_avx512.h"

#define PEAK_LOOP peak_loop_avx512
#include "peak_template.h"
