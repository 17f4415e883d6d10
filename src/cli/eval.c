/* utter eval: how far one rendering of some speech is from another, for two files or two folders.
 */
#include "eval.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { OPTION_MAX_LAG = 1, MAX_LAG_MS = 2000 };

static const struct arg_option options[] = {
    {OPTION_MAX_LAG, 0, "max-lag-ms", "N", "0 to 2000; take out a delay of up to that first (0)"},
    {OPTION_JSON, 0, "json", NULL, "print the answer as JSON"},
    {OPTION_HELP, 'h', "help", NULL, "show this help"},
};

/* The reference, then what is compared with it: two files or two folders. */
struct eval_job {
    struct cli_common common;
    const char *paths[2];
    float max_lag_ms;
};

/* Every pair of a folder that could be compared. */
struct eval_list {
    struct eval_figures *rows; /* [n], room for capacity */
    size_t n, capacity;
    json_t *json; /* array; NULL unless asked for */
    int name_width;
};

/* ---- One pair ------------------------------------------------------------------------------- */

/* Five per cent: speech of another pace is out of step long before its end. */
static void warn_of_lengths(const struct eval_pair *pair) {
    double shorter = fmin(pair->seconds[0], pair->seconds[1]);
    double longer = fmax(pair->seconds[0], pair->seconds[1]);
    if (longer > 1.05 * shorter) {
        cli_print_warning(
            "%s takes %.2f s, %s %.2f s: do these say the same text, at the same pace?",
            pair->ref_path, pair->seconds[0], pair->test_path, pair->seconds[1]);
    }
}

/* Figures of two files; false with a message. */
static bool compare(const struct eval_job *job, struct eval_pair *pair) {
    const char *paths[] = {pair->ref_path, pair->test_path};
    utter_recording *recordings[2] = {NULL, NULL};
    const utter_sound *sounds[2];
    utter_compare_options compare_options;
    utter_error err = {0};
    utter_status status = UTTER_OK;
    for (int side = 0; side < 2 && status == UTTER_OK; side++) {
        status = utter_recording_open(paths[side], &recordings[side], &err);
        if (status == UTTER_OK) {
            sounds[side] = utter_recording_sound(recordings[side]);
            pair->rates_hz[side] = sounds[side]->sample_rate_hz;
            pair->seconds[side] = (double)sounds[side]->n_samples / sounds[side]->sample_rate_hz;
        }
    }
    utter_compare_options_init(&compare_options);
    compare_options.max_lag_ms = (double)job->max_lag_ms;
    pair->quality.size = sizeof pair->quality;
    if (status == UTTER_OK) {
        warn_of_lengths(pair);
        status = utter_compare(sounds[0], sounds[1], &compare_options, &pair->quality, &err);
    }
    if (status != UTTER_OK) {
        cli_print_error("%s", err.message);
    }
    utter_recording_close(recordings[0]);
    utter_recording_close(recordings[1]);
    return status == UTTER_OK;
}

/* Figures go to standard output, what is said about them to standard error. */
static int compare_files(const struct eval_job *job) {
    struct eval_pair pair = {.ref_path = job->paths[0], .test_path = job->paths[1]};
    if (!compare(job, &pair)) {
        return EXIT_FAILED;
    }
    if (job->common.json) {
        return cli_print_json(eval_pair_json(&pair));
    }
    eval_print_pair(&pair);
    return cli_finish_output();
}

/* ---- Folders -------------------------------------------------------------------------------- */

/* A filter for scandir: the extensions that libsndfile reads under common names. */
static int is_sound(const struct dirent *entry) {
    static const char *const extensions[] = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3"};
    const char *dot = strrchr(entry->d_name, '.');
    for (size_t i = 0; dot && dot != entry->d_name && i < sizeof extensions / sizeof *extensions;
         i++) {
        if (strcasecmp(dot, extensions[i]) == 0) {
            return 1;
        }
    }
    return 0;
}

/* Of a name that is_sound took. */
static size_t stem_length(const char *name) {
    return (size_t)(strrchr(name, '.') - name);
}

/* Names count with their case; of several with one stem the first in the order of names. */
static const char *find_stem(struct dirent **entries, int n, const char *name) {
    size_t n_stem = stem_length(name);
    for (int i = 0; i < n; i++) {
        const char *other = entries[i]->d_name;
        if (stem_length(other) == n_stem && strncmp(name, other, n_stem) == 0) {
            return other;
        }
    }
    return NULL;
}

/* One pair of files of a folder; false with a message, and the next may still do. */
static bool compare_named(const struct eval_job *job, const char *ref_name, const char *test_name,
                          struct eval_list *list) {
    char name[256], ref_path[4096 + 256], test_path[4096 + 256];
    struct eval_pair pair = {.name = name, .ref_path = ref_path, .test_path = test_path};
    snprintf(name, sizeof name, "%.*s", (int)stem_length(ref_name), ref_name);
    snprintf(ref_path, sizeof ref_path, "%s/%s", job->paths[0], ref_name);
    snprintf(test_path, sizeof test_path, "%s/%s", job->paths[1], test_name);
    if (!compare(job, &pair)) {
        return false;
    }
    list->rows[list->n] = eval_figures_of(&pair.quality);
    if (list->json && json_array_append_new(list->json, eval_pair_json(&pair)) != 0) {
        cli_print_error("out of memory for the JSON answer");
        return false;
    }
    if (!list->json) {
        if (list->n == 0) {
            eval_print_heading(list->name_width);
        }
        eval_print_row(name, list->name_width, &list->rows[list->n]);
    }
    list->n++;
    return true;
}

/* Mean and worst over what could be compared; the exit code tells of what could not. */
static int finish_list(const struct eval_job *job, struct eval_list *list, size_t n_missing,
                       size_t n_failed) {
    struct eval_figures mean = eval_mean(list->rows, list->n);
    struct eval_figures worst = eval_worst(list->rows, list->n);
    int code = n_failed > 0 ? EXIT_FAILED : EXIT_OK;
    if (n_missing > 0) {
        cli_print_warning("%zu sounds of %s have no counterpart in %s", n_missing, job->paths[0],
                          job->paths[1]);
    }
    if (list->n == 0) {
        if (n_failed == 0) {
            cli_print_error("no file of %s has the name of one in %s (its extension aside)",
                            job->paths[0], job->paths[1]);
        }
        return EXIT_FAILED;
    }
    int printed;
    if (list->json) {
        printed = cli_print_json(json_pack("{s:O, s:o, s:o, s:I, s:I}", "pairs", list->json, "mean",
                                           eval_figures_json(&mean), "worst",
                                           eval_figures_json(&worst), "missing",
                                           (json_int_t)n_missing, "failed", (json_int_t)n_failed));
    } else {
        eval_print_row("MEAN", list->name_width, &mean);
        eval_print_row("WORST", list->name_width, &worst);
        printf("\nOn average:\n");
        eval_print_meanings(&mean);
        printed = cli_finish_output();
    }
    return code ? code : printed;
}

/* The widest name is found first, so that rows can be printed as they come. */
static int compare_entries(const struct eval_job *job, struct dirent **refs, int n_refs,
                           struct dirent **tests, int n_tests) {
    struct eval_list list = {.rows = calloc((size_t)n_refs + 1, sizeof *list.rows),
                             .name_width = 5};
    size_t n_missing = 0, n_failed = 0;
    int code = EXIT_FAILED;
    list.json = job->common.json ? json_array() : NULL;
    if (list.rows && (list.json || !job->common.json)) {
        for (int i = 0; i < n_refs; i++) {
            int width = (int)stem_length(refs[i]->d_name);
            list.name_width = width > list.name_width ? width : list.name_width;
        }
        for (int i = 0; i < n_refs; i++) {
            const char *test = find_stem(tests, n_tests, refs[i]->d_name);
            n_missing += !test;
            n_failed += test && !compare_named(job, refs[i]->d_name, test, &list);
        }
        code = finish_list(job, &list, n_missing, n_failed);
    } else {
        cli_print_error("out of memory for %d pairs", n_refs);
    }
    json_decref(list.json);
    free(list.rows);
    return code;
}

static void free_entries(struct dirent **entries, int n) {
    for (int i = 0; i < n; i++) {
        free(entries[i]);
    }
    free(entries);
}

/* Both listings are sorted by name, so that the output does not depend on the file system. */
static int compare_folders(const struct eval_job *job) {
    struct dirent **entries[2] = {NULL, NULL};
    int n[2] = {0, 0}, code = EXIT_OK;
    for (int side = 0; side < 2 && code == EXIT_OK; side++) {
        n[side] = scandir(job->paths[side], &entries[side], is_sound, alphasort);
        if (n[side] < 0) {
            cli_print_error("cannot read the folder %s", job->paths[side]);
            code = EXIT_FAILED;
        }
    }
    if (code == EXIT_OK) {
        code = compare_entries(job, entries[0], n[0], entries[1], n[1]);
    }
    free_entries(entries[0], n[0]);
    free_entries(entries[1], n[1]);
    return code;
}

/* ---- Command line --------------------------------------------------------------------------- */

static bool is_folder(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* What is wrong with the operands is told before anything is read. */
static int run_job(struct args *args, const struct eval_job *job) {
    if (!job->paths[1]) {
        return cli_usage_fail(args, &eval_command,
                              "two sounds, please: the reference and what is compared with it");
    }
    if (strcmp(job->paths[0], "-") == 0 && strcmp(job->paths[1], "-") == 0) {
        return cli_usage_fail(args, &eval_command, "only one side can be standard input");
    }
    bool folders[] = {is_folder(job->paths[0]), is_folder(job->paths[1])};
    if (folders[0] != folders[1]) {
        return cli_usage_fail(args, &eval_command, "two files or two folders, not one of each");
    }
    return folders[0] ? compare_folders(job) : compare_files(job);
}

static int run(struct args *args) {
    struct eval_job job = {0};
    const char *value;
    for (int id; (id = args_next(args, &value)) != ARG_END;) {
        bool good = id != ARG_ERROR;
        if (id == ARG_OPERAND && job.paths[1]) {
            return cli_usage_fail(args, &eval_command, "two sounds at a time");
        }
        if (id == ARG_OPERAND) {
            job.paths[job.paths[0] != NULL] = value;
        } else if (id == OPTION_MAX_LAG) {
            good = args_float(args, id, value, 0, MAX_LAG_MS, &job.max_lag_ms);
        } else if (good) {
            good = cli_common_option(&job.common, args, id, value);
        }
        if (!good) {
            return cli_usage_error(args, &eval_command);
        }
    }
    return job.common.help ? SHOW_HELP : run_job(args, &job);
}

const struct cli_command eval_command = {
    .name = "eval",
    .summary = "how far one rendering of some speech is from another",
    .usage = "[OPTIONS] REFERENCE TEST",
    .notes = "Examples:\n"
             "  utter eval f32.wav int8.wav\n"
             "  utter eval original.flac coded.opus --max-lag-ms 50\n"
             "  utter eval f32/ int8/ --json\n"
             "  utter speak -m VOICE \"Hello.\" | utter eval hello.wav -\n\n"
             "Both must be the same speech at the same pace: samples are compared side by\n"
             "side. Of two folders, files of the same name are (extensions aside); - is\n"
             "standard input.\n",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .run = run,
};
