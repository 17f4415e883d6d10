/* See byte_buffer.h. */
#include "support/byte_buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((noreturn)) static void give_up(const char *what, const char *which) {
    fprintf(stderr, "test support: %s %s\n", what, which);
    exit(99);
}

void *test_alloc(size_t n_bytes) {
    void *block = malloc(n_bytes ? n_bytes : 1);
    if (!block) {
        give_up("out of memory", "");
    }
    return block;
}

uint8_t *byte_buffer_insert(struct byte_buffer *buffer, size_t at, size_t n) {
    if (!buffer->data || n > buffer->capacity - buffer->n) {
        size_t capacity = buffer->capacity + buffer->capacity / 2 + n + 64;
        uint8_t *data = realloc(buffer->data, capacity);
        if (!data) {
            give_up("out of memory", "");
        }
        buffer->data = data;
        buffer->capacity = capacity;
    }
    if (at < buffer->n) { /* an empty buffer has no data to point at */
        memmove(buffer->data + at + n, buffer->data + at, buffer->n - at);
    }
    buffer->n += n;
    return buffer->data + at;
}

void byte_buffer_append(struct byte_buffer *buffer, const void *data, size_t n) {
    uint8_t *to = byte_buffer_insert(buffer, buffer->n, n);
    if (n > 0) {
        memcpy(to, data, n);
    }
}

void byte_buffer_append_u8(struct byte_buffer *buffer, uint8_t value) {
    byte_buffer_append(buffer, &value, 1);
}

void byte_buffer_printf(struct byte_buffer *buffer, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0) {
        give_up("cannot format", format);
    }
    char *to = (char *)byte_buffer_insert(buffer, buffer->n, (size_t)n + 1);
    vsnprintf(to, (size_t)n + 1, format, again);
    va_end(again);
    buffer->n--;
}

void byte_buffer_free(struct byte_buffer *buffer) {
    free(buffer->data);
    *buffer = (struct byte_buffer){0};
}

void byte_buffer_read_file(struct byte_buffer *buffer, const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) {
        give_up("cannot open", path);
    }
    char block[16384];
    size_t n;
    while ((n = fread(block, 1, sizeof block, file)) > 0) {
        byte_buffer_append(buffer, block, n);
    }
    if (ferror(file)) {
        give_up("cannot read", path);
    }
    fclose(file);
}

void byte_buffer_write_file(const struct byte_buffer *buffer, const char *path) {
    FILE *file = fopen(path, "wb");
    if (!file) {
        give_up("cannot create", path);
    }
    size_t n = buffer->n > 0 ? fwrite(buffer->data, 1, buffer->n, file) : 0;
    if (fclose(file) != 0 || n != buffer->n) {
        give_up("cannot write", path);
    }
}
