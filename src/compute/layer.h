/* What the packers of layers share. */
#ifndef UT_COMPUTE_LAYER_H
#define UT_COMPUTE_LAYER_H

#include "compute/compute.h"

UTTER_CHECKED utter_status ut_layer_fail_not_finite(const struct ut_tensor *tensor, utter_error *err);
UTTER_CHECKED utter_status ut_layer_fail_type(const struct ut_tensor *tensor, utter_error *err);
/* The type of the weights, and their scales. */
UTTER_CHECKED utter_status ut_layer_check(const struct ut_layer_source *source, utter_error *err);

/* Output channel o as f32 [n_taps, n_in], not negated; false when a value is not finite. */
bool ut_layer_read_channel(const struct ut_layer_source *source, int o, float *w);
/* Step o of a source that has scales. */
float ut_layer_scale(const struct ut_layer_source *source, int o);

/* The weights in panel order and in the type of their tensor; `panels` has room for them. */
UTTER_CHECKED utter_status ut_layer_pack_panels(const struct ut_compute *compute,
                                                const struct ut_layer_source *source, void *panels,
                                                utter_error *err);

/* The source's bias, n_padded values with zeros behind its own. */
UTTER_CHECKED utter_status ut_layer_pack_bias(struct ut_arena *arena,
                                              const struct ut_layer_source *source, size_t n_padded,
                                              float **out, utter_error *err);

#endif
