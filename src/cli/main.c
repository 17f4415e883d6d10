/* utter: finds the subcommand and shows help. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "settings.h"

static const struct cli_command *const commands[] = {
    &speak_command,  &info_command,  &voices_command, &backends_command, &eval_command,
    &import_command, &trace_command, &bench_command,  &config_command,   &tune_command,
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

/* What utter says without arguments; the commands stand in the order of the table. */
static int print_overview(void) {
    printf("utter %s: local text-to-speech\n\n"
           "  utter speak \"Hello there.\" -o hello.wav    speak into a file\n"
           "  utter speak \"Hello there.\" --play          speak aloud\n"
           "  utter speak -m VOICE.onnx -f book.txt -o book.opus\n"
           "  utter speak -m kokoro-v1_0.pth -v af_heart \"Hello there.\" --play\n\n"
           "Commands:\n",
           utter_version());
    for (int i = 0; i < N_COMMANDS; i++) {
        printf("  %-10s %s\n", commands[i]->name, commands[i]->summary);
    }
    printf("\n\"utter help COMMAND\" shows a command's options; \"man utter\" tells everything.\n");
    return cli_finish_output();
}

/* From the tables that the parser reads, so that help and parser cannot differ. */
static int print_help(const struct cli_command *command) {
    printf("utter %s: %s\n\nUsage: utter %s %s\n\n", command->name, command->summary, command->name,
           command->usage);
    args_print_options(stdout, command->options, command->n_options);
    if (command->notes) {
        printf("\n%s", command->notes);
    }
    return cli_finish_output();
}

/* NULL with a message that names the nearest. */
static const struct cli_command *find_command(const char *name) {
    const char *names[N_COMMANDS + 1];
    for (int i = 0; i < N_COMMANDS; i++) {
        if (strcmp(name, commands[i]->name) == 0) {
            return commands[i];
        }
        names[i] = commands[i]->name;
    }
    names[N_COMMANDS] = "help";
    const char *nearest = args_nearest(name, names, N_COMMANDS + 1);
    if (nearest) {
        cli_print_error("there is no command \"%s\"; did you mean \"%s\"?", name, nearest);
    } else {
        cli_print_error("there is no command \"%s\"; \"utter help\" lists them", name);
    }
    return NULL;
}

/* Spellings of one word. */
static bool is_one_of(const char *word, const char *a, const char *b, const char *c) {
    return strcmp(word, a) == 0 || strcmp(word, b) == 0 || strcmp(word, c) == 0;
}

/* Everything that is said elsewhere than on the line. False with a message. */
static bool load_settings(struct settings *settings, const struct cli_command *command,
                          const struct args *args) {
    const char *config;
    settings_init(settings, cli_print_warning);
    bool ok = settings_read_line(settings, *args, command->model == MODEL_IS_OPERAND, &config);
    if (ok && settings->help) {
        return true;
    }
    ok = ok && settings_read_environment(settings, getenv) &&
         settings_read_file(settings, config) && settings_reconcile(settings);
    if (!ok && settings->message[0]) {
        cli_print_error("%s", settings->message);
    }
    if (command->model == MODEL_ON_LINE_ONLY &&
        settings->values[SETTING_MODEL].origin != SETTING_FLAG) {
        settings->values[SETTING_MODEL].dropped = "the command takes one only from the line";
    }
    return ok;
}

/* Settings become presets: options that come before those of the line, so that the line wins. */
static int run_command(const struct cli_command *command, struct args *args) {
    struct settings settings;
    struct arg_preset presets[N_SETTINGS];
    int code = EXIT_USAGE;
    if (load_settings(&settings, command, args)) {
        args->settings = &settings;
        args->presets = presets;
        args->n_presets = settings_presets(&settings, args, presets);
        code = command->run(args);
    }
    settings_free(&settings);
    return code;
}

/* --help of a command is read like its other options, so that it may stand anywhere. */
int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error with a message, */
    signal(SIGXFSZ, SIG_IGN); /* and so is a file that grew to its limit */
    if (argc < 2) {
        return print_overview();
    }
    const char *name = argv[1];
    if (is_one_of(name, "--version", "-V", "version")) {
        printf("utter %s\n", utter_version());
        return cli_finish_output();
    }
    bool help = is_one_of(name, "help", "--help", "-h");
    if (help && argc == 2) {
        return print_overview();
    }
    const struct cli_command *command = find_command(help ? argv[2] : name);
    if (!command) {
        return EXIT_USAGE;
    }
    struct args args = {.options = command->options,
                        .n_options = command->n_options,
                        .argc = argc - 2,
                        .argv = argv + 2};
    int code = help ? SHOW_HELP : run_command(command, &args);
    return code == SHOW_HELP ? print_help(command) : code;
}
