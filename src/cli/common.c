/* Options, messages and handles that the subcommands share. */
#include "cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "progress.h"
#include "settings.h"

/* ---- Messages ------------------------------------------------------------------------------- */

/* File names and the like may hold anything; a terminal must not obey it. */
static void print_message(const char *kind, const char *format, va_list list) {
    char text[1024];
    vsnprintf(text, sizeof text, format, list);
    for (char *c = text; *c; c++) {
        *c = (unsigned char)*c < 0x20 || *c == 0x7F ? '?' : *c;
    }
    progress_clear_line();
    fprintf(stderr, "utter: %s%s\n", kind, text);
}

void cli_print_error(const char *format, ...) {
    va_list list;
    va_start(list, format);
    print_message("error: ", format, list);
    va_end(list);
}

void cli_print_warning(const char *format, ...) {
    va_list list;
    va_start(list, format);
    print_message("warning: ", format, list);
    va_end(list);
}

void cli_print_note(const char *format, ...) {
    va_list list;
    va_start(list, format);
    print_message("", format, list);
    va_end(list);
}

int cli_usage_error(const struct args *args, const struct cli_command *command) {
    cli_print_error("%s", args->message);
    cli_print_note("see: utter help %s", command->name);
    return EXIT_USAGE;
}

int cli_usage_fail(struct args *args, const struct cli_command *command, const char *message) {
    snprintf(args->message, sizeof args->message, "%s", message);
    return cli_usage_error(args, command);
}

/* ---- Options -------------------------------------------------------------------------------- */

/* The default is -h: args_next gives no id that is not in a table. */
bool cli_common_option(struct cli_common *common, struct args *args, int id, const char *value) {
    static const char *const backends[] = {"auto", "native", "espeak", "onnx", NULL};
    static const char *const preferences[] = {"auto", "native", "onnx", NULL};
    static const utter_backend preferred[] = {UTTER_BACKEND_AUTO, UTTER_BACKEND_NATIVE,
                                              UTTER_BACKEND_ONNX};
    int64_t number;
    int choice;
    switch (id) {
    case OPTION_THREADS:
        if (!args_int(args, id, value, 0, 256, &number)) {
            return false;
        }
        common->n_threads = (int32_t)number;
        return true;
    case OPTION_MEMORY_LIMIT:
        return args_size(args, id, value, &common->memory_limit_bytes);
    case OPTION_MLOCK:
        return common->mlock = true;
    case OPTION_CPU:
        choice = args_choice(args, id, value, setting_levels);
        common->cpu = value;
        return choice >= 0;
    case OPTION_PRECISION:
        choice = args_choice(args, id, value, setting_precisions);
        common->precision = value;
        return choice >= 0;
    case OPTION_EXACT:
        return common->exact = true;
    case OPTION_BACKEND:
        choice = args_choice(args, id, value, backends);
        common->backend = (utter_backend)choice;
        return choice >= 0;
    case OPTION_PREFERRED_BACKEND:
        choice = args_choice(args, id, value, preferences);
        common->preferred = preferred[choice < 0 ? 0 : choice];
        return choice >= 0;
    case OPTION_PROVIDER:
        choice = args_choice(args, id, value, setting_providers);
        common->provider = value;
        return choice >= 0;
    case OPTION_ONNXRUNTIME:
        common->onnxruntime = value;
        return true;
    case OPTION_COREML_PATH:
        common->coreml_path = value;
        return true;
    case OPTION_CONFIG: /* both were obeyed before the command began */
    case OPTION_SET:
        return true;
    case OPTION_MODEL:
        common->model = value;
        return true;
    case OPTION_NO_FALLBACK:
        return common->no_fallback = true;
    case OPTION_JSON:
        return common->json = true;
    case OPTION_VERBOSE:
        return common->verbose = true;
    default:
        return common->help = true;
    }
}

/* ---- Engine and voice ----------------------------------------------------------------------- */

/* The library's messages in the program's form; notes only with --verbose. */
int cli_columns(const char *text) {
    int n = 0;
    for (; *text; text++) {
        n += ((unsigned char)*text & 0xC0) != 0x80;
    }
    return n;
}

static void print_log(void *user, utter_log_level level, const char *message) {
    const bool *verbose = user;
    if (level == UTTER_LOG_WARNING) {
        cli_print_warning("%s", message);
    } else if (level == UTTER_LOG_INFO && *verbose) {
        cli_print_note("%s", message);
    }
}

/* A tuning file is used if it is there; one that does not fit is warned of by the library. */
bool cli_open_engine(const struct cli_common *common, utter_engine **engine) {
    utter_engine_options options;
    utter_error err = {0};
    char tuning[PATH_MAX];
    utter_engine_options_init(&options);
    bool tuned = !common->untuned && !common->exact && cli_tuning_path(tuning);
    options.tuning = tuned && access(tuning, F_OK) == 0 ? tuning : NULL;
    options.n_threads = common->n_threads;
    options.cpu = common->cpu;
    options.memory_limit_bytes = common->memory_limit_bytes;
    options.lock_memory = common->mlock;
    options.precision = common->precision;
    options.exact = common->exact;
    options.onnxruntime = common->onnxruntime && *common->onnxruntime ? common->onnxruntime : NULL;
    options.log = print_log;
    options.log_user = (void *)&common->verbose; /* only read */
    if (utter_engine_create(&options, engine, &err) != UTTER_OK) {
        cli_print_error("%s", err.message);
        return false;
    }
    return true;
}

bool cli_open_voice(const struct cli_common *common, utter_engine *engine, utter_voice **voice) {
    utter_voice_options options;
    utter_error err = {0};
    utter_voice_options_init(&options);
    options.backend = common->backend;
    options.preferred = common->preferred;
    options.provider = common->provider;
    options.coreml_path = common->coreml_path;
    options.no_fallback = common->no_fallback;
    if (utter_voice_open(engine, common->model, &options, voice, &err) != UTTER_OK) {
        cli_print_error("%s", err.message);
        return false;
    }
    return true;
}

/* ---- Standard output ------------------------------------------------------------------------ */

/* A full disk or a closed pipe shows here at the latest. */
int cli_finish_output(void) {
    if (fflush(stdout) != 0 || ferror(stdout)) {
        cli_print_error("cannot write to standard output: %s", strerror(errno));
        return EXIT_FAILED;
    }
    return EXIT_OK;
}

/* Nine digits: enough for any float that the library gives. */
int cli_print_json(json_t *value) {
    char *text = value ? json_dumps(value, JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(value);
    if (!text) {
        cli_print_error("out of memory for the JSON answer");
        return EXIT_FAILED;
    }
    puts(text);
    free(text);
    return cli_finish_output();
}

int cli_print_json_text(char *text) {
    puts(text);
    utter_free(text);
    return cli_finish_output();
}

json_t *cli_parse_json(char *text) {
    json_error_t problem;
    json_t *value = json_loads(text, 0, &problem);
    utter_free(text);
    if (!value) {
        cli_print_error("the library's JSON cannot be read: %s", problem.text);
    }
    return value;
}
