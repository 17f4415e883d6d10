/* Layers in narrow arithmetic against the plain definition, at every level and for several thread
 * counts, whose bits must agree. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"
#include "compute/narrow.h"
#include "compute/rng.h"

enum { N_IN = 13, N_OUT = 70, N_TAPS = 3, N_ROWS = 60, DILATION = 2, N_LEVELS = UT_CPU_N_LEVELS };
enum { N_IN_ROWS = N_ROWS + (N_TAPS - 1) * DILATION };

struct fixture {
    struct ut_mem mem;
    struct ut_arena arena;
    struct ut_compute compute;
    float x[N_IN_ROWS * N_IN], w[N_OUT * N_IN * N_TAPS], b[N_OUT];
    float y[N_ROWS * N_OUT];
    struct ut_narrow_rows q; /* of the leaky ReLU of y */
};

static void setup(struct fixture *f, enum ut_cpu_level level, int n_threads) {
    utter_error err;
    memset(f, 0, sizeof *f);
    ut_mem_init(&f->mem, NULL);
    ut_arena_init(&f->arena, &f->mem, UT_MEM_OTHER);
    f->compute.kernels = ut_kernels_get(level);
    f->compute.precision = UT_PRECISION_INT8;
    assert_int_equal(ut_pool_create(&f->mem, n_threads, &f->compute.pool, &err), UTTER_OK);
    ut_rng_normal(7, 1, 0, f->x, N_IN_ROWS * N_IN);
    ut_rng_normal(7, 2, 0, f->w, N_OUT * N_IN * N_TAPS);
    ut_rng_normal(7, 3, 0, f->b, N_OUT);
    memset(f->x + N_IN, 0, N_IN * sizeof *f->x); /* a row of zeros has no scale */
}

static void teardown(struct fixture *f) {
    ut_pool_destroy(f->compute.pool);
    ut_arena_free(&f->arena);
    assert_int_equal(f->mem.bytes[UT_MEM_OTHER], 0);
}

static struct ut_tensor tensor_of(float *values) {
    return (struct ut_tensor){.name = "w",
                              .type = UT_F32,
                              .n_dims = 3,
                              .dims = {N_OUT, N_IN, N_TAPS, 1},
                              .data = values,
                              .n_bytes = (size_t)N_OUT * N_IN * N_TAPS * sizeof *values};
}

static struct ut_narrow_rows rows_new(struct fixture *f, int n_rows, int n_ch, int zero) {
    const struct ut_narrow *kind = f->compute.kernels->i8;
    struct ut_narrow_rows rows = {
        .row = (ptrdiff_t)kind->row_bytes(n_ch), .scale_row = 1, .zero = zero};
    rows.data = ut_arena_alloc(&f->arena, (size_t)n_rows * (size_t)rows.row, 1);
    rows.scale = ut_arena_alloc(&f->arena, (size_t)n_rows, sizeof(float));
    assert_non_null(rows.data);
    assert_non_null(rows.scale);
    return rows;
}

static void run(struct fixture *f) {
    const struct ut_narrow *kind = ut_narrow_kind(&f->compute);
    struct ut_tensor weight = tensor_of(f->w);
    struct ut_tensor bias = {.name = "b",
                             .type = UT_F32,
                             .n_dims = 1,
                             .dims = {N_OUT, 1, 1, 1},
                             .data = f->b,
                             .n_bytes = sizeof f->b};
    struct ut_layer_source source = ut_layer_source_conv(&weight, &bias);
    struct ut_narrow_layer layer;
    utter_error err;
    assert_int_equal(
        ut_narrow_pack(&f->compute, kind, &f->arena, &source, UT_NARROW_ZERO_EVEN, &layer, &err),
        UTTER_OK);
    struct ut_narrow_rows x = rows_new(f, N_IN_ROWS, N_IN, UT_NARROW_ZERO_EVEN);
    f->q = rows_new(f, N_ROWS, N_OUT, UT_NARROW_ZERO_LEAKY);
    struct ut_modulate from = {
        .x = f->x, .x_row = N_IN, .slope = 1, .n_rows = N_IN_ROWS, .n_ch = N_IN};
    ut_narrow_quantize(&f->compute, kind, &from, &x);
    struct ut_narrow_conv op = {.x = x.data,
                                .x_row = x.row,
                                .x_tap = DILATION * x.row,
                                .x_scale = x.scale,
                                .scale_row = 1,
                                .scale_tap = DILATION,
                                .scale = 0.5f,
                                .y = f->y,
                                .y_row = N_OUT,
                                .slope = 0.1f,
                                .q = f->q,
                                .n_rows = N_ROWS};
    ut_narrow_conv(&f->compute, &layer, &op);
}

/* ---- The definition of kernels/narrow.h in plain words ---- */

static float x_scale_of(const float *row) {
    float high = 0, low = 0;
    for (int c = 0; c < N_IN; c++) {
        high = fmaxf(high, row[c]);
        low = fminf(low, row[c]);
    }
    return fmaxf(high / 127, -low / 128);
}

static float plain_output(const struct fixture *f, int t, int o) {
    const float *w = f->w + o * N_IN * N_TAPS;
    float largest = 0, s = 0;
    for (int i = 0; i < N_IN * N_TAPS; i++) {
        largest = fmaxf(largest, fabsf(w[i]));
    }
    float w_scale = largest / 127;
    for (int k = 0; k < N_TAPS; k++) {
        const float *row = f->x + (t + k * DILATION) * N_IN;
        float scale = x_scale_of(row);
        int dot = 0;
        for (int c = 0; c < N_IN && scale > 0; c++) {
            dot += (int)rintf(row[c] * (1 / scale)) * (int)rintf(w[c * N_TAPS + k] / w_scale);
        }
        s = fmaf(scale, (float)dot, s);
    }
    return fmaf(s, w_scale, f->b[o]) * 0.5f;
}

static void test_matches_the_definition(void **state) {
    static struct fixture f;
    for (int level = 0; level < N_LEVELS; level++) {
        if (!ut_cpu_level_supported((enum ut_cpu_level)level)) {
            continue;
        }
        setup(&f, (enum ut_cpu_level)level, 2);
        run(&f);
        for (int t = 0; t < N_ROWS; t++) {
            for (int o = 0; o < N_OUT; o++) {
                assert_float_equal(f.y[t * N_OUT + o], plain_output(&f, t, o), 0);
            }
        }
        teardown(&f);
    }
}

/* The rounding error of 8 bits, against the convolution in double. */
static void test_is_close_to_float(void **state) {
    static struct fixture f;
    double signal = 0, noise = 0;
    setup(&f, ut_cpu_level_best(), 1);
    run(&f);
    for (int t = 0; t < N_ROWS; t++) {
        for (int o = 0; o < N_OUT; o++) {
            double sum = (double)f.b[o];
            for (int k = 0; k < N_TAPS; k++) {
                for (int c = 0; c < N_IN; c++) {
                    sum += (double)f.x[(t + k * DILATION) * N_IN + c] *
                           (double)f.w[(o * N_IN + c) * N_TAPS + k];
                }
            }
            double error = 0.5 * sum - (double)f.y[t * N_OUT + o];
            signal += 0.25 * sum * sum;
            noise += error * error;
        }
    }
    assert_true(10 * log10(signal / noise) > 38);
    teardown(&f);
}

static void test_threads_do_not_matter(void **state) {
    static struct fixture one, f;
    setup(&one, ut_cpu_level_best(), 1);
    run(&one);
    size_t row = one.compute.kernels->i8->row_bytes(N_OUT);
    for (int n = 2; n <= 4; n++) {
        setup(&f, ut_cpu_level_best(), n);
        run(&f);
        assert_memory_equal(one.y, f.y, sizeof one.y);
        assert_memory_equal(one.q.scale, f.q.scale, N_ROWS * sizeof(float));
        for (int t = 0; t < N_ROWS; t++) {
            assert_memory_equal((char *)one.q.data + t * one.q.row, (char *)f.q.data + t * f.q.row,
                                row);
        }
        teardown(&f);
    }
    teardown(&one);
}

static void test_errors_name_the_tensor(void **state) {
    static struct fixture f;
    utter_error err = {0};
    struct ut_narrow_layer layer;
    setup(&f, UT_CPU_SCALAR, 1);
    f.w[5] = INFINITY;
    struct ut_tensor weight = tensor_of(f.w);
    struct ut_layer_source source = ut_layer_source_conv(&weight, NULL);
    assert_int_equal(ut_narrow_pack(&f.compute, f.compute.kernels->i8, &f.arena, &source,
                                    UT_NARROW_ZERO_EVEN, &layer, &err),
                     UTTER_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "tensor w holds a value that is not finite"));
    source.n_in = UT_NARROW_MAX_CH + 1;
    assert_int_equal(ut_narrow_pack(&f.compute, f.compute.kernels->i8, &f.arena, &source,
                                    UT_NARROW_ZERO_EVEN, &layer, &err),
                     UTTER_ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "4097 input channels"));
    teardown(&f);
}

/* What is not finite must be seen behind the convolution, not rounded away. */
static void test_nan_is_kept(void **state) {
    static struct fixture f;
    setup(&f, ut_cpu_level_best(), 1);
    f.x[20 * N_IN] = NAN;
    f.x[40 * N_IN + 3] = -INFINITY;
    run(&f);
    for (int t = 0; t < N_ROWS; t++) {
        int d20 = 20 - t, d40 = 40 - t;
        bool touched = d20 == 0 || d20 == 2 || d20 == 4 || d40 == 0 || d40 == 2 || d40 == 4;
        assert_int_equal(isnan(f.y[t * N_OUT]), touched);
        assert_int_equal(isnan(f.q.scale[t]), touched);
    }
    teardown(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matches_the_definition),
        cmocka_unit_test(test_is_close_to_float),
        cmocka_unit_test(test_threads_do_not_matter),
        cmocka_unit_test(test_errors_name_the_tensor),
        cmocka_unit_test(test_nan_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
