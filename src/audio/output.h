/* Where encoded bytes go: a new file that appears under its name only when it is complete, or a
 * pipe, device or standard output that is written as it comes. */
#ifndef UT_AUDIO_OUTPUT_H
#define UT_AUDIO_OUTPUT_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* About 8 kB for its two paths. One thread at a time. */
struct ut_output {
    int fd;
    bool close_fd;            /* false for descriptors that belong to the program */
    bool seekable;            /* bytes already written can be written again */
    uint64_t start;           /* offset in the file of our first byte */
    uint64_t n_bytes;         /* written so far */
    char path[PATH_MAX];      /* the name it will have; for messages */
    char temp_path[PATH_MAX]; /* the name it has until committed, "" if written in place */
};

/* `path` "-", "/dev/stdout" and "/dev/fd/N" are open descriptors, which stay open. Whatever exists
 * and is no regular file is written in place; opening a FIFO waits for its reader. */
UTTER_CHECKED utter_status ut_output_open(struct ut_output *out, const char *path,
                                          utter_error *err);

/* Appends all n bytes. */
UTTER_CHECKED utter_status ut_output_write(struct ut_output *out, const void *data, size_t n,
                                           utter_error *err);

/* Replaces n bytes at `offset`, all of them written before. Only if seekable. */
UTTER_CHECKED utter_status ut_output_patch(struct ut_output *out, uint64_t offset, const void *data,
                                           size_t n, utter_error *err);

/* Makes the file durable and gives it its name; closes. On error the temporary file is gone. */
UTTER_CHECKED utter_status ut_output_commit(struct ut_output *out, utter_error *err);

/* Closes and removes the temporary file. What was written in place stays. */
void ut_output_discard(struct ut_output *out);

#endif
