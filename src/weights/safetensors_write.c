/* Writing safetensors files: the header is put together piece by piece, once to measure it and once
 * to write it, so that nothing is allocated. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/utf8.h"
#include "weights/new_file.h"
#include "weights/weights.h"

/* The reference writer pads the header to 8, so that readers can use every type in place; the limit
 * is the reference reader's. */
enum { ALIGNMENT = 8, MAX_HEADER_BYTES = 100000000 };

static const char *const dtype_names[UT_N_DTYPES] = {
    [UT_F32] = "F32", [UT_F16] = "F16", [UT_BF16] = "BF16", [UT_F64] = "F64", [UT_I8] = "I8",
    [UT_U8] = "U8",   [UT_I16] = "I16", [UT_U16] = "U16",   [UT_I32] = "I32", [UT_U32] = "U32",
    [UT_I64] = "I64", [UT_U64] = "U64", [UT_BOOL] = "BOOL",
};

/* For what fits into 128 bytes: numbers and fixed text, never names. */
__attribute__((format(printf, 2, 3))) static void put_format(struct ut_new_file *out,
                                                             const char *format, ...) {
    char text[128];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    ut_new_file_put(out, text, (size_t)n);
}

/* ---- Content -------------------------------------------------------------------------------- */

/* A JSON string; what is not ASCII stays UTF-8. */
static void put_string(struct ut_new_file *out, const char *text) {
    ut_new_file_put(out, "\"", 1);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            put_format(out, "\\%c", c);
        } else if (c < 0x20) {
            put_format(out, "\\u%04x", c);
        } else {
            ut_new_file_put(out, text, 1);
        }
    }
    ut_new_file_put(out, "\"", 1);
}

/* Tensors lie without gaps in the order given, so the offsets are running sums. */
static void put_header(struct ut_new_file *out, const struct ut_tensor *tensors, size_t n_tensors) {
    uint64_t offset = 0;
    ut_new_file_put(out, "{", 1);
    for (size_t i = 0; i < n_tensors; i++) {
        const struct ut_tensor *tensor = &tensors[i];
        if (i > 0) {
            ut_new_file_put(out, ",", 1);
        }
        put_string(out, tensor->name);
        put_format(out, ":{\"dtype\":\"%s\",\"shape\":[", dtype_names[tensor->type]);
        for (int d = 0; d < tensor->n_dims; d++) {
            put_format(out, d > 0 ? ",%llu" : "%llu", (unsigned long long)tensor->dims[d]);
        }
        put_format(out, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)offset,
                   (unsigned long long)(offset + tensor->n_bytes));
        offset += tensor->n_bytes;
    }
    ut_new_file_put(out, "}", 1);
    while (out->n_bytes % ALIGNMENT != 0) { /* the length in front of the header is 8 bytes, too */
        ut_new_file_put(out, " ", 1);
    }
}

static void put_file(struct ut_new_file *out, const struct ut_tensor *tensors, size_t n_tensors,
                     uint64_t n_header) {
    ut_new_file_put(out, &n_header,
                    sizeof n_header); /* little-endian, as weights/dtype.c demands */
    put_header(out, tensors, n_tensors);
    for (size_t i = 0; i < n_tensors; i++) {
        ut_new_file_put(out, tensors[i].data, tensors[i].n_bytes);
    }
}

/* Everything that could make a file that no reader takes, before the first byte is written. */
static utter_status check_tensors(const struct ut_tensor *tensors, size_t n_tensors,
                                  utter_error *err) {
    for (size_t i = 0; i < n_tensors; i++) {
        const struct ut_tensor *t = &tensors[i];
        if (!dtype_names[t->type]) {
            return ut_fail(err, UTTER_ERROR_UNSUPPORTED,
                           "tensor \"%.100s\": safetensors has no type %s, write it as GGUF",
                           t->name, ut_dtype_name(t->type));
        }
        uint64_t n_bytes = ut_dtype_size(t->type);
        bool ok = t->n_dims >= 0 && t->n_dims <= UT_MAX_DIMS &&
                  ut_utf8_valid(t->name, strlen(t->name)) && strcmp(t->name, "__metadata__") != 0;
        for (int d = 0; ok && d < t->n_dims; d++) {
            ok = ut_mul_u64(n_bytes, t->dims[d], &n_bytes);
        }
        if (!ok || n_bytes != t->n_bytes) {
            return ut_fail(err, UTTER_ERROR_ARGUMENT,
                           "tensor \"%.100s\": its name, shape or size cannot be "
                           "written",
                           t->name);
        }
    }
    return UTTER_OK;
}

/* ---- The file ------------------------------------------------------------------------------- */

utter_status ut_safetensors_write(const char *path, const struct ut_tensor *tensors,
                                  size_t n_tensors, utter_error *err) {
    utter_status status = check_tensors(tensors, n_tensors, err);
    if (status) {
        return status;
    }
    struct ut_new_file out;
    ut_new_file_measure(&out);
    put_header(&out, tensors, n_tensors);
    uint64_t n_header = out.n_bytes;
    if (n_header > MAX_HEADER_BYTES) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "%s: a header of %llu bytes is too large", path,
                       (unsigned long long)n_header);
    }
    status = ut_new_file_create(&out, path, err);
    if (status) {
        return status;
    }
    put_file(&out, tensors, n_tensors, n_header);
    return ut_new_file_finish(&out, err);
}
