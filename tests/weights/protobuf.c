/* Wire format: numbers, lengths, tags and types, each broken one beside the whole one. */
#include "weights/protobuf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/onnx_writer.h"

static void test_varints(void **state) {
    static const struct {
        uint8_t bytes[12];
        size_t n;
        bool ok;
        uint64_t value;
        size_t length;
    } cases[] = {
        {{0x00}, 1, true, 0, 1},
        {{0x7F}, 1, true, 127, 1},
        {{0x80, 0x01}, 2, true, 128, 2},
        {{0x80, 0x00}, 2, true, 0, 2}, /* overlong, as some writers reserve room for lengths */
        {{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01}, 10, true, UINT64_MAX, 10},
        {{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02}, 10, false, 0, 0},
        {{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00}, 11, false, 0, 0},
        {{0x80}, 1, false, 0, 0},
        {{0x00}, 0, false, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t *copy = test_alloc(cases[i].n);
        memcpy(copy, cases[i].bytes, cases[i].n);
        size_t pos = 0;
        uint64_t value;
        assert_int_equal(ut_pb_varint(copy, &pos, cases[i].n, &value), cases[i].ok);
        if (cases[i].ok) {
            assert_true(value == cases[i].value);
            assert_int_equal(pos, cases[i].length);
        }
        free(copy);
    }
}

static void test_count_varints(void **state) {
    struct byte_buffer out = {0};
    pb_varint(&out, 0);
    pb_varint(&out, 300);
    pb_varint(&out, UINT64_MAX);
    assert_int_equal(ut_pb_count_varints(out.data, (struct ut_pb_range){0, out.n}), 3);
    assert_int_equal(ut_pb_count_varints(out.data, (struct ut_pb_range){1, out.n - 1}), 1);
    byte_buffer_free(&out);
}

static const uint8_t kinds[] = {
    [1] = UT_PB_VARINT, [2] = UT_PB_BYTES, [3] = UT_PB_REPEATED_VARINT, [4] = UT_PB_REPEATED_32,
    [5] = UT_PB_REPEATED_64,
};
static const struct ut_pb_schema schema = {"TestProto", kinds, sizeof kinds};

/* Walks over a heap copy; the number of known fields, or -1 with the message. */
static int walk(const struct byte_buffer *file, utter_error *err) {
    uint8_t *copy = test_alloc(file->n);
    memcpy(copy, file->data, file->n);
    struct ut_pb_message message = ut_pb_open(copy, (struct ut_pb_range){0, file->n}, &schema, err);
    struct ut_pb_field field;
    int n = 0;
    while (ut_pb_next(&message, &field)) {
        assert_true(field.range.begin <= field.range.end && field.range.end <= file->n);
        n += field.number != 0;
    }
    free(copy);
    return message.status ? -1 : n;
}

static void test_fields(void **state) {
    struct byte_buffer out = {0};
    pb_int(&out, 1, -7);
    pb_string(&out, 2, "text");
    pb_int(&out, 3, 5);
    pb_bytes(&out, 3, "\x01\x02", 2);
    pb_float(&out, 4, 1.5f);
    pb_bytes(&out, 5, "12345678", 8);
    pb_string(&out, 6, "unknown");
    pb_int(&out, 536870911, 1); /* the largest field number */
    struct ut_pb_message message = ut_pb_open(out.data, (struct ut_pb_range){0, out.n}, &schema, NULL);
    struct ut_pb_field field;
    assert_true(ut_pb_next(&message, &field));
    assert_true(field.number == 1 && (int64_t)field.value == -7);
    assert_true(ut_pb_next(&message, &field));
    assert_int_equal(field.number, 2);
    assert_memory_equal(out.data + field.range.begin, "text", 4);
    assert_int_equal(ut_pb_range_bytes(field.range), 4);
    assert_true(ut_pb_next(&message, &field));
    assert_true(field.number == 3 && ut_pb_range_bytes(field.range) == 1);
    assert_true(ut_pb_next(&message, &field));
    assert_true(field.number == 3 && ut_pb_range_bytes(field.range) == 2);
    assert_true(ut_pb_next(&message, &field));
    assert_true(field.number == 4 && ut_pb_range_bytes(field.range) == 4);
    assert_true(ut_pb_next(&message, &field));
    assert_true(field.number == 5 && ut_pb_range_bytes(field.range) == 8);
    assert_true(ut_pb_next(&message, &field));
    assert_int_equal(field.number, 0);
    assert_true(ut_pb_next(&message, &field));
    assert_int_equal(field.number, 0);
    assert_false(ut_pb_next(&message, &field));
    assert_int_equal(message.status, UTTER_OK);
    byte_buffer_free(&out);
}

/* A whole field, then the broken one: the message names schema and offset. */
static void test_broken_fields(void **state) {
    static const struct {
        uint8_t bytes[16];
        size_t n;
        const char *message;
    } cases[] = {
        {{0x80}, 1, "TestProto: invalid field tag at byte 2"},
        {{0x00, 0x00}, 2, "TestProto: invalid field tag at byte 2"}, /* field number 0 */
        {{0x80, 0x80, 0x80, 0x80, 0x10, 0x00}, 6, "TestProto: invalid field tag at byte 2"}, /* 2^32 */
        {{0x08}, 1, "TestProto: invalid number at byte 3"},
        {{0x08, 0x80}, 2, "TestProto: invalid number at byte 3"},
        {{0x12}, 1, "TestProto: invalid length at byte 3"},
        {{0x12, 0x01}, 2, "longer than what is left of the message at byte 3"},
        {{0x12, 0x80, 0x80, 0x80, 0x80, 0x08, 'x'}, 7, "longer than what is left"},      /* 2 GiB */
        {{0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01}, 11, "longer than what is left"},
        {{0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F}, 11, "invalid length"},
        {{0x25, 1, 2, 3}, 4, "longer than what is left"},
        {{0x29, 1, 2, 3, 4, 5, 6, 7}, 8, "longer than what is left"},
        {{0x0A, 0x00}, 2, "TestProto: a field has the wrong type at byte 2"},       /* varint as bytes */
        {{0x0D, 0, 0, 0, 0}, 5, "TestProto: a field has the wrong type at byte 2"}, /* varint as 32 bit */
        {{0x10, 0x00}, 2, "TestProto: a field has the wrong type at byte 2"},       /* bytes as varint */
        {{0x20, 0x00}, 2, "TestProto: a field has the wrong type at byte 2"},       /* floats as varint */
        {{0x22, 0x03, 1, 2, 3}, 5, "TestProto: a field has the wrong type at byte 2"}, /* 3/4 of a float */
        {{0x2A, 0x04, 1, 2, 3, 4}, 6, "TestProto: a field has the wrong type at byte 2"},
        {{0x0B, 0x0C}, 2, "TestProto: unknown wire type at byte 2"}, /* a group */
        {{0x33, 0x34}, 2, "TestProto: unknown wire type at byte 2"}, /* in a field nobody knows */
        {{0x0E, 0x00}, 2, "TestProto: unknown wire type at byte 2"},
        {{0x0F, 0x00}, 2, "TestProto: unknown wire type at byte 2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct byte_buffer out = {0};
        utter_error err = {0};
        pb_int(&out, 1, 1);
        assert_int_equal(walk(&out, &err), 1);
        byte_buffer_append(&out, cases[i].bytes, cases[i].n);
        if (walk(&out, &err) != -1 || !strstr(err.message, cases[i].message)) {
            fail_msg("case %zu: \"%s\" instead of \"%s\"", i, err.message, cases[i].message);
        }
        byte_buffer_free(&out);
    }
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_varints),
        cmocka_unit_test(test_count_varints),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_broken_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
