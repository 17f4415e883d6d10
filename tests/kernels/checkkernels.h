/* What the files of checkkernels share: the state of a run, guarded buffers, random inputs and the
 * comparison with a reference in double. Single-threaded. */
#ifndef CHECKKERNELS_H
#define CHECKKERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* Half the distance from 1 to the next float: the relative error of one rounding. */
#define UNIT 0x1p-24
#define SMALLEST 0x1p-149 /* the distance between subnormal floats */

/* One entry of one level under test. */
struct check {
    const struct ut_kernels *table;
    const char *entry;
    uint64_t state;  /* of the random generator */
    char where[200]; /* the case at hand, for messages */
    long n_compared;
    int n_failed; /* only the first few are printed */
    double worst; /* largest error seen, as a share of its bound */
};

void check_case(struct check *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
void check_fail(struct check *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* |got - want| <= bound. NaN must meet NaN, and infinity the same infinity. Where a finite `want`
 * is beyond the floats, it and an infinite `got` count as 2^128. i and j say where the element is.
 */
void check_close(struct check *c, float got, double want, double bound, long i, long j);
/* Equal bits, or both NaN. */
void check_same(struct check *c, float got, float want, long i, long j, const char *what);

double ulp_of(double x); /* distance between floats around x */

uint64_t random_bits(struct check *c);
int random_int(struct check *c, int low, int high); /* both included */
float random_value(struct check *c);                /* -1..1 */
/* Now and then a zero, subnormal, infinity or NaN; random_value otherwise. */
float random_special(struct check *c);
/* Any float: every exponent as likely as another. */
float random_any(struct check *c);
void fill_random(struct check *c, float *p, size_t n);

/* A buffer whose end lies against a page that faults, with an unreadable page before it too; what
 * lies between is a pattern (a NaN as a float). */
struct block {
    void *data;
    size_t n_bytes;
    unsigned char *map;
    size_t map_bytes;
};

struct block block_make(size_t n_bytes, size_t alignment);
struct block block_floats(size_t n); /* at 4-byte alignment, filled with the pattern */
void block_free(struct block *b);
void block_fill_pattern(struct block *b);
/* Fails unless every float outside the rectangle n_rows x width at the block's start is untouched.
 */
void check_outside(struct check *c, const struct block *b, ptrdiff_t row, int n_rows, int width);

/* Floats from the first to the last element of a rectangle; 0 when it is empty. */
size_t span(int n_rows, ptrdiff_t row, int width);

/* Splits 0..n into random pieces: the end of the piece that starts at i. */
int next_split(struct check *c, int i, int n);

void check_conv_f32(struct check *c);
void check_conv_f16(struct check *c);
void check_conv_bf16(struct check *c);
void check_conv_i8(struct check *c);
void check_quantize_i8(struct check *c);
void check_conv_b16(struct check *c);
void check_quantize_b16(struct check *c);
void check_filter_in(struct check *c);
void check_filter_out(struct check *c);
void check_depthwise(struct check *c);
void check_dot_rows(struct check *c);
void check_layernorm(struct check *c);
void check_softmax(struct check *c);
void check_gate(struct check *c);
void check_spline(struct check *c);
void check_modulate(struct check *c);
void check_moments(struct check *c);
void check_lstm_cell(struct check *c);
void check_leaky_relu(struct check *c);
void check_gelu(struct check *c);
void check_gelu_tanh(struct check *c);
void check_sin(struct check *c);
void check_cos(struct check *c);
void check_tanh(struct check *c);
void check_sigmoid(struct check *c);
void check_exp(struct check *c);
void check_add(struct check *c);
void check_sub(struct check *c);
void check_mul_add(struct check *c);
void check_f16_to_f32(struct check *c);
void check_bf16_to_f32(struct check *c);
void check_f32_to_bf16(struct check *c);

/* The convolutions of the models. */
struct conv_shape {
    const char *name;
    int n_in, n_out, n_taps, dilation;
    int n_rows;   /* for timing */
    int y_stride; /* output rows between two of these: phases of a transposed convolution */
};
extern const struct conv_shape conv_shapes[];
extern const int n_conv_shapes;

/* Prints throughput of the entries whose name contains `only` (NULL: all) at this level. */
void bench_level(const struct ut_kernels *table, const char *only);

/* The same for its tables of narrow arithmetic. */
void bench_narrow(const struct ut_kernels *table, const char *only);

/* Of the benchmarks: seconds of a typical call, a name against the asked part of one, and memory
 * that the caller frees. */
double typical_seconds(void (*call)(void *arg), void *arg);
bool bench_wanted(const char *name, const char *only);
void *bench_zeros(size_t n_bytes);
float *bench_floats(struct check *c, size_t n);

#endif
