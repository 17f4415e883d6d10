/* "Did you mean": the name of a list that is nearest to one that was not found. */
#ifndef UT_BASE_NEAREST_H
#define UT_BASE_NEAREST_H

#include <stddef.h>
#include <stdint.h>

/* Least number of bytes inserted, removed, replaced or swapped with their neighbour that turns one
 * string into the other, ASCII letters compared without case. Only the first 63 bytes count. */
int ut_edit_distance(const char *a, const char *b);

/* Index of the nearest of n names, -1 when none is near enough to be meant: more than a third of
 * the longer name (at least one byte) would have to change. at(user, i) may return NULL; ties go to
 * the first. */
int32_t ut_nearest(const char *name, const char *(*at)(const void *user, int32_t i),
                   const void *user, int32_t n);

#endif
