/* The public writer: checks samples, resamples where the format wants another rate, and hands them
 * to the encoder or writes them itself (WAV and raw samples). Nothing is written before the first
 * samples or the end, so a writer that is discarded early leaves a pipe untouched. The block of the
 * writer belongs to no engine and comes from the C library's allocator. */
#include <string.h>

#include "audio/convert.h"
#include "audio/encode.h"
#include "audio/format.h"
#include "audio/output.h"
#include "audio/resample.h"
#include "audio/wav.h"
#include "base/checked.h"
#include "base/mem.h"

enum { MIN_RATE_HZ = 1000, MAX_RATE_HZ = 192000, BLOCK = 2048 };

/* A state machine of few states: not started, started, failed (which it stays). */
struct utter_writer {
    utter_format format;
    int32_t rate_hz; /* of the file */
    bool started;    /* header written, or encoder open */
    uint64_t n_samples;
    utter_error failure; /* the first; every later call answers with it */
    struct ut_output output;
    struct ut_encoder encoder;
    struct ut_resampler resampler;
};

static bool is_encoded(utter_format format) {
    return format >= UTTER_FORMAT_FLAC;
}

static bool is_wav(utter_format format) {
    return format == UTTER_FORMAT_WAV || format == UTTER_FORMAT_WAV_F32;
}

static bool is_float(utter_format format) {
    return format == UTTER_FORMAT_WAV_F32 || format == UTTER_FORMAT_PCM_F32;
}

/* A ut_mem of the moment: the default allocator keeps nothing in it that a free would need. */
static utter_writer *writer_new(utter_error *err) {
    struct ut_mem mem;
    ut_mem_init(&mem, NULL);
    utter_writer *writer = ut_mem_calloc(&mem, UT_MEM_OTHER, 1, sizeof *writer);
    if (!writer) {
        ut_fail_memory(err, sizeof *writer);
    }
    return writer;
}

static void writer_free(utter_writer *writer) {
    struct ut_mem mem;
    ut_mem_init(&mem, NULL);
    ut_mem_free(&mem, writer);
}

static utter_status check_arguments(const char *path, utter_format format, int32_t sample_rate_hz,
                                    utter_error *err) {
    if (!path) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "utter_writer_open: path must not be NULL");
    }
    if (!utter_format_name(format)) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "%d is no audio format", (int)format);
    }
    if (sample_rate_hz < MIN_RATE_HZ || sample_rate_hz > MAX_RATE_HZ) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "a sample rate of %d Hz is outside %d to %d",
                       sample_rate_hz, MIN_RATE_HZ, MAX_RATE_HZ);
    }
    return is_encoded(format) ? ut_encoder_check(format, err) : UTTER_OK;
}

/* The output is opened here, so that a name that cannot be written fails before anything is
 * spoken. */
utter_status utter_writer_open(const char *path, utter_format format, int32_t sample_rate_hz,
                               utter_writer **out, utter_error *err) {
    if (!out) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "utter_writer_open: out must not be NULL");
    }
    *out = NULL;
    if (path && format == UTTER_FORMAT_AUTO) {
        format = ut_format_of_path(path);
    }
    utter_status status = check_arguments(path, format, sample_rate_hz, err);
    utter_writer *writer = status == UTTER_OK ? writer_new(err) : NULL;
    if (!writer) {
        return status != UTTER_OK ? status : UTTER_ERROR_MEMORY;
    }
    writer->format = format;
    writer->rate_hz = ut_encoder_rate_hz(writer->format, sample_rate_hz);
    status = ut_resampler_open(&writer->resampler, sample_rate_hz, writer->rate_hz, err);
    if (status == UTTER_OK) {
        status = ut_output_open(&writer->output, path, err);
    }
    if (status != UTTER_OK) {
        ut_resampler_close(&writer->resampler);
        writer_free(writer);
        return status;
    }
    *out = writer;
    return UTTER_OK;
}

/* First with sizes unknown, at the end with the true ones where the output can be patched. */
static utter_status write_wav_header(utter_writer *writer, uint64_t n_data_bytes,
                                     utter_error *err) {
    uint8_t header[UT_WAV_HEADER_MAX];
    size_t n = ut_wav_header(header, is_float(writer->format), writer->rate_hz, n_data_bytes);
    return n_data_bytes == UT_WAV_UNKNOWN_SIZE
               ? ut_output_write(&writer->output, header, n, err)
               : ut_output_patch(&writer->output, 0, header, n, err);
}

static utter_status start(utter_writer *writer, utter_error *err) {
    if (writer->started) {
        return UTTER_OK;
    }
    writer->started = true;
    if (is_encoded(writer->format)) {
        return ut_encoder_open(&writer->encoder, writer->format, writer->rate_hz, &writer->output,
                               err);
    }
    return is_wav(writer->format) ? write_wav_header(writer, UT_WAV_UNKNOWN_SIZE, err) : UTTER_OK;
}

/* Converted block by block on the stack. */
static utter_status write_plain(utter_writer *writer, const float *samples, size_t n,
                                utter_error *err) {
    union {
        int16_t s16[BLOCK];
        float f32[BLOCK];
    } block;
    while (n > 0) {
        size_t n_block = UT_MIN(n, (size_t)BLOCK), width = sizeof *block.s16;
        if (is_float(writer->format)) {
            memcpy(block.f32, samples, n_block * sizeof *samples);
            width = sizeof *block.f32;
        } else {
            ut_convert_to_s16(block.s16, samples, n_block);
        }
        utter_status status = ut_output_write(&writer->output, &block, n_block * width, err);
        if (status != UTTER_OK) {
            return status;
        }
        samples += n_block;
        n -= n_block;
    }
    return UTTER_OK;
}

/* A ut_resampler_sink: samples at the file's rate. */
static utter_status store(void *user, const float *samples, size_t n, utter_error *err) {
    utter_writer *writer = user;
    return is_encoded(writer->format) ? ut_encoder_write(&writer->encoder, samples, n, err)
                                      : write_plain(writer, samples, n, err);
}

static utter_status write_samples(utter_writer *writer, const float *samples, size_t n,
                                  utter_error *err) {
    size_t bad = ut_convert_find_not_finite(samples, n);
    if (bad < n) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT,
                       "sample %llu is not a finite number; nothing was written of it",
                       (unsigned long long)(writer->n_samples + bad));
    }
    utter_status status = start(writer, err);
    if (status == UTTER_OK) {
        status = ut_resampler_feed(&writer->resampler, samples, n, store, writer, err);
    }
    writer->n_samples += n;
    return status;
}

static utter_status answer(const utter_writer *writer, utter_error *err) {
    if (err && writer->failure.code != UTTER_OK) {
        *err = writer->failure;
    }
    return writer->failure.code;
}

utter_status utter_writer_write(utter_writer *writer, const float *samples, size_t n_samples,
                                utter_error *err) {
    if (!writer || (!samples && n_samples > 0)) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT,
                       "utter_writer_write: writer and samples must not be NULL");
    }
    if (writer->failure.code == UTTER_OK && n_samples > 0) {
        (void)write_samples(writer, samples, n_samples, &writer->failure);
    }
    return answer(writer, err);
}

/* Starts a writer that got no samples: an empty recording is a file too. */
static utter_status complete(utter_writer *writer, utter_error *err) {
    utter_status status = start(writer, err);
    if (status == UTTER_OK) {
        status = ut_resampler_flush(&writer->resampler, store, writer, err);
    }
    if (status == UTTER_OK && is_encoded(writer->format)) {
        status = ut_encoder_finish(&writer->encoder, err);
    }
    if (status == UTTER_OK && is_wav(writer->format) && writer->output.seekable) {
        status =
            write_wav_header(writer, writer->n_samples * (is_float(writer->format) ? 4 : 2), err);
    }
    return status == UTTER_OK ? ut_output_commit(&writer->output, err) : status;
}

utter_status utter_writer_finish(utter_writer *writer, utter_error *err) {
    if (!writer) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "utter_writer_finish: writer must not be NULL");
    }
    if (writer->failure.code == UTTER_OK) {
        (void)complete(writer, &writer->failure);
    }
    utter_status status = answer(writer, err);
    utter_writer_discard(writer); /* after a commit there is nothing left to remove */
    return status;
}

void utter_writer_discard(utter_writer *writer) {
    if (writer) {
        ut_encoder_discard(&writer->encoder);
        ut_resampler_close(&writer->resampler);
        ut_output_discard(&writer->output);
        writer_free(writer);
    }
}
