/* Layers in narrow arithmetic (kernels/narrow.h), split over threads. */
#ifndef UT_COMPUTE_NARROW_H
#define UT_COMPUTE_NARROW_H

#include "compute/compute.h"

/* Weights of a convolution or linear layer rounded and packed for one processor level. */
struct ut_narrow_layer {
    const struct ut_narrow *kind; /* NULL: the layer does not exist in narrow form */
    void *panels;
    float *scale, *bias; /* padded to a multiple of the panel; never NULL */
    int n_out, n_in, n_taps, zero;
};

/* What `compute->precision` asks for at this level: NULL for float. */
const struct ut_narrow *ut_narrow_kind(const struct ut_compute *compute);
/* What a model's large layers compute in: "f32", "bf16" or "int8". */
const char *ut_narrow_precision(const struct ut_compute *compute);

/* Rounds a layer for input rows with `zero`. Errors as ut_layer_pack; ERROR_UNSUPPORTED too for
 * more than UT_NARROW_MAX_CH input channels. */
UTTER_CHECKED utter_status ut_narrow_pack(const struct ut_compute *compute,
                                          const struct ut_narrow *kind, struct ut_arena *arena,
                                          const struct ut_layer_source *source, int zero,
                                          struct ut_narrow_layer *out, utter_error *err);

/* A layer in what `compute->precision` asks for: narrow, for input rows with `zero`, or float as
 * ut_layer_pack. */
UTTER_CHECKED utter_status ut_narrow_pack_layer(const struct ut_compute *compute,
                                                struct ut_arena *arena,
                                                const struct ut_layer_source *source, int zero,
                                                struct ut_layer *out, utter_error *err);

/* Steps and rounded values of a whole convolution weight whose channels lie as [n_outer, n_ch,
 * n_inner]: n_outer 1 for an ordinary one, the input channels for a transposed one. A channel of
 * zeros has step 1. The values of ut_narrow_pack, so a file that stores them speaks as one whose
 * weights are rounded when they are loaded. */
void ut_narrow_steps(const float *w, size_t n_outer, size_t n_ch, size_t n_inner, float *steps);
void ut_narrow_round(const float *w, size_t n_outer, size_t n_ch, size_t n_inner,
                     const float *steps, int8_t *q); /* q may be w */

/* The steps of a weight [n_out, n_in, n_taps] or, transposed, [n_in, n_out, n_taps] as the `scale`
 * of ut_layer_source; values in `arena`. For a layer that is packed in parts. */
UTTER_CHECKED utter_status ut_narrow_steps_of(struct ut_arena *arena,
                                              const struct ut_tensor *weight, bool transposed,
                                              struct ut_tensor *out, utter_error *err);

/* For a layer packed in parts, in narrow arithmetic: all parts round to the steps of the whole
 * weight, as if a file had stored it in 8 bits. Sets whole->scale to `steps`, which is filled; a
 * file's own steps, and layers that will be float, are left alone. */
UTTER_CHECKED utter_status ut_narrow_share_steps(const struct ut_compute *compute,
                                                 struct ut_arena *arena, bool transposed,
                                                 struct ut_layer_source *whole,
                                                 struct ut_tensor *steps, utter_error *err);

/* A convolution: `op` describes rows, addends and stores; weights, scales, bias (unless op->bias is
 * set) and counts are taken from the layer. */
void ut_narrow_conv(const struct ut_compute *compute, const struct ut_narrow_layer *layer,
                    const struct ut_narrow_conv *op);

/* Counts a layer that is applied to n_rows output rows, for operations that call its kind
 * themselves. */
void ut_narrow_layer_count(const struct ut_compute *compute, const struct ut_narrow_layer *layer,
                           int n_rows);

/* Rows of floats, modulated, into narrow form. */
void ut_narrow_quantize(const struct ut_compute *compute, const struct ut_narrow *kind,
                        const struct ut_modulate *from, const struct ut_narrow_rows *to);

#endif
