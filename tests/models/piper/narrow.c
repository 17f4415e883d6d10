/* Piper in narrow arithmetic: the decoder's fused, streaming stages against plain ones (each
 * convolution by itself over the whole utterance, then sums, activation and narrow form one after
 * the other), whose bits they must have; and against float: the same durations, and how far the
 * sound may be away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/checked.h"
#include "models/piper/piper_model.h"
#include "support/golden.h"
#include "support/speak.h"
#include "support/voice_builder.h"

enum { MAX_IDS = 90, MAX_STAGE = 32, MAX_STAGES = 12 };

/* [n][n_ch], time first. */
struct rows {
    float *x;
    int n, n_ch;
};

static struct rows rows_new(int n, int n_ch) {
    struct rows rows = {calloc((size_t)n * (size_t)n_ch, sizeof(float)), n, n_ch};
    assert_non_null(rows.x);
    return rows;
}

/* What a run showed and gave. */
struct run {
    struct {
        char name[MAX_STAGE];
        struct rows rows;
    } stages[MAX_STAGES];
    int n_stages;
    float *samples;
    size_t n_samples, capacity;
};

static void keep_stage(void *user, const char *stage, const struct ut_piper_view *view) {
    struct run *run = user;
    bool wanted = strncmp(stage, "dec_up", 6) == 0 || strncmp(stage, "dec_rb", 6) == 0 ||
                  strcmp(stage, "flow_z") == 0 || strcmp(stage, "durations") == 0;
    int i = 0;
    while (i < run->n_stages && strcmp(run->stages[i].name, stage) != 0) {
        i++;
    }
    if (!wanted) {
        return;
    }
    if (i == run->n_stages) {
        assert_true(i < MAX_STAGES);
        snprintf(run->stages[i].name, MAX_STAGE, "%s", stage);
        run->stages[i].rows = rows_new(view->total, view->n_ch);
        run->n_stages++;
    }
    for (int t = 0; t < view->n_rows; t++) {
        memcpy(run->stages[i].rows.x + (ptrdiff_t)(view->first + t) * view->n_ch,
               view->data + t * view->row, (size_t)view->n_ch * sizeof(float));
    }
}

static bool keep_samples(void *user, const float *samples, size_t n) {
    struct run *run = user;
    assert_true(run->n_samples + n <= run->capacity);
    memcpy(run->samples + run->n_samples, samples, n * sizeof *samples);
    run->n_samples += n;
    return true;
}

static struct rows stage_of(const struct run *run, const char *name, int index) {
    char wanted[MAX_STAGE];
    snprintf(wanted, sizeof wanted, index < 0 ? "%s" : "%s%d", name, index);
    for (int i = 0; i < run->n_stages; i++) {
        if (strcmp(run->stages[i].name, wanted) == 0) {
            return run->stages[i].rows;
        }
    }
    fail_msg("the run has no stage %s", wanted);
    return (struct rows){0};
}

static void run_free(struct run *run) {
    for (int i = 0; i < run->n_stages; i++) {
        free(run->stages[i].rows.x);
    }
    free(run->samples);
}

struct fixture {
    struct ut_mem mem;
    struct ut_compute compute;
    struct ut_piper *piper;
};

static void open_voice(struct fixture *f, const struct voice_spec *spec, enum ut_cpu_level level,
                       int n_threads, enum ut_precision precision) {
    struct voice voice;
    struct byte_buffer model = {0}, json = {0};
    struct ut_weights *weights;
    utter_error err;
    ut_mem_init(&f->mem, NULL);
    voice_build(&voice, spec, 3);
    voice_write_onnx(&voice, NULL, &model);
    voice_write_json(&voice, &json);
    assert_int_equal(speak_compute_open(&f->mem, level, n_threads, &f->compute, &err), UTTER_OK);
    f->compute.precision = precision;
    assert_int_equal(ut_weights_parse(&f->mem, model.data, model.n, &weights, &err), UTTER_OK);
    assert_int_equal(ut_piper_load(&f->mem, &f->compute, weights, (const char *)json.data, json.n,
                                   NULL, &f->piper, &err),
                     UTTER_OK);
    ut_weights_close(weights);
    byte_buffer_free(&model);
    byte_buffer_free(&json);
    voice_free(&voice);
}

static void close_voice(struct fixture *f) {
    ut_piper_close(f->piper);
    speak_compute_close(&f->compute);
    assert_int_equal(f->mem.bytes[UT_MEM_WEIGHTS] + f->mem.bytes[UT_MEM_OTHER], 0);
}

static void run_voice(struct fixture *f, int n_ids, bool observe, struct run *run) {
    struct ut_piper_session *session;
    utter_error err;
    int32_t ids[MAX_IDS];
    *run = (struct run){.capacity = 1 << 20};
    run->samples = calloc(run->capacity, sizeof *run->samples);
    for (int i = 0; i < n_ids; i++) {
        ids[i] = 3 + i * 5 % 8;
    }
    struct ut_piper_request request = {.ids = ids,
                                       .n_ids = (size_t)n_ids,
                                       .noise_scale = 0.667f,
                                       .length_scale = 1,
                                       .noise_w = 0.8f,
                                       .seed = 5,
                                       .sink = keep_samples,
                                       .user = run,
                                       .observer = observe ? keep_stage : NULL,
                                       .observer_user = run};
    assert_int_equal(ut_piper_session_create(f->piper, &session, &err), UTTER_OK);
    assert_int_equal(ut_piper_run(session, &request, NULL, &err), UTTER_OK);
    ut_piper_session_destroy(session);
}

/* ---- The plain decoder ----------------------------------------------------------------------- */

/* y = conv(leaky ReLU of x), one output row and one narrow row at a time. */
static struct rows plain_conv(const struct fixture *f, const struct piper_conv *conv, struct rows x,
                              float slope, const float *bias) {
    const struct ut_narrow_layer *narrow = conv->layer.narrow;
    const struct ut_narrow *kind = narrow ? narrow->kind : NULL;
    int before = UT_MAX(conv->pad, 0), reach = (conv->layer.n_taps - 1) * conv->dilation;
    int n_padded = before + x.n + reach + 1;
    struct rows y = rows_new(x.n, conv->layer.n_out);
    struct rows padded = rows_new(n_padded, x.n_ch);
    for (int i = 0; i < x.n * x.n_ch; i++) {
        float v = x.x[i];
        padded.x[before * x.n_ch + i] = v > 0 ? v : v * slope;
    }
    ptrdiff_t pitch = kind ? (ptrdiff_t)kind->row_bytes(x.n_ch) : 0;
    char *q = calloc((size_t)n_padded, (size_t)pitch + 1);
    float *scale = calloc((size_t)n_padded, sizeof *scale);
    for (int t = 0; kind && t < n_padded; t++) {
        struct ut_modulate from = {
            .x = padded.x + t * x.n_ch, .slope = 1, .n_rows = 1, .n_ch = x.n_ch};
        struct ut_narrow_rows to = {q + t * pitch, pitch, scale + t, 1, narrow->zero};
        kind->quantize(&from, &to);
    }
    for (int t = 0; t < x.n; t++) {
        int at = before + t - conv->pad;
        float *out = y.x + (ptrdiff_t)t * y.n_ch;
        if (kind) {
            struct ut_narrow_conv op = {.x = q + at * pitch,
                                        .x_tap = conv->dilation * pitch,
                                        .x_scale = scale + at,
                                        .scale_tap = conv->dilation,
                                        .bias = bias,
                                        .scale = 1,
                                        .y = out,
                                        .n_rows = 1};
            ut_narrow_conv(&f->compute, narrow, &op);
        } else {
            struct ut_conv op = {.x = padded.x + at * x.n_ch,
                                 .x_tap = (ptrdiff_t)conv->dilation * x.n_ch,
                                 .bias = bias,
                                 .scale = 1,
                                 .y = out,
                                 .n_rows = 1};
            ut_conv(&f->compute, &conv->layer, &op);
        }
    }
    free(padded.x);
    free(q);
    free(scale);
    return y;
}

static struct rows plain_upsample(const struct fixture *f, const struct piper_upsample *up,
                                  struct rows x) {
    struct rows y = rows_new(x.n * up->rate, up->n_out);
    for (int r = 0; r < up->rate; r++) {
        struct rows phase = plain_conv(f, &up->phase[r], x, 0.1f, NULL);
        for (int t = 0; t < x.n; t++) {
            memcpy(y.x + (ptrdiff_t)(t * up->rate + r) * y.n_ch, phase.x + (ptrdiff_t)t * y.n_ch,
                   (size_t)y.n_ch * sizeof(float));
        }
        free(phase.x);
    }
    return y;
}

static void add_rows(struct rows *to, struct rows x) {
    for (int i = 0; i < to->n * to->n_ch; i++) {
        to->x[i] += x.x[i];
    }
}

static struct rows plain_resblock(const struct fixture *f, const struct piper_resblock *block,
                                  struct rows up) {
    struct rows value = rows_new(up.n, up.n_ch), input = rows_new(up.n, up.n_ch);
    add_rows(&value, up);
    add_rows(&input, up);
    for (int i = 0; i < block->n_convs; i++) {
        struct rows y = plain_conv(f, &block->convs[i], input, 0.1f, NULL);
        if (block->residual[i]) {
            add_rows(&y, value);
            memcpy(value.x, y.x, (size_t)(y.n * y.n_ch) * sizeof(float));
        }
        free(input.x);
        input = y;
    }
    free(input.x);
    return value;
}

/* conv_pre's bias and what the first speaker adds to it. */
static void conditioned_bias(const struct fixture *f, float bias[256]) {
    const struct piper_decoder *decoder = f->piper->decoder;
    int n_out = decoder->conv_pre.layer.n_out;
    assert_true(n_out <= 256 - UT_MAX_PANEL);
    memset(bias, 0, 256 * sizeof *bias);
    if (f->piper->n_speaker_channels) {
        struct ut_conv op = {.x = f->piper->emb_g, .scale = 1, .y = bias, .n_rows = 1};
        ut_conv(&f->compute, &decoder->cond, &op);
    }
    for (int o = 0; o < n_out; o++) {
        bias[o] += decoder->conv_pre.layer.bias[o];
    }
}

/* z is made stage by stage into what the streaming decoder showed of itself. */
static void check_stages(const struct fixture *f, const struct run *run) {
    const struct piper_decoder *decoder = f->piper->decoder;
    float bias[256];
    conditioned_bias(f, bias);
    struct rows x = plain_conv(f, &decoder->conv_pre, stage_of(run, "flow_z", -1), 1, bias);
    for (int i = 0; i < decoder->n_stages; i++) {
        const struct piper_stage *stage = &decoder->stages[i];
        struct rows up = plain_upsample(f, &stage->up, x), shown = stage_of(run, "dec_up", i);
        assert_int_equal(up.n, shown.n);
        assert_memory_equal(up.x, shown.x, (size_t)(up.n * up.n_ch) * sizeof(float));
        free(x.x);
        x = rows_new(up.n, up.n_ch);
        for (int j = 0; j < stage->n_resblocks; j++) {
            struct rows block = plain_resblock(f, &stage->resblocks[j], up);
            add_rows(&x, block);
            free(block.x);
        }
        float mean = 1.0f / (float)stage->n_resblocks;
        for (int k = 0; k < x.n * x.n_ch; k++) {
            x.x[k] *= mean;
        }
        shown = stage_of(run, "dec_rb", i);
        assert_memory_equal(x.x, shown.x, (size_t)(x.n * x.n_ch) * sizeof(float));
        free(up.x);
    }
    free(x.x);
}

static bool has_kind(enum ut_cpu_level level, enum ut_precision precision) {
    struct ut_compute compute = {.kernels = ut_kernels_get(level), .precision = precision};
    return compute.kernels && ut_narrow_kind(&compute);
}

static void check_fused(const struct voice_spec *spec) {
    for (int level = 0; level < UT_CPU_N_LEVELS; level++) {
        for (int p = UT_PRECISION_BF16; p <= UT_PRECISION_INT8; p++) {
            struct fixture f;
            struct run first;
            if (!has_kind((enum ut_cpu_level)level, (enum ut_precision)p)) {
                continue;
            }
            open_voice(&f, spec, (enum ut_cpu_level)level, 1, (enum ut_precision)p);
            run_voice(&f, MAX_IDS, true, &first);
            check_stages(&f, &first);
            close_voice(&f);
            for (int n_threads = 2; n_threads <= 5; n_threads++) {
                struct run other;
                open_voice(&f, spec, (enum ut_cpu_level)level, n_threads, (enum ut_precision)p);
                run_voice(&f, MAX_IDS, false, &other);
                assert_int_equal(other.n_samples, first.n_samples);
                assert_memory_equal(other.samples, first.samples,
                                    first.n_samples * sizeof *first.samples);
                run_free(&other);
                close_voice(&f);
            }
            run_free(&first);
        }
    }
}

static void resblock2_has_the_bits_of_plain_stages(void **state) {
    struct voice_spec spec = voice_spec_tiny();
    check_fused(&spec);
}

/* With speakers, and a flow in float before narrow upsampling. */
static void resblock1_has_the_bits_of_plain_stages(void **state) {
    struct voice_spec spec = voice_spec_tiny_multi();
    check_fused(&spec);
}

/* ---- Against float --------------------------------------------------------------------------- */

static void check_quality(const struct voice_spec *spec, enum ut_precision precision,
                          double least_snr, double most_distance) {
    struct run exact, narrow;
    struct fixture f;
    enum ut_cpu_level level = ut_cpu_level_best();
    if (!has_kind(level, precision)) {
        return;
    }
    open_voice(&f, spec, level, 2, UT_PRECISION_F32);
    run_voice(&f, MAX_IDS, true, &exact);
    close_voice(&f);
    open_voice(&f, spec, level, 2, precision);
    run_voice(&f, MAX_IDS, true, &narrow);
    close_voice(&f);
    struct rows a = stage_of(&exact, "durations", -1), b = stage_of(&narrow, "durations", -1);
    assert_memory_equal(a.x, b.x, (size_t)a.n * sizeof(float));
    assert_int_equal(exact.n_samples, narrow.n_samples);
    utter_sound reference = {exact.samples, exact.n_samples, spec->sample_rate_hz};
    utter_sound test = {narrow.samples, narrow.n_samples, spec->sample_rate_hz};
    utter_compare_options options = {.size = sizeof options, .no_pitch = true};
    utter_quality quality = {.size = sizeof quality};
    assert_int_equal(utter_compare(&reference, &test, &options, &quality, NULL), UTTER_OK);
    printf("SNR %.1f dB, log-spectral distance %.2f dB\n", quality.snr_db, quality.lsd_db);
    assert_true(quality.snr_db > least_snr && quality.snr_db < 100);
    assert_true(quality.lsd_db < most_distance);
    run_free(&exact);
    run_free(&narrow);
}

static void durations_are_the_same_and_sound_is_near(void **state) {
    struct voice_spec resblock2 = voice_spec_tiny(), resblock1 = voice_spec_tiny_multi();
    check_quality(&resblock2, UT_PRECISION_INT8, 40, 0.5);
    check_quality(&resblock1, UT_PRECISION_INT8, 35, 1.2);
    check_quality(&resblock2, UT_PRECISION_BF16, 30, 0.8);
    check_quality(&resblock1, UT_PRECISION_BF16, 30, 0.8);
}

/* The recorded stages of the official implementation: what is float passes as ever, what is narrow
 * by looser rules. */
static void golden_stages_pass_at_int8(void **state) {
    static const char *const names[] = {"tiny", "tiny_multi"};
    const char *data = getenv("UT_TEST_DATA"), *base = getenv("TMPDIR");
    char out[1024], model[1024], golden[1024], tolerances[1024];
    snprintf(tolerances, sizeof tolerances, "%s/piper/tolerances_int8.json", data);
    snprintf(out, sizeof out, "%s/utter-int8-%ld.safetensors", base ? base : "/tmp",
             (long)getpid());
    for (size_t i = 0; i < UT_COUNT(names); i++) {
        struct fixture f;
        struct golden_report report;
        utter_error err;
        snprintf(model, sizeof model, "%s/piper/%s.onnx", data, names[i]);
        snprintf(golden, sizeof golden, "%s/piper/golden_%s.safetensors", data, names[i]);
        ut_mem_init(&f.mem, NULL);
        assert_int_equal(speak_compute_open(&f.mem, ut_cpu_level_best(), 2, &f.compute, &err),
                         UTTER_OK);
        f.compute.precision = UT_PRECISION_INT8;
        assert_int_equal(ut_piper_open(&f.mem, &f.compute, model, NULL, &f.piper, &err), UTTER_OK);
        assert_int_equal(ut_piper_trace(f.piper, golden, NULL, out, NULL, NULL, &err), UTTER_OK);
        if (!golden_compare(&f.mem, golden, out, tolerances, &report)) {
            fail_msg("%s: %s", names[i], (char *)report.failures.data);
        }
        byte_buffer_free(&report.failures);
        unlink(out);
        close_voice(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resblock2_has_the_bits_of_plain_stages),
        cmocka_unit_test(resblock1_has_the_bits_of_plain_stages),
        cmocka_unit_test(durations_are_the_same_and_sound_is_near),
        cmocka_unit_test(golden_stages_pass_at_int8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
