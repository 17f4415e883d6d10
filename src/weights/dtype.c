/* Element types: names, sizes, shapes and the conversion to f32. Values are read byte by byte where
 * the file may have put them at any address. Little-endian processors only. */
#include <string.h>

#include "base/checked.h"
#include "base/half_float.h"
#include "quant/block.h"
#include "quant/dequantize.h"
#include "weights/table.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "model files are read in place");

/* By ut_dtype. Types without a `dequantize` of their own are converted in ut_tensor_to_f32 if they
 * are floats. */
static const struct {
    const char *name;
    uint16_t n_bytes, n_elements; /* of a block; an unquantized element is a block of one */
    void (*dequantize)(const void *src, size_t n_blocks, float *dst);
} dtypes[UT_N_DTYPES] = {
    [UT_F32] = {"f32", 4, 1, NULL},
    [UT_F16] = {"f16", 2, 1, NULL},
    [UT_BF16] = {"bf16", 2, 1, NULL},
    [UT_F64] = {"f64", 8, 1, NULL},
    [UT_I8] = {"i8", 1, 1, NULL},
    [UT_U8] = {"u8", 1, 1, NULL},
    [UT_I16] = {"i16", 2, 1, NULL},
    [UT_U16] = {"u16", 2, 1, NULL},
    [UT_I32] = {"i32", 4, 1, NULL},
    [UT_U32] = {"u32", 4, 1, NULL},
    [UT_I64] = {"i64", 8, 1, NULL},
    [UT_U64] = {"u64", 8, 1, NULL},
    [UT_BOOL] = {"bool", 1, 1, NULL},
    [UT_Q4_0] = {"q4_0", sizeof(struct ut_block_q4_0), UT_QK, ut_dequantize_q4_0},
    [UT_Q4_1] = {"q4_1", sizeof(struct ut_block_q4_1), UT_QK, ut_dequantize_q4_1},
    [UT_Q5_0] = {"q5_0", sizeof(struct ut_block_q5_0), UT_QK, ut_dequantize_q5_0},
    [UT_Q5_1] = {"q5_1", sizeof(struct ut_block_q5_1), UT_QK, ut_dequantize_q5_1},
    [UT_Q8_0] = {"q8_0", sizeof(struct ut_block_q8_0), UT_QK, ut_dequantize_q8_0},
    [UT_Q2_K] = {"q2_k", sizeof(struct ut_block_q2_k), UT_QK_K, ut_dequantize_q2_k},
    [UT_Q3_K] = {"q3_k", sizeof(struct ut_block_q3_k), UT_QK_K, ut_dequantize_q3_k},
    [UT_Q4_K] = {"q4_k", sizeof(struct ut_block_q4_k), UT_QK_K, ut_dequantize_q4_k},
    [UT_Q5_K] = {"q5_k", sizeof(struct ut_block_q5_k), UT_QK_K, ut_dequantize_q5_k},
    [UT_Q6_K] = {"q6_k", sizeof(struct ut_block_q6_k), UT_QK_K, ut_dequantize_q6_k},
    [UT_TQ1_0] = {"tq1_0", sizeof(struct ut_block_tq1_0), UT_QK_K, ut_dequantize_tq1_0},
    [UT_TQ2_0] = {"tq2_0", sizeof(struct ut_block_tq2_0), UT_QK_K, ut_dequantize_tq2_0},
};

const char *ut_dtype_name(enum ut_dtype type) {
    return dtypes[type].name;
}

const char *ut_dtype_label(enum ut_dtype type) {
    return type == UT_I8 ? "int8" : dtypes[type].name;
}

size_t ut_dtype_size(enum ut_dtype type) {
    return dtypes[type].n_bytes;
}

size_t ut_dtype_block(enum ut_dtype type) {
    return dtypes[type].n_elements;
}

/* From the bytes, which were checked, and not from the dimensions: no product that could
 * overflow. */
uint64_t ut_tensor_n_elements(const struct ut_tensor *tensor) {
    return tensor->n_bytes / dtypes[tensor->type].n_bytes * dtypes[tensor->type].n_elements;
}

/* Sizes are bounded by PTRDIFF_MAX, not SIZE_MAX: pointer differences within a tensor must be
 * representable, too. Unused dimensions become 1, so that loops may always run over four. */
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

/* f16, bf16 and f32 are exact; f64 is rounded. Elements are fetched with memcpy because nothing
 * aligns a tensor in a zip member or a protobuf field. */
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
            dst[i] = tensor->type == UT_F16 ? ut_float_from_f16(half) : ut_float_from_bf16(half);
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
        if (!dtypes[tensor->type].dequantize) {
            return false;
        }
        dtypes[tensor->type].dequantize(src, tensor->n_bytes / dtypes[tensor->type].n_bytes, dst);
        return true;
    }
}
