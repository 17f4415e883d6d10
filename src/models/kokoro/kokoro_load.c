/* Loading Kokoro: tensors to packed layers, sizes from their shapes. The parts of the network load
 * themselves (text_load.c, prosody.c, adain_decoder.c, generator_load.c) with the functions here.
 */
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "compute/narrow.h"
#include "compute/time_conv.h"
#include "models/kokoro/kokoro_model.h"

/* No dimension of a Kokoro layer comes near these; more would only serve to exhaust memory and
 * time. */
enum { MAX_DIMENSION = 1 << 16, MAX_TAPS = 64, NAME_SIZE = 128 };

/* "[512, any, 3]" into text. */
static void print_shape(char text[64], const int64_t *dims, int n_dims) {
    size_t n = 0;
    for (int i = 0; i < n_dims; i++) {
        const char *separator = i ? ", " : "[";
        n += (size_t)(dims[i] == KOKORO_ANY
                          ? snprintf(text + n, 64 - n, "%sany", separator)
                          : snprintf(text + n, 64 - n, "%s%lld", separator, (long long)dims[i]));
        n = UT_MIN(n, 62);
    }
    snprintf(text + n, 64 - n, "]");
}

static utter_status fail_shape(const struct ut_tensor *tensor, const char *name, int n_out,
                               int n_in, int n_taps, utter_error *err) {
    char wanted[64], found[64];
    int64_t dims[UT_MAX_DIMS], layer[] = {n_out, n_in, n_taps};
    for (int i = 0; i < UT_MAX_DIMS; i++) {
        dims[i] = (int64_t)tensor->dims[i];
    }
    print_shape(found, dims, tensor->n_dims);
    print_shape(wanted, layer, n_taps == 1 ? 2 : 3);
    return ut_fail(
        err, UTTER_ERROR_FORMAT,
        "tensor %s has the shape %s, expected %s: the file does not hold a Kokoro model of "
        "one piece",
        name, found, wanted);
}

utter_status ut_kokoro_load_shape(struct kokoro_loader *loader, const char *name, int n_dims,
                                  int dims[UT_MAX_DIMS], utter_error *err) {
    const struct ut_tensor *tensor;
    utter_status status = ut_kokoro_tensor_get(loader->tensors, name, &tensor, err);
    if (status) {
        return status;
    }
    for (int i = 0; i < UT_MAX_DIMS; i++) {
        if (tensor->n_dims != n_dims || tensor->dims[i] < 1 || tensor->dims[i] > MAX_DIMENSION) {
            status = ut_fail(
                err, UTTER_ERROR_FORMAT,
                "tensor %s has %d dimensions, one of them %llu: expected %d, each 1 to %d", name,
                tensor->n_dims, (unsigned long long)tensor->dims[i], n_dims, (int)MAX_DIMENSION);
            break;
        }
        dims[i] = (int)tensor->dims[i];
    }
    ut_kokoro_tensor_drop(loader->tensors, tensor);
    return status;
}

static bool fits(uint64_t found, int wanted, uint64_t most) {
    return wanted == KOKORO_ANY ? found >= 1 && found <= most : found == (uint64_t)wanted;
}

static utter_status get_weight(struct kokoro_loader *loader, const char *name, int n_out, int n_in,
                               int n_taps, const struct ut_tensor **out, utter_error *err) {
    utter_status status = ut_kokoro_tensor_get(loader->tensors, name, out, err);
    if (status) {
        return status;
    }
    const struct ut_tensor *t = *out;
    bool is_layer = t->n_dims == 2 || t->n_dims == 3;
    if (!is_layer || !fits(t->dims[0], n_out, MAX_DIMENSION) ||
        !fits(t->dims[1], n_in, MAX_DIMENSION) || !fits(t->dims[2], n_taps, MAX_TAPS)) {
        status = fail_shape(t, name, n_out, n_in, n_taps, err);
        ut_kokoro_tensor_drop(loader->tensors, t);
    }
    return status;
}

static utter_status get_vector(struct kokoro_loader *loader, const char *name, size_t n,
                               const struct ut_tensor **out, utter_error *err) {
    utter_status status = ut_kokoro_tensor_get(loader->tensors, name, out, err);
    if (status == UTTER_OK && ut_tensor_n_elements(*out) != n) {
        status = ut_fail(err, UTTER_ERROR_FORMAT, "tensor %s has %llu values, expected %zu", name,
                         (unsigned long long)ut_tensor_n_elements(*out), n);
        ut_kokoro_tensor_drop(loader->tensors, *out);
    }
    return status;
}

utter_status ut_kokoro_load_conv(struct kokoro_loader *loader, const char *name, int n_out,
                                 int n_in, int n_taps, bool bias, int zero, struct ut_layer *out,
                                 utter_error *err) {
    const struct ut_compute *compute = &loader->model->compute;
    struct ut_arena *arena = &loader->model->weights;
    char full[NAME_SIZE];
    const struct ut_tensor *weight, *biases = NULL;
    snprintf(full, sizeof full, "%s.weight", name);
    utter_status status = get_weight(loader, full, n_out, n_in, n_taps, &weight, err);
    if (status) {
        return status;
    }
    if (bias) {
        snprintf(full, sizeof full, "%s.bias", name);
        status = get_vector(loader, full, (size_t)weight->dims[0], &biases, err);
    }
    if (status == UTTER_OK) {
        struct ut_layer_source source = ut_layer_source_conv(weight, biases);
        source.scale = ut_kokoro_tensor_scale(loader->tensors, weight);
        source.half = zero == KOKORO_HALF && ut_narrow_kind(compute);
        status = zero > 0 ? ut_time_conv_pack(compute, arena, &source, zero, out, err)
                          : ut_layer_pack(compute, arena, &source, out, err);
        if (biases) {
            ut_kokoro_tensor_drop(loader->tensors, biases);
        }
    }
    ut_kokoro_tensor_drop(loader->tensors, weight);
    return status;
}

utter_status ut_kokoro_load_layer(struct kokoro_loader *loader, const char *name, int n_out,
                                  int n_in, int n_taps, bool bias, struct ut_layer *out,
                                  utter_error *err) {
    return ut_kokoro_load_conv(loader, name, n_out, n_in, n_taps, bias, KOKORO_FLOAT, out, err);
}

utter_status ut_kokoro_load_values(struct kokoro_loader *loader, const char *name, size_t n,
                                   float **out, utter_error *err) {
    const struct ut_tensor *tensor;
    utter_status status = get_vector(loader, name, n, &tensor, err);
    if (status == UTTER_OK) {
        status = ut_tensor_load(&loader->model->weights, tensor, out, err);
        ut_kokoro_tensor_drop(loader->tensors, tensor);
    }
    return status;
}

/* Adds one of the two biases that torch keeps for each gate. */
static utter_status add_bias(struct kokoro_loader *loader, const char *name, struct ut_layer *layer,
                             utter_error *err) {
    const struct ut_tensor *tensor;
    float *values;
    utter_status status = get_vector(loader, name, (size_t)layer->n_out, &tensor, err);
    if (status) {
        return status;
    }
    struct ut_arena *arena = &loader->model->weights;
    struct ut_arena_mark mark = ut_arena_mark(arena);
    status = ut_tensor_load(arena, tensor, &values, err);
    for (int i = 0; status == UTTER_OK && i < layer->n_out; i++) {
        layer->bias[i] += values[i];
    }
    ut_arena_rewind(arena, mark);
    ut_kokoro_tensor_drop(loader->tensors, tensor);
    return status;
}

static utter_status load_gates(struct kokoro_loader *loader, const char *name, const char *part,
                               const char *suffix, int n_out, int n_in, bool half,
                               struct ut_layer *out, utter_error *err) {
    char full[NAME_SIZE];
    const struct ut_tensor *weight;
    snprintf(full, sizeof full, "%s.weight_%s_l0%s", name, part, suffix);
    utter_status status = get_weight(loader, full, n_out, n_in, 1, &weight, err);
    if (status == UTTER_OK) {
        struct ut_layer_source source = ut_layer_source_conv(weight, NULL);
        source.scale = ut_kokoro_tensor_scale(loader->tensors, weight);
        source.half = half && ut_narrow_kind(&loader->model->compute);
        status = ut_layer_pack(&loader->model->compute, &loader->model->weights, &source, out, err);
        ut_kokoro_tensor_drop(loader->tensors, weight);
    }
    return status;
}

utter_status ut_kokoro_load_lstm(struct kokoro_loader *loader, const char *name, int n_in,
                                 int n_hidden, bool half, struct ut_lstm *out, utter_error *err) {
    static const char *const suffixes[] = {"", "_reverse"};
    static const char *const parts[] = {"ih", "hh"};
    utter_status status = UTTER_OK;
    out->n_in = n_in;
    out->n_hidden = n_hidden;
    for (int d = 0; d < 2 && status == UTTER_OK; d++) {
        struct ut_layer *input = &out->directions[d].input, *again = &out->directions[d].recurrent;
        status = load_gates(loader, name, "ih", suffixes[d], 4 * n_hidden, n_in, half, input, err);
        status = status ? status
                        : load_gates(loader, name, "hh", suffixes[d], 4 * n_hidden, n_hidden, half,
                                     again, err);
        for (int b = 0; b < 2 && status == UTTER_OK; b++) {
            char full[NAME_SIZE];
            snprintf(full, sizeof full, "%s.bias_%s_l0%s", name, parts[b], suffixes[d]);
            status = add_bias(loader, full, input, err);
        }
    }
    return status;
}

static utter_status load_parts(struct kokoro_loader *loader, utter_error *err) {
    utter_status status = ut_kokoro_load_text(loader, err);
    status = status ? status : ut_kokoro_load_prosody(loader, err);
    status = status ? status : ut_kokoro_load_decoder(loader, err);
    return status ? status : ut_kokoro_load_generator(loader, err);
}

/* Parameters, and the type that most of them are stored in; i8 for a file that has such layers. */
static void count_parameters(struct ut_kokoro *model, const struct ut_weights *weights) {
    uint64_t by_type[UT_N_DTYPES] = {0};
    for (size_t i = 0; i < ut_weights_count(weights); i++) {
        const struct ut_tensor *tensor = ut_weights_at(weights, i);
        bool is_parameter = tensor->type <= UT_I8 || tensor->type > UT_BOOL;
        bool is_other =
            strstr(tensor->name, "voice") != NULL || strstr(tensor->name, ".scale") != NULL;
        if (is_parameter && !is_other) {
            by_type[tensor->type] += ut_tensor_n_elements(tensor);
        }
    }
    for (int type = 0; type < UT_N_DTYPES; type++) {
        model->info.n_parameters += by_type[type];
        if (by_type[type] > by_type[model->info.weight_type]) {
            model->info.weight_type = (enum ut_dtype)type;
        }
    }
    model->info.weight_type = by_type[UT_I8] ? UT_I8 : model->info.weight_type;
}

/* AUTO: what the file was made for. */
static enum ut_precision choose_precision(const struct ut_kokoro *model) {
    enum ut_precision asked = model->compute.precision;
    return asked != UT_PRECISION_AUTO         ? asked
           : model->info.weight_type == UT_I8 ? UT_PRECISION_INT8
                                              : UT_PRECISION_F32;
}

static utter_status copy_config(struct ut_kokoro *model, const struct ut_kokoro_config *config,
                                utter_error *err) {
    model->config = *config;
    model->config.mem = model->mem;
    size_t n_bytes = config->n_symbols * sizeof *config->symbols;
    model->config.symbols = ut_mem_alloc(model->mem, UT_MEM_WEIGHTS, n_bytes ? n_bytes : 1);
    if (!model->config.symbols) {
        return ut_fail_memory(err, n_bytes);
    }
    memcpy(model->config.symbols, config->symbols, n_bytes);
    return UTTER_OK;
}

utter_status ut_kokoro_load(struct ut_mem *mem, const struct ut_compute *compute,
                            const struct ut_weights *weights, const struct ut_kokoro_config *config,
                            const struct ut_log *log, struct ut_kokoro **out, utter_error *err) {
    *out = NULL;
    struct ut_kokoro *model = ut_mem_calloc(mem, UT_MEM_WEIGHTS, 1, sizeof *model);
    if (!model) {
        return ut_fail_memory(err, sizeof *model);
    }
    model->mem = mem;
    model->compute = *compute;
    model->log = log ? *log : (struct ut_log){0};
    model->info.format = ut_weights_format(weights);
    model->info.file_bytes = ut_weights_file_bytes(weights);
    ut_arena_init(&model->weights, mem, UT_MEM_WEIGHTS);
    count_parameters(model, weights);
    model->compute.precision = choose_precision(model);
    struct kokoro_loader loader = {.model = model};
    utter_status status = copy_config(model, config, err);
    status = status ? status : ut_kokoro_tensors_create(mem, weights, &loader.tensors, err);
    status = status ? status : load_parts(&loader, err);
    /* Pages lost while the file was read would have been taken for zeros. */
    status = status ? status : ut_weights_check(weights, err);
    ut_kokoro_tensors_destroy(loader.tensors);
    if (status) {
        ut_kokoro_close(model);
        return status;
    }
    *out = model;
    return UTTER_OK;
}

void ut_kokoro_close(struct ut_kokoro *model) {
    if (model) {
        ut_kokoro_voices_close(model->voices);
        ut_weights_close(model->gguf);
        ut_kokoro_config_free(&model->config);
        ut_arena_free(&model->weights);
        ut_mem_free(model->mem, model->path);
        ut_mem_free(model->mem, model);
    }
}

void ut_kokoro_get_info(const struct ut_kokoro *model, struct ut_kokoro_info *out) {
    *out = model->info;
}

const struct ut_kokoro_config *ut_kokoro_get_config(const struct ut_kokoro *model) {
    return &model->config;
}

const struct ut_kokoro_voices *ut_kokoro_get_voices(const struct ut_kokoro *model) {
    return model->voices;
}

const char *ut_kokoro_model_path(const struct ut_kokoro *model) {
    return model->path;
}

const struct ut_weights *ut_kokoro_gguf(const struct ut_kokoro *model) {
    return model->gguf;
}
