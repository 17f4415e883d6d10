#include "speech/lanes.h"

#include <string.h>

#include "base/checked.h"
#include "base/thread.h"
#include "compute/pool.h"
#include "compute/rng.h"

/* Twice as many units as lanes may be begun before they are due: enough that a long one does not
 * stop the others, little enough that a slow listener costs little memory. */
enum { AHEAD = 2, N_SLOTS = AHEAD * UT_LANES_MAX };

/* How long a request to cancel may go unnoticed: utter_stream_cancel sets a flag and wakes nobody.
 */
enum { LOOK_AGAIN_MS = 20 };

/* A unit that a lane speaks or has spoken, until it was heard. All but `lanes` under the lock. */
struct slot {
    struct ut_lanes *lanes;
    float *samples; /* that the caller did not take yet */
    size_t n, capacity;
    size_t n_missing; /* bytes that could not be had for samples; 0: none */
    bool is_taken;    /* the caller has some of the unit */
    bool done;
    utter_status status; /* when done, as the rest */
    utter_error err;
    struct ut_speak_stats stats;
};

/* A thread with its session; lane 0 borrows the caller's. */
struct lane {
    struct ut_lanes *lanes;
    struct ut_backend_session *session;
    pthread_t thread;
    int index;
};

/* All below `lock` is read and written under it, but for `stop` and `heard`, which is the
 * caller's. */
struct ut_lanes {
    struct ut_mem *mem;
    const struct ut_backend_voice *voice;
    struct ut_pool *pool;
    struct lane lanes[UT_LANES_MAX];
    int n_started;

    pthread_mutex_t lock;
    pthread_cond_t work, news; /* for the lanes; for the caller */
    bool quit;
    _Atomic bool stop; /* what is being spoken: no more is wanted */
    struct ut_lanes_task task;
    struct ut_speak_params params;
    int n_lanes;             /* that take part in it */
    size_t n_begun, n_heard; /* units; n_begun may be AHEAD * n_lanes larger */
    int n_busy;
    struct slot slots[N_SLOTS]; /* unit i in slot i % N_SLOTS */
    float *heard; /* the caller's, while the sink reads it; changes places with a slot's */
    size_t heard_capacity;
};

/* ---- A lane ------------------------------------------------------------------------------- */

/* Under the lock. Contents stay. */
static bool grow(struct slot *slot, size_t n) {
    if (n > slot->capacity) {
        size_t capacity = UT_MAX(n, 2 * slot->capacity);
        float *grown = ut_mem_realloc(slot->lanes->mem, UT_MEM_SESSION, slot->samples,
                                      capacity * sizeof *grown);
        if (!grown) {
            return false;
        }
        slot->samples = grown;
        slot->capacity = capacity;
    }
    return true;
}

/* The sink of a unit: its samples wait in the slot. */
static bool keep(void *user, const float *samples, size_t n) {
    struct slot *slot = user;
    struct ut_lanes *lanes = slot->lanes;
    pthread_mutex_lock(&lanes->lock);
    if (slot->n_missing > 0 || !grow(slot, slot->n + n)) {
        slot->n_missing = (slot->n + n) * sizeof *samples;
        slot->n = slot->is_taken ? slot->n : 0; /* unheard, it may be tried again */
    } else {
        memcpy(slot->samples + slot->n, samples, n * sizeof *samples);
        slot->n += n;
        pthread_cond_signal(&lanes->news);
    }
    bool goes_on = slot->n_missing == 0 && !lanes->stop;
    pthread_mutex_unlock(&lanes->lock);
    return goes_on;
}

/* Under the lock: whether there is a unit for the lane, and room for it before the listener. */
static bool may_begin(const struct lane *lane) {
    const struct ut_lanes *lanes = lane->lanes;
    return lane->index < lanes->n_lanes && !lanes->stop && lanes->n_begun < lanes->task.n_units &&
           lanes->n_begun - lanes->n_heard < (size_t)(AHEAD * lanes->n_lanes);
}

/* Called with the lock, which is not held while the unit is spoken. */
static void speak_next(struct lane *lane) {
    struct ut_lanes *lanes = lane->lanes;
    size_t index = lanes->n_begun++;
    struct slot *slot = &lanes->slots[index % N_SLOTS];
    struct ut_speak_params params = lanes->params;
    params.seed = ut_rng_derive(lanes->task.seed, lanes->task.first_number + index);
    params.sink = keep;
    params.user = slot;
    params.cancel = &lanes->stop;
    params.tally = NULL; /* belongs to one thread */
    lanes->n_busy++;
    pthread_mutex_unlock(&lanes->lock);

    struct ut_speak_stats stats = {0};
    utter_error err = {0};
    ut_pool_enter(lanes->pool);
    utter_status status = lanes->voice->backend->speak(lane->session, &lanes->task.units[index],
                                                       &params, &stats, &err);
    ut_pool_leave(lanes->pool);

    pthread_mutex_lock(&lanes->lock);
    lanes->n_busy--;
    slot->status = slot->n_missing ? ut_fail_memory(&err, slot->n_missing) : status;
    slot->err = err;
    slot->stats = stats;
    slot->done = true;
    pthread_cond_signal(&lanes->news);
}

/* A lane sleeps between tasks; the caller wakes it with `work`. */
static void *run_lane(void *arg) {
    struct lane *lane = arg;
    struct ut_lanes *lanes = lane->lanes;
    pthread_mutex_lock(&lanes->lock);
    while (!lanes->quit) {
        if (may_begin(lane)) {
            speak_next(lane);
        } else {
            pthread_cond_wait(&lanes->work, &lanes->lock);
        }
    }
    pthread_mutex_unlock(&lanes->lock);
    return NULL;
}

/* ---- The caller ------------------------------------------------------------------------------ */

utter_status ut_lanes_create(struct ut_mem *mem, const struct ut_backend_voice *voice,
                             struct ut_backend_session *session, struct ut_pool *pool,
                             struct ut_lanes **out, utter_error *err) {
    struct ut_lanes *lanes = ut_mem_calloc(mem, UT_MEM_SESSION, 1, sizeof *lanes);
    *out = lanes;
    if (!lanes) {
        return ut_fail_memory(err, sizeof *lanes);
    }
    lanes->mem = mem;
    lanes->voice = voice;
    lanes->lanes[0].session = session;
    lanes->pool = pool;
    for (int i = 0; i < N_SLOTS; i++) {
        lanes->slots[i].lanes = lanes;
    }
    pthread_mutex_init(&lanes->lock, NULL);
    pthread_cond_init(&lanes->work, NULL);
    ut_cond_init(&lanes->news);
    return UTTER_OK;
}

void ut_lanes_destroy(struct ut_lanes *lanes) {
    if (!lanes) {
        return;
    }
    pthread_mutex_lock(&lanes->lock);
    lanes->quit = true;
    pthread_cond_broadcast(&lanes->work);
    pthread_mutex_unlock(&lanes->lock);
    for (int i = 0; i < lanes->n_started; i++) {
        pthread_join(lanes->lanes[i].thread, NULL);
    }
    for (int i = 1; i < lanes->n_started; i++) {
        lanes->voice->backend->session_destroy(lanes->lanes[i].session);
    }
    for (int i = 0; i < N_SLOTS; i++) {
        ut_mem_free(lanes->mem, lanes->slots[i].samples);
    }
    pthread_cond_destroy(&lanes->news);
    pthread_cond_destroy(&lanes->work);
    pthread_mutex_destroy(&lanes->lock);
    ut_mem_free(lanes->mem, lanes->heard);
    ut_mem_free(lanes->mem, lanes);
}

/* False where there is no memory or thread for one more: those that are there will do. */
static bool start_lane(struct ut_lanes *lanes) {
    const struct ut_backend *backend = lanes->voice->backend;
    struct lane *lane = &lanes->lanes[lanes->n_started];
    utter_error unused;
    lane->lanes = lanes;
    lane->index = lanes->n_started;
    if (lane->index > 0 &&
        backend->session_create(lanes->voice, &lane->session, &unused) != UTTER_OK) {
        return false;
    }
    if (!ut_thread_start(&lane->thread, run_lane, lane)) {
        if (lane->index > 0) {
            backend->session_destroy(lane->session);
        }
        return false;
    }
    lanes->n_started++;
    return true;
}

/* Memory stays for the next unit of that slot. */
static void reset(struct slot *slot) {
    *slot =
        (struct slot){.lanes = slot->lanes, .samples = slot->samples, .capacity = slot->capacity};
}

bool ut_lanes_begin(struct ut_lanes *lanes, const struct ut_lanes_task *task, int n_lanes) {
    n_lanes = UT_MIN(n_lanes, UT_LANES_MAX);
    n_lanes = task->n_units < (size_t)n_lanes ? (int)task->n_units : n_lanes;
    while (lanes->n_started < n_lanes && start_lane(lanes)) {
    }
    n_lanes = UT_MIN(n_lanes, lanes->n_started);
    if (n_lanes < 2) {
        return false;
    }
    pthread_mutex_lock(&lanes->lock);
    lanes->task = *task;
    lanes->params = *task->params; /* which the caller changes while they speak */
    lanes->n_lanes = n_lanes;
    lanes->n_begun = lanes->n_heard = 0;
    lanes->stop = false;
    for (int i = 0; i < N_SLOTS; i++) {
        reset(&lanes->slots[i]);
    }
    pthread_cond_broadcast(&lanes->work);
    pthread_mutex_unlock(&lanes->lock);
    return true;
}

/* Under the lock, which it gives back meanwhile. */
/* Samples of the unit that is due, in lanes->heard; 0: there are no more, or no more are wanted.
 * The buffers change places, so the sink is called without the lock and nothing is copied. */
static size_t take(struct ut_lanes *lanes, struct slot *slot, const _Atomic bool *cancel) {
    pthread_mutex_lock(&lanes->lock);
    while (slot->n == 0 && !slot->done && !*cancel) {
        ut_cond_wait_for(&lanes->news, &lanes->lock, LOOK_AGAIN_MS);
    }
    float *samples = slot->samples;
    size_t n = slot->n, capacity = slot->capacity;
    slot->samples = lanes->heard;
    slot->capacity = lanes->heard_capacity;
    slot->n = 0;
    slot->is_taken = slot->is_taken || n > 0;
    lanes->heard = samples;
    lanes->heard_capacity = capacity;
    pthread_mutex_unlock(&lanes->lock);
    return n;
}

utter_status ut_lanes_speak(struct ut_lanes *lanes, const struct ut_speak_params *params,
                            struct ut_speak_stats *stats, utter_error *err) {
    struct slot *slot = &lanes->slots[lanes->n_heard % N_SLOTS];
    for (size_t n; (n = take(lanes, slot, params->cancel)) > 0;) {
        if (*params->cancel || !params->sink(params->user, lanes->heard, n)) {
            return ut_fail(err, UTTER_ERROR_CANCELLED, "cancelled");
        }
    }
    if (*params->cancel) {
        return ut_fail(err, UTTER_ERROR_CANCELLED, "cancelled");
    }
    pthread_mutex_lock(&lanes->lock);
    utter_status status = slot->status;
    if (status != UTTER_OK && err) {
        *err = slot->err;
    }
    stats->encode_s += slot->stats.encode_s;
    stats->flow_s += slot->stats.flow_s;
    stats->decode_s += slot->stats.decode_s;
    stats->n_skipped_symbols += slot->stats.n_skipped_symbols;
    reset(slot);
    lanes->n_heard++;
    pthread_cond_broadcast(&lanes->work);
    pthread_mutex_unlock(&lanes->lock);
    return status;
}

/* Waits for those that speak: units and parameters are the caller's again afterwards. */
void ut_lanes_end(struct ut_lanes *lanes) {
    pthread_mutex_lock(&lanes->lock);
    lanes->stop = true;
    while (lanes->n_busy > 0) {
        pthread_cond_wait(&lanes->news, &lanes->lock);
    }
    pthread_mutex_unlock(&lanes->lock);
}
