/* Packing weights into the panel order of kernels.h: [out / panel][tap][in][panel]. */
#include <stdatomic.h>
#include <string.h>

#include "base/checked.h"
#include "compute/layer.h"

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

static void pack_panels(void *user, int begin, int end) {
    struct pack_job *job = user;
    const struct ut_layer_source *s = job->source;
    ptrdiff_t size = (ptrdiff_t)ut_dtype_size(s->weight->type);
    size_t panel_bytes = (size_t)s->n_taps * (size_t)s->n_in * (size_t)job->panel * (size_t)size;
    for (int p = begin; p < end; p++) {
        char *dst = job->panels + (size_t)p * panel_bytes;
        int n_lanes = UT_MIN(job->panel, s->n_out - p * job->panel);
        if (n_lanes < job->panel) {
            memset(dst, 0, panel_bytes);
        }
        for (int first = 0; first < s->n_in * s->n_taps; first += BLOCK) {
            struct offsets o;
            list_offsets(job, first, &o);
            for (int lane = 0; lane < n_lanes; lane++) {
                ptrdiff_t at = s->offset + ((ptrdiff_t)p * job->panel + lane) * s->out_step;
                if (move_lane(s, &o, dst + lane * size,
                              (const char *)s->weight->data + at * size)) {
                    atomic_store(&job->bad, true);
                }
            }
        }
    }
}

utter_status ut_layer_fail_not_finite(const struct ut_tensor *tensor, utter_error *err) {
    return ut_fail(
        err, UTTER_ERROR_FORMAT,
        "tensor %s holds a value that is not finite: the file is damaged, fetch it again",
        tensor->name);
}

utter_status ut_layer_fail_type(const struct ut_tensor *tensor, utter_error *err) {
    return ut_fail(err, UTTER_ERROR_UNSUPPORTED,
                   "tensor %s is %s: only f32, f16 and bf16 weights are supported", tensor->name,
                   ut_dtype_name(tensor->type));
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

utter_status ut_layer_pack(const struct ut_compute *compute, struct ut_arena *arena,
                           const struct ut_layer_source *source, struct ut_layer *out,
                           utter_error *err) {
    const struct ut_tensor *weight = source->weight;
    if (weight->type != UT_F32 && weight->type != UT_F16 && weight->type != UT_BF16) {
        return ut_layer_fail_type(weight, err);
    }
    int panel = compute->kernels->panel, n_panels = (source->n_out + panel - 1) / panel;
    size_t n = (size_t)n_panels * (size_t)panel * (size_t)source->n_taps * (size_t)source->n_in;
    struct pack_job job = {.source = source,
                           .panel = panel,
                           .panels = ut_arena_alloc(arena, n, ut_dtype_size(weight->type))};
    if (!job.panels) {
        return ut_fail_memory(err, n * ut_dtype_size(weight->type));
    }
    ut_pool_run(compute->pool, n_panels, 1, pack_panels, &job);
    if (job.bad) {
        return ut_layer_fail_not_finite(weight, err);
    }
    *out = (struct ut_layer){.panels = job.panels,
                             .type = weight->type,
                             .n_out = source->n_out,
                             .n_in = source->n_in,
                             .n_taps = source->n_taps};
    return ut_layer_pack_bias(arena, source, (size_t)n_panels * (size_t)panel, &out->bias, err);
}

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
