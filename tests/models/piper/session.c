/* What a synthesis refuses, skips and promises: ranges, ids outside the vocabulary, cancelling, one
 * seed one result, and no allocation once warm. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "support/speak.h"
#include "support/voice_builder.h"

struct fixture {
    struct ut_mem mem;
    struct ut_compute compute;
    struct ut_piper *model;
    struct ut_piper_session *session;
    utter_error err;
    struct ut_piper_result result;
    uint64_t n_samples, hash;
    uint64_t stop_after;
    _Atomic bool cancel;
    char warning[200];
};

static void keep_warning(void *user, utter_log_level level, const char *message) {
    struct fixture *f = user;
    strncpy(f->warning, message, sizeof f->warning - 1);
}

static bool count(void *user, const float *samples, size_t n) {
    struct fixture *f = user;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &samples[i], 4);
        f->hash = (f->hash ^ bits) * 0x100000001b3u;
    }
    f->n_samples += n;
    return f->stop_after == 0 || f->n_samples < f->stop_after;
}

static int setup(void **state) {
    struct voice voice;
    struct byte_buffer model = {0}, json = {0};
    struct voice_spec spec = voice_spec_tiny_multi();
    struct ut_weights *weights = NULL;
    static struct fixture f;
    f = (struct fixture){0};
    ut_mem_init(&f.mem, NULL);
    voice_build(&voice, &spec, 1);
    voice_write_onnx(&voice, NULL, &model);
    voice_write_json(&voice, &json);
    struct ut_log log = {keep_warning, &f};
    int bad = speak_compute_open(&f.mem, ut_cpu_level_best(), 2, &f.compute, &f.err) ||
              ut_weights_parse(&f.mem, model.data, model.n, &weights, &f.err) ||
              ut_piper_load(&f.mem, &f.compute, weights, (const char *)json.data, json.n, &log,
                            &f.model, &f.err) ||
              ut_piper_session_create(f.model, &f.session, &f.err);
    ut_weights_close(weights);
    byte_buffer_free(&model);
    byte_buffer_free(&json);
    voice_free(&voice);
    *state = &f;
    return bad;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    ut_piper_session_destroy(f->session);
    ut_piper_close(f->model);
    speak_compute_close(&f->compute);
    return f->mem.bytes[UT_MEM_WEIGHTS] + f->mem.bytes[UT_MEM_SESSION] +
               f->mem.bytes[UT_MEM_OTHER] !=
           0;
}

static struct ut_piper_request request(struct fixture *f) {
    static const int32_t ids[] = {1, 0, 5, 0, 7, 0, 9, 0, 4, 0, 2};
    f->n_samples = f->hash = 0;
    return (struct ut_piper_request){.ids = ids,
                                     .n_ids = 11,
                                     .noise_scale = 0.667f,
                                     .length_scale = 1,
                                     .noise_w = 0.8f,
                                     .seed = 7,
                                     .sink = count,
                                     .user = f,
                                     .cancel = &f->cancel};
}

static utter_status run(struct fixture *f, const struct ut_piper_request *r) {
    f->err.message[0] = '\0';
    return ut_piper_run(f->session, r, &f->result, &f->err);
}

static void seed_decides(void **state) {
    struct fixture *f = *state;
    struct ut_piper_request r = request(f);
    assert_int_equal(run(f, &r), UTTER_OK);
    assert_int_equal(f->n_samples, f->result.n_samples);
    uint64_t first = f->hash;
    r = request(f);
    assert_int_equal(run(f, &r), UTTER_OK);
    assert_true(f->hash == first);
    r = request(f);
    r.seed = 8;
    assert_int_equal(run(f, &r), UTTER_OK);
    assert_true(f->hash != first);
    r = request(f);
    r.speaker = 1;
    assert_int_equal(run(f, &r), UTTER_OK);
    assert_true(f->hash != first);
}

static void warm_session_allocates_nothing(void **state) {
    struct fixture *f = *state;
    struct ut_piper_request r = request(f);
    assert_int_equal(run(f, &r), UTTER_OK);
    uint64_t before = f->mem.n_allocations;
    assert_int_equal(run(f, &r), UTTER_OK);
    assert_int_equal(f->mem.n_allocations, before);
}

static void ids_outside_are_skipped(void **state) {
    struct fixture *f = *state;
    int32_t ids[] = {1, 0, -1, 5, INT32_MAX, 0, 2, 1000000};
    struct ut_piper_request r = request(f);
    r.ids = ids;
    r.n_ids = 8;
    assert_int_equal(run(f, &r), UTTER_OK);
    assert_int_equal(f->result.n_skipped_ids, 3);
    assert_non_null(strstr(f->warning, "3 phoneme ids"));
    ids[0] = ids[1] = ids[3] = ids[5] = ids[6] = -5;
    assert_int_equal(run(f, &r), UTTER_ERROR_ARGUMENT);
}

static void ranges_are_checked(void **state) {
    struct fixture *f = *state;
    struct ut_piper_request good = request(f), r = good;
    r.n_ids = 0;
    assert_int_equal(run(f, &r), UTTER_ERROR_ARGUMENT);
    r.n_ids = UT_PIPER_MAX_IDS + 1;
    assert_int_equal(run(f, &r), UTTER_ERROR_ARGUMENT);
    r = good;
    r.speaker = 3;
    assert_int_equal(run(f, &r), UTTER_ERROR_ARGUMENT);
    assert_non_null(strstr(f->err.message, "0 to 2"));
    const float odd[] = {-1, NAN, INFINITY, 1e9f};
    for (int i = 0; i < 4; i++) {
        r = good;
        r.noise_scale = odd[i];
        assert_int_equal(run(f, &r), UTTER_ERROR_ARGUMENT);
        r = good;
        r.length_scale = odd[i];
        assert_int_equal(run(f, &r), UTTER_ERROR_ARGUMENT);
        r = good;
        r.noise_w = odd[i];
        assert_int_equal(run(f, &r), UTTER_ERROR_ARGUMENT);
    }
    r = good;
    r.length_scale = 0;
    assert_int_equal(run(f, &r), UTTER_ERROR_ARGUMENT);
    assert_int_equal(run(f, &good), UTTER_OK);
}

static void too_many_frames_are_refused(void **state) {
    struct fixture *f = *state;
    int32_t ids[800];
    struct ut_piper_request r = request(f);
    for (int i = 0; i < 800; i++) {
        ids[i] = 5;
    }
    r.ids = ids;
    r.n_ids = 800;
    r.length_scale = 1000;
    assert_int_equal(run(f, &r), UTTER_ERROR_MODEL);
    assert_int_equal(f->n_samples, 0);
}

static void stops_when_told(void **state) {
    struct fixture *f = *state;
    struct ut_piper_request r = request(f);
    f->stop_after = 1;
    assert_int_equal(run(f, &r), UTTER_ERROR_CANCELLED);
    f->stop_after = 0;
    f->cancel = true;
    r = request(f);
    assert_int_equal(run(f, &r), UTTER_ERROR_CANCELLED);
    assert_int_equal(f->n_samples, 0);
    f->cancel = false;
    assert_int_equal(run(f, &r), UTTER_OK);
}

/* Durations of zero everywhere still give one frame, as in the reference. */
static void nothing_lasts_a_frame(void **state) {
    struct fixture *f = *state;
    struct ut_piper_request r = request(f);
    struct ut_piper_info info;
    ut_piper_get_info(f->model, &info);
    float noise[22];
    for (int i = 0; i < 22; i++) {
        noise[i] = 0;
    }
    r.noise_dp = noise;
    r.length_scale = 1e-30f;
    assert_int_equal(run(f, &r), UTTER_OK);
    assert_true(f->result.n_frames >= 1);
    assert_int_equal(f->n_samples, f->result.n_frames * (uint64_t)info.hop_length);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(seed_decides, setup, teardown),
        cmocka_unit_test_setup_teardown(warm_session_allocates_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(ids_outside_are_skipped, setup, teardown),
        cmocka_unit_test_setup_teardown(ranges_are_checked, setup, teardown),
        cmocka_unit_test_setup_teardown(too_many_frames_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(stops_when_told, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_lasts_a_frame, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
