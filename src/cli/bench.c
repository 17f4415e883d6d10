/* utter bench: how fast a voice speaks on this machine. Synthesis alone is timed (text through
 * phonemes to samples); loading the voice is reported apart. */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "cli.h"

enum { OPTION_IDS = 1, OPTION_TEXT, OPTION_SCALES, OPTION_RUNS, OPTION_VOICE, OPTION_SPEAKER };
enum { MAX_RUNS = 1000 };

static const struct arg_option options[] = {
    CLI_MODEL_OPTION,
    {OPTION_TEXT, 0, "text", "TEXT", "what to speak; a paragraph of its own if not given"},
    {OPTION_IDS, 0, "ids", "1,0,20,...", "speak phoneme ids instead of text"},
    {OPTION_SCALES, 0, "scales", "NOISE,LENGTH,NOISE-W", "as voice files give them: 0.667,1,0.8"},
    {OPTION_VOICE, 'v', "voice", "NAME", "who speaks, as in \"utter speak\""},
    {OPTION_SPEAKER, 0, "speaker", "NAME", "a speaker of the voice, by name or number"},
    {OPTION_RUNS, 0, "runs", "N", "timed runs, 1 to 1000; one more goes before them (3)"},
    CLI_BACKEND_OPTION,
    CLI_ENGINE_OPTIONS,
};

static const char default_text[] =
    "The rainbow is a division of white light into many beautiful colors. These take the shape of "
    "a long round arch, with its path high above, and its two ends apparently beyond the horizon.";

struct measured {
    double wall_s, cpu_s, audio_s, first_audio_s, peak_rss_mb;
};

struct job {
    struct cli_common common;
    const char *text, *speaker;
    int32_t *ids; /* NULL: text */
    size_t n_ids;
    float scales[3]; /* noise, length, noise_w */
    bool has_scales;
    int64_t n_runs;
    utter_engine *engine;
    utter_voice *voice;
    utter_stream *stream;
    utter_speak_options options;
    double load_s;
    struct measured runs[MAX_RUNS];
};

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double time_of(struct timeval t) {
    return (double)t.tv_sec + 1e-6 * (double)t.tv_usec;
}

static bool set_option(struct job *job, struct args *args, int id, const char *value) {
    switch (id) {
    case OPTION_IDS:
        free(job->ids);
        return args_int_list(args, id, value, &job->ids, &job->n_ids);
    case OPTION_TEXT:
        job->text = value;
        return true;
    case OPTION_VOICE:
        job->options.voice = value;
        return true;
    case OPTION_SPEAKER:
        job->speaker = value;
        return true;
    case OPTION_SCALES:
        job->has_scales = true;
        return args_float_list(args, id, value, job->scales, 3);
    case OPTION_RUNS:
        return args_int(args, id, value, 1, MAX_RUNS, &job->n_runs);
    default:
        return cli_common_option(&job->common, args, id, value);
    }
}

/* The voice's own length scale is speed 1. */
static void apply_scales(struct job *job, const utter_voice_info *info) {
    if (job->has_scales) {
        float own = info->length_scale > 0 ? info->length_scale : 1;
        job->options.noise_scale = job->scales[0];
        job->options.speed = job->scales[1] > 0 ? own / job->scales[1] : 0; /* 0 is refused */
        job->options.noise_w = job->scales[2];
    }
}

static bool open_all(struct job *job) {
    utter_voice_info info = {.size = sizeof info};
    utter_error err = {0};
    if (!cli_open_engine(&job->common, &job->engine)) {
        return false;
    }
    double start_s = now_s();
    if (!cli_open_voice(&job->common, job->engine, &job->voice)) {
        return false;
    }
    job->load_s = now_s() - start_s;
    utter_voice_get_info(job->voice, &info);
    apply_scales(job, &info);
    utter_status status = UTTER_OK;
    if (job->speaker) {
        status = utter_voice_find_speaker(job->voice, job->speaker, &job->options.speaker, &err);
    }
    if (status == UTTER_OK) {
        status = utter_stream_create(job->voice, &job->stream, &err);
    }
    if (status != UTTER_OK) {
        cli_print_error("%s", err.message);
    }
    return status == UTTER_OK;
}

static bool drop(void *user, const float *samples, size_t n_samples) {
    return true;
}

static bool run_once(struct job *job, struct measured *out) {
    struct rusage before, after;
    utter_result result = {.size = sizeof result};
    utter_error err = {0};
    getrusage(RUSAGE_SELF, &before);
    double start_s = now_s();
    utter_status status = job->ids
                              ? utter_stream_speak_ids(job->stream, job->ids, job->n_ids,
                                                       &job->options, drop, NULL, &result, &err)
                              : utter_stream_speak(job->stream, job->text, strlen(job->text),
                                                   &job->options, drop, NULL, &result, &err);
    out->wall_s = now_s() - start_s;
    getrusage(RUSAGE_SELF, &after);
    if (status != UTTER_OK) {
        cli_print_error("%s", err.message);
        return false;
    }
    out->cpu_s = time_of(after.ru_utime) + time_of(after.ru_stime) - time_of(before.ru_utime) -
                 time_of(before.ru_stime);
    out->audio_s = result.audio_s;
    out->first_audio_s = result.first_audio_s;
    out->peak_rss_mb = (double)after.ru_maxrss / 1024; /* of the process, so far */
    return true;
}

static int print_json(const struct job *job) {
    json_t *runs = json_array();
    for (int64_t i = 0; i < job->n_runs; i++) {
        const struct measured *m = &job->runs[i];
        json_array_append_new(runs,
                              json_pack("{s:f, s:f, s:f, s:f, s:f}", "wall_s", m->wall_s, "cpu_s",
                                        m->cpu_s, "audio_s", m->audio_s, "first_audio_s",
                                        m->first_audio_s, "peak_rss_mb", m->peak_rss_mb));
    }
    return cli_print_json(json_pack("{s:o, s:f, s:s, s:i}", "runs", runs, "load_s", job->load_s,
                                    "cpu", utter_engine_cpu(job->engine), "threads",
                                    (int)utter_engine_threads(job->engine)));
}

static int print_table(const struct job *job) {
    utter_voice_info info = {.size = sizeof info};
    utter_voice_get_info(job->voice, &info);
    printf("%s (%s, %s kernels, threads: %d), loaded in %.3f s\n", info.name, info.backend,
           utter_engine_cpu(job->engine), (int)utter_engine_threads(job->engine), job->load_s);
    printf("  run    wall s     cpu s   sound s       RTF   first s   peak MB\n");
    for (int64_t i = 0; i < job->n_runs; i++) {
        const struct measured *m = &job->runs[i];
        printf("%5d %9.4f %9.4f %9.3f %9.4f %9.4f %9.1f\n", (int)(i + 1), m->wall_s, m->cpu_s,
               m->audio_s, m->audio_s > 0 ? m->wall_s / m->audio_s : 0, m->first_audio_s,
               m->peak_rss_mb);
    }
    return cli_finish_output();
}

static int bench(struct job *job) {
    struct measured warm_up;
    if (!open_all(job) || !run_once(job, &warm_up)) {
        return EXIT_FAILED;
    }
    for (int64_t i = 0; i < job->n_runs; i++) {
        if (!run_once(job, &job->runs[i])) {
            return EXIT_FAILED;
        }
    }
    return job->common.json ? print_json(job) : print_table(job);
}

static int parse(struct job *job, struct args *args) {
    const char *value;
    for (int id; (id = args_next(args, &value)) != ARG_END;) {
        if (id == ARG_OPERAND) {
            return cli_usage_fail(args, &bench_command, "the text is given with --text");
        }
        if (id == ARG_ERROR || !set_option(job, args, id, value)) {
            return cli_usage_error(args, &bench_command);
        }
    }
    if (job->ids && job->text) {
        return cli_usage_fail(args, &bench_command, "give --text or --ids, not both");
    }
    if (job->options.voice && job->speaker) {
        return cli_usage_fail(args, &bench_command, "give --voice or --speaker, not both");
    }
    job->text = job->text ? job->text : default_text;
    return EXIT_OK;
}

static int run(struct args *args) {
    struct job *job = calloc(1, sizeof *job); /* 40 kB of runs: not for the stack */
    if (!job) {
        cli_print_error("out of memory");
        return EXIT_FAILED;
    }
    job->n_runs = 3;
    job->common.no_fallback = true; /* time this voice, not a stand-in */
    utter_speak_options_init(&job->options);
    int code = parse(job, args);
    if (code == EXIT_OK) {
        code = job->common.help ? SHOW_HELP : bench(job);
    }
    utter_stream_destroy(job->stream);
    utter_voice_close(job->voice);
    utter_engine_destroy(job->engine);
    free(job->ids);
    free(job);
    return code;
}

const struct cli_command bench_command = {
    .name = "bench",
    .summary = "how fast a voice speaks on this machine",
    .usage = "[OPTIONS]",
    .notes = "RTF is time per second of sound: 0.1 is ten times faster than speech.\n",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .run = run,
};
