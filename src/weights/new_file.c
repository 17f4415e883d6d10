/* Temporary file, fsync, rename, fsync of the folder: after a crash there is the old file or the
 * new one, whole. */
#include "weights/new_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Names tried before giving up: one is taken when an earlier process with the same number died. */
enum { MAX_TEMPORARIES = 100 };

static utter_status fail_write(const char *path, int error, utter_error *err) {
    char text[128];
    return ut_fail(err, UTTER_ERROR_IO, "%s: cannot be written: %s", path,
                   strerror_r(error, text, sizeof text));
}

/* ---- Content -------------------------------------------------------------------------------- */

/* write may take less than it is given; a result of 0 would loop for ever and is made an error. */
static void write_all(struct ut_new_file *file, const char *data, size_t n) {
    while (n > 0 && !file->error && file->fd >= 0) {
        ssize_t n_written = write(file->fd, data, n);
        if (n_written < 0 && errno != EINTR) {
            file->error = errno;
        } else if (n_written == 0) {
            file->error = EIO;
        } else if (n_written > 0) {
            data += n_written;
            n -= (size_t)n_written;
        }
    }
}

static void flush(struct ut_new_file *file) {
    write_all(file, file->buffer, file->n_buffered);
    file->n_buffered = 0;
}

/* Larger pieces than the buffer go straight to the file: tensors are not copied. */
void ut_new_file_put(struct ut_new_file *file, const void *data, size_t n) {
    file->n_bytes += n;
    if (n > sizeof file->buffer - file->n_buffered) {
        flush(file);
    }
    if (n > sizeof file->buffer) {
        write_all(file, data, n);
    } else if (n > 0) {
        memcpy(file->buffer + file->n_buffered, data, n);
        file->n_buffered += n;
    }
}

utter_status ut_new_file_check(const struct ut_new_file *file, utter_error *err) {
    return file->error ? fail_write(file->path, file->error, err) : UTTER_OK;
}

/* ---- The file ------------------------------------------------------------------------------- */

static void start(struct ut_new_file *file, const char *path) {
    file->path = path;
    file->fd = -1;
    file->error = 0;
    file->n_bytes = 0;
    file->n_buffered = 0;
}

void ut_new_file_measure(struct ut_new_file *file) {
    start(file, "");
}

/* O_EXCL: a link that somebody placed under the temporary name is not followed. In the same folder
 * as the target, because rename does not cross file systems. */
utter_status ut_new_file_create(struct ut_new_file *file, const char *path, utter_error *err) {
    start(file, path);
    for (int i = 0; i < MAX_TEMPORARIES && file->fd < 0; i++) {
        int n = snprintf(file->temporary, sizeof file->temporary, "%s.%ld-%d.tmp", path,
                         (long)getpid(), i);
        if (n < 0 || (size_t)n >= sizeof file->temporary) {
            return fail_write(path, ENAMETOOLONG, err);
        }
        file->fd = open(file->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (file->fd < 0 && errno != EEXIST) {
            break;
        }
    }
    return file->fd < 0 ? fail_write(path, errno, err) : UTTER_OK;
}

/* Makes the rename last through a power failure. */
static int sync_folder(const char *path) {
    char folder[PATH_MAX] = ".";
    const char *slash = strrchr(path, '/');
    if (slash && (size_t)(slash - path) + 1 < sizeof folder) {
        memcpy(folder, path, (size_t)(slash - path) + 1);
        folder[slash - path + 1] = '\0';
    }
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0) {
        int error = errno;
        if (fd >= 0) {
            close(fd);
        }
        return error == EINVAL ? 0 : error; /* file systems without fsync of folders */
    }
    close(fd);
    return 0;
}

/* The data is synced before the rename: otherwise a crash could leave the new name on an empty
 * file. */
utter_status ut_new_file_finish(struct ut_new_file *file, utter_error *err) {
    flush(file);
    if (!file->error && fsync(file->fd) != 0) {
        file->error = errno;
    }
    /* The descriptor is gone after close, whatever it answers; EINTR then means closed on Linux. */
    if (close(file->fd) != 0 && errno != EINTR && !file->error) {
        file->error = errno;
    }
    if (!file->error && rename(file->temporary, file->path) != 0) {
        file->error = errno;
    }
    if (file->error) {
        unlink(file->temporary);
        return fail_write(file->path, file->error, err);
    }
    int error = sync_folder(file->path);
    return error ? fail_write(file->path, error, err) : UTTER_OK;
}

void ut_new_file_abandon(struct ut_new_file *file) {
    close(file->fd);
    unlink(file->temporary);
}
