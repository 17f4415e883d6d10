/* See kokoro_voice.h. Text becomes chunks of phonemes as the misaki package makes them, with
 * espeak-ng or a lexicon underneath, a chunk becomes ids between two zeros and, with a style row of
 * the voice that fits its length, one run of the model. Front end and model: docs/models/kokoro.md.
 */
#include "backend/kokoro_voice.h"

#include <stdio.h>
#include <string.h>

#include "backend/split.h"
#include "base/checked.h"
#include "base/utf8.h"
#include "models/kokoro/kokoro.h"
#include "text/misaki.h"

static const struct ut_kokoro_voice *voice_of(const struct ut_backend_voice *voice) {
    return (const struct ut_kokoro_voice *)voice;
}

/* ---- Voice -------------------------------------------------------------------------------- */

/* The voice that the model's authors call their best, else the first. */
static int32_t find_default(const struct ut_kokoro_voices *voices) {
    for (size_t i = 0; i < ut_kokoro_voices_count(voices); i++) {
        if (strcmp(ut_kokoro_voices_name(voices, i), "af_heart") == 0) {
            return (int32_t)i;
        }
    }
    return 0;
}

size_t ut_kokoro_voice_max_ids(const struct ut_backend_voice *base) {
    return (size_t)voice_of(base)->max_ids;
}

static int32_t n_speakers(const struct ut_kokoro_voice *voice) {
    return (int32_t)ut_kokoro_voices_count(voice->voices);
}

const char *ut_kokoro_voice_speaker_name(const struct ut_backend_voice *base, int32_t index) {
    const struct ut_kokoro_voice *voice = voice_of(base);
    bool there = index >= 0 && index < n_speakers(voice);
    return there ? ut_kokoro_voices_name(voice->voices, (size_t)index) : NULL;
}

int32_t ut_kokoro_voice_default_speaker(const struct ut_backend_voice *base) {
    return voice_of(base)->default_speaker;
}

/* A blend is parsed again when it speaks: it is a few names, and nothing of it is kept between
 * units. */
utter_status ut_kokoro_voice_check(const struct ut_backend_voice *base, const char *expression,
                                   utter_error *err) {
    struct ut_kokoro_blend blend;
    return ut_kokoro_blend_parse(voice_of(base)->voices, expression, &blend, err);
}

/* ---- Language ----------------------------------------------------------------------------- */

/* Tags of BCP 47, as callers see languages; the codes are Kokoro's own. */
static const struct {
    char code;
    const char *tag;
} languages[] = {
    {'a', "en-us"}, {'b', "en-gb"}, {'e', "es"},    {'f', "fr-fr"}, {'h', "hi"},
    {'i', "it"},    {'j', "ja"},    {'p', "pt-br"}, {'z', "zh"},
};

/* The published voices are called by language, then f or m: "af_heart", "jm_kumo". A name of
 * another form tells nothing; the model's first language is American English. */
static char language_of_name(const char *name) {
    bool telling = name[0] && (name[1] == 'f' || name[1] == 'm') && (!name[2] || name[2] == '_');
    char code = telling ? ut_misaki_language((char[]){name[0], '\0'}) : 0;
    return code ? code : 'a';
}

/* The language asked for, else that of the voice, of a mixture's first voice. 0: there is none
 * such. */
static char language_of(const struct ut_kokoro_voice *voice, const struct ut_speak_params *params) {
    struct ut_kokoro_blend blend;
    size_t speaker = (size_t)params->speaker;
    if (params->language) {
        return ut_misaki_language(params->language);
    }
    if (params->voice &&
        ut_kokoro_blend_parse(voice->voices, params->voice, &blend, NULL) == UTTER_OK) {
        speaker = blend.parts[0].voice;
    }
    return language_of_name(ut_kokoro_voices_name(voice->voices, speaker));
}

const char *ut_kokoro_voices_espeak(const struct ut_kokoro_voices *voices) {
    const char *speaker = ut_kokoro_voices_name(voices, (size_t)find_default(voices));
    return ut_misaki_espeak_voice(language_of_name(speaker));
}

/* "" for a code that does not exist. */
static const char *tag_of(char code) {
    for (size_t i = 0; i < UT_COUNT(languages); i++) {
        if (languages[i].code == code) {
            return languages[i].tag;
        }
    }
    return "";
}

const char *ut_kokoro_voice_language(const struct ut_backend_voice *base,
                                     const struct ut_speak_params *params) {
    return tag_of(language_of(voice_of(base), params));
}

const char *ut_kokoro_voice_espeak(const struct ut_backend_voice *base,
                                   const struct ut_speak_params *params) {
    char code = language_of(voice_of(base), params);
    return code ? ut_misaki_espeak_voice(code) : "";
}

static utter_status fail_language(const char *name, utter_error *err) {
    char list[128] = "";
    for (size_t i = 0; i < UT_COUNT(languages); i++) {
        size_t n = strlen(list);
        snprintf(list + n, sizeof list - n, "%s%c %s", i ? ", " : "", languages[i].code,
                 languages[i].tag);
    }
    return ut_fail(err, UTTER_ERROR_NOT_FOUND, "Kokoro has no language '%.40s'; it has %s", name,
                   list);
}

/* ---- Opening and information ---------------------------------------------------------------- */

utter_status ut_kokoro_voice_init(struct ut_kokoro_voice *voice, const struct ut_weights *gguf,
                                  utter_error *err) {
    voice->default_speaker = find_default(voice->voices);
    const char *speaker = ut_kokoro_voice_speaker_name(&voice->base, voice->default_speaker);
    voice->info = (utter_voice_info){
        .name = voice->names.name,
        .path = voice->names.path,
        .family = "kokoro",
        .backend = voice->base.backend->name,
        .language = tag_of(language_of_name(speaker)),
        .sample_rate_hz = UT_KOKORO_RATE_HZ,
        .n_speakers = n_speakers(voice),
        .length_scale = 1,
    };
    return ut_kokoro_lexicons_create(voice->context.mem, voice->names.file, gguf,
                                     &voice->context.log, &voice->lexicons, err);
}

void ut_kokoro_voice_free(struct ut_kokoro_voice *voice) {
    ut_kokoro_lexicons_destroy(voice->lexicons);
    ut_native_names_free(&voice->names, voice->context.mem);
}

/* The caller's `size` stays: it tells which version of the struct it has. */
void ut_kokoro_voice_info(const struct ut_backend_voice *base, utter_voice_info *out) {
    size_t size = out->size;
    *out = voice_of(base)->info;
    out->size = size;
}

void ut_kokoro_voice_describe(struct ut_json_writer *json, const struct ut_backend_voice *base) {
    const struct ut_kokoro_voice *voice = voice_of(base);
    const utter_voice_info *info = &voice->info;
    ut_native_describe_names(json, info);
    ut_json_put_string(json, "quantization", info->quantization);
    ut_json_put_uint(json, "sample_rate_hz", UT_KOKORO_RATE_HZ);
    ut_json_put_uint(json, "n_parameters", info->n_parameters);
    ut_json_put_uint(json, "file_bytes", info->file_bytes);
    ut_json_put_uint(json, "default_speaker", (uint64_t)voice->default_speaker);
    ut_native_describe_speakers(json, base);
    ut_json_put_object(json, "model");
    ut_json_put_uint(json, "n_vocab", (uint64_t)voice->n_token);
    ut_json_put_uint(json, "n_hidden", (uint64_t)voice->hidden_dim);
    ut_json_put_uint(json, "n_style", 2 * (uint64_t)voice->style_dim);
    ut_json_put_uint(json, "max_ids", (uint64_t)voice->max_ids);
    ut_json_put_end_object(json);
}

/* ---- Text to units ------------------------------------------------------------------------ */

/* Offsets, not pointers, are kept while ids are added: the array moves. */
static utter_status append_id(struct ut_kokoro_text *session, int32_t id, utter_error *err) {
    if (session->n_ids == session->ids_capacity) {
        size_t capacity = UT_MAX(2 * session->ids_capacity, 256);
        int32_t *grown = ut_mem_realloc(session->voice->context.mem, UT_MEM_SESSION, session->ids,
                                        capacity * sizeof *grown);
        if (!grown) {
            return ut_fail_memory(err, capacity * sizeof *grown);
        }
        session->ids = grown;
        session->ids_capacity = capacity;
    }
    session->ids[session->n_ids++] = id;
    return UTTER_OK;
}

/* Each symbol is told of once a piece; behind UT_KOKORO_MAX_LOGGED no more are. */
static void skip_symbol(struct ut_kokoro_text *session, uint32_t symbol) {
    char text[4];
    session->n_skipped++;
    for (size_t i = 0; i < session->n_logged; i++) {
        if (session->logged[i] == symbol) {
            return;
        }
    }
    if (session->n_logged < UT_KOKORO_MAX_LOGGED) {
        session->logged[session->n_logged++] = symbol;
        ut_log(&session->voice->context.log, UTTER_LOG_WARNING,
               "the model has no id for the phoneme '%.*s' (U+%04X): it is left out",
               (int)ut_utf8_encode((int32_t)symbol, text), text, (unsigned)symbol);
    }
}

/* A zero, the ids of the known symbols, a zero. A part without any makes no unit. The style row
 * goes by all symbols, known or not, as in the reference. unit.ids is set when all units are
 * known. */
static utter_status append_part(struct ut_kokoro_text *session, const char *phonemes, size_t n,
                                struct ut_unit unit, struct ut_units *out, utter_error *err) {
    size_t begin = session->n_ids, n_bytes;
    utter_status status = append_id(session, 0, err);
    for (size_t at = 0; at < n && status == UTTER_OK; at += n_bytes) {
        int32_t symbol = ut_utf8_decode(phonemes + at, n - at, &n_bytes);
        int32_t id =
            symbol < 0 ? -1 : ut_kokoro_symbol_id(session->voice->config, (uint32_t)symbol);
        unit.n_symbols++;
        if (id >= 0) {
            status = append_id(session, id, err);
        } else {
            skip_symbol(session, symbol < 0 ? 0xFFFD : (uint32_t)symbol);
        }
    }
    status = status ? status : append_id(session, 0, err);
    unit.n_ids = session->n_ids - begin;
    if (status != UTTER_OK || unit.n_ids == 2) {
        session->n_ids = begin;
        return status;
    }
    return ut_units_append(out, unit, err);
}

/* Bytes of the mark among `marks` (ended by NULL) that text[0..n) ends with, 0 if none. */
static size_t ends_with_any(const char *text, size_t n, const char *const *marks) {
    for (size_t i = 0; marks[i]; i++) {
        size_t n_mark = strlen(marks[i]);
        if (n >= n_mark && memcmp(text + n - n_mark, marks[i], n_mark) == 0) {
            return n_mark;
        }
    }
    return 0;
}

/* A chunk that does not end a sentence was cut at a clause: no pause belongs there but its mark's.
 */
static enum ut_unit_end end_of_chunk(const struct ut_sentence *chunk) {
    static const char *const closing[] = {" ", ")", "”", "\"", NULL};
    static const char *const ends[] = {".", "!", "?", "…", ":", ";", NULL};
    size_t n = chunk->n_bytes, n_mark;
    while ((n_mark = ends_with_any(chunk->phonemes, n, closing)) > 0) {
        n -= n_mark;
    }
    return ends_with_any(chunk->phonemes, n, ends) ? UT_UNIT_SENTENCE : UT_UNIT_CUT;
}

/* A chunk fits the published model; one with fewer positions needs parts of it. */
static utter_status append_chunk(struct ut_kokoro_text *session, const char *text,
                                 const struct ut_sentence *chunk, struct ut_units *out,
                                 utter_error *err) {
    size_t max_symbols = (size_t)UT_MAX(session->voice->max_ids - 2, 1);
    size_t n = chunk->n_bytes, end;
    enum ut_unit_end last = chunk->paragraph ? UT_UNIT_PARAGRAPH : end_of_chunk(chunk);
    utter_status status = UTTER_OK;
    for (size_t begin = 0; begin < n && status == UTTER_OK; begin = end) {
        end = ut_split_phonemes(chunk->phonemes, begin, n, max_symbols);
        struct ut_unit unit = {
            .text_begin = ut_split_text(text, chunk->text_begin, chunk->text_end, begin, n),
            .text_end = ut_split_text(text, chunk->text_begin, chunk->text_end, end, n),
            .end = end < n ? UT_UNIT_CUT : last,
        };
        status = append_part(session, chunk->phonemes + begin, end - begin, unit, out, err);
    }
    return status;
}

/* Asks for the lexicon at every piece: after the first time that is a look at a pointer. */
static utter_status phonemize(struct ut_kokoro_text *session, const char *text, size_t n_bytes,
                              const struct ut_speak_params *params, struct ut_sentences *chunks,
                              utter_error *err) {
    const struct ut_kokoro_voice *voice = session->voice;
    struct ut_misaki misaki = {.language = language_of(voice, params)};
    if (!misaki.language) {
        return fail_language(params->language, err);
    }
    utter_status status =
        ut_kokoro_lexicons_get(voice->lexicons, misaki.language, &misaki.lexicon, err);
    return status ? status
                  : ut_phonemize_misaki(voice->context.mem, &misaki, text, n_bytes, chunks,
                                        &voice->context.log, err);
}

/* Units point into session->ids in the order in which they were added. */
utter_status ut_kokoro_text_units(struct ut_backend_session *base, const char *text, size_t n_bytes,
                                  const struct ut_speak_params *params, struct ut_units *out,
                                  utter_error *err) {
    struct ut_kokoro_text *session = (struct ut_kokoro_text *)base;
    struct ut_sentences chunks = {.mem = session->voice->context.mem};
    ut_units_clear(out);
    session->n_ids = session->n_logged = session->n_skipped = 0;
    utter_status status = phonemize(session, text, n_bytes, params, &chunks, err);
    for (size_t i = 0; i < chunks.n && status == UTTER_OK; i++) {
        status = append_chunk(session, text, &chunks.items[i], out, err);
    }
    ut_sentences_free(&chunks);
    if (status != UTTER_OK) {
        ut_units_clear(out);
        return status;
    }
    const int32_t *ids = session->ids;
    for (size_t i = 0; i < out->n; i++) {
        out->items[i].ids = ids;
        ids += out->items[i].n_ids;
    }
    out->n_skipped_symbols = session->n_skipped;
    return status;
}

/* ---- Sessions ----------------------------------------------------------------------------- */

utter_status ut_kokoro_text_init(struct ut_kokoro_text *text, const struct ut_kokoro_voice *voice,
                                 utter_error *err) {
    size_t n_style = 2 * (size_t)voice->style_dim;
    *text = (struct ut_kokoro_text){.voice = voice};
    text->style = ut_mem_calloc(voice->context.mem, UT_MEM_SESSION, n_style, sizeof *text->style);
    return text->style ? UTTER_OK : ut_fail_memory(err, n_style * sizeof *text->style);
}

void ut_kokoro_text_free(struct ut_kokoro_text *text) {
    struct ut_mem *mem = text->voice->context.mem;
    ut_mem_free(mem, text->style);
    ut_mem_free(mem, text->ids);
}

/* Ids that a caller gives state no symbols: then it is their number without the two zeros. */
utter_status ut_kokoro_text_style(struct ut_kokoro_text *text, const struct ut_unit *unit,
                                  const struct ut_speak_params *params, utter_error *err) {
    const struct ut_kokoro_voices *voices = text->voice->voices;
    struct ut_kokoro_blend blend = {.n = 1, .parts = {{(uint32_t)params->speaker, 1}}};
    size_t n_symbols = unit->n_symbols ? unit->n_symbols : UT_MAX(unit->n_ids, 3) - 2;
    utter_status status =
        params->voice ? ut_kokoro_blend_parse(voices, params->voice, &blend, err) : UTTER_OK;
    return status ? status : ut_kokoro_style(voices, &blend, n_symbols, text->style, err);
}
