/* The files of one model in several precisions: model.onnx, model_fp16.onnx and model_q4.onnx, or
 * Kokoro_espeak_Q4.gguf beside Kokoro_espeak_F16.gguf. Told by their names; what is inside shows
 * when one is opened. */
#ifndef UT_MODELS_VARIANTS_H
#define UT_MODELS_VARIANTS_H

#include <limits.h>
#include <stdint.h>

#include "base/error.h"
#include "base/mem.h"

enum ut_variant_kind { UT_VARIANT_QUANTIZED, UT_VARIANT_HALF, UT_VARIANT_ORIGINAL };

/* Who reads a file: ONNX Runtime, and utter's kernels where it is Piper's; or these kernels alone. */
enum ut_variant_format { UT_VARIANT_ANY, UT_VARIANT_ONNX, UT_VARIANT_OWN };

/* By the end of the file's name; ORIGINAL when that says nothing. */
enum ut_variant_kind ut_variant_kind_of(const char *path);

enum { UT_MAX_VARIANTS = 32 };

struct ut_variant {
    char path[PATH_MAX];
    enum ut_variant_kind kind;
    enum ut_variant_format format;
    uint64_t n_bytes; /* of the file */
};

struct ut_variants {
    struct ut_mem *mem;
    struct ut_variant *items;
    size_t n;
};

/* The other variants of the model file at `path` (which need not exist), in the same folder, in the order
 * in which they are tried when it fails: those of its format first, and of each format quantized, half
 * precision, original, larger files first. None is no error. Free with ut_variants_free. */
UTTER_CHECKED utter_status ut_variants_find(struct ut_mem *mem, const char *path,
                                            struct ut_variants *out, utter_error *err);

/* When the model files of a folder are variants of one model: the path of the most precise one, else
 * ERROR_NOT_FOUND. With `preferred` only files of that format count, if there are any: the others may be
 * of another name. ANY: all must be of one model, and those that only utter reads come first. */
UTTER_CHECKED utter_status ut_variants_best(struct ut_mem *mem, const char *folder,
                                            enum ut_variant_format preferred,
                                            char path[PATH_MAX], utter_error *err);

void ut_variants_free(struct ut_variants *variants);

#endif
