/* A Piper voice in a GGUF file: what is written beside the tensors, and files that contradict it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "models/piper/piper.h"
#include "models/piper/piper_import.h"
#include "support/speak.h"

static struct ut_mem mem;
static struct ut_compute compute;
static char path[64];

static int setup(void **state) {
    ut_mem_init(&mem, NULL);
    strcpy(path, "/tmp/utter-test-XXXXXX");
    int fd = mkstemp(path);
    return fd < 0 || close(fd) != 0 ||
                   speak_compute_open(&mem, ut_cpu_level_best(), 1, &compute, NULL) != UTTER_OK
               ? -1
               : 0;
}

static int teardown(void **state) {
    speak_compute_close(&compute);
    return unlink(path);
}

static void import_fixture(const char *name) {
    char file[4096];
    snprintf(file, sizeof file, "%s/%s", getenv("UT_TEST_DATA"), name);
    struct ut_import import = {
        .mem = &mem, .compute = &compute, .file = file, .out_path = path, .keep_type = true};
    utter_import_result result = {.size = sizeof result};
    utter_error err;
    if (ut_piper_import(&import, &result, &err) != UTTER_OK) {
        fail_msg("%s", err.message);
    }
}

static void what_shapes_do_not_tell(void **state) {
    struct ut_weights *weights;
    const char *text;
    int64_t number;
    utter_error err;
    import_fixture("piper/tiny.onnx");
    assert_int_equal(ut_weights_open(&mem, path, &weights, &err), UTTER_OK);
    assert_true(ut_piper_detect(weights));
    assert_int_equal(ut_gguf_get_string(weights, UT_PIPER_GGUF_CONFIG, &text, &err), UTTER_OK);
    assert_non_null(strstr(text, "\"phoneme_id_map\""));
    assert_int_equal(ut_gguf_get_string(weights, UT_PIPER_GGUF_AFFINE, &text, &err), UTTER_OK);
    assert_int_equal(ut_gguf_get_int(weights, "piper.dec.ups.0.stride", &number, &err), UTTER_OK);
    assert_true(number > 1);
    assert_non_null(ut_weights_find(weights, "enc_p.emb.weight"));
    assert_null(ut_weights_find(weights, "sid"));
    ut_weights_close(weights);
}

/* Copies the imported voice with one key changed, and opens it. */
struct change {
    const char *key;    /* left out unless one of the following is given */
    const char *string; /* instead */
    uint32_t number;    /* instead, when not 0 */
    const char *words;
};

static utter_status copy_metadata(const struct ut_weights *weights, const struct change *change,
                                  struct ut_gguf_writer *writer, utter_error *err) {
    utter_status status = UTTER_OK;
    for (size_t i = 0; i < ut_weights_n_metadata(weights) && status == UTTER_OK; i++) {
        const char *key, *value;
        int64_t number;
        ut_weights_metadata(weights, i, &key, &value);
        if (strcmp(key, change->key) == 0) {
            continue;
        }
        status = ut_gguf_get_int(weights, key, &number, NULL) == UTTER_OK
                     ? ut_gguf_put_uint32(writer, key, (uint32_t)number, err)
                     : ut_gguf_put_string(writer, key, value, err);
    }
    if (status == UTTER_OK && change->string) {
        status = ut_gguf_put_string(writer, change->key, change->string, err);
    }
    return status == UTTER_OK && change->number
               ? ut_gguf_put_uint32(writer, change->key, change->number, err)
               : status;
}

static void write_changed(const struct ut_weights *weights, const struct change *change,
                          const char *to) {
    struct ut_gguf_writer *writer;
    utter_error err;
    assert_int_equal(ut_gguf_writer_create(&mem, to, &writer, &err), UTTER_OK);
    utter_status status = copy_metadata(weights, change, writer, &err);
    for (size_t i = 0; i < ut_weights_count(weights) && status == UTTER_OK; i++) {
        status = ut_gguf_put_tensor(writer, ut_weights_at(weights, i), &err);
    }
    for (size_t i = 0; i < ut_weights_count(weights) && status == UTTER_OK; i++) {
        const struct ut_tensor *tensor = ut_weights_at(weights, i);
        status = ut_gguf_put_data(writer, tensor->data, tensor->n_bytes, &err);
    }
    status = status ? status : ut_gguf_writer_finish(writer, &err);
    ut_gguf_writer_destroy(writer);
    if (status != UTTER_OK) {
        fail_msg("%s", err.message);
    }
}

static void files_that_contradict(void **state) {
    static const struct change cases[] = {
        {"no.such.key", NULL, 0, NULL}, /* unchanged: opens */
        {UT_PIPER_GGUF_CONFIG, NULL, 0, UT_PIPER_GGUF_CONFIG},
        {UT_PIPER_GGUF_CONFIG, "{", 0, "JSON"},
        {UT_PIPER_GGUF_CONFIG, NULL, 5, UT_PIPER_GGUF_CONFIG},
        {UT_PIPER_GGUF_AFFINE, NULL, 0, UT_PIPER_GGUF_AFFINE},
        {UT_PIPER_GGUF_AFFINE, "sideways", 0, "\"sideways\": it must be logs"},
        {"piper.dec.ups.0.stride", NULL, 100000, "piper.dec.ups.0.stride is 100000"},
        {"piper.dec.ups.0.stride", "eight", 0, "piper.dec.ups.0.stride"},
        {"piper.dec.ups.0.stride", NULL, 3, "dec.ups.0"},
        {"piper.dec.resblocks.0.convs.0.dilation", NULL, 4096, "dec.resblocks.0.convs.0"},
    };
    struct ut_weights *weights;
    char changed[80];
    utter_error err;
    import_fixture("piper/tiny.onnx");
    snprintf(changed, sizeof changed, "%s.gguf", path);
    assert_int_equal(ut_weights_open(&mem, path, &weights, &err), UTTER_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ut_piper *model;
        err = (utter_error){UTTER_OK, ""};
        write_changed(weights, &cases[i], changed);
        utter_status status = ut_piper_open(&mem, &compute, changed, NULL, &model, &err);
        assert_true((status == UTTER_OK) == !cases[i].words);
        if (cases[i].words && !strstr(err.message, cases[i].words)) {
            fail_msg("case %zu: %s", i, err.message);
        }
        ut_piper_close(model);
        unlink(changed);
    }
    ut_weights_close(weights);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_shapes_do_not_tell),
        cmocka_unit_test(files_that_contradict),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
