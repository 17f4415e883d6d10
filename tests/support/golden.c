/* See golden.h. */
#include "support/golden.h"

#include <fnmatch.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "weights/weights.h"

struct tolerances {
    struct byte_buffer text;
    struct ut_json *doc;
    ut_json_ref inputs, rules;
};

struct pair { /* golden and output as doubles, which hold every f32 and int32 exactly */
    const double *ref, *out;
    size_t n;
};

/* What one comparison says; `what` is "max error" and the like. */
struct verdict {
    bool passed;
    const char *what;
    double value;
};

/* ---- Rules -------------------------------------------------------------------------------- */

static bool infinities_agree(struct pair p) {
    for (size_t i = 0; i < p.n; i++) {
        if (!isfinite(p.ref[i]) ? p.ref[i] != p.out[i] : !isfinite(p.out[i])) {
            return false;
        }
    }
    return true;
}

static double difference(struct pair p, size_t i) {
    return isfinite(p.ref[i]) ? fabs(p.out[i] - p.ref[i]) : 0.0;
}

static struct verdict judge_exact(struct pair p) {
    size_t n_different = 0;
    for (size_t i = 0; i < p.n; i++) {
        n_different += p.ref[i] != p.out[i];
    }
    return (struct verdict){n_different == 0, "values differ", (double)n_different};
}

static struct verdict judge_snr(struct pair p, double least_db) {
    double signal = 0, noise = 0;
    for (size_t i = 0; i < p.n; i++) {
        double d = difference(p, i);
        signal += p.ref[i] * p.ref[i];
        noise += d * d;
    }
    double db = noise == 0 ? 200.0 : 10.0 * log10(fmax(signal, 1e-30) / noise);
    return (struct verdict){db >= least_db, "dB SNR", db};
}

static struct verdict judge_relative(struct pair p, double most) {
    double worst = 0;
    for (size_t i = 0; i < p.n; i++) {
        double size = isfinite(p.ref[i]) ? fabs(p.ref[i]) : 1.0;
        worst = fmax(worst, difference(p, i) / fmax(size, 1e-6));
    }
    return (struct verdict){worst <= most, "relative error", worst};
}

static struct verdict judge_absolute(struct pair p, double most, bool scaled) {
    double worst = 0, scale = 1.0;
    for (size_t i = 0; i < p.n; i++) {
        worst = fmax(worst, difference(p, i));
        if (scaled && isfinite(p.ref[i])) {
            scale = fmax(scale, fabs(p.ref[i]));
        }
    }
    return (struct verdict){worst <= most * scale, "max error", worst};
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Phases of the second half, modulo 2 pi, where the magnitude of the first half says that there is
 * one: 99 % of them must be within the limit. */
static struct verdict judge_phases(struct pair p, double most, double least_magnitude) {
    size_t half = p.n / 2, n = 0;
    double *errors = test_alloc(half * sizeof *errors), worst = 0;
    for (size_t i = 0; i < half; i++) {
        if (p.ref[i] > least_magnitude) {
            errors[n++] = fabs(remainder(p.out[half + i] - p.ref[half + i], 2 * M_PI));
        }
    }
    if (n > 0) {
        qsort(errors, n, sizeof *errors, compare_doubles);
        worst = errors[(size_t)(0.99 * (double)(n - 1))];
    }
    free(errors);
    return (struct verdict){worst <= most, "radians (99 % of the phases)", worst};
}

/* limits: [magnitude, phase, least magnitude that has a phase] */
static struct verdict judge_polar(const struct ut_json *doc, ut_json_ref limits, struct pair p) {
    double magnitude = 0, phase = 0, least = 0;
    ut_json_ref i = ut_json_first(doc, limits);
    bool known = ut_json_double(doc, i, &magnitude);
    known = known && ut_json_double(doc, i = ut_json_next(doc, i), &phase);
    known = known && ut_json_double(doc, ut_json_next(doc, i), &least);
    if (!known) {
        return (struct verdict){false, "no known rule", 0};
    }
    struct verdict verdict = judge_absolute((struct pair){p.ref, p.out, p.n / 2}, magnitude, false);
    return verdict.passed ? judge_phases(p, phase, least) : verdict;
}

static struct verdict judge(const struct ut_json *doc, ut_json_ref rule, struct pair p) {
    double limit;
    bool scaled = false;
    if (ut_json_member(doc, rule, "exact") >= 0) {
        return judge_exact(p);
    }
    if (!infinities_agree(p)) {
        return (struct verdict){false, "infinities or NaN differ", 0};
    }
    if (ut_json_double(doc, ut_json_member(doc, rule, "snr"), &limit)) {
        return judge_snr(p, limit);
    }
    if (ut_json_member(doc, rule, "polar") >= 0) {
        return judge_polar(doc, ut_json_member(doc, rule, "polar"), p);
    }
    if (ut_json_double(doc, ut_json_member(doc, rule, "rel"), &limit)) {
        return judge_relative(p, limit);
    }
    if (!ut_json_double(doc, ut_json_member(doc, rule, "abs"), &limit)) {
        return (struct verdict){false, "no known rule", 0};
    }
    ut_json_bool(doc, ut_json_member(doc, rule, "scaled"), &scaled);
    return judge_absolute(p, limit, scaled);
}

static bool is_integer(enum ut_dtype type) {
    return type != UT_F32 && type != UT_F16 && type != UT_BF16 && type != UT_F64;
}

static struct verdict judge_by_default(const char *stage, enum ut_dtype type, struct pair p) {
    if (is_integer(type)) {
        return judge_exact(p);
    }
    if (!infinities_agree(p)) {
        return (struct verdict){false, "infinities or NaN differ", 0};
    }
    return strstr(stage, "audio") ? judge_snr(p, 60.0) : judge_absolute(p, 1e-3, true);
}

/* ---- Files -------------------------------------------------------------------------------- */

static void say(struct golden_report *report, const char *name, const char *what, double value) {
    byte_buffer_printf(&report->failures, "%s: %s (%.4g)\n", name, what, value);
}

/* Keeps a NUL behind the lines. */
static bool finish_report(struct golden_report *report, bool passed) {
    byte_buffer_append_u8(&report->failures, '\0');
    report->failures.n--;
    return passed;
}

static bool load_tolerances(struct ut_mem *mem, const char *path, struct tolerances *t,
                            struct golden_report *report) {
    utter_error err;
    byte_buffer_read_file(&t->text, path);
    if (ut_json_parse(mem, (const char *)t->text.data, t->text.n, &t->doc, &err) != UTTER_OK) {
        say(report, path, err.message, 0);
        byte_buffer_free(&t->text);
        return false;
    }
    t->inputs = ut_json_member(t->doc, 0, "inputs");
    t->rules = ut_json_member(t->doc, 0, "rules");
    return true;
}

static void free_tolerances(struct tolerances *t) {
    ut_json_free(t->doc);
    byte_buffer_free(&t->text);
}

static const char *stage_of(const char *name) {
    const char *dot = strchr(name, '.');
    return dot ? dot + 1 : name;
}

static bool is_input(const struct tolerances *t, const char *name) {
    for (ut_json_ref i = ut_json_first(t->doc, t->inputs); i >= 0; i = ut_json_next(t->doc, i)) {
        const char *input = ut_json_string(t->doc, i, NULL);
        if (input && (strcmp(input, stage_of(name)) == 0 || strcmp(input, name) == 0)) {
            return true;
        }
    }
    return false;
}

static bool matches(const char *pattern, const char *text) {
    return fnmatch(pattern, text, FNM_NOESCAPE) == 0;
}

static ut_json_ref find_rule(const struct tolerances *t, const char *name) {
    for (ut_json_ref i = ut_json_first(t->doc, t->rules); i >= 0; i = ut_json_next(t->doc, i)) {
        ut_json_ref first = ut_json_first(t->doc, i);
        const char *pattern = ut_json_string(t->doc, first, NULL);
        if (pattern && (matches(pattern, name) || matches(pattern, stage_of(name)))) {
            return ut_json_next(t->doc, first);
        }
    }
    return -1;
}

/* Elements as doubles; NULL for a type that no golden file holds. Free it. */
static double *to_doubles(const struct ut_tensor *tensor) {
    size_t n = (size_t)ut_tensor_n_elements(tensor);
    double *values = test_alloc(n * sizeof *values);
    float *floats = test_alloc(n * sizeof *floats);
    bool known = true;
    if (tensor->type == UT_I32) {
        for (size_t i = 0; i < n; i++) {
            int32_t value;
            memcpy(&value, (const uint8_t *)tensor->data + i * sizeof value, sizeof value);
            values[i] = value;
        }
    } else if ((known = ut_tensor_to_f32(tensor, floats))) {
        for (size_t i = 0; i < n; i++) {
            values[i] = floats[i];
        }
    }
    free(floats);
    if (!known) {
        free(values);
        values = NULL;
    }
    return values;
}

static struct verdict compare_tensor(const struct tolerances *t, const struct ut_tensor *ref,
                                     const struct ut_tensor *out, ut_json_ref rule) {
    if (!out) {
        return (struct verdict){false, "missing", 0};
    }
    if (ut_tensor_n_elements(ref) != ut_tensor_n_elements(out)) {
        return (struct verdict){false, "elements, another size", (double)ut_tensor_n_elements(out)};
    }
    double *a = to_doubles(ref), *b = to_doubles(out);
    struct verdict verdict = {false, "type that cannot be compared", ref->type};
    if (a && b) {
        struct pair p = {a, b, (size_t)ut_tensor_n_elements(ref)};
        verdict = rule >= 0 ? judge(t->doc, rule, p)
                            : judge_by_default(stage_of(ref->name), ref->type, p);
    }
    free(a);
    free(b);
    return verdict;
}

static void compare_all(const struct tolerances *t, const struct ut_weights *golden,
                        const struct ut_weights *out, struct golden_report *report) {
    for (size_t i = 0; i < ut_weights_count(golden); i++) {
        const struct ut_tensor *ref = ut_weights_at(golden, i);
        ut_json_ref rule = find_rule(t, ref->name);
        if (is_input(t, ref->name) || ut_json_member(t->doc, rule, "skip") >= 0) {
            continue;
        }
        struct verdict verdict = compare_tensor(t, ref, ut_weights_find(out, ref->name), rule);
        report->n_passed += verdict.passed;
        report->n_failed += !verdict.passed;
        if (!verdict.passed) {
            say(report, ref->name, verdict.what, verdict.value);
        }
    }
}

bool golden_compare(struct ut_mem *mem, const char *golden, const char *out, const char *tolerances,
                    struct golden_report *report) {
    *report = (struct golden_report){0};
    utter_error err;
    struct tolerances t = {0};
    struct ut_weights *ref = NULL, *ours = NULL;
    if (!load_tolerances(mem, tolerances, &t, report)) {
        return finish_report(report, false);
    }
    bool opened = ut_weights_open(mem, golden, &ref, &err) == UTTER_OK &&
                  ut_weights_open(mem, out, &ours, &err) == UTTER_OK;
    if (opened) {
        compare_all(&t, ref, ours, report);
    } else {
        say(report, "cannot read", err.message, 0);
    }
    ut_weights_close(ref);
    ut_weights_close(ours);
    free_tolerances(&t);
    return finish_report(report, opened && report->n_failed == 0 && report->n_passed > 0);
}

/* Views of a file may lie at any alignment; the writer wants the natural one. */
static struct ut_tensor aligned_copy(const struct ut_tensor *tensor) {
    struct ut_tensor copy = *tensor;
    void *data = test_alloc(tensor->n_bytes);
    memcpy(data, tensor->data, tensor->n_bytes);
    copy.data = data;
    return copy;
}

bool golden_strip(struct ut_mem *mem, const char *golden, const char *tolerances, const char *also,
                  const char *out, struct golden_report *report) {
    *report = (struct golden_report){0};
    utter_error err;
    struct tolerances t = {0};
    struct ut_weights *ref = NULL;
    if (!load_tolerances(mem, tolerances, &t, report)) {
        return finish_report(report, false);
    }
    bool done = ut_weights_open(mem, golden, &ref, &err) == UTTER_OK;
    if (done) {
        struct ut_tensor *kept = test_alloc(ut_weights_count(ref) * sizeof *kept);
        size_t n = 0;
        for (size_t i = 0; i < ut_weights_count(ref); i++) {
            const char *name = ut_weights_at(ref, i)->name;
            if (is_input(&t, name) || (also && strcmp(stage_of(name), also) == 0)) {
                kept[n++] = aligned_copy(ut_weights_at(ref, i));
            }
        }
        done = n > 0 && ut_safetensors_write(out, kept, n, &err) == UTTER_OK;
        while (n > 0) {
            free((void *)kept[--n].data);
        }
        free(kept);
    }
    if (!done) {
        say(report, golden, err.message, 0);
    }
    ut_weights_close(ref);
    free_tolerances(&t);
    return finish_report(report, done);
}
