/* See kokoro_speak.h. */
#include "support/kokoro_speak.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

struct ut_kokoro_request kokoro_request(void) {
    static const int32_t ids[] = {0, 5, 9, 3, 11, 2, 7, 0};
    static const float style[64] = {0.5f, -0.3f, 0.9f, -1,    0.2f, 0.4f, -0.6f, 0.1f,
                                    0.7f, -0.2f, 0.3f, -0.4f, 0.1f, 0.8f, -0.5f, 0.6f};
    return (struct ut_kokoro_request){
        .ids = ids, .n_ids = UT_COUNT(ids), .style = style, .speed = 1, .seed = 1};
}

static bool collect(void *user, const float *samples, size_t n) {
    struct kokoro_speech *speech = user;
    if (n > speech->capacity - speech->n_samples) {
        size_t capacity = 2 * (speech->n_samples + n);
        float *larger = test_alloc(capacity * sizeof *larger);
        memcpy(larger, speech->samples ? speech->samples : samples,
               speech->n_samples * sizeof *larger);
        free(speech->samples);
        speech->samples = larger;
        speech->capacity = capacity;
    }
    memcpy(speech->samples + speech->n_samples, samples, n * sizeof *samples);
    speech->n_samples += n;
    return true;
}

static void watch(void *user, const char *stage, const struct ut_kokoro_view *view) {
    struct kokoro_speech *speech = user;
    int n_frames = 0;
    if (strcmp(stage, "durations") != 0) {
        return;
    }
    speech->n_durations = view->n_rows;
    for (int i = 0; i < view->n_rows; i++) {
        speech->durations[i] = (int32_t)view->data[i * view->row];
        n_frames += speech->durations[i];
    }
    speech->stop = n_frames > speech->most_frames;
}

void kokoro_speak_model(const struct ut_kokoro *model, const struct ut_kokoro_request *request,
                        struct kokoro_speech *speech) {
    struct ut_kokoro_session *session;
    struct ut_kokoro_request ours = *request;
    speech->step = KOKORO_RUN;
    speech->stop = false;
    speech->status = ut_kokoro_session_create(model, &session, &speech->err);
    if (speech->status) {
        return;
    }
    ours.sink = collect;
    ours.user = speech;
    if (speech->most_frames) {
        ours.observer = watch;
        ours.observer_user = speech;
        ours.cancel = &speech->stop;
    }
    speech->status = ut_kokoro_run(session, &ours, &speech->result, &speech->err);
    speech->step = speech->status ? KOKORO_RUN : KOKORO_DONE;
    ut_kokoro_session_destroy(session);
}

static struct ut_kokoro *load(struct ut_mem *mem, const struct ut_compute *compute,
                              const struct ut_weights *weights,
                              const struct ut_kokoro_config *config, struct kokoro_speech *speech) {
    struct ut_kokoro *model = NULL;
    speech->step = KOKORO_LOAD;
    speech->status = ut_kokoro_load(mem, compute, weights, config, NULL, &model, &speech->err);
    if (model) {
        ut_kokoro_get_info(model, &speech->info);
        speech->step = KOKORO_RUN;
    }
    return model;
}

void kokoro_speak(struct ut_mem *mem, const struct ut_compute *compute,
                  const struct byte_buffer *model, const struct byte_buffer *config,
                  const struct ut_kokoro_request *request, size_t n_style,
                  struct kokoro_speech *speech) {
    struct ut_kokoro_config parsed;
    struct ut_weights *weights = NULL;
    struct ut_kokoro *loaded = NULL;
    void *copy = test_alloc(model->n);
    memcpy(copy, model->data, model->n);
    speech->step = KOKORO_CONFIG;
    speech->status =
        ut_kokoro_config_parse(mem, (const char *)config->data, config->n, &parsed, &speech->err);
    if (speech->status == UTTER_OK) {
        speech->step = KOKORO_PARSE;
        speech->status = ut_weights_parse(mem, copy, model->n, &weights, &speech->err);
    }
    if (speech->status == UTTER_OK) {
        loaded = load(mem, compute, weights, &parsed, speech);
    }
    /* A model keeps nothing of its file. */
    ut_weights_close(weights);
    ut_kokoro_config_free(&parsed);
    free(copy);
    if (loaded && 2 * (size_t)speech->info.style_dim <= n_style) {
        kokoro_speak_model(loaded, request, speech);
    }
    ut_kokoro_close(loaded);
}

void kokoro_speech_free(struct kokoro_speech *speech) {
    free(speech->samples);
    *speech = (struct kokoro_speech){0};
}

bool kokoro_speech_is_sound(const struct kokoro_speech *speech) {
    for (size_t i = 0; i < speech->n_samples; i++) {
        if (!(fabsf(speech->samples[i]) <= 1)) { /* nor is a NaN */
            return false;
        }
    }
    return true;
}

bool kokoro_speech_equal(const struct kokoro_speech *a, const struct kokoro_speech *b) {
    return a->step == KOKORO_DONE && b->step == KOKORO_DONE && a->n_samples == b->n_samples &&
           memcmp(a->samples, b->samples, a->n_samples * sizeof *a->samples) == 0;
}
