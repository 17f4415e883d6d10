/* Log-spectral distance (Gray and Markel 1976) and mel-cepstral distortion (Kubichek 1993, without
 * warping) on Hann windows of 1024 samples, every 256. Frames within 50 dB of the reference's
 * loudest count, and power below -80 dB of its highest bin counts as that much: what lies under it
 * is rounding noise, whose logarithm would outweigh the speech. Two passes: the first finds both
 * limits, so that no spectrum is kept and an hour takes no more memory than a second. */
#include "audio/spectral.h"

#include <math.h>

#include "audio/fft.h"
#include "base/checked.h"
#include "base/error.h"

/* 40 mel bands and 13 coefficients are the usual ones of mel-cepstral distortion. */
enum { FRAME = 1024, HOP = 256, N_BINS = FRAME / 2 + 1, N_MEL = 40, N_CEPSTRA = 13 };

static const double quiet_share = 1e-5, floor_share = 1e-8;

/* Some 200 kB, most of it the filters: allocated for one comparison. */
struct spectra {
    struct ut_fft fft;
    const float *signal[2]; /* reference, test: [n] */
    size_t n, n_frames;
    double window[FRAME];
    struct ut_complex z[FRAME];
    double power[2][N_BINS]; /* of the frame at hand */
    double mel[N_MEL][N_BINS];
    int mel_first[N_MEL], mel_end[N_MEL]; /* bins where a filter is not zero */
    double cosines[N_CEPSTRA][N_MEL];     /* DCT-II, scaled */
    double floor;
};

static double mel_of(double hz) {
    return 2595 * log10(1 + hz / 700);
}

static double hz_of(double mel) {
    return 700 * (pow(10, mel / 2595) - 1);
}

/* Triangles between neighbours of 42 points that are even on the mel scale, 0 Hz to half the rate.
 * Where bins are wider than a triangle it may hold none; its energy is then the floor. */
static void make_mel_filters(struct spectra *s, int32_t rate_hz) {
    double step = mel_of(rate_hz / 2.0) / (N_MEL + 1);
    for (int m = 0; m < N_MEL; m++) {
        double low = hz_of(step * m), top = hz_of(step * (m + 1)), high = hz_of(step * (m + 2));
        s->mel_first[m] = N_BINS;
        for (int k = 0; k < N_BINS; k++) {
            double hz = rate_hz / 2.0 * k / (N_BINS - 1);
            double weight = UT_MIN((hz - low) / (top - low), (high - hz) / (high - top));
            if (weight > 0) {
                s->mel[m][k] = weight;
                s->mel_first[m] = UT_MIN(s->mel_first[m], k);
                s->mel_end[m] = k + 1;
            }
        }
    }
}

/* The cosines make cepstra of amplitudes from logarithms of power, hence the 2. */
static void make_tables(struct spectra *s, int32_t rate_hz) {
    for (int i = 0; i < FRAME; i++) {
        s->window[i] = 0.5 - 0.5 * cos(2 * M_PI * i / FRAME);
    }
    for (int c = 0; c < N_CEPSTRA; c++) {
        for (int m = 0; m < N_MEL; m++) {
            s->cosines[c][m] = cos(M_PI * (c + 1) * (2 * m + 1) / (2.0 * N_MEL)) / (2 * N_MEL);
        }
    }
    make_mel_filters(s, rate_hz);
}

/* Sounds of less than a frame are filled up with silence. Two signals in one transform leak into
 * each other at -300 dB; without the test, silence has no power at all. */
static void transform(struct spectra *s, size_t frame, bool with_test) {
    for (size_t i = 0; i < FRAME; i++) {
        size_t at = frame * HOP + i;
        bool inside = at < s->n;
        s->z[i].re = inside ? s->window[i] * (double)s->signal[0][at] : 0;
        s->z[i].im = inside && with_test ? s->window[i] * (double)s->signal[1][at] : 0;
    }
    ut_fft_run(&s->fft, s->z);
    ut_fft_powers(&s->fft, s->z, s->power[0], s->power[1]);
}

/* Fills energies [n_frames] of the reference and sets the floor; returns the highest energy. */
static double measure_reference(struct spectra *s, double *energies) {
    double loudest = 0, peak = 0;
    for (size_t frame = 0; frame < s->n_frames; frame++) {
        transform(s, frame, false);
        energies[frame] = 0;
        for (int k = 0; k < N_BINS; k++) {
            energies[frame] += s->power[0][k];
            peak = UT_MAX(peak, s->power[0][k]);
        }
        loudest = UT_MAX(loudest, energies[frame]);
    }
    s->floor = peak * floor_share;
    return loudest;
}

/* The root mean square over the bins of the difference in dB. */
static double frame_lsd_db(const struct spectra *s) {
    double sum = 0;
    for (int k = 0; k < N_BINS; k++) {
        double ref = UT_MAX(s->power[0][k], s->floor), test = UT_MAX(s->power[1][k], s->floor);
        double difference_db = 10 * log10(ref / test);
        sum += difference_db * difference_db;
    }
    return sqrt(sum / N_BINS);
}

static double mel_energy(const struct spectra *s, int side, int m) {
    double sum = 0;
    for (int k = s->mel_first[m]; k < s->mel_end[m]; k++) {
        sum += s->mel[m][k] * s->power[side][k];
    }
    return UT_MAX(sum, s->floor);
}

/* 10 / ln 10 * sqrt(2 * sum of squared differences), Kubichek's scaling. */
static double frame_mcd_db(const struct spectra *s) {
    double log_ratio[N_MEL], sum = 0;
    for (int m = 0; m < N_MEL; m++) {
        log_ratio[m] = log(mel_energy(s, 0, m) / mel_energy(s, 1, m));
    }
    for (int c = 0; c < N_CEPSTRA; c++) {
        double difference = 0; /* the transform is linear: of the ratios, not of both sides */
        for (int m = 0; m < N_MEL; m++) {
            difference += s->cosines[c][m] * log_ratio[m];
        }
        sum += difference * difference;
    }
    return 10 / log(10) * sqrt(2 * sum);
}

static void compare_frames(struct spectra *s, double *energies, struct ut_spectral *out) {
    double loudest = measure_reference(s, energies), lsd_sum = 0, mcd_sum = 0;
    size_t n_counted = 0;
    for (size_t frame = 0; frame < s->n_frames; frame++) {
        if (energies[frame] > loudest * quiet_share) {
            transform(s, frame, true);
            lsd_sum += frame_lsd_db(s);
            mcd_sum += frame_mcd_db(s);
            n_counted++;
        }
    }
    out->lsd_db = n_counted ? lsd_sum / (double)n_counted : NAN;
    out->mcd_db = n_counted ? mcd_sum / (double)n_counted : NAN;
}

utter_status ut_spectral_compare(struct ut_mem *mem, const float *ref, const float *test, size_t n,
                                 int32_t rate_hz, struct ut_spectral *out, utter_error *err) {
    size_t n_frames = n < FRAME ? 1 : 1 + (n - FRAME) / HOP;
    struct spectra *s = ut_mem_calloc(mem, UT_MEM_OTHER, 1, sizeof *s);
    double *energies = ut_mem_calloc(mem, UT_MEM_OTHER, n_frames, sizeof *energies);
    utter_status status = s && energies
                              ? ut_fft_open(&s->fft, mem, FRAME, err)
                              : ut_fail_memory(err, sizeof *s + n_frames * sizeof *energies);
    if (status == UTTER_OK) {
        s->signal[0] = ref;
        s->signal[1] = test;
        s->n = n;
        s->n_frames = n_frames;
        make_tables(s, rate_hz);
        compare_frames(s, energies, out);
        ut_fft_close(&s->fft);
    }
    ut_mem_free(mem, energies);
    ut_mem_free(mem, s);
    return status;
}
