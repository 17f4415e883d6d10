/* Shared by onnx.c (model, graph, nodes) and onnx_tensor.c (tensors). */
#ifndef UT_WEIGHTS_ONNX_READER_H
#define UT_WEIGHTS_ONNX_READER_H

#include "weights/protobuf.h"
#include "weights/table.h"

struct ut_onnx_reader {
    struct ut_weights *weights;
    const uint8_t *data; /* the file */
    int folder;          /* the model's, for external data; -1 until one is needed */
    size_t n_external;   /* files */
    utter_error *err;
};

/* A string of the file into the table's blocks; ERROR_FORMAT for invalid UTF-8 and U+0000. */
utter_status ut_onnx_copy_string(struct ut_onnx_reader *reader, struct ut_pb_range range,
                                 const char **out);

/* Reads a TensorProto. An initializer must have a name and be something that `out` can hold. The
 * value of an attribute (`is_attribute`) may be of another type, empty or of higher rank:
 * *representable is false then, and `out` untouched. */
utter_status ut_onnx_read_tensor(struct ut_onnx_reader *reader, struct ut_pb_range range,
                                 bool is_attribute, struct ut_tensor *out, bool *representable);

/* A file of external data, opened the first time it is named. The map belongs to the table and is
 * closed with it. ERROR_UNSUPPORTED beyond UT_MAX_EXTERNAL_FILES, ERROR_FORMAT for names that leave
 * the model's folder. */
utter_status ut_onnx_open_external(struct ut_onnx_reader *reader, const char *name,
                                   const struct ut_file_map **out);

#endif
