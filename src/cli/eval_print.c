/* The figures of utter eval: tables, what a figure means in a few words, JSON. The words are rules
 * of thumb for speech (docs/eval.md says where they come from), no judgement of a listener. */
#include "eval.h"

#include <math.h>

struct grade {
    double limit; /* up to here; for figures that fall as sound gets worse, down to here */
    const char *words;
};

/* Everything particular to one figure: its name in JSON, its column, and what its values mean. */
struct figure {
    const char *key, *label, *unit;
    int decimals;
    bool falls;   /* smaller is worse */
    double scale; /* of the value as shown */
    struct grade grades[4];
    const char *otherwise; /* beyond the last grade */
};

/* In the order of eval_figures_of; grades from the best to the worst. */
static const struct figure figures[EVAL_N_FIGURES] = {
    {"snr_db",
     "SNR",
     "dB",
     1,
     true,
     1,
     {{60, "inaudible"}, {40, "hard to hear"}, {20, "may be heard side by side"}},
     "other samples; the LSD says whether they sound different"},
    {"lsd_db",
     "LSD",
     "dB",
     2,
     false,
     1,
     {{0.1, "inaudible"}, {1, "hard to hear"}, {5, "may be heard side by side"}},
     "clearly audible, or another noise in the pauses"},
    {"mcd_db",
     "MCD",
     "dB",
     2,
     false,
     1,
     {{0.1, "inaudible"}, {0.5, "hard to hear"}, {2, "may be heard side by side"}},
     "another timbre"},
    {"f0_correlation",
     "F0 corr",
     "",
     3,
     true,
     1,
     {{0.99, "the same melody"}, {0.9, "nearly the same melody"}},
     "another melody"},
    {"f0_rmse_cents",
     "F0 RMSE",
     "cents",
     1,
     false,
     1,
     {{5, "inaudible"}, {25, "hard to hear"}, {100, "less than a semitone"}},
     "more than a semitone, or octaves mistaken"},
    {"voicing_differs",
     "voicing",
     "%",
     1,
     false,
     100,
     {{0.01, "voiced in the same places"}, {0.05, "voiced differently here and there"}},
     "voiced in other places"},
};

/* In means and worsts only; a single pair says "equal". */
static const double equal_snr_db = 99;

struct eval_figures eval_figures_of(const utter_quality *quality) {
    return (struct eval_figures){{quality->snr_db, quality->lsd_db, quality->mcd_db,
                                  quality->f0_correlation, quality->f0_rmse_cents,
                                  quality->voicing_differs}};
}

/* Infinity has no mean. */
static double countable(double value) {
    return isinf(value) ? copysign(equal_snr_db, value) : value;
}

struct eval_figures eval_mean(const struct eval_figures *rows, size_t n) {
    struct eval_figures mean;
    for (int f = 0; f < EVAL_N_FIGURES; f++) {
        double sum = 0;
        size_t n_counted = 0;
        for (size_t i = 0; i < n; i++) {
            double value = countable(rows[i].values[f]);
            sum += isnan(value) ? 0 : value;
            n_counted += !isnan(value);
        }
        mean.values[f] = n_counted ? sum / (double)n_counted : NAN;
    }
    return mean;
}

struct eval_figures eval_worst(const struct eval_figures *rows, size_t n) {
    struct eval_figures worst;
    for (int f = 0; f < EVAL_N_FIGURES; f++) {
        worst.values[f] = NAN;
        for (size_t i = 0; i < n; i++) { /* fmin and fmax prefer what is a number */
            double value = countable(rows[i].values[f]);
            worst.values[f] =
                figures[f].falls ? fmin(worst.values[f], value) : fmax(worst.values[f], value);
        }
    }
    return worst;
}

/* ---- Text ----------------------------------------------------------------------------------- */

/* In words; `value` is finite. */
static const char *meaning(const struct figure *figure, double value) {
    for (int i = 0; i < 4 && figure->grades[i].words; i++) {
        double limit = figure->grades[i].limit;
        if (figure->falls ? value >= limit : value <= limit) {
            return figure->grades[i].words;
        }
    }
    return figure->otherwise;
}

/* A dash for what cannot be told. */
static void format_value(char *out, size_t size, const struct figure *figure, double value) {
    if (isnan(value)) {
        snprintf(out, size, "-");
    } else if (isinf(value)) {
        snprintf(out, size, value > 0 ? "equal" : "silent");
    } else {
        snprintf(out, size, "%.*f", figure->decimals, figure->scale * value);
    }
}

void eval_print_meanings(const struct eval_figures *row) {
    for (int f = 0; f < EVAL_N_FIGURES; f++) {
        double value = row->values[f];
        char number[32];
        format_value(number, sizeof number, &figures[f], value);
        printf("%-8s %8s %-6s %s\n", figures[f].label, number,
               isfinite(value) ? figures[f].unit : "",
               isnan(value)   ? "cannot be told: too little of it is there"
               : isinf(value) ? (value > 0 ? "every sample is the same" : "the reference is silent")
                              : meaning(&figures[f], value));
    }
}

static void print_two(const char *label, const char *format, double a, double b) {
    char left[40], right[40];
    snprintf(left, sizeof left, format, a);
    snprintf(right, sizeof right, format, b);
    printf("%-10s %14s %14s\n", label, left, right);
}

static void print_sides(const struct eval_pair *pair) {
    const utter_quality *q = &pair->quality;
    printf("%-10s %14s %14s\n", "", "reference", "test");
    print_two("length", "%.2f s", pair->seconds[0], pair->seconds[1]);
    print_two("rate", "%.0f Hz", pair->rates_hz[0], pair->rates_hz[1]);
    print_two("level", "%.1f dBFS", q->rms_dbfs[0], q->rms_dbfs[1]);
    print_two("peak", "%.3f", q->peak[0], q->peak[1]);
    print_two("clipped", "%.2f %%", 100 * q->clipped[0], 100 * q->clipped[1]);
    print_two("silence", "%.1f %%", 100 * q->silent[0], 100 * q->silent[1]);
}

void eval_print_pair(const struct eval_pair *pair) {
    const utter_quality *q = &pair->quality;
    struct eval_figures row = eval_figures_of(q);
    print_sides(pair);
    printf("\n");
    eval_print_meanings(&row);
    printf("\ncompared: %.2f s at %d Hz", (double)q->n_samples / q->sample_rate_hz,
           q->sample_rate_hz);
    if (q->lag_ms != 0) {
        printf(", after the test was moved by %.2f ms", q->lag_ms);
    }
    printf("\n");
}

void eval_print_heading(int name_width) {
    printf("%-*s", name_width, "");
    for (int f = 0; f < EVAL_N_FIGURES; f++) {
        printf(" %8s", figures[f].label);
    }
    printf("\n");
}

void eval_print_row(const char *name, int name_width, const struct eval_figures *row) {
    printf("%s%*s", name, name_width - cli_columns(name), "");
    for (int f = 0; f < EVAL_N_FIGURES; f++) {
        char number[32];
        format_value(number, sizeof number, &figures[f], row->values[f]);
        printf(" %8s", number);
    }
    printf("\n");
}

/* ---- JSON ----------------------------------------------------------------------------------- */

/* JSON has neither NaN nor infinity. */
static json_t *number(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *eval_figures_json(const struct eval_figures *row) {
    json_t *object = json_object();
    for (int f = 0; f < EVAL_N_FIGURES; f++) {
        json_object_set_new(object, figures[f].key, number(row->values[f]));
    }
    return object;
}

static json_t *side_json(const struct eval_pair *pair, int side, const char *path) {
    const utter_quality *q = &pair->quality;
    return json_pack("{s:s, s:i, s:f, s:o, s:f, s:f, s:f}", "path", path, "sample_rate_hz",
                     (int)pair->rates_hz[side], "audio_s", pair->seconds[side], "rms_dbfs",
                     number(q->rms_dbfs[side]), "peak", q->peak[side], "clipped", q->clipped[side],
                     "silent", q->silent[side]);
}

/* Figures first, then what they are of. */
json_t *eval_pair_json(const struct eval_pair *pair) {
    const utter_quality *q = &pair->quality;
    struct eval_figures row = eval_figures_of(q);
    json_t *object = eval_figures_json(&row);
    json_t *rest = json_pack(
        "{s:o, s:o, s:b, s:f, s:i, s:I, s:I}", "reference", side_json(pair, 0, pair->ref_path),
        "test", side_json(pair, 1, pair->test_path), "equal", isinf(q->snr_db) && q->snr_db > 0,
        "lag_ms", q->lag_ms, "sample_rate_hz", (int)q->sample_rate_hz, "samples",
        (json_int_t)q->n_samples, "samples_left_over", (json_int_t)q->n_left_over);
    if (pair->name) {
        json_object_set_new(object, "name", json_string(pair->name));
    }
    if (!rest || json_object_update(object, rest) != 0) {
        json_decref(object);
        object = NULL;
    }
    json_decref(rest);
    return object;
}
