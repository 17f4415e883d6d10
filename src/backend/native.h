/* The native backend: one table of functions for each model family, told by what a file holds; and what the
 * families' tables share. */
#ifndef UT_BACKEND_NATIVE_H
#define UT_BACKEND_NATIVE_H

#include <limits.h>

#include "backend/backend.h"
#include "base/json_writer.h"
#include "weights/weights.h"

extern const struct ut_backend ut_native_piper, ut_native_kokoro;

/* By the file's first bytes. What cannot be read is of no format: opening it tells why. */
enum ut_format ut_native_format(const char *file);

/* The table of the family that the model at `path` belongs to, and its file. ERROR_UNSUPPORTED for a model
 * of no family that is known; the message names what it is. Where the file had to be parsed to tell, its
 * table is left in *weights, to be closed; else NULL. `weights` may be NULL. */
UTTER_CHECKED utter_status ut_native_family(struct ut_mem *mem, const char *path,
                                            char file[PATH_MAX], const struct ut_backend **out,
                                            struct ut_weights **weights, utter_error *err);

/* `open` of the families for a model whose table may be open already; `weights`, or what it points at: NULL.
 * Kokoro sets it to NULL where the voice keeps the table. */
UTTER_CHECKED utter_status ut_native_piper_open(const struct ut_backend_context *context,
                                                const char *path, const struct ut_weights *weights,
                                                struct ut_backend_voice **out, utter_error *err);
UTTER_CHECKED utter_status ut_native_kokoro_open(const struct ut_backend_context *context,
                                                 const char *path, struct ut_weights **weights,
                                                 struct ut_backend_voice **out, utter_error *err);

/* Opens the model at `path` with the table of its family. */
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

/* Members of every family's description: name to language, and the list of speakers. */
void ut_native_describe_names(struct ut_json_writer *json, const utter_voice_info *info);
void ut_native_describe_speakers(struct ut_json_writer *json, const struct ut_backend_voice *voice);

/* Writes one family's members of a description. */
typedef void (*ut_native_describe_fn)(struct ut_json_writer *json,
                                      const struct ut_backend_voice *voice);

/* The description of a voice: the family's members, then the metadata and, if asked for, the tensors of
 * the model file, which is opened again for it: a voice keeps only what speaking needs. model_file NULL:
 * the members alone. */
UTTER_CHECKED utter_status ut_native_describe(struct ut_mem *mem,
                                              const struct ut_backend_voice *voice,
                                              const char *model_file, bool tensors,
                                              ut_native_describe_fn members, char **out,
                                              utter_error *err);

#endif
