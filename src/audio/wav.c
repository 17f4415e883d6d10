/* WAV headers, after "Multimedia Programming Interface and Data Specifications 1.0" (IBM and
 * Microsoft 1991) and RFC 2361. Our own because libsndfile refuses to write WAV to a pipe. Float
 * needs a format chunk with an extension size and a fact chunk. One channel; no RF64: past 4 GiB
 * (27 hours of 16-bit 22,050 Hz) the sizes stay "unknown". */
#include "audio/wav.h"

#include <string.h>

enum { FORMAT_PCM = 1, FORMAT_FLOAT = 3 };

static uint8_t *put_tag(uint8_t *at, const char *tag) {
    memcpy(at, tag, 4);
    return at + 4;
}

static uint8_t *put_u16(uint8_t *at, uint32_t value) {
    at[0] = value & 0xFF;
    at[1] = value >> 8 & 0xFF;
    return at + 2;
}

/* Byte by byte: the file is little-endian whatever the machine is. */
static uint8_t *put_u32(uint8_t *at, uint64_t value) {
    uint32_t field = value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
    return put_u16(put_u16(at, field & 0xFFFF), field >> 16);
}

size_t ut_wav_header(uint8_t header[UT_WAV_HEADER_MAX], bool is_float, int32_t sample_rate_hz,
                     uint64_t n_data_bytes) {
    uint32_t width = is_float ? 4 : 2;
    size_t n_header = is_float ? 58 : 44;
    /* Both sizes or none: half a promise would only mislead. */
    bool known = n_data_bytes <= UINT32_MAX - n_header;
    uint8_t *at = put_tag(header, "RIFF");
    at = put_u32(at, known ? n_data_bytes + n_header - 8 : UINT32_MAX);
    at = put_tag(put_tag(at, "WAVE"), "fmt ");
    at = put_u32(at, is_float ? 18 : 16);
    at = put_u16(put_u16(at, is_float ? FORMAT_FLOAT : FORMAT_PCM), 1);
    at = put_u32(put_u32(at, (uint32_t)sample_rate_hz), (uint64_t)sample_rate_hz * width);
    at = put_u16(put_u16(at, width), 8 * width);
    if (is_float) {
        at = put_u32(put_tag(put_u16(at, 0), "fact"), 4);
        at = put_u32(at, known ? n_data_bytes / width : UINT32_MAX);
    }
    put_u32(put_tag(at, "data"), known ? n_data_bytes : UINT32_MAX);
    return n_header;
}
