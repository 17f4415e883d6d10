/* utter info: what a voice file is. */
#include <string.h>

#include "cli.h"

enum { OPTION_TENSORS = 1 };

static const struct arg_option options[] = {
    CLI_MODEL_OPTION,
    {OPTION_TENSORS, 't', "tensors", NULL, "list every weight tensor"},
    CLI_BACKEND_OPTION,
    CLI_ENGINE_OPTIONS,
};

/* Nothing for what the voice does not have. */
static void print_line(const char *name, const char *value) {
    if (value && *value) {
        printf("%-12s %s\n", name, value);
    }
}

static void print_info(const utter_voice_info *info) {
    print_line("name", info->name);
    print_line("path", info->path);
    print_line("family", info->family);
    print_line("format", info->format);
    print_line("weights", info->quantization);
    print_line("backend", info->backend);
    print_line("fallback", info->fallback_reason);
    print_line("language", info->language);
    printf("%-12s %d Hz\n", "sample rate", info->sample_rate_hz);
    printf("%-12s %d\n", "speakers", info->n_speakers);
    if (info->n_parameters > 0) {
        printf("%-12s %.2f million\n", "parameters", (double)info->n_parameters / 1e6);
        printf("%-12s %.1f MB\n", "file size", (double)info->file_bytes / 1e6);
    }
    if (info->noise_scale > 0 || info->noise_w > 0) {
        printf("%-12s noise %g, length %g, noise-w %g\n", "scales", info->noise_scale,
               info->length_scale, info->noise_w);
    }
}

/* "name type rows x columns", from an entry of the library's description. */
static void print_tensor(const json_t *tensor) {
    char shape[80] = "";
    const json_t *dims = json_object_get(tensor, "shape"), *dim;
    size_t i;
    json_array_foreach(dims, i, dim) {
        size_t used = strlen(shape);
        snprintf(shape + used, sizeof shape - used, "%s%lld", i > 0 ? " x " : "",
                 (long long)json_integer_value(dim));
    }
    const char *name = json_string_value(json_object_get(tensor, "name"));
    const char *type = json_string_value(json_object_get(tensor, "type"));
    printf("  %-60s %-5s %s\n", name ? name : "?", type ? type : "?", shape);
}

/* False after an error, which has been printed. */
static bool print_tensors(utter_voice *voice) {
    utter_error err = {0};
    char *text;
    if (utter_voice_describe(voice, true, &text, &err) != UTTER_OK) {
        cli_print_error("%s", err.message);
        return false;
    }
    json_t *description = cli_parse_json(text);
    const json_t *tensors = json_object_get(description, "tensors"), *tensor;
    size_t i;
    printf("tensors      %zu\n", json_array_size(tensors));
    json_array_foreach(tensors, i, tensor) {
        print_tensor(tensor);
    }
    json_decref(description);
    return description != NULL;
}

/* JSON is the library's own description; the table is made from utter_voice_info. */
static int print_voice(utter_voice *voice, bool json, bool tensors) {
    utter_voice_info info = {.size = sizeof info};
    utter_error err = {0};
    char *text;
    if (json && utter_voice_describe(voice, tensors, &text, &err) == UTTER_OK) {
        return cli_print_json_text(text);
    }
    if (json) {
        cli_print_error("%s", err.message);
        return EXIT_FAILED;
    }
    utter_voice_get_info(voice, &info);
    print_info(&info);
    return tensors && !print_tensors(voice) ? EXIT_FAILED : cli_finish_output();
}

static int run(struct args *args) {
    struct cli_common common = {.no_fallback = true}; /* of this file, not of a stand-in */
    const char *value;
    bool tensors = false;
    for (int id; (id = args_next(args, &value)) != ARG_END;) {
        if (id == OPTION_TENSORS) {
            tensors = true;
        } else if (id == ARG_OPERAND && !common.model) {
            common.model = value;
        } else if (id == ARG_OPERAND) {
            return cli_usage_fail(args, &info_command, "one voice at a time");
        } else if (id == ARG_ERROR || !cli_common_option(&common, args, id, value)) {
            return cli_usage_error(args, &info_command);
        }
    }
    if (common.help) {
        return SHOW_HELP;
    }
    utter_engine *engine = NULL;
    utter_voice *voice = NULL;
    int code = EXIT_FAILED;
    if (cli_open_engine(&common, &engine) && cli_open_voice(&common, engine, &voice)) {
        code = print_voice(voice, common.json, tensors);
    }
    utter_voice_close(voice);
    utter_engine_destroy(engine);
    return code;
}

const struct cli_command info_command = {
    .name = "info",
    .summary = "what a voice is: family, rate, speakers, sizes",
    .usage = "[OPTIONS] [VOICE]",
    .notes = "Without VOICE the default voice is described.\n",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .model = MODEL_IS_OPERAND,
    .run = run,
};
