/* See model_file.h. */
#include "models/model_file.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/checked.h"

/* Files of these formats are taken for models whatever their name. */
static const char *const extensions[] = {".onnx", ".pth", ".gguf"};
/* Other .safetensors files hold voices, recorded traces and much else. */
static const char *const whole_names[] = {"voice.safetensors", "model.safetensors",
                                          "kokoro-v1_0.safetensors"};

/* A path that is nothing but the ending has no name in front of it, and does not count. */
bool ut_path_ends_with(const char *path, const char *ending) {
    size_t n = strlen(path), m = strlen(ending);
    return n > m && strcmp(path + n - m, ending) == 0;
}

/* Follows links: voices may be links into a store. */
bool ut_path_is_file(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* By name alone; what is inside decides later (ut_weights_open). */
bool ut_model_is_named(const char *name) {
    for (size_t i = 0; i < UT_COUNT(extensions); i++) {
        if (ut_path_ends_with(name, extensions[i])) {
            return true;
        }
    }
    for (size_t i = 0; i < UT_COUNT(whole_names); i++) {
        if (strcmp(name, whole_names[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* The one model file of a folder. Counts them all, so that the message can tell how many there are;
 * the last one found serves as the example. */
static utter_status find_in_folder(const char *folder, char *path, utter_error *err) {
    DIR *dir = opendir(folder);
    if (!dir) {
        return ut_fail(err, UTTER_ERROR_IO, "%s: cannot read the folder: %s", folder,
                       strerror(errno));
    }
    int n = 0, length = 0;
    char second[256] = "";
    errno = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL; errno = 0) {
        if (ut_model_is_named(entry->d_name)) {
            snprintf(second, sizeof second, "%.255s", entry->d_name);
            length = n++ ? length : snprintf(path, PATH_MAX, "%s/%s", folder, entry->d_name);
        }
    }
    int error = errno;
    closedir(dir);
    if (error) {
        return ut_fail(err, UTTER_ERROR_IO, "%s: cannot read the folder: %s", folder,
                       strerror(error));
    }
    if (n == 0) {
        return ut_fail(err, UTTER_ERROR_NOT_FOUND,
                       "%s: no voice in this folder (looked for *.onnx, *.pth, *.gguf, "
                       "voice.safetensors and model.safetensors)",
                       folder);
    }
    if (n > 1 || length >= PATH_MAX) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT,
                       "%s: %d voices in this folder, name one of them, for example %s", folder, n,
                       second);
    }
    return UTTER_OK;
}

/* Paths close to PATH_MAX are refused, so that names beside the model may be built without a check
 * each. */
utter_status ut_model_find(const char *path, char model_path[PATH_MAX], utter_error *err) {
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

/* Read into memory and not mapped: it is small, parsed at once and then freed. */
utter_status ut_config_read(struct ut_mem *mem, const char *path, char **text, size_t *n,
                            utter_error *err) {
    *text = NULL;
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
    if (!S_ISREG(st.st_mode) || st.st_size < 2 || st.st_size > UT_MAX_CONFIG_BYTES) {
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
