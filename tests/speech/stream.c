/* Speaking through the public interface, with native voices and the formant voice: determinism,
 * cancelling, progress, statistics, pauses, long texts in bounded memory. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "speech/talk.h"
#include "support/failing_allocator.h"

static const char text[] =
    "The first sentence is short. Is the second one longer than the first? Yes!";

/* voice, options NULL: defaults */
static utter_status say(utter_voice *voice, const char *words, const utter_speak_options *options,
                        struct heard *heard, utter_result *result) {
    utter_stream *stream = open_stream(voice);
    utter_error err = {UTTER_OK, ""};
    utter_result own = {.size = sizeof own};
    utter_status status = utter_stream_speak(stream, words, strlen(words), options, hear, heard,
                                             result ? result : &own, &err);
    assert_int_equal(status, err.code);
    utter_stream_destroy(stream);
    return status;
}

static void speaks_every_fixture(void **state) {
    static const char *const paths[] = {"piper/tiny.onnx", "piper/tiny_multi.onnx", "house/tiny",
                                        "espeak"};
    utter_engine *engine = open_engine(2, NULL);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        utter_voice *voice =
            open_voice(engine, strcmp(paths[i], "espeak") ? data_path(paths[i]) : paths[i]);
        utter_voice_info info = {.size = sizeof info};
        utter_result result = {.size = sizeof result};
        struct heard heard;
        heard_init(&heard, false);
        utter_voice_get_info(voice, &info);
        assert_int_equal(say(voice, text, NULL, &heard, &result), UTTER_OK);
        assert_true(heard.sound && heard.largest > 0.001f);
        assert_int_equal(result.n_samples, heard.n);
        assert_int_equal(result.sample_rate_hz, info.sample_rate_hz);
        assert_true(fabs(result.audio_s - (double)heard.n / info.sample_rate_hz) < 1e-9);
        assert_true(result.n_sentences >= 1 && result.n_sentences <= 3);
        assert_string_equal(result.backend, info.backend);
        assert_string_equal(result.fallback_reason, "");
        assert_int_equal(result.n_fallbacks, 0);
        assert_true(result.first_audio_s > 0 && result.first_audio_s <= result.elapsed_s);
        assert_true(result.cpu_s > 0 && result.phonemize_s > 0);
        assert_true(strcmp(info.backend, "native") != 0 || result.decode_s > 0);
        utter_voice_close(voice);
    }
    utter_engine_destroy(engine);
}

/* A sentence counts once: also when blanks behind it, or its own length, cut the text in pieces. */
static void sentences_are_counted_once(void **state) {
    utter_engine *engine = open_engine(1, NULL);
    utter_voice *voice = open_voice(engine, data_path("piper/tiny.onnx"));
    static char padded[20000];
    utter_result result = {.size = sizeof result};
    utter_speak_options options;
    struct heard heard;
    utter_speak_options_init(&options);
    options.speed = 10;
    memset(padded, ' ', sizeof padded - 1);
    memcpy(padded, "Hi.", 3);
    heard_init(&heard, false);
    assert_int_equal(say(voice, padded, &options, &heard, &result), UTTER_OK);
    assert_int_equal(result.n_sentences, 1);
    for (size_t i = 0; i + 4 < 6000; i += 4) {
        memcpy(padded + i, "aha ", 4);
    }
    assert_int_equal(say(voice, padded, &options, &heard, &result), UTTER_OK);
    assert_int_equal(result.n_sentences, 1);
    assert_int_equal(say(voice, "One. Two. Three.", &options, &heard, &result), UTTER_OK);
    assert_int_equal(result.n_sentences, 3);
    utter_voice_close(voice);
    utter_engine_destroy(engine);
}

static void same_seed_same_samples(void **state) {
    utter_engine *engine = open_engine(1, NULL);
    utter_voice *voice = open_voice(engine, data_path("piper/tiny.onnx"));
    utter_speak_options options;
    struct heard first, again, other;
    heard_init(&first, false);
    heard_init(&again, false);
    heard_init(&other, false);
    utter_speak_options_init(&options);
    options.seed = 7;
    assert_int_equal(say(voice, text, &options, &first, NULL), UTTER_OK);
    assert_int_equal(say(voice, text, &options, &again, NULL), UTTER_OK);
    assert_true(heard_same(&first, &again));
    options.seed = 8;
    assert_int_equal(say(voice, text, &options, &other, NULL), UTTER_OK);
    assert_int_not_equal(first.hash, other.hash);
    utter_voice_close(voice);
    utter_engine_destroy(engine);
}

static void threads_do_not_change_a_bit(void **state) {
    struct heard first, heard;
    for (int32_t n_threads = 1; n_threads <= 4; n_threads++) {
        utter_engine *engine = open_engine(n_threads, NULL);
        utter_voice *voice = open_voice(engine, data_path("piper/tiny_multi.onnx"));
        heard_init(&heard, false);
        assert_int_equal(say(voice, text, NULL, &heard, NULL), UTTER_OK);
        first = n_threads == 1 ? heard : first;
        assert_true(heard_same(&first, &heard));
        utter_voice_close(voice);
        utter_engine_destroy(engine);
    }
}

/* Every stage has its time, layers and weights; together they take no longer than the call. */
static void tells_its_stages(void **state) {
    static const char *const paths[] = {"piper/tiny.onnx", "house/tiny", "kokoro/kokoro-v1_0.pth"};
    static const int32_t ids[] = {1, 20, 30, 40, 50, 60, 2};
    utter_engine *engine = open_engine(2, NULL);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        utter_voice *voice = open_voice(engine, data_path(paths[i]));
        utter_stream *stream = open_stream(voice);
        utter_result result = {.size = sizeof result};
        utter_stage stage = {.size = sizeof stage};
        utter_speak_options options;
        struct heard heard;
        double total_s = 0;
        uint64_t n_macs = 0;
        int32_t n = 0;
        heard_init(&heard, false);
        utter_speak_options_init(&options);
        options.stages = true;
        assert_int_equal(utter_stream_speak_ids(stream, ids, sizeof ids / sizeof *ids, &options,
                                                hear, &heard, &result, NULL),
                         UTTER_OK);
        for (; utter_stream_stage(stream, n, &stage); n++) {
            assert_true(stage.name && stage.wall_s > 0 && stage.cpu_s >= 0);
            total_s += stage.wall_s;
            n_macs += stage.n_macs_f32 + stage.n_macs_bf16 + stage.n_macs_int8;
            assert_true(stage.weight_bytes > 0 || strcmp(stage.name, "prior") == 0);
        }
        assert_true(n >= 5 && n_macs > 100000);
        assert_true(total_s <= result.elapsed_s);
        assert_false(utter_stream_stage(stream, -1, &stage));
        options.stages = false;
        assert_int_equal(utter_stream_speak_ids(stream, ids, sizeof ids / sizeof *ids, &options,
                                                hear, &heard, NULL, NULL),
                         UTTER_OK);
        assert_false(utter_stream_stage(stream, 0, &stage));
        assert_false(utter_stream_stage(NULL, 0, &stage));
        utter_stream_destroy(stream);
        utter_voice_close(voice);
    }
    utter_peaks peaks = {.size = sizeof peaks};
    assert_int_equal(utter_engine_peaks(engine, &peaks, NULL), UTTER_OK);
    assert_true(peaks.f32_macs_per_s >= 0 && peaks.read_bytes_per_s >= 0);
    assert_int_equal(utter_engine_peaks(engine, NULL, NULL), UTTER_ERROR_ARGUMENT);
    utter_engine_destroy(engine);
}

/* A stream that has spoken, and one that was interrupted, speak as a new one does. */
static void streams_have_no_memory(void **state) {
    utter_engine *engine = open_engine(1, NULL);
    utter_voice *voice = open_voice(engine, data_path("piper/tiny.onnx"));
    utter_stream *stream = open_stream(voice);
    utter_error err;
    struct heard first, stopped, again;
    heard_init(&first, false);
    heard_init(&stopped, false);
    heard_init(&again, false);
    assert_int_equal(utter_stream_speak(stream, text, strlen(text), NULL, hear, &first, NULL, &err),
                     UTTER_OK);
    stopped.stop_after = 1000;
    assert_int_equal(
        utter_stream_speak(stream, text, strlen(text), NULL, hear, &stopped, NULL, &err),
        UTTER_ERROR_CANCELLED);
    assert_true(stopped.n >= 1000 && stopped.n < first.n);
    assert_int_equal(utter_stream_speak(stream, text, strlen(text), NULL, hear, &again, NULL, &err),
                     UTTER_OK);
    assert_true(heard_same(&first, &again));
    utter_stream_destroy(stream);
    utter_voice_close(voice);
    utter_engine_destroy(engine);
}

static void speaks_ids_without_allocating(void **state) {
    static const int32_t ids[] = {1, 0, 20, 0, 25, 0, 31, 0, 10, 0, 2};
    struct failing_allocator memory;
    utter_allocator allocator = failing_allocator_start(&memory);
    utter_engine *engine = open_engine(2, &allocator);
    static const char *const paths[] = {"piper/tiny.onnx", "piper/tiny_multi.onnx", "house/tiny"};
    for (size_t i = 0; i < 3; i++) {
        utter_voice *voice = open_voice(engine, data_path(paths[i]));
        utter_stream *stream = open_stream(voice);
        utter_memory before = {.size = sizeof before}, after = {.size = sizeof after};
        struct heard first, again;
        utter_error err;
        heard_init(&first, false);
        heard_init(&again, false);
        assert_int_equal(utter_stream_speak_ids(stream, ids, 11, NULL, hear, &first, NULL, &err),
                         UTTER_OK);
        utter_engine_memory(engine, &before);
        assert_int_equal(utter_stream_speak_ids(stream, ids, 11, NULL, hear, &again, NULL, &err),
                         UTTER_OK);
        utter_engine_memory(engine, &after);
        assert_int_equal(after.n_allocations, before.n_allocations);
        assert_true(first.n > 0 && heard_same(&first, &again));
        assert_int_equal(utter_stream_speak_ids(stream, ids, 0, NULL, hear, &again, NULL, &err),
                         UTTER_ERROR_ARGUMENT);
        assert_int_equal(
            utter_stream_speak_ids(stream, ids, 1 << 20, NULL, hear, &again, NULL, &err),
            UTTER_ERROR_ARGUMENT);
        utter_stream_destroy(stream);
        utter_voice_close(voice);
    }
    utter_voice *espeak = open_voice(engine, "espeak");
    utter_stream *stream = open_stream(espeak);
    struct heard none;
    heard_init(&none, false);
    assert_int_equal(utter_stream_speak_ids(stream, ids, 11, NULL, hear, &none, NULL, NULL),
                     UTTER_ERROR_UNSUPPORTED);
    utter_stream_destroy(stream);
    utter_voice_close(espeak);
    utter_engine_destroy(engine);
    assert_int_equal(memory.n_blocks, 0);
}

/* The front end allocates; the second time it asks for no more than the first. */
static void a_warm_stream_holds_its_memory(void **state) {
    utter_engine *engine = open_engine(1, NULL);
    utter_voice *voice = open_voice(engine, data_path("piper/tiny.onnx"));
    utter_stream *stream = open_stream(voice);
    utter_memory first = {.size = sizeof first}, later = {.size = sizeof later};
    for (int i = 0; i < 4; i++) {
        struct heard heard;
        heard_init(&heard, false);
        assert_int_equal(
            utter_stream_speak(stream, text, strlen(text), NULL, hear, &heard, NULL, NULL),
            UTTER_OK);
        utter_engine_memory(engine, i == 1 ? &first : &later);
    }
    assert_int_equal(later.session_bytes, first.session_bytes);
    assert_int_equal(later.weights_bytes, first.weights_bytes);
    assert_int_equal(later.other_bytes, first.other_bytes);
    utter_stream_destroy(stream);
    utter_voice_close(voice);
    utter_engine_destroy(engine);
}

/* ---- Cancelling --------------------------------------------------------------------------- */

struct canceller {
    utter_stream *stream;
    pthread_mutex_t mutex;
    pthread_cond_t started;
    bool running;
    uint64_t n;
};

static bool hear_and_signal(void *user, const float *samples, size_t n) {
    struct canceller *c = user;
    pthread_mutex_lock(&c->mutex);
    c->running = true;
    c->n += n;
    pthread_cond_signal(&c->started);
    pthread_mutex_unlock(&c->mutex);
    return true;
}

static void *cancel_when_running(void *user) {
    struct canceller *c = user;
    pthread_mutex_lock(&c->mutex);
    while (!c->running) {
        pthread_cond_wait(&c->started, &c->mutex);
    }
    pthread_mutex_unlock(&c->mutex);
    utter_stream_cancel(c->stream);
    return NULL;
}

static void cancelled_by_another_thread(void **state) {
    static const char *const paths[] = {"piper/tiny.onnx", "espeak"};
    static char long_text[40000];
    for (size_t i = 0; i + sizeof text < sizeof long_text; i += sizeof text) {
        memcpy(long_text + i, text, sizeof text - 1);
        long_text[i + sizeof text - 1] = ' ';
    }
    utter_engine *engine = open_engine(2, NULL);
    for (size_t i = 0; i < 2; i++) {
        utter_voice *voice = open_voice(engine, i ? paths[i] : data_path(paths[i]));
        struct canceller c = {open_stream(voice), PTHREAD_MUTEX_INITIALIZER,
                              PTHREAD_COND_INITIALIZER, false, 0};
        pthread_t thread;
        utter_error err;
        struct heard heard;
        assert_int_equal(pthread_create(&thread, NULL, cancel_when_running, &c), 0);
        assert_int_equal(utter_stream_speak(c.stream, long_text, strlen(long_text), NULL,
                                            hear_and_signal, &c, NULL, &err),
                         UTTER_ERROR_CANCELLED);
        pthread_join(thread, NULL);
        /* Served: the next one speaks. */
        heard_init(&heard, false);
        assert_int_equal(utter_stream_speak(c.stream, "Hello.", 6, NULL, hear, &heard, NULL, &err),
                         UTTER_OK);
        assert_true(heard.n > 0);
        /* While nothing runs, the next speak is meant. */
        heard_init(&heard, false);
        utter_stream_cancel(c.stream);
        assert_int_equal(utter_stream_speak(c.stream, "Hello.", 6, NULL, hear, &heard, NULL, &err),
                         UTTER_ERROR_CANCELLED);
        assert_int_equal(heard.n, 0);
        assert_int_equal(utter_stream_speak(c.stream, "Hello.", 6, NULL, hear, &heard, NULL, &err),
                         UTTER_OK);
        utter_stream_destroy(c.stream);
        utter_voice_close(voice);
    }
    utter_engine_destroy(engine);
}

struct nested {
    utter_stream *stream;
    utter_status status;
};

static bool speak_again_inside(void *user, const float *samples, size_t n) {
    struct nested *nested = user;
    utter_error err;
    nested->status =
        utter_stream_speak(nested->stream, "No.", 3, NULL, speak_again_inside, user, NULL, &err);
    return true;
}

static void a_stream_speaks_one_text_at_a_time(void **state) {
    utter_engine *engine = open_engine(1, NULL);
    utter_voice *voice = open_voice(engine, "espeak");
    struct nested nested = {open_stream(voice), UTTER_OK};
    assert_int_equal(utter_stream_speak(nested.stream, "Hello.", 6, NULL, speak_again_inside,
                                        &nested, NULL, NULL),
                     UTTER_OK);
    assert_int_equal(nested.status, UTTER_ERROR_BUSY);
    utter_stream_destroy(nested.stream);
    utter_voice_close(voice);
    utter_engine_destroy(engine);
}

/* ---- Progress, pauses, volume -------------------------------------------------------------- */

struct progress_log {
    uint64_t n_calls, n_bytes, n_samples;
};

static void log_progress(void *user, const utter_progress *progress) {
    struct progress_log *log = user;
    assert_int_equal(progress->size, sizeof *progress);
    assert_true(progress->n_bytes_done >= log->n_bytes && progress->n_samples >= log->n_samples);
    assert_true(progress->n_bytes_done <= progress->n_bytes_total && progress->elapsed_s >= 0);
    *log = (struct progress_log){log->n_calls + 1, progress->n_bytes_done, progress->n_samples};
}

static void progress_rises_to_the_end(void **state) {
    static const char *const paths[] = {"piper/tiny.onnx", "espeak"};
    static const char words[] =
        "One sentence. Two sentences.\n\nA paragraph. And this, too.   \n \n";
    utter_engine *engine = open_engine(1, NULL);
    for (size_t i = 0; i < 2; i++) {
        utter_voice *voice = open_voice(engine, i ? paths[i] : data_path(paths[i]));
        struct progress_log log = {0};
        utter_speak_options options;
        struct heard heard;
        heard_init(&heard, false);
        utter_speak_options_init(&options);
        options.progress = log_progress;
        options.progress_user = &log;
        assert_int_equal(say(voice, words, &options, &heard, NULL), UTTER_OK);
        assert_int_equal(log.n_bytes, strlen(words));
        assert_int_equal(log.n_samples, heard.n);
        assert_true(log.n_calls >= (i ? 2 : 4));
        utter_voice_close(voice);
    }
    utter_engine_destroy(engine);
}

static uint64_t n_samples_of(utter_voice *voice, const char *words, float silence_s) {
    utter_speak_options options;
    struct heard heard;
    heard_init(&heard, false);
    utter_speak_options_init(&options);
    options.sentence_silence_s = silence_s;
    options.noise_w = 0; /* durations do not depend on the seed of a sentence */
    assert_int_equal(say(voice, words, &options, &heard, NULL), UTTER_OK);
    return heard.n;
}

static void pauses(void **state) {
    utter_engine *engine = open_engine(1, NULL);
    utter_voice *voice = open_voice(engine, data_path("piper/tiny.onnx"));
    uint64_t second = 22050;
    uint64_t none = n_samples_of(voice, "One two. Three four.", 0);
    assert_int_equal(n_samples_of(voice, "One two. Three four.", NAN),
                     none + (uint64_t)llrint(0.15 * second));
    assert_int_equal(n_samples_of(voice, "One two. Three four.", 1), none + 2 * second);
    uint64_t paragraphs = n_samples_of(voice, "One two.\n\nThree four.", 0);
    assert_int_equal(n_samples_of(voice, "One two.\n\nThree four.", NAN),
                     paragraphs + (uint64_t)llrint(0.35 * second));
    /* Nothing behind the last sentence. */
    assert_int_equal(n_samples_of(voice, "One two.\n\n", NAN),
                     n_samples_of(voice, "One two.\n\n", 0));
    utter_voice_close(voice);
    utter_engine_destroy(engine);
}

static void volume_scales(void **state) {
    utter_engine *engine = open_engine(1, NULL);
    utter_voice *voice = open_voice(engine, data_path("piper/tiny.onnx"));
    utter_speak_options options;
    struct heard normal, silent, loud, peak;
    heard_init(&normal, false);
    heard_init(&silent, false);
    heard_init(&loud, false);
    heard_init(&peak, false);
    utter_speak_options_init(&options);
    assert_int_equal(say(voice, text, &options, &normal, NULL), UTTER_OK);
    options.volume = 0;
    assert_int_equal(say(voice, text, &options, &silent, NULL), UTTER_OK);
    assert_true(silent.n == normal.n && silent.largest == 0);
    options.volume = 10;
    assert_int_equal(say(voice, text, &options, &loud, NULL), UTTER_OK);
    assert_true(loud.sound && fabsf(loud.largest - fminf(1, 10 * normal.largest)) < 1e-6f);
    options.volume = 0.5f;
    options.normalize = true;
    assert_int_equal(say(voice, text, &options, &peak, NULL), UTTER_OK);
    assert_true(peak.n == normal.n && peak.largest <= 0.5f + 1e-6f && peak.largest > 0.4f);
    utter_voice_close(voice);
    utter_engine_destroy(engine);
}

/* ---- Texts -------------------------------------------------------------------------------- */

/* Peak bytes of the engine and of the process after speaking `words` fast; counts sentences. */
static uint64_t peak_after(utter_engine *engine, utter_stream *stream, const char *words, size_t n,
                           long *max_rss_kb, uint32_t *n_sentences) {
    utter_memory memory = {.size = sizeof memory};
    utter_speak_options options;
    utter_result result = {.size = sizeof result};
    struct heard heard;
    struct rusage usage;
    utter_error err = {UTTER_OK, ""};
    utter_speak_options_init(&options);
    options.speed = 10;
    heard_init(&heard, false);
    assert_int_equal(utter_stream_speak(stream, words, n, &options, hear, &heard, &result, &err),
                     UTTER_OK);
    assert_true(heard.n > 0 && heard.sound);
    utter_engine_memory(engine, &memory);
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    *max_rss_kb = usage.ru_maxrss;
    *n_sentences = result.n_sentences;
    return memory.peak_bytes;
}

/* What one piece of text needs, and the sentences that wait to be heard, is what a megabyte needs:
 * prose with wide gaps, and one endless word. */
static void long_texts_in_bounded_memory(void **state) {
    enum { N = 1 << 20, N_DENSE = 5000, N_WORD = 9000, STEP = 4096, MORE = 12 << 20 };
    char *sparse = malloc(N), *dense = malloc(N_DENSE), *word = malloc(N_WORD);
    for (size_t i = 0; i < N; i++) {
        sparse[i] = i % STEP < 6 ? "Go on."[i % STEP] : i % 7 ? ' ' : '\n';
    }
    for (size_t i = 0; i < N_DENSE; i++) {
        dense[i] = "Go on. "[i % 7];
    }
    for (size_t i = 0; i < N_WORD; i++) {
        word[i] = "abcdefghij"[i % 10];
    }
    utter_engine *engine = open_engine(2, NULL);
    utter_voice *voice = open_voice(engine, data_path("piper/tiny.onnx"));
    utter_stream *stream = open_stream(voice);
    long short_kb, kb;
    uint32_t n;
    uint64_t short_peak = peak_after(engine, stream, word, N_DENSE, &short_kb, &n);
    assert_true(peak_after(engine, stream, dense, N_DENSE, &kb, &n) < short_peak + MORE);
    assert_in_range(n, N_DENSE / 7, N_DENSE / 7 + 1);
    assert_true(peak_after(engine, stream, word, N_WORD, &kb, &n) < short_peak + MORE);
    assert_true(peak_after(engine, stream, sparse, N, &kb, &n) < short_peak + MORE);
    assert_int_equal(n, N / STEP);
#ifndef __SANITIZE_ADDRESS__ /* which keeps freed blocks */
    assert_true(kb < short_kb + 32 * 1024);
#endif
    utter_stream_destroy(stream);
    utter_voice_close(voice);
    utter_engine_destroy(engine);
    free(sparse);
    free(dense);
    free(word);
}

/* Symbols that the voice has no id for are left out and counted; nothing else is lost. */
static void unknown_symbols_are_counted(void **state) {
    struct voice_spec spec = voice_spec_tiny();
    struct voice built;
    utter_error err;
    utter_result result = {.size = sizeof result};
    struct heard heard;
    heard_init(&heard, false);
    voice_build(&built, &spec, 1);
    const char *folder = write_voice(&built, NULL, NULL); /* plain letters only */
    voice_free(&built);
    utter_engine *engine = open_engine(1, NULL);
    utter_voice *voice = open_voice(engine, folder);
    remove_folder(folder);
    utter_stream *stream = open_stream(voice);
    const char words[] = "[[a\xc9\x99"
                         "b\xc9\x99]]";
    assert_int_equal(
        utter_stream_speak(stream, words, strlen(words), NULL, hear, &heard, &result, &err),
        UTTER_OK);
    assert_int_equal(result.n_skipped_symbols, 2);
    assert_true(heard.n > 0);
    /* Not one symbol is known: nothing to say, and no click either. */
    heard_init(&heard, false);
    assert_int_equal(
        utter_stream_speak(stream, "[[\xc9\x99]]", 6, NULL, hear, &heard, &result, &err), UTTER_OK);
    assert_int_equal(heard.n, 0);
    utter_stream_destroy(stream);
    utter_voice_close(voice);
    utter_engine_destroy(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(speaks_every_fixture),
        cmocka_unit_test(same_seed_same_samples),
        cmocka_unit_test(threads_do_not_change_a_bit),
        cmocka_unit_test(tells_its_stages),
        cmocka_unit_test(streams_have_no_memory),
        cmocka_unit_test(speaks_ids_without_allocating),
        cmocka_unit_test(a_warm_stream_holds_its_memory),
        cmocka_unit_test(cancelled_by_another_thread),
        cmocka_unit_test(a_stream_speaks_one_text_at_a_time),
        cmocka_unit_test(progress_rises_to_the_end),
        cmocka_unit_test(pauses),
        cmocka_unit_test(volume_scales),
        cmocka_unit_test(long_texts_in_bounded_memory),
        cmocka_unit_test(unknown_symbols_are_counted),
        cmocka_unit_test(sentences_are_counted_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
