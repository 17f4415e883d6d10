/* Every system call of a writer fails in turn: the functions defined here take the place of libc's
 * and fail the Nth call. Whatever the call and the format: an error, and no file left. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "audio_check.h"

enum { RATE_HZ = 22050, N = 9000 };

static struct {
    bool on;      /* only calls of the code under test count */
    int n_calls;  /* so far */
    int fail_at;  /* this call fails, 0: none */
    int error;    /* with this errno */
    bool trickle; /* writes take one byte, and every second one is interrupted */
} faults;

static bool fails(void) {
    if (!faults.on || ++faults.n_calls != faults.fail_at) {
        return false;
    }
    errno = faults.error;
    return true;
}

static bool is_interrupted(void) {
    errno = EINTR;
    return faults.on && faults.trickle && ++faults.n_calls % 2;
}

ssize_t write(int fd, const void *data, size_t n) {
    if (fails() || is_interrupted()) {
        return -1;
    }
    return syscall(SYS_write, fd, data, faults.on && faults.trickle && n > 1 ? 1 : n);
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t offset) {
    if (fails() || is_interrupted()) {
        return -1;
    }
    return syscall(SYS_pwrite64, fd, data, faults.on && faults.trickle && n > 1 ? 1 : n, offset);
}

int fsync(int fd) {
    return fails() ? -1 : (int)syscall(SYS_fsync, fd);
}

int rename(const char *from, const char *to) {
    return fails() ? -1 : (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int close(int fd) {
    int code = (int)syscall(SYS_close, fd); /* closed also when it reports a failure */
    return fails() ? -1 : code;
}

/* Writes a tone; the status of the first call that failed. */
static utter_status write_file(const char *path, utter_format format, const float *tone) {
    utter_writer *writer;
    faults.on = true;
    faults.n_calls = 0;
    utter_status status = utter_writer_open(path, format, RATE_HZ, &writer, NULL);
    for (size_t i = 0; i < N && status == UTTER_OK; i += 3000) {
        (void)!utter_writer_write(writer, tone + i, 3000, NULL);
    }
    status = status == UTTER_OK ? utter_writer_finish(writer, NULL) : status;
    faults.on = false;
    return status;
}

static void fail_every_call(int error) {
    struct audio_folder folder;
    audio_folder_make(&folder);
    float *tone = audio_tone(N, 440, 0.5, RATE_HZ);
    for (int format = UTTER_FORMAT_WAV; format <= UTTER_FORMAT_MP3; format++) {
        const char *path = audio_path(&folder, "a");
        faults.fail_at = 0;
        faults.error = error;
        assert_int_equal(write_file(path, (utter_format)format, tone), UTTER_OK);
        int n_calls = faults.n_calls;
        assert_true(n_calls >= 6); /* write, fsync, close, rename, and the folder's fsync, close */
        assert_int_equal(unlink(path), 0);
        /* The last two calls sync and close the folder: the file is complete by then. */
        for (int i = 1; i <= n_calls - 2; i++) {
            faults.fail_at = i;
            if (write_file(path, (utter_format)format, tone) != UTTER_ERROR_IO) {
                fail_msg("%s: no error when call %d of %d failed", utter_format_name(format), i,
                         n_calls);
            }
            assert_int_equal(audio_folder_count(&folder), 0);
        }
    }
    free(tone);
    audio_folder_remove(&folder);
}

static void every_call_fails_once(void **state) {
    fail_every_call(EIO);
    fail_every_call(ENOSPC);
    fail_every_call(EDQUOT);
}

static void short_and_interrupted_writes_change_nothing(void **state) {
    struct audio_folder folder;
    struct byte_buffer whole = {0}, trickled = {0};
    audio_folder_make(&folder);
    float *tone = audio_tone(N, 440, 0.5, RATE_HZ);
    const char *path = audio_path(&folder, "a");
    faults.fail_at = 0;
    /* Formats whose bytes do not depend on a random serial number. */
    static const utter_format formats[] = {UTTER_FORMAT_WAV, UTTER_FORMAT_FLAC, UTTER_FORMAT_MP3};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        assert_int_equal(write_file(path, formats[i], tone), UTTER_OK);
        byte_buffer_read_file(&whole, path);
        faults.trickle = true;
        assert_int_equal(write_file(path, formats[i], tone), UTTER_OK);
        faults.trickle = false;
        byte_buffer_read_file(&trickled, path);
        assert_int_equal(trickled.n, whole.n);
        assert_memory_equal(trickled.data, whole.data, whole.n);
        byte_buffer_free(&whole);
        byte_buffer_free(&trickled);
    }
    free(tone);
    audio_folder_remove(&folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_fails_once),
        cmocka_unit_test(short_and_interrupted_writes_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
