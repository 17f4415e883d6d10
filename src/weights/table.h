/* The inside of struct ut_weights, shared by the parsers. */
#ifndef UT_WEIGHTS_TABLE_H
#define UT_WEIGHTS_TABLE_H

#include "weights/blocks.h"
#include "weights/file_map.h"
#include "weights/onnx.h"
#include "weights/weights.h"

enum { UT_MAX_EXTERNAL_FILES = 64 };

/* Both NUL-terminated, in the table's blocks or, for some keys of ONNX, constants. */
struct ut_metadata {
    const char *key, *value;
};

/* A list, newest first; its nodes lie in the table's blocks, each map is closed with the table. */
struct ut_external_file {
    struct ut_external_file *next;
    const char *name;
    struct ut_file_map map;
};

/* Immutable once it is open: any number of threads may look up and read. */
struct ut_weights {
    struct ut_mem *mem;
    enum ut_format format;
    const uint8_t *data; /* the file, mapped or the caller's */
    size_t n;
    struct ut_file_map map; /* of {0} for bytes in memory */
    const char *path;       /* as opened; NULL for bytes in memory */
    struct ut_external_file *external;
    struct ut_blocks blocks;   /* everything below */
    struct ut_tensor *tensors; /* in the order of the file */
    size_t n_tensors;
    uint32_t *by_name;
    struct ut_metadata *metadata;
    size_t n_metadata;
    struct ut_onnx_graph *graph; /* ONNX only */
    struct ut_gguf *gguf;        /* GGUF only: the metadata by type */
};

/* Each fills tensors and metadata of a table whose data and n are set and whose blocks are not
 * initialised; on failure the caller closes the table. */
UTTER_CHECKED utter_status ut_onnx_parse(struct ut_weights *weights, utter_error *err);
UTTER_CHECKED utter_status ut_safetensors_parse(struct ut_weights *weights, utter_error *err);
UTTER_CHECKED utter_status ut_torch_parse(struct ut_weights *weights, utter_error *err);
UTTER_CHECKED utter_status ut_gguf_parse(struct ut_weights *weights, utter_error *err);

/* Sorts the names; ERROR_FORMAT for a name that stands twice. */
UTTER_CHECKED utter_status ut_table_index(struct ut_weights *weights, utter_error *err);

/* Sets type, dims and n_bytes; false when the sizes do not fit in 64 bits or the last dimension is no
 * multiple of the type's block. */
bool ut_tensor_set_shape(struct ut_tensor *tensor, enum ut_dtype type, const uint64_t *dims,
                         int n_dims);

#endif
