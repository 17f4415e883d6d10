/* Piper voices as one GGUF file: general.architecture "piper", the configuration's text under "piper.config",
 * tensors under the names of the checkpoint's modules, as the house voices have them, and what their shapes
 * do not tell: "piper.MODULE.stride" and "piper.MODULE.dilation" of convolutions, "piper.affine". */
#ifndef UT_PIPER_PIPER_IMPORT_H
#define UT_PIPER_PIPER_IMPORT_H

#include "models/model_writer.h"

#define UT_PIPER_GGUF_ARCHITECTURE "piper"
#define UT_PIPER_GGUF_CONFIG "piper.config"
#define UT_PIPER_GGUF_AFFINE "piper.affine" /* "logs", "negated_logs", "scale": enum ut_piper_affine */
#define UT_PIPER_GGUF_GEOMETRY "piper.%s.%s" /* module, "stride" or "dilation" */

/* Loads and checks the voice, then writes it. ERROR_ARGUMENT for voice patterns: speakers are part of the
 * weights. */
UTTER_CHECKED utter_status ut_piper_import(const struct ut_import *import,
                                           utter_import_result *result, utter_error *err);

#endif
