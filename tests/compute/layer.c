/* Packing: every weight at its place in the panels, whatever its steps in the tensor; a value that
 * is not finite is found wherever it is. */
#include "compute/layer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/half_float.h"
#include "compute/narrow.h"
#include "kernels/cpu.h"

enum { MAX_WEIGHTS = 70 * 13 * 8 };

struct fixture {
    struct ut_mem mem;
    struct ut_compute compute;
    struct ut_arena arena;
    float w[MAX_WEIGHTS];
};

static void fill(struct fixture *f) {
    for (int i = 0; i < MAX_WEIGHTS; i++) {
        f->w[i] = (float)(i + 1);
    }
}

static int set_up(void **state) {
    static struct fixture f;
    ut_mem_init(&f.mem, NULL);
    ut_arena_init(&f.arena, &f.mem, UT_MEM_OTHER);
    f.compute = (struct ut_compute){.kernels = ut_kernels_get(ut_cpu_level_best())};
    fill(&f);
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

/* 8 bits and a scale for each channel: as the floats they stand for, whole or in part, in float
 * layers and, rounded to the same steps again, in narrow ones. */
enum { N_OUT = 38, N_IN = 6, N_TAPS = 4, N_WEIGHTS = N_OUT * N_IN * N_TAPS };

struct eight_bits {
    int8_t q[N_WEIGHTS];
    float steps[N_OUT], bias[N_OUT];
    struct ut_tensor weight, scale, bias_tensor;
    struct ut_layer_source source;
};

static void make_eight_bits(struct eight_bits *e) {
    for (int i = 0; i < N_WEIGHTS; i++) {
        e->q[i] = (int8_t)(i * 37 % 255 - 127);
    }
    for (int o = 0; o < N_OUT; o++) {
        e->steps[o] = 0.01f + (float)o / 1000;
        e->bias[o] = (float)o;
    }
    e->weight = (struct ut_tensor){.name = "w",
                                   .type = UT_I8,
                                   .n_dims = 3,
                                   .dims = {N_OUT, N_IN, N_TAPS, 1},
                                   .data = e->q,
                                   .n_bytes = sizeof e->q};
    e->scale = (struct ut_tensor){.name = "w.scale",
                                  .type = UT_F32,
                                  .n_dims = 1,
                                  .dims = {N_OUT, 1, 1, 1},
                                  .data = e->steps,
                                  .n_bytes = sizeof e->steps};
    e->bias_tensor = e->scale;
    e->bias_tensor.name = "b";
    e->bias_tensor.data = e->bias;
    e->source = ut_layer_source_conv(&e->weight, &e->bias_tensor);
    e->source.scale = &e->scale;
}

static void eight_bits_are_expanded(void **state) {
    struct fixture *f = *state;
    struct eight_bits e;
    make_eight_bits(&e);
    for (int i = 0; i < N_WEIGHTS; i++) {
        f->w[i] = (float)e.q[i] * e.steps[i / (N_IN * N_TAPS)];
    }
    struct ut_tensor floats = tensor_of(f, N_OUT, N_IN, N_TAPS);
    for (int part = 0; part < 2; part++) {
        struct ut_layer_source same = e.source;
        if (part) {
            same.n_out = N_OUT - 5;
            same.offset = 5 * same.out_step;
            same.bias_offset = 5;
            same.negate = true;
        }
        struct ut_layer layer, want;
        utter_error err;
        assert_int_equal(ut_layer_pack(&f->compute, &f->arena, &same, &layer, &err), UTTER_OK);
        same.weight = &floats;
        same.scale = NULL;
        assert_int_equal(ut_layer_pack(&f->compute, &f->arena, &same, &want, &err), UTTER_OK);
        int panel = f->compute.kernels->panel;
        size_t n_padded = (size_t)((same.n_out + panel - 1) / panel * panel);
        assert_int_equal(layer.type, UT_F32);
        assert_memory_equal(layer.panels, want.panels, n_padded * N_IN * N_TAPS * sizeof(float));
        assert_memory_equal(layer.bias, want.bias, n_padded * sizeof(float));
    }
    fill(f);
}

/* What was rounded before is not rounded again, and a part rounds to the steps of the whole. */
static void steps_are_kept(void **state) {
    struct fixture *f = *state;
    struct eight_bits e;
    make_eight_bits(&e);
    memset(e.q, 0, N_IN * N_TAPS); /* a channel of zeros */
    e.q[N_IN * N_TAPS] = 100;      /* and one whose largest value is not 127 */
    memset(e.q + N_IN * N_TAPS + 1, 0, N_IN * N_TAPS - 1);
    for (int i = 0; i < N_WEIGHTS; i++) {
        f->w[i] = (float)e.q[i] * e.steps[i / (N_IN * N_TAPS)];
    }
    struct ut_tensor floats = tensor_of(f, N_OUT, N_IN, N_TAPS);
    struct ut_layer_source same = e.source;
    const struct ut_narrow *kind = f->compute.kernels->i8;
    struct ut_narrow_layer stored, rounded;
    utter_error err;
    assert_int_equal(ut_narrow_pack(&f->compute, kind, &f->arena, &same, 128, &stored, &err),
                     UTTER_OK);
    same.weight = &floats;
    assert_int_equal(ut_narrow_pack(&f->compute, kind, &f->arena, &same, 128, &rounded, &err),
                     UTTER_OK);
    size_t n_panels = (size_t)((N_OUT + kind->panel - 1) / kind->panel);
    assert_memory_equal(stored.scale, e.steps, sizeof e.steps);
    assert_memory_equal(rounded.scale, e.steps, sizeof e.steps);
    assert_memory_equal(stored.panels, rounded.panels, n_panels * kind->panel_bytes(N_TAPS, N_IN));
    fill(f);
}

static void expect(struct fixture *f, const struct ut_layer_source *source, utter_status wanted,
                   const char *words) {
    struct ut_layer layer;
    struct ut_narrow_layer narrow;
    utter_error err[2];
    assert_int_equal(ut_layer_pack(&f->compute, &f->arena, source, &layer, &err[0]), wanted);
    assert_int_equal(ut_narrow_pack(&f->compute, f->compute.kernels->i8, &f->arena, source, 128,
                                    &narrow, &err[1]),
                     wanted);
    assert_non_null(strstr(err[0].message, words));
    assert_non_null(strstr(err[1].message, words));
}

static void scales_are_checked(void **state) {
    static const float bad[] = {0, -1, NAN, INFINITY};
    struct fixture *f = *state;
    struct eight_bits e;
    make_eight_bits(&e);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        e.steps[7] = bad[i];
        expect(f, &e.source, UTTER_ERROR_FORMAT, "tensor w.scale: value 7 is");
    }
    e.steps[7] = 3e38f; /* times 127: infinite */
    expect(f, &e.source, UTTER_ERROR_FORMAT, "tensor w holds a value that is not finite");
    e.steps[7] = 1;
    e.scale.n_bytes -= sizeof(float);
    expect(f, &e.source, UTTER_ERROR_FORMAT, "tensor w.scale has 37 values of type f32");
    e.scale.n_bytes += 2 * sizeof(float);
    expect(f, &e.source, UTTER_ERROR_FORMAT, "tensor w.scale has 39 values of type f32");
    e.scale.n_bytes -= sizeof(float);
    e.scale.type = UT_I32;
    expect(f, &e.source, UTTER_ERROR_FORMAT, "values of type i32");
    e.scale.type = UT_F32;
    e.q[N_WEIGHTS - 1] = -128;
    expect(f, &e.source, UTTER_ERROR_FORMAT, "tensor w: value 911 is -128");
    e.source.scale = NULL;
    expect(f, &e.source, UTTER_ERROR_UNSUPPORTED,
           "tensor w is i8 and has no scales, the tensor w.scale");
    e.weight.type = UT_U8;
    expect(f, &e.source, UTTER_ERROR_UNSUPPORTED, "tensor w is u8");
}

/* The last value of a channel takes part in its step, and a channel of zeros has one. */
static void steps_of_a_weight(void **state) {
    static float w[2 * 3 * 4] = {[3] = -254, [4] = 127, [16] = -381};
    struct fixture *f = *state;
    float steps[3];
    int8_t q[2 * 3 * 4];
    ut_narrow_steps(w, 2, 3, 4, steps);
    assert_true(steps[0] == 2 && steps[1] == 3 && steps[2] == 1);
    ut_narrow_round(w, 2, 3, 4, steps, q);
    assert_true(q[3] == -127 && q[4] == 42 && q[16] == -127 && q[23] == 0);
    struct ut_tensor out, weight = {.name = "w",
                                    .type = UT_F32,
                                    .n_dims = 3,
                                    .dims = {2, 3, 4, 1},
                                    .data = w,
                                    .n_bytes = sizeof w};
    assert_int_equal(ut_narrow_steps_of(&f->arena, &weight, true, &out, NULL), UTTER_OK);
    assert_int_equal(out.n_bytes, sizeof steps);
    assert_memory_equal(out.data, steps, sizeof steps);
    assert_int_equal(ut_narrow_steps_of(&f->arena, &weight, false, &out, NULL), UTTER_OK);
    assert_true(out.dims[0] == 2 && ((const float *)out.data)[1] == 3);
}

/* Asked for halves, a layer holds its weights rounded to 11 bits, unless one of them is too large.
 */
static void halves_where_they_fit(void **state) {
    struct fixture *f = *state;
    fill(f);
    f->w[7] = 2049; /* between two halves: to the even one, 2048 */
    struct ut_tensor weight = tensor_of(f, 5, 3, 2);
    struct ut_layer_source source = ut_layer_source_conv(&weight, NULL);
    struct ut_layer layer;
    utter_error err;
    source.half = true;
    assert_int_equal(ut_layer_pack(&f->compute, &f->arena, &source, &layer, &err), UTTER_OK);
    assert_int_equal(layer.type, UT_F16);
    /* Element 7 is output channel 1, input channel 0, tap 1. */
    int panel = f->compute.kernels->panel;
    const uint16_t *panels = layer.panels;
    assert_float_equal(ut_float_from_f16(panels[3 * panel + 1]), 2048, 0);
    assert_float_equal(ut_float_from_f16(panels[0]), 1, 0);

    f->w[7] = 65504;
    assert_int_equal(ut_layer_pack(&f->compute, &f->arena, &source, &layer, &err), UTTER_OK);
    assert_int_equal(layer.type, UT_F32);
    f->w[7] = NAN;
    assert_int_equal(ut_layer_pack(&f->compute, &f->arena, &source, &layer, &err),
                     UTTER_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "tensor w holds a value that is not finite"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions_are_packed),      cmocka_unit_test(other_steps_are_packed),
        cmocka_unit_test(not_finite_is_found_anywhere), cmocka_unit_test(eight_bits_are_expanded),
        cmocka_unit_test(halves_where_they_fit),        cmocka_unit_test(steps_are_kept),
        cmocka_unit_test(scales_are_checked),           cmocka_unit_test(steps_of_a_weight),
    };
    return cmocka_run_group_tests_name("compute/layer", tests, set_up, tear_down);
}
