/* utter tune: measures which convolutions gain by minimal filtering on this machine, for every
 * later run; and where the file of that is. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli.h"

static const struct arg_option options[] = {
    {1, 'o', "output", "FILE", "write to FILE, not where every run looks for it"},
    CLI_ENGINE_OPTIONS,
};

/* A relative XDG_CACHE_HOME is to be ignored, says its specification. */
bool cli_tuning_path(char path[PATH_MAX]) {
    const char *folder = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n = -1;
    if (folder && folder[0] == '/') {
        n = snprintf(path, PATH_MAX, "%s/utter/tuning.json", folder);
    } else if (home && home[0] == '/') {
        n = snprintf(path, PATH_MAX, "%s/.cache/utter/tuning.json", home);
    }
    return n > 0 && n < PATH_MAX;
}

/* The folders that `path` lies in. */
static bool make_folders(char *path) {
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        bool ok = mkdir(path, 0700) == 0 || errno == EEXIST;
        if (!ok) {
            cli_print_error("%s: %s", path, strerror(errno));
        }
        *slash = '/';
        if (!ok) {
            return false;
        }
    }
    return true;
}

static void print_layer(void *user, const utter_tuned *layer) {
    json_t *layers = user;
    if (layers) {
        json_array_append_new(layers,
                              json_pack("{s:i, s:i, s:i, s:s, s:f}", "in", layer->n_in, "out",
                                        layer->n_out, "taps", layer->n_taps, "scheme",
                                        layer->scheme, "speedup", layer->speedup));
        return;
    }
    printf("%4d -> %4d channels, %2d taps   %-10s %.2f\n", layer->n_in, layer->n_out, layer->n_taps,
           layer->scheme, layer->speedup);
    fflush(stdout);
}

/* `model` NULL: what is built in. */
static int tune(const struct cli_common *common, utter_engine *engine, const char *model,
                const char *path) {
    utter_error err = {0};
    json_t *layers = common->json ? json_array() : NULL;
    utter_status status = model ? utter_tune_voice(engine, model, path, print_layer, layers, &err)
                                : utter_tune(engine, path, print_layer, layers, &err);
    if (status != UTTER_OK) {
        cli_print_error("%s", err.message);
        json_decref(layers);
        return EXIT_FAILED;
    }
    if (common->json) {
        return cli_print_json(json_pack("{s:s, s:s, s:o}", "output", path, "cpu",
                                        utter_engine_cpu(engine), "layers", layers));
    }
    cli_print_note("written to %s", path);
    return cli_finish_output();
}

static int run(struct args *args) {
    struct cli_common common = {.untuned = true};
    char standard[PATH_MAX];
    const char *value, *model = NULL, *path = NULL;
    for (int id; (id = args_next(args, &value)) != ARG_END;) {
        if (id == ARG_OPERAND && model) {
            return cli_usage_fail(args, &tune_command, "utter tune takes one voice");
        }
        if (id == ARG_OPERAND) {
            model = value;
        } else if (id == 1) {
            path = value;
        } else if (id == ARG_ERROR || !cli_common_option(&common, args, id, value)) {
            return cli_usage_error(args, &tune_command);
        }
    }
    if (common.help) {
        return SHOW_HELP;
    }
    if (!path && !cli_tuning_path(standard)) {
        cli_print_error("neither HOME nor XDG_CACHE_HOME says where to write: name a file with -o");
        return EXIT_FAILED;
    }
    if (!path && !make_folders(standard)) {
        return EXIT_FAILED;
    }
    utter_engine *engine = NULL;
    int code = cli_open_engine(&common, &engine)
                   ? tune(&common, engine, model, path ? path : standard)
                   : EXIT_FAILED;
    utter_engine_destroy(engine);
    return code;
}

const struct cli_command tune_command = {
    .name = "tune",
    .summary = "measure what is fastest on this machine, for later runs",
    .usage = "[OPTIONS] [VOICE]",
    .notes = "With VOICE only the layers of this voice are measured, and what the file says of\n"
             "others stays; without it layers of all usual sizes are, and the file is new.\n\n"
             "Minimal filtering saves multiplications where a layer is wide enough; how wide\n"
             "depends on the machine. The file is $XDG_CACHE_HOME/utter/tuning.json or\n"
             "~/.cache/utter/tuning.json; delete it to go back to what is built in.\n",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .run = run,
};
