/* Kokoro models of many sizes, built in memory: every one loads and speaks, samples are finite and
 * within full scale, the same for any number of threads and a second time, 600 for each frame; and
 * weights of 16 bits sound like those of 32. What the stages compute is held against goldens by
 * tests/models/trace.c. */
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

enum { N_STYLE = 64, MANY_FRAMES = 1 << 20 };

static struct ut_mem mem;
static struct ut_compute one, three, scalar;

static int setup(void **state) {
    utter_error err = {0};
    enum ut_cpu_level best = ut_cpu_level_best();
    ut_mem_init(&mem, NULL);
    return speak_compute_open(&mem, best, 1, &one, &err) ||
           speak_compute_open(&mem, best, 3, &three, &err) ||
           speak_compute_open(&mem, UT_CPU_SCALAR, 1, &scalar, &err);
}

static int teardown(void **state) {
    speak_compute_close(&one);
    speak_compute_close(&three);
    speak_compute_close(&scalar);
    return mem.bytes[UT_MEM_WEIGHTS] || mem.bytes[UT_MEM_SESSION] || mem.bytes[UT_MEM_OTHER];
}

struct files {
    struct byte_buffer model, config;
};

/* Layers in `type`; biases, norms and what else is one row or less stays f32. */
static struct files build(const struct kokoro_spec *spec, enum ut_dtype type) {
    struct files files = {{0}, {0}};
    struct tensor_file tensors = {0};
    kokoro_build(spec, 1, &tensors);
    for (size_t i = 0; i < tensors.n; i++) {
        if (type != UT_F32 && tensors.tensors[i].n_dims > 1) {
            tensor_file_convert(&tensors.tensors[i], type);
        }
    }
    tensor_file_write_safetensors(&tensors, &files.model);
    kokoro_write_config(spec, &files.config);
    tensor_file_free(&tensors);
    return files;
}

static void free_files(struct files *files) {
    byte_buffer_free(&files->model);
    byte_buffer_free(&files->config);
}

static double power(const struct kokoro_speech *speech) {
    double sum = 0;
    for (size_t i = 0; i < speech->n_samples; i++) {
        sum += (double)speech->samples[i] * (double)speech->samples[i];
    }
    return sum / (double)speech->n_samples;
}

/* Speaks a request, which must work. */
static struct kokoro_speech speak_request_of(const struct files *files,
                                             const struct ut_compute *compute,
                                             const struct ut_kokoro_request *request,
                                             bool watched) {
    struct kokoro_speech speech = {.most_frames = watched ? MANY_FRAMES : 0};
    kokoro_speak(&mem, compute, &files->model, &files->config, request, N_STYLE, &speech);
    if (speech.step != KOKORO_DONE) {
        fail_msg("step %d: %s", speech.step, speech.err.message);
    }
    assert_true(kokoro_speech_is_sound(&speech));
    assert_int_equal(speech.n_samples, 600 * (size_t)speech.result.n_frames);
    assert_int_equal(speech.n_samples, speech.result.n_samples);
    return speech;
}

static struct kokoro_speech speak_files(const struct files *files, const struct ut_compute *compute,
                                        bool watched) {
    struct ut_kokoro_request request = kokoro_request();
    return speak_request_of(files, compute, &request, watched);
}

/* ---- Specifications -----------------------------------------------------------------------------
 */

typedef void (*change)(struct kokoro_spec *spec);

static void nothing(struct kokoro_spec *spec) {
}

static void odd_widths(struct kokoro_spec *spec) {
    spec->n_embed = 3;
    spec->n_albert = 9;
    spec->n_heads = 3;
    spec->n_ffn = 7;
    spec->n_hidden = 10;
    spec->n_style = 5;
    spec->max_dur = 5;
    spec->n_curve = 3;
    spec->n_decoder = 7;
    spec->n_asr_res = 1;
    spec->n_initial = 12;
    spec->n_harmonics = 1;
}

/* One value wide wherever the model lets it be; then all of a row is its mean. */
static void narrow(struct kokoro_spec *spec) {
    spec->n_embed = spec->n_albert = spec->n_heads = spec->n_ffn = spec->n_repeats = 1;
    spec->n_hidden = 2;
    spec->n_style = spec->n_curve = spec->n_decoder = spec->n_asr_res = 1;
    spec->n_initial = 4;
    spec->cnn_kernel = spec->post_kernel = spec->noise_kernel = spec->kernels[0] = 1;
}

/* Wider than a panel of weights, by one. */
static void wide(struct kokoro_spec *spec) {
    spec->n_albert = 34;
    spec->n_hidden = 34;
    spec->n_style = 17;
    spec->n_decoder = 65;
    spec->n_curve = 33;
    spec->n_initial = 132;
}

static void deep(struct kokoro_spec *spec) {
    *spec = kokoro_spec_small();
    spec->n_duration_layers = spec->n_cnn = 8;
    spec->n_repeats = 5;
    spec->n_kernels = spec->n_dilations = 4;
    spec->kernels[3] = 13;
    spec->dilations[3] = 9;
}

static void one_stage(struct kokoro_spec *spec) {
    spec->n_stages = 1;
    spec->rates[0] = 60;
    spec->up_kernels[0] = 64;
}

static void four_stages(struct kokoro_spec *spec) {
    static const int rates[] = {5, 1, 3, 4}, kernels[] = {11, 3, 3, 8};
    spec->n_stages = 4;
    spec->n_initial = 32;
    memcpy(spec->rates, rates, sizeof rates);
    memcpy(spec->up_kernels, kernels, sizeof kernels);
}

static void smallest_transform(struct kokoro_spec *spec) {
    static const int rates[] = {10, 30}, kernels[] = {12, 30};
    spec->n_fft = 2;
    spec->hop = 1;
    memcpy(spec->rates, rates, sizeof rates);
    memcpy(spec->up_kernels, kernels, sizeof kernels);
}

static void largest_transform(struct kokoro_spec *spec) {
    static const int rates[] = {3, 2}, kernels[] = {5, 4};
    spec->n_fft = 250;
    spec->hop = 50;
    memcpy(spec->rates, rates, sizeof rates);
    memcpy(spec->up_kernels, kernels, sizeof kernels);
}

static void every_size_speaks(void **state) {
    static const change changes[] = {
        nothing,     odd_widths,         narrow,           wide, deep, one_stage,
        four_stages, smallest_transform, largest_transform};
    for (size_t i = 0; i < UT_COUNT(changes); i++) {
        struct kokoro_spec spec = kokoro_spec_minimal();
        changes[i](&spec);
        struct files files = build(&spec, UT_F32);
        struct kokoro_speech a = speak_files(&files, &one, false);
        struct kokoro_speech again = speak_files(&files, &one, false);
        struct kokoro_speech threads = speak_files(&files, &three, false);
        struct kokoro_speech watched = speak_files(&files, &three, true);
        if (!kokoro_speech_equal(&a, &again) || !kokoro_speech_equal(&a, &threads) ||
            !kokoro_speech_equal(&a, &watched)) {
            fail_msg("specification %zu: runs differ", i);
        }
        if (power(&a) < 1e-6) {
            fail_msg("specification %zu: silence, power %g", i, power(&a));
        }
        kokoro_speech_free(&a);
        kokoro_speech_free(&again);
        kokoro_speech_free(&threads);
        kokoro_speech_free(&watched);
        free_files(&files);
    }
}

/* Durations are whole frames around what was asked for. */
static void durations_are_as_built(void **state) {
    struct kokoro_spec spec = kokoro_spec_minimal();
    struct files files = build(&spec, UT_F32);
    struct kokoro_speech speech = speak_files(&files, &one, true);
    assert_int_equal(speech.n_durations, 8);
    for (int i = 0; i < speech.n_durations; i++) {
        assert_in_range(speech.durations[i], 1, 4);
    }
    kokoro_speech_free(&speech);
    free_files(&files);
}

/* ---- Weights of 16 bits -------------------------------------------------------------------------
 */

static double snr_db(const struct kokoro_speech *exact, const struct kokoro_speech *other) {
    double noise = 0;
    assert_int_equal(exact->n_samples, other->n_samples);
    for (size_t i = 0; i < exact->n_samples; i++) {
        double error = (double)exact->samples[i] - (double)other->samples[i];
        noise += error * error;
    }
    return 10 * log10(power(exact) * (double)exact->n_samples / noise);
}

/* Phases of the source's spectrum jump where they wrap, and in bins that hold next to nothing they
 * are arbitrary: a rounding there is a change of 2 pi. So the bounds are 6 dB below what this model
 * shows; without such a jump levels agree within 100 dB. */
static void halves_sound_alike(void **state) {
    static const struct {
        enum ut_dtype type;
        double least_db;
    } types[] = {{UT_F16, 19}, {UT_BF16, 14}};
    struct kokoro_spec spec = kokoro_spec_small();
    struct files exact = build(&spec, UT_F32);
    struct kokoro_speech reference = speak_files(&exact, &one, true);
    for (size_t i = 0; i < UT_COUNT(types); i++) {
        struct files files = build(&spec, types[i].type);
        struct kokoro_speech speech = speak_files(&files, &one, true);
        struct kokoro_speech by_scalar = speak_files(&files, &scalar, true);
        assert_int_equal(speech.info.weight_type, types[i].type);
        assert_int_equal(speech.n_durations, reference.n_durations);
        assert_memory_equal(speech.durations, reference.durations,
                            (size_t)reference.n_durations * sizeof *reference.durations);
        double db = snr_db(&reference, &speech), db_scalar = snr_db(&speech, &by_scalar);
        print_message("%s: %.1f dB; scalar against best: %.1f dB\n", ut_dtype_name(types[i].type),
                      db, db_scalar);
        assert_true(db > types[i].least_db);
        assert_true(db_scalar > 36);
        kokoro_speech_free(&speech);
        kokoro_speech_free(&by_scalar);
        free_files(&files);
    }
    kokoro_speech_free(&reference);
    free_files(&exact);
}

/* ---- Lengths ------------------------------------------------------------------------------------
 */

/* From one id to as many as there are positions, and one more. */
static void every_length_speaks(void **state) {
    int32_t ids[25];
    struct kokoro_spec spec = kokoro_spec_minimal();
    struct files files = build(&spec, UT_F32);
    struct ut_kokoro_request request = kokoro_request();
    request.ids = ids;
    for (size_t n = 1; n <= 25; n++) {
        ids[n - 1] = (int32_t)(n * 7 % 16);
        request.n_ids = n;
        request.trim = n % 2;
        struct kokoro_speech speech = {0};
        kokoro_speak(&mem, &three, &files.model, &files.config, &request, N_STYLE, &speech);
        assert_int_equal(speech.info.max_ids, 24);
        if (n > 24) {
            assert_int_equal(speech.status, UTTER_ERROR_ARGUMENT);
            assert_non_null(strstr(speech.err.message, "25 phoneme ids"));
        } else {
            assert_int_equal(speech.step, KOKORO_DONE);
            assert_true(kokoro_speech_is_sound(&speech));
            assert_int_equal(speech.n_samples, 600 * (size_t)speech.result.n_frames);
            assert_true(speech.result.n_frames >= n);
        }
        kokoro_speech_free(&speech);
    }
    free_files(&files);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_speaks),
        cmocka_unit_test(durations_are_as_built),
        cmocka_unit_test(halves_sound_alike),
        cmocka_unit_test(every_length_speaks),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
