/* How far two sounds are apart by their spectra, frame by frame. */
#ifndef UT_AUDIO_SPECTRAL_H
#define UT_AUDIO_SPECTRAL_H

#include "base/mem.h"

struct ut_spectral {
    double lsd_db; /* log-spectral distance; both NAN if the reference is silent */
    double mcd_db; /* mel-cepstral distortion, 13 coefficients without c0 */
};

/* `ref` and `test` are [n], n at least 1, of one rate and in step; not symmetric: the reference says
 * which frames count and where the floor is. ERROR_MEMORY. */
UTTER_CHECKED utter_status ut_spectral_compare(struct ut_mem *mem, const float *ref,
                                               const float *test, size_t n, int32_t rate_hz,
                                               struct ut_spectral *out, utter_error *err);

#endif
