/* Packing: every weight at its place in the panels, whatever its steps in the tensor; a value that
 * is not finite is found wherever it is. */
#include "compute/layer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/cpu.h"

enum { MAX_WEIGHTS = 70 * 13 * 8 };

struct fixture {
    struct ut_mem mem;
    struct ut_compute compute;
    struct ut_arena arena;
    float w[MAX_WEIGHTS];
};

static int set_up(void **state) {
    static struct fixture f;
    ut_mem_init(&f.mem, NULL);
    ut_arena_init(&f.arena, &f.mem, UT_MEM_OTHER);
    f.compute = (struct ut_compute){.kernels = ut_kernels_get(ut_cpu_level_best())};
    for (int i = 0; i < MAX_WEIGHTS; i++) {
        f.w[i] = (float)(i + 1);
    }
    *state = &f;
    return ut_pool_create(&f.mem, 2, &f.compute.pool, NULL);
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    ut_arena_free(&f->arena);
    ut_pool_destroy(f->compute.pool);
    return f->mem.bytes[UT_MEM_OTHER] != 0;
}

static struct ut_tensor tensor_of(struct fixture *f, int n_out, int n_in, int n_taps) {
    return (struct ut_tensor){.name = "w",
                              .type = UT_F32,
                              .n_dims = 3,
                              .dims = {(uint64_t)n_out, (uint64_t)n_in, (uint64_t)n_taps, 1},
                              .data = f->w,
                              .n_bytes = (size_t)(n_out * n_in * n_taps) * 4};
}

static void check(struct fixture *f, const struct ut_layer_source *s) {
    struct ut_layer layer;
    utter_error err;
    assert_int_equal(ut_layer_pack(&f->compute, &f->arena, s, &layer, &err), UTTER_OK);
    int panel = f->compute.kernels->panel, n_padded = (s->n_out + panel - 1) / panel * panel;
    const float *packed = layer.panels;
    for (int o = 0; o < n_padded; o++) {
        for (int k = 0; k < s->n_taps; k++) {
            for (int c = 0; c < s->n_in; c++) {
                ptrdiff_t at = s->offset + o * s->out_step + k * s->tap_step + c * s->in_step;
                float want = o >= s->n_out ? 0 : s->negate ? -f->w[at] : f->w[at];
                size_t row = ((size_t)(o / panel * s->n_taps) + (size_t)k) * (size_t)s->n_in;
                assert_true(packed[(row + (size_t)c) * (size_t)panel + (size_t)(o % panel)] ==
                            want);
            }
        }
    }
}

/* Counts that come in fours and that do not; lanes that fill a panel and that do not. */
static void convolutions_are_packed(void **state) {
    static const int sizes[][3] = {{1, 1, 1},  {4, 4, 1},   {70, 12, 5}, {64, 13, 4},
                                   {35, 8, 7}, {33, 13, 3}, {6, 13, 8},  {32, 10, 2}};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct ut_tensor w = tensor_of(f, sizes[i][0], sizes[i][1], sizes[i][2]);
        struct ut_layer_source source = ut_layer_source_conv(&w, NULL);
        check(f, &source);
        source.negate = true;
        check(f, &source);
    }
}

/* A phase of a transposed convolution [n_in, n_out, n_taps], and inputs and taps in reverse. */
static void other_steps_are_packed(void **state) {
    struct fixture *f = *state;
    struct ut_tensor w = tensor_of(f, 12, 40, 8);
    struct ut_layer_source source = {.weight = &w,
                                     .offset = 6,
                                     .out_step = 8,
                                     .tap_step = -2,
                                     .in_step = 40 * 8,
                                     .n_out = 40,
                                     .n_taps = 4,
                                     .n_in = 12};
    check(f, &source);
    struct ut_tensor square = tensor_of(f, 40, 16, 1);
    source = ut_layer_source_conv(&square, NULL);
    source.offset = 15;
    source.in_step = -1;
    check(f, &source);
    source = ut_layer_source_conv(&square, NULL);
    source.out_step = 32; /* every other channel */
    source.n_out = 20;
    check(f, &source);
}

static void not_finite_is_found_anywhere(void **state) {
    struct fixture *f = *state;
    struct ut_tensor w = tensor_of(f, 38, 6, 4);
    struct ut_layer_source source = ut_layer_source_conv(&w, NULL);
    for (int i = 0; i < 38 * 6 * 4; i += 7) {
        struct ut_layer layer;
        utter_error err;
        f->w[i] = i % 2 ? NAN : -INFINITY;
        assert_int_equal(ut_layer_pack(&f->compute, &f->arena, &source, &layer, &err),
                         UTTER_ERROR_FORMAT);
        assert_non_null(strstr(err.message, "w"));
        f->w[i] = (float)(i + 1);
    }
    check(f, &source);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions_are_packed),
        cmocka_unit_test(other_steps_are_packed),
        cmocka_unit_test(not_finite_is_found_anywhere),
    };
    return cmocka_run_group_tests_name("compute/layer", tests, set_up, tear_down);
}
