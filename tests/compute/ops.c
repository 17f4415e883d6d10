/* Operations against plain loops in double, for several thread counts, whose bits must agree. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compute/compute.h"
#include "compute/rng.h"

struct fixture {
    struct ut_mem mem;
    struct ut_arena arena;
    struct ut_compute compute[3]; /* 1, 2 and 3 threads */
};

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    utter_error err;
    ut_mem_init(&f->mem, NULL);
    ut_arena_init(&f->arena, &f->mem, UT_MEM_OTHER);
    for (int i = 0; i < 3; i++) {
        f->compute[i].kernels = ut_kernels_get(ut_cpu_level_best());
        if (ut_pool_create(&f->mem, i + 1, &f->compute[i].pool, &err)) {
            return 1;
        }
    }
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    for (int i = 0; i < 3; i++) {
        ut_pool_destroy(f->compute[i].pool);
    }
    ut_arena_free(&f->arena);
    int leaked = f->mem.bytes[UT_MEM_OTHER] != 0;
    free(f);
    return leaked;
}

static float *random_values(struct fixture *f, uint32_t stream, size_t n) {
    float *x = ut_arena_alloc(&f->arena, n, sizeof *x);
    assert_non_null(x);
    ut_rng_normal(99, stream, 0, x, n);
    return x;
}

/* w and b are [n_out, n_in, n_taps] and [n_out]. */
static struct ut_layer make_layer(struct fixture *f, const float *w, const float *b, int n_out,
                                  int n_in, int n_taps, bool negate) {
    struct ut_tensor weight = {.name = "w",
                               .type = UT_F32,
                               .n_dims = 3,
                               .dims = {(uint64_t)n_out, (uint64_t)n_in, (uint64_t)n_taps, 1},
                               .data = w,
                               .n_bytes = (size_t)(n_out * n_in * n_taps) * 4};
    struct ut_tensor bias = {.name = "b",
                             .type = UT_F32,
                             .n_dims = 1,
                             .dims = {(uint64_t)n_out, 1, 1, 1},
                             .data = b,
                             .n_bytes = (size_t)n_out * 4};
    struct ut_layer_source source = ut_layer_source_conv(&weight, &bias);
    struct ut_layer layer;
    utter_error err;
    source.negate = negate;
    assert_int_equal(ut_layer_pack(&f->compute[0], &f->arena, &source, &layer, &err), UTTER_OK);
    return layer;
}

static void conv_equals_its_definition(void **state) {
    struct fixture *f = *state;
    enum { IN = 13, OUT = 37, TAPS = 5, DILATION = 3, ROWS = 101, HALO = DILATION * (TAPS - 1) };
    const float *x = random_values(f, 1, (ROWS + HALO) * IN),
                *w = random_values(f, 2, OUT * IN * TAPS);
    const float *b = random_values(f, 3, OUT), *add = random_values(f, 4, ROWS * OUT),
                *add2 = random_values(f, 5, ROWS * OUT);
    struct ut_layer layer = make_layer(f, w, b, OUT, IN, TAPS, true);
    float *y[3], *act = random_values(f, 6, ROWS * OUT);
    for (int i = 0; i < 3; i++) {
        y[i] = random_values(f, 7, ROWS * OUT);
        struct ut_conv op = {.x = x,
                             .x_row = IN,
                             .x_tap = DILATION * IN,
                             .add = add,
                             .add_row = OUT,
                             .add2 = add2,
                             .add2_row = OUT,
                             .scale = 0.5f,
                             .y = y[i],
                             .y_row = OUT,
                             .y_act = act,
                             .y_act_row = OUT,
                             .slope = 0.1f,
                             .n_rows = ROWS};
        ut_conv(&f->compute[i], &layer, &op);
        assert_memory_equal(y[0], y[i], ROWS * OUT * sizeof(float));
    }
    for (int t = 0; t < ROWS; t++) {
        for (int o = 0; o < OUT; o++) {
            double sum = -(double)b[o];
            for (int k = 0; k < TAPS; k++) {
                for (int c = 0; c < IN; c++) {
                    sum -=
                        (double)x[(t + k * DILATION) * IN + c] * (double)w[(o * IN + c) * TAPS + k];
                }
            }
            double v = (sum + (double)add[t * OUT + o] + (double)add2[t * OUT + o]) * 0.5;
            assert_true(fabs((double)y[0][t * OUT + o] - v) < 2e-5);
            assert_true(fabs((double)act[t * OUT + o] - (v > 0 ? v : 0.1 * v)) < 2e-5);
        }
    }
}

static void reject_not_finite(void **state) {
    struct fixture *f = *state;
    float w[8] = {1, 2, 3, 4, 5, NAN, 7, 8}, b[2] = {0, 0};
    struct ut_tensor weight = {.name = "dec.x",
                               .type = UT_F32,
                               .n_dims = 3,
                               .dims = {2, 4, 1, 1},
                               .data = w,
                               .n_bytes = 32};
    struct ut_tensor bias = {.name = "dec.b",
                             .type = UT_F32,
                             .n_dims = 1,
                             .dims = {2, 1, 1, 1},
                             .data = b,
                             .n_bytes = 8};
    struct ut_layer_source source = ut_layer_source_conv(&weight, &bias);
    struct ut_layer layer;
    utter_error err;
    assert_int_equal(ut_layer_pack(&f->compute[0], &f->arena, &source, &layer, &err),
                     UTTER_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "dec.x"));
    w[5] = 6;
    assert_int_equal(ut_layer_pack(&f->compute[0], &f->arena, &source, &layer, &err), UTTER_OK);
    b[1] = INFINITY;
    assert_int_equal(ut_layer_pack(&f->compute[0], &f->arena, &source, &layer, &err),
                     UTTER_ERROR_FORMAT);
    weight.type = UT_I32;
    assert_int_equal(ut_layer_pack(&f->compute[0], &f->arena, &source, &layer, &err),
                     UTTER_ERROR_UNSUPPORTED);
}

/* One row of attention with relative positions, by the paper's formulas in double. */
static void attend(const float *q, const float *k, const float *v, const float *rel_k,
                   const float *rel_v, int n, int row, int d, int w, int t, double *y) {
    double *p = calloc((size_t)n, sizeof *p), sum = 0;
    for (int j = 0; j < n; j++) {
        double s = 0;
        for (int c = 0; c < d; c++) {
            double key =
                (double)k[j * row + c] + (abs(j - t) <= w ? (double)rel_k[(j - t + w) * d + c] : 0);
            s += (double)q[t * row + c] * key;
        }
        p[j] = exp(s / sqrt(d));
        sum += p[j];
    }
    for (int c = 0; c < d; c++) {
        y[c] = 0;
        for (int j = 0; j < n; j++) {
            y[c] += p[j] / sum *
                    ((double)v[j * row + c] +
                     (abs(j - t) <= w ? (double)rel_v[(j - t + w) * d + c] : 0));
        }
    }
    free(p);
}

static void check_attention(struct fixture *f, int n, int heads, int d) {
    enum { W = 4, BAND = 2 * W + 1 };
    int row = heads * d;
    size_t size = (size_t)(n * row);
    const float *q = random_values(f, 11, size), *k = random_values(f, 12, size),
                *v = random_values(f, 13, size);
    const float *tables = random_values(f, 14, (size_t)(2 * BAND * d)), *rel_v = tables + BAND * d;
    float *transposed = random_values(f, 15, (size_t)(BAND * d)),
          *zeros = random_values(f, 15, (size_t)(d + BAND));
    memset(zeros, 0, (size_t)(d + BAND) * sizeof *zeros);
    for (int r = 0; r < BAND; r++) {
        for (int c = 0; c < d; c++) {
            transposed[c * BAND + r] = rel_v[r * d + c];
        }
    }
    struct ut_layer key = make_layer(f, tables, zeros, BAND, d, 1, false);
    struct ut_layer value = make_layer(f, transposed, zeros, d, BAND, 1, false);
    float *y[3];
    for (int i = 0; i < 3; i++) {
        y[i] = random_values(f, 16, size);
        struct ut_attention op = {q, k, v, y[i], n, heads, d, W, &key, &value};
        assert_true(ut_attention(&f->compute[i], &f->arena, &op));
        assert_memory_equal(y[0], y[i], size * sizeof(float));
    }
    double expected[64];
    for (int t = 0; t < n; t++) {
        for (int h = 0; h < heads; h++) {
            attend(q + h * d, k + h * d, v + h * d, tables, rel_v, n, row, d, W, t, expected);
            for (int c = 0; c < d; c++) {
                assert_true(fabs((double)y[0][t * row + h * d + c] - expected[c]) < 2e-5);
            }
        }
    }
}

static void attention_equals_its_definition(void **state) {
    check_attention(*state, 1, 2, 12);
    check_attention(*state, 3, 1, 5);
    check_attention(*state, 40, 2, 24);
    check_attention(*state, 300, 1, 8); /* more than one block of rows */
}

static void gelu_tanh_equals_its_formula(void **state) {
    struct fixture *f = *state;
    enum { ROWS = 53, CHANNELS = 7 };
    float *y[3];
    const float *x = random_values(f, 21, ROWS * CHANNELS);
    for (int i = 0; i < 3; i++) {
        y[i] = random_values(f, 21, ROWS * CHANNELS);
        ut_gelu_tanh(&f->compute[i], y[i], ROWS, CHANNELS);
        assert_memory_equal(y[0], y[i], ROWS * CHANNELS * sizeof(float));
    }
    for (int i = 0; i < ROWS * CHANNELS; i++) {
        double v = (double)x[i],
               inner = 0.79788456080286535588 * (v + 0.044715 * v * v * v); /* sqrt(2 / pi) */
        assert_true(fabs((double)y[0][i] - 0.5 * v * (1 + tanh(inner))) < 2e-6);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(conv_equals_its_definition, setup, teardown),
        cmocka_unit_test_setup_teardown(reject_not_finite, setup, teardown),
        cmocka_unit_test_setup_teardown(attention_equals_its_definition, setup, teardown),
        cmocka_unit_test_setup_teardown(gelu_tanh_equals_its_formula, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
