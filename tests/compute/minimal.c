/* Minimal filtering against direct convolution in double: the error of each scheme in decibels, odd
 * sizes, dilations and epilogues at every level, the same bits for any number of threads and for an
 * utterance made in pieces on the grid, the choice of schemes, failing allocations. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"
#include "compute/minimal.h"
#include "compute/rng.h"
#include "support/failing_allocator.h"
#include "support/voice_builder.h"

enum { GUARD = 123456, N_THREADS = 4 };

struct fixture {
    struct ut_mem mem;
    struct ut_arena arena;
    struct ut_pool *pools[N_THREADS]; /* 1, 2, 3 and 4 threads */
};

static int setup(void **state) {
    struct fixture *f = test_alloc(sizeof *f);
    ut_mem_init(&f->mem, NULL);
    ut_arena_init(&f->arena, &f->mem, UT_MEM_SESSION);
    for (int i = 0; i < N_THREADS; i++) {
        if (ut_pool_create(&f->mem, i + 1, &f->pools[i], NULL)) {
            return 1;
        }
    }
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    for (int i = 0; i < N_THREADS; i++) {
        ut_pool_destroy(f->pools[i]);
    }
    ut_arena_free(&f->arena);
    free(f);
    return 0;
}

struct shape {
    int n_in, n_out, n_rows, dilation;
};

/* One layer by one scheme, its input and the input's pitch. */
struct filter {
    struct ut_compute compute;
    struct ut_minimal_table table;
    struct ut_layer layer;
    struct shape shape;
    int n_taps;
    ptrdiff_t pitch;
    float *w, *bias, *x;
};

static float *random_values(struct fixture *f, uint32_t stream, size_t n) {
    float *x = ut_arena_alloc(&f->arena, n, sizeof *x);
    assert_non_null(x);
    ut_rng_normal(5, stream, 0, x, n);
    return x;
}

static struct ut_layer_source source_of(struct filter *filter, struct ut_tensor tensors[2]) {
    const struct shape *s = &filter->shape;
    tensors[0] = (struct ut_tensor){
        .name = "weight",
        .type = UT_F32,
        .n_dims = 3,
        .dims = {(uint64_t)s->n_out, (uint64_t)s->n_in, (uint64_t)filter->n_taps, 1},
        .data = filter->w,
        .n_bytes = (size_t)(s->n_out * s->n_in * filter->n_taps) * 4};
    tensors[1] = (struct ut_tensor){.name = "bias",
                                    .type = UT_F32,
                                    .n_dims = 1,
                                    .dims = {(uint64_t)s->n_out, 1, 1, 1},
                                    .data = filter->bias,
                                    .n_bytes = (size_t)s->n_out * 4};
    struct ut_layer_source source = ut_layer_source_conv(&tensors[0], &tensors[1]);
    source.minimal = true;
    return source;
}

static void make_filter(struct fixture *f, enum ut_cpu_level level,
                        const struct ut_minimal_scheme *scheme, struct shape shape,
                        struct filter *out) {
    struct ut_tensor tensors[2];
    *out = (struct filter){
        .compute = {.kernels = ut_kernels_get(level), .pool = f->pools[0]},
        .table = {1, {{0, 0, scheme->n_taps, scheme}}},
        .shape = shape,
        .n_taps = scheme->n_taps,
        .pitch = shape.n_in + 3,
    };
    out->compute.minimal = &out->table;
    size_t n_in_rows = (size_t)(shape.n_rows + (scheme->n_taps - 1) * shape.dilation);
    out->w = random_values(f, 1, (size_t)(shape.n_out * shape.n_in * scheme->n_taps));
    out->bias = random_values(f, 2, (size_t)shape.n_out);
    out->x = random_values(f, 3, n_in_rows * (size_t)out->pitch);
    struct ut_layer_source source = source_of(out, tensors);
    assert_int_equal(ut_layer_pack(&out->compute, &f->arena, &source, &out->layer, NULL), UTTER_OK);
    assert_ptr_equal(out->layer.minimal->scheme, scheme);
}

static struct ut_conv op_of(const struct filter *filter, float *y) {
    return (struct ut_conv){.x = filter->x,
                            .x_row = filter->pitch,
                            .x_tap = filter->shape.dilation * filter->pitch,
                            .scale = 1,
                            .y = y,
                            .y_row = filter->shape.n_out,
                            .n_rows = filter->shape.n_rows};
}

/* The convolution's sum, and that of the magnitudes. */
static double expected(const struct filter *f, int t, int o, double *size) {
    double sum = (double)f->bias[o];
    *size = fabs(sum);
    for (int c = 0; c < f->shape.n_in; c++) {
        for (int k = 0; k < f->n_taps; k++) {
            double product = (double)f->x[(t + k * f->shape.dilation) * f->pitch + c] *
                             (double)f->w[(o * f->shape.n_in + c) * f->n_taps + k];
            sum += product;
            *size += fabs(product);
        }
    }
    return sum;
}

/* ---- Values ---------------------------------------------------------------------------------- */

static double error_db(struct fixture *f, enum ut_cpu_level level,
                       const struct ut_minimal_scheme *scheme) {
    struct filter filter;
    struct ut_arena_mark mark = ut_arena_mark(&f->arena);
    make_filter(f, level, scheme, (struct shape){128, 20, 250, 3}, &filter);
    float *y = random_values(f, 4, (size_t)(250 * 20));
    struct ut_conv op = op_of(&filter, y);
    assert_true(ut_minimal_conv(&filter.compute, &f->arena, &filter.layer, &op));
    double power = 0, error = 0, size;
    for (int t = 0; t < 250; t++) {
        for (int o = 0; o < 20; o++) {
            double want = expected(&filter, t, o, &size), off = (double)y[t * 20 + o] - want;
            power += want * want;
            error += off * off;
        }
    }
    ut_arena_rewind(&f->arena, mark);
    return 10 * log10(power / error);
}

/* Six points lose 7 dB against a direct sum, eight 15, ten 22. */
static void each_scheme_is_accurate(void **state) {
    static const double least_db[] = {122, 114, 107};
    for (int level = 0; level < UT_CPU_N_LEVELS; level++) {
        for (int i = 0; ut_kernels_get((enum ut_cpu_level)level) && i < ut_minimal_n_schemes; i++) {
            const struct ut_minimal_scheme *scheme = &ut_minimal_schemes[i];
            double db = error_db(*state, (enum ut_cpu_level)level, scheme);
            print_message("%s, %d taps, %s: %.1f dB\n", ut_cpu_level_name((enum ut_cpu_level)level),
                          scheme->n_taps, scheme->name, db);
            assert_true(db >= least_db[scheme->n_pairs - UT_FILTER_MIN_PAIRS]);
        }
    }
}

/* Every use of the epilogue at once, and in place. */
static void check_shape(struct fixture *f, enum ut_cpu_level level,
                        const struct ut_minimal_scheme *scheme, struct shape s) {
    struct filter filter;
    struct ut_arena_mark mark = ut_arena_mark(&f->arena);
    make_filter(f, level, scheme, s, &filter);
    ptrdiff_t row = s.n_out + 2;
    size_t n = (size_t)(s.n_rows * row);
    float *add = random_values(f, 6, n), *before = random_values(f, 7, n);
    float *bias = ut_arena_alloc(&f->arena, UT_MAX_PANEL + (size_t)s.n_out, sizeof *bias);
    memset(bias, 0, (UT_MAX_PANEL + (size_t)s.n_out) * sizeof *bias);
    memcpy(bias, random_values(f, 8, (size_t)s.n_out), (size_t)s.n_out * sizeof *bias);
    filter.bias = bias;
    float *first_y = NULL, *first_act = NULL;
    for (int threads = 0; threads < N_THREADS; threads++) {
        float *y = random_values(f, 7, n), *act = random_values(f, 9, n);
        for (int t = 0; t < s.n_rows; t++) {
            act[t * row + s.n_out] = GUARD;
        }
        struct ut_conv op = op_of(&filter, y);
        op.bias = bias;
        op.add = add;
        op.add2 = y;
        op.y_act = act;
        op.y_row = op.add_row = op.add2_row = op.y_act_row = row;
        op.scale = 0.5f;
        op.slope = 0.1f;
        filter.compute.pool = f->pools[threads];
        assert_true(ut_minimal_conv(&filter.compute, &f->arena, &filter.layer, &op));
        first_y = first_y ? first_y : y;
        first_act = first_act ? first_act : act;
        assert_memory_equal(y, first_y, n * sizeof *y);
        for (int t = 0; t < s.n_rows; t++) {
            assert_memory_equal(act + t * row, first_act + t * row, (size_t)s.n_out * sizeof *act);
            assert_true(act[t * row + s.n_out] == GUARD);
        }
    }
    for (int t = 0; t < s.n_rows; t++) {
        for (int o = 0; o < s.n_out; o++) {
            ptrdiff_t at = t * row + o;
            double size, want = expected(&filter, t, o, &size);
            want = (want + (double)add[at] + (double)before[at]) * 0.5;
            double bound = 2e-5 * size + 1e-6;
            assert_true(fabs((double)first_y[at] - want) <= bound);
            assert_true(fabs((double)first_act[at] - (want > 0 ? want : 0.1 * want)) <= bound);
        }
        assert_memory_equal(first_y + t * row + s.n_out, before + t * row + s.n_out,
                            2 * sizeof(float));
    }
    ut_arena_rewind(&f->arena, mark);
}

static void odd_sizes_dilations_and_epilogues(void **state) {
    static const struct shape shapes[] = {
        {5, 7, 1, 1},   {16, 33, 70, 2}, {19, 40, 131, 5},
        {3, 1, 61, 12}, {8, 70, 523, 1}, {4, 270, 90, 100},
    };
    for (int level = 0; level < UT_CPU_N_LEVELS; level++) {
        for (int i = 0; ut_kernels_get((enum ut_cpu_level)level) && i < ut_minimal_n_schemes; i++) {
            for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
                check_shape(*state, (enum ut_cpu_level)level, &ut_minimal_schemes[i], shapes[s]);
            }
        }
    }
}

static void pieces_on_the_grid_give_the_same_bits(void **state) {
    struct fixture *f = *state;
    for (int i = 0; i < ut_minimal_n_schemes; i++) {
        struct filter filter;
        make_filter(f, ut_cpu_level_best(), &ut_minimal_schemes[i], (struct shape){24, 32, 211, 3},
                    &filter);
        float *whole = random_values(f, 10, 211 * 32), *parts = random_values(f, 11, 211 * 32);
        struct ut_conv op = op_of(&filter, whole);
        assert_true(ut_minimal_conv(&filter.compute, &f->arena, &filter.layer, &op));
        int grid = ut_minimal_grid(&filter.layer) * 3;
        for (int t = 0, n; t < 211; t += n) {
            n = UT_MIN((1 + t % 2) * grid, 211 - t);
            op = op_of(&filter, parts + (ptrdiff_t)t * 32);
            op.x = filter.x + t * filter.pitch;
            op.n_rows = n;
            assert_true(ut_minimal_conv(&filter.compute, &f->arena, &filter.layer, &op));
        }
        assert_memory_equal(whole, parts, 211 * 32 * sizeof *whole);
    }
}

/* ---- Choice ---------------------------------------------------------------------------------- */

static void the_choice_follows_the_table(void **state) {
    const struct ut_minimal_scheme *f43 = ut_minimal_find(3, "F(4,3)");
    struct ut_minimal_table table = {3, {{128, 128, 3, NULL}, {0, 64, 3, f43}, {0, 0, 11, NULL}}};
    struct ut_compute compute = {.minimal = &table};
    assert_null(ut_minimal_choose(&compute, 128, 128, 3));
    assert_ptr_equal(ut_minimal_choose(&compute, 7, 64, 3), f43);
    assert_null(ut_minimal_choose(&compute, 128, 128, 11));
    assert_non_null(ut_minimal_choose(&compute, 128, 128, 7)); /* built in */
    compute.exact = true;
    assert_null(ut_minimal_choose(&compute, 7, 64, 3));
}

static void built_in_choices(void **state) {
    struct ut_compute compute = {.kernels = ut_kernels_get(UT_CPU_SCALAR)};
    for (int n_taps = 1; n_taps <= 13; n_taps++) {
        bool any = n_taps == 3 || n_taps == 5 || n_taps == 7 || n_taps == 11;
        const struct ut_minimal_scheme *scheme = ut_minimal_choose(&compute, 128, 128, n_taps);
        assert_int_equal(scheme != NULL, any);
        assert_true(!scheme || scheme->n_taps == n_taps);
    }
    assert_null(ut_minimal_choose(&compute, 4, 128, 3));
    assert_null(ut_minimal_choose(&compute, 128, 1, 3));
    assert_null(ut_minimal_choose(&compute, 1024, 1024, 3));
    assert_null(ut_minimal_find(3, "F(9,9)"));
    assert_null(ut_minimal_find(5, "F(4,3)"));
}

static void layers_that_did_not_ask_stay_plain(void **state) {
    struct fixture *f = *state;
    struct filter filter;
    struct ut_tensor tensors[2];
    struct ut_layer layer;
    make_filter(f, ut_cpu_level_best(), &ut_minimal_schemes[0], (struct shape){48, 48, 30, 1},
                &filter);
    struct ut_layer_source source = source_of(&filter, tensors);
    source.minimal = false;
    assert_int_equal(ut_layer_pack(&filter.compute, &f->arena, &source, &layer, NULL), UTTER_OK);
    assert_null(layer.minimal);
    assert_int_equal(ut_minimal_grid(&layer), 1);
    float *plain = random_values(f, 10, 30 * 48), *minimal = random_values(f, 11, 30 * 48);
    struct ut_conv op = op_of(&filter, plain);
    assert_true(ut_minimal_conv(&filter.compute, &f->arena, &layer, &op));
    op.y = minimal;
    assert_true(ut_minimal_conv(&filter.compute, &f->arena, &filter.layer, &op));
    for (int i = 0; i < 30 * 48; i++) {
        assert_true(fabsf(plain[i] - minimal[i]) < 1e-3f);
    }
}

/* ---- Memory ---------------------------------------------------------------------------------- */

static void no_memory(void **state) {
    struct fixture *f = *state;
    struct failing_allocator failing;
    utter_allocator allocator = failing_allocator_start(&failing);
    struct ut_mem scarce;
    struct ut_arena arena;
    struct filter filter;
    struct ut_tensor tensors[2];
    struct ut_layer layer;
    utter_error err;
    make_filter(f, UT_CPU_SCALAR, ut_minimal_find(11, "F(5,6)x2"), (struct shape){48, 48, 30, 1},
                &filter);
    struct ut_layer_source source = source_of(&filter, tensors);
    ut_mem_init(&scarce, &allocator);
    int n_failures = 0;
    for (utter_status status = UTTER_ERROR_MEMORY; status != UTTER_OK; n_failures++) {
        ut_arena_init(&arena, &scarce, UT_MEM_WEIGHTS);
        failing_allocator_reset(&failing, (size_t)n_failures + 1, false);
        status = ut_layer_pack(&filter.compute, &arena, &source, &layer, &err);
        assert_true(status == UTTER_OK || status == UTTER_ERROR_MEMORY);
        ut_arena_free(&arena);
        assert_int_equal(scarce.bytes[UT_MEM_WEIGHTS] + scarce.bytes[UT_MEM_OTHER], 0);
    }
    assert_true(n_failures >= 3);
    ut_arena_init(&arena, &scarce, UT_MEM_SESSION);
    float y[30 * 48];
    struct ut_conv op = op_of(&filter, y);
    failing_allocator_reset(&failing, 1, false);
    assert_false(ut_minimal_conv(&filter.compute, &arena, &filter.layer, &op));
    ut_arena_free(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_scheme_is_accurate),
        cmocka_unit_test(odd_sizes_dilations_and_epilogues),
        cmocka_unit_test(pieces_on_the_grid_give_the_same_bits),
        cmocka_unit_test(the_choice_follows_the_table),
        cmocka_unit_test(built_in_choices),
        cmocka_unit_test(layers_that_did_not_ask_stay_plain),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
