/* The native backend's front door: finds the model file that a path means, tells its family by what
 * it holds and hands over to that family's table. */
#include "backend/native.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "models/kokoro/layout.h"
#include "models/model_file.h"
#include "models/piper/piper.h"
#include "weights/gguf.h"
#include "weights/onnx.h"

/* ---- The family of a file ----------------------------------------------------------------- */

enum ut_format ut_native_format(const char *file) {
    uint8_t head[16];
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, head, sizeof head);
    if (fd >= 0) {
        close(fd);
    }
    return ut_format_detect(head, n > 0 ? (size_t)n : 0);
}

static utter_status family_of_table(const struct ut_weights *weights, const char *file,
                                    const struct ut_backend **out, utter_error *err) {
    const char *architecture = NULL;
    if (ut_kokoro_detect(weights)) {
        *out = &ut_native_kokoro;
        return UTTER_OK;
    }
    if (ut_piper_detect(weights)) {
        *out = &ut_native_piper;
        return UTTER_OK;
    }
    bool named =
        ut_gguf_get_string(weights, "general.architecture", &architecture, NULL) == UTTER_OK;
    return ut_fail(err, UTTER_ERROR_UNSUPPORTED,
                   "%s: a %s file of %s%.40s, which is no model that utter knows: it reads Piper "
                   "(onnx, safetensors, gguf) and Kokoro (pth, safetensors, gguf)",
                   file, ut_format_label(ut_weights_format(weights)),
                   named ? "the architecture " : "tensors of other names",
                   named ? architecture : "");
}

/* Kokoro is published as ONNX too, without the .json that Piper's voices have beside them; its
 * graphs take a "style". Anything else is left to Piper's loader. */
static utter_status check_onnx(struct ut_mem *mem, const char *file, utter_error *err) {
    char config[PATH_MAX + 8];
    struct ut_weights *weights;
    bool kokoro = false;
    snprintf(config, sizeof config, "%s.json", file);
    if (ut_path_is_file(config)) {
        return UTTER_OK;
    }
    utter_status status = ut_weights_open(mem, file, &weights, err);
    if (status != UTTER_OK) {
        return status;
    }
    const struct ut_onnx_graph *graph = ut_weights_onnx(weights);
    for (size_t i = 0; i < graph->n_inputs; i++) {
        kokoro = kokoro || strcmp(graph->inputs[i], "style") == 0;
    }
    ut_weights_close(weights);
    return kokoro ? ut_fail(err, UTTER_ERROR_UNSUPPORTED,
                            "%s is an ONNX export of Kokoro: utter's own kernels take Kokoro from "
                            ".pth, .safetensors and .gguf, the onnx backend takes it",
                            file)
                  : UTTER_OK;
}

/* Only one family is read from ONNX and from torch files, and its loader tells best what is wrong
 * with one of another; the rest is told by what is inside, which is cheap to see in these formats.
 */
static utter_status family_of(struct ut_mem *mem, const char *file, const struct ut_backend **out,
                              struct ut_weights **weights, utter_error *err) {
    switch (ut_native_format(file)) {
    case UT_FORMAT_ONNX:
        *out = &ut_native_piper;
        return check_onnx(mem, file, err);
    case UT_FORMAT_TORCH_ZIP:
    case UT_FORMAT_TORCH_OLD:
        *out = &ut_native_kokoro;
        return UTTER_OK;
    default:
        break;
    }
    utter_status status = ut_weights_open(mem, file, weights, err);
    return status ? status : family_of_table(*weights, file, out, err);
}

utter_status ut_native_family(struct ut_mem *mem, const char *path, char file[PATH_MAX],
                              const struct ut_backend **out, struct ut_weights **weights,
                              utter_error *err) {
    struct ut_weights *table = NULL;
    utter_status status = ut_model_find(path, file, err);
    status = status ? status : family_of(mem, file, out, &table, err);
    if (status || !weights) {
        ut_weights_close(table);
        table = NULL;
    }
    if (weights) {
        *weights = table;
    }
    return status;
}

/* ---- Handing over ------------------------------------------------------------------------- */

utter_status ut_native_open(const struct ut_backend_context *context, const char *path,
                            struct ut_backend_voice **out, utter_error *err) {
    const struct ut_backend *family;
    struct ut_weights *weights;
    char file[PATH_MAX];
    *out = NULL;
    utter_status status = ut_native_family(context->mem, path, file, &family, &weights, err);
    if (status == UTTER_OK && family == &ut_native_kokoro) {
        status = ut_native_kokoro_open(context, path, &weights, out, err);
    } else if (status == UTTER_OK) {
        status = ut_native_piper_open(context, path, weights, out, err);
    }
    ut_weights_close(weights);
    return status;
}

utter_status ut_native_trace(const struct ut_backend_context *context, const char *path,
                             const char *golden, const char *case_name, const char *out_path,
                             utter_trace_fn stage, void *user, utter_error *err) {
    const struct ut_backend *family;
    char file[PATH_MAX];
    utter_status status = ut_native_family(context->mem, path, file, &family, NULL, err);
    return status ? status
                  : family->trace(context, path, golden, case_name, out_path, stage, user, err);
}
