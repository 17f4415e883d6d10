/* GGUF (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), versions 2 and 3: metadata by
 * type, and a writer. Tensors are read through weights.h. */
#ifndef UT_WEIGHTS_GGUF_H
#define UT_WEIGHTS_GGUF_H

#include "weights/weights.h"

/* Values of a GGUF table's metadata by key. ERROR_NOT_FOUND when the file has no such key or is of
 * another format, ERROR_FORMAT when the value has another type or does not fit; both name the key.
 * Integers of every width are taken where they fit. Strings live as long as the table, are followed
 * by a NUL and contain none. `out` is left alone on failure, so that it may hold a default. */
UTTER_CHECKED utter_status ut_gguf_get_string(const struct ut_weights *weights, const char *key,
                                              const char **out, utter_error *err);
UTTER_CHECKED utter_status ut_gguf_get_int(const struct ut_weights *weights, const char *key,
                                           int64_t *out, utter_error *err);
UTTER_CHECKED utter_status ut_gguf_get_float(const struct ut_weights *weights, const char *key,
                                             double *out, utter_error *err); /* from f32 and f64 */
UTTER_CHECKED utter_status ut_gguf_get_bool(const struct ut_weights *weights, const char *key,
                                            bool *out, utter_error *err);
/* An array of strings; *out points at *n of them, NULL for none. */
UTTER_CHECKED utter_status ut_gguf_get_strings(const struct ut_weights *weights, const char *key,
                                               const char *const **out, size_t *n,
                                               utter_error *err);
/* Whether there is such a key, of whatever type; false for files of other formats. */
bool ut_gguf_has(const struct ut_weights *weights, const char *key);

/* Writes a GGUF v3 file: first all metadata and tensor headers are declared, then the data of each
 * tensor is put in the order of declaration; so no more than one tensor needs to be in memory. The
 * file appears under its name when finish succeeds (temporary file, fsync, rename); until then, and
 * after a failure, an existing file is untouched. One thread at a time. */
struct ut_gguf_writer;

/* `path` is copied. ERROR_IO when no file can be made beside it. */
UTTER_CHECKED utter_status ut_gguf_writer_create(struct ut_mem *mem, const char *path,
                                                 struct ut_gguf_writer **out, utter_error *err);
/* Keys and strings are copied. A key or tensor name that is there already, or is empty, is
 * ERROR_ARGUMENT. Names longer than 63 bytes are written, with no complaint: ggml's own tools cut
 * them, the format does not. */
UTTER_CHECKED utter_status ut_gguf_put_string(struct ut_gguf_writer *writer, const char *key,
                                              const char *value, utter_error *err);
UTTER_CHECKED utter_status ut_gguf_put_uint32(struct ut_gguf_writer *writer, const char *key,
                                              uint32_t value, utter_error *err);
UTTER_CHECKED utter_status ut_gguf_put_float(struct ut_gguf_writer *writer, const char *key,
                                             float value, utter_error *err);
UTTER_CHECKED utter_status ut_gguf_put_bool(struct ut_gguf_writer *writer, const char *key,
                                            bool value, utter_error *err);
UTTER_CHECKED utter_status ut_gguf_put_strings(struct ut_gguf_writer *writer, const char *key,
                                               const char *const *values, size_t n,
                                               utter_error *err);
/* Name, type and dims of `tensor` are copied, its data is not read. 1 to 4 dimensions (a scalar is
 * written with one of 1), each at least 1; types that GGUF lacks (u8, bool, ...) are
 * ERROR_UNSUPPORTED. */
UTTER_CHECKED utter_status ut_gguf_put_tensor(struct ut_gguf_writer *writer,
                                              const struct ut_tensor *tensor, utter_error *err);
/* All n_bytes of the next tensor declared. */
UTTER_CHECKED utter_status ut_gguf_put_data(struct ut_gguf_writer *writer, const void *data,
                                            size_t n_bytes, utter_error *err);
/* ERROR_ARGUMENT when data of a declared tensor is missing or the file was finished already. The
 * writer must be destroyed afterwards in any case. */
UTTER_CHECKED utter_status ut_gguf_writer_finish(struct ut_gguf_writer *writer, utter_error *err);
void ut_gguf_writer_destroy(struct ut_gguf_writer *writer); /* unfinished: nothing is left behind */

#endif
