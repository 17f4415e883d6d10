/* What the tests and the fuzz targets of the weights folder share: walking over everything that was
 * accepted, parsing exactly sized copies. */
#ifndef UT_TESTS_WEIGHTS_CHECK_H
#define UT_TESTS_WEIGHTS_CHECK_H

#include "support/byte_buffer.h"
#include "weights/weights.h"

/* Reads every tensor, name, node, attribute and metadata entry, and converts what can be f32. The
 * sum of what it saw keeps the compiler from leaving the reads out. A promise of weights.h that does
 * not hold ends the program with abort. */
uint64_t use_weights(const struct ut_weights *weights);

struct parsed { /* drop_parsed frees it */
    struct ut_weights *weights;
    uint8_t *copy;
    utter_status status;
    utter_error err;
};

/* Parses a heap copy of exactly n bytes, so that a sanitizer sees the first byte beyond. */
struct parsed parse_copy(struct ut_mem *mem, const void *data, size_t n);
void drop_parsed(struct parsed *parsed);

/* Parses, uses what was accepted, drops; returns the status. `message` (may be NULL) must stand in
 * the error's message when the status is not UTTER_OK. */
utter_status try_parse(struct ut_mem *mem, const struct byte_buffer *file, const char *message);

/* cmocka handles SIGBUS itself while a test runs. A test that truncates a mapped file puts the
 * library's handler back with the second function; the first, called in main before the tests,
 * makes the library install it. */
void remember_sigbus_handler(void);
void restore_sigbus_handler(void);

#endif
