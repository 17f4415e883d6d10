/* utter trace: a model on recorded inputs, stage by stage against the recording. */
#include <inttypes.h>

#include "cli.h"

enum { OPTION_OUTPUT = 1, OPTION_CASE };

static const struct arg_option options[] = {
    {OPTION_OUTPUT, 'o', "output", "FILE", "write every stage to FILE (safetensors)"},
    {OPTION_CASE, 0, "case", "NAME", "this case only, not all in the recording"},
    CLI_ENGINE_OPTIONS,
};

/* A stage that is only made here, or has another size there, is not compared. */
static void print_stage(void *user, const utter_trace_stage *stage) {
    char shape[64] = "";
    for (int i = 0, used = 0; i < stage->n_dims; i++) {
        used += snprintf(shape + used, sizeof shape - (size_t)used, "%s%" PRIu64, i > 0 ? "x" : "",
                         stage->dims[i]);
    }
    if (stage->compared) {
        printf("%-40s %-16s max error %.3e  SNR %6.1f dB\n", stage->name, shape,
               stage->max_abs_error, stage->snr_db);
    } else {
        printf("%-40s %-16s not in the recording\n", stage->name, shape);
    }
}

/* `user` is the array of --json. */
static void append_stage(void *user, const utter_trace_stage *stage) {
    json_t *dims = json_array();
    for (int i = 0; i < stage->n_dims; i++) {
        json_array_append_new(dims, json_integer((json_int_t)stage->dims[i]));
    }
    json_t *entry = json_pack("{s:s, s:o, s:b}", "stage", stage->name, "shape", dims, "compared",
                              (int)stage->compared);
    if (stage->compared) {
        json_object_set_new(entry, "max_abs_error", json_real(stage->max_abs_error));
        json_object_set_new(entry, "snr_db", json_real(stage->snr_db));
    }
    json_array_append_new(user, entry);
}

struct job {
    struct cli_common common;
    const char *operands[2]; /* model, recording */
    int n_operands;
    const char *output, *case_name;
};

/* Stages are printed as they come: a model that fails half-way has told what went before. */
static int trace(const struct job *job) {
    utter_engine *engine;
    utter_error err = {0};
    if (!cli_open_engine(&job->common, &engine)) {
        return EXIT_FAILED;
    }
    json_t *stages = job->common.json ? json_array() : NULL;
    utter_status status =
        utter_trace(engine, job->operands[0], job->operands[1], job->case_name, job->output,
                    stages ? append_stage : print_stage, stages, &err);
    utter_engine_destroy(engine);
    if (status != UTTER_OK) {
        fflush(stdout);
        json_decref(stages);
        cli_print_error("%s", err.message);
        return EXIT_FAILED;
    }
    return stages ? cli_print_json(stages) : cli_finish_output();
}

static int run(struct args *args) {
    struct job job = {0};
    const char *value;
    for (int id; (id = args_next(args, &value)) != ARG_END;) {
        if (id == OPTION_OUTPUT) {
            job.output = value;
        } else if (id == OPTION_CASE) {
            job.case_name = value;
        } else if (id == ARG_OPERAND && job.n_operands < 2) {
            job.operands[job.n_operands++] = value;
        } else if (id == ARG_OPERAND) {
            return cli_usage_fail(args, &trace_command, "one model and one recording at a time");
        } else if (id == ARG_ERROR || !cli_common_option(&job.common, args, id, value)) {
            return cli_usage_error(args, &trace_command);
        }
    }
    if (job.common.help) {
        return SHOW_HELP;
    }
    if (job.n_operands < 2) {
        return cli_usage_fail(args, &trace_command, "a model and a recording are needed");
    }
    return trace(&job);
}

const struct cli_command trace_command = {
    .name = "trace",
    .summary = "a model on recorded inputs, compared stage by stage",
    .usage = "[OPTIONS] MODEL RECORDING.safetensors",
    .notes = "Prints each stage's shape, largest error and signal-to-noise ratio (200 dB:\n"
             "equal).\n",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .run = run,
};
