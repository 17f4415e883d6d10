/* Splitting operations over threads by rows. */
#include "base/checked.h"
#include "compute/compute.h"

/* A multiple of the row tiles of every level's convolution, so that few tiles are cut. */
enum { CONV_GRAIN = 24, ROW_GRAIN = 16 };

struct conv_job {
    const struct ut_conv *op;
    void (*kernel)(const struct ut_conv *op);
};

/* Rows are independent, so a part is the same operation with its pointers moved. */
static void conv_rows(void *user, int begin, int end) {
    const struct conv_job *job = user;
    struct ut_conv part = *job->op;
    part.x += begin * part.x_row;
    part.add = part.add ? part.add + begin * part.add_row : NULL;
    part.add2 = part.add2 ? part.add2 + begin * part.add2_row : NULL;
    part.y = part.y ? part.y + begin * part.y_row : NULL;
    part.y_act = part.y_act ? part.y_act + begin * part.y_act_row : NULL;
    part.n_rows = end - begin;
    job->kernel(&part);
}

/* The caller's addends and pitches, the layer's weights. */
void ut_conv(const struct ut_compute *compute, const struct ut_layer *layer,
             const struct ut_conv *op) {
    struct ut_conv whole = *op;
    whole.w = layer->panels;
    whole.bias = op->bias ? op->bias : layer->bias;
    whole.n_taps = layer->n_taps;
    whole.n_in = layer->n_in;
    whole.n_out = layer->n_out;
    struct conv_job job = {&whole, ut_conv_kernel(compute->kernels, layer->type)};
    ut_layer_count(compute, layer, op->n_rows);
    ut_pool_run(compute->pool, op->n_rows, CONV_GRAIN, conv_rows, &job);
}

struct depthwise_job {
    const struct ut_depthwise *op;
    const struct ut_kernels *kernels;
};

static void depthwise_rows(void *user, int begin, int end) {
    const struct depthwise_job *job = user;
    struct ut_depthwise part = *job->op;
    part.x += begin * part.x_row;
    part.y += begin * part.y_row;
    part.n_rows = end - begin;
    job->kernels->depthwise_f32(&part);
}

/* Weights are read by every thread and counted once. */
void ut_depthwise(const struct ut_compute *compute, const struct ut_depthwise *op) {
    struct depthwise_job job = {op, compute->kernels};
    uint64_t n = (uint64_t)op->n_taps * (uint64_t)op->n_ch;
    ut_tally_count(compute->tally, UT_TALLY_F32, n * (uint64_t)op->n_rows, op->w,
                   (size_t)n * sizeof *op->w);
    ut_pool_run(compute->pool, op->n_rows, ROW_GRAIN, depthwise_rows, &job);
}

struct norm_job {
    const struct ut_kernels *kernels;
    const struct ut_norm *norm;
    float *y;
    const float *x, *add;
    int n_ch;
};

static void norm_rows(void *user, int begin, int end) {
    const struct norm_job *j = user;
    ptrdiff_t at = (ptrdiff_t)begin * j->n_ch;
    j->kernels->layernorm_f32(j->y + at, j->n_ch, j->x + at, j->n_ch, j->add ? j->add + at : NULL,
                              j->n_ch, j->norm->gamma, j->norm->beta, j->norm->eps, end - begin,
                              j->n_ch);
}

void ut_layernorm(const struct ut_compute *compute, const struct ut_norm *norm, float *y,
                  const float *x, const float *add, int n_rows, int n_ch) {
    struct norm_job job = {compute->kernels, norm, y, x, add, n_ch};
    ut_pool_run(compute->pool, n_rows, ROW_GRAIN, norm_rows, &job);
}

/* Functions that take each row, or each value, by itself. */
struct map_job {
    const struct ut_kernels *kernels;
    float *y;
    const float *x;
    int n_ch;
};

static void gate_rows(void *user, int begin, int end) {
    const struct map_job *j = user;
    const float *x = j->x + (ptrdiff_t)begin * 2 * j->n_ch;
    j->kernels->gate_f32(j->y + (ptrdiff_t)begin * j->n_ch, j->n_ch, x, 2 * j->n_ch, x + j->n_ch,
                         2 * j->n_ch, end - begin, j->n_ch);
}

void ut_gate(const struct ut_compute *compute, float *y, const float *x, int n_rows, int n_ch) {
    struct map_job job = {compute->kernels, y, x, n_ch};
    ut_pool_run(compute->pool, n_rows, ROW_GRAIN, gate_rows, &job);
}

static void gelu_rows(void *user, int begin, int end) {
    const struct map_job *j = user;
    ptrdiff_t at = (ptrdiff_t)begin * j->n_ch;
    j->kernels->gelu_f32(j->y + at, j->x + at, (size_t)(end - begin) * (size_t)j->n_ch);
}

void ut_gelu(const struct ut_compute *compute, float *x, int n_rows, int n_ch) {
    struct map_job job = {compute->kernels, x, x, n_ch};
    ut_pool_run(compute->pool, n_rows, ROW_GRAIN, gelu_rows, &job);
}

static void gelu_tanh_rows(void *user, int begin, int end) {
    const struct map_job *j = user;
    ptrdiff_t at = (ptrdiff_t)begin * j->n_ch;
    j->kernels->gelu_tanh_f32(j->y + at, j->x + at, (size_t)(end - begin) * (size_t)j->n_ch);
}

void ut_gelu_tanh(const struct ut_compute *compute, float *x, int n_rows, int n_ch) {
    struct map_job job = {compute->kernels, x, x, n_ch};
    ut_pool_run(compute->pool, n_rows, ROW_GRAIN, gelu_tanh_rows, &job);
}

struct tanh_job {
    const struct ut_kernels *kernels;
    float *y, *linear;
    const float *x, *w;
    ptrdiff_t x_row;
    int n;
};

/* The sums go where they are wanted, or into y first: tanh is taken in place then. */
static void tanh_rows(void *user, int begin, int end) {
    const struct tanh_job *j = user;
    float *sum = j->linear ? j->linear : j->y;
    j->kernels->dot_rows_f32(sum + begin, j->x + begin * j->x_row, j->x_row, j->w, 0, j->n,
                             end - begin);
    j->kernels->tanh_f32(j->y + begin, sum + begin, (size_t)(end - begin));
}

void ut_conv_tanh(const struct ut_compute *compute, float *y, float *linear, const float *x,
                  ptrdiff_t x_row, const float *w, int n, int n_rows) {
    struct tanh_job job = {compute->kernels, y, linear, x, w, x_row, n};
    ut_tally_count(compute->tally, UT_TALLY_F32, (uint64_t)n * (uint64_t)n_rows, w,
                   (size_t)n * sizeof *w);
    ut_pool_run(compute->pool, n_rows, ROW_GRAIN, tanh_rows, &job);
}
