/* WAV headers byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "audio/wav.h"

static void s16_header_is_exact(void **state) {
    uint8_t header[UT_WAV_HEADER_MAX];
    assert_int_equal(ut_wav_header(header, false, 22050, 1000), 44);
    /* 22050 = 0x5622, 44100 = 0xAC44, 1000 = 0x3E8, 1036 = 0x40C */
    static const uint8_t expected[44] =
        "RIFF\x0C\x04\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x22\x56\0\0\x44\xAC\0\0"
        "\x02\0\x10\0data\xE8\x03\0";
    assert_memory_equal(header, expected, 44);
}

static void f32_header_is_exact(void **state) {
    uint8_t header[UT_WAV_HEADER_MAX];
    assert_int_equal(ut_wav_header(header, true, 48000, 4000), 58);
    /* 48000 = 0xBB80, 192000 = 0x2EE00, 4000 = 0xFA0, 4050 = 0xFD2 */
    static const uint8_t expected[58] =
        "RIFF\xD2\x0F\0\0WAVEfmt \x12\0\0\0\x03\0\x01\0\x80\xBB\0\0\0\xEE\x02\0"
        "\x04\0\x20\0\0\0"
        "fact\x04\0\0\0\xE8\x03\0\0"
        "data\xA0\x0F\0";
    assert_memory_equal(header, expected, 58);
}

static void unknown_and_too_large_sizes_are_all_ones(void **state) {
    static const uint8_t ones[4] = {0xFF, 0xFF, 0xFF, 0xFF};
    static const uint64_t sizes[] = {UT_WAV_UNKNOWN_SIZE, UINT32_MAX, (uint64_t)UINT32_MAX - 43,
                                     1ull << 40};
    uint8_t header[UT_WAV_HEADER_MAX];
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        ut_wav_header(header, false, 22050, sizes[i]);
        assert_memory_equal(header + 4, ones, 4);
        assert_memory_equal(header + 40, ones, 4);
        ut_wav_header(header, true, 22050, sizes[i]);
        assert_memory_equal(header + 4, ones, 4);
        assert_memory_equal(header + 46, ones, 4);
        assert_memory_equal(header + 54, ones, 4);
    }
    ut_wav_header(header, false, 22050,
                  (uint64_t)UINT32_MAX - 45); /* the largest even one that fits */
    static const uint8_t riff[4] = {0xF6, 0xFF, 0xFF, 0xFF}, data[4] = {0xD2, 0xFF, 0xFF, 0xFF};
    assert_memory_equal(header + 4, riff, 4);
    assert_memory_equal(header + 40, data, 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(s16_header_is_exact),
        cmocka_unit_test(f32_header_is_exact),
        cmocka_unit_test(unknown_and_too_large_sizes_are_all_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
