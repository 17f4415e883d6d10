/* A growing string on ut_mem. After a failed allocation the buffer stays as it was; whoever appended
 * reports it. */
#ifndef UT_TEXT_TEXT_BUFFER_H
#define UT_TEXT_TEXT_BUFFER_H

#include <string.h>

#include "base/error.h"
#include "base/mem.h"

struct ut_text_buffer { /* starts as {.mem = mem} */
    struct ut_mem *mem;
    char *data; /* not NUL-terminated */
    size_t n, capacity;
};

/* Appends n bytes, which must not lie in the buffer itself. Capacity doubles, so appending is
 * linear. */
UTTER_CHECKED static inline utter_status ut_text_buffer_append(struct ut_text_buffer *buffer,
                                                               const char *data, size_t n,
                                                               utter_error *err) {
    if (n > buffer->capacity - buffer->n) {
        size_t capacity = 2 * buffer->capacity + n + 64;
        char *grown = ut_mem_realloc(buffer->mem, UT_MEM_SESSION, buffer->data, capacity);
        if (!grown) {
            return ut_fail_memory(err, capacity);
        }
        buffer->data = grown;
        buffer->capacity = capacity;
    }
    if (n > 0) {
        memcpy(buffer->data + buffer->n, data, n);
        buffer->n += n;
    }
    return UTTER_OK;
}

/* Leaves an empty buffer that may be used again. */
static inline void ut_text_buffer_free(struct ut_text_buffer *buffer) {
    ut_mem_free(buffer->mem, buffer->data);
    *buffer = (struct ut_text_buffer){.mem = buffer->mem};
}

#endif
