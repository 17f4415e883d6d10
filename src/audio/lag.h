/* By how many samples one recording is behind another. */
#ifndef UT_AUDIO_LAG_H
#define UT_AUDIO_LAG_H

#include "base/mem.h"

/* The lag in -max_lag..max_lag at which test[t + lag] and ref[t] correlate most; positive: the test
 * is late. 0 when nothing correlates, as with silence. Both are [n]. ERROR_MEMORY. */
UTTER_CHECKED utter_status ut_lag_find(struct ut_mem *mem, const float *ref, const float *test,
                                       size_t n, size_t max_lag, ptrdiff_t *lag, utter_error *err);

#endif
