/* Tables of GGUF files in the words of support/gguf_text.h: each hostile one with what its message must
 * say, behind each group the whole one that it was made of. */
#ifndef UT_TESTS_GGUF_CASES_H
#define UT_TESTS_GGUF_CASES_H

#include <stdbool.h>

#include "support/gguf_text.h"
#include "weights_check.h"

#define GGUF_HEAD(n_tensors, n_keys) "GGUF 4:3 8:" n_tensors " 8:" n_keys " "
/* dims: their number in 4 bytes, then each in 8, the fastest first. */
#define GGUF_TENSOR(name, dims, type, offset) "s:" name " " dims " 4:" type " 8:" offset " "

struct gguf_case {
    const char *words;
    const char *message; /* NULL: the file is whole */
    bool unsupported;    /* ERROR_UNSUPPORTED instead of ERROR_FORMAT */
};

/* Fails the test with the words of the first case that does not do as it says. Returns how many were
 * hostile. */
size_t check_gguf_cases(struct ut_mem *mem, const struct gguf_case *cases, size_t n);

/* Parses the file of these words and uses it; a whole one, or the test fails. Drop it. */
struct parsed parse_gguf(struct ut_mem *mem, const char *words);

#endif
