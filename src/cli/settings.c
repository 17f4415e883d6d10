/* See settings.h. A value is kept as the text that its option takes, and checked by the routines
 * that check options, so that a file, the environment and the command line allow the same. */
#include "settings.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* What a value is; UNSIGNED goes beyond what fits in 63 bits (seeds). */
enum type { TEXT, MODEL, PATH, CHOICE, WHOLE, UNSIGNED, NUMBER, SIZE, SWITCH };

/* How a name's value differs from the setting's. */
enum how { PLAIN, MEGABYTES, INVERTED };

struct known_name {
    const char *name;
    enum how how;
};

/* A row of the table: everything that is particular to one setting. */
struct setting {
    const char *option; /* "threads" for --threads */
    enum type type;
    double min, max;
    const char *standard; /* the default, as `utter config` shows it */
    const char *const *choices;
    struct known_name keys[6]; /* in files; the first is the setting's own */
    struct known_name variables[3];
};

/* Words of settings with a choice. "gguf" is what other programs' files call the native backend. */
static const char *const backends[] = {"auto", "native", "gguf", "onnx", "espeak", NULL};
static const char *const preferences[] = {"auto", "native", "gguf", "onnx", NULL};
const char *const setting_providers[] = {"cpu", "cuda", "coreml", NULL};
const char *const setting_levels[] = {"auto", "scalar", "avx2", "avx512", "neon", NULL};
const char *const setting_precisions[] = {"auto", "f32", "bf16", "int8", NULL};
static const char *const formats[] = {"wav",  "wav-f32", "pcm", "pcm-f32", "flac",
                                      "opus", "vorbis",  "mp3", NULL};

/* Names behind the first of a row are those of other programs' files and environments (LiteTTS,
 * MacBot), so that these can be read as they are. */
static const struct setting table[N_SETTINGS] = {
    [SETTING_MODEL] =
        {"model",
         MODEL,
         0,
         0,
         "",
         NULL,
         {{"model"}, {"model_path"}, {"tts.model_path"}, {"models.tts.piper.voice_path"}},
         {{"UTTER_MODEL"}, {"GGUF_MODEL_PATH"}}},
    [SETTING_VOICE] =
        {"voice",
         TEXT,
         0,
         0,
         "",
         NULL,
         {{"voice"}, {"default_voice"}, {"voice.default_voice"}, {"tts.default_voice"}},
         {{"UTTER_VOICE"}}},
    [SETTING_SPEAKER] = {"speaker", TEXT, 0, 0, "", NULL, {{"speaker"}}, {{"UTTER_SPEAKER"}}},
    [SETTING_LANGUAGE] = {"language",
                          TEXT,
                          0,
                          0,
                          "",
                          NULL,
                          {{"language"}, {"default_language"}, {"audio.default_language"}},
                          {{"UTTER_LANGUAGE"}}},
    [SETTING_SPEED] =
        {"speed",
         NUMBER,
         0.1,
         10,
         "1",
         NULL,
         {{"speed"}, {"default_speed"}, {"audio.default_speed"}, {"models.tts.speed"}},
         {{"UTTER_SPEED"}}},
    [SETTING_NOISE] = {"noise", NUMBER, 0, 10, "", NULL, {{"noise"}}, {{"UTTER_NOISE"}}},
    [SETTING_NOISE_W] = {"noise-w", NUMBER, 0, 10, "", NULL, {{"noise_w"}}, {{"UTTER_NOISE_W"}}},
    [SETTING_SILENCE] = {"silence", NUMBER, 0, 10, "", NULL, {{"silence"}}, {{"UTTER_SILENCE"}}},
    [SETTING_PARALLEL] = {"parallel", WHOLE, 0, 8, "0", NULL, {{"parallel"}}, {{"UTTER_PARALLEL"}}},
    [SETTING_VOLUME] = {"volume", NUMBER, 0, 10, "1", NULL, {{"volume"}}, {{"UTTER_VOLUME"}}},
    [SETTING_NORMALIZE] =
        {"normalize", SWITCH, 0, 0, "false", NULL, {{"normalize"}}, {{"UTTER_NORMALIZE"}}},
    [SETTING_SEED] = {"seed", UNSIGNED, 0, 0, "0", NULL, {{"seed"}}, {{"UTTER_SEED"}}},
    [SETTING_FORMAT] = {"format",
                        CHOICE,
                        0,
                        0,
                        "",
                        formats,
                        {{"format"}, {"default_format"}, {"audio.default_format"}},
                        {{"UTTER_FORMAT"}}},
    [SETTING_BACKEND] = {"backend",
                         CHOICE,
                         0,
                         0,
                         "auto",
                         backends,
                         {{"inference_backend"}, {"backend"}, {"model.inference_backend"}},
                         {{"UTTER_INFERENCE_BACKEND"}, {"UTTER_BACKEND"}}},
    [SETTING_PREFERRED_BACKEND] = {"preferred-backend",
                                   CHOICE,
                                   0,
                                   0,
                                   "auto",
                                   preferences,
                                   {{"preferred_backend"}, {"model.preferred_backend"}},
                                   {{"UTTER_PREFERRED_BACKEND"}}},
    [SETTING_FALLBACK] = {"no-fallback",
                          SWITCH,
                          0,
                          0,
                          "true",
                          NULL,
                          {{"enable_backend_fallback"},
                           {"no_fallback", INVERTED},
                           {"model.enable_backend_fallback"}},
                          {{"UTTER_ENABLE_BACKEND_FALLBACK"}}},
    [SETTING_PROVIDER] =
        {"provider", CHOICE, 0, 0, "", setting_providers, {{"provider"}}, {{"UTTER_PROVIDER"}}},
    [SETTING_ONNXRUNTIME] =
        {"onnxruntime", PATH, 0, 0, "", NULL, {{"onnxruntime"}}, {{"UTTER_ONNXRUNTIME"}}},
    [SETTING_COREML_PATH] =
        {"coreml-path",
         PATH,
         0,
         0,
         "",
         NULL,
         {{"coreml_path"}, {"models.tts.piper.coreml_path"}},
         {{"UTTER_COREML_PATH"}}},
    [SETTING_THREADS] =
        {"threads",
         WHOLE,
         0,
         256,
         "0",
         NULL,
         {{"threads"}, {"n_threads"}, {"gguf_config.n_threads"}, {"model.gguf_config.n_threads"}},
         {{"UTTER_THREADS"}, {"GGUF_THREADS"}}},
    [SETTING_MEMORY_LIMIT] =
        {"memory-limit",
         SIZE,
         0,
         0,
         "",
         NULL,
         {{"memory_limit"},
          {"memory_limit_mb", MEGABYTES},
          {"performance.memory_limit_mb", MEGABYTES}},
         {{"UTTER_MEMORY_LIMIT"}, {"GGUF_MEMORY_LIMIT", MEGABYTES}}},
    [SETTING_MLOCK] =
        {"mlock",
         SWITCH,
         0,
         0,
         "false",
         NULL,
         {{"mlock"}, {"use_mlock"}, {"gguf_config.use_mlock"}, {"model.gguf_config.use_mlock"}},
         {{"UTTER_MLOCK"}}},
    [SETTING_CPU] = {"cpu", CHOICE, 0, 0, "auto", setting_levels, {{"cpu"}}, {{"UTTER_CPU"}}},
    [SETTING_PRECISION] = {"precision",
                           CHOICE,
                           0,
                           0,
                           "auto",
                           setting_precisions,
                           {{"precision"}},
                           {{"UTTER_PRECISION"}}},
    [SETTING_EXACT] = {"exact", SWITCH, 0, 0, "false", NULL, {{"exact"}}, {{"UTTER_EXACT"}}},
};

/* A file full of unknown names is warned of so many times at most. */
enum { MAX_KEYS = sizeof table[0].keys / sizeof table[0].keys[0], MAX_WARNINGS = 8 };

__attribute__((format(printf, 2, 3))) static bool fail(struct settings *settings,
                                                       const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(settings->message, sizeof settings->message, format, list);
    va_end(list);
    return false;
}

void settings_init(struct settings *settings, settings_warn_fn warn) {
    *settings = (struct settings){.warn = warn};
}

/* Leaves it empty, so that freeing it twice does no harm. */
void settings_free(struct settings *settings) {
    for (size_t i = 0; i < N_SETTINGS; i++) {
        free(settings->values[i].text);
    }
    free(settings->file);
    settings_init(settings, NULL);
}

/* As in utter's own files; `utter config` shows it so. */
const char *setting_name(enum setting_id id) {
    return table[id].keys[0].name;
}

const char *setting_origin_name(enum setting_origin origin) {
    static const char *const names[] = {"default", "file", "environment", "flag"};
    return names[origin];
}

/* A value that gave way (settings_reconcile) counts as not given. */
const char *setting_text(const struct settings *settings, enum setting_id id) {
    const struct setting_value *value = &settings->values[id];
    return value->text && !value->dropped ? value->text : table[id].standard;
}

/* ---- Checking ---------------------------------------------------------------------------------
 */

/* The place and name of a value, as messages begin: "/etc/utter.json: threads". */
struct place {
    enum setting_origin origin;
    const char *name;
    enum how how;
};

static const char *file_of(const struct settings *settings, const struct place *place) {
    return place->origin == SETTING_FILE ? settings->file : "";
}

/* "true" or "false" from what people write for it; NULL for anything else. */
static const char *parse_switch(const char *text) {
    static const char *const words[][4] = {{"false", "no", "off", "0"}, {"true", "yes", "on", "1"}};
    for (size_t i = 0; i < 8; i++) {
        if (strcmp(text, words[i / 4][i % 4]) == 0) {
            return words[i / 4][0];
        }
    }
    return NULL;
}

/* A number in quotes is a text, and no number: files are read strictly. The speaker may be
 * either. */
static bool check_kind(struct settings *settings, const struct setting *setting,
                       const struct place *place, enum setting_kind kind) {
    static const char *const wanted[] = {
        [TEXT] = "a text in quotes",
        [MODEL] = "a path in quotes",
        [PATH] = "a path in quotes",
        [CHOICE] = "a word in quotes",
        [WHOLE] = "a whole number or \"auto\"",
        [UNSIGNED] = "a whole number",
        [NUMBER] = "a number",
        [SIZE] = "a number of bytes or a size like \"2G\"",
        [SWITCH] = "true or false",
    };
    bool whole = kind == SETTING_WHOLE, text = kind == SETTING_TEXT;
    bool fits = setting->type == SWITCH                           ? kind == SETTING_SWITCH
                : setting->type == NUMBER                         ? whole || kind == SETTING_REAL
                : setting->type == UNSIGNED                       ? whole
                : setting->type == WHOLE || setting->type == SIZE ? whole || text
                : setting == &table[SETTING_SPEAKER]              ? whole || text
                                                                  : text;
    if (fits || kind == SETTING_UNTYPED) {
        return true;
    }
    return fail(settings, "%s: %s must be %s", file_of(settings, place), place->name,
                place->how == MEGABYTES ? "a number of megabytes" : wanted[setting->type]);
}

/* What the option of that setting would say to it. */
static bool check_text(struct settings *settings, const struct setting *setting,
                       const struct place *place, const char *text) {
    const struct arg_option row = {.id = 1, .name = place->name};
    struct args args = {.options = &row, .n_options = 1};
    int64_t whole;
    uint64_t size;
    float number;
    bool good = true;
    switch (setting->type) {
    case CHOICE:
        good = args_choice(&args, 1, text, setting->choices) >= 0;
        break;
    case WHOLE:
        good = args_int(&args, 1, text, (int64_t)setting->min, (int64_t)setting->max, &whole);
        break;
    case UNSIGNED:
        good = args_uint64(&args, 1, text, &size);
        break;
    case NUMBER:
        good = args_float(&args, 1, text, setting->min, setting->max, &number);
        break;
    case SIZE:
        good = args_size(&args, 1, text, &size);
        break;
    default:
        break;
    }
    /* The message begins with the dashes of an option, which only a flag has. */
    return good || fail(settings, "%s%s%s", file_of(settings, place),
                        place->origin == SETTING_FILE ? ": " : "",
                        args.message + (place->origin == SETTING_FLAG ? 0 : 2));
}

/* ---- Taking a value ---------------------------------------------------------------------------
 */

/* Relative paths in a file start at its folder, and ~/ is the user's. malloc'd; NULL: no memory. */
static char *resolve_path(const struct settings *settings, const struct setting *setting,
                          const char *text) {
    const char *slash = strrchr(settings->file, '/'), *home = getenv("HOME");
    bool voice =
        setting->type == MODEL && strncmp(text, "espeak", 6) == 0 && (!text[6] || text[6] == ':');
    char *path;
    int n = -1;
    if (strncmp(text, "~/", 2) == 0 && home) {
        n = asprintf(&path, "%s%s", home, text + 1);
    } else if (slash && *text && *text != '/' && !voice) {
        n = asprintf(&path, "%.*s/%s", (int)(slash - settings->file), settings->file, text);
    } else {
        return strdup(text);
    }
    return n < 0 ? NULL : path;
}

/* The text that the option takes; malloc'd, NULL when there is no memory or, with a message, the
 * value is wrong. */
static char *normalize(struct settings *settings, const struct setting *setting,
                       const struct place *place, const char *text) {
    char megabytes[32];
    if (setting->type == SWITCH) {
        const char *word = parse_switch(text);
        if (!word) {
            fail(settings, "%s%s%s: \"%.80s\" is neither true nor false", file_of(settings, place),
                 place->origin == SETTING_FILE ? ": " : "", place->name, text);
            return NULL;
        }
        return strdup(place->how == INVERTED ? parse_switch(*word == 't' ? "no" : "yes") : word);
    }
    if (place->how == MEGABYTES) {
        snprintf(megabytes, sizeof megabytes, "%.20s%s", text,
                 text[strspn(text, "0123456789")] ? "?" : "M");
        text = megabytes;
    }
    if (setting->type == WHOLE && strcmp(text, "auto") == 0) {
        text = "0";
    }
    if (!check_text(settings, setting, place, text)) {
        return NULL;
    }
    if (setting->choices && strcmp(text, "gguf") == 0) {
        text = "native"; /* which is what reads GGUF here */
    }
    bool is_path = setting->type == MODEL || setting->type == PATH;
    return is_path && place->origin == SETTING_FILE ? resolve_path(settings, setting, text)
                                                    : strdup(text);
}

/* Every value is checked, also where a stronger place has one: a wrong file stays wrong. Of equal
 * places the first counts in a file, which is warned of, and in the environment. */
static bool put(struct settings *settings, enum setting_id id, const struct place *place,
                enum setting_kind kind, const char *text) {
    struct setting_value *value = &settings->values[id];
    if (!check_kind(settings, &table[id], place, kind)) {
        return false;
    }
    settings->message[0] = '\0';
    char *normal = normalize(settings, &table[id], place, text);
    if (!normal) {
        return settings->message[0] ? false : fail(settings, "out of memory for the settings");
    }
    if (id == SETTING_MODEL) {
        settings->model_origins |= 1u << place->origin;
    }
    /* An option of its own is stronger than --set; else of two on one line the last counts. */
    bool set_again =
        place->origin == SETTING_FLAG && value->where && strcmp(value->where, "set") == 0;
    bool again = value->origin == place->origin && !set_again;
    if (again && place->origin == SETTING_FILE) {
        settings->warn("%s: %s and %s are the same setting: the first is taken", settings->file,
                       value->where, place->name);
    }
    if (again || value->origin > place->origin) {
        free(normal);
        return true;
    }
    free(value->text);
    *value = (struct setting_value){place->origin, normal, place->name, NULL};
    return true;
}

/* ---- Files ------------------------------------------------------------------------------------
 */

/* Linear: a few dozen names, looked up once for each in a file. */
static const struct known_name *find_key(const char *key, enum setting_id *id) {
    for (size_t i = 0; i < N_SETTINGS; i++) {
        for (size_t k = 0; k < MAX_KEYS && table[i].keys[k].name; k++) {
            if (strcmp(table[i].keys[k].name, key) == 0) {
                *id = (enum setting_id)i;
                return &table[i].keys[k];
            }
        }
    }
    return NULL;
}

bool settings_is_section(const char *key) {
    size_t n = strlen(key);
    for (size_t i = 0; i < N_SETTINGS; i++) {
        for (size_t k = 0; k < MAX_KEYS && table[i].keys[k].name; k++) {
            const char *name = table[i].keys[k].name;
            if (strncmp(name, key, n) == 0 && name[n] == '.') {
                return true;
            }
        }
    }
    return false;
}

/* Among all names that are understood. */
static const char *nearest_key(const char *key) {
    const char *names[N_SETTINGS * MAX_KEYS];
    size_t n = 0;
    for (size_t i = 0; i < N_SETTINGS; i++) {
        for (size_t k = 0; k < MAX_KEYS && table[i].keys[k].name; k++) {
            names[n++] = table[i].keys[k].name;
        }
    }
    return args_nearest(key, names, n);
}

/* Another program's whole configuration may be given: a few of its names will do. */
static void warn_unknown(struct settings *settings, const char *key) {
    const char *nearest = nearest_key(key);
    if (++settings->n_unknown <= MAX_WARNINGS) {
        settings->warn("%s: there is no setting \"%.80s\"%s%s%s", settings->file, key,
                       nearest ? "; did you mean \"" : "", nearest ? nearest : "",
                       nearest ? "\"?" : "");
    } else if (settings->n_unknown == MAX_WARNINGS + 1) {
        settings->warn("%s: further settings are not known either", settings->file);
    }
}

/* A name that is not known is no error: the file may be another program's. */
bool settings_put_key(struct settings *settings, const char *key, enum setting_kind kind,
                      const char *text) {
    enum setting_id id;
    const struct known_name *name = find_key(key, &id);
    if (!name) {
        warn_unknown(settings, key);
        return true;
    }
    return put(settings, id, &(struct place){SETTING_FILE, name->name, name->how}, kind, text);
}

/* ---- Environment and command line ---------------------------------------------------------------
 */

/* Names of a row in their order: utter's own before those of other programs. */
bool settings_read_environment(struct settings *settings, char *(*get)(const char *name)) {
    for (size_t i = 0; i < N_SETTINGS; i++) {
        for (const struct known_name *name = table[i].variables; name->name; name++) {
            const char *text = get(name->name);
            const struct place place = {SETTING_ENVIRONMENT, name->name, name->how};
            if (text && *text &&
                !put(settings, (enum setting_id)i, &place, SETTING_UNTYPED, text)) {
                return false;
            }
        }
    }
    return true;
}

/* NAME=VALUE of --set. */
static bool put_pair(struct settings *settings, const char *pair) {
    const char *equals = strchr(pair, '=');
    char name[64];
    enum setting_id id;
    snprintf(name, sizeof name, "%.*s", (int)(equals ? equals - pair : 0), pair);
    const struct known_name *known = find_key(name, &id);
    if (!known) {
        const char *nearest = nearest_key(name);
        return fail(
            settings,
            "--set: \"%.80s\" must be NAME=VALUE, with a name that \"utter config\" lists%s%s%s",
            pair, nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
    }
    return put(settings, id, &(struct place){SETTING_FLAG, "set", known->how}, SETTING_UNTYPED,
               equals + 1);
}

/* A command's own option of a setting: its value is the command's to check. */
static bool note_option(struct settings *settings, const struct arg_option *option,
                        const char *text) {
    for (size_t i = 0; i < N_SETTINGS; i++) {
        if (strcmp(table[i].option, option->name) == 0) {
            char *copy = strdup(option->value ? text : i == SETTING_FALLBACK ? "false" : "true");
            free(settings->values[i].text);
            settings->values[i] = (struct setting_value){SETTING_FLAG, copy, table[i].option, NULL};
            settings->model_origins |= i == SETTING_MODEL ? 1u << SETTING_FLAG : 0;
            return copy || fail(settings, "out of memory for the settings");
        }
    }
    return true;
}

/* The name of a file to write says the format where it has an extension. */
static bool has_extension(const char *path) {
    const char *slash = strrchr(path, '/');
    return strchr(slash ? slash + 1 : path, '.') != NULL;
}

/* A copy of the parser walks over the line; the command does so again with its own. */
bool settings_read_line(struct settings *settings, struct args line, bool operand_is_model,
                        const char **config) {
    const char *value;
    const struct arg_option model = {.name = "model", .value = "PATH"};
    bool ok = true;
    *config = NULL;
    for (int id; ok && (id = args_next(&line, &value)) != ARG_END && id != ARG_ERROR;) {
        const struct arg_option *option = id == ARG_OPERAND ? &model : args_option(&line, id);
        if (id == ARG_OPERAND && !operand_is_model) {
            continue;
        }
        if (strcmp(option->name, "help") == 0) {
            settings->help = true;
        } else if (strcmp(option->name, "config") == 0) {
            *config = value;
        } else if (strcmp(option->name, "set") == 0) {
            ok = put_pair(settings, value);
        } else if (strcmp(option->name, "output") == 0) {
            settings->format_by_name = has_extension(value);
        } else {
            ok = note_option(settings, option, value);
        }
    }
    return ok;
}

/* For `utter config`, which takes options of other commands and runs none of them. */
bool settings_check_line(struct settings *settings) {
    bool ok = true;
    for (size_t i = 0; i < N_SETTINGS && ok; i++) {
        const struct setting_value *value = &settings->values[i];
        const struct place place = {SETTING_FLAG, value->where, PLAIN};
        ok = value->origin != SETTING_FLAG || check_text(settings, &table[i], &place, value->text);
    }
    return ok;
}

/* ---- What gives way -----------------------------------------------------------------------------
 */

static bool is_set(const struct settings *settings, enum setting_id id) {
    return settings->values[id].text && !settings->values[id].dropped;
}

/* The weaker of two that contradict each other; of equals neither, which the library then reports.
 */
static void drop_weaker(struct settings *settings, enum setting_id a, enum setting_id b,
                        const char *reason) {
    struct setting_value *x = &settings->values[a], *y = &settings->values[b];
    if (x->origin != y->origin) {
        (x->origin < y->origin ? x : y)->dropped = reason;
    }
}

/* Who speaks and how are of the model that is named beside them. */
static void drop_of_other_model(struct settings *settings) {
    static const enum setting_id of_model[] = {SETTING_VOICE, SETTING_SPEAKER, SETTING_LANGUAGE,
                                               SETTING_COREML_PATH};
    for (size_t i = 0; i < sizeof of_model / sizeof *of_model; i++) {
        struct setting_value *value = &settings->values[of_model[i]];
        bool beside = settings->model_origins & 1u << value->origin;
        if (value->text && beside && value->origin < settings->values[SETTING_MODEL].origin) {
            value->dropped = "it belongs to another model";
        }
    }
}

static bool is_text(const struct settings *settings, enum setting_id id, const char *a,
                    const char *b) {
    const char *text = settings->values[id].text;
    return is_set(settings, id) && (strcmp(text, a) == 0 || strcmp(text, b) == 0);
}

/* Order matters: what belongs to another model goes first, so that it contradicts nothing. */
bool settings_reconcile(struct settings *settings) {
    struct setting_value *values = settings->values;
    drop_of_other_model(settings);
    if (is_set(settings, SETTING_VOICE) && is_set(settings, SETTING_SPEAKER)) {
        if (values[SETTING_VOICE].origin == values[SETTING_SPEAKER].origin &&
            values[SETTING_VOICE].origin != SETTING_FLAG) {
            return fail(settings, "%s and %s both say who speaks: give one",
                        values[SETTING_VOICE].where, values[SETTING_SPEAKER].where);
        }
        drop_weaker(settings, SETTING_VOICE, SETTING_SPEAKER,
                    "the other of voice and speaker is given");
    }
    bool elsewhere = is_text(settings, SETTING_PROVIDER, "cuda", "coreml");
    if (elsewhere && is_text(settings, SETTING_BACKEND, "native", "espeak")) {
        drop_weaker(settings, SETTING_PROVIDER, SETTING_BACKEND,
                    "the provider is of the onnx backend");
    }
    const char *model = values[SETTING_MODEL].text;
    bool formant = model && strncmp(model, "espeak", 6) == 0 && (!model[6] || model[6] == ':');
    if (formant && is_text(settings, SETTING_BACKEND, "native", "onnx")) {
        drop_weaker(settings, SETTING_MODEL, SETTING_BACKEND,
                    "the formant voice is espeak's alone");
    }
    if (formant && elsewhere) {
        drop_weaker(settings, SETTING_MODEL, SETTING_PROVIDER,
                    "the formant voice is espeak's alone");
    }
    if (settings->format_by_name && values[SETTING_FORMAT].origin != SETTING_FLAG) {
        values[SETTING_FORMAT].dropped = "the name of the file to write says the format";
    }
    return true;
}

/* ---- For the commands ---------------------------------------------------------------------------
 */

/* 0 when the command has no such option: the setting is then not for it. */
static int option_id(const struct args *args, const char *name) {
    for (size_t i = 0; i < args->n_options; i++) {
        if (strcmp(args->options[i].name, name) == 0) {
            return args->options[i].id;
        }
    }
    return 0;
}

/* Switches that are off have no option; those of the line itself come from there. */
size_t settings_presets(const struct settings *settings, const struct args *args,
                        struct arg_preset *out) {
    size_t n = 0;
    for (size_t i = 0; i < N_SETTINGS; i++) {
        const struct setting_value *value = &settings->values[i];
        int id = option_id(args, table[i].option);
        bool on_line = value->origin == SETTING_FLAG && strcmp(value->where, "set") != 0;
        bool off = table[i].type == SWITCH && value->text &&
                   strcmp(value->text, i == SETTING_FALLBACK ? "true" : "false") == 0;
        if (id && is_set(settings, (enum setting_id)i) && !on_line && !off) {
            out[n++] = (struct arg_preset){id, table[i].type == SWITCH ? NULL : value->text};
        }
    }
    return n;
}
