/* Helpers of the public interface's tests. */
#include "speech/talk.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

void heard_init(struct heard *heard, bool keep) {
    *heard = (struct heard){.keep = keep, .sound = true, .hash = 14695981039346656037u};
}

void heard_free(struct heard *heard) {
    free(heard->samples);
    heard_init(heard, heard->keep);
}

static void keep_samples(struct heard *heard, const float *samples, size_t n) {
    if (heard->n + n > heard->capacity) {
        heard->capacity = 2 * (heard->n + n);
        heard->samples = realloc(heard->samples, heard->capacity * sizeof(float));
        assert_non_null(heard->samples);
    }
    memcpy(heard->samples + heard->n, samples, n * sizeof(float));
}

bool hear(void *user, const float *samples, size_t n) {
    struct heard *heard = user;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &samples[i], sizeof bits);
        heard->hash = (heard->hash ^ bits) * 1099511628211u;
        heard->sound = heard->sound && fabsf(samples[i]) <= 1.0f;
        heard->largest = fmaxf(heard->largest, fabsf(samples[i]));
    }
    if (heard->keep) {
        keep_samples(heard, samples, n);
    }
    heard->n += n;
    heard->n_calls++;
    return heard->stop_after == 0 || heard->n < heard->stop_after;
}

bool heard_same(const struct heard *a, const struct heard *b) {
    return a->n == b->n && a->hash == b->hash;
}

const char *data_path(const char *name) {
    static _Thread_local char paths[4][4096];
    static _Thread_local int next;
    const char *root = getenv("UT_TEST_DATA");
    if (!root) {
        fprintf(stderr, "UT_TEST_DATA is not set\n");
        exit(1);
    }
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", root, name);
    return path;
}

bool full_run(void) {
    const char *full = getenv("UT_TEST_FULL");
    return full && *full && strcmp(full, "0") != 0;
}

utter_engine *open_engine(int32_t n_threads, const utter_allocator *allocator) {
    utter_engine_options options;
    utter_engine *engine;
    utter_error err;
    utter_engine_options_init(&options);
    options.n_threads = n_threads;
    options.allocator = allocator;
    if (utter_engine_create(&options, &engine, &err) != UTTER_OK) {
        fail_msg("%s", err.message);
    }
    return engine;
}

utter_voice *open_voice(utter_engine *engine, const char *path) {
    utter_voice_options options;
    utter_voice *voice;
    utter_error err;
    utter_voice_options_init(&options);
    options.no_fallback = true;
    if (utter_voice_open(engine, path, &options, &voice, &err) != UTTER_OK) {
        fail_msg("%s", err.message);
    }
    return voice;
}

utter_stream *open_stream(utter_voice *voice) {
    utter_stream *stream;
    utter_error err;
    if (utter_stream_create(voice, &stream, &err) != UTTER_OK) {
        fail_msg("%s", err.message);
    }
    return stream;
}

void write_file(const char *folder, const char *name, const void *data, size_t n) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
}

const char *write_voice(const struct voice *voice, const char *json_from, const char *json_to) {
    static char folder[64];
    struct byte_buffer model = {0}, json = {0};
    strcpy(folder, "/tmp/utter-test-XXXXXX");
    assert_non_null(mkdtemp(folder));
    bool house = voice->spec.house;
    if (house) {
        voice_write_safetensors(voice, true, &model);
    } else {
        voice_write_onnx(voice, NULL, &model);
    }
    voice_write_json(voice, &json);
    if (json_from) {
        voice_replace_text(&json, json_from, json_to);
    }
    write_file(folder, house ? "voice.safetensors" : "voice.onnx", model.data, model.n);
    write_file(folder, house ? "voice.json" : "voice.onnx.json", json.data, json.n);
    byte_buffer_free(&model);
    byte_buffer_free(&json);
    return folder;
}

void remove_folder(const char *folder) {
    static const char *const names[] = {"voice.onnx", "voice.onnx.json", "voice.safetensors",
                                        "voice.json"};
    char path[4096];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(folder), 0);
}
