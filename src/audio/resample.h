/* One channel from one sample rate to another, in pieces. */
#ifndef UT_AUDIO_RESAMPLE_H
#define UT_AUDIO_RESAMPLE_H

#include "base/error.h"

/* One stream of samples, one thread at a time. */
struct ut_resampler {
    void *soxr; /* NULL: closed, or the rates are equal and samples go straight through */
};

/* Receives what a resampler made; an error ends the feeding. */
typedef utter_status (*ut_resampler_sink)(void *user, const float *samples, size_t n,
                                          utter_error *err);

/* ERROR_UNSUPPORTED when the rates differ and the build has no libsoxr. */
UTTER_CHECKED utter_status ut_resampler_open(struct ut_resampler *resampler, int32_t from_hz,
                                             int32_t to_hz, utter_error *err);

/* Passes on what n samples make; some are held back until more come. */
UTTER_CHECKED utter_status ut_resampler_feed(struct ut_resampler *resampler, const float *samples,
                                             size_t n, ut_resampler_sink sink, void *user,
                                             utter_error *err);

/* Passes on the rest. In all, round(n * to / from) samples come out, in step with the input. */
UTTER_CHECKED utter_status ut_resampler_flush(struct ut_resampler *resampler,
                                              ut_resampler_sink sink, void *user, utter_error *err);

void ut_resampler_close(struct ut_resampler *resampler);

#endif
