/* The backends of this build as JSON: what each can do and what it uses now. Bytes are measured,
 * not estimated: everything that utter allocated in this engine, shown with the backend that is
 * loaded. */
#include "backend/chain.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "backend/native.h"
#include "backend/ort_backend.h"
#include "base/json_writer.h"
#include "compute/narrow.h"
#include "text/espeak_lib.h"

static void report_memory(struct ut_json_writer *json, const struct ut_mem *mem, bool loaded) {
    utter_memory memory = {.size = sizeof memory};
    if (loaded) {
        ut_mem_report(mem, &memory);
    }
    ut_json_put_object(json, "memory");
    ut_json_put_uint(json, "model", memory.weights_bytes);
    ut_json_put_uint(json, "runtime", memory.session_bytes + memory.other_bytes);
    ut_json_put_uint(json, "peak", memory.peak_bytes);
    ut_json_put_end_object(json);
}

/* What a backend of this build is, whether a voice is loaded in it or not. */
struct entry {
    const char *name, *version, *level;
    const char *precision; /* of utter's own arithmetic; NULL: another's */
    bool available;
    bool streams; /* while no voice is loaded that says so */
    uint64_t n_threads;
    char path[PATH_MAX]; /* of the library behind it, "": none */
    utter_error problem;
    struct ut_ort_library *ort; /* of the onnx backend, where it is available */
};

static void describe_native(const struct ut_backend_context *context, struct entry *entry) {
    entry->name = ut_native_piper.name;
    entry->version = utter_version();
    entry->level = ut_cpu_level_name(context->compute.kernels->level);
    entry->precision = ut_narrow_precision(&context->compute);
    entry->available = true;
    entry->streams = ut_native_piper.supports_streaming;
    entry->n_threads = (uint64_t)ut_pool_threads(context->compute.pool);
}

/* Loads the library to ask it; without one the reason goes into the report. */
static void describe_onnx(const struct ut_backend_context *context, struct entry *entry) {
    entry->name = ut_ort_piper.name;
    entry->available = ut_ort_library_open(context->mem, context->onnxruntime_path, &entry->ort,
                                           &entry->problem) == UTTER_OK;
    entry->version = entry->available ? ut_ort_library_version(entry->ort) : "";
    entry->level = "";
    entry->n_threads = (uint64_t)ut_pool_threads(context->compute.pool);
    snprintf(entry->path, sizeof entry->path, "%s",
             entry->available ? ut_ort_library_path(entry->ort) : "");
}

/* Initialises espeak-ng if nothing has: that is what "available" means. */
static void describe_espeak(struct entry *entry) {
    entry->name = ut_backend_espeak.name;
    entry->version = ut_espeak_version();
    entry->level = "";
    entry->available = ut_espeak_lock(&entry->problem) == UTTER_OK;
    entry->streams = ut_backend_espeak.supports_streaming;
    entry->n_threads = 1;
    if (entry->available) {
        ut_espeak_unlock();
    }
}

static void report_library(struct ut_json_writer *json, const struct entry *entry) {
    ut_json_put_string(json, "library", entry->path);
    ut_json_put_array(json, "providers");
    for (size_t i = 0; i < ut_ort_provider_count(entry->ort); i++) {
        ut_json_put_string(json, NULL, ut_ort_provider_name(entry->ort, i));
    }
    ut_json_put_end_array(json);
}

/* One backend; `voice` is NULL when it is loaded in another. What depends on the model's family is
 * told of that. */
static void report_backend(struct ut_json_writer *json, const struct ut_mem *mem,
                           const struct entry *entry, const struct ut_backend_voice *voice) {
    const struct ut_backend *backend = voice ? voice->backend : NULL;
    utter_voice_info info = {.quantization = ""};
    if (voice) {
        backend->info(voice, &info);
    }
    ut_json_put_object(json, NULL);
    ut_json_put_string(json, "type", entry->name);
    ut_json_put_string(json, "device", voice && voice->device ? voice->device : "cpu");
    ut_json_put_string(json, "level", entry->level);
    ut_json_put_string(json, "precision", entry->precision);
    ut_json_put_string(json, "version", entry->version);
    ut_json_put_bool(json, "available", entry->available);
    ut_json_put_string(json, "unavailable_reason",
                       entry->available ? NULL : entry->problem.message);
    if (entry->ort) {
        report_library(json, entry);
    }
    ut_json_put_bool(json, "loaded", voice != NULL);
    ut_json_put_bool(json, "supports_batching", false);
    ut_json_put_bool(json, "supports_streaming",
                     backend ? backend->supports_streaming : entry->streams);
    report_memory(json, mem, voice != NULL);
    ut_json_put_uint(json, "context_size", voice && backend->max_ids ? backend->max_ids(voice) : 0);
    ut_json_put_uint(json, "threads", entry->n_threads);
    ut_json_put_string(json, "quantization", info.quantization);
    ut_json_put_end_object(json);
}

/* The library is open until its providers are written. */
utter_status ut_backend_report(const struct ut_backend_context *context,
                               const struct ut_backend_voice *voice, char **out, utter_error *err) {
    struct entry entries[3] = {0};
    struct ut_json_writer json;
    describe_native(context, &entries[0]);
    describe_onnx(context, &entries[1]);
    describe_espeak(&entries[2]);
    ut_json_put_init(&json, context->mem);
    ut_json_put_array(&json, NULL);
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        bool is_it = voice && strcmp(voice->backend->name, entries[i].name) == 0;
        report_backend(&json, context->mem, &entries[i], is_it ? voice : NULL);
    }
    ut_json_put_end_array(&json);
    ut_ort_library_close(entries[1].ort);
    return ut_json_put_finish(&json, out, err);
}
