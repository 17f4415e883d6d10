/* Shared by torch.c (containers, storages) and torch_tensor.c (names, tensors). */
#ifndef UT_WEIGHTS_TORCH_READER_H
#define UT_WEIGHTS_TORCH_READER_H

#include "weights/pickle.h"
#include "weights/table.h"
#include "weights/zip.h"

/* Elements that tensors of the pickle view. */
struct ut_torch_storage {
    bool is_untyped;    /* of bytes; the tensor states the type */
    enum ut_dtype type; /* of the elements, else */
    const char *key;    /* decimal digits, in the pickle */
    size_t n_key;
    uint64_t n_elements; /* of `type`, or bytes */
    const uint8_t *data;
};

/* One reading of a file. What outlives it (names, gathered copies) goes into the table's blocks,
 * all else into scratch. */
struct ut_torch_reader {
    struct ut_weights *weights;
    struct ut_blocks scratch; /* freed when the file has been read */
    struct ut_pickle pickle;
    /* A zip file: */
    struct ut_zip zip;
    const char *root; /* in front of "/data.pkl" in names; n_root bytes */
    size_t n_root;
    /* The old format, by key: */
    struct ut_torch_storage *storages;
    size_t n_storages;
    utter_error *err;
};

/* The storage that a persistent id (a STORAGE object) names, its elements checked to be in the
 * file. */
UTTER_CHECKED utter_status ut_torch_find_storage(struct ut_torch_reader *reader, uint32_t object,
                                                 struct ut_torch_storage *out);

/* The type that a global such as "torch float32" names; false for other objects. */
bool ut_torch_dtype(const struct ut_pickle *pickle, uint32_t object, enum ut_dtype *out);

/* Walks over the pickle's maps and lists and fills the table's tensors. */
UTTER_CHECKED utter_status ut_torch_read_tensors(struct ut_torch_reader *reader);

#endif
