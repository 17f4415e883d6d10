/* A bidirectional LSTM (Hochreiter and Schmidhuber 1997, with forget gates): see ut_lstm in
 * compute.h. What the input adds to the gates is one matrix product for a block of rows, split over
 * the threads; what is left is a chain of single rows, one chain for each direction, and the two
 * chains run side by side. One layer, zero initial state, no projection, no peepholes. */
#include <string.h>

#include "base/checked.h"
#include "compute/compute.h"

/* Rows whose projected gates exist at a time: bounds scratch, keeps them in the second-level cache.
 * A multiple of the grain of a product, so that no thread is left with a short piece. */
enum { BLOCK_ROWS = 192 };

/* Both directions; each thread uses the members of one, those of the other lie beside them. */
struct chain {
    const struct ut_kernels *kernels;
    const struct ut_lstm *lstm;
    float *gates[2]; /* [BLOCK_ROWS, 4 * n_hidden], rows in the order of time in both directions */
    float *cell[2];
    const float *hidden[2]; /* of the step before: zeros, then a row of y */
    float *y;
    ptrdiff_t y_row;
    int first[2], n; /* the block: its first row in time, its rows */
};

/* gates = W x + both biases, for the rows of the block at once. */
static void project(const struct ut_compute *compute, const struct chain *chain, const float *x,
                    ptrdiff_t x_row, int direction) {
    struct ut_conv op = {.x = x + chain->first[direction] * x_row,
                         .x_row = x_row,
                         .scale = 1,
                         .y = chain->gates[direction],
                         .y_row = 4 * (ptrdiff_t)chain->lstm->n_hidden,
                         .n_rows = chain->n};
    ut_conv(compute, &chain->lstm->directions[direction].input, &op);
}

/* One direction through the block; the gates are completed in place. */
static void recur(struct chain *chain, int direction) {
    const struct ut_layer *recurrent = &chain->lstm->directions[direction].recurrent;
    const struct ut_kernels *kernels = chain->kernels;
    ut_conv_fn product = ut_conv_kernel(kernels, recurrent->type);
    int n_hidden = chain->lstm->n_hidden;
    const float *hidden = chain->hidden[direction]; /* a local: the other thread writes beside it */
    for (int i = 0; i < chain->n; i++) {
        int t = direction ? chain->n - 1 - i : i;
        float *gates = chain->gates[direction] + (ptrdiff_t)t * 4 * n_hidden;
        struct ut_conv op = {.x = hidden,
                             .n_taps = 1,
                             .n_in = n_hidden,
                             .w = recurrent->panels,
                             .add = gates,
                             .scale = 1,
                             .y = gates,
                             .n_rows = 1,
                             .n_out = 4 * n_hidden};
        product(&op);
        float *h = chain->y + (chain->first[direction] + t) * chain->y_row +
                   (ptrdiff_t)direction * n_hidden;
        kernels->lstm_cell_f32(h, chain->cell[direction], gates, n_hidden);
        hidden = h;
    }
    chain->hidden[direction] = hidden;
}

static void recur_directions(void *user, int begin, int end) {
    for (int direction = begin; direction < end; direction++) {
        recur(user, direction);
    }
}

/* Cells and first hidden states are zeros, as in torch without an initial state. */
static bool allocate(struct chain *chain, struct ut_arena *arena, int n_rows) {
    size_t n_hidden = (size_t)chain->lstm->n_hidden, n_block = (size_t)UT_MIN(n_rows, BLOCK_ROWS);
    float *zeros = ut_arena_alloc(arena, n_hidden, sizeof *zeros);
    if (!zeros) {
        return false;
    }
    memset(zeros, 0, n_hidden * sizeof *zeros);
    for (int i = 0; i < 2; i++) {
        chain->hidden[i] = zeros;
        chain->cell[i] = ut_arena_alloc(arena, n_hidden, sizeof *zeros);
        chain->gates[i] = ut_arena_alloc(arena, n_block, 4 * n_hidden * sizeof *zeros);
        if (!chain->cell[i] || !chain->gates[i]) {
            return false;
        }
        memset(chain->cell[i], 0, n_hidden * sizeof *zeros);
    }
    return true;
}

/* The backward chain's blocks come from the end of time; in each, rows lie in the order of time and
 * are gone through backwards. */
bool ut_lstm_run(const struct ut_compute *compute, struct ut_arena *arena,
                 const struct ut_lstm *lstm, const float *x, ptrdiff_t x_row, float *y,
                 ptrdiff_t y_row, int n_rows) {
    struct ut_arena_mark mark = ut_arena_mark(arena);
    struct chain chain = {.kernels = compute->kernels, .lstm = lstm, .y = y, .y_row = y_row};
    bool ok = allocate(&chain, arena, n_rows);
    for (int i = 0; i < 2; i++) {
        ut_layer_count(compute, &lstm->directions[i].recurrent, n_rows);
    }
    for (int done = 0; ok && done < n_rows; done += chain.n) {
        chain.n = UT_MIN(n_rows - done, BLOCK_ROWS);
        chain.first[0] = done;
        chain.first[1] = n_rows - done - chain.n;
        project(compute, &chain, x, x_row, 0);
        project(compute, &chain, x, x_row, 1);
        ut_pool_run(compute->pool, 2, 1, recur_directions, &chain);
    }
    ut_arena_rewind(arena, mark);
    return ok;
}
