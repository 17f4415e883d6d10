/* Pitch of sounds whose pitch is known. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "audio/pitch.h"
#include "support/random_values.h"

enum { N = 8000, N_FRAMES = 51 };

static struct ut_mem mem;
static float sound[N];
static struct ut_pitch_frame frames[N_FRAMES];

/* Ten harmonics that get weaker, as of a voice. */
static void make_buzz(double f0_hz) {
    for (int i = 0; i < N; i++) {
        double sum = 0;
        for (int harmonic = 1; harmonic <= 10; harmonic++) {
            sum += sin(2 * M_PI * f0_hz * harmonic * i / UT_PITCH_RATE_HZ) / harmonic;
        }
        sound[i] = (float)(0.2 * sum);
    }
}

static void pitch_of_a_buzz(void **state) {
    static const double pitches_hz[] = {70, 93.7, 120, 211.3, 300, 400};
    for (size_t p = 0; p < sizeof pitches_hz / sizeof *pitches_hz; p++) {
        make_buzz(pitches_hz[p]);
        assert_int_equal(ut_pitch_track(&mem, sound, N, frames, NULL), UTTER_OK);
        for (int i = 4; i < N_FRAMES - 4; i++) { /* whose windows lie inside */
            assert_true(frames[i].voiced);
            assert_true(fabs(frames[i].f0_hz / pitches_hz[p] - 1) < 0.01);
        }
    }
}

static void noise_and_silence_are_not_voiced(void **state) {
    random_normal("noise", 1, 0, 0.1f, sound, N);
    assert_int_equal(ut_pitch_track(&mem, sound, N, frames, NULL), UTTER_OK);
    for (int i = 0; i < N_FRAMES; i++) {
        assert_false(frames[i].voiced);
    }
    for (int i = 0; i < N; i++) {
        sound[i] = 0;
    }
    assert_int_equal(ut_pitch_track(&mem, sound, N, frames, NULL), UTTER_OK);
    for (int i = 0; i < N_FRAMES; i++) {
        assert_false(frames[i].voiced);
    }
}

/* 50 dB below the loud half the same buzz is background. */
static void what_is_far_below_the_loudest_is_not_voiced(void **state) {
    make_buzz(120);
    for (int i = N / 2; i < N; i++) {
        sound[i] *= 0.00316f;
    }
    assert_int_equal(ut_pitch_track(&mem, sound, N, frames, NULL), UTTER_OK);
    assert_true(frames[15].voiced);
    assert_false(frames[35].voiced);
}

static void shortest_sounds_have_a_frame(void **state) {
    float one = 0.5f;
    assert_int_equal(ut_pitch_n_frames(0), 1);
    assert_int_equal(ut_pitch_n_frames(159), 1);
    assert_int_equal(ut_pitch_n_frames(160), 2);
    assert_int_equal(ut_pitch_n_frames(N), N_FRAMES);
    assert_int_equal(ut_pitch_track(&mem, &one, 0, frames, NULL), UTTER_OK);
    assert_false(frames[0].voiced);
    assert_int_equal(ut_pitch_track(&mem, &one, 1, frames, NULL), UTTER_OK);
    assert_false(frames[0].voiced);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pitch_of_a_buzz),
        cmocka_unit_test(noise_and_silence_are_not_voiced),
        cmocka_unit_test(what_is_far_below_the_loudest_is_not_voiced),
        cmocka_unit_test(shortest_sounds_have_a_frame),
    };
    ut_mem_init(&mem, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
