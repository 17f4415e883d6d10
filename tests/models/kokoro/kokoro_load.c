/* Loading Kokoro from files that are wrong in one place: each tensor missing, of another shape or
 * not finite; configurations that the weights contradict; folders without what belongs to a model.
 */
#include <fnmatch.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "models/kokoro/kokoro.h"
#include "models/kokoro/layout.h"
#include "support/speak.h"
#include "support/tensor_file.h"

static struct ut_mem mem;
static struct ut_compute compute;
static struct ut_weights *original;
static struct ut_kokoro_config config;
static struct ut_tensor *tensors; /* of the original, aligned, in its order */
static size_t n_tensors;
static char folder[256];

static const char *data_path(const char *name) {
    static char path[1024];
    snprintf(path, sizeof path, "%s/kokoro/%s", getenv("UT_TEST_DATA"), name);
    return path;
}

static const char *own_path(const char *name) {
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int setup(void **state) {
    struct byte_buffer json = {0};
    utter_error err = {0};
    ut_mem_init(&mem, NULL);
    strcpy(folder, "/tmp/utter-kokoro-XXXXXX");
    byte_buffer_read_file(&json, data_path("config.json"));
    bool ok = mkdtemp(folder) && !speak_compute_open(&mem, UT_CPU_SCALAR, 1, &compute, &err) &&
              !ut_kokoro_config_parse(&mem, (const char *)json.data, json.n, &config, &err) &&
              !ut_weights_open(&mem, data_path("kokoro-v1_0.pth"), &original, &err);
    byte_buffer_free(&json);
    if (!ok) {
        fprintf(stderr, "%s\n", err.message);
        return -1;
    }
    n_tensors = ut_weights_count(original);
    tensors = test_alloc(n_tensors * sizeof *tensors);
    for (size_t i = 0; i < n_tensors; i++) {
        tensors[i] = *ut_weights_at(original, i);
        void *copy = test_alloc(tensors[i].n_bytes);
        memcpy(copy, tensors[i].data, tensors[i].n_bytes);
        tensors[i].data = copy;
    }
    return 0;
}

static int teardown(void **state) {
    char command[300];
    for (size_t i = 0; i < n_tensors; i++) {
        free((void *)(uintptr_t)tensors[i].data);
    }
    free(tensors);
    ut_weights_close(original);
    ut_kokoro_config_free(&config);
    speak_compute_close(&compute);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) || mem.bytes[UT_MEM_WEIGHTS] || mem.bytes[UT_MEM_OTHER];
}

static utter_status load(const struct ut_tensor *list, size_t n,
                         const struct ut_kokoro_config *with, utter_error *err) {
    struct byte_buffer file = {0};
    struct ut_weights *weights;
    struct ut_kokoro *model;
    struct tensor_file tensor_file = {(struct ut_tensor *)(uintptr_t)list, n, n};
    tensor_file_write_safetensors(&tensor_file, &file);
    if (ut_weights_parse(&mem, file.data, file.n, &weights, err) != UTTER_OK) {
        fail_msg("%s", err->message);
    }
    utter_status status = ut_kokoro_load(&mem, &compute, weights, with, NULL, &model, err);
    assert_true((status == UTTER_OK) == (model != NULL));
    ut_kokoro_close(model);
    ut_weights_close(weights);
    byte_buffer_free(&file);
    return status;
}

/* The part of the network, which every spelling of the tensor's name begins with; or the number of
 * layers, which follows from the tensors that are there. */
static bool names_tensor(const char *message, const char *name) {
    char part[64];
    snprintf(part, sizeof part, "%.*s", (int)strcspn(name, "/"), name);
    return strstr(message, part) || strstr(message, "n_layer is 3");
}

static bool is_unused(const char *name) {
    return strstr(name, "pooler") || strstr(name, "position_ids");
}

static void a_missing_tensor_is_named(void **state) {
    struct ut_tensor *list = test_alloc(n_tensors * sizeof *list);
    for (size_t i = 0; i < n_tensors; i++) {
        utter_error err = {0};
        memcpy(list, tensors, i * sizeof *list);
        memcpy(list + i, tensors + i + 1, (n_tensors - i - 1) * sizeof *list);
        utter_status status = load(list, n_tensors - 1, &config, &err);
        if (is_unused(tensors[i].name)) {
            assert_int_equal(status, UTTER_OK);
            continue;
        }
        if (status != UTTER_ERROR_FORMAT || !names_tensor(err.message, tensors[i].name)) {
            fail_msg("without %s: %s", tensors[i].name, err.message);
        }
    }
    free(list);
}

/* A NaN, an infinity or a huge value in the middle of each tensor in turn. */
static void a_poisoned_tensor_is_refused(void **state) {
    static const float poisons[] = {NAN, INFINITY};
    struct ut_tensor *list = test_alloc(n_tensors * sizeof *list);
    memcpy(list, tensors, n_tensors * sizeof *list);
    for (size_t i = 0; i < n_tensors; i++) {
        if (is_unused(tensors[i].name) || tensors[i].type != UT_F32) {
            continue;
        }
        float *values = test_alloc(tensors[i].n_bytes);
        size_t middle = (size_t)ut_tensor_n_elements(&tensors[i]) / 2;
        utter_error err = {0};
        memcpy(values, tensors[i].data, tensors[i].n_bytes);
        values[middle] = poisons[i % 2];
        list[i].data = values;
        utter_status status = load(list, n_tensors, &config, &err);
        if (status != UTTER_ERROR_FORMAT || !strstr(err.message, "finite")) {
            fail_msg("%s poisoned: %s", tensors[i].name, err.message);
        }
        list[i] = tensors[i];
        free(values);
    }
    free(list);
}

/* One row more or less: every consumer must notice. */
static void a_tensor_of_another_shape_is_refused(void **state) {
    struct ut_tensor *list = test_alloc(n_tensors * sizeof *list);
    memcpy(list, tensors, n_tensors * sizeof *list);
    for (size_t i = 0; i < n_tensors; i++) {
        /* Rows of these tables are a matter of the file. */
        bool free_rows = is_unused(tensors[i].name) || strstr(tensors[i].name, "embeddings.") ||
                         tensors[i].n_dims < 1 || tensors[i].dims[0] < 2;
        if (free_rows) {
            continue;
        }
        utter_error err = {0};
        list[i].dims[0]--;
        list[i].n_bytes -= tensors[i].n_bytes / (size_t)tensors[i].dims[0];
        utter_status status = load(list, n_tensors, &config, &err);
        if (status != UTTER_ERROR_FORMAT) {
            fail_msg("%s with a row less: status %d, %s", tensors[i].name, status, err.message);
        }
        list[i] = tensors[i];
    }
    free(list);
}

static void expect_config(const struct ut_kokoro_config *with, const char *message) {
    utter_error err = {0};
    utter_status status = load(tensors, n_tensors, with, &err);
    if (status != UTTER_ERROR_FORMAT || !strstr(err.message, message)) {
        fail_msg("\"%s\" does not say \"%s\"", err.message, message);
    }
}

static void a_configuration_must_fit_the_weights(void **state) {
    utter_error err = {0};
    struct ut_kokoro_config c = config;
    assert_int_equal(load(tensors, n_tensors, &c, &err), UTTER_OK);
    c.n_token = 177;
    expect_config(&c, "177");
    c = config;
    c.hidden_dim = 512;
    expect_config(&c, "512");
    c = config;
    c.style_dim = 128;
    expect_config(&c, "128");
    c = config;
    c.n_heads = 7;
    expect_config(&c, "7");
    c = config;
    c.upsample_rates[0] = 5;
    expect_config(&c, "multiply to 150 (expected 300)");
    c = config;
    c.n_fft = 22;
    expect_config(&c, "gen_istft_n_fft is 22");
    c = config;
    c.upsample_rates[0] = 20;
    c.upsample_rates[1] = 3;
    expect_config(&c, "noise_convs.0");
    c = config;
    c.n_kernels = 2; /* the second stage's blocks are then looked for elsewhere */
    expect_config(&c, "resblocks");
    c = config;
    c.kernel_sizes[1] = 5;
    expect_config(&c, "resblocks.1.convs1.0.weight");
    c = config;
    c.n_dilations = 4;
    expect_config(&c, ".3");
    c = config;
    c.n_upsamples = 1;
    c.upsample_rates[0] = 60;
    expect_config(&c, "ups.0.weight");
}

static void a_snake_must_not_divide_by_zero(void **state) {
    struct ut_tensor *list = test_alloc(n_tensors * sizeof *list);
    memcpy(list, tensors, n_tensors * sizeof *list);
    for (size_t i = 0; i < n_tensors; i++) {
        if (fnmatch("*resblocks.3.alpha2.1", tensors[i].name, 0) == 0) {
            float *values = test_alloc(tensors[i].n_bytes);
            utter_error err = {0};
            memset(values, 0, tensors[i].n_bytes);
            list[i].data = values;
            assert_int_equal(load(list, n_tensors, &config, &err), UTTER_ERROR_FORMAT);
            assert_non_null(strstr(err.message, "resblocks.3.alpha2.1: value 0 is 0"));
            free(values);
            free(list);
            return;
        }
    }
    fail_msg("no such tensor");
}

/* ---- Files --------------------------------------------------------------------------------------
 */

static void copy_file(const char *from, const char *to) {
    struct byte_buffer bytes = {0};
    byte_buffer_read_file(&bytes, data_path(from));
    byte_buffer_write_file(&bytes, own_path(to));
    byte_buffer_free(&bytes);
}

static void expect_open(const char *name, utter_status status, const char *message) {
    struct ut_kokoro *model;
    utter_error err = {0};
    assert_int_equal(ut_kokoro_open(&mem, &compute, own_path(name), NULL, &model, &err), status);
    if (!strstr(err.message, message)) {
        fail_msg("\"%s\" does not say \"%s\"", err.message, message);
    }
    if (status == UTTER_OK) {
        struct ut_kokoro_info info;
        ut_kokoro_get_info(model, &info);
        assert_int_equal(info.style_dim, 32);
        assert_int_equal(info.max_ids, 128);
        assert_int_equal(info.format, UT_FORMAT_TORCH_ZIP);
        assert_int_equal(info.weight_type, UT_F32);
        assert_int_equal(ut_kokoro_voices_count(ut_kokoro_get_voices(model)), 2);
        assert_non_null(strstr(ut_kokoro_model_path(model), "kokoro-v1_0.pth"));
        assert_null(ut_kokoro_gguf(model));
        assert_true(ut_kokoro_get_config(model)->n_symbols == config.n_symbols);
    }
    ut_kokoro_close(model);
}

static void what_is_missing_is_said(void **state) {
    char command[300];
    expect_open("kokoro-v1_0.pth", UTTER_ERROR_NOT_FOUND, "kokoro-v1_0.pth");
    expect_open("", UTTER_ERROR_NOT_FOUND, "no voice in this folder");
    copy_file("kokoro-v1_0.pth", "kokoro-v1_0.pth");
    expect_open("", UTTER_ERROR_NOT_FOUND, "config.json is missing");
    copy_file("tolerances.json", "config.json");
    expect_open("", UTTER_ERROR_FORMAT, "config.json");
    copy_file("config.json", "config.json");
    expect_open("", UTTER_ERROR_NOT_FOUND, "voices");
    snprintf(command, sizeof command, "mkdir %s/voices", folder);
    assert_int_equal(system(command), 0);
    expect_open("", UTTER_ERROR_NOT_FOUND, "voices");
    copy_file("voices/af_synth.pt", "voices/af_synth.pt");
    copy_file("voices/bm_synth.pt", "voices/bm_synth.pt");
    expect_open("", UTTER_OK, "");
    expect_open("kokoro-v1_0.pth", UTTER_OK, "");
    copy_file("voices/af_synth.pt", "kokoro-v1_0.pth"); /* a torch file, but no model */
    expect_open("", UTTER_ERROR_FORMAT, "not those of a Kokoro model");
    copy_file("golden_tiny.safetensors", "model.safetensors");
    expect_open("model.safetensors", UTTER_ERROR_FORMAT, "not those of a Kokoro model");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_tensor_is_named),
        cmocka_unit_test(a_poisoned_tensor_is_refused),
        cmocka_unit_test(a_tensor_of_another_shape_is_refused),
        cmocka_unit_test(a_configuration_must_fit_the_weights),
        cmocka_unit_test(a_snake_must_not_divide_by_zero),
        cmocka_unit_test(what_is_missing_is_said),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
