/* Kokoro through utter's own kernels; what its voices have in common with those of other backends
 * is in kokoro_voice.c. A run has no samples before its end: its normalisations span the chunk. */
#include "backend/kokoro_voice.h"
#include "models/kokoro/kokoro.h"

/* `common` first: the functions of kokoro_voice.h are given this voice as theirs. Sessions
 * alike. */
struct kokoro_voice {
    struct ut_kokoro_voice common;
    struct ut_kokoro *model;
};

/* The text's side and the network's, as in native_piper.c. */
struct kokoro_session {
    struct ut_kokoro_text text;
    struct ut_kokoro_session *kokoro;
};

static const struct kokoro_voice *voice_of(const struct ut_backend_voice *voice) {
    return (const struct kokoro_voice *)voice;
}

static struct kokoro_session *session_of(struct ut_backend_session *session) {
    return (struct kokoro_session *)session;
}

/* ---- Voice -------------------------------------------------------------------------------- */

/* Takes a voice that was opened half-way too. */
static void kokoro_close(struct ut_backend_voice *base) {
    struct kokoro_voice *voice = (struct kokoro_voice *)base;
    if (voice) {
        struct ut_mem *mem = voice->common.context.mem;
        ut_kokoro_voice_free(&voice->common);
        ut_kokoro_close(voice->model);
        ut_mem_free(mem, voice);
    }
}

/* Pointers into the model, which outlives them: kokoro_close frees the common part first. */
static utter_status describe_loaded(struct kokoro_voice *voice, utter_error *err) {
    struct ut_kokoro_voice *common = &voice->common;
    struct ut_kokoro_info model;
    ut_kokoro_get_info(voice->model, &model);
    common->config = ut_kokoro_get_config(voice->model);
    common->voices = ut_kokoro_get_voices(voice->model);
    common->n_token = model.n_token;
    common->hidden_dim = model.hidden_dim;
    common->style_dim = model.style_dim;
    common->max_ids = model.max_ids;
    utter_status status = ut_kokoro_voice_init(common, ut_kokoro_gguf(voice->model), err);
    common->info.format = ut_format_label(model.format);
    common->info.quantization = ut_dtype_label(model.weight_type);
    common->info.n_parameters = model.n_parameters;
    common->info.file_bytes = model.file_bytes;
    return status;
}

utter_status ut_native_kokoro_open(const struct ut_backend_context *context, const char *path,
                                   struct ut_weights **weights, struct ut_backend_voice **out,
                                   utter_error *err) {
    *out = NULL;
    struct kokoro_voice *voice = ut_mem_calloc(context->mem, UT_MEM_OTHER, 1, sizeof *voice);
    if (!voice) {
        return ut_fail_memory(err, sizeof *voice);
    }
    struct ut_kokoro_voice *common = &voice->common;
    common->base.backend = &ut_native_kokoro;
    common->context = *context;
    utter_status status = ut_native_names_init(&common->names, context->mem, path, err);
    if (status == UTTER_OK && *weights) {
        status =
            ut_kokoro_open_weights(context->mem, &context->compute, weights, common->names.file,
                                   &common->context.log, &voice->model, err);
    } else if (status == UTTER_OK) {
        status = ut_kokoro_open(context->mem, &context->compute, common->names.file,
                                &common->context.log, &voice->model, err);
    }
    status = status ? status : describe_loaded(voice, err);
    if (status != UTTER_OK) {
        kokoro_close(&common->base);
        return status;
    }
    *out = &common->base;
    return UTTER_OK;
}

static utter_status kokoro_open(const struct ut_backend_context *context, const char *path,
                                struct ut_backend_voice **out, utter_error *err) {
    struct ut_weights *none = NULL;
    return ut_native_kokoro_open(context, path, &none, out, err);
}

static utter_status kokoro_describe(const struct ut_backend_voice *base, bool tensors, char **out,
                                    utter_error *err) {
    const struct ut_kokoro_voice *voice = &voice_of(base)->common;
    return ut_native_describe(voice->context.mem, base, voice->names.file, tensors,
                              ut_kokoro_voice_describe, out, err);
}

/* ---- Speaking ----------------------------------------------------------------------------- */

static void kokoro_session_destroy(struct ut_backend_session *base) {
    struct kokoro_session *session = session_of(base);
    if (session) {
        struct ut_mem *mem = session->text.voice->context.mem;
        ut_kokoro_session_destroy(session->kokoro);
        ut_kokoro_text_free(&session->text);
        ut_mem_free(mem, session);
    }
}

static utter_status kokoro_session_create(const struct ut_backend_voice *base,
                                          struct ut_backend_session **out, utter_error *err) {
    const struct kokoro_voice *voice = voice_of(base);
    *out = NULL;
    struct kokoro_session *session =
        ut_mem_calloc(voice->common.context.mem, UT_MEM_SESSION, 1, sizeof *session);
    if (!session) {
        return ut_fail_memory(err, sizeof *session);
    }
    utter_status status = ut_kokoro_text_init(&session->text, &voice->common, err);
    status = status ? status : ut_kokoro_session_create(voice->model, &session->kokoro, err);
    if (status != UTTER_OK) {
        kokoro_session_destroy((struct ut_backend_session *)session);
        return status;
    }
    *out = (struct ut_backend_session *)session;
    return UTTER_OK;
}

/* Stages are counted when the run fails, too. */
static utter_status kokoro_speak(struct ut_backend_session *base, const struct ut_unit *unit,
                                 const struct ut_speak_params *params, struct ut_speak_stats *stats,
                                 utter_error *err) {
    struct kokoro_session *session = session_of(base);
    struct ut_kokoro_result result = {0};
    utter_status status = ut_kokoro_text_style(&session->text, unit, params, err);
    struct ut_kokoro_request request = {
        .ids = unit->ids,
        .n_ids = unit->n_ids,
        .style = session->text.style,
        .speed = params->speed,
        .seed = params->seed,
        .trim = params->text != NULL, /* ids from the caller: what the model makes of them, whole */
        .sink = params->sink,
        .user = params->user,
        .cancel = params->cancel,
        .tally = params->tally,
    };
    status = status ? status : ut_kokoro_run(session->kokoro, &request, &result, err);
    stats->encode_s += result.encode_s;
    stats->flow_s += result.flow_s;
    stats->decode_s += result.decode_s;
    stats->n_skipped_symbols += result.n_skipped_ids;
    return status;
}

/* Opens the model for itself: the trace needs no names and no front end. */
static utter_status kokoro_trace(const struct ut_backend_context *context, const char *path,
                                 const char *golden, const char *case_name, const char *out_path,
                                 utter_trace_fn stage, void *user, utter_error *err) {
    struct ut_kokoro *model;
    utter_status status =
        ut_kokoro_open(context->mem, &context->compute, path, &context->log, &model, err);
    if (status == UTTER_OK) {
        status = ut_kokoro_trace(model, golden, case_name, out_path, stage, user, err);
        ut_kokoro_close(model);
    }
    return status;
}

/* A trimmed chunk keeps 0.05 s before its first sound and 0.1 s behind its last. With these the
 * silence between two sentences is 0.4 s and between paragraphs 0.7 s: what readers do, and the
 * range (0.3 to 0.7 s) that the untrimmed chunks of the reference leave there by chance. */
const struct ut_backend ut_native_kokoro = {
    .name = "native",
    .supports_streaming = false,
    .parallel = UT_PARALLEL_ON_DEMAND,
    .pause_s = {[UT_UNIT_SENTENCE] = 0.25f, [UT_UNIT_PARAGRAPH] = 0.55f},
    .open = kokoro_open,
    .close = kokoro_close,
    .max_ids = ut_kokoro_voice_max_ids,
    .info = ut_kokoro_voice_info,
    .speaker_name = ut_kokoro_voice_speaker_name,
    .default_speaker = ut_kokoro_voice_default_speaker,
    .check_voice = ut_kokoro_voice_check,
    .language = ut_kokoro_voice_language,
    .espeak_voice = ut_kokoro_voice_espeak,
    .describe = kokoro_describe,
    .session_create = kokoro_session_create,
    .session_destroy = kokoro_session_destroy,
    .units = ut_kokoro_text_units,
    .speak = kokoro_speak,
    .trace = kokoro_trace,
};
