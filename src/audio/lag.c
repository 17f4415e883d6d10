/* The peak of the cross-correlation, not of its absolute value: an inverted signal is not the same
 * signal late. Blocks of the reference against the stretch of the test around each, added up as
 * spectra (overlap-save), so that the cost is n log(max_lag) and the memory that of one block. */
#include "audio/lag.h"

#include "audio/fft.h"
#include "base/checked.h"
#include "base/error.h"

enum { MIN_TRANSFORM = 4096 };

/* A block of the reference and 2 * max_lag more samples of the test fit one transform, so that no
 * lag of interest wraps around. */
struct correlator {
    struct ut_fft fft;
    const float *ref, *test;
    size_t n, max_lag;
    struct ut_complex *z, *sum; /* [fft.n] */
};

/* re: samples start..start+block of the reference, im: of the test from max_lag before them. */
static void load_block(struct correlator *c, size_t start, size_t block) {
    for (size_t i = 0; i < c->fft.n; i++) {
        size_t at = start + i;
        c->z[i].re = i < block && at < c->n ? (double)c->ref[at] : 0;
        bool inside = at >= c->max_lag && at - c->max_lag < c->n && i < block + 2 * c->max_lag;
        c->z[i].im = inside ? (double)c->test[at - c->max_lag] : 0;
    }
}

/* sum += conj(R) T, from Z = R + iT: R = (Z[k] + conj Z[-k]) / 2, T = (Z[k] - conj Z[-k]) / 2i; the
 * common factor is left out. */
static void add_cross_spectrum(struct correlator *c) {
    size_t n = c->fft.n;
    for (size_t k = 0; k < n; k++) {
        struct ut_complex p = c->z[k], q = c->z[(n - k) % n];
        struct ut_complex r = {p.re + q.re, p.im - q.im}, t = {p.im + q.im, q.re - p.re};
        c->sum[k].re += r.re * t.re + r.im * t.im;
        c->sum[k].im += r.re * t.im - r.im * t.re;
    }
}

/* Lag l is at max_lag + l of the inverse transform. Of equal ones the smallest wins. */
static ptrdiff_t highest(const struct correlator *c) {
    double best = 0;
    ptrdiff_t lag = 0;
    for (ptrdiff_t distance = 0; distance <= (ptrdiff_t)c->max_lag; distance++) {
        for (int sign = -1; sign <= 1; sign += 2) {
            size_t at = (size_t)((ptrdiff_t)c->max_lag + sign * distance);
            double here = c->sum[(c->fft.n - at) % c->fft.n].re;
            if (here > best) {
                best = here;
                lag = sign * distance;
            }
        }
    }
    return lag;
}

static bool is_silent(const float *samples, size_t n) {
    size_t i = 0;
    while (i < n && samples[i] == 0) {
        i++;
    }
    return i == n;
}

/* A transform of at least 4 * max_lag leaves a block of half of it: overlapping then costs no more
 * than twice. */
utter_status ut_lag_find(struct ut_mem *mem, const float *ref, const float *test, size_t n,
                         size_t max_lag, ptrdiff_t *lag, utter_error *err) {
    struct correlator c = {.ref = ref, .test = test, .n = n, .max_lag = max_lag};
    size_t n_transform = MIN_TRANSFORM;
    *lag = 0;
    if (is_silent(ref, n) || is_silent(test, n)) { /* rounding errors would have a peak, too */
        return UTTER_OK;
    }
    while (n_transform < 4 * max_lag) {
        n_transform *= 2;
    }
    utter_status status = ut_fft_open(&c.fft, mem, n_transform, err);
    c.z = ut_mem_calloc(mem, UT_MEM_OTHER, n_transform, sizeof *c.z);
    c.sum = ut_mem_calloc(mem, UT_MEM_OTHER, n_transform, sizeof *c.sum);
    if (status == UTTER_OK && (!c.z || !c.sum)) {
        status = ut_fail_memory(err, 2 * n_transform * sizeof *c.z);
    }
    if (status == UTTER_OK) {
        size_t block = n_transform - 2 * max_lag;
        for (size_t start = 0; start < n; start += block) {
            load_block(&c, start, block);
            ut_fft_run(&c.fft, c.z);
            add_cross_spectrum(&c);
        }
        ut_fft_run(&c.fft, c.sum);
        *lag = highest(&c);
    }
    ut_mem_free(mem, c.sum);
    ut_mem_free(mem, c.z);
    ut_fft_close(&c.fft);
    return status;
}
