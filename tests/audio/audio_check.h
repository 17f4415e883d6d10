/* What the audio tests share: a temporary folder, test signals, and libsndfile as the judge. */
#ifndef UT_TESTS_AUDIO_CHECK_H
#define UT_TESTS_AUDIO_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/byte_buffer.h"
#include "utter.h"

/* A folder of its own for a test. audio_folder_count shows temporary files that were left behind.
 */
struct audio_folder {
    char path[64];
};

void audio_folder_make(struct audio_folder *folder);
const char *audio_path(const struct audio_folder *folder, const char *name); /* for a few calls */
size_t audio_folder_count(const struct audio_folder *folder);
void audio_folder_remove(struct audio_folder *folder);

/* amplitude * sin(2 pi hz t); malloc'd. */
float *audio_tone(size_t n, double hz, double amplitude, int32_t rate_hz);

struct audio_read {
    int32_t rate_hz;
    int format;     /* of libsndfile */
    int64_t frames; /* as the header says */
    size_t n;       /* that could be read */
    float *samples;
};

/* Reads a whole mono file; fails the test if libsndfile refuses it. */
void audio_read_file(struct audio_read *read, const char *path);
void audio_read_free(struct audio_read *read);

/* Of `found` against `wanted`; 200 when equal. */
double audio_snr_db(const float *wanted, const float *found, size_t n);

/* Level of one frequency (a Goertzel sum with a Hann window): 1 for a full-scale tone. */
double audio_level_at(const float *samples, size_t n, double hz, int32_t rate_hz);

/* Opens, writes in pieces of `piece` and finishes; fails the test on an error. */
void audio_write(const char *path, utter_format format, int32_t rate_hz, const float *samples,
                 size_t n, size_t piece);

/* The same through a pipe, everything that came out of it in `bytes`. */
void audio_write_to_pipe(struct byte_buffer *bytes, utter_format format, int32_t rate_hz,
                         const float *samples, size_t n, size_t piece);

#endif
