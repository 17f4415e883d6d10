/* One Kokoro model shared by several threads, each with a session of its own, some of them stopped
 * on the way: what is spoken to its end has the bits that it has alone. Also while the pool is busy
 * with work of others. For ThreadSanitizer as well. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/kokoro_builder.h"
#include "support/kokoro_speak.h"
#include "support/speak.h"

enum { N_SPEAKERS = 4, N_ROUNDS = 5, POOL_THREADS = 3 };

static struct ut_mem mem;
static struct ut_compute compute;
static struct ut_kokoro *model;

static int setup(void **state) {
    struct kokoro_spec spec = kokoro_spec_small();
    struct tensor_file tensors = {0};
    struct byte_buffer file = {0}, text = {0};
    struct ut_kokoro_config config;
    struct ut_weights *weights = NULL;
    utter_error err = {0};
    kokoro_build(&spec, 1, &tensors);
    tensor_file_write_safetensors(&tensors, &file);
    kokoro_write_config(&spec, &text);
    ut_mem_init(&mem, NULL);
    bool failed = speak_compute_open(&mem, ut_cpu_level_best(), POOL_THREADS, &compute, &err) ||
                  ut_kokoro_config_parse(&mem, (const char *)text.data, text.n, &config, &err) ||
                  ut_weights_parse(&mem, file.data, file.n, &weights, &err) ||
                  ut_kokoro_load(&mem, &compute, weights, &config, NULL, &model, &err);
    ut_weights_close(weights);
    ut_kokoro_config_free(&config);
    tensor_file_free(&tensors);
    byte_buffer_free(&file);
    byte_buffer_free(&text);
    return failed;
}

static int teardown(void **state) {
    ut_kokoro_close(model);
    speak_compute_close(&compute);
    return mem.bytes[UT_MEM_WEIGHTS] || mem.bytes[UT_MEM_SESSION] || mem.bytes[UT_MEM_OTHER];
}

/* The request of a speaker: lengths, styles, speeds and seeds differ. */
static struct ut_kokoro_request request_of(int speaker, float style[64]) {
    struct ut_kokoro_request request = kokoro_request();
    memcpy(style, request.style, 64 * sizeof *style);
    style[speaker] += 0.5f;
    request.style = style;
    request.n_ids -= (size_t)speaker;
    request.speed = 1 - 0.1f * (float)speaker;
    request.seed = (uint64_t)speaker;
    return request;
}

struct speaker {
    int index, n_same, n_stopped;
    const struct kokoro_speech *alone;
};

/* A run that its receiver stops, in a session that is used again: another speaker's must not
 * notice. */
static bool stop_at_once(void *user, const float *samples, size_t n) {
    *(size_t *)user += n;
    return false;
}

static bool stop_one(struct ut_kokoro_session *session, struct ut_kokoro_request request) {
    size_t n_heard = 0;
    utter_error err = {0};
    request.sink = stop_at_once;
    request.user = &n_heard;
    return ut_kokoro_run(session, &request, NULL, &err) == UTTER_ERROR_CANCELLED && n_heard > 0;
}

static void *speak_rounds(void *user) {
    struct speaker *speaker = user;
    float style[64];
    struct ut_kokoro_request request = request_of(speaker->index, style);
    struct ut_kokoro_session *session;
    utter_error err = {0};
    if (ut_kokoro_session_create(model, &session, &err) != UTTER_OK) {
        return NULL;
    }
    for (int i = 0; i < N_ROUNDS; i++) {
        struct kokoro_speech speech = {0};
        kokoro_speak_model(model, &request, &speech);
        speaker->n_same += kokoro_speech_equal(&speech, speaker->alone);
        speaker->n_stopped += stop_one(session, request);
        kokoro_speech_free(&speech);
    }
    ut_kokoro_session_destroy(session);
    return NULL;
}

/* Work for the pool that is none of the model's. */
struct load {
    _Atomic bool finished;
    _Atomic unsigned n_ranges;
};

static void count_ranges(void *user, int begin, int end) {
    struct load *load = user;
    for (int i = begin; i < end; i++) {
        atomic_fetch_add(&load->n_ranges, 1);
    }
}

static void *keep_pool_busy(void *user) {
    struct load *load = user;
    do {
        ut_pool_run(compute.pool, 64, 1, count_ranges, load);
    } while (!atomic_load(&load->finished));
    return NULL;
}

static void speak_together(bool busy) {
    struct kokoro_speech alone[N_SPEAKERS] = {0};
    struct speaker speakers[N_SPEAKERS] = {0};
    pthread_t threads[N_SPEAKERS], other;
    struct load load = {0};
    for (int i = 0; i < N_SPEAKERS; i++) {
        float style[64];
        struct ut_kokoro_request request = request_of(i, style);
        kokoro_speak_model(model, &request, &alone[i]);
        assert_int_equal(alone[i].step, KOKORO_DONE);
        speakers[i] = (struct speaker){.index = i, .alone = &alone[i]};
    }
    if (busy) {
        assert_int_equal(pthread_create(&other, NULL, keep_pool_busy, &load), 0);
    }
    for (int i = 0; i < N_SPEAKERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, speak_rounds, &speakers[i]), 0);
    }
    for (int i = 0; i < N_SPEAKERS; i++) {
        pthread_join(threads[i], NULL);
    }
    atomic_store(&load.finished, true);
    if (busy) {
        pthread_join(other, NULL);
        assert_true(load.n_ranges > 0 && load.n_ranges % 64 == 0);
    }
    for (int i = 0; i < N_SPEAKERS; i++) {
        assert_int_equal(speakers[i].n_same, N_ROUNDS);
        assert_int_equal(speakers[i].n_stopped, N_ROUNDS);
        kokoro_speech_free(&alone[i]);
    }
}

static void speakers_do_not_hear_each_other(void **state) {
    speak_together(false);
}

static void nor_a_busy_pool(void **state) {
    speak_together(true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(speakers_do_not_hear_each_other),
        cmocka_unit_test(nor_a_busy_pool),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
