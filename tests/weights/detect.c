/* Formats told by the first bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/byte_buffer.h"
#include "weights/weights.h"

static void test_detect(void **state) {
    static const struct {
        const char *bytes;
        size_t n;
        enum ut_format format;
    } cases[] = {
        {"", 0, UT_FORMAT_UNKNOWN},
        {"\x08", 1, UT_FORMAT_UNKNOWN},
        {"\x08\x08\x12\x07pytorch", 11, UT_FORMAT_ONNX},
        {"\x08\x03", 2, UT_FORMAT_ONNX},
        {"\x3A\x02\x12\x00", 4, UT_FORMAT_ONNX},
        {"\x02\0\0\0\0\0\0\0{}", 10, UT_FORMAT_SAFETENSORS},
        {"\x08\x2C\0\0\0\0\0\0{\"__metadata__\"", 23, UT_FORMAT_SAFETENSORS}, /* a length that begins like ONNX */
        {"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF{\"a\"", 12, UT_FORMAT_SAFETENSORS}, /* to be told what is wrong */
        {"\x02\0\0\0\0\0\0\0{x", 10, UT_FORMAT_UNKNOWN},
        {"\x02\0\0\0\0\0\0\0", 8, UT_FORMAT_UNKNOWN},
        {"GGUF\3\0\0\0", 8, UT_FORMAT_GGUF},
        {"GGU", 3, UT_FORMAT_UNKNOWN},
        {"PK\3\4\0\0", 6, UT_FORMAT_TORCH_ZIP},
        {"PK\5\6", 4, UT_FORMAT_UNKNOWN},
        {"\x80\x02\x8A\x0A\x6C\xFC\x9C\x46\xF9\x20\x6A\xA8\x50\x19.", 15, UT_FORMAT_TORCH_OLD},
        {"\x80\x02\x8A\x0A\x6C\xFC\x9C\x46\xF9\x20\x6A\xA8\x50\x19", 14, UT_FORMAT_UNKNOWN},
        {"\x80\x02\x8A\x0A\x6C\xFC\x9C\x46\xF9\x20\x6A\xA8\x50\x1A.", 15, UT_FORMAT_UNKNOWN},
        {"{\"audio\": {}}", 13, UT_FORMAT_UNKNOWN},
        {"RIFF\0\0\0\0WAVE", 12, UT_FORMAT_UNKNOWN},
        {"<!DOCTYPE html>", 15, UT_FORMAT_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *copy = test_alloc(cases[i].n);
        memcpy(copy, cases[i].bytes, cases[i].n);
        if (ut_format_detect(copy, cases[i].n) != cases[i].format) {
            fail_msg("case %zu: %s", i, ut_format_label(ut_format_detect(copy, cases[i].n)));
        }
        free(copy);
    }
}

static void test_labels(void **state) {
    assert_string_equal(ut_format_label(UT_FORMAT_ONNX), "onnx");
    assert_string_equal(ut_format_label(UT_FORMAT_SAFETENSORS), "safetensors");
    assert_string_equal(ut_format_label(UT_FORMAT_GGUF), "gguf");
    assert_string_equal(ut_format_label(UT_FORMAT_TORCH_ZIP), "torch");
    assert_string_equal(ut_format_label(UT_FORMAT_UNKNOWN), "unknown");
}

int main(void) {
    static const struct CMUnitTest tests[] = {cmocka_unit_test(test_detect), cmocka_unit_test(test_labels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
