/* The fast Fourier transform of one power of two, complex, in double. Two real signals share one
 * transform: put one into re and the other into im, and take them apart with ut_fft_powers. */
#ifndef UT_AUDIO_FFT_H
#define UT_AUDIO_FFT_H

#include "base/mem.h"

struct ut_complex {
    double re, im;
};

/* Shared by any number of transforms, also from several threads. */
struct ut_fft {
    struct ut_mem *mem;
    size_t n;
    struct ut_complex *roots; /* [n / 2]: exp(-2 pi i k / n) */
};

/* `n` is a power of two, at least 2. Read-only afterwards. */
UTTER_CHECKED utter_status ut_fft_open(struct ut_fft *fft, struct ut_mem *mem, size_t n,
                                       utter_error *err);
void ut_fft_close(struct ut_fft *fft); /* also of one that is all zeros, or failed to open */

/* Z[k] = sum over t of z[t] exp(-2 pi i k t / n), in place, z is [n]. The inverse is the same
 * transform read backwards: z[t] = Z'[(n - t) % n] / n. */
void ut_fft_run(const struct ut_fft *fft, struct ut_complex *z);

/* Of a transform z of a[t] + i b[t] with real a and b: |A[k]|^2 and |B[k]|^2 for k = 0..n/2. */
void ut_fft_powers(const struct ut_fft *fft, const struct ut_complex *z, double *power_a,
                   double *power_b);

#endif
