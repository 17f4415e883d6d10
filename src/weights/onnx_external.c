/* External data of ONNX models: files in the model's own folder or below, each mapped once. The
 * files are named by the model, so they are opened as file_map.h describes: never outside of that
 * folder. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "base/checked.h"
#include "weights/onnx_reader.h"

/* The folder of the model's path as the user named it. */
static utter_status open_folder(struct ut_onnx_reader *r) {
    const char *path = r->weights->path;
    if (!path) {
        return ut_fail(r->err, UTTER_ERROR_FORMAT,
                       "external data, but the model is not a file in a folder");
    }
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) + 1 : 0;
    char folder[PATH_MAX] = ".";
    if (n >= sizeof folder) {
        return ut_fail(r->err, UTTER_ERROR_ARGUMENT, "the model's path is too long");
    }
    if (n > 0) {
        memcpy(folder, path, n);
        folder[n] = '\0';
    }
    r->folder = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (r->folder < 0) {
        return ut_fail(r->err, UTTER_ERROR_IO, "%s: the model's folder cannot be opened", folder);
    }
    return UTTER_OK;
}

/* Linear: at most UT_MAX_EXTERNAL_FILES are in the list. */
static struct ut_external_file *find_file(const struct ut_onnx_reader *r, const char *name) {
    struct ut_external_file *file = r->weights->external;
    while (file && strcmp(file->name, name) != 0) {
        file = file->next;
    }
    return file;
}

/* Entered into the table only when the file is mapped: ut_weights_close then unmaps it. */
utter_status ut_onnx_open_external(struct ut_onnx_reader *r, const char *name,
                                   const struct ut_file_map **out) {
    struct ut_external_file *file = find_file(r, name);
    if (file) {
        *out = &file->map;
        return UTTER_OK;
    }
    if (r->n_external == UT_MAX_EXTERNAL_FILES) {
        return ut_fail(r->err, UTTER_ERROR_UNSUPPORTED, "more than %d files of external data",
                       UT_MAX_EXTERNAL_FILES);
    }
    utter_status status = r->folder < 0 ? open_folder(r) : UTTER_OK;
    if (status) {
        return status;
    }
    file = ut_blocks_alloc(&r->weights->blocks, 1, sizeof *file, r->err);
    if (!file) {
        return r->weights->blocks.status;
    }
    status = ut_file_map_open_beneath(r->weights->mem, r->folder, name, &file->map, r->err);
    if (status) {
        return status;
    }
    file->name = name;
    file->next = r->weights->external;
    r->weights->external = file;
    r->n_external++;
    *out = &file->map;
    return UTTER_OK;
}
