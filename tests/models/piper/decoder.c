/* The streaming decoder against a plain one: whole utterance, one activation after the other, in
 * double precision straight from the tensors. And its promise that tiles do not show: any number of
 * threads (each takes other tiles) gives the same bits, by minimal filtering too. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compute/minimal.h"
#include "support/speak.h"
#include "support/voice_builder.h"

enum { MAX_IDS = 120 };

/* [n_ch][n] activations of the plain decoder. */
struct signal {
    double *x;
    int n_ch, n;
};

static struct signal signal_new(int n_ch, int n) {
    struct signal s = {calloc((size_t)n_ch * (size_t)n, sizeof(double)), n_ch, n};
    assert_non_null(s.x);
    return s;
}

static const struct voice_tensor *tensor(struct voice *voice, const char *format, ...) {
    char name[80];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    return voice_find(voice, name);
}

static double leaky(double v, double slope) {
    return v > 0 ? v : v * slope;
}

/* y = conv(lrelu(x, slope)) with "same" padding; slope 1 leaves x as it is. Frees nothing. */
static struct signal plain_conv(const struct voice_tensor *w, const struct voice_tensor *b,
                                struct signal x, int dilation, double slope) {
    int taps = (int)w->dims[2];
    struct signal y = signal_new((int)w->dims[0], x.n);
    for (int o = 0; o < y.n_ch; o++) {
        for (int t = 0; t < x.n; t++) {
            double sum = b ? (double)b->data[o] : 0;
            for (int c = 0; c < x.n_ch; c++) {
                for (int k = 0; k < taps; k++) {
                    int from = t + (k - taps / 2) * dilation;
                    if (from >= 0 && from < x.n) {
                        sum += leaky(x.x[c * x.n + from], slope) *
                               (double)w->data[(o * x.n_ch + c) * taps + k];
                    }
                }
            }
            y.x[o * y.n + t] = sum;
        }
    }
    return y;
}

/* Each input row is added to the output rows that it reaches: the definition of a transposed conv.
 */
static struct signal plain_upsample(const struct voice_tensor *w, const struct voice_tensor *b,
                                    struct signal x, int rate) {
    int n_out = (int)w->dims[1], taps = (int)w->dims[2], pad = (taps - rate) / 2;
    struct signal y = signal_new(n_out, x.n * rate);
    for (int o = 0; o < n_out; o++) {
        for (int t = 0; t < y.n; t++) {
            y.x[o * y.n + t] = (double)b->data[o];
        }
        for (int t = 0; t < x.n; t++) {
            for (int k = 0; k < taps; k++) {
                int to = t * rate + k - pad;
                for (int c = 0; to >= 0 && to < y.n && c < x.n_ch; c++) {
                    y.x[o * y.n + to] +=
                        leaky(x.x[c * x.n + t], 0.1) * (double)w->data[(c * n_out + o) * taps + k];
                }
            }
        }
    }
    return y;
}

static void add_to(struct signal *sum, struct signal x, double factor) {
    for (int i = 0; i < x.n_ch * x.n; i++) {
        sum->x[i] += x.x[i] * factor;
    }
}

static struct signal plain_resblock(struct voice *voice, int index, const int *dilations,
                                    struct signal up) {
    struct signal x = signal_new(up.n_ch, up.n);
    add_to(&x, up, 1);
    for (int i = 0; i < voice->spec.n_dilations; i++) {
        const char *kind = voice->spec.resblock1 ? "convs1" : "convs";
        struct signal y = plain_conv(tensor(voice, "dec.resblocks.%d.%s.%d.weight", index, kind, i),
                                     tensor(voice, "dec.resblocks.%d.%s.%d.bias", index, kind, i),
                                     x, dilations[i], 0.1);
        if (voice->spec.resblock1) {
            struct signal second =
                plain_conv(tensor(voice, "dec.resblocks.%d.convs2.%d.weight", index, i),
                           tensor(voice, "dec.resblocks.%d.convs2.%d.bias", index, i), y, 1, 0.1);
            free(y.x);
            y = second;
        }
        add_to(&x, y, 1);
        free(y.x);
    }
    return x;
}

/* z [inter][T] to samples. */
static struct signal plain_decoder(struct voice *voice, struct signal z) {
    const struct voice_spec *spec = &voice->spec;
    struct signal x = plain_conv(tensor(voice, "dec.conv_pre.weight"),
                                 tensor(voice, "dec.conv_pre.bias"), z, 1, 1);
    for (int i = 0; i < spec->n_stages; i++) {
        struct signal up = plain_upsample(tensor(voice, "dec.ups.%d.weight", i),
                                          tensor(voice, "dec.ups.%d.bias", i), x, spec->rates[i]);
        free(x.x);
        x = signal_new(up.n_ch, up.n);
        for (int j = 0; j < spec->n_kernels; j++) {
            struct signal block =
                plain_resblock(voice, i * spec->n_kernels + j, spec->dilations[j], up);
            add_to(&x, block, 1.0 / spec->n_kernels);
            free(block.x);
        }
        free(up.x);
    }
    struct signal y = plain_conv(tensor(voice, "dec.conv_post.weight"), NULL, x, 1, 0.01);
    free(x.x);
    for (int i = 0; i < y.n; i++) {
        y.x[i] = tanh(y.x[i]);
    }
    return y;
}

struct run {
    struct signal z;
    float *samples;
    size_t n_samples, capacity;
};

static void keep_z(void *user, const char *stage, const struct ut_piper_view *view) {
    struct run *run = user;
    if (strcmp(stage, "flow_z") != 0) {
        return;
    }
    if (view->first == 0) {
        run->z = signal_new(view->n_ch, view->total);
    }
    for (int t = 0; t < view->n_rows; t++) {
        for (int c = 0; c < view->n_ch; c++) {
            run->z.x[c * view->total + view->first + t] = (double)view->data[t * view->row + c];
        }
    }
}

static bool keep_samples(void *user, const float *samples, size_t n) {
    struct run *run = user;
    assert_true(run->n_samples + n <= run->capacity);
    memcpy(run->samples + run->n_samples, samples, n * sizeof *samples);
    run->n_samples += n;
    return true;
}

/* Runs n_ids ids at `level` with n_threads; observe: also keeps the decoder's input. */
static struct run run_voice(const struct byte_buffer *model, const struct byte_buffer *json,
                            const struct ut_minimal_table *minimal, enum ut_cpu_level level,
                            int n_threads, int n_ids, bool observe) {
    struct ut_mem mem;
    struct ut_compute compute;
    struct ut_weights *weights;
    struct ut_piper *piper;
    struct ut_piper_session *session;
    utter_error err;
    int32_t ids[MAX_IDS];
    struct run run = {.capacity = 1 << 22};
    run.samples = calloc(run.capacity, sizeof *run.samples);
    for (int i = 0; i < n_ids; i++) {
        ids[i] = 3 + i * 5 % 8;
    }
    struct ut_piper_request request = {.ids = ids,
                                       .n_ids = (size_t)n_ids,
                                       .noise_scale = 0.5f,
                                       .length_scale = 1,
                                       .noise_w = 0.5f,
                                       .seed = 5,
                                       .sink = keep_samples,
                                       .user = &run,
                                       .observer = observe ? keep_z : NULL,
                                       .observer_user = &run};
    ut_mem_init(&mem, NULL);
    assert_int_equal(speak_compute_open(&mem, level, n_threads, &compute, &err), UTTER_OK);
    compute.minimal = minimal;
    assert_int_equal(ut_weights_parse(&mem, model->data, model->n, &weights, &err), UTTER_OK);
    assert_int_equal(ut_piper_load(&mem, &compute, weights, (const char *)json->data, json->n, NULL,
                                   &piper, &err),
                     UTTER_OK);
    ut_weights_close(weights);
    assert_int_equal(ut_piper_session_create(piper, &session, &err), UTTER_OK);
    assert_int_equal(ut_piper_run(session, &request, NULL, &err), UTTER_OK);
    ut_piper_session_destroy(session);
    ut_piper_close(piper);
    speak_compute_close(&compute);
    return run;
}

/* `bound`: of a sample's difference to the plain decoder's. */
static void check(const struct voice_spec *spec, const struct ut_minimal_table *minimal,
                  double bound) {
    struct voice voice;
    struct byte_buffer model = {0}, json = {0};
    voice_build(&voice, spec, 3);
    voice_write_onnx(&voice, NULL, &model);
    voice_write_json(&voice, &json);
    for (int n_ids = 1; n_ids < MAX_IDS; n_ids += 58) {
        for (int level = 0; level < UT_CPU_N_LEVELS; level++) {
            if (!ut_kernels_get((enum ut_cpu_level)level)) {
                continue;
            }
            struct run first =
                run_voice(&model, &json, minimal, (enum ut_cpu_level)level, 1, n_ids, true);
            struct signal plain = plain_decoder(&voice, first.z);
            assert_int_equal(plain.n, first.n_samples);
            for (size_t i = 0; i < first.n_samples; i++) {
                assert_true(fabs(plain.x[i] - (double)first.samples[i]) < bound);
            }
            for (int n_threads = 2; n_threads <= 5; n_threads++) {
                struct run other = run_voice(&model, &json, minimal, (enum ut_cpu_level)level,
                                             n_threads, n_ids, false);
                assert_int_equal(other.n_samples, first.n_samples);
                assert_memory_equal(other.samples, first.samples, first.n_samples * sizeof(float));
                free(other.samples);
            }
            free(plain.x);
            free(first.z.x);
            free(first.samples);
        }
    }
    byte_buffer_free(&model);
    byte_buffer_free(&json);
    voice_free(&voice);
}

static void resblock2_equals_the_plain_decoder(void **state) {
    struct voice_spec spec = voice_spec_tiny();
    check(&spec, NULL, 2e-6);
}

static void resblock1_equals_the_plain_decoder(void **state) {
    struct voice_spec spec = voice_spec_tiny();
    spec.resblock1 = true;
    check(&spec, NULL, 2e-6);
}

/* Rates, kernels and dilations that no published voice has. */
static void odd_geometry_equals_the_plain_decoder(void **state) {
    struct voice_spec spec = voice_spec_tiny();
    spec.n_stages = 2;
    spec.rates[0] = 3;
    spec.up_kernels[0] = 11;
    spec.rates[1] = 5;
    spec.up_kernels[1] = 5;
    spec.dilations[0][0] = 17;
    check(&spec, NULL, 2e-6);
}

/* Every convolution of a residual block and of the flow that has a minimal form in it: steps of
 * several rows, times dilations up to 12. */
static void minimal_filtering_equals_the_plain_decoder(void **state) {
    const char *const schemes[][3] = {{"F(6,3)", "F(6,5)", "F(4,7)"},
                                      {"F(8,3)", "F(4,5)", "F(5,4)x2"}};
    for (int i = 0; i < 2; i++) {
        struct ut_minimal_table table = {.n_rules = 3};
        struct voice_spec spec = voice_spec_tiny();
        for (int r = 0; r < 3; r++) {
            int n_taps = 3 + 2 * r;
            table.rules[r].n_taps = n_taps;
            table.rules[r].scheme = ut_minimal_find(n_taps, schemes[i][r]);
            assert_non_null(table.rules[r].scheme);
        }
        spec.resblock1 = i == 1;
        spec.dilations[2][1] = 12;
        check(&spec, &table, 1e-5);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resblock2_equals_the_plain_decoder),
        cmocka_unit_test(resblock1_equals_the_plain_decoder),
        cmocka_unit_test(minimal_filtering_equals_the_plain_decoder),
        cmocka_unit_test(odd_geometry_equals_the_plain_decoder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
