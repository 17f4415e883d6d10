/* utter backends: what this build can speak with. */
#include "cli.h"

static const struct arg_option options[] = {
    CLI_MODEL_OPTION,
    CLI_BACKEND_OPTION,
    CLI_ENGINE_OPTIONS,
};

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* "  library PATH, CPUExecutionProvider, ...", of a backend that another library is. */
static void print_library(const json_t *backend) {
    const json_t *provider;
    size_t i;
    if (!*text_of(backend, "library")) {
        return;
    }
    printf("         %s:", text_of(backend, "library"));
    json_array_foreach(json_object_get(backend, "providers"), i, provider) {
        printf("%s %s", i ? "," : "", json_string_value(provider));
    }
    putchar('\n');
}

static void print_backend(const json_t *backend) {
    const char *state = json_is_true(json_object_get(backend, "loaded"))      ? "loaded"
                        : json_is_true(json_object_get(backend, "available")) ? "available"
                                                                              : "not available";
    printf("%-8s %-8s %-14s %-8s %lld threads  %s\n", text_of(backend, "type"),
           text_of(backend, "version"), state, text_of(backend, "level"),
           (long long)json_integer_value(json_object_get(backend, "threads")),
           text_of(backend, "unavailable_reason"));
    print_library(backend);
}

/* The report of utter_backends: as it is, or a line for each backend. */
static int print_backends(utter_engine *engine, utter_voice *voice, bool json) {
    utter_error err = {0};
    char *text;
    if (utter_backends(engine, voice, &text, &err) != UTTER_OK) {
        cli_print_error("%s", err.message);
        return EXIT_FAILED;
    }
    if (json) {
        return cli_print_json_text(text);
    }
    json_t *backends = cli_parse_json(text), *backend;
    size_t i;
    json_array_foreach(backends, i, backend) {
        print_backend(backend);
    }
    bool ok = backends != NULL;
    json_decref(backends);
    return ok ? cli_finish_output() : EXIT_FAILED;
}

/* Without -m nothing is loaded, and memory is not told. */
static int run(struct args *args) {
    struct cli_common common = {0};
    const char *value;
    for (int id; (id = args_next(args, &value)) != ARG_END;) {
        if (id == ARG_OPERAND) {
            return cli_usage_fail(args, &backends_command, "a voice is named with -m");
        }
        if (id == ARG_ERROR || !cli_common_option(&common, args, id, value)) {
            return cli_usage_error(args, &backends_command);
        }
    }
    if (common.help) {
        return SHOW_HELP;
    }
    utter_engine *engine = NULL;
    utter_voice *voice = NULL;
    int code = EXIT_FAILED;
    if (cli_open_engine(&common, &engine) &&
        (!common.model || cli_open_voice(&common, engine, &voice))) {
        code = print_backends(engine, voice, common.json);
    }
    utter_voice_close(voice);
    utter_engine_destroy(engine);
    return code;
}

const struct cli_command backends_command = {
    .name = "backends",
    .summary = "what this build can speak with",
    .usage = "[OPTIONS]",
    .notes = "With -m the voice is loaded, and its memory is in the report (--json).\n",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .model = MODEL_ON_LINE_ONLY,
    .run = run,
};
