/* The modulation of kernels.h for one vector, which a float level stores and a narrow one rounds; and
 * the loads and stores of up to one vector. On the primitives of one level (its vec_*.h is included
 * before). */
#ifndef UT_KERNELS_MODULATE_TEMPLATE_H
#define UT_KERNELS_MODULATE_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/kernels.h"
#include "kernels/vec_math.h"

/* n in 1..V_WIDTH elements, the rest `fill`. */
ALWAYS_INLINE v_float load_up_to(const float *p, ptrdiff_t n, float fill) {
    return n >= V_WIDTH ? v_load(p) : v_load_n(p, (int)n, fill);
}

ALWAYS_INLINE void store_up_to(float *p, v_float x, ptrdiff_t n) {
    if (n >= V_WIDTH) {
        v_store(p, x);
    } else {
        v_store_n(p, x, (int)n);
    }
}

ALWAYS_INLINE v_float v_leaky_relu(v_float v, float slope) {
    return v_select(v_greater(v, v_set(0)), v, v_mul(v, v_set(slope)));
}

/* n channels from c on (a whole vector when n >= V_WIDTH) of a row. The snake counts its angle in
 * half turns: alpha / pi is rounded, which turns the angle by less than 2e-7 of itself. */
ALWAYS_INLINE v_float v_modulate(const struct ut_modulate *op, v_float v, int c, int n,
                                 const bool is_snake) {
    if (op->scale) {
        v = v_fma(v, load_up_to(op->scale + c, n, 0), load_up_to(op->shift + c, n, 0));
    }
    if (!is_snake) {
        return v_leaky_relu(v, op->slope);
    }
    v_float half_turns = v_mul(load_up_to(op->alpha + c, n, 0), v_set(0.318309886f));
    v_float square = v_sin_pi_squared(v_mul(half_turns, v));
    return v_fma(square, load_up_to(op->inv_alpha + c, n, 0), v);
}

#endif
