/* The text side of a Kokoro model without the rest of it, and a session to run it in; for tests of
 * the text side alone. */
#ifndef UT_TESTS_KOKORO_TEXT_MODEL_H
#define UT_TESTS_KOKORO_TEXT_MODEL_H

#include "models/kokoro/kokoro_model.h"

/* The configuration of the tiny model in the test data; ends the test when it cannot be read. */
struct ut_kokoro_config text_model_config(struct ut_mem *mem);
/* The tiny model's tensors, likewise. */
struct ut_weights *text_model_weights(struct ut_mem *mem);
/* A file of the test data: NAME within its kokoro/ folder. */
const char *text_model_path(const char *name, char path[1024]);

/* Loads the text side of a table into a zeroed model, which borrows config for its life. On failure
 * the model is closed. */
utter_status text_model_load(struct ut_mem *mem, const struct ut_compute *compute,
                             const struct ut_weights *weights,
                             const struct ut_kokoro_config *config, struct ut_kokoro *model,
                             utter_error *err);
void text_model_close(struct ut_kokoro *model);

/* A session on ids and style that the caller keeps, with scratch in `mem`. */
struct ut_kokoro_session text_model_session(struct ut_mem *mem, const struct ut_kokoro *model,
                                            const struct ut_kokoro_request *request, int32_t *ids);

#endif
