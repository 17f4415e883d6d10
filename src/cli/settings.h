/* Settings by name, from several places: the command line before the environment before a file
 * before what is built in. A file is given to settings_put_key piece by piece, by a reader of its
 * format; settings_json.c is the only one so far. Commands see the outcome as options that stand
 * before their own (args.h), so that they need not know where a value is from.
 *
 * A setting gives way where a stronger place contradicts it: see settings_reconcile. */
#ifndef UT_CLI_SETTINGS_H
#define UT_CLI_SETTINGS_H

#include "args.h"

/* The words that these settings, and the options of the same names, take; NULL behind the last. */
extern const char *const setting_providers[], *const setting_levels[], *const setting_precisions[];

enum setting_origin { SETTING_DEFAULT, SETTING_FILE, SETTING_ENVIRONMENT, SETTING_FLAG };

/* In the order of the table in settings.c. */
enum setting_id {
    SETTING_MODEL,
    SETTING_VOICE,
    SETTING_SPEAKER,
    SETTING_LANGUAGE,
    SETTING_SPEED,
    SETTING_NOISE,
    SETTING_NOISE_W,
    SETTING_SILENCE,
    SETTING_PARALLEL,
    SETTING_VOLUME,
    SETTING_NORMALIZE,
    SETTING_SEED,
    SETTING_FORMAT,
    SETTING_BACKEND,
    SETTING_PREFERRED_BACKEND,
    SETTING_FALLBACK,
    SETTING_PROVIDER,
    SETTING_ONNXRUNTIME,
    SETTING_COREML_PATH,
    SETTING_THREADS,
    SETTING_MEMORY_LIMIT,
    SETTING_MLOCK,
    SETTING_CPU,
    SETTING_PRECISION,
    SETTING_EXACT,
    N_SETTINGS
};

/* What a file says a value is. Formats without types, and the environment, say UNTYPED. */
enum setting_kind {
    SETTING_UNTYPED,
    SETTING_TEXT,
    SETTING_WHOLE,
    SETTING_REAL,
    SETTING_SWITCH,
    SETTING_OTHER
};

struct setting_value {
    enum setting_origin origin;
    char *text;          /* as an option has it; malloc'd; NULL: the default */
    const char *where;   /* the name it was given by: "GGUF_THREADS"; NULL: the default */
    const char *dropped; /* why it is not used after all; NULL: it is */
};

typedef void (*settings_warn_fn)(const char *format, ...);

/* Zeros but for `warn` at the start. Strings are freed by settings_free, options point at them. */
struct settings {
    struct setting_value values[N_SETTINGS];
    char *file;             /* that was read, or NULL; malloc'd */
    unsigned model_origins; /* one bit for each place that names a model */
    int n_unknown;
    bool help;           /* the line asks for help: nothing else matters */
    bool format_by_name; /* it names a file to write, with an extension */
    settings_warn_fn warn;
    char message[700]; /* of the last failure */
};

void settings_init(struct settings *settings, settings_warn_fn warn);
void settings_free(struct settings *settings);

const char *setting_name(enum setting_id id);
const char *setting_origin_name(enum setting_origin origin); /* "environment" */
/* The value as an option has it, also where it is the default's. */
const char *setting_text(const struct settings *settings, enum setting_id id);

/* Each of these returns false with a message that names the place, the name and what is allowed.
 * ---- */

/* The options of a command line that are settings, also as --set NAME=VALUE. What is wrong with the
 * line itself is left to the command; *config becomes the value of --config, NULL without it.
 * `operand_is_model`: an operand names the model. */
bool settings_read_line(struct settings *settings, struct args line, bool operand_is_model,
                        const char **config);

bool settings_read_environment(struct settings *settings, char *(*get)(const char *name));

/* One value of settings->file, by its name or its path ("gguf_config.n_threads"). A name that is
 * not known is warned of, with the nearest that is. */
bool settings_put_key(struct settings *settings, const char *key, enum setting_kind kind,
                      const char *text);
/* Does a known name begin with `key` and a dot? */
bool settings_is_section(const char *key);

/* Reads a JSON object (settings_json.c); `path` is kept for messages and for relative paths in it.
 */
bool settings_read_json(struct settings *settings, const char *path, const char *text,
                        size_t n_bytes);

/* Finds and reads the file: `config`, else $UTTER_CONFIG, else $XDG_CONFIG_HOME/utter/config.json,
 * else
 * ~/.config/utter/config.json. An empty name means no file; only the last two may be absent
 * (settings_file.c). */
bool settings_read_file(struct settings *settings, const char *config);

/* Commands check their own options; for one that only shows them: the line's are. */
bool settings_check_line(struct settings *settings);

/* When everything was read: drops what a stronger place contradicts. */
bool settings_reconcile(struct settings *settings);

/* Options for a command, from everywhere but the line itself; out has room for N_SETTINGS, and its
 * values live as long as `settings`. Returns how many. */
size_t settings_presets(const struct settings *settings, const struct args *args,
                        struct arg_preset *out);

#endif
