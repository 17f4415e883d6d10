/* Protocol buffer wire format, read in place: one message is a range of the file, its fields come
 * one by one, and a message inside it is again a range. Nothing recurses, nothing is allocated.
 * Groups, which no current writer produces, are refused. */
#ifndef UT_WEIGHTS_PROTOBUF_H
#define UT_WEIGHTS_PROTOBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* What the schema says of a field; those it does not list are skipped. */
enum ut_pb_kind {
    UT_PB_SKIP,
    UT_PB_VARINT,
    UT_PB_BYTES,           /* string, bytes or message */
    UT_PB_REPEATED_VARINT, /* this and those below: packed, or one by one, or both */
    UT_PB_REPEATED_32,
    UT_PB_REPEATED_64
};

struct ut_pb_schema {
    const char *name;     /* "NodeProto" */
    const uint8_t *kinds; /* ut_pb_kind by field number */
    size_t n_kinds;
};

struct ut_pb_range {
    size_t begin, end; /* offsets in the file */
};

/* A walk over one message. `status` stays UTTER_OK until a field is damaged; then ut_pb_next is
 * false for good. */
struct ut_pb_message {
    const uint8_t *data; /* the file */
    size_t pos, end;
    const struct ut_pb_schema *schema;
    utter_error *err;
    utter_status status;
};

/* Lower three bits of a tag. 3 and 4 would be the groups. */
enum ut_pb_wire {
    UT_PB_WIRE_VARINT = 0,
    UT_PB_WIRE_64 = 1,
    UT_PB_WIRE_BYTES = 2,
    UT_PB_WIRE_32 = 5
};

struct ut_pb_field {
    uint32_t number; /* 0 when the schema skips it */
    enum ut_pb_wire wire;
    uint64_t value;           /* of a varint */
    struct ut_pb_range range; /* the payload: of a varint and the fixed types, too */
    size_t pos;               /* of the tag */
};

/* The walk begins in front of the first field. `range` must lie in the file and outlive the
 * walk. */
struct ut_pb_message ut_pb_open(const uint8_t *data, struct ut_pb_range range,
                                const struct ut_pb_schema *schema, utter_error *err);

/* False at the end and at an error; message->status tells which. */
bool ut_pb_next(struct ut_pb_message *message, struct ut_pb_field *field);

/* One varint at data[*pos .. end); false when it is cut off, longer than ten bytes or beyond 64
 * bits. */
bool ut_pb_varint(const uint8_t *data, size_t *pos, size_t end, uint64_t *value);

/* Varints in a packed run, counted by their last bytes; ut_pb_varint still judges each. */
size_t ut_pb_count_varints(const uint8_t *data, struct ut_pb_range range);

static inline size_t ut_pb_range_bytes(struct ut_pb_range range) {
    return range.end - range.begin;
}

#endif
