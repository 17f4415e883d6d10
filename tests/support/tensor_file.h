/* A list of tensors that a test puts together or reads and changes, and their bytes as a safetensors file. */
#ifndef UT_TESTS_TENSOR_FILE_H
#define UT_TESTS_TENSOR_FILE_H

#include "support/byte_buffer.h"
#include "weights/weights.h"

struct tensor_file { /* starts as {0} */
    struct ut_tensor *tensors; /* names and data are owned */
    size_t n, capacity;
};

/* Adds a tensor of up to 4 dimensions (0 ends them) with `values`, or with 1, 2, 3, ... when NULL. */
struct ut_tensor *tensor_file_add(struct tensor_file *file, const char *name,
                                  const uint64_t dims[UT_MAX_DIMS], const float *values);
/* Copies a tensor as it is under another name. */
struct ut_tensor *tensor_file_copy(struct tensor_file *file, const char *name,
                                   const struct ut_tensor *tensor);
/* Copies every tensor of a table. */
void tensor_file_read(struct tensor_file *file, const struct ut_weights *weights);
/* Ends the program when there is no such tensor. */
struct ut_tensor *tensor_file_find(struct tensor_file *file, const char *name);
void tensor_file_rename(struct ut_tensor *tensor, const char *name);
/* A new shape (0 ends it), with the data cut or continued by zeros. */
void tensor_file_reshape(struct ut_tensor *tensor, const uint64_t dims[UT_MAX_DIMS]);
/* An f32 tensor's values in another type: f16 or bf16 rounded, i64 cut (zero where they do not fit). */
void tensor_file_convert(struct ut_tensor *tensor, enum ut_dtype type);
/* An f32 tensor in 8 bits with the tensor NAME.scale, as `utter import --type int8` has them; `transposed`:
 * output channels are the second dimension. The pointer is dead then. */
void tensor_file_store_int8(struct tensor_file *file, struct ut_tensor *tensor, bool transposed);
void tensor_file_remove(struct tensor_file *file, const char *name);
void tensor_file_free(struct tensor_file *file); /* leaves an empty one */

void tensor_file_write_safetensors(const struct tensor_file *file, struct byte_buffer *out);

#endif
