/* A Piper or house voice from hostile bytes to samples. The first byte picks a tiny voice that is
 * built in memory, the rest are mutations of it, so that most inputs get past the parser: tensors
 * dropped, reshaped, renamed or set to any number, attributes and configuration contradicted, bytes
 * changed. With the second highest bit of the first byte set, the next byte says which arithmetic
 * is asked for and whether layers of a house voice are stored in 8 bits. With the highest bit set,
 * the rest is a configuration and a model file as they are: two bytes with the length of the JSON,
 * JSON, model.
 *
 * Whatever the bytes: an error with a message or samples within -1..1, and nothing left allocated.
 */
#include <string.h>

#include "base/checked.h"
#include "fuzz.h"
#include "support/speak.h"
#include "support/tensor_file.h"
#include "support/voice_builder.h"

enum { MAX_MUTATIONS = 8 };

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

/* ---- Mutations ---------------------------------------------------------------------------- */

static void mutate_values(struct input *input, struct voice_tensor *tensor) {
    uint32_t bits = (uint32_t)take(input, 4);
    size_t first = take(input, 2) % (tensor->n + 1), n = take(input, 1);
    for (size_t i = first; i < tensor->n && i <= first + n; i++) {
        memcpy(&tensor->data[i], &bits, sizeof bits);
    }
}

static void mutate_shape(struct input *input, struct voice_tensor *tensor) {
    int n_dims = 1 + (int)(take(input, 1) % 4);
    int64_t dims[4];
    for (int i = 0; i < n_dims; i++) {
        dims[i] = (int64_t)(take(input, 1) % 40);
    }
    voice_reshape(tensor, n_dims, dims);
}

static void mutate_tensor(struct input *input, struct voice *voice) {
    struct voice_tensor *tensor = &voice->tensors[take(input, 2) % voice->n_tensors];
    switch (take(input, 1) % 6) {
    case 0:
        tensor->dropped = true;
        break;
    case 1:
        tensor->written_as = voice->tensors[take(input, 2) % voice->n_tensors].name;
        break;
    case 2:
        mutate_shape(input, tensor);
        break;
    case 3:
        tensor->dims[take(input, 1) % 4] = (int64_t)take(input, 8);
        break; /* not what is stored */
    default:
        mutate_values(input, tensor);
        break;
    }
}

/* Sizes that the configuration and the attributes state; the tensors keep theirs. */
static void mutate_spec(struct input *input, struct voice_spec *spec) {
    int *const fields[] = {
        &spec->sample_rate_hz, &spec->n_vocab,       &spec->n_heads,    &spec->n_speakers,
        &spec->rates[0],       &spec->up_kernels[0], &spec->kernels[0], &spec->dilations[0][0],
        &spec->ffn_kernel,     &spec->wn_kernel,     &spec->dp_kernel,  &spec->window,
    };
    *fields[take(input, 1) % UT_COUNT(fields)] = (int)(int8_t)take(input, 1);
}

static void mutate_attribute(struct input *input, const struct voice *voice, char module[80],
                             struct voice_export *options) {
    static const char *const attributes[] = {"strides", "dilations", "pads", "kernel_shape",
                                             "group"};
    snprintf(module, 80, "%s", voice->tensors[take(input, 2) % voice->n_tensors].name);
    *strrchr(module, '.') = '\0';
    options->wrong_module = module;
    options->wrong_attribute = attributes[take(input, 1) % UT_COUNT(attributes)];
    options->attribute_missing = take(input, 1) & 1;
    options->wrong_value = (int64_t)take(input, 8);
}

static void mutate_bytes(struct input *input, struct byte_buffer *bytes) {
    size_t at = take(input, 3) % (bytes->n + 1);
    switch (take(input, 1) % 3) {
    case 0:
        bytes->n = at;
        break;
    case 1:
        *byte_buffer_insert(bytes, at, 1) = (uint8_t)take(input, 1);
        break;
    default:
        if (at < bytes->n) {
            bytes->data[at] = (uint8_t)take(input, 1);
        }
    }
}

/* Another length, unless the byte is 0, and another value. */
static void mutate_scale(struct input *input, struct ut_tensor *scale) {
    uint64_t length = take(input, 1);
    if (length > 0) {
        tensor_file_reshape(scale, (const uint64_t[UT_MAX_DIMS]){length});
    }
    size_t n = scale->n_bytes / sizeof(float), at = take(input, 1) % UT_MAX(n, 1);
    uint32_t bits = (uint32_t)take(input, 4);
    if (n > 0) {
        memcpy((float *)(uintptr_t)scale->data + at, &bits, sizeof bits);
    }
}

/* All layers that an import stores so, or one tensor of any kind; the scales of one may be changed.
 */
static void store_tensors(struct input *input, struct tensor_file *tensors) {
    bool all = take(input, 1) == 0;
    size_t n = tensors->n, only = take(input, 2) % n;
    for (size_t i = 0; i < n; i++) {
        struct ut_tensor *tensor = &tensors->tensors[i];
        bool is_layer = tensor->n_dims == 3 && strncmp(tensor->name, "dp.", 3) != 0 &&
                        strncmp(tensor->name, "enc_p.", 6) != 0 && !strstr(tensor->name, "post");
        if ((all ? is_layer : i == only) && tensor->type == UT_F32 && tensor->n_bytes > 0) {
            tensor_file_store_int8(tensors, tensor, strstr(tensor->name, ".ups.") != NULL);
        }
    }
    size_t chosen = take(input, 2) % (tensors->n - n + 1);
    if (chosen > 0) {
        mutate_scale(input, &tensors->tensors[n + chosen - 1]);
    }
}

static void store_int8(struct input *input, struct byte_buffer *model) {
    struct ut_mem mem;
    struct ut_weights *weights;
    struct tensor_file tensors = {0};
    utter_error err;
    ut_mem_init(&mem, NULL);
    if (ut_weights_parse(&mem, model->data, model->n, &weights, &err) != UTTER_OK) {
        return;
    }
    tensor_file_read(&tensors, weights);
    ut_weights_close(weights);
    if (tensors.n > 0) {
        store_tensors(input, &tensors);
    }
    model->n = 0;
    tensor_file_write_safetensors(&tensors, model);
    tensor_file_free(&tensors);
}

static void build(struct input *input, uint8_t kind, uint8_t narrow, struct byte_buffer *model,
                  struct byte_buffer *json) {
    struct voice_spec spec = kind % 3 == 0   ? voice_spec_tiny()
                             : kind % 3 == 1 ? voice_spec_tiny_multi()
                                             : voice_spec_house(true);
    struct voice_export options = {.logs = (enum voice_logs)(kind / 3 % 3), .half = kind / 9 % 2};
    struct voice voice;
    char module[80];
    voice_build(&voice, &spec, 1);
    for (int i = 0; i < MAX_MUTATIONS && input->n > 0; i++) {
        uint64_t what = take(input, 1) % 8;
        if (what == 0) {
            break; /* the rest goes into the bytes */
        } else if (what == 1) {
            mutate_spec(input, &voice.spec);
        } else if (what == 2) {
            mutate_attribute(input, &voice, module, &options);
        } else {
            mutate_tensor(input, &voice);
        }
    }
    if (voice.spec.house) {
        voice_write_safetensors(&voice, options.half, model);
        if (narrow & 4) {
            store_int8(input, model);
        }
    } else {
        voice_write_onnx(&voice, &options, model);
    }
    voice_write_json(&voice, json);
    for (int i = 0; i < MAX_MUTATIONS && input->n > 0; i++) {
        mutate_bytes(input, take(input, 1) % 2 ? model : json);
    }
    voice_free(&voice);
}

static void take_files(struct input *input, struct byte_buffer *model, struct byte_buffer *json) {
    size_t n_stated = take(input, 2), n_json = UT_MIN(n_stated, input->n);
    byte_buffer_append(json, input->data, n_json);
    byte_buffer_append(model, input->data + n_json, input->n - n_json);
}

/* ---- The run ------------------------------------------------------------------------------ */

static void check(const struct speech *speech) {
    if (speech->status != UTTER_OK) {
        REQUIRE(speech->err.code == speech->status && speech->err.message[0] != '\0');
        REQUIRE(speech->status != UTTER_ERROR_INTERNAL);
    }
    REQUIRE(speech_is_sound(speech));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static const int32_t ids[] = {1, 0, 5, 0, 2};
    struct input input = {data, n};
    struct byte_buffer model = {0}, json = {0};
    struct ut_mem mem;
    struct ut_compute compute;
    struct speech speech = {.most_samples = 1 << 16};
    struct ut_piper_request request = speak_request();
    utter_error err;
    uint8_t kind = (uint8_t)take(&input, 1);
    uint8_t narrow = kind & 0x40 ? (uint8_t)take(&input, 1) : 0;
    if (kind & 0x80) {
        take_files(&input, &model, &json);
    } else {
        build(&input, kind, narrow, &model, &json);
    }
    ut_mem_init(&mem, NULL);
    request.ids = ids;
    request.n_ids = UT_COUNT(ids);
    request.length_scale = 0.1f;
    if (speak_compute_open(&mem, UT_CPU_SCALAR, 1, &compute, &err) == UTTER_OK) {
        compute.precision = (enum ut_precision)(narrow % 4);
        speak(&mem, &compute, &model, &json, &request, &speech);
        check(&speech);
        speak_compute_close(&compute);
    }
    for (int i = 0; i < UT_MEM_N_OWNERS; i++) {
        REQUIRE(atomic_load(&mem.bytes[i]) == 0);
    }
    speech_free(&speech);
    byte_buffer_free(&model);
    byte_buffer_free(&json);
    return 0;
}
