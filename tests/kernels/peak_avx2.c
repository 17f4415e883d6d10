/* Peak of level avx2, for checkkernels --bench. */
#include "kernels/x86/vec_avx2.h"

#define PEAK_LOOP peak_loop_avx2
#include "peak_template.h"
