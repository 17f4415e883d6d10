/* The text model: ALBERT (arXiv:1909.11942) over phonemes, PL-BERT (arXiv:2301.08810) in Kokoro.
 * One transformer layer with its norms behind the residual sums, applied n_repeats times with the
 * same weights, on embeddings narrower than the layer. All ids attend to all: there is no mask, and
 * no pooler. */
#include "models/kokoro/kokoro_model.h"

/* [n_ids, C] each, C the width of the layer, or of the feed-forward for `filter`. */
struct buffers {
    float *embedded, *q, *k, *v, *filter;
};

static bool allocate(struct ut_kokoro_session *s, struct buffers *b) {
    const struct kokoro_albert *albert = &s->model->albert;
    size_t n = (size_t)s->n_ids, row = (size_t)albert->n_hidden * sizeof(float);
    b->embedded = ut_arena_alloc(&s->arena, n, (size_t)albert->n_embed * sizeof(float));
    b->q = ut_arena_alloc(&s->arena, n, row);
    b->k = ut_arena_alloc(&s->arena, n, row);
    b->v = ut_arena_alloc(&s->arena, n, row);
    b->filter = ut_arena_alloc(&s->arena, n, (size_t)albert->ffn.n_out * sizeof(float));
    return !s->arena.failed;
}

/* Words and positions, normalized, and widened to the layer's channels. */
static void embed(const struct ut_kokoro_session *s, float *embedded, float *x) {
    const struct kokoro_albert *albert = &s->model->albert;
    int n = s->n_ids, n_embed = albert->n_embed;
    for (int t = 0; t < n; t++) {
        s->compute.kernels->add_f32(
            embedded + (ptrdiff_t)t * n_embed, albert->words + (ptrdiff_t)s->ids[t] * n_embed,
            albert->positions + (ptrdiff_t)t * n_embed, (size_t)n_embed);
    }
    ut_layernorm(&s->compute, &albert->embed_norm, embedded, embedded, NULL, n, n_embed);
    ut_kokoro_linear(s, &albert->embed_map, embedded, x, n);
}

/* x = norm(x + attention(x)); x = norm(x + feed-forward(x)). */
static bool apply_layer(struct ut_kokoro_session *s, const struct buffers *b, float *x) {
    const struct kokoro_albert *albert = &s->model->albert;
    const struct ut_compute *compute = &s->compute;
    int n = s->n_ids, n_hidden = albert->n_hidden, n_heads = s->model->config.n_heads;
    ut_kokoro_linear(s, &albert->query, x, b->q, n);
    ut_kokoro_linear(s, &albert->key, x, b->k, n);
    ut_kokoro_linear(s, &albert->value, x, b->v, n);
    struct ut_attention attention = {.q = b->q,
                                     .k = b->k,
                                     .v = b->v,
                                     .y = b->q,
                                     .n_rows = n,
                                     .n_heads = n_heads,
                                     .d = n_hidden / n_heads};
    if (!ut_attention(compute, &s->arena, &attention)) {
        return false;
    }
    float *sum = b->k; /* free again */
    ut_kokoro_linear(s, &albert->dense, b->q, sum, n);
    ut_layernorm(compute, &albert->attention_norm, x, x, sum, n, n_hidden);
    ut_kokoro_linear(s, &albert->ffn, x, b->filter, n);
    ut_gelu_tanh(compute, b->filter, n, albert->ffn.n_out);
    ut_kokoro_linear(s, &albert->ffn_output, b->filter, sum, n);
    ut_layernorm(compute, &albert->full_norm, x, x, sum, n, n_hidden);
    return true;
}

utter_status ut_kokoro_albert(struct ut_kokoro_session *s, float *y, utter_error *err) {
    const struct kokoro_albert *albert = &s->model->albert;
    if (s->n_ids > albert->n_positions) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT,
                       "%d phoneme ids: the model has positions for %d, split the text", s->n_ids,
                       albert->n_positions);
    }
    struct ut_arena_mark mark = ut_arena_mark(&s->arena);
    struct buffers b;
    bool ok = allocate(s, &b);
    utter_status status = UTTER_OK;
    if (ok) {
        embed(s, b.embedded, y);
    }
    for (int i = 0; ok && status == UTTER_OK && i < s->model->config.n_repeats; i++) {
        struct ut_arena_mark layer = ut_arena_mark(&s->arena);
        ok = apply_layer(s, &b, y);
        ut_arena_rewind(&s->arena, layer);
        status = ut_kokoro_check_cancel(s, err);
    }
    ut_arena_rewind(&s->arena, mark);
    if (!ok) {
        size_t n_bytes = (size_t)s->n_ids * (size_t)albert->n_hidden * sizeof *y;
        return ut_fail_memory(err, n_bytes);
    }
    ut_kokoro_observe(s, "bert_out", y, albert->n_hidden, s->n_ids, albert->n_hidden);
    return status;
}
