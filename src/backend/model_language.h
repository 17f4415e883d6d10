/* The language of a model that is not open: what the formant voice speaks in its place. */
#ifndef UT_BACKEND_MODEL_LANGUAGE_H
#define UT_BACKEND_MODEL_LANGUAGE_H

#include "base/error.h"
#include "base/mem.h"

enum { UT_LANGUAGE_SIZE = 64 };

/* The espeak voice for the model at `path`, a file or a folder: by the configuration of a Piper voice, beside
 * it or inside a GGUF file, or by the voice that Kokoro speaks with. "en-us" where nothing tells; whether
 * espeak-ng has it is not checked. Never fails: this is what is left when everything else did. */
void ut_model_language(struct ut_mem *mem, const char *path, char name[UT_LANGUAGE_SIZE]);

#endif
