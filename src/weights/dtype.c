/* Element types: names, sizes, shapes and the conversion to f32. Values are read byte by byte where
 * the file may have put them at any address. Little-endian processors only. */
#include <string.h>

#include "base/checked.h"
#include "weights/table.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "model files are read in place");

static const struct {
    const char *name;
    uint16_t n_bytes, n_elements; /* of a block; an unquantized element is a block of one */
} dtypes[UT_N_DTYPES] = {
    [UT_F32] = {"f32", 4, 1},        [UT_F16] = {"f16", 2, 1},
    [UT_BF16] = {"bf16", 2, 1},      [UT_F64] = {"f64", 8, 1},
    [UT_I8] = {"i8", 1, 1},          [UT_U8] = {"u8", 1, 1},
    [UT_I16] = {"i16", 2, 1},        [UT_U16] = {"u16", 2, 1},
    [UT_I32] = {"i32", 4, 1},        [UT_U32] = {"u32", 4, 1},
    [UT_I64] = {"i64", 8, 1},        [UT_U64] = {"u64", 8, 1},
    [UT_BOOL] = {"bool", 1, 1},      [UT_Q4_0] = {"q4_0", 18, 32},
    [UT_Q4_1] = {"q4_1", 20, 32},    [UT_Q5_0] = {"q5_0", 22, 32},
    [UT_Q5_1] = {"q5_1", 24, 32},    [UT_Q8_0] = {"q8_0", 34, 32},
    [UT_Q2_K] = {"q2_k", 84, 256},   [UT_Q3_K] = {"q3_k", 110, 256},
    [UT_Q4_K] = {"q4_k", 144, 256},  [UT_Q5_K] = {"q5_k", 176, 256},
    [UT_Q6_K] = {"q6_k", 210, 256},  [UT_TQ1_0] = {"tq1_0", 54, 256},
    [UT_TQ2_0] = {"tq2_0", 66, 256},
};

const char *ut_dtype_name(enum ut_dtype type) {
    return dtypes[type].name;
}

size_t ut_dtype_size(enum ut_dtype type) {
    return dtypes[type].n_bytes;
}

size_t ut_dtype_block(enum ut_dtype type) {
    return dtypes[type].n_elements;
}

uint64_t ut_tensor_n_elements(const struct ut_tensor *tensor) {
    return tensor->n_bytes / dtypes[tensor->type].n_bytes * dtypes[tensor->type].n_elements;
}

bool ut_tensor_set_shape(struct ut_tensor *tensor, enum ut_dtype type, const uint64_t *dims,
                         int n_dims) {
    uint64_t block_bytes = dtypes[type].n_bytes, block = dtypes[type].n_elements;
    /* Of all dimensions but those that are 0: a zero must not hide an overflow of the others from
     * those who multiply some. */
    uint64_t n_elements = 1, n_bytes;
    bool empty = false;
    tensor->type = type;
    tensor->n_dims = n_dims;
    for (int i = 0; i < UT_MAX_DIMS; i++) {
        tensor->dims[i] = i < n_dims ? dims[i] : 1;
        empty |= tensor->dims[i] == 0;
        if (!ut_mul_u64(n_elements, UT_MAX(tensor->dims[i], 1), &n_elements)) {
            return false;
        }
    }
    uint64_t row = n_dims > 0 ? dims[n_dims - 1] : 1;
    if (row % block != 0 || n_elements > PTRDIFF_MAX ||
        !ut_mul_u64(UT_MAX(n_elements / block, 1), block_bytes, &n_bytes) ||
        n_bytes > PTRDIFF_MAX) {
        return false;
    }
    tensor->n_bytes = empty ? 0 : (size_t)n_bytes;
    return true;
}

/* ---- To f32 --------------------------------------------------------------------------------- */

static float float_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* IEEE half precision. A subnormal half is the mantissa of a number between 2^-14 and 2^-13 whose
 * leading one is taken off again: exact, also where the thread flushes subnormal floats to zero. */
static float f32_of_f16(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, magnitude = (uint32_t)(half & 0x7FFF) << 13;
    uint32_t exponent = half & 0x7C00;
    if (exponent == 0) {
        const uint32_t two_to_minus_14 = 113u << 23;
        float value = float_of_bits(two_to_minus_14 | magnitude) - float_of_bits(two_to_minus_14);
        return sign ? -value : value;
    }
    uint32_t rebias = exponent == 0x7C00 ? 224u << 23 : 112u << 23; /* infinite and NaN stay so */
    return float_of_bits(sign | (magnitude + rebias));
}

bool ut_tensor_to_f32(const struct ut_tensor *tensor, float *dst) {
    const char *src = tensor->data;
    size_t n = (size_t)ut_tensor_n_elements(tensor);
    switch (tensor->type) {
    case UT_F32:
        if (n > 0) {
            memcpy(dst, src, tensor->n_bytes);
        }
        return true;
    case UT_F16:
    case UT_BF16:
        for (size_t i = 0; i < n; i++) {
            uint16_t half;
            memcpy(&half, src + 2 * i, sizeof half);
            dst[i] =
                tensor->type == UT_F16 ? f32_of_f16(half) : float_of_bits((uint32_t)half << 16);
        }
        return true;
    case UT_F64:
        for (size_t i = 0; i < n; i++) {
            double value;
            memcpy(&value, src + 8 * i, sizeof value);
            dst[i] = (float)value; /* infinite when too large: whoever scans weights refuses it */
        }
        return true;
    default:
        return false;
    }
}
