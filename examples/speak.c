/* Speaks a sentence into a WAV file with the library: speak TEXT FILE [VOICE].
 *
 *     cc speak.c $(pkg-config --cflags --libs utter) -o speak && ./speak "Good morning." hi.wav
 */
#include <stdio.h>
#include <string.h>
#include <utter.h>

struct output {
    utter_writer *writer;
    utter_error err;
};

/* Samples arrive sentence by sentence, while the rest of the text is still to be spoken. */
static bool write_samples(void *user, const float *samples, size_t n_samples) {
    struct output *out = user;
    return utter_writer_write(out->writer, samples, n_samples, &out->err) == UTTER_OK;
}

static int speak(utter_engine *engine, const char *text, const char *file, const char *path) {
    utter_voice *voice = NULL;
    utter_stream *stream = NULL;
    utter_voice_info info = {.size = sizeof info};
    utter_result result = {.size = sizeof result};
    struct output out = {0};

    if (utter_voice_open(engine, path, NULL, &voice, &out.err) != UTTER_OK)
        goto cleanup;
    utter_voice_get_info(voice, &info);
    if (utter_stream_create(voice, &stream, &out.err) != UTTER_OK ||
        utter_writer_open(file, UTTER_FORMAT_AUTO, info.sample_rate_hz, &out.writer, &out.err) != UTTER_OK)
        goto cleanup;
    if (utter_stream_speak(stream, text, strlen(text), NULL, write_samples, &out, &result, &out.err) !=
        UTTER_OK) {
        utter_writer_discard(out.writer);
        goto cleanup;
    }
    if (utter_writer_finish(out.writer, &out.err) == UTTER_OK)
        printf("%s: %.2f s of the voice %s\n", file, result.audio_s, info.name);
cleanup:
    utter_stream_destroy(stream);
    utter_voice_close(voice);
    if (out.err.code != UTTER_OK)
        fprintf(stderr, "speak: %s\n", out.err.message);
    return out.err.code == UTTER_OK ? 0 : 1;
}

int main(int argc, char **argv) {
    utter_engine *engine;
    utter_error err;
    if (argc < 3 || argc > 4) {
        fprintf(stderr, "usage: speak TEXT FILE [VOICE]\n");
        return 2;
    }
    if (utter_engine_create(NULL, &engine, &err) != UTTER_OK) {
        fprintf(stderr, "speak: %s\n", err.message);
        return 1;
    }
    int status = speak(engine, argv[1], argv[2], argv[3]);
    utter_engine_destroy(engine);
    return status;
}
