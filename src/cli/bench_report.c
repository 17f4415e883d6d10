/* The matrix as tables for a terminal of 100 columns, and as JSON. */
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

/* Advice beyond MAX_ADVICE rows would bury the table; from FAR_DB on a difference may be heard. */
enum { WIDTH = 100, MAX_ADVICE = 8, FAR_DB = 1 };

/* ---- Labels -----------------------------------------------------------------------------------
 */

/* Whether the cells differ in a field, by its bytes: strings are the same pointers where they are
 * equal. */
static bool varies(const struct bench_matrix *matrix, size_t offset, size_t size) {
    for (size_t i = 1; i < matrix->n_cells; i++) {
        const char *a = (const char *)&matrix->cells[0] + offset;
        const char *b = (const char *)&matrix->cells[i] + offset;
        if (memcmp(a, b, size) != 0) {
            return true;
        }
    }
    return false;
}
#define VARIES(matrix, field)                                                                      \
    varies(matrix, offsetof(struct bench_cell, field), sizeof((struct bench_cell *)0)->field)

void bench_clean(char *text) {
    unsigned char *c = (unsigned char *)text;
    while (*c) {
        int n = *c < 0x80                 ? 1
                : *c >= 0xC2 && *c < 0xE0 ? 2
                : *c >= 0xE0 && *c < 0xF0 ? 3
                : *c >= 0xF0 && *c < 0xF5 ? 4
                                          : 0;
        bool good = n > 0 && *c >= 0x20 && *c != 0x7F;
        for (int i = 1; good && i < n; i++) {
            good = (c[i] & 0xC0) == 0x80;
        }
        /* Overlong, surrogates, beyond U+10FFFF. */
        good = good && !(*c == 0xE0 && c[1] < 0xA0) && !(*c == 0xED && c[1] > 0x9F) &&
               !(*c == 0xF0 && c[1] < 0x90) && !(*c == 0xF4 && c[1] > 0x8F);
        if (!good) {
            *c++ = '?';
        } else {
            c += n;
        }
    }
}

/* A number of bytes, at most n, that cuts no character. */
static int whole_bytes(const char *text, int n) {
    while (n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80) {
        n--;
    }
    return n;
}

/* The last part of a path, without ".onnx", cut in its middle where there is less room. */
static void put_model(const char *model, char *out, size_t size) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", model);
    size_t n_path = strlen(path);
    while (n_path > 1 && path[n_path - 1] == '/') {
        path[--n_path] = '\0';
    }
    const char *slash = strrchr(path, '/'), *name = slash && slash[1] ? slash + 1 : path;
    int n = (int)strlen(name);
    n -= n > 5 && strcmp(name + n - 5, ".onnx") == 0 ? 5 : 0;
    if (n < (int)size) {
        snprintf(out, size, "%.*s", n, name);
        return;
    }
    int n_end = ((int)size - 3) / 2, end = n - n_end;
    while (end < n && ((unsigned char)name[end] & 0xC0) == 0x80) {
        end++;
    }
    int n_begin = whole_bytes(name, (int)size - 3 - n_end);
    snprintf(out, size, "%.*s..%.*s", n_begin, name, n - end, name + end);
}

/* Appends to a text; what does not fit is cut. */
__attribute__((format(printf, 3, 4))) static void add(char *out, size_t size, const char *format,
                                                      ...) {
    size_t used = strlen(out);
    va_list list;
    va_start(list, format);
    vsnprintf(out + used, size - used, format, list);
    va_end(list);
}

/* Model, backend and precision always, of the rest only what varies. */
void bench_cell_label(const struct bench_matrix *matrix, const struct bench_cell *cell, char *out,
                      size_t size) {
    char rest[64] = "";
    add(rest, sizeof rest, " %s", cell->backend);
    if (strcmp(cell->precision, "stored") != 0) {
        add(rest, sizeof rest, " %s", cell->precision);
    }
    if (VARIES(matrix, n_threads)) {
        add(rest, sizeof rest, " %dt", (int)cell->n_threads);
    }
    if (VARIES(matrix, n_streams)) {
        add(rest, sizeof rest, " %ds", (int)cell->n_streams);
    }
    if (cell->length && VARIES(matrix, length)) {
        add(rest, sizeof rest, " %dph", (int)cell->length);
    } else if (cell->text && VARIES(matrix, text)) {
        size_t n = strlen(cell->text);
        add(rest, sizeof rest, " \"%.*s\"", n > 8 ? whole_bytes(cell->text, 8) : (int)n,
            cell->text);
    }
    put_model(cell->model, out, size - strlen(rest));
    add(out, size, "%s", rest);
    bench_clean(out);
}

/* ---- Tables -----------------------------------------------------------------------------------
 */

/* The base's own summary is made for each row: it is compared in the rounds that both have. */
bool bench_make_rows(const struct bench_matrix *matrix, struct bench_rows *rows) {
    rows->items = calloc(matrix->n_cells, sizeof *rows->items);
    bool ok = rows->items != NULL;
    for (size_t i = 0; ok && i < matrix->n_cells; i++) {
        struct bench_row *row = &rows->items[rows->n++];
        row->cell = &matrix->cells[i];
        bench_cell_label(matrix, row->cell, row->label, sizeof row->label);
        int n = cli_columns(row->label);
        rows->width = n > rows->width ? n : rows->width;
        if (!row->cell->reason[0]) {
            row->base = bench_base_of(matrix, row->cell);
            const struct bench_cell *base = row->base ? row->base : row->cell;
            ok = bench_summarize(row->cell, base, &row->summary) &&
                 bench_summarize(base, base, &row->base_summary);
        }
    }
    if (!ok) {
        cli_print_error("out of memory for the report");
    }
    return ok;
}

/* Words behind `column`, cut into lines that begin at column `at` and end before WIDTH. */
static void print_wrapped(const char *text, int column, int at) {
    while (*text) {
        int n = (int)strcspn(text, " ");
        if (column > at && column + n > WIDTH) {
            printf("\n%*s", at, "");
            column = at;
        }
        printf("%.*s", n, text);
        column += n;
        text += n;
        if (*text == ' ') {
            printf(" ");
            column++;
            text++;
        }
    }
    printf("\n");
}

/* Padded by characters: printf would count bytes. */
static void print_label(const struct bench_rows *rows, const char *label) {
    printf("%s%*s ", label, rows->width - cli_columns(label), "");
}

void bench_advise(const struct bench_row *row, char *out, size_t size) {
    const struct bench_cell *cell = row->cell;
    snprintf(out, size, "%s", bench_judge(cell, &row->summary, &row->base_summary).advice);
    if (cell->has_quality && cell->quality.lsd_db > FAR_DB) {
        add(out, size, "; listen first: %.1f dB from native f32", cell->quality.lsd_db);
    }
}

bool bench_failure(const struct bench_rows *rows, size_t index, size_t *n) {
    const struct bench_cell *cell = rows->items[index].cell;
    *n = 0;
    for (size_t i = 0; cell->reason[0] && i < rows->n; i++) {
        const struct bench_cell *other = rows->items[i].cell;
        bool same = other->model == cell->model && strcmp(other->backend, cell->backend) == 0 &&
                    strcmp(other->reason, cell->reason) == 0;
        if (same && i < index) {
            return false;
        }
        *n += same;
    }
    return *n > 0;
}

static void print_failures(const struct bench_rows *rows) {
    for (size_t i = 0; i < rows->n; i++) {
        size_t n;
        if (!bench_failure(rows, i, &n)) {
            continue;
        }
        char head[BENCH_MAX_LABEL + 64];
        snprintf(head, sizeof head, n > 1 ? "%s and %zu like it: " : "%s: ", rows->items[i].label,
                 n - 1);
        printf("\n%s", head);
        print_wrapped(rows->items[i].cell->reason, cli_columns(head), 2);
    }
}

static void print_speeds(const struct bench_rows *rows) {
    printf("%-*s %8s %6s %7s %7s %7s %7s %7s %6s\n", rows->width, "", "latency s", "+-", "RTF",
           "p95", "CPU RTF", "p95", "first s", "CPU %");
    for (size_t i = 0; i < rows->n; i++) {
        const struct bench_row *row = &rows->items[i];
        const struct bench_summary *s = &row->summary;
        if (row->cell->reason[0]) {
            continue;
        }
        print_label(rows, row->label);
        printf("%8.3f %6.3f %7.4f %7.4f %7.4f %7.4f %7.3f %6.0f\n", s->latency_mean_s,
               s->latency_std_s, s->rtf_mean, s->rtf_p95, s->cpu_rtf_mean, s->cpu_rtf_p95,
               s->first_audio_s, 100 * s->cpu_share);
    }
}

/* +- is half the distance of the lowest from the highest round. */
static void print_comparison(const struct bench_rows *rows) {
    size_t n = 0;
    for (size_t i = 0; i < rows->n; i++) {
        n += !rows->items[i].cell->reason[0];
    }
    if (n == 0) {
        return;
    }
    printf("\n%-*s %7s %7s %6s %11s %12s  %s\n", rows->width, "", "file MB", "peak MB", "load s",
           "speed (CPU)", "speed (wall)", "beside the base");
    for (size_t i = 0; i < rows->n; i++) {
        const struct bench_row *row = &rows->items[i];
        const struct bench_summary *s = &row->summary;
        if (row->cell->reason[0]) {
            continue;
        }
        char cpu[32], wall[32];
        snprintf(cpu, sizeof cpu, "%.2f +-%.2f", s->cpu_ratio.median,
                 (s->cpu_ratio.high - s->cpu_ratio.low) / 2);
        snprintf(wall, sizeof wall, "%.2f +-%.2f", s->wall_ratio.median,
                 (s->wall_ratio.high - s->wall_ratio.low) / 2);
        print_label(rows, row->label);
        printf("%7.1f %7.1f %6.3f %11s %12s  %s\n", s->file_mb, s->peak_rss_mb, s->load_s,
               row->base ? cpu : "", row->base ? wall : "",
               !row->base               ? "no base"
               : row->base == row->cell ? "(the base)"
                                        : bench_judge(row->cell, s, &row->base_summary).words);
    }
}

/* Why the base is the base, and what to do. */
static void print_advice(const struct bench_matrix *matrix, const struct bench_rows *rows) {
    const struct bench_row *first = NULL;
    size_t n = 0;
    for (size_t i = 0; i < rows->n; i++) {
        n += rows->items[i].base && rows->items[i].base != rows->items[i].cell;
    }
    if (n > MAX_ADVICE) {
        return; /* the table's last column says it in fewer words */
    }
    for (size_t i = 0; i < rows->n; i++) {
        const struct bench_row *row = &rows->items[i];
        if (!row->base || row->base == row->cell) {
            continue;
        }
        if (!first) {
            printf("\n");
        }
        first = row;
        char base[BENCH_MAX_LABEL + 1], advice[160];
        bench_cell_label(matrix, row->base, base, sizeof base);
        struct bench_spread ratio = bench_ratio(row->cell, &row->summary);
        bench_advise(row, advice, sizeof advice);
        printf("%s: %s\n", row->label, advice);
        printf("  %.2f times the speed of %s (%.2f to %.2f), %.2f times its memory\n", ratio.median,
               base, ratio.low, ratio.high,
               row->base_summary.peak_rss_mb > 0
                   ? row->summary.peak_rss_mb / row->base_summary.peak_rss_mb
                   : 0);
    }
}

/* A figure, or a dash for one that does not exist. */
static void put_db(char *out, size_t size, double db) {
    if (isfinite(db)) {
        snprintf(out, size, "%.2f", db);
    } else {
        snprintf(out, size, "%s", db > 0 ? "equal" : "-");
    }
}

static void print_quality(const struct bench_rows *rows) {
    printf("\n%-*s %8s %8s %8s  beside native f32, without noise\n", rows->width, "", "LSD dB",
           "MCD dB", "SNR dB");
    for (size_t i = 0; i < rows->n; i++) {
        const struct bench_cell *cell = rows->items[i].cell;
        const utter_quality *q = &cell->quality;
        char lsd[24] = "-", mcd[24] = "-", snr[24] = "-";
        if (cell->reason[0]) {
            continue;
        }
        if (cell->has_quality) {
            put_db(lsd, sizeof lsd, q->lsd_db);
            put_db(mcd, sizeof mcd, q->mcd_db);
            put_db(snr, sizeof snr, q->snr_db);
        }
        print_label(rows, rows->items[i].label);
        printf("%8s %8s %8s\n", lsd, mcd, snr);
    }
}

/* Native voices only. */
static void print_profiles(const struct bench_rows *rows) {
    struct bench_stage stages[BENCH_MAX_STAGES];
    for (size_t i = 0; i < rows->n; i++) {
        const struct bench_cell *cell = rows->items[i].cell;
        size_t n = cell->reason[0] ? 0 : bench_stages(cell->answers, stages, BENCH_MAX_STAGES);
        if (n > 0) {
            printf("\n%s\n", rows->items[i].label);
            bench_print_stages(stages, n);
            bench_print_peaks(cell->answers);
        }
    }
}

bool bench_print_tables(const struct bench_matrix *matrix) {
    const struct bench_options *o = matrix->options;
    struct bench_rows rows = {0};
    bool ok = bench_make_rows(matrix, &rows);
    if (ok) {
        printf(
            "rounds: %d, runs in each: %d; every round of a cell is a process of its own, with a warm-up\n\n",
            (int)o->n_rounds, (int)o->n_runs);
        print_speeds(&rows);
        print_comparison(&rows);
        if (o->quality) {
            print_quality(&rows);
        }
        print_advice(matrix, &rows);
        print_failures(&rows);
        if (o->profile) {
            print_profiles(&rows);
        }
    }
    free(rows.items);
    return ok;
}

/* ---- JSON -------------------------------------------------------------------------------------
 */

static json_t *spread_json(const struct bench_spread *spread) {
    return json_pack("{s:f, s:f, s:f}", "median", spread->median, "low", spread->low, "high",
                     spread->high);
}

static json_t *summary_json(const struct bench_summary *s) {
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:o, s:o}",
                     "latency_mean_s", s->latency_mean_s, "latency_std_s", s->latency_std_s,
                     "rtf_mean", s->rtf_mean, "rtf_p95", s->rtf_p95, "cpu_rtf_mean",
                     s->cpu_rtf_mean, "cpu_rtf_p95", s->cpu_rtf_p95, "first_audio_s",
                     s->first_audio_s, "load_s", s->load_s, "cpu_share", s->cpu_share, "audio_s",
                     s->audio_s, "throughput", s->throughput, "peak_rss_mb", s->peak_rss_mb,
                     "file_mb", s->file_mb, "cpu_ratio", spread_json(&s->cpu_ratio), "wall_ratio",
                     spread_json(&s->wall_ratio));
}

static json_t *rounds_json(const struct bench_cell *cell) {
    json_t *rounds = json_array();
    for (size_t r = 0; r < cell->n_rounds; r++) {
        json_t *runs = json_array();
        for (size_t i = 0; i < cell->n_runs_round; i++) {
            const struct bench_run *m = &cell->runs[r * cell->n_runs_round + i];
            json_array_append_new(
                runs, json_pack("{s:f, s:f, s:f, s:f, s:f, s:f}", "wall_s", m->wall_s, "cpu_s",
                                m->cpu_s, "audio_s", m->audio_s, "first_audio_s", m->first_audio_s,
                                "latency_s", m->latency_s, "peak_rss_mb", m->peak_rss_mb));
        }
        json_array_append_new(rounds,
                              json_pack("{s:f, s:o}", "load_s", cell->loads_s[r], "runs", runs));
    }
    return rounds;
}

/* A bound of -1 is not known. */
static json_t *bound_json(double seconds) {
    return seconds < 0 ? json_null() : json_real(seconds);
}

/* An empty array for other backends. */
static json_t *stages_json(const struct bench_cell *cell) {
    struct bench_stage stages[BENCH_MAX_STAGES];
    size_t n = bench_stages(cell->answers, stages, BENCH_MAX_STAGES);
    json_t *out = json_array();
    for (size_t i = 0; i < n; i++) {
        const struct bench_stage *s = &stages[i];
        json_array_append_new(
            out, json_pack("{s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:o, s:o}", "name", s->name,
                           "wall_s", s->wall_s, "cpu_s", s->cpu_s, "macs_f32", s->macs_f32,
                           "macs_bf16", s->macs_bf16, "macs_int8", s->macs_int8, "weight_bytes",
                           s->weight_bytes, "products_bound_s", bound_json(s->mac_bound_s),
                           "reading_bound_s", bound_json(s->read_bound_s)));
    }
    return out;
}

/* What is no number is null; equal samples have no finite SNR. */
static json_t *quality_json(const struct bench_cell *cell) {
    const utter_quality *q = &cell->quality;
    json_t *out = json_object();
    const struct {
        const char *name;
        double value;
    } figures[] = {{"lsd_db", q->lsd_db}, {"mcd_db", q->mcd_db}, {"snr_db", q->snr_db}};
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
        json_object_set_new(out, figures[i].name,
                            isfinite(figures[i].value) ? json_real(figures[i].value) : json_null());
    }
    json_object_set_new(out, "equal", json_boolean(isinf(q->snr_db) && q->snr_db > 0));
    return out;
}

static json_t *row_json(const struct bench_matrix *matrix, const struct bench_row *row) {
    const struct bench_cell *cell = row->cell;
    char model[PATH_MAX];
    snprintf(model, sizeof model, "%s", cell->model);
    bench_clean(model);
    json_t *out =
        json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:s?, s:i, s:s?}", "cell", row->label, "model",
                  model, "backend", cell->backend, "precision", cell->precision, "threads",
                  (int)cell->n_threads, "streams", (int)cell->n_streams, "text", cell->text,
                  "length", (int)cell->length, "failure", cell->reason[0] ? cell->reason : NULL);
    if (cell->reason[0]) {
        return out;
    }
    json_object_set_new(out, "computed_by",
                        json_incref(json_object_get(cell->facts, "computed_by")));
    if (matrix->options->quality) {
        json_object_set_new(out, "quality", cell->has_quality ? quality_json(cell) : json_null());
    }
    json_object_set_new(out, "summary", summary_json(&row->summary));
    json_object_set_new(out, "rounds", rounds_json(cell));
    json_object_set_new(out, "stages", stages_json(cell));
    json_object_set_new(out, "base",
                        row->base ? json_integer(row->base - matrix->cells) : json_null());
    if (row->base) {
        struct bench_verdict verdict = bench_judge(cell, &row->summary, &row->base_summary);
        bool is_base = row->base == cell;
        char advice[160];
        bench_advise(row, advice, sizeof advice);
        json_object_set_new(out, "verdict", json_string(is_base ? "the base" : verdict.words));
        json_object_set_new(out, "advice", is_base ? json_null() : json_string(advice));
    }
    return out;
}

/* NULL when memory ran out, which cli_print_json takes. */
json_t *bench_matrix_json(const struct bench_matrix *matrix) {
    struct bench_rows rows = {0};
    json_t *cells = json_array();
    bool ok = bench_make_rows(matrix, &rows);
    for (size_t i = 0; ok && i < rows.n; i++) {
        json_array_append_new(cells, row_json(matrix, &rows.items[i]));
    }
    free(rows.items);
    return json_pack("{s:s, s:i, s:i, s:o}", "utter", utter_version(), "n_rounds",
                     (int)matrix->options->n_rounds, "n_runs", (int)matrix->options->n_runs,
                     "cells", cells);
}
