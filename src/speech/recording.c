/* Sounds read from files. */
#include "audio/decode.h"
#include "speech/speech.h"

/* `sound` points at what `decoded` owns. */
struct utter_recording {
    struct ut_decoded decoded;
    utter_sound sound;
};

/* A ut_mem of defaults frees what another one allocated: blocks know their size. */
utter_status utter_recording_open(const char *path, utter_recording **out, utter_error *err) {
    struct ut_mem mem;
    if (!path || !out) {
        return ut_fail(err, UTTER_ERROR_ARGUMENT, "path and out must not be NULL");
    }
    *out = NULL;
    ut_mem_init(&mem, NULL);
    utter_recording *recording = ut_mem_calloc(&mem, UT_MEM_OTHER, 1, sizeof *recording);
    if (!recording) {
        return ut_fail_memory(err, sizeof *recording);
    }
    utter_status status = ut_decode_file(&mem, path, &recording->decoded, err);
    if (status != UTTER_OK) {
        ut_mem_free(&mem, recording);
        return status;
    }
    recording->sound =
        (utter_sound){recording->decoded.samples, recording->decoded.n, recording->decoded.rate_hz};
    *out = recording;
    return UTTER_OK;
}

/* Lives as long as the recording. */
const utter_sound *utter_recording_sound(const utter_recording *recording) {
    return &recording->sound;
}

void utter_recording_close(utter_recording *recording) {
    if (recording) {
        struct ut_mem mem;
        ut_mem_init(&mem, NULL);
        ut_mem_free(&mem, recording->decoded.samples);
        ut_mem_free(&mem, recording);
    }
}
