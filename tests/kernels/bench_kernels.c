/* checkkernels --bench: throughput of every entry, and of the convolutions as a share of the peak
 * that a loop of multiply-adds in registers reaches. CPU time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "checkkernels.h"

static double cpu_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Seconds that a tenth of the calls stay below. Not the fastest call: on a virtual machine with
 * stolen time the CPU clock now and then counts a call short, and the minimum picks just that one
 * (135 % of the peak was seen). Not the median either, which suffers from other work. */
double typical_seconds(void (*call)(void *arg), void *arg) {
    enum { MIN_CALLS = 21, MAX_CALLS = 2000 };
    double seconds[MAX_CALLS], total = 0;
    int n = 0;
    while (n < MIN_CALLS || (n < MAX_CALLS && total < 0.1)) {
        double before = cpu_seconds();
        call(arg);
        seconds[n] = cpu_seconds() - before;
        total += seconds[n++];
    }
    qsort(seconds, (size_t)n, sizeof *seconds, compare_doubles);
    return seconds[n / 10];
}

struct peak {
    double (*loop)(long n);
    double n_mac;
};

static void call_peak(void *arg) {
    struct peak *p = arg;
    p->n_mac = p->loop(200000);
}

/* Multiply-adds per second; 0 for a level without a loop of its own. */
static double measure_peak(const struct ut_kernels *k) {
    struct peak p = {.loop = k->peak_f32};
    double seconds = p.loop ? typical_seconds(call_peak, &p) : 1;
    return p.n_mac / seconds;
}

struct conv_call {
    void (*conv)(const struct ut_conv *op);
    struct ut_conv op;
};

static void call_conv(void *arg) {
    struct conv_call *call = arg;
    call->conv(&call->op);
}

void *bench_zeros(size_t n_bytes) {
    size_t rounded = (n_bytes + 127) / 64 * 64;
    void *p = aligned_alloc(64, rounded);
    if (!p) {
        perror("aligned_alloc");
        exit(2);
    }
    return memset(p, 0, rounded);
}

float *bench_floats(struct check *c, size_t n) {
    float *p = bench_zeros(n * sizeof *p);
    fill_random(c, p, n);
    return p;
}

static void bench_conv(const struct ut_kernels *k, const struct conv_shape *s, int entry,
                       double peak) {
    static const char *const names[] = {"f32", "f16", "bf16"};
    void (*const convs[])(const struct ut_conv *op) = {k->conv_f32, k->conv_f16, k->conv_bf16};
    struct check c = {.table = k};
    int n_out = (s->n_out + k->panel - 1) / k->panel * k->panel;
    size_t n_weights = (size_t)n_out * s->n_taps * s->n_in;
    float *x = bench_floats(&c, (size_t)(s->n_rows + s->n_taps * s->dilation) * s->n_in);
    float *y = bench_zeros((size_t)s->n_rows * s->y_stride * s->n_out * sizeof *y);
    float *bias = bench_floats(&c, (size_t)n_out);
    void *w = entry == 0 ? bench_floats(&c, n_weights) : bench_zeros(n_weights * sizeof(uint16_t));
    struct conv_call call = {
        .conv = convs[entry],
        .op = {.x = x,
               .x_row = s->n_in,
               .x_tap = (ptrdiff_t)s->dilation * s->n_in,
               .n_taps = s->n_taps,
               .n_in = s->n_in,
               .w = w,
               .bias = bias,
               .add = y,
               .scale = 0.5f,
               .y = y,
               .slope = 0.1f,
               .add_row = (ptrdiff_t)s->y_stride * s->n_out,
               .n_rows = s->n_rows,
               .n_out = s->n_out},
    };
    call.op.y_row = call.op.add_row;
    double n_mac = (double)s->n_rows * s->n_out * s->n_taps * s->n_in;
    double rate = n_mac / typical_seconds(call_conv, &call);
    printf("%-7s conv_%-5s %-24s %6d rows %8.2f GMAC/s", ut_cpu_level_name(k->level), names[entry],
           s->name, s->n_rows, rate * 1e-9);
    if (peak > 0) {
        printf(" %6.1f %%", 100 * rate / peak);
    }
    printf("\n");
    free(x);
    free(y);
    free(bias);
    free(w);
}

enum { N_VALUES = 4096, ROW = 64 }; /* 16 kB in, 16 kB out: within the L1 or L2 cache */

struct simple_call {
    const struct ut_kernels *k;
    const char *name;
    void (*run)(const struct simple_call *call);
    float *a, *b, *y; /* N_VALUES each */
};

#define UNARY(entry)                                                                               \
    static void run_##entry(const struct simple_call *s) {                                         \
        s->k->entry##_f32(s->y, s->a, N_VALUES);                                                   \
    }
UNARY(gelu)
UNARY(gelu_tanh)
UNARY(sin)
UNARY(cos)
UNARY(tanh)
UNARY(sigmoid)
UNARY(exp)

static void modulate(const struct simple_call *s, const float *alpha) {
    enum { N_CH = 128 };
    struct ut_modulate op = {.x = s->a,
                             .x_row = N_CH,
                             .y = s->y,
                             .y_row = N_CH,
                             .scale = s->b,
                             .shift = s->b + N_CH,
                             .alpha = alpha,
                             .inv_alpha = s->b + 3 * N_CH,
                             .slope = 0.1f,
                             .n_rows = N_VALUES / N_CH,
                             .n_ch = N_CH};
    s->k->modulate_f32(&op);
}

static void run_snake(const struct simple_call *s) {
    modulate(s, s->b);
}

static void run_modulate_leaky(const struct simple_call *s) {
    modulate(s, NULL);
}

static void run_moments(const struct simple_call *s) {
    s->k->moments_f32(s->y, s->y + ROW, s->a, ROW, N_VALUES / ROW, ROW);
}

static void run_lstm_cell(const struct simple_call *s) {
    s->k->lstm_cell_f32(s->y, s->b, s->a, N_VALUES / 4);
}

static void run_leaky_relu(const struct simple_call *s) {
    s->k->leaky_relu_f32(s->y, s->a, 0.1f, N_VALUES);
}

static void run_add(const struct simple_call *s) {
    s->k->add_f32(s->y, s->a, s->b, N_VALUES);
}

static void run_sub(const struct simple_call *s) {
    s->k->sub_f32(s->y, s->a, s->b, N_VALUES);
}

static void run_mul_add(const struct simple_call *s) {
    s->k->mul_add_f32(s->y, s->a, 0.5f, s->b, N_VALUES);
}

static void run_f16_to_f32(const struct simple_call *s) {
    s->k->f16_to_f32(s->y, (const uint16_t *)s->a, N_VALUES);
}

static void run_bf16_to_f32(const struct simple_call *s) {
    s->k->bf16_to_f32(s->y, (const uint16_t *)s->a, N_VALUES);
}

static void run_f32_to_bf16(const struct simple_call *s) {
    s->k->f32_to_bf16((uint16_t *)s->y, s->a, N_VALUES);
}

static void run_gate(const struct simple_call *s) {
    s->k->gate_f32(s->y, ROW, s->a, ROW, s->b, ROW, N_VALUES / ROW, ROW);
}

static void run_softmax(const struct simple_call *s) {
    s->k->softmax_f32(s->y, ROW, N_VALUES / ROW, ROW);
}

static void run_layernorm(const struct simple_call *s) {
    s->k->layernorm_f32(s->y, ROW, s->a, ROW, s->b, ROW, s->a, s->b, 1e-5f, N_VALUES / ROW, ROW);
}

static void run_depthwise(const struct simple_call *s) {
    struct ut_depthwise op = {.x = s->a,
                              .x_row = ROW,
                              .x_tap = ROW,
                              .w = s->b,
                              .bias = s->b,
                              .y = s->y,
                              .y_row = ROW,
                              .n_taps = 3,
                              .n_rows = N_VALUES / ROW - 2,
                              .n_ch = ROW};
    s->k->depthwise_f32(&op);
}

/* Tiles of 4 outputs and 7 taps: ten points of 64 channels each. */
static const struct ut_filter_points ten_points = {.n_pairs = 4};
enum { FILTER_TILES = 6 };

static void run_filter_in(const struct simple_call *s) {
    struct ut_filter_in op = {.tiles = {&ten_points, 4, 1, 0, FILTER_TILES},
                              .x = s->a,
                              .x_row = ROW,
                              .n_rows = N_VALUES / ROW,
                              .v = s->y,
                              .v_point = FILTER_TILES * ROW,
                              .v_row = ROW,
                              .n_ch = ROW};
    s->k->filter_in_f32(&op);
}

static void run_filter_out(const struct simple_call *s) {
    struct ut_conv store = {.scale = 1,
                            .add = s->b,
                            .add_row = ROW,
                            .y = s->y,
                            .y_row = ROW,
                            .n_rows = 4 * FILTER_TILES,
                            .n_out = ROW};
    struct ut_filter_out op = {.tiles = {&ten_points, 4, 1, 0, FILTER_TILES},
                               .m = s->a,
                               .m_point = FILTER_TILES * ROW,
                               .m_row = ROW,
                               .store = &store};
    s->k->filter_out_f32(&op);
}

static void run_dot_rows(const struct simple_call *s) {
    s->k->dot_rows_f32(s->y, s->a, 32, s->b, 0.5f, 7 * 32, N_VALUES / 32 - 6);
}

static void run_spline(const struct simple_call *s) {
    struct ut_spline op = {.x = s->a,
                           .x_step = 1,
                           .params = s->b,
                           .params_row = 29,
                           .y = s->y,
                           .y_step = 1,
                           .n_rows = N_VALUES / 29,
                           .n_bins = 10,
                           .tail = 5,
                           .size_scale = 0.07f};
    s->k->spline_inverse_f32(&op);
}

static const struct {
    const char *name;
    void (*run)(const struct simple_call *call);
    int n_values; /* outputs of one call */
} simple[] = {
    {"depthwise_f32", run_depthwise, N_VALUES - 2 * ROW},
    {"filter_in_f32", run_filter_in, 10 * FILTER_TILES * ROW},
    {"filter_out_f32", run_filter_out, 4 * FILTER_TILES * ROW},
    {"dot_rows_f32", run_dot_rows, N_VALUES / 32 - 6},
    {"layernorm_f32", run_layernorm, N_VALUES},
    {"softmax_f32", run_softmax, N_VALUES},
    {"gate_f32", run_gate, N_VALUES},
    {"spline_inverse_f32", run_spline, N_VALUES / 29},
    {"modulate_f32 snake", run_snake, N_VALUES},
    {"modulate_f32 leaky", run_modulate_leaky, N_VALUES},
    {"moments_f32", run_moments, N_VALUES},
    {"lstm_cell_f32", run_lstm_cell, N_VALUES / 4},
    {"leaky_relu_f32", run_leaky_relu, N_VALUES},
    {"gelu_f32", run_gelu, N_VALUES},
    {"gelu_tanh_f32", run_gelu_tanh, N_VALUES},
    {"sin_f32", run_sin, N_VALUES},
    {"cos_f32", run_cos, N_VALUES},
    {"tanh_f32", run_tanh, N_VALUES},
    {"sigmoid_f32", run_sigmoid, N_VALUES},
    {"exp_f32", run_exp, N_VALUES},
    {"add_f32", run_add, N_VALUES},
    {"sub_f32", run_sub, N_VALUES},
    {"mul_add_f32", run_mul_add, N_VALUES},
    {"f16_to_f32", run_f16_to_f32, N_VALUES},
    {"bf16_to_f32", run_bf16_to_f32, N_VALUES},
    {"f32_to_bf16", run_f32_to_bf16, N_VALUES},
};

enum { REPEAT = 20 }; /* one call is too short to time */

static void call_simple(void *arg) {
    const struct simple_call *call = arg;
    for (int i = 0; i < REPEAT; i++) {
        call->run(call);
    }
}

bool bench_wanted(const char *name, const char *only) {
    return !only || strstr(name, only);
}

void bench_level(const struct ut_kernels *k, const char *only) {
    static const char *const conv_names[] = {"conv_f32", "conv_f16", "conv_bf16"};
    double peak = measure_peak(k);
    if (peak > 0) {
        printf("%-7s peak %.2f GMAC/s\n", ut_cpu_level_name(k->level), peak * 1e-9);
    }
    for (int entry = 0; entry < 3; entry++) {
        for (int i = 0; i < n_conv_shapes && bench_wanted(conv_names[entry], only); i++) {
            bench_conv(k, &conv_shapes[i], entry, peak);
        }
    }
    struct check c = {.table = k};
    struct simple_call call = {.k = k,
                               .a = bench_floats(&c, N_VALUES),
                               .b = bench_floats(&c, N_VALUES),
                               .y = bench_floats(&c, N_VALUES)};
    for (int i = 0; i < COUNT(simple); i++) {
        if (bench_wanted(simple[i].name, only)) {
            call.run = simple[i].run;
            double rate = (double)simple[i].n_values * REPEAT / typical_seconds(call_simple, &call);
            printf("%-7s %-20s %10.0f M values/s\n", ut_cpu_level_name(k->level), simple[i].name,
                   rate * 1e-6);
        }
    }
    free(call.a);
    free(call.b);
    free(call.y);
}
