/* Heapsort (Williams 1964, Floyd's heap construction). */
#include "base/sort.h"

/* Moves items[root] down until both its children are smaller. */
static void sift_down(uint32_t *items, size_t root, size_t n, ut_compare_fn compare,
                      const void *context) {
    uint32_t moving = items[root];
    for (size_t child = 2 * root + 1; child < n; child = 2 * root + 1) {
        if (child + 1 < n && compare(items[child], items[child + 1], context) < 0) {
            child++;
        }
        if (compare(moving, items[child], context) >= 0) {
            break;
        }
        items[root] = items[child];
        root = child;
    }
    items[root] = moving;
}

/* items[0..n/2) are made parents of a heap from the last to the first; then the largest goes to the
 * end and the rest is a heap again. */
void ut_sort_u32(uint32_t *items, size_t n, ut_compare_fn compare, const void *context) {
    for (size_t i = n / 2; i-- > 0;) {
        sift_down(items, i, n, compare, context);
    }
    for (size_t end = n; end-- > 1;) {
        uint32_t largest = items[0];
        items[0] = items[end];
        items[end] = largest;
        sift_down(items, 0, end, compare, context);
    }
}
