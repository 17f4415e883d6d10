/* F0 by YIN (de Cheveigne and Kawahara 2002) as librosa 0.11 computes it, 65 to 420 Hz, windows of
 * 1024 samples: the difference function from the autocorrelation of the window, the first trough
 * below 0.1, else the lowest point, and a parabola through its neighbours. Voiced is a window
 * within 45 dB of the loudest one whose normalised autocorrelation, its mean removed, has a peak
 * above 0.5. No tracking from frame to frame: an octave slip stays one. */
#include "audio/pitch.h"

#include <math.h>

#include "audio/fft.h"
#include "base/checked.h"
#include "base/error.h"

enum {
    WINDOW = 1024,
    MIN_PERIOD = 38,  /* floor(16000 / 420) */
    MAX_PERIOD = 247, /* ceil(16000 / 65) */
    MAX_VOICED_PERIOD = 245,
};

/* The last is 10^(-45 / 10). */
static const double trough_threshold = 0.1, voiced_threshold = 0.5,
                    quiet_share = 3.1622776601683795e-5;

struct tracker {
    struct ut_fft fft; /* of two windows: no lag of interest wraps around */
    const float *samples;
    size_t n;
    double window[WINDOW];           /* of the frame at hand */
    struct ut_complex z[2 * WINDOW]; /* autocorrelations: re of the window, im less its mean */
    double power[2][WINDOW + 1];
    double difference[MAX_PERIOD + 1]; /* normalised by its mean so far, YIN's equation 8 */
};

size_t ut_pitch_n_frames(size_t n) {
    return 1 + n / UT_PITCH_HOP;
}

/* Copies the window around frame * hop; returns its energy. */
static double load_window(struct tracker *t, size_t frame) {
    double energy = 0;
    for (size_t i = 0; i < WINDOW; i++) {
        size_t at = frame * UT_PITCH_HOP + i; /* half a window late, so that it is not negative */
        bool inside = at >= WINDOW / 2 && at - WINDOW / 2 < t->n;
        t->window[i] = inside ? (double)t->samples[at - WINDOW / 2] : 0;
        energy += t->window[i] * t->window[i];
    }
    return energy;
}

/* Both autocorrelations at once: their spectra, the powers, are real and even, so one more forward
 * transform brings them back, times 2 * WINDOW, which no ratio below sees. */
static void autocorrelate(struct tracker *t) {
    double mean = 0;
    for (int i = 0; i < WINDOW; i++) {
        mean += t->window[i] / WINDOW;
    }
    for (int i = 0; i < 2 * WINDOW; i++) {
        t->z[i] = i < WINDOW ? (struct ut_complex){t->window[i], t->window[i] - mean}
                             : (struct ut_complex){0, 0};
    }
    ut_fft_run(&t->fft, t->z);
    ut_fft_powers(&t->fft, t->z, t->power[0], t->power[1]);
    for (int k = 0; k < 2 * WINDOW; k++) {
        int bin = UT_MIN(k, 2 * WINDOW - k);
        t->z[k] = (struct ut_complex){t->power[0][bin], t->power[1][bin]};
    }
    ut_fft_run(&t->fft, t->z);
}

/* The share of each lag is made up for the samples that it loses at the window's end. */
static bool is_voiced(const struct tracker *t) {
    double best = 0;
    for (int lag = MIN_PERIOD; lag <= MAX_VOICED_PERIOD; lag++) {
        best = UT_MAX(best, t->z[lag].im * WINDOW / (WINDOW - lag));
    }
    return t->z[0].im > 0 && best / t->z[0].im > voiced_threshold;
}

/* d(k) = 2 (r(0) - r(k)) - sum over m < k of x(m)^2, over the mean of d(1..k). */
static void normalise_difference(struct tracker *t) {
    double energy = 0, sum = 0;
    for (int k = 1; k <= MAX_PERIOD; k++) {
        energy += t->window[k - 1] * t->window[k - 1];
        double d = (t->z[0].re - t->z[k].re) / WINDOW - energy; /* 2 / (2 * WINDOW) */
        sum += d;
        t->difference[k] = d * k / (sum + 1e-300);
    }
}

/* librosa's util.localmin with its two edges: the first lag counts when it is below the second. */
static bool is_trough(const double *d, int k) {
    bool falls = k == MIN_PERIOD || d[k] < d[k - 1], rises = k == MAX_PERIOD || d[k] <= d[k + 1];
    return falls && rises && (k > MIN_PERIOD || d[k] < d[k + 1]);
}

/* Of the first trough below the threshold, not the deepest: that one may be twice the period. */
static int find_period(const double *d) {
    int lowest = MIN_PERIOD;
    for (int k = MIN_PERIOD; k <= MAX_PERIOD; k++) {
        if (d[k] < trough_threshold && is_trough(d, k)) {
            return k;
        }
        lowest = d[k] < d[lowest] ? k : lowest;
    }
    return lowest;
}

/* Where the parabola through three points has its bottom, from the middle one. */
static double parabola_shift(const double *d, int k) {
    if (k == MIN_PERIOD || k == MAX_PERIOD) {
        return 0;
    }
    double bend = d[k + 1] + d[k - 1] - 2 * d[k], slope = (d[k + 1] - d[k - 1]) / 2;
    return fabs(slope) >= fabs(bend) ? 0 : -slope / bend;
}

/* Two walks over the windows: the first finds the loudest. */
static void track(struct tracker *t, struct ut_pitch_frame *frames) {
    size_t n_frames = ut_pitch_n_frames(t->n);
    double loudest = 0;
    for (size_t i = 0; i < n_frames; i++) {
        loudest = UT_MAX(loudest, load_window(t, i));
    }
    for (size_t i = 0; i < n_frames; i++) {
        frames[i] = (struct ut_pitch_frame){0};
        if (load_window(t, i) < loudest * quiet_share) {
            continue; /* unvoiced, so its pitch is of no interest */
        }
        autocorrelate(t);
        frames[i].voiced = is_voiced(t);
        if (frames[i].voiced) {
            normalise_difference(t);
            int period = find_period(t->difference);
            frames[i].f0_hz = UT_PITCH_RATE_HZ / (period + parabola_shift(t->difference, period));
        }
    }
}

utter_status ut_pitch_track(struct ut_mem *mem, const float *samples, size_t n,
                            struct ut_pitch_frame *frames, utter_error *err) {
    struct tracker *t = ut_mem_calloc(mem, UT_MEM_OTHER, 1, sizeof *t);
    if (!t) {
        return ut_fail_memory(err, sizeof *t);
    }
    utter_status status = ut_fft_open(&t->fft, mem, 2 * WINDOW, err);
    if (status == UTTER_OK) {
        t->samples = samples;
        t->n = n;
        track(t, frames);
        ut_fft_close(&t->fft);
    }
    ut_mem_free(mem, t);
    return status;
}
