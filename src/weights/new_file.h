/* A file that appears under its name when it is complete: written beside it under a temporary name,
 * synced and renamed. Writes are buffered; the first error is kept and told once, by finish. */
#ifndef UT_WEIGHTS_NEW_FILE_H
#define UT_WEIGHTS_NEW_FILE_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { UT_NEW_FILE_BUFFER_BYTES = 1 << 14 };

/* Large because of its buffers (about 20 kB): on the stack of one function or inside an
 * allocation. */
struct ut_new_file {
    const char *path;
    int fd;
    int error;        /* errno of the first write that failed */
    uint64_t n_bytes; /* put so far */
    size_t n_buffered;
    char temporary[PATH_MAX];
    char buffer[UT_NEW_FILE_BUFFER_BYTES];
};

/* ERROR_IO with the path. `path` must live as long as the file. */
UTTER_CHECKED utter_status ut_new_file_create(struct ut_new_file *file, const char *path,
                                              utter_error *err);

/* Counts what is put and writes nothing: to measure. Neither finish nor abandon is needed. */
void ut_new_file_measure(struct ut_new_file *file);

/* Never fails by itself: an error is kept, and what is put behind it is dropped. */
void ut_new_file_put(struct ut_new_file *file, const void *data, size_t n);

/* ERROR_IO when a write failed; the file may be finished or abandoned after it. */
UTTER_CHECKED utter_status ut_new_file_check(const struct ut_new_file *file, utter_error *err);

/* Exactly one of these ends a file that was created. When finish fails, nothing is left behind, and
 * a file of that name is as it was before. */
UTTER_CHECKED utter_status ut_new_file_finish(struct ut_new_file *file, utter_error *err);
void ut_new_file_abandon(struct ut_new_file *file);

#endif
