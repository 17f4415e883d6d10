/* Values that no model has, in each tensor of a minimal Kokoro model in turn, in its style and in
 * its requests. What is not finite is refused while loading; what is huge may load, and then a run
 * ends with ERROR_MODEL or with samples that are finite and within full scale. Under the sanitizers
 * this also shows that no such value becomes a size or an index. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"
#include "support/kokoro_builder.h"
#include "support/kokoro_speak.h"
#include "support/speak.h"

enum { N_STYLE = 64 };

static const float poisons[] = {NAN, INFINITY, 3e38f, -3e38f, 1e20f};

static struct ut_mem mem;
static struct ut_compute levels[2]; /* scalar, best */
static struct kokoro_spec spec;
static struct tensor_file tensors;
static struct byte_buffer config;

static int setup(void **state) {
    utter_error err = {0};
    ut_mem_init(&mem, NULL);
    spec = kokoro_spec_minimal();
    kokoro_build(&spec, 1, &tensors);
    kokoro_write_config(&spec, &config);
    return speak_compute_open(&mem, UT_CPU_SCALAR, 1, &levels[0], &err) ||
           speak_compute_open(&mem, ut_cpu_level_best(), 1, &levels[1], &err);
}

static int teardown(void **state) {
    tensor_file_free(&tensors);
    byte_buffer_free(&config);
    speak_compute_close(&levels[0]);
    speak_compute_close(&levels[1]);
    return mem.bytes[UT_MEM_WEIGHTS] || mem.bytes[UT_MEM_SESSION] || mem.bytes[UT_MEM_OTHER];
}

/* What is promised of any run; `what` is for the message of a failure. */
static void check(const struct kokoro_speech *speech, const char *what, double value) {
    bool is_refused = speech->step == KOKORO_LOAD && speech->status == UTTER_ERROR_FORMAT;
    bool is_stopped = speech->step == KOKORO_RUN && speech->status == UTTER_ERROR_MODEL;
    bool is_spoken = speech->step == KOKORO_DONE && kokoro_speech_is_sound(speech);
    if (!is_refused && !is_stopped && !is_spoken) {
        fail_msg("%s with %g: step %d, status %d, %s", what, value, speech->step, speech->status,
                 speech->err.message);
    }
    if (!is_spoken) {
        assert_true(speech->err.code == speech->status && speech->err.message[0]);
    }
}

/* ---- Weights ------------------------------------------------------------------------------------
 */

/* Values first..first + n - 1 of a copy of the tensor. */
static float *poison(const struct ut_tensor *tensor, size_t first, size_t n, float value) {
    float *values = test_alloc(tensor->n_bytes);
    memcpy(values, tensor->data, tensor->n_bytes);
    for (size_t i = first; i < first + n; i++) {
        values[i] = value;
    }
    return values;
}

static struct kokoro_speech speak_tensors(const struct ut_compute *compute) {
    struct kokoro_speech speech = {0};
    struct byte_buffer file = {0};
    struct ut_kokoro_request request = kokoro_request();
    request.n_ids = 2;
    tensor_file_write_safetensors(&tensors, &file);
    kokoro_speak(&mem, compute, &file, &config, &request, N_STYLE, &speech);
    byte_buffer_free(&file);
    return speech;
}

/* One tensor with one value, or all of them, replaced. */
static void try_tensor(struct ut_tensor *tensor, bool all, float value,
                       const struct ut_compute *compute) {
    const struct ut_tensor original = *tensor;
    size_t n = tensor->n_bytes / sizeof(float);
    float *values = poison(tensor, all ? 0 : n / 2, all ? n : 1, value);
    tensor->data = values;
    struct kokoro_speech speech = speak_tensors(compute);
    check(&speech, original.name, (double)value);
    bool is_named =
        strstr(speech.err.message, original.name) && strstr(speech.err.message, "finite");
    if (!isfinite(value) && (speech.step != KOKORO_LOAD || !is_named)) {
        fail_msg("%s with %g is not refused: %s", original.name, (double)value, speech.err.message);
    }
    kokoro_speech_free(&speech);
    *tensor = original;
    free(values);
}

/* The huge values at both levels; those that are refused before a kernel is called at one. */
static void poisoned_weights_do_no_harm(void **state) {
    for (size_t i = 0; i < tensors.n; i++) {
        try_tensor(&tensors.tensors[i], false, NAN, &levels[1]);
        try_tensor(&tensors.tensors[i], true, INFINITY, &levels[1]);
        for (size_t level = 0; level < UT_COUNT(levels); level++) {
            try_tensor(&tensors.tensors[i], false, 3e38f, &levels[level]);
            try_tensor(&tensors.tensors[i], true, level ? 1e20f : 3e38f, &levels[level]);
            try_tensor(&tensors.tensors[i], true, -3e38f, &levels[level]);
        }
    }
}

/* Everything at once, where nothing that is normal is left to bring values back. */
static void a_model_of_huge_weights_does_no_harm(void **state) {
    for (size_t p = 2; p < UT_COUNT(poisons); p++) {
        struct tensor_file kept = tensors;
        tensors = (struct tensor_file){0};
        for (size_t i = 0; i < kept.n; i++) {
            struct ut_tensor poisoned = kept.tensors[i];
            size_t n = poisoned.n_bytes / sizeof(float);
            poisoned.data = poison(&kept.tensors[i], 0, n, poisons[p]);
            tensor_file_copy(&tensors, poisoned.name, &poisoned);
            free((void *)(uintptr_t)poisoned.data);
        }
        for (size_t i = 0; i < UT_COUNT(levels); i++) {
            struct kokoro_speech speech = speak_tensors(&levels[i]);
            check(&speech, "every tensor", (double)poisons[p]);
            kokoro_speech_free(&speech);
        }
        tensor_file_free(&tensors);
        tensors = kept;
    }
}

/* Weights of 16 bits: what their type cannot hold became infinite when it was written. */
static void poisoned_halves_are_refused(void **state) {
    static const enum ut_dtype types[] = {UT_F16, UT_BF16};
    for (size_t i = 0; i < 2 * tensors.n; i++) {
        struct ut_tensor *tensor = &tensors.tensors[i / 2], original = *tensor;
        size_t n = tensor->n_bytes / sizeof(float);
        tensor->data = poison(&original, n / 2, 1, i % 3 ? NAN : -INFINITY);
        tensor_file_convert(tensor, types[i % 2]);
        struct kokoro_speech speech = speak_tensors(&levels[1]);
        if (speech.step != KOKORO_LOAD || !strstr(speech.err.message, "finite")) {
            fail_msg("%s is not refused: %s", original.name, speech.err.message);
        }
        kokoro_speech_free(&speech);
        free((void *)(uintptr_t)tensor->data);
        *tensor = original;
    }
}

/* ---- Requests -----------------------------------------------------------------------------------
 */

static struct ut_kokoro *load_model(const struct ut_compute *compute) {
    struct byte_buffer file = {0};
    struct ut_weights *weights;
    struct ut_kokoro_config parsed;
    struct ut_kokoro *model;
    utter_error err = {0};
    tensor_file_write_safetensors(&tensors, &file);
    assert_int_equal(
        ut_kokoro_config_parse(&mem, (const char *)config.data, config.n, &parsed, &err), UTTER_OK);
    assert_int_equal(ut_weights_parse(&mem, file.data, file.n, &weights, &err), UTTER_OK);
    assert_int_equal(ut_kokoro_load(&mem, compute, weights, &parsed, NULL, &model, &err), UTTER_OK);
    ut_weights_close(weights);
    ut_kokoro_config_free(&parsed);
    byte_buffer_free(&file);
    return model;
}

static struct kokoro_speech run(const struct ut_kokoro *model,
                                const struct ut_kokoro_request *request) {
    struct kokoro_speech speech = {0};
    kokoro_speak_model(model, request, &speech);
    return speech;
}

/* One value of the style, then one half, then all. */
static void a_poisoned_style_does_no_harm(void **state) {
    const size_t n = 2 * (size_t)spec.n_style;
    for (size_t i = 0; i < UT_COUNT(levels) * UT_COUNT(poisons); i++) {
        struct ut_kokoro *model = load_model(&levels[i % UT_COUNT(levels)]);
        float value = poisons[i / UT_COUNT(levels)];
        for (size_t part = 0; part < n + 3; part++) {
            size_t first = part < n ? part : part == n + 1 ? n / 2 : 0;
            size_t end = part < n ? part + 1 : part == n ? n / 2 : n;
            float style[N_STYLE];
            struct ut_kokoro_request request = kokoro_request();
            memcpy(style, request.style, sizeof style);
            for (size_t k = first; k < end; k++) {
                style[k] = value;
            }
            request.style = style;
            struct kokoro_speech speech = run(model, &request);
            check(&speech, "the style", (double)value);
            if (!isfinite(value)) {
                assert_int_equal(speech.status, UTTER_ERROR_MODEL);
                assert_non_null(strstr(speech.err.message, "voice"));
            }
            kokoro_speech_free(&speech);
        }
        ut_kokoro_close(model);
    }
}

static void odd_requests_are_refused(void **state) {
    static const float speeds[] = {0,     -0.0f,  -1,     NAN,  INFINITY, -INFINITY, 1e-45f, 3e38f,
                                   0.09f, 10.01f, -3e38f, 0.1f, 0.5f,     2,         10};
    struct ut_kokoro *model = load_model(&levels[1]);
    for (size_t i = 0; i < UT_COUNT(speeds); i++) {
        struct ut_kokoro_request request = kokoro_request();
        request.speed = speeds[i];
        struct kokoro_speech speech = run(model, &request);
        if (i >= UT_COUNT(speeds) - 4) {
            check(&speech, "the speed", (double)speeds[i]);
            assert_int_equal(speech.step, KOKORO_DONE);
        } else {
            assert_int_equal(speech.status, UTTER_ERROR_ARGUMENT);
            assert_non_null(strstr(speech.err.message, "speed is"));
        }
        kokoro_speech_free(&speech);
    }
    ut_kokoro_close(model);
}

static void ids_beyond_the_vocabulary_are_skipped(void **state) {
    static const int32_t ids[] = {INT32_MIN, -1, 0, 15, 16, 17, INT32_MAX, 3};
    struct ut_kokoro *model = load_model(&levels[1]);
    struct ut_kokoro_request request = kokoro_request();
    request.ids = ids;
    struct kokoro_speech speech = run(model, &request);
    check(&speech, "ids", 0);
    assert_int_equal(speech.step, KOKORO_DONE);
    assert_int_equal(speech.result.n_skipped_ids, 5);
    kokoro_speech_free(&speech);
    request.n_ids = 2;
    speech = run(model, &request);
    assert_int_equal(speech.status, UTTER_ERROR_ARGUMENT);
    assert_non_null(strstr(speech.err.message, "no phoneme id"));
    kokoro_speech_free(&speech);
    ut_kokoro_close(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(poisoned_weights_do_no_harm),
        cmocka_unit_test(a_model_of_huge_weights_does_no_harm),
        cmocka_unit_test(poisoned_halves_are_refused),
        cmocka_unit_test(a_poisoned_style_does_no_harm),
        cmocka_unit_test(odd_requests_are_refused),
        cmocka_unit_test(ids_beyond_the_vocabulary_are_skipped),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
