/* Writing GGUF version 3, little-endian. Keys and descriptions are collected in memory as the bytes
 * that the file begins with; data goes straight to the file. */
#include <string.h>

#include "base/checked.h"
#include "base/utf8.h"
#include "weights/gguf_reader.h"
#include "weights/new_file.h"

enum { MAX_DESCRIPTION_BYTES = 4 + 8 * UT_MAX_DIMS + 4 + 8 }; /* of a tensor, without its name */

/* GGUF's number of an element type, plus one so that 0 stands for none. */
static const uint8_t type_ids[UT_N_DTYPES] = {
    [UT_F32] = 1 + 0,   [UT_F16] = 1 + 1,   [UT_Q4_0] = 1 + 2,   [UT_Q4_1] = 1 + 3,
    [UT_Q5_0] = 1 + 6,  [UT_Q5_1] = 1 + 7,  [UT_Q8_0] = 1 + 8,   [UT_Q2_K] = 1 + 10,
    [UT_Q3_K] = 1 + 11, [UT_Q4_K] = 1 + 12, [UT_Q5_K] = 1 + 13,  [UT_Q6_K] = 1 + 14,
    [UT_I8] = 1 + 24,   [UT_I16] = 1 + 25,  [UT_I32] = 1 + 26,   [UT_I64] = 1 + 27,
    [UT_F64] = 1 + 28,  [UT_BF16] = 1 + 30, [UT_TQ1_0] = 1 + 34, [UT_TQ2_0] = 1 + 35,
};

/* A buffer that only grows, by doubling. */
struct bytes {
    char *data;
    size_t n, capacity;
};

/* Names seen, as their places in `bytes` behind a length of 8; open addressing, 0: empty. */
struct name_set {
    size_t *slots;
    size_t n, capacity; /* a power of two, at least twice n */
};

/* `values` and `tensors` are what the file will hold behind its header, byte for byte; the counts
 * in the header come from the two sets, which have one name for each entry. */
struct ut_gguf_writer {
    struct ut_mem *mem;
    char *path;
    struct bytes values, tensors; /* as in the file */
    struct name_set keys, names;
    struct bytes sizes; /* uint64_t of each tensor */
    uint64_t n_data;    /* declared, with padding */
    size_t n_put;       /* tensors whose data is there */
    bool has_header, is_open;
    struct ut_new_file file;
};

/* ---- Bytes ---------------------------------------------------------------------------------- */

/* Makes room for n more, so that what follows cannot fail and no half of an entry is ever kept. */
static utter_status reserve(struct ut_gguf_writer *w, struct bytes *bytes, size_t n,
                            utter_error *err) {
    size_t needed, grown;
    if (!ut_add_size(bytes->n, n, &needed) || !ut_mul_size(needed, 2, &grown)) {
        return ut_fail_memory(err, SIZE_MAX);
    }
    if (needed > bytes->capacity) {
        char *block = ut_mem_realloc(w->mem, UT_MEM_OTHER, bytes->data, grown);
        if (!block) {
            return ut_fail_memory(err, grown);
        }
        bytes->data = block;
        bytes->capacity = grown;
    }
    return UTTER_OK;
}

/* The caller has reserved the room; so have those of the functions below. */
static void append(struct bytes *bytes, const void *data, size_t n) {
    memcpy(bytes->data + bytes->n, data, n);
    bytes->n += n;
}

static void append_u32(struct bytes *bytes, uint32_t value) {
    append(bytes, &value, sizeof value);
}

static void append_u64(struct bytes *bytes, uint64_t value) {
    append(bytes, &value, sizeof value);
}

/* As the format has them: the length in 64 bits, then the bytes without a NUL. */
static void append_string(struct bytes *bytes, const char *text) {
    append_u64(bytes, strlen(text));
    append(bytes, text, strlen(text));
}

/* ---- Names ---------------------------------------------------------------------------------- */

/* The slot of a name, or the empty one where it belongs. At most half of the slots are taken, so
 * the search ends. The key of an empty slot is 0, which no name has: 8 bytes of length are in front
 * of the first. */
static size_t *find_slot(const struct name_set *set, const struct bytes *bytes, const char *name,
                         size_t n) {
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
    for (size_t i = 0; i < n; i++) {
        hash = (hash ^ (uint8_t)name[i]) * UINT64_C(1099511628211);
    }
    for (size_t at = (size_t)hash;; at++) {
        size_t *slot = &set->slots[at & (set->capacity - 1)];
        uint64_t n_there;
        if (*slot == 0) {
            return slot;
        }
        memcpy(&n_there, bytes->data + *slot - sizeof n_there, sizeof n_there);
        if (n_there == n && memcmp(bytes->data + *slot, name, n) == 0) {
            return slot;
        }
    }
}

/* Places are offsets, not pointers: they stay right when `bytes` moves. All are hashed again. */
static utter_status grow_set(struct ut_gguf_writer *w, struct name_set *set,
                             const struct bytes *bytes, utter_error *err) {
    struct name_set grown = {.n = set->n, .capacity = set->capacity ? 2 * set->capacity : 64};
    grown.slots = ut_mem_calloc(w->mem, UT_MEM_OTHER, grown.capacity, sizeof *grown.slots);
    if (!grown.slots) {
        return ut_fail_memory(err, grown.capacity * sizeof *grown.slots);
    }
    for (size_t i = 0; i < set->capacity; i++) {
        if (set->slots[i] != 0) {
            const char *name = bytes->data + set->slots[i];
            uint64_t n;
            memcpy(&n, name - sizeof n, sizeof n);
            *find_slot(&grown, bytes, name, (size_t)n) = set->slots[i];
        }
    }
    ut_mem_free(w->mem, set->slots);
    *set = grown;
    return UTTER_OK;
}

/* Appends a name that must be new, with its length in front, and makes room for n_more bytes.
 * Everything that can fail is done first: after an error the writer is as it was before the
 * call. */
static utter_status append_name(struct ut_gguf_writer *w, struct name_set *set, struct bytes *bytes,
                                const char *what, const char *name, size_t n_more,
                                utter_error *err) {
    size_t n = strlen(name), n_total;
    if (w->has_header) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "%s \"%.100s\" is declared after the first data",
                       what, name);
    }
    if (n == 0 || !ut_utf8_valid(name, n)) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "%s \"%.100s\" is empty or not UTF-8", what,
                       name);
    }
    if (!ut_add_size(n_more, sizeof(uint64_t) + n, &n_total)) {
        return ut_fail_memory(err, SIZE_MAX);
    }
    utter_status status = reserve(w, bytes, n_total, err);
    if (!status && 2 * (set->n + 1) > set->capacity) {
        status = grow_set(w, set, bytes, err);
    }
    if (status) {
        return status;
    }
    size_t *slot = find_slot(set, bytes, name, n);
    if (*slot != 0) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "%s \"%.100s\" is there already", what, name);
    }
    append_string(bytes, name);
    *slot = bytes->n - n;
    set->n++;
    return UTTER_OK;
}

/* ---- Metadata ------------------------------------------------------------------------------- */

/* A key and its type, with room for n_value bytes. */
static utter_status append_key(struct ut_gguf_writer *w, const char *key, enum ut_gguf_type type,
                               size_t n_value, utter_error *err) {
    size_t n_more;
    if (strlen(key) > UT_GGUF_MAX_KEY_BYTES) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "key \"%.100s\" is longer than %d bytes", key,
                       UT_GGUF_MAX_KEY_BYTES);
    }
    if (strcmp(key, "general.alignment") == 0) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT,
                       "key \"general.alignment\" is not for callers: data is aligned to %d",
                       UT_GGUF_ALIGNMENT);
    }
    if (!ut_add_size(n_value, sizeof(uint32_t), &n_more)) {
        return ut_fail_memory(err, SIZE_MAX);
    }
    utter_status status = append_name(w, &w->keys, &w->values, "key", key, n_more, err);
    if (!status) {
        append_u32(&w->values, (uint32_t)type);
    }
    return status;
}

static utter_status check_string(const char *key, const char *value, utter_error *err) {
    return ut_utf8_valid(value, strlen(value))
               ? UTTER_OK
               : ut_fail(err, UTTER_ERROR_ARGUMENT, "key \"%.100s\": a string that is not UTF-8",
                         key);
}

utter_status ut_gguf_put_string(struct ut_gguf_writer *writer, const char *key, const char *value,
                                utter_error *err) {
    utter_status status = check_string(key, value, err);
    if (!status) {
        size_t n_value = sizeof(uint64_t) + strlen(value);
        status = append_key(writer, key, UT_GGUF_STRING, n_value, err);
    }
    if (!status) {
        append_string(&writer->values, value);
    }
    return status;
}

utter_status ut_gguf_put_uint32(struct ut_gguf_writer *writer, const char *key, uint32_t value,
                                utter_error *err) {
    utter_status status = append_key(writer, key, UT_GGUF_UINT32, sizeof value, err);
    if (!status) {
        append_u32(&writer->values, value);
    }
    return status;
}

utter_status ut_gguf_put_float(struct ut_gguf_writer *writer, const char *key, float value,
                               utter_error *err) {
    utter_status status = append_key(writer, key, UT_GGUF_FLOAT32, sizeof value, err);
    if (!status) {
        append(&writer->values, &value, sizeof value);
    }
    return status;
}

utter_status ut_gguf_put_bool(struct ut_gguf_writer *writer, const char *key, bool value,
                              utter_error *err) {
    utter_status status = append_key(writer, key, UT_GGUF_BOOL, 1, err);
    if (!status) {
        append(&writer->values, value ? "\1" : "\0", 1);
    }
    return status;
}

/* The size is summed and reserved before a byte is written: the array goes in whole or not at
 * all. */
utter_status ut_gguf_put_strings(struct ut_gguf_writer *writer, const char *key,
                                 const char *const *values, size_t n, utter_error *err) {
    size_t n_value = sizeof(uint32_t) + sizeof(uint64_t);
    for (size_t i = 0; i < n; i++) {
        utter_status status = check_string(key, values[i], err);
        if (status) {
            return status;
        }
        if (!ut_add_size(n_value, sizeof(uint64_t) + strlen(values[i]), &n_value)) {
            return ut_fail_memory(err, SIZE_MAX);
        }
    }
    utter_status status = append_key(writer, key, UT_GGUF_ARRAY, n_value, err);
    if (status) {
        return status;
    }
    append_u32(&writer->values, UT_GGUF_STRING);
    append_u64(&writer->values, n);
    for (size_t i = 0; i < n; i++) {
        append_string(&writer->values, values[i]);
    }
    return UTTER_OK;
}

/* ---- Tensors -------------------------------------------------------------------------------- */

/* n_bytes is the caller's claim and decides how much will be put; it is computed again from the
 * shape. */
static utter_status check_tensor(const struct ut_tensor *tensor, utter_error *err) {
    if (type_ids[tensor->type] == 0) {
        return ut_fail(err, UTTER_ERROR_UNSUPPORTED, "tensor \"%.100s\": GGUF has no type %s",
                       tensor->name, ut_dtype_name(tensor->type));
    }
    struct ut_tensor again;
    if (tensor->n_dims < 0 || tensor->n_dims > UT_MAX_DIMS ||
        !ut_tensor_set_shape(&again, tensor->type, tensor->dims, tensor->n_dims) ||
        again.n_bytes == 0 || again.n_bytes != tensor->n_bytes) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT,
                       "tensor \"%.100s\": its shape or size cannot be written", tensor->name);
    }
    return UTTER_OK;
}

/* Zero bytes that follow n bytes up to the next multiple of the alignment, a power of two. */
static size_t n_padding(uint64_t n) {
    return (size_t)(-n & (UT_GGUF_ALIGNMENT - 1));
}

/* Dimensions are written from the fastest to the slowest; a scalar gets one of 1. The offset is
 * where its data will be put, counted from the beginning of all data. */
utter_status ut_gguf_put_tensor(struct ut_gguf_writer *writer, const struct ut_tensor *tensor,
                                utter_error *err) {
    utter_status status = check_tensor(tensor, err);
    if (status) {
        return status;
    }
    uint64_t n_data;
    if (!ut_add_u64(writer->n_data, tensor->n_bytes + n_padding(tensor->n_bytes), &n_data)) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "tensor \"%.100s\" makes the file too large",
                       tensor->name);
    }
    status = reserve(writer, &writer->sizes, sizeof(uint64_t), err);
    struct bytes *out = &writer->tensors;
    if (!status) {
        status = append_name(writer, &writer->names, out, "tensor", tensor->name,
                             MAX_DESCRIPTION_BYTES, err);
    }
    if (status) {
        return status;
    }
    int n_dims = UT_MAX(tensor->n_dims, 1);
    append_u32(out, (uint32_t)n_dims);
    for (int d = n_dims - 1; d >= 0; d--) {
        append_u64(out, d < tensor->n_dims ? tensor->dims[d] : 1);
    }
    append_u32(out, type_ids[tensor->type] - 1u);
    append_u64(out, writer->n_data);
    append_u64(&writer->sizes, tensor->n_bytes);
    writer->n_data = n_data;
    return UTTER_OK;
}

/* ---- The file ------------------------------------------------------------------------------- */

/* To the next multiple of UT_GGUF_ALIGNMENT, as readers expect of every tensor's data. */
static void put_padding(struct ut_new_file *file) {
    static const char zeros[UT_GGUF_ALIGNMENT];
    ut_new_file_put(file, zeros, n_padding(file->n_bytes));
}

/* Written with the first data, or by finish in a file without tensors; no declaration may follow
 * it. */
static void put_header(struct ut_gguf_writer *w) {
    const uint32_t version = 3;
    const uint64_t counts[2] = {w->names.n, w->keys.n};
    ut_new_file_put(&w->file, "GGUF", 4);
    ut_new_file_put(&w->file, &version, sizeof version);
    ut_new_file_put(&w->file, counts, sizeof counts);
    ut_new_file_put(&w->file, w->values.data, w->values.n);
    ut_new_file_put(&w->file, w->tensors.data, w->tensors.n);
    put_padding(&w->file);
    w->has_header = true;
}

/* Offsets were promised in the header, so the data must have exactly the size declared. */
utter_status ut_gguf_put_data(struct ut_gguf_writer *writer, const void *data, size_t n_bytes,
                              utter_error *err) {
    uint64_t expected = 0;
    if (writer->n_put == writer->names.n) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "data of no tensor: all %zu have theirs",
                       writer->n_put);
    }
    memcpy(&expected, writer->sizes.data + writer->n_put * sizeof expected, sizeof expected);
    if (n_bytes != expected) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "tensor %zu has %llu bytes of data, not %zu",
                       writer->n_put, (unsigned long long)expected, n_bytes);
    }
    if (!writer->has_header) {
        put_header(writer);
    }
    ut_new_file_put(&writer->file, data, n_bytes);
    put_padding(&writer->file);
    writer->n_put++;
    return ut_new_file_check(&writer->file, err);
}

/* The file exists from here on, under its temporary name (new_file.h). */
utter_status ut_gguf_writer_create(struct ut_mem *mem, const char *path,
                                   struct ut_gguf_writer **out, utter_error *err) {
    *out = NULL;
    struct ut_gguf_writer *w = ut_mem_calloc(mem, UT_MEM_OTHER, 1, sizeof *w);
    if (!w) {
        return ut_fail_memory(err, sizeof *w);
    }
    w->mem = mem;
    w->path = ut_mem_strndup(mem, UT_MEM_OTHER, path, strlen(path));
    utter_status status = w->path ? ut_new_file_create(&w->file, w->path, err)
                                  : ut_fail_memory(err, strlen(path) + 1);
    w->is_open = status == UTTER_OK;
    if (status) {
        ut_gguf_writer_destroy(w);
        return status;
    }
    *out = w;
    return UTTER_OK;
}

/* A writer is finished once; what was begun and not finished leaves no file. */
utter_status ut_gguf_writer_finish(struct ut_gguf_writer *writer, utter_error *err) {
    if (!writer->is_open || writer->n_put < writer->names.n) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "%s: finished %s", writer->path,
                       writer->is_open ? "before all tensors have their data" : "already");
    }
    if (!writer->has_header) {
        put_header(writer);
    }
    writer->is_open = false;
    return ut_new_file_finish(&writer->file, err);
}

void ut_gguf_writer_destroy(struct ut_gguf_writer *writer) {
    if (!writer) {
        return;
    }
    if (writer->is_open) {
        ut_new_file_abandon(&writer->file);
    }
    ut_mem_free(writer->mem, writer->values.data);
    ut_mem_free(writer->mem, writer->tensors.data);
    ut_mem_free(writer->mem, writer->sizes.data);
    ut_mem_free(writer->mem, writer->keys.slots);
    ut_mem_free(writer->mem, writer->names.slots);
    ut_mem_free(writer->mem, writer->path);
    ut_mem_free(writer->mem, writer);
}
