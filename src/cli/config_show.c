/* utter config: the settings in effect and where each is from. */
#include <string.h>

#include "cli.h"
#include "settings.h"

/* Ids below OPTION_HELP are this table's own and mean nothing: settings_read_line has read the line
 * before the command began. */
static const struct arg_option options[] = {
    CLI_MODEL_OPTION,
    {1, 'v', "voice", "NAME", "this and the following as in \"utter speak\""},
    {2, 0, "speaker", "NAME", ""},
    {3, 0, "language", "NAME", ""},
    {4, 0, "speed", "X", ""},
    {5, 0, "noise", "X", ""},
    {6, 0, "noise-w", "X", ""},
    {7, 0, "silence", "SECONDS", ""},
    {12, 0, "parallel", "N", ""},
    {8, 0, "volume", "X", ""},
    {9, 0, "normalize", NULL, ""},
    {10, 0, "seed", "N", ""},
    {11, 0, "format", "NAME", ""},
    CLI_BACKEND_OPTION,
    {OPTION_NO_FALLBACK, 0, "no-fallback", NULL, "fail where another backend would step in"},
    CLI_ENGINE_OPTIONS,
};

/* "environment, GGUF_THREADS": empty for a default. */
static void describe_origin(const struct settings *settings, const struct setting_value *value,
                            char text[], size_t size) {
    text[0] = '\0';
    if (value->text) {
        snprintf(text, size, "%s%s%s", setting_origin_name(value->origin),
                 value->origin == SETTING_FLAG ? ", --" : ", ", value->where);
    }
    if (value->text && value->dropped) {
        size_t n = strlen(text);
        snprintf(text + n, size - n, ": %s, not used: %s", value->text, value->dropped);
    }
}

/* A dash for what is the model's own; places are only told of what is not a default. */
static int print_table(const struct settings *settings) {
    char from[600];
    printf("file: %s\n\n", settings->file ? settings->file : "none");
    for (size_t i = 0; i < N_SETTINGS; i++) {
        const struct setting_value *value = &settings->values[i];
        const char *text = setting_text(settings, (enum setting_id)i);
        describe_origin(settings, value, from, sizeof from);
        printf("%-24s %-*s%s%s\n", setting_name((enum setting_id)i), *from ? 12 : 0,
               *text ? text : "-", *from ? " " : "", from);
    }
    return cli_finish_output();
}

/* Of a value that gave way: what it was and why. */
static int print_json(const struct settings *settings) {
    json_t *all = json_object();
    for (size_t i = 0; i < N_SETTINGS; i++) {
        const struct setting_value *value = &settings->values[i];
        const char *text = setting_text(settings, (enum setting_id)i);
        bool used = value->text && !value->dropped;
        json_object_set_new(
            all, setting_name((enum setting_id)i),
            json_pack("{s:s?, s:s, s:s?, s:s?, s:s?}", "value", *text ? text : NULL, "from",
                      setting_origin_name(used ? value->origin : SETTING_DEFAULT), "where",
                      value->where, "not_used", value->dropped ? value->text : NULL, "because",
                      value->text ? value->dropped : NULL));
    }
    return cli_print_json(json_pack("{s:s?, s:o}", "file", settings->file, "settings", all));
}

/* Values of the line were noted before (settings_read_line); only their form is left to check. */
static int run(struct args *args) {
    struct cli_common common = {0};
    const char *value;
    for (int id; (id = args_next(args, &value)) != ARG_END;) {
        if (id == ARG_OPERAND) {
            return cli_usage_fail(args, &config_command, "settings are given as options");
        }
        if (id == ARG_ERROR ||
            (id >= OPTION_HELP && !cli_common_option(&common, args, id, value))) {
            return cli_usage_error(args, &config_command);
        }
    }
    if (common.help) {
        return SHOW_HELP;
    }
    if (!settings_check_line(args->settings)) {
        return cli_usage_fail(args, &config_command, args->settings->message);
    }
    return common.json ? print_json(args->settings) : print_table(args->settings);
}

const struct cli_command config_command = {
    .name = "config",
    .summary = "the settings in effect, and where each is from",
    .usage = "[OPTIONS]",
    .notes = "An option of the line comes before the environment, that before the file, that\n"
             "before what is built in. \"man utter\" lists names and variables.\n",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .run = run,
};
