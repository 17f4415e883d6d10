/* Peaks on all threads of the pool, in wall time. The best of many short turns counts: a bound is
 * what the machine does when nothing is in its way. */
#include "compute/peaks.h"

#include <string.h>

#include "base/checked.h"
#include "base/clock.h"

enum {
    N_TURNS = 24,
    ITEMS_PER_THREAD = 4, /* so that a thread that comes late costs little */
    N_ROUNDS = 20000,     /* of an item: a tenth to half a millisecond */
    READ_BYTES = 96 << 20 /* more than most last-level caches */
};

/* One pool run. Each item writes a place of its own, so nothing is shared between threads. */
struct turn {
    double (*loop)(long n);
    float (*read)(const float *x, size_t n);
    const float *x; /* [n_items][n_item] */
    size_t n_item;
    double n_macs[256 * ITEMS_PER_THREAD]; /* of each item */
    float sums[256 * ITEMS_PER_THREAD];
};

static void run_loops(void *user, int begin, int end) {
    struct turn *turn = user;
    for (int i = begin; i < end; i++) {
        turn->n_macs[i] = turn->loop(N_ROUNDS);
    }
}

static void read_items(void *user, int begin, int end) {
    struct turn *turn = user;
    for (int i = begin; i < end; i++) {
        turn->sums[i] = turn->read(turn->x + (size_t)i * turn->n_item, turn->n_item);
    }
}

/* Seconds of the best turn. */
static double best_turn(struct ut_pool *pool, int n_items, int n_turns,
                        void (*items)(void *user, int begin, int end), struct turn *turn) {
    double best_s = 0;
    for (int i = 0; i < n_turns; i++) {
        double start_s = ut_clock_s();
        ut_pool_run(pool, n_items, 1, items, turn);
        double seconds = ut_clock_s() - start_s;
        best_s = i == 0 || seconds < best_s ? seconds : best_s;
    }
    return best_s;
}

/* 0 where the level has no such arithmetic. */
static double measure_loop(const struct ut_compute *compute, struct turn *turn,
                           double (*loop)(long n)) {
    int n_items = ut_pool_threads(compute->pool) * ITEMS_PER_THREAD;
    if (!loop) {
        return 0;
    }
    turn->loop = loop;
    double seconds = best_turn(compute->pool, n_items, N_TURNS, run_loops, turn), n_macs = 0;
    for (int i = 0; i < n_items; i++) {
        n_macs += turn->n_macs[i];
    }
    return seconds > 0 ? n_macs / seconds : 0;
}

/* All of it is read in every turn, as whole items by whichever thread comes. */
static bool measure_reading(const struct ut_compute *compute, struct ut_mem *mem, struct turn *turn,
                            double *bytes_per_s) {
    int n_items = ut_pool_threads(compute->pool) * ITEMS_PER_THREAD;
    *bytes_per_s = 0;
    if (!compute->kernels->read_f32) {
        return true;
    }
    float *x = ut_mem_alloc(mem, UT_MEM_OTHER, READ_BYTES);
    if (!x) {
        return false;
    }
    memset(x, 0, READ_BYTES);
    turn->read = compute->kernels->read_f32;
    turn->x = x;
    turn->n_item = READ_BYTES / sizeof *x / (size_t)n_items;
    double seconds = best_turn(compute->pool, n_items, 6, read_items, turn);
    ut_mem_free(mem, x);
    *bytes_per_s = (double)turn->n_item * sizeof *x * n_items / seconds;
    return true;
}

bool ut_peaks_measure(const struct ut_compute *compute, struct ut_mem *mem, struct ut_peaks *out) {
    const struct ut_kernels *kernels = compute->kernels;
    *out = (struct ut_peaks){0};
    struct turn *turn = ut_mem_calloc(mem, UT_MEM_OTHER, 1, sizeof *turn);
    if (!turn) {
        return false;
    }
    out->macs_per_s[UT_TALLY_F32] = measure_loop(compute, turn, kernels->peak_f32);
    out->macs_per_s[UT_TALLY_INT8] =
        measure_loop(compute, turn, kernels->i8 ? kernels->i8->peak : NULL);
    out->macs_per_s[UT_TALLY_BF16] =
        measure_loop(compute, turn, kernels->b16 ? kernels->b16->peak : NULL);
    bool ok = measure_reading(compute, mem, turn, &out->read_bytes_per_s);
    ut_mem_free(mem, turn);
    return ok;
}
