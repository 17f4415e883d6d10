/* What both readers of Kokoro's configuration share (config.c, config_gguf.c): limits, and the checks
 * behind the reading. Internal to models/kokoro. */
#ifndef UT_KOKORO_CONFIG_CHECK_H
#define UT_KOKORO_CONFIG_CHECK_H

#include "models/kokoro/config.h"

enum {
    KOKORO_MAX_HEADS = 256,
    KOKORO_MAX_REPEATS = 64,
    KOKORO_MAX_RATE = 64,
    KOKORO_MAX_KERNEL_SIZE = 64,
    KOKORO_MAX_DILATION = 64,
    KOKORO_MAX_FFT = 1024,
    KOKORO_MAX_SIZE = 65536
};

/* What the generator's convolutions and its inverse STFT can be; numbers are in range already. */
UTTER_CHECKED utter_status ut_kokoro_config_check(const struct ut_kokoro_config *config,
                                                  utter_error *err);
/* Sorts the symbols by code point; ERROR_FORMAT for one that stands twice. */
UTTER_CHECKED utter_status ut_kokoro_config_sort(struct ut_kokoro_config *config, utter_error *err);
/* The only code point of a text, -1 when it has none or more. */
int32_t ut_kokoro_single_code_point(const char *text);

#endif
