/* The normalising flow in inverse direction: residual couplings (mean only) whose mean comes from a
 * WaveNet-like stack, with a reversal of all channels between them. Reference:
 * ResidualCouplingBlock. */
#include <stdio.h>
#include <string.h>

#include "models/piper/piper_model.h"

struct buffers {
    float *h;           /* [n_frames, hidden] with zero rows around */
    float *gate;        /* [n_frames, 2 * hidden] */
    float *acts, *skip; /* [n_frames, hidden] */
};

/* h -> sum of the layers' skip outputs. */
static bool wn(struct ut_piper_session *s, const struct piper_coupling *coupling,
               const struct buffers *b) {
    const struct ut_compute *compute = &s->compute;
    int n = s->n_frames, hidden = s->model->info.n_hidden;
    for (int i = 0; i < coupling->n_layers; i++) {
        const struct piper_conv *in = &coupling->layers[i].in;
        const float *bias = ut_piper_conditioned(s, &in->layer, &coupling->cond, 2 * hidden * i);
        if (!bias) {
            return false;
        }
        ut_piper_conv(s, in, b->h, (struct ut_conv){.bias = bias, .y = b->gate, .n_rows = n});
        ut_gate(compute, b->acts, b->gate, n, hidden);
        struct ut_conv skip = {.x = b->acts,
                               .x_row = hidden,
                               .add = i ? b->skip : NULL,
                               .add_row = hidden,
                               .scale = 1,
                               .y = b->skip,
                               .y_row = hidden,
                               .n_rows = n};
        ut_conv(compute, &coupling->layers[i].skip, &skip);
        if (i < coupling->n_layers - 1) {
            struct ut_conv res = {.x = b->acts,
                                  .x_row = hidden,
                                  .add = b->h,
                                  .add_row = hidden,
                                  .scale = 1,
                                  .y = b->h,
                                  .y_row = hidden,
                                  .n_rows = n};
            ut_conv(compute, &coupling->layers[i].res, &res);
        }
    }
    return true;
}

/* The second half of z [n_frames, inter] loses the mean that the first half predicts. */
static bool couple(struct ut_piper_session *s, const struct piper_coupling *coupling,
                   const struct buffers *b, float *z) {
    int inter = s->model->info.n_inter, hidden = s->model->info.n_hidden;
    struct ut_conv pre = {
        .x = z, .x_row = inter, .scale = 1, .y = b->h, .y_row = hidden, .n_rows = s->n_frames};
    ut_conv(&s->compute, &coupling->pre, &pre);
    if (!wn(s, coupling, b)) {
        return false;
    }
    float *second = z + inter / 2;
    struct ut_conv post = {.x = b->skip,
                           .x_row = hidden,
                           .add = second,
                           .add_row = inter,
                           .scale = 1,
                           .y = second,
                           .y_row = inter,
                           .n_rows = s->n_frames};
    ut_conv(&s->compute, &coupling->post, &post);
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

utter_status ut_piper_flow(struct ut_piper_session *s, float *z, utter_error *err) {
    const struct ut_piper *model = s->model;
    int n = s->n_frames, hidden = model->info.n_hidden, inter = model->info.n_inter, pad = 0;
    for (int i = 0; i < model->n_couplings; i++) {
        for (int j = 0; j < model->couplings[i].n_layers; j++) {
            int need = model->couplings[i].layers[j].in.pad;
            pad = need > pad ? need : pad;
        }
    }
    struct buffers b = {ut_piper_padded(&s->arena, n, hidden, pad, pad),
                        ut_piper_padded(&s->arena, n, 2 * hidden, 0, 0),
                        ut_piper_padded(&s->arena, n, hidden, 0, 0),
                        ut_piper_padded(&s->arena, n, hidden, 0, 0)};
    bool ok = !s->arena.failed;
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
