/* Pitch (F0, Hz) and energy (N) curves, two values a frame: ProsodyPredictor.F0Ntrain of the
 * reference. Both start from one LSTM over the aligned text features and go through three residual
 * blocks each, the second of which doubles the rate. */
#include <stdio.h>
#include <string.h>

#include "models/kokoro/kokoro_model.h"

static const char *const curves[] = {"F0", "N"};

utter_status ut_kokoro_load_prosody(struct kokoro_loader *loader, utter_error *err) {
    struct kokoro_prosody *p = &loader->model->prosody;
    int hidden = loader->model->info.hidden_dim, style = loader->model->info.style_dim;
    utter_status status = ut_kokoro_load_lstm(loader, "predictor.shared", hidden + style,
                                              hidden / 2, false, &p->shared, err);
    for (int c = 0; c < 2 && status == UTTER_OK; c++) {
        char name[64];
        int n_ch = hidden;
        for (int i = 0; i < KOKORO_PROSODY_BLOCKS && status == UTTER_OK; i++) {
            snprintf(name, sizeof name, "predictor.%s.%d", curves[c], i);
            status =
                ut_kokoro_load_resblk(loader, name, n_ch, KOKORO_ANY, false, &p->blocks[c][i], err);
            n_ch = p->blocks[c][i].n_out;
            if (status == UTTER_OK && p->blocks[c][i].upsample != (i == 1)) {
                status =
                    ut_fail(err, UTTER_ERROR_FORMAT,
                            "tensor %s.pool.weight: the second block of each curve doubles the "
                            "rate, no other does",
                            name);
            }
        }
        snprintf(name, sizeof name, "predictor.%s_proj", curves[c]);
        status = status ? status
                        : ut_kokoro_load_layer(loader, name, 1, n_ch, 1, true, &p->proj[c], err);
    }
    return status;
}

static utter_status predict_curve(struct ut_kokoro_session *s, int c, const float *x, float *out,
                                  utter_error *err) {
    const struct kokoro_prosody *p = &s->model->prosody;
    int n_rows = s->n_frames;
    for (int i = 0; i < KOKORO_PROSODY_BLOCKS; i++) {
        const struct kokoro_resblk *block = &p->blocks[c][i];
        int n_out_rows = block->upsample ? 2 * n_rows : n_rows;
        float *y = ut_arena_alloc(&s->arena, (size_t)n_out_rows * (size_t)block->n_out, sizeof *y);
        if (!y) {
            return ut_fail_memory(err, (size_t)n_out_rows * (size_t)block->n_out * sizeof *y);
        }
        utter_status status = ut_kokoro_resblk(s, block, s->style_predictor, x, block->n_in, n_rows,
                                               y, block->n_out, err);
        if (status) {
            return status;
        }
        char stage[32];
        snprintf(stage, sizeof stage, "pred_%s_block_%d", curves[c], i);
        ut_kokoro_observe(s, stage, y, block->n_out, n_out_rows, block->n_out);
        x = y;
        n_rows = n_out_rows;
    }
    ut_kokoro_linear(s, &p->proj[c], x, out, n_rows);
    ut_kokoro_observe(s, curves[c], out, 1, n_rows, 1);
    return UTTER_OK;
}

/* Rows of x [n_ids, n_ch] repeated for the duration of their id: [n_frames, n_ch]. */
float *ut_kokoro_align(struct ut_kokoro_session *s, const float *x, int n_ch) {
    float *y = ut_arena_alloc(&s->arena, (size_t)s->n_frames * (size_t)n_ch, sizeof *y);
    for (int t = 0; y && t < s->n_frames; t++) {
        memcpy(y + (ptrdiff_t)t * n_ch, x + (ptrdiff_t)s->frame_ids[t] * n_ch,
               (size_t)n_ch * sizeof *y);
    }
    return y;
}

utter_status ut_kokoro_predict_prosody(struct ut_kokoro_session *s, utter_error *err) {
    const struct kokoro_prosody *p = &s->model->prosody;
    int n_in = p->shared.n_in, n_out = 2 * p->shared.n_hidden;
    size_t n_frames = (size_t)s->n_frames;
    s->f0 = ut_arena_alloc(&s->arena, 2 * n_frames, sizeof(float));
    s->n = ut_arena_alloc(&s->arena, 2 * n_frames, sizeof(float));
    struct ut_arena_mark mark = ut_arena_mark(&s->arena);
    float *shared = ut_arena_alloc(&s->arena, n_frames * (size_t)n_out, sizeof *shared);
    const float *aligned = ut_kokoro_align(s, s->d, n_in);
    if (!s->f0 || !s->n || !shared || !aligned ||
        !ut_lstm_run(&s->compute, &s->arena, &p->shared, aligned, n_in, shared, n_out,
                     s->n_frames)) {
        return ut_fail_memory(err, n_frames * (size_t)(n_in + n_out) * sizeof(float));
    }
    ut_kokoro_observe(s, "shared_lstm_out", shared, n_out, s->n_frames, n_out);
    utter_status status = predict_curve(s, 0, shared, s->f0, err);
    status = status ? status : predict_curve(s, 1, shared, s->n, err);
    ut_arena_rewind(&s->arena, mark);
    status = status ? status : ut_kokoro_check_finite(s->f0, 2 * n_frames, "pitches", err);
    return status ? status : ut_kokoro_check_finite(s->n, 2 * n_frames, "energies", err);
}
