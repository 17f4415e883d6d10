/* Checks of narrow arithmetic. int8 must give the bits of the scalar table whatever the level,
 * bfloat16 is compared with double. Rows lie in memory as a table likes, so they are read through a
 * convolution with the identity. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "checkkernels.h"
#include "base/half_float.h"
#include "kernels/levels.h"
#include "quant/half.h"

enum {
    BIAS = 1,
    ADD = 2,
    ADD2 = 4,
    ADD_IS_Y = 8,
    ADD2_IS_Y = 16,
    NO_Y = 32,
    ACT = 64,
    NARROW = 128,
    SPECIALS = 256,
    ALL_FLAGS = 511
};

/* Buffers of one convolution in one table. */
struct side {
    const struct ut_narrow *kind;
    struct ut_narrow_conv op;
    struct block x, x_scale, w, w_scale, bias, y, act, q, q_scale;
};

struct narrow_test {
    struct conv_shape shape;
    int flags, zero, q_zero, n_in_rows;
    int x_gap, y_gap, act_gap, q_gap, add_gap; /* words, or elements of a scale's step */
    float *input, *weights, *bias, *add, *add2, *before;
    struct side level, scalar;
};

static float *floats(struct check *c, size_t n) {
    float *p = malloc(n * sizeof *p + 1);
    fill_random(c, p, n);
    return p;
}

static int round_up(int n, int multiple) {
    return (n + multiple - 1) / multiple * multiple;
}

/* Rows of [n_rows, n_ch] floats in narrow form, against a guard page, with gaps between them. */
static struct ut_narrow_rows narrow_rows(const struct narrow_test *t, const struct ut_narrow *kind,
                                         struct block *data, struct block *scale, int n_rows,
                                         int n_ch, int gap, int zero) {
    struct ut_narrow_rows rows = {.scale_row = 1 + gap, .zero = zero};
    int n_words = (int)(kind->row_bytes(n_ch) / 4);
    rows.row = (n_words + gap) * 4;
    *data = block_floats(span(n_rows, rows.row / 4, n_words));
    *scale = block_floats(span(n_rows, rows.scale_row, 1));
    rows.data = data->data;
    rows.scale = scale->data;
    return rows;
}

static void check_rows_outside(struct check *c, const struct ut_narrow *kind,
                               const struct block *data, const struct block *scale,
                               const struct ut_narrow_rows *rows, int n_rows, int n_ch) {
    check_outside(c, data, rows->row / 4, n_rows, (int)(kind->row_bytes(n_ch) / 4));
    check_outside(c, scale, rows->scale_row, n_rows, 1);
}

static void pack_all(struct side *s, const struct narrow_test *t) {
    const struct conv_shape *shape = &t->shape;
    int panel = s->kind->panel, n_padded = round_up(shape->n_out, panel);
    size_t n_panel = s->kind->panel_bytes(shape->n_taps, shape->n_in);
    size_t n_channel = (size_t)shape->n_taps * (size_t)shape->n_in;
    s->w = block_make(n_panel * (size_t)(n_padded / panel), 64);
    s->w_scale = block_floats((size_t)n_padded);
    memset(s->w_scale.data, 0, s->w_scale.n_bytes);
    s->bias = block_floats((size_t)n_padded);
    memset(s->bias.data, 0, s->bias.n_bytes);
    memcpy(s->bias.data, t->bias, (size_t)shape->n_out * sizeof(float));
    for (int o = 0; o < shape->n_out; o += panel) {
        int n = shape->n_out - o < panel ? shape->n_out - o : panel;
        s->kind->pack((char *)s->w.data + (size_t)(o / panel) * n_panel,
                      (float *)s->w_scale.data + o, t->weights + (size_t)o * n_channel, n,
                      shape->n_taps, shape->n_in, t->zero);
    }
    s->op.w = s->w.data;
    s->op.w_scale = s->w_scale.data;
    s->op.bias = t->flags & BIAS ? s->bias.data : NULL;
}

static void make_outputs(struct side *s, const struct narrow_test *t) {
    struct ut_narrow_conv *op = &s->op;
    int n_rows = t->shape.n_rows, n_out = t->shape.n_out;
    op->y_row = (ptrdiff_t)t->shape.y_stride * (n_out + t->y_gap);
    op->y_act_row = n_out + t->act_gap;
    s->y = block_floats(span(n_rows, op->y_row, n_out));
    s->act = block_floats(span(n_rows, op->y_act_row, n_out));
    op->y = t->flags & NO_Y ? NULL : s->y.data;
    op->y_act = t->flags & ACT ? s->act.data : NULL;
    if (op->y && t->flags & (ADD_IS_Y | ADD2_IS_Y)) {
        for (int r = 0; r < n_rows; r++) {
            memcpy(op->y + r * op->y_row, t->before + (size_t)r * (size_t)n_out,
                   (size_t)n_out * sizeof(float));
        }
    }
    op->add_row = op->add2_row = n_out + t->add_gap;
    op->add = t->flags & ADD ? t->add : NULL;
    op->add2 = t->flags & ADD2 ? t->add2 : NULL;
    if (op->y && t->flags & ADD_IS_Y) {
        op->add = op->y;
        op->add_row = op->y_row;
    }
    if (op->y && t->flags & ADD2_IS_Y) {
        op->add2 = op->y;
        op->add2_row = op->y_row;
    }
    struct ut_narrow_rows q =
        narrow_rows(t, s->kind, &s->q, &s->q_scale, n_rows, n_out, t->q_gap, t->q_zero);
    op->q = t->flags & NARROW ? q : (struct ut_narrow_rows){0};
}

static void make_side(struct check *c, struct side *s, const struct narrow_test *t,
                      const struct ut_narrow *kind) {
    const struct conv_shape *shape = &t->shape;
    s->kind = kind;
    struct ut_narrow_rows x =
        narrow_rows(t, kind, &s->x, &s->x_scale, t->n_in_rows, shape->n_in, t->x_gap, t->zero);
    struct ut_modulate from = {.x = t->input,
                               .x_row = shape->n_in,
                               .slope = 1,
                               .n_rows = t->n_in_rows,
                               .n_ch = shape->n_in};
    kind->quantize(&from, &x);
    check_rows_outside(c, kind, &s->x, &s->x_scale, &x, t->n_in_rows, shape->n_in);
    int first = shape->dilation < 0 ? (shape->n_taps - 1) * -shape->dilation : 0;
    s->op = (struct ut_narrow_conv){.x = (char *)x.data + first * x.row,
                                    .x_row = x.row,
                                    .x_tap = shape->dilation * x.row,
                                    .x_scale = x.scale + first * x.scale_row,
                                    .scale_row = x.scale_row,
                                    .scale_tap = shape->dilation * x.scale_row,
                                    .n_taps = shape->n_taps,
                                    .n_in = shape->n_in,
                                    .scale = t->flags & ADD ? 1.0f / 3 : 1,
                                    .slope = t->flags & SPECIALS ? 0 : 0.1f,
                                    .n_rows = shape->n_rows,
                                    .n_out = shape->n_out};
    pack_all(s, t);
    make_outputs(s, t);
}

static void run_rows(const struct side *s, int begin, int end) {
    struct ut_narrow_conv op = s->op;
    op.x = (const char *)op.x + begin * op.x_row;
    op.x_scale += begin * op.scale_row;
    op.add = op.add ? op.add + begin * op.add_row : NULL;
    op.add2 = op.add2 ? op.add2 + begin * op.add2_row : NULL;
    op.y = op.y ? op.y + begin * op.y_row : NULL;
    op.y_act = op.y_act ? op.y_act + begin * op.y_act_row : NULL;
    if (op.q.data) {
        op.q.data = (char *)op.q.data + begin * op.q.row;
        op.q.scale += begin * op.q.scale_row;
    }
    op.n_rows = end - begin;
    s->kind->conv(&op);
}

/* What narrow rows stand for, [n_rows, n_ch]. */
static float *values_of(const struct ut_narrow *kind, const struct ut_narrow_rows *rows, int n_rows,
                        int n_ch) {
    float *identity = calloc((size_t)n_ch * (size_t)n_ch + 1, sizeof *identity);
    float *values = calloc((size_t)n_rows * (size_t)n_ch + 1, sizeof *values);
    int n_padded = round_up(n_ch, kind->panel);
    size_t n_panel = kind->panel_bytes(1, n_ch);
    struct block w = block_make(n_panel * (size_t)(n_padded / kind->panel), 64);
    struct block w_scale = block_floats((size_t)n_padded);
    memset(w_scale.data, 0, w_scale.n_bytes);
    for (int i = 0; i < n_ch; i++) {
        identity[i * n_ch + i] = 1;
    }
    for (int o = 0; o < n_ch; o += kind->panel) {
        int n = n_ch - o < kind->panel ? n_ch - o : kind->panel;
        kind->pack((char *)w.data + (size_t)(o / kind->panel) * n_panel, (float *)w_scale.data + o,
                   identity + (size_t)o * (size_t)n_ch, n, 1, n_ch, rows->zero);
    }
    struct ut_narrow_conv op = {.x = rows->data,
                                .x_row = rows->row,
                                .x_scale = rows->scale,
                                .scale_row = rows->scale_row,
                                .n_taps = 1,
                                .n_in = n_ch,
                                .w = w.data,
                                .w_scale = w_scale.data,
                                .scale = 1,
                                .y = values,
                                .y_row = n_ch,
                                .n_rows = n_rows,
                                .n_out = n_ch};
    kind->conv(&op);
    block_free(&w);
    block_free(&w_scale);
    free(identity);
    return values;
}

static void check_same_rows(struct check *c, const struct ut_narrow *kind,
                            const struct ut_narrow_rows *got, const struct ut_narrow_rows *want,
                            int n_rows, int n_ch) {
    const struct ut_narrow *scalar = ut_kernels_get(UT_CPU_SCALAR)->i8;
    float *a = values_of(kind, got, n_rows, n_ch), *b = values_of(scalar, want, n_rows, n_ch);
    for (int r = 0; r < n_rows; r++) {
        check_same(c, got->scale[r * got->scale_row], want->scale[r * want->scale_row], r, 0,
                   "scale");
        for (int i = 0; i < n_ch; i++) {
            check_same(c, a[r * n_ch + i], b[r * n_ch + i], r, i, "narrow row");
        }
    }
    free(a);
    free(b);
}

static void compare(struct check *c, const struct narrow_test *t) {
    const struct ut_narrow_conv *got = &t->level.op, *want = &t->scalar.op;
    int n_rows = t->shape.n_rows, n_out = t->shape.n_out;
    for (int r = 0; r < n_rows; r++) {
        for (int o = 0; o < n_out; o++) {
            if (got->y) {
                check_same(c, got->y[r * got->y_row + o], want->y[r * want->y_row + o], r, o, "y");
            }
            if (got->y_act) {
                check_same(c, got->y_act[r * got->y_act_row + o],
                           want->y_act[r * want->y_act_row + o], r, o, "y_act");
            }
        }
    }
    check_outside(c, &t->level.y, got->y_row, got->y ? n_rows : 0, n_out);
    check_outside(c, &t->level.act, got->y_act_row, got->y_act ? n_rows : 0, n_out);
    if (got->q.data) {
        check_same_rows(c, t->level.kind, &got->q, &want->q, n_rows, n_out);
        check_rows_outside(c, t->level.kind, &t->level.q, &t->level.q_scale, &got->q, n_rows,
                           n_out);
    }
}

static void free_side(struct side *s) {
    struct block *blocks[] = {&s->x, &s->x_scale, &s->w, &s->w_scale, &s->bias,
                              &s->y, &s->act,     &s->q, &s->q_scale};
    for (int i = 0; i < COUNT(blocks); i++) {
        block_free(blocks[i]);
    }
}

/* Rows of zeros, of subnormal values, of one sign, and ones that hold what is not finite. */
static void make_input(struct check *c, struct narrow_test *t) {
    size_t n_in = (size_t)t->shape.n_in;
    t->input = floats(c, (size_t)t->n_in_rows * n_in);
    for (int r = 0; r < t->n_in_rows && t->flags & SPECIALS; r++) {
        float *row = t->input + (size_t)r * n_in;
        int which = random_int(c, 0, 9);
        float factor = which == 0 ? 0 : which == 1 ? 0x1p-140f : which == 2 ? 0x1p100f : 1;
        for (size_t i = 0; i < n_in; i++) {
            row[i] = which == 3 ? fabsf(row[i]) : which == 4 ? -fabsf(row[i]) : row[i] * factor;
        }
        if (which == 5 && n_in > 0) {
            row[random_bits(c) % n_in] = random_special(c);
        }
    }
}

/* ---- bfloat16 ---- */

static float rounded(float x) {
    return ut_float_from_bf16(ut_bf16_from_f32(x));
}

/* The sum of output (r, o), and its error: as check_conv's, with what is subnormal taken for zero.
 */
static double exact_sum(const struct narrow_test *t, int r, int o, double *bound) {
    const struct conv_shape *s = &t->shape;
    const float *w = t->weights + (size_t)o * (size_t)s->n_taps * (size_t)s->n_in;
    int first = s->dilation < 0 ? (s->n_taps - 1) * -s->dilation : 0;
    double sum = t->flags & BIAS ? t->bias[o] : 0, size = fabs(sum);
    for (int k = 0; k < s->n_taps; k++) {
        const float *row = t->input + (size_t)(first + r + k * s->dilation) * (size_t)s->n_in;
        for (int c = 0; c < s->n_in; c++) { /* the scale of a row with what is not finite is NaN */
            double x = isfinite(row[c]) ? rounded(row[c]) : NAN;
            double product = x * rounded(w[k * s->n_in + c]);
            sum += product;
            size += fabs(product);
        }
    }
    *bound = (s->n_taps * (s->n_in + 1) + 5) * (UNIT * size + 0x1p-126);
    return sum;
}

static double addend(const struct narrow_test *t, const float *p, ptrdiff_t row, int r, int o) {
    if (!p) {
        return 0;
    }
    return p == t->level.op.y ? t->before[(size_t)r * (size_t)t->shape.n_out + (size_t)o]
                              : p[r * row + o];
}

static void check_b16_element(struct check *c, const struct narrow_test *t, int r, int o) {
    const struct ut_narrow_conv *op = &t->level.op;
    double bound, sum = exact_sum(t, r, o, &bound);
    double a = addend(t, op->add, op->add_row, r, o), b = addend(t, op->add2, op->add2_row, r, o);
    double want = (sum + a + b) * op->scale;
    bound += 5 * UNIT * (fabs(a) + fabs(b));
    if (op->y) {
        check_close(c, op->y[r * op->y_row + o], want, bound, r, o);
    }
    if (op->y_act) {
        double act = want > 0 ? want : want * op->slope;
        check_close(c, op->y_act[r * op->y_act_row + o], act, bound, r, o);
    }
}

/* Narrow rows against the floats that they were rounded from. */
static void check_b16_rows(struct check *c, const struct ut_narrow *kind,
                           const struct ut_narrow_rows *got, const float *from, ptrdiff_t pitch,
                           int n_rows, int n_ch) {
    float *values = values_of(kind, got, n_rows, n_ch);
    for (int r = 0; r < n_rows; r++) {
        float largest = 0, poison = 0;
        for (int i = 0; i < n_ch; i++) {
            largest = fmaxf(largest, fabsf(from[r * pitch + i]));
            poison += 0 * from[r * pitch + i];
        }
        check_same(c, got->scale[r * got->scale_row], (largest > 0 ? 1 : 0) + poison, r, 0,
                   "scale");
        for (int i = 0; i < n_ch; i++) {
            double want = poison == 0 ? rounded(from[r * pitch + i]) : NAN;
            check_close(c, values[r * n_ch + i], want, 0x1p-126, r, i);
        }
    }
    free(values);
}

static void compare_b16(struct check *c, const struct narrow_test *t) {
    enum { MAX_WORK = 1 << 19 }; /* products in double; of the big shapes a sample is checked */
    const struct ut_narrow_conv *op = &t->level.op;
    int n_rows = t->shape.n_rows, n_out = t->shape.n_out;
    long work = (long)n_rows * n_out * t->shape.n_taps * t->shape.n_in;
    for (int r = 0; r < n_rows; r++) {
        for (int o = 0; o < n_out; o++) {
            if (random_int(c, 0, (int)(work / MAX_WORK)) == 0) {
                check_b16_element(c, t, r, o);
            }
        }
    }
    check_outside(c, &t->level.y, op->y_row, op->y ? n_rows : 0, n_out);
    check_outside(c, &t->level.act, op->y_act_row, op->y_act ? n_rows : 0, n_out);
    if (op->q.data && op->y_act) {
        check_b16_rows(c, t->level.kind, &op->q, op->y_act, op->y_act_row, n_rows, n_out);
        check_rows_outside(c, t->level.kind, &t->level.q, &t->level.q_scale, &op->q, n_rows, n_out);
    }
}

/* ---- Cases ---- */

static void check_one(struct check *c, const struct ut_narrow *kind, struct conv_shape s, int flags,
                      bool is_b16) {
    struct narrow_test t = {
        .shape = s,
        .flags = flags,
        .zero = random_int(c, 0, 1) ? UT_NARROW_ZERO_EVEN : UT_NARROW_ZERO_LEAKY,
        .q_zero = random_int(c, 0, 1) ? UT_NARROW_ZERO_EVEN : UT_NARROW_ZERO_LEAKY,
        .n_in_rows = s.n_rows + (s.n_taps - 1) * abs(s.dilation),
        .x_gap = random_int(c, 0, 1) * random_int(c, 1, 9),
        .y_gap = random_int(c, 0, 3),
        .act_gap = random_int(c, 0, 7),
        .q_gap = random_int(c, 0, 1) * random_int(c, 1, 9),
        .add_gap = random_int(c, 0, 5)};
    size_t n_out = (size_t)s.n_out, n_rows = (size_t)s.n_rows;
    check_case(c, "%s: %d rows, %d -> %d channels, %d taps every %d, flags %d, zeros %d, %d",
               kind->name, s.n_rows, s.n_in, s.n_out, s.n_taps, s.dilation, flags, t.zero,
               t.q_zero);
    make_input(c, &t);
    t.weights = floats(c, n_out * (size_t)s.n_taps * (size_t)s.n_in);
    t.bias = floats(c, n_out);
    t.add = floats(c, n_rows * (n_out + (size_t)t.add_gap));
    t.add2 = floats(c, n_rows * (n_out + (size_t)t.add_gap));
    t.before = floats(c, n_rows * n_out);
    make_side(c, &t.level, &t, kind);
    if (!is_b16) {
        make_side(c, &t.scalar, &t, ut_kernels_get(UT_CPU_SCALAR)->i8);
        run_rows(&t.scalar, 0, s.n_rows);
    }
    bool split = random_int(c, 0, 1);
    for (int r = 0, end; r < s.n_rows; r = end) {
        end = split ? next_split(c, r, s.n_rows) : s.n_rows;
        run_rows(&t.level, r, end);
    }
    if (is_b16) {
        compare_b16(c, &t);
    } else {
        compare(c, &t);
        free_side(&t.scalar);
    }
    float *arrays[] = {t.input, t.weights, t.bias, t.add, t.add2, t.before};
    for (int i = 0; i < COUNT(arrays); i++) {
        free(arrays[i]);
    }
    free_side(&t.level);
}

static void check_conv_kind(struct check *c, const struct ut_narrow *kind, bool is_b16) {
    for (int size = 0; size <= 130; size++) {
        for (int which = 0; which < 3; which++) {
            struct conv_shape s = {
                .n_rows = which == 0 ? size : random_int(c, 1, 30),
                .n_out = which == 1 && size > 0 ? size : random_int(c, 1, 70),
                .n_in = which == 2 && size > 0 ? size : random_int(c, 1, 40),
                .n_taps = random_int(c, 1, 5),
                .dilation = random_int(c, -3, 12),
                .y_stride = random_int(c, 1, 3),
            };
            check_one(c, kind, s, random_int(c, 0, ALL_FLAGS), is_b16);
        }
    }
    for (int i = 0; i < n_conv_shapes; i++) {
        struct conv_shape s = conv_shapes[i];
        s.n_rows = random_int(c, 1, 1 + (1 << 23) / (s.n_in * s.n_out * s.n_taps));
        check_one(c, kind, s, BIAS | ACT | random_int(c, 0, ALL_FLAGS & ~SPECIALS), is_b16);
    }
}

/* The longest sums: all values at their limits, of signs that do not cancel. */
static void check_extremes(struct check *c, const struct ut_narrow *kind) {
    enum { N_IN = UT_NARROW_MAX_CH };
    static float x[N_IN], w[N_IN];
    for (int sign = -1; sign <= 1; sign += 2) {
        for (int i = 0; i < N_IN; i++) {
            x[i] = i == 0 ? -1 : (float)sign;
            w[i] = i % 2 ? 1 : (float)sign;
        }
        struct narrow_test t = {.shape = {"", N_IN, 1, 1, 1, 1, 1},
                                .zero = UT_NARROW_ZERO_EVEN,
                                .q_zero = UT_NARROW_ZERO_EVEN,
                                .n_in_rows = 1,
                                .input = x,
                                .weights = w,
                                .bias = w};
        check_case(c, "%s: %d channels at their limits, sign %d", kind->name, (int)N_IN, sign);
        make_side(c, &t.level, &t, kind);
        make_side(c, &t.scalar, &t, ut_kernels_get(UT_CPU_SCALAR)->i8);
        run_rows(&t.level, 0, 1);
        run_rows(&t.scalar, 0, 1);
        compare(c, &t);
        free_side(&t.level);
        free_side(&t.scalar);
    }
}

void check_conv_i8(struct check *c) {
    const struct ut_narrow *kinds[UT_KERNELS_MAX_NARROW];
    int n = ut_kernels_narrow_kinds(c->table->level, false, kinds);
    for (int i = 0; i < n; i++) {
        check_conv_kind(c, kinds[i], false);
        check_extremes(c, kinds[i]);
    }
}

void check_conv_b16(struct check *c) {
    const struct ut_narrow *kinds[UT_KERNELS_MAX_NARROW];
    int n = ut_kernels_narrow_kinds(c->table->level, true, kinds);
    for (int i = 0; i < n; i++) {
        check_conv_kind(c, kinds[i], true);
    }
}

/* ---- Rows of floats into narrow form ---- */

static void check_same_as_scalar(struct check *c, const struct ut_narrow *kind,
                                 const struct ut_narrow_rows *got, const float *x, int n_rows,
                                 int n_ch) {
    const struct ut_narrow *scalar = ut_kernels_get(UT_CPU_SCALAR)->i8;
    struct narrow_test t = {.zero = got->zero};
    struct ut_narrow_rows want =
        narrow_rows(&t, scalar, &t.scalar.x, &t.scalar.x_scale, n_rows, n_ch, 0, t.zero);
    struct ut_modulate plain = {.x = x, .x_row = n_ch, .slope = 1, .n_rows = n_rows, .n_ch = n_ch};
    scalar->quantize(&plain, &want);
    check_same_rows(c, kind, got, &want, n_rows, n_ch);
    block_free(&t.scalar.x);
    block_free(&t.scalar.x_scale);
}

/* A modulation and its rounding must give what rounding the level's own modulated rows gives. */
static void check_quantize(struct check *c, const struct ut_narrow *kind, int n_rows, int n_ch,
                           int flags, bool is_b16) {
    enum { AFFINE = 1, SNAKE = 2, IDENTITY = 4 };
    struct narrow_test t = {.shape = {"", n_ch, n_ch, 1, 1, n_rows, 1},
                            .flags = flags & 8 ? SPECIALS : 0,
                            .n_in_rows = n_rows,
                            .x_gap = random_int(c, 0, 5),
                            .zero = flags & 16 ? UT_NARROW_ZERO_EVEN : UT_NARROW_ZERO_LEAKY};
    check_case(c, "%s: %d rows of %d, flags %d", kind->name, n_rows, n_ch, flags);
    make_input(c, &t);
    float *per_channel[4];
    for (int i = 0; i < 4; i++) {
        per_channel[i] = floats(c, (size_t)n_ch);
    }
    float *modulated = floats(c, (size_t)n_rows * (size_t)n_ch);
    struct ut_modulate from = {.x = t.input,
                               .x_row = n_ch,
                               .y = modulated,
                               .y_row = n_ch,
                               .scale = flags & AFFINE ? per_channel[0] : NULL,
                               .shift = flags & AFFINE ? per_channel[1] : NULL,
                               .alpha = flags & SNAKE ? per_channel[2] : NULL,
                               .inv_alpha = flags & SNAKE ? per_channel[3] : NULL,
                               .slope = flags & IDENTITY ? 1 : 0.1f,
                               .n_rows = n_rows,
                               .n_ch = n_ch};
    c->table->modulate_f32(&from);
    struct ut_narrow_rows got =
        narrow_rows(&t, kind, &t.level.x, &t.level.x_scale, n_rows, n_ch, t.x_gap, t.zero);
    kind->quantize(&from, &got);
    check_rows_outside(c, kind, &t.level.x, &t.level.x_scale, &got, n_rows, n_ch);
    if (is_b16) {
        check_b16_rows(c, kind, &got, modulated, n_ch, n_rows, n_ch);
    } else {
        check_same_as_scalar(c, kind, &got, modulated, n_rows, n_ch);
    }
    block_free(&t.level.x);
    block_free(&t.level.x_scale);
    for (int i = 0; i < 4; i++) {
        free(per_channel[i]);
    }
    free(modulated);
    free(t.input);
}

static void check_quantize_kinds(struct check *c, bool is_b16) {
    const struct ut_narrow *kinds[UT_KERNELS_MAX_NARROW];
    int n = ut_kernels_narrow_kinds(c->table->level, is_b16, kinds);
    for (int i = 0; i < n; i++) {
        for (int size = 0; size <= 130; size++) {
            check_quantize(c, kinds[i], random_int(c, 1, 20), size > 0 ? size : 1,
                           random_int(c, 0, 31), is_b16);
            check_quantize(c, kinds[i], size, random_int(c, 1, 40), random_int(c, 0, 31), is_b16);
        }
        check_quantize(c, kinds[i], 3, UT_NARROW_MAX_CH, 16, is_b16);
    }
}

void check_quantize_i8(struct check *c) {
    check_quantize_kinds(c, false);
}

void check_quantize_b16(struct check *c) {
    check_quantize_kinds(c, true);
}
