/* Adaptive instance normalisation in Kokoro's forward files. */
#ifndef UT_KOKORO_ADAIN_H
#define UT_KOKORO_ADAIN_H

#include "compute/time_conv.h"
#include "models/kokoro/kokoro_model.h"

/* The modulation that normalises by `moments` and applies the gamma and beta that `fc` makes of the style
 * [style_dim]; activation: identity, for the caller to change. Memory from the arena; false when there is
 * none. */
bool ut_kokoro_adain(struct ut_kokoro_session *s, const struct ut_layer *fc, const float *style,
                     const struct ut_moments *moments, struct ut_modulation *out);

#endif
