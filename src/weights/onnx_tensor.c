/* TensorProto: name, type, shape and the data wherever the exporter put it. raw_data and packed
 * float_data, double_data are views of the file; the varint lists and unpacked fields are
 * converted. Strings, complex numbers, 8-bit floats, 4-bit integers and segments are not read. */
#include <string.h>

#include "base/checked.h"
#include "weights/onnx_reader.h"

enum {
    TENSOR_DIMS = 1,
    TENSOR_DATA_TYPE = 2,
    TENSOR_SEGMENT = 3,
    TENSOR_FLOAT_DATA = 4,
    TENSOR_INT32_DATA = 5,
    TENSOR_STRING_DATA = 6,
    TENSOR_INT64_DATA = 7,
    TENSOR_NAME = 8,
    TENSOR_RAW_DATA = 9,
    TENSOR_DOUBLE_DATA = 10,
    TENSOR_UINT64_DATA = 11,
    TENSOR_EXTERNAL_DATA = 13,
    TENSOR_DATA_LOCATION = 14
};
/* DataLocation of the format; 0 is the file itself. */
enum { LOCATION_EXTERNAL = 1 };
enum { ENTRY_KEY = 1, ENTRY_VALUE = 2 };

static const uint8_t tensor_kinds[] = {
    [TENSOR_DIMS] = UT_PB_REPEATED_VARINT,
    [TENSOR_DATA_TYPE] = UT_PB_VARINT,
    [TENSOR_SEGMENT] = UT_PB_BYTES,
    [TENSOR_FLOAT_DATA] = UT_PB_REPEATED_32,
    [TENSOR_INT32_DATA] = UT_PB_REPEATED_VARINT,
    [TENSOR_STRING_DATA] = UT_PB_BYTES,
    [TENSOR_INT64_DATA] = UT_PB_REPEATED_VARINT,
    [TENSOR_NAME] = UT_PB_BYTES,
    [TENSOR_RAW_DATA] = UT_PB_BYTES,
    [TENSOR_DOUBLE_DATA] = UT_PB_REPEATED_64,
    [TENSOR_UINT64_DATA] = UT_PB_REPEATED_VARINT,
    [TENSOR_EXTERNAL_DATA] = UT_PB_BYTES,
    [TENSOR_DATA_LOCATION] = UT_PB_VARINT,
};
static const struct ut_pb_schema tensor_schema = {"TensorProto", tensor_kinds,
                                                  UT_COUNT(tensor_kinds)};
static const uint8_t entry_kinds[] = {[ENTRY_KEY] = UT_PB_BYTES, [ENTRY_VALUE] = UT_PB_BYTES};
static const struct ut_pb_schema entry_schema = {"StringStringEntryProto", entry_kinds,
                                                 UT_COUNT(entry_kinds)};

/* TensorProto.DataType: the element, the list that carries it when raw_data does not, and the
 * values that are possible in that list. */
static const struct onnx_type {
    const char *name;
    bool readable;
    enum ut_dtype type;
    uint32_t list;
    int64_t min, max;
} onnx_types[] = {
    {"UNDEFINED", .readable = false},
    {"FLOAT", true, UT_F32, TENSOR_FLOAT_DATA, 0, 0},
    {"UINT8", true, UT_U8, TENSOR_INT32_DATA, 0, UINT8_MAX},
    {"INT8", true, UT_I8, TENSOR_INT32_DATA, INT8_MIN, INT8_MAX},
    {"UINT16", true, UT_U16, TENSOR_INT32_DATA, 0, UINT16_MAX},
    {"INT16", true, UT_I16, TENSOR_INT32_DATA, INT16_MIN, INT16_MAX},
    {"INT32", true, UT_I32, TENSOR_INT32_DATA, INT32_MIN, INT32_MAX},
    {"INT64", true, UT_I64, TENSOR_INT64_DATA, INT64_MIN, INT64_MAX},
    {"STRING", .readable = false},
    {"BOOL", true, UT_BOOL, TENSOR_INT32_DATA, 0, 1},
    {"FLOAT16", true, UT_F16, TENSOR_INT32_DATA, 0, UINT16_MAX},
    {"DOUBLE", true, UT_F64, TENSOR_DOUBLE_DATA, 0, 0},
    {"UINT32", true, UT_U32, TENSOR_UINT64_DATA, 0, UINT32_MAX},
    {"UINT64", true, UT_U64, TENSOR_UINT64_DATA, INT64_MIN, INT64_MAX}, /* every bit pattern */
    {"COMPLEX64", .readable = false},
    {"COMPLEX128", .readable = false},
    {"BFLOAT16", true, UT_BF16, TENSOR_INT32_DATA, 0, UINT16_MAX},
};

/* What one walk over the message finds. */
struct tensor_proto {
    struct ut_pb_range name, raw;
    uint64_t dims[UT_MAX_DIMS]; /* the first ones */
    size_t n_dims, n_raw, n_external;
    uint64_t data_type, location;
    uint32_t list;            /* field number of the data list, 0: none */
    size_t n_list;            /* its elements */
    size_t n_chunks;          /* fields it is spread over */
    struct ut_pb_range chunk; /* the last of them */
    bool has_segment;
};

/* Offsets are those in the file, as everywhere in the reader of ONNX. */
static utter_status fail_at(struct ut_onnx_reader *r, size_t pos, const char *what) {
    return ut_fail(r->err, UTTER_ERROR_FORMAT, "%s at byte %zu", what, pos);
}

/* ---- The walk ------------------------------------------------------------------------------- */

/* All dimensions are counted, so that the message can tell how many there are; those beyond the
 * fourth are not kept. */
static utter_status read_dims(struct ut_onnx_reader *r, struct ut_pb_range range,
                              struct tensor_proto *proto) {
    for (size_t pos = range.begin; pos < range.end; proto->n_dims++) {
        uint64_t dim;
        size_t at = pos;
        if (!ut_pb_varint(r->data, &pos, range.end, &dim)) {
            return fail_at(r, at, "invalid number in the shape");
        }
        if (dim > INT64_MAX) {
            return fail_at(r, at, "negative dimension");
        }
        if (proto->n_dims < UT_MAX_DIMS) {
            proto->dims[proto->n_dims] = dim;
        }
    }
    return UTTER_OK;
}

/* Lists may come in several fields, packed or not; all of them must be of one kind. */
static utter_status note_list(struct ut_onnx_reader *r, const struct ut_pb_field *field,
                              size_t n_elements, struct tensor_proto *proto) {
    if (proto->list != 0 && proto->list != field->number) {
        return fail_at(r, field->pos, "data in two fields");
    }
    proto->list = field->number;
    proto->n_list += n_elements;
    proto->n_chunks++;
    proto->chunk = field->range;
    return UTTER_OK;
}

/* The only walk for most tensors: data in one field is used where it lies. */
static utter_status walk_tensor(struct ut_onnx_reader *r, struct ut_pb_range range,
                                struct tensor_proto *proto) {
    struct ut_pb_message message = ut_pb_open(r->data, range, &tensor_schema, r->err);
    struct ut_pb_field field;
    utter_status status = UTTER_OK;
    while (!status && ut_pb_next(&message, &field)) {
        switch (field.number) {
        case TENSOR_DIMS:
            status = read_dims(r, field.range, proto);
            break;
        case TENSOR_DATA_TYPE:
            proto->data_type = field.value;
            break;
        case TENSOR_SEGMENT:
            proto->has_segment = true;
            break;
        case TENSOR_NAME:
            proto->name = field.range;
            break;
        case TENSOR_RAW_DATA:
            proto->raw = field.range;
            proto->n_raw++;
            break;
        case TENSOR_FLOAT_DATA:
            status = note_list(r, &field, ut_pb_range_bytes(field.range) / 4, proto);
            break;
        case TENSOR_DOUBLE_DATA:
            status = note_list(r, &field, ut_pb_range_bytes(field.range) / 8, proto);
            break;
        case TENSOR_INT32_DATA:
        case TENSOR_INT64_DATA:
        case TENSOR_UINT64_DATA:
            status = note_list(r, &field, ut_pb_count_varints(r->data, field.range), proto);
            break;
        case TENSOR_EXTERNAL_DATA:
            proto->n_external++;
            break;
        case TENSOR_DATA_LOCATION:
            proto->location = field.value;
            break;
        }
    }
    return status ? status : message.status;
}

/* ---- Data in lists -------------------------------------------------------------------------- */

/* One field of the list, appended at dst[*used .. limit) bytes. */
static utter_status convert_chunk(struct ut_onnx_reader *r, struct ut_pb_range chunk,
                                  const struct onnx_type *type, char *dst, size_t *used,
                                  size_t limit) {
    size_t size = ut_dtype_size(type->type);
    for (size_t pos = chunk.begin; pos < chunk.end;) {
        uint64_t value = 0;
        size_t at = pos;
        if (type->list == TENSOR_FLOAT_DATA || type->list == TENSOR_DOUBLE_DATA) {
            memcpy(&value, r->data + pos, size);
            pos += size;
        } else if (!ut_pb_varint(r->data, &pos, chunk.end, &value)) {
            return fail_at(r, at, "invalid number in the data");
        } else if ((int64_t)value < type->min || (int64_t)value > type->max) {
            return fail_at(r, at, "a value outside the range of its type");
        }
        if (size > limit - *used) {
            return fail_at(r, at, "the data changed while it was read,");
        }
        memcpy(dst + *used, &value, size); /* little-endian: the low bytes */
        *used += size;
    }
    return UTTER_OK;
}

/* The file may have changed since it was measured, so the copy is bounded by what was allocated and
 * must fill it. */
static utter_status convert_list(struct ut_onnx_reader *r, struct ut_pb_range range,
                                 const struct onnx_type *type, struct ut_tensor *out) {
    char *data = ut_blocks_alloc(&r->weights->blocks, out->n_bytes, 1, r->err);
    if (!data) {
        return r->weights->blocks.status;
    }
    struct ut_pb_message message = ut_pb_open(r->data, range, &tensor_schema, r->err);
    struct ut_pb_field field;
    utter_status status = UTTER_OK;
    size_t used = 0;
    while (!status && ut_pb_next(&message, &field)) {
        if (field.number == type->list) {
            status = convert_chunk(r, field.range, type, data, &used, out->n_bytes);
        }
    }
    if (!status && !message.status && used != out->n_bytes) {
        return fail_at(r, range.begin, "the data changed while it was read,");
    }
    out->data = data;
    return status ? status : message.status;
}

/* A fixed-width list in one field is an array already, and used in place. */
static utter_status read_list(struct ut_onnx_reader *r, struct ut_pb_range range,
                              const struct tensor_proto *proto, const struct onnx_type *type,
                              struct ut_tensor *out) {
    if (proto->list != type->list) {
        return ut_fail(r->err, UTTER_ERROR_FORMAT, "data of type %s in field %u at byte %zu",
                       type->name, proto->list, proto->chunk.begin);
    }
    if (proto->n_list != ut_tensor_n_elements(out)) {
        return ut_fail(r->err, UTTER_ERROR_FORMAT,
                       "%zu elements of data at byte %zu, the shape has %llu", proto->n_list,
                       proto->chunk.begin, (unsigned long long)ut_tensor_n_elements(out));
    }
    bool is_fixed = type->list == TENSOR_FLOAT_DATA || type->list == TENSOR_DOUBLE_DATA;
    if (is_fixed && proto->n_chunks == 1) {
        out->data = r->data + proto->chunk.begin;
        return UTTER_OK;
    }
    return convert_list(r, range, type, out);
}

/* ---- External data -------------------------------------------------------------------------- */

/* Its entries are strings, as the format has them: offset and length in decimal. */
struct external_data {
    const char *location;
    uint64_t offset, length;
    bool has_offset, has_length, has_checksum;
};

/* Digits only: no sign, no space, nothing beyond 63 bits. */
static bool parse_size(const char *text, uint64_t *out) {
    uint64_t value = 0;
    for (const char *c = text; *c; c++) {
        if (*c < '0' || *c > '9' || !ut_mul_u64(value, 10, &value) ||
            !ut_add_u64(value, (uint64_t)(*c - '0'), &value)) {
            return false;
        }
    }
    *out = value;
    return *text && value <= INT64_MAX;
}

/* The checksum is optional and of the whole file, which it would make us read: not verified. */
static utter_status apply_entry(struct ut_onnx_reader *r, const char *key, const char *value,
                                struct external_data *external) {
    bool ok;
    if (strcmp(key, "location") == 0) {
        ok = !external->location;
        external->location = value;
    } else if (strcmp(key, "offset") == 0) {
        ok = !external->has_offset && parse_size(value, &external->offset);
        external->has_offset = true;
    } else if (strcmp(key, "length") == 0) {
        ok = !external->has_length && parse_size(value, &external->length);
        external->has_length = true;
    } else if (strcmp(key, "checksum") == 0) {
        ok = !external->has_checksum;
        external->has_checksum = true;
    } else {
        return ut_fail(r->err, UTTER_ERROR_FORMAT, "external data with the unknown key \"%.50s\"",
                       key);
    }
    return ok ? UTTER_OK
              : ut_fail(r->err, UTTER_ERROR_FORMAT,
                        "external data with an impossible or second %s, "
                        "\"%.50s\"",
                        key, value);
}

/* Only keys that are known: an unknown one might change where the data is. */
static utter_status read_entry(struct ut_onnx_reader *r, struct ut_pb_range range,
                               struct external_data *external) {
    struct ut_pb_message message = ut_pb_open(r->data, range, &entry_schema, r->err);
    struct ut_pb_field field;
    const char *texts[ENTRY_VALUE + 1] = {"", "", ""};
    utter_status status = UTTER_OK;
    while (!status && ut_pb_next(&message, &field)) {
        if (field.number != 0) {
            status = ut_onnx_copy_string(r, field.range, &texts[field.number]);
        }
    }
    if (status || message.status) {
        return status ? status : message.status;
    }
    return apply_entry(r, texts[ENTRY_KEY], texts[ENTRY_VALUE], external);
}

/* Without a length the data reaches to the end of the file. It must be exactly as long as the shape
 * says in either case. */
static utter_status read_external(struct ut_onnx_reader *r, struct ut_pb_range range,
                                  struct ut_tensor *out) {
    struct external_data external = {0};
    struct ut_pb_message message = ut_pb_open(r->data, range, &tensor_schema, r->err);
    struct ut_pb_field field;
    utter_status status = UTTER_OK;
    while (!status && ut_pb_next(&message, &field)) {
        if (field.number == TENSOR_EXTERNAL_DATA) {
            status = read_entry(r, field.range, &external);
        }
    }
    if (status || message.status) {
        return status ? status : message.status;
    }
    if (!external.location) {
        return fail_at(r, range.begin, "external data without a location");
    }
    const struct ut_file_map *map;
    status = ut_onnx_open_external(r, external.location, &map);
    if (status) {
        return status;
    }
    uint64_t n_left = external.offset <= map->n ? map->n - external.offset : 0;
    uint64_t length = external.has_length ? external.length : n_left;
    if (external.offset > map->n || length > n_left || length != out->n_bytes) {
        return ut_fail(r->err, UTTER_ERROR_FORMAT,
                       "external file \"%.100s\": %llu bytes at %llu "
                       "do not fit the file (%zu bytes) or the shape (%zu bytes)",
                       external.location, (unsigned long long)length,
                       (unsigned long long)external.offset, map->n, out->n_bytes);
    }
    out->data = map->data + external.offset;
    return UTTER_OK;
}

/* ---- The tensor ----------------------------------------------------------------------------- */

/* A tensor that states its data twice would mean one thing here and another in ONNX Runtime, so
 * exactly one source is required. */
static utter_status read_data(struct ut_onnx_reader *r, struct ut_pb_range range,
                              const struct tensor_proto *proto, const struct onnx_type *type,
                              struct ut_tensor *out) {
    bool is_external = proto->location == LOCATION_EXTERNAL;
    if (proto->location > LOCATION_EXTERNAL || is_external != (proto->n_external > 0)) {
        return fail_at(r, range.begin, "contradictory location of the data");
    }
    size_t n_sources = is_external + proto->n_raw + (proto->list != 0);
    if (n_sources != 1) {
        return ut_fail(r->err, UTTER_ERROR_FORMAT, "data in %zu places instead of one at byte %zu",
                       n_sources, range.begin);
    }
    if (is_external) {
        return read_external(r, range, out);
    }
    if (proto->list != 0) {
        return read_list(r, range, proto, type, out);
    }
    if (ut_pb_range_bytes(proto->raw) != out->n_bytes) {
        return ut_fail(r->err, UTTER_ERROR_FORMAT,
                       "%zu bytes of data at byte %zu, the shape has %zu",
                       ut_pb_range_bytes(proto->raw), proto->raw.begin, out->n_bytes);
    }
    out->data = r->data + proto->raw.begin;
    return UTTER_OK;
}

/* Whether a ut_tensor can hold it; if not, the error says why. */
static utter_status check_kind(struct ut_pb_range range, const struct tensor_proto *proto,
                               utter_error *err) {
    if (proto->data_type >= UT_COUNT(onnx_types)) {
        return ut_fail(err, UTTER_ERROR_UNSUPPORTED, "data type %llu at byte %zu cannot be read",
                       (unsigned long long)proto->data_type, range.begin);
    }
    if (!onnx_types[proto->data_type].readable || proto->has_segment) {
        return ut_fail(err, UTTER_ERROR_UNSUPPORTED, "%s data at byte %zu cannot be read",
                       proto->has_segment ? "segmented" : onnx_types[proto->data_type].name,
                       range.begin);
    }
    if (proto->n_dims > UT_MAX_DIMS) {
        return ut_fail(err, UTTER_ERROR_UNSUPPORTED,
                       "%zu dimensions at byte %zu, at most %d can be read", proto->n_dims,
                       range.begin, UT_MAX_DIMS);
    }
    for (size_t i = 0; i < proto->n_dims; i++) {
        if (proto->dims[i] == 0) {
            return ut_fail(err, UTTER_ERROR_FORMAT, "a dimension of 0 at byte %zu", range.begin);
        }
    }
    return UTTER_OK;
}

/* *out changes only when all of it is right. */
static utter_status fill_tensor(struct ut_onnx_reader *r, struct ut_pb_range range,
                                const struct tensor_proto *proto, struct ut_tensor *out) {
    const struct onnx_type *type = &onnx_types[proto->data_type];
    struct ut_tensor tensor = {.name = out->name};
    if (!ut_tensor_set_shape(&tensor, type->type, proto->dims, (int)proto->n_dims)) {
        return fail_at(r, range.begin, "a shape that no memory could hold");
    }
    utter_status status = read_data(r, range, proto, type, &tensor);
    if (!status) {
        *out = tensor;
    }
    return status;
}

/* For attributes the error of check_kind is dropped (NULL): "not representable" is an answer. */
utter_status ut_onnx_read_tensor(struct ut_onnx_reader *r, struct ut_pb_range range,
                                 bool is_attribute, struct ut_tensor *out, bool *representable) {
    struct tensor_proto proto = {0};
    *representable = false;
    out->name = "";
    utter_status status = walk_tensor(r, range, &proto);
    if (status || (status = ut_onnx_copy_string(r, proto.name, &out->name))) {
        return status;
    }
    if (!is_attribute && *out->name == '\0') {
        return fail_at(r, range.begin, "an initializer without a name");
    }
    status = check_kind(range, &proto, is_attribute ? NULL : r->err);
    if (status && is_attribute) {
        return UTTER_OK;
    }
    if (!status) {
        status = fill_tensor(r, range, &proto, out);
    }
    *representable = !status;
    return status ? ut_fail_context(r->err, status, "tensor \"%.100s\"", out->name) : UTTER_OK;
}
