/* See tuning.h. Layers are timed as a voice runs them: packed, through ut_minimal_conv, some
 * hundred rows; the shortest of several runs counts, for other programs only ever add to a time. */
#include "compute/tuning.h"

#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/json_writer.h"
#include "compute/rng.h"

enum { VERSION = 1, N_ROWS = 480, MIN_RUNS = 8, MAX_CHANNELS = 65536 };

/* Of a voice's layers: below, the transforms cost more than they save; beyond, as for those below.
 */
enum { LEAST_CHANNELS = 16, MOST_WEIGHTS = 512 * 1024 };

#define SECONDS_PER_SCHEME 0.04
#define AS_FAST 1.03 /* times the shortest: as fast */

/* Channels and taps of Piper's and Kokoro's convolutions; the largest layers, whose weights would
 * grow by 100 MB, stay plain without being asked. */
const struct ut_minimal_rule ut_tuning_shapes[] = {
    {16, 16, 3, NULL},   {16, 16, 5, NULL},    {16, 16, 7, NULL},    {32, 32, 3, NULL},
    {32, 32, 5, NULL},   {32, 32, 7, NULL},    {32, 32, 11, NULL},   {64, 64, 3, NULL},
    {64, 64, 5, NULL},   {64, 64, 7, NULL},    {64, 64, 11, NULL},   {128, 128, 3, NULL},
    {128, 128, 5, NULL}, {128, 128, 7, NULL},  {128, 128, 11, NULL}, {256, 256, 3, NULL},
    {256, 256, 7, NULL}, {256, 256, 11, NULL}, {96, 192, 5, NULL},   {192, 384, 5, NULL},
};
const int ut_tuning_n_shapes = (int)UT_COUNT(ut_tuning_shapes);

static bool same_shape(const struct ut_minimal_rule *a, const struct ut_minimal_rule *b) {
    return a->n_in == b->n_in && a->n_out == b->n_out && a->n_taps == b->n_taps;
}

/* Of a convolution's weight [n_out, n_in, n_taps] that some scheme may be faster for. */
static bool read_shape(const struct ut_tensor *tensor, struct ut_minimal_rule *out) {
    const uint64_t *dims = tensor->dims;
    bool has_scheme = false;
    for (int i = 0; i < ut_minimal_n_schemes; i++) {
        has_scheme = has_scheme || dims[2] == (uint64_t)ut_minimal_schemes[i].n_taps;
    }
    if (tensor->n_dims != 3 || !has_scheme || UT_MIN(dims[0], dims[1]) < LEAST_CHANNELS ||
        dims[0] > MAX_CHANNELS || dims[1] > MOST_WEIGHTS / dims[0]) {
        return false;
    }
    *out = (struct ut_minimal_rule){(int)dims[1], (int)dims[0], (int)dims[2], NULL};
    return true;
}

int ut_tuning_find_shapes(const struct ut_weights *weights,
                          struct ut_minimal_rule shapes[UT_MINIMAL_MAX_RULES]) {
    int n = 0;
    for (size_t i = 0; i < ut_weights_count(weights) && n < UT_MINIMAL_MAX_RULES; i++) {
        int known = 0;
        if (read_shape(ut_weights_at(weights, i), &shapes[n])) {
            while (!same_shape(&shapes[known], &shapes[n])) {
                known++;
            }
            n += known == n;
        }
    }
    return n;
}

/* ---- Measuring ----------------------------------------------------------------------------------
 */

struct bench {
    const struct ut_compute *compute;
    struct ut_arena arena;
    float *x, *y, *w;
};

static bool make_buffers(struct bench *b, const struct ut_minimal_rule *shape) {
    size_t n_in = (size_t)shape->n_in, n_taps = (size_t)shape->n_taps;
    size_t n_x = (N_ROWS + n_taps) * n_in, n_w = n_in * (size_t)shape->n_out * n_taps;
    b->x = ut_arena_alloc(&b->arena, n_x, sizeof *b->x);
    b->w = ut_arena_alloc(&b->arena, n_w, sizeof *b->w);
    b->y = ut_arena_alloc(&b->arena, N_ROWS * (size_t)shape->n_out, sizeof *b->y);
    if (!b->x || !b->w || !b->y) {
        return false;
    }
    ut_rng_normal(1, 1, 0, b->x, n_x);
    ut_rng_normal(1, 2, 0, b->w, n_w);
    return true;
}

/* Seconds of the layer by one scheme. */
static utter_status time_scheme(struct bench *b, const struct ut_minimal_rule *rule,
                                double *seconds, utter_error *err) {
    struct ut_minimal_table only = {.n_rules = 1, .rules = {*rule}};
    struct ut_compute compute = *b->compute;
    compute.exact = false;
    compute.minimal = &only;
    struct ut_tensor weight = {
        .name = "",
        .type = UT_F32,
        .n_dims = 3,
        .dims = {(uint64_t)rule->n_out, (uint64_t)rule->n_in, (uint64_t)rule->n_taps, 1},
        .data = b->w,
        .n_bytes = (size_t)rule->n_out * (size_t)rule->n_in * (size_t)rule->n_taps * sizeof *b->w};
    struct ut_layer_source source = ut_layer_source_conv(&weight, NULL);
    struct ut_layer layer;
    source.minimal = true;
    utter_status status = ut_layer_pack(&compute, &b->arena, &source, &layer, err);
    if (status) {
        return status;
    }
    struct ut_conv op = {.x = b->x,
                         .x_row = rule->n_in,
                         .x_tap = rule->n_in,
                         .scale = 1,
                         .y = b->y,
                         .y_row = rule->n_out,
                         .n_rows = N_ROWS};
    double begin = ut_clock_s();
    *seconds = 1e9;
    for (int run = 0; run < MIN_RUNS || ut_clock_s() - begin < SECONDS_PER_SCHEME; run++) {
        double before = ut_clock_s();
        if (!ut_minimal_conv(&compute, &b->arena, &layer, &op)) {
            return ut_fail_memory(err, sizeof(float));
        }
        *seconds = UT_MIN(*seconds, ut_clock_s() - before);
    }
    return UTTER_OK;
}

/* Weights that a product holds, as a share of the plain layer's. */
static double growth(const struct ut_minimal_scheme *s) {
    return s ? (2.0 * s->n_pairs + 2) * s->n_pieces / s->n_taps : 1;
}

/* result->rule is the shape; its scheme and the times are found. */
static utter_status tune_shape(struct bench *b, struct ut_tuning_result *result, utter_error *err) {
    struct ut_minimal_rule rule = result->rule;
    double seconds[1 + 16], shortest;
    rule.scheme = NULL;
    utter_status status = time_scheme(b, &rule, &seconds[0], err);
    result->direct_s = shortest = seconds[0];
    for (int i = 0; i < ut_minimal_n_schemes && status == UTTER_OK; i++) {
        rule.scheme = &ut_minimal_schemes[i];
        if (rule.scheme->n_taps == rule.n_taps) {
            status = time_scheme(b, &rule, &seconds[1 + i], err);
            shortest = UT_MIN(shortest, seconds[1 + i]);
        }
    }
    const struct ut_minimal_scheme *best = NULL;
    result->best_s = seconds[0];
    for (int i = 0; i < ut_minimal_n_schemes && status == UTTER_OK; i++) {
        const struct ut_minimal_scheme *scheme = &ut_minimal_schemes[i];
        bool fast = scheme->n_taps == rule.n_taps && seconds[1 + i] <= shortest * AS_FAST;
        bool plain_is_slow = result->best_s > shortest * AS_FAST;
        if (fast && (plain_is_slow || growth(scheme) < growth(best))) {
            best = scheme;
            result->best_s = seconds[1 + i];
        }
    }
    result->rule.scheme = best;
    return status;
}

/* In place of the rule for layers of this size; a full table loses its oldest. */
static void put_rule(struct ut_minimal_table *table, const struct ut_minimal_rule *rule) {
    int i = 0;
    while (i < table->n_rules && !same_shape(&table->rules[i], rule)) {
        i++;
    }
    if (i == UT_MINIMAL_MAX_RULES) {
        i--;
        memmove(table->rules, table->rules + 1, (size_t)i * sizeof *rule);
    }
    table->rules[i] = *rule;
    table->n_rules = UT_MAX(table->n_rules, i + 1);
}

utter_status ut_tuning_measure(const struct ut_compute *compute, struct ut_mem *mem,
                               const struct ut_minimal_rule *shapes, int n_shapes,
                               struct ut_minimal_table *table, ut_tuning_fn tell, void *user,
                               utter_error *err) {
    struct bench b = {.compute = compute};
    utter_status status = UTTER_OK;
    ut_arena_init(&b.arena, mem, UT_MEM_OTHER);
    for (int i = 0; i < n_shapes && status == UTTER_OK; i++) {
        struct ut_tuning_result result = {.rule = shapes[i]};
        status = make_buffers(&b, &shapes[i]) ? tune_shape(&b, &result, err)
                                              : ut_fail_memory(err, sizeof(float));
        if (status == UTTER_OK) {
            put_rule(table, &result.rule);
            if (tell) {
                tell(user, &result);
            }
        }
        ut_arena_reset(&b.arena);
    }
    ut_arena_free(&b.arena);
    return status;
}

/* ---- The file -----------------------------------------------------------------------------------
 */

static bool read_int(const struct ut_json *doc, ut_json_ref object, const char *key, int *out) {
    int64_t value;
    if (!ut_json_int64(doc, ut_json_member(doc, object, key), &value) || value < 1 ||
        value > MAX_CHANNELS) {
        return false;
    }
    *out = (int)value;
    return true;
}

static utter_status read_rule(const struct ut_json *doc, ut_json_ref entry, int index,
                              struct ut_minimal_rule *out, utter_error *err) {
    const char *scheme = ut_json_string(doc, ut_json_member(doc, entry, "scheme"), NULL);
    if (!read_int(doc, entry, "in", &out->n_in) || !read_int(doc, entry, "out", &out->n_out) ||
        !read_int(doc, entry, "taps", &out->n_taps) || !scheme) {
        return ut_fail(err, UTTER_ERROR_FORMAT,
                       "entry %d of \"layers\" needs \"in\", \"out\" and \"taps\" of 1 to %d and a "
                       "\"scheme\"",
                       index, (int)MAX_CHANNELS);
    }
    bool direct = strcmp(scheme, "direct") == 0;
    out->scheme = direct ? NULL : ut_minimal_find(out->n_taps, scheme);
    return direct || out->scheme
               ? UTTER_OK
               : ut_fail(err, UTTER_ERROR_FORMAT,
                         "entry %d of \"layers\" names the scheme \"%.20s\", which is none for %d "
                         "taps",
                         index, scheme, out->n_taps);
}

static utter_status read_table(const struct ut_json *doc, const char *cpu,
                               struct ut_minimal_table *out, utter_error *err) {
    int64_t version = 0;
    const char *level = ut_json_string(doc, ut_json_member(doc, 0, "cpu"), NULL);
    ut_json_ref layers = ut_json_member(doc, 0, "layers");
    if (!ut_json_int64(doc, ut_json_member(doc, 0, "version"), &version) || version != VERSION ||
        !level || ut_json_type(doc, layers) != UT_JSON_ARRAY) {
        return ut_fail(
            err, UTTER_ERROR_FORMAT,
            "not a file of utter tune: \"version\" %d, \"cpu\" and \"layers\" are wanted",
            (int)VERSION);
    }
    if (strcmp(level, cpu) != 0) {
        return ut_fail(err, UTTER_ERROR_UNSUPPORTED,
                       "measured at level %.20s, this engine uses %s: run utter tune again", level,
                       cpu);
    }
    if (ut_json_count(doc, layers) > UT_MINIMAL_MAX_RULES) {
        return ut_fail(err, UTTER_ERROR_FORMAT, "more than %d entries in \"layers\"",
                       (int)UT_MINIMAL_MAX_RULES);
    }
    utter_status status = UTTER_OK;
    for (ut_json_ref entry = ut_json_first(doc, layers); entry >= 0 && status == UTTER_OK;
         entry = ut_json_next(doc, entry)) {
        status = read_rule(doc, entry, out->n_rules, &out->rules[out->n_rules], err);
        out->n_rules++;
    }
    return status;
}

utter_status ut_tuning_parse(struct ut_mem *mem, const char *text, size_t n, const char *cpu,
                             struct ut_minimal_table *out, utter_error *err) {
    struct ut_json *doc;
    *out = (struct ut_minimal_table){0};
    utter_status status = ut_json_parse(mem, text, n, &doc, err);
    if (status) {
        return status;
    }
    status = read_table(doc, cpu, out, err);
    ut_json_free(doc);
    out->n_rules = status ? 0 : out->n_rules;
    return status;
}

utter_status ut_tuning_format(struct ut_mem *mem, const char *cpu,
                              const struct ut_minimal_table *table, char **text, utter_error *err) {
    struct ut_json_writer w;
    ut_json_put_init(&w, mem);
    ut_json_put_object(&w, NULL);
    ut_json_put_uint(&w, "version", VERSION);
    ut_json_put_string(&w, "cpu", cpu);
    ut_json_put_array(&w, "layers");
    for (int i = 0; i < table->n_rules; i++) {
        const struct ut_minimal_rule *rule = &table->rules[i];
        ut_json_put_object(&w, NULL);
        ut_json_put_uint(&w, "in", (uint64_t)rule->n_in);
        ut_json_put_uint(&w, "out", (uint64_t)rule->n_out);
        ut_json_put_uint(&w, "taps", (uint64_t)rule->n_taps);
        ut_json_put_string(&w, "scheme", rule->scheme ? rule->scheme->name : "direct");
        ut_json_put_end_object(&w);
    }
    ut_json_put_end_array(&w);
    ut_json_put_end_object(&w);
    return ut_json_put_finish(&w, text, err);
}
