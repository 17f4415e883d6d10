/* Models that lie: every needed tensor dropped, misshapen or poisoned in turn, contradicting
 * geometry and configuration, files cut at every byte. Each must be answered with an error that
 * names the culprit, or, where the value is legal, with finite audio; beside each stands the
 * untouched twin that loads and speaks. Rows F2 and F3 of the reliability rules. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"
#include "support/speak.h"
#include "support/voice_builder.h"

enum { N_KINDS = 3, TWO_OF_EACH = N_KINDS, N_SPECS };

static struct ut_mem mem;
static struct ut_compute compute;
static struct voice_spec specs[N_SPECS];
static struct byte_buffer problems; /* a test lists all of them before it fails */
static char subject[200];

/* Larger, so that layers between and behind others can be missing. */
static struct voice_spec two_of_each(void) {
    struct voice_spec spec = voice_spec_tiny();
    spec.n_layers = spec.n_stages = spec.n_kernels = spec.n_dilations = 2;
    spec.rates[1] = 2;
    spec.up_kernels[1] = 4;
    return spec;
}

static int setup(void **state) {
    specs[0] = voice_spec_tiny();
    specs[1] = voice_spec_tiny_multi();
    specs[2] = voice_spec_house(true);
    specs[TWO_OF_EACH] = two_of_each();
    ut_mem_init(&mem, NULL);
    return speak_compute_open(&mem, ut_cpu_level_best(), 1, &compute, NULL);
}

static int teardown(void **state) {
    speak_compute_close(&compute);
    for (int i = 0; i < UT_MEM_N_OWNERS; i++) {
        if (atomic_load(&mem.bytes[i]) != 0) {
            return -1;
        }
    }
    return 0;
}

/* Says what is being tried: every complaint until the next call begins with it. */
__attribute__((format(printf, 1, 2))) static void about(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(subject, sizeof subject, format, args);
    va_end(args);
}

static void complain(const char *what, const struct speech *speech) {
    byte_buffer_printf(&problems, "%s: %s (status %d: %s)\n", subject, what, speech->status,
                       speech->status ? speech->err.message : "");
}

/* Ends every test. */
static void expect_no_problems(void) {
    size_t n = problems.n;
    byte_buffer_append_u8(&problems, '\0');
    for (char *line = strtok((char *)problems.data, "\n"); line; line = strtok(NULL, "\n")) {
        print_error("%s\n", line);
    }
    byte_buffer_free(&problems);
    assert_int_equal(n, 0);
}

static void write_voice(const struct voice *voice, const struct voice_export *options,
                        struct byte_buffer *model, struct byte_buffer *json) {
    model->n = json->n = 0;
    if (voice->spec.house) {
        voice_write_safetensors(voice, false, model);
    } else {
        voice_write_onnx(voice, options, model);
    }
    voice_write_json(voice, json);
}

/* Whatever the bytes were: an error with a message, or sound samples. */
static void check_answer(const struct speech *speech) {
    if (speech->status == UTTER_OK ? speech->n_samples == 0 : strlen(speech->err.message) < 10) {
        complain("an empty answer", speech);
    }
    if (speech->status != UTTER_OK && speech->err.code != speech->status) {
        complain("the error holds another code", speech);
    }
    if (speech->status == UTTER_ERROR_INTERNAL || speech->status == UTTER_ERROR_MEMORY) {
        complain("the wrong kind of error", speech);
    }
    if (!speech_is_sound(speech)) {
        complain("samples that are not finite or out of range", speech);
    }
}

static void speak_bytes(const struct byte_buffer *model, const struct byte_buffer *json,
                        struct speech *speech) {
    struct ut_piper_request request = speak_request();
    *speech = (struct speech){.most_samples = 1 << 20}; /* what no few ids ask for */
    speak(&mem, &compute, model, json, &request, speech);
    check_answer(speech);
}

static void speak_voice(const struct voice *voice, const struct voice_export *options,
                        struct speech *speech) {
    struct byte_buffer model = {0}, json = {0};
    write_voice(voice, options, &model, &json);
    speak_bytes(&model, &json, speech);
    byte_buffer_free(&model);
    byte_buffer_free(&json);
}

/* The untouched twin. */
static void expect_loads(const struct voice *voice, struct speech *speech) {
    about("the untouched %s voice", voice->spec.house ? "house" : voice->spec.quality);
    speak_voice(voice, NULL, speech);
    if (speech->status != UTTER_OK) {
        complain("does not speak", speech);
    }
}

/* "flow.flows.6.pre.weight" to "flow.flows.6", "enc_p.proj.bias" to "enc_p.proj": the layer. */
static void layer_of(char layer[80], const char *tensor) {
    snprintf(layer, 80, "%s", tensor);
    *strrchr(layer, '.') = '\0';
    char *digit = strpbrk(layer, ".");
    while (digit && !(digit[1] >= '0' && digit[1] <= '9')) {
        digit = strpbrk(digit + 1, ".");
    }
    if (digit) {
        digit[1 + strspn(digit + 1, "0123456789")] = '\0';
    }
}

/* The message names the tensor or a neighbour of its layer, in either notation, or uses the name
 * that the file has for it where the exporter chose another. */
static bool names_tensor(const char *message, const char *tensor) {
    char layer[80], path[80];
    layer_of(layer, tensor);
    snprintf(path, sizeof path, "%s", layer);
    for (char *c = path; *c; c++) {
        if (*c == '.' && !(c[1] >= '0' && c[1] <= '9')) {
            *c = '/';
        }
    }
    bool is_renamed = strcmp(tensor, "enc_p.emb.weight") == 0 || strncmp(tensor, "flow.", 5) == 0 ||
                      strcmp(tensor, "dp.flows.0.logs") == 0;
    return strstr(message, layer) || strstr(message, path) ||
           (is_renamed && (strstr(message, "tensor sid") || strstr(message, "tensor onnx::")));
}

static void expect_error_naming(const struct voice *voice, const struct voice_export *options,
                                const char *tensor) {
    struct speech speech;
    speak_voice(voice, options, &speech);
    if (speech.status == UTTER_OK) {
        complain("it speaks", &speech);
    } else if (speech.step > SPEAK_LOAD || speech.status == UTTER_ERROR_ARGUMENT) {
        complain("not refused at load as a damaged file", &speech);
    } else if (!names_tensor(speech.err.message, tensor)) {
        complain("the message does not name it", &speech);
    }
    speech_free(&speech);
}

/* ---- Tensors ------------------------------------------------------------------------------ */

/* Calls `spoil` for every tensor of every kind of voice, built anew each time. */
static void for_every_tensor(void (*spoil)(struct voice *voice, struct voice_tensor *tensor)) {
    for (int kind = 0; kind < N_SPECS; kind++) {
        struct voice voice;
        struct speech speech;
        voice_build(&voice, &specs[kind], 1);
        expect_loads(&voice, &speech);
        speech_free(&speech);
        size_t n = voice.n_tensors;
        for (size_t i = 0; i < n; i++) {
            spoil(&voice, &voice.tensors[i]);
            voice_free(&voice);
            voice_build(&voice, &specs[kind], 1);
        }
        voice_free(&voice);
    }
    expect_no_problems();
}

static void drop(struct voice *voice, struct voice_tensor *tensor) {
    about("without %s", tensor->name);
    tensor->dropped = true;
    expect_error_naming(voice, NULL, tensor->name);
}

/* Both tensors of a convolution or norm. */
static void drop_module(struct voice *voice, struct voice_tensor *tensor) {
    size_t n = (size_t)(strrchr(tensor->name, '.') - tensor->name) + 1;
    struct speech speech;
    for (size_t i = 0; i < voice->n_tensors; i++) {
        voice->tensors[i].dropped = strncmp(voice->tensors[i].name, tensor->name, n) == 0;
    }
    about("without all of %.*s", (int)n - 1, tensor->name);
    speak_voice(voice, NULL, &speech);
    if (speech.status == UTTER_OK || speech.step > SPEAK_LOAD) {
        complain("not refused at load", &speech);
    }
    speech_free(&speech);
}

static void rename_it(struct voice *voice, struct voice_tensor *tensor) {
    about("with %s renamed", tensor->name);
    tensor->written_as = "enc_q.pre.weight";
    expect_error_naming(voice, NULL, tensor->name);
}

static void wrong_rank(struct voice *voice, struct voice_tensor *tensor) {
    int64_t dims[4] = {1};
    memcpy(dims + 1, tensor->dims, 3 * sizeof *dims);
    about("with a dimension more in %s", tensor->name);
    voice_reshape(tensor, tensor->n_dims + 1, dims);
    expect_error_naming(voice, NULL, tensor->name);
}

/* The number of symbols is read from the table itself: any is right. */
static bool is_free(const struct voice_tensor *tensor, int dim) {
    return dim == 0 && strcmp(tensor->name, "enc_p.emb.weight") == 0;
}

/* Another size may first contradict a tensor that is bound before it, so the name may be that
 * one's. */
static void resize(struct voice *voice, struct voice_tensor *tensor, int dim, int64_t by) {
    int64_t dims[4];
    struct speech speech;
    memcpy(dims, tensor->dims, sizeof dims);
    dims[dim] += by;
    voice_reshape(tensor, tensor->n_dims, dims);
    about("with dimension %d of %s changed by %d", dim, tensor->name, (int)by);
    speak_voice(voice, NULL, &speech);
    if (speech.status == UTTER_OK && !is_free(tensor, dim)) {
        complain("it speaks", &speech);
    }
    speech_free(&speech);
}

static void wrong_size(struct voice *voice, struct voice_tensor *tensor) {
    size_t index = (size_t)(tensor - voice->tensors);
    struct voice_spec spec = voice->spec;
    for (int i = 0; i < 2 * voice->tensors[index].n_dims; i++) {
        int64_t by = i % 2 ? 1 : -1;
        if (voice->tensors[index].dims[i / 2] + by > 0) {
            resize(voice, &voice->tensors[index], i / 2, by);
        }
        voice_free(voice);
        voice_build(voice, &spec, 1);
    }
}

static void poison(struct voice *voice, struct voice_tensor *tensor) {
    /* The last would be stored as exp(-infinity): an honest 0. */
    bool is_logs = strcmp(tensor->name, "dp.flows.0.logs") == 0;
    const float values[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < (is_logs ? 2 : UT_COUNT(values)); i++) {
        about("with %g in %s", values[i], tensor->name);
        float *element = &tensor->data[tensor->n / 2], old = *element;
        *element = values[i];
        expect_error_naming(voice, NULL, tensor->name);
        *element = old;
    }
}

/* Finite, but no network survives it: what comes out must still be an error or sound. */
static void make_huge(struct voice *voice, struct voice_tensor *tensor) {
    static const float values[] = {3e38f, -3e38f, 1e30f, 1e-45f};
    struct speech speech;
    for (size_t i = 0; i < UT_COUNT(values); i++) {
        about("with %g in %s", values[i], tensor->name);
        float *element = &tensor->data[tensor->n / 2], old = *element;
        *element = values[i];
        speak_voice(voice, NULL, &speech);
        *element = old;
        speech_free(&speech);
    }
    about("with 1e25 everywhere in %s", tensor->name);
    for (size_t e = 0; e < tensor->n; e++) {
        tensor->data[e] = 1e25f;
    }
    speak_voice(voice, NULL, &speech);
    speech_free(&speech);
}

static void dropped_tensors(void **state) {
    for_every_tensor(drop);
}

static void dropped_modules(void **state) {
    for_every_tensor(drop_module);
}

static void renamed_tensors(void **state) {
    for_every_tensor(rename_it);
}

static void tensors_of_wrong_rank(void **state) {
    for_every_tensor(wrong_rank);
}

static void tensors_of_wrong_size(void **state) {
    for_every_tensor(wrong_size);
}

static void poisoned_tensors(void **state) {
    for_every_tensor(poison);
}

static void huge_tensors(void **state) {
    for_every_tensor(make_huge);
}

/* ---- Geometry ----------------------------------------------------------------------------- */

struct wrong_attribute {
    const char *module, *attribute;
    int64_t value;
};

/* Values that do not belong to the weight beside them, so that no reading of them is right. */
static const struct wrong_attribute wrong_attributes[] = {
    {"dec.ups.0", "strides", 0},
    {"dec.ups.0", "strides", -1},
    {"dec.ups.0", "strides", 3},
    {"dec.ups.0", "strides", 16},
    {"dec.ups.0", "strides", INT64_MAX},
    {"dec.ups.0", "strides", INT64_MIN},
    {"dec.ups.0", "strides", INT64_MAX / 2 + 1},
    {"dec.ups.0", "strides", ((int64_t)1 << 32) + 4},
    {"dec.ups.0", "pads", 0},
    {"dec.ups.0", "pads", -2},
    {"dec.ups.0", "pads", INT64_MAX},
    {"dec.ups.0", "dilations", 2},
    {"dec.ups.0", "dilations", 0},
    {"dec.ups.0", "kernel_shape", 6},
    {"dec.ups.0", "group", 2},
    {"dec.conv_pre", "strides", 2},
    {"dec.conv_pre", "strides", 0},
    {"dec.conv_pre", "dilations", 0},
    {"dec.conv_pre", "dilations", -1},
    {"dec.conv_pre", "dilations", 1 << 20},
    {"dec.conv_pre", "dilations", INT64_MAX},
    {"dec.conv_pre", "dilations", ((int64_t)1 << 32) + 1},
    {"dec.conv_pre", "pads", 2},
    {"dec.conv_pre", "pads", -3},
    {"dec.conv_pre", "kernel_shape", 5},
    {"dec.conv_pre", "kernel_shape", 0},
    {"dec.conv_pre", "group", 4},
    {"dec.conv_post", "dilations", 2},
    {"dec.conv_post", "strides", 2},
    {"dec.conv_post", "pads", 0},
    {"flow.flows.6.enc.in_layers.1", "dilations", 3},
    {"flow.flows.6.enc.in_layers.1", "pads", 1},
    {"flow.flows.6.enc.in_layers.1", "strides", 2},
    {"flow.flows.6.enc.in_layers.1", "group", 2},
    {"flow.flows.0.enc.res_skip_layers.0", "strides", 2},
    {"flow.flows.0.pre", "strides", 2},
    {"flow.flows.0.post", "pads", 1},
    {"dp.convs.convs_sep.1", "dilations", 0},
    {"dp.convs.convs_sep.1", "dilations", 2},
    {"dp.convs.convs_sep.1", "dilations", 1 << 20},
    {"dp.convs.convs_sep.1", "group", 1},
    {"dp.convs.convs_sep.1", "strides", 2},
    {"dp.convs.convs_sep.1", "pads", 0},
    {"dp.flows.7.convs.convs_sep.2", "dilations", INT64_MIN},
    {"dp.pre", "strides", 2},
    {"enc_p.proj", "strides", 2},
    {"enc_p.encoder.attn_layers.0.conv_q", "strides", 2},
    {"enc_p.encoder.attn_layers.0.conv_q", "pads", 1},
    {"enc_p.encoder.ffn_layers.0.conv_1", "strides", 2},
    {"enc_p.encoder.ffn_layers.0.conv_1", "dilations", 2},
    {"enc_p.encoder.ffn_layers.0.conv_1", "pads", 2},
};

/* The same for the first convolution of a residual block, whose name depends on its type. */
static const struct wrong_attribute resblock_attributes[] = {
    {NULL, "dilations", 0},       {NULL, "dilations", 2},    {NULL, "dilations", -1},
    {NULL, "dilations", 1 << 20}, {NULL, "strides", 2},      {NULL, "pads", 0},
    {NULL, "pads", INT64_MAX},    {NULL, "kernel_shape", 4}, {NULL, "group", 2},
};

static void expect_wrong(const struct voice *voice, const char *module, const char *attribute,
                         int64_t value) {
    struct voice_export options = {
        .wrong_module = module, .wrong_attribute = attribute, .wrong_value = value};
    char tensor[80];
    snprintf(tensor, sizeof tensor, "%s.weight", module);
    about("%s with %s %lld", module, attribute, (long long)value);
    expect_error_naming(voice, &options, tensor);
}

static void attributes_against_weights(void **state) {
    for (int kind = 0; kind < 2; kind++) {
        struct voice voice;
        struct speech speech;
        voice_build(&voice, &specs[kind], 1);
        expect_loads(&voice, &speech);
        speech_free(&speech);
        for (size_t i = 0; i < UT_COUNT(wrong_attributes); i++) {
            const struct wrong_attribute *w = &wrong_attributes[i];
            expect_wrong(&voice, w->module, w->attribute, w->value);
        }
        for (size_t i = 0; i < UT_COUNT(resblock_attributes); i++) {
            const struct wrong_attribute *w = &resblock_attributes[i];
            const char *module = kind == 0 ? "dec.resblocks.0.convs.0" : "dec.resblocks.0.convs1.0";
            expect_wrong(&voice, module, w->attribute, w->value);
        }
        voice_free(&voice);
    }
    expect_no_problems();
}

/* An attribute left out takes ONNX's default (1; no padding; the weight's own kernel): legal where
 * that is the value anyway. */
static void missing_attributes(void **state) {
    static const struct {
        const char *attribute;
        bool fits;
    } cases[] = {{"dilations", true},
                 {"group", true},
                 {"kernel_shape", true},
                 {"strides", false},
                 {"pads", false}};
    struct voice voice;
    struct speech plain, speech;
    voice_build(&voice, &specs[0], 1);
    expect_loads(&voice, &plain);
    for (size_t i = 0; i < UT_COUNT(cases); i++) {
        struct voice_export options = {.wrong_module = "dec.ups.0",
                                       .wrong_attribute = cases[i].attribute,
                                       .attribute_missing = true};
        about("dec.ups.0 without %s", cases[i].attribute);
        if (cases[i].fits) {
            speak_voice(&voice, &options, &speech);
            if (!speech_equal(&plain, &speech)) {
                complain("it does not speak as before", &speech);
            }
            speech_free(&speech);
        } else {
            expect_error_naming(&voice, &options, "dec.ups.0.weight");
        }
    }
    speech_free(&plain);
    voice_free(&voice);
    expect_no_problems();
}

/* Sizes that fit each other but no Piper voice; the weights themselves are changed to match. */
static void kernels_that_cannot_be(void **state) {
    for (int change = 0; change < 6; change++) {
        struct voice_spec spec = specs[0];
        switch (change) {
        case 0:
            spec.kernels[0] = 4;
            break;
        case 1:
            spec.wn_kernel = 4;
            break;
        case 2:
            spec.ffn_kernel = 2;
            break;
        case 3:
            spec.dp_kernel = 2;
            break;
        case 4:
            spec.up_kernels[0] = 7;
            break; /* kernel - stride is odd */
        case 5:
            spec.up_kernels[0] = 2;
            break; /* kernel below the stride */
        }
        struct voice voice;
        struct speech speech;
        voice_build(&voice, &spec, 1);
        about("kernel change %d", change);
        speak_voice(&voice, NULL, &speech);
        if (speech.status == UTTER_OK) {
            complain("it speaks", &speech);
        }
        speech_free(&speech);
        voice_free(&voice);
    }
    expect_no_problems();
}

static void set_width(struct voice *voice, const char *table, int width) {
    const char *names[] = {"enc_p.encoder.attn_layers.0.emb_rel_k",
                           "enc_p.encoder.attn_layers.0.emb_rel_v"};
    for (int i = 0; i < 2; i++) {
        if (table[i] == '+') {
            voice_reshape(voice_find(voice, names[i]), 3, (const int64_t[]){1, 9, width});
        }
    }
}

/* The width of a head is that of its relative embedding; 4 channels make 1, 2 or 4 heads. */
static void heads_that_do_not_divide(void **state) {
    static const struct {
        const char *tables;
        int width;
        bool loads;
    } cases[] = {{"++", 2, true},  {"++", 1, true},  {"++", 4, true},  {"++", 3, false},
                 {"++", 5, false}, {"++", 8, false}, {"+-", 4, false}, {"-+", 4, false}};
    for (size_t i = 0; i < UT_COUNT(cases); i++) {
        struct voice voice;
        struct speech speech;
        voice_build(&voice, &specs[0], 1);
        set_width(&voice, cases[i].tables, cases[i].width);
        about("heads of width %d in tables %s", cases[i].width, cases[i].tables);
        speak_voice(&voice, NULL, &speech);
        if ((speech.status == UTTER_OK) != cases[i].loads) {
            complain(cases[i].loads ? "it does not speak" : "it speaks", &speech);
        }
        speech_free(&speech);
        voice_free(&voice);
    }
    expect_no_problems();
}

/* ---- Configuration ------------------------------------------------------------------------ */

struct wrong_json {
    int kind;
    const char *from, *to;
};

static const struct wrong_json wrong_json[] = {
    {0, "\"num_speakers\": 1", "\"num_speakers\": 3"},
    {0, "\"num_speakers\": 1", "\"num_speakers\": 0"},
    {0, "\"num_speakers\": 1", "\"num_speakers\": -1"},
    {0, "\"num_speakers\": 1", "\"num_speakers\": 4294967297"},
    {1, "\"num_speakers\": 3", "\"num_speakers\": 1"},
    {1, "\"num_speakers\": 3", "\"num_speakers\": 2"},
    {1, "\"num_speakers\": 3", "\"num_speakers\": 4"},
    {1, "\"speaker2\": 2", "\"speaker2\": 3"},
    {1, "\"speaker2\": 2", "\"speaker2\": -1"},
    {0, "\"num_symbols\": 12", "\"num_symbols\": 0"},
    {0, "\"num_symbols\": 12", "\"num_symbols\": \"12\""},
    {0, "\"sample_rate\": 22050", "\"sample_rate\": 1"},
    {0, "\"sample_rate\": 22050", "\"sample_rate\": 4294989346"},
    {0, "\"sample_rate\": 22050", "\"sample_rate\": 22050.5"},
    {0, "\"noise_scale\": 0.667", "\"noise_scale\": 1e999"},
    {0, "\"noise_scale\": 0.667", "\"noise_scale\": -1"},
    {0, "\"length_scale\": 1", "\"length_scale\": 0"},
    {0, "\"length_scale\": 1", "\"length_scale\": \"1\""},
    {0, "[1]", "[-1]"},
    {0, "[1]", "[2147483648]"},
    {0, "[1]", "[1.5]"},
    {0, "[1]", "1"},
    {0, "\"phoneme_id_map\": {", "\"phoneme_id_map\": 3, \"x\": {"},
    {0, "{", "["},
    {2, "\"hop_length\": 4", "\"hop_length\": 256"},
    {2, "\"hop_length\": 4", "\"hop_length\": -4"},
    {2, "\"up_rates\": [4]", "\"up_rates\": [0]"},
    {2, "\"up_rates\": [4]", "\"up_rates\": [3]"},
    {2, "\"up_rates\": [4]", "\"up_rates\": [-4]"},
    {2, "\"up_rates\": [4]", "\"up_rates\": [4294967300]"},
    {2, "\"up_rates\": [4]", "\"up_rates\": [4, 4]"},
    {2, "\"up_rates\": [4]", "\"up_rates\": []"},
    {2, "\"up_rates\": [4]", "\"up_rates\": 4"},
    {2, "\"res_dil\": [[1]]", "\"res_dil\": [[0]]"},
    {2, "\"res_dil\": [[1]]", "\"res_dil\": [[-1]]"},
    {2, "\"res_dil\": [[1]]", "\"res_dil\": [[1000000]]"},
    {2, "\"res_dil\": [[1]]", "\"res_dil\": [[1, 2]]"},
    {2, "\"res_dil\": [[1]]", "\"res_dil\": [[1], [1]]"},
    {2, "\"res_dil\": [[1]]", "\"res_dil\": []"},
    {2, "\"model\": {", "\"model\": 1, \"x\": {"},
};

static void configuration_against_model(void **state) {
    for (size_t i = 0; i < UT_COUNT(wrong_json); i++) {
        const struct wrong_json *w = &wrong_json[i];
        struct byte_buffer model = {0}, json = {0};
        struct voice voice;
        struct speech speech;
        voice_build(&voice, &specs[w->kind], 1);
        expect_loads(&voice, &speech);
        speech_free(&speech);
        write_voice(&voice, NULL, &model, &json);
        voice_replace_text(&json, w->from, w->to);
        about("%s instead of %s", w->to, w->from);
        speak_bytes(&model, &json, &speech);
        if (speech.status == UTTER_OK || speech.step > SPEAK_LOAD) {
            complain("not refused at load", &speech);
        }
        speech_free(&speech);
        byte_buffer_free(&model);
        byte_buffer_free(&json);
        voice_free(&voice);
    }
    expect_no_problems();
}

/* Symbols with ids that the table does not have: they are skipped and counted, as the voice cannot
 * say them, and the others are said as if they alone had been given. */
static void vocabulary_smaller_than_the_map(void **state) {
    struct byte_buffer model = {0}, json = {0};
    struct voice_spec spec = specs[0];
    struct voice voice;
    static const int32_t ids[] = {1, 0, 5, 12, 0, -1, 7, 0, 2147483647, 2},
                         kept[] = {1, 0, 5, 0, 7, 0, 2};
    struct ut_piper_request request = speak_request();
    struct speech some = {0}, all = {0};
    voice_build(&voice, &spec, 1);
    voice.spec.n_vocab = 40;
    write_voice(&voice, NULL, &model, &json);
    request.ids = ids;
    request.n_ids = UT_COUNT(ids);
    speak(&mem, &compute, &model, &json, &request, &some);
    request.ids = kept;
    request.n_ids = UT_COUNT(kept);
    speak(&mem, &compute, &model, &json, &request, &all);
    assert_int_equal(some.result.n_skipped_ids, 3);
    assert_true(speech_equal(&some, &all));
    speech_free(&some);
    speech_free(&all);
    voice_free(&voice);
    byte_buffer_free(&model);
    byte_buffer_free(&json);
}

/* ---- Bytes -------------------------------------------------------------------------------- */

/* Cut anywhere, a file is refused; where what is missing says nothing (the opset, behind the
 * graph), it speaks as the whole one does. */
static void cut_everywhere(struct byte_buffer *model, const struct byte_buffer *json) {
    struct speech whole, cut;
    size_t n = model->n, n_accepted = 0;
    about("the whole file");
    speak_bytes(model, json, &whole);
    for (model->n = 0; model->n < n; model->n++) {
        about("%zu of %zu bytes", model->n, n);
        speak_bytes(model, json, &cut);
        if (cut.status == UTTER_OK && !speech_equal(&whole, &cut)) {
            complain("it speaks otherwise", &cut);
        }
        n_accepted += cut.status == UTTER_OK;
        speech_free(&cut);
    }
    assert_int_equal(whole.status, UTTER_OK);
    assert_true(n_accepted <= 1);
    speech_free(&whole);
}

static void truncated_models(void **state) {
    for (int kind = 0; kind < N_KINDS; kind++) {
        struct byte_buffer model = {0}, json = {0};
        struct voice voice;
        voice_build(&voice, &specs[kind], 1);
        write_voice(&voice, NULL, &model, &json);
        cut_everywhere(&model, &json);
        voice_free(&voice);
        byte_buffer_free(&model);
        byte_buffer_free(&json);
    }
    expect_no_problems();
}

static void truncated_configurations(void **state) {
    for (int kind = 0; kind < N_KINDS; kind++) {
        struct byte_buffer model = {0}, json = {0};
        struct voice voice;
        struct speech cut;
        voice_build(&voice, &specs[kind], 1);
        write_voice(&voice, NULL, &model, &json);
        size_t n = json.n - 1; /* a line feed ends it */
        for (json.n = 0; json.n < n; json.n++) {
            about("%zu bytes of the configuration", json.n);
            speak_bytes(&model, &json, &cut);
            if (cut.status == UTTER_OK) {
                complain("it speaks", &cut);
            }
            speech_free(&cut);
        }
        voice_free(&voice);
        byte_buffer_free(&model);
        byte_buffer_free(&json);
    }
    expect_no_problems();
}

/* One bit at a time, spread over the file: an error, or sound samples. */
static void flipped_bits(void **state) {
    for (int kind = 0; kind < N_KINDS; kind++) {
        struct byte_buffer model = {0}, json = {0};
        struct voice voice;
        voice_build(&voice, &specs[kind], 1);
        write_voice(&voice, NULL, &model, &json);
        for (size_t i = 0; i < model.n; i += 29) {
            struct speech speech;
            uint8_t bit = (uint8_t)(1u << (i / 29 % 8));
            about("bit %x of byte %zu", (unsigned)bit, i);
            model.data[i] ^= bit;
            speak_bytes(&model, &json, &speech);
            model.data[i] ^= bit;
            speech_free(&speech);
        }
        voice_free(&voice);
        byte_buffer_free(&model);
        byte_buffer_free(&json);
    }
    expect_no_problems();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dropped_tensors),
        cmocka_unit_test(dropped_modules),
        cmocka_unit_test(renamed_tensors),
        cmocka_unit_test(tensors_of_wrong_rank),
        cmocka_unit_test(tensors_of_wrong_size),
        cmocka_unit_test(poisoned_tensors),
        cmocka_unit_test(huge_tensors),
        cmocka_unit_test(attributes_against_weights),
        cmocka_unit_test(missing_attributes),
        cmocka_unit_test(kernels_that_cannot_be),
        cmocka_unit_test(heads_that_do_not_divide),
        cmocka_unit_test(configuration_against_model),
        cmocka_unit_test(vocabulary_smaller_than_the_map),
        cmocka_unit_test(truncated_models),
        cmocka_unit_test(truncated_configurations),
        cmocka_unit_test(flipped_bits),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
