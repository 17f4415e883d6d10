/* An allocator that fails on demand and sees every block: what was not freed, or freed with another
 * size than it was allocated with. Thread safe. */
#ifndef UT_TESTS_FAILING_ALLOCATOR_H
#define UT_TESTS_FAILING_ALLOCATOR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "utter.h"

struct failing_allocator {
    _Atomic size_t n_calls;  /* of alloc since the last reset */
    size_t fail_at;          /* the call that fails, from 1; 0: none */
    bool and_later;          /* so do all after it */
    _Atomic size_t n_failed; /* since the last reset */
    _Atomic size_t n_blocks; /* alive */
    _Atomic bool wrong_size; /* a block was freed with another size, or overrun */
};

/* Lives as long as whatever allocates with it. */
utter_allocator failing_allocator_start(struct failing_allocator *state);
/* Counts from zero, failing as told; no other thread may allocate meanwhile. */
void failing_allocator_reset(struct failing_allocator *state, size_t fail_at, bool and_later);

#endif
