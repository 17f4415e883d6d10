/* utter_tune, and the file it leaves at an engine's start. */
#include <string.h>

#include "compute/tuning.h"
#include "speech/speech.h"
#include "weights/file_map.h"
#include "weights/new_file.h"

enum { MAX_TUNING_BYTES = 64 << 10 };

/* Mapped and not read: parsed at once, then unmapped. Errors are those of the parser or of the
 * file. */
static utter_status read_file(utter_engine *engine, const char *path, utter_error *err) {
    struct ut_file_map map;
    const struct ut_kernels *kernels = engine->context.compute.kernels;
    utter_status status = ut_file_map_open(&engine->mem, path, &map, err);
    if (status) {
        return status;
    }
    if (map.n > MAX_TUNING_BYTES) {
        status =
            ut_fail(err, UTTER_ERROR_FORMAT, "%zu bytes are more than a tuning file has", map.n);
    } else {
        status = ut_tuning_parse(&engine->mem, (const char *)map.data, map.n,
                                 ut_cpu_level_name(kernels->level), &engine->tuning, err);
    }
    ut_file_map_close(&map);
    return status;
}

/* Never an error: without the file an engine works as it would have before `utter tune`. A table of
 * another processor level is ordinary where one home directory serves several machines, and so is
 * told of quietly. */
void ut_tuning_load(utter_engine *engine, const char *path) {
    utter_error err;
    utter_status status = read_file(engine, path, &err);
    if (status == UTTER_OK) {
        engine->context.compute.minimal = &engine->tuning;
    } else {
        bool other_level = status == UTTER_ERROR_UNSUPPORTED;
        ut_log(&engine->context.log, other_level ? UTTER_LOG_INFO : UTTER_LOG_WARNING,
               "the tuning in %s is not used, what is built in is: %s", path, err.message);
    }
}

/* The caller's function, called between measurements from the thread that called utter_tune. */
struct listener {
    utter_tuned_fn tell;
    void *user;
};

static void pass_on(void *user, const struct ut_tuning_result *result) {
    const struct listener *listener = user;
    utter_tuned tuned = {.size = sizeof tuned,
                         .n_in = result->rule.n_in,
                         .n_out = result->rule.n_out,
                         .n_taps = result->rule.n_taps,
                         .scheme = result->rule.scheme ? result->rule.scheme->name : "direct",
                         .speedup = result->direct_s / result->best_s};
    if (listener->tell) {
        listener->tell(listener->user, &tuned);
    }
}

/* Through a temporary file: an engine that starts meanwhile finds the old table or the new one. */
static utter_status write_file(const char *path, const char *text, utter_error *err) {
    struct ut_new_file file;
    utter_status status = ut_new_file_create(&file, path, err);
    if (status) {
        return status;
    }
    ut_new_file_put(&file, text, strlen(text));
    ut_new_file_put(&file, "\n", 1);
    return ut_new_file_finish(&file, err);
}

/* The engine goes on with what it had: the file counts from the next start. */
utter_status utter_tune(utter_engine *engine, const char *path, utter_tuned_fn tell, void *user,
                        utter_error *err) {
    struct ut_minimal_table table;
    struct listener listener = {tell, user};
    char *text;
    if (!engine || !path) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "engine and path must not be NULL");
    }
    const struct ut_compute *compute = &engine->context.compute;
    utter_status status = ut_tuning_measure(compute, &engine->mem, &table, pass_on, &listener, err);
    if (status == UTTER_OK) {
        status = ut_tuning_format(&engine->mem, ut_cpu_level_name(compute->kernels->level), &table,
                                  &text, err);
    }
    if (status == UTTER_OK) {
        status = write_file(path, text, err);
        ut_mem_free(&engine->mem, text);
    }
    return status;
}
