/* See time_conv.h. A work item is a block of output rows times a group of output channels: the item
 * copies the input rows of its block, modulated, into a buffer of its thread and runs the kernel on
 * that. The copy serves all taps and panels of the item; it costs one pass over data that comes
 * from memory anyway. */
#include "compute/time_conv.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/checked.h"
#include "compute/minimal.h"
#include "compute/narrow.h"

enum {
    BLOCK_FLOATS =
        32 << 10, /* of input: with one panel of weights it stays in a 1 MB second-level cache */
    MIN_BLOCK_ROWS = 48,
    MAX_BLOCK_ROWS = 384,
    ROW_STEP = 24,     /* a multiple of every level's row tile */
    WANTED_ITEMS = 16, /* fewer row blocks than that are cut by output channels too */
    MIN_GROUP = 128,   /* channels of a group: the modulated copy is made for each */
    HALF_ROWS = 16,    /* of bfloat16 as floats at a time, in the first-level cache */
};

struct job {
    const struct ut_compute *compute;
    const struct ut_layer *layer;
    const struct ut_time_conv *op;
    int block_rows, n_blocks, n_groups, group; /* group: channels, a multiple of the panel */
    int copy_rows;                             /* input rows of a block */
    ptrdiff_t pitch;                           /* bytes of a row in a copy */
    /* Of a thread's memory: copy_rows * pitch, and behind them the scales of narrow rows or the
     * transformed tiles of minimal filtering; then what bfloat16 goes through as floats: HALF_ROWS
     * input rows, and block_rows + 1 output rows of a group. */
    size_t floats_at, copy_bytes;
    char *copies; /* [slots.n][copy_bytes] */
    struct ut_slots slots;
};

utter_status ut_time_conv_pack(const struct ut_compute *compute, struct ut_arena *arena,
                               const struct ut_layer_source *source, int zero, struct ut_layer *out,
                               utter_error *err) {
    struct ut_layer_source any = *source;
    any.minimal = true;
    return source->n_in > UT_NARROW_MAX_CH
               ? ut_layer_pack(compute, arena, &any, out, err)
               : ut_narrow_pack_layer(compute, arena, &any, zero, out, err);
}

/* By shapes only: the blocks, and with them the rounding of statistics, are the same on every
 * machine. */
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

/* A block of output rows: where its input lies. */
struct block {
    char *x;
    ptrdiff_t x_row; /* bytes */
    float *scales;   /* of narrow rows */
    float *floats;   /* of input, or output, in bfloat16 */
    struct ut_minimal_part tiles;
    int t, n_rows;
};

/* Element `at` of rows in either form; NULL stays NULL. */
static const void *element(const void *x, bool half, ptrdiff_t at) {
    ptrdiff_t size = half ? sizeof(uint16_t) : sizeof(float);
    return x ? (const char *)x + at * size : NULL;
}

/* Rows of `from` into the block from row `at` on, in the layer's arithmetic. */
static void gather_rows(const struct job *job, const struct ut_modulate *from,
                        const struct block *block, int at) {
    const struct ut_narrow_layer *narrow = job->layer->narrow;
    if (narrow) {
        struct ut_narrow_rows to = {.data = block->x + at * block->x_row,
                                    .row = block->x_row,
                                    .scale = block->scales + at,
                                    .scale_row = 1,
                                    .zero = narrow->zero};
        narrow->kind->quantize(from, &to);
    } else {
        struct ut_modulate op = *from;
        op.y = (float *)(block->x + at * block->x_row);
        op.y_row = block->x_row / (ptrdiff_t)sizeof(float);
        job->compute->kernels->modulate_f32(&op);
    }
}

/* gather_rows of rows in bfloat16, `x`. */
static void gather_half_rows(const struct job *job, const struct ut_modulate *from,
                             const struct block *block, int at, const uint16_t *x) {
    struct ut_modulate part = *from;
    size_t n_ch = (size_t)from->n_ch;
    part.x = block->floats;
    part.x_row = from->n_ch;
    for (int t = 0; t < from->n_rows; t += HALF_ROWS) {
        part.n_rows = UT_MIN(from->n_rows - t, HALF_ROWS);
        for (int r = 0; r < part.n_rows; r++) {
            job->compute->kernels->bf16_to_f32(block->floats + (size_t)r * n_ch,
                                               x + (t + r) * from->x_row, n_ch);
        }
        gather_rows(job, &part, block, at + t);
    }
}

/* n rows of zeros from row `at` of a block's input on. */
static void clear_rows(const struct job *job, const struct block *block, int at, int n) {
    memset(block->x + at * block->x_row, 0, (size_t)n * (size_t)block->x_row);
    if (job->layer->narrow) {
        memset(block->scales + at, 0, (size_t)n * sizeof *block->scales);
    }
}

/* Tiles of minimal filtering that make so many rows. */
static int n_tiles_of(const struct job *job, int n_rows) {
    int d = job->op->dilation, column = ut_minimal_grid(job->layer) * d;
    return (n_rows + column - 1) / column * d;
}

/* How many input rows so many output rows read. */
static int n_input_rows(const struct job *job, int n_rows) {
    if (job->layer->minimal) {
        return ut_minimal_input_rows(job->layer->minimal, job->op->dilation,
                                     n_tiles_of(job, n_rows));
    }
    return (n_rows - 1) * job->op->stride + (job->layer->n_taps - 1) * job->op->dilation + 1;
}

/* The input rows of a block, modulated; zeros where there are none. */
static void gather(const struct job *job, const struct block *block) {
    const struct ut_time_conv *op = job->op;
    int first = block->t * op->stride - op->pad, n = n_input_rows(job, block->n_rows);
    int begin = UT_MIN(UT_MAX(first, 0), first + n);
    int end = UT_MAX(UT_MIN(first + n, op->n_in_rows), begin);
    clear_rows(job, block, 0, begin - first);
    clear_rows(job, block, end - first, first + n - end);
    static const struct ut_modulation identity = {.slope = 1};
    const struct ut_modulation *m = op->modulation ? op->modulation : &identity;
    const void *x = element(op->x, op->x_half, begin * op->x_row);
    struct ut_modulate modulate = {.x = x,
                                   .x_row = op->x_row,
                                   .scale = m->scale,
                                   .shift = m->shift,
                                   .alpha = m->alpha,
                                   .inv_alpha = m->inv_alpha,
                                   .slope = m->slope,
                                   .n_rows = end - begin,
                                   .n_ch = job->layer->n_in};
    if (op->x_half) {
        gather_half_rows(job, &modulate, block, begin - first, x);
    } else {
        gather_rows(job, &modulate, block, begin - first);
    }
}

/* Where a kernel reads addends and writes its sums, for some channels of a block. */
struct output {
    const float *add, *add2;
    ptrdiff_t add_row, add2_row;
    float *y;
    ptrdiff_t y_row;
};

/* Of output in bfloat16: the block's floats, which the addends are put into. */
static struct output half_output(const struct job *job, const struct block *block,
                                 int first_channel, int n_out) {
    const struct ut_time_conv *op = job->op;
    const struct ut_kernels *kernels = job->compute->kernels;
    float *behind = block->floats + (ptrdiff_t)block->n_rows * job->group;
    for (int r = 0; r < block->n_rows && op->add; r++) {
        float *y = block->floats + (ptrdiff_t)r * job->group;
        ptrdiff_t t = block->t + r;
        kernels->bf16_to_f32(y, element(op->add, true, t * op->add_row + first_channel),
                             (size_t)n_out);
        if (op->add2) {
            kernels->bf16_to_f32(behind, element(op->add2, true, t * op->add2_row + first_channel),
                                 (size_t)n_out);
            kernels->add_f32(y, y, behind, (size_t)n_out);
        }
    }
    return (struct output){.add = op->add ? block->floats : NULL,
                           .add_row = job->group,
                           .y = block->floats,
                           .y_row = job->group};
}

static struct output output_of(const struct job *job, const struct block *block, int first_channel,
                               int n_out) {
    const struct ut_time_conv *op = job->op;
    ptrdiff_t t = block->t;
    if (op->y_half) {
        return half_output(job, block, first_channel, n_out);
    }
    return (struct output){.add = element(op->add, false, t * op->add_row + first_channel),
                           .add2 = element(op->add2, false, t * op->add2_row + first_channel),
                           .add_row = op->add_row,
                           .add2_row = op->add2_row,
                           .y = (float *)op->y + t * op->y_row + first_channel,
                           .y_row = op->y_row};
}

static void store_half(const struct job *job, const struct block *block, int first_channel,
                       int n_out, const struct output *output) {
    const struct ut_time_conv *op = job->op;
    for (int r = 0; r < block->n_rows; r++) {
        uint16_t *y = (uint16_t *)op->y + (block->t + r) * op->y_row + first_channel;
        job->compute->kernels->f32_to_bf16(y, output->y + r * output->y_row, (size_t)n_out);
    }
}

static void convolve_float(const struct job *job, const struct block *block, int first_channel,
                           int n_out, const struct output *output) {
    const struct ut_time_conv *op = job->op;
    const struct ut_layer *layer = job->layer;
    ptrdiff_t x_row = block->x_row / (ptrdiff_t)sizeof(float);
    struct ut_conv conv = {
        .x = (const float *)block->x,
        .x_row = op->stride * x_row,
        .x_tap = op->dilation * x_row,
        .n_taps = layer->n_taps,
        .n_in = layer->n_in,
        .bias = layer->bias + first_channel,
        .add = output->add,
        .add_row = output->add_row,
        .add2 = output->add2,
        .add2_row = output->add2_row,
        .scale = op->out_scale,
        .y = output->y,
        .y_row = output->y_row,
        .n_rows = block->n_rows,
        .n_out = n_out,
    };
    if (layer->minimal) {
        ut_minimal_finish(&block->tiles, first_channel, &conv);
        return;
    }
    size_t first_weight = (size_t)first_channel * (size_t)layer->n_taps * (size_t)layer->n_in;
    conv.w = (const char *)layer->panels + first_weight * ut_dtype_size(layer->type);
    ut_conv_kernel(job->compute->kernels, layer->type)(&conv);
}

static void convolve_narrow(const struct job *job, const struct block *block, int first_channel,
                            int n_out, const struct output *output) {
    const struct ut_time_conv *op = job->op;
    const struct ut_narrow_layer *layer = job->layer->narrow;
    size_t panel_bytes = layer->kind->panel_bytes(layer->n_taps, layer->n_in);
    struct ut_narrow_conv conv = {
        .x = block->x,
        .x_row = op->stride * block->x_row,
        .x_tap = op->dilation * block->x_row,
        .x_scale = block->scales,
        .scale_row = op->stride,
        .scale_tap = op->dilation,
        .n_taps = layer->n_taps,
        .n_in = layer->n_in,
        .w = (const char *)layer->panels +
             (size_t)(first_channel / layer->kind->panel) * panel_bytes,
        .w_scale = layer->scale + first_channel,
        .bias = layer->bias + first_channel,
        .add = output->add,
        .add_row = output->add_row,
        .add2 = output->add2,
        .add2_row = output->add2_row,
        .scale = op->out_scale,
        .y = output->y,
        .y_row = output->y_row,
        .n_rows = block->n_rows,
        .n_out = n_out,
    };
    layer->kind->conv(&conv);
}

/* Statistics of the block's own channels, from the rows just written. */
static void convolve(const struct job *job, const struct block *block, int first_channel) {
    const struct ut_time_conv *op = job->op;
    int n_layer = job->layer->n_out, n_out = UT_MIN(job->group, n_layer - first_channel);
    struct output output = output_of(job, block, first_channel, n_out);
    (job->layer->narrow ? convolve_narrow : convolve_float)(job, block, first_channel, n_out,
                                                            &output);
    if (op->moments) {
        size_t at = (size_t)(block->t / job->block_rows) * (size_t)n_layer + (size_t)first_channel;
        job->compute->kernels->moments_f32(op->moments->mean + at, op->moments->m2 + at, output.y,
                                           output.y_row, block->n_rows, n_out);
    }
    if (op->y_half) {
        store_half(job, block, first_channel, n_out, &output);
    }
}

/* Nothing to modulate, to round or to pad: the kernel reads the caller's rows. */
static bool reads_in_place(const struct job *job) {
    const struct ut_time_conv *op = job->op;
    return !op->x_half && !op->y_half && !op->modulation && !job->layer->narrow &&
           !job->layer->minimal && op->pad == 0 && n_input_rows(job, op->n_rows) <= op->n_in_rows;
}

/* Puts the block's input into a copy. */
static void take_block(const struct job *job, char *copy, struct block *block) {
    float *behind = (float *)(copy + job->copy_rows * job->pitch);
    block->x = copy;
    block->scales = behind;
    block->floats = (float *)(copy + job->floats_at);
    gather(job, block);
    if (job->layer->minimal) {
        block->tiles = (struct ut_minimal_part){.compute = job->compute,
                                                .layer = job->layer,
                                                .dilation = job->op->dilation,
                                                .n_tiles = n_tiles_of(job, block->n_rows)};
        ut_minimal_place(&block->tiles, job->group, behind);
        ut_minimal_transform(&block->tiles, (const float *)copy,
                             job->pitch / (ptrdiff_t)sizeof(float), job->copy_rows);
    }
}

/* Items begin..end - 1. Groups of one block follow each other, so that its copy is made once where
 * one thread has them all. */
static void run_items(void *user, int begin, int end) {
    struct job *job = user;
    const struct ut_time_conv *op = job->op;
    bool in_place = reads_in_place(job);
    int slot = in_place ? 0 : ut_slots_take(&job->slots), copied = -1;
    struct block block = {.x_row = in_place ? op->x_row * (ptrdiff_t)sizeof(float) : job->pitch};
    for (int item = begin; item < end; item++) {
        int index = item / job->n_groups;
        block.t = index * job->block_rows;
        block.n_rows = UT_MIN(job->block_rows, op->n_rows - block.t);
        if (in_place) {
            block.x = (char *)((const float *)op->x + block.t * op->stride * op->x_row);
        } else if (copied != index) {
            take_block(job, job->copies + (size_t)slot * job->copy_bytes, &block);
            copied = index;
        }
        convolve(job, &block, item % job->n_groups * job->group);
    }
    if (!in_place) {
        ut_slots_give(&job->slots, slot);
    }
}

/* Groups of whole panels; more than one only where there are too few blocks to share. */
static void split(struct job *job) {
    const struct ut_narrow_layer *narrow = job->layer->narrow;
    int n_out = job->layer->n_out;
    int panel = narrow ? narrow->kind->panel : job->compute->kernels->panel;
    int wanted = (WANTED_ITEMS + job->n_blocks - 1) / job->n_blocks;
    int group = UT_MAX((n_out + wanted - 1) / wanted, MIN_GROUP);
    job->group = (group + panel - 1) / panel * panel;
    job->n_groups = (n_out + job->group - 1) / job->group;
}

/* For the largest block; smaller ones use the beginning. */
static void size_copies(struct job *job) {
    const struct ut_narrow_layer *narrow = job->layer->narrow;
    size_t row = narrow ? narrow->kind->row_bytes(job->layer->n_in)
                        : (size_t)job->layer->n_in * sizeof(float);
    /* Rows of 4 kB, one behind the other, would all fall into one set of the first-level cache. */
    job->pitch = (ptrdiff_t)((row + 63) / 64 * 64 + 64);
    job->copy_rows = n_input_rows(job, job->block_rows);
    job->copy_bytes = (size_t)job->copy_rows * ((size_t)job->pitch + (narrow ? sizeof(float) : 0));
    if (job->layer->minimal) {
        int n_tiles = n_tiles_of(job, job->block_rows);
        job->copy_bytes += ut_minimal_floats(job->layer, n_tiles, job->group) * sizeof(float);
    }
    job->floats_at = (job->copy_bytes + 63) / 64 * 64;
    size_t n_in = job->op->x_half ? HALF_ROWS * (size_t)job->layer->n_in : 0;
    size_t n_out = job->op->y_half ? (size_t)(job->block_rows + 1) * (size_t)job->group : 0;
    job->copy_bytes = job->floats_at + (UT_MAX(n_in, n_out) * sizeof(float) + 63) / 64 * 64;
    job->slots.n = ut_pool_threads(job->compute->pool);
}

/* An item writes rows and channels, and statistics, that no other item writes. */
bool ut_time_conv_run(const struct ut_compute *compute, struct ut_arena *arena,
                      const struct ut_layer *layer, const struct ut_time_conv *op) {
    struct job job = {.compute = compute, .layer = layer, .op = op};
    job.block_rows =
        layer->minimal ? ut_minimal_tiles(layer, op->dilation, op->n_rows) * ut_minimal_grid(layer)
                       : block_rows_of(layer->n_in * op->stride, op->n_rows);
    job.n_blocks = (op->n_rows + job.block_rows - 1) / job.block_rows;
    if (op->moments &&
        !moments_init(arena, op->moments, op->n_rows, layer->n_out, job.block_rows)) {
        return false;
    }
    if (op->n_rows == 0) {
        return true;
    }
    split(&job);
    size_copies(&job);
    struct ut_arena_mark mark = ut_arena_mark(arena);
    if (!reads_in_place(&job)) {
        job.copies = ut_arena_alloc(arena, (size_t)job.slots.n, job.copy_bytes);
        if (!job.copies) {
            return false;
        }
    }
    ut_layer_count(compute, layer, op->n_rows);
    ut_pool_run(compute->pool, job.n_blocks * job.n_groups, 1, run_items, &job);
    ut_arena_rewind(arena, mark);
    return true;
}

/* ---- Statistics ---------------------------------------------------------------------------------
 */

struct moments_job {
    const struct ut_kernels *kernels;
    const struct ut_moments *moments;
    const void *x;
    bool half;
    ptrdiff_t x_row;
    float *floats; /* [slots.n][block_rows, n_ch], where half */
    struct ut_slots slots;
};

/* Rows t.. as floats, [n_rows, n_ch]. */
static void to_floats(const struct moments_job *job, int t, int n_rows, float *floats) {
    int n_ch = job->moments->n_ch;
    for (int r = 0; r < n_rows; r++) {
        job->kernels->bf16_to_f32(floats + (ptrdiff_t)r * n_ch,
                                  element(job->x, true, (t + r) * job->x_row), (size_t)n_ch);
    }
}

static void take_blocks(void *user, int begin, int end) {
    struct moments_job *job = user;
    const struct ut_moments *m = job->moments;
    int slot = job->half ? ut_slots_take(&job->slots) : 0;
    float *floats = job->half ? job->floats + (ptrdiff_t)slot * m->block_rows * m->n_ch : NULL;
    for (int b = begin; b < end; b++) {
        int t = b * m->block_rows, n_rows = UT_MIN(m->block_rows, m->n_rows - t);
        size_t at = (size_t)b * (size_t)m->n_ch;
        if (job->half) {
            to_floats(job, t, n_rows, floats);
        }
        job->kernels->moments_f32(m->mean + at, m->m2 + at,
                                  floats ? floats : element(job->x, false, t * job->x_row),
                                  floats ? m->n_ch : job->x_row, n_rows, m->n_ch);
    }
    if (job->half) {
        ut_slots_give(&job->slots, slot);
    }
}

bool ut_moments_take(const struct ut_compute *compute, struct ut_arena *arena, const void *x,
                     bool half, ptrdiff_t x_row, int n_rows, int n_ch, struct ut_moments *out) {
    if (!moments_init(arena, out, n_rows, n_ch, block_rows_of(n_ch, n_rows))) {
        return false;
    }
    struct moments_job job = {
        .kernels = compute->kernels, .moments = out, .x = x, .half = half, .x_row = x_row};
    job.slots.n = ut_pool_threads(compute->pool);
    struct ut_arena_mark mark = ut_arena_mark(arena);
    if (half) {
        size_t n = (size_t)job.slots.n * (size_t)out->block_rows;
        job.floats = ut_arena_alloc(arena, n, (size_t)n_ch * sizeof(float));
        if (!job.floats) {
            return false;
        }
    }
    ut_pool_run(compute->pool, out->n_blocks, 1, take_blocks, &job);
    ut_arena_rewind(arena, mark);
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

/* In double: with a mean far from zero the shift is a difference of large numbers. */
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
