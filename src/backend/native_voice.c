/* What voices of every family have: names taken from paths, and the description of their model
 * file. */
#include <string.h>

#include "backend/native.h"
#include "base/checked.h"
#include "models/model_file.h"

/* ---- Names -------------------------------------------------------------------------------- */

/* Something must be left in front of the ending. */
static bool ends_with(const char *text, size_t n, const char *end) {
    size_t n_end = strlen(end);
    return n > n_end && memcmp(text + n - n_end, end, n_end) == 0;
}

/* "voices/en_US-amy-medium.onnx" -> "en_US-amy-medium"; "voices/house/voice.safetensors" and
 * "voices/house/" -> "house". */
static void name_of_path(const char *path, const char **name, size_t *n) {
    static const char *const generic[] = {"/voice.safetensors", "/model.safetensors"};
    static const char *const extensions[] = {".onnx", ".safetensors", ".gguf", ".pth"};
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') {
        end--;
    }
    for (size_t i = 0; i < UT_COUNT(generic); i++) {
        end -= ends_with(path, end, generic[i]) ? strlen(generic[i]) : 0;
    }
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/') {
        begin--;
    }
    for (size_t i = 0; i < UT_COUNT(extensions); i++) {
        end -= ends_with(path + begin, end - begin, extensions[i]) ? strlen(extensions[i]) : 0;
    }
    *name = path + begin;
    *n = end - begin;
}

/* Path, name and file behind each other in one block. */
utter_status ut_native_names_init(struct ut_native_names *names, struct ut_mem *mem,
                                  const char *path, utter_error *err) {
    char file[PATH_MAX];
    const char *name;
    size_t n_name;
    *names = (struct ut_native_names){NULL, NULL, NULL};
    utter_status status = ut_model_find(path, file, err);
    if (status != UTTER_OK) {
        return status;
    }
    name_of_path(path, &name, &n_name);
    size_t n_path = strlen(path) + 1, n_file = strlen(file) + 1;
    char *block = ut_mem_calloc(mem, UT_MEM_OTHER, n_path + n_file + n_name + 1, 1);
    if (!block) {
        return ut_fail_memory(err, n_path + n_file + n_name + 1);
    }
    memcpy(block, path, n_path);
    memcpy(block + n_path, file, n_file);
    memcpy(block + n_path + n_file, name, n_name);
    *names = (struct ut_native_names){block, block + n_path + n_file, block + n_path};
    return UTTER_OK;
}

void ut_native_names_free(struct ut_native_names *names, struct ut_mem *mem) {
    ut_mem_free(mem, names->path);
}

/* ---- Description -------------------------------------------------------------------------- */

void ut_native_describe_names(struct ut_json_writer *json, const utter_voice_info *info) {
    ut_json_put_string(json, "name", info->name);
    ut_json_put_string(json, "path", info->path);
    ut_json_put_string(json, "family", info->family);
    ut_json_put_string(json, "format", info->format);
    ut_json_put_string(json, "backend", info->backend);
    ut_json_put_string(json, "language", info->language);
}

/* null for speakers without a name. */
void ut_native_describe_speakers(struct ut_json_writer *json,
                                 const struct ut_backend_voice *voice) {
    utter_voice_info info = {0};
    voice->backend->info(voice, &info);
    ut_json_put_array(json, "speakers");
    for (int32_t i = 0; i < info.n_speakers; i++) {
        ut_json_put_string(json, NULL, voice->backend->speaker_name(voice, i));
    }
    ut_json_put_end_array(json);
}

/* Read from the file again, because packed layers have other shapes. */
static void describe_tensors(struct ut_json_writer *json, const struct ut_weights *weights) {
    ut_json_put_array(json, "tensors");
    for (size_t i = 0; i < ut_weights_count(weights); i++) {
        const struct ut_tensor *tensor = ut_weights_at(weights, i);
        ut_json_put_object(json, NULL);
        ut_json_put_string(json, "name", tensor->name);
        ut_json_put_string(json, "type", ut_dtype_name(tensor->type));
        ut_json_put_array(json, "shape");
        for (int d = 0; d < tensor->n_dims; d++) {
            ut_json_put_uint(json, NULL, tensor->dims[d]);
        }
        ut_json_put_end_array(json);
        ut_json_put_end_object(json);
    }
    ut_json_put_end_array(json);
}

/* As the file has it, in its order; the writer makes strings valid JSON. */
static void describe_metadata(struct ut_json_writer *json, const struct ut_weights *weights) {
    ut_json_put_object(json, "metadata");
    for (size_t i = 0; i < ut_weights_n_metadata(weights); i++) {
        const char *key, *value;
        ut_weights_metadata(weights, i, &key, &value);
        ut_json_put_string(json, key, value);
    }
    ut_json_put_end_object(json);
}

/* The file may have been cut while it was read: asked last, and then the description is not given
 * out. */
utter_status ut_native_describe(struct ut_mem *mem, const struct ut_backend_voice *voice,
                                const char *model_file, bool tensors, ut_native_describe_fn members,
                                char **out, utter_error *err) {
    struct ut_weights *weights = NULL;
    struct ut_json_writer json;
    utter_status status = model_file ? ut_weights_open(mem, model_file, &weights, err) : UTTER_OK;
    if (status != UTTER_OK) {
        return status;
    }
    ut_json_put_init(&json, mem);
    ut_json_put_object(&json, NULL);
    members(&json, voice);
    if (weights) {
        describe_metadata(&json, weights);
    }
    if (weights && tensors) {
        describe_tensors(&json, weights);
    }
    ut_json_put_end_object(&json);
    status = ut_json_put_finish(&json, out, err);
    utter_status read_status =
        weights ? ut_weights_check(weights, status == UTTER_OK ? err : NULL) : UTTER_OK;
    ut_weights_close(weights);
    if (status == UTTER_OK && read_status != UTTER_OK) {
        ut_mem_free(mem, *out);
        *out = NULL;
        status = read_status;
    }
    return status;
}
