/* What the two halves of the GGUF reader share: the bytes being read and the values they become.
 * gguf.c reads the file and its tensors, gguf_values.c the metadata. */
#ifndef UT_WEIGHTS_GGUF_READER_H
#define UT_WEIGHTS_GGUF_READER_H

#include "weights/gguf.h"
#include "weights/table.h"

/* The alignment is the default that a file may override with general.alignment; the length of keys
 * is the specification's limit. */
enum { UT_GGUF_ALIGNMENT = 32, UT_GGUF_MAX_KEY_BYTES = 65535 };

/* Numbers as in the file. */
enum ut_gguf_type {
    UT_GGUF_UINT8,
    UT_GGUF_INT8,
    UT_GGUF_UINT16,
    UT_GGUF_INT16,
    UT_GGUF_UINT32,
    UT_GGUF_INT32,
    UT_GGUF_FLOAT32,
    UT_GGUF_BOOL,
    UT_GGUF_STRING,
    UT_GGUF_ARRAY,
    UT_GGUF_UINT64,
    UT_GGUF_INT64,
    UT_GGUF_FLOAT64,
    UT_GGUF_N_TYPES
};

struct ut_gguf_value {
    uint8_t type, element; /* enum ut_gguf_type; element: of an array */
    union {
        uint64_t bits; /* integers and booleans, sign-extended to 64 bits */
        double real;
        uint64_t n; /* elements of an array */
    };
    const char *const *strings; /* [n] of an array of strings */
};

/* Values belong to the metadata entries of the same index; a string is the entry's text. */
struct ut_gguf {
    struct ut_gguf_value *values;
    uint32_t *by_key;
};

/* Where the reading is. Everything that is kept goes into the table's blocks; a failure leaves that
 * to ut_weights_close. */
struct ut_gguf_reader {
    struct ut_weights *weights;
    size_t at; /* <= weights->n */
    utter_error *err;
};

/* The next n bytes; NULL, with *at unmoved, when fewer are left. */
const uint8_t *ut_gguf_take(struct ut_gguf_reader *r, uint64_t n);

/* ERROR_FORMAT: the file ends within `what`. */
utter_status ut_gguf_fail_end(const struct ut_gguf_reader *r, const char *what);

/* Both name `what` and the offset when the file ends too early, and advance only on success. */
UTTER_CHECKED utter_status ut_gguf_read_u32(struct ut_gguf_reader *r, const char *what,
                                            uint32_t *out);
UTTER_CHECKED utter_status ut_gguf_read_u64(struct ut_gguf_reader *r, const char *what,
                                            uint64_t *out);

/* A string of valid UTF-8 without NUL, copied, with a NUL behind it. */
UTTER_CHECKED utter_status ut_gguf_read_string(struct ut_gguf_reader *r, const char *what,
                                               const char **out);

/* n keys with their values into metadata and gguf of the table; n is not trusted. */
UTTER_CHECKED utter_status ut_gguf_read_values(struct ut_gguf_reader *r, uint64_t n);

/* NULL when there is none, also in files of other formats. */
const struct ut_gguf_value *ut_gguf_find(const struct ut_weights *weights, const char *key);

#endif
