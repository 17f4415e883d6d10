/* Opening a Piper voice: VOICE.onnx with VOICE.onnx.json, voice.safetensors with voice.json.
 * Finding and reading only: what the files must hold is checked where it is used (voice_config.c,
 * load.c). */
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "models/model_file.h"
#include "models/piper/piper_import.h"
#include "models/piper/piper_model.h"
#include "weights/gguf.h"

/* Room for the longest model path with ".json" behind it. */
enum { CONFIG_PATH_MAX = PATH_MAX + 8 };

/* VOICE.onnx -> VOICE.onnx.json; voice.safetensors -> voice.json. A file voice.safetensors.json, if
 * there is one, is preferred. */
static utter_status find_config(const char *model, char *path, utter_error *err) {
    snprintf(path, CONFIG_PATH_MAX, "%s.json", model);
    if (!ut_path_is_file(path) && ut_path_ends_with(model, ".safetensors")) {
        snprintf(path, CONFIG_PATH_MAX, "%.*s.json", (int)(strlen(model) - strlen(".safetensors")),
                 model);
    }
    if (!ut_path_is_file(path)) {
        return ut_fail(err, UTTER_ERROR_NOT_FOUND,
                       "%s: its configuration %s is missing: download it from where the "
                       "voice came from and put it beside the voice",
                       model, path);
    }
    return UTTER_OK;
}

utter_status ut_piper_read_config(struct ut_mem *mem, const char *model_path, char **text,
                                  size_t *n, utter_error *err) {
    char path[CONFIG_PATH_MAX];
    *text = NULL;
    utter_status status = find_config(model_path, path, err);
    return status ? status : ut_config_read(mem, path, text, n, err);
}

/* Any one of three names will do: a damaged voice should be taken for a voice, and opening it tells
 * what is missing. A GGUF file says itself what it is. */
bool ut_piper_detect(const struct ut_weights *weights) {
    static const char *const names[] = {"enc_p.emb.weight", "dec.conv_pre.weight",
                                        "dec.conv_post.weight"};
    const char *architecture;
    if (ut_weights_format(weights) == UT_FORMAT_ONNX) {
        return true;
    }
    if (ut_gguf_get_string(weights, "general.architecture", &architecture, NULL) == UTTER_OK) {
        return strcmp(architecture, UT_PIPER_GGUF_ARCHITECTURE) == 0;
    }
    for (size_t i = 0; i < UT_COUNT(names); i++) {
        if (ut_weights_find(weights, names[i])) {
            return true;
        }
    }
    return false;
}

/* The configuration of a voice that is open: inside a GGUF file, else beside the model. *text is to
 * be freed, *inside not. */
static utter_status find_text(struct ut_mem *mem, const struct ut_weights *weights,
                              const char *model_path, char **text, const char **inside, size_t *n,
                              utter_error *err) {
    if (ut_weights_format(weights) == UT_FORMAT_GGUF) {
        utter_status status = ut_gguf_get_string(weights, UT_PIPER_GGUF_CONFIG, inside, err);
        *n = status ? 0 : strlen(*inside);
        return status ? ut_fail_context(err, status, "%s", model_path) : status;
    }
    utter_status status = ut_piper_read_config(mem, model_path, text, n, err);
    *inside = *text;
    return status;
}

utter_status ut_piper_open_weights(struct ut_mem *mem, const struct ut_compute *compute,
                                   const struct ut_weights *weights, const char *model_path,
                                   const struct ut_log *log, struct ut_piper **out,
                                   utter_error *err) {
    char *json = NULL;
    const char *config = NULL;
    size_t n_json = 0;
    *out = NULL;
    utter_status status = find_text(mem, weights, model_path, &json, &config, &n_json, err);
    if (status == UTTER_OK) {
        status = ut_piper_load(mem, compute, weights, config, n_json, log, out, err);
        status = status ? ut_fail_context(err, status, "%s", model_path) : status;
    }
    ut_mem_free(mem, json);
    return status;
}

/* The model first: a damaged or foreign file should be called that, not "without a .json". */
utter_status ut_piper_open(struct ut_mem *mem, const struct ut_compute *compute, const char *path,
                           const struct ut_log *log, struct ut_piper **out, utter_error *err) {
    char model_path[PATH_MAX];
    struct ut_weights *weights = NULL;
    *out = NULL;
    utter_status status = ut_model_find(path, model_path, err);
    status = status ? status : ut_weights_open(mem, model_path, &weights, err);
    status =
        status ? status : ut_piper_open_weights(mem, compute, weights, model_path, log, out, err);
    ut_weights_close(weights);
    return status;
}
