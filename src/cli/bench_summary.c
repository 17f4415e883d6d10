/* What the runs of a cell came to, beside a base. Ratios are taken round by round, so that a load
 * which comes and goes meets both sides; see bench.h. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "bench_stats.h"

/* What is taken of a run. */
enum quantity { LATENCY, RTF, THROUGHPUT, CPU_RTF, FIRST_AUDIO, CPU_SHARE, AUDIO };

static double value_of(const struct bench_run *run, enum quantity quantity) {
    double audio_s =
        run->audio_s > 0 ? run->audio_s : 1; /* a voice without a sound: plain seconds */
    switch (quantity) {
    case LATENCY:
        return run->latency_s;
    case RTF:
        return run->wall_s / audio_s;
    case THROUGHPUT:
        return run->wall_s > 0 ? run->audio_s / run->wall_s : 0;
    case CPU_RTF:
        return run->cpu_s / audio_s;
    case FIRST_AUDIO:
        return run->first_audio_s;
    case CPU_SHARE:
        return run->wall_s > 0 ? run->cpu_s / run->wall_s : 0;
    default:
        return run->audio_s;
    }
}

static size_t collect(const struct bench_run *runs, size_t n, enum quantity quantity, double *out) {
    for (size_t i = 0; i < n; i++) {
        out[i] = value_of(&runs[i], quantity);
    }
    return n;
}

/* What a round came to: its runs differ only by what else the machine did. */
static double median_of_round(const struct bench_cell *cell, size_t round, enum quantity quantity,
                              double *scratch) {
    size_t n =
        collect(cell->runs + round * cell->n_runs_round, cell->n_runs_round, quantity, scratch);
    return stats_median(scratch, n);
}

/* Of the rounds that both have. */
static struct bench_spread compare(const struct bench_cell *cell, const struct bench_cell *base,
                                   enum quantity quantity, double *scratch, double *ratios) {
    size_t n = cell->n_rounds < base->n_rounds ? cell->n_rounds : base->n_rounds;
    for (size_t i = 0; i < n; i++) {
        double own = median_of_round(cell, i, quantity, scratch);
        double other = median_of_round(base, i, quantity, scratch);
        ratios[i] = own > 0 ? other / own : 0;
    }
    struct bench_spread spread = {.median = stats_median(ratios, n)};
    spread.low = ratios[0]; /* sorted now */
    spread.high = ratios[n - 1];
    return spread;
}

/* Median over the rounds. */
static double peak_rss_mb(const struct bench_cell *cell, size_t n, double *scratch) {
    /* A process's peak only rises, so the last run of each round has it. */
    for (size_t i = 0; i < cell->n_rounds; i++) {
        scratch[i] = cell->runs[(i + 1) * n - 1].peak_rss_mb;
    }
    return stats_median(scratch, cell->n_rounds);
}

/* One block of scratch, for values and, behind them, ratios. */
bool bench_summarize(const struct bench_cell *cell, const struct bench_cell *base,
                     struct bench_summary *out) {
    size_t n = cell->n_rounds * cell->n_runs_round;
    size_t n_base = base->n_rounds * base->n_runs_round;
    double *x = calloc((n > n_base ? n : n_base) + cell->n_rounds, sizeof *x);
    if (!x) {
        return false;
    }
    double *ratios = x + (n > n_base ? n : n_base);
    collect(cell->runs, n, LATENCY, x);
    out->latency_mean_s = stats_mean(x, n);
    out->latency_std_s = stats_std(x, n);
    collect(cell->runs, n, RTF, x);
    out->rtf_mean = stats_mean(x, n);
    out->rtf_p95 = stats_quantile(x, n, 0.95);
    collect(cell->runs, n, CPU_RTF, x);
    out->cpu_rtf_mean = stats_mean(x, n);
    out->cpu_rtf_p95 = stats_quantile(x, n, 0.95);
    out->first_audio_s = stats_median(x, collect(cell->runs, n, FIRST_AUDIO, x));
    out->cpu_share = stats_median(x, collect(cell->runs, n, CPU_SHARE, x));
    out->audio_s = stats_median(x, collect(cell->runs, n, AUDIO, x));
    out->throughput = stats_median(x, collect(cell->runs, n, THROUGHPUT, x));
    out->peak_rss_mb = peak_rss_mb(cell, cell->n_runs_round, x);
    memcpy(x, cell->loads_s, cell->n_rounds * sizeof *x);
    out->load_s = stats_median(x, cell->n_rounds);
    out->file_mb =
        (double)json_integer_value(json_object_get(cell->facts, "file_bytes")) / (1024 * 1024);
    out->wall_ratio = compare(cell, base, RTF, x, ratios);
    out->cpu_ratio = compare(cell, base, CPU_RTF, x, ratios);
    free(x);
    return true;
}

/* ---- The base -------------------------------------------------------------------------------- */

static const char *family_of(const struct bench_cell *cell) {
    const char *family = json_string_value(json_object_get(cell->facts, "family"));
    return family ? family : "";
}

/* Texts are the pointers of the command line: the same text is the same pointer. */
static bool same_task(const struct bench_cell *a, const struct bench_cell *b) {
    return strcmp(family_of(a), family_of(b)) == 0 && a->text == b->text &&
           a->length == b->length && a->n_threads == b->n_threads && a->n_streams == b->n_streams;
}

/* Whether every one of the words ("onnx", "medium.onnx,native,f32") is the model, backend or
 * precision. */
static bool is_described(const struct bench_cell *cell, const char *words) {
    const char *slash = strrchr(cell->model, '/');
    const char *names[] = {cell->model, slash ? slash + 1 : cell->model, cell->backend,
                           cell->precision};
    for (;;) {
        size_t n = strcspn(words, ",");
        bool found = false;
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            found = found || (strlen(names[i]) == n && strncmp(names[i], words, n) == 0);
        }
        if (!found || words[n] == '\0') {
            return found;
        }
        words += n + 1;
    }
}

/* The first cell that fits the first wish that any fits. */
const struct bench_cell *bench_base_of(const struct bench_matrix *matrix,
                                       const struct bench_cell *cell) {
    const char *given = matrix->options->base;
    const char *const wishes[] = {given ? given : "onnx", given ? NULL : "native,f32",
                                  given ? NULL : "native"};
    for (size_t w = 0; w < sizeof wishes / sizeof *wishes; w++) {
        for (size_t i = 0; wishes[w] && i < matrix->n_cells; i++) {
            const struct bench_cell *other = &matrix->cells[i];
            if (!other->reason[0] && same_task(other, cell) && is_described(other, wishes[w])) {
                return other;
            }
        }
    }
    return NULL;
}

/* ---- The decision ---------------------------------------------------------------------------- */

struct bench_spread bench_ratio(const struct bench_cell *cell,
                                const struct bench_summary *summary) {
    const json_t *threads = json_object_get(cell->facts, "threads");
    bool by_wall = json_integer_value(threads) > 1 || cell->n_streams > 1;
    return by_wall ? summary->wall_ratio : summary->cpu_ratio;
}

/* 0: lower, 1: much the same, 2: higher. Five per cent either way. */
static int side_of(double ratio) {
    return ratio < 1 / 1.05 ? 0 : ratio > 1.05 ? 2 : 1;
}

struct bench_verdict bench_judge(const struct bench_cell *cell, const struct bench_summary *summary,
                                 const struct bench_summary *base) {
    static const struct bench_verdict verdicts[3][3] = {
        /* slower */ {{"slower, smaller", "take it only where memory is short: smaller but slower"},
                      {"slower", "keep the base: slower and no smaller"},
                      {"slower, larger", "keep the base: slower and larger"}},
        /* as fast */
        {{"smaller", "take it where memory counts: smaller and as fast"},
         {"the same", "nothing speaks for a change: as fast and as large"},
         {"larger", "keep the base: larger and no faster"}},
        /* faster */
        {{"faster, smaller", "take it: faster and smaller"},
         {"faster", "take it: faster and no larger"},
         {"faster, larger", "take it where there is memory for it: faster but larger"}},
    };
    struct bench_spread ratio = bench_ratio(cell, summary);
    int speed = side_of(ratio.median);
    /* Rounds that do not agree on the side decide nothing. */
    bool sure = speed == 2 ? ratio.low > 1 : ratio.high < 1;
    int size = base->peak_rss_mb > 0 ? side_of(summary->peak_rss_mb / base->peak_rss_mb) : 1;
    return verdicts[sure ? speed : 1][size];
}
