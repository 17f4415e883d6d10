/* A temporary folder for tests that need real files; everything in it goes with it. */
#ifndef UT_TESTS_TEMP_FOLDER_H
#define UT_TESTS_TEMP_FOLDER_H

#include <stddef.h>

/* Creates the folder; paths below it are put together by temp_path. One at a time per program. */
void temp_folder_create(void);
void temp_folder_remove(void);
/* "FOLDER/name" in one of eight static buffers, used in turn. */
const char *temp_path(const char *name);
void temp_write(const char *name, const void *data, size_t n);

#endif
