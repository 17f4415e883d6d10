/* torch.save files: those that torch wrote. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "weights_check.h"

static struct ut_mem mem;

static int setup(void **state) {
    ut_mem_init(&mem, NULL);
    return 0;
}

static int teardown(void **state) {
    return atomic_load(&mem.bytes[UT_MEM_WEIGHTS]) + atomic_load(&mem.bytes[UT_MEM_OTHER]) != 0;
}

static struct ut_weights *open_data(const char *name) {
    char path[500];
    struct ut_weights *weights;
    utter_error err;
    snprintf(path, sizeof path, "%s/%s", getenv("UT_TEST_DATA"), name);
    if (ut_weights_open(&mem, path, &weights, &err)) {
        fail_msg("%s", err.message);
    }
    return weights;
}

static void check_tensor(const struct ut_weights *weights, const char *name, enum ut_dtype type,
                         const uint64_t dims[UT_MAX_DIMS]) {
    const struct ut_tensor *tensor = ut_weights_find(weights, name);
    if (!tensor) {
        fail_msg("no tensor \"%s\"", name);
    }
    assert_int_equal(tensor->type, type);
    assert_memory_equal(tensor->dims, dims, sizeof tensor->dims);
}

static void test_kokoro(void **state) {
    struct ut_weights *weights = open_data("kokoro/kokoro-v1_0.pth");
    assert_int_equal(ut_weights_format(weights), UT_FORMAT_TORCH_ZIP);
    assert_int_equal(ut_weights_count(weights), 549);
    assert_string_equal(ut_weights_at(weights, 0)->name, "bert/module.embeddings.position_ids");
    check_tensor(weights, "bert/module.embeddings.position_ids", UT_I64, (uint64_t[]){1, 128, 1, 1});
    check_tensor(weights, "bert/module.embeddings.word_embeddings.weight", UT_F32, (uint64_t[]){178, 128, 1, 1});
    use_weights(weights);
    ut_weights_close(weights);
}

static void test_voice(void **state) {
    struct ut_weights *weights = open_data("kokoro/voices/af_synth.pt");
    assert_int_equal(ut_weights_count(weights), 1);
    check_tensor(weights, "", UT_F32, (uint64_t[]){510, 1, 64, 1});
    use_weights(weights);
    ut_weights_close(weights);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_kokoro, setup, teardown),
        cmocka_unit_test_setup_teardown(test_voice, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
