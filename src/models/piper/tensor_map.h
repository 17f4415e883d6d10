/* A voice file's tensors under the names of the checkpoint's modules, whatever the exporter called them,
 * and the geometry of its convolutions. Rules: docs/models/piper.md, "Reading an exported voice". */
#ifndef UT_PIPER_TENSOR_MAP_H
#define UT_PIPER_TENSOR_MAP_H

#include "base/json.h"
#include "compute/arena.h"
#include "weights/onnx.h"

struct ut_piper_geometry {
    const char *module;
    int stride, dilation;
    int pad, kernel, group; /* -1: not stated */
};

struct ut_piper_named {
    const char *name;
    const struct ut_tensor *tensor;
    bool used;
};

enum ut_piper_affine {
    UT_PIPER_AFFINE_LOGS,
    UT_PIPER_AFFINE_NEGATED_LOGS,
    UT_PIPER_AFFINE_SCALE,
    UT_PIPER_N_AFFINES
};
const char *ut_piper_affine_name(enum ut_piper_affine affine); /* "logs", as in a GGUF file */

struct ut_piper_map {
    struct ut_arena *arena;
    struct ut_piper_named *named; /* sorted by name */
    size_t n_named;
    struct ut_piper_geometry *geometry; /* sorted by module */
    size_t n_geometry;
    enum ut_piper_affine affine; /* what "dp.flows.0.logs" holds */
    bool multi_speaker;
};

/* Fills the map from an ONNX graph, from module-named tensors (safetensors) with the house voice's "model"
 * object in `json`, or from a GGUF file that utter wrote (piper_import.h). Names point into `weights` or `arena`. */
UTTER_CHECKED utter_status ut_piper_map_build(struct ut_arena *arena, const struct ut_weights *weights,
                                              const struct ut_json *json, struct ut_piper_map *out,
                                              utter_error *err);

const struct ut_tensor *ut_piper_map_find(const struct ut_piper_map *map, const char *name);
/* The same, marking the tensor as part of the model. */
const struct ut_tensor *ut_piper_map_use(struct ut_piper_map *map, const char *name);
/* Does a tensor of this name belong to the modules that speak? What only training needs does not. */
bool ut_piper_map_speaks(const char *name);
/* The first tensor of the modules that speak which was not used; NULL: none. */
const char *ut_piper_map_unused(const struct ut_piper_map *map);
/* Elements of all tensors that were used. */
uint64_t ut_piper_map_n_used(const struct ut_piper_map *map);
/* Never NULL: module "", stride and dilation 1, the rest -1 when the file says nothing. */
const struct ut_piper_geometry *ut_piper_map_geometry(const struct ut_piper_map *map, const char *module);

#endif
