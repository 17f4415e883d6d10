/* Sample conversion. No dither: speech from a model has its own noise, and equal samples should
 * give equal files. */
#include "audio/convert.h"

#include <math.h>
#include <string.h>

size_t ut_convert_find_not_finite(const float *samples, size_t n) {
    size_t i = 0;
    while (i < n && isfinite(samples[i])) {
        i++;
    }
    return i;
}

/* NaN stays NaN: both comparisons are false. Callers have refused it before. */
static float clip(float x) {
    return x > 1.0f ? 1.0f : x < -1.0f ? -1.0f : x;
}

/* lrintf rounds as the thread is set, to the nearest with ties to even unless somebody changed
 * that. */
void ut_convert_to_s16(int16_t *out, const float *samples, size_t n) {
    for (size_t i = 0; i < n; i++) {
        out[i] = (int16_t)lrintf(32767.0f * clip(samples[i]));
    }
}

void ut_convert_clip(float *out, const float *samples, size_t n) {
    for (size_t i = 0; i < n; i++) {
        out[i] = clip(samples[i]);
    }
}
