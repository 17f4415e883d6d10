/* See onnx_writer.h. Sources: the protobuf encoding document and onnx.proto3 of the ONNX project.
 */
#include "support/onnx_writer.h"

#include <string.h>

void pb_varint(struct byte_buffer *out, uint64_t value) {
    while (value >= 0x80) {
        byte_buffer_append_u8(out, (uint8_t)(value | 0x80));
        value >>= 7;
    }
    byte_buffer_append_u8(out, (uint8_t)value);
}

void pb_tag(struct byte_buffer *out, uint32_t field, enum pb_wire_type type) {
    pb_varint(out, ((uint64_t)field << 3) | (uint64_t)type);
}

void pb_int(struct byte_buffer *out, uint32_t field, int64_t value) {
    pb_tag(out, field, PB_VARINT);
    pb_varint(out, (uint64_t)value);
}

void pb_float(struct byte_buffer *out, uint32_t field, float value) {
    pb_tag(out, field, PB_FIXED32);
    byte_buffer_append(out, &value, sizeof value);
}

void pb_bytes(struct byte_buffer *out, uint32_t field, const void *data, size_t n) {
    pb_tag(out, field, PB_BYTES);
    pb_varint(out, n);
    byte_buffer_append(out, data, n);
}

void pb_string(struct byte_buffer *out, uint32_t field, const char *text) {
    pb_bytes(out, field, text, strlen(text));
}

size_t pb_begin(struct byte_buffer *out, uint32_t field) {
    pb_tag(out, field, PB_BYTES);
    return out->n;
}

void pb_end(struct byte_buffer *out, size_t begin) {
    struct byte_buffer length = {0};
    pb_varint(&length, out->n - begin);
    memcpy(byte_buffer_insert(out, begin, length.n), length.data, length.n);
    byte_buffer_free(&length);
}

static void write_optional_string(struct byte_buffer *out, uint32_t field, const char *text) {
    if (text) {
        pb_string(out, field, text);
    }
}

static void write_extra(struct byte_buffer *out, struct raw_fields extra) {
    byte_buffer_append(out, extra.data, extra.n);
}

static void write_ints(struct byte_buffer *out, uint32_t field, const int64_t *values, size_t n,
                       bool packed) {
    size_t begin = packed ? pb_begin(out, field) : 0;
    for (size_t i = 0; i < n; i++) {
        if (packed) {
            pb_varint(out, (uint64_t)values[i]);
        } else {
            pb_int(out, field, values[i]);
        }
    }
    if (packed) {
        pb_end(out, begin);
    }
}

void onnx_write_model_header(struct byte_buffer *out, int64_t ir_version, const char *producer,
                             const char *producer_version) {
    pb_int(out, ONNX_MODEL_IR_VERSION, ir_version);
    write_optional_string(out, ONNX_MODEL_PRODUCER_NAME, producer);
    write_optional_string(out, ONNX_MODEL_PRODUCER_VERSION, producer_version);
}

void onnx_write_opset(struct byte_buffer *out, const char *domain, int64_t version) {
    size_t begin = pb_begin(out, ONNX_MODEL_OPSET_IMPORT);
    if (domain && *domain) {
        pb_string(out, 1, domain);
    }
    pb_int(out, 2, version);
    pb_end(out, begin);
}

static void write_entry(struct byte_buffer *out, uint32_t field, const char *key,
                        const char *value) {
    size_t begin = pb_begin(out, field);
    write_optional_string(out, 1, key);
    write_optional_string(out, 2, value);
    pb_end(out, begin);
}

void onnx_write_metadata(struct byte_buffer *out, const char *key, const char *value) {
    write_entry(out, ONNX_MODEL_METADATA_PROPS, key, value);
}

static void write_tensor_data(struct byte_buffer *out, const struct onnx_tensor_spec *spec) {
    if (spec->n_float_data > 0) {
        pb_bytes(out, ONNX_TENSOR_FLOAT_DATA, spec->float_data, spec->n_float_data * sizeof(float));
    }
    if (spec->n_int64_data > 0) {
        write_ints(out, ONNX_TENSOR_INT64_DATA, spec->int64_data, spec->n_int64_data, true);
    }
    if (spec->n_int32_data > 0) {
        size_t begin = pb_begin(out, ONNX_TENSOR_INT32_DATA);
        for (size_t i = 0; i < spec->n_int32_data; i++) {
            pb_varint(out, (uint64_t)(int64_t)spec->int32_data[i]);
        }
        pb_end(out, begin);
    }
    if (spec->raw || spec->n_raw > 0) {
        pb_bytes(out, ONNX_TENSOR_RAW_DATA, spec->raw, spec->n_raw);
    }
    for (size_t i = 0; i < spec->n_external; i++) {
        write_entry(out, ONNX_TENSOR_EXTERNAL_DATA, spec->external[i].key, spec->external[i].value);
    }
    if (spec->n_external > 0) {
        pb_int(out, ONNX_TENSOR_DATA_LOCATION, 1);
    }
}

void onnx_write_tensor(struct byte_buffer *out, uint32_t field,
                       const struct onnx_tensor_spec *spec) {
    size_t begin = pb_begin(out, field);
    if (spec->n_dims > 0) {
        write_ints(out, ONNX_TENSOR_DIMS, spec->dims, spec->n_dims, spec->packed_dims);
    }
    if (spec->data_type != 0) {
        pb_int(out, ONNX_TENSOR_DATA_TYPE, spec->data_type);
    }
    write_optional_string(out, ONNX_TENSOR_NAME, spec->name);
    write_tensor_data(out, spec);
    write_extra(out, spec->extra);
    pb_end(out, begin);
}

static void write_attribute_value(struct byte_buffer *out, const struct onnx_attribute_spec *spec) {
    switch (spec->type) {
    case ONNX_ATTR_NONE:
        return;
    case ONNX_ATTR_FLOAT:
        pb_float(out, ONNX_ATTRIBUTE_F, spec->f);
        break;
    case ONNX_ATTR_INT:
        pb_int(out, ONNX_ATTRIBUTE_I, spec->i);
        break;
    case ONNX_ATTR_STRING:
        pb_string(out, ONNX_ATTRIBUTE_S, spec->s);
        break;
    case ONNX_ATTR_TENSOR:
        onnx_write_tensor(out, ONNX_ATTRIBUTE_T, spec->tensor);
        break;
    case ONNX_ATTR_FLOATS:
        for (size_t i = 0; i < spec->n_floats; i++) {
            pb_float(out, ONNX_ATTRIBUTE_FLOATS, spec->floats[i]);
        }
        break;
    case ONNX_ATTR_INTS:
        write_ints(out, ONNX_ATTRIBUTE_INTS, spec->ints, spec->n_ints, spec->packed_ints);
        break;
    }
    pb_int(out, ONNX_ATTRIBUTE_TYPE, (int64_t)spec->type);
}

void onnx_write_attribute(struct byte_buffer *out, const struct onnx_attribute_spec *spec) {
    size_t begin = pb_begin(out, ONNX_NODE_ATTRIBUTE);
    write_optional_string(out, ONNX_ATTRIBUTE_NAME, spec->name);
    write_attribute_value(out, spec);
    write_extra(out, spec->extra);
    pb_end(out, begin);
}

void onnx_write_node(struct byte_buffer *out, const struct onnx_node_spec *spec) {
    size_t begin = pb_begin(out, ONNX_GRAPH_NODE);
    for (size_t i = 0; spec->inputs && spec->inputs[i]; i++) {
        pb_string(out, ONNX_NODE_INPUT, spec->inputs[i]);
    }
    for (size_t i = 0; spec->outputs && spec->outputs[i]; i++) {
        pb_string(out, ONNX_NODE_OUTPUT, spec->outputs[i]);
    }
    write_optional_string(out, ONNX_NODE_NAME, spec->name);
    write_optional_string(out, ONNX_NODE_OP_TYPE, spec->op_type);
    for (size_t i = 0; i < spec->n_attributes; i++) {
        onnx_write_attribute(out, &spec->attributes[i]);
    }
    write_extra(out, spec->extra);
    pb_end(out, begin);
}

void onnx_write_constant(struct byte_buffer *out, const char *name, const char *output,
                         const struct onnx_tensor_spec *value) {
    struct onnx_attribute_spec attribute = {
        .name = "value", .type = ONNX_ATTR_TENSOR, .tensor = value};
    onnx_write_node(out, &(struct onnx_node_spec){.name = name,
                                                  .op_type = "Constant",
                                                  .outputs = NAMES(output),
                                                  .attributes = &attribute,
                                                  .n_attributes = 1});
}

void onnx_write_value_info(struct byte_buffer *out, uint32_t field, const char *name,
                           int64_t elem_type, const int64_t *dims, size_t n_dims) {
    size_t info = pb_begin(out, field);
    pb_string(out, 1, name);
    size_t type = pb_begin(out, 2), tensor = pb_begin(out, 1);
    pb_int(out, 1, elem_type);
    size_t shape = pb_begin(out, 2);
    for (size_t i = 0; i < n_dims; i++) {
        size_t dim = pb_begin(out, 1);
        if (dims[i] < 0) {
            pb_string(out, 2, "n");
        } else {
            pb_int(out, 1, dims[i]);
        }
        pb_end(out, dim);
    }
    pb_end(out, shape);
    pb_end(out, tensor);
    pb_end(out, type);
    pb_end(out, info);
}
