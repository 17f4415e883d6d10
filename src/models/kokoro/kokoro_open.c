/* Opening Kokoro with what belongs to it: config.json and voices/ beside a .pth or .safetensors
 * file, both inside a GGUF file. */
#include <stdio.h>
#include <string.h>

#include "models/kokoro/kokoro_model.h"
#include "models/model_file.h"

enum { CONFIG_PATH_MAX = PATH_MAX + 16 };

/* config.json beside the model, there or not. */
static void config_path(const char *model_path, char path[CONFIG_PATH_MAX]) {
    const char *slash = strrchr(model_path, '/');
    snprintf(path, CONFIG_PATH_MAX, "%.*sconfig.json", slash ? (int)(slash + 1 - model_path) : 0,
             model_path);
}

utter_status ut_kokoro_read_config(struct ut_mem *mem, const char *model_path, char **text,
                                   size_t *n, utter_error *err) {
    char path[CONFIG_PATH_MAX];
    *text = NULL;
    config_path(model_path, path);
    if (!ut_path_is_file(path)) {
        return ut_fail(err, UTTER_ERROR_NOT_FOUND,
                       "%s: its configuration %s is missing: download it from where the model came "
                       "from and put it beside the model",
                       model_path, path);
    }
    return ut_config_read(mem, path, text, n, err);
}

static utter_status read_config_beside(struct ut_mem *mem, const char *model_path,
                                       struct ut_kokoro_config *out, utter_error *err) {
    char path[CONFIG_PATH_MAX], *text;
    size_t n = 0;
    utter_status status = ut_kokoro_read_config(mem, model_path, &text, &n, err);
    if (status == UTTER_OK) {
        config_path(model_path, path);
        status = ut_kokoro_config_parse(mem, text, n, out, err);
        status = status ? ut_fail_context(err, status, "%s", path) : status;
    }
    ut_mem_free(mem, text);
    return status;
}

static utter_status read_config(struct ut_mem *mem, const char *model_path,
                                const struct ut_weights *weights, struct ut_kokoro_config *out,
                                utter_error *err) {
    if (ut_weights_format(weights) != UT_FORMAT_GGUF) {
        return read_config_beside(mem, model_path, out, err);
    }
    utter_status status = ut_kokoro_config_from_gguf(mem, weights, out, err);
    return status ? ut_fail_context(err, status, "%s", model_path) : status;
}

/* Hands the table of a GGUF file over to the model, which reads voices from it later. */
static utter_status add_voices(struct ut_kokoro *model, const char *model_path,
                               struct ut_weights **weights, utter_error *err) {
    model->path = ut_mem_strndup(model->mem, UT_MEM_OTHER, model_path, strlen(model_path));
    if (!model->path) {
        return ut_fail_memory(err, strlen(model_path) + 1);
    }
    if (model->info.format == UT_FORMAT_GGUF) {
        model->gguf = *weights;
        *weights = NULL;
    }
    return ut_kokoro_voices_open(model->mem, model_path, model->gguf, 2 * model->info.style_dim,
                                 &model->log, &model->voices, err);
}

utter_status ut_kokoro_open_weights(struct ut_mem *mem, const struct ut_compute *compute,
                                    struct ut_weights **weights, const char *model_path,
                                    const struct ut_log *log, struct ut_kokoro **out,
                                    utter_error *err) {
    struct ut_kokoro_config config = {.mem = mem};
    struct ut_kokoro *model = NULL;
    *out = NULL;
    utter_status status = read_config(mem, model_path, *weights, &config, err);
    if (status == UTTER_OK) {
        status = ut_kokoro_load(mem, compute, *weights, &config, log, &model, err);
        status = status ? ut_fail_context(err, status, "%s", model_path) : status;
    }
    status = status ? status : add_voices(model, model_path, weights, err);
    ut_kokoro_config_free(&config);
    if (status) {
        ut_kokoro_close(model);
        return status;
    }
    *out = model;
    return UTTER_OK;
}

utter_status ut_kokoro_open(struct ut_mem *mem, const struct ut_compute *compute, const char *path,
                            const struct ut_log *log, struct ut_kokoro **out, utter_error *err) {
    char model_path[PATH_MAX];
    struct ut_weights *weights = NULL;
    *out = NULL;
    utter_status status = ut_model_find(path, model_path, err);
    status = status ? status : ut_weights_open(mem, model_path, &weights, err);
    if (status == UTTER_OK && !ut_kokoro_detect(weights)) {
        status = ut_fail(err, UTTER_ERROR_FORMAT, "%s: its tensors are not those of a Kokoro model",
                         model_path);
    }
    status =
        status ? status : ut_kokoro_open_weights(mem, compute, &weights, model_path, log, out, err);
    ut_weights_close(weights);
    return status;
}
