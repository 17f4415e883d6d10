/* Compares a trace with recorded golden tensors by the rules of a tolerances.json:
 *
 *     {"inputs": [stages that a trace reads and need not write],
 *      "rules": [[pattern, rule], ...]}
 *
 * Files are safetensors with tensors named CASE.STAGE. The first shell pattern that matches CASE.STAGE
 * or STAGE decides. Rules: {"exact": true}; {"abs": t} max |out - golden| <= t, with "scaled" t times
 * max(1, max |golden|); {"rel": t} of each element; {"snr": dB}; {"polar": [m, p, least]} first half of the
 * elements magnitudes within m, second half phases, 99 % of which are within p modulo 2 pi where the magnitude
 * exceeds `least`; {"skip": why}. Without a rule: integers
 * exact, audio 60 dB, all else {"abs": 1e-3, "scaled": true}. Infinities must agree. A stage that is
 * missing or of another size fails, and so does a rule that is none of these. */
#ifndef UT_TESTS_GOLDEN_H
#define UT_TESTS_GOLDEN_H

#include <stdbool.h>

#include "base/mem.h"
#include "support/byte_buffer.h"

struct golden_report {
    int n_passed, n_failed;
    struct byte_buffer failures; /* a line for each; NUL-terminated; free it */
};

/* False, with the reason in `failures`, when a file cannot be read, anything failed or nothing was
 * compared. Always fills the report. */
bool golden_compare(struct ut_mem *mem, const char *golden, const char *out, const char *tolerances,
                    struct golden_report *report);

/* Writes the tensors of `golden` that are inputs by the tolerances file, the stage `also` (NULL: none), and no
 * others. */
bool golden_strip(struct ut_mem *mem, const char *golden, const char *tolerances, const char *also,
                  const char *out, struct golden_report *report);

#endif
