/* The allocator: a 64-byte header in front of each block remembers size and owner.
 *
 * Weights are packed into reserved blocks: with 4 KB pages, half of the time of loading went into
 * the kernel's 16,000 faults for 63 MB, and reading them takes twice as long. */
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/checked.h"
#include "base/error.h"

/* HUGE_MIN: below two huge pages a block rarely fills even one. LOCK_MIN: see is_lockable. */
enum {
    HEADER_BYTES = 64,
    ALIGNMENT = 64,
    HUGE_PAGE = 2 << 20,
    HUGE_MIN = 4 << 20,
    LARGEST_PAGE = 64 << 10, /* of what systems map at least, huge pages aside */
    LOCK_MIN = 64 << 10
};

/* In HEADER_BYTES, more than it needs, so that the block behind it is aligned like the header
 * itself. */
struct header {
    size_t n_bytes;    /* without the header; of a reserved block those in use */
    size_t n_reserved; /* bytes mapped, with the header; 0: the block is the allocator's */
    enum ut_mem_owner owner;
    bool is_locked;
};

static size_t whole_pages(size_t n_bytes) {
    return (n_bytes + LARGEST_PAGE - 1) / LARGEST_PAGE * LARGEST_PAGE;
}

/* Whole pages of address space, beginning with a huge one. Maps one huge page more and cuts off
 * what is in front of the first boundary and behind the end. */
static char *map_pages(size_t n_bytes, int flags) {
    char *mapped = mmap(NULL, n_bytes + HUGE_PAGE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    if (mapped == MAP_FAILED) {
        return NULL;
    }
    size_t n_before = -(uintptr_t)mapped % HUGE_PAGE;
    if (n_before > 0) {
        munmap(mapped, n_before);
    }
    munmap(mapped + n_before + n_bytes, HUGE_PAGE - n_before);
    /* Reading weights through 4 KB pages halves the memory bandwidth; failure is harmless. The end
     * that fills no huge page is left to small ones: a block uses what it asked for. */
    madvise(mapped + n_before, n_bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
    return mapped + n_before;
}

/* Large blocks are mapped here and not by the C library: after the first one is freed, glibc takes
 * those up to 32 MB from its heap, and keeps what is freed at its end up to twice that size.
 * aligned_alloc wants sizes that are multiples of the alignment. */
static void *default_alloc(void *user, size_t n_bytes) {
    return n_bytes >= HUGE_MIN
               ? map_pages(whole_pages(n_bytes), 0)
               : aligned_alloc(ALIGNMENT, (n_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
}

static void default_free(void *user, void *block, size_t n_bytes) {
    if (n_bytes >= HUGE_MIN) {
        munmap(block, whole_pages(n_bytes));
    } else {
        free(block);
    }
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

/* Counts n bytes, unless that goes over the limit. Adds first and looks afterwards, so that two
 * threads cannot both take the last bytes. */
static bool take(struct ut_mem *mem, enum ut_mem_owner owner, size_t n) {
    uint64_t sum = atomic_fetch_add(&mem->sum_bytes, n) + n;
    if (mem->limit_bytes && sum > mem->limit_bytes) {
        atomic_fetch_sub(&mem->sum_bytes, n);
        atomic_store(&mem->limit_was_hit, true);
        return false;
    }
    atomic_fetch_add(&mem->bytes[owner], n);
    uint64_t peak = atomic_load(&mem->peak_bytes);
    while (sum > peak && !atomic_compare_exchange_weak(&mem->peak_bytes, &peak, sum)) {
    }
    return true;
}

static void give_back(struct ut_mem *mem, enum ut_mem_owner owner, size_t n) {
    atomic_fetch_sub(&mem->bytes[owner], n);
    atomic_fetch_sub(&mem->sum_bytes, n);
}

/* Small blocks share pages with others and hold next to nothing. */
static bool is_lockable(const struct ut_mem *mem, enum ut_mem_owner owner, size_t n) {
    return mem->lock_weights && owner == UT_MEM_WEIGHTS && n >= LOCK_MIN;
}

static bool lock(struct ut_mem *mem, void *block, size_t n) {
    bool ok = mlock(block, n) == 0;
    if (ok) {
        atomic_fetch_add(&mem->locked_bytes, n);
    } else {
        atomic_store(&mem->lock_failed, true);
    }
    return ok;
}

void *ut_mem_alloc(struct ut_mem *mem, enum ut_mem_owner owner, size_t n_bytes) {
    size_t total;
    if (!ut_add_size(n_bytes, HEADER_BYTES, &total) || total > PTRDIFF_MAX) {
        return NULL;
    }
    atomic_fetch_add(&mem->n_allocations, 1);
    if (!take(mem, owner, total)) {
        return NULL;
    }
    char *raw = mem->allocator.alloc(mem->allocator.user, total);
    if (!raw) {
        give_back(mem, owner, total);
        return NULL;
    }
    *(struct header *)raw =
        (struct header){.n_bytes = n_bytes,
                        .owner = owner,
                        .is_locked = is_lockable(mem, owner, total) && lock(mem, raw, total)};
    return raw + HEADER_BYTES;
}

/* Only the header counts until ut_mem_use; the system gives pages when they are first written. */
void *ut_mem_reserve(struct ut_mem *mem, enum ut_mem_owner owner, size_t n_bytes) {
    size_t total;
    if (mem->allocator.alloc != default_alloc || is_lockable(mem, owner, n_bytes) ||
        !ut_add_size(n_bytes, HEADER_BYTES + HUGE_PAGE - 1, &total) || total > PTRDIFF_MAX / 2) {
        return NULL;
    }
    total = total / HUGE_PAGE * HUGE_PAGE;
    atomic_fetch_add(&mem->n_allocations, 1);
    if (!take(mem, owner, HEADER_BYTES)) {
        return NULL;
    }
    char *raw = map_pages(total, MAP_NORESERVE);
    if (!raw) {
        give_back(mem, owner, HEADER_BYTES);
        return NULL;
    }
    *(struct header *)raw = (struct header){.n_reserved = total, .owner = owner};
    return raw + HEADER_BYTES;
}

bool ut_mem_use(struct ut_mem *mem, void *block, size_t n_bytes) {
    struct header *header = header_of(block);
    if (!take(mem, header->owner, n_bytes - header->n_bytes)) {
        return false;
    }
    header->n_bytes = n_bytes;
    return true;
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

/* Always a new block: the caller's allocator has no realloc, and sizes double, so copies are
 * rare. */
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
    give_back(mem, header->owner, total);
    if (header->is_locked) {
        (void)munlock(header, total); /* blocks of the caller's allocator may be used again */
        atomic_fetch_sub(&mem->locked_bytes, total);
    }
    if (header->n_reserved > 0) {
        munmap(header, header->n_reserved);
    } else {
        mem->allocator.free(mem->allocator.user, header, total);
    }
}

utter_status ut_mem_explain(struct ut_mem *mem, utter_status status, utter_error *err) {
    if (status != UTTER_ERROR_MEMORY || !atomic_exchange(&mem->limit_was_hit, false)) {
        return status;
    }
    return ut_fail_context(err, status, "the memory limit of %.1f MB does not suffice",
                           (double)mem->limit_bytes / 1e6);
}

void ut_mem_report(const struct ut_mem *mem, utter_memory *out) {
    utter_memory report = {
        .weights_bytes = atomic_load(&mem->bytes[UT_MEM_WEIGHTS]),
        .session_bytes = atomic_load(&mem->bytes[UT_MEM_SESSION]),
        .other_bytes = atomic_load(&mem->bytes[UT_MEM_OTHER]),
        .mapped_bytes = atomic_load(&mem->mapped_bytes),
        .peak_bytes = atomic_load(&mem->peak_bytes),
        .n_allocations = atomic_load(&mem->n_allocations),
        .limit_bytes = mem->limit_bytes,
        .locked_bytes = atomic_load(&mem->locked_bytes),
    };
    size_t size = UT_MIN(out->size, sizeof report);
    report.size = out->size;
    memcpy(out, &report, size);
}
