/* utter_tune and utter_tune_voice, and the file they leave at an engine's start. */
#include <string.h>

#include "backend/native.h"
#include "compute/tuning.h"
#include "models/model_file.h"
#include "speech/speech.h"
#include "weights/file_map.h"
#include "weights/new_file.h"

enum { MAX_TUNING_BYTES = 64 << 10 };

/* Mapped and not read: parsed at once, then unmapped. Errors are those of the parser or of the
 * file. */
static utter_status read_file(utter_engine *engine, const char *path, struct ut_minimal_table *out,
                              utter_error *err) {
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
                                 ut_cpu_level_name(kernels->level), out, err);
    }
    ut_file_map_close(&map);
    return status;
}

/* Never an error: without the file an engine works as it would have before `utter tune`. A table of
 * another processor level is ordinary where one home directory serves several machines, and so is
 * told of quietly. */
void ut_tuning_load(utter_engine *engine, const char *path) {
    utter_error err;
    utter_status status = read_file(engine, path, &engine->tuning, &err);
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

/* Measures and writes `table` with what was found. The engine goes on with what it had: the file
 * counts from the next start. */
static utter_status tune(utter_engine *engine, const struct ut_minimal_rule *shapes, int n_shapes,
                         struct ut_minimal_table *table, const char *path,
                         struct listener *listener, utter_error *err) {
    const struct ut_compute *compute = &engine->context.compute;
    char *text;
    utter_status status =
        ut_tuning_measure(compute, &engine->mem, shapes, n_shapes, table, pass_on, listener, err);
    if (status == UTTER_OK) {
        status = ut_tuning_format(&engine->mem, ut_cpu_level_name(compute->kernels->level), table,
                                  &text, err);
    }
    if (status == UTTER_OK) {
        status = write_file(path, text, err);
        ut_mem_free(&engine->mem, text);
    }
    return status;
}

utter_status utter_tune(utter_engine *engine, const char *path, utter_tuned_fn tell, void *user,
                        utter_error *err) {
    struct ut_minimal_table table = {0};
    struct listener listener = {tell, user};
    if (!engine || !path) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "engine and path must not be NULL");
    }
    return tune(engine, ut_tuning_shapes, ut_tuning_n_shapes, &table, path, &listener, err);
}

/* What an earlier run found at this level. A file that is damaged is written anew. */
static utter_status read_earlier(utter_engine *engine, const char *path,
                                 struct ut_minimal_table *out, utter_error *err) {
    utter_error why;
    *out = (struct ut_minimal_table){0};
    if (!ut_path_is_file(path)) {
        return UTTER_OK;
    }
    utter_status status = read_file(engine, path, out, &why);
    if (status == UTTER_ERROR_FORMAT || status == UTTER_ERROR_UNSUPPORTED) {
        ut_log(&engine->context.log,
               status == UTTER_ERROR_FORMAT ? UTTER_LOG_WARNING : UTTER_LOG_INFO,
               "what %s says is not kept: %s", path, why.message);
        return UTTER_OK;
    }
    return status ? ut_fail(err, status, "%s", why.message) : UTTER_OK;
}

utter_status utter_tune_voice(utter_engine *engine, const char *model, const char *path,
                              utter_tuned_fn tell, void *user, utter_error *err) {
    struct ut_minimal_table table;
    struct ut_minimal_rule shapes[UT_MINIMAL_MAX_RULES];
    struct listener listener = {tell, user};
    const struct ut_backend *family;
    struct ut_weights *weights;
    char file[PATH_MAX];
    if (!engine || !model || !path) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "engine, model and path must not be NULL");
    }
    utter_status status = ut_native_family(&engine->mem, model, file, &family, &weights, err);
    if (status == UTTER_OK && !weights) { /* a file whose format told */
        status = ut_weights_open(&engine->mem, file, &weights, err);
    }
    if (status) {
        return status;
    }
    int n_shapes = ut_tuning_find_shapes(weights, shapes);
    ut_weights_close(weights);
    status = read_earlier(engine, path, &table, err);
    return status ? status : tune(engine, shapes, n_shapes, &table, path, &listener, err);
}
