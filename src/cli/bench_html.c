/* The matrix as one page: plots, the decision, all figures, stages. No script, nothing from
 * elsewhere; every text from outside is escaped. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

void bench_html_text(FILE *out, const char *text) {
    for (; *text; text++) {
        switch (*text) {
        case '&':
            fputs("&amp;", out);
            break;
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        default:
            fputc(*text, out);
        }
    }
}

/* Colours by custom properties, once for light, dark and paper. */
static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
    "<title>utter bench</title>\n<style>\n"
    ":root { color-scheme: light dark; --bar: #3b74b8; --base: #8a8f98; --bound: #c2410c;\n"
    "  --grid: #d5d9df; --faint: #5b626d; --paper: #ffffff; --ink: #1b1f24; }\n"
    "@media (prefers-color-scheme: dark) { :root { --bar: #6ea3e0; --base: #7d848f;\n"
    "  --bound: #f59e5b; --grid: #363c45; --faint: #a2a9b4; --paper: #15181c; --ink: #e6e8eb; } }\n"
    "@media print { :root { color-scheme: light; --bar: #3b74b8; --base: #8a8f98;\n"
    "  --bound: #c2410c; --grid: #d5d9df; --faint: #5b626d; --paper: #ffffff; --ink: #000000; }\n"
    "  section { break-inside: avoid; } }\n"
    "body { font: 15px/1.5 system-ui, sans-serif; background: var(--paper); color: var(--ink);\n"
    "  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }\n"
    "h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .3rem; }\n"
    "h3 { font-size: 1rem; margin: 1.2rem 0 .2rem; }\n"
    "p { margin: .3rem 0 .6rem; } .faint { color: var(--faint); }\n"
    "svg { width: 100%; height: auto; display: block; }\n"
    "svg text { font: 13px system-ui, sans-serif; fill: var(--ink);\n"
    "  paint-order: stroke; stroke: var(--paper); stroke-width: 4px; }\n"
    "svg .tick { fill: var(--faint); font-size: 12px; }\n"
    ".bar { fill: var(--bar); } .bar.base { fill: var(--base); }\n"
    ".grid { stroke: var(--grid); } .whisker { stroke: var(--ink); stroke-width: 1.5; }\n"
    ".bound { stroke: var(--bound); stroke-width: 3; }\n"
    ".one { stroke: var(--ink); stroke-dasharray: 4 4; } .leader { stroke: var(--grid); }\n"
    ".table { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }\n"
    "th, td { text-align: right; padding: .2rem .5rem; border-bottom: 1px solid var(--grid);\n"
    "  font-variant-numeric: tabular-nums; white-space: nowrap; }\n"
    ".small { font-size: .85rem; } .small th, .small td { padding: .2rem .3rem; }\n"
    "th { font-weight: 600; color: var(--faint); } th:first-child, td:first-child,\n"
    "  .words { text-align: left; white-space: normal; } li { overflow-wrap: anywhere; }\n"
    "td:first-child { white-space: nowrap; }\n"
    "</style>\n</head>\n<body>\n";

/* Cells that failed have figures of zero and are left out everywhere. */
static bool ran(const struct bench_row *row) {
    return !row->cell->reason[0];
}

/* ---- Plots ------------------------------------------------------------------------------------
 */

/* One for each section with bars. */
enum plot { PLOT_SPEED, PLOT_RTF, PLOT_MEMORY, PLOT_FIRST };

/* False: the row has nothing to show. */
static bool make_bar(const struct bench_row *row, enum plot plot, struct bench_bar *bar) {
    const struct bench_summary *s = &row->summary;
    struct bench_spread ratio = bench_ratio(row->cell, s);
    *bar = (struct bench_bar){.label = row->label, .mark = -1, .is_base = row->base == row->cell};
    switch (plot) {
    case PLOT_SPEED:
        bar->value = ratio.median;
        bar->low = bar->is_base ? 0 : ratio.low;
        bar->high = bar->is_base ? 0 : ratio.high;
        snprintf(bar->text, sizeof bar->text, bar->is_base ? "the base" : "%.2f times",
                 ratio.median);
        return ran(row) && row->base;
    case PLOT_RTF:
        bar->value = s->rtf_mean;
        bar->low = s->rtf_mean;
        bar->high = s->rtf_p95;
        snprintf(bar->text, sizeof bar->text, "%.4f", s->rtf_mean);
        return ran(row);
    case PLOT_MEMORY:
        bar->value = s->peak_rss_mb;
        snprintf(bar->text, sizeof bar->text, "%.0f MB", s->peak_rss_mb);
        return ran(row);
    default:
        bar->value = s->first_audio_s;
        snprintf(bar->text, sizeof bar->text, "%.3f s", s->first_audio_s);
        return ran(row);
    }
}

/* `bars` has room for all rows; a plot without a bar is not written. */
static void put_plot(FILE *out, const struct bench_rows *rows, struct bench_bar *bars,
                     enum plot plot, const char *title, const char *words) {
    size_t n = 0;
    for (size_t i = 0; i < rows->n; i++) {
        n += make_bar(&rows->items[i], plot, &bars[n]);
    }
    if (n == 0) {
        return;
    }
    fprintf(out, "<section>\n<h2>%s</h2>\n<p class=\"faint\">%s</p>\n", title, words);
    bench_svg_bars(out, title, bars, n, plot == PLOT_SPEED ? 1 : 0);
    fprintf(out, "</section>\n");
}

/* Threads and streams change nothing in the sound: the first cell stands for them. */
static bool sounded_before(const struct bench_rows *rows, size_t index) {
    const struct bench_cell *cell = rows->items[index].cell;
    bool before = false;
    for (size_t i = 0; i < index; i++) {
        const struct bench_cell *other = rows->items[i].cell;
        before = before ||
                 (other->has_quality && other->model == cell->model && other->text == cell->text &&
                  other->length == cell->length && strcmp(other->backend, cell->backend) == 0 &&
                  strcmp(other->precision, cell->precision) == 0);
    }
    return before;
}

/* Size and quality: what is gained and what it costs. */
static void put_quality(FILE *out, const struct bench_rows *rows) {
    struct bench_point *points = calloc(rows->n + 1, sizeof *points);
    size_t n = 0;
    for (size_t i = 0; points && i < rows->n; i++) {
        const struct bench_row *row = &rows->items[i];
        if (ran(row) && row->cell->has_quality && isfinite(row->cell->quality.lsd_db) &&
            !sounded_before(rows, i)) {
            points[n++] = (struct bench_point){.label = row->label,
                                               .x = row->summary.peak_rss_mb,
                                               .y = row->cell->quality.lsd_db,
                                               .is_base = row->base == row->cell};
        }
    }
    if (n > 0) {
        fprintf(out,
                "<section>\n<h2>Quality beside size</h2>\n<p class=\"faint\">Log-spectral "
                "distance from the native voice in f32, without noise: lower is nearer. Left is "
                "smaller.</p>\n");
        bench_svg_points(out, "Quality beside size", "memory of the process, MB",
                         "log-spectral distance, dB", points, n);
        fprintf(out, "</section>\n");
    }
    free(points);
}

/* ---- The decision -----------------------------------------------------------------------------
 */

/* The table that answers the question the matrix was run for. */
static void put_advice(FILE *out, const struct bench_rows *rows) {
    fprintf(
        out,
        "<section>\n<h2>What to choose</h2>\n<div class=\"table\"><table>\n"
        "<tr><th>Cell</th><th>speed</th><th>memory</th><th class=\"words\">beside the base</th></tr>\n");
    for (size_t i = 0; i < rows->n; i++) {
        const struct bench_row *row = &rows->items[i];
        if (!ran(row)) {
            continue;
        }
        fprintf(out, "<tr><td>");
        bench_html_text(out, row->label);
        if (!row->base || row->base == row->cell) {
            fprintf(out, "</td><td></td><td></td><td class=\"words\">%s",
                    row->base ? "the base" : "nothing to compare it with");
        } else {
            struct bench_spread ratio = bench_ratio(row->cell, &row->summary);
            fprintf(out, "</td><td>%.2f (%.2f to %.2f)</td><td>%.2f</td><td class=\"words\">",
                    ratio.median, ratio.low, ratio.high,
                    row->base_summary.peak_rss_mb > 0
                        ? row->summary.peak_rss_mb / row->base_summary.peak_rss_mb
                        : 0);
            char advice[160];
            bench_advise(row, advice, sizeof advice);
            bench_html_text(out, advice);
        }
        fprintf(out, "</td></tr>\n");
    }
    fprintf(out, "</table></div>\n</section>\n");
}

static void put_failures(FILE *out, const struct bench_rows *rows) {
    bool any = false;
    for (size_t i = 0; i < rows->n; i++) {
        size_t n;
        if (bench_failure(rows, i, &n)) {
            fprintf(out, any ? "<li><b>" : "<section>\n<h2>What does not run</h2>\n<ul>\n<li><b>");
            any = true;
            bench_html_text(out, rows->items[i].label);
            fprintf(out, n > 1 ? "</b> and %zu like it: " : "</b>: ", n - 1);
            bench_html_text(out, rows->items[i].cell->reason);
            fprintf(out, "</li>\n");
        }
    }
    fprintf(out, any ? "</ul>\n</section>\n" : "");
}

/* The same figures as print_speeds and print_comparison (bench_report.c). */
static void put_figures(FILE *out, const struct bench_rows *rows) {
    fprintf(out, "<section>\n<h2>All figures</h2>\n<div class=\"table small\"><table>\n"
                 "<tr><th>Cell</th><th>latency s</th><th>&#177;</th><th>RTF</th><th>p95</th>"
                 "<th>CPU RTF</th><th>p95</th><th>first s</th><th>CPU %%</th><th>file MB</th>"
                 "<th>memory MB</th><th>load s</th></tr>\n");
    for (size_t i = 0; i < rows->n; i++) {
        const struct bench_summary *s = &rows->items[i].summary;
        if (ran(&rows->items[i])) {
            fprintf(out, "<tr><td>");
            bench_html_text(out, rows->items[i].label);
            fprintf(out,
                    "</td><td>%.3f</td><td>%.3f</td><td>%.4f</td><td>%.4f</td><td>%.4f</td>"
                    "<td>%.4f</td><td>%.3f</td><td>%.0f</td><td>%.1f</td><td>%.1f</td>"
                    "<td>%.3f</td></tr>\n",
                    s->latency_mean_s, s->latency_std_s, s->rtf_mean, s->rtf_p95, s->cpu_rtf_mean,
                    s->cpu_rtf_p95, s->first_audio_s, 100 * s->cpu_share, s->file_mb,
                    s->peak_rss_mb, s->load_s);
        }
    }
    fprintf(out, "</table></div>\n</section>\n");
}

/* ---- Stages -----------------------------------------------------------------------------------
 */

/* Nothing for voices that are not native: they have no stages. */
static void put_stages(FILE *out, const struct bench_row *row) {
    struct bench_stage stages[BENCH_MAX_STAGES];
    struct bench_bar bars[BENCH_MAX_STAGES];
    size_t n = ran(row) ? bench_stages(row->cell->answers, stages, BENCH_MAX_STAGES) : 0;
    for (size_t i = 0; i < n; i++) {
        double bound_s = bench_stage_bound(&stages[i]);
        bars[i] = (struct bench_bar){.label = stages[i].name,
                                     .value = 1000 * stages[i].time_s,
                                     .mark = bound_s < 0 ? -1 : 1000 * bound_s};
        if (bound_s < 0 || stages[i].time_s <= 0) {
            snprintf(bars[i].text, sizeof bars[i].text, "%.2f ms", bars[i].value);
        } else {
            snprintf(bars[i].text, sizeof bars[i].text, "%.2f ms, %.0f %%", bars[i].value,
                     100 * bound_s / stages[i].time_s);
        }
    }
    if (n > 0) {
        fprintf(out, "<section>\n<h3>");
        bench_html_text(out, row->label);
        fprintf(out, "</h3>\n");
        bench_svg_bars(out, row->label, bars, n, 0);
        fprintf(out, "</section>\n");
    }
}

static void put_all_stages(FILE *out, const struct bench_rows *rows) {
    bool any = false;
    for (size_t i = 0; i < rows->n; i++) {
        const json_t *stages = json_object_get(rows->items[i].cell->facts, "stages");
        if (ran(&rows->items[i]) && json_array_size(stages) > 0) {
            if (!any) {
                fprintf(out,
                        "<h2>Stages</h2>\n<p class=\"faint\">Milliseconds of one run. The mark "
                        "is the bound: what the stage's products take at the measured peak of "
                        "this machine, or its weights at the speed memory is read, whichever is "
                        "more; behind the bar the share of the time that the bound is. Minimal "
                        "filtering makes fewer products and may pass it.</p>\n");
            }
            any = true;
            put_stages(out, &rows->items[i]);
        }
    }
}

/* ---- The page ---------------------------------------------------------------------------------
 */

/* False: no memory for the bars. */
static bool put_page(FILE *out, const struct bench_matrix *matrix, const struct bench_rows *rows) {
    struct bench_bar *bars = calloc(rows->n, sizeof *bars);
    if (!bars) {
        return false;
    }
    fputs(head, out);
    fprintf(out,
            "<h1>utter bench</h1>\n<p class=\"faint\">utter %s; cells: %zu, rounds: %d, runs in "
            "each: %d. Every round of a cell is a process of its own with a warm-up; ratios are "
            "medians of the rounds.</p>\n",
            utter_version(), rows->n, (int)matrix->options->n_rounds, (int)matrix->options->n_runs);
    put_advice(out, rows);
    put_failures(out, rows);
    put_plot(
        out, rows, bars, PLOT_SPEED, "Speed beside the base",
        "The base's time by the cell's: longer is faster. Whiskers: lowest and highest round.");
    put_plot(out, rows, bars, PLOT_RTF, "RTF",
             "Wall seconds for a second of sound: shorter is faster. Whisker: 95th percentile.");
    put_plot(out, rows, bars, PLOT_FIRST, "First audio", "Seconds until the first sample, median.");
    put_plot(out, rows, bars, PLOT_MEMORY, "Memory", "Peak of the process, model and all.");
    put_quality(out, rows);
    put_figures(out, rows);
    put_all_stages(out, rows);
    fprintf(out, "</body>\n</html>\n");
    free(bars);
    return true;
}

/* A failed write shows at the latest when the file is closed. */
int bench_write_html(const struct bench_matrix *matrix, const char *path) {
    struct bench_rows rows = {0};
    bool ok = bench_make_rows(matrix, &rows);
    FILE *out = ok ? fopen(path, "we") : NULL;
    if (out) {
        ok = put_page(out, matrix, &rows);
        ok = !ferror(out) && ok;
        ok = fclose(out) == 0 && ok;
    }
    if (!out || !ok) {
        cli_print_error("%s could not be written: %s", path, strerror(errno));
    }
    free(rows.items);
    return out && ok ? EXIT_OK : EXIT_FAILED;
}
