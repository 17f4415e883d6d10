/* Convolutions with modulated input and statistics of the output against their formulas in double,
 * in narrow arithmetic against one convolution of all rows (tests/compute/narrow.c has the
 * definition): strides, dilations, padding on either side, pitches, residuals, every level, 1 and 3
 * threads with the same bits. With rows in bfloat16 against the same in floats. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compute/narrow.h"
#include "compute/rng.h"
#include "compute/time_conv.h"
#include "support/failing_allocator.h"
#include "support/voice_builder.h"

enum { MARGIN = 3, GUARD = 123456, ZERO = 43 };

struct shape {
    int n_in, n_out, n_taps, stride, dilation, pad, n_in_rows, n_rows;
    bool modulated, snake, residual;
};

static const struct shape shapes[] = {
    {5, 7, 3, 1, 1, 1, 9, 9, true, true, true},
    {128, 128, 11, 1, 5, 25, 700, 700, true, true, true}, /* several blocks */
    {33, 300, 3, 1, 1, 1, 50, 50, true, false, false},    /* several groups of channels */
    {22, 16, 12, 6, 1, 3, 121, 20, false, false, false},  /* the noise branch */
    {8, 6, 2, 1, 1, 1, 30, 30, true, false, false},  /* a phase of an upsampling, rows before */
    {8, 6, 2, 1, 1, 0, 30, 30, true, false, false},  /* and rows behind the end */
    {16, 9, 1, 1, 1, 0, 40, 40, false, false, true}, /* read in place */
    {1, 1, 3, 2, 1, 1, 10, 5, false, false, false},
    {1090, 70, 3, 1, 1, 1, 60, 60, true, false, true},
    {4, 4, 1, 1, 1, -1, 6, 6, false, false, false}, /* starts behind the first row */
    {4, 4, 3, 1, 1, 1, 1, 1, true, true, true},
};

struct data {
    float *x, *w, *bias, *scale, *shift, *alpha, *inv_alpha, *add, *add2, *y;
    struct ut_layer layer;
};

static float *random_values(uint32_t stream, size_t n) {
    float *x = test_alloc((n + 1) * sizeof *x);
    ut_rng_normal(11, stream, 0, x, n);
    return x;
}

static void make_data(const struct ut_compute *compute, struct ut_arena *arena,
                      const struct shape *s, struct data *d) {
    size_t n_in = (size_t)s->n_in, n_out = (size_t)s->n_out, n_w = n_in * n_out * (size_t)s->n_taps;
    d->x = random_values(1, (size_t)s->n_in_rows * (n_in + MARGIN));
    d->w = random_values(2, n_w);
    d->bias = random_values(3, n_out);
    d->scale = random_values(4, n_in);
    d->shift = random_values(5, n_in);
    d->alpha = random_values(6, n_in);
    d->inv_alpha = random_values(6, n_in);
    d->add = random_values(7, (size_t)s->n_rows * (n_out + MARGIN));
    d->add2 = random_values(8, (size_t)s->n_rows * (n_out + MARGIN));
    d->y = random_values(9, (size_t)s->n_rows * (n_out + MARGIN));
    for (size_t c = 0; c < n_in; c++) {
        d->alpha[c] = fabsf(d->alpha[c]) + 0.2f;
        d->inv_alpha[c] = 1 / d->alpha[c];
    }
    for (size_t i = 0; i < (size_t)s->n_rows * (n_out + MARGIN); i++) {
        d->y[i] = GUARD;
    }
    struct ut_tensor weight = {.name = "weight",
                               .type = UT_F32,
                               .n_dims = 3,
                               .dims = {n_out, n_in, (uint64_t)s->n_taps, 1},
                               .data = d->w,
                               .n_bytes = n_w * sizeof(float)};
    struct ut_tensor bias = {.name = "bias",
                             .type = UT_F32,
                             .n_dims = 1,
                             .dims = {n_out, 1, 1, 1},
                             .data = d->bias,
                             .n_bytes = n_out * sizeof(float)};
    struct ut_layer_source source = ut_layer_source_conv(&weight, &bias);
    assert_int_equal(ut_time_conv_pack(compute, arena, &source, ZERO, &d->layer, NULL), UTTER_OK);
}

static void free_data(struct data *d) {
    float *const all[] = {d->x,     d->w,         d->bias, d->scale, d->shift,
                          d->alpha, d->inv_alpha, d->add,  d->add2,  d->y};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        free(all[i]);
    }
}

static struct ut_time_conv op_of(const struct shape *s, const struct data *d,
                                 const struct ut_modulation *modulation,
                                 struct ut_moments *moments) {
    return (struct ut_time_conv){.x = d->x,
                                 .x_row = s->n_in + MARGIN,
                                 .n_in_rows = s->n_in_rows,
                                 .modulation = s->modulated ? modulation : NULL,
                                 .stride = s->stride,
                                 .dilation = s->dilation,
                                 .pad = s->pad,
                                 .add = s->residual ? d->add : NULL,
                                 .add_row = s->n_out + MARGIN,
                                 .add2 = s->residual ? d->add2 : NULL,
                                 .add2_row = s->n_out + MARGIN,
                                 .out_scale = 0.75f,
                                 .y = d->y,
                                 .y_row = s->n_out + MARGIN,
                                 .n_rows = s->n_rows,
                                 .moments = moments};
}

static double input_at(const struct shape *s, const struct data *d, int row, int c) {
    if (row < 0 || row >= s->n_in_rows) {
        return 0;
    }
    double v = (double)d->x[row * (s->n_in + MARGIN) + c];
    if (!s->modulated) {
        return v;
    }
    v = v * (double)d->scale[c] + (double)d->shift[c];
    if (s->snake) {
        double sine = sin((double)d->alpha[c] * v);
        return v + sine * sine / (double)d->alpha[c];
    }
    return v > 0 ? v : 0.2 * v;
}

/* The formula, and the sum of magnitudes that bounds its error in f32. */
static double expected_at(const struct shape *s, const struct data *d, int t, int o, double *size) {
    double sum = (double)d->bias[o];
    *size = fabs(sum);
    for (int k = 0; k < s->n_taps; k++) {
        for (int c = 0; c < s->n_in; c++) {
            double product = input_at(s, d, t * s->stride + k * s->dilation - s->pad, c) *
                             (double)d->w[(o * s->n_in + c) * s->n_taps + k];
            sum += product;
            *size += fabs(product);
        }
    }
    int at = t * (s->n_out + MARGIN) + o;
    return (sum + (s->residual ? (double)d->add[at] + (double)d->add2[at] : 0)) * 0.75;
}

static void check_values(const struct shape *s, const struct data *d) {
    int step = s->n_in * s->n_taps > 1000 ? 7 : 1; /* of rows: the formula is slow */
    for (int t = 0; t < s->n_rows; t += step) {
        for (int o = 0; o < s->n_out; o += step) {
            double size, expected = expected_at(s, d, t, o, &size);
            double found = (double)d->y[t * (s->n_out + MARGIN) + o];
            assert_true(fabs(found - expected) <= 2e-6 * size + 1e-6);
        }
        for (int m = 0; m < MARGIN; m++) {
            assert_true(d->y[t * (s->n_out + MARGIN) + s->n_out + m] == GUARD);
        }
    }
}

/* The input of a shape as narrow rows, with the rows of the padding. */
static struct ut_narrow_rows narrow_input(const struct ut_compute *compute, struct ut_arena *arena,
                                          const struct shape *s, const struct data *d,
                                          const struct ut_time_conv *op) {
    const struct ut_narrow *kind = ut_narrow_kind(compute);
    int n = (s->n_rows - 1) * s->stride + (s->n_taps - 1) * s->dilation + 1;
    int first = s->pad < 0 ? -s->pad : 0, before = s->pad > 0 ? s->pad : 0;
    struct ut_narrow_rows rows = {
        .row = (ptrdiff_t)kind->row_bytes(s->n_in), .scale_row = 1, .zero = ZERO};
    rows.data = ut_arena_alloc(arena, (size_t)n, (size_t)rows.row);
    rows.scale = ut_arena_alloc(arena, (size_t)n, sizeof *rows.scale);
    memset(rows.data, 0, (size_t)n * (size_t)rows.row);
    memset(rows.scale, 0, (size_t)n * sizeof *rows.scale);
    const struct ut_modulation *m = op->modulation;
    struct ut_modulate from = {.x = d->x + first * op->x_row,
                               .x_row = op->x_row,
                               .scale = m ? m->scale : NULL,
                               .shift = m ? m->shift : NULL,
                               .alpha = m ? m->alpha : NULL,
                               .inv_alpha = m ? m->inv_alpha : NULL,
                               .slope = m ? m->slope : 1,
                               .n_ch = s->n_in};
    int n_read = s->n_in_rows - first;
    from.n_rows = n_read < n - before ? n_read : n - before;
    struct ut_narrow_rows inner = rows;
    inner.data = (char *)rows.data + before * rows.row;
    inner.scale += before;
    kind->quantize(&from, &inner);
    return rows;
}

static void check_narrow(const struct ut_compute *compute, struct ut_arena *arena,
                         const struct shape *s, const struct data *d,
                         const struct ut_time_conv *op) {
    struct ut_narrow_rows rows = narrow_input(compute, arena, s, d, op);
    float *y = random_values(9, (size_t)s->n_rows * (size_t)(s->n_out + MARGIN));
    struct ut_narrow_conv whole = {.x = rows.data,
                                   .x_row = s->stride * rows.row,
                                   .x_tap = s->dilation * rows.row,
                                   .x_scale = rows.scale,
                                   .scale_row = s->stride,
                                   .scale_tap = s->dilation,
                                   .add = op->add,
                                   .add_row = op->add_row,
                                   .add2 = op->add2,
                                   .add2_row = op->add2_row,
                                   .scale = op->out_scale,
                                   .y = y,
                                   .y_row = op->y_row,
                                   .n_rows = s->n_rows};
    ut_narrow_conv(compute, d->layer.narrow, &whole);
    for (int t = 0; t < s->n_rows; t++) {
        ptrdiff_t at = (ptrdiff_t)t * (s->n_out + MARGIN);
        assert_memory_equal(y + at, d->y + at, (size_t)s->n_out * sizeof *y);
        for (int m = 0; m < MARGIN; m++) {
            assert_true(d->y[at + s->n_out + m] == GUARD);
        }
    }
    free(y);
}

/* Scale and shift that the statistics lead to, against two plain passes over y. */
static void check_moments(const struct shape *s, const struct data *d, const struct ut_moments *m) {
    size_t n = (size_t)s->n_out;
    float *style = random_values(12, 2 * n), *scale = test_alloc(n * sizeof *scale),
          *shift = test_alloc(n * sizeof *shift);
    ut_adain_fold(m, style, 1e-5f, scale, shift);
    for (int o = 0; o < s->n_out; o++) {
        double mean = 0, var = 0;
        for (int t = 0; t < s->n_rows; t++) {
            mean += (double)d->y[t * (s->n_out + MARGIN) + o] / s->n_rows;
        }
        for (int t = 0; t < s->n_rows; t++) {
            double delta = (double)d->y[t * (s->n_out + MARGIN) + o] - mean;
            var += delta * delta / s->n_rows;
        }
        double factor = (1 + (double)style[o]) / sqrt(var + 1e-5);
        double offset = (double)style[n + (size_t)o] - mean * factor;
        assert_true(fabs((double)scale[o] - factor) <= 1e-5 * fabs(factor) + 1e-6);
        assert_true(fabs((double)shift[o] - offset) <=
                    1e-5 * (fabs(mean * factor) + fabs(offset)) + 1e-6);
    }
    free(style);
    free(scale);
    free(shift);
}

static float *run_shape(enum ut_cpu_level level, enum ut_precision precision, int n_threads,
                        const struct shape *s) {
    struct ut_mem mem;
    struct ut_arena arena;
    struct data d;
    struct ut_moments moments, again;
    utter_error err;
    ut_mem_init(&mem, NULL);
    ut_arena_init(&arena, &mem, UT_MEM_SESSION);
    struct ut_compute compute = {.kernels = ut_kernels_get(level), .precision = precision};
    assert_int_equal(ut_pool_create(&mem, n_threads, &compute.pool, &err), UTTER_OK);
    make_data(&compute, &arena, s, &d);
    struct ut_modulation modulation = {.scale = d.scale,
                                       .shift = d.shift,
                                       .alpha = s->snake ? d.alpha : NULL,
                                       .inv_alpha = s->snake ? d.inv_alpha : NULL,
                                       .slope = 0.2f};
    struct ut_time_conv op = op_of(s, &d, &modulation, &moments);
    assert_true(ut_time_conv_run(&compute, &arena, &d.layer, &op));
    assert_true((d.layer.narrow != NULL) == (ut_narrow_kind(&compute) != NULL));
    if (d.layer.narrow) {
        check_narrow(&compute, &arena, s, &d, &op);
    } else {
        check_values(s, &d);
    }
    check_moments(s, &d, &moments);
    assert_true(ut_moments_take(&compute, &arena, d.y, false, s->n_out + MARGIN, s->n_rows,
                                s->n_out, &again));
    check_moments(s, &d, &again);
    float *y = d.y;
    d.y = NULL;
    free_data(&d);
    ut_pool_destroy(compute.pool);
    ut_arena_free(&arena);
    return y;
}

static void every_shape(enum ut_cpu_level level, enum ut_precision precision) {
    for (size_t i = 0; ut_kernels_get(level) && i < sizeof shapes / sizeof *shapes; i++) {
        float *one = run_shape(level, precision, 1, &shapes[i]);
        float *three = run_shape(level, precision, 3, &shapes[i]);
        size_t n = (size_t)shapes[i].n_rows * (size_t)(shapes[i].n_out + MARGIN);
        assert_memory_equal(one, three, n * sizeof *one);
        free(one);
        free(three);
    }
}

static void every_shape_at_every_level(void **state) {
    for (int level = 0; level < UT_CPU_N_LEVELS; level++) {
        for (int precision = UT_PRECISION_F32; precision <= UT_PRECISION_INT8; precision++) {
            every_shape((enum ut_cpu_level)level, (enum ut_precision)precision);
        }
    }
}

/* x rounded to bfloat16, and as such. */
static uint16_t *rounded(const struct ut_kernels *kernels, float *x, size_t n) {
    uint16_t *half = test_alloc((n + 1) * sizeof *half);
    kernels->f32_to_bf16(half, x, n);
    kernels->bf16_to_f32(x, half, n);
    return half;
}

/* `plain` with bfloat16 in and out: its result rounded, with the same statistics of what was not.
 */
static void check_half(const struct ut_compute *compute, struct ut_arena *arena,
                       const struct shape *s, struct data *d, const struct ut_time_conv *plain,
                       const uint16_t *const halves[3]) {
    size_t pitch = (size_t)s->n_out + MARGIN, n = (size_t)s->n_rows * pitch;
    uint16_t *found = test_alloc(n * sizeof *found), *wanted = rounded(compute->kernels, d->y, n);
    memset(found, 0x42, n * sizeof *found);
    struct ut_moments moments, again, of_floats;
    struct ut_time_conv op = *plain;
    op.x = halves[0];
    op.add = s->residual ? halves[1] : NULL;
    op.add2 = s->residual ? halves[2] : NULL;
    op.y = found;
    op.x_half = op.y_half = true;
    op.moments = &moments;
    assert_true(ut_time_conv_run(compute, arena, &d->layer, &op));
    size_t n_moments = (size_t)moments.n_blocks * (size_t)s->n_out * sizeof(float);
    assert_memory_equal(moments.mean, plain->moments->mean, n_moments);
    assert_memory_equal(moments.m2, plain->moments->m2, n_moments);
    for (size_t i = 0; i < n; i++) {
        bool inside = i % pitch < (size_t)s->n_out;
        assert_int_equal(found[i], inside ? wanted[i] : 0x4242);
    }
    assert_true(ut_moments_take(compute, arena, found, true, (ptrdiff_t)pitch, s->n_rows, s->n_out,
                                &again));
    assert_true(ut_moments_take(compute, arena, d->y, false, (ptrdiff_t)pitch, s->n_rows, s->n_out,
                                &of_floats));
    n_moments = (size_t)again.n_blocks * (size_t)s->n_out * sizeof(float);
    assert_memory_equal(again.mean, of_floats.mean, n_moments);
    assert_memory_equal(again.m2, of_floats.m2, n_moments);
    free(found);
    free(wanted);
}

static void run_half(enum ut_cpu_level level, enum ut_precision precision, int n_threads,
                     const struct shape *s) {
    struct ut_mem mem;
    struct ut_arena arena;
    struct data d;
    struct ut_moments moments;
    ut_mem_init(&mem, NULL);
    ut_arena_init(&arena, &mem, UT_MEM_SESSION);
    struct ut_compute compute = {.kernels = ut_kernels_get(level), .precision = precision};
    assert_int_equal(ut_pool_create(&mem, n_threads, &compute.pool, NULL), UTTER_OK);
    make_data(&compute, &arena, s, &d);
    size_t n_x = (size_t)s->n_in_rows * (size_t)(s->n_in + MARGIN);
    size_t n = (size_t)s->n_rows * (size_t)(s->n_out + MARGIN);
    uint16_t *halves[3] = {rounded(compute.kernels, d.x, n_x), rounded(compute.kernels, d.add, n),
                           rounded(compute.kernels, d.add2, n)};
    compute.kernels->add_f32(d.add, d.add, d.add2, n);
    struct ut_modulation modulation = {.scale = d.scale,
                                       .shift = d.shift,
                                       .alpha = s->snake ? d.alpha : NULL,
                                       .inv_alpha = s->snake ? d.inv_alpha : NULL,
                                       .slope = 0.2f};
    struct ut_time_conv op = op_of(s, &d, &modulation, &moments);
    op.add2 = NULL;
    assert_true(ut_time_conv_run(&compute, &arena, &d.layer, &op));
    check_half(&compute, &arena, s, &d, &op, (const uint16_t *const *)halves);
    for (int i = 0; i < 3; i++) {
        free(halves[i]);
    }
    free_data(&d);
    ut_pool_destroy(compute.pool);
    ut_arena_free(&arena);
}

static void rows_in_half_as_in_float(void **state) {
    static const enum ut_precision precisions[] = {UT_PRECISION_F32, UT_PRECISION_INT8};
    for (int level = 0; level < UT_CPU_N_LEVELS; level++) {
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            for (int p = 0; p < 2 && ut_kernels_get((enum ut_cpu_level)level); p++) {
                run_half((enum ut_cpu_level)level, precisions[p], 1, &shapes[i]);
                run_half((enum ut_cpu_level)level, precisions[p], 3, &shapes[i]);
            }
        }
    }
}

/* There is no narrow arithmetic for a row of so many channels: such a layer stays float. */
static void too_many_channels_stay_float(void **state) {
    static const struct shape wide = {
        UT_NARROW_MAX_CH + 1, 2, 1, 1, 1, 0, 2, 2, false, false, false};
    struct ut_mem mem;
    struct ut_arena arena;
    struct data d;
    ut_mem_init(&mem, NULL);
    ut_arena_init(&arena, &mem, UT_MEM_SESSION);
    struct ut_compute compute = {.kernels = ut_kernels_get(UT_CPU_SCALAR),
                                 .precision = UT_PRECISION_INT8};
    assert_int_equal(ut_pool_create(&mem, 1, &compute.pool, NULL), UTTER_OK);
    make_data(&compute, &arena, &wide, &d);
    assert_null(d.layer.narrow);
    struct ut_time_conv op = op_of(&wide, &d, NULL, NULL);
    assert_true(ut_time_conv_run(&compute, &arena, &d.layer, &op));
    check_values(&wide, &d);
    free_data(&d);
    ut_pool_destroy(compute.pool);
    ut_arena_free(&arena);
}

static void a_residual_is_updated_in_place(void **state) {
    struct shape s = shapes[0];
    struct ut_mem mem;
    struct ut_arena arena;
    struct data d;
    ut_mem_init(&mem, NULL);
    ut_arena_init(&arena, &mem, UT_MEM_SESSION);
    struct ut_compute compute = {.kernels = ut_kernels_get(UT_CPU_SCALAR)};
    assert_int_equal(ut_pool_create(&mem, 1, &compute.pool, NULL), UTTER_OK);
    make_data(&compute, &arena, &s, &d);
    struct ut_modulation modulation = {.scale = d.scale, .shift = d.shift, .slope = 0.2f};
    struct ut_time_conv op = op_of(&s, &d, &modulation, NULL);
    assert_true(ut_time_conv_run(&compute, &arena, &d.layer, &op));
    op.y = d.add;
    assert_true(ut_time_conv_run(&compute, &arena, &d.layer, &op));
    for (int t = 0; t < s.n_rows; t++) {
        ptrdiff_t at = (ptrdiff_t)t * (s.n_out + MARGIN);
        assert_memory_equal(d.add + at, d.y + at, (size_t)s.n_out * sizeof(float));
    }
    free_data(&d);
    ut_pool_destroy(compute.pool);
    ut_arena_free(&arena);
}

static void no_rows_and_no_memory(void **state) {
    struct failing_allocator failing;
    struct ut_mem mem, scarce;
    struct ut_arena arena, empty;
    struct data d;
    struct ut_moments moments;
    ut_mem_init(&mem, NULL);
    ut_arena_init(&arena, &mem, UT_MEM_SESSION);
    utter_allocator allocator = failing_allocator_start(&failing);
    ut_mem_init(&scarce, &allocator);
    ut_arena_init(&empty, &scarce, UT_MEM_SESSION);
    struct ut_compute compute = {.kernels = ut_kernels_get(UT_CPU_SCALAR)};
    assert_int_equal(ut_pool_create(&mem, 1, &compute.pool, NULL), UTTER_OK);
    make_data(&compute, &arena, &shapes[3], &d);
    struct ut_time_conv op = op_of(&shapes[3], &d, NULL, NULL);
    failing_allocator_reset(&failing, 1, false);
    assert_false(ut_time_conv_run(&compute, &empty, &d.layer, &op));
    failing_allocator_reset(&failing, 1, false);
    op.moments = &moments;
    assert_false(ut_time_conv_run(&compute, &empty, &d.layer, &op));
    /* There is a block for the statistics, none for the floats of 80 rows. */
    failing_allocator_reset(&failing, 0, false);
    assert_non_null(ut_arena_alloc(&empty, 1, 1));
    failing_allocator_reset(&failing, 1, true);
    assert_false(ut_moments_take(&compute, &empty, d.y, true, 0, 300, 400, &moments));
    op.n_rows = 0;
    op.moments = NULL;
    assert_true(ut_time_conv_run(&compute, &arena, &d.layer, &op));
    assert_true(d.y[0] == GUARD);
    free_data(&d);
    ut_pool_destroy(compute.pool);
    ut_arena_free(&arena);
    ut_arena_free(&empty);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_shape_at_every_level),
        cmocka_unit_test(rows_in_half_as_in_float),
        cmocka_unit_test(too_many_channels_stay_float),
        cmocka_unit_test(a_residual_is_updated_in_place),
        cmocka_unit_test(no_rows_and_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
