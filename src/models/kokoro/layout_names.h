/* One tensor's name in a model file to its canonical name (layout.h); internal to models/kokoro. */
#ifndef UT_KOKORO_LAYOUT_NAMES_H
#define UT_KOKORO_LAYOUT_NAMES_H

#include <stdbool.h>

#include "models/kokoro/layout.h"

enum { KOKORO_NAME_SIZE = 96, KOKORO_MAX_PARTS = 4 };

/* How the tensors of a file that share a canonical name make up one. */
enum kokoro_join {
    KOKORO_WHOLE,     /* there is one */
    KOKORO_NORM,      /* part 0: magnitudes, part 1: directions (weight norm) */
    KOKORO_ROWS       /* n_parts equal ones, below each other */
};

struct kokoro_name {
    char name[KOKORO_NAME_SIZE];
    int n_dims; /* of the canonical tensor */
    enum kokoro_join join;
    int part, n_parts;
};

/* False for a tensor that synthesis does not use, whatever its name. */
bool ut_kokoro_name_read(enum ut_kokoro_layout layout, const char *raw, struct kokoro_name *out);

#endif
