/* Text encoder: a transformer with relative attention (window 4), post-norm, and the projection to
 * the prior's mean and log standard deviation. Reference: TextEncoder, attentions.Encoder.
 * Everything is held for all ids at once: 8192 of them with 192 channels are 6 MB. In float in
 * every precision, because durations come from here. */
#include <stdio.h>
#include <string.h>

#include "models/piper/piper_model.h"

/* Buffers of one layer, all [n_ids, C]; `x` and `filter` with zero rows around for the
 * convolutions. */
struct buffers {
    float *x, *q, *k, *v, *y, *filter;
};

/* One set of buffers for all layers, sized for the largest of them. */
static bool allocate(struct ut_piper_session *s, struct buffers *b) {
    const struct ut_piper *model = s->model;
    int hidden = model->info.n_hidden, n_filter = 1, pad = 0;
    for (int i = 0; i < model->info.n_layers; i++) {
        const struct piper_encoder_layer *layer = &model->layers[i];
        n_filter = n_filter > layer->ffn_1.layer.n_out ? n_filter : layer->ffn_1.layer.n_out;
        pad = pad > layer->ffn_1.pad ? pad : layer->ffn_1.pad;
        pad = pad > layer->ffn_2.pad ? pad : layer->ffn_2.pad;
    }
    b->x = ut_piper_padded(&s->arena, s->n_ids, hidden, pad, pad);
    b->q = ut_piper_padded(&s->arena, s->n_ids, hidden, 0, 0);
    b->k = ut_piper_padded(&s->arena, s->n_ids, hidden, 0, 0);
    b->v = ut_piper_padded(&s->arena, s->n_ids, hidden, 0, 0);
    b->y = ut_piper_padded(&s->arena, s->n_ids, hidden, 0, 0);
    b->filter = ut_piper_padded(&s->arena, s->n_ids, n_filter, pad, pad);
    return !s->arena.failed;
}

/* Also what a layer shows of itself: enc_lN_attn, enc_lN_norm1, enc_lN_norm2. */
static void observe(const struct ut_piper_session *s, int layer, const char *what,
                    const float *data) {
    char stage[32];
    snprintf(stage, sizeof stage, "enc_l%d_%s", layer, what);
    ut_piper_observe(s, stage, data, s->model->info.n_hidden, s->n_ids, s->model->info.n_hidden);
}

/* Post-norm: x = norm_1(x + attention(x)), x = norm_2(x + ffn(x)). Attention may write over its q
 * (compute.h). */
static bool encoder_layer(struct ut_piper_session *s, const struct buffers *b, int index) {
    const struct ut_piper *model = s->model;
    const struct piper_encoder_layer *layer = &model->layers[index];
    int n = s->n_ids, hidden = model->info.n_hidden;

    ut_piper_linear(s, &layer->conv_q, b->x, b->q, n);
    ut_piper_linear(s, &layer->conv_k, b->x, b->k, n);
    ut_piper_linear(s, &layer->conv_v, b->x, b->v, n);
    struct ut_attention attention = {.q = b->q,
                                     .k = b->k,
                                     .v = b->v,
                                     .y = b->q,
                                     .n_rows = n,
                                     .n_heads = model->info.n_heads,
                                     .d = hidden / model->info.n_heads,
                                     .window = model->window,
                                     .rel_k = &layer->rel_k,
                                     .rel_v = &layer->rel_v};
    if (!ut_attention(&s->compute, &s->arena, &attention)) {
        return false;
    }
    ut_piper_linear(s, &layer->conv_o, b->q, b->y, n);
    observe(s, index, "attn", b->y);
    ut_layernorm(&s->compute, &layer->norm_1, b->x, b->x, b->y, n, hidden);
    observe(s, index, "norm1", b->x);

    /* feed-forward: convolution, ReLU, convolution */
    ut_piper_conv(s, &layer->ffn_1, b->x,
                  (struct ut_conv){.y_act = b->filter, .slope = 0, .n_rows = n});
    ut_piper_conv(s, &layer->ffn_2, b->filter, (struct ut_conv){.y = b->y, .n_rows = n});
    ut_layernorm(&s->compute, &layer->norm_2, b->x, b->x, b->y, n, hidden);
    observe(s, index, "norm2", b->x);
    return true;
}

/* *x, *m and *logs are in the session's arena, and live until the run ends; each layer's scratch is
 * given back before the next. The embedding was multiplied by sqrt(hidden) when it was loaded. */
utter_status ut_piper_encode(struct ut_piper_session *s, float **x, float **m, float **logs,
                             utter_error *err) {
    const struct ut_piper *model = s->model;
    int n = s->n_ids, hidden = model->info.n_hidden, inter = model->info.n_inter;
    struct buffers b;
    *m = ut_piper_padded(&s->arena, n, inter, 0, 0);
    *logs = ut_piper_padded(&s->arena, n, inter, 0, 0);
    bool ok = allocate(s, &b);
    for (int t = 0; ok && t < n; t++) {
        memcpy(b.x + (ptrdiff_t)t * hidden, model->emb + (ptrdiff_t)s->ids[t] * hidden,
               (size_t)hidden * sizeof(float));
    }
    for (int i = 0; ok && i < model->info.n_layers; i++) {
        struct ut_arena_mark mark = ut_arena_mark(&s->arena);
        ok = encoder_layer(s, &b, i);
        ut_arena_rewind(&s->arena, mark);
    }
    if (!ok) {
        return ut_fail_memory(err, (size_t)n * (size_t)hidden * sizeof(float));
    }
    ut_piper_linear(s, &model->proj_m.layer, b.x, *m, n);
    ut_piper_linear(s, &model->proj_logs.layer, b.x, *logs, n);
    ut_piper_observe(s, "enc_x", b.x, hidden, n, hidden);
    ut_piper_observe(s, "enc_m", *m, inter, n, inter);
    ut_piper_observe(s, "enc_logs", *logs, inter, n, inter);
    *x = b.x;
    return UTTER_OK;
}
