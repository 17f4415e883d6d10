/* HiFi-GAN decoder (arXiv:2010.05646) as a stream behind that of the flow: every activation is a
 * window that slides over time, and each convolution makes the rows that its input allows; one by
 * minimal filtering stops at its grid (compute/minimal.h) before the end of the utterance. Nothing
 * is computed twice, memory does not grow with the utterance, and the samples are the same for
 * every tile size.
 *
 * frames -> conv_pre -> [leaky ReLU, transposed conv, mean of residual blocks] per stage -> leaky
 * ReLU, conv_post, tanh. Reference: Generator, ResBlock1, ResBlock2. */
#include <math.h>
#include <stdio.h>

#include "base/checked.h"
#include "base/clock.h"
#include "models/piper/piper_model.h"

/* Floats of one window's tile: a handful of windows of 128 KB stay in a core's second-level cache.
 */
enum { TILE_FLOATS = 32 << 10, MIN_TILE_ROWS = 128, SAMPLES_PER_CALL = 4096 };
/* Frames that go through the flow at once, for each thread but at least two: enough to pay for
 * reading its weights; twelve of the kernels' rows by its minimal filtering. */
enum { FLOW_ROWS = 72 };

/* The last leaky ReLU of the reference is called without a slope: it has PyTorch's default. */
#define SLOPE 0.1f
#define SLOPE_LAST 0.01f

/* The running value of a residual block behind one of its convolutions. */
struct link {
    struct ut_piper_window raw; /* residual convolutions but the last: the value; else unused */
    struct ut_piper_window act; /* its leaky ReLU, the next convolution's input */
    int64_t done;               /* rows made */
};

struct stage_state {
    const struct piper_stage *stage;
    int index;
    int64_t in_total, total;   /* rows of the whole utterance, before and behind the upsampling */
    int tile_in;               /* input rows taken at a time */
    struct ut_piper_window in; /* leaky ReLU of the previous stage */
    int64_t in_done;           /* input rows upsampled */
    struct ut_piper_window up_raw, up_act;
    struct link links[PIPER_MAX_RESBLOCKS][PIPER_MAX_CHAIN];
    struct ut_piper_window sum; /* of the residual blocks so far; its end is that of the first */
    int64_t done;               /* rows handed on */
};

struct decoder {
    struct ut_piper_session *s;
    const struct piper_decoder *model;
    struct ut_piper_flow *flow; /* frames come from it */
    float
        *pre; /* [a tile of frames, C] of conv_pre, where it is a float layer before a narrow one */
    struct stage_state stages[PIPER_MAX_STAGES];
    struct ut_piper_window last; /* leaky ReLU of the last stage, input of conv_post */
    int64_t total;               /* samples */
    int64_t done;                /* samples delivered */
    float *samples, *linear;
    float *shown; /* for observers only: a tile of values that are not stored otherwise */
    utter_error *err;
};

/* Zero rows behind the end of the utterance; again after every drop. A drop keeps only rows before
 * `end`; what follows them then is whatever was there. */
static void pad_behind(struct ut_piper_window *w, int64_t total, int n) {
    if (w->end == total) {
        ut_piper_window_pad(w, n);
    }
}

static void observe(const struct decoder *d, const char *format, int index, const float *data,
                    int64_t first, int64_t n, int64_t total, int n_ch) {
    if (d->s->request->observer && n > 0) {
        char stage[32];
        snprintf(stage, sizeof stage, format, index);
        ut_piper_observe_rows(d->s, stage, data, n_ch, (int)first, (int)n, (int)total, n_ch);
    }
}

/* Makes the rows of the upsampled windows that `n` more input rows allow. */
static void upsample(struct decoder *d, struct stage_state *st, int64_t n) {
    const struct piper_upsample *up = &st->stage->up;
    int64_t row = st->in_done * up->rate;
    for (int r = 0; r < up->rate; r++) {
        struct ut_piper_step step = {.x = &st->in,
                                     .from = st->in_done,
                                     .y = ut_piper_window_floats(&st->up_raw, row + r),
                                     .row = (ptrdiff_t)up->rate * up->n_out,
                                     .act = &st->up_act,
                                     .act_from = row + r,
                                     .act_step = up->rate,
                                     .scale = 1,
                                     .slope = SLOPE,
                                     .n_rows = (int)n};
        ut_piper_step(&d->s->compute, &up->phase[r], &step);
    }
    st->in_done += n;
    st->up_raw.end = st->up_act.end = st->in_done * up->rate;
    observe(d, "dec_up%d", st->index, ut_piper_window_floats(&st->up_raw, row), row, n * up->rate,
            st->total, up->n_out);
}

/* Where the last convolution of a chain puts its rows: the mean over blocks when this is the last.
 * The blocks' values are added up in st->sum one after the other, and divided by their number when
 * the last one is added. */
static void aim_at_sum(struct decoder *d, struct stage_state *st, struct ut_piper_window *out,
                       int block, struct ut_piper_step *step) {
    float *sum = ut_piper_window_floats(&st->sum, step->from);
    step->add2 = block > 0 ? sum : NULL;
    if (block < st->stage->n_resblocks - 1) {
        step->y = sum;
        return;
    }
    step->scale = 1.0f / (float)st->stage->n_resblocks;
    step->y = d->s->request->observer ? d->shown : NULL;
    step->act = out;
    step->act_from = step->from;
    step->slope = st->index == d->model->n_stages - 1 ? SLOPE_LAST : SLOPE;
}

/* One block's chain as far as its input goes; its last convolution not beyond `most`, the rows of
 * the block before. Returns what that convolution has done now, -1 without memory. */
static int64_t resblock(struct decoder *d, struct stage_state *st, struct ut_piper_window *out,
                        int block, int64_t most) {
    const struct piper_resblock *rb = &st->stage->resblocks[block];
    const struct ut_piper_window *raw = &st->up_raw, *act = &st->up_act;
    int last = rb->n_convs - 1;
    for (int i = 0; i <= last; i++) {
        struct link *link = &st->links[block][i];
        int64_t from = link->done, to = ut_piper_rows_possible(&rb->convs[i], act, st->total,
                                                               i == last ? most : st->total);
        struct ut_piper_step step = {.x = act,
                                     .from = from,
                                     .row = raw->n_ch,
                                     .act_step = 1,
                                     .scale = 1,
                                     .slope = SLOPE,
                                     .n_rows = (int)(to - from)};
        step.add = rb->residual[i] ? ut_piper_window_floats(raw, from) : NULL;
        if (i == last) {
            aim_at_sum(d, st, out, block, &step);
        } else {
            step.y = rb->residual[i] ? ut_piper_window_floats(&link->raw, from) : NULL;
            step.act = &link->act;
            step.act_from = from;
        }
        if (to > from &&
            !ut_piper_filter_step(&d->s->compute, &d->s->arena, &rb->convs[i], &step)) {
            return -1;
        }
        link->done = link->act.end = link->raw.end = to;
        if (i < last) {
            pad_behind(&link->act, st->total, st->stage->halo);
        }
        raw = rb->residual[i] ? &link->raw : raw;
        act = &link->act;
    }
    return st->links[block][last].done;
}

/* The rows that the upsampled windows allow, into `out`. */
static bool resblocks(struct decoder *d, struct stage_state *st, struct ut_piper_window *out) {
    int64_t done = st->total;
    pad_behind(&st->up_act, st->total, st->stage->halo);
    for (int j = 0; j < st->stage->n_resblocks; j++) {
        done = resblock(d, st, out, j, done);
        if (done < 0) {
            return false;
        }
        st->sum.end = j == 0 ? done : st->sum.end;
    }
    observe(d, "dec_rb%d", st->index, d->shown, st->done, done - st->done, st->total,
            st->up_raw.n_ch);
    out->end = st->done = done;
    return true;
}

/* All windows of a stage are read from `halo` rows before the rows handed on. */
static void drop_history(struct stage_state *st) {
    int64_t keep_from = st->done - st->stage->halo;
    ut_piper_window_drop(&st->in, st->in_done - st->stage->up.left);
    ut_piper_window_drop(&st->up_raw, keep_from);
    ut_piper_window_drop(&st->up_act, keep_from);
    ut_piper_window_drop(&st->sum, st->done);
    for (int j = 0; j < st->stage->n_resblocks; j++) {
        for (int i = 0; i < st->stage->resblocks[j].n_convs - 1; i++) {
            ut_piper_window_drop(&st->links[j][i].raw, keep_from);
            ut_piper_window_drop(&st->links[j][i].act, keep_from);
        }
    }
}

/* Makes the samples that the last window allows, and hands them on. A value that is not finite ends
 * the run before its block reaches the sink. */
static utter_status deliver(struct decoder *d) {
    int pad = d->model->post_taps / 2, n_ch = d->model->post_channels;
    int64_t end = d->last.end == d->total ? d->total : d->last.end - pad;
    pad_behind(&d->last, d->total, pad);
    while (d->done < end) {
        int64_t n = UT_MIN(end - d->done, SAMPLES_PER_CALL);
        ut_conv_tanh(&d->s->compute, d->samples, d->linear,
                     ut_piper_window_floats(&d->last, d->done - pad), n_ch, d->model->conv_post,
                     d->model->post_taps * n_ch, (int)n);
        for (int64_t i = 0; i < n; i++) {
            if (!isfinite(d->samples[i])) {
                return ut_fail(d->err, UTTER_ERROR_MODEL,
                               "sample %lld is not a number: the voice's weights are damaged",
                               (long long)(d->done + i));
            }
        }
        observe(d, "dec_conv_post", 0, d->linear, d->done, n, d->total, 1);
        observe(d, "audio", 0, d->samples, d->done, n, d->total, 1);
        d->done += n;
        if (d->s->request->sink &&
            !d->s->request->sink(d->s->request->user, d->samples, (size_t)n)) {
            return ut_fail(d->err, UTTER_ERROR_CANCELLED, "stopped by the receiver of the samples");
        }
    }
    ut_piper_window_drop(&d->last, d->done - pad);
    return UTTER_OK;
}

/* Takes all input rows that stage `index` has, a tile at a time, and passes each tile's rows on.
 * Recurses over the stages, so at most PIPER_MAX_STAGES deep. The cancel flag is looked at once a
 * tile and stage. */
static utter_status advance(struct decoder *d, int index) {
    static const char *const names[PIPER_MAX_STAGES] = {"decoder 1", "decoder 2", "decoder 3",
                                                        "decoder 4", "decoder 5", "decoder 6",
                                                        "decoder 7", "decoder 8"};
    if (index == d->model->n_stages) {
        ut_tally_begin(d->s->compute.tally, "samples");
        return deliver(d);
    }
    struct stage_state *st = &d->stages[index];
    struct ut_piper_window *out =
        index + 1 < d->model->n_stages ? &d->stages[index + 1].in : &d->last;
    bool complete = st->in.end == st->in_total;
    int64_t available = complete ? st->in_total : st->in.end - st->stage->up.right;
    while (st->in_done < available) {
        if (d->s->request->cancel && atomic_load(d->s->request->cancel)) {
            return ut_fail(d->err, UTTER_ERROR_CANCELLED, "cancelled");
        }
        ut_tally_begin(d->s->compute.tally, names[index]);
        pad_behind(&st->in, st->in_total, st->stage->up.right);
        int64_t n = UT_MIN(available - st->in_done, st->tile_in);
        upsample(d, st, n);
        if (!resblocks(d, st, out)) {
            return ut_fail_memory(d->err, (size_t)n * sizeof(float));
        }
        drop_history(st);
        utter_status status = advance(d, index + 1);
        if (status) {
            return status;
        }
    }
    return UTTER_OK;
}

/* Links of a block but the last, whose rows go to the sum. Windows are made for their reader, the
 * next convolution. */
static bool init_links(struct ut_arena *arena, struct stage_state *st, int64_t capacity) {
    int n_ch = st->up_raw.n_ch, halo = st->stage->halo;
    bool ok = true;
    for (int j = 0; j < st->stage->n_resblocks; j++) {
        const struct piper_resblock *rb = &st->stage->resblocks[j];
        for (int i = 0; ok && i < rb->n_convs - 1; i++) {
            struct link *link = &st->links[j][i];
            ok = ut_piper_window_init(arena, &link->act, &rb->convs[i + 1], capacity, halo) &&
                 (!rb->residual[i] ||
                  ut_piper_window_init_floats(arena, &link->raw, n_ch, capacity, halo));
        }
    }
    return ok;
}

/* Rows that a stage may hold back because its convolutions make whole steps of their grids: each
 * waits for less than a step, and the last one of a block waits for those of the blocks before too.
 */
static int64_t slack_of(const struct piper_stage *stage) {
    int64_t longest = 0, last = 0;
    for (int j = 0; j < stage->n_resblocks; j++) {
        const struct piper_resblock *rb = &stage->resblocks[j];
        int64_t chain = 0;
        for (int i = 0; i < rb->n_convs; i++) {
            chain += ut_piper_grid(&rb->convs[i]) - 1;
        }
        longest = UT_MAX(longest, chain);
        last += ut_piper_grid(&rb->convs[rb->n_convs - 1]) - 1;
    }
    return longest + last;
}

/* What a stage has to hand on at most when it has taken a tile: that, and what it held back. */
static int64_t most_at_once(const struct stage_state *st) {
    return (int64_t)st->tile_in * st->stage->up.rate + st->stage->halo + slack_of(st->stage);
}

/* `arriving`: rows that come into the input window at once. Capacities: what one tile adds, plus
 * the rows that stay from before it for those convolutions that read `halo` rows back, plus zero
 * rows behind the end. */
static bool init_stage(struct decoder *d, int index, int64_t in_total, int64_t arriving) {
    struct stage_state *st = &d->stages[index];
    const struct piper_stage *stage = st->stage = &d->model->stages[index];
    struct ut_arena *arena = &d->s->arena;
    int n_out = stage->up.n_out, rate = stage->up.rate;
    int n_threads = ut_pool_threads(d->s->compute.pool);
    int64_t tile_rows = UT_MAX((int64_t)TILE_FLOATS / n_out, MIN_TILE_ROWS) * n_threads;
    st->index = index;
    st->in_total = in_total;
    st->total = in_total * rate;
    st->tile_in = (int)UT_MAX(tile_rows / rate, 1);
    int64_t capacity = most_at_once(st) + 3 * (int64_t)stage->halo + rate;
    return ut_piper_window_init(arena, &st->in, &stage->up.phase[0],
                                arriving + 2 * (stage->up.left + stage->up.right) + 1,
                                stage->up.left) &&
           ut_piper_window_init_floats(arena, &st->up_raw, n_out, capacity, stage->halo) &&
           ut_piper_window_init(arena, &st->up_act, &stage->resblocks[0].convs[0], capacity,
                                stage->halo) &&
           ut_piper_window_init_floats(arena, &st->sum, n_out, capacity, 0) &&
           init_links(arena, st, capacity);
}

/* What a stage hands on at most is what arrives at the next one. No size here but the totals
 * depends on the utterance's length. */
static bool init(struct decoder *d, int64_t *frames_at_once) {
    struct ut_arena *arena = &d->s->arena;
    int64_t rows = d->s->n_frames, arriving, shown = 1;
    *frames_at_once = arriving =
        UT_MAX((int64_t)TILE_FLOATS / d->model->stages[0].up.n_out / d->model->stages[0].up.rate,
               1) *
        ut_pool_threads(d->s->compute.pool);
    bool ok = true;
    for (int i = 0; ok && i < d->model->n_stages; i++) {
        const struct piper_stage *stage = &d->model->stages[i];
        ok = init_stage(d, i, rows, arriving);
        arriving = most_at_once(&d->stages[i]);
        rows = d->stages[i].total;
        shown = UT_MAX(shown, arriving * stage->up.n_out);
    }
    int pad = d->model->post_taps / 2;
    d->total = rows;
    ok = ok && ut_piper_window_init_floats(arena, &d->last, d->model->post_channels,
                                           arriving + 4 * pad, pad);
    const struct ut_piper_window *in = &d->stages[0].in;
    if (in->kind && !d->model->conv_pre.layer.narrow) {
        d->pre = ut_arena_alloc(arena, (size_t)(*frames_at_once * in->n_ch), sizeof(float));
    }
    d->samples = ut_arena_alloc(arena, SAMPLES_PER_CALL, sizeof(float));
    if (d->s->request->observer) {
        d->linear = ut_arena_alloc(arena, SAMPLES_PER_CALL, sizeof(float));
        d->shown = ut_arena_alloc(arena, (size_t)shown, sizeof(float));
    }
    return ok && !arena->failed;
}

/* The recorded stage lacks the speaker's term and the leaky ReLU. */
static bool observe_conv_pre(struct decoder *d, const struct ut_piper_window *z, int64_t from,
                             int n) {
    int n_out = d->model->conv_pre.layer.n_out;
    struct ut_arena_mark mark = ut_arena_mark(&d->s->arena);
    float *y = ut_piper_padded(&d->s->arena, n, n_out, 0, 0);
    struct ut_piper_step step = {
        .x = z, .from = from, .y = y, .row = n_out, .scale = 1, .n_rows = n};
    if (!y) {
        return false;
    }
    ut_piper_step(&d->s->compute, &d->model->conv_pre, &step);
    observe(d, "dec_conv_pre", 0, y, from, n, d->s->n_frames, n_out);
    ut_arena_rewind(&d->s->arena, mark);
    return true;
}

/* conv_pre for the next n frames into the first stage's window. */
static utter_status conv_pre(struct decoder *d, const float *bias, int n) {
    struct ut_piper_window *out = &d->stages[0].in, *z;
    int64_t from = out->end;
    int pad = d->model->conv_pre.pad;
    utter_status status = ut_piper_flow_frames(d->flow, from + n + pad, &z, d->err);
    if (status) {
        return status;
    }
    struct ut_piper_step step = {.x = z,
                                 .from = from,
                                 .bias = bias,
                                 .y = d->pre,
                                 .row = out->n_ch,
                                 .act = out,
                                 .act_from = from,
                                 .act_step = 1,
                                 .scale = 1,
                                 .slope = SLOPE,
                                 .n_rows = n};
    ut_tally_begin(d->s->compute.tally, "decoder");
    ut_piper_step(&d->s->compute, &d->model->conv_pre, &step);
    if (d->s->request->observer && !observe_conv_pre(d, z, from, n)) {
        return ut_fail_memory(d->err, (size_t)n * sizeof(float));
    }
    out->end += n;
    ut_piper_window_drop(z, out->end - pad);
    return UTTER_OK;
}

/* Input rows behind which a stage has handed on `to` rows. */
static int64_t rows_needed(const struct piper_stage *stage, int64_t to) {
    int64_t need = 0;
    for (int j = stage->n_resblocks - 1; j >= 0; j--) {
        const struct piper_resblock *rb = &stage->resblocks[j];
        int grid = ut_piper_grid(&rb->convs[rb->n_convs - 1]);
        int64_t rows = to = (to + grid - 1) / grid * grid; /* of this block before the next one's */
        for (int i = rb->n_convs - 1; i >= 0; i--) {
            rows = ut_piper_rows_needed(&rb->convs[i], rows);
        }
        need = UT_MAX(need, rows);
    }
    return (need + stage->up.rate - 1) / stage->up.rate + stage->up.right;
}

/* Frames behind which n samples are delivered. */
static int64_t frames_for(const struct decoder *d, int64_t n) {
    int64_t rows = n + d->model->post_taps / 2;
    for (int i = d->model->n_stages - 1; i >= 0; i--) {
        rows = rows_needed(&d->model->stages[i], rows);
    }
    return rows;
}

/* The first tile is only as large as one call of the sink needs, so that speech begins early. Time
 * in the flow, which is called from here, is not the decoder's. */
utter_status ut_piper_decode(struct ut_piper_session *s, const struct ut_piper_prior *prior,
                             struct ut_piper_result *result, utter_error *err) {
    struct decoder *d = ut_arena_alloc(&s->arena, 1, sizeof *d);
    int64_t frames_at_once = 0;
    double start = ut_clock_s();
    if (d) {
        *d = (struct decoder){.s = s, .model = s->model->decoder, .err = err};
    }
    const float *bias =
        d ? ut_piper_conditioned(s, &d->model->conv_pre.layer, &d->model->cond, 0) : NULL;
    if (!bias || !init(d, &frames_at_once)) {
        return ut_fail_memory(err, sizeof *d);
    }
    int n_chunk = FLOW_ROWS * UT_MAX(ut_pool_threads(s->compute.pool), 2);
    utter_status status =
        ut_piper_flow_start(s, prior, n_chunk, (int)frames_at_once, &d->flow, err);
    for (int64_t n = UT_MIN(frames_at_once, frames_for(d, SAMPLES_PER_CALL));
         status == UTTER_OK && d->stages[0].in.end < s->n_frames; n = frames_at_once) {
        n = UT_MIN(n, s->n_frames - d->stages[0].in.end);
        status = conv_pre(d, bias, (int)n);
        status = status ? status : advance(d, 0);
    }
    result->n_samples = (uint64_t)d->done;
    result->flow_s = d->flow ? ut_piper_flow_wall_s(d->flow) : 0;
    result->decode_s = ut_clock_s() - start - result->flow_s;
    return status;
}
