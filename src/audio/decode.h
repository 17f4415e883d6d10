/* Audio files into one channel of floats. */
#ifndef UT_AUDIO_DECODE_H
#define UT_AUDIO_DECODE_H

#include "base/mem.h"

/* An hour: longer than any recording that is compared. */
enum { UT_DECODE_MAX_S = 3600 };

struct ut_decoded {
    float *samples; /* [n], finite; integer formats within -1..1. Free with ut_mem_free */
    size_t n;       /* at least 1 */
    int32_t rate_hz;
};

/* `name` is for messages. More than `max_s` seconds are an error. On failure *out is all zeros. */
UTTER_CHECKED utter_status ut_decode_bytes(struct ut_mem *mem, const void *data, size_t n,
                                           const char *name, int32_t max_s, struct ut_decoded *out,
                                           utter_error *err);

/* A file, a pipe, or standard input for "-"; pipes are read to their end first. */
UTTER_CHECKED utter_status ut_decode_file(struct ut_mem *mem, const char *path,
                                          struct ut_decoded *out, utter_error *err);

#endif
