/* utter import: a model file with all that belongs to it becomes one GGUF file. What may be
 * imported, and what becomes of it, is the library's to know (utter_import); here are options,
 * progress and the answer to a signal. */
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "interrupt.h"
#include "progress.h"

enum { OPTION_OUTPUT = 1, OPTION_TYPE, OPTION_VOICES, OPTION_QUIET };

static const struct arg_option options[] = {
    {OPTION_OUTPUT, 'o', "output", "FILE.gguf", "the file to write"},
    {OPTION_TYPE, 0, "type", "TYPE",
     "store large weights as f32, f16, bf16 or int8; else as they are"},
    {OPTION_VOICES, 0, "voices", "NAMES", "take these voices, not all: af_*,bm_george"},
    {OPTION_QUIET, 'q', "quiet", NULL, "no progress, no notes; warnings and errors only"},
    CLI_ENGINE_OPTIONS,
};

/* The request of one run; `options` points into the command line. */
struct job {
    struct cli_common common;
    utter_import_options options;
    const char *input, *output;
    bool quiet;
};

/* False stops the import, which then leaves nothing behind. */
static bool show(void *user, const utter_import_progress *progress) {
    const struct job *job = user;
    if (!job->quiet && isatty(STDERR_FILENO)) {
        progress_show_share(progress->n_bytes_done, progress->n_bytes_total, progress->tensor);
    }
    return interrupt_signal() == 0;
}

/* Sizes in MB are decimal, as in the tables of docs/. */
static int report(const struct job *job, const utter_import_result *r) {
    if (job->common.json) {
        return cli_print_json(
            json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "output", job->output, "family",
                      r->family, "type", r->type, "tensors", (json_int_t)r->n_tensors, "voices",
                      (json_int_t)r->n_voices, "parameters", (json_int_t)r->n_parameters,
                      "bytes_in", (json_int_t)r->bytes_in, "bytes_out", (json_int_t)r->bytes_out));
    }
    if (!job->quiet) {
        cli_print_note("%s: %s, %s, %llu tensors, voices: %llu, %.1f MB (was %.1f MB)", job->output,
                       r->family, r->type, (unsigned long long)r->n_tensors,
                       (unsigned long long)r->n_voices, (double)r->bytes_out / 1e6,
                       (double)r->bytes_in / 1e6);
    }
    return EXIT_OK;
}

/* A signal is held and asked for between tensors. */
static int import(struct job *job) {
    utter_engine *engine;
    utter_error err = {0};
    utter_import_result result = {.size = sizeof result};
    if (!interrupt_start()) {
        cli_print_warning("an interrupted run may leave a temporary file behind");
    }
    if (!cli_open_engine(&job->common, &engine)) {
        return EXIT_FAILED;
    }
    interrupt_hold(true);
    utter_status status =
        utter_import(engine, job->input, job->output, &job->options, &result, &err);
    interrupt_hold(false);
    utter_engine_destroy(engine);
    progress_clear_line();
    int signal_number = interrupt_signal();
    if (status == UTTER_OK) {
        return report(job, &result);
    }
    if (status == UTTER_ERROR_CANCELLED && signal_number != 0) {
        cli_print_note("interrupted; %s was not written", job->output);
        return 128 + signal_number;
    }
    cli_print_error("%s", err.message);
    return EXIT_FAILED;
}

static bool set_option(struct job *job, struct args *args, int id, const char *value) {
    static const char *const types[] = {"f32", "f16", "bf16", "int8", NULL};
    switch (id) {
    case OPTION_OUTPUT:
        job->output = value;
        return true;
    case OPTION_TYPE:
        job->options.type = value;
        return args_choice(args, id, value, types) >= 0;
    case OPTION_VOICES:
        job->options.voices = value;
        return true;
    case OPTION_QUIET:
        return job->quiet = true;
    default:
        return cli_common_option(&job->common, args, id, value);
    }
}

static int run(struct args *args) {
    struct job job = {.quiet = false};
    const char *value;
    utter_import_options_init(&job.options);
    job.options.progress = show;
    job.options.progress_user = &job;
    for (int id; (id = args_next(args, &value)) != ARG_END;) {
        if (id == ARG_OPERAND && !job.input) {
            job.input = value;
        } else if (id == ARG_OPERAND) {
            return cli_usage_fail(args, &import_command, "one model at a time");
        } else if (id == ARG_ERROR || !set_option(&job, args, id, value)) {
            return cli_usage_error(args, &import_command);
        }
    }
    if (job.common.help) {
        return SHOW_HELP;
    }
    if (!job.input || !job.output) {
        return cli_usage_fail(args, &import_command,
                              job.input ? "where to? name the file with -o"
                                        : "a model to read is needed");
    }
    return import(&job);
}

const struct cli_command import_command = {
    .name = "import",
    .summary = "a model and its voices into one GGUF file",
    .usage = "[OPTIONS] MODEL -o FILE.gguf",
    .notes = "Examples:\n"
             "  utter import kokoro-v1_0.pth -o kokoro.gguf\n"
             "  utter import kokoro-v1_0.pth -o small.gguf --type int8 --voices 'af_*'\n"
             "  utter import en_US-amy-medium.onnx -o amy.gguf\n"
             "\n"
             "Reads .pth, .safetensors and .onnx with the configuration and the voices beside\n"
             "them.\n",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .run = run,
};
