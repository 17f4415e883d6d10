/* Bytes to a file or a stream. A file is written under a temporary name in the same folder, synced
 * and renamed (so a crash leaves the old file or the new one, never a half), and the folder is
 * synced after. Short writes, EINTR and non-blocking pipes are handled; SIGPIPE and SIGXFSZ never
 * reach the program. A temporary file stays behind only if the process is killed. */
#include "audio/output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Says what was tried, with which file, why it failed and, where that is known, what to do. */
static utter_status fail_errno(utter_error *err, const char *action, const struct ut_output *out,
                               int error) {
    char buffer[128];
    const char *reason = strerror_r(error, buffer, sizeof buffer);
    if (error == EPIPE) {
        return ut_fail(err, UTTER_ERROR_IO, "%s was closed by its reader after %llu bytes",
                       out->path, (unsigned long long)out->n_bytes);
    }
    const char *advice = error == ENOSPC || error == EDQUOT
                             ? "; free some space or choose another place"
                         : error == EACCES || error == EROFS ? "; choose a folder you can write to"
                                                             : "";
    return ut_fail(err, UTTER_ERROR_IO, "cannot %s %s: %s%s", action, out->path, reason, advice);
}

/* The number of an open descriptor that `path` names, else -1. Opening /dev/stdout anew would start
 * a second, independent file position in what standard output was redirected to. */
static int descriptor_of(const char *path) {
    if (strcmp(path, "-") == 0 || strcmp(path, "/dev/stdout") == 0) {
        return STDOUT_FILENO;
    }
    char digits[7];
    int n_used = 0;
    return sscanf(path, "/dev/fd/%6[0-9]%n", digits, &n_used) == 1 && !path[n_used] ? atoi(digits)
                                                                                    : -1;
}

/* A descriptor of the program's: where its file stands now is where our bytes begin. */
static utter_status use_descriptor(struct ut_output *out, int fd, utter_error *err) {
    struct stat info;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fstat(fd, &info) != 0) {
        return fail_errno(err, "write to", out, errno);
    }
    out->fd = fd;
    /* With O_APPEND the kernel ignores the offset of a patch and would put it at the end. */
    off_t start = S_ISREG(info.st_mode) && !(flags & O_APPEND) ? lseek(fd, 0, SEEK_CUR) : -1;
    out->seekable = start >= 0;
    out->start = start >= 0 ? (uint64_t)start : 0;
    return UTTER_OK;
}

/* A pipe, a device, a socket's file: there is nothing to replace by renaming. */
static utter_status open_in_place(struct ut_output *out, utter_error *err) {
    do {
        out->fd = open(out->path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    } while (out->fd < 0 && errno == EINTR);
    if (out->fd < 0) {
        return fail_errno(err, "open", out, errno);
    }
    out->close_fd = true;
    return UTTER_OK;
}

/* Puts "FOLDER/.utter-RANDOM.part" into temp_path; false if that is too long. */
static bool name_temporary(struct ut_output *out) {
    uint64_t random;
    if (getentropy(&random, sizeof random) != 0) {
        random = 0; /* O_EXCL still protects; only a clash is likelier */
    }
    const char *slash = strrchr(out->path, '/');
    int n_folder = slash ? (int)(slash + 1 - out->path) : 0;
    int n = snprintf(out->temp_path, sizeof out->temp_path, "%.*s.utter-%016llx.part", n_folder,
                     out->path, (unsigned long long)random);
    return n > 0 && (size_t)n < sizeof out->temp_path;
}

/* Opened with 0666 so that the kernel applies the umask, which a library cannot read without
 * changing it for every thread; a file that is replaced keeps its mode. */
static utter_status open_temporary(struct ut_output *out, const struct stat *replaced,
                                   utter_error *err) {
    int error = EEXIST;
    for (int i = 0; i < 100 && error == EEXIST; i++) {
        if (!name_temporary(out)) {
            error = ENAMETOOLONG;
            break;
        }
        out->fd = open(out->temp_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        error = out->fd < 0 ? errno : 0;
    }
    if (error) {
        out->temp_path[0] = '\0';
        return fail_errno(err, "create", out, error);
    }
    out->close_fd = out->seekable = true;
    if (replaced && fchmod(out->fd, replaced->st_mode & 07777) != 0) {
        error = errno;
        ut_output_discard(out);
        return fail_errno(err, "keep the mode of", out, error);
    }
    return UTTER_OK;
}

/* An existing file: writing to it must be allowed, and a symbolic link is followed, so that the
 * file it points to is replaced and not the link. */
static utter_status open_replacement(struct ut_output *out, const struct stat *info,
                                     utter_error *err) {
    if (access(out->path, W_OK) != 0) {
        return fail_errno(err, "replace", out, errno);
    }
    char resolved[PATH_MAX];
    if (!realpath(out->path, resolved)) {
        return fail_errno(err, "replace", out, errno);
    }
    memcpy(out->path, resolved, strlen(resolved) + 1);
    return open_temporary(out, info, err);
}

/* Decides between the three ways: an open descriptor, a file under a temporary name, in place. */
utter_status ut_output_open(struct ut_output *out, const char *path, utter_error *err) {
    *out = (struct ut_output){.fd = -1};
    size_t n = strlen(path);
    if (n == 0) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT,
                       "the output's path is empty: give a file name, or - for standard output");
    }
    if (n >= sizeof out->path) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "the output's path has %zu bytes, more than %d",
                       n, PATH_MAX - 1);
    }
    memcpy(out->path, path, n + 1);
    int fd = descriptor_of(path);
    if (fd >= 0) {
        snprintf(out->path, sizeof out->path,
                 fd == STDOUT_FILENO ? "standard output" : "descriptor %d", fd);
        return use_descriptor(out, fd, err);
    }
    struct stat info;
    if (stat(path, &info) != 0) {
        return errno == ENOENT ? open_temporary(out, NULL, err)
                               : fail_errno(err, "create", out, errno);
    }
    if (S_ISDIR(info.st_mode)) {
        return ut_fail(err, UTTER_ERROR_IO, "cannot write to %s: it is a folder; name a file in it",
                       path);
    }
    return S_ISREG(info.st_mode) ? open_replacement(out, &info, err) : open_in_place(out, err);
}

/* write(2), or pwrite(2) for an offset >= 0, without the signals that a closed pipe and the limit
 * on file sizes raise: they go to the calling thread, which holds them back and takes them off
 * again. A library must not change what the program has set for them. */
static ssize_t write_quietly(int fd, const void *data, size_t n, off_t offset) {
    sigset_t quiet, old, before;
    sigemptyset(&quiet);
    sigaddset(&quiet, SIGPIPE);
    sigaddset(&quiet, SIGXFSZ);
    sigpending(&before);
    pthread_sigmask(SIG_BLOCK, &quiet, &old);
    ssize_t written = offset < 0 ? write(fd, data, n) : pwrite(fd, data, n, offset);
    int error = written < 0 ? errno : 0;
    int raised = error == EPIPE ? SIGPIPE : error == EFBIG ? SIGXFSZ : 0;
    if (raised && !sigismember(&before, raised)) {
        sigset_t one;
        sigemptyset(&one);
        sigaddset(&one, raised);
        while (sigtimedwait(&one, NULL, &(struct timespec){0}) < 0 && errno == EINTR) {
        }
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    errno = error;
    return written;
}

/* All of it, at the end (offset -1) or at `offset`; an errno or 0. Only appending counts bytes. */
static int write_all(struct ut_output *out, const char *data, size_t n, off_t offset) {
    while (n > 0) {
        ssize_t written = write_quietly(out->fd, data, n, offset);
        if (written < 0 && errno == EAGAIN) { /* somebody made the pipe non-blocking: wait */
            poll(&(struct pollfd){.fd = out->fd, .events = POLLOUT}, 1, -1);
        } else if (written <= 0 && errno != EINTR) {
            return written < 0 ? errno : EIO;
        } else if (written > 0) {
            data += written;
            n -= (size_t)written;
            offset += offset < 0 ? 0 : written;
            out->n_bytes += offset < 0 ? (uint64_t)written : 0;
        }
    }
    return 0;
}

utter_status ut_output_write(struct ut_output *out, const void *data, size_t n, utter_error *err) {
    int error = write_all(out, data, n, -1);
    return error ? fail_errno(err, "write to", out, error) : UTTER_OK;
}

/* pwrite leaves the place of the next append alone. */
utter_status ut_output_patch(struct ut_output *out, uint64_t offset, const void *data, size_t n,
                             utter_error *err) {
    int error = write_all(out, data, n, (off_t)(out->start + offset));
    return error ? fail_errno(err, "write to", out, error) : UTTER_OK;
}

/* So that the new name outlives a power cut. Not every file system can; the data is safe then. */
static void sync_folder_of(const char *path) {
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash + 1 - path) : 1,
             slash ? path : ".");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

/* The data is on the disk before the name points at it. */
utter_status ut_output_commit(struct ut_output *out, utter_error *err) {
    bool is_file = out->temp_path[0] != '\0';
    int error = is_file && fsync(out->fd) != 0 ? errno : 0;
    /* The descriptor is gone after close, whatever it answers; EINTR then means closed on Linux. */
    if (out->close_fd && close(out->fd) != 0 && errno != EINTR && !error) {
        error = errno;
    }
    out->close_fd = false;
    if (!error && is_file && rename(out->temp_path, out->path) != 0) {
        error = errno;
    }
    if (error) {
        ut_output_discard(out);
        return fail_errno(err, "complete", out, error);
    }
    if (is_file) {
        out->temp_path[0] = '\0';
        sync_folder_of(out->path);
    }
    return UTTER_OK;
}

/* Harmless after a commit: nothing is open and no temporary name is left. */
void ut_output_discard(struct ut_output *out) {
    if (out->close_fd) {
        close(out->fd);
        out->close_fd = false;
    }
    if (out->temp_path[0]) {
        unlink(out->temp_path);
        out->temp_path[0] = '\0';
    }
}
