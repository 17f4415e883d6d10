/* Lexicons of a Kokoro model: rules inside a GGUF file, misaki's files in either place, and what is
 * damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/kokoro_lexicon.h"
#include "weights/gguf.h"

static struct ut_mem mem;
static const struct ut_log silent;
static char path[64];

static int setup(void **state) {
    ut_mem_init(&mem, NULL);
    strcpy(path, "/tmp/utter-test-XXXXXX");
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state) {
    unlink(path);
    for (int i = 0; i < UT_MEM_N_OWNERS; i++) {
        if (mem.bytes[i] != 0) {
            return -1;
        }
    }
    return 0;
}

/* A file whose "phonemizer.type" is given, with n_values dictionary values for two words. */
static struct ut_weights *write_rules(uint32_t type, size_t n_values, const char *left_out) {
    static const char *const strings[] = {"a", "b", "c"};
    static const struct {
        const char *key;
        size_t n;
    } arrays[] = {
        {"phonemizer.graphemes", 3},         {"phonemizer.rules.keys", 2},
        {"phonemizer.rules.phonemes", 2},    {"phonemizer.dictionary.keys", 2},
        {"phonemizer.dictionary.values", 0},
    };
    struct ut_gguf_writer *writer;
    struct ut_weights *weights = NULL;
    utter_error err;
    assert_int_equal(ut_gguf_writer_create(&mem, path, &writer, &err), UTTER_OK);
    utter_status status = ut_gguf_put_uint32(writer, "phonemizer.type", type, &err);
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays && status == UTTER_OK; i++) {
        if (strcmp(arrays[i].key, left_out) != 0) {
            status = ut_gguf_put_strings(writer, arrays[i].key, strings,
                                         arrays[i].n ? arrays[i].n : n_values, &err);
        }
    }
    status = status ? status : ut_gguf_writer_finish(writer, &err);
    ut_gguf_writer_destroy(writer);
    status = status ? status : ut_weights_open(&mem, path, &weights, &err);
    if (status != UTTER_OK) {
        fail_msg("%s", err.message);
    }
    return weights;
}

static void rules_are_for_english(void **state) {
    struct ut_kokoro_lexicons *lexicons;
    const struct ut_lexicon *american, *british, *french;
    utter_error err;
    struct ut_weights *weights = write_rules(0, 2, "");
    assert_int_equal(ut_kokoro_lexicons_create(&mem, path, weights, &silent, &lexicons, &err),
                     UTTER_OK);
    ut_weights_close(weights); /* copied */
    assert_int_equal(ut_kokoro_lexicons_get(lexicons, 'a', &american, &err), UTTER_OK);
    assert_int_equal(ut_kokoro_lexicons_get(lexicons, 'b', &british, &err), UTTER_OK);
    assert_int_equal(ut_kokoro_lexicons_get(lexicons, 'f', &french, &err), UTTER_OK);
    assert_non_null(american);
    assert_ptr_equal(american, british);
    assert_null(french);
    struct ut_text_buffer phonemes = {.mem = &mem};
    size_t n_unknown = 0;
    assert_int_equal(
        ut_lexicon_phonemize(american, "a", 1, NULL, NULL, &phonemes, &n_unknown, &err), UTTER_OK);
    assert_true(phonemes.n > 0);
    ut_text_buffer_free(&phonemes);
    ut_kokoro_lexicons_destroy(lexicons);
}

static void espeak_models_have_none(void **state) {
    struct ut_kokoro_lexicons *lexicons;
    const struct ut_lexicon *lexicon;
    utter_error err;
    struct ut_weights *weights = write_rules(1, 2, "");
    for (int gguf = 0; gguf < 2; gguf++) {
        assert_int_equal(
            ut_kokoro_lexicons_create(&mem, path, gguf ? weights : NULL, &silent, &lexicons, &err),
            UTTER_OK);
        assert_int_equal(ut_kokoro_lexicons_get(lexicons, 'a', &lexicon, &err), UTTER_OK);
        assert_null(lexicon);
        ut_kokoro_lexicons_destroy(lexicons);
    }
    ut_weights_close(weights);
    ut_kokoro_lexicons_destroy(NULL);
}

static void rules_that_contradict(void **state) {
    struct ut_kokoro_lexicons *lexicons;
    utter_error err;
    struct ut_weights *weights = write_rules(0, 1, "");
    assert_int_equal(ut_kokoro_lexicons_create(&mem, path, weights, &silent, &lexicons, &err),
                     UTTER_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "2 words have 1 values"));
    assert_null(lexicons);
    ut_weights_close(weights);
    weights = write_rules(0, 2, "phonemizer.graphemes");
    assert_int_equal(ut_kokoro_lexicons_create(&mem, path, weights, &silent, &lexicons, &err),
                     UTTER_ERROR_NOT_FOUND);
    assert_non_null(strstr(err.message, "phonemizer.graphemes"));
    ut_weights_close(weights);
}

/* ---- misaki's files ------------------------------------------------------------------------- */

static void put(const char *folder, const char *name, const char *text) {
    char file[160];
    snprintf(file, sizeof file, "%s/%s", folder, name);
    FILE *out = fopen(file, "wb");
    assert_non_null(out);
    fputs(text, out);
    fclose(out);
}

static void drop(const char *folder, const char *name) {
    char file[160];
    snprintf(file, sizeof file, "%s/%s", folder, name);
    assert_int_equal(unlink(file), 0);
}

static struct ut_kokoro_lexicons *open_beside(const char *folder) {
    struct ut_kokoro_lexicons *lexicons;
    char model[160];
    utter_error err;
    snprintf(model, sizeof model, "%s/kokoro.pth", folder);
    assert_int_equal(ut_kokoro_lexicons_create(&mem, model, NULL, &silent, &lexicons, &err),
                     UTTER_OK);
    return lexicons;
}

/* Beside the model, else in lexicon/ beside it; each accent by itself, once. */
static void files_in_either_place(void **state) {
    static const char words[] = "{\"hello\": \"h\u0259l\u02c8O\"}";
    char folder[] = "/tmp/utter-test-XXXXXX", inner[64];
    assert_non_null(mkdtemp(folder));
    snprintf(inner, sizeof inner, "%s/lexicon", folder);
    assert_int_equal(mkdir(inner, 0700), 0);
    put(folder, "us_gold.json", words);
    put(inner, "gb_gold.json", words);
    const struct ut_lexicon *american, *british, *again, *other;
    utter_error err;
    struct ut_kokoro_lexicons *lexicons = open_beside(folder);
    assert_int_equal(ut_kokoro_lexicons_get(lexicons, 'a', &american, &err), UTTER_OK);
    assert_int_equal(ut_kokoro_lexicons_get(lexicons, 'b', &british, &err), UTTER_OK);
    assert_int_equal(ut_kokoro_lexicons_get(lexicons, 'e', &other, &err), UTTER_OK);
    assert_true(american && british && american != british && !other);
    drop(folder, "us_gold.json");
    assert_int_equal(ut_kokoro_lexicons_get(lexicons, 'a', &again, &err), UTTER_OK);
    assert_ptr_equal(again, american);
    ut_kokoro_lexicons_destroy(lexicons);
    lexicons = open_beside(folder);
    assert_int_equal(ut_kokoro_lexicons_get(lexicons, 'a', &american, &err), UTTER_OK);
    assert_null(american);
    ut_kokoro_lexicons_destroy(lexicons);
    drop(inner, "gb_gold.json");
    rmdir(inner);
    rmdir(folder);
}

static void damaged_files_are_told_of(void **state) {
    char folder[] = "/tmp/utter-test-XXXXXX";
    const struct ut_lexicon *lexicon;
    utter_error err;
    assert_non_null(mkdtemp(folder));
    put(folder, "us_gold.json", "{\"hello\": ");
    struct ut_kokoro_lexicons *lexicons = open_beside(folder);
    for (int i = 0; i < 2; i++) { /* also the second time */
        assert_int_equal(ut_kokoro_lexicons_get(lexicons, 'a', &lexicon, &err), UTTER_ERROR_FORMAT);
        assert_non_null(strstr(err.message, "us_gold.json"));
        assert_null(lexicon);
    }
    ut_kokoro_lexicons_destroy(lexicons);
    drop(folder, "us_gold.json");
    rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_are_for_english),     cmocka_unit_test(espeak_models_have_none),
        cmocka_unit_test(rules_that_contradict),     cmocka_unit_test(files_in_either_place),
        cmocka_unit_test(damaged_files_are_told_of),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
