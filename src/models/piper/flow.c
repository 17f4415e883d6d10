/* The normalising flow in inverse direction as a stream: residual couplings (mean only) whose mean
 * comes from a WaveNet-like stack, with a reversal of all channels between them. Reference:
 * ResidualCouplingBlock.
 *
 * Frames of the prior go in a chunk at a time. Every activation that a convolution reads over time
 * is a window that slides, and each layer makes the rows that its input allows; one by minimal
 * filtering stops at its grid (compute/minimal.h) before the end of the utterance. So each layer is
 * some rows behind the one before, nothing is computed twice, and frames are the same for every
 * size of chunk. Between chunks a window keeps the few rows that are still needed; while its
 * coupling works it lies in memory that all couplings share, which so stays in the cache. */
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "models/piper/piper_model.h"

/* Rows that go through all of a WN layer before the next ones, so that they stay in the cache; and
 * what threads share them out in, a multiple of the rows of the kernels' tiles. */
enum { BLOCK_ROWS = 48, GRAIN_ROWS = 12 };

/* A window whose rows are kept in `store` while others use the memory that it works in. */
struct held {
    struct ut_piper_window rows, store;
};

/* One coupling, and what of its rows is still needed. */
struct coupling {
    const struct piper_coupling *model;
    int index;                       /* in the checkpoint */
    const float *bias[PIPER_MAX_WN]; /* of `in`, with the speaker's */
    struct held z;                   /* channels, of which `done` rows are finished */
    struct held h[PIPER_MAX_WN];     /* inputs of the layers */
    struct held raw;                 /* narrow arithmetic: h in floats, as the last layer left it */
    struct held skip;                /* the sum of the skip outputs so far */
    int64_t made, done;              /* rows of the last layer, rows handed on */
};

/* Where windows work, each of `capacity` rows. Layers in turn read the one h and write the other,
 * couplings read the one z and hand on to the other. */
struct workplace {
    struct ut_piper_window z[2], h[2], raw, skip;
    /* Of the rows that a layer makes now: the gate [capacity, 2 * hidden], and, as inputs, its
     * product and (in narrow arithmetic) the last value of skip. */
    float *gate;
    struct ut_piper_window acts, skip_in;
};

struct ut_piper_flow {
    struct ut_piper_session *s;
    const struct ut_piper_prior *prior;
    int n_chunk;                /* rows taken at a time */
    int64_t n_taken;            /* rows of the prior */
    struct ut_piper_window out; /* finished frames, input of the decoder */
    struct workplace work;
    struct coupling couplings[PIPER_MAX_FLOWS]; /* in the order of the run */
    double wall_s;
};

/* ---- One layer of a WN ---------------------------------------------------------------------- */

struct wn_layer {
    const struct ut_piper_flow *flow;
    const struct coupling *c;
    int index;
    int64_t from;              /* the layer's first row now; others count from there */
    struct ut_compute compute; /* of each thread: nothing is counted */
};

static bool is_last(const struct wn_layer *l) {
    return l->index == l->c->model->n_layers - 1;
}

/* Rows from t on of the gate's input. */
static struct ut_piper_step in_step(const struct wn_layer *l, int t, int n) {
    int width = 2 * l->flow->s->model->info.n_hidden;
    return (struct ut_piper_step){.x = &l->c->h[l->index].rows,
                                  .from = l->from + t,
                                  .bias = l->c->bias[l->index],
                                  .y = l->flow->work.gate + (ptrdiff_t)t * width,
                                  .row = width,
                                  .scale = 1,
                                  .n_rows = n};
}

/* Where the skip output of rows from t on goes: into the sum, or, the last one, to the layer
 * `post`. */
static void skip_step(const struct wn_layer *l, int t, int n) {
    float *sum = ut_piper_window_floats(&l->c->skip.rows, l->from + t);
    bool to_post = is_last(l) && l->flow->work.skip_in.kind;
    struct ut_piper_step skip = {.x = &l->flow->work.acts,
                                 .from = t,
                                 .add = l->index ? sum : NULL,
                                 .y = to_post ? NULL : sum,
                                 .row = l->c->skip.rows.n_ch,
                                 .act = to_post ? &l->flow->work.skip_in : NULL,
                                 .act_from = t,
                                 .act_step = 1,
                                 .scale = 1,
                                 .slope = 1,
                                 .n_rows = n};
    ut_piper_step(&l->compute, &l->c->model->layers[l->index].skip, &skip);
}

/* h + res, the next layer's input. */
static void residual_step(const struct wn_layer *l, int t, int n) {
    const struct ut_piper_window *h = &l->c->h[l->index].rows, *raw = &l->c->raw.rows;
    float *value = ut_piper_window_floats(h->kind ? raw : h, l->from + t);
    struct ut_piper_step res = {.x = &l->flow->work.acts,
                                .from = t,
                                .add = value,
                                .y = h->kind ? value : NULL,
                                .row = h->n_ch,
                                .act = &l->c->h[l->index + 1].rows,
                                .act_from = l->from + t,
                                .act_step = 1,
                                .scale = 1,
                                .slope = 1,
                                .n_rows = n};
    ut_piper_step(&l->compute, &l->c->model->layers[l->index].res, &res);
}

/* Rows begin..end - 1 of those that are made now, on one of the pool's threads. It writes these
 * rows alone; what it reads of its neighbours' is in this layer's h, which no one writes
 * meanwhile. */
static void wn_rows(void *user, int begin, int end) {
    const struct wn_layer *l = user;
    const struct piper_conv *conv = &l->c->model->layers[l->index].in;
    int hidden = l->flow->s->model->info.n_hidden, width = 2 * hidden;
    for (int t = begin, n; t < end; t += n) {
        float *gate = l->flow->work.gate + (ptrdiff_t)t * width;
        n = UT_MIN(end - t, BLOCK_ROWS);
        if (!conv->layer.minimal) {
            struct ut_piper_step in = in_step(l, t, n);
            ut_piper_step(&l->compute, conv, &in);
        }
        l->compute.kernels->gate_f32(gate, width, gate, width, gate + hidden, width, n, hidden);
        ut_piper_window_put(&l->compute, &l->flow->work.acts, t, gate, width, n);
        skip_step(l, t, n);
        if (!is_last(l)) {
            residual_step(l, t, n);
        }
    }
}

/* By minimal filtering `in` makes all rows at once: it splits them over threads by itself. */
static bool make_rows(struct wn_layer *l, int n) {
    const struct ut_compute *compute = &l->flow->s->compute;
    const struct piper_conv *conv = &l->c->model->layers[l->index].in;
    if (conv->layer.minimal) {
        struct ut_piper_step in = in_step(l, 0, n);
        if (!ut_piper_filter_step(compute, &l->flow->s->arena, conv, &in)) {
            return false;
        }
    } else {
        ut_layer_count(compute, &conv->layer, n);
    }
    ut_layer_count(compute, &l->c->model->layers[l->index].skip.layer, n);
    if (!is_last(l)) {
        ut_layer_count(compute, &l->c->model->layers[l->index].res.layer, n);
    }
    l->compute = *compute;
    l->compute.tally = NULL;
    ut_pool_run(compute->pool, n, GRAIN_ROWS, wn_rows, l);
    return true;
}

/* The rows that the layer's input allows. */
static bool wn_layer(struct ut_piper_flow *flow, struct coupling *c, int index) {
    const struct piper_conv *conv = &c->model->layers[index].in;
    struct held *in = &c->h[index], *next = in + 1;
    int64_t total = flow->s->n_frames, *end = &c->made;
    if (index < c->model->n_layers - 1) {
        ut_piper_window_move(&next->rows, next->rows.first, &flow->work.h[(index + 1) % 2]);
        end = &next->rows.end;
    }
    if (in->rows.end == total) {
        ut_piper_window_pad(&in->rows, conv->pad);
    }
    int64_t to = ut_piper_rows_possible(conv, &in->rows, total, total);
    struct wn_layer layer = {.flow = flow, .c = c, .index = index, .from = *end};
    if (to > *end && !make_rows(&layer, (int)(to - *end))) {
        return false;
    }
    *end = to;
    ut_piper_window_move(&in->rows, to - conv->pad, &in->store);
    return true;
}

/* ---- A coupling ----------------------------------------------------------------------------- */

/* Flip of the reference. */
static void reverse_channels(float *z, int64_t n_rows, int n_ch) {
    for (int64_t t = 0; t < n_rows; t++, z += n_ch) {
        for (int a = 0, b = n_ch - 1; a < b; a++, b--) {
            float held = z[a];
            z[a] = z[b];
            z[b] = held;
        }
    }
}

static void observe(const struct ut_piper_flow *flow, const char *stage,
                    const struct ut_piper_window *z, int64_t from, int64_t to) {
    if (flow->s->request->observer && to > from) {
        ut_piper_observe_rows(flow->s, stage, ut_piper_window_floats(z, from), z->n_ch, (int)from,
                              (int)(to - from), flow->s->n_frames, z->n_ch);
    }
}

static void observe_step(const struct ut_piper_flow *flow, int index,
                         const struct ut_piper_window *z, int64_t from, int64_t to) {
    char stage[32];
    snprintf(stage, sizeof stage, "flow%d_out", index);
    observe(flow, stage, z, from, to);
}

/* Rows `from` on of z, which have come, are reversed: the coupling begins with them. */
static void begin(const struct ut_piper_flow *flow, const struct coupling *c, int64_t from) {
    const struct ut_piper_window *z = &c->z.rows;
    reverse_channels(ut_piper_window_floats(z, from), z->end - from, z->n_ch);
    observe_step(flow, 2 * c->index + 1, z, from, z->end);
}

/* h of the rows that have come, from the first half of z. */
static bool pre(struct ut_piper_flow *flow, struct coupling *c) {
    struct ut_piper_session *s = flow->s;
    const struct piper_conv *conv = &c->model->pre;
    struct ut_piper_window *h = &c->h[0].rows, first;
    int64_t from = h->end;
    int n = (int)(c->z.rows.end - from), inter = c->z.rows.n_ch;
    float *z = ut_piper_window_floats(&c->z.rows, from);
    struct ut_arena_mark mark = ut_arena_mark(&s->arena);
    if (!ut_piper_window_over(&s->arena, &first, conv, z, inter, n)) {
        return false;
    }
    ut_piper_window_put(&s->compute, &first, 0, z, inter, n);
    struct ut_piper_step step = {.x = &first,
                                 .y = h->kind ? ut_piper_window_floats(&c->raw.rows, from) : NULL,
                                 .row = h->n_ch,
                                 .act = h,
                                 .act_from = from,
                                 .act_step = 1,
                                 .scale = 1,
                                 .slope = 1,
                                 .n_rows = n};
    ut_piper_step(&s->compute, conv, &step);
    ut_arena_rewind(&s->arena, mark);
    h->end = c->raw.rows.end = c->skip.rows.end = c->z.rows.end;
    return true;
}

/* The second half of z loses the mean that the first half predicts. */
static void post(const struct ut_piper_flow *flow, const struct coupling *c) {
    const struct ut_piper_window *z = &c->z.rows, *narrow = &flow->work.skip_in;
    float *second = ut_piper_window_floats(z, c->done) + z->n_ch / 2;
    struct ut_piper_step step = {.x = narrow->kind ? narrow : &c->skip.rows,
                                 .from = narrow->kind ? 0 : c->done,
                                 .add = second,
                                 .y = second,
                                 .row = z->n_ch,
                                 .scale = 1,
                                 .n_rows = (int)(c->made - c->done)};
    ut_piper_step(&flow->s->compute, &c->model->post, &step);
    observe_step(flow, 2 * c->index, z, c->done, c->made);
}

/* Finished rows go to the next coupling, the last one's to the decoder. */
static void hand_on(struct ut_piper_flow *flow, struct coupling *c, int index) {
    bool last = index == flow->s->model->n_couplings - 1;
    struct coupling *next = c + 1;
    struct ut_piper_window *out = last ? &flow->out : &next->z.rows;
    const float *z = ut_piper_window_floats(&c->z.rows, c->done);
    int64_t n = c->made - c->done, at = c->done;
    if (!last) {
        ut_piper_window_move(out, out->first, &flow->work.z[(index + 1) % 2]);
    }
    if (out->kind) {
        ut_piper_window_put(&flow->s->compute, out, at, z, c->z.rows.n_ch, (int)n);
    } else {
        memcpy(ut_piper_window_floats(out, at), z, (size_t)(n * out->n_ch) * sizeof *z);
    }
    out->end = c->done = c->made;
    if (last) {
        observe(flow, "flow_z", &c->z.rows, at, c->done);
    } else {
        begin(flow, next, at);
    }
}

/* What the first layer reads, and the sums of the rows that are not finished. */
static void bring_sums(const struct workplace *work, struct coupling *c) {
    ut_piper_window_move(&c->h[0].rows, c->h[0].rows.first, &work->h[0]);
    ut_piper_window_move(&c->skip.rows, c->done, &work->skip);
    if (work->raw.data) {
        ut_piper_window_move(&c->raw.rows, c->done, &work->raw);
    }
}

/* What is not finished. Inputs of the layers were put away by wn_layer, one by one. */
static void put_away(const struct workplace *work, struct coupling *c) {
    ut_piper_window_move(&c->z.rows, c->done, &c->z.store);
    ut_piper_window_move(&c->skip.rows, c->done, &c->skip.store);
    if (work->raw.data) {
        ut_piper_window_move(&c->raw.rows, c->done, &c->raw.store);
    }
}

/* The rows that z, which is in its place of work already, allows. */
static bool couple(struct ut_piper_flow *flow, struct coupling *c, int index) {
    bring_sums(&flow->work, c);
    bool ok = pre(flow, c);
    for (int i = 0; ok && i < c->model->n_layers; i++) {
        ok = wn_layer(flow, c, i);
    }
    if (ok && c->made > c->done) {
        post(flow, c);
        hand_on(flow, c, index);
    }
    if (ok) {
        put_away(&flow->work, c);
    }
    return ok;
}

/* ---- The stream ----------------------------------------------------------------------------- */

/* Rows of a layer's input that it cannot make its own of before more come. */
static int kept_back(const struct piper_conv *conv) {
    return conv->pad + ut_piper_grid(conv) - 1;
}

static int64_t all_kept_back(const struct piper_coupling *model) {
    int64_t rows = 0;
    for (int i = 0; i < model->n_layers; i++) {
        rows += kept_back(&model->layers[i].in);
    }
    return rows;
}

/* Empty, and put away. */
static bool init_held(struct ut_arena *arena, struct held *held, int n_ch, int64_t rows) {
    bool ok = ut_piper_window_init_floats(arena, &held->store, n_ch, rows, 0);
    held->rows = held->store;
    return ok;
}

static bool init_coupling(struct ut_piper_session *s, struct coupling *c) {
    const struct piper_coupling *model = c->model;
    int hidden = s->model->info.n_hidden;
    int64_t rows = UT_MIN(all_kept_back(model), s->n_frames);
    bool ok = init_held(&s->arena, &c->z, s->model->info.n_inter, rows) &&
              init_held(&s->arena, &c->skip, hidden, rows);
    for (int i = 0; ok && i < model->n_layers; i++) {
        const struct piper_conv *in = &model->layers[i].in;
        c->bias[i] = ut_piper_conditioned(s, &in->layer, &model->cond, 2 * hidden * i);
        int64_t kept = in->pad + UT_MIN(kept_back(in), s->n_frames);
        ok = c->bias[i] && ut_piper_window_init(&s->arena, &c->h[i].store, in, kept, in->pad);
        c->h[i].rows = c->h[i].store;
    }
    return ok && (!c->h[0].rows.kind || init_held(&s->arena, &c->raw, hidden, rows));
}

/* For `capacity` rows of the utterance, and zeros around them. */
static bool init_workplace(struct ut_piper_session *s, struct workplace *work, int capacity,
                           int pad) {
    const struct piper_coupling *any = &s->model->couplings[0];
    const struct piper_conv *in = &any->layers[0].in;
    struct ut_arena *arena = &s->arena;
    int hidden = s->model->info.n_hidden, width = 2 * hidden;
    bool ok = true;
    for (int i = 0; ok && i < 2; i++) {
        ok = ut_piper_window_init_floats(arena, &work->z[i], s->model->info.n_inter, capacity, 0) &&
             ut_piper_window_init(arena, &work->h[i], in, capacity + 2 * pad, 0);
    }
    ok = ok && ut_piper_window_init_floats(arena, &work->skip, hidden, capacity, 0);
    if (ok && in->layer.narrow) {
        ok = ut_piper_window_init_floats(arena, &work->raw, hidden, capacity, 0) &&
             ut_piper_window_init(arena, &work->skip_in, &any->post, capacity, 0);
    }
    work->gate = ut_piper_padded(arena, capacity, width, 0, 0);
    return ok && work->gate &&
           ut_piper_window_over(arena, &work->acts, &any->layers[0].skip, work->gate, width,
                                capacity);
}

static bool init(struct ut_piper_flow *flow, int n_pulled) {
    struct ut_piper_session *s = flow->s;
    const struct piper_conv *reader = &s->model->decoder->conv_pre;
    int n = s->model->n_couplings, pad = 0;
    int64_t rows = flow->n_chunk;
    bool ok = true;
    for (int i = 0; ok && i < n; i++) {
        struct coupling *c = &flow->couplings[i];
        c->index = n - 1 - i;
        c->model = &s->model->couplings[c->index];
        for (int j = 0; j < c->model->n_layers; j++) {
            pad = UT_MAX(pad, c->model->layers[j].in.pad);
        }
        rows += all_kept_back(c->model);
        ok = init_coupling(s, c);
    }
    int64_t held = UT_MIN(rows + n_pulled + reader->pad, s->n_frames);
    return ok && init_workplace(s, &flow->work, (int)UT_MIN(rows, s->n_frames), pad) &&
           ut_piper_window_init(&s->arena, &flow->out, reader, held + 2 * reader->pad, reader->pad);
}

utter_status ut_piper_flow_start(struct ut_piper_session *s, const struct ut_piper_prior *prior,
                                 int n_chunk, int n_pulled, struct ut_piper_flow **out,
                                 utter_error *err) {
    struct ut_piper_flow *flow = *out = ut_arena_alloc(&s->arena, 1, sizeof *flow);
    if (flow) {
        *flow = (struct ut_piper_flow){.s = s, .prior = prior, .n_chunk = n_chunk};
    }
    return flow && init(flow, n_pulled)
               ? UTTER_OK
               : ut_fail_memory(err,
                                (size_t)n_chunk * (size_t)s->model->info.n_hidden * sizeof(float));
}

/* Rows of the prior behind which `to` frames are finished. */
static int64_t rows_needed(const struct ut_piper_flow *flow, int64_t to) {
    for (int i = flow->s->model->n_couplings - 1; i >= 0; i--) {
        const struct piper_coupling *model = flow->couplings[i].model;
        for (int j = model->n_layers - 1; j >= 0; j--) {
            to = ut_piper_rows_needed(&model->layers[j].in, to);
        }
    }
    return to;
}

static void take(struct ut_piper_flow *flow, int64_t n) {
    struct coupling *c = &flow->couplings[0];
    struct ut_piper_window *z = &c->z.rows;
    int64_t from = flow->n_taken;
    ut_piper_window_move(z, c->done, &flow->work.z[0]);
    ut_piper_prior_rows(flow->s, flow->prior, (int)from, (int)n, ut_piper_window_floats(z, from));
    flow->n_taken = z->end = from + n;
    observe(flow, "z_p", z, from, z->end);
    begin(flow, c, from);
}

/* n more rows of the prior, as far as they go. Behind a coupling that got no new rows none gets
 * any. */
static bool advance(struct ut_piper_flow *flow, int64_t n) {
    bool ok = true;
    ut_tally_begin(flow->s->compute.tally, "prior");
    take(flow, n);
    ut_tally_begin(flow->s->compute.tally, "flow");
    for (int i = 0; ok && i < flow->s->model->n_couplings; i++) {
        struct coupling *c = &flow->couplings[i];
        if (c->z.rows.end == c->h[0].rows.end) {
            break;
        }
        ok = couple(flow, c, i);
    }
    return ok;
}

/* The first chunk is only as large as the frames that are asked for need: samples come earlier
 * so. */
utter_status ut_piper_flow_frames(struct ut_piper_flow *flow, int64_t to,
                                  struct ut_piper_window **frames, utter_error *err) {
    double start = ut_clock_s();
    int64_t total = flow->s->n_frames;
    bool ok = true;
    *frames = &flow->out;
    while (ok && flow->out.end < UT_MIN(to, total)) {
        int64_t n = flow->n_taken ? flow->n_chunk : rows_needed(flow, to);
        ok = advance(flow, UT_MIN(UT_MIN(n, flow->n_chunk), total - flow->n_taken));
    }
    if (flow->out.end == total) {
        ut_piper_window_pad(&flow->out, flow->s->model->decoder->conv_pre.pad);
    }
    flow->wall_s += ut_clock_s() - start;
    return ok ? UTTER_OK
              : ut_fail_memory(err, (size_t)flow->n_chunk * (size_t)flow->s->model->info.n_hidden *
                                        sizeof(float));
}

double ut_piper_flow_wall_s(const struct ut_piper_flow *flow) {
    return flow->wall_s;
}
