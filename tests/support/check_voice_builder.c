/* The voice builder against recorded facts: names, shapes and parameter counts of every published
 * quality (shapes_by_quality.json), and the graph of a full export (manifest_medium.json). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "support/onnx_writer.h"
#include "support/voice_builder.h"

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

static void check_shape(const struct ut_json *doc, ut_json_ref shape, const struct voice_tensor *tensor) {
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

/* Every weight of the manifest is in the file under its name ("onnx::" numbers differ by export), and
 * so is the name of every node that uses it. */
static void names_of_a_full_export(void **state) {
    struct ut_json *doc = read_json("manifest_medium.json");
    struct voice_spec spec = voice_spec_quality("medium");
    struct voice voice;
    struct byte_buffer file = {0};
    voice_build(&voice, &spec, 1);
    for (size_t i = 0; i < voice.n_tensors; i++) {
        voice.tensors[i].n = voice.tensors[i].n > 2 ? 2 : voice.tensors[i].n; /* names matter here */
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
    assert_int_equal(voice_to_half(65520.0f), 0x7c00);       /* rounds up to infinity */
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
        cmocka_unit_test(tensors_do_not_depend_on_the_others),
        cmocka_unit_test(half_precision),
        cmocka_unit_test(reshaping_keeps_what_fits),
    };
    ut_mem_init(&mem, NULL);
    int n_failed = cmocka_run_group_tests(tests, NULL, NULL);
    byte_buffer_free(&text);
    return n_failed;
}
