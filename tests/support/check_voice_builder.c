/* The voice builder against recorded facts: names, shapes and parameter counts of every published
 * quality (shapes_by_quality.json), and the graph of a full export (manifest_medium.json). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"
#include "base/json.h"
#include "support/onnx_writer.h"
#include "support/voice_builder.h"
#include "weights/onnx.h"

static struct ut_mem mem;
static struct byte_buffer text;

static struct ut_json *read_json(const char *name) {
    char path[1024];
    snprintf(path, sizeof path, "%s/piper/%s", getenv("UT_TEST_DATA"), name);
    utter_error err;
    struct ut_json *doc = NULL;
    byte_buffer_free(&text);
    byte_buffer_read_file(&text, path);
    if (ut_json_parse(&mem, (const char *)text.data, text.n, &doc, &err) != UTTER_OK) {
        fail_msg("%s: %s", path, err.message);
    }
    return doc;
}

static void check_shape(const struct ut_json *doc, ut_json_ref shape,
                        const struct voice_tensor *tensor) {
    assert_int_equal(ut_json_count(doc, shape), tensor->n_dims);
    ut_json_ref dim = ut_json_first(doc, shape);
    for (int i = 0; i < tensor->n_dims; i++, dim = ut_json_next(doc, dim)) {
        int64_t expected = -1;
        assert_true(ut_json_int64(doc, dim, &expected));
        if (expected != tensor->dims[i]) {
            fail_msg("%s: dimension %d is %d, expected %d", tensor->name, i, (int)tensor->dims[i],
                     (int)expected);
        }
    }
}

static void shapes_of_every_quality(void **state) {
    struct ut_json *doc = read_json("shapes_by_quality.json");
    int n_qualities = 0;
    for (ut_json_ref q = ut_json_first(doc, 0); q >= 0; q = ut_json_next(doc, q), n_qualities++) {
        struct voice_spec spec = voice_spec_quality(ut_json_key(doc, q));
        struct voice voice;
        voice_build(&voice, &spec, 1);
        ut_json_ref shape = ut_json_first(doc, ut_json_member(doc, q, "shapes"));
        for (size_t i = 0; i < voice.n_tensors; i++, shape = ut_json_next(doc, shape)) {
            assert_true(shape >= 0);
            assert_string_equal(voice.tensors[i].name, ut_json_key(doc, shape));
            check_shape(doc, shape, &voice.tensors[i]);
        }
        assert_int_equal(shape, -1);
        int64_t n_parameters = 0;
        assert_true(ut_json_int64(doc, ut_json_member(doc, q, "params"), &n_parameters));
        assert_int_equal(voice_n_parameters(&voice), n_parameters);
        voice_free(&voice);
    }
    assert_int_equal(n_qualities, 5);
    ut_json_free(doc);
}

static bool holds(const struct byte_buffer *buffer, const char *bytes, size_t n) {
    return memmem(buffer->data, buffer->n, bytes, n) != NULL;
}

/* Every weight of the manifest is in the file under its name ("onnx::" numbers differ by export),
 * and so is the name of every node that uses it. */
static void names_of_a_full_export(void **state) {
    struct ut_json *doc = read_json("manifest_medium.json");
    struct voice_spec spec = voice_spec_quality("medium");
    struct voice voice;
    struct byte_buffer file = {0};
    voice_build(&voice, &spec, 1);
    for (size_t i = 0; i < voice.n_tensors; i++) {
        voice.tensors[i].n =
            voice.tensors[i].n > 2 ? 2 : voice.tensors[i].n; /* names matter here */
    }
    voice_write_onnx(&voice, NULL, &file);
    ut_json_ref entry = ut_json_first(doc, ut_json_member(doc, 0, "tensors"));
    int n_entries = 0;
    for (; entry >= 0; entry = ut_json_next(doc, entry), n_entries++) {
        const char *name = ut_json_string(doc, ut_json_member(doc, entry, "name"), NULL);
        struct byte_buffer field = {0};
        pb_string(&field, ONNX_TENSOR_NAME, name);
        if (strncmp(name, "onnx::", 6) != 0 && !holds(&file, (char *)field.data, field.n)) {
            fail_msg("no initializer %s", name);
        }
        ut_json_ref use = ut_json_first(doc, ut_json_member(doc, entry, "used_by"));
        const char *node = strchr(ut_json_string(doc, use, NULL), ':') + 1;
        field.n = 0;
        pb_bytes(&field, ONNX_NODE_NAME, node, (size_t)(strchr(node, '#') - node));
        if (!holds(&file, (char *)field.data, field.n)) {
            fail_msg("no node %s", node);
        }
        byte_buffer_free(&field);
    }
    assert_int_equal(n_entries, 350);
    byte_buffer_free(&file);
    voice_free(&voice);
    ut_json_free(doc);
}

/* ---- Against real exports ----------------------------------------------------------------- */

/* The sizes of tests/data/piper/tiny.onnx and tiny_multi.onnx. */
static struct voice_spec fixture_spec(bool multi) {
    struct voice_spec spec = voice_spec_quality(multi ? "high" : "medium");
    spec.n_hidden = spec.n_inter = multi ? 16 : 24;
    spec.n_filter = multi ? 40 : 48;
    spec.n_layers = 2;
    spec.n_decoder = 32;
    spec.n_speakers = multi ? 3 : 1;
    spec.n_gin = multi ? 12 : 0;
    return spec;
}

static struct ut_weights *parse(const struct byte_buffer *file) {
    struct ut_weights *weights = NULL;
    utter_error err;
    if (ut_weights_parse(&mem, file->data, file->n, &weights, &err) != UTTER_OK) {
        fail_msg("%s", err.message);
    }
    return weights;
}

static const struct ut_onnx_node *find_node(const struct ut_onnx_graph *graph, const char *name) {
    for (size_t i = 0; i < graph->n_nodes; i++) {
        if (strcmp(graph->nodes[i].name, name) == 0) {
            return &graph->nodes[i];
        }
    }
    fail_msg("no node %s", name);
    return NULL;
}

/* Numbers of anonymous initializers differ between exports. */
static bool same_name(const char *a, const char *b) {
    bool anonymous = strncmp(a, "onnx::", 6) == 0;
    return strncmp(a, b, anonymous ? (size_t)(strchr(a, '_') - a) : strlen(a) + 1) == 0;
}

static void check_attribute(const struct ut_onnx_node *ours, const struct ut_onnx_attribute *real) {
    const struct ut_onnx_attribute *attribute = ut_onnx_attribute(ours, real->name);
    if (!attribute || attribute->n_ints != real->n_ints ||
        (real->n_ints &&
         memcmp(attribute->ints, real->ints, real->n_ints * sizeof *real->ints) != 0)) {
        fail_msg("%s: attribute %s differs", ours->name, real->name);
    }
}

/* Every node of the real export that reads a weight is in ours: type, weight inputs, attributes. */
static int check_nodes(const struct ut_weights *real, const struct ut_weights *ours) {
    const struct ut_onnx_graph *graph = ut_weights_onnx(real), *our_graph = ut_weights_onnx(ours);
    int n_checked = 0;
    for (size_t i = 0; i < graph->n_nodes; i++) {
        const struct ut_onnx_node *node = &graph->nodes[i], *our_node = NULL;
        for (size_t k = 0; k < node->n_inputs; k++) {
            if (!ut_weights_find(real, node->inputs[k])) {
                continue;
            }
            our_node = our_node ? our_node : find_node(our_graph, node->name);
            assert_true(k < our_node->n_inputs && same_name(node->inputs[k], our_node->inputs[k]));
            assert_non_null(ut_weights_find(ours, our_node->inputs[k]));
            n_checked++;
        }
        for (size_t a = 0; our_node && a < node->n_attributes; a++) {
            check_attribute(our_node, &node->attributes[a]);
        }
        assert_true(!our_node || strcmp(node->op_type, our_node->op_type) == 0);
    }
    return n_checked;
}

static void check_initializers(const struct ut_weights *real, const struct ut_weights *ours) {
    assert_int_equal(ut_weights_count(real), ut_weights_count(ours));
    for (size_t i = 0; i < ut_weights_count(real); i++) {
        const struct ut_tensor *a = ut_weights_at(real, i), *b = ut_weights_at(ours, i);
        assert_true(same_name(a->name, b->name));
        assert_int_equal(a->type, b->type);
        assert_int_equal(a->n_dims, b->n_dims);
        assert_memory_equal(a->dims, b->dims, sizeof a->dims);
    }
}

static void graphs_of_real_exports(void **state) {
    static const char *const files[] = {"tiny.onnx", "tiny_multi.onnx"};
    for (int multi = 0; multi < 2; multi++) {
        char path[1024];
        struct voice_spec spec = fixture_spec(multi);
        struct voice voice;
        struct byte_buffer file = {0}, our_file = {0};
        snprintf(path, sizeof path, "%s/piper/%s", getenv("UT_TEST_DATA"), files[multi]);
        byte_buffer_read_file(&file, path);
        voice_build(&voice, &spec, 1);
        voice_write_onnx(&voice, NULL, &our_file);
        struct ut_weights *real = parse(&file), *ours = parse(&our_file);
        const struct ut_onnx_graph *graph = ut_weights_onnx(real),
                                   *our_graph = ut_weights_onnx(ours);
        check_initializers(real, ours);
        assert_true(check_nodes(real, ours) >= (int)ut_weights_count(real));
        assert_int_equal(graph->n_inputs, our_graph->n_inputs);
        for (size_t i = 0; i < graph->n_inputs; i++) {
            assert_string_equal(graph->inputs[i], our_graph->inputs[i]);
        }
        assert_int_equal(graph->opset, our_graph->opset);
        ut_weights_close(real);
        ut_weights_close(ours);
        byte_buffer_free(&file);
        byte_buffer_free(&our_file);
        voice_free(&voice);
    }
}

/* What was written is what is read, in each form. */
static void values_survive(void **state) {
    static const struct voice_export exports[] = {
        {.half = false}, {.float_data = true}, {.half = true}};
    struct voice_spec spec = voice_spec_tiny();
    struct voice voice;
    voice_build(&voice, &spec, 1);
    const struct voice_tensor *expected = voice_find(&voice, "dec.conv_pre.weight");
    for (size_t i = 0; i < 2 * UT_COUNT(exports); i++) {
        struct byte_buffer file = {0};
        bool half = exports[i / 2].half;
        if (i % 2 == 0) {
            voice_write_onnx(&voice, &exports[i / 2], &file);
        } else {
            voice_write_safetensors(&voice, half, &file);
        }
        struct ut_weights *weights = parse(&file);
        const struct ut_tensor *tensor = ut_weights_find(weights, expected->name);
        assert_non_null(tensor);
        assert_int_equal(ut_tensor_n_elements(tensor), expected->n);
        float values[4 * 4 * 7];
        assert_int_equal(expected->n, UT_COUNT(values));
        assert_true(ut_tensor_to_f32(tensor, values));
        for (size_t e = 0; e < expected->n; e++) {
            float tolerance = half ? 0x1p-11f * fabsf(expected->data[e]) + 0x1p-25f : 0.0f;
            assert_true(fabsf(values[e] - expected->data[e]) <= tolerance);
        }
        ut_weights_close(weights);
        byte_buffer_free(&file);
    }
    voice_free(&voice);
}

static void tensors_do_not_depend_on_the_others(void **state) {
    struct voice_spec one = voice_spec_tiny(), many = voice_spec_tiny_multi();
    struct voice a, b, c;
    voice_build(&a, &one, 7);
    voice_build(&b, &many, 7);
    voice_build(&c, &one, 8);
    const char *name = "flow.flows.6.enc.in_layers.0.weight";
    const struct voice_tensor *x = voice_find(&a, name), *y = voice_find(&b, name);
    assert_int_equal(x->n, y->n);
    assert_memory_equal(x->data, y->data, x->n * sizeof *x->data);
    assert_memory_not_equal(x->data, voice_find(&c, name)->data, x->n * sizeof *x->data);
    voice_free(&a);
    voice_free(&b);
    voice_free(&c);
}

static void half_precision(void **state) {
    assert_int_equal(voice_to_half(1.0f), 0x3c00);
    assert_int_equal(voice_to_half(-2.0f), 0xc000);
    assert_int_equal(voice_to_half(65504.0f), 0x7bff);
    assert_int_equal(voice_to_half(65520.0f), 0x7c00);        /* rounds up to infinity */
    assert_int_equal(voice_to_half(1.0f + 0x1p-11f), 0x3c00); /* a tie goes to even */
    assert_int_equal(voice_to_half(1.0f + 0x3p-11f), 0x3c02);
    assert_int_equal(voice_to_half(0x1p-24f), 0x0001);
    assert_int_equal(voice_to_half(0x1p-25f), 0x0000);
    assert_int_equal(voice_to_half(0x3p-25f), 0x0002);
    assert_int_equal(voice_to_half(-0.0f), 0x8000);
    assert_int_equal(voice_to_half(__builtin_nanf("")) & 0x7e00, 0x7e00);
}

static void reshaping_keeps_what_fits(void **state) {
    struct voice_spec spec = voice_spec_tiny();
    struct voice voice;
    voice_build(&voice, &spec, 1);
    struct voice_tensor *bias = voice_find(&voice, "dec.conv_pre.bias");
    float first = bias->data[0];
    voice_reshape(bias, 2, (const int64_t[]){2, 3});
    assert_int_equal(bias->n, 6);
    assert_true(bias->data[0] == first && bias->data[5] == 0.0f);
    voice_reshape(bias, 1, (const int64_t[]){1});
    assert_int_equal(bias->n, 1);
    assert_true(bias->data[0] == first);
    voice_free(&voice);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_of_every_quality),
        cmocka_unit_test(names_of_a_full_export),
        cmocka_unit_test(graphs_of_real_exports),
        cmocka_unit_test(values_survive),
        cmocka_unit_test(tensors_do_not_depend_on_the_others),
        cmocka_unit_test(half_precision),
        cmocka_unit_test(reshaping_keeps_what_fits),
    };
    ut_mem_init(&mem, NULL);
    int n_failed = cmocka_run_group_tests(tests, NULL, NULL);
    byte_buffer_free(&text);
    return n_failed;
}
