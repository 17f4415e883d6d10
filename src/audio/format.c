/* Names and extensions of the output formats: one table. */
#include "audio/format.h"

#include <string.h>
#include <strings.h>

#include "base/checked.h"
#include "base/error.h"

static const struct {
    utter_format format;
    const char *name;
    const char *extensions[3];
} formats[] = {
    {UTTER_FORMAT_WAV, "wav", {"wav", "wave"}},
    {UTTER_FORMAT_WAV_F32, "wav-f32", {0}},
    {UTTER_FORMAT_PCM_S16, "pcm", {"pcm", "raw", "s16"}},
    {UTTER_FORMAT_PCM_F32, "pcm-f32", {"f32"}},
    {UTTER_FORMAT_FLAC, "flac", {"flac"}},
    {UTTER_FORMAT_OPUS, "opus", {"opus"}},
    {UTTER_FORMAT_VORBIS, "vorbis", {"ogg", "oga"}},
    {UTTER_FORMAT_MP3, "mp3", {"mp3"}},
};

const char *utter_format_name(utter_format format) {
    for (size_t i = 0; i < UT_COUNT(formats); i++) {
        if (formats[i].format == format) {
            return formats[i].name;
        }
    }
    return NULL;
}

utter_status utter_format_parse(const char *name, utter_format *out, utter_error *err) {
    if (!name || !out) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT,
                       "utter_format_parse: name and out must not be NULL");
    }
    *out = UTTER_FORMAT_AUTO;
    for (size_t i = 0; i < UT_COUNT(formats); i++) {
        if (strcasecmp(name, formats[i].name) == 0) {
            *out = formats[i].format;
            return UTTER_OK;
        }
    }
    return ut_fail(err, UTTER_ERROR_NOT_FOUND,
                   "there is no audio format \"%s\"; use wav, wav-f32, pcm, pcm-f32, flac, opus, "
                   "vorbis or mp3",
                   name);
}

/* A dot in a folder's name is none of the file's. */
utter_format ut_format_of_path(const char *path) {
    const char *slash = strrchr(path, '/'), *dot = strrchr(slash ? slash : path, '.');
    for (size_t i = 0; dot && i < UT_COUNT(formats); i++) {
        for (size_t k = 0; k < UT_COUNT(formats[i].extensions); k++) {
            const char *extension = formats[i].extensions[k];
            if (extension && strcasecmp(dot + 1, extension) == 0) {
                return formats[i].format;
            }
        }
    }
    return UTTER_FORMAT_WAV;
}
