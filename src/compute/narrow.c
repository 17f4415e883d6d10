/* See narrow.h. */
#include "compute/narrow.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/checked.h"
#include "compute/layer.h"

enum { ROW_GRAIN = 24 };

const struct ut_narrow *ut_narrow_kind(const struct ut_compute *compute) {
    return compute->precision == UT_PRECISION_INT8   ? compute->kernels->i8
           : compute->precision == UT_PRECISION_BF16 ? compute->kernels->b16
                                                     : NULL;
}

const char *ut_narrow_precision(const struct ut_compute *compute) {
    return !ut_narrow_kind(compute)                  ? "f32"
           : compute->precision == UT_PRECISION_INT8 ? "int8"
                                                     : "bf16";
}

/* ---- Packing ------------------------------------------------------------------------------------
 */

struct pack_job {
    const struct ut_layer_source *source;
    const struct ut_narrow_layer *layer;
    int first;        /* panel of the wave's first one */
    float *scratch;   /* [panels of a wave, panel, n_taps, n_in] */
    _Atomic bool bad; /* a value is not finite */
};

/* Panels of a wave, each by one thread, in scratch of its own. A scale of 0 asks the packer to find
 * it. */
static void pack_panels(void *user, int begin, int end) {
    struct pack_job *job = user;
    const struct ut_narrow_layer *layer = job->layer;
    int panel = layer->kind->panel;
    size_t n_channel = (size_t)layer->n_taps * (size_t)layer->n_in;
    for (int i = begin; i < end; i++) {
        int p = job->first + i, n = UT_MIN(panel, layer->n_out - p * panel);
        float *w = job->scratch + (size_t)i * (size_t)panel * n_channel;
        for (int o = 0; o < n; o++) {
            float *channel = w + (size_t)o * n_channel;
            if (!ut_layer_read_channel(job->source, p * panel + o, channel)) {
                job->bad = true;
                return;
            }
            for (size_t j = 0; job->source->negate && j < n_channel; j++) {
                channel[j] = -channel[j];
            }
            layer->scale[p * panel + o] =
                job->source->scale ? ut_layer_scale(job->source, p * panel + o) : 0;
        }
        char *out = (char *)layer->panels +
                    (size_t)p * layer->kind->panel_bytes(layer->n_taps, layer->n_in);
        layer->kind->pack(out, layer->scale + p * panel, w, n, layer->n_taps, layer->n_in,
                          layer->zero);
    }
}

/* A wave of panels at a time, so that little float scratch is needed at once. */
static utter_status pack_all(const struct ut_compute *compute, struct ut_mem *mem,
                             const struct ut_layer_source *source,
                             const struct ut_narrow_layer *layer, int n_panels, utter_error *err) {
    int wave = UT_MIN(ut_pool_threads(compute->pool), n_panels);
    size_t n =
        (size_t)wave * (size_t)layer->kind->panel * (size_t)layer->n_taps * (size_t)layer->n_in;
    struct pack_job job = {.source = source,
                           .layer = layer,
                           .scratch = ut_mem_alloc(mem, UT_MEM_OTHER, n * sizeof(float))};
    if (!job.scratch) {
        return ut_fail_memory(err, n * sizeof(float));
    }
    for (; job.first < n_panels && !job.bad; job.first += wave) {
        ut_pool_run(compute->pool, UT_MIN(wave, n_panels - job.first), 1, pack_panels, &job);
    }
    ut_mem_free(mem, job.scratch);
    return job.bad ? ut_layer_fail_not_finite(source->weight, err) : UTTER_OK;
}

utter_status ut_narrow_pack(const struct ut_compute *compute, const struct ut_narrow *kind,
                            struct ut_arena *arena, const struct ut_layer_source *source, int zero,
                            struct ut_narrow_layer *out, utter_error *err) {
    const struct ut_tensor *weight = source->weight;
    utter_status status = ut_layer_check(source, err);
    if (status) {
        return status;
    }
    if (source->n_in > UT_NARROW_MAX_CH) {
        return ut_fail(err, UTTER_ERROR_UNSUPPORTED,
                       "tensor %s has %d input channels: narrow arithmetic takes up to %d",
                       weight->name, source->n_in, (int)UT_NARROW_MAX_CH);
    }
    int n_panels = (source->n_out + kind->panel - 1) / kind->panel;
    size_t n_padded = (size_t)n_panels * (size_t)kind->panel;
    size_t n_bytes = (size_t)n_panels * kind->panel_bytes(source->n_taps, source->n_in);
    *out = (struct ut_narrow_layer){.kind = kind,
                                    .panels = ut_arena_alloc(arena, n_bytes, 1),
                                    .scale = ut_arena_alloc(arena, n_padded, sizeof(float)),
                                    .n_out = source->n_out,
                                    .n_in = source->n_in,
                                    .n_taps = source->n_taps,
                                    .zero = zero};
    if (!out->panels || !out->scale) {
        return ut_fail_memory(err, n_bytes);
    }
    status = ut_layer_pack_bias(arena, source, n_padded, &out->bias, err);
    return status ? status : pack_all(compute, arena->mem, source, out, n_panels, err);
}

/* The layer keeps only sizes and bias of its own; its panels are the narrow one's. */
utter_status ut_narrow_pack_layer(const struct ut_compute *compute, struct ut_arena *arena,
                                  const struct ut_layer_source *source, int zero,
                                  struct ut_layer *out, utter_error *err) {
    const struct ut_narrow *kind = ut_narrow_kind(compute);
    if (!kind) {
        return ut_layer_pack(compute, arena, source, out, err);
    }
    struct ut_narrow_layer *narrow = ut_arena_alloc(arena, 1, sizeof *narrow);
    if (!narrow) {
        return ut_fail_memory(err, sizeof *narrow);
    }
    utter_status status = ut_narrow_pack(compute, kind, arena, source, zero, narrow, err);
    *out = (struct ut_layer){.bias = narrow->bias,
                             .type = source->weight->type,
                             .n_out = source->n_out,
                             .n_in = source->n_in,
                             .n_taps = source->n_taps,
                             .narrow = narrow};
    return status;
}

/* ---- For files and for parts of a layer ---------------------------------------------------------
 */

/* A channel may lie in several runs (transposed weights): the largest step of them holds for
 * all. */
void ut_narrow_steps(const float *w, size_t n_outer, size_t n_ch, size_t n_inner, float *steps) {
    memset(steps, 0, n_ch * sizeof *steps);
    for (size_t i = 0; i < n_outer * n_ch; i++, w += n_inner) {
        steps[i % n_ch] = fmaxf(steps[i % n_ch], ut_narrow_weight_scale(w, n_inner));
    }
    for (size_t c = 0; c < n_ch; c++) {
        steps[c] = steps[c] > 0 ? steps[c] : 1;
    }
}

utter_status ut_narrow_steps_of(struct ut_arena *arena, const struct ut_tensor *weight,
                                bool transposed, struct ut_tensor *out, utter_error *err) {
    size_t n_ch = (size_t)weight->dims[transposed ? 1 : 0], n = ut_tensor_n_elements(weight);
    size_t n_outer = transposed ? (size_t)weight->dims[0] : 1, n_inner = n / (n_outer * n_ch);
    float *steps = ut_arena_alloc(arena, n_ch, sizeof *steps);
    float *values = ut_mem_alloc(arena->mem, UT_MEM_OTHER, n * sizeof *values);
    utter_status status =
        steps && values ? UTTER_OK : ut_fail_memory(err, (n + n_ch) * sizeof *values);
    if (status == UTTER_OK && !ut_tensor_to_f32(weight, values)) {
        status = ut_layer_fail_type(weight, err);
    }
    if (status == UTTER_OK) {
        ut_narrow_steps(values, n_outer, n_ch, n_inner, steps);
        *out = (struct ut_tensor){.name = weight->name,
                                  .type = UT_F32,
                                  .n_dims = 1,
                                  .dims = {n_ch, 1, 1, 1},
                                  .data = steps,
                                  .n_bytes = n_ch * sizeof *steps};
    }
    ut_mem_free(arena->mem, values);
    return status;
}

utter_status ut_narrow_share_steps(const struct ut_compute *compute, struct ut_arena *arena,
                                   bool transposed, struct ut_layer_source *whole,
                                   struct ut_tensor *steps, utter_error *err) {
    if (!ut_narrow_kind(compute) || whole->weight->type == UT_I8) {
        return UTTER_OK;
    }
    whole->scale = steps;
    return ut_narrow_steps_of(arena, whole->weight, transposed, steps, err);
}

void ut_narrow_round(const float *w, size_t n_outer, size_t n_ch, size_t n_inner,
                     const float *steps, int8_t *q) {
    for (size_t i = 0; i < n_outer * n_ch; i++) {
        for (size_t j = 0; j < n_inner; j++) {
            *q++ = (int8_t)ut_narrow_weight(*w++, steps[i % n_ch]);
        }
    }
}

/* ---- Rows over threads --------------------------------------------------------------------------
 */

struct conv_job {
    const struct ut_narrow *kind;
    const struct ut_narrow_conv *op;
};

/* Row t as the first; rows without data are not stored and stay so. */
static struct ut_narrow_rows rows_from(const struct ut_narrow_rows *rows, int t) {
    struct ut_narrow_rows part = *rows;
    if (rows->data) {
        part.data = (char *)rows->data + t * rows->row;
        part.scale += t * rows->scale_row;
    }
    return part;
}

static void conv_rows(void *user, int begin, int end) {
    const struct conv_job *job = user;
    struct ut_narrow_conv part = *job->op;
    part.x = (const char *)part.x + begin * part.x_row;
    part.x_scale += begin * part.scale_row;
    part.add = part.add ? part.add + begin * part.add_row : NULL;
    part.add2 = part.add2 ? part.add2 + begin * part.add2_row : NULL;
    part.y = part.y ? part.y + begin * part.y_row : NULL;
    part.y_act = part.y_act ? part.y_act + begin * part.y_act_row : NULL;
    part.q = rows_from(&part.q, begin);
    part.n_rows = end - begin;
    job->kind->conv(&part);
}

void ut_narrow_layer_count(const struct ut_compute *compute, const struct ut_narrow_layer *layer,
                           int n_rows) {
    bool is_float = layer->kind == compute->kernels->b16;
    size_t n_panels = (size_t)((layer->n_out + layer->kind->panel - 1) / layer->kind->panel);
    ut_tally_count(compute->tally, is_float ? UT_TALLY_BF16 : UT_TALLY_INT8,
                   (uint64_t)layer->n_taps * (uint64_t)layer->n_in * (uint64_t)layer->n_out *
                       (uint64_t)n_rows,
                   layer->panels, n_panels * layer->kind->panel_bytes(layer->n_taps, layer->n_in));
}

void ut_narrow_conv(const struct ut_compute *compute, const struct ut_narrow_layer *layer,
                    const struct ut_narrow_conv *op) {
    struct ut_narrow_conv whole = *op;
    whole.w = layer->panels;
    whole.w_scale = layer->scale;
    whole.bias = op->bias ? op->bias : layer->bias;
    whole.n_taps = layer->n_taps;
    whole.n_in = layer->n_in;
    whole.n_out = layer->n_out;
    struct conv_job job = {layer->kind, &whole};
    ut_narrow_layer_count(compute, layer, op->n_rows);
    ut_pool_run(compute->pool, op->n_rows, ROW_GRAIN, conv_rows, &job);
}

struct quantize_job {
    const struct ut_narrow *kind;
    const struct ut_modulate *from;
    const struct ut_narrow_rows *to;
};

static void quantize_rows(void *user, int begin, int end) {
    const struct quantize_job *job = user;
    struct ut_modulate from = *job->from;
    struct ut_narrow_rows to = rows_from(job->to, begin);
    from.x += begin * from.x_row;
    from.n_rows = end - begin;
    job->kind->quantize(&from, &to);
}

void ut_narrow_quantize(const struct ut_compute *compute, const struct ut_narrow *kind,
                        const struct ut_modulate *from, const struct ut_narrow_rows *to) {
    struct quantize_job job = {kind, from, to};
    ut_pool_run(compute->pool, from->n_rows, ROW_GRAIN, quantize_rows, &job);
}
