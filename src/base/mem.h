/* The one allocator: every byte that utter's own code allocates goes through a ut_mem, so that tests
 * can count and fail allocations and utter_engine_memory can report them by owner. Thread safe. */
#ifndef UT_BASE_MEM_H
#define UT_BASE_MEM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "utter.h"

/* Whom a block is reported under: the weights of a model, the scratch of whoever speaks, all
 * else. */
enum ut_mem_owner { UT_MEM_WEIGHTS, UT_MEM_SESSION, UT_MEM_OTHER, UT_MEM_N_OWNERS };

/* The counters are independent atomics: a report taken while others allocate may be off by a
 * block. */
struct ut_mem {
    utter_allocator allocator;
    uint64_t limit_bytes; /* of the sum of all owners; 0: none. Set before the first allocation */
    bool lock_weights;    /* keep blocks of weights in memory (mlock); set before the first allocation */
    _Atomic uint64_t bytes[UT_MEM_N_OWNERS];
    _Atomic uint64_t sum_bytes;
    _Atomic uint64_t locked_bytes;
    _Atomic bool limit_was_hit; /* an allocation failed for the limit; cleared by whoever reports it */
    _Atomic bool lock_failed;   /* a block could not be locked: its pages may be swapped out */
    _Atomic uint64_t mapped_bytes; /* kept by weights/file_map.c */
    _Atomic uint64_t peak_bytes;
    _Atomic uint64_t n_allocations;
};

/* `allocator` NULL: the C library's; blocks of 4 MB and more, and reserved ones, are mapped in huge pages where the
 * system has them, and go back to it when they are freed. */
void ut_mem_init(struct ut_mem *mem, const utter_allocator *allocator);

/* A block aligned to 64 bytes, contents undefined; NULL when there is none. n_bytes 0 gives a valid
 * block. Free with ut_mem_free. */
void *ut_mem_alloc(struct ut_mem *mem, enum ut_mem_owner owner, size_t n_bytes);

/* A block like that, for n_bytes that are used little by little: it lies in huge pages where the system has
 * them, and neither takes memory nor counts before ut_mem_use says so. NULL where the allocator is the
 * caller's, where weights are locked, and when there is no address space: allocate what is needed then. */
void *ut_mem_reserve(struct ut_mem *mem, enum ut_mem_owner owner, size_t n_bytes);

/* The first n_bytes of a reserved block, at least as many as before, are used from now on; false when
 * that goes over the limit. */
bool ut_mem_use(struct ut_mem *mem, void *block, size_t n_bytes);

/* count * size bytes of zeros; NULL also when the product overflows. */
void *ut_mem_calloc(struct ut_mem *mem, enum ut_mem_owner owner, size_t count, size_t size);

/* Grows (or shrinks) a block, keeping its contents; NULL and `block` untouched on failure.
 * `block` NULL allocates. The owner is that of the block. */
void *ut_mem_realloc(struct ut_mem *mem, enum ut_mem_owner owner, void *block, size_t n_bytes);

/* A copy of `n` bytes with a NUL behind. */
char *ut_mem_strndup(struct ut_mem *mem, enum ut_mem_owner owner, const char *text, size_t n);

void ut_mem_free(struct ut_mem *mem, void *block); /* NULL is fine */

/* Names the limit in the message of an ERROR_MEMORY that it caused; returns status. */
utter_status ut_mem_explain(struct ut_mem *mem, utter_status status, utter_error *err);

/* Fills as much of *out as its `size` says; later versions of the struct are longer. */
void ut_mem_report(const struct ut_mem *mem, utter_memory *out);

#endif
