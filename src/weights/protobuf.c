/* Wire format after https://protobuf.dev/programming-guides/encoding/. Every length is held against
 * the end of the message it stands in, which was held against the end of its own parent: no field
 * reaches outside of the file. */
#include "weights/protobuf.h"

struct ut_pb_message ut_pb_open(const uint8_t *data, struct ut_pb_range range,
                                const struct ut_pb_schema *schema, utter_error *err) {
    return (struct ut_pb_message){
        .data = data, .pos = range.begin, .end = range.end, .schema = schema, .err = err};
}

/* Ten bytes of seven bits are 70: of the tenth only the lowest bit has room, a larger one would be
 * dropped without a sign. */
bool ut_pb_varint(const uint8_t *data, size_t *pos, size_t end, uint64_t *value) {
    *value = 0;
    for (int shift = 0; shift < 70 && *pos < end; shift += 7) {
        uint8_t byte = data[(*pos)++];
        if (shift == 63 && byte > 1) {
            return false;
        }
        *value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            return true;
        }
    }
    return false;
}

size_t ut_pb_count_varints(const uint8_t *data, struct ut_pb_range range) {
    size_t n = 0;
    for (size_t i = range.begin; i < range.end; i++) {
        n += data[i] < 0x80;
    }
    return n;
}

static bool fail(struct ut_pb_message *m, size_t pos, const char *what) {
    m->status =
        ut_fail(m->err, UTTER_ERROR_FORMAT, "%s: %s at byte %zu", m->schema->name, what, pos);
    return false;
}

/* The payload's range; for a varint also its value. n_bytes is compared before it is narrowed or
 * added to anything. */
static bool read_payload(struct ut_pb_message *m, struct ut_pb_field *field) {
    uint64_t n_bytes = 0;
    size_t begin = m->pos;
    switch (field->wire) {
    case UT_PB_WIRE_VARINT:
        if (!ut_pb_varint(m->data, &m->pos, m->end, &field->value)) {
            return fail(m, begin, "invalid number");
        }
        field->range = (struct ut_pb_range){begin, m->pos};
        return true;
    case UT_PB_WIRE_BYTES:
        if (!ut_pb_varint(m->data, &m->pos, m->end, &n_bytes)) {
            return fail(m, begin, "invalid length");
        }
        break;
    case UT_PB_WIRE_32:
        n_bytes = 4;
        break;
    case UT_PB_WIRE_64:
        n_bytes = 8;
        break;
    default:
        return fail(m, field->pos, "unknown wire type");
    }
    if (n_bytes > m->end - m->pos) {
        return fail(m, begin, "a field is longer than what is left of the message");
    }
    field->range = (struct ut_pb_range){m->pos, m->pos + (size_t)n_bytes};
    m->pos += (size_t)n_bytes;
    return true;
}

/* Parsers may accept the packed and the single form of a repeated field alike; so does this one. */
static bool wire_matches(enum ut_pb_kind kind, const struct ut_pb_field *field) {
    size_t n_bytes = ut_pb_range_bytes(field->range);
    bool packed = field->wire == UT_PB_WIRE_BYTES;
    switch (kind) {
    case UT_PB_SKIP:
        return true;
    case UT_PB_VARINT:
        return field->wire == UT_PB_WIRE_VARINT;
    case UT_PB_BYTES:
        return packed;
    case UT_PB_REPEATED_VARINT:
        return packed || field->wire == UT_PB_WIRE_VARINT;
    case UT_PB_REPEATED_32:
        return field->wire == UT_PB_WIRE_32 || (packed && n_bytes % 4 == 0);
    case UT_PB_REPEATED_64:
        return field->wire == UT_PB_WIRE_64 || (packed && n_bytes % 8 == 0);
    }
    return false;
}

/* Tags above 32 bits and the field number 0 do not exist; they are the usual sign of reading from
 * the wrong place. */
bool ut_pb_next(struct ut_pb_message *m, struct ut_pb_field *field) {
    if (m->status || m->pos >= m->end) {
        return false;
    }
    uint64_t tag;
    *field = (struct ut_pb_field){.pos = m->pos};
    if (!ut_pb_varint(m->data, &m->pos, m->end, &tag) || tag > UINT32_MAX || tag >> 3 == 0) {
        return fail(m, field->pos, "invalid field tag");
    }
    field->wire = (enum ut_pb_wire)(tag & 7);
    if (!read_payload(m, field)) {
        return false;
    }
    size_t number = (size_t)(tag >> 3);
    enum ut_pb_kind kind = number < m->schema->n_kinds ? m->schema->kinds[number] : UT_PB_SKIP;
    if (!wire_matches(kind, field)) {
        return fail(m, field->pos, "a field has the wrong type");
    }
    field->number = kind == UT_PB_SKIP ? 0 : (uint32_t)number;
    return true;
}
