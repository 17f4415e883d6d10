/* The thread pool. A job is published as one 64-bit ticket, (number of chunks << 32 | next chunk):
 * a worker that takes a chunk learns in the same atomic step whether it exists, so a late worker
 * can never take part in a job that replaced the one it saw. */
#include "compute/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/thread.h"

/* Long enough to bridge the serial code between two operations (some 10 us), short enough that an
 * idle pool costs nothing. More callers at once than there are jobs run their ranges alone. */
enum { SPIN_BEFORE_SLEEP = 4000, SPIN_BEFORE_YIELD = 2000, CHUNKS_PER_THREAD = 2, MAX_JOBS = 4 };

#define TICKET_CLOSED UINT64_C(0)

/* fn to chunk are written before the ticket is published, and read after a chunk was taken. */
struct job {
    pthread_mutex_t busy; /* held by the caller whose job it is */
    _Atomic uint64_t ticket;
    _Atomic int n_done;
    void (*fn)(void *user, int begin, int end);
    void *user;
    int n, chunk;
};

struct worker {
    struct ut_pool *pool;
    int index; /* from 0 */
    pthread_t thread;
};

struct ut_pool {
    struct ut_mem *mem;
    int n_threads;
    int n_started;
    struct worker *workers;
    struct job jobs[MAX_JOBS];
    _Atomic int n_callers; /* that entered */

    pthread_mutex_t sleep_lock;
    pthread_cond_t wake, turn;   /* there is a job; n_callers changed */
    _Atomic uint32_t generation; /* counts published jobs */
    _Atomic int n_sleeping;      /* that wait for `wake` */
    _Atomic bool stop;
};

static void pause_cpu(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Threads that the callers leave to the workers. */
static int n_helpers(const struct ut_pool *pool) {
    return pool->n_threads - UT_MAX(atomic_load(&pool->n_callers), 1);
}

static void work(struct job *job) {
    /* Looking first: a job that is over must not count up to where its ticket looks open again. */
    uint64_t ticket = atomic_load_explicit(&job->ticket, memory_order_relaxed);
    while ((uint32_t)ticket < (uint32_t)(ticket >> 32)) {
        ticket = atomic_fetch_add_explicit(&job->ticket, 1, memory_order_acq_rel);
        uint32_t chunk = (uint32_t)ticket, n_chunks = (uint32_t)(ticket >> 32);
        if (chunk >= n_chunks) {
            return;
        }
        int begin = (int)chunk * job->chunk;
        job->fn(job->user, begin, UT_MIN(job->n, begin + job->chunk));
        atomic_fetch_add_explicit(&job->n_done, 1, memory_order_release);
    }
}

static void sleep_until_job(struct ut_pool *pool, uint32_t seen) {
    pthread_mutex_lock(&pool->sleep_lock);
    atomic_fetch_add(&pool->n_sleeping, 1);
    while (atomic_load(&pool->generation) == seen && !atomic_load(&pool->stop)) {
        pthread_cond_wait(&pool->wake, &pool->sleep_lock);
    }
    atomic_fetch_sub(&pool->n_sleeping, 1);
    pthread_mutex_unlock(&pool->sleep_lock);
}

/* While the callers need its processor, a worker must not even spin. */
static void sleep_until_turn(struct worker *worker) {
    struct ut_pool *pool = worker->pool;
    if (worker->index < n_helpers(pool)) {
        return;
    }
    pthread_mutex_lock(&pool->sleep_lock);
    while (worker->index >= n_helpers(pool) && !atomic_load(&pool->stop)) {
        pthread_cond_wait(&pool->turn, &pool->sleep_lock);
    }
    pthread_mutex_unlock(&pool->sleep_lock);
}

static void *run_worker(void *arg) {
    struct worker *worker = arg;
    struct ut_pool *pool = worker->pool;
    uint32_t seen = 0;
    while (!atomic_load(&pool->stop)) {
        int spins = 0;
        while (atomic_load(&pool->generation) == seen && spins < SPIN_BEFORE_SLEEP) {
            pause_cpu();
            spins++;
        }
        if (atomic_load(&pool->generation) == seen) {
            sleep_until_job(pool, seen);
        }
        sleep_until_turn(worker);
        seen = atomic_load(&pool->generation);
        for (int i = 0; i < MAX_JOBS; i++) {
            work(&pool->jobs[(worker->index + i) % MAX_JOBS]);
        }
    }
    return NULL;
}

static void wake_all(struct ut_pool *pool) {
    if (atomic_load(&pool->n_sleeping) > 0) {
        pthread_mutex_lock(&pool->sleep_lock);
        pthread_cond_broadcast(&pool->wake);
        pthread_mutex_unlock(&pool->sleep_lock);
    }
}

/* NULL: all are taken. */
static struct job *take_job(struct ut_pool *pool) {
    for (int i = 0; i < MAX_JOBS; i++) {
        if (pthread_mutex_trylock(&pool->jobs[i].busy) == 0) {
            return &pool->jobs[i];
        }
    }
    return NULL;
}

static void wait_until_done(struct job *job, int n_chunks) {
    for (int spins = 0; atomic_load_explicit(&job->n_done, memory_order_acquire) < n_chunks;
         spins++) {
        if (spins < SPIN_BEFORE_YIELD) {
            pause_cpu();
        } else {
            sched_yield();
        }
    }
}

void ut_pool_run(struct ut_pool *pool, int n, int grain, void (*fn)(void *user, int begin, int end),
                 void *user) {
    if (n <= 0) {
        return;
    }
    int n_parts = UT_MAX(n_helpers(pool) + 1, 1) * CHUNKS_PER_THREAD;
    int chunk = ((n + n_parts - 1) / n_parts + grain - 1) / grain * grain;
    struct job *job =
        n_parts == CHUNKS_PER_THREAD || pool->n_started == 0 || chunk >= n ? NULL : take_job(pool);
    if (!job) {
        fn(user, 0, n);
        return;
    }
    int n_chunks = (n + chunk - 1) / chunk;
    job->fn = fn;
    job->user = user;
    job->n = n;
    job->chunk = chunk;
    atomic_store(&job->n_done, 0);
    atomic_store(&job->ticket, (uint64_t)n_chunks << 32);
    atomic_fetch_add(&pool->generation, 1);
    wake_all(pool);
    work(job);
    wait_until_done(job, n_chunks);
    atomic_store(&job->ticket, TICKET_CLOSED);
    pthread_mutex_unlock(&job->busy);
}

static void change_callers(struct ut_pool *pool, int by) {
    pthread_mutex_lock(&pool->sleep_lock);
    atomic_fetch_add(&pool->n_callers, by);
    pthread_cond_broadcast(&pool->turn);
    pthread_mutex_unlock(&pool->sleep_lock);
}

void ut_pool_enter(struct ut_pool *pool) {
    change_callers(pool, 1);
}

void ut_pool_leave(struct ut_pool *pool) {
    change_callers(pool, -1);
}

int ut_pool_spare(const struct ut_pool *pool) {
    return UT_MAX(pool->n_threads - atomic_load(&pool->n_callers), 0);
}

static bool start_worker(struct ut_pool *pool) {
    struct worker *worker = &pool->workers[pool->n_started];
    *worker = (struct worker){.pool = pool, .index = pool->n_started};
    bool ok = ut_thread_start(&worker->thread, run_worker, worker);
    pool->n_started += ok;
    return ok;
}

utter_status ut_pool_create(struct ut_mem *mem, int n_threads, struct ut_pool **out,
                            utter_error *err) {
    *out = NULL;
    struct ut_pool *pool = ut_mem_calloc(mem, UT_MEM_OTHER, 1, sizeof *pool);
    struct worker *workers = ut_mem_calloc(mem, UT_MEM_OTHER, (size_t)n_threads, sizeof *workers);
    if (!pool || !workers) {
        ut_mem_free(mem, pool);
        ut_mem_free(mem, workers);
        return ut_fail_memory(err, sizeof *pool);
    }
    pool->mem = mem;
    pool->n_threads = n_threads;
    pool->workers = workers;
    for (int i = 0; i < MAX_JOBS; i++) {
        pthread_mutex_init(&pool->jobs[i].busy, NULL);
    }
    pthread_mutex_init(&pool->sleep_lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pthread_cond_init(&pool->turn, NULL);
    while (pool->n_started < n_threads - 1) {
        if (!start_worker(pool)) {
            ut_pool_destroy(pool);
            return ut_fail(err, UTTER_ERROR_MEMORY,
                           "thread %d of %d could not be started: use fewer threads",
                           pool->n_started + 2, n_threads);
        }
    }
    *out = pool;
    return UTTER_OK;
}

void ut_pool_destroy(struct ut_pool *pool) {
    if (!pool) {
        return;
    }
    pthread_mutex_lock(&pool->sleep_lock);
    atomic_store(&pool->stop, true);
    pthread_cond_broadcast(&pool->wake);
    pthread_cond_broadcast(&pool->turn);
    pthread_mutex_unlock(&pool->sleep_lock);
    for (int i = 0; i < pool->n_started; i++) {
        pthread_join(pool->workers[i].thread, NULL);
    }
    pthread_cond_destroy(&pool->turn);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->sleep_lock);
    for (int i = 0; i < MAX_JOBS; i++) {
        pthread_mutex_destroy(&pool->jobs[i].busy);
    }
    ut_mem_free(pool->mem, pool->workers);
    ut_mem_free(pool->mem, pool);
}

int ut_pool_threads(const struct ut_pool *pool) {
    return pool->n_threads;
}

/* First line of a small system file; false if it cannot be read. */
static bool read_line(const char *path, char *line, int size) {
    FILE *file = fopen(path, "re");
    bool ok = file && fgets(line, size, file);
    if (file) {
        fclose(file);
    }
    return ok;
}

/* A core counts once: by its lowest hardware thread among those allowed. */
static bool is_first_sibling(int cpu, const cpu_set_t *allowed) {
    char path[96], line[256];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
    if (!read_line(path, line, sizeof line)) {
        return true;
    }
    for (char *p = line; *p;) {
        char *end;
        long first = strtol(p, &end, 10), last = first;
        if (end == p) {
            return true;
        }
        if (*end == '-') {
            last = strtol(end + 1, &end, 10);
        }
        for (long c = first; c <= last && c < CPU_SETSIZE; c++) {
            if (c >= 0 && CPU_ISSET((int)c, allowed)) {
                return c == cpu;
            }
        }
        p = *end == ',' ? end + 1 : end + strlen(end);
    }
    return true;
}

/* CPUs of the control group's quota, rounded up; 0: no limit. */
static int quota_cpus(void) {
    char line[128];
    double quota = 0, period = 0;
    if (read_line("/sys/fs/cgroup/cpu.max", line, sizeof line)) {
        if (sscanf(line, "%lf %lf", &quota, &period) != 2) {
            return 0; /* "max" */
        }
    } else if (read_line("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", line, sizeof line)) {
        quota = atof(line);
        period =
            read_line("/sys/fs/cgroup/cpu/cpu.cfs_period_us", line, sizeof line) ? atof(line) : 0;
    }
    return quota > 0 && period > 0 ? (int)((quota + period - 1) / period) : 0;
}

int ut_pool_default_threads(void) {
    cpu_set_t allowed;
    int n = 0;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) {
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
            n += CPU_ISSET(cpu, &allowed) && is_first_sibling(cpu, &allowed);
        }
    }
    int quota = quota_cpus();
    if (quota > 0) {
        n = UT_MIN(n, quota);
    }
    return UT_MIN(UT_MAX(n, 1), UT_POOL_MAX_THREADS);
}

/* ---- Slots --------------------------------------------------------------------------------------
 */

int ut_slots_take(struct ut_slots *slots) {
    for (int i = 0;; i = (i + 1) % slots->n) {
        if (!atomic_exchange(&slots->taken[i], true)) {
            return i;
        }
    }
}

void ut_slots_give(struct ut_slots *slots, int slot) {
    atomic_store(&slots->taken[slot], false);
}
