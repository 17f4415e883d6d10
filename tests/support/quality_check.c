/* utter_compare without its formalities. */
#include "quality_check.h"

#include <stdio.h>
#include <stdlib.h>

utter_quality quality_of(const float *ref, size_t n_ref, const float *test, size_t n_test,
                         int32_t rate_hz) {
    utter_sound sounds[] = {{ref, n_ref, rate_hz}, {test, n_test, rate_hz}};
    utter_quality q = {.size = sizeof q};
    utter_compare_options options;
    utter_error err;
    utter_compare_options_init(&options);
    options.no_pitch = true;
    if (utter_compare(&sounds[0], &sounds[1], &options, &q, &err) != UTTER_OK) {
        fprintf(stderr, "quality_of: %s\n", err.message);
        abort();
    }
    return q;
}

double quality_lsd_db(const float *ref, const float *test, size_t n, int32_t rate_hz) {
    return quality_of(ref, n, test, n, rate_hz).lsd_db;
}
