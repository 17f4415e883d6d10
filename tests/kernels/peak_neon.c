/* Peak of level neon, for checkkernels --bench. */
#include "kernels/neon/vec_neon.h"

#define PEAK_LOOP peak_loop_neon
#include "peak_template.h"
