/* Naming a voice's tensors by the structure of the graph; see tensor_map.h. Nothing here looks at
 * values or, but for the affine's, at shapes: load.c binds every name with the shape that it must
 * have. */
#include "models/piper/tensor_map.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "models/piper/piper_import.h"
#include "weights/gguf.h"

/* Far above any voice (strides up to 8, dilations up to 12, kernels up to 16 in those published),
 * and small enough that products of two fit an int. MAX_HOUSE_*: what the model can hold at most;
 * MAX_KEY: for names of modules in metadata keys, longer ones are of no module. */
enum { MAX_ATTRIBUTE = 4096, MAX_HOUSE_STAGES = 8, MAX_HOUSE_DILATIONS = 8, MAX_KEY = 160 };

/* First entries win when a name occurs twice, so structure is recorded before names. */
static int compare_named(const void *a, const void *b) {
    const struct ut_piper_named *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static int compare_geometry(const void *a, const void *b) {
    const struct ut_piper_geometry *x = a, *y = b;
    return strcmp(x->module, y->module);
}

/* `items` sorted by name; without the test an empty list would hand NULL to bsearch. */
static struct ut_piper_named *search(struct ut_piper_named *items, size_t n, const char *name) {
    struct ut_piper_named key = {.name = name};
    return n ? bsearch(&key, items, n, sizeof key, compare_named) : NULL;
}

const struct ut_tensor *ut_piper_map_find(const struct ut_piper_map *map, const char *name) {
    const struct ut_piper_named *hit = search(map->named, map->n_named, name);
    return hit ? hit->tensor : NULL;
}

const struct ut_tensor *ut_piper_map_use(struct ut_piper_map *map, const char *name) {
    struct ut_piper_named *hit = search(map->named, map->n_named, name);
    if (hit) {
        hit->used = true;
    }
    return hit ? hit->tensor : NULL;
}

uint64_t ut_piper_map_n_used(const struct ut_piper_map *map) {
    uint64_t n = 0;
    for (size_t i = 0; i < map->n_named; i++) {
        n += map->named[i].used ? ut_tensor_n_elements(map->named[i].tensor) : 0;
    }
    return n;
}

/* What only training needs: the forward direction of the duration predictor. An exported graph
 * lacks it; a checkpoint has it. */
static bool is_training_only(const char *name) {
    return strncmp(name, "dp.post_", strlen("dp.post_")) == 0 ||
           strncmp(name, "dp.flows.1.", strlen("dp.flows.1.")) == 0;
}

/* "enc_q." (the posterior encoder, which training hears the audio with) is the one module that a
 * checkpoint has besides. */
bool ut_piper_map_speaks(const char *name) {
    static const char *const modules[] = {"enc_p.", "dp.", "flow.", "dec.", "emb_g."};
    for (size_t m = 0; m < UT_COUNT(modules); m++) {
        if (strncmp(name, modules[m], strlen(modules[m])) == 0) {
            return !is_training_only(name);
        }
    }
    return false;
}

const char *ut_piper_map_unused(const struct ut_piper_map *map) {
    for (size_t i = 0; i < map->n_named; i++) {
        if (!map->named[i].used && ut_piper_map_speaks(map->named[i].name)) {
            return map->named[i].name;
        }
    }
    return NULL;
}

const struct ut_piper_geometry *ut_piper_map_geometry(const struct ut_piper_map *map,
                                                      const char *module) {
    static const struct ut_piper_geometry plain = {"", 1, 1, -1, -1, -1};
    struct ut_piper_geometry key = {.module = module};
    const struct ut_piper_geometry *hit =
        map->n_geometry
            ? bsearch(&key, map->geometry, map->n_geometry, sizeof key, compare_geometry)
            : NULL;
    return hit ? hit : &plain;
}

/* prefix[0..n) + suffix in the arena, '/' turned into '.'; NULL without memory. */
static char *join(struct ut_arena *arena, const char *prefix, size_t n, const char *suffix) {
    char *text = ut_arena_alloc(arena, n + strlen(suffix) + 1, 1);
    if (text) {
        for (size_t i = 0; i < n; i++) {
            text[i] = prefix[i] == '/' ? '.' : prefix[i];
        }
        strcpy(text + n, suffix);
    }
    return text;
}

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n > m && strcmp(text + n - m, end) == 0;
}

/* The module of a convolution node: from the real name of its bias, else its weight's, else the
 * node's path "/dec/ups.0/ConvTranspose". Empty when nothing tells. Of the path the last part is
 * the operation, the rest the module. */
static char *module_of(struct ut_arena *arena, const struct ut_onnx_node *node) {
    const char *weight = node->inputs[1], *bias = node->n_inputs > 2 ? node->inputs[2] : "";
    if (ends_with(bias, ".bias")) {
        return join(arena, bias, strlen(bias) - 5, "");
    }
    if (ends_with(weight, ".weight")) {
        return join(arena, weight, strlen(weight) - 7, "");
    }
    const char *path = node->name + (node->name[0] == '/'), *last = strrchr(path, '/');
    return join(arena, path, last ? (size_t)(last - path) : 0, "");
}

/* Constants with a tensor count as weights: some exporters write them so. */
struct constants {
    const struct ut_weights *weights;
    struct ut_piper_named *items; /* sorted */
    size_t n;
};

/* Initializers first: a Constant of the same name would not be valid ONNX. */
static const struct ut_tensor *find_value(const struct constants *constants, const char *name) {
    const struct ut_tensor *tensor = ut_weights_find(constants->weights, name);
    if (tensor) {
        return tensor;
    }
    const struct ut_piper_named *hit = search(constants->items, constants->n, name);
    return hit ? hit->tensor : NULL;
}

/* False: no memory. */
static bool collect_constants(struct ut_arena *arena, const struct ut_onnx_graph *graph,
                              struct constants *out) {
    out->items = ut_arena_alloc(arena, graph->n_nodes + 1, sizeof *out->items);
    for (size_t i = 0; out->items && i < graph->n_nodes; i++) {
        const struct ut_onnx_node *node = &graph->nodes[i];
        const struct ut_onnx_attribute *value = ut_onnx_attribute(node, "value");
        if (strcmp(node->op_type, "Constant") == 0 && value && value->tensor &&
            node->n_outputs == 1) {
            out->items[out->n++] = (struct ut_piper_named){node->outputs[0], value->tensor, false};
        }
    }
    if (out->n) {
        qsort(out->items, out->n, sizeof *out->items, compare_named);
    }
    return out->items != NULL;
}

/* Looks at no capacity: callers have made room. A tensor that is NULL is not added; load.c will say
 * that it is missing. */
static void add(struct ut_piper_map *map, const char *name, const struct ut_tensor *tensor) {
    if (tensor) {
        map->named[map->n_named++] = (struct ut_piper_named){name, tensor, false};
    }
}

/* The one value that an attribute repeats, `otherwise` when it is absent; false when the values
 * differ or are absurd. `pads` has the same value before and behind, and `strides` one value, in
 * every voice: anything else the convolutions here could not do. */
static bool read_attribute(const struct ut_onnx_node *node, const char *name, int least,
                           int otherwise, int *out) {
    const struct ut_onnx_attribute *attribute = ut_onnx_attribute(node, name);
    *out = otherwise;
    for (size_t i = 0; attribute && i < attribute->n_ints; i++) {
        int64_t value = attribute->ints[i];
        if (value != attribute->ints[0] || value < least || value > MAX_ATTRIBUTE) {
            return false;
        }
        *out = (int)value;
    }
    return true;
}

static bool read_geometry(const struct ut_onnx_node *node, struct ut_piper_geometry *out) {
    return read_attribute(node, "strides", 1, 1, &out->stride) &&
           read_attribute(node, "dilations", 1, 1, &out->dilation) &&
           read_attribute(node, "pads", 0, 0, &out->pad) &&
           read_attribute(node, "kernel_shape", 1, -1, &out->kernel) &&
           read_attribute(node, "group", 1, 1, &out->group);
}

/* Enters weight and bias under their module's name, whatever the file calls them, with the geometry
 * beside. Convolutions outside the modules that speak are entered too and never asked for. */
static utter_status add_convolution(struct ut_piper_map *map, const struct constants *constants,
                                    const struct ut_onnx_node *node, utter_error *err) {
    if (node->n_inputs < 2) {
        return ut_fail(err, UTTER_ERROR_FORMAT, "node %s (%s) has %zu inputs, expected 2 or 3",
                       node->name, node->op_type, node->n_inputs);
    }
    char *module = module_of(map->arena, node);
    size_t n = module ? strlen(module) : 0;
    char *weight = module ? join(map->arena, module, n, ".weight") : NULL;
    char *bias = module ? join(map->arena, module, n, ".bias") : NULL;
    if (!weight || !bias) {
        return ut_fail_memory(err, n);
    }
    for (size_t i = 1; i < UT_MIN(node->n_inputs, 3); i++) {
        const struct ut_tensor *tensor = find_value(constants, node->inputs[i]);
        if (!tensor) {
            return ut_fail(err, UTTER_ERROR_FORMAT,
                           "convolution %s reads tensor %s, which is not in the file", module,
                           node->inputs[i]);
        }
        add(map, i == 1 ? weight : bias, tensor);
    }
    struct ut_piper_geometry geometry = {.module = module};
    if (!read_geometry(node, &geometry)) {
        return ut_fail(err, UTTER_ERROR_FORMAT,
                       "convolution %s: strides, dilations, pads, kernel_shape or group is out of "
                       "range",
                       module);
    }
    map->geometry[map->n_geometry++] = geometry;
    return UTTER_OK;
}

/* The tables that are looked up by the graph's own inputs. The first input of the graph is the ids;
 * that of the speaker is found by its name "sid", which may also be the name of a table, but only a
 * node's second input is compared. */
static void add_gather(struct ut_piper_map *map, const struct constants *constants,
                       const struct ut_onnx_graph *graph, const struct ut_onnx_node *node) {
    if (node->n_inputs != 2 || graph->n_inputs == 0) {
        return;
    }
    if (strcmp(node->inputs[1], graph->inputs[0]) == 0) {
        add(map, "enc_p.emb.weight", find_value(constants, node->inputs[0]));
    } else if (strcmp(node->inputs[1], "sid") == 0) {
        add(map, "emb_g.weight", find_value(constants, node->inputs[0]));
    }
}

/* dp.flows.0.logs is not stored: its negation feeds an Exp, or exp(-logs) is the factor of a Mul.
 * The shape [2, 1] tells this tensor from every other constant of these nodes. */
static void add_affine(struct ut_piper_map *map, const struct constants *constants,
                       const struct ut_onnx_node *node) {
    bool is_exp = strcmp(node->op_type, "Exp") == 0;
    if (!is_exp && strcmp(node->name, "/dp/flows.0/Mul") != 0) {
        return;
    }
    for (size_t i = 0; i < node->n_inputs; i++) {
        const struct ut_tensor *tensor = find_value(constants, node->inputs[i]);
        if (tensor && tensor->n_dims == 2 && tensor->dims[0] == 2 && tensor->dims[1] == 1) {
            add(map, "dp.flows.0.logs", tensor);
            map->affine = is_exp ? UT_PIPER_AFFINE_NEGATED_LOGS : UT_PIPER_AFFINE_SCALE;
            return; /* a node may name as many inputs as it likes, and there is room for two */
        }
    }
}

/* One walk over the nodes. Voices of several speakers have the graph inputs input, input_lengths,
 * scales and sid; the others lack the fourth. */
static utter_status map_onnx(struct ut_piper_map *map, const struct ut_weights *weights,
                             utter_error *err) {
    const struct ut_onnx_graph *graph = ut_weights_onnx(weights);
    struct constants constants = {.weights = weights};
    size_t n_tensors = ut_weights_count(weights);
    map->named = ut_arena_alloc(map->arena, 2 * graph->n_nodes + n_tensors + 1, sizeof *map->named);
    map->geometry = ut_arena_alloc(map->arena, graph->n_nodes + 1, sizeof *map->geometry);
    if (!map->named || !map->geometry || !collect_constants(map->arena, graph, &constants)) {
        return ut_fail_memory(err, graph->n_nodes * sizeof *map->named);
    }
    for (size_t i = 0; i < graph->n_nodes; i++) {
        const struct ut_onnx_node *node = &graph->nodes[i];
        utter_status status = UTTER_OK;
        if (strcmp(node->op_type, "Conv") == 0 || strcmp(node->op_type, "ConvTranspose") == 0) {
            status = add_convolution(map, &constants, node, err);
        } else if (strcmp(node->op_type, "Gather") == 0) {
            add_gather(map, &constants, graph, node);
        } else {
            add_affine(map, &constants, node);
        }
        if (status) {
            return status;
        }
    }
    map->multi_speaker = graph->n_inputs >= 4;
    return UTTER_OK;
}

/* An integer of the house voice's "model" object within 1..limit. */
static bool house_int(const struct ut_json *json, ut_json_ref value, int64_t limit, int *out) {
    int64_t number;
    if (!ut_json_int64(json, value, &number) || number < 1 || number > limit) {
        return false;
    }
    *out = (int)number;
    return true;
}

/* `format` takes a and b, or a alone. Pad, kernel and group are not stated: "same" padding, the
 * weight's own taps, one group. */
static bool add_house_geometry(struct ut_piper_map *map, const char *format, int a, int b,
                               int stride, int dilation) {
    char text[64];
    int n = snprintf(text, sizeof text, format, a, b);
    char *module = join(map->arena, text, (size_t)n, "");
    if (module) {
        map->geometry[map->n_geometry++] =
            (struct ut_piper_geometry){module, stride, dilation, -1, -1, -1};
    }
    return module != NULL;
}

/* Rates and dilations of the decoder are not in the tensors: "model" in voice.json has them.
 * "up_rates": [8, 8, 2, 2], one stride a stage; "res_dil": [[1, 2], [2, 6], [3, 12]], the dilations
 * of each residual block of a stage, the same for all stages. Block j of stage i is
 * dec.resblocks.(i * n_blocks + j). Both lists are bounded before anything is allocated by them. */
static utter_status map_house(struct ut_piper_map *map, const struct ut_json *json,
                              utter_error *err) {
    ut_json_ref model = ut_json_member(json, 0, "model");
    ut_json_ref rates = ut_json_member(json, model, "up_rates"),
                dilations = ut_json_member(json, model, "res_dil");
    size_t n_stages = ut_json_count(json, rates), n_blocks = ut_json_count(json, dilations);
    if (n_stages < 1 || n_stages > MAX_HOUSE_STAGES || n_blocks < 1 ||
        n_blocks > MAX_HOUSE_STAGES) {
        return ut_fail(err, UTTER_ERROR_FORMAT,
                       "voice.json: model.up_rates and model.res_dil must be lists of "
                       "1 to %d entries",
                       MAX_HOUSE_STAGES);
    }
    size_t capacity = n_stages * (1 + n_blocks * MAX_HOUSE_DILATIONS);
    map->geometry = ut_arena_alloc(map->arena, capacity, sizeof *map->geometry);
    bool ok = map->geometry != NULL, sane = true;
    ut_json_ref rate = ut_json_first(json, rates);
    for (int stage = 0; ok && sane && rate >= 0; stage++, rate = ut_json_next(json, rate)) {
        int stride = 1, block = stage * (int)n_blocks;
        sane = house_int(json, rate, MAX_ATTRIBUTE, &stride);
        ok = add_house_geometry(map, "dec.ups.%d", stage, 0, stride, 1);
        for (ut_json_ref list = ut_json_first(json, dilations); list >= 0;
             list = ut_json_next(json, list), block++) {
            int i = 0, dilation = 1;
            for (ut_json_ref d = ut_json_first(json, list); ok && sane && d >= 0;
                 d = ut_json_next(json, d), i++) {
                sane = i < MAX_HOUSE_DILATIONS && house_int(json, d, MAX_ATTRIBUTE, &dilation);
                ok = sane &&
                     add_house_geometry(map, "dec.resblocks.%d.convs.%d", block, i, 1, dilation);
            }
        }
    }
    if (!sane) {
        return ut_fail(
            err, UTTER_ERROR_FORMAT,
            "voice.json: model.up_rates or model.res_dil holds something else than small numbers");
    }
    return ok ? UTTER_OK : ut_fail_memory(err, capacity * sizeof *map->geometry);
}

/* ---- GGUF: what the shapes do not tell is in the metadata --------------------------------- */

static const char *const affine_names[UT_PIPER_N_AFFINES] = {
    [UT_PIPER_AFFINE_LOGS] = "logs",
    [UT_PIPER_AFFINE_NEGATED_LOGS] = "negated_logs",
    [UT_PIPER_AFFINE_SCALE] = "scale",
};

const char *ut_piper_affine_name(enum ut_piper_affine affine) {
    return affine_names[affine];
}

/* A key of a module; *out is left alone where the file has none. */
static utter_status gguf_int(const struct ut_weights *weights, const char *module, const char *what,
                             int *out, bool *found, utter_error *err) {
    char key[MAX_KEY];
    int64_t value;
    snprintf(key, sizeof key, UT_PIPER_GGUF_GEOMETRY, module, what);
    if (!ut_gguf_has(weights, key)) {
        return UTTER_OK;
    }
    utter_status status = ut_gguf_get_int(weights, key, &value, err);
    if (status == UTTER_OK && (value < 1 || value > MAX_ATTRIBUTE)) {
        return ut_fail(err, UTTER_ERROR_FORMAT, "%s is %lld: it must be 1 to %d", key,
                       (long long)value, MAX_ATTRIBUTE);
    }
    *found = true;
    *out = status ? *out : (int)value;
    return status;
}

/* "piper.affine" is written always; a file without it is refused. */
static utter_status read_affine(struct ut_piper_map *map, const struct ut_weights *weights,
                                utter_error *err) {
    const char *name = NULL;
    utter_status status = ut_gguf_get_string(weights, UT_PIPER_GGUF_AFFINE, &name, err);
    for (int i = 0; status == UTTER_OK && i < UT_PIPER_N_AFFINES; i++) {
        if (strcmp(name, affine_names[i]) == 0) {
            map->affine = (enum ut_piper_affine)i;
            return UTTER_OK;
        }
    }
    return status ? status
                  : ut_fail(err, UTTER_ERROR_FORMAT,
                            UT_PIPER_GGUF_AFFINE
                            " is \"%.40s\": it must be logs, negated_logs or scale",
                            name);
}

/* Only tensors of the file can have geometry, so the metadata is asked for each ".weight" instead
 * of walked: keys of no tensor do no harm. What only the file's author could know, pad and kernel,
 * is implied by the model's own rules. */
static utter_status map_gguf(struct ut_piper_map *map, const struct ut_weights *weights,
                             utter_error *err) {
    size_t n = ut_weights_count(weights);
    map->geometry = ut_arena_alloc(map->arena, n + 1, sizeof *map->geometry);
    if (!map->geometry) {
        return ut_fail_memory(err, n * sizeof *map->geometry);
    }
    utter_status status = read_affine(map, weights, err);
    for (size_t i = 0; i < n && status == UTTER_OK; i++) {
        const char *name = ut_weights_at(weights, i)->name;
        if (!ends_with(name, ".weight") || strlen(name) >= MAX_KEY / 2) {
            continue;
        }
        struct ut_piper_geometry geometry = {NULL, 1, 1, -1, -1, -1};
        bool found = false;
        char *module = join(map->arena, name, strlen(name) - strlen(".weight"), "");
        if (!module) {
            return ut_fail_memory(err, strlen(name));
        }
        geometry.module = module;
        status = gguf_int(weights, module, "stride", &geometry.stride, &found, err);
        status = status ? status
                        : gguf_int(weights, module, "dilation", &geometry.dilation, &found, err);
        if (found) {
            map->geometry[map->n_geometry++] = geometry;
        }
    }
    return status;
}

/* Every tensor under its own name, behind the structural ones; then sorted, the first of a name
 * kept. Room for the tensors was left by map_onnx; the other formats have no structural entries and
 * allocate here. The search runs over a copy of the map that ends before the names that are being
 * added, because only that part is sorted. */
static utter_status finish(struct ut_piper_map *map, const struct ut_weights *weights,
                           utter_error *err) {
    size_t n_tensors = ut_weights_count(weights), n_structural = map->n_named;
    if (!map->named) {
        map->named = ut_arena_alloc(map->arena, n_tensors + 1, sizeof *map->named);
        if (!map->named) {
            return ut_fail_memory(err, n_tensors * sizeof *map->named);
        }
    }
    if (n_structural) {
        qsort(map->named, n_structural, sizeof *map->named, compare_named);
    }
    struct ut_piper_map structural = *map;
    for (size_t i = 0; i < n_tensors; i++) {
        const struct ut_tensor *tensor = ut_weights_at(weights, i);
        if (!ut_piper_map_find(&structural, tensor->name)) {
            add(map, tensor->name, tensor);
        }
    }
    if (map->n_named) {
        qsort(map->named, map->n_named, sizeof *map->named, compare_named);
    }
    if (map->n_geometry) {
        qsort(map->geometry, map->n_geometry, sizeof *map->geometry, compare_geometry);
    }
    return UTTER_OK;
}

/* voice.json may not speak of layers that the model file does not have. */
static utter_status check_house_geometry(const struct ut_piper_map *map, utter_error *err) {
    for (size_t i = 0; i < map->n_geometry; i++) {
        char name[96];
        snprintf(name, sizeof name, "%s.weight", map->geometry[i].module);
        if (!ut_piper_map_find(map, name)) {
            return ut_fail(err, UTTER_ERROR_FORMAT,
                           "voice.json: model.up_rates or model.res_dil describes %s, which is not "
                           "in the model file",
                           map->geometry[i].module);
        }
    }
    return UTTER_OK;
}

utter_status ut_piper_map_build(struct ut_arena *arena, const struct ut_weights *weights,
                                const struct ut_json *json, struct ut_piper_map *out,
                                utter_error *err) {
    enum ut_format format = ut_weights_format(weights);
    *out = (struct ut_piper_map){.arena = arena, .affine = UT_PIPER_AFFINE_LOGS};
    utter_status status = format == UT_FORMAT_ONNX   ? map_onnx(out, weights, err)
                          : format == UT_FORMAT_GGUF ? map_gguf(out, weights, err)
                                                     : map_house(out, json, err);
    if (status == UTTER_OK) {
        status = finish(out, weights, err);
    }
    if (status == UTTER_OK && format != UT_FORMAT_ONNX) {
        out->multi_speaker = ut_piper_map_find(out, "emb_g.weight") != NULL;
        status = format == UT_FORMAT_GGUF ? UTTER_OK : check_house_geometry(out, err);
    }
    return status;
}
