/* utter bench, the simple form: one voice in this process. Synthesis alone is timed (text or ids
 * to samples); loading the voice is reported apart. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "bench.h"
#include "bench_stats.h"

struct speaker { /* one stream; in a thread of its own when there are several */
    const struct job *job;
    utter_stream *stream;
    double latency_s, audio_s, first_audio_s;
    FILE *samples; /* where they go; NULL: nowhere */
    utter_status status;
    utter_error err;
};

/* One process's measurement: all of the streams, all of the runs. Lives on the heap
 * (bench_voice). */
struct job {
    const struct bench_options *bench;
    utter_engine *engine;
    utter_voice *voice;
    utter_voice_info info;
    utter_speak_options speak;
    const char *text;
    int32_t *ids; /* NULL: text */
    size_t n_ids;
    char computer[100];
    double load_s;
    struct speaker speakers[BENCH_MAX_STREAMS];
    size_t n_speakers;
    struct bench_run runs[BENCH_MAX_RUNS];
    size_t n_stages;
    utter_stage stages[BENCH_MAX_STAGES]; /* times: medians of the runs */
    double stage_wall_s[BENCH_MAX_STAGES][BENCH_MAX_RUNS],
        stage_cpu_s[BENCH_MAX_STAGES][BENCH_MAX_RUNS];
    utter_peaks peaks;
};

/* The program's own: it uses nothing of the library but its public header. */
double bench_clock_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* User and system time of the whole process, all threads together. */
static double cpu_of(const struct rusage *usage) {
    return (double)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) +
           1e-6 * (double)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec);
}

/* ---- Opening ----------------------------------------------------------------------------------
 */

/* The voice's own length scale is speed 1. */
static void apply_scales(struct job *job) {
    const struct bench_options *bench = job->bench;
    if (bench->scales_text) {
        float own = job->info.length_scale > 0 ? job->info.length_scale : 1;
        job->speak.noise_scale = bench->scales[0];
        job->speak.speed = bench->scales[1] > 0 ? own / bench->scales[1] : 0; /* 0 is refused */
        job->speak.noise_w = bench->scales[2];
    }
}

/* A number out of the description's "model"; 0 where it has none. */
static json_int_t count_of(const json_t *description, const char *name) {
    return json_integer_value(json_object_get(json_object_get(description, "model"), name));
}

/* A sentence of n phonemes: a walk through the vocabulary, the same for every backend and
 * precision. Piper has a pad (0) behind each phoneme and marks around the sentence; Kokoro has
 * zeros around it. */
static bool make_ids(struct job *job, int n) {
    bool piper = strcmp(job->info.family, "piper") == 0;
    char *text = NULL;
    utter_error err = {0};
    if (utter_voice_describe(job->voice, false, &text, &err) != UTTER_OK) {
        cli_print_error("%s", err.message);
        return false;
    }
    json_t *description = cli_parse_json(text);
    json_int_t n_vocab = count_of(description, "n_vocab");
    json_decref(description);
    /* An ONNX file does not tell how large its vocabulary is: every published one holds these. */
    int first = piper ? 10 : 1, span = (int)(n_vocab > first ? n_vocab - first : 110);
    span = piper && span > 110 ? 110 : span;
    job->ids = malloc((2 * (size_t)n + 3) * sizeof *job->ids);
    if (!job->ids) {
        cli_print_error("out of memory for %d phonemes", n);
        return false;
    }
    job->ids[job->n_ids++] = piper ? 1 : 0;
    for (int i = 0; i < n; i++) {
        if (piper) {
            job->ids[job->n_ids++] = 0;
        }
        job->ids[job->n_ids++] = first + (int32_t)((int64_t)i * 37 % span);
    }
    job->ids[job->n_ids++] = 0;
    if (piper) {
        job->ids[job->n_ids++] = 2;
    }
    return true;
}

/* A copy of the ids: the job frees what it has, whoever made it. */
static bool take_input(struct job *job) {
    const struct bench_options *bench = job->bench;
    if (bench->n_lengths) {
        return make_ids(job, bench->lengths[0]);
    }
    if (bench->ids) {
        job->n_ids = bench->n_ids;
        job->ids = malloc(bench->n_ids * sizeof *job->ids);
        if (!job->ids) {
            cli_print_error("out of memory for %zu ids", bench->n_ids);
            return false;
        }
        memcpy(job->ids, bench->ids, bench->n_ids * sizeof *job->ids);
    }
    job->text = bench->n_texts ? bench->texts[0] : bench_default_text;
    return true;
}

/* "avx512 kernels", "ONNX Runtime 1.31.1 on cuda", "espeak-ng 1.51". */
static bool name_computer(struct job *job) {
    char *text = NULL;
    utter_error err = {0};
    const char *backend = job->info.backend;
    if (strcmp(backend, "native") == 0) {
        snprintf(job->computer, sizeof job->computer, "%s kernels", utter_engine_cpu(job->engine));
        return true;
    }
    if (utter_backends(job->engine, job->voice, &text, &err) != UTTER_OK) {
        cli_print_error("%s", err.message);
        return false;
    }
    json_t *report = cli_parse_json(text), *entry;
    size_t i;
    bool onnx = strcmp(backend, "onnx") == 0;
    json_array_foreach(report, i, entry) {
        const char *type = json_string_value(json_object_get(entry, "type"));
        if (type && strcmp(type, backend) == 0) {
            const char *version = json_string_value(json_object_get(entry, "version"));
            const char *device = json_string_value(json_object_get(entry, "device"));
            bool elsewhere = onnx && device && strcmp(device, "cpu") != 0;
            snprintf(job->computer, sizeof job->computer, "%s%s%.30s%s%.30s",
                     onnx ? "ONNX Runtime" : "espeak-ng", version ? " " : "",
                     version ? version : "", elsewhere ? " on " : "", elsewhere ? device : "");
        }
    }
    json_decref(report);
    return report != NULL;
}

/* Streams share the voice; each has memory of its own. */
static bool open_streams(struct job *job) {
    utter_error err = {0};
    utter_status status = UTTER_OK;
    if (job->bench->speaker) {
        status =
            utter_voice_find_speaker(job->voice, job->bench->speaker, &job->speak.speaker, &err);
    }
    while (status == UTTER_OK && job->n_speakers < (size_t)job->bench->n_streams) {
        struct speaker *speaker = &job->speakers[job->n_speakers];
        speaker->job = job;
        status = utter_stream_create(job->voice, &speaker->stream, &err);
        job->n_speakers += status == UTTER_OK;
    }
    if (status != UTTER_OK) {
        cli_print_error("%s", err.message);
    }
    return status == UTTER_OK;
}

/* What is timed as loading is the voice alone, not the engine's threads. */
static bool open_all(struct job *job) {
    if (!cli_open_engine(&job->bench->common, &job->engine)) {
        return false;
    }
    double start_s = bench_clock_s();
    if (!cli_open_voice(&job->bench->common, job->engine, &job->voice)) {
        return false;
    }
    job->load_s = bench_clock_s() - start_s;
    job->info.size = sizeof job->info;
    utter_voice_get_info(job->voice, &job->info);
    apply_scales(job);
    return name_computer(job) && take_input(job) && open_streams(job);
}

/* ---- Running ----------------------------------------------------------------------------------
 */

/* The sink of timed runs: what samples cost to write is not what is measured. */
static bool drop(void *user, const float *samples, size_t n_samples) {
    return true;
}

static bool keep(void *user, const float *samples, size_t n_samples) {
    return fwrite(samples, sizeof *samples, n_samples, user) == n_samples;
}

/* The body of a thread, and called directly for the last stream. */
static void *speak(void *user) {
    struct speaker *s = user;
    const struct job *job = s->job;
    utter_result result = {.size = sizeof result};
    double start_s = bench_clock_s();
    s->status = job->ids
                    ? utter_stream_speak_ids(s->stream, job->ids, job->n_ids, &job->speak,
                                             s->samples ? keep : drop, s->samples, &result, &s->err)
                    : utter_stream_speak(s->stream, job->text, strlen(job->text), &job->speak,
                                         s->samples ? keep : drop, s->samples, &result, &s->err);
    s->latency_s = bench_clock_s() - start_s;
    s->audio_s = result.audio_s;
    s->first_audio_s = result.first_audio_s;
    return NULL;
}

/* All streams at once, the last in this thread. False when a thread could not be made. */
static bool speak_all(struct job *job) {
    pthread_t threads[BENCH_MAX_STREAMS];
    size_t n_started = 0;
    while (n_started + 1 < job->n_speakers &&
           pthread_create(&threads[n_started], NULL, speak, &job->speakers[n_started]) == 0) {
        n_started++;
    }
    bool all = n_started + 1 == job->n_speakers;
    if (all) {
        speak(&job->speakers[n_started]);
    }
    for (size_t i = 0; i < n_started; i++) {
        pthread_join(threads[i], NULL);
    }
    if (!all) {
        cli_print_error("stream %zu of %zu got no thread", n_started + 1, job->n_speakers);
    }
    return all;
}

/* Wall and processor time around all streams; sound is the sum, latencies are means. */
static bool run_once(struct job *job, struct bench_run *out) {
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    double start_s = bench_clock_s(), n = (double)job->n_speakers;
    if (!speak_all(job)) {
        return false;
    }
    *out = (struct bench_run){.wall_s = bench_clock_s() - start_s};
    getrusage(RUSAGE_SELF, &after);
    out->cpu_s = cpu_of(&after) - cpu_of(&before);
    out->peak_rss_mb = (double)after.ru_maxrss / 1024;
    for (size_t i = 0; i < job->n_speakers; i++) {
        const struct speaker *s = &job->speakers[i];
        if (s->status != UTTER_OK) {
            cli_print_error("%s", s->err.message);
            return false;
        }
        out->audio_s += s->audio_s;
        out->first_audio_s += s->first_audio_s / n;
        out->latency_s += s->latency_s / n;
    }
    return true;
}

/* The first run, which is not timed. */
static bool warm_up(struct job *job) {
    struct bench_run unused;
    const char *path = job->bench->samples_file;
    FILE *file = path ? fopen(path, "wbe") : NULL;
    if (path && !file) {
        cli_print_error("%s could not be written: %s", path, strerror(errno));
        return false;
    }
    job->speakers[0].samples = file;
    bool ok = run_once(job, &unused);
    job->speakers[0].samples = NULL;
    if (file && fclose(file) != 0 && ok) {
        cli_print_error("%s could not be written: %s", path, strerror(errno));
        ok = false;
    }
    return ok;
}

/* ---- Stages -----------------------------------------------------------------------------------
 */

/* Of the first stream: with several the tally is that of one. */
static void keep_stages(struct job *job, size_t run) {
    utter_stage stage = {.size = sizeof stage};
    size_t n = 0;
    while (n < BENCH_MAX_STAGES &&
           utter_stream_stage(job->speakers[0].stream, (int32_t)n, &stage)) {
        job->stages[n] = stage;
        job->stage_wall_s[n][run] = stage.wall_s;
        job->stage_cpu_s[n++][run] = stage.cpu_s;
    }
    job->n_stages = n;
}

/* After the runs: what it reads would show in their peak memory. */
static bool finish_profile(struct job *job) {
    utter_error err = {0};
    if (job->n_stages == 0) {
        return true;
    }
    for (size_t i = 0; i < job->n_stages; i++) {
        job->stages[i].wall_s = stats_median(job->stage_wall_s[i], (size_t)job->bench->n_runs);
        job->stages[i].cpu_s = stats_median(job->stage_cpu_s[i], (size_t)job->bench->n_runs);
    }
    job->peaks.size = sizeof job->peaks;
    if (utter_engine_peaks(job->engine, &job->peaks, &err) != UTTER_OK) {
        cli_print_error("%s", err.message);
        return false;
    }
    return true;
}

/* As the library tells them; bench_stages puts both together. */
static void put_profile(const struct job *job, json_t *answer) {
    json_t *stages = json_array();
    for (size_t i = 0; i < job->n_stages; i++) {
        const utter_stage *s = &job->stages[i];
        json_array_append_new(stages, json_pack("{s:s, s:f, s:f, s:I, s:I, s:I, s:I}", "name",
                                                s->name, "wall_s", s->wall_s, "cpu_s", s->cpu_s,
                                                "macs_f32", (json_int_t)s->n_macs_f32, "macs_bf16",
                                                (json_int_t)s->n_macs_bf16, "macs_int8",
                                                (json_int_t)s->n_macs_int8, "weight_bytes",
                                                (json_int_t)s->weight_bytes));
    }
    json_object_set_new(answer, "stages", stages);
    json_object_set_new(
        answer, "peaks",
        json_pack("{s:f, s:f, s:f, s:f}", "f32_macs_per_s", job->peaks.f32_macs_per_s,
                  "bf16_macs_per_s", job->peaks.bf16_macs_per_s, "int8_macs_per_s",
                  job->peaks.int8_macs_per_s, "read_bytes_per_s", job->peaks.read_bytes_per_s));
}

/* ---- Answers ----------------------------------------------------------------------------------
 */

/* Also what bench_matrix reads of its children: names here are read there (take_turn). */
static json_t *answer_of(const struct job *job) {
    json_t *runs = json_array();
    for (int64_t i = 0; i < job->bench->n_runs; i++) {
        const struct bench_run *m = &job->runs[i];
        json_array_append_new(runs,
                              json_pack("{s:f, s:f, s:f, s:f, s:f}", "wall_s", m->wall_s, "cpu_s",
                                        m->cpu_s, "audio_s", m->audio_s, "first_audio_s",
                                        m->first_audio_s, "peak_rss_mb", m->peak_rss_mb));
        if (job->n_speakers > 1) {
            json_object_set_new(json_array_get(runs, (size_t)i), "latency_s",
                                json_real(m->latency_s));
        }
    }
    json_t *answer =
        json_pack("{s:o, s:f, s:s, s:i, s:i, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:i}", "runs", runs,
                  "load_s", job->load_s, "cpu", utter_engine_cpu(job->engine), "threads",
                  (int)utter_engine_threads(job->engine), "streams", (int)job->n_speakers, "voice",
                  job->info.name, "family", job->info.family, "backend", job->info.backend,
                  "computed_by", job->computer, "stored_as", job->info.quantization, "file_bytes",
                  (json_int_t)job->info.file_bytes, "ids", (json_int_t)job->n_ids, "sample_rate_hz",
                  (int)job->info.sample_rate_hz);
    if (answer && job->n_stages > 0) {
        put_profile(job, answer);
    }
    return answer;
}

/* Stages take the same way as in the matrix, through an array of one answer. */
static int print_table(const struct job *job) {
    printf("%s (%s, %s, threads: %d", job->info.name, job->info.backend, job->computer,
           (int)utter_engine_threads(job->engine));
    if (job->n_speakers > 1) {
        printf(", streams: %zu", job->n_speakers);
    }
    printf("), loaded in %.3f s\n", job->load_s);
    printf("  run    wall s     cpu s   sound s       RTF   first s   peak MB\n");
    for (int64_t i = 0; i < job->bench->n_runs; i++) {
        const struct bench_run *m = &job->runs[i];
        printf("%5d %9.4f %9.4f %9.3f %9.4f %9.4f %9.1f\n", (int)(i + 1), m->wall_s, m->cpu_s,
               m->audio_s, m->audio_s > 0 ? m->wall_s / m->audio_s : 0, m->first_audio_s,
               m->peak_rss_mb);
    }
    if (job->n_stages > 0) {
        struct bench_stage stages[BENCH_MAX_STAGES];
        json_t *answers = json_pack("[o]", answer_of(job));
        size_t n = bench_stages(answers, stages, BENCH_MAX_STAGES);
        printf("\n");
        bench_print_stages(stages, n);
        bench_print_peaks(answers);
        json_decref(answers);
    }
    return cli_finish_output();
}

/* ---- All --------------------------------------------------------------------------------------
 */

/* The runs come after a warm-up: the first one allocates. */
static int measure(struct job *job) {
    if (!open_all(job) || !warm_up(job)) {
        return EXIT_FAILED;
    }
    for (int64_t i = 0; i < job->bench->n_runs; i++) {
        if (!run_once(job, &job->runs[i])) {
            return EXIT_FAILED;
        }
        keep_stages(job, (size_t)i);
    }
    if (!finish_profile(job)) {
        return EXIT_FAILED;
    }
    return job->bench->common.json ? cli_print_json(answer_of(job)) : print_table(job);
}

int bench_voice(const struct bench_options *options) {
    struct job *job = calloc(1, sizeof *job); /* half a megabyte: not for the stack */
    if (!job) {
        cli_print_error("out of memory");
        return EXIT_FAILED;
    }
    job->bench = options;
    utter_speak_options_init(&job->speak);
    job->speak.voice = options->voice;
    job->speak.stages = options->profile;
    job->speak.n_parallel = (int32_t)options->n_parallel;
    int code = measure(job);
    for (size_t i = 0; i < job->n_speakers; i++) {
        utter_stream_destroy(job->speakers[i].stream);
    }
    utter_voice_close(job->voice);
    utter_engine_destroy(job->engine);
    free(job->ids);
    free(job);
    return code;
}
