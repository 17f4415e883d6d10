/* Mutates one field somewhere in the tree of messages and corrects the lengths around it: a plain
 * mutation changes the length of a field and so breaks every message that holds it. */
#include <string.h>

#include "fuzz.h"
#include "support/onnx_writer.h"
#include "weights/protobuf.h"

enum { MAX_LEVELS = 6, MAX_FIELDS = 4096 };

/* Payload of one length-delimited field. */
struct level {
    size_t tag_end; /* where its length stands */
    struct ut_pb_range payload;
};

static const struct ut_pb_schema any_schema = {"any", NULL, 0};

static uint32_t next_random(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* A random length-delimited field of the message; false if it has none or is no message. */
static bool pick_field(const uint8_t *data, struct ut_pb_range range, uint32_t *random,
                       struct level *out) {
    struct ut_pb_message message = ut_pb_open(data, range, &any_schema, NULL);
    struct ut_pb_field field;
    uint32_t n_found = 0;
    while (n_found < MAX_FIELDS && ut_pb_next(&message, &field)) {
        if (field.wire == UT_PB_WIRE_BYTES && next_random(random) % ++n_found == 0) {
            uint64_t tag;
            size_t tag_end = field.pos;
            REQUIRE(ut_pb_varint(data, &tag_end, range.end, &tag));
            *out = (struct level){tag_end, field.range};
        }
    }
    return n_found > 0 && !message.status;
}

/* data with the payload of the innermost level replaced, and all lengths above it corrected. */
static struct byte_buffer rebuild(const uint8_t *data, const struct level *levels, int n_levels,
                                  size_t n, const uint8_t *payload, size_t n_payload) {
    struct byte_buffer inside = {0};
    byte_buffer_append(&inside, payload, n_payload);
    for (int i = n_levels - 1; i >= 0; i--) {
        size_t begin = i > 0 ? levels[i - 1].payload.begin : 0,
               end = i > 0 ? levels[i - 1].payload.end : n;
        struct byte_buffer around = {0};
        byte_buffer_append(&around, data + begin, levels[i].tag_end - begin);
        pb_varint(&around, inside.n);
        byte_buffer_append(&around, inside.data, inside.n);
        byte_buffer_append(&around, data + levels[i].payload.end, end - levels[i].payload.end);
        byte_buffer_free(&inside);
        inside = around;
    }
    return inside;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t max_bytes, unsigned seed) {
    struct level levels[MAX_LEVELS];
    uint32_t random = seed;
    int n_levels = 0;
    struct ut_pb_range range = {0, n};
    while (n_levels < MAX_LEVELS && next_random(&random) % 5 != 0 &&
           pick_field(data, range, &random, &levels[n_levels])) {
        range = levels[n_levels++].payload;
    }
    if (n_levels == 0) {
        return LLVMFuzzerMutate(data, n, max_bytes);
    }
    size_t n_payload = ut_pb_range_bytes(range), capacity = n_payload + 64;
    uint8_t *payload = test_alloc(capacity);
    memcpy(payload, data + range.begin, n_payload);
    n_payload = LLVMFuzzerMutate(payload, n_payload, capacity);
    struct byte_buffer whole = rebuild(data, levels, n_levels, n, payload, n_payload);
    if (whole.n <= max_bytes) {
        n = whole.n;
        memcpy(data, whole.data, n);
    }
    byte_buffer_free(&whole);
    free(payload);
    return n;
}
