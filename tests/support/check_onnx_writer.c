/* The ONNX writer against bytes worked out by hand from the protobuf encoding document. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "support/onnx_writer.h"

#define EXPECT(buffer, ...)                                                                        \
    do {                                                                                           \
        static const uint8_t expected[] = {__VA_ARGS__};                                           \
        assert_int_equal((buffer).n, sizeof expected);                                             \
        assert_memory_equal((buffer).data, expected, sizeof expected);                             \
        byte_buffer_free(&(buffer));                                                               \
    } while (0)

static void numbers(void **state) {
    struct byte_buffer out = {0};
    pb_varint(&out, 127);
    pb_varint(&out, 128);
    pb_varint(&out, 300);
    EXPECT(out, 0x7f, 0x80, 0x01, 0xac, 0x02);
    pb_int(&out, 1, -1);
    EXPECT(out, 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01);
    pb_float(&out, 2, 1.0f);
    EXPECT(out, 0x15, 0x00, 0x00, 0x80, 0x3f);
    pb_int(&out, 20, 7); /* field numbers from 16 on take a two-byte tag */
    EXPECT(out, 0xa0, 0x01, 0x07);
}

static void nested_lengths_grow(void **state) {
    struct byte_buffer out = {0};
    static const uint8_t zeros[200];
    size_t outer = pb_begin(&out, 1), inner = pb_begin(&out, 2);
    byte_buffer_append(&out, zeros, sizeof zeros);
    pb_end(&out, inner);
    pb_end(&out, outer);
    assert_int_equal(out.n, 206);
    static const uint8_t head[] = {0x0a, 0xcb, 0x01, 0x12, 0xc8, 0x01, 0x00};
    assert_memory_equal(out.data, head, sizeof head);
    byte_buffer_free(&out);
}

static void tensor(void **state) {
    struct byte_buffer out = {0};
    static const int64_t dims[] = {1, 2};
    static const uint8_t raw[] = {9, 8, 7, 6};
    struct onnx_tensor_spec spec = {
        .name = "w", .data_type = ONNX_FLOAT16, .dims = dims, .n_dims = 2, .raw = raw, .n_raw = 4};
    onnx_write_tensor(&out, ONNX_GRAPH_INITIALIZER, &spec);
    EXPECT(out, 0x2a, 15, 0x08, 1, 0x08, 2, 0x10, 10, 0x42, 1, 'w', 0x4a, 4, 9, 8, 7, 6);
    spec.packed_dims = true;
    spec.extra = (struct raw_fields){"\x10\x01", 2};
    onnx_write_tensor(&out, ONNX_GRAPH_INITIALIZER, &spec);
    EXPECT(out, 0x2a, 17, 0x0a, 2, 1, 2, 0x10, 10, 0x42, 1, 'w', 0x4a, 4, 9, 8, 7, 6, 0x10, 1);
}

static void external_tensor(void **state) {
    struct byte_buffer out = {0};
    static const struct onnx_external_entry at[] = {{"location", "a"}};
    onnx_write_tensor(&out, ONNX_ATTRIBUTE_T,
                      &(struct onnx_tensor_spec){.external = at, .n_external = 1});
    EXPECT(out, 0x2a, 17, 0x6a, 13, 0x0a, 8, 'l', 'o', 'c', 'a', 't', 'i', 'o', 'n', 0x12, 1, 'a',
           0x70, 1);
}

static void node(void **state) {
    struct byte_buffer out = {0};
    static const int64_t pads[] = {1};
    struct onnx_attribute_spec attribute = {
        .name = "p", .type = ONNX_ATTR_INTS, .ints = pads, .n_ints = 1};
    onnx_write_node(&out, &(struct onnx_node_spec){.name = "n",
                                                   .op_type = "Op",
                                                   .inputs = NAMES("x", ""),
                                                   .outputs = NAMES("y"),
                                                   .attributes = &attribute,
                                                   .n_attributes = 1});
    EXPECT(out, 0x0a, 25, 0x0a, 1, 'x', 0x0a, 0, 0x12, 1, 'y', 0x1a, 1, 'n', 0x22, 2, 'O', 'p',
           0x2a, 8, 0x0a, 1, 'p', 0x40, 1, 0xa0, 0x01, 7);
}

static void model_level_fields(void **state) {
    struct byte_buffer out = {0};
    onnx_write_model_header(&out, 8, "pt", NULL);
    onnx_write_opset(&out, "", 15);
    onnx_write_metadata(&out, "k", "v");
    EXPECT(out, 0x08, 8, 0x12, 2, 'p', 't', 0x42, 2, 0x10, 15, 0x72, 6, 0x0a, 1, 'k', 0x12, 1, 'v');
    static const int64_t dims[] = {-1, 3};
    onnx_write_value_info(&out, ONNX_GRAPH_INPUT, "i", ONNX_INT64, dims, 2);
    EXPECT(out, 0x5a, 20, 0x0a, 1, 'i', 0x12, 15, 0x0a, 13, 0x08, 7, 0x12, 9, 0x0a, 3, 0x12, 1, 'n',
           0x0a, 2, 0x08, 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers), cmocka_unit_test(nested_lengths_grow),
        cmocka_unit_test(tensor),  cmocka_unit_test(external_tensor),
        cmocka_unit_test(node),    cmocka_unit_test(model_level_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
