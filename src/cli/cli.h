/* What the subcommands share: messages, exit codes, common options, engine and voice, JSON output.
 * The program is a client of utter.h like any other; it uses nothing else of utter. */
#ifndef UT_CLI_CLI_H
#define UT_CLI_CLI_H

#include <jansson.h>
#include <limits.h>

#include "args.h"
#include "utter.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* One subcommand. run returns an exit code, or SHOW_HELP when --help was given. */
enum { SHOW_HELP = -1 };

struct cli_command {
    const char *name, *summary;
    const char *usage; /* after "utter NAME", one line */
    const char *notes; /* examples and explanations behind the options, whole lines */
    const struct arg_option *options;
    size_t n_options;
    enum { MODEL_FROM_ANYWHERE, MODEL_IS_OPERAND, MODEL_ON_LINE_ONLY } model;
    int (*run)(struct args *args);
};

extern const struct cli_command speak_command, info_command, voices_command, backends_command,
    trace_command, bench_command, import_command, config_command, eval_command, tune_command;

/* ---- Options that most commands have ----------------------------------------------------------
 */

enum {
    OPTION_HELP = 1000,
    OPTION_THREADS,
    OPTION_MEMORY_LIMIT,
    OPTION_MLOCK,
    OPTION_CPU,
    OPTION_JSON,
    OPTION_VERBOSE,
    OPTION_MODEL,
    OPTION_BACKEND,
    OPTION_PROVIDER,
    OPTION_ONNXRUNTIME,
    OPTION_NO_FALLBACK,
    OPTION_PRECISION,
    OPTION_EXACT,
    OPTION_PREFERRED_BACKEND,
    OPTION_COREML_PATH,
    OPTION_CONFIG,
    OPTION_SET
};

/* clang-format off */
#define CLI_ENGINE_OPTIONS                                                                         \
    {OPTION_THREADS, 0, "threads", "N", "compute threads; 0, the default: one per core"},          \
    {OPTION_MEMORY_LIMIT, 0, "memory-limit", "SIZE", "500M, 2G: use no more memory than that"},    \
    {OPTION_MLOCK, 0, "mlock", NULL, "keep the model from being swapped out"},                     \
    {OPTION_CPU, 0, "cpu", "LEVEL", "kernels: scalar, avx2, avx512 or neon, not the best"},        \
    {OPTION_PRECISION, 0, "precision", "NAME", "compute in f32, bf16 or int8, not as stored (auto)"}, \
    {OPTION_EXACT, 0, "exact", NULL, "every sum in full: no minimal filtering"},                   \
    {OPTION_CONFIG, 0, "config", "FILE", "settings from FILE (UTTER_CONFIG; ~/.config/utter/config.json)"}, \
    {OPTION_SET, 0, "set", "NAME=VALUE", "a setting by its name, as in the file"},                 \
    {OPTION_JSON, 0, "json", NULL, "print the answer as JSON"},                                    \
    {OPTION_VERBOSE, 0, "verbose", NULL, "tell more on standard error"},                         \
    {OPTION_HELP, 'h', "help", NULL, "show this help"}
#define CLI_MODEL_OPTION                                                                           \
    {OPTION_MODEL, 'm', "model", "PATH", "voice: a file or folder, or espeak[:LANGUAGE]"}
#define CLI_BACKEND_OPTION                                                                         \
    {OPTION_BACKEND, 0, "backend", "NAME", "auto, native, onnx or espeak"},                        \
    {OPTION_PREFERRED_BACKEND, 0, "preferred-backend", "NAME", "native or onnx: tried first where both can speak"}, \
    {OPTION_PROVIDER, 0, "provider", "NAME", "what ONNX Runtime computes on: cpu, cuda or coreml"}, \
    {OPTION_ONNXRUNTIME, 0, "onnxruntime", "PATH", "ONNX Runtime's library (UTTER_ONNXRUNTIME)"}, \
    {OPTION_COREML_PATH, 0, "coreml-path", "FILE", "the model's ONNX file for the provider coreml"}
/* clang-format on */

/* Strings are those of the command line or of the settings, which outlive the command. */
struct cli_common {
    int32_t n_threads;
    uint64_t memory_limit_bytes;
    bool mlock, exact;
    const char *precision;
    const char *cpu;
    const char *model; /* NULL: the default voice */
    utter_backend backend, preferred;
    const char *provider, *onnxruntime, *coreml_path;
    bool no_fallback, json, verbose, help;
    bool untuned; /* the file of `utter tune` does not count */
};

/* Takes one of the options above; false with a message in args if its value is wrong. */
bool cli_common_option(struct cli_common *common, struct args *args, int id, const char *value);

/* ---- Messages on standard error: "utter: error: ...", control characters made visible ----------
 */

void cli_print_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void cli_print_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void cli_print_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Characters of UTF-8: the columns that a text takes, but for wide and combining ones. */
int cli_columns(const char *text);

/* A wrong command line: the message in args, and where to read on. Returns EXIT_USAGE. */
int cli_usage_error(const struct args *args, const struct cli_command *command);
/* The same with a message of its own. */
int cli_usage_fail(struct args *args, const struct cli_command *command, const char *message);

/* ---- Engine, voice, output ---------------------------------------------------------------------
 */

/* Where `utter tune` writes by itself, and every engine looks; false when there is no such
 * place. */
bool cli_tuning_path(char path[PATH_MAX]);
/* Both open what was asked for; on failure they print an error and return false with nothing to
 * free. */
bool cli_open_engine(const struct cli_common *common, utter_engine **engine);
bool cli_open_voice(const struct cli_common *common, utter_engine *engine, utter_voice **voice);

/* Prints the value as one line on standard output and frees it. EXIT_OK, or EXIT_FAILED and a
 * message when that cannot be written. NULL: out of memory. */
int cli_print_json(json_t *value);
/* The same for text that the library returned; frees it. */
int cli_print_json_text(char *text);
/* The library's text, parsed and freed; NULL with a message if that fails. */
json_t *cli_parse_json(char *text);
/* Flushes standard output: EXIT_OK or EXIT_FAILED with a message. */
int cli_finish_output(void);

/* ---- Text
 * ---------------------------------------------------------------------------------------- */

struct cli_text {
    char *bytes; /* malloc'd, NUL-terminated; may be no UTF-8 */
    size_t n;
};

/* The words with spaces between them; false when there is no memory, with a message. */
bool cli_join_words(char **words, size_t n_words, struct cli_text *out);
/* A file, or standard input for "-". False with a message that says what it was to be; what cannot be text
 * (zero bytes, more than max_bytes) is refused. A byte order mark is skipped. */
bool cli_read_file(const char *what, const char *path, size_t max_bytes, struct cli_text *out);
/* A text to speak: at most 64 MiB. */
bool cli_read_text(const char *path, struct cli_text *out);
/* Only blanks. */
bool cli_text_is_blank(const struct cli_text *text);

#endif
