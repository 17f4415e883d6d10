/* How far sound in memory is from what it should be, for tests of narrow arithmetic and the like. */
#ifndef UT_TESTS_QUALITY_CHECK_H
#define UT_TESTS_QUALITY_CHECK_H

#include "utter.h"

/* Every figure but those of pitch; aborts if the two cannot be compared. */
utter_quality quality_of(const float *ref, size_t n_ref, const float *test, size_t n_test,
                         int32_t rate_hz);

/* Log-spectral distance of [n] samples each, in step: 0 equal, about 0.5 hard to hear (docs/eval.md). */
double quality_lsd_db(const float *ref, const float *test, size_t n, int32_t rate_hz);

#endif
