/* Writing a model as one GGUF file; see model_writer.h. One tensor is in memory at a time. */
#include "models/model_writer.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "base/checked.h"
#include "quant/half.h"

struct planned {
    enum ut_dtype type;
    size_t n_elements;
};

struct ut_model_writer {
    const struct ut_import *import;
    struct ut_gguf_writer *gguf;
    struct planned *tensors;
    size_t n_declared, capacity, n_put;
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

static bool is_vector(const struct ut_tensor *tensor) {
    int n_wide = 0;
    for (int i = 0; i < tensor->n_dims; i++) {
        n_wide += tensor->dims[i] > 1;
    }
    return n_wide < 2;
}

static bool is_float(enum ut_dtype type) {
    return type == UT_F32 || type == UT_F16 || type == UT_BF16 || type == UT_F64;
}

static enum ut_dtype type_for(const struct ut_import *import, const struct ut_tensor *tensor,
                              bool exact) {
    if (exact || is_vector(tensor)) {
        return UT_F32;
    }
    bool stays = import->keep_type && (tensor->type == UT_F16 || tensor->type == UT_BF16);
    return stays ? tensor->type : import->keep_type ? UT_F32 : import->type;
}

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

utter_status ut_model_writer_declare(struct ut_model_writer *writer, const struct ut_tensor *tensor,
                                     bool exact, utter_error *err) {
    struct ut_tensor header = *tensor;
    if (!is_float(tensor->type)) {
        return ut_fail(err, UTTER_ERROR_UNSUPPORTED,
                       "tensor %s is %s: f32, f16, bf16 and f64 can be imported", tensor->name,
                       ut_dtype_name(tensor->type));
    }
    size_t n = (size_t)ut_tensor_n_elements(tensor);
    header.type = type_for(writer->import, tensor, exact);
    header.data = NULL;
    header.n_bytes = n * ut_dtype_size(header.type);
    utter_status status = reserve(writer, err);
    status = status ? status : ut_gguf_put_tensor(writer->gguf, &header, err);
    if (status != UTTER_OK) {
        return status;
    }
    writer->tensors[writer->n_declared++] = (struct planned){header.type, n};
    writer->n_bytes += header.n_bytes;
    writer->n_parameters += n;
    writer->n_of_type[header.type] += n;
    return UTTER_OK;
}

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

utter_status ut_model_writer_put(struct ut_model_writer *writer, const struct ut_tensor *tensor,
                                 utter_error *err) {
    const struct planned *plan = &writer->tensors[writer->n_put];
    float where = 0;
    utter_status status = read_values(writer, tensor, plan->n_elements, err);
    if (status == UTTER_OK && plan->type != UT_F32 &&
        !narrow(writer->values, plan->n_elements, plan->type, &where)) {
        status = ut_fail(err, UTTER_ERROR_ARGUMENT,
                         "tensor %s: %g does not fit in %s: choose bf16 or f32", tensor->name,
                         (double)where, ut_dtype_name(plan->type));
    }
    size_t n_bytes = plan->n_elements * ut_dtype_size(plan->type);
    status = status ? status : ut_gguf_put_data(writer->gguf, writer->values, n_bytes, err);
    if (status != UTTER_OK) {
        return status;
    }
    writer->n_put++;
    writer->n_bytes_put += n_bytes;
    return report(writer, tensor->name) ? UTTER_OK
                                        : ut_fail(err, UTTER_ERROR_CANCELLED, "cancelled");
}

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
    result->type = ut_dtype_name(most);
    result->n_tensors = writer->n_declared;
    result->n_parameters = writer->n_parameters;
    result->bytes_out =
        stat(writer->import->out_path, &info) == 0 ? (uint64_t)info.st_size : writer->n_bytes;
    return UTTER_OK;
}
