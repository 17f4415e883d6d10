/* Writing a Piper voice as one GGUF file; see piper_import.h. What may be stored in 8 bits is
 * decided by role_of, types by models/model_writer.c. */
#include "models/piper/piper_import.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/json.h"
#include "models/piper/piper.h"
#include "models/piper/tensor_map.h"

enum { KEY_SIZE = 160 };

/* The file that is imported, open: weights stay mapped while they are copied. */
struct source {
    struct ut_weights *weights;
    struct ut_arena names;
    struct ut_piper_map map;
    char *json; /* NUL-terminated */
};

/* ---- Metadata ----------------------------------------------------------------------------- */

/* Convolutions of upsamplings and resblocks state theirs always, the others where it is not 1. */
static bool must_be_stated(const struct ut_piper_geometry *geometry) {
    return geometry->stride != 1 || geometry->dilation != 1 ||
           strncmp(geometry->module, "dec.ups.", strlen("dec.ups.")) == 0 ||
           strncmp(geometry->module, "dec.resblocks.", strlen("dec.resblocks.")) == 0;
}

/* Strides and dilations alone: pads follow from "same" padding, kernels from the weights. */
static utter_status put_geometry(struct ut_gguf_writer *gguf, const struct ut_piper_map *map,
                                 utter_error *err) {
    utter_status status = UTTER_OK;
    for (size_t i = 0; i < map->n_geometry && status == UTTER_OK; i++) {
        const struct ut_piper_geometry *geometry = &map->geometry[i];
        char name[KEY_SIZE], key[KEY_SIZE];
        snprintf(name, sizeof name, "%s.weight", geometry->module);
        if (!must_be_stated(geometry) || !ut_piper_map_speaks(name)) {
            continue;
        }
        snprintf(key, sizeof key, UT_PIPER_GGUF_GEOMETRY, geometry->module, "stride");
        status = ut_gguf_put_uint32(gguf, key, (uint32_t)geometry->stride, err);
        snprintf(key, sizeof key, UT_PIPER_GGUF_GEOMETRY, geometry->module, "dilation");
        status = status ? status : ut_gguf_put_uint32(gguf, key, (uint32_t)geometry->dilation, err);
    }
    return status;
}

/* The configuration goes in as it is, so that front end and loader read the same text as beside the
 * original. */
static utter_status put_metadata(struct ut_gguf_writer *gguf, const struct source *source,
                                 utter_error *err) {
    utter_status status = ut_gguf_put_string(gguf, UT_PIPER_GGUF_CONFIG, source->json, err);
    status = status ? status
                    : ut_gguf_put_string(gguf, UT_PIPER_GGUF_AFFINE,
                                         ut_piper_affine_name(source->map.affine), err);
    return status ? status : put_geometry(gguf, &source->map, err);
}

/* ---- Tensors ------------------------------------------------------------------------------ */

/* The i-th of the map under its module's name; false for one that is not part of the voice. */
static bool tensor_at(const struct ut_piper_map *map, size_t i, struct ut_tensor *out) {
    *out = *map->named[i].tensor;
    out->name = map->named[i].name;
    return ut_piper_map_speaks(out->name);
}

/* The convolutions that the loader packs for narrow arithmetic: those of the decoder, and where its
 * residual blocks are not made of pairs those of the flow. */
static enum ut_tensor_role role_of(const struct ut_piper_map *map, const char *name) {
    static const char *const frames[] = {"flow.flows.*.pre.weight", "flow.flows.*.post.weight",
                                         "flow.flows.*.enc.in_layers.*.weight",
                                         "flow.flows.*.enc.res_skip_layers.*.weight",
                                         "dec.conv_pre.weight"};
    bool pairs = ut_piper_map_find(map, "dec.resblocks.0.convs1.0.weight") != NULL;
    for (size_t i = 0; i < UT_COUNT(frames) && !pairs; i++) {
        if (fnmatch(frames[i], name, FNM_NOESCAPE) == 0) {
            return UT_TENSOR_CONV;
        }
    }
    if (fnmatch("dec.ups.*.weight", name, FNM_NOESCAPE) == 0) {
        return UT_TENSOR_CONV_TRANSPOSED;
    }
    return fnmatch("dec.resblocks.*.weight", name, FNM_NOESCAPE) == 0 ? UT_TENSOR_CONV
                                                                      : UT_TENSOR_ORDINARY;
}

/* Two passes over the same tensors in the same order: GGUF has all shapes before the first value
 * (model_writer.h). */
static utter_status write_voice(const struct ut_import *import, const struct source *source,
                                utter_import_result *result, utter_error *err) {
    const struct ut_piper_map *map = &source->map;
    struct ut_model_writer *writer;
    struct ut_tensor tensor;
    utter_status status = ut_model_writer_create(import, UT_PIPER_GGUF_ARCHITECTURE, &writer, err);
    if (status != UTTER_OK) {
        return status;
    }
    status = put_metadata(ut_model_writer_gguf(writer), source, err);
    for (size_t i = 0; i < map->n_named && status == UTTER_OK; i++) {
        if (tensor_at(map, i, &tensor)) {
            status = ut_model_writer_declare(writer, &tensor, role_of(map, tensor.name), err);
        }
    }
    for (size_t i = 0; i < map->n_named && status == UTTER_OK; i++) {
        if (tensor_at(map, i, &tensor)) {
            status = ut_model_writer_put(writer, &tensor, err);
        }
    }
    /* Pages lost to a truncated file have read as zeros. */
    status = status ? status : ut_weights_check(source->weights, err);
    status = status ? status : ut_model_writer_finish(writer, result, err);
    ut_model_writer_destroy(writer);
    return status;
}

/* ---- Reading ------------------------------------------------------------------------------ */

/* The loader checks what a table of names does not: that the tensors make up a voice. */
static utter_status check_voice(const struct ut_import *import, utter_import_result *result,
                                utter_error *err) {
    struct ut_piper *model;
    struct ut_piper_info info;
    utter_status status =
        ut_piper_open(import->mem, import->compute, import->file, import->log, &model, err);
    if (status == UTTER_OK) {
        ut_piper_get_info(model, &info);
        result->n_voices = (uint64_t)info.n_speakers;
        ut_piper_close(model);
    }
    return status;
}

static utter_status open_source(const struct ut_import *import, struct source *out,
                                utter_error *err) {
    struct ut_json *doc = NULL;
    char *text = NULL;
    size_t n = 0;
    ut_arena_init(&out->names, import->mem, UT_MEM_OTHER);
    utter_status status = ut_weights_open(import->mem, import->file, &out->weights, err);
    status = status ? status : ut_piper_read_config(import->mem, import->file, &text, &n, err);
    status = status ? status : ut_json_parse(import->mem, text, n, &doc, err);
    if (status == UTTER_OK) {
        out->json = ut_mem_strndup(import->mem, UT_MEM_OTHER, text, n);
        status = out->json ? UTTER_OK : ut_fail_memory(err, n + 1);
    }
    status = status ? status : ut_piper_map_build(&out->names, out->weights, doc, &out->map, err);
    ut_json_free(doc);
    ut_mem_free(import->mem, text);
    return status;
}

utter_status ut_piper_import(const struct ut_import *import, utter_import_result *result,
                             utter_error *err) {
    struct source source = {.weights = NULL};
    result->family = "piper";
    if (import->voices) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT,
                       "%s is a Piper voice, whose speakers are part of its weights: voices cannot "
                       "be chosen",
                       import->file);
    }
    utter_status status = check_voice(import, result, err);
    if (status != UTTER_OK) {
        return status;
    }
    status = open_source(import, &source, err);
    if (status == UTTER_OK) {
        result->bytes_in = ut_weights_file_bytes(source.weights);
        status = write_voice(import, &source, result, err);
    }
    ut_mem_free(import->mem, source.json);
    ut_arena_free(&source.names);
    ut_weights_close(source.weights);
    return status;
}
