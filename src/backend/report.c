/* The backends of this build as JSON: what each can do and what it uses now. Bytes are measured,
 * not estimated: everything that utter allocated in this engine, shown with the backend that is
 * loaded. */
#include "backend/chain.h"
#include "backend/native.h"
#include "base/json_writer.h"
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

/* One backend; `voice` is loaded in it, or NULL. What depends on the model's family is told of
 * that. */
static void report_backend(struct ut_json_writer *json, const struct ut_backend_context *context,
                           bool native, const struct ut_backend_voice *voice) {
    const struct ut_backend *backend = voice    ? voice->backend
                                       : native ? &ut_native_piper
                                                : &ut_backend_espeak;
    utter_voice_info info = {.quantization = ""};
    utter_error error = {.message = ""};
    bool available = native || ut_espeak_lock(&error) == UTTER_OK;
    if (available && !native) {
        ut_espeak_unlock();
    }
    if (voice) {
        backend->info(voice, &info);
    }
    ut_json_put_object(json, NULL);
    ut_json_put_string(json, "type", backend->name);
    ut_json_put_string(json, "device", "cpu");
    ut_json_put_string(json, "level",
                       native ? ut_cpu_level_name(context->compute.kernels->level) : "");
    ut_json_put_string(json, "version", native ? utter_version() : ut_espeak_version());
    ut_json_put_bool(json, "available", available);
    ut_json_put_string(json, "unavailable_reason", available ? NULL : error.message);
    ut_json_put_bool(json, "loaded", voice != NULL);
    ut_json_put_bool(json, "supports_batching", false);
    ut_json_put_bool(json, "supports_streaming", backend->supports_streaming);
    report_memory(json, context->mem, voice != NULL);
    ut_json_put_uint(json, "context_size", voice && backend->max_ids ? backend->max_ids(voice) : 0);
    ut_json_put_uint(json, "threads",
                     native ? (uint64_t)ut_pool_threads(context->compute.pool) : 1);
    ut_json_put_string(json, "quantization", info.quantization);
    ut_json_put_end_object(json);
}

utter_status ut_backend_report(const struct ut_backend_context *context,
                               const struct ut_backend_voice *voice, char **out, utter_error *err) {
    bool formant = voice && voice->backend == &ut_backend_espeak;
    struct ut_json_writer json;
    ut_json_put_init(&json, context->mem);
    ut_json_put_array(&json, NULL);
    report_backend(&json, context, true, formant ? NULL : voice);
    report_backend(&json, context, false, formant ? voice : NULL);
    ut_json_put_end_array(&json);
    return ut_json_put_finish(&json, out, err);
}
