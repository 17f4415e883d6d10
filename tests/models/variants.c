/* Variants of a model by their names, and the order in which they are tried. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "models/variants.h"
#include "support/failing_allocator.h"

static char folder[64];
static struct ut_mem mem;

static int setup(void **state) {
    ut_mem_init(&mem, NULL);
    strcpy(folder, "/tmp/utter-variants-XXXXXX");
    return !mkdtemp(folder);
}

static int teardown(void **state) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) || mem.bytes[UT_MEM_OTHER];
}

static const char *path_of(const char *name) {
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void put(const char *name, size_t n_bytes) {
    FILE *file = fopen(path_of(name), "wb");
    assert_non_null(file);
    fclose(file);
    assert_int_equal(truncate(path_of(name), (off_t)n_bytes), 0);
}

static void names_tell_the_precision(void **state) {
    static const struct {
        const char *name;
        enum ut_variant_kind precision;
    } cases[] = {
        {"model.onnx", UT_VARIANT_ORIGINAL},
        {"kokoro-v1_0.pth", UT_VARIANT_ORIGINAL}, /* "0" without bits before it */
        {"en_US-amy-medium.onnx", UT_VARIANT_ORIGINAL},
        {"m.onnx", UT_VARIANT_ORIGINAL},
        {"q4.onnx", UT_VARIANT_ORIGINAL}, /* the whole name is no ending */
        {"model_fp16.onnx", UT_VARIANT_HALF},
        {"Kokoro_espeak_F16.gguf", UT_VARIANT_HALF},
        {"kokoro.bf16.gguf", UT_VARIANT_HALF},
        {"model_f32.onnx", UT_VARIANT_ORIGINAL},
        {"model_q4.onnx", UT_VARIANT_QUANTIZED},
        {"model_q4f16.onnx", UT_VARIANT_QUANTIZED},
        {"model_q8f16.onnx", UT_VARIANT_QUANTIZED},
        {"model_uint8f16.onnx", UT_VARIANT_QUANTIZED},
        {"model_quantized.onnx", UT_VARIANT_QUANTIZED},
        {"Kokoro_no_espeak_Q5.gguf", UT_VARIANT_QUANTIZED},
        {"kokoro-q4_k_m.gguf", UT_VARIANT_QUANTIZED},
        {"voice-int8.onnx", UT_VARIANT_QUANTIZED},
        {"a/q4/model.onnx", UT_VARIANT_ORIGINAL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (ut_variant_kind_of(cases[i].name) != cases[i].precision) {
            fail_msg("%s", cases[i].name);
        }
    }
}

static void others_are_tried_in_order(void **state) {
    static const char *const order[] = {"model_q8f16.onnx", "model_q4.onnx", "model_fp16.onnx",
                                        "model.onnx",       "model_q4.gguf", "model.gguf"};
    struct ut_variants variants;
    put("model.onnx", 400);
    put("model_q4.onnx", 100);
    put("model_q8f16.onnx", 120);
    put("model_fp16.onnx", 200);
    put("model_uint8.onnx", 110);
    put("model.gguf", 390); /* of another format: after all of the same */
    put("model_q4.gguf", 80);
    put("model2_q4.onnx", 90); /* another model */
    put("model_q4.onnx.json", 9);
    mkdir(path_of("model_f16.onnx"), 0700);
    assert_int_equal(ut_variants_find(&mem, path_of("model_uint8.onnx"), &variants, NULL),
                     UTTER_OK);
    assert_int_equal(variants.n, 6);
    for (size_t i = 0; i < 6; i++) {
        assert_string_equal(variants.items[i].path, path_of(order[i]));
    }
    assert_int_equal(variants.items[3].n_bytes, 400);
    ut_variants_free(&variants);
    assert_int_equal(ut_variants_find(&mem, path_of("alone.pth"), &variants, NULL), UTTER_OK);
    assert_int_equal(variants.n, 0);
    ut_variants_free(&variants);
}

static void a_folder_of_variants_has_a_best(void **state) {
    char path[PATH_MAX];
    utter_error err;
    assert_int_equal(ut_variants_best(&mem, folder, UT_VARIANT_ANY, path, &err),
                     UTTER_ERROR_NOT_FOUND);
    put("Kokoro_espeak_Q4.gguf", 10);
    put("Kokoro_espeak_Q8.gguf", 20);
    assert_int_equal(ut_variants_best(&mem, folder, UT_VARIANT_ANY, path, &err), UTTER_OK);
    assert_string_equal(path, path_of("Kokoro_espeak_Q8.gguf")); /* the larger of equal precision */
    put("Kokoro_espeak_F16.gguf", 15);
    assert_int_equal(ut_variants_best(&mem, folder, UT_VARIANT_ANY, path, &err), UTTER_OK);
    assert_string_equal(path, path_of("Kokoro_espeak_F16.gguf"));
    put("Kokoro_no_espeak_Q4.gguf", 10);
    assert_int_equal(ut_variants_best(&mem, folder, UT_VARIANT_ANY, path, &err),
                     UTTER_ERROR_NOT_FOUND);
    assert_non_null(strstr(err.message, "different models"));
    assert_int_equal(ut_variants_best(&mem, "/not/there", UT_VARIANT_ANY, path, &err),
                     UTTER_ERROR_IO);
}

static const char *best(enum ut_variant_format preferred) {
    static char path[PATH_MAX];
    utter_error err;
    bool found = ut_variants_best(&mem, folder, preferred, path, &err) == UTTER_OK;
    return found ? strrchr(path, '/') + 1 : "";
}

static void of_two_formats_one_is_preferred(void **state) {
    put("voice.onnx", 400);
    put("voice_q8.onnx", 100);
    assert_string_equal(best(UT_VARIANT_OWN), "voice.onnx"); /* there is no other */
    put("voice_q4.gguf", 50);
    assert_string_equal(best(UT_VARIANT_ANY), "voice_q4.gguf");
    assert_string_equal(best(UT_VARIANT_OWN), "voice_q4.gguf");
    assert_string_equal(best(UT_VARIANT_ONNX), "voice.onnx");
    put("voice.pth", 300);
    assert_string_equal(best(UT_VARIANT_ANY), "voice.pth");
    assert_string_equal(best(UT_VARIANT_ONNX), "voice.onnx");
    put("Kokoro_espeak_Q4.gguf", 60); /* of another name */
    assert_string_equal(best(UT_VARIANT_ANY), "");
    assert_string_equal(best(UT_VARIANT_OWN), "");
    assert_string_equal(best(UT_VARIANT_ONNX), "voice.onnx");
}

static void no_memory_is_an_error(void **state) {
    struct failing_allocator failing;
    utter_allocator allocator = failing_allocator_start(&failing);
    struct ut_mem scarce;
    struct ut_variants variants;
    char path[PATH_MAX];
    ut_mem_init(&scarce, &allocator);
    failing_allocator_reset(&failing, 1, true);
    assert_int_equal(ut_variants_find(&scarce, path_of("a.onnx"), &variants, NULL),
                     UTTER_ERROR_MEMORY);
    assert_int_equal(ut_variants_best(&scarce, folder, UT_VARIANT_ANY, path, NULL),
                     UTTER_ERROR_MEMORY);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_tell_the_precision),
        cmocka_unit_test_setup_teardown(of_two_formats_one_is_preferred, setup, teardown),
        cmocka_unit_test_setup_teardown(others_are_tried_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(a_folder_of_variants_has_a_best, setup, teardown),
        cmocka_unit_test_setup_teardown(no_memory_is_an_error, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
