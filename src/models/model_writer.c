/* Writing a model as one GGUF file; see model_writer.h. One tensor is in memory at a time. */
#include "models/model_writer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/checked.h"
#include "compute/narrow.h"
#include "quant/half.h"

enum { MAX_NAME = 256 };

/* What was declared of a tensor, for when its data comes. */
struct planned {
    enum ut_dtype type;
    size_t n_elements;
    size_t n_outer, n_ch; /* of a tensor in 8 bits: [n_outer, n_ch, the rest] */
};

/* `values` is grown to the largest tensor and used for all. */
struct ut_model_writer {
    const struct ut_import *import;
    struct ut_gguf_writer *gguf;
    struct planned *tensors;
    size_t n_declared, capacity, n_put, n_scales;
    uint64_t n_bytes, n_bytes_put, n_parameters;
    uint64_t n_of_type[UT_N_DTYPES]; /* elements */
    float *values;                   /* of one tensor */
    size_t values_capacity;
};

/* ---- Narrowing ----------------------------------------------------------------------------- */

/* In place: the k-th short lies at or before the k-th float. False at *where for a value that
 * became infinite. */
static bool narrow(float *values, size_t n, enum ut_dtype type, float *where) {
    unsigned char *out = (unsigned char *)values;
    uint16_t infinite = type == UT_F16 ? 0x7c00 : 0x7f80;
    for (size_t i = 0; i < n; i++) {
        float value = values[i];
        uint16_t half = type == UT_F16 ? ut_f16_from_f32(value) : ut_bf16_from_f32(value);
        if ((half & 0x7fff) == infinite) {
            *where = value;
            return false;
        }
        memcpy(out + 2 * i, &half, 2);
    }
    return true;
}

/* ---- The writer --------------------------------------------------------------------------- */

utter_status ut_model_writer_create(const struct ut_import *import, const char *architecture,
                                    struct ut_model_writer **out, utter_error *err) {
    *out = NULL;
    struct ut_model_writer *writer = ut_mem_calloc(import->mem, UT_MEM_OTHER, 1, sizeof *writer);
    if (!writer) {
        return ut_fail_memory(err, sizeof *writer);
    }
    writer->import = import;
    utter_status status = ut_gguf_writer_create(import->mem, import->out_path, &writer->gguf, err);
    status = status ? status
                    : ut_gguf_put_string(writer->gguf, "general.architecture", architecture, err);
    if (status != UTTER_OK) {
        ut_model_writer_destroy(writer);
        return status;
    }
    *out = writer;
    return UTTER_OK;
}

struct ut_gguf_writer *ut_model_writer_gguf(struct ut_model_writer *writer) {
    return writer->gguf;
}

void ut_model_writer_destroy(struct ut_model_writer *writer) {
    if (writer) {
        struct ut_mem *mem = writer->import->mem;
        ut_gguf_writer_destroy(writer->gguf);
        ut_mem_free(mem, writer->tensors);
        ut_mem_free(mem, writer->values);
        ut_mem_free(mem, writer);
    }
}

/* Biases, norms and tables of one row: too small to be worth a loss of bits. */
static bool is_vector(const struct ut_tensor *tensor) {
    int n_wide = 0;
    for (int i = 0; i < tensor->n_dims; i++) {
        n_wide += tensor->dims[i] > 1;
    }
    return n_wide < 2;
}

/* f64 is read, but never written: f32 is what the models compute in. */
static bool is_float(enum ut_dtype type) {
    return type == UT_F32 || type == UT_F16 || type == UT_BF16 || type == UT_F64;
}

/* With 8 bits asked for, what is no convolution keeps half precision if it has it. */
static enum ut_dtype type_for(const struct ut_import *import, const struct ut_tensor *tensor,
                              enum ut_tensor_role role) {
    if (role == UT_TENSOR_EXACT || is_vector(tensor)) {
        return UT_F32;
    }
    bool is_conv = role == UT_TENSOR_CONV || role == UT_TENSOR_CONV_TRANSPOSED;
    if (!import->keep_type && (import->type != UT_I8 || is_conv)) {
        return import->type;
    }
    return tensor->type == UT_F16 || tensor->type == UT_BF16 ? tensor->type : UT_F32;
}

/* Room for one more declared tensor; what is there already stays on failure. */
static utter_status reserve(struct ut_model_writer *writer, utter_error *err) {
    if (writer->n_declared < writer->capacity) {
        return UTTER_OK;
    }
    size_t capacity = UT_MAX(2 * writer->capacity, 256);
    struct planned *grown = ut_mem_realloc(writer->import->mem, UT_MEM_OTHER, writer->tensors,
                                           capacity * sizeof *grown);
    if (!grown) {
        return ut_fail_memory(err, capacity * sizeof *grown);
    }
    writer->tensors = grown;
    writer->capacity = capacity;
    return UTTER_OK;
}

/* The header of NAME.scale, which belongs to a tensor in 8 bits. */
static utter_status declare_scales(struct ut_model_writer *writer, const struct planned *plan,
                                   const char *name, utter_error *err) {
    char scale_name[MAX_NAME];
    if (snprintf(scale_name, sizeof scale_name, "%s.scale", name) >= (int)sizeof scale_name) {
        return ut_fail(err, UTTER_ERROR_UNSUPPORTED, "the name of tensor %s is too long", name);
    }
    struct ut_tensor header = {.name = scale_name,
                               .type = UT_F32,
                               .n_dims = 1,
                               .dims = {plan->n_ch, 1, 1, 1},
                               .n_bytes = plan->n_ch * sizeof(float)};
    writer->n_bytes += header.n_bytes;
    writer->n_scales++;
    return ut_gguf_put_tensor(writer->gguf, &header, err);
}

/* A copy of the header goes into the file; `tensor` may be freed afterwards. */
utter_status ut_model_writer_declare(struct ut_model_writer *writer, const struct ut_tensor *tensor,
                                     enum ut_tensor_role role, utter_error *err) {
    struct ut_tensor header = *tensor;
    if (!is_float(tensor->type)) {
        return ut_fail(err, UTTER_ERROR_UNSUPPORTED,
                       "tensor %s is %s: f32, f16, bf16 and f64 can be imported", tensor->name,
                       ut_dtype_name(tensor->type));
    }
    size_t n = (size_t)ut_tensor_n_elements(tensor);
    header.type = type_for(writer->import, tensor, role);
    header.data = NULL;
    header.n_bytes = n * ut_dtype_size(header.type);
    utter_status status = reserve(writer, err);
    status = status ? status : ut_gguf_put_tensor(writer->gguf, &header, err);
    if (status != UTTER_OK) {
        return status;
    }
    bool transposed = role == UT_TENSOR_CONV_TRANSPOSED;
    struct planned *plan = &writer->tensors[writer->n_declared++];
    *plan = (struct planned){.type = header.type,
                             .n_elements = n,
                             .n_outer = transposed ? (size_t)tensor->dims[0] : 1,
                             .n_ch = (size_t)tensor->dims[transposed ? 1 : 0]};
    writer->n_bytes += header.n_bytes;
    writer->n_parameters += n;
    writer->n_of_type[header.type] += n;
    return plan->type == UT_I8 ? declare_scales(writer, plan, tensor->name, err) : UTTER_OK;
}

/* Every value is looked at: a file that utter writes is one that it accepts. */
static utter_status read_values(struct ut_model_writer *writer, const struct ut_tensor *tensor,
                                size_t n, utter_error *err) {
    if (n > writer->values_capacity) {
        ut_mem_free(writer->import->mem, writer->values);
        writer->values_capacity = 0;
        writer->values =
            ut_mem_calloc(writer->import->mem, UT_MEM_OTHER, n, sizeof *writer->values);
        if (!writer->values) {
            return ut_fail_memory(err, n * sizeof *writer->values);
        }
        writer->values_capacity = n;
    }
    (void)ut_tensor_to_f32(tensor, writer->values); /* floats only: declare saw to it */
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(writer->values[i])) {
            return ut_fail(err, UTTER_ERROR_FORMAT,
                           "%s: tensor %s: value %zu is not finite: the file is damaged",
                           writer->import->file, tensor->name, i);
        }
    }
    return UTTER_OK;
}

/* False when the caller wants to stop. */
static bool report(struct ut_model_writer *writer, const char *name) {
    const struct ut_import *import = writer->import;
    utter_import_progress progress = {
        .size = sizeof progress,
        .tensor = name,
        .n_tensors_done = writer->n_put,
        .n_tensors_total = writer->n_declared,
        .n_bytes_done = writer->n_bytes_put,
        .n_bytes_total = writer->n_bytes,
    };
    return !import->progress || import->progress(import->progress_user, &progress);
}

/* writer->values in 8 bits, and their scales behind. In place: the k-th byte lies at or before the
 * k-th float. */
static utter_status put_rounded(struct ut_model_writer *writer, const struct planned *plan,
                                utter_error *err) {
    size_t n_bytes = plan->n_ch * sizeof(float);
    size_t n_inner = plan->n_elements / (plan->n_outer * plan->n_ch);
    float *steps = ut_mem_alloc(writer->import->mem, UT_MEM_OTHER, n_bytes);
    if (!steps) {
        return ut_fail_memory(err, n_bytes);
    }
    int8_t *rounded = (int8_t *)writer->values;
    ut_narrow_steps(writer->values, plan->n_outer, plan->n_ch, n_inner, steps);
    ut_narrow_round(writer->values, plan->n_outer, plan->n_ch, n_inner, steps, rounded);
    utter_status status = ut_gguf_put_data(writer->gguf, rounded, plan->n_elements, err);
    status = status ? status : ut_gguf_put_data(writer->gguf, steps, n_bytes, err);
    ut_mem_free(writer->import->mem, steps);
    writer->n_bytes_put += n_bytes;
    return status;
}

/* The tensor that was declared at this place: names are not compared again. */
utter_status ut_model_writer_put(struct ut_model_writer *writer, const struct ut_tensor *tensor,
                                 utter_error *err) {
    const struct planned *plan = &writer->tensors[writer->n_put];
    float where = 0;
    utter_status status = read_values(writer, tensor, plan->n_elements, err);
    bool is_half = plan->type == UT_F16 || plan->type == UT_BF16;
    if (status == UTTER_OK && is_half &&
        !narrow(writer->values, plan->n_elements, plan->type, &where)) {
        status = ut_fail(err, UTTER_ERROR_ARGUMENT,
                         "tensor %s: %g does not fit in %s: choose bf16 or f32", tensor->name,
                         (double)where, ut_dtype_name(plan->type));
    }
    size_t n_bytes = plan->n_elements * ut_dtype_size(plan->type);
    status = status                ? status
             : plan->type == UT_I8 ? put_rounded(writer, plan, err)
                                   : ut_gguf_put_data(writer->gguf, writer->values, n_bytes, err);
    if (status != UTTER_OK) {
        return status;
    }
    writer->n_put++;
    writer->n_bytes_put += n_bytes;
    return report(writer, tensor->name) ? UTTER_OK
                                        : ut_fail(err, UTTER_ERROR_CANCELLED, "cancelled");
}

/* The type is that of most elements, but 8 bits where there are any: biases and norms stay
 * float. */
utter_status ut_model_writer_finish(struct ut_model_writer *writer, utter_import_result *result,
                                    utter_error *err) {
    enum ut_dtype most = UT_F32;
    struct stat info;
    utter_status status = ut_gguf_writer_finish(writer->gguf, err);
    if (status != UTTER_OK) {
        return status;
    }
    for (int i = 0; i < UT_N_DTYPES; i++) {
        most = writer->n_of_type[i] > writer->n_of_type[most] ? (enum ut_dtype)i : most;
    }
    most = writer->n_of_type[UT_I8] > 0 ? UT_I8 : most;
    result->type = ut_dtype_label(most);
    result->n_tensors = writer->n_declared + writer->n_scales;
    result->n_parameters = writer->n_parameters;
    result->bytes_out =
        stat(writer->import->out_path, &info) == 0 ? (uint64_t)info.st_size : writer->n_bytes;
    return UTTER_OK;
}
