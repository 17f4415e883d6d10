/* See minimal.h. The schemes were chosen among all of up to ten points by their error: with two to
 * four taps in a piece more points are needed for the same saving, and with twelve points the error
 * passes -105 dB. Pieces of 6 or 7 taps also let the weights grow least. Figures:
 * docs/performance.md.
 *
 * The transposed Toom-Cook construction, for the points a_i and infinity: with M = prod (x - a_i)
 * and M_i = M / (x - a_i), row i of the input's matrix holds the coefficients of M_i, the last row
 * those of M; the weights' row i is the powers of a_i over M_i(a_i), the last one picks the last
 * tap; outputs are the powers of a_i again. Row i of the inputs is scaled by a power of two to a
 * length near 1, the weights' row by its inverse. */
#include "compute/minimal.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/checked.h"
#include "compute/layer.h"

const struct ut_minimal_scheme ut_minimal_schemes[] = {
    {"F(4,3)", 3, 2, 4, 3, 1},    {"F(6,3)", 3, 3, 6, 3, 1},    {"F(8,3)", 3, 4, 8, 3, 1},
    {"F(4,5)", 5, 3, 4, 5, 1},    {"F(6,5)", 5, 4, 6, 5, 1},    {"F(2,7)", 7, 3, 2, 7, 1},
    {"F(5,4)x2", 7, 3, 5, 4, 2},  {"F(4,7)", 7, 4, 4, 7, 1},    {"F(3,6)x2", 11, 3, 3, 6, 2},
    {"F(5,4)x3", 11, 3, 5, 4, 3}, {"F(5,6)x2", 11, 4, 5, 6, 2},
};
/* Rows of a product: enough to pay for reading the weights, few enough for a part's memory to stay
 * in the second-level cache; multiples of 12, 6 and 5, the rows of the kernels' tiles, and of most
 * dilations. Short inputs are cut finer, for several threads. MAX_GROUP is a multiple of every
 * panel. */
enum { MANY_TILES = 60, FEW_TILES = 12, WANTED_BLOCKS = 4, MAX_GROUP = 256 };

const int ut_minimal_n_schemes = sizeof ut_minimal_schemes / sizeof *ut_minimal_schemes;

/* Found by a search over fractions for the smallest error of the schemes above. */
static const double point_sets[UT_FILTER_MAX_PAIRS - 1][UT_FILTER_MAX_PAIRS] = {
    {5.0 / 8, 8.0 / 5},
    {1, 1.0 / 2, 2},
    {3.0 / 4, 4.0 / 3, 3.0 / 8, 8.0 / 3},
};

static int n_points_of(const struct ut_minimal_scheme *scheme) {
    return 2 * scheme->n_pairs + 2;
}

/* Points and rows a little apart, so that they do not fall into one set of a cache. */
static ptrdiff_t row_pitch(int n_ch) {
    return (n_ch + 15) / 16 * 16 + 16;
}

/* For each point: the inputs of all pieces, and the products of a group. */
static size_t floats_of(const struct ut_minimal_scheme *scheme, int n_in, int n_tiles,
                        int n_group) {
    ptrdiff_t tile = scheme->n_pieces * row_pitch(n_in) + row_pitch(n_group);
    return (size_t)n_points_of(scheme) * (size_t)(n_tiles * tile + 32);
}

/* ---- Choice -------------------------------------------------------------------------------------
 */

const struct ut_minimal_scheme *ut_minimal_find(int n_taps, const char *name) {
    for (int i = 0; i < ut_minimal_n_schemes; i++) {
        if (ut_minimal_schemes[i].n_taps == n_taps &&
            strcmp(ut_minimal_schemes[i].name, name) == 0) {
            return &ut_minimal_schemes[i];
        }
    }
    return NULL;
}

/* Below MIN_CHANNELS the transforms cost what the products save. Beyond MAX_WEIGHTS, the 1024
 * channels of Kokoro's decoder, the larger weights would cost 90 MB for 2 % of the time. */
enum { MIN_CHANNELS = 24, MAX_WEIGHTS = 512 * 1024 };

static const struct ut_minimal_scheme *built_in(int n_in, int n_out, int n_taps) {
    if (UT_MIN(n_in, n_out) < MIN_CHANNELS || n_in > MAX_WEIGHTS / n_out) {
        return NULL;
    }
    switch (n_taps) {
    case 3:
        return ut_minimal_find(n_taps, "F(6,3)");
    case 5:
        return ut_minimal_find(n_taps, "F(6,5)");
    case 7:
        return ut_minimal_find(n_taps, "F(4,7)");
    case 11:
        return ut_minimal_find(n_taps, "F(5,6)x2");
    default:
        return NULL;
    }
}

/* The table's rules first: they are what `utter tune` measured on this machine. */
const struct ut_minimal_scheme *ut_minimal_choose(const struct ut_compute *compute, int n_in,
                                                  int n_out, int n_taps) {
    if (compute->exact) {
        return NULL;
    }
    for (int i = 0; compute->minimal && i < compute->minimal->n_rules; i++) {
        const struct ut_minimal_rule *rule = &compute->minimal->rules[i];
        if ((rule->n_in == 0 || rule->n_in == n_in) && (rule->n_out == 0 || rule->n_out == n_out) &&
            rule->n_taps == n_taps) {
            return rule->scheme;
        }
    }
    return built_in(n_in, n_out, n_taps);
}

/* ---- Matrices -----------------------------------------------------------------------------------
 */

/* Coefficients c[0 .. n] of the product of (x - p^2), n pairs without number `skip`. */
static void square_product(const double *p, int n_pairs, int skip, double *c) {
    int degree = 0;
    c[0] = 1;
    for (int i = 0; i < n_pairs; i++) {
        if (i != skip) {
            c[++degree] = 0;
            for (int e = degree; e >= 0; e--) {
                c[e] = (e > 0 ? c[e - 1] : 0) - p[i] * p[i] * c[e];
            }
        }
    }
}

/* The power of two that brings a row of the input's matrix, c[0 .. n - 1] once with each of two
 * factors, to a length near 1. */
static double row_scale(const double *c, int n, double factor) {
    double sum = 0;
    for (int e = 0; e < n; e++) {
        sum += c[e] * c[e];
    }
    return exp2(round(-0.5 * log2(sum * (1 + factor * factor))));
}

void ut_minimal_matrices(const struct ut_minimal_scheme *scheme, struct ut_filter_points *points,
                         double kernel[UT_FILTER_MAX_POINTS][UT_FILTER_MAX_POINTS]) {
    int n = scheme->n_pairs, n_taps = scheme->n_piece_taps;
    const double *p = point_sets[n - UT_FILTER_MIN_PAIRS];
    double c[UT_FILTER_MAX_PAIRS + 1];
    *points = (struct ut_filter_points){.n_pairs = n};
    memset(kernel, 0, UT_FILTER_MAX_POINTS * sizeof *kernel);

    /* M is x times the product over all pairs: the rows of 0 and infinity have its coefficients. */
    square_product(p, n, -1, c);
    double scale = row_scale(c, n + 1, 0);
    for (int e = 0; e <= n; e++) {
        points->zero[e] = points->infinity[e] = (float)(c[e] * scale);
    }
    kernel[0][0] = 1 / (c[0] * scale);
    kernel[2 * n + 1][n_taps - 1] = 1 / scale;

    for (int i = 0; i < n; i++) {
        /* M_i of +-p is (x^2 +- p x) times the product over the other pairs, q. */
        square_product(p, n, i, c);
        scale = row_scale(c, n, p[i]);
        double at_point = 0; /* q(p^2) */
        for (int e = n - 1; e >= 0; e--) {
            points->even[i][e] = (float)(c[e] * scale);
            points->odd[i][e] = (float)(c[e] * scale * p[i]);
            at_point = at_point * p[i] * p[i] + c[e];
        }
        for (int k = 0; k < n_taps; k++) {
            double weight = pow(p[i], k) / (2 * p[i] * p[i] * at_point * scale);
            kernel[1 + 2 * i][k] = weight;
            kernel[2 + 2 * i][k] = k % 2 ? -weight : weight;
        }
        for (int j = 0; j < scheme->n_outputs; j++) {
            points->power[j][i] = (float)pow(p[i], j);
        }
    }
}

/* ---- Packing ------------------------------------------------------------------------------------
 */

struct pack_job {
    const struct ut_minimal_scheme *scheme;
    double kernel[UT_FILTER_MAX_POINTS][UT_FILTER_MAX_POINTS];
    const float *from;
    float *to;
    size_t tap;          /* floats of one tap of a panel */
    size_t point_floats; /* of all panels of one point */
};

/* to[i] = sum over the piece's taps of kernel[k] * from[k * tap + i]. A few at a time, for the
 * compiler to keep them in vectors; all panels have a multiple of 8 channels. */
static void pack_piece(const double *kernel, int n_taps, const float *from, size_t tap, float *to) {
    enum { N = 8 };
    for (size_t i = 0; i < tap; i += N) {
        double sum[N] = {0};
        for (int k = 0; k < n_taps; k++) {
            for (int j = 0; j < N; j++) {
                sum[j] += kernel[k] * (double)from[(size_t)k * tap + i + (size_t)j];
            }
        }
        for (int j = 0; j < N; j++) {
            to[i + (size_t)j] = (float)sum[j];
        }
    }
}

/* The transform is linear in the taps, so it works on packed panels as on weights: the sum of taps
 * of a panel is a panel. */
static void pack_panels(void *user, int begin, int end) {
    const struct pack_job *job = user;
    const struct ut_minimal_scheme *s = job->scheme;
    for (int p = begin; p < end; p++) {
        for (int piece = 0; piece < s->n_pieces; piece++) {
            int first = piece * s->n_piece_taps;
            const float *from =
                job->from + ((size_t)p * (size_t)s->n_taps + (size_t)first) * job->tap;
            size_t at = ((size_t)p * (size_t)s->n_pieces + (size_t)piece) * job->tap;
            for (int point = 0; point < n_points_of(s); point++) {
                pack_piece(job->kernel[point], UT_MIN(s->n_piece_taps, s->n_taps - first), from,
                           job->tap, job->to + (size_t)point * job->point_floats + at);
            }
        }
    }
}

static size_t point_floats(const struct ut_layer *layer, int panel,
                           const struct ut_minimal_scheme *scheme) {
    size_t n_panels = ((size_t)layer->n_out + (size_t)panel - 1) / (size_t)panel;
    return n_panels * (size_t)panel * (size_t)scheme->n_pieces * (size_t)layer->n_in;
}

utter_status ut_minimal_pack(const struct ut_compute *compute, struct ut_arena *arena,
                             const struct ut_minimal_scheme *scheme,
                             const struct ut_layer_source *source, struct ut_layer *layer,
                             utter_error *err) {
    int panel = compute->kernels->panel, n_panels = (layer->n_out + panel - 1) / panel;
    struct pack_job job = {.scheme = scheme,
                           .tap = (size_t)layer->n_in * (size_t)panel,
                           .point_floats = point_floats(layer, panel, scheme)};
    size_t n = (size_t)n_points_of(scheme) * job.point_floats;
    struct ut_minimal *minimal = ut_arena_alloc(arena, 1, sizeof *minimal);
    job.to = ut_arena_alloc(arena, n, sizeof *job.to);
    /* The plain panels go where the next layer's will be: no memory is touched for them alone. */
    struct ut_arena_mark mark = ut_arena_mark(arena);
    float *plain =
        ut_arena_alloc(arena, (size_t)n_panels * (size_t)layer->n_taps, job.tap * sizeof *plain);
    if (!minimal || !job.to || !plain) {
        return ut_fail_memory(err, n * sizeof *job.to);
    }
    utter_status status = ut_layer_pack_panels(compute, source, plain, err);
    if (status == UTTER_OK) {
        job.from = plain;
        minimal->scheme = scheme;
        ut_minimal_matrices(scheme, &minimal->points, job.kernel);
        ut_pool_run(compute->pool, n_panels, 1, pack_panels, &job);
        layer->panels = job.to;
        layer->minimal = minimal;
    }
    ut_arena_rewind(arena, mark);
    return status;
}

/* ---- One block of tiles -------------------------------------------------------------------------
 */

int ut_minimal_grid(const struct ut_layer *layer) {
    return layer->minimal ? layer->minimal->scheme->n_outputs : 1;
}

/* A tile of n_outputs rows, dilation apart, reads n_outputs + all taps - 1 of them; `dilation`
 * tiles interleave into a column. */
int ut_minimal_input_rows(const struct ut_minimal *minimal, int dilation, int n_tiles) {
    const struct ut_minimal_scheme *s = minimal->scheme;
    return n_tiles * s->n_outputs + (s->n_pieces * s->n_piece_taps - 1) * dilation;
}

void ut_minimal_place(struct ut_minimal_part *part, int n_group, float *memory) {
    const struct ut_minimal *minimal = part->layer->minimal;
    part->v_row = row_pitch(part->layer->n_in);
    part->m_row = row_pitch(n_group);
    part->v_point = (ptrdiff_t)minimal->scheme->n_pieces * part->n_tiles * part->v_row + 16;
    part->m_point = part->n_tiles * part->m_row + 16;
    part->v = memory;
    part->m = memory + n_points_of(minimal->scheme) * part->v_point;
}

size_t ut_minimal_floats(const struct ut_layer *layer, int n_tiles, int n_group) {
    return floats_of(layer->minimal->scheme, layer->n_in, n_tiles, n_group);
}

static struct ut_filter_tiles tiles_of(const struct ut_minimal_part *part) {
    const struct ut_minimal *minimal = part->layer->minimal;
    return (struct ut_filter_tiles){.points = &minimal->points,
                                    .n_outputs = minimal->scheme->n_outputs,
                                    .dilation = part->dilation,
                                    .first = part->first,
                                    .n_tiles = part->n_tiles};
}

/* Each piece sees the input shifted by its own taps. */
void ut_minimal_transform(const struct ut_minimal_part *part, const float *x, ptrdiff_t x_row,
                          int n_rows) {
    const struct ut_minimal_scheme *s = part->layer->minimal->scheme;
    for (int piece = 0; piece < s->n_pieces; piece++) {
        int shift = piece * s->n_piece_taps * part->dilation;
        struct ut_filter_in in = {.tiles = tiles_of(part),
                                  .x = x + shift * x_row,
                                  .x_row = x_row,
                                  .n_rows = n_rows - shift,
                                  .v = part->v + piece * part->n_tiles * part->v_row,
                                  .v_point = part->v_point,
                                  .v_row = part->v_row,
                                  .n_ch = part->layer->n_in};
        part->compute->kernels->filter_in_f32(&in);
    }
}

/* A product per point: [n_tiles, n_pieces * n_in] by the point's panels, then one transform
 * back. */
void ut_minimal_finish(const struct ut_minimal_part *part, int first_channel,
                       const struct ut_conv *store) {
    const struct ut_layer *layer = part->layer;
    const struct ut_kernels *kernels = part->compute->kernels;
    const struct ut_minimal_scheme *s = layer->minimal->scheme;
    size_t point = point_floats(layer, kernels->panel, s);
    size_t group = (size_t)first_channel * (size_t)s->n_pieces * (size_t)layer->n_in;
    for (int i = 0; i < n_points_of(s); i++) {
        struct ut_conv product = {.x = part->v + i * part->v_point,
                                  .x_row = part->v_row,
                                  .x_tap = part->n_tiles * part->v_row,
                                  .n_taps = s->n_pieces,
                                  .n_in = layer->n_in,
                                  .w = (const float *)layer->panels + (size_t)i * point + group,
                                  .scale = 1,
                                  .y = part->m + i * part->m_point,
                                  .y_row = part->m_row,
                                  .n_rows = part->n_tiles,
                                  .n_out = store->n_out};
        kernels->conv_f32(&product);
    }
    struct ut_filter_out out = {.tiles = tiles_of(part),
                                .m = part->m,
                                .m_point = part->m_point,
                                .m_row = part->m_row,
                                .store = store};
    kernels->filter_out_f32(&out);
}

/* ---- Whole convolutions -------------------------------------------------------------------------
 */

/* Whole columns, a multiple of FEW_TILES where the dilation lets it be. */
int ut_minimal_tiles(const struct ut_layer *layer, int dilation, int n_rows) {
    int all = (n_rows / layer->minimal->scheme->n_outputs + dilation) / dilation * dilation;
    int wanted = UT_MIN(UT_MAX(all / WANTED_BLOCKS, FEW_TILES), MANY_TILES);
    wanted = wanted / FEW_TILES * FEW_TILES;
    return UT_MAX((wanted + dilation / 2) / dilation, 1) * dilation;
}

struct conv_job {
    const struct ut_compute *compute;
    const struct ut_layer *layer;
    const struct ut_conv *op;
    int dilation, group, pass_tiles;
    float *scratch; /* [slots.n][scratch_floats] */
    size_t scratch_floats;
    struct ut_slots slots;
};

/* The output channels of one part, a group at a time: their products stay in the cache. */
static void finish_groups(const struct conv_job *job, const struct ut_minimal_part *part) {
    const struct ut_conv *op = job->op;
    for (int o = 0; o < op->n_out; o += job->group) {
        struct ut_conv store = *op;
        store.bias = op->bias + o;
        store.add = op->add ? op->add + o : NULL;
        store.add2 = op->add2 ? op->add2 + o : NULL;
        store.y = op->y ? op->y + o : NULL;
        store.y_act = op->y_act ? op->y_act + o : NULL;
        store.n_out = UT_MIN(job->group, op->n_out - o);
        ut_minimal_finish(part, o, &store);
    }
}

/* A part is transformed once for all output channels; memory is that of the thread's slot. */
static void conv_tiles(void *user, int begin, int end) {
    struct conv_job *job = user;
    const struct ut_conv *op = job->op;
    int n_rows = op->n_rows + (job->layer->n_taps - 1) * job->dilation,
        slot = ut_slots_take(&job->slots);
    struct ut_minimal_part part = {
        .compute = job->compute, .layer = job->layer, .dilation = job->dilation};
    for (part.first = begin; part.first < end; part.first += part.n_tiles) {
        part.n_tiles = UT_MIN(job->pass_tiles, end - part.first);
        ut_minimal_place(&part, job->group, job->scratch + (size_t)slot * job->scratch_floats);
        ut_minimal_transform(&part, op->x, op->x_row, n_rows);
        finish_groups(job, &part);
    }
    ut_slots_give(&job->slots, slot);
}

/* The rows that exist behind op's own are n_taps - 1 dilations more: what the plain convolution
 * reads. */
bool ut_minimal_conv(const struct ut_compute *compute, struct ut_arena *arena,
                     const struct ut_layer *layer, const struct ut_conv *op) {
    if (!layer->minimal) {
        ut_conv(compute, layer, op);
        return true;
    }
    ut_layer_count(compute, layer, op->n_rows);
    struct ut_conv whole = *op;
    whole.bias = op->bias ? op->bias : layer->bias;
    whole.n_out = layer->n_out;
    struct conv_job job = {.compute = compute,
                           .layer = layer,
                           .op = &whole,
                           .dilation = (int)(op->x_tap / op->x_row),
                           .group = UT_MIN(layer->n_out, MAX_GROUP),
                           .slots = {.n = ut_pool_threads(compute->pool)}};
    int column = layer->minimal->scheme->n_outputs * job.dilation;
    int n_tiles = (op->n_rows + column - 1) / column * job.dilation;
    job.pass_tiles = UT_MIN(n_tiles, MANY_TILES);
    job.scratch_floats = ut_minimal_floats(layer, job.pass_tiles, job.group);
    struct ut_arena_mark mark = ut_arena_mark(arena);
    job.scratch = ut_arena_alloc(arena, (size_t)job.slots.n * job.scratch_floats, sizeof(float));
    if (!job.scratch) {
        return false;
    }
    ut_pool_run(compute->pool, n_tiles, FEW_TILES, conv_tiles, &job);
    ut_arena_rewind(arena, mark);
    return true;
}
