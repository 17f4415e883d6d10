/* Stages, weights that count once, and what each operation counts of itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "compute/narrow.h"
#include "compute/time_conv.h"

static void test_stages(void **state) {
    static struct ut_tally tally;
    char weights[4];
    ut_tally_reset(&tally);
    ut_tally_count(&tally, UT_TALLY_F32, 5, weights, 7); /* in no stage */
    ut_tally_begin(&tally, "one");
    ut_tally_count(&tally, UT_TALLY_F32, 10, &weights[0], 100);
    ut_tally_count(&tally, UT_TALLY_INT8, 20, &weights[0], 100);
    ut_tally_begin(&tally, "two");
    ut_tally_count(&tally, UT_TALLY_BF16, 30, &weights[1], 50);
    ut_tally_begin(&tally, "one");
    ut_tally_count(&tally, UT_TALLY_F32, 1, NULL, 9);
    ut_tally_begin(&tally, NULL);
    ut_tally_count(&tally, UT_TALLY_F32, 5, weights, 7);
    assert_int_equal(tally.n_stages, 2);
    const struct ut_tally_stage *one = &tally.stages[0], *two = &tally.stages[1];
    assert_string_equal(one->name, "one");
    assert_int_equal(one->n_macs[UT_TALLY_F32], 11);
    assert_int_equal(one->n_macs[UT_TALLY_INT8], 20);
    assert_int_equal(one->weight_bytes, 100);
    assert_int_equal(two->n_macs[UT_TALLY_BF16], 30);
    assert_int_equal(two->weight_bytes, 50);
    assert_true(one->wall_s > 0 && one->cpu_s >= 0 && two->wall_s > 0);
    ut_tally_begin_unit(&tally);
    ut_tally_begin(&tally, "two");
    ut_tally_count(&tally, UT_TALLY_F32, 0, &weights[1], 50);
    assert_int_equal(two->weight_bytes, 100);
    ut_tally_reset(&tally);
    assert_int_equal(tally.n_stages, 0);
    assert_null(tally.current);
}

static void test_no_tally(void **state) {
    ut_tally_reset(NULL);
    ut_tally_begin_unit(NULL);
    ut_tally_begin(NULL, "one");
    ut_tally_count(NULL, UT_TALLY_F32, 1, NULL, 0);
}

static void test_limits(void **state) {
    static struct ut_tally tally;
    static char names[UT_TALLY_MAX_STAGES + 1][8], weights[2 * UT_TALLY_MAX_SEEN];
    ut_tally_reset(&tally);
    for (int i = 0; i <= UT_TALLY_MAX_STAGES; i++) {
        snprintf(names[i], sizeof names[i], "%d", i);
        ut_tally_begin(&tally, names[i]);
        ut_tally_count(&tally, UT_TALLY_F32, 1, NULL, 0);
    }
    assert_int_equal(tally.n_stages, UT_TALLY_MAX_STAGES);
    assert_int_equal(tally.stages[UT_TALLY_MAX_STAGES - 1].n_macs[UT_TALLY_F32], 1);
    /* More layers than the table holds: the first ones are known, the others count each time. */
    ut_tally_reset(&tally);
    ut_tally_begin(&tally, "many");
    for (int twice = 0; twice < 2; twice++) {
        for (int i = 0; i < 2 * UT_TALLY_MAX_SEEN; i++) {
            ut_tally_count(&tally, UT_TALLY_F32, 0, &weights[i], 1);
        }
    }
    uint64_t all = 2 * UT_TALLY_MAX_SEEN;
    assert_int_equal(tally.stages[0].weight_bytes, 2 * all - UT_TALLY_MAX_SEEN / 4 * 3);
}

/* ---- Operations ---------------------------------------------------------------------------- */

enum { N_IN = 12, N_OUT = 40, N_TAPS = 3, N_ROWS = 50 };

struct fixture {
    struct ut_mem mem;
    struct ut_arena arena;
    struct ut_compute compute;
    struct ut_tally tally;
    float w[4 * N_OUT * N_IN * N_TAPS], x[(N_ROWS + N_TAPS) * N_OUT], y[N_ROWS * 4 * N_OUT];
};

static void setup(struct fixture *f) {
    memset(f, 0, sizeof *f);
    ut_mem_init(&f->mem, NULL);
    ut_arena_init(&f->arena, &f->mem, UT_MEM_OTHER);
    f->compute.kernels = ut_kernels_get(UT_CPU_SCALAR);
    f->compute.tally = &f->tally;
    assert_int_equal(ut_pool_create(&f->mem, 2, &f->compute.pool, NULL), UTTER_OK);
    ut_tally_begin(&f->tally, "operation");
}

static void teardown(struct fixture *f) {
    ut_pool_destroy(f->compute.pool);
    ut_arena_free(&f->arena);
}

static struct ut_tensor tensor(struct fixture *f, int n_out, int n_in, int n_taps) {
    return (struct ut_tensor){.name = "w",
                              .type = UT_F32,
                              .n_dims = 3,
                              .dims = {(uint64_t)n_out, (uint64_t)n_in, (uint64_t)n_taps, 1},
                              .data = f->w,
                              .n_bytes = sizeof f->w};
}

static struct ut_layer layer(struct fixture *f, int n_out, int n_in, int n_taps) {
    struct ut_tensor weight = tensor(f, n_out, n_in, n_taps);
    struct ut_layer_source source = ut_layer_source_conv(&weight, NULL);
    struct ut_layer out;
    assert_int_equal(ut_layer_pack(&f->compute, &f->arena, &source, &out, NULL), UTTER_OK);
    return out;
}

static void expect(struct fixture *f, enum ut_tally_kind kind, uint64_t n_macs,
                   uint64_t n_weights) {
    assert_int_equal(f->tally.stages[0].n_macs[kind], n_macs);
    assert_int_equal(f->tally.stages[0].weight_bytes, n_weights);
    memset(f->tally.stages[0].n_macs, 0, sizeof f->tally.stages[0].n_macs);
    f->tally.stages[0].weight_bytes = 0;
}

static uint64_t padded(const struct fixture *f, int n_out) {
    int panel = f->compute.kernels->panel;
    return (uint64_t)((n_out + panel - 1) / panel * panel);
}

static void test_convolutions(void **state) {
    static struct fixture f;
    setup(&f);
    struct ut_layer conv = layer(&f, N_OUT, N_IN, N_TAPS);
    struct ut_conv op = {.x = f.x,
                         .x_row = N_IN,
                         .x_tap = N_IN,
                         .y = f.y,
                         .y_row = N_OUT,
                         .scale = 1,
                         .n_rows = N_ROWS};
    ut_conv(&f.compute, &conv, &op);
    expect(&f, UT_TALLY_F32, N_ROWS * N_OUT * N_IN * N_TAPS,
           sizeof(float) * N_IN * N_TAPS * padded(&f, N_OUT));
    ut_conv(&f.compute, &conv, &op); /* the same weights */
    expect(&f, UT_TALLY_F32, N_ROWS * N_OUT * N_IN * N_TAPS, 0);
    struct ut_time_conv timed = {.x = f.x,
                                 .x_row = N_IN,
                                 .n_in_rows = N_ROWS,
                                 .stride = 1,
                                 .dilation = 1,
                                 .pad = 1,
                                 .out_scale = 1,
                                 .y = f.y,
                                 .y_row = N_OUT,
                                 .n_rows = N_ROWS};
    ut_tally_begin_unit(&f.tally);
    assert_true(ut_time_conv_run(&f.compute, &f.arena, &conv, &timed));
    expect(&f, UT_TALLY_F32, N_ROWS * N_OUT * N_IN * N_TAPS,
           sizeof(float) * N_IN * N_TAPS * padded(&f, N_OUT));
    struct ut_depthwise depthwise = {.x = f.x,
                                     .x_row = N_IN,
                                     .x_tap = N_IN,
                                     .w = f.w,
                                     .bias = f.w,
                                     .y = f.y,
                                     .y_row = N_IN,
                                     .n_taps = N_TAPS,
                                     .n_rows = N_ROWS,
                                     .n_ch = N_IN};
    ut_depthwise(&f.compute, &depthwise);
    expect(&f, UT_TALLY_F32, N_ROWS * N_IN * N_TAPS, sizeof(float) * N_IN * N_TAPS);
    ut_conv_tanh(&f.compute, f.y, NULL, f.x, N_IN, f.w + 1, 2 * N_IN, N_ROWS);
    expect(&f, UT_TALLY_F32, N_ROWS * 2 * N_IN, sizeof(float) * 2 * N_IN);
    teardown(&f);
}

static void test_narrow(void **state) {
    static struct fixture f;
    setup(&f);
    const struct ut_narrow *kind = f.compute.kernels->i8;
    struct ut_tensor weight = tensor(&f, N_OUT, N_IN, N_TAPS);
    struct ut_layer_source source = ut_layer_source_conv(&weight, NULL);
    struct ut_narrow_layer narrow;
    assert_int_equal(
        ut_narrow_pack(&f.compute, kind, &f.arena, &source, UT_NARROW_ZERO_EVEN, &narrow, NULL),
        UTTER_OK);
    size_t n_panels = (size_t)((N_OUT + kind->panel - 1) / kind->panel);
    ut_narrow_layer_count(&f.compute, &narrow, N_ROWS);
    expect(&f, UT_TALLY_INT8, N_ROWS * N_OUT * N_IN * N_TAPS,
           n_panels * kind->panel_bytes(N_TAPS, N_IN));
    struct ut_layer whole = {.n_out = N_OUT, .n_in = N_IN, .n_taps = N_TAPS, .narrow = &narrow};
    ut_layer_count(&f.compute, &whole, 2);
    expect(&f, UT_TALLY_INT8, 2 * N_OUT * N_IN * N_TAPS, 0);
    teardown(&f);
}

static void test_sequences(void **state) {
    static struct fixture f;
    enum { N_HIDDEN = 10, D = 4, N_HEADS = 3, WINDOW = 2 };
    setup(&f);
    struct ut_lstm lstm = {.n_in = N_IN, .n_hidden = N_HIDDEN};
    for (int i = 0; i < 2; i++) {
        lstm.directions[i].input = layer(&f, 4 * N_HIDDEN, N_IN, 1);
        lstm.directions[i].recurrent = layer(&f, 4 * N_HIDDEN, N_HIDDEN, 1);
    }
    assert_true(ut_lstm_run(&f.compute, &f.arena, &lstm, f.x, N_IN, f.y, 2 * N_HIDDEN, N_ROWS));
    expect(&f, UT_TALLY_F32, 2 * N_ROWS * 4 * N_HIDDEN * (N_IN + N_HIDDEN),
           2 * sizeof(float) * padded(&f, 4 * N_HIDDEN) * (N_IN + N_HIDDEN));
    struct ut_attention attention = {
        .q = f.x, .k = f.x, .v = f.x, .y = f.y, .n_rows = N_ROWS, .n_heads = N_HEADS, .d = D};
    assert_true(ut_attention(&f.compute, &f.arena, &attention));
    expect(&f, UT_TALLY_F32, 2 * N_ROWS * N_ROWS * N_HEADS * D, 0);
    struct ut_layer rel_k = layer(&f, 2 * WINDOW + 1, D, 1),
                    rel_v = layer(&f, D, 2 * WINDOW + 1, 1);
    attention.window = WINDOW;
    attention.rel_k = &rel_k;
    attention.rel_v = &rel_v;
    assert_true(ut_attention(&f.compute, &f.arena, &attention));
    expect(&f, UT_TALLY_F32, 2 * N_ROWS * (N_ROWS + 2 * WINDOW + 1) * N_HEADS * D, 0);
    teardown(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stages), cmocka_unit_test(test_no_tally),
        cmocka_unit_test(test_limits), cmocka_unit_test(test_convolutions),
        cmocka_unit_test(test_narrow), cmocka_unit_test(test_sequences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
