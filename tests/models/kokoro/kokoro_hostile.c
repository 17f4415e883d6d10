/* Kokoro models that are wrong in one place where a shape or a number decides about memory or time:
 * refused while loading, with a message that names the place. Tensors that are missing or do not
 * fit each other are in kokoro_load.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/kokoro_builder.h"
#include "support/kokoro_speak.h"
#include "support/speak.h"

static struct ut_mem mem;
static struct ut_compute compute;

static int setup(void **state) {
    utter_error err = {0};
    ut_mem_init(&mem, NULL);
    return speak_compute_open(&mem, UT_CPU_SCALAR, 1, &compute, &err);
}

static int teardown(void **state) {
    speak_compute_close(&compute);
    return mem.bytes[UT_MEM_WEIGHTS] || mem.bytes[UT_MEM_SESSION] || mem.bytes[UT_MEM_OTHER];
}

/* The model does not load, and the message says why. Frees the tensors. */
static void expect_refusal(struct tensor_file *tensors, const struct kokoro_spec *spec,
                           const char *message) {
    struct byte_buffer model = {0}, config = {0};
    struct kokoro_speech speech = {0};
    struct ut_kokoro_request request = kokoro_request();
    tensor_file_write_safetensors(tensors, &model);
    kokoro_write_config(spec, &config);
    kokoro_speak(&mem, &compute, &model, &config, &request, 64, &speech);
    if (speech.step != KOKORO_LOAD || speech.status != UTTER_ERROR_FORMAT ||
        !strstr(speech.err.message, message)) {
        fail_msg("step %d, status %d: \"%s\" does not say \"%s\"", speech.step, speech.status,
                 speech.err.message, message);
    }
    kokoro_speech_free(&speech);
    byte_buffer_free(&model);
    byte_buffer_free(&config);
    tensor_file_free(tensors);
}

/* A block with this tensor doubles its rows, for which the next one's buffer has no room. */
static void the_first_block_must_not_double_the_rate(void **state) {
    static const char *const blocks[] = {"encode", "decode.0", "decode.2"};
    struct kokoro_spec spec = kokoro_spec_minimal();
    for (size_t i = 0; i < 3; i++) {
        struct tensor_file tensors = {0};
        char weight[40], bias[40], message[96];
        kokoro_build(&spec, 1, &tensors);
        const uint64_t n = 10; /* channels of each: hidden + 2 and decoder + asr_res + 2 */
        snprintf(weight, sizeof weight, "decoder.%s.pool.weight", blocks[i]);
        snprintf(bias, sizeof bias, "decoder.%s.pool.bias", blocks[i]);
        tensor_file_add(&tensors, weight, (const uint64_t[UT_MAX_DIMS]){n, 1, 3}, NULL);
        tensor_file_add(&tensors, bias, (const uint64_t[UT_MAX_DIMS]){n}, NULL);
        snprintf(message, sizeof message, "tensor %s: the last block of the decoder doubles",
                 weight);
        expect_refusal(&tensors, &spec, message);
    }
}

/* 64^4 * 1024 is more than an int holds, and 2^32 more than its product must be. */
static void rates_multiply_without_wrapping(void **state) {
    struct kokoro_spec spec = kokoro_spec_minimal(), stated;
    struct tensor_file tensors = {0};
    kokoro_build(&spec, 1, &tensors);
    stated = spec;
    stated.n_stages = 4;
    for (int i = 0; i < 4; i++) {
        stated.rates[i] = stated.up_kernels[i] = 64;
    }
    stated.n_fft = stated.hop = 1024;
    expect_refusal(&tensors, &stated, "multiply to 17179869184 (expected 300)");
}

/* Every kernel that only the tensor tells, at the bound and above. */
static void kernels_are_bounded(void **state) {
    static const char *const names[] = {"text_encoder.cnn.0.0.weight",
                                        "decoder.generator.conv_post.weight",
                                        "decoder.generator.noise_res.1.convs1.0.weight"};
    struct kokoro_spec spec = kokoro_spec_minimal();
    for (size_t i = 0; i < 3; i++) {
        struct tensor_file tensors = {0};
        kokoro_build(&spec, 1, &tensors);
        struct ut_tensor *tensor = tensor_file_find(&tensors, names[i]);
        uint64_t dims[UT_MAX_DIMS] = {tensor->dims[0], tensor->dims[1], 65};
        tensor_file_reshape(tensor, dims);
        expect_refusal(&tensors, &spec, names[i]);
    }
}

static void upsampling_kernels_are_bounded(void **state) {
    static const uint64_t taps[] = {1026, 1 << 16, 8, 21};
    struct kokoro_spec spec = kokoro_spec_minimal();
    for (size_t i = 0; i < 4; i++) {
        struct tensor_file tensors = {0};
        kokoro_build(&spec, 1, &tensors);
        struct ut_tensor *tensor = tensor_file_find(&tensors, "decoder.generator.ups.0.weight");
        uint64_t dims[UT_MAX_DIMS] = {tensor->dims[0], tensor->dims[1], taps[i]};
        tensor_file_reshape(tensor, dims);
        expect_refusal(&tensors, &spec, "decoder.generator.ups.0.weight");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_block_must_not_double_the_rate),
        cmocka_unit_test(rates_multiply_without_wrapping),
        cmocka_unit_test(kernels_are_bounded),
        cmocka_unit_test(upsampling_kernels_are_bounded),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
