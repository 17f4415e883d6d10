/* Every allocation of a piece of work fails in turn, once or with all behind it:
 *
 *     struct sweep sweep;
 *     for (sweep_start(&sweep, &mem, false); sweep_next(&sweep);) {
 *         utter_status status = work(&mem);
 *         ...                                  everything that the work left is freed
 *         sweep_check(&sweep, status);
 *     }
 *     assert_true(sweep.n_injected > 3);
 *
 * The last round is the one in which nothing failed. */
#ifndef UT_TESTS_SWEEP_H
#define UT_TESTS_SWEEP_H

#include "base/mem.h"
#include "support/failing_allocator.h"

struct sweep {
    struct failing_allocator memory;
    utter_allocator allocator;
    size_t fail_at;    /* the allocation that fails in this round, from 1 */
    size_t n_injected; /* rounds in which one did */
    size_t n_blocks;   /* alive between rounds */
    bool and_later;
};

/* `mem` is to use the sweep's allocator from now on; NULL: the caller gives `allocator` to its work. Blocks
 * that are alive when the first round begins may stay. */
void sweep_start(struct sweep *sweep, struct ut_mem *mem, bool and_later);

/* Ends a round, in which nothing may have been left allocated or overrun, and begins another; false when
 * there is no allocation left that could fail. From then on none does. */
bool sweep_next(struct sweep *sweep);

/* ERROR_MEMORY when an allocation failed, else OK; the test fails for any other status. */
void sweep_check(const struct sweep *sweep, utter_status status);

#endif
