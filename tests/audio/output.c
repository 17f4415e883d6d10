/* Files appear whole or not at all; pipes, devices and failures of every kind answer with an error.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "audio/output.h"
#include "audio_check.h"

static void put_file(const char *path, const char *text, mode_t mode) {
    struct byte_buffer bytes = {0};
    byte_buffer_append(&bytes, text, strlen(text));
    byte_buffer_write_file(&bytes, path);
    byte_buffer_free(&bytes);
    assert_int_equal(chmod(path, mode), 0);
}

static void assert_file_holds(const char *path, const char *text) {
    struct byte_buffer bytes = {0};
    byte_buffer_read_file(&bytes, path);
    assert_int_equal(bytes.n, strlen(text));
    assert_memory_equal(bytes.data, text, bytes.n);
    byte_buffer_free(&bytes);
}

static void file_appears_when_committed(void **state) {
    struct audio_folder folder;
    struct ut_output out;
    audio_folder_make(&folder);
    const char *path = audio_path(&folder, "new.wav");
    mode_t mask = umask(027);
    assert_int_equal(ut_output_open(&out, path, NULL), UTTER_OK);
    assert_true(out.seekable);
    assert_int_equal(ut_output_write(&out, "Hello", 5, NULL), UTTER_OK);
    assert_int_equal(ut_output_patch(&out, 1, "EL", 2, NULL), UTTER_OK);
    assert_int_equal(ut_output_write(&out, "!", 1, NULL), UTTER_OK);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(out.n_bytes, 6);
    assert_int_equal(ut_output_commit(&out, NULL), UTTER_OK);
    umask(mask);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0640); /* as the umask wants */
    assert_file_holds(path, "HELlo!");
    assert_int_equal(audio_folder_count(&folder), 1);
    audio_folder_remove(&folder);
}

static void discarding_leaves_the_old_file(void **state) {
    struct audio_folder folder;
    struct ut_output out;
    audio_folder_make(&folder);
    const char *path = audio_path(&folder, "old.wav");
    put_file(path, "old", 0600);
    assert_int_equal(ut_output_open(&out, path, NULL), UTTER_OK);
    assert_int_equal(ut_output_write(&out, "new", 3, NULL), UTTER_OK);
    ut_output_discard(&out);
    assert_file_holds(path, "old");
    assert_int_equal(audio_folder_count(&folder), 1);
    audio_folder_remove(&folder);
}

static void replacing_keeps_the_mode_and_follows_links(void **state) {
    struct audio_folder folder;
    struct ut_output out;
    struct stat info;
    audio_folder_make(&folder);
    const char *path = audio_path(&folder, "old.wav"), *link = audio_path(&folder, "link.wav");
    put_file(path, "old", 0604);
    assert_int_equal(symlink("old.wav", link), 0);
    assert_int_equal(ut_output_open(&out, link, NULL), UTTER_OK);
    assert_int_equal(ut_output_write(&out, "new", 3, NULL), UTTER_OK);
    assert_int_equal(ut_output_commit(&out, NULL), UTTER_OK);
    assert_file_holds(path, "new");
    assert_int_equal(lstat(link, &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0604);
    assert_int_equal(audio_folder_count(&folder), 2);
    audio_folder_remove(&folder);
}

static void assert_open_fails(const char *path, utter_status status, const char *words) {
    struct ut_output out;
    utter_error err = {0};
    assert_int_equal(ut_output_open(&out, path, &err), status);
    if (!strstr(err.message, words)) {
        fail_msg("\"%s\" lacks \"%s\"", err.message, words);
    }
}

static void places_that_cannot_be_written(void **state) {
    struct audio_folder folder;
    audio_folder_make(&folder);
    static char long_path[5000], long_name[400];
    memset(long_path, 'x', sizeof long_path - 1);
    snprintf(long_name, sizeof long_name, "%s/%300d", folder.path, 1);
    put_file(audio_path(&folder, "file"), "", 0600);
    assert_open_fails("", UTTER_ERROR_ARGUMENT, "empty");
    assert_open_fails(long_path, UTTER_ERROR_ARGUMENT, "has 4999 bytes");
    assert_open_fails(long_name, UTTER_ERROR_IO, "too long");
    assert_open_fails(folder.path, UTTER_ERROR_IO, "is a folder");
    assert_open_fails(audio_path(&folder, "no/such.wav"), UTTER_ERROR_IO, "No such file");
    assert_open_fails(audio_path(&folder, "file/a.wav"), UTTER_ERROR_IO, "Not a directory");
    assert_open_fails("/dev/fd/987", UTTER_ERROR_IO, "descriptor 987");
    assert_open_fails("/proc/utter.wav", UTTER_ERROR_IO, "/proc/utter.wav");
    assert_int_equal(audio_folder_count(&folder), 1);
    audio_folder_remove(&folder);
}

/* As an ordinary user, for root may write anywhere: in a child, so that it cannot fail this
 * process. */
static void refused_without_permission(void **state) {
    struct audio_folder folder;
    audio_folder_make(&folder);
    const char *path = audio_path(&folder, "read_only.wav");
    put_file(path, "old", 0444);
    assert_int_equal(chmod(folder.path, 0555), 0);
    pid_t child = fork();
    if (child == 0) {
        struct ut_output out;
        utter_error err = {0};
        bool ok = (geteuid() != 0 || setuid(65534) == 0);
        ok = ok && ut_output_open(&out, path, &err) == UTTER_ERROR_IO &&
             strstr(err.message, "denied");
        ok = ok && ut_output_open(&out, audio_path(&folder, "new.wav"), &err) == UTTER_ERROR_IO;
        _exit(ok && strstr(err.message, "choose a folder") ? 0 : 1);
    }
    int result;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_int_equal(chmod(folder.path, 0755), 0);
    assert_int_equal(result, 0);
    assert_file_holds(path, "old");
    audio_folder_remove(&folder);
}

static void full_disk_is_an_error(void **state) {
    struct ut_output out;
    utter_error err = {0};
    assert_int_equal(ut_output_open(&out, "/dev/full", NULL), UTTER_OK);
    assert_false(out.seekable);
    assert_int_equal(ut_output_write(&out, "x", 1, &err), UTTER_ERROR_IO);
    assert_non_null(strstr(err.message, "/dev/full"));
    assert_non_null(strstr(err.message, "free some space"));
    ut_output_discard(&out);
    assert_int_equal(access("/dev/full", F_OK), 0);
}

static void null_device_takes_everything(void **state) {
    struct ut_output out;
    assert_int_equal(ut_output_open(&out, "/dev/null", NULL), UTTER_OK);
    assert_int_equal(ut_output_write(&out, "x", 1, NULL), UTTER_OK);
    assert_int_equal(ut_output_commit(&out, NULL), UTTER_OK);
    struct stat info;
    assert_int_equal(stat("/dev/null", &info), 0);
    assert_true(S_ISCHR(info.st_mode));
}

/* The default action of SIGXFSZ ends the process: the limit is set in a child, which must survive.
 */
static void limit_on_file_sizes_is_an_error(void **state) {
    struct audio_folder folder;
    audio_folder_make(&folder);
    pid_t child = fork();
    if (child == 0) {
        struct ut_output out;
        utter_error err = {0};
        char block[8192] = {0};
        signal(SIGXFSZ, SIG_DFL);
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){20000, 20000});
        bool ok = ut_output_open(&out, audio_path(&folder, "big.wav"), &err) == UTTER_OK;
        ok = ok && ut_output_write(&out, block, sizeof block, &err) == UTTER_OK;
        ok = ok && ut_output_write(&out, block, sizeof block, &err) == UTTER_OK;
        ok = ok && ut_output_write(&out, block, sizeof block, &err) == UTTER_ERROR_IO;
        ok = ok && strstr(err.message, "too large") && out.n_bytes == 20000;
        ut_output_discard(&out);
        _exit(ok ? 0 : 1);
    }
    int result;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_int_equal(result, 0);
    assert_int_equal(audio_folder_count(&folder), 0);
    audio_folder_remove(&folder);
}

/* The default action of SIGPIPE ends the process: that it runs on shows that none arrived. */
static void closed_pipe_is_an_error_and_no_signal(void **state) {
    struct ut_output out;
    utter_error err = {0};
    int fds[2];
    char path[32];
    signal(SIGPIPE, SIG_DFL);
    assert_int_equal(pipe(fds), 0);
    close(fds[0]);
    snprintf(path, sizeof path, "/dev/fd/%d", fds[1]);
    assert_int_equal(ut_output_open(&out, path, NULL), UTTER_OK);
    assert_int_equal(ut_output_write(&out, "x", 1, &err), UTTER_ERROR_IO);
    assert_non_null(strstr(err.message, "closed by its reader"));
    sigset_t pending;
    sigpending(&pending);
    assert_false(sigismember(&pending, SIGPIPE));
    ut_output_discard(&out);
    assert_int_equal(close(fds[1]), 0); /* it stayed open */
}

static void on_alarm(int signal_number) {
}

static void *read_slowly(void *user) {
    int fd = *(int *)user;
    size_t *total = test_alloc(sizeof *total);
    *total = 0;
    char block[1 << 16];
    usleep(30000);
    for (ssize_t n; (n = read(fd, block, sizeof block)) > 0;) {
        *total += (size_t)n;
    }
    return total;
}

/* More than a pipe holds, through a descriptor that does not wait, while signals interrupt. */
static void full_pipe_and_signals_lose_nothing(void **state) {
    struct ut_output out;
    int fds[2];
    char path[32];
    static char block[1 << 18];
    void *total;
    pthread_t thread;
    sigset_t alarms, old;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
    sigemptyset(&alarms);
    sigaddset(&alarms, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &alarms, &old); /* the reader inherits it: only the writer is hit */
    assert_int_equal(pthread_create(&thread, NULL, read_slowly, &fds[0]), 0);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    struct sigaction action = {.sa_handler = on_alarm}; /* no SA_RESTART */
    sigaction(SIGALRM, &action, NULL);
    ualarm(1000, 1000);
    snprintf(path, sizeof path, "/dev/fd/%d", fds[1]);
    assert_int_equal(ut_output_open(&out, path, NULL), UTTER_OK);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(ut_output_write(&out, block, sizeof block, NULL), UTTER_OK);
    }
    ualarm(0, 0);
    assert_int_equal(ut_output_commit(&out, NULL), UTTER_OK);
    close(fds[1]);
    pthread_join(thread, &total);
    assert_int_equal(*(size_t *)total, 8 * sizeof block);
    free(total);
    close(fds[0]);
}

static void *read_fifo(void *user) {
    struct byte_buffer *bytes = test_alloc(sizeof *bytes);
    *bytes = (struct byte_buffer){0};
    byte_buffer_read_file(bytes, user);
    return bytes;
}

static void fifo_is_written_in_place(void **state) {
    struct audio_folder folder;
    struct ut_output out;
    pthread_t thread;
    void *bytes;
    audio_folder_make(&folder);
    const char *path = audio_path(&folder, "fifo");
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(pthread_create(&thread, NULL, read_fifo, (void *)path), 0);
    assert_int_equal(ut_output_open(&out, path, NULL), UTTER_OK);
    assert_false(out.seekable);
    assert_int_equal(ut_output_write(&out, "abc", 3, NULL), UTTER_OK);
    assert_int_equal(ut_output_commit(&out, NULL), UTTER_OK);
    pthread_join(thread, &bytes);
    assert_int_equal(((struct byte_buffer *)bytes)->n, 3);
    byte_buffer_free(bytes);
    free(bytes);
    assert_int_equal(audio_folder_count(&folder), 1);
    audio_folder_remove(&folder);
}

/* What `> file` and `>> file` of a shell hand over, with something in the file already. */
static void redirected_file_is_continued(void **state) {
    struct audio_folder folder;
    struct ut_output out;
    char path[32];
    audio_folder_make(&folder);
    const char *file = audio_path(&folder, "redirected");
    for (int append = 0; append <= 1; append++) {
        int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | (append ? O_APPEND : 0), 0600);
        assert_int_equal(write(fd, "head ", 5), 5);
        snprintf(path, sizeof path, "/dev/fd/%d", fd);
        assert_int_equal(ut_output_open(&out, path, NULL), UTTER_OK);
        assert_int_equal(out.seekable, !append);
        assert_int_equal(ut_output_write(&out, "body", 4, NULL), UTTER_OK);
        if (out.seekable) {
            assert_int_equal(ut_output_patch(&out, 0, "B", 1, NULL), UTTER_OK);
        }
        assert_int_equal(ut_output_commit(&out, NULL), UTTER_OK);
        assert_int_equal(write(fd, " tail", 5), 5);
        close(fd);
        assert_file_holds(file, append ? "head body tail" : "head Body tail");
    }
    audio_folder_remove(&folder);
}

static void failed_rename_leaves_nothing(void **state) {
    struct audio_folder folder;
    struct ut_output out;
    utter_error err = {0};
    audio_folder_make(&folder);
    const char *path = audio_path(&folder, "late");
    assert_int_equal(ut_output_open(&out, path, NULL), UTTER_OK);
    assert_int_equal(mkdir(path, 0700), 0); /* somebody takes the name meanwhile */
    assert_int_equal(ut_output_commit(&out, &err), UTTER_ERROR_IO);
    assert_non_null(strstr(err.message, path));
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(audio_folder_count(&folder), 0);
    audio_folder_remove(&folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(file_appears_when_committed),
        cmocka_unit_test(discarding_leaves_the_old_file),
        cmocka_unit_test(replacing_keeps_the_mode_and_follows_links),
        cmocka_unit_test(places_that_cannot_be_written),
        cmocka_unit_test(refused_without_permission),
        cmocka_unit_test(full_disk_is_an_error),
        cmocka_unit_test(null_device_takes_everything),
        cmocka_unit_test(limit_on_file_sizes_is_an_error),
        cmocka_unit_test(closed_pipe_is_an_error_and_no_signal),
        cmocka_unit_test(full_pipe_and_signals_lose_nothing),
        cmocka_unit_test(fifo_is_written_in_place),
        cmocka_unit_test(redirected_file_is_continued),
        cmocka_unit_test(failed_rename_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
