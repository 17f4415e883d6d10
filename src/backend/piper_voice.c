/* See piper_voice.h. Text becomes phonemes by espeak-ng (or is spelled, for voices trained on
 * text), phonemes become ids of the voice, one unit per sentence. Front end: docs/models/piper.md.
 * Other phoneme types (pinyin, ...) are refused. */
#include "backend/piper_voice.h"

#include "backend/split.h"
#include "base/checked.h"
#include "text/phonemes.h"
#include "text/segment.h"

/* A sentence longer than this many symbols (twice as many ids: about a minute of speech) is cut. */
enum { MAX_SYMBOLS = 700, SPELLED_BYTES = 600 };

static const struct ut_piper_voice *voice_of(const struct ut_backend_voice *voice) {
    return (const struct ut_piper_voice *)voice;
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

utter_status ut_piper_voice_init(struct ut_piper_voice *voice, utter_error *err) {
    const struct ut_piper_config *config = voice->config;
    voice->max_symbols = symbols_of_a_run(config);
    voice->info = (utter_voice_info){
        .name = voice->names.name,
        .path = voice->names.path,
        .family = "piper",
        .backend = voice->base.backend->name,
        .language = config->language,
        .sample_rate_hz = config->sample_rate_hz,
        .n_speakers = config->n_speakers,
        .noise_scale = config->noise_scale,
        .length_scale = config->length_scale,
        .noise_w = config->noise_w,
    };
    return config->phoneme_type == UT_PIPER_PHONEME_TYPE_OTHER
               ? ut_fail(err, UTTER_ERROR_UNSUPPORTED,
                         "%s: phoneme type '%s' is not supported: espeak and text are",
                         voice->names.path, config->phoneme_type_name)
               : UTTER_OK;
}

size_t ut_piper_voice_max_ids(const struct ut_backend_voice *base) {
    return UT_PIPER_MAX_IDS;
}

void ut_piper_voice_info(const struct ut_backend_voice *base, utter_voice_info *out) {
    size_t size = out->size;
    *out = voice_of(base)->info;
    out->size = size;
}

/* Both counts bound the index: network and configuration may disagree. */
const char *ut_piper_voice_speaker_name(const struct ut_backend_voice *base, int32_t index) {
    const struct ut_piper_voice *voice = voice_of(base);
    if (index < 0 || index >= voice->info.n_speakers || index >= voice->config->n_speakers) {
        return NULL;
    }
    return voice->config->speaker_names ? voice->config->speaker_names[index] : NULL;
}

int32_t ut_piper_voice_default_speaker(const struct ut_backend_voice *base) {
    return voice_of(base)->config->default_speaker;
}

const char *ut_piper_voice_language(const struct ut_backend_voice *base,
                                    const struct ut_speak_params *params) {
    return params->language ? params->language : voice_of(base)->config->language;
}

const char *ut_piper_voice_espeak(const struct ut_backend_voice *base,
                                  const struct ut_speak_params *params) {
    return params->language ? params->language : voice_of(base)->config->espeak_voice;
}

void ut_piper_voice_describe(struct ut_json_writer *json, const struct ut_backend_voice *base) {
    const struct ut_piper_config *config = voice_of(base)->config;
    const utter_voice_info *info = &voice_of(base)->info;
    ut_native_describe_names(json, info);
    ut_json_put_string(json, "espeak_voice", config->espeak_voice);
    ut_json_put_string(json, "phoneme_type", config->phoneme_type_name);
    ut_json_put_string(json, "quality", config->quality);
    ut_json_put_string(json, "dataset", config->dataset);
    ut_json_put_string(json, "quantization", info->quantization);
    ut_json_put_uint(json, "sample_rate_hz", (uint64_t)info->sample_rate_hz);
    ut_json_put_uint(json, "n_parameters", info->n_parameters);
    ut_json_put_uint(json, "file_bytes", info->file_bytes);
    ut_json_put_double(json, "noise_scale", config->noise_scale);
    ut_json_put_double(json, "length_scale", config->length_scale);
    ut_json_put_double(json, "noise_w", config->noise_w);
    ut_json_put_uint(json, "default_speaker", (uint64_t)config->default_speaker);
    ut_native_describe_speakers(json, base);
}

/* ---- Text to units ------------------------------------------------------------------------ */

/* Ids of one part of a sentence. A part that has none of the voice's symbols would be spoken as a
 * click: it makes no unit. */
static utter_status append_part(struct ut_piper_text *session, const char *phonemes, size_t n_bytes,
                                struct ut_unit unit, struct ut_units *out, utter_error *err) {
    const struct ut_piper_voice *voice = session->voice;
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

/* text_begin and text_end of a part are estimates, good enough for a fallback to take over in the
 * right sentence. */
static utter_status append_sentence(struct ut_piper_text *session, const char *text,
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
static utter_status append_sentences(struct ut_piper_text *session, const char *text,
                                     struct ut_sentences *sentences, struct ut_units *out,
                                     utter_status status, utter_error *err) {
    for (size_t i = 0; i < sentences->n && status == UTTER_OK; i++) {
        status = append_sentence(session, text, &sentences->items[i], out, err);
    }
    ut_sentences_free(sentences);
    return status;
}

/* A language asked for replaces the voice's own espeak voice: the ids stay those of the voice, and
 * phonemes that it was not trained with are left out. */
static utter_status units_of_phonemes(struct ut_piper_text *session, const char *text,
                                      size_t n_bytes, const struct ut_speak_params *params,
                                      struct ut_units *out, utter_error *err) {
    const struct ut_backend_context *context = &session->voice->context;
    const char *espeak_voice = ut_piper_voice_espeak(&session->voice->base, params);
    struct ut_sentences sentences = {.mem = context->mem};
    utter_status status = ut_phonemize_espeak(context->mem, espeak_voice, text, n_bytes, &sentences,
                                              &context->log, err);
    return append_sentences(session, text, &sentences, out, status, err);
}

/* A text without phonemes is one sentence to the front end; it is cut here so that units stay
 * short. */
static utter_status units_of_letters(struct ut_piper_text *session, const char *text,
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

/* Units point into session->ids in the order in which they were added; the array no longer
 * moves. */
utter_status ut_piper_text_units(struct ut_backend_session *base, const char *text, size_t n_bytes,
                                 const struct ut_speak_params *params, struct ut_units *out,
                                 utter_error *err) {
    struct ut_piper_text *session = (struct ut_piper_text *)base;
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

void ut_piper_text_free(struct ut_piper_text *text) {
    ut_mem_free(text->voice->context.mem, text->ids.ids);
}
