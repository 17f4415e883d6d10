/* A pool of worker threads that run one function over a range of rows. Workers spin briefly, then
 * sleep. The calling thread always works too, and any number of threads may call at once: those
 * that stay for long say so, and then as many workers rest, so that never more threads compute than
 * the pool has. */
#ifndef UT_COMPUTE_POOL_H
#define UT_COMPUTE_POOL_H

#include <stdbool.h>

#include "base/error.h"
#include "base/mem.h"

struct ut_pool;

/* n_threads 1..256, the caller included; 1 starts none. */
UTTER_CHECKED utter_status ut_pool_create(struct ut_mem *mem, int n_threads, struct ut_pool **out,
                                          utter_error *err);
void ut_pool_destroy(struct ut_pool *pool); /* NULL is fine; waits for the workers */
int ut_pool_threads(const struct ut_pool *pool);

/* Calls fn(user, begin, end) with disjoint ranges that cover 0..n, each but the last a multiple of
 * `grain` long, and returns when all are done. Which thread gets which range may vary; results must
 * not depend on it. */
void ut_pool_run(struct ut_pool *pool, int n, int grain, void (*fn)(void *user, int begin, int end),
                 void *user);

/* Around the work of a thread that computes for long, such as a sentence's; leave once for each
 * enter. Without them a caller still counts as one while no other is there. */
void ut_pool_enter(struct ut_pool *pool);
void ut_pool_leave(struct ut_pool *pool);
int ut_pool_spare(const struct ut_pool *pool); /* threads that no caller who entered has */

enum { UT_POOL_MAX_THREADS = 256 };

/* Numbers 0..n - 1 for the threads inside one ut_pool_run, n the threads of the pool: whoever holds
 * one has the scratch buffer of that number to itself. All zeros but n at the start. */
struct ut_slots {
    int n;
    _Atomic bool taken[UT_POOL_MAX_THREADS];
};
int ut_slots_take(struct ut_slots *slots); /* there is always a free one */
void ut_slots_give(struct ut_slots *slots, int slot);

/* Physical cores that this process may use (affinity, cgroup quota rounded up), at least 1. */
int ut_pool_default_threads(void);

#endif
