/* Writes the GGUF file that TTS.cpp's Kokoro encoder and its quantize tool would make of a model: the
 * same tensor names, shapes, types and keys (checked against a list of a real file by
 * tests/models/kokoro/ttscpp.c). Names are put together by rules of its own, not by the library's. */
#ifndef UT_TESTS_TTSCPP_WRITER_H
#define UT_TESTS_TTSCPP_WRITER_H

#include "models/kokoro/config.h"
#include "models/kokoro/layout.h"
#include "support/tensor_file.h"

struct ttscpp_part {
    char name[128];
    int n_dims;
    uint64_t dims[UT_MAX_DIMS]; /* torch's order */
    uint64_t first_row;         /* of the canonical tensor; rows are its slices of dims[0] */
};

/* The tensors that become of a canonical one: itself, two halves of a style layer, or four gates. */
int ttscpp_parts(const char *canonical, const struct ut_tensor *shape, struct ttscpp_part parts[4]);

enum ttscpp_kind { TTSCPP_F32, TTSCPP_QUANTIZED, TTSCPP_NQF /* quantized, the rest f16 */ };
/* The type that `quantize` gives a tensor whose rows fit into blocks of `type`. */
enum ut_dtype ttscpp_type(const char *name, enum ttscpp_kind kind, enum ut_dtype type);

/* Fills a list with everything the file holds: the model's tensors in `tensors`' order, then voices
 * ([510, n_style], by name). Types: f16, q8_0, q5_0, q4_0; rows of no multiple of 32 stay f32. Quantized
 * files come from ggml, which drops the slowest dimensions where they are 1. */
void ttscpp_build(struct ut_kokoro_tensors *tensors, const struct ut_tensor *voices, size_t n_voices,
                  enum ttscpp_kind kind, enum ut_dtype type, struct tensor_file *out);

struct ttscpp_metadata { /* what the keys say; a test changes what it likes before writing */
    struct {
        char key[96];
        uint32_t value;
    } numbers[128];
    size_t n_numbers;
    const char *tokens[KOKORO_MAX_TOKENS];
    size_t n_tokens;
    char token_text[KOKORO_MAX_TOKENS][5];
    const char *voices[64];
    size_t n_voices;
};

void ttscpp_build_metadata(const struct ut_kokoro_config *config, struct ut_kokoro_tensors *tensors,
                           struct ttscpp_metadata *out);
/* The value of a key; ends the program when there is none. */
uint32_t *ttscpp_number(struct ttscpp_metadata *metadata, const char *key);
/* Ends the program when it cannot be written. */
void ttscpp_write(const char *path, const struct ttscpp_metadata *metadata,
                  const struct tensor_file *tensors);

#endif
