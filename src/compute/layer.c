/* Packing weights into the panel order of kernels.h: [out / panel][tap][in][panel]. */
#include <string.h>

#include "base/checked.h"
#include "compute/compute.h"

struct ut_layer_source ut_layer_source_conv(const struct ut_tensor *weight,
                                            const struct ut_tensor *bias) {
    int n_in = (int)weight->dims[1], n_taps = (int)weight->dims[2];
    return (struct ut_layer_source){
        .weight = weight, .out_step = (ptrdiff_t)n_in * n_taps, .tap_step = 1, .in_step = n_taps,
        .bias = bias, .n_out = (int)weight->dims[0], .n_taps = n_taps, .n_in = n_in};
}

/* Each pack_* returns false when a value is not finite (all exponent bits set). The lane loop is
 * outermost so that the file is read in order. */
static bool pack_panel32(uint32_t *dst, const struct ut_layer_source *s, int first_out, int n_lanes,
                         int panel) {
    const char *base = (const char *)s->weight->data;
    uint32_t flip = s->negate ? UINT32_C(0x80000000) : 0, bad = 0;
    for (int lane = 0; lane < n_lanes; lane++) {
        ptrdiff_t row = s->offset + (first_out + lane) * s->out_step;
        for (int c = 0; c < s->n_in; c++) {
            for (int k = 0; k < s->n_taps; k++) {
                uint32_t bits;
                memcpy(&bits, base + (row + k * s->tap_step + c * s->in_step) * 4, 4);
                bad |= (bits & UINT32_C(0x7F800000)) == UINT32_C(0x7F800000);
                dst[((size_t)k * (size_t)s->n_in + (size_t)c) * (size_t)panel + (size_t)lane] = bits ^ flip;
            }
        }
    }
    return !bad;
}

static bool pack_panel16(uint16_t *dst, const struct ut_layer_source *s, int first_out, int n_lanes,
                         int panel) {
    const char *base = (const char *)s->weight->data;
    uint16_t flip = s->negate ? 0x8000 : 0, exponent = s->weight->type == UT_F16 ? 0x7C00 : 0x7F80;
    bool bad = false;
    for (int lane = 0; lane < n_lanes; lane++) {
        ptrdiff_t row = s->offset + (first_out + lane) * s->out_step;
        for (int c = 0; c < s->n_in; c++) {
            for (int k = 0; k < s->n_taps; k++) {
                uint16_t bits;
                memcpy(&bits, base + (row + k * s->tap_step + c * s->in_step) * 2, 2);
                bad |= (bits & exponent) == exponent;
                dst[((size_t)k * (size_t)s->n_in + (size_t)c) * (size_t)panel + (size_t)lane] = bits ^ flip;
            }
        }
    }
    return !bad;
}

static utter_status fail_not_finite(const struct ut_tensor *tensor, utter_error *err) {
    return ut_fail(err, UTTER_ERROR_FORMAT,
                   "tensor %s holds a value that is not finite: the file is damaged, fetch it again",
                   tensor->name);
}

static utter_status pack_bias(struct ut_arena *arena, const struct ut_layer_source *s, size_t n_padded,
                              float **out, utter_error *err) {
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
            bias[o] = s->negate ? -all[s->bias_offset + (size_t)o] : all[s->bias_offset + (size_t)o];
        }
    }
    *out = bias;
    return UTTER_OK;
}

utter_status ut_layer_pack(const struct ut_kernels *kernels, struct ut_arena *arena,
                           const struct ut_layer_source *source, struct ut_layer *out,
                           utter_error *err) {
    const struct ut_tensor *weight = source->weight;
    if (weight->type != UT_F32 && weight->type != UT_F16 && weight->type != UT_BF16) {
        return ut_fail(err, UTTER_ERROR_UNSUPPORTED, "tensor %s is %s: only f32, f16 and bf16 weights "
                       "are supported", weight->name, ut_dtype_name(weight->type));
    }
    int panel = kernels->panel, n_panels = (source->n_out + panel - 1) / panel;
    size_t size = ut_dtype_size(weight->type);
    size_t stride = (size_t)source->n_taps * (size_t)source->n_in * (size_t)panel;
    char *panels = ut_arena_alloc(arena, (size_t)n_panels * stride, size);
    if (!panels) {
        return ut_fail_memory(err, (size_t)n_panels * stride * size);
    }
    bool finite = true;
    for (int p = 0; p < n_panels; p++) {
        void *dst = panels + (size_t)p * stride * size;
        int n_lanes = UT_MIN(panel, source->n_out - p * panel);
        if (n_lanes < panel) {
            memset(dst, 0, stride * size);
        }
        finite &= size == 4 ? pack_panel32(dst, source, p * panel, n_lanes, panel)
                            : pack_panel16(dst, source, p * panel, n_lanes, panel);
    }
    if (!finite) {
        return fail_not_finite(weight, err);
    }
    *out = (struct ut_layer){.panels = panels, .type = weight->type, .n_out = source->n_out,
                             .n_in = source->n_in, .n_taps = source->n_taps};
    return pack_bias(arena, source, (size_t)n_panels * (size_t)panel, &out->bias, err);
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
            return fail_not_finite(tensor, err);
        }
    }
    *out = values;
    return UTTER_OK;
}
