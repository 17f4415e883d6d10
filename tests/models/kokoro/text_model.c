/* See text_model.h. */
#include "text_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "support/byte_buffer.h"

const char *text_model_path(const char *name, char path[1024]) {
    snprintf(path, 1024, "%s/kokoro/%s", getenv("UT_TEST_DATA"), name);
    return path;
}

struct ut_kokoro_config text_model_config(struct ut_mem *mem) {
    char path[1024];
    struct byte_buffer json = {0};
    struct ut_kokoro_config config;
    utter_error err;
    byte_buffer_read_file(&json, text_model_path("config.json", path));
    if (ut_kokoro_config_parse(mem, (const char *)json.data, json.n, &config, &err)) {
        fail_msg("%s: %s", path, err.message);
    }
    byte_buffer_free(&json);
    return config;
}

struct ut_weights *text_model_weights(struct ut_mem *mem) {
    char path[1024];
    struct ut_weights *weights;
    utter_error err;
    if (ut_weights_open(mem, text_model_path("kokoro-v1_0.pth", path), &weights, &err)) {
        fail_msg("%s: %s", path, err.message);
    }
    return weights;
}

utter_status text_model_load(struct ut_mem *mem, const struct ut_compute *compute,
                             const struct ut_weights *weights,
                             const struct ut_kokoro_config *config, struct ut_kokoro *model,
                             utter_error *err) {
    struct kokoro_loader loader = {.model = model};
    *model = (struct ut_kokoro){.mem = mem, .compute = *compute, .config = *config};
    ut_arena_init(&model->weights, mem, UT_MEM_WEIGHTS);
    utter_status status = ut_kokoro_tensors_create(mem, weights, &loader.tensors, err);
    status = status ? status : ut_kokoro_load_text(&loader, err);
    ut_kokoro_tensors_destroy(loader.tensors);
    if (status) {
        text_model_close(model);
    }
    return status;
}

void text_model_close(struct ut_kokoro *model) {
    ut_arena_free(&model->weights);
}

struct ut_kokoro_session text_model_session(struct ut_mem *mem, const struct ut_kokoro *model,
                                            const struct ut_kokoro_request *request, int32_t *ids) {
    struct ut_kokoro_session session = {.model = model,
                                        .compute = model->compute,
                                        .request = request,
                                        .n_ids = (int)request->n_ids,
                                        .ids = ids,
                                        .style_decoder = request->style,
                                        .style_predictor = request->style + model->info.style_dim};
    ut_arena_init(&session.arena, mem, UT_MEM_SESSION);
    return session;
}
