/* utter voices: the speakers of a voice. */
#include "cli.h"

static const struct arg_option options[] = {
    CLI_MODEL_OPTION,
    CLI_BACKEND_OPTION,
    CLI_ENGINE_OPTIONS,
};

/* A speaker without a name has null. */
static int print_json(const utter_voice *voice, const utter_voice_info *info) {
    json_t *speakers = json_array();
    for (int32_t i = 0; i < info->n_speakers; i++) {
        json_array_append_new(speakers, json_pack("{s:i, s:s?}", "index", (int)i, "name",
                                                  utter_voice_speaker(voice, i)));
    }
    return cli_print_json(json_pack("{s:s, s:s, s:o}", "voice", info->name, "language",
                                    info->language, "speakers", speakers));
}

static int print_speakers(const utter_voice *voice, bool json) {
    utter_voice_info info = {.size = sizeof info};
    utter_voice_get_info(voice, &info);
    if (json) {
        return print_json(voice, &info);
    }
    for (int32_t i = 0; i < info.n_speakers; i++) {
        const char *name = utter_voice_speaker(voice, i);
        printf("%4d  %s\n", i, name ? name : "");
    }
    return cli_finish_output();
}

static int run(struct args *args) {
    struct cli_common common = {.no_fallback = true}; /* of this file, not of a stand-in */
    const char *value;
    for (int id; (id = args_next(args, &value)) != ARG_END;) {
        if (id == ARG_OPERAND && !common.model) {
            common.model = value;
        } else if (id == ARG_OPERAND) {
            return cli_usage_fail(args, &voices_command, "one voice at a time");
        } else if (id == ARG_ERROR || !cli_common_option(&common, args, id, value)) {
            return cli_usage_error(args, &voices_command);
        }
    }
    if (common.help) {
        return SHOW_HELP;
    }
    utter_engine *engine = NULL;
    utter_voice *voice = NULL;
    int code = EXIT_FAILED;
    if (cli_open_engine(&common, &engine) && cli_open_voice(&common, engine, &voice)) {
        code = print_speakers(voice, common.json);
    }
    utter_voice_close(voice);
    utter_engine_destroy(engine);
    return code;
}

const struct cli_command voices_command = {
    .name = "voices",
    .summary = "the speakers of a voice",
    .usage = "[OPTIONS] -m VOICE",
    .notes = "A name from this list is what --voice of \"utter speak\" takes, a number what\n"
             "--speaker takes.\n",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .model = MODEL_IS_OPERAND,
    .run = run,
};
