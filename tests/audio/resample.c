/* The resampler keeps pitch, level, length and timing, whatever pieces it is fed. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "audio/resample.h"
#include "audio_check.h"

struct collected {
    float *samples;
    size_t n, capacity;
};

static utter_status collect(void *user, const float *samples, size_t n, utter_error *err) {
    struct collected *all = user;
    assert_true(all->n + n <= all->capacity);
    memcpy(all->samples + all->n, samples, n * sizeof *samples);
    all->n += n;
    return UTTER_OK;
}

static void resample(struct collected *out, const float *samples, size_t n, int32_t from_hz,
                     int32_t to_hz, size_t piece) {
    struct ut_resampler resampler;
    out->n = 0;
    assert_int_equal(ut_resampler_open(&resampler, from_hz, to_hz, NULL), UTTER_OK);
    for (size_t i = 0; i < n; i += piece) {
        size_t n_piece = n - i < piece ? n - i : piece;
        assert_int_equal(ut_resampler_feed(&resampler, samples + i, n_piece, collect, out, NULL),
                         UTTER_OK);
    }
    assert_int_equal(ut_resampler_flush(&resampler, collect, out, NULL), UTTER_OK);
    ut_resampler_close(&resampler);
}

static void tone_keeps_pitch_level_and_time(void **state) {
    static const int32_t rates_hz[][2] = {
        {22050, 48000}, {16000, 48000}, {24000, 48000}, {48000, 22050}, {22000, 22050},
    };
    for (size_t i = 0; i < sizeof rates_hz / sizeof *rates_hz; i++) {
        int32_t from_hz = rates_hz[i][0], to_hz = rates_hz[i][1];
        size_t n = (size_t)from_hz; /* one second */
        float *tone = audio_tone(n, 1000, 0.5, from_hz),
              *ideal = audio_tone((size_t)to_hz, 1000, 0.5, to_hz);
        struct collected out = {test_alloc(400000 * sizeof(float)), 0, 400000};
        resample(&out, tone, n, from_hz, to_hz, 777);
        assert_int_equal(out.n, to_hz);
        assert_true(fabs(audio_level_at(out.samples, out.n, 1000, to_hz) - 0.5) < 0.0005);
        assert_true(audio_level_at(out.samples, out.n, 3000, to_hz) < 1e-4);
        /* In step with the input; the ends, where the filter sees silence, are left out. */
        assert_true(audio_snr_db(ideal + 2000, out.samples + 2000, out.n - 4000) > 90);
        free(out.samples);
        free(ideal);
        free(tone);
    }
}

static void pieces_do_not_change_the_samples(void **state) {
    float *tone = audio_tone(10000, 440, 0.9, 22050);
    struct collected whole = {test_alloc(40000 * sizeof(float)), 0, 40000};
    struct collected pieces = {test_alloc(40000 * sizeof(float)), 0, 40000};
    resample(&whole, tone, 10000, 22050, 48000, 10000);
    static const size_t sizes[] = {1, 13, 4096};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        resample(&pieces, tone, 10000, 22050, 48000, sizes[i]);
        assert_int_equal(pieces.n, whole.n);
        assert_memory_equal(pieces.samples, whole.samples, whole.n * sizeof(float));
    }
    free(pieces.samples);
    free(whole.samples);
    free(tone);
}

static void lengths_are_rounded_and_nothing_stays_nothing(void **state) {
    float samples[4001] = {0};
    struct collected out = {test_alloc(20000 * sizeof(float)), 0, 20000};
    static const size_t sizes[] = {0, 1, 2, 147, 4001};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        resample(&out, samples, sizes[i], 22050, 48000, 100);
        assert_int_equal(out.n, (size_t)lround((double)sizes[i] * 48000 / 22050));
    }
    free(out.samples);
}

static void equal_rates_pass_through(void **state) {
    float *tone = audio_tone(1000, 440, 0.9, 22050);
    struct collected out = {test_alloc(1000 * sizeof(float)), 0, 1000};
    resample(&out, tone, 1000, 22050, 22050, 300);
    assert_int_equal(out.n, 1000);
    assert_memory_equal(out.samples, tone, 1000 * sizeof(float));
    free(out.samples);
    free(tone);
}

static utter_status refuse(void *user, const float *samples, size_t n, utter_error *err) {
    ++*(int *)user;
    return UTTER_ERROR_IO;
}

static void error_of_the_sink_ends_the_feeding(void **state) {
    struct ut_resampler resampler;
    float *tone = audio_tone(50000, 440, 0.9, 22050);
    int n_calls = 0;
    assert_int_equal(ut_resampler_open(&resampler, 22050, 48000, NULL), UTTER_OK);
    assert_int_equal(ut_resampler_feed(&resampler, tone, 50000, refuse, &n_calls, NULL),
                     UTTER_ERROR_IO);
    assert_int_equal(n_calls, 1);
    ut_resampler_close(&resampler);
    ut_resampler_close(&resampler); /* twice is fine */
    free(tone);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tone_keeps_pitch_level_and_time),
        cmocka_unit_test(pieces_do_not_change_the_samples),
        cmocka_unit_test(lengths_are_rounded_and_nothing_stays_nothing),
        cmocka_unit_test(equal_rates_pass_through),
        cmocka_unit_test(error_of_the_sink_ends_the_feeding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
