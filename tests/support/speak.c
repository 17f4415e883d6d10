/* See speak.h. */
#include "support/speak.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

utter_status speak_compute_open(struct ut_mem *mem, enum ut_cpu_level level, int n_threads,
                                struct ut_compute *out, utter_error *err) {
    *out = (struct ut_compute){.kernels = ut_kernels_get(level)};
    return ut_pool_create(mem, n_threads, &out->pool, err);
}

void speak_compute_close(struct ut_compute *compute) {
    ut_pool_destroy(compute->pool);
    *compute = (struct ut_compute){0};
}

struct ut_piper_request speak_request(void) {
    static const int32_t ids[] = {1, 0, 5, 0, 9, 0, 7, 0, 11, 0, 4, 0, 2};
    return (struct ut_piper_request){.ids = ids,
                                     .n_ids = UT_COUNT(ids),
                                     .noise_scale = 0.667f,
                                     .length_scale = 1.0f,
                                     .noise_w = 0.8f,
                                     .seed = 1};
}

static bool collect(void *user, const float *samples, size_t n) {
    struct speech *speech = user;
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
    return speech->most_samples == 0 || speech->n_samples <= speech->most_samples;
}

static uint64_t hash_bytes(uint64_t hash, const void *data, size_t n) { /* FNV-1a */
    for (const uint8_t *byte = data; n > 0; n--, byte++) {
        hash = (hash ^ *byte) * 0x100000001b3u;
    }
    return hash;
}

/* Rows arrive tile by tile and tiles depend on the thread count, so their hashes are summed. */
static void hash_stage(void *user, const char *stage, const struct ut_piper_view *view) {
    struct speech *speech = user;
    uint64_t of_stage = hash_bytes(0xcbf29ce484222325u, stage, strlen(stage));
    for (int i = 0; i < view->n_rows; i++) {
        int row = view->first + i;
        uint64_t hash = hash_bytes(of_stage, &row, sizeof row);
        speech->stage_hash +=
            hash_bytes(hash, view->data + i * view->row, (size_t)view->n_ch * sizeof(float));
    }
}

static utter_status run_model(const struct ut_piper *model, const struct ut_piper_request *request,
                              struct speech *speech) {
    struct ut_piper_session *session = NULL;
    speech->step = SPEAK_SESSION;
    ut_piper_get_info(model, &speech->info);
    utter_status status = ut_piper_session_create(model, &session, &speech->err);
    if (status == UTTER_OK) {
        struct ut_piper_request ours = *request;
        ours.sink = collect;
        ours.user = speech;
        if (speech->hash_stages) {
            ours.observer = hash_stage;
            ours.observer_user = speech;
        }
        speech->step = SPEAK_RUN;
        status = ut_piper_run(session, &ours, &speech->result, &speech->err);
    }
    ut_piper_session_destroy(session);
    return status;
}

static utter_status load_and_run(struct ut_mem *mem, const struct ut_compute *compute,
                                 const void *model_bytes, size_t n_model, const char *json,
                                 size_t n_json, const struct ut_piper_request *request,
                                 struct speech *speech) {
    static const struct ut_log silent = {0};
    struct ut_weights *weights = NULL;
    struct ut_piper *model = NULL;
    speech->step = SPEAK_PARSE;
    utter_status status = ut_weights_parse(mem, model_bytes, n_model, &weights, &speech->err);
    if (status == UTTER_OK) {
        speech->step = SPEAK_LOAD;
        status = ut_piper_load(mem, compute, weights, json, n_json, &silent, &model, &speech->err);
    }
    ut_weights_close(weights); /* a model takes nothing that points into the file */
    if (status == UTTER_OK) {
        status = run_model(model, request, speech);
    }
    ut_piper_close(model);
    return status;
}

static void *exact_copy(const struct byte_buffer *bytes) {
    void *copy = test_alloc(bytes->n);
    if (bytes->n > 0) {
        memcpy(copy, bytes->data, bytes->n);
    }
    return copy;
}

void speak(struct ut_mem *mem, const struct ut_compute *compute, const struct byte_buffer *model,
           const struct byte_buffer *json, const struct ut_piper_request *request,
           struct speech *speech) {
    *speech =
        (struct speech){.most_samples = speech->most_samples, .hash_stages = speech->hash_stages};
    void *model_copy = exact_copy(model);
    char *json_copy = exact_copy(json);
    speech->status =
        load_and_run(mem, compute, model_copy, model->n, json_copy, json->n, request, speech);
    if (speech->status == UTTER_OK) {
        speech->step = SPEAK_DONE;
    }
    free(model_copy);
    free(json_copy);
}

void speech_free(struct speech *speech) {
    free(speech->samples);
    *speech = (struct speech){0};
}

bool speech_is_sound(const struct speech *speech) {
    for (size_t i = 0; i < speech->n_samples; i++) {
        if (!(speech->samples[i] >= -1.0f && speech->samples[i] <= 1.0f)) {
            return false;
        }
    }
    return true;
}

bool speech_equal(const struct speech *a, const struct speech *b) {
    return a->step == SPEAK_DONE && b->step == SPEAK_DONE && a->n_samples == b->n_samples &&
           a->n_samples > 0 &&
           memcmp(a->samples, b->samples, a->n_samples * sizeof *a->samples) == 0;
}

double speech_rms(const struct speech *speech) {
    double sum = 0;
    for (size_t i = 0; i < speech->n_samples; i++) {
        sum += (double)speech->samples[i] * speech->samples[i];
    }
    return speech->n_samples ? sqrt(sum / (double)speech->n_samples) : 0.0;
}
