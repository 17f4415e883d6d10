/* Playback through PortAudio's blocking interface on the default output device. A device that
 * refuses the voice's rate gets its own, resampled. PortAudio's start and stop are not thread safe:
 * open and finish players from one thread at a time. Its ALSA and JACK parts may print to standard
 * error. */
#include "audio/convert.h"
#include "audio/resample.h"
#include "base/checked.h"
#include "base/mem.h"
#include "ut_config.h"

#if UT_HAVE_PORTAUDIO
#include <portaudio.h>

enum { BLOCK = 2048 };

/* Lives outside of any engine; its block comes from the C library's allocator. */
struct utter_player {
    PaStream *stream;
    struct ut_resampler resampler;
};

static utter_status fail_pa(utter_error *err, PaError code, const char *action) {
    return ut_fail(err, UTTER_ERROR_IO,
                   "cannot %s: %s; write a file instead, or pipe to another player", action,
                   Pa_GetErrorText(code));
}

/* Balances the Pa_Initialize of utter_player_open, which PortAudio counts. */
static void close_player(utter_player *player) {
    struct ut_mem mem;
    ut_mem_init(&mem, NULL);
    if (player->stream) {
        Pa_CloseStream(player->stream);
    }
    ut_resampler_close(&player->resampler);
    ut_mem_free(&mem, player);
    Pa_Terminate();
}

/* The high latency of the device: gaps are worse than a late start, and speech comes in bursts. */
static utter_status open_stream(utter_player *player, int32_t rate_hz, utter_error *err) {
    PaStreamParameters out = {
        .device = Pa_GetDefaultOutputDevice(), .channelCount = 1, .sampleFormat = paFloat32};
    const PaDeviceInfo *device = out.device == paNoDevice ? NULL : Pa_GetDeviceInfo(out.device);
    if (!device) {
        return ut_fail(
            err, UTTER_ERROR_NOT_FOUND,
            "there is no sound device to play on; write a file instead, or pipe to another player");
    }
    out.suggestedLatency = device->defaultHighOutputLatency;
    double device_hz = rate_hz;
    if (Pa_IsFormatSupported(NULL, &out, device_hz) != paFormatIsSupported) {
        device_hz = device->defaultSampleRate;
    }
    utter_status status = ut_resampler_open(&player->resampler, rate_hz, (int32_t)device_hz, err);
    if (status != UTTER_OK) {
        return status;
    }
    PaError code = Pa_OpenStream(&player->stream, NULL, &out, device_hz,
                                 paFramesPerBufferUnspecified, paNoFlag, NULL, NULL);
    if (code == paNoError) {
        code = Pa_StartStream(player->stream);
    }
    return code == paNoError ? UTTER_OK : fail_pa(err, code, "play on the default sound device");
}

utter_status utter_player_open(int32_t sample_rate_hz, utter_player **out, utter_error *err) {
    if (!out || sample_rate_hz < 1000 || sample_rate_hz > 192000) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT,
                       "utter_player_open: out must not be NULL, the rate 1000 to 192000");
    }
    *out = NULL;
    PaError code = Pa_Initialize();
    if (code != paNoError) {
        return fail_pa(err, code, "start PortAudio");
    }
    struct ut_mem mem;
    ut_mem_init(&mem, NULL);
    utter_player *player = ut_mem_calloc(&mem, UT_MEM_OTHER, 1, sizeof *player);
    if (!player) {
        Pa_Terminate();
        return ut_fail_memory(err, sizeof *player);
    }
    utter_status status = open_stream(player, sample_rate_hz, err);
    if (status != UTTER_OK) {
        close_player(player);
        return status;
    }
    *out = player;
    return UTTER_OK;
}

/* A ut_resampler_sink. An underflow is only a gap that was already heard: play on. */
static utter_status play(void *user, const float *samples, size_t n, utter_error *err) {
    utter_player *player = user;
    float block[BLOCK];
    while (n > 0) {
        size_t n_block = UT_MIN(n, (size_t)BLOCK);
        ut_convert_clip(block, samples, n_block);
        PaError code = Pa_WriteStream(player->stream, block, n_block);
        if (code != paNoError && code != paOutputUnderflowed) {
            return fail_pa(err, code, "go on playing");
        }
        samples += n_block;
        n -= n_block;
    }
    return UTTER_OK;
}

utter_status utter_player_write(utter_player *player, const float *samples, size_t n_samples,
                                utter_error *err) {
    if (!player || (!samples && n_samples > 0)) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT,
                       "utter_player_write: player and samples must not be NULL");
    }
    if (ut_convert_find_not_finite(samples, n_samples) < n_samples) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT,
                       "a sample is not a finite number and was not played");
    }
    return ut_resampler_feed(&player->resampler, samples, n_samples, play, player, err);
}

utter_status utter_player_finish(utter_player *player, utter_error *err) {
    if (!player) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "utter_player_finish: player must not be NULL");
    }
    utter_status status = ut_resampler_flush(&player->resampler, play, player, err);
    PaError code = Pa_StopStream(player->stream); /* returns when everything has been heard */
    if (status == UTTER_OK && code != paNoError) {
        status = fail_pa(err, code, "finish playing");
    }
    close_player(player);
    return status;
}

#else /* without PortAudio */

static utter_status fail_without(utter_error *err) {
    return ut_fail(
        err, UTTER_ERROR_UNSUPPORTED,
        "utter was built without PortAudio; pipe to a player: utter speak \"...\" | aplay");
}

utter_status utter_player_open(int32_t sample_rate_hz, utter_player **out, utter_error *err) {
    if (out) {
        *out = NULL;
    }
    return fail_without(err);
}

utter_status utter_player_write(utter_player *player, const float *samples, size_t n_samples,
                                utter_error *err) {
    return fail_without(err);
}

utter_status utter_player_finish(utter_player *player, utter_error *err) {
    return fail_without(err);
}
#endif
