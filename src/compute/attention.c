/* Attention with relative positions; see ut_attention in compute.h. Keys and values of a head are
 * packed like weights, so that both products run on the convolution kernel; scores exist for a
 * block of rows at a time. */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "compute/compute.h"

enum { BLOCK_ROWS = 256, ROW_GRAIN = 12 };

struct head {
    const struct ut_attention *op;
    const struct ut_kernels *kernels;
    const float *q; /* of this head: row pitch n_heads * d */
    float *y;
    const float *k_panels; /* [rows / panel][d][panel] */
    const float *v_panels; /* [d / panel][rows][panel] */
    float *scores;         /* [BLOCK_ROWS, pitch] */
    float *band;           /* [BLOCK_ROWS, 2 * window + 1] */
    ptrdiff_t pitch;       /* of scores */
    int first;             /* row of the block's first */
};

/* Element (o, i) of x at x[o * out_step + i * in_step] into panels [o / panel][i][panel]. */
static void pack(float *dst, const float *x, ptrdiff_t out_step, ptrdiff_t in_step, int n_out,
                 int n_in, int panel) {
    for (int p = 0; p < n_out; p += panel) {
        int n_lanes = UT_MIN(panel, n_out - p);
        for (int i = 0; i < n_in; i++, dst += panel) {
            for (int lane = 0; lane < n_lanes; lane++) {
                dst[lane] = x[(p + lane) * out_step + i * in_step];
            }
            memset(dst + n_lanes, 0, (size_t)(panel - n_lanes) * sizeof *dst);
        }
    }
}

/* Adds q . rel_k to the scores of the rows' bands. Row t of the block is position first + t; entry
 * r of the band belongs to position first + t + r - window. */
static void add_band(const struct head *h, int begin, int end) {
    int w = h->op->window, n = 2 * w + 1;
    for (int t = begin; t < end; t++) {
        for (int r = 0; r < n; r++) {
            int position = h->first + t + r - w;
            if (position >= 0 && position < h->op->n_rows) {
                h->scores[t * h->pitch + position] += h->band[t * n + r];
            }
        }
    }
}

/* The reverse of add_band: probabilities of the band's positions, 0 where there is none. */
static void take_band(const struct head *h, int begin, int end) {
    int w = h->op->window, n = 2 * w + 1;
    for (int t = begin; t < end; t++) {
        for (int r = 0; r < n; r++) {
            int position = h->first + t + r - w;
            bool inside = position >= 0 && position < h->op->n_rows;
            h->band[t * n + r] = inside ? h->scores[t * h->pitch + position] : 0;
        }
    }
}

/* Rows begin..end - 1 of the block, by one thread: scores [n, n_rows], softmax, then the values.
 * Both products are convolutions of one tap. */
static void attend_rows(void *user, int begin, int end) {
    const struct head *h = user;
    const struct ut_attention *op = h->op;
    ptrdiff_t row = (ptrdiff_t)op->n_heads * op->d;
    int n = end - begin, n_band = 2 * op->window + 1;
    const float *q = h->q + (h->first + begin) * row;
    float *y = h->y + (h->first + begin) * row;
    float *scores = h->scores + begin * h->pitch, *band = h->band + begin * n_band;
    float scale = 1.0f / sqrtf((float)op->d);
    struct ut_conv product = {.x = q,
                              .x_row = row,
                              .n_taps = 1,
                              .n_in = op->d,
                              .w = h->k_panels,
                              .scale = scale,
                              .y = scores,
                              .y_row = h->pitch,
                              .n_rows = n,
                              .n_out = op->n_rows};
    h->kernels->conv_f32(&product);
    if (op->rel_k) {
        struct ut_conv relative = {.x = q,
                                   .x_row = row,
                                   .n_taps = 1,
                                   .n_in = op->d,
                                   .w = op->rel_k->panels,
                                   .scale = scale,
                                   .y = band,
                                   .y_row = n_band,
                                   .n_rows = n,
                                   .n_out = n_band};
        ut_conv_kernel(h->kernels, op->rel_k->type)(&relative);
        add_band(h, begin, end);
    }
    h->kernels->softmax_f32(scores, h->pitch, n, op->n_rows);
    product = (struct ut_conv){.x = scores,
                               .x_row = h->pitch,
                               .n_taps = 1,
                               .n_in = op->n_rows,
                               .w = h->v_panels,
                               .scale = 1,
                               .y = y,
                               .y_row = row,
                               .n_rows = n,
                               .n_out = op->d};
    h->kernels->conv_f32(&product);
    if (op->rel_v) {
        take_band(h, begin, end);
        struct ut_conv relative = {.x = band,
                                   .x_row = n_band,
                                   .n_taps = 1,
                                   .n_in = n_band,
                                   .w = op->rel_v->panels,
                                   .add = y,
                                   .add_row = row,
                                   .scale = 1,
                                   .y = y,
                                   .y_row = row,
                                   .n_rows = n,
                                   .n_out = op->d};
        ut_conv_kernel(h->kernels, op->rel_v->type)(&relative);
    }
}

static size_t round_up(int n, int to) {
    return (size_t)((n + to - 1) / to * to);
}

bool ut_attention(const struct ut_compute *compute, struct ut_arena *arena,
                  const struct ut_attention *op) {
    int panel = compute->kernels->panel, block = UT_MIN(op->n_rows, BLOCK_ROWS);
    ptrdiff_t row = (ptrdiff_t)op->n_heads * op->d, pitch = (ptrdiff_t)round_up(op->n_rows, 16);
    float *k_panels =
        ut_arena_alloc(arena, round_up(op->n_rows, panel) * (size_t)op->d, sizeof(float));
    float *v_panels =
        ut_arena_alloc(arena, round_up(op->d, panel) * (size_t)op->n_rows, sizeof(float));
    float *scores = ut_arena_alloc(arena, (size_t)block * (size_t)pitch, sizeof(float));
    float *band =
        ut_arena_alloc(arena, (size_t)block * (size_t)(2 * op->window + 1), sizeof(float));
    if (!k_panels || !v_panels || !scores || !band) {
        return false;
    }
    /* q k and p v, and the band of each. */
    uint64_t n_columns =
        2 * ((uint64_t)op->n_rows + (op->rel_k ? 2 * (uint64_t)op->window + 1 : 0));
    ut_tally_count(compute->tally, UT_TALLY_F32,
                   (uint64_t)op->n_rows * n_columns * (uint64_t)op->n_heads * (uint64_t)op->d, NULL,
                   0);
    for (int i = 0; i < op->n_heads; i++) {
        ptrdiff_t at = (ptrdiff_t)i * op->d;
        pack(k_panels, op->k + at, row, 1, op->n_rows, op->d, panel);
        pack(v_panels, op->v + at, 1, row, op->d, op->n_rows, panel);
        struct head head = {.op = op,
                            .kernels = compute->kernels,
                            .q = op->q + at,
                            .y = op->y + at,
                            .k_panels = k_panels,
                            .v_panels = v_panels,
                            .scores = scores,
                            .band = band,
                            .pitch = pitch};
        for (head.first = 0; head.first < op->n_rows; head.first += block) {
            ut_pool_run(compute->pool, UT_MIN(block, op->n_rows - head.first), ROW_GRAIN,
                        attend_rows, &head);
        }
    }
    return true;
}
