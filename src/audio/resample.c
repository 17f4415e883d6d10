/* Resampling by libsoxr at its high quality (passband to 91 % of the lower rate's half, 120 dB
 * down), which is below the noise of 16 bits. */
#include "audio/resample.h"

#include "ut_config.h"

#if UT_HAVE_SOXR
#include <soxr.h>

/* Samples made at a time: 8 KB on the stack. */
enum { BLOCK = 2048 };

utter_status ut_resampler_open(struct ut_resampler *resampler, int32_t from_hz, int32_t to_hz,
                               utter_error *err) {
    resampler->soxr = NULL;
    if (from_hz == to_hz) {
        return UTTER_OK;
    }
    soxr_error_t failure = NULL;
    soxr_io_spec_t io = soxr_io_spec(SOXR_FLOAT32_I, SOXR_FLOAT32_I);
    soxr_quality_spec_t quality = soxr_quality_spec(SOXR_HQ, 0);
    soxr_runtime_spec_t runtime = soxr_runtime_spec(1);
    resampler->soxr = soxr_create(from_hz, to_hz, 1, &failure, &io, &quality, &runtime);
    if (!resampler->soxr || failure) {
        ut_resampler_close(resampler);
        return ut_fail(err, UTTER_ERROR_MEMORY, "cannot resample from %d to %d Hz: %s", from_hz,
                       to_hz, failure ? failure : "out of memory");
    }
    return UTTER_OK;
}

/* `samples` NULL tells soxr that the input is over. */
static utter_status run(struct ut_resampler *resampler, const float *samples, size_t n,
                        ut_resampler_sink sink, void *user, utter_error *err) {
    float block[BLOCK];
    size_t n_used, n_made;
    do {
        soxr_error_t failure =
            soxr_process(resampler->soxr, samples, n, &n_used, block, BLOCK, &n_made);
        if (failure) {
            return ut_fail(err, UTTER_ERROR_INTERNAL, "resampling failed: %s", failure);
        }
        utter_status status = n_made ? sink(user, block, n_made, err) : UTTER_OK;
        if (status != UTTER_OK) {
            return status;
        }
        samples += samples ? n_used : 0;
        n -= n_used;
    } while (n > 0 || n_made > 0);
    return UTTER_OK;
}

utter_status ut_resampler_feed(struct ut_resampler *resampler, const float *samples, size_t n,
                               ut_resampler_sink sink, void *user, utter_error *err) {
    if (n == 0) {
        return UTTER_OK;
    }
    return resampler->soxr ? run(resampler, samples, n, sink, user, err)
                           : sink(user, samples, n, err);
}

utter_status ut_resampler_flush(struct ut_resampler *resampler, ut_resampler_sink sink, void *user,
                                utter_error *err) {
    return resampler->soxr ? run(resampler, NULL, 0, sink, user, err) : UTTER_OK;
}

void ut_resampler_close(struct ut_resampler *resampler) {
    soxr_delete(resampler->soxr); /* NULL is fine */
    resampler->soxr = NULL;
}

#else /* without libsoxr equal rates still work */

utter_status ut_resampler_open(struct ut_resampler *resampler, int32_t from_hz, int32_t to_hz,
                               utter_error *err) {
    resampler->soxr = NULL;
    return from_hz == to_hz
               ? UTTER_OK
               : ut_fail(err, UTTER_ERROR_UNSUPPORTED,
                         "this needs resampling from %d to %d Hz, and utter was built without "
                         "libsoxr; choose another format",
                         from_hz, to_hz);
}

utter_status ut_resampler_feed(struct ut_resampler *resampler, const float *samples, size_t n,
                               ut_resampler_sink sink, void *user, utter_error *err) {
    return n ? sink(user, samples, n, err) : UTTER_OK;
}

utter_status ut_resampler_flush(struct ut_resampler *resampler, ut_resampler_sink sink, void *user,
                                utter_error *err) {
    return UTTER_OK;
}

void ut_resampler_close(struct ut_resampler *resampler) {
    resampler->soxr = NULL;
}
#endif
