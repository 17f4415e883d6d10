/* Weights files from memory, whatever the format; one program per format, with its own corpus,
 * dictionary and mutator. What is accepted is used to the last byte and converted, and read under
 * the names of Piper's modules; what looks like Kokoro also under canonical names. */
#include "fuzz.h"
#include "models/kokoro/layout.h"
#include "models/piper/tensor_map.h"
#include "weights_check.h"

static void check_status(utter_status status, const utter_error *err) {
    REQUIRE(err->code == status && err->message[0] != '\0');
    REQUIRE(status == UTTER_ERROR_FORMAT || status == UTTER_ERROR_UNSUPPORTED);
}

/* Every tensor is made, has the values that it promises, and is dropped. */
static void use_kokoro(struct ut_mem *mem, const struct ut_weights *weights) {
    struct ut_kokoro_tensors *tensors;
    utter_error err = {0};
    utter_status status = ut_kokoro_tensors_create(mem, weights, &tensors, &err);
    if (status) {
        check_status(status, &err);
        return;
    }
    for (size_t i = 0; i < ut_kokoro_tensors_count(tensors); i++) {
        const struct ut_tensor *tensor;
        const char *name = ut_kokoro_tensors_name(tensors, i);
        REQUIRE(ut_kokoro_tensor_exists(tensors, name));
        status = ut_kokoro_tensor_get(tensors, name, &tensor, &err);
        if (status) {
            check_status(status, &err);
            continue;
        }
        uint64_t n = ut_tensor_n_elements(tensor);
        float *values = test_alloc((size_t)n * sizeof *values + 1);
        REQUIRE(tensor->n_bytes == n * ut_dtype_size(tensor->type));
        REQUIRE(ut_tensor_to_f32(tensor, values) == (tensor->type != UT_I8)); /* needs a scale */
        free(values);
        ut_kokoro_tensor_drop(tensors, tensor);
    }
    ut_kokoro_tensors_destroy(tensors);
}

/* The tensors under the names of Piper's modules, of any file: a graph that is mostly another's
 * too. */
static void use_piper(struct ut_mem *mem, const struct ut_weights *weights) {
    static const char config[] = "{\"model\": {}}";
    struct ut_arena arena;
    struct ut_piper_map map;
    struct ut_json *json;
    utter_error err = {0};
    ut_arena_init(&arena, mem, UT_MEM_OTHER);
    REQUIRE(ut_json_parse(mem, config, sizeof config - 1, &json, &err) == UTTER_OK);
    utter_status status = ut_piper_map_build(&arena, weights, json, &map, &err);
    if (status == UTTER_ERROR_NOT_FOUND) { /* metadata that a GGUF of utter's has */
        REQUIRE(err.code == status && err.message[0] != '\0');
    } else if (status) {
        check_status(status, &err);
    }
    for (size_t i = 0; status == UTTER_OK && i < map.n_named; i++) {
        REQUIRE(ut_piper_map_use(&map, map.named[i].name) != NULL);
        (void)ut_piper_map_geometry(&map, map.named[i].name);
    }
    ut_json_free(json);
    ut_arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct ut_mem mem;
    ut_mem_init(&mem, NULL);
    struct parsed parsed = parse_copy(&mem, data, n);
    REQUIRE(atomic_load(&mem.peak_bytes) <= 4 * n + (16 << 20) + 65536);
    if (parsed.weights) {
        use_weights(parsed.weights);
        if (ut_kokoro_detect(parsed.weights)) {
            use_kokoro(&mem, parsed.weights);
        }
        use_piper(&mem, parsed.weights);
    } else {
        check_status(parsed.status, &parsed.err);
    }
    drop_parsed(&parsed);
    REQUIRE(atomic_load(&mem.bytes[UT_MEM_WEIGHTS]) + atomic_load(&mem.bytes[UT_MEM_OTHER]) == 0);
    return 0;
}
