/* TTS.cpp's GGUF layout: the writer of the tests against the list of a file that TTS.cpp made, and
 * the reader against the checkpoint. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"
#include "base/json.h"
#include "models/kokoro/kokoro.h"
#include "support/failing_allocator.h"
#include "support/speak.h"
#include "support/ttscpp_writer.h"
#include "weights/gguf.h"
#include "weights/temp_folder.h"

enum { N_CANONICAL = 457, N_TTSCPP = 747, STYLE = 64 };

static struct ut_mem mem;
static struct ut_weights *checkpoint;
static struct ut_kokoro_tensors *tensors; /* of the checkpoint */
static struct ut_kokoro_config config;
static struct tensor_file voice_tables;
static struct ttscpp_metadata metadata;

static const char *data_path(const char *name) {
    static char path[1024];
    snprintf(path, sizeof path, "%s/kokoro/%s", getenv("UT_TEST_DATA"), name);
    return path;
}

static void load_voice(const char *name) {
    char file[64];
    struct ut_weights *weights;
    utter_error err;
    snprintf(file, sizeof file, "voices/%s.pt", name);
    assert_int_equal(ut_weights_open(&mem, data_path(file), &weights, &err), UTTER_OK);
    struct ut_tensor table = *ut_weights_at(weights, 0);
    assert_int_equal(table.n_dims, 3);
    table.dims[1] = table.dims[2];
    table.dims[2] = 1;
    table.n_dims = 2;
    tensor_file_copy(&voice_tables, name, &table);
    ut_weights_close(weights);
}

static int open_all(void **state) {
    struct byte_buffer json = {0};
    utter_error err;
    ut_mem_init(&mem, NULL);
    temp_folder_create();
    byte_buffer_read_file(&json, data_path("config.json"));
    if (ut_kokoro_config_parse(&mem, (const char *)json.data, json.n, &config, &err) ||
        ut_weights_open(&mem, data_path("kokoro-v1_0.pth"), &checkpoint, &err) ||
        ut_kokoro_tensors_create(&mem, checkpoint, &tensors, &err)) {
        fail_msg("%s", err.message);
    }
    byte_buffer_free(&json);
    load_voice("bm_synth"); /* not in the order of their names */
    load_voice("af_synth");
    ttscpp_build_metadata(&config, tensors, &metadata);
    metadata.voices[metadata.n_voices++] = "af_synth";
    metadata.voices[metadata.n_voices++] = "bm_synth";
    return 0;
}

static int close_all(void **state) {
    tensor_file_free(&voice_tables);
    ut_kokoro_config_free(&config);
    ut_kokoro_tensors_destroy(tensors);
    ut_weights_close(checkpoint);
    temp_folder_remove();
    return 0;
}

/* ---- The writer against a real file's list ------------------------------------------------------
 */

struct document {
    struct byte_buffer text;
    struct ut_json *json;
};

static void read_document(const char *name, struct document *out) {
    utter_error err;
    *out = (struct document){0};
    byte_buffer_read_file(&out->text, data_path(name));
    if (ut_json_parse(&mem, (const char *)out->text.data, out->text.n, &out->json, &err)) {
        fail_msg("%s: %s", name, err.message);
    }
}

static void free_document(struct document *document) {
    ut_json_free(document->json);
    byte_buffer_free(&document->text);
}

/* A tensor of the list by its name; -1 when there is none. */
static ut_json_ref find_listed(const struct ut_json *list, const char *name) {
    ut_json_ref all = ut_json_member(list, 0, "tensors");
    for (ut_json_ref t = ut_json_first(list, all); t >= 0; t = ut_json_next(list, t)) {
        if (strcmp(ut_json_string(list, ut_json_member(list, t, "name"), NULL), name) == 0) {
            return t;
        }
    }
    return -1;
}

static void expect_listed(const struct ut_json *list, const struct ttscpp_part *part) {
    ut_json_ref listed = find_listed(list, part->name);
    if (listed < 0) {
        fail_msg("%s is not in the list", part->name);
    }
    ut_json_ref ne = ut_json_member(list, listed, "ne");
    if ((int)ut_json_count(list, ne) != part->n_dims) {
        fail_msg("%s has another number of dimensions", part->name);
    }
    int i = part->n_dims; /* GGUF has the fastest first */
    for (ut_json_ref d = ut_json_first(list, ne); d >= 0; d = ut_json_next(list, d)) {
        int64_t dim;
        assert_true(ut_json_int64(list, d, &dim));
        if (part->dims[--i] != (uint64_t)dim) {
            fail_msg("%s has another shape", part->name);
        }
    }
}

static const char *listed_type(const struct ut_json *list, const char *variant, const char *name) {
    ut_json_ref quantized = ut_json_member(list, ut_json_member(list, 0, "quantized"), variant);
    ut_json_ref types = ut_json_member(list, quantized, "tensor_types");
    return ut_json_string(list, ut_json_member(list, types, name), NULL);
}

static void expect_type(const struct ut_json *list, const char *name) {
    static const struct {
        const char *variant;
        enum ttscpp_kind kind;
    } variants[] = {{"Q8_0", TTSCPP_QUANTIZED}, {"Q8_0_nqf", TTSCPP_NQF}};
    for (size_t i = 0; i < UT_COUNT(variants); i++) {
        enum ut_dtype type = ttscpp_type(name, variants[i].kind, UT_Q8_0);
        const char *wanted = listed_type(list, variants[i].variant, name);
        const char *ours = type == UT_Q8_0 ? "Q8_0" : type == UT_F16 ? "F16" : "F32";
        if (!wanted || strcmp(wanted, ours) != 0) {
            fail_msg("%s is %s in %s, the writer makes it %s", name, wanted ? wanted : "missing",
                     variants[i].variant, ours);
        }
    }
}

/* The full model's canonical shapes, through the writer's rules, give exactly the listed tensors.
 */
static void tensors_of_the_writer(void **state) {
    struct document full, list;
    size_t n = 0;
    read_document("manifest_full.json", &full);
    read_document("ttscpp_gguf_manifest.json", &list);
    ut_json_ref shapes = ut_json_member(full.json, 0, "tensors");
    for (size_t i = 0; i < ut_kokoro_tensors_count(tensors); i++) {
        const char *name = ut_kokoro_tensors_name(tensors, i);
        struct ut_tensor shape = {.n_dims = 0};
        /* Only names of the checkpoint stand in the list of full shapes. */
        for (ut_json_ref t = ut_json_first(full.json, shapes); t >= 0 && shape.n_dims == 0;
             t = ut_json_next(full.json, t)) {
            char key[160];
            const char *raw = ut_json_key(full.json, t), *module = strstr(raw, "/module.");
            snprintf(key, sizeof key, "%.*s.%s", (int)(module - raw), raw, module + 8);
            char *layer = strstr(key, "encoder.albert_layer_groups.0.albert_layers.0.");
            if (layer) {
                memmove(layer + 6, layer + 46, strlen(layer + 46) + 1);
                memcpy(layer, "layer.", 6);
            }
            if (strlen(key) > 9 && strcmp(key + strlen(key) - 9, ".weight_v") == 0) {
                key[strlen(key) - 2] = '\0';
            }
            if (strcmp(key, name) != 0) {
                continue;
            }
            ut_json_ref dims = ut_json_member(full.json, t, "shape");
            for (ut_json_ref d = ut_json_first(full.json, dims); d >= 0;
                 d = ut_json_next(full.json, d)) {
                int64_t dim;
                assert_true(ut_json_int64(full.json, d, &dim));
                shape.dims[shape.n_dims++] = (uint64_t)dim;
            }
        }
        assert_true(shape.n_dims > 0);
        struct ttscpp_part parts[4];
        int n_parts = ttscpp_parts(name, &shape, parts);
        for (int p = 0; p < n_parts; p++, n++) {
            expect_listed(list.json, &parts[p]);
            expect_type(list.json, parts[p].name);
        }
    }
    assert_int_equal(n, N_TTSCPP);
    assert_int_equal(ut_json_count(list.json, ut_json_member(list.json, 0, "tensors")),
                     N_TTSCPP + 2); /* two voices */
    free_document(&full);
    free_document(&list);
}

/* ---- Reading -----------------------------------------------------------------------------------
 */

struct opened {
    struct ut_weights *weights;
    struct ut_kokoro_tensors *tensors;
    utter_status status;
    utter_error err;
};

static void open_file(const char *name, struct opened *out) {
    *out = (struct opened){0};
    if (ut_weights_open(&mem, temp_path(name), &out->weights, &out->err)) {
        fail_msg("%s", out->err.message);
    }
    out->status = ut_kokoro_tensors_create(&mem, out->weights, &out->tensors, &out->err);
}

static void close_file(struct opened *opened) {
    ut_kokoro_tensors_destroy(opened->tensors);
    ut_weights_close(opened->weights);
}

static void write_and_open(enum ttscpp_kind kind, enum ut_dtype type, struct opened *out) {
    struct tensor_file file = {0};
    ttscpp_build(tensors, voice_tables.tensors, voice_tables.n, kind, type, &file);
    ttscpp_write(temp_path("m.gguf"), &metadata, &file);
    tensor_file_free(&file);
    open_file("m.gguf", out);
    if (out->status) {
        fail_msg("%s", out->err.message);
    }
}

/* A key of the list: the writer's file has it, of that type, and with that value unless sizes
 * differ. */
static void expect_key(const struct ut_weights *weights, const struct ut_json *list,
                       ut_json_ref key) {
    static const char *const sizes[] = {"context_length", "attn_heads", "hidden_size",
                                        "recurrence"};
    const char *name = ut_json_key(list, key);
    const char *type = ut_json_string(list, ut_json_member(list, key, "type"), NULL);
    const char *text = NULL, *const *texts = NULL;
    int64_t found, wanted;
    size_t n;
    utter_error err;
    if (strcmp(type, "STRING") == 0) {
        assert_int_equal(ut_gguf_get_string(weights, name, &text, &err), UTTER_OK);
    } else if (strcmp(type, "ARRAY[STRING]") == 0) {
        assert_int_equal(ut_gguf_get_strings(weights, name, &texts, &n, &err), UTTER_OK);
        assert_true(ut_json_int64(list, ut_json_member(list, key, "length"), &wanted));
        assert_int_equal(n, wanted);
    } else {
        assert_string_equal(type, "UINT32");
        if (ut_gguf_get_int(weights, name, &found, &err)) {
            fail_msg("%s", err.message);
        }
        const char *last = strrchr(name, '.') + 1;
        for (size_t i = 0; i < UT_COUNT(sizes); i++) {
            if (strcmp(last, sizes[i]) == 0) {
                return;
            }
        }
        assert_true(ut_json_int64(list, ut_json_member(list, key, "value"), &wanted));
        if (found != wanted) {
            fail_msg("%s is %lld, in the list %lld", name, (long long)found, (long long)wanted);
        }
    }
}

static void keys_of_the_writer(void **state) {
    struct document list;
    struct opened opened;
    read_document("ttscpp_gguf_manifest.json", &list);
    write_and_open(TTSCPP_F32, UT_F32, &opened);
    ut_json_ref keys = ut_json_member(list.json, 0, "metadata_espeak");
    for (ut_json_ref key = ut_json_first(list.json, keys); key >= 0;
         key = ut_json_next(list.json, key)) {
        expect_key(opened.weights, list.json, key);
    }
    assert_int_equal(ut_weights_n_metadata(opened.weights), ut_json_count(list.json, keys));
    close_file(&opened);
    free_document(&list);
}

/* How far the values of a stored type may be from those of the checkpoint. */
static double allowed(enum ut_dtype type, double largest) {
    switch (type) {
    case UT_F16:
        return largest / 2048;
    case UT_Q8_0:
        return largest / 127;
    case UT_Q5_0:
        return largest / 16;
    default:
        return largest / 8;
    }
}

static void compare(const struct ut_tensor *a, const struct ut_tensor *b, bool is_exact,
                    enum ut_dtype type) {
    size_t n = (size_t)ut_tensor_n_elements(b), n_different = 0;
    float *x = test_alloc((n + 1) * sizeof *x), *y = test_alloc((n + 1) * sizeof *y);
    double largest = 0;
    memcpy(x, a->data, n * sizeof *x);
    assert_true(ut_tensor_to_f32(b, y));
    for (size_t i = 0; i < n; i++) {
        largest = fmax(largest, fabs((double)x[i]));
    }
    for (size_t i = 0; i < n; i++) {
        n_different += is_exact ? memcmp(&x[i], &y[i], sizeof *x) != 0
                                : !(fabs((double)x[i] - y[i]) <= 1.01 * allowed(type, largest));
    }
    if (n_different) {
        fail_msg("%s: %zu of %zu values differ", a->name, n_different, n);
    }
    free(x);
    free(y);
}

static size_t compare_all(struct opened *opened, bool is_exact, enum ut_dtype type) {
    size_t n_computed = 0;
    assert_int_equal(ut_kokoro_tensors_layout(opened->tensors), UT_KOKORO_TTSCPP);
    assert_true(ut_kokoro_detect(opened->weights));
    assert_int_equal(ut_kokoro_tensors_count(opened->tensors), N_CANONICAL);
    for (size_t i = 0; i < N_CANONICAL; i++) {
        const char *name = ut_kokoro_tensors_name(tensors, i);
        const struct ut_tensor *a = NULL, *b = NULL;
        utter_error err;
        assert_string_equal(ut_kokoro_tensors_name(opened->tensors, i), name);
        assert_int_equal(ut_kokoro_tensor_get(tensors, name, &a, &err), UTTER_OK);
        if (ut_kokoro_tensor_get(opened->tensors, name, &b, &err)) {
            fail_msg("%s", err.message);
        }
        assert_int_equal(a->n_dims, b->n_dims);
        bool is_type = strcmp(name, "bert.embeddings.token_type_embeddings.weight") == 0;
        assert_true(b->dims[0] == (is_type ? 1 : a->dims[0]));
        for (int d = 1; d < UT_MAX_DIMS; d++) {
            assert_true(a->dims[d] == b->dims[d]);
        }
        compare(a, b, is_exact, type);
        n_computed += b->type == UT_F32;
        ut_kokoro_tensor_drop(tensors, a);
        ut_kokoro_tensor_drop(opened->tensors, b);
    }
    return n_computed;
}

static void bit_equal_to_the_checkpoint(void **state) {
    struct opened opened;
    write_and_open(TTSCPP_F32, UT_F32, &opened);
    assert_int_equal(ut_weights_count(opened.weights), N_TTSCPP + 2);
    assert_int_equal(compare_all(&opened, true, UT_F32), N_CANONICAL);
    close_file(&opened);
}

static void quantized(void **state) {
    static const struct {
        enum ut_dtype type;
        enum ttscpp_kind kind;
        size_t n_of_type; /* in the file: of the tiny model's rows not all fit into blocks */
    } variants[] = {
        {UT_F16, TTSCPP_QUANTIZED, 104}, {UT_F16, TTSCPP_NQF, 199},
        {UT_Q8_0, TTSCPP_QUANTIZED, 56}, {UT_Q8_0, TTSCPP_NQF, 56},
        {UT_Q5_0, TTSCPP_QUANTIZED, 56}, {UT_Q5_0, TTSCPP_NQF, 56},
        {UT_Q4_0, TTSCPP_QUANTIZED, 56}, {UT_Q4_0, TTSCPP_NQF, 56},
    };
    for (size_t i = 0; i < UT_COUNT(variants); i++) {
        struct opened opened;
        size_t n_of_type = 0;
        write_and_open(variants[i].kind, variants[i].type, &opened);
        for (size_t t = 0; t < ut_weights_count(opened.weights); t++) {
            n_of_type += ut_weights_at(opened.weights, t)->type == variants[i].type;
        }
        assert_int_equal(n_of_type, variants[i].n_of_type);
        compare_all(&opened, false, variants[i].type);
        close_file(&opened);
    }
}

static void configuration(void **state) {
    struct opened opened;
    struct ut_kokoro_config c;
    write_and_open(TTSCPP_F32, UT_F32, &opened);
    if (ut_kokoro_config_from_gguf(&mem, opened.weights, &c, &opened.err)) {
        fail_msg("%s", opened.err.message);
    }
    assert_int_equal(c.n_heads, config.n_heads);
    assert_int_equal(c.n_repeats, config.n_repeats);
    assert_int_equal(c.n_upsamples, config.n_upsamples);
    assert_memory_equal(c.upsample_rates, config.upsample_rates, sizeof c.upsample_rates);
    assert_int_equal(c.n_kernels, config.n_kernels);
    assert_memory_equal(c.kernel_sizes, config.kernel_sizes, sizeof c.kernel_sizes);
    assert_int_equal(c.n_dilations, config.n_dilations);
    assert_memory_equal(c.dilations, config.dilations, sizeof c.dilations);
    assert_int_equal(c.n_fft, config.n_fft);
    assert_int_equal(c.hop, config.hop);
    assert_int_equal(c.n_token, config.n_token);
    assert_int_equal(c.hidden_dim, config.hidden_dim);
    assert_int_equal(c.n_layer, config.n_layer);
    assert_int_equal(c.max_positions, config.max_positions);
    assert_int_equal(c.style_dim, 0);
    assert_int_equal(c.max_dur, 0);
    assert_int_equal(c.n_symbols, config.n_symbols);
    assert_memory_equal(c.symbols, config.symbols, c.n_symbols * sizeof *c.symbols);
    ut_kokoro_config_free(&c);
    close_file(&opened);
}

static void voices_inside(void **state) {
    struct opened opened;
    struct ut_kokoro_voices *voices;
    struct ut_kokoro_blend blend;
    float style[STYLE];
    utter_error err;
    write_and_open(TTSCPP_NQF, UT_Q4_0, &opened);
    assert_int_equal(ut_kokoro_voices_open(&mem, temp_path("m.gguf"), opened.weights, STYLE, NULL,
                                           &voices, &err),
                     UTTER_OK);
    assert_int_equal(ut_kokoro_voices_count(voices), 2);
    assert_string_equal(ut_kokoro_voices_name(voices, 0), "af_synth");
    assert_string_equal(ut_kokoro_voices_name(voices, 1), "bm_synth");
    assert_int_equal(ut_kokoro_blend_parse(voices, "bm_synth", &blend, &err), UTTER_OK);
    assert_int_equal(ut_kokoro_style(voices, &blend, 510, style, &err), UTTER_OK);
    const struct ut_tensor *table = tensor_file_find(&voice_tables, "bm_synth");
    assert_memory_equal(style, (const float *)table->data + 509 * STYLE, sizeof style);
    ut_kokoro_voices_close(voices);
    assert_int_equal(ut_kokoro_voices_open(&mem, temp_path("m.gguf"), opened.weights, STYLE + 2,
                                           NULL, &voices, &err),
                     UTTER_ERROR_FORMAT);
    assert_string_equal(err.message,
                        "voice af_synth has a table of [510, 64], this model needs [510, 1, 66]");
    close_file(&opened);
}

/* ---- What is refused ---------------------------------------------------------------------------
 */

/* The file with changed metadata and tensors; the caller's changes to `metadata` are undone. */
static void write_changed(struct tensor_file *file, struct opened *out) {
    ttscpp_write(temp_path("m.gguf"), &metadata, file);
    tensor_file_free(file);
    open_file("m.gguf", out);
}

static void build_f32(struct tensor_file *file) {
    *file = (struct tensor_file){0};
    ttscpp_build(tensors, voice_tables.tensors, voice_tables.n, TTSCPP_F32, UT_F32, file);
}

static void expect_no_config(struct tensor_file *file, const char *message) {
    struct opened opened;
    struct ut_kokoro_config c;
    write_changed(file, &opened);
    assert_int_equal(ut_kokoro_config_from_gguf(&mem, opened.weights, &c, &opened.err),
                     UTTER_ERROR_FORMAT);
    if (!strstr(opened.err.message, message)) {
        fail_msg("\"%s\" does not say \"%s\"", opened.err.message, message);
    }
    assert_null(c.symbols);
    close_file(&opened);
}

#define PREDICTOR "kokoro.duration_predictor."
#define GENERATOR "kokoro.decoder.generator."

static void refused_numbers(void **state) {
    static const struct {
        const char *key;
        uint32_t value;
        const char *message;
    } cases[] = {
        {PREDICTOR "albert.attn_heads", 0,
         "\"" PREDICTOR "albert.attn_heads\" is 0, expected 1..256"},
        {PREDICTOR "albert.recurrence", 4000000000u, "is 4000000000, expected 1..64"},
        {PREDICTOR "albert.layers", 2,
         "\"" PREDICTOR "albert.layers\" is 2, but the rest of the file makes it 1"},
        {PREDICTOR "f0_n_blocks", 4, "f0_n_blocks\" is 4, but the rest of the file makes it 3"},
        {PREDICTOR "layers", 2,
         "\"kokoro.text_encoder.layers\" is 3, but the rest of the file makes it 2"},
        {GENERATOR "up_sampling_factor", 601,
         "up_sampling_factor\" is 601, but the rest of the file makes it 600"},
        {GENERATOR "up_convs.1.stride", 65, "up_convs.1.stride\" is 65, expected 1..64"},
        {GENERATOR "up_convs.1.stride", 4,
         "noise_blocks.0.stride\" is 6, but the rest of the file makes it 4"},
        {GENERATOR "up_convs.0.padding", 4,
         "up_convs.0.padding\" is 4, but the rest of the file makes it 5"},
        {GENERATOR "noise_blocks.0.stride", 5,
         "noise_blocks.0.stride\" is 5, but the rest of the file makes it 6"},
        {GENERATOR "noise_blocks.1.padding", 1,
         "noise_blocks.1.padding\" is 1, but the rest of the file makes it 0"},
        {GENERATOR "noise_blocks.1.res_block.2.dilation", 4,
         "noise_blocks.1.res_block.2.dilation\" is 4, but the rest of the file makes it 5"},
        {GENERATOR "res_blocks.0.0.dilation", 0, "res_blocks.0.0.dilation\" is 0, expected 1..64"},
        {GENERATOR "res_blocks.3.1.dilation", 4,
         "res_blocks.3.1.dilation\" is 4, but the rest of the file makes it 3"},
        {GENERATOR "res_blocks.2.2.padding", 24,
         "res_blocks.2.2.padding\" is 24, but the rest of the file makes it 25"},
        {GENERATOR "n_fft", 21, "the inverse STFT has a size of 21, expected an even one"},
        {GENERATOR "n_fft", 4, "the inverse STFT has a hop of 5, more than its size of 4"},
        {GENERATOR "upsamples", 3, "up_convs.2.stride\" is missing"},
        {GENERATOR "upsamples", 5, "upsamples\" is 5, expected 1..4"},
        {GENERATOR "kernels", 4,
         "resblocks.4.0.convs1_weight has a kernel of 7, in the first stage it has 3"},
    };
    for (size_t i = 0; i < UT_COUNT(cases); i++) {
        struct tensor_file file;
        uint32_t *number = ttscpp_number(&metadata, cases[i].key), before = *number;
        build_f32(&file);
        *number = cases[i].value;
        expect_no_config(&file, cases[i].message);
        *number = before;
    }
}

static void missing_keys(void **state) {
    static const char *const keys[] = {PREDICTOR "albert.attn_heads", PREDICTOR "hidden_size",
                                       GENERATOR "hop", GENERATOR "up_convs.1.stride",
                                       GENERATOR "res_blocks.0.0.dilation"};
    for (size_t i = 0; i < UT_COUNT(keys); i++) {
        struct tensor_file file;
        char message[128];
        char *key = metadata.numbers[0].key; /* found by its value's place */
        for (size_t k = 0; k < metadata.n_numbers; k++) {
            key = strcmp(metadata.numbers[k].key, keys[i]) == 0 ? metadata.numbers[k].key : key;
        }
        build_f32(&file);
        snprintf(message, sizeof message, "the key \"%s\" is missing", keys[i]);
        key[0] = '\0'; /* is not written */
        expect_no_config(&file, message);
        key[0] = 'k';
    }
}

static void refused_tokens(void **state) {
    struct tensor_file file;
    build_f32(&file);
    metadata.tokens[7] = "ab";
    expect_no_config(&file, "\"tokenizer.ggml.tokens\": number 7 is \"ab\", expected a single "
                            "character or nothing");
    build_f32(&file);
    metadata.tokens[7] = "!"; /* which is number 5 */
    expect_no_config(&file, "the vocabulary has the symbol U+0021 twice, with the ids 5 and 7");
    metadata.tokens[7] = "";
    size_t n_tokens = metadata.n_tokens;
    build_f32(&file);
    metadata.n_tokens = 0;
    expect_no_config(&file, "\"tokenizer.ggml.tokens\" has 0 entries, expected 1 to 4096");
    metadata.n_tokens = n_tokens;
}

static void refused_kernels(void **state) {
    static const char name[] = GENERATOR "resblocks.4.0.convs1_weight";
    struct tensor_file file;
    build_f32(&file);
    tensor_file_remove(&file, name);
    expect_no_config(&file, "tensor " GENERATOR "resblocks.4.0.convs1_weight is missing");
    build_f32(&file);
    tensor_file_remove(&file, name);
    tensor_file_add(&file, name, (uint64_t[]){8, 8, 5, 0}, NULL);
    expect_no_config(&file, "has a kernel of 5, in the first stage it has 7");
    build_f32(&file);
    tensor_file_remove(&file, GENERATOR "ups.0.weight");
    tensor_file_add(&file, GENERATOR "ups.0.weight", (uint64_t[]){2, 2, 65, 0}, NULL);
    expect_no_config(&file, "tensor " GENERATOR "ups.0.weight has a kernel of 65, expected 1..64");
}

static void refused_tensors(void **state) {
    static const char gate[] = PREDICTOR "duration_lstm.0.weights.4";
    static const char beta[] = "kokoro.decoder.encoder_block.norm1_beta_bias";
    static const struct {
        const char *name;
        uint64_t dims[UT_MAX_DIMS]; /* none: it is left out */
        const char *message;
    } cases[] = {
        {gate, {0}, "the file has 3 of the 4 tensors that make up predictor.lstm.weight_ih_l0"},
        {beta, {0}, "the file has 1 of the 2 tensors that make up decoder.encode.norm1.fc.bias"},
        {gate,
         {15, 64},
         "tensor " PREDICTOR "duration_lstm.0.weights.0 has the shape [16, 64] and " PREDICTOR
         "duration_lstm.0.weights.4, which belongs below it, [15, 64]: they must be equal"},
        {beta,
         {33},
         "norm1_gamma_bias has the shape [34] and kokoro.decoder.encoder_block.norm1_beta_bias, "
         "which belongs below it, [33]"},
        {gate,
         {16, 4, 16},
         "tensor " PREDICTOR "duration_lstm.0.weights.4 has 3 dimensions, expected 2"},
        {"kokoro.albert.layer.0.q",
         {2, 2, 32, 32},
         "tensor kokoro.albert.layer.0.q has 4 dimensions"},
    };
    for (size_t i = 0; i < UT_COUNT(cases); i++) {
        struct tensor_file file;
        struct opened opened;
        build_f32(&file);
        tensor_file_remove(&file, cases[i].name);
        if (cases[i].dims[0]) {
            tensor_file_add(&file, cases[i].name, cases[i].dims, NULL);
        }
        write_changed(&file, &opened);
        assert_int_equal(opened.status, UTTER_ERROR_FORMAT);
        if (!strstr(opened.err.message, cases[i].message)) {
            fail_msg("\"%s\" does not say \"%s\"", opened.err.message, cases[i].message);
        }
        close_file(&opened);
    }
}

/* Other names, keys and a missing matrix are no reason to refuse the table. */
static void what_is_not_asked_for(void **state) {
    struct tensor_file file;
    struct opened opened;
    const struct ut_tensor *tensor;
    build_f32(&file);
    tensor_file_remove(&file, "kokoro.albert.layer.0.q");
    tensor_file_add(&file, "kokoro.albert.layer.1.q", (uint64_t[]){64, 64, 0, 0}, NULL);
    tensor_file_add(&file, "kokoro.duration_predictor.duration_lstm.0.weights.8",
                    (uint64_t[]){16, 64, 0, 0}, NULL);
    tensor_file_add(&file, "kokoro.decoder.generator.ups.01.bias", (uint64_t[]){8, 0, 0, 0}, NULL);
    tensor_file_add(&file, "other", (uint64_t[]){8, 0, 0, 0}, NULL);
    strcpy(metadata.numbers[metadata.n_numbers++].key, "kokoro.of_tomorrow");
    write_changed(&file, &opened);
    metadata.n_numbers--;
    assert_int_equal(opened.status, UTTER_OK);
    assert_int_equal(ut_kokoro_tensors_count(opened.tensors), N_CANONICAL - 1);
    assert_int_equal(ut_kokoro_tensor_get(opened.tensors, "bert.layer.attention.query.weight",
                                          &tensor, &opened.err),
                     UTTER_ERROR_FORMAT);
    assert_string_equal(opened.err.message,
                        "tensor bert.layer.attention.query.weight is missing: the file holds no "
                        "whole Kokoro model");
    struct ut_kokoro_config c;
    assert_int_equal(ut_kokoro_config_from_gguf(&mem, opened.weights, &c, &opened.err), UTTER_OK);
    ut_kokoro_config_free(&c);
    close_file(&opened);
}

static void out_of_memory(void **state) {
    struct failing_allocator failing;
    utter_allocator allocator = failing_allocator_start(&failing);
    struct ut_mem weak;
    struct opened opened;
    ut_mem_init(&weak, &allocator);
    write_and_open(TTSCPP_F32, UT_F32, &opened);
    size_t n = 0;
    for (utter_status status = UTTER_ERROR_MEMORY; status != UTTER_OK;) {
        struct ut_kokoro_config c = {.mem = NULL};
        struct ut_kokoro_voices *voices = NULL;
        struct ut_kokoro_tensors *weak_tensors = NULL;
        const struct ut_tensor *tensor;
        utter_error err;
        failing_allocator_reset(&failing, ++n, false);
        status = ut_kokoro_config_from_gguf(&weak, opened.weights, &c, &err);
        status = status ? status
                        : ut_kokoro_voices_open(&weak, temp_path("m.gguf"), opened.weights, STYLE,
                                                NULL, &voices, &err);
        status =
            status ? status : ut_kokoro_tensors_create(&weak, opened.weights, &weak_tensors, &err);
        status = status ? status
                        : ut_kokoro_tensor_get(weak_tensors, "predictor.lstm.weight_ih_l0", &tensor,
                                               &err);
        assert_true(status == UTTER_OK || status == UTTER_ERROR_MEMORY);
        ut_kokoro_config_free(&c);
        ut_kokoro_voices_close(voices);
        ut_kokoro_tensors_destroy(weak_tensors);
        assert_int_equal(failing.n_blocks, 0);
        assert_false(failing.wrong_size);
    }
    assert_true(n > 10);
    close_file(&opened);
}

/* ---- Speech -------------------------------------------------------------------------------------
 */

struct heard {
    float samples[1 << 18];
    size_t n;
};

static bool hear(void *user, const float *samples, size_t n) {
    struct heard *heard = user;
    assert_true(n <= UT_COUNT(heard->samples) - heard->n);
    memcpy(heard->samples + heard->n, samples, n * sizeof *samples);
    heard->n += n;
    return true;
}

/* A few words by the voice af_synth. */
static void speak_model(const char *path, enum ut_format format, struct heard *heard) {
    static const int32_t ids[] = {0, 50, 83, 54, 156, 31, 16, 65, 87, 54, 46, 0};
    struct ut_compute compute;
    struct ut_kokoro *model;
    struct ut_kokoro_session *session;
    struct ut_kokoro_blend blend;
    struct ut_kokoro_info info;
    float style[STYLE];
    utter_error err = {0};
    assert_int_equal(speak_compute_open(&mem, ut_cpu_level_best(), 1, &compute, &err), UTTER_OK);
    if (ut_kokoro_open(&mem, &compute, path, NULL, &model, &err)) {
        fail_msg("%s", err.message);
    }
    ut_kokoro_get_info(model, &info);
    assert_int_equal(info.format, format);
    const struct ut_kokoro_voices *voices = ut_kokoro_get_voices(model);
    assert_int_equal(ut_kokoro_blend_parse(voices, "af_synth", &blend, &err), UTTER_OK);
    assert_int_equal(ut_kokoro_style(voices, &blend, UT_COUNT(ids) - 2, style, &err), UTTER_OK);
    assert_int_equal(ut_kokoro_session_create(model, &session, &err), UTTER_OK);
    struct ut_kokoro_request request = {.ids = ids,
                                        .n_ids = UT_COUNT(ids),
                                        .style = style,
                                        .speed = 1,
                                        .seed = 5,
                                        .sink = hear,
                                        .user = heard};
    heard->n = 0;
    if (ut_kokoro_run(session, &request, NULL, &err)) {
        fail_msg("%s", err.message);
    }
    ut_kokoro_session_destroy(session);
    ut_kokoro_close(model);
    speak_compute_close(&compute);
}

static double rms(const struct heard *heard) {
    double sum = 0;
    for (size_t i = 0; i < heard->n; i++) {
        sum += (double)heard->samples[i] * (double)heard->samples[i];
    }
    return sqrt(sum / (double)heard->n);
}

/* Weights are the same, so durations and samples are; quantized ones speak at about the same length
 * and level. */
static void every_type_speaks(void **state) {
    static const struct {
        enum ut_dtype type;
        enum ttscpp_kind kind;
    } published[] = {
        {UT_F32, TTSCPP_F32},        {UT_F16, TTSCPP_QUANTIZED},  {UT_Q8_0, TTSCPP_QUANTIZED},
        {UT_Q5_0, TTSCPP_QUANTIZED}, {UT_Q4_0, TTSCPP_QUANTIZED}, {UT_F16, TTSCPP_NQF},
        {UT_Q8_0, TTSCPP_NQF},       {UT_Q5_0, TTSCPP_NQF},       {UT_Q4_0, TTSCPP_NQF},
    };
    static struct heard original, heard;
    speak_model(data_path("kokoro-v1_0.pth"), UT_FORMAT_TORCH_ZIP, &original);
    assert_true(original.n > 2400 && rms(&original) > 0.005);
    for (size_t i = 0; i < UT_COUNT(published); i++) {
        struct tensor_file file = {0};
        ttscpp_build(tensors, voice_tables.tensors, voice_tables.n, published[i].kind,
                     published[i].type, &file);
        ttscpp_write(temp_path("speech.gguf"), &metadata, &file);
        tensor_file_free(&file);
        speak_model(temp_path("speech.gguf"), UT_FORMAT_GGUF, &heard);
        if (published[i].kind == TTSCPP_F32) {
            assert_int_equal(heard.n, original.n);
            assert_memory_equal(heard.samples, original.samples, heard.n * sizeof *heard.samples);
        }
        double length = (double)heard.n / (double)original.n, level = rms(&heard) / rms(&original);
        if (length < 0.5 || length > 2 || level < 0.5 || level > 2) {
            fail_msg("type %s: length %.2f, level %.2f of the original's",
                     ut_dtype_name(published[i].type), length, level);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_of_the_writer),
        cmocka_unit_test(keys_of_the_writer),
        cmocka_unit_test(bit_equal_to_the_checkpoint),
        cmocka_unit_test(quantized),
        cmocka_unit_test(configuration),
        cmocka_unit_test(voices_inside),
        cmocka_unit_test(refused_numbers),
        cmocka_unit_test(missing_keys),
        cmocka_unit_test(refused_tokens),
        cmocka_unit_test(refused_kernels),
        cmocka_unit_test(refused_tensors),
        cmocka_unit_test(every_type_speaks),
        cmocka_unit_test(what_is_not_asked_for),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
