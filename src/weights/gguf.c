/* GGUF files (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), versions 2 and 3: the
 * header, the tensors and where their data lies. The data of the tensors covers the file to its
 * end, with nothing but padding between them, as every writer makes it: so an offset that was
 * damaged cannot point at the data of another tensor. Version 1 and big-endian files are refused.
 */
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/sort.h"
#include "base/utf8.h"
#include "weights/gguf_reader.h"

/* The smallest description: a name of one byte, one dimension. */
enum { MIN_TENSOR_BYTES = 8 + 1 + 4 + 8 + 4 + 8, MAGIC_BYTES = 4 };

struct layout {
    uint64_t alignment;
    size_t data_at; /* in the file */
};

/* ---- Bytes ---------------------------------------------------------------------------------- */

const uint8_t *ut_gguf_take(struct ut_gguf_reader *r, uint64_t n) {
    if (n > r->weights->n - r->at) {
        return NULL;
    }
    const uint8_t *bytes = r->weights->data + r->at;
    r->at += (size_t)n;
    return bytes;
}

utter_status ut_gguf_fail_end(const struct ut_gguf_reader *r, const char *what) {
    return ut_fail(r->err, UTTER_ERROR_FORMAT, "the file ends within %s that begins at byte %zu",
                   what, r->at);
}

utter_status ut_gguf_read_u32(struct ut_gguf_reader *r, const char *what, uint32_t *out) {
    const uint8_t *bytes = ut_gguf_take(r, sizeof *out);
    if (!bytes) {
        return ut_gguf_fail_end(r, what);
    }
    memcpy(out, bytes, sizeof *out); /* little-endian, as weights/dtype.c demands */
    return UTTER_OK;
}

utter_status ut_gguf_read_u64(struct ut_gguf_reader *r, const char *what, uint64_t *out) {
    const uint8_t *bytes = ut_gguf_take(r, sizeof *out);
    if (!bytes) {
        return ut_gguf_fail_end(r, what);
    }
    memcpy(out, bytes, sizeof *out);
    return UTTER_OK;
}

utter_status ut_gguf_read_string(struct ut_gguf_reader *r, const char *what, const char **out) {
    uint64_t n;
    size_t at = r->at;
    utter_status status = ut_gguf_read_u64(r, what, &n);
    if (status) {
        return status;
    }
    size_t left = r->weights->n - r->at;
    const char *text = (const char *)ut_gguf_take(r, n);
    if (!text) {
        return ut_fail(r->err, UTTER_ERROR_FORMAT,
                       "%s of %" PRIu64 " bytes at byte %zu, %zu are left", what, n, at, left);
    }
    if (memchr(text, '\0', (size_t)n) || !ut_utf8_valid(text, (size_t)n)) {
        return ut_fail(r->err, UTTER_ERROR_FORMAT, "%s at byte %zu holds NUL or is not UTF-8", what,
                       at);
    }
    *out = ut_blocks_strndup(&r->weights->blocks, text, (size_t)n, r->err);
    return *out ? UTTER_OK : r->weights->blocks.status;
}

/* ---- One tensor ----------------------------------------------------------------------------- */

/* By the number in the file, ggml's enum ggml_type. 4, 5, 31 to 33 and 36 to 38 were withdrawn by
 * ggml; the others with -1 exist, but are not read. */
static const struct {
    const char *name;
    int type; /* enum ut_dtype, or -1 for one that cannot be read */
} dtypes[] = {
    [0] = {"F32", UT_F32},     [1] = {"F16", UT_F16},      [2] = {"Q4_0", UT_Q4_0},
    [3] = {"Q4_1", UT_Q4_1},   [4] = {"Q4_2", -1},         [5] = {"Q4_3", -1},
    [6] = {"Q5_0", UT_Q5_0},   [7] = {"Q5_1", UT_Q5_1},    [8] = {"Q8_0", UT_Q8_0},
    [9] = {"Q8_1", -1},        [10] = {"Q2_K", UT_Q2_K},   [11] = {"Q3_K", UT_Q3_K},
    [12] = {"Q4_K", UT_Q4_K},  [13] = {"Q5_K", UT_Q5_K},   [14] = {"Q6_K", UT_Q6_K},
    [15] = {"Q8_K", -1},       [16] = {"IQ2_XXS", -1},     [17] = {"IQ2_XS", -1},
    [18] = {"IQ3_XXS", -1},    [19] = {"IQ1_S", -1},       [20] = {"IQ4_NL", -1},
    [21] = {"IQ3_S", -1},      [22] = {"IQ2_S", -1},       [23] = {"IQ4_XS", -1},
    [24] = {"I8", UT_I8},      [25] = {"I16", UT_I16},     [26] = {"I32", UT_I32},
    [27] = {"I64", UT_I64},    [28] = {"F64", UT_F64},     [29] = {"IQ1_M", -1},
    [30] = {"BF16", UT_BF16},  [31] = {"Q4_0_4_4", -1},    [32] = {"Q4_0_4_8", -1},
    [33] = {"Q4_0_8_8", -1},   [34] = {"TQ1_0", UT_TQ1_0}, [35] = {"TQ2_0", UT_TQ2_0},
    [36] = {"IQ4_NL_4_4", -1}, [37] = {"IQ4_NL_4_8", -1},  [38] = {"IQ4_NL_8_8", -1},
    [39] = {"MXFP4", -1},      [40] = {"NVFP4", -1},       [41] = {"Q1_0", -1},
};

/* Dimensions in row-major order: the file has the one that varies fastest first. */
static utter_status read_dims(struct ut_gguf_reader *r, uint64_t *dims, int *n_dims) {
    uint32_t n;
    size_t at = r->at;
    utter_status status = ut_gguf_read_u32(r, "the number of dimensions", &n);
    if (status) {
        return status;
    }
    if (n < 1 || n > UT_MAX_DIMS) {
        return ut_fail(r->err, UTTER_ERROR_FORMAT, "%u dimensions at byte %zu, 1 to %d may be",
                       (unsigned)n, at, UT_MAX_DIMS);
    }
    for (int d = (int)n - 1; d >= 0; d--) {
        status = ut_gguf_read_u64(r, "a dimension", &dims[d]);
        if (status) {
            return status;
        }
        if (dims[d] == 0) {
            return ut_fail(r->err, UTTER_ERROR_FORMAT, "a dimension of 0 at byte %zu",
                           r->at - sizeof *dims);
        }
    }
    *n_dims = (int)n;
    return UTTER_OK;
}

/* A type of a later ggml is ERROR_FORMAT like damage: its size is not known, so nothing behind it
 * could be checked. */
static utter_status read_dtype(struct ut_gguf_reader *r, enum ut_dtype *out) {
    uint32_t id;
    size_t at = r->at;
    utter_status status = ut_gguf_read_u32(r, "the type of a tensor", &id);
    if (status) {
        return status;
    }
    if (id >= UT_COUNT(dtypes)) {
        return ut_fail(r->err, UTTER_ERROR_FORMAT, "tensor type %u at byte %zu does not exist",
                       (unsigned)id, at);
    }
    if (dtypes[id].type < 0) {
        return ut_fail(r->err, UTTER_ERROR_UNSUPPORTED,
                       "type %s at byte %zu cannot be read; take the file in another type, "
                       "as F16 or Q8_0",
                       dtypes[id].name, at);
    }
    *out = (enum ut_dtype)dtypes[id].type;
    return UTTER_OK;
}

/* Rows are tested here and again in ut_tensor_set_shape, because only here the message can say what
 * is wrong. */
static utter_status set_shape(struct ut_gguf_reader *r, enum ut_dtype type, const uint64_t *dims,
                              int n_dims, struct ut_tensor *out) {
    uint64_t row = dims[n_dims - 1];
    if (row % ut_dtype_block(type) != 0) {
        return ut_fail(r->err, UTTER_ERROR_FORMAT,
                       "rows of %" PRIu64 " elements, of type %s they come in blocks of %zu", row,
                       ut_dtype_name(type), ut_dtype_block(type));
    }
    return ut_tensor_set_shape(out, type, dims, n_dims)
               ? UTTER_OK
               : ut_fail(r->err, UTTER_ERROR_FORMAT, "a shape that no memory could hold");
}

/* All but the name; the offset into the data is returned, not judged yet. */
static utter_status read_description(struct ut_gguf_reader *r, struct ut_tensor *out,
                                     uint64_t *offset) {
    uint64_t dims[UT_MAX_DIMS];
    int n_dims = 0;
    enum ut_dtype type = UT_F32;
    utter_status status = read_dims(r, dims, &n_dims);
    if (!status) {
        status = read_dtype(r, &type);
    }
    if (!status) {
        status = set_shape(r, type, dims, n_dims, out);
    }
    return status ? status : ut_gguf_read_u64(r, "the offset of a tensor", offset);
}

/* A description: name, number of dimensions, dimensions, type, offset. */
static utter_status read_tensor(struct ut_gguf_reader *r, struct ut_tensor *out, uint64_t *offset) {
    size_t at = r->at;
    utter_status status = ut_gguf_read_string(r, "the name of a tensor", &out->name);
    if (status) {
        return status;
    }
    if (*out->name == '\0') {
        return ut_fail(r->err, UTTER_ERROR_FORMAT, "a tensor without a name at byte %zu", at);
    }
    status = read_description(r, out, offset);
    return status ? ut_fail_context(r->err, status, "tensor \"%.100s\"", out->name) : UTTER_OK;
}

/* ---- Where the data lies -------------------------------------------------------------------- */

/* Cannot wrap: n is at most the size of a file, the alignment below 2^32. */
static uint64_t align_up(uint64_t n, uint64_t alignment) {
    return (n + alignment - 1) & ~(alignment - 1);
}

/* The data begins at the first multiple of the alignment behind the last description. An alignment
 * that is no power of two would make align_up meaningless, so it is refused and not rounded. */
static utter_status find_layout(const struct ut_gguf_reader *r, struct layout *out) {
    const struct ut_weights *weights = r->weights;
    const struct ut_gguf_value *alignment = ut_gguf_find(weights, "general.alignment");
    out->alignment = UT_GGUF_ALIGNMENT;
    if (alignment) {
        if (alignment->type != UT_GGUF_UINT32 || alignment->bits == 0 ||
            (alignment->bits & (alignment->bits - 1)) != 0) {
            return ut_fail(r->err, UTTER_ERROR_FORMAT,
                           "key \"general.alignment\" is %.30s, no power of two of type uint32",
                           weights->metadata[alignment - weights->gguf->values].value);
        }
        out->alignment = alignment->bits;
    }
    /* A file without tensors may end before the padding that would lead to their data. */
    out->data_at = (size_t)UT_MIN(align_up(r->at, out->alignment), weights->n);
    return UTTER_OK;
}

/* Subtractions only: offset + n_bytes could wrap. The offset is relative to the data, not to the
 * file. */
static utter_status place_tensor(const struct ut_gguf_reader *r, const struct layout *layout,
                                 struct ut_tensor *tensor, uint64_t offset) {
    size_t n_data = r->weights->n - layout->data_at;
    if (offset % layout->alignment != 0) {
        return ut_fail(r->err, UTTER_ERROR_FORMAT,
                       "tensor \"%.100s\": its offset %" PRIu64 " is no multiple of the alignment "
                       "%" PRIu64,
                       tensor->name, offset, layout->alignment);
    }
    if (offset > n_data || tensor->n_bytes > n_data - offset) {
        return ut_fail(r->err, UTTER_ERROR_FORMAT,
                       "tensor \"%.100s\": %zu bytes at %" PRIu64 " behind byte %zu reach beyond "
                       "the end of the file; it is damaged or was not fetched whole",
                       tensor->name, tensor->n_bytes, offset, layout->data_at);
    }
    tensor->data = r->weights->data + layout->data_at + offset;
    return UTTER_OK;
}

/* No two tensors are empty (dimensions of 0 were refused), so equal places are an overlap and the
 * order between them does not matter. */
static int compare_places(uint32_t a, uint32_t b, const void *context) {
    const char *x = ((const struct ut_tensor *)context)[a].data;
    const char *y = ((const struct ut_tensor *)context)[b].data;
    return (x > y) - (x < y);
}

/* In the order of their offsets each tensor begins where the padding behind the one before ends. */
static utter_status check_coverage(const struct ut_gguf_reader *r, const struct layout *layout) {
    const struct ut_weights *weights = r->weights;
    uint32_t *order = weights->by_name; /* still unsorted: ut_table_index fills it afterwards */
    for (size_t i = 0; i < weights->n_tensors; i++) {
        order[i] = (uint32_t)i;
    }
    ut_sort_u32(order, weights->n_tensors, compare_places, weights->tensors);
    size_t n_data = weights->n - layout->data_at;
    uint64_t end = 0; /* of the padding behind the tensor before */
    for (size_t i = 0; i < weights->n_tensors; i++) {
        const struct ut_tensor *tensor = &weights->tensors[order[i]];
        uint64_t begin =
            (uint64_t)((const uint8_t *)tensor->data - weights->data) - layout->data_at;
        if (begin != end) {
            return ut_fail(r->err, UTTER_ERROR_FORMAT,
                           "tensor \"%.100s\": its data begins at %" PRIu64 ", the one before "
                           "ends with its padding at %" PRIu64,
                           tensor->name, begin, end);
        }
        end = align_up(begin + tensor->n_bytes, layout->alignment);
    }
    if (n_data > end) {
        return ut_fail(r->err, UTTER_ERROR_FORMAT,
                       "%" PRIu64 " bytes behind the last tensor, at byte %" PRIu64, n_data - end,
                       layout->data_at + end);
    }
    return UTTER_OK;
}

/* ---- The whole file ------------------------------------------------------------------------- */

/* Version 1 had counts of 32 bits; read as version 2 every number behind the header would be wrong.
 * A version whose low half is empty is one of a big-endian file: 3 is 0x03000000 there. */
static utter_status check_version(struct ut_gguf_reader *r) {
    uint32_t version;
    utter_status status = ut_gguf_read_u32(r, "the version", &version);
    if (status || version == 2 || version == 3) {
        return status;
    }
    if (version != 0 && (version & 0xFFFF) == 0) {
        return ut_fail(r->err, UTTER_ERROR_UNSUPPORTED,
                       "a big-endian file, only little-endian ones are read; convert it with "
                       "gguf-convert-endian of the Python package gguf");
    }
    return ut_fail(r->err, UTTER_ERROR_UNSUPPORTED,
                   "version %u, only versions 2 and 3 are read; convert the model again with a "
                   "current program",
                   (unsigned)version);
}

/* The file's count is held against the bytes left before three tables are sized by it. */
static utter_status read_tensors(struct ut_gguf_reader *r, uint64_t n) {
    struct ut_weights *weights = r->weights;
    struct ut_blocks *blocks = &weights->blocks;
    size_t left = weights->n - r->at;
    if (n > left / MIN_TENSOR_BYTES) {
        return ut_fail(r->err, UTTER_ERROR_FORMAT,
                       "%" PRIu64 " tensors at byte 8, %zu bytes cannot describe them", n, left);
    }
    /* Offsets are only judged when the end of the descriptions is known. */
    uint64_t *offsets = ut_blocks_alloc(blocks, (size_t)n, sizeof *offsets, r->err);
    if (offsets) {
        weights->tensors = ut_blocks_alloc(blocks, (size_t)n, sizeof *weights->tensors, r->err);
    }
    if (weights->tensors) {
        weights->by_name = ut_blocks_alloc(blocks, (size_t)n, sizeof *weights->by_name, r->err);
    }
    if (!weights->by_name) {
        return blocks->status;
    }
    utter_status status = UTTER_OK;
    for (; !status && weights->n_tensors < n; weights->n_tensors++) {
        size_t i = weights->n_tensors;
        status = read_tensor(r, &weights->tensors[i], &offsets[i]);
    }
    struct layout layout = {0};
    if (!status) {
        status = find_layout(r, &layout);
    }
    for (size_t i = 0; !status && i < n; i++) {
        status = place_tensor(r, &layout, &weights->tensors[i], offsets[i]);
    }
    return status ? status : check_coverage(r, &layout);
}

/* Magic (checked by ut_format_detect), version, both counts, metadata, descriptions, data. */
utter_status ut_gguf_parse(struct ut_weights *weights, utter_error *err) {
    struct ut_gguf_reader reader = {.weights = weights, .at = MAGIC_BYTES, .err = err};
    ut_blocks_init(&weights->blocks, weights->mem, weights->n, 0);
    uint64_t n_tensors = 0, n_values = 0;
    utter_status status = check_version(&reader);
    if (!status) {
        status = ut_gguf_read_u64(&reader, "the number of tensors", &n_tensors);
    }
    if (!status) {
        status = ut_gguf_read_u64(&reader, "the number of keys", &n_values);
    }
    if (!status) {
        status = ut_gguf_read_values(&reader, n_values);
    }
    if (!status) {
        status = read_tensors(&reader, n_tensors);
    }
    return status ? status : ut_table_index(weights, err);
}
