/* Kokoro as one GGUF file: config.json's text, the tensors under canonical names and the voices, as layout.h
 * has them. */
#ifndef UT_KOKORO_KOKORO_IMPORT_H
#define UT_KOKORO_KOKORO_IMPORT_H

#include "models/model_writer.h"

/* Loads and checks the model, then writes it with the voices that `import->voices` chooses. ERROR_NOT_FOUND
 * for a pattern that fits none. */
UTTER_CHECKED utter_status ut_kokoro_import(const struct ut_import *import,
                                            utter_import_result *result, utter_error *err);

#endif
