/* Writing Kokoro as one GGUF file; see kokoro_import.h. The model is opened first, as for speaking:
 * that checks everything and opens the voices. */
#include "models/kokoro/kokoro_import.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/nearest.h"
#include "models/kokoro/kokoro.h"
#include "models/kokoro/layout.h"

enum { MAX_PATTERN = 128, NAME_SIZE = 256 };

struct source {
    struct ut_kokoro *model;
    const struct ut_kokoro_voices *voices;
    struct ut_weights *weights;
    struct ut_kokoro_tensors *tensors;
    char *config;       /* config.json */
    const char **names; /* of the voices chosen */
    uint32_t *chosen;   /* their indices */
    size_t n_chosen;
    float *table; /* [UT_KOKORO_VOICE_ROWS, n_style] of one voice */
    size_t n_style;
};

/* ---- Which voices ------------------------------------------------------------------------- */

static const char *voice_at(const void *user, int32_t index) {
    return ut_kokoro_voices_name(user, (size_t)index);
}

static utter_status fail_pattern(const struct ut_kokoro_voices *voices, const char *pattern,
                                 utter_error *err) {
    int32_t n = (int32_t)ut_kokoro_voices_count(voices);
    int32_t nearest = ut_nearest(pattern, voice_at, voices, n);
    return ut_fail(err, UTTER_ERROR_NOT_FOUND, "no voice fits '%s'%s%s%s: the model has %d voices",
                   pattern, nearest >= 0 ? "; did you mean '" : "",
                   nearest >= 0 ? voice_at(voices, nearest) : "", nearest >= 0 ? "'" : "", n);
}

/* Marks the voices that fit one pattern. */
static utter_status mark(const struct ut_kokoro_voices *voices, const char *begin, size_t n,
                         bool *marked, utter_error *err) {
    char pattern[MAX_PATTERN];
    bool any = false;
    if (n == 0 || n >= sizeof pattern) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT,
                       "a pattern of voices has %zu characters: it must have 1 to %d", n,
                       MAX_PATTERN - 1);
    }
    memcpy(pattern, begin, n);
    pattern[n] = '\0';
    for (size_t i = 0; i < ut_kokoro_voices_count(voices); i++) {
        bool fits = fnmatch(pattern, ut_kokoro_voices_name(voices, i), FNM_NOESCAPE) == 0;
        marked[i] = marked[i] || fits;
        any = any || fits;
    }
    return any ? UTTER_OK : fail_pattern(voices, pattern, err);
}

static utter_status mark_all(const struct ut_kokoro_voices *voices, const char *patterns,
                             bool *marked, utter_error *err) {
    utter_status status = UTTER_OK;
    for (const char *at = patterns; at && status == UTTER_OK;) {
        size_t n = strcspn(at, ",");
        status = mark(voices, at, n, marked, err);
        at = at[n] ? at + n + 1 : NULL;
    }
    return status;
}

static utter_status choose_voices(struct source *source, const struct ut_import *import,
                                  utter_error *err) {
    size_t n = ut_kokoro_voices_count(source->voices);
    bool *marked = ut_mem_calloc(import->mem, UT_MEM_OTHER, n, sizeof *marked);
    source->names = ut_mem_calloc(import->mem, UT_MEM_OTHER, n, sizeof *source->names);
    source->chosen = ut_mem_calloc(import->mem, UT_MEM_OTHER, n, sizeof *source->chosen);
    utter_status status = marked && source->names && source->chosen
                              ? mark_all(source->voices, import->voices, marked, err)
                              : ut_fail_memory(err, n * sizeof *source->names);
    for (size_t i = 0; i < n && status == UTTER_OK; i++) {
        if (marked[i] || !import->voices) {
            source->chosen[source->n_chosen] = (uint32_t)i;
            source->names[source->n_chosen++] = ut_kokoro_voices_name(source->voices, i);
        }
    }
    ut_mem_free(import->mem, marked);
    return status;
}

/* ---- Reading ------------------------------------------------------------------------------ */

/* config.json word for word, with a NUL behind. */
static utter_status read_config(struct source *source, const struct ut_import *import,
                                utter_error *err) {
    char *text;
    size_t n = 0;
    utter_status status = ut_kokoro_read_config(import->mem, import->file, &text, &n, err);
    if (status == UTTER_OK) {
        source->config = ut_mem_strndup(import->mem, UT_MEM_OTHER, text, n);
        status = source->config ? UTTER_OK : ut_fail_memory(err, n + 1);
    }
    ut_mem_free(import->mem, text);
    return status;
}

static utter_status open_source(struct source *source, const struct ut_import *import,
                                utter_error *err) {
    struct ut_kokoro_info info;
    utter_status status = ut_kokoro_open(import->mem, import->compute, import->file, import->log,
                                         &source->model, err);
    if (status != UTTER_OK) {
        return status;
    }
    ut_kokoro_get_info(source->model, &info);
    source->voices = ut_kokoro_get_voices(source->model);
    source->n_style = 2 * (size_t)info.style_dim;
    status = choose_voices(source, import, err);
    status = status ? status : ut_weights_open(import->mem, import->file, &source->weights, err);
    status = status ? status
                    : ut_kokoro_tensors_create(import->mem, source->weights, &source->tensors, err);
    status = status ? status : read_config(source, import, err);
    size_t n_values = UT_KOKORO_VOICE_ROWS * source->n_style;
    source->table = ut_mem_calloc(import->mem, UT_MEM_OTHER, n_values, sizeof *source->table);
    return status || source->table ? status : ut_fail_memory(err, n_values * sizeof *source->table);
}

static void close_source(struct source *source, struct ut_mem *mem) {
    ut_mem_free(mem, source->table);
    ut_mem_free(mem, source->config);
    ut_kokoro_tensors_destroy(source->tensors);
    ut_weights_close(source->weights);
    ut_mem_free(mem, source->names);
    ut_mem_free(mem, source->chosen);
    ut_kokoro_close(source->model);
}

/* The rows of one voice, in the form of a tensor. */
static utter_status read_voice(const struct source *source, size_t index, char name[NAME_SIZE],
                               struct ut_tensor *out, utter_error *err) {
    struct ut_kokoro_blend alone = {.n = 1, .parts = {{source->chosen[index], 1}}};
    utter_status status = UTTER_OK;
    for (size_t row = 0; row < UT_KOKORO_VOICE_ROWS && status == UTTER_OK; row++) {
        status = ut_kokoro_style(source->voices, &alone, row + 1,
                                 source->table + row * source->n_style, err);
    }
    snprintf(name, NAME_SIZE, UT_KOKORO_GGUF_VOICE_PREFIX "%s", source->names[index]);
    *out = (struct ut_tensor){
        .name = name,
        .type = UT_F32,
        .n_dims = 2,
        .dims = {UT_KOKORO_VOICE_ROWS, source->n_style, 1, 1},
        .data = source->table,
        .n_bytes = UT_KOKORO_VOICE_ROWS * source->n_style * sizeof *source->table,
    };
    return status;
}

/* ---- Writing ------------------------------------------------------------------------------ */

static utter_status put_metadata(struct ut_gguf_writer *gguf, const struct source *source,
                                 utter_error *err) {
    utter_status status = ut_gguf_put_string(gguf, UT_KOKORO_GGUF_CONFIG, source->config, err);
    return status ? status
                  : ut_gguf_put_strings(gguf, UT_KOKORO_GGUF_VOICES, source->names,
                                        source->n_chosen, err);
}

/* The convolutions that the loader packs for narrow arithmetic. */
static enum ut_tensor_role role_of(const char *name) {
    static const char *const convs[] = {"decoder.encode.conv[12].weight",
                                        "decoder.decode.*.conv[12].weight",
                                        "decoder.generator.noise_res.*.convs[12].*.weight",
                                        "decoder.generator.resblocks.*.convs[12].*.weight"};
    for (size_t i = 0; i < UT_COUNT(convs); i++) {
        if (fnmatch(convs[i], name, FNM_NOESCAPE) == 0) {
            return UT_TENSOR_CONV;
        }
    }
    bool is_upsampling = fnmatch("decoder.generator.ups.*.weight", name, FNM_NOESCAPE) == 0;
    return is_upsampling ? UT_TENSOR_CONV_TRANSPOSED : UT_TENSOR_ORDINARY;
}

typedef utter_status (*tensor_fn)(struct ut_model_writer *writer, const struct ut_tensor *tensor,
                                  enum ut_tensor_role role, utter_error *err);

static utter_status declare(struct ut_model_writer *writer, const struct ut_tensor *tensor,
                            enum ut_tensor_role role, utter_error *err) {
    return ut_model_writer_declare(writer, tensor, role, err);
}

static utter_status put(struct ut_model_writer *writer, const struct ut_tensor *tensor,
                        enum ut_tensor_role role, utter_error *err) {
    return ut_model_writer_put(writer, tensor, err);
}

/* Every tensor of the new file in its order. */
static utter_status for_each_tensor(const struct source *source, struct ut_model_writer *writer,
                                    tensor_fn fn, utter_error *err) {
    const struct ut_tensor *tensor;
    struct ut_tensor voice;
    char name[NAME_SIZE];
    utter_status status = UTTER_OK;
    for (size_t i = 0; i < ut_kokoro_tensors_count(source->tensors) && status == UTTER_OK; i++) {
        status = ut_kokoro_tensor_get(source->tensors, ut_kokoro_tensors_name(source->tensors, i),
                                      &tensor, err);
        if (status == UTTER_OK) {
            status = fn(writer, tensor, role_of(tensor->name), err);
            ut_kokoro_tensor_drop(source->tensors, tensor);
        }
    }
    for (size_t i = 0; i < source->n_chosen && status == UTTER_OK; i++) {
        status = read_voice(source, i, name, &voice, err);
        status = status ? status : fn(writer, &voice, UT_TENSOR_EXACT, err);
    }
    return status;
}

static utter_status write_model(const struct ut_import *import, const struct source *source,
                                utter_import_result *result, utter_error *err) {
    struct ut_model_writer *writer;
    utter_status status = ut_model_writer_create(import, UT_KOKORO_GGUF_ARCHITECTURE, &writer, err);
    if (status != UTTER_OK) {
        return status;
    }
    status = put_metadata(ut_model_writer_gguf(writer), source, err);
    status = status ? status : for_each_tensor(source, writer, declare, err);
    status = status ? status : for_each_tensor(source, writer, put, err);
    /* Pages lost to a truncated file have read as zeros. */
    status = status ? status : ut_weights_check(source->weights, err);
    status = status ? status : ut_model_writer_finish(writer, result, err);
    ut_model_writer_destroy(writer);
    return status;
}

utter_status ut_kokoro_import(const struct ut_import *import, utter_import_result *result,
                              utter_error *err) {
    struct source source = {.model = NULL};
    result->family = "kokoro";
    utter_status status = open_source(&source, import, err);
    if (status == UTTER_OK) {
        result->n_voices = source.n_chosen;
        result->bytes_in = ut_weights_file_bytes(source.weights);
        status = write_model(import, &source, result, err);
    }
    close_source(&source, import->mem);
    return status;
}
