/* Speaking: a text is cut into pieces, a piece into sentences (units), and each unit is spoken
 * while the caller has the samples of those before. Memory does not grow with the text. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "compute/pool.h"
#include "compute/rng.h"
#include "speech/speech.h"
#include "text/segment.h"

/* Long enough for any sentence worth keeping whole, short enough that the first sound of a long
 * text does not wait for its front end. */
enum { PIECE_BYTES = 4096 };

/* One call of utter_stream_speak. */
struct speech {
    utter_stream *stream;
    utter_speak_options options;
    struct ut_speak_params params;
    struct ut_speak_stats stats;
    utter_result result;
    utter_error *err;
    size_t n_bytes, n_bytes_done;
    uint64_t n_units;
    double pause_s; /* owed before the next unit */
    bool continues; /* the last unit was cut: the next belongs to its sentence */
    bool in_lanes;  /* the next unit is spoken there already */
    bool no_lanes;  /* they failed once */
    double start_s, start_cpu_s;
};

static const struct ut_log *log_of(const struct speech *speech) {
    return &speech->stream->voice->engine->context.log;
}

/* ---- Streams ------------------------------------------------------------------------------ */

utter_status utter_stream_create(utter_voice *voice, utter_stream **out, utter_error *err) {
    if (!out) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "out is NULL");
    }
    *out = NULL;
    if (!voice) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "voice is NULL");
    }
    struct ut_mem *mem = &voice->engine->mem;
    utter_stream *stream = ut_mem_calloc(mem, UT_MEM_SESSION, 1, sizeof *stream);
    if (!stream) {
        return ut_fail_memory(err, sizeof *stream);
    }
    stream->voice = voice;
    ut_units_init(&stream->units, mem);
    ut_join_init(&stream->join, mem);
    utter_status status =
        voice->voice->backend->session_create(voice->voice, &stream->session, err);
    if (status != UTTER_OK) {
        ut_mem_free(mem, stream);
        return status;
    }
    *out = stream;
    return UTTER_OK;
}

void utter_stream_destroy(utter_stream *stream) {
    if (stream) {
        ut_lanes_destroy(stream->lanes); /* before the session that they borrow */
        ut_standby_free(&stream->standby);
        stream->voice->voice->backend->session_destroy(stream->session);
        ut_units_free(&stream->units);
        ut_join_free(&stream->join);
        ut_mem_free(&stream->voice->engine->mem, stream);
    }
}

bool utter_stream_stage(const utter_stream *stream, int32_t index, utter_stage *out) {
    if (!stream || !out || index < 0 || index >= stream->tally.n_stages) {
        return false;
    }
    const struct ut_tally_stage *stage = &stream->tally.stages[index];
    utter_stage known = {
        .size = sizeof known,
        .name = stage->name,
        .wall_s = stage->wall_s,
        .cpu_s = stage->cpu_s,
        .n_macs_f32 = stage->n_macs[UT_TALLY_F32],
        .n_macs_bf16 = stage->n_macs[UT_TALLY_BF16],
        .n_macs_int8 = stage->n_macs[UT_TALLY_INT8],
        .weight_bytes = stage->weight_bytes,
    };
    ut_options_write(out, &known, sizeof known);
    return true;
}

void utter_stream_cancel(utter_stream *stream) {
    atomic_store(&stream->cancel, true);
}

/* ---- Several units at once ------------------------------------------------------------------ */

/* Sentences to speak side by side from here on; less than 2: none. Not the first of a text, whose
 * sound is waited for: it has all threads to itself. */
static int n_lanes_for(const struct speech *speech, size_t n_units) {
    const utter_voice *voice = speech->stream->voice;
    int wanted = speech->options.n_parallel;
    bool may = voice->voice->backend->parallel != UT_PARALLEL_NEVER && !speech->no_lanes &&
               !speech->params.tally && speech->n_units > 0;
    if (wanted == 0) {
        wanted = voice->voice->backend->parallel == UT_PARALLEL_ALWAYS ? UT_LANES_USUAL : 1;
    }
    wanted = UT_MIN(wanted, ut_pool_spare(voice->engine->context.compute.pool));
    return !may ? 0 : n_units < (size_t)wanted ? (int)n_units : wanted;
}

static void begin_lanes(struct speech *speech, const struct ut_unit *units, size_t n_units) {
    utter_stream *stream = speech->stream;
    utter_engine *engine = stream->voice->engine;
    struct ut_lanes_task task = {.units = units,
                                 .n_units = n_units,
                                 .first_number = speech->n_units,
                                 .seed = speech->options.seed,
                                 .params = &speech->params};
    utter_error unused;
    int n = n_lanes_for(speech, n_units);
    if (n < 2 || (!stream->lanes && ut_lanes_create(&engine->mem, stream->voice->voice,
                                                    stream->session, engine->context.compute.pool,
                                                    &stream->lanes, &unused) != UTTER_OK)) {
        return;
    }
    speech->in_lanes = ut_lanes_begin(stream->lanes, &task, n);
    speech->no_lanes = !speech->in_lanes;
}

static void end_lanes(struct speech *speech) {
    if (speech->in_lanes) {
        ut_lanes_end(speech->stream->lanes);
        speech->in_lanes = false;
    }
}

/* ---- One unit ----------------------------------------------------------------------------- */

static utter_status check_cancel(struct speech *speech) {
    return speech->stream->cancel ? ut_fail(speech->err, UTTER_ERROR_CANCELLED, "cancelled")
                                  : UTTER_OK;
}

/* What came of a unit: the join knows why it refused samples, the backend only that it was told to
 * stop. */
static utter_status finish_unit(struct speech *speech, utter_status status) {
    struct ut_join *join = &speech->stream->join;
    if (status == UTTER_OK) {
        (void)ut_join_end(join);
    }
    if (join->stop != UT_JOIN_GOES_ON) {
        status = ut_join_status(join, speech->err);
    }
    if (status != UTTER_OK) {
        ut_join_abort(join);
    }
    return status;
}

/* Nothing of the unit was heard yet: the next in the chain says it instead. */
static utter_status speak_by_standby(struct speech *speech, const struct ut_unit *unit,
                                     utter_status model_status) {
    utter_stream *stream = speech->stream;
    utter_error model_error = *speech->err;
    const struct ut_backend_voice *spoken_by = NULL;
    utter_voice_info info = {.name = ""};
    stream->join.stop = UT_JOIN_GOES_ON;
    ut_join_begin(&stream->join);
    utter_status status =
        ut_standby_speak(&stream->standby, stream->voice, speech->result.sample_rate_hz, unit,
                         &speech->params, &spoken_by, speech->err);
    status = finish_unit(speech, status);
    if (status == UTTER_ERROR_CANCELLED) {
        return status;
    }
    if (status != UTTER_OK) {
        (void)ut_fail_context(speech->err, status, "%s; falling back failed too",
                              model_error.message);
        return model_status;
    }
    spoken_by->backend->info(spoken_by, &info);
    ut_log(log_of(speech), UTTER_LOG_WARNING, "%s; %s (%s) spoke the sentence instead",
           model_error.message, spoken_by->backend->name, info.name);
    snprintf(speech->result.fallback_reason, sizeof speech->result.fallback_reason, "%.255s",
             model_error.message);
    speech->result.n_fallbacks++;
    atomic_fetch_add(&stream->voice->engine->n_unit_fallbacks, 1);
    speech->result.backend = spoken_by->backend->name;
    return UTTER_OK;
}

/* What another voice may do better. Wrong arguments are as wrong with any, and where a sample was
 * heard the sentence has begun. */
static bool may_fall_back(const struct speech *speech, const struct ut_unit *unit,
                          utter_status status) {
    const utter_voice *voice = speech->stream->voice;
    bool failed = status == UTTER_ERROR_MODEL || status == UTTER_ERROR_MEMORY ||
                  status == UTTER_ERROR_INTERNAL;
    return failed && !voice->no_fallback && voice->voice->backend != &ut_backend_espeak &&
           speech->params.text && unit->text_end > unit->text_begin &&
           speech->stream->join.n_unit_samples == 0;
}

static utter_status speak_alone(struct speech *speech, const struct ut_unit *unit) {
    utter_stream *stream = speech->stream;
    struct ut_pool *pool = stream->voice->engine->context.compute.pool;
    ut_join_begin(&stream->join);
    ut_pool_enter(pool);
    utter_status status = stream->voice->voice->backend->speak(
        stream->session, unit, &speech->params, &speech->stats, speech->err);
    ut_pool_leave(pool);
    return status;
}

/* Several sentences at once take more memory than one: without it, one after the other. */
static utter_status speak_from_lane(struct speech *speech, const struct ut_unit *unit) {
    utter_stream *stream = speech->stream;
    ut_join_begin(&stream->join);
    utter_status status =
        ut_lanes_speak(stream->lanes, &speech->params, &speech->stats, speech->err);
    if (status != UTTER_ERROR_MEMORY || stream->join.n_unit_samples > 0) {
        return status;
    }
    ut_log(log_of(speech), UTTER_LOG_INFO,
           "no memory for several sentences at once: one after the other");
    end_lanes(speech);
    ut_lanes_destroy(stream->lanes);
    stream->lanes = NULL;
    speech->no_lanes = true;
    return speak_alone(speech, unit);
}

static utter_status speak_unit(struct speech *speech, const struct ut_unit *unit) {
    utter_stream *stream = speech->stream;
    /* A pause is owed until there is something behind it, so that a text does not end with one. */
    if (speech->pause_s > 0 && !ut_join_silence(&stream->join, speech->pause_s, &stream->cancel)) {
        utter_status status = ut_join_status(&stream->join, speech->err);
        return status ? status : check_cancel(speech);
    }
    speech->pause_s = 0;
    /* Of its own for each unit: how many numbers those before it drew must not be heard. */
    speech->params.seed = ut_rng_derive(speech->options.seed, speech->n_units++);
    speech->result.backend = stream->voice->voice->backend->name;
    utter_status status =
        speech->in_lanes ? speak_from_lane(speech, unit) : speak_alone(speech, unit);
    status = ut_mem_explain(&stream->voice->engine->mem, finish_unit(speech, status), speech->err);
    if (may_fall_back(speech, unit, status)) {
        status = speak_by_standby(speech, unit, status);
    }
    utter_engine *engine = stream->voice->engine;
    atomic_fetch_add(&engine->n_units, status == UTTER_OK);
    atomic_fetch_add(&engine->n_unit_failures,
                     status != UTTER_OK && status != UTTER_ERROR_CANCELLED);
    return status;
}

/* ---- Text --------------------------------------------------------------------------------- */

static void report_progress(struct speech *speech, size_t n_bytes_done) {
    speech->n_bytes_done =
        n_bytes_done > speech->n_bytes_done ? n_bytes_done : speech->n_bytes_done;
    if (speech->options.progress) {
        utter_progress progress = {
            .size = sizeof progress,
            .n_bytes_done = speech->n_bytes_done,
            .n_bytes_total = speech->n_bytes,
            .n_samples = speech->stream->join.n_samples,
            .audio_s = (double)speech->stream->join.n_samples / speech->result.sample_rate_hz,
            .elapsed_s = ut_clock_s() - speech->start_s,
        };
        speech->options.progress(speech->options.progress_user, &progress);
    }
}

/* Silence that follows a unit. A stated one is added behind every sentence, the last included; the
 * one by punctuation stands between sentences only. */
static utter_status pause_after(struct speech *speech, enum ut_unit_end end) {
    utter_stream *stream = speech->stream;
    bool stated = !isnan(speech->options.sentence_silence_s);
    speech->result.n_sentences += !speech->continues;
    speech->continues = end == UT_UNIT_CUT;
    if (speech->continues) {
        return UTTER_OK;
    }
    if (!stated) {
        speech->pause_s = stream->voice->voice->backend->pause_s[end];
        return UTTER_OK;
    }
    (void)ut_join_silence(&stream->join, speech->options.sentence_silence_s, &stream->cancel);
    return ut_join_status(&stream->join, speech->err);
}

static enum ut_unit_end end_of_piece(enum ut_unit_end end, enum ut_break after) {
    switch (after) {
    case UT_BREAK_CUT:
        return UT_UNIT_CUT;
    case UT_BREAK_PARAGRAPH:
        return UT_UNIT_PARAGRAPH;
    default:
        return end == UT_UNIT_CUT ? UT_UNIT_SENTENCE : end;
    }
}

static utter_status speak_units(struct speech *speech, const struct ut_piece *piece,
                                size_t n_text) {
    const struct ut_units *units = &speech->stream->units;
    utter_status status = check_cancel(speech);
    for (size_t i = 0; i < units->n && status == UTTER_OK; i++) {
        const struct ut_unit *unit = &units->items[i];
        if (!speech->in_lanes) {
            begin_lanes(speech, unit, units->n - i);
        }
        status = speak_unit(speech, unit);
        if (status == UTTER_OK) {
            enum ut_unit_end end =
                i + 1 < units->n ? unit->end : end_of_piece(unit->end, piece->after);
            status = pause_after(speech, end);
        }
        if (status == UTTER_OK) {
            /* The unit counts bytes of the normalised text; progress counts the caller's. */
            double share = (double)unit->text_end / (double)n_text;
            report_progress(speech,
                            piece->begin + (size_t)(share * (double)(piece->end - piece->begin)));
            status = check_cancel(speech);
        }
    }
    end_lanes(speech);
    return status;
}

/* Normalised and phonemized piece by piece, for memory must not grow with the text. Units count
 * bytes of the normalised copy, which a fallback reads too: it lives until the last of them was
 * spoken. */
static utter_status speak_piece(struct speech *speech, const char *text,
                                const struct ut_piece *piece) {
    utter_stream *stream = speech->stream;
    struct ut_mem *mem = &stream->voice->engine->mem;
    const struct ut_backend *backend = stream->voice->voice->backend;
    size_t n;
    char *normalized;
    /* Both stages of the front end count as one to the caller. */
    double begin_s = ut_clock_s();
    utter_status status = ut_normalize(mem, speech->options.language, text + piece->begin,
                                       piece->end - piece->begin, &normalized, &n, speech->err);
    if (status != UTTER_OK) {
        return status;
    }
    status = backend->units(stream->session, normalized, n, &speech->params, &stream->units,
                            speech->err);
    speech->result.n_skipped_symbols += stream->units.n_skipped_symbols;
    speech->result.phonemize_s += ut_clock_s() - begin_s;
    if (status == UTTER_OK) {
        speech->params.text = normalized;
        status = speak_units(speech, piece, n);
        speech->params.text = NULL;
    }
    ut_mem_free(mem, normalized);
    return status;
}

/* "en_US" and "en-us" are both understood by ICU once the separator is a hyphen. */
static void language_tag(const struct speech *speech, char *tag, size_t size) {
    const struct ut_backend_voice *voice = speech->stream->voice->voice;
    snprintf(tag, size, "%s", voice->backend->language(voice, &speech->params));
    for (char *c = tag; *c; c++) {
        *c = *c == '_' ? '-' : *c;
    }
}

static utter_status speak_text(struct speech *speech, const char *text, size_t n_bytes) {
    struct ut_segmenter *segmenter;
    struct ut_piece piece;
    char tag[64];
    utter_status status = ut_utf8_check(text, n_bytes, speech->err);
    if (status != UTTER_OK) {
        return status;
    }
    if (!ut_text_is_speakable(text, n_bytes)) {
        ut_log(log_of(speech), UTTER_LOG_WARNING,
               "the text has no letter or digit: nothing to say");
        return check_cancel(speech);
    }
    language_tag(speech, tag, sizeof tag);
    status = ut_segmenter_create(&speech->stream->voice->engine->mem, text, n_bytes,
                                 tag[0] ? tag : NULL, PIECE_BYTES, &segmenter, speech->err);
    if (status != UTTER_OK) {
        return status;
    }
    while (status == UTTER_OK && ut_segmenter_next(segmenter, &piece)) {
        status = speak_piece(speech, text, &piece);
    }
    ut_segmenter_destroy(segmenter);
    if (status == UTTER_OK && speech->n_bytes_done < n_bytes) {
        report_progress(speech, n_bytes);
    }
    return status;
}

static utter_status speak_ids(struct speech *speech, const int32_t *ids, size_t n_ids) {
    struct ut_unit unit = {.ids = ids, .n_ids = n_ids, .end = UT_UNIT_SENTENCE};
    utter_status status = check_cancel(speech);
    status = status ? status : speak_unit(speech, &unit);
    if (status == UTTER_OK) {
        speech->result.n_sentences = 1;
        report_progress(speech, 0);
    }
    return status;
}

/* ---- Calls -------------------------------------------------------------------------------- */

/* Reads the settings and starts the join. `fade` false leaves the model's samples as they are. */
static utter_status start(struct speech *speech, utter_stream *stream,
                          const utter_speak_options *options, bool fade, utter_sink_fn sink,
                          void *user) {
    utter_voice_info info = {.size = sizeof info};
    utter_speak_options_init(&speech->options);
    utter_status status = ut_options_read(&speech->options, sizeof speech->options, options,
                                          "utter_speak_options", speech->err);
    status =
        status ? status
               : ut_options_resolve(stream->voice, &speech->options, &speech->params, speech->err);
    if (status != UTTER_OK) {
        return status;
    }
    utter_voice_get_info(stream->voice, &info);
    struct ut_join_settings settings = {
        .sink = sink,
        .user = user,
        .sample_rate_hz = info.sample_rate_hz,
        .volume = speech->options.volume,
        .normalize = speech->options.normalize,
        .fade = fade,
    };
    ut_join_start(&stream->join, &settings);
    speech->params.sink = ut_join_push;
    speech->params.user = &stream->join;
    speech->params.cancel = &stream->cancel;
    ut_tally_reset(&stream->tally);
    speech->params.tally = speech->options.stages ? &stream->tally : NULL;
    speech->result.sample_rate_hz = info.sample_rate_hz;
    speech->result.backend = stream->voice->voice->backend->name;
    return UTTER_OK;
}

static void fill_result(struct speech *speech, utter_result *out) {
    const struct ut_join *join = &speech->stream->join;
    utter_result *result = &speech->result;
    if (!out) {
        return;
    }
    result->n_samples = join->n_samples;
    result->n_skipped_symbols += speech->stats.n_skipped_symbols;
    result->audio_s = (double)join->n_samples / result->sample_rate_hz;
    result->elapsed_s = ut_clock_s() - speech->start_s;
    result->cpu_s = ut_cpu_clock_s() - speech->start_cpu_s;
    result->first_audio_s = join->first_s > 0 ? join->first_s - speech->start_s : 0;
    result->encode_s = speech->stats.encode_s;
    result->flow_s = speech->stats.flow_s;
    result->decode_s = speech->stats.decode_s;
    ut_options_write(out, result, sizeof *result);
}

/* Takes the stream for this call, or tells who has it. */
static utter_status enter(utter_stream *stream, utter_result *result, utter_error *err) {
    size_t size = sizeof size;
    utter_status status =
        result ? ut_options_read(&size, sizeof size, result, "utter_result", err) : UTTER_OK;
    if (status == UTTER_OK && atomic_exchange(&stream->busy, true)) {
        status = ut_fail(err, UTTER_ERROR_BUSY,
                         "the stream is speaking already: use one stream for each "
                         "thread");
    }
    return status;
}

static void leave(utter_stream *stream, utter_status status) {
    /* Before the stream is free: a request that comes then is for the next call. */
    if (status == UTTER_ERROR_CANCELLED) {
        atomic_store(&stream->cancel, false); /* the request is served */
    }
    atomic_store(&stream->busy, false);
}

struct speech_input {
    const char *text;
    size_t n_bytes;
    const int32_t *ids; /* NULL: text */
    size_t n_ids;
};

static utter_status speak(utter_stream *stream, const struct speech_input *input,
                          const utter_speak_options *options, utter_sink_fn sink, void *user,
                          utter_result *result, utter_error *err) {
    utter_error own_error = {0}; /* the log needs messages even when the caller wants none */
    struct speech speech = {
        .stream = stream,
        .err = err ? err : &own_error,
        .n_bytes = input->n_bytes,
        .start_s = ut_clock_s(),
        .start_cpu_s = ut_cpu_clock_s(),
    };
    utter_status status = enter(stream, result, speech.err);
    if (status != UTTER_OK) {
        return status;
    }
    status = start(&speech, stream, options, !input->ids, sink, user);
    if (status == UTTER_OK) {
        status = input->ids ? speak_ids(&speech, input->ids, input->n_ids)
                            : speak_text(&speech, input->text, input->n_bytes);
        fill_result(&speech, result);
    }
    leave(stream, status);
    return status;
}

utter_status utter_stream_speak(utter_stream *stream, const char *text, size_t n_bytes,
                                const utter_speak_options *options, utter_sink_fn sink, void *user,
                                utter_result *result, utter_error *err) {
    if (!stream || !sink || (!text && n_bytes > 0)) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "%s is NULL",
                       !stream ? "stream"
                       : !sink ? "sink"
                               : "text");
    }
    struct speech_input input = {.text = text ? text : "", .n_bytes = n_bytes};
    return speak(stream, &input, options, sink, user, result, err);
}

utter_status utter_stream_speak_ids(utter_stream *stream, const int32_t *ids, size_t n_ids,
                                    const utter_speak_options *options, utter_sink_fn sink,
                                    void *user, utter_result *result, utter_error *err) {
    if (!stream || !sink || !ids) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "%s is NULL",
                       !stream ? "stream"
                       : !sink ? "sink"
                               : "ids");
    }
    const struct ut_backend_voice *voice = stream->voice->voice;
    if (!voice->backend->max_ids) {
        return ut_fail(err, UTTER_ERROR_UNSUPPORTED,
                       "the formant voice takes text, not phoneme ids");
    }
    size_t max_ids = voice->backend->max_ids(voice);
    if (n_ids == 0 || n_ids > max_ids) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "n_ids is %zu: it must be 1 to %zu", n_ids,
                       max_ids);
    }
    struct speech_input input = {.ids = ids, .n_ids = n_ids};
    return speak(stream, &input, options, sink, user, result, err);
}
