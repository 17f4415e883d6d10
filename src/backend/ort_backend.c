/* See ort_backend.h: opening by family, descriptions, the inputs of a run and its samples. */
#include "backend/ort_backend.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/checked.h"
#include "models/model_file.h"

enum { SAMPLES_PER_CALL = 4096 };

/* ---- Opening -------------------------------------------------------------------------------- */

void ut_ort_model_close(struct ut_ort_model *model) {
    ut_ort_session_destroy(model->session);
    ut_ort_library_close(model->library);
    *model = (struct ut_ort_model){.library = NULL};
}

/* Threads as many as utter's own pool has; the pool itself rests while ONNX Runtime computes. */
static utter_status open_model(const struct ut_backend_context *context, const char *file,
                               struct ut_ort_model *out, utter_error *err) {
    const struct ut_ort_session_options options = {
        .path = file,
        .n_threads = ut_pool_threads(context->compute.pool),
        .provider = context->provider,
    };
    *out = (struct ut_ort_model){.provider = ut_ort_provider_find(context->provider)};
    utter_status status =
        ut_ort_library_open(context->mem, context->onnxruntime_path, &out->library, err);
    status = status ? status : ut_ort_session_create(out->library, &options, &out->session, err);
    if (status != UTTER_OK) {
        ut_ort_model_close(out);
    }
    return status;
}

const char *ut_ort_accelerated_here(const struct ut_backend_context *context) {
    struct ut_ort_library *library;
    const char *offered[32];
    size_t n = 0;
    if (context->platform != UT_PLATFORM_APPLE || /* where the answer is known, nothing is loaded */
        ut_ort_library_open(context->mem, context->onnxruntime_path, &library, NULL) != UTTER_OK) {
        return NULL;
    }
    for (; n < UT_MIN(ut_ort_provider_count(library), UT_COUNT(offered)); n++) {
        offered[n] = ut_ort_provider_name(library, n);
    }
    const char *provider = ut_ort_accelerated(true, offered, n);
    ut_ort_library_close(library);
    return provider;
}

/* The network that the provider is to run: CoreML may have a file of its own, all else stays beside
 * the voice. What Apple's tools write (.mlpackage, a folder) ONNX Runtime cannot open. */
static const char *network_of(const struct ut_backend_context *context, const char *file) {
    const char *own = context->coreml_path;
    bool coreml = context->provider && strcmp(context->provider, "coreml") == 0;
    if (!coreml || !own || !*own) {
        return file;
    }
    if (ut_native_format(own) == UT_FORMAT_ONNX) {
        return own;
    }
    ut_log(&context->log, UTTER_LOG_WARNING, "coreml_path: %s is %s; CoreML takes %s", own,
           ut_path_is_file(own) ? "no ONNX file" : "not there, or no file", file);
    return file;
}

static bool has_input(const struct ut_ort_session *session, const char *name) {
    for (size_t i = 0; i < ut_ort_input_count(session); i++) {
        if (strcmp(ut_ort_input(session, i)->name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* For messages, cut to fit. */
static void list_inputs(const struct ut_ort_session *session, char *list, size_t size) {
    list[0] = '\0';
    for (size_t i = 0; i < ut_ort_input_count(session); i++) {
        size_t n = strlen(list);
        snprintf(list + n, size - n, "%s%.40s", i ? ", " : "", ut_ort_input(session, i)->name);
    }
}

/* ONNX files name no architecture: the inputs are what tells. */
static utter_status find_family(const struct ut_ort_session *session, const char *file,
                                ut_ort_family_open *out, utter_error *err) {
    char list[200];
    *out = has_input(session, "style")           ? ut_ort_kokoro_open
           : has_input(session, "input_lengths") ? ut_ort_piper_open
                                                 : NULL;
    if (*out) {
        return UTTER_OK;
    }
    list_inputs(session, list, sizeof list);
    return ut_fail(err, UTTER_ERROR_UNSUPPORTED,
                   "%s: a model with the inputs %s is neither Piper (input, input_lengths, scales) "
                   "nor Kokoro (input_ids, style, speed)",
                   file, list);
}

/* The model goes to the family's opener, which closes it when it fails. */
utter_status ut_ort_open(const struct ut_backend_context *context, const char *path,
                         struct ut_backend_voice **out, utter_error *err) {
    char file[PATH_MAX];
    struct ut_ort_model model;
    ut_ort_family_open family_open;
    *out = NULL;
    utter_status status = ut_model_find(path, file, err);
    if (status == UTTER_OK && ut_native_format(file) != UT_FORMAT_ONNX) {
        status = ut_fail(err, UTTER_ERROR_UNSUPPORTED,
                         "%s is not an ONNX file: the onnx backend speaks nothing else", file);
    }
    status = status ? status : open_model(context, network_of(context, file), &model, err);
    if (status != UTTER_OK) {
        return status;
    }
    status = find_family(model.session, file, &family_open, err);
    if (status != UTTER_OK) {
        ut_ort_model_close(&model);
        return status;
    }
    return family_open(context, path, model, out, err);
}

/* ---- Descriptions --------------------------------------------------------------------------- */

/* The type that most elements have is what the file is called by: int8 exports keep biases in
 * f32. */
static void count_weights(const struct ut_weights *weights, utter_voice_info *info) {
    uint64_t n_of_type[UT_N_DTYPES] = {0}, most = 0;
    for (size_t i = 0; i < ut_weights_count(weights); i++) {
        const struct ut_tensor *tensor = ut_weights_at(weights, i);
        n_of_type[tensor->type] += ut_tensor_n_elements(tensor);
    }
    for (int type = 0; type < UT_N_DTYPES; type++) {
        info->n_parameters += n_of_type[type];
        if (n_of_type[type] > most) {
            most = n_of_type[type];
            info->quantization = ut_dtype_name((enum ut_dtype)type);
        }
    }
}

void ut_ort_describe_file(struct ut_mem *mem, const char *file, utter_voice_info *info) {
    struct ut_weights *weights;
    struct stat st;
    info->format = ut_format_label(UT_FORMAT_ONNX);
    info->quantization = "";
    info->file_bytes = stat(file, &st) == 0 ? (uint64_t)st.st_size : 0;
    if (ut_weights_open(mem, file, &weights, NULL) == UTTER_OK) {
        count_weights(weights, info);
        ut_weights_close(weights);
    }
}

utter_status ut_ort_describe(struct ut_mem *mem, const struct ut_backend_voice *voice,
                             const char *model_file, bool tensors, ut_native_describe_fn members,
                             char **out, utter_error *err) {
    utter_status status = ut_native_describe(mem, voice, model_file, tensors, members, out, err);
    /* A file whose types or operators utter does not read still speaks: its description then lacks
     * the metadata. */
    bool unknown = status == UTTER_ERROR_UNSUPPORTED || status == UTTER_ERROR_FORMAT;
    return unknown && !tensors ? ut_native_describe(mem, voice, NULL, false, members, out, err)
                               : status;
}

/* ---- Inputs --------------------------------------------------------------------------------- */

/* By name alone; types and shapes are judged by is_usable. */
static const struct ut_ort_port *find_input(const struct ut_ort_session *session,
                                            const struct ut_ort_role *role) {
    for (size_t i = 0; i < ut_ort_input_count(session); i++) {
        const struct ut_ort_port *port = ut_ort_input(session, i);
        for (size_t k = 0; k < UT_COUNT(role->names); k++) {
            if (role->names[k] && strcmp(port->name, role->names[k]) == 0) {
                return port;
            }
        }
    }
    return NULL;
}

/* Types that ut_ort_call_set can write. */
static bool is_usable(const struct ut_ort_port *port) {
    bool number = port->type == UT_F32 || port->type == UT_F64 || port->type == UT_I32 ||
                  port->type == UT_I64;
    return number && port->n_dims <= UT_MAX_DIMS;
}

/* A required input that has no value here would make the run fail; one that utter does not know
 * might change what the model does, so both are refused when the voice is opened. */
utter_status ut_ort_match(const struct ut_ort_session *session, const char *path,
                          const struct ut_ort_role *roles, size_t n_roles,
                          const struct ut_ort_port **ports, utter_error *err) {
    char list[200];
    size_t n_found = 0;
    list_inputs(session, list, sizeof list);
    for (size_t i = 0; i < n_roles; i++) {
        ports[i] = find_input(session, &roles[i]);
        n_found += ports[i] != NULL;
        if (!ports[i] && !roles[i].is_optional) {
            return ut_fail(err, UTTER_ERROR_UNSUPPORTED, "%s: the model has no input '%s', only %s",
                           path, roles[i].names[0], list);
        }
        if (ports[i] && !is_usable(ports[i])) {
            return ut_fail(err, UTTER_ERROR_UNSUPPORTED,
                           "%s: the input '%s' is of the type %s with %zu dimensions: f32, f64, "
                           "i32 or i64 with at most %d are understood",
                           path, ports[i]->name,
                           ports[i]->type == UT_N_DTYPES ? "unknown"
                                                         : ut_dtype_name(ports[i]->type),
                           ports[i]->n_dims, UT_MAX_DIMS);
        }
    }
    return n_found == ut_ort_input_count(session)
               ? UTTER_OK
               : ut_fail(err, UTTER_ERROR_UNSUPPORTED,
                         "%s: among the model's inputs (%s) is one that utter does not know", path,
                         list);
}

utter_status ut_ort_call_init(struct ut_ort_call *call, struct ut_mem *mem,
                              const struct ut_ort_role *roles, size_t n_roles,
                              const struct ut_ort_port *const *ports, utter_error *err) {
    *call = (struct ut_ort_call){.mem = mem};
    /* Room for the widest type each, so that the type of an input matters only where a value is
     * written. */
    for (size_t i = 0; i < n_roles && ports[i]; i++) {
        void *data = ut_mem_calloc(mem, UT_MEM_SESSION, roles[i].most, sizeof(double));
        if (!data) {
            return ut_fail_memory(err, roles[i].most * sizeof(double));
        }
        call->inputs[i] = (struct ut_ort_value){
            ports[i]->name, ports[i]->type, ports[i]->n_dims, {1, 1, 1, 1}, data};
        call->n_inputs++;
    }
    return UTTER_OK;
}

void ut_ort_call_free(struct ut_ort_call *call) {
    for (size_t i = 0; i < call->n_inputs; i++) {
        ut_mem_free(call->mem, (void *)call->inputs[i].data);
    }
    for (size_t i = 0; i < UT_COUNT(call->outputs); i++) {
        ut_mem_free(call->mem, call->outputs[i].values);
    }
}

void ut_ort_call_set(struct ut_ort_call *call, size_t role, size_t i, double value) {
    if (role >= call->n_inputs) {
        return;
    }
    void *data = (void *)call->inputs[role].data; /* ours; const to the run alone */
    switch (call->inputs[role].type) {
    case UT_F32:
        ((float *)data)[i] = (float)value;
        break;
    case UT_F64:
        ((double *)data)[i] = value;
        break;
    case UT_I32:
        ((int32_t *)data)[i] = (int32_t)lrint(value);
        break;
    default: /* UT_I64: ut_ort_match lets nothing else pass */
        ((int64_t *)data)[i] = (int64_t)lrint(value);
    }
}

/* Inputs without dimensions are scalars: their count is 1. */
void ut_ort_call_set_count(struct ut_ort_call *call, size_t role, size_t n) {
    if (role < call->n_inputs && call->inputs[role].n_dims > 0) {
        call->inputs[role].dims[call->inputs[role].n_dims - 1] = (int64_t)n;
    }
}

/* ---- Samples -------------------------------------------------------------------------------- */

/* All of it is checked before any is heard: what was heard cannot be taken back, and no other voice
 * could say the sentence then. */
utter_status ut_ort_deliver(struct ut_ort_numbers *samples, size_t begin, size_t end,
                            const struct ut_speak_params *params, utter_error *err) {
    float *x = samples->values;
    if (begin >= end) {
        return ut_fail(err, UTTER_ERROR_MODEL, "the model gave no samples");
    }
    for (size_t i = begin; i < end; i++) {
        if (!isfinite(x[i])) {
            return ut_fail(err, UTTER_ERROR_MODEL,
                           "sample %zu is not a number: the model or the voice is damaged", i);
        }
        x[i] = UT_MIN(UT_MAX(x[i], -1.0f), 1.0f);
    }
    for (size_t i = begin; i < end; i += SAMPLES_PER_CALL) {
        if (params->cancel && atomic_load(params->cancel)) {
            return ut_fail(err, UTTER_ERROR_CANCELLED, "cancelled");
        }
        if (!params->sink(params->user, x + i, UT_MIN(end - i, (size_t)SAMPLES_PER_CALL))) {
            return ut_fail(err, UTTER_ERROR_CANCELLED, "stopped by the receiver of the samples");
        }
    }
    return UTTER_OK;
}
