/* The native backend: Piper and house voices through utter's own kernels. Text becomes phonemes by
 * espeak-ng (or is spelled, for voices trained on text), phonemes become ids of the voice, one unit
 * per sentence. Front end: docs/models/piper.md. Other phoneme types (pinyin, ...) are refused at
 * open. */
#include <limits.h>
#include <string.h>

#include "backend/backend.h"
#include "backend/split.h"
#include "base/checked.h"
#include "base/json_writer.h"
#include "models/piper/piper.h"
#include "text/phonemes.h"
#include "text/segment.h"

/* A sentence longer than this many symbols (twice as many ids: about a minute of speech) is cut. */
enum { MAX_SYMBOLS = 700, SPELLED_BYTES = 600 };

struct native_voice {
    struct ut_backend_voice base;
    struct ut_backend_context context;
    struct ut_piper *model;
    const struct ut_piper_config *config;
    struct ut_piper_info info;
    char *path;
    const char *name; /* the file without folder and extension; follows the path's NUL */
    size_t max_symbols;
};

struct native_session {
    const struct native_voice *voice;
    struct ut_piper_session *piper;
    struct ut_piper_ids ids; /* of all units of the last piece */
};

static const struct native_voice *voice_of(const struct ut_backend_voice *voice) {
    return (const struct native_voice *)voice;
}

static struct native_session *session_of(struct ut_backend_session *session) {
    return (struct native_session *)session;
}

/* ---- Voice -------------------------------------------------------------------------------- */

/* "voices/en_US-amy-medium.onnx" -> "en_US-amy-medium"; "voices/house/voice.safetensors" and
 * "voices/house/" -> "house". */
static void name_of_path(const char *path, const char **name, size_t *n) {
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') {
        end--;
    }
    static const char generic[] = "/voice.safetensors";
    size_t n_generic = sizeof generic - 1;
    if (end > n_generic && memcmp(path + end - n_generic, generic, n_generic) == 0) {
        end -= n_generic;
    }
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/') {
        begin--;
    }
    static const char *const extensions[] = {".onnx", ".safetensors"};
    for (size_t i = 0; i < UT_COUNT(extensions); i++) {
        size_t n_ext = strlen(extensions[i]);
        if (end - begin > n_ext && memcmp(path + end - n_ext, extensions[i], n_ext) == 0) {
            end -= n_ext;
        }
    }
    *name = path + begin;
    *n = end - begin;
}

static utter_status set_names(struct native_voice *voice, const char *path, utter_error *err) {
    const char *name;
    size_t n_name, n_path = strlen(path);
    name_of_path(path, &name, &n_name);
    char *block = ut_mem_alloc(voice->context.mem, UT_MEM_OTHER, n_path + n_name + 2);
    if (!block) {
        return ut_fail_memory(err, n_path + n_name + 2);
    }
    memcpy(block, path, n_path + 1);
    memcpy(block + n_path + 1, name, n_name);
    block[n_path + 1 + n_name] = '\0';
    voice->path = block;
    voice->name = block + n_path + 1;
    return UTTER_OK;
}

/* A unit's ids must fit one run even if every symbol is the one with the most ids. */
static size_t symbols_of_a_run(const struct ut_piper_config *config) {
    size_t most = 1;
    for (size_t i = 0; i < config->n_map; i++) {
        most = UT_MAX(most, (size_t)config->symbols[i].n_ids);
    }
    size_t fit = UT_PIPER_MAX_IDS / (2 * most); /* a symbol's and those of the pad behind it */
    return UT_MIN(UT_MAX(fit, 4) - 3, (size_t)MAX_SYMBOLS); /* less BOS, its pad and EOS */
}

static void native_close(struct ut_backend_voice *base) {
    struct native_voice *voice = (struct native_voice *)base;
    if (voice) {
        struct ut_mem *mem = voice->context.mem;
        ut_piper_close(voice->model);
        ut_mem_free(mem, voice->path);
        ut_mem_free(mem, voice);
    }
}

static utter_status native_open(const struct ut_backend_context *context, const char *path,
                                struct ut_backend_voice **out, utter_error *err) {
    *out = NULL;
    struct native_voice *voice = ut_mem_calloc(context->mem, UT_MEM_OTHER, 1, sizeof *voice);
    if (!voice) {
        return ut_fail_memory(err, sizeof *voice);
    }
    voice->base.backend = &ut_backend_native;
    voice->context = *context;
    utter_status status = set_names(voice, path, err);
    if (status == UTTER_OK) {
        status = ut_piper_open(context->mem, &context->compute, path, &voice->context.log,
                               &voice->model, err);
    }
    if (status == UTTER_OK) {
        voice->config = ut_piper_get_config(voice->model);
        ut_piper_get_info(voice->model, &voice->info);
        voice->max_symbols = symbols_of_a_run(voice->config);
        if (voice->config->phoneme_type == UT_PIPER_PHONEME_TYPE_OTHER) {
            status = ut_fail(err, UTTER_ERROR_UNSUPPORTED,
                             "%s: phoneme type '%s' is not supported: "
                             "espeak and text are",
                             path, voice->config->phoneme_type_name);
        }
    }
    if (status != UTTER_OK) {
        native_close(&voice->base);
        return status;
    }
    *out = &voice->base;
    return UTTER_OK;
}

static void native_info(const struct ut_backend_voice *base, utter_voice_info *out) {
    const struct native_voice *voice = voice_of(base);
    out->name = voice->name;
    out->path = voice->path;
    out->family = "piper";
    out->format = ut_format_label(voice->info.format);
    out->backend = base->backend->name;
    out->language = voice->config->language;
    out->quantization = ut_dtype_name(voice->info.weight_type);
    out->sample_rate_hz = voice->info.sample_rate_hz;
    out->n_speakers = voice->info.n_speakers;
    out->n_parameters = voice->info.n_parameters;
    out->file_bytes = voice->info.file_bytes;
    out->noise_scale = voice->config->noise_scale;
    out->length_scale = voice->config->length_scale;
    out->noise_w = voice->info.stochastic_durations ? voice->config->noise_w : 0;
}

static const char *native_speaker_name(const struct ut_backend_voice *base, int32_t index) {
    const struct native_voice *voice = voice_of(base);
    if (index < 0 || index >= voice->info.n_speakers || index >= voice->config->n_speakers) {
        return NULL;
    }
    return voice->config->speaker_names ? voice->config->speaker_names[index] : NULL;
}

static int32_t native_default_speaker(const struct ut_backend_voice *base) {
    return voice_of(base)->config->default_speaker;
}

static const char *native_espeak_voice(const struct ut_backend_voice *base) {
    return voice_of(base)->config->espeak_voice;
}

/* ---- Description -------------------------------------------------------------------------- */

static void describe_model(struct ut_json_writer *json, const struct native_voice *voice) {
    const struct ut_piper_info *info = &voice->info;
    ut_json_put_object(json, "model");
    ut_json_put_uint(json, "n_vocab", (uint64_t)info->n_vocab);
    ut_json_put_uint(json, "n_hidden", (uint64_t)info->n_hidden);
    ut_json_put_uint(json, "n_inter", (uint64_t)info->n_inter);
    ut_json_put_uint(json, "n_layers", (uint64_t)info->n_layers);
    ut_json_put_uint(json, "n_heads", (uint64_t)info->n_heads);
    ut_json_put_uint(json, "n_upsample_stages", (uint64_t)info->n_stages);
    ut_json_put_uint(json, "n_resblocks", (uint64_t)info->n_resblocks);
    ut_json_put_uint(json, "resblock_type", info->resblock1 ? 1 : 2);
    ut_json_put_uint(json, "hop_length", (uint64_t)info->hop_length);
    ut_json_put_bool(json, "stochastic_durations", info->stochastic_durations);
    ut_json_put_end_object(json);
}

static void describe_speakers(struct ut_json_writer *json, const struct native_voice *voice) {
    ut_json_put_array(json, "speakers");
    for (int32_t i = 0; i < voice->info.n_speakers; i++) {
        ut_json_put_string(json, NULL, native_speaker_name(&voice->base, i));
    }
    ut_json_put_end_array(json);
}

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

static void describe_file(struct ut_json_writer *json, const struct ut_weights *weights) {
    ut_json_put_object(json, "metadata");
    for (size_t i = 0; i < ut_weights_n_metadata(weights); i++) {
        const char *key, *value;
        ut_weights_metadata(weights, i, &key, &value);
        ut_json_put_string(json, key, value);
    }
    ut_json_put_end_object(json);
}

static void describe_voice(struct ut_json_writer *json, const struct native_voice *voice) {
    const struct ut_piper_config *config = voice->config;
    ut_json_put_string(json, "name", voice->name);
    ut_json_put_string(json, "path", voice->path);
    ut_json_put_string(json, "family", "piper");
    ut_json_put_string(json, "format", ut_format_label(voice->info.format));
    ut_json_put_string(json, "backend", voice->base.backend->name);
    ut_json_put_string(json, "language", config->language);
    ut_json_put_string(json, "espeak_voice", config->espeak_voice);
    ut_json_put_string(json, "phoneme_type", config->phoneme_type_name);
    ut_json_put_string(json, "quality", config->quality);
    ut_json_put_string(json, "dataset", config->dataset);
    ut_json_put_string(json, "quantization", ut_dtype_name(voice->info.weight_type));
    ut_json_put_uint(json, "sample_rate_hz", (uint64_t)voice->info.sample_rate_hz);
    ut_json_put_uint(json, "n_parameters", voice->info.n_parameters);
    ut_json_put_uint(json, "file_bytes", voice->info.file_bytes);
    ut_json_put_double(json, "noise_scale", config->noise_scale);
    ut_json_put_double(json, "length_scale", config->length_scale);
    ut_json_put_double(json, "noise_w", config->noise_w);
    ut_json_put_uint(json, "default_speaker", (uint64_t)config->default_speaker);
    describe_speakers(json, voice);
    describe_model(json, voice);
}

/* Metadata and tensors are read from the file again: a voice keeps only what speaking needs. */
static utter_status native_describe(const struct ut_backend_voice *base, bool tensors, char **out,
                                    utter_error *err) {
    const struct native_voice *voice = voice_of(base);
    struct ut_weights *weights = NULL;
    struct ut_json_writer json;
    char model_path[PATH_MAX];
    utter_status status = ut_piper_find_model(voice->path, model_path, err);
    status = status ? status : ut_weights_open(voice->context.mem, model_path, &weights, err);
    if (status != UTTER_OK) {
        return status;
    }
    ut_json_put_init(&json, voice->context.mem);
    ut_json_put_object(&json, NULL);
    describe_voice(&json, voice);
    describe_file(&json, weights);
    if (tensors) {
        describe_tensors(&json, weights);
    }
    ut_json_put_end_object(&json);
    status = ut_json_put_finish(&json, out, err);
    utter_status read_status = ut_weights_check(weights, status == UTTER_OK ? err : NULL);
    ut_weights_close(weights);
    if (status == UTTER_OK && read_status != UTTER_OK) {
        ut_mem_free(voice->context.mem, *out);
        *out = NULL;
        status = read_status;
    }
    return status;
}

/* ---- Speaking ----------------------------------------------------------------------------- */

static void native_session_destroy(struct ut_backend_session *base) {
    struct native_session *session = session_of(base);
    if (session) {
        struct ut_mem *mem = session->voice->context.mem;
        ut_piper_session_destroy(session->piper);
        ut_mem_free(mem, session->ids.ids);
        ut_mem_free(mem, session);
    }
}

static utter_status native_session_create(const struct ut_backend_voice *base,
                                          struct ut_backend_session **out, utter_error *err) {
    const struct native_voice *voice = voice_of(base);
    struct ut_mem *mem = voice->context.mem;
    *out = NULL;
    struct native_session *session = ut_mem_calloc(mem, UT_MEM_SESSION, 1, sizeof *session);
    if (!session) {
        return ut_fail_memory(err, sizeof *session);
    }
    session->voice = voice;
    utter_status status = ut_piper_session_create(voice->model, &session->piper, err);
    if (status != UTTER_OK) {
        ut_mem_free(mem, session);
        return status;
    }
    *out = (struct ut_backend_session *)session;
    return UTTER_OK;
}

/* Ids of one part of a sentence. A part that has none of the voice's symbols would be spoken as a
 * click: it makes no unit. */
static utter_status append_part(struct native_session *session, const char *phonemes,
                                size_t n_bytes, struct ut_unit unit, struct ut_units *out,
                                utter_error *err) {
    const struct native_voice *voice = session->voice;
    struct ut_piper_ids *ids = &session->ids;
    size_t begin = ids->n;
    utter_status status = ut_piper_ids_append(voice->config, "", 0, ids, &voice->context.log, err);
    size_t n_empty = ids->n - begin;
    ids->n = begin;
    if (status == UTTER_OK) {
        status =
            ut_piper_ids_append(voice->config, phonemes, n_bytes, ids, &voice->context.log, err);
    }
    if (status != UTTER_OK || ids->n - begin <= n_empty) {
        ids->n = begin;
        return status;
    }
    unit.n_ids = ids->n - begin;
    return ut_units_append(out, unit, err);
}

static utter_status append_sentence(struct native_session *session, const char *text,
                                    const struct ut_sentence *sentence, struct ut_units *out,
                                    utter_error *err) {
    utter_status status = UTTER_OK;
    size_t n = sentence->n_bytes, end;
    for (size_t begin = 0; begin < n && status == UTTER_OK; begin = end) {
        end = ut_split_phonemes(sentence->phonemes, begin, n, session->voice->max_symbols);
        struct ut_unit unit = {
            .text_begin = ut_split_text(text, sentence->text_begin, sentence->text_end, begin, n),
            .text_end = ut_split_text(text, sentence->text_begin, sentence->text_end, end, n),
            .end = end < n               ? UT_UNIT_CUT
                   : sentence->paragraph ? UT_UNIT_PARAGRAPH
                                         : UT_UNIT_SENTENCE,
        };
        status = append_part(session, sentence->phonemes + begin, end - begin, unit, out, err);
    }
    return status;
}

/* Takes the sentences' list too, filled or not. */
static utter_status append_sentences(struct native_session *session, const char *text,
                                     struct ut_sentences *sentences, struct ut_units *out,
                                     utter_status status, utter_error *err) {
    for (size_t i = 0; i < sentences->n && status == UTTER_OK; i++) {
        status = append_sentence(session, text, &sentences->items[i], out, err);
    }
    ut_sentences_free(sentences);
    return status;
}

static utter_status units_of_phonemes(struct native_session *session, const char *text,
                                      size_t n_bytes, const char *language, struct ut_units *out,
                                      utter_error *err) {
    const struct ut_backend_context *context = &session->voice->context;
    const char *espeak_voice = language ? language : session->voice->config->espeak_voice;
    struct ut_sentences sentences = {.mem = context->mem};
    utter_status status = ut_phonemize_espeak(context->mem, espeak_voice, text, n_bytes, &sentences,
                                              &context->log, err);
    return append_sentences(session, text, &sentences, out, status, err);
}

/* A text without phonemes is one sentence to the front end; it is cut here so that units stay
 * short. */
static utter_status units_of_letters(struct native_session *session, const char *text,
                                     size_t n_bytes, struct ut_units *out, utter_error *err) {
    struct ut_mem *mem = session->voice->context.mem;
    struct ut_segmenter *segmenter;
    struct ut_piece piece;
    utter_status status =
        ut_segmenter_create(mem, text, n_bytes, NULL, SPELLED_BYTES, &segmenter, err);
    if (status != UTTER_OK) {
        return status;
    }
    while (status == UTTER_OK && ut_segmenter_next(segmenter, &piece)) {
        if (!ut_text_is_speakable(text + piece.begin, piece.end - piece.begin)) {
            continue;
        }
        struct ut_sentences sentences = {.mem = mem};
        status =
            ut_phonemize_text(mem, text + piece.begin, piece.end - piece.begin, &sentences, err);
        for (size_t i = 0; i < sentences.n; i++) {
            sentences.items[i].text_begin += piece.begin;
            sentences.items[i].text_end += piece.begin;
            sentences.items[i].paragraph = piece.after == UT_BREAK_PARAGRAPH;
        }
        status = append_sentences(session, text, &sentences, out, status, err);
    }
    ut_segmenter_destroy(segmenter);
    return status;
}

static utter_status native_units(struct ut_backend_session *base, const char *text, size_t n_bytes,
                                 const char *language, struct ut_units *out, utter_error *err) {
    struct native_session *session = session_of(base);
    ut_units_clear(out);
    session->ids.n = session->ids.n_skipped = 0;
    utter_status status = session->voice->config->phoneme_type == UT_PIPER_TEXT
                              ? units_of_letters(session, text, n_bytes, out, err)
                              : units_of_phonemes(session, text, n_bytes, language, out, err);
    if (status != UTTER_OK) {
        ut_units_clear(out);
        return status;
    }
    const int32_t *ids = session->ids.ids;
    for (size_t i = 0; i < out->n; i++) {
        out->items[i].ids = ids;
        ids += out->items[i].n_ids;
    }
    out->n_skipped_symbols = session->ids.n_skipped;
    return status;
}

static utter_status native_speak(struct ut_backend_session *base, const struct ut_unit *unit,
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
    };
    utter_status status = ut_piper_run(session_of(base)->piper, &request, &result, err);
    stats->encode_s += result.encode_s;
    stats->flow_s += result.flow_s;
    stats->decode_s += result.decode_s;
    stats->n_skipped_symbols += result.n_skipped_ids;
    return status;
}

static utter_status native_trace(const struct ut_backend_context *context, const char *path,
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

const struct ut_backend ut_backend_native = {
    .name = "native",
    .max_ids = UT_PIPER_MAX_IDS,
    .supports_streaming = true,
    .pause_s = {[UT_UNIT_SENTENCE] = 0.15f, [UT_UNIT_PARAGRAPH] = 0.35f},
    .open = native_open,
    .close = native_close,
    .info = native_info,
    .speaker_name = native_speaker_name,
    .default_speaker = native_default_speaker,
    .espeak_voice = native_espeak_voice,
    .describe = native_describe,
    .session_create = native_session_create,
    .session_destroy = native_session_destroy,
    .units = native_units,
    .speak = native_speak,
    .trace = native_trace,
};
