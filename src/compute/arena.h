/* Bump allocation: blocks that are freed together. Blocks stay where they are when the arena grows,
 * and a reset keeps the memory, so a warmed-up arena allocates nothing. Not thread safe. */
#ifndef UT_COMPUTE_ARENA_H
#define UT_COMPUTE_ARENA_H

#include "base/mem.h"

struct ut_arena_block;

/* Starts with ut_arena_init. `current` and `used` are where the next allocation goes; blocks behind
 * `current` are free. */
struct ut_arena {
    struct ut_mem *mem;
    enum ut_mem_owner owner;
    struct ut_arena_block *first, *current;
    struct ut_arena_block *apart; /* large ones of weights, where none can be reserved */
    size_t used; /* bytes of the current block */
    bool failed; /* an allocation since the last reset returned NULL */
};

/* Allocates nothing: the first block comes with the first allocation. */
void ut_arena_init(struct ut_arena *arena, struct ut_mem *mem, enum ut_mem_owner owner);

/* count * size bytes aligned to 64, contents undefined; NULL on overflow or out of memory, and then
 * `failed` is set, so that a group of allocations can be checked once. */
void *ut_arena_alloc(struct ut_arena *arena, size_t count, size_t size);

/* A place to go back to: rewinding frees everything allocated after the mark, keeping the memory
 * (but for large blocks of weights that lie apart). */
struct ut_arena_mark {
    struct ut_arena_block *block, *apart;
    size_t used;
};
struct ut_arena_mark ut_arena_mark(const struct ut_arena *arena);
void ut_arena_rewind(struct ut_arena *arena, struct ut_arena_mark mark);

/* Gives back the blocks in which nothing is allocated, before one of another size is needed. */
void ut_arena_trim(struct ut_arena *arena);

/* Forgets every allocation and keeps the memory, merged into one block when there were several (if
 * merging fails the arena is empty and grows again when used). An arena of weights gives it back. */
void ut_arena_reset(struct ut_arena *arena);
void ut_arena_free(struct ut_arena *arena); /* gives the memory back */

#endif
