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
    /* Weights are allocated once and stay: a large layer gets a block of exactly its size, so that
     * what is reported, and counted against a limit, is what is used. */
    LARGE_WEIGHTS = 512 << 10,
    WEIGHTS_STEP = 1 << 20
};

struct ut_arena_block {
    struct ut_arena_block *next;
    size_t capacity; /* bytes behind the header */
    char pad[ALIGN - sizeof(void *) - sizeof(size_t)];
};

void ut_arena_init(struct ut_arena *arena, struct ut_mem *mem, enum ut_mem_owner owner) {
    *arena = (struct ut_arena){.mem = mem, .owner = owner};
}

static struct ut_arena_block *new_block(struct ut_arena *arena, size_t capacity) {
    struct ut_arena_block *block = NULL;
    size_t total;
    if (ut_add_size(capacity, sizeof *block, &total)) {
        block = ut_mem_alloc(arena->mem, arena->owner, total);
    }
    if (block) {
        block->next = NULL;
        block->capacity = capacity;
        ASAN_POISON_MEMORY_REGION(block + 1, capacity);
    }
    return block;
}

/* The next block that holds n bytes: one left by a reset, or a new one, each as large as all before
 * it together so that there are few. */
static bool advance(struct ut_arena *arena, size_t n) {
    struct ut_arena_block *last = arena->current;
    while (last && last->next) {
        if (last->next->capacity >= n) {
            arena->current = last->next;
            arena->used = 0;
            return true;
        }
        last = last->next;
    }
    size_t total = 0;
    for (struct ut_arena_block *b = arena->first; b; b = b->next) {
        total += b->capacity;
    }
    size_t largest = arena->owner == UT_MEM_WEIGHTS ? WEIGHTS_STEP : LARGEST_STEP;
    size_t step = UT_MIN(UT_MAX(total, FIRST_BLOCK), largest);
    struct ut_arena_block *block = new_block(arena, UT_MAX(n, step));
    if (!block) {
        return false;
    }
    if (last) {
        last->next = block;
    } else {
        arena->first = block;
    }
    arena->current = block;
    arena->used = 0;
    return true;
}

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

void *ut_arena_alloc(struct ut_arena *arena, size_t count, size_t size) {
    size_t n_wanted, n;
    if (!ut_mul_size(count, size, &n_wanted) || !ut_add_size(n_wanted, ALIGN - 1 + GAP, &n)) {
        arena->failed = true;
        return NULL;
    }
    n &= ~(size_t)(ALIGN - 1);
    if (arena->owner == UT_MEM_WEIGHTS && n >= LARGE_WEIGHTS) {
        return alloc_apart(arena, n);
    }
    bool fits = arena->current && n <= arena->current->capacity - arena->used;
    if (!fits && !advance(arena, n)) {
        arena->failed = true;
        return NULL;
    }
    char *block = (char *)(arena->current + 1) + arena->used;
    arena->used += n;
    ASAN_UNPOISON_MEMORY_REGION(block, n_wanted);
    return block;
}

struct ut_arena_mark ut_arena_mark(const struct ut_arena *arena) {
    return (struct ut_arena_mark){arena->current, arena->used};
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

void ut_arena_rewind(struct ut_arena *arena, struct ut_arena_mark mark) {
    const struct ut_arena_block *last = arena->current;
    size_t n = arena->used;
    arena->current = mark.block ? mark.block : arena->first;
    arena->used = mark.block ? mark.used : 0;
    poison_free(arena, last, n);
}

static void free_blocks(struct ut_arena *arena, struct ut_arena_block *block) {
    while (block) {
        struct ut_arena_block *next = block->next;
        ASAN_UNPOISON_MEMORY_REGION(block + 1, block->capacity);
        ut_mem_free(arena->mem, block);
        block = next;
    }
}

void ut_arena_reset(struct ut_arena *arena) {
    free_blocks(arena, arena->apart);
    arena->apart = NULL;
    if (arena->first && arena->first->next) {
        size_t total = 0;
        for (struct ut_arena_block *b = arena->first; b; b = b->next) {
            total += b->capacity;
        }
        /* The old blocks go first: an arena must never need twice its size. */
        free_blocks(arena, arena->first);
        arena->first = arena->current = new_block(arena, total);
        arena->used = 0;
    }
    arena->failed = false;
    ut_arena_rewind(arena, (struct ut_arena_mark){arena->first, 0});
}

void ut_arena_free(struct ut_arena *arena) {
    free_blocks(arena, arena->first);
    free_blocks(arena, arena->apart);
    ut_arena_init(arena, arena->mem, arena->owner);
}
