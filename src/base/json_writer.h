/* Writes one JSON text into memory. Failures are remembered and told once, by ut_json_put_finish,
 * so that a report reads as a list of its fields. */
#ifndef UT_BASE_JSON_WRITER_H
#define UT_BASE_JSON_WRITER_H

#include <stdbool.h>

#include "base/mem.h"

/* Whoever writes keeps brackets balanced and gives keys inside objects only: nothing checks
 * that. */
struct ut_json_writer {
    struct ut_mem *mem;
    char *text;
    size_t n, capacity;
    bool failed, need_comma;
};

void ut_json_put_init(struct ut_json_writer *writer, struct ut_mem *mem);

/* `key` is NULL for elements of an array and for the root. */
void ut_json_put_object(struct ut_json_writer *writer, const char *key);
void ut_json_put_array(struct ut_json_writer *writer, const char *key);
void ut_json_put_end_object(struct ut_json_writer *writer);
void ut_json_put_end_array(struct ut_json_writer *writer);

/* NULL writes null. Bytes that are not UTF-8 become U+FFFD. */
void ut_json_put_string(struct ut_json_writer *writer, const char *key, const char *value);
void ut_json_put_uint(struct ut_json_writer *writer, const char *key, uint64_t value);
/* With nine digits, enough for any float; null when not finite, which JSON cannot say. */
void ut_json_put_double(struct ut_json_writer *writer, const char *key, double value);
void ut_json_put_bool(struct ut_json_writer *writer, const char *key, bool value);

/* Hands out the text (free with ut_mem_free), or ERROR_MEMORY if any step failed; the writer is
 * empty afterwards. */
UTTER_CHECKED utter_status ut_json_put_finish(struct ut_json_writer *writer, char **out,
                                              utter_error *err);

#endif
