/* Which format a file is, by its first bytes. The order of the tests matters: magic numbers first,
 * then the two formats that have none, of which ONNX is the weakest guess and comes last. */
#include <string.h>

#include "weights/weights.h"

/* ONNX has no magic number. The first field of a model is its IR version, tag 0x08; files that lack
 * it begin with a length-delimited field of ModelProto, the graph (0x3A) or the producer (0x12). */
static bool looks_like_onnx(const uint8_t *bytes, size_t n) {
    return n >= 2 && (bytes[0] == 0x08 || bytes[0] == 0x3A || bytes[0] == 0x12);
}

/* A header of up to 16 MB has four or more zero bytes in its length; larger ones are told by the
 * JSON behind. A length that is wrong should be reported as such, so it is not judged here. */
static bool looks_like_safetensors(const uint8_t *bytes, size_t n) {
    return n >= 9 && bytes[8] == '{' && (n == 9 || strchr("\"} \t\r\n", bytes[9]));
}

/* The pickle of the number 0x1950A86A20F9469CFC6C. */
static const uint8_t old_torch[] = {0x80, 0x02, 0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46,
                                    0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, 0x2E};

/* Before torch 0.4; to be told so. */
static bool looks_like_tar(const uint8_t *bytes, size_t n) {
    return n >= 512 && memcmp(bytes + 257, "ustar", 5) == 0;
}

/* Says what a file claims to be, not that it is well-formed: a damaged file gets the error of the
 * format that it looks like. */
enum ut_format ut_format_detect(const void *data, size_t n) {
    const uint8_t *bytes = data;
    if (n >= 4 && memcmp(bytes, "GGUF", 4) == 0) {
        return UT_FORMAT_GGUF;
    }
    if (n >= 4 && memcmp(bytes, "PK\3\4", 4) == 0) {
        return UT_FORMAT_TORCH_ZIP;
    }
    if ((n >= sizeof old_torch && memcmp(bytes, old_torch, sizeof old_torch) == 0) ||
        looks_like_tar(bytes, n)) {
        return UT_FORMAT_TORCH_OLD;
    }
    if (looks_like_safetensors(bytes, n)) {
        return UT_FORMAT_SAFETENSORS;
    }
    return looks_like_onnx(bytes, n) ? UT_FORMAT_ONNX : UT_FORMAT_UNKNOWN;
}

const char *ut_format_label(enum ut_format format) {
    static const char *const labels[] = {
        [UT_FORMAT_UNKNOWN] = "unknown",         [UT_FORMAT_ONNX] = "onnx",
        [UT_FORMAT_SAFETENSORS] = "safetensors", [UT_FORMAT_GGUF] = "gguf",
        [UT_FORMAT_TORCH_ZIP] = "torch",         [UT_FORMAT_TORCH_OLD] = "torch",
    };
    return labels[format];
}
