/* See time_conv.h. A work item is a block of output rows times a group of output channels: the item
 * copies the input rows of its block, modulated, into a buffer of its thread and runs the kernel on
 * that. The copy serves all taps and panels of the item; it costs one pass over data that comes
 * from memory anyway. */
#include "compute/time_conv.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/checked.h"

enum {
    BLOCK_FLOATS =
        32 << 10, /* of input: with one panel of weights it stays in a 1 MB second-level cache */
    MIN_BLOCK_ROWS = 48,
    MAX_BLOCK_ROWS = 384,
    ROW_STEP = 24,     /* a multiple of every level's row tile */
    WANTED_ITEMS = 16, /* fewer row blocks than that are cut by output channels too */
    MIN_GROUP = 128,   /* channels of a group: the modulated copy is made for each */
    MAX_THREADS = 256
};

struct job {
    const struct ut_compute *compute;
    const struct ut_layer *layer;
    const struct ut_time_conv *op;
    int block_rows, n_blocks, n_groups, group; /* group: channels, a multiple of the panel */
    ptrdiff_t pitch;                           /* of a scratch row */
    size_t scratch_floats;
    float *scratch; /* [n_threads][scratch_floats] */
    int n_threads;
    _Atomic bool taken[MAX_THREADS]; /* scratch buffers in use */
};

static int block_rows_of(int n_ch, int n_rows) {
    int rows = BLOCK_FLOATS / n_ch / ROW_STEP * ROW_STEP;
    rows = UT_MIN(UT_MAX(rows, MIN_BLOCK_ROWS), MAX_BLOCK_ROWS);
    return UT_MIN(rows, UT_MAX(n_rows, 1));
}

static bool moments_init(struct ut_arena *arena, struct ut_moments *m, int n_rows, int n_ch,
                         int block_rows) {
    int n_blocks = (n_rows + block_rows - 1) / block_rows;
    size_t n = (size_t)n_blocks * (size_t)n_ch;
    *m = (struct ut_moments){.n_ch = n_ch,
                             .n_rows = n_rows,
                             .n_blocks = n_blocks,
                             .block_rows = block_rows,
                             .mean = ut_arena_alloc(arena, n, sizeof(float)),
                             .m2 = ut_arena_alloc(arena, n, sizeof(float))};
    return m->mean && m->m2;
}

/* Input rows first..first + n - 1, modulated, into scratch; zeros where there are none. */
static void gather(const struct job *job, float *scratch, int first, int n) {
    const struct ut_time_conv *op = job->op;
    int n_ch = job->layer->n_in;
    int begin = UT_MIN(UT_MAX(first, 0), first + n);
    int end = UT_MAX(UT_MIN(first + n, op->n_in_rows), begin);
    memset(scratch, 0, (size_t)(begin - first) * (size_t)job->pitch * sizeof *scratch);
    memset(scratch + (end - first) * job->pitch, 0,
           (size_t)(first + n - end) * (size_t)job->pitch * sizeof *scratch);
    static const struct ut_modulation identity = {.slope = 1};
    const struct ut_modulation *m = op->modulation ? op->modulation : &identity;
    struct ut_modulate modulate = {.x = op->x + begin * op->x_row,
                                   .x_row = op->x_row,
                                   .y = scratch + (begin - first) * job->pitch,
                                   .y_row = job->pitch,
                                   .scale = m->scale,
                                   .shift = m->shift,
                                   .alpha = m->alpha,
                                   .inv_alpha = m->inv_alpha,
                                   .slope = m->slope,
                                   .n_rows = end - begin,
                                   .n_ch = n_ch};
    job->compute->kernels->modulate_f32(&modulate);
}

static void convolve(const struct job *job, const float *x, ptrdiff_t x_row, int t, int n_rows,
                     int first_channel) {
    const struct ut_time_conv *op = job->op;
    const struct ut_layer *layer = job->layer;
    const struct ut_kernels *kernels = job->compute->kernels;
    size_t group_weights = (size_t)first_channel * (size_t)layer->n_taps * (size_t)layer->n_in;
    struct ut_conv conv = {
        .x = x,
        .x_row = op->stride * x_row,
        .x_tap = op->dilation * x_row,
        .n_taps = layer->n_taps,
        .n_in = layer->n_in,
        .w = (const char *)layer->panels + group_weights * ut_dtype_size(layer->type),
        .bias = layer->bias + first_channel,
        .add = op->add ? op->add + t * op->add_row + first_channel : NULL,
        .add_row = op->add_row,
        .add2 = op->add2 ? op->add2 + t * op->add2_row + first_channel : NULL,
        .add2_row = op->add2_row,
        .scale = op->out_scale,
        .y = op->y + t * op->y_row + first_channel,
        .y_row = op->y_row,
        .n_rows = n_rows,
        .n_out = UT_MIN(job->group, layer->n_out - first_channel),
    };
    ut_conv_kernel(kernels, layer->type)(&conv);
    if (op->moments) {
        size_t at = (size_t)(t / job->block_rows) * (size_t)layer->n_out + (size_t)first_channel;
        kernels->moments_f32(op->moments->mean + at, op->moments->m2 + at, conv.y, conv.y_row,
                             n_rows, conv.n_out);
    }
}

static bool reads_in_place(const struct job *job) {
    const struct ut_time_conv *op = job->op;
    int last = (op->n_rows - 1) * op->stride + (job->layer->n_taps - 1) * op->dilation;
    return !op->modulation && op->pad == 0 && last < op->n_in_rows;
}

static int take_scratch(struct job *job) {
    for (int i = 0;; i = (i + 1) % job->n_threads) {
        if (!atomic_exchange(&job->taken[i], true)) {
            return i;
        }
    }
}

/* Items begin..end - 1. Groups of one block follow each other, so that its copy is made once where
 * one thread has them all. */
static void run_items(void *user, int begin, int end) {
    struct job *job = user;
    const struct ut_time_conv *op = job->op;
    bool in_place = reads_in_place(job);
    int slot = in_place ? 0 : take_scratch(job), copied = -1;
    float *scratch = in_place ? NULL : job->scratch + (size_t)slot * job->scratch_floats;
    for (int item = begin; item < end; item++) {
        int block = item / job->n_groups, t = block * job->block_rows;
        int n_rows = UT_MIN(job->block_rows, op->n_rows - t), first = t * op->stride - op->pad;
        if (!in_place && copied != block) {
            int n_in = (n_rows - 1) * op->stride + (job->layer->n_taps - 1) * op->dilation + 1;
            gather(job, scratch, first, n_in);
            copied = block;
        }
        convolve(job, in_place ? op->x + first * op->x_row : scratch,
                 in_place ? op->x_row : job->pitch, t, n_rows, item % job->n_groups * job->group);
    }
    if (!in_place) {
        atomic_store(&job->taken[slot], false);
    }
}

static void split(struct job *job) {
    int n_out = job->layer->n_out, panel = job->compute->kernels->panel;
    int wanted = (WANTED_ITEMS + job->n_blocks - 1) / job->n_blocks;
    int group = UT_MAX((n_out + wanted - 1) / wanted, MIN_GROUP);
    job->group = (group + panel - 1) / panel * panel;
    job->n_groups = (n_out + job->group - 1) / job->group;
}

bool ut_time_conv_run(const struct ut_compute *compute, struct ut_arena *arena,
                      const struct ut_layer *layer, const struct ut_time_conv *op) {
    struct job job = {.compute = compute, .layer = layer, .op = op};
    job.block_rows = block_rows_of(layer->n_in * op->stride, op->n_rows);
    job.n_blocks = (op->n_rows + job.block_rows - 1) / job.block_rows;
    if (op->moments &&
        !moments_init(arena, op->moments, op->n_rows, layer->n_out, job.block_rows)) {
        return false;
    }
    if (op->n_rows == 0) {
        return true;
    }
    split(&job);
    /* Rows of 1024 floats would all fall into one set of the first-level cache. */
    job.pitch = (layer->n_in + 15) / 16 * 16 + 16;
    job.n_threads = ut_pool_threads(compute->pool);
    struct ut_arena_mark mark = ut_arena_mark(arena);
    if (!reads_in_place(&job)) {
        size_t rows = (size_t)(job.block_rows - 1) * (size_t)op->stride +
                      (size_t)(layer->n_taps - 1) * (size_t)op->dilation + 1;
        job.scratch_floats = rows * (size_t)job.pitch;
        job.scratch =
            ut_arena_alloc(arena, (size_t)job.n_threads * job.scratch_floats, sizeof(float));
        if (!job.scratch) {
            return false;
        }
    }
    ut_pool_run(compute->pool, job.n_blocks * job.n_groups, 1, run_items, &job);
    ut_arena_rewind(arena, mark);
    return true;
}

/* ---- Statistics ---------------------------------------------------------------------------------
 */

struct moments_job {
    const struct ut_kernels *kernels;
    const struct ut_moments *moments;
    const float *x;
    ptrdiff_t x_row;
};

static void take_blocks(void *user, int begin, int end) {
    const struct moments_job *job = user;
    const struct ut_moments *m = job->moments;
    for (int b = begin; b < end; b++) {
        int t = b * m->block_rows;
        size_t at = (size_t)b * (size_t)m->n_ch;
        job->kernels->moments_f32(m->mean + at, m->m2 + at, job->x + t * job->x_row, job->x_row,
                                  UT_MIN(m->block_rows, m->n_rows - t), m->n_ch);
    }
}

bool ut_moments_take(const struct ut_compute *compute, struct ut_arena *arena, const float *x,
                     ptrdiff_t x_row, int n_rows, int n_ch, struct ut_moments *out) {
    if (!moments_init(arena, out, n_rows, n_ch, block_rows_of(n_ch, n_rows))) {
        return false;
    }
    struct moments_job job = {compute->kernels, out, x, x_row};
    ut_pool_run(compute->pool, out->n_blocks, 1, take_blocks, &job);
    return true;
}

/* Chan, Golub and LeVeque's rule for the moments of two sets, block after block. */
static void combine(const struct ut_moments *m, int c, double *mean, double *m2) {
    double n = 0;
    *mean = *m2 = 0;
    for (int b = 0; b < m->n_blocks; b++) {
        size_t at = (size_t)b * (size_t)m->n_ch + (size_t)c;
        double n_block = UT_MIN(m->block_rows, m->n_rows - b * m->block_rows);
        double delta = (double)m->mean[at] - *mean;
        *mean += delta * n_block / (n + n_block);
        *m2 += (double)m->m2[at] + delta * delta * n * n_block / (n + n_block);
        n += n_block;
    }
}

void ut_adain_fold(const struct ut_moments *moments, const float *style, float eps, float *scale,
                   float *shift) {
    int n_ch = moments->n_ch;
    for (int c = 0; c < n_ch; c++) {
        double mean, m2;
        combine(moments, c, &mean, &m2);
        double factor = (1 + (double)style[c]) / sqrt(m2 / moments->n_rows + (double)eps);
        scale[c] = (float)factor;
        shift[c] = (float)((double)style[n_ch + c] - mean * factor);
    }
}
