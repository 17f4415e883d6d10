/* A file of settings: what is accepted is handed to a command as options whose values are its own
 * to free, and every refusal says why. */
#include <string.h>

#include "cli/settings.h"
#include "fuzz.h"

static size_t n_warnings;

static void count_warning(const char *format, ...) {
    n_warnings++;
}

static const struct arg_option rows[] = {
    {1, 'm', "model", "PATH", ""},     {2, 0, "voice", "NAME", ""},
    {3, 0, "threads", "N", ""},        {4, 0, "memory-limit", "SIZE", ""},
    {5, 0, "mlock", NULL, ""},         {6, 0, "no-fallback", NULL, ""},
    {7, 0, "backend", "NAME", ""},     {8, 0, "speed", "X", ""},
    {9, 0, "coreml-path", "FILE", ""}, {10, 0, "format", "NAME", ""},
};

static void check_presets(const struct settings *settings) {
    const struct args args = {.options = rows, .n_options = sizeof rows / sizeof *rows};
    struct arg_preset presets[N_SETTINGS];
    size_t n = settings_presets(settings, &args, presets);
    REQUIRE(n <= args.n_options);
    for (size_t i = 0; i < n; i++) {
        const struct arg_option *option = args_option(&args, presets[i].id);
        REQUIRE(option && (option->value != NULL) == (presets[i].value != NULL));
        REQUIRE(!presets[i].value || strlen(presets[i].value) < SIZE_MAX);
    }
    for (size_t i = 0; i < N_SETTINGS; i++) {
        const struct setting_value *value = &settings->values[i];
        REQUIRE((value->text == NULL) == (value->origin == SETTING_DEFAULT));
        REQUIRE(!value->text || value->where);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct settings settings;
    settings_init(&settings, count_warning);
    n_warnings = 0;
    if (settings_read_json(&settings, "/etc/utter/config.json", (const char *)data, n) &&
        settings_reconcile(&settings)) {
        check_presets(&settings);
    } else {
        REQUIRE(settings.message[0]);
    }
    REQUIRE(n_warnings <= n);
    settings_free(&settings);
    return 0;
}
