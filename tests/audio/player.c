/* The player against a PortAudio of our own: the Pa_ functions defined here take the place of the
 * library's, so that devices, refusals and failures can be had at will. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <portaudio.h>

#include "audio_check.h"

static struct {
    bool fail_initialize, no_device, fail_open, fail_start, fail_write, underflow, fail_stop;
    double only_rate_hz; /* 0: any */
    int n_initialized, n_open, n_started;
    double rate_hz;
    float *samples;
    size_t n;
} fake;

PaError Pa_Initialize(void) {
    fake.n_initialized += !fake.fail_initialize;
    return fake.fail_initialize ? paUnanticipatedHostError : paNoError;
}

PaError Pa_Terminate(void) {
    fake.n_initialized--;
    return paNoError;
}

const char *Pa_GetErrorText(PaError code) {
    return code == paDeviceUnavailable ? "Device unavailable" : "Some failure";
}

PaDeviceIndex Pa_GetDefaultOutputDevice(void) {
    return fake.no_device ? paNoDevice : 3;
}

const PaDeviceInfo *Pa_GetDeviceInfo(PaDeviceIndex device) {
    static PaDeviceInfo info = {.name = "fake", .maxOutputChannels = 2, .defaultSampleRate = 48000};
    return device == 3 ? &info : NULL;
}

PaError Pa_IsFormatSupported(const PaStreamParameters *in, const PaStreamParameters *out,
                             double rate_hz) {
    assert_null(in);
    assert_int_equal(out->channelCount, 1);
    assert_int_equal(out->sampleFormat, paFloat32);
    return fake.only_rate_hz == 0 || fake.only_rate_hz == rate_hz ? paFormatIsSupported
                                                                  : paInvalidSampleRate;
}

PaError Pa_OpenStream(PaStream **stream, const PaStreamParameters *in,
                      const PaStreamParameters *out, double rate_hz, unsigned long n_frames,
                      PaStreamFlags flags, PaStreamCallback *callback, void *user) {
    if (fake.fail_open) {
        return paDeviceUnavailable;
    }
    assert_null(callback);
    fake.n_open++;
    fake.rate_hz = rate_hz;
    *stream = &fake;
    return paNoError;
}

PaError Pa_CloseStream(PaStream *stream) {
    assert_ptr_equal(stream, &fake);
    fake.n_open--;
    return paNoError;
}

PaError Pa_StartStream(PaStream *stream) {
    fake.n_started += !fake.fail_start;
    return fake.fail_start ? paDeviceUnavailable : paNoError;
}

PaError Pa_StopStream(PaStream *stream) {
    fake.n_started--;
    return fake.fail_stop ? paTimedOut : paNoError;
}

PaError Pa_WriteStream(PaStream *stream, const void *samples, unsigned long n) {
    assert_int_equal(fake.n_started, 1);
    if (fake.fail_write) {
        return paDeviceUnavailable;
    }
    fake.samples = realloc(fake.samples, (fake.n + n) * sizeof(float));
    memcpy(fake.samples + fake.n, samples, n * sizeof(float));
    fake.n += n;
    return fake.underflow ? paOutputUnderflowed : paNoError;
}

static int reset(void **state) {
    free(fake.samples);
    memset(&fake, 0, sizeof fake);
    return 0;
}

static int check_released(void **state) {
    int n_left = fake.n_initialized + fake.n_open + fake.n_started;
    reset(state);
    return n_left;
}

static utter_player *open_player(void) {
    utter_player *player;
    assert_int_equal(utter_player_open(22050, &player, NULL), UTTER_OK);
    return player;
}

static void samples_arrive_unchanged(void **state) {
    float *tone = audio_tone(10000, 440, 0.5, 22050);
    utter_player *player = open_player();
    fake.underflow = true; /* a gap that was heard already: not an error */
    assert_int_equal(utter_player_write(player, tone, 1, NULL), UTTER_OK);
    assert_int_equal(utter_player_write(player, tone + 1, 9999, NULL), UTTER_OK);
    assert_int_equal(utter_player_write(player, NULL, 0, NULL), UTTER_OK);
    assert_int_equal(utter_player_finish(player, NULL), UTTER_OK);
    assert_true(fake.rate_hz == 22050);
    assert_int_equal(fake.n, 10000);
    assert_memory_equal(fake.samples, tone, 10000 * sizeof *tone);
    free(tone);
}

static void refused_rate_is_resampled(void **state) {
    fake.only_rate_hz = 48000;
    float *tone = audio_tone(22050, 1000, 0.5, 22050);
    utter_player *player = open_player();
    assert_int_equal(utter_player_write(player, tone, 22050, NULL), UTTER_OK);
    assert_int_equal(utter_player_finish(player, NULL), UTTER_OK);
    assert_true(fake.rate_hz == 48000);
    assert_int_equal(fake.n, 48000);
    assert_true(fabs(audio_level_at(fake.samples, fake.n, 1000, 48000) - 0.5) < 0.001);
    free(tone);
}

static void loud_samples_are_clipped(void **state) {
    const float loud[] = {2, -3, 0.5f}, clipped[] = {1, -1, 0.5f};
    utter_player *player = open_player();
    assert_int_equal(utter_player_write(player, loud, 3, NULL), UTTER_OK);
    assert_int_equal(utter_player_finish(player, NULL), UTTER_OK);
    assert_memory_equal(fake.samples, clipped, sizeof clipped);
}

static void impossible_samples_are_refused(void **state) {
    utter_player *player = open_player();
    assert_int_equal(utter_player_write(player, &(float){NAN}, 1, NULL), UTTER_ERROR_ARGUMENT);
    assert_int_equal(utter_player_finish(player, NULL), UTTER_OK);
    assert_int_equal(fake.n, 0);
}

static void assert_open_fails(utter_status status, const char *words) {
    utter_player *player = (utter_player *)&fake;
    utter_error err = {0};
    assert_int_equal(utter_player_open(22050, &player, &err), status);
    assert_null(player);
    assert_non_null(strstr(err.message, words));
}

static void opening_can_fail_in_every_step(void **state) {
    fake.fail_initialize = true;
    assert_open_fails(UTTER_ERROR_IO, "start PortAudio: Some failure");
    fake.fail_initialize = false;
    fake.no_device = true;
    assert_open_fails(UTTER_ERROR_NOT_FOUND, "no sound device");
    fake.no_device = false;
    fake.fail_open = true;
    assert_open_fails(UTTER_ERROR_IO, "Device unavailable");
    fake.fail_open = false;
    fake.fail_start = true;
    assert_open_fails(UTTER_ERROR_IO, "Device unavailable");
}

static void writing_and_stopping_can_fail(void **state) {
    utter_error err = {0};
    utter_player *player = open_player();
    fake.fail_write = true;
    assert_int_equal(utter_player_write(player, &(float){0}, 1, &err), UTTER_ERROR_IO);
    assert_non_null(strstr(err.message, "Device unavailable"));
    fake.fail_write = false;
    fake.fail_stop = true;
    assert_int_equal(utter_player_finish(player, &err), UTTER_ERROR_IO);
    assert_non_null(strstr(err.message, "finish playing"));
}

static void bad_arguments(void **state) {
    utter_player *player;
    assert_int_equal(utter_player_open(22050, NULL, NULL), UTTER_ERROR_ARGUMENT);
    assert_int_equal(utter_player_open(0, &player, NULL), UTTER_ERROR_ARGUMENT);
    assert_int_equal(utter_player_open(200000, &player, NULL), UTTER_ERROR_ARGUMENT);
    assert_int_equal(utter_player_write(NULL, NULL, 0, NULL), UTTER_ERROR_ARGUMENT);
    assert_int_equal(utter_player_finish(NULL, NULL), UTTER_ERROR_ARGUMENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(samples_arrive_unchanged, reset, check_released),
        cmocka_unit_test_setup_teardown(refused_rate_is_resampled, reset, check_released),
        cmocka_unit_test_setup_teardown(loud_samples_are_clipped, reset, check_released),
        cmocka_unit_test_setup_teardown(impossible_samples_are_refused, reset, check_released),
        cmocka_unit_test_setup_teardown(opening_can_fail_in_every_step, reset, check_released),
        cmocka_unit_test_setup_teardown(writing_and_stopping_can_fail, reset, check_released),
        cmocka_unit_test_setup_teardown(bad_arguments, reset, check_released),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
