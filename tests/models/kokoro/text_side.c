/* The text side: every stage against tensors recorded from the official implementation, at every
 * processor level; the same bits for any number of threads; rounding; and each way in which a run
 * can fail. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/checked.h"
#include "support/failing_allocator.h"
#include "support/golden.h"
#include "support/speak.h"
#include "text_model.h"

enum { MAX_STAGES = 32, MAX_IDS = 600 };

static struct ut_mem mem;
static struct ut_kokoro_config config;
static struct ut_weights *weights;
static char folder[256];

/* ---- Running --------------------------------------------------------------------------------- */

/* Model, session and their inputs; the pieces point at each other, so it stays where it is. */
struct run {
    struct ut_compute compute;
    struct ut_kokoro model;
    struct ut_kokoro_session session;
    struct ut_kokoro_request request;
    int32_t ids[MAX_IDS];
    float style[512];
};

static void open_run(struct run *run, enum ut_cpu_level level, int n_threads) {
    utter_error err = {0};
    *run = (struct run){.request = {.speed = 1, .ids = run->ids, .n_ids = 12, .style = run->style}};
    assert_int_equal(speak_compute_open(&mem, level, n_threads, &run->compute, &err), UTTER_OK);
    if (text_model_load(&mem, &run->compute, weights, &config, &run->model, &err)) {
        fail_msg("%s", err.message);
    }
    for (int i = 0; i < MAX_IDS; i++) {
        run->ids[i] = i * 37 % run->model.info.n_token;
    }
    for (int i = 0; i < 2 * run->model.info.style_dim; i++) {
        run->style[i] = 0.4f * sinf((float)i);
    }
    run->session = text_model_session(&mem, &run->model, &run->request, run->ids);
}

static utter_status encode(struct run *run, utter_error *err) {
    ut_arena_reset(&run->session.arena);
    run->session.n_ids = (int)run->request.n_ids;
    return ut_kokoro_encode(&run->session, err);
}

static void close_run(struct run *run) {
    ut_arena_free(&run->session.arena);
    text_model_close(&run->model);
    speak_compute_close(&run->compute);
}

/* ---- Goldens --------------------------------------------------------------------------------- */

/* What the observer saw of one case, in the order and type of the golden file. */
struct trace {
    const struct ut_weights *golden;
    const char *case_name;
    int n, n_seen;
    struct ut_tensor stages[MAX_STAGES];
};

/* The recorded ones of the text side, of the case that records all. */
static const char *const text_stages[] = {
    "bert_out",       "d_en",           "dur_enc_0",   "dur_enc_1",   "dur_enc_2",
    "dur_enc_3",      "dur_enc_4",      "dur_enc_5",   "dur_enc_out", "dur_lstm_out",
    "dur_logits",     "dur_float",      "durations",   "align_index", "text_enc_cnn_0",
    "text_enc_cnn_1", "text_enc_cnn_2", "text_enc_out"};

static const struct ut_tensor *recorded(const struct trace *trace, const char *stage) {
    char name[64];
    snprintf(name, sizeof name, "%s.%s", trace->case_name, stage);
    return ut_weights_find(trace->golden, name);
}

static void keep_stage(void *user, const char *stage, const struct ut_kokoro_view *view) {
    struct trace *trace = user;
    const struct ut_tensor *golden = recorded(trace, stage);
    trace->n_seen++;
    if (!golden) {
        return;
    }
    size_t n = (size_t)view->n_rows * (size_t)view->n_ch;
    bool by_channel = strncmp(stage, "text_enc_cnn_", 13) == 0; /* recorded as [channels, time] */
    float *values = test_alloc(n * sizeof *values);
    int32_t *integers = (int32_t *)values;
    for (int t = 0; t < view->n_rows; t++) {
        for (int c = 0; c < view->n_ch; c++) {
            float value = view->data[t * view->row + c];
            ptrdiff_t at =
                by_channel ? (ptrdiff_t)c * view->n_rows + t : (ptrdiff_t)t * view->n_ch + c;
            if (golden->type == UT_I32) {
                integers[at] = (int32_t)value;
            } else {
                values[at] = value;
            }
        }
    }
    assert_true(trace->n < MAX_STAGES);
    struct ut_tensor *out = &trace->stages[trace->n++];
    *out = *golden;
    out->data = values;
    assert_int_equal(ut_tensor_n_elements(golden), n);
}

static void read_inputs(struct run *run, const struct trace *trace) {
    const struct ut_tensor *ids = recorded(trace, "input_ids"), *style = recorded(trace, "ref_s"),
                           *speed = recorded(trace, "speed");
    assert_true(ids->n_bytes <= sizeof run->ids);
    assert_int_equal(style->dims[0], 2 * run->model.info.style_dim);
    memcpy(run->ids, ids->data, ids->n_bytes);
    memcpy(run->style, style->data, style->n_bytes);
    memcpy(&run->request.speed, speed->data, sizeof run->request.speed);
    run->request.n_ids = (size_t)ids->dims[0];
}

/* The traced stages in one file and what was recorded of them in another, compared by the rules. */
static void compare(const struct trace *trace) {
    char golden[1024], out[1024], tolerances[1024];
    struct ut_tensor expected[MAX_STAGES];
    struct golden_report report;
    for (int i = 0; i < trace->n; i++) {
        expected[i] = *ut_weights_find(trace->golden, trace->stages[i].name);
    }
    snprintf(golden, sizeof golden, "%s/golden", folder);
    snprintf(out, sizeof out, "%s/out", folder);
    assert_int_equal(ut_safetensors_write(golden, expected, (size_t)trace->n, NULL), UTTER_OK);
    assert_int_equal(ut_safetensors_write(out, trace->stages, (size_t)trace->n, NULL), UTTER_OK);
    if (!golden_compare(&mem, golden, out, text_model_path("tolerances.json", tolerances),
                        &report)) {
        fail_msg("%s", (const char *)report.failures.data);
    }
    assert_int_equal(report.n_passed, trace->n);
    byte_buffer_free(&report.failures);
    unlink(golden);
    unlink(out);
}

static void trace_case(struct run *run, const struct ut_weights *golden, const char *case_name,
                       int n_recorded) {
    struct trace trace = {.golden = golden, .case_name = case_name};
    utter_error err = {0};
    run->request.observer = keep_stage;
    run->request.observer_user = &trace;
    read_inputs(run, &trace);
    if (encode(run, &err)) {
        fail_msg("%s: %s", case_name, err.message);
    }
    assert_int_equal(trace.n_seen, UT_COUNT(text_stages));
    assert_int_equal(trace.n, n_recorded);
    for (size_t i = 0; n_recorded == UT_COUNT(text_stages) && i < UT_COUNT(text_stages); i++) {
        assert_string_equal(strchr(trace.stages[i].name, '.') + 1, text_stages[i]);
    }
    compare(&trace);
    for (int i = 0; i < trace.n; i++) {
        free((void *)trace.stages[i].data);
    }
}

static void every_stage_is_as_recorded(void **state) {
    char path[1024];
    struct ut_weights *golden;
    utter_error err;
    assert_int_equal(
        ut_weights_open(&mem, text_model_path("golden_tiny.safetensors", path), &golden, &err),
        UTTER_OK);
    for (int level = 0; level < UT_CPU_N_LEVELS; level++) {
        if (ut_cpu_level_supported((enum ut_cpu_level)level)) {
            struct run run;
            open_run(&run, (enum ut_cpu_level)level, 2);
            trace_case(&run, golden, "u0", UT_COUNT(text_stages));
            trace_case(&run, golden, "u1", 9);
            trace_case(&run, golden, "u2", 2);
            close_run(&run);
        }
    }
    ut_weights_close(golden);
}

/* The epsilon of ALBERT's norms, 1e-12, is too small for goldens to show: embeddings of a
 * thousandth of the size must come out the same. */
static void small_embeddings_are_normalized_like_large_ones(void **state) {
    struct run run;
    open_run(&run, ut_cpu_level_best(), 1);
    struct kokoro_albert *albert = &run.model.albert;
    size_t n = run.request.n_ids, hidden = (size_t)run.model.info.hidden_dim,
           row = hidden + (size_t)run.model.info.style_dim;
    assert_int_equal(encode(&run, NULL), UTTER_OK);
    float *large = test_alloc(n * row * sizeof *large);
    memcpy(large, run.session.d, n * row * sizeof *large);
    for (int i = 0; i < run.model.info.n_token * albert->n_embed; i++) {
        albert->words[i] /= 1024;
    }
    for (int i = 0; i < albert->n_positions * albert->n_embed; i++) {
        albert->positions[i] /= 1024;
    }
    assert_int_equal(encode(&run, NULL), UTTER_OK);
    for (size_t i = 0; i < n * row; i++) {
        assert_true(fabsf(run.session.d[i] - large[i]) < 1e-3f);
    }
    free(large);
    close_run(&run);
}

/* ---- Threads, memory ------------------------------------------------------------------------- */

static void threads_change_no_bit(void **state) {
    struct run one, three;
    open_run(&one, ut_cpu_level_best(), 1);
    open_run(&three, ut_cpu_level_best(), 3);
    one.request.n_ids = three.request.n_ids = (size_t)one.model.info.max_ids;
    assert_int_equal(encode(&one, NULL), UTTER_OK);
    assert_int_equal(encode(&three, NULL), UTTER_OK);
    size_t n = one.request.n_ids, hidden = (size_t)one.model.info.hidden_dim,
           row = hidden + (size_t)one.model.info.style_dim;
    assert_int_equal(one.session.n_frames, three.session.n_frames);
    assert_memory_equal(one.session.d, three.session.d, n * row * sizeof(float));
    assert_memory_equal(one.session.text, three.session.text, n * hidden * sizeof(float));
    assert_memory_equal(one.session.durations, three.session.durations, n * sizeof(int32_t));
    close_run(&one);
    close_run(&three);
}

/* Row F4 of the reliability rules: each allocation fails in turn. */
static void no_memory_is_an_error(void **state) {
    struct failing_allocator failing;
    utter_allocator allocator = failing_allocator_start(&failing);
    struct ut_mem limited;
    struct run run;
    utter_error err;
    open_run(&run, ut_cpu_level_best(), 1);
    run.request.n_ids = 100;
    ut_mem_init(&limited, &allocator);
    size_t fail_at = 1;
    for (bool ok = false; !ok; fail_at++) {
        ut_arena_free(&run.session.arena);
        ut_arena_init(&run.session.arena, &limited, UT_MEM_SESSION);
        failing_allocator_reset(&failing, fail_at, false);
        utter_status status = encode(&run, &err);
        ok = atomic_load(&failing.n_failed) == 0;
        assert_int_equal(status, ok ? UTTER_OK : UTTER_ERROR_MEMORY);
    }
    assert_true(fail_at > 3);
    close_run(&run);
    assert_int_equal(atomic_load(&failing.n_blocks), 0);
}

/* ---- Durations ------------------------------------------------------------------------------- */

/* Makes every logit of bin i biases[i], and of the bins behind a probability of nothing. */
static void set_logits(struct run *run, const float *biases, int n) {
    struct ut_layer *layer = &run->model.predictor.duration_proj;
    int panel = run->compute.kernels->panel, n_padded = (layer->n_out + panel - 1) / panel * panel;
    memset(layer->panels, 0, (size_t)n_padded * (size_t)layer->n_in * sizeof(float));
    for (int i = 0; i < layer->n_out; i++) {
        layer->bias[i] = i < n ? biases[i] : -1000;
    }
}

static void ties_go_to_even_and_nothing_is_silent(void **state) {
    static const struct {
        int n_halves; /* bins with a probability of one half */
        float speed;
        int32_t frames;
    } cases[] = {{0, 1, 1}, {1, 1, 1}, {2, 1, 1},    {3, 1, 2},      {5, 1, 2},
                 {7, 1, 4}, {5, 2, 1}, {5, 0.5f, 5}, {10, 0.1f, 50}, {4, 10, 1}};
    static const float zeros[10];
    struct run run;
    open_run(&run, ut_cpu_level_best(), 1);
    for (size_t i = 0; i < UT_COUNT(cases); i++) {
        set_logits(&run, zeros, cases[i].n_halves);
        run.request.speed = cases[i].speed;
        assert_int_equal(encode(&run, NULL), UTTER_OK);
        assert_int_equal(run.session.n_frames, cases[i].frames * (int)run.request.n_ids);
        for (int t = 0; t < run.session.n_frames; t++) {
            assert_int_equal(run.session.frame_ids[t], t / cases[i].frames);
        }
    }
    close_run(&run);
}

static void expect_failure(struct run *run, utter_status status, const char *words) {
    utter_error err = {0};
    assert_int_equal(encode(run, &err), status);
    if (!strstr(err.message, words)) {
        fail_msg("\"%s\" is not in: %s", words, err.message);
    }
}

static void too_many_frames_are_refused(void **state) {
    float biases[50];
    struct run run;
    open_run(&run, ut_cpu_level_best(), 1);
    for (int i = 0; i < 50; i++) {
        biases[i] = 1000;
    }
    set_logits(&run, biases, 50);
    run.request.n_ids = 17;
    run.request.speed = 0.1f;
    expect_failure(&run, UTTER_ERROR_MODEL, "would take 8500 frames, more than 8192");
    run.request.n_ids = 16;
    assert_int_equal(encode(&run, NULL), UTTER_OK);
    assert_int_equal(run.session.n_frames, 8000);
    close_run(&run);
}

static void positions_end_with_an_error(void **state) {
    struct run run;
    open_run(&run, ut_cpu_level_best(), 1);
    assert_int_equal(run.model.info.max_ids, 128);
    run.request.n_ids = 128;
    assert_int_equal(encode(&run, NULL), UTTER_OK);
    run.request.n_ids = 129;
    expect_failure(&run, UTTER_ERROR_ARGUMENT, "129 phoneme ids: the model has positions for 128");
    close_run(&run);
}

static void values_that_are_not_finite_are_refused(void **state) {
    struct run run;
    open_run(&run, ut_cpu_level_best(), 2);
    int n_style = run.model.info.style_dim;
    for (int i = 0; i < n_style; i++) { /* finite, as the weights are, but their products are not */
        run.style[n_style + i] = 3e38f;
    }
    expect_failure(&run, UTTER_ERROR_MODEL, "damaged");
    memset(run.style, 0, sizeof run.style);
    float *embedding = run.model.text_encoder.embedding, value = *embedding;
    run.ids[0] = 0;
    *embedding = NAN;
    expect_failure(&run, UTTER_ERROR_MODEL, "text features hold a value that is not finite");
    *embedding = value;
    run.model.predictor.duration_proj.bias[3] = NAN;
    expect_failure(&run, UTTER_ERROR_MODEL, "the duration of phoneme 0 is nan frames");
    close_run(&run);
}

/* ---- Cancelling ------------------------------------------------------------------------------ */

struct canceller {
    _Atomic bool cancel;
    int n_left; /* stages until it cancels */
    int n_seen;
};

static void count_down(void *user, const char *stage, const struct ut_kokoro_view *view) {
    struct canceller *canceller = user;
    canceller->n_seen++;
    if (--canceller->n_left == 0) {
        atomic_store(&canceller->cancel, true);
    }
}

static void cancelling_stops_between_layers(void **state) {
    struct run run;
    open_run(&run, ut_cpu_level_best(), 1);
    for (int n = 0; n <= (int)UT_COUNT(text_stages); n++) {
        struct canceller canceller = {.cancel = n == 0, .n_left = n};
        run.request.observer = count_down;
        run.request.observer_user = &canceller;
        run.request.cancel = &canceller.cancel;
        expect_failure(&run, UTTER_ERROR_CANCELLED, "");
        assert_true(canceller.n_seen >= n &&
                    canceller.n_seen <= UT_MIN(n + 5, (int)UT_COUNT(text_stages)));
    }
    close_run(&run);
}

static int setup(void **state) {
    const char *base = getenv("TMPDIR");
    ut_mem_init(&mem, NULL);
    config = text_model_config(&mem);
    weights = text_model_weights(&mem);
    snprintf(folder, sizeof folder, "%s/utter-text-side-XXXXXX", base ? base : "/tmp");
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state) {
    ut_kokoro_config_free(&config);
    ut_weights_close(weights);
    uint64_t n_left = 0;
    for (int i = 0; i < UT_MEM_N_OWNERS; i++) {
        n_left += mem.bytes[i];
    }
    return rmdir(folder) || n_left;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_stage_is_as_recorded),
        cmocka_unit_test(small_embeddings_are_normalized_like_large_ones),
        cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(no_memory_is_an_error),
        cmocka_unit_test(ties_go_to_even_and_nothing_is_silent),
        cmocka_unit_test(too_many_frames_are_refused),
        cmocka_unit_test(positions_end_with_an_error),
        cmocka_unit_test(values_that_are_not_finite_are_refused),
        cmocka_unit_test(cancelling_stops_between_layers),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
