/* utter speak: text or phoneme ids to a file, a pipe or the loudspeaker. */
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "interrupt.h"
#include "progress.h"

enum {
    OPTION_OUTPUT = 1,
    OPTION_PLAY,
    OPTION_FORMAT,
    OPTION_FILE,
    OPTION_IDS,
    OPTION_VOICE,
    OPTION_SPEAKER,
    OPTION_SPEED,
    OPTION_NOISE,
    OPTION_NOISE_W,
    OPTION_SILENCE,
    OPTION_PARALLEL,
    OPTION_VOLUME,
    OPTION_NORMALIZE,
    OPTION_LANGUAGE,
    OPTION_SEED,
    OPTION_STATS,
    OPTION_PROGRESS,
    OPTION_QUIET
};

static const struct arg_option options[] = {
    CLI_MODEL_OPTION,
    {OPTION_VOICE, 'v', "voice", "NAME", "who speaks; Kokoro mixes: 'af_bella(0.7)+af_sky(0.3)'"},
    {OPTION_OUTPUT, 'o', "output", "FILE", "write the sound to FILE, - is standard output"},
    {OPTION_PLAY, 0, "play", NULL, "play the sound"},
    {OPTION_FORMAT, 0, "format", "NAME", "wav, wav-f32, pcm, pcm-f32, flac, opus, vorbis or mp3"},
    {OPTION_FILE, 'f', "file", "FILE", "speak the text in FILE, - is standard input"},
    {OPTION_IDS, 0, "ids", "1,0,20,...", "speak phoneme ids of the voice instead of text"},
    {OPTION_SPEAKER, 0, "speaker", "NAME", "a speaker of the voice, by name or number"},
    {OPTION_SPEED, 0, "speed", "X", "0.1 to 10; 1 is the voice's own pace"},
    {OPTION_NOISE, 0, "noise", "X", "0 to 10; how much the sound varies"},
    {OPTION_NOISE_W, 0, "noise-w", "X", "0 to 10; how much the rhythm varies"},
    {OPTION_SILENCE, 0, "silence", "SECONDS", "0 to 10; pause after each sentence"},
    {OPTION_PARALLEL, 0, "parallel", "N", "0 to 8 sentences side by side; 0: what is fastest"},
    {OPTION_VOLUME, 0, "volume", "X", "0 to 10; gain"},
    {OPTION_NORMALIZE, 0, "normalize", NULL, "bring every sentence to full level"},
    {OPTION_LANGUAGE, 0, "language", "NAME", "pronounce as in NAME: en-us, de; for Kokoro a, b"},
    {OPTION_SEED, 0, "seed", "N", "same seed, text and processor: same sound"},
    CLI_BACKEND_OPTION,
    {OPTION_NO_FALLBACK, 0, "no-fallback", NULL, "fail where another backend would step in"},
    {OPTION_STATS, 0, "stats", NULL, "report times at the end"},
    {OPTION_PROGRESS, 0, "progress", NULL, "show progress, also where there is no terminal"},
    {OPTION_QUIET, 'q', "quiet", NULL, "no progress, no notes; warnings and errors only"},
    CLI_ENGINE_OPTIONS,
};

/* All of one run; what was opened is closed by close_all, whatever happened. */
struct job {
    struct cli_common common;
    utter_speak_options options;
    utter_format format;
    const char *output, *file, *speaker; /* NULL: not given */
    bool play, stats, progress, quiet;
    char **words;
    size_t n_words;
    int32_t *ids; /* NULL: text */
    size_t n_ids;
    struct cli_text text;
    utter_engine *engine;
    utter_voice *voice;
    utter_stream *stream;
    utter_writer *writer;
    utter_player *player;
    utter_error sink_error; /* why the sink stopped the stream */
    utter_result result;
};

/* ---- Command line --------------------------------------------------------------------------- */

/* The library's own words for a name that it does not know. */
static bool set_format(struct job *job, struct args *args, const char *value) {
    utter_error err;
    if (utter_format_parse(value, &job->format, &err) != UTTER_OK) {
        snprintf(args->message, sizeof args->message, "--format: %.380s", err.message);
        return false;
    }
    return true;
}

/* These two make the cases of set_option lines of one kind. */
static bool set_flag(bool *flag) {
    return *flag = true;
}

static bool set_text(const char **out, const char *value) {
    *out = value;
    return true;
}

static bool set_parallel(utter_speak_options *speak, struct args *args, const char *value) {
    int64_t n;
    bool ok = args_int(args, OPTION_PARALLEL, value, 0, 8, &n);
    speak->n_parallel = ok ? (int32_t)n : 0;
    return ok;
}

/* False with a message in args. */
static bool set_option(struct job *job, struct args *args, int id, const char *value) {
    utter_speak_options *speak = &job->options;
    switch (id) {
    case OPTION_OUTPUT:
        return set_text(&job->output, value);
    case OPTION_PLAY:
        return set_flag(&job->play);
    case OPTION_FORMAT:
        return set_format(job, args, value);
    case OPTION_FILE:
        return set_text(&job->file, value);
    case OPTION_IDS:
        free(job->ids);
        return args_int_list(args, id, value, &job->ids, &job->n_ids);
    case OPTION_VOICE:
        return set_text(&speak->voice, value);
    case OPTION_SPEAKER:
        return set_text(&job->speaker, value);
    case OPTION_SPEED:
        return args_float(args, id, value, 0.1, 10, &speak->speed);
    case OPTION_NOISE:
        return args_float(args, id, value, 0, 10, &speak->noise_scale);
    case OPTION_NOISE_W:
        return args_float(args, id, value, 0, 10, &speak->noise_w);
    case OPTION_SILENCE:
        return args_float(args, id, value, 0, 10, &speak->sentence_silence_s);
    case OPTION_PARALLEL:
        return set_parallel(speak, args, value);
    case OPTION_VOLUME:
        return args_float(args, id, value, 0, 10, &speak->volume);
    case OPTION_NORMALIZE:
        return set_flag(&speak->normalize);
    case OPTION_LANGUAGE:
        return set_text(&speak->language, value);
    case OPTION_SEED:
        return args_uint64(args, id, value, &speak->seed);
    case OPTION_STATS:
        return set_flag(&job->stats);
    case OPTION_PROGRESS:
        return set_flag(&job->progress);
    case OPTION_QUIET:
        return set_flag(&job->quiet);
    default:
        return cli_common_option(&job->common, args, id, value);
    }
}

static bool is_stdout(const char *output) {
    return output && (strcmp(output, "-") == 0 || strcmp(output, "/dev/stdout") == 0);
}

/* What cannot go together; NULL if all is well. Also decides where sound and text come from. */
static const char *check(struct job *job) {
    int n_sources = (job->n_words > 0) + (job->file != NULL) + (job->ids != NULL);
    if (n_sources > 1) {
        return "give the text as words, with --file or as --ids, not in several ways";
    }
    if (n_sources == 0 && isatty(STDIN_FILENO)) {
        return "nothing to speak: give the text in quotes, a file with -f, or pipe it in";
    }
    if (n_sources == 0) {
        job->file = "-";
    }
    if (job->speaker && job->options.voice) {
        return "--voice and --speaker both say who speaks: give one";
    }
    if (!job->output && !job->play) {
        job->output = "-";
    }
    if (is_stdout(job->output) && job->common.json) {
        return "--json and the sound cannot both go to standard output: use -o FILE or --play";
    }
    if (is_stdout(job->output) && isatty(STDOUT_FILENO)) {
        return "sound is not written to a terminal: use -o FILE, --play, or a pipe like | aplay";
    }
    return NULL;
}

/* Operands are moved to the front of argv: there are never more of them than were read. */
static bool parse(struct job *job, struct args *args) {
    const char *value;
    job->words = args->argv; /* operands are moved to the front */
    for (int id; (id = args_next(args, &value)) != ARG_END;) {
        if (id == ARG_OPERAND) {
            job->words[job->n_words++] = (char *)value;
        } else if (id == ARG_ERROR || !set_option(job, args, id, value)) {
            return false;
        }
    }
    return true;
}

/* ---- Opening -------------------------------------------------------------------------------- */

/* Before the voice is opened: nothing to say needs no model. */
static bool get_text(struct job *job) {
    if (job->ids) {
        return true;
    }
    bool ok = job->file ? cli_read_text(job->file, &job->text)
                        : cli_join_words(job->words, job->n_words, &job->text);
    if (ok && cli_text_is_blank(&job->text)) {
        cli_print_error("nothing to speak: %s", !job->file ? "the text is empty"
                                                : strcmp(job->file, "-") == 0
                                                    ? "standard input is empty"
                                                    : "the file is empty");
        return false;
    }
    return ok;
}

/* ALSA and JACK print pages to standard error while PortAudio looks for devices. */
static utter_status open_player_quietly(struct job *job, int32_t rate_hz, utter_error *err) {
    int saved = job->common.verbose ? -1 : fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (saved >= 0 && null >= 0) {
        dup2(null, STDERR_FILENO);
    }
    utter_status status = utter_player_open(rate_hz, &job->player, err);
    if (saved >= 0) {
        dup2(saved, STDERR_FILENO);
        close(saved);
    }
    if (null >= 0) {
        close(null);
    }
    return status;
}

/* The player first: where it fails no file was begun. */
static utter_status open_outputs(struct job *job, int32_t rate_hz, utter_error *err) {
    utter_status status = UTTER_OK;
    if (job->play) {
        status = open_player_quietly(job, rate_hz, err);
    }
    if (status == UTTER_OK && job->output) {
        status = utter_writer_open(job->output, job->format, rate_hz, &job->writer, err);
    }
    return status;
}

/* Names are checked before the outputs are opened, so that a slip of the fingers leaves no file. */
static bool open_all(struct job *job) {
    utter_error err = {0};
    utter_voice_info info = {.size = sizeof info};
    if (!cli_open_engine(&job->common, &job->engine) ||
        !cli_open_voice(&job->common, job->engine, &job->voice)) {
        return false;
    }
    utter_voice_get_info(job->voice, &info);
    utter_status status = UTTER_OK;
    if (job->speaker) {
        status = utter_voice_find_speaker(job->voice, job->speaker, &job->options.speaker, &err);
    }
    if (job->options.voice) {
        status = utter_voice_check(job->voice, job->options.voice, &err);
    }
    if (status == UTTER_OK) {
        status = utter_stream_create(job->voice, &job->stream, &err);
    }
    interrupt_set_stream(job->stream); /* from here on there is something to clean up */
    if (status == UTTER_OK) {
        status = open_outputs(job, info.sample_rate_hz, &err);
    }
    if (status != UTTER_OK) {
        cli_print_error("%s", err.message);
    } else if (!job->common.model && !job->quiet) {
        cli_print_note("speaking with the voice %s (%s, %d Hz); -m chooses another", info.name,
                       info.backend, info.sample_rate_hz);
    }
    return status == UTTER_OK;
}

/* ---- Speaking ------------------------------------------------------------------------------- */

/* The stream's sink. Its own error is kept, as the stream can only tell that it was stopped. */
static bool pass_on(void *user, const float *samples, size_t n_samples) {
    struct job *job = user;
    utter_status status = UTTER_OK;
    if (job->writer) {
        status = utter_writer_write(job->writer, samples, n_samples, &job->sink_error);
    }
    if (status == UTTER_OK && job->player) {
        status = utter_player_write(job->player, samples, n_samples, &job->sink_error);
    }
    return status == UTTER_OK;
}

/* The player is waited for before the file gets its name: both were heard and written whole. */
static utter_status finish_outputs(struct job *job, utter_error *err) {
    utter_status status = UTTER_OK;
    if (job->player) {
        status = utter_player_finish(job->player, err);
        job->player = NULL;
    }
    if (job->writer && status == UTTER_OK) {
        status = utter_writer_finish(job->writer, err);
        job->writer = NULL;
    }
    return status;
}

/* After a failure: nothing half-written stays, and the user is told. */
static void discard_outputs(struct job *job) {
    /* An error of the output itself has named it. */
    bool name_it = job->writer && !is_stdout(job->output) && job->sink_error.code == UTTER_OK;
    utter_writer_discard(job->writer);
    job->writer = NULL;
    if (job->player && utter_player_finish(job->player, NULL) != UTTER_OK) {
        cli_print_warning("the sound device could not be closed in good order");
    }
    job->player = NULL;
    if (name_it) {
        cli_print_note("%s was not written", job->output);
    }
}

/* A signal is no error: the user asked for it. */
static int explain_failure(struct job *job, const utter_error *err) {
    int signal_number = interrupt_signal();
    if (signal_number != 0) {
        cli_print_note("interrupted");
    } else {
        cli_print_error("%s", job->sink_error.code ? job->sink_error.message : err->message);
    }
    discard_outputs(job);
    return signal_number ? 128 + signal_number : EXIT_FAILED;
}

/* Progress is shown where it cannot mix with the sound or with other output. */
static int run_stream(struct job *job) {
    utter_error err = {0};
    utter_speak_options *speak = &job->options;
    bool show = job->progress || (isatty(STDERR_FILENO) && job->output && !is_stdout(job->output));
    speak->progress = show && !job->quiet ? progress_show : NULL;
    job->result.size = sizeof job->result;
    utter_status status = job->ids ? utter_stream_speak_ids(job->stream, job->ids, job->n_ids,
                                                            speak, pass_on, job, &job->result, &err)
                                   : utter_stream_speak(job->stream, job->text.bytes, job->text.n,
                                                        speak, pass_on, job, &job->result, &err);
    if (status == UTTER_OK && job->result.n_samples == 0) {
        err.code = status = UTTER_ERROR_ARGUMENT;
        strcpy(err.message, "nothing to speak: there is no letter or digit in the text");
    }
    if (status == UTTER_OK) {
        status = finish_outputs(job, &err);
    }
    return status == UTTER_OK ? EXIT_OK : explain_failure(job, &err);
}

/* ---- Report --------------------------------------------------------------------------------- */

static int print_json(const struct job *job) {
    const utter_result *r = &job->result;
    utter_voice_info info = {.size = sizeof info};
    utter_voice_get_info(job->voice, &info);
    return cli_print_json(json_pack(
        "{s:s?, s:s, s:s?, s:s?, s:I, s:i, s:f, s:f, s:f, s:f, s:i, s:i, s:i, s:{s:f, s:f, s:f, "
        "s:f}}",
        "output", job->output, "voice", info.name, "backend", r->backend, "fallback_reason",
        r->fallback_reason[0] ? r->fallback_reason : NULL, "samples", (json_int_t)r->n_samples,
        "sample_rate_hz", (int)r->sample_rate_hz, "audio_s", r->audio_s, "elapsed_s", r->elapsed_s,
        "cpu_s", r->cpu_s, "first_audio_s", r->first_audio_s, "sentences", (int)r->n_sentences,
        "skipped_symbols", (int)r->n_skipped_symbols, "fallbacks", (int)r->n_fallbacks, "stages",
        "phonemize_s", r->phonemize_s, "encode_s", r->encode_s, "flow_s", r->flow_s, "decode_s",
        r->decode_s));
}

/* On standard error, like all notes. */
static void print_stats(const utter_result *r) {
    double speed = r->elapsed_s > 0 ? r->audio_s / r->elapsed_s : 0;
    cli_print_note("%.2f s of sound (%s, sentences: %u) in %.3f s: %.1f times real time",
                   r->audio_s, r->backend, r->n_sentences, r->elapsed_s, speed);
    cli_print_note("first sound after %.3f s; processor time %.3f s", r->first_audio_s, r->cpu_s);
    cli_print_note("phonemes %.3f s, encoder %.3f s, flow %.3f s, decoder %.3f s", r->phonemize_s,
                   r->encode_s, r->flow_s, r->decode_s);
}

static int report(const struct job *job) {
    const utter_result *r = &job->result;
    progress_clear_line();
    if (job->options.progress) {
        cli_print_note("%s: %.2f s of sound", job->output ? job->output : "played", r->audio_s);
    }
    if (job->stats) {
        print_stats(r);
    }
    return job->common.json ? print_json(job) : EXIT_OK;
}

static void close_all(struct job *job) {
    interrupt_set_stream(NULL);
    utter_writer_discard(job->writer);
    utter_stream_destroy(job->stream);
    utter_voice_close(job->voice);
    utter_engine_destroy(job->engine);
    free(job->text.bytes);
    free(job->ids);
}

/* One way out: everything is closed in the reverse order of its opening. */
static int run(struct args *args) {
    struct job job = {.format = UTTER_FORMAT_AUTO};
    utter_speak_options_init(&job.options);
    bool parsed = parse(&job, args);
    const char *problem = parsed && !job.common.help ? check(&job) : NULL;
    int code = EXIT_FAILED;
    if (!parsed || problem) {
        code = parsed ? cli_usage_fail(args, &speak_command, problem)
                      : cli_usage_error(args, &speak_command);
    } else if (job.common.help) {
        code = SHOW_HELP;
    } else if (get_text(&job)) {
        if (!interrupt_start()) {
            cli_print_warning("an interrupted run may leave a temporary file behind");
        }
        code = open_all(&job) ? run_stream(&job) : EXIT_FAILED;
        code = code == EXIT_OK ? report(&job) : code;
    }
    close_all(&job);
    return code;
}

const struct cli_command speak_command = {
    .name = "speak",
    .summary = "text to sound",
    .usage = "[OPTIONS] [TEXT...]",
    .notes = "Examples:\n"
             "  utter speak \"Hello there.\" -o hello.wav\n"
             "  utter speak -m en_US-amy-medium.onnx -f book.txt -o book.opus\n"
             "  utter speak -m kokoro-v1_0.pth -v bf_emma \"Good morning.\" --play\n"
             "  echo \"Hello.\" | utter speak | aplay\n"
             "\n"
             "The file's name gives the format (.wav .flac .opus .ogg .mp3 .raw), else it is\n"
             "WAV; without -o and --play the sound goes to standard output. A file appears\n"
             "under its name when it is complete. Text without a letter or digit is an error.\n",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .run = run,
};
