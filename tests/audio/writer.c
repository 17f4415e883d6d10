/* Round trips of every format to files and pipes, empty sounds, and failures, judged by libsndfile.
 */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sndfile.h>

#include "audio_check.h"

enum { RATE_HZ = 22050, N = 30011 };

/* What a format must do with a 1 kHz tone of level 0.5. */
struct expectation {
    utter_format format;
    const char *name;
    int sndfile_format;
    int32_t rate_hz;
    double min_snr_db; /* 0: no comparison by sample (lossy) */
    size_t max_extra;  /* samples beyond the input's that a stream of unknown length may carry */
};

static const struct expectation expectations[] = {
    {UTTER_FORMAT_WAV, "a.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, RATE_HZ, 85, 0},
    {UTTER_FORMAT_WAV_F32, "b.wav", SF_FORMAT_WAV | SF_FORMAT_FLOAT, RATE_HZ, 200, 0},
    {UTTER_FORMAT_FLAC, "a.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, RATE_HZ, 85, 0},
    {UTTER_FORMAT_OPUS, "a.opus", SF_FORMAT_OGG | SF_FORMAT_OPUS, 48000, 0, 0},
    {UTTER_FORMAT_VORBIS, "a.ogg", SF_FORMAT_OGG | SF_FORMAT_VORBIS, RATE_HZ, 0, 0},
    {UTTER_FORMAT_MP3, "a.mp3", SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, RATE_HZ, 0, 2400},
};
enum { N_EXPECTATIONS = sizeof expectations / sizeof *expectations };

static size_t expected_length(const struct expectation *expected, size_t n) {
    return (size_t)lround((double)n * expected->rate_hz / RATE_HZ);
}

/* Read as 32768ths, written as 32767ths: undone before samples are compared. */
static void undo_16_bit_scale(struct audio_read *read) {
    if ((read->format & SF_FORMAT_SUBMASK) == SF_FORMAT_PCM_16) {
        for (size_t i = 0; i < read->n; i++) {
            read->samples[i] *= 32768.0f / 32767.0f;
        }
    }
}

static void check_tone(const struct expectation *expected, const char *path, const float *tone,
                       size_t max_extra) {
    struct audio_read read;
    audio_read_file(&read, path);
    size_t length = expected_length(expected, N);
    assert_int_equal(read.format & (SF_FORMAT_TYPEMASK | SF_FORMAT_SUBMASK),
                     expected->sndfile_format);
    assert_int_equal(read.rate_hz, expected->rate_hz);
    assert_in_range(read.n, length, length + max_extra);
    undo_16_bit_scale(&read);
    if (expected->min_snr_db > 0) {
        assert_true(audio_snr_db(tone, read.samples, N) >= expected->min_snr_db);
    } else {
        /* lame takes 5 % off the level at a constant rate */
        assert_true(fabs(audio_level_at(read.samples, length, 1000, read.rate_hz) - 0.5) < 0.03);
        assert_true(audio_level_at(read.samples, length, 3000, read.rate_hz) < 0.01);
    }
    audio_read_free(&read);
}

static void files_of_every_format(void **state) {
    struct audio_folder folder;
    audio_folder_make(&folder);
    float *tone = audio_tone(N, 1000, 0.5, RATE_HZ);
    for (size_t i = 0; i < N_EXPECTATIONS; i++) {
        const struct expectation *expected = &expectations[i];
        const char *path = audio_path(&folder, expected->name);
        bool by_name = expected->format != UTTER_FORMAT_WAV_F32;
        audio_write(path, by_name ? UTTER_FORMAT_AUTO : expected->format, RATE_HZ, tone, N, 1000);
        check_tone(expected, path, tone, 0);
    }
    assert_int_equal(audio_folder_count(&folder), N_EXPECTATIONS);
    free(tone);
    audio_folder_remove(&folder);
}

static void pipes_of_every_format(void **state) {
    struct audio_folder folder;
    audio_folder_make(&folder);
    float *tone = audio_tone(N, 1000, 0.5, RATE_HZ);
    for (size_t i = 0; i < N_EXPECTATIONS; i++) {
        struct byte_buffer bytes = {0};
        const char *path = audio_path(&folder, expectations[i].name);
        audio_write_to_pipe(&bytes, expectations[i].format, RATE_HZ, tone, N, 777);
        byte_buffer_write_file(&bytes, path);
        check_tone(&expectations[i], path, tone, expectations[i].max_extra);
        byte_buffer_free(&bytes);
    }
    free(tone);
    audio_folder_remove(&folder);
}

static void raw_samples_are_little_endian(void **state) {
    const float samples[] = {0, 1, -1, 0.5f, 3};
    static const uint8_t s16[] = {0, 0, 0xFF, 0x7F, 0x01, 0x80, 0x00, 0x40, 0xFF, 0x7F};
    static const uint8_t f32[] = {0,    0,    0, 0, 0, 0,    0x80, 0x3F, 0,    0,
                                  0x80, 0xBF, 0, 0, 0, 0x3F, 0,    0,    0x40, 0x40};
    struct byte_buffer bytes = {0};
    audio_write_to_pipe(&bytes, UTTER_FORMAT_PCM_S16, RATE_HZ, samples, 5, 2);
    assert_int_equal(bytes.n, sizeof s16);
    assert_memory_equal(bytes.data, s16, sizeof s16);
    byte_buffer_free(&bytes);
    audio_write_to_pipe(&bytes, UTTER_FORMAT_PCM_F32, RATE_HZ, samples, 5, 5);
    assert_int_equal(bytes.n, sizeof f32); /* as they are: 3.0 is not clipped */
    assert_memory_equal(bytes.data, f32, sizeof f32);
    byte_buffer_free(&bytes);
}

static void wav_sizes_in_files_and_pipes(void **state) {
    static const uint8_t ones[4] = {0xFF, 0xFF, 0xFF, 0xFF}, riff[4] = {46, 0, 0, 0},
                         data[4] = {10, 0, 0, 0};
    struct audio_folder folder;
    struct byte_buffer bytes = {0};
    audio_folder_make(&folder);
    const float samples[5] = {0};
    audio_write_to_pipe(&bytes, UTTER_FORMAT_WAV, RATE_HZ, samples, 5, 5);
    assert_int_equal(bytes.n, 54);
    assert_memory_equal(bytes.data + 4, ones, 4);
    assert_memory_equal(bytes.data + 40, ones, 4);
    byte_buffer_free(&bytes);
    const char *path = audio_path(&folder, "a.wav");
    audio_write(path, UTTER_FORMAT_WAV, RATE_HZ, samples, 5, 1);
    byte_buffer_read_file(&bytes, path);
    assert_int_equal(bytes.n, 54);
    assert_memory_equal(bytes.data + 4, riff, 4);
    assert_memory_equal(bytes.data + 40, data, 4);
    byte_buffer_free(&bytes);
    audio_folder_remove(&folder);
}

/* Opus cannot hold nothing and has one sample instead. */
static void empty_sounds_are_valid_files(void **state) {
    struct audio_folder folder;
    audio_folder_make(&folder);
    for (size_t i = 0; i < N_EXPECTATIONS; i++) {
        struct byte_buffer bytes = {0};
        struct audio_read read;
        const char *path = audio_path(&folder, expectations[i].name);
        size_t n_expected = expectations[i].format == UTTER_FORMAT_OPUS ? 1 : 0;
        audio_write(path, expectations[i].format, RATE_HZ, NULL, 0, 1);
        audio_read_file(&read, path);
        assert_int_equal(read.n, n_expected);
        audio_read_free(&read);
        audio_write_to_pipe(&bytes, expectations[i].format, RATE_HZ, NULL, 0, 1);
        assert_true(bytes.n > 0);
        byte_buffer_write_file(&bytes, path);
        audio_read_file(&read, path);
        assert_in_range(read.n, n_expected, n_expected + expectations[i].max_extra);
        audio_read_free(&read);
        byte_buffer_free(&bytes);
    }
    audio_folder_remove(&folder);
}

static void single_samples_survive(void **state) {
    struct audio_folder folder;
    audio_folder_make(&folder);
    for (size_t i = 0; i < N_EXPECTATIONS; i++) {
        struct audio_read read;
        const char *path = audio_path(&folder, expectations[i].name);
        audio_write(path, expectations[i].format, RATE_HZ, &(float){0.25f}, 1, 1);
        audio_read_file(&read, path);
        assert_int_equal(read.n, expected_length(&expectations[i], 1));
        audio_read_free(&read);
    }
    audio_folder_remove(&folder);
}

static void loud_samples_are_clipped_not_wrapped(void **state) {
    struct audio_folder folder;
    audio_folder_make(&folder);
    float *tone = audio_tone(N, 1000, 8, RATE_HZ);
    for (size_t i = 0; i < N_EXPECTATIONS; i++) {
        if (expectations[i].format == UTTER_FORMAT_WAV_F32) {
            continue; /* floats go as they are */
        }
        struct audio_read read;
        const char *path = audio_path(&folder, expectations[i].name);
        audio_write(path, expectations[i].format, RATE_HZ, tone, N, 5000);
        audio_read_file(&read, path);
        /* Almost a square wave, whose fundamental is 4/pi; wrapping would leave next to nothing of
         * it. */
        assert_true(fabs(audio_level_at(read.samples, read.n, 1000, read.rate_hz) - 4 / M_PI) <
                    0.06);
        audio_read_free(&read);
    }
    free(tone);
    audio_folder_remove(&folder);
}

static void other_rates_work_in_every_format(void **state) {
    static const int32_t rates_hz[] = {8000, 16000, 22000, 24000, 48000, 96000, 192000};
    struct audio_folder folder;
    audio_folder_make(&folder);
    for (size_t k = 0; k < sizeof rates_hz / sizeof *rates_hz; k++) {
        size_t n = (size_t)rates_hz[k];
        float *tone = audio_tone(n, 1000, 0.5, rates_hz[k]);
        for (size_t i = 0; i < N_EXPECTATIONS; i++) {
            struct audio_read read;
            const char *path = audio_path(&folder, expectations[i].name);
            audio_write(path, expectations[i].format, rates_hz[k], tone, n, 9999);
            audio_read_file(&read, path);
            assert_int_equal(read.n, read.rate_hz); /* one second */
            assert_true(fabs(audio_level_at(read.samples, read.n, 1000, read.rate_hz) - 0.5) <
                        0.03);
            audio_read_free(&read);
        }
        free(tone);
    }
    audio_folder_remove(&folder);
}

static void impossible_samples_never_reach_a_file(void **state) {
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    struct audio_folder folder;
    audio_folder_make(&folder);
    for (size_t i = 0; i < 3 * N_EXPECTATIONS; i++) {
        utter_writer *writer;
        utter_error err = {0}, second = {0};
        float samples[4] = {0, 0, 0, bad[i % 3]};
        const char *path = audio_path(&folder, expectations[i / 3].name);
        assert_int_equal(
            utter_writer_open(path, expectations[i / 3].format, RATE_HZ, &writer, NULL), UTTER_OK);
        assert_int_equal(utter_writer_write(writer, samples, 3, NULL), UTTER_OK);
        assert_int_equal(utter_writer_write(writer, samples, 4, &err), UTTER_ERROR_ARGUMENT);
        assert_non_null(strstr(err.message, "sample 6"));
        /* A writer that failed once stays failed, with the same message. */
        assert_int_equal(utter_writer_write(writer, samples, 1, NULL), UTTER_ERROR_ARGUMENT);
        assert_int_equal(utter_writer_finish(writer, &second), UTTER_ERROR_ARGUMENT);
        assert_string_equal(second.message, err.message);
        assert_int_equal(audio_folder_count(&folder), 0);
    }
    audio_folder_remove(&folder);
}

static void full_disk_in_every_format(void **state) {
    float *tone = audio_tone(N, 1000, 0.5, RATE_HZ);
    for (int format = UTTER_FORMAT_WAV; format <= UTTER_FORMAT_MP3; format++) {
        utter_writer *writer;
        utter_error err = {0};
        assert_int_equal(
            utter_writer_open("/dev/full", (utter_format)format, RATE_HZ, &writer, NULL), UTTER_OK);
        (void)!utter_writer_write(writer, tone, N, NULL); /* small ones may fail only at the end */
        assert_int_equal(utter_writer_finish(writer, &err), UTTER_ERROR_IO);
        assert_non_null(strstr(err.message, "No space left"));
    }
    free(tone);
}

/* Every byte limit up to a whole file's size: always an error, never a file, no process ended. */
static void file_size_limits_in_every_format(void **state) {
    struct audio_folder folder;
    audio_folder_make(&folder);
    float *tone = audio_tone(2000, 1000, 0.5, RATE_HZ);
    pid_t child = fork();
    if (child == 0) {
        const char *path = audio_path(&folder, "limited");
        int n_wrong = 0;
        for (int format = UTTER_FORMAT_WAV; format <= UTTER_FORMAT_MP3; format++) {
            for (rlim_t limit = 0; limit < 500; limit += 33) {
                utter_writer *writer;
                setrlimit(RLIMIT_FSIZE, &(struct rlimit){limit, RLIM_INFINITY});
                if (utter_writer_open(path, (utter_format)format, RATE_HZ, &writer, NULL) ==
                    UTTER_OK) {
                    (void)!utter_writer_write(writer, tone, 2000, NULL);
                    n_wrong += utter_writer_finish(writer, NULL) != UTTER_ERROR_IO;
                }
                n_wrong += access(path, F_OK) == 0;
            }
        }
        _exit(n_wrong > 100 ? 100 : n_wrong);
    }
    int result;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_int_equal(result, 0);
    assert_int_equal(audio_folder_count(&folder), 0);
    free(tone);
    audio_folder_remove(&folder);
}

static void closed_pipe_in_every_format(void **state) {
    float *tone = audio_tone(N, 1000, 0.5, RATE_HZ);
    signal(SIGPIPE, SIG_DFL);
    for (int format = UTTER_FORMAT_WAV; format <= UTTER_FORMAT_MP3; format++) {
        int fds[2];
        char path[32];
        utter_writer *writer;
        utter_error err = {0};
        assert_int_equal(pipe(fds), 0);
        close(fds[0]);
        snprintf(path, sizeof path, "/dev/fd/%d", fds[1]);
        assert_int_equal(utter_writer_open(path, (utter_format)format, RATE_HZ, &writer, NULL),
                         UTTER_OK);
        (void)!utter_writer_write(writer, tone, N, NULL);
        assert_int_equal(utter_writer_finish(writer, &err), UTTER_ERROR_IO);
        assert_non_null(strstr(err.message, "closed by its reader"));
        close(fds[1]);
    }
    free(tone);
}

static void discarding_removes_everything(void **state) {
    struct audio_folder folder;
    audio_folder_make(&folder);
    float *tone = audio_tone(N, 1000, 0.5, RATE_HZ);
    for (size_t i = 0; i < 2 * N_EXPECTATIONS; i++) {
        utter_writer *writer;
        const struct expectation *expected = &expectations[i / 2];
        assert_int_equal(utter_writer_open(audio_path(&folder, expected->name), expected->format,
                                           RATE_HZ, &writer, NULL),
                         UTTER_OK);
        if (i % 2) {
            assert_int_equal(utter_writer_write(writer, tone, N, NULL), UTTER_OK);
        }
        utter_writer_discard(writer);
        assert_int_equal(audio_folder_count(&folder), 0);
    }
    utter_writer_discard(NULL);
    free(tone);
    audio_folder_remove(&folder);
}

/* A program may find out late that there is nothing to say: the pipe must not have a header then.
 */
static void discarded_writer_leaves_a_pipe_empty(void **state) {
    for (int format = UTTER_FORMAT_WAV; format <= UTTER_FORMAT_MP3; format++) {
        int fds[2];
        char path[32], byte;
        utter_writer *writer;
        assert_int_equal(pipe(fds), 0);
        snprintf(path, sizeof path, "/dev/fd/%d", fds[1]);
        assert_int_equal(utter_writer_open(path, (utter_format)format, RATE_HZ, &writer, NULL),
                         UTTER_OK);
        utter_writer_discard(writer);
        close(fds[1]);
        assert_int_equal(read(fds[0], &byte, 1), 0);
        close(fds[0]);
    }
}

static void bad_arguments(void **state) {
    static const int32_t bad_rates_hz[] = {0, -1, 1, 999, 192001, INT32_MAX};
    utter_writer *writer = (utter_writer *)&writer;
    utter_error err = {0};
    for (size_t i = 0; i < sizeof bad_rates_hz / sizeof *bad_rates_hz; i++) {
        assert_int_equal(
            utter_writer_open("/dev/null", UTTER_FORMAT_WAV, bad_rates_hz[i], &writer, &err),
            UTTER_ERROR_ARGUMENT);
        assert_null(writer);
        assert_non_null(strstr(err.message, "Hz"));
    }
    assert_int_equal(utter_writer_open("/dev/null", (utter_format)77, RATE_HZ, &writer, &err),
                     UTTER_ERROR_ARGUMENT);
    assert_int_equal(utter_writer_open(NULL, UTTER_FORMAT_WAV, RATE_HZ, &writer, &err),
                     UTTER_ERROR_ARGUMENT);
    assert_int_equal(utter_writer_open("/dev/null", UTTER_FORMAT_WAV, RATE_HZ, NULL, &err),
                     UTTER_ERROR_ARGUMENT);
    assert_int_equal(utter_writer_write(NULL, NULL, 0, &err), UTTER_ERROR_ARGUMENT);
    assert_int_equal(utter_writer_finish(NULL, &err), UTTER_ERROR_ARGUMENT);
    assert_int_equal(utter_writer_open("/dev/null", UTTER_FORMAT_WAV, RATE_HZ, &writer, &err),
                     UTTER_OK);
    assert_int_equal(utter_writer_write(writer, NULL, 1, &err), UTTER_ERROR_ARGUMENT);
    assert_int_equal(utter_writer_finish(writer, &err), UTTER_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_of_every_format),
        cmocka_unit_test(pipes_of_every_format),
        cmocka_unit_test(raw_samples_are_little_endian),
        cmocka_unit_test(wav_sizes_in_files_and_pipes),
        cmocka_unit_test(empty_sounds_are_valid_files),
        cmocka_unit_test(single_samples_survive),
        cmocka_unit_test(loud_samples_are_clipped_not_wrapped),
        cmocka_unit_test(other_rates_work_in_every_format),
        cmocka_unit_test(impossible_samples_never_reach_a_file),
        cmocka_unit_test(full_disk_in_every_format),
        cmocka_unit_test(file_size_limits_in_every_format),
        cmocka_unit_test(closed_pipe_in_every_format),
        cmocka_unit_test(discarding_removes_everything),
        cmocka_unit_test(discarded_writer_leaves_a_pipe_empty),
        cmocka_unit_test(bad_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
