/* A Kokoro model from hostile bytes to samples. The input says which sizes a tiny model is built
 * with, how its tensors are then mutated (dropped, doubled, renamed, reshaped, retyped, their
 * values changed), which sizes its configuration states, and what is asked of it; what is left says
 * which arithmetic is asked for and which tensors are then stored in 8 bits and mutated again. So
 * most inputs get past the parser, and many past the loader.
 *
 * Whatever the bytes: an error with a message or samples within -1..1, and nothing left allocated.
 */
#include <string.h>

#include "base/checked.h"
#include "fuzz.h"
#include "support/kokoro_builder.h"
#include "support/kokoro_speak.h"
#include "support/speak.h"

enum {
    MAX_CHANGES = 6, /* of sizes */
    MAX_MUTATIONS = 8,
    MAX_IDS = 8,
    MAX_VALUES = 1 << 16, /* of a tensor that is given a new shape */
    MOST_FRAMES = 16,
    N_STYLE = 64
};

/* Takes what the fuzzer offers from the front; zeros when nothing is left. */
struct input {
    const uint8_t *data;
    size_t n;
};

static uint64_t take(struct input *input, size_t n_bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < n_bytes && input->n > 0; i++, input->data++, input->n--) {
        value |= (uint64_t)*input->data << (8 * i);
    }
    return value;
}

static float take_float(struct input *input) {
    uint32_t bits = (uint32_t)take(input, 4);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* ---- Sizes ------------------------------------------------------------------------------------
 */

static void change_size(struct input *input, struct kokoro_spec *s) {
    int *const fields[] = {
        &s->n_token,           &s->n_embed,      &s->n_albert,
        &s->n_heads,           &s->n_ffn,        &s->n_repeats,
        &s->n_positions,       &s->n_hidden,     &s->n_style,
        &s->max_dur,           &s->n_cnn,        &s->cnn_kernel,
        &s->n_duration_layers, &s->n_curve,      &s->n_decoder,
        &s->n_asr_res,         &s->n_initial,    &s->n_harmonics,
        &s->n_kernels,         &s->kernels[0],   &s->kernels[1],
        &s->n_dilations,       &s->dilations[0], &s->dilations[1],
        &s->noise_kernel,      &s->post_kernel,  &s->up_kernels[0],
        &s->up_kernels[1],
    };
    *fields[take(input, 1) % UT_COUNT(fields)] = 1 + (int)(take(input, 1) % 24);
}

/* Rates and transforms that make 300 samples of a row; anything else is refused early. */
static void choose_rates(struct input *input, struct kokoro_spec *s) {
    static const struct {
        int n, rates[KOKORO_SPEC_MAX], n_fft, hop;
    } choices[] = {{2, {10, 6}, 20, 5}, {1, {60}, 20, 5},         {3, {5, 2, 6}, 10, 5},
                   {2, {5, 5}, 24, 12}, {4, {5, 1, 4, 3}, 20, 5}, {2, {10, 30}, 2, 1},
                   {1, {2}, 300, 150},  {2, {64, 64}, 1024, 1024}};
    size_t i = take(input, 1) % UT_COUNT(choices);
    s->n_stages = choices[i].n;
    s->n_fft = choices[i].n_fft;
    s->hop = choices[i].hop;
    for (int j = 0; j < s->n_stages; j++) {
        s->rates[j] = choices[i].rates[j];
        s->up_kernels[j] = s->rates[j] + 2 * (int)(take(input, 1) % 8);
    }
    s->n_initial = 1 << s->n_stages << take(input, 1) % 2;
}

/* What the builder itself needs: lists that fit, nothing of no size. */
static void keep_buildable(struct kokoro_spec *s) {
    for (int i = 0; i < KOKORO_SPEC_MAX; i++) {
        s->kernels[i] = UT_MAX(s->kernels[i], 1);
        s->dilations[i] = UT_MAX(s->dilations[i], 1);
    }
    s->n_kernels = UT_MIN(s->n_kernels, 2);
    s->n_dilations = UT_MIN(s->n_dilations, 2);
    s->n_repeats = UT_MIN(s->n_repeats, 4);
    s->n_cnn = UT_MIN(s->n_cnn, 10);
    s->n_duration_layers = UT_MIN(s->n_duration_layers, 10);
    s->n_initial = UT_MAX(s->n_initial, 1 << s->n_stages);
    s->max_dur = UT_MAX(s->max_dur, 2);
    s->frames_per_id = 1;
}

/* Sizes that the configuration states; the tensors keep theirs. */
static void contradict(struct input *input, struct kokoro_spec *s) {
    int *const fields[] = {&s->n_token,   &s->n_heads,    &s->n_repeats,    &s->n_positions,
                           &s->n_hidden,  &s->n_style,    &s->max_dur,      &s->n_cnn,
                           &s->n_stages,  &s->rates[0],   &s->rates[1],     &s->rates[2],
                           &s->n_kernels, &s->kernels[0], &s->n_dilations,  &s->dilations[0],
                           &s->n_fft,     &s->hop,        &s->up_kernels[0]};
    size_t i = take(input, 1) % UT_COUNT(fields);
    bool is_count =
        fields[i] == &s->n_stages || fields[i] == &s->n_kernels || fields[i] == &s->n_dilations;
    int value = (int)(int16_t)take(input, 2);
    *fields[i] = is_count ? (int)((unsigned)value % (KOKORO_SPEC_MAX + 1)) : value;
}

/* ---- Tensors ----------------------------------------------------------------------------------
 */

static void change_values(struct input *input, struct ut_tensor *tensor) {
    float *values = (float *)(uintptr_t)tensor->data;
    size_t n = tensor->n_bytes / sizeof *values, first = take(input, 2) % (n + 1);
    float value = take_float(input);
    size_t n_changed = 1 + take(input, 1);
    for (size_t i = first; i < n && i - first < n_changed; i++) {
        values[i] = value;
    }
}

static void change_shape(struct input *input, struct ut_tensor *tensor) {
    uint64_t dims[UT_MAX_DIMS] = {0}, n = 1;
    size_t n_dims = take(input, 1) % (UT_MAX_DIMS + 1);
    for (size_t i = 0; i < n_dims; i++) {
        dims[i] = 1 + take(input, 1);
        dims[i] = UT_MIN(dims[i], MAX_VALUES / n);
        n *= dims[i];
    }
    tensor_file_reshape(tensor, dims);
}

static const char *any_name(struct input *input, const struct tensor_file *tensors) {
    return tensors->tensors[take(input, 2) % tensors->n].name;
}

static void add_tensor(struct input *input, struct tensor_file *tensors) {
    static const char *const extra[] = {"decoder.encode.pool.weight",
                                        "decoder.encode.pool.bias",
                                        "decoder.decode.1.pool.weight",
                                        "decoder.decode.1.pool.bias",
                                        "predictor.F0.0.pool.weight",
                                        "predictor.F0.0.pool.bias",
                                        "decoder.encode.conv1x1.weight",
                                        "text_encoder.cnn.1.0.weight",
                                        "bert.pooler.weight",
                                        "decoder.generator.resblocks.9.alpha1.0",
                                        "decoder.module.encode.conv1.weight_g"};
    struct ut_tensor copy = tensors->tensors[take(input, 2) % tensors->n];
    tensor_file_copy(tensors, extra[take(input, 1) % UT_COUNT(extra)], &copy);
}

static void mutate_tensor(struct input *input, struct tensor_file *tensors) {
    static const enum ut_dtype types[] = {UT_F16, UT_BF16, UT_I64};
    struct ut_tensor *tensor = &tensors->tensors[take(input, 2) % tensors->n];
    switch (take(input, 1) % 8) {
    case 0:
        tensor_file_remove(tensors, tensor->name);
        break;
    case 1:
        tensor_file_rename(tensor, any_name(input, tensors));
        break;
    case 2:
        change_shape(input, tensor);
        break;
    case 3:
        if (tensor->type == UT_F32) {
            tensor_file_convert(tensor, types[take(input, 1) % UT_COUNT(types)]);
        }
        break;
    case 4:
        tensor->dims[take(input, 1) % UT_MAX_DIMS] = take(input, 8); /* not what is stored */
        break;
    case 5:
        add_tensor(input, tensors);
        break;
    default:
        if (tensor->type == UT_F32) {
            change_values(input, tensor);
        }
        break;
    }
}

/* All layers in 16 bits, as published files are. */
static void convert_all(struct tensor_file *tensors, enum ut_dtype type) {
    for (size_t i = 0; i < tensors->n; i++) {
        if (tensors->tensors[i].n_dims > 1 && tensors->tensors[i].type == UT_F32) {
            tensor_file_convert(&tensors->tensors[i], type);
        }
    }
}

/* Floats that no mutation gave other dimensions than they have. */
static bool is_intact(const struct ut_tensor *tensor) {
    uint64_t n = tensor->n_bytes / sizeof(float);
    for (int i = 0; i < UT_MAX_DIMS && n > 0; i++) {
        n = tensor->dims[i] && n % tensor->dims[i] == 0 ? n / tensor->dims[i] : 0;
    }
    return tensor->type == UT_F32 && n == 1;
}

/* All layers that an import stores so, or one tensor of any kind, with their scales. */
static void store_int8(struct input *input, struct tensor_file *tensors) {
    bool all = take(input, 1) == 0;
    size_t n = tensors->n, only = take(input, 2) % n;
    for (size_t i = 0; i < n; i++) {
        struct ut_tensor *tensor = &tensors->tensors[i];
        bool is_layer = strncmp(tensor->name, "decoder.", 8) == 0 && tensor->n_dims == 3 &&
                        strstr(tensor->name, ".weight") && !strstr(tensor->name, ".pool.");
        if ((all ? is_layer : i == only) && is_intact(tensor)) {
            tensor_file_store_int8(tensors, tensor, strstr(tensor->name, ".ups.") != NULL);
        }
    }
}

static void build(struct input *input, uint8_t kind, enum ut_precision *precision,
                  struct byte_buffer *model, struct byte_buffer *config) {
    struct kokoro_spec spec = kokoro_spec_minimal();
    struct tensor_file tensors = {0};
    if (kind & 1) {
        choose_rates(input, &spec);
    }
    for (size_t n = kind & 2 ? 1 + take(input, 1) % MAX_CHANGES : 0; n > 0; n--) {
        change_size(input, &spec);
    }
    keep_buildable(&spec);
    kokoro_build(&spec, kind, &tensors);
    for (size_t n = kind & 4 ? 1 + take(input, 1) % MAX_MUTATIONS : 0; n > 0; n--) {
        mutate_tensor(input, &tensors);
    }
    if (kind & 8) {
        convert_all(&tensors, kind & 1 ? UT_F16 : UT_BF16);
    }
    if (kind & 16) {
        contradict(input, &spec);
    }
    uint8_t narrow = (uint8_t)take(input, 1);
    *precision = (enum ut_precision)(narrow % 4);
    if (narrow & 4) {
        store_int8(input, &tensors);
    }
    for (size_t n = narrow & 8 ? 1 + take(input, 1) % MAX_MUTATIONS : 0; n > 0; n--) {
        mutate_tensor(input, &tensors);
    }
    tensor_file_write_safetensors(&tensors, model);
    kokoro_write_config(&spec, config);
    tensor_file_free(&tensors);
}

/* ---- The run ----------------------------------------------------------------------------------
 */

static struct ut_kokoro_request ask(struct input *input, uint8_t kind, int32_t ids[MAX_IDS],
                                    float style[N_STYLE]) {
    struct ut_kokoro_request request = kokoro_request();
    memcpy(style, request.style, N_STYLE * sizeof *style);
    request.style = style;
    request.n_ids = 3;
    if (kind & 32) {
        request.n_ids = take(input, 1) % (MAX_IDS + 1);
        request.trim = take(input, 1) & 1;
        for (size_t i = 0; i < MAX_IDS; i++) {
            ids[i] = (int32_t)(int8_t)take(input, 1);
        }
        request.ids = ids;
    }
    if (kind & 64) {
        request.speed = take_float(input);
        style[take(input, 1) % N_STYLE] = take_float(input);
        request.seed = take(input, 2);
        request.zero_noise = take(input, 1) & 1;
    }
    return request;
}

static void check(const struct kokoro_speech *speech) {
    if (speech->status != UTTER_OK) {
        REQUIRE(speech->err.code == speech->status && speech->err.message[0] != '\0');
        REQUIRE(speech->status != UTTER_ERROR_INTERNAL && speech->status != UTTER_ERROR_MEMORY);
    }
    REQUIRE(kokoro_speech_is_sound(speech));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct input input = {data, n};
    struct byte_buffer model = {0}, config = {0};
    struct ut_mem mem;
    struct ut_compute compute;
    struct kokoro_speech speech = {0};
    int32_t ids[MAX_IDS];
    float style[N_STYLE];
    utter_error err;
    uint8_t kind = (uint8_t)take(&input, 1);
    struct ut_kokoro_request request = ask(&input, kind, ids, style);
    enum ut_precision precision;
    build(&input, kind, &precision, &model, &config);
    /* Without an observer stages take shorter ways; then nothing may make a run long. */
    bool is_short = !(kind & (2 | 4 | 64));
    speech.most_frames = kind & 128 && is_short ? 0 : MOST_FRAMES;
    ut_mem_init(&mem, NULL);
    enum ut_cpu_level level = n % 2 ? UT_CPU_SCALAR : ut_cpu_level_best();
    if (speak_compute_open(&mem, level, 1, &compute, &err) == UTTER_OK) {
        compute.precision = precision;
        kokoro_speak(&mem, &compute, &model, &config, &request, N_STYLE, &speech);
        check(&speech);
        speak_compute_close(&compute);
    }
    for (int i = 0; i < UT_MEM_N_OWNERS; i++) {
        REQUIRE(atomic_load(&mem.bytes[i]) == 0);
    }
    kokoro_speech_free(&speech);
    byte_buffer_free(&model);
    byte_buffer_free(&config);
    return 0;
}
