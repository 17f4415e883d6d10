/* Reads Python pickles without running them: what a pickle would call is a name that is compared
 * with a short list. The result is a graph of objects that refer to each other by number, so that
 * an object the pickle uses a thousand times is there once. */
#ifndef UT_WEIGHTS_PICKLE_H
#define UT_WEIGHTS_PICKLE_H

#include <stdbool.h>

#include "base/error.h"
#include "weights/blocks.h"

enum ut_pickle_kind {
    UT_PICKLE_NONE,
    UT_PICKLE_BOOL,
    UT_PICKLE_INTEGER,
    UT_PICKLE_LONG, /* beyond 64 bits: its bytes, little-endian */
    UT_PICKLE_FLOAT,
    UT_PICKLE_STRING,
    UT_PICKLE_BYTES,
    UT_PICKLE_GLOBAL, /* one cell: module and name, both strings */
    UT_PICKLE_TUPLE,
    UT_PICKLE_LIST,
    UT_PICKLE_SET,
    UT_PICKLE_MAP,
    UT_PICKLE_STORAGE, /* one cell: the tuple of the persistent id */
    UT_PICKLE_TENSOR,  /* one cell: the global that rebuilds it and its arguments, a tuple */
    UT_PICKLE_OPAQUE   /* a cell like a tensor's, then whatever was put into it */
};

/* About a million; also of cells, memo entries and stacked values. */
enum { UT_PICKLE_FIRST_CHUNK = 64, UT_PICKLE_CHUNKS = 14 };
enum { UT_PICKLE_MAX_OBJECTS = UT_PICKLE_FIRST_CHUNK * ((1 << UT_PICKLE_CHUNKS) - 1) };

/* 16 bytes, since a pickle may have a million of them. Which member of the union counts is told by
 * `kind`. */
struct ut_pickle_object {
    uint8_t kind;  /* ut_pickle_kind */
    uint8_t marks; /* 0, for whoever walks over the objects */
    uint32_t at;   /* offset in the pickle of the opcode that made it */
    union {
        int64_t integer; /* of BOOL, too */
        struct {
            uint32_t begin, n; /* STRING, BYTES, LONG: where the bytes stand in the pickle */
        };
        struct {
            uint32_t first, last; /* cells of the others; 0: none */
        };
    };
};

/* An item of an object that holds others. */
struct ut_pickle_cell {
    uint32_t key, value; /* objects; key 0 where there is none */
    uint32_t next;       /* cell; 0: the last */
};

/* Items that are reached by number and never move: chunk k has 64 << k of them. */
struct ut_pickle_pool {
    uint8_t *chunks[UT_PICKLE_CHUNKS];
    uint32_t n;
    uint32_t item_bytes;
};

struct ut_pickle {
    const uint8_t *data;                  /* the pickle, in the file */
    size_t n;                             /* from PROTO to STOP */
    size_t file_offset;                   /* of the pickle, for messages */
    struct ut_pickle_pool objects, cells; /* number 0 of each is unused */
    uint32_t root;
};

/* Reads one pickle at data[0..n) of a file; what follows its STOP is left alone. ERROR_FORMAT with
 * the offset when it is no pickle of protocol 2 to 4 or breaks a rule, ERROR_UNSUPPORTED with
 * opcode or name for what is on no list. Everything is allocated in `blocks`. */
UTTER_CHECKED utter_status ut_pickle_read(struct ut_pickle *pickle, const uint8_t *data, size_t n,
                                          size_t file_offset, struct ut_blocks *blocks,
                                          utter_error *err);

/* By number: 1 .. objects.n - 1, 1 .. cells.n - 1. */
struct ut_pickle_object *ut_pickle_object(const struct ut_pickle *pickle, uint32_t number);
const struct ut_pickle_cell *ut_pickle_cell(const struct ut_pickle *pickle, uint32_t number);

/* The bytes of a STRING, BYTES or LONG, without a NUL behind; NULL for other kinds. */
const char *ut_pickle_text(const struct ut_pickle *pickle, uint32_t number, size_t *n);

bool ut_pickle_text_is(const struct ut_pickle *pickle, uint32_t number, const char *text);

/* Whether the object is the global of this name. */
bool ut_pickle_global_is(const struct ut_pickle *pickle, uint32_t number, const char *module,
                         const char *name);

/* The values of a TUPLE or LIST, the first `limit` of them; returns how many there are, at most
 * limit + 1. 0 for other kinds. */
size_t ut_pickle_items(const struct ut_pickle *pickle, uint32_t number, uint32_t *values,
                       size_t limit);

/* The last value that a map has for a string; 0 if there is none. */
uint32_t ut_pickle_member(const struct ut_pickle *pickle, uint32_t map, const char *key);

/* Writes "module.name" of a GLOBAL, cut to fit, with a NUL. */
void ut_pickle_global_name(const struct ut_pickle *pickle, uint32_t number, char *out,
                           size_t n_out);

#endif
