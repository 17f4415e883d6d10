/* checkkernels --bench for narrow arithmetic: the convolutions as a share of what a loop of the
 * same products in registers reaches, once with a residual in floats (y = conv + y) and once with
 * the narrow form of the activation as the only result; rows of floats into narrow form. CPU time.
 */
#include <stdio.h>
#include <stdlib.h>

#include "checkkernels.h"
#include "kernels/levels.h"

struct peak_call {
    double (*loop)(long n);
    double n_mac;
};

static void call_peak(void *arg) {
    struct peak_call *p = arg;
    p->n_mac = p->loop(200000);
}

/* Products per second; 0 for a table without a loop of its own. */
static double measure_peak(const struct ut_narrow *kind) {
    struct peak_call p = {.loop = kind->peak};
    double seconds = p.loop ? typical_seconds(call_peak, &p) : 1;
    return p.n_mac / seconds;
}

struct conv_call {
    const struct ut_narrow *kind;
    struct ut_narrow_conv op;
};

static void call_conv(void *arg) {
    const struct conv_call *call = arg;
    call->kind->conv(&call->op);
}

static struct ut_narrow_rows rows_new(const struct ut_narrow *kind, int n_rows, int n_ch) {
    struct ut_narrow_rows rows = {
        .row = (ptrdiff_t)kind->row_bytes(n_ch), .scale_row = 1, .zero = UT_NARROW_ZERO_LEAKY};
    rows.data = bench_zeros((size_t)n_rows * (size_t)rows.row);
    rows.scale = bench_floats(&(struct check){0}, (size_t)n_rows);
    return rows;
}

static double conv_rate(struct conv_call *call) {
    const struct ut_narrow_conv *op = &call->op;
    double n_mac = (double)op->n_rows * op->n_out * op->n_taps * op->n_in;
    return n_mac / typical_seconds(call_conv, call);
}

static void bench_conv(const struct ut_narrow *kind, const char *level, const char *entry,
                       const struct conv_shape *s, double peak) {
    struct check c = {0};
    int n_panels = (s->n_out + kind->panel - 1) / kind->panel, n_padded = n_panels * kind->panel;
    struct ut_narrow_rows x = rows_new(kind, s->n_rows + s->n_taps * s->dilation, s->n_in);
    struct ut_narrow_rows q = rows_new(kind, s->n_rows, s->n_out);
    float *y = bench_zeros((size_t)s->n_rows * s->y_stride * s->n_out * sizeof *y);
    float *bias = bench_floats(&c, (size_t)n_padded);
    void *w = bench_zeros((size_t)n_panels * kind->panel_bytes(s->n_taps, s->n_in));
    struct conv_call call = {kind,
                             {.x = x.data,
                              .x_row = x.row,
                              .x_tap = s->dilation * x.row,
                              .x_scale = x.scale,
                              .scale_row = 1,
                              .scale_tap = s->dilation,
                              .n_taps = s->n_taps,
                              .n_in = s->n_in,
                              .w = w,
                              .w_scale = bias,
                              .bias = bias,
                              .add = y,
                              .scale = 0.5f,
                              .y = y,
                              .slope = 0.1f,
                              .add_row = (ptrdiff_t)s->y_stride * s->n_out,
                              .n_rows = s->n_rows,
                              .n_out = s->n_out}};
    call.op.y_row = call.op.add_row;
    double rates[2] = {conv_rate(&call)};
    call.op.add = call.op.y = NULL;
    call.op.q = q;
    rates[1] = conv_rate(&call);
    printf("%-7s %-8s %-24s %6d rows, floats %7.2f GMAC/s", level, entry, s->name, s->n_rows,
           rates[0] * 1e-9);
    printf(peak > 0 ? " %5.1f %%" : "", 100 * rates[0] / peak);
    printf(", narrow %7.2f", rates[1] * 1e-9);
    printf(peak > 0 ? " %5.1f %%\n" : "\n", 100 * rates[1] / peak);
    void *arrays[] = {x.data, x.scale, q.data, q.scale, y, bias, w};
    for (int i = 0; i < COUNT(arrays); i++) {
        free(arrays[i]);
    }
}

struct quantize_call {
    const struct ut_narrow *kind;
    struct ut_modulate from;
    struct ut_narrow_rows to;
};

static void call_quantize(void *arg) {
    const struct quantize_call *call = arg;
    call->kind->quantize(&call->from, &call->to);
}

static void bench_quantize(const struct ut_narrow *kind, const char *level, const char *entry,
                           int n_ch) {
    enum { N_VALUES = 1 << 16 };
    struct check c = {0};
    float *x = bench_floats(&c, N_VALUES), *per_channel = bench_floats(&c, 4 * (size_t)n_ch);
    struct quantize_call call = {
        kind,
        {.x = x, .x_row = n_ch, .slope = 1, .n_rows = N_VALUES / n_ch, .n_ch = n_ch},
        rows_new(kind, N_VALUES / n_ch, n_ch)};
    double plain = N_VALUES / typical_seconds(call_quantize, &call);
    call.from.scale = per_channel;
    call.from.shift = per_channel + n_ch;
    call.from.slope = 0.1f;
    double leaky = N_VALUES / typical_seconds(call_quantize, &call);
    call.from.alpha = per_channel + 2 * n_ch;
    call.from.inv_alpha = per_channel + 3 * n_ch;
    double snake = N_VALUES / typical_seconds(call_quantize, &call);
    printf("%-7s %-12s %4d channels: plain %6.0f M values/s, leaky ReLU %6.0f, snake %6.0f\n",
           level, entry, n_ch, plain * 1e-6, leaky * 1e-6, snake * 1e-6);
    void *arrays[] = {x, per_channel, call.to.data, call.to.scale};
    for (int i = 0; i < COUNT(arrays); i++) {
        free(arrays[i]);
    }
}

static void bench_kinds(const struct ut_kernels *k, const char *only, bool is_float) {
    static const char *const names[2][2] = {{"conv_i8", "quantize_i8"},
                                            {"conv_b16", "quantize_b16"}};
    const struct ut_narrow *kinds[UT_KERNELS_MAX_NARROW];
    int n = ut_kernels_narrow_kinds(k->level, is_float, kinds);
    const char *level = ut_cpu_level_name(k->level);
    for (int i = 0; i < n; i++) {
        double peak = bench_wanted(names[is_float][0], only) ? measure_peak(kinds[i]) : 0;
        printf(peak > 0 ? "%-7s %s: peak %.2f GMAC/s\n" : "%-7s %s\n", level, kinds[i]->name,
               peak * 1e-9);
        for (int s = 0; s < n_conv_shapes && bench_wanted(names[is_float][0], only); s++) {
            bench_conv(kinds[i], level, names[is_float][0], &conv_shapes[s], peak);
        }
        for (int n_ch = 32; n_ch <= 1024 && bench_wanted(names[is_float][1], only); n_ch *= 2) {
            bench_quantize(kinds[i], level, names[is_float][1], n_ch);
        }
    }
}

void bench_narrow(const struct ut_kernels *table, const char *only) {
    if (table->level == UT_CPU_SCALAR) {
        return; /* the definition: minutes, and nobody runs it for its speed */
    }
    bench_kinds(table, only, false);
    bench_kinds(table, only, true);
}
