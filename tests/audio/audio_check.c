/* Helpers of the audio tests. Failing here fails the running test. */
#include "audio_check.h"

#include <dirent.h>
#include <math.h>
#include <pthread.h>
#include <sndfile.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <unistd.h>

#include <cmocka.h>

void audio_folder_make(struct audio_folder *folder) {
    strcpy(folder->path, "/tmp/utter-audio-XXXXXX");
    assert_non_null(mkdtemp(folder->path));
}

const char *audio_path(const struct audio_folder *folder, const char *name) {
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder->path, name);
    return path;
}

/* Removes every entry if `remove_them`; returns how many there were. */
static size_t walk(const struct audio_folder *folder, bool remove_them) {
    DIR *dir = opendir(folder->path);
    assert_non_null(dir);
    size_t n = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            n++;
            if (remove_them) {
                assert_int_equal(unlinkat(dirfd(dir), entry->d_name, 0), 0);
            }
        }
    }
    closedir(dir);
    return n;
}

size_t audio_folder_count(const struct audio_folder *folder) {
    return walk(folder, false);
}

void audio_folder_remove(struct audio_folder *folder) {
    walk(folder, true);
    assert_int_equal(rmdir(folder->path), 0);
}

float *audio_tone(size_t n, double hz, double amplitude, int32_t rate_hz) {
    float *samples = test_alloc((n + 1) * sizeof *samples);
    for (size_t i = 0; i < n; i++) {
        samples[i] = (float)(amplitude * sin(2 * M_PI * hz * (double)i / rate_hz));
    }
    return samples;
}

void audio_read_file(struct audio_read *read, const char *path) {
    SF_INFO info = {0};
    SNDFILE *file = sf_open(path, SFM_READ, &info);
    if (!file) {
        fail_msg("libsndfile refuses %s: %s", path, sf_strerror(NULL));
    }
    assert_int_equal(info.channels, 1);
    *read = (struct audio_read){
        .rate_hz = info.samplerate, .format = info.format, .frames = info.frames};
    size_t capacity = 1 << 20;
    read->samples = test_alloc(capacity * sizeof *read->samples);
    read->n = (size_t)sf_read_float(file, read->samples, (sf_count_t)capacity);
    assert_true(read->n < capacity);
    sf_close(file);
}

void audio_read_free(struct audio_read *read) {
    free(read->samples);
}

double audio_snr_db(const float *wanted, const float *found, size_t n) {
    double signal = 0, noise = 0;
    for (size_t i = 0; i < n; i++) {
        double difference = (double)found[i] - wanted[i];
        signal += (double)wanted[i] * wanted[i];
        noise += difference * difference;
    }
    return noise == 0 ? 200 : 10 * log10(signal / noise);
}

double audio_level_at(const float *samples, size_t n, double hz, int32_t rate_hz) {
    double re = 0, im = 0, weight = 0;
    for (size_t i = 0; i < n; i++) {
        double window = 0.5 - 0.5 * cos(2 * M_PI * (i + 0.5) / (double)n),
               angle = 2 * M_PI * hz * (double)i / rate_hz;
        re += window * samples[i] * cos(angle);
        im += window * samples[i] * sin(angle);
        weight += window;
    }
    return 2 * hypot(re, im) / weight;
}

void audio_write(const char *path, utter_format format, int32_t rate_hz, const float *samples,
                 size_t n, size_t piece) {
    utter_error err = {0};
    utter_writer *writer;
    if (utter_writer_open(path, format, rate_hz, &writer, &err) != UTTER_OK) {
        fail_msg("open: %s", err.message);
    }
    for (size_t i = 0; i < n; i += piece) {
        size_t n_piece = n - i < piece ? n - i : piece;
        if (utter_writer_write(writer, samples + i, n_piece, &err) != UTTER_OK) {
            fail_msg("write: %s", err.message);
        }
    }
    if (utter_writer_finish(writer, &err) != UTTER_OK) {
        fail_msg("finish: %s", err.message);
    }
}

struct pipe_reader {
    int fd;
    struct byte_buffer *bytes;
};

static void *read_pipe(void *user) {
    struct pipe_reader *reader = user;
    char block[4096];
    for (ssize_t n; (n = read(reader->fd, block, sizeof block)) > 0;) {
        byte_buffer_append(reader->bytes, block, (size_t)n);
    }
    return NULL;
}

void audio_write_to_pipe(struct byte_buffer *bytes, utter_format format, int32_t rate_hz,
                         const float *samples, size_t n, size_t piece) {
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    struct pipe_reader reader = {fds[0], bytes};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, read_pipe, &reader), 0);
    char path[32];
    snprintf(path, sizeof path, "/dev/fd/%d", fds[1]);
    audio_write(path, format, rate_hz, samples, n, piece);
    close(fds[1]); /* descriptors of the program stay open: still ours to close */
    pthread_join(thread, NULL);
    close(fds[0]);
}
