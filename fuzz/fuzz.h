/* What every fuzz target gives: the entry point of libFuzzer, called with an exactly sized heap
 * copy. A broken promise ends the target with abort. */
#ifndef UT_FUZZ_H
#define UT_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* libFuzzer's own mutation and, in mutate_*.c, what a format puts around it. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t n, size_t max_bytes);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t max_bytes, unsigned seed);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);              \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#endif
