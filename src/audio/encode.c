/* Encoding by libsndfile, through its virtual input/output, so that one path serves files and pipes
 * and every failed write is known with its reason (the Ogg encoders drop it). libsndfile goes back
 * only to fill in a header at the end (FLAC: length and checksum; MP3: the Info frame); on a pipe
 * those writes are dropped, as the flac and lame programs do. Measured with 1.2.0: Ogg never goes
 * back. */
#include "audio/encode.h"

#include "ut_config.h"

#if UT_HAVE_SNDFILE
#include <sndfile.h>
#include <stdio.h>
#include <string.h>

#include "audio/convert.h"
#include "base/checked.h"

enum { BLOCK = 2048, OPUS_RATE_HZ = 48000 };

utter_status ut_encoder_check(utter_format format, utter_error *err) {
    return UTTER_OK;
}

static sf_count_t io_length(void *user) {
    return (sf_count_t)((struct ut_encoder *)user)->length;
}

/* Only the position moves; where the bytes go is decided when they are written. */
static sf_count_t io_seek(sf_count_t offset, int whence, void *user) {
    struct ut_encoder *encoder = user;
    sf_count_t base = whence == SEEK_SET   ? 0
                      : whence == SEEK_CUR ? (sf_count_t)encoder->position
                                           : io_length(user);
    /* No format leaves holes, so nothing lies behind the end. */
    if (offset < -base || base + offset > io_length(user)) {
        return -1;
    }
    encoder->position = (uint64_t)(base + offset);
    return (sf_count_t)encoder->position;
}

static sf_count_t io_read(void *data, sf_count_t n, void *user) {
    return 0; /* only writing is ever asked for */
}

/* What lies behind `length` is appended, what was written before is replaced where that can be. */
static utter_status pass_on(struct ut_encoder *encoder, const char *data, size_t n) {
    size_t n_old = (size_t)UT_MIN((uint64_t)n, encoder->length - encoder->position);
    utter_status status = UTTER_OK;
    if (n_old > 0 && encoder->out->seekable) {
        status = ut_output_patch(encoder->out, encoder->position, data, n_old, &encoder->failure);
    }
    if (status == UTTER_OK) {
        status = ut_output_write(encoder->out, data + n_old, n - n_old, &encoder->failure);
    }
    return status;
}

/* Claims success also after a failure, which is kept: told of one, libsndfile loses its reason, and
 * leaks the Vorbis encoder when it is closed. */
static sf_count_t io_write(const void *data, sf_count_t n, void *user) {
    struct ut_encoder *encoder = user;
    if (!encoder->discarding) {
        encoder->discarding = pass_on(encoder, data, (size_t)n) != UTTER_OK;
    }
    encoder->position += (uint64_t)n;
    encoder->length = UT_MAX(encoder->length, encoder->position);
    return n;
}

static sf_count_t io_tell(void *user) {
    return (sf_count_t)((struct ut_encoder *)user)->position;
}

/* MPEG audio knows nine rates: the next one up, so that nothing is lost. */
static int32_t mp3_rate_hz(int32_t rate_hz) {
    static const int32_t rates_hz[] = {8000,  11025, 12000, 16000, 22050,
                                       24000, 32000, 44100, 48000};
    for (size_t i = 0; i < UT_COUNT(rates_hz); i++) {
        if (rates_hz[i] >= rate_hz) {
            return rates_hz[i];
        }
    }
    return 48000;
}

int32_t ut_encoder_rate_hz(utter_format format, int32_t sample_rate_hz) {
    return format == UTTER_FORMAT_OPUS  ? OPUS_RATE_HZ
           : format == UTTER_FORMAT_MP3 ? mp3_rate_hz(sample_rate_hz)
                                        : sample_rate_hz;
}

static int sndfile_format(utter_format format) {
    switch (format) {
    case UTTER_FORMAT_FLAC:
        return SF_FORMAT_FLAC | SF_FORMAT_PCM_16;
    case UTTER_FORMAT_OPUS:
        return SF_FORMAT_OGG | SF_FORMAT_OPUS;
    case UTTER_FORMAT_VORBIS:
        return SF_FORMAT_OGG | SF_FORMAT_VORBIS;
    default:
        return SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III;
    }
}

/* A listener at the other end of a pipe waits for whole Ogg pages: 100 ms instead of a second. */
static void prepare_for_stream(struct ut_encoder *encoder) {
    if (encoder->format == UTTER_FORMAT_OPUS) {
        double latency_ms = 100;
        sf_command(encoder->sndfile, SFC_SET_OGG_PAGE_LATENCY_MS, &latency_ms, sizeof latency_ms);
    } else if (encoder->format == UTTER_FORMAT_MP3) {
        int mode = SF_BITRATE_MODE_CONSTANT;
        double level = 0.5; /* 80 kbit/s at 22,050 Hz; at constant rates lame plays 0.4 dB softer */
        sf_command(encoder->sndfile, SFC_SET_BITRATE_MODE, &mode, sizeof mode);
        sf_command(encoder->sndfile, SFC_SET_COMPRESSION_LEVEL, &level, sizeof level);
    }
}

/* What the output said if it failed, else what libsndfile says. */
static utter_status fail_encoding(struct ut_encoder *encoder, utter_error *err) {
    if (encoder->failure.code != UTTER_OK) {
        return ut_fail(err, encoder->failure.code, "%s", encoder->failure.message);
    }
    return ut_fail(err, UTTER_ERROR_UNSUPPORTED, "libsndfile cannot write %s as %s: %s",
                   encoder->out->path, utter_format_name(encoder->format),
                   sf_strerror(encoder->sndfile));
}

utter_status ut_encoder_open(struct ut_encoder *encoder, utter_format format,
                             int32_t sample_rate_hz, struct ut_output *out, utter_error *err) {
    SF_VIRTUAL_IO io = {io_length, io_seek, io_read, io_write, io_tell};
    SF_INFO info = {.samplerate = sample_rate_hz, .channels = 1, .format = sndfile_format(format)};
    *encoder = (struct ut_encoder){.format = format, .out = out};
    encoder->sndfile = sf_open_virtual(&io, SFM_WRITE, &info, encoder);
    if (!encoder->sndfile) {
        return fail_encoding(encoder, err);
    }
    if (!out->seekable) {
        prepare_for_stream(encoder);
    }
    return UTTER_OK;
}

/* FLAC is lossless, so it gets the same rounding as WAV; the others take floats. */
static sf_count_t write_block(struct ut_encoder *encoder, const float *samples, size_t n) {
    if (encoder->format == UTTER_FORMAT_FLAC) {
        int16_t block[BLOCK];
        ut_convert_to_s16(block, samples, n);
        return sf_write_short(encoder->sndfile, block, (sf_count_t)n);
    }
    float block[BLOCK];
    ut_convert_clip(block, samples, n);
    return sf_write_float(encoder->sndfile, block, (sf_count_t)n);
}

/* In blocks on the stack: samples are converted, never changed in place. */
utter_status ut_encoder_write(struct ut_encoder *encoder, const float *samples, size_t n,
                              utter_error *err) {
    while (n > 0) {
        size_t n_block = UT_MIN(n, (size_t)BLOCK);
        if (write_block(encoder, samples, n_block) != (sf_count_t)n_block ||
            encoder->failure.code != UTTER_OK) {
            return fail_encoding(encoder, err);
        }
        encoder->n_samples += n_block;
        samples += n_block;
        n -= n_block;
    }
    return UTTER_OK;
}

/* Without samples libsndfile leaves FLAC and MP3 files empty unless asked for a header (Vorbis must
 * not be asked: it then writes its header twice). An Opus stream must have a packet: there one
 * silent sample, 21 microseconds, stands for none. */
static utter_status write_nothing(struct ut_encoder *encoder, utter_error *err) {
    if (encoder->format == UTTER_FORMAT_OPUS) {
        return ut_encoder_write(encoder, &(float){0}, 1, err);
    }
    if (encoder->format != UTTER_FORMAT_VORBIS) {
        sf_command(encoder->sndfile, SFC_UPDATE_HEADER_NOW, NULL, 0);
    }
    return UTTER_OK;
}

/* sf_close writes the last packets and headers, so the failure is asked for after it. */
utter_status ut_encoder_finish(struct ut_encoder *encoder, utter_error *err) {
    utter_status status = encoder->n_samples == 0 ? write_nothing(encoder, err) : UTTER_OK;
    if (status != UTTER_OK) {
        ut_encoder_discard(encoder);
        return status;
    }
    int code = sf_close(encoder->sndfile);
    encoder->sndfile = NULL;
    if (code != 0 || encoder->failure.code != UTTER_OK) {
        return fail_encoding(encoder, err);
    }
    return UTTER_OK;
}

void ut_encoder_discard(struct ut_encoder *encoder) {
    if (encoder->sndfile) {
        encoder->discarding = true;
        sf_close(encoder->sndfile);
        encoder->sndfile = NULL;
    }
}

#else /* without libsndfile */

utter_status ut_encoder_check(utter_format format, utter_error *err) {
    return ut_fail(
        err, UTTER_ERROR_UNSUPPORTED,
        "utter was built without libsndfile and cannot write %s; use wav, wav-f32, pcm or pcm-f32",
        utter_format_name(format));
}

int32_t ut_encoder_rate_hz(utter_format format, int32_t sample_rate_hz) {
    return sample_rate_hz;
}

utter_status ut_encoder_open(struct ut_encoder *encoder, utter_format format,
                             int32_t sample_rate_hz, struct ut_output *out, utter_error *err) {
    *encoder = (struct ut_encoder){.format = format, .out = out};
    return ut_encoder_check(format, err);
}

utter_status ut_encoder_write(struct ut_encoder *encoder, const float *samples, size_t n,
                              utter_error *err) {
    return ut_fail(err, UTTER_ERROR_INTERNAL, "an encoder that never opened was written to");
}

utter_status ut_encoder_finish(struct ut_encoder *encoder, utter_error *err) {
    return ut_fail(err, UTTER_ERROR_INTERNAL, "an encoder that never opened was finished");
}

void ut_encoder_discard(struct ut_encoder *encoder) {
}
#endif
