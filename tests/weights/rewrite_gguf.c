/* Reads a GGUF file and writes its tensors into another, with a key of each type that the writer has:
 * rewrite_gguf IN OUT. For gguf_pypi.py, which compares the two. */
#include <stdio.h>

#include "weights/gguf.h"

static utter_status put_metadata(struct ut_gguf_writer *writer, utter_error *err) {
    static const char *const words[] = {"", "two words", "\xC3\xA9"};
    utter_status status = ut_gguf_put_string(writer, "general.architecture", "utter-test", err);
    if (!status) {
        status = ut_gguf_put_string(writer, "text", "na\xC3\xAFve", err);
    }
    if (!status) {
        status = ut_gguf_put_uint32(writer, "uint32", 4000000000, err);
    }
    if (!status) {
        status = ut_gguf_put_float(writer, "float32", 0.1f, err);
    }
    if (!status) {
        status = ut_gguf_put_bool(writer, "bool", true, err);
    }
    if (!status) {
        status = ut_gguf_put_strings(writer, "words", words, 3, err);
    }
    return status;
}

static utter_status put_tensors(struct ut_gguf_writer *writer, const struct ut_weights *weights,
                                utter_error *err) {
    utter_status status = UTTER_OK;
    for (size_t i = 0; !status && i < ut_weights_count(weights); i++) {
        status = ut_gguf_put_tensor(writer, ut_weights_at(weights, i), err);
    }
    for (size_t i = 0; !status && i < ut_weights_count(weights); i++) {
        const struct ut_tensor *tensor = ut_weights_at(weights, i);
        status = ut_gguf_put_data(writer, tensor->data, tensor->n_bytes, err);
    }
    return status;
}

int main(int argc, char **argv) {
    struct ut_mem mem;
    struct ut_weights *weights = NULL;
    struct ut_gguf_writer *writer = NULL;
    utter_error err = {0};
    if (argc != 3) {
        fprintf(stderr, "usage: rewrite_gguf IN OUT\n");
        return 2;
    }
    ut_mem_init(&mem, NULL);
    utter_status status = ut_weights_open(&mem, argv[1], &weights, &err);
    if (!status) {
        status = ut_gguf_writer_create(&mem, argv[2], &writer, &err);
    }
    if (!status) {
        status = put_metadata(writer, &err);
    }
    if (!status) {
        status = put_tensors(writer, weights, &err);
    }
    if (!status) {
        status = ut_gguf_writer_finish(writer, &err);
    }
    if (status) {
        fprintf(stderr, "%s\n", err.message);
    }
    ut_gguf_writer_destroy(writer);
    ut_weights_close(weights);
    return status != UTTER_OK;
}
