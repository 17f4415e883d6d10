/* See failing_allocator.h. */
#include "support/failing_allocator.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD = 64, TAIL = 8 }; /* the head keeps the alignment that blocks must have */

static const uint64_t tail_mark = 0x5ca1ab1e0ddba11u;

/* How often a reset was followed by a failure, in this program. */
static _Atomic size_t n_faults;

/* For scripts/scoreboard.py; the test itself has checked what came of each. */
static void count_faults(void) {
    const char *path = getenv("UT_FAULT_COUNTS");
    FILE *file = path ? fopen(path, "a") : NULL;
    if (file) {
        fprintf(file, "%zu\n", atomic_load(&n_faults));
        fclose(file);
    }
}

static void *allocate(void *user, size_t n_bytes) {
    struct failing_allocator *state = user;
    size_t call = atomic_fetch_add(&state->n_calls, 1) + 1;
    if (state->fail_at != 0 &&
        (state->and_later ? call >= state->fail_at : call == state->fail_at)) {
        n_faults += atomic_fetch_add(&state->n_failed, 1) == 0;
        return NULL;
    }
    if (n_bytes > SIZE_MAX - HEAD - TAIL - HEAD) {
        return NULL;
    }
    size_t n_total = (HEAD + n_bytes + TAIL + HEAD - 1) / HEAD * HEAD;
    unsigned char *block = aligned_alloc(HEAD, n_total);
    if (!block) {
        return NULL;
    }
    memcpy(block, &n_bytes, sizeof n_bytes);
    memcpy(block + HEAD + n_bytes, &tail_mark, TAIL);
    atomic_fetch_add(&state->n_blocks, 1);
    return block + HEAD;
}

static void release(void *user, void *data, size_t n_bytes) {
    struct failing_allocator *state = user;
    unsigned char *block = (unsigned char *)data - HEAD;
    size_t n_allocated;
    memcpy(&n_allocated, block, sizeof n_allocated);
    if (n_allocated != n_bytes || memcmp(block + HEAD + n_allocated, &tail_mark, TAIL) != 0) {
        atomic_store(&state->wrong_size, true);
    }
    atomic_fetch_sub(&state->n_blocks, 1);
    free(block);
}

utter_allocator failing_allocator_start(struct failing_allocator *state) {
    static _Atomic bool is_counting;
    if (!atomic_exchange(&is_counting, true)) {
        atexit(count_faults);
    }
    memset(state, 0, sizeof *state);
    return (utter_allocator){.alloc = allocate, .free = release, .user = state};
}

void failing_allocator_reset(struct failing_allocator *state, size_t fail_at, bool and_later) {
    atomic_store(&state->n_calls, 0);
    atomic_store(&state->n_failed, 0);
    state->fail_at = fail_at;
    state->and_later = and_later;
}
