/* GGUF files whose weights are stored in 8 bits, wrong in one place: refused while they are loaded,
 * with a message that names the tensor, or spoken as their values say. Never another sound than the
 * one that was stored, and never NaN. */
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

#include "base/checked.h"
#include "models/kokoro/kokoro_import.h"
#include "models/kokoro/layout.h"
#include "models/piper/piper_import.h"
#include "support/kokoro_speak.h"
#include "support/speak.h"
#include "support/tensor_file.h"
#include "weights/gguf.h"

enum { N_STYLE = 64 };

/* What a model was imported to, and what is said with it. */
struct model {
    const char *config_key, *source;
    struct ut_weights *weights;
    struct byte_buffer config;
};

static struct model piper = {.config_key = UT_PIPER_GGUF_CONFIG, .source = "piper/tiny.onnx"};
static struct model kokoro = {.config_key = UT_KOKORO_GGUF_CONFIG,
                              .source = "kokoro/kokoro-v1_0.pth"};
static struct ut_mem mem;
static struct ut_compute compute;
static char folder[64], out_path[96];

/* ---- Files ------------------------------------------------------------------------------------
 */

static void import_model(struct model *model) {
    char file[1024], path[96];
    struct ut_import import = {
        .mem = &mem, .compute = &compute, .file = file, .out_path = path, .type = UT_I8};
    utter_import_result result = {.size = sizeof result};
    utter_error err;
    const char *text;
    snprintf(file, sizeof file, "%s/%s", getenv("UT_TEST_DATA"), model->source);
    snprintf(path, sizeof path, "%s/sound.gguf", folder);
    if ((model == &piper ? ut_piper_import : ut_kokoro_import)(&import, &result, &err) ||
        ut_weights_open(&mem, path, &model->weights, &err) ||
        ut_gguf_get_string(model->weights, model->config_key, &text, &err)) {
        fail_msg("%s: %s", file, err.message);
    }
    byte_buffer_append(&model->config, text, strlen(text));
    unlink(path);
}

static int setup(void **state) {
    utter_error err;
    ut_mem_init(&mem, NULL);
    strcpy(folder, "/tmp/utter-test-XXXXXX");
    if (!mkdtemp(folder) || speak_compute_open(&mem, ut_cpu_level_best(), 1, &compute, &err)) {
        return -1;
    }
    snprintf(out_path, sizeof out_path, "%s/changed.gguf", folder);
    import_model(&piper);
    import_model(&kokoro);
    return 0;
}

static void close_model(struct model *model) {
    ut_weights_close(model->weights);
    byte_buffer_free(&model->config);
}

static int teardown(void **state) {
    close_model(&piper);
    close_model(&kokoro);
    speak_compute_close(&compute);
    for (int i = 0; i < UT_MEM_N_OWNERS; i++) {
        if (mem.bytes[i] != 0) {
            return -1;
        }
    }
    return rmdir(folder);
}

static utter_status put_metadata(struct ut_gguf_writer *gguf, const struct ut_weights *weights,
                                 const char *key, utter_error *err) {
    const char *const *strings, *text;
    int64_t number;
    size_t n;
    if (ut_gguf_get_strings(weights, key, &strings, &n, err) == UTTER_OK) {
        return ut_gguf_put_strings(gguf, key, strings, n, err);
    }
    if (ut_gguf_get_int(weights, key, &number, err) == UTTER_OK) {
        return ut_gguf_put_uint32(gguf, key, (uint32_t)number, err);
    }
    utter_status status = ut_gguf_get_string(weights, key, &text, err);
    return status ? status : ut_gguf_put_string(gguf, key, text, err);
}

/* The model's metadata with other tensors, at out_path. */
static void write_file(const struct model *model, const struct tensor_file *tensors) {
    struct ut_gguf_writer *gguf;
    utter_error err = {0};
    const char *key, *value;
    utter_status status = ut_gguf_writer_create(&mem, out_path, &gguf, &err);
    for (size_t i = 0; i < ut_weights_n_metadata(model->weights) && !status; i++) {
        ut_weights_metadata(model->weights, i, &key, &value);
        status = put_metadata(gguf, model->weights, key, &err);
    }
    for (size_t i = 0; i < tensors->n && !status; i++) {
        status = ut_gguf_put_tensor(gguf, &tensors->tensors[i], &err);
    }
    for (size_t i = 0; i < tensors->n && !status; i++) {
        const struct ut_tensor *tensor = &tensors->tensors[i];
        status = ut_gguf_put_data(gguf, tensor->data, tensor->n_bytes, &err);
    }
    status = status ? status : ut_gguf_writer_finish(gguf, &err);
    ut_gguf_writer_destroy(gguf);
    if (status) {
        fail_msg("%s", err.message);
    }
}

/* ---- Speaking ----------------------------------------------------------------------------------
 */

struct outcome {
    utter_status status;
    bool loaded, sound;
    char message[sizeof((utter_error *)0)->message];
    uint64_t hash; /* of the samples */
};

static uint64_t hash_of(const float *samples, size_t n) {
    uint64_t hash = n;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &samples[i], sizeof bits);
        hash = (hash ^ bits) * UINT64_C(0x100000001b3);
    }
    return hash;
}

static struct outcome speak_piper(const struct byte_buffer *file) {
    struct speech speech = {0};
    struct ut_piper_request request = speak_request();
    speak(&mem, &compute, file, &piper.config, &request, &speech);
    struct outcome outcome = {.status = speech.status,
                              .loaded = speech.step > SPEAK_LOAD,
                              .sound = speech_is_sound(&speech),
                              .hash = hash_of(speech.samples, speech.n_samples)};
    snprintf(outcome.message, sizeof outcome.message, "%s", speech.err.message);
    speech_free(&speech);
    return outcome;
}

static struct outcome speak_kokoro(const struct byte_buffer *file) {
    struct kokoro_speech speech = {0};
    struct ut_kokoro_request request = kokoro_request();
    kokoro_speak(&mem, &compute, file, &kokoro.config, &request, N_STYLE, &speech);
    struct outcome outcome = {.status = speech.status,
                              .loaded = speech.step > KOKORO_LOAD,
                              .sound = kokoro_speech_is_sound(&speech),
                              .hash = hash_of(speech.samples, speech.n_samples)};
    snprintf(outcome.message, sizeof outcome.message, "%s", speech.err.message);
    kokoro_speech_free(&speech);
    return outcome;
}

/* Writes the tensors, frees them and speaks with the file, in the arithmetic that it asks for. */
static struct outcome try_file(const struct model *model, struct tensor_file *tensors,
                               enum ut_precision precision) {
    struct byte_buffer file = {0};
    write_file(model, tensors);
    byte_buffer_read_file(&file, out_path);
    compute.precision = precision;
    struct outcome outcome = model == &piper ? speak_piper(&file) : speak_kokoro(&file);
    byte_buffer_free(&file);
    tensor_file_free(tensors);
    unlink(out_path);
    return outcome;
}

static struct tensor_file tensors_of(const struct model *model) {
    struct tensor_file tensors = {0};
    tensor_file_read(&tensors, model->weights);
    return tensors;
}

static struct ut_tensor *find_scale(struct tensor_file *tensors, const char *of) {
    char name[128];
    snprintf(name, sizeof name, "%s.scale", of);
    return tensor_file_find(tensors, name);
}

/* In 8 bits and in float the same refusal, whose message begins with `words` behind "tensor NAME".
 */
static void expect_refusal(const struct model *model, struct tensor_file *tensors,
                           utter_status wanted, const char *name, const char *words) {
    char message[256];
    struct tensor_file same = {0};
    snprintf(message, sizeof message, "tensor %s%s", name, words);
    for (size_t i = 0; i < tensors->n; i++) {
        tensor_file_copy(&same, tensors->tensors[i].name, &tensors->tensors[i]);
    }
    for (int i = 0; i < 2; i++) {
        struct outcome outcome =
            try_file(model, i ? &same : tensors, i ? UT_PRECISION_F32 : UT_PRECISION_AUTO);
        if (outcome.loaded || outcome.status != wanted || !strstr(outcome.message, message)) {
            fail_msg("%s: status %d: \"%s\" does not say \"%s\"", model->source, outcome.status,
                     outcome.message, message);
        }
    }
}

/* ---- Scales ------------------------------------------------------------------------------------
 */

/* A convolution, a part of a layer that is split, and a transposed convolution. */
static const struct {
    const struct model *model;
    const char *name;
    bool transposed;
} weights[] = {
    {&piper, "dec.resblocks.1.convs.0.weight", false},
    {&piper, "flow.flows.0.enc.res_skip_layers.0.weight", false},
    {&piper, "dec.ups.1.weight", true},
    {&kokoro, "decoder.decode.1.conv2.weight", false},
    {&kokoro, "decoder.generator.resblocks.2.convs1.1.weight", false},
    {&kokoro, "decoder.generator.ups.1.weight", true},
};

static void sound_files(void **state) {
    struct tensor_file tensors = tensors_of(&piper);
    struct outcome a = try_file(&piper, &tensors, UT_PRECISION_AUTO);
    tensors = tensors_of(&kokoro);
    struct outcome b = try_file(&kokoro, &tensors, UT_PRECISION_AUTO);
    assert_true(a.loaded && a.status == UTTER_OK && a.sound);
    assert_true(b.loaded && b.status == UTTER_OK && b.sound);
    for (size_t i = 0; i < UT_COUNT(weights); i++) {
        tensors = tensors_of(weights[i].model);
        assert_int_equal(tensor_file_find(&tensors, weights[i].name)->type, UT_I8);
        tensor_file_free(&tensors);
    }
}

static void scale_is_missing(void **state) {
    for (size_t i = 0; i < UT_COUNT(weights); i++) {
        struct tensor_file tensors = tensors_of(weights[i].model);
        tensor_file_remove(&tensors, find_scale(&tensors, weights[i].name)->name);
        expect_refusal(weights[i].model, &tensors, UTTER_ERROR_UNSUPPORTED, weights[i].name,
                       " is i8 and has no scales, the tensor ");
    }
}

/* One too many or too few, all numbers of a transposed convolution's inputs, none but one. */
static void scale_of_another_length(void **state) {
    for (size_t i = 0; i < UT_COUNT(weights); i++) {
        for (int way = 0; way < 4; way++) {
            struct tensor_file tensors = tensors_of(weights[i].model);
            struct ut_tensor *scale = find_scale(&tensors, weights[i].name);
            uint64_t n = scale->dims[0],
                     n_in =
                         tensor_file_find(&tensors, weights[i].name)->dims[!weights[i].transposed];
            uint64_t lengths[] = {n - 1, n + 1, n_in == n ? 2 * n : n_in, 1};
            char words[64];
            tensor_file_reshape(scale, (const uint64_t[UT_MAX_DIMS]){lengths[way]});
            snprintf(words, sizeof words, ".scale has %d values of type f32, expected f32",
                     (int)lengths[way]);
            expect_refusal(weights[i].model, &tensors, UTTER_ERROR_FORMAT, weights[i].name, words);
        }
    }
}

static void scale_of_another_type(void **state) {
    static const enum ut_dtype types[] = {UT_F16, UT_BF16, UT_I64, UT_I8};
    for (size_t i = 0; i < UT_COUNT(weights); i++) {
        for (size_t j = 0; j < UT_COUNT(types); j++) {
            struct tensor_file tensors = tensors_of(weights[i].model);
            struct ut_tensor *scale = find_scale(&tensors, weights[i].name);
            char words[64];
            snprintf(words, sizeof words, ".scale has %d values of type %s", (int)scale->dims[0],
                     ut_dtype_name(types[j]));
            if (types[j] == UT_I8) { /* with a scale of its own */
                tensor_file_store_int8(&tensors, scale, false);
            } else {
                tensor_file_convert(scale, types[j]);
            }
            expect_refusal(weights[i].model, &tensors, UTTER_ERROR_FORMAT, weights[i].name, words);
        }
    }
}

static void scale_that_is_no_step(void **state) {
    static const float values[] = {0, -0.0f, -1e-3f, NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < UT_COUNT(weights); i++) {
        for (size_t j = 0; j < UT_COUNT(values); j++) {
            struct tensor_file tensors = tensors_of(weights[i].model);
            struct ut_tensor *scale = find_scale(&tensors, weights[i].name);
            size_t at = (i + j) % 2 ? (size_t)scale->dims[0] - 1 : 0;
            char words[64];
            ((float *)(uintptr_t)scale->data)[at] = values[j];
            snprintf(words, sizeof words, ".scale: value %zu is ", at);
            expect_refusal(weights[i].model, &tensors, UTTER_ERROR_FORMAT, weights[i].name, words);
        }
    }
}

/* Steps that are positive numbers, but no weight has them: what cannot be computed is an error. */
static void scale_of_another_size(void **state) {
    static const float values[] = {1e-45f, 1e-38f, 1e10f, 1e36f, 3e38f};
    for (size_t i = 0; i < UT_COUNT(weights); i++) {
        for (size_t j = 0; j < UT_COUNT(values); j++) {
            for (int precision = UT_PRECISION_F32; precision <= UT_PRECISION_INT8; precision++) {
                struct tensor_file tensors = tensors_of(weights[i].model);
                struct ut_tensor *scale = find_scale(&tensors, weights[i].name);
                float *steps = (float *)(uintptr_t)scale->data;
                for (uint64_t o = 0; o < scale->dims[0]; o++) {
                    steps[o] = values[j];
                }
                struct outcome outcome =
                    try_file(weights[i].model, &tensors, (enum ut_precision)precision);
                assert_true(outcome.sound);
                assert_true(outcome.status == UTTER_OK || outcome.message[0]);
                assert_false(outcome.loaded && values[j] > 1e38f);
            }
        }
    }
}

/* ---- Weights -----------------------------------------------------------------------------------
 */

static void least_value(void **state) {
    for (size_t i = 0; i < UT_COUNT(weights); i++) {
        struct tensor_file tensors = tensors_of(weights[i].model);
        struct ut_tensor *weight = tensor_file_find(&tensors, weights[i].name);
        ((int8_t *)(uintptr_t)weight->data)[5] = -128;
        expect_refusal(weights[i].model, &tensors, UTTER_ERROR_FORMAT, weights[i].name,
                       ": value 5 is -128");
    }
}

/* With scales of its own and without. */
static void where_floats_are_needed(void **state) {
    static const struct {
        const struct model *model;
        const char *name, *words;
    } cases[] = {
        {&piper, "enc_p.emb.weight", " is i8 where floats are needed"},
        {&piper, "enc_p.encoder.norm_layers_1.0.gamma", " is i8 where floats are needed"},
        {&piper, "dp.convs.convs_sep.0.weight", " is i8 where floats are needed"},
        {&piper, "dp.flows.0.logs", " is i8 where floats are needed"},
        {&piper, "dec.resblocks.1.convs.0.bias", " is i8 where floats are needed"},
        {&piper, "dec.conv_post.weight", " is i8 where floats are needed"},
        {&kokoro, "bert.embeddings.word_embeddings.weight", " is i8 where floats are needed"},
        {&kokoro, "bert.embeddings.LayerNorm.weight", " is i8 where floats are needed"},
        {&kokoro, "text_encoder.cnn.0.1.gamma", " is i8 where floats are needed"},
        {&kokoro, "predictor.lstm.bias_ih_l0", " is i8 where floats are needed"},
        {&kokoro, "decoder.generator.resblocks.2.convs1.1.bias", " is i8 where floats are needed"},
        {&kokoro, "decoder.generator.resblocks.2.alpha1.1", " is i8 where floats are needed"},
        {&kokoro, "decoder.decode.3.pool.weight", " is i8 where floats are needed"},
    };
    for (size_t i = 0; i < UT_COUNT(cases); i++) {
        for (int scaled = 0; scaled < 2; scaled++) {
            struct tensor_file tensors = tensors_of(cases[i].model);
            tensor_file_store_int8(&tensors, tensor_file_find(&tensors, cases[i].name), false);
            if (!scaled) {
                tensor_file_remove(&tensors, find_scale(&tensors, cases[i].name)->name);
            }
            expect_refusal(cases[i].model, &tensors, UTTER_ERROR_UNSUPPORTED, cases[i].name,
                           cases[i].words);
        }
    }
}

/* The floats that a tensor in 8 bits stands for in its place, times `factor`. */
static void expand(struct tensor_file *tensors, const char *name, bool transposed, float factor) {
    struct ut_tensor *weight = tensor_file_find(tensors, name);
    const float *steps = find_scale(tensors, name)->data;
    const int8_t *q = weight->data;
    float *values = test_alloc(weight->n_bytes * sizeof *values);
    size_t n_ch = (size_t)weight->dims[transposed];
    size_t n_inner = transposed ? (size_t)weight->dims[2] : weight->n_bytes / n_ch;
    for (size_t i = 0; i < weight->n_bytes; i++) {
        values[i] = (float)q[i] * steps[i / n_inner % n_ch] * factor;
    }
    free((void *)(uintptr_t)weight->data);
    weight->data = values;
    weight->type = UT_F32;
    weight->n_bytes *= sizeof *values;
}

/* A layer that is in float always may be stored in 8 bits all the same: it speaks as the floats
 * that they stand for. */
static void other_layers_may_be_stored_so(void **state) {
    static const struct {
        const struct model *model;
        const char *name;
    } cases[] = {
        {&piper, "enc_p.encoder.attn_layers.0.conv_q.weight"},
        {&piper, "enc_p.proj.weight"},
        {&kokoro, "bert.layer.ffn.weight"},
        {&kokoro, "predictor.shared.weight_hh_l0"},
        {&kokoro, "text_encoder.cnn.1.0.weight"},
    };
    for (size_t i = 0; i < UT_COUNT(cases); i++) {
        struct outcome outcomes[3];
        for (int way = 0; way < 3; way++) {
            struct tensor_file tensors = tensors_of(cases[i].model);
            tensor_file_store_int8(&tensors, tensor_file_find(&tensors, cases[i].name), false);
            if (way > 0) {
                expand(&tensors, cases[i].name, false, way == 1 ? 1 : 1.01f);
                tensor_file_remove(&tensors, find_scale(&tensors, cases[i].name)->name);
            }
            outcomes[way] = try_file(cases[i].model, &tensors, UT_PRECISION_AUTO);
            assert_true(outcomes[way].status == UTTER_OK && outcomes[way].sound);
        }
        assert_true(outcomes[0].hash == outcomes[1].hash);
        assert_true(outcomes[0].hash != outcomes[2].hash); /* the layer is heard */
    }
}

/* Scales beside weights that have none, or beside nothing. */
static void scales_of_nothing(void **state) {
    static const struct {
        const struct model *model;
        const char *of, *words;
    } cases[] = {
        {&piper, "enc_p.proj.weight", ".scale belongs to weights in 8 bits"},
        {&piper, "dec.resblocks.9.convs.0.weight", ".scale belongs to weights in 8 bits"},
        {&kokoro, "bert.layer.ffn.weight", ".scale belongs to weights in 8 bits"},
        {&kokoro, "decoder.F0_conv.bias", ".scale belongs to weights in 8 bits"},
    };
    static const float step = 1000;
    for (size_t i = 0; i < UT_COUNT(cases); i++) {
        struct tensor_file tensors = tensors_of(cases[i].model);
        char name[128];
        snprintf(name, sizeof name, "%s.scale", cases[i].of);
        tensor_file_add(&tensors, name, (const uint64_t[UT_MAX_DIMS]){1}, &step);
        expect_refusal(cases[i].model, &tensors, UTTER_ERROR_FORMAT, cases[i].of, cases[i].words);
    }
}

/* A weight in floats whose scale was left behind, which would round it to nothing. */
static void weight_that_is_float_again(void **state) {
    for (size_t i = 0; i < UT_COUNT(weights); i++) {
        struct tensor_file tensors = tensors_of(weights[i].model);
        expand(&tensors, weights[i].name, weights[i].transposed, 1);
        ((float *)(uintptr_t)find_scale(&tensors, weights[i].name)->data)[0] = 1e9f;
        expect_refusal(weights[i].model, &tensors, UTTER_ERROR_FORMAT, weights[i].name,
                       ".scale belongs to weights in 8 bits");
    }
}

/* The voice in 8 bits cannot be used, the other one can; its scales are taken for a voice. */
static void voices_are_floats(void **state) {
    static const char name[] = UT_KOKORO_GGUF_VOICE_PREFIX "af_synth";
    for (int scaled = 0; scaled < 2; scaled++) {
        struct tensor_file tensors = tensors_of(&kokoro);
        struct ut_kokoro *model;
        struct ut_kokoro_blend blend;
        float style[N_STYLE];
        utter_error err;
        tensor_file_store_int8(&tensors, tensor_file_find(&tensors, name), false);
        if (!scaled) {
            tensor_file_remove(&tensors, find_scale(&tensors, name)->name);
        }
        write_file(&kokoro, &tensors);
        tensor_file_free(&tensors);
        utter_status status = ut_kokoro_open(&mem, &compute, out_path, NULL, &model, &err);
        unlink(out_path);
        if (scaled) {
            assert_int_equal(status, UTTER_ERROR_FORMAT);
            assert_non_null(strstr(err.message, "voice af_synth.scale has a table of [510]"));
            continue;
        }
        assert_int_equal(status, UTTER_OK);
        const struct ut_kokoro_voices *voices = ut_kokoro_get_voices(model);
        assert_int_equal(ut_kokoro_blend_parse(voices, "af_synth", &blend, &err), UTTER_OK);
        assert_int_equal(ut_kokoro_style(voices, &blend, 5, style, &err), UTTER_ERROR_FORMAT);
        assert_non_null(strstr(err.message, "voice af_synth is stored as i8, expected f32"));
        assert_int_equal(ut_kokoro_blend_parse(voices, "bm_synth", &blend, &err), UTTER_OK);
        assert_int_equal(ut_kokoro_style(voices, &blend, 5, style, &err), UTTER_OK);
        ut_kokoro_close(model);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_files),
        cmocka_unit_test(scale_is_missing),
        cmocka_unit_test(scale_of_another_length),
        cmocka_unit_test(scale_of_another_type),
        cmocka_unit_test(scale_that_is_no_step),
        cmocka_unit_test(scale_of_another_size),
        cmocka_unit_test(least_value),
        cmocka_unit_test(where_floats_are_needed),
        cmocka_unit_test(other_layers_may_be_stored_so),
        cmocka_unit_test(scales_of_nothing),
        cmocka_unit_test(weight_that_is_float_again),
        cmocka_unit_test(voices_are_floats),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
