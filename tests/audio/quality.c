/* The comparison as a whole: what is known beforehand about a sound and its own changes, levels,
 * what is refused, and memory that runs out. Figures of real speech are in quality_expected.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "audio/quality.h"
#include "support/sweep.h"
#include "support/random_values.h"

enum { N = 16000, RATE_HZ = 16000, LATE = 77 };

static struct ut_mem mem;
static float voice[N + LATE], other[N + LATE];
static utter_compare_options options;

/* A buzz whose pitch glides from 100 to 180 Hz, with breath and a pause. */
static int setup(void **state) {
    float breath[N];
    double phase = 0;
    ut_mem_init(&mem, NULL);
    utter_compare_options_init(&options);
    random_normal("breath", 2, 0, 0.01f, breath, N);
    for (int i = 0; i < N; i++) {
        phase += 2 * M_PI * (100 + 80.0 * i / N) / RATE_HZ;
        double buzz = sin(phase) + sin(2 * phase) / 2 + sin(5 * phase) / 3;
        bool pause = i >= 6400 && i < 8000;
        voice[i] = pause ? 0.01f * breath[i] : (float)(0.2 * buzz) + breath[i];
    }
    return 0;
}

static utter_quality compare(const float *ref, size_t n_ref, const float *test, size_t n_test) {
    utter_quality q;
    utter_error err;
    utter_sound sounds[] = {{ref, n_ref, RATE_HZ}, {test, n_test, RATE_HZ}};
    if (ut_quality_compare(&mem, &sounds[0], &sounds[1], &options, &q, &err) != UTTER_OK) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(atomic_load(&mem.bytes[UT_MEM_OTHER]), 0);
    return q;
}

static void scale(float gain) {
    for (size_t i = 0; i < N; i++) {
        other[i] = gain * voice[i];
    }
}

static bool is_near(double a, double b, double tolerance) {
    return fabs(a - b) <= tolerance;
}

static void sound_is_equal_to_itself(void **state) {
    utter_quality q = compare(voice, N, voice, N);
    assert_true(isinf(q.snr_db) && q.snr_db > 0);
    assert_true(q.lsd_db < 1e-9 && q.mcd_db < 1e-9);
    assert_true(is_near(q.f0_correlation, 1, 1e-9) && q.f0_rmse_cents < 1e-9);
    assert_true(q.voicing_differs == 0 && q.lag_ms == 0);
    assert_true(q.n_samples == N && q.n_left_over == 0 && q.sample_rate_hz == RATE_HZ);
    assert_true(q.rms_dbfs[0] == q.rms_dbfs[1] && q.silent[0] == q.silent[1]);
}

/* Half as loud: the difference is the other half. */
static void gain_changes_level_and_spectrum_but_not_pitch(void **state) {
    scale(0.5f);
    utter_quality q = compare(voice, N, other, N);
    assert_true(is_near(q.snr_db, 6.0206, 0.001));
    assert_true(is_near(q.lsd_db, 6.0206, 0.2)); /* a little where the half sinks below the floor */
    assert_true(is_near(q.rms_dbfs[0] - q.rms_dbfs[1], 6.0206, 0.001));
    assert_true(is_near(q.peak[1], q.peak[0] / 2, 1e-9));
    assert_true(is_near(q.f0_correlation, 1, 1e-9) && q.voicing_differs == 0);
}

/* Nothing to hear, and twice the signal as difference. */
static void inversion_shows_in_the_snr_alone(void **state) {
    scale(-1);
    utter_quality q = compare(voice, N, other, N);
    assert_true(is_near(q.snr_db, -6.0206, 0.001));
    assert_true(q.lsd_db < 1e-9 && q.mcd_db < 1e-9 && q.f0_rmse_cents < 1e-6);
}

static void delay_is_taken_out_where_that_is_asked_for(void **state) {
    memset(other, 0, sizeof other);
    memcpy(other + LATE, voice, N * sizeof *voice);
    utter_quality q = compare(voice, N, other, N + LATE);
    assert_true(q.snr_db < 10 && q.lag_ms == 0 && q.n_left_over == LATE);
    options.max_lag_ms = 10;
    q = compare(voice, N, other, N + LATE);
    assert_true(isinf(q.snr_db) && is_near(q.lag_ms, 1000.0 * LATE / RATE_HZ, 1e-9));
    assert_true(q.n_samples == N && q.n_left_over == 0);
    q = compare(other, N + LATE, voice, N);
    assert_true(isinf(q.snr_db) && is_near(q.lag_ms, -1000.0 * LATE / RATE_HZ, 1e-9));
    options.max_lag_ms = 0;
}

static void silence_on_one_side(void **state) {
    scale(0);
    utter_quality q = compare(voice, N, other, N);
    assert_true(q.snr_db == 0); /* the difference is the reference */
    assert_true(q.lsd_db > 10 && isnan(q.f0_correlation) && isnan(q.f0_rmse_cents));
    assert_true(q.voicing_differs > 0.7);
    assert_true(isinf(q.rms_dbfs[1]) && q.rms_dbfs[1] < 0 && q.silent[1] == 1 && q.peak[1] == 0);
    q = compare(other, N, voice, N);
    assert_true(isinf(q.snr_db) && q.snr_db < 0 && isnan(q.lsd_db) && isnan(q.mcd_db));
    q = compare(other, N, other, N);
    assert_true(isinf(q.snr_db) && q.snr_db > 0 && isnan(q.lsd_db));
}

static void levels_are_those_of_the_samples(void **state) {
    utter_quality q = compare(voice, N, voice, N);
    assert_true(is_near(q.silent[0], 0.1, 1e-9) && q.clipped[0] == 0);
    for (size_t i = 0; i < N; i++) {
        other[i] = i % 4 == 0 ? 32767.0f / 32768 : i % 4 == 2 ? -1 : 32766.0f / 32768;
    }
    q = compare(voice, N, other, N);
    assert_true(is_near(q.clipped[1], 0.5, 1e-9) && q.peak[1] == 1);
    assert_true(is_near(q.rms_dbfs[1], 0, 0.001) && q.silent[1] == 0);
}

static void shortest_sounds_can_be_compared(void **state) {
    static const size_t sizes[] = {2, 159, 161, 1023};
    options.max_lag_ms = 5;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        utter_quality q = compare(voice + 10, sizes[i], voice + 10, sizes[i]);
        assert_true(isinf(q.snr_db) && q.lsd_db < 1e-9 && q.n_samples == sizes[i]);
        assert_int_equal(compare(voice, sizes[i], voice, N).n_left_over, N - sizes[i]);
    }
    options.max_lag_ms = 0;
    utter_quality q = compare(voice, 1, voice, 1);
    assert_true(isinf(q.snr_db) && isnan(q.lsd_db)); /* windows begin with zero */
}

static void pitch_is_left_out_where_that_is_asked_for(void **state) {
    options.no_pitch = true;
    utter_quality q = compare(voice, N, voice, N);
    assert_true(isnan(q.f0_correlation) && isnan(q.f0_rmse_cents) && isnan(q.voicing_differs));
    assert_true(q.lsd_db < 1e-9);
    options.no_pitch = false;
}

static void refuse(const utter_sound *ref, const utter_sound *test, const char *message) {
    utter_quality q;
    utter_error err;
    assert_int_equal(ut_quality_compare(&mem, ref, test, &options, &q, &err), UTTER_ERROR_ARGUMENT);
    assert_string_equal(err.message, message);
}

static void what_cannot_be_compared_is_refused(void **state) {
    utter_sound good = {voice, N, RATE_HZ}, bad = {other, N, RATE_HZ}, empty = {voice, 0, RATE_HZ};
    utter_sound slow = {voice, N, 999}, fast = {voice, N, 192001}, none = {NULL, N, RATE_HZ};
    scale(1);
    refuse(&empty, &good, "the reference has no samples");
    refuse(&good, &none, "the test has no samples");
    refuse(&good, &slow, "the test has a rate of 999 Hz; 1000 to 192000 are taken");
    refuse(&fast, &good, "the reference has a rate of 192001 Hz; 1000 to 192000 are taken");
    other[17] = NAN;
    refuse(&good, &bad, "sample 17 of the test is nan; sound lies between -1 and 1");
    other[17] = -INFINITY;
    refuse(&bad, &good, "sample 17 of the reference is -inf; sound lies between -1 and 1");
    other[17] = 1001;
    refuse(&good, &bad, "sample 17 of the test is 1001; sound lies between -1 and 1");
    options.max_lag_ms = NAN;
    refuse(&good, &good, "max_lag_ms is nan; 0 to 2000 are possible");
    options.max_lag_ms = 2001;
    refuse(&good, &good, "max_lag_ms is 2001; 0 to 2000 are possible");
    options.max_lag_ms = 0;
}

/* Every allocation fails once: an error, and nothing stays behind. */
static void memory_that_runs_out_is_an_error(void **state) {
    utter_sound sound = {voice, 4000, RATE_HZ};
    struct ut_mem small;
    struct sweep sweep;
    options.max_lag_ms = 10;
    for (sweep_start(&sweep, &small, false); sweep_next(&sweep);) {
        utter_quality q;
        sweep_check(&sweep, ut_quality_compare(&small, &sound, &sound, &options, &q, NULL));
    }
    options.max_lag_ms = 0;
    assert_in_range(sweep.n_injected, 6, 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_is_equal_to_itself),
        cmocka_unit_test(gain_changes_level_and_spectrum_but_not_pitch),
        cmocka_unit_test(inversion_shows_in_the_snr_alone),
        cmocka_unit_test(delay_is_taken_out_where_that_is_asked_for),
        cmocka_unit_test(silence_on_one_side),
        cmocka_unit_test(levels_are_those_of_the_samples),
        cmocka_unit_test(shortest_sounds_can_be_compared),
        cmocka_unit_test(pitch_is_left_out_where_that_is_asked_for),
        cmocka_unit_test(what_cannot_be_compared_is_refused),
        cmocka_unit_test(memory_that_runs_out_is_an_error),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
