/* Kokoro through ONNX Runtime, exports of any precision and of every publisher's naming. The
 * vocabulary and the voices come from the folder of the model or, as on Hugging Face, from the one
 * above it. Inputs and outputs: docs/backends.md. A run has no samples before its end. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "backend/kokoro_voice.h"
#include "backend/ort_backend.h"
#include "base/checked.h"
#include "base/clock.h"
#include "models/kokoro/kokoro.h"
#include "models/model_file.h"

/* Indexes of roles, ports and the call's inputs. */
enum { IDS, STYLE, SPEED, N_ROLES };
enum { SAMPLES, DURATIONS }; /* outputs of a call */
enum { USUAL_STYLE = 256, MAX_STYLE = 4096 };

static const struct ut_ort_role roles[N_ROLES] = {
    [IDS] = {{"input_ids", "tokens"}, UT_KOKORO_MAX_IDS, false},
    [STYLE] = {{"style", NULL}, MAX_STYLE, false},
    [SPEED] = {{"speed", NULL}, 1, false},
};

/* `common` first, as in native_kokoro.c; config and voices are this backend's own, since no native
 * model has read them. */
struct ort_kokoro {
    struct ut_kokoro_voice common;
    struct ut_kokoro_config config;
    struct ut_kokoro_voices *voices;
    struct ut_ort_model model;
    const struct ut_ort_port *ports[N_ROLES];
    size_t samples_index, durations_index; /* outputs; durations_index: SIZE_MAX if none */
};

struct ort_kokoro_session {
    struct ut_kokoro_text text;
    struct ut_ort_call call;
};

static const struct ort_kokoro *voice_of(const struct ut_backend_voice *voice) {
    return (const struct ort_kokoro *)voice;
}

static struct ort_kokoro_session *session_of(struct ut_backend_session *session) {
    return (struct ort_kokoro_session *)session;
}

/* ---- What belongs to a model file ----------------------------------------------------------- */

enum { PLACE_MAX = PATH_MAX + 32 };

/* "FOLDER/", or "FOLDER/onnx/../" for a model in a folder of that name without voices: as on
 * Hugging Face. No other folder is looked into. */
static void find_folder(const char *file, char folder[PATH_MAX + 8]) {
    const char *slash = strrchr(file, '/');
    int n = slash ? (int)(slash + 1 - file) : 0;
    bool is_onnx =
        n >= 5 && memcmp(file + n - 5, "onnx/", 5) == 0 && (n == 5 || file[n - 6] == '/');
    char voices[PLACE_MAX];
    struct stat st;
    snprintf(voices, sizeof voices, "%.*svoices", n, file);
    bool above = is_onnx && stat(voices, &st) != 0;
    snprintf(folder, PATH_MAX + 8, "%.*s%s", n, file, above ? "../" : "");
}

/* Both files are JSON; the parser finds the vocabulary in either. */
static utter_status read_symbols(struct ort_kokoro *voice, const char *path, utter_error *err) {
    struct ut_mem *mem = voice->common.context.mem;
    char *text;
    size_t n = 0;
    utter_status status = ut_config_read(mem, path, &text, &n, err);
    if (status == UTTER_OK) {
        status = ut_kokoro_vocabulary_parse(mem, text, n, &voice->config, err);
        status = status ? ut_fail_context(err, status, "%s", path) : status;
    }
    ut_mem_free(mem, text);
    return status;
}

/* config.json of the original model, or tokenizer.json: exports are published with a config.json
 * that has no vocabulary. */
static utter_status read_vocabulary(struct ort_kokoro *voice, const char *folder,
                                    utter_error *err) {
    char config[PLACE_MAX], tokenizer[PLACE_MAX];
    snprintf(config, sizeof config, "%sconfig.json", folder);
    snprintf(tokenizer, sizeof tokenizer, "%stokenizer.json", folder);
    bool has_config = ut_path_is_file(config), has_tokenizer = ut_path_is_file(tokenizer);
    if (!has_config && !has_tokenizer) {
        return ut_fail(err, UTTER_ERROR_NOT_FOUND,
                       "%s: its vocabulary is missing: put the config.json of Kokoro-82M or the "
                       "tokenizer.json of the export beside the model",
                       voice->common.names.file);
    }
    utter_status status = UTTER_ERROR_FORMAT;
    if (has_config) {
        status = read_symbols(voice, config, err);
    }
    if (status == UTTER_ERROR_FORMAT && has_tokenizer) {
        status = read_symbols(voice, tokenizer, err);
    }
    return status;
}

/* A style size of -1 means that the export leaves it open. The first half of a style is the
 * decoder's, the second the prosody's, so it is even. */
static utter_status read_voices(struct ort_kokoro *voice, const char *folder, utter_error *err) {
    struct ut_kokoro_voice *common = &voice->common;
    const struct ut_ort_port *style = voice->ports[STYLE];
    int64_t n_style = style->n_dims ? style->dims[style->n_dims - 1] : -1;
    char path[PLACE_MAX];
    n_style = n_style == -1 ? USUAL_STYLE : n_style;
    if (n_style < 2 || n_style > MAX_STYLE || n_style % 2) {
        return ut_fail(err, UTTER_ERROR_UNSUPPORTED,
                       "%s: the model's style has %lld values, an even number up to %d is expected",
                       common->names.file, (long long)n_style, MAX_STYLE);
    }
    common->style_dim = (int32_t)n_style / 2;
    snprintf(path, sizeof path, "%smodel.onnx", folder); /* whatever its name: voices lie beside */
    utter_status status = ut_kokoro_voices_open(common->context.mem, path, NULL, (int)n_style,
                                                &common->context.log, &voice->voices, err);
    common->voices = voice->voices;
    return status;
}

/* ---- Outputs -------------------------------------------------------------------------------- */

static bool is_one_of(const char *name, const char *const *names) {
    for (size_t i = 0; names[i]; i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* Samples by their usual names, else the first output; durations by theirs or not at all. */
static utter_status find_outputs(struct ort_kokoro *voice, utter_error *err) {
    static const char *const samples[] = {"waveform", "audio", "output", NULL};
    static const char *const durations[] = {"duration", "durations", "pred_dur", NULL};
    size_t n = ut_ort_output_count(voice->model.session);
    voice->samples_index = 0;
    voice->durations_index = SIZE_MAX;
    if (n == 0) {
        return ut_fail(err, UTTER_ERROR_UNSUPPORTED, "%s: the model has no output",
                       voice->common.names.file);
    }
    for (size_t i = n; i-- > 0;) {
        const struct ut_ort_port *port = ut_ort_output(voice->model.session, i);
        if (is_one_of(port->name, samples)) {
            voice->samples_index = i;
        }
        bool number = port->type == UT_I64 || port->type == UT_I32 || port->type == UT_F32;
        if (number && is_one_of(port->name, durations)) {
            voice->durations_index = i;
        }
    }
    return UTTER_OK;
}

/* ---- Voice -------------------------------------------------------------------------------- */

static void kokoro_close(struct ut_backend_voice *base) {
    struct ort_kokoro *voice = (struct ort_kokoro *)base;
    if (voice) {
        struct ut_mem *mem = voice->common.context.mem;
        ut_ort_model_close(&voice->model);
        ut_kokoro_voice_free(&voice->common);
        ut_kokoro_voices_close(voice->voices);
        ut_kokoro_config_free(&voice->config);
        ut_mem_free(mem, voice);
    }
}

/* The order matters: the lexicons and the description need vocabulary and voices. */
static utter_status read_beside(struct ort_kokoro *voice, utter_error *err) {
    char folder[PATH_MAX + 8];
    struct ut_kokoro_voice *common = &voice->common;
    find_folder(common->names.file, folder);
    utter_status status = read_vocabulary(voice, folder, err);
    status = status ? status : read_voices(voice, folder, err);
    if (status != UTTER_OK) {
        return status;
    }
    common->config = &voice->config;
    common->max_ids = UT_KOKORO_MAX_IDS;
    status = ut_kokoro_voice_init(common, NULL, err);
    ut_ort_describe_file(common->context.mem, common->names.file, &common->info);
    return status;
}

utter_status ut_ort_kokoro_open(const struct ut_backend_context *context, const char *path,
                                struct ut_ort_model model, struct ut_backend_voice **out,
                                utter_error *err) {
    struct ort_kokoro *voice = ut_mem_calloc(context->mem, UT_MEM_OTHER, 1, sizeof *voice);
    if (!voice) {
        ut_ort_model_close(&model);
        return ut_fail_memory(err, sizeof *voice);
    }
    struct ut_kokoro_voice *common = &voice->common;
    voice->model = model;
    common->base = (struct ut_backend_voice){.backend = &ut_ort_kokoro, .device = model.provider};
    common->context = *context;
    utter_status status = ut_native_names_init(&common->names, context->mem, path, err);
    status = status ? status : ut_ort_match(model.session, path, roles, N_ROLES, voice->ports, err);
    status = status ? status : find_outputs(voice, err);
    status = status ? status : read_beside(voice, err);
    if (status != UTTER_OK) {
        kokoro_close(&common->base);
        return status;
    }
    *out = &common->base;
    return UTTER_OK;
}

static utter_status kokoro_describe(const struct ut_backend_voice *base, bool tensors, char **out,
                                    utter_error *err) {
    const struct ut_kokoro_voice *voice = &voice_of(base)->common;
    return ut_ort_describe(voice->context.mem, base, voice->names.file, tensors,
                           ut_kokoro_voice_describe, out, err);
}

/* ---- Speaking ----------------------------------------------------------------------------- */

static void kokoro_session_destroy(struct ut_backend_session *base) {
    struct ort_kokoro_session *session = session_of(base);
    if (session) {
        struct ut_mem *mem = session->text.voice->context.mem;
        ut_ort_call_free(&session->call);
        ut_kokoro_text_free(&session->text);
        ut_mem_free(mem, session);
    }
}

/* More than the longest run can give would mean a model of another kind: refused, not allocated. */
static void choose_outputs(const struct ort_kokoro *voice, struct ut_ort_call *call) {
    call->outputs[SAMPLES].index = voice->samples_index;
    call->outputs[SAMPLES].most = UT_KOKORO_MAX_FRAMES * UT_KOKORO_SAMPLES_PER_FRAME;
    call->outputs[DURATIONS].index = voice->durations_index;
    call->outputs[DURATIONS].most = UT_KOKORO_MAX_IDS;
    call->n_outputs = voice->durations_index == SIZE_MAX ? 1 : 2;
}

static utter_status kokoro_session_create(const struct ut_backend_voice *base,
                                          struct ut_backend_session **out, utter_error *err) {
    const struct ort_kokoro *voice = voice_of(base);
    struct ut_mem *mem = voice->common.context.mem;
    *out = NULL;
    struct ort_kokoro_session *session = ut_mem_calloc(mem, UT_MEM_SESSION, 1, sizeof *session);
    if (!session) {
        return ut_fail_memory(err, sizeof *session);
    }
    utter_status status = ut_kokoro_text_init(&session->text, &voice->common, err);
    status =
        status ? status : ut_ort_call_init(&session->call, mem, roles, N_ROLES, voice->ports, err);
    if (status != UTTER_OK) {
        kokoro_session_destroy((struct ut_backend_session *)session);
        return status;
    }
    choose_outputs(voice, &session->call);
    ut_ort_call_set_count(&session->call, STYLE, 2 * (size_t)voice->common.style_dim);
    *out = (struct ut_backend_session *)session;
    return UTTER_OK;
}

/* Some exports take the speed as a whole number. */
static double speed_for(const struct ort_kokoro *voice, float speed) {
    bool whole = voice->ports[SPEED]->type == UT_I32 || voice->ports[SPEED]->type == UT_I64;
    double nearest = (double)UT_MAX(roundf(speed), 1.0f);
    if (whole && nearest != (double)speed) {
        ut_log(&voice->common.context.log, UTTER_LOG_WARNING,
               "this export of Kokoro takes whole numbers as speed: %g becomes %g", (double)speed,
               nearest);
    }
    return whole ? nearest : (double)speed;
}

/* The call's buffers hold the longest unit; counts tell how much of them is used. */
static void set_inputs(const struct ort_kokoro *voice, struct ort_kokoro_session *session,
                       const struct ut_unit *unit, float speed) {
    struct ut_ort_call *call = &session->call;
    for (size_t i = 0; i < unit->n_ids; i++) {
        ut_ort_call_set(call, IDS, i, unit->ids[i]);
    }
    ut_ort_call_set_count(call, IDS, unit->n_ids);
    for (size_t i = 0; i < 2 * (size_t)voice->common.style_dim; i++) {
        ut_ort_call_set(call, STYLE, i, (double)session->text.style[i]);
    }
    ut_ort_call_set(call, SPEED, 0, speed_for(voice, speed));
}

/* Where the speech lies: the edges go when the durations of their ids are known and add up to what
 * was spoken. */
static void find_edges(const struct ut_ort_call *call, size_t n_ids, size_t *begin, size_t *end) {
    const struct ut_ort_numbers *durations = &call->outputs[DURATIONS];
    size_t n = call->outputs[SAMPLES].n;
    double sum = 0;
    *begin = 0;
    *end = n;
    if (call->n_outputs < 2 || durations->n != n_ids || n_ids < 3) {
        return;
    }
    for (size_t i = 0; i < n_ids; i++) {
        sum += durations->values[i] >= 0 ? (double)durations->values[i] : NAN;
    }
    if (sum * UT_KOKORO_SAMPLES_PER_FRAME == (double)n) {
        int64_t first, last;
        ut_kokoro_edges((int)durations->values[0], (int)durations->values[n_ids - 1], &first,
                        &last);
        *begin = (size_t)first;
        *end = n - (size_t)last;
    }
}

/* ONNX Runtime gives no times of stages: all of it counts as decoding. */
static utter_status kokoro_speak(struct ut_backend_session *base, const struct ut_unit *unit,
                                 const struct ut_speak_params *params, struct ut_speak_stats *stats,
                                 utter_error *err) {
    struct ort_kokoro_session *session = session_of(base);
    const struct ort_kokoro *voice = (const struct ort_kokoro *)session->text.voice;
    struct ut_ort_call *call = &session->call;
    size_t begin = 0, end;
    if (unit->n_ids < 1 || unit->n_ids > UT_KOKORO_MAX_IDS) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "%zu phoneme ids: a sentence has 1 to %d",
                       unit->n_ids, UT_KOKORO_MAX_IDS);
    }
    utter_status status = ut_kokoro_text_style(&session->text, unit, params, err);
    if (status != UTTER_OK) {
        return status;
    }
    set_inputs(voice, session, unit, params->speed);
    double start = ut_clock_s();
    status = ut_ort_run(voice->model.session, call->inputs, call->n_inputs, call->outputs,
                        call->n_outputs, params->cancel, err);
    stats->decode_s += ut_clock_s() - start;
    if (status != UTTER_OK) {
        return status;
    }
    end = call->outputs[SAMPLES].n;
    if (params->text) { /* ids from the caller: what the model makes of them, whole */
        find_edges(call, unit->n_ids, &begin, &end);
    }
    return ut_ort_deliver(&call->outputs[SAMPLES], begin, end, params, err);
}

/* Pauses as in native_kokoro.c; where no durations tell the edges, those stay in and pauses are
 * longer. */
const struct ut_backend ut_ort_kokoro = {
    .name = "onnx",
    .supports_streaming = false,
    .pause_s = {[UT_UNIT_SENTENCE] = 0.25f, [UT_UNIT_PARAGRAPH] = 0.55f},
    .open = ut_ort_open,
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
};
