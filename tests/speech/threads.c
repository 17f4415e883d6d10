/* Several streams of one voice, and of several voices, in threads of their own, with a thread that
 * cancels at random: for ThreadSanitizer, and every text that was not cancelled sounds as it does
 * alone. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "speech/talk.h"

enum { N_SPEAKERS = 4, N_ROUNDS = 6 };

static const char text[] = "Many threads speak. Each has a stream.";

struct speaker {
    utter_voice *voice;
    _Atomic(utter_stream *) stream;
    struct heard alone;
    bool exact; /* not espeak-ng, which keeps a state between texts */
    uint64_t seed;
    int n_spoken, n_cancelled;
};

static utter_status say(utter_stream *stream, uint64_t seed, struct heard *heard) {
    utter_speak_options options;
    utter_speak_options_init(&options);
    options.seed = seed;
    heard_init(heard, false);
    return utter_stream_speak(stream, text, strlen(text), &options, hear, heard, NULL, NULL);
}

static bool as_alone(const struct speaker *speaker, const struct heard *heard) {
    return speaker->exact ? heard_same(heard, &speaker->alone) : heard->n > 0 && heard->sound;
}

static void *speak_rounds(void *user) {
    struct speaker *speaker = user;
    for (int i = 0; i < N_ROUNDS; i++) {
        struct heard heard;
        utter_status status = say(speaker->stream, speaker->seed, &heard);
        if (status == UTTER_OK && as_alone(speaker, &heard)) {
            speaker->n_spoken++;
        } else if (status == UTTER_ERROR_CANCELLED && speaker->exact &&
                   heard.n <= speaker->alone.n) {
            speaker->n_cancelled++;
        }
    }
    return NULL;
}

static _Atomic bool finished;

static void *cancel_at_random(void *user) {
    struct speaker *speakers = user;
    unsigned random = 1;
    while (!finished) {
        struct timespec nap = {0, 1000000 + rand_r(&random) % 8000000};
        nanosleep(&nap, NULL);
        utter_stream_cancel(speakers[rand_r(&random) % 2].stream); /* the first two only */
    }
    return NULL;
}

static void speak_together(bool cancelling) {
    utter_engine *engine = open_engine(2, NULL);
    utter_voice *native = open_voice(engine, data_path("piper/tiny.onnx"));
    utter_voice *house = open_voice(engine, data_path("house/tiny"));
    utter_voice *espeak = open_voice(engine, "espeak");
    utter_voice *const voices[N_SPEAKERS] = {native, native, house, espeak};
    struct speaker speakers[N_SPEAKERS] = {0};
    pthread_t threads[N_SPEAKERS], canceller;
    for (int i = 0; i < N_SPEAKERS; i++) {
        speakers[i].seed = (uint64_t)i;
        speakers[i].voice = voices[i];
        speakers[i].exact = voices[i] != espeak;
        speakers[i].stream = open_stream(voices[i]);
        assert_int_equal(say(speakers[i].stream, speakers[i].seed, &speakers[i].alone), UTTER_OK);
    }
    finished = false;
    if (cancelling) {
        assert_int_equal(pthread_create(&canceller, NULL, cancel_at_random, speakers), 0);
    }
    for (int i = 0; i < N_SPEAKERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, speak_rounds, &speakers[i]), 0);
    }
    for (int i = 0; i < N_SPEAKERS; i++) {
        pthread_join(threads[i], NULL);
    }
    finished = true;
    if (cancelling) {
        pthread_join(canceller, NULL);
    }
    for (int i = 0; i < N_SPEAKERS; i++) {
        assert_int_equal(speakers[i].n_spoken + speakers[i].n_cancelled, N_ROUNDS);
        assert_true(cancelling && i < 2 ? true : speakers[i].n_cancelled == 0);
        utter_stream_destroy(speakers[i].stream);
    }
    utter_voice_close(native);
    utter_voice_close(house);
    utter_voice_close(espeak);
    utter_engine_destroy(engine);
}

static void streams_do_not_disturb_each_other(void **state) {
    speak_together(false);
}

static void cancelling_some_leaves_the_others(void **state) {
    speak_together(true);
}

struct shared {
    utter_stream *stream;
    _Atomic int n_ok, n_busy, n_other;
};

static void *use_shared_stream(void *user) {
    struct shared *shared = user;
    for (int i = 0; i < 20; i++) {
        struct heard heard;
        utter_status status = say(shared->stream, 1, &heard);
        atomic_fetch_add(status == UTTER_OK           ? &shared->n_ok
                         : status == UTTER_ERROR_BUSY ? &shared->n_busy
                                                      : &shared->n_other,
                         1);
    }
    return NULL;
}

/* A mistake of the program, answered instead of a crash. */
static void one_stream_in_two_threads(void **state) {
    utter_engine *engine = open_engine(1, NULL);
    utter_voice *voice = open_voice(engine, data_path("piper/tiny.onnx"));
    struct shared shared = {.stream = open_stream(voice)};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, use_shared_stream, &shared), 0);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(shared.n_other, 0);
    assert_true(shared.n_ok >= 1);
    assert_int_equal(shared.n_ok + shared.n_busy, 40);
    utter_stream_destroy(shared.stream);
    utter_voice_close(voice);
    utter_engine_destroy(engine);
}

static void *open_and_close(void *user) {
    for (int i = 0; i < 4; i++) {
        utter_voice *voice =
            open_voice(user, data_path(i % 2 ? "house/tiny" : "piper/tiny_multi.onnx"));
        utter_stream *stream = open_stream(voice);
        struct heard heard;
        if (say(stream, 3, &heard) != UTTER_OK) {
            return user;
        }
        utter_stream_destroy(stream);
        utter_voice_close(voice);
    }
    return NULL;
}

static void voices_open_and_close_in_parallel(void **state) {
    utter_engine *engine = open_engine(2, NULL);
    pthread_t threads[3];
    void *failed;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, open_and_close, engine), 0);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    utter_engine_destroy(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_do_not_disturb_each_other),
        cmocka_unit_test(cancelling_some_leaves_the_others),
        cmocka_unit_test(one_stream_in_two_threads),
        cmocka_unit_test(voices_open_and_close_in_parallel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
