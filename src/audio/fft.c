/* Radix 2, decimation in time (Cooley and Tukey 1965; the loops as in Numerical Recipes 12.2). A
 * library would be faster and one more package in every build: the judges of quality need nothing
 * but powers of two, two frames in one transform, and must also work in the smallest build. Ten
 * seconds of speech take 3,000 transforms, which is 0.1 s. */
#include "audio/fft.h"

#include <math.h>

#include "base/error.h"

/* Each root by its own cosine and sine: a recurrence would gather rounding errors over n / 2
 * steps. */
utter_status ut_fft_open(struct ut_fft *fft, struct ut_mem *mem, size_t n, utter_error *err) {
    *fft = (struct ut_fft){.mem = mem, .n = n};
    fft->roots = ut_mem_calloc(mem, UT_MEM_OTHER, n / 2, sizeof *fft->roots);
    if (!fft->roots) {
        return ut_fail_memory(err, n / 2 * sizeof *fft->roots);
    }
    for (size_t k = 0; k < n / 2; k++) {
        double angle = -2 * M_PI * (double)k / (double)n;
        fft->roots[k] = (struct ut_complex){cos(angle), sin(angle)};
    }
    return UTTER_OK;
}

void ut_fft_close(struct ut_fft *fft) {
    if (fft->mem) {
        ut_mem_free(fft->mem, fft->roots);
    }
    *fft = (struct ut_fft){0};
}

/* Element t goes where the bits of t, read backwards, say. */
static void reverse_bits(struct ut_complex *z, size_t n) {
    for (size_t t = 1, reversed = 0; t < n; t++) {
        size_t bit = n / 2;
        for (; reversed & bit; bit /= 2) {
            reversed ^= bit;
        }
        reversed ^= bit;
        if (t < reversed) {
            struct ut_complex kept = z[t];
            z[t] = z[reversed];
            z[reversed] = kept;
        }
    }
}

/* After each pass every group of 2 * half elements is the transform of its part; groups double
 * until one is left. The roots for a group are every step-th of those for n. */
void ut_fft_run(const struct ut_fft *fft, struct ut_complex *z) {
    size_t n = fft->n;
    reverse_bits(z, n);
    for (size_t half = 1; half < n; half *= 2) {
        size_t step = n / (2 * half);
        for (size_t start = 0; start < n; start += 2 * half) {
            struct ut_complex *low = z + start, *high = low + half;
            for (size_t k = 0; k < half; k++) {
                struct ut_complex w = fft->roots[k * step];
                struct ut_complex turned = {w.re * high[k].re - w.im * high[k].im,
                                            w.re * high[k].im + w.im * high[k].re};
                high[k] = (struct ut_complex){low[k].re - turned.re, low[k].im - turned.im};
                low[k] = (struct ut_complex){low[k].re + turned.re, low[k].im + turned.im};
            }
        }
    }
}

/* A[k] = (Z[k] + conj Z[-k]) / 2 and B[k] = (Z[k] - conj Z[-k]) / 2i. */
void ut_fft_powers(const struct ut_fft *fft, const struct ut_complex *z, double *power_a,
                   double *power_b) {
    for (size_t k = 0; k <= fft->n / 2; k++) {
        struct ut_complex p = z[k], q = z[(fft->n - k) % fft->n];
        double sum_re = p.re + q.re, sum_im = p.im + q.im;
        double diff_re = p.re - q.re, diff_im = p.im - q.im;
        power_a[k] = (sum_re * sum_re + diff_im * diff_im) / 4;
        power_b[k] = (sum_im * sum_im + diff_re * diff_re) / 4;
    }
}
