/* Distances that can be worked out by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "audio/spectral.h"
#include "support/random_values.h"

enum { N = 6000, RATE_HZ = 22050 };

static struct ut_mem mem;
static float noise[N], other[N];

static struct ut_spectral compare(const float *ref, const float *test, size_t n) {
    struct ut_spectral out;
    assert_int_equal(ut_spectral_compare(&mem, ref, test, n, RATE_HZ, &out, NULL), UTTER_OK);
    return out;
}

static void scale(float *out, float gain) {
    for (size_t i = 0; i < N; i++) {
        out[i] = gain * noise[i];
    }
}

static void equal_sounds_are_no_distance_apart(void **state) {
    static const size_t sizes[] = {2, 100, 1023, 1024, 1279, 1280, N};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct ut_spectral same = compare(noise, noise, sizes[i]);
        assert_true(same.lsd_db < 1e-9 && same.mcd_db < 1e-9);
    }
}

/* Every bin moves by the same number of decibels, which only c0 sees. */
static void gain_is_a_distance_of_spectra_but_not_of_cepstra(void **state) {
    static const float gains[] = {0.5f, 2, -1};
    static const double distances_db[] = {6.0206, 6.0206, 0};
    for (size_t i = 0; i < sizeof gains / sizeof *gains; i++) {
        scale(other, gains[i]);
        struct ut_spectral found = compare(noise, other, N);
        assert_true(fabs(found.lsd_db - distances_db[i]) < 0.001);
        assert_true(found.mcd_db < 1e-4);
    }
}

/* All that is 80 dB below the highest bin counts as 80 dB below it. */
static void silence_is_as_far_as_the_floor(void **state) {
    scale(other, 0);
    struct ut_spectral found = compare(noise, other, N);
    assert_true(found.lsd_db > 60 && found.lsd_db < 80);
    scale(other, 1e-6f);
    assert_true(fabs(compare(noise, other, N).lsd_db - found.lsd_db) < 1e-9);
}

static void silent_reference_has_no_distance(void **state) {
    scale(other, 0);
    struct ut_spectral found = compare(other, noise, N);
    assert_true(isnan(found.lsd_db) && isnan(found.mcd_db));
}

/* Where the reference is 50 dB below its loudest, the test may do what it likes. */
static void quiet_frames_do_not_count(void **state) {
    scale(other, 1);
    for (size_t i = 3000; i < N; i++) {
        noise[i] *= 1e-3f;
        other[i] = noise[i];
    }
    for (size_t i = 4500; i < N; i++) {
        other[i] *= 100;
    }
    assert_true(compare(noise, other, N).lsd_db < 1e-9);
    assert_true(compare(other, noise, N).lsd_db > 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_sounds_are_no_distance_apart),
        cmocka_unit_test(gain_is_a_distance_of_spectra_but_not_of_cepstra),
        cmocka_unit_test(silence_is_as_far_as_the_floor),
        cmocka_unit_test(silent_reference_has_no_distance),
        cmocka_unit_test(quiet_frames_do_not_count), /* changes the noise */
    };
    ut_mem_init(&mem, NULL);
    random_normal("noise", 5, 0, 0.1f, noise, N);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
