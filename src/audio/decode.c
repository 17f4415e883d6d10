/* Reading by libsndfile, which knows the formats; every bound is our own: channels, rate, length,
 * and that memory grows with what was decoded, not with what a header promises. Headerless formats
 * are not read: nothing tells their rate. */
#include "audio/decode.h"

#include "base/checked.h"
#include "base/error.h"
#include "ut_config.h"

#if UT_HAVE_SNDFILE
#include <errno.h>
#include <fcntl.h>
#include <sndfile.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audio/convert.h"

/* Bounds of what is taken for sound; a header may claim anything. */
enum {
    BLOCK = 4096, /* samples of all channels */
    MAX_CHANNELS = 64,
    MIN_RATE_HZ = 1000,
    MAX_RATE_HZ = 192000,
    FIRST_SAMPLES = 1 << 16,
    FIRST_BYTES = 1 << 16,
    MAX_PIPE_BYTES = 1 << 30
};

/* One file on its way. `sound` belongs to the caller when all went well and is freed when not. */
struct decoding {
    struct ut_mem *mem;
    const char *name;
    SNDFILE *file;
    SF_INFO info;
    size_t max_samples;
    struct ut_decoded sound;
    size_t capacity;
};

/* ---- Samples -------------------------------------------------------------------------------- */

/* libsndfile's words end with a full stop, messages do not. */
static int reason_length(const char *reason) {
    size_t n = strlen(reason);
    return (int)(n > 0 && reason[n - 1] == '.' ? n - 1 : n);
}

static utter_status check_header(struct decoding *d, int32_t max_s, utter_error *err) {
    if (!d->file) {
        const char *reason = sf_strerror(NULL);
        return ut_fail(err, UTTER_ERROR_FORMAT,
                       "%s is no sound that can be read: %.*s; WAV, FLAC, Ogg and MP3 files are",
                       d->name, reason_length(reason), reason);
    }
    if (d->info.samplerate < MIN_RATE_HZ || d->info.samplerate > MAX_RATE_HZ) {
        return ut_fail(err, UTTER_ERROR_FORMAT, "%s has a rate of %d Hz; %d to %d are read",
                       d->name, d->info.samplerate, MIN_RATE_HZ, MAX_RATE_HZ);
    }
    if (d->info.channels < 1 || d->info.channels > MAX_CHANNELS) {
        return ut_fail(err, UTTER_ERROR_FORMAT, "%s has %d channels; 1 to %d are read", d->name,
                       d->info.channels, MAX_CHANNELS);
    }
    d->sound.rate_hz = d->info.samplerate;
    d->max_samples = (size_t)max_s * (size_t)d->info.samplerate;
    return UTTER_OK;
}

/* Room for n more samples. */
static utter_status make_room(struct decoding *d, size_t n, utter_error *err) {
    size_t wanted = UT_MAX(d->capacity, (size_t)FIRST_SAMPLES);
    while (wanted < d->sound.n + n) {
        wanted *= 2; /* n is a block, and the sum below max_samples */
    }
    if (wanted == d->capacity) {
        return UTTER_OK;
    }
    float *grown = ut_mem_realloc(d->mem, UT_MEM_OTHER, d->sound.samples, wanted * sizeof *grown);
    if (!grown) {
        return ut_fail_memory(err, wanted * sizeof *grown);
    }
    d->sound.samples = grown;
    d->capacity = wanted;
    return UTTER_OK;
}

/* `block` is [n_frames, channels]. Channels are averaged in double: the sum of 64 of them keeps
 * every bit that a float will hold. */
static utter_status append_block(struct decoding *d, const float *block, size_t n_frames,
                                 utter_error *err) {
    size_t n_channels = (size_t)d->info.channels, n = n_frames * n_channels;
    size_t wrong = ut_convert_find_not_finite(block, n);
    if (wrong < n) {
        return ut_fail(err, UTTER_ERROR_FORMAT, "%s: sample %zu is %g, which is no sound", d->name,
                       d->sound.n + wrong / n_channels, block[wrong]);
    }
    if (n_frames > d->max_samples - d->sound.n) {
        return ut_fail(err, UTTER_ERROR_FORMAT,
                       "%s is longer than %zu seconds, which is all that is read; cut it in pieces",
                       d->name, d->max_samples / (size_t)d->info.samplerate);
    }
    utter_status status = make_room(d, n_frames, err);
    for (size_t i = 0; i < n_frames && status == UTTER_OK; i++) {
        double sum = 0;
        for (size_t c = 0; c < n_channels; c++) {
            sum += (double)block[i * n_channels + c];
        }
        d->sound.samples[d->sound.n++] = (float)(sum / (double)n_channels);
    }
    return status;
}

/* Until libsndfile gives no more. An error behind good samples is still an error: half a recording
 * would be compared with a whole one. */
static utter_status read_all_blocks(struct decoding *d, utter_error *err) {
    float block[BLOCK];
    sf_count_t n_frames;
    utter_status status = UTTER_OK;
    do {
        n_frames = sf_readf_float(d->file, block, BLOCK / d->info.channels);
        if (n_frames > 0) {
            status = append_block(d, block, (size_t)n_frames, err);
        }
    } while (n_frames > 0 && status == UTTER_OK);
    if (status == UTTER_OK && sf_error(d->file) != SF_ERR_NO_ERROR) {
        const char *reason = sf_strerror(d->file);
        return ut_fail(err, UTTER_ERROR_FORMAT, "%s cannot be read after sample %zu: %.*s", d->name,
                       d->sound.n, reason_length(reason), reason);
    }
    if (status == UTTER_OK && d->sound.n == 0) {
        return ut_fail(err, UTTER_ERROR_FORMAT, "%s holds no samples", d->name);
    }
    return status;
}

/* Takes over d->file, which is NULL if it could not be opened. */
static utter_status decode(struct decoding *d, int32_t max_s, struct ut_decoded *out,
                           utter_error *err) {
    utter_status status = check_header(d, max_s, err);
    if (status == UTTER_OK) {
        status = read_all_blocks(d, err);
    }
    if (d->file) {
        sf_close(d->file);
    }
    if (status != UTTER_OK) {
        ut_mem_free(d->mem, d->sound.samples);
        d->sound = (struct ut_decoded){0};
    }
    *out = d->sound;
    return status;
}

/* ---- Bytes in memory ------------------------------------------------------------------------ */

/* libsndfile's virtual file over a block of memory. */
struct bytes {
    const char *data;
    sf_count_t n, position;
};

static sf_count_t bytes_length(void *user) {
    return ((struct bytes *)user)->n;
}

static sf_count_t bytes_tell(void *user) {
    return ((struct bytes *)user)->position;
}

/* Nothing lies outside of the block; where the file is damaged libsndfile asks for such places. */
static sf_count_t bytes_seek(sf_count_t offset, int whence, void *user) {
    struct bytes *bytes = user;
    sf_count_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? bytes->position : bytes->n;
    if (offset < -base || offset > bytes->n - base) {
        return -1;
    }
    return bytes->position = base + offset;
}

static sf_count_t bytes_read(void *out, sf_count_t n, void *user) {
    struct bytes *bytes = user;
    sf_count_t n_read = UT_MAX(0, UT_MIN(n, bytes->n - bytes->position));
    if (n_read > 0) { /* libsndfile asks for nothing, into nowhere, too */
        memcpy(out, bytes->data + bytes->position, (size_t)n_read);
        bytes->position += n_read;
    }
    return n_read;
}

static sf_count_t bytes_write(const void *data, sf_count_t n, void *user) {
    return 0; /* only reading is ever asked for */
}

utter_status ut_decode_bytes(struct ut_mem *mem, const void *data, size_t n, const char *name,
                             int32_t max_s, struct ut_decoded *out, utter_error *err) {
    SF_VIRTUAL_IO io = {bytes_length, bytes_seek, bytes_read, bytes_write, bytes_tell};
    struct bytes bytes = {.data = data, .n = (sf_count_t)n};
    struct decoding d = {.mem = mem, .name = name};
    d.file = sf_open_virtual(&io, SFM_READ, &d.info, &bytes);
    return decode(&d, max_s, out, err);
}

/* ---- Files and pipes ------------------------------------------------------------------------ */

/* To the end; grows by doubling. */
static utter_status read_pipe(struct ut_mem *mem, int fd, const char *name, char **data, size_t *n,
                              utter_error *err) {
    size_t capacity = 0;
    ssize_t n_read = 1;
    while (n_read != 0) {
        if (*n == capacity) {
            capacity = capacity ? 2 * capacity : FIRST_BYTES;
            char *grown = capacity <= MAX_PIPE_BYTES
                              ? ut_mem_realloc(mem, UT_MEM_OTHER, *data, capacity)
                              : NULL;
            if (!grown) {
                return ut_fail(err, UTTER_ERROR_MEMORY,
                               "no room for %zu bytes of %s; give its file by name", capacity,
                               name);
            }
            *data = grown;
        }
        n_read = read(fd, *data + *n, capacity - *n);
        if (n_read < 0 && errno != EINTR) {
            return ut_fail(err, UTTER_ERROR_IO, "cannot read %s: %s", name, strerror(errno));
        }
        *n += n_read > 0 ? (size_t)n_read : 0;
    }
    return UTTER_OK;
}

/* Formats keep indexes at their ends, so libsndfile must be able to seek. */
static utter_status decode_pipe(struct ut_mem *mem, int fd, const char *name,
                                struct ut_decoded *out, utter_error *err) {
    char *data = NULL;
    size_t n = 0;
    utter_status status = read_pipe(mem, fd, name, &data, &n, err);
    if (status == UTTER_OK) {
        status = ut_decode_bytes(mem, data, n, name, UT_DECODE_MAX_S, out, err);
    }
    ut_mem_free(mem, data);
    return status;
}

/* The descriptor stays the caller's (SF_FALSE). */
static utter_status decode_fd(struct ut_mem *mem, int fd, const char *name, struct ut_decoded *out,
                              utter_error *err) {
    struct stat info;
    struct decoding d = {.mem = mem, .name = name};
    if (fstat(fd, &info) != 0) {
        return ut_fail(err, UTTER_ERROR_IO, "cannot read %s: %s", name, strerror(errno));
    }
    if (S_ISDIR(info.st_mode)) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "%s is a folder, not a sound", name);
    }
    if (!S_ISREG(info.st_mode)) {
        return decode_pipe(mem, fd, name, out, err);
    }
    d.file = sf_open_fd(fd, SFM_READ, &d.info, SF_FALSE);
    return decode(&d, UT_DECODE_MAX_S, out, err);
}

utter_status ut_decode_file(struct ut_mem *mem, const char *path, struct ut_decoded *out,
                            utter_error *err) {
    *out = (struct ut_decoded){0};
    if (strcmp(path, "-") == 0) {
        return decode_fd(mem, STDIN_FILENO, "standard input", out, err);
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return ut_fail(err, errno == ENOENT ? UTTER_ERROR_NOT_FOUND : UTTER_ERROR_IO,
                       "cannot open %s: %s", path, strerror(errno));
    }
    utter_status status = decode_fd(mem, fd, path, out, err);
    close(fd);
    return status;
}

#else /* without libsndfile */

static utter_status refuse(const char *name, struct ut_decoded *out, utter_error *err) {
    *out = (struct ut_decoded){0};
    return ut_fail(err, UTTER_ERROR_UNSUPPORTED,
                   "utter was built without libsndfile and cannot read %s", name);
}

utter_status ut_decode_bytes(struct ut_mem *mem, const void *data, size_t n, const char *name,
                             int32_t max_s, struct ut_decoded *out, utter_error *err) {
    return refuse(name, out, err);
}

utter_status ut_decode_file(struct ut_mem *mem, const char *path, struct ut_decoded *out,
                            utter_error *err) {
    return refuse(path, out, err);
}
#endif
