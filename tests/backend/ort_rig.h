/* What the tests of the onnx backend share: a context whose ONNX Runtime is the stand-in (or the real one),
 * memory that is watched, a sink that keeps samples. */
#ifndef UT_TESTS_ORT_RIG_H
#define UT_TESTS_ORT_RIG_H

#include "backend/fake_ort.h"
#include "backend/ort_backend.h"
#include "support/failing_allocator.h"

enum { RIG_MAX_SAMPLES = 1 << 18 };

struct rig {
    struct failing_allocator memory;
    struct ut_mem mem;
    struct ut_backend_context context;
    struct fake_ort *fake;
    struct ut_backend_voice *voice;
    struct ut_backend_session *session;
    float samples[RIG_MAX_SAMPLES];
    size_t n_samples, stop_at; /* stop_at: the sink says no from there on; 0: never */
    char warning[512];         /* the last */
    utter_error err;
};
extern struct rig rig;

int rig_setup(void **state);    /* once: loads the stand-in and starts compute threads */
int rig_teardown(void **state);
int rig_fresh(void **state);    /* before a test: the stand-in behaves well */
int rig_nothing_left(void **state); /* behind one: closes the voice; fails when anything is left */

/* The path of a fixture; lives until the next call. */
const char *rig_data(const char *name);
/* Uses the real library from now on; skips the test when UTTER_ONNXRUNTIME does not name it. */
void rig_use_real(void);

/* Opens voice and session, the test fails if it cannot. */
void rig_open(const char *path);
/* ut_ort_open, with its status. */
utter_status rig_try_open(const char *path);
void rig_close(void);

/* Speaks ids into rig.samples. `params` NULL: speaker 0 at its own pace, without noise. */
utter_status rig_speak(const int32_t *ids, size_t n_ids, const struct ut_speak_params *params);
struct ut_speak_params rig_params(void);

void rig_assert_message(const char *words); /* of rig.err */

#endif
