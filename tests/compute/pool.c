/* The thread pool covers every range exactly once, also when several threads call it at once. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "compute/pool.h"

enum { N = 10007, N_CALLERS = 4, N_ROUNDS = 200 };

struct counts {
    unsigned char seen[N];
    int grain;
    _Atomic int n_bad;
};

static void count(void *user, int begin, int end) {
    struct counts *c = user;
    if (begin < 0 || end > N || begin >= end || begin % c->grain) {
        c->n_bad++;
        return;
    }
    for (int i = begin; i < end; i++) {
        c->seen[i]++;
    }
}

static void run_once(struct ut_pool *pool, int n, int grain) {
    static _Thread_local struct counts c;
    memset(&c, 0, sizeof c);
    c.grain = grain;
    ut_pool_run(pool, n, grain, count, &c);
    assert_int_equal(c.n_bad, 0);
    for (int i = 0; i < N; i++) {
        assert_int_equal(c.seen[i], i < n);
    }
}

static struct ut_pool *create(struct ut_mem *mem, int n_threads) {
    struct ut_pool *pool;
    utter_error err;
    ut_mem_init(mem, NULL);
    assert_int_equal(ut_pool_create(mem, n_threads, &pool, &err), UTTER_OK);
    assert_int_equal(ut_pool_threads(pool), n_threads);
    return pool;
}

static void covers_every_size(void **state) {
    struct ut_mem mem;
    for (int n_threads = 1; n_threads <= 5; n_threads++) {
        struct ut_pool *pool = create(&mem, n_threads);
        for (int n = 0; n < 70; n++) {
            run_once(pool, n, 1);
            run_once(pool, n, 24);
        }
        run_once(pool, N, 7);
        ut_pool_destroy(pool);
        assert_int_equal(mem.bytes[UT_MEM_OTHER], 0);
    }
}

static void *caller(void *arg) {
    for (int i = 0; i < N_ROUNDS; i++) {
        run_once(arg, 1 + (i * 37) % N, 12);
    }
    return NULL;
}

static void serves_several_callers(void **state) {
    struct ut_mem mem;
    struct ut_pool *pool = create(&mem, 3);
    pthread_t threads[N_CALLERS];
    for (int i = 0; i < N_CALLERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, caller, pool), 0);
    }
    for (int i = 0; i < N_CALLERS; i++) {
        pthread_join(threads[i], NULL);
    }
    ut_pool_destroy(pool);
}

/* How many threads were inside at once, at most. */
struct crowd {
    _Atomic int n_inside, n_most;
};

static void stay_inside(void *user, int begin, int end) {
    struct crowd *crowd = user;
    int n = atomic_fetch_add(&crowd->n_inside, 1) + 1, most = crowd->n_most;
    while (n > most && !atomic_compare_exchange_weak(&crowd->n_most, &most, n)) {
    }
    struct timespec nap = {0, 200000};
    nanosleep(&nap, NULL);
    atomic_fetch_sub(&crowd->n_inside, 1);
}

struct long_caller {
    struct ut_pool *pool;
    struct crowd *crowd;
    pthread_barrier_t *all_entered;
};

static void *stay_long(void *arg) {
    struct long_caller *c = arg;
    ut_pool_enter(c->pool);
    pthread_barrier_wait(c->all_entered);
    for (int i = 0; i < 20; i++) {
        ut_pool_run(c->pool, 64, 1, stay_inside, c->crowd);
    }
    pthread_barrier_wait(c->all_entered);
    ut_pool_leave(c->pool);
    return NULL;
}

/* Callers that entered and workers together are never more than the pool's threads, but for a chunk
 * that a worker was in when the last of them came. */
static void workers_make_room_for_callers(void **state) {
    enum { N_THREADS = 4 };
    struct ut_mem mem;
    struct ut_pool *pool = create(&mem, N_THREADS);
    for (int n_callers = 1; n_callers <= N_THREADS + 1; n_callers++) {
        struct crowd crowd = {0};
        pthread_t threads[N_THREADS + 1];
        pthread_barrier_t all_entered;
        pthread_barrier_init(&all_entered, NULL, (unsigned)n_callers);
        struct long_caller c = {pool, &crowd, &all_entered};
        for (int i = 0; i < n_callers; i++) {
            assert_int_equal(pthread_create(&threads[i], NULL, stay_long, &c), 0);
        }
        for (int i = 0; i < n_callers; i++) {
            pthread_join(threads[i], NULL);
        }
        pthread_barrier_destroy(&all_entered);
        assert_true(crowd.n_most <= (n_callers > N_THREADS ? n_callers : N_THREADS));
        assert_int_equal(ut_pool_spare(pool), N_THREADS);
    }
    /* And they come back. */
    struct crowd crowd = {0};
    for (int i = 0; i < 200 && crowd.n_most < 2; i++) {
        ut_pool_run(pool, 64, 1, stay_inside, &crowd);
    }
    assert_true(crowd.n_most > 1);
    ut_pool_enter(pool);
    assert_int_equal(ut_pool_spare(pool), N_THREADS - 1);
    ut_pool_leave(pool);
    ut_pool_destroy(pool);
}

static void wakes_from_sleep(void **state) {
    struct ut_mem mem;
    struct ut_pool *pool = create(&mem, 3);
    for (int i = 0; i < 20; i++) {
        struct timespec nap = {0, 2000000};
        nanosleep(&nap, NULL);
        run_once(pool, N, 5);
    }
    ut_pool_destroy(pool);
}

static void *fail_alloc(void *user, size_t n_bytes) {
    return NULL;
}

static void fail_free(void *user, void *block, size_t n_bytes) {
}

static void reports_missing_memory(void **state) {
    struct ut_mem mem;
    utter_allocator none = {fail_alloc, fail_free, NULL};
    struct ut_pool *pool;
    utter_error err;
    ut_mem_init(&mem, &none);
    assert_int_equal(ut_pool_create(&mem, 2, &pool, &err), UTTER_ERROR_MEMORY);
    assert_null(pool);
}

static void default_is_sane(void **state) {
    assert_in_range(ut_pool_default_threads(), 1, 256);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(covers_every_size),
        cmocka_unit_test(serves_several_callers),
        cmocka_unit_test(workers_make_room_for_callers),
        cmocka_unit_test(wakes_from_sleep),
        cmocka_unit_test(reports_missing_memory),
        cmocka_unit_test(default_is_sane),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
