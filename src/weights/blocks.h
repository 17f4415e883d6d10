/* Small things of one weights table - names, dimensions, node lists - in a few large blocks that
 * are freed together. A limit derived from the file's size bounds what a small file may claim. */
#ifndef UT_WEIGHTS_BLOCKS_H
#define UT_WEIGHTS_BLOCKS_H

#include "base/error.h"
#include "base/mem.h"

struct ut_block;

/* One thread at a time. Nothing in it is freed alone: a parser that fails half-way just frees all
 * blocks. */
struct ut_blocks {
    struct ut_mem *mem;
    struct ut_block *newest;
    size_t n_free; /* bytes at the end of the newest block */
    uint64_t n_bytes, limit_bytes;
    utter_status status; /* why the last allocation that failed did */
};

/* The limit is 4 times the file plus 16 MB, less what the parser holds elsewhere meanwhile. A
 * parser that must hold more than that is reading a file that lies: descriptions in real files are
 * a fraction of it, the 16 MB are for small files with many short entries. */
void ut_blocks_init(struct ut_blocks *blocks, struct ut_mem *mem, uint64_t file_bytes,
                    uint64_t used_bytes);
/* Leaves blocks that hold nothing and may be used or freed again. */
void ut_blocks_free(struct ut_blocks *blocks);

/* count * size zeroed bytes, aligned to 8; NULL, with err and status set, when memory or the limit
 * is exhausted. Blocks never move. */
void *ut_blocks_alloc(struct ut_blocks *blocks, size_t count, size_t size, utter_error *err);

/* A copy with a NUL behind it. */
char *ut_blocks_strndup(struct ut_blocks *blocks, const char *text, size_t n, utter_error *err);

#endif
