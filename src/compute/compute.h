/* Operations on whole activations: they split rows over the thread pool and call kernels. Results
 * are bit-identical for any number of threads, because kernels compute each row by itself.
 *
 * Activations are channels-last: row = time step. "[T, C]" in comments means T rows of C channels.
 */
#ifndef UT_COMPUTE_COMPUTE_H
#define UT_COMPUTE_COMPUTE_H

#include "base/error.h"
#include "base/mem.h"
#include "compute/arena.h"
#include "compute/pool.h"
#include "compute/tally.h"
#include "kernels/kernels.h"
#include "weights/weights.h"

/* What the large layers of a model compute in. What decides lengths and pitch stays in float. */
enum ut_precision {
    UT_PRECISION_AUTO, /* as the model file stores its weights */
    UT_PRECISION_F32,
    UT_PRECISION_BF16,
    UT_PRECISION_INT8
};

/* What operations need besides their data. All of it is borrowed; only `tally` is written through
 * it. */
struct ut_compute {
    const struct ut_kernels *kernels;
    struct ut_pool *pool;
    enum ut_precision precision;
    bool exact;                             /* no layer by minimal filtering */
    const struct ut_minimal_table *minimal; /* which layers are; NULL: built in (minimal.h) */
    struct ut_tally *tally;                 /* of one session; NULL: nothing is counted */
};

struct ut_narrow_layer;

/* Weights of a convolution or linear layer in the panel order of one processor level. */
struct ut_layer {
    void *panels; /* f32, f16 or bf16 by type */
    float *bias;  /* padded to a multiple of the panel; never NULL */
    enum ut_dtype type;
    int n_out, n_in, n_taps;
    /* Not NULL: a layer in narrow arithmetic, which has no panels: for ut_time_conv_run and
     * narrow.h alone. */
    const struct ut_narrow_layer *narrow;
    const struct ut_minimal *minimal; /* the panels are those of minimal.h; NULL: plain ones */
};

/* The convolution for weights stored as `type`: f16, bf16, else f32. */
typedef void (*ut_conv_fn)(const struct ut_conv *op);
static inline ut_conv_fn ut_conv_kernel(const struct ut_kernels *kernels, enum ut_dtype type) {
    return type == UT_F16    ? kernels->conv_f16
           : type == UT_BF16 ? kernels->conv_bf16
                             : kernels->conv_f32;
}

/* Counts a layer, in its narrow form where it has one, that is applied to n_rows output rows
 * (layer.c). */
void ut_layer_count(const struct ut_compute *compute, const struct ut_layer *layer, int n_rows);

/* Where a layer's weights lie in a tensor: element (o, k, c) at offset + o * out_step + k *
 * tap_step + c * in_step. Steps may be negative (taps in reverse); the caller guarantees that all
 * elements are inside the tensor. */
struct ut_layer_source {
    const struct ut_tensor *weight; /* f32, f16, bf16, or i8 times `scale` */
    ptrdiff_t offset, out_step, tap_step, in_step;
    const struct ut_tensor *bias; /* NULL: zeros */
    size_t bias_offset;
    /* f32, the weight's steps: of output channel o at bias_offset + o, one for each channel of the
     * whole tensor. Of other weights than i8 they are what narrow arithmetic rounds to, for layers
     * that are parts of one tensor; NULL: as each layer asks for. */
    const struct ut_tensor *scale;
    bool negate;  /* weights and bias: folds a subtraction into the layer */
    bool half;    /* f32 weights may be kept as f16, where memory counts more than 11 bits */
    bool minimal; /* may be packed for minimal filtering: stride 1, run by those who know of it */
    int n_out, n_taps, n_in;
};

/* The source of an ordinary convolution weight [n_out, n_in, n_taps]. */
struct ut_layer_source ut_layer_source_conv(const struct ut_tensor *weight,
                                            const struct ut_tensor *bias);

/* Packs in the storage type of the tensor, i8 as f32. ERROR_FORMAT names the tensor when a value is
 * not finite or -128 of i8, or the scales are not one positive number for each channel, ERROR_UNSUPPORTED when its
 * type has no kernel. */
UTTER_CHECKED utter_status ut_layer_pack(const struct ut_compute *compute, struct ut_arena *arena,
                                         const struct ut_layer_source *source, struct ut_layer *out,
                                         utter_error *err);

/* All elements of a small tensor as f32 in `arena`, checked to be finite. */
UTTER_CHECKED utter_status ut_tensor_load(struct ut_arena *arena, const struct ut_tensor *tensor,
                                          float **out, utter_error *err);

/* A convolution: `op` describes rows and addends (kernels.h); weights, bias (unless op->bias is
 * set) and counts are taken from the layer. */
void ut_conv(const struct ut_compute *compute, const struct ut_layer *layer,
             const struct ut_conv *op);

/* Rows of `op` over threads; counts and steps as kernels.h has them. */
void ut_depthwise(const struct ut_compute *compute, const struct ut_depthwise *op);

/* y = layer norm of x + add (add may be NULL) over n_ch channels, all with row pitch n_ch. */
struct ut_norm {
    const float *gamma, *beta;
    float eps;
};
void ut_layernorm(const struct ut_compute *compute, const struct ut_norm *norm, float *y,
                  const float *x, const float *add, int n_rows, int n_ch);

/* y = tanh(a) * sigmoid(b), a and b the halves of the rows of x [n_rows, 2 * n_ch]. */
void ut_gate(const struct ut_compute *compute, float *y, const float *x, int n_rows, int n_ch);

/* x = x * Phi(x), the erf form, in place; x [n_rows, n_ch]. */
void ut_gelu(const struct ut_compute *compute, float *x, int n_rows, int n_ch);

/* y[t] = tanh(sum_i x[t * x_row + i] * w[i]) and, where `linear` is not NULL, the sum itself: the
 * last convolution of a vocoder, whose n = taps * channels inputs lie next to each other. */
void ut_conv_tanh(const struct ut_compute *compute, float *y, float *linear, const float *x,
                  ptrdiff_t x_row, const float *w, int n, int n_rows);

/* y = gelu_new(x), the tanh form, in place. */
void ut_gelu_tanh(const struct ut_compute *compute, float *x, int n_rows, int n_ch);

/* A bidirectional LSTM. Gates in the order i, f, g, o. */
struct ut_lstm {
    int n_in, n_hidden;
    struct {
        struct ut_layer input;     /* n_in -> 4 * n_hidden, with the sum of both biases */
        struct ut_layer recurrent; /* n_hidden -> 4 * n_hidden, without bias */
    } directions[2];               /* forward, backward */
};
/* x [n_rows, n_in] with row pitch x_row to y [n_rows, 2 * n_hidden] with row pitch y_row: the
 * forward direction, then the backward one. The two directions run side by side. Takes scratch from
 * `arena`; false when there is no memory. */
bool ut_lstm_run(const struct ut_compute *compute, struct ut_arena *arena,
                 const struct ut_lstm *lstm, const float *x, ptrdiff_t x_row, float *y,
                 ptrdiff_t y_row, int n_rows);

/* Multi-head self-attention with learned relative positions within +-window (Shaw et al.,
 * arXiv:1803.02155), as in VITS: scores q k / sqrt(d) plus q rel_k / sqrt(d) in the band, softmax,
 * then p v plus the band of p times rel_v. */
struct ut_attention {
    const float *q, *k, *v; /* [n_rows, n_heads * d], row pitch n_heads * d */
    float *y;               /* the same shape; may be q */
    int n_rows, n_heads, d;
    int window;                           /* 0 and NULL tables: plain attention */
    const struct ut_layer *rel_k, *rel_v; /* rel_k: d -> 2 * window + 1; rel_v: back */
};
/* Takes scratch from `arena`; false when there is no memory. */
bool ut_attention(const struct ut_compute *compute, struct ut_arena *arena,
                  const struct ut_attention *op);

#endif
