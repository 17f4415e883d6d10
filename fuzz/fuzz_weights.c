/* Weights files from memory, whatever the format; one program per format, with its own corpus,
 * dictionary and mutator. What is accepted is used to the last byte and converted. */
#include "fuzz.h"
#include "weights_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct ut_mem mem;
    ut_mem_init(&mem, NULL);
    struct parsed parsed = parse_copy(&mem, data, n);
    REQUIRE(atomic_load(&mem.peak_bytes) <= 4 * n + (16 << 20) + 65536);
    if (parsed.weights) {
        use_weights(parsed.weights);
    } else {
        REQUIRE(parsed.err.code == parsed.status && parsed.err.message[0] != '\0');
        REQUIRE(parsed.status == UTTER_ERROR_FORMAT || parsed.status == UTTER_ERROR_UNSUPPORTED);
    }
    drop_parsed(&parsed);
    REQUIRE(atomic_load(&mem.bytes[UT_MEM_WEIGHTS]) + atomic_load(&mem.bytes[UT_MEM_OTHER]) == 0);
    return 0;
}
