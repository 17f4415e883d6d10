/* The flow as a stream: frames, and every stage on the way, have the same bits for every size of
 * chunk, however they are asked for and on any number of threads; in float, by minimal filtering,
 * from f16 weights and in narrow arithmetic. What the values are is for the golden files to say
 * (tests/models/trace.c), and for plain sums where minimal filtering is near them. */
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
#include "compute/minimal.h"
#include "models/piper/piper_model.h"
#include "support/random_values.h"
#include "support/speak.h"
#include "support/voice_builder.h"

enum { MAX_FRAMES = 150, N_IDS = 40, MAX_STAGES = 10, ALL = MAX_FRAMES };

/* How a voice is built and computed. */
struct variant {
    const char *name;
    enum ut_precision precision;
    const char *scheme; /* of layers with 5 taps; NULL: no minimal filtering */
    bool half;          /* weights stored as f16 */
    bool many;          /* several speakers, ResBlock1: the flow is never narrow */
    int dilation;       /* of the second layer of each WN */
};

struct fixture {
    struct ut_mem mem;
    struct ut_compute compute;
    struct ut_minimal_table minimal;
    struct ut_piper *piper;
    struct ut_piper_session *session;
    float *m, *scale;
    int32_t frame_id[MAX_FRAMES];
};

static void load(struct fixture *f, const struct variant *v) {
    struct voice voice;
    struct voice_spec spec = v->many ? voice_spec_tiny_multi() : voice_spec_tiny();
    struct voice_export options = {.half = v->half};
    struct byte_buffer model = {0}, json = {0};
    struct ut_weights *weights;
    utter_error err;
    spec.n_couplings = 3;
    spec.n_wn_layers = 3;
    spec.wn_kernel = 5;
    voice_build(&voice, &spec, 3);
    voice_write_onnx(&voice, &options, &model);
    voice_write_json(&voice, &json);
    assert_int_equal(ut_weights_parse(&f->mem, model.data, model.n, &weights, &err), UTTER_OK);
    assert_int_equal(ut_piper_load(&f->mem, &f->compute, weights, (const char *)json.data, json.n,
                                   NULL, &f->piper, &err),
                     UTTER_OK);
    ut_weights_close(weights);
    for (int i = 0; i < f->piper->n_couplings; i++) {
        struct piper_conv *in = &f->piper->couplings[i].layers[1].in;
        in->dilation = v->dilation;
        in->pad = 2 * v->dilation;
    }
    byte_buffer_free(&model);
    byte_buffer_free(&json);
    voice_free(&voice);
}

/* False: this processor does not have the arithmetic. */
static bool open_flow(struct fixture *f, const struct variant *v, int n_threads) {
    utter_error err;
    memset(f, 0, sizeof *f);
    ut_mem_init(&f->mem, NULL);
    assert_int_equal(speak_compute_open(&f->mem, ut_cpu_level_best(), n_threads, &f->compute, &err),
                     UTTER_OK);
    f->compute.precision = v->precision;
    f->compute.exact = !v->scheme;
    if (v->scheme) {
        f->minimal.n_rules = 1;
        f->minimal.rules[0] =
            (struct ut_minimal_rule){.n_taps = 5, .scheme = ut_minimal_find(5, v->scheme)};
        assert_non_null(f->minimal.rules[0].scheme);
        f->compute.minimal = &f->minimal;
    }
    if (v->precision != UT_PRECISION_F32 && !ut_narrow_kind(&f->compute)) {
        speak_compute_close(&f->compute);
        return false;
    }
    load(f, v);
    const struct piper_conv *in = &f->piper->couplings[0].layers[0].in;
    assert_int_equal(in->layer.minimal != NULL, v->scheme != NULL);
    assert_int_equal(in->layer.narrow != NULL, v->precision != UT_PRECISION_F32 && !v->many);
    assert_int_equal(ut_piper_session_create(f->piper, &f->session, &err), UTTER_OK);
    int inter = f->piper->info.n_inter;
    size_t n = (size_t)(N_IDS * inter);
    f->m = calloc(n, sizeof *f->m);
    f->scale = calloc(n, sizeof *f->scale);
    random_normal("m", 1, 0, 1, f->m, n);
    random_normal("scale", 1, 1, 0.2f, f->scale, n);
    for (int t = 0; t < MAX_FRAMES; t++) {
        f->frame_id[t] = t / 4;
    }
    return true;
}

static void close_flow(struct fixture *f) {
    ut_piper_session_destroy(f->session);
    ut_piper_close(f->piper);
    speak_compute_close(&f->compute);
    free(f->m);
    free(f->scale);
    assert_int_equal(f->mem.bytes[UT_MEM_WEIGHTS] + f->mem.bytes[UT_MEM_SESSION] +
                         f->mem.bytes[UT_MEM_OTHER],
                     0);
}

/* What a run gave and showed. */
struct outcome {
    int n_frames;
    char *frames; /* rows as the decoder reads them, then their scales */
    size_t n_bytes;
    struct {
        char name[24];
        float *x;
        int n_ch, n_rows; /* n_rows: shown so far, in order */
    } stages[MAX_STAGES];
    int n_stages;
};

static void keep_stage(void *user, const char *stage, const struct ut_piper_view *view) {
    struct outcome *out = user;
    int i = 0;
    while (i < out->n_stages && strcmp(out->stages[i].name, stage) != 0) {
        i++;
    }
    if (i == out->n_stages) {
        assert_true(i < MAX_STAGES);
        snprintf(out->stages[i].name, sizeof out->stages[i].name, "%s", stage);
        out->stages[i].x =
            calloc((size_t)view->total * (size_t)view->n_ch, sizeof *out->stages[i].x);
        out->stages[i].n_ch = view->n_ch;
        out->n_stages++;
    }
    assert_int_equal(view->total, out->n_frames);
    assert_int_equal(view->first, out->stages[i].n_rows);
    for (int t = 0; t < view->n_rows; t++) {
        memcpy(out->stages[i].x + (ptrdiff_t)(view->first + t) * view->n_ch,
               view->data + t * view->row, (size_t)view->n_ch * sizeof(float));
    }
    out->stages[i].n_rows += view->n_rows;
}

/* Row `row` of the frames that the flow holds. */
static void keep_frame(struct outcome *out, const struct ut_piper_window *frames, int64_t row) {
    size_t pitch = (size_t)frames->pitch;
    memcpy(out->frames + (size_t)row * pitch, frames->data + (row - frames->first) * frames->pitch,
           pitch);
    if (frames->kind) {
        memcpy(out->frames + (size_t)out->n_frames * pitch + (size_t)row * sizeof(float),
               frames->scale + (row - frames->first), sizeof(float));
    }
}

static void assert_zero_frame(const struct ut_piper_window *frames, int64_t row) {
    const char *data = frames->data + (row - frames->first) * frames->pitch;
    for (ptrdiff_t i = 0; i < frames->pitch; i++) {
        assert_int_equal(data[i], 0);
    }
}

/* Asks for n_pull frames at a time, each time with those behind that conv_pre reads too. */
static struct outcome run_flow(struct fixture *f, int n_frames, int n_chunk, int n_pull) {
    struct outcome out = {.n_frames = n_frames};
    struct ut_piper_session *s = f->session;
    struct ut_piper_prior prior = {f->m, f->scale, f->frame_id};
    struct ut_piper_request request = {
        .noise_scale = 0.7f, .seed = 9, .observer = keep_stage, .observer_user = &out};
    struct ut_piper_flow *flow;
    struct ut_piper_window *frames;
    utter_error err;
    int pad = f->piper->decoder->conv_pre.pad;
    s->request = &request;
    s->n_ids = N_IDS;
    s->n_frames = n_frames;
    s->g = f->piper->emb_g;
    assert_int_equal(ut_piper_flow_start(s, &prior, n_chunk, n_pull, &flow, &err), UTTER_OK);
    for (int from = 0, n; from < n_frames; from += n) {
        n = UT_MIN(n_pull, n_frames - from);
        assert_int_equal(ut_piper_flow_frames(flow, from + n + pad, &frames, &err), UTTER_OK);
        if (from == 0) {
            out.n_bytes = (size_t)n_frames * ((size_t)frames->pitch + sizeof(float));
            out.frames = calloc(1, out.n_bytes);
        }
        assert_true(frames->first <= from - pad && frames->end >= UT_MIN(from + n + pad, n_frames));
        for (int t = from; t < from + n; t++) {
            keep_frame(&out, frames, t);
        }
        for (int i = 1; i <= pad; i++) {
            if (from == 0) {
                assert_zero_frame(frames, -i);
            }
            if (frames->end == n_frames) {
                assert_zero_frame(frames, n_frames - 1 + i);
            }
        }
        ut_piper_window_drop(frames, from + n - pad);
    }
    ut_arena_reset(&s->arena);
    return out;
}

static void free_outcome(struct outcome *out) {
    for (int i = 0; i < out->n_stages; i++) {
        free(out->stages[i].x);
    }
    free(out->frames);
}

static void assert_same(const struct outcome *a, const struct outcome *b) {
    assert_int_equal(a->n_bytes, b->n_bytes);
    assert_memory_equal(a->frames, b->frames, a->n_bytes);
    assert_int_equal(a->n_stages, b->n_stages);
    for (int i = 0; i < a->n_stages; i++) {
        int j = 0;
        while (strcmp(a->stages[i].name, b->stages[j].name) != 0) {
            j++;
            assert_true(j < b->n_stages);
        }
        assert_int_equal(a->stages[i].n_rows, a->n_frames);
        assert_int_equal(b->stages[j].n_rows, a->n_frames);
        assert_memory_equal(a->stages[i].x, b->stages[j].x,
                            (size_t)(a->n_frames * a->stages[i].n_ch) * sizeof(float));
    }
}

static void check(const struct variant *v) {
    static const int n_frames[] = {1, 6, 47, MAX_FRAMES}, chunks[] = {1, 5, 6, 36, 100, ALL},
                     pulls[] = {1, 20, ALL};
    for (size_t i = 0; i < UT_COUNT(n_frames); i++) {
        struct outcome whole = {0};
        for (int n_threads = 1; n_threads <= 3; n_threads++) {
            struct fixture f;
            if (!open_flow(&f, v, n_threads)) {
                printf("%s: not on this processor\n", v->name);
                return;
            }
            if (n_threads == 1) {
                whole = run_flow(&f, n_frames[i], ALL, ALL);
                /* z_p, and each coupling before and after; flow_z */
                assert_int_equal(whole.n_stages, 2 * f.piper->n_couplings + 2);
            }
            for (size_t j = 0; j < UT_COUNT(chunks) * UT_COUNT(pulls); j++) {
                struct outcome out = run_flow(&f, n_frames[i], chunks[j / UT_COUNT(pulls)],
                                              pulls[j % UT_COUNT(pulls)]);
                assert_same(&whole, &out);
                free_outcome(&out);
            }
            close_flow(&f);
        }
        free_outcome(&whole);
    }
}

static const struct variant exact = {"exact", UT_PRECISION_F32, NULL, false, false, 1};

static void plain_sums(void **state) {
    static const struct variant dilated = {"dilated", UT_PRECISION_F32, NULL, false, false, 7};
    static const struct variant half = {"f16 weights", UT_PRECISION_F32, NULL, true, false, 1};
    static const struct variant many = {"speakers", UT_PRECISION_F32, NULL, false, true, 1};
    check(&exact);
    check(&dilated);
    check(&half);
    check(&many);
}

static const struct variant by_six = {"F(6,5)", UT_PRECISION_F32, "F(6,5)", false, false, 1};

static void minimal_filtering(void **state) {
    static const struct variant by_four = {"F(4,5)", UT_PRECISION_F32, "F(4,5)", false, true, 1};
    static const struct variant dilated = {
        "dilated F(6,5)", UT_PRECISION_F32, "F(6,5)", false, false, 3};
    check(&by_six);
    check(&by_four);
    check(&dilated);
}

static void narrow_arithmetic(void **state) {
    static const struct variant int8 = {"int8", UT_PRECISION_INT8, NULL, false, false, 1};
    static const struct variant bf16 = {"bf16", UT_PRECISION_BF16, NULL, false, false, 1};
    static const struct variant dilated = {
        "dilated int8", UT_PRECISION_INT8, NULL, false, false, 4};
    check(&int8);
    check(&bf16);
    check(&dilated);
}

static void minimal_filtering_is_near_plain_sums(void **state) {
    struct fixture f;
    assert_true(open_flow(&f, &exact, 1));
    struct outcome plain = run_flow(&f, MAX_FRAMES, ALL, ALL);
    size_t n = (size_t)(MAX_FRAMES * f.piper->info.n_inter);
    close_flow(&f);
    assert_true(open_flow(&f, &by_six, 1));
    struct outcome minimal = run_flow(&f, MAX_FRAMES, 48, 20);
    close_flow(&f);
    const float *a = (const float *)(const void *)plain.frames,
                *b = (const float *)(const void *)minimal.frames;
    for (size_t i = 0; i < n; i++) {
        assert_true(fabsf(a[i] - b[i]) < 1e-4f);
    }
    free_outcome(&plain);
    free_outcome(&minimal);
}

static int rows_taken(struct fixture *f, const char *stage, int n_wanted) {
    struct outcome out = {.n_frames = MAX_FRAMES};
    struct ut_piper_request request = {.observer = keep_stage, .observer_user = &out};
    struct ut_piper_prior prior = {f->m, f->scale, f->frame_id};
    struct ut_piper_flow *flow;
    struct ut_piper_window *frames;
    utter_error err;
    int n = 0;
    f->session->request = &request;
    f->session->n_ids = N_IDS;
    f->session->n_frames = MAX_FRAMES;
    assert_int_equal(ut_piper_flow_start(f->session, &prior, ALL, ALL, &flow, &err), UTTER_OK);
    assert_int_equal(ut_piper_flow_frames(flow, n_wanted, &frames, &err), UTTER_OK);
    assert_int_equal(frames->end, n_wanted);
    for (int i = 0; i < out.n_stages; i++) {
        n = strcmp(out.stages[i].name, stage) == 0 ? out.stages[i].n_rows : n;
    }
    ut_arena_reset(&f->session->arena);
    free_outcome(&out);
    return n;
}

/* 9 layers read 2 rows beyond their own; on a grid of 6 rows each needs 6 more than the next. */
static void first_frames_wait_for_few_rows(void **state) {
    struct fixture f;
    assert_true(open_flow(&f, &exact, 1));
    assert_int_equal(rows_taken(&f, "z_p", 5), 5 + 9 * 2);
    close_flow(&f);
    assert_true(open_flow(&f, &by_six, 1));
    assert_int_equal(rows_taken(&f, "z_p", 6), 6 + 8 * 6 + 2);
    close_flow(&f);
}

/* What the flow holds does not grow with the utterance, but for the ids of its frames. */
static void memory_is_that_of_a_chunk(void **state) {
    struct fixture f;
    size_t bytes[2];
    for (int i = 0; i < 2; i++) {
        assert_true(open_flow(&f, &exact, 1));
        struct outcome out = run_flow(&f, i == 0 ? 60 : MAX_FRAMES, 12, 6);
        bytes[i] = f.mem.bytes[UT_MEM_SESSION];
        free_outcome(&out);
        close_flow(&f);
    }
    assert_int_equal(bytes[0], bytes[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_sums),
        cmocka_unit_test(minimal_filtering),
        cmocka_unit_test(narrow_arithmetic),
        cmocka_unit_test(minimal_filtering_is_near_plain_sums),
        cmocka_unit_test(first_frames_wait_for_few_rows),
        cmocka_unit_test(memory_is_that_of_a_chunk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
