/* Sessions and runs of ONNX Runtime through its stand-in: settings, ports, values in and out, every
 * call failing, cancellation, memory. The library itself is tested where UTTER_ONNXRUNTIME names
 * it. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dlfcn.h>

#include "backend/fake_ort.h"
#include "backend/ort_api.h"
#include "backend/ort_entries.h"
#include "support/failing_allocator.h"

static struct failing_allocator memory;
static struct ut_mem mem;
static struct fake_ort *fake;
static struct ut_ort_library *library;
static utter_error err;

static const int64_t ids[] = {1, 0, 20, 0, 2};
static const int64_t n_ids[] = {5};
static const float scales[] = {0.5f, 1, 0.25f};
static const struct ut_ort_value piper_inputs[] = {
    {"input", UT_I64, 2, {1, 5}, ids},
    {"input_lengths", UT_I64, 1, {1}, n_ids},
    {"scales", UT_F32, 1, {3}, scales},
};

static int setup(void **state) {
    void *handle = dlopen(getenv("UT_FAKE_ORT"), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    fake = handle ? dlsym(handle, "fake_ort") : NULL;
    return fake ? 0 : -1;
}

static int fresh(void **state) {
    utter_allocator allocator = failing_allocator_start(&memory);
    ut_mem_init(&mem, &allocator);
    fake_ort_reset(fake);
    return ut_ort_library_open(&mem, getenv("UT_FAKE_ORT"), &library, &err);
}

static int nothing_left(void **state) {
    ut_ort_library_close(library);
    return fake->n_alive == 0 && memory.n_blocks == 0 && !memory.wrong_size ? 0 : -1;
}

static struct ut_ort_session *open_session(void) {
    const struct ut_ort_session_options options = {.path = "voice.onnx", .n_threads = 3};
    struct ut_ort_session *session;
    if (ut_ort_session_create(library, &options, &session, &err) != UTTER_OK) {
        fail_msg("%s", err.message);
    }
    return session;
}

static utter_status run_once(struct ut_ort_session *session, struct ut_ort_numbers *out) {
    return ut_ort_run(session, piper_inputs, 3, out, 1, NULL, &err);
}

static void settings_and_ports(void **state) {
    fake_ort_piper(fake, true);
    fake->outputs[0].n_dims = 5; /* more than utter looks at */
    struct ut_ort_session *session = open_session();
    assert_int_equal(fake->n_threads, 3);
    assert_int_equal(fake->log_severity, ORT_LOG_FATAL);
    assert_true(fake->spinning_off && !fake->cuda && !fake->coreml);
    assert_int_equal(ut_ort_input_count(session), 4);
    assert_int_equal(ut_ort_output_count(session), 1);
    assert_string_equal(ut_ort_input(session, 0)->name, "input");
    assert_int_equal(ut_ort_input(session, 0)->type, UT_I64);
    assert_int_equal(ut_ort_input(session, 0)->n_dims, 2);
    assert_int_equal(ut_ort_input(session, 0)->dims[1], -1);
    assert_string_equal(ut_ort_input(session, 2)->name, "scales");
    assert_int_equal(ut_ort_input(session, 2)->type, UT_F32);
    assert_int_equal(ut_ort_input(session, 2)->dims[0], 3);
    assert_string_equal(ut_ort_output(session, 0)->name, "output");
    assert_int_equal(ut_ort_output(session, 0)->n_dims, 5);
    ut_ort_session_destroy(session);
    ut_ort_session_destroy(NULL);
}

/* Strings and maps are of no type that utter knows; the others are told apart. */
static void types_of_ports(void **state) {
    static const struct {
        int element;
        enum ut_dtype type;
    } types[] = {{ORT_FLOAT16, UT_F16}, {ORT_DOUBLE, UT_F64},      {ORT_INT32, UT_I32},
                 {ORT_BOOL, UT_BOOL},   {ORT_STRING, UT_N_DTYPES}, {0, UT_N_DTYPES}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        fake->inputs[1].element = types[i].element;
        struct ut_ort_session *session = open_session();
        assert_int_equal(ut_ort_input(session, 1)->type, types[i].type);
        ut_ort_session_destroy(session);
    }
}

static void providers(void **state) {
    struct ut_ort_session_options options = {
        .path = "voice.onnx", .n_threads = 1, .provider = "cuda"};
    struct ut_ort_session *session;
    assert_int_equal(ut_ort_session_create(library, &options, &session, &err), UTTER_OK);
    assert_true(fake->cuda);
    ut_ort_session_destroy(session);
    options.provider = "coreml";
    assert_int_equal(ut_ort_session_create(library, &options, &session, &err),
                     UTTER_ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "does not have CoreMLExecutionProvider (it has "
                                        "CUDAExecutionProvider, CPUExecutionProvider)"));
    options.provider = "npu";
    assert_int_equal(ut_ort_session_create(library, &options, &session, &err),
                     UTTER_ERROR_ARGUMENT);
    assert_non_null(strstr(err.message, "'npu': it must be cpu, cuda or coreml"));
    assert_null(session);
}

static void coreml(void **state) {
    struct ut_ort_session_options options = {
        .path = "voice.onnx", .n_threads = 1, .provider = "coreml"};
    struct ut_ort_session *session;
    ut_ort_library_close(library);
    fake->providers[0] = "CoreMLExecutionProvider";
    assert_int_equal(ut_ort_library_open(&mem, getenv("UT_FAKE_ORT"), &library, &err), UTTER_OK);
    assert_int_equal(ut_ort_session_create(library, &options, &session, &err), UTTER_OK);
    assert_true(fake->coreml && !fake->cuda);
    ut_ort_session_destroy(session);
}

static void values_go_in_and_out(void **state) {
    struct ut_ort_session *session = open_session();
    struct ut_ort_numbers out = {.most = 5000};
    fake->step = 0.0001;
    assert_int_equal(run_once(session, &out), UTTER_OK);
    assert_int_equal(fake->n_given, 3);
    assert_int_equal(fake->given[0].dims[1], 5);
    for (size_t i = 0; i < 5; i++) {
        assert_true(fake->given[0].values[i] == (double)ids[i]);
    }
    assert_true(fake->given[2].values[2] == 0.25);
    assert_int_equal(out.n, 4000);
    assert_true(out.values[0] == 0.25f && out.values[3999] == (float)(0.25 + 3999 * 0.0001));
    /* A shorter one uses the same buffer. */
    const float *before = out.values;
    fake->n_samples = 10;
    assert_int_equal(run_once(session, &out), UTTER_OK);
    assert_true(out.n == 10 && out.values == before);
    fake->n_samples = 0;
    assert_int_equal(run_once(session, &out), UTTER_OK);
    assert_int_equal(out.n, 0);
    ut_mem_free(&mem, out.values);
    ut_ort_session_destroy(session);
}

static void outputs_of_other_types(void **state) {
    static const struct {
        int element;
        float first, second;
    } types[] = {{ORT_FLOAT16, 0.25f, 0.75f},
                 {ORT_DOUBLE, 0.25f, 0.75f},
                 {ORT_BFLOAT16, 1, 1},
                 {ORT_INT32, 0, 0},
                 {ORT_INT64, 0, 0}};
    struct ut_ort_session *session = open_session();
    struct ut_ort_numbers out = {.most = 5000};
    fake->n_samples = 2;
    fake->step = 0.5;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        fake->outputs[0].element = types[i].element;
        assert_int_equal(run_once(session, &out), UTTER_OK);
        assert_true(out.n == 2 && out.values[0] == types[i].first &&
                    out.values[1] == types[i].second);
    }
    fake->level = NAN; /* is the caller's to judge */
    fake->outputs[0].element = ORT_FLOAT;
    assert_int_equal(run_once(session, &out), UTTER_OK);
    assert_true(isnan(out.values[0]));
    ut_mem_free(&mem, out.values);
    ut_ort_session_destroy(session);
}

static void assert_run_fails(struct ut_ort_session *session, utter_status code, const char *words) {
    struct ut_ort_numbers out = {.most = 5000};
    assert_int_equal(run_once(session, &out), code);
    assert_int_equal(out.n, 0);
    if (!strstr(err.message, words)) {
        fail_msg("'%s' lacks '%s'", err.message, words);
    }
    ut_mem_free(&mem, out.values);
}

static void outputs_that_are_none(void **state) {
    struct ut_ort_session *session = open_session();
    fake->no_output = true;
    assert_run_fails(session, UTTER_ERROR_MODEL, "gave no output 'output'");
    fake->no_output = false;
    fake->output_no_tensor = true;
    assert_run_fails(session, UTTER_ERROR_MODEL, "'output' is of the type unknown");
    fake->output_no_tensor = false;
    fake->outputs[0].element = ORT_BOOL;
    assert_run_fails(session, UTTER_ERROR_MODEL, "'output' is of the type bool, not a tensor");
    fake->outputs[0].element = ORT_STRING;
    assert_run_fails(session, UTTER_ERROR_MODEL, "of the type unknown");
    fake->outputs[0].element = ORT_FLOAT;
    fake->n_samples = 5001;
    assert_run_fails(session, UTTER_ERROR_MODEL, "5001 values, at most 5000 make sense");
    ut_ort_session_destroy(session);
}

/* Every call of the library that can fail does: a message, nothing left behind, and the next try
 * works. */
static void every_call_fails(void **state) {
    const struct ut_ort_session_options options = {
        .path = "voice.onnx", .n_threads = 1, .provider = "cuda"};
    struct ut_ort_session *session;
    size_t n_failed = 0, n_alive = fake->n_alive, n_blocks = memory.n_blocks;
    for (size_t at = 1;; at++) {
        struct ut_ort_numbers out = {.most = 5000};
        fake->n_calls = 0;
        fake->fail_at = at;
        utter_status status = ut_ort_session_create(library, &options, &session, &err);
        if (status == UTTER_OK) {
            status = run_once(session, &out);
        }
        ut_ort_session_destroy(session);
        ut_mem_free(&mem, out.values);
        assert_int_equal(fake->n_alive, n_alive);
        assert_int_equal(memory.n_blocks, n_blocks);
        if (fake->n_calls < at) {
            assert_int_equal(status, UTTER_OK);
            break;
        }
        n_failed++;
        assert_true(status < 0);
        assert_non_null(strstr(err.message, "this call was told to fail"));
    }
    assert_true(n_failed >= 45);
}

static void codes(void **state) {
    const struct ut_ort_session_options options = {.path = "voice.onnx", .n_threads = 1};
    static const struct {
        int code;
        utter_status status;
    } wanted[] = {{1, UTTER_ERROR_FORMAT},
                  {ORT_NO_SUCH_FILE, UTTER_ERROR_NOT_FOUND},
                  {ORT_NOT_IMPLEMENTED, UTTER_ERROR_UNSUPPORTED}};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        struct ut_ort_session *session;
        fake->n_calls = 0;
        fake->fail_at = 10; /* env, settings, seven of them, then the model */
        fake->fail_code = wanted[i].code;
        assert_int_equal(ut_ort_session_create(library, &options, &session, &err),
                         wanted[i].status);
        assert_non_null(strstr(err.message, "voice.onnx: ONNX Runtime: this call"));
    }
}

static void without_memory(void **state) {
    const struct ut_ort_session_options options = {.path = "voice.onnx", .n_threads = 1};
    struct ut_ort_session *session;
    size_t n_failed = 0, n_blocks = memory.n_blocks;
    for (size_t at = 1;; at++) {
        struct ut_ort_numbers out = {.most = 5000};
        failing_allocator_reset(&memory, at, false);
        utter_status status = ut_ort_session_create(library, &options, &session, &err);
        status = status ? status : run_once(session, &out);
        ut_ort_session_destroy(session);
        ut_mem_free(&mem, out.values);
        assert_int_equal(memory.n_blocks, n_blocks);
        if (memory.n_failed == 0) {
            assert_int_equal(status, UTTER_OK);
            break;
        }
        n_failed++;
        assert_int_equal(status, UTTER_ERROR_MEMORY);
    }
    assert_true(n_failed >= 8);
}

/* ---- Cancelling ----------------------------------------------------------------------------- */

static void *cancel_when_it_runs(void *user) {
    _Atomic bool *cancel = user;
    while (!fake->running) {
        sched_yield();
    }
    atomic_store(cancel, true);
    return NULL;
}

static void a_run_is_stopped(void **state) {
    struct ut_ort_session *session = open_session();
    struct ut_ort_numbers out = {.most = 5000};
    _Atomic bool cancel = false;
    pthread_t thread;
    fake->wait = true;
    assert_int_equal(pthread_create(&thread, NULL, cancel_when_it_runs, &cancel), 0);
    assert_int_equal(ut_ort_run(session, piper_inputs, 3, &out, 1, &cancel, &err),
                     UTTER_ERROR_CANCELLED);
    pthread_join(thread, NULL);
    assert_true(fake->terminated);
    /* One that nobody stops is not. */
    atomic_store(&cancel, false);
    fake->wait = false;
    fake->terminated = false;
    assert_int_equal(ut_ort_run(session, piper_inputs, 3, &out, 1, &cancel, &err), UTTER_OK);
    assert_true(!fake->terminated && out.n == 4000);
    /* And one that was stopped before it began. */
    atomic_store(&cancel, true);
    assert_int_equal(ut_ort_run(session, piper_inputs, 3, &out, 1, &cancel, &err),
                     UTTER_ERROR_CANCELLED);
    ut_mem_free(&mem, out.values);
    ut_ort_session_destroy(session);
}

/* ---- The real one --------------------------------------------------------------------------- */

static struct ut_ort_library *open_real(void) {
    const char *path = getenv("UTTER_ONNXRUNTIME");
    struct ut_ort_library *real;
    if (!path || !*path) {
        print_message("UTTER_ONNXRUNTIME does not name a library: skipped\n");
        skip();
    }
    if (ut_ort_library_open(&mem, path, &real, &err) != UTTER_OK) {
        fail_msg("%s", err.message);
    }
    return real;
}

static void a_voice_in_the_real_one(void **state) {
    struct ut_ort_library *real = open_real();
    struct ut_ort_numbers out = {.most = 1 << 20};
    struct ut_ort_session *session;
    _Atomic bool cancel = false;
    char path[4096];
    snprintf(path, sizeof path, "%s/piper/tiny.onnx", getenv("UT_TEST_DATA"));
    const struct ut_ort_session_options options = {.path = path, .n_threads = 2};
    if (ut_ort_session_create(real, &options, &session, &err) != UTTER_OK) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(ut_ort_input_count(session), 3);
    assert_string_equal(ut_ort_input(session, 1)->name, "input_lengths");
    assert_int_equal(ut_ort_input(session, 0)->type, UT_I64);
    assert_int_equal(ut_ort_input(session, 2)->dims[0], 3);
    assert_string_equal(ut_ort_output(session, 0)->name, "output");
    assert_int_equal(ut_ort_output(session, 0)->n_dims, 4);
    if (ut_ort_run(session, piper_inputs, 3, &out, 1, &cancel, &err) != UTTER_OK) {
        fail_msg("%s", err.message);
    }
    assert_true(out.n > 256 && out.n % 256 == 0);
    atomic_store(&cancel, true);
    assert_int_equal(ut_ort_run(session, piper_inputs, 3, &out, 1, &cancel, &err),
                     UTTER_ERROR_CANCELLED);
    assert_int_equal(ut_ort_run(session, piper_inputs, 2, &out, 1, NULL, &err), UTTER_ERROR_MODEL);
    assert_non_null(strstr(err.message, "ONNX Runtime: "));
    ut_mem_free(&mem, out.values);
    ut_ort_session_destroy(session);
    ut_ort_library_close(real);
}

static void what_the_real_one_refuses(void **state) {
    struct ut_ort_library *real = open_real();
    struct ut_ort_session_options options = {.path = "/nonexistent.onnx", .n_threads = 1};
    struct ut_ort_session *session;
    char path[4096];
    assert_int_equal(ut_ort_session_create(real, &options, &session, &err), UTTER_ERROR_NOT_FOUND);
    snprintf(path, sizeof path, "%s/piper/tolerances.json", getenv("UT_TEST_DATA"));
    options.path = path;
    assert_int_equal(ut_ort_session_create(real, &options, &session, &err), UTTER_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "tolerances.json: ONNX Runtime: "));
    ut_ort_library_close(real);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, nothing_left)
    const struct CMUnitTest tests[] = {
        TEST(settings_and_ports),
        TEST(types_of_ports),
        TEST(providers),
        TEST(coreml),
        TEST(values_go_in_and_out),
        TEST(outputs_of_other_types),
        TEST(outputs_that_are_none),
        TEST(every_call_fails),
        TEST(codes),
        TEST(without_memory),
        TEST(a_run_is_stopped),
        TEST(a_voice_in_the_real_one),
        TEST(what_the_real_one_refuses),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
