/* Figures of recorded pairs against those of numpy, scipy and librosa (data/quality, where
 * make_fixtures.py holds their definitions). Where rates differ the resamplers do too, which shows
 * in what lies near the top of the band. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "audio/quality.h"
#include "audio_check.h"
#include "base/json.h"

static struct ut_mem mem;
static struct byte_buffer text;
static struct ut_json *expected;

static const char *data_path(const char *name, const char *extension) {
    static char path[512];
    snprintf(path, sizeof path, "%s/quality/%s%s", getenv("UT_TEST_DATA"), name, extension);
    return path;
}

static int setup(void **state) {
    ut_mem_init(&mem, NULL);
    byte_buffer_read_file(&text, data_path("expected", ".json"));
    return ut_json_parse(&mem, (const char *)text.data, text.n, &expected, NULL);
}

static int teardown(void **state) {
    ut_json_free(expected);
    byte_buffer_free(&text);
    return 0;
}

static utter_sound read_sound(struct audio_read *read, ut_json_ref pair, const char *side) {
    audio_read_file(
        read,
        data_path(ut_json_string(expected, ut_json_member(expected, pair, side), NULL), ".flac"));
    return (utter_sound){read->samples, read->n, read->rate_hz};
}

/* null stands for a figure that does not exist. */
static double wanted_figure(ut_json_ref pair, const char *key) {
    ut_json_ref value = ut_json_member(expected, pair, key);
    double wanted;
    assert_true(value >= 0);
    return ut_json_double(expected, value, &wanted) ? wanted : NAN;
}

static void check(ut_json_ref pair, const char *pair_name, const char *key, double found,
                  double tolerance) {
    double wanted = wanted_figure(pair, key);
    bool both_missing = isnan(found) && isnan(wanted);
    if (!both_missing && !(fabs(found - wanted) <= tolerance)) {
        fail_msg("%s: %s is %.5f, not %.5f (within %g)", pair_name, key, found, wanted, tolerance);
    }
}

/* Decibels: 0.001 at one rate, else 0.1. The SNR of another rate is that of two resamplers: scipy's
 * leaves mirror images 54 dB down, and repeats itself to 79 dB where it made the file. */
static void check_pair(ut_json_ref pair) {
    const char *name = ut_json_key(expected, pair);
    struct audio_read reads[2];
    utter_compare_options options;
    utter_quality q;
    utter_error err;
    utter_sound ref = read_sound(&reads[0], pair, "ref"),
                test = read_sound(&reads[1], pair, "test");
    utter_compare_options_init(&options);
    options.max_lag_ms = wanted_figure(pair, "max_lag_ms");
    if (ut_quality_compare(&mem, &ref, &test, &options, &q, &err) != UTTER_OK) {
        fail_msg("%s: %s", name, err.message);
    }
    bool same_rate = ref.sample_rate_hz == test.sample_rate_hz;
    double tolerance_db = same_rate ? 0.001 : 0.1;
    if (same_rate) {
        check(pair, name, "snr_db", q.snr_db, tolerance_db);
    } else {
        assert_true(q.snr_db > 54);
    }
    check(pair, name, "lsd_db", q.lsd_db, tolerance_db);
    check(pair, name, "mcd_db", q.mcd_db, tolerance_db);
    check(pair, name, "f0_correlation", q.f0_correlation, 0.002);
    check(pair, name, "f0_rmse_cents", q.f0_rmse_cents, 0.05 + 0.002 * q.f0_rmse_cents);
    check(pair, name, "voicing_differs", q.voicing_differs, 0.0001);
    check(pair, name, "lag_ms", q.lag_ms, 0.0001);
    check(pair, name, "n_samples", (double)q.n_samples, 0);
    check(pair, name, "n_left_over", (double)q.n_left_over, 1); /* scipy rounds lengths up */
    audio_read_free(&reads[0]);
    audio_read_free(&reads[1]);
}

static void figures_agree_with_the_reference(void **state) {
    size_t n = 0;
    for (ut_json_ref pair = ut_json_first(expected, 0); pair >= 0;
         pair = ut_json_next(expected, pair), n++) {
        check_pair(pair);
    }
    assert_int_equal(n, 11);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_agree_with_the_reference),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
