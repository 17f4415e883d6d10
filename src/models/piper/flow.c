/* The normalising flow in inverse direction: residual couplings (mean only) whose mean comes from a
 * WaveNet-like stack, with a reversal of all channels between them. Reference:
 * ResidualCouplingBlock. */
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "models/piper/piper_model.h"

/* Rows that go through all of a WN layer before the next ones, so that they stay in the cache. */
enum { BLOCK_ROWS = 48 };

/* Of the whole utterance. A layer reads h[0] and writes h[1], which then change places: its rows
 * are made block by block, and blocks read their neighbours' rows of the layer before. In narrow
 * arithmetic `raw` holds h in floats beside them. */
struct buffers {
    struct ut_piper_window h[2];
    float *raw;  /* [n_frames, hidden]; NULL: the windows are floats */
    float *gate; /* [n_frames, 2 * hidden] */
    float *skip; /* [n_frames, hidden], the sum of the layers' skip outputs */
    struct ut_piper_window acts,
        skip_in; /* tanh * sigmoid, and the last value of skip, as inputs */
};

struct wn_layer {
    struct ut_piper_session *s;
    const struct piper_coupling *coupling;
    const struct buffers *b;
    const float *bias; /* of `in`, with the speaker's */
    int index;
    struct ut_compute compute; /* of each thread: nothing is counted */
};

/* Rows from t on of the gate's input. */
static struct ut_piper_step in_step(const struct wn_layer *l, int t, int n) {
    int width = 2 * l->s->model->info.n_hidden;
    return (struct ut_piper_step){.x = &l->b->h[0],
                                  .from = t,
                                  .bias = l->bias,
                                  .y = l->b->gate + (ptrdiff_t)t * width,
                                  .row = width,
                                  .scale = 1,
                                  .n_rows = n};
}

/* Where the skip output of rows from t on goes: into the sum, or, the last one, to the layer
 * `post`. */
static void skip_step(const struct wn_layer *l, int t, int n) {
    int hidden = l->s->model->info.n_hidden;
    float *sum = l->b->skip + (ptrdiff_t)t * hidden;
    bool to_post = l->index == l->coupling->n_layers - 1 && l->b->skip_in.kind;
    struct ut_piper_step skip = {.x = &l->b->acts,
                                 .from = t,
                                 .add = l->index ? sum : NULL,
                                 .y = to_post ? NULL : sum,
                                 .row = hidden,
                                 .act = to_post ? &l->b->skip_in : NULL,
                                 .act_from = t,
                                 .act_step = 1,
                                 .scale = 1,
                                 .slope = 1,
                                 .n_rows = n};
    ut_piper_step(&l->compute, &l->coupling->layers[l->index].skip, &skip);
}

static void residual_step(const struct wn_layer *l, int t, int n) {
    int hidden = l->s->model->info.n_hidden;
    const struct buffers *b = l->b;
    float *raw = b->raw ? b->raw + (ptrdiff_t)t * hidden : NULL;
    struct ut_piper_step res = {.x = &b->acts,
                                .from = t,
                                .add = raw ? raw : ut_piper_window_floats(&b->h[0], t),
                                .y = raw,
                                .row = hidden,
                                .act = &b->h[1],
                                .act_from = t,
                                .act_step = 1,
                                .scale = 1,
                                .slope = 1,
                                .n_rows = n};
    ut_piper_step(&l->compute, &l->coupling->layers[l->index].res, &res);
}

static void wn_rows(void *user, int begin, int end) {
    const struct wn_layer *l = user;
    const struct buffers *b = l->b;
    const struct ut_compute *compute = &l->compute;
    const struct piper_conv *conv = &l->coupling->layers[l->index].in;
    int hidden = l->s->model->info.n_hidden, width = 2 * hidden;
    for (int t = begin, n; t < end; t += n) {
        float *gate = b->gate + (ptrdiff_t)t * width;
        n = UT_MIN(end - t, BLOCK_ROWS);
        if (!conv->layer.minimal) {
            struct ut_piper_step in = in_step(l, t, n);
            ut_piper_step(compute, conv, &in);
        }
        compute->kernels->gate_f32(gate, width, gate, width, gate + hidden, width, n, hidden);
        ut_piper_window_put(compute, &b->acts, t, gate, width, n);
        skip_step(l, t, n);
        if (l->index < l->coupling->n_layers - 1) {
            residual_step(l, t, n);
        }
    }
}

/* By minimal filtering `in` makes all rows at once: it splits them over threads by itself. */
static bool wn_layer(struct wn_layer *l) {
    const struct ut_compute *compute = &l->s->compute;
    const struct piper_conv *conv = &l->coupling->layers[l->index].in;
    int n = l->s->n_frames;
    if (conv->layer.minimal) {
        struct ut_piper_step in = in_step(l, 0, n);
        if (!ut_piper_filter_step(compute, &l->s->arena, conv, &in)) {
            return false;
        }
    } else {
        ut_layer_count(compute, &conv->layer, n);
    }
    ut_layer_count(compute, &l->coupling->layers[l->index].skip.layer, n);
    if (l->index < l->coupling->n_layers - 1) {
        ut_layer_count(compute, &l->coupling->layers[l->index].res.layer, n);
    }
    l->compute = *compute;
    l->compute.tally = NULL;
    ut_pool_run(compute->pool, n, BLOCK_ROWS, wn_rows, l);
    return true;
}

/* h -> sum of the layers' skip outputs. */
static bool wn(struct ut_piper_session *s, const struct piper_coupling *coupling,
               struct buffers *b) {
    for (int i = 0; i < coupling->n_layers; i++) {
        struct wn_layer layer = {.s = s, .coupling = coupling, .b = b, .index = i};
        layer.bias = ut_piper_conditioned(s, &coupling->layers[i].in.layer, &coupling->cond,
                                          2 * s->model->info.n_hidden * i);
        if (!layer.bias || !wn_layer(&layer)) {
            return false;
        }
        struct ut_piper_window read = b->h[0];
        b->h[0] = b->h[1];
        b->h[1] = read;
    }
    return true;
}

/* The second half of z [n_frames, inter] loses the mean that the first half predicts. */
static bool couple(struct ut_piper_session *s, const struct piper_coupling *coupling,
                   struct buffers *b, float *z) {
    int inter = s->model->info.n_inter, hidden = s->model->info.n_hidden;
    struct ut_arena_mark mark = ut_arena_mark(&s->arena);
    struct ut_piper_window first;
    if (!ut_piper_window_over(&s->arena, &first, &coupling->pre, z, inter, s->n_frames)) {
        return false;
    }
    ut_piper_window_put(&s->compute, &first, 0, z, inter, s->n_frames);
    struct ut_piper_step pre = {.x = &first,
                                .y = b->raw,
                                .row = hidden,
                                .act = &b->h[0],
                                .act_step = 1,
                                .scale = 1,
                                .slope = 1,
                                .n_rows = s->n_frames};
    ut_piper_step(&s->compute, &coupling->pre, &pre);
    if (!wn(s, coupling, b)) {
        return false;
    }
    float *second = z + inter / 2;
    struct ut_piper_step post = {.x = &b->skip_in,
                                 .add = second,
                                 .y = second,
                                 .row = inter,
                                 .scale = 1,
                                 .n_rows = s->n_frames};
    ut_piper_step(&s->compute, &coupling->post, &post);
    ut_arena_rewind(&s->arena, mark);
    return true;
}

static void reverse_channels(float *z, int n_rows, int n_ch) {
    for (int t = 0; t < n_rows; t++, z += n_ch) {
        for (int a = 0, b = n_ch - 1; a < b; a++, b--) {
            float held = z[a];
            z[a] = z[b];
            z[b] = held;
        }
    }
}

static void observe(const struct ut_piper_session *s, int index, const float *z) {
    char stage[32];
    snprintf(stage, sizeof stage, "flow%d_out", index);
    ut_piper_observe(s, stage, z, s->model->info.n_inter, s->n_frames, s->model->info.n_inter);
}

static bool allocate(struct ut_piper_session *s, struct buffers *b) {
    const struct ut_piper *model = s->model;
    const struct piper_coupling *any = &model->couplings[0];
    int n = s->n_frames, hidden = model->info.n_hidden, pad = 0;
    for (int i = 0; i < model->n_couplings; i++) {
        for (int j = 0; j < model->couplings[i].n_layers; j++) {
            pad = UT_MAX(pad, model->couplings[i].layers[j].in.pad);
        }
    }
    *b = (struct buffers){.gate = ut_piper_padded(&s->arena, n, 2 * hidden, 0, 0),
                          .skip = ut_piper_padded(&s->arena, n, hidden, 0, 0)};
    bool ok =
        !s->arena.failed &&
        ut_piper_window_over(&s->arena, &b->acts, &any->layers[0].skip, b->gate, 2 * hidden, n) &&
        ut_piper_window_over(&s->arena, &b->skip_in, &any->post, b->skip, hidden, n);
    for (int i = 0; ok && i < 2; i++) {
        struct ut_piper_window *h = &b->h[i];
        ok = ut_piper_window_init(&s->arena, h, &any->layers[0].in, (int64_t)n + 2 * pad, pad);
        h->end = n;
        if (ok) {
            ut_piper_window_pad(h, pad);
        }
    }
    if (ok && b->h[0].kind) {
        b->raw = ut_piper_padded(&s->arena, n, hidden, 0, 0);
    }
    return ok && !s->arena.failed;
}

utter_status ut_piper_flow(struct ut_piper_session *s, float *z, utter_error *err) {
    const struct ut_piper *model = s->model;
    int n = s->n_frames, hidden = model->info.n_hidden, inter = model->info.n_inter;
    struct buffers b;
    bool ok = allocate(s, &b);
    for (int i = model->n_couplings - 1; ok && i >= 0; i--) {
        reverse_channels(z, n, inter);
        observe(s, 2 * i + 1, z);
        ok = couple(s, &model->couplings[i], &b, z);
        observe(s, 2 * i, z);
    }
    if (!ok) {
        return ut_fail_memory(err, (size_t)n * (size_t)hidden * 2 * sizeof(float));
    }
    ut_piper_observe(s, "flow_z", z, inter, n, inter);
    return UTTER_OK;
}
