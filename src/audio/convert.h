/* Samples between float and those of a file, which are little-endian as the processors that utter runs on. */
#ifndef UT_AUDIO_CONVERT_H
#define UT_AUDIO_CONVERT_H

#include <stddef.h>
#include <stdint.h>

/* Index of the first sample that is NaN or infinite, n if there is none. */
size_t ut_convert_find_not_finite(const float *samples, size_t n);

/* round(32767 * x), ties to even, x limited to -1..1 first: full scale is symmetric and exact. */
void ut_convert_to_s16(int16_t *out, const float *samples, size_t n);

/* Limits x to -1..1. `out` may be `samples`. */
void ut_convert_clip(float *out, const float *samples, size_t n);

#endif
