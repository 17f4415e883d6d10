/* Checks of the three convolution entries: every size, strides with gaps, aliasing, special values,
 * row splits, the models' shapes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkkernels.h"
#include "base/half_float.h"

const struct conv_shape conv_shapes[] = {
    {"piper flow 192-384 k5", 192, 384, 5, 1, 400, 1},
    {"piper ffn 192-768 k3", 192, 768, 3, 1, 200, 1},
    {"piper ffn 768-192 k3", 768, 192, 3, 1, 200, 1},
    {"piper 1x1 192-192", 192, 192, 1, 1, 400, 1},
    {"piper pre 192-256 k7", 192, 256, 7, 1, 400, 1},
    {"piper up 256-128", 256, 128, 2, 1, 400, 8},
    {"piper up 128-64", 128, 64, 2, 1, 2000, 8},
    {"piper up 64-32", 64, 32, 2, 1, 8000, 4},
    {"piper 128 k3 d1", 128, 128, 3, 1, 2000, 1},
    {"piper 128 k5 d2", 128, 128, 5, 2, 2000, 1},
    {"piper 128 k7 d12", 128, 128, 7, 12, 2000, 1},
    {"piper 64 k3 d1", 64, 64, 3, 1, 4000, 1},
    {"piper 64 k5 d6", 64, 64, 5, 6, 4000, 1},
    {"piper 64 k7 d12", 64, 64, 7, 12, 4000, 1},
    {"piper 32 k3 d1", 32, 32, 3, 1, 8000, 1},
    {"piper 32 k5 d2", 32, 32, 5, 2, 8000, 1},
    {"piper 32 k7 d12", 32, 32, 7, 12, 8000, 1},
    {"kokoro 256 k3 d1", 256, 256, 3, 1, 2000, 1},
    {"kokoro 256 k7 d3", 256, 256, 7, 3, 2000, 1},
    {"kokoro 256 k11 d5", 256, 256, 11, 5, 2000, 1},
    {"kokoro 256 k11, 64 rows", 256, 256, 11, 5, 64, 1},
    {"kokoro 128 k3 d5", 128, 128, 3, 5, 6000, 1},
    {"kokoro 128 k7 d1", 128, 128, 7, 1, 6000, 1},
    {"kokoro 128 k11 d5", 128, 128, 11, 5, 6000, 1},
    {"kokoro 128 k11, 64 rows", 128, 128, 11, 5, 64, 1},
    {"kokoro 512-1024 k3", 512, 1024, 3, 1, 200, 1},
    {"kokoro 1024-1024 k3", 1024, 1024, 3, 1, 200, 1},
    {"kokoro 1090-1024 k3", 1090, 1024, 3, 1, 200, 1},
    {"kokoro lstm 256-1024", 256, 1024, 1, 1, 1, 1},
    {"kokoro style 128-1024", 128, 1024, 1, 1, 1, 1},
};
const int n_conv_shapes = COUNT(conv_shapes);

enum weight_type { WEIGHT_F32, WEIGHT_F16, WEIGHT_BF16 };

enum {
    BIAS = 1,
    ADD = 2,
    ADD2 = 4,
    ADD_IS_Y = 8,
    ADD2_IS_Y = 16,
    NO_Y = 32,
    ACT = 64,
    SPECIALS = 128
};

/* One convolution with its buffers. */
struct conv_test {
    struct ut_conv op;
    enum weight_type type;
    int flags;
    struct block x, w, bias, add, add2, y, act;
    float *dense;  /* [n_out][n_taps][n_in], the weights as values */
    float *before; /* y's rectangle (n_rows x y_row floats) before the call, when it is an addend */
    float *first_y, *first_act; /* results of the call over all rows */
};

/* A 16-bit weight with an exponent of -15..0 (subnormal f16 and zeros among them), as bits. */
static uint16_t random_half(struct check *c, enum weight_type type) {
    uint16_t bits = (uint16_t)random_bits(c);
    if (type == WEIGHT_F16) {
        return bits & 0xbfff; /* below 2 */
    }
    return (uint16_t)((bits & 0x807f) | random_int(c, 112, 127) << 7);
}

static float random_weight(struct check *c, enum weight_type type, void *packed, size_t i) {
    if (type == WEIGHT_F32) {
        return ((float *)packed)[i] = random_value(c);
    }
    uint16_t bits = ((uint16_t *)packed)[i] = random_half(c, type);
    return type == WEIGHT_F16 ? ut_float_from_f16(bits) : ut_float_from_bf16(bits);
}

/* Fills t->w in panel order and t->dense; needs op's sizes. */
static void make_weights(struct check *c, struct conv_test *t) {
    struct ut_conv *op = &t->op;
    int panel = c->table->panel, n_panels = (op->n_out + panel - 1) / panel;
    size_t n_block = (size_t)op->n_taps * op->n_in;
    size_t size = t->type == WEIGHT_F32 ? sizeof(float) : sizeof(uint16_t);
    t->w = block_make((size_t)n_panels * n_block * panel * size, 64);
    memset(t->w.data, 0, t->w.n_bytes);
    t->dense = malloc((size_t)op->n_out * n_block * sizeof(float) + 1);
    for (int o = 0; o < op->n_out; o++) {
        for (size_t i = 0; i < n_block; i++) {
            size_t at = ((size_t)(o / panel) * n_block + i) * panel + o % panel;
            t->dense[o * n_block + i] = random_weight(c, t->type, t->w.data, at);
        }
    }
    op->w = t->w.data;
    t->bias = block_floats((size_t)n_panels * panel);
    memset(t->bias.data, 0, t->bias.n_bytes);
    fill_random(c, t->bias.data, (size_t)op->n_out);
    op->bias = t->flags & BIAS ? t->bias.data : NULL;
}

static void make_addend(struct check *c, struct conv_test *t, struct block *b, const float **p,
                        ptrdiff_t *row, bool wanted, bool is_y) {
    struct ut_conv *op = &t->op;
    *row = is_y ? op->y_row : op->n_out + random_int(c, 0, 5);
    size_t n = span(op->n_rows, *row, op->n_out);
    *b = block_floats(is_y ? 0 : n);
    if (is_y) {
        *p = op->y;
    } else if (wanted) {
        fill_random(c, b->data, n);
        *p = b->data;
    }
}

static void make_outputs(struct check *c, struct conv_test *t, int y_stride) {
    struct ut_conv *op = &t->op;
    op->y_row = y_stride * (ptrdiff_t)(op->n_out + random_int(c, 0, 3));
    op->y_act_row = op->n_out + random_int(c, 0, 7);
    t->y = block_floats(span(op->n_rows, op->y_row, op->n_out));
    t->act = block_floats(span(op->n_rows, op->y_act_row, op->n_out));
    op->y = t->flags & NO_Y ? NULL : t->y.data;
    op->y_act = t->flags & ACT ? t->act.data : NULL;
    op->scale = t->flags & ADD ? 1.0f / 3 : 1;
    op->slope = t->flags & SPECIALS ? 0 : 0.1f;
    bool in_place = op->y && t->flags & (ADD_IS_Y | ADD2_IS_Y);
    if (in_place) {
        for (int r = 0; r < op->n_rows; r++) {
            fill_random(c, op->y + r * op->y_row, (size_t)op->n_out);
        }
    }
    t->before = malloc(t->y.n_bytes + 1);
    memcpy(t->before, t->y.data, t->y.n_bytes);
    make_addend(c, t, &t->add, &op->add, &op->add_row, t->flags & ADD,
                op->y && t->flags & ADD_IS_Y);
    make_addend(c, t, &t->add2, &op->add2, &op->add2_row, t->flags & ADD2,
                op->y && t->flags & ADD2_IS_Y);
}

/* x of exactly the floats that the convolution may read; the gaps between rows hold the pattern. */
static void make_input(struct check *c, struct conv_test *t, int x_gap, int dilation) {
    struct ut_conv *op = &t->op;
    ptrdiff_t pitch = op->n_in + x_gap;
    op->x_row = pitch;
    op->x_tap = dilation * pitch;
    int n = op->n_rows > 0 && op->n_taps > 0 ? op->n_rows + (op->n_taps - 1) * abs(dilation) : 0;
    t->x = block_floats(span(n, pitch, op->n_in));
    float *x = t->x.data;
    for (int r = 0; r < n; r++) {
        for (int i = 0; i < op->n_in; i++) {
            x[r * pitch + i] = t->flags & SPECIALS ? random_special(c) : random_value(c);
        }
    }
    op->x = dilation < 0 && n > 0 ? x + (op->n_taps - 1) * -dilation * pitch : x;
}

static void run(const struct check *c, const struct conv_test *t, int first, int end) {
    struct ut_conv op = t->op;
    op.n_rows = end - first;
    op.x += first * op.x_row;
    op.y = op.y ? op.y + first * op.y_row : NULL;
    op.y_act = op.y_act ? op.y_act + first * op.y_act_row : NULL;
    op.add = op.add ? op.add + first * op.add_row : NULL;
    op.add2 = op.add2 ? op.add2 + first * op.add2_row : NULL;
    if (t->type == WEIGHT_F32) {
        c->table->conv_f32(&op);
    } else if (t->type == WEIGHT_F16) {
        c->table->conv_f16(&op);
    } else {
        c->table->conv_bf16(&op);
    }
}

/* Value of an addend as it was before the call. */
static double addend(const struct conv_test *t, const float *p, ptrdiff_t row, int r, int o) {
    if (!p) {
        return 0;
    }
    return p == t->op.y ? t->before[r * row + o] : p[r * row + o];
}

/* Bound: one rounding for each product and sum on the way, k + 5 in all, each at most UNIT of the
 * sum of magnitudes, and a rounding to SMALLEST for each product that is subnormal. */
static void check_element(struct check *c, const struct conv_test *t, int r, int o) {
    const struct ut_conv *op = &t->op;
    double sum = op->bias ? op->bias[o] : 0, size = fabs(sum);
    int k = op->n_taps * op->n_in;
    for (int i = 0; i < k; i++) {
        double x = op->x[r * op->x_row + i / op->n_in * op->x_tap + i % op->n_in];
        double product = x * t->dense[(size_t)o * k + i];
        sum += product;
        size += fabs(product);
    }
    double a = addend(t, op->add, op->add_row, r, o), b = addend(t, op->add2, op->add2_row, r, o);
    double want = (sum + a + b) * op->scale;
    double bound = (k + 5) * (UNIT * (size + fabs(a) + fabs(b)) + SMALLEST);
    if (op->y) {
        check_close(c, op->y[r * op->y_row + o], want, bound, r, o);
    }
    if (op->y_act) {
        double act = want > 0 ? want : want * op->slope;
        check_close(c, op->y_act[r * op->y_act_row + o], act, bound, r, o);
    }
}

static void check_elements(struct check *c, const struct conv_test *t) {
    enum { MAX_WORK = 1 << 20 }; /* products in double; of the big shapes a sample is checked */
    const struct ut_conv *op = &t->op;
    long work = (long)op->n_rows * op->n_out * op->n_taps * op->n_in;
    if (work <= MAX_WORK) {
        for (int r = 0; r < op->n_rows; r++) {
            for (int o = 0; o < op->n_out; o++) {
                check_element(c, t, r, o);
            }
        }
        return;
    }
    for (int i = 0; i < 400; i++) {
        check_element(c, t, random_int(c, 0, op->n_rows - 1), random_int(c, 0, op->n_out - 1));
    }
}

/* The same rows in pieces, for a part of the cases each alone, must give the same bits. */
static void check_splits(struct check *c, struct conv_test *t) {
    struct ut_conv *op = &t->op;
    t->first_y = malloc(t->y.n_bytes + 1);
    t->first_act = malloc(t->act.n_bytes + 1);
    memcpy(t->first_y, t->y.data, t->y.n_bytes);
    memcpy(t->first_act, t->act.data, t->act.n_bytes);
    memcpy(t->y.data, t->before, t->y.n_bytes);
    block_fill_pattern(&t->act);
    bool alone = random_int(c, 0, 2) == 0;
    for (int r = 0, end; r < op->n_rows; r = end) {
        end = alone ? r + 1 : next_split(c, r, op->n_rows);
        run(c, t, r, end);
    }
    for (int r = 0; r < op->n_rows; r++) {
        for (int o = 0; o < op->n_out; o++) {
            if (op->y) {
                check_same(c, op->y[r * op->y_row + o], t->first_y[r * op->y_row + o], r, o,
                           "split rows");
            }
            if (op->y_act) {
                check_same(c, op->y_act[r * op->y_act_row + o], t->first_act[r * op->y_act_row + o],
                           r, o, "split rows");
            }
        }
    }
}

static void free_test(struct conv_test *t) {
    struct block *blocks[] = {&t->x, &t->w, &t->bias, &t->add, &t->add2, &t->y, &t->act};
    for (int i = 0; i < COUNT(blocks); i++) {
        block_free(blocks[i]);
    }
    free(t->dense);
    free(t->before);
    free(t->first_y);
    free(t->first_act);
}

static void check_one(struct check *c, enum weight_type type, struct conv_shape s, int flags) {
    int x_gap = random_int(c, 0, 1) * random_int(c, 1, 9);
    struct conv_test t = {.type = type, .flags = flags};
    t.op.n_rows = s.n_rows;
    t.op.n_out = s.n_out;
    t.op.n_in = s.n_in;
    t.op.n_taps = s.n_taps;
    check_case(c, "%d rows, %d -> %d channels, %d taps every %d, gap %d, flags %d", s.n_rows,
               s.n_in, s.n_out, s.n_taps, s.dilation, x_gap, flags);
    make_weights(c, &t);
    make_outputs(c, &t, s.y_stride);
    make_input(c, &t, x_gap, s.dilation);
    run(c, &t, 0, s.n_rows);
    check_elements(c, &t);
    check_outside(c, &t.y, t.op.y_row, t.op.y ? s.n_rows : 0, s.n_out);
    check_outside(c, &t.act, t.op.y_act_row, t.op.y_act ? s.n_rows : 0, s.n_out);
    check_splits(c, &t);
    free_test(&t);
}

static void check_conv(struct check *c, enum weight_type type) {
    for (int size = 0; size <= 67; size++) {
        for (int which = 0; which < 4; which++) {
            struct conv_shape s = {
                .n_rows = which == 0 ? size : random_int(c, 1, 30),
                .n_out = which == 1 ? size : random_int(c, 1, 70),
                .n_in = which == 2 ? size : random_int(c, 1, 40),
                .n_taps = which == 3 ? size % 13 : random_int(c, 1, 4),
                .dilation = random_int(c, -3, 12),
                .y_stride = random_int(c, 1, 3),
            };
            check_one(c, type, s, random_int(c, 0, 255));
        }
    }
    for (int i = 0; i < n_conv_shapes; i++) {
        struct conv_shape s = conv_shapes[i];
        s.n_rows = random_int(c, 10, 50);
        check_one(c, type, s, BIAS | ACT | random_int(c, 0, 31));
    }
}

void check_conv_f32(struct check *c) {
    check_conv(c, WEIGHT_F32);
}

void check_conv_f16(struct check *c) {
    check_conv(c, WEIGHT_F16);
}

void check_conv_bf16(struct check *c) {
    check_conv(c, WEIGHT_BF16);
}
