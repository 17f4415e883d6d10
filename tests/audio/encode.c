/* The encoder's own rules: rates, streaming as it goes, and silence after a discard. Whole files
 * are tested through the writer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "audio/encode.h"
#include "audio_check.h"

static const utter_format encoded[] = {UTTER_FORMAT_FLAC, UTTER_FORMAT_OPUS, UTTER_FORMAT_VORBIS,
                                       UTTER_FORMAT_MP3};
enum { N_ENCODED = sizeof encoded / sizeof *encoded };

static void rates_the_formats_take(void **state) {
    assert_int_equal(ut_encoder_rate_hz(UTTER_FORMAT_OPUS, 22050), 48000);
    assert_int_equal(ut_encoder_rate_hz(UTTER_FORMAT_OPUS, 96000), 48000);
    assert_int_equal(ut_encoder_rate_hz(UTTER_FORMAT_FLAC, 22051), 22051);
    assert_int_equal(ut_encoder_rate_hz(UTTER_FORMAT_VORBIS, 22050), 22050);
    assert_int_equal(ut_encoder_rate_hz(UTTER_FORMAT_MP3, 22050), 22050);
    assert_int_equal(ut_encoder_rate_hz(UTTER_FORMAT_MP3, 22051), 24000);
    assert_int_equal(ut_encoder_rate_hz(UTTER_FORMAT_MP3, 1000), 8000);
    assert_int_equal(ut_encoder_rate_hz(UTTER_FORMAT_MP3, 192000), 48000);
}

/* To a pipe nothing may wait for the end: after ten seconds of sound most of it has been sent. */
static void streams_are_sent_as_they_are_made(void **state) {
    float *tone = audio_tone(480000, 440, 0.5, 48000);
    for (size_t i = 0; i < N_ENCODED; i++) {
        struct ut_output out;
        struct ut_encoder encoder;
        assert_int_equal(ut_output_open(&out, "/dev/null", NULL), UTTER_OK);
        assert_int_equal(ut_encoder_open(&encoder, encoded[i], 48000, &out, NULL), UTTER_OK);
        assert_int_equal(ut_encoder_write(&encoder, tone, 480000, NULL), UTTER_OK);
        uint64_t n_sent = out.n_bytes;
        assert_int_equal(ut_encoder_finish(&encoder, NULL), UTTER_OK);
        assert_true(n_sent * 100 >= out.n_bytes * 80);
        ut_output_discard(&out);
    }
    free(tone);
}

static void discarded_encoder_writes_no_more(void **state) {
    float *tone = audio_tone(30000, 440, 0.5, 48000);
    for (size_t i = 0; i < N_ENCODED; i++) {
        struct ut_output out;
        struct ut_encoder encoder;
        assert_int_equal(ut_output_open(&out, "/dev/null", NULL), UTTER_OK);
        assert_int_equal(ut_encoder_open(&encoder, encoded[i], 48000, &out, NULL), UTTER_OK);
        assert_int_equal(ut_encoder_write(&encoder, tone, 30000, NULL), UTTER_OK);
        uint64_t n_sent = out.n_bytes;
        ut_encoder_discard(&encoder);
        ut_encoder_discard(&encoder); /* twice is fine */
        assert_int_equal(out.n_bytes, n_sent);
        ut_output_discard(&out);
    }
    free(tone);
}

/* libsndfile drops the reason of a failed write; the encoder keeps it. */
static void failed_write_keeps_its_reason(void **state) {
    float *tone = audio_tone(100000, 440, 0.5, 48000);
    for (size_t i = 0; i < N_ENCODED; i++) {
        struct ut_output out;
        struct ut_encoder encoder;
        utter_error err = {0};
        assert_int_equal(ut_output_open(&out, "/dev/full", NULL), UTTER_OK);
        assert_int_equal(ut_encoder_open(&encoder, encoded[i], 48000, &out, NULL), UTTER_OK);
        utter_status status = ut_encoder_write(&encoder, tone, 100000, &err);
        if (status == UTTER_OK) {
            status = ut_encoder_finish(&encoder, &err);
        }
        assert_int_equal(status, UTTER_ERROR_IO);
        assert_non_null(strstr(err.message, "No space left"));
        ut_encoder_discard(&encoder);
        ut_output_discard(&out);
    }
    free(tone);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_the_formats_take),
        cmocka_unit_test(streams_are_sent_as_they_are_made),
        cmocka_unit_test(discarded_encoder_writes_no_more),
        cmocka_unit_test(failed_write_keeps_its_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
