/* Piper and house voices through utter's own kernels; what they have in common with those of other
 * backends is in piper_voice.c. A voice is shared by its sessions and only read once it is open; a
 * session belongs to one stream at a time. */
#include "backend/piper_voice.h"
#include "compute/narrow.h"

/* `common` first: the functions of piper_voice.h are given this voice as theirs. Sessions alike. */
struct piper_voice {
    struct ut_piper_voice common;
    struct ut_piper *model;
};

/* The text's side (ids, units) and the network's, which live and die together. */
struct piper_session {
    struct ut_piper_text text;
    struct ut_piper_session *piper;
};

static const struct piper_voice *voice_of(const struct ut_backend_voice *voice) {
    return (const struct piper_voice *)voice;
}

static struct piper_session *session_of(struct ut_backend_session *session) {
    return (struct piper_session *)session;
}

/* ---- Voice -------------------------------------------------------------------------------- */

/* Takes a voice that was opened half-way too. */
static void piper_close(struct ut_backend_voice *base) {
    struct piper_voice *voice = (struct piper_voice *)base;
    if (voice) {
        struct ut_mem *mem = voice->common.context.mem;
        ut_piper_close(voice->model);
        ut_native_names_free(&voice->common.names, mem);
        ut_mem_free(mem, voice);
    }
}

/* What the network says goes over what its configuration says: a model with one speaker has one
 * whatever the list. Without a stochastic predictor noise_w has no effect, so 0 is shown. */
static utter_status describe_loaded(struct piper_voice *voice, utter_error *err) {
    struct ut_piper_info model;
    utter_voice_info *info = &voice->common.info;
    voice->common.config = ut_piper_get_config(voice->model);
    ut_piper_get_info(voice->model, &model);
    utter_status status = ut_piper_voice_init(&voice->common, err);
    info->format = ut_format_label(model.format);
    info->quantization = ut_dtype_label(model.weight_type);
    info->sample_rate_hz = model.sample_rate_hz;
    info->n_speakers = model.n_speakers;
    info->n_parameters = model.n_parameters;
    info->file_bytes = model.file_bytes;
    info->noise_w = model.stochastic_durations ? info->noise_w : 0;
    return status;
}

/* Everything that fails after the allocation goes through piper_close. */
utter_status ut_native_piper_open(const struct ut_backend_context *context, const char *path,
                                  const struct ut_weights *weights, struct ut_backend_voice **out,
                                  utter_error *err) {
    *out = NULL;
    struct piper_voice *voice = ut_mem_calloc(context->mem, UT_MEM_OTHER, 1, sizeof *voice);
    if (!voice) {
        return ut_fail_memory(err, sizeof *voice);
    }
    struct ut_piper_voice *common = &voice->common;
    common->base.backend = &ut_native_piper;
    common->context = *context;
    utter_status status = ut_native_names_init(&common->names, context->mem, path, err);
    if (status == UTTER_OK && weights) {
        status = ut_piper_open_weights(context->mem, &context->compute, weights, common->names.file,
                                       &common->context.log, &voice->model, err);
    } else if (status == UTTER_OK) {
        status = ut_piper_open(context->mem, &context->compute, common->names.file,
                               &common->context.log, &voice->model, err);
    }
    status = status ? status : describe_loaded(voice, err);
    if (status != UTTER_OK) {
        piper_close(&common->base);
        return status;
    }
    *out = &common->base;
    return UTTER_OK;
}

static utter_status piper_open(const struct ut_backend_context *context, const char *path,
                               struct ut_backend_voice **out, utter_error *err) {
    return ut_native_piper_open(context, path, NULL, out, err);
}

/* ---- Description -------------------------------------------------------------------------- */

/* The member "model" of utter info --json: sizes of the network. */
static void describe_voice(struct ut_json_writer *json, const struct ut_backend_voice *base) {
    struct ut_piper_info info;
    ut_piper_get_info(voice_of(base)->model, &info);
    ut_piper_voice_describe(json, base);
    ut_json_put_object(json, "model");
    ut_json_put_string(json, "precision",
                       ut_narrow_precision(&voice_of(base)->common.context.compute));
    ut_json_put_uint(json, "n_vocab", (uint64_t)info.n_vocab);
    ut_json_put_uint(json, "n_hidden", (uint64_t)info.n_hidden);
    ut_json_put_uint(json, "n_inter", (uint64_t)info.n_inter);
    ut_json_put_uint(json, "n_layers", (uint64_t)info.n_layers);
    ut_json_put_uint(json, "n_heads", (uint64_t)info.n_heads);
    ut_json_put_uint(json, "n_upsample_stages", (uint64_t)info.n_stages);
    ut_json_put_uint(json, "n_resblocks", (uint64_t)info.n_resblocks);
    ut_json_put_uint(json, "resblock_type", info.resblock1 ? 1 : 2);
    ut_json_put_uint(json, "hop_length", (uint64_t)info.hop_length);
    ut_json_put_bool(json, "stochastic_durations", info.stochastic_durations);
    ut_json_put_end_object(json);
}

static utter_status piper_describe(const struct ut_backend_voice *base, bool tensors, char **out,
                                   utter_error *err) {
    const struct ut_piper_voice *voice = &voice_of(base)->common;
    return ut_native_describe(voice->context.mem, base, voice->names.file, tensors, describe_voice,
                              out, err);
}

/* ---- Speaking ----------------------------------------------------------------------------- */

static void piper_session_destroy(struct ut_backend_session *base) {
    struct piper_session *session = session_of(base);
    if (session) {
        struct ut_mem *mem = session->text.voice->context.mem;
        ut_piper_session_destroy(session->piper);
        ut_piper_text_free(&session->text);
        ut_mem_free(mem, session);
    }
}

/* No buffers yet: the session's arena grows with the first sentence and is kept. */
static utter_status piper_session_create(const struct ut_backend_voice *base,
                                         struct ut_backend_session **out, utter_error *err) {
    const struct piper_voice *voice = voice_of(base);
    struct ut_mem *mem = voice->common.context.mem;
    *out = NULL;
    struct piper_session *session = ut_mem_calloc(mem, UT_MEM_SESSION, 1, sizeof *session);
    if (!session) {
        return ut_fail_memory(err, sizeof *session);
    }
    session->text.voice = &voice->common;
    utter_status status = ut_piper_session_create(voice->model, &session->piper, err);
    if (status != UTTER_OK) {
        ut_mem_free(mem, session);
        return status;
    }
    *out = (struct ut_backend_session *)session;
    return UTTER_OK;
}

/* Stages are counted when the run fails, too. */
static utter_status piper_speak(struct ut_backend_session *base, const struct ut_unit *unit,
                                const struct ut_speak_params *params, struct ut_speak_stats *stats,
                                utter_error *err) {
    struct ut_piper_result result = {0};
    struct ut_piper_request request = {
        .ids = unit->ids,
        .n_ids = unit->n_ids,
        .speaker = params->speaker,
        .noise_scale = params->noise_scale,
        .length_scale = params->length_scale,
        .noise_w = params->noise_w,
        .seed = params->seed,
        .sink = params->sink,
        .user = params->user,
        .cancel = params->cancel,
        .tally = params->tally,
    };
    utter_status status = ut_piper_run(session_of(base)->piper, &request, &result, err);
    stats->encode_s += result.encode_s;
    stats->flow_s += result.flow_s;
    stats->decode_s += result.decode_s;
    stats->n_skipped_symbols += result.n_skipped_ids;
    return status;
}

/* Opens the model by itself: a trace needs no front end, its inputs are ids. */
static utter_status piper_trace(const struct ut_backend_context *context, const char *path,
                                const char *golden, const char *case_name, const char *out_path,
                                utter_trace_fn stage, void *user, utter_error *err) {
    struct ut_piper *model;
    utter_status status =
        ut_piper_open(context->mem, &context->compute, path, &context->log, &model, err);
    if (status == UTTER_OK) {
        status = ut_piper_trace(model, golden, case_name, out_path, stage, user, err);
        ut_piper_close(model);
    }
    return status;
}

const struct ut_backend ut_native_piper = {
    .name = "native",
    .supports_streaming = true,
    .parallel = UT_PARALLEL_ALWAYS,
    .pause_s = {[UT_UNIT_SENTENCE] = 0.15f, [UT_UNIT_PARAGRAPH] = 0.35f},
    .open = piper_open,
    .close = piper_close,
    .max_ids = ut_piper_voice_max_ids,
    .info = ut_piper_voice_info,
    .speaker_name = ut_piper_voice_speaker_name,
    .default_speaker = ut_piper_voice_default_speaker,
    .language = ut_piper_voice_language,
    .espeak_voice = ut_piper_voice_espeak,
    .describe = piper_describe,
    .session_create = piper_session_create,
    .session_destroy = piper_session_destroy,
    .units = ut_piper_text_units,
    .speak = piper_speak,
    .trace = piper_trace,
};
