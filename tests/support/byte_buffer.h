/* A growable run of bytes for building test files in memory. Out of memory ends the test program: a
 * test has nothing better to do. */
#ifndef UT_TESTS_BYTE_BUFFER_H
#define UT_TESTS_BYTE_BUFFER_H

#include <stddef.h>
#include <stdint.h>

struct byte_buffer { /* starts as {0} */
    uint8_t *data;
    size_t n, capacity;
};

void byte_buffer_append(struct byte_buffer *buffer, const void *data, size_t n);
void byte_buffer_append_u8(struct byte_buffer *buffer, uint8_t value);
/* printf without the terminating NUL. */
__attribute__((format(printf, 2, 3), nonnull(2))) void
byte_buffer_printf(struct byte_buffer *buffer, const char *format, ...);
/* Makes room for n bytes at `at` (0..buffer->n) by moving the rest up; returns where they begin. */
uint8_t *byte_buffer_insert(struct byte_buffer *buffer, size_t at, size_t n);
void byte_buffer_free(struct byte_buffer *buffer); /* leaves an empty one */

/* malloc that ends the program with a message instead of returning NULL; freed with free. */
void *test_alloc(size_t n_bytes);
/* The whole file, or the end of the program with its name. */
void byte_buffer_read_file(struct byte_buffer *buffer, const char *path);
void byte_buffer_write_file(const struct byte_buffer *buffer, const char *path);

#endif
