/* See window.h. */
#include "models/piper/window.h"

#include <string.h>

#include "base/checked.h"
#include "compute/minimal.h"

static char *row_of(const struct ut_piper_window *w, int64_t row) {
    return w->data + (row - w->first) * w->pitch;
}

static float *scale_of(const struct ut_piper_window *w, int64_t row) {
    return w->scale + (row - w->first);
}

/* Bytes too are cleared: those of a row that counts as zeros are still read. */
static void clear(struct ut_piper_window *w, int64_t from, int n) {
    memset(row_of(w, from), 0, (size_t)n * (size_t)w->pitch);
    if (w->kind) {
        memset(scale_of(w, from), 0, (size_t)n * sizeof(float));
    }
}

/* The shared part of both: kind, n_ch and zero are set. Row -n_before is the first, so row 0 stands
 * behind the zeros. */
static bool init(struct ut_arena *arena, struct ut_piper_window *w, int64_t capacity,
                 int n_before) {
    w->pitch = (ptrdiff_t)(w->kind ? w->kind->row_bytes(w->n_ch) : (size_t)w->n_ch * sizeof(float));
    w->data = ut_arena_alloc(arena, (size_t)capacity, (size_t)w->pitch);
    w->scale = w->kind ? ut_arena_alloc(arena, (size_t)capacity, sizeof(float)) : NULL;
    w->first = -n_before;
    if (!w->data || (w->kind && !w->scale)) {
        return false;
    }
    clear(w, w->first, n_before);
    return true;
}

bool ut_piper_window_init(struct ut_arena *arena, struct ut_piper_window *w,
                          const struct piper_conv *reader, int64_t capacity, int n_before) {
    const struct ut_narrow_layer *narrow = reader->layer.narrow;
    *w = (struct ut_piper_window){.kind = narrow ? narrow->kind : NULL,
                                  .n_ch = reader->layer.n_in,
                                  .zero = narrow ? narrow->zero : 0};
    return init(arena, w, capacity, n_before);
}

bool ut_piper_window_init_floats(struct ut_arena *arena, struct ut_piper_window *w, int n_ch,
                                 int64_t capacity, int n_before) {
    *w = (struct ut_piper_window){.n_ch = n_ch};
    return init(arena, w, capacity, n_before);
}

bool ut_piper_window_over(struct ut_arena *arena, struct ut_piper_window *w,
                          const struct piper_conv *reader, float *x, ptrdiff_t x_row, int n_rows) {
    int pad = reader->pad;
    if (!reader->layer.narrow) {
        *w = (struct ut_piper_window){.data = (char *)(x - pad * x_row),
                                      .pitch = x_row * (ptrdiff_t)sizeof(float),
                                      .n_ch = reader->layer.n_in,
                                      .first = -pad,
                                      .end = n_rows};
        return true;
    }
    bool ok = ut_piper_window_init(arena, w, reader, (int64_t)n_rows + 2 * pad, pad);
    w->end = n_rows;
    if (ok) {
        ut_piper_window_pad(w, pad);
    }
    return ok;
}

float *ut_piper_window_floats(const struct ut_piper_window *w, int64_t row) {
    return (float *)(void *)row_of(w, row);
}

void ut_piper_window_drop(struct ut_piper_window *w, int64_t keep_from) {
    if (w->data && keep_from > w->first) {
        ut_piper_window_move(w, keep_from, w);
    }
}

/* `to` may be w itself. Rows behind `end`, such as zeros of the padding, are not moved: callers pad
 * again. */
void ut_piper_window_move(struct ut_piper_window *w, int64_t keep_from,
                          const struct ut_piper_window *to) {
    int64_t first = UT_MAX(UT_MIN(keep_from, w->end), w->first), keep = w->end - first;
    memmove(to->data, row_of(w, first), (size_t)keep * (size_t)w->pitch);
    if (w->kind) {
        memmove(to->scale, scale_of(w, first), (size_t)keep * sizeof(float));
    }
    w->data = to->data;
    w->scale = to->scale;
    w->first = first;
}

void ut_piper_window_pad(struct ut_piper_window *w, int n) {
    clear(w, w->end, n);
}

static struct ut_narrow_rows narrow_rows(const struct ut_piper_window *w, int64_t row, int step) {
    return (struct ut_narrow_rows){.data = row_of(w, row),
                                   .row = step * w->pitch,
                                   .scale = scale_of(w, row),
                                   .scale_row = step,
                                   .zero = w->zero};
}

/* The leaky ReLU of x to rows row, row + step, ... of a narrow window. */
static void quantize(const struct ut_compute *compute, const struct ut_piper_window *w, int64_t row,
                     int step, const struct ut_modulate *from) {
    struct ut_narrow_rows to = narrow_rows(w, row, step);
    ut_narrow_quantize(compute, w->kind, from, &to);
}

void ut_piper_window_put(const struct ut_compute *compute, const struct ut_piper_window *w,
                         int64_t row, const float *x, ptrdiff_t x_row, int n_rows) {
    if (w->kind) {
        struct ut_modulate from = {
            .x = x, .x_row = x_row, .slope = 1, .n_rows = n_rows, .n_ch = w->n_ch};
        quantize(compute, w, row, 1, &from);
    }
}

static struct ut_conv float_op(const struct piper_conv *conv, const struct ut_piper_step *step) {
    const struct ut_piper_window *x = step->x, *act = step->act;
    bool floats = act && !act->kind;
    ptrdiff_t x_row = x->pitch / (ptrdiff_t)sizeof(float);
    return (struct ut_conv){.x = ut_piper_window_floats(x, step->from - conv->pad),
                            .x_row = x_row,
                            .x_tap = conv->dilation * x_row,
                            .bias = step->bias,
                            .add = step->add,
                            .add_row = step->row,
                            .add2 = step->add2,
                            .add2_row = step->row,
                            .scale = step->scale,
                            .y = step->y,
                            .y_row = step->row,
                            .y_act = floats ? ut_piper_window_floats(act, step->act_from) : NULL,
                            .y_act_row =
                                floats ? step->act_step * act->pitch / (ptrdiff_t)sizeof(float) : 0,
                            .slope = step->slope,
                            .n_rows = step->n_rows};
}

static void float_step(const struct ut_compute *compute, const struct piper_conv *conv,
                       const struct ut_piper_step *step) {
    const struct ut_piper_window *act = step->act;
    struct ut_conv op = float_op(conv, step);
    ut_conv(compute, &conv->layer, &op);
    if (act && act->kind) {
        struct ut_modulate from = {.x = step->y,
                                   .x_row = step->row,
                                   .slope = step->slope,
                                   .n_rows = step->n_rows,
                                   .n_ch = act->n_ch};
        quantize(compute, act, step->act_from, step->act_step, &from);
    }
}

static void narrow_step(const struct ut_compute *compute, const struct piper_conv *conv,
                        const struct ut_piper_step *step) {
    const struct ut_piper_window *x = step->x, *act = step->act;
    struct ut_narrow_conv op = {.x = row_of(x, step->from - conv->pad),
                                .x_row = x->pitch,
                                .x_tap = conv->dilation * x->pitch,
                                .x_scale = scale_of(x, step->from - conv->pad),
                                .scale_row = 1,
                                .scale_tap = conv->dilation,
                                .bias = step->bias,
                                .add = step->add,
                                .add_row = step->row,
                                .add2 = step->add2,
                                .add2_row = step->row,
                                .scale = step->scale,
                                .y = step->y,
                                .y_row = step->row,
                                .slope = step->slope,
                                .n_rows = step->n_rows};
    if (act && act->kind) {
        op.q = narrow_rows(act, step->act_from, step->act_step);
    } else if (act) {
        op.y_act = ut_piper_window_floats(act, step->act_from);
        op.y_act_row = step->act_step * act->pitch / (ptrdiff_t)sizeof(float);
    }
    ut_narrow_conv(compute, conv->layer.narrow, &op);
}

void ut_piper_step(const struct ut_compute *compute, const struct piper_conv *conv,
                   const struct ut_piper_step *step) {
    if (conv->layer.narrow) {
        narrow_step(compute, conv, step);
    } else {
        float_step(compute, conv, step);
    }
}

bool ut_piper_filter_step(const struct ut_compute *compute, struct ut_arena *arena,
                          const struct piper_conv *conv, const struct ut_piper_step *step) {
    if (conv->layer.minimal) {
        struct ut_conv op = float_op(conv, step);
        return ut_minimal_conv(compute, arena, &conv->layer, &op);
    }
    ut_piper_step(compute, conv, step);
    return true;
}

int ut_piper_grid(const struct piper_conv *conv) {
    return conv->layer.minimal ? ut_minimal_grid(&conv->layer) * conv->dilation : 1;
}

int64_t ut_piper_rows_possible(const struct piper_conv *conv, const struct ut_piper_window *x,
                               int64_t total, int64_t most) {
    int64_t to = UT_MIN(x->end == total ? total : UT_MAX(x->end - conv->pad, 0), most);
    return to == total ? total : to - to % ut_piper_grid(conv);
}

int64_t ut_piper_rows_needed(const struct piper_conv *conv, int64_t to) {
    int grid = ut_piper_grid(conv);
    return (to + grid - 1) / grid * grid + conv->pad;
}
