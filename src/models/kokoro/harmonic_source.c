/* The harmonic source and its short-time Fourier transform: SourceModuleHnNSF, SineGen and
 * TorchSTFT.transform of the reference.
 *
 * Sines at the multiples of F0, each of amplitude 0.1 and with noise of 0.003 (unvoiced: noise of
 * 0.1 / 3 alone), are mixed to one signal. The phase of a harmonic is known at the middle of each
 * F0 value's 300 samples and is linear between these points. It is kept as a fraction of a cycle in
 * double precision, so it stays exact in long utterances, where the reference's f32 sum of radians
 * loses a thousandth of a radian after seconds.
 *
 * The noise of the harmonics only appears in their weighted sum, which is again normal: one draw a
 * sample with the weights' Euclidean norm replaces one for each harmonic. Recorded noise is summed
 * as it is. */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "compute/rng.h"
#include "models/kokoro/kokoro_model.h"

enum { SAMPLES_PER_VALUE = 300, MAX_HARMONICS = 16, NOISE_STREAM = 1 };

#define SINE_AMPLITUDE 0.1f
#define VOICED_NOISE 0.003f
#define UNVOICED_NOISE (0.1f / 3)
#define VOICED_ABOVE_HZ 10

struct source {
    struct ut_kokoro_session *s;
    const float *w; /* of the harmonics */
    int n_harmonics, n_values;
    float noise_norm;
    const double *phase; /* [n_values][n_harmonics] in cycles, 0..1, at the middle of each value */
    /* Of each sample of a value, how many lie between the last middle of a value and its own. */
    double samples_behind[SAMPLES_PER_VALUE];
    float *out; /* [n_values * SAMPLES_PER_VALUE] */
};

/* Cycles that harmonic h gains in one sample. In f32 and wrapped, as in the reference. */
static float cycles_per_sample(const struct source *src, int value, int h) {
    float cycles = src->s->f0[value] * (float)(h + 1) / (float)UT_KOKORO_RATE_HZ;
    return cycles - floorf(cycles);
}

static double *accumulate_phase(const struct source *src) {
    size_t n = (size_t)src->n_values * (size_t)src->n_harmonics;
    double *phase = ut_arena_alloc(&src->s->arena, n, sizeof *phase);
    double now[MAX_HARMONICS] = {0};
    for (int v = 0; phase && v < src->n_values; v++) {
        for (int h = 0; h < src->n_harmonics; h++) {
            now[h] += (double)cycles_per_sample(src, v, h) * SAMPLES_PER_VALUE;
            now[h] -= floor(now[h]);
            phase[v * src->n_harmonics + h] = now[h];
        }
    }
    return phase;
}

/* Phases of harmonic h, in radians within -pi..pi, at the samples of value v: between the middles
 * of two values, at the ends of the utterance that of the nearest middle. The first half of the
 * samples lies behind the middle of the value before. */
static void phases_of(const struct source *src, int v, int h, float *radians) {
    /* In the range of a fraction of a double's integers, adding and subtracting them rounds to the
     * nearest one; where the instruction set has no rounding that beats a call of nearbyint. */
    static const double to_integer = 0x1.8p52;
    for (int half = 0; half < 2; half++) {
        int from = v - 1 + half, first = half * SAMPLES_PER_VALUE / 2;
        bool between = from >= 0 && from + 1 < src->n_values;
        double cycles = src->phase[UT_MAX(from, 0) * src->n_harmonics + h];
        double step = between ? (double)cycles_per_sample(src, from + 1, h) : 0;
        for (int i = 0; i < SAMPLES_PER_VALUE / 2; i++) {
            double at = cycles + src->samples_behind[first + i] * step;
            radians[first + i] = (float)((at - ((at + to_integer) - to_integer)) * 2 * M_PI);
        }
    }
}

/* The mixed noise of n samples from sample `first` on, of unit variance for each harmonic. */
static void draw_noise(const struct source *src, int64_t first, int n, float *noise) {
    const struct ut_kokoro_request *request = src->s->request;
    if (request->zero_noise) {
        memset(noise, 0, (size_t)n * sizeof *noise);
        return;
    }
    if (!request->noise) {
        ut_rng_normal(request->seed, NOISE_STREAM, (uint64_t)first, noise, (size_t)n);
    }
    for (int i = 0; i < n; i++) {
        const float *row = request->noise ? request->noise + (first + i) * src->n_harmonics : NULL;
        float sum = 0;
        for (int h = 0; row && h < src->n_harmonics; h++) {
            sum += row[h] * src->w[h];
        }
        noise[i] = row ? sum : noise[i] * src->noise_norm;
    }
}

/* Samples of F0 values begin..end - 1. */
static void make_samples(void *user, int begin, int end) {
    const struct source *src = user;
    const struct ut_kokoro *model = src->s->model;
    const struct ut_kernels *kernels = src->s->compute.kernels;
    float sines[SAMPLES_PER_VALUE], noise[SAMPLES_PER_VALUE];
    for (int v = begin; v < end; v++) {
        bool voiced = src->s->f0[v] > VOICED_ABOVE_HZ;
        float *out = src->out + (ptrdiff_t)v * SAMPLES_PER_VALUE;
        draw_noise(src, (int64_t)v * SAMPLES_PER_VALUE, SAMPLES_PER_VALUE, noise);
        for (int i = 0; i < SAMPLES_PER_VALUE; i++) {
            out[i] = noise[i] * (voiced ? VOICED_NOISE : UNVOICED_NOISE);
        }
        for (int h = 0; voiced && h < src->n_harmonics; h++) {
            phases_of(src, v, h, sines);
            kernels->sin_f32(sines, sines, SAMPLES_PER_VALUE);
            kernels->mul_add_f32(out, sines, SINE_AMPLITUDE * src->w[h], out, SAMPLES_PER_VALUE);
        }
        for (int i = 0; i < SAMPLES_PER_VALUE; i++) {
            out[i] += model->generator.source_b;
        }
        kernels->tanh_f32(out, out, SAMPLES_PER_VALUE);
    }
}

/* ---- Short-time Fourier transform ---------------------------------------------------------------
 */

struct transform {
    float *har; /* [n_rows, 2 * n_bins]: real and imaginary parts, then magnitudes and phases in
                   place */
    int n_bins;
};

/* The imaginary parts of the first and the last bin are zeros (of either sign in a matrix product):
 * their phase is 0 or +pi. */
static void to_polar(void *user, int begin, int end) {
    const struct transform *t = user;
    for (int row = begin; row < end; row++) {
        float *re = t->har + (ptrdiff_t)row * 2 * t->n_bins, *im = re + t->n_bins;
        im[0] = im[t->n_bins - 1] = 0;
        for (int k = 0; k < t->n_bins; k++) {
            float magnitude = sqrtf(re[k] * re[k] + im[k] * im[k]);
            im[k] = atan2f(im[k], re[k]);
            re[k] = magnitude;
        }
    }
}

/* Centred frames of the signal, reflected at both ends, as one matrix product with overlapping
 * rows. */
static utter_status transform(struct ut_kokoro_session *s, const float *signal, int n, float *har,
                              int n_rows, utter_error *err) {
    const struct ut_kokoro *model = s->model;
    int n_fft = model->config.n_fft, pad = n_fft / 2;
    float *padded = ut_arena_alloc(&s->arena, (size_t)(n + n_fft), sizeof *padded);
    if (!padded) {
        return ut_fail_memory(err, (size_t)(n + n_fft) * sizeof *padded);
    }
    memcpy(padded + pad, signal, (size_t)n * sizeof *padded);
    for (int i = 1; i <= pad; i++) {
        padded[pad - i] = signal[i];
        padded[pad + n - 1 + i] = signal[n - 1 - i];
    }
    struct ut_conv op = {.x = padded,
                         .x_row = model->config.hop,
                         .scale = 1,
                         .y = har,
                         .y_row = n_fft + 2,
                         .n_rows = n_rows};
    ut_conv(&s->compute, &model->generator.stft, &op);
    struct transform t = {har, n_fft / 2 + 1};
    ut_pool_run(s->compute.pool, n_rows, 256, to_polar, &t);
    return UTTER_OK;
}

utter_status ut_kokoro_source(struct ut_kokoro_session *s, float *har, utter_error *err) {
    const struct kokoro_generator *g = &s->model->generator;
    int n_values = 2 * s->n_frames, n = n_values * SAMPLES_PER_VALUE;
    int n_rows = n / s->model->config.hop + 1, n_bins = s->model->config.n_fft / 2 + 1;
    struct ut_arena_mark mark = ut_arena_mark(&s->arena);
    struct source src = {.s = s,
                         .w = g->source_w,
                         .n_harmonics = g->n_harmonics,
                         .n_values = n_values,
                         .out = ut_arena_alloc(&s->arena, (size_t)n, sizeof(float))};
    double norm = 0;
    for (int h = 0; h < g->n_harmonics; h++) {
        norm += (double)g->source_w[h] * (double)g->source_w[h];
    }
    src.noise_norm = (float)sqrt(norm);
    src.phase = accumulate_phase(&src);
    for (int i = 0; i < SAMPLES_PER_VALUE; i++) {
        double offset = (i + 0.5) / SAMPLES_PER_VALUE - 0.5; /* values from the middle */
        src.samples_behind[i] = (offset < 0 ? offset + 1 : offset) * SAMPLES_PER_VALUE;
    }
    if (!src.out || !src.phase) {
        return ut_fail_memory(err, (size_t)n * sizeof *src.out);
    }
    if (s->request->noise && s->request->n_noise != (size_t)n * (size_t)g->n_harmonics) {
        return ut_fail(err, UTTER_ERROR_MODEL,
                       "the recorded noise has %zu values, the durations need %zu (%d frames)",
                       s->request->n_noise, (size_t)n * (size_t)g->n_harmonics, s->n_frames);
    }
    ut_pool_run(s->compute.pool, n_values, 4, make_samples, &src);
    ut_kokoro_observe(s, "gen_har_source", src.out, 1, n, 1);
    utter_status status = transform(s, src.out, n, har, n_rows, err);
    if (status == UTTER_OK) {
        ut_kokoro_observe(s, "gen_har", har, 2 * n_bins, n_rows, 2 * n_bins);
    }
    ut_arena_rewind(&s->arena, mark);
    return status;
}
