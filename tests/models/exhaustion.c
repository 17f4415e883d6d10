/* Memory that runs out: every allocation between the bytes of a voice and its samples fails in
 * turn, once and from then on. Each must end in an error of its own kind, or not matter; nothing
 * may leak, and the next attempt must say what the first one said. Row F4 of the reliability rules.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/failing_allocator.h"
#include "support/sweep.h"
#include "support/speak.h"
#include "support/voice_builder.h"

static struct byte_buffer model, json;

static void build(struct voice_spec spec) {
    struct voice voice;
    model.n = json.n = 0;
    voice_build(&voice, &spec, 1);
    if (spec.house) {
        voice_write_safetensors(&voice, true, &model);
    } else {
        voice_write_onnx(&voice, NULL, &model);
    }
    voice_write_json(&voice, &json);
    voice_free(&voice);
}

/* One attempt with allocation `fail_at` failing; false when there are not so many. */
static bool attempt(struct failing_allocator *state, struct ut_mem *mem,
                    const struct ut_compute *compute, size_t fail_at, bool and_later,
                    const struct speech *expected) {
    struct ut_piper_request request = speak_request();
    struct speech speech = {0};
    size_t n_before = atomic_load(&state->n_blocks);
    failing_allocator_reset(state, fail_at, and_later);
    speak(mem, compute, &model, &json, &request, &speech);
    bool failed = atomic_load(&state->n_failed) > 0;
    failing_allocator_reset(state, 0, false);
    if (speech.status != UTTER_OK && (speech.status != UTTER_ERROR_MEMORY || !failed)) {
        fail_msg("allocation %zu: status %d at step %d: %s", fail_at, speech.status, speech.step,
                 speech.err.message);
    }
    if (speech.status == UTTER_OK && !speech_equal(&speech, expected)) {
        fail_msg("allocation %zu: other samples", fail_at);
    }
    assert_int_equal(atomic_load(&state->n_blocks), n_before);
    speech_free(&speech);
    return failed;
}

static void exhaust(struct voice_spec spec, enum ut_precision precision) {
    struct failing_allocator state;
    struct ut_mem mem;
    struct ut_compute compute;
    struct speech expected = {0};
    struct ut_piper_request request = speak_request();
    utter_allocator allocator = failing_allocator_start(&state);
    ut_mem_init(&mem, &allocator);
    build(spec);
    assert_int_equal(speak_compute_open(&mem, ut_cpu_level_best(), 2, &compute, NULL), UTTER_OK);
    compute.precision = precision;
    speak(&mem, &compute, &model, &json, &request, &expected);
    assert_int_equal(expected.status, UTTER_OK);
    for (int and_later = 0; and_later < 2; and_later++) {
        size_t n = 1;
        while (attempt(&state, &mem, &compute, n, and_later, &expected)) {
            n++;
        }
        assert_true(n > 10); /* it did allocate through this allocator */
        assert_false(attempt(&state, &mem, &compute, 0, false, &expected));
    }
    speech_free(&expected);
    speak_compute_close(&compute);
    assert_int_equal(atomic_load(&state.n_blocks), 0);
    assert_false(atomic_load(&state.wrong_size));
}

static void single_speaker(void **state) {
    exhaust(voice_spec_tiny(), UT_PRECISION_F32);
}

static void several_speakers(void **state) {
    exhaust(voice_spec_tiny_multi(), UT_PRECISION_F32);
}

static void house(void **state) {
    exhaust(voice_spec_house(true), UT_PRECISION_F32);
}

static void narrow_arithmetic(void **state) {
    exhaust(voice_spec_tiny(), UT_PRECISION_INT8);
    exhaust(voice_spec_tiny_multi(), UT_PRECISION_INT8);
    exhaust(voice_spec_house(true), UT_PRECISION_INT8);
    exhaust(voice_spec_tiny_multi(), UT_PRECISION_BF16);
}

static void starting_threads(void **state) {
    struct ut_mem mem;
    struct ut_compute compute;
    struct sweep sweep;
    utter_error err;
    for (sweep_start(&sweep, &mem, true); sweep_next(&sweep);) {
        utter_status status = speak_compute_open(&mem, UT_CPU_SCALAR, 4, &compute, &err);
        speak_compute_close(&compute);
        sweep_check(&sweep, status);
    }
    assert_true(sweep.n_injected > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(single_speaker),
        cmocka_unit_test(several_speakers),
        cmocka_unit_test(house),
        cmocka_unit_test(narrow_arithmetic),
        cmocka_unit_test(starting_threads),
    };
    int n_failed = cmocka_run_group_tests(tests, NULL, NULL);
    byte_buffer_free(&model);
    byte_buffer_free(&json);
    return n_failed;
}
