/* Values that depend on a seed and a name alone, so that a tensor is the same in every model that
 * has it. */
#ifndef UT_TESTS_RANDOM_VALUES_H
#define UT_TESTS_RANDOM_VALUES_H

#include <stddef.h>
#include <stdint.h>

/* About normal: mean and standard deviation as given, never beyond 3.5 of these. */
void random_normal(const char *name, uint64_t seed, float mean, float deviation, float *out,
                   size_t n);

#endif
