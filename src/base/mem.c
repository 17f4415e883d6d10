/* The allocator: a 64-byte header in front of each block remembers size and owner. */
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/checked.h"

enum { HEADER_BYTES = 64, ALIGNMENT = 64, HUGE_PAGE = 2 << 20, HUGE_MIN = 4 << 20 };

struct header {
    size_t n_bytes; /* without the header */
    enum ut_mem_owner owner;
};

static void *default_alloc(void *user, size_t n_bytes) {
    size_t alignment = n_bytes >= HUGE_MIN ? HUGE_PAGE : ALIGNMENT, rounded;
    if (!ut_add_size(n_bytes, alignment - 1, &rounded)) {
        return NULL;
    }
    rounded &= ~(alignment - 1);
    void *block = aligned_alloc(alignment, rounded);
    if (block && n_bytes >= HUGE_MIN) {
        /* Reading weights through 4 KB pages halves the memory bandwidth; failure is harmless. */
        madvise(block, rounded, MADV_HUGEPAGE);
    }
    return block;
}

static void default_free(void *user, void *block, size_t n_bytes) {
    free(block);
}

void ut_mem_init(struct ut_mem *mem, const utter_allocator *allocator) {
    *mem = (struct ut_mem){.allocator = {default_alloc, default_free, NULL}};
    if (allocator) {
        mem->allocator = *allocator;
    }
}

static struct header *header_of(void *block) {
    return (struct header *)((char *)block - HEADER_BYTES);
}

static void account(struct ut_mem *mem, enum ut_mem_owner owner, int64_t change) {
    atomic_fetch_add(&mem->bytes[owner], (uint64_t)change);
    uint64_t sum = 0;
    for (int i = 0; i < UT_MEM_N_OWNERS; i++) {
        sum += atomic_load(&mem->bytes[i]);
    }
    uint64_t peak = atomic_load(&mem->peak_bytes);
    while (sum > peak && !atomic_compare_exchange_weak(&mem->peak_bytes, &peak, sum)) {
    }
}

void *ut_mem_alloc(struct ut_mem *mem, enum ut_mem_owner owner, size_t n_bytes) {
    size_t total;
    if (!ut_add_size(n_bytes, HEADER_BYTES, &total) || total > PTRDIFF_MAX) {
        return NULL;
    }
    atomic_fetch_add(&mem->n_allocations, 1);
    char *raw = mem->allocator.alloc(mem->allocator.user, total);
    if (!raw) {
        return NULL;
    }
    *(struct header *)raw = (struct header){n_bytes, owner};
    account(mem, owner, (int64_t)total);
    return raw + HEADER_BYTES;
}

void *ut_mem_calloc(struct ut_mem *mem, enum ut_mem_owner owner, size_t count, size_t size) {
    size_t n_bytes;
    if (!ut_mul_size(count, size, &n_bytes)) {
        return NULL;
    }
    void *block = ut_mem_alloc(mem, owner, n_bytes);
    if (block) {
        memset(block, 0, n_bytes);
    }
    return block;
}

void *ut_mem_realloc(struct ut_mem *mem, enum ut_mem_owner owner, void *block, size_t n_bytes) {
    if (!block) {
        return ut_mem_alloc(mem, owner, n_bytes);
    }
    struct header *old = header_of(block);
    void *grown = ut_mem_alloc(mem, old->owner, n_bytes);
    if (!grown) {
        return NULL;
    }
    memcpy(grown, block, UT_MIN(old->n_bytes, n_bytes));
    ut_mem_free(mem, block);
    return grown;
}

char *ut_mem_strndup(struct ut_mem *mem, enum ut_mem_owner owner, const char *text, size_t n) {
    size_t n_bytes;
    char *copy = ut_add_size(n, 1, &n_bytes) ? ut_mem_alloc(mem, owner, n_bytes) : NULL;
    if (copy) {
        memcpy(copy, text, n);
        copy[n] = '\0';
    }
    return copy;
}

void ut_mem_free(struct ut_mem *mem, void *block) {
    if (!block) {
        return;
    }
    struct header *header = header_of(block);
    size_t total = header->n_bytes + HEADER_BYTES;
    account(mem, header->owner, -(int64_t)total);
    mem->allocator.free(mem->allocator.user, header, total);
}

void ut_mem_report(const struct ut_mem *mem, utter_memory *out) {
    utter_memory report = {
        .weights_bytes = atomic_load(&mem->bytes[UT_MEM_WEIGHTS]),
        .session_bytes = atomic_load(&mem->bytes[UT_MEM_SESSION]),
        .other_bytes = atomic_load(&mem->bytes[UT_MEM_OTHER]),
        .mapped_bytes = atomic_load(&mem->mapped_bytes),
        .peak_bytes = atomic_load(&mem->peak_bytes),
        .n_allocations = atomic_load(&mem->n_allocations),
    };
    size_t size = UT_MIN(out->size, sizeof report);
    report.size = out->size;
    memcpy(out, &report, size);
}
