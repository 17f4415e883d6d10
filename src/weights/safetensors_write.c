/* Writing safetensors files: the header is put together piece by piece, once to measure it and once
 * to write it, so that nothing is allocated. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/utf8.h"
#include "weights/weights.h"

enum { BUFFER_BYTES = 1 << 14, ALIGNMENT = 8, MAX_HEADER_BYTES = 100000000, MAX_TEMPORARIES = 100 };

static const char *const dtype_names[UT_N_DTYPES] = {
    [UT_F32] = "F32", [UT_F16] = "F16", [UT_BF16] = "BF16", [UT_F64] = "F64", [UT_I8] = "I8",
    [UT_U8] = "U8",   [UT_I16] = "I16", [UT_U16] = "U16",   [UT_I32] = "I32", [UT_U32] = "U32",
    [UT_I64] = "I64", [UT_U64] = "U64", [UT_BOOL] = "BOOL",
};

/* A buffered file, or, with fd < 0, only a count. */
struct output {
    int fd;
    int error; /* errno of the first write that failed */
    uint64_t n_bytes;
    size_t n_buffered;
    char buffer[BUFFER_BYTES];
};

static void write_all(struct output *out, const char *data, size_t n) {
    while (n > 0 && !out->error && out->fd >= 0) {
        ssize_t n_written = write(out->fd, data, n);
        if (n_written < 0 && errno != EINTR) {
            out->error = errno;
        } else if (n_written == 0) {
            out->error = EIO;
        } else if (n_written > 0) {
            data += n_written;
            n -= (size_t)n_written;
        }
    }
}

static void flush(struct output *out) {
    write_all(out, out->buffer, out->n_buffered);
    out->n_buffered = 0;
}

static void put(struct output *out, const void *data, size_t n) {
    out->n_bytes += n;
    if (n > BUFFER_BYTES - out->n_buffered) {
        flush(out);
    }
    if (n > BUFFER_BYTES) {
        write_all(out, data, n);
    } else if (n > 0) {
        memcpy(out->buffer + out->n_buffered, data, n);
        out->n_buffered += n;
    }
}

__attribute__((format(printf, 2, 3))) static void put_format(struct output *out, const char *format,
                                                             ...) {
    char text[128];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    put(out, text, (size_t)n);
}

/* ---- Content -------------------------------------------------------------------------------- */

static void put_string(struct output *out, const char *text) {
    put(out, "\"", 1);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            put_format(out, "\\%c", c);
        } else if (c < 0x20) {
            put_format(out, "\\u%04x", c);
        } else {
            put(out, text, 1);
        }
    }
    put(out, "\"", 1);
}

static void put_header(struct output *out, const struct ut_tensor *tensors, size_t n_tensors) {
    uint64_t offset = 0;
    put(out, "{", 1);
    for (size_t i = 0; i < n_tensors; i++) {
        const struct ut_tensor *tensor = &tensors[i];
        if (i > 0) {
            put(out, ",", 1);
        }
        put_string(out, tensor->name);
        put_format(out, ":{\"dtype\":\"%s\",\"shape\":[", dtype_names[tensor->type]);
        for (int d = 0; d < tensor->n_dims; d++) {
            put_format(out, d > 0 ? ",%llu" : "%llu", (unsigned long long)tensor->dims[d]);
        }
        put_format(out, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)offset,
                   (unsigned long long)(offset + tensor->n_bytes));
        offset += tensor->n_bytes;
    }
    put(out, "}", 1);
    while (out->n_bytes % ALIGNMENT != 0) { /* the length in front of the header is 8 bytes, too */
        put(out, " ", 1);
    }
}

static void put_file(struct output *out, const struct ut_tensor *tensors, size_t n_tensors,
                     uint64_t n_header) {
    put(out, &n_header, sizeof n_header); /* little-endian, as weights/dtype.c demands */
    put_header(out, tensors, n_tensors);
    for (size_t i = 0; i < n_tensors; i++) {
        put(out, tensors[i].data, tensors[i].n_bytes);
    }
    flush(out);
}

static utter_status check_tensors(const struct ut_tensor *tensors, size_t n_tensors,
                                  utter_error *err) {
    for (size_t i = 0; i < n_tensors; i++) {
        const struct ut_tensor *t = &tensors[i];
        uint64_t n_bytes = ut_dtype_size(t->type);
        bool ok = t->n_dims >= 0 && t->n_dims <= UT_MAX_DIMS &&
                  ut_utf8_valid(t->name, strlen(t->name)) && strcmp(t->name, "__metadata__") != 0;
        for (int d = 0; ok && d < t->n_dims; d++) {
            ok = ut_mul_u64(n_bytes, t->dims[d], &n_bytes);
        }
        if (!ok || n_bytes != t->n_bytes) {
            return ut_fail(err, UTTER_ERROR_ARGUMENT,
                           "tensor \"%.100s\": its name, shape or size cannot be "
                           "written",
                           t->name);
        }
    }
    return UTTER_OK;
}

/* ---- The file ------------------------------------------------------------------------------- */

/* A new file beside `path`; -1 with errno. */
static int create_temporary(const char *path, char *temporary, size_t capacity) {
    for (int i = 0; i < MAX_TEMPORARIES; i++) {
        int n = snprintf(temporary, capacity, "%s.%ld-%d.tmp", path, (long)getpid(), i);
        if (n < 0 || (size_t)n >= capacity) {
            errno = ENAMETOOLONG;
            return -1;
        }
        int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EEXIST) {
            return fd;
        }
    }
    return -1;
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

static utter_status fail_write(const char *path, int error, utter_error *err) {
    char text[128];
    return ut_fail(err, UTTER_ERROR_IO, "%s: cannot be written: %s", path,
                   strerror_r(error, text, sizeof text));
}

utter_status ut_safetensors_write(const char *path, const struct ut_tensor *tensors,
                                  size_t n_tensors, utter_error *err) {
    utter_status status = check_tensors(tensors, n_tensors, err);
    if (status) {
        return status;
    }
    struct output out = {.fd = -1};
    put_header(&out, tensors, n_tensors);
    uint64_t n_header = out.n_bytes;
    if (n_header > MAX_HEADER_BYTES) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "%s: a header of %llu bytes is too large", path,
                       (unsigned long long)n_header);
    }
    char temporary[PATH_MAX];
    out = (struct output){.fd = create_temporary(path, temporary, sizeof temporary)};
    if (out.fd < 0) {
        return fail_write(path, errno, err);
    }
    put_file(&out, tensors, n_tensors, n_header);
    if (!out.error && fsync(out.fd) != 0) {
        out.error = errno;
    }
    if (close(out.fd) != 0 && !out.error) {
        out.error = errno;
    }
    if (!out.error && rename(temporary, path) != 0) {
        out.error = errno;
    }
    if (out.error) {
        unlink(temporary);
        return fail_write(path, out.error, err);
    }
    int error = sync_folder(path);
    return error ? fail_write(path, error, err) : UTTER_OK;
}
