/* Opening a weights file, look-up by name and the rest of the table that does not depend on the
 * format. */
#include "weights/table.h"

#include <string.h>

#include "base/checked.h"
#include "base/sort.h"

/* By content alone: what a file is called says nothing about who wrote it. */
static utter_status parse_data(struct ut_weights *weights, utter_error *err) {
    weights->format = ut_format_detect(weights->data, weights->n);
    utter_status status;
    switch (weights->format) {
    case UT_FORMAT_ONNX:
        status = ut_onnx_parse(weights, err);
        break;
    case UT_FORMAT_SAFETENSORS:
        status = ut_safetensors_parse(weights, err);
        break;
    case UT_FORMAT_TORCH_ZIP:
    case UT_FORMAT_TORCH_OLD:
        status = ut_torch_parse(weights, err);
        break;
    case UT_FORMAT_GGUF:
        status = ut_gguf_parse(weights, err);
        break;
    default:
        return ut_fail(err, UTTER_ERROR_FORMAT,
                       "not a model file: begins like no format that is known "
                       "(GGUF, ONNX, safetensors, torch)");
    }
    return status ? ut_fail_context(err, status, "%s", ut_format_label(weights->format)) : UTTER_OK;
}

/* An empty table that ut_weights_close can take, however far the opening gets. */
static struct ut_weights *create(struct ut_mem *mem, utter_error *err) {
    struct ut_weights *weights = ut_mem_calloc(mem, UT_MEM_WEIGHTS, 1, sizeof *weights);
    if (!weights) {
        ut_fail_memory(err, sizeof *weights);
        return NULL;
    }
    weights->mem = mem;
    ut_blocks_init(&weights->blocks, mem, 0, 0);
    return weights;
}

/* Beside ut_weights_open: no map, no path, so no external data and nothing to release. */
utter_status ut_weights_parse(struct ut_mem *mem, const void *data, size_t n,
                              struct ut_weights **out, utter_error *err) {
    *out = NULL;
    struct ut_weights *weights = create(mem, err);
    if (!weights) {
        return UTTER_ERROR_MEMORY;
    }
    weights->data = data;
    weights->n = n;
    utter_status status = parse_data(weights, err);
    if (status) {
        ut_weights_close(weights);
        return status;
    }
    *out = weights;
    return UTTER_OK;
}

/* The path is kept for messages and for finding external data beside the file. */
utter_status ut_weights_open(struct ut_mem *mem, const char *path, struct ut_weights **out,
                             utter_error *err) {
    *out = NULL;
    struct ut_weights *weights = create(mem, err);
    if (!weights) {
        return UTTER_ERROR_MEMORY;
    }
    /* The map belongs to the table, because tensors and names point into it: nothing of a file is
     * copied but what its format stores in another shape. */
    utter_status status = ut_file_map_open(mem, path, &weights->map, err);
    if (status) {
        goto cleanup;
    }
    weights->path = ut_mem_strndup(mem, UT_MEM_WEIGHTS, path, strlen(path));
    if (!weights->path) {
        status = ut_fail_memory(err, strlen(path) + 1);
        goto cleanup;
    }
    weights->data = weights->map.data;
    weights->n = weights->map.n;
    status = parse_data(weights, err);
    if (status) {
        ut_fail_context(err, status, "%s", path);
        goto cleanup;
    }
    *out = weights;
    return UTTER_OK;
cleanup:
    ut_weights_close(weights);
    return status;
}

/* The external files' nodes lie in the blocks: their maps are closed first. */
void ut_weights_close(struct ut_weights *weights) {
    if (!weights) {
        return;
    }
    for (struct ut_external_file *file = weights->external; file; file = file->next) {
        ut_file_map_close(&file->map);
    }
    ut_blocks_free(&weights->blocks);
    ut_file_map_close(&weights->map);
    ut_mem_free(weights->mem, (char *)weights->path);
    ut_mem_free(weights->mem, weights);
}

/* ---- Names ---------------------------------------------------------------------------------- */

/* An index beside the tensors, which keep the order of the file: that is what a listing shows and
 * what is read ahead best. */
static int compare_names(uint32_t a, uint32_t b, const void *context) {
    const struct ut_tensor *tensors = context;
    return strcmp(tensors[a].name, tensors[b].name);
}

utter_status ut_table_index(struct ut_weights *weights, utter_error *err) {
    size_t n = weights->n_tensors;
    if (n > UINT32_MAX) {
        return ut_fail(err, UTTER_ERROR_FORMAT, "%zu tensors are more than a file may have", n);
    }
    if (!weights->by_name) {
        weights->by_name = ut_blocks_alloc(&weights->blocks, n, sizeof *weights->by_name, err);
    }
    if (!weights->by_name) {
        return weights->blocks.status;
    }
    for (size_t i = 0; i < n; i++) {
        weights->by_name[i] = (uint32_t)i;
    }
    ut_sort_u32(weights->by_name, n, compare_names, weights->tensors);
    /* Neighbours only: a check of every pair takes 15 s for 80,000 names, and a file may hold them
     * to that end. */
    for (size_t i = 1; i < n; i++) {
        if (compare_names(weights->by_name[i - 1], weights->by_name[i], weights->tensors) == 0) {
            return ut_fail(err, UTTER_ERROR_FORMAT, "tensor \"%.200s\" stands twice in the file",
                           weights->tensors[weights->by_name[i]].name);
        }
    }
    return UTTER_OK;
}

/* Binary search: O(log n) comparisons of names. */
const struct ut_tensor *ut_weights_find(const struct ut_weights *weights, const char *name) {
    size_t low = 0, high = weights->n_tensors;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct ut_tensor *tensor = &weights->tensors[weights->by_name[middle]];
        int order = strcmp(name, tensor->name);
        if (order == 0) {
            return tensor;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

/* ---- Getters -------------------------------------------------------------------------------- */

enum ut_format ut_weights_format(const struct ut_weights *weights) {
    return weights->format;
}

/* With the external files of an ONNX model. */
uint64_t ut_weights_file_bytes(const struct ut_weights *weights) {
    uint64_t n_bytes = weights->n;
    for (const struct ut_external_file *file = weights->external; file; file = file->next) {
        n_bytes += file->map.n;
    }
    return n_bytes;
}

size_t ut_weights_count(const struct ut_weights *weights) {
    return weights->n_tensors;
}

const struct ut_tensor *ut_weights_at(const struct ut_weights *weights, size_t index) {
    return index < weights->n_tensors ? &weights->tensors[index] : NULL;
}

size_t ut_weights_n_metadata(const struct ut_weights *weights) {
    return weights->n_metadata;
}

void ut_weights_metadata(const struct ut_weights *weights, size_t index, const char **key,
                         const char **value) {
    bool exists = index < weights->n_metadata;
    *key = exists ? weights->metadata[index].key : NULL;
    *value = exists ? weights->metadata[index].value : NULL;
}

const struct ut_onnx_graph *ut_weights_onnx(const struct ut_weights *weights) {
    return weights->graph;
}

/* Which file the data lies in is not kept: each map takes no notice of what is outside of it. */
void ut_weights_release(const struct ut_weights *weights, const struct ut_tensor *tensor) {
    ut_file_map_release(&weights->map, tensor->data, tensor->n_bytes);
    for (const struct ut_external_file *file = weights->external; file; file = file->next) {
        ut_file_map_release(&file->map, tensor->data, tensor->n_bytes);
    }
}

static utter_status fail_changed(const char *path, utter_error *err) {
    return ut_fail(err, UTTER_ERROR_IO,
                   "%s: the file was truncated or changed while it was in use; "
                   "replace models by renaming, not by writing over them",
                   path);
}

utter_status ut_weights_check(const struct ut_weights *weights, utter_error *err) {
    if (weights->map.mem && !ut_file_map_intact(&weights->map)) {
        return fail_changed(weights->path, err);
    }
    for (const struct ut_external_file *file = weights->external; file; file = file->next) {
        if (file->map.mem && !ut_file_map_intact(&file->map)) {
            return fail_changed(file->name, err);
        }
    }
    return UTTER_OK;
}
