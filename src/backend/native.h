/* The native backend: one table of functions for each model family, told by what a file holds; and what the
 * families' tables share. */
#ifndef UT_BACKEND_NATIVE_H
#define UT_BACKEND_NATIVE_H

#include <limits.h>

#include "backend/backend.h"
#include "base/json_writer.h"
#include "weights/weights.h"

extern const struct ut_backend ut_native_piper;

/* The model file that `path` means: the one in that folder, else `path` itself, there or not. ERROR_NOT_FOUND
 * for a folder without a model, ERROR_ARGUMENT for one with several. */
UTTER_CHECKED utter_status ut_native_find_model(const char *path, char model_path[PATH_MAX],
                                                utter_error *err);

/* Opens the model at `path` with the table of its family. ERROR_UNSUPPORTED for a model of none, which the
 * message names. */
UTTER_CHECKED utter_status ut_native_open(const struct ut_backend_context *context,
                                          const char *path, struct ut_backend_voice **out,
                                          utter_error *err);

/* utter_trace with the table of the model's family. */
UTTER_CHECKED utter_status ut_native_trace(const struct ut_backend_context *context,
                                           const char *path, const char *golden,
                                           const char *case_name, const char *out_path,
                                           utter_trace_fn stage, void *user, utter_error *err);

/* ---- native_voice.c: what voices of every family have ---- */

struct ut_native_names {
    char *path;       /* as opened */
    const char *name; /* "en_US-amy-medium": the file without folder and extension, or the folder */
    const char *file; /* the model file */
};

UTTER_CHECKED utter_status ut_native_names_init(struct ut_native_names *names, struct ut_mem *mem,
                                                const char *path, utter_error *err);
void ut_native_names_free(struct ut_native_names *names, struct ut_mem *mem);

/* Writes one family's members of a description. */
typedef void (*ut_native_describe_fn)(struct ut_json_writer *json,
                                      const struct ut_backend_voice *voice);

/* The description of a voice: the family's members, then the metadata and, if asked for, the tensors of
 * the model file, which is opened again for it: a voice keeps only what speaking needs. */
UTTER_CHECKED utter_status ut_native_describe(struct ut_mem *mem,
                                              const struct ut_backend_voice *voice,
                                              const char *model_file, bool tensors,
                                              ut_native_describe_fn members, char **out,
                                              utter_error *err);

#endif
