/* Piper voices through ONNX Runtime, exports of any precision: what utter reads of the file is its
 * .json. Inputs and outputs: docs/models/piper.md. A run has no samples before its end. */
#include "backend/ort_backend.h"
#include "backend/piper_voice.h"
#include "base/clock.h"

/* Indexes of roles, ports and the call's inputs; the optional one is last. */
enum { INPUT, LENGTHS, SCALES, SPEAKER, N_ROLES };

static const struct ut_ort_role roles[N_ROLES] = {
    [INPUT] = {{"input", NULL}, UT_PIPER_MAX_IDS, false},
    [LENGTHS] = {{"input_lengths", NULL}, 1, false},
    [SCALES] = {{"scales", NULL}, 3, false}, /* noise, length, noise of the durations */
    [SPEAKER] = {{"sid", NULL}, 1, true},
};

/* UT_PIPER_MAX_FRAMES of the usual 256 samples. */
enum { MAX_SAMPLES = UT_PIPER_MAX_FRAMES * 256 };

/* `common` first, as in native_piper.c. */
struct ort_piper {
    struct ut_piper_voice common;
    struct ut_piper_config config;
    struct ut_ort_model model;
    const struct ut_ort_port *ports[N_ROLES];
};

/* Buffers of one stream: text and ids here, inputs and samples of the network there. */
struct ort_piper_session {
    struct ut_piper_text text;
    struct ut_ort_call call;
};

static const struct ort_piper *voice_of(const struct ut_backend_voice *voice) {
    return (const struct ort_piper *)voice;
}

static struct ort_piper_session *session_of(struct ut_backend_session *session) {
    return (struct ort_piper_session *)session;
}

/* ---- Voice -------------------------------------------------------------------------------- */

/* Takes a voice that was opened half-way too. */
static void piper_close(struct ut_backend_voice *base) {
    struct ort_piper *voice = (struct ort_piper *)base;
    if (voice) {
        struct ut_mem *mem = voice->common.context.mem;
        ut_ort_model_close(&voice->model);
        ut_piper_config_free(&voice->config);
        ut_native_names_free(&voice->common.names, mem);
        ut_mem_free(mem, voice);
    }
}

/* Only the .json: the .onnx itself is ONNX Runtime's to read. */
static utter_status read_config(struct ort_piper *voice, utter_error *err) {
    struct ut_piper_voice *common = &voice->common;
    struct ut_mem *mem = common->context.mem;
    char *text;
    size_t n = 0;
    utter_status status = ut_piper_read_config(mem, common->names.file, &text, &n, err);
    if (status == UTTER_OK) {
        status = ut_piper_config_parse(mem, text, n, &voice->config, err);
        status = status ? ut_fail_context(err, status, "%s.json", common->names.file) : status;
    }
    ut_mem_free(mem, text);
    common->config = &voice->config;
    return status ? status : ut_piper_voice_init(common, err);
}

/* A network without an input for the speaker has one, whatever the configuration lists. */
utter_status ut_ort_piper_open(const struct ut_backend_context *context, const char *path,
                               struct ut_ort_model model, struct ut_backend_voice **out,
                               utter_error *err) {
    struct ort_piper *voice = ut_mem_calloc(context->mem, UT_MEM_OTHER, 1, sizeof *voice);
    if (!voice) {
        ut_ort_model_close(&model);
        return ut_fail_memory(err, sizeof *voice);
    }
    struct ut_piper_voice *common = &voice->common;
    voice->model = model;
    voice->config.mem = context->mem;
    common->base = (struct ut_backend_voice){.backend = &ut_ort_piper, .device = model.provider};
    common->context = *context;
    utter_status status = ut_native_names_init(&common->names, context->mem, path, err);
    status = status ? status : ut_ort_match(model.session, path, roles, N_ROLES, voice->ports, err);
    status = status ? status : read_config(voice, err);
    if (status != UTTER_OK) {
        piper_close(&common->base);
        return status;
    }
    ut_ort_describe_file(context->mem, common->names.file, &common->info);
    common->info.n_speakers = voice->ports[SPEAKER] ? common->info.n_speakers : 1;
    *out = &common->base;
    return UTTER_OK;
}

static utter_status piper_describe(const struct ut_backend_voice *base, bool tensors, char **out,
                                   utter_error *err) {
    const struct ut_piper_voice *voice = &voice_of(base)->common;
    return ut_ort_describe(voice->context.mem, base, voice->names.file, tensors,
                           ut_piper_voice_describe, out, err);
}

/* ---- Speaking ----------------------------------------------------------------------------- */

static void piper_session_destroy(struct ut_backend_session *base) {
    struct ort_piper_session *session = session_of(base);
    if (session) {
        struct ut_mem *mem = session->text.voice->context.mem;
        ut_ort_call_free(&session->call);
        ut_piper_text_free(&session->text);
        ut_mem_free(mem, session);
    }
}

/* The number of scales never changes; those of ids are set for each unit. */
static utter_status piper_session_create(const struct ut_backend_voice *base,
                                         struct ut_backend_session **out, utter_error *err) {
    const struct ort_piper *voice = voice_of(base);
    struct ut_mem *mem = voice->common.context.mem;
    *out = NULL;
    struct ort_piper_session *session = ut_mem_calloc(mem, UT_MEM_SESSION, 1, sizeof *session);
    if (!session) {
        return ut_fail_memory(err, sizeof *session);
    }
    session->text.voice = &voice->common;
    utter_status status = ut_ort_call_init(&session->call, mem, roles, N_ROLES, voice->ports, err);
    if (status != UTTER_OK) {
        piper_session_destroy((struct ut_backend_session *)session);
        return status;
    }
    session->call.outputs[0].most = MAX_SAMPLES;
    session->call.n_outputs = 1;
    ut_ort_call_set_count(&session->call, SCALES, 3);
    *out = (struct ut_backend_session *)session;
    return UTTER_OK;
}

/* Values are set as doubles and stored in whatever type the export's port has (ort_backend.h). */
static void set_inputs(struct ut_ort_call *call, const struct ut_unit *unit,
                       const struct ut_speak_params *params) {
    for (size_t i = 0; i < unit->n_ids; i++) {
        ut_ort_call_set(call, INPUT, i, unit->ids[i]);
    }
    ut_ort_call_set_count(call, INPUT, unit->n_ids);
    ut_ort_call_set(call, LENGTHS, 0, (double)unit->n_ids);
    ut_ort_call_set(call, SCALES, 0, (double)params->noise_scale);
    ut_ort_call_set(call, SCALES, 1, (double)params->length_scale);
    ut_ort_call_set(call, SCALES, 2, (double)params->noise_w);
    ut_ort_call_set(call, SPEAKER, 0, params->speaker);
}

/* All of it counts as decoding: ONNX Runtime does not say what it is at. */
static utter_status piper_speak(struct ut_backend_session *base, const struct ut_unit *unit,
                                const struct ut_speak_params *params, struct ut_speak_stats *stats,
                                utter_error *err) {
    struct ort_piper_session *session = session_of(base);
    const struct ort_piper *voice = (const struct ort_piper *)session->text.voice;
    struct ut_ort_call *call = &session->call;
    if (unit->n_ids < 1 || unit->n_ids > UT_PIPER_MAX_IDS) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "%zu phoneme ids: a sentence has 1 to %d",
                       unit->n_ids, UT_PIPER_MAX_IDS);
    }
    set_inputs(call, unit, params);
    double start = ut_clock_s();
    utter_status status = ut_ort_run(voice->model.session, call->inputs, call->n_inputs,
                                     call->outputs, call->n_outputs, params->cancel, err);
    stats->decode_s += ut_clock_s() - start;
    return status ? status : ut_ort_deliver(&call->outputs[0], 0, call->outputs[0].n, params, err);
}

const struct ut_backend ut_ort_piper = {
    .name = "onnx",
    .supports_streaming = false,
    .pause_s = {[UT_UNIT_SENTENCE] = 0.15f, [UT_UNIT_PARAGRAPH] = 0.35f},
    .open = ut_ort_open,
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
};
