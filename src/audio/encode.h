/* FLAC, Ogg/Opus, Ogg/Vorbis and MP3, written through a ut_output. */
#ifndef UT_AUDIO_ENCODE_H
#define UT_AUDIO_ENCODE_H

#include "audio/output.h"

/* Must not move while it is open: libsndfile keeps its address for the callbacks. */
struct ut_encoder {
    void *sndfile; /* NULL: not open */
    utter_format format;
    struct ut_output *out;
    uint64_t position; /* where libsndfile's next byte goes */
    uint64_t length;   /* of all it wrote */
    uint64_t n_samples;
    bool discarding;     /* nothing more goes to the output */
    utter_error failure; /* the first failed write */
};

/* ERROR_UNSUPPORTED when this build cannot encode. */
UTTER_CHECKED utter_status ut_encoder_check(utter_format format, utter_error *err);

/* The rate the encoder runs at for samples of `sample_rate_hz`. */
int32_t ut_encoder_rate_hz(utter_format format, int32_t sample_rate_hz);

/* `sample_rate_hz` as ut_encoder_rate_hz gave it; `out` must outlive the encoder. To an output that
 * is not seekable headers stay as first written: FLAC then does not know its length, and MP3 is
 * coded at a constant rate, by which players guess it. */
UTTER_CHECKED utter_status ut_encoder_open(struct ut_encoder *encoder, utter_format format,
                                           int32_t sample_rate_hz, struct ut_output *out,
                                           utter_error *err);

/* Any finite samples; what lies outside of -1..1 is clipped. After an error only discard is
 * left. */
UTTER_CHECKED utter_status ut_encoder_write(struct ut_encoder *encoder, const float *samples,
                                            size_t n, utter_error *err);

/* Writes what is left and closes, also on error. */
UTTER_CHECKED utter_status ut_encoder_finish(struct ut_encoder *encoder, utter_error *err);

/* Closes without another byte. */
void ut_encoder_discard(struct ut_encoder *encoder);

#endif
