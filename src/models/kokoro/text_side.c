/* The text side of a run: phoneme ids and a style to features, durations and the frames they cover.
 */
#include "models/kokoro/kokoro_model.h"

static utter_status allocate(struct ut_kokoro_session *s, utter_error *err) {
    size_t n = (size_t)s->n_ids, hidden = (size_t)s->model->info.hidden_dim;
    size_t row = (hidden + (size_t)s->model->info.style_dim) * sizeof(float);
    s->d = ut_arena_alloc(&s->arena, n, row);
    s->text = ut_arena_alloc(&s->arena, n, hidden * sizeof(float));
    s->durations = ut_arena_alloc(&s->arena, n, sizeof *s->durations);
    return s->d && s->text && s->durations ? UTTER_OK : ut_fail_memory(err, n * row);
}

static utter_status predict_durations(struct ut_kokoro_session *s, utter_error *err) {
    struct ut_arena_mark mark = ut_arena_mark(&s->arena);
    size_t n = (size_t)s->n_ids, row = (size_t)s->model->albert.n_hidden * sizeof(float);
    float *bert = ut_arena_alloc(&s->arena, n, row);
    ut_tally_begin(s->compute.tally, "albert");
    utter_status status = bert ? ut_kokoro_albert(s, bert, err) : ut_fail_memory(err, n * row);
    ut_tally_begin(s->compute.tally, "durations");
    status = status ? status : ut_kokoro_predict_durations(s, bert, err);
    ut_arena_rewind(&s->arena, mark);
    return status;
}

/* An observer sees numbers of frames and ids as floats, like everything else. */
static utter_status observe_integers(struct ut_kokoro_session *s, const char *stage,
                                     const int32_t *values, int n, utter_error *err) {
    if (!s->request->observer) {
        return UTTER_OK;
    }
    struct ut_arena_mark mark = ut_arena_mark(&s->arena);
    float *copy = ut_arena_alloc(&s->arena, (size_t)n, sizeof *copy);
    if (!copy) {
        return ut_fail_memory(err, (size_t)n * sizeof *copy);
    }
    for (int i = 0; i < n; i++) {
        copy[i] = (float)values[i];
    }
    ut_kokoro_observe(s, stage, copy, 1, n, 1);
    ut_arena_rewind(&s->arena, mark);
    return UTTER_OK;
}

/* The id of each frame: every id repeated for its duration. */
static utter_status align(struct ut_kokoro_session *s, utter_error *err) {
    s->frame_ids = ut_arena_alloc(&s->arena, (size_t)s->n_frames, sizeof *s->frame_ids);
    if (!s->frame_ids) {
        return ut_fail_memory(err, (size_t)s->n_frames * sizeof *s->frame_ids);
    }
    int32_t *frame = s->frame_ids;
    for (int id = 0; id < s->n_ids; id++) {
        for (int i = 0; i < s->durations[id]; i++) {
            *frame++ = id;
        }
    }
    utter_status status = observe_integers(s, "durations", s->durations, s->n_ids, err);
    return status ? status : observe_integers(s, "align_index", s->frame_ids, s->n_frames, err);
}

utter_status ut_kokoro_encode(struct ut_kokoro_session *s, utter_error *err) {
    size_t n = (size_t)s->n_ids, hidden = (size_t)s->model->info.hidden_dim;
    size_t n_style = (size_t)s->model->info.style_dim;
    utter_status status = allocate(s, err);
    status = status ? status : predict_durations(s, err);
    status = status ? status : ut_kokoro_check_cancel(s, err);
    status = status ? status : align(s, err);
    ut_tally_begin(s->compute.tally, "text encoder");
    status = status ? status : ut_kokoro_encode_text(s, err);
    status = status ? status
                    : ut_kokoro_check_finite(s->d, n * (hidden + n_style), "text features", err);
    return status ? status : ut_kokoro_check_finite(s->text, n * hidden, "text features", err);
}
