/* Packing weights into the panel order of kernels.h: [out / panel][tap][in][panel]. */
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/checked.h"
#include "base/half_float.h"
#include "compute/layer.h"
#include "compute/minimal.h"
#include "compute/narrow.h"
#include "quant/half.h"

struct ut_layer_source ut_layer_source_conv(const struct ut_tensor *weight,
                                            const struct ut_tensor *bias) {
    int n_in = (int)weight->dims[1], n_taps = (int)weight->dims[2];
    return (struct ut_layer_source){.weight = weight,
                                    .out_step = (ptrdiff_t)n_in * n_taps,
                                    .tap_step = 1,
                                    .in_step = n_taps,
                                    .bias = bias,
                                    .n_out = (int)weight->dims[0],
                                    .n_taps = n_taps,
                                    .n_in = n_in};
}

/* Source elements of a panel that are moved together: their destination rows stay in the
 * first-level cache while one lane after the other is written. */
enum { BLOCK = 32 };

struct pack_job {
    const struct ut_layer_source *source;
    char *panels;
    int panel;
    bool in_fours;    /* elements lie as move_4_lanes wants them */
    _Atomic bool bad; /* a value is not finite */
};

/* One element: flips the sign where asked, and tells whether all exponent bits are set. */
static inline bool move32(char *dst, const char *src, uint32_t flip) {
    uint32_t bits;
    memcpy(&bits, src, 4);
    bool bad = (bits & UINT32_C(0x7F800000)) == UINT32_C(0x7F800000);
    bits ^= flip;
    memcpy(dst, &bits, 4);
    return bad;
}

static inline bool move16(char *dst, const char *src, uint16_t flip, uint16_t exponent) {
    uint16_t bits;
    memcpy(&bits, src, 2);
    bool bad = (bits & exponent) == exponent;
    bits ^= flip;
    memcpy(dst, &bits, 2);
    return bad;
}

/* Byte offsets of up to BLOCK elements (c, k), k fastest, from element `first` on: in the source
 * from the lane's first element, in the destination from the panel's. */
struct offsets {
    ptrdiff_t src[BLOCK], dst[BLOCK];
    int n;
};

/* The same for every lane and panel, so the divisions are made once for a block. */
static void list_offsets(const struct pack_job *job, int first, struct offsets *o) {
    const struct ut_layer_source *s = job->source;
    ptrdiff_t size = (ptrdiff_t)ut_dtype_size(s->weight->type);
    o->n = UT_MIN(BLOCK, s->n_in * s->n_taps - first);
    int c = first / s->n_taps, k = first % s->n_taps;
    for (int i = 0; i < o->n; i++) {
        o->src[i] = (c * s->in_step + k * s->tap_step) * size;
        o->dst[i] = ((ptrdiff_t)k * s->n_in + c) * job->panel * size;
        c += ++k == s->n_taps;
        k = k == s->n_taps ? 0 : k;
    }
}

/* Whether a value was not finite; all are moved in either case. */
static bool move_lane(const struct ut_layer_source *s, const struct offsets *o, char *dst,
                      const char *src) {
    bool bad = false;
    if (s->weight->type == UT_F32) {
        for (int i = 0; i < o->n; i++) {
            bad |= move32(dst + o->dst[i], src + o->src[i], s->negate ? UINT32_C(0x80000000) : 0);
        }
    } else {
        uint16_t exponent = s->weight->type == UT_F16 ? 0x7C00 : 0x7F80;
        for (int i = 0; i < o->n; i++) {
            bad |= move16(dst + o->dst[i], src + o->src[i], s->negate ? 0x8000 : 0, exponent);
        }
    }
    return bad;
}

/* ---- Four lanes at a time: floats whose elements lie behind each other, as in most layers -------
 */

typedef uint32_t u32x4 __attribute__((vector_size(16)));

static inline u32x4 load4(const char *src) {
    u32x4 v;
    memcpy(&v, src, sizeof v);
    return v;
}

/* Four elements of four lanes: from rows of lanes to rows of elements. */
static inline void transpose(u32x4 out[4], const u32x4 in[4]) {
    u32x4 a = __builtin_shufflevector(in[0], in[1], 0, 4, 1, 5);
    u32x4 b = __builtin_shufflevector(in[2], in[3], 0, 4, 1, 5);
    u32x4 c = __builtin_shufflevector(in[0], in[1], 2, 6, 3, 7);
    u32x4 d = __builtin_shufflevector(in[2], in[3], 2, 6, 3, 7);
    out[0] = __builtin_shufflevector(a, b, 0, 1, 4, 5);
    out[1] = __builtin_shufflevector(a, b, 2, 3, 6, 7);
    out[2] = __builtin_shufflevector(c, d, 0, 1, 4, 5);
    out[3] = __builtin_shufflevector(c, d, 2, 3, 6, 7);
}

/* A block of whole fours. Fetching the next one ahead makes a layer 1.3 times faster: each lane's
 * is in another page, which the processor does not foresee. */
static bool move_4_lanes(const struct ut_layer_source *s, const struct offsets *o, char *dst,
                         const char *src) {
    const u32x4 exponent = {0x7F800000, 0x7F800000, 0x7F800000, 0x7F800000};
    uint32_t sign = s->negate ? UINT32_C(0x80000000) : 0;
    const u32x4 flip = {sign, sign, sign, sign};
    u32x4 bad = {0};
    for (int lane = 0; lane < 4; lane++) {
        const char *next_block = src + o->src[0] + (BLOCK + lane * s->out_step) * 4;
        __builtin_prefetch(next_block);
        __builtin_prefetch(next_block + BLOCK * 2);
    }
    for (int i = 0; i + 4 <= o->n; i += 4) {
        u32x4 in[4], out[4];
        for (int lane = 0; lane < 4; lane++) {
            in[lane] = load4(src + o->src[i] + lane * s->out_step * 4);
            bad |= (u32x4)((in[lane] & exponent) == exponent);
        }
        transpose(out, in);
        for (int j = 0; j < 4; j++) {
            out[j] ^= flip;
            memcpy(dst + o->dst[i + j], &out[j], sizeof out[j]);
        }
    }
    return bad[0] || bad[1] || bad[2] || bad[3];
}

/* Elements of a channel lie behind each other when taps are fastest and channels follow. */
static bool in_fours(const struct ut_layer_source *s) {
    return s->weight->type == UT_F32 && s->tap_step == 1 && s->in_step == s->n_taps &&
           s->n_in * s->n_taps % 4 == 0;
}

/* ---- Panels --------------------------------------------------------------------------------- */

/* A block of elements of all lanes of a panel; src is the first lane's first element. */
static bool move_block(const struct pack_job *job, const struct offsets *o, char *dst,
                       const char *src, int n_lanes) {
    const struct ut_layer_source *s = job->source;
    ptrdiff_t size = (ptrdiff_t)ut_dtype_size(s->weight->type);
    bool bad = false;
    int lane = 0;
    if (job->in_fours) {
        for (; lane + 4 <= n_lanes; lane += 4) {
            bad |= move_4_lanes(s, o, dst + lane * size, src + lane * s->out_step * size);
        }
    }
    for (; lane < n_lanes; lane++) {
        bad |= move_lane(s, o, dst + lane * size, src + lane * s->out_step * size);
    }
    return bad;
}

/* Panels begin..end - 1, each by one thread. The last panel's unused lanes are zeros, so that
 * kernels need no case for them. */
static void pack_panels(void *user, int begin, int end) {
    struct pack_job *job = user;
    const struct ut_layer_source *s = job->source;
    ptrdiff_t size = (ptrdiff_t)ut_dtype_size(s->weight->type);
    size_t panel_bytes = (size_t)s->n_taps * (size_t)s->n_in * (size_t)job->panel * (size_t)size;
    bool bad = false;
    for (int p = begin; p < end; p++) {
        char *dst = job->panels + (size_t)p * panel_bytes;
        ptrdiff_t at = s->offset + (ptrdiff_t)p * job->panel * s->out_step;
        int n_lanes = UT_MIN(job->panel, s->n_out - p * job->panel);
        if (n_lanes < job->panel) {
            memset(dst, 0, panel_bytes);
        }
        for (int first = 0; first < s->n_in * s->n_taps; first += BLOCK) {
            struct offsets o;
            list_offsets(job, first, &o);
            bad |= move_block(job, &o, dst, (const char *)s->weight->data + at * size, n_lanes);
        }
    }
    if (bad) {
        atomic_store(&job->bad, true);
    }
}

utter_status ut_layer_fail_not_finite(const struct ut_tensor *tensor, utter_error *err) {
    return ut_fail(
        err, UTTER_ERROR_FORMAT,
        "tensor %s holds a value that is not finite: the file is damaged, fetch it again",
        tensor->name);
}

/* Output channels of the whole tensor that a source may be a part of. What lies between two outputs
 * or two inputs, whichever is nearer, are the taps of one kernel: all of them, where the source
 * itself has those of one phase. */
static uint64_t n_whole(const struct ut_layer_source *source) {
    uint64_t n_taps = (uint64_t)UT_MIN(source->out_step, source->in_step);
    return ut_tensor_n_elements(source->weight) / ((uint64_t)source->n_in * n_taps);
}

/* Scales stand beside 8-bit weights, or are steps that narrow arithmetic is to round to; only the
 * former must be positive here. */
static utter_status check_scales(const struct ut_layer_source *source, utter_error *err) {
    const struct ut_tensor *weight = source->weight, *scale = source->scale;
    uint64_t n = n_whole(source);
    if (scale->type != UT_F32 || ut_tensor_n_elements(scale) != n) {
        return ut_fail(
            err, UTTER_ERROR_FORMAT,
            "tensor %s has %llu values of type %s, expected f32, one for each of the %llu "
            "output channels of %s",
            scale->name, (unsigned long long)ut_tensor_n_elements(scale),
            ut_dtype_name(scale->type), (unsigned long long)n, weight->name);
    }
    for (int o = 0; weight->type == UT_I8 && o < source->n_out; o++) {
        float step = ut_layer_scale(source, o);
        if (!(step > 0 && isfinite(step))) {
            return ut_fail(err, UTTER_ERROR_FORMAT,
                           "tensor %s: value %llu is %g: a scale is a positive number", scale->name,
                           (unsigned long long)source->bias_offset + (unsigned)o, (double)step);
        }
    }
    return UTTER_OK;
}

/* Narrow arithmetic has no weight of -128, which float would have. */
static utter_status check_range(const struct ut_tensor *weight, utter_error *err) {
    const char *least = memchr(weight->data, INT8_MIN, weight->n_bytes);
    return least ? ut_fail(err, UTTER_ERROR_FORMAT,
                           "tensor %s: value %zu is -128: weights in 8 bits are -127 to 127",
                           weight->name, (size_t)(least - (const char *)weight->data))
                 : UTTER_OK;
}

utter_status ut_layer_fail_type(const struct ut_tensor *tensor, utter_error *err) {
    return ut_fail(err, UTTER_ERROR_UNSUPPORTED,
                   "tensor %s is %s: only f32, f16, bf16 and i8 weights are supported",
                   tensor->name, ut_dtype_name(tensor->type));
}

utter_status ut_layer_check(const struct ut_layer_source *source, utter_error *err) {
    const struct ut_tensor *weight = source->weight;
    if (weight->type == UT_I8 && !source->scale) {
        return ut_fail(
            err, UTTER_ERROR_UNSUPPORTED,
            "tensor %s is i8 and has no scales, the tensor %s.scale: without them only f32, f16 "
            "and bf16 weights are supported",
            weight->name, weight->name);
    }
    if (weight->type != UT_F32 && weight->type != UT_F16 && weight->type != UT_BF16 &&
        weight->type != UT_I8) {
        return ut_layer_fail_type(weight, err);
    }
    utter_status status = source->scale ? check_scales(source, err) : UTTER_OK;
    return status == UTTER_OK && weight->type == UT_I8 ? check_range(weight, err) : status;
}

float ut_layer_scale(const struct ut_layer_source *source, int o) {
    float step;
    memcpy(&step,
           (const char *)source->scale->data + (source->bias_offset + (size_t)o) * sizeof step,
           sizeof step);
    return step;
}

/* Tensors of ONNX files lie at any address. */
static float load_f32(const struct ut_tensor *tensor, ptrdiff_t i) {
    float value;
    memcpy(&value, (const char *)tensor->data + i * (ptrdiff_t)sizeof value, sizeof value);
    return value;
}

static uint16_t load_16(const struct ut_tensor *tensor, ptrdiff_t i) {
    uint16_t bits;
    memcpy(&bits, (const char *)tensor->data + i * (ptrdiff_t)sizeof bits, sizeof bits);
    return bits;
}

/* Any type that a weight may have, as float, without its scale. */
static float element(const struct ut_tensor *tensor, ptrdiff_t i) {
    switch (tensor->type) {
    case UT_I8:
        return ((const int8_t *)tensor->data)[i];
    case UT_F16:
        return ut_float_from_f16(load_16(tensor, i));
    case UT_BF16:
        return ut_float_from_bf16(load_16(tensor, i));
    default:
        return load_f32(tensor, i);
    }
}

/* The order [n_taps, n_in] is that of panels, whatever the tensor's own. */
bool ut_layer_read_channel(const struct ut_layer_source *s, int o, float *w) {
    bool finite = true;
    float step = s->weight->type == UT_I8 ? ut_layer_scale(s, o) : 1;
    for (int k = 0; k < s->n_taps; k++) {
        ptrdiff_t at = s->offset + o * s->out_step + k * s->tap_step;
        for (int c = 0; c < s->n_in; c++) {
            float v = element(s->weight, at + c * s->in_step) * step;
            finite = finite && isfinite(v);
            *w++ = v;
        }
    }
    return finite;
}

utter_status ut_layer_pack_bias(struct ut_arena *arena, const struct ut_layer_source *s,
                                size_t n_padded, float **out, utter_error *err) {
    float *bias = ut_arena_alloc(arena, n_padded, sizeof *bias), *all = NULL;
    if (!bias) {
        return ut_fail_memory(err, n_padded * sizeof *bias);
    }
    memset(bias, 0, n_padded * sizeof *bias);
    if (s->bias) {
        utter_status status = ut_tensor_load(arena, s->bias, &all, err);
        if (status) {
            return status;
        }
        for (int o = 0; o < s->n_out; o++) {
            bias[o] =
                s->negate ? -all[s->bias_offset + (size_t)o] : all[s->bias_offset + (size_t)o];
        }
    }
    *out = bias;
    return UTTER_OK;
}

utter_status ut_layer_pack_panels(const struct ut_compute *compute,
                                  const struct ut_layer_source *source, void *panels,
                                  utter_error *err) {
    int panel = compute->kernels->panel, n_panels = (source->n_out + panel - 1) / panel;
    struct pack_job job = {
        .source = source, .panel = panel, .in_fours = in_fours(source), .panels = panels};
    ut_pool_run(compute->pool, n_panels, 1, pack_panels, &job);
    return job.bad ? ut_layer_fail_not_finite(source->weight, err) : UTTER_OK;
}

static bool fits_half(const struct ut_tensor *tensor) {
    for (ptrdiff_t i = 0, n = (ptrdiff_t)ut_tensor_n_elements(tensor); i < n; i++) {
        if (!(fabsf(load_f32(tensor, i)) < 65504)) {
            return false; /* what is not finite is reported from its f32 */
        }
    }
    return true;
}

/* Packs f32 weights as f16. */
static utter_status pack_halves(const struct ut_compute *compute,
                                const struct ut_layer_source *source, struct ut_mem *mem,
                                void *panels, utter_error *err) {
    size_t n = (size_t)ut_tensor_n_elements(source->weight);
    uint16_t *halves = ut_mem_alloc(mem, UT_MEM_OTHER, n * sizeof *halves);
    if (!halves) {
        return ut_fail_memory(err, n * sizeof *halves);
    }
    for (size_t i = 0; i < n; i++) {
        halves[i] = ut_f16_from_f32(load_f32(source->weight, (ptrdiff_t)i));
    }
    struct ut_tensor weight = *source->weight;
    weight.type = UT_F16;
    weight.data = halves;
    weight.n_bytes = n * sizeof *halves;
    struct ut_layer_source half = *source;
    half.weight = &weight;
    utter_status status = ut_layer_pack_panels(compute, &half, panels, err);
    ut_mem_free(mem, halves);
    return status;
}

/* Minimal filtering where the source allows it and the sizes are worth it, else halves where
 * allowed, else as stored. */
static utter_status pack_floats(const struct ut_compute *compute, struct ut_arena *arena,
                                const struct ut_layer_source *source, struct ut_layer *out,
                                utter_error *err) {
    const struct ut_tensor *weight = source->weight;
    const struct ut_minimal_scheme *scheme =
        source->minimal && weight->type == UT_F32
            ? ut_minimal_choose(compute, source->n_in, source->n_out, source->n_taps)
            : NULL;
    bool half = source->half && !scheme && weight->type == UT_F32 && fits_half(weight);
    int panel = compute->kernels->panel, n_panels = (source->n_out + panel - 1) / panel;
    size_t n_padded = (size_t)n_panels * (size_t)panel;
    size_t n = n_padded * (size_t)source->n_taps * (size_t)source->n_in;
    *out = (struct ut_layer){.type = half ? UT_F16 : weight->type,
                             .n_out = source->n_out,
                             .n_in = source->n_in,
                             .n_taps = source->n_taps};
    utter_status status = UTTER_OK;
    if (scheme) {
        status = ut_minimal_pack(compute, arena, scheme, source, out, err);
    } else if (!(out->panels = ut_arena_alloc(arena, n, ut_dtype_size(out->type)))) {
        status = ut_fail_memory(err, n * ut_dtype_size(out->type));
    } else if (half) {
        status = pack_halves(compute, source, arena->mem, out->panels, err);
    } else {
        status = ut_layer_pack_panels(compute, source, out->panels, err);
    }
    return status ? status : ut_layer_pack_bias(arena, source, n_padded, &out->bias, err);
}

/* Weights in 8 bits as floats, for a layer that is run in float. */
static utter_status pack_expanded(const struct ut_compute *compute, struct ut_arena *arena,
                                  const struct ut_layer_source *source, struct ut_layer *out,
                                  utter_error *err) {
    size_t n_channel = (size_t)source->n_taps * (size_t)source->n_in;
    size_t n_bytes = (size_t)source->n_out * n_channel * sizeof(float);
    float *values = ut_mem_alloc(arena->mem, UT_MEM_OTHER, n_bytes);
    if (!values) {
        return ut_fail_memory(err, n_bytes);
    }
    bool finite = true;
    for (int o = 0; o < source->n_out; o++) {
        finite &= ut_layer_read_channel(source, o, values + (size_t)o * n_channel);
    }
    struct ut_tensor weight = *source->weight;
    weight.type = UT_F32;
    weight.data = values;
    weight.n_bytes = n_bytes;
    struct ut_layer_source floats = *source;
    floats.weight = &weight;
    floats.offset = 0;
    floats.out_step = (ptrdiff_t)n_channel;
    floats.tap_step = source->n_in;
    floats.in_step = 1;
    utter_status status = finite ? pack_floats(compute, arena, &floats, out, err)
                                 : ut_layer_fail_not_finite(source->weight, err);
    ut_mem_free(arena->mem, values);
    return status;
}

utter_status ut_layer_pack(const struct ut_compute *compute, struct ut_arena *arena,
                           const struct ut_layer_source *source, struct ut_layer *out,
                           utter_error *err) {
    utter_status status = ut_layer_check(source, err);
    return status ? status
                  : (source->weight->type == UT_I8 ? pack_expanded : pack_floats)(compute, arena,
                                                                                  source, out, err);
}

/* x - x is 0 for finite values only. */
utter_status ut_tensor_load(struct ut_arena *arena, const struct ut_tensor *tensor, float **out,
                            utter_error *err) {
    size_t n = (size_t)ut_tensor_n_elements(tensor);
    float *values = ut_arena_alloc(arena, n, sizeof *values);
    if (!values) {
        return ut_fail_memory(err, n * sizeof *values);
    }
    if (!ut_tensor_to_f32(tensor, values)) {
        return ut_fail(err, UTTER_ERROR_UNSUPPORTED, "tensor %s is %s where floats are needed",
                       tensor->name, ut_dtype_name(tensor->type));
    }
    for (size_t i = 0; i < n; i++) {
        if (!(values[i] - values[i] == 0)) {
            return ut_layer_fail_not_finite(tensor, err);
        }
    }
    *out = values;
    return UTTER_OK;
}

/* ---- Counting -----------------------------------------------------------------------------------
 */

void ut_layer_count(const struct ut_compute *compute, const struct ut_layer *layer, int n_rows) {
    if (!compute->tally) {
        return;
    }
    if (layer->narrow) {
        ut_narrow_layer_count(compute, layer->narrow, n_rows);
        return;
    }
    int panel = compute->kernels->panel;
    const struct ut_minimal *minimal = layer->minimal;
    uint64_t n_stored_taps =
        minimal ? (uint64_t)ut_minimal_n_points(minimal) * (uint64_t)minimal->scheme->n_pieces
                : (uint64_t)layer->n_taps;
    uint64_t n_in = (uint64_t)layer->n_in;
    uint64_t n_padded = (uint64_t)((layer->n_out + panel - 1) / panel * panel);
    ut_tally_count(compute->tally, UT_TALLY_F32,
                   (uint64_t)layer->n_taps * n_in * (uint64_t)layer->n_out * (uint64_t)n_rows,
                   layer->panels,
                   (size_t)(n_stored_taps * n_in * n_padded) * ut_dtype_size(layer->type));
}
