/* Reading sounds: whatever libsndfile makes of the bytes, what comes out is sound within the
 * bounds, or an error with a message. */
#include <math.h>
#include <string.h>

#include "audio/decode.h"
#include "fuzz.h"

/* Visible, for a sanitizer that is a shared library finds it by name. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void) {
    return "leak:libsndfile\nleak:libvorbis\nleak:libogg\nleak:libopus\nleak:libFLAC\nleak:libmpg123\n";
}

enum { MAX_S = 1, MAX_RATE_HZ = 192000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct ut_mem mem;
    struct ut_decoded sound;
    utter_error err = {0};
    ut_mem_init(&mem, NULL);
    utter_status status = ut_decode_bytes(&mem, data, n, "it", MAX_S, &sound, &err);
    if (status == UTTER_OK) {
        REQUIRE(sound.rate_hz >= 1000 && sound.rate_hz <= MAX_RATE_HZ);
        REQUIRE(sound.n > 0 && sound.n <= (size_t)MAX_S * (size_t)sound.rate_hz);
        for (size_t i = 0; i < sound.n; i++) {
            REQUIRE(isfinite(sound.samples[i]));
        }
    } else {
        REQUIRE(status == UTTER_ERROR_FORMAT || status == UTTER_ERROR_UNSUPPORTED);
        REQUIRE(strstr(err.message, "it") && !sound.samples && sound.n == 0);
    }
    REQUIRE(atomic_load(&mem.peak_bytes) <= 4 * MAX_S * MAX_RATE_HZ * sizeof(float));
    ut_mem_free(&mem, sound.samples);
    REQUIRE(atomic_load(&mem.bytes[UT_MEM_OTHER]) == 0);
    return 0;
}
