/* ONNX models (onnx.proto, IR version 3 and later): which nodes there are, which tensors they take,
 * and their integer attributes. Every message is walked twice, first to count, then to fill arrays
 * of that size. Not read: subgraphs, functions, sparse tensors, training information, and
 * floating-point or string attributes. */
#include "weights/onnx.h"

#include <string.h>
#include <unistd.h>

#include "base/utf8.h"
#include "weights/onnx_reader.h"

/* Numbers of fields, from onnx.proto; they never change within the format. */
enum {
    MODEL_IR_VERSION = 1,
    MODEL_PRODUCER_NAME = 2,
    MODEL_PRODUCER_VERSION = 3,
    MODEL_GRAPH = 7,
    MODEL_OPSET_IMPORT = 8,
    MODEL_METADATA = 14
};
enum { OPSET_DOMAIN = 1, OPSET_VERSION = 2 };
enum { ENTRY_KEY = 1, ENTRY_VALUE = 2 };
enum { GRAPH_NODE = 1, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12 };
enum { VALUE_INFO_NAME = 1 };
enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_NAME = 3, NODE_OP_TYPE = 4, NODE_ATTRIBUTE = 5 };
enum {
    ATTRIBUTE_NAME = 1,
    ATTRIBUTE_I = 3,
    ATTRIBUTE_T = 5,
    ATTRIBUTE_INTS = 8,
    ATTRIBUTE_TYPE = 20
};
enum { TYPE_UNDEFINED = 0, TYPE_INT = 2 };

/* The fields that are read, by number and wire type. One that is listed and comes in another type
 * is damage; one that is not listed is skipped, as a newer version of the format may have it. */
#define SCHEMA(label, ...)                                                                         \
    {                                                                                              \
        .name = label, .kinds = (const uint8_t[]){__VA_ARGS__},                                    \
        .n_kinds = sizeof((uint8_t[]){__VA_ARGS__})                                                \
    }

static const struct ut_pb_schema model_schema =
    SCHEMA("ModelProto", [MODEL_IR_VERSION] = UT_PB_VARINT, [MODEL_PRODUCER_NAME] = UT_PB_BYTES,
           [MODEL_PRODUCER_VERSION] = UT_PB_BYTES, [MODEL_GRAPH] = UT_PB_BYTES,
           [MODEL_OPSET_IMPORT] = UT_PB_BYTES, [MODEL_METADATA] = UT_PB_BYTES);
static const struct ut_pb_schema opset_schema =
    SCHEMA("OperatorSetIdProto", [OPSET_DOMAIN] = UT_PB_BYTES, [OPSET_VERSION] = UT_PB_VARINT);
static const struct ut_pb_schema entry_schema =
    SCHEMA("StringStringEntryProto", [ENTRY_KEY] = UT_PB_BYTES, [ENTRY_VALUE] = UT_PB_BYTES);
static const struct ut_pb_schema graph_schema =
    SCHEMA("GraphProto", [GRAPH_NODE] = UT_PB_BYTES, [GRAPH_INITIALIZER] = UT_PB_BYTES,
           [GRAPH_INPUT] = UT_PB_BYTES, [GRAPH_OUTPUT] = UT_PB_BYTES);
static const struct ut_pb_schema value_info_schema =
    SCHEMA("ValueInfoProto", [VALUE_INFO_NAME] = UT_PB_BYTES);
static const struct ut_pb_schema node_schema =
    SCHEMA("NodeProto", [NODE_INPUT] = UT_PB_BYTES, [NODE_OUTPUT] = UT_PB_BYTES,
           [NODE_NAME] = UT_PB_BYTES, [NODE_OP_TYPE] = UT_PB_BYTES, [NODE_ATTRIBUTE] = UT_PB_BYTES);
static const struct ut_pb_schema attribute_schema =
    SCHEMA("AttributeProto", [ATTRIBUTE_NAME] = UT_PB_BYTES, [ATTRIBUTE_I] = UT_PB_VARINT,
           [ATTRIBUTE_T] = UT_PB_BYTES, [ATTRIBUTE_INTS] = UT_PB_REPEATED_VARINT,
           [ATTRIBUTE_TYPE] = UT_PB_VARINT);

/* ---- Helpers -------------------------------------------------------------------------------- */

/* Offsets in messages are those in the file: messages are ranges of it, never copies. */
static utter_status fail_at(struct ut_onnx_reader *r, size_t pos, const char *what) {
    return ut_fail(r->err, UTTER_ERROR_FORMAT, "%s at byte %zu", what, pos);
}

/* `out` points at a pointer of any type; memcpy stores it without breaking the aliasing rules. */
static utter_status alloc(struct ut_onnx_reader *r, size_t count, size_t size, void *out) {
    void *block = ut_blocks_alloc(&r->weights->blocks, count, size, r->err);
    memcpy(out, &block, sizeof block);
    return block ? UTTER_OK : r->weights->blocks.status;
}

utter_status ut_onnx_copy_string(struct ut_onnx_reader *r, struct ut_pb_range range,
                                 const char **out) {
    const char *text = (const char *)r->data + range.begin;
    size_t n = ut_pb_range_bytes(range);
    char *copy = ut_blocks_strndup(&r->weights->blocks, text, n, r->err);
    if (!copy) {
        return r->weights->blocks.status;
    }
    if (strlen(copy) != n || !ut_utf8_valid(copy, n)) {
        return fail_at(r, range.begin, "a string with invalid UTF-8 or a NUL");
    }
    *out = copy;
    return UTTER_OK;
}

/* How often each field stands in the message, by field number below `n_counts`. The first of the
 * two walks: arrays get the size that the message itself shows, so that no claim of a file has to
 * be believed. */
static utter_status count_fields(struct ut_onnx_reader *r, struct ut_pb_range range,
                                 const struct ut_pb_schema *schema, size_t *counts,
                                 size_t n_counts) {
    struct ut_pb_message message = ut_pb_open(r->data, range, schema, r->err);
    struct ut_pb_field field;
    while (ut_pb_next(&message, &field)) {
        if (field.number < n_counts) {
            counts[field.number]++;
        }
    }
    return message.status;
}

/* A mapped file may change between the two walks: the second must not find more than the first. */
static utter_status next_index(struct ut_onnx_reader *r, size_t *n, size_t limit, size_t *index) {
    if (*n >= limit) {
        return ut_fail(r->err, UTTER_ERROR_IO, "the file changed while it was read");
    }
    *index = (*n)++;
    return UTTER_OK;
}

static utter_status add_string(struct ut_onnx_reader *r, struct ut_pb_range range,
                               const char **strings, size_t *n, size_t limit) {
    size_t i = 0;
    utter_status status = next_index(r, n, limit, &i);
    return status ? status : ut_onnx_copy_string(r, range, &strings[i]);
}

/* ---- Nodes ---------------------------------------------------------------------------------- */

/* Packed into one field, or a field for each number: writers do both, and protobuf allows to mix
 * them. */
static utter_status read_ints(struct ut_onnx_reader *r, struct ut_pb_range range, size_t n_ints,
                              struct ut_onnx_attribute *out) {
    int64_t *ints;
    utter_status status = alloc(r, n_ints, sizeof *ints, &ints);
    if (status) {
        return status;
    }
    struct ut_pb_message message = ut_pb_open(r->data, range, &attribute_schema, r->err);
    struct ut_pb_field field;
    size_t n = 0;
    while (ut_pb_next(&message, &field)) {
        for (size_t pos = field.range.begin;
             field.number == ATTRIBUTE_INTS && pos < field.range.end;) {
            size_t i = 0;
            uint64_t value;
            if (!ut_pb_varint(r->data, &pos, field.range.end, &value)) {
                return fail_at(r, field.range.begin, "AttributeProto: invalid number in a list");
            }
            if ((status = next_index(r, &n, n_ints, &i))) {
                return status;
            }
            ints[i] = (int64_t)value;
        }
    }
    out->ints = ints;
    out->n_ints = n;
    return message.status;
}

/* An attribute of type INT as a list of one, so that users read both kinds alike. */
static utter_status read_single_int(struct ut_onnx_reader *r, uint64_t value,
                                    struct ut_onnx_attribute *out) {
    int64_t *one;
    utter_status status = alloc(r, 1, sizeof *one, &one);
    if (!status) {
        *one = (int64_t)value;
        out->ints = one;
        out->n_ints = 1;
    }
    return status;
}

/* A tensor that ut_tensor cannot hold is no error here: graphs have attributes nobody asks for. */
static utter_status read_attribute_tensor(struct ut_onnx_reader *r, struct ut_pb_range range,
                                          struct ut_onnx_attribute *out) {
    struct ut_tensor *tensor;
    bool representable;
    utter_status status = alloc(r, 1, sizeof *tensor, &tensor);
    if (!status) {
        status = ut_onnx_read_tensor(r, range, true, tensor, &representable);
    }
    if (!status && representable) {
        out->tensor = tensor;
    }
    return status;
}

/* Of a scalar that stands several times the last counts, as in protobuf. A second tensor is
 * refused, where protobuf would merge the two messages. */
static utter_status read_attribute(struct ut_onnx_reader *r, struct ut_pb_range range,
                                   struct ut_onnx_attribute *out) {
    struct ut_pb_message message = ut_pb_open(r->data, range, &attribute_schema, r->err);
    struct ut_pb_field field;
    struct ut_pb_range name = {0}, tensor = {0};
    uint64_t type = TYPE_UNDEFINED, integer = 0;
    bool has_integer = false, has_tensor = false;
    size_t n_ints = 0;
    while (ut_pb_next(&message, &field)) {
        switch (field.number) {
        case ATTRIBUTE_NAME:
            name = field.range;
            break;
        case ATTRIBUTE_TYPE:
            type = field.value;
            break;
        case ATTRIBUTE_I:
            integer = field.value;
            has_integer = true;
            break;
        case ATTRIBUTE_INTS:
            n_ints += ut_pb_count_varints(r->data, field.range);
            break;
        case ATTRIBUTE_T:
            if (has_tensor) {
                return fail_at(r, field.pos, "AttributeProto: a second tensor");
            }
            tensor = field.range;
            has_tensor = true;
            break;
        }
    }
    utter_status status =
        message.status ? message.status : ut_onnx_copy_string(r, name, &out->name);
    if (!status && n_ints > 0) {
        status = read_ints(r, range, n_ints, out);
    } else if (!status && (type == TYPE_INT || (type == TYPE_UNDEFINED && has_integer))) {
        status = read_single_int(r, integer, out); /* proto3 writers leave out a 0 */
    }
    if (!status && has_tensor) {
        status = read_attribute_tensor(r, tensor, out);
    }
    return status;
}

/* The second walk over a node: `limits` are the counts of the first, by field number. */
static utter_status fill_node(struct ut_onnx_reader *r, struct ut_pb_range range,
                              const size_t *limits, const char **inputs, const char **outputs,
                              struct ut_onnx_attribute *attributes, struct ut_onnx_node *out) {
    struct ut_pb_message message = ut_pb_open(r->data, range, &node_schema, r->err);
    struct ut_pb_field field;
    utter_status status = UTTER_OK;
    size_t i = 0;
    while (!status && ut_pb_next(&message, &field)) {
        switch (field.number) {
        case NODE_NAME:
            status = ut_onnx_copy_string(r, field.range, &out->name);
            break;
        case NODE_OP_TYPE:
            status = ut_onnx_copy_string(r, field.range, &out->op_type);
            break;
        case NODE_INPUT:
            status = add_string(r, field.range, inputs, &out->n_inputs, limits[NODE_INPUT]);
            break;
        case NODE_OUTPUT:
            status = add_string(r, field.range, outputs, &out->n_outputs, limits[NODE_OUTPUT]);
            break;
        case NODE_ATTRIBUTE:
            status = next_index(r, &out->n_attributes, limits[NODE_ATTRIBUTE], &i);
            if (!status) {
                status = read_attribute(r, field.range, &attributes[i]);
            }
            break;
        }
    }
    return status ? status : message.status;
}

/* Everything of a node is in the table's blocks: nodes live and die with the table. */
static utter_status read_node(struct ut_onnx_reader *r, struct ut_pb_range range,
                              struct ut_onnx_node *out) {
    size_t counts[NODE_ATTRIBUTE + 1] = {0};
    const char **inputs = NULL, **outputs = NULL;
    struct ut_onnx_attribute *attributes = NULL;
    utter_status status = count_fields(r, range, &node_schema, counts, NODE_ATTRIBUTE + 1);
    if (status || (status = alloc(r, counts[NODE_INPUT], sizeof *inputs, &inputs)) ||
        (status = alloc(r, counts[NODE_OUTPUT], sizeof *outputs, &outputs)) ||
        (status = alloc(r, counts[NODE_ATTRIBUTE], sizeof *attributes, &attributes))) {
        return status;
    }
    *out = (struct ut_onnx_node){
        .name = "", .op_type = "", .inputs = inputs, .outputs = outputs, .attributes = attributes};
    status = fill_node(r, range, counts, inputs, outputs, attributes, out);
    if (status) {
        return ut_fail_context(r->err, status, "node \"%.100s\"", out->name);
    }
    return *out->op_type ? UTTER_OK : fail_at(r, range.begin, "a node without an operator");
}

/* Linear: a node has a handful. */
const struct ut_onnx_attribute *ut_onnx_attribute(const struct ut_onnx_node *node,
                                                  const char *name) {
    for (size_t i = 0; i < node->n_attributes; i++) {
        if (strcmp(node->attributes[i].name, name) == 0) {
            return &node->attributes[i];
        }
    }
    return NULL;
}

/* ---- Graph ---------------------------------------------------------------------------------- */

/* Of a ValueInfoProto only the name: shapes come from the weights. */
static utter_status read_value_name(struct ut_onnx_reader *r, struct ut_pb_range range,
                                    const char **out) {
    struct ut_pb_message message = ut_pb_open(r->data, range, &value_info_schema, r->err);
    struct ut_pb_field field;
    struct ut_pb_range name = {0};
    while (ut_pb_next(&message, &field)) {
        if (field.number == VALUE_INFO_NAME) {
            name = field.range;
        }
    }
    return message.status ? message.status : ut_onnx_copy_string(r, name, out);
}

/* The arrays of a graph while they are filled. */
struct graph_arrays {
    struct ut_onnx_node *nodes;
    const char **inputs, **outputs;
    const size_t *limits; /* by field number */
};

/* A field that the schema lists in another type has been refused before; what is not listed is
 * passed over. */
static utter_status read_graph_field(struct ut_onnx_reader *r, const struct ut_pb_field *field,
                                     const struct graph_arrays *arrays,
                                     struct ut_onnx_graph *graph) {
    struct ut_weights *weights = r->weights;
    utter_status status = UTTER_OK;
    bool representable;
    size_t i = 0;
    switch (field->number) {
    case GRAPH_NODE:
        status = next_index(r, &graph->n_nodes, arrays->limits[GRAPH_NODE], &i);
        return status ? status : read_node(r, field->range, &arrays->nodes[i]);
    case GRAPH_INITIALIZER:
        status = next_index(r, &weights->n_tensors, arrays->limits[GRAPH_INITIALIZER], &i);
        return status ? status
                      : ut_onnx_read_tensor(r, field->range, false, &weights->tensors[i],
                                            &representable);
    case GRAPH_INPUT:
        status = next_index(r, &graph->n_inputs, arrays->limits[GRAPH_INPUT], &i);
        return status ? status : read_value_name(r, field->range, &arrays->inputs[i]);
    case GRAPH_OUTPUT:
        status = next_index(r, &graph->n_outputs, arrays->limits[GRAPH_OUTPUT], &i);
        return status ? status : read_value_name(r, field->range, &arrays->outputs[i]);
    }
    return status;
}

/* `counts` by field number, as for nodes. Initializers are the tensors of the table. */
static utter_status read_graph(struct ut_onnx_reader *r, struct ut_pb_range range,
                               struct ut_onnx_graph *graph) {
    size_t counts[GRAPH_OUTPUT + 1] = {0};
    struct graph_arrays arrays = {.limits = counts};
    struct ut_weights *weights = r->weights;
    utter_status status = count_fields(r, range, &graph_schema, counts, GRAPH_OUTPUT + 1);
    if (status || (status = alloc(r, counts[GRAPH_NODE], sizeof *arrays.nodes, &arrays.nodes)) ||
        (status = alloc(r, counts[GRAPH_INPUT], sizeof *arrays.inputs, &arrays.inputs)) ||
        (status = alloc(r, counts[GRAPH_OUTPUT], sizeof *arrays.outputs, &arrays.outputs)) ||
        (status =
             alloc(r, counts[GRAPH_INITIALIZER], sizeof *weights->tensors, &weights->tensors))) {
        return status;
    }
    graph->nodes = arrays.nodes;
    graph->inputs = arrays.inputs;
    graph->outputs = arrays.outputs;
    struct ut_pb_message message = ut_pb_open(r->data, range, &graph_schema, r->err);
    struct ut_pb_field field;
    while (!status && ut_pb_next(&message, &field)) {
        status = read_graph_field(r, &field, &arrays, graph);
    }
    if (status || message.status) {
        return status ? status : message.status;
    }
    status = ut_table_index(weights, r->err);
    /* Up to IR version 3 every initializer is listed as an input, too. */
    size_t n_real = 0;
    for (size_t i = 0; !status && i < graph->n_inputs; i++) {
        if (!ut_weights_find(weights, arrays.inputs[i])) {
            arrays.inputs[n_real++] = arrays.inputs[i];
        }
    }
    graph->n_inputs = n_real;
    return status;
}

/* ---- Model ---------------------------------------------------------------------------------- */

/* Versions of other domains (ai.onnx.ml, com.microsoft) are of no use: no operator is executed. */
static utter_status read_opset(struct ut_onnx_reader *r, struct ut_pb_range range, int64_t *opset) {
    struct ut_pb_message message = ut_pb_open(r->data, range, &opset_schema, r->err);
    struct ut_pb_field field;
    struct ut_pb_range domain = {0};
    uint64_t version = 0;
    while (ut_pb_next(&message, &field)) {
        if (field.number == OPSET_DOMAIN) {
            domain = field.range;
        } else if (field.number == OPSET_VERSION) {
            version = field.value;
        }
    }
    size_t n = ut_pb_range_bytes(domain);
    bool is_default = n == 0 || (n == 7 && memcmp(r->data + domain.begin, "ai.onnx", 7) == 0);
    if (!message.status && is_default) {
        if (version < 1 || version > INT32_MAX) {
            return fail_at(r, range.begin, "OperatorSetIdProto: impossible version");
        }
        *opset = (int64_t)version;
    }
    return message.status;
}

/* A key or value that is missing is "". */
static utter_status read_entry(struct ut_onnx_reader *r, struct ut_pb_range range,
                               struct ut_metadata *out) {
    struct ut_pb_message message = ut_pb_open(r->data, range, &entry_schema, r->err);
    struct ut_pb_field field;
    utter_status status = UTTER_OK;
    *out = (struct ut_metadata){"", ""};
    while (!status && ut_pb_next(&message, &field)) {
        if (field.number == ENTRY_KEY) {
            status = ut_onnx_copy_string(r, field.range, &out->key);
        } else if (field.number == ENTRY_VALUE) {
            status = ut_onnx_copy_string(r, field.range, &out->value);
        }
    }
    return status ? status : message.status;
}

/* `limit` is the sum of all three fields' counts, which share one array. */
static utter_status add_metadata(struct ut_onnx_reader *r, const struct ut_pb_field *field,
                                 size_t limit) {
    struct ut_weights *weights = r->weights;
    size_t i = 0;
    utter_status status = next_index(r, &weights->n_metadata, limit, &i);
    if (status) {
        return status;
    }
    struct ut_metadata *entry = &weights->metadata[i];
    if (field->number == MODEL_METADATA) {
        return read_entry(r, field->range, entry);
    }
    entry->key = field->number == MODEL_PRODUCER_NAME ? "producer_name" : "producer_version";
    return ut_onnx_copy_string(r, field->range, &entry->value);
}

/* Exactly one graph: protobuf would merge several into one, and a concatenation of two models would
 * be read as something that neither was. */
static utter_status read_model(struct ut_onnx_reader *r, struct ut_onnx_graph *graph) {
    struct ut_weights *weights = r->weights;
    size_t counts[MODEL_METADATA + 1] = {0};
    struct ut_pb_range all = {0, weights->n};
    utter_status status = count_fields(r, all, &model_schema, counts, MODEL_METADATA + 1);
    size_t n_metadata =
        counts[MODEL_METADATA] + counts[MODEL_PRODUCER_NAME] + counts[MODEL_PRODUCER_VERSION];
    if (!status && counts[MODEL_GRAPH] != 1) {
        status =
            ut_fail(r->err, UTTER_ERROR_FORMAT, "%zu graphs instead of one", counts[MODEL_GRAPH]);
    }
    if (status || (status = alloc(r, n_metadata, sizeof *weights->metadata, &weights->metadata))) {
        return status;
    }
    struct ut_pb_message message = ut_pb_open(r->data, all, &model_schema, r->err);
    struct ut_pb_field field;
    uint64_t ir_version = 0;
    while (!status && ut_pb_next(&message, &field)) {
        switch (field.number) {
        case MODEL_IR_VERSION:
            if (field.value < 1 || field.value > INT32_MAX) {
                status = fail_at(r, field.pos, "ModelProto: impossible IR version");
            }
            ir_version = field.value;
            break;
        case MODEL_OPSET_IMPORT:
            status = read_opset(r, field.range, &graph->opset);
            break;
        case MODEL_GRAPH:
            status = read_graph(r, field.range, graph);
            break;
        case MODEL_PRODUCER_NAME:
        case MODEL_PRODUCER_VERSION:
        case MODEL_METADATA:
            status = add_metadata(r, &field, n_metadata);
            break;
        }
    }
    if (status || message.status) {
        return status ? status : message.status;
    }
    /* Nothing else tells that a file was cut between two fields of the model. */
    if (graph->opset == 0 && ir_version >= 3) {
        return fail_at(r, weights->n, "no operator set is stated, the file is cut off");
    }
    return UTTER_OK;
}

/* The folder is opened by the first tensor with external data and needed no longer than the
 * parsing. */
utter_status ut_onnx_parse(struct ut_weights *weights, utter_error *err) {
    struct ut_onnx_reader reader = {
        .weights = weights, .data = weights->data, .folder = -1, .err = err};
    ut_blocks_init(&weights->blocks, weights->mem, weights->n, 0);
    utter_status status = alloc(&reader, 1, sizeof *weights->graph, &weights->graph);
    if (!status) {
        status = read_model(&reader, weights->graph);
    }
    if (reader.folder >= 0) {
        close(reader.folder);
    }
    return status;
}
