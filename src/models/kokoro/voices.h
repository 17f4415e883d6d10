/* Kokoro's voices: tables of style rows, one for each length of a phoneme string, and mixtures of them. */
#ifndef UT_KOKORO_VOICES_H
#define UT_KOKORO_VOICES_H

#include "base/error.h"
#include "base/mem.h"
#include "weights/weights.h"

enum { UT_KOKORO_VOICE_ROWS = 510, UT_KOKORO_MAX_BLEND = 16, UT_KOKORO_MAX_VOICES = 1024 };

struct ut_kokoro_voices;

/* The voices that belong to a model: inside its GGUF file, else beside it: voices/NAME.pt,
 * voices/NAME.safetensors, or voices/NAME.bin (raw f32, as the ONNX distributions have them). Only names
 * and sizes are checked here; rows are read when they are used, from files that stay mapped. `weights` is
 * borrowed until close when the voices are inside. n_style is 2 * style_dim; a table of another shape is
 * ERROR_FORMAT with both shapes. No voice at all is ERROR_NOT_FOUND and says where they are looked for. */
UTTER_CHECKED utter_status ut_kokoro_voices_open(struct ut_mem *mem, const char *model_path,
                                                 const struct ut_weights *weights, int n_style,
                                                 const struct ut_log *log,
                                                 struct ut_kokoro_voices **out, utter_error *err);
void ut_kokoro_voices_close(struct ut_kokoro_voices *voices); /* NULL is fine */
size_t ut_kokoro_voices_count(const struct ut_kokoro_voices *voices);
const char *ut_kokoro_voices_name(const struct ut_kokoro_voices *voices, size_t index); /* sorted */

/* "af_bella", "af_bella(0.7)+af_sky(0.3)", "af_bella+am_adam(0.5)-af_sky(0.2)": weights default to 1 and are
 * scaled so that they add up to 1. */
struct ut_kokoro_blend {
    int n;
    struct {
        uint32_t voice; /* index */
        float weight;   /* negative behind '-' */
    } parts[UT_KOKORO_MAX_BLEND];
};

/* ERROR_NOT_FOUND names the nearest voice, ERROR_ARGUMENT says where the expression is malformed or that
 * its weights add up to nothing. */
UTTER_CHECKED utter_status ut_kokoro_blend_parse(const struct ut_kokoro_voices *voices,
                                                 const char *expression,
                                                 struct ut_kokoro_blend *out, utter_error *err);

/* Row n_symbols - 1 (clamped to the table) of the mixture into style[n_style]. ERROR_FORMAT for a value that
 * is not finite. Thread safe. */
UTTER_CHECKED utter_status ut_kokoro_style(const struct ut_kokoro_voices *voices,
                                           const struct ut_kokoro_blend *blend, size_t n_symbols,
                                           float *style, utter_error *err);

#endif
