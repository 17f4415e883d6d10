/* Bump allocation in a list of blocks; see arena.h. */
#include "compute/arena.h"

#include "base/checked.h"

/* Under AddressSanitizer only what is allocated may be touched, and behind every allocation is a
 * gap, as if each were a block of its own. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ADDRESS_SANITIZER
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define HAS_ADDRESS_SANITIZER
#endif
#ifdef HAS_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
enum { GAP = 64 };
#else
enum { GAP = 0 };
#define ASAN_POISON_MEMORY_REGION(at, n) ((void)(at), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(at, n) ((void)(at), (void)(n))
#endif

enum {
    FIRST_BLOCK = 64 << 10,
    LARGEST_STEP = 16 << 20,
    ALIGN = 64,
    /* Weights are allocated once and stay, and what is reported, and counted against a limit, is
     * what is used: from RESERVE_FROM on they lie in reserved blocks (base/mem.h), or else a large
     * layer gets a block of exactly its size. */
    LARGE_WEIGHTS = 512 << 10,
    WEIGHTS_STEP = 1 << 20,
    RESERVE_FROM = 4 << 20,
    RESERVE_STEP = 64 << 20
};

/* Padded to ALIGN, so that what lies behind it is aligned as the block is. */
struct ut_arena_block {
    struct ut_arena_block *next;
    size_t capacity; /* bytes behind the header */
    size_t counted;  /* of them; as many as were ever used, or all */
    char pad[ALIGN - sizeof(void *) - 2 * sizeof(size_t)];
};

void ut_arena_init(struct ut_arena *arena, struct ut_mem *mem, enum ut_mem_owner owner) {
    *arena = (struct ut_arena){.mem = mem, .owner = owner};
}

static struct ut_arena_block *init_block(struct ut_arena_block *block, size_t capacity,
                                         size_t counted) {
    if (block) {
        block->next = NULL;
        block->capacity = capacity;
        block->counted = counted;
        ASAN_POISON_MEMORY_REGION(block + 1, capacity);
    }
    return block;
}

static struct ut_arena_block *new_block(struct ut_arena *arena, size_t capacity) {
    size_t total;
    return ut_add_size(capacity, sizeof(struct ut_arena_block), &total)
               ? init_block(ut_mem_alloc(arena->mem, arena->owner, total), capacity, capacity)
               : NULL;
}

static struct ut_arena_block *reserve_block(struct ut_arena *arena, size_t capacity) {
    size_t total;
    if (!ut_add_size(capacity, sizeof(struct ut_arena_block), &total)) {
        return NULL;
    }
    struct ut_arena_block *block = ut_mem_reserve(arena->mem, arena->owner, total);
    if (block && !ut_mem_use(arena->mem, block, sizeof *block)) {
        ut_mem_free(arena->mem, block);
        block = NULL;
    }
    return init_block(block, capacity, 0);
}

/* In bytes that count, as a reserved block has many more than are used. */
static size_t sum_counted(const struct ut_arena_block *block) {
    size_t sum = 0;
    for (; block; block = block->next) {
        sum += block->counted;
    }
    return sum;
}

/* A block of n bytes and many more, if this is an arena of many weights. */
static struct ut_arena_block *reserve_step(struct ut_arena *arena, size_t n) {
    bool many = arena->owner == UT_MEM_WEIGHTS &&
                sum_counted(arena->first) + sum_counted(arena->apart) + n >= RESERVE_FROM;
    return many ? reserve_block(arena, UT_MAX(n, RESERVE_STEP)) : NULL;
}

/* Each as large as all before it together, so that there are few. */
static struct ut_arena_block *new_step(struct ut_arena *arena, size_t n) {
    size_t largest = arena->owner == UT_MEM_WEIGHTS ? WEIGHTS_STEP : LARGEST_STEP;
    size_t step = UT_MIN(UT_MAX(sum_counted(arena->first), FIRST_BLOCK), largest);
    return new_block(arena, UT_MAX(n, step));
}

/* A block for one allocation, in a list of its own: a rewind frees it. */
static void *alloc_apart(struct ut_arena *arena, size_t n) {
    struct ut_arena_block *block = new_block(arena, n);
    if (!block) {
        arena->failed = true;
        return NULL;
    }
    block->next = arena->apart;
    arena->apart = block;
    ASAN_UNPOISON_MEMORY_REGION(block + 1, n);
    return block + 1;
}

/* To the next block that holds n bytes, one left by a reset or rewound; false: there is none. */
static bool advance(struct ut_arena *arena, size_t n) {
    struct ut_arena_block *block = arena->current ? arena->current->next : NULL;
    while (block && block->capacity < n) {
        block = block->next;
    }
    arena->current = block ? block : arena->current;
    arena->used = block ? 0 : arena->used;
    return block != NULL;
}

/* Behind the last block, which becomes the current one. Blocks are few. */
static void append(struct ut_arena *arena, struct ut_arena_block *block) {
    struct ut_arena_block **link = &arena->first;
    while (*link) {
        link = &(*link)->next;
    }
    *link = arena->current = block;
    arena->used = 0;
}

/* n bytes of the current block. Of a reserved block more becomes counted as it is used; ut_mem_use
 * may refuse that. */
static void *take(struct ut_arena *arena, size_t n, size_t n_wanted) {
    struct ut_arena_block *current = arena->current;
    size_t used = arena->used + n;
    if (used > current->counted) {
        if (!ut_mem_use(arena->mem, current, sizeof *current + used)) {
            arena->failed = true;
            return NULL;
        }
        current->counted = used;
    }
    char *at = (char *)(current + 1) + arena->used;
    arena->used = used;
    ASAN_UNPOISON_MEMORY_REGION(at, n_wanted);
    return at;
}

/* Tries the current block, those behind it, a reserved one, one apart, a new one, in this order. */
void *ut_arena_alloc(struct ut_arena *arena, size_t count, size_t size) {
    size_t n_wanted, n;
    if (!ut_mul_size(count, size, &n_wanted) || !ut_add_size(n_wanted, ALIGN - 1 + GAP, &n)) {
        arena->failed = true;
        return NULL;
    }
    n &= ~(size_t)(ALIGN - 1);
    bool fits = arena->current && n <= arena->current->capacity - arena->used;
    if (!fits && !advance(arena, n)) {
        struct ut_arena_block *block = reserve_step(arena, n);
        if (!block && arena->owner == UT_MEM_WEIGHTS && n >= LARGE_WEIGHTS) {
            return alloc_apart(arena, n);
        }
        block = block ? block : new_step(arena, n);
        if (!block) {
            arena->failed = true;
            return NULL;
        }
        append(arena, block);
    }
    return take(arena, n, n_wanted);
}

struct ut_arena_mark ut_arena_mark(const struct ut_arena *arena) {
    return (struct ut_arena_mark){arena->current, arena->apart, arena->used};
}

/* What lies behind `used` bytes of the current block and in the blocks behind it, up to `last` of
 * which n bytes are used, is free again. */
static void poison_free(const struct ut_arena *arena, const struct ut_arena_block *last, size_t n) {
    size_t used = arena->used;
    for (struct ut_arena_block *b = arena->current; b; b = b->next, used = 0) {
        size_t end = b == last ? n : b->capacity;
        ASAN_POISON_MEMORY_REGION((char *)(b + 1) + used, end - used);
        if (b == last) {
            return;
        }
    }
}

/* The list up to `last`, which may be its end. */
static void free_blocks(struct ut_arena *arena, struct ut_arena_block *block,
                        const struct ut_arena_block *last) {
    while (block != last) {
        struct ut_arena_block *next = block->next;
        ASAN_UNPOISON_MEMORY_REGION(block + 1, block->capacity);
        ut_mem_free(arena->mem, block);
        block = next;
    }
}

/* A mark from before the first block goes back to the first. */
void ut_arena_rewind(struct ut_arena *arena, struct ut_arena_mark mark) {
    const struct ut_arena_block *last = arena->current;
    size_t n = arena->used;
    free_blocks(arena, arena->apart, mark.apart);
    arena->apart = mark.apart;
    arena->current = mark.block ? mark.block : arena->first;
    arena->used = mark.block ? mark.used : 0;
    poison_free(arena, last, n);
}

void ut_arena_trim(struct ut_arena *arena) {
    if (arena->current) {
        free_blocks(arena, arena->current->next, NULL);
        arena->current->next = NULL;
    }
}

void ut_arena_free(struct ut_arena *arena) {
    free_blocks(arena, arena->first, NULL);
    free_blocks(arena, arena->apart, NULL);
    ut_arena_init(arena, arena->mem, arena->owner);
}

void ut_arena_reset(struct ut_arena *arena) {
    if (arena->owner == UT_MEM_WEIGHTS) {
        ut_arena_free(arena);
        return;
    }
    if (arena->first && arena->first->next) {
        size_t total = 0;
        for (struct ut_arena_block *b = arena->first; b; b = b->next) {
            total += b->capacity;
        }
        /* The old blocks go first: an arena must never need twice its size. */
        free_blocks(arena, arena->first, NULL);
        arena->first = arena->current = new_block(arena, total);
        arena->used = 0;
    }
    arena->failed = false;
    ut_arena_rewind(arena, (struct ut_arena_mark){.block = arena->first});
}
