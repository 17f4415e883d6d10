/* Finding what belongs to a model on disk, for every family. */
#ifndef UT_MODELS_MODEL_FILE_H
#define UT_MODELS_MODEL_FILE_H

#include <limits.h>

#include "base/error.h"
#include "base/mem.h"

enum { UT_MAX_CONFIG_BYTES = 16 << 20 };

/* The model file that `path` means: the one *.onnx, *.pth, *.gguf, voice.safetensors or
 * model.safetensors of that folder (ERROR_NOT_FOUND when there is none, ERROR_ARGUMENT with an example
 * when there are several), else `path` itself, there or not. */
UTTER_CHECKED utter_status ut_model_find(const char *path, char model_path[PATH_MAX], utter_error *err);

bool ut_model_is_named(const char *name); /* a file of this name may be a model: the list above */
bool ut_path_is_file(const char *path);                       /* a regular file */
bool ut_path_ends_with(const char *path, const char *ending); /* and has something before it */

/* A configuration: 2 to UT_MAX_CONFIG_BYTES bytes of unchecked text. Free *text with ut_mem_free, also after an
 * error. */
UTTER_CHECKED utter_status ut_config_read(struct ut_mem *mem, const char *path, char **text, size_t *n,
                                          utter_error *err);

#endif
