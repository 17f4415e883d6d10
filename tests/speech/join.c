/* Joining units: the middle is never altered, steps at the ends are ramped, bad samples are
 * stopped, however the samples come in. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "speech/join.h"
#include "support/failing_allocator.h"

enum { N = 5000, RATE = 20000, FADE = 50 };

struct heard {
    float samples[4 * N];
    size_t n, stop_after;
};

static bool hear(void *user, const float *samples, size_t n) {
    struct heard *heard = user;
    assert_true(heard->n + n <= 4 * N && n > 0);
    memcpy(heard->samples + heard->n, samples, n * sizeof *samples);
    heard->n += n;
    return heard->stop_after == 0 || heard->n < heard->stop_after;
}

static struct ut_mem mem;
static struct ut_join *join;
static struct heard heard;
static float unit[N];

static int setup(void **state) {
    ut_mem_init(&mem, NULL);
    join = calloc(1, sizeof *join);
    ut_join_init(join, &mem);
    memset(&heard, 0, sizeof heard);
    for (int i = 0; i < N; i++) {
        unit[i] = 0.5f * cosf((float)i * 0.05f);
    }
    return 0;
}

static int teardown(void **state) {
    ut_join_free(join);
    free(join);
    return mem.bytes[UT_MEM_SESSION] != 0;
}

static struct ut_join_settings settings(void) {
    return (struct ut_join_settings){
        .sink = hear, .user = &heard, .sample_rate_hz = RATE, .volume = 1, .fade = true};
}

/* Pushes the unit in pieces of varying length. */
static bool push_all(int seed) {
    for (size_t at = 0; at < N;) {
        size_t n = 1 + (size_t)(rand_r((unsigned *)&seed) % 3000);
        n = n < N - at ? n : N - at;
        if (!ut_join_push(join, unit + at, n)) {
            return false;
        }
        at += n;
    }
    return ut_join_end(join);
}

static void start(struct ut_join_settings s) {
    heard.n = 0;
    ut_join_start(join, &s);
    ut_join_begin(join);
}

static void ramps_the_ends_only(void **state) {
    start(settings());
    assert_true(push_all(1));
    assert_int_equal(heard.n, N);
    assert_true(heard.samples[0] == 0 && heard.samples[N - 1] == 0);
    for (int i = 0; i < N; i++) {
        float gain = 1;
        gain = i < FADE ? (float)i / FADE : gain;
        gain = i >= N - FADE ? (float)(N - 1 - i) / FADE : gain;
        assert_true(fabsf(heard.samples[i] - gain * unit[i]) < 1e-6f);
        assert_true(gain < 1 || heard.samples[i] == unit[i]);
    }
}

static void quiet_ends_are_left_alone(void **state) {
    unit[0] = 0.004f;
    unit[N - 1] = -0.004f;
    start(settings());
    assert_true(push_all(2));
    assert_memory_equal(heard.samples, unit, sizeof unit);
}

static void same_however_it_comes(void **state) {
    static struct heard first;
    for (int seed = 0; seed < 20; seed++) {
        start(settings());
        assert_true(push_all(seed));
        if (seed == 0) {
            first = heard;
        }
        assert_int_equal(heard.n, first.n);
        assert_memory_equal(heard.samples, first.samples, N * sizeof(float));
    }
}

static void without_fade_samples_are_bit_exact(void **state) {
    struct ut_join_settings s = settings();
    s.fade = false;
    start(s);
    assert_true(push_all(3));
    assert_memory_equal(heard.samples, unit, sizeof unit);
    assert_int_equal(join->n_samples, N);
}

/* Units shorter than two ramps, down to one sample. */
static void short_units(void **state) {
    for (size_t n = 1; n <= 2 * FADE + 1; n++) {
        start(settings());
        assert_true(ut_join_push(join, unit, n));
        assert_true(ut_join_end(join));
        assert_int_equal(heard.n, n);
        assert_true(fabsf(heard.samples[n - 1]) <= 0.5f / FADE + 1e-6f);
    }
    start(settings());
    assert_true(ut_join_end(join));
    assert_int_equal(heard.n, 0);
}

static void volume_and_limit(void **state) {
    struct ut_join_settings s = settings();
    s.volume = 10;
    s.fade = false;
    start(s);
    assert_true(push_all(4));
    for (int i = 0; i < N; i++) {
        assert_true(heard.samples[i] == fmaxf(-1, fminf(1, 10 * unit[i])));
    }
    s.volume = 0;
    start(s);
    assert_true(push_all(4));
    for (int i = 0; i < N; i++) {
        assert_true(heard.samples[i] == 0);
    }
}

static void normalizes_each_unit(void **state) {
    struct ut_join_settings s = settings();
    s.normalize = true;
    s.volume = 0.5f;
    s.fade = false;
    start(s);
    assert_true(push_all(5));
    for (int i = 0; i < N; i++) {
        assert_true(fabsf(heard.samples[i] - unit[i]) < 1e-6f); /* peak 0.5 to 1, then half */
        unit[i] *= 1e-4f;
    }
    heard.n = 0;
    ut_join_begin(join);
    assert_true(push_all(5));
    for (int i = 0; i < N; i++) { /* never amplified more than 100 times */
        assert_true(fabsf(heard.samples[i] - 50 * unit[i]) < 1e-6f);
    }
}

static void bad_samples_are_stopped(void **state) {
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 6; i++) {
        struct ut_join_settings s = settings();
        utter_error err;
        s.normalize = i >= 3;
        teardown(NULL);
        setup(NULL);
        unit[N / 2] = bad[i % 3];
        start(s);
        assert_false(push_all(6));
        assert_int_equal(ut_join_status(join, &err), UTTER_ERROR_MODEL);
        assert_false(ut_join_push(join, unit, 1));
        ut_join_abort(join);
        assert_true(heard.n < N / 2 && (i < 3 || heard.n == 0));
        for (size_t k = 0; k < heard.n; k++) {
            assert_true(isfinite(heard.samples[k]));
        }
        assert_true(heard.n == 0 || heard.samples[heard.n - 1] == 0); /* faded out */
    }
}

static void an_aborted_unit_that_nobody_heard_stays_unheard(void **state) {
    start(settings());
    assert_true(ut_join_push(join, unit, FADE - 1));
    ut_join_abort(join);
    assert_int_equal(heard.n, 0);
    assert_int_equal(join->n_unit_samples, 0);
    ut_join_begin(join);
    assert_true(push_all(7));
    assert_int_equal(heard.n, N);
}

static void sink_stops(void **state) {
    utter_error err;
    heard.stop_after = 1000;
    start(settings());
    assert_false(push_all(8));
    size_t n = heard.n;
    assert_int_equal(ut_join_status(join, &err), UTTER_ERROR_CANCELLED);
    ut_join_abort(join);
    assert_int_equal(heard.n, n);
}

static void silence(void **state) {
    _Atomic bool cancel = false;
    start(settings());
    assert_true(ut_join_silence(join, 0.25, &cancel));
    assert_int_equal(heard.n, RATE / 4);
    assert_true(heard.samples[0] == 0 && heard.samples[heard.n - 1] == 0);
    assert_true(join->first_s > 0);
    cancel = true;
    assert_false(ut_join_silence(join, 0.25, &cancel));
    assert_int_equal(heard.n, RATE / 4);
    cancel = false;
    heard.stop_after = heard.n + 1;
    assert_false(ut_join_silence(join, 0.25, &cancel));
}

static void no_memory_to_normalize(void **state) {
    struct failing_allocator memory;
    utter_allocator allocator = failing_allocator_start(&memory);
    struct ut_join_settings s = settings();
    utter_error err;
    ut_mem_init(&mem, &allocator);
    s.normalize = true;
    failing_allocator_reset(&memory, 1, true);
    start(s);
    assert_false(push_all(9));
    assert_int_equal(ut_join_status(join, &err), UTTER_ERROR_MEMORY);
    ut_join_abort(join);
    failing_allocator_reset(&memory, 0, false);
    start(s);
    assert_true(push_all(9));
    assert_int_equal(heard.n, N);
    ut_join_free(join);
    assert_int_equal(memory.n_blocks, 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(ramps_the_ends_only),
        TEST(quiet_ends_are_left_alone),
        TEST(same_however_it_comes),
        TEST(without_fade_samples_are_bit_exact),
        TEST(short_units),
        TEST(volume_and_limit),
        TEST(normalizes_each_unit),
        TEST(bad_samples_are_stopped),
        TEST(an_aborted_unit_that_nobody_heard_stays_unheard),
        TEST(sink_stops),
        TEST(silence),
        TEST(no_memory_to_normalize),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
