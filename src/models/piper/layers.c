/* What the forward files share: padded buffers, layers on a session's pool, observation. */
#include <string.h>

#include "base/checked.h"
#include "models/piper/piper_model.h"

void ut_piper_observe_rows(const struct ut_piper_session *s, const char *stage, const float *data,
                           ptrdiff_t row, int first, int n_rows, int total, int n_ch) {
    if (s->request->observer) {
        struct ut_piper_view view = {data, row, first, n_rows, total, n_ch};
        s->request->observer(s->request->observer_user, stage, &view);
    }
}

void ut_piper_observe(const struct ut_piper_session *s, const char *stage, const float *data,
                      ptrdiff_t row, int n_rows, int n_ch) {
    ut_piper_observe_rows(s, stage, data, row, 0, n_rows, n_rows, n_ch);
}

float *ut_piper_padded(struct ut_arena *arena, int n_rows, int n_ch, int before, int behind) {
    float *data =
        ut_arena_alloc(arena, (size_t)(n_rows + before + behind) * (size_t)n_ch, sizeof *data);
    if (!data) {
        return NULL;
    }
    float *row0 = data + (ptrdiff_t)before * n_ch;
    memset(data, 0, (size_t)before * (size_t)n_ch * sizeof *data);
    memset(row0 + (ptrdiff_t)n_rows * n_ch, 0, (size_t)behind * (size_t)n_ch * sizeof *data);
    return row0;
}

/* op's scale 0 stands for 1: most callers name only what they need. All rows are as wide as the
 * layer. */
void ut_piper_conv(const struct ut_piper_session *s, const struct piper_conv *conv, const float *x,
                   struct ut_conv op) {
    int n_in = conv->layer.n_in;
    op.x = x - (ptrdiff_t)conv->pad * n_in;
    op.x_row = n_in;
    op.x_tap = (ptrdiff_t)conv->dilation * n_in;
    op.scale = op.scale != 0 ? op.scale : 1;
    op.y_row = op.y_act_row = op.add_row = op.add2_row = conv->layer.n_out;
    ut_conv(&s->compute, &conv->layer, &op);
}

void ut_piper_linear(const struct ut_piper_session *s, const struct ut_layer *layer, const float *x,
                     float *y, int n_rows) {
    struct ut_conv op = {
        .x = x, .x_row = layer->n_in, .scale = 1, .y = y, .y_row = layer->n_out, .n_rows = n_rows};
    ut_conv(&s->compute, layer, &op);
}

/* g is the same for all rows of a run, so its projection is a constant: adding it to the bias costs
 * nothing for each row. `cond` may serve several layers, from row cond_offset on this one. */
const float *ut_piper_conditioned(struct ut_piper_session *s, const struct ut_layer *layer,
                                  const struct ut_layer *cond, int cond_offset) {
    if (!s->g) {
        return layer->bias;
    }
    int n_padded = layer->n_out + UT_MAX_PANEL; /* enough for a panel of any size */
    float *bias = ut_arena_alloc(&s->arena, (size_t)n_padded, sizeof *bias);
    float *all = ut_arena_alloc(&s->arena, (size_t)cond->n_out, sizeof *all);
    if (!bias || !all) {
        return NULL;
    }
    ut_piper_linear(s, cond, s->g, all, 1);
    memset(bias, 0, (size_t)n_padded * sizeof *bias);
    for (int o = 0; o < layer->n_out; o++) {
        bias[o] = layer->bias[o] + all[cond_offset + o];
    }
    return bias;
}
