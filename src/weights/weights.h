/* One table of named tensors whatever the file was: read-only views over the mapped file, validated
 * as a whole before the first is visible (reliability rules in docs/architecture.md).
 *
 * Names: a torch file's nested maps are joined with '/', as in "decoder/module.encode.conv1.weight_v";
 * a file that is one bare tensor has the name "". Dimensions are in torch's order in every format: a
 * GGUF file's are reversed. Tensors that a torch file stores with strides are gathered into row-major
 * copies. */
#ifndef UT_WEIGHTS_WEIGHTS_H
#define UT_WEIGHTS_WEIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/mem.h"

enum ut_dtype {
    UT_F32,
    UT_F16,
    UT_BF16,
    UT_F64,
    UT_I8,
    UT_U8,
    UT_I16,
    UT_U16,
    UT_I32,
    UT_U32,
    UT_I64,
    UT_U64,
    UT_BOOL,
    /* Blocks of quantized values, laid out as in GGUF. The first dimension to vary (the last of dims)
     * is a multiple of the block's elements. */
    UT_Q4_0,
    UT_Q4_1,
    UT_Q5_0,
    UT_Q5_1,
    UT_Q8_0,
    UT_Q2_K,
    UT_Q3_K,
    UT_Q4_K,
    UT_Q5_K,
    UT_Q6_K,
    UT_TQ1_0,
    UT_TQ2_0,
    UT_N_DTYPES
};

const char *ut_dtype_name(enum ut_dtype type); /* "f32", "q4_k" */
/* What a model stored so is called, as in settings: "int8", else the name. */
const char *ut_dtype_label(enum ut_dtype type);
size_t ut_dtype_size(enum ut_dtype type);      /* bytes of an element, or of a block */
size_t ut_dtype_block(enum ut_dtype type);     /* elements in a block; 1 for the unquantized types */

enum { UT_MAX_DIMS = 4 };

struct ut_tensor {
    const char *name; /* NUL-terminated, lives as long as the table */
    enum ut_dtype type;
    int n_dims;                 /* 0: a scalar */
    uint64_t dims[UT_MAX_DIMS]; /* row-major, dims[0] slowest; unused ones are 1 */
    const void *data;           /* may lie at any alignment */
    size_t n_bytes;             /* product of dims times element size, checked */
};

enum ut_format {
    UT_FORMAT_UNKNOWN,
    UT_FORMAT_ONNX,
    UT_FORMAT_SAFETENSORS,
    UT_FORMAT_GGUF,
    UT_FORMAT_TORCH_ZIP, /* torch.save since 1.6 */
    UT_FORMAT_TORCH_OLD  /* torch.save's single stream of pickles */
};

/* By content, not by name: needs the first 16 bytes at most, may look at all. */
enum ut_format ut_format_detect(const void *data, size_t n);
const char *ut_format_label(enum ut_format format); /* "onnx" */

/* A table is read-only once it is open and may be shared by threads; opening and closing one belong
 * to a single thread. */
struct ut_weights;

/* Maps and parses the file. ERROR_FORMAT with tensor name and offset when it is damaged,
 * ERROR_UNSUPPORTED for a format that is recognised but not readable, with its name. */
UTTER_CHECKED utter_status ut_weights_open(struct ut_mem *mem, const char *path,
                                           struct ut_weights **out, utter_error *err);

/* The same on bytes in memory (for tests and fuzzing), which must outlive the table. ONNX external
 * data is an error here: there is no folder to confine it to. */
UTTER_CHECKED utter_status ut_weights_parse(struct ut_mem *mem, const void *data, size_t n,
                                            struct ut_weights **out, utter_error *err);

void ut_weights_close(struct ut_weights *weights); /* NULL is fine; unmaps */

enum ut_format ut_weights_format(const struct ut_weights *weights);
/* With the files of external data. */
uint64_t ut_weights_file_bytes(const struct ut_weights *weights);
size_t ut_weights_count(const struct ut_weights *weights);
/* In the order of the file; NULL for an index beyond the last. Like all pointers from a table, it
 * is valid until ut_weights_close. */
const struct ut_tensor *ut_weights_at(const struct ut_weights *weights, size_t index);
/* NULL when there is no tensor of that name. Case and every byte count. */
const struct ut_tensor *ut_weights_find(const struct ut_weights *weights, const char *name);

/* File-level metadata as strings (ONNX metadata_props and producer, safetensors __metadata__, the
 * strings, numbers and booleans of a GGUF file; weights/gguf.h has getters by type). */
size_t ut_weights_n_metadata(const struct ut_weights *weights);
void ut_weights_metadata(const struct ut_weights *weights, size_t index, const char **key,
                         const char **value);

/* The graph of an ONNX file (weights/onnx.h), else NULL. */
struct ut_onnx_graph;
const struct ut_onnx_graph *ut_weights_onnx(const struct ut_weights *weights);

/* Drops a tensor's pages from memory; reading it again brings them back. Called after a tensor was
 * repacked, so that loading does not hold a model twice. */
void ut_weights_release(const struct ut_weights *weights, const struct ut_tensor *tensor);

/* UTTER_OK, or ERROR_IO when the file was truncated while it was mapped (lost pages read as zeros
 * instead of raising SIGBUS). Call it once after the last read. */
UTTER_CHECKED utter_status ut_weights_check(const struct ut_weights *weights, utter_error *err);

/* Elements as f32 (from f32, f16, bf16, f64 and the quantized types); false for integers. dst holds all
 * elements. */
bool ut_tensor_to_f32(const struct ut_tensor *tensor, float *dst);
/* The product of dims; 1 for a scalar. */
uint64_t ut_tensor_n_elements(const struct ut_tensor *tensor);

/* Writes a safetensors file: through a temporary file, fsync and rename. Tensors in the given order
 * of the array; data must be at the natural alignment. */
UTTER_CHECKED utter_status ut_safetensors_write(const char *path, const struct ut_tensor *tensors,
                                                size_t n_tensors, utter_error *err);

#endif
