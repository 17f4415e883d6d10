/* See ort_rig.h. */
#include "backend/ort_rig.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/speak.h"

struct rig rig;

static struct ut_mem compute_mem; /* of the threads, which no test fails */

static void keep_warning(void *user, utter_log_level level, const char *message) {
    if (level == UTTER_LOG_WARNING) {
        snprintf(rig.warning, sizeof rig.warning, "%s", message);
    }
}

int rig_setup(void **state) {
    void *handle = dlopen(getenv("UT_FAKE_ORT"), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    rig.fake = handle ? dlsym(handle, "fake_ort") : NULL;
    ut_mem_init(&compute_mem, NULL);
    return rig.fake ? speak_compute_open(&compute_mem, ut_cpu_level_best(), 2, &rig.context.compute,
                                         &rig.err)
                    : -1;
}

int rig_teardown(void **state) {
    speak_compute_close(&rig.context.compute);
    return 0;
}

int rig_fresh(void **state) {
    utter_allocator allocator = failing_allocator_start(&rig.memory);
    ut_mem_init(&rig.mem, &allocator);
    rig.context.mem = &rig.mem;
    rig.context.log.fn = keep_warning;
    rig.context.onnxruntime_path = getenv("UT_FAKE_ORT");
    rig.context.provider = rig.context.coreml_path = NULL;
    rig.context.platform = UT_PLATFORM_OTHER;
    rig.context.preferred = UTTER_BACKEND_AUTO;
    rig.context.no_fallback = false;
    rig.voice = NULL;
    rig.session = NULL;
    rig.warning[0] = '\0';
    rig.n_samples = rig.stop_at = 0;
    fake_ort_reset(rig.fake);
    return 0;
}

int rig_nothing_left(void **state) {
    rig_close();
    return rig.fake->n_alive == 0 && rig.memory.n_blocks == 0 && !rig.memory.wrong_size ? 0 : -1;
}

const char *rig_data(const char *name) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", getenv("UT_TEST_DATA"), name);
    return path;
}

void rig_use_real(void) {
    const char *path = getenv("UTTER_ONNXRUNTIME");
    if (!path || !*path) {
        print_message("UTTER_ONNXRUNTIME does not name a library: skipped\n");
        skip();
    }
    rig.context.onnxruntime_path = path;
}

utter_status rig_try_open(const char *path) {
    return ut_ort_open(&rig.context, path, &rig.voice, &rig.err);
}

void rig_open(const char *path) {
    if (rig_try_open(path) != UTTER_OK ||
        rig.voice->backend->session_create(rig.voice, &rig.session, &rig.err) != UTTER_OK) {
        fail_msg("%s", rig.err.message);
    }
}

void rig_close(void) {
    if (rig.session) {
        rig.voice->backend->session_destroy(rig.session);
    }
    if (rig.voice) {
        rig.voice->backend->close(rig.voice);
    }
    rig.session = NULL;
    rig.voice = NULL;
}

static bool keep(void *user, const float *samples, size_t n) {
    if (rig.n_samples + n > RIG_MAX_SAMPLES) {
        return false;
    }
    memcpy(rig.samples + rig.n_samples, samples, n * sizeof *samples);
    rig.n_samples += n;
    return rig.stop_at == 0 || rig.n_samples < rig.stop_at;
}

struct ut_speak_params rig_params(void) {
    return (struct ut_speak_params){.length_scale = 1, .speed = 1};
}

utter_status rig_speak(const int32_t *ids, size_t n_ids, const struct ut_speak_params *params) {
    struct ut_speak_params used = params ? *params : rig_params();
    const struct ut_unit unit = {.ids = ids, .n_ids = n_ids};
    struct ut_speak_stats stats = {0};
    used.sink = keep;
    rig.n_samples = 0;
    return rig.voice->backend->speak(rig.session, &unit, &used, &stats, &rig.err);
}

void rig_assert_message(const char *words) {
    if (!strstr(rig.err.message, words)) {
        fail_msg("'%s' lacks '%s'", rig.err.message, words);
    }
}
