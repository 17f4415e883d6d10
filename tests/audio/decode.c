/* Reading sounds: every way in, every format, and files that are not what they say. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "audio/decode.h"
#include "audio/wav.h"
#include "audio_check.h"
#include "support/failing_allocator.h"

enum { RATE_HZ = 16000, AT_CHANNELS = 22, AT_RATE = 24 };

static struct ut_mem mem;
static struct audio_folder folder;

static int setup(void **state) {
    ut_mem_init(&mem, NULL);
    audio_folder_make(&folder);
    return 0;
}

static int teardown(void **state) {
    audio_folder_remove(&folder);
    return 0;
}

/* A WAV file of n 16-bit samples 0, 1, 2, ... */
static struct byte_buffer wav_of(size_t n) {
    struct byte_buffer file = {0};
    uint8_t header[UT_WAV_HEADER_MAX];
    byte_buffer_append(&file, header, ut_wav_header(header, false, RATE_HZ, 2 * n));
    for (size_t i = 0; i < n; i++) {
        uint8_t bytes[] = {(uint8_t)i, (uint8_t)(i >> 8)};
        byte_buffer_append(&file, bytes, sizeof bytes);
    }
    return file;
}

/* Takes the file. */
static void check_refused(struct byte_buffer file, const char *words) {
    struct ut_decoded sound;
    utter_error err;
    assert_int_equal(ut_decode_bytes(&mem, file.data, file.n, "it", 1, &sound, &err),
                     UTTER_ERROR_FORMAT);
    if (!strstr(err.message, words)) {
        fail_msg("\"%s\" does not say \"%s\"", err.message, words);
    }
    assert_null(sound.samples);
    assert_int_equal(atomic_load(&mem.bytes[UT_MEM_OTHER]), 0);
    byte_buffer_free(&file);
}

static void samples_are_those_of_the_file(void **state) {
    struct byte_buffer file = wav_of(9000); /* three blocks */
    struct ut_decoded sound;
    assert_int_equal(ut_decode_bytes(&mem, file.data, file.n, "it", 1, &sound, NULL), UTTER_OK);
    assert_true(sound.n == 9000 && sound.rate_hz == RATE_HZ);
    for (size_t i = 0; i < sound.n; i++) {
        assert_true(sound.samples[i] == (float)i / 32768);
    }
    ut_mem_free(&mem, sound.samples);
    byte_buffer_free(&file);
}

static void channels_are_averaged(void **state) {
    struct byte_buffer file = wav_of(200);
    struct ut_decoded sound;
    file.data[AT_CHANNELS] = 2;
    file.data[32] = 4; /* bytes of a frame */
    assert_int_equal(ut_decode_bytes(&mem, file.data, file.n, "it", 1, &sound, NULL), UTTER_OK);
    assert_int_equal(sound.n, 100);
    for (size_t i = 0; i < sound.n; i++) {
        assert_true(sound.samples[i] == (2 * (float)i + 0.5f) / 32768);
    }
    ut_mem_free(&mem, sound.samples);
    byte_buffer_free(&file);
}

static void every_format_that_is_written_is_read(void **state) {
    static const char *const names[] = {"a.wav", "a.flac", "a.opus", "a.ogg", "a.mp3"};
    float *tone = audio_tone(24000, 440, 0.5, 48000);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *path = audio_path(&folder, names[i]);
        struct ut_decoded sound;
        utter_error err;
        audio_write(path, UTTER_FORMAT_AUTO, 48000, tone, 24000, 24000);
        if (ut_decode_file(&mem, path, &sound, &err) != UTTER_OK) {
            fail_msg("%s", err.message);
        }
        assert_true(sound.rate_hz == 48000 && sound.n >= 24000 && sound.n < 30000);
        assert_true(fabs(audio_level_at(sound.samples + 4000, 16000, 440, 48000) - 0.5) < 0.05);
        ut_mem_free(&mem, sound.samples);
        unlink(path);
    }
    free(tone);
}

static void header_that_promises_too_much_is_no_matter(void **state) {
    struct byte_buffer file = wav_of(100);
    struct ut_decoded sound;
    memset(file.data + 40, 0xFF, 4); /* size of the data: unknown, as in a pipe */
    memset(file.data + 4, 0xFF, 4);
    assert_int_equal(ut_decode_bytes(&mem, file.data, file.n, "it", 1, &sound, NULL), UTTER_OK);
    assert_int_equal(sound.n, 100);
    assert_true(atomic_load(&mem.peak_bytes) < 1 << 21);
    ut_mem_free(&mem, sound.samples);
    byte_buffer_free(&file);
}

static void what_is_no_sound_is_refused(void **state) {
    struct byte_buffer file = {0};
    byte_buffer_append(&file, "Good morning.", 13);
    check_refused(file, "it is no sound that can be read: ");
    check_refused((struct byte_buffer){0}, "it is no sound that can be read: ");
    check_refused(wav_of(0), "it holds no samples");
    check_refused(wav_of(RATE_HZ + 1), "it is longer than 1 seconds, which is all that is read");
    file = wav_of(10);
    file.data[AT_RATE] = file.data[AT_RATE + 1] = 3;
    check_refused(file, "it has a rate of 771 Hz; 1000 to 192000 are read");
    file = wav_of(650);
    file.data[AT_CHANNELS] = 65;
    file.data[32] = 130;
    check_refused(file, "it has 65 channels; 1 to 64 are read");
}

static void samples_that_are_not_finite_are_refused(void **state) {
    struct byte_buffer file = {0};
    uint8_t header[UT_WAV_HEADER_MAX];
    float samples[] = {0, 0.5f, NAN, 0};
    byte_buffer_append(&file, header, ut_wav_header(header, true, RATE_HZ, sizeof samples));
    byte_buffer_append(&file, samples, sizeof samples);
    check_refused(file, "it: sample 2 is nan, which is no sound");
}

/* "/dev/fd/N" of a pipe, which holds all of the file already. */
static utter_status decode_through_pipe(struct ut_mem *from, const struct byte_buffer *file,
                                        struct ut_decoded *sound, utter_error *err) {
    char path[32];
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], file->data, file->n), (ssize_t)file->n);
    close(ends[1]);
    snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
    utter_status status = ut_decode_file(from, path, sound, err);
    close(ends[0]);
    return status;
}

static void pipes_are_read_to_their_end(void **state) {
    struct byte_buffer file = wav_of(20000);
    struct failing_allocator failing = {0};
    utter_allocator allocator = failing_allocator_start(&failing);
    struct ut_mem none;
    struct ut_decoded sound;
    utter_error err;
    assert_int_equal(decode_through_pipe(&mem, &file, &sound, NULL), UTTER_OK);
    assert_int_equal(sound.n, 20000);
    ut_mem_free(&mem, sound.samples);
    ut_mem_init(&none, &allocator);
    failing_allocator_reset(&failing, 1, true);
    assert_int_equal(decode_through_pipe(&none, &file, &sound, &err), UTTER_ERROR_MEMORY);
    assert_non_null(strstr(err.message, "no room for 65536 bytes of /dev/fd/"));
    assert_null(sound.samples);
    byte_buffer_free(&file);
}

static void recordings_are_read_from_files(void **state) {
    struct byte_buffer file = wav_of(50);
    const char *path = audio_path(&folder, "fifty.wav");
    utter_recording *recording;
    utter_error err;
    byte_buffer_write_file(&file, path);
    assert_int_equal(utter_recording_open(path, &recording, NULL), UTTER_OK);
    const utter_sound *sound = utter_recording_sound(recording);
    assert_true(sound->n_samples == 50 && sound->sample_rate_hz == RATE_HZ);
    assert_true(sound->samples[49] == 49.0f / 32768);
    utter_recording_close(recording);
    utter_recording_close(NULL);
    unlink(path);
    assert_int_equal(utter_recording_open(path, &recording, &err), UTTER_ERROR_NOT_FOUND);
    assert_non_null(strstr(err.message, "cannot open /"));
    assert_non_null(strstr(err.message, "fifty.wav: No such file"));
    assert_null(recording);
    assert_int_equal(utter_recording_open(folder.path, &recording, &err), UTTER_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, " is a folder, not a sound"));
    assert_int_equal(utter_recording_open(NULL, &recording, &err), UTTER_ERROR_ARGUMENT);
    assert_string_equal(err.message, "path and out must not be NULL");
    byte_buffer_free(&file);
}

static void memory_that_runs_out_is_an_error(void **state) {
    struct byte_buffer file = wav_of(150000); /* the samples grow twice */
    struct failing_allocator failing = {0};
    utter_allocator allocator = failing_allocator_start(&failing);
    struct ut_mem small;
    utter_status status = UTTER_ERROR_MEMORY;
    size_t n = 0;
    ut_mem_init(&small, &allocator);
    while (status == UTTER_ERROR_MEMORY && n < 20) {
        struct ut_decoded sound;
        failing_allocator_reset(&failing, ++n, false);
        status = ut_decode_bytes(&small, file.data, file.n, "it", 10, &sound, NULL);
        ut_mem_free(&small, sound.samples);
        assert_int_equal(failing.n_blocks, 0);
    }
    assert_int_equal(status, UTTER_OK);
    assert_true(n == 4 && !failing.wrong_size);
    byte_buffer_free(&file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_are_those_of_the_file),
        cmocka_unit_test(channels_are_averaged),
        cmocka_unit_test(every_format_that_is_written_is_read),
        cmocka_unit_test(header_that_promises_too_much_is_no_matter),
        cmocka_unit_test(what_is_no_sound_is_refused),
        cmocka_unit_test(samples_that_are_not_finite_are_refused),
        cmocka_unit_test(pipes_are_read_to_their_end),
        cmocka_unit_test(recordings_are_read_from_files),
        cmocka_unit_test(memory_that_runs_out_is_an_error),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
