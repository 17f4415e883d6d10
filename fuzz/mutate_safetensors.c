/* Mutates header and data apart and mostly keeps the length in front true, without which nothing
 * behind the first eight bytes is ever reached. */
#include <string.h>

#include "fuzz.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t max_bytes, unsigned seed) {
    uint64_t n_header = 0;
    if (n >= 8) {
        memcpy(&n_header, data, 8);
    }
    if (seed % 8 == 0 || n < 8 || n_header > n - 8 || n >= max_bytes) {
        return LLVMFuzzerMutate(data, n, max_bytes);
    }
    uint8_t *header = data + 8, *tail = header + n_header;
    size_t n_tail = n - 8 - (size_t)n_header;
    if (seed % 8 == 1) {
        return 8 + (size_t)n_header +
               LLVMFuzzerMutate(tail, n_tail, max_bytes - 8 - (size_t)n_header);
    }
    uint8_t *saved = malloc(n_tail + 1);
    REQUIRE(saved);
    memcpy(saved, tail, n_tail);
    n_header = LLVMFuzzerMutate(header, (size_t)n_header, max_bytes - 8 - n_tail);
    memcpy(header + n_header, saved, n_tail);
    free(saved);
    memcpy(data, &n_header, 8);
    return 8 + (size_t)n_header + n_tail;
}
