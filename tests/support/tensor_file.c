/* See tensor_file.h. */
#include "support/tensor_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "compute/narrow.h"
#include "quant/half.h"

static char *copy_name(const char *name) {
    return strcpy(test_alloc(strlen(name) + 1), name);
}

struct ut_tensor *tensor_file_copy(struct tensor_file *file, const char *name,
                                   const struct ut_tensor *tensor) {
    if (file->n == file->capacity) {
        struct ut_tensor *old = file->tensors;
        file->capacity = 2 * file->capacity + 64;
        file->tensors = test_alloc(file->capacity * sizeof *old);
        if (file->n) {
            memcpy(file->tensors, old, file->n * sizeof *old);
        }
        free(old);
    }
    struct ut_tensor *copy = &file->tensors[file->n++];
    void *data = test_alloc(tensor->n_bytes + 1);
    if (tensor->n_bytes) {
        memcpy(data, tensor->data, tensor->n_bytes);
    }
    *copy = *tensor;
    copy->name = copy_name(name);
    copy->data = data;
    return copy;
}

struct ut_tensor *tensor_file_add(struct tensor_file *file, const char *name,
                                  const uint64_t dims[UT_MAX_DIMS], const float *values) {
    struct ut_tensor tensor = {.type = UT_F32, .dims = {1, 1, 1, 1}};
    size_t n = 1;
    while (tensor.n_dims < UT_MAX_DIMS && dims[tensor.n_dims]) {
        n *= dims[tensor.n_dims];
        tensor.dims[tensor.n_dims] = dims[tensor.n_dims];
        tensor.n_dims++;
    }
    float *counted = test_alloc((n + 1) * sizeof *counted);
    for (size_t i = 0; i < n; i++) {
        counted[i] = (float)(i + 1);
    }
    tensor.n_bytes = n * sizeof(float);
    tensor.data = values ? values : counted;
    struct ut_tensor *added = tensor_file_copy(file, name, &tensor);
    free(counted);
    return added;
}

void tensor_file_read(struct tensor_file *file, const struct ut_weights *weights) {
    for (size_t i = 0; i < ut_weights_count(weights); i++) {
        const struct ut_tensor *tensor = ut_weights_at(weights, i);
        tensor_file_copy(file, tensor->name, tensor);
    }
}

struct ut_tensor *tensor_file_find(struct tensor_file *file, const char *name) {
    for (size_t i = 0; i < file->n; i++) {
        if (strcmp(file->tensors[i].name, name) == 0) {
            return &file->tensors[i];
        }
    }
    fprintf(stderr, "tensor_file_find: there is no %s\n", name);
    exit(1);
}

void tensor_file_rename(struct ut_tensor *tensor, const char *name) {
    char *copy = copy_name(name); /* which may be the name it has */
    free((void *)(uintptr_t)tensor->name);
    tensor->name = copy;
}

void tensor_file_reshape(struct ut_tensor *tensor, const uint64_t dims[UT_MAX_DIMS]) {
    struct ut_tensor shaped = *tensor;
    size_t n_bytes = ut_dtype_size(tensor->type);
    shaped.n_dims = 0;
    for (int i = 0; i < UT_MAX_DIMS; i++) {
        shaped.dims[i] = 1;
    }
    while (shaped.n_dims < UT_MAX_DIMS && dims[shaped.n_dims]) {
        shaped.dims[shaped.n_dims] = dims[shaped.n_dims];
        n_bytes *= (size_t)dims[shaped.n_dims++];
    }
    size_t n_kept = n_bytes < tensor->n_bytes ? n_bytes : tensor->n_bytes;
    char *data = test_alloc(n_bytes);
    memcpy(data, tensor->data, n_kept);
    memset(data + n_kept, 0, n_bytes - n_kept);
    free((void *)(uintptr_t)tensor->data);
    *tensor = shaped;
    tensor->data = data;
    tensor->n_bytes = n_bytes;
}

void tensor_file_convert(struct ut_tensor *tensor, enum ut_dtype type) {
    const float *from = tensor->data;
    size_t n = tensor->n_bytes / sizeof *from, size = ut_dtype_size(type);
    char *to = test_alloc(n * size + 1);
    for (size_t i = 0; i < n; i++) {
        uint16_t half = type == UT_F16 ? ut_f16_from_f32(from[i]) : ut_bf16_from_f32(from[i]);
        int64_t whole = from[i] > -1e9f && from[i] < 1e9f ? (int64_t)from[i] : 0;
        memcpy(to + i * size, type == UT_I64 ? (const void *)&whole : &half, size);
    }
    free((void *)(uintptr_t)tensor->data);
    tensor->data = to;
    tensor->type = type;
    tensor->n_bytes = n * size;
}

void tensor_file_store_int8(struct tensor_file *file, struct ut_tensor *tensor, bool transposed) {
    size_t n_ch = (size_t)tensor->dims[transposed], n_outer = transposed ? tensor->dims[0] : 1;
    size_t n = tensor->n_bytes / sizeof(float), n_inner = n / UT_MAX(n_ch * n_outer, 1);
    float *steps = test_alloc((n_ch + 1) * sizeof *steps);
    int8_t *q = test_alloc(n + 1);
    char name[256];
    ut_narrow_steps(tensor->data, n_outer, n_ch, n_inner, steps);
    ut_narrow_round(tensor->data, n_outer, n_ch, n_inner, steps, q);
    free((void *)(uintptr_t)tensor->data);
    tensor->data = q;
    tensor->type = UT_I8;
    tensor->n_bytes = n;
    snprintf(name, sizeof name, "%s.scale", tensor->name);
    tensor_file_add(file, name, (const uint64_t[UT_MAX_DIMS]){n_ch}, steps);
    free(steps);
}

static void free_tensor(struct ut_tensor *tensor) {
    free((void *)(uintptr_t)tensor->name);
    free((void *)(uintptr_t)tensor->data);
}

void tensor_file_remove(struct tensor_file *file, const char *name) {
    struct ut_tensor *tensor = tensor_file_find(file, name);
    free_tensor(tensor);
    file->n--;
    memmove(tensor, tensor + 1, (size_t)(file->tensors + file->n - tensor) * sizeof *tensor);
}

void tensor_file_free(struct tensor_file *file) {
    for (size_t i = 0; i < file->n; i++) {
        free_tensor(&file->tensors[i]);
    }
    free(file->tensors);
    *file = (struct tensor_file){0};
}

static const char *type_name(enum ut_dtype type) {
    switch (type) {
    case UT_F32:
        return "F32";
    case UT_F16:
        return "F16";
    case UT_BF16:
        return "BF16";
    case UT_I64:
        return "I64";
    case UT_I8:
        return "I8";
    default:
        fprintf(stderr, "tensor_file: no safetensors name for this type\n");
        exit(1);
    }
}

void tensor_file_write_safetensors(const struct tensor_file *file, struct byte_buffer *out) {
    size_t at = 0;
    struct byte_buffer header = {0};
    for (size_t i = 0; i < file->n; i++) {
        const struct ut_tensor *t = &file->tensors[i];
        byte_buffer_printf(&header, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", i ? "," : "{",
                           t->name, type_name(t->type));
        for (int d = 0; d < t->n_dims; d++) {
            byte_buffer_printf(&header, "%s%llu", d ? "," : "", (unsigned long long)t->dims[d]);
        }
        byte_buffer_printf(&header, "],\"data_offsets\":[%zu,%zu]}", at, at + t->n_bytes);
        at += t->n_bytes;
    }
    byte_buffer_printf(&header, "%s}", file->n ? "" : "{");
    uint64_t n_header = header.n;
    byte_buffer_append(out, &n_header, sizeof n_header);
    byte_buffer_append(out, header.data, header.n);
    for (size_t i = 0; i < file->n; i++) {
        byte_buffer_append(out, file->tensors[i].data, file->tensors[i].n_bytes);
    }
    byte_buffer_free(&header);
}
