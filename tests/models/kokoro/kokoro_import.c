/* The same model from a torch file and from a safetensors file becomes the same GGUF file, byte for
 * byte, with config.json word for word. Through the public interface: tests/speech/import.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "models/kokoro/kokoro_import.h"
#include "models/kokoro/layout.h"
#include "support/byte_buffer.h"
#include "support/speak.h"

static struct ut_mem mem;
static struct ut_compute compute;
static char folder[64];

static int setup(void **state) {
    ut_mem_init(&mem, NULL);
    strcpy(folder, "/tmp/utter-test-XXXXXX");
    return mkdtemp(folder) &&
                   speak_compute_open(&mem, ut_cpu_level_best(), 1, &compute, NULL) == UTTER_OK
               ? 0
               : -1;
}

static int teardown(void **state) {
    speak_compute_close(&compute);
    for (int i = 0; i < UT_MEM_N_OWNERS; i++) {
        if (mem.bytes[i] != 0) {
            return -1;
        }
    }
    return rmdir(folder);
}

static const char *data(const char *name) {
    static char path[2][4096];
    static int next;
    next = !next;
    snprintf(path[next], sizeof path[next], "%s/kokoro/%s", getenv("UT_TEST_DATA"), name);
    return path[next];
}

static const char *ours(const char *name) {
    static char path[4][128];
    static int next;
    next = (next + 1) % 4;
    snprintf(path[next], sizeof path[next], "%s/%s", folder, name);
    return path[next];
}

static void link_here(const char *name) {
    char *target = realpath(data(name), NULL);
    assert_non_null(target);
    assert_int_equal(symlink(target, ours(name)), 0);
    free(target);
}

/* The torch file's tensors under its own names. */
static void write_safetensors(const char *path) {
    struct ut_weights *weights;
    utter_error err;
    assert_int_equal(ut_weights_open(&mem, data("kokoro-v1_0.pth"), &weights, &err), UTTER_OK);
    size_t n = ut_weights_count(weights);
    struct ut_tensor *tensors = calloc(n, sizeof *tensors);
    void **copies = calloc(n, sizeof *copies);
    assert_true(tensors && copies);
    for (size_t i = 0; i < n; i++) {
        tensors[i] = *ut_weights_at(weights, i);
        copies[i] = malloc(tensors[i].n_bytes + 1); /* at its natural alignment */
        assert_non_null(copies[i]);
        memcpy(copies[i], tensors[i].data, tensors[i].n_bytes);
        tensors[i].data = copies[i];
    }
    if (ut_safetensors_write(path, tensors, n, &err) != UTTER_OK) {
        fail_msg("%s", err.message);
    }
    for (size_t i = 0; i < n; i++) {
        free(copies[i]);
    }
    free(copies);
    free(tensors);
    ut_weights_close(weights);
}

static struct byte_buffer import(const char *file) {
    struct byte_buffer out = {0};
    struct ut_import import = {.mem = &mem,
                               .compute = &compute,
                               .file = file,
                               .out_path = ours("new.gguf"),
                               .keep_type = true};
    utter_import_result result = {.size = sizeof result};
    utter_error err;
    if (ut_kokoro_import(&import, &result, &err) != UTTER_OK) {
        fail_msg("%s: %s", file, err.message);
    }
    byte_buffer_read_file(&out, ours("new.gguf"));
    assert_int_equal(out.n, result.bytes_out);
    return out;
}

static void every_format_gives_the_same_file(void **state) {
    char path[128];
    snprintf(path, sizeof path, "%s", ours("kokoro-v1_0.safetensors"));
    link_here("config.json");
    assert_int_equal(mkdir(ours("voices"), 0700), 0);
    link_here("voices/af_synth.pt");
    link_here("voices/bm_synth.pt");
    write_safetensors(path);
    struct byte_buffer torch = import(data("kokoro-v1_0.pth")), safetensors = import(path);
    assert_int_equal(torch.n, safetensors.n);
    assert_true(memcmp(torch.data, safetensors.data, torch.n) == 0);
    byte_buffer_free(&torch);
    byte_buffer_free(&safetensors);
    static const char *const names[] = {"new.gguf", "kokoro-v1_0.safetensors", "config.json",
                                        "voices/af_synth.pt", "voices/bm_synth.pt"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        unlink(ours(names[i]));
    }
    rmdir(ours("voices"));
}

static void what_is_in_it(void **state) {
    struct ut_weights *weights;
    const char *config;
    const char *const *voices;
    struct byte_buffer json = {0};
    size_t n;
    utter_error err;
    struct byte_buffer file = import(data("kokoro-v1_0.pth"));
    assert_int_equal(ut_weights_open(&mem, ours("new.gguf"), &weights, &err), UTTER_OK);
    assert_true(ut_kokoro_detect(weights));
    byte_buffer_read_file(&json, data("config.json"));
    assert_int_equal(ut_gguf_get_string(weights, UT_KOKORO_GGUF_CONFIG, &config, &err), UTTER_OK);
    assert_int_equal(strlen(config), json.n);
    assert_memory_equal(config, json.data, json.n);
    byte_buffer_free(&json);
    assert_int_equal(ut_gguf_get_strings(weights, UT_KOKORO_GGUF_VOICES, &voices, &n, &err),
                     UTTER_OK);
    assert_true(n == 2 && strcmp(voices[1], "bm_synth") == 0);
    const struct ut_tensor *table = ut_weights_find(weights, "voices.af_synth");
    assert_non_null(table);
    assert_true(table->type == UT_F32 && table->n_dims == 2 && table->dims[0] == 510 &&
                table->dims[1] == 64);
    assert_non_null(ut_weights_find(weights, "bert.layer.attention.query.weight"));
    ut_weights_close(weights);
    byte_buffer_free(&file);
    unlink(ours("new.gguf"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format_gives_the_same_file),
        cmocka_unit_test(what_is_in_it),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
