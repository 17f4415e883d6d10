/* See model_language.h. Nothing here needs the model to be sound: a voice whose weights are damaged
 * still has its configuration beside it. */
#include "backend/model_language.h"

#include <stdio.h>
#include <string.h>

#include "backend/kokoro_voice.h"
#include "base/json.h"
#include "models/kokoro/kokoro.h"
#include "models/kokoro/layout.h"
#include "models/model_file.h"
#include "models/piper/piper.h"
#include "models/piper/piper_import.h"
#include "weights/gguf.h"

enum { KOKORO_STYLE = 256 /* of the published model, where a file does not state it */ };

/* espeak.voice of a Piper configuration. */
static bool by_piper_config(struct ut_mem *mem, const char *text, size_t n_text,
                            char name[UT_LANGUAGE_SIZE]) {
    struct ut_json *json;
    size_t n = 0;
    if (ut_json_parse(mem, text, n_text, &json, NULL) != UTTER_OK) {
        return false;
    }
    ut_json_ref espeak = ut_json_member(json, 0, "espeak");
    const char *voice = ut_json_string(json, ut_json_member(json, espeak, "voice"), &n);
    /* A zero byte inside would make it another name than the file says. */
    bool found = voice && *voice && strlen(voice) == n && n < UT_LANGUAGE_SIZE;
    if (found) {
        memcpy(name, voice, n + 1);
    }
    ut_json_free(json);
    return found;
}

/* By the voice that speaks when nobody chooses one; weights NULL: voices are beside the model. */
static bool by_kokoro_voices(struct ut_mem *mem, const char *file, const struct ut_weights *weights,
                             int style_dim, char name[UT_LANGUAGE_SIZE]) {
    const struct ut_log silent = {NULL, NULL};
    struct ut_kokoro_voices *voices;
    int n_style = style_dim ? 2 * style_dim : KOKORO_STYLE;
    if (ut_kokoro_voices_open(mem, file, weights, n_style, &silent, &voices, NULL) != UTTER_OK) {
        return false;
    }
    const char *espeak = ut_kokoro_voices_espeak(voices);
    snprintf(name, UT_LANGUAGE_SIZE, "%s", espeak);
    ut_kokoro_voices_close(voices);
    return *espeak;
}

/* An imported Piper voice carries its configuration as text; of Kokoro's only the size of a style
 * is needed. */
static bool inside_gguf(struct ut_mem *mem, const char *file, char name[UT_LANGUAGE_SIZE]) {
    struct ut_weights *weights;
    struct ut_kokoro_config config = {.mem = mem};
    const char *text;
    bool found = false;
    if (ut_weights_open(mem, file, &weights, NULL) != UTTER_OK) {
        return false;
    }
    if (ut_gguf_get_string(weights, UT_PIPER_GGUF_CONFIG, &text, NULL) == UTTER_OK) {
        found = by_piper_config(mem, text, strlen(text), name);
    } else if (ut_kokoro_detect(weights) &&
               ut_kokoro_config_from_gguf(mem, weights, &config, NULL) == UTTER_OK) {
        found = by_kokoro_voices(mem, file, weights, config.style_dim, name);
    }
    ut_kokoro_config_free(&config);
    ut_weights_close(weights);
    return found;
}

/* Piper's configuration is tried first: it has the model's own name, Kokoro's is the folder's. */
static bool beside_the_model(struct ut_mem *mem, const char *file, char name[UT_LANGUAGE_SIZE]) {
    struct ut_kokoro_config config = {.mem = mem};
    char *text = NULL;
    size_t n = 0;
    bool found = ut_piper_read_config(mem, file, &text, &n, NULL) == UTTER_OK &&
                 by_piper_config(mem, text, n, name);
    ut_mem_free(mem, text);
    text = NULL;
    if (!found && ut_kokoro_read_config(mem, file, &text, &n, NULL) == UTTER_OK &&
        ut_kokoro_config_parse(mem, text, n, &config, NULL) == UTTER_OK) {
        found = by_kokoro_voices(mem, file, NULL, config.style_dim, name);
    }
    ut_mem_free(mem, text);
    ut_kokoro_config_free(&config);
    return found;
}

/* GGUF files may still have a configuration beside them: that is asked when nothing inside
 * tells. */
void ut_model_language(struct ut_mem *mem, const char *path, char name[UT_LANGUAGE_SIZE]) {
    char file[PATH_MAX];
    if (ut_model_find(path, file, NULL) != UTTER_OK) {
        snprintf(name, UT_LANGUAGE_SIZE, "en-us");
        return;
    }
    bool gguf = ut_native_format(file) == UT_FORMAT_GGUF;
    if (!(gguf && inside_gguf(mem, file, name)) && !beside_the_model(mem, file, name)) {
        snprintf(name, UT_LANGUAGE_SIZE, "en-us");
    }
}
