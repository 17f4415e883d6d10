/* Loading the generator: transposed convolutions as phases, the noise branch, residual blocks, and
 * the Fourier transforms as matrices. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "compute/narrow.h"
#include "compute/time_conv.h"
#include "models/kokoro/kokoro_model.h"

enum { NAME_SIZE = 96, MAX_RATE = 64, MAX_UPSAMPLE_TAPS = 1024, MAX_HARMONICS = 16, MAX_FFT = 256 };

#define PREFIX "decoder.generator."

/* One phase of a transposed convolution [n_in, n_out, n_taps] with padding (n_taps - rate) / 2.
 * Output row m * rate + r takes tap j from input row m + (r + pad - j) / rate, for the j that
 * divide; in the order of input rows the taps run backwards. */
static utter_status pack_phase(struct kokoro_loader *loader, const struct ut_layer_source *whole,
                               int r, struct kokoro_upsample *up, utter_error *err) {
    int n_out = (int)whole->weight->dims[1], n_taps = (int)whole->weight->dims[2], rate = up->rate;
    int pad = (n_taps - rate) / 2, first = (r + pad) % rate;
    int n_phase_taps = (n_taps - first + rate - 1) / rate;
    struct ut_layer_source source = *whole;
    source.offset = first + (ptrdiff_t)(n_phase_taps - 1) * rate;
    source.out_step = n_taps;
    source.tap_step = -rate;
    source.in_step = (ptrdiff_t)n_out * n_taps;
    source.n_out = n_out;
    source.n_taps = n_phase_taps;
    source.n_in = (int)whole->weight->dims[0];
    up->shift[r] = (r + pad - first) / rate - (n_phase_taps - 1);
    return ut_time_conv_pack(&loader->model->compute, &loader->model->weights, &source,
                             UT_NARROW_ZERO_LEAKY, &up->phases[r], err);
}

static utter_status pack_phases(struct kokoro_loader *loader, const struct ut_tensor *weight,
                                const struct ut_tensor *bias, struct kokoro_upsample *up,
                                utter_error *err) {
    struct ut_kokoro *model = loader->model;
    struct ut_layer_source whole = {
        .weight = weight, .bias = bias, .scale = ut_kokoro_tensor_scale(loader->tensors, weight)};
    struct ut_tensor steps;
    utter_status status =
        ut_narrow_share_steps(&model->compute, &model->weights, true, &whole, &steps, err);
    for (int r = 0; r < up->rate && status == UTTER_OK; r++) {
        status = pack_phase(loader, &whole, r, up, err);
    }
    return status;
}

static utter_status load_upsample(struct kokoro_loader *loader, int stage, int n_in,
                                  struct kokoro_upsample *up, utter_error *err) {
    char name[NAME_SIZE];
    const struct ut_tensor *weight, *bias = NULL;
    up->rate = loader->model->config.upsample_rates[stage];
    snprintf(name, sizeof name, PREFIX "ups.%d.weight", stage);
    utter_status status = ut_kokoro_tensor_get(loader->tensors, name, &weight, err);
    if (status) {
        return status;
    }
    int n_taps = (int)UT_MIN(weight->dims[2], MAX_UPSAMPLE_TAPS + 1);
    if (weight->n_dims != 3 || weight->dims[0] != (uint64_t)n_in || weight->dims[1] < 1 ||
        weight->dims[1] > 1 << 14 || up->rate > MAX_RATE || n_taps > MAX_UPSAMPLE_TAPS ||
        n_taps < up->rate || (n_taps - up->rate) % 2) {
        status =
            ut_fail(err, UTTER_ERROR_FORMAT,
                    "tensor %s [%llu, %llu, %llu] does not fit: expected %d input channels and a "
                    "kernel that exceeds the upsampling rate of %d by an even number",
                    name, (unsigned long long)weight->dims[0], (unsigned long long)weight->dims[1],
                    (unsigned long long)weight->dims[2], n_in, up->rate);
    }
    snprintf(name, sizeof name, PREFIX "ups.%d.bias", stage);
    status = status ? status : ut_kokoro_tensor_get(loader->tensors, name, &bias, err);
    if (status == UTTER_OK && ut_tensor_n_elements(bias) != weight->dims[1]) {
        status = ut_fail(err, UTTER_ERROR_FORMAT, "tensor %s has %llu values, expected %llu", name,
                         (unsigned long long)ut_tensor_n_elements(bias),
                         (unsigned long long)weight->dims[1]);
    }
    up->n_out = status ? 0 : (int)weight->dims[1];
    status = status ? status : pack_phases(loader, weight, bias, up, err);
    if (bias) {
        ut_kokoro_tensor_drop(loader->tensors, bias);
    }
    ut_kokoro_tensor_drop(loader->tensors, weight);
    return status;
}

static utter_status load_alpha(struct kokoro_loader *loader, const char *name, int n_ch,
                               float **alpha, float **inv_alpha, utter_error *err) {
    utter_status status = ut_kokoro_load_values(loader, name, (size_t)n_ch, alpha, err);
    if (status) {
        return status;
    }
    *inv_alpha = ut_arena_alloc(&loader->model->weights, (size_t)n_ch, sizeof **inv_alpha);
    if (!*inv_alpha) {
        return ut_fail_memory(err, (size_t)n_ch * sizeof **inv_alpha);
    }
    for (int c = 0; c < n_ch; c++) {
        (*inv_alpha)[c] = 1 / (*alpha)[c];
        if (!isfinite((*inv_alpha)[c])) {
            return ut_fail(err, UTTER_ERROR_FORMAT,
                           "tensor %s: value %d is %g, which the snake function divides by", name,
                           c, (double)(*alpha)[c]);
        }
    }
    return UTTER_OK;
}

/* NAME.adain1.I.fc, NAME.convs1.I, NAME.alpha1.I and the same with 2 make the two steps of pair I.
 */
static utter_status load_step(struct kokoro_loader *loader, const char *name, int step, int n_ch,
                              int n_taps, struct kokoro_resblock *out, utter_error *err) {
    char full[NAME_SIZE];
    int half = step % 2 + 1, pair = step / 2;
    snprintf(full, sizeof full, "%s.adain%d.%d.fc", name, half, pair);
    utter_status status = ut_kokoro_load_conv(loader, full, 2 * n_ch, loader->model->info.style_dim,
                                              1, true, KOKORO_HALF, &out->steps[step].adain, err);
    snprintf(full, sizeof full, "%s.convs%d.%d", name, half, pair);
    status = status ? status
                    : ut_kokoro_load_conv(loader, full, n_ch, n_ch, n_taps, true,
                                          UT_NARROW_ZERO_EVEN, &out->steps[step].conv, err);
    if (status == UTTER_OK && out->steps[step].conv.n_taps % 2 == 0) {
        return ut_fail(err, UTTER_ERROR_FORMAT, "tensor %s.weight has an even kernel of %d", full,
                       out->steps[step].conv.n_taps);
    }
    snprintf(full, sizeof full, "%s.alpha%d.%d", name, half, pair);
    return status ? status
                  : load_alpha(loader, full, n_ch, &out->steps[step].alpha,
                               &out->steps[step].inv_alpha, err);
}

static utter_status load_resblock(struct kokoro_loader *loader, const char *name, int n_ch,
                                  int n_taps, const int *dilations, struct kokoro_resblock *out,
                                  utter_error *err) {
    utter_status status = UTTER_OK;
    out->n_ch = n_ch;
    out->n_pairs = loader->model->config.n_dilations;
    memcpy(out->dilations, dilations, sizeof out->dilations);
    for (int i = 0; i < 2 * out->n_pairs && status == UTTER_OK; i++) {
        status = load_step(loader, name, i, n_ch, n_taps, out, err);
    }
    return status;
}

/* The noise branch: a convolution of the source's spectrum down to the stage's rate and one
 * residual block, whose dilations are those of the first. */
static utter_status load_noise(struct kokoro_loader *loader, int index, struct kokoro_stage *stage,
                               utter_error *err) {
    const struct ut_kokoro_config *config = &loader->model->config;
    char name[NAME_SIZE];
    int stride = 1;
    for (int i = index + 1; i < config->n_upsamples; i++) {
        stride *= config->upsample_rates[i];
    }
    bool last = index == config->n_upsamples - 1;
    stage->noise_stride = stride;
    stage->noise_pad = last ? 0 : (stride + 1) / 2;
    snprintf(name, sizeof name, PREFIX "noise_convs.%d", index);
    utter_status status =
        ut_kokoro_load_layer(loader, name, stage->up.n_out, config->n_fft + 2,
                             last ? 1 : 2 * stride, true, &stage->noise_conv, err);
    snprintf(name, sizeof name, PREFIX "noise_res.%d", index);
    return status ? status
                  : load_resblock(loader, name, stage->up.n_out, KOKORO_ANY, config->dilations[0],
                                  &stage->noise_res, err);
}

static utter_status load_stage(struct kokoro_loader *loader, int index, int n_in,
                               struct kokoro_stage *stage, utter_error *err) {
    const struct ut_kokoro_config *config = &loader->model->config;
    utter_status status = load_upsample(loader, index, n_in, &stage->up, err);
    status = status ? status : load_noise(loader, index, stage, err);
    for (int j = 0; j < config->n_kernels && status == UTTER_OK; j++) {
        char name[NAME_SIZE];
        snprintf(name, sizeof name, PREFIX "resblocks.%d", index * config->n_kernels + j);
        status = load_resblock(loader, name, stage->up.n_out, config->kernel_sizes[j],
                               config->dilations[j], &stage->resblocks[j], err);
    }
    return status;
}

/* ---- Fourier transforms -------------------------------------------------------------------------
 */

/* Periodic Hann. */
static double window(int n_fft, int i) {
    return 0.5 - 0.5 * cos(2 * M_PI * i / n_fft);
}

/* Element of the forward transform: output o < n_bins is the real part of bin o, then imaginary
 * parts. */
static double forward(int n_fft, int o, int i) {
    int n_bins = n_fft / 2 + 1, k = o % n_bins;
    double angle = 2 * M_PI * (k * i % n_fft) / n_fft;
    return window(n_fft, i) * (o < n_bins ? cos(angle) : -sin(angle));
}

/* Element of the inverse transform of a real signal: bins 1.. n_fft / 2 - 1 stand for their mirrors
 * too, and the imaginary parts of the first and the last bin do not count. */
static double inverse(int n_fft, int o, int i) {
    int n_bins = n_fft / 2 + 1, k = i % n_bins;
    bool edge = k == 0 || k == n_bins - 1;
    double angle = 2 * M_PI * (k * o % n_fft) / n_fft;
    double basis = i < n_bins ? cos(angle) : edge ? 0 : -sin(angle);
    return window(n_fft, o) * basis * (edge ? 1 : 2) / n_fft;
}

static utter_status pack_transform(struct kokoro_loader *loader, const char *name, int n_out,
                                   int n_in, double (*element)(int n_fft, int o, int i),
                                   struct ut_layer *out, utter_error *err) {
    struct ut_kokoro *model = loader->model;
    size_t n = (size_t)n_out * (size_t)n_in;
    float *matrix = ut_arena_alloc(&model->weights, n, sizeof *matrix);
    if (!matrix) {
        return ut_fail_memory(err, n * sizeof *matrix);
    }
    for (int o = 0; o < n_out; o++) {
        for (int i = 0; i < n_in; i++) {
            matrix[o * n_in + i] = (float)element(model->config.n_fft, o, i);
        }
    }
    struct ut_tensor tensor = {.name = name,
                               .type = UT_F32,
                               .n_dims = 2,
                               .dims = {(uint64_t)n_out, (uint64_t)n_in, 1, 1},
                               .data = matrix,
                               .n_bytes = n * sizeof *matrix};
    struct ut_layer_source source = ut_layer_source_conv(&tensor, NULL);
    return ut_layer_pack(&model->compute, &model->weights, &source, out, err);
}

static utter_status load_transforms(struct kokoro_loader *loader, utter_error *err) {
    struct kokoro_generator *g = &loader->model->generator;
    int n_fft = loader->model->config.n_fft;
    g->window = ut_arena_alloc(&loader->model->weights, (size_t)n_fft, sizeof *g->window);
    if (!g->window) {
        return ut_fail_memory(err, (size_t)n_fft * sizeof *g->window);
    }
    for (int i = 0; i < n_fft; i++) {
        g->window[i] = (float)window(n_fft, i);
    }
    utter_status status = pack_transform(loader, "STFT", n_fft + 2, n_fft, forward, &g->stft, err);
    return status
               ? status
               : pack_transform(loader, "inverse STFT", n_fft, n_fft + 2, inverse, &g->istft, err);
}

static utter_status load_source(struct kokoro_loader *loader, utter_error *err) {
    struct kokoro_generator *g = &loader->model->generator;
    int dims[UT_MAX_DIMS];
    float *w, *b;
    utter_status status =
        ut_kokoro_load_shape(loader, PREFIX "m_source.l_linear.weight", 2, dims, err);
    if (status == UTTER_OK && (dims[0] != 1 || dims[1] > MAX_HARMONICS)) {
        return ut_fail(err, UTTER_ERROR_FORMAT,
                       "tensor " PREFIX
                       "m_source.l_linear.weight is [%d, %d]: expected [1, up to %d]",
                       dims[0], dims[1], (int)MAX_HARMONICS);
    }
    status = status ? status
                    : ut_kokoro_load_values(loader, PREFIX "m_source.l_linear.weight",
                                            (size_t)dims[1], &w, err);
    status = status ? status
                    : ut_kokoro_load_values(loader, PREFIX "m_source.l_linear.bias", 1, &b, err);
    if (status == UTTER_OK) {
        g->n_harmonics = dims[1];
        memcpy(g->source_w, w, (size_t)dims[1] * sizeof *w);
        g->source_b = b[0];
    }
    return status;
}

/* 600 samples a frame, in twos of the decoder's doubled rate: the rates and the hop must make them.
 */
static utter_status check_rates(const struct ut_kokoro_config *config, utter_error *err) {
    int64_t product = config->hop;
    for (int i = 0; i < config->n_upsamples; i++) {
        product *= config->upsample_rates[i];
    }
    if (product != 300 || config->n_fft % 2 || config->n_fft > MAX_FFT ||
        config->n_fft % config->hop || config->n_fft < 2 * config->hop) {
        return ut_fail(err, UTTER_ERROR_FORMAT,
                       "upsampling rates and gen_istft_hop_size multiply to %lld (expected 300), "
                       "gen_istft_n_fft is %d: not a configuration of Kokoro",
                       (long long)product, config->n_fft);
    }
    return UTTER_OK;
}

utter_status ut_kokoro_load_generator(struct kokoro_loader *loader, utter_error *err) {
    struct ut_kokoro *model = loader->model;
    struct kokoro_generator *g = &model->generator;
    int n_fft = model->config.n_fft, n_ch = model->decoder.decode[KOKORO_DECODE_BLOCKS - 1].n_out;
    utter_status status = check_rates(&model->config, err);
    status = status ? status : load_source(loader, err);
    for (int i = 0; i < model->config.n_upsamples && status == UTTER_OK; i++) {
        status = load_stage(loader, i, n_ch, &g->stages[i], err);
        n_ch = g->stages[i].up.n_out;
    }
    status = status ? status
                    : ut_kokoro_load_layer(loader, PREFIX "conv_post", n_fft + 2, n_ch, KOKORO_ANY,
                                           true, &g->conv_post, err);
    if (status == UTTER_OK && g->conv_post.n_taps % 2 == 0) {
        status = ut_fail(err, UTTER_ERROR_FORMAT,
                         "tensor " PREFIX "conv_post.weight has an even kernel");
    }
    return status ? status : load_transforms(loader, err);
}
