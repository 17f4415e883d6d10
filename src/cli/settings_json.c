/* A file of settings in JSON: one object; objects in it are sections, whose names come before those
 * of what they hold ("gguf_config.n_threads"). Names that begin with _ or $ are comments.
 *
 * jansson parses; its own limit of nesting holds, and sections that hold no setting are not
 * entered. */
#include <jansson.h>
#include <string.h>

#include "settings.h"

enum { MAX_KEY = 200 };

/* Numbers as text, as an option has them; arrays and objects where a value should be are refused by
 * settings_put_key, with the name. */
static bool put_value(struct settings *settings, const char *key, const json_t *value) {
    char number[40] = "";
    switch (json_typeof(value)) {
    case JSON_NULL: /* as if it were not there */
        return true;
    case JSON_STRING:
        return settings_put_key(settings, key, SETTING_TEXT, json_string_value(value));
    case JSON_TRUE:
    case JSON_FALSE:
        return settings_put_key(settings, key, SETTING_SWITCH,
                                json_is_true(value) ? "true" : "false");
    case JSON_INTEGER:
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
        return settings_put_key(settings, key, SETTING_WHOLE, number);
    case JSON_REAL:
        snprintf(number, sizeof number, "%.9g", json_real_value(value));
        return settings_put_key(settings, key, SETTING_REAL, number);
    default:
        return settings_put_key(settings, key, SETTING_OTHER, "");
    }
}

/* `path` holds the section's name and a dot behind it, or nothing. */
static bool walk(struct settings *settings, json_t *section, char path[MAX_KEY]) {
    size_t n_path = strlen(path);
    const char *key;
    json_t *value;
    bool ok = true;
    json_object_foreach(section, key, value) {
        if (key[0] == '_' || key[0] == '$') {
            continue;
        }
        /* A name that is cut short is none that is known, nor is one with a dot too many. */
        snprintf(path + n_path, MAX_KEY - n_path, "%s", key);
        if (json_is_object(value) && settings_is_section(path) && strlen(path) + 1 < MAX_KEY) {
            strcat(path, ".");
            ok = walk(settings, value, path);
        } else {
            ok = put_value(settings, path, value);
        }
        path[n_path] = '\0';
        if (!ok) {
            return false;
        }
    }
    return true;
}

bool settings_read_json(struct settings *settings, const char *path, const char *text,
                        size_t n_bytes) {
    char key[MAX_KEY] = "";
    json_error_t problem;
    settings->file = strdup(path);
    if (!settings->file) {
        snprintf(settings->message, sizeof settings->message, "out of memory for the settings");
        return false;
    }
    json_t *root = json_loadb(text, n_bytes, JSON_REJECT_DUPLICATES, &problem);
    if (!root) {
        snprintf(settings->message, sizeof settings->message, "%s, line %d, column %d: %s", path,
                 problem.line, problem.column, problem.text);
        return false;
    }
    bool ok = json_is_object(root);
    if (!ok) {
        snprintf(settings->message, sizeof settings->message,
                 "%s: settings are a JSON object, { \"name\": value, ... }", path);
    }
    ok = ok && walk(settings, root, key);
    json_decref(root);
    return ok;
}
