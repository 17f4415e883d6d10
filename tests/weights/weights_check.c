/* See weights_check.h. */
#include "weights_check.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "weights/file_map.h"
#include "weights/gguf.h"
#include "weights/onnx.h"

static void require(bool condition, const char *what) {
    if (!condition) {
        fprintf(stderr, "broken promise: %s\n", what);
        abort();
    }
}

static uint64_t use_bytes(const void *data, size_t n) {
    const uint8_t *bytes = data;
    uint64_t sum = n;
    for (size_t i = 0; i < n; i++) {
        sum = sum * 31 + bytes[i];
    }
    return sum;
}

static uint64_t use_tensor(const struct ut_tensor *tensor) {
    require(tensor->type >= 0 && tensor->type < UT_N_DTYPES, "the type exists");
    require(tensor->n_dims >= 0 && tensor->n_dims <= UT_MAX_DIMS, "0 to 4 dimensions");
    unsigned __int128 n = 1;
    for (int d = 0; d < UT_MAX_DIMS; d++) {
        require(d < tensor->n_dims || tensor->dims[d] == 1, "unused dimensions are 1");
        n *= tensor->dims[d];
        require(n <= SIZE_MAX, "the size fits");
    }
    require(tensor->dims[UT_MAX(tensor->n_dims, 1) - 1] % ut_dtype_block(tensor->type) == 0, "rows of whole blocks");
    require(ut_tensor_n_elements(tensor) == n, "elements");
    require(n / ut_dtype_block(tensor->type) * ut_dtype_size(tensor->type) == tensor->n_bytes, "size = shape * type");
    uint64_t sum = use_bytes(tensor->name, strlen(tensor->name)) + use_bytes(tensor->data, tensor->n_bytes);
    float *values = test_alloc(ut_tensor_n_elements(tensor) * sizeof *values);
    if (ut_tensor_to_f32(tensor, values)) {
        sum += use_bytes(values, ut_tensor_n_elements(tensor) * sizeof *values);
    }
    free(values);
    return sum;
}

static uint64_t use_strings(const char *const *strings, size_t n) {
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += use_bytes(strings[i], strlen(strings[i]));
    }
    return sum;
}

static uint64_t use_node(const struct ut_onnx_node *node) {
    uint64_t sum = use_strings(&node->name, 1) + use_strings(&node->op_type, 1) +
                   use_strings(node->inputs, node->n_inputs) + use_strings(node->outputs, node->n_outputs);
    require(*node->op_type != '\0', "a node has an operator");
    for (size_t i = 0; i < node->n_attributes; i++) {
        const struct ut_onnx_attribute *attribute = &node->attributes[i];
        require(ut_onnx_attribute(node, attribute->name) != NULL, "an attribute is found");
        sum += use_bytes(attribute->ints, attribute->n_ints * sizeof *attribute->ints);
        sum += attribute->tensor ? use_tensor(attribute->tensor) : 0;
    }
    return sum;
}

/* The value of a key under the one type that it has, if it has one of those that getters exist for. */
static uint64_t use_value(const struct ut_weights *weights, const char *key, const char *text) {
    const char *string = NULL;
    const char *const *strings = NULL;
    int64_t integer = 0;
    double real = 0;
    bool flag = false;
    size_t n = 0;
    require(ut_gguf_has(weights, key), "a key is found");
    int n_types = (ut_gguf_get_string(weights, key, &string, NULL) == UTTER_OK) +
                  (ut_gguf_get_strings(weights, key, &strings, &n, NULL) == UTTER_OK) +
                  (ut_gguf_get_int(weights, key, &integer, NULL) == UTTER_OK) +
                  (ut_gguf_get_float(weights, key, &real, NULL) == UTTER_OK) +
                  (ut_gguf_get_bool(weights, key, &flag, NULL) == UTTER_OK);
    require(n_types <= 1, "a value has one type");
    require(!string || string == text, "a string is the metadata's text");
    return use_strings(strings, n) + (uint64_t)integer + flag;
}

uint64_t use_weights(const struct ut_weights *weights) {
    uint64_t sum = ut_weights_file_bytes(weights) + (uint64_t)ut_weights_format(weights);
    for (size_t i = 0; i < ut_weights_count(weights); i++) {
        const struct ut_tensor *tensor = ut_weights_at(weights, i);
        require(ut_weights_find(weights, tensor->name) == tensor, "a tensor is found by its name");
        sum += use_tensor(tensor);
        ut_weights_release(weights, tensor);
    }
    for (size_t i = 0; i < ut_weights_n_metadata(weights); i++) {
        const char *texts[2];
        ut_weights_metadata(weights, i, &texts[0], &texts[1]);
        sum += use_strings(texts, 2);
        if (ut_weights_format(weights) == UT_FORMAT_GGUF) {
            sum += use_value(weights, texts[0], texts[1]);
        }
    }
    const struct ut_onnx_graph *graph = ut_weights_onnx(weights);
    require((graph != NULL) == (ut_weights_format(weights) == UT_FORMAT_ONNX), "ONNX has a graph");
    if (graph) {
        sum += use_strings(graph->inputs, graph->n_inputs) + use_strings(graph->outputs, graph->n_outputs);
        for (size_t i = 0; i < graph->n_nodes; i++) {
            sum += use_node(&graph->nodes[i]);
        }
    }
    require(ut_weights_check(weights, NULL) == UTTER_OK, "an untouched file is intact");
    return sum;
}

struct parsed parse_copy(struct ut_mem *mem, const void *data, size_t n) {
    struct parsed parsed = {.copy = test_alloc(n)};
    if (n > 0) {
        memcpy(parsed.copy, data, n);
    }
    parsed.status = ut_weights_parse(mem, parsed.copy, n, &parsed.weights, &parsed.err);
    require((parsed.weights == NULL) == (parsed.status != UTTER_OK), "a table or an error");
    return parsed;
}

void drop_parsed(struct parsed *parsed) {
    ut_weights_close(parsed->weights);
    free(parsed->copy);
}

utter_status try_parse(struct ut_mem *mem, const struct byte_buffer *file, const char *message) {
    struct parsed parsed = parse_copy(mem, file->data, file->n);
    if (parsed.weights) {
        use_weights(parsed.weights);
    } else if (message && !strstr(parsed.err.message, message)) {
        fprintf(stderr, "message \"%s\" without \"%s\"\n", parsed.err.message, message);
        parsed.status = UTTER_ERROR_INTERNAL;
    }
    utter_status status = parsed.status;
    drop_parsed(&parsed);
    return status;
}

static struct sigaction sigbus_handler;

void remember_sigbus_handler(void) {
    struct ut_mem mem;
    struct ut_file_map map;
    ut_mem_init(&mem, NULL);
    require(ut_file_map_open(&mem, "/proc/self/exe", &map, NULL) == UTTER_OK, "a program can map itself");
    ut_file_map_close(&map);
    require(sigaction(SIGBUS, NULL, &sigbus_handler) == 0, "sigaction");
}

void restore_sigbus_handler(void) {
    require(sigaction(SIGBUS, &sigbus_handler, NULL) == 0, "sigaction");
}
