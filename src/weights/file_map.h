/* Read-only file mappings that survive truncation: a page that the file no longer has reads as
 * zeros and marks the mapping as damaged, where the process would otherwise die of SIGBUS. */
#ifndef UT_WEIGHTS_FILE_MAP_H
#define UT_WEIGHTS_FILE_MAP_H

#include <stdbool.h>
#include <time.h>

#include "base/error.h"
#include "base/mem.h"

/* Belongs to whoever opened it and is not copied: `slot` is known to the signal handler. Reading
 * `data` is safe from any thread between open and close. */
struct ut_file_map {
    struct ut_mem *mem; /* counts mapped_bytes; NULL while nothing is mapped */
    const uint8_t *data;
    size_t n;
    int fd;   /* kept open to see whether the file changed */
    int slot; /* in the table that the signal handler reads */
    struct timespec modified;
};

/* Maps a regular, non-empty file. ERROR_NOT_FOUND, ERROR_IO, ERROR_FORMAT (empty), ERROR_ARGUMENT
 * (a folder, a device). The first mapping installs the process's SIGBUS handler; faults outside our
 * mappings go to the handler that was there before. */
UTTER_CHECKED utter_status ut_file_map_open(struct ut_mem *mem, const char *path,
                                            struct ut_file_map *out, utter_error *err);

/* Maps a file named by an untrusted file: `relative` is a plain relative path, resolved below the
 * folder descriptor without symbolic links, to a regular file with one link. ERROR_FORMAT when it
 * is anything else. */
UTTER_CHECKED utter_status ut_file_map_open_beneath(struct ut_mem *mem, int folder,
                                                    const char *relative, struct ut_file_map *out,
                                                    utter_error *err);

/* The descriptor of such a file, or -1 with errno, component by component: what open_beneath does
 * where the kernel has no openat2. */
int ut_open_beneath_walk(int folder, const char *relative);

void ut_file_map_close(struct ut_file_map *map); /* one of {0} too */

/* Whether `data` points into the mapping; false for a map of {0}. */
bool ut_file_map_contains(const struct ut_file_map *map, const void *data);

/* Gives the whole pages within data[0..n) back; they are read again when touched. */
void ut_file_map_release(const struct ut_file_map *map, const void *data, size_t n);

/* False when pages were lost, or the file's size or modification time is not that at opening. */
bool ut_file_map_intact(const struct ut_file_map *map);

#endif
