/* A bounded JSON reader for files nobody has checked: iterative, one pass, memory proportional to
 * the number of values (8 bytes for each value and key), nesting and size limited. Values are views
 * into the text; the text must outlive the document. RFC 8259, UTF-8 checked; a duplicate key in
 * one object is an error, and so are a key with U+0000 and a number of more than 400 characters.
 * Does not write JSON. */
#ifndef UT_BASE_JSON_H
#define UT_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

enum ut_json_type {
    UT_JSON_NULL,
    UT_JSON_BOOL,
    UT_JSON_NUMBER,
    UT_JSON_STRING,
    UT_JSON_ARRAY,
    UT_JSON_OBJECT
};

enum { UT_JSON_MAX_DEPTH = 64 };

struct ut_json; /* document; free with ut_json_free */

/* Index of a value in its document; the root is 0 and -1 means "absent". Every getter takes -1 and
 * answers with "absent", so look-ups may be chained without checks in between. */
typedef int32_t ut_json_ref;

/* Parses n bytes (less than 128 MiB) that must hold exactly one value and blanks. ERROR_FORMAT
 * names the offset. Total memory is bounded by 4 * n + 64 kB, work by O(n log n). */
UTTER_CHECKED utter_status ut_json_parse(struct ut_mem *mem, const char *text, size_t n,
                                         struct ut_json **out, utter_error *err);
void ut_json_free(struct ut_json *doc);
size_t ut_json_memory(const struct ut_json *doc); /* bytes it holds */

enum ut_json_type ut_json_type(const struct ut_json *doc, ut_json_ref value); /* -1: NULL */
/* Members or elements; walks over those of an array. */
size_t ut_json_count(const struct ut_json *doc, ut_json_ref value);
/* O(log n) in objects of 16 members and more. -1 when there is none or `object` is no object. */
ut_json_ref ut_json_member(const struct ut_json *doc, ut_json_ref object, const char *key);
/* Iteration over arrays and objects: first child (the value for objects), next sibling, its key. */
ut_json_ref ut_json_first(const struct ut_json *doc, ut_json_ref container);
ut_json_ref ut_json_next(const struct ut_json *doc, ut_json_ref value);
/* Key of a member, unescaped, NUL-terminated, owned by the document. NULL for array elements. */
const char *ut_json_key(const struct ut_json *doc, ut_json_ref value);

/* Unescaped, NUL-terminated, owned by the document; *n (may be NULL) is its length, which is larger
 * than strlen when the string holds U+0000. NULL if the value is no string. */
const char *ut_json_string(const struct ut_json *doc, ut_json_ref value, size_t *n);
/* False if the value is no number, not finite, or (for the integer) has a fraction, an exponent or
 * does not fit. */
bool ut_json_double(const struct ut_json *doc, ut_json_ref value, double *out);
bool ut_json_int64(const struct ut_json *doc, ut_json_ref value, int64_t *out);
bool ut_json_bool(const struct ut_json *doc, ut_json_ref value, bool *out);
/* The value's text as it stands in the file (numbers: the digits). */
const char *ut_json_raw(const struct ut_json *doc, ut_json_ref value, size_t *n);

#endif
