/* Sorting 32-bit indexes in place: heapsort, so O(n log n) whatever the input and without memory of
 * its own (the C library's qsort may allocate behind our allocator's back). Not stable. */
#ifndef UT_BASE_SORT_H
#define UT_BASE_SORT_H

#include <stddef.h>
#include <stdint.h>

/* Like strcmp for the things that a and b stand for. */
typedef int (*ut_compare_fn)(uint32_t a, uint32_t b, const void *context);

void ut_sort_u32(uint32_t *items, size_t n, ut_compare_fn compare, const void *context);

#endif
