/* safetensors files: a JSON header, then the data of all tensors without a gap. The whole header is
 * validated as the reference reader does, and refuses equal names, before a tensor is visible. The
 * format: https://github.com/huggingface/safetensors (README.md, "Format"). Not read: types below
 * eight bits, eight-bit floats, complex numbers. */
#include <string.h>

#include "base/checked.h"
#include "base/json.h"
#include "base/sort.h"
#include "weights/table.h"

/* The limit is that of the reference reader. */
enum { LENGTH_BYTES = 8, MAX_HEADER_BYTES = 100000000 };

/* One parse: the header and where its tensors end up. */
struct reader {
    struct ut_weights *weights;
    struct ut_json *header;
    const char *text;    /* of the header */
    const uint8_t *data; /* behind the header */
    size_t n_data;
    utter_error *err;
};

static const struct {
    const char *name;
    enum ut_dtype type;
} dtypes[] = {
    {"F32", UT_F32}, {"F16", UT_F16}, {"BF16", UT_BF16}, {"F64", UT_F64}, {"I8", UT_I8},
    {"U8", UT_U8},   {"I16", UT_I16}, {"U16", UT_U16},   {"I32", UT_I32}, {"U32", UT_U32},
    {"I64", UT_I64}, {"U64", UT_U64}, {"BOOL", UT_BOOL},
};

/* Types that the format has and nothing here computes with: told apart from names that are no type.
 */
static const char *const unreadable_dtypes[] = {"F8_E4M3", "F8_E5M2", "F8_E8M0", "C64",
                                                "F4",      "F6_E2M3", "F6_E3M2"};

/* Offset in the file of a value in the header. */
static size_t offset_of(const struct reader *r, ut_json_ref value) {
    size_t n;
    const char *raw = ut_json_raw(r->header, value, &n);
    return raw ? LENGTH_BYTES + (size_t)(raw - r->text) : LENGTH_BYTES;
}

static utter_status fail_entry(const struct reader *r, ut_json_ref entry, const char *what) {
    return ut_fail(r->err, UTTER_ERROR_FORMAT, "tensor \"%.100s\": %s at byte %zu",
                   ut_json_key(r->header, entry), what, offset_of(r, entry));
}

/* ---- One tensor ----------------------------------------------------------------------------- */

/* ERROR_UNSUPPORTED tells a type that exists from one that does not, which is damage. */
static utter_status read_dtype(const struct reader *r, ut_json_ref entry, enum ut_dtype *out) {
    const char *name = ut_json_string(r->header, ut_json_member(r->header, entry, "dtype"), NULL);
    if (!name) {
        return fail_entry(r, entry, "no dtype");
    }
    for (size_t i = 0; i < UT_COUNT(dtypes); i++) {
        if (strcmp(name, dtypes[i].name) == 0) {
            *out = dtypes[i].type;
            return UTTER_OK;
        }
    }
    utter_status status = UTTER_ERROR_FORMAT;
    for (size_t i = 0; i < UT_COUNT(unreadable_dtypes); i++) {
        status = strcmp(name, unreadable_dtypes[i]) == 0 ? UTTER_ERROR_UNSUPPORTED : status;
    }
    return ut_fail(r->err, status, "tensor \"%.100s\": dtype \"%.20s\" at byte %zu %s",
                   ut_json_key(r->header, entry), name, offset_of(r, entry),
                   status == UTTER_ERROR_FORMAT ? "does not exist" : "cannot be read");
}

/* A negative size that is read as unsigned is a huge one, which passes where sums are compared. */
static bool read_unsigned(const struct reader *r, ut_json_ref value, uint64_t *out) {
    int64_t number;
    if (!ut_json_int64(r->header, value, &number) || number < 0) {
        return false;
    }
    *out = (uint64_t)number;
    return true;
}

/* The product is checked by ut_tensor_set_shape; a dimension of 0 is allowed, as in the
 * reference. */
static utter_status read_shape(const struct reader *r, ut_json_ref entry, enum ut_dtype type,
                               struct ut_tensor *out) {
    ut_json_ref shape = ut_json_member(r->header, entry, "shape");
    uint64_t dims[UT_MAX_DIMS];
    int n_dims = 0;
    if (ut_json_type(r->header, shape) != UT_JSON_ARRAY) {
        return fail_entry(r, entry, "no shape");
    }
    for (ut_json_ref d = ut_json_first(r->header, shape); d >= 0; d = ut_json_next(r->header, d)) {
        if (n_dims == UT_MAX_DIMS) {
            return ut_fail(r->err, UTTER_ERROR_UNSUPPORTED,
                           "tensor \"%.100s\": more than %d dimensions at "
                           "byte %zu",
                           out->name, UT_MAX_DIMS, offset_of(r, entry));
        }
        if (!read_unsigned(r, d, &dims[n_dims++])) {
            return fail_entry(r, entry, "a dimension that is no size");
        }
    }
    return ut_tensor_set_shape(out, type, dims, n_dims)
               ? UTTER_OK
               : fail_entry(r, entry, "a shape that no memory could hold");
}

/* Sets the data to begin at an offset that is only known to lie in the file; whether the tensors
 * share bytes is judged when all are known. */
static utter_status read_offsets(const struct reader *r, ut_json_ref entry, struct ut_tensor *out) {
    ut_json_ref offsets = ut_json_member(r->header, entry, "data_offsets");
    ut_json_ref first = ut_json_first(r->header, offsets), second = ut_json_next(r->header, first);
    uint64_t begin, end;
    if (ut_json_type(r->header, offsets) != UT_JSON_ARRAY || ut_json_next(r->header, second) >= 0 ||
        !read_unsigned(r, first, &begin) || !read_unsigned(r, second, &end) || begin > end) {
        return fail_entry(r, entry, "data_offsets are not two ordered sizes");
    }
    if (end > r->n_data) {
        return fail_entry(r, entry, "data beyond the end of the file");
    }
    if (end - begin != out->n_bytes) {
        return ut_fail(r->err, UTTER_ERROR_FORMAT,
                       "tensor \"%.100s\": %llu bytes of data at byte %zu, the "
                       "shape has %zu",
                       out->name, (unsigned long long)(end - begin), offset_of(r, entry),
                       out->n_bytes);
    }
    out->data = r->data + begin;
    return UTTER_OK;
}

/* One member of the header: {"dtype": ..., "shape": [...], "data_offsets": [begin, end]}. Other
 * members are ignored. */
static utter_status read_entry(struct reader *r, ut_json_ref entry, struct ut_tensor *out) {
    const char *key = ut_json_key(r->header, entry);
    if (ut_json_type(r->header, entry) != UT_JSON_OBJECT) {
        return fail_entry(r, entry, "its description is no object");
    }
    out->name = ut_blocks_strndup(&r->weights->blocks, key, strlen(key), r->err);
    if (!out->name) {
        return r->weights->blocks.status;
    }
    enum ut_dtype type = UT_F32;
    utter_status status = read_dtype(r, entry, &type);
    if (!status) {
        status = read_shape(r, entry, type, out);
    }
    return status ? status : read_offsets(r, entry, out);
}

/* ---- The whole file ------------------------------------------------------------------------- */

/* Flat: string to string, as the format demands. A NUL inside a value would cut it short for
 * whoever takes it as a C string. */
static utter_status read_metadata(struct reader *r, ut_json_ref object) {
    struct ut_weights *weights = r->weights;
    if (ut_json_type(r->header, object) != UT_JSON_OBJECT) {
        return fail_entry(r, object, "no object");
    }
    size_t n = ut_json_count(r->header, object);
    weights->metadata = ut_blocks_alloc(&weights->blocks, n, sizeof *weights->metadata, r->err);
    if (!weights->metadata) {
        return weights->blocks.status;
    }
    for (ut_json_ref m = ut_json_first(r->header, object); m >= 0; m = ut_json_next(r->header, m)) {
        struct ut_metadata *entry = &weights->metadata[weights->n_metadata++];
        const char *key = ut_json_key(r->header, m);
        size_t n_value;
        const char *value = ut_json_string(r->header, m, &n_value);
        if (!value || strlen(value) != n_value) {
            return ut_fail(r->err, UTTER_ERROR_FORMAT,
                           "__metadata__: \"%.100s\" is no plain string at "
                           "byte %zu",
                           key, offset_of(r, m));
        }
        entry->key = ut_blocks_strndup(&weights->blocks, key, strlen(key), r->err);
        entry->value = ut_blocks_strndup(&weights->blocks, value, n_value, r->err);
        if (!entry->key || !entry->value) {
            return weights->blocks.status;
        }
    }
    return UTTER_OK;
}

/* Empty tensors share their place with the one behind them and come before it, or they would look
 * like an overlap. */
static int compare_places(uint32_t a, uint32_t b, const void *context) {
    const struct ut_tensor *x = (const struct ut_tensor *)context + a;
    const struct ut_tensor *y = (const struct ut_tensor *)context + b;
    if (x->data != y->data) {
        return (const char *)x->data < (const char *)y->data ? -1 : 1;
    }
    return (x->n_bytes > y->n_bytes) - (x->n_bytes < y->n_bytes); /* empty ones first */
}

/* In the order of their offsets the tensors cover the data exactly. */
static utter_status check_coverage(const struct reader *r) {
    const struct ut_weights *weights = r->weights;
    uint32_t *order = weights->by_name; /* still unsorted: ut_table_index fills it afterwards */
    for (size_t i = 0; i < weights->n_tensors; i++) {
        order[i] = (uint32_t)i;
    }
    ut_sort_u32(order, weights->n_tensors, compare_places, weights->tensors);
    size_t covered = 0;
    for (size_t i = 0; i < weights->n_tensors; i++) {
        const struct ut_tensor *tensor = &weights->tensors[order[i]];
        size_t begin = (size_t)((const uint8_t *)tensor->data - r->data);
        /* Neither gaps nor overlaps: what lies in a gap would be in the file for nobody to see, and
         * two tensors that share bytes are two meanings of the same ones. */
        if (begin != covered) {
            return ut_fail(r->err, UTTER_ERROR_FORMAT,
                           "tensor \"%.100s\": its data begins at %zu, the one "
                           "before ends at %zu",
                           tensor->name, begin, covered);
        }
        covered += tensor->n_bytes;
    }
    if (covered != r->n_data) {
        return ut_fail(r->err, UTTER_ERROR_FORMAT, "%zu bytes behind the last tensor, at byte %zu",
                       r->n_data - covered, weights->n - (r->n_data - covered));
    }
    return UTTER_OK;
}

/* Equal names show only when all are sorted, in ut_table_index; equal keys are refused by the JSON
 * reader before. */
static utter_status read_header(struct reader *r) {
    struct ut_weights *weights = r->weights;
    if (ut_json_type(r->header, 0) != UT_JSON_OBJECT) {
        return ut_fail(r->err, UTTER_ERROR_FORMAT, "the header is no JSON object");
    }
    size_t n = ut_json_count(r->header, 0);
    weights->tensors = ut_blocks_alloc(&weights->blocks, n, sizeof *weights->tensors, r->err);
    weights->by_name = ut_blocks_alloc(&weights->blocks, n, sizeof *weights->by_name, r->err);
    if (!weights->tensors || !weights->by_name) {
        return weights->blocks.status;
    }
    utter_status status = UTTER_OK;
    for (ut_json_ref m = ut_json_first(r->header, 0); !status && m >= 0;
         m = ut_json_next(r->header, m)) {
        /* n counts it as a tensor too: one place more than is needed. */
        if (strcmp(ut_json_key(r->header, m), "__metadata__") == 0) {
            status = read_metadata(r, m);
        } else {
            status = read_entry(r, m, &weights->tensors[weights->n_tensors++]);
        }
    }
    return status ? status : check_coverage(r);
}

/* Eight bytes of length, the header, the data. The JSON document is freed before the table is used:
 * what is kept of it was copied into blocks, whose limit takes the document's memory into
 * account. */
utter_status ut_safetensors_parse(struct ut_weights *weights, utter_error *err) {
    uint64_t n_header = 0;
    if (weights->n >= LENGTH_BYTES) {
        memcpy(&n_header, weights->data, LENGTH_BYTES);
    }
    if (weights->n < LENGTH_BYTES || n_header > MAX_HEADER_BYTES ||
        n_header > weights->n - LENGTH_BYTES) {
        return ut_fail(err, UTTER_ERROR_FORMAT,
                       "a header of %llu bytes at byte 0, the file has %zu "
                       "and %d is the most that is read",
                       (unsigned long long)n_header, weights->n, MAX_HEADER_BYTES);
    }
    struct reader reader = {
        .weights = weights,
        .text = (const char *)weights->data + LENGTH_BYTES,
        .data = weights->data + LENGTH_BYTES + n_header,
        .n_data = weights->n - LENGTH_BYTES - (size_t)n_header,
        .err = err,
    };
    utter_status status =
        ut_json_parse(weights->mem, reader.text, (size_t)n_header, &reader.header, err);
    if (status) {
        return ut_fail_context(err, status, "header from byte %d", LENGTH_BYTES);
    }
    ut_blocks_init(&weights->blocks, weights->mem, weights->n, ut_json_memory(reader.header));
    status = read_header(&reader);
    ut_json_free(reader.header);
    return status ? status : ut_table_index(weights, err);
}
