/* Takes a zip file apart, mutates one member - mostly the pickle - and writes it anew: a plain mutation
 * breaks the checksum of the pickle or the offsets of all members behind it. The old format has
 * neither. */
#include <string.h>

#include "fuzz.h"
#include "support/torch_writer.h"
#include "weights/zip.h"

static uint32_t next_random(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static bool is_pickle(const char *name) {
    size_t n = strlen(name);
    return n >= 9 && strcmp(name + n - 9, "/data.pkl") == 0;
}

/* The archive with member `which` mutated. */
static struct byte_buffer rebuild(const struct ut_zip *zip, size_t which, uint32_t *random) {
    struct zip_writer writer = {0};
    uint32_t form = next_random(random);
    for (size_t i = 0; i < zip->n_members; i++) {
        struct ut_zip_member *member = &zip->members[i];
        uint8_t *bytes = test_alloc(member->n_bytes + 64);
        size_t n = member->n_bytes;
        memcpy(bytes, zip->data + member->data, n);
        if (i == which) {
            n = LLVMFuzzerMutate(bytes, n, member->n_bytes + 64);
        }
        zip_add(&writer, &(struct zip_member){.name = member->name,
                                              .data = bytes,
                                              .n = n,
                                              .has_sizes = form & 1,
                                              .is_wide = form & 2});
        free(bytes);
    }
    zip_finish(&writer, form & 4);
    byte_buffer_free(&writer.directory);
    return writer.file;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t max_bytes, unsigned seed) {
    uint32_t random = seed;
    struct ut_mem mem;
    struct ut_blocks blocks;
    struct ut_zip zip;
    ut_mem_init(&mem, NULL);
    ut_blocks_init(&blocks, &mem, n, 0);
    bool is_zip = next_random(&random) % 8 != 0 &&
                  ut_zip_open(&zip, data, n, &blocks, NULL) == UTTER_OK && zip.n_members > 0 &&
                  zip.n_members <= ZIP_MAX_MEMBERS;
    if (is_zip) {
        size_t which = next_random(&random) % zip.n_members;
        for (size_t i = 0; next_random(&random) % 8 != 0 && i < zip.n_members; i++) {
            which = is_pickle(zip.members[i].name) ? i : which;
        }
        struct byte_buffer whole = rebuild(&zip, which, &random);
        if (whole.n <= max_bytes) {
            n = whole.n;
            memcpy(data, whole.data, n);
        }
        byte_buffer_free(&whole);
    }
    ut_blocks_free(&blocks);
    return is_zip ? n : LLVMFuzzerMutate(data, n, max_bytes);
}
