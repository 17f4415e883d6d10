/* Writes ONNX files (protobuf wire format, onnx.proto IR version 8) for tests, message by message:
 *
 *     struct byte_buffer file = {0};
 *     onnx_write_model_header(&file, 8, "pytorch", "1.13.1");
 *     size_t graph = pb_begin(&file, ONNX_MODEL_GRAPH);
 *     onnx_write_node(&file, &(struct onnx_node_spec){.op_type = "Exp", .inputs = NAMES("x"), ...});
 *     onnx_write_tensor(&file, ONNX_GRAPH_INITIALIZER, &(struct onnx_tensor_spec){...});
 *     pb_end(&file, graph);
 *     onnx_write_opset(&file, "", 15);
 *
 * A zeroed field of a spec is not written. Nothing is checked, so that broken files can be written:
 * any value goes, `extra` bytes are appended to a message as they are, and between two calls the pb_
 * functions put any other field into the message that is open. */
#ifndef UT_TESTS_ONNX_WRITER_H
#define UT_TESTS_ONNX_WRITER_H

#include <stdbool.h>

#include "support/byte_buffer.h"

/* ---- Wire format -------------------------------------------------------------------------- */

enum pb_wire_type { PB_VARINT = 0, PB_FIXED64 = 1, PB_BYTES = 2, PB_GROUP = 3, PB_END_GROUP = 4, PB_FIXED32 = 5 };

void pb_varint(struct byte_buffer *out, uint64_t value);
void pb_tag(struct byte_buffer *out, uint32_t field, enum pb_wire_type type);
/* A whole field: tag and value. Negative numbers take ten bytes, as protobuf does. */
void pb_int(struct byte_buffer *out, uint32_t field, int64_t value);
void pb_float(struct byte_buffer *out, uint32_t field, float value);
void pb_bytes(struct byte_buffer *out, uint32_t field, const void *data, size_t n);
void pb_string(struct byte_buffer *out, uint32_t field, const char *text);
/* Opens a message field; pb_end, with what pb_begin returned, puts its length in front. */
size_t pb_begin(struct byte_buffer *out, uint32_t field);
void pb_end(struct byte_buffer *out, size_t begin);

/* ---- Field numbers and codes of onnx.proto ------------------------------------------------ */

enum {
    ONNX_MODEL_IR_VERSION = 1, ONNX_MODEL_PRODUCER_NAME = 2, ONNX_MODEL_PRODUCER_VERSION = 3,
    ONNX_MODEL_GRAPH = 7, ONNX_MODEL_OPSET_IMPORT = 8, ONNX_MODEL_METADATA_PROPS = 14,
    ONNX_GRAPH_NODE = 1, ONNX_GRAPH_NAME = 2, ONNX_GRAPH_INITIALIZER = 5, ONNX_GRAPH_INPUT = 11,
    ONNX_GRAPH_OUTPUT = 12,
    ONNX_NODE_INPUT = 1, ONNX_NODE_OUTPUT = 2, ONNX_NODE_NAME = 3, ONNX_NODE_OP_TYPE = 4,
    ONNX_NODE_ATTRIBUTE = 5,
    ONNX_ATTRIBUTE_NAME = 1, ONNX_ATTRIBUTE_F = 2, ONNX_ATTRIBUTE_I = 3, ONNX_ATTRIBUTE_S = 4,
    ONNX_ATTRIBUTE_T = 5, ONNX_ATTRIBUTE_FLOATS = 7, ONNX_ATTRIBUTE_INTS = 8, ONNX_ATTRIBUTE_TYPE = 20,
    ONNX_TENSOR_DIMS = 1, ONNX_TENSOR_DATA_TYPE = 2, ONNX_TENSOR_FLOAT_DATA = 4,
    ONNX_TENSOR_INT32_DATA = 5, ONNX_TENSOR_INT64_DATA = 7, ONNX_TENSOR_NAME = 8,
    ONNX_TENSOR_RAW_DATA = 9, ONNX_TENSOR_DOUBLE_DATA = 10, ONNX_TENSOR_EXTERNAL_DATA = 13,
    ONNX_TENSOR_DATA_LOCATION = 14
};

enum { /* TensorProto.DataType */
    ONNX_FLOAT = 1, ONNX_UINT8 = 2, ONNX_INT8 = 3, ONNX_UINT16 = 4, ONNX_INT16 = 5, ONNX_INT32 = 6,
    ONNX_INT64 = 7, ONNX_STRING = 8, ONNX_BOOL = 9, ONNX_FLOAT16 = 10, ONNX_DOUBLE = 11,
    ONNX_UINT32 = 12, ONNX_UINT64 = 13, ONNX_BFLOAT16 = 16
};

enum onnx_attribute_type {
    ONNX_ATTR_NONE = 0, ONNX_ATTR_FLOAT = 1, ONNX_ATTR_INT = 2, ONNX_ATTR_STRING = 3,
    ONNX_ATTR_TENSOR = 4, ONNX_ATTR_FLOATS = 6, ONNX_ATTR_INTS = 7
};

/* ---- Messages ----------------------------------------------------------------------------- */

struct raw_fields { /* finished fields, appended to a message as they are */
    const void *data;
    size_t n;
};

struct onnx_external_entry {
    const char *key, *value; /* "location", "offset", "length", "checksum" */
};

struct onnx_tensor_spec {
    const char *name;
    int64_t data_type;
    const int64_t *dims;
    size_t n_dims;
    bool packed_dims;         /* as proto3 writers do; proto2 writes them one by one */
    const void *raw;          /* raw_data; NULL: not written, unless n_raw is set */
    size_t n_raw;             /* bytes */
    const float *float_data;  /* packed */
    size_t n_float_data;
    const int64_t *int64_data; /* packed */
    size_t n_int64_data;
    const int32_t *int32_data; /* packed; carries f16, i8 and bool too */
    size_t n_int32_data;
    const struct onnx_external_entry *external; /* also writes data_location = EXTERNAL */
    size_t n_external;
    struct raw_fields extra;
};

struct onnx_attribute_spec {
    const char *name;
    enum onnx_attribute_type type; /* decides which of the values is written */
    int64_t i;
    float f;
    const char *s;
    const int64_t *ints;
    size_t n_ints;
    bool packed_ints;
    const float *floats;
    size_t n_floats;
    const struct onnx_tensor_spec *tensor;
    struct raw_fields extra;
};

struct onnx_node_spec {
    const char *name, *op_type;
    const char *const *inputs; /* ended by NULL; "" is an omitted optional input */
    const char *const *outputs;
    const struct onnx_attribute_spec *attributes;
    size_t n_attributes;
    struct raw_fields extra;
};

#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})

/* IR version and producer; open the graph next. */
void onnx_write_model_header(struct byte_buffer *out, int64_t ir_version, const char *producer,
                             const char *producer_version);
void onnx_write_opset(struct byte_buffer *out, const char *domain, int64_t version);
void onnx_write_metadata(struct byte_buffer *out, const char *key, const char *value);

void onnx_write_tensor(struct byte_buffer *out, uint32_t field, const struct onnx_tensor_spec *spec);
void onnx_write_attribute(struct byte_buffer *out, const struct onnx_attribute_spec *spec);
void onnx_write_node(struct byte_buffer *out, const struct onnx_node_spec *spec);
/* Node "Constant" with one output and the tensor as its value. */
void onnx_write_constant(struct byte_buffer *out, const char *name, const char *output,
                         const struct onnx_tensor_spec *value);

/* A graph input or output; a negative dimension is written as the symbol "n". */
void onnx_write_value_info(struct byte_buffer *out, uint32_t field, const char *name,
                           int64_t elem_type, const int64_t *dims, size_t n_dims);

#endif
