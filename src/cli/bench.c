/* utter bench: how fast a voice speaks on this machine, alone (bench_voice.c) or beside other
 * models, precisions and backends (bench_matrix.c). This file reads the command line. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

#include "settings.h"

/* Below OPTION_PRECISIONS the options of one voice, from there on those of the matrix (-q aside):
 * set_option tells them apart by that. */
enum {
    OPTION_IDS = 1,
    OPTION_TEXT,
    OPTION_LENGTHS,
    OPTION_SCALES,
    OPTION_RUNS,
    OPTION_VOICE,
    OPTION_SPEAKER,
    OPTION_STREAMS,
    OPTION_PARALLEL,
    OPTION_PROFILE,
    OPTION_SAMPLES,
    OPTION_PRECISIONS,
    OPTION_BACKENDS,
    OPTION_THREAD_COUNTS,
    OPTION_STREAM_COUNTS,
    OPTION_ROUNDS,
    OPTION_BASE,
    OPTION_JSON_FILE,
    OPTION_HTML,
    OPTION_QUALITY,
    OPTION_QUIET
};

enum { MAX_LENGTH = 100000 };

static const struct arg_option options[] = {
    CLI_MODEL_OPTION,
    {OPTION_TEXT, 0, "text", "TEXT", "what to speak; a paragraph of its own if not given"},
    {OPTION_IDS, 0, "ids", "1,0,20,...", "speak phoneme ids instead of text"},
    {OPTION_LENGTHS, 0, "lengths", "60,250", "speak made-up sentences of so many phonemes"},
    {OPTION_SCALES, 0, "scales", "NOISE,LENGTH,NOISE-W", "as voice files give them: 0.667,1,0.8"},
    {OPTION_VOICE, 'v', "voice", "NAME", "who speaks, as in \"utter speak\""},
    {OPTION_SPEAKER, 0, "speaker", "NAME", "a speaker of the voice, by name or number"},
    {OPTION_RUNS, 0, "runs", "N", "timed runs behind a first one, 1 to 1000 (3)"},
    {OPTION_STREAMS, 0, "streams", "N", "so many speak at once, 1 to 64 (1)"},
    {OPTION_PARALLEL, 0, "parallel", "N",
     "0 to 8 sentences of one text side by side, as in \"utter speak\""},
    {OPTION_PROFILE, 0, "profile", NULL, "times and bounds of each stage of a native voice"},
    {OPTION_SAMPLES, 0, "samples", "FILE", "write the first run there, as raw 32-bit floats"},
    {OPTION_PRECISIONS, 0, "precisions", "f32,int8,...", "matrix: native voices in each of these"},
    {OPTION_BACKENDS, 0, "backends", "native,onnx", "matrix: each model on each of these"},
    {OPTION_THREAD_COUNTS, 0, "thread-counts", "1,2", "matrix: with so many threads each"},
    {OPTION_STREAM_COUNTS, 0, "stream-counts", "1,2,4", "matrix: so many streams at once"},
    {OPTION_ROUNDS, 0, "rounds", "N", "matrix: turns of each cell, 1 to 100 (5)"},
    {OPTION_BASE, 0, "base", "WORDS", "matrix: compare with \"onnx\", \"a.onnx,native,f32\", ..."},
    {OPTION_JSON_FILE, 0, "json-file", "FILE", "matrix: write everything there, as JSON"},
    {OPTION_HTML, 0, "html", "FILE", "matrix: write a page with plots there"},
    {OPTION_QUALITY, 0, "quality", NULL, "matrix: compare the sound with native f32 too"},
    {OPTION_QUIET, 'q', "quiet", NULL, "no progress, no notes; warnings and errors only"},
    CLI_BACKEND_OPTION,
    CLI_ENGINE_OPTIONS,
};

const char *const bench_backends[] = {"native", "espeak", "onnx",
                                      NULL}; /* as utter_backend, from 1 */

const char bench_default_text[] =
    "The rainbow is a division of white light into many beautiful colors. These take the shape of "
    "a long round arch, with its path high above, and its two ends apparently beyond the horizon.";

/* ---- Lists ------------------------------------------------------------------------------------
 */

/* Always false; the message is the one that cli_usage_error prints. */
static bool fail_list(struct args *args, int id, const char *problem) {
    snprintf(args->message, sizeof args->message, "--%s: %s", args_option(args, id)->name, problem);
    return false;
}

/* Names with commas between them, as places in `names`. */
static bool choice_list(struct args *args, int id, const char *text, const char *const *names,
                        int *out, size_t *n) {
    char word[32];
    for (*n = 0;;) {
        size_t n_word = strcspn(text, ",");
        snprintf(word, sizeof word, "%.*s", (int)n_word, text);
        int choice = args_choice(args, id, word, names);
        if (choice < 0) {
            return false;
        }
        if (*n == BENCH_MAX_LIST) {
            return fail_list(args, id, "more than 16 values");
        }
        out[(*n)++] = choice;
        if (text[n_word] == '\0') {
            return true;
        }
        text += n_word + 1;
    }
}

/* Whole numbers with commas between them, each within min..max; the message names the option. */
static bool count_list(struct args *args, int id, const char *text, int32_t min, int32_t max,
                       int32_t *out, size_t *n) {
    int32_t *list;
    char problem[80];
    if (!args_int_list(args, id, text, &list, n)) {
        return false;
    }
    bool ok = *n <= BENCH_MAX_LIST;
    for (size_t i = 0; ok && i < *n; i++) {
        ok = list[i] >= min && list[i] <= max;
        out[i] = list[i];
    }
    free(list);
    snprintf(problem, sizeof problem, "up to 16 whole numbers from %d to %d", (int)min, (int)max);
    return ok || fail_list(args, id, problem);
}

/* For options that may be given again: each adds a value. */
static bool append(struct args *args, int id, const char **list, size_t *n, const char *value) {
    if (*n == BENCH_MAX_LIST) {
        return fail_list(args, id, "given more than 16 times");
    }
    list[(*n)++] = value;
    return true;
}

/* ---- Options ----------------------------------------------------------------------------------
 */

/* Any of these asks for the matrix, whatever else is given. */
static bool set_matrix_option(struct bench_options *o, struct args *args, int id,
                              const char *value) {
    o->is_matrix = true;
    switch (id) {
    case OPTION_PRECISIONS:
        return choice_list(args, id, value, setting_precisions, o->precisions, &o->n_precisions);
    case OPTION_BACKENDS:
        return choice_list(args, id, value, bench_backends, o->backends, &o->n_backends);
    case OPTION_THREAD_COUNTS:
        return count_list(args, id, value, 1, 256, o->thread_counts, &o->n_thread_counts);
    case OPTION_STREAM_COUNTS:
        return count_list(args, id, value, 1, BENCH_MAX_STREAMS, o->stream_counts,
                          &o->n_stream_counts);
    case OPTION_ROUNDS:
        return args_int(args, id, value, 1, BENCH_MAX_ROUNDS, &o->n_rounds);
    case OPTION_BASE:
        o->base = value;
        return true;
    case OPTION_QUALITY:
        return o->quality = true;
    case OPTION_HTML:
        o->html_file = value;
        return true;
    default:
        o->json_file = value;
        return true;
    }
}

/* Kinds of input exclude each other; `check` sees to that when all is read. */
static bool set_input_option(struct bench_options *o, struct args *args, int id,
                             const char *value) {
    switch (id) {
    case OPTION_IDS:
        free(o->ids);
        o->ids_text = value;
        return args_int_list(args, id, value, &o->ids, &o->n_ids);
    case OPTION_TEXT:
        return append(args, id, o->texts, &o->n_texts, value);
    case OPTION_LENGTHS:
        return count_list(args, id, value, 1, MAX_LENGTH, o->lengths, &o->n_lengths);
    case OPTION_VOICE:
        o->voice = value;
        return true;
    case OPTION_SPEAKER:
        o->speaker = value;
        return true;
    default:
        o->scales_text = value;
        return args_float_list(args, id, value, o->scales, 3);
    }
}

static bool set_option(struct bench_options *o, struct args *args, int id, const char *value) {
    switch (id) {
    case OPTION_RUNS:
        return args_int(args, id, value, 1, BENCH_MAX_RUNS, &o->n_runs);
    case OPTION_STREAMS:
        return args_int(args, id, value, 1, BENCH_MAX_STREAMS, &o->n_streams);
    case OPTION_PARALLEL:
        return args_int(args, id, value, 0, 8, &o->n_parallel);
    case OPTION_MODEL:
        o->common.model = value;
        return append(args, id, o->models, &o->n_models, value);
    case OPTION_SAMPLES:
        o->samples_file = value;
        return true;
    case OPTION_PROFILE:
        return o->profile = true;
    case OPTION_QUIET:
        return o->quiet = true;
    default:
        return id >= OPTION_HELP         ? cli_common_option(&o->common, args, id, value)
               : id >= OPTION_PRECISIONS ? set_matrix_option(o, args, id, value)
                                         : set_input_option(o, args, id, value);
    }
}

/* What is wrong with the line as a whole, NULL if nothing; also decides which form is meant and
 * fills in the text that is spoken when none is given. */
static const char *check(struct bench_options *o) {
    size_t n_inputs = o->n_texts + o->n_lengths + (o->ids != NULL);
    if ((o->ids != NULL) + (o->n_texts > 0) + (o->n_lengths > 0) > 1) {
        return "give --text or --ids or --lengths, one of them";
    }
    if (o->voice && o->speaker) {
        return "give --voice or --speaker, not both";
    }
    o->is_matrix = o->is_matrix || o->n_models > 1 || n_inputs > 1;
    if (o->samples_file && (o->is_matrix || o->n_streams > 1)) {
        return "--samples is for one voice and one stream";
    }
    if (o->is_matrix && o->n_models == 0) {
        return "a matrix needs its models: -m A -m B";
    }
    if (n_inputs == 0) {
        o->texts[o->n_texts++] = bench_default_text;
    }
    return NULL;
}

/* EXIT_OK also for --help, which is looked at afterwards. */
static int parse(struct bench_options *o, struct args *args) {
    const char *value;
    for (int id; (id = args_next(args, &value)) != ARG_END;) {
        if (id == ARG_OPERAND) {
            return cli_usage_fail(args, &bench_command, "the text is given with --text");
        }
        if (id == ARG_ERROR || !set_option(o, args, id, value)) {
            return cli_usage_error(args, &bench_command);
        }
    }
    const char *problem = o->common.help ? NULL : check(o);
    return problem ? cli_usage_fail(args, &bench_command, problem) : EXIT_OK;
}

/* The list of ids is the only memory that the options own. */
static int run(struct args *args) {
    struct bench_options o = {.n_runs = 3, .n_rounds = 5, .n_streams = 1};
    o.common.no_fallback = true; /* time this voice, not a stand-in */
    int code = parse(&o, args);
    if (code == EXIT_OK) {
        code = o.common.help ? SHOW_HELP : o.is_matrix ? bench_matrix(&o) : bench_voice(&o);
    }
    free(o.ids);
    return code;
}

const struct cli_command bench_command = {
    .name = "bench",
    .summary = "how fast a voice speaks on this machine",
    .usage = "[OPTIONS]",
    .notes = "RTF is time per second of sound: 0.1 is ten times faster than speech.\n"
             "\n"
             "With several models, texts or lengths, or an option of the matrix, every\n"
             "combination is a cell: each takes its turn, round after round, in a process of\n"
             "its own, and is compared with a base: ONNX Runtime where its library is found,\n"
             "else native f32.\n"
             "  utter bench -m A.onnx --precisions f32,int8 --lengths 60,250\n",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .run = run,
};
