/* Finding a voice's files: VOICE.onnx with VOICE.onnx.json, voice.safetensors with voice.json, or a
 * folder that holds exactly one of these. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/checked.h"
#include "models/piper/piper_model.h"

enum { MAX_CONFIG_BYTES = 16 << 20, CONFIG_PATH_MAX = PATH_MAX + 8 };

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n > m && strcmp(text + n - m, end) == 0;
}

static bool is_file(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* The one model file of a folder. */
static utter_status find_in_folder(const char *folder, char *path, utter_error *err) {
    DIR *dir = opendir(folder);
    if (!dir) {
        return ut_fail(err, UTTER_ERROR_IO, "%s: cannot read the folder: %s", folder,
                       strerror(errno));
    }
    int n = 0, length = 0;
    char second[256] = "";
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (ends_with(entry->d_name, ".onnx") || strcmp(entry->d_name, "voice.safetensors") == 0) {
            snprintf(second, sizeof second, "%.255s", entry->d_name);
            length = n++ ? length : snprintf(path, PATH_MAX, "%s/%s", folder, entry->d_name);
        }
    }
    closedir(dir);
    if (n == 0) {
        return ut_fail(err, UTTER_ERROR_NOT_FOUND,
                       "%s: no voice in this folder (looked for *.onnx and "
                       "voice.safetensors)",
                       folder);
    }
    if (n > 1 || length >= PATH_MAX) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT,
                       "%s: %d voices in this folder, name one of them, for example %s", folder, n,
                       second);
    }
    return UTTER_OK;
}

/* VOICE.onnx -> VOICE.onnx.json; voice.safetensors -> voice.json. */
static utter_status find_config(const char *model, char *path, utter_error *err) {
    snprintf(path, CONFIG_PATH_MAX, "%s.json", model);
    if (!is_file(path) && ends_with(model, ".safetensors")) {
        snprintf(path, CONFIG_PATH_MAX, "%.*s.json", (int)(strlen(model) - strlen(".safetensors")),
                 model);
    }
    if (!is_file(path)) {
        return ut_fail(err, UTTER_ERROR_NOT_FOUND,
                       "%s: its configuration %s is missing: download it from where the "
                       "voice came from and put it beside the voice",
                       model, path);
    }
    return UTTER_OK;
}

static utter_status read_config(struct ut_mem *mem, const char *path, char **text, size_t *n,
                                utter_error *err) {
    FILE *file = fopen(path, "rbe");
    struct stat st;
    if (!file || fstat(fileno(file), &st) != 0) {
        int code = errno;
        if (file) {
            fclose(file);
        }
        return ut_fail(err, UTTER_ERROR_IO, "%s: %s", path, strerror(code));
    }
    utter_status status = UTTER_OK;
    *text = NULL;
    if (!S_ISREG(st.st_mode) || st.st_size < 2 || st.st_size > MAX_CONFIG_BYTES) {
        status = ut_fail(err, UTTER_ERROR_FORMAT, "%s: not a voice configuration (%lld bytes)",
                         path, (long long)st.st_size);
    } else if (!(*text = ut_mem_alloc(mem, UT_MEM_OTHER, (size_t)st.st_size))) {
        status = ut_fail_memory(err, (size_t)st.st_size);
    } else if ((*n = fread(*text, 1, (size_t)st.st_size, file)) != (size_t)st.st_size) {
        status = ut_fail(err, UTTER_ERROR_IO, "%s: could not be read to its end", path);
    }
    fclose(file);
    return status;
}

utter_status ut_piper_find_model(const char *path, char model_path[PATH_MAX], utter_error *err) {
    struct stat st;
    if (strlen(path) > PATH_MAX - 64) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "the model's path is longer than %d bytes",
                       PATH_MAX - 64);
    }
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        return find_in_folder(path, model_path, err);
    }
    snprintf(model_path, PATH_MAX, "%s", path);
    return UTTER_OK;
}

utter_status ut_piper_read_config(struct ut_mem *mem, const char *model_path, char **text, size_t *n,
                                  utter_error *err) {
    char path[CONFIG_PATH_MAX];
    *text = NULL;
    utter_status status = find_config(model_path, path, err);
    return status ? status : read_config(mem, path, text, n, err);
}

utter_status ut_piper_open(struct ut_mem *mem, const struct ut_compute *compute, const char *path,
                           const struct ut_log *log, struct ut_piper **out, utter_error *err) {
    char model_path[PATH_MAX];
    struct ut_weights *weights = NULL;
    char *json = NULL;
    size_t n_json = 0;
    *out = NULL;
    utter_status status = ut_piper_find_model(path, model_path, err);
    /* The model first: a damaged or foreign file should be called that, not "without a .json". */
    status = status ? status : ut_weights_open(mem, model_path, &weights, err);
    status = status ? status : ut_piper_read_config(mem, model_path, &json, &n_json, err);
    if (status == UTTER_OK) {
        status = ut_piper_load(mem, compute, weights, json, n_json, log, out, err);
        status = status ? ut_fail_context(err, status, "%s", model_path) : status;
    }
    ut_mem_free(mem, json);
    ut_weights_close(weights);
    return status;
}
