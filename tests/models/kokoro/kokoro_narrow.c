/* The tiny Kokoro model in narrow arithmetic: durations, pitch and energy are those of f32 to the
 * bit, the stages behind them near those of f32, and samples the same for any number of threads. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "models/kokoro/kokoro.h"
#include "support/speak.h"

enum { N_IDS = 20 };

/* Stages that are held against f32, and the least that is asked for: 3 to 6 dB below what is
 * measured. Behind the last, phases of bins without energy turn on a rounding. */
static const struct {
    const char *name;
    double least_db; /* 200: the same bits */
} stages[] = {
    {"durations", 200},
    {"F0", 200},
    {"N", 200},
    {"gen_har", 200},
    {"dec_encode", 60},
    {"dec_block_3", 57},
    {"gen_noise_res_0", 37},
    {"gen_stage_0_in", 37},
    {"gen_noise_res_1", 37},
    {"gen_post_in", 35},
};
enum { N_STAGES = sizeof stages / sizeof *stages };

struct run {
    struct {
        float *data;
        size_t n;
    } stages[N_STAGES];
    float *samples;
    size_t n_samples;
};

static void keep_stage(void *user, const char *stage, const struct ut_kokoro_view *view) {
    struct run *run = user;
    for (int i = 0; i < N_STAGES; i++) {
        if (strcmp(stage, stages[i].name) != 0) {
            continue;
        }
        size_t n_ch = (size_t)view->n_ch;
        run->stages[i].n = (size_t)view->n_rows * n_ch;
        run->stages[i].data = malloc(run->stages[i].n * sizeof(float));
        assert_non_null(run->stages[i].data);
        for (int t = 0; t < view->n_rows; t++) {
            memcpy(run->stages[i].data + (size_t)t * n_ch, view->data + t * view->row,
                   n_ch * sizeof(float));
        }
    }
}

static bool keep_samples(void *user, const float *samples, size_t n) {
    struct run *run = user;
    run->samples = realloc(run->samples, (run->n_samples + n) * sizeof *samples);
    assert_non_null(run->samples);
    memcpy(run->samples + run->n_samples, samples, n * sizeof *samples);
    run->n_samples += n;
    return true;
}

static struct run run_model(enum ut_cpu_level level, enum ut_precision precision, int n_threads) {
    static const int32_t ids[N_IDS] = {0,  50, 83, 54, 156, 31, 16, 65, 87, 54,
                                       46, 4,  16, 92, 135, 46, 16, 58, 47, 0};
    struct run run = {.n_samples = 0};
    struct ut_mem mem;
    struct ut_compute compute;
    struct ut_kokoro *model;
    struct ut_kokoro_session *session;
    struct ut_kokoro_blend blend;
    float style[64];
    char path[1024];
    utter_error err;
    snprintf(path, sizeof path, "%s/kokoro/kokoro-v1_0.pth", getenv("UT_TEST_DATA"));
    ut_mem_init(&mem, NULL);
    assert_int_equal(speak_compute_open(&mem, level, n_threads, &compute, &err), UTTER_OK);
    compute.precision = precision;
    assert_int_equal(ut_kokoro_open(&mem, &compute, path, NULL, &model, &err), UTTER_OK);
    assert_int_equal(ut_kokoro_session_create(model, &session, &err), UTTER_OK);
    const struct ut_kokoro_voices *voices = ut_kokoro_get_voices(model);
    assert_int_equal(ut_kokoro_blend_parse(voices, "af_synth", &blend, &err), UTTER_OK);
    assert_int_equal(ut_kokoro_style(voices, &blend, N_IDS - 2, style, &err), UTTER_OK);
    struct ut_kokoro_request request = {.ids = ids,
                                        .n_ids = N_IDS,
                                        .style = style,
                                        .speed = 1,
                                        .seed = 7,
                                        .sink = keep_samples,
                                        .user = &run,
                                        .observer = n_threads == 1 ? keep_stage : NULL,
                                        .observer_user = &run};
    assert_int_equal(ut_kokoro_run(session, &request, NULL, &err), UTTER_OK);
    ut_kokoro_session_destroy(session);
    ut_kokoro_close(model);
    speak_compute_close(&compute);
    return run;
}

static void free_run(struct run *run) {
    for (int i = 0; i < N_STAGES; i++) {
        free(run->stages[i].data);
    }
    free(run->samples);
}

static double snr_db(const float *want, const float *found, size_t n) {
    double signal = 0, noise = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)found[i] - (double)want[i];
        signal += (double)want[i] * (double)want[i];
        noise += d * d;
    }
    return noise > 0 ? 10 * log10(signal / noise) : 200;
}

static void stages_are_near_float(void **state) {
    for (int level = 0; level < UT_CPU_N_LEVELS; level++) {
        if (!ut_kernels_get((enum ut_cpu_level)level)) {
            continue;
        }
        struct run f32 = run_model((enum ut_cpu_level)level, UT_PRECISION_F32, 1);
        struct run int8 = run_model((enum ut_cpu_level)level, UT_PRECISION_INT8, 1);
        assert_int_equal(f32.n_samples, int8.n_samples);
        for (int i = 0; i < N_STAGES; i++) {
            assert_true(f32.stages[i].n > 0);
            assert_int_equal(f32.stages[i].n, int8.stages[i].n);
            double db = snr_db(f32.stages[i].data, int8.stages[i].data, f32.stages[i].n);
            if (!(db >= stages[i].least_db)) {
                fail_msg("%s: %.1f dB, less than %.1f", stages[i].name, db, stages[i].least_db);
            }
        }
        free_run(&f32);
        free_run(&int8);
    }
}

static void threads_do_not_matter(void **state) {
    struct run one = run_model(ut_cpu_level_best(), UT_PRECISION_INT8, 1);
    for (int n_threads = 2; n_threads <= 4; n_threads++) {
        struct run more = run_model(ut_cpu_level_best(), UT_PRECISION_INT8, n_threads);
        assert_int_equal(more.n_samples, one.n_samples);
        assert_memory_equal(more.samples, one.samples, one.n_samples * sizeof *one.samples);
        free_run(&more);
    }
    free_run(&one);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stages_are_near_float),
        cmocka_unit_test(threads_do_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
