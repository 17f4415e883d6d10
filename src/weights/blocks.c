/* Blocks double from 16 kB to 1 MB; what does not fit gets a block of its own size. What is left of
 * a block when the next one begins is lost, which is why the first blocks are small. */
#include "weights/blocks.h"

#include <string.h>

#include "base/checked.h"

/* SLACK_BYTES is the 16 MB of blocks.h. ALIGNMENT suits every struct of the parsers: none holds a
 * type wider than a pointer. */
enum { FIRST_BLOCK = 16 << 10, LARGEST_BLOCK = 1 << 20, SLACK_BYTES = 16 << 20, ALIGNMENT = 8 };

/* In front of the bytes handed out; a list from the newest to the oldest. */
struct ut_block {
    struct ut_block *older;
    size_t n_bytes; /* of data */
    char data[];
};

void ut_blocks_init(struct ut_blocks *blocks, struct ut_mem *mem, uint64_t file_bytes,
                    uint64_t used_bytes) {
    *blocks = (struct ut_blocks){.mem = mem};
    if (!ut_mul_u64(file_bytes, 4, &blocks->limit_bytes) ||
        !ut_add_u64(blocks->limit_bytes, SLACK_BYTES, &blocks->limit_bytes)) {
        blocks->limit_bytes = UINT64_MAX;
    }
    blocks->limit_bytes -= UT_MIN(used_bytes, blocks->limit_bytes);
}

void ut_blocks_free(struct ut_blocks *blocks) {
    while (blocks->newest) {
        struct ut_block *older = blocks->newest->older;
        ut_mem_free(blocks->mem, blocks->newest);
        blocks->newest = older;
    }
    blocks->n_free = 0;
    blocks->n_bytes = 0;
}

/* The unused end of the block before is given up: at most 1 MB, and less than what the new one
 * holds. */
static bool add_block(struct ut_blocks *blocks, size_t n_bytes, utter_error *err) {
    size_t wanted =
        blocks->newest ? UT_MIN(2 * blocks->newest->n_bytes, LARGEST_BLOCK) : FIRST_BLOCK;
    wanted = UT_MAX(wanted, n_bytes);
    uint64_t left = blocks->limit_bytes - blocks->n_bytes;
    if (n_bytes > left) {
        blocks->status = ut_fail(err, UTTER_ERROR_FORMAT,
                                 "the file describes more than its size allows: "
                                 "its tables would need over %llu bytes",
                                 (unsigned long long)blocks->limit_bytes);
        return false;
    }
    wanted = UT_MIN(wanted, left);
    size_t total;
    struct ut_block *block = NULL;
    if (ut_add_size(wanted, sizeof *block, &total)) {
        block = ut_mem_alloc(blocks->mem, UT_MEM_WEIGHTS, total);
    }
    if (!block) {
        blocks->status = ut_fail_memory(err, wanted);
        return false;
    }
    *block = (struct ut_block){.older = blocks->newest, .n_bytes = wanted};
    blocks->newest = block;
    blocks->n_bytes += wanted;
    blocks->n_free = wanted;
    return true;
}

void *ut_blocks_alloc(struct ut_blocks *blocks, size_t count, size_t size, utter_error *err) {
    size_t n_bytes;
    if (!ut_mul_size(count, size, &n_bytes) || !ut_add_size(n_bytes, ALIGNMENT - 1, &n_bytes)) {
        blocks->status = ut_fail_memory(err, SIZE_MAX);
        return NULL;
    }
    n_bytes &= ~(size_t)(ALIGNMENT - 1);
    if (n_bytes > blocks->n_free && !add_block(blocks, n_bytes, err)) {
        return NULL;
    }
    if (!blocks->newest && !add_block(blocks, ALIGNMENT, err)) { /* nothing, asked for first */
        return NULL;
    }
    struct ut_block *block = blocks->newest;
    char *bytes = block->data + (block->n_bytes - blocks->n_free);
    blocks->n_free -= n_bytes;
    return memset(bytes, 0, n_bytes);
}

char *ut_blocks_strndup(struct ut_blocks *blocks, const char *text, size_t n, utter_error *err) {
    size_t n_bytes;
    char *copy = ut_add_size(n, 1, &n_bytes) ? ut_blocks_alloc(blocks, n_bytes, 1, err) : NULL;
    if (copy) {
        memcpy(copy, text, n);
    }
    return copy;
}
