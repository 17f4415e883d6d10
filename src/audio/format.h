/* The format of an output by its name or its file's extension. */
#ifndef UT_AUDIO_FORMAT_H
#define UT_AUDIO_FORMAT_H

#include "utter.h"

/* By the extension, in either case; WAV if it has none or another. Never AUTO. */
utter_format ut_format_of_path(const char *path);

#endif
