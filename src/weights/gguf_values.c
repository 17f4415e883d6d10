/* The metadata of a GGUF file: keys with integers, floats, booleans, strings and arrays of them.
 * Arrays of arrays are refused: nobody writes them, and they would be recursion on the input's
 * depth. Of arrays of numbers only the length is kept: no model needs them yet. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/sort.h"
#include "weights/gguf_reader.h"

/* The smallest entry: a key of one byte and one byte of value. */
enum { MIN_ENTRY_BYTES = 8 + 1 + 4 + 1, MIN_STRING_BYTES = 8 };

/* By ut_gguf_type. The plural is for messages and listings of arrays. */
static const struct {
    const char *name, *plural;
    uint8_t n_bytes; /* 0: not the same for every value */
    bool is_integer, is_signed;
} types[UT_GGUF_N_TYPES] = {
    [UT_GGUF_UINT8] = {"uint8", "uint8", 1, true, false},
    [UT_GGUF_INT8] = {"int8", "int8", 1, true, true},
    [UT_GGUF_UINT16] = {"uint16", "uint16", 2, true, false},
    [UT_GGUF_INT16] = {"int16", "int16", 2, true, true},
    [UT_GGUF_UINT32] = {"uint32", "uint32", 4, true, false},
    [UT_GGUF_INT32] = {"int32", "int32", 4, true, true},
    [UT_GGUF_FLOAT32] = {"float32", "float32", 4, false, false},
    [UT_GGUF_BOOL] = {"bool", "bools", 1, false, false},
    [UT_GGUF_STRING] = {"string", "strings", 0, false, false},
    [UT_GGUF_ARRAY] = {"array", "arrays", 0, false, false},
    [UT_GGUF_UINT64] = {"uint64", "uint64", 8, true, false},
    [UT_GGUF_INT64] = {"int64", "int64", 8, true, true},
    [UT_GGUF_FLOAT64] = {"float64", "float64", 8, false, false},
};

/* ---- Reading -------------------------------------------------------------------------------- */

/* Compared as a number before it is anything else: an enumeration loaded raw from a file, with a
 * value that it lacks, is undefined behaviour and was the first thing that a fuzzer found in other
 * readers. */
static utter_status read_type(struct ut_gguf_reader *r, uint8_t *out) {
    uint32_t type;
    size_t at = r->at;
    utter_status status = ut_gguf_read_u32(r, "the type of a value", &type);
    if (status) {
        return status;
    }
    if (type >= UT_GGUF_N_TYPES) {
        return ut_fail(r->err, UTTER_ERROR_FORMAT, "value type %u at byte %zu does not exist",
                       (unsigned)type, at);
    }
    *out = (uint8_t)type;
    return UTTER_OK;
}

/* A byte of 2 is true to one reader and no boolean to another; what must not depend on the compiler
 * is refused. */
static utter_status check_bools(const struct ut_gguf_reader *r, const uint8_t *bytes, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] > 1) {
            return ut_fail(r->err, UTTER_ERROR_FORMAT,
                           "a boolean of %d at byte %zu, neither 0 nor 1", bytes[i],
                           (size_t)(bytes + i - r->weights->data));
        }
    }
    return UTTER_OK;
}

static void decode_number(const uint8_t *bytes, struct ut_gguf_value *out) {
    size_t n_bytes = types[out->type].n_bytes;
    if (out->type == UT_GGUF_FLOAT32) {
        float value;
        memcpy(&value, bytes, sizeof value);
        out->real = (double)value;
        return;
    }
    /* All integers are kept as 64 bits, so that getters compare them without knowing how wide they
     * were. */
    uint64_t bits = 0; /* of a float64 they are those of `real` */
    memcpy(&bits, bytes, n_bytes);
    if (types[out->type].is_signed && n_bytes < 8 && bytes[n_bytes - 1] & 0x80) {
        bits |= UINT64_MAX << (8 * n_bytes);
    }
    out->bits = bits;
}

static utter_status read_strings(struct ut_gguf_reader *r, struct ut_gguf_value *out) {
    struct ut_weights *weights = r->weights;
    /* The count is the file's claim. It is held against the bytes that are left, at the 8 that even
     * an empty string takes, before anything is allocated: a file of 43 bytes may claim 2^63
     * elements. */
    if (out->n > (weights->n - r->at) / MIN_STRING_BYTES) {
        return ut_gguf_fail_end(r, "an array of strings");
    }
    if (out->n == 0) {
        return UTTER_OK;
    }
    const char **strings =
        ut_blocks_alloc(&weights->blocks, (size_t)out->n, sizeof *strings, r->err);
    if (!strings) {
        return weights->blocks.status;
    }
    for (size_t i = 0; i < out->n; i++) {
        utter_status status = ut_gguf_read_string(r, "a string in an array", &strings[i]);
        if (status) {
            return status;
        }
    }
    out->strings = strings;
    return UTTER_OK;
}

/* Arrays of numbers are passed over, after a check that they lie within the file and, for booleans,
 * that each is one. */
static utter_status read_array(struct ut_gguf_reader *r, struct ut_gguf_value *out) {
    size_t at = r->at;
    utter_status status = read_type(r, &out->element);
    if (!status) {
        status = ut_gguf_read_u64(r, "the length of an array", &out->n);
    }
    if (status) {
        return status;
    }
    if (out->element == UT_GGUF_ARRAY) {
        return ut_fail(r->err, UTTER_ERROR_UNSUPPORTED,
                       "an array of arrays at byte %zu, which is not read", at);
    }
    if (out->element == UT_GGUF_STRING) {
        return read_strings(r, out);
    }
    /* A product that wraps would make a huge array look short, and what follows it be read from its
     * middle. */
    uint64_t n_bytes;
    const uint8_t *bytes =
        ut_mul_u64(out->n, types[out->element].n_bytes, &n_bytes) ? ut_gguf_take(r, n_bytes) : NULL;
    if (!bytes) {
        return ut_gguf_fail_end(r, "an array");
    }
    return out->element == UT_GGUF_BOOL ? check_bools(r, bytes, (size_t)out->n) : UTTER_OK;
}

/* *text is set for strings only; other values get theirs from `describe`. */
static utter_status read_value(struct ut_gguf_reader *r, struct ut_gguf_value *out,
                               const char **text) {
    utter_status status = read_type(r, &out->type);
    if (status) {
        return status;
    }
    if (out->type == UT_GGUF_STRING) {
        return ut_gguf_read_string(r, "a string", text);
    }
    if (out->type == UT_GGUF_ARRAY) {
        return read_array(r, out);
    }
    const uint8_t *bytes = ut_gguf_take(r, types[out->type].n_bytes);
    if (!bytes) {
        return ut_gguf_fail_end(r, "a value");
    }
    decode_number(bytes, out);
    return out->type == UT_GGUF_BOOL ? check_bools(r, bytes, 1) : UTTER_OK;
}

/* Numbers as C writes them, arrays as "[178 strings]". */
static const char *describe(struct ut_gguf_reader *r, const struct ut_gguf_value *value) {
    char text[64];
    int n;
    if (value->type == UT_GGUF_ARRAY) {
        n = snprintf(text, sizeof text, "[%" PRIu64 " %s]", value->n, types[value->element].plural);
    } else if (value->type == UT_GGUF_BOOL) {
        n = snprintf(text, sizeof text, "%s", value->bits ? "true" : "false");
    } else if (types[value->type].is_signed) {
        n = snprintf(text, sizeof text, "%" PRId64, (int64_t)value->bits);
    } else if (types[value->type].is_integer) {
        n = snprintf(text, sizeof text, "%" PRIu64, value->bits);
    } else {
        n = snprintf(text, sizeof text, value->type == UT_GGUF_FLOAT32 ? "%.9g" : "%.17g",
                     value->real);
        char *comma = strchr(text, ','); /* of the program's locale */
        if (comma) {
            *comma = '.';
        }
    }
    return ut_blocks_strndup(&r->weights->blocks, text, (size_t)n, r->err);
}

/* Key and value with its text. Of the specification's rules for keys only the length is checked. */
static utter_status read_entry(struct ut_gguf_reader *r, struct ut_metadata *entry,
                               struct ut_gguf_value *value) {
    size_t at = r->at;
    utter_status status = ut_gguf_read_string(r, "a key", &entry->key);
    if (status) {
        return status;
    }
    size_t n_key = strlen(entry->key);
    if (n_key == 0 || n_key > UT_GGUF_MAX_KEY_BYTES) {
        return ut_fail(r->err, UTTER_ERROR_FORMAT, "a key of %zu bytes at byte %zu, 1 to %d may be",
                       n_key, at, UT_GGUF_MAX_KEY_BYTES);
    }
    status = read_value(r, value, &entry->value);
    if (status) {
        return ut_fail_context(r->err, status, "key \"%.100s\"", entry->key);
    }
    if (value->type != UT_GGUF_STRING) {
        entry->value = describe(r, value);
    }
    return entry->value ? UTTER_OK : r->weights->blocks.status;
}

/* ---- Keys ----------------------------------------------------------------------------------- */

/* As for tensors (table.c): sorted once, so that duplicates and look-ups cost O(n log n) and O(log
 * n) however many keys a file has. */
static int compare_keys(uint32_t a, uint32_t b, const void *context) {
    const struct ut_metadata *metadata = context;
    return strcmp(metadata[a].key, metadata[b].key);
}

static utter_status index_keys(struct ut_gguf_reader *r) {
    struct ut_weights *weights = r->weights;
    uint32_t *by_key = weights->gguf->by_key;
    for (size_t i = 0; i < weights->n_metadata; i++) {
        by_key[i] = (uint32_t)i;
    }
    ut_sort_u32(by_key, weights->n_metadata, compare_keys, weights->metadata);
    for (size_t i = 1; i < weights->n_metadata; i++) {
        if (compare_keys(by_key[i - 1], by_key[i], weights->metadata) == 0) {
            return ut_fail(r->err, UTTER_ERROR_FORMAT, "key \"%.100s\" stands twice in the file",
                           weights->metadata[by_key[i]].key);
        }
    }
    return UTTER_OK;
}

utter_status ut_gguf_read_values(struct ut_gguf_reader *r, uint64_t n) {
    struct ut_weights *weights = r->weights;
    size_t left = weights->n - r->at;
    if (n > left / MIN_ENTRY_BYTES || n > UINT32_MAX) {
        return ut_fail(r->err, UTTER_ERROR_FORMAT,
                       "%" PRIu64 " metadata keys at byte 16, %zu bytes cannot hold them", n, left);
    }
    /* Four tables for n entries of at least 14 bytes each, which the check above has bounded:
     * together they stay within a few times the file. */
    struct ut_blocks *blocks = &weights->blocks;
    struct ut_gguf *gguf = weights->gguf = ut_blocks_alloc(blocks, 1, sizeof *gguf, r->err);
    if (gguf) {
        gguf->values = ut_blocks_alloc(blocks, (size_t)n, sizeof *gguf->values, r->err);
    }
    if (gguf && gguf->values) {
        gguf->by_key = ut_blocks_alloc(blocks, (size_t)n, sizeof *gguf->by_key, r->err);
    }
    if (gguf && gguf->by_key) {
        weights->metadata = ut_blocks_alloc(blocks, (size_t)n, sizeof *weights->metadata, r->err);
    }
    if (!weights->metadata) {
        return blocks->status;
    }
    for (size_t i = 0; i < n; i++) {
        utter_status status = read_entry(r, &weights->metadata[i], &gguf->values[i]);
        if (status) {
            return ut_fail_context(r->err, status, "metadata entry %zu", i);
        }
        /* Counted when it is whole: after a failure nothing half-read is visible. */
        weights->n_metadata++;
    }
    return index_keys(r);
}

/* ---- Getters -------------------------------------------------------------------------------- */

/* Binary search in by_key; values and metadata have the same indexes, so either leads to the
 * other. */
const struct ut_gguf_value *ut_gguf_find(const struct ut_weights *weights, const char *key) {
    size_t low = 0, high = weights->gguf ? weights->n_metadata : 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        uint32_t index = weights->gguf->by_key[middle];
        int order = strcmp(key, weights->metadata[index].key);
        if (order == 0) {
            return &weights->gguf->values[index];
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

bool ut_gguf_has(const struct ut_weights *weights, const char *key) {
    return ut_gguf_find(weights, key) != NULL;
}

static utter_status fail_missing(const char *key, utter_error *err) {
    return ut_fail(err, UTTER_ERROR_NOT_FOUND, "the file has no key \"%.100s\"", key);
}

/* Names both types: what the key has and what the caller can use. */
static utter_status fail_type(const char *key, const struct ut_gguf_value *value,
                              const char *wanted, utter_error *err) {
    return ut_fail(err, UTTER_ERROR_FORMAT, "key \"%.100s\" is %s%s, expected %s", key,
                   value->type == UT_GGUF_ARRAY ? "an array of " : "",
                   value->type == UT_GGUF_ARRAY ? types[value->element].plural
                                                : types[value->type].name,
                   wanted);
}

utter_status ut_gguf_get_string(const struct ut_weights *weights, const char *key, const char **out,
                                utter_error *err) {
    const struct ut_gguf_value *value = ut_gguf_find(weights, key);
    if (!value) {
        return fail_missing(key, err);
    }
    if (value->type != UT_GGUF_STRING) {
        return fail_type(key, value, "a string", err);
    }
    *out = weights->metadata[value - weights->gguf->values].value;
    return UTTER_OK;
}

utter_status ut_gguf_get_int(const struct ut_weights *weights, const char *key, int64_t *out,
                             utter_error *err) {
    const struct ut_gguf_value *value = ut_gguf_find(weights, key);
    if (!value) {
        return fail_missing(key, err);
    }
    /* Of any width and sign, as writers disagree: the same key is uint32 to one and int64 to
     * another. */
    if (!types[value->type].is_integer) {
        return fail_type(key, value, "an integer", err);
    }
    if (!types[value->type].is_signed && value->bits > INT64_MAX) {
        return ut_fail(err, UTTER_ERROR_FORMAT, "key \"%.100s\" is %" PRIu64 ", too large", key,
                       value->bits);
    }
    *out = (int64_t)value->bits;
    return UTTER_OK;
}

utter_status ut_gguf_get_float(const struct ut_weights *weights, const char *key, double *out,
                               utter_error *err) {
    const struct ut_gguf_value *value = ut_gguf_find(weights, key);
    if (!value) {
        return fail_missing(key, err);
    }
    if (value->type != UT_GGUF_FLOAT32 && value->type != UT_GGUF_FLOAT64) {
        return fail_type(key, value, "a float", err);
    }
    *out = value->real;
    return UTTER_OK;
}

utter_status ut_gguf_get_bool(const struct ut_weights *weights, const char *key, bool *out,
                              utter_error *err) {
    const struct ut_gguf_value *value = ut_gguf_find(weights, key);
    if (!value) {
        return fail_missing(key, err);
    }
    if (value->type != UT_GGUF_BOOL) {
        return fail_type(key, value, "a bool", err);
    }
    *out = value->bits != 0;
    return UTTER_OK;
}

utter_status ut_gguf_get_strings(const struct ut_weights *weights, const char *key,
                                 const char *const **out, size_t *n, utter_error *err) {
    const struct ut_gguf_value *value = ut_gguf_find(weights, key);
    if (!value) {
        return fail_missing(key, err);
    }
    if (value->type != UT_GGUF_ARRAY || value->element != UT_GGUF_STRING) {
        return fail_type(key, value, "an array of strings", err);
    }
    *out = value->strings;
    *n = (size_t)value->n;
    return UTTER_OK;
}
