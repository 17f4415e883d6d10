/* Units spoken side by side by a made-up voice: they are heard in order, each as it is alone,
 * whatever fails or stops meanwhile, and nothing is left running. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "compute/pool.h"
#include "compute/rng.h"
#include "speech/lanes.h"
#include "support/failing_allocator.h"

enum { N_UNITS = 23, CHUNK = 100, N_THREADS = 4 };

/* What the made-up voice does; unit i has n_ids i + 1, so that the voice knows it. */
struct script {
    struct ut_backend_voice voice;
    size_t fails;           /* the unit that does, from 1; 0: none */
    size_t fails_late;      /* the unit that does behind its first samples */
    int n_sessions_allowed; /* session_create fails beyond */
    _Atomic int n_sessions, n_speaking, most_speaking, n_begun;
};

struct ut_backend_session {
    struct script *script;
    _Atomic bool busy;
};

static utter_status create(const struct ut_backend_voice *voice, struct ut_backend_session **out,
                           utter_error *err) {
    struct script *script = (struct script *)(void *)voice;
    if (script->n_sessions == script->n_sessions_allowed) {
        return ut_fail_memory(err, 1);
    }
    *out = calloc(1, sizeof **out);
    assert_non_null(*out);
    (*out)->script = script;
    script->n_sessions++;
    return UTTER_OK;
}

static void destroy(struct ut_backend_session *session) {
    session->script->n_sessions--;
    free(session);
}

static void nap(long microseconds) {
    struct timespec t = {0, microseconds * 1000};
    nanosleep(&t, NULL);
}

static size_t n_chunks_of(size_t unit) {
    return 1 + unit * 7 % 5;
}

static void make_chunk(float *chunk, uint64_t seed, size_t index) {
    for (size_t i = 0; i < CHUNK; i++) {
        chunk[i] = (float)(ut_rng_derive(seed, index * CHUNK + i) % 1000);
    }
}

static utter_status say_chunks(struct script *script, const struct ut_unit *unit,
                               const struct ut_speak_params *params, utter_error *err) {
    float chunk[CHUNK];
    for (size_t i = 0; i < n_chunks_of(unit->n_ids); i++) {
        nap(200 + (long)(unit->n_ids * 37 % 5) * 300);
        make_chunk(chunk, params->seed, i);
        if (*params->cancel || !params->sink(params->user, chunk, CHUNK)) {
            return ut_fail(err, UTTER_ERROR_CANCELLED, "stopped");
        }
        if (unit->n_ids == script->fails_late) {
            return ut_fail(err, UTTER_ERROR_MODEL, "late");
        }
    }
    return UTTER_OK;
}

static utter_status say(struct ut_backend_session *session, const struct ut_unit *unit,
                        const struct ut_speak_params *params, struct ut_speak_stats *stats,
                        utter_error *err) {
    struct script *script = session->script;
    assert_false(atomic_exchange(&session->busy, true));
    int n = atomic_fetch_add(&script->n_speaking, 1) + 1, most = script->most_speaking;
    while (n > most && !atomic_compare_exchange_weak(&script->most_speaking, &most, n)) {
    }
    script->n_begun++;
    utter_status status = unit->n_ids == script->fails ? ut_fail(err, UTTER_ERROR_MODEL, "broken")
                                                       : say_chunks(script, unit, params, err);
    stats->decode_s += 1;
    stats->n_skipped_symbols += (uint32_t)unit->n_ids;
    atomic_fetch_sub(&script->n_speaking, 1);
    session->busy = false;
    return status;
}

static const struct ut_backend backend = {
    .name = "script", .session_create = create, .session_destroy = destroy, .speak = say};

struct fixture {
    struct script script;
    struct failing_allocator memory;
    struct ut_mem mem;
    struct ut_pool *pool;
    struct ut_backend_session *session;
    struct ut_lanes *lanes;
    struct ut_unit units[N_UNITS];
    struct ut_lanes_task task;
    _Atomic bool cancel;
    struct ut_speak_params params;
    struct ut_speak_stats stats;
    utter_error err;
    float heard[8 * CHUNK];
    size_t n_heard, stop_after; /* samples; stop_after 0: never */
};

static bool hear(void *user, const float *samples, size_t n) {
    struct fixture *f = user;
    assert_true(f->n_heard + n <= 8 * CHUNK);
    memcpy(f->heard + f->n_heard, samples, n * sizeof *samples);
    f->n_heard += n;
    return f->stop_after == 0 || f->n_heard < f->stop_after;
}

static void setup(struct fixture *f) {
    memset(f, 0, sizeof *f);
    utter_allocator allocator = failing_allocator_start(&f->memory);
    ut_mem_init(&f->mem, &allocator);
    f->script = (struct script){.voice = {.backend = &backend}, .n_sessions_allowed = 100};
    assert_int_equal(ut_pool_create(&f->mem, N_THREADS, &f->pool, &f->err), UTTER_OK);
    assert_int_equal(create(&f->script.voice, &f->session, &f->err), UTTER_OK);
    assert_int_equal(
        ut_lanes_create(&f->mem, &f->script.voice, f->session, f->pool, &f->lanes, &f->err),
        UTTER_OK);
    for (size_t i = 0; i < N_UNITS; i++) {
        f->units[i].n_ids = i + 1;
    }
    f->params = (struct ut_speak_params){.sink = hear, .user = f, .cancel = &f->cancel};
    f->task = (struct ut_lanes_task){
        .units = f->units, .n_units = N_UNITS, .first_number = 5, .seed = 77, .params = &f->params};
}

static void teardown(struct fixture *f) {
    ut_lanes_destroy(f->lanes);
    assert_int_equal(f->script.n_sessions, 1); /* the borrowed one */
    destroy(f->session);
    assert_int_equal(ut_pool_spare(f->pool), N_THREADS);
    ut_pool_destroy(f->pool);
    assert_int_equal(f->memory.n_blocks, 0);
    assert_false(f->memory.wrong_size);
}

static utter_status next(struct fixture *f) {
    f->n_heard = 0;
    return ut_lanes_speak(f->lanes, &f->params, &f->stats, &f->err);
}

/* The unit heard last is this one, whole. */
static void check_heard(const struct fixture *f, size_t index) {
    float chunk[CHUNK];
    size_t n_chunks = n_chunks_of(index + 1);
    assert_int_equal(f->n_heard, n_chunks * CHUNK);
    for (size_t i = 0; i < n_chunks; i++) {
        make_chunk(chunk, ut_rng_derive(f->task.seed, f->task.first_number + index), i);
        assert_memory_equal(f->heard + i * CHUNK, chunk, sizeof chunk);
    }
}

static void hear_all(struct fixture *f) {
    for (size_t i = 0; i < N_UNITS; i++) {
        assert_int_equal(next(f), UTTER_OK);
        check_heard(f, i);
    }
    ut_lanes_end(f->lanes);
}

static void units_are_heard_in_order(void **state) {
    struct fixture f;
    setup(&f);
    for (int n_lanes = 2; n_lanes <= UT_LANES_MAX + 3; n_lanes += 3) {
        f.stats = (struct ut_speak_stats){0};
        f.script.most_speaking = 0;
        assert_true(ut_lanes_begin(f.lanes, &f.task, n_lanes));
        hear_all(&f);
        assert_true(f.stats.decode_s == N_UNITS);
        assert_int_equal(f.stats.n_skipped_symbols, N_UNITS * (N_UNITS + 1) / 2);
        assert_in_range(f.script.most_speaking, 1, n_lanes);
    }
    teardown(&f);
}

/* The lanes do not run away from a slow listener. */
static void few_units_wait_to_be_heard(void **state) {
    struct fixture f;
    setup(&f);
    assert_true(ut_lanes_begin(f.lanes, &f.task, 2));
    nap(100000);
    assert_in_range(f.script.n_begun, 0, 4);
    hear_all(&f);
    assert_int_equal(f.script.n_begun, N_UNITS);
    teardown(&f);
}

static void one_lane_is_none(void **state) {
    struct fixture f;
    setup(&f);
    assert_false(ut_lanes_begin(f.lanes, &f.task, 1));
    f.task.n_units = 1;
    assert_false(ut_lanes_begin(f.lanes, &f.task, 4));
    f.task.n_units = N_UNITS;
    f.script.n_sessions_allowed = 1;
    assert_false(ut_lanes_begin(f.lanes, &f.task, 4));
    f.script.n_sessions_allowed = 2; /* then with as many as there are */
    assert_true(ut_lanes_begin(f.lanes, &f.task, 4));
    hear_all(&f);
    assert_in_range(f.script.most_speaking, 1, 2);
    teardown(&f);
}

static void an_error_belongs_to_its_unit(void **state) {
    struct fixture f;
    setup(&f);
    f.script.fails = 3;
    f.script.fails_late = 7;
    assert_true(ut_lanes_begin(f.lanes, &f.task, 3));
    for (size_t i = 0; i < N_UNITS; i++) {
        utter_status status = next(&f);
        if (i + 1 == f.script.fails || i + 1 == f.script.fails_late) {
            assert_int_equal(status, UTTER_ERROR_MODEL);
            assert_string_equal(f.err.message, i + 1 == f.script.fails ? "broken" : "late");
            assert_int_equal(f.n_heard, i + 1 == f.script.fails ? 0 : CHUNK);
        } else {
            assert_int_equal(status, UTTER_OK);
            check_heard(&f, i);
        }
    }
    ut_lanes_end(f.lanes);
    teardown(&f);
}

static void stopping_leaves_nothing_running(void **state) {
    struct fixture f;
    setup(&f);
    for (size_t heard = 0; heard < 6; heard++) {
        assert_true(ut_lanes_begin(f.lanes, &f.task, 4));
        for (size_t i = 0; i < heard; i++) {
            assert_int_equal(next(&f), UTTER_OK);
        }
        if (heard % 3 == 0) { /* the listener has enough */
            f.stop_after = 1;
            assert_int_equal(next(&f), UTTER_ERROR_CANCELLED);
            assert_int_equal(f.n_heard % CHUNK, 0);
            f.stop_after = 0;
        } else if (heard % 3 == 1) { /* another thread asks */
            f.cancel = true;
            assert_int_equal(next(&f), UTTER_ERROR_CANCELLED);
            f.cancel = false;
        }
        ut_lanes_end(f.lanes);
        assert_int_equal(f.script.n_speaking, 0);
    }
    assert_true(ut_lanes_begin(f.lanes, &f.task, 4)); /* as if nothing had happened */
    hear_all(&f);
    teardown(&f);
}

/* The first samples that wait find no memory: that unit says so, and with memory all is well. */
static void missing_memory_is_told(void **state) {
    struct fixture f;
    int n_told = 0;
    setup(&f);
    for (size_t fail_at = 1; fail_at < 12; fail_at++) {
        failing_allocator_reset(&f.memory, fail_at, true);
        f.n_heard = 0;
        if (ut_lanes_begin(f.lanes, &f.task, 4)) {
            utter_status status = UTTER_OK;
            for (size_t i = 0; i < N_UNITS && status == UTTER_OK; i++) {
                status = next(&f);
                assert_true(status == UTTER_OK || status == UTTER_ERROR_MEMORY);
            }
            n_told += status == UTTER_ERROR_MEMORY;
            ut_lanes_end(f.lanes);
        }
    }
    assert_true(n_told > 3);
    failing_allocator_reset(&f.memory, 0, false);
    assert_true(ut_lanes_begin(f.lanes, &f.task, 4));
    hear_all(&f);
    teardown(&f);
    struct ut_lanes *none;
    struct script script = {.voice = {.backend = &backend}};
    utter_error err;
    failing_allocator_reset(&f.memory, 1, true);
    assert_int_equal(ut_lanes_create(&f.mem, &script.voice, NULL, NULL, &none, &err),
                     UTTER_ERROR_MEMORY);
    assert_null(none);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(units_are_heard_in_order),
        cmocka_unit_test(few_units_wait_to_be_heard),
        cmocka_unit_test(one_lane_is_none),
        cmocka_unit_test(an_error_belongs_to_its_unit),
        cmocka_unit_test(stopping_leaves_nothing_running),
        cmocka_unit_test(missing_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
