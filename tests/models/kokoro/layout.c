/* Kokoro's tensors under canonical names, from every spelling of the checkpoint's names. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"
#include "models/kokoro/layout.h"
#include "support/failing_allocator.h"
#include "support/tensor_file.h"

static struct ut_mem mem;

/* ---- A handful of tensors, spelled in every way ------------------------------------------------
 */

static const struct {
    const char *part, *key;
    uint64_t dims[UT_MAX_DIMS];
} handful[] = {
    {"bert", "embeddings.position_ids", {1, 6}},
    {"bert", "embeddings.token_type_embeddings.weight", {2, 4}},
    {"bert", "encoder.albert_layer_groups.0.albert_layers.0.attention.query.weight", {4, 4}},
    {"bert", "pooler.weight", {4, 4}},
    {"bert_encoder", "weight", {3, 4}},
    {"predictor", "duration_proj.linear_layer.weight", {5, 3}},
    {"predictor", "lstm.weight_ih_l0", {8, 3}},
    {"decoder", "generator.ups.0.weight_g", {2, 1, 1}},
    {"decoder", "generator.ups.0.weight_v", {2, 3, 4}},
    {"decoder", "generator.resblocks.10.alpha1.2", {1, 4, 1}},
    {"text_encoder", "embedding.weight", {5, 3}},
};

static const char *const handful_names[] = {
    /* sorted */
    "bert.embeddings.token_type_embeddings.weight",
    "bert.layer.attention.query.weight",
    "bert_encoder.weight",
    "decoder.generator.resblocks.10.alpha1.2",
    "decoder.generator.ups.0.weight",
    "predictor.duration_proj.linear_layer.weight",
    "predictor.lstm.weight_ih_l0",
    "text_encoder.embedding.weight",
};

static void build_handful(struct tensor_file *file, const char *between) {
    for (size_t i = 0; i < UT_COUNT(handful); i++) {
        char name[128];
        snprintf(name, sizeof name, "%s%s%s", handful[i].part, between, handful[i].key);
        tensor_file_add(file, name, handful[i].dims, NULL);
    }
}

struct opened {
    struct byte_buffer bytes;
    struct ut_weights *weights;
    struct ut_kokoro_tensors *tensors;
    utter_status status;
    utter_error err;
};

static void open_file(const struct tensor_file *file, struct opened *out) {
    *out = (struct opened){0};
    tensor_file_write_safetensors(file, &out->bytes);
    if (ut_weights_parse(&mem, out->bytes.data, out->bytes.n, &out->weights, &out->err)) {
        fail_msg("%s", out->err.message);
    }
    out->status = ut_kokoro_tensors_create(&mem, out->weights, &out->tensors, &out->err);
}

static void close_file(struct opened *opened) {
    ut_kokoro_tensors_destroy(opened->tensors);
    ut_weights_close(opened->weights);
    byte_buffer_free(&opened->bytes);
}

static const struct ut_tensor *get(struct opened *opened, const char *name) {
    const struct ut_tensor *tensor = NULL;
    if (ut_kokoro_tensor_get(opened->tensors, name, &tensor, &opened->err)) {
        fail_msg("%s", opened->err.message);
    }
    assert_string_equal(tensor->name, name);
    return tensor;
}

static void every_spelling(void **state) {
    static const char *const between[] = {".", ".module.", "/", "/module."};
    for (size_t s = 0; s < UT_COUNT(between); s++) {
        struct tensor_file file = {0};
        struct opened opened;
        build_handful(&file, between[s]);
        open_file(&file, &opened);
        assert_int_equal(opened.status, UTTER_OK);
        assert_true(ut_kokoro_detect(opened.weights));
        assert_int_equal(ut_kokoro_tensors_layout(opened.tensors), UT_KOKORO_TORCH);
        assert_int_equal(ut_kokoro_tensors_count(opened.tensors), UT_COUNT(handful_names));
        for (size_t i = 0; i < UT_COUNT(handful_names); i++) {
            assert_string_equal(ut_kokoro_tensors_name(opened.tensors, i), handful_names[i]);
            assert_true(ut_kokoro_tensor_exists(opened.tensors, handful_names[i]));
            ut_kokoro_tensor_drop(opened.tensors, get(&opened, handful_names[i]));
        }
        assert_false(ut_kokoro_tensor_exists(opened.tensors, "bert.pooler.weight"));
        close_file(&opened);
        tensor_file_free(&file);
    }
}

static void values_and_shapes(void **state) {
    struct tensor_file file = {0};
    struct opened opened;
    build_handful(&file, "/module.");
    open_file(&file, &opened);
    const struct ut_tensor *plain = get(&opened, "bert_encoder.weight");
    assert_int_equal(plain->type, UT_F32);
    assert_int_equal(plain->n_dims, 2);
    assert_int_equal(plain->dims[0], 3);
    assert_int_equal(plain->dims[1], 4);
    assert_int_equal(plain->n_bytes, 12 * sizeof(float));
    float last;
    memcpy(&last, (const char *)plain->data + 11 * sizeof last, sizeof last);
    assert_true(last == 12.0f);
    assert_ptr_equal(plain, get(&opened, "bert_encoder.weight"));
    ut_kokoro_tensor_drop(opened.tensors, plain);

    const struct ut_tensor *folded = get(&opened, "decoder.generator.ups.0.weight");
    assert_int_equal(folded->n_dims, 3);
    assert_int_equal(folded->dims[0], 2);
    assert_int_equal(folded->dims[1], 3);
    assert_int_equal(folded->dims[2], 4);
    const float *w = folded->data;
    for (int r = 0; r < 2; r++) {
        double sum = 0;
        for (int i = 0; i < 12; i++) {
            double v = 12 * r + i + 1;
            sum += v * v;
        }
        for (int i = 0; i < 12; i++) { /* g is r + 1 */
            double wanted = (r + 1) * (12 * r + i + 1) / sqrt(sum);
            assert_true(fabs(w[12 * r + i] - wanted) <= 6e-8 * wanted);
        }
    }
    close_file(&opened); /* frees what was not dropped */
    tensor_file_free(&file);
}

static void parametrized_weight_norm(void **state) {
    struct tensor_file file = {0}, other = {0};
    struct opened a, b;
    build_handful(&file, ".module.");
    build_handful(&other, ".module.");
    tensor_file_rename(tensor_file_find(&other, "decoder.module.generator.ups.0.weight_g"),
                       "decoder.module.generator.ups.0.parametrizations.weight.original0");
    tensor_file_rename(tensor_file_find(&other, "decoder.module.generator.ups.0.weight_v"),
                       "decoder.module.generator.ups.0.parametrizations.weight.original1");
    open_file(&file, &a);
    open_file(&other, &b);
    assert_memory_equal(get(&a, "decoder.generator.ups.0.weight")->data,
                        get(&b, "decoder.generator.ups.0.weight")->data, 24 * sizeof(float));
    close_file(&a);
    close_file(&b);
    tensor_file_free(&file);
    tensor_file_free(&other);
}

static void plain_names(void **state) {
    struct tensor_file file = {0}, plain = {0};
    struct opened opened, again;
    build_handful(&file, "/module.");
    open_file(&file, &opened);
    for (size_t i = 0; i < UT_COUNT(handful_names); i++) {
        tensor_file_copy(&plain, handful_names[i], get(&opened, handful_names[i]));
    }
    open_file(&plain, &again);
    assert_int_equal(again.status, UTTER_OK);
    assert_true(ut_kokoro_detect(again.weights));
    assert_int_equal(ut_kokoro_tensors_layout(again.tensors), UT_KOKORO_PLAIN);
    for (size_t i = 0; i < UT_COUNT(handful_names); i++) {
        const struct ut_tensor *a = get(&opened, handful_names[i]);
        const struct ut_tensor *b = get(&again, handful_names[i]);
        assert_int_equal(a->n_dims, b->n_dims);
        assert_memory_equal(a->dims, b->dims, sizeof a->dims);
        assert_memory_equal(a->data, b->data, a->n_bytes);
    }
    close_file(&opened);
    close_file(&again);
    tensor_file_free(&file);
    tensor_file_free(&plain);
}

/* ---- The checkpoint ----------------------------------------------------------------------------
 */

enum { N_RAW = 549, N_NORMS = 89, N_UNUSED = 3 /* position_ids and the pooler's two */ };

static struct ut_weights *open_checkpoint(void) {
    char path[1024];
    struct ut_weights *weights;
    utter_error err;
    snprintf(path, sizeof path, "%s/kokoro/kokoro-v1_0.pth", getenv("UT_TEST_DATA"));
    if (ut_weights_open(&mem, path, &weights, &err)) {
        fail_msg("%s", err.message);
    }
    return weights;
}

/* The canonical name as docs/models/kokoro.md explains it, by plain replacement. */
static void expected_name(const char *raw, char out[160]) {
    static const char layer[] = "encoder.albert_layer_groups.0.albert_layers.0.";
    const char *module = strstr(raw, "/module.");
    assert_non_null(module);
    const char *key = module + strlen("/module."), *at = strstr(key, layer);
    snprintf(out, 160, "%.*s.%s%s", (int)(module - raw), raw, at ? "layer." : "",
             at ? at + strlen(layer) : key);
    size_t n = strlen(out);
    if (strcmp(out + n - 2, "_v") == 0) {
        out[n - 2] = '\0';
    }
}

static void expect_folded(const struct ut_tensor *folded, const float *v, const float *g) {
    size_t n_rows = (size_t)folded->dims[0], n = folded->n_bytes / sizeof(float) / n_rows;
    const float *w = folded->data;
    for (size_t r = 0; r < n_rows; r++) {
        double sum = 0;
        for (size_t i = 0; i < n; i++) {
            sum += (double)v[r * n + i] * v[r * n + i];
        }
        for (size_t i = 0; i < n; i++) {
            double wanted = (double)g[r] * v[r * n + i] / sqrt(sum);
            /* Half a unit in the last place of the one rounding. */
            assert_true(fabs(w[r * n + i] - wanted) <= 6e-8 * fabs(wanted) + 1e-45);
        }
    }
}

static void every_tensor_of_the_checkpoint(void **state) {
    struct ut_weights *weights = open_checkpoint();
    struct opened opened = {.weights = weights};
    size_t n_views = 0, n_folded = 0;
    assert_int_equal(ut_weights_count(weights), N_RAW);
    assert_int_equal(ut_kokoro_tensors_create(&mem, weights, &opened.tensors, &opened.err),
                     UTTER_OK);
    assert_int_equal(ut_kokoro_tensors_count(opened.tensors), N_RAW - N_NORMS - N_UNUSED);
    for (size_t i = 0; i < N_RAW; i++) {
        const struct ut_tensor *raw = ut_weights_at(weights, i);
        char name[160], magnitudes[160];
        size_t n = strlen(raw->name);
        if (strstr(raw->name, "pooler") || strstr(raw->name, "position_ids") ||
            strcmp(raw->name + n - 2, "_g") == 0) {
            continue;
        }
        expected_name(raw->name, name);
        const struct ut_tensor *tensor = get(&opened, name);
        assert_int_equal(tensor->n_dims, raw->n_dims);
        assert_memory_equal(tensor->dims, raw->dims, sizeof raw->dims);
        if (strcmp(raw->name + n - 2, "_v") == 0) {
            strcpy(magnitudes, raw->name);
            magnitudes[n - 1] = 'g';
            const struct ut_tensor *g = ut_weights_find(weights, magnitudes);
            float *values = test_alloc(raw->n_bytes + g->n_bytes);
            float *rows = values + raw->n_bytes / sizeof *values;
            memcpy(values, raw->data, raw->n_bytes);
            memcpy(rows, g->data, g->n_bytes);
            expect_folded(tensor, values, rows);
            free(values);
            n_folded++;
        } else {
            assert_ptr_equal(tensor->data, raw->data);
            n_views++;
        }
        ut_kokoro_tensor_drop(opened.tensors, tensor);
    }
    assert_int_equal(n_folded, N_NORMS);
    assert_int_equal(n_views + n_folded, ut_kokoro_tensors_count(opened.tensors));
    close_file(&opened);
}

/* ---- What is refused ---------------------------------------------------------------------------
 */

static void expect_refused(struct tensor_file *file, const char *message) {
    struct opened opened;
    open_file(file, &opened);
    assert_int_equal(opened.status, UTTER_ERROR_FORMAT);
    assert_string_equal(opened.err.message, message);
    assert_null(opened.tensors);
    close_file(&opened);
    tensor_file_free(file);
}

static void refused_tables(void **state) {
    struct tensor_file file = {0};
    build_handful(&file, "/module.");
    tensor_file_add(&file, "bert_encoder.weight", (uint64_t[]){3, 4, 0, 0}, NULL);
    expect_refused(&file, "tensor bert_encoder.weight stands twice: as bert_encoder.weight and as "
                          "bert_encoder/module.weight");
    build_handful(&file, "/module.");
    tensor_file_add(&file, "decoder/module.generator.ups.0.weight", (uint64_t[]){2, 3, 4, 0}, NULL);
    expect_refused(&file, "tensor decoder.generator.ups.0.weight stands twice: as "
                          "decoder/module.generator.ups.0.weight and as "
                          "decoder/module.generator.ups.0.weight_g");
    build_handful(&file, "/module.");
    tensor_file_remove(&file, "decoder/module.generator.ups.0.weight_v");
    expect_refused(&file,
                   "the file has 1 of the 2 tensors that make up decoder.generator.ups.0.weight "
                   "(one is decoder/module.generator.ups.0.weight_g)");
    build_handful(&file, "/module.");
    tensor_file_find(&file, "decoder/module.generator.ups.0.weight_v")->n_dims = 2;
    tensor_file_find(&file, "decoder/module.generator.ups.0.weight_v")->dims[1] = 12;
    expect_refused(&file,
                   "tensor decoder/module.generator.ups.0.weight_v has 2 dimensions, expected 3");
    build_handful(&file, "/module.");
    tensor_file_remove(&file, "decoder/module.generator.ups.0.weight_g");
    tensor_file_add(&file, "decoder/module.generator.ups.0.weight_g", (uint64_t[]){1, 3, 0, 0},
                    NULL);
    expect_refused(&file, "tensor decoder/module.generator.ups.0.weight_g has 3 values for 2 rows "
                          "of decoder/module.generator.ups.0.weight_v");
    build_handful(&file, "/module.");
    tensor_file_remove(&file, "text_encoder/module.embedding.weight");
    expect_refused(&file, "the file has no tensor of the part \"text_encoder\": it is no whole "
                          "Kokoro model");
}

static void expect_not_given(struct opened *opened, const char *name, const char *message) {
    const struct ut_tensor *tensor;
    assert_int_equal(ut_kokoro_tensor_get(opened->tensors, name, &tensor, &opened->err),
                     UTTER_ERROR_FORMAT);
    assert_string_equal(opened->err.message, message);
    assert_null(tensor);
}

static void refused_tensors(void **state) {
    struct tensor_file file = {0};
    struct opened opened;
    build_handful(&file, "/module.");
    float *v =
        (float *)(uintptr_t)tensor_file_find(&file, "decoder/module.generator.ups.0.weight_v")
            ->data;
    memset(v + 12, 0, 12 * sizeof *v);
    struct ut_tensor *integers = tensor_file_find(&file, "bert_encoder/module.weight");
    integers->type = UT_I64;
    integers->dims[1] = 2;
    open_file(&file, &opened);
    assert_int_equal(opened.status, UTTER_OK);
    expect_not_given(&opened, "decoder.generator.ups.0.weight",
                     "tensor decoder/module.generator.ups.0.weight_v: row 1 is all zero, weight "
                     "norm has no direction to scale");
    expect_not_given(&opened, "bert_encoder.weight",
                     "tensor bert_encoder/module.weight is of type i64, expected a floating-point "
                     "or quantized one");
    expect_not_given(&opened, "bert_encoder.bias",
                     "tensor bert_encoder.bias is missing: the file holds no whole Kokoro model");
    close_file(&opened);
    tensor_file_free(&file);
}

static void names_that_are_no_tensors(void **state) {
    static const char *const odd[] = {"decoder.generator.ups.00.weight",
                                      "decoder.generator.ups..weight",
                                      "decoder.generator.ups.1000.weight",
                                      "decoder.generator.ups.-1.weight",
                                      "decoder.generator.ups.0.weights",
                                      "decoder.encode.",
                                      "decoder",
                                      "",
                                      "decoder//encode.conv1.bias",
                                      "weight_g",
                                      ".weight_g",
                                      "kokoro.decoder.f0_conv_bias"};
    struct tensor_file file = {0};
    struct opened opened;
    build_handful(&file, "/module.");
    for (size_t i = 0; i < UT_COUNT(odd); i++) {
        tensor_file_add(&file, odd[i], (uint64_t[]){2, 2, 2, 0}, NULL);
    }
    char endless[400];
    memset(endless, 'x', sizeof endless);
    memcpy(endless, "decoder/", 8);
    endless[sizeof endless - 1] = '\0';
    tensor_file_add(&file, endless, (uint64_t[]){2, 2, 2, 0}, NULL);
    endless[7] = 'x';
    endless[300] = '.';
    tensor_file_add(&file, endless, (uint64_t[]){2, 2, 2, 0}, NULL);
    open_file(&file, &opened);
    assert_int_equal(opened.status, UTTER_OK);
    assert_int_equal(ut_kokoro_tensors_count(opened.tensors), UT_COUNT(handful_names));
    close_file(&opened);
    tensor_file_free(&file);
}

static void other_families(void **state) {
    static const char *const names[][3] = {
        {"enc_p.emb.weight", "dec.conv_pre.weight", "dp.flows.0.logs"}, /* Piper */
        {"talker.model.layers.0.self_attn.q_proj.weight", "talker.text_projection.weight",
         "speaker_encoder.fc.weight"}, /* Qwen3-TTS */
        {"bert_encoder.weight", "text_encoder.embedding.weight", "predictor.lstm.weight_ih_l0"},
    };
    for (size_t i = 0; i < UT_COUNT(names); i++) {
        struct tensor_file file = {0};
        struct byte_buffer bytes = {0};
        struct ut_weights *weights;
        utter_error err;
        for (size_t k = 0; k < 3; k++) {
            tensor_file_add(&file, names[i][k], (uint64_t[]){2, 3, 0, 0}, NULL);
        }
        tensor_file_write_safetensors(&file, &bytes);
        assert_int_equal(ut_weights_parse(&mem, bytes.data, bytes.n, &weights, &err), UTTER_OK);
        assert_false(ut_kokoro_detect(weights));
        ut_weights_close(weights);
        byte_buffer_free(&bytes);
        tensor_file_free(&file);
    }
}

static void out_of_memory(void **state) {
    struct failing_allocator failing;
    utter_allocator allocator = failing_allocator_start(&failing);
    struct ut_mem weak;
    struct tensor_file file = {0};
    struct opened opened;
    ut_mem_init(&weak, &allocator);
    build_handful(&file, "/module.");
    open_file(&file, &opened);
    size_t n = 0;
    for (utter_status status = UTTER_ERROR_MEMORY; status != UTTER_OK;) {
        struct ut_kokoro_tensors *tensors;
        const struct ut_tensor *tensor;
        utter_error err;
        failing_allocator_reset(&failing, ++n, false);
        status = ut_kokoro_tensors_create(&weak, opened.weights, &tensors, &err);
        if (status == UTTER_OK) {
            status = ut_kokoro_tensor_get(tensors, "decoder.generator.ups.0.weight", &tensor, &err);
        }
        assert_true(status == UTTER_OK || status == UTTER_ERROR_MEMORY);
        ut_kokoro_tensors_destroy(tensors);
        assert_int_equal(failing.n_blocks, 0);
        assert_false(failing.wrong_size);
    }
    assert_true(n > 4);
    close_file(&opened);
    tensor_file_free(&file);
}

int main(void) {
    ut_mem_init(&mem, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_spelling),
        cmocka_unit_test(values_and_shapes),
        cmocka_unit_test(parametrized_weight_norm),
        cmocka_unit_test(plain_names),
        cmocka_unit_test(every_tensor_of_the_checkpoint),
        cmocka_unit_test(refused_tables),
        cmocka_unit_test(refused_tensors),
        cmocka_unit_test(names_that_are_no_tensors),
        cmocka_unit_test(other_families),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
