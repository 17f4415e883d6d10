/* Loading the text side from files that are wrong: each tensor missing, of another shape, or with a
 * value that is not finite; a configuration of another model; and no memory. Each must end in an
 * error that says what does not fit. Rows F2 to F4 of the reliability rules. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"
#include "support/failing_allocator.h"
#include "support/speak.h"
#include "support/tensor_file.h"
#include "text_model.h"

static struct ut_mem mem;
static struct ut_compute compute;
static struct ut_kokoro_config config;
static struct tensor_file original; /* the text side, and one tensor that stands for the rest */

static bool is_of_text_side(const char *name) {
    static const char *const prefixes[] = {"bert.",
                                           "bert_encoder.",
                                           "predictor.text_encoder.",
                                           "predictor.lstm.",
                                           "predictor.duration_proj.",
                                           "text_encoder."};
    for (size_t i = 0; i < UT_COUNT(prefixes); i++) {
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0) {
            return true;
        }
    }
    return strcmp(name, "decoder.F0_conv.weight") == 0;
}

static int setup(void **state) {
    ut_mem_init(&mem, NULL);
    config = text_model_config(&mem);
    struct ut_weights *weights = text_model_weights(&mem);
    struct ut_kokoro_tensors *tensors;
    assert_int_equal(ut_kokoro_tensors_create(&mem, weights, &tensors, NULL), UTTER_OK);
    for (size_t i = 0; i < ut_kokoro_tensors_count(tensors); i++) {
        const char *name = ut_kokoro_tensors_name(tensors, i);
        const struct ut_tensor *tensor;
        if (is_of_text_side(name)) {
            assert_int_equal(ut_kokoro_tensor_get(tensors, name, &tensor, NULL), UTTER_OK);
            tensor_file_copy(&original, name, tensor);
            ut_kokoro_tensor_drop(tensors, tensor);
        }
    }
    assert_true(original.n > 70);
    ut_kokoro_tensors_destroy(tensors);
    ut_weights_close(weights);
    return speak_compute_open(&mem, ut_cpu_level_best(), 1, &compute, NULL);
}

static int teardown(void **state) {
    speak_compute_close(&compute);
    ut_kokoro_config_free(&config);
    tensor_file_free(&original);
    uint64_t n_left = 0;
    for (int i = 0; i < UT_MEM_N_OWNERS; i++) {
        n_left += mem.bytes[i];
    }
    return n_left != 0;
}

static struct tensor_file copy_original(void) {
    struct tensor_file file = {0};
    for (size_t i = 0; i < original.n; i++) {
        tensor_file_copy(&file, original.tensors[i].name, &original.tensors[i]);
    }
    return file;
}

/* Replaces a tensor by counted values of another shape; returns the new one. */
static struct ut_tensor *reshape(struct tensor_file *file, const char *name,
                                 const uint64_t dims[UT_MAX_DIMS]) {
    tensor_file_remove(file, name);
    return tensor_file_add(file, name, dims, NULL);
}

/* Loads and closes; frees the file. */
static utter_status load(struct ut_mem *with, struct tensor_file *file,
                         const struct ut_kokoro_config *stated, utter_error *err) {
    struct byte_buffer bytes = {0};
    struct ut_weights *weights = NULL;
    struct ut_kokoro model;
    *err = (utter_error){0};
    tensor_file_write_safetensors(file, &bytes);
    utter_status status = ut_weights_parse(with, bytes.data, bytes.n, &weights, err);
    status = status ? status : text_model_load(with, &compute, weights, stated, &model, err);
    if (status == UTTER_OK) {
        text_model_close(&model);
    }
    ut_weights_close(weights);
    byte_buffer_free(&bytes);
    tensor_file_free(file);
    return status;
}

static void expect_refusal(struct tensor_file *file, const struct ut_kokoro_config *stated,
                           const char *words) {
    utter_error err;
    assert_int_equal(load(&mem, file, stated, &err), UTTER_ERROR_FORMAT);
    if (!strstr(err.message, words)) {
        fail_msg("\"%s\" is not in: %s", words, err.message);
    }
}

static void the_whole_file_loads(void **state) {
    struct tensor_file file = copy_original();
    utter_error err;
    if (load(&mem, &file, &config, &err)) {
        fail_msg("%s", err.message);
    }
}

/* Every tensor in 16 bits, biases and norms too, as small files have them. */
static void bf16_tensors_load(void **state) {
    struct tensor_file file = copy_original();
    utter_error err;
    for (size_t i = 0; i < file.n; i++) {
        struct ut_tensor *tensor = &file.tensors[i];
        char *data = (char *)(uintptr_t)tensor->data;
        for (size_t k = 0; k < tensor->n_bytes / 4; k++) {
            memmove(data + 2 * k, data + 4 * k + 2, 2); /* the upper half of a float */
        }
        tensor->type = UT_BF16;
        tensor->n_bytes /= 2;
    }
    if (load(&mem, &file, &config, &err)) {
        fail_msg("%s", err.message);
    }
}

/* ---- Each tensor in turn --------------------------------------------------------------------- */

/* A missing tensor is named, but where it only makes a stack of layers shorter. */
static void every_missing_tensor_is_noticed(void **state) {
    for (size_t i = 0; i < original.n; i++) {
        const char *name = original.tensors[i].name;
        struct tensor_file file = copy_original();
        utter_error err;
        tensor_file_remove(&file, name);
        assert_int_equal(load(&mem, &file, &config, &err), UTTER_ERROR_FORMAT);
        bool is_first_of_layer = strstr(name, ".weight_ih_l0") || strstr(name, ".0.weight");
        bool is_only_of_part = strncmp(name, "decoder.", 8) == 0;
        if (!strstr(err.message, name) &&
            !(is_first_of_layer && strstr(err.message, "n_layer is 3")) &&
            !(is_only_of_part && strstr(err.message, "decoder"))) {
            fail_msg("without %s: %s", name, err.message);
        }
    }
}

/* One row or column more. Only the rows of the token types are free: their number has no use. */
static void every_wrong_shape_is_noticed(void **state) {
    for (size_t i = 0; i < original.n; i++) {
        const struct ut_tensor *tensor = &original.tensors[i];
        for (int d = 0; d < tensor->n_dims && strncmp(tensor->name, "decoder.", 8) != 0; d++) {
            struct tensor_file file = copy_original();
            utter_error err;
            uint64_t dims[UT_MAX_DIMS] = {0};
            memcpy(dims, tensor->dims, (size_t)tensor->n_dims * sizeof *dims);
            dims[d]++;
            reshape(&file, tensor->name, dims);
            bool is_free = strstr(tensor->name, "token_type") && d == 0;
            utter_status status = load(&mem, &file, &config, &err);
            if (status != (is_free ? UTTER_OK : UTTER_ERROR_FORMAT)) {
                fail_msg("%s, dimension %d: %d, %s", tensor->name, d, status, err.message);
            }
            assert_true(is_free || strstr(err.message, "tensor") ||
                        strstr(err.message, "config.json"));
        }
    }
}

static void every_value_is_looked_at(void **state) {
    for (size_t i = 0; i < original.n; i++) {
        const char *name = original.tensors[i].name;
        for (int at_end = 0; at_end < 2 && strncmp(name, "decoder.", 8) != 0; at_end++) {
            struct tensor_file file = copy_original();
            utter_error err;
            struct ut_tensor *tensor = tensor_file_find(&file, name);
            float *values = (float *)(uintptr_t)tensor->data;
            values[at_end ? tensor->n_bytes / sizeof *values - 1 : 0] = at_end ? NAN : INFINITY;
            assert_int_equal(load(&mem, &file, &config, &err), UTTER_ERROR_FORMAT);
            if (!strstr(err.message, name) || !strstr(err.message, "not finite")) {
                fail_msg("%s: %s", name, err.message);
            }
        }
    }
}

/* ---- What does not fit together -------------------------------------------------------------- */

static void a_configuration_of_another_model_is_refused(void **state) {
    struct ut_kokoro_config stated = config;
    struct tensor_file file = copy_original();
    stated.max_positions = 512;
    expect_refusal(&file, &stated, "max_position_embeddings is 512 there, 128 in the tensors");
    stated = config;
    file = copy_original();
    stated.n_layer = 2;
    expect_refusal(&file, &stated, "config.json contradicts the weights: n_layer is 2 there, 3 in");
    stated = config;
    file = copy_original();
    stated.max_dur = 49;
    expect_refusal(&file, &stated, "max_dur is 49 there, 50 in the tensors");
    stated = config;
    file = copy_original();
    stated.n_heads = 5;
    expect_refusal(&file, &stated, "5 attention heads do not divide a width of 64");
}

/* What no configuration states is taken from the tensors. */
static void sizes_need_not_be_stated(void **state) {
    struct ut_kokoro_config stated = config;
    struct tensor_file file = copy_original();
    utter_error err;
    stated.max_positions = stated.n_layer = stated.max_dur = 0;
    stated.n_token = stated.hidden_dim = stated.style_dim = 0;
    assert_int_equal(load(&mem, &file, &stated, &err), UTTER_OK);
}

static void shapes_that_no_layer_can_have_are_refused(void **state) {
    struct tensor_file file = copy_original();
    reshape(&file, "bert_encoder.weight", (uint64_t[UT_MAX_DIMS]){31, 64});
    reshape(&file, "bert_encoder.bias", (uint64_t[UT_MAX_DIMS]){31});
    expect_refusal(&file, &config, "bert_encoder.weight has 31 rows: two directions");
    file = copy_original();
    reshape(&file, "text_encoder.cnn.1.0.weight", (uint64_t[UT_MAX_DIMS]){32, 32, 4});
    expect_refusal(&file, &config, "tensor text_encoder.cnn.1.0.weight has 4 taps");
    file = copy_original();
    reshape(&file, "bert.embeddings.token_type_embeddings.weight", (uint64_t[UT_MAX_DIMS]){2, 127});
    expect_refusal(&file, &config, "token_type_embeddings.weight has 127 columns, expected 128");
}

static void stacks_have_one_to_eight_layers(void **state) {
    struct ut_kokoro_config stated = config;
    struct tensor_file file = copy_original();
    stated.n_layer = 0;
    for (int i = 3; i <= KOKORO_MAX_LAYERS; i++) {
        char name[64];
        snprintf(name, sizeof name, "text_encoder.cnn.%d.0.weight", i);
        tensor_file_copy(&file, name, tensor_file_find(&file, "text_encoder.cnn.2.0.weight"));
    }
    expect_refusal(&file, &stated, "tensor text_encoder.cnn.8.0.weight is one too many");
    file = copy_original();
    tensor_file_remove(&file, "predictor.text_encoder.lstms.0.weight_ih_l0");
    expect_refusal(&file, &stated,
                   "predictor.text_encoder.lstms.0.weight_ih_l0 is missing: a Kokoro "
                   "model has 1 to 8");
}

/* ---- Memory ---------------------------------------------------------------------------------- */

static void no_memory_is_an_error(void **state) {
    struct failing_allocator failing;
    utter_allocator allocator = failing_allocator_start(&failing);
    struct ut_mem limited;
    utter_error err;
    ut_mem_init(&limited, &allocator);
    size_t fail_at = 1;
    for (bool ok = false; !ok; fail_at++) {
        struct tensor_file file = copy_original();
        failing_allocator_reset(&failing, fail_at, false);
        utter_status status = load(&limited, &file, &config, &err);
        ok = atomic_load(&failing.n_failed) == 0;
        assert_int_equal(status, ok ? UTTER_OK : UTTER_ERROR_MEMORY);
        assert_int_equal(atomic_load(&failing.n_blocks), 0);
    }
    assert_true(fail_at > 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_whole_file_loads),
        cmocka_unit_test(bf16_tensors_load),
        cmocka_unit_test(every_missing_tensor_is_noticed),
        cmocka_unit_test(every_wrong_shape_is_noticed),
        cmocka_unit_test(every_value_is_looked_at),
        cmocka_unit_test(a_configuration_of_another_model_is_refused),
        cmocka_unit_test(sizes_need_not_be_stated),
        cmocka_unit_test(shapes_that_no_layer_can_have_are_refused),
        cmocka_unit_test(stacks_have_one_to_eight_layers),
        cmocka_unit_test(no_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
