/* The lexicons that belong to a Kokoro model: the rules inside a GGUF file, or misaki's files in its folder.
 * A lexicon is read when its language is first spoken. Thread safe. */
#ifndef UT_BACKEND_KOKORO_LEXICON_H
#define UT_BACKEND_KOKORO_LEXICON_H

#include "text/lexicon.h"
#include "weights/weights.h"

struct ut_kokoro_lexicons;

/* `gguf` is the open model file, NULL when it is of another format; read here, not kept. */
UTTER_CHECKED utter_status ut_kokoro_lexicons_create(struct ut_mem *mem, const char *model_file,
                                                     const struct ut_weights *gguf,
                                                     const struct ut_log *log,
                                                     struct ut_kokoro_lexicons **out,
                                                     utter_error *err);
void ut_kokoro_lexicons_destroy(struct ut_kokoro_lexicons *lexicons); /* NULL is fine */

/* The lexicon for a language (a b e f h i j p z); *out is NULL where there is none. ERROR_FORMAT for a
 * lexicon that is damaged. */
UTTER_CHECKED utter_status ut_kokoro_lexicons_get(struct ut_kokoro_lexicons *lexicons,
                                                  char language, const struct ut_lexicon **out,
                                                  utter_error *err);

#endif
