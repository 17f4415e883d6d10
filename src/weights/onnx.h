/* The part of an ONNX graph that says which weight belongs where: nodes with their names, inputs,
 * outputs and integer attributes. Nothing is ever executed. */
#ifndef UT_WEIGHTS_ONNX_H
#define UT_WEIGHTS_ONNX_H

#include "weights/weights.h"

struct ut_onnx_attribute {
    const char *name;
    const int64_t *ints; /* INT: one value; INTS: all; else none */
    size_t n_ints;
    const struct ut_tensor *tensor; /* TENSOR (the value of a Constant), else NULL */
};

/* Names and arrays live as long as the weights table. */
struct ut_onnx_node {
    const char *name;          /* "/dec/conv_pre/Conv"; "" when the exporter left it out */
    const char *op_type;       /* "Conv" */
    const char *const *inputs; /* "" for an omitted optional input */
    size_t n_inputs;
    const char *const *outputs;
    size_t n_outputs;
    const struct ut_onnx_attribute *attributes;
    size_t n_attributes;
};

struct ut_onnx_graph {
    const struct ut_onnx_node *nodes;
    size_t n_nodes;
    const char *const *inputs; /* graph inputs that are no initializers, in order */
    size_t n_inputs;
    const char *const *outputs;
    size_t n_outputs;
    int64_t opset; /* of the default domain; 0 when not stated, which IR versions below 3 may do */
};

/* The first attribute of that name; NULL when the node has none. Linear: nodes have a handful. */
const struct ut_onnx_attribute *ut_onnx_attribute(const struct ut_onnx_node *node,
                                                  const char *name);

#endif
