/* ONNX models: what is read from a whole one, and what a broken one is told. Every broken file is the
 * whole one with one change. */
#include "weights/onnx.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/sweep.h"
#include "support/onnx_writer.h"
#include "weights_check.h"

static struct ut_mem mem;

static int setup(void **state) {
    ut_mem_init(&mem, NULL);
    return 0;
}

static int teardown(void **state) {
    return atomic_load(&mem.bytes[UT_MEM_WEIGHTS]) + atomic_load(&mem.bytes[UT_MEM_OTHER]) != 0;
}

static const float two_floats[] = {0.5f, -2.0f};
static const int64_t dims_2[] = {2};

/* What a test changes in the small model; {0} is whole. */
struct change {
    int64_t ir_version, opset; /* 0: 8 and 15 */
    bool no_ir_version, no_opset, no_graph, two_graphs;
    struct raw_fields model_extra, graph_extra, node_extra, attribute_extra, tensor_extra, opset_extra;
    const char *op_type; /* NULL: "Conv" */
    const char *tensor_name; /* NULL: "w" */
};

static void write_graph(struct byte_buffer *out, const struct change *c) {
    static const int64_t pads[] = {3, -3};
    size_t graph = pb_begin(out, ONNX_MODEL_GRAPH);
    struct onnx_attribute_spec attributes[] = {
        {.name = "pads", .type = ONNX_ATTR_INTS, .ints = pads, .n_ints = 2, .extra = c->attribute_extra},
        {.name = "group", .type = ONNX_ATTR_INT, .i = 1},
    };
    onnx_write_node(out, &(struct onnx_node_spec){
        .name = "/dec/Conv", .op_type = c->op_type ? c->op_type : "Conv", .inputs = NAMES("x", "w", ""),
        .outputs = NAMES("y"), .attributes = attributes, .n_attributes = 2, .extra = c->node_extra});
    struct onnx_tensor_spec value = {.data_type = ONNX_FLOAT, .dims = dims_2, .n_dims = 1,
                                     .float_data = two_floats, .n_float_data = 2};
    onnx_write_constant(out, "/c", "c", &value);
    pb_string(out, ONNX_GRAPH_NAME, "torch_jit");
    onnx_write_tensor(out, ONNX_GRAPH_INITIALIZER, &(struct onnx_tensor_spec){
        .name = c->tensor_name ? c->tensor_name : "w", .data_type = ONNX_FLOAT, .dims = dims_2, .n_dims = 1,
        .raw = two_floats, .n_raw = sizeof two_floats, .extra = c->tensor_extra});
    onnx_write_value_info(out, ONNX_GRAPH_INPUT, "w", ONNX_FLOAT, dims_2, 1);
    onnx_write_value_info(out, ONNX_GRAPH_INPUT, "x", ONNX_FLOAT, (int64_t[]){1, -1}, 2);
    onnx_write_value_info(out, ONNX_GRAPH_OUTPUT, "y", ONNX_FLOAT, dims_2, 1);
    byte_buffer_append(out, c->graph_extra.data, c->graph_extra.n);
    pb_end(out, graph);
}

/* The operator set comes last, so that no shorter file is whole. */
static struct byte_buffer build(const struct change *c) {
    struct byte_buffer out = {0};
    if (!c->no_ir_version) {
        onnx_write_model_header(&out, c->ir_version ? c->ir_version : 8, "pytorch", "1.13.1");
    }
    if (!c->no_graph) {
        write_graph(&out, c);
    }
    if (c->two_graphs) {
        write_graph(&out, c);
    }
    onnx_write_metadata(&out, "sample_rate", "22050");
    onnx_write_opset(&out, "ai.onnx.ml", 3);
    byte_buffer_append(&out, c->model_extra.data, c->model_extra.n);
    if (!c->no_opset) {
        size_t opset = pb_begin(&out, ONNX_MODEL_OPSET_IMPORT);
        pb_int(&out, 2, c->opset ? c->opset : 15);
        byte_buffer_append(&out, c->opset_extra.data, c->opset_extra.n);
        pb_end(&out, opset);
    }
    return out;
}

static void test_whole_model(void **state) {
    struct byte_buffer file = build(&(struct change){0});
    struct parsed p = parse_copy(&mem, file.data, file.n);
    if (p.status) {
        fail_msg("%s", p.err.message);
    }
    assert_int_equal(ut_weights_format(p.weights), UT_FORMAT_ONNX);
    assert_int_equal(ut_weights_file_bytes(p.weights), file.n);
    const struct ut_onnx_graph *graph = ut_weights_onnx(p.weights);
    assert_int_equal(graph->opset, 15);
    assert_int_equal(graph->n_inputs, 1); /* "w" is an initializer */
    assert_string_equal(graph->inputs[0], "x");
    assert_int_equal(graph->n_outputs, 1);
    assert_string_equal(graph->outputs[0], "y");

    assert_int_equal(graph->n_nodes, 2);
    const struct ut_onnx_node *conv = &graph->nodes[0];
    assert_string_equal(conv->name, "/dec/Conv");
    assert_string_equal(conv->op_type, "Conv");
    assert_int_equal(conv->n_inputs, 3);
    assert_string_equal(conv->inputs[1], "w");
    assert_string_equal(conv->inputs[2], "");
    assert_int_equal(conv->n_outputs, 1);
    assert_string_equal(conv->outputs[0], "y");
    const struct ut_onnx_attribute *pads = ut_onnx_attribute(conv, "pads");
    assert_int_equal(pads->n_ints, 2);
    assert_true(pads->ints[0] == 3 && pads->ints[1] == -3);
    assert_null(pads->tensor);
    const struct ut_onnx_attribute *group = ut_onnx_attribute(conv, "group");
    assert_true(group->n_ints == 1 && group->ints[0] == 1);
    assert_null(ut_onnx_attribute(conv, "dilations"));
    const struct ut_tensor *value = ut_onnx_attribute(&graph->nodes[1], "value")->tensor;
    assert_int_equal(value->n_bytes, 8);
    assert_memory_equal(value->data, two_floats, 8);

    const struct ut_tensor *w = ut_weights_find(p.weights, "w");
    assert_ptr_equal(w, ut_weights_at(p.weights, 0));
    assert_int_equal(ut_weights_count(p.weights), 1);
    assert_true(w->type == UT_F32 && w->n_dims == 1 && w->dims[0] == 2 && w->dims[3] == 1);
    assert_memory_equal(w->data, two_floats, 8);
    assert_true((const uint8_t *)w->data > p.copy && (const uint8_t *)w->data < p.copy + file.n);

    static const char *const metadata[][2] = {
        {"producer_name", "pytorch"}, {"producer_version", "1.13.1"}, {"sample_rate", "22050"}};
    assert_int_equal(ut_weights_n_metadata(p.weights), 3);
    for (size_t i = 0; i < 3; i++) {
        const char *key, *text;
        ut_weights_metadata(p.weights, i, &key, &text);
        assert_string_equal(key, metadata[i][0]);
        assert_string_equal(text, metadata[i][1]);
    }
    use_weights(p.weights);
    drop_parsed(&p);
    byte_buffer_free(&file);
}

/* Integer attributes as the various writers put them. */
static void test_integer_attributes(void **state) {
    static const int64_t ints[] = {1, INT64_MIN, INT64_MAX};
    struct onnx_attribute_spec attributes[] = {
        {.name = "packed", .type = ONNX_ATTR_INTS, .ints = ints, .n_ints = 3, .packed_ints = true},
        {.name = "unpacked", .type = ONNX_ATTR_INTS, .ints = ints, .n_ints = 3},
        {.name = "empty", .type = ONNX_ATTR_INTS},
        {.name = "untyped", .extra = {"\x18\x05", 2}},                  /* i = 5, no type */
        {.name = "zero", .extra = {"\xA0\x01\x02", 3}},                 /* type = INT, i left out */
        {.name = "both", .extra = {"\x42\x01\x07\x40\x08", 5}},         /* a packed 7 and a plain 8 */
        {.name = "float", .type = ONNX_ATTR_FLOAT, .f = 1},
        {.name = "text", .type = ONNX_ATTR_STRING, .s = "same"},
    };
    static const size_t n_ints[] = {3, 3, 0, 1, 1, 2, 0, 0};
    struct byte_buffer file = {0};
    onnx_write_model_header(&file, 8, NULL, NULL);
    size_t graph = pb_begin(&file, ONNX_MODEL_GRAPH);
    onnx_write_node(&file, &(struct onnx_node_spec){.op_type = "Op", .attributes = attributes, .n_attributes = 8});
    pb_end(&file, graph);
    onnx_write_opset(&file, "ai.onnx", 17);
    struct parsed p = parse_copy(&mem, file.data, file.n);
    assert_int_equal(p.status, UTTER_OK);
    assert_int_equal(ut_weights_onnx(p.weights)->opset, 17);
    const struct ut_onnx_node *node = &ut_weights_onnx(p.weights)->nodes[0];
    assert_string_equal(node->name, "");
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(ut_onnx_attribute(node, attributes[i].name)->n_ints, n_ints[i]);
    }
    assert_memory_equal(ut_onnx_attribute(node, "packed")->ints, ints, sizeof ints);
    assert_memory_equal(ut_onnx_attribute(node, "unpacked")->ints, ints, sizeof ints);
    assert_int_equal(ut_onnx_attribute(node, "untyped")->ints[0], 5);
    assert_int_equal(ut_onnx_attribute(node, "zero")->ints[0], 0);
    assert_int_equal(ut_onnx_attribute(node, "both")->ints[0], 7);
    assert_int_equal(ut_onnx_attribute(node, "both")->ints[1], 8);
    drop_parsed(&p);
    byte_buffer_free(&file);
}

static void test_broken_models(void **state) {
#define RAW(bytes) {bytes, sizeof bytes - 1}
    static const struct {
        struct change change;
        const char *message;
    } cases[] = {
        {{.no_graph = true}, "0 graphs instead of one"},
        {{.two_graphs = true}, "2 graphs instead of one"},
        {{.no_opset = true}, "no operator set is stated"},
        {{.ir_version = -1}, "impossible IR version at byte 0"},
        {{.ir_version = INT64_MAX}, "impossible IR version at byte 0"},
        {{.ir_version = INT64_MAX / 2 + 1}, "impossible IR version"},
        {{.opset = -1}, "impossible version"},
        {{.opset = INT64_MAX}, "impossible version"},
        {{.opset_extra = RAW("\x10\x00")}, "impossible version"}, /* 0 comes last and counts */
        {{.op_type = ""}, "a node without an operator"},
        {{.op_type = "a\xFFz"}, "invalid UTF-8 or a NUL"},
        {{.tensor_name = ""}, "an initializer without a name"},
        {{.tensor_name = "\xED\xA0\x80"}, "invalid UTF-8 or a NUL"},
        {{.tensor_extra = RAW("\x42\x03" "a\0b")}, "invalid UTF-8 or a NUL"},
        {{.node_extra = RAW("\x0A\x02" "a\0")}, "invalid UTF-8 or a NUL"},
        /* Each known field with another wire type. */
        {{.model_extra = RAW("\x0A\x00")}, "ModelProto: a field has the wrong type"},
        {{.model_extra = RAW("\x38\x00")}, "ModelProto: a field has the wrong type"},
        {{.model_extra = RAW("\x40\x00")}, "ModelProto: a field has the wrong type"},
        {{.model_extra = RAW("\x70\x00")}, "ModelProto: a field has the wrong type"},
        {{.opset_extra = RAW("\x12\x00")}, "OperatorSetIdProto: a field has the wrong type"},
        {{.graph_extra = RAW("\x08\x00")}, "GraphProto: a field has the wrong type"},
        {{.graph_extra = RAW("\x28\x00")}, "GraphProto: a field has the wrong type"},
        {{.graph_extra = RAW("\x5D" "abcd")}, "GraphProto: a field has the wrong type"},
        {{.graph_extra = RAW("\x5A\x02\x08\x00")}, "ValueInfoProto: a field has the wrong type"},
        {{.node_extra = RAW("\x08\x00")}, "NodeProto: a field has the wrong type"},
        {{.node_extra = RAW("\x20\x00")}, "NodeProto: a field has the wrong type"},
        {{.node_extra = RAW("\x28\x00")}, "NodeProto: a field has the wrong type"},
        {{.attribute_extra = RAW("\x1A\x00")}, "AttributeProto: a field has the wrong type"},
        {{.attribute_extra = RAW("\x45" "abcd")}, "AttributeProto: a field has the wrong type"},
        {{.attribute_extra = RAW("\x42\x01\x80")}, "AttributeProto: invalid number in a list"},
        {{.attribute_extra = RAW("\x2A\x00\x2A\x00")}, "AttributeProto: a second tensor"},
        {{.tensor_extra = RAW("\x12\x00")}, "TensorProto: a field has the wrong type"},
        /* Wire format. */
        {{.model_extra = RAW("\x00\x00")}, "ModelProto: invalid field tag"},
        {{.graph_extra = RAW("\x0B\x0C")}, "GraphProto: unknown wire type"},
        {{.graph_extra = RAW("\x0A\x7F")}, "longer than what is left"},
        {{.node_extra = RAW("\x2A\x80\x80\x80\x80\x08")}, "longer than what is left"}, /* 2 GiB */
        {{.node_extra = RAW("\x2A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01")}, "longer than what is left"},
        {{.model_extra = RAW("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01")}, "invalid number"},
        /* Names. */
        {{.graph_extra = RAW("\x2A\x09\x08\x01\x10\x03\x42\x01w\x4A\x00")}, "0 bytes of data"},
        {{.graph_extra = RAW("\x2A\x0A\x08\x01\x10\x03\x42\x01w\x4A\x01\x05")}, "tensor \"w\" stands twice"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct byte_buffer file = build(&cases[i].change);
        if (try_parse(&mem, &file, cases[i].message) != UTTER_ERROR_FORMAT) {
            fail_msg("case %zu (%s)", i, cases[i].message);
        }
        byte_buffer_free(&file);
    }
    struct byte_buffer whole = build(&(struct change){0});
    assert_int_equal(try_parse(&mem, &whole, NULL), UTTER_OK);
    byte_buffer_free(&whole);
}

/* IR version 1 and 2 need no operator set; unknown fields of any kind are skipped. */
static void test_tolerated(void **state) {
    static const struct change changes[] = {
        {.ir_version = 1, .no_opset = true},
        {.no_ir_version = true, .no_opset = true},
        {.model_extra = RAW("\xCA\x01\x03" "abc")}, /* functions */
        {.graph_extra = RAW("\x7A\x02\xFF\xFF")},   /* sparse initializers */
        {.node_extra = RAW("\x32\x02hi\x3A\x00")},
        {.tensor_extra = RAW("\x62\x02hi")},
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct byte_buffer file = build(&changes[i]);
        assert_int_equal(try_parse(&mem, &file, NULL), UTTER_OK);
        byte_buffer_free(&file);
    }
}

static void test_truncation(void **state) {
    struct byte_buffer file = build(&(struct change){0});
    assert_in_range(file.n, 100, 20000);
    for (size_t n = 0; n < file.n; n++) {
        struct byte_buffer cut = {.data = file.data, .n = n};
        if (try_parse(&mem, &cut, NULL) == UTTER_OK) {
            fail_msg("%zu of %zu bytes were accepted", n, file.n);
        }
    }
    assert_int_equal(try_parse(&mem, &file, NULL), UTTER_OK);
    byte_buffer_free(&file);
}

/* Every integer of the file is at some byte: a number there is replaced by each of the values that
 * break size computations. Whatever is still accepted must keep the promises of weights.h. */
static void test_replaced_integers(void **state) {
    static const int64_t values[] = {0, 1, -1, INT64_MAX, INT64_MAX / 2 + 1, INT32_MAX, (int64_t)INT32_MAX / 2 + 1,
                                     UINT32_MAX, 127, 255};
    struct byte_buffer file = build(&(struct change){0});
    size_t n_rejected = 0;
    for (size_t at = 0; at < file.n; at++) {
        for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
            struct byte_buffer changed = {0};
            byte_buffer_append(&changed, file.data, at);
            pb_varint(&changed, (uint64_t)values[v]);
            byte_buffer_append(&changed, file.data + at + 1, file.n - at - 1);
            n_rejected += try_parse(&mem, &changed, NULL) != UTTER_OK;
            byte_buffer_free(&changed);
        }
    }
    assert_true(n_rejected > file.n); /* most lengths are wrong */
    byte_buffer_free(&file);
}

/* A subgraph in an attribute of a subgraph and so on, 10,000 deep: skipped, not followed. */
static void test_deep_nesting(void **state) {
    enum { DEPTH = 10000 };
    static const uint32_t path[] = {6, ONNX_NODE_ATTRIBUTE, ONNX_GRAPH_NODE}; /* from the inside out */
    struct byte_buffer inside = {0};
    for (int i = 0; i < 3 * DEPTH; i++) {
        struct byte_buffer head = {0};
        pb_tag(&head, path[i % 3], PB_BYTES);
        pb_varint(&head, inside.n);
        memcpy(byte_buffer_insert(&inside, 0, head.n), head.data, head.n);
        byte_buffer_free(&head);
    }
    struct byte_buffer attribute = {0};
    pb_bytes(&attribute, 6, inside.data, inside.n);
    struct byte_buffer file = build(&(struct change){.attribute_extra = {attribute.data, attribute.n}});
    assert_int_equal(try_parse(&mem, &file, NULL), UTTER_OK);
    byte_buffer_free(&file);
    byte_buffer_free(&attribute);
    byte_buffer_free(&inside);
}

/* Node and initializer counts that no honest file of that size has: refused within the limit. */
static void test_memory_limit(void **state) {
    for (int field = ONNX_GRAPH_NODE; field <= ONNX_GRAPH_OUTPUT; field++) {
        struct byte_buffer empty = {0};
        for (int i = 0; i < 1 << 20; i++) {
            pb_bytes(&empty, (uint32_t)field, "", 0);
        }
        struct byte_buffer file = build(&(struct change){.graph_extra = {empty.data, empty.n}});
        atomic_store(&mem.peak_bytes, 0);
        utter_status status = try_parse(&mem, &file, NULL);
        bool allocates = field == ONNX_GRAPH_NODE || field == ONNX_GRAPH_INITIALIZER;
        assert_true(!allocates || status == UTTER_ERROR_FORMAT);
        assert_true(atomic_load(&mem.peak_bytes) <= 4 * file.n + (16 << 20) + 65536);
        byte_buffer_free(&file);
        byte_buffer_free(&empty);
    }
}

static void test_many_tensors(void **state) {
    enum { N = 100000 };
    struct byte_buffer file = {0};
    onnx_write_model_header(&file, 8, NULL, NULL);
    size_t graph = pb_begin(&file, ONNX_MODEL_GRAPH);
    for (uint32_t i = 0; i < N; i++) {
        char name[32];
        snprintf(name, sizeof name, "layer.%u.weight", (i * 7919u) % N);
        onnx_write_tensor(&file, ONNX_GRAPH_INITIALIZER, &(struct onnx_tensor_spec){
            .name = name, .data_type = ONNX_FLOAT, .dims = (int64_t[]){1}, .n_dims = 1, .raw = two_floats,
            .n_raw = 4});
        onnx_write_value_info(&file, ONNX_GRAPH_INPUT, name, ONNX_FLOAT, NULL, 0);
    }
    pb_end(&file, graph);
    onnx_write_opset(&file, NULL, 15);
    atomic_store(&mem.peak_bytes, 0);
    struct parsed p = parse_copy(&mem, file.data, file.n);
    assert_int_equal(p.status, UTTER_OK);
    assert_int_equal(ut_weights_count(p.weights), N);
    assert_int_equal(ut_weights_onnx(p.weights)->n_inputs, 0);
    assert_non_null(ut_weights_find(p.weights, "layer.99999.weight"));
    assert_true(atomic_load(&mem.peak_bytes) <= 4 * file.n + (16 << 20));
    drop_parsed(&p);
    byte_buffer_free(&file);
}

static void test_failing_allocations(void **state) {
    struct byte_buffer file = build(&(struct change){0});
    struct sweep sweep;
    for (int persistent = 0; persistent < 2; persistent++) {
        for (sweep_start(&sweep, &mem, persistent); sweep_next(&sweep);) {
            struct parsed p = parse_copy(&mem, file.data, file.n);
            utter_status status = p.status;
            drop_parsed(&p);
            sweep_check(&sweep, status);
        }
        assert_in_range(sweep.n_injected, 2, 100);
    }
    byte_buffer_free(&file);
}

/* A mapped file may change at any moment. Here it does when the table asks for memory, which is between
 * the walks that count and those that fill: a byte of the file becomes another one. */
struct unsteady {
    uint8_t *file;
    size_t n;
    uint32_t random;
};

static void *changing_alloc(void *user, size_t n_bytes) {
    struct unsteady *change = user;
    change->random = change->random * 1664525u + 1013904223u;
    change->file[change->random % change->n] = (uint8_t)(change->random >> 24);
    return aligned_alloc(64, (n_bytes + 63) & ~(size_t)63);
}

static void changing_free(void *user, void *block, size_t n_bytes) {
    free(block);
}

static void test_changing_file(void **state) {
    enum { N_TENSORS = 3000, N_ROUNDS = 500 };
    static const int64_t dims[] = {40};
    int64_t values[40] = {0};
    struct byte_buffer file = {0};
    onnx_write_model_header(&file, 8, "pytorch", NULL);
    size_t graph = pb_begin(&file, ONNX_MODEL_GRAPH);
    for (int i = 0; i < N_TENSORS; i++) { /* each converted into its own 320 bytes: many blocks */
        char name[16];
        snprintf(name, sizeof name, "w%d", i);
        onnx_write_tensor(&file, ONNX_GRAPH_INITIALIZER, &(struct onnx_tensor_spec){
            .name = name, .data_type = ONNX_INT64, .dims = dims, .n_dims = 1, .int64_data = values,
            .n_int64_data = 40});
    }
    pb_end(&file, graph);
    onnx_write_opset(&file, NULL, 15);
    uint8_t *copy = test_alloc(file.n);
    size_t n_refused = 0;
    for (uint32_t round = 0; round < N_ROUNDS; round++) {
        struct unsteady change = {copy, file.n, round};
        utter_allocator allocator = {changing_alloc, changing_free, &change};
        struct ut_weights *weights;
        memcpy(copy, file.data, file.n);
        ut_mem_init(&mem, &allocator);
        n_refused += ut_weights_parse(&mem, copy, file.n, &weights, NULL) != UTTER_OK;
        if (weights) {
            use_weights(weights);
        }
        ut_weights_close(weights);
        assert_int_equal(atomic_load(&mem.bytes[UT_MEM_WEIGHTS]), 0);
    }
    assert_in_range(n_refused, 1, N_ROUNDS);
    free(copy);
    byte_buffer_free(&file);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_whole_model, setup, teardown),
        cmocka_unit_test_setup_teardown(test_integer_attributes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_broken_models, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tolerated, setup, teardown),
        cmocka_unit_test_setup_teardown(test_truncation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_replaced_integers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deep_nesting, setup, teardown),
        cmocka_unit_test_setup_teardown(test_memory_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_tensors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failing_allocations, setup, teardown),
        cmocka_unit_test_setup_teardown(test_changing_file, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
