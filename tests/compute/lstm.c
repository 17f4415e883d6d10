/* The bidirectional LSTM against its formulas in double: odd sizes, more rows than a block holds,
 * every processor level and weight type, 1 and 3 threads with the same bits, and no memory. */
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
#include "base/half_float.h"
#include "support/failing_allocator.h"
#include "support/voice_builder.h"

enum { MARGIN = 3 }; /* floats behind every row that must be left alone */

struct size {
    int n_in, n_hidden, n_rows;
};

/* What one LSTM is made of, as torch stores it. */
struct parameters {
    float *w_in[2], *w_hidden[2],
        *bias[2]; /* [4 n_hidden, n_in], [4 n_hidden, n_hidden], [4 n_hidden] */
};

static float *random_values(uint32_t stream, size_t n, double scale) {
    float *x = test_alloc(n * sizeof *x);
    ut_rng_normal(7, stream, 0, x, n);
    for (size_t i = 0; i < n; i++) {
        x[i] = (float)(x[i] * scale);
    }
    return x;
}

/* The 16-bit value in storage, and what it stands for back in `x`. */
static uint16_t narrow(float *x, enum ut_dtype type) {
    uint32_t bits;
    memcpy(&bits, x, sizeof bits);
    uint16_t stored = type == UT_F16 ? voice_to_half(*x) : (uint16_t)(bits >> 16);
    *x = type == UT_F16 ? ut_float_from_f16(stored) : ut_float_from_bf16(stored);
    return stored;
}

/* Packs w as `type`; w becomes what was stored. */
static struct ut_layer pack(const struct ut_compute *compute, struct ut_arena *arena, float *w,
                            const float *bias, int n_out, int n_in, enum ut_dtype type) {
    size_t n = (size_t)n_out * (size_t)n_in;
    uint16_t *stored = test_alloc(n * sizeof *stored);
    for (size_t i = 0; i < n && type != UT_F32; i++) {
        stored[i] = narrow(&w[i], type);
    }
    struct ut_tensor weight = {.name = "weight",
                               .type = type,
                               .n_dims = 3,
                               .dims = {(uint64_t)n_out, (uint64_t)n_in, 1, 1},
                               .data = type == UT_F32 ? (const void *)w : stored,
                               .n_bytes = n * ut_dtype_size(type)};
    struct ut_tensor biases = {.name = "bias",
                               .type = UT_F32,
                               .n_dims = 1,
                               .dims = {(uint64_t)n_out, 1, 1, 1},
                               .data = bias,
                               .n_bytes = (size_t)n_out * sizeof(float)};
    struct ut_layer_source source = ut_layer_source_conv(&weight, bias ? &biases : NULL);
    struct ut_layer layer;
    assert_int_equal(ut_layer_pack(compute, arena, &source, &layer, NULL), UTTER_OK);
    free(stored);
    return layer;
}

static void make(struct parameters *p, const struct size *size) {
    size_t n = (size_t)size->n_hidden;
    for (int d = 0; d < 2; d++) {
        uint32_t stream = 10 * (uint32_t)(d + 1);
        p->w_in[d] = random_values(stream, 4 * n * (size_t)size->n_in, 1 / sqrt(size->n_in));
        p->w_hidden[d] = random_values(stream + 1, 4 * n * n, 1 / sqrt(size->n_hidden));
        p->bias[d] = random_values(stream + 2, 4 * n, 0.3);
    }
}

static void free_parameters(struct parameters *p) {
    for (int d = 0; d < 2; d++) {
        free(p->w_in[d]);
        free(p->w_hidden[d]);
        free(p->bias[d]);
    }
}

static struct ut_lstm pack_lstm(const struct ut_compute *compute, struct ut_arena *arena,
                                const struct parameters *p, const struct size *size,
                                enum ut_dtype type) {
    struct ut_lstm lstm = {.n_in = size->n_in, .n_hidden = size->n_hidden};
    int n_gates = 4 * size->n_hidden;
    for (int d = 0; d < 2; d++) {
        lstm.directions[d].input =
            pack(compute, arena, p->w_in[d], p->bias[d], n_gates, size->n_in, type);
        lstm.directions[d].recurrent =
            pack(compute, arena, p->w_hidden[d], NULL, n_gates, size->n_hidden, type);
    }
    return lstm;
}

static double sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

/* One direction: y[t * y_row + j] for every row; h and c start as zeros. */
static void reference(const struct parameters *p, const struct size *size, int d, const float *x,
                      ptrdiff_t x_row, double *y, ptrdiff_t y_row) {
    int n = size->n_hidden;
    double *h = calloc((size_t)n, sizeof *h), *c = calloc((size_t)n, sizeof *c);
    double *gates = calloc(4 * (size_t)n, sizeof *gates);
    for (int i = 0; i < size->n_rows; i++) {
        int t = d ? size->n_rows - 1 - i : i;
        for (int o = 0; o < 4 * n; o++) {
            gates[o] = (double)p->bias[d][o];
            for (int k = 0; k < size->n_in; k++) {
                gates[o] += (double)p->w_in[d][o * size->n_in + k] * (double)x[t * x_row + k];
            }
            for (int k = 0; k < n; k++) {
                gates[o] += (double)p->w_hidden[d][o * n + k] * h[k];
            }
        }
        for (int j = 0; j < n; j++) {
            c[j] = sigmoid(gates[n + j]) * c[j] + sigmoid(gates[j]) * tanh(gates[2 * n + j]);
            h[j] = sigmoid(gates[3 * n + j]) * tanh(c[j]);
            y[t * y_row + j] = h[j];
        }
    }
    free(h);
    free(c);
    free(gates);
}

static void compare(const struct parameters *p, const struct size *size, const float *x,
                    ptrdiff_t x_row, const float *y, ptrdiff_t y_row) {
    int n = 2 * size->n_hidden;
    double *expected = calloc((size_t)size->n_rows * (size_t)n, sizeof *expected);
    for (int d = 0; d < 2; d++) {
        reference(p, size, d, x, x_row, expected + d * size->n_hidden, n);
    }
    for (int t = 0; t < size->n_rows; t++) {
        for (int j = 0; j < n; j++) {
            double error = fabs((double)y[t * y_row + j] - expected[(ptrdiff_t)t * n + j]);
            if (!(error < 5e-6)) {
                fail_msg("n_in %d, n_hidden %d: row %d of %d, channel %d is off by %g", size->n_in,
                         size->n_hidden, t, size->n_rows, j, error);
            }
        }
        for (int j = n; j < y_row; j++) {
            assert_true(y[t * y_row + j] == -99);
        }
    }
    free(expected);
}

static void check(enum ut_cpu_level level, struct size size, enum ut_dtype type) {
    struct ut_mem mem;
    struct ut_arena weights, scratch;
    struct ut_compute compute[2] = {{.kernels = ut_kernels_get(level)},
                                    {.kernels = ut_kernels_get(level)}};
    struct parameters p;
    ptrdiff_t x_row = size.n_in + MARGIN, y_row = 2 * size.n_hidden + MARGIN;
    size_t n_y = (size_t)(size.n_rows * y_row);
    float *x = random_values(1, (size_t)(size.n_rows * x_row), 1), *y[2];
    ut_mem_init(&mem, NULL);
    ut_arena_init(&weights, &mem, UT_MEM_OTHER);
    ut_arena_init(&scratch, &mem, UT_MEM_OTHER);
    make(&p, &size);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ut_pool_create(&mem, i == 0 ? 1 : 3, &compute[i].pool, NULL), UTTER_OK);
        struct ut_lstm lstm = pack_lstm(&compute[i], &weights, &p, &size, type);
        y[i] = test_alloc(n_y * sizeof **y);
        for (size_t k = 0; k < n_y; k++) {
            y[i][k] = -99;
        }
        assert_true(ut_lstm_run(&compute[i], &scratch, &lstm, x, x_row, y[i], y_row, size.n_rows));
        ut_pool_destroy(compute[i].pool);
    }
    assert_memory_equal(y[0], y[1], n_y * sizeof **y);
    compare(&p, &size, x, x_row, y[0], y_row);
    free(y[0]);
    free(y[1]);
    free(x);
    free_parameters(&p);
    ut_arena_free(&scratch);
    ut_arena_free(&weights);
}

static const struct size sizes[] = {{1, 1, 1}, {5, 3, 2}, {13, 7, 31}, {33, 17, 90}, {24, 16, 417}};

static void equals_its_formulas_at_every_level(void **state) {
    for (int level = 0; level < UT_CPU_N_LEVELS; level++) {
        for (size_t i = 0; ut_cpu_level_supported((enum ut_cpu_level)level) && i < 5; i++) {
            check((enum ut_cpu_level)level, sizes[i], UT_F32);
        }
    }
}

static void half_weights_are_read_as_stored(void **state) {
    for (int level = 0; level < UT_CPU_N_LEVELS; level++) {
        if (ut_cpu_level_supported((enum ut_cpu_level)level)) {
            check((enum ut_cpu_level)level, sizes[3], UT_F16);
            check((enum ut_cpu_level)level, sizes[3], UT_BF16);
        }
    }
}

static void no_rows_touch_nothing(void **state) {
    check(ut_cpu_level_best(), (struct size){4, 4, 0}, UT_F32);
}

/* Wide enough that the gates need several blocks of an arena. */
static void says_when_there_is_no_memory(void **state) {
    const struct size size = {8, 64, 200};
    struct failing_allocator failing;
    utter_allocator allocator = failing_allocator_start(&failing);
    struct ut_mem plain, mem;
    struct ut_arena weights;
    struct ut_compute compute = {.kernels = ut_kernels_get(ut_cpu_level_best())};
    struct parameters p;
    ut_mem_init(&plain, NULL);
    ut_mem_init(&mem, &allocator);
    ut_arena_init(&weights, &plain, UT_MEM_OTHER);
    assert_int_equal(ut_pool_create(&plain, 2, &compute.pool, NULL), UTTER_OK);
    make(&p, &size);
    struct ut_lstm lstm = pack_lstm(&compute, &weights, &p, &size, UT_F32);
    float *x = random_values(1, (size_t)(size.n_rows * size.n_in), 1);
    float *y = test_alloc((size_t)(size.n_rows * 2 * size.n_hidden) * sizeof *y);
    size_t fail_at = 1;
    for (bool ok = false; !ok; fail_at++) {
        struct ut_arena scratch;
        ut_arena_init(&scratch, &mem, UT_MEM_OTHER);
        failing_allocator_reset(&failing, fail_at, false);
        ok =
            ut_lstm_run(&compute, &scratch, &lstm, x, size.n_in, y, 2 * size.n_hidden, size.n_rows);
        assert_int_equal(ok, atomic_load(&failing.n_failed) == 0);
        ut_arena_free(&scratch);
        assert_int_equal(atomic_load(&failing.n_blocks), 0);
    }
    assert_true(fail_at > 3);
    free(x);
    free(y);
    free_parameters(&p);
    ut_pool_destroy(compute.pool);
    ut_arena_free(&weights);
}

/* Running twice from one arena needs no more than running once: scratch is given back. */
static void gives_its_scratch_back(void **state) {
    const struct size size = {8, 64, 200};
    struct ut_mem mem;
    struct ut_arena arena;
    struct ut_compute compute = {.kernels = ut_kernels_get(ut_cpu_level_best())};
    struct parameters p;
    ut_mem_init(&mem, NULL);
    ut_arena_init(&arena, &mem, UT_MEM_OTHER);
    assert_int_equal(ut_pool_create(&mem, 1, &compute.pool, NULL), UTTER_OK);
    make(&p, &size);
    struct ut_lstm lstm = pack_lstm(&compute, &arena, &p, &size, UT_F32);
    float *x = random_values(1, (size_t)(size.n_rows * size.n_in), 1);
    float *y = test_alloc((size_t)(size.n_rows * 2 * size.n_hidden) * sizeof *y);
    uint64_t n_after_first = 0;
    for (int i = 0; i < 3; i++) {
        assert_true(
            ut_lstm_run(&compute, &arena, &lstm, x, size.n_in, y, 2 * size.n_hidden, size.n_rows));
        n_after_first = i == 0 ? mem.n_allocations : n_after_first;
    }
    assert_int_equal(mem.n_allocations, n_after_first);
    free(x);
    free(y);
    free_parameters(&p);
    ut_pool_destroy(compute.pool);
    ut_arena_free(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_its_formulas_at_every_level),
        cmocka_unit_test(half_weights_are_read_as_stored),
        cmocka_unit_test(no_rows_touch_nothing),
        cmocka_unit_test(says_when_there_is_no_memory),
        cmocka_unit_test(gives_its_scratch_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
