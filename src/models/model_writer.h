/* Writing a model as one GGUF file: what the families' imports share. Types are decided here, values are
 * checked and converted on the way, and the caller is told how far it is. */
#ifndef UT_MODELS_MODEL_WRITER_H
#define UT_MODELS_MODEL_WRITER_H

#include "compute/compute.h"
#include "weights/gguf.h"

/* What an import was asked for. */
struct ut_import {
    struct ut_mem *mem;
    const struct ut_compute *compute;
    const struct ut_log *log;
    const char *file;     /* the model */
    const char *out_path; /* the GGUF file */
    bool keep_type;       /* as in the model, else `type`: f32, f16, bf16 or i8 */
    enum ut_dtype type;
    const char *voices; /* patterns, NULL: all */
    utter_import_progress_fn progress;
    void *progress_user;
};

struct ut_model_writer;

/* Begins the file with general.architecture; the family's metadata go to ut_model_writer_gguf. Then every
 * tensor is declared, then every tensor is put in the same order. `import` must live as long. */
UTTER_CHECKED utter_status ut_model_writer_create(const struct ut_import *import,
                                                  const char *architecture,
                                                  struct ut_model_writer **out, utter_error *err);
struct ut_gguf_writer *ut_model_writer_gguf(struct ut_model_writer *writer);

/* How a tensor may be written. In 8 bits only convolutions are, with one scale for each output channel in
 * the f32 tensor NAME.scale behind them; all else stays as it is in the model then. */
enum ut_tensor_role {
    UT_TENSOR_ORDINARY,
    UT_TENSOR_EXACT,           /* f32, whatever type was asked for; vectors are, too */
    UT_TENSOR_CONV,            /* [n_out, n_in, n_taps], run in narrow arithmetic */
    UT_TENSOR_CONV_TRANSPOSED  /* [n_in, n_out, n_taps] */
};

/* Name, shape and type are read, not the data. Vectors are tensors with one dimension above 1 at most.
 * ERROR_UNSUPPORTED for integers. */
UTTER_CHECKED utter_status ut_model_writer_declare(struct ut_model_writer *writer,
                                                   const struct ut_tensor *tensor,
                                                   enum ut_tensor_role role, utter_error *err);
/* ERROR_FORMAT for a value that is not finite, ERROR_ARGUMENT for one that the type asked for cannot
 * hold; ERROR_CANCELLED when the progress function says stop. */
UTTER_CHECKED utter_status ut_model_writer_put(struct ut_model_writer *writer,
                                               const struct ut_tensor *tensor, utter_error *err);

/* Completes the file and fills type, n_tensors, n_parameters and bytes_out. */
UTTER_CHECKED utter_status ut_model_writer_finish(struct ut_model_writer *writer,
                                                  utter_import_result *result, utter_error *err);
void ut_model_writer_destroy(struct ut_model_writer *writer); /* unfinished: no file; NULL is fine */

#endif
