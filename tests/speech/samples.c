/* The samples of a text depend on nothing but the text, the settings and the processor level: not
 * on the number of threads, on what else is spoken meanwhile, or on what the stream has said
 * before. 200 texts with UT_TEST_FULL=1, fewer in the suite. Row C2 of the reliability rules. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "speech/talk.h"

enum {
    N_TEXTS_FULL = 200,
#ifdef __SANITIZE_ADDRESS__ /* 8 times slower, and other texts use no other memory */
    N_TEXTS = 10,
#else
    N_TEXTS = 50,
#endif
    MAX_THREADS = 8, /* 1, 4 and 7 in the suite */
    N_NEIGHBOURS = 3,
    MAX_TEXT = 160
};

static char texts[N_TEXTS_FULL][MAX_TEXT];
static struct heard alone[N_TEXTS_FULL];
static size_t n_texts;

/* Short sentences of different lengths; every text another. */
static void write_texts(void) {
    static const char *const who[] = {"The boy", "A grey cat", "My old friend", "She", "Nobody"};
    static const char *const what[] = {"sees", "wants to sell", "forgot", "is", "quietly opened"};
    static const char *const whom[] = {"a house", "the letters", "it", "nothing"};
    static const char *const end[] = {".", "?", "! Yes.", ", or"};
    n_texts = full_run() ? N_TEXTS_FULL : N_TEXTS;
    for (size_t i = 0; i < n_texts; i++) {
        snprintf(texts[i], MAX_TEXT, "%s %s %s %zu%s", who[i % 5], what[i / 5 % 5], whom[i % 4], i,
                 end[i / 3 % 4]);
    }
}

static struct heard say(utter_stream *stream, const char *text) {
    utter_speak_options options;
    struct heard heard;
    utter_error err;
    utter_speak_options_init(&options);
    options.seed = 5;
    options.speed = 4;
    heard_init(&heard, false);
    if (utter_stream_speak(stream, text, strlen(text), &options, hear, &heard, NULL, &err)) {
        fail_msg("%s: %s", text, err.message);
    }
    return heard;
}

/* Cold: a voice and a stream that have said nothing yet. */
static void record(const char *path) {
    utter_engine *engine = open_engine(1, NULL);
    for (size_t i = 0; i < n_texts; i++) {
        utter_voice *voice = open_voice(engine, path);
        utter_stream *stream = open_stream(voice);
        alone[i] = say(stream, texts[i]);
        assert_true(alone[i].n > 0 && alone[i].sound);
        utter_stream_destroy(stream);
        utter_voice_close(voice);
    }
    utter_engine_destroy(engine);
}

/* Warm: one stream says them all. */
static void compare_threads(const char *path) {
    for (int32_t n_threads = 1; n_threads <= MAX_THREADS; n_threads += full_run() ? 1 : 3) {
        utter_engine *engine = open_engine(n_threads, NULL);
        utter_voice *voice = open_voice(engine, path);
        utter_stream *stream = open_stream(voice);
        for (size_t i = 0; i < n_texts; i++) {
            struct heard heard = say(stream, texts[i]);
            if (!heard_same(&heard, &alone[i])) {
                fail_msg("%s: \"%s\" sounds different with %d threads", path, texts[i], n_threads);
            }
        }
        utter_stream_destroy(stream);
        utter_voice_close(voice);
        utter_engine_destroy(engine);
    }
}

struct neighbour {
    utter_stream *stream;
    size_t first;
    size_t n_different;
};

static void *speak_all(void *user) {
    struct neighbour *neighbour = user;
    for (size_t i = 0; i < n_texts; i++) {
        size_t text = (neighbour->first + i) % n_texts;
        struct heard heard = say(neighbour->stream, texts[text]);
        neighbour->n_different += !heard_same(&heard, &alone[text]);
    }
    return NULL;
}

static void compare_under_load(const char *path) {
    utter_engine *engine = open_engine(2, NULL);
    utter_voice *voice = open_voice(engine, path);
    struct neighbour neighbours[N_NEIGHBOURS];
    pthread_t threads[N_NEIGHBOURS];
    for (size_t i = 0; i < N_NEIGHBOURS; i++) {
        neighbours[i] = (struct neighbour){open_stream(voice), i * n_texts / N_NEIGHBOURS, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, speak_all, &neighbours[i]), 0);
    }
    for (size_t i = 0; i < N_NEIGHBOURS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(neighbours[i].n_different, 0);
        utter_stream_destroy(neighbours[i].stream);
    }
    utter_voice_close(voice);
    utter_engine_destroy(engine);
}

static void compare(const char *name) {
    const char *path = data_path(name);
    record(path);
    compare_threads(path);
    compare_under_load(path);
}

static void piper(void **state) {
    compare("piper/tiny.onnx");
}

static void house(void **state) {
    compare("house/tiny");
}

static void kokoro(void **state) {
    compare("kokoro");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(piper),
        cmocka_unit_test(house),
        cmocka_unit_test(kokoro),
    };
    write_texts();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
