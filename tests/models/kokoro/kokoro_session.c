/* Runs of the tiny Kokoro model: seeds, threads, edges, the harmonic source against its formula,
 * bad requests, stopping, and memory. The network's stages are held against goldens by
 * tests/models/trace.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "models/kokoro/kokoro.h"
#include "support/failing_allocator.h"
#include "support/speak.h"

enum { MAX_SAMPLES = 1 << 20, N_IDS = 20 };

static struct ut_mem mem;
static struct ut_compute compute;
static struct ut_kokoro *model;
static struct ut_kokoro_session *session;
static float style[64];
static int n_warnings;

static void count_warning(void *user, utter_log_level level, const char *message) {
    n_warnings += level == UTTER_LOG_WARNING;
}

static const char *model_path(void) {
    static char path[1024];
    snprintf(path, sizeof path, "%s/kokoro/kokoro-v1_0.pth", getenv("UT_TEST_DATA"));
    return path;
}

static void open_model(int n_threads) {
    struct ut_log log = {count_warning, NULL};
    struct ut_kokoro_blend blend;
    utter_error err = {0};
    assert_int_equal(speak_compute_open(&mem, ut_cpu_level_best(), n_threads, &compute, &err),
                     UTTER_OK);
    if (ut_kokoro_open(&mem, &compute, model_path(), &log, &model, &err) != UTTER_OK) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(ut_kokoro_session_create(model, &session, &err), UTTER_OK);
    const struct ut_kokoro_voices *voices = ut_kokoro_get_voices(model);
    assert_int_equal(ut_kokoro_blend_parse(voices, "af_synth", &blend, &err), UTTER_OK);
    assert_int_equal(ut_kokoro_style(voices, &blend, N_IDS - 2, style, &err), UTTER_OK);
}

static void close_model(void) {
    ut_kokoro_session_destroy(session);
    ut_kokoro_close(model);
    speak_compute_close(&compute);
}

static int setup(void **state) {
    ut_mem_init(&mem, NULL);
    open_model(1);
    return 0;
}

static int teardown(void **state) {
    close_model();
    return (int)mem.bytes[UT_MEM_SESSION] + (int)mem.bytes[UT_MEM_WEIGHTS];
}

struct heard {
    float *samples;
    size_t n, most; /* most: the receiver stops behind this many; 0: never */
};

static bool hear(void *user, const float *samples, size_t n) {
    struct heard *heard = user;
    assert_true(heard->n + n <= MAX_SAMPLES);
    memcpy(heard->samples + heard->n, samples, n * sizeof *samples);
    heard->n += n;
    return !heard->most || heard->n < heard->most;
}

/* 0, 18 phonemes, 0. */
static struct ut_kokoro_request request_of(struct heard *heard) {
    static const int32_t ids[N_IDS] = {0,  50, 83, 54, 156, 31, 16, 65, 87, 54,
                                       46, 4,  16, 92, 135, 46, 16, 58, 47, 0};
    heard->n = 0;
    heard->samples = heard->samples ? heard->samples : malloc(MAX_SAMPLES * sizeof(float));
    assert_non_null(heard->samples);
    return (struct ut_kokoro_request){.ids = ids,
                                      .n_ids = N_IDS,
                                      .style = style,
                                      .speed = 1,
                                      .seed = 7,
                                      .sink = hear,
                                      .user = heard};
}

static void must_run(const struct ut_kokoro_request *request, struct ut_kokoro_result *result) {
    utter_error err = {0};
    if (ut_kokoro_run(session, request, result, &err) != UTTER_OK) {
        fail_msg("%s", err.message);
    }
}

static bool same_samples(const struct heard *a, const struct heard *b) {
    return a->n == b->n && memcmp(a->samples, b->samples, a->n * sizeof *a->samples) == 0;
}

static void a_seed_makes_the_samples(void **state) {
    struct heard a = {0}, b = {0};
    struct ut_kokoro_result result;
    struct ut_kokoro_request first = request_of(&a), second = request_of(&b);
    must_run(&first, &result);
    assert_int_equal(a.n, result.n_samples);
    assert_int_equal(a.n, 600 * (size_t)result.n_frames);
    double power = 0;
    for (size_t i = 0; i < a.n; i++) {
        assert_true(fabsf(a.samples[i]) <= 1);
        power += (double)a.samples[i] * (double)a.samples[i];
    }
    assert_true(power / (double)a.n > 1e-6);
    must_run(&second, &result);
    assert_true(same_samples(&a, &b));
    second.seed = 8;
    b.n = 0;
    must_run(&second, &result);
    assert_int_equal(a.n, b.n); /* the same durations */
    assert_false(same_samples(&a, &b));
    free(a.samples);
    free(b.samples);
}

static void threads_change_no_bit(void **state) {
    struct heard one = {0}, many = {0};
    struct ut_kokoro_request request = request_of(&one);
    must_run(&request, NULL);
    close_model();
    open_model(3);
    request = request_of(&many);
    must_run(&request, NULL);
    assert_true(same_samples(&one, &many));
    close_model();
    open_model(1);
    free(one.samples);
    free(many.samples);
}

/* ---- Edges --------------------------------------------------------------------------------------
 */

struct durations {
    int first, last, total;
};

static void see_durations(void *user, const char *stage, const struct ut_kokoro_view *view) {
    struct durations *d = user;
    if (strcmp(stage, "durations") == 0) {
        d->first = (int)view->data[0];
        d->last = (int)view->data[view->n_rows - 1];
        for (int i = 0; i < view->n_rows; i++) {
            d->total += (int)view->data[i];
        }
    }
}

/* Two frames are kept of the first id and four of the last, the rest of both is cut; what stays is
 * the same. */
static void edges_are_cut_by_durations(void **state) {
    struct heard whole = {0}, cut = {0};
    struct durations d = {0};
    struct ut_kokoro_request request = request_of(&whole);
    request.speed = 0.25f; /* long silences */
    request.observer = see_durations;
    request.observer_user = &d;
    must_run(&request, NULL);
    assert_int_equal(whole.n, 600 * d.total);
    int n_before = d.first > 2 ? d.first - 2 : 0, n_behind = d.last > 4 ? d.last - 4 : 0;
    assert_true(n_before + n_behind > 0);
    struct ut_kokoro_request trimmed = request_of(&cut);
    trimmed.speed = 0.25f;
    trimmed.trim = true;
    must_run(&trimmed, NULL);
    assert_int_equal(cut.n, 600 * (d.total - n_before - n_behind));
    assert_memory_equal(cut.samples, whole.samples + 600 * n_before, cut.n * sizeof *cut.samples);
    free(whole.samples);
    free(cut.samples);
}

static void one_phoneme_speaks(void **state) {
    struct heard heard = {0};
    struct ut_kokoro_result result;
    struct ut_kokoro_request request = request_of(&heard);
    static const int32_t ids[] = {0, 50, 0};
    request.ids = ids;
    request.n_ids = 3;
    request.trim = true;
    must_run(&request, &result);
    assert_true(heard.n >= 600 && heard.n == result.n_samples);
    request.n_ids = 1; /* no phoneme at all: nothing to cut */
    heard.n = 0;
    must_run(&request, &result);
    assert_int_equal(heard.n, 600 * (size_t)result.n_frames);
    free(heard.samples);
}

/* ---- Harmonic source ----------------------------------------------------------------------------
 */

struct curves {
    float *f0, *source;
    int n_values, n_samples;
};

static float *copy_of(const struct ut_kokoro_view *view) {
    float *copy = malloc((size_t)view->n_rows * sizeof *copy);
    assert_non_null(copy);
    memcpy(copy, view->data, (size_t)view->n_rows * sizeof *copy);
    return copy;
}

static void see_curves(void *user, const char *stage, const struct ut_kokoro_view *view) {
    struct curves *c = user;
    if (strcmp(stage, "F0") == 0) {
        c->f0 = copy_of(view);
        c->n_values = view->n_rows;
    } else if (strcmp(stage, "gen_har_source") == 0) {
        c->source = copy_of(view);
        c->n_samples = view->n_rows;
    }
}

/* The weights that mix the harmonics, by name. */
static void read_mix(double w[9], double *b) {
    struct ut_weights *weights;
    float values[9];
    assert_int_equal(ut_weights_open(&mem, model_path(), &weights, NULL), UTTER_OK);
    const char *name = "decoder/module.generator.m_source.l_linear.weight";
    assert_true(ut_tensor_to_f32(ut_weights_find(weights, name), values));
    for (int h = 0; h < 9; h++) {
        w[h] = (double)values[h];
    }
    name = "decoder/module.generator.m_source.l_linear.bias";
    assert_true(ut_tensor_to_f32(ut_weights_find(weights, name), values));
    *b = (double)values[0];
    ut_weights_close(weights);
}

/* Phase in cycles at a sample: the sum of all frequencies before it, linear between the middles of
 * values. */
static double cycles_at(const struct curves *c, int sample, int h) {
    double position = (sample + 0.5) / 300 - 0.5, cycles = 0;
    position = fmin(fmax(position, 0), c->n_values - 1);
    int before = (int)position;
    for (int v = 0; v <= before; v++) {
        float step = c->f0[v] * (float)(h + 1) / 24000.0f;
        cycles += 300 * (double)(step - floorf(step));
    }
    if (before + 1 < c->n_values) {
        float step = c->f0[before + 1] * (float)(h + 1) / 24000.0f;
        cycles += (position - before) * 300 * (double)(step - floorf(step));
    }
    return cycles;
}

/* Half a minute and more: many ids at a tenth of the speed. */
static struct ut_kokoro_request longest_request(struct curves *c) {
    static int32_t ids[48];
    struct heard unused = {0};
    struct ut_kokoro_request request = request_of(&unused);
    free(unused.samples);
    for (int i = 1; i < 47; i++) {
        ids[i] = request.ids[1 + i * i % (N_IDS - 2)];
    }
    request.ids = ids;
    request.n_ids = 48;
    request.speed = 0.1f;
    request.observer = see_curves;
    request.observer_user = c;
    request.sink = NULL;
    return request;
}

/* Also behind half a minute, where a sum of radians in f32 would be off by a hundredth. */
static void the_source_keeps_its_phase(void **state) {
    struct curves c = {0};
    struct ut_kokoro_request request = longest_request(&c);
    double w[9], b;
    read_mix(w, &b);
    request.zero_noise = true;
    must_run(&request, NULL);
    assert_int_equal(c.n_samples, 300 * c.n_values);
    assert_true(c.n_samples > 30 * 24000);
    int n_voiced = 0;
    for (int i = 0; i < c.n_samples; i += i < c.n_samples - 100 ? 4999 : 1) {
        double sum = b;
        bool voiced = c.f0[i / 300] > 10;
        for (int h = 0; voiced && h < 9; h++) {
            sum += w[h] * 0.1 * sin(2 * M_PI * cycles_at(&c, i, h));
        }
        n_voiced += voiced;
        assert_true(fabs((double)c.source[i] - tanh(sum)) < 2e-6);
    }
    assert_true(n_voiced > 50);
    free(c.f0);
    free(c.source);
}

/* Unvoiced samples are noise of 0.1 / 3 on each harmonic, mixed. */
static void noise_has_its_level(void **state) {
    struct curves c = {0};
    struct ut_kokoro_request request = longest_request(&c);
    double w[9], b, norm = 0, power = 0;
    int n = 0;
    read_mix(w, &b);
    for (int h = 0; h < 9; h++) {
        norm += w[h] * w[h] / 9 * 0.1 * 0.1;
    }
    must_run(&request, NULL);
    for (int i = 0; i < c.n_samples; i++) {
        if (!(c.f0[i / 300] > 10)) {
            double noise = atanh((double)c.source[i]) - b;
            power += noise * noise;
            n++;
        }
    }
    assert_true(n > 3000);
    assert_true(fabs(sqrt(power / n) / sqrt(norm) - 1) < 0.05);
    free(c.f0);
    free(c.source);
}

/* ---- Bad requests, stopping, memory -------------------------------------------------------------
 */

static void expect_failure(const struct ut_kokoro_request *request, utter_status status,
                           const char *message) {
    utter_error err = {0};
    assert_int_equal(ut_kokoro_run(session, request, NULL, &err), status);
    if (!strstr(err.message, message)) {
        fail_msg("\"%s\" does not say \"%s\"", err.message, message);
    }
}

static void bad_requests_are_refused(void **state) {
    static const float speeds[] = {0, -1, 0.05f, 11, NAN, INFINITY};
    static const int32_t unknown[] = {-1, 178, 1 << 30}, some[] = {0, 178, 50, -5, 0};
    struct heard heard = {0};
    struct ut_kokoro_request request = request_of(&heard);
    struct ut_kokoro_result result;
    for (size_t i = 0; i < sizeof speeds / sizeof *speeds; i++) {
        request.speed = speeds[i];
        expect_failure(&request, UTTER_ERROR_ARGUMENT, "speed");
    }
    request = request_of(&heard);
    request.n_ids = 0;
    expect_failure(&request, UTTER_ERROR_ARGUMENT, "1 to 128");
    request.n_ids = 129; /* never read: the count alone is refused */
    expect_failure(&request, UTTER_ERROR_ARGUMENT, "1 to 128");
    request.ids = unknown;
    request.n_ids = 3;
    expect_failure(&request, UTTER_ERROR_ARGUMENT, "vocabulary of 178");
    request.ids = some;
    request.n_ids = 5;
    n_warnings = 0;
    must_run(&request, &result);
    assert_int_equal(result.n_skipped_ids, 2);
    assert_int_equal(n_warnings, 1);
    free(heard.samples);
}

static void recorded_values_must_fit(void **state) {
    static const float values[10];
    struct heard heard = {0};
    struct ut_kokoro_request request = request_of(&heard);
    request.noise = values;
    request.n_noise = 10;
    expect_failure(&request, UTTER_ERROR_MODEL, "recorded noise has 10 values");
    request = request_of(&heard);
    request.har = values;
    request.n_har = 10;
    expect_failure(&request, UTTER_ERROR_MODEL, "recorded spectrum has 10 values");
    free(heard.samples);
}

/* Nothing that a style holds comes out as a number that is none, or as a full-scale burst of it. */
static void poisoned_styles_are_an_error(void **state) {
    static const float poisons[] = {NAN, INFINITY, -INFINITY, 1e38f};
    struct heard heard = {0};
    for (size_t p = 0; p < sizeof poisons / sizeof *poisons; p++) {
        for (size_t i = 0; i < 64; i += 21) {
            struct ut_kokoro_request request = request_of(&heard);
            float poisoned[64];
            utter_error err;
            memcpy(poisoned, style, sizeof poisoned);
            poisoned[i] = poisons[p];
            request.style = poisoned;
            utter_status status = ut_kokoro_run(session, &request, NULL, &err);
            assert_true(status == UTTER_ERROR_MODEL || isfinite(poisons[p]));
            assert_true(status == UTTER_OK || heard.n == 0);
        }
    }
    free(heard.samples);
}

static void runs_stop_when_asked(void **state) {
    struct heard heard = {0}, again = {0};
    _Atomic bool cancel = true;
    struct ut_kokoro_request request = request_of(&heard);
    request.cancel = &cancel;
    expect_failure(&request, UTTER_ERROR_CANCELLED, "cancelled");
    assert_int_equal(heard.n, 0);
    request = request_of(&heard);
    heard.most = 1;
    expect_failure(&request, UTTER_ERROR_CANCELLED, "receiver");
    assert_true(heard.n > 0);
    heard.most = 0;
    request = request_of(&heard);
    must_run(&request, NULL); /* the session is as good as new */
    struct ut_kokoro_request second = request_of(&again);
    must_run(&second, NULL);
    assert_true(same_samples(&heard, &again));
    free(heard.samples);
    free(again.samples);
}

static void a_warm_session_allocates_nothing(void **state) {
    struct heard heard = {0};
    struct ut_kokoro_request request = request_of(&heard);
    must_run(&request, NULL);
    heard.n = 0;
    must_run(&request, NULL);
    uint64_t n_before = mem.n_allocations;
    heard.n = 0;
    must_run(&request, NULL);
    assert_int_equal(mem.n_allocations, n_before);
    free(heard.samples);
}

/* Every allocation of opening and running fails once: an error each time, and nothing is left
 * behind. */
static void every_allocation_may_fail(void **state) {
    struct failing_allocator failing;
    utter_allocator allocator = failing_allocator_start(&failing);
    struct heard heard = {0};
    struct ut_kokoro_request request = request_of(&heard);
    bool failed = true;
    for (size_t n = 1; failed; n += n < 40 ? 1 : 13) {
        struct ut_mem scarce;
        struct ut_kokoro *other = NULL;
        struct ut_kokoro_session *run = NULL;
        utter_error err = {0};
        ut_mem_init(&scarce, &allocator);
        failing_allocator_reset(&failing, n, false);
        heard.n = 0;
        utter_status status = ut_kokoro_open(&scarce, &compute, model_path(), NULL, &other, &err);
        status = status ? status : ut_kokoro_session_create(other, &run, &err);
        status = status ? status : ut_kokoro_run(run, &request, NULL, &err);
        failed = failing.n_failed > 0;
        assert_true(failed ? status == UTTER_ERROR_MEMORY || status == UTTER_OK
                           : status == UTTER_OK);
        ut_kokoro_session_destroy(run);
        ut_kokoro_close(other);
        assert_int_equal(failing.n_blocks, 0);
        assert_false(failing.wrong_size);
    }
    free(heard.samples);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seed_makes_the_samples),
        cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(edges_are_cut_by_durations),
        cmocka_unit_test(one_phoneme_speaks),
        cmocka_unit_test(the_source_keeps_its_phase),
        cmocka_unit_test(noise_has_its_level),
        cmocka_unit_test(bad_requests_are_refused),
        cmocka_unit_test(recorded_values_must_fit),
        cmocka_unit_test(poisoned_styles_are_an_error),
        cmocka_unit_test(runs_stop_when_asked),
        cmocka_unit_test(a_warm_session_allocates_nothing),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
