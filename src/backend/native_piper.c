/* Piper and house voices through utter's own kernels. Text becomes phonemes by
 * espeak-ng (or is spelled, for voices trained on text), phonemes become ids of the voice, one unit
 * per sentence. Front end: docs/models/piper.md. Other phoneme types (pinyin, ...) are refused at
 * open. */
#include <string.h>

#include "backend/native.h"
#include "backend/split.h"
#include "base/checked.h"
#include "models/model_file.h"
#include "models/piper/piper.h"
#include "text/phonemes.h"
#include "text/segment.h"

/* A sentence longer than this many symbols (twice as many ids: about a minute of speech) is cut. */
enum { MAX_SYMBOLS = 700, SPELLED_BYTES = 600 };

struct piper_voice {
    struct ut_backend_voice base;
    struct ut_backend_context context;
    struct ut_piper *model;
    const struct ut_piper_config *config;
    struct ut_piper_info info;
    struct ut_native_names names;
    size_t max_symbols;
};

struct piper_session {
    const struct piper_voice *voice;
    struct ut_piper_session *piper;
    struct ut_piper_ids ids; /* of all units of the last piece */
};

static const struct piper_voice *voice_of(const struct ut_backend_voice *voice) {
    return (const struct piper_voice *)voice;
}

static struct piper_session *session_of(struct ut_backend_session *session) {
    return (struct piper_session *)session;
}

/* ---- Voice -------------------------------------------------------------------------------- */

/* A unit's ids must fit one run even if every symbol is the one with the most ids. */
static size_t symbols_of_a_run(const struct ut_piper_config *config) {
    size_t most = 1;
    for (size_t i = 0; i < config->n_map; i++) {
        most = UT_MAX(most, (size_t)config->symbols[i].n_ids);
    }
    size_t fit = UT_PIPER_MAX_IDS / (2 * most); /* a symbol's and those of the pad behind it */
    return UT_MIN(UT_MAX(fit, 4) - 3, (size_t)MAX_SYMBOLS); /* less BOS, its pad and EOS */
}

static void piper_close(struct ut_backend_voice *base) {
    struct piper_voice *voice = (struct piper_voice *)base;
    if (voice) {
        struct ut_mem *mem = voice->context.mem;
        ut_piper_close(voice->model);
        ut_native_names_free(&voice->names, mem);
        ut_mem_free(mem, voice);
    }
}

static utter_status piper_open(const struct ut_backend_context *context, const char *path,
                               struct ut_backend_voice **out, utter_error *err) {
    *out = NULL;
    struct piper_voice *voice = ut_mem_calloc(context->mem, UT_MEM_OTHER, 1, sizeof *voice);
    if (!voice) {
        return ut_fail_memory(err, sizeof *voice);
    }
    voice->base.backend = &ut_native_piper;
    voice->context = *context;
    utter_status status = ut_native_names_init(&voice->names, context->mem, path, err);
    if (status == UTTER_OK) {
        status = ut_piper_open(context->mem, &context->compute, voice->names.file,
                               &voice->context.log, &voice->model, err);
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
        piper_close(&voice->base);
        return status;
    }
    *out = &voice->base;
    return UTTER_OK;
}

static void piper_info(const struct ut_backend_voice *base, utter_voice_info *out) {
    const struct piper_voice *voice = voice_of(base);
    out->name = voice->names.name;
    out->path = voice->names.path;
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

static const char *piper_speaker_name(const struct ut_backend_voice *base, int32_t index) {
    const struct piper_voice *voice = voice_of(base);
    if (index < 0 || index >= voice->info.n_speakers || index >= voice->config->n_speakers) {
        return NULL;
    }
    return voice->config->speaker_names ? voice->config->speaker_names[index] : NULL;
}

static int32_t piper_default_speaker(const struct ut_backend_voice *base) {
    return voice_of(base)->config->default_speaker;
}

static size_t piper_max_ids(const struct ut_backend_voice *base) {
    return UT_PIPER_MAX_IDS;
}

static const char *piper_language(const struct ut_backend_voice *base,
                                  const struct ut_speak_params *params) {
    return params->language ? params->language : voice_of(base)->config->language;
}

static const char *piper_espeak_voice(const struct ut_backend_voice *base,
                                      const struct ut_speak_params *params) {
    return params->language ? params->language : voice_of(base)->config->espeak_voice;
}

/* ---- Description -------------------------------------------------------------------------- */

static void describe_model(struct ut_json_writer *json, const struct piper_voice *voice) {
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

static void describe_speakers(struct ut_json_writer *json, const struct piper_voice *voice) {
    ut_json_put_array(json, "speakers");
    for (int32_t i = 0; i < voice->info.n_speakers; i++) {
        ut_json_put_string(json, NULL, piper_speaker_name(&voice->base, i));
    }
    ut_json_put_end_array(json);
}

static void describe_voice(struct ut_json_writer *json, const struct ut_backend_voice *base) {
    const struct piper_voice *voice = voice_of(base);
    const struct ut_piper_config *config = voice->config;
    ut_json_put_string(json, "name", voice->names.name);
    ut_json_put_string(json, "path", voice->names.path);
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

static utter_status piper_describe(const struct ut_backend_voice *base, bool tensors, char **out,
                                   utter_error *err) {
    const struct piper_voice *voice = voice_of(base);
    return ut_native_describe(voice->context.mem, base, voice->names.file, tensors, describe_voice,
                              out, err);
}

/* ---- Speaking ----------------------------------------------------------------------------- */

static void piper_session_destroy(struct ut_backend_session *base) {
    struct piper_session *session = session_of(base);
    if (session) {
        struct ut_mem *mem = session->voice->context.mem;
        ut_piper_session_destroy(session->piper);
        ut_mem_free(mem, session->ids.ids);
        ut_mem_free(mem, session);
    }
}

static utter_status piper_session_create(const struct ut_backend_voice *base,
                                         struct ut_backend_session **out, utter_error *err) {
    const struct piper_voice *voice = voice_of(base);
    struct ut_mem *mem = voice->context.mem;
    *out = NULL;
    struct piper_session *session = ut_mem_calloc(mem, UT_MEM_SESSION, 1, sizeof *session);
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
static utter_status append_part(struct piper_session *session, const char *phonemes, size_t n_bytes,
                                struct ut_unit unit, struct ut_units *out, utter_error *err) {
    const struct piper_voice *voice = session->voice;
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

static utter_status append_sentence(struct piper_session *session, const char *text,
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
static utter_status append_sentences(struct piper_session *session, const char *text,
                                     struct ut_sentences *sentences, struct ut_units *out,
                                     utter_status status, utter_error *err) {
    for (size_t i = 0; i < sentences->n && status == UTTER_OK; i++) {
        status = append_sentence(session, text, &sentences->items[i], out, err);
    }
    ut_sentences_free(sentences);
    return status;
}

static utter_status units_of_phonemes(struct piper_session *session, const char *text,
                                      size_t n_bytes, const struct ut_speak_params *params,
                                      struct ut_units *out, utter_error *err) {
    const struct ut_backend_context *context = &session->voice->context;
    const char *espeak_voice = piper_espeak_voice(&session->voice->base, params);
    struct ut_sentences sentences = {.mem = context->mem};
    utter_status status = ut_phonemize_espeak(context->mem, espeak_voice, text, n_bytes, &sentences,
                                              &context->log, err);
    return append_sentences(session, text, &sentences, out, status, err);
}

/* A text without phonemes is one sentence to the front end; it is cut here so that units stay
 * short. */
static utter_status units_of_letters(struct piper_session *session, const char *text,
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

static utter_status piper_units(struct ut_backend_session *base, const char *text, size_t n_bytes,
                                const struct ut_speak_params *params, struct ut_units *out,
                                utter_error *err) {
    struct piper_session *session = session_of(base);
    ut_units_clear(out);
    session->ids.n = session->ids.n_skipped = 0;
    utter_status status = session->voice->config->phoneme_type == UT_PIPER_TEXT
                              ? units_of_letters(session, text, n_bytes, out, err)
                              : units_of_phonemes(session, text, n_bytes, params, out, err);
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
    };
    utter_status status = ut_piper_run(session_of(base)->piper, &request, &result, err);
    stats->encode_s += result.encode_s;
    stats->flow_s += result.flow_s;
    stats->decode_s += result.decode_s;
    stats->n_skipped_symbols += result.n_skipped_ids;
    return status;
}

static utter_status piper_trace(const struct ut_backend_context *context, const char *path,
                                const char *golden, const char *case_name, const char *out_path,
                                utter_trace_fn stage, void *user, utter_error *err) {
    struct ut_piper *model = NULL;
    char file[PATH_MAX];
    utter_status status = ut_model_find(path, file, err);
    if (status == UTTER_OK) {
        status = ut_piper_open(context->mem, &context->compute, file, &context->log, &model, err);
    }
    if (status == UTTER_OK) {
        status = ut_piper_trace(model, golden, case_name, out_path, stage, user, err);
        ut_piper_close(model);
    }
    return status;
}

const struct ut_backend ut_native_piper = {
    .name = "native",
    .supports_streaming = true,
    .pause_s = {[UT_UNIT_SENTENCE] = 0.15f, [UT_UNIT_PARAGRAPH] = 0.35f},
    .open = piper_open,
    .close = piper_close,
    .max_ids = piper_max_ids,
    .info = piper_info,
    .speaker_name = piper_speaker_name,
    .default_speaker = piper_default_speaker,
    .language = piper_language,
    .espeak_voice = piper_espeak_voice,
    .describe = piper_describe,
    .session_create = piper_session_create,
    .session_destroy = piper_session_destroy,
    .units = piper_units,
    .speak = piper_speak,
    .trace = piper_trace,
};
