/* See temp_folder.h. */
#include "temp_folder.h"

#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/byte_buffer.h"

static char folder[PATH_MAX];

static void require(int ok, const char *what) {
    if (!ok) {
        perror(what);
        exit(99);
    }
}

void temp_folder_create(void) {
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/utter-test-XXXXXX", base && *base ? base : "/tmp");
    require(mkdtemp(folder) != NULL, folder);
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *walk) {
    return remove(path);
}

void temp_folder_remove(void) {
    require(nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0, folder);
}

const char *temp_path(const char *name) {
    static char paths[8][PATH_MAX + 256];
    static unsigned turn;
    char *path = paths[turn++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

void temp_write(const char *name, const void *data, size_t n) {
    struct byte_buffer buffer = {0};
    byte_buffer_append(&buffer, data, n);
    byte_buffer_write_file(&buffer, temp_path(name));
    byte_buffer_free(&buffer);
}
