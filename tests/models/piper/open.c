/* Finding the files of a voice: by file, by folder, and what is said when something is missing. */
#include <limits.h>
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

#include "support/onnx_writer.h"
#include "support/speak.h"
#include "support/voice_builder.h"

struct fixture {
    struct ut_mem mem;
    struct ut_compute compute;
    char folder[64];
    struct byte_buffer onnx, json, house, house_json;
    utter_error err;
};

static int setup(void **state) {
    static struct fixture f;
    struct voice voice;
    f = (struct fixture){0};
    strcpy(f.folder, "/tmp/utter-open-XXXXXX");
    ut_mem_init(&f.mem, NULL);
    struct voice_spec spec = voice_spec_tiny();
    voice_build(&voice, &spec, 1);
    voice_write_onnx(&voice, NULL, &f.onnx);
    voice_write_json(&voice, &f.json);
    voice_free(&voice);
    spec = voice_spec_house(true);
    voice_build(&voice, &spec, 1);
    voice_write_safetensors(&voice, true, &f.house);
    voice_write_json(&voice, &f.house_json);
    voice_free(&voice);
    *state = &f;
    return !mkdtemp(f.folder) || speak_compute_open(&f.mem, UT_CPU_SCALAR, 1, &f.compute, &f.err);
}

static int teardown(void **state) {
    struct fixture *f = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", f->folder);
    speak_compute_close(&f->compute);
    byte_buffer_free(&f->onnx);
    byte_buffer_free(&f->json);
    byte_buffer_free(&f->house);
    byte_buffer_free(&f->house_json);
    return system(command);
}

static const char *path_of(struct fixture *f, const char *name) {
    static char path[256];
    snprintf(path, sizeof path, "%s%s%s", f->folder, *name ? "/" : "", name);
    return path;
}

static void put(struct fixture *f, const char *name, const struct byte_buffer *bytes) {
    byte_buffer_write_file(bytes, path_of(f, name));
}

static utter_status open_voice(struct fixture *f, const char *name) {
    struct ut_piper *model;
    utter_status status =
        ut_piper_open(&f->mem, &f->compute, path_of(f, name), NULL, &model, &f->err);
    assert_true((status == UTTER_OK) == (model != NULL));
    ut_piper_close(model);
    assert_int_equal(f->mem.bytes[UT_MEM_WEIGHTS], 0);
    return status;
}

static void expect(struct fixture *f, const char *name, utter_status status, const char *message) {
    assert_int_equal(open_voice(f, name), status);
    assert_non_null(strstr(f->err.message, message));
}

static void files_and_folders_open(void **state) {
    struct fixture *f = *state;
    put(f, "a.onnx", &f->onnx);
    put(f, "a.onnx.json", &f->json);
    assert_int_equal(open_voice(f, "a.onnx"), UTTER_OK);
    assert_int_equal(open_voice(f, ""), UTTER_OK);
    put(f, "b.onnx", &f->onnx);
    expect(f, "", UTTER_ERROR_ARGUMENT, "2 voices");
    unlink(path_of(f, "a.onnx"));
    unlink(path_of(f, "b.onnx"));
    put(f, "voice.safetensors", &f->house);
    put(f, "voice.json", &f->house_json);
    assert_int_equal(open_voice(f, ""), UTTER_OK);
    assert_int_equal(open_voice(f, "voice.safetensors"), UTTER_OK);
}

static void what_is_missing_is_named(void **state) {
    struct fixture *f = *state;
    expect(f, "none.onnx", UTTER_ERROR_NOT_FOUND, "none.onnx");
    expect(f, "", UTTER_ERROR_NOT_FOUND, "no voice in this folder");
    put(f, "a.onnx", &f->onnx);
    expect(f, "a.onnx", UTTER_ERROR_NOT_FOUND, "a.onnx.json is missing");
    struct byte_buffer empty = {0};
    put(f, "a.onnx.json", &empty);
    expect(f, "a.onnx", UTTER_ERROR_FORMAT, "a.onnx.json");
    struct byte_buffer junk = {(uint8_t *)(uintptr_t) "{\"audio\": 5}", 12, 12};
    put(f, "a.onnx.json", &junk);
    expect(f, "a.onnx", UTTER_ERROR_FORMAT, "a.onnx");
    put(f, "a.onnx.json", &f->json);
    assert_int_equal(open_voice(f, "a.onnx"), UTTER_OK);
    put(f, "a.onnx", &empty);
    assert_int_not_equal(open_voice(f, "a.onnx"), UTTER_OK);
    put(f, "a.onnx", &f->json);
    assert_int_not_equal(open_voice(f, "a.onnx"), UTTER_OK);
}

static void overlong_path_is_refused(void **state) {
    struct fixture *f = *state;
    static char path[PATH_MAX + 10];
    struct ut_piper *model;
    memset(path, 'x', sizeof path - 1);
    assert_int_equal(ut_piper_open(&f->mem, &f->compute, path, NULL, &model, &f->err),
                     UTTER_ERROR_ARGUMENT);
    assert_null(model);
}

/* Each input of a node that looks like the durations' affine step names the tensor of its logs once
 * more. */
static void a_node_with_inputs_without_end(void **state) {
    enum { N_INPUTS = 3000 };
    static const char *inputs[N_INPUTS + 1]; /* NULL behind the last */
    struct fixture *f = *state;
    struct byte_buffer file = {0};
    for (int i = 0; i < N_INPUTS; i++) {
        inputs[i] = "logs";
    }
    onnx_write_model_header(&file, 8, "pytorch", "1.13.1");
    size_t graph = pb_begin(&file, ONNX_MODEL_GRAPH);
    onnx_write_node(&file, &(struct onnx_node_spec){
                               .op_type = "Exp", .inputs = inputs, .outputs = NAMES("factor")});
    onnx_write_tensor(&file, ONNX_GRAPH_INITIALIZER,
                      &(struct onnx_tensor_spec){.name = "logs",
                                                 .data_type = ONNX_FLOAT,
                                                 .dims = (const int64_t[]){2, 1},
                                                 .n_dims = 2,
                                                 .float_data = (const float[]){0, 0},
                                                 .n_float_data = 2});
    onnx_write_value_info(&file, ONNX_GRAPH_INPUT, "input", ONNX_INT64, (const int64_t[]){1, -1},
                          2);
    pb_end(&file, graph);
    onnx_write_opset(&file, "", 15);
    put(f, "many.onnx", &file);
    put(f, "many.onnx.json", &f->json);
    expect(f, "many.onnx", UTTER_ERROR_FORMAT, "many.onnx");
    byte_buffer_free(&file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_and_folders_open, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_missing_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(overlong_path_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_node_with_inputs_without_end, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
