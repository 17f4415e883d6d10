/* Brings two sounds into step and gathers every figure about them. The definitions are those of
 * docs/eval.md; spectra are compared in spectral.c, pitch is found in pitch.c. All of them assume
 * the same samples side by side: nothing is stretched, and another voice or another timing gives
 * large figures that mean little. */
#include "audio/quality.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "audio/lag.h"
#include "audio/pitch.h"
#include "audio/resample.h"
#include "audio/spectral.h"
#include "base/checked.h"
#include "base/error.h"

enum { MIN_RATE_HZ = 1000, MAX_RATE_HZ = 192000, MIN_VOICED_FRAMES = 11, MAX_LAG_MS = 2000 };

static const char *const side_names[] = {"reference", "test"};
static const double silence_power = 1e-6;    /* -60 dBFS */
static const float full_scale = 0.99996f;    /* 32,767 / 32,768 and more, not 32,766 */
static const float largest_magnitude = 1000; /* what is louder is no sound, and overflows soxr */

/* Samples of our own or of the caller, from `first` on. */
struct aligned {
    float *owned; /* NULL: the caller's */
    const float *samples;
    size_t n;
};

/* The only checks of what the caller gives: all code behind relies on finite samples of sane
 * size. */
static utter_status check(const utter_sound *sound, const char *name, utter_error *err) {
    if (!sound->samples || sound->n_samples == 0) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "the %s has no samples", name);
    }
    if (sound->sample_rate_hz < MIN_RATE_HZ || sound->sample_rate_hz > MAX_RATE_HZ) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "the %s has a rate of %d Hz; %d to %d are taken",
                       name, sound->sample_rate_hz, MIN_RATE_HZ, MAX_RATE_HZ);
    }
    for (size_t i = 0; i < sound->n_samples; i++) {
        float x = sound->samples[i];
        if (!(fabsf(x) <= largest_magnitude)) { /* NaN too */
            return ut_fail(err, UTTER_ERROR_ARGUMENT,
                           "sample %zu of the %s is %g; sound lies between -1 and 1", i, name, x);
        }
    }
    return UTTER_OK;
}

/* Of each sound as it was given, before anything is resampled or cut. Silence is counted in blocks
 * of 10 ms. */
static void measure_level(const utter_sound *sound, utter_quality *out, int side) {
    size_t n = sound->n_samples, block = (size_t)sound->sample_rate_hz / 100;
    size_t n_clipped = 0, n_silent = 0, n_blocks = (n + block - 1) / block;
    double energy = 0;
    float peak = 0;
    for (size_t start = 0; start < n; start += block) {
        size_t end = UT_MIN(start + block, n);
        double block_energy = 0;
        for (size_t i = start; i < end; i++) {
            float magnitude = fabsf(sound->samples[i]);
            peak = UT_MAX(peak, magnitude);
            n_clipped += magnitude >= full_scale;
            block_energy += (double)magnitude * (double)magnitude;
        }
        n_silent += block_energy < silence_power * (double)(end - start);
        energy += block_energy;
    }
    out->rms_dbfs[side] = 10 * log10(energy / (double)n);
    out->peak[side] = (double)peak;
    out->clipped[side] = (double)n_clipped / (double)n;
    out->silent[side] = (double)n_silent / (double)n_blocks;
}

/* ---- Into step ------------------------------------------------------------------------------ */

/* A ut_resampler_sink. */
static utter_status append(void *user, const float *samples, size_t n, utter_error *err) {
    struct aligned *out = user; /* as long as the resampler's promise */
    memcpy(out->owned + out->n, samples, n * sizeof *samples);
    out->n += n;
    return UTTER_OK;
}

/* All of a sound at another rate; the same samples where that is its own. */
static utter_status resample(struct ut_mem *mem, struct aligned *out, const float *samples,
                             size_t n, int32_t from_hz, int32_t to_hz, utter_error *err) {
    struct ut_resampler resampler;
    *out = (struct aligned){.samples = samples, .n = n};
    if (from_hz == to_hz) {
        return UTTER_OK;
    }
    size_t n_most = (size_t)((double)n * to_hz / from_hz) + 2;
    utter_status status = ut_resampler_open(&resampler, from_hz, to_hz, err);
    if (status != UTTER_OK) {
        return status;
    }
    out->owned = ut_mem_calloc(mem, UT_MEM_OTHER, n_most, sizeof *out->owned);
    out->samples = out->owned;
    out->n = 0;
    status = out->owned ? ut_resampler_feed(&resampler, samples, n, append, out, err)
                        : ut_fail_memory(err, n_most * sizeof *out->owned);
    if (status == UTTER_OK) {
        status = ut_resampler_flush(&resampler, append, out, err);
    }
    ut_resampler_close(&resampler);
    return status;
}

/* Cuts the start of the one that is late, then both to the length of the shorter. */
static utter_status take_out_lag(struct ut_mem *mem, struct aligned pair[2], double max_lag_ms,
                                 utter_quality *out, utter_error *err) {
    size_t max_lag = (size_t)(out->sample_rate_hz * max_lag_ms / 1000);
    size_t n = UT_MIN(pair[0].n, pair[1].n);
    ptrdiff_t lag = 0;
    max_lag = n > 0 ? UT_MIN(max_lag, n - 1) : 0;
    if (max_lag > 0) {
        utter_status status =
            ut_lag_find(mem, pair[0].samples, pair[1].samples, n, max_lag, &lag, err);
        if (status != UTTER_OK) {
            return status;
        }
    }
    struct aligned *late = &pair[lag > 0];
    size_t n_cut = (size_t)(lag > 0 ? lag : -lag);
    late->samples += n_cut;
    late->n -= n_cut;
    out->lag_ms = 1000.0 * (double)lag / out->sample_rate_hz;
    out->n_samples = UT_MIN(pair[0].n, pair[1].n);
    out->n_left_over = UT_MAX(pair[0].n, pair[1].n) - out->n_samples;
    return UTTER_OK;
}

/* ---- Figures -------------------------------------------------------------------------------- */

/* Of the sample-by-sample difference; infinite for equal signals. */
static double snr_db(const float *ref, const float *test, size_t n) {
    double signal = 0, noise = 0;
    for (size_t i = 0; i < n; i++) {
        double r = (double)ref[i], d = r - (double)test[i];
        signal += r * r;
        noise += d * d;
    }
    return noise > 0 ? 10 * log10(signal / noise) : INFINITY;
}

/* Of log F0 over the frames that both call voiced. Constant pitch correlates with nothing. */
static void compare_pitch(const struct ut_pitch_frame *ref, const struct ut_pitch_frame *test,
                          size_t n_frames, utter_quality *out) {
    size_t n = 0, n_differ = 0;
    double sum_x = 0, sum_y = 0, sum_d2 = 0, var_x = 0, var_y = 0, cov = 0;
    for (size_t i = 0; i < n_frames; i++) {
        n_differ += ref[i].voiced != test[i].voiced;
        if (ref[i].voiced && test[i].voiced) {
            double x = log2(ref[i].f0_hz), y = log2(test[i].f0_hz);
            sum_x += x;
            sum_y += y;
            sum_d2 += (x - y) * (x - y);
            n++;
        }
    }
    out->voicing_differs = (double)n_differ / (double)n_frames;
    if (n < MIN_VOICED_FRAMES) {
        return;
    }
    for (size_t i = 0; i < n_frames; i++) {
        if (ref[i].voiced && test[i].voiced) {
            double x = log2(ref[i].f0_hz) - sum_x / (double)n;
            double y = log2(test[i].f0_hz) - sum_y / (double)n;
            var_x += x * x;
            var_y += y * y;
            cov += x * y;
        }
    }
    out->f0_rmse_cents = 1200 * sqrt(sum_d2 / (double)n);
    out->f0_correlation = var_x > 0 && var_y > 0 ? cov / sqrt(var_x * var_y) : NAN;
}

/* Pitch is found at 16 kHz whatever the rate of the comparison. */
static utter_status track(struct ut_mem *mem, const float *samples, size_t n, int32_t rate_hz,
                          struct ut_pitch_frame **frames, size_t *n_frames, utter_error *err) {
    struct aligned at_16k;
    utter_status status = resample(mem, &at_16k, samples, n, rate_hz, UT_PITCH_RATE_HZ, err);
    if (status == UTTER_OK) {
        *n_frames = ut_pitch_n_frames(at_16k.n);
        *frames = ut_mem_calloc(mem, UT_MEM_OTHER, *n_frames, sizeof **frames);
        status = *frames ? ut_pitch_track(mem, at_16k.samples, at_16k.n, *frames, err)
                         : ut_fail_memory(err, *n_frames * sizeof **frames);
    }
    ut_mem_free(mem, at_16k.owned);
    return status;
}

static utter_status measure_pitch(struct ut_mem *mem, const float *ref, const float *test,
                                  utter_quality *out, utter_error *err) {
    struct ut_pitch_frame *frames[2] = {NULL, NULL};
    size_t n = (size_t)out->n_samples, n_frames;
    utter_status status = track(mem, ref, n, out->sample_rate_hz, &frames[0], &n_frames, err);
    if (status == UTTER_OK) {
        status = track(mem, test, n, out->sample_rate_hz, &frames[1], &n_frames, err);
    }
    if (status == UTTER_OK) {
        compare_pitch(frames[0], frames[1], n_frames, out);
    }
    ut_mem_free(mem, frames[0]);
    ut_mem_free(mem, frames[1]);
    /* Rates are equal here: what is unsupported is the way to 16 kHz, and the rest stands. */
    return status == UTTER_ERROR_UNSUPPORTED ? UTTER_OK : status;
}

/* Everything behind take_out_lag sees two arrays of the same length and rate. */
static utter_status compare(struct ut_mem *mem, struct aligned pair[2],
                            const utter_compare_options *options, utter_quality *out,
                            utter_error *err) {
    struct ut_spectral spectral;
    utter_status status = take_out_lag(mem, pair, options->max_lag_ms, out, err);
    const float *ref = pair[0].samples, *test = pair[1].samples;
    size_t n = (size_t)out->n_samples;
    if (status == UTTER_OK && n == 0) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT,
                       "at %d Hz nothing is left of the test; it is too short to compare",
                       out->sample_rate_hz);
    }
    if (status == UTTER_OK) {
        status = ut_spectral_compare(mem, ref, test, n, out->sample_rate_hz, &spectral, err);
    }
    if (status == UTTER_OK && !options->no_pitch) {
        status = measure_pitch(mem, ref, test, out, err);
    }
    if (status == UTTER_OK) {
        out->snr_db = snr_db(ref, test, n);
        out->lsd_db = spectral.lsd_db;
        out->mcd_db = spectral.mcd_db;
    }
    return status;
}

/* The test is brought to the reference's rate, never the other way: the reference stays as it
 * is. */
utter_status ut_quality_compare(struct ut_mem *mem, const utter_sound *ref, const utter_sound *test,
                                const utter_compare_options *options, utter_quality *out,
                                utter_error *err) {
    const utter_sound *sounds[] = {ref, test};
    struct aligned pair[2] = {0};
    if (!(options->max_lag_ms >= 0 && options->max_lag_ms <= MAX_LAG_MS)) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "max_lag_ms is %g; 0 to %d are possible",
                       options->max_lag_ms, MAX_LAG_MS);
    }
    *out = (utter_quality){.size = sizeof *out,
                           .f0_correlation = NAN,
                           .f0_rmse_cents = NAN,
                           .voicing_differs = NAN,
                           .sample_rate_hz = ref->sample_rate_hz};
    utter_status status = UTTER_OK;
    for (int side = 0; side < 2 && status == UTTER_OK; side++) {
        status = check(sounds[side], side_names[side], err);
        if (status == UTTER_OK) {
            measure_level(sounds[side], out, side);
        }
    }
    if (status != UTTER_OK) {
        return status;
    }
    pair[0] = (struct aligned){.samples = ref->samples, .n = ref->n_samples};
    status = resample(mem, &pair[1], test->samples, test->n_samples, test->sample_rate_hz,
                      ref->sample_rate_hz, err);
    if (status == UTTER_ERROR_UNSUPPORTED) {
        ut_fail(err, status,
                "the reference has %d Hz and the test %d, and utter was built without libsoxr; "
                "bring one to the rate of the other first",
                ref->sample_rate_hz, test->sample_rate_hz);
    }
    if (status == UTTER_OK) {
        status = compare(mem, pair, options, out, err);
    }
    ut_mem_free(mem, pair[1].owned);
    return status;
}
