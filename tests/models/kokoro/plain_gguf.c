/* A GGUF file in utter's own layout: tensors, configuration and voices come back as they went in.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "models/kokoro/config.h"
#include "models/kokoro/layout.h"
#include "models/kokoro/voices.h"
#include "support/tensor_file.h"
#include "weights/gguf.h"
#include "weights/temp_folder.h"

enum { N_CANONICAL = 457, STYLE = 64 };

static struct ut_mem mem;
static struct ut_weights *checkpoint;
static struct ut_kokoro_tensors *tensors; /* of the checkpoint */
static struct tensor_file contents;
static const char *config_text;
static struct byte_buffer config_file;

static const char *data_path(const char *name) {
    static char path[1024];
    snprintf(path, sizeof path, "%s/kokoro/%s", getenv("UT_TEST_DATA"), name);
    return path;
}

static void add_voice(const char *file, const char *name) {
    struct ut_weights *weights;
    utter_error err;
    assert_int_equal(ut_weights_open(&mem, data_path(file), &weights, &err), UTTER_OK);
    tensor_file_copy(&contents, name, ut_weights_at(weights, 0));
    ut_weights_close(weights);
}

static int open_all(void **state) {
    utter_error err;
    ut_mem_init(&mem, NULL);
    temp_folder_create();
    byte_buffer_read_file(&config_file, data_path("config.json"));
    byte_buffer_append_u8(&config_file, 0);
    config_text = (const char *)config_file.data;
    if (ut_weights_open(&mem, data_path("kokoro-v1_0.pth"), &checkpoint, &err) ||
        ut_kokoro_tensors_create(&mem, checkpoint, &tensors, &err)) {
        fail_msg("%s", err.message);
    }
    for (size_t i = 0; i < ut_kokoro_tensors_count(tensors); i++) {
        const struct ut_tensor *tensor;
        const char *name = ut_kokoro_tensors_name(tensors, i);
        assert_int_equal(ut_kokoro_tensor_get(tensors, name, &tensor, &err), UTTER_OK);
        tensor_file_copy(&contents, name, tensor);
    }
    add_voice("voices/af_synth.pt", UT_KOKORO_GGUF_VOICE_PREFIX "af_synth");
    add_voice("voices/bm_synth.pt", UT_KOKORO_GGUF_VOICE_PREFIX "bm_synth");
    add_voice("voices/bm_synth.pt", UT_KOKORO_GGUF_VOICE_PREFIX "no/name");
    return 0;
}

static int close_all(void **state) {
    tensor_file_free(&contents);
    byte_buffer_free(&config_file);
    ut_kokoro_tensors_destroy(tensors);
    ut_weights_close(checkpoint);
    temp_folder_remove();
    return 0;
}

static void write_file(const char *architecture, const char *config) {
    static const char *const voices[] = {"af_synth", "bm_synth"};
    struct ut_gguf_writer *w;
    utter_error err;
    assert_int_equal(ut_gguf_writer_create(&mem, temp_path("m.gguf"), &w, &err), UTTER_OK);
    assert_int_equal(ut_gguf_put_string(w, "general.architecture", architecture, &err), UTTER_OK);
    assert_int_equal(ut_gguf_put_string(w, UT_KOKORO_GGUF_CONFIG, config, &err), UTTER_OK);
    assert_int_equal(ut_gguf_put_strings(w, UT_KOKORO_GGUF_VOICES, voices, 2, &err), UTTER_OK);
    for (size_t i = 0; i < contents.n; i++) {
        assert_int_equal(ut_gguf_put_tensor(w, &contents.tensors[i], &err), UTTER_OK);
    }
    for (size_t i = 0; i < contents.n; i++) {
        const struct ut_tensor *t = &contents.tensors[i];
        assert_int_equal(ut_gguf_put_data(w, t->data, t->n_bytes, &err), UTTER_OK);
    }
    assert_int_equal(ut_gguf_writer_finish(w, &err), UTTER_OK);
    ut_gguf_writer_destroy(w);
}

static struct ut_weights *open_file(void) {
    struct ut_weights *weights;
    utter_error err;
    if (ut_weights_open(&mem, temp_path("m.gguf"), &weights, &err)) {
        fail_msg("%s", err.message);
    }
    return weights;
}

static void same_tensors(void **state) {
    struct ut_kokoro_tensors *again;
    utter_error err;
    write_file(UT_KOKORO_GGUF_ARCHITECTURE, config_text);
    struct ut_weights *weights = open_file();
    assert_true(ut_kokoro_detect(weights));
    assert_int_equal(ut_kokoro_tensors_create(&mem, weights, &again, &err), UTTER_OK);
    assert_int_equal(ut_kokoro_tensors_layout(again), UT_KOKORO_PLAIN);
    assert_int_equal(ut_kokoro_tensors_count(again), N_CANONICAL);
    for (size_t i = 0; i < N_CANONICAL; i++) {
        const char *name = ut_kokoro_tensors_name(tensors, i);
        const struct ut_tensor *a, *b;
        assert_string_equal(ut_kokoro_tensors_name(again, i), name);
        assert_int_equal(ut_kokoro_tensor_get(tensors, name, &a, &err), UTTER_OK);
        assert_int_equal(ut_kokoro_tensor_get(again, name, &b, &err), UTTER_OK);
        assert_int_equal(a->n_dims, b->n_dims);
        assert_memory_equal(a->dims, b->dims, sizeof a->dims);
        assert_int_equal(a->n_bytes, b->n_bytes);
        assert_memory_equal(a->data, b->data, a->n_bytes);
        ut_kokoro_tensor_drop(again, b);
    }
    ut_kokoro_tensors_destroy(again);
    ut_weights_close(weights);
}

static void same_configuration(void **state) {
    struct ut_kokoro_config a, b;
    utter_error err;
    write_file(UT_KOKORO_GGUF_ARCHITECTURE, config_text);
    struct ut_weights *weights = open_file();
    assert_int_equal(ut_kokoro_config_parse(&mem, config_text, strlen(config_text), &a, &err),
                     UTTER_OK);
    assert_int_equal(ut_kokoro_config_from_gguf(&mem, weights, &b, &err), UTTER_OK);
    assert_int_equal(b.style_dim, 32);
    assert_int_equal(b.max_dur, 50);
    assert_int_equal(a.n_symbols, b.n_symbols);
    assert_memory_equal(a.symbols, b.symbols, a.n_symbols * sizeof *a.symbols);
    ut_kokoro_config_free(&a);
    ut_kokoro_config_free(&b);
    ut_weights_close(weights);
}

static void refused_configuration(void **state) {
    struct ut_kokoro_config c;
    utter_error err;
    write_file(UT_KOKORO_GGUF_ARCHITECTURE, "{\"n_token\": -1}");
    struct ut_weights *weights = open_file();
    assert_int_equal(ut_kokoro_config_from_gguf(&mem, weights, &c, &err), UTTER_ERROR_FORMAT);
    assert_string_equal(err.message, "the key \"" UT_KOKORO_GGUF_CONFIG
                                     "\": \"n_token\" must be an integer in 1..4096");
    assert_null(c.symbols);
    ut_weights_close(weights);
}

static void other_architectures(void **state) {
    write_file("llama", config_text);
    struct ut_weights *weights = open_file();
    assert_false(ut_kokoro_detect(weights));
    ut_weights_close(weights);
}

static void voices_inside(void **state) {
    struct ut_kokoro_voices *voices;
    struct ut_kokoro_blend blend;
    float style[STYLE];
    utter_error err;
    write_file(UT_KOKORO_GGUF_ARCHITECTURE, config_text);
    struct ut_weights *weights = open_file();
    assert_int_equal(
        ut_kokoro_voices_open(&mem, temp_path("m.gguf"), weights, STYLE, NULL, &voices, &err),
        UTTER_OK);
    assert_int_equal(ut_kokoro_voices_count(voices), 2); /* "no/name" is left out */
    assert_int_equal(ut_kokoro_blend_parse(voices, "af_synth", &blend, &err), UTTER_OK);
    assert_int_equal(ut_kokoro_style(voices, &blend, 3, style, &err), UTTER_OK);
    const struct ut_tensor *table =
        tensor_file_find(&contents, UT_KOKORO_GGUF_VOICE_PREFIX "af_synth");
    assert_memory_equal(style, (const float *)table->data + 2 * STYLE, sizeof style);
    ut_kokoro_voices_close(voices);
    ut_weights_close(weights);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_tensors),          cmocka_unit_test(same_configuration),
        cmocka_unit_test(refused_configuration), cmocka_unit_test(other_architectures),
        cmocka_unit_test(voices_inside),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
